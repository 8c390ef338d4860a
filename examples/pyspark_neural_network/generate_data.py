"""Write MNIST, Fashion-MNIST or a pair of IDX files for main_task.py, as text or as Parquet.

    python generate_data.py                                     MNIST as text, into data/
    python generate_data.py --to parquet                        one small file per part, with labels
    python generate_data.py --data fashion_mnist
    python generate_data.py --idx IMAGES LABELS --name letters  any two IDX files, gzipped or plain

A text file of images has one image per line: its pixels divided by their largest possible value, separated by
spaces.  A text file of labels has one one-hot label per line.  Existing files are not overwritten.  Either all files
appear or none.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from firesteel.datasets import load_digits, load_fashion_mnist, load_mnist, read_idx, write_text
from firesteel.datasets.files import must_not_exist, written
from firesteel.errors import DataError

SETS = {"mnist": (load_mnist, 255), "fashion_mnist": (load_fashion_mnist, 255), "digits": (load_digits, 16)}
"""Name: (loader, largest pixel value)."""
PIECE = 2000
"""Number of images written at a time."""
SCHEMA = pa.schema([("features", pa.list_(pa.float32())), ("label", pa.int64())])

Parts = dict[str, tuple[np.ndarray, np.ndarray]]
"""Suffix of the file names: images (n, H, W) and labels (n,)."""


def load(given: argparse.Namespace) -> tuple[str, Parts, int]:
    """Return the name of the data, its parts and the largest pixel value.  Raises DataError."""
    if given.idx is None:
        loader, ink = SETS[given.data]
        train, test = loader()
        return given.name or given.data, {"_train": train, "_test": test}, ink
    x, y = (read_idx(path) for path in given.idx)
    if x.dtype != np.uint8 or y.dtype != np.uint8 or x.ndim < 2 or not len(x) or y.shape != x.shape[:1]:
        raise DataError(
            f"{given.idx[0]} holds {x.dtype} of shape {x.shape} and {given.idx[1]} {y.dtype} of {y.shape}: expected "
            "images of bytes and one byte per label",
            code="data-shape",
        )
    return given.name or Path(given.idx[0]).name.split(".")[0], {"": (x, y)}, 255


def pieces(values: np.ndarray, path: Path) -> Iterator[np.ndarray]:
    """Yield the values in pieces and print the progress."""
    live = sys.stdout.isatty()
    for at in range(0, len(values), PIECE):
        if live:
            print(f"\r{path}  {at:,} of {len(values):,}", end="\x1b[K", flush=True)
        yield values[at : at + PIECE]
    print(f"{chr(13) if live else ''}{path}  {len(values):,} rows", flush=True)


def write_parquet(path: Path, x: np.ndarray, y: np.ndarray, ink: int) -> None:
    """Write images and labels to one Parquet file: `features`, float32 in [0, 1], and `label`."""
    with written(path) as whole, pq.ParquetWriter(whole, SCHEMA, compression="zstd") as file:
        groups = np.split(y, range(PIECE, len(y), PIECE))
        for rows, labels in zip(pieces(x.reshape(len(x), -1), path), groups, strict=True):
            flat = pa.array((rows / ink).astype(np.float32).reshape(-1))
            starts = pa.array(np.arange(len(rows) + 1, dtype=np.int32) * rows.shape[1])
            features = pa.ListArray.from_arrays(starts, flat)
            file.write_batch(pa.record_batch([features, pa.array(labels.astype(np.int64))], schema=SCHEMA))


def run(given: argparse.Namespace) -> None:
    """Load and write the data.  Raises DataError."""
    name, parts, ink = load(given)
    folder = Path(given.folder)
    kinds = (
        ["{name}{part}.parquet"] if given.to == "parquet" else ["{name}_images{part}.csv", "{name}_labels{part}.csv"]
    )
    paths = {part: [folder / kind.format(name=name, part=part) for kind in kinds] for part in parts}
    for path in (path for of_part in paths.values() for path in of_part):
        must_not_exist(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{folder}: cannot be created: {error.strerror or error}", code="data-write") from error
    one_hot = np.eye(max(int(y.max()) for _, y in parts.values()) + 1, dtype=np.uint8)
    try:
        for part, (x, y) in parts.items():
            if given.to == "parquet":
                write_parquet(*paths[part], x, y, ink)
                continue
            images, labels = paths[part]
            write_text(images, (rows / ink for rows in pieces(x, images)))
            write_text(labels, (one_hot[rows] for rows in pieces(y, labels)))
    except BaseException:
        for path in (path for of_part in paths.values() for path in of_part):
            path.unlink(missing_ok=True)
        raise


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code: 0 success, 2 usage, 3 data."""
    parser = argparse.ArgumentParser(prog="generate_data.py", description="Write data for main_task.py.")
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--data", choices=list(SETS), default="mnist", help="downloaded and verified if necessary (mnist)"
    )
    which.add_argument("--idx", nargs=2, metavar=("IMAGES", "LABELS"), help="two IDX files")
    parser.add_argument("--to", choices=["text", "parquet"], default="text", help="format of the files (text)")
    parser.add_argument("--folder", default="data", help="folder for the files (data)")
    parser.add_argument("--name", help="prefix of the file names (name of the data)")
    given = parser.parse_args(argv)
    try:
        run(given)
    except DataError as error:
        print(f"generate_data.py: {' '.join(str(error).split())}", file=sys.stderr)
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main())

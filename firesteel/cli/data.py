"""`firesteel data`: list and fetch data sets, and convert files of rows.

A data set is a row of `SETS`, an output format a row of `FORMS`; `rows.py` reads.
"""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from cyclopts import App, Parameter
from numpy.typing import NDArray

from firesteel.cli.common import Json, Switch, flags, print_json
from firesteel.cli.config import DataSettings, resolve
from firesteel.cli.rows import ENDINGS, Ask, FileRows, ask, load, parquet, unpacked_name
from firesteel.cli.task import are_classes, labels_of
from firesteel.cli.words import counted, printable
from firesteel.datasets import write_csv, write_idx, write_libsvm, write_npz, write_text
from firesteel.datasets.files import must_not_exist
from firesteel.datasets.sets import SETS
from firesteel.errors import ConfigError, DataError, SparkSetupError, imported, without_secrets
from firesteel.tables.schema import NUMBERS

data = App(name="data", help="List, fetch and convert data sets and files of rows.")


# Output formats


@dataclass(frozen=True)
class Form:
    """A file format that `data convert` writes.

    Args:
        endings: Endings of the files that are written.
        write: Writes rows to the paths of these files.
        words: Description for `firesteel data list`.
    """

    endings: tuple[str, ...]
    write: Callable[[Sequence[Path], FileRows], None]
    words: str


def _columns(rows: FileRows) -> dict[str, NDArray[Any]]:
    """Return rows as named columns: the inputs, then the label or labels."""
    names = rows.names or tuple(f"x{number + 1}" for number in range(rows.x.shape[1]))
    return {name: rows.x[:, number] for number, name in enumerate(names)} | _targets(rows)


def _targets(rows: FileRows) -> dict[str, NDArray[Any]]:
    y = _narrow(rows)
    if y.ndim == 1:
        return {rows.targets[0] if rows.targets else "label": y}
    names = rows.targets or tuple(f"label{number + 1}" for number in range(y.shape[1]))
    return {name: y[:, number] for number, name in enumerate(names)}


def _narrow(rows: FileRows) -> NDArray[Any]:
    """Return the labels, with class labels as integers if the input format stores only floats."""
    whole = rows.by_value and rows.y.ndim == 1 and labels_of(rows).kind == "whole" and rows.y.dtype.kind == "f"
    return rows.y.astype(np.int64) if whole else rows.y


def _numbers(rows: FileRows, path: Path) -> NDArray[Any]:
    """Return one numeric label per row.  Raises DataError for text labels or several per row."""
    y = _narrow(rows)
    if y.ndim == 2 and labels_of(rows).kind == "one-hot":
        y = y.argmax(axis=1)
    if y.ndim == 2 or y.dtype.kind == "U":
        found = "several labels per row" if y.ndim == 2 else f"text labels, such as {str(y[0])!r}"
        raise DataError(
            f"{path.name} cannot be written: {rows.source} has {found}, but this format takes one number per row: "
            "choose csv, npz or parquet",
            code="data-type",
        )
    return y.astype(np.uint8) if y.dtype == bool else y


def _csv(paths: Sequence[Path], rows: FileRows) -> None:
    write_csv(paths[0], _columns(rows))


def _idx(paths: Sequence[Path], rows: FileRows) -> None:
    y = _numbers(rows, paths[1])
    if y.dtype.kind in "iu" and y.dtype.itemsize > 1:
        y = y.astype(np.uint8 if y.min() >= 0 and y.max() < 256 else np.int32)
    x = rows.x if rows.picture is None else rows.x.reshape(len(rows.x), *rows.picture)
    if x.dtype.kind in "iu" and x.dtype != np.uint8:
        x = x.astype(np.int32)
    write_idx(paths[0], x)
    write_idx(paths[1], y)


def _libsvm(paths: Sequence[Path], rows: FileRows) -> None:
    write_libsvm(paths[0], rows.x, _numbers(rows, paths[0]))


def _npz(paths: Sequence[Path], rows: FileRows) -> None:
    x = rows.x if rows.picture is None else rows.x.reshape(len(rows.x), *rows.picture)
    write_npz(paths[0], {"x": x, "y": _narrow(rows)})


def _parquet(paths: Sequence[Path], rows: FileRows) -> None:
    parquet().write_parquet(
        paths[0], _columns(rows) if rows.names is not None else {"features": rows.x} | _targets(rows)
    )


def _text(paths: Sequence[Path], rows: FileRows) -> None:
    ink = SETS[rows.source].ink if rows.source in SETS else 255 if rows.x.dtype == np.uint8 else 1
    if rows.y is not None and rows.y.ndim == 2:
        y = rows.y
    else:
        y = _numbers(rows, paths[1])
        labels = labels_of(rows)
        if y.min() < 0 or (labels.kind != "flag" and not are_classes(labels.values, labels.rows)):
            y = y[:, None]
        else:
            y = (y[:, None] == np.arange(int(y.max()) + 1)).astype(np.uint8)
    write_text(paths[0], [rows.x / ink])
    write_text(paths[1], [y])


FORMS: dict[str, Form] = {
    "csv": Form((".csv",), _csv, "a header, a column for each input, and the label last"),
    "idx": Form(("-images.idx", "-labels.idx"), _idx, "MNIST's file format, images and labels in two files"),
    "libsvm": Form((".txt",), _libsvm, '"label index:value ..." per row, indices from 1, zeros omitted'),
    "npz": Form((".npz",), _npz, 'NumPy archive with the arrays "x" and "y"'),
    "parquet": Form((".parquet",), _parquet, "for Spark: named columns, or one column of arrays"),
    "text": Form(("-images.txt", "-labels.txt"), _text, "numbers in 0..1 separated by spaces, and one-hot labels"),
}


# The commands


@data.command(name="list")
def list_(*, as_json: Json = False) -> None:
    """List the named data sets, and the formats of files of rows.

    Args:
        as_json: Print JSON.
    """
    if as_json:
        sets = [
            {"name": name, "holds": one.holds, "comes_from": one.comes_from, "licence": one.licence}
            for name, one in SETS.items()
        ]
        print_json({"sets": sets, "formats": {name: form.words for name, form in FORMS.items()}})
        return
    print("Sets")
    for name, one in SETS.items():
        print(f"  {name:<14}{one.holds}")
        print(f"  {'':<14}from {one.comes_from}; licence {one.licence}")
    print("\nFormats, read by `firesteel train` and written by `firesteel data convert`")
    for name, form in FORMS.items():
        print(f"  {name:<14}{form.words}")


@data.command
def fetch(name: Literal[tuple(SETS)], /) -> None:  # type: ignore[valid-type]
    """Download a data set into the cache if it is not there, and verify its SHA-256.

    Args:
        name: The data set.
    """
    for part, (x, _) in zip(("train", "test"), SETS[str(name)].load(), strict=True):
        print(f"{name} {part}  {len(x):,} rows of {' x '.join(map(str, x.shape[1:]))}, checked", flush=True)


@data.command
def convert(
    source: str,
    folder: Path,
    /,
    *,
    to: Annotated[Literal[tuple(FORMS)] | None, Parameter(show_default=False)] = None,  # type: ignore[valid-type]
    format: str | None = None,
    label: str | None = None,
    features: str | None = None,
    size: str | None = None,
    colour: Literal["grey", "rgb"] | None = None,
    skip_broken: Switch = False,
) -> None:
    """Convert a data set or a file of rows to another format.

    A data set is read from the folder that FIRESTEEL_DATA names, or downloaded once.  Existing files are never
    overwritten.

    A folder of pictures with one subfolder per class becomes a Parquet file with the columns "features" (the pixels
    as bytes, row by row, RGB or grey), "label" (the class) and "origin" (the picture's path in the folder). Example:
    firesteel data convert pictures/ pictures.parquet

    Args:
        source: A data set, a file of rows as for `firesteel train --data`, or a folder of pictures by class.
        folder: Output folder, created if necessary; for a folder of pictures, the Parquet file.
        to: Output format; see `firesteel data list`.  Not needed for a folder of pictures.
        format: Format of the source if the extension does not show it.
        label: Column of labels (default: label, if it exists).  For IDX, .npy and text, the file with the labels.
        features: Columns to write, separated by commas (default: all other columns).
        size: Height and width to which pictures are resized, such as 28x28 (default: all must have the same size).
        colour: grey for one channel, rgb for three (default: rgb if any picture has colours).
        skip_broken: List and skip files that are damaged or not pictures, instead of refusing them.
    """
    if _holds_pictures(source, format):
        _pictures(Path(source), folder, size, colour, skip_broken, {"to": to, "label": label, "features": features})
        return
    if named := [
        name for name, value in {"size": size, "colour": colour, "skip-broken": skip_broken}.items() if value
    ]:
        raise ConfigError(f"--{named[0]} is for folders of pictures; {source} is not one", code="config-value")
    if to is None:
        raise ConfigError(f"choose the format with --to: {', '.join(FORMS)}", code="config-value")
    given = {"SOURCE": ("data.train", source), **flags(format=format, label=label, features=features)}
    settings = resolve(None, given, {}).data
    form = FORMS[str(to)]
    plan = [([folder / (stem + ending) for ending in form.endings], wanted) for stem, wanted in _parts(settings)]
    for path in (path for paths, _ in plan for path in paths):
        must_not_exist(path)
    loaded = [(paths, load(wanted)) for paths, wanted in plan]
    for table in (rows.table for _, rows in loaded if rows.table is not None):
        odd = [name for name, values in table.items() if values.kind not in NUMBERS or values.absent.any()]
        raise DataError(
            f"{source}: column {(odd or list(table))[0]!r} holds text, times, missing or infinite values, but "
            "only numbers can be converted: clean the column, or choose others with --features",
            code="data-type",
        )
    made = [place for place in (folder, *folder.parents) if not place.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{folder}: cannot be created: {error.strerror or error}", code="data-write") from error
    try:
        for paths, rows in loaded:
            form.write(paths, rows)
    except BaseException as error:
        if getattr(error, "code", "") == "data-exists":  # created by someone else since the check
            raise
        for path in (path for paths, _ in plan for path in paths):
            path.unlink(missing_ok=True)
        for place in made:
            place.rmdir()
        raise
    for paths, rows in loaded:
        for path in paths:
            print(f"{without_secrets(str(path))}  {len(rows.x):,} rows", flush=True)


def _parts(settings: DataSettings) -> list[tuple[str, Ask]]:
    """Return the data sets or files to convert, each with the stem of its output's name."""
    first = ask(settings)
    if first.format != "set":
        stem = unpacked_name(Path(settings.train.rstrip("/")).name)
        return [(Path(stem).stem, first)]
    begin = SETS[settings.train].files
    return [(f"{begin}-train", first), (f"{begin}-test", ask(settings, 1))]


# Folders of pictures


def _holds_pictures(source: str, form: str | None) -> bool:
    """Return whether the source is a folder of pictures, not a folder in another format such as Parquet."""
    path = Path(source)
    return source not in SETS and form is None and path.suffix.lower() not in ENDINGS and path.is_dir()


def _pictures(
    source: Path, path: Path, size: str | None, colour: str | None, skip: bool, others: Mapping[str, Any]
) -> None:
    """Write a folder of pictures as Parquet.

    Args:
        source: The folder of pictures.
        path: The Parquet file.
        size: Text such as 28x28, or None.
        colour: "grey", "rgb" or None.
        skip: Whether to skip broken files.
        others: Options that do not apply to pictures; they are refused.
    """
    if named := [name for name, value in others.items() if value]:
        raise ConfigError(
            f"--{named[0]} cannot be used with {source}, a folder of pictures: leave it out, and give the "
            "Parquet file to write only",
            code="config-value",
        )
    if path.suffix != ".parquet":
        raise ConfigError(
            f"{path}: a folder of pictures becomes a Parquet file: choose a name that ends in .parquet",
            code="config-data",
        )
    write = parquet().write_pictures
    must_not_exist(path)
    folders = imported("firesteel.cli.folders", "reading pictures", "cli", SparkSetupError, "pictures-missing")
    album = folders.look(source, _size(size), None if colour is None else colour == "rgb")

    def pieces() -> Iterator[dict[str, list[Any]]]:
        for paths, pictures in folders.decoded(album):
            yield {
                "features": [one.tobytes() for one in pictures],
                "label": [folders.text(one.parts[0]) for one in paths],
                "origin": [folders.text(one.as_posix()) for one in paths],
            }
        if not skip or len(album.broken) == len(album.files):
            album.refuse_broken()

    rows = write(path, pieces())
    for one, why in album.broken.items():
        print(f"left out: {printable(folders.text(source / one))}: {printable(why)}", file=sys.stderr)
    shape, classes = list(album.shape), len({one.parts[0] for one in album.files if one not in album.broken})
    left = f", {counted(len(album.broken), 'file')} left out" if album.broken else ""
    what = f"{counted(rows, 'picture')} of {classes:,} class{'' if classes == 1 else 'es'}, {shape}"
    print(f"{without_secrets(str(path))}  {what}{left}", flush=True)


def _size(given: str | None) -> tuple[int, int] | None:
    """Parse height and width from text such as 28x28."""
    if given is None:
        return None
    sides = [int(side) if side.isascii() and side.isdigit() and len(side) < 6 else 0 for side in given.split("x")]
    if len(sides) != 2 or 0 in sides:
        raise ConfigError(f"--size {given}: give height and width, such as 28x28", code="config-value")
    return sides[0], sides[1]

"""`firesteel data`: the sets there are, fetching them, and files of rows from one format to another.

A data set is a row of `SETS` and a format that is written a row of `FORMS`; reading is `rows.py`.
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

data = App(name="data", help="Data sets, and files of rows.")


# The formats that are written


@dataclass(frozen=True)
class Form:
    """endings: of the files that a table of rows becomes.  write: takes their paths and the rows."""

    endings: tuple[str, ...]
    write: Callable[[Sequence[Path], FileRows], None]
    words: str


def _columns(rows: FileRows) -> dict[str, NDArray[Any]]:
    """Return rows as columns: each input, and then the label or the labels."""
    names = rows.names or tuple(f"x{number + 1}" for number in range(rows.x.shape[1]))
    return {name: rows.x[:, number] for number, name in enumerate(names)} | _targets(rows)


def _targets(rows: FileRows) -> dict[str, NDArray[Any]]:
    y = _narrow(rows)
    if y.ndim == 1:
        return {rows.targets[0] if rows.targets else "label": y}
    names = rows.targets or tuple(f"label{number + 1}" for number in range(y.shape[1]))
    return {name: y[:, number] for number, name in enumerate(names)}


def _narrow(rows: FileRows) -> NDArray[Any]:
    """Return the labels, classes as whole numbers where the format they came in had floats alone."""
    whole = rows.by_value and rows.y.ndim == 1 and labels_of(rows).kind == "whole" and rows.y.dtype.kind == "f"
    return rows.y.astype(np.int64) if whole else rows.y


def _numbers(rows: FileRows, path: Path) -> NDArray[Any]:
    """Return the labels as numbers, one a row.  Raises DataError where they are text, or several."""
    y = _narrow(rows)
    if y.ndim == 2 and labels_of(rows).kind == "one-hot":
        y = y.argmax(axis=1)
    if y.ndim == 2 or y.dtype.kind == "U":
        held = "several labels a row" if y.ndim == 2 else f"text as labels, such as {str(y[0])!r}"
        raise DataError(
            f"{path.name} cannot be written: {rows.source} holds {held}, and this format takes one number: choose "
            "csv, npz or parquet",
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
    "idx": Form(("-images.idx", "-labels.idx"), _idx, "MNIST's own container, images and labels apart"),
    "libsvm": Form((".txt",), _libsvm, 'a line "label index:value ..." a row, indices from 1, zeros left out'),
    "npz": Form((".npz",), _npz, 'NumPy\'s, with the arrays "x" and "y"'),
    "parquet": Form((".parquet",), _parquet, "for Spark: columns, or one of arrays where inputs have no names"),
    "text": Form(("-images.txt", "-labels.txt"), _text, "numbers in 0..1 with spaces between, and one-hot labels"),
}


# The commands


@data.command(name="list")
def list_(*, as_json: Json = False) -> None:
    """List the data sets that have a name, and the formats that rows are read from and written to.

    Parameters
    ----------
    as_json
        Print JSON.
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
    print("\nFormats: all are read by `firesteel train`, and written by `firesteel data convert`")
    for name, form in FORMS.items():
        print(f"  {name:<14}{form.words}")


@data.command
def fetch(name: Literal[tuple(SETS)], /) -> None:  # type: ignore[valid-type]
    """Fetch a data set into the cache, if it is not there, and check it against its SHA-256.

    Parameters
    ----------
    name
        The data set.
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
    """Write the two parts of a data set, or the rows of a file, as files of another format.

    A set is read from the folder that FIRESTEEL_DATA names, or fetched once.  Files that are there are never
    overwritten.

    A folder of pictures, with a folder for each class, becomes one Parquet file with the columns "features" (a byte
    a value, row by row, red, green and blue of each pixel), "label" (the class's name) and "origin" (the picture's
    path below the folder): firesteel data convert pictures/ pictures.parquet

    Parameters
    ----------
    source
        A data set, a file of rows that `firesteel train --data` would read, or a folder of pictures by class.
    folder
        Where the files go; it is made if need be.  Of a folder of pictures the Parquet file.
    to
        The format; `firesteel data list` describes each.  A folder of pictures needs none.
    format
        The format of the source, where its ending does not say it.
    label
        The column of labels ("label" if there is one); for IDX, .npy and text the file of the labels.
    features
        Columns to write, with commas between; all others if not given.
    size
        Height and width of all pictures, such as 28x28, to which others are stretched; if it is not given, all must
        be of one size.
    colour
        grey for one channel, rgb for three; if it is not given, three if any picture has colours.
    skip_broken
        Leave out files that are no pictures or are damaged, and name them, where they would be refused.
    """
    if _holds_pictures(source, format):
        _pictures(Path(source), folder, size, colour, skip_broken, {"to": to, "label": label, "features": features})
        return
    if named := [
        name for name, value in {"size": size, "colour": colour, "skip-broken": skip_broken}.items() if value
    ]:
        raise ConfigError(f"--{named[0]} is for a folder of pictures, and {source} is none", code="config-value")
    if to is None:
        raise ConfigError(f"name the format with --to: {', '.join(FORMS)}", code="config-value")
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
            f"{source}: column {(odd or list(table))[0]!r} holds text, times, gaps or infinite values, and files are "
            "written of numbers: fill it in, or name other columns with --features",
            code="data-type",
        )
    made = [place for place in (folder, *folder.parents) if not place.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{folder}: cannot be made: {error.strerror or error}", code="data-write") from error
    try:
        for paths, rows in loaded:
            form.write(paths, rows)
    except BaseException as error:
        if getattr(error, "code", "") == "data-exists":  # somebody else's file, since we looked
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
    """Return what to read, and how the names of the files made of it begin."""
    first = ask(settings)
    if first.format != "set":
        stem = unpacked_name(Path(settings.train.rstrip("/")).name)
        return [(Path(stem).stem, first)]
    begin = SETS[settings.train].files
    return [(f"{begin}-train", first), (f"{begin}-test", ask(settings, 1))]


# Folders of pictures


def _holds_pictures(source: str, form: str | None) -> bool:
    """Return whether what is to be read is a folder of pictures: one whose name says no other format."""
    path = Path(source)
    return source not in SETS and form is None and path.suffix.lower() not in ENDINGS and path.is_dir()


def _pictures(
    source: Path, path: Path, size: str | None, colour: str | None, skip: bool, others: Mapping[str, Any]
) -> None:
    """Write a folder of pictures as Parquet.  others: options that are not for pictures."""
    if named := [name for name, value in others.items() if value]:
        raise ConfigError(
            f"--{named[0]} is not for {source}, a folder of pictures: name the Parquet file alone",
            code="config-value",
        )
    if path.suffix != ".parquet":
        raise ConfigError(
            f"{path}: a folder of pictures becomes a Parquet file: give a name that ends in .parquet",
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
    """Return height and width, out of text such as 28x28."""
    if given is None:
        return None
    sides = [int(side) if side.isascii() and side.isdigit() and len(side) < 6 else 0 for side in given.split("x")]
    if len(sides) != 2 or 0 in sides:
        raise ConfigError(f"--size {given}: give height and width, such as 28x28", code="config-value")
    return sides[0], sides[1]

"""Reading rows from files in process: every format becomes an array of features and one of labels.

`READERS` maps formats to functions; `firesteel/spark/files.py` reads with Spark.  `task.py` interprets the labels.
"""

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from firesteel.cli.config import FORMATS, DataSettings, check_secrets
from firesteel.core.elsewhere import nearest
from firesteel.datasets import read_csv, read_idx, read_libsvm, read_npy, read_npz, read_numbers
from firesteel.datasets.cells import read_cells
from firesteel.datasets.delimited import csv_columns, find_cell, is_word, numbers_of
from firesteel.datasets.files import refuse_rows
from firesteel.datasets.marks import CODE, are_stray, is_missing, is_number, is_numeral
from firesteel.datasets.sets import SETS
from firesteel.errors import ConfigError, DataError, SparkSetupError, imported
from firesteel.tables.containers import columns_of
from firesteel.tables.profile import schema_of
from firesteel.tables.schema import NUMBERS, TEXT, WORDS, ColumnValues, Schema

ENDINGS = {".csv": "csv", ".idx": "idx", ".npy": "numpy", ".npz": "numpy", ".parquet": "parquet", ".pq": "parquet"}
ENDINGS |= dict.fromkeys((".libsvm", ".svm", ".svmlight"), "libsvm")
PACKED = (".bz2", ".gz", ".lz4", ".xz", ".zst")
"""Extensions of compressed files; the extension before them shows the format."""
MEMORY = ("arrays", "frame")
"""What a run folder records as the source of rows that came from memory."""
TABLES = ("csv", "parquet")
"""Formats with named columns."""
FRACTION = re.compile(r"[+-]?\d*[.,]\d+", re.ASCII)
"""A fractional number, which cannot be the name of a class."""
NO_TEXT = "networks need numbers: convert it to numbers, or choose other columns with --features"


@dataclass(frozen=True)
class FileRows:
    """Rows read from a file: inputs, labels, weights and their names.

    Args:
        source: The file, for messages.
        x: The features, (n, I).
        y: The labels: (n,) of any kind, (n, T) numbers, or None.
        w: The row weights, (n,), or None.
        columns: Names of the feature columns in the file.
        names: Names of the inputs.
        targets: Names of the label columns.
        picture: Height and width, if the inputs are pixels.
        by_value: Whether the format has a single numeric type, so that integral values count as integers.
        schema: The schema that encoded x; None if the columns were numbers.
        table: The columns before they were encoded.
    """

    source: str
    x: NDArray[Any]
    y: Any
    w: NDArray[np.float64] | None = None
    columns: tuple[str, ...] | None = None
    names: tuple[str, ...] | None = None
    targets: tuple[str, ...] = ()
    picture: tuple[int, int] | None = None
    by_value: bool = False
    schema: Schema | None = None
    table: Mapping[str, ColumnValues] | None = None


@dataclass(frozen=True)
class Ask:
    """Which rows and columns to read, and in which format.

    Args:
        path: The file, or the name of a data set.
        format: The format; "set" for a data set.
        labels: The file of labels.
        label: Columns of labels.
        features: Columns of features.
        weight: Column of row weights.
        inputs: Required number of inputs, if any.
        part: For a data set, 0 for the training part and 1 for the test part.
        labelled: Whether labels are required.
        ignore: Columns to leave out.
        kinds: Kinds of columns that cells do not show.
        zone: Time zone of timestamps.
        raw: Whether to read the columns as a table even if all are numbers.
        schema: The schema of the model that the rows are for.
    """

    path: str
    format: str
    labels: str | None = None
    label: tuple[str, ...] | None = None
    features: tuple[str, ...] | None = None
    weight: str | None = None
    inputs: int | None = None
    part: int = 0
    labelled: bool = True
    ignore: tuple[str, ...] = ()
    kinds: Mapping[str, str] = field(default_factory=dict)
    zone: str = "UTC"
    raw: bool = False
    schema: Schema | None = None

    @property
    def as_table(self) -> bool:
        """Whether to read the columns as a table, whatever they contain."""
        return self.raw or self.schema is not None


def has_test(data: DataSettings) -> bool:
    """Return whether the settings name test rows."""
    return data.test is not None or data.train in SETS


def ask(data: DataSettings, part: int = 0, *, labelled: bool = True) -> Ask:
    """Return which rows to read as training part (0) or test part (1), from the settings.

    Raises ConfigError if the name is neither a data set nor a file.
    """
    path = data.train if part == 0 or data.test is None else data.test
    if path in MEMORY and part == 0:
        raise ConfigError(
            f"the rows of this training were {path} in memory, not in a file: save them and give the file with "
            "--data",
            code="config-memory",
        )
    if path in SETS:
        return Ask(path, "set", part=part)
    check_secrets("data", "test" if part and data.test is not None else "train", path)
    label_file = data.label[0] if data.label and part == 0 else data.test_label
    form = data.format or format_of(path, label_file is not None)
    if form in TABLES:
        columns = Ask(path, form, None, data.label, data.features, data.weight, labelled=labelled)
        kinds, zone = data.column_kinds or {}, data.time_zone or "UTC"
        return replace(columns, ignore=data.ignore_cols or (), kinds=kinds, zone=zone, raw=bool(kinds))
    for key in ("features", "weight", "ignore_cols", "column_kinds"):
        if getattr(data, key):
            raise ConfigError(
                f"{key} names columns, but {form} files have no column names: leave it out, or use CSV or Parquet",
                code="config-column",
            )
    if form != "libsvm" and not path.endswith(".npz") and labelled and label_file is None:
        flag = "--test-label" if part else "--label"
        raise ConfigError(f"{path}: give the file of its labels with {flag}", code="config-label")
    return Ask(path, form, label_file, labelled=labelled)


def unpacked_name(name: str) -> str:
    """Return a file name without the extension of its compression."""
    stem, ending = os.path.splitext(name)
    return stem if ending in PACKED else name


def format_of(path: str, has_labels_file: bool) -> str:
    """Return a file's format from its name; raise ConfigError if the name shows none.

    >>> format_of("rows.csv", False), format_of("train-images-idx3-ubyte.gz", True)
    ('csv', 'idx')
    """
    name = unpacked_name(path.rstrip("/").rsplit("/", 1)[-1].lower())
    if "-ubyte" in name:
        return "idx"
    ending = Path(name).suffix
    if ending == ".txt":
        return "text" if has_labels_file else "libsvm"
    if ending in ENDINGS:
        return ENDINGS[ending]
    raise ConfigError(
        f"{path!r} is not a data set, and its extension shows no format: {nearest(path, SETS)}the data sets are "
        f"{', '.join(SETS)}; for a file add --format {'|'.join(FORMATS)}",
        code="config-data",
    )


def load(wanted: Ask, *, finite: bool = True) -> FileRows:
    """Read rows from a file or data set in this process, without Spark.

    Args:
        wanted: What to read.
        finite: Whether to refuse NaN and infinite values.

    Raises:
        ConfigError: If the path is a URL.
        DataError: If the rows cannot be read; the message shows the file and the place in it.
    """
    if "://" in wanted.path:
        raise ConfigError(f"{wanted.path}: only Spark reads URLs: add --engine spark", code="config-engine")
    rows = READERS[wanted.format](wanted)
    for array, names, call in ((rows.x, rows.names, "input"), (rows.y, rows.targets, "label")):
        if finite and array is not None and array.dtype.kind == "f":
            _check_numbers(wanted.path, array, names, call)
    if rows.w is not None:
        _check_weights(wanted.path, rows.w, str(wanted.weight))
    return rows if rows.y is None or rows.y.dtype.kind != "U" else replace(rows, y=_named(wanted, rows))


def _check_weights(path: str, weights: NDArray[Any], name: str) -> None:
    """Raise DataError if weights are negative or not finite, with the column, the row and the count."""
    _check_numbers(path, weights, [name], "weight")
    below = weights < 0
    what, remedy = f"a negative number: {weights[below.argmax()]:g}", "weights must be 0 or more"
    refuse_rows(path, name, below, what, remedy, "data-negative-weight")


def _check_numbers(path: str, array: NDArray[Any], names: Sequence[str] | None, call: str) -> None:
    """Raise DataError if values are not finite, with the column, the row and the count."""
    with np.errstate(all="ignore"):
        if np.isfinite(array.sum()):
            return
    bad = ~np.isfinite(array if array.ndim == 2 else array[:, None])
    row, column = np.argwhere(bad)[0].tolist()
    value, count = str(np.atleast_2d(array.T).T[row, column]), int(bad.any(axis=1).sum())
    if count:
        name = f"column {names[column]!r}" if names else f"{call} {column}" if array.ndim == 2 else f"the {call}"
        raise DataError(
            f"{path}: {name} holds {'NaN' if value == 'nan' else value} at row {row}; {count:,} of {len(bad):,} "
            "rows have values that are not finite: fill them in, or drop those rows",
            code="data-nan" if value == "nan" else "data-infinite",
        )


def _named(wanted: Ask, rows: FileRows) -> NDArray[Any]:
    """Convert text labels to numbers if all of them are; raise DataError for missing values and stray text."""
    distinct, where = np.unique(rows.y, return_inverse=True)
    gaps = np.array([is_missing(text) for text in distinct.tolist()])[where]
    if gaps.any():
        raise _gap(wanted, rows, gaps, is_missing, "is a missing value")
    if wanted.format == "csv":
        _check_classes(Path(wanted.path), rows.targets[0], rows.y)
    stray = np.array([_is_stray(text) for text in distinct.tolist()])
    if are_stray(int(stray[where].sum()), sum(map(is_numeral, distinct.tolist())), len(where)):
        raise _gap(wanted, rows, stray[where], _is_stray, "is not a number like the others")
    return rows.y.astype(np.float64) if all(map(is_numeral, distinct.tolist())) else rows.y


def _is_stray(text: str) -> bool:
    return not is_numeral(text) and re.fullmatch(CODE, text.strip()) is None


def _gap(wanted: Ask, rows: FileRows, gaps: NDArray[Any], is_gap: Callable[[str], bool], what: str) -> DataError:
    name, row = rows.targets[0] if rows.targets else "the label", int(gaps.argmax())
    place, cell, path = f" at row {row}", str(rows.y[row]), wanted.path
    if wanted.format == "csv":
        line, cell, *_ = find_cell(Path(path), name, is_gap)
        place, path = "", f"{path}, line {line}"
    return DataError(
        f"{path}: column {name!r} holds {cell[:40]!r}{place}, which {what}; {int(gaps.sum()):,} of "
        f"{len(gaps):,} rows have this error: fill it in, or drop those rows",
        code="data-missing-value",
    )


# Tables


@dataclass(frozen=True)
class Picked:
    """Which columns of a table are features, label and weight."""

    features: tuple[str, ...]
    label: tuple[str, ...]
    weight: str | None

    @property
    def all(self) -> list[str]:
        """All columns in use, without duplicates."""
        return list(dict.fromkeys([*self.features, *self.label, *([self.weight] if self.weight else [])]))


def pick(wanted: Ask, columns: Sequence[str]) -> Picked:
    """Choose the feature, label and weight columns of a table.

    By default the label is the column "label", and the features are all other columns.
    Raises DataError for missing columns.
    """
    label = wanted.label if wanted.label is not None else (("label",) if "label" in columns else ())
    if not wanted.labelled and not set(label) <= set(columns):
        label = ()
    if wanted.labelled and not label:
        raise ConfigError(
            f"{wanted.path}: choose the column to predict with --label: {', '.join(columns)}",
            code="config-label",
        )
    weight = wanted.weight if wanted.labelled else None
    taken = {*label, *([wanted.weight] if wanted.weight else []), *(wanted.label or ()), *wanted.ignore}
    features = wanted.features or tuple(name for name in columns if name not in taken)
    ignored = wanted.ignore if wanted.schema is None else ()
    for name in (*features, *label, *([weight] if weight else []), *ignored):
        if name not in columns:
            raise DataError(
                f"{wanted.path}: there is no column {name!r}: {nearest(name, columns)}the columns are "
                f"{', '.join(columns)}",
                code="data-column",
            )
    if not features:
        raise DataError(f"{wanted.path}: no columns are left as features", code="data-column")
    if both := set(features) & set(label):
        raise ConfigError(f"column {min(both)!r} cannot be both a feature and the label", code="config-column")
    return Picked(features, label, weight)


Text = Callable[[str], str]
"""Builds the error message for a text column."""


def _numbers(wanted: Ask, picked: Picked, table: Mapping[str, NDArray[Any]], text: Text) -> FileRows:
    """Read rows whose feature columns are all numeric."""
    for name in picked.features:
        if table[name].ndim > 1 and picked.features != (name,):
            raise _arrays(wanted, name, f"it must be the only feature: --features {name}")
    y, w = _others(wanted, picked, table, text)
    wide = table[picked.features[0]].ndim > 1
    x = table[picked.features[0]] if wide else np.column_stack([table[name] for name in picked.features])
    if x.dtype == np.bool_:
        x = x.astype(np.uint8)
    return FileRows(wanted.path, x, y, w, picked.features, None if wide else picked.features, picked.label)


def _any(wanted: Ask, picked: Picked, columns: Any, table: Mapping[str, NDArray[Any]], text: Text) -> FileRows:
    """Read rows whose feature columns are of any kind, as a table.

    Args:
        wanted: What is read.
        picked: The roles of the columns.
        columns: The feature columns.
        table: The label and weight columns.
        text: Builds the error message for a text column.
    """
    y, w = _others(wanted, picked, table, text)
    kinds = wanted.kinds if wanted.schema is None else {}
    try:
        known, count = columns_of(columns, kinds)
        schema = wanted.schema or schema_of(known, count, wanted.zone, y)
        x, names = schema.encode(known, count), tuple(schema.origins())
    except DataError as error:
        said = str(error).removesuffix(f" [{error.code}]")
        raise DataError(f"{wanted.path}: {said}", code=error.code) from None
    return FileRows(wanted.path, x, y, w, picked.features, names, picked.label, schema=schema, table=known)


def _others(wanted: Ask, picked: Picked, table: Mapping[str, NDArray[Any]], text: Text) -> tuple[Any, Any]:
    """Return the label columns and the weight column of a table; None for each that was not chosen."""
    several = len(picked.label) > 1
    for name in (*([picked.weight] if picked.weight else []), *(picked.label if several else ())):
        if table[name].dtype.kind == "U":
            raise DataError(f"{wanted.path}{text(name)}", code="data-text")
        if table[name].ndim > 1 and name == picked.weight:
            raise _arrays(wanted, name, "choose a column with one number per row")
    labels = [table[name] for name in picked.label]
    if any(label.ndim > 1 for label in labels):
        raise _arrays(wanted, picked.label[0], "choose one column per target")
    y = None if not labels else np.column_stack(labels) if several else labels[0]
    return y, table[picked.weight].astype(np.float64) if picked.weight else None


def _arrays(wanted: Ask, name: str, remedy: str) -> DataError:
    return DataError(f"{wanted.path}: column {name!r} holds arrays: {remedy}", code="data-type")


def _csv(wanted: Ask) -> FileRows:
    path = Path(wanted.path)
    picked = pick(wanted, csv_columns(path))

    def text(name: str) -> str:
        line, cell, count, rows = find_cell(path, name, lambda cell: not (is_number(cell) or is_word(cell)))
        if not count:  # true and false among numbers
            line, cell, count, rows = find_cell(path, name, is_word)
        many = f"text in {count:,} of {rows:,} rows"
        return f", line {line}: column {name!r} holds {cell[:40]!r}, and {many}: {NO_TEXT}"

    numbers = None if wanted.as_table else numbers_of(path, picked.all, picked.features)
    if numbers is not None:
        return _numbers(wanted, picked, numbers, text)
    others = [*picked.label, *([picked.weight] if picked.weight else [])]
    words = [] if wanted.schema is None else [one.name for one in wanted.schema.columns if one.kinds == WORDS]
    columns = read_cells(path, picked.features, words)
    for name, values in columns.items():
        _check_words(wanted, name, values)
    return _any(wanted, picked, columns, read_csv(path, others) if others else {}, text)


def _check_words(wanted: Ask, name: str, values: ColumnValues) -> None:
    """Raise DataError if a numeric column contains text: in a few cells, or as numbers with commas."""
    kinds = {} if wanted.schema is None else {column.name: column.kinds for column in wanted.schema.columns}
    if values.kind != TEXT or values.absent.all() or name in wanted.kinds or kinds.get(name) == WORDS:
        return
    path = Path(wanted.path)
    known = np.array([is_number(word) for word in values.words], bool)
    strays = np.array([_is_stray(word) for word in values.words], bool)
    counts = np.bincount(values.data[~values.absent], minlength=len(known))
    commas = all(FRACTION.fullmatch(word.strip()) or one for word, one in zip(values.words, known, strict=True))
    few = are_stray(int(counts[strays].sum()), int(known.sum()), int(counts.sum()))
    if not (commas or few or kinds.get(name) == NUMBERS):
        return
    line, cell, count, rows = find_cell(path, name, lambda cell: not (is_number(cell) or is_missing(cell)))
    other = f", or train without it (--ignore-cols {name}) or on its words (--column-kinds {name}=category)"
    raise DataError(
        f"{path}, line {line}: column {name!r} holds {cell[:40]!r}, which is not a number; {count:,} of {rows:,} "
        "rows have this error in this numeric column: write numbers as 1.5, and leave missing ones empty"
        f"{other if wanted.schema is None else ''}",
        code="data-text",
    )


def _check_classes(path: Path, name: str, labels: NDArray[Any]) -> None:
    """Raise DataError if a text label is really a numeric column that could not be parsed."""
    number = next((label for label in np.unique(labels).tolist() if FRACTION.fullmatch(label.strip())), None)
    if number is None:
        return
    line, cell, count, rows = find_cell(path, name, lambda cell: not is_number(cell))
    raise DataError(
        f"{path}, line {line}: column {name!r} holds {cell[:40]!r}, which is not a number, in {count:,} of "
        f"{rows:,} rows, but {number[:40]!r} cannot be a class: write numbers as 1.5, or drop those rows",
        code="data-text",
    )


def parquet() -> Any:
    """Import pyarrow's Parquet module; raise SparkSetupError if pyarrow is missing."""
    return imported("firesteel.spark.parquet", "Parquet", "spark", SparkSetupError, "spark-missing")


def _parquet(wanted: Ask) -> FileRows:
    files, path = parquet(), Path(wanted.path)
    picked = pick(wanted, files.parquet_columns(path))

    def text(name: str) -> str:
        return f": column {name!r} holds text: {NO_TEXT}"

    table = files.read_table(path, picked.all)
    if not wanted.as_table and all(files.is_plain(table.column(name)) for name in picked.features):
        return _numbers(wanted, picked, files.arrays_of(path, table), text)
    others = [name for name in picked.all if name not in picked.features]
    columns = table.select(list(picked.features))
    return _any(wanted, picked, columns, files.arrays_of(path, table.select(others)), text)


def unfit(wanted: Ask) -> tuple[Picked, dict[str, str]]:
    """Return the roles of a table's columns, and what is wrong with each feature that cannot be used."""
    path, found = Path(wanted.path), dict[str, str]()
    csv = wanted.format == "csv"
    picked = pick(wanted, csv_columns(path) if csv else parquet().parquet_columns(path))
    table: Any = read_cells(path, picked.features) if csv else parquet().read_table(path, picked.features)
    arrays = not csv and len(picked.features) == 1 and parquet().is_plain(table.column(0))
    for name in () if arrays else picked.features:
        try:
            if csv:
                _check_words(wanted, name, table[name])
            else:
                columns_of(table.select([name]))
        except DataError as error:
            found[name] = str(error).removesuffix(f" [{error.code}]")
    return picked, found


# Arrays


def _set(wanted: Ask) -> FileRows:
    known = SETS[wanted.path]
    x, y = known.load()[wanted.part]
    return FileRows(wanted.path, x.reshape(len(x), -1), y, picture=known.picture)


def _libsvm(wanted: Ask) -> FileRows:
    x, y = read_libsvm(Path(wanted.path), wanted.inputs)
    return FileRows(wanted.path, x, y, by_value=True)


def _idx(wanted: Ask) -> FileRows:
    x = read_idx(wanted.path)
    return _paired(wanted, x, read_idx(wanted.labels) if wanted.labels else None)


def _numpy(wanted: Ask) -> FileRows:
    if wanted.path.endswith(".npz"):
        x, y = read_npz(Path(wanted.path))
        if y is None and wanted.labels is None and wanted.labelled:
            raise DataError(f'{wanted.path}: has no array "y" of labels', code="data-numpy")
    else:
        x, y = read_npy(Path(wanted.path)), None
    return _paired(wanted, x, read_npy(Path(wanted.labels)) if wanted.labels else y)


def _text(wanted: Ask) -> FileRows:
    x = read_numbers(Path(wanted.path))
    y = read_numbers(Path(wanted.labels)) if wanted.labels else None
    rows = _paired(wanted, x, y)
    return replace(rows, by_value=True)


def _paired(wanted: Ask, x: NDArray[Any], y: NDArray[Any] | None) -> FileRows:
    """Combine arrays of inputs and labels into rows; raise DataError if their lengths differ."""
    if x.dtype.kind not in "uifb" or x.ndim < 2:
        raise DataError(
            f"{wanted.path}: contains {x.dtype} of shape {x.shape}: it must be numbers, (rows, inputs)",
            code="data-shape",
        )
    if y is not None:
        if y.ndim == 2 and y.shape[1] == 1:
            y = y[:, 0]
        if y.dtype.kind not in "uifbU" or y.ndim not in (1, 2) or (y.ndim == 2 and y.dtype.kind == "U"):
            raise DataError(
                f"{wanted.labels or wanted.path}: labels are {y.dtype} of shape {y.shape}: give one label per row, "
                "or a row of numbers",
                code="data-shape",
            )
        if len(y) != len(x):
            raise DataError(
                f"{wanted.path} has {len(x):,} rows, but {wanted.labels or 'y'} has {len(y):,} labels: give files "
                "with the same number of rows, in the same order",
                code="data-lengths",
            )
    picture = (x.shape[1], x.shape[2]) if x.ndim == 3 else None
    return FileRows(wanted.path, x.reshape(len(x), -1), y, picture=picture)


READERS: dict[str, Callable[[Ask], FileRows]] = {
    "csv": _csv,
    "idx": _idx,
    "libsvm": _libsvm,
    "numpy": _numpy,
    "parquet": _parquet,
    "set": _set,
    "text": _text,
}

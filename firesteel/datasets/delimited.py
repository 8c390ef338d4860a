"""Reading and writing CSV files with a header; errors show the line of malformed content.

A column has the narrowest type that fits all its cells: integers, numbers, booleans or text.  `firesteel/cli/rows.py`
selects features and labels.
"""

import csv
import io
import os
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from firesteel._files import path_of
from firesteel.datasets.files import array_of, lines_of, opened_text, text_lines, written
from firesteel.datasets.marks import is_number
from firesteel.errors import DataError

CHUNK = 2**18
"""Number of cells converted at a time."""
LETTERS = 200
"""Greatest length of a text cell: every cell of a column takes as much memory as the longest one."""
WHOLE = set("0123456789+-")
NUMERIC = WHOLE | set(".eE")
"""Characters of integers, and of numbers."""
WORDS = {"true": True, "false": False}
Column = NDArray[Any]


def csv_columns(path: str | os.PathLike[str]) -> list[str]:
    """Return the column names in the header of a CSV file.

    Raises DataError if the file cannot be read (`data-file`), or the first line is not a header (`data-csv`).
    """
    with _opened(path_of(path)) as (header, _):
        return header


def read_csv(path: str | os.PathLike[str], columns: Sequence[str]) -> dict[str, Column]:
    r"""Read columns of a CSV file with a header.

    Lines may end in LF, CR LF or CR; a byte order mark and blank lines are skipped.  Cells of the requested columns
    must not be empty.

    Args:
        path: The file, plain or compressed with gzip, bzip2 or xz.
        columns: Names of the columns to read.

    Returns:
        The columns by name, (n,) each: int64, float64, bool or text.

    Raises:
        DataError: If the file cannot be read (`data-file`); a line has more or fewer cells than the header, a quote
            is not closed, or bytes are not UTF-8 (`data-csv`); a cell is empty (`data-missing-value`) or too long
            (`data-text`).  The message shows the file and the line.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "two.csv"
        ...     _ = path.write_text("size,kind\n1.5,a\n2,b\n")
        ...     read_csv(path, ["size", "kind"])
        {'size': array([1.5, 2. ]), 'kind': array(['a', 'b'], dtype='<U1')}
    """
    found = numbers_of(path_of(path), columns, ())
    assert found is not None
    return found


def numbers_of(path: Path, columns: Sequence[str], numbers: Collection[str]) -> dict[str, Column] | None:
    """Read columns as `read_csv` does; return None if one in `numbers` is neither numeric nor boolean.

    Raises DataError as `read_csv` does.
    """
    parts = {name: list[Column]() for name in columns}
    for name, cells in chunks(path, columns):
        long = max(map(len, cells)) > LETTERS
        if long and name not in numbers:
            raise _too_long(path, name)
        parts[name] += [] if long else [_typed(cells)]
        if name in numbers and (long or not _are_numbers({one.dtype.kind for one in parts[name]})):
            return None
    if not any(parts.values()):
        raise DataError(f"{path}: contains no rows below the header: give at least one", code="data-empty")
    return {name: _joined(path, name, arrays) for name, arrays in parts.items()}


def _are_numbers(kinds: set[str]) -> bool:
    """Return whether arrays of these NumPy dtype kinds form a numeric or a boolean column."""
    return kinds <= {"i", "f"} or kinds == {"b"}


def chunks(path: Path, columns: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    """Read a CSV file in chunks of rows: for each chunk, yield the name and the cells of each column."""
    with _opened(path) as (header, rows):
        if missing := [name for name in columns if name not in header]:
            raise DataError(
                f"{path}: there is no column {missing[0]!r}: the columns are {', '.join(header)}", code="data-column"
            )
        at = [header.index(name) for name in columns]
        while chunk := list(islice(rows, max(1, CHUNK // len(header)))):
            for name, number in zip(columns, at, strict=True):
                yield name, [row[number] for _, row in chunk]


def _too_long(path: Path, name: str) -> DataError:
    line, cell, count, rows = find_cell(path, name, lambda cell: len(cell) > LETTERS)
    return DataError(
        f"{path}, line {line}: column {name!r} holds {len(cell):,} characters, {cell[:30]!r}...; {count:,} of "
        f"{rows:,} rows have longer text than {LETTERS} characters, the maximum for a column: choose other "
        "columns with --features",
        code="data-text",
    )


def find_cell(path: Path, name: str, wrong: Callable[[str], bool]) -> tuple[int, str, int, int]:
    """Find the cells of a column that `wrong` rejects: line and text of the first, their number, number of rows."""
    first, count, seen = (0, ""), 0, 0
    with _opened(path) as (header, rows):
        at = header.index(name)
        for line, row in rows:
            seen += 1
            if wrong(row[at]):
                count += 1
                first = (line, row[at]) if count == 1 else first
    return *first, count, seen


def is_word(cell: str) -> bool:
    """Return whether a cell is the text "true" or "false", in upper or lower case."""
    return cell.strip().lower() in WORDS


def write_csv(path: str | os.PathLike[str], columns: dict[str, Column]) -> None:
    """Write columns of equal length as CSV with a header.  The write is atomic.

    Args:
        path: The file.
        columns: The columns by name: numbers, booleans or text, (n,) each.

    Raises:
        DataError: If there are no columns or their lengths differ (`data-shape`), or the file exists (`data-exists`)
            or cannot be written (`data-write`).

    Example:
        >>> import tempfile
        >>> path = tempfile.mkdtemp() + "/two.csv"
        >>> write_csv(path, {"size": np.array([1.5, 2.0]), "kind": np.array(["a", "b"])})
        >>> print(open(path).read(), end="")
        size,kind
        1.5,a
        2.0,b
    """
    arrays = [array_of(column, "biufU", "numbers, booleans or text") for column in columns.values()]
    if len({array.shape for array in arrays}) != 1 or arrays[0].ndim != 1:
        shapes = ", ".join(f"{name} {array.shape}" for name, array in zip(columns, arrays, strict=True))
        raise DataError(f"{path}: columns must have the same length: {shapes or 'no columns'}", code="data-shape")
    with written(path_of(path)) as file:
        text = [",".join(_quoted(str(name)) for name in columns)]
        step = max(1, CHUNK // len(arrays))
        for start in range(0, len(arrays[0]), step):
            cells = [_cells(array[start : start + step]) for array in arrays]
            text += [",".join(row) for row in zip(*cells, strict=True)]
            file.write("".join(line + "\n" for line in text).encode())
            text = []


def _cells(values: Column) -> list[str]:
    if values.dtype.kind == "U":
        return [_quoted(value) for value in values.tolist()]
    if values.dtype.kind == "b":
        return ["true" if value else "false" for value in values.tolist()]
    if values.dtype == np.float32:
        return [str(value) for value in values]
    return [repr(value) for value in values.tolist()]


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"' if re.search(r'[",\r\n]|^\s|\s$|^$', text) else text


@contextmanager
def _opened(path: Path) -> Iterator[tuple[list[str], Iterator[tuple[int, list[str]]]]]:
    """Open a CSV file: yield its header, and its rows with line numbers.  Raises DataError if it is not UTF-8."""
    try:
        with opened_text(path) as file:
            text = io.TextIOWrapper(file, encoding="utf-8", newline="")
            reader = csv.reader(text_lines(path, text), strict=True)
            header = _header(path, reader)
            yield header, _rows(path, reader, len(header))
    except UnicodeDecodeError:
        raise _undecodable(path) from None


def _undecodable(path: Path) -> DataError:
    first, bad, line = "", 0, 0
    with opened_text(path) as file:
        for line, text in enumerate(lines_of(path, file), 1):
            try:
                text.decode()
            except UnicodeDecodeError as error:
                first = first or f", line {line}: byte {error.start + 1} is {text[error.start]:02x}"
                bad += 1
    return DataError(
        f"{path}{first}, which is not UTF-8; {bad:,} of {line:,} lines have this error: save the file as UTF-8",
        code="data-csv",
    )


def _header(path: Path, reader: Any) -> list[str]:
    def refuse(line: int, what: str) -> DataError:
        return DataError(f"{path}, line {line}: {what}", code="data-csv")

    try:
        names: list[str] = next((row for row in reader if row), [])
    except csv.Error as error:
        raise refuse(reader.line_num, f"{error}: is it CSV?") from None
    if not names:
        raise refuse(1, "the file is empty: its first line must name the columns")
    line = reader.line_num
    if len(names) == 1 and (other := next((sign for sign in ";\t|" if sign in names[0]), None)):
        raise refuse(line, f"cells are separated by {other!r}: separate them by commas")
    if all(is_number(name) for name in names):
        raise refuse(line, f"the first line must name the columns, but holds numbers: {','.join(names)[:40]}")
    for number, name in enumerate(names):
        if not name.strip() or name in names[:number]:
            what = f"two columns are called {name!r}" if name.strip() else f"column {number + 1} has no name"
            raise refuse(line, f"{what}: give every column a different name")
    return names


def _rows(path: Path, reader: Any, width: int) -> Iterator[tuple[int, list[str]]]:
    """Yield line number and cells of each row.  Raises DataError if rows and header differ in length.

    Blank lines are skipped.  The error shows the first wrong row and their number.
    """
    ragged: tuple[int, int] | None = None
    seen = bad = 0
    try:
        for row in reader:
            if not row:
                continue
            seen += 1
            if len(row) != width:
                ragged, bad = ragged or (reader.line_num, len(row)), bad + 1
            elif ragged is None:
                yield reader.line_num, row
    except csv.Error as error:
        raise DataError(
            f"{path}, line {reader.line_num}: {error}: look for an unclosed quote before this line", code="data-csv"
        ) from None
    if ragged is not None:
        line, cells = ragged
        raise DataError(
            f"{path}, line {line}: {cells} cells, but the header has {width} columns; {bad:,} of {seen:,} rows are "
            "of another width: quote cells that contain commas, and give every row the same number of cells",
            code="data-csv",
        )


def _typed(cells: list[str]) -> Column:
    """Convert cells to an array of the narrowest type that fits all: int64, float64, bool or text."""
    stripped = [cell.strip() for cell in cells]
    signs = set("".join(stripped))
    if all(stripped) and signs <= NUMERIC:
        with suppress(ValueError):
            if signs <= WHOLE and max(map(len, stripped)) < 19:  # these always fit int64
                return np.array([int(cell) for cell in stripped], np.int64)
        with suppress(ValueError):
            values = np.array([float(cell) for cell in stripped], np.float64)
            if np.isfinite(values).all():
                return values
    if all(cell.lower() in WORDS for cell in stripped):
        return np.array([WORDS[cell.lower()] for cell in stripped], np.bool_)
    return np.array(cells, np.str_)


def _joined(path: Path, name: str, arrays: list[Column]) -> Column:
    """Join the chunks of a column; if only some are text, read the whole column again as text."""
    kinds = {array.dtype.kind for array in arrays}
    if kinds <= {"i", "f"} or len(kinds) == 1:
        column = np.concatenate(arrays)
    else:
        with _opened(path) as (header, rows):
            at = header.index(name)
            column = np.array([row[at] for _, row in rows], np.str_)
    if column.dtype.kind == "U" and (column == "").any():
        line, _, count, seen = find_cell(path, name, lambda cell: not cell)
        raise DataError(
            f"{path}, line {line}: column {name!r} is empty; {count:,} of {seen:,} rows have no value in it: fill "
            "them in, drop these rows, or choose other columns with --features",
            code="data-missing-value",
        )
    return column

"""Conversion of CSV cells to typed columns: numbers, booleans, ISO 8601 dates and times, or text.

A column has the narrowest kind that fits all its cells; empty cells and other marks for missing values are missing.
"""

import os
import re
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np

from firesteel._files import path_of
from firesteel.datasets.delimited import NUMERIC, WHOLE, WORDS, chunks
from firesteel.datasets.marks import is_missing
from firesteel.errors import DataError
from firesteel.tables.schema import TEXT, ColumnValues

TIME = re.compile(r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(Z|[+-]\d\d:?\d\d)?)?", re.ASCII)
DATE = len("2024-12-31")
INFINITE = set("infityINFITY")
EPOCH = datetime(1970, 1, 1)
TOGETHER = ({"integer", "float"}, {"date", "wall"})
"""Pairs of kinds that may be mixed in a column; the column then has the second kind."""


def read_cells(
    path: str | os.PathLike[str], columns: Sequence[str], text: Collection[str] = ()
) -> dict[str, ColumnValues]:
    """Read columns of a CSV file, and infer whether each holds numbers, booleans, dates, times or text.

    Args:
        path: The file.
        columns: Their names.
        text: Columns to read as text, whatever their cells look like.

    Raises:
        DataError: As `read_csv`, except for empty and long cells.
    """
    path = path_of(path)
    parts: dict[str, list[ColumnValues]] = {name: [] for name in columns}
    for name, cells in chunks(path, columns):
        parts[name].append(values_of(cells, name in text))
    if not any(parts.values()):
        raise DataError(f"{path}: contains no rows below the header: give at least one", code="data-empty")
    kinds = {name: {one.kind for one in found if not one.absent.all()} for name, found in parts.items()}
    mixed = [name for name, found in kinds.items() if len(found) > 1 and not any(found <= two for two in TOGETHER)]
    for name in mixed:
        parts[name], kinds[name] = [], {TEXT}
    for name, cells in chunks(path, mixed) if mixed else ():
        parts[name].append(values_of(cells, True))
    return {name: _joined(found, max(kinds[name] or {TEXT}, key=ORDER.index)) for name, found in parts.items()}


ORDER = ("boolean", "integer", "float", "date", "wall", "timestamp", TEXT)


def _joined(parts: Sequence[ColumnValues], kind: str) -> ColumnValues:
    gone = np.concatenate([part.absent for part in parts])
    if kind != TEXT:
        dtype = np.float64 if kind == "float" else np.int64
        return ColumnValues(kind, np.concatenate([part.data.astype(dtype) for part in parts]), gone)
    numbers = dict[str, int]()
    data = []
    for part in parts:
        codes = [numbers.setdefault(word, len(numbers)) for word in part.words]
        data.append(np.array(codes or [0], np.int32)[part.data])
    return ColumnValues(TEXT, np.concatenate(data), gone, list(numbers))


def values_of(cells: Sequence[str], text: bool = False) -> ColumnValues:
    """Convert cells to the narrowest kind that fits all: booleans, numbers, dates, times or text.

    Missing values fit every kind.

    >>> [values_of(cells).kind for cells in (["1", "NA"], ["1.5", "2"], ["True", ""], ["2024-01-31"], ["1", "x"])]
    ['integer', 'float', 'boolean', 'date', 'text']
    """
    different = {cell: 0 for cell in cells}
    words = [cell for cell in different if not is_missing(cell)]
    different |= {cell: number for number, cell in enumerate(words)}
    codes = np.fromiter(map(different.__getitem__, cells), np.int32, len(cells))
    blank = [cell for cell in different if is_missing(cell)]
    gone = np.fromiter(map(set(blank).__contains__, cells), bool, len(cells)) if blank else None
    found = None if text or not words else _plain([word.strip() for word in words])
    if found is None:
        return ColumnValues(TEXT, codes, gone, words)
    return replace(found, data=found.data[codes], missing=gone)


def _plain(cells: list[str]) -> ColumnValues | None:
    """Convert distinct cells to numbers, booleans or times; return None if they are text."""
    signs = set("".join(cells))
    if signs <= NUMERIC | INFINITE:
        with suppress(ValueError):
            if signs <= WHOLE and max(map(len, cells)) < 19:  # these always fit int64
                return ColumnValues("integer", np.array([int(cell) for cell in cells], np.int64))
        with suppress(ValueError):
            return ColumnValues("float", np.array([float(cell) for cell in cells], np.float64))
    if all(cell.lower() in WORDS for cell in cells):
        return ColumnValues("boolean", np.array([WORDS[cell.lower()] for cell in cells], np.int64))
    return _times(cells)


def _times(cells: list[str]) -> ColumnValues | None:
    zones = set[bool]()
    for cell in cells:
        match = TIME.fullmatch(cell)
        if match is None:
            return None
        zones.add(match[1] is not None)
    if len(zones) > 1:
        return None
    begin = EPOCH.replace(tzinfo=UTC) if True in zones else EPOCH
    with suppress(ValueError):
        data = np.array([_microseconds(datetime.fromisoformat(cell), begin) for cell in cells], np.int64)
        kind = "timestamp" if True in zones else "wall" if any(len(cell) > DATE for cell in cells) else "date"
        return ColumnValues(kind, data)
    return None


def _microseconds(moment: datetime, begin: datetime) -> int:
    far = moment - begin
    return (far.days * 86_400 + far.seconds) * 1_000_000 + far.microseconds

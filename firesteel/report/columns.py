"""How the report describes a table's columns: a profile of each, the values of a row, and partial dependence.

Everything is computed from flat rows and the schema that encoded them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from firesteel.core.types import Array
from firesteel.tables.importance import Importances, whole
from firesteel.tables.schema import (
    ABSENT,
    CLIP,
    DAY,
    UNSEEN,
    CategoryColumn,
    NumberColumn,
    Schema,
    TableColumn,
    TimeColumn,
)

EFFECTS, POINTS, EFFECT_ROWS = 3, 10, 500
"""Greatest numbers of numeric columns and of categories whose effect is shown, of values for each, and of rows."""
DIGITS = 1e-6
"""Resolution of a flat row, relative to a column's scale."""
Codes = npt.NDArray[np.intp]


@dataclass(frozen=True)
class EncodedColumn:
    """A column of the table's schema, and which inputs of the network it is encoded as."""

    column: TableColumn
    numbers: range
    plain: range
    code: int | None

    @property
    def at(self) -> list[int]:
        """Positions of all inputs of this column."""
        return [*self.numbers, *self.plain, *([] if self.code is None else [self.code])]

    @property
    def levels(self) -> int:
        """Number of known categories."""
        return self.column.count - 2 if self.code is not None else len(getattr(self.column, "levels", ()))

    def missing(self, x: Array) -> npt.NDArray[np.bool_]:
        """Return a mask (n,), True for rows where the column has no value; all False if no training row lacked it."""
        if not getattr(self.column, "missing", False):
            return np.zeros(len(x), bool)
        return x[:, self.plain[-1]] == 1 if self.plain else x[:, self.code] == ABSENT

    def codes(self, x: Array) -> Codes | None:
        """Return the code of each row's category, (n,); None if the column is not categorical."""
        if self.code is not None:
            return x[:, self.code].astype(np.intp)
        if not isinstance(self.column, CategoryColumn):
            return None
        shown = x[:, self.plain][:, : len(self.plain) - self.column.missing]
        codes = np.where((shown != 0).any(axis=1), np.abs(shown).argmax(axis=1) + 2, UNSEEN)
        if len(self.column.levels) == 2:
            codes += shown[:, 0] > 0
        return np.where(self.missing(x), ABSENT, codes)

    def value(self, row: Array) -> str:
        """Return a row's value, (I,), as text: numbers with four digits, times as dates."""
        column, x = self.column, row[None]
        if self.missing(x)[0]:
            return "missing"
        if isinstance(column, CategoryColumn):
            code = int(self.codes(x)[0])  # type: ignore[index]
            return column.levels[code - 2] if code > ABSENT else "unknown"
        assert isinstance(column, NumberColumn | TimeColumn)
        z = np.clip(float(row[self.numbers[0]]) / CLIP, -0.999999, 0.999999)
        value = column.centre + column.scale * CLIP * z / np.sqrt(1 - z * z)
        value = np.round(value / (unit := column.scale * DIGITS)) * unit + 0.0
        if isinstance(column, NumberColumn):
            return f"{value:.4g}"
        value += DAY / 2 if column.kind == "date" else unit  # rounding may have moved it before midnight
        first, last = (np.datetime64(f"{year}-12-31", "us").astype(np.int64) for year in ("0000", "9999"))
        return str(np.datetime64(int(np.clip(value, first, last)), "us").astype("M8[D]"))


def encoded_columns(schema: Schema) -> dict[str, list[EncodedColumn]]:
    """Map the name of each table column to its encoded columns: several for an array column, otherwise one."""
    number, plain, code = 0, schema.shape[0], schema.shape[0] + schema.shape[1]
    found: dict[str, list[EncodedColumn]] = {}
    for column in schema.columns:
        numbers, flags = range(number, number + len(column.edges_of)), range(plain, plain + len(column.plain_of))
        one = EncodedColumn(column, numbers, flags, code if column.count else None)
        number, plain, code = numbers.stop, flags.stop, code + (column.count > 0)
        found.setdefault(whole(column.name), []).append(one)
    return found


def described(schema: Schema, training: Array, looked: Array | None) -> list[dict[str, Any]]:
    """Return the profile of each column, from the encoded training rows and, if given, the test rows.

    Args:
        schema: The table's schema.
        training: The training rows.
        looked: The other rows, or None.

    Returns:
        For each column its kind and shares: `missing`; `unseen`, of the rows whose category is unknown; `new`, of
        those whose category occurs in no training row either; and `rare`, an estimate of `new` for rows drawn like
        the training rows.

    Source: Good 1953, for `rare`.
    """
    rows = training if looked is None else looked
    found = []
    for name, parts in encoded_columns(schema).items():
        first = parts[0]
        one: dict[str, Any] = {"column": name, "kind": _kind(parts), "levels": None}
        one["missing"] = np.mean([part.missing(rows).mean() for part in parts])
        if (codes := first.codes(rows)) is not None:
            known = first.codes(training)
            assert known is not None
            one |= {"levels": first.levels, "unseen": (codes == UNSEEN).mean()}
            if looked is not None:
                seen, counts = np.unique(known, return_counts=True)
                one["rare"] = (np.isin(known, seen[counts <= 2]) | (known == UNSEEN)).mean()
                one["new"] = (~np.isin(codes, seen) | (codes == UNSEEN)).mean()
        found.append(one)
    return found + [{"column": name, "left_out": why} for name, why in schema.left_out]


def _kind(parts: Sequence[EncodedColumn]) -> str:
    column = parts[0].column
    if len(parts) > 1:
        return f"{len(parts):,} elements"
    if isinstance(column, TimeColumn):
        return "date" if column.kind == "date" else "time"
    return "words" if isinstance(column, CategoryColumn) else "number"


def effects(
    schema: Schema, x: Array, w: Array, importances: Importances, mean: Callable[[Array, Array], float]
) -> list[dict[str, Any]]:
    """Return the partial dependence on the most important columns, a few of each kind.

    Only columns whose importance exceeds its standard error are used.  A value is set in all rows with all the inputs
    that encode it.

    Args:
        schema: The table's schema.
        x: Flat rows, (n, I).
        w: Row weights, (n,).
        importances: The columns' importances.
        mean: Returns the weighted mean prediction of rows.

    Source: Friedman 2001, section 8.2.
    """
    columns, left = encoded_columns(schema), {"number": EFFECTS, "words": EFFECTS}
    some, w = x[:EFFECT_ROWS], w[:EFFECT_ROWS]
    found: list[dict[str, Any]] = []
    for row in sorted(importances.rows, key=lambda row: -row["importance"]):
        parts = columns[row["column"]]
        kind = "words" if isinstance(parts[0].column, CategoryColumn) else "number"
        if len(parts) > 1 or row["importance"] <= row["standardError"] or not left[kind]:
            continue
        left[kind] -= 1
        points = []
        for donor, share in _donors(parts[0], x):
            moved = some.copy()
            moved[:, parts[0].at] = x[donor, parts[0].at]
            point = {"value": parts[0].value(x[donor]), "rows": share, "prediction": mean(moved, w)}
            points.append(point)
        found.append({"column": row["column"], "points": points})
    return found


def _donors(part: EncodedColumn, x: Array) -> list[tuple[int, float | None]]:
    """Choose rows to copy a column's value from, one per category or quantile; return (row, share) pairs."""
    _, first, counts = np.unique(x[:, part.at], axis=0, return_index=True, return_counts=True)
    if isinstance(part.column, CategoryColumn) or len(first) <= POINTS:
        most = np.argsort(-counts, kind="stable")[:POINTS]
        if part.numbers:
            most = most[np.argsort(x[first[most], part.numbers[0]], kind="stable")]
        return [(int(first[at]), float(counts[at] / len(x))) for at in most]
    there = np.flatnonzero(~part.missing(x))
    order = there[np.argsort(x[there, part.numbers[0]], kind="stable")]
    places = np.linspace(0.05, 0.95, POINTS) * (len(order) - 1)
    rows = order[np.unique(places.astype(np.intp))]
    fresh = np.append(True, x[rows[1:], part.numbers[0]] != x[rows[:-1], part.numbers[0]])
    return [(int(row), None) for row in rows[fresh]]

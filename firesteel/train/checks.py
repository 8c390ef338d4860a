"""Data validation: what rows must satisfy, checked before the first update, alike for arrays and DataFrames.

`find_faults` counts the faults of some rows and keeps the first example of each kind; `count_classes` counts classes.
Both add up over batches, and neither knows what the rows are for.  `refuse` turns the faults that matter for a loss
into one error that says what, where, how many, and what to do.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from firesteel.core.csr import CSR, Features
from firesteel.core.types import Array
from firesteel.errors import DataError
from firesteel.train.centring import FAR, WIDE

__all__ = [
    "INEXACT",
    "MOST_CLASSES",
    "FLAT",
    "Class",
    "Classes",
    "Finding",
    "Findings",
    "Rule",
    "check_classes",
    "called",
    "count_classes",
    "finite_rows",
    "in_float32",
    "find_faults",
    "merge",
    "merge_classes",
    "index_faults",
    "refuse",
]


@dataclass(frozen=True)
class Rule:
    """Rule that the targets of a loss must satisfy, such as being class indices.

    Args:
        targets: `"real"`, `"unit"` (in [0, 1]), `"count"` (at least 0), `"sign"` (-1, 0 or 1) or `"class"` (an
            integer of at least 0).
        classes: The number of classes, if known; classes are below it.
    """

    targets: str = "real"
    classes: int | None = None


@dataclass(frozen=True)
class Finding:
    """Faulty rows of one kind: their number, and the first of them as an example.

    Args:
        rows: The number of rows that have it.
        where: The position of the first such row, as text.
        value: Its value, as text.
        column: Its column, if it has one.
    """

    rows: int
    where: str
    value: str
    column: int | None = None


Findings = dict[str, Finding]
MOST_EXACT = {4: 2.0**24, 8: 2.0**53}
"""Up to this size a float of so many bytes represents every integer."""

OUTSIDE = "a class outside the range"
FROM_ZERO = "number the classes from 0, and give the last layer one output per class"
KINDS: dict[str, tuple[str, str, str]] = {
    "null-features": ("features", "no value (null)", "drop those rows, or fill in their values"),
    "index-range": ("features", "an index outside its row", "declare longer rows, or remove these values"),
    "index-order": (
        "features",
        "indices that do not ascend",
        "sort the indices of each row, and add up values with equal indices (scipy: sum_duplicates)",
    ),
    "null-item": ("features", "a null inside", "replace the nulls, or drop those rows"),
    "nan": ("features", "NaN", "drop those rows, or fill in their values"),
    "infinite": ("features", "an infinite value", "replace or drop it; values beyond 3.4e38 do not fit float32"),
    "null-label": ("label", "no value (null or NaN)", "drop those rows: nothing can be learned from them"),
    "label-infinite": ("label", "an infinite value", "replace or drop it"),
    "label-fractional": ("label", "a number that is not a class", "number the classes 0, 1, 2, ..."),
    "label-range": ("label", OUTSIDE, FROM_ZERO),
    "label-unit": ("label", "a number outside [0, 1]", "this loss takes probabilities, one-hot rows or 0 and 1"),
    "label-count": ("label", "a negative number", "this loss takes counts, or other amounts of at least 0"),
    "label-sign": ("label", "a number other than -1, 0 and 1", "this loss takes -1 and 1, or 0 and 1"),
    "null-id": ("id", "no value (null)", "fill it in, or name a column that identifies every row"),
    "null-held": ("held", "no value (null)", "fill it in: true for validation, false for training"),
    "null-weight": ("weight", "no value (null or NaN)", "fill in the weights; weight 0 leaves a row out"),
    "weight-infinite": ("weight", "an infinite value", "replace it"),
    "negative-weight": ("weight", "a negative number", "give weights of 0 or more"),
}
"""The kinds of faults by code: (the column's role, the fault, the remedy)."""
ONLY_FOR = {
    "label-fractional": "class",
    "label-range": "class",
    "label-unit": "unit",
    "label-count": "count",
    "label-sign": "sign",
}
"""Faults that matter for one kind of targets only."""
INEXACT = "inexact in column "
"""Prefix of the codes, with a column's number, of integers that the network's dtype cannot represent: a warning."""
FLAT = "flat in column "
"""Prefix of the codes, with a column's number, of columns of wide rows that lie too far from zero: a warning."""
MOST_INEXACT = 100
"""The most columns that are reported."""


def find_faults(x: Features, y: Array, w: Array, dtype: np.dtype[Any], where: Callable[[int], str]) -> Findings:
    """Find faults in rows: missing, infinite or non-numeric values, and invalid targets and weights.

    Args:
        x: The features, (n, I), of any real dtype, or non-zeros.
        y: The targets, (n, T).
        w: The weights, (n,).
        dtype: The dtype of the network.
        where: Describes the position of the n-th row.
    """
    found: Findings = {}
    sparse, x = (x, x.values) if isinstance(x, CSR) else (None, x)

    def note_features(code: str, bad: npt.NDArray[np.bool_]) -> None:
        if sparse is None and bad.any():
            note(code, bad, x)
        elif sparse is not None and bad.any():
            at = np.flatnonzero(bad)
            rows, column = sparse.rows[at], int(sparse.indices[at[0]])
            found[code] = Finding(len(np.unique(rows)), where(int(rows[0])), _shown(x[at[0]]), column)

    def note(code: str, bad: npt.NDArray[np.bool_], values: npt.NDArray[Any]) -> None:
        rows = bad if bad.ndim == 1 else bad.any(axis=1)
        row = int(rows.argmax())
        column = int(bad[row].argmax()) if bad.ndim == 2 else None
        value = values[row] if column is None else values[row, column]
        found[code] = Finding(int(np.count_nonzero(rows)), where(row), _shown(value), column)

    with np.errstate(over="ignore", invalid="ignore"):  # values beyond float32 become infinite, and are found
        small = x.dtype.kind != "f" and x.dtype.itemsize < 4
        finite, most = (True, 0.0) if small else extent(x, dtype)
        y_kept, w_kept = y.astype(dtype), w.astype(dtype)
    if not finite:
        nan = np.isnan(x)
        note_features("nan", nan)
        with np.errstate(over="ignore"):
            note_features("infinite", ~np.isfinite(x.astype(dtype, copy=False)) & ~nan)
    if not found and most >= MOST_EXACT[dtype.itemsize]:
        kept = x.astype(dtype, copy=False)
        size = np.abs(x)  # Spark has no integers beyond 2^63
        bad = (x == np.rint(x)) & ((x != kept) | (size >= 2.0**53)) & (size < 2.0**63)
        rows, columns = np.nonzero(bad) if sparse is None else (sparse.rows[bad], sparse.indices[bad])
        numbers, first, counts = np.unique(columns, return_index=True, return_counts=True)
        for column, at, count in list(zip(numbers.tolist(), first, counts.tolist(), strict=True))[:MOST_INEXACT]:
            found[f"{INEXACT}{column}"] = Finding(count, where(int(rows[at])), _shown(x[bad][at]), column)
    if finite and dtype == np.float32 and (sparse or x).shape[1] >= WIDE:
        found |= _flat((sparse or CSR.of(x[:64]))[:256])
    nan = np.isnan(y)
    fractional = (y != np.floor(y)) & ~nan
    for code, bad, values in (
        ("null-label", nan, y),
        ("label-infinite", np.isinf(y_kept), y),
        ("label-fractional", fractional, y),
        ("label-range", ~fractional & ((y < 0) | (y >= 2**24)), y),
        ("label-unit", (y < 0) | (y > 1), y),
        ("label-count", y < 0, y),
        ("label-sign", ~np.isin(y, (-1, 0, 1)) & ~nan, y),
        ("null-weight", np.isnan(w), w),
        ("weight-infinite", np.isinf(w_kept), w),
        ("negative-weight", w < 0, w),
    ):
        if bad.any():
            note(code, bad, values)
    return found


def _flat(x: CSR) -> Findings:
    """Return columns of sparse rows whose values lie too close together for float32 to tell them apart."""
    order = np.lexsort((x.values, x.indices))
    v, columns = x.values[order].astype(np.float64), x.indices[order]
    first = np.flatnonzero(np.diff(columns, prepend=-1))
    count = np.diff(np.append(first, len(v)))
    spread, size = v[first + count - 1 - count // 4] - v[first + count // 4], v[first + count // 2]
    error = np.add.reduceat(np.abs(v.astype(np.float32) - v), first) / count if len(v) else spread
    found = np.flatnonzero((count >= 8) & (spread > 0) & (spread < FAR * error))[:MOST_INEXACT]
    text = "they lie around {:.6g}, vary by {:.3g} and are rounded by {:.3g}"
    return {
        f"{FLAT}{columns[first[at]]}": Finding(
            int(count[at]), "", text.format(size[at], spread[at], error[at]), int(columns[first[at]])
        )
        for at in found
    }


def in_float32(x: Features) -> bool:
    """Return whether float32 represents all numbers of an array exactly.

    Example:
        >>> [in_float32(np.array([v])) for v in (0.5, 2.0**24, 2.0**24 + 1, 0.1)]
        [True, True, False, False]
    """
    values = x.values if isinstance(x, CSR) else x
    with np.errstate(over="ignore"):
        return bool((values.astype(np.float32) == values).all())


def finite_rows(x: Features, dtype: np.dtype[Any] | str) -> npt.NDArray[np.bool_]:
    """Return a mask of the rows of x (n, I) whose values are all finite in `dtype`."""
    if not isinstance(x, CSR):
        return np.asarray(np.isfinite(x.astype(dtype, copy=False)).all(axis=1))
    fine = np.ones(len(x), bool)
    fine[x.rows[~np.isfinite(x.values.astype(dtype))]] = False
    return fine


def index_faults(x: CSR, where: Callable[[int], str]) -> tuple[Findings, npt.NDArray[np.bool_]]:
    """Find faults in the indices of sparse rows; return them, and a mask (n,) of the rows that have one.

    Args:
        x: The rows.
        where: Describes the position of the n-th row.

    Example:
        >>> x = CSR(np.array([0, 2]), np.array([5, 3], np.int32), np.ones(2), 8)
        >>> index_faults(x, str)
        ({'index-order': Finding(rows=1, where='0', value='3 after 5', column=None)}, array([ True]))
    """
    found, bad = {}, np.zeros(len(x), bool)
    outside = np.flatnonzero((x.indices < 0) | (x.indices >= x.width))
    after = np.setdiff1d(np.flatnonzero(np.diff(x.indices) <= 0) + 1, x.indptr)
    for code, at in (("index-range", outside), ("index-order", after)):
        if len(at):
            k, rows = int(at[0]), x.rows
            before = f"{x.indices[k]} after {x.indices[k - 1]}"
            shown = f"{x.indices[k]}, of {x.width:,} columns," if code == "index-range" else before
            found[code] = Finding(len(np.unique(rows[at])), where(int(rows[k])), shown)
            bad[rows[at]] = True
    return found, bad


def extent(x: npt.NDArray[Any], dtype: np.dtype[Any]) -> tuple[bool, float]:
    """Return (whether all values are finite after conversion to `dtype`, largest absolute value)."""
    ends, rows = [0.0], max(1, (1 << 17) // (x.shape[1] if x.ndim == 2 and x.shape[1] else 1))
    for at in range(0, len(x) if x.size else 0, rows):
        part = x[at : at + rows]
        ends += [float(part.max()), float(part.min())]  # NaN if any value is
    most = float(np.abs(np.array(ends)).max().astype(dtype))
    return math.isfinite(most), most


def _shown(value: Any) -> str:
    return str(value).removesuffix(".0")


def merge(a: Findings, b: Mapping[str, Finding]) -> Findings:
    """Merge the faults found in two parts of the rows; examples come from `a` first."""
    both = dict(b) | a
    return {
        code: replace(f, rows=f.rows + b[code].rows) if code in a and code in b else f for code, f in both.items()
    }


def refuse(
    found: Findings, rows: int, names: Mapping[str, str], columns: Sequence[str] | None = None, targets: str = ""
) -> None:
    """Raise DataError for the first fault, in the order of `KINDS`; do nothing if there is none.

    Args:
        found: The faults.
        rows: The number of rows.
        names: The names of "features", "label" and "weight" here.
        columns: The names of the features, if they have names.
        targets: The kind of targets, as in Rule; empty if it is open.
    """
    found = {code: f for code, f in found.items() if ONLY_FOR.get(code, targets) == targets}
    for code, (part, what, remedy) in KINDS.items():
        if code not in found:
            continue
        f = found[code]
        others = [KINDS[other][1] for other in found if other != code and other in KINDS]
        also = f"  Also found: {', '.join(others)}." if others else ""
        raise DataError(
            f"{called(part, f.column, names, columns)} holds {what}: {f.value} at {f.where}; {f.rows:,} of {rows:,} "
            f"rows have this error.  To do: {remedy}.{also}",
            code=f"data-{code}",
        )


def called(part: str, column: int | None, names: Mapping[str, str], columns: Sequence[str] | None) -> str:
    """Return how messages name a column.  part: "features", "label" or "weight"."""
    if part == "features" and column is not None:
        return names[part] + (f" ({columns[column]})" if columns else f", position {column},")
    return names[part] + (f", position {column}," if part == "label" and column else "")


# Classes


@dataclass(frozen=True)
class Class:
    """Number of training and validation rows of a class, and the position of one of them.

    Args:
        rows: The number of training rows.
        held: The number of validation rows.
        where: The position of a row of the class.
    """

    rows: int
    held: int
    where: str


Classes = dict[int, Class]
MOST_CLASSES = 1 << 16
"""The most classes that are counted; targets with more are not classes."""


def count_classes(y: Array, held: npt.NDArray[np.bool_], where: Callable[[int], str]) -> Classes:
    """Count the rows of each class; return an empty dict if there are several columns of targets.

    Args:
        y: The targets, (n, T).
        held: Which rows are validation rows, (n,).
        where: Describes the position of the n-th row.

    Example:
        >>> count_classes(np.array([[0.0], [2.0], [2.5], [2.0]]), np.array([False, True, False, False]), str)
        {0: Class(rows=1, held=0, where='0'), 2: Class(rows=1, held=1, where='1')}
    """
    if y.shape[1] != 1:
        return {}
    rows = np.flatnonzero((y[:, 0] == np.floor(y[:, 0])) & (y[:, 0] >= 0) & (y[:, 0] < 2**24))
    found, first, which = np.unique(y[rows, 0], return_index=True, return_inverse=True)
    total, out = np.bincount(which, None, len(found)), np.bincount(which, held[rows], len(found))
    return {
        int(number): Class(int(n - h), int(h), where(int(rows[at])))
        for number, at, n, h in zip(found[: MOST_CLASSES + 1], first, total, out, strict=False)
    }


def merge_classes(a: Classes, b: Classes) -> Classes:
    """Add the class counts of two parts of the rows; positions of examples come from `a` first."""
    both = {
        number: Class(one.rows + b[number].rows, one.held + b[number].held, one.where) if number in b else one
        for number, one in a.items()
    }
    for number in b:
        if len(both) <= MOST_CLASSES:
            both.setdefault(number, b[number])
    return both


def check_classes(classes: Classes, outputs: int, rows: int, name: str) -> None:
    """Raise DataError if a class index is not below the network's number of outputs."""
    outside = {number: one for number, one in classes.items() if number >= outputs}
    if outside:
        number, one = next(iter(outside.items()))
        count = sum(one.rows + one.held for one in outside.values())
        raise DataError(
            f"{name} holds {OUTSIDE}: {number} at {one.where}; {count:,} of {rows:,} rows have this error.  "
            f"To do: {FROM_ZERO}.",
            code="data-label-range",
        )

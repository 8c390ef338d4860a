"""The third gate: what the rows themselves must be, looked at before the first update, alike on arrays and on frames.

`look` counts what is wrong in some rows and keeps the first example of each kind; findings add up over batches, and
`refuse` turns them into one error that says what, where, how many and what to do.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from firesteel.core.types import Array
from firesteel.errors import DataError

__all__ = ["Finding", "Findings", "Rule", "look", "merge", "refuse"]


@dataclass(frozen=True)
class Rule:
    """What targets must be: "real", "unit" (in [0, 1]) or "class" (integers, below `classes` if that is known)."""

    targets: str = "real"
    classes: int | None = None


@dataclass(frozen=True)
class Finding:
    """One kind of fault: how many rows have it, and the first of them seen."""

    rows: int
    where: str
    value: str
    column: int | None = None


Findings = dict[str, Finding]

KINDS: dict[str, tuple[str, str, str]] = {
    "null-features": ("features", "no value (null)", "drop those rows, or fill them in"),
    "null-item": ("features", "a null inside", "fill it in, or drop those rows"),
    "nan": ("features", "NaN", "drop those rows, or fill them in"),
    "infinite": ("features", "an infinite value", "replace or drop it; values beyond 3.4e38 do not fit float32"),
    "null-label": ("label", "no value (null or NaN)", "drop those rows: nothing can be learned from them"),
    "label-infinite": ("label", "an infinite value", "replace or drop it"),
    "label-fractional": ("label", "a number that is not a class", "number the classes 0, 1, 2, ... in whole numbers"),
    "label-range": (
        "label",
        "a class outside the range",
        "number the classes from 0, and give the last layer as many outputs as there are classes",
    ),
    "label-unit": ("label", "a number outside [0, 1]", "this loss takes probabilities, one-hot rows or 0 and 1"),
    "null-weight": ("weight", "no value (null or NaN)", "fill it in; 0 leaves a row out"),
    "weight-infinite": ("weight", "an infinite value", "replace it"),
    "negative-weight": ("weight", "a negative number", "weights are counts or importances: 0 or more"),
}
"""code: (which column, what is there, what to do)."""


def look(
    x: npt.NDArray[Any], y: Array, w: Array, rule: Rule, dtype: np.dtype[Any], where: Callable[[int], str]
) -> Findings:
    """Return what is wrong with these rows.

    x: (n, I) of any real dtype  y: (n, T)  w: (n,)  where: says in words which row the n-th is.
    """
    found: Findings = {}

    def note(code: str, bad: npt.NDArray[np.bool_], values: npt.NDArray[Any]) -> None:
        rows = bad if bad.ndim == 1 else bad.any(axis=1)
        count = int(np.count_nonzero(rows))
        if count:
            row = int(rows.argmax())
            column = int(bad[row].argmax()) if bad.ndim == 2 else None
            value = values[row] if column is None else values[row, column]
            found[code] = Finding(count, where(row), _shown(value), column)

    with np.errstate(over="ignore", invalid="ignore"):  # what lies beyond float32 becomes infinite, and is found
        kept = x.astype(dtype, copy=False) if x.dtype.kind == "f" else np.zeros(0)
        finite = np.isfinite(kept.sum())  # one sum says that all is well; only if not, each value is looked at
        y_kept, w_kept = y.astype(dtype), w.astype(dtype)
    if not finite:
        nan = np.isnan(x)
        note("nan", nan, x)
        note("infinite", ~np.isfinite(kept) & ~nan, x)
    nan = np.isnan(y)
    note("null-label", nan, y)
    note("label-infinite", np.isinf(y_kept), y)
    if rule.targets == "class":
        fractional = (y != np.floor(y)) & ~nan
        note("label-fractional", fractional, y)
        note("label-range", ~fractional & ((y < 0) | (y >= (rule.classes or 2**24))), y)
    if rule.targets == "unit":
        note("label-unit", (y < 0) | (y > 1), y)
    note("null-weight", np.isnan(w), w)
    note("weight-infinite", np.isinf(w_kept), w)
    note("negative-weight", w < 0, w)
    return found


def _shown(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float | np.floating) else str(value)


def merge(a: Findings, b: Mapping[str, Finding]) -> Findings:
    """Return the findings of both; examples come from `a` first."""
    both = dict(b) | a
    return {
        code: replace(f, rows=f.rows + b[code].rows) if code in a and code in b else f for code, f in both.items()
    }


def refuse(found: Findings, rows: int, names: Mapping[str, str], columns: list[str] | None = None) -> None:
    """Raise the DataError that describes the worst finding, if there is one.

    rows: how many rows there are.  names: what "features", "label" and "weight" are called here.
    columns: names of the features, where they have names.
    """
    for code, (part, what, remedy) in KINDS.items():
        if code not in found:
            continue
        f = found[code]
        name = names[part]
        if part == "features" and f.column is not None:
            name += f" ({columns[f.column]})" if columns else f", position {f.column},"
        elif part == "label" and f.column:
            name += f", position {f.column},"
        others = [KINDS[other][1] for other in found if other != code]
        also = f"  There is also {', '.join(others)}." if others else ""
        raise DataError(
            f"{name} holds {what}: {f.value} at {f.where}; {f.rows:,} of {rows:,} rows are like that.  "
            f"To do: {remedy}.{also}",
            code=f"data-{code}",
        )

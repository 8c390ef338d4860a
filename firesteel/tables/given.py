"""Conversion of lists, data frames and sparse matrices to the numeric arrays used in training.

Masks, nulls, time units and decimals are respected or refused; missing values become NaN, which data validation
refuses with the row.  Next: `train/source.py`.
"""

import contextlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from firesteel.core.csr import CSR, Features
from firesteel.core.spec import whole
from firesteel.core.types import Array
from firesteel.errors import ConfigError, DataError
from firesteel.train.checks import index_faults, refuse
from firesteel.train.source import Source

NAMES = {"features": "x", "label": "y", "weight": "sample_weight"}
"""Names of the parts of rows in messages."""
MISSING = ("MaskedConstant", "NAType", "NaTType", "NoneType")
"""Types of missing values: NumPy's, pandas' and Python's."""
INTO = {
    "M": "seconds, such as x.astype('datetime64[s]').astype(float)",
    "m": "seconds, such as x / np.timedelta64(1, 's')",
    "c": "the real and imaginary parts as two columns",
    "V": "one column per field with numpy.lib.recfunctions.structured_to_unstructured(x)",
    "O": "class numbers, or a 0/1 column for each category",
}
"""Conversions to suggest for each kind of values."""


def rows_of(
    x: Any, y: Any, weight: Any, names: Mapping[str, str] = NAMES, inputs: int | None = None
) -> tuple[Features, Array, Array]:
    """Convert x, y and row weights to arrays of equal length: inputs (n, I), targets (n, T), weights (n,).

    Args:
        x: Numbers, (n, I), or a sparse matrix with `tocsr`.
        y: Targets, (n,) or (n, T).
        weight: Row weights, (n,); None is 1.
        names: Names of the parts in messages.
        inputs: I of the network, if known.

    Raises:
        DataError: If values are not numbers, or shapes do not fit together.
        ConfigError: If x or y is missing.
    """
    features = features_of(x, names["features"], inputs)
    targets = _numbers(names["label"], y).astype(np.float64, copy=False)
    weights = np.ones(len(features)) if weight is None else _numbers(names["weight"], weight).astype(np.float64)
    for part, array, most, code in (("label", targets, 2, "len(y), -1"), ("weight", weights, 1, "-1")):
        name, write = names[part], f"write {NAMES[part]}.reshape"
        if not array.ndim:
            raise _refused(f"{name} is a single number: give one number per row")
        if array.ndim > most:
            raise _refused(f"{name} has {array.ndim} axes, but must have at most {most}: {write}({code})")
        if len(array) != len(features):
            counts = f"{names['features']} has {len(features):,} rows, but {name} has {len(array):,}"
            hint = f": {write}(-1)" if array.shape == (1, len(features)) else ""
            what = f"{counts}: both must have the same number of rows{hint}"
            raise _refused(what, "data-lengths")
    return features, targets[:, None] if targets.ndim == 1 else targets, weights


def features_of(x: Any, name: str = "x", inputs: int | None = None) -> Features:
    """Convert inputs to a numeric array, (n, I), or to a CSR matrix if they are sparse.

    Raises DataError for anything else.
    """
    if hasattr(x, "tocsr") and len(x.shape) == 2:
        return _sparse(x.tocsr(), name)
    array = _numbers(name, x)
    if array.ndim != 2:
        what = f"{name} has shape {array.shape}: it must be rows of numbers, (rows, inputs)"
        raise _refused(f"{what}: {_rows(array, inputs)}")
    if not array.shape[1]:
        raise _refused(f"{name} has no columns: give at least one")
    return array


def listed(name: str, given: Any, one: type | None = None) -> list[Any]:
    """Convert an argument that accepts several objects to a list; None becomes an empty list.

    Args:
        name: Name of the argument.
        given: Its value.
        one: A type of which a single object is accepted too.

    Raises:
        ConfigError: If the value is not iterable, or is text or a dictionary.
    """
    if given is None or (one is not None and isinstance(given, one)):
        return [] if given is None else [given]
    try:
        items = list(given)
    except TypeError:
        items = None
    if items is None or isinstance(given, str | bytes | Mapping):
        raise ConfigError(f"{name}={given!r}: give a list, [{given!r}]", code=f"config-{name}")
    return items


def checked_batch(size: int | None) -> None:
    """Raise ConfigError if a batch size is neither None nor a positive integer."""
    if size is not None and (whole(size) or 0) < 1:
        raise ConfigError(f"batch_size={size!r}: it must be an integer of at least 1", code="config-value")


def _refused(text: str, code: str = "data-shape") -> DataError:
    return DataError(text, code=code)


def _rows(array: npt.NDArray[Any], inputs: int | None) -> str:
    """Return advice for an error message: how to reshape this array to (rows, inputs)."""
    column, row, each = "x.reshape(-1, 1)", "x.reshape(1, -1)", "x.reshape(len(x), -1)"
    if not array.ndim:
        return "for one row with one number write [[x]]"
    if array.ndim == 1:
        both = f"for rows with one number each write {column}, for one row {row}"
        return f"write {column}" if inputs == 1 else f"for one row write {row}" if inputs == len(array) else both
    if array.ndim == 3 and len(array) == 1 and inputs in (None, array.shape[2]):
        return "write x[0]" if inputs else f"if x[0] holds the rows write x[0], if x is one row write {each}"
    return f"write x.reshape(-1, {inputs})" if inputs == array.shape[-1] else f"write {each}"


def _sparse(x: Any, name: str) -> CSR:
    """Convert a sparse matrix to `CSR`.  Raises DataError if values are not numbers, or indices are invalid."""
    if x.dtype.kind not in "uifb":
        raise _no_numbers(f"{name} holds {x.dtype} values in all {x.shape[0]:,} rows", x.dtype.kind)
    if not 0 < x.shape[1] < 1 << 31:
        raise _refused(f"{name} has {x.shape[1]:,} columns: give at least one and fewer than 2^31")
    values = x.data.astype(np.float64) if x.dtype.kind == "b" or x.dtype == np.float16 else x.data
    rows = CSR(x.indptr.astype(np.int64), x.indices, values, x.shape[1])
    refuse(index_faults(rows, lambda row: f"row {row}")[0], len(rows), {"features": name})
    return replace(rows, indices=x.indices.astype(np.int32, copy=False))


def _numbers(name: str, values: Any) -> npt.NDArray[Any]:
    """Convert values to a numeric array; booleans, float16 and Python objects become float64."""
    if values is None:
        raise ConfigError(f"{name} is missing: give it with the rows, as in fit(x, y)", code="config-missing")
    if isinstance(values, list | tuple) and any(map(np.ma.is_masked, values)):
        values = np.ma.array(values)
    if np.ma.is_masked(values):
        gap = np.nan if values.dtype.kind in "uifb" else None
        values = np.where(np.ma.getmaskarray(values), gap, values.data)
    kind = type(values).__name__
    try:
        array = np.asarray(values)
    except ValueError:
        what = f"{name} is ragged: all rows must have the same number of values"
        parts = [part for part in values if getattr(part, "ndim", 0)]
        if len(parts) == len(values) and len(set(map(len, parts))) == 1:
            what = f"{name} is a {kind} of {len(values)} arrays: pass them separately, as in fit(x, y)"
        raise _refused(what) from None
    except Exception as error:
        raise _refused(f"{name} is a {kind} that cannot be converted to an array: {error}") from None
    if array.dtype.kind in "US" and not isinstance(values, np.ndarray):
        array = np.asarray(values, object)  # keeps numbers among text apart
    if not array.ndim and array.dtype.kind not in "uifb":
        raise _refused(f"{name} is a {kind}, not an array of numbers: give an array, or a list of rows")
    if array.dtype == object and array.size:
        array = _converted(name, array)
    if array.dtype.kind not in "uifb" and (array.dtype.names or not np.can_cast(array.dtype, np.float64)):
        first = f", such as {str(array.flat[0])[:100]!r} at row 0" if array.size else ""
        what = f"{name} holds {array.dtype} values{first}, in all {len(array):,} rows"
        raise _no_numbers(what, array.dtype.kind)
    exact = array.dtype.kind in "uif" and array.dtype.type.__module__ == "numpy" and array.dtype != np.float16
    return array if exact else array.astype(np.float64)


def _no_numbers(what: str, kind: str) -> DataError:
    return _refused(f"{what}: convert them to numbers first ({INTO.get(kind, INTO['O'])})", "data-text")


def _converted(name: str, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Convert an array of Python objects to float64, missing values to NaN.  Raises DataError for non-numbers."""
    gaps = {kind for kind in set(map(type, array.flat)) if kind.__name__ in MISSING}
    if gaps:
        array = np.where(np.frompyfunc(lambda item: type(item) in gaps, 1, 1)(array).astype(bool), np.nan, array)
    with contextlib.suppress(TypeError, ValueError, OverflowError):
        if not any(issubclass(kind, str | bytes) for kind in set(map(type, array.flat))):
            return array.astype(np.float64)
    bad = [(row, item) for row, value in enumerate(array) for item in _items(value) if not _is_number(item)]
    if not bad:
        raise _refused(f"{name} is ragged: make all rows, which are lists, equally long and use np.stack")
    (row, item), count = bad[0], len({row for row, _ in bad})
    rows = f"{count:,} of {len(array):,} rows hold values that are not numbers"
    time = "m" if hasattr(item, "total_seconds") else "M" if hasattr(item, "isoformat") else ""
    kind = time or ("c" if isinstance(item, complex) else "O")
    raise _no_numbers(f"{name} holds {str(item)[:100]!r} at row {row}; {rows}", kind)


def _items(value: Any) -> Any:
    return value if isinstance(value, list | tuple | np.ndarray) else [value]


def _is_number(item: Any) -> bool:
    """Return whether an item is a number; also True for any list, tuple or array, whose items are not checked."""
    try:
        return isinstance(item, list | tuple | np.ndarray) or not (
            isinstance(item, str | bytes) or float(item) is None
        )
    except (TypeError, ValueError, OverflowError):
        return False


def is_frame(x: Any) -> bool:
    """Return whether x is a Spark DataFrame, classic or Connect, without importing Spark."""
    return type(x).__module__.startswith("pyspark.sql.") and hasattr(x, "mapInArrow")


def validation_parts(data: Any, x: Any) -> tuple[Any, Any, Any]:
    """Split `validation_data` into x, y and weights.  Raises ConfigError if its form is not supported."""
    if is_frame(data) and (is_frame(x) or isinstance(x, Source)):
        return data, None, None
    if isinstance(data, tuple | list) and len(data) in (2, 3) and not is_frame(x):
        return data[0], data[1], data[2] if len(data) == 3 else None
    wanted = "a DataFrame like x" if is_frame(x) else "(x, y) or (x, y, weights)"
    raise ConfigError(f"validation_data must be {wanted}", code="config-validation")

"""Tables in memory as columns of `ColumnValues`: pandas, polars and Arrow tables, and mappings of names to arrays.

None of these packages is imported: what a container can do is asked of it.
"""

import datetime
import decimal
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from firesteel.core.elsewhere import nearest
from firesteel.errors import DataError
from firesteel.tables.schema import TEXT, ColumnValues

EPOCH = datetime.datetime(1970, 1, 1)


def is_table(x: Any) -> bool:
    """Return whether this is a table with named columns."""
    if isinstance(x, Mapping):
        return True
    names = getattr(x, "columns", getattr(x, "column_names", None))
    return names is not None and getattr(x, "ndim", 2) == 2 and not hasattr(x, "mapInArrow")


def columns_of(x: Any, kinds: Mapping[str, str] | None = None) -> tuple[dict[str, ColumnValues], int]:
    """Return a table's columns and its number of rows.

    Args:
        x: A table.
        kinds: Of columns whose type does not say it: "category".

    Raises:
        DataError: For columns of different lengths, of the same name, or of a type that is none of a table's.
    """
    if isinstance(x, Mapping):
        named = [(name, x[name]) for name in x]
    elif hasattr(x, "column_names"):
        named = list(zip(x.column_names, x.columns, strict=True))
    else:
        named = [(name, x[name]) for name in x.columns]
    names = [name for name, _ in named]
    if bad := [name for name in names if not isinstance(name, str)]:
        raise DataError(f"the name of a column is {bad[0]!r}: names are text, so rename it", code="data-column")
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise DataError(f"two columns are called {twice!r}: rename one", code="data-column")
    found = {name: values_of(column, name) for name, column in named}
    lengths = {len(values) for values in found.values()}
    if len(lengths) > 1:
        shown = ", ".join(f"{name} {len(values):,}" for name, values in list(found.items())[:5])
        raise DataError(f"columns differ in length ({shown}): give each a value for every row", code="data-lengths")
    for name, kind in (kinds or {}).items():
        if name not in found:
            hint = nearest(name, names)
            raise DataError(
                f"there is no column {name!r}: {hint}there are {', '.join(names[:20])}", code="data-column"
            )
        if kind == "category":
            found[name] = found[name].as_text()
    return found, lengths.pop() if lengths else 0


def values_of(column: Any, name: str) -> ColumnValues:
    """Return one column's values.  Raises DataError for a type that is none of a table's."""
    words = getattr(getattr(column, "cat", None), "categories", None)  # pandas
    if words is not None and hasattr(column.cat, "codes"):
        codes = np.asarray(column.cat.codes, np.int32)
        inner = values_of(words, name)
        gone = codes < 0
        at = np.where(gone, 0, codes)
        if not len(words):
            return ColumnValues(TEXT, np.zeros(len(codes), np.int32), gone)
        return ColumnValues(inner.kind, inner.data[at], gone, inner.words)
    if getattr(getattr(column, "dtype", None), "tz", None) is not None:
        return _times(np.asarray(column.dt.tz_convert("UTC").dt.tz_localize(None)), "timestamp")
    array = column.to_numpy() if hasattr(column, "to_numpy") else column
    if np.ma.isMaskedArray(array):
        array = np.array(array.astype(object).tolist(), object)
    array = _array(array)
    if array.ndim != 1:
        raise DataError(
            f"column {name!r} has {array.ndim} axes: a table's columns have one value a row", code="data-shape"
        )
    return _plain(array, name)


def _array(given: Any) -> npt.NDArray[Any]:
    if isinstance(given, np.ndarray):
        return given
    items = list(given)
    kinds = {type(one) for one in items}
    if kinds <= {int, float} or kinds <= {bool}:
        try:
            return np.array(items)
        except OverflowError:
            return np.array(items, float)
    found = np.empty(len(items), object)
    found[:] = items
    return found


def _plain(array: npt.NDArray[Any], name: str) -> ColumnValues:
    kind = array.dtype.kind
    if kind == "f":
        return ColumnValues("float", array.astype(np.float64))
    if kind in "iu":
        if kind == "u" and array.dtype.itemsize == 8 and len(array) and array.max() > np.iinfo(np.int64).max:
            return ColumnValues("float", array.astype(np.float64))
        return ColumnValues("integer", array.astype(np.int64))
    if kind == "b":
        return ColumnValues("boolean", array.astype(np.int64))
    if kind == "M":
        return _times(array, "date" if np.datetime_data(array.dtype)[0] in "YMWD" else "wall")
    if kind in "UT" or kind == "O":
        return _objects(array.astype(object), name)
    raise DataError(
        f"column {name!r} holds {array.dtype} values: a table takes numbers, text, booleans, dates and times",
        code="data-type",
    )


def _times(array: npt.NDArray[Any], kind: str) -> ColumnValues:
    gone = np.isnat(array)
    us = np.where(gone, np.int64(0), array.astype("M8[us]").astype(np.int64))
    return ColumnValues(kind, us, gone if gone.any() else None)


def _objects(array: npt.NDArray[Any], name: str) -> ColumnValues:
    """Return the values of Python objects, which are of one kind but for those that are missing."""
    gone = np.array([one is None or one != one or type(one).__name__ in ("NAType", "NaTType") for one in array], bool)
    some = array[~gone]
    types = {type(one) for one in some}
    if not types or all(issubclass(one, str) for one in types):
        return words_of(array, gone)
    if all(issubclass(one, bool | np.bool_) for one in types):
        return ColumnValues("boolean", _filled(array, gone, np.int64), gone)
    if all(issubclass(one, int | np.integer) and not issubclass(one, bool) for one in types):
        try:
            return ColumnValues("integer", _filled(array, gone, np.int64), gone)
        except OverflowError:
            return ColumnValues("float", _filled(array, gone, np.float64), gone)
    if all(issubclass(one, int | float | decimal.Decimal | np.number | np.bool_) for one in types):
        return ColumnValues("float", _filled(array, gone, np.float64), gone)
    if all(issubclass(one, datetime.datetime) for one in types):
        return _moments(array, gone, some)
    if all(issubclass(one, datetime.date) and not issubclass(one, datetime.datetime) for one in types):
        days = [0 if out else (one - EPOCH.date()).days for one, out in zip(array, gone, strict=True)]
        return ColumnValues("date", np.array(days, np.int64) * 86_400_000_000, gone)
    shown = " and ".join(sorted(one.__name__ for one in types)[:3])
    raise DataError(
        f"column {name!r} holds values of type {shown}: a table takes numbers, text, booleans, dates and times, one "
        "kind in a column",
        code="data-type",
    )


def words_of(array: Sequence[Any] | npt.NDArray[Any], gone: npt.NDArray[np.bool_]) -> ColumnValues:
    """Return text as numbers of words."""
    numbered: dict[str, int] = {}
    codes = [0 if out else numbered.setdefault(one, len(numbered)) for one, out in zip(array, gone, strict=True)]
    return ColumnValues(TEXT, np.array(codes, np.int32), gone if gone.any() else None, list(numbered))


def _filled(array: npt.NDArray[Any], gone: npt.NDArray[np.bool_], dtype: Any) -> npt.NDArray[Any]:
    return np.where(gone, 0, array).astype(dtype)


def _moments(array: npt.NDArray[Any], gone: npt.NDArray[np.bool_], some: npt.NDArray[Any]) -> ColumnValues:
    """Return Python's times: with a zone they are moments, without one the time on a wall's clock."""
    aware = some[0].tzinfo is not None
    begin = EPOCH.replace(tzinfo=datetime.UTC) if aware else EPOCH
    step = datetime.timedelta(microseconds=1)
    us = [0 if out else (one - begin) // step for one, out in zip(array, gone, strict=True)]
    return ColumnValues("timestamp" if aware else "wall", np.array(us, np.int64), gone)

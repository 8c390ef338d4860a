"""Conversion of pandas, polars and Arrow tables and of dictionaries of arrays to columns (`ColumnValues`).

None of these packages is imported; containers are recognized by their attributes.
"""

import contextlib
import datetime
import decimal
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from firesteel.core.elsewhere import nearest
from firesteel.errors import ConfigError, DataError
from firesteel.tables.schema import DAY, FARTHEST, TEXT, ColumnValues

EPOCH = datetime.datetime(1970, 1, 1)
MISSING = ("NoneType", "NAType", "NaTType", "MaskedConstant")
"""Types of missing values: Python's, pandas' and NumPy's."""


def is_table(x: Any) -> bool:
    """Return whether x is a table in memory with named columns: a dictionary, or a pandas, polars or Arrow table."""
    if isinstance(x, Mapping):
        return not hasattr(x, "shape")  # SciPy's dictionary-based sparse matrices have a shape
    if hasattr(x, "mapInArrow"):  # a Spark DataFrame, whose attributes are columns
        return False
    names = getattr(x, "columns", getattr(x, "column_names", None))
    return names is not None and getattr(x, "ndim", 2) == 2


def columns_of(x: Any, kinds: Mapping[str, str] | None = None) -> tuple[dict[str, ColumnValues], int]:
    """Return a table's columns, a dictionary of `ColumnValues` by name, and its number of rows.

    Args:
        x: A table.
        kinds: Kinds of columns that their type does not show: "category".

    Raises:
        ConfigError: If a column does not exist, or a kind is unknown.
        DataError: If columns differ in length, have the same name, or have an unsupported type.
    """
    if isinstance(x, Mapping):
        named = [(name, x[name]) for name in x]
    elif hasattr(x, "column_names"):
        named = list(zip(x.column_names, x.columns, strict=True))
    else:
        named = [(name, x[name]) for name in x.columns]
    names = [name for name, _ in named]
    if bad := [name for name in names if not isinstance(name, str)]:
        raise DataError(f"a column is called {bad[0]!r}: column names must be text, so rename it", code="data-column")
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise DataError(f"two columns are called {twice!r}: rename one", code="data-column")
    found = {name: values_of(column, name) for name, column in named}
    lengths = {len(values) for values in found.values()}
    if len(lengths) > 1:
        shown = ", ".join(f"{name} {len(values):,}" for name, values in list(found.items())[:5])
        raise DataError(
            f"columns differ in length ({shown}): give every column one value per row", code="data-lengths"
        )
    for name, kind in (kinds or {}).items():
        if kind != "category" or name not in found:
            raise ConfigError(
                f"the kind of column {name!r} is {kind!r}: the only kind that can be set is 'category'"
                if kind != "category"
                else f"there is no column {name!r}: {nearest(name, names)}the columns are {', '.join(names[:20])}",
                code="config-value",
            )
        found[name] = found[name].as_text()
    return found, lengths.pop() if lengths else 0


def values_of(column: Any, name: str) -> ColumnValues:
    """Convert a column of a table to `ColumnValues`.  Raises DataError for an unsupported type."""
    if isinstance(column, ColumnValues):
        return column
    dtype: Any = getattr(column, "dtype", None)
    if hasattr(column, "to_arrow"):  # polars
        column = column.to_arrow()
    elif hasattr(dtype, "pyarrow_dtype"):  # pandas with Arrow arrays
        column = column.array.__arrow_array__()
    if hasattr(column, "null_count"):
        return _arrow(column, name)
    words = getattr(getattr(column, "cat", None), "categories", None)
    if words is not None:  # pandas
        return _chosen(values_of(words, name), np.asarray(column.cat.codes, np.int32), None)
    if getattr(dtype, "tz", None) is not None:
        return _times(column.to_numpy(f"M8[{dtype.unit}]"), "timestamp")
    if hasattr(dtype, "numpy_dtype"):  # pandas' nullable numbers
        data = _plain(column.to_numpy(dtype.numpy_dtype, na_value=0), name)
        return replace(data, missing=np.asarray(column.isna()))
    array = column.to_numpy() if hasattr(column, "to_numpy") else column
    missing = np.ma.getmaskarray(array) if np.ma.isMaskedArray(array) else None
    array = _array(np.ma.getdata(array) if missing is not None else array, name)
    if array.ndim != 1:
        raise DataError(
            f"column {name!r} has {array.ndim} axes: give a column with one axis, one value per row",
            code="data-shape",
        )
    if missing is None:
        return _plain(array, name)
    return _plain(np.where(missing, np.array(None), array) if array.dtype.kind in "OUT" else array, name, missing)


def _array(given: Any, name: str) -> npt.NDArray[Any]:
    if isinstance(given, np.ndarray):
        return given
    if isinstance(given, str | bytes | Mapping | Set) or not hasattr(given, "__iter__"):
        raise DataError(
            f"column {name!r} is of type {type(given).__name__}: give a list or an array with one value per row",
            code="data-type",
        )
    items = list(given)
    if {type(one) for one in items} <= {float}:
        return np.array(items, float)
    found = np.empty(len(items), object)
    for at, item in enumerate(items):  # NumPy would unpack nested items
        found[at] = item
    return found


def _arrow(column: Any, name: str) -> ColumnValues:
    """Convert an Arrow array, chunked or not, to `ColumnValues`."""
    kind = str(column.type)
    if hasattr(column, "combine_chunks"):
        column = column.combine_chunks()
    gone = column.is_null().to_numpy(zero_copy_only=False) if column.null_count else None
    if kind.startswith("dictionary"):
        codes = column.indices.fill_null(0).to_numpy(zero_copy_only=False)
        return _chosen(values_of(column.dictionary, name), codes, gone)
    if "string" in kind or kind.startswith("decimal"):
        column = (column.cast("string") if kind == "string_view" else column).dictionary_encode()
        words = np.array([*column.dictionary.to_pylist(), None], object)[:-1]
        return _chosen(_plain(words, name), column.indices.fill_null(0).to_numpy(zero_copy_only=False), gone)
    if kind.startswith(("timestamp", "date")):
        times = column.to_numpy(zero_copy_only=False)
        return _times(times, "date" if kind.startswith("date") else "timestamp" if "tz=" in kind else "wall")
    if kind in ARROW_NUMBERS:
        filled = column if gone is None or kind in ARROW_FLOATS else column.fill_null(False if kind == "bool" else 0)
        return _plain(filled.to_numpy(zero_copy_only=False), name, gone)
    if kind == "null":
        return ColumnValues(TEXT, np.zeros(len(column), np.int32), np.ones(len(column), bool))
    raise _unfit(name, kind)


ARROW_FLOATS = {"halffloat", "float", "double"}
ARROW_NUMBERS = {"bool"} | ARROW_FLOATS | {f"{u}int{n}" for u in ("", "u") for n in (8, 16, 32, 64)}


def _chosen(values: ColumnValues, codes: npt.NDArray[Any], gone: npt.NDArray[np.bool_] | None) -> ColumnValues:
    """Return values[codes]; missing where a code is negative or the mask `gone` is True."""
    gone = (codes < 0) | (False if gone is None else gone)
    if not len(values):
        return replace(values, data=np.zeros(len(codes), values.data.dtype), missing=gone)
    at = np.where(gone, 0, codes)
    return replace(values, data=values.data[at], missing=gone | values.absent[at])


def _unfit(name: str, what: str) -> DataError:
    return DataError(
        f"column {name!r} holds values of type {what}: a column must hold numbers, text, booleans, dates or times, "
        "all of one kind",
        code="data-type",
    )


def _plain(array: npt.NDArray[Any], name: str, gone: npt.NDArray[np.bool_] | None = None) -> ColumnValues:
    """Convert a NumPy array to `ColumnValues`; the mask `gone` marks its missing values."""
    kind = array.dtype.kind
    if kind == "u" and len(array) and array.max() > LAST:
        kind = "f"
    if kind == "f":
        with np.errstate(over="ignore"):
            return ColumnValues("float", array.astype(np.float64), gone)
    if kind in "biu":
        return ColumnValues("boolean" if kind == "b" else "integer", array.astype(np.int64), gone)
    if kind == "M":
        times = _times(array, "date" if np.datetime_data(array.dtype)[0] in "YMWD" else "wall")
        return times if gone is None else replace(times, missing=times.absent | gone)
    if kind in "UTO":
        return _objects(array.astype(object), name)
    raise _unfit(name, str(array.dtype))


LAST = np.iinfo(np.int64).max


def _times(array: npt.NDArray[Any], kind: str) -> ColumnValues:
    gone = np.isnat(array)
    if (
        np.datetime_data(array.dtype)[0] in "YMWDhms"
    ):  # int64 covers a wider range in these units than in microseconds
        array = array.clip(*np.array([-FARTHEST, FARTHEST], "M8[D]").astype(array.dtype))
    us = np.where(gone, np.int64(0), array.astype("M8[us]").astype(np.int64))
    return ColumnValues(kind, us, gone if gone.any() else None)


def _objects(array: npt.NDArray[Any], name: str) -> ColumnValues:
    """Convert an array of Python objects of one kind (text, numbers, dates, ...) to `ColumnValues`."""
    if any(issubclass(one, str) for one in set(map(type, array.tolist()))):
        with contextlib.suppress(TypeError):  # unhashable objects are not text
            different = dict.fromkeys(array.tolist())
            words = [one for one in different if isinstance(one, str)]
            if all(isinstance(one, str) or _missing(one) for one in different):
                return _numbered(array.tolist(), words, different)
    gone = np.fromiter(map(_missing, array), bool, len(array))
    types = {type(one) for one in array[~gone]}

    def all_are(*kinds: type) -> bool:
        return all(issubclass(one, kinds) for one in types)

    if not types:
        return ColumnValues(TEXT, np.zeros(len(array), np.int32), gone)
    if all_are(bool, np.bool_):
        return ColumnValues("boolean", np.where(gone, False, array).astype(np.int64), gone)
    if all_are(np.timedelta64):  # a subclass of np.integer
        raise _unfit(name, "timedelta64")
    if all_are(int, np.integer) and bool not in types:
        with contextlib.suppress(OverflowError):
            return ColumnValues("integer", np.where(gone, 0, array).astype(np.int64), gone)
    if all_are(int, float, decimal.Decimal, np.number, np.bool_):
        values = [0.0 if out else _float(one) for one, out in zip(array, gone, strict=True)]
        return ColumnValues("float", np.array(values, float), gone)
    if all_are(np.datetime64):
        return _plain(
            np.array([np.datetime64("NaT") if out else one for one, out in zip(array, gone, strict=True)]), name
        )
    if all_are(datetime.datetime):
        return _datetimes(array, gone, name)
    if all_are(datetime.date) and not any(issubclass(one, datetime.datetime) for one in types):
        days = [0 if out else (one - EPOCH.date()).days for one, out in zip(array, gone, strict=True)]
        return ColumnValues("date", np.array(days, np.int64) * DAY, gone)
    raise _unfit(name, " and ".join(sorted(one.__name__ for one in types)[:3]))


def _missing(one: Any) -> bool:
    if isinstance(one, float | np.floating | np.datetime64):
        return bool(one != one)
    return one.is_nan() if isinstance(one, decimal.Decimal) else type(one).__name__ in MISSING


def _float(one: Any) -> float:
    """Convert a number to a float; to infinity if it exceeds the range of float64."""
    try:
        return float(one)
    except OverflowError:
        return np.inf if one > 0 else -np.inf


def _numbered(items: Sequence[Any], words: Sequence[str], different: Iterable[Any]) -> ColumnValues:
    """Convert text to integer codes, indices into `words`; items that are not text become missing values."""
    numbers = dict.fromkeys(different, -1) | {word: number for number, word in enumerate(words)}
    codes = np.fromiter(map(numbers.__getitem__, items), np.int32, len(items))
    gone = codes < 0
    return ColumnValues(TEXT, np.where(gone, np.int32(0), codes), gone, [str.__str__(word) for word in words])


def _datetimes(array: npt.NDArray[Any], gone: npt.NDArray[np.bool_], name: str) -> ColumnValues:
    """Convert Python datetimes: to UTC timestamps if they have a time zone, otherwise to local times."""
    aware = {one.tzinfo is not None for one in array[~gone]}
    if len(aware) > 1:
        raise DataError(
            f"column {name!r} holds times with and without a zone: add a time zone to all, or to none",
            code="data-type",
        )
    begin = EPOCH.replace(tzinfo=datetime.UTC) if True in aware else EPOCH
    us = [0 if out else (one - begin) // MICROSECOND for one, out in zip(array, gone, strict=True)]
    return ColumnValues("timestamp" if True in aware else "wall", np.array(us, np.int64), gone)


MICROSECOND = datetime.timedelta(microseconds=1)

"""Conversion between Arrow columns and NumPy matrices on executors, without copies where possible."""

import functools
import gc
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute  # noqa: F401  (pa.compute)

import firesteel
from firesteel.core.csr import CSR, Features
from firesteel.core.types import Array
from firesteel.errors import DataError, SparkSetupError

Batches = Iterator[pa.RecordBatch]
CleanRows = tuple[Features, Array, Array]


def binary_views(column: pa.Array) -> list[npt.NDArray[np.uint8]]:
    """Return each value of a binary column as a view of Arrow's memory, without copies."""
    offsets, data = _bytes(column)
    return [data[a:b] for a, b in zip(offsets[:-1], offsets[1:], strict=True)]


def _bytes(column: pa.Array) -> tuple[npt.NDArray[Any], npt.NDArray[np.uint8]]:
    """Return the offsets at which the values of a binary column start, and the bytes of all values."""
    kind = "i8" if pa.types.is_large_binary(column.type) else "i4"
    _, offsets, data = column.buffers()
    if data is None:
        return np.zeros(len(column) + 1, kind), np.empty(0, np.uint8)
    ends = np.frombuffer(offsets, kind)[column.offset : column.offset + len(column) + 1]
    return ends, np.frombuffer(data, np.uint8)


def features(column: pa.Array) -> Features:
    """Convert a column of equally long lists, bytes or vectors, without nulls, to an array (n, width)."""
    if not pa.types.is_struct(column.type):
        return matrix(column)
    dense = len(column) and (column.field("type").to_numpy(zero_copy_only=False) == 1).all()
    return matrix(column.field("values")) if dense else vectors(column)


def matrix(column: pa.Array) -> npt.NDArray[Any]:
    """Convert a column of equally long lists or bytes, without nulls, to an array (n, width)."""
    if pa.types.is_binary(column.type) or pa.types.is_large_binary(column.type):
        offsets, data = _bytes(column)
        return data[offsets[0] : offsets[-1]].reshape(len(column), -1) if len(column) else np.empty((0, 0), np.uint8)
    values = column.flatten().to_numpy(zero_copy_only=False)
    return values.reshape(len(column), -1) if len(column) else np.empty((0, 0), values.dtype)


def vectors(column: pa.Array) -> CSR:
    """Convert a column of sparse or dense vectors, without nulls, to sparse rows (CSR) of the largest width."""
    sparse = column.field("type").to_numpy(zero_copy_only=False) == 0
    lists = column.field("values")
    counts = pa.compute.list_value_length(lists).to_numpy(zero_copy_only=False)
    starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    if sparse.all():
        indices = column.field("indices").flatten().to_numpy(zero_copy_only=False)
    else:
        indices = (np.arange(starts[-1]) - np.repeat(starts[:-1], counts)).astype(np.int32)
        named = column.field("indices").filter(pa.array(sparse))
        indices[np.repeat(sparse, counts)] = named.flatten().to_numpy(zero_copy_only=False)
    values = lists.flatten().to_numpy(zero_copy_only=False)
    return CSR(starts, indices, values, int(widths(column).max(initial=0))).cast(values.dtype)


def whole(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Join the columns of values, indices and size in a batch to a column x of Spark vectors."""
    if "indices" not in batch.schema.names:
        return batch
    values, size = batch.column("x"), batch.column("size").to_numpy()
    parts = {
        "type": pa.array((size < 0).astype(np.int8)),
        "size": pa.array(size, mask=size < 0),
        "indices": batch.column("indices"),
        "values": values,
    }
    x = pa.StructArray.from_arrays([*parts.values()], [*parts], mask=values.is_null() if values.null_count else None)
    rest = batch.drop_columns(["indices", "size"])
    return rest.set_column(rest.schema.get_field_index("x"), "x", x)


def widths(column: pa.Array) -> npt.NDArray[Any]:
    """Return the number of values of each list, bytes value or vector; 0 for null."""
    if pa.types.is_struct(column.type):
        lengths = pa.compute.list_value_length(column.field("values"))
        counted = pa.compute.coalesce(column.field("size"), lengths)
        return pa.compute.if_else(column.is_valid(), counted, 0).fill_null(0).to_numpy(zero_copy_only=False)
    if pa.types.is_binary(column.type) or pa.types.is_large_binary(column.type):
        counted = pa.compute.binary_length(column)
    else:
        counted = pa.compute.list_value_length(column)
    return counted.fill_null(0).to_numpy(zero_copy_only=False)


def clean_rows(batch: pa.RecordBatch) -> CleanRows:
    """Convert a batch without nulls, whose rows have equal lengths, to arrays x (n, I), y (n, T) and w (n,)."""
    return features(batch.column("x")), matrix(batch.column("y")), batch.column("w").to_numpy(zero_copy_only=False)


def check_widths(column: pa.Array, inputs: int, name: str) -> None:
    """Raise DataError unless each row has `inputs` values; `name` is the name of the column in messages."""
    wrong = widths(column) != inputs
    if wrong.any():
        raise DataError(
            f"{name} has {int(widths(column)[wrong][0])} values in a row, but the network takes {inputs}; "
            f"{int(wrong.sum()):,} of {len(column):,} rows in this batch have this error",
            code="data-width",
        )


def as_lists(values: Array, null: npt.NDArray[np.bool_]) -> pa.Array:
    """Convert values (n, O) to a column of lists, with a null for rows where `null` is true."""
    sizes = np.where(null, 0, values.shape[1])
    offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32)
    starts = pa.array(offsets, pa.int32(), mask=np.append(null, False) if null.any() else None)
    return pa.ListArray.from_arrays(starts, pa.array(values.reshape(-1)))


def lists(values: npt.NDArray[Any]) -> pa.Array:
    """Convert values (n, I) to a column of lists."""
    offsets = np.arange(0, values.size + 1, values.shape[1], dtype=np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(np.ascontiguousarray(values).reshape(-1)))


def texts(column: Any) -> list[Any]:
    """Convert a text column to a list of str, with invalid UTF-8, which Spark allows, replaced."""
    try:
        return list(column.to_pylist())
    except UnicodeDecodeError:
        return [word and word.decode(errors="replace") for word in column.cast(pa.binary()).to_pylist()]


def record_batch(**columns: Any) -> pa.RecordBatch:
    """Create an Arrow batch from columns by name."""
    return pa.RecordBatch.from_pydict(columns)


def check_version(version: str) -> None:
    """Raise SparkSetupError if this Python worker has another version of firesteel than the driver."""
    if version != firesteel.__version__:
        raise SparkSetupError(
            f"the driver has firesteel {version}, and an executor's Python has {firesteel.__version__}: start a new "
            "Spark session",
            code="spark-version",
        )


@functools.cache
def settle() -> None:
    """Exclude all objects that a worker has imported from garbage collection, which Spark runs after each task."""
    gc.freeze()

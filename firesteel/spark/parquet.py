"""Parquet files without a session: pyarrow reads columns as arrays and writes arrays as columns.

A folder of Parquet files, as Spark writes it, is read as one file, and Spark's vectors as rows of numbers.
"""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute  # noqa: F401  (pa.compute)
import pyarrow.parquet

from firesteel.datasets.binary import UNPACKED
from firesteel.datasets.delimited import LETTERS
from firesteel.datasets.files import TIMES, refuse_rows, written
from firesteel.datasets.text import DENSER, FREELY
from firesteel.errors import DataError
from firesteel.spark.arrow import lists

VECTOR = {"type": "int8", "size": "int32", "indices": "int32", "values": "double"}
"""Fields of the struct in which Spark stores a vector; the last two are lists."""


def parquet_columns(path: str | os.PathLike[str]) -> list[str]:
    """Return a Parquet file's column names; raise DataError (`data-parquet`) if the file is not Parquet."""
    path = Path(path)
    with _readable(path):
        return list(_dataset(path).schema.names)


def read_parquet(path: str | os.PathLike[str], columns: Sequence[str]) -> dict[str, npt.NDArray[Any]]:
    """Read columns of numbers, Booleans or text as (n,), and columns of arrays, bytes or vectors as (n, I).

    Args:
        path: A file or folder.
        columns: Names of the columns.

    Raises:
        DataError: `data-parquet` if it is not Parquet, `data-missing-value` for nulls, `data-type` for columns of
            other types, `data-ragged` for arrays of different lengths, `data-text` for long texts, `data-size` for
            far more memory than the size of the file justifies.
    """
    return arrays_of(path, read_table(path, columns))


def arrays_of(path: str | os.PathLike[str], table: pa.Table) -> dict[str, npt.NDArray[Any]]:
    """Convert the columns of a table as `read_parquet` does, with the same errors."""
    with _readable(Path(path)):
        return {name: _array(Path(path), name, table.column(name).combine_chunks()) for name in table.column_names}


def read_table(path: str | os.PathLike[str], columns: Sequence[str]) -> pa.Table:
    """Read columns of any type.  Raises DataError for other files, no rows, and far too much memory."""
    path = Path(path)
    with _readable(path):
        dataset = _dataset(path)
        _must_fit(path, dataset, columns)
        table = dataset.read(list(columns))
        if not table.num_rows:
            raise DataError(f"{path}: contains no rows: give at least one", code="data-empty")
        return table


def is_plain(column: pa.ChunkedArray) -> bool:
    """Return whether a column holds finite numbers or Booleans without nulls, or arrays."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        column, kind = column.cast(kind.value_type), kind.value_type
    if pa.types.is_floating(kind):
        return not column.null_count and bool(np.isfinite(column.to_numpy()).all())
    number = pa.types.is_boolean(kind) or pa.types.is_integer(kind) or pa.types.is_decimal(kind)
    nested = pa.types.is_nested(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind)
    return nested or (number and not column.null_count)


def write_parquet(path: str | os.PathLike[str], columns: Mapping[str, npt.NDArray[Any]]) -> None:
    """Write columns, (n,) or (n, I), as one Parquet file, atomically.

    Raises DataError if the file exists (`data-exists`) or cannot be written (`data-write`).
    """
    arrays = {name: pa.array(values) if values.ndim == 1 else lists(values) for name, values in columns.items()}
    with written(Path(path)) as file:
        pa.parquet.write_table(pa.table(arrays), file)


def write_pictures(path: str | os.PathLike[str], pieces: Iterable[Mapping[str, Sequence[Any]]]) -> int:
    """Write pictures piece by piece as one Parquet file, atomically.

    Args:
        path: The file.
        pieces: Lists of "features" (pixels as bytes), "label" and "origin" (texts).

    Returns:
        The number of pictures.

    Raises:
        DataError: If the file exists (`data-exists`) or cannot be written (`data-write`).
    """
    schema, rows = pa.schema({"features": pa.binary(), "label": pa.string(), "origin": pa.string()}), 0
    with written(Path(path)) as file, pa.parquet.ParquetWriter(file, schema, use_dictionary=["label"]) as out:
        for piece in pieces:
            table = pa.table(dict(piece), schema=schema)
            out.write_table(table)
            rows += table.num_rows
    return rows


def _dataset(path: Path) -> Any:
    for file in (path, *(path.rglob("*") if path.is_dir() else ())):
        if file.exists() and not file.is_file() and not file.is_dir():
            raise DataError(f"{file}: cannot be read: it is not a regular file", code="data-file")
    with _readable(path):
        return pa.parquet.ParquetDataset(path)


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Context manager: translate pyarrow's errors about missing, damaged or other files to DataError."""
    try:
        yield
    except DataError:
        raise
    except (pa.ArrowException, OSError, ValueError) as error:
        if not path.exists():
            raise DataError(f"{path}: cannot be read: No such file or directory", code="data-file") from None
        first = str(error).strip().partition("\n")[0]
        raise DataError(f"{path}: is not Parquet, or is damaged: {first}", code="data-parquet") from None


def _must_fit(path: Path, dataset: Any, columns: Sequence[str]) -> None:
    """Raise DataError if the file claims far more rows than its size justifies.

    Only the number of rows is safe to read from a damaged file: other metadata can make pyarrow end the process.
    """
    size = sum(os.path.getsize(file.path) for file in dataset.fragments)
    rows = sum(file.metadata.num_rows for file in dataset.fragments)
    if 8 * rows * len(columns) > max(UNPACKED, TIMES * size):
        raise _too_large(path, f"{rows:,} rows of {len(columns):,} columns, out of {size:,} bytes,")


def _too_large(path: Path, what: str) -> DataError:
    return DataError(f"{path}: {what} take too much memory: give fewer, or use --engine spark", code="data-size")


def _array(path: Path, name: str, column: Any) -> npt.NDArray[Any]:
    kind = column.type
    remedy = "fill it in, drop those rows, or name other columns with --features"
    null = column.is_null().to_numpy(zero_copy_only=False)
    refuse_rows(path, name, null, "no value (null)", remedy, "data-missing-value")
    if pa.types.is_dictionary(kind):
        column, kind = column.dictionary_decode(), kind.value_type
    if pa.types.is_boolean(kind) or pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return column.to_numpy(zero_copy_only=False)
    if pa.types.is_decimal(kind):
        return column.cast(pa.float64()).to_numpy(zero_copy_only=False)
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        long = pa.compute.utf8_length(column).to_numpy(zero_copy_only=False) > LETTERS
        refuse_rows(
            path, name, long, f"more than {LETTERS} letters", "name other columns with --features", "data-text"
        )
        return np.array(column.to_pylist(), np.str_)
    if (
        pa.types.is_struct(kind)
        and {one.name: str(getattr(one.type, "value_type", one.type)) for one in kind} == VECTOR
    ):
        return _vectors(path, name, column)
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        rows = [np.frombuffer(value.as_py(), np.uint8) for value in column]
        _check_widths(path, name, np.array([len(row) for row in rows]))
        return np.stack(rows)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return _rows(path, name, column)
    raise DataError(
        f"{path}: column {name!r} is {kind}: networks need numbers, true/false, text as a label, or arrays of "
        "numbers: name other columns with --features",
        code="data-type",
    )


def _rows(path: Path, name: str, column: Any) -> npt.NDArray[Any]:
    widths = pa.compute.list_value_length(column).to_numpy(zero_copy_only=False)
    values = column.flatten()
    number = pa.types.is_integer(values.type) or pa.types.is_floating(values.type) or pa.types.is_boolean(values.type)
    if not number or values.null_count:
        what = f"nulls inside its arrays, {values.null_count:,} of them" if number else f"arrays of {values.type}"
        raise DataError(f"{path}: column {name!r} holds {what}: networks need numbers", code="data-type")
    _check_widths(path, name, widths)
    return values.to_numpy(zero_copy_only=False).reshape(len(column), -1)


def _check_widths(path: Path, name: str, widths: npt.NDArray[Any]) -> None:
    sizes, counts = np.unique(widths, return_counts=True)
    if len(sizes) > 1:
        usual = int(sizes[counts.argmax()])
        row = int((widths != usual).argmax())
        raise DataError(
            f"{path}: column {name!r} holds {widths[row]} values at row {row}, where most have {usual}; "
            f"{int((widths != usual).sum()):,} of {len(widths):,} rows have this error: give every row {usual} "
            "values, or drop those rows",
            code="data-ragged",
        )


def _vectors(path: Path, name: str, column: Any) -> npt.NDArray[np.float64]:
    """Convert a column of Spark vectors, sparse (type 0) or dense (1), to rows with zeros."""
    kinds, sizes, indices, values = (column.field(part) for part in ("type", "size", "indices", "values"))
    counts, places = (
        pa.compute.list_value_length(part).fill_null(-1).to_numpy(zero_copy_only=False) for part in (values, indices)
    )
    dense = kinds.fill_null(-1).to_numpy(zero_copy_only=False)
    widths = np.where(dense == 1, counts, sizes.fill_null(-1).to_numpy(zero_copy_only=False))
    wrong = (counts < 0) | (widths < 0) | np.where(dense == 1, places > 0, (dense != 0) | (places != counts))

    def refuse(wrong: npt.NDArray[np.bool_]) -> None:
        remedy = "write these rows again, or drop them"
        refuse_rows(path, name, wrong, "an invalid or damaged Spark vector", remedy, "data-parquet")

    refuse(wrong)
    _check_widths(path, name, widths)
    rows = np.repeat(np.arange(len(counts)), counts)
    at = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
    at[dense[rows] == 0] = indices.flatten().fill_null(-1).to_numpy(zero_copy_only=False)
    turned = (at[1:] <= at[:-1]) & (rows[1:] == rows[:-1])
    wrong[rows[~((at >= 0) & (at < widths[rows]))]] = True
    wrong[rows[1:][turned]] = True
    refuse(wrong)
    if 8 * len(widths) * int(widths[0]) > max(FREELY, DENSER * column.nbytes):
        raise _too_large(path, f"column {name!r}: {len(widths):,} vectors of {widths[0]:,} numbers, zeros included,")
    x = np.zeros((len(widths), int(widths[0])))
    x[rows, at] = values.flatten().to_numpy(zero_copy_only=False)
    return x

"""Sparse rows in the CSR format, which stores only non-zeros; `layers/dense.py` multiplies them by a matrix."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from firesteel.core.types import Array

__all__ = ["CSR", "Features", "joined", "suited"]

Rows = npt.NDArray[Any] | slice | list[int]


@dataclass(frozen=True, eq=False)
class CSR:
    """n sparse rows of `width` values: row i has values[k] in column indices[k] for indptr[i] <= k < indptr[i + 1].

    Args:
        indptr: Where each row starts, (n + 1,); the first value is 0.
        indices: The columns of the values, (N,), ascending within a row.
        values: The non-zeros, (N,).
        width: The number of columns, I.

    Example:
        >>> rows = CSR.of(np.array([[0.0, 5.0, 0.0], [7.0, 0.0, 9.0]]))
        >>> rows.indices, rows[1:].dense()
        (array([1, 0, 2], dtype=int32), array([[7., 0., 9.]]))
    """

    indptr: npt.NDArray[np.int64]
    indices: npt.NDArray[np.int32]
    values: Array
    width: int

    @staticmethod
    def of(x: npt.NDArray[Any]) -> "CSR":
        """Convert an array, (n, I), to sparse rows."""
        some = max(1, (1 << 24) // max(1, x.shape[1]))
        parts = [np.nonzero(x[at : at + some]) for at in range(0, len(x), some)] or [np.nonzero(x)]
        counts = [np.bincount(rows, minlength=min(some, len(x) - n * some)) for n, (rows, _) in enumerate(parts)]
        values = [x[n * some : (n + 1) * some][part] for n, part in enumerate(parts)]
        indices = np.concatenate([columns.astype(np.int32) for _, columns in parts])
        return CSR(_starts(np.concatenate(counts)), indices, np.concatenate(values), x.shape[1])

    @property
    def shape(self) -> tuple[int, int]:
        """The shape, (n, I)."""
        return len(self), self.width

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of the values."""
        return self.values.dtype

    @property
    def nbytes(self) -> int:
        """The size of the arrays in bytes."""
        return self.indptr.nbytes + self.indices.nbytes + self.values.nbytes

    @property
    def rows(self) -> npt.NDArray[np.intp]:
        """Row number of each stored value, (N,)."""
        return np.repeat(np.arange(len(self)), self.indptr[1:] - self.indptr[:-1])

    def __len__(self) -> int:
        return len(self.indptr) - 1

    def __getitem__(self, rows: Rows) -> "CSR":
        if isinstance(rows, slice):
            start, stop, step = rows.indices(len(self))
            if step == 1:
                ptr = self.indptr[start : max(start, stop) + 1]
                inside = slice(ptr[0], ptr[-1])
                return CSR(ptr - ptr[0], self.indices[inside], self.values[inside], self.width)
        chosen = np.arange(len(self))[rows]
        counts = (self.indptr[1:] - self.indptr[:-1])[chosen]
        ptr = _starts(counts)
        at = np.arange(ptr[-1]) + np.repeat(self.indptr[:-1][chosen] - ptr[:-1], counts)
        return CSR(ptr, self.indices[at], self.values[at], self.width)

    def cast(self, dtype: np.dtype[Any]) -> "CSR":
        """Convert the values to `dtype`, and drop those that become 0."""
        with np.errstate(over="ignore"):
            values = self.values.astype(dtype, copy=False)
        kept = values != 0
        if kept.all():
            return CSR(self.indptr, self.indices, values, self.width)
        before = np.concatenate([[0], np.cumsum(kept)])
        return CSR(before[self.indptr], self.indices[kept], values[kept], self.width)

    def times(self, factor: Array) -> "CSR":
        """Multiply each value by the factor of its column, (I,) or (1,), and return the new rows."""
        factors = factor if len(factor) == 1 else factor.take(self.indices)
        return CSR(self.indptr, self.indices, self.values * factors, self.width)

    def fill(self, out: Array) -> None:
        """Write the rows, including zeros, to a C-contiguous array `out`, (n, I)."""
        out.fill(0)
        at = np.repeat(np.arange(len(self)) * self.width, self.indptr[1:] - self.indptr[:-1])
        at += self.indices
        out.reshape(-1)[at] = self.values  # three times faster than indexing by rows and columns

    def dense(self) -> Array:
        """Convert the rows to an ordinary array, (n, I)."""
        out = np.empty(self.shape, self.dtype)
        self.fill(out)
        return out

    def flipped(self) -> "CSR":
        """Return the transpose: I rows of n values."""
        small = self.indices.astype(np.uint16) if self.width <= 1 << 16 else self.indices
        order = small.argsort(kind="stable")
        ptr = _starts(np.bincount(self.indices, minlength=self.width))
        return CSR(ptr, self.rows.astype(np.int32)[order], self.values[order], len(self))


Features = npt.NDArray[Any] | CSR
"""Dense or sparse rows."""


def _starts(counts: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)


def joined(parts: Sequence[Any]) -> Any:
    """Stack the rows of several arrays, or of several CSR objects of equal width."""
    if len(parts) == 1 or not isinstance(parts[0], CSR):
        return parts[0] if len(parts) == 1 else np.concatenate(parts)
    counts = np.concatenate([part.indptr[1:] - part.indptr[:-1] for part in parts])
    indices, values = (np.concatenate([getattr(part, name) for part in parts]) for name in ("indices", "values"))
    return CSR(_starts(counts), indices, values, parts[0].width)


def suited(x: Features, sparse: bool) -> Features:
    """Convert rows to CSR if `sparse` is true, otherwise to an ordinary array."""
    if isinstance(x, CSR):
        return x if sparse else x.dense()
    return CSR.of(x) if sparse else x

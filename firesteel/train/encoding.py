"""Encoding of features: one byte per value where at most 256 distinct values occur.

Encoding is lossless and changes no bit of a training; it makes blocks four times smaller in memory and in transfer.
`blocks.py` decides which rows are encoded together.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from firesteel.core.seeds import rng_for
from firesteel.core.types import Array

__all__ = ["all_coded", "canonical", "encode"]

Coded = tuple[npt.NDArray[np.uint8], Array]
MULTIPLIERS = rng_for(0, "encoding").integers(0, 2**63, 64, dtype=np.uint64) | np.uint64(1)
"""Odd multipliers to try, until one hashes the values of a block without collision."""


def canonical(values: npt.NDArray[Any], dtype: np.dtype[Any], out: Array | None = None) -> Array:
    """Convert values to `dtype` in C order, with 0.0 in place of -0.0; write them to `out` if given."""
    with np.errstate(over="ignore"):
        return np.ascontiguousarray(np.add(values, dtype.type(0), out=out, dtype=dtype, casting="unsafe"))


def encode(x: Array) -> tuple[npt.NDArray[Any], Array | None]:
    """Encode x, (n, I), as (one-byte codes, table) if it has at most 256 distinct values; else return (x, None).

    It is lossless: table[codes] has the bits of x.
    """
    flat = x.reshape(-1)
    if found := _even_steps(x, flat[:4096], x.dtype):
        return found
    for some in (512, 4096):
        if len(np.unique(flat[:some])) > 256:
            return x, None
    return (len(flat) > 4096 and _even_steps(x, flat, x.dtype)) or _few_values(x) or (x, None)


def _even_steps(x: npt.NDArray[Any], some: Array, dtype: np.dtype[Any]) -> Coded | None:
    """Encode values that are all k / d with k = 0..255, such as pixels, counts or one-hot rows.

    Args:
        x: The values.
        some: The values from which d is found.
        dtype: The dtype.
    """
    with np.errstate(over="ignore"):
        d = np.rint(1 / some[some > 0].min(initial=1))
    codes, width, at = np.empty(x.shape, np.uint8), max(1, x.shape[1]), 0
    few, more = max(1, (1 << 12) // width), max(1, (1 << 17) // width)  # rows at a time: the first few fail fast
    room = np.empty((2, min(more, len(x)), x.shape[1]), dtype)
    while at < len(x):
        out = codes[at : at + few]
        rows, scaled = room[:, : len(out)]
        canonical(x[at : at + few], dtype, rows)
        with np.errstate(over="ignore", invalid="ignore"):
            np.copyto(out, np.rint(np.multiply(rows, d, out=scaled), out=scaled), casting="unsafe")
        if not np.array_equal(np.divide(out, d, out=scaled), rows):
            return None
        at, few = at + few, more
    return codes, np.arange(256).astype(dtype) / d


def _few_values(x: Array) -> Coded | None:
    """Encode values of any dtype, at most 256 distinct ones, by a collision-free hash of their bits."""
    words = x.view(f"u{x.dtype.itemsize}").reshape(-1)
    values = np.unique(words)
    if len(values) > 256:
        return None
    shift = words.dtype.type(8 * words.itemsize - 16)
    for odd in MULTIPLIERS.astype(words.dtype):
        buckets = (values * odd) >> shift
        if len(np.unique(buckets)) == len(values):
            code_of = np.zeros(1 << 16, np.uint8)
            code_of[buckets] = np.arange(len(values))
            at = ((words * odd) >> shift).view(f"i{x.dtype.itemsize}")  # NumPy 2.0 takes no uint64 here
            return code_of.take(at).reshape(x.shape), values.view(x.dtype)
    return None


def all_coded(x: npt.NDArray[Any], dtype: np.dtype[Any]) -> Coded | None:
    """Encode all rows at once if all values are k / d with k = 0..255; fewer bytes are then sorted."""
    first = canonical(x[:64], dtype)
    return _even_steps(x, first, dtype) if x.dtype.kind == "f" and _even_steps(first, first, dtype) else None

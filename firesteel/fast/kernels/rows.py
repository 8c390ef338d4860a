"""Compiled decoding of rows of bytes to scaled numbers; `Block.features` and the first layer do it in NumPy."""

from typing import Any

import numpy as np
import numpy.typing as npt

from firesteel.core.layers.preprocessing import Rescaling, Standardize
from firesteel.core.network import Network
from firesteel.core.types import Array

__all__ = ["bins", "fetch", "gather", "scaling"]

memcpy: Any = None
"""A system function, bound by `team.wired`."""


def gather(x: npt.NDArray[np.uint8], rows: npt.NDArray[np.intp], d: Any, out: Array) -> None:
    """Write x[rows] / d into `out`.  x: (n, I)  rows: (B,)  out: (B, I)"""
    for b in range(rows.size):
        row = rows[b]
        for i in range(x.shape[1]):
            out[b, i] = x[row, i] / d


def bins(x: Array, source: npt.NDArray[np.intp], low: Array, factor: Array, at: int, out: Array) -> None:
    """Compiled `PiecewiseLinear.fill`.  x: (B, I)  source, low, factor: (K,)  out: (B, at + K), or wider"""
    for b in range(len(x)):
        for k in range(source.size):
            y = (x[b, source[k]] - low[k]) * factor[k]
            if y <= 0:
                out[b, at + k] = 0
            elif y > 1:
                out[b, at + k] = 1
            else:
                out[b, at + k] = y


def scaling(network: Network, dtype: np.dtype[Any]) -> tuple[bool, Array, Array]:
    """Return how the first layer scales its inputs: (whether shifts are added, shifts, factors)."""
    first = network.parts[0]
    if isinstance(first, Rescaling):
        shift, factor = np.full(network.inputs, first.offset, dtype), np.full(network.inputs, first.scale, dtype)
    elif isinstance(first, Standardize):
        shift, factor = (np.broadcast_to(each, network.inputs).copy() for each in first.vectors[dtype.name])
    else:
        shift = factor = np.empty(0, dtype)
    return isinstance(first, Rescaling) and bool(first.offset), shift, factor


def fetch(at: Array, by: Array, plus: bool, shift: Array, factor: Array, codes: Array, x: Array) -> None:
    """Decode rows of a block to x, (B, I), as `Block.features` does, and scale them as the first layer does.

    at, by, plus, shift, factor: as in `team.Given`, at and by for (B,) rows.  codes: (I,), scratch memory.
    """
    width, size = x.shape[1], x.itemsize
    for b in range(len(at)):
        d = by[b]
        if d == 0:
            memcpy(x.ctypes.data + b * width * size, at[b], width * size)
        else:
            memcpy(codes.ctypes.data, at[b], width)
            for i in range(width):
                x[b, i] = codes[i] / d
        if plus:
            for i in range(width):
                x[b, i] = x[b, i] * factor[i] + shift[i]
        else:
            for i in range(len(factor)):
                x[b, i] = (x[b, i] - shift[i]) * factor[i]

"""Rows of bytes as numbers, and scaled: what `Block.features` and the first part of a network do in NumPy."""

from typing import Any

import numpy as np
import numpy.typing as npt

from firesteel.core.layers.preprocessing import Rescaling, Standardize
from firesteel.core.network import Network
from firesteel.core.types import Array

__all__ = ["bins", "fetch", "gather", "scaling"]

memcpy: Any = None
"""A function of the system, that `team.wired` gives the loop."""


def gather(x: npt.NDArray[np.uint8], rows: npt.NDArray[np.intp], d: Any, out: Array) -> None:
    """Write x[rows] / d into `out`.  x: (n, I)  rows: (B,)  out: (B, I)"""
    for b in range(rows.size):
        row = rows[b]
        for i in range(x.shape[1]):
            out[b, i] = x[row, i] / d


def bins(x: Array, source: npt.NDArray[np.intp], low: Array, factor: Array, at: int, out: Array) -> None:
    """Write what `PiecewiseLinear.fill` does.  x: (B, I)  source, low, factor: (K,)  out: (B, at + K), or wider"""
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
    """Return how the first part scales inputs, if it does: plus, shift and factor, as `fetch` takes them."""
    first = network.parts[0]
    if isinstance(first, Rescaling):
        shift, factor = np.full(network.inputs, first.offset, dtype), np.full(network.inputs, first.scale, dtype)
    elif isinstance(first, Standardize):
        shift, factor = (np.broadcast_to(each, network.inputs).copy() for each in first.vectors[dtype.name])
    else:
        shift = factor = np.empty(0, dtype)
    return isinstance(first, Rescaling) and bool(first.offset), shift, factor


def fetch(at: Array, by: Array, plus: bool, shift: Array, factor: Array, codes: Array, x: Array) -> None:
    """Write rows to x, (B, I), as `Block.features` does, and scale them as the first op does.

    at, by: (B,), as in `team.Given`, whose plus, shift and factor these are.  codes: (I,), bytes to work with.
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

"""Loops that NumPy makes several passes of, compiled where numba is installed: the same bits, sooner.

A kernel is made of +, -, x, /, sqrt and copies alone, in the order of the NumPy lines that it stands beside, so that
nothing depends on who has numba; a test holds each to it.  Those lines are in `optimizers.py` and in
`firesteel/train/blocks.py`.  Without numba nothing here is called.
"""

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from firesteel.core.types import Array

__all__ = ["adam", "compiled", "gather"]


WORTH = 10_000
"""Numbers below which NumPy's passes are not worth compiling."""


def compiled(kernel: Callable[..., None], numbers: int) -> Callable[..., None] | None:
    """Return the kernel compiled, or None where so few numbers are not worth it or numba is not installed."""
    return _compiled(kernel) if numbers >= WORTH else None


@functools.cache
def _compiled(kernel: Callable[..., None]) -> Callable[..., None] | None:
    try:
        import numba
    except ImportError:
        return None
    jit: Callable[..., Any] = functools.partial(numba.njit, nogil=True, error_model="numpy")
    try:
        return jit(kernel, cache=True)
    except RuntimeError:  # there is no place for a cache
        return jit(kernel)


def gather(x: npt.NDArray[np.uint8], rows: npt.NDArray[np.intp], d: Any, out: Array) -> None:
    """Write x[rows] / d into `out`.  x: (n, I)  rows: (B,)  out: (B, I)"""
    for b in range(rows.size):
        row = rows[b]
        for i in range(x.shape[1]):
            out[b, i] = x[row, i] / d


def adam(theta: Array, g: Array, m: Array, v: Array, b1: Any, b2: Any, epsilon: Any, rate: Any) -> None:
    """Take the step of `Adam.step`; all vectors (P,), all numbers of their dtype."""
    for i in range(theta.size):
        m[i] = m[i] * b1 + g[i]
        v[i] = v[i] * b2 + g[i] * g[i]
        theta[i] -= m[i] / (math.sqrt(v[i]) + epsilon) * rate

"""Loops that NumPy makes several passes of, compiled where numba is installed: the same bits, sooner.

A kernel is made of +, -, x, /, sqrt and copies alone, in the order of the NumPy lines that it stands beside, and of
products that NumPy's own BLAS makes as NumPy asks it, so that nothing depends on who has numba; a test holds each to
it.  Those lines are in `ops.py`, `activations.py`, `optimizers.py` and `firesteel/train/blocks.py`.  Without numba
nothing here is called.
"""

import contextlib
import ctypes
import functools
import math
from collections.abc import Callable, Mapping
from types import FunctionType
from typing import Any

import numpy as np
import numpy.typing as npt

from firesteel.core.seeds import FIRST, SECOND, STEP
from firesteel.core.types import Array

__all__ = ["PLACES", "adam", "bound", "compiled", "compiled_with", "gather", "mask"]


WORTH = 10_000
"""Numbers below which NumPy's passes are not worth compiling."""
SETTINGS: dict[str, Any] = {"nogil": True, "error_model": "numpy"}


def compiled(kernel: Callable[..., None], numbers: int) -> Callable[..., None] | None:
    """Return the kernel compiled, or None where so few numbers are not worth it or numba is not installed."""
    return _compiled(kernel) if numbers >= WORTH else None


@functools.cache
def _compiled(kernel: Callable[..., None]) -> Callable[..., None] | None:
    try:
        import numba
    except ImportError:
        return None
    if placed := _placed(kernel):
        with contextlib.suppress(RuntimeError):  # there is no place for a cache
            return numba.njit(placed, cache=True, **SETTINGS)
    return numba.njit(kernel, **SETTINGS)


PLACES: dict[str, str] = {}
"""For modules that come out of an archive, by name, a file that numba can keep beside what it compiles, or ""."""


def _placed(kernel: Callable[..., None]) -> Callable[..., None] | None:
    code = kernel.__code__
    place = PLACES.get(kernel.__module__, code.co_filename)
    return FunctionType(code.replace(co_filename=place), kernel.__globals__, kernel.__name__) if place else None


KINDS: dict[Any, str] = {
    None: "void",
    ctypes.c_int: "int32",
    ctypes.c_int64: "int64",
    ctypes.c_float: "float32",
    ctypes.c_double: "float64",
}


def compiled_with(kernel: Callable[..., None], functions: Mapping[str, Any]) -> Callable[..., None] | None:
    """Return a kernel that calls these functions, compiled; or None without numba, or without a place for a cache.

    functions: those of ctypes, or compiled kernels, by the names that the kernel calls them by.
    Compiling takes seconds, which a process without a cache would spend each time.
    """
    try:
        import numba
        from llvmlite import binding
    except ImportError:
        return None
    known = dict(functions)
    for name, function in functions.items():
        if hasattr(function, "argtypes"):
            binding.add_symbol(function.__name__, ctypes.cast(function, ctypes.c_void_p).value)
            result, *kinds = (getattr(numba.types, KINDS[kind]) for kind in (function.restype, *function.argtypes))
            known[name] = numba.types.ExternalFunction(function.__name__, result(*kinds))
    try:
        placed = _placed(bound(kernel, known))
        return numba.njit(placed, cache=True, **SETTINGS) if placed else None
    except RuntimeError:
        return None


def bound(kernel: Callable[..., None], functions: Mapping[str, Any]) -> Callable[..., None]:
    """Return a copy of a kernel for which these names mean these functions.

    They are globals to it, because numba finds no function in its cache that has such things in a closure.
    """
    return FunctionType(kernel.__code__, kernel.__globals__ | dict(functions), kernel.__name__)


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


def mask(key: Any, least: Any, kept: Any, out: Array) -> None:
    """Write `kept` where an element's half of a word, as in `Stream.halves`, is at least `least`, else 0.

    key, least: uint64.  out: (n,)
    """
    word, low = np.uint64, np.uint64(0xFFFFFFFF)
    for i in range(0, out.size, 2):
        z = key + (word(i) // word(2) + word(1)) * word(STEP)
        z = (z ^ (z >> word(30))) * word(FIRST)
        z = (z ^ (z >> word(27))) * word(SECOND)
        z ^= z >> word(31)
        out[i] = kept if (z & low) >= least else 0
        if i + 1 < out.size:
            out[i + 1] = kept if (z >> word(32)) >= least else 0

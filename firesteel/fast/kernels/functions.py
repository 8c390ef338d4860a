"""C functions that kernels call for NumPy's bits: products of its BLAS, and the inner loops of its ufuncs."""

import ctypes
import functools
import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from firesteel.core.types import Array
from firesteel.fast import compiling

__all__ = ["LOOPS", "blas", "linked", "ufuncs"]

PLAIN = ("exp", "expm1", "log", "log1p", "tanh")
"""The ufuncs of one argument that are used."""
exp: Any = None
expm1: Any = None
log: Any = None
log1p: Any = None
tanh: Any = None
add: Any = None


def linked(bind: Callable[..., Any], functions: Mapping[str, Any], loops: Sequence[Any]) -> dict[str, Any]:
    """Compile functions with `bind`, each able to call the earlier ones; return all by name, or empty on failure."""
    known = dict(functions)
    for loop in loops:
        known[loop.__name__] = bind(loop, known)
    return {} if None in known.values() else known


@functools.cache
def blas(dtype: str) -> dict[str, Any]:
    """Return the C functions gemm, gemv, ger and dot of NumPy's BLAS by name; empty if they are not found.

    Only the names in NumPy's wheels are tried, whose integers are known to have 64 bits.
    """
    file = importlib.import_module("numpy._core._multiarray_umath").__file__
    letter, real = ("s", "f") if dtype == "float32" else ("d", "d")
    takes = {"gemm": "viiilllrllllrll", "gemv": "viillrllllrll", "ger": "villrllllll", "dot": "rlllll"}
    names = {f"scipy_cblas_{letter}{name}64_": kinds.replace("r", real) for name, kinds in takes.items()}
    return dict(zip(takes, compiling.declared(file, names).values(), strict=False))


class Ufunc(ctypes.Structure):
    """Layout of NumPy's C struct `PyUFuncObject`, from after the object header up to the field `types`."""

    _fields_ = (
        *((name, ctypes.c_int) for name in ("inputs", "outputs", "arguments", "identity")),
        *((name, ctypes.POINTER(ctypes.c_void_p)) for name in ("loops", "data")),
        *(("count", ctypes.c_int), ("reserved", ctypes.c_int), ("name", ctypes.c_char_p), ("types", ctypes.c_void_p)),
    )


@functools.cache
def ufuncs(dtype: str) -> dict[str, Any]:
    """Return the C inner loops of NumPy's exp, log, tanh and others for a dtype; empty unless all are found.

    Each takes the addresses of its arguments, of the count and of the strides, and of its data, which is unused here.
    """
    made: dict[str, Any] = {}
    for name in (*PLAIN, "add"):
        ufunc = getattr(np, name)
        found, arguments = Ufunc.from_address(id(ufunc) + object.__basicsize__), 2 + (name == "add")
        if (found.arguments, found.outputs, found.count, found.name) != (arguments, 1, ufunc.ntypes, name.encode()):
            return {}
        kinds = ctypes.string_at(found.types, arguments * found.count)
        number = kinds.index(bytes(arguments * [np.dtype(dtype).num])) // arguments
        if found.data[number]:
            return {}
        function: Any = ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * 4)(found.loops[number])
        function.__name__ = f"numpy_{name}_{dtype}"
        made[name] = function
    return made


def given(x: Array, y: Array) -> Array:
    """Return the arguments of a ufunc's C loop from x to y: addresses, count and strides.

    Loops return a part of it, because an object whose address a C call uses must be used again after the call to stay
    alive.
    """
    words = np.empty(5, np.int64)
    words[0], words[1], words[2], words[3:] = x.ctypes.data, y.ctypes.data, x.size, x.itemsize
    return words


def exps(x: Array, y: Array) -> int:
    """Write exp(x) to y, both of shape (n,)."""
    words = given(x, y)
    exp(words.ctypes.data, words.ctypes.data + 16, words.ctypes.data + 24, 0)
    return words[2]


def expm1s(x: Array, y: Array) -> int:
    """Write exp(x) - 1 to y."""
    words = given(x, y)
    expm1(words.ctypes.data, words.ctypes.data + 16, words.ctypes.data + 24, 0)
    return words[2]


def logs(x: Array, y: Array) -> int:
    """Write log(x) to y."""
    words = given(x, y)
    log(words.ctypes.data, words.ctypes.data + 16, words.ctypes.data + 24, 0)
    return words[2]


def log1ps(x: Array, y: Array) -> int:
    """Write log(1 + x) to y."""
    words = given(x, y)
    log1p(words.ctypes.data, words.ctypes.data + 16, words.ctypes.data + 24, 0)
    return words[2]


def tanhs(x: Array, y: Array) -> int:
    """Write tanh(x) to y."""
    words = given(x, y)
    tanh(words.ctypes.data, words.ctypes.data + 16, words.ctypes.data + 24, 0)
    return words[2]


def means(x: Array, y: Array) -> None:
    """Write the mean of each row of x, (B, n), to y, (B,), in NumPy's order of addition."""
    words, size = np.zeros(7, np.int64), x.itemsize
    words[3], words[5] = x.shape[1], size
    for b in range(len(y)):
        y[b] = 0
        words[0] = words[2] = y.ctypes.data + b * size
        words[1] = x.ctypes.data + b * x.shape[1] * size
        add(words.ctypes.data, words.ctypes.data + 24, words.ctypes.data + 32, 0)
    count = np.empty_like(y[:1])
    count[0] = words[3]
    for b in range(len(y)):
        y[b] /= count[0]


LOOPS = (given, exps, expm1s, logs, log1ps, tanhs, means)

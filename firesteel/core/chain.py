"""Runs of dense layers as one op: their products and rectifiers are one compiled call, and the same bits.

Python's lock is then given back once a run, where NumPy gives it back around every product and two threads wait for
one another; docs/design/0008-speed.md says what that is worth.  `train/rounds.py` asks for them, `network.py` learns
through them, where numba is installed and NumPy has brought a BLAS that can be found; else nothing here runs.
"""

import ctypes
import functools
import importlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from firesteel.core import kernels
from firesteel.core.activations import Relu
from firesteel.core.ops import Affine, Op, ones
from firesteel.core.types import Array, Pull, Views

__all__ = ["Chain", "chains"]


class Chain(Op):
    """Affine ops, each with the rectifier behind it if there is one, as one op that learns as they do.

    Its parameters are those of all its ops: `apply` and the pull-back are given the views of the first one, and the
    others lie behind these in the vector, as `Layout` puts them.  x: (B, I), C-contiguous, B at least 2.

    layers: (L, 4), of each the inputs, the units, whether there is a bias and whether a rectifier.
    """

    def __init__(self, layers: Array, forward: Any, backward: Any) -> None:
        self.layers, self.forward, self.backward = layers, forward, backward
        self.span = len(layers) + int(layers[:, 3].sum())  # type: ignore[misc]
        self.units, self.last = int(layers[:, 1].sum()), int(layers[-1, 1])

    def apply(self, p: Views, x: Array, rng: np.random.Generator | None) -> tuple[Array, Pull]:
        rows, one = len(x), ones(len(x), x.dtype)
        z = np.empty(rows * self.units, x.dtype)
        self.forward(x, p["w"], one, self.layers, z)

        def pull(d_y: Array, g: Views, wants_x: bool) -> Array | None:
            d = np.empty_like(z)
            d[-d_y.size :] = d_y.reshape(-1)
            d_x = np.empty_like(x) if wants_x else x
            self.backward(x, p["w"], one, g["w"], d_x, wants_x, self.layers, z, d)
            return d_x if wants_x else None

        return z[-rows * self.last :].reshape(rows, self.last), pull


def chains(ops: Sequence[Op], widths: Sequence[int], dtype: str) -> dict[int, Chain]:
    """Return the runs among these ops that are worth a compiled call, by the number of their first op.

    widths: how many values enter each op, and how many leave the last.
    A layer of one unit, or of one input, is none of them: NumPy has other products for those.
    """
    runs: dict[int, list[list[int]]] = {}
    first = None
    for number, (op, inputs, units) in enumerate(zip(ops, widths, widths[1:], strict=False)):
        if isinstance(op, Affine) and min(inputs, units) > 1:
            first = number if first is None else first
            runs.setdefault(first, []).append([inputs, units, op.use_bias, False])
        elif isinstance(op, Relu) and first is not None and not runs[first][-1][3]:
            runs[first][-1][3] = True
        else:
            first = None
    made = {}
    for number, layers in runs.items():
        size = sum(inputs * units for inputs, units, _, _ in layers)
        if size >= kernels.WORTH and (found := loops(dtype)):
            made[number] = Chain(np.array(layers, np.int64), *found)
    return made


@functools.cache
def loops(dtype: str) -> tuple[Any, Any] | None:
    """Return what runs chains of this dtype forward and back, or None where it cannot be compiled."""
    products = blas(dtype)
    made = [kernels.compiled_with(loop, products) for loop in (forward, backward)] if products else [None, None]
    return None if made[0] is None or made[1] is None else (made[0], made[1])


def blas(dtype: str) -> dict[str, Any]:
    """Return gemm, gemv and ger of the BLAS that NumPy uses, or nothing where they are not found.

    They are looked for among the names in NumPy's wheels, whose whole numbers are known to have 64 bits.
    """
    try:
        library = ctypes.CDLL(importlib.import_module("numpy._core._multiarray_umath").__file__)
    except (ImportError, OSError):
        return {}
    letter, real = ("s", ctypes.c_float) if dtype == "float32" else ("d", ctypes.c_double)
    word, whole = ctypes.c_int, ctypes.c_int64  # an address is a whole number too
    takes = {
        "gemm": [word, word, word, whole, whole, whole, real, whole, whole, whole, whole, real, whole, whole],
        "gemv": [word, word, whole, whole, real, whole, whole, whole, whole, real, whole, whole],
        "ger": [word, whole, whole, real, whole, whole, whole, whole, whole, whole],
    }
    made = {}
    for name, types in takes.items():
        function = getattr(library, f"scipy_cblas_{letter}{name}64_", None)
        if function is None:
            return {}
        function.argtypes, function.restype = types, None
        made[name] = function
    return made


ROWS, PLAIN, TURNED = 101, 111, 112
"""What BLAS calls matrices that lie row by row, as they are and transposed."""
gemm: Any = None
gemv: Any = None
ger: Any = None
"""Products of a BLAS, that `kernels.bound` gives the loops."""


def forward(x: Array, w: Array, one: Array, layers: Array, z: Array) -> None:
    """Write each layer's outputs, one after another, into z: relu(x w + b) or x w + b, as `Affine` and `Relu` do.

    x: (B, I)  w: the first kernel, behind which the other parameters lie  one: ones, (B,)  layers: as in `Chain`
    """
    rows, at, size, into, p = len(x), 0, z.itemsize, x.ctypes.data, w.ctypes.data
    for inputs, units, biased, bent in layers:
        out = z.ctypes.data + at * size
        gemm(ROWS, PLAIN, PLAIN, rows, units, inputs, 1.0, into, inputs, p, units, 0.0, out, units)
        p += inputs * units * size
        if biased:
            ger(ROWS, rows, units, 1.0, one.ctypes.data, 1, p, 1, out, units)
            p += units * size
        if bent:
            for i in range(at, at + rows * units):
                z[i] = z[i] if z[i] > 0 or z[i] != z[i] else 0
        into, at = out, at + rows * units


def backward(
    x: Array, w: Array, one: Array, g: Array, d_x: Array, wants_x: bool, layers: Array, z: Array, d: Array
) -> None:
    """Write the derivatives by the parameters to g, as they lie in w, and by x to d_x if wanted, as pull-backs do.

    d: as z; at its end it holds the derivative by the last outputs, and the others are written before it.
    """
    rows, end, after, size = len(x), len(z), 0, z.itemsize
    for inputs, units, biased, _ in layers:
        after += inputs * units + units * biased
    for number in range(len(layers) - 1, -1, -1):
        inputs, units, biased, bent = layers[number]
        at = end - rows * units
        if bent:
            for i in range(at, end):
                d[i] *= z[i] > 0
        after -= inputs * units + units * biased
        d_y, g_w = d.ctypes.data + at * size, g.ctypes.data + after * size
        before = at - rows * inputs
        into = x.ctypes.data if number == 0 else z.ctypes.data + before * size
        gemm(ROWS, TURNED, PLAIN, inputs, units, rows, 1.0, into, inputs, d_y, units, 0.0, g_w, units)
        if biased:
            gemv(ROWS, TURNED, rows, units, 1.0, d_y, units, one.ctypes.data, 1, 0.0, g_w + inputs * units * size, 1)
        out = d_x.ctypes.data if number == 0 else d.ctypes.data + before * size
        if number or wants_x:
            p = w.ctypes.data + after * size
            gemm(ROWS, PLAIN, TURNED, rows, inputs, units, 1.0, d_y, units, p, units, 0.0, out, inputs)
        end = at

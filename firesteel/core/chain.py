"""Runs of dense layers as one op: their products and rectifiers are one compiled call, and the same bits.

Softmax and the cross-entropy, where they follow, are compiled too.  Python's lock is given back once for each, where
NumPy gives it back around every product and two threads wait for one another; docs/design/0008-speed.md says what
that is worth.  `train/learner.py` asks for chains and `network.py` learns through them, where numba is installed and
NumPy has brought a BLAS that can be found; else nothing here runs.  `team.py` makes a whole step of them.
"""

import ctypes
import functools
import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from firesteel.core import kernels
from firesteel.core.activations import Relu
from firesteel.core.ops import Affine, Op, ones
from firesteel.core.types import Array, Pull, Stream, Views

__all__ = ["Chain", "chains"]


class Loops(NamedTuple):
    """What runs chains of one dtype: forward, the loss behind them, and back."""

    forward: Any
    crossentropy: Any
    backward: Any


class Chain(Op):
    """Affine ops, each with the rectifier behind it if there is one, as one op that learns as they do.

    Its parameters are those of all its ops: `apply` and the pull-back are given the views of the first one, and the
    others lie behind these in the vector, as `Layout` puts them.  x: (B, I), C-contiguous, B at least 2.

    layers: (L, 4), of each the inputs, the units, whether there is a bias and whether a rectifier.
    """

    def __init__(self, layers: Array, loops: Loops) -> None:
        self.layers, self.loops = layers, loops
        self.span = span(layers)  # type: ignore[misc]
        self.units, self.last = int(layers[:, 1].sum()), int(layers[-1, 1])

    def apply(self, p: Views, x: Array, rng: Stream | None) -> tuple[Array, Pull]:
        rows, one = len(x), ones(len(x), x.dtype)
        z = np.empty(rows * self.units, x.dtype)
        self.loops.forward(x, p["w"], one, self.layers, z)

        def pull(d_y: Array, g: Views, wants_x: bool) -> Array | None:
            d = np.empty_like(z)
            d[-d_y.size :] = d_y.reshape(-1)
            d_x = np.empty_like(x) if wants_x else x
            self.loops.backward(x, p["w"], one, g["w"], d_x, wants_x, self.layers, z, d)
            return d_x if wants_x else None

        return z[-rows * self.last :].reshape(rows, self.last), pull

    def learn(
        self, p: Views, x: Array, y: Array, weights: Array, g: Views, wants_x: bool
    ) -> tuple[Array, Array, Array]:
        """Do what `apply`, the loss's `rows` and the pull-back do, one after another.

        y: (B, 1), class numbers, or (B, O), a share for each class.
        weights: (B,), what the derivatives of each row's loss are multiplied by.
        Return the losses (B,), the probabilities (B, O), and the derivative by x, which means nothing if not wanted.
        """
        assert x.flags.c_contiguous and y.flags.c_contiguous, "ops make rows that lie one after another"
        rows, one, d_x = len(x), ones(len(x), x.dtype), np.empty_like(x) if wants_x else x
        z, d = np.empty(rows * self.units, x.dtype), np.empty(rows * self.units, x.dtype)
        losses, outputs = np.empty(rows, x.dtype), np.empty((rows, self.last), x.dtype)
        self.loops.forward(x, p["w"], one, self.layers, z)
        self.loops.crossentropy(z[-outputs.size :], y, weights, losses, outputs, d[-outputs.size :])
        self.loops.backward(x, p["w"], one, g["w"], d_x, wants_x, self.layers, z, d)
        return losses, outputs, d_x


def chains(ops: Sequence[Op], widths: Sequence[int], dtype: str) -> dict[int, Chain]:
    """Return the runs among these ops that are worth a compiled call, where they can be compiled."""
    made = {}
    for number, layers in runs(ops, widths).items():
        size = sum(inputs * units for inputs, units, _, _ in layers)
        if size >= kernels.WORTH and (found := loops(dtype)):
            made[number] = Chain(np.array(layers, np.int64), found)
    return made


def runs(ops: Sequence[Op], widths: Sequence[int]) -> dict[int, list[list[int]]]:
    """Return the runs among these ops, by the number of their first op: the layers of each, as in `Chain`.

    widths: how many values enter each op, and how many leave the last.
    A layer of one unit, or of one input, is in none of them: NumPy has other products for those.
    """
    found: dict[int, list[list[int]]] = {}
    first = None
    for number, (op, inputs, units) in enumerate(zip(ops, widths, widths[1:], strict=False)):
        if isinstance(op, Affine) and min(inputs, units) > 1:
            first = number if first is None else first
            found.setdefault(first, []).append([inputs, units, op.use_bias, False])
        elif isinstance(op, Relu) and first is not None and not found[first][-1][3]:
            found[first][-1][3] = True
        else:
            first = None
    return found


def span(layers: Any) -> int:
    """Return how many ops these layers are, as in `Chain`."""
    return sum(1 + int(bent) for *_, bent in layers)


@functools.cache
def loops(dtype: str) -> Loops | None:
    """Return what runs chains of this dtype, or None where it cannot be compiled."""
    products, curves = blas(dtype), ufuncs(dtype)
    return wired(kernels.compiled_with, products | curves) if products and curves else None


def wired(bind: Callable[..., Any], functions: Mapping[str, Any]) -> Loops | None:
    """Return the loops of this module, made by `bind` to call these functions."""
    parts = [bind(loop, functions) for loop in (forward, crossentropy, backward)]
    return None if None in parts else Loops(*parts)


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


class Ufunc(ctypes.Structure):
    """What a ufunc is behind the head that every object has, as NumPy's `ufuncobject.h` says, up to its types."""

    _fields_ = (
        *((name, ctypes.c_int) for name in ("inputs", "outputs", "arguments", "identity")),
        *((name, ctypes.POINTER(ctypes.c_void_p)) for name in ("loops", "data")),
        *(("count", ctypes.c_int), ("reserved", ctypes.c_int), ("name", ctypes.c_char_p), ("types", ctypes.c_void_p)),
    )


def ufuncs(dtype: str) -> dict[str, Any]:
    """Return the loops in C of NumPy's exp and log over numbers of this dtype, or nothing where they are not found.

    Each takes the addresses of those of input and output, of the count, of the strides, and of its data: here none.
    """
    made: dict[str, Any] = {}
    for ufunc in (np.exp, np.log):
        found = Ufunc.from_address(id(ufunc) + object.__basicsize__)
        if (found.inputs, found.outputs, found.count, found.name) != (1, 1, ufunc.ntypes, ufunc.__name__.encode()):
            return {}
        kinds = ctypes.string_at(found.types, 2 * found.count)
        number = kinds.index(bytes(2 * [np.dtype(dtype).num])) // 2
        if found.data[number]:
            return {}
        function: Any = ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * 4)(found.loops[number])
        function.__name__ = f"numpy_{ufunc.__name__}_{dtype}"
        made[ufunc.__name__] = function
    return made


ROWS, PLAIN, TURNED = 101, 111, 112
"""What BLAS calls matrices that lie row by row, as they are and transposed."""
gemm: Any = None
gemv: Any = None
ger: Any = None
"""Products of a BLAS, that `kernels.bound` gives the loops."""
exp: Any = None
log: Any = None
"""Loops of NumPy's, that `kernels.bound` gives `crossentropy`."""


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


def crossentropy(z: Array, y: Array, weights: Array, losses: Array, p: Array, d: Array) -> None:
    """Write losses, probabilities and derivatives, as the categorical losses' `rows` do, these weighted.

    z, d: (B O,)  y: (B, 1), class numbers, or (B, O), a share for each class  weights, losses: (B,)  p: (B, O)
    """
    rows, outputs = p.shape
    others, tops = np.empty_like(losses), np.empty(rows, np.int64)
    for b in range(rows):
        at = b * outputs
        tops[b] = z[at : at + outputs].argmax()
        for k in range(at, at + outputs):
            d[k] = z[k] - z[at + tops[b]]
    # what lives as long as a call of C has its address must be used again after it
    given, total, one = np.empty(5, np.int64), np.empty_like(losses), np.ones_like(p[0])
    given[0], given[1], given[2], given[3:] = d.ctypes.data, p.ctypes.data, p.size, z.itemsize
    exp(given.ctypes.data, given.ctypes.data + 16, given.ctypes.data + 24, 0)
    gemv(ROWS, PLAIN, rows, outputs, 1.0, p.ctypes.data, outputs, one.ctypes.data, 1, 0.0, total.ctypes.data, 1)
    given[0], given[1], given[2] = total.ctypes.data, losses.ctypes.data, rows
    log(given.ctypes.data, given.ctypes.data + 16, given.ctypes.data + 24, 0)
    for b in range(given[2]):
        p[b, tops[b]] = 0
    gemv(ROWS, PLAIN, rows, outputs, 1.0, p.ctypes.data, outputs, one.ctypes.data, 1, 0.0, others.ctypes.data, 1)
    for b in range(rows):
        losses[b] += others[b] - (total[b] - one[0])
        p[b, tops[b]] = 1
        for k in range(outputs):
            p[b, k] /= total[b]
    if y.shape[1] == 1:
        for b in range(rows):
            at, own = b * outputs, int(y[b, 0])
            losses[b] -= d[at + own]
            d[at : at + outputs] = p[b]
            d[at + own] -= one[0]
    else:
        part, mass, mean = y.copy(), np.empty_like(losses), np.empty_like(losses)
        gemv(ROWS, PLAIN, rows, outputs, 1.0, part.ctypes.data, outputs, one.ctypes.data, 1, 0.0, mass.ctypes.data, 1)
        for b in range(rows):
            for k in range(outputs):
                part[b, k] *= d[b * outputs + k]
        gemv(ROWS, PLAIN, rows, outputs, 1.0, part.ctypes.data, outputs, one.ctypes.data, 1, 0.0, mean.ctypes.data, 1)
        for b in range(len(part)):
            losses[b] = losses[b] * mass[b] - mean[b]
            for k in range(len(one)):
                d[b * outputs + k] = p[b, k] * mass[b] - y[b, k]
    d.reshape(p.shape)[:] *= weights.reshape(rows, 1)

"""Loops that NumPy makes several passes of, compiled where numba is installed: the same bits, faster.

A loop is made of +, -, x, /, sqrt and copies alone, in the order of the NumPy lines that it replaces, and of
products that NumPy's own BLAS makes as NumPy asks it, so that nothing depends on who has numba; a test holds each to
it.  Those lines are in `ops.py`, `activations.py`, `losses.py`, `optimizers.py`, `seeds.py` and
`firesteel/train/blocks.py`.  Without numba nothing here is called.
"""

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from firesteel.core.seeds import FIRST, SECOND, STEP
from firesteel.core.types import Array

__all__ = ["adam", "backward", "crossentropy", "forward", "gather", "mask"]


ROWS, PLAIN, TURNED = 101, 111, 112
"""What BLAS calls matrices that lie row by row, as they are and transposed."""
gemm: Any = None
gemv: Any = None
ger: Any = None
"""Products of a BLAS, that `kernels.Compiled` gives the loops."""
exp: Any = None
log: Any = None
"""Loops of NumPy's, that `kernels.Compiled` gives `crossentropy`."""


def forward(x: Array, w: Array, one: Array, layers: Array, z: Array) -> None:
    """Write each layer's outputs, one after another, into z: relu(x w + b) or x w + b, as `Affine` and `Relu` do.

    x: (B, I)  w: the first kernel, behind which the other parameters lie  one: ones, (B,)  layers: those of a `Chain`
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
    classes = y.shape[1] == 1
    for b in range(rows):
        losses[b] += others[b] - (total[b] - one[0])
        others[b] /= total[b]
        p[b, tops[b]] = 1
        for k in range(outputs):
            p[b, k] /= total[b]
        if classes:
            at, own = b * outputs, int(y[b, 0])
            losses[b] -= d[at + own]
            for k in range(outputs):
                d[at + k] = p[b, k] * weights[b]
            slope = (one[0] - one[0]) - others[b] if own == tops[b] else p[b, own] - one[0]
            d[at + own] = slope * weights[b]
    if not classes:
        part, mass, mean = y.copy(), np.empty_like(losses), np.empty_like(losses)
        gemv(ROWS, PLAIN, rows, outputs, 1.0, part.ctypes.data, outputs, one.ctypes.data, 1, 0.0, mass.ctypes.data, 1)
        for b in range(rows):
            for k in range(outputs):
                if part[b, k] != 0:
                    part[b, k] *= d[b * outputs + k]
        gemv(ROWS, PLAIN, rows, outputs, 1.0, part.ctypes.data, outputs, one.ctypes.data, 1, 0.0, mean.ctypes.data, 1)
        for b in range(len(part)):
            losses[b] = losses[b] * mass[b] - mean[b]
            for k in range(len(one)):
                d[b * outputs + k] = p[b, k] * mass[b] - y[b, k]
            share = y[b, tops[b]]
            if share + share > mass[b]:
                d[b * outputs + tops[b]] = mass[b] - share - others[b] * mass[b]
        for b in range(rows):
            for k in range(b * outputs, (b + 1) * outputs):
                d[k] *= weights[b]


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

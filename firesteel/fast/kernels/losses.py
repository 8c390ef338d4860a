"""The categorical cross-entropies behind softmax: what their `rows` do in NumPy."""

from typing import Any

import numpy as np

from firesteel.core.types import Array
from firesteel.fast.kernels.dense import PLAIN, ROWS

__all__ = ["crossentropy"]

gemv: Any = None
exp: Any = None
log: Any = None
"""A product of a BLAS, and loops of NumPy's, that `compiling.Compiled` gives the loop."""


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

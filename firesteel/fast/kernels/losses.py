"""Compiled losses and their weighted derivatives; `Objective.slopes` computes them in NumPy.

z, d: (B O,), the inputs of the loss and its derivative.  y: (B, T), targets.  weights, losses: (B,).  p: (B, O), the
network's outputs.
"""

from typing import Any

import numpy as np

from firesteel.core.losses import (
    FUSED,
    BinaryCrossentropy,
    HalfSumOfSquares,
    Huber,
    Loss,
    MeanAbsoluteError,
    MeanSquaredError,
    Standardized,
    get,
)
from firesteel.core.types import Array
from firesteel.fast.kernels.dense import PLAIN, ROWS

__all__ = ["LOOPS", "chosen"]

gemv: Any = None
exps: Any = None
logs: Any = None
log1ps: Any = None
"""A BLAS function and loops of `functions.py`, bound by `compiling.Compiled`."""
CLASSES, BINARY, SQUARES, HALVES, SIZES, HUBER = range(6)
"""The kinds of losses."""
DIFFERENCES = {MeanSquaredError: SQUARES, HalfSumOfSquares: HALVES, MeanAbsoluteError: SIZES, Huber: HUBER}
FEW = 8
"""The number of outputs from which NumPy adds up a row in another order."""


def chosen(loss: Loss, outputs: int, dtype: str) -> tuple[int, Array] | None:
    """Return the kind and the constants with which `head` computes a loss; None if the loss is not compiled."""
    if loss in FUSED:
        return CLASSES, np.empty(0, dtype)
    if loss == BinaryCrossentropy():
        return BINARY, np.array([1.0 / outputs], dtype)
    unit = loss if type(loss) is Standardized else Standardized(loss) if type(loss) in DIFFERENCES else None
    of = get(unit.loss) if unit else None
    if unit is None or of is None or type(of) not in DIFFERENCES or outputs >= FEW:
        return None
    numbers = 0.5, 2.0 / outputs, 1.0 / outputs, outputs, getattr(of, "delta", 0.0)
    given = np.empty(len(numbers) + 2 * outputs, dtype)
    given[: len(numbers)] = numbers
    given[len(numbers) : -outputs], given[-outputs:] = unit.mean, 1 / np.array(unit.deviation, dtype)
    return DIFFERENCES[type(of)], given


def differences(
    z: Array, y: Array, weights: Array, losses: Array, p: Array, d: Array, kind: int, given: Array
) -> None:
    """Compute a loss of z - y, such as the squared error, possibly of standardized targets."""
    rows, outputs = p.shape
    half, double, part, count, delta = given[0], given[1], given[2], given[3], given[4]
    for b in range(rows):
        total = half - half
        for k in range(outputs):
            at, mean, factor = b * outputs + k, given[5 + k], given[5 + outputs + k]
            p[b, k] = z[at]
            r = (z[at] - mean) * factor - (y[b, k] - mean) * factor
            if kind == SQUARES:
                value, slope = r * r, r * double
            elif kind == HALVES:
                value, slope = r * (r * half), r
            elif kind == SIZES:
                value, slope = abs(r), part if r > 0 else -part if r < 0 else r - r
            else:
                near = delta if r > delta else -delta if r < -delta else r
                value, slope = near * (r - half * near), near * part
            total += value
            d[at] = slope * factor * weights[b]
        losses[b] = total if kind == HALVES else total / count


def binary(z: Array, y: Array, weights: Array, losses: Array, p: Array, d: Array, given: Array) -> None:
    """Compute the binary cross-entropy after a sigmoid."""
    rows, outputs = p.shape
    part, one = given[0], np.ones_like(p[0])
    e, more = np.empty_like(z), np.empty_like(z)
    for i in range(z.size):
        more[i] = -abs(z[i])
    exps(more, e)
    log1ps(e, more)
    for b in range(rows):
        for k in range(outputs):
            at, target = b * outputs + k, y[b, k]
            yes = one[0] if z[at] >= 0 else one[0] - one[0]
            above = one[0] if z[at] >= 0 else e[at]
            apart, total = abs(yes - target), one[0] + e[at]
            if apart != 0:
                more[at] += apart * abs(z[at])
            p[b, k] = above / total
            d[at] = (above - target - target * e[at]) / total * part * weights[b]
    if outputs > 1:
        unit = one.ctypes.data
        gemv(ROWS, PLAIN, rows, outputs, 1.0, more.ctypes.data, outputs, unit, 1, 0.0, losses.ctypes.data, 1)
    for b in range(rows):  # using `one` here keeps it alive during the C call
        losses[b] = (losses[b] if outputs > 1 else more[b]) * part * one[0]


def crossentropy(z: Array, y: Array, weights: Array, losses: Array, p: Array, d: Array) -> None:
    """Compute the categorical cross-entropy after softmax.  y: class indices, or a probability for each class."""
    rows, outputs = p.shape
    others, tops = np.empty_like(losses), np.empty(rows, np.int64)
    for b in range(rows):
        at = b * outputs
        tops[b] = z[at : at + outputs].argmax()
        for k in range(at, at + outputs):
            d[k] = z[k] - z[at + tops[b]]
    total, one = np.empty_like(losses), np.ones_like(p[0])
    exps(d, p)
    gemv(ROWS, PLAIN, rows, outputs, 1.0, p.ctypes.data, outputs, one.ctypes.data, 1, 0.0, total.ctypes.data, 1)
    logs(total, losses)
    for b in range(rows):
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


def head(z: Array, y: Array, weights: Array, losses: Array, p: Array, d: Array, kind: int, given: Array) -> None:
    """Compute the loss whose kind and constants `chosen` returned, with outputs and derivatives."""
    if kind == CLASSES:
        crossentropy(z, y, weights, losses, p, d)
    elif kind == BINARY:
        binary(z, y, weights, losses, p, d, given)
    else:
        differences(z, y, weights, losses, p, d, kind, given)


LOOPS = (differences, binary, crossentropy, head)
"""The loops; the last calls those before it."""

"""Compiled optimizer steps; `Optimizer.step` takes them in NumPy.

theta, g: (P,).  a, b, c: (P,), the moments, with the first repeated if there are fewer.  n: the numbers of
`Optimizer.numbers`.
"""

import math

from firesteel.core.types import Array

__all__ = ["LOOPS"]


def adam(theta: Array, g: Array, a: Array, b: Array, c: Array, n: Array) -> None:
    """Take a step of Adam, or of AdamW after its weight decay."""
    b1, b2, epsilon, rate = n[0], n[1], n[2], n[3]
    for i in range(theta.size):
        a[i] = a[i] * b1 + g[i]
        b[i] = b[i] * b2 + g[i] * g[i]
        theta[i] -= a[i] / (math.sqrt(b[i]) + epsilon) * rate


def sgd(theta: Array, g: Array, a: Array, b: Array, c: Array, n: Array) -> None:
    """Take a step of SGD, with or without momentum."""
    rate, momentum, nesterov = n[0], n[1], n[2]
    for i in range(theta.size):
        move = g[i] * rate
        if momentum != 0:
            a[i] = a[i] * momentum + move
            if nesterov != 0:
                theta[i] += move
            move = a[i] * momentum if nesterov != 0 else a[i]
        theta[i] += move


def rmsprop(theta: Array, g: Array, a: Array, b: Array, c: Array, n: Array) -> None:
    """Take a step of RMSprop."""
    rate, rho, rest, epsilon, momentum, centered = n[0], n[1], n[2], n[3], n[4], n[5]
    d = c if centered != 0 else b
    for i in range(theta.size):
        a[i] = a[i] * rho + g[i] * g[i] * rest
        square = a[i] + epsilon
        if centered != 0:
            b[i] = b[i] * rho + g[i] * rest
            square -= b[i] * b[i]
            if square < epsilon:
                square = epsilon
        move = g[i] / math.sqrt(square) * rate
        if momentum != 0:
            d[i] = d[i] * momentum + move
            move = d[i]
        theta[i] -= move


LOOPS = {"adam": adam, "rmsprop": rmsprop, "sgd": sgd}

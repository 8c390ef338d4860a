"""Compiled batch and layer normalization, forward and backward, and the layer that calls them.

x, xhat, y, d: (B, O), the inputs, the normalized values, the outputs, and a derivative that is pulled back in place.
gamma, beta: (O,), or empty.  g_gamma, g_beta: their derivatives.  one: ones, (B,).
"""

import math
from typing import Any

import numpy as np

from firesteel.core.layout import ones
from firesteel.core.types import Array, Pull, Stream, Views
from firesteel.fast.kernels.dense import ROWS, TURNED

__all__ = ["LOOPS", "Normalized"]

gemv: Any = None
means: Any = None
"""A BLAS function, and a loop of `functions.py`."""


def over_rows(x: Array, one: Array, out: Array) -> None:
    """Write the sum of each column of x, (B, O), to out, (O,)."""
    rows, width = x.shape
    gemv(ROWS, TURNED, rows, width, 1.0, x.ctypes.data, width, one.ctypes.data, 1, 0.0, out.ctypes.data, 1)


def scaled(xhat: Array, gamma: Array, beta: Array, y: Array) -> None:
    """Write gamma xhat + beta to y."""
    for b in range(len(xhat)):
        for i in range(xhat.shape[1]):
            y[b, i] = xhat[b, i] * gamma[i] if len(gamma) else xhat[b, i]
        for i in range(len(beta)):
            y[b, i] += beta[i]


def pulled(d: Array, xhat: Array, gamma: Array, beta: Array, g_gamma: Array, g_beta: Array, one: Array) -> Array:
    """Backward pass of `scaled`: write the gradients of gamma and beta, and replace d by that of xhat."""
    room = np.empty_like(d)
    if len(beta):
        over_rows(d, one, g_beta)
    if len(gamma):
        for b in range(len(d)):
            for i in range(d.shape[1]):
                room[b, i] = d[b, i] * xhat[b, i]
                d[b, i] *= gamma[i]
        over_rows(room, one, g_gamma)
    for b in range(len(d)):
        for i in range(d.shape[1]):
            room[b, i] = d[b, i] * xhat[b, i]
    return room


def by_rows(x: Array, xhat: Array, y: Array, root: Array, gamma: Array, beta: Array, epsilon: Array) -> None:
    """Normalize each row to mean 0 and variance 1.  root: (B,), standard deviation of each row."""
    means(x, root)
    for b in range(len(x)):
        for i in range(x.shape[1]):
            xhat[b, i] = x[b, i] - root[b]
            y[b, i] = xhat[b, i] * xhat[b, i]
    means(y, root)
    for b in range(len(x)):
        root[b] = math.sqrt(root[b] + epsilon[0])
        for i in range(x.shape[1]):
            xhat[b, i] /= root[b]
    scaled(xhat, gamma, beta, y)


def by_rows_back(
    d: Array, xhat: Array, root: Array, gamma: Array, beta: Array, g_gamma: Array, g_beta: Array, one: Array
) -> None:
    """Backward pass of `by_rows`: replace d by the gradient of x, and write those of gamma and beta."""
    room, mean, slope = pulled(d, xhat, gamma, beta, g_gamma, g_beta, one), np.empty_like(root), np.empty_like(root)
    means(d, mean)
    means(room, slope)
    for b in range(len(d)):
        for i in range(d.shape[1]):
            d[b, i] = (d[b, i] - mean[b] - xhat[b, i] * slope[b]) / root[b]


def by_columns(x: Array, xhat: Array, y: Array, of: Array, gamma: Array, beta: Array, n: Array, one: Array) -> None:
    """Normalize each column over the batch.  of: (3, O), mean, variance, standard deviation.  n: 1 / B, epsilon"""
    mean, variance, root = of[0], of[1], of[2]
    over_rows(x, one, mean)
    for i in range(x.shape[1]):
        mean[i] *= n[0]
    for b in range(len(x)):
        for i in range(x.shape[1]):
            xhat[b, i] = x[b, i] - mean[i]
            y[b, i] = xhat[b, i] * xhat[b, i]
    over_rows(y, one, variance)
    for i in range(x.shape[1]):
        variance[i] *= n[0]
        root[i] = math.sqrt(variance[i] + n[1])
    for b in range(len(x)):
        for i in range(x.shape[1]):
            xhat[b, i] /= root[i]
    scaled(xhat, gamma, beta, y)


def by_columns_back(
    d: Array, xhat: Array, of: Array, gamma: Array, beta: Array, g_gamma: Array, g_beta: Array, n: Array, one: Array
) -> None:
    """Backward pass of `by_columns`: replace d by the gradient of x, and write those of gamma and beta."""
    room, root = pulled(d, xhat, gamma, beta, g_gamma, g_beta, one), of[2]
    mean, slope = np.empty_like(root), np.empty_like(root)
    over_rows(d, one, mean)
    over_rows(room, one, slope)
    for i in range(d.shape[1]):
        mean[i] *= n[0]
        slope[i] *= n[0]
    for b in range(len(d)):
        for i in range(d.shape[1]):
            d[b, i] = (d[b, i] - mean[i] - xhat[b, i] * slope[i]) / root[i]


LOOPS = (over_rows, scaled, pulled, by_rows, by_rows_back, by_columns, by_columns_back)


class Normalized:
    """Compiled batch or layer normalization, in training."""

    joint, span = False, 1

    def __init__(self, layer: Any, loops: dict[str, Any], dtype: str) -> None:
        self.layer, self.loops, self.random = layer, loops, layer.random
        self.none = np.empty(0, dtype)

    def apply(self, p: Views, x: Array, rng: Stream | None = None) -> tuple[Array, Pull]:
        x, one = np.ascontiguousarray(x), ones(len(x), x.dtype)
        xhat, y, numbers = np.empty_like(x), np.empty_like(x), np.array([1.0 / len(x), self.layer.epsilon], x.dtype)
        by = p.get("gamma", self.none), p.get("beta", self.none)
        of = np.empty((3, x.shape[1]) if self.random else len(x), x.dtype)
        if self.random:
            self.loops["by_columns"](x, xhat, y, of, *by, numbers, one)
        else:
            self.loops["by_rows"](x, xhat, y, of, *by, numbers[1:])

        def pull(d_y: Array, g: Views, wants_x: bool) -> Array:
            d, into = np.ascontiguousarray(d_y), (g.get("gamma", self.none), g.get("beta", self.none))
            if self.random:
                self.loops["by_columns_back"](d, xhat, of, *by, *into, numbers, one)
                g["mean"][:], g["variance"][:] = of[:2]
            else:
                self.loops["by_rows_back"](d, xhat, of, *by, *into, one)
            return d

        return y, pull

"""Compiled batch normalization of a batch cut into pieces, with the ReLU and the pooling that follow.

It does the work of `JointNormalization`, `Relu` and `MaxPooling2D`.  Indices are unsigned, as in `convolution.py`,
which describes `at`; images are flat.  gamma, beta: (C,), or empty.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from firesteel.core.layer import Joint
from firesteel.core.layers.normalization import ROWS, JointNormalization
from firesteel.core.layers.windows import Windows
from firesteel.core.network import Part
from firesteel.core.types import Array, Shape, Stream, Views
from firesteel.fast.kernels import convolution
from firesteel.fast.kernels.convolution import behind, convolved
from firesteel.fast.kernels.pooling import picked, settled, taken, tiled, unbend

__all__ = ["LOOPS", "Jointly", "pictured"]


def column_sums(x: Array, d: Array, m: Array, scale: Array, kind: int, total: Array) -> None:
    """Add column sums to total, (C,), float64: of x (kind 0), (x - m)^2 (kind 1), or d (x - m) scale (kind 2)."""
    u = np.uint64
    channels, rows = u(len(total)), u(len(x) // len(total))
    part = np.empty_like(m)
    for first in range(u(0), rows, u(ROWS)):
        for c in range(channels):
            part[c] = 0
        for row in range(first, min(first + u(ROWS), rows)):
            start = row * channels
            if kind == 0:
                for c in range(channels):
                    part[c] += x[start + c]
            elif kind == 1:
                for c in range(channels):
                    apart = x[start + c] - m[c]
                    part[c] += apart * apart
            else:
                for c in range(channels):
                    part[c] += d[start + c] * ((x[start + c] - m[c]) * scale[c])
        for c in range(channels):
            total[c] += part[c]


def sums(x: Array, m: Array, found: Array) -> None:
    """Write the number of rows, and each channel's sums of x and x^2, to found, (1 + 2 C,).  m: scratch, (C,)"""
    channels = len(m)
    rows, first, second = len(x) // channels, found[1 : 1 + channels], found[1 + channels :]
    column_sums(x, x, m, m, 0, first)
    for c in range(channels):
        m[c] = first[c] / rows
    column_sums(x, x, m, m, 1, second)
    for c in range(channels):
        far = np.float64(m[c])
        second[c] += far * (2 * first[c] - rows * far)
    found[0] = rows


def normalize(x: Array, m: Array, scale: Array, gamma: Array, beta: Array, at: Array, y: Array, won: Array) -> None:
    """Normalize images x and apply ReLU; write the maximum of each pool to y, and its position to won."""
    u = np.uint64
    h, w, channels, scaled, shifted, bent = at[9], at[10], at[11], len(gamma) > 0, len(beta) > 0, at[13] > 0
    tall, wide, down, right, below, across = at[14], at[15], at[16], at[17], at[18], at[19]
    size, pooled = w * channels, across * channels
    line, ms, by = np.empty(size, x.dtype), np.empty(size, x.dtype), np.empty(size, x.dtype)
    best = np.empty((2, 2, pooled), x.dtype)
    gammas, betas = np.empty(size, x.dtype), np.empty(size, x.dtype)
    tiled(m, w, ms)
    tiled(scale, w, by)
    tiled(gamma, w, gammas)
    tiled(beta, w, betas)
    if below == 0:
        for row in range(len(x) // size):
            start = u(row * size)
            for q in range(u(size)):
                v = (x[start + q] - ms[q]) * by[q]
                v = v * gammas[q] if scaled else v
                v = v + betas[q] if shifted else v
                y[start + q] = v if not bent or v > 0 or v != v else 0
        return
    for pool in range(len(x) // (h * size) * below):
        top = pool // below * h + pool % below * down
        for number in range(tall * wide):
            first = ((top + number // wide) * w + number % wide) * channels
            picked(x, first, right * channels, across, channels, line)
            for q in range(u(pooled)):
                v = (line[q] - ms[q]) * by[q]
                v = v * gammas[q] if scaled else v
                v = v + betas[q] if shifted else v
                line[q] = v if not bent or v > 0 or v != v else 0
            taken(line, pooled, number, best)
        settled(best, pooled, tall * wide, pool * pooled, y, won)


def slopes(
    d_y: Array, x: Array, m: Array, scale: Array, at: Array, y: Array, won: Array, d: Array, own: Array
) -> None:
    """Write the gradient of the normalized values to d, and its column sums, and those times the values, to own."""
    channels = len(m)
    unbend(d_y, len(x) // (at[9] * at[10] * channels), y, won, at, d)
    column_sums(d, d, m, scale, 0, own[:channels])
    column_sums(x, d, m, scale, 2, own[channels:])


def pulled(
    d: Array, x: Array, m: Array, scale: Array, by_mean: Array, by_xhat: Array, factor: Array, at: Array
) -> None:
    """Backward pass of the normalization: replace d, the gradient of its outputs, by that of its inputs."""
    u, w = np.uint64, at[10]
    size = w * len(m)
    ms, by, means = np.empty(size, x.dtype), np.empty(size, x.dtype), np.empty(size, x.dtype)
    xhats, factors = np.empty(size, x.dtype), np.empty(size, x.dtype)
    tiled(m, w, ms)
    tiled(scale, w, by)
    tiled(by_mean, w, means)
    tiled(by_xhat, w, xhats)
    tiled(factor, w, factors)
    for row in range(len(x) // size):
        start = u(row * size)
        for q in range(u(size)):
            xhat = (x[start + q] - ms[q]) * by[q]
            d[start + q] = (d[start + q] - means[q] - xhat * xhats[q]) * factors[q]


LOOPS = (*convolution.LOOPS, column_sums, sums, normalize, slopes, pulled)


class Jointly:
    """A compiled `JointNormalization`, fused with the ReLU and the max pooling that follow it, if any.

    Args:
        layer: The normalization.
        shape: The shape of the images.
        bent: The ReLU that follows, as in `at`.
        pool: The geometry of the pooling that follows, if any.
        loops: The compiled loops.
    """

    random = joint = True

    def __init__(self, layer: JointNormalization, shape: Shape, bent: int, pool: Windows | None, loops: Any) -> None:
        self.layer, self.loops, self.shape, self.pool = layer, loops, shape, pool
        self.span = 1 + (bent > 0) + (pool is not None)
        sides = (1, 1, *shape)[-3:]
        pools = (*pool.kernel, *pool.strides, *pool.places) if pool else (0,) * 6
        self.at = np.array((*[0] * 9, *sides, 0, bent, *pools), np.int64)
        self.made = (*pool.places, shape[-1])[-len(shape) :] if pool else shape

    def batch_sums(self, x: Array) -> Array:
        found = np.zeros(1 + 2 * self.shape[-1])
        self.loops["sums"](np.ascontiguousarray(x).reshape(-1), np.empty(self.shape[-1], x.dtype), found)
        return found

    def apply(self, p: Views, x: Array, total: Array, rng: Stream | None = None) -> tuple[Array, Joint]:
        n, none, channels = len(x), np.empty(0, x.dtype), self.shape[-1]
        given, of = np.ascontiguousarray(x).reshape(-1), self.layer.moments(total, x.dtype)
        gamma, beta, m, scale = p.get("gamma", none), p.get("beta", none), of.m, of.inverse
        y, d = np.empty((n, *self.made), x.dtype), none
        won, own = np.empty(y.size if self.pool else 0, np.uint8), np.zeros(2 * channels)
        self.loops["normalize"](given, m, scale, gamma, beta, self.at, y.reshape(-1), won)

        def batch_sums(d_y: Array) -> Array:
            nonlocal d
            d = np.empty_like(given)
            d_y = np.ascontiguousarray(d_y).reshape(-1)
            self.loops["slopes"](d_y, given, m, scale, self.at, y.reshape(-1), won, d, own)
            return own

        def pull(d_y: Array, g: Views, wants_x: bool, total: Array) -> Array | None:
            self.layer.write(g, own, of, len(given) / channels)
            if not wants_x:
                return None
            by_mean, by_xhat = (total / of.rows).astype(x.dtype).reshape(2, -1)
            factor = gamma * scale if len(gamma) else scale
            self.loops["pulled"](d, given, m, scale, by_mean, by_xhat, factor, self.at)
            return d.reshape(x.shape)

        return y, Joint(batch_sums, pull)


def pictured(plan: Sequence[Part], shapes: Sequence[Shape], loops: dict[str, Any]) -> dict[int, Any]:
    """Return the compiled replacements of convolutions and batch normalizations, keyed by the part's number.

    NumPy normalizes a single channel, because it adds up a single column in another order.
    """
    made: dict[int, Any] = dict(convolved(plan, shapes, loops))
    for part in plan:
        shape = shapes[part.reads[0]]
        if type(part.layer) is JointNormalization and shape[-1] > 1:
            made[part.number] = Jointly(part.layer, shape, *behind(plan, part.number, shapes), loops)
    return made

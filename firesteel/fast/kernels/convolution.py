"""Compiled convolutions, with the ReLU and the pooling that follow, and the layer that calls them.

They do the work of `layers/convolution.py`, `Relu` and `MaxPooling2D`, in the same pieces of whole images.  Indices
are unsigned, because loops with signed indices are not vectorized and take ten times as long.

at: 20 numbers: height, width and channels of padded images; height and width of the kernel, strides and dilation; the
number of windows vertically and horizontally; filters; images per piece; the ReLU that follows: 0 for none, 1 for
`Relu`, 2 for `ReLU`, whose slope at NaN is 1; height and width of the pool, its strides, and the number of pools
vertically and horizontally, or six zeros.
x, y, d and all other arrays of images are flat.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from firesteel.core.layers.activation import ReLU, Relu
from firesteel.core.layers.convolution import Convolve
from firesteel.core.layers.pooling import MaxPooling1D, MaxPooling2D
from firesteel.core.layers.windows import Windows
from firesteel.core.layout import ones
from firesteel.core.network import Part
from firesteel.core.types import Array, Pull, Shape, Stream, Views
from firesteel.fast.kernels import pooling
from firesteel.fast.kernels.dense import PLAIN, ROWS, TURNED
from firesteel.fast.kernels.pooling import bend, unbend

__all__ = ["LOOPS", "Convolved", "behind", "convolved"]

gemm: Any = None
gemv: Any = None


def gather(x: Array, n: int, at: Array, columns: Array) -> None:
    """Copy the windows of n padded images to columns (im2col), in the layout of `Windows.columns`."""
    u = np.uint64
    height, width, channels, k, span = u(at[0]), u(at[1]), u(at[2]), u(at[3]), u(at[4])
    down, right, below, across, h, w = u(at[5]), u(at[6]), u(at[7]), u(at[8]), u(at[9]), u(at[10])
    to, line, one = u(0), u(at[4] * at[2]), u(1)
    if channels == one:
        for p in range(k):
            for s in range(span):
                for b in range(u(n)):
                    for i in range(h):
                        start = (b * height + i * down + p * below) * width + s * across
                        for j in range(w):
                            columns[to + j] = x[start + j * right]
                        to += w
        return
    for b in range(u(n)):
        for i in range(h):
            for j in range(w):
                for p in range(k):
                    start = ((b * height + i * down + p * below) * width + j * right) * channels
                    if across == one:
                        for q in range(line):
                            columns[to + q] = x[start + q]
                        to += line
                    else:
                        for s in range(span):
                            pixel = start + s * across * channels
                            for q in range(channels):
                                columns[to + q] = x[pixel + q]
                            to += channels


def scatter(columns: Array, n: int, at: Array, x: Array) -> None:
    """Add columns back to the pixels of n padded images that they came from (col2im).

    It starts at the last window, so that each pixel receives the kernel's weights in order.
    """
    u = np.uint64
    height, width, channels, k, span = u(at[0]), u(at[1]), u(at[2]), u(at[3]), u(at[4])
    down, right, below, across, h, w = u(at[5]), u(at[6]), u(at[7]), u(at[8]), u(at[9]), u(at[10])
    one, line = u(1), u(at[4] * at[2])
    size = u(at[3] * at[4] * at[2])
    for b in range(u(n)):
        for up in range(h):
            i = h - one - up
            for left in range(w):
                j = w - one - left
                source = ((b * h + i) * w + j) * size
                for p in range(k):
                    start = ((b * height + i * down + p * below) * width + j * right) * channels
                    if across == one:
                        for q in range(line):
                            x[start + q] += columns[source + q]
                        source += line
                    else:
                        for s in range(span):
                            pixel = start + s * across * channels
                            for q in range(channels):
                                x[pixel + q] += columns[source + q]
                            source += channels


def product(columns: Array, n: int, at: Array, w: Array, z: Array, to: int) -> None:
    """Multiply the columns of n images by the kernel, and write the product to z, from index `to` on."""
    rows, size, filters, item = n * at[9] * at[10], at[3] * at[4] * at[2], at[11], z.itemsize
    into, source, kernel = z.ctypes.data + to * item, columns.ctypes.data, w.ctypes.data
    if at[2] == 1:
        gemm(ROWS, TURNED, PLAIN, rows, filters, size, 1.0, source, rows, kernel, filters, 0.0, into, filters)
    else:
        gemm(ROWS, PLAIN, PLAIN, rows, filters, size, 1.0, source, size, kernel, filters, 0.0, into, filters)


def forward(x: Array, w: Array, b: Array, at: Array, y: Array, won: Array) -> None:
    """Forward pass for padded images x: write outputs to y, and the positions of the pools' maxima to won."""
    pictures, each = len(x) // (at[0] * at[1] * at[2]), at[0] * at[1] * at[2]
    made, pooled = at[9] * at[10] * at[11], at[18] * at[19] * at[11]
    columns = np.empty(at[12] * at[9] * at[10] * at[3] * at[4] * at[2], x.dtype)
    z = np.empty(at[12] * made if pooled else 0, x.dtype)
    for first in range(0, pictures, at[12]):
        n = min(at[12], pictures - first)
        gather(x[first * each :], n, at, columns)
        if pooled:
            product(columns, n, at, w, z, 0)
            bend(z, n, b, at, y[first * pooled :], won[first * pooled :])
        else:
            product(columns, n, at, w, y, first * made)
            bend(y[first * made :], n, b, at, z, won)


def backward(
    d_y: Array,
    x: Array,
    w: Array,
    one: Array,
    at: Array,
    y: Array,
    won: Array,
    g_w: Array,
    g_b: Array,
    d_x: Array,
) -> None:
    """Backward pass: write the gradients of w and b to g_w and g_b, and add that of x to d_x.

    d_x is 0, or empty if that derivative is not wanted.
    """
    pictures, each, item = len(x) // (at[0] * at[1] * at[2]), at[0] * at[1] * at[2], x.itemsize
    made, size, filters = at[9] * at[10] * at[11], at[3] * at[4] * at[2], at[11]
    given = at[18] * at[19] * filters if at[18] else made
    columns, d = np.empty(at[12] * at[9] * at[10] * size, x.dtype), np.empty(at[12] * made, x.dtype)
    part_w, part_b = np.empty_like(g_w), np.empty_like(g_b)
    for first in range(0, pictures, at[12]):
        n = min(at[12], pictures - first)
        rows = n * at[9] * at[10]
        unbend(d_y[first * given :], n, y[first * given :], won[first * given :], at, d)
        gather(x[first * each :], n, at, columns)
        into_w, into_b = (part_w, part_b) if first else (g_w, g_b)
        source, slopes, kernel = columns.ctypes.data, d.ctypes.data, w.ctypes.data
        lead, turned = (rows, PLAIN) if at[2] == 1 else (size, TURNED)
        target = into_w.ctypes.data
        gemm(ROWS, turned, PLAIN, size, filters, rows, 1.0, source, lead, slopes, filters, 0.0, target, filters)
        if len(g_b):
            gemv(ROWS, TURNED, rows, filters, 1.0, slopes, filters, one.ctypes.data, 1, 0.0, into_b.ctypes.data, 1)
        if first:
            for q in range(len(g_w)):
                g_w[q] += part_w[q]
            for q in range(len(g_b)):
                g_b[q] += part_b[q]
        if len(d_x):
            gemm(ROWS, PLAIN, TURNED, rows, size, filters, 1.0, slopes, filters, kernel, filters, 0.0, source, size)
            scatter(columns, n, at, d_x[first * each :])
    if item == 0:  # keeps arrays alive of which only the address was used
        part_w[0], part_b[0], columns[0], d[0] = 0, 0, 0, 0


LOOPS = (*pooling.LOOPS, gather, scatter, product, forward, backward)


def rests(pool: Windows | None) -> bool:
    """Return whether pooling windows are disjoint and lie inside the image."""
    if pool is None:
        return False
    apart = all(step >= side for step, side in zip(pool.strides, pool.kernel, strict=True))
    return apart and not pool.is_padded and math.prod(pool.kernel) <= 256


class Convolved:
    """A compiled convolution layer, fused with the ReLU and the max pooling that follow it, if any.

    Args:
        place: The geometry of its windows.
        layer: The convolution.
        bent: The ReLU that follows, as in `at`.
        pool: The geometry of the pooling that follows, if any.
        loops: The compiled loops.
    """

    random = joint = False

    def __init__(
        self, place: Windows, layer: Convolve, bent: int, pool: Windows | None, loops: dict[str, Any]
    ) -> None:
        self.place, self.layer, self.loops, self.pool = place, layer, loops, pool
        self.span = 1 + (bent > 0) + (pool is not None)
        (height, width, channels), filters = place.shape, layer.filters
        tall, wide = (side + sum(pads) for side, pads in zip((height, width), place.pads, strict=True))
        piece = next(place.pieces(1 << 30))
        pools = (*pool.kernel, *pool.strides, *pool.places) if pool else (0,) * 6
        numbers = (tall, wide, channels, *place.kernel, *place.strides, *place.dilation, *place.places, filters)
        self.at = np.array((*numbers, piece.stop, bent, *pools), np.int64)
        self.made = (*(pool or place).places, filters)

    def apply(self, p: Views, x: Array, rng: Stream | None = None) -> tuple[Array, Pull]:
        shape, n, filters = x.shape, len(x), self.layer.filters
        padded = np.ascontiguousarray(self.place.padded(x.reshape(n, *self.place.shape)))
        at, none = self.at.copy(), np.empty(0, x.dtype)
        at[12] = min(at[12], n)
        y = np.empty((n, *self.made), x.dtype)
        won = np.empty(y.size if self.pool else 0, np.uint8)
        bias = p["b"] if self.layer.use_bias else none
        self.loops["forward"](padded.reshape(-1), p["w"].reshape(-1), bias, at, y.reshape(-1), won)

        def pull(d_y: Array, g: Views, wants_x: bool) -> Array | None:
            d_x = np.zeros_like(padded) if wants_x else none
            one = ones(int(at[12]) * math.prod(self.place.places), x.dtype)
            into = (g["w"].reshape(-1), g["b"] if self.layer.use_bias else none)
            d = np.ascontiguousarray(d_y).reshape(-1)
            known = padded.reshape(-1), p["w"].reshape(-1), one, at, y.reshape(-1), won
            self.loops["backward"](d, *known, *into, d_x.reshape(-1))
            return self.place.cropped(d_x).reshape(shape) if wants_x else None

        return y.reshape(n, *self.layer.shaped(self.pool or self.place, filters)), pull


def convolved(plan: Sequence[Part], shapes: Sequence[Shape], loops: dict[str, Any]) -> dict[int, Convolved]:
    """Return the compiled replacements of a network's convolutions, keyed by the number of the part.

    A convolution is compiled if it has one group, several weights per filter and several filters; NumPy computes the
    others with other products.  A following ReLU and pooling are included if nothing else reads their inputs.
    """
    made = {}
    for part in plan:
        if type(part.layer) is not Convolve or part.layer.groups > 1:
            continue
        place = part.layer.place(shapes[part.reads[0]])
        if min(place.size, part.layer.filters, math.prod(place.places)) < 2:
            continue
        made[part.number] = Convolved(place, part.layer, *behind(plan, part.number, shapes), loops)
    return made


def behind(plan: Sequence[Part], number: int, shapes: Sequence[Shape]) -> tuple[int, Windows | None]:
    """Return what follows a part: the kind of ReLU (0 for none), and the windows of a max pooling, or None."""
    after = _alone(plan, number + 1)
    bent = 0 if after is None else 1 if type(after.layer) is Relu else 2 if after.layer == ReLU() else 0
    after = _alone(plan, number + 2) if bent else after
    pooled = after is not None and type(after.layer) in (MaxPooling1D, MaxPooling2D)
    pool = after.layer.place(shapes[after.reads[0]]) if after and pooled else None
    return bent, pool if rests(pool) else None


def _alone(plan: Sequence[Part], number: int) -> Part | None:
    """Return part `number` of a network if only it reads the output of the previous part; otherwise None."""
    part = plan[number] if number < len(plan) else None
    before = plan[number - 1].makes
    return part if part and part.reads == tuple(before) and set(before) <= set(part.frees) else None

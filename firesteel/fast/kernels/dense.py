"""Compiled forward and backward passes of successive dense layers; `core/layers/dense.py` has them in NumPy."""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np

from firesteel.core.layout import ones
from firesteel.core.seeds import rng_for
from firesteel.core.types import Array, Pull, Stream, Views
from firesteel.fast.kernels.functions import blas

__all__ = ["LOOPS", "PLAIN", "ROWS", "TURNED", "Wide"]

ROWS, PLAIN, TURNED = 101, 111, 112
"""BLAS's constants: row-major order, plain and transposed matrices."""
gemm: Any = None
gemv: Any = None
ger: Any = None
dot: Any = None
"""BLAS functions, bound by `compiling.Compiled`; NumPy uses other ones for a layer with one unit."""


def forward(x: Array, w: Array, one: Array, layers: Array, z: Array) -> None:
    """Forward pass: write the outputs of each layer, relu(x w + b) or x w + b, to z, one after another.

    Args:
        x: The inputs, (B, I).
        w: The first kernel, followed by the other parameters.
        one: Ones, (B,).
        layers: The layers, as in `Chain`.
        z: The outputs.
    """
    rows, at, size, into, p = len(x), 0, z.itemsize, x.ctypes.data, w.ctypes.data
    for inputs, units, biased, bent in layers:
        out = z.ctypes.data + at * size
        if units == 1:
            gemv(ROWS, PLAIN, rows, inputs, 1.0, into, inputs, p, 1, 0.0, out, 1)
        else:
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
    """Backward pass: write the gradients of all parameters to g, in the order of w, and that of x to d_x.

    At the end of d, which is laid out like z, is the derivative of the last outputs; the others are written before
    it.
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
        if units == 1:
            gemv(ROWS, TURNED, rows, inputs, 1.0, into, inputs, d_y, 1, 0.0, g_w, 1)
        else:
            gemm(ROWS, TURNED, PLAIN, inputs, units, rows, 1.0, into, inputs, d_y, units, 0.0, g_w, units)
        g_b = g_w + inputs * units * size
        if biased and units == 1:  # a 1 x 1 product stores the sum
            total, unit = dot(rows, one.ctypes.data, 1, d_y, 1), one.ctypes.data
            gemm(ROWS, PLAIN, PLAIN, 1, 1, 1, total, unit, 1, unit, 1, 0.0, g_b, 1)
        elif biased:
            gemv(ROWS, TURNED, rows, units, 1.0, d_y, units, one.ctypes.data, 1, 0.0, g_b, 1)
        out = d_x.ctypes.data if number == 0 else d.ctypes.data + before * size
        if number or wants_x:
            p = w.ctypes.data + after * size
            gemm(ROWS, PLAIN, TURNED, rows, inputs, units, 1.0, d_y, units, p, units, 0.0, out, inputs)
        end = at


# One layer, shared among threads

COLUMNS = 32
"""Each thread but the last gets a multiple of so many columns: most libraries then keep the bits of the whole."""


def behind(w: Array, one: Array, bent: bool, biased: bool, z: Array) -> None:
    """Add a layer's bias to its matrix product z, (B, O), and apply ReLU, in place.  w: (I, O), then the bias."""
    rows, units, out = len(z), z.shape[1], z.ctypes.data
    if biased:
        ger(ROWS, rows, units, 1.0, one.ctypes.data, 1, w.ctypes.data + w.size * z.itemsize, 1, out, units)
    for b in range(rows if bent else 0):
        for i in range(units):
            z[b, i] = z[b, i] if z[b, i] > 0 or z[b, i] != z[b, i] else 0


def behind_back(g: Array, one: Array, bent: bool, biased: bool, z: Array, d: Array) -> None:
    """Backward pass of `behind`: update d, (B, O), in place, and write the bias's gradient after g, (I, O)."""
    rows, units, g_b = len(z), z.shape[1], g.ctypes.data + g.size * g.itemsize
    for b in range(rows if bent else 0):
        for i in range(units):
            d[b, i] *= z[b, i] > 0
    if biased:
        gemv(ROWS, TURNED, rows, units, 1.0, d.ctypes.data, units, one.ctypes.data, 1, 0.0, g_b, 1)


LOOPS = (forward, backward, behind, behind_back)


class Wide:
    """A compiled dense layer whose matrix products are divided among threads, if a trial gives the same bits.

    Args:
        chain: The chain.
        multiply: Computes products, given as in the jobs of a team's mail.
        count: The number of threads.
    """

    random, joint = False, False
    tried: ClassVar[dict[Any, bool]] = {}

    def __init__(self, chain: Any, multiply: Callable[[Sequence[Sequence[int]]], None], count: int) -> None:
        self.chain, self.multiply, self.count, self.loops, self.span = chain, multiply, count, chain.loops, chain.span
        (self.inputs, self.units, self.biased, self.bent), *_ = chain.layers.tolist()

    def apply(self, p: Views, x: Array, rng: Stream | None = None) -> tuple[Array, Pull]:
        key = x.dtype.name, len(x), self.inputs, self.units, self.biased, self.count
        if key not in self.tried:
            self.tried[key] = self._keeps_bits(x)
        return self._shared(p, x, self.multiply) if self.tried[key] else self.chain.apply(p, x)

    def _shared(self, p: Views, x: Array, multiply: Callable[..., None]) -> tuple[Array, Pull]:
        x, w, how = np.ascontiguousarray(x), p["w"], (bool(self.bent), bool(self.biased))
        rows, inputs, units, size, one = len(x), self.inputs, self.units, x.itemsize, ones(len(x), x.dtype)
        z, columns = np.empty((rows, units), x.dtype), self._cuts(units)
        job, x_at, w_at, z_at = (ROWS, PLAIN, PLAIN, rows), x.ctypes.data, w.ctypes.data, z.ctypes.data
        multiply(
            [(*job, n, inputs, x_at, inputs, w_at + a * size, units, z_at + a * size, units) for a, n in columns]
        )
        self.loops.behind(w, one, *how, z)

        def pull(d_y: Array, g: Views, wants_x: bool) -> Array | None:
            d, d_x = np.ascontiguousarray(d_y), np.empty_like(x)
            self.loops.behind_back(g["w"], one, *how, z, d)
            job, d_at, g_at = (ROWS, TURNED, PLAIN, inputs), d.ctypes.data, g["w"].ctypes.data
            jobs = [(*job, n, rows, x_at, inputs, d_at + a * size, units, g_at + a * size, units) for a, n in columns]
            job, into, line = (ROWS, PLAIN, TURNED, rows), d_x.ctypes.data, units * size
            for a, n in self._cuts(inputs) if wants_x else []:
                jobs.append((*job, n, units, d_at, units, w_at + a * line, units, into + a * size, inputs))
            multiply(jobs)
            return d_x if wants_x else None

        return z, pull

    def _cuts(self, size: int) -> list[tuple[int, int]]:
        """Divide `size` columns among the threads; return the first column and the number of columns of each."""
        ends = [size * n // self.count // COLUMNS * COLUMNS for n in range(self.count)] + [size]
        return [(first, end - first) for first, end in zip(ends, ends[1:], strict=False) if first < end]

    def _keeps_bits(self, x: Array) -> bool:
        """Return whether divided and whole products of random numbers in these shapes have the same bits."""
        rng, product = rng_for(0, "trial"), blas(x.dtype.name)["gemm"]

        def multiply(jobs: list[tuple[int, ...]]) -> None:
            for job in jobs:
                product(*job[:6], 1.0, *job[6:10], 0.0, *job[10:])

        x, d = (rng.normal(size=(len(x), width)).astype(x.dtype) for width in (self.inputs, self.units))
        theta, found = rng.normal(size=(self.inputs + self.biased) * self.units).astype(x.dtype), []
        for way in (self.chain.apply, lambda p, x: self._shared(p, x, multiply)):
            g = np.empty_like(theta)
            p, into = ({"w": v[: self.inputs * self.units].reshape(self.inputs, -1)} for v in (theta, g))
            y, pull = way(p, x)
            found.append(y.tobytes() + pull(d.copy(), into, True).tobytes() + g.tobytes())
        return found[0] == found[1]

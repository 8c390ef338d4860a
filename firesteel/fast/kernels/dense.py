"""Dense layers and rectifiers in a row, forward and back: what `layers/dense.py` and `Relu` do in NumPy."""

from typing import Any, ClassVar

import numpy as np

from firesteel.core.layout import ones
from firesteel.core.seeds import rng_for
from firesteel.core.types import Array, Pull, Run, Stream, Views

__all__ = ["LOOPS", "PLAIN", "ROWS", "TURNED", "Wide"]

ROWS, PLAIN, TURNED = 101, 111, 112
"""What BLAS calls matrices that lie row by row, as they are and transposed."""
gemm: Any = None
gemv: Any = None
ger: Any = None
dot: Any = None
"""Products of a BLAS, that `compiling.Compiled` gives the loops: NumPy has others where a layer has one unit."""


def forward(x: Array, w: Array, one: Array, layers: Array, z: Array) -> None:
    """Write each layer's outputs, one after another, into z: relu(x w + b) or x w + b, as `Affine` and `Relu` do.

    x: (B, I)  w: the first kernel, behind which the other parameters lie  one: ones, (B,)  layers: those of a `Chain`
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
        if units == 1:
            gemv(ROWS, TURNED, rows, inputs, 1.0, into, inputs, d_y, 1, 0.0, g_w, 1)
        else:
            gemm(ROWS, TURNED, PLAIN, inputs, units, rows, 1.0, into, inputs, d_y, units, 0.0, g_w, units)
        g_b = g_w + inputs * units * size
        if biased and units == 1:  # the product is written by another, of 1 times 1
            total, unit = dot(rows, one.ctypes.data, 1, d_y, 1), one.ctypes.data
            gemm(ROWS, PLAIN, PLAIN, 1, 1, 1, total, unit, 1, unit, 1, 0.0, g_b, 1)
        elif biased:
            gemv(ROWS, TURNED, rows, units, 1.0, d_y, units, one.ctypes.data, 1, 0.0, g_b, 1)
        out = d_x.ctypes.data if number == 0 else d.ctypes.data + before * size
        if number or wants_x:
            p = w.ctypes.data + after * size
            gemm(ROWS, PLAIN, TURNED, rows, inputs, units, 1.0, d_y, units, p, units, 0.0, out, inputs)
        end = at


# One layer, shared by threads

COLUMNS = 32
"""Each thread but the last has a multiple of so many columns, for which products have the bits of the whole."""


def columns(x: Array, w: Array, one: Array, bent: bool, biased: bool, z: Array, first: int, end: int) -> None:
    """Do what `forward` does of one layer, for some columns of z, (B, O).  x: (B, I)"""
    rows, inputs, units, size = len(x), x.shape[1], z.shape[1], z.itemsize
    part, p, out = end - first, w.ctypes.data + first * size, z.ctypes.data + first * size
    gemm(ROWS, PLAIN, PLAIN, rows, part, inputs, 1.0, x.ctypes.data, inputs, p, units, 0.0, out, units)
    if biased:
        ger(ROWS, rows, part, 1.0, one.ctypes.data, 1, p + inputs * units * size, 1, out, units)
    for b in range(rows if bent else 0):
        for i in range(first, end):
            z[b, i] = z[b, i] if z[b, i] > 0 or z[b, i] != z[b, i] else 0


def columns_back(
    x: Array, one: Array, bent: bool, biased: bool, z: Array, d: Array, g: Array, first: int, end: int
) -> None:
    """Write the derivatives by some columns' parameters to g; d, (B, O), becomes the one before the rectifier."""
    rows, inputs, units, size = len(x), x.shape[1], z.shape[1], z.itemsize
    for b in range(rows if bent else 0):
        for i in range(first, end):
            d[b, i] *= z[b, i] > 0
    part, d_y, out = end - first, d.ctypes.data + first * size, g.ctypes.data + first * size
    gemm(ROWS, TURNED, PLAIN, inputs, part, rows, 1.0, x.ctypes.data, inputs, d_y, units, 0.0, out, units)
    if biased:
        out += inputs * units * size
        gemv(ROWS, TURNED, rows, part, 1.0, d_y, units, one.ctypes.data, 1, 0.0, out, 1)


def inputs_back(d: Array, w: Array, d_x: Array, first: int, end: int) -> None:
    """Write the derivative by some of the inputs to d_x, (B, I)."""
    rows, inputs, units, size = len(d), d_x.shape[1], d.shape[1], d.itemsize
    p, out = w.ctypes.data + first * units * size, d_x.ctypes.data + first * size
    gemm(ROWS, PLAIN, TURNED, rows, end - first, units, 1.0, d.ctypes.data, units, p, units, 0.0, out, inputs)


LOOPS = (forward, backward, columns, columns_back, inputs_back)


class Wide:
    """A chain of one layer whose columns are shared by threads, where that leaves the bits alone: a trial shows it.

    Args:
        chain: Does it alone.
        run: Maps over threads.
        count: How many there are.
    """

    random, joint, span = False, False, 1
    tried: ClassVar[dict[Any, bool]] = {}

    def __init__(self, chain: Any, run: Run, count: int) -> None:
        self.chain, self.run, self.count, self.loops, self.span = chain, run, count, chain.loops, chain.span
        (self.inputs, self.units, self.biased, self.bent), *_ = chain.layers.tolist()

    def apply(self, p: Views, x: Array, rng: Stream | None = None) -> tuple[Array, Pull]:
        key = x.dtype.name, len(x), self.inputs, self.units, self.biased, self.count
        if key not in self.tried:
            self.tried[key] = self._alike(x)
        return self._shared(p, x, self.run) if self.tried[key] else self.chain.apply(p, x)

    def _shared(self, p: Views, x: Array, run: Run) -> tuple[Array, Pull]:
        x, one, bent, biased = np.ascontiguousarray(x), ones(len(x), x.dtype), bool(self.bent), bool(self.biased)
        z = np.empty((len(x), self.units), x.dtype)
        list(run(lambda cut: self.loops.columns(x, p["w"], one, bent, biased, z, *cut), self._cuts(self.units)))

        def pull(d_y: Array, g: Views, wants_x: bool) -> Array | None:
            d = np.ascontiguousarray(d_y)
            back = self.loops.columns_back
            list(run(lambda cut: back(x, one, bent, biased, z, d, g["w"], *cut), self._cuts(self.units)))
            if not wants_x:
                return None
            d_x = np.empty_like(x)
            list(run(lambda cut: self.loops.inputs_back(d, p["w"], d_x, *cut), self._cuts(self.inputs)))
            return d_x

        return z, pull

    def _cuts(self, size: int) -> list[tuple[int, int]]:
        """Return which of so many columns each thread has."""
        ends = [size * n // self.count // COLUMNS * COLUMNS for n in range(self.count)] + [size]
        return [(first, end) for first, end in zip(ends, ends[1:], strict=False) if first < end]

    def _alike(self, x: Array) -> bool:
        """Return whether both ways have the same bits, tried with other numbers of the same shape."""
        rng, found = rng_for(0, "trial"), []
        size = self.inputs * self.units + self.biased * self.units
        x, d = (rng.normal(size=(len(x), width)).astype(x.dtype) for width in (self.inputs, self.units))
        theta = rng.normal(size=size).astype(x.dtype)
        for way in (self.chain.apply, lambda p, x: self._shared(p, x, map)):
            g = np.empty_like(theta)
            p, into = ({"w": v[: self.inputs * self.units].reshape(self.inputs, -1)} for v in (theta, g))
            y, pull = way(p, x)
            found.append(y.tobytes() + pull(d.copy(), into, True).tobytes() + g.tobytes())
        return found[0] == found[1]

"""Dense layers and rectifiers in a row, forward and back: what `layers/dense.py` and `Relu` do in NumPy."""

from typing import Any

from firesteel.core.types import Array

__all__ = ["PLAIN", "ROWS", "TURNED", "backward", "forward"]

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

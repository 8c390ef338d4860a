"""Compiled bias, ReLU and max pooling behind a convolution or a normalization, forward and backward.

Loops run over a line of windows with all their channels, because loops over a few channels are not vectorized.
`convolution.py` describes `at`; images are flat.
"""

import numpy as np

from firesteel.core.types import Array

__all__ = ["LOOPS"]


def tiled(v: Array, count: int, line: Array) -> None:
    """Write `count` copies of v to line, one after another."""
    u = np.uint64
    for j in range(u(count)):
        for o in range(u(len(v))):
            line[j * u(len(v)) + o] = v[o]


def picked(x: Array, first: int, apart: int, count: int, channels: int, line: Array) -> None:
    """Copy `count` pixels, `apart` numbers apart, with all channels to line; the first is at index `first`.

    Eight channels in one assignment are one load and one store, four times as fast as a loop over a few channels.
    """
    u = np.uint64
    eights = u(channels - channels % 8)
    for j in range(u(count)):
        start, to = u(first) + j * u(apart), j * u(channels)
        for o in range(u(0), eights, u(8)):
            s, t = start + o, to + o
            v = x[s], x[s + u(1)], x[s + u(2)], x[s + u(3)]
            more = x[s + u(4)], x[s + u(5)], x[s + u(6)], x[s + u(7)]
            line[t], line[t + u(1)], line[t + u(2)], line[t + u(3)] = v
            line[t + u(4)], line[t + u(5)], line[t + u(6)], line[t + u(7)] = more
        for o in range(eights, u(channels)):
            line[to + o] = x[start + o]


def taken(line: Array, size: int, number: int, best: Array) -> None:
    """Update each window's maximum and its position with the pixel at position `number` of the window.

    best: scratch (2, 2, size) of the dtype of line: maxima and positions so far, and those with these pixels.  A loop
    over numbers of two sizes takes four times as long, and so does one that overwrites only some of the numbers.
    """
    u = np.uint64
    old, new, here = best[number % 2], best[1 - number % 2], line.dtype.type(number)
    if number == 0:
        for q in range(u(size)):
            new[0, q], new[1, q] = line[q], here
        return
    for q in range(u(size)):
        v, most, place = line[q], old[0, q], old[1, q]
        larger = v > most or v != v
        new[0, q], new[1, q] = v if larger else most, here if larger else place


def settled(best: Array, size: int, count: int, to: int, y: Array, won: Array) -> None:
    """Write the maxima of windows of `count` pixels to y, from index `to` on, and their positions to won."""
    u = np.uint64
    start, found = u(to), best[count % 2]
    for q in range(u(size)):
        y[start + q] = found[0, q]
    for q in range(u(size)):
        won[start + q] = np.uint8(np.int32(found[1, q]))


def bend(z: Array, n: int, b: Array, at: Array, y: Array, won: Array) -> None:
    """Add a bias to n images z, apply ReLU, and write each pool's maximum to y and its position to won.

    Without pooling the result replaces z.
    """
    u = np.uint64
    h, w, filters, biased, bent = at[9], at[10], at[11], len(b) > 0, at[13] > 0
    tall, wide, down, right, below, across = at[14], at[15], at[16], at[17], at[18], at[19]
    lines, line = np.empty(w * filters, z.dtype), np.empty(w * filters, z.dtype)
    best = np.empty((2, 2, across * filters), z.dtype)
    tiled(b, w, lines)
    if below == 0:
        for row in range(n * h):
            start = u(row * w * filters)
            for q in range(u(w * filters)):
                v = z[start + q]
                v = v + lines[q] if biased else v
                z[start + q] = v if not bent or v > 0 or v != v else 0
        return
    size = across * filters
    for pool in range(n * below):
        top = pool // below * h + pool % below * down
        for number in range(tall * wide):
            first = ((top + number // wide) * w + number % wide) * filters
            picked(z, first, right * filters, across, filters, line)
            for q in range(u(size)):
                v = line[q] + lines[q] if biased else line[q]
                line[q] = v if not bent or v > 0 or v != v else 0
            taken(line, size, number, best)
        settled(best, size, tall * wide, pool * size, y, won)


def unbend(d_y: Array, n: int, y: Array, won: Array, at: Array, d: Array) -> None:
    """Backward pass of `bend`: given the gradient d_y of n images y, write that of the convolution's outputs to d."""
    u = np.uint64
    h, w, filters, bent = u(at[9]), u(at[10]), u(at[11]), at[13] > 0
    down, right, below, across = u(at[16]), u(at[17]), u(at[18]), u(at[19])
    size, other, source = h * w * filters, at[13] == 2, u(0)
    if below == source:
        for q in range(u(n) * size):
            d[q] = d_y[q] * (y[q] > 0 or (other and y[q] != y[q])) if bent else d_y[q]
        return
    places, zero = np.empty(256, np.uint64), np.zeros(1, d.dtype)[0]
    for number in range(at[14] * at[15]):
        places[number] = (number // at[15] * at[10] + number % at[15]) * at[11]
    for picture in range(u(n)):
        for q in range(size):
            d[picture * size + q] = 0
        for i in range(below):
            for j in range(across):
                corner = picture * size + (i * down * w + j * right) * filters
                for o in range(filters):
                    v, best = d_y[source + o] + zero, y[source + o]  # -0.0 becomes 0.0, as in a sum with 0
                    passes = not bent or best > 0 or (other and best != best)
                    d[corner + places[won[source + o]] + o] = v if passes else v * zero
                source += filters


LOOPS = (tiled, picked, taken, settled, bend, unbend)

"""Interpolation of images at positions between pixels, and its gradient."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from firesteel.core.types import Array

__all__ = ["Sampling"]

PIXELS = 1 << 14
"""Number of pixels processed at a time, chosen for a core's cache; it does not affect any bit."""


class Sampling(NamedTuple):
    """Rules for reading an image at any position (i, j), in pixels: interpolation and values beyond the edges.

    Args:
        fill_mode: Values beyond the edges.  "reflect": d c b a | a b c d | d c b a.  "wrap": a b c d | a b c d |
            a b c d.  "nearest": a a a a | a b c d | d d d d.  "constant": fill_value everywhere.
        interpolation: Values between pixels.  "bilinear": linear interpolation.  "nearest": the nearest pixel's
            value.
        fill_value: Value beyond the edges for "constant".
    """

    fill_mode: str = "nearest"
    interpolation: str = "bilinear"
    fill_value: float = 0.0

    @property
    def around(self) -> tuple[int, int]:
        """Numbers of pixel lines that `padded` adds before and after an image, along each axis."""
        return {"constant": (1, 1), "wrap": (0, 1)}.get(self.fill_mode, (0, 0))

    def padded(self, x: Array) -> Array:
        """Return images (B, H, W, C) padded as the fill mode requires, by `around` lines along each axis."""
        before, behind = self.around
        if not behind:
            return x
        n, height, width, channels = x.shape
        y = np.full((n, before + height + behind, before + width + behind, channels), self.fill_value, x.dtype)
        y[:, before : before + height, before : before + width] = x
        if self.fill_mode == "wrap":
            y[:, height, :width], y[:, :, width] = x[:, 0], y[:, :, 0]
        return y

    def cropped(self, d: Array) -> Array:
        """Return the derivative with respect to images, given the derivative d with respect to padded images."""
        before, behind = self.around
        if self.fill_mode == "wrap":
            d[:, :, 0] += d[:, :, -1]
            d[:, 0] += d[:, -1]
        return np.ascontiguousarray(d[:, before : d.shape[1] - behind, before : d.shape[2] - behind])

    def inside(self, c: Array, side: int) -> tuple[Array, Array]:
        """Split coordinates into the index of the preceding pixel and the distance from it, from 0 to 1.

        Coordinates beyond the edges are first mapped into the image; indices are those of the padded image.

        Args:
            c: Coordinates in pixels of the image; they are overwritten.
            side: Length of the image along this axis.
        """
        number = c.dtype.type
        if self.interpolation == "nearest":
            c += number(0.5)
            np.floor(c, out=c)
        if self.fill_mode == "reflect":  # periodic with 2 side, mirrored at -1/2 and side - 1/2
            c += number(0.5)
            np.absolute(c, out=c)
            np.fmod(c, number(2 * side), out=c)
            np.subtract(number(side), c, out=c)
            np.absolute(c, out=c)
            np.subtract(number(side - 0.5), c, out=c)
        elif self.fill_mode == "wrap":
            turns = c / number(side)
            np.floor(turns, out=turns)
            turns *= number(side)
            c -= turns
        before, behind = self.around
        c += number(before)
        last = side + before + behind - 1
        np.clip(c, number(0), number(last), out=c)
        first = np.floor(c)
        if self.interpolation == "bilinear":
            np.minimum(first, number(max(last - 1, 0)), out=first)
        c -= first
        return first, c

    def read(self, x: Array, i: Array, j: Array) -> Array:
        """Return images (n, H, W, C) interpolated at rows i and columns j, both (n, h, w), which are overwritten."""
        (_, height, width, channels), padded = x.shape, self.padded(x)
        at, down, right = self._taps(padded.shape, i, j, (height, width))
        flat = padded.reshape(-1, channels) if channels > 1 else padded.reshape(-1)
        if self.interpolation == "nearest":
            return flat.take(at, 0, mode="clip").reshape(*i.shape, channels)
        step, line = int(padded.shape[2] > 1), padded.shape[2] * (padded.shape[1] > 1)
        y, below = (flat[first:].take(at, 0, mode="clip") for first in (0, line))
        for value, first in ((y, step), (below, line + step)):
            end = flat[first:].take(at, 0, mode="clip")
            end -= value
            end *= right
            value += end
        below -= y
        below *= down
        y += below
        return y.reshape(*i.shape, channels)

    def pull(self, d: Array, shape: tuple[int, ...], i: Array, j: Array) -> Array:
        """Return the derivative with respect to images of this shape, given the derivative d of `read`'s result."""
        (n, height, width, channels), (before, behind) = shape, self.around
        large = n, height + before + behind, width + before + behind, channels
        at, down, right = self._taps(large, i, j, (height, width))
        if channels > 1:
            at = (at[..., None] * channels + np.arange(channels)).reshape(-1)
        size, d = n * large[1] * large[2] * channels, d.reshape(-1)
        total: Array = np.bincount(at, d, size) if self.interpolation == "nearest" else np.zeros(size)
        if self.interpolation == "bilinear":
            step, line = channels * (large[2] > 1), channels * large[2] * (large[1] > 1)
            down, right = down.reshape(-1), right.reshape(-1)
            below = d * down
            for part, first in ((d - below, 0), (below, line)):
                end = part * right
                part -= end
                total += np.bincount(at + first, part, size)
                total += np.bincount(at + (first + step), end, size)
        return self.cropped(total.astype(d.dtype).reshape(large))

    def _taps(self, shape: tuple[int, ...], i: Array, j: Array, sides: tuple[int, int]) -> tuple[Array, Array, Array]:
        """Return the flat index of the pixel above and left of each position, and the distances from it.

        Indices are those of the padded images, whose shape is `shape`; `sides` is the size without padding.
        """
        (n, height, width, channels), (rows, columns) = shape, sides
        (first, down), (start, right) = self.inside(i, rows), self.inside(j, columns)
        at = first.astype(np.intp)
        at *= width
        at += start.astype(np.intp)
        at += (np.arange(n) * (height * width))[:, None, None]
        if channels > 1:
            down, right = (np.repeat(one.reshape(-1), channels).reshape(-1, channels) for one in (down, right))
            return at.reshape(-1), down, right
        return at.reshape(-1), down.reshape(-1), right.reshape(-1)


def pieces(pictures: int, pixels: int) -> Iterator[slice]:
    """Yield slices that divide a batch of images into groups small enough for the processor's cache.

    Args:
        pictures: Number of images.
        pixels: Number of pixels per image.
    """
    most = max(1, PIXELS // pixels)
    for first in range(0, pictures, most):
        yield slice(first, min(first + most, pictures))

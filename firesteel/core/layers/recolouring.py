"""Contrast and brightness of pictures, which vary in training, from counted random streams."""

import math
from dataclasses import MISSING, field
from typing import Any

import numpy as np

from firesteel.core.layers.regularization import _Drawn
from firesteel.core.layers.windows import channels_last, check_axes
from firesteel.core.spec import finite
from firesteel.core.types import Array, Pull, Shape, Stream, Views
from firesteel.errors import ConfigError

__all__ = ["RandomBrightness", "RandomContrast", "two_numbers", "uniform", "value_range", "within"]


def uniform(rng: Stream, rows: int, *ranges: tuple[float, float]) -> Array:
    """Return numbers from U(low, high) for each row, one of each range, (ranges, rows), float64.

    They are low + (high - low) (bits + 1/2) / 2^32, of 32 bits for each row and range, in this order.
    """
    low, high = np.array(ranges, np.float64).T
    found = rng.halves(rows * len(ranges)).reshape(rows, -1) + 0.5
    found *= (high - low) * 2.0**-32
    found += low
    return found.T


def two_numbers(
    default: Any = MISSING, *, low: float, high: float, more: bool = False, signs: Any = (), why: str
) -> Any:
    """Declare a field of two numbers from low to high; None is taken where it is the default.

    more: whether they are more than low.
    signs: what one number that is given is multiplied by to be both; where there are none, two are needed, of which
    the first is the smaller one.
    """

    def check(owner: str, name: str, got: Any) -> tuple[float, ...] | None:
        if got is None and default is None:
            return None
        several = isinstance(got, tuple | list | np.ndarray) and np.ndim(got) == 1
        found = tuple(map(finite, got)) if several else tuple([sign * abs(finite(got)) for sign in signs])
        fits = len(found) == 2 and all(math.isfinite(one) and low <= one <= high for one in found)
        fits = fits and not (more and low in found)
        if not fits or not (signs or found[0] < found[1]):
            bounds = "" if math.isinf(low) else f" {'above' if more else 'from'} {low:g} to {high:g}"
            need = f"a number{bounds}, or two" if signs else "two numbers, the smaller one first"
            raise ConfigError(f"{owner}({name}={got!r}): {name} must be {need}: {why}", code="config-value")
        return found

    return field(default=default, metadata={"check": check})


def value_range() -> Any:
    """Declare the field `value_range`, which pixels are in and stay in."""
    default = (0.0, 255.0)
    return two_numbers(default, low=-math.inf, high=math.inf, why="pixels lie between them")


class _Recoloured(_Drawn):
    """Base of layers that change the values of pixels."""

    def output_shape(self, *inputs: Shape) -> Shape:
        check_axes(type(self).__name__, inputs[0])
        return inputs[0]


def within(z: Array, bounds: tuple[float, float]) -> Array:
    """Clip z where it lies, and return which of its numbers were in the range: 1, or 0."""
    low, high = (z.dtype.type(bound) for bound in bounds)
    inside = ((z >= low) & (z <= high)).astype(z.dtype)
    np.clip(z, low, high, out=z)
    return inside


class RandomContrast(_Recoloured):
    """Stretches the values of each picture around their mean by a random factor while training; in use y = x.

    In training y = (x - m) f + m, clipped, with m the mean of the picture's channel and f from
    U(1 - lower, 1 + upper), one for each picture.    x, y: (B, H, W, C)

    Args:
        factor: (lower, upper), each from 0 to 1; one number is both.  (Of one number Keras 3.15 draws from
            U(1, 1 + factor), against its documentation.)
        value_range: The smallest and the largest value of a pixel, to which y is clipped.
        data_format: None or "channels_last"; there is no other.

    Raises:
        ConfigError: For other factors, a range that is none, and for `seed`: draws follow from `fit(seed=...)`.

    >>> RandomContrast(0.2).apply({}, np.ones((1, 1, 2, 1)))[0].ravel()
    array([1., 1.])
    """

    factor: Any = two_numbers(low=0.0, high=1.0, signs=(1, 1), why="contrast becomes less and more by these shares")
    value_range: Any = value_range()
    data_format: str | None = channels_last()

    def apply(self, p: Views, x: Array, rng: Stream | None = None) -> tuple[Array, Pull]:
        if rng is None:
            return x, lambda d_y, g, wants_x: d_y
        (lower, upper), pixels = self.factor, x.dtype.type(x.shape[1] * x.shape[2])
        f = uniform(rng, len(x), (1 - lower, 1 + upper))[0, :, None, None, None].astype(x.dtype)
        mean = summed(x) / pixels
        z = x - mean
        z *= f
        z += mean
        inside = within(z, self.value_range)

        def pull(d_y: Array, g: Views, wants_x: bool) -> Array | None:
            d = d_y * inside
            rest = summed(d) * ((1 - f) / pixels)
            d *= f
            d += rest
            return d

        return z, pull


def summed(x: Array) -> Array:
    """Return the sums over height and then width of pictures, (B, 1, 1, C)."""
    lines: Array = np.add.reduce(x, axis=1, keepdims=True)
    found: Array = np.add.reduce(lines, axis=2, keepdims=True)
    return found


class RandomBrightness(_Recoloured):
    """Makes each picture brighter or darker by a random amount while training; in use y = x.

    In training y = x + f (high - low), clipped, with f from U(lower, upper), one for each picture.
    x, y: (B, H, W, C)

    Args:
        factor: (lower, upper), each from -1 to 1, where -1 is black and 1 is white; one number f is (-f, f).
        value_range: (low, high), the smallest and the largest value of a pixel, to which y is clipped.
        data_format: None or "channels_last"; there is no other.

    Raises:
        ConfigError: For other factors, a range that is none, and for `seed`: draws follow from `fit(seed=...)`.

    >>> RandomBrightness(0.2).factor
    (-0.2, 0.2)
    """

    factor: Any = two_numbers(low=-1.0, high=1.0, signs=(-1, 1), why="it is the share of the range that is added")
    value_range: Any = value_range()
    data_format: str | None = channels_last()

    def apply(self, p: Views, x: Array, rng: Stream | None = None) -> tuple[Array, Pull]:
        if rng is None:
            return x, lambda d_y, g, wants_x: d_y
        spread = self.value_range[1] - self.value_range[0]
        lower, upper = sorted(self.factor)
        z = x + uniform(rng, len(x), (lower * spread, upper * spread))[0, :, None, None, None].astype(x.dtype)
        inside = within(z, self.value_range)
        return z, lambda d_y, g, wants_x: d_y * inside

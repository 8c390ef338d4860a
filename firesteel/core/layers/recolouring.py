"""Random contrast and brightness of images in training."""

import math
from dataclasses import MISSING, field
from typing import Any

import numpy as np

from firesteel.core.layers.regularization import _RandomLayer
from firesteel.core.layers.windows import channels_last, check_axes
from firesteel.core.spec import finite
from firesteel.core.types import Array, Pull, Shape, Stream, Views
from firesteel.errors import ConfigError

__all__ = ["RandomBrightness", "RandomContrast", "two_numbers", "uniform", "value_range", "clip_in_place"]


def uniform(rng: Stream, rows: int, *ranges: tuple[float, float]) -> Array:
    """Draw uniform random numbers, one for each range (low, high) and row: (ranges, rows), in float64.

    Each is `low + (high - low) (bits + 1/2) / 2^32`, with 32 bits per row and range, in this order.
    """
    low, high = np.array(ranges, np.float64).T
    found = rng.halves(rows * len(ranges)).reshape(rows, -1) + 0.5
    found *= (high - low) * 2.0**-32
    found += low
    return found.T


def two_numbers(
    default: Any = MISSING, *, low: float, high: float, exclusive: bool = False, signs: Any = (), why: str
) -> Any:
    """Declare a dataclass field of two numbers, each from low to high; None is allowed if the default is None.

    Args:
        default: Default of the field.
        low: Smallest number.
        high: Largest number.
        exclusive: Whether numbers must exceed low.
        signs: Factors that turn a single number into both.  Without them, two ascending numbers are required.
        why: What the numbers are, for the message.
    """

    def check(owner: str, name: str, got: Any) -> tuple[float, ...] | None:
        if got is None and default is None:
            return None
        several = isinstance(got, tuple | list | np.ndarray) and np.ndim(got) == 1
        found = tuple(map(finite, got)) if several else tuple([sign * abs(finite(got)) for sign in signs])
        fits = len(found) == 2 and all(math.isfinite(one) and low <= one <= high for one in found)
        fits = fits and not (exclusive and low in found)
        if not fits or not (signs or found[0] < found[1]):
            bounds = f" above {low:g} and up to {high:g}" if exclusive else f" from {low:g} to {high:g}"
            need = f"a number{bounds}, or two such numbers" if signs else "two numbers, the smaller one first"
            raise ConfigError(f"{owner}({name}={got!r}): {name} must be {need}: {why}", code="config-value")
        return found

    return field(default=default, metadata={"check": check})


def value_range() -> Any:
    """Declare the dataclass field `value_range`: the smallest and largest pixel value."""
    default = (0.0, 255.0)
    return two_numbers(default, low=-math.inf, high=math.inf, why="all pixel values are inside value_range")


class _ColorLayer(_RandomLayer):
    """Base class of layers that change the values of pixels, such as contrast and brightness."""

    def output_shape(self, *inputs: Shape) -> Shape:
        check_axes(type(self).__name__, inputs[0])
        return inputs[0]


def clip_in_place(z: Array, bounds: tuple[float, float]) -> Array:
    """Clip z to bounds in place; return an array with 1 where z was inside the bounds, and 0 elsewhere."""
    low, high = (z.dtype.type(bound) for bound in bounds)
    inside = ((z >= low) & (z <= high)).astype(z.dtype)
    np.clip(z, low, high, out=z)
    return inside


class RandomContrast(_ColorLayer):
    """Random contrast: scale each image's distance from its mean by a random factor, in training.

    Training: `y = (x - m) f + m`, clipped to `value_range`, with m the mean of each channel of the image and f drawn
    from U(1 - lower, 1 + upper) for each image.  Inference: `y = x`.  Input and output shape (B, H, W, C).

    Args:
        factor: (lower, upper), each from 0 to 1, or one number for both.  (For one number Keras 3.15 draws from
            U(1, 1 + factor), contrary to its documentation.)
        value_range: Smallest and largest pixel value, to which y is clipped.
        data_format: None or `"channels_last"`, the only supported layout.
        name: Name of the layer in a model; None lets the model choose one.
        trainable: Without effect: the layer has no weights.

    Raises:
        ConfigError: `factor` or `value_range` has a wrong value (`config-value`), the inputs are not images
            (`config-shape`), or `seed` was passed (`config-argument`): random numbers follow from `fit(seed=...)`.

    Example:
        >>> import numpy as np
        >>> from firesteel.layers import RandomContrast
        >>> RandomContrast(0.2)(np.ones((1, 1, 2, 1))).ravel()  # unchanged at inference
        array([1., 1.])
    """

    factor: Any = two_numbers(
        low=0.0, high=1.0, signs=(1, 1), why="factor is the largest relative decrease and increase of contrast"
    )
    value_range: Any = value_range()
    data_format: str | None = channels_last()

    def apply(self, p: Views, x: Array, rng: Stream | None = None) -> tuple[Array, Pull]:
        if rng is None:
            return x, lambda d_y, g, wants_x: d_y
        (lower, upper), pixels = self.factor, x.dtype.type(x.shape[1] * x.shape[2])
        f = uniform(rng, len(x), (1 - lower, 1 + upper))[0, :, None, None, None].astype(x.dtype)
        mean = channel_sums(x) / pixels
        z = x - mean
        z *= f
        z += mean
        inside = clip_in_place(z, self.value_range)

        def pull(d_y: Array, g: Views, wants_x: bool) -> Array | None:
            d = d_y * inside
            rest = channel_sums(d) * ((1 - f) / pixels)
            d *= f
            d += rest
            return d

        return z, pull


def channel_sums(x: Array) -> Array:
    """Return the sum of each channel of each image, (B, 1, 1, C): first over height, then over width."""
    lines: Array = np.add.reduce(x, axis=1, keepdims=True)
    found: Array = np.add.reduce(lines, axis=2, keepdims=True)
    return found


class RandomBrightness(_ColorLayer):
    """Random brightness: add a random number to each image, in training.

    Training: `y = x + f (high - low)`, clipped to `value_range`, with f drawn from U(lower, upper) for each image.
    Inference: `y = x`.  Input and output shape (B, H, W, C).

    Args:
        factor: (lower, upper), each from -1 (black) to 1 (white); one number f means (-f, f).
        value_range: (low, high), the smallest and largest pixel value, to which y is clipped.
        data_format: None or `"channels_last"`, the only supported layout.
        name: Name of the layer in a model; None lets the model choose one.
        trainable: Without effect: the layer has no weights.

    Raises:
        ConfigError: `factor` or `value_range` has a wrong value (`config-value`), the inputs are not images
            (`config-shape`), or `seed` was passed (`config-argument`): random numbers follow from `fit(seed=...)`.

    Example:
        >>> from firesteel.layers import RandomBrightness
        >>> RandomBrightness(0.2).factor
        (-0.2, 0.2)
    """

    factor: Any = two_numbers(
        low=-1.0, high=1.0, signs=(-1, 1), why="factor is the change of brightness as a fraction of value_range"
    )
    value_range: Any = value_range()
    data_format: str | None = channels_last()

    def apply(self, p: Views, x: Array, rng: Stream | None = None) -> tuple[Array, Pull]:
        if rng is None:
            return x, lambda d_y, g, wants_x: d_y
        spread = self.value_range[1] - self.value_range[0]
        lower, upper = sorted(self.factor)
        z = x + uniform(rng, len(x), (lower * spread, upper * spread))[0, :, None, None, None].astype(x.dtype)
        inside = clip_in_place(z, self.value_range)
        return z, lambda d_y, g, wants_x: d_y * inside

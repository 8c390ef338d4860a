"""Pooling: the largest value or the mean of each window, or of a whole picture, channel by channel."""

import math
from typing import Any

import numpy as np

from firesteel.core.layers.reshaping import row_shape
from firesteel.core.layers.windows import Sliding, Windows, as_pictures, channels_last, sides
from firesteel.core.spec import choice, flag, word
from firesteel.core.types import Array, Pull, Shape, Stream, Views

__all__ = [
    "AveragePooling1D",
    "AveragePooling2D",
    "GlobalAveragePooling1D",
    "GlobalAveragePooling2D",
    "GlobalMaxPooling1D",
    "GlobalMaxPooling2D",
    "MaxPooling1D",
    "MaxPooling2D",
]


class _Pool(Sliding):
    """What poolings of windows have in common."""

    def place(self, shape: Shape) -> Windows:
        size, strides = self.pool_size, self.strides
        return self.windows(shape, size, size if strides is None else strides, self.padding)

    def output_shape(self, *inputs: Shape) -> Shape:
        return self.shaped(self.place(inputs[0]), inputs[0][-1])


class _Max(_Pool):
    def apply(self, p: Views, x: Array, rng: Stream | None = None) -> tuple[Array, Pull]:
        at, shape = self.place(x.shape[1:]), x.shape
        x = at.padded(as_pictures(x), -np.inf)
        pixels = at.pixels(x)
        y = next(pixels).copy()
        won = np.zeros(y.shape, np.uint8 if math.prod(at.kernel) <= 256 else np.uint32)
        for number, pixel in enumerate(pixels, 1):
            larger = (pixel > y) | (pixel != pixel)
            np.copyto(y, pixel, where=larger)
            np.copyto(won, number, where=larger, casting="unsafe")

        def pull(d_y: Array, g: Views, wants_x: bool) -> Array | None:
            if not wants_x:
                return None
            d, d_x = d_y.reshape(y.shape), np.zeros_like(x)
            for number, pixel in enumerate(at.pixels(d_x)):
                np.add(pixel, d, out=pixel, where=won == number)
            return at.cropped(d_x).reshape(shape)

        return y.reshape(len(x), *self.shaped(at, shape[-1])), pull


class _Average(_Pool):
    def apply(self, p: Views, x: Array, rng: Stream | None = None) -> tuple[Array, Pull]:
        at, shape = self.place(x.shape[1:]), x.shape
        x = at.padded(as_pictures(x))
        share = _shares(at, x)
        y = np.zeros((len(x), *at.places, shape[-1]), x.dtype)
        for pixel in at.pixels(x):
            y += pixel
        y *= share

        def pull(d_y: Array, g: Views, wants_x: bool) -> Array | None:
            if not wants_x:
                return None
            d, d_x = d_y.reshape(y.shape) * share, np.zeros_like(x)
            for pixel in at.pixels(d_x):
                pixel += d
            return at.cropped(d_x).reshape(shape)

        return y.reshape(len(x), *self.shaped(at, shape[-1])), pull


def _shares(at: Windows, x: Array) -> Any:
    """Return what the sum over each window is multiplied by: 1 / its pixels that are not around the picture."""
    if not at.is_padded:
        return x.dtype.type(1.0 / math.prod(at.kernel))
    inside = at.padded(np.ones((1, *at.shape[:2], 1)))
    counts = np.add.reduce(list(at.pixels(inside)), axis=0)
    return (1.0 / counts).astype(x.dtype)


class MaxPooling2D(_Max):
    """The largest value of each window of a picture, channel by channel: y_ijc = max over k, l of x_(i+k)(j+l)c.

    Of equal values the first one, row by row, gets the derivative; a window with NaN is NaN.
    x: (B, H, W, C)    y: (B, h, w, C)

    Args:
        pool_size: Height and width of a window; one number for both.
        strides: How far apart windows are; None for the size of a window.
        padding: "valid": windows lie inside the picture.  "same": the last ones may reach beyond it.
        data_format: None or "channels_last"; there is no other.
        input_shape: (H, W, C) where this is the first layer.

    >>> MaxPooling2D().apply({}, np.array([[1.0, 2.0], [4.0, 3.0]]).reshape(1, 2, 2, 1))[0].ravel()
    array([4.])

    Source: Yamaguchi et al. 1990; Riesenhuber and Poggio 1999.
    """

    pool_size: Any = sides(2, "it is the height and width of a window", default=2)
    strides: Any = sides(2, "it is the step from window to window", default=None)
    padding: str = word("valid", "same")
    data_format: str | None = channels_last()
    input_shape: Shape | None = choice(None, row_shape)


class MaxPooling1D(_Max):
    """The largest value of each window of a sequence, feature by feature.    x: (B, T, C)    y: (B, t, C)

    Args:
        pool_size: How many steps a window has.
        strides: How far apart windows are; None for the size of a window.
        padding: "valid" or "same".
        data_format: None or "channels_last"; there is no other.
        input_shape: (T, C) where this is the first layer.

    >>> MaxPooling1D().apply({}, np.array([[[1.0], [2.0], [4.0], [3.0]]]))[0].ravel()
    array([2., 4.])
    """

    axes = 1
    pool_size: Any = sides(1, "it is the length of a window", default=2)
    strides: Any = sides(1, "it is the step from window to window", default=None)
    padding: str = word("valid", "same")
    data_format: str | None = channels_last()
    input_shape: Shape | None = choice(None, row_shape)


class AveragePooling2D(_Average):
    """The mean of each window of a picture, channel by channel: y_ijc = sum over k, l of x_(i+k)(j+l)c / (k l).

    With padding "same" only pixels of the picture count.    x: (B, H, W, C)    y: (B, h, w, C)

    Args:
        pool_size, strides, padding, data_format, input_shape: As in `MaxPooling2D`.

    >>> AveragePooling2D().apply({}, np.array([[1.0, 2.0], [4.0, 3.0]]).reshape(1, 2, 2, 1))[0].ravel()
    array([2.5])

    Source: LeCun et al. 1989.
    """

    pool_size: Any = sides(2, "it is the height and width of a window", default=2)
    strides: Any = sides(2, "it is the step from window to window", default=None)
    padding: str = word("valid", "same")
    data_format: str | None = channels_last()
    input_shape: Shape | None = choice(None, row_shape)


class AveragePooling1D(_Average):
    """The mean of each window of a sequence, feature by feature.    x: (B, T, C)    y: (B, t, C)

    Args:
        pool_size, strides, padding, data_format, input_shape: As in `MaxPooling1D`.

    >>> AveragePooling1D().apply({}, np.array([[[1.0], [2.0], [4.0], [3.0]]]))[0].ravel()
    array([1.5, 3.5])
    """

    axes = 1
    pool_size: Any = sides(1, "it is the length of a window", default=2)
    strides: Any = sides(1, "it is the step from window to window", default=None)
    padding: str = word("valid", "same")
    data_format: str | None = channels_last()
    input_shape: Shape | None = choice(None, row_shape)


class _Global(Sliding):
    """What poolings of whole pictures have in common."""

    def place(self, shape: Shape) -> Windows:
        return self.windows(shape, shape[: self.axes], (1,) * self.axes)

    def output_shape(self, *inputs: Shape) -> Shape:
        at = self.place(inputs[0])
        keeps = self.keepdims
        return self.shaped(at, inputs[0][-1]) if keeps else inputs[0][-1:]

    def result(self, y: Array, shape: Shape) -> Array:
        """Return what was made of each picture, (B, C), in the shape that is asked for."""
        return y.reshape(len(y), *self.output_shape(shape[1:]))


class _GlobalAverage(_Global):
    def apply(self, p: Views, x: Array, rng: Stream | None = None) -> tuple[Array, Pull]:
        shape, channels = x.shape, x.shape[-1]
        share = x.dtype.type(channels / max(1, math.prod(shape[1:])))
        y = np.add.reduce(x.reshape(len(x), -1, channels), axis=1) * share

        def pull(d_y: Array, g: Views, wants_x: bool) -> Array | None:
            d = d_y.reshape(len(x), *(1,) * self.axes, channels) * share
            return np.broadcast_to(d, shape).copy() if wants_x else None

        return self.result(y, shape), pull


class _GlobalMax(_Global):
    def apply(self, p: Views, x: Array, rng: Stream | None = None) -> tuple[Array, Pull]:
        shape, channels = x.shape, x.shape[-1]
        flat = x.reshape(len(x), -1, channels)
        won = flat.argmax(axis=1)[:, None]

        def pull(d_y: Array, g: Views, wants_x: bool) -> Array | None:
            d_x = np.zeros_like(flat)
            np.put_along_axis(d_x, won, d_y.reshape(len(x), 1, channels), axis=1)
            return d_x.reshape(shape) if wants_x else None

        return self.result(np.take_along_axis(flat, won, axis=1)[:, 0], shape), pull


class GlobalAveragePooling2D(_GlobalAverage):
    """The mean of each channel over a whole picture.    x: (B, H, W, C)    y: (B, C)

    Args:
        data_format: None or "channels_last"; there is no other.
        keepdims: Whether y is (B, 1, 1, C).
        input_shape: (H, W, C) where this is the first layer.

    >>> GlobalAveragePooling2D().apply({}, np.array([[1.0, 2.0], [4.0, 3.0]]).reshape(1, 2, 2, 1))[0]
    array([[2.5]])

    Source: Lin, Chen and Yan 2013.
    """

    data_format: str | None = channels_last()
    keepdims: bool = flag(False)
    input_shape: Shape | None = choice(None, row_shape)


class GlobalAveragePooling1D(_GlobalAverage):
    """The mean of each feature over a whole sequence.    x: (B, T, C)    y: (B, C)

    Args:
        data_format, keepdims, input_shape: As in `GlobalAveragePooling2D`.

    >>> GlobalAveragePooling1D().apply({}, np.array([[[1.0], [2.0]]]))[0]
    array([[1.5]])
    """

    axes = 1
    data_format: str | None = channels_last()
    keepdims: bool = flag(False)
    input_shape: Shape | None = choice(None, row_shape)


class GlobalMaxPooling2D(_GlobalMax):
    """The largest value of each channel of a whole picture; of equal ones the first gets the derivative.

    x: (B, H, W, C)    y: (B, C)

    Args:
        data_format, keepdims, input_shape: As in `GlobalAveragePooling2D`.

    >>> GlobalMaxPooling2D().apply({}, np.array([[1.0, 2.0], [4.0, 3.0]]).reshape(1, 2, 2, 1))[0]
    array([[4.]])
    """

    data_format: str | None = channels_last()
    keepdims: bool = flag(False)
    input_shape: Shape | None = choice(None, row_shape)


class GlobalMaxPooling1D(_GlobalMax):
    """The largest value of each feature of a whole sequence.    x: (B, T, C)    y: (B, C)

    Args:
        data_format, keepdims, input_shape: As in `GlobalAveragePooling2D`.

    >>> GlobalMaxPooling1D().apply({}, np.array([[[1.0], [2.0]]]))[0]
    array([[2.]])
    """

    axes = 1
    data_format: str | None = channels_last()
    keepdims: bool = flag(False)
    input_shape: Shape | None = choice(None, row_shape)

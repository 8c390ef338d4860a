"""Layers that change the size of images: padding, cropping, upsampling and the transposed convolution."""

import math
from dataclasses import field
from typing import Any

import numpy as np

from firesteel.core import initializers
from firesteel.core.constraints import Constraint
from firesteel.core.initializers import Initializer
from firesteel.core.layer import Layer, Param
from firesteel.core.layers.activation import activation
from firesteel.core.layers.arguments import constraint, regularizer
from firesteel.core.layers.convolution import Convolving, accumulate
from firesteel.core.layers.reshaping import row_shape
from firesteel.core.layers.windows import Sliding, Windows, channels_last, check_axes, sides
from firesteel.core.layout import ones
from firesteel.core.regularizers import Regularizer
from firesteel.core.spec import choice, flag, integer, whole, word
from firesteel.core.types import Array, Pull, Shape, Stream, Views
from firesteel.errors import ConfigError

__all__ = ["Conv2DTranspose", "Cropping2D", "TransposedConvolve", "UpSampling2D", "ZeroPadding2D"]


class TransposedConvolve(Sliding):
    """Linear part of `Conv2DTranspose`: the transposed convolution and the bias, without the activation.

    Arguments are not checked.

    Shapes: x (B, H, W, C), w (k, l, O, C), b (O,), y (B, h, w, O).  y has one window for each pixel of x.
    """

    filters: int
    kernel: Shape
    strides: Shape
    padding: str
    output_padding: Shape | None
    dilation: Shape
    use_bias: bool
    kernel_initializer: Initializer
    bias_initializer: Initializer
    kernel_regularizer: Regularizer | None
    bias_regularizer: Regularizer | None
    kernel_constraint: Constraint | None
    bias_constraint: Constraint | None

    @property
    def display_name(self) -> str:
        return "Conv2DTranspose"

    def place(self, shape: Shape) -> Windows:
        check_axes(self.display_name, shape)
        made, pads = [], []
        for axis, side in enumerate(shape[:2]):
            stride, span = self.strides[axis], (self.kernel[axis] - 1) * self.dilation[axis] + 1
            whole = (side - 1) * stride + span
            if self.output_padding is not None:
                size = whole + self.output_padding[axis] - (2 * (span // 2) if self.padding == "same" else 0)
            else:
                size = side * stride if self.padding == "same" else side * stride + max(span - stride, 0)
            around = max(whole - size, 0)
            made.append(size)
            pads.append((around // 2, around - around // 2))
        if min(made) < 1:
            raise ConfigError(
                f"Conv2DTranspose: the output for an input of shape {shape} has no pixels: use a larger kernel or "
                "padding='valid'",
                code="config-shape",
            )
        return Windows((*made, self.filters), self.kernel, self.strides, self.dilation, (pads[0], pads[1]))  # type: ignore[arg-type]

    def work(self, shape: Shape) -> int:
        return super().work(shape) * shape[-1]

    def output_shape(self, *inputs: Shape) -> Shape:
        return self.place(inputs[0]).shape

    def params(self, *inputs: Shape) -> dict[str, Param]:
        shape = (*self.kernel, self.filters, inputs[0][-1])
        kernel = Param(shape, self.kernel_initializer, self.kernel_regularizer, self.kernel_constraint)
        bias = Param((self.filters,), self.bias_initializer, self.bias_regularizer, self.bias_constraint)
        return {"w": kernel} | ({"b": bias} if self.use_bias else {})

    def apply(self, p: Views, x: Array, rng: Stream | None = None) -> tuple[Array, Pull]:
        at, per, channels = self.place(x.shape[1:]), math.prod(x.shape[1:3]), x.shape[3]
        w, flat = p["w"].reshape(-1, channels), x.reshape(-1, channels)
        y = at.padded(np.zeros((len(x), *at.shape), x.dtype))
        for piece in at.pieces(len(x)):
            at.add_back(np.dot(flat[piece.start * per : piece.stop * per], w.T), y[piece])
        made = at.cropped(y)
        if self.use_bias:
            made += p["b"]

        def pull(d_y: Array, g: Views, wants_x: bool) -> Array | None:
            d = at.padded(d_y.reshape(made.shape))
            d_x = np.empty_like(flat) if wants_x else None
            for piece in at.pieces(len(x)):
                rows, columns = slice(piece.start * per, piece.stop * per), at.columns(d[piece])
                if g:
                    accumulate(g["w"].reshape(-1, channels), np.dot(columns.T, flat[rows]), piece)
                if g and self.use_bias:
                    each = d_y[piece].reshape(-1, self.filters)
                    accumulate(g["b"], np.dot(ones(len(each), each.dtype), each), piece)
                if d_x is not None:
                    d_x[rows] = np.dot(columns, w)
            return None if d_x is None else d_x.reshape(x.shape)

        return made, pull


class Conv2DTranspose(Convolving):
    """Transposed convolution, which enlarges images: each pixel adds a multiple of the kernel to the output.

    It is the pullback of a `Conv2D` from images of the output's size to images of the input's size.
    Input shape (B, H, W, C), output shape (B, h, w, filters) with `h = H stride` for padding "same" and
    `h = H stride + max(span - stride, 0)` for "valid", where `span = (k - 1) dilation + 1`.  The kernel w has shape
    (k, l, filters, C) and the bias b has shape (filters,).

    Args:
        filters: Number of output channels.
        kernel_size: Height and width of the kernel in pixels; one number for both.
        strides: Vertical and horizontal distance between adjacent windows of the output; one number for both.
        padding: `"valid"` returns every pixel that a window reaches.  `"same"` returns H stride lines.
        output_padding: Lines added at the end of each axis, fewer than strides; one number for both.  None gives the
            output shape above.
        data_format: None or `"channels_last"`, the only supported layout.
        dilation_rate: Distance between adjacent pixels of a window; one number for both axes.  Only one of strides
            and dilation may exceed 1.
        activation: Name of an activation, such as `"relu"`, or a function of `firesteel.activations`; None applies no
            activation.
        use_bias: Whether to add the bias b.
        kernel_initializer: Initializer of w, such as `"he_normal"`.
        bias_initializer: Initializer of b.
        kernel_regularizer: Penalty on w, such as `"l2"`; None for no penalty.
        bias_regularizer: Penalty on b; None for no penalty.
        kernel_constraint: Constraint on w after each update; None for no constraint.
        bias_constraint: Constraint on b after each update; None for no constraint.
        input_shape: Shape of an image, (H, W, C), if this is the first layer and no `Input` precedes it.
        name: Name of the layer in a model; None lets the model choose one.
        trainable: Whether training changes the layer's weights.

    Raises:
        ConfigError: An argument has a wrong value (`config-value`) or an unknown name (`config-unknown`), or the
            inputs are not images (`config-shape`).

    Example:
        >>> from firesteel.layers import Conv2DTranspose, Input
        >>> Conv2DTranspose(8, 3, strides=2, padding="same")(Input((14, 14, 16))).shape
        (None, 28, 28, 8)

    Source: Zeiler et al. 2010; Long, Shelhamer and Darrell 2015.
    """

    filters: int = integer(low=1, why="filters is the number of output channels")
    kernel_size: Any = sides(2, "kernel_size is the height and width of the kernel")
    strides: Any = sides(2, "strides are the distances between adjacent windows", default=1)
    padding: str = word("valid", "same")
    output_padding: Any = sides(
        2, "output_padding is the number of lines added at the bottom and right", least=0, default=None
    )
    data_format: str | None = channels_last()
    dilation_rate: Any = sides(2, "dilation_rate is the distance between adjacent pixels of a window", default=1)
    activation: str | None = choice(None, activation)
    use_bias: bool = flag(True)
    kernel_initializer: Initializer | str = choice("glorot_uniform", initializers.get)
    bias_initializer: Initializer | str = choice("zeros", initializers.get)
    kernel_regularizer: Regularizer | str | None = choice(None, regularizer)
    bias_regularizer: Regularizer | str | None = choice(None, regularizer)
    kernel_constraint: Constraint | str | None = choice(None, constraint)
    bias_constraint: Constraint | str | None = choice(None, constraint)
    input_shape: Shape | None = choice(None, row_shape)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check()
        if any(more >= stride for more, stride in zip(self.output_padding or (), self.strides, strict=False)):
            raise ConfigError(
                f"{self!r}: output_padding={self.output_padding} must be below strides={self.strides}",
                code="config-value",
            )

    def parts(self) -> tuple[Layer, ...]:
        where = self.kernel_size, self.strides, self.padding, self.output_padding, self.dilation_rate
        return (
            TransposedConvolve(self.filters, *where, self.use_bias, **self.settings("kernel")),
            *self.activation_part(),
        )


class _ImageLayer(Layer):
    """Base class of image layers without sliding windows, such as padding and cropping."""

    @property
    def inputs(self) -> int | None:
        given: Shape | None = getattr(self, "input_shape", None)
        return None if given is None else math.prod(given)


def lines(default: int) -> Any:
    """Declare a dataclass field for numbers of pixel lines at the edges, such as `((top, bottom), (left, right))`.

    One number per axis, or one number for all edges, is accepted, too.
    """

    def check(owner: str, name: str, got: Any) -> tuple[tuple[int, int], ...]:
        pairs = got if isinstance(got, tuple | list) else (got, got)
        found = [tuple(map(whole, pair if isinstance(pair, tuple | list) else (pair, pair))) for pair in pairs]
        if len(found) != 2 or not all(
            len(pair) == 2 and all(n is not None and n >= 0 for n in pair) for pair in found
        ):
            raise ConfigError(
                f"{owner}({name}={got!r}): {name} must be a number of lines, one for height and width each, or "
                "((top, bottom), (left, right)), all at least 0",
                code="config-value",
            )
        return tuple([(first or 0, last or 0) for first, last in found])

    return field(default=((default, default), (default, default)), metadata={"check": check})


class ZeroPadding2D(_ImageLayer):
    """Pad images with zeros.

    Input shape (B, H, W, C), output shape (B, top + H + bottom, left + W + right, C).

    Args:
        padding: Number of lines: one number, (vertical, horizontal), or ((top, bottom), (left, right)).
        data_format: None or `"channels_last"`, the only supported layout.
        input_shape: Shape of an image, (H, W, C), if this is the first layer and no `Input` precedes it.
        name: Name of the layer in a model; None lets the model choose one.
        trainable: Without effect: the layer has no weights.

    Raises:
        ConfigError: `padding` has a wrong value (`config-value`), or the inputs are not images (`config-shape`).

    Example:
        >>> from firesteel.layers import Input, ZeroPadding2D
        >>> ZeroPadding2D(1)(Input((2, 3, 1))).shape
        (None, 4, 5, 1)
    """

    padding: Any = lines(1)
    data_format: str | None = channels_last()
    input_shape: Shape | None = choice(None, row_shape)

    def output_shape(self, *inputs: Shape) -> Shape:
        check_axes("ZeroPadding2D", inputs[0])
        height, width, channels = inputs[0]
        return height + sum(self.padding[0]), width + sum(self.padding[1]), channels

    def apply(self, p: Views, x: Array, rng: Stream | None = None) -> tuple[Array, Pull]:
        at = Windows(x.shape[1:], (1, 1), pads=self.padding)
        return at.padded(x), lambda d_y, g, wants_x: at.cropped(d_y)


class Cropping2D(_ImageLayer):
    """Crop images: remove rows and columns of pixels at the edges.

    Input shape (B, H, W, C), output shape (B, H - top - bottom, W - left - right, C).

    Args:
        cropping: Number of lines: one number, (vertical, horizontal), or ((top, bottom), (left, right)).
        data_format: None or `"channels_last"`, the only supported layout.
        input_shape: Shape of an image, (H, W, C), if this is the first layer and no `Input` precedes it.
        name: Name of the layer in a model; None lets the model choose one.
        trainable: Without effect: the layer has no weights.

    Raises:
        ConfigError: `cropping` has a wrong value (`config-value`), or the inputs are not images or no pixels would
            remain (`config-shape`).

    Example:
        >>> from firesteel.layers import Cropping2D, Input
        >>> Cropping2D(1)(Input((4, 5, 1))).shape
        (None, 2, 3, 1)
    """

    cropping: Any = lines(0)
    data_format: str | None = channels_last()
    input_shape: Shape | None = choice(None, row_shape)

    def place(self, shape: Shape) -> Windows:
        """Return the position of the region that remains when images of this shape, (H, W, C), are cropped."""
        check_axes("Cropping2D", shape)
        rows, columns = (side - sum(out) for side, out in zip(shape, self.cropping, strict=False))
        if min(rows, columns) < 1:
            raise ConfigError(
                f"Cropping2D({self.cropping}) removes all pixels of an input of shape {shape}: crop fewer lines",
                code="config-shape",
            )
        return Windows((rows, columns, shape[2]), (1, 1), pads=self.cropping)

    def output_shape(self, *inputs: Shape) -> Shape:
        return self.place(inputs[0]).shape

    def apply(self, p: Views, x: Array, rng: Stream | None = None) -> tuple[Array, Pull]:
        at = self.place(x.shape[1:])
        return at.cropped(x), lambda d_y, g, wants_x: at.padded(d_y)


class UpSampling2D(_ImageLayer):
    """Upsample images by integer factors.

    Input shape (B, H, W, C), output shape (B, rows H, columns W, C) for size = (rows, columns).

    Args:
        size: Factors of height and width; one number for both.
        data_format: None or `"channels_last"`, the only supported layout.
        interpolation: `"nearest"` repeats pixels.  `"bilinear"` interpolates linearly between the centers of pixels
            and extends the edge pixels outward.
        input_shape: Shape of an image, (H, W, C), if this is the first layer and no `Input` precedes it.
        name: Name of the layer in a model; None lets the model choose one.
        trainable: Without effect: the layer has no weights.

    Raises:
        ConfigError: An argument has a wrong value (`config-value`), or the inputs are not images (`config-shape`).

    Example:
        >>> import numpy as np
        >>> from firesteel.layers import UpSampling2D
        >>> image = np.array([1.0, 2.0]).reshape(1, 1, 2, 1)
        >>> UpSampling2D((1, 2))(image).ravel()
        array([1., 1., 2., 2.])
        >>> UpSampling2D((1, 2), interpolation="bilinear")(image).ravel()
        array([1.  , 1.25, 1.75, 2.  ])
    """

    size: Any = sides(2, "size is the factor by which height and width grow", default=2)
    data_format: str | None = channels_last()
    interpolation: str = word("nearest", "bilinear")
    input_shape: Shape | None = choice(None, row_shape)

    def output_shape(self, *inputs: Shape) -> Shape:
        check_axes("UpSampling2D", inputs[0])
        return inputs[0][0] * self.size[0], inputs[0][1] * self.size[1], inputs[0][2]

    def apply(self, p: Views, x: Array, rng: Stream | None = None) -> tuple[Array, Pull]:
        (rows, columns), (_, height, width, channels) = self.size, x.shape
        if self.interpolation == "nearest":
            y = x.repeat(rows, axis=1).repeat(columns, axis=2)
            blocks = len(x), height, rows, width, columns, channels
            return y, lambda d_y, g, wants_x: np.add.reduce(d_y.reshape(blocks), axis=(2, 4))
        down, across = (_interpolation(*one).astype(x.dtype) for one in ((height, rows), (width, columns)))
        y = _resize(x, down, across)
        return y, lambda d_y, g, wants_x: _resize(d_y, down.T, across.T)


def _interpolation(side: int, times: int) -> Array:
    """Return the matrix (times side, side) that enlarges a line of pixels by linear interpolation."""
    at = np.clip((np.arange(side * times) + 0.5) / times - 0.5, 0, side - 1)
    first = np.minimum(np.floor(at).astype(int), max(side - 2, 0))
    weights, lines = np.zeros((side * times, side)), np.arange(side * times)
    weights[lines, first] = 1 - (at - first)
    if side > 1:
        weights[lines, first + 1] = at - first
    return weights


def _resize(x: Array, down: Array, across: Array) -> Array:
    """Resize images (B, H, W, C): multiply their height axis by the matrix `down`, their width axis by `across`."""
    n, height, width, channels = x.shape
    lines = np.matmul(np.ascontiguousarray(down), x.reshape(n, height, width * channels))
    found: Array = np.matmul(np.ascontiguousarray(across), lines.reshape(n, len(down), width, channels))
    return found

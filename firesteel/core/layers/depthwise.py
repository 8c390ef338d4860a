"""Convolutions channel by channel, and the separable one, which mixes channels afterwards."""

import math
from typing import Any

import numpy as np

from firesteel.core import initializers
from firesteel.core.constraints import Constraint
from firesteel.core.initializers import Initializer
from firesteel.core.layer import Layer, Param
from firesteel.core.layers.activation import activation
from firesteel.core.layers.arguments import constraint, regularizer
from firesteel.core.layers.convolution import Convolve, Convolving
from firesteel.core.layers.normalization import column_sums
from firesteel.core.layers.reshaping import row_shape
from firesteel.core.layers.windows import Sliding, Windows, channels_last, sides
from firesteel.core.regularizers import Regularizer
from firesteel.core.spec import choice, flag, integer, word
from firesteel.core.types import Array, Pull, Shape, Stream, Views

__all__ = ["DepthwiseConv2D", "DepthwiseConvolve", "SeparableConv2D"]


class DepthwiseConvolve(Sliding):
    """y_(c M + m) = sum over a window of x_c w_cm, plus b_(c M + m), as a `DepthwiseConv2D` has checked it.

    x: (B, H, W, C)   w: (k, l, C, M)   b: (C M,)   y: (B, h, w, C M)

    It is no product of matrices: each pixel of all windows is multiplied by its weights, in the order of the kernel.
    """

    kernel: Shape
    strides: Shape
    padding: str
    depth_multiplier: int
    dilation: Shape
    use_bias: bool
    kernel_initializer: Initializer
    bias_initializer: Initializer
    kernel_regularizer: Regularizer | None
    bias_regularizer: Regularizer | None
    kernel_constraint: Constraint | None
    bias_constraint: Constraint | None

    @property
    def shown(self) -> str:
        return "DepthwiseConv2D"

    def place(self, shape: Shape) -> Windows:
        return self.windows(shape, self.kernel, self.strides, self.padding, self.dilation)

    def work(self, shape: Shape) -> int:
        return super().work(shape) * self.depth_multiplier

    def output_shape(self, *inputs: Shape) -> Shape:
        return self.shaped(self.place(inputs[0]), inputs[0][-1] * self.depth_multiplier)

    def params(self, *inputs: Shape) -> dict[str, Param]:
        channels = inputs[0][-1]
        shape = (*self.kernel, channels, self.depth_multiplier)
        kernel = Param(shape, self.kernel_initializer, self.kernel_regularizer, self.kernel_constraint)
        outputs = (channels * self.depth_multiplier,)
        bias = Param(outputs, self.bias_initializer, self.bias_regularizer, self.bias_constraint)
        return {"w": kernel} | ({"b": bias} if self.use_bias else {})

    def apply(self, p: Views, x: Array, rng: Stream | None = None) -> tuple[Array, Pull]:
        at, shape, each = self.place(x.shape[1:]), x.shape, (x.shape[3], self.depth_multiplier)
        x, w = at.padded(x), p["w"].reshape(-1, *each)
        y = np.zeros((len(x), *at.places, *each), x.dtype)
        for pixel, weights in zip(at.pixels(x), w, strict=True):
            y += pixel[..., None] * weights
        made = y.reshape(len(x), *at.places, -1)
        if self.use_bias:
            made += p["b"]

        def pull(d_y: Array, g: Views, wants_x: bool) -> Array | None:
            d, d_x = d_y.reshape(y.shape), np.zeros_like(x) if wants_x else None
            if g:
                g_w = g["w"].reshape(-1, math.prod(each))
                for number, pixel in enumerate(at.pixels(x)):
                    g_w[number] = column_sums((pixel[..., None] * d).reshape(-1, math.prod(each)))
                if self.use_bias:
                    g["b"][:] = column_sums(d.reshape(-1, math.prod(each)))
            if d_x is None:
                return None
            for pixel, weights in zip(at.pixels(d_x), w, strict=True):
                pixel += np.add.reduce(d * weights, axis=-1)
            return at.cropped(d_x).reshape(shape)

        return made, pull


class DepthwiseConv2D(Convolving):
    """A convolution of each channel by itself: y_ij(cM+m) = activation(sum over k, l of x_(i+k)(j+l)c w_klcm + b).

    x: (B, H, W, C)    w: (k, l, C, M)    b: (C M,)    y: (B, h, w, C M), with M = depth_multiplier.

    Args:
        kernel_size, strides, padding, data_format, dilation_rate, activation, use_bias, input_shape: As in `Conv2D`.
        depth_multiplier: How many kernels each channel has.
        depthwise_initializer, bias_initializer: How kernel and bias are drawn.
        depthwise_regularizer, bias_regularizer: Penalties on them.
        depthwise_constraint, bias_constraint: What they must satisfy after each step.

    Raises:
        ConfigError: As `Conv2D` does.

    >>> layer = DepthwiseConv2D(2, use_bias=False).parts()[0]
    >>> layer.apply({"w": np.ones((2, 2, 1, 1))}, np.arange(4.0).reshape(1, 2, 2, 1))[0].ravel()
    array([6.])

    Source: Sifre 2014; Chollet 2017.
    """

    kernel_size: Any = sides(2, "it is the height and width of a window")
    strides: Any = sides(2, "it is the step from window to window", default=1)
    padding: str = word("valid", "same")
    depth_multiplier: int = integer(1, low=1, why="it is the number of kernels of each channel")
    data_format: str | None = channels_last()
    dilation_rate: Any = sides(2, "it is the step from pixel to pixel of a window", default=1)
    activation: str | None = choice(None, activation)
    use_bias: bool = flag(True)
    depthwise_initializer: Initializer | str = choice("glorot_uniform", initializers.get)
    bias_initializer: Initializer | str = choice("zeros", initializers.get)
    depthwise_regularizer: Regularizer | str | None = choice(None, regularizer)
    bias_regularizer: Regularizer | str | None = choice(None, regularizer)
    depthwise_constraint: Constraint | str | None = choice(None, constraint)
    bias_constraint: Constraint | str | None = choice(None, constraint)
    input_shape: Shape | None = choice(None, row_shape)

    def parts(self) -> tuple[Layer, ...]:
        where = self.kernel_size, self.strides, self.padding, self.depth_multiplier, self.dilation_rate
        return (DepthwiseConvolve(*where, self.use_bias, **self.drawn("depthwise")), *self.bent())


class SeparableConv2D(Convolving):
    """A depthwise convolution, and behind it a convolution of 1 x 1 that mixes the channels.

    It has far fewer weights than a `Conv2D`: k l C M + C M filters, and not k l C filters.

    Args:
        filters, kernel_size, strides, padding, data_format, dilation_rate, activation, use_bias, input_shape: As in
            `Conv2D`; strides and dilation are those of the depthwise part.
        depth_multiplier: How many kernels each channel has.
        depthwise_initializer, pointwise_initializer, bias_initializer: How both kernels and the bias are drawn.
        depthwise_regularizer, pointwise_regularizer, bias_regularizer: Penalties on them.
        depthwise_constraint, pointwise_constraint, bias_constraint: What they must satisfy after each step.

    Raises:
        ConfigError: As `Conv2D` does.

    >>> [type(part).__name__ for part in SeparableConv2D(8, 3, activation="relu").parts()]
    ['DepthwiseConvolve', 'Convolve', 'Relu']

    Source: Chollet 2017.
    """

    filters: int = integer(low=1, why="it is the number of output channels")
    kernel_size: Any = sides(2, "it is the height and width of a window")
    strides: Any = sides(2, "it is the step from window to window", default=1)
    padding: str = word("valid", "same")
    data_format: str | None = channels_last()
    dilation_rate: Any = sides(2, "it is the step from pixel to pixel of a window", default=1)
    depth_multiplier: int = integer(1, low=1, why="it is the number of kernels of each channel")
    activation: str | None = choice(None, activation)
    use_bias: bool = flag(True)
    depthwise_initializer: Initializer | str = choice("glorot_uniform", initializers.get)
    pointwise_initializer: Initializer | str = choice("glorot_uniform", initializers.get)
    bias_initializer: Initializer | str = choice("zeros", initializers.get)
    depthwise_regularizer: Regularizer | str | None = choice(None, regularizer)
    pointwise_regularizer: Regularizer | str | None = choice(None, regularizer)
    bias_regularizer: Regularizer | str | None = choice(None, regularizer)
    depthwise_constraint: Constraint | str | None = choice(None, constraint)
    pointwise_constraint: Constraint | str | None = choice(None, constraint)
    bias_constraint: Constraint | str | None = choice(None, constraint)
    input_shape: Shape | None = choice(None, row_shape)

    def parts(self) -> tuple[Layer, ...]:
        where = self.kernel_size, self.strides, self.padding, self.depth_multiplier, self.dilation_rate
        by_channel = DepthwiseConvolve(*where, False, **self.drawn("depthwise"))
        mixed = Convolve(self.filters, (1, 1), (1, 1), use_bias=self.use_bias, **self.drawn("pointwise"))
        return (by_channel, mixed, *self.bent())

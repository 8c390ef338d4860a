"""Depthwise convolution, channel by channel, and separable convolution, which then mixes the channels."""

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
    """Linear part of `DepthwiseConv2D`: the depthwise convolution and the bias, without the activation.

    `y_(c M + m)` is the sum of `x_c w_cm` over a window, plus the bias.  Arguments are not checked.

    `DepthwiseConv2D` and `SeparableConv2D` are compiled to it.  Shapes: x (B, H, W, C), w (k, l, C, M), b (C M,),
    y (B, h, w, C M).

    It is not a matrix product: each pixel of all windows is multiplied by its weights, in the kernel's order.
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
    def display_name(self) -> str:
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
    """Depthwise convolution: each channel is convolved separately.

    `y_ij(cM+m) = activation(sum_kl x_(i+k)(j+l)c w_klcm + b_(cM+m))`, with M = depth_multiplier.  Input shape (B, H,
    W, C), output shape (B, h, w, C M).  The kernel w has shape (k, l, C, M) and the bias b has shape (C M,).

    Args:
        kernel_size: Height and width of the kernel in pixels; one number for both.
        strides: Vertical and horizontal distance between adjacent windows; one number for both.
        padding: `"valid"` adds no padding, so windows stay inside the image.  `"same"` pads with zeros; an odd line
            goes to the bottom or right.
        depth_multiplier: Number of kernels per channel, M.
        data_format: None or `"channels_last"`, the only supported layout.
        dilation_rate: Distance between adjacent pixels of a window; one number for both axes.
        activation: Name of an activation, such as `"relu"`, or a function of `firesteel.activations`; None applies no
            activation.
        use_bias: Whether to add the bias b.
        depthwise_initializer: Initializer of w, such as `"he_normal"`.
        bias_initializer: Initializer of b.
        depthwise_regularizer: Penalty on w, such as `"l2"`; None for no penalty.
        bias_regularizer: Penalty on b; None for no penalty.
        depthwise_constraint: Constraint on w after each update; None for no constraint.
        bias_constraint: Constraint on b after each update; None for no constraint.
        input_shape: Shape of an image, (H, W, C), if this is the first layer and no `Input` precedes it.
        name: Name of the layer in a model; None lets the model choose one.
        trainable: Whether training changes the layer's weights.

    Raises:
        ConfigError: An argument has a wrong value (`config-value`) or an unknown name (`config-unknown`), or the
            inputs are not images or are smaller than a window (`config-shape`).

    Example:
        >>> from firesteel.layers import DepthwiseConv2D, Input
        >>> DepthwiseConv2D(3, depth_multiplier=2)(Input((28, 28, 8))).shape
        (None, 26, 26, 16)

    Source: Sifre 2014; Chollet 2017.
    """

    kernel_size: Any = sides(2, "kernel_size is the height and width of the kernel")
    strides: Any = sides(2, "strides are the distances between adjacent windows", default=1)
    padding: str = word("valid", "same")
    depth_multiplier: int = integer(1, low=1, why="depth_multiplier is the number of kernels of each channel")
    data_format: str | None = channels_last()
    dilation_rate: Any = sides(2, "dilation_rate is the distance between adjacent pixels of a window", default=1)
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
        return (
            DepthwiseConvolve(*where, self.use_bias, **self.settings("depthwise")),
            *self.activation_part(),
        )


class SeparableConv2D(Convolving):
    """Separable convolution: a depthwise convolution, followed by a 1 x 1 convolution that mixes the channels.

    It needs k l C M + C M filters weights, far fewer than the k l C filters of `Conv2D`; M is depth_multiplier.
    Input shape (B, H, W, C), output shape (B, h, w, filters).

    Args:
        filters: Number of output channels.
        kernel_size: Height and width of the depthwise kernel in pixels; one number for both.
        strides: Vertical and horizontal distance between adjacent windows; one number for both.
        padding: `"valid"` adds no padding, so windows stay inside the image.  `"same"` pads with zeros; an odd line
            goes to the bottom or right.
        data_format: None or `"channels_last"`, the only supported layout.
        dilation_rate: Distance between adjacent pixels of a window; one number for both axes.
        depth_multiplier: Number of depthwise kernels per channel, M.
        activation: Name of an activation, such as `"relu"`, or a function of `firesteel.activations`; None applies no
            activation.
        use_bias: Whether to add a bias after the 1 x 1 convolution.
        depthwise_initializer: Initializer of the depthwise kernel.
        pointwise_initializer: Initializer of the 1 x 1 kernel.
        bias_initializer: Initializer of the bias.
        depthwise_regularizer: Penalty on the depthwise kernel; None for no penalty.
        pointwise_regularizer: Penalty on the 1 x 1 kernel; None for no penalty.
        bias_regularizer: Penalty on the bias; None for no penalty.
        depthwise_constraint: Constraint on the depthwise kernel after each update; None for no constraint.
        pointwise_constraint: Constraint on the 1 x 1 kernel after each update; None for no constraint.
        bias_constraint: Constraint on the bias after each update; None for no constraint.
        input_shape: Shape of an image, (H, W, C), if this is the first layer and no `Input` precedes it.
        name: Name of the layer in a model; None lets the model choose one.
        trainable: Whether training changes the layer's weights.

    Raises:
        ConfigError: An argument has a wrong value (`config-value`) or an unknown name (`config-unknown`), or the
            inputs are not images or are smaller than a window (`config-shape`).

    Example:
        >>> from firesteel.layers import Input, SeparableConv2D
        >>> SeparableConv2D(16, 3, activation="relu")(Input((28, 28, 8))).shape
        (None, 26, 26, 16)

    Source: Chollet 2017.
    """

    filters: int = integer(low=1, why="filters is the number of output channels")
    kernel_size: Any = sides(2, "kernel_size is the height and width of the kernel")
    strides: Any = sides(2, "strides are the distances between adjacent windows", default=1)
    padding: str = word("valid", "same")
    data_format: str | None = channels_last()
    dilation_rate: Any = sides(2, "dilation_rate is the distance between adjacent pixels of a window", default=1)
    depth_multiplier: int = integer(1, low=1, why="depth_multiplier is the number of kernels of each channel")
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
        by_channel = DepthwiseConvolve(*where, False, **self.settings("depthwise"))
        mixed = Convolve(self.filters, (1, 1), (1, 1), use_bias=self.use_bias, **self.settings("pointwise"))
        return (by_channel, mixed, *self.activation_part())

"""Convolutions over images and sequences.

A convolution is a matrix product over windows: `y = columns(x) w`.  The gradient of w is `columns(x)' d`, and `d_x`
is `d w'` added back to the pixels of each window.  `windows.py` computes the columns.
"""

import math
from typing import Any

import numpy as np

from firesteel.core import initializers
from firesteel.core.constraints import Constraint
from firesteel.core.initializers import Initializer
from firesteel.core.layer import Layer, Param
from firesteel.core.layers.activation import ACTIVATIONS, activation
from firesteel.core.layers.arguments import constraint, regularizer
from firesteel.core.layers.reshaping import row_shape
from firesteel.core.layers.windows import Sliding, Windows, as_pictures, channels_last, sides
from firesteel.core.layout import ones
from firesteel.core.regularizers import Regularizer
from firesteel.core.spec import choice, flag, integer, word
from firesteel.core.types import Array, Pull, Shape, Stream, Views
from firesteel.errors import ConfigError

__all__ = ["Conv1D", "Conv2D", "Convolve", "Convolving", "accumulate"]


class Convolve(Sliding):
    """Linear part of `Conv1D` and `Conv2D`: the convolution and the bias, without the activation.

    Arguments are not checked.

    Shapes: x (B, H, W, C), w (k, l, C / groups, O), b (O,), y (B, h, w, O); for sequences without H, k and h.
    """

    filters: int
    kernel: Shape
    strides: Shape
    padding: str = "valid"
    dilation: Shape = ()
    groups: int = 1
    use_bias: bool = True
    kernel_initializer: Initializer = initializers.get("glorot_uniform")
    bias_initializer: Initializer = initializers.get("zeros")
    kernel_regularizer: Regularizer | None = None
    bias_regularizer: Regularizer | None = None
    kernel_constraint: Constraint | None = None
    bias_constraint: Constraint | None = None

    @property
    def axes(self) -> int:  # type: ignore[override]
        """Number of spatial axes: 2 for images, 1 for sequences."""
        return len(self.kernel)

    @property
    def display_name(self) -> str:
        return f"Conv{self.axes}D"

    def place(self, shape: Shape) -> Windows:
        return self.windows(shape, self.kernel, self.strides, self.padding, self.dilation)

    def work(self, shape: Shape) -> int:
        return super().work(shape) * self.filters // self.groups

    def output_shape(self, *inputs: Shape) -> Shape:
        at = self.place(inputs[0])
        if inputs[0][-1] % self.groups:
            raise ConfigError(
                f"{self.display_name}: {inputs[0][-1]} channels cannot be split into groups={self.groups}: use a "
                "divisor of the number of channels",
                code="config-shape",
            )
        return self.shaped(at, self.filters)

    def params(self, *inputs: Shape) -> dict[str, Param]:
        shape = (*self.kernel, inputs[0][-1] // self.groups, self.filters)
        kernel = Param(shape, self.kernel_initializer, self.kernel_regularizer, self.kernel_constraint)
        bias = Param((self.filters,), self.bias_initializer, self.bias_regularizer, self.bias_constraint)
        return {"w": kernel} | ({"b": bias} if self.use_bias else {})

    def apply(self, p: Views, x: Array, rng: Stream | None = None) -> tuple[Array, Pull]:
        at, filters, shape = self.place(x.shape[1:]), self.filters, x.shape
        x, w, per = at.padded(as_pictures(x)), p["w"].reshape(-1, filters), math.prod(at.places)
        y = np.empty((len(x) * per, filters), x.dtype)
        groups = list(zip(*(_group_slices(size, self.groups) for size in (x.shape[3], filters)), strict=True))
        for piece in at.pieces(len(x)):
            rows = slice(piece.start * per, piece.stop * per)
            for read, made in groups:
                y[rows, made] = np.dot(at.columns(x[piece, :, :, read]), w[:, made])
            if self.use_bias:
                y[rows] += p["b"]

        def pull(d_y: Array, g: Views, wants_x: bool) -> Array | None:
            d, d_x = d_y.reshape(-1, filters), np.zeros_like(x) if wants_x else None
            g_w, one = g["w"].reshape(-1, filters) if g else w, ones(len(d), d.dtype)
            for piece in at.pieces(len(x)):
                rows = slice(piece.start * per, piece.stop * per)
                for read, made in groups:
                    part = np.ascontiguousarray(d[rows, made])
                    if g:
                        accumulate(g_w[:, made], np.dot(at.columns(x[piece, :, :, read]).T, part), piece)
                    if d_x is not None:
                        at.add_back(np.dot(part, w[:, made].T), d_x[piece, :, :, read])
                if g and self.use_bias:
                    accumulate(g["b"], np.dot(one[rows], d[rows]), piece)
            return None if d_x is None else at.cropped(d_x).reshape(shape)

        return y.reshape(len(x), *self.shaped(at, filters)), pull


def _group_slices(size: int, groups: int) -> list[slice]:
    """Return the slice of channels of each group of a grouped convolution."""
    each = size // groups
    return [slice(first, first + each) for first in range(0, size, each)]


def accumulate(into: Array, part: Array, piece: slice) -> None:
    """Add `part`, computed from the slice `piece` of a batch, to `into`; the first slice overwrites `into`."""
    if piece.start:
        into += part
    else:
        into[...] = part


class Convolving(Layer):
    """Base class of convolution layers: a convolution, followed by an activation."""

    @property
    def inputs(self) -> int | None:
        """Number of values in one input image or sequence; None to infer it from the data."""
        given: Shape | None = getattr(self, "input_shape", None)
        return None if given is None else math.prod(given)

    def activation_part(self) -> tuple[Layer, ...]:
        """Return the activation layer in a tuple; an empty tuple for the linear activation."""
        found = ACTIVATIONS[self.activation]
        return () if found is None else (found,)

    def settings(self, kernel: str) -> dict[str, Any]:
        """Return the initializers, regularizers and constraints of kernel and bias, as keyword arguments.

        Args:
            kernel: Prefix of the layer's own arguments for the kernel, such as "depthwise".
        """
        names, whats = ("initializer", "regularizer", "constraint"), {"kernel": kernel, "bias": "bias"}
        return {f"{what}_{name}": getattr(self, f"{said}_{name}") for what, said in whats.items() for name in names}

    def check(self) -> None:
        """Raise ConfigError if strides and dilation both exceed 1, or `filters` is not divisible by `groups`."""
        given: Any = self
        if max(given.strides) > 1 and max(given.dilation_rate) > 1:
            raise ConfigError(
                f"{self!r}: strides={given.strides} and dilation_rate={given.dilation_rate} are both above 1: set "
                "one of them to 1",
                code="config-value",
            )
        if given.filters % getattr(self, "groups", 1):
            raise ConfigError(
                f"{self!r}: filters={given.filters} must be a multiple of groups={given.groups}", code="config-value"
            )


class Conv2D(Convolving):
    """Two-dimensional convolution: `y_ijo = activation(sum_klc x_(i+k)(j+l)c w_klco + b_o)`.

    As in Keras and PyTorch the kernel is not flipped, so mathematically this is a cross-correlation.

    Input shape (B, H, W, C), channels last; output shape (B, h, w, filters) with `h = (H - span) // stride + 1` for
    padding "valid" and `h = ceil(H / stride)` for "same", where `span = (k - 1) dilation + 1`.  The kernel w has
    shape (k, l, C / groups, filters) and the bias b has shape (filters,).

    Args:
        filters: Number of output channels.
        kernel_size: Height and width of the kernel in pixels; one number for both.
        strides: Vertical and horizontal distance between adjacent windows; one number for both.
        padding: `"valid"` adds no padding, so windows stay inside the image.  `"same"` pads with zeros; an odd line
            goes to the bottom or right.
        data_format: None or `"channels_last"`, the only supported layout.
        dilation_rate: Distance between adjacent pixels of a window; one number for both axes.  Only one of strides
            and dilation may exceed 1.
        groups: Number of groups into which channels are split; each filter reads the channels of one group.
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
            inputs are not images, are smaller than a window, or have channels that groups cannot split
            (`config-shape`).

    Example:
        >>> from firesteel.layers import Conv2D, Input
        >>> Conv2D(32, 3, activation="relu")(Input((28, 28, 1))).shape
        (None, 26, 26, 32)
        >>> Conv2D(32, 3, strides=2, padding="same")(Input((28, 28, 1))).shape
        (None, 14, 14, 32)

    Source: LeCun et al. 1989; as a matrix product, Chellapilla, Puri and Simard 2006.
    """

    filters: int = integer(low=1, why="filters is the number of output channels")
    kernel_size: Any = sides(2, "kernel_size is the height and width of the kernel")
    strides: Any = sides(2, "strides are the distances between adjacent windows", default=1)
    padding: str = word("valid", "same")
    data_format: str | None = channels_last()
    dilation_rate: Any = sides(2, "dilation_rate is the distance between adjacent pixels of a window", default=1)
    groups: int = integer(1, low=1, why="groups is the number of groups of channels")
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

    def parts(self) -> tuple[Layer, ...]:
        where = self.kernel_size, self.strides, self.padding, self.dilation_rate
        return (
            Convolve(self.filters, *where, self.groups, self.use_bias, **self.settings("kernel")),
            *self.activation_part(),
        )


class Conv1D(Convolving):
    """One-dimensional convolution along sequences: `y_to = activation(sum_kc x_(t+k)c w_kco + b_o)`.

    Input shape (B, T, C), output shape (B, t, filters).  The kernel w has shape (k, C / groups, filters) and the bias
    b has shape (filters,).

    Args:
        filters: Number of output features per step.
        kernel_size: Length of the kernel in steps.
        strides: Distance between adjacent windows, in steps.
        padding: `"valid"` adds no padding.  `"same"` pads with zeros on both sides.  `"causal"` pads only before the
            first step, so `y_t` does not depend on later steps.
        data_format: None or `"channels_last"`, the only supported layout.
        dilation_rate: Distance between adjacent steps of a window.  Only one of strides and dilation may exceed 1.
        groups: Number of groups into which features are split; each filter reads the features of one group.
        activation: Name of an activation, such as `"relu"`, or a function of `firesteel.activations`; None applies no
            activation.
        use_bias: Whether to add the bias b.
        kernel_initializer: Initializer of w, such as `"he_normal"`.
        bias_initializer: Initializer of b.
        kernel_regularizer: Penalty on w, such as `"l2"`; None for no penalty.
        bias_regularizer: Penalty on b; None for no penalty.
        kernel_constraint: Constraint on w after each update; None for no constraint.
        bias_constraint: Constraint on b after each update; None for no constraint.
        input_shape: Shape of a sequence, (T, C), if this is the first layer and no `Input` precedes it.
        name: Name of the layer in a model; None lets the model choose one.
        trainable: Whether training changes the layer's weights.

    Raises:
        ConfigError: An argument has a wrong value (`config-value`) or an unknown name (`config-unknown`), or the
            inputs are not sequences, are shorter than a window, or have features that groups cannot split
            (`config-shape`).

    Example:
        >>> from firesteel.layers import Conv1D, Input
        >>> Conv1D(16, 5)(Input((100, 8))).shape
        (None, 96, 16)
        >>> Conv1D(16, 5, padding="causal")(Input((100, 8))).shape
        (None, 100, 16)

    Source: Waibel et al. 1989 (time-delay networks); causal and dilated, van den Oord et al. 2016.
    """

    filters: int = integer(low=1, why="filters is the number of output features")
    kernel_size: Any = sides(1, "kernel_size is the length of the kernel")
    strides: Any = sides(1, "strides is the distance between adjacent windows", default=1)
    padding: str = word("valid", "same", "causal")
    data_format: str | None = channels_last()
    dilation_rate: Any = sides(1, "dilation_rate is the distance between adjacent steps of a window", default=1)
    groups: int = integer(1, low=1, why="groups is the number of groups of features")
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

    def parts(self) -> tuple[Layer, ...]:
        where = self.kernel_size, self.strides, self.padding, self.dilation_rate
        return (
            Convolve(self.filters, *where, self.groups, self.use_bias, **self.settings("kernel")),
            *self.activation_part(),
        )

"""Convolutions: one kernel for all places of a picture or a sequence.

A convolution is a product of matrices over windows: y = columns(x) w, and its derivatives are g_w = columns(x)' d and
d_x = the columns d w' added back to the pixels that they came from.  `windows.py` has the columns.
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

__all__ = ["Conv1D", "Conv2D", "Convolve", "Convolving", "added"]


class Convolve(Sliding):
    """y = sum over a window of x w, plus b, as a `Conv2D` has checked it.

    x: (B, H, W, C)   w: (k, l, C / groups, O)   b: (O,)   y: (B, h, w, O); of sequences without H, k and h.
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
        """2 for pictures, 1 for sequences."""
        return len(self.kernel)

    @property
    def shown(self) -> str:
        return f"Conv{self.axes}D"

    def place(self, shape: Shape) -> Windows:
        return self.windows(shape, self.kernel, self.strides, self.padding, self.dilation)

    def work(self, shape: Shape) -> int:
        return super().work(shape) * self.filters // self.groups

    def output_shape(self, *inputs: Shape) -> Shape:
        at = self.place(inputs[0])
        if inputs[0][-1] % self.groups:
            raise ConfigError(
                f"{self.shown}: {inputs[0][-1]} channels cannot be shared among groups={self.groups}: take a divisor",
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
        groups = list(zip(*(_shares(size, self.groups) for size in (x.shape[3], filters)), strict=True))
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
                        added(g_w[:, made], np.dot(at.columns(x[piece, :, :, read]).T, part), piece)
                    if d_x is not None:
                        at.add_back(np.dot(part, w[:, made].T), d_x[piece, :, :, read])
                if g and self.use_bias:
                    added(g["b"], np.dot(one[rows], d[rows]), piece)
            return None if d_x is None else at.cropped(d_x).reshape(shape)

        return y.reshape(len(x), *self.shaped(at, filters)), pull


def _shares(size: int, groups: int) -> list[slice]:
    """Return the channels of each group."""
    each = size // groups
    return [slice(first, first + each) for first in range(0, size, each)]


def added(into: Array, part: Array, piece: slice) -> None:
    """Write the part of the first piece into an array, and add those of the others."""
    if piece.start:
        into += part
    else:
        into[...] = part


class Convolving(Layer):
    """Base of convolutions: an activation behind a layer whose windows slide."""

    @property
    def inputs(self) -> int | None:
        """Numbers in a picture, or None where what comes before decides."""
        given: Shape | None = getattr(self, "input_shape", None)
        return None if given is None else math.prod(given)

    def bent(self) -> tuple[Layer, ...]:
        """Return the activation behind it, if there is one."""
        found = ACTIVATIONS[self.activation]
        return () if found is None else (found,)

    def drawn(self, kernel: str) -> dict[str, Any]:
        """Return how the kernel and the bias are drawn, penalized and constrained; kernel: what arguments call it."""
        names, whats = ("initializer", "regularizer", "constraint"), {"kernel": kernel, "bias": "bias"}
        return {f"{what}_{name}": getattr(self, f"{said}_{name}") for what, said in whats.items() for name in names}

    def check(self) -> None:
        """Raise ConfigError for strides with dilation, and for filters that cannot be shared among the groups."""
        given: Any = self
        if max(given.strides) > 1 and max(given.dilation_rate) > 1:
            raise ConfigError(
                f"{self!r}: strides={given.strides} and dilation_rate={given.dilation_rate} are both above 1: one of "
                "them must be 1",
                code="config-value",
            )
        if given.filters % getattr(self, "groups", 1):
            raise ConfigError(
                f"{self!r}: filters={given.filters} must be a multiple of groups={given.groups}", code="config-value"
            )


class Conv2D(Convolving):
    """A two-dimensional convolution: y_ijo = activation(sum over k, l, c of x_(i+k)(j+l)c w_klco + b_o).

    As in Keras and torch the kernel is not turned round, so that in mathematics this is a cross-correlation.
    x: (B, H, W, C), channels last    w: (k, l, C / groups, filters)    b: (filters,)    y: (B, h, w, filters), with
    h = (H - (k - 1) dilation - 1) // stride + 1 for padding "valid", and ceil(H / stride) for "same".

    Args:
        filters: How many kernels there are: the channels of the outputs.
        kernel_size: Height and width of a window, in pixels; one number for both.
        strides: How far apart windows are.
        padding: "valid": windows lie inside the picture.  "same": zeros are put around it, the odd one behind.
        data_format: None or "channels_last"; there is no other.
        dilation_rate: How far apart the pixels of a window are.
        groups: Into how many groups channels are split; each filter sees the channels of one.
        activation: A name such as "relu"; None for none.
        use_bias: Whether there is b.
        kernel_initializer, bias_initializer: How they are drawn.
        kernel_regularizer, bias_regularizer: Penalties on them.
        kernel_constraint, bias_constraint: What they must satisfy after each step.
        input_shape: (H, W, C) where this is the first layer; `Input` says it, too.

    Raises:
        ConfigError: For arguments that cannot be, values of another shape, and windows larger than the picture.

    >>> layer = Conv2D(1, 2, use_bias=False).parts()[0]
    >>> x = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]).reshape(1, 2, 3, 1)
    >>> layer.apply({"w": np.ones((2, 2, 1, 1))}, x)[0].ravel()
    array([12., 16.])

    Source: LeCun et al. 1989; as a product of matrices, Chellapilla, Puri and Simard 2006.
    """

    filters: int = integer(low=1, why="it is the number of output channels")
    kernel_size: Any = sides(2, "it is the height and width of a window")
    strides: Any = sides(2, "it is the step from window to window", default=1)
    padding: str = word("valid", "same")
    data_format: str | None = channels_last()
    dilation_rate: Any = sides(2, "it is the step from pixel to pixel of a window", default=1)
    groups: int = integer(1, low=1, why="it is the number of groups of channels")
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
        return (Convolve(self.filters, *where, self.groups, self.use_bias, **self.drawn("kernel")), *self.bent())


class Conv1D(Convolving):
    """A convolution along sequences: y_to = activation(sum over k, c of x_(t+k)c w_kco + b_o).

    x: (B, T, C)    w: (k, C / groups, filters)    b: (filters,)    y: (B, t, filters)

    Args:
        filters: How many kernels there are: the features of the outputs.
        kernel_size: How many steps a window has.
        strides: How far apart windows are.
        padding: "valid", "same", or "causal": all zeros before the first step, so that y_t knows nothing after t.
        data_format: None or "channels_last"; there is no other.
        dilation_rate, groups, activation, use_bias, kernel_initializer, bias_initializer, kernel_regularizer,
        bias_regularizer, kernel_constraint, bias_constraint: As in `Conv2D`.
        input_shape: (T, C) where this is the first layer.

    Raises:
        ConfigError: As `Conv2D` does.

    >>> layer = Conv1D(1, 2, padding="causal", use_bias=False).parts()[0]
    >>> layer.apply({"w": np.ones((2, 1, 1))}, np.array([[[1.0], [2.0], [3.0]]]))[0].ravel()
    array([1., 3., 5.])

    Source: Waibel et al. 1989 (time-delay networks); causal and dilated, van den Oord et al. 2016.
    """

    filters: int = integer(low=1, why="it is the number of output features")
    kernel_size: Any = sides(1, "it is the length of a window")
    strides: Any = sides(1, "it is the step from window to window", default=1)
    padding: str = word("valid", "same", "causal")
    data_format: str | None = channels_last()
    dilation_rate: Any = sides(1, "it is the step from one value of a window to the next", default=1)
    groups: int = integer(1, low=1, why="it is the number of groups of features")
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
        return (Convolve(self.filters, *where, self.groups, self.use_bias, **self.drawn("kernel")), *self.bent())

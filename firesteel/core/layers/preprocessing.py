"""Layers that shift and scale their inputs by fixed numbers, such as `Normalization` and `Rescaling`."""

import math
from collections.abc import Sequence
from dataclasses import field, replace
from typing import Any

import numpy as np

from firesteel.core.csr import CSR, Features
from firesteel.core.layer import Layer
from firesteel.core.layers.arguments import input_dim, input_shape
from firesteel.core.spec import choice, flag, later, number, numbers
from firesteel.core.types import Array, Pull, Shape, Stream, Views, cached_property
from firesteel.errors import ConfigError

__all__ = ["Normalization", "Rescaling", "Standardize"]


def no_gradient(d_y: Array, g: Views, wants_x: bool) -> None:
    """Return None as the input gradient, in backpropagation through a layer on sparse rows."""


class Standardize(Layer):
    """Shift and scale each input by fixed numbers: `y_i = (x_i - mean_i) factor_i`.

    There is one mean and factor per input, or one for all.

    At inference y is clipped to the bounds, if there are any; in training it is not.
    Sparse rows are only multiplied: they reach this layer only if all means are 0.

    Example:
        >>> Standardize((1.0, 0.0), (2.0, 1.0)).apply({}, np.array([[2.0, 2.0]]))[0]
        array([[2., 2.]])
    """

    mean: tuple[float, ...] = field(repr=False)
    factor: tuple[float, ...] = field(repr=False)
    bounds: tuple[float, ...] = field(default=(), repr=False)

    @property
    def random(self) -> bool:  # type: ignore[override]
        """Whether the layer behaves differently in training: with bounds, it clips only at inference."""
        return bool(self.bounds)

    def moved(self, centre: Sequence[float]) -> "Standardize":
        if not centre:
            return self
        each = np.broadcast_to((self.mean, self.factor), (2, len(centre)))
        return Standardize(tuple((each[0] - centre).tolist()), tuple(each[1].tolist()), self.bounds)

    def lowered(self, centre: Sequence[float]) -> "Standardize":
        if not centre:
            return self
        nearer = self.moved((-np.array(centre) / self.factor).tolist())
        return replace(nearer, bounds=tuple(bound - centre[0] for bound in self.bounds))

    def output_shape(self, *inputs: Shape) -> Shape:
        if len(self.mean) not in (1, inputs[0][-1]):
            raise ConfigError(
                f"Normalization has {len(self.mean)} means but reads {inputs[0][-1]} inputs: pass one mean for each",
                code="config-shape",
            )
        return inputs[0]

    @cached_property
    def vectors(self) -> dict[str, tuple[Array, Array]]:
        """Arrays of mean and factor for each dtype name, "float32" and "float64"."""
        return {dtype: (np.array(self.mean, dtype), np.array(self.factor, dtype)) for dtype in ("float32", "float64")}

    def apply(self, p: Views, x: Features, rng: Stream | None = None) -> tuple[Features, Pull]:
        mean, factor = self.vectors[x.dtype.name]
        if isinstance(x, CSR):
            return x.times(factor), no_gradient
        y = x - mean
        y *= factor
        if rng is None and self.bounds:
            np.clip(y, *self.bounds, out=y)
        return y, lambda d_y, g, wants_x: d_y * factor


class Rescaling(Layer):
    """Rescale the inputs: `y = x scale + offset`.

    Use it to map pixels from 0..255 to 0..1 inside the model: `Rescaling(1 / 255)`.  The shape is unchanged.

    Args:
        scale: Factor of the inputs.
        offset: Number added to the scaled inputs.
        input_dim: Number of inputs, if this is the first layer; None infers it from the data.
        input_shape: The same as a shape, `(inputs,)`.
        name: Name of the layer in a model; None lets the model choose one.
        trainable: Without effect: the layer has no weights.

    Raises:
        ConfigError: `scale` or `offset` is not a finite number (`config-value`).

    Example:
        >>> import numpy as np
        >>> from firesteel.layers import Rescaling
        >>> Rescaling(0.5, offset=1.0)(np.array([[2.0, 4.0]]))
        array([[2., 3.]])
    """

    scale: float = number(why="scale is the factor of the inputs")
    offset: float = number(0.0, why="offset is the number added to the scaled inputs")
    input_dim: int | None = choice(None, input_dim)
    input_shape: Shape | None = later(choice(None, input_shape))

    def moved(self, centre: Sequence[float]) -> Layer:
        if not centre or not self.offset or not self.scale:
            return self
        mean = -self.offset / self.scale
        nearer = (mean - c if abs(mean - c) < abs(mean) else mean for c in centre)
        return Standardize(tuple(nearer), (self.scale,) * len(centre))

    def apply(self, p: Views, x: Features, rng: Stream | None = None) -> tuple[Features, Pull]:
        if isinstance(x, CSR):
            return x.times(np.array([self.scale], x.dtype)), no_gradient

        def pull(d_y: Array, g: Views, wants_x: bool) -> Array | None:
            return d_y * d_y.dtype.type(self.scale)

        y = x * x.dtype.type(self.scale)
        if self.offset:
            y += y.dtype.type(self.offset)
        return y, pull


LEAST_DEVIATION = float(np.finfo(np.float32).tiny)
"""Smallest usable standard deviation; smaller ones count as 1."""


class Normalization(Layer):
    """Standardize each input to mean 0 and variance 1: `y_i = (x_i - mean_i) / sqrt(variance_i)`.

    If mean and variance are omitted, `adapt` or the first `fit` computes them from the rows: a first layer from the
    inputs, a last layer with `invert=True` from the targets.  Images and sequences have one mean and variance per
    channel.  Sparse rows are not shifted: their mean is 0, and their variance is the square of each input's largest
    absolute value.  A variance of 0 (a constant input) counts as 1, and so does one below 1e-76, which float32 cannot
    divide by.  (Keras divides by 1e-7 there.)

    Args:
        mean: Mean of each input, or one number for all; None to compute it from the data.
        variance: Variance of each input, or one number for all, at least 0; None to compute it from the data.
        invert: Whether to apply the inverse, `y = x sqrt(variance) + mean`.
        input_dim: Number of inputs, if this is the first layer; None infers it from the data.
        input_shape: The same as a shape, `(inputs,)`.
        bounds: Smallest and largest output at inference; outputs in training are not bounded.  None for no bounds.
        centre: Numbers already subtracted from the inputs (or, with `invert`, the outputs) by the model, which sets
            this argument itself.
        name: Name of the layer in a model; None lets the model choose one.
        trainable: Without effect: the layer has no weights.

    Raises:
        ConfigError: Numbers are not finite or out of range (`config-value`), or mean and variance differ in length
            (`config-shape`).

    Example:
        >>> import numpy as np
        >>> from firesteel.layers import Normalization
        >>> Normalization([1.0, 0.0], [4.0, 1.0])(np.array([[5.0, 2.0]]))
        array([[2., 2.]])
    """

    mean: tuple[float, ...] | None = numbers(None, why="mean is the number subtracted from each input")
    variance: tuple[float, ...] | None = numbers(None, low=0.0, why="inputs are divided by sqrt(variance)")
    invert: bool = flag(False)
    input_dim: int | None = choice(None, input_dim)
    input_shape: Shape | None = later(choice(None, input_shape))
    bounds: tuple[float, ...] | None = later(numbers(None, why="outputs are clipped to these bounds"))
    centre: tuple[float, ...] | None = later(numbers(None, why="centre was subtracted from the data in advance"))

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.bounds is not None and (len(self.bounds) != 2 or self.bounds[0] > self.bounds[1]):
            raise ConfigError(f"{self}: bounds must be two numbers, the smaller one first", code="config-value")
        means, variances = len(self.mean or ()), len(self.variance or ())
        if means != variances:
            raise ConfigError(
                f"Normalization has {means} means but {variances} variances: pass one of each for every input",
                code="config-shape",
            )

    def adapt(self, data: Any) -> None:
        """Set the mean and variance of each input to those of an array of data.

        Args:
            data: Array of shape (rows, inputs), for one mean and variance per column, or of images,
                (rows, height, width, channels), for one per channel.

        Raises:
            ConfigError: `data` is not such an array of finite numbers (`config-value`), or mean and variance are
                already set (`config-built`).

        Example:
            >>> layer = Normalization()
            >>> layer.adapt([[1.0], [3.0]])
            >>> layer.mean, layer.variance
            ((2.0,), (1.0,))
        """
        try:
            rows = np.asarray(data, np.float64)
        except (TypeError, ValueError):
            rows = np.empty(0)
        if rows.ndim < 2 or not rows.size or not np.isfinite(rows).all():
            raise ConfigError(
                "adapt takes an array of finite numbers, (rows, inputs) or (images, height, width, channels); for "
                "a DataFrame, skip adapt: the first fit computes mean and variance from its rows",
                code="config-value",
            )
        rows = rows.reshape(-1, rows.shape[-1])
        if self.mean is not None:
            raise ConfigError(
                "this Normalization already has mean and variance: use a new layer", code="config-built"
            )
        object.__setattr__(self, "mean", tuple(rows.mean(axis=0).tolist()))
        object.__setattr__(self, "variance", tuple(rows.var(axis=0).tolist()))

    def parts(self) -> tuple[Layer, ...]:
        if self.mean is None or self.variance is None:
            return (Standardize((0.0,), (1.0,)),)
        deviation = (d if d > LEAST_DEVIATION else 1.0 for d in map(math.sqrt, self.variance))
        mean, factor = self.mean, tuple(deviation)
        if self.invert:
            mean = tuple(-m / d for m, d in zip(mean, factor, strict=True))
        else:
            factor = tuple(1 / d for d in factor)
        made = Standardize(mean, factor, self.bounds or ())
        return ((made.lowered if self.invert else made.moved)(self.centre or ()),)

"""Layers that bring inputs near 0 and 1 by given numbers, inside the model."""

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


def ended(d_y: Array, g: Views, wants_x: bool) -> None:
    """Be the pull-back of a layer on sparse rows, by which nobody wants a derivative."""


class Standardize(Layer):
    """y_i = (x_i - mean_i) factor_i, with one mean and factor for each input, or one for all.

    In use y lies between the bounds, if there are some; in training it is free.
    Of sparse rows only the non-zeros are multiplied: they enter where all means are 0.

    >>> Standardize((1.0, 0.0), (2.0, 1.0)).apply({}, np.array([[2.0, 2.0]]))[0]
    array([[2., 2.]])
    """

    mean: tuple[float, ...] = field(repr=False)
    factor: tuple[float, ...] = field(repr=False)
    bounds: tuple[float, ...] = field(default=(), repr=False)

    @property
    def random(self) -> bool:  # type: ignore[override]
        """Whether training differs from use."""
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
                f"a normalization has {len(self.mean)} means, and {inputs[0][-1]} values reach it",
                code="config-shape",
            )
        return inputs[0]

    @cached_property
    def vectors(self) -> dict[str, tuple[Array, Array]]:
        """Mean and factor as arrays of each dtype."""
        return {dtype: (np.array(self.mean, dtype), np.array(self.factor, dtype)) for dtype in ("float32", "float64")}

    def apply(self, p: Views, x: Features, rng: Stream | None = None) -> tuple[Features, Pull]:
        mean, factor = self.vectors[x.dtype.name]
        if isinstance(x, CSR):
            return x.times(factor), ended
        y = x - mean
        y *= factor
        if rng is None and self.bounds:
            np.clip(y, *self.bounds, out=y)
        return y, lambda d_y, g, wants_x: d_y * factor


class Rescaling(Layer):
    """Multiplies its inputs by `scale` and adds `offset`: pixels 0..255 become 0..1 inside the model.

    >>> Rescaling(0.5, 1.0).apply({}, np.array([[2.0]]))[0]
    array([[2.]])
    """

    scale: float = number(why="it multiplies the inputs")
    offset: float = number(0.0, why="it is added to the inputs")
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
            return x.times(np.array([self.scale], x.dtype)), ended

        def pull(d_y: Array, g: Views, wants_x: bool) -> Array | None:
            return d_y * d_y.dtype.type(self.scale)

        y = x * x.dtype.type(self.scale)
        if self.offset:
            y += y.dtype.type(self.offset)
        return y, pull


LEAST_DEVIATION = float(np.finfo(np.float32).tiny)
"""What a Normalization divides by must be more than this."""


class Normalization(Layer):
    """Shifts and scales each input to mean 0 and variance 1: (x - mean) / sqrt(variance); or back again.

    mean, variance: one number for each input, or one for all; where none is given, `adapt` or the first `fit` takes
    them from the rows: as the first layer those of the inputs, and with `invert` as the last those of the targets;
    of pictures and sequences those of each channel; from sparse rows, mean 0 and the square of each input's largest
    size.  A variance of 0, of an
    input that never changed, is taken as 1 (Keras divides by 1e-7 there), and so is one below what float32 can divide
    by, of 1e-76.
    invert: x sqrt(variance) + mean.
    bounds: the smallest and the largest output, in use; in training outputs are free.
    centre: what each input, or with `invert` output, is less by, in a network that is no chain and counts from there.
    Raises ConfigError where they are no finite numbers, or of different lengths.

    >>> Normalization([1.0, 0.0], [4.0, 0.0]).parts()[0].factor
    (0.5, 1.0)
    """

    mean: tuple[float, ...] | None = numbers(None, why="it is taken from the inputs")
    variance: tuple[float, ...] | None = numbers(None, low=0.0, why="its root divides the inputs")
    invert: bool = flag(False)
    input_dim: int | None = choice(None, input_dim)
    input_shape: Shape | None = later(choice(None, input_shape))
    bounds: tuple[float, ...] | None = later(numbers(None, why="outputs lie between them"))
    centre: tuple[float, ...] | None = later(numbers(None, why="inputs or outputs are less by it"))

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.bounds is not None and (len(self.bounds) != 2 or self.bounds[0] > self.bounds[1]):
            raise ConfigError(f"{self}: bounds are two numbers, the smaller one first", code="config-value")
        means, variances = len(self.mean or ()), len(self.variance or ())
        if means != variances:
            raise ConfigError(
                f"Normalization has {means} means and {variances} variances: give one each", code="config-shape"
            )

    def adapt(self, data: Any) -> None:
        """Take mean and variance of each column from rows of numbers, (n, I), or of each channel from pictures.

        Raises ConfigError for what is no such array, and where there are mean and variance already.
        """
        try:
            rows = np.asarray(data, np.float64)
        except (TypeError, ValueError):
            rows = np.empty(0)
        if rows.ndim < 2 or not rows.size or not np.isfinite(rows).all():
            raise ConfigError(
                "adapt takes an array of finite numbers, (rows, inputs) or (pictures, height, width, channels); for "
                "a DataFrame leave it out: the first fit takes mean and variance from its rows",
                code="config-value",
            )
        rows = rows.reshape(-1, rows.shape[-1])
        if self.mean is not None:
            raise ConfigError("this Normalization has its mean and variance: make a new one", code="config-built")
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

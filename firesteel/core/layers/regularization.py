"""Layers that make training harder and leave use alone: dropout and noise, from counted random streams."""

import math
from typing import Any, Self

import numpy as np

from firesteel.core.faster import faster
from firesteel.core.layer import Layer
from firesteel.core.layers.arguments import input_dim, input_shape
from firesteel.core.layers.windows import channels_last, check_axes
from firesteel.core.seeds import CACHED
from firesteel.core.spec import choice, later, number
from firesteel.core.types import Array, Pull, Shape, Stream, Views
from firesteel.errors import ConfigError

__all__ = ["AlphaDropout", "Dropout", "GaussianDropout", "GaussianNoise", "SpatialDropout2D"]


ABSENT = {
    "noise_shape": "each value has a mask of its own",
    "seed": "what a layer draws follows from fit(seed=...), its place in the model, the epoch and the step",
}
"""Keras's arguments that are not there, and why."""


class _Drawn(Layer):
    """Base of the layers that draw random numbers while training."""

    random = True

    def __new__(cls, *args: Any, **given: Any) -> Self:
        for name in ABSENT.keys() & given.keys():
            raise ConfigError(f"{cls.__name__} has no argument {name!r}: {ABSENT[name]}", code="config-argument")
        return super().__new__(cls, *args, **given)


class Dropout(_Drawn):
    """Drops a fraction `rate` of its inputs at random while training, and scales up the rest.

    In training y = x m / (1 - rate) with m_i = 0 at probability `rate`, else 1; in use y = x.

    >>> Dropout(0.5).apply({}, np.array([[1.0, 2.0]]))[0]
    array([[1., 2.]])

    Source: Srivastava et al. 2014, in the "inverted" form that scales while training.
    """

    rate: float = number(low=0.0, below=1.0, why="it is the fraction of units to drop")
    input_dim: int | None = choice(None, input_dim)
    input_shape: Shape | None = later(choice(None, input_shape))

    def apply(self, p: Views, x: Array, rng: Stream | None = None) -> tuple[Array, Pull]:
        if rng is None or self.rate == 0.0:
            return x, lambda d_y, g, wants_x: d_y
        m = self.mask(rng, x.shape, x.dtype)

        def pull(d_y: Array, g: Views, wants_x: bool) -> Array | None:
            return d_y * m

        return x * m, pull

    def mask(self, rng: Stream, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
        """Return m / (1 - rate): element i is dropped where its 32 bits are below rate 2^32, in every dtype alike."""
        m, least = np.empty(math.prod(shape), dtype), min(round(self.rate * 2**32), 2**32 - 1)
        kept = dtype.type(1.0 / (1.0 - self.rate))
        if fast := faster("mask", m.size):
            fast(np.uint64(rng.key), np.uint64(least), kept, m)
            return m.reshape(shape)
        for first in range(0, m.size, CACHED):
            part = m[first : first + CACHED]
            np.multiply(rng.halves(len(part), first) >= np.uint32(least), kept, out=part)
        return m.reshape(shape)


class SpatialDropout2D(_Drawn):
    """Drops a fraction `rate` of the channels of each picture at random while training, and scales up the rest.

    Neighbouring pixels say much the same, so that `Dropout` of single ones leaves a channel nearly as it is.
    In training y_ijc = x_ijc m_c / (1 - rate) with m_c = 0 at probability `rate`, else 1; in use y = x.

    Args:
        rate: The fraction of channels to drop.
        data_format: None or "channels_last"; there is no other.

    >>> SpatialDropout2D(0.5).apply({}, np.ones((1, 1, 2, 1)))[0].ravel()
    array([1., 1.])

    Source: Tompson et al. 2015, section 3.2.
    """

    rate: float = number(low=0.0, below=1.0, why="it is the fraction of channels to drop")
    data_format: str | None = channels_last()

    def output_shape(self, *inputs: Shape) -> Shape:
        check_axes("SpatialDropout2D", inputs[0])
        return inputs[0]

    def apply(self, p: Views, x: Array, rng: Stream | None = None) -> tuple[Array, Pull]:
        if rng is None or self.rate == 0.0:
            return x, lambda d_y, g, wants_x: d_y
        m = Dropout(self.rate).mask(rng, (len(x), 1, 1, x.shape[3]), x.dtype)
        return x * m, lambda d_y, g, wants_x: d_y * m


class GaussianNoise(_Drawn):
    """Adds noise to its inputs while training: y = x + n with n_i drawn from N(0, stddev^2); in use y = x.

    >>> GaussianNoise(0.5).apply({}, np.array([[1.0, 2.0]]))[0]
    array([[1., 2.]])

    Source: Bishop 1995, "Training with noise is equivalent to Tikhonov regularization".
    """

    stddev: float = number(low=0.0, why="it is the standard deviation of the noise")
    input_dim: int | None = choice(None, input_dim)
    input_shape: Shape | None = later(choice(None, input_shape))

    def apply(self, p: Views, x: Array, rng: Stream | None = None) -> tuple[Array, Pull]:
        if rng is not None and self.stddev:
            noise = rng.normal(x.shape).astype(x.dtype, copy=False)
            noise *= x.dtype.type(self.stddev)
            noise += x
            x = noise
        return x, lambda d_y, g, wants_x: d_y


class GaussianDropout(_Drawn):
    """Multiplies its inputs by noise while training, whose spread is that of `Dropout`; in use y = x.

    In training y = x n with n_i drawn from N(1, rate / (1 - rate)).

    Args:
        rate: As in `Dropout`; the standard deviation of the noise is sqrt(rate / (1 - rate)).

    >>> GaussianDropout(0.5).apply({}, np.array([[1.0, 2.0]]))[0]
    array([[1., 2.]])

    Source: Srivastava et al. 2014, section 10.
    """

    rate: float = number(low=0.0, below=1.0, why="the noise is as large as dropping this fraction of units")
    input_dim: int | None = choice(None, input_dim)
    input_shape: Shape | None = later(choice(None, input_shape))

    def apply(self, p: Views, x: Array, rng: Stream | None = None) -> tuple[Array, Pull]:
        if rng is None or self.rate == 0.0:
            return x, lambda d_y, g, wants_x: d_y
        n = rng.normal(x.shape).astype(x.dtype, copy=False)
        n *= x.dtype.type(math.sqrt(self.rate / (1 - self.rate)))
        n += x.dtype.type(1)
        return x * n, lambda d_y, g, wants_x: d_y * n


LOWEST = -1.7580993408473766
"""What "selu" tends to far below 0: what `AlphaDropout` puts in place of what it drops."""


class AlphaDropout(_Drawn):
    """Drops a fraction `rate` of its inputs at random while training, and leaves mean 0 and variance 1 as they are.

    In training y = a (x m + c (1 - m)) + b with m_i = 0 at probability `rate`, else 1, c = -1.7581, to which "selu"
    tends far below 0, a = 1 / sqrt((1 - rate) (1 + rate c^2)) and b = -a c rate; in use y = x.

    Args:
        rate: The fraction of its inputs that is dropped.

    >>> AlphaDropout(0.5).apply({}, np.array([[1.0, 2.0]]))[0]
    array([[1., 2.]])

    Source: Klambauer et al. 2017, section "New dropout technique".
    """

    rate: float = number(low=0.0, below=1.0, why="it is the fraction of units to drop")
    input_dim: int | None = choice(None, input_dim)
    input_shape: Shape | None = later(choice(None, input_shape))

    def apply(self, p: Views, x: Array, rng: Stream | None = None) -> tuple[Array, Pull]:
        if rng is None or self.rate == 0.0:
            return x, lambda d_y, g, wants_x: d_y
        kept, number = Dropout(self.rate).mask(rng, x.shape, x.dtype) > 0, x.dtype.type
        a = 1 / math.sqrt((1 - self.rate) * (1 + self.rate * LOWEST**2))
        b = -a * LOWEST * self.rate
        y = np.where(kept, x * number(a) + number(b), number(a * LOWEST + b))
        return y, lambda d_y, g, wants_x: d_y * np.where(kept, number(a), number(0))

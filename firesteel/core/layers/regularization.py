"""Dropout and noise layers: random in training, the identity at inference."""

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


UNSUPPORTED = {
    "noise_shape": "leave it out, because each value is dropped independently",
    "seed": "leave it out, because random numbers follow from fit(seed=...), layer, epoch and step",
}
"""Keras arguments that these layers do not have, and why."""


class _RandomLayer(Layer):
    """Base class of layers that draw random numbers in training."""

    random = True

    def __new__(cls, *args: Any, **given: Any) -> Self:
        for name in UNSUPPORTED.keys() & given.keys():
            raise ConfigError(f"{cls.__name__} has no argument {name!r}: {UNSUPPORTED[name]}", code="config-argument")
        return super().__new__(cls, *args, **given)


class Dropout(_RandomLayer):
    """Dropout: set a random fraction of the inputs to 0 and scale up the others.

    Training: `y_i = x_i m_i / (1 - rate)`, where `m_i` is 0 with probability `rate` and 1 otherwise.
    Inference: `y = x`.  The shape is unchanged.

    Args:
        rate: Fraction of inputs to drop, 0 <= rate < 1.
        input_dim: Number of inputs, if this is the first layer; None infers it from the data.
        input_shape: The same as a shape, `(inputs,)`.
        name: Name of the layer in a model; None lets the model choose one.
        trainable: Without effect: the layer has no weights.

    Raises:
        ConfigError: `rate` is out of range (`config-value`), or `seed` or `noise_shape` was passed
            (`config-argument`): random numbers follow from `fit(seed=...)`.

    Example:
        >>> import numpy as np
        >>> from firesteel.layers import Dropout
        >>> Dropout(0.5)(np.array([[1.0, 2.0]]))  # at inference nothing is dropped
        array([[1., 2.]])

    Source: Srivastava et al. 2014, in the "inverted" variant, which scales in training.
    """

    rate: float = number(low=0.0, below=1.0, why="rate is the fraction of units to drop")
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
        """Draw a dropout mask: each element is 0 with probability `rate`, and 1 / (1 - rate) otherwise.

        An element is 0 if its 32 random bits are below rate 2^32, in every dtype.
        """
        m, least = np.empty(math.prod(shape), dtype), min(round(self.rate * 2**32), 2**32 - 1)
        scale = dtype.type(1.0 / (1.0 - self.rate))
        if fast := faster("mask", m.size):
            fast(np.uint64(rng.key), np.uint64(least), scale, m)
            return m.reshape(shape)
        for first in range(0, m.size, CACHED):
            part = m[first : first + CACHED]
            np.multiply(rng.halves(len(part), first) >= np.uint32(least), scale, out=part)
        return m.reshape(shape)


class SpatialDropout2D(_RandomLayer):
    """Spatial dropout: set a random fraction of each image's channels to 0 and scale up the others.

    Neighboring pixels are correlated, so dropping single pixels regularizes little; this layer drops whole channels.
    Training: `y_ijc = x_ijc m_c / (1 - rate)`, where `m_c` is 0 with probability `rate` and 1 otherwise.
    Inference: `y = x`.  Input and output shape (B, H, W, C).

    Args:
        rate: Fraction of channels to drop, 0 <= rate < 1.
        data_format: None or `"channels_last"`, the only supported layout.
        name: Name of the layer in a model; None lets the model choose one.
        trainable: Without effect: the layer has no weights.

    Raises:
        ConfigError: `rate` is out of range (`config-value`), or the inputs are not images (`config-shape`).

    Example:
        >>> import numpy as np
        >>> from firesteel.layers import SpatialDropout2D
        >>> SpatialDropout2D(0.5)(np.ones((1, 1, 2, 1))).ravel()  # at inference nothing is dropped
        array([1., 1.])

    Source: Tompson et al. 2015, section 3.2.
    """

    rate: float = number(low=0.0, below=1.0, why="rate is the fraction of channels to drop")
    data_format: str | None = channels_last()

    def output_shape(self, *inputs: Shape) -> Shape:
        check_axes("SpatialDropout2D", inputs[0])
        return inputs[0]

    def apply(self, p: Views, x: Array, rng: Stream | None = None) -> tuple[Array, Pull]:
        if rng is None or self.rate == 0.0:
            return x, lambda d_y, g, wants_x: d_y
        m = Dropout(self.rate).mask(rng, (len(x), 1, 1, x.shape[3]), x.dtype)
        return x * m, lambda d_y, g, wants_x: d_y * m


class GaussianNoise(_RandomLayer):
    """Additive Gaussian noise in training; the identity at inference.

    Training: `y = x + n` with each `n_i` drawn from N(0, stddev^2).  Inference: `y = x`.  The shape is unchanged.

    Args:
        stddev: Standard deviation of the noise, at least 0.
        input_dim: Number of inputs, if this is the first layer; None infers it from the data.
        input_shape: The same as a shape, `(inputs,)`.
        name: Name of the layer in a model; None lets the model choose one.
        trainable: Without effect: the layer has no weights.

    Raises:
        ConfigError: `stddev` is negative (`config-value`), or `seed` was passed (`config-argument`).

    Example:
        >>> import numpy as np
        >>> from firesteel.layers import GaussianNoise
        >>> GaussianNoise(0.5)(np.array([[1.0, 2.0]]))  # at inference no noise is added
        array([[1., 2.]])

    Source: Bishop 1995, "Training with noise is equivalent to Tikhonov regularization".
    """

    stddev: float = number(low=0.0, why="stddev is the standard deviation of the noise")
    input_dim: int | None = choice(None, input_dim)
    input_shape: Shape | None = later(choice(None, input_shape))

    def apply(self, p: Views, x: Array, rng: Stream | None = None) -> tuple[Array, Pull]:
        if rng is not None and self.stddev:
            noise = rng.normal(x.shape).astype(x.dtype, copy=False)
            noise *= x.dtype.type(self.stddev)
            noise += x
            x = noise
        return x, lambda d_y, g, wants_x: d_y


class GaussianDropout(_RandomLayer):
    """Gaussian dropout: multiply the inputs by random noise with mean 1 and the variance of dropout.

    Training: `y = x n` with each `n_i` drawn from N(1, rate / (1 - rate)).  Inference: `y = x`.  The shape is
    unchanged.

    Args:
        rate: Fraction whose dropping has the same variance, 0 <= rate < 1; the noise has the standard deviation
            `sqrt(rate / (1 - rate))`.
        input_dim: Number of inputs, if this is the first layer; None infers it from the data.
        input_shape: The same as a shape, `(inputs,)`.
        name: Name of the layer in a model; None lets the model choose one.
        trainable: Without effect: the layer has no weights.

    Raises:
        ConfigError: `rate` is out of range (`config-value`), or `seed` was passed (`config-argument`).

    Example:
        >>> import numpy as np
        >>> from firesteel.layers import GaussianDropout
        >>> GaussianDropout(0.5)(np.array([[1.0, 2.0]]))  # at inference no noise is applied
        array([[1., 2.]])

    Source: Srivastava et al. 2014, section 10.
    """

    rate: float = number(low=0.0, below=1.0, why="the noise has the variance of dropout with this rate")
    input_dim: int | None = choice(None, input_dim)
    input_shape: Shape | None = later(choice(None, input_shape))

    def apply(self, p: Views, x: Array, rng: Stream | None = None) -> tuple[Array, Pull]:
        if rng is None or self.rate == 0.0:
            return x, lambda d_y, g, wants_x: d_y
        n = rng.normal(x.shape).astype(x.dtype, copy=False)
        n *= x.dtype.type(math.sqrt(self.rate / (1 - self.rate)))
        n += x.dtype.type(1)
        return x * n, lambda d_y, g, wants_x: d_y * n


SELU_LIMIT = -1.7580993408473766
"""The limit of "selu" for x to minus infinity; `AlphaDropout` assigns it to the dropped inputs."""


class AlphaDropout(_RandomLayer):
    """Alpha dropout for networks with "selu": drop inputs and preserve mean 0 and variance 1.

    Training: `y = a (x m + c (1 - m)) + b`, where `m_i` is 0 with probability `rate` and 1 otherwise, `c = -1.7581`
    is the limit of "selu" for large negative x, `a = 1 / sqrt((1 - rate) (1 + rate c^2))` and `b = -a c rate`.
    Inference: `y = x`.  The shape is unchanged.

    Args:
        rate: Fraction of inputs to drop, 0 <= rate < 1.
        input_dim: Number of inputs, if this is the first layer; None infers it from the data.
        input_shape: The same as a shape, `(inputs,)`.
        name: Name of the layer in a model; None lets the model choose one.
        trainable: Without effect: the layer has no weights.

    Raises:
        ConfigError: `rate` is out of range (`config-value`), or `seed` or `noise_shape` was passed
            (`config-argument`).

    Example:
        >>> import numpy as np
        >>> from firesteel.layers import AlphaDropout
        >>> AlphaDropout(0.5)(np.array([[1.0, 2.0]]))  # at inference nothing is dropped
        array([[1., 2.]])

    Source: Klambauer et al. 2017, section "New dropout technique".
    """

    rate: float = number(low=0.0, below=1.0, why="rate is the fraction of units to drop")
    input_dim: int | None = choice(None, input_dim)
    input_shape: Shape | None = later(choice(None, input_shape))

    def apply(self, p: Views, x: Array, rng: Stream | None = None) -> tuple[Array, Pull]:
        if rng is None or self.rate == 0.0:
            return x, lambda d_y, g, wants_x: d_y
        kept, number = Dropout(self.rate).mask(rng, x.shape, x.dtype) > 0, x.dtype.type
        a = 1 / math.sqrt((1 - self.rate) * (1 + self.rate * SELU_LIMIT**2))
        b = -a * SELU_LIMIT * self.rate
        y = np.where(kept, x * number(a) + number(b), number(a * SELU_LIMIT + b))
        return y, lambda d_y, g, wants_x: d_y * np.where(kept, number(a), number(0))

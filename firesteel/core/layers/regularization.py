"""Layers that make training harder and leave use alone: dropout and noise, from counted random streams."""

import math
from typing import Any

import numpy as np

from firesteel.core.faster import faster
from firesteel.core.layer import Layer, input_dim
from firesteel.core.seeds import CACHED
from firesteel.core.spec import choice, number
from firesteel.core.types import Array, Pull, Stream, Views

__all__ = ["Dropout", "GaussianNoise"]


class Dropout(Layer):
    """Drops a fraction `rate` of its inputs at random while training, and scales up the rest.

    In training y = x m / (1 - rate) with m_i = 0 at probability `rate`, else 1; in use y = x.

    >>> Dropout(0.5).apply({}, np.array([[1.0, 2.0]]))[0]
    array([[1., 2.]])

    Source: Srivastava et al. 2014, in the "inverted" form that scales while training.
    """

    random = True
    rate: float = number(low=0.0, below=1.0, why="it is the fraction of units to drop")
    input_dim: int | None = choice(None, input_dim)

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


class GaussianNoise(Layer):
    """Adds noise to its inputs while training: y = x + n with n_i drawn from N(0, stddev^2); in use y = x.

    >>> GaussianNoise(0.5).apply({}, np.array([[1.0, 2.0]]))[0]
    array([[1., 2.]])

    Source: Bishop 1995, "Training with noise is equivalent to Tikhonov regularization".
    """

    random = True
    stddev: float = number(low=0.0, why="it is the standard deviation of the noise")
    input_dim: int | None = choice(None, input_dim)

    def apply(self, p: Views, x: Array, rng: Stream | None = None) -> tuple[Array, Pull]:
        if rng is not None and self.stddev:
            noise = rng.normal(x.shape).astype(x.dtype, copy=False)
            noise *= x.dtype.type(self.stddev)
            noise += x
            x = noise
        return x, lambda d_y, g, wants_x: d_y

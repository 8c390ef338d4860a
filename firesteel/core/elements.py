"""Ops on each number by itself: scaled by given numbers, dropped, with noise.  `layers.py` has the user's words."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from firesteel.core.kernels import compiled
from firesteel.core.loops import mask
from firesteel.core.ops import Op
from firesteel.core.seeds import CACHED
from firesteel.core.types import Array, Pull, Stream, Views, cached_property
from firesteel.errors import ConfigError

__all__ = ["Drop", "Noise", "Scale", "Standardize"]


@dataclass(frozen=True)
class Scale(Op):
    """y = scale x + offset.

    >>> Scale(0.5, 1.0).apply({}, np.array([[2.0]]), None)[0]
    array([[2.]])
    """

    scale: float
    offset: float

    def moved(self, centre: Sequence[float]) -> Op:
        if not centre or not self.offset or not self.scale:
            return self
        mean = -self.offset / self.scale
        nearer = (mean - c if abs(mean - c) < abs(mean) else mean for c in centre)
        return Standardize(tuple(nearer), (self.scale,) * len(centre))

    def apply(self, p: Views, x: Array, rng: Stream | None) -> tuple[Array, Pull]:
        def pull(d_y: Array, g: Views, wants_x: bool) -> Array | None:
            return d_y * d_y.dtype.type(self.scale)

        y = x * x.dtype.type(self.scale)
        if self.offset:
            y += y.dtype.type(self.offset)
        return y, pull


@dataclass(frozen=True)
class Standardize(Op):
    """y_i = (x_i - mean_i) factor_i, with one mean and factor for each input, or one for all.

    >>> Standardize((1.0, 0.0), (2.0, 1.0)).apply({}, np.array([[2.0, 2.0]]), None)[0]
    array([[2., 2.]])
    """

    mean: tuple[float, ...] = field(repr=False)
    factor: tuple[float, ...] = field(repr=False)

    def moved(self, centre: Sequence[float]) -> "Standardize":
        if not centre:
            return self
        each = np.broadcast_to((self.mean, self.factor), (2, len(centre)))
        return Standardize(tuple((each[0] - centre).tolist()), tuple(each[1].tolist()))

    def lowered(self, centre: Sequence[float]) -> "Standardize":
        return self.moved((-np.array(centre) / self.factor).tolist()) if centre else self

    def outputs(self, inputs: int) -> int:
        if len(self.mean) not in (1, inputs):
            raise ConfigError(
                f"a normalization has {len(self.mean)} means, and {inputs} values reach it", code="config-shape"
            )
        return inputs

    @cached_property
    def vectors(self) -> dict[str, tuple[Array, Array]]:
        """Mean and factor as arrays of each dtype."""
        return {dtype: (np.array(self.mean, dtype), np.array(self.factor, dtype)) for dtype in ("float32", "float64")}

    def apply(self, p: Views, x: Array, rng: Stream | None) -> tuple[Array, Pull]:
        mean, factor = self.vectors[x.dtype.name]
        y = x - mean
        y *= factor
        return y, lambda d_y, g, wants_x: d_y * factor


@dataclass(frozen=True)
class Drop(Op):
    """In training y = x m / (1 - rate) with m_i = 0 at probability `rate`, else 1; in use y = x.

    >>> Drop(0.5).apply({}, np.array([[1.0, 2.0]]), None)[0]
    array([[1., 2.]])

    Source: Srivastava et al. 2014, in the "inverted" form that scales while training.
    """

    random = True
    rate: float

    def apply(self, p: Views, x: Array, rng: Stream | None) -> tuple[Array, Pull]:
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
        if fast := compiled(mask, m.size):
            fast(np.uint64(rng.key), np.uint64(least), kept, m)
            return m.reshape(shape)
        for first in range(0, m.size, CACHED):
            part = m[first : first + CACHED]
            np.multiply(rng.halves(len(part), first) >= np.uint32(least), kept, out=part)
        return m.reshape(shape)


@dataclass(frozen=True)
class Noise(Op):
    """In training y = x + n with n_i drawn from N(0, stddev^2); in use y = x.

    >>> Noise(0.5).apply({}, np.array([[1.0, 2.0]]), None)[0]
    array([[1., 2.]])
    """

    random = True
    stddev: float

    def apply(self, p: Views, x: Array, rng: Stream | None) -> tuple[Array, Pull]:
        if rng is not None and self.stddev:
            noise = rng.normal(x.shape).astype(x.dtype, copy=False)
            noise *= x.dtype.type(self.stddev)
            noise += x
            x = noise
        return x, lambda d_y, g, wants_x: d_y

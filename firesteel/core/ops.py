"""The mathematician's words: what a network computes, each op on one screen, in order of difficulty.

An op's `apply` returns its output and its own pull-back, a function that holds what the backward pass needs; so
nothing is cached on an object and nothing can be called in the wrong order.  `activations.py` goes on with the
curves between layers, `layers.py` turns the user's words into both.  Shapes: B rows, I inputs, O outputs.
"""

import functools
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from firesteel.core import initializers
from firesteel.core.constraints import Constraint
from firesteel.core.initializers import Initializer
from firesteel.core.kernels import compiled, mask
from firesteel.core.layout import read_only
from firesteel.core.regularizers import Regularizer
from firesteel.core.types import Array, Pull, Stream, Views
from firesteel.errors import ConfigError

__all__ = ["Affine", "Drop", "Noise", "Op", "Scale", "Standardize"]


class Op:
    """Base of ops: elementwise, without parameters and not random unless it says otherwise."""

    random: ClassVar[bool] = False
    """Whether training differs from use, where `apply` is given no stream."""
    statistics: ClassVar[tuple[str, ...]] = ()
    """Parameters that are running averages: in training a pull-back writes there what was met, and no gradient."""
    span: ClassVar[int] = 1
    """How many of a network's ops this one stands for."""

    def shapes(self, inputs: int) -> dict[str, tuple[int, ...]]:
        """Return the shapes of the parameters, given the number of inputs."""
        return {}

    def outputs(self, inputs: int) -> int:
        """Return the number of outputs, given the number of inputs."""
        return inputs

    def init(self, name: str) -> Initializer:
        """Return how the parameter `name` is drawn."""
        raise KeyError(name)

    def regularizer(self, name: str) -> Regularizer | None:
        """Return the price of the parameter `name`, if it has one."""
        return None

    def constraint(self, name: str) -> Constraint | None:
        """Return what the parameter `name` must satisfy, if anything."""
        return None

    def apply(self, p: Views, x: Array, rng: Stream | None) -> tuple[Array, Pull]:
        """Return y and its pull-back.  x: (B, I), y: (B, O); rng is None where nothing may be random.

        pull(d_y, g, wants_x) writes the derivative of the loss by the parameters into the views `g`, all of them,
        and returns the derivative by x if `wants_x` (the first op with parameters need not).
        It may overwrite d_y.
        """
        raise NotImplementedError


@dataclass(frozen=True)
class Scale(Op):
    """y = scale x + offset.

    >>> Scale(0.5, 1.0).apply({}, np.array([[2.0]]), None)[0]
    array([[2.]])
    """

    scale: float
    offset: float

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

    def outputs(self, inputs: int) -> int:
        if len(self.mean) not in (1, inputs):
            raise ConfigError(
                f"a normalization has {len(self.mean)} means, and {inputs} values reach it", code="config-shape"
            )
        return inputs

    @functools.cached_property
    def vectors(self) -> dict[str, tuple[Array, Array]]:
        """Mean and factor as arrays of each dtype."""
        return {dtype: (np.array(self.mean, dtype), np.array(self.factor, dtype)) for dtype in ("float32", "float64")}

    def apply(self, p: Views, x: Array, rng: Stream | None) -> tuple[Array, Pull]:
        mean, factor = self.vectors[x.dtype.name]
        y = x - mean
        y *= factor
        return y, lambda d_y, g, wants_x: d_y * factor


@functools.lru_cache(maxsize=64)
def ones(count: int, dtype: np.dtype[Any]) -> Array:
    """Return a vector of ones that is made once: the products with it are the fastest sums of short rows."""
    return read_only(np.ones(count, dtype))


@functools.lru_cache(maxsize=64)
def row_starts(rows: int, columns: int) -> npt.NDArray[np.intp]:
    """Return where each row begins in the flattened matrix."""
    return read_only(np.arange(0, rows * columns, columns, dtype=np.intp))


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
        m, least = np.empty(shape, dtype), min(round(self.rate * 2**32), 2**32 - 1)
        kept = dtype.type(1.0 / (1.0 - self.rate))
        if fast := compiled(mask, m.size):
            fast(np.uint64(rng.key), np.uint64(least), kept, m.reshape(-1))
            return m
        return np.multiply(rng.halves(m.size).reshape(shape) >= np.uint32(least), kept, out=m)


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
            x = x + rng.normal(x.shape).astype(x.dtype) * x.dtype.type(self.stddev)
        return x, lambda d_y, g, wants_x: d_y


@dataclass(frozen=True)
class Affine(Op):
    """y = x w + b.    x: (B, I)   w: (I, O)   b: (O,)   y: (B, O)

    >>> Affine(1).apply({"w": np.array([[2.0]]), "b": np.array([1.0])}, np.array([[3.0]]), None)[0]
    array([[7.]])
    """

    units: int
    use_bias: bool = True
    kernel_initializer: Initializer = initializers.GlorotUniform()
    bias_initializer: Initializer = initializers.Zeros()
    kernel_regularizer: Regularizer | None = None
    bias_regularizer: Regularizer | None = None
    kernel_constraint: Constraint | None = None
    bias_constraint: Constraint | None = None

    def shapes(self, inputs: int) -> dict[str, tuple[int, ...]]:
        kernel: dict[str, tuple[int, ...]] = {"w": (inputs, self.units)}
        return kernel | ({"b": (self.units,)} if self.use_bias else {})

    def outputs(self, inputs: int) -> int:
        return self.units

    def init(self, name: str) -> Initializer:
        return self.kernel_initializer if name == "w" else self.bias_initializer

    def regularizer(self, name: str) -> Regularizer | None:
        return self.kernel_regularizer if name == "w" else self.bias_regularizer

    def constraint(self, name: str) -> Constraint | None:
        return self.kernel_constraint if name == "w" else self.bias_constraint

    def apply(self, p: Views, x: Array, rng: Stream | None) -> tuple[Array, Pull]:
        def pull(d_y: Array, g: Views, wants_x: bool) -> Array | None:
            np.dot(x.T, d_y, out=g["w"])
            if self.use_bias:
                np.dot(ones(len(d_y), d_y.dtype), d_y, out=g["b"])  # the sum over rows, by BLAS
            return np.dot(d_y, p["w"].T) if wants_x else None

        y = np.dot(x, p["w"])
        if self.use_bias:
            y += p["b"]
        return y, pull

"""The mathematician's words: what a network computes, each op on one screen, in order of difficulty.

An op's `apply` returns its output and its own pull-back, a function that holds what the backward pass needs; so
nothing is cached on an object and nothing can be called in the wrong order.  `activations.py` goes on with the
curves between layers, `layers.py` turns the user's words into both.  Shapes: B rows, I inputs, O outputs.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from firesteel.core import initializers
from firesteel.core.constraints import Constraint
from firesteel.core.initializers import Initializer
from firesteel.core.layout import read_only
from firesteel.core.regularizers import Regularizer
from firesteel.core.types import Array, Pull, Stream, Views

__all__ = ["Affine", "Op"]


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

    def moved(self, centre: Sequence[float]) -> "Op":
        """Return the op for inputs less a centre; the same one where it knows nothing of where they lie."""
        return self

    def lowered(self, centre: Sequence[float]) -> "Op":
        """Return the op for outputs less a centre; the same one where it learns where they lie."""
        return self

    def apply(self, p: Views, x: Array, rng: Stream | None) -> tuple[Array, Pull]:
        """Return y and its pull-back.  x: (B, I), y: (B, O); rng is None where nothing may be random.

        pull(d_y, g, wants_x) writes the derivative of the loss by the parameters into the views `g`, all of them,
        and returns the derivative by x if `wants_x` (the first op with parameters need not).
        It may overwrite d_y.
        """
        raise NotImplementedError


@functools.lru_cache(maxsize=64)
def ones(count: int, dtype: np.dtype[Any]) -> Array:
    """Return a vector of ones that is made once: the products with it are the fastest sums of short rows."""
    return read_only(np.ones(count, dtype))


@functools.lru_cache(maxsize=64)
def row_starts(rows: int, columns: int) -> npt.NDArray[np.intp]:
    """Return where each row begins in the flattened matrix."""
    return read_only(np.arange(0, rows * columns, columns, dtype=np.intp))


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

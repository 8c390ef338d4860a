"""Regularisers: a price on the size of weights, its value and its derivative together.

The price belongs to the parameters and not to the rows, so it is added once an update: in each step of a shard that
trains on its own, on the driver where it takes the step.  `network.py` says which arrays have one.
"""

from typing import Any, ClassVar

import numpy as np

from firesteel.core.spec import Spec, number, resolver, word
from firesteel.core.types import Array
from firesteel.errors import ConfigError

__all__ = ["L1", "L1L2", "L2", "OrthogonalRegularizer", "Regularizer"]

EPSILON = 1e-7
"""Keeps the division by a length finite, as in Keras."""


class Regularizer(Spec):
    """Base of regularisers.

    joint: whether the penalty of a row of weights depends on other rows.
    """

    joint: ClassVar[bool] = False

    def check(self, shape: tuple[int, ...]) -> None:
        """Raise ConfigError for weights of a shape that it has no penalty for."""

    def add(self, w: Array, g: Array | None) -> float:
        """Return the price of the weights w, of any shape, and add its derivative into g unless that is None."""
        raise NotImplementedError

    def __call__(self, w: Any) -> float:
        """Return the penalty on the weights w.  Raises ConfigError for what is no array of numbers.

        >>> L2(0.5)([2.0, -1.0])
        2.5
        """
        try:
            return self.add(np.array(w, np.float64), None)
        except (TypeError, ValueError) as error:
            raise ConfigError(f"{self}: weights are an array of numbers: {error}", code="config-value") from None


class L1L2(Regularizer):
    """l1 sum |w| + l2 sum w^2, as Keras; the derivative is l1 sign(w) + 2 l2 w, taken as 0 for |w| at 0.

    l1, l2: the price of a unit, 0 or more.  Raises ConfigError for anything else.

    >>> L1L2(l1=0.5, l2=1.0).add(np.array([2.0, -1.0]), None)
    6.5

    Source: Tibshirani 1996 (l1), Hoerl and Kennard 1970 (l2).
    """

    l1: float = number(0.0, low=0.0, why="it is the price of a unit of |w|")
    l2: float = number(0.0, low=0.0, why="it is the price of a unit of w^2")

    def add(self, w: Array, g: Array | None) -> float:
        if g is not None and self.l1:
            g += np.sign(w) * w.dtype.type(self.l1)
        if g is not None and self.l2:
            g += w * w.dtype.type(2 * self.l2)
        flat = w.reshape(-1).astype(np.float64)
        return float(self.l1 * np.abs(flat).sum() + self.l2 * (flat * flat).sum())


class L1(Regularizer):
    """l1 sum |w|: L1L2 without its second half.

    >>> L1(0.5).add(np.array([2.0, -1.0]), None)
    1.5
    """

    l1: float = number(0.01, low=0.0, why="it is the price of a unit of |w|")

    def add(self, w: Array, g: Array | None) -> float:
        return L1L2(l1=self.l1).add(w, g)


class L2(Regularizer):
    """l2 sum w^2: L1L2 without its first half.

    >>> L2(0.5).add(np.array([2.0, -1.0]), None)
    2.5
    """

    l2: float = number(0.01, low=0.0, why="it is the price of a unit of w^2")

    def add(self, w: Array, g: Array | None) -> float:
        return L1L2(l2=self.l2).add(w, g)


class OrthogonalRegularizer(Regularizer):
    """factor / (n (n - 1)) sum over rows i != j of |u_i u_j|, with u_i = w_i / max(|w_i|, 1e-7) and n rows, as Keras.

    The derivative by w_i is (d_i - (d_i u_i) u_i) / |w_i| with d_i = 2 factor / (n (n - 1)) sum_j sign(u_i u_j) u_j;
    of a row shorter than 1e-7 it is d_i / 1e-7.  A single row has no penalty.

    factor: the penalty of rows of one direction.  mode: "rows" or "columns": which are to be at right angles.
    Raises ConfigError, when the network is built, for weights that are no matrix.

    >>> OrthogonalRegularizer(1.0).add(np.array([[1.0, 1.0], [0.0, 2.0]]), None)
    0.7071067811865475
    """

    joint = True

    factor: float = number(0.01, low=0.0, why="it is the penalty of rows of one direction")
    mode: str = word("rows", "columns")

    def check(self, shape: tuple[int, ...]) -> None:
        if len(shape) != 2:
            raise ConfigError(
                f"{self} is for matrices, and these weights have shape {shape}: give them another regularizer",
                code="config-shape",
            )

    def add(self, w: Array, g: Array | None) -> float:
        self.check(w.shape)
        x = (w if self.mode == "rows" else w.T).astype(np.float64)
        length = np.sqrt(np.square(x).sum(axis=1, keepdims=True))
        u = x / np.maximum(length, EPSILON)
        products = np.einsum("ik,jk->ij", u, u)  # without BLAS, whose number of threads would decide the last bits
        np.fill_diagonal(products, 0)
        share = self.factor / max(len(x) * (len(x) - 1), 1)
        if g is not None:
            d = np.einsum("ij,jk->ik", np.sign(products), u) * (2 * share)
            along = np.where(length > EPSILON, (d * u).sum(axis=1, keepdims=True), 0.0)
            d = (d - along * u) / np.maximum(length, EPSILON)
            g += (d if self.mode == "rows" else d.T).astype(g.dtype)
        return float(share * np.abs(products).sum())


REGULARIZERS: dict[str, Spec] = {
    "l1": L1(),
    "l1_l2": L1L2(l1=0.01, l2=0.01),
    "l2": L2(),
    "orthogonal_regularizer": OrthogonalRegularizer(),
}

get = resolver("a regularizer", Regularizer, REGULARIZERS)

"""Regularisers: a price on the size of weights, its value and its derivative together.

The price belongs to the parameters and not to the rows, so it is added once an update: in each step of a shard that
trains on its own, on the driver where it takes the step.  `network.py` says which arrays have one.
"""

from typing import Any

import numpy as np

from firesteel.core.spec import Spec, number, resolver
from firesteel.core.types import Array
from firesteel.errors import ConfigError

__all__ = ["L1", "L1L2", "L2", "Regularizer"]


class Regularizer(Spec):
    """Base of regularisers."""

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


REGULARIZERS: dict[str, Spec] = {
    "l1": L1(),
    "l1_l2": L1L2(l1=0.01, l2=0.01),
    "l2": L2(),
}

get = resolver("a regularizer", Regularizer, REGULARIZERS)

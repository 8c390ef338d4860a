"""Constraints: what weights must satisfy, brought about after each update by changing them in place.

Like the price of a regulariser it belongs to the parameters and not to the rows.  `update.py` says when.
"""

from typing import Any

import numpy as np

from firesteel.core.spec import Spec, integer, number, resolver
from firesteel.core.types import Array
from firesteel.errors import ConfigError

__all__ = ["Constraint", "MaxNorm", "MinMaxNorm", "NonNeg", "UnitNorm"]

EPSILON = 1e-7
"""Keeps the division by a norm finite, as in Keras."""


class Constraint(Spec):
    """Base of constraints."""

    def apply(self, w: Array) -> None:
        """Change the weights w, of any shape, so that they satisfy it."""
        raise NotImplementedError

    def __call__(self, w: Any) -> Array:
        """Return the weights w as they are once they satisfy it; w itself stays.

        Raises ConfigError for what is no array of numbers, or of a shape to which it cannot be applied.

        >>> MaxNorm(1.0)([[3.0], [4.0]]).round(4)
        array([[0.6],
               [0.8]])
        """
        try:
            changed: Array = np.array(w, np.float64)
        except (TypeError, ValueError) as error:
            raise ConfigError(f"{self}: weights are an array of numbers: {error}", code="config-value") from None
        self.check(changed.shape)
        self.apply(changed)
        return changed

    def check(self, shape: tuple[int, ...]) -> None:
        """Raise ConfigError for weights of a shape to which it cannot be applied."""
        axis = getattr(self, "axis", 0)
        if axis >= len(shape):
            raise ConfigError(
                f"{self}: weights of shape {shape} have axes 0 to {len(shape) - 1}", code="config-shape"
            )


class MaxNorm(Constraint):
    """Scales down the weights that enter a unit where their Euclidean norm is above `max_value`.

    axis: along which norms are taken; 0 for the kernel of a Dense layer.

    >>> w = np.array([[3.0, 0.3], [4.0, 0.4]]); MaxNorm(1.0).apply(w); w.round(4)
    array([[0.6, 0.3],
           [0.8, 0.4]])

    Source: Srebro, Rennie and Jaakkola 2004; with dropout, Srivastava et al. 2014, section 5.1.
    """

    max_value: float = number(2.0, above=0.0, why="it is the largest norm")
    axis: int = integer(0, low=0, why="it is the axis along which norms are taken")

    def apply(self, w: Array) -> None:
        norms = _norms(w, self.axis)
        w *= np.clip(norms, 0, w.dtype.type(self.max_value)) / (norms + w.dtype.type(EPSILON))


class MinMaxNorm(Constraint):
    """Brings the Euclidean norm n of the weights that enter a unit to rate m + (1 - rate) n, with m = n cut to
    [min_value, max_value].

    rate: the share of the way to go at each update, above 0 and at most 1.
    axis: along which norms are taken; 0 for the kernel of a Dense layer.
    Raises ConfigError for a min_value above max_value.

    >>> w = np.array([[3.0, 0.3], [4.0, 0.4]]); MinMaxNorm(1.0, 2.0).apply(w); w.round(4)
    array([[1.2, 0.6],
           [1.6, 0.8]])
    """

    min_value: float = number(0.0, low=0.0, why="it is the smallest norm")
    max_value: float = number(1.0, low=0.0, why="it is the largest norm")
    rate: float = number(1.0, above=0.0, why="it is the share of the way that is gone at an update")
    axis: int = integer(0, low=0, why="it is the axis along which norms are taken")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.min_value > self.max_value or self.rate > 1.0:
            raise ConfigError(
                f"{self}: min_value must not be above max_value, and rate not above 1", code="config-value"
            )

    def apply(self, w: Array) -> None:
        norms, number = _norms(w, self.axis), w.dtype.type
        wanted = np.clip(norms, number(self.min_value), number(self.max_value)) * number(self.rate)
        if self.rate < 1:
            wanted += norms * number(1 - self.rate)
        w *= wanted / (norms + number(EPSILON))


class NonNeg(Constraint):
    """Sets weights below 0 to 0.

    >>> w = np.array([-1.0, 2.0]); NonNeg().apply(w); w
    array([0., 2.])
    """

    def apply(self, w: Array) -> None:
        np.maximum(w, 0, out=w)


class UnitNorm(Constraint):
    """Scales the weights that enter a unit to Euclidean norm 1.

    axis: along which norms are taken; 0 for the kernel of a Dense layer.

    >>> w = np.array([[3.0], [4.0]]); UnitNorm().apply(w); w.round(4)
    array([[0.6],
           [0.8]])
    """

    axis: int = integer(0, low=0, why="it is the axis along which norms are taken")

    def apply(self, w: Array) -> None:
        w /= _norms(w, self.axis) + w.dtype.type(EPSILON)


def _norms(w: Array, axis: int) -> Array:
    """Return Euclidean norms along an axis, which is kept, of weights whose squares may be beyond the dtype."""
    norms = np.sqrt(np.square(w).sum(axis=axis, keepdims=True))
    if np.isinf(norms).any():
        largest = np.abs(w).max(axis=axis, keepdims=True)
        norms = np.where(
            np.isinf(norms), largest * np.sqrt(np.square(w / largest).sum(axis=axis, keepdims=True)), norms
        )
    return norms


CONSTRAINTS: dict[str, Spec] = {
    "max_norm": MaxNorm(),
    "min_max_norm": MinMaxNorm(),
    "non_neg": NonNeg(),
    "unit_norm": UnitNorm(),
}

get = resolver("a constraint", Constraint, CONSTRAINTS)

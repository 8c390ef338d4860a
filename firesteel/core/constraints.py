"""Constraints: conditions on the weights, enforced after each update by changing the weights in place.

Like a penalty, a constraint belongs to the parameters and not to the rows.  `update.py` says when it is applied.
"""

from typing import Any

import numpy as np

from firesteel.core.spec import Spec, integer, number, resolver
from firesteel.core.types import Array
from firesteel.errors import ConfigError

__all__ = ["Constraint", "MaxNorm", "MinMaxNorm", "NonNeg", "UnitNorm"]

EPSILON = 1e-7
"""Added to a norm before dividing by it, as in Keras."""


class Constraint(Spec):
    """Base class of constraints.

    A constraint of your own is a subclass with a method `apply`; its fields are its arguments.

    Example:
        >>> import numpy as np
        >>> from firesteel.constraints import Constraint
        >>> class AtMostOne(Constraint):
        ...     def apply(self, w):
        ...         np.minimum(w, 1, out=w)
        >>> AtMostOne()([0.5, 2.0])
        array([0.5, 1. ])
    """

    def apply(self, w: Array) -> None:
        """Change the weights, in place, so that they satisfy the constraint.

        Args:
            w: The weights, of any shape.
        """
        raise NotImplementedError

    def __call__(self, w: Any) -> Array:
        """Return the weights after the constraint; the argument is not changed.

        Args:
            w: The weights, an array of numbers.

        Raises:
            ConfigError: If they are not an array of numbers (`config-value`), or have no axis `axis`
            (`config-shape`).

        Example:
            >>> MaxNorm(1.0)([[3.0], [4.0]]).round(4)
            array([[0.6],
                   [0.8]])
        """
        try:
            changed: Array = np.array(w, np.float64)
        except (TypeError, ValueError) as error:
            raise ConfigError(f"{self}: weights must be an array of numbers: {error}", code="config-value") from None
        self.check(changed.shape)
        self.apply(changed)
        return changed

    def check(self, shape: tuple[int, ...]) -> None:
        """Check that the constraint can be applied to weights of a shape.

        Args:
            shape: The shape of the weights.

        Raises:
            ConfigError: If it cannot (`config-shape`).
        """
        axis = getattr(self, "axis", 0)
        if axis >= len(shape):
            raise ConfigError(
                f"{self}: weights of shape {shape} have only axes 0 to {len(shape) - 1}", code="config-shape"
            )


class MaxNorm(Constraint):
    """Scales the weights of a unit down if their Euclidean norm is above a maximum.

    `w' = w min(|w|, max_value) / (|w| + 1e-7)` for the weights w of each unit.

    Args:
        max_value: The largest norm, above 0.
        axis: The axis along which norms are taken: 0 for the kernel of a Dense layer.

    Example:
        >>> from firesteel.constraints import MaxNorm
        >>> MaxNorm(1.0)([[3.0, 0.3], [4.0, 0.4]]).round(4)
        array([[0.6, 0.3],
               [0.8, 0.4]])

    Source: Srebro, Rennie and Jaakkola 2004; with dropout, Srivastava et al. 2014, section 5.1.
    """

    max_value: float = number(2.0, above=0.0, why="max_value is the largest norm")
    axis: int = integer(0, low=0, why="axis is the axis along which norms are taken")

    def apply(self, w: Array) -> None:
        norms = _norms(w, self.axis)
        w *= np.clip(norms, 0, w.dtype.type(self.max_value)) / (norms + w.dtype.type(EPSILON))


class MinMaxNorm(Constraint):
    """Rescales the weights of a unit so that their Euclidean norm lies in a range.

    `w' = w (rate m + (1 - rate) |w|) / (|w| + 1e-7)` for the weights w of each unit, where m is |w| clipped to
    [min_value, max_value].

    Args:
        min_value: The smallest norm, at least 0.
        max_value: The largest norm, at least min_value.
        rate: The share of the distance to the range that each update covers, above 0 and at most 1.
        axis: The axis along which norms are taken: 0 for the kernel of a Dense layer.

    Raises:
        ConfigError: If min_value is above max_value, or rate above 1 (`config-value`).

    Example:
        >>> from firesteel.constraints import MinMaxNorm
        >>> MinMaxNorm(1.0, 2.0)([[3.0, 0.3], [4.0, 0.4]]).round(4)
        array([[1.2, 0.6],
               [1.6, 0.8]])
    """

    min_value: float = number(0.0, low=0.0, why="min_value is the smallest norm")
    max_value: float = number(1.0, low=0.0, why="max_value is the largest norm")
    rate: float = number(1.0, above=0.0, why="rate is the share of the distance that an update covers")
    axis: int = integer(0, low=0, why="axis is the axis along which norms are taken")

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
    """Sets negative weights to 0.

    Example:
        >>> from firesteel.constraints import NonNeg
        >>> NonNeg()([-1.0, 2.0])
        array([0., 2.])
    """

    def apply(self, w: Array) -> None:
        np.maximum(w, 0, out=w)


class UnitNorm(Constraint):
    """Scales the weights of a unit to Euclidean norm 1.

    `w' = w / (|w| + 1e-7)` for the weights w of each unit.

    Args:
        axis: The axis along which norms are taken: 0 for the kernel of a Dense layer.

    Example:
        >>> from firesteel.constraints import UnitNorm
        >>> UnitNorm()([[3.0], [4.0]]).round(4)
        array([[0.6],
               [0.8]])
    """

    axis: int = integer(0, low=0, why="axis is the axis along which norms are taken")

    def apply(self, w: Array) -> None:
        w /= _norms(w, self.axis) + w.dtype.type(EPSILON)


def _norms(w: Array, axis: int) -> Array:
    """Return Euclidean norms along an axis, which keeps length 1, without overflow of the squares."""
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

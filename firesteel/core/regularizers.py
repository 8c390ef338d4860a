"""Regularizers: penalties on the weights, each with its value and its derivative.

A penalty belongs to the parameters and not to the rows, so it is added once an update: in each step of a shard that
trains separately, or on the driver if that takes the step.  `network.py` lists the arrays that have one.
"""

from typing import Any, ClassVar

import numpy as np

from firesteel.core.spec import Spec, number, resolver, word
from firesteel.core.types import Array
from firesteel.errors import ConfigError

__all__ = ["L1", "L1L2", "L2", "OrthogonalRegularizer", "Regularizer"]

EPSILON = 1e-7
"""The least length to divide by, as in Keras."""


class Regularizer(Spec):
    """Base class of regularizers.

    A regularizer of your own is a subclass with a method `add`; its fields are its arguments.

    The class attribute `joint` says whether the penalty on one row of weights depends on other rows.

    Example:
        >>> import numpy as np
        >>> from firesteel.regularizers import Regularizer
        >>> class L4(Regularizer):
        ...     def add(self, w, g):
        ...         if g is not None:
        ...             g += 4 * w**3
        ...         return float((w**4).sum())
        >>> L4()([1.0, 2.0])
        17.0
    """

    joint: ClassVar[bool] = False

    def check(self, shape: tuple[int, ...]) -> None:
        """Raise ConfigError if the penalty does not apply to weights of a shape.

        Args:
            shape: The shape of the weights.

        Raises:
            ConfigError: If they cannot (`config-shape`).
        """

    def add(self, w: Array, g: Array | None) -> float:
        """Return the penalty on the weights w, and add its derivative to the gradient g.

        Args:
            w: The weights, of any shape.
            g: The gradient, of the same shape, changed in place; None for the value alone.
        """
        raise NotImplementedError

    def __call__(self, w: Any) -> float:
        """Return the penalty on the weights.

        Args:
            w: The weights, an array of numbers.

        Raises:
            ConfigError: If they are not an array of numbers (`config-value`).

        Example:
            >>> L2(0.5)([2.0, -1.0])
            2.5
        """
        try:
            return self.add(np.array(w, np.float64), None)
        except (TypeError, ValueError) as error:
            raise ConfigError(f"{self}: weights must be an array of numbers: {error}", code="config-value") from None


class L1L2(Regularizer):
    """L1 and L2 penalty on the weights (elastic net).

    `l1 sum |w| + l2 sum w^2`; the derivative is `l1 sign(w) + 2 l2 w`, and that of |w| at 0 is 0.

    Args:
        l1: The factor of the absolute values, at least 0.
        l2: The factor of the squares, at least 0.

    Example:
        >>> from firesteel.regularizers import L1L2
        >>> L1L2(l1=0.5, l2=1.0)([2.0, -1.0])
        6.5

    Source: Tibshirani 1996 (L1), Hoerl and Kennard 1970 (L2).
    """

    l1: float = number(0.0, low=0.0, why="l1 is the factor of the absolute values")
    l2: float = number(0.0, low=0.0, why="l2 is the factor of the squares")

    def add(self, w: Array, g: Array | None) -> float:
        if g is not None and self.l1:
            g += np.sign(w) * w.dtype.type(self.l1)
        if g is not None and self.l2:
            g += w * w.dtype.type(2 * self.l2)
        flat = w.reshape(-1).astype(np.float64)
        return float(self.l1 * np.abs(flat).sum() + self.l2 * (flat * flat).sum())


class L1(Regularizer):
    """L1 penalty on the weights: it drives small weights to 0.

    `l1 sum |w|`; the derivative is `l1 sign(w)`, which is 0 at 0.

    Args:
        l1: The factor of the absolute values, at least 0.

    Example:
        >>> from firesteel.regularizers import L1
        >>> L1(0.5)([2.0, -1.0])
        1.5

    Source: Tibshirani 1996.
    """

    l1: float = number(0.01, low=0.0, why="l1 is the factor of the absolute values")

    def add(self, w: Array, g: Array | None) -> float:
        return L1L2(l1=self.l1).add(w, g)


class L2(Regularizer):
    """L2 penalty on the weights: it keeps them small.

    `l2 sum w^2`; the derivative is `2 l2 w`.

    Args:
        l2: The factor of the squares, at least 0.

    Example:
        >>> from firesteel.regularizers import L2
        >>> L2(0.5)([2.0, -1.0])
        2.5

    Source: Hoerl and Kennard 1970.
    """

    l2: float = number(0.01, low=0.0, why="l2 is the factor of the squares")

    def add(self, w: Array, g: Array | None) -> float:
        return L1L2(l2=self.l2).add(w, g)


class OrthogonalRegularizer(Regularizer):
    """Orthogonal penalty: on rows (or columns) of a matrix that are not at right angles to each other.

    `factor / (n (n - 1)) sum_{i != j} |u_i u_j|`, where `u_i = w_i / max(|w_i|, 1e-7)` are the n normalized rows.  A
    single row has no penalty.

    Args:
        factor: The penalty if all rows have the same direction.
        mode: Whether to compare "rows" or "columns".

    Raises:
        ConfigError: When the network is built, if the weights are not a matrix (`config-shape`).

    Example:
        >>> from firesteel.regularizers import OrthogonalRegularizer
        >>> round(OrthogonalRegularizer(1.0)([[1.0, 1.0], [0.0, 2.0]]), 4)
        0.7071

    Variant: as in Keras.
    """

    joint = True

    factor: float = number(0.01, low=0.0, why="factor is the penalty if all rows have the same direction")
    mode: str = word("rows", "columns")

    def check(self, shape: tuple[int, ...]) -> None:
        if len(shape) != 2:
            raise ConfigError(
                f"{self} needs a matrix, but these weights have shape {shape}: use another regularizer for them",
                code="config-shape",
            )

    def add(self, w: Array, g: Array | None) -> float:
        self.check(w.shape)
        x = (w if self.mode == "rows" else w.T).astype(np.float64)
        length = np.sqrt(np.square(x).sum(axis=1, keepdims=True))
        u = x / np.maximum(length, EPSILON)
        products = np.einsum("ik,jk->ij", u, u)  # not BLAS: its last bits depend on the number of threads
        np.fill_diagonal(products, 0)
        share = self.factor / max(len(x) * (len(x) - 1), 1)
        if g is not None:  # (d_i - (d_i u_i) u_i) / |w_i| with d_i = 2 share sum_j sign(u_i u_j) u_j
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

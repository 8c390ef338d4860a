"""Losses: the value and the derivative together, so that they cannot disagree.

A loss that is the negative log-likelihood of a link (cross-entropy of softmax or sigmoid) is computed on the logits
that enter the link, which is exact where the two apart would overflow; `network.py` fuses the pair.  Everything here
is per row; weights and sums are applied in `network.py`.  Shapes: B rows, O outputs, T target columns.
"""

import functools
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from firesteel.core.ops import Op, Sigmoid, Softmax, logistic, ones
from firesteel.core.spec import Spec, choice, numbers, resolver
from firesteel.core.types import Array
from firesteel.errors import ConfigError

__all__ = [
    "LOSSES",
    "BinaryCrossentropy",
    "CategoricalCrossentropy",
    "HalfSumOfSquares",
    "Loss",
    "MeanSquaredError",
    "SparseCategoricalCrossentropy",
    "Standardized",
    "get",
]


class Loss(Spec):
    """Base of losses.

    link: the op that must come last and is fused into the loss, or None where any output will do.
    targets: what the targets must be: "real", "unit" (numbers in [0, 1]) or "class" (integers 0..O-1, T = 1).
    """

    link: ClassVar[type[Op] | None] = None
    targets: ClassVar[str] = "real"

    def columns(self, outputs: int) -> int:
        """Return T, the number of target columns, for a network of so many outputs."""
        return outputs

    def rows(self, z: Array, y: Array) -> tuple[Array, Array, Array]:
        """Return each row's loss (B,), the network's outputs (B, O) and d(loss)/dz (B, O).

        z: (B, O), the logits if there is a link, else the outputs themselves.  y: (B, T).
        """
        raise NotImplementedError


@dataclass(frozen=True)
class MeanSquaredError(Loss):
    """L = 1/O sum_k (z_k - y_k)^2, as Keras: the mean over the outputs of a row.

    >>> MeanSquaredError().rows(np.array([[3.0, 0.0]]), np.array([[1.0, 0.0]]))[0]
    array([2.])
    """

    def rows(self, z: Array, y: Array) -> tuple[Array, Array, Array]:
        r = z - y
        return (r * r).mean(axis=1), z, r * r.dtype.type(2.0 / r.shape[1])


@dataclass(frozen=True)
class HalfSumOfSquares(Loss):
    """L = 1/2 sum_k (z_k - y_k)^2: the textbook loss whose derivative is the plain error.

    >>> HalfSumOfSquares().rows(np.array([[3.0, 0.0]]), np.array([[1.0, 0.0]]))[0]
    array([2.])
    """

    def rows(self, z: Array, y: Array) -> tuple[Array, Array, Array]:
        r = z - y
        return (r * r).sum(axis=1) * r.dtype.type(0.5), z, r


@dataclass(frozen=True)
class BinaryCrossentropy(Loss):
    """L = -1/O sum_k (y_k log p_k + (1 - y_k) log(1 - p_k)) with p = sigmoid(z), as Keras.

    Computed as max(z, 0) - z y + log(1 + exp(-|z|)); the derivative is (p - y) / O.

    >>> float(BinaryCrossentropy().rows(np.array([[0.0]]), np.array([[1.0]]))[0][0].round(4))
    0.6931
    """

    link = Sigmoid
    targets = "unit"

    def rows(self, z: Array, y: Array) -> tuple[Array, Array, Array]:
        p = logistic(z)
        losses = (np.maximum(z, 0) - z * y + np.log1p(np.exp(-np.abs(z)))).mean(axis=1)
        return losses, p, (p - y) * z.dtype.type(1.0 / z.shape[1])


@dataclass(frozen=True)
class CategoricalCrossentropy(Loss):
    """L = -sum_k y_k log p_k with p = softmax(z); y is one-hot or a distribution, (B, O).

    The derivative is p sum_k y_k - y.

    >>> float(CategoricalCrossentropy().rows(np.zeros((1, 2)), np.array([[0.0, 1.0]]))[0][0].round(4))
    0.6931
    """

    link = Softmax
    targets = "unit"

    def rows(self, z: Array, y: Array) -> tuple[Array, Array, Array]:
        p, shifted, total = _softmax_parts(z)
        mass = y.sum(axis=1)
        losses = np.log(total) * mass - (y * shifted).sum(axis=1)
        return losses, p, p * mass[:, None] - y


@dataclass(frozen=True)
class SparseCategoricalCrossentropy(Loss):
    """L = -log p_y with p = softmax(z) and y the number of the class, (B, 1).

    The derivative is p, less 1 at the class.

    >>> float(SparseCategoricalCrossentropy().rows(np.zeros((1, 2)), np.array([[1.0]]))[0][0].round(4))
    0.6931
    """

    link = Softmax
    targets = "class"

    def columns(self, outputs: int) -> int:
        return 1

    def rows(self, z: Array, y: Array) -> tuple[Array, Array, Array]:
        p, shifted, total = _softmax_parts(z)
        at = row_starts(*z.shape) + y[:, 0].astype(np.intp)
        losses = np.log(total) - shifted.reshape(-1)[at]
        d_z = p.copy()
        d_z.reshape(-1)[at] -= 1
        return losses, p, d_z


def measured(given: object) -> Loss:
    """Return a loss of plain numbers, given in any form: one without a link."""
    loss: Loss = given if isinstance(given, Loss) else get(given)
    if loss.link is not None or loss.targets != "real" or isinstance(loss, Standardized):
        raise ConfigError(f"{type(loss).__name__} has no units to standardize", code="config-loss")
    return loss


@dataclass(frozen=True)
class Standardized(Loss):
    """Another loss L, in units of the targets' spread: L((z - mean) / deviation, (y - mean) / deviation).

    loss: a loss without a link.  mean, deviation: one number for each output, or one for all.
    With it outputs of any scale weigh alike, and learning rates mean the same whatever the targets' unit.

    >>> Standardized("mse", 0.0, 10.0).rows(np.array([[30.0]]), np.array([[10.0]]))[0]
    array([4.])
    """

    loss: Loss | str = choice(MeanSquaredError(), measured)
    mean: tuple[float, ...] = numbers((0.0,), why="it is taken from outputs and targets")
    deviation: tuple[float, ...] = numbers((1.0,), low=1e-300, why="it divides outputs and targets")

    def rows(self, z: Array, y: Array) -> tuple[Array, Array, Array]:
        mean = np.array(self.mean, z.dtype)
        factor = 1 / np.array(self.deviation, z.dtype)
        losses, _, d = measured(self.loss).rows((z - mean) * factor, (y - mean) * factor)
        return losses, z, d * factor


@functools.lru_cache(maxsize=64)
def row_starts(rows: int, columns: int) -> npt.NDArray[np.intp]:
    """Return where each row begins in the flattened matrix."""
    starts = np.arange(0, rows * columns, columns, dtype=np.intp)
    starts.flags.writeable = False
    return starts


def _softmax_parts(z: Array) -> tuple[Array, Array, Array]:
    """Return softmax(z), z less its row maximum, and the sum of the exponentials of that."""
    # z at its argmax, because NumPy finds the argmax of short rows five times sooner than the maximum
    shifted = z - z.reshape(-1)[row_starts(*z.shape) + z.argmax(axis=1)][:, None]
    e = np.exp(shifted)
    total = np.dot(e, ones(z.shape[1], z.dtype))
    return e / total[:, None], shifted, total


LOSSES: dict[str, Spec] = {
    "binary_crossentropy": BinaryCrossentropy(),
    "categorical_crossentropy": CategoricalCrossentropy(),
    "half_sse": HalfSumOfSquares(),
    "mean_squared_error": MeanSquaredError(),
    "mse": MeanSquaredError(),
    "sparse_categorical_crossentropy": SparseCategoricalCrossentropy(),
    "standardized": Standardized(),
}

get = resolver("a loss", Loss, LOSSES)

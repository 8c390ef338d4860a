"""Metrics as weighted sums over rows: they add up across batches and shards, and are divided once, at the end.

Each metric gives one number a row.  "accuracy" means the one that suits the loss, as in Keras.
"""

from dataclasses import dataclass

import numpy as np

from firesteel.core.losses import BinaryCrossentropy, Loss
from firesteel.core.spec import Spec, resolver
from firesteel.core.types import Array

__all__ = [
    "METRICS",
    "BinaryAccuracy",
    "CategoricalAccuracy",
    "MeanAbsoluteError",
    "MeanSquaredError",
    "Metric",
    "SparseCategoricalAccuracy",
    "get",
    "suited",
]


class Metric(Spec):
    """Base of metrics."""

    def rows(self, p: Array, y: Array) -> Array:
        """Return one value a row.  p: (B, O), the network's outputs.  y: (B, T), the targets."""
        raise NotImplementedError


@dataclass(frozen=True)
class SparseCategoricalAccuracy(Metric):
    """1 where the largest output is the target's class, else 0; y holds class numbers, (B, 1).

    >>> SparseCategoricalAccuracy().rows(np.array([[0.2, 0.8]]), np.array([[1.0]]))
    array([ True])
    """

    def rows(self, p: Array, y: Array) -> Array:
        return p.argmax(axis=1) == y[:, 0]


@dataclass(frozen=True)
class CategoricalAccuracy(Metric):
    """1 where the largest output is at the largest target, else 0; y is one-hot, (B, O).

    >>> CategoricalAccuracy().rows(np.array([[0.2, 0.8]]), np.array([[0.0, 1.0]]))
    array([ True])
    """

    def rows(self, p: Array, y: Array) -> Array:
        return p.argmax(axis=1) == y.argmax(axis=1)


@dataclass(frozen=True)
class BinaryAccuracy(Metric):
    """The share of a row's outputs that lie on the target's side of 0.5.

    >>> BinaryAccuracy().rows(np.array([[0.2, 0.8]]), np.array([[0.0, 0.0]]))
    array([0.5])
    """

    def rows(self, p: Array, y: Array) -> Array:
        return ((p > 0.5) == (y > 0.5)).mean(axis=1)


@dataclass(frozen=True)
class MeanAbsoluteError(Metric):
    """1/O sum_k |p_k - y_k|.

    >>> MeanAbsoluteError().rows(np.array([[3.0, 0.0]]), np.array([[1.0, 0.0]]))
    array([1.])
    """

    def rows(self, p: Array, y: Array) -> Array:
        return np.abs(p - y).mean(axis=1)


@dataclass(frozen=True)
class MeanSquaredError(Metric):
    """1/O sum_k (p_k - y_k)^2.

    >>> MeanSquaredError().rows(np.array([[3.0, 0.0]]), np.array([[1.0, 0.0]]))
    array([2.])
    """

    def rows(self, p: Array, y: Array) -> Array:
        r = p - y
        return (r * r).mean(axis=1)


METRICS: dict[str, Spec] = {
    "binary_accuracy": BinaryAccuracy(),
    "categorical_accuracy": CategoricalAccuracy(),
    "mae": MeanAbsoluteError(),
    "mean_absolute_error": MeanAbsoluteError(),
    "mean_squared_error": MeanSquaredError(),
    "mse": MeanSquaredError(),
    "sparse_categorical_accuracy": SparseCategoricalAccuracy(),
}

get = resolver("a metric", Metric, METRICS)


def suited(loss: Loss, outputs: int) -> Metric:
    """Return what "accuracy" means beside this loss.

    >>> from firesteel.core import losses
    >>> suited(losses.get("categorical_crossentropy"), 10)
    CategoricalAccuracy()
    """
    if loss.targets == "class":
        return SparseCategoricalAccuracy()
    if outputs > 1 and not isinstance(loss, BinaryCrossentropy):
        return CategoricalAccuracy()
    return BinaryAccuracy()

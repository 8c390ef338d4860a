"""Metrics: each is computed from sums over rows, which add up across batches, blocks and shards.

Only the loss says whether the outputs are probabilities or logits, and exclusive classes or independent labels;
`suited` adapts a metric to it.  `network.py` accumulates the sums.  A `Ranking` has no sums over rows: it is measured
by `train/ranking.py`.

Shapes: B rows, O outputs, T target columns, K classes.
"""

import functools
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import field, replace
from typing import Any, ClassVar

import numpy as np

from firesteel.core import losses
from firesteel.core.elsewhere import meant
from firesteel.core.layers.activation import log_softmax, softplus
from firesteel.core.loss import Crossentropy, Loss, exclusive, middle, on_logits
from firesteel.core.measuring import (
    DTYPE,
    NAME,
    Accumulated,
    Value,
    labels,
    logit,
    numbered,
    predicted,
    share,
    thresholds,
)
from firesteel.core.ordering import Area, Ordered, Peak
from firesteel.core.spec import Spec, choice, flag, integer, later, number, optional, resolver, word
from firesteel.core.types import Array
from firesteel.errors import ConfigError

__all__ = [
    "AUC",
    "Accuracy",
    "AveragePrecision",
    "BinaryAccuracy",
    "CategoricalAccuracy",
    "ConfusionMatrix",
    "CosineSimilarity",
    "F1Score",
    "FBetaScore",
    "FalseNegatives",
    "FalsePositives",
    "LogLoss",
    "MeanAbsoluteError",
    "MeanLoss",
    "MeanSquaredError",
    "Metric",
    "Precision",
    "PrecisionAtRecall",
    "R2Score",
    "Ranking",
    "Recall",
    "RecallAtPrecision",
    "RootMeanSquaredError",
    "RowMetric",
    "SensitivityAtSpecificity",
    "SparseCategoricalAccuracy",
    "SparseTopKCategoricalAccuracy",
    "SpecificityAtSensitivity",
    "TopKCategoricalAccuracy",
    "TrueNegatives",
    "TruePositives",
]

# The base classes


class Metric(Accumulated, Spec, kw_only=True):
    """Base class of metrics: a fixed number of sums over rows, and the value that follows from them.

    A metric of your own is a subclass with `size`, `sums` and `result`, or of `RowMetric` with `rows`; its fields are
    its arguments.

    Class attributes:

    - `larger_is_better`: whether a larger value is better, False if a smaller one is, None if neither;
      `EarlyStopping(mode="auto")` reads it.
    - `differences`: whether the metric depends on p - y and on the spread of y alone, so that both may be shifted by
      the same number.

    Args:
        name: Name in the history; by default the snake-case name of the class, such as "precision".
        dtype: "float32", "float64" or None: accepted for Keras's scripts and ignored, because sums are always
            float64.

    Example:
        >>> from firesteel.metrics import MeanAbsoluteError
        >>> metric = MeanAbsoluteError(name="error")
        >>> metric.update_state([1.0, 2.0], [1.5, 2.0]); metric.result()
        0.25
    """

    larger_is_better: ClassVar[bool | None] = None
    differences: ClassVar[bool] = False

    name: str | None = field(default=None, metadata=NAME, compare=False)
    dtype: str | None = field(default=None, metadata=DTYPE, compare=False, repr=False)

    def suited(self, loss: Loss, outputs: int) -> "Metric":
        """Return the metric that fits a loss: itself, or a variant for the loss's outputs and targets.

        Args:
            loss: The loss of the training, which says what the outputs mean.
            outputs: The number of outputs.
        """
        return self

    def size(self, outputs: int) -> int:
        """Return how many sums the metric needs for a number of outputs.

        Args:
            outputs: The number of the network's outputs.

        Raises:
            ConfigError: If the metric does not suit so many outputs (`config-metrics`).
        """
        raise NotImplementedError

    def sums(self, p: Array, y: Array, w: Array) -> Array:
        """Return the metric's sums over a batch of rows, (size,), float64.

        Args:
            p: The network's outputs, (B, O).
            y: The targets, (B, T).
            w: The weights of the rows, (B,), float64.
        """
        raise NotImplementedError

    def result(self, *args: Any) -> Value:
        """Compute the metric from its sums and the total weight of the rows: `result(sums, weight)`.

        Args:
            *args: The sums over all rows, (size,), and the sum of their weights.  Without arguments the value is that
                of the rows passed to `update_state`, and 0 without any.
        """
        if args:
            raise NotImplementedError
        return self._so_far()

    def __init_subclass__(cls, kw_only: bool = False) -> None:
        super().__init_subclass__(kw_only)
        if "result" in vars(cls):
            cls.result = so_far(cls.result)  # type: ignore[method-assign]


def so_far(result: Callable[..., Value]) -> Callable[..., Value]:
    """Decorate `result`, so that without arguments it returns the value over the rows of `update_state`."""

    @functools.wraps(result)
    def found(self: Metric, *args: Any, **given: Any) -> Value:
        return result(self, *args, **given) if args or given else self._so_far()

    return found


class RowMetric(Metric):
    """Base class of metrics that are a weighted mean over rows.

    Args:
        name: Name in the history; by default the snake-case name of the class.
        dtype: Accepted for Keras's scripts and ignored: sums are always float64.

    Example:
        >>> from firesteel.metrics import RowMetric
        >>> class LargestError(RowMetric):
        ...     larger_is_better = False
        ...     def rows(self, p, y):
        ...         return abs(p - y).max(axis=1)
        >>> LargestError()([[1.0, 2.0]], [[1.5, 5.0]])
        3.0
    """

    def rows(self, p: Array, y: Array) -> Array:
        """Return the metric's value for each row, (B,).

        Args:
            p: The network's outputs, (B, O).
            y: The targets, (B, T).
        """
        raise NotImplementedError

    def size(self, outputs: int) -> int:
        return 1

    def sums(self, p: Array, y: Array, w: Array) -> Array:
        return np.array([np.dot(self.rows(p, y), w)])

    def result(self, sums: Array, weight: np.float64) -> Value:
        return float(sums[0] / weight)


class Ranking(Ordered, Metric):
    """Base class of metrics that depend on how the outputs rank the rows, such as AUC.

    They need the scores of all rows under the same weights.  `evaluate` and validation report them; the training
    values of an epoch do not include them.  A single output is one binary problem, and so is the second of two
    exclusive outputs.  With more outputs each one is a problem against the rest, and the metric is the mean over
    those problems in which it is defined.

    Args:
        name: Name in the history; by default the snake-case name of the class.
        dtype: Accepted for Keras's scripts and ignored: sums are always float64.

    Example:
        >>> from firesteel.metrics import AUC, Ranking
        >>> isinstance(AUC(), Ranking), AUC()([0, 0, 1, 1], [0.1, 0.4, 0.3, 0.9])
        (True, 0.75)
    """

    larger_is_better = True


# Means over rows


class Accuracy(RowMetric):
    """Exact-match accuracy: the share of outputs that equal their targets.

    It is for networks that predict the numbers themselves.  The name "accuracy" in `compile` does not mean this
    class: it stands for the accuracy that suits the loss.

    Args:
        name: Name in the history; by default "accuracy".
        dtype: Accepted for Keras's scripts and ignored: sums are always float64.

    Example:
        >>> from firesteel.metrics import Accuracy
        >>> Accuracy()([[1.0, 3.0]], [[1.0, 2.0]])
        0.5
    """

    larger_is_better = True

    def rows(self, p: Array, y: Array) -> Array:
        return (p == y).mean(axis=1)


class SparseCategoricalAccuracy(RowMetric):
    """Categorical accuracy for class indices: the share of rows whose largest output is that of the true class.

    Args:
        name: Name in the history; by default "sparse_categorical_accuracy".
        dtype: Accepted for Keras's scripts and ignored: sums are always float64.

    Example:
        >>> from firesteel.metrics import SparseCategoricalAccuracy
        >>> SparseCategoricalAccuracy()([1, 0], [[0.2, 0.8], [0.4, 0.6]])
        0.5
    """

    larger_is_better = True

    def rows(self, p: Array, y: Array) -> Array:
        return p.argmax(axis=1) == y[:, 0]


class CategoricalAccuracy(RowMetric):
    """Categorical accuracy for one-hot targets: the share of rows whose largest output is at the largest target.

    Args:
        name: Name in the history; by default "categorical_accuracy".
        dtype: Accepted for Keras's scripts and ignored: sums are always float64.

    Example:
        >>> from firesteel.metrics import CategoricalAccuracy
        >>> CategoricalAccuracy()([[0.0, 1.0], [1.0, 0.0]], [[0.2, 0.8], [0.4, 0.6]])
        0.5
    """

    larger_is_better = True

    def rows(self, p: Array, y: Array) -> Array:
        return p.argmax(axis=1) == y.argmax(axis=1)


class BinaryAccuracy(RowMetric):
    """Binary accuracy: the share of outputs on the correct side of a threshold.

    An output is correct if it is above `threshold` where its target is above 0.5, and not above it elsewhere.

    Args:
        threshold: The output above which a label is predicted.
        name: Name in the history; by default "binary_accuracy".
        dtype: Accepted for Keras's scripts and ignored: sums are always float64.

    Example:
        >>> from firesteel.metrics import BinaryAccuracy
        >>> BinaryAccuracy(threshold=0.5)([0, 1, 1, 0], [0.2, 0.9, 0.4, 0.1])
        0.75
    """

    larger_is_better = True

    threshold: float = number(0.5, why="a label is predicted if its output is above the threshold")

    def rows(self, p: Array, y: Array) -> Array:
        return ((p > self.threshold) == (y > 0.5)).mean(axis=1)


def _in_top_k(p: Array, at: Array, k: int) -> Array:
    """Return whether each row's class is among the k largest outputs, (B,); False for a class out of range."""
    own = np.take_along_axis(p, np.clip(at, 0, p.shape[1] - 1)[:, None], axis=1)
    return (np.count_nonzero(~(p <= own), axis=1) < k) & (at >= 0) & (at < p.shape[1])


class SparseTopKCategoricalAccuracy(RowMetric):
    """Top-k accuracy for class numbers: the share of rows whose class is among the k largest outputs.

    A row is correct if fewer than k outputs are larger than that of its class.

    Args:
        k: How many of the largest outputs count as correct, at least 1.
        name: Name in the history; by default "sparse_top_k_categorical_accuracy".
        dtype: Accepted for Keras's scripts and ignored: sums are always float64.

    Example:
        >>> from firesteel.metrics import SparseTopKCategoricalAccuracy
        >>> SparseTopKCategoricalAccuracy(k=2)([2, 0], [[0.2, 0.5, 0.3], [0.2, 0.5, 0.3]])
        0.5
    """

    larger_is_better = True

    k: int = integer(5, low=1, why="k is how many of the largest outputs may contain the true class")

    def rows(self, p: Array, y: Array) -> Array:
        return _in_top_k(p, y[:, 0].astype(np.intp), self.k)


class TopKCategoricalAccuracy(RowMetric):
    """Top-k accuracy for one-hot targets: the share of rows whose class is among the k largest outputs.

    A row is correct if fewer than k outputs are larger than that of its class.

    Args:
        k: How many of the largest outputs count as correct, at least 1.
        name: Name in the history; by default "top_k_categorical_accuracy".
        dtype: Accepted for Keras's scripts and ignored: sums are always float64.

    Example:
        >>> from firesteel.metrics import TopKCategoricalAccuracy
        >>> y_true, y_pred = [[0, 0, 1], [1, 0, 0]], [[0.2, 0.5, 0.3], [0.2, 0.5, 0.3]]
        >>> TopKCategoricalAccuracy(k=2)(y_true, y_pred)
        0.5
    """

    larger_is_better = True

    k: int = integer(5, low=1, why="k is how many of the largest outputs may contain the true class")

    def rows(self, p: Array, y: Array) -> Array:
        return _in_top_k(p, y.argmax(axis=1), self.k)


class LogLoss(RowMetric):
    """Log loss (cross-entropy) of the predictions, whatever loss the network is trained with.

    `-sum_k y_k log p_k` for exclusive classes, and `-1/O sum_k (y_k log p_k + (1 - y_k) log(1 - p_k))` for
    independent labels; the mean over the rows.  Unlike the loss of a training it does not include penalties on the
    weights.  Targets are class numbers, one-hot rows or labels.  Probabilities are clipped to the smallest normal
    number of their dtype, and to 1 minus its rounding unit.  In float32 scikit-learn's `log_loss` clips at 1e-7.

    Args:
        multi_label: Whether outputs are independent labels.  It is implied by a single output and by the loss
            `BinaryCrossentropy`.
        from_logits: Whether outputs are logits.  It is implied by a loss with `from_logits=True`.
        name: Name in the history; by default "log_loss".
        dtype: Accepted for Keras's scripts and ignored: sums are always float64.

    Example:
        >>> from firesteel.metrics import LogLoss
        >>> round(LogLoss()([0, 1], [[0.5, 0.5], [0.75, 0.25]]), 4)
        1.0397
    """

    larger_is_better = False

    multi_label: bool = flag(False)
    from_logits: bool = flag(False)

    def suited(self, loss: Loss, outputs: int) -> "LogLoss":
        return LogLoss(self.multi_label or not exclusive(loss, outputs), self.from_logits or on_logits(loss))

    def rows(self, p: Array, y: Array) -> Array:
        yes = labels(p, y) if y.shape[1] < p.shape[1] else y
        kept = np.clip(p, np.finfo(p.dtype).tiny, 1 - np.finfo(p.dtype).eps)
        if self.multi_label or p.shape[1] == 1:
            log_p = -softplus(-p) if self.from_logits else np.log(kept)
            log_not = -softplus(p) if self.from_logits else np.log1p(-kept)
            return -(yes * log_p + (1 - yes) * log_not).mean(axis=1)
        return -(yes * (log_softmax(p) if self.from_logits else np.log(kept))).sum(axis=1)


class MeanAbsoluteError(RowMetric):
    """Mean absolute error: `1/O sum_k |p_k - y_k|`, the mean over the rows.

    Args:
        name: Name in the history; by default "mean_absolute_error".
        dtype: Accepted for Keras's scripts and ignored: sums are always float64.

    Example:
        >>> from firesteel.metrics import MeanAbsoluteError
        >>> MeanAbsoluteError()([1.0, 2.0], [1.5, 2.0])
        0.25
    """

    larger_is_better = False
    differences = True

    def rows(self, p: Array, y: Array) -> Array:
        return np.abs(p - y).mean(axis=1)


class MeanSquaredError(RowMetric):
    """Mean squared error: `1/O sum_k (p_k - y_k)^2`, the mean over the rows.

    Args:
        name: Name in the history; by default "mean_squared_error".
        dtype: Accepted for Keras's scripts and ignored: sums are always float64.

    Example:
        >>> from firesteel.metrics import MeanSquaredError
        >>> MeanSquaredError()([1.0, 2.0], [3.0, 2.0])
        2.0
    """

    larger_is_better = False
    differences = True

    def rows(self, p: Array, y: Array) -> Array:
        r = p - y
        return (r * r).mean(axis=1)


class CosineSimilarity(RowMetric):
    """Cosine similarity of a row's outputs and targets: the loss `CosineSimilarity` with the opposite sign.

    `sum_k u_k v_k` with `u = y / max(|y|, 1e-7)` and `v = p / max(|p|, 1e-7)`; the mean over the rows.

    Args:
        name: Name in the history; by default "cosine_similarity".
        dtype: Accepted for Keras's scripts and ignored: sums are always float64.

    Example:
        >>> from firesteel.metrics import CosineSimilarity
        >>> CosineSimilarity()([[1.0, 0.0]], [[3.0, 4.0]])
        0.6
    """

    larger_is_better = True

    def rows(self, p: Array, y: Array) -> Array:
        return -MeanLoss(losses.CosineSimilarity()).rows(p, y)


class MeanLoss(RowMetric):
    """Mean of a loss over the rows; a loss in `metrics=[...]` becomes this metric.

    Class numbers and one-hot rows are converted into each other as the loss needs them.  A cross-entropy takes logits
    if the loss of the training does.

    Args:
        loss: The loss: an object, its name or its config.
        name: Name in the history; by default that of the loss.
        dtype: Accepted for Keras's scripts and ignored: sums are always float64.

    Raises:
        ConfigError: When the network is built, if the loss does not suit its outputs (`config-loss`).

    Example:
        >>> from firesteel.metrics import MeanLoss
        >>> MeanLoss("hinge")([[1.0], [0.0]], [[0.5], [0.5]])
        1.0
    """

    larger_is_better = False

    loss: Loss | str = choice(losses.MeanSquaredError(), losses.get)

    @property
    def differences(self) -> bool:  # type: ignore[override]
        return self._loss.differences

    @property
    def _loss(self) -> Loss:
        loss: Loss = losses.get(self.loss)
        return loss

    def suited(self, loss: Loss, outputs: int) -> "MeanLoss":
        if isinstance(self.loss, Crossentropy) and on_logits(loss):
            return replace(self, loss=replace(self.loss, from_logits=True))
        return self

    def size(self, outputs: int) -> int:
        link = self._loss.link
        self._loss.check(link() if link else "nothing", outputs)
        return super().size(outputs)

    def rows(self, p: Array, y: Array) -> Array:
        if self._loss.targets == "class":
            y = numbered(y)[:, None]
        elif y.shape[1] < p.shape[1]:
            y = labels(p, y).astype(p.dtype)
        return self._loss.scores(p, y)


# Sums of other kinds


class RootMeanSquaredError(Metric):
    """Root mean squared error: the square root of the mean squared error over all rows and outputs.

    `sqrt(sum w (p - y)^2 / sum w)`, where w are the weights of the rows.

    Args:
        name: Name in the history; by default "root_mean_squared_error".
        dtype: Accepted for Keras's scripts and ignored: sums are always float64.

    Example:
        >>> from firesteel.metrics import RootMeanSquaredError
        >>> RootMeanSquaredError()([0.0, 0.0], [3.0, 3.0])
        3.0
    """

    larger_is_better = False
    differences = True

    def size(self, outputs: int) -> int:
        return 1

    def sums(self, p: Array, y: Array, w: Array) -> Array:
        return MeanSquaredError().sums(p, y, w)

    def result(self, sums: Array, weight: np.float64) -> Value:
        return float(np.sqrt(sums[0] / weight))


class R2Score(Metric):
    """Coefficient of determination, R2.

    `1 - sum w (y - p)^2 / sum w (y - mean y)^2` for each output, and the mean over the outputs.  1 is perfect; 0 is
    as good as always predicting the mean.  If the targets of an output are constant (up to the rounding of float32),
    its value is 1 where they are predicted exactly and 0 elsewhere, as in scikit-learn.

    The variance is a difference of float64 sums.  Its relative error is about 1e-16 (mean / deviation)^2, less than
    what float32 targets lose by their own rounding.

    Args:
        class_aggregation: How to combine the outputs: "uniform_average"; "variance_weighted_average", which weighs
            each by the variance of its targets; or None for one value an output.
        num_regressors: Number of input columns for the adjusted value
            `1 - (1 - R2) (n - 1) / (n - num_regressors - 1)` with n targets, as in Keras; 0 for R2 itself.  If n -
            num_regressors - 1 is not above 0, R2 is not adjusted.
        name: Name in the history; by default "r2_score".
        dtype: Accepted for Keras's scripts and ignored: sums are always float64.

    Example:
        >>> from firesteel.metrics import R2Score
        >>> R2Score()([1.0, 2.0, 3.0], [1.5, 2.5, 3.5])
        0.625
    """

    larger_is_better = True
    differences = True

    class_aggregation: str | None = word("uniform_average", "variance_weighted_average", None)
    num_regressors: int = later(integer(0, low=0, why="num_regressors is the number of input columns"))

    def size(self, outputs: int) -> int:
        return 3 * outputs + (self.num_regressors > 0)

    def sums(self, p: Array, y: Array, w: Array) -> Array:
        v = np.broadcast_to(y, p.shape).astype(np.float64)
        r = v - p
        return np.concatenate([w @ v, w @ (v * v), w @ (r * r), [v.size] if self.num_regressors else []])

    def result(self, sums: Array, weight: np.float64) -> Value:
        if self.num_regressors:
            score = np.array(replace(self, num_regressors=0).result(sums[:-1], weight))
            left = sums[-1] - self.num_regressors - 1
            return (score if left <= 0 else 1 - (1 - score) * (sums[-1] - 1) / left).tolist()
        first, second, missed = np.split(sums, 3)
        spread = second - first * first / weight
        spread[spread <= np.finfo(np.float32).eps ** 2 * second] = 0.0
        met = np.where(missed > 0, 0.0, 1.0)
        scores = np.where(spread > 0, 1.0 - missed / np.where(spread > 0, spread, 1.0), met)
        if self.class_aggregation is None:
            return scores.tolist()
        if self.class_aggregation == "uniform_average" or not spread.any():
            return float(scores.mean())
        return float(scores @ spread / spread.sum())


class Counted(Metric):
    """Base class of ratios such as precision: counts, by class, true positives, actual and predicted rows.

    A ratio whose divisor is 0 is 0.  Averages include all classes, also those without rows.

    Args:
        threshold: The output above which a class is predicted.  None for what suits the loss: the largest of
            exclusive outputs; for independent labels, those above 0.5 (probabilities) or 0 (logits).
        average: How to combine classes: "macro" (their mean), "micro" (from summed counts), "weighted" (by their
            rows), or None for a list.
        class_id: The only class to report; for a single output 1, the positive class, is the default.
    """

    larger_is_better = True

    threshold: float | None = optional(number(why="a class is predicted if its output is above the threshold"))
    average: str | None = word("macro", "micro", "weighted", None)
    class_id: int | None = optional(integer(low=0, why="class_id is the number of a class"))

    def suited(self, loss: Loss, outputs: int) -> "Counted":
        threshold, one = self.threshold, self.class_id
        if threshold is None and not exclusive(loss, outputs):
            threshold = middle(loss)
        return replace(self, threshold=threshold, class_id=1 if one is None and outputs == 1 else one)

    def size(self, outputs: int) -> int:
        classes = max(2, outputs)
        if self.class_id is not None and self.class_id >= classes:
            raise ConfigError(
                f"{type(self).__name__}(class_id={self.class_id}): the network has {classes} classes, so class_id "
                f"must be from 0 to {classes - 1}",
                code="config-metrics",
            )
        return 3 * classes

    def sums(self, p: Array, y: Array, w: Array) -> Array:
        if self.threshold is not None and p.shape[1] > 1:
            actual, chosen = labels(p, y), p > self.threshold
            return np.concatenate([w @ (actual & chosen), w @ actual, w @ chosen])
        actual, chosen = predicted(p, y, self.threshold)
        hit, classes = w * (actual == chosen), max(2, p.shape[1])
        return np.concatenate([np.bincount(k, by, classes) for k, by in ((actual, hit), (actual, w), (chosen, w))])

    def result(self, sums: Array, weight: np.float64) -> Value:
        hits, actual, predicted = np.split(sums, 3)
        if self.class_id is not None:
            at = slice(self.class_id, self.class_id + 1)
            return float(self.ratio(hits[at], actual[at], predicted[at])[0])
        if self.average == "micro":
            return float(self.ratio(*(part.sum(keepdims=True) for part in (hits, actual, predicted)))[0])
        ratios = self.ratio(hits, actual, predicted)
        if self.average is None:
            return ratios.tolist()
        return float(ratios.mean() if self.average == "macro" else _ratio(actual @ ratios, actual.sum()))

    def ratio(self, hits: Array, actual: Array, predicted: Array) -> Array:
        """Return the ratio for each of K classes, (K,), from the three counts, (K,) each."""
        raise NotImplementedError


def _ratio(above: Array, below: Array) -> Array:
    return np.divide(above, below, out=np.zeros_like(above), where=below > 0)


class Precision(Counted):
    """Precision: the share of correct predictions among the rows that are predicted to be of a class.

    `hits / predicted` for each class, where `hits` is the weight of rows of the class that are predicted to be of it,
    and `predicted` that of all rows predicted to be of it; 0 where that is 0.

    Args:
        threshold: The output above which a class is predicted.  None for what suits the loss: the largest of
            exclusive outputs; for independent labels, those above 0.5 (probabilities) or 0 (logits).
        average: How to combine classes: "macro" (their mean), "micro" (from summed counts), "weighted" (by their
            rows), or None for a list.
        class_id: The only class to report.  None for all; for a single output it is 1, the positive class.
        name: Name in the history; by default "precision".
        dtype: Accepted for Keras's scripts and ignored: sums are always float64.

    Raises:
        ConfigError: When the network is built, if it has no class `class_id` (`config-metrics`).

    Example:
        >>> from firesteel.metrics import Precision
        >>> Precision()([0, 1, 1, 0], [0.2, 0.9, 0.4, 0.8])
        0.5
        >>> y_pred = [[0.8, 0.1, 0.1], [0.5, 0.4, 0.1], [0.1, 0.2, 0.7], [0.2, 0.2, 0.6]]
        >>> Precision(average=None)([0, 1, 2, 2], y_pred)
        [0.5, 0.0, 1.0]
    """

    def ratio(self, hits: Array, actual: Array, predicted: Array) -> Array:
        return _ratio(hits, predicted)


class Recall(Counted):
    """Recall (sensitivity): the share of a class's rows that are predicted to be of that class.

    `hits / actual` for each class, where `hits` is the weight of rows of the class that are predicted to be of it,
    and `actual` that of all rows of the class; 0 where that is 0.

    Args:
        threshold: The output above which a class is predicted.  None for what suits the loss: the largest of
            exclusive outputs; for independent labels, those above 0.5 (probabilities) or 0 (logits).
        average: How to combine classes: "macro" (their mean), "micro" (from summed counts), "weighted" (by their
            rows), or None for a list.
        class_id: The only class to report.  None for all; for a single output it is 1, the positive class.
        name: Name in the history; by default "recall".
        dtype: Accepted for Keras's scripts and ignored: sums are always float64.

    Raises:
        ConfigError: When the network is built, if it has no class `class_id` (`config-metrics`).

    Example:
        >>> from firesteel.metrics import Recall
        >>> Recall()([0, 1, 1, 0], [0.2, 0.9, 0.4, 0.8])
        0.5
        >>> y_pred = [[0.8, 0.1, 0.1], [0.5, 0.4, 0.1], [0.1, 0.2, 0.7], [0.2, 0.2, 0.6]]
        >>> Recall(average=None)([0, 1, 2, 2], y_pred)
        [1.0, 0.0, 1.0]
    """

    def ratio(self, hits: Array, actual: Array, predicted: Array) -> Array:
        return _ratio(hits, actual)


class _Beta(Metric):
    """The arguments of an F-beta score, in Keras's order."""

    average: str | None = word("macro", "micro", "weighted", None)
    beta: float = number(1.0, above=0.0, why="beta is the weight of recall relative to precision")
    threshold: float | None = optional(number(why="a class is predicted if its output is above the threshold"))


class FBetaScore(Counted, _Beta):
    """F-beta score: the weighted harmonic mean of precision and recall, in which recall counts beta times as much.

    `(1 + beta^2) hits / (beta^2 actual + predicted)` for each class, where `hits` is the weight of rows of the class
    that are predicted to be of it, `actual` that of all rows of the class and `predicted` that of all rows predicted
    to be of it; 0 where both are 0.

    Args:
        average: How to combine classes: "macro" (their mean), "micro" (from summed counts), "weighted" (by their
            rows), or None for a list.
        beta: How much more recall counts than precision, above 0.  1 gives the F1 score; above 1, missed rows cost
            more than false alarms.
        threshold: The output above which a class is predicted.  None for what suits the loss: the largest of
            exclusive outputs; for independent labels, those above 0.5 (probabilities) or 0 (logits).
        class_id: The only class to report.  None for all; for a single output it is 1, the positive class.
        name: Name in the history; by default "fbeta_score".
        dtype: Accepted for Keras's scripts and ignored: sums are always float64.

    Raises:
        ConfigError: When the network is built, if it has no class `class_id` (`config-metrics`).

    Example:
        >>> from firesteel.metrics import FBetaScore
        >>> round(FBetaScore(beta=2.0)([0, 1, 1, 0], [0.2, 0.9, 0.4, 0.1]), 4)
        0.5556

    Source: van Rijsbergen 1979, chapter 7.
    """

    def ratio(self, hits: Array, actual: Array, predicted: Array) -> Array:
        return _ratio((1 + self.beta**2) * hits, self.beta**2 * actual + predicted)


class F1Score(Counted):
    """F1 score: the harmonic mean of precision and recall.

    `2 hits / (actual + predicted)` for each class, where `hits` is the weight of rows of the class that are predicted
    to be of it, `actual` that of all rows of the class and `predicted` that of all rows predicted to be of it; 0
    where both are 0.

    Args:
        threshold: The output above which a class is predicted.  None for what suits the loss: the largest of
            exclusive outputs; for independent labels, those above 0.5 (probabilities) or 0 (logits).
        average: How to combine classes: "macro" (their mean), "micro" (from summed counts), "weighted" (by their
            rows), or None for a list.
        class_id: The only class to report.  None for all; for a single output it is 1, the positive class.
        name: Name in the history; by default "f1_score".
        dtype: Accepted for Keras's scripts and ignored: sums are always float64.

    Raises:
        ConfigError: When the network is built, if it has no class `class_id` (`config-metrics`).

    Example:
        >>> from firesteel.metrics import F1Score
        >>> round(F1Score()([0, 1, 1, 0], [0.2, 0.9, 0.4, 0.1]), 4)
        0.6667
    """

    def ratio(self, hits: Array, actual: Array, predicted: Array) -> Array:
        return _ratio(2 * hits, actual + predicted)


class ConfusionMatrix(Metric):
    """Confusion matrix: element `[i][j]` is the weight of the rows of class i that are predicted to be of class j.

    Of several outputs the largest is predicted.  The matrix of K classes adds K^2 sums to what each task returns.

    Args:
        threshold: The value above which a single output predicts class 1.  None for what suits the loss: 0.5 for
            probabilities, 0 for logits.
        name: Name in the history; by default "confusion_matrix".
        dtype: Accepted for Keras's scripts and ignored: sums are always float64.

    Example:
        >>> from firesteel.metrics import ConfusionMatrix
        >>> ConfusionMatrix()([0, 0, 1], [0.2, 0.7, 0.9])
        [[1.0, 1.0], [0.0, 1.0]]
    """

    threshold: float | None = optional(number(why="class 1 is predicted if the output is above the threshold"))

    def suited(self, loss: Loss, outputs: int) -> "ConfusionMatrix":
        return ConfusionMatrix(middle(loss)) if self.threshold is None and outputs == 1 else self

    def size(self, outputs: int) -> int:
        return max(2, outputs) ** 2

    def sums(self, p: Array, y: Array, w: Array) -> Array:
        actual, chosen = predicted(p, y, self.threshold)
        classes = max(2, p.shape[1])
        return np.bincount(actual * classes + chosen, w, classes**2)

    def result(self, sums: Array, weight: np.float64) -> Value:
        classes = round(len(sums) ** 0.5)
        return sums.reshape(classes, classes).tolist()


class LabelCount(Metric):
    """Base class of counts such as true positives, over all labels: each output of a row is one label.

    The value is the sum of the weights over all rows and labels that count.

    Args:
        thresholds: The probability above which a label is predicted, from 0 to 1, or a list of them, for a list of
            counts.
        from_logits: Whether outputs are logits, whose sigmoid is compared.  It is implied by a loss on logits.
    """

    thresholds: float | tuple[float, ...] = field(default=0.5, metadata={"check": thresholds})
    from_logits: bool = flag(False)
    actual: ClassVar[bool] = True
    chosen: ClassVar[bool] = True
    """Which labels count: those that are present (or not), and predicted (or not)."""

    def suited(self, loss: Loss, outputs: int) -> "LabelCount":
        return replace(self, from_logits=self.from_logits or middle(loss) == 0.0)

    def bounds(self) -> list[float]:
        """Return the thresholds, which are probabilities, converted to logits if the network outputs logits."""
        given = np.atleast_1d(self.thresholds).tolist()
        return [*map(logit, given)] if self.from_logits else given

    def size(self, outputs: int) -> int:
        return len(self.bounds())

    def sums(self, p: Array, y: Array, w: Array) -> Array:
        there = labels(p, y) == self.actual
        counts = (np.count_nonzero(there & ((p > bound) == self.chosen), axis=1) for bound in self.bounds())
        return np.array([w @ count for count in counts])

    def result(self, sums: Array, weight: np.float64) -> Value:
        return sums.tolist() if isinstance(self.thresholds, tuple) else float(sums[0])


class TruePositives(LabelCount):
    """Number of true positives: labels that are present and predicted, weighted by row.

    Each output is an independent label, so that a row of 3 outputs counts three times.

    Args:
        thresholds: The probability above which a label is predicted, from 0 to 1, or a list of them, for a list of
            counts.
        from_logits: Whether outputs are logits, whose sigmoid is compared.  It is implied by a loss on logits.
        name: Name in the history; by default "true_positives".
        dtype: Accepted for Keras's scripts and ignored: sums are always float64.

    Example:
        >>> from firesteel.metrics import TruePositives
        >>> TruePositives()([0, 1, 1], [0.2, 0.9, 0.4])
        1.0
    """

    larger_is_better = True


class TrueNegatives(LabelCount):
    """Number of true negatives: labels that are neither present nor predicted, weighted by row.

    Each output is an independent label, so that a row of 3 outputs counts three times.

    Args:
        thresholds: The probability above which a label is predicted, from 0 to 1, or a list of them, for a list of
            counts.
        from_logits: Whether outputs are logits, whose sigmoid is compared.  It is implied by a loss on logits.
        name: Name in the history; by default "true_negatives".
        dtype: Accepted for Keras's scripts and ignored: sums are always float64.

    Example:
        >>> from firesteel.metrics import TrueNegatives
        >>> TrueNegatives()([0, 1, 1], [0.2, 0.9, 0.4])
        1.0
    """

    larger_is_better, actual, chosen = True, False, False


class FalsePositives(LabelCount):
    """Number of false positives: labels that are predicted but not present, weighted by row.

    Each output is an independent label, so that a row of 3 outputs counts three times.

    Args:
        thresholds: The probability above which a label is predicted, from 0 to 1, or a list of them, for a list of
            counts.
        from_logits: Whether outputs are logits, whose sigmoid is compared.  It is implied by a loss on logits.
        name: Name in the history; by default "false_positives".
        dtype: Accepted for Keras's scripts and ignored: sums are always float64.

    Example:
        >>> from firesteel.metrics import FalsePositives
        >>> FalsePositives(thresholds=[0.1, 0.5])([0, 1, 1], [0.2, 0.9, 0.4])
        [1.0, 0.0]
    """

    larger_is_better, actual, chosen = False, False, True


class FalseNegatives(LabelCount):
    """Number of false negatives: labels that are present but not predicted, weighted by row.

    Each output is an independent label, so that a row of 3 outputs counts three times.

    Args:
        thresholds: The probability above which a label is predicted, from 0 to 1, or a list of them, for a list of
            counts.
        from_logits: Whether outputs are logits, whose sigmoid is compared.  It is implied by a loss on logits.
        name: Name in the history; by default "false_negatives".
        dtype: Accepted for Keras's scripts and ignored: sums are always float64.

    Example:
        >>> from firesteel.metrics import FalseNegatives
        >>> FalseNegatives()([0, 1, 1], [0.2, 0.9, 0.4])
        1.0
    """

    larger_is_better, actual, chosen = False, True, False


# Metrics of the order of the rows


class AUC(Area, Ranking):
    """Area under the ROC curve: the probability that a positive row scores above a negative one, ties counting half.

    It is exact: every score is a threshold.  Rows count by their weights.  The value is NaN without positive or
    negative rows.  `evaluate` and validation report it, the training values of an epoch do not; see `Ranking` for
    several outputs.

    Args:
        curve: "ROC", or "PR" for precision over recall, as in `AveragePrecision`.
        name: Name in the history; by default "auc".
        dtype: Accepted for Keras's scripts and ignored: sums are always float64.

    Example:
        >>> from firesteel.metrics import AUC
        >>> AUC()([0, 0, 1, 1], [0.1, 0.4, 0.3, 0.9])
        0.75
    """

    curve: str = later(word("ROC", "PR"))  # type: ignore[misc]


class AveragePrecision(Area, Ranking):
    """Average precision: the area under the precision-recall curve, summed by steps.

    `sum_g (R_g - R_{g-1}) P_g` over the groups of equal scores in descending order, with precision P_g and recall R_g
    after each.  It is exact: every score is a threshold.  The value is NaN without positive rows.  `evaluate` and
    validation report it, the training values of an epoch do not; see `Ranking` for several outputs.

    Args:
        name: Name in the history; by default "average_precision".
        dtype: Accepted for Keras's scripts and ignored: sums are always float64.

    Example:
        >>> from firesteel.metrics import AveragePrecision
        >>> round(AveragePrecision()([0, 0, 1, 1], [0.1, 0.4, 0.3, 0.9]), 4)
        0.8333

    Variant: scikit-learn's definition, by steps and not by trapezoids.
    """

    curve: ClassVar[str] = "PR"


class SensitivityAtSpecificity(Peak, Ranking):
    """The best sensitivity (recall) over all thresholds at which the specificity reaches a bound.

    It is exact: every score is a threshold.  The value is NaN without positive or negative rows.  `evaluate` and
    validation report it, the training values of an epoch do not; see `Ranking` for several outputs.

    Args:
        specificity: The least share of negative rows that must be rejected, from 0 to 1.
        name: Name in the history; by default "sensitivity_at_specificity".
        dtype: Accepted for Keras's scripts and ignored: sums are always float64.

    Example:
        >>> from firesteel.metrics import SensitivityAtSpecificity
        >>> SensitivityAtSpecificity(0.5)([0, 0, 1, 1], [0.1, 0.4, 0.3, 0.9])
        1.0
    """

    rates = "specificity", "sensitivity"
    specificity: float = share(0.5, "specificity is the required share of negative rows that are rejected")


class SpecificityAtSensitivity(Peak, Ranking):
    """The best specificity over all thresholds at which the sensitivity (recall) reaches a bound.

    Specificity is the share of negative rows that are rejected.  It is exact: every score is a threshold.  The value
    is NaN without positive or negative rows.  `evaluate` and validation report it, the training values of an epoch do
    not; see `Ranking` for several outputs.

    Args:
        sensitivity: The least share of positive rows that must be found, from 0 to 1.
        name: Name in the history; by default "specificity_at_sensitivity".
        dtype: Accepted for Keras's scripts and ignored: sums are always float64.

    Example:
        >>> from firesteel.metrics import SpecificityAtSensitivity
        >>> SpecificityAtSensitivity(0.5)([0, 0, 1, 1], [0.1, 0.4, 0.3, 0.9])
        1.0
    """

    rates = "sensitivity", "specificity"
    sensitivity: float = share(0.5, "sensitivity is the required share of positive rows that are found")


class PrecisionAtRecall(Peak, Ranking):
    """The best precision over all thresholds at which the recall reaches a bound.

    It is exact: every score is a threshold.  The value is NaN without positive rows.  `evaluate` and validation
    report it, the training values of an epoch do not; see `Ranking` for several outputs.

    Args:
        recall: The least share of positive rows that must be found, from 0 to 1.
        name: Name in the history; by default "precision_at_recall".
        dtype: Accepted for Keras's scripts and ignored: sums are always float64.

    Example:
        >>> from firesteel.metrics import PrecisionAtRecall
        >>> round(PrecisionAtRecall(1.0)([0, 0, 1, 1], [0.1, 0.4, 0.3, 0.9]), 4)
        0.6667
    """

    rates = "recall", "precision"
    recall: float = share(0.5, "recall is the required share of positive rows that are found")


class RecallAtPrecision(Peak, Ranking):
    """The best recall over all thresholds at which the precision reaches a bound.

    It is exact: every score is a threshold.  The value is NaN without positive rows.  `evaluate` and validation
    report it, the training values of an epoch do not; see `Ranking` for several outputs.

    Args:
        precision: The least share of the predicted rows that must be positive, from 0 to 1.
        name: Name in the history; by default "recall_at_precision".
        dtype: Accepted for Keras's scripts and ignored: sums are always float64.

    Example:
        >>> from firesteel.metrics import RecallAtPrecision
        >>> RecallAtPrecision(0.6)([0, 0, 1, 1], [0.1, 0.4, 0.3, 0.9])
        1.0
    """

    rates = "precision", "recall"
    precision: float = share(0.5, "precision is the required share of predicted rows that are positive")


METRICS: dict[str, Spec] = {
    "accuracy": Accuracy(),
    "auc": AUC(),
    "AUC": AUC(),
    "average_precision": AveragePrecision(),
    "binary_accuracy": BinaryAccuracy(),
    "categorical_accuracy": CategoricalAccuracy(),
    "confusion_matrix": ConfusionMatrix(),
    "cosine_similarity": CosineSimilarity(),
    "f1_score": F1Score(),
    "F1Score": F1Score(),
    "fbeta_score": FBetaScore(),
    "false_negatives": FalseNegatives(),
    "false_positives": FalsePositives(),
    "log_loss": LogLoss(),
    "binary_crossentropy": LogLoss(multi_label=True),
    "bce": LogLoss(multi_label=True),
    "categorical_crossentropy": LogLoss(),
    "crossentropy": LogLoss(),
    "sparse_categorical_crossentropy": LogLoss(),
    "mean_absolute_error": MeanAbsoluteError(),
    "mae": MeanAbsoluteError(),
    "mean_squared_error": MeanSquaredError(),
    "mse": MeanSquaredError(),
    "precision": Precision(),
    "Precision": Precision(),
    "precision_at_recall": PrecisionAtRecall(),
    "r2_score": R2Score(),
    "recall": Recall(),
    "Recall": Recall(),
    "recall_at_precision": RecallAtPrecision(),
    "root_mean_squared_error": RootMeanSquaredError(),
    "rmse": RootMeanSquaredError(),
    "sensitivity_at_specificity": SensitivityAtSpecificity(),
    "sparse_categorical_accuracy": SparseCategoricalAccuracy(),
    "sparse_top_k_categorical_accuracy": SparseTopKCategoricalAccuracy(),
    "specificity_at_sensitivity": SpecificityAtSensitivity(),
    "top_k_categorical_accuracy": TopKCategoricalAccuracy(),
    "true_negatives": TrueNegatives(),
    "true_positives": TruePositives(),
}
"""The metrics by name; the first name of a class is its name in a history."""
METRICS |= {name: MeanLoss(losses.get(name)) for name in losses.LOSSES if name not in METRICS}


class _resolver(resolver):  # noqa: N801  (used as a function)
    """Resolve a metric from a name, a config, a class, a metric or a loss."""

    def __call__(self, given: Any) -> Any:
        kind = given if isinstance(given, type) else getattr(given, "stands_for", type(given))
        if issubclass(kind, Loss):
            return MeanLoss(given, name=getattr(given, "name", None))
        # a copy, because the state of the registry's object would be shared
        return given if isinstance(given, Metric) else replace(super().__call__(given))


get = _resolver("a metric", Metric, METRICS)


def name_of(metric: Metric) -> str:
    """Return the name of a metric in the history: its own, its class's name in the registry, or the class name.

    Example:
        >>> name_of(Precision(class_id=1)), name_of(get(losses.get("kld")))
        ('precision', 'kl_divergence')
    """
    if metric.name is not None:
        return metric.name
    of, known = (metric.loss, losses.LOSSES) if isinstance(metric, MeanLoss) else (metric, METRICS)
    names = (name for name, one in known.items() if type(one) is type(of))
    return next(names, re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", type(of).__name__).lower())


COUNTED = SparseCategoricalAccuracy()


def suited(loss: Loss, outputs: int) -> Metric:
    """Return the metric that "accuracy" stands for with a loss and a number of outputs.

    Example:
        >>> from firesteel.core import losses
        >>> suited(losses.get("categorical_crossentropy"), 10)
        CategoricalAccuracy()
    """
    if loss.targets == "class":
        return COUNTED
    return CategoricalAccuracy() if exclusive(loss, outputs) else BinaryAccuracy(middle(loss))


ACCURACY = ("accuracy", "acc")
"""The names that stand for the accuracy that suits the loss."""


def named_metric(given: Any, loss: Loss, outputs: int) -> Metric:
    """Return a metric by its name, or the given object; "accuracy" depends on the loss."""
    if isinstance(given, str) and (given in ACCURACY or meant(given, ACCURACY)):
        return suited(loss, outputs)
    metric: Metric = get(given)
    return metric


def by_name(given: Sequence[str | Metric], loss: Loss) -> dict[str, str | Metric]:
    """Return the metrics as {name: metric}; a second metric with the same name gets the suffix _1, as in Keras.

    Raises ConfigError for unknown names.
    """
    before, found = Counter[str](), dict[str, str | Metric]()
    for one in given:
        checked = named_metric(one, loss, 1)
        name, metric = (one, one) if isinstance(one, str) else (name_of(checked), checked)
        found[f"{name}_{before[name]}" if before[name] else name] = metric
        before[name] += 1
    return found

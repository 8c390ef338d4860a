"""Metrics as sums over rows: they add up across batches, blocks and shards, and become a value once, at the end.

A metric that means something else with another loss is adapted by `suited`: what the outputs are, probabilities or
logits, classes that exclude each other or labels of their own, is known to the loss alone.  `network.py` keeps the
sums; `Ranking` metrics are no sums of rows, and `train/ranking.py` measures them.
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

# The families


class Metric(Accumulated, Spec, kw_only=True):
    """Base of metrics: some sums over rows, and what they come to.

    name: what the metric is called in the history; None for the name of its kind, such as "precision".
    dtype: "float32", "float64" or None, as Keras's scripts say; sums are float64 whatever it is.
    larger_is_better: whether a larger value is a better one; None where neither is.  What watches a metric with
    mode="auto" asks for it.
    differences: whether it depends on p - y and the spread of y alone, so that both may be counted from any number.
    """

    larger_is_better: ClassVar[bool | None] = None
    differences: ClassVar[bool] = False

    name: str | None = field(default=None, metadata=NAME, compare=False)
    dtype: str | None = field(default=None, metadata=DTYPE, compare=False, repr=False)

    def suited(self, loss: Loss, outputs: int) -> "Metric":
        """Return this metric as it is meant beside a loss, for a network of so many outputs."""
        return self

    def size(self, outputs: int) -> int:
        """Return the number of sums.  Raises ConfigError where the metric does not fit so many outputs."""
        raise NotImplementedError

    def sums(self, p: Array, y: Array, w: Array) -> Array:
        """Return the sums over the rows, (size,), float64.

        p: (B, O), the network's outputs.  y: (B, T), the targets.  w: (B,), the rows' weights, float64.
        """
        raise NotImplementedError

    def result(self, *args: Any) -> Value:
        """Return the value: `result(sums, weight)`; `result()` is that of the rows that `update_state` was given.

        sums: (size,).  weight: the sum of the rows' weights.  Without rows the value is 0.
        """
        if args:
            raise NotImplementedError
        return self._so_far()

    def __init_subclass__(cls, kw_only: bool = False) -> None:
        super().__init_subclass__(kw_only)
        if "result" in vars(cls):
            cls.result = so_far(cls.result)  # type: ignore[method-assign]


def so_far(result: Callable[..., Value]) -> Callable[..., Value]:
    """Return a method `result` that without arguments returns the value of the rows so far."""

    @functools.wraps(result)
    def found(self: Metric, *args: Any, **given: Any) -> Value:
        return result(self, *args, **given) if args or given else self._so_far()

    return found


class RowMetric(Metric):
    """Base of metrics that are the weighted mean of one number a row."""

    def rows(self, p: Array, y: Array) -> Array:
        """Return one value a row, (B,).  p: (B, O), the network's outputs.  y: (B, T), the targets."""
        raise NotImplementedError

    def size(self, outputs: int) -> int:
        return 1

    def sums(self, p: Array, y: Array, w: Array) -> Array:
        return np.array([np.dot(self.rows(p, y), w)])

    def result(self, sums: Array, weight: np.float64) -> Value:
        return float(sums[0] / weight)


class Ranking(Ordered, Metric):
    """Base of metrics of the order in which outputs put the rows.

    They need the scores of all rows under the same weights: `evaluate` and validation report them, an epoch's
    training row does not.  One output is one problem, and so is the second of two that exclude each other; of more,
    each is a problem of its own against the rest, and the mean over those that are defined is reported.
    Within one problem equal scores are one group, and groups come from the largest score to the smallest.
    """

    larger_is_better = True


# Means over rows


class Accuracy(RowMetric):
    """The share of a row's outputs that equal their targets: of a network that predicts the numbers themselves.

    The name "accuracy" means the accuracy that suits the loss, and seldom this one.

    >>> Accuracy().rows(np.array([[1.0, 2.0]]), np.array([[1.0, 3.0]]))
    array([0.5])
    """

    larger_is_better = True

    def rows(self, p: Array, y: Array) -> Array:
        return (p == y).mean(axis=1)


class SparseCategoricalAccuracy(RowMetric):
    """1 where the largest output is the target's class, else 0; y holds class numbers, (B, 1).

    >>> SparseCategoricalAccuracy().rows(np.array([[0.2, 0.8]]), np.array([[1.0]]))
    array([ True])
    """

    larger_is_better = True

    def rows(self, p: Array, y: Array) -> Array:
        return p.argmax(axis=1) == y[:, 0]


class CategoricalAccuracy(RowMetric):
    """1 where the largest output is at the largest target, else 0; y is one-hot, (B, O).

    >>> CategoricalAccuracy().rows(np.array([[0.2, 0.8]]), np.array([[0.0, 1.0]]))
    array([ True])
    """

    larger_is_better = True

    def rows(self, p: Array, y: Array) -> Array:
        return p.argmax(axis=1) == y.argmax(axis=1)


class BinaryAccuracy(RowMetric):
    """The share of a row's outputs that lie on the target's side: above `threshold` where y is above 0.5.

    >>> BinaryAccuracy().rows(np.array([[0.2, 0.8]]), np.array([[0.0, 0.0]]))
    array([0.5])
    """

    larger_is_better = True

    threshold: float = number(0.5, why="outputs above it say yes")

    def rows(self, p: Array, y: Array) -> Array:
        return ((p > self.threshold) == (y > 0.5)).mean(axis=1)


def _among(p: Array, at: Array, k: int) -> Array:
    """Return whether fewer than k outputs are larger than the one at each row's class, (B,); never without one."""
    own = np.take_along_axis(p, np.clip(at, 0, p.shape[1] - 1)[:, None], axis=1)
    return (np.count_nonzero(~(p <= own), axis=1) < k) & (at >= 0) & (at < p.shape[1])


class SparseTopKCategoricalAccuracy(RowMetric):
    """1 where fewer than k outputs are larger than that of the target's class; y holds class numbers, (B, 1).

    >>> SparseTopKCategoricalAccuracy(k=2).rows(np.array([[0.2, 0.5, 0.3]]), np.array([[2.0]]))
    array([ True])
    """

    larger_is_better = True

    k: int = integer(5, low=1, why="it is how many of the largest outputs count as right")

    def rows(self, p: Array, y: Array) -> Array:
        return _among(p, y[:, 0].astype(np.intp), self.k)


class TopKCategoricalAccuracy(RowMetric):
    """1 where fewer than k outputs are larger than the one at the largest target; y is one-hot, (B, O).

    >>> TopKCategoricalAccuracy(k=1).rows(np.array([[0.2, 0.5, 0.3]]), np.array([[0.0, 0.0, 1.0]]))
    array([False])
    """

    larger_is_better = True

    k: int = integer(5, low=1, why="it is how many of the largest outputs count as right")

    def rows(self, p: Array, y: Array) -> Array:
        return _among(p, y.argmax(axis=1), self.k)


class LogLoss(RowMetric):
    """-sum_k y_k log p_k; and for labels of their own -1/O sum_k (y_k log p_k + (1 - y_k) log(1 - p_k)).

    It is the cross-entropy whatever the loss is, without the price of the weights.  y: class numbers or (B, O).
    multi_label: outputs are labels of their own; so they are beside binary cross-entropy, and so is a single one.
    from_logits: outputs are logits; so they are beside a loss on logits.
    Probabilities are at least the smallest normal number of their dtype, and less than 1 by its rounding.  In float32
    scikit-learn takes 1e-7 for all that is smaller.

    >>> LogLoss().rows(np.array([[0.5, 0.5], [0.75, 0.25]]), np.array([[0.0], [1.0]])).round(4)
    array([0.6931, 1.3863])
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
    """1/O sum_k |p_k - y_k|.

    >>> MeanAbsoluteError().rows(np.array([[3.0, 0.0]]), np.array([[1.0, 0.0]]))
    array([1.])
    """

    larger_is_better = False
    differences = True

    def rows(self, p: Array, y: Array) -> Array:
        return np.abs(p - y).mean(axis=1)


class MeanSquaredError(RowMetric):
    """1/O sum_k (p_k - y_k)^2.

    >>> MeanSquaredError().rows(np.array([[3.0, 0.0]]), np.array([[1.0, 0.0]]))
    array([2.])
    """

    larger_is_better = False
    differences = True

    def rows(self, p: Array, y: Array) -> Array:
        r = p - y
        return (r * r).mean(axis=1)


class CosineSimilarity(RowMetric):
    """The cosine of the angle between the outputs and the targets of a row: minus the loss of that name.

    >>> CosineSimilarity().rows(np.array([[3.0, 4.0]]), np.array([[1.0, 0.0]]))
    array([0.6])
    """

    larger_is_better = True

    def rows(self, p: Array, y: Array) -> Array:
        return -MeanLoss(losses.CosineSimilarity()).rows(p, y)


class MeanLoss(RowMetric):
    """The mean of a loss: what makes a metric of each loss, and what `metrics=[losses.Hinge()]` means.

    Class numbers and one-hot rows stand for each other.  A cross-entropy takes logits where the loss of the training
    takes these.  Raises ConfigError, when the network is built, for a loss that does not go with so many outputs.

    >>> MeanLoss("hinge").rows(np.array([[0.5, 0.5]]), np.array([[1.0, 0.0]]))
    array([1.])
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
    """The square root of the mean squared error, of all rows and outputs together.

    >>> RootMeanSquaredError().result(np.array([18.0]), np.float64(2.0))
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
    """1 - sum w (y - p)^2 / sum w (y - mean y)^2 of each output, and the mean over outputs.

    class_aggregation: "uniform_average"; "variance_weighted_average", where outputs weigh by the variance of their
    targets; or None for one value an output.
    num_regressors: above 0 for the adjusted score 1 - (1 - R2) (n - 1) / (n - num_regressors - 1), where n is the
    number of targets, as in Keras; where it would divide by 0 or less the score stays as it is.
    Targets that do not vary beyond the rounding of float32 give 1 where they are met and 0 where not, as in
    scikit-learn.  The variance is a difference of float64 sums, with a relative error of about
    1e-16 (mean / deviation)^2, which is less than float32 targets lose by their own rounding.

    >>> metric, y = R2Score(), np.array([[1.0], [2.0], [3.0]])
    >>> metric.result(metric.sums(y + 0.5, y, np.ones(3)), np.float64(3.0))
    0.625
    """

    larger_is_better = True
    differences = True

    class_aggregation: str | None = word("uniform_average", "variance_weighted_average", None)
    num_regressors: int = later(integer(0, low=0, why="it is the number of columns that predict"))

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
    """Base of ratios of what `sums` counts of each class: the weights of hits, of rows in it, of rows told to be.

    threshold: outputs above it say yes; None for what suits the loss: the largest output tells the class, and where
    outputs are labels of their own, 0.5 on probabilities and 0 on logits decide.
    average: over classes, "macro" (each alike), "micro" (from the summed counts), "weighted" (each by its rows), or
    None for a list.  class_id: the class to report alone; of a single output it is 1, the positive one.
    A ratio without a divisor is 0, and all classes count, with rows or without.
    Raises ConfigError, when the network is built, for a class_id that it does not have.
    """

    larger_is_better = True

    threshold: float | None = optional(number(why="outputs above it say yes"))
    average: str | None = word("macro", "micro", "weighted", None)
    class_id: int | None = optional(integer(low=0, why="it is the number of a class"))

    def suited(self, loss: Loss, outputs: int) -> "Counted":
        threshold, one = self.threshold, self.class_id
        if threshold is None and not exclusive(loss, outputs):
            threshold = middle(loss)
        return replace(self, threshold=threshold, class_id=1 if one is None and outputs == 1 else one)

    def size(self, outputs: int) -> int:
        classes = max(2, outputs)
        if self.class_id is not None and self.class_id >= classes:
            raise ConfigError(
                f"{type(self).__name__}(class_id={self.class_id}): the network has {classes} classes, 0 to "
                f"{classes - 1}",
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
        """Return the value of each class, (K,), from the weights of K classes."""
        raise NotImplementedError


def _ratio(above: Array, below: Array) -> Array:
    return np.divide(above, below, out=np.zeros_like(above), where=below > 0)


class Precision(Counted):
    """hits / told: the share of the rows told to be of a class that are of it.

    >>> Precision(class_id=1).result(np.array([0.0, 3.0, 0.0, 4.0, 0.0, 5.0]), np.float64(9.0))
    0.6
    """

    def ratio(self, hits: Array, actual: Array, predicted: Array) -> Array:
        return _ratio(hits, predicted)


class Recall(Counted):
    """hits / rows: the share of a class's rows that are told to be of it.

    >>> Recall(class_id=1).result(np.array([0.0, 3.0, 0.0, 4.0, 0.0, 5.0]), np.float64(9.0))
    0.75
    """

    def ratio(self, hits: Array, actual: Array, predicted: Array) -> Array:
        return _ratio(hits, actual)


class _Beta(Metric):
    """The arguments of an F-beta score, in Keras's order."""

    average: str | None = word("macro", "micro", "weighted", None)
    beta: float = number(1.0, above=0.0, why="it is what recall weighs for each unit of precision")
    threshold: float | None = optional(number(why="outputs above it say yes"))


class FBetaScore(Counted, _Beta):
    """(1 + beta^2) hits / (beta^2 rows + predicted): a mean of both; recall weighs beta times as much.

    beta: 1 for the F1 score, which weighs both alike; above 1 what is missed counts more than false predictions.

    >>> FBetaScore(beta=2.0, class_id=1).result(np.array([0.0, 3.0, 0.0, 4.0, 0.0, 11.0]), np.float64(11.0))
    0.5555555555555556

    Source: van Rijsbergen 1979, chapter 7.
    """

    def ratio(self, hits: Array, actual: Array, predicted: Array) -> Array:
        return _ratio((1 + self.beta**2) * hits, self.beta**2 * actual + predicted)


class F1Score(Counted):
    """2 hits / (rows + told): the harmonic mean of precision and recall.

    >>> F1Score(class_id=1).result(np.array([0.0, 3.0, 0.0, 4.0, 0.0, 6.0]), np.float64(9.0))
    0.6
    """

    def ratio(self, hits: Array, actual: Array, predicted: Array) -> Array:
        return _ratio(2 * hits, actual + predicted)


class ConfusionMatrix(Metric):
    """The weight of the rows of each class (a list) that are told to be of each class (a number in it).

    Of several outputs the largest tells the class, of a single one whether it lies above `threshold`; None for what
    suits the loss, 0.5 on probabilities and 0 on logits.  Of K classes K^2 sums travel with every partial.

    >>> metric, p, y = ConfusionMatrix(), np.array([[0.2], [0.7], [0.9]]), np.array([[0.0], [0.0], [1.0]])
    >>> metric.result(metric.sums(p, y, np.ones(3)), np.float64(3.0))
    [[1.0, 1.0], [0.0, 1.0]]
    """

    threshold: float | None = optional(number(why="an output above it says yes"))

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
    """Base of counts of labels.  Each output is a label of its own: of 3 classes a row counts three times.

    What it reports is the sum of the rows' weights, for all labels together.
    thresholds: the probability above which an output says yes, or a list of such, for a list of counts.
    from_logits: outputs are logits, and their sigmoid is compared; so they are with a loss on logits.
    """

    thresholds: float | tuple[float, ...] = field(default=0.5, metadata={"check": thresholds})
    from_logits: bool = flag(False)
    actual: ClassVar[bool] = True
    said: ClassVar[bool] = True
    """Which labels count: those that are there or not, and that are predicted or not."""

    def suited(self, loss: Loss, outputs: int) -> "LabelCount":
        return replace(self, from_logits=self.from_logits or middle(loss) == 0.0)

    def bounds(self) -> list[float]:
        """Return what outputs are compared with."""
        given = np.atleast_1d(self.thresholds).tolist()
        return [*map(logit, given)] if self.from_logits else given

    def size(self, outputs: int) -> int:
        return len(self.bounds())

    def sums(self, p: Array, y: Array, w: Array) -> Array:
        there = labels(p, y) == self.actual
        counts = (np.count_nonzero(there & ((p > bound) == self.said), axis=1) for bound in self.bounds())
        return np.array([w @ count for count in counts])

    def result(self, sums: Array, weight: np.float64) -> Value:
        return sums.tolist() if isinstance(self.thresholds, tuple) else float(sums[0])


class TruePositives(LabelCount):
    """How many labels are there and predicted.

    >>> TruePositives()([0, 1, 1], [0.2, 0.9, 0.4])
    1.0
    """

    larger_is_better = True


class TrueNegatives(LabelCount):
    """How many labels are neither there nor predicted.

    >>> TrueNegatives()([0, 1, 1], [0.2, 0.9, 0.4])
    1.0
    """

    larger_is_better, actual, said = True, False, False


class FalsePositives(LabelCount):
    """How many labels are predicted and not there.

    >>> FalsePositives(thresholds=[0.1, 0.5])([0, 1, 1], [0.2, 0.9, 0.4])
    [1.0, 0.0]
    """

    larger_is_better, actual, said = False, False, True


class FalseNegatives(LabelCount):
    """How many labels are there and not predicted.

    >>> FalseNegatives()([0, 1, 1], [0.2, 0.9, 0.4])
    1.0
    """

    larger_is_better, actual, said = False, True, False


# Of the order of rows


class AUC(Area, Ranking):
    """The area under the ROC curve: the chance that a positive row scores above a negative one, ties as a half.

    Rows weigh by their weights.  It is exact: there are no thresholds.  NaN without positives or negatives.
    curve: "ROC", or "PR" for what `AveragePrecision` is, precision over recall.

    >>> AUC().gain(*np.array([[2.0, 1.0], [0.0, 4.0], [2.0, 3.0], [0.0, 4.0]]))
    array([ 0., 10.])
    """

    curve: str = later(word("ROC", "PR"))  # type: ignore[misc]


class AveragePrecision(Area, Ranking):
    """sum_g (R_g - R_{g-1}) P_g over the groups of equal scores, with precision P_g and recall R_g after each.

    scikit-learn's definition, by steps and not by trapezoids.  It is exact.  NaN without positives.

    >>> AveragePrecision().gain(*np.array([[2.0, 1.0], [0.0, 3.0], [2.0, 3.0], [0.0, 3.0]]))
    array([2. , 0.5])
    """

    curve: ClassVar[str] = "PR"


class SensitivityAtSpecificity(Peak, Ranking):
    """The largest share of positives found at a threshold where this share of negatives is left out.

    It is exact: every score is a threshold.  NaN without positives or negatives.

    >>> SensitivityAtSpecificity(0.5)([0, 0, 1, 1], [0.1, 0.4, 0.3, 0.9])
    1.0
    """

    rates = "specificity", "sensitivity"
    specificity: float = share(0.5, "it is the share of negatives that must be left out")


class SpecificityAtSensitivity(Peak, Ranking):
    """The largest share of negatives left out at a threshold where this share of positives is found.

    >>> SpecificityAtSensitivity(0.5)([0, 0, 1, 1], [0.1, 0.4, 0.3, 0.9])
    1.0
    """

    rates = "sensitivity", "specificity"
    sensitivity: float = share(0.5, "it is the share of positives that must be found")


class PrecisionAtRecall(Peak, Ranking):
    """The largest share of right ones among rows predicted, at a threshold where this share of positives is found.

    It is exact: every score is a threshold.  NaN without positives.

    >>> PrecisionAtRecall(1.0)([0, 0, 1, 1], [0.1, 0.4, 0.3, 0.9])
    0.6666666666666666
    """

    rates = "recall", "precision"
    recall: float = share(0.5, "it is the share of positives that must be found")


class RecallAtPrecision(Peak, Ranking):
    """The largest share of positives found at a threshold where this share of the rows predicted is right.

    >>> RecallAtPrecision(0.6)([0, 0, 1, 1], [0.1, 0.4, 0.3, 0.9])
    1.0
    """

    rates = "precision", "recall"
    precision: float = share(0.5, "it is the share of the rows predicted that must be right")


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
"""What users type; the first name of a kind is what it is called in a history."""
METRICS |= {name: MeanLoss(losses.get(name)) for name in losses.LOSSES if name not in METRICS}


class _resolver(resolver):  # noqa: N801  (used as a function)
    def __call__(self, given: Any) -> Any:
        kind = given if isinstance(given, type) else getattr(given, "stands_for", type(given))
        if issubclass(kind, Loss):
            return MeanLoss(given, name=getattr(given, "name", None))
        # a copy, because a registry's own would remember rows for all
        return given if isinstance(given, Metric) else replace(super().__call__(given))


get = _resolver("a metric", Metric, METRICS)


def name_of(metric: Metric) -> str:
    """Return what a metric is called in a history: its name, the first name of its kind, or its class's own.

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
    """Return what "accuracy" means beside this loss.

    >>> from firesteel.core import losses
    >>> suited(losses.get("categorical_crossentropy"), 10)
    CategoricalAccuracy()
    """
    if loss.targets == "class":
        return COUNTED
    return CategoricalAccuracy() if exclusive(loss, outputs) else BinaryAccuracy(middle(loss))


ACCURACY = ("accuracy", "acc")
"""Names of the accuracy that suits the loss."""


def named_metric(given: Any, loss: Loss, outputs: int) -> Metric:
    """Return the metric of a name, or the object itself; "accuracy" is the one that suits the loss."""
    if isinstance(given, str) and (given in ACCURACY or meant(given, ACCURACY)):
        return suited(loss, outputs)
    metric: Metric = get(given)
    return metric


def by_name(given: Sequence[str | Metric], loss: Loss) -> dict[str, str | Metric]:
    """Return the metrics by their names; the second of a name ends in _1, as in Keras.

    Raises ConfigError for unknown ones.
    """
    before, found = Counter[str](), dict[str, str | Metric]()
    for one in given:
        checked = named_metric(one, loss, 1)
        name, metric = (one, one) if isinstance(one, str) else (name_of(checked), checked)
        found[f"{name}_{before[name]}" if before[name] else name] = metric
        before[name] += 1
    return found

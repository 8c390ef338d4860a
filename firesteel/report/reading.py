"""What a network's outputs mean, given its loss: classes, labels or numbers; and how right they are.

`evidence.py` and `inside.py` ask their questions through it.  Shapes: n rows, T target columns, O outputs, K classes.
"""

from dataclasses import dataclass

import numpy as np

from firesteel.core.layers.activation import Sigmoid, logistic
from firesteel.core.losses import Loss
from firesteel.core.metrics import R2Score, middle, numbered, on_logits
from firesteel.core.types import Array
from firesteel.models import Sequential
from firesteel.train.centring import FAR


def task_of(model: Sequential, y: Array) -> str:
    """Return "classification", "multilabel" or "regression": what a compiled model does with targets y, (n, T).

    The loss decides; where it measures numbers, targets that are all one-hot are classes, and so are those of a
    sigmoid that are all 0 and 1.

    >>> from firesteel.layers import Dense
    >>> model = Sequential([Dense(3, activation="sigmoid", input_dim=2)])
    >>> model.compile(loss="mse")
    >>> task_of(model, np.eye(3)), task_of(model, np.ones((1, 3))), task_of(model, np.full((1, 3), 0.5))
    ('classification', 'multilabel', 'regression')
    """
    objective = model._objective()
    loss, parts, outputs = objective.loss, objective.network.parts, objective.network.outputs
    if loss.targets == "class" or (loss.natural == "softmax" and outputs > 1):
        return "classification"
    low = y.min(initial=1.0)
    sided = low in (-1, 0, 1) and bool(((y == low) | (y == 1)).all())
    apart = loss.natural == "sigmoid" or loss.targets == "sign"
    if sided and outputs > 1 and not apart and bool(((y == 1).sum(axis=1) == 1).all()):
        return "classification"
    if not sided or not (apart or (parts and isinstance(parts[-1], Sigmoid))):
        return "regression"
    return "multilabel" if outputs > 1 else "classification"


@dataclass(frozen=True)
class Reading:
    """What a network's outputs mean, given its loss, and how right they are."""

    task: str
    loss: Loss
    outputs: int

    @property
    def classes(self) -> int:
        """K: classes, labels or outputs."""
        return 2 if self.task == "classification" and self.outputs == 1 else self.outputs

    def truth(self, y: Array) -> Array:
        """Return the class of each row, (n,); which labels it has, (n, O); or its numbers, (n, O)."""
        if self.task == "regression":
            return y.astype(np.float64)
        if self.task == "multilabel":
            return y > 0.5
        return (y[:, 0] > 0.5).astype(np.intp) if self.outputs == 1 else numbered(y)

    def predicted(self, p: Array) -> Array:
        """Return what the outputs say, in the form of `truth`.  p: (n, O)"""
        if self.task == "regression":
            return p.astype(np.float64)
        if self.task == "classification" and self.outputs > 1:
            return p.argmax(axis=1)
        yes = p > middle(self.loss)
        return yes if self.task == "multilabel" else yes[:, 0].astype(np.intp)

    def chances(self, p: Array) -> Array | None:
        """Return the probability of each class, (n, K), or of each label, (n, O); None where there are none."""
        if self.task == "regression" or self.loss.targets == "sign":
            return None
        p = p.astype(np.float64)
        alone = self.task == "multilabel" or self.outputs == 1
        if on_logits(self.loss):
            e = np.exp(p - p.max(axis=1, keepdims=True))
            p = logistic(p) if alone else e / e.sum(axis=1, keepdims=True)
        if not ((p >= 0) & (p <= 1)).all():
            return None
        return np.hstack([1 - p, p]) if self.task == "classification" and alone else p

    @property
    def metric(self) -> str:
        """What `score` measures: "accuracy", of classes or labels; or "r2", of all outputs by their variance."""
        return "r2" if self.task == "regression" else "accuracy"

    def score(self, truth: Array, predicted: Array, w: Array) -> float:
        """Return the metric over the rows.  w: (n,), their weights."""
        if self.task == "regression":
            metric = R2Score("variance_weighted_average")
            sums = metric.sums(*near(predicted, truth), w)
            return float(metric.result(sums, w.sum()))  # type: ignore[arg-type]
        right = truth == predicted
        return float(w @ (right.mean(axis=1) if right.ndim > 1 else right) / w.sum())


def positive(w: Array) -> Array:
    """Return the weights as float64; all 1 where none is above 0, for a sample that has only such rows."""
    return w.astype(np.float64) if w.sum() > 0 else np.ones(len(w))


def near(predicted: Array, truth: Array) -> tuple[Array, Array]:
    """Return both, less the middle of a column that lies far from zero, so that squares keep their digits."""
    middle = np.median(truth, axis=0)
    middle = np.where(np.abs(middle) > FAR * truth.std(axis=0), middle, 0.0)
    return predicted - middle, truth - middle


def short(values: Array, digits: int = 4) -> list[float]:
    """Return numbers for people to look at: so many digits of each."""
    return [float(f"{value:.{digits}g}") for value in values.tolist()]

"""Interpretation of a network's outputs, and model inspection: norms, dead units, first-layer weights.

Shapes: n rows, I inputs, T target columns, O outputs, K classes.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from firesteel.core.centre import less
from firesteel.core.layers.activation import Rectifier, Sigmoid, logistic
from firesteel.core.layers.dense import Linear
from firesteel.core.layers.embedding import Embedding
from firesteel.core.loss import Loss, middle, on_logits
from firesteel.core.measuring import numbered
from firesteel.core.metrics import R2Score
from firesteel.core.network import Network, Objective, alone
from firesteel.core.types import Array, Run
from firesteel.graphs.outputs import OutputsLoss
from firesteel.models import Model
from firesteel.train.centring import FAR
from firesteel.train.rounds import predict
from firesteel.train.step import SUB_BATCH

SEVERAL = "several outputs"


def task_of(model: Model, y: Array) -> str:
    """Return the task of a compiled model with targets y, (n, T): "classification", "multilabel" or "regression".

    It is "several outputs" if each of several outputs has its own loss.  The loss decides; with a regression loss,
    one-hot targets are classes, and so are targets of 0 and 1 after a sigmoid.

    >>> from firesteel.layers import Dense
    >>> from firesteel.models import Sequential
    >>> model = Sequential([Dense(3, activation="sigmoid", input_dim=2)])
    >>> model.compile(loss="mse")
    >>> task_of(model, np.eye(3)), task_of(model, np.ones((1, 3))), task_of(model, np.full((1, 3), 0.5))
    ('classification', 'multilabel', 'regression')
    """
    objective = model._objective()
    loss, parts, outputs = objective.loss, objective.network.parts, objective.network.outputs
    if isinstance(loss, OutputsLoss) and len(loss.names) > 1:
        return SEVERAL
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
    """Interprets a network's outputs as classes, labels or numbers, and scores them."""

    task: str
    loss: Loss
    outputs: int

    @property
    def classes(self) -> int:
        """Number of classes, labels or outputs, K."""
        return 2 if self.task == "classification" and self.outputs == 1 else self.outputs

    def truth(self, y: Array) -> Array:
        """Convert targets to each row's class, (n,), its labels as booleans, (n, O), or its numbers, (n, O)."""
        if self.task == "regression":
            return y.astype(np.float64)
        if self.task == "multilabel":
            return y > 0.5
        return (y[:, 0] > 0.5).astype(np.intp) if self.outputs == 1 else numbered(y)

    def predicted(self, p: Array) -> Array:
        """Convert outputs, (n, O), to predictions: classes, labels or numbers, in the form that `truth` returns."""
        if self.task == "regression":
            return p.astype(np.float64)
        if self.task == "classification" and self.outputs > 1:
            return p.argmax(axis=1)
        yes = p > middle(self.loss)
        return yes if self.task == "multilabel" else yes[:, 0].astype(np.intp)

    def chances(self, p: Array) -> Array | None:
        """Return the probability of each class, (n, K), or label, (n, O); None if outputs are not probabilities."""
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
        """The metric of `score`: "accuracy" of classes or labels, or the variance-weighted "r2" of the outputs."""
        return "r2" if self.task == "regression" else "accuracy"

    def score(self, truth: Array, predicted: Array, w: Array) -> float:
        """Return the value of `metric` over rows with weights w, (n,)."""
        if self.task == "regression":
            metric = R2Score("variance_weighted_average")
            sums = metric.sums(*near(predicted, truth), w)
            return float(metric.result(sums, w.sum()))  # type: ignore[arg-type]
        right = truth == predicted
        return float(w @ (right.mean(axis=1) if right.ndim > 1 else right) / w.sum())


def positive(w: Array) -> Array:
    """Convert row weights to float64; if all are 0, replace them with 1."""
    return w.astype(np.float64) if w.sum() > 0 else np.ones(len(w))


def near(predicted: Array, truth: Array) -> tuple[Array, Array]:
    """Subtract a column's median from predictions and targets if it is far from zero, so squares stay precise."""
    middle = np.median(truth, axis=0)
    middle = np.where(np.abs(middle) > FAR * truth.std(axis=0), middle, 0.0)
    return predicted - middle, truth - middle


def short(values: Array, digits: int = 4) -> list[float]:
    """Round an array's numbers to significant digits, and return them as a list."""
    return [float(f"{value:.{digits}g}") for value in values.tolist()]


UNITS = 24
"""Greatest number of units whose weights are shown."""


class Use:
    """A network prepared for inference on rows."""

    def __init__(self, objective: Objective, theta: Array, run: Run) -> None:
        self.objective, self.theta, self.run = objective, theta, run

    def outputs(self, x: Array) -> Array:
        """Return the outputs for rows x, (n, I)."""
        return predict(self.objective.network, self.theta, x, self.run)


# Inspection


def sub_batches(network: Network, rows: int) -> Iterator[slice]:
    """Yield slices of rows, each small enough to be computed in one call."""
    size = network.rows or SUB_BATCH
    for first in range(0, rows, size):
        yield slice(first, min(first + size, rows))


def layers_of(objective: Objective, theta: Array, x: Array, y: Array, w: Array) -> list[dict[str, Any]]:
    """Return the norms of each layer's weights and gradients, and its dead units.

    The gradient is that of the mean loss in inference, without the penalty on the weights.  A unit is dead if its
    output is 0 on every row; None if the layer has no rectifier.  For sliding windows a unit is a channel.
    """
    network = objective.network
    views, entry = network.layout.views(theta), network.read_by(objective.last)
    gradient, partial = np.zeros(len(theta)), np.zeros(len(theta), theta.dtype)
    g = network.layout.views(partial)
    cutting = [isinstance(part, Rectifier) and not part.negative_slope for part in network.parts]
    alive = [np.zeros(network.shapes[part.makes[0]], bool) for part in network.plan]
    share = (w / w.sum()).astype(theta.dtype)
    x, y = less(x, network.centre.features, theta.dtype), less(y, network.centre.targets, theta.dtype)
    for rows in sub_batches(network, len(x)):
        values, pulls = alone(network.forward(views, x[rows].astype(theta.dtype), None, objective.plan, keep=True))
        for number, (part, cuts_off) in enumerate(zip(objective.plan, cutting, strict=False)):
            if cuts_off:
                alive[number] |= (values[part.makes[0]] != 0).any(axis=0)
        _, _, d = objective.centred.rows(values[entry], y[rows].astype(theta.dtype))
        d = d * share[rows, None]
        partial.fill(0)
        alone(network.backward(pulls, entry, d, g, entries=True))
        gradient += partial
    averages = np.zeros(len(theta), bool)
    for where, _ in network.statistics:
        averages[where] = True
    found = []
    for number, layer in enumerate(network.layers):
        own = [part for part in network.plan if part.node == number]
        cuts, owners = [part.number for part in own if cutting[part.number]], {part.owner for part in own}
        slices = [where for owner, _, _, where in network.layout.slices if owner in owners]
        if not slices and not cuts:
            continue
        weights = np.zeros(len(theta), bool)
        for where in slices:
            weights[where] = True
        weights &= ~averages
        shape = network.shapes[own[-1].makes[0]]
        by_channel = bool(network.rows) and len(shape) > 1
        dead = None
        if cuts:
            zero = ~alive[cuts[-1]]
            dead = int((zero.reshape(-1, shape[-1]).all(axis=0) if by_channel else zero).sum())
        found.append(
            {
                "name": f"layer {number} ({type(layer).__name__})",
                "parameters": sum(where.stop - where.start for where in slices),
                "weight_norm": np.linalg.norm(theta[weights].astype(np.float64)) if slices else None,
                "gradient_norm": np.linalg.norm(gradient[weights]) if slices else None,
                "units": shape[-1] if by_channel else math.prod(shape),
                "dead": dead,
            }
            | ({"of": "channels"} if by_channel else {})
        )
    return found


def first_layer(objective: Objective, theta: Array) -> list[list[float]] | None:
    """Return the weights of each unit of the first Dense layer; None if it does not read the inputs directly."""
    network = objective.network
    views = network.layout.views(theta)
    for number, part in enumerate(network.parts):
        if isinstance(part, Embedding) or len(network.shapes[number]) > 1:
            return None
        if isinstance(part, Linear):
            return [short(unit) for unit in views[number]["w"].T[:UNITS]]
    return None

"""Baselines: a linear model and a constant answer, scored on the same rows as a network.

The linear model is one Dense layer on standardized inputs, trained on sampled rows after the fit; it does not affect
the fit.  `spark/fitting.py` adds its score to a stage's summary, `report/evidence.py` to a report.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from firesteel.core import losses
from firesteel.core.centre import less
from firesteel.core.layers import Dense, Layer, Normalization, Table
from firesteel.core.layout import read_only
from firesteel.core.loss import Loss, middle
from firesteel.core.losses import Standardized
from firesteel.core.metrics import BinaryAccuracy, Metric, R2Score, suited
from firesteel.core.network import Network, Objective
from firesteel.core.optimizers import LBFGS
from firesteel.core.types import Array
from firesteel.errors import DivergenceError
from firesteel.models import Model
from firesteel.tables.moments import measure
from firesteel.tables.sampling import sample, sampled
from firesteel.train.blocks import Block
from firesteel.train.engine import Engine, LocalEngine
from firesteel.train.loop import train
from firesteel.train.partial import Task, tree_sum
from firesteel.train.recipe import Recipe
from firesteel.train.rounds import evaluate_all
from firesteel.train.state import Progress, TrainState
from firesteel.train.strategies import Gradient

WORK, FEWEST_STEPS, STEPS, FEWEST_ROWS = 3e8, 5, 20, 500
"""Limits of the linear model's training: operations (some tenths of a second), the least and the most L-BFGS steps,
and the least rows."""


@dataclass(frozen=True)
class Comparison:
    """Scores of a network and a linear model on the same rows.

    Args:
        metric: `"accuracy"` for classes or labels, or `"r2"`.
        rows: The number and the set of the rows, as text.
        network: The network's score; None if it could not be computed.
        linear: The linear model's score, or None.
        note: How the linear model was trained, or why it was not.

    Example:
        >>> print(Comparison("accuracy", "1,437 validation rows", 0.87, 0.84, "..."))
        on 1,437 validation rows: linear model: accuracy 0.84; network: 0.87
    """

    metric: str
    rows: str
    network: float | None
    linear: float | None
    note: str

    def __str__(self) -> str:
        if self.network is None or self.linear is None:
            network = "" if self.network is None else f"network: {self.metric} {self.network:.4g}; "
            return f"on {self.rows}: {network}linear model: {self.note}"
        return f"on {self.rows}: linear model: {self.metric} {self.linear:.4g}; network: {self.network:.4g}"


@dataclass(frozen=True)
class Baselines:
    """The linear model and the constant prediction with which a network is compared.

    Args:
        objective: The linear model with its loss and metric.
        linear: The weights of the linear model; None if it was not trained.
        constant: The weights with which it gives the same answer for every row.
        note: How the linear model was trained, or why it was not.
    """

    objective: Objective
    linear: Array | None
    constant: Array
    note: str


def metric_of(task: str, loss: Loss, outputs: int) -> Metric:
    """Return the metric of a comparison: accuracy; for regression R², averaged over outputs by variance."""
    if task == "regression":
        return R2Score("variance_weighted_average")
    apart = task == "multilabel" or outputs == 1
    return BinaryAccuracy(middle(loss)) if apart else suited(loss, outputs)


def affordable(inputs: int, outputs: int, rows: int, of: int) -> int:
    """Return on how many sampled rows a linear model can be trained in the time allowed; 0 if on too few.

    Args:
        inputs: The number of inputs.
        outputs: The number of outputs.
        rows: The number of sampled rows.
        of: The number of rows in all.
    """
    most = min(rows, int(WORK / (FEWEST_STEPS * _cost(inputs, outputs))))
    return most if most >= min(FEWEST_ROWS, of) else 0


def _cost(inputs: int, outputs: int) -> int:
    """Estimate the arithmetic operations per row of one training step of a linear model."""
    return inputs * outputs + 10 * (inputs + outputs)


def train_baselines(
    task: str, network: Network, x: Array, y: Array, w: Array, of: int, most: int = STEPS
) -> Baselines | None:
    """Train a linear model for a task.

    Args:
        task: `"classification"`, `"multilabel"` or `"regression"`.
        network: The network to compare with.
        x: The inputs, (n, I).
        y: The targets in the form of the network's loss, (n, T).
        w: The weights of the rows, (n,).
        of: The number of rows that these are a sample of.
        most: The largest number of L-BFGS steps.

    Returns:
        The baselines; None if the rows are too wide to train on enough of them.
    """
    inputs, outputs, columns, dtype = network.inputs, network.outputs, y.shape[1], np.dtype(network.dtype)
    rows = affordable(inputs, outputs, len(x), of)
    if not rows:
        return None
    w = w.astype(dtype) if w.any() else np.ones(len(x), dtype)
    activation, loss = "linear", losses.get("mse")
    if task == "multilabel" or (task == "classification" and outputs == 1):
        activation, loss, y = "sigmoid", losses.get("binary_crossentropy"), y > 0.5
    elif task == "classification":
        sparse = "sparse_" if columns == 1 else ""
        activation, loss = "softmax", losses.get(f"{sparse}categorical_crossentropy")
    engine = engine_of(network, x[:rows], y[:rows], w[:rows])
    features, targets = measure(engine, inputs, columns, network.dtype)
    first, given = network.layers[0] if network.layers else None, "on standardised inputs"
    front: Layer = features.normalization()
    if isinstance(first, Table):  # its categories are not numbers
        plain = ((),) * len(first.edges)
        front, given = (
            replace(first, edges=plain, unseen=0.0, shares=(), sparse_steps=False),
            "without bins, with embeddings",
        )
    layers: list[Layer] = [front, Dense(outputs, activation, kernel_initializer="zeros")]
    if task == "regression":
        layers.append(targets.normalization(Normalization(invert=True)))
        loss = Standardized(loss, targets.mean, targets.deviation)  # type: ignore[arg-type]
    linear = Network.chain(tuple(layers), inputs, network.dtype, centre=network.centre)
    objective = Objective(linear, loss, (("score", metric_of(task, loss, outputs)),))
    constant = linear.init(0)
    if task != "regression":
        shares = w @ y.astype(np.float64) / w.sum(dtype=np.float64) - 0.5
        if activation == "softmax":
            counts = np.bincount(y[:, 0].astype(np.intp), w, outputs) if columns == 1 else shares
            shares = np.arange(outputs) == counts.argmax()
        constant[[where for *_, where in linear.layout.slices][-1]] = shares
    if x.shape == y.shape and np.array_equal(x, y):
        return Baselines(objective, None, constant, "left out, because the targets are the inputs")
    steps = int(min(most, max(FEWEST_STEPS, WORK / (rows * _cost(inputs, outputs)))))
    start, recipe = TrainState.start(linear.init(0), LBFGS()), Recipe(steps, strategy=Gradient())
    try:
        state, _ = train(engine, Objective(linear, loss), LBFGS(), Progress(start), recipe)
    except DivergenceError:
        return Baselines(objective, None, constant, "left out, because its training diverged")
    kind = "linear" if task == "regression" else "logistic"
    note = f"{kind} regression {given}, {steps} steps of L-BFGS over {rows:,} rows"
    return Baselines(objective, state.theta, constant, note)


def engine_of(network: Network, x: Array, y: Array, w: Array) -> Engine:
    """Pack rows in memory into an engine, with the network's centre subtracted if it has one."""
    dtype = np.dtype(network.dtype)
    near, y = less(x, network.centre.features, dtype), less(y, network.centre.targets, dtype)
    return LocalEngine([Block(0, near.astype(dtype), None, y.astype(dtype), w.astype(dtype), 0)], 1, network.centre)


def too_wide_note(inputs: int) -> str:
    """Return the note that explains why `train_baselines` returned None."""
    return f"left out, because rows of {inputs:,} numbers are too wide"


def scores(
    engine: Engine, pairs: Sequence[tuple[Objective, Array]], title: str = "firesteel: scores to compare"
) -> list[float]:
    """Return the metric "score" of several networks over all rows of an engine, in one round."""
    first, *others = [Task(one, read_only(theta), shards=engine.shards, title=title) for one, theta in pairs]
    total = tree_sum(engine.map(functools.partial(evaluate_all, others), first))
    assert total is not None, "an engine holds at least one block"
    ends = np.cumsum([one.size for one, _ in pairs])
    parts = np.split(total.sums, ends[:-1])
    return [float(one.means(part)["score"]) for (one, _), part in zip(pairs, parts, strict=True)]


def compare(task: str, model: Model, training: Engine, scored: Engine, name: str, title: str) -> Comparison:
    """Compare a trained network with a linear model.

    Args:
        task: `"classification"`, `"multilabel"` or `"regression"`.
        model: The compiled model.
        training: The engine of the rows that the linear model is trained on.
        scored: The engine of the rows that both are scored on.
        name: The set that these belong to, such as `"validation"`.
        title: The title of the jobs.

    Returns:
        The scores, or a note with the reason if they cannot be computed; no error here ends a fit.
    """
    objective, network = model._objective(), model.network
    of = sum(block.rows for block in training.blocks)
    metric = "r2" if task == "regression" else "accuracy"
    rows = f"{sum(block.rows for block in scored.blocks):,} {name} rows"
    own = Objective(network, objective.loss, (("score", metric_of(task, objective.loss, network.outputs)),))
    try:
        found = None
        if affordable(network.inputs, network.outputs, sampled(training, objective), of):
            found = train_baselines(task, network, *sample(training, objective, model.theta, title), of)
        pairs = [(own, model.theta)]
        if found is not None and found.linear is not None:
            pairs.append((found.objective, found.linear))
        score, *linear = scores(scored, pairs, title)
    except Exception as error:
        return Comparison(metric, rows, None, None, f"left out: {error}")
    note = too_wide_note(network.inputs) if found is None else found.note
    return Comparison(metric, rows, score, linear[0] if linear else None, note)

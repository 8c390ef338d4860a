"""What a trained model is worth, in numbers: asked of a sample of rows, beside baselines that know far less.

Everything comes back as plain JSON values, so that a page can be drawn again from files alone.  It needs NumPy and the
face, no drawing.  Next: `verdict.py` says it in words, `page.py` shows it.
Shapes: n rows, I inputs, T target columns, O outputs, K classes.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from firesteel.core.activations import Rectify, Relu, Sigmoid, logistic
from firesteel.core.embedding import Lookup
from firesteel.core.layers import Dense, Normalization
from firesteel.core.losses import Loss, Standardized
from firesteel.core.metrics import R2Score, middle, numbered, on_logits
from firesteel.core.network import Objective
from firesteel.core.ops import Affine
from firesteel.core.optimizers import Adam
from firesteel.core.schedules import CosineDecay
from firesteel.core.seeds import rng_for
from firesteel.core.types import Array, Run
from firesteel.errors import ConfigError, DataError, DivergenceError
from firesteel.models import Sequential
from firesteel.train.engine import one_blas_thread, threads
from firesteel.train.rounds import SUB_BATCH, predict

__all__ = ["Names", "Rows", "examine", "task_of"]

WORK = 2e10
"""Multiplications that importance may take, and the linear model: seconds on one core, whatever the network."""
FEWEST_ROWS, FEWEST_INPUTS = 256, 20
"""What importance looks at even where that is more work."""
REPEATS = 5
"""How often an input is shuffled at most."""
BATCH, STEPS, FEWEST_STEPS = 64, 2000, 200
"""How the linear model is trained: rows a step, and steps."""
MISTAKES, UNITS, INPUTS, CLASSES, DRAWN, POINTS, BINS, STRIPES = 24, 24, 20, 100, 4, 1000, 10, 30
"""At most: mistakes, units shown as pictures, inputs named, classes in a matrix, outputs drawn, points of each;
then the bins of confidence, and of residuals."""

Answers = Callable[[Array], Array]


@dataclass(frozen=True)
class Rows:
    """A sample of the rows of one set.

    set: "training", "validation" or "test".  x: (n, I).  y: (n, T), targets as the loss takes them.
    weight: (n,).  of: how many rows the set has in all.
    """

    set: str
    x: Array
    y: Array
    weight: Array
    of: int


@dataclass(frozen=True)
class Names:
    """What things are called.  classes: of K classes, labels or outputs.  features: of I inputs.  picture: (h, w)."""

    classes: Sequence[str] | None = None
    features: Sequence[str] | None = None
    picture: tuple[int, int] | None = None

    def check(self, inputs: int, outputs: int) -> None:
        """Raise ConfigError where there are more or fewer names than the network has inputs and outputs.

        >>> Names(features=["age"]).check(2, 1)
        Traceback (most recent call last):
        firesteel.errors.ConfigError: feature_names has 1 names, and the network takes 2 inputs: name each, or none \
[config-names]
        """
        if self.features is not None and len(self.features) != inputs:
            raise ConfigError(
                f"feature_names has {len(self.features)} names, and the network takes {inputs} inputs: name each, or "
                "none",
                code="config-names",
            )
        if self.classes is not None and len(self.classes) not in ({1, 2} if outputs == 1 else {outputs}):
            raise ConfigError(
                f"class_names has {len(self.classes)} names, and the network has {outputs} outputs: name each, or none",
                code="config-names",
            )
        if self.picture is not None and (len(self.picture) != 2 or math.prod(self.picture) != inputs):
            raise ConfigError(
                f"picture={self.picture!r}: its height times width must be the network's {inputs} inputs",
                code="config-names",
            )


# What outputs mean


def task_of(model: Sequential, y: Array) -> str:
    """Return "classification", "multilabel" or "regression": what a compiled model does with targets y, (n, T).

    The loss decides; where it measures numbers, targets that are all one-hot are classes, and so are those of a
    sigmoid that are all 0 and 1.

    >>> model = Sequential([Dense(3, activation="sigmoid", input_dim=2)])
    >>> model.compile(loss="mse")
    >>> task_of(model, np.eye(3)), task_of(model, np.ones((1, 3))), task_of(model, np.full((1, 3), 0.5))
    ('classification', 'multilabel', 'regression')
    """
    objective = model._objective()
    loss, ops, outputs = objective.loss, objective.network.ops, objective.network.outputs
    if loss.targets == "class" or (loss.natural == "softmax" and outputs > 1):
        return "classification"
    low = y.min(initial=1.0)
    sided = low in (-1, 0, 1) and bool(((y == low) | (y == 1)).all())
    apart = loss.natural == "sigmoid" or loss.targets == "sign"
    if sided and outputs > 1 and not apart and bool(((y == 1).sum(axis=1) == 1).all()):
        return "classification"
    if not sided or not (apart or (ops and isinstance(ops[-1], Sigmoid))):
        return "regression"
    return "multilabel" if outputs > 1 else "classification"


@dataclass(frozen=True)
class Reading:
    """What a network's outputs tell beside its loss, and how right that is."""

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

    def told(self, p: Array) -> Array:
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

    def score(self, truth: Array, told: Array, w: Array) -> float:
        """Return the metric over the rows.  w: (n,), their weights."""
        if self.task == "regression":
            metric = R2Score("variance_weighted_average")
            return float(metric.result(metric.sums(told, truth, w), w.sum()))  # type: ignore[arg-type]
        right = truth == told
        return float(w @ (right.mean(axis=1) if right.ndim > 1 else right) / w.sum())


# The whole examination


def examine(model: Sequential, rows: Rows, training: Rows, names: Names | None = None) -> dict[str, Any]:
    """Return the evidence: how good a trained model is on `rows`, what it gets wrong, and what it looks at.

    training: rows that it learned from; baseline and linear model learn from them, and over-fitting shows in them.
    Counts are sums of the rows' weights.  Nothing in the result is NaN: what is undefined is None.
    Importance takes at most about 2e10 multiplications: as many rows, then as many inputs and repeats as fit.
    Raises ConfigError for names that do not fit the network.

    >>> x = np.linspace(-1, 1, 64)[:, None]
    >>> model = Sequential([Dense(1, activation="sigmoid", input_dim=1)])
    >>> model.compile("sgd", "binary_crossentropy")
    >>> rows = Rows("training", x, (x > 0).astype(float), np.ones(64), 64)
    >>> model.set_weights([[[5.0]], [0.0]])
    >>> found = examine(model, rows, rows)
    >>> found["metric"], found["score"], found["confusion"]
    ('accuracy', 1.0, [[32, 0], [0, 32]])
    """
    names = names or Names()
    network = model.network
    names.check(network.inputs, network.outputs)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        return _plain(_examined(model, rows, training, names))


def _examined(model: Sequential, rows: Rows, training: Rows, names: Names) -> dict[str, Any]:
    objective, network = model._objective(), model.network
    task = task_of(model, np.vstack([rows.y, training.y]))
    reading = Reading(task, objective.loss, network.outputs)
    called = _called(reading, names)
    w = _positive(rows.weight)
    with one_blas_thread(), threads() as run:
        use = _Use(objective, model.theta, run)
        p = use.outputs(rows.x)
        truth, told = reading.truth(rows.y), reading.told(p)
        learned = reading.score(reading.truth(training.y), reading.told(use.outputs(training.x)), training.weight)
        layers, slopes = _layers(objective, model.theta, rows.x, rows.y, w)
        importance = _importance(use, reading, rows, w, names, slopes)
    found: dict[str, Any] = {
        "set": rows.set,
        "rows": len(rows.x),
        "of": rows.of,
        "metric": reading.metric,
        "score": reading.score(truth, told, w),
        "training": {"rows": len(training.x), "score": learned},
        "baseline": _baseline(reading, truth, w, training, called),
        "linear": _linear(reading, rows, truth, w, training),
    }
    found |= (_numbers if task == "regression" else _classes)(reading, truth, told, reading.chances(p), w, called)
    shown = list(range(network.inputs)) if names.picture else [item["index"] for item in importance["inputs"]]
    for mistake in found["mistakes"]:
        mistake["input"] = _short(rows.x[mistake["row"], shown])
    found |= {"importance": importance, "layers": layers}
    if names.picture and (weights := _first_layer(objective, model.theta)) is not None:
        found["first_layer"] = weights
    return found


def _called(reading: Reading, names: Names) -> list[str]:
    given = None if names.classes is None else [str(name) for name in names.classes]
    if given is not None and len(given) == reading.classes:
        return given
    if given is not None and reading.task == "classification":
        return [f"not {given[0]}", given[0]]
    word = {"classification": "{}", "multilabel": "label {}", "regression": "output {}"}[reading.task]
    return ["target"] if reading.classes == 1 else [word.format(k) for k in range(reading.classes)]


def _positive(w: Array) -> Array:
    """Return the weights as float64; all 1 where none is above 0, for a sample that has only such rows."""
    return w.astype(np.float64) if w.sum() > 0 else np.ones(len(w))


def _plain(value: Any) -> Any:
    """Return the value in JSON's types; numbers that are not finite become None."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, np.ndarray | np.generic):
        return _plain(value.tolist())
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _short(values: Array) -> list[float]:
    """Return numbers for people to look at: four digits of each."""
    return [float(f"{value:.4g}") for value in values.tolist()]


def _count(weight: float) -> float:
    """Return a sum of weights as a whole number where it is one."""
    return int(weight) if float(weight).is_integer() else float(weight)


class _Use:
    """A network in use: its outputs and losses for rows."""

    def __init__(self, objective: Objective, theta: Array, run: Run) -> None:
        self.objective, self.theta, self.run = objective, theta, run

    def outputs(self, x: Array) -> Array:
        return predict(self.objective.network, self.theta, x, self.run)

    def losses(self, x: Array, y: Array) -> Array:
        """Return each row's loss, (n,)."""
        z = predict(self.objective.network, self.theta, x, self.run, self.objective.last)
        return self.objective.loss.rows(z, y.astype(z.dtype))[0].astype(np.float64)


# Beside what


def _baseline(reading: Reading, truth: Array, w: Array, training: Rows, called: list[str]) -> dict[str, Any]:
    """Return how right one answer for every row is, the best one for the training rows."""
    known, v = reading.truth(training.y), _positive(training.weight)
    if reading.task == "classification":
        most = int(np.bincount(known, v, reading.classes).argmax())
        name, answer = f"always “{called[most]}”", np.array(most)
    else:
        mean = v @ known / v.sum()
        several = "means" if reading.outputs > 1 else "mean"
        name = f"always the {several}" if reading.task == "regression" else "each label's more frequent side"
        answer = mean if reading.task == "regression" else mean > 0.5
    return {"name": name, "score": reading.score(truth, np.broadcast_to(answer, truth.shape), w)}


def _linear(reading: Reading, rows: Rows, truth: Array, w: Array, training: Rows) -> dict[str, Any] | None:
    """Return how right a linear model is: one Dense layer on standardised inputs, trained on the training rows.

    Steps of Adam over 64 rows each, its rate going from 0.02 to 0 along a cosine; as many as 2e10 multiplications
    allow, between 200 and 2,000.  None for targets that are the inputs themselves, which it could copy, and where it
    cannot be trained.
    """
    if training.x.shape == training.y.shape and np.array_equal(training.x, training.y):
        return None
    y, inputs = reading.truth(training.y), training.x.shape[1]
    several = reading.task == "classification" and reading.classes > 2
    outputs = reading.classes if several or reading.task != "classification" else 1
    activation, loss = ("softmax", "sparse_categorical_crossentropy") if several else ("sigmoid", "bce")
    chosen: str | Loss = loss
    if reading.task == "regression":
        v = _positive(training.weight)
        mean = v @ y / v.sum()
        spread = np.sqrt(v @ (y - mean) ** 2 / v.sum())
        activation, chosen = "linear", Standardized("mse", tuple(mean), tuple(np.where(spread > 0, spread, 1.0)))
    wanted = min(STEPS, max(FEWEST_STEPS, int(WORK / (3 * BATCH * inputs * outputs))))
    epochs = -(-wanted // -(-len(y) // BATCH))
    steps = epochs * -(-len(y) // BATCH)
    model = Sequential([Normalization(input_dim=inputs), Dense(outputs, activation=activation)])
    model.compile(Adam(CosineDecay(0.02, steps)), chosen)
    try:
        model.fit(training.x, y, BATCH, epochs, 0, sample_weight=training.weight)
    except (DataError, DivergenceError):
        return None
    assert model._loss is not None
    told = Reading(reading.task, model._loss, outputs).told(model.predict(rows.x))
    kind = "linear regression" if reading.task == "regression" else "logistic regression"
    name = f"{kind}: one Dense layer on standardised inputs, {steps:,} steps of Adam"
    return {"name": name, "score": reading.score(truth, told, w)}


# Classes and labels


def _classes(
    reading: Reading, truth: Array, told: Array, chances: Array | None, w: Array, called: list[str]
) -> dict[str, Any]:
    """Return confusion, what is found of each class, calibration, and the most confident mistakes."""
    many = reading.classes
    if reading.task == "classification":
        confusion = np.bincount(truth * many + told, w, many * many).reshape(many, many)
        hits, actual, said = confusion.diagonal(), confusion.sum(axis=1), confusion.sum(axis=0)
    else:
        confusion = None
        hits, actual, said = w @ (truth & told), w @ truth, w @ told
    found: dict[str, Any] = {}
    if confusion is not None and many <= CLASSES:
        found["confusion"] = [[_count(value) for value in row] for row in confusion]
    found["per_class"] = [
        {
            "class": called[k],
            "rows": _count(actual[k]),
            "precision": _ratio(hits[k], said[k]),
            "recall": _ratio(hits[k], actual[k]),
            "f1": _ratio(2 * hits[k], actual[k] + said[k]),
        }
        for k in range(many)
    ]
    rows = np.arange(len(w))
    certain = None
    if chances is not None and reading.task == "classification":
        certain = chances[rows, told]
        found["calibration"] = _calibration(certain, truth == told, w)
    elif chances is not None:
        certain = np.where(told, chances, 1 - chances)
        found["calibration"] = _calibration(chances.ravel(), truth.ravel(), np.repeat(w, many))
    wrong = (truth != told) & (w > 0 if truth.ndim == 1 else w[:, None] > 0)
    where = np.argwhere(wrong)
    sure = np.zeros(len(where)) if certain is None else certain[wrong]
    found["mistakes"] = [
        {
            "row": int(where[at][0]),
            **({} if truth.ndim == 1 else {"class": called[where[at][1]]}),
            "truth": called[truth[tuple(where[at])]] if truth.ndim == 1 else _yes(truth[tuple(where[at])]),
            "predicted": called[told[tuple(where[at])]] if truth.ndim == 1 else _yes(told[tuple(where[at])]),
            "confidence": None if certain is None else float(sure[at]),
        }
        for at in np.argsort(-sure, kind="stable")[:MISTAKES]
    ]
    found["wrong"] = int(wrong.sum())
    return found


def _yes(label: bool) -> str:
    return "yes" if label else "no"


def _ratio(above: float, below: float) -> float | None:
    """Return the ratio; None where there is nothing to divide by."""
    return float(above / below) if below > 0 else None


def _calibration(chances: Array, right: Array, w: Array) -> dict[str, Any]:
    """Return, for ten bins of probability, how often it was right; and the expected calibration error.

    error: sum over bins of (weight of the bin / weight) |mean probability - share right|.

    Source: Guo et al. 2017, equation 3.
    """
    at = np.minimum((chances * BINS).astype(np.intp), BINS - 1)
    weight, certain, hits = (np.bincount(at, by, BINS) for by in (w, w * chances, w * right))
    bins = [
        {
            "low": k / BINS,
            "high": (k + 1) / BINS,
            "rows": _count(weight[k]),
            "confidence": float(certain[k] / weight[k]),
            "accuracy": float(hits[k] / weight[k]),
        }
        for k in range(BINS)
        if weight[k] > 0
    ]
    return {"error": float(np.abs(certain - hits).sum() / weight.sum()), "bins": bins}


# Numbers


def _numbers(
    reading: Reading, truth: Array, told: Array, chances: Array | None, w: Array, called: list[str]
) -> dict[str, Any]:
    """Return each output's errors, points and residuals for the first few, and the rows that are furthest off."""
    r, metric = told - truth, R2Score(None)
    total = w.sum()
    r2 = np.asarray(metric.result(metric.sums(told, truth, w), total))
    rmse, mae = np.sqrt(w @ (r * r) / total), w @ np.abs(r) / total
    outputs: list[dict[str, Any]] = [
        {"name": called[k], "rmse": rmse[k], "mae": mae[k], "r2": r2[k]} for k in range(reading.outputs)
    ]
    some = np.sort(rng_for(0, "report", "points").permutation(len(w))[:POINTS])
    for k, output in enumerate(outputs[:DRAWN]):
        output["points"] = [_short(pair) for pair in np.stack([truth[some, k], told[some, k]], axis=1)]
        counts, edges = np.histogram(r[:, k], STRIPES, weights=w) if np.isfinite(r[:, k]).all() else ([], [])
        output["histogram"] = {"edges": edges, "counts": [_count(value) for value in counts]}
    far = np.abs(r) / np.where(rmse > 0, rmse, 1.0)
    worst = far.max(axis=1) * (w > 0)
    mistakes = []
    for row in np.argsort(-worst, kind="stable")[:MISTAKES]:
        k = int(far[row].argmax())
        if worst[row] > 0:
            mistakes.append({"row": row, "output": called[k], "truth": truth[row, k], "predicted": told[row, k]})
    return {"outputs": outputs, "mistakes": mistakes}


# What it looks at


def _importance(use: _Use, reading: Reading, rows: Rows, w: Array, names: Names, slopes: Array) -> dict[str, Any]:
    """Return how much worse the metric gets when one input's values are shuffled among the rows.

    Of pictures it is the loss, which feels a single pixel; "drop" is then its rise.  An input that never changes
    drops nothing.  Where not all inputs fit in the work, those are tried whose slope times spread is largest.
    slopes: (I,), the mean size of d(loss)/dx.

    Source: Breiman 2001, section 10; Fisher, Rudin and Dominici 2019.
    """
    network = use.objective.network
    spread = rows.x.std(axis=0, dtype=np.float64)
    moving = np.flatnonzero(rows.x.max(axis=0) > rows.x.min(axis=0))
    once = max(1, network.layout.size)
    m = min(len(rows.x), max(FEWEST_ROWS, int(WORK / (once * max(1, len(moving))))))
    order = np.argsort(-(slopes * spread)[moving], kind="stable")
    moving = np.sort(moving[order[: max(FEWEST_INPUTS, int(WORK / (once * m)))]])
    repeats = min(REPEATS, max(1, int(WORK / (once * m * max(1, len(moving))))))
    some = np.sort(rng_for(0, "report", "rows").permutation(len(rows.x))[:m])
    x, y, v = rows.x[some].astype(network.dtype), rows.y[some], _positive(w[some])
    truth = reading.truth(y)

    def worth() -> float:
        if names.picture:
            return -float(v @ use.losses(x, y) / v.sum())
        return reading.score(truth, reading.told(use.outputs(x)), v)

    whole, drops = worth(), np.zeros(network.inputs)
    for i in moving:
        column = x[:, i].copy()
        for repeat in range(repeats):
            x[:, i] = column[rng_for(0, "report", "shuffle", int(i), repeat).permutation(m)]
            drops[i] += (whole - worth()) / repeats
        x[:, i] = column
    drops[~np.isfinite(drops)] = 0.0
    shown = np.arange(network.inputs) if names.picture else np.argsort(-drops, kind="stable")[:INPUTS]
    inputs = [
        {"index": int(i), **({} if names.features is None else {"name": str(names.features[i])}), "drop": drops[i]}
        for i in shown
    ]
    metric = "loss" if names.picture else reading.metric
    return {"metric": metric, "rows": m, "repeats": repeats, "tried": len(moving), "inputs": inputs}


# Inside


def _layers(objective: Objective, theta: Array, x: Array, y: Array, w: Array) -> tuple[list[dict[str, Any]], Array]:
    """Return each layer's norms and dead units, and the mean size of d(loss)/dx of each input, (I,).

    The gradient is that of the rows' mean loss in use, without the price of the weights.  A unit is dead if it is 0
    on every row; None where nothing cuts off below 0.
    """
    network = objective.network
    views, ops = network.layout.views(theta), network.ops
    gradient, part = np.zeros(len(theta)), np.zeros(len(theta), theta.dtype)
    g = network.layout.views(part)
    cutting = [isinstance(op, Relu) or (isinstance(op, Rectify) and not op.negative_slope) for op in ops]
    alive = [np.zeros(width, bool) for width in network.widths[1:]]
    slopes = np.zeros(network.inputs)
    share = (w / w.sum()).astype(theta.dtype)
    for at in range(0, len(x), SUB_BATCH):
        z, pulls = x[at : at + SUB_BATCH].astype(theta.dtype), []
        for number, op in enumerate(ops[: objective.last]):
            z, pull = op.apply(views[number], z, None)
            pulls.append(pull)
            if cutting[number]:
                alive[number] |= (z != 0).any(axis=0)
        _, _, d = objective.loss.rows(z, y[at : at + SUB_BATCH].astype(theta.dtype))
        d = d * share[at : at + SUB_BATCH, None]
        part.fill(0)
        for number in range(objective.last - 1, -1, -1):
            d = pulls[number](d, g[number], True)
            if d is None:
                break
        gradient += part
        slopes += 0 if d is None else np.abs(d).sum(axis=0)
    averages = np.zeros(len(theta), bool)
    for where, _ in network.statistics:
        averages[where] = True
    found, first = [], 0
    for number, layer in enumerate(network.layers):
        own = range(first, first + len(layer.ops()))
        first += len(own)
        cuts = [op for op in own if cutting[op]]
        slices = [where for op, _, _, where in network.layout.slices() if op in own]
        if not slices and not cuts:
            continue
        kept = np.zeros(len(theta), bool)
        for where in slices:
            kept[where] = True
        kept &= ~averages
        found.append(
            {
                "name": f"layer {number} ({type(layer).__name__})",
                "parameters": sum(where.stop - where.start for where in slices),
                "weight_norm": np.linalg.norm(theta[kept].astype(np.float64)) if slices else None,
                "gradient_norm": np.linalg.norm(gradient[kept]) if slices else None,
                "units": network.widths[own[-1] + 1],
                "dead": int((~alive[cuts[-1]]).sum()) if cuts else None,
            }
        )
    return found, slopes


def _first_layer(objective: Objective, theta: Array) -> list[list[float]] | None:
    """Return what each unit of the first Dense layer weighs each input with; None where it sees something else."""
    network = objective.network
    views = network.layout.views(theta)
    for number, op in enumerate(network.ops):
        if isinstance(op, Lookup):
            return None
        if isinstance(op, Affine):
            return [_short(unit) for unit in views[number]["w"].T[:UNITS]]
    return None

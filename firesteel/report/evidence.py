"""The evidence of a report: measurements of a trained model on a sample of rows, and comparisons with baselines.

Results are plain JSON values, so that a page can be redrawn from files alone.  Next: `verdict.py` puts them into
words, `page.py` shows them.
Shapes: n rows, I inputs, T target columns, O outputs, K classes.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from firesteel.core.metrics import R2Score
from firesteel.core.network import Network, Objective
from firesteel.core.seeds import rng_for
from firesteel.core.types import Array, Shape
from firesteel.errors import ConfigError
from firesteel.fast.blas import one_blas_thread
from firesteel.fast.threads import threads
from firesteel.models import Model
from firesteel.report import columns, pictures
from firesteel.report.columns import EncodedColumn
from firesteel.report.reading import (
    SEVERAL,
    Reading,
    Use,
    first_layer,
    layers_of,
    near,
    positive,
    short,
    task_of,
)
from firesteel.search.linear import STEPS, engine_of, metric_of, scores, too_wide_note, train_baselines
from firesteel.tables.importance import MOST_ROWS, Importances, ScoredRows, affordable, measured, places_of
from firesteel.train.centring import FAR
from firesteel.train.engine import Engine

MISTAKES, CLASSES, DRAWN, POINTS = 24, 100, 4, 1000
"""Greatest numbers of mistakes, of classes in a matrix, of outputs drawn, and of points for each."""
BINS, STRIPES = 10, 30
"""Numbers of bins of confidence and of residuals."""
NAMED, ELEMENTS = 20, 3
"""Greatest numbers of inputs or columns whose importance is listed, and of elements of an array shown."""


@dataclass(frozen=True)
class SampledRows:
    """A sample of the training, validation or test rows, for the report.

    Args:
        set: "training", "validation" or "test".
        x: The inputs, (n, I).
        y: The targets as the loss takes them, (n, T).
        weight: The row weights, (n,).
        of: Number of rows in the set.
        engine: An engine with all rows; None if the sample contains them all.
    """

    set: str
    x: Array
    y: Array
    weight: Array
    of: int
    engine: Engine | None = field(default=None, compare=False)

    def all(self, network: Network) -> Engine:
        """Return an engine that holds all rows; if only the sample is known, an engine that holds the sample."""
        return self.engine or engine_of(network, self.x, self.y, positive(self.weight))

    @property
    def scored(self) -> int:
        """Number of rows on which the scores are computed."""
        return len(self.x) if self.engine is None else self.of


@dataclass(frozen=True)
class DisplayNames:
    """Names of the network's inputs, outputs and classes, as the report shows them.

    Args:
        classes: Names of the K classes, labels or outputs.
        features: Names of the I inputs.
        picture: (height, width) if the inputs are pixels.
    """

    classes: Sequence[str] | None = None
    features: Sequence[str] | None = None
    picture: tuple[int, int] | None = None

    def check(self, inputs: int, outputs: int) -> None:
        """Raise ConfigError if there are more or fewer names than the network has inputs or outputs.

        >>> DisplayNames(features=["age"]).check(2, 1)
        Traceback (most recent call last):
        firesteel.errors.ConfigError: feature_names has 1 names, but the network takes 2 inputs: name all or none \
[config-names]
        """
        for word, names, fit, what in (
            ("feature", self.features, {inputs}, f"takes {inputs} inputs"),
            ("class", self.classes, {1, 2} if outputs == 1 else {outputs}, f"has {outputs} outputs"),
        ):
            if names is not None and len(names) not in fit:
                raise ConfigError(
                    f"{word}_names has {len(names)} names, but the network {what}: name all or none",
                    code="config-names",
                )
        if self.picture is not None and (len(self.picture) != 2 or math.prod(self.picture) != inputs):
            raise ConfigError(
                f"picture={self.picture!r}: its height times width must be the network's {inputs} inputs",
                code="config-names",
            )


@dataclass(frozen=True)
class Exam:
    """A network, the rows on which it is examined, and the measurements that need all of these rows.

    Args:
        objective: The network and its loss.
        theta: The weights.
        rows: The sample of rows.
        shuffled: Rows for the permutation importances.
        compared: Scores of the network and the baselines.
    """

    objective: Objective
    theta: Array
    rows: SampledRows
    shuffled: ScoredRows
    compared: dict[str, Any]

    @staticmethod
    def of(
        model: Model, rows: SampledRows, training: SampledRows, names: DisplayNames, most: int = MOST_ROWS
    ) -> "Exam":
        """Prepare the examination of a model: compare it with baselines, and choose rows for importances.

        Args:
            model: The model.
            rows: The rows.
            training: Rows that it was trained on.
            names: Names for the report.
            most: Greatest number of rows for importances.
        """
        objective = model._objective()
        reading = Reading(task_of(model, np.vstack([rows.y, training.y])), objective.loss, model.network.outputs)
        with _plainly():
            compared = _compared(model, reading, rows, training, _called(reading, names))
            return Exam(objective, model.theta, rows, _shuffled(model, rows, most), compared)


# The examination


@contextmanager
def _plainly() -> Iterator[None]:
    """Context manager: use one BLAS thread, and silence warnings of overflow."""
    with one_blas_thread(), np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        yield


def examine(
    model: Model,
    rows: SampledRows | Sequence[Exam],
    training: SampledRows,
    names: DisplayNames | None = None,
) -> dict[str, Any]:
    """Return the evidence: how good a trained model is on some rows, its mistakes, and which inputs matter.

    Counts are sums of row weights.  Undefined values are None; the result contains no NaN.

    Args:
        model: The model.
        rows: The rows; or the exams of an ensemble's members, each on its held-out rows.
        training: Rows that it was trained on, for the baselines and to detect overfitting.
        names: Names for the report.

    Raises:
        ConfigError: If names do not fit the network, or the model has several outputs.

    >>> from firesteel.layers import Dense
    >>> from firesteel.models import Sequential
    >>> x = np.linspace(-1, 1, 64)[:, None]
    >>> model = Sequential([Dense(1, activation="sigmoid", input_dim=1)])
    >>> model.compile("sgd", "binary_crossentropy")
    >>> rows = SampledRows("training", x, (x > 0).astype(float), np.ones(64), 64)
    >>> model.set_weights([[[5.0]], [0.0]])
    >>> found = examine(model, rows, rows)
    >>> found["metric"], found["score"], found["confusion"]
    ('accuracy', 1.0, [[32, 0], [0, 32]])
    """
    names = names or DisplayNames()
    network = model.network
    names.check(network.inputs, network.outputs)
    if task_of(model, training.y) == SEVERAL:
        raise ConfigError("a model with several outputs cannot be examined", code="config-outputs")
    exams = [Exam.of(model, rows, training, names)] if isinstance(rows, SampledRows) else rows
    with _plainly():
        return _plain(_examined(model, exams, training, names))


def _examined(model: Model, exams: Sequence[Exam], training: SampledRows, names: DisplayNames) -> dict[str, Any]:
    objective, network = model._objective(), model.network
    shape = pictures.picture_of(network)
    if shape is not None:  # the network's Input takes precedence
        names = replace(names, picture=None)
    x, y, weight = (np.concatenate([getattr(one.rows, part) for one in exams]) for part in ("x", "y", "weight"))
    rows = replace(exams[0].rows, x=x, y=y, weight=weight)
    task = task_of(model, np.vstack([rows.y, training.y]))
    reading = Reading(task, objective.loss, network.outputs)
    called = _called(reading, names)
    w = positive(rows.weight)
    with threads() as run:
        p = np.concatenate([Use(one.objective, one.theta, run).outputs(one.rows.x) for one in exams])
        truth, predicted = reading.truth(rows.y), reading.predicted(p)
        layers = layers_of(objective, model.theta, rows.x, rows.y, w)
    found: dict[str, Any] = {"set": rows.set, "sample": len(rows.x), "members": len(exams)}
    found |= {"metric": reading.metric} | _together([one.compared for one in exams])
    measured = _numbers if task == "regression" else _classes
    found |= measured(reading, truth, predicted, reading.chances(p), w, called)
    if shape is not None:
        found["importance"] = _importance_of_blocks([one.shuffled for one in exams], shape)
        found["layers"] = layers
        outputs = [_output(reading, mistake, predicted, called) for mistake in found["mistakes"]]
        pictures.draw(found["mistakes"], objective, model.theta, rows.x, p, outputs)
        shown = pictures.examples(reading, truth, predicted, rows.weight)
        found["pictures"] = pictures.seen(objective, model.theta, rows.x, shown)
        found["pictures"]["names"] = [called[truth[row]] for row in shown] if task == "classification" else None
        return found
    importances, schema = _importances(model, [one.shuffled for one in exams]), model.schema
    importance = _importance(importances, names, schema is not None)
    found |= {"importance": importance, "layers": layers}
    first = [item.get("index", item.get("name")) for item in importance["inputs"]]  # for pixels all of them, in order
    if schema is not None:
        same = len(exams) > 1 or rows.set == training.set  # no other rows to compare with
        found["table"] = columns.described(schema, rows.x if same else training.x, None if same else rows.x)
        found["effects"] = _effects(model, reading, rows, importances, called)
        parts = columns.encoded_columns(schema)
    for mistake in found["mistakes"]:
        row = rows.x[mistake["row"]]
        mistake["input"] = short(row[first]) if schema is None else [_value(parts[name], row) for name in first]
        if names.picture is not None and p.shape == rows.x.shape:  # the output is a picture too
            mistake["made"] = short(p[mistake["row"]])
    if names.picture is not None and (weights := first_layer(objective, model.theta)) is not None:
        found["first_layer"] = weights
    return found


def _shuffled(model: Model, rows: SampledRows, most: int) -> ScoredRows:
    """Return the rows, at most `most`, on which permutation importances are computed."""
    engine = rows.all(model.network)
    if engine.sparse:  # only the sample is dense
        engine = engine_of(model.network, rows.x[:most], rows.y[:most], positive(rows.weight[:most]))
    return ScoredRows.of(model._objective(), engine, model.theta, most)


def _importances(model: Model, parts: Sequence[ScoredRows]) -> Importances:
    return measured(parts, places_of(model.schema, model.network.inputs))


def _importance(found: Importances, names: DisplayNames, table: bool) -> dict[str, Any]:
    """Convert permutation importances to JSON: of pixels all in order, of other inputs the largest."""
    each = [{"drop": row["importance"], "error": row["standardError"], "name": row["column"]} for row in found.rows]
    if not table:
        for item in each:
            item["index"] = at = int(item.pop("name"))
            item |= {} if names.features is None else {"name": str(names.features[at])}
    if names.picture is not None:
        tried = {item["index"]: item for item in each}
        each = [tried.get(at, {"drop": 0.0, "error": 0.0, "index": at}) for at in range(math.prod(names.picture))]
    else:
        each = sorted(each, key=lambda item: -item["drop"])
    total = sum(max(item["drop"], 0.0) for item in each)
    about = {"metric": "loss", "rows": found.sampled, "repeats": found.shuffles, "tried": found.tried}
    return about | {"sum": total, "inputs": each if names.picture is not None else each[:NAMED]}


def _importance_of_blocks(parts: Sequence[ScoredRows], shape: Shape) -> dict[str, Any]:
    """Convert the importances of blocks of pixels to JSON; `grid` is the number of blocks down and across."""
    places, grid = pictures.blocks(shape, affordable(parts))
    found = measured(parts, places)
    about = {"metric": "loss", "rows": found.sampled, "repeats": found.shuffles, "tried": found.tried}
    return about | {"grid": grid, "inputs": [{"drop": row["importance"]} for row in found.rows]}


def _output(reading: Reading, mistake: Mapping[str, Any], predicted: Array, called: list[str]) -> int:
    """Return the number of the output whose saliency explains a mistake: that of the predicted class."""
    if reading.outputs == 1:
        return 0
    if reading.task == "classification":
        return int(predicted[mistake["row"]])
    return called.index(mistake["class" if reading.task == "multilabel" else "output"])


def _effects(
    model: Model, reading: Reading, rows: SampledRows, importances: Importances, called: list[str]
) -> dict[str, Any] | None:
    """Return the partial dependence on a table's columns: the mean prediction, or mean probability of a class."""
    assert model.schema is not None
    with threads() as run:
        use = Use(model._objective(), model.theta, run)
        chances = reading.chances(use.outputs(rows.x[:1]))
        if reading.task == "classification" and chances is None:
            return None
        truth = reading.truth(rows.y)
        at = (
            1 if reading.classes == 2 else int(np.bincount(truth).argmax()) if reading.task == "classification" else 0
        )

        def mean(x: Array, w: Array) -> float:
            p = use.outputs(x)
            shown = reading.chances(p) if chances is not None else p.astype(np.float64)
            return float(w @ shown[:, at] / w.sum())  # type: ignore[index]

        found = columns.effects(model.schema, rows.x, positive(rows.weight), importances, mean)
    return {"of": called[at], "chance": chances is not None, "columns": found}


def _value(parts: Sequence[EncodedColumn], row: Array) -> str:
    """Return a row's value in a column of its table; the first elements of an array."""
    return ", ".join(part.value(row) for part in parts[:ELEMENTS])


def _called(reading: Reading, names: DisplayNames) -> list[str]:
    given = None if names.classes is None else [str(name) for name in names.classes]
    if given is not None and len(given) == reading.classes:
        return given
    if given is not None and reading.task == "classification":
        return [f"not {given[0]}", given[0]]
    word = {"classification": "{}", "multilabel": "label {}", "regression": "output {}"}[reading.task]
    return ["target"] if reading.classes == 1 else [word.format(k) for k in range(reading.classes)]


def _plain(value: Any) -> Any:
    """Convert a value to JSON types; numbers that are not finite become None."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, np.ndarray | np.generic):
        return _plain(value.tolist())
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _count(weight: float) -> float:
    """Return a sum of row weights, converted to int if it is a whole number."""
    return int(weight) if float(weight).is_integer() else float(weight)


# Comparison


def _together(found: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Combine the evidence of an ensemble's members: add row counts, and average scores weighted by rows."""
    rows = [one["rows"] for one in found]

    def mean(scores: Sequence[float | None]) -> float | None:
        return None if None in scores else float(np.average(scores, weights=rows))  # type: ignore[arg-type]

    made = found[0] | {"rows": sum(rows), "of": sum(one["of"] for one in found)}
    made["score"] = mean([one["score"] for one in found])
    for name in ("training", "baseline", "linear"):
        each = [one[name] for one in found]
        made[name] = None if None in each else {**each[0], "score": mean([one["score"] for one in each])}
    return made


def _compared(
    model: Model, reading: Reading, rows: SampledRows, training: SampledRows, called: list[str]
) -> dict[str, Any]:
    """Return the scores of the network, a linear model and a constant prediction over the same rows."""
    own = replace(model._objective(), metrics=(("score", metric_of(reading.task, reading.loss, reading.outputs)),))
    weight = positive(training.weight)
    others = train_baselines(reading.task, model.network, training.x, training.y, weight, training.of, STEPS)
    pairs = [(own, model.theta)]
    if others is not None:
        pairs += [(others.objective, weights) for weights in (others.constant, others.linear) if weights is not None]
    score, *found = scores(rows.all(model.network), pairs)
    learned = score if rows.set == training.set else scores(training.all(model.network), pairs[:1])[0]
    name, answer = _answer(reading, training, called)
    truth = reading.truth(rows.y)
    constant = (
        found[0] if found else reading.score(truth, np.broadcast_to(answer, truth.shape), positive(rows.weight))
    )
    note = too_wide_note(training.x.shape[1]) if others is None else others.note
    return {
        "rows": rows.scored,
        "of": rows.of,
        "score": score,
        "training": {"rows": len(training.x), "score": learned},
        "baseline": {"name": name, "score": constant},
        "linear": {"name": note, "score": found[1]} if len(found) > 1 else None,
        "left_out": None if len(found) > 1 else note,
    }


def _answer(reading: Reading, training: SampledRows, called: list[str]) -> tuple[str, Array]:
    """Return the best constant prediction for the training rows, and its name."""
    known, v = reading.truth(training.y), positive(training.weight)
    if reading.task == "classification":
        most = int(np.bincount(known, v, reading.classes).argmax())
        return f"always “{called[most]}”", np.array(most)
    mean = v @ known / v.sum()
    several = "means" if reading.outputs > 1 else "mean"
    if reading.task == "regression":
        return f"always the {several}", mean
    return "each label's more frequent side", mean > 0.5


# Classes and labels


def _classes(
    reading: Reading, truth: Array, predicted: Array, chances: Array | None, w: Array, called: list[str]
) -> dict[str, Any]:
    """Return the confusion matrix, metrics per class, calibration, and the most confident mistakes."""
    many = reading.classes
    if reading.task == "classification":
        confusion = np.bincount(truth * many + predicted, w, many * many).reshape(many, many)
        hits, actual, said = confusion.diagonal(), confusion.sum(axis=1), confusion.sum(axis=0)
    else:
        confusion = None
        hits, actual, said = w @ (truth & predicted), w @ truth, w @ predicted
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
        certain = chances[rows, predicted]
        found["calibration"] = _calibration(certain, truth == predicted, w)
    elif chances is not None:
        certain = np.where(predicted, chances, 1 - chances)
        found["calibration"] = _calibration(chances.ravel(), truth.ravel(), np.repeat(w, many))
    wrong = (truth != predicted) & (w > 0 if truth.ndim == 1 else w[:, None] > 0)
    where = np.argwhere(wrong)
    sure = np.zeros(len(where)) if certain is None else certain[wrong]
    found["mistakes"], answers = [], called if truth.ndim == 1 else ["no", "yes"]
    for at in np.argsort(-sure, kind="stable")[:MISTAKES]:
        row, *label = place = tuple(where[at].tolist())
        named = {"class": called[label[0]]} if label else {}
        said = {"truth": answers[int(truth[place])], "predicted": answers[int(predicted[place])]}
        confidence = None if certain is None else float(sure[at])
        found["mistakes"].append({"row": row, **named, **said, "confidence": confidence})
    found["wrong"] = int(wrong.sum())
    return found


def _ratio(above: float, below: float) -> float | None:
    """Divide two numbers; return None if the denominator is 0."""
    return float(above / below) if below > 0 else None


def _calibration(chances: Array, right: Array, w: Array) -> dict[str, Any]:
    """Return the accuracy in ten bins of probability, and the expected calibration error.

    error: sum over bins of (weight of the bin / weight) |mean probability - accuracy|.

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
    reading: Reading, truth: Array, predicted: Array, chances: Array | None, w: Array, called: list[str]
) -> dict[str, Any]:
    """Return the evidence of a regression: errors by output, scatter points, residuals, and the worst rows."""
    r, metric = predicted - truth, R2Score(None)
    total = w.sum()
    r2 = np.asarray(metric.result(metric.sums(*near(predicted, truth), w), total))
    rmse, mae = np.sqrt(w @ (r * r) / total), w @ np.abs(r) / total
    outputs: list[dict[str, Any]] = [
        {"name": called[k], "rmse": rmse[k], "mae": mae[k], "r2": r2[k]} for k in range(reading.outputs)
    ]
    some = np.sort(rng_for(0, "report", "points").permutation(len(w))[:POINTS])
    for k, output in enumerate(outputs[:DRAWN]):
        pairs = np.stack([truth[some, k], predicted[some, k]], axis=1)
        ratio = np.abs(pairs[:, 0]).max() / (np.ptp(pairs[:, 0]) or 1.0)
        output["points"] = [short(pair, 4 + int(math.log10(ratio) if ratio > FAR else 0)) for pair in pairs]
        if np.isfinite(r[:, k]).all():
            counts, edges = np.histogram(r[:, k], STRIPES, weights=w)
            output["histogram"] = {"edges": edges, "counts": [_count(value) for value in counts]}
    far = np.abs(r) / np.where(rmse > 0, rmse, 1.0)
    worst = far.max(axis=1) * (w > 0)
    mistakes = []
    for row in np.argsort(-worst, kind="stable")[:MISTAKES]:
        k = int(far[row].argmax())
        if worst[row] > 0:
            mistakes.append({"row": row, "output": called[k], "truth": truth[row, k], "predicted": predicted[row, k]})
    return {"outputs": outputs, "mistakes": mistakes}

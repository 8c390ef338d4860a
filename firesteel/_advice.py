"""Short hints before a training: what a teacher would say who looked at the network, the rows and the loss.

Each is a rule of thumb and not an error; what cannot work is refused elsewhere.  `Sequential.advise` gathers what is
known of the rows, on arrays and on DataFrames.
"""

import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

import numpy as np

from firesteel.core.centre import Centre
from firesteel.core.layers import (
    AlphaDropout,
    BatchNormalization,
    Dropout,
    Embedding,
    GaussianDropout,
    GaussianNoise,
    LayerNormalization,
    Rescaling,
    Table,
)
from firesteel.core.layers.activation import Relu, Sigmoid, Softmax, Tanh
from firesteel.core.layers.dense import Linear
from firesteel.core.layers.preprocessing import Standardize
from firesteel.core.loss import Crossentropy
from firesteel.core.network import Network, Objective
from firesteel.core.types import Array
from firesteel.tables.moments import Moments
from firesteel.train.centring import FAR, Sample
from firesteel.train.checks import FLAT, INEXACT, called
from firesteel.train.source import Survey

NOISE = AlphaDropout | Dropout | GaussianDropout | GaussianNoise
"""Layers that make training harder, and are nothing in use."""
WIDE = 10.0
"""How far from 0 inputs may be, in mean and deviation, before it is worth a word."""
BROAD = 1000
"""Units above which a single hidden layer is broad."""
ROUNDED = "numbers that are rounded in the network's dtype"
FEW = 20
"""How many whole numbers targets may take and still look like classes."""


def advice(
    objective: Objective, survey: Survey, features: Moments, targets: Moments, start: float | None
) -> list[str]:
    """Return the hints, the weightiest first.

    features, targets: their means and variances.  start: the loss of the weights; None if they have been trained.
    """
    network = objective.network
    return [
        *_structure(network),
        *_scale(network, features),
        *_unchanging(features),
        *_classes(objective, survey, targets),
        *_output(objective, survey),
        *_start(objective, start),
        *_layers(network),
        *_capacity(network, survey.rows),
    ]


def sizes(mean: Array, deviation: Array) -> tuple[Array, int]:
    """Return how far from 0 each input is, (I,), and how many of them are too far.

    >>> sizes(np.array([0.0, 40.0]), np.array([1.0, 3.0]))[1]
    1
    """
    size = np.maximum(np.abs(mean), deviation)
    return size, int((size > WIDE).sum())


def _structure(network: Network) -> Iterator[str]:
    """Hint at depth before width, and at layers that narrow towards the output."""
    *hidden, _ = [part.units for part in network.parts if isinstance(part, Linear)] or [0]
    if not hidden and not any(isinstance(part, Embedding) for part in network.parts):
        yield (
            "there is no hidden layer, so this is a linear model: a good score to beat, and Dense(64, 'relu') in "
            "front of it can learn more"
        )
    if len(hidden) == 1 and hidden[0] > BROAD:
        yield (
            f"one hidden layer has {hidden[0]:,} units: two smaller ones, such as 256 and 64, often learn more with "
            "fewer parameters"
        )
    wider = next(((a, b) for a, b in pairwise(hidden) if b > a), None)
    if wider and network.outputs < network.inputs:
        yield (
            f"a hidden layer of {wider[1]:,} units stands behind one of {wider[0]:,}: layers that narrow towards the "
            "output usually do as well with fewer parameters"
        )


def _unchanging(features: Moments) -> Iterator[str]:
    if count := int((features.variance == 0).sum()):
        yield f"{count} of {len(features.variance)} inputs never change: they can be left out"


def _scale(network: Network, features: Moments) -> Iterator[str]:
    scaling = Rescaling | Standardize | BatchNormalization | LayerNormalization | Embedding | Table
    if not network.parts or isinstance(network.parts[0], scaling):
        return
    size, wide = sizes(features.mean - (network.centre.features or 0.0), features.deviation)
    if wide:
        yield (
            f"{wide} of {len(size)} inputs are far from 1 in size, up to {size.max():.3g}: put Normalization() "
            "first, or Rescaling(1 / 255) for pixels"
        )


def _classes(objective: Objective, survey: Survey, targets: Moments) -> Iterator[str]:
    outputs = objective.network.outputs
    if objective.loss.targets == "class":
        missing = [number for number in range(outputs) if number not in survey.classes]
    elif isinstance(objective.loss, Crossentropy) and outputs > 1:
        missing = [number for number, mean in enumerate(targets.mean) if mean == 0.0]
    else:
        missing = []
    if missing:
        named = ", ".join(map(str, missing[:5])) + (", ..." if len(missing) > 5 else "")
        yield f"{len(missing)} of {outputs} classes have no row: {named}"


def _output(objective: Objective, survey: Survey) -> Iterator[str]:
    loss, network, seen = objective.loss, objective.network, survey.classes
    if loss.targets == "real" and network.outputs == 1 and 2 <= len(seen) <= FEW and max(seen) < FEW:
        yield (
            f"the targets take {len(seen)} whole numbers: if they are classes, end in Dense({max(seen) + 1}, "
            "activation='softmax') with sparse_categorical_crossentropy"
        )
    end = network.parts[-1] if network.parts else None
    if loss.natural == "linear" and isinstance(end, Relu | Sigmoid | Softmax | Tanh) and loss.targets == "real":
        reach = {"Relu": "at least 0", "Tanh": "between -1 and 1"}.get(type(end).__name__, "between 0 and 1")
        yield (
            f"the last activation gives numbers {reach} only: for a number to predict leave it out, for classes take "
            "cross-entropy"
        )


def _start(objective: Objective, start: float | None) -> Iterator[str]:
    ways = objective.network.outputs if objective.loss.natural == "softmax" else 2
    if start is not None and isinstance(objective.loss, Crossentropy) and start > 2 * math.log(ways):
        yield (
            f"the loss before training is {start:.2f}, and guessing would cost ln {ways} = {math.log(ways):.2f}: the "
            "inputs or the first weights are too large"
        )


def _layers(network: Network) -> Iterator[str]:
    parts = [part for part in network.parts if not isinstance(part, NOISE)]
    if any(isinstance(a, Linear) and isinstance(b, Linear) for a, b in pairwise(parts)):
        yield "two Dense layers without an activation between them are no more than one: give the first 'relu'"
    if any(isinstance(part, Sigmoid | Softmax) for part in parts[:-1]):
        yield "a hidden sigmoid or softmax lets little of the gradient through: when in doubt take 'relu'"


def _capacity(network: Network, rows: int) -> Iterator[str]:
    guarded = network.penalized or any(isinstance(part, NOISE) for part in network.parts)
    if not guarded and network.layout.size > rows:
        yield (
            f"{network.layout.size:,} parameters for {rows:,} rows: hold rows out and watch them with "
            "EarlyStopping(restore_best_weights=True), or use Dropout or a kernel_regularizer"
        )


# What is lost


def warn_of_lost(survey: Survey, centre: Centre, names: Mapping[str, str], columns: Sequence[str] | None) -> None:
    """Warn, once, of columns whose numbers the network's dtype cannot hold apart, less the centre.

    Args:
        survey: What is known of the rows.
        centre: What is subtracted from them.
        names: What "features" and "label" are called.
        columns: Names of the features, where they have names.
    """
    rows, lost = survey.rows + survey.held, dict[tuple[str, int], str]()
    for code, f in survey.found.items():
        known = centre.features[f.column or 0] if centre.features else 0.0
        if code.startswith(INEXACT) and not known:
            text = f"whole {ROUNDED}: {f.value} at {f.where}; {f.rows:,} of {rows:,} rows are like that"
            lost["features", f.column or 0] = text
        if code.startswith(FLAT):
            lost.setdefault(("features", f.column or 0), f"{ROUNDED}: {f.value}")
    for name, (size, spread, error) in (_flattened(survey.sample, centre) if survey.sample else {}).items():
        around = f"they lie around {size:.6g}, differ by {spread:.3g} and are rounded by {error:.3g}"
        lost[name] = f"{lost[name]}; {around}" if name in lost else f"{ROUNDED}: {around}"
    for (part, column), text in list(lost.items())[:1]:
        more = f"  {len(lost) - 1:,} more column(s) are like that." if len(lost) > 1 else ""
        warnings.warn(
            f"{called(part, column, names, columns)} holds {text}.  To do: subtract an offset, take dtype='float64', "
            f"or leave the column out if it only identifies rows.{more}",
            stacklevel=3,
        )


def _flattened(sample: Sample, centre: Centre) -> dict[tuple[str, int], tuple[float, float, float]]:
    """Return size, spread and rounding of columns of ("features" or "label", number) that float32 flattens.

    Looked at are the parts of the rows that lie farthest out: a half, a quarter, an eighth.
    """
    found: dict[tuple[str, int], tuple[float, float, float]] = {}
    features, targets = np.split(sample.rows, [sample.width], axis=1)
    near = np.hstack([features - (centre.features or 0.0), targets - (centre.targets or 0.0)])
    order = np.argsort(np.abs(near), axis=0)
    v, whole = np.take_along_axis(near, order, axis=0), np.take_along_axis(sample.rows, order, axis=0)
    error = np.abs(v.astype(np.float32) - v)
    for share in (2, 4, 8):
        out = np.sort(v[len(v) - len(v) // share :], axis=0)
        if len(out) < 4:
            continue
        spread, wrong = out[-1 - len(out) // 4] - out[len(out) // 4], np.median(error[-len(out) :], axis=0)
        for column in np.flatnonzero((spread > 0) & (spread < FAR * wrong)).tolist():
            name = ("features", column) if column < sample.width else ("label", column - sample.width)
            size = whole[-(len(out) // 2), column]
            found.setdefault(name, (float(size), float(spread[column]), float(wrong[column])))
    return found

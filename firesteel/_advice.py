"""Short hints before a training, about the network, the rows and the loss.

Hints are rules of thumb, not errors.  `Model.advise` collects what they need from arrays or a DataFrame.
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
from firesteel.train.source import RowProfile

NOISE = AlphaDropout | Dropout | GaussianDropout | GaussianNoise
"""Layers that act in training only."""
WIDE = 10.0
"""Largest absolute mean or standard deviation of an input that needs no hint."""
BROAD = 1000
"""Units above which a single hidden layer is wide."""
ROUNDED = "numbers that are rounded in the network's dtype"
FEW = 20
"""Largest number of distinct integer targets that look like classes."""


def advice(
    objective: Objective, profile: RowProfile, features: Moments, targets: Moments, start: float | None
) -> list[str]:
    """Return the hints, the most important first.

    Args:
        objective: The network and its loss.
        profile: The profile of the rows.
        features: Means and variances of the inputs.
        targets: Means and variances of the targets.
        start: The loss of the initial weights; None if the weights were trained.
    """
    network = objective.network
    return [
        *_structure(network),
        *_scale(network, features),
        *_unchanging(features),
        *_classes(objective, profile, targets),
        *_output(objective, profile),
        *_start(objective, start),
        *_layers(network),
        *_capacity(network, profile.rows),
    ]


def sizes(mean: Array, deviation: Array) -> tuple[Array, int]:
    """Return the magnitude of each input, max(|mean|, standard deviation), (I,), and how many exceed `WIDE`.

    >>> sizes(np.array([0.0, 40.0]), np.array([1.0, 3.0]))[1]
    1
    """
    size = np.maximum(np.abs(mean), deviation)
    return size, int((size > WIDE).sum())


def _structure(network: Network) -> Iterator[str]:
    """Yield hints about the layers: depth rather than width, and layers that narrow towards the output."""
    *hidden, _ = [part.units for part in network.parts if isinstance(part, Linear)] or [0]
    if not hidden and not any(isinstance(part, Embedding) for part in network.parts):
        yield (
            "the model has no hidden layer, so it is linear: a good baseline; a Dense(64, 'relu') before the last "
            "layer can learn more"
        )
    if len(hidden) == 1 and hidden[0] > BROAD:
        yield (
            f"one hidden layer has {hidden[0]:,} units: two smaller ones, such as 256 and 64, often learn more with "
            "fewer parameters"
        )
    wider = next(((a, b) for a, b in pairwise(hidden) if b > a), None)
    if wider and network.outputs < network.inputs:
        yield (
            f"a hidden layer of {wider[1]:,} units follows one of {wider[0]:,}: layers that narrow towards the "
            "output usually do as well with fewer parameters"
        )


def _unchanging(features: Moments) -> Iterator[str]:
    if count := int((features.variance == 0).sum()):
        yield f"{count} of {len(features.variance)} inputs are constant: leave them out"


def _scale(network: Network, features: Moments) -> Iterator[str]:
    scaling = Rescaling | Standardize | BatchNormalization | LayerNormalization | Embedding | Table
    if not network.parts or isinstance(network.parts[0], scaling):
        return
    size, wide = sizes(features.mean - (network.centre.features or 0.0), features.deviation)
    if wide:
        yield (
            f"{wide} of {len(size)} inputs have large values, up to {size.max():.3g}: start with Normalization(), "
            "or with Rescaling(1 / 255) for pixels"
        )


def _classes(objective: Objective, profile: RowProfile, targets: Moments) -> Iterator[str]:
    outputs = objective.network.outputs
    if objective.loss.targets == "class":
        missing = [number for number in range(outputs) if number not in profile.classes]
    elif isinstance(objective.loss, Crossentropy) and outputs > 1:
        missing = [number for number, mean in enumerate(targets.mean) if mean == 0.0]
    else:
        missing = []
    if missing:
        named = ", ".join(map(str, missing[:5])) + (", ..." if len(missing) > 5 else "")
        yield f"{len(missing)} of {outputs} classes have no rows: {named}"


def _output(objective: Objective, profile: RowProfile) -> Iterator[str]:
    loss, network, seen = objective.loss, objective.network, profile.classes
    if loss.targets == "real" and network.outputs == 1 and 2 <= len(seen) <= FEW and max(seen) < FEW:
        yield (
            f"the targets have only {len(seen)} values, all integers: if they are classes, end with "
            f"Dense({max(seen) + 1}, activation='softmax') and use sparse_categorical_crossentropy"
        )
    end = network.parts[-1] if network.parts else None
    if loss.natural == "linear" and isinstance(end, Relu | Sigmoid | Softmax | Tanh) and loss.targets == "real":
        reach = {"Relu": "at least 0", "Tanh": "between -1 and 1"}.get(type(end).__name__, "between 0 and 1")
        yield (
            f"the last activation only returns numbers {reach}: leave it out for regression; for classes use "
            "cross-entropy"
        )


def _start(objective: Objective, start: float | None) -> Iterator[str]:
    ways = objective.network.outputs if objective.loss.natural == "softmax" else 2
    if start is not None and isinstance(objective.loss, Crossentropy) and start > 2 * math.log(ways):
        yield (
            f"the loss before training is {start:.2f}; guessing would give ln {ways} = {math.log(ways):.2f}: the "
            "inputs or the initial weights are too large"
        )


def _layers(network: Network) -> Iterator[str]:
    parts = [part for part in network.parts if not isinstance(part, NOISE)]
    if any(isinstance(a, Linear) and isinstance(b, Linear) for a, b in pairwise(parts)):
        yield "two Dense layers in a row without an activation compute no more than one: give the first one 'relu'"
    if any(isinstance(part, Sigmoid | Softmax) for part in parts[:-1]):
        yield "a hidden sigmoid or softmax makes gradients small: use 'relu' unless you need it"


def _capacity(network: Network, rows: int) -> Iterator[str]:
    guarded = network.penalized or any(isinstance(part, NOISE) for part in network.parts)
    if not guarded and network.layout.size > rows:
        yield (
            f"{network.layout.size:,} parameters for {rows:,} rows can overfit: hold out validation rows and use "
            "EarlyStopping(restore_best_weights=True), Dropout or a kernel_regularizer"
        )


# Loss of precision


def warn_of_lost(
    profile: RowProfile, centre: Centre, names: Mapping[str, str], columns: Sequence[str] | None
) -> None:
    """Warn once about columns whose numbers the network's dtype cannot distinguish after centring.

    Args:
        profile: The profile of the rows.
        centre: The constants subtracted from them.
        names: What messages call "features" and "label".
        columns: Names of the feature columns, if they have names.
    """
    rows, lost = profile.rows + profile.held, dict[tuple[str, int], str]()
    for code, f in profile.found.items():
        known = centre.features[f.column or 0] if centre.features else 0.0
        if code.startswith(INEXACT) and not known:
            text = f"whole {ROUNDED}: {f.value} at {f.where}, and in {f.rows:,} of {rows:,} rows"
            lost["features", f.column or 0] = text
        if code.startswith(FLAT):
            lost.setdefault(("features", f.column or 0), f"{ROUNDED}: {f.value}")
    for name, (size, spread, error) in (_flattened(profile.sample, centre) if profile.sample else {}).items():
        around = f"they lie around {size:.6g}, vary by {spread:.3g} and are rounded by {error:.3g}"
        lost[name] = f"{lost[name]}; {around}" if name in lost else f"{ROUNDED}: {around}"
    for (part, column), text in list(lost.items())[:1]:
        more = f"  The same is true of {len(lost) - 1:,} more column(s)." if len(lost) > 1 else ""
        warnings.warn(
            f"{called(part, column, names, columns)} holds {text}.  To do: subtract an offset, use "
            f"dtype='float64', or leave the column out if it only identifies rows.{more}",
            stacklevel=3,
        )


def _flattened(sample: Sample, centre: Centre) -> dict[tuple[str, int], tuple[float, float, float]]:
    """Find columns that float32 cannot resolve: {(part, number): (magnitude, spread, rounding error)}.

    Only the outermost half, quarter and eighth of each column's values are tested.
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

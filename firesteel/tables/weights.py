"""What the rows of each class weigh in training, from what the user says or from how often each class occurs.

The weights are part of the objective; `firesteel/core/network.py` multiplies them into those of the rows.
"""

from collections.abc import Callable, Iterable
from numbers import Real
from typing import Any

import numpy as np

from firesteel.core.layers.activation import Softmax
from firesteel.core.network import Objective
from firesteel.errors import ConfigError
from firesteel.train.source import Survey


def class_weights(given: Any, survey: Survey, objective: Objective, name: str = "class_weight") -> tuple[float, ...]:
    """Compute what the rows of each class weigh, as scikit-learn does for "balanced": n / (k n_c).

    Args:
        given: "balanced", a mapping or a pandas Series by class, 1 for classes left out, or an array or a list with a
            weight for each class.
        survey: Of the rows to train on.
        objective: What is trained.
        name: What the weights are called in messages.

    Raises:
        ConfigError: It is none of these, or names what is no class.
    """

    def wrong(what: str) -> ConfigError:
        return ConfigError(f"{name}{what}", code="config-class-weight")

    outputs, loss = objective.network.outputs, objective.loss
    classes, columns = max(2, outputs), loss.columns(outputs)
    if loss.targets == "real" or (columns > 1 and loss.link is not Softmax):
        what = f"{type(loss).__name__} with {outputs} outputs"
        raise wrong(f" is for targets that are classes, and not for {what}: give sample_weight")
    if isinstance(given, str) and given == "balanced":
        if columns > 1:
            raise wrong("='balanced' counts classes: give their numbers and sparse_categorical_crossentropy")
        rows = [survey.classes[number].rows if number in survey.classes else 0 for number in range(classes)]
        seen = sum(1 for count in rows if count)
        return tuple(survey.rows / (seen * count) if count else 1.0 for count in rows)
    weights: dict[int, Any] = {}
    for key, weight in _pairs(given, classes, wrong):
        number = class_number(key)
        if number in weights or number not in range(classes):
            shown = number if number >= 0 else repr(key)
            what = f" names class {number} twice" if number in weights else f": there is no class {shown}"
            raise wrong(f"{what}: they are 0 to {classes - 1}")
        weights[number] = weight
    fine = [isinstance(weight, Real) and 0.0 <= float(weight) < np.inf for weight in weights.values()]
    if not all(fine) or not any(weights.get(number, 1.0) for number in range(classes)):
        raise wrong(f"={weights!r}: weights are 0 or more, and not all 0")
    return tuple(float(weights.get(number, 1.0)) for number in range(classes))


def _pairs(given: Any, classes: int, wrong: Callable[[str], ConfigError]) -> Iterable[tuple[Any, Any]]:
    """Return what was given as pairs of a class and a weight."""
    if hasattr(given, "items"):
        return given.items()
    if not isinstance(given, list | tuple) and getattr(given, "ndim", 0) != 1:
        raise wrong(f"={given!r}: give {{class: weight}} or 'balanced'")
    if len(given) != classes:
        raise wrong(f" has {len(given)} weights, and there are {classes} classes: give one for each, or a mapping")
    return enumerate(given)


def class_number(key: Any) -> int:
    """Return the number that a class is called by, as text too; a negative one for what is none."""
    try:
        return int(float(key)) if float(key).is_integer() else -1
    except (TypeError, ValueError, OverflowError):
        return -1

"""Class weights: factors for the rows of each class in training, chosen by the user or balanced.

They are part of the objective; `firesteel/core/network.py` multiplies them with the row weights.
"""

from collections.abc import Callable, Iterable
from numbers import Real
from typing import Any

import numpy as np

from firesteel.core.layers.activation import Softmax
from firesteel.core.network import Objective
from firesteel.errors import ConfigError
from firesteel.train.source import RowProfile


def class_weights(
    given: Any, profile: RowProfile, objective: Objective, name: str = "class_weight"
) -> tuple[float, ...]:
    """Return the weight of each class; "balanced" weights are those of scikit-learn.

    Balanced: n / (k n_c) for class c, with n rows, n_c of them in class c, and k classes that occur.

    Args:
        given: "balanced"; a dictionary or pandas Series by class, 1 for missing classes; or an array or a list with
            one weight per class.
        profile: The profile of the training rows.
        objective: The training objective.
        name: Name of the argument in messages.

    Raises:
        ConfigError: If the value has another form, or names an unknown class.
    """

    def wrong(what: str) -> ConfigError:
        return ConfigError(f"{name}{what}", code="config-class-weight")

    outputs, loss = objective.network.outputs, objective.loss
    classes, columns = max(2, outputs), loss.columns(outputs)
    if loss.targets == "real" or (columns > 1 and loss.link is not Softmax):
        what = f"{type(loss).__name__} with {outputs} outputs"
        raise wrong(f" needs one class per row as the target, not {what}: use sample_weight")
    if isinstance(given, str) and given == "balanced":
        if columns > 1:
            raise wrong("='balanced' needs class numbers as targets: use sparse_categorical_crossentropy")
        rows = [profile.classes[number].rows if number in profile.classes else 0 for number in range(classes)]
        seen = sum(1 for count in rows if count)
        return tuple(profile.rows / (seen * count) if count else 1.0 for count in rows)
    weights: dict[int, Any] = {}
    for key, weight in _pairs(given, classes, wrong):
        number = class_number(key)
        if number in weights or number not in range(classes):
            shown = number if number >= 0 else repr(key)
            what = f" names class {number} twice" if number in weights else f": there is no class {shown}"
            raise wrong(f"{what}: the classes are 0 to {classes - 1}")
        weights[number] = weight
    fine = [isinstance(weight, Real) and 0.0 <= float(weight) < np.inf for weight in weights.values()]
    if not all(fine) or not any(weights.get(number, 1.0) for number in range(classes)):
        raise wrong(f"={weights!r}: weights must be 0 or more, and not all 0")
    return tuple(float(weights.get(number, 1.0)) for number in range(classes))


def _pairs(given: Any, classes: int, wrong: Callable[[str], ConfigError]) -> Iterable[tuple[Any, Any]]:
    """Convert class weights, a dictionary, Series, array or list, to pairs of a class and its weight."""
    if hasattr(given, "items"):
        return given.items()
    if not isinstance(given, list | tuple) and getattr(given, "ndim", 0) != 1:
        raise wrong(f"={given!r}: give {{class: weight}} or 'balanced'")
    if len(given) != classes:
        raise wrong(f" has {len(given)} weights for {classes} classes: give one per class, or a dictionary")
    return enumerate(given)


def class_number(key: Any) -> int:
    """Convert a number or text to a class number; the result is negative if it is not one."""
    try:
        return int(float(key)) if float(key).is_integer() else -1
    except (TypeError, ValueError, OverflowError):
        return -1

"""What the rows of each class weigh in training, from what the user says or from how often each class occurs.

The weights are part of the objective; `firesteel/core/network.py` multiplies them into those of the rows.
"""

from collections.abc import Mapping
from numbers import Real

import numpy as np

from firesteel.core.activations import Softmax
from firesteel.core.network import Objective
from firesteel.core.spec import whole
from firesteel.errors import ConfigError
from firesteel.train.source import Survey

__all__ = ["class_weights"]


def class_weights(
    given: Mapping[int, float] | str, survey: Survey, objective: Objective, name: str = "class_weight"
) -> tuple[float, ...]:
    """Return what the rows of each class weigh, 1 for classes left out; "balanced": n / (k n_c), as scikit-learn.

    name: what it is called in messages.  Raises ConfigError for what is no weight, or no class.
    """
    classes = max(2, objective.network.outputs)
    columns = objective.loss.columns(objective.network.outputs)
    if objective.loss.targets == "real" or (columns > 1 and objective.loss.link is not Softmax):
        raise ConfigError(
            f"{name} is for targets that are classes, and not for {type(objective.loss).__name__} with "
            f"{objective.network.outputs} outputs: give sample_weight",
            code="config-class-weight",
        )
    if given == "balanced":
        if columns > 1:
            raise ConfigError(
                f"{name}='balanced' counts classes: give their numbers and sparse_categorical_crossentropy",
                code="config-class-weight",
            )
        rows = [survey.classes[number].rows if number in survey.classes else 0 for number in range(classes)]
        seen = sum(1 for count in rows if count)
        return tuple(survey.rows / (seen * count) if count else 1.0 for count in rows)
    if not isinstance(given, Mapping):
        raise ConfigError(f"{name}={given!r}: give {{class: weight}} or 'balanced'", code="config-class-weight")
    outside = [key for key in given if whole(key) is None or not 0 <= key < classes]
    if outside:
        raise ConfigError(
            f"{name}: there is no class {outside[0]!r}: they are 0 to {classes - 1}", code="config-class-weight"
        )
    fine = [isinstance(weight, Real) and 0.0 <= float(weight) < np.inf for weight in given.values()]
    if not all(fine) or not any(given.get(number, 1.0) for number in range(classes)):
        raise ConfigError(f"{name}={dict(given)!r}: weights are 0 or more, and not all 0", code="config-class-weight")
    return tuple(float(given.get(number, 1.0)) for number in range(classes))

"""Helpers of metrics: predicted classes and labels, and metrics with state (`update_state`, `result`)."""

import math
from collections.abc import Sequence
from dataclasses import field
from typing import Any

import numpy as np
import numpy.typing as npt

from firesteel.core import losses
from firesteel.core.loss import paired
from firesteel.core.spec import finite, word
from firesteel.core.types import Array
from firesteel.errors import ConfigError, DataError

__all__ = ["DTYPE", "NAME", "Accumulated", "Value", "labels", "logit", "numbered", "predicted", "share", "thresholds"]

Value = float | list[Any]
"""The value of a metric: a number, or a list of numbers or of such lists."""


def labels(p: Array, y: Array) -> npt.NDArray[np.bool_]:
    """Convert targets to labels 0 and 1, (B, O).  y: (B, 1), class indices if O > 1, or already (B, O)."""
    return y == np.arange(p.shape[1]) if y.shape[1] < p.shape[1] else y > 0.5


def numbered(y: Array) -> npt.NDArray[np.intp]:
    """Return the class index of each row, (B,).  y: class indices (B, 1), or one-hot rows."""
    return y[:, 0].astype(np.intp) if y.shape[1] == 1 else y.argmax(axis=1)


def predicted(p: Array, y: Array, threshold: float | None) -> tuple[Array, Array]:
    """Return the true and the predicted class index of each row: two arrays (B,).

    Of several outputs the largest is predicted; a single output is compared with the threshold, by default 0.5.
    """
    if p.shape[1] > 1:
        return numbered(y), p.argmax(axis=1)
    return y[:, 0] > 0.5, p[:, 0] > (0.5 if threshold is None else threshold)


RESERVED = ("loss", "epoch", "learning_rate", "rows", "seconds", "by_shard")
"""Names with another meaning in a history."""


def metric_name(got: object) -> str | None:
    """Validate the name of a metric; raise ConfigError for names that a history uses otherwise."""
    if got is not None and (not isinstance(got, str) or not got or got.startswith("val_") or got in RESERVED):
        raise ConfigError(
            f"name={got!r}: name must be text that does not start with val_, and not one of {', '.join(RESERVED)}",
            code="config-value",
        )
    return got


NAME: dict[str, Any] = {"check": lambda owner, name, got: metric_name(got), "later": lambda name: name is not None}
DTYPE: dict[str, Any] = {**word("float32", "float64", None).metadata, "later": lambda dtype: False}


def thresholds(owner: str, name: str, got: Any) -> float | tuple[float, ...]:
    """Validate one threshold or several: probabilities above which a label is predicted."""
    several = isinstance(got, list | tuple) or getattr(got, "ndim", 0) > 0
    found = tuple(map(finite, got if several else [got]))
    if not found or not all(0 <= one <= 1 for one in found):
        raise ConfigError(
            f"{owner}(thresholds={got!r}): thresholds must be a number from 0 to 1, or a list of such numbers: a "
            "label is predicted where its probability is above the threshold",
            code="config-value",
        )
    return found if several else found[0]


def share(default: float, why: str) -> Any:
    """Declare a field that is a number from 0 to 1."""

    def check(owner: str, name: str, got: object) -> float:
        if not 0 <= (found := finite(got)) <= 1:
            raise ConfigError(
                f"{owner}({name}={got!r}): {name} must be a number from 0 to 1: {why}", code="config-value"
            )
        return found

    return field(default=default, metadata={"check": check})


def logit(p: float) -> float:
    """Return log(p / (1 - p)), the number whose sigmoid is p; it may be infinite."""
    return math.log(p / (1 - p)) if 0 < p < 1 else math.copysign(math.inf, p - 0.5)


class Accumulated:
    """Base class of metrics with state: accumulates the rows passed to `update_state`, outside of training."""

    suited: Any
    result: Any

    def _so_far(self) -> Value:
        """Return the metric's value over all rows passed to `update_state` so far."""
        _, metric, sums, weight = vars(self).get("_seen", (0, self, None, 0.0))
        return metric.result(sums, weight) if weight else 0.0

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Accumulate rows for `result()`.  Training neither uses nor changes this state.

        Several outputs are classes that exclude each other, unless the metric has a threshold.  Outputs are
        probabilities, unless the metric says otherwise.

        Args:
            y_true: The targets, (..., O) as y_pred, or class numbers, (...) or (..., 1).
            y_pred: The outputs, (..., O); (n,) stands for one output.
            sample_weight: One weight for all rows, one for each row, (...) or (..., 1), or one for each index of the
                leading axes; None for 1.

        Raises:
            DataError: If they are not numbers (`data-text`), or shapes do not match (`data-shape`).
            ConfigError: If the metric does not suit the number of outputs.

        Example:
            >>> from firesteel.metrics import Precision
            >>> metric = Precision()
            >>> metric.update_state([0, 1, 1], [0.2, 0.9, 0.4]); metric.update_state([0], [0.8]); metric.result()
            0.5
        """
        p, y, w = paired(y_true, y_pred, sample_weight)
        outputs, *before = vars(self).get("_seen", (p.shape[1],))
        if outputs != p.shape[1]:
            raise DataError(
                f"y_pred has {p.shape[1]} outputs, but the rows before had {outputs}: call reset_state first",
                code="data-shape",
            )
        vars(self)["_seen"] = (outputs, *self._added(before, p, y, w))

    def _added(self, before: Sequence[Any], p: Array, y: Array, w: Array) -> Sequence[Any]:
        """Return the new state: the metric adapted to these outputs, its sums, and the sum of the weights."""
        metric = self.suited(losses.MeanSquaredError(), p.shape[1])
        metric.size(p.shape[1])
        sums, weight = metric.sums(p, y, w), np.float64(w.sum())
        return (metric, sums + before[1], weight + before[2]) if before else (metric, sums, weight)

    def reset_state(self) -> None:
        """Forget the rows passed to `update_state`."""
        vars(self).pop("_seen", None)

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Value:
        """Add rows, as `update_state` does, and return the value over all rows added so far.

        Args:
            y_true: The targets, as in `update_state`.
            y_pred: The outputs, as in `update_state`.
            sample_weight: The weights of the rows, as in `update_state`.

        Raises:
            DataError: If they are not numbers (`data-text`), or shapes do not match (`data-shape`).
            ConfigError: If the metric does not suit the number of outputs.
        """
        self.update_state(y_true, y_pred, sample_weight)
        return self.result()

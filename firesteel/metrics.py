"""Metrics under Keras's names.

A loss is a metric, too: `metrics=["hinge"]`, `metrics=[metrics.Hinge()]` and `metrics=[losses.Hinge()]` are the same.
"""

from collections.abc import Callable
from inspect import signature
from typing import Any

from firesteel.core import losses
from firesteel.core import metrics as core
from firesteel.core.metrics import *  # noqa: F403
from firesteel.core.metrics import get

deserialize, serialize = get, core.Metric.to_config


def mean_of(kind: Any) -> Callable[..., core.MeanLoss]:
    """Return what makes a metric of the mean of a loss, given the arguments of the loss.

    >>> mean_of(losses.Huber)(delta=2.0)([[0.0]], [[3.0]])
    4.0
    """

    def made(*args: Any, name: str | None = None, dtype: str | None = None, **fields: Any) -> core.MeanLoss:
        return core.MeanLoss(kind(*args, **fields), name=name, dtype=dtype)

    made.__name__ = made.__qualname__ = kind.__name__
    formula, *_ = (kind.__doc__ or "").split("\n")
    made.__doc__ = f"Return the mean of this loss over the rows, as a metric: {formula}"
    vars(made).update(stands_for=kind, __signature__=signature(kind))
    return made


KINDS = {type(one).__name__: type(one) for one in losses.LOSSES.values()}
OTHERS = {name: mean_of(kind) for name, kind in KINDS.items() if name not in core.__all__}
"""Losses that are no metrics under the same name."""
globals().update(OTHERS)
LogCoshError = OTHERS["LogCosh"]

__all__ = [*core.__all__, *OTHERS, "LogCoshError", "deserialize", "get", "serialize"]

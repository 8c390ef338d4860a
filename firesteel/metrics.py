"""Metrics, under Keras's names.

`compile(metrics=[...])` takes an object (`Precision(class_id=1)`) or its name ("precision").  Every loss is a metric,
too: `metrics=["hinge"]`, `metrics=[metrics.Hinge()]` and `metrics=[losses.Hinge()]` mean the same.  On arrays,
`metric(y_true, y_pred)` and `update_state` add rows, and `result` returns the value.

Example:
    >>> from firesteel import metrics
    >>> metrics.BinaryAccuracy()([0, 1, 1], [0.2, 0.9, 0.4])
    0.6666666666666666
    >>> metrics.Hinge()([[1.0]], [[0.5]])
    0.5
"""

import re
from collections.abc import Callable
from inspect import signature
from typing import Any

from firesteel.core import losses
from firesteel.core import metrics as core
from firesteel.core.metrics import *  # noqa: F403
from firesteel.core.metrics import get

deserialize, serialize = get, core.Metric.to_config


def mean_of(kind: Any) -> Callable[..., core.MeanLoss]:
    """Return the function that makes a metric of the mean of a loss, given the arguments of the loss.

    Its docstring is made from that of the loss.

    Example:
        >>> mean_of(losses.Huber)(delta=2.0)([[0.0]], [[3.0]])
        4.0
    """

    def made(*args: Any, name: str | None = None, dtype: str | None = None, **fields: Any) -> core.MeanLoss:
        return core.MeanLoss(kind(*args, **fields), name=name, dtype=dtype)

    made.__name__ = made.__qualname__ = kind.__name__
    text, args, examples, source = losses.docstring(kind)
    args = [one for one in args if not one.startswith("    reduction:")]
    shown = [one for one in examples if ".of(" not in one and " import " not in one]
    made.__doc__ = "\n".join(
        [
            f"Metric: the mean of the loss `{kind.__name__}` over the rows.\n\n{text}\n\nArgs:",
            *(
                re.sub("^    name: .*", "    name: Name in the history; by default that of the loss.", one)
                for one in args
            ),
            *("\nExample:", f"    >>> from firesteel.metrics import {kind.__name__}", *shown),
        ]
    )
    made.__doc__ += source
    vars(made).update(stands_for=kind, __signature__=signature(kind))
    return made


KINDS = {type(one).__name__: type(one) for one in losses.LOSSES.values()}
OTHERS = {name: mean_of(kind) for name, kind in KINDS.items() if name not in core.__all__}
"""Metrics that are made of the losses whose names no other metric has."""
globals().update(OTHERS)
LogCoshError = OTHERS["LogCosh"]

__all__ = [*core.__all__, *OTHERS, "LogCoshError", "deserialize", "get", "serialize"]

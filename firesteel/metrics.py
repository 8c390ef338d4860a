"""Metrics under Keras's names.

A loss is a metric, too: `metrics=["hinge"]`, `metrics=[metrics.Hinge()]` and `metrics=[losses.Hinge()]` are the same.
"""

from firesteel.core import losses
from firesteel.core import metrics as core
from firesteel.core.metrics import *  # noqa: F403
from firesteel.core.metrics import get

deserialize, serialize = get, core.Metric.to_config
LogCoshError = losses.LogCosh
KINDS = dict.fromkeys(type(one).__name__ for one in losses.LOSSES.values())
OTHERS = {kind: getattr(losses, kind) for kind in KINDS if kind not in core.__all__}
"""Losses that are no metrics under the same name."""
globals().update(OTHERS)

__all__ = [*core.__all__, *OTHERS, "LogCoshError", "deserialize", "get", "serialize"]

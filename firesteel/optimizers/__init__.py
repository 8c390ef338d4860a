"""Optimizers, under Keras's names, with its defaults and variants; `schedules` holds those of the learning rate.

`compile(optimizer=...)` takes an object (`Adam(0.01)`) or its name ("adam").  Each class says its formula and source.

Example:
    >>> from firesteel import optimizers
    >>> optimizers.get("adam") == optimizers.Adam(learning_rate=0.001)
    True
    >>> optimizers.SGD(optimizers.schedules.CosineDecay(0.1, decay_steps=1000), momentum=0.9).rate(1)
    0.1
"""

from firesteel.core import optimizers as core
from firesteel.core.optimizers import *  # noqa: F403
from firesteel.core.optimizers import get
from firesteel.optimizers import schedules

deserialize, serialize = get, core.Optimizer.to_config

__all__ = [*core.__all__, "deserialize", "get", "schedules", "serialize"]

"""Optimisers under Keras's names, defaults and variants; their mathematics is in `firesteel.core.optimizers`."""

from firesteel.core import optimizers as core
from firesteel.core.optimizers import *  # noqa: F403
from firesteel.core.optimizers import get
from firesteel.optimizers import schedules

deserialize, serialize = get, core.Optimizer.to_config

__all__ = [*core.__all__, "deserialize", "get", "schedules", "serialize"]

"""Schedules of the learning rate, under Keras's names; their mathematics is in `firesteel.core.schedules`."""

from firesteel.core import schedules as core
from firesteel.core.schedules import *  # noqa: F403

__all__ = core.__all__

"""Metrics under Keras's names."""

from firesteel.core import metrics as core
from firesteel.core.metrics import *  # noqa: F403

__all__ = core.__all__

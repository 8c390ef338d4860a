"""Regularisers under Keras's names."""

from firesteel.core import regularizers as core
from firesteel.core.regularizers import *  # noqa: F403

__all__ = core.__all__

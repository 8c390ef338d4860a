"""Losses under Keras's names, and also the half sum of squares, quantiles and standardized losses."""

from firesteel.core import losses as core
from firesteel.core.losses import *  # noqa: F403

__all__ = core.__all__

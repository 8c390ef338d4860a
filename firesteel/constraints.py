"""Constraints on weights, under Keras's names; their mathematics is in `firesteel.core.constraints`."""

from firesteel.core import constraints as core
from firesteel.core.constraints import *  # noqa: F403

__all__ = core.__all__

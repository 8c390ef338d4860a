"""How weights are first drawn, under Keras's names."""

from firesteel.core import initializers as core
from firesteel.core.initializers import *  # noqa: F403

__all__ = core.__all__

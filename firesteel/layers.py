"""Layers under the names and arguments that Keras gave them; their mathematics is in `firesteel.core.layers`."""

from firesteel.core import layers as core
from firesteel.core.layers import *  # noqa: F403

__all__ = core.__all__

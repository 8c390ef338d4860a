"""Initializers of weights, under Keras's names; `he_normal` is another name of `HeNormal`.

A layer takes them as `kernel_initializer=` and the like: an object (`HeNormal()`) or its name ("he_normal").

Example:
    >>> from firesteel import initializers
    >>> initializers.Constant(0.5)((2,))
    array([0.5, 0.5], dtype=float32)
    >>> initializers.he_normal is initializers.HeNormal
    True
"""

from firesteel.core import initializers as core
from firesteel.core.initializers import *  # noqa: F403
from firesteel.core.initializers import INITIALIZERS, get
from firesteel.core.initializers import IdentityInitializer as Identity

deserialize, serialize = get, core.Initializer.to_config
globals().update({name: type(one) for name, one in INITIALIZERS.items()})

__all__ = [*core.__all__, *INITIALIZERS, "Identity", "deserialize", "get", "serialize"]

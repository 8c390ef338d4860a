"""Regularizers, under Keras's names; `l2` is another name of `L2`.

A layer takes them as `kernel_regularizer=` and the like: an object (`L2(1e-4)`) or its name ("l2").

Example:
    >>> from firesteel import regularizers
    >>> regularizers.l2(0.5)([2.0, -1.0])
    2.5
"""

from firesteel.core import regularizers as core
from firesteel.core.regularizers import *  # noqa: F403
from firesteel.core.regularizers import REGULARIZERS, get

deserialize, serialize = get, core.Regularizer.to_config
globals().update({name: type(one) for name, one in REGULARIZERS.items()})

__all__ = [*core.__all__, *REGULARIZERS, "deserialize", "get", "serialize"]

"""Regularisers under Keras's names; `l2` is another name of `L2`."""

from firesteel.core import regularizers as core
from firesteel.core.regularizers import *  # noqa: F403
from firesteel.core.regularizers import REGULARIZERS, get

deserialize, serialize = get, core.Regularizer.to_config
globals().update({name: type(one) for name, one in REGULARIZERS.items()})

__all__ = [*core.__all__, *REGULARIZERS, "deserialize", "get", "serialize"]

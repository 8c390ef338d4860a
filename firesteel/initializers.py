"""How weights are first drawn, under Keras's names; `he_normal` is another name of `HeNormal`."""

from firesteel.core import initializers as core
from firesteel.core.initializers import *  # noqa: F403
from firesteel.core.initializers import INITIALIZERS, get
from firesteel.core.initializers import IdentityInitializer as Identity

deserialize, serialize = get, core.Initializer.to_config
globals().update({name: type(one) for name, one in INITIALIZERS.items()})

__all__ = [*core.__all__, *INITIALIZERS, "Identity", "deserialize", "get", "serialize"]

"""Constraints on weights, under Keras's names; `max_norm` is another name of `MaxNorm`.

Their mathematics is in `firesteel.core.constraints`.
"""

from firesteel.core import constraints as core
from firesteel.core.constraints import *  # noqa: F403
from firesteel.core.constraints import CONSTRAINTS, get

deserialize, serialize = get, core.Constraint.to_config
globals().update({name: type(one) for name, one in CONSTRAINTS.items()})

__all__ = [*core.__all__, *CONSTRAINTS, "deserialize", "get", "serialize"]

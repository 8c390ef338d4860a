"""Constraints on weights, under Keras's names; `max_norm` is another name of `MaxNorm`.

A layer takes them as `kernel_constraint=` and the like: an object (`MaxNorm(3.0)`) or its name ("max_norm").

Example:
    >>> from firesteel import constraints
    >>> constraints.non_neg()([-1.0, 2.0])
    array([0., 2.])
"""

from firesteel.core import constraints as core
from firesteel.core.constraints import *  # noqa: F403
from firesteel.core.constraints import CONSTRAINTS, get

deserialize, serialize = get, core.Constraint.to_config
globals().update({name: type(one) for name, one in CONSTRAINTS.items()})

__all__ = [*core.__all__, *CONSTRAINTS, "deserialize", "get", "serialize"]

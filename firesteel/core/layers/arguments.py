"""Resolvers for arguments that several layers share; each accepts every form that users may write."""

from firesteel.core import constraints, regularizers
from firesteel.core.constraints import Constraint
from firesteel.core.regularizers import Regularizer
from firesteel.core.spec import whole
from firesteel.core.types import Shape
from firesteel.errors import ConfigError

__all__ = ["constraint", "input_dim", "input_shape", "regularizer"]


def input_dim(given: object) -> int | None:
    """Return the number of inputs of a first layer; None infers it from the data."""
    if given is None:
        return None
    value = whole(given)
    if value is None or value < 1:
        raise ConfigError(f"input_dim={given!r}: it must be an integer of at least 1", code="config-value")
    return value


def input_shape(given: object) -> Shape | None:
    """Return the shape of a first layer's rows, such as `(784,)`; None infers it from the data."""
    if given is None:
        return None
    sides = given if isinstance(given, tuple | list) else ()
    if len(sides) != 1 or (whole(sides[0]) or 0) < 1:
        raise ConfigError(
            f"input_shape={given!r}: this layer reads rows with one axis, so write the number of values in a row, "
            "such as (784,); for rows with more axes, begin the network with Input or Flatten",
            code="config-value",
        )
    return (int(sides[0]),)


def regularizer(given: object) -> Regularizer | None:
    """Return the regularizer for a name, an object or a config; None means no penalty."""
    return None if given is None else regularizers.get(given)


def constraint(given: object) -> Constraint | None:
    """Return the constraint for a name, an object or a config; None means no constraint."""
    return None if given is None else constraints.get(given)

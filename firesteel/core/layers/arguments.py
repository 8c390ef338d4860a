"""Functions that check and convert the arguments common to several layers, such as `input_dim`."""

from firesteel.core import constraints, regularizers
from firesteel.core.constraints import Constraint
from firesteel.core.regularizers import Regularizer
from firesteel.core.spec import whole
from firesteel.core.types import Shape
from firesteel.errors import ConfigError

__all__ = ["constraint", "input_dim", "input_shape", "regularizer"]


def input_dim(given: object) -> int | None:
    """Check the argument `input_dim`: return it as an integer, or None to infer it from the data."""
    if given is None:
        return None
    value = whole(given)
    if value is None or value < 1:
        raise ConfigError(f"input_dim={given!r}: it must be an integer of at least 1", code="config-value")
    return value


def input_shape(given: object) -> Shape | None:
    """Check the argument `input_shape`: return a tuple such as `(784,)`, or None to infer it from the data."""
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
    """Return a regularizer object, given an object, a name or a config; None for no penalty."""
    return None if given is None else regularizers.get(given)


def constraint(given: object) -> Constraint | None:
    """Return a constraint object, given an object, a name or a config; None for no constraint."""
    return None if given is None else constraints.get(given)

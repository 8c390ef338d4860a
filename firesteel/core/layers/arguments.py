"""What several layers take as arguments, in any of the forms in which users give it."""

from firesteel.core import constraints, regularizers
from firesteel.core.constraints import Constraint
from firesteel.core.regularizers import Regularizer
from firesteel.core.spec import whole
from firesteel.core.types import Shape
from firesteel.errors import ConfigError

__all__ = ["constraint", "input_dim", "input_shape", "regularizer"]


def input_dim(given: object) -> int | None:
    """Return the number of inputs of a first layer, or None where the data decide."""
    if given is None:
        return None
    value = whole(given)
    if value is None or value < 1:
        raise ConfigError(f"input_dim={given!r}: it must be an integer of at least 1", code="config-value")
    return value


def input_shape(given: object) -> Shape | None:
    """Return the shape of a row of a first layer, (784,), or None where the data decide."""
    if given is None:
        return None
    sides = given if isinstance(given, tuple | list) else ()
    if len(sides) != 1 or (whole(sides[0]) or 0) < 1:
        raise ConfigError(
            f"input_shape={given!r}: it must be the number of values in a row, as in (784,); of rows with more axes "
            "Flatten or Input has the shape",
            code="config-value",
        )
    return (int(sides[0]),)


def regularizer(given: object) -> Regularizer | None:
    """Return the regulariser that was given in any form; None means none."""
    return None if given is None else regularizers.get(given)


def constraint(given: object) -> Constraint | None:
    """Return the constraint that was given in any form; None means none."""
    return None if given is None else constraints.get(given)

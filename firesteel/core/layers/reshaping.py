"""Layers that say or change the shape of a row, and compute nothing."""

import math
from dataclasses import MISSING

from firesteel.core.layer import Layer
from firesteel.core.spec import choice, whole
from firesteel.core.types import Shape
from firesteel.errors import ConfigError

__all__ = ["Flatten", "Input"]


def shape(given: object) -> Shape:
    """Return the shape of a row, given as a tuple or as one number."""
    sides = [whole(side) for side in (given if isinstance(given, tuple | list) else [given])]
    if not 0 < len(sides) <= 32 or not all(side is not None and side >= 1 for side in sides):
        raise ConfigError(f"shape={given!r}: it must be integers of at least 1, such as (784,)", code="config-value")
    return tuple(side for side in sides if side is not None)


class Input(Layer):
    """Says the shape of a row, before the first layer: (784,), or (28, 28) for rows of pictures, which are flattened.

    >>> Input((28, 28)).inputs
    784
    """

    shape: Shape = choice(MISSING, shape)

    @property
    def inputs(self) -> int | None:
        return math.prod(self.shape)

    def parts(self) -> tuple[Layer, ...]:
        return ()


class Flatten(Layer):
    """Makes a row of numbers of a picture; a row that is one already stays as it is.

    input_shape: the shape of a picture, where this is the first layer.

    >>> Flatten((28, 28)).inputs
    784
    """

    input_shape: Shape | None = choice(None, lambda given: None if given is None else shape(given))

    @property
    def inputs(self) -> int | None:
        return None if self.input_shape is None else math.prod(self.input_shape)

    def parts(self) -> tuple[Layer, ...]:
        return ()

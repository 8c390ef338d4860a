"""Layers that make one value of several."""

import math
from typing import Any

import numpy as np

from firesteel.core.layer import Layer
from firesteel.core.spec import flag, later, numbers
from firesteel.core.types import Array, Pull, Shape, Stream, Views
from firesteel.errors import ConfigError

EPSILON = 1e-7
__all__ = ["Average", "Logarithm"]


class Average(Layer):
    """The mean of its inputs, which have one shape: y = 1/M sum_m x_m, added up in their order.

    Args:
        centres: What each input is less by, one number for each of its values and then those of the next input, for
            who takes an average apart; the mean is less by their mean.

    >>> Average().apply({}, np.array([[1.0, 2.0]]), np.array([[3.0, 6.0]]))[0]
    array([[2., 4.]])
    """

    centres: tuple[float, ...] | None = later(numbers(None, why="inputs are less by them"))

    def output_shape(self, *inputs: Shape) -> Shape:
        if len(set(inputs)) > 1:
            raise ConfigError(f"an average is of values of one shape, and these have {inputs}", code="config-shape")
        if self.centres is not None and len(self.centres) != len(inputs) * math.prod(inputs[0]):
            raise ConfigError(f"{len(self.centres)} centres do not fit {len(inputs)} inputs", code="config-shape")
        return inputs[0]

    def apply(self, p: Views, *x: Array, rng: Stream | None = None) -> tuple[Array, Pull]:
        y, share = x[0].copy(), x[0].dtype.type(1 / len(x))
        for more in x[1:]:
            y += more
        y *= share

        def pull(d_y: Array, g: Views, wants_x: bool) -> Any:
            d_x = d_y * share
            return tuple(d_x.copy() for _ in x) if len(x) > 1 else d_x

        return y, pull


class Logarithm(Layer):
    """y = log x of probabilities, or log(x / (1 - x)), their odds: what softmax, or sigmoid, makes of it is x again.

    Probabilities below 1e-7 count as that.

    Args:
        odds: Whether it is of the odds.

    >>> Logarithm().apply({}, np.array([[1.0, 0.5]]))[0].round(3)
    array([[ 0.   , -0.693]])
    """

    odds: bool = flag(False)

    def apply(self, p: Views, x: Array, rng: Stream | None = None) -> tuple[Array, Pull]:
        inside = np.clip(x, EPSILON, 1 - EPSILON if self.odds else None)
        y, slope = np.log(inside), (x == inside) / inside
        if self.odds:
            y, slope = y - np.log1p(-inside), slope / (1 - inside)
        return y, lambda d_y, g, wants_x: d_y * slope.astype(x.dtype)

"""Activations as functions of arrays, under Keras's names; layers take them in place of a name.

>>> from firesteel.layers import Dense
>>> relu([-1.0, 2.0]), Dense(8, activation=relu).activation
(array([0., 2.]), 'relu')
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from firesteel.core.elsewhere import check_arguments
from firesteel.core.layer import Layer
from firesteel.core.layers.activation import ACTIVATIONS, LogSoftmax, ReLU, Softmax, activation
from firesteel.core.loss import floats
from firesteel.core.types import Array
from firesteel.errors import ConfigError


def function_of(name: str, layer: Layer | None) -> Callable[..., Array]:
    """Return an activation as a function of an array and the fields of its layer.

    >>> function_of("elu", ACTIVATIONS["elu"])([-1e9, 3.0], alpha=2.0)
    array([-2.,  3.])
    """
    kind: Any = ReLU if name == "relu" else type(layer)
    formula, *_ = (type(layer).__doc__ or "").split("\n") if layer else ["y = x."]

    of_rows = isinstance(layer, Softmax | LogSoftmax)
    known = ["x", "axis"] if of_rows else ["x", *(one.name for one in kind.fields)] if layer else ["x"]

    def function(x: Any, **fields: Any) -> Array:
        check_arguments(name, fields, known)
        x = floats("x", x)
        if not x.size:
            return x
        axis = fields.pop("axis", -1) if of_rows else -1
        of = kind(**fields) if fields else layer
        axes = tuple(axis) if isinstance(axis, tuple | list) else (axis,)
        last = range(-len(axes), 0)
        try:
            moved = np.moveaxis(np.atleast_1d(x), axes, last)
        except (TypeError, ValueError):
            raise ConfigError(f"{name}(axis={axis!r}): x has {x.ndim} axes", code="config-shape") from None
        rows = moved.reshape(-1, math.prod(moved.shape[last.start :]))
        y = of.apply({}, np.ascontiguousarray(rows))[0] if of else rows
        return np.moveaxis(y.reshape(moved.shape), last, axes).reshape(x.shape)[()]

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"Return the activation {name!r} of an array of any shape.\n\n{formula}"
    vars(function).update(stands_for=name)
    return function


FUNCTIONS = {name: function_of(name, layer) for name, layer in ACTIVATIONS.items()}
globals().update(FUNCTIONS)


def get(identifier: Any) -> Callable[..., Array]:
    """Return the function of a name, of a function or of None, which means "linear".

    >>> get("ReLU") is get(None), get("ReLU").__name__
    (False, 'relu')
    """
    return FUNCTIONS[activation(identifier)]


def serialize(function: Callable[..., Array]) -> str:
    """Return the name of a function.

    >>> serialize(get("tanh"))
    'tanh'
    """
    return activation(function)


deserialize = get

__all__ = [*FUNCTIONS, "deserialize", "get", "serialize"]

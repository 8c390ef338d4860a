"""Activation functions of arrays, under Keras's names.  Layers accept them in place of a name.

Example:
    >>> from firesteel.layers import Dense
    >>> relu([-1.0, 2.0]), Dense(8, activation=relu).activation
    (array([0., 2.]), 'relu')
"""

import inspect
import math
import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from firesteel.core.elsewhere import check_arguments
from firesteel.core.layer import Layer
from firesteel.core.layers.activation import ACTIVATIONS, LogSoftmax, ReLU, Softmax, activation
from firesteel.core.loss import floats
from firesteel.core.types import Array
from firesteel.errors import ConfigError

TEXTS = {"linear": "Linear activation: `y = x`.", "relu6": "ReLU limited to 6: `y = min(max(x, 0), 6)`."}
"""Descriptions that no class has."""
AXIS = "Axis of x, or tuple of axes, that softmax is taken over; 0 is the first, -1 the last."
LAYERS_ONLY = {"input_dim", "input_shape", "name", "trainable"}
"""Arguments that functions of arrays do not need."""


def sections(documented: object) -> dict[str, str]:
    """Return the sections of a Google-style docstring: "Text", "Args", "Raises", "Example" and "Source".

    >>> sections(Softmax)["Source"]
    'Source: Bridle 1990.'
    """
    found = re.split(
        r"^(Args|Returns|Raises|Example):\n|^(?=(Source):)", inspect.getdoc(documented) or "", flags=re.M
    )
    names = ["Text", *(before or after for before, after in zip(found[1::3], found[2::3], strict=True))]
    return {name: text.strip("\n") for name, text in zip(names, found[::3], strict=True)}


def entries(args: str) -> dict[str, str]:
    """Return the descriptions in an "Args" section, by the arguments' names.

    >>> entries(sections(Softmax)["Args"])["axis"]
    'Axis of a row along which outputs sum to 1: 1 is the first, -1 the last.'
    """
    found = re.findall(r"^    (\w+): (.+(?:\n {8}.+)*)", args, flags=re.M)
    return {name: re.sub(r"\s+", " ", text) for name, text in found}


def written(text: str, args: Mapping[str, str], returns: str, raises: str, example: str, source: str) -> str:
    """Return a Google-style docstring.  Empty sections are left out."""
    listed = "\n".join(f"    {name}: {meaning}" for name, meaning in args.items())
    named = {"Args": listed, "Returns": returns, "Raises": raises, "Example": example}
    return "\n\n".join(
        [text, *(f"{name}:\n{body}" for name, body in named.items() if body), *([source] * bool(source))]
    )


def function_of(name: str, layer: Layer | None) -> Callable[..., Array]:
    """Return an activation as a function of an array and the fields of its layer.

    Args:
        name: The activation's registered name.
        layer: Its layer; None for "linear".

    Example:
        >>> function_of("elu", ACTIVATIONS["elu"])([-1e9, 3.0], alpha=2.0)
        array([-2.,  3.])
    """
    kind: Any = ReLU if name == "relu" else type(layer)
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
    described = {} if layer is None or name in TEXTS else entries(sections(kind).get("Args", ""))
    described = {"axis": AXIS} if of_rows else {key: described[key] for key in described.keys() - LAYERS_ONLY}
    types = {one.name: one.type for one in getattr(kind, "fields", ())} | {"axis": int | tuple[int, ...]}
    settings = [
        inspect.Parameter(key, inspect.Parameter.KEYWORD_ONLY, default=getattr(layer, key, -1), annotation=types[key])
        for key in types
        if key in described
    ]
    x = inspect.Parameter("x", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=Any)
    signature = inspect.Signature([x, *settings], return_annotation=Array)
    function.__doc__ = documentation(function, kind, {one.name: described[one.name] for one in settings})
    vars(function).update(stands_for=name, __signature__=signature)
    return function


def documentation(function: Callable[..., Array], kind: type, settings: Mapping[str, str]) -> str:
    """Return the docstring of an activation function, made from that of its layer.

    Args:
        function: The function, called for the example.
        kind: The class of its layer.
        settings: The descriptions of its arguments other than x.
    """
    name, said = function.__name__, sections(kind)
    text = re.sub(
        r"\s*The shape is unchanged\.|\s*The activation named .*", "", TEXTS.get(name, said["Text"])
    ).rstrip()
    text = text.split("\n")[0] if kind is Softmax else text
    example = (
        f"    >>> from firesteel.activations import {name}\n"
        f"    >>> {name}([-1.0, 0.0, 2.0]).round(4).tolist()\n"
        f"    {function([-1.0, 0.0, 2.0]).round(4).tolist()}"
    )
    args = {"x": "Array of any shape, or nested lists of numbers."} | dict(settings)
    returns = "    Array of the shape of x, in float32 or float64; integers become float64."
    raises = "    DataError: x is not an array of numbers (`data-text`)."
    if settings:
        raises += "\n    ConfigError: An argument is unknown (`config-argument`) or out of range (`config-value`)."
    return written(text, args, returns, raises, example, said.get("Source", ""))


FUNCTIONS = {name: function_of(name, layer) for name, layer in ACTIVATIONS.items()}
globals().update(FUNCTIONS)


def get(identifier: Any) -> Callable[..., Array]:
    """Return an activation function.

    Args:
        identifier: A name, compared without case and underscores; a function; or None, which means "linear".

    Returns:
        The function of arrays.

    Raises:
        ConfigError: No activation has this name (`config-unknown`).

    Example:
        >>> from firesteel import activations
        >>> activations.get("ReLU").__name__, activations.get(None).__name__
        ('relu', 'linear')
    """
    return FUNCTIONS[activation(identifier)]


def serialize(function: Callable[..., Array]) -> str:
    """Return the registered name of an activation function.

    Args:
        function: A function of this module.

    Returns:
        Its name.

    Raises:
        ConfigError: The function is not an activation (`config-unknown`).

    Example:
        >>> from firesteel import activations
        >>> activations.serialize(activations.tanh)
        'tanh'
    """
    return activation(function)


deserialize = get

__all__ = [*FUNCTIONS, "deserialize", "get", "serialize"]

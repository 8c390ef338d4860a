"""Layers with Keras's names and arguments, and functions that call merging layers, such as `add`.

`add([a, b])` is short for `Add()([a, b])`.  The mathematics of the layers is in `firesteel.core.layers`.
"""

import inspect
import re
from collections.abc import Callable
from typing import Any

from firesteel.activations import entries, sections, written
from firesteel.core import layers as core
from firesteel.core.layers import *  # noqa: F403

__all__ = [*core.__all__, "add", "average", "concatenate", "dot", "maximum", "minimum", "multiply", "subtract"]

INPUTS = "List of symbolic tensors of a network, or of arrays of shape (batch, ...)."
RETURNS = "    The merged symbolic tensor, or an array if the inputs are arrays."


def functional(kind: type[core.Layer]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return a decorator that writes the docstring of a function such as `add` from its layer's class.

    Args:
        kind: The layer's class.

    Returns:
        The decorator.
    """
    said = sections(kind)

    def documented(function: Callable[..., Any]) -> Callable[..., Any]:
        name, args = function.__name__, entries(said.get("Args", ""))
        listed = {one: meaning for one, meaning in args.items() if one in inspect.signature(function).parameters}
        more = ", ".join(f"`{one}`" for one in args if one not in listed)
        listed = {"inputs": INPUTS} | listed | {"more": f"Further arguments of `{kind.__name__}`: {more}."}
        call = re.compile(rf"{kind.__name__}\((.*?)\)\((.*)\)")
        example = call.sub(lambda found: f"{name}({', '.join(filter(None, found.groups()[::-1]))})", said["Example"])
        example = example.replace(f"import {kind.__name__}", f"import {name}")
        text = f"{said['Text']}\n\nThis is the functional form of the layer `{kind.__name__}`."
        function.__doc__ = written(text, listed, RETURNS, said.get("Raises", ""), example, said.get("Source", ""))
        return function

    return documented


@functional(core.Add)
def add(inputs: Any, **more: Any) -> Any:
    """Add inputs elementwise, with the layer `Add`."""
    return core.Add(**more)(inputs)


@functional(core.Subtract)
def subtract(inputs: Any, **more: Any) -> Any:
    """Subtract the second of two inputs from the first, with the layer `Subtract`."""
    return core.Subtract(**more)(inputs)


@functional(core.Multiply)
def multiply(inputs: Any, **more: Any) -> Any:
    """Multiply inputs elementwise, with the layer `Multiply`."""
    return core.Multiply(**more)(inputs)


@functional(core.Average)
def average(inputs: Any, **more: Any) -> Any:
    """Average inputs elementwise, with the layer `Average`."""
    return core.Average(**more)(inputs)


@functional(core.Maximum)
def maximum(inputs: Any, **more: Any) -> Any:
    """Return the elementwise maximum of inputs, with the layer `Maximum`."""
    return core.Maximum(**more)(inputs)


@functional(core.Minimum)
def minimum(inputs: Any, **more: Any) -> Any:
    """Return the elementwise minimum of inputs, with the layer `Minimum`."""
    return core.Minimum(**more)(inputs)


@functional(core.Concatenate)
def concatenate(inputs: Any, axis: int = -1, **more: Any) -> Any:
    """Concatenate inputs along an axis, with the layer `Concatenate`."""
    return core.Concatenate(axis, **more)(inputs)


@functional(core.Dot)
def dot(inputs: Any, axes: Any = -1, **more: Any) -> Any:
    """Return the dot product of two inputs along an axis of each, with the layer `Dot`."""
    return core.Dot(axes, **more)(inputs)

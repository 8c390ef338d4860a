"""Layers under the names and arguments that Keras gave them; their mathematics is in `firesteel.core.layers`.

Functions of lists of values are short for merging layers: `add([a, b])` is `Add()([a, b])`.
"""

from typing import Any

from firesteel.core import layers as core
from firesteel.core.layers import *  # noqa: F403

__all__ = [*core.__all__, "add", "average", "concatenate", "dot", "maximum", "minimum", "multiply", "subtract"]


def add(inputs: Any, **more: Any) -> Any:
    """Return `Add(**more)(inputs)`.

    >>> add([core.Input((3,)), core.Input((3,))]).shape
    (None, 3)
    """
    return core.Add(**more)(inputs)


def subtract(inputs: Any, **more: Any) -> Any:
    """Return `Subtract(**more)(inputs)`."""
    return core.Subtract(**more)(inputs)


def multiply(inputs: Any, **more: Any) -> Any:
    """Return `Multiply(**more)(inputs)`."""
    return core.Multiply(**more)(inputs)


def average(inputs: Any, **more: Any) -> Any:
    """Return `Average(**more)(inputs)`."""
    return core.Average(**more)(inputs)


def maximum(inputs: Any, **more: Any) -> Any:
    """Return `Maximum(**more)(inputs)`."""
    return core.Maximum(**more)(inputs)


def minimum(inputs: Any, **more: Any) -> Any:
    """Return `Minimum(**more)(inputs)`."""
    return core.Minimum(**more)(inputs)


def concatenate(inputs: Any, axis: int = -1, **more: Any) -> Any:
    """Return `Concatenate(axis, **more)(inputs)`."""
    return core.Concatenate(axis, **more)(inputs)


def dot(inputs: Any, axes: Any = -1, **more: Any) -> Any:
    """Return `Dot(axes, **more)(inputs)`."""
    return core.Dot(axes, **more)(inputs)

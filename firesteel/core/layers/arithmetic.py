"""Arithmetic operators of symbolic tensors; each operator adds a layer to the network."""

from numbers import Real
from typing import Any

from firesteel.errors import ConfigError

__all__ = ["Arithmetic"]


class Arithmetic:
    """Base class of symbolic tensors; defines + - * with tensors and numbers, and division by numbers."""

    __array_ufunc__ = None  # makes an array on the left defer to this class

    def __add__(self, other: object) -> Any:
        return scaled(self, 1.0, other) if isinstance(other, Real) else _called("Add", self, other)

    def __sub__(self, other: object) -> Any:
        return scaled(self, 1.0, -other) if isinstance(other, Real) else _called("Subtract", self, other)

    def __mul__(self, other: object) -> Any:
        return scaled(self, other, 0.0) if isinstance(other, Real) else _called("Multiply", self, other)

    def __truediv__(self, other: object) -> Any:
        if not isinstance(other, Real) or not other:
            raise ConfigError(
                f"a symbolic tensor cannot be divided by {other}: the divisor must be a number other than 0",
                code="config-call",
            )
        return scaled(self, 1.0 / float(other), 0.0)

    def __rtruediv__(self, other: object) -> Any:
        raise ConfigError(
            f"cannot divide {other} by a symbolic tensor: the divisor must be a number", code="config-call"
        )

    def __neg__(self) -> Any:
        return scaled(self, -1.0, 0.0)

    def __rsub__(self, other: object) -> Any:
        return scaled(self, -1.0, other) if isinstance(other, Real) else _called("Subtract", other, self)

    __radd__, __rmul__ = __add__, __mul__


def _called(name: str, *values: object) -> Any:
    from firesteel.core import layers  # imported late: layers need this module

    return getattr(layers, name)()(*values)


def scaled(value: object, scale: Any, offset: Any) -> Any:
    """Return the symbolic tensor value * scale + offset, computed by the layer `Rescaling`."""
    from firesteel.core import layers

    return layers.Rescaling(float(scale), float(offset))(value)

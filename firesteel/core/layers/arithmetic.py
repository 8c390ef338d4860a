"""Arithmetic operators of symbolic values: each operator calls a layer."""

from numbers import Real
from typing import Any

from firesteel.errors import ConfigError

__all__ = ["Arithmetic"]


class Arithmetic:
    """Base of symbolic values: + - * combine them with values and numbers, and / divides them by numbers."""

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
                f"a value of a network can be divided only by a number other than 0, not by {other}",
                code="config-call",
            )
        return scaled(self, 1.0 / float(other), 0.0)

    def __rtruediv__(self, other: object) -> Any:
        raise ConfigError(
            f"cannot divide {other} by a value of a network: the divisor must be a number", code="config-call"
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
    """Return value * scale + offset."""
    from firesteel.core import layers

    return layers.Rescaling(float(scale), float(offset))(value)

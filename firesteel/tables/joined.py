"""Columns of several inputs or outputs, which lie side by side in a row of numbers."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from firesteel.errors import ConfigError


@dataclass(frozen=True)
class Joined:
    """Which columns of a DataFrame are which input, or output.

    Args:
        names: What the inputs or outputs are called.
        columns: A column's name for each, or a tuple of names of columns of numbers.
        sizes: How many numbers each has; none where that is not known yet.

    Raises:
        ConfigError: For what is no column's name, and no list of names.

    >>> list(Joined(("a", "b"), ("x", ("y", "z"))))
    ['x', 'y', 'z']
    """

    names: tuple[str, ...]
    columns: tuple[str | tuple[str, ...], ...]
    sizes: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        for name, given in zip(self.names, self.columns, strict=True):
            listed = [given] if isinstance(given, str) else given
            if not isinstance(listed, list | tuple) or not listed or not all(isinstance(one, str) for one in listed):
                raise ConfigError(
                    f"{given!r} was given for {name!r}: it must be a column's name, or a list of names",
                    code="config-column",
                )
        plain = [one if isinstance(one, str) else tuple(one) for one in self.columns]
        vars(self).update(names=tuple(self.names), columns=tuple(plain), sizes=tuple(self.sizes))

    def __iter__(self) -> Iterator[str]:
        for one in self.columns:
            yield from [one] if isinstance(one, str) else one


def joined(given: Any) -> Any:
    """Return columns by the names of inputs or outputs as `Joined`, and anything else as it is."""
    return Joined(tuple(map(str, given)), tuple(given.values())) if isinstance(given, dict) else given

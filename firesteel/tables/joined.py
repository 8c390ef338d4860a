"""DataFrame columns for networks with several inputs or outputs."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from firesteel.errors import ConfigError


@dataclass(frozen=True)
class Joined:
    """DataFrame columns of each input, or each output, of a network that has several.

    Args:
        names: Names of the inputs or outputs.
        columns: For each, a column name or a tuple of names of numeric columns.
        sizes: Number of values of each; empty if unknown.

    Raises:
        ConfigError: If a value is neither a column name nor a list of names.

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
                    f"the columns of {name!r} are {given!r}: give a column name or a list of column names",
                    code="config-column",
                )
        plain = [one if isinstance(one, str) else tuple(one) for one in self.columns]
        vars(self).update(names=tuple(self.names), columns=tuple(plain), sizes=tuple(self.sizes))

    def __iter__(self) -> Iterator[str]:
        for one in self.columns:
            yield from [one] if isinstance(one, str) else one


def joined(given: Any) -> Any:
    """Convert a dictionary of columns by input or output name to `Joined`; return anything else unchanged."""
    return Joined(tuple(map(str, given)), tuple(given.values())) if isinstance(given, dict) else given

"""Registry of faster implementations, which layers and optimizers request by name.

Nothing is plugged in here.  `firesteel/fast` does that when it is imported, as training does.  The results are
bit-identical.
"""

from collections.abc import Callable
from typing import Any

__all__ = ["SUPPLY", "faster"]

SUPPLY: dict[str, Callable[[int], Any]] = {}
"""By name: a function that returns the implementation for so many numbers, or None."""


def faster(name: str, numbers: int) -> Any:
    """Return the faster implementation of a name for arrays of `numbers` elements; None if there is none."""
    return SUPPLY[name](numbers) if name in SUPPLY else None

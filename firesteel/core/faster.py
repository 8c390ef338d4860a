"""Where what makes the mathematics faster is plugged in: layers and optimisers ask for it by name.

Nothing is plugged in here; `firesteel/fast` does that once it is imported, as training does.  The bits are the same.
"""

from collections.abc import Callable
from typing import Any

__all__ = ["SUPPLY", "faster"]

SUPPLY: dict[str, Callable[[int], Any]] = {}
"""By name: given how many numbers there are, returns what does it in place of NumPy, or None."""


def faster(name: str, numbers: int) -> Any:
    """Return what does this in place of NumPy for so many numbers, or None."""
    return SUPPLY[name](numbers) if name in SUPPLY else None

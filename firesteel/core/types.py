"""The few names that types share across the mathematics: arrays, views, and what an op gives back."""

from collections.abc import Callable, Iterable
from typing import Any, Protocol

import numpy.typing as npt

from firesteel.core.seeds import Stream

__all__ = ["Array", "Pull", "Random", "Run", "Stream", "Views"]

Array = npt.NDArray[Any]
Views = dict[str, Array]
Pull = Callable[[Array, Views, bool], Array | None]
"""pull(d_y, g, wants_x) writes d(loss)/d(parameters) into the views g and returns d(loss)/dx if wanted."""
Random = Callable[[int], Stream]
"""random(op number) gives the stream of that op for the rows at hand; None where nothing may be random."""


class Run(Protocol):
    """Like the built-in map, perhaps over threads; results come in order."""

    def __call__(self, function: Callable[[Any], Any], items: Iterable[Any], /) -> Iterable[Any]: ...

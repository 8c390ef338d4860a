"""Shared types: arrays, views of parameters, pull-backs (backward functions); and cached properties."""

from collections.abc import Callable, Generator, Iterable, Sequence
from typing import Any, Generic, Protocol, TypeVar

import numpy.typing as npt

from firesteel.core.seeds import Stream

__all__ = ["Array", "Piecewise", "Pull", "Random", "Run", "Shape", "Stream", "Views", "Weights", "cached_property"]

Array = npt.NDArray[Any]
Views = dict[str, Array]
Weights = Sequence[Views]
"""The parameters of each owner, or the derivatives by them, by name."""
Shape = tuple[int, ...]
"""The shape of one row, without the batch axis: (784,) or (28, 28, 1)."""
Pull = Callable[[Any, Views, bool], Any]
"""pull(d_y, g, wants_x) writes d(loss)/d(parameters) into the views g and returns d(loss)/dx if `wants_x`."""
Random = Callable[[int], Stream] | None
"""random(number) gives the random stream of a part for the current rows; None outside training."""


class Run(Protocol):
    """A function like the built-in `map`, possibly over threads; results keep the order of the items."""

    def __call__(self, function: Callable[[Any], Any], items: Iterable[Any], /) -> Iterable[Any]: ...


T = TypeVar("T")
Piecewise = Generator[Array, Array | None, T]
"""Work on a piece of a batch: it yields sums over its rows, is sent the totals over all pieces, and returns a T."""


class cached_property(Generic[T]):
    """A property that is computed once for each object.

    Threads may compute it at the same time; the first value is kept.  `functools.cached_property` has a lock in
    Python 3.11, which stays locked in a forked child if another thread held it.
    """

    def __init__(self, compute: Callable[[Any], T]) -> None:
        self.compute, self.__doc__ = compute, compute.__doc__

    def __get__(self, instance: Any, owner: Any) -> T:
        return instance.__dict__.setdefault(self.compute.__name__, self.compute(instance))

"""The few names that types share across the mathematics: arrays, views, what a layer gives back, and properties."""

from collections.abc import Callable, Generator, Iterable, Sequence
from typing import Any, Generic, Protocol, TypeVar

import numpy.typing as npt

from firesteel.core.seeds import Stream

__all__ = ["Array", "Piecewise", "Pull", "Random", "Run", "Shape", "Stream", "Views", "Weights", "cached_property"]

Array = npt.NDArray[Any]
Views = dict[str, Array]
Weights = Sequence[Views]
"""The parameters of each owner, or the derivatives by them."""
Shape = tuple[int, ...]
"""Of one row, without the batch axis: (784,), or (28, 28, 1)."""
Pull = Callable[[Any, Views, bool], Any]
"""pull(d_y, g, wants_x) writes d(loss)/d(parameters) into the views g and returns d(loss)/dx if wanted."""
Random = Callable[[int], Stream] | None
"""random(number) gives the stream of a part for the rows at hand; None where nothing may be random."""


class Run(Protocol):
    """Like the built-in map, perhaps over threads; results come in order."""

    def __call__(self, function: Callable[[Any], Any], items: Iterable[Any], /) -> Iterable[Any]: ...


T = TypeVar("T")
Piecewise = Generator[Array, Array | None, T]
"""Work on a piece of a batch: it yields sums over its rows, is sent their total over all pieces, and returns a T."""


class cached_property(Generic[T]):
    """A property that is computed once for each object.

    Threads may compute it at the same time; the first value stays.  functools' own has a lock in Python 3.11, which a
    forked child finds locked for ever if another thread held it.
    """

    def __init__(self, compute: Callable[[Any], T]) -> None:
        self.compute, self.__doc__ = compute, compute.__doc__

    def __get__(self, instance: Any, owner: Any) -> T:
        return instance.__dict__.setdefault(self.compute.__name__, self.compute(instance))

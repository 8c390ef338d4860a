"""Layout of the flat parameter vector: which slice of it holds which array of weights.

Averaging, optimizer state, clipping, checkpoints, hashes and transfers handle one array each, while the mathematics
in `layers/` sees named, shaped views that share its memory.
"""

import functools
import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from firesteel.core.types import Array, Shape, Views

__all__ = ["Layout"]


@dataclass(frozen=True)
class Layout:
    """Names and shapes of each layer's parameters, in the order in which the flat vector stores them.

    Args:
        shapes: The name and shape of each array, part by part.

    Example:
        >>> layout = Layout(((("w", (2, 3)), ("b", (3,))), ()))
        >>> layout.size
        9
        >>> layout.views(np.arange(9.0))[0]["b"]
        array([6., 7., 8.])
    """

    shapes: tuple[tuple[tuple[str, Shape], ...], ...]
    slices: tuple[tuple[int, str, Shape, slice], ...] = field(init=False, repr=False, compare=False)
    """(part number, name, shape, slice of the vector) for every array."""
    size: int = field(init=False, repr=False, compare=False)
    """Number of parameters, P."""

    def __post_init__(self) -> None:
        slices, at = [], 0
        for number, part in enumerate(self.shapes):
            for name, shape in part:
                slices.append((number, name, shape, slice(at, at := at + math.prod(shape))))
        vars(self).update(slices=tuple(slices), size=at)

    def views(self, vector: Array) -> list[Views]:
        """Return a dictionary {name: array} for each layer, whose arrays are views of `vector`, (P,)."""
        out: list[Views] = [{} for _ in self.shapes]
        for number, name, shape, where in self.slices:
            out[number][name] = vector[where].reshape(shape)
        return out


def read_only(vector: Array) -> Array:
    """Return a read-only view of `vector`."""
    view = vector.view()
    view.flags.writeable = False
    return view


@functools.lru_cache(maxsize=64)
def ones(count: int, dtype: np.dtype[Any]) -> Array:
    """Return a cached vector of ones; a matrix product with it is the fastest way to add up rows."""
    return read_only(np.ones(count, dtype))


@functools.lru_cache(maxsize=64)
def row_starts(rows: int, columns: int) -> npt.NDArray[np.intp]:
    """Return the index at which each row starts in the flattened matrix."""
    return read_only(np.arange(0, rows * columns, columns, dtype=np.intp))

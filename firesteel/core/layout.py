"""All parameters are one flat vector; this module says which slice of it is which array.

Averaging, optimiser state, clipping, checkpoints, hashes and the wire then handle one array each, while the
mathematics in `ops.py` sees named, shaped views that share its memory.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from firesteel.core.types import Array, Views, cached_property

__all__ = ["Layout"]


@dataclass(frozen=True)
class Layout:
    """Names and shapes of each op's parameters, in the order in which they lie in the vector.

    >>> import numpy as np
    >>> layout = Layout(((("w", (2, 3)), ("b", (3,))), ()))
    >>> layout.size
    9
    >>> layout.views(np.arange(9.0))[0]["b"]
    array([6., 7., 8.])
    """

    shapes: tuple[tuple[tuple[str, tuple[int, ...]], ...], ...]

    @cached_property
    def size(self) -> int:
        """Number of parameters, P."""
        return sum(math.prod(shape) for op in self.shapes for _, shape in op)

    def slices(self) -> Iterator[tuple[int, str, tuple[int, ...], slice]]:
        """Yield (op number, name, shape, slice of the vector) for every array."""
        at = 0
        for number, op in enumerate(self.shapes):
            for name, shape in op:
                end = at + math.prod(shape)
                yield number, name, shape, slice(at, end)
                at = end

    def views(self, vector: Array) -> list[Views]:
        """Return one {name: array} for each op; the arrays are views of `vector`, (P,)."""
        out: list[Views] = [{} for _ in self.shapes]
        for number, name, shape, where in self.slices():
            out[number][name] = vector[where].reshape(shape)
        return out


def read_only(vector: Array) -> Array:
    """Return a view of `vector` that cannot be written through: what a task is given to read."""
    view = vector.view()
    view.flags.writeable = False
    return view

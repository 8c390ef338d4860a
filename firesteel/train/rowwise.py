"""Training steps that update only the rows of a matrix that a batch uses, for sparse rows and embeddings.

The touched rows of the first kernel of a sparse network, or of embedding tables, are gathered into a small vector
with all other parameters and their moments.  An inner step updates this vector, with any optimizer, and the rows are
written back.  Untouched rows neither move nor decay; docs/design/0006-sparse-rows.md describes the difference from
dense training.  `rounds.py` chooses this step for networks with such parameters.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from firesteel.core.csr import CSR, joined
from firesteel.core.layout import Layout
from firesteel.core.network import Network, alone
from firesteel.core.types import Array
from firesteel.train.blocks import Block
from firesteel.train.partial import Changed, Partial, Task
from firesteel.train.step import NumpyStep, Workspace

__all__ = ["RowwiseStep", "entering", "narrowed", "rows_for", "spread", "stretches"]


Stretch = tuple[slice, tuple[int, int], int | None]
"""A slice of theta, its number of rows and their width, and its owner if it is updated row by row."""


def stretches(network: Network) -> list[Stretch]:
    """Divide theta into slices: each row-wise parameter, and everything between two of them."""
    found = list[Stretch]()
    for owner, name, shape, where in network.layout.slices:
        if network.params[owner][name].by_row:
            found.append((where, (shape[0], math.prod(shape[1:])), owner))
        else:
            start = found.pop()[0].start if found and found[-1][2] is None else where.start
            found.append((slice(start, where.stop), (1, where.stop - start), None))
    return found


def entering(network: Network, x: CSR, dtype: np.dtype[Any]) -> CSR:
    """Return the input of a sparse network's first dense layer for rows x, (n, I), as `dtype`."""
    x = x.cast(dtype)
    for part in network.parts[: network.front]:
        x, _ = part.apply({}, x)
    return x


def narrowed(network: Network, rows: Mapping[int, int]) -> Network:
    """Return a network whose row-wise parameters have fewer rows.  rows: their numbers, by layer.

    Only the layout differs; the parts are the network's own.  So a step on the touched rows is an ordinary step of a
    smaller network.
    """
    shapes = list(network.layout.shapes)
    for owner, count in rows.items():
        by_row = [(name, shape, network.params[owner][name].by_row) for name, shape in shapes[owner]]
        shapes[owner] = tuple((name, (count, *shape[1:]) if moves else shape) for name, shape, moves in by_row)
    narrow = object.__new__(Network)  # runs in each step, and is faster than a copy
    vars(narrow).update(vars(network), layout=Layout(tuple(shapes)))
    for name in ("statistics", "constrained"):
        if getattr(network, name):
            vars(narrow).pop(name, None)
    return narrow


def rows_for(network: Network | None, block: Block, rows: Any, dtype: np.dtype[Any]) -> Any:
    """Decode some rows of a block as a network's input, dense or sparse."""
    if network is not None and network.sparse:
        x = block.x[rows] if isinstance(block.x, CSR) else CSR.of(rows_for(None, block, rows, dtype))
        return entering(network, x, dtype)
    dense = np.empty((len(block.w[rows]), block.x.shape[1]), dtype)
    block.features(rows, dense)
    return dense


class ParamTable:
    """A matrix within theta and its moments, and the rows of it that training updates.

    Args:
        network: The network.
        vectors: Theta and the moments.
        stretch: The slice.

    Attributes:
        rows: The rows that the current batch touches, ascending.
        place: The position of each row in `rows`.
        touched: Which rows any batch has touched.
    """

    def __init__(self, network: Network, vectors: Sequence[Array], stretch: Stretch) -> None:
        where, shape, self.owner = stretch
        self.units, self.kind = shape[1], np.dtype((np.void, shape[1] * vectors[0].itemsize))
        self.wide = [vector[where].view(self.kind) for vector in vectors]  # a row is one item, and moves as one
        self.readers = [part for part in network.plan if part.owner == self.owner]
        self.rows, self.place = np.zeros(int(self.owner is None), np.intp), np.empty(shape[0], np.int32)
        self.touched = np.full(shape[0], self.owner is None)

    def find(self, numbers: npt.NDArray[Any]) -> None:
        """Find the distinct rows that a batch uses, from their indices with repetitions."""
        order = np.arange(len(numbers), dtype=np.int32)
        self.place[numbers] = order
        self.rows = np.sort(numbers[self.place[numbers] == order]).astype(np.intp, copy=False)
        self.place[self.rows] = order[: len(self.rows)]


class RowwiseStep:
    """Training steps that update all ordinary parameters, but of `by_row` parameters only the rows in use.

    Args:
        inner: The inner step; its theta and slots are updated in place.
    """

    def __init__(self, inner: NumpyStep) -> None:
        self.inner, self.network, self.theta, self.planned = inner, inner.network, inner.theta, inner.planned
        self.plan, self.sums, self.weight = inner.plan, inner.sums, inner.weight
        self.tables = [ParamTable(self.network, (inner.theta, *inner.slots), one) for one in stretches(self.network)]
        self.moving = {table.owner: table for table in self.tables if table.owner is not None}
        self.narrow = np.zeros((1 + len(inner.slots), 0), self.theta.dtype)
        self.whole: float | None = None
        self.before = 0.0

    def learn(self, number: int, *address: int) -> Workspace:
        inner, network, dtype = self.inner, self.network, self.theta.dtype
        x = joined([rows_for(network, block, rows, dtype) for block, rows in inner.rows(number)])
        values, _ = alone(network.forward(inner.views, x, None, network.ahead, keep=True))
        for table in self.moving.values():
            table.find(joined([part.layer.touched(values[part.reads[0]]) for part in table.readers]))
        narrow = narrowed(network, {owner: len(table.rows) for owner, table in self.moving.items()})
        self.narrow = self._gathered()
        inner.use(narrow, self.narrow[0], self.narrow[1:], x)
        for owner, table in self.moving.items():
            inner.views[owner]["place"] = table.place
        return inner.learn(number, *address)

    def penalty(self) -> float:
        if self.whole is None:
            self.whole = self.network.penalty(self.network.layout.views(self.theta))
        self.before = self.inner.penalty()
        return self.whole

    def move(self, t: int) -> None:
        inner = self.inner
        inner.move(t)
        if self.whole is not None:
            self.whole += inner.network.penalty(inner.views) - self.before
        for table, part in self._parts(self.narrow):
            for vector, values in zip(table.wide, part, strict=True):
                vector[table.rows] = values
            table.touched[table.rows] = True

    def gradient(self) -> Partial:
        found = self.inner.gradient()
        return self._partial(found, found.vectors, 1.0)

    def moved(self, share: float) -> Partial:
        """Return the changed rows of row-wise parameters, and all other weights and moments."""
        for table in self.tables:
            table.rows = np.flatnonzero(table.touched)
        vectors = self._gathered() * self.theta.dtype.type(share)
        return self._partial(Partial(vectors, np.zeros(0)), vectors, share)

    def _gathered(self) -> Array:
        """Gather the rows in use of theta and its moments into one array, (K', P')."""
        size = sum(len(table.rows) * table.units for table in self.tables)
        vectors = np.empty((len(self.narrow), size), self.theta.dtype)
        for table, part in self._parts(vectors):
            for vector, into in zip(table.wide, part, strict=True):
                vector.take(table.rows, out=into, mode="clip")
        return vectors

    def _parts(self, vectors: Array) -> Iterator[tuple[ParamTable, Array]]:
        """Yield each `ParamTable` with its slice of an array that `_gathered` returned."""
        at = 0
        for table in self.tables:
            end = at + len(table.rows) * table.units
            yield table, vectors[:, at:end].view(table.kind)
            at = end

    def _partial(self, like: Partial, vectors: Array, share: float) -> Partial:
        """Convert an array that `_gathered` returned to the shard's result, multiplied by `share`."""
        parts = [(table, part.view(vectors.dtype)) for table, part in self._parts(vectors)]
        rest = [part for table, part in parts if table.owner is None]
        rows = [(table.rows, part, table.units) for table, part in parts if table.owner is not None]
        changed = tuple(Changed(at, v.reshape(len(v), -1, n), np.full(len(at), share)) for at, v, n in rows)
        return replace(like, vectors=np.hstack([vectors[:, :0], *rest]), changed=changed)


def spread(total: Partial, task: Task) -> Partial:
    """Merge the changed rows in the sum of the shards' results into full vectors, (K', P).

    A row of an embedding becomes the mean over the shards that changed it, a row of a sparse kernel that over all
    shards.
    """
    if not total.changed:
        return total
    before = (task.theta, *task.slots) if task.slots is not None else [np.zeros_like(task.theta)]
    vectors, changed, at = np.stack(before), iter(total.changed), 0
    for where, shape, owner in stretches(task.objective.network):
        if owner is None:
            vectors[:, where] = total.vectors[:, at : (at := at + shape[1])]
            continue
        one = next(changed)
        left = np.maximum(1.0 - one.share, 0.0).astype(vectors.dtype)[:, None]
        for vector, values in zip(vectors, one.values, strict=True):
            matrix = vector[where].reshape(shape)
            if task.objective.network.sparse:
                matrix[one.rows] = values + matrix[one.rows] * left if left.any() else values
            else:
                matrix[one.rows] = np.divide(values, 1 - left, out=matrix[one.rows], where=left < 1)
    return replace(total, vectors=vectors, changed=())

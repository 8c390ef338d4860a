"""Steps on the rows of parameters that a batch touches, and on nothing else, as sparse rows are trained on.

The rows of the first kernel that a batch touches are gathered into a small vector, with their moments; an inner step
moves that, whatever the optimiser, and the rows go back.  Untouched rows neither move nor decay:
docs/design/0006-sparse-rows.md says how that differs from dense training.  `rounds.py` chooses this where a network
is sparse.
"""

import copy
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from firesteel.core.csr import CSR, joined
from firesteel.core.layout import Layout
from firesteel.core.network import Network
from firesteel.train.blocks import Block
from firesteel.train.partial import Changed, Partial, Task
from firesteel.train.step import NumpyStep, Workspace

__all__ = ["RowwiseStep", "entering", "narrowed", "rows_for", "spread"]


def entering(network: Network, x: CSR, dtype: np.dtype[Any]) -> CSR:
    """Return what reaches the first linear part of a sparse network for rows x, (n, I), as `dtype`."""
    x = x.cast(dtype)
    for part in network.parts[: network.front]:
        x, _ = part.apply({}, x)
    return x


def narrowed(network: Network, inputs: int) -> Network:
    """Return a sparse network with the parameters that so many of its inputs have: its layout is another.

    Its parts are the network's own, for rows whose columns are numbered anew: a step on the inputs that a batch
    touches is an ordinary step on a smaller network.
    """
    assert network.front is not None, "a network is sparse only where it has such a part"
    shapes = list(network.layout.shapes)
    (name, (_, units)), *rest = shapes[network.front]
    shapes[network.front] = ((name, (inputs, units)), *rest)
    narrow = copy.copy(network)
    for derived in ("statistics", "constrained"):
        narrow.__dict__.pop(derived, None)
    narrow.__dict__["layout"] = Layout(tuple(shapes))
    return narrow


def rows_for(network: Network, block: Block, rows: npt.NDArray[np.intp] | slice, dtype: np.dtype[Any]) -> CSR:
    """Return what reaches the first linear part of a sparse network for the chosen rows, however they are packed."""
    if isinstance(block.x, CSR):
        return entering(network, block.x[rows], dtype)
    dense = np.empty((len(block.w[rows]), block.x.shape[1]), dtype)
    block.features(rows, dense)
    return entering(network, CSR.of(dense), dtype)


class RowwiseStep:
    """A `Step` that has an inner one move the rows of `by_row` parameters that a batch touches, and all the others.

    Args:
        inner: Takes the steps; its theta and slots are changed in place.
    """

    def __init__(self, inner: NumpyStep) -> None:
        self.inner, self.network, self.theta, self.planned = inner, inner.network, inner.theta, inner.planned
        self.plan, self.sums, self.weight = inner.plan, inner.sums, inner.weight
        (_, _, self.shape, where), *rest = (
            slot for slot in self.network.layout.slices() if self.network.params[slot[0]][slot[1]].by_row
        )
        assert not rest and where.start == 0, "what moves row by row is the first kernel"
        vectors = inner.theta, *inner.slots
        self.wide = [(vector[: where.stop].reshape(self.shape), vector[where.stop :]) for vector in vectors]
        self.touched, self.place = np.zeros(self.shape[0], bool), np.empty(self.shape[0], np.int32)
        self.columns = np.zeros(0, np.intp)
        self.whole: float | None = None
        self.before = 0.0

    def learn(self, number: int, *address: int) -> Workspace:
        dtype, (matrix, tail) = self.theta.dtype, self.wide[0]
        pieces = self.inner.rows(number)
        x = self._compact(joined([rows_for(self.network, block, rows, dtype) for block, rows in pieces]))
        cut = len(self.columns) * self.shape[1]
        vectors = np.empty((len(self.wide), cut + len(tail)), dtype)
        for (matrix, tail), narrow in zip(self.wide, vectors, strict=True):
            matrix.take(self.columns, axis=0, out=narrow[:cut].reshape(-1, self.shape[1]), mode="clip")
            narrow[cut:] = tail
        self.inner.use(narrowed(self.network, len(self.columns)), vectors[0], vectors[1:], x)
        return self.inner.learn(number, *address)

    def penalty(self) -> float:
        if self.whole is None:
            self.whole = self.network.penalty(self.network.layout.views(self.theta))
        self.before = self.inner.penalty()
        return self.whole

    def move(self, t: int) -> None:
        inner, cut = self.inner, len(self.columns) * self.shape[1]
        inner.move(t)
        if self.whole is not None:
            self.whole += inner.network.penalty(inner.views) - self.before
        for (matrix, tail), narrow in zip(self.wide, (inner.theta, *inner.slots), strict=True):
            matrix[self.columns] = narrow[:cut].reshape(-1, self.shape[1])
            tail[:] = narrow[cut:]
        self.touched[self.columns] = True

    def gradient(self) -> Partial:
        found = self.inner.gradient()
        g, units = found.vectors, self.shape[1]
        values = g[:, : len(self.columns) * units].reshape(1, -1, units)
        tail = g[:, g.shape[1] - len(self.wide[0][1]) :]
        return replace(found, vectors=tail, changed=Changed(self.columns, values, None))

    def moved(self, share: float) -> Partial:
        """Return the rows that were touched and the rest of the vectors."""
        rows, number = np.flatnonzero(self.touched), self.theta.dtype.type
        values = np.empty((len(self.wide), len(rows), self.shape[1]), self.theta.dtype)
        for one, (matrix, _) in zip(values, self.wide, strict=True):
            matrix.take(rows, axis=0, out=one, mode="clip")
        tails = np.vstack([tail for _, tail in self.wide])
        if share != 1.0:
            values *= number(share)
            tails *= number(share)
        return Partial(tails, np.zeros(0), changed=Changed(rows, values, np.full(len(rows), share)))

    def _compact(self, x: CSR) -> CSR:
        """Note the columns that occur in x, ascending; return x with its columns numbered among them."""
        numbers = np.arange(len(x.indices), dtype=np.int32)
        self.place[x.indices] = numbers
        self.columns = np.sort(x.indices[self.place[x.indices] == numbers])
        self.place[self.columns] = numbers[: len(self.columns)]
        return CSR(x.indptr, self.place[x.indices], x.values, len(self.columns))


def spread(total: Partial, task: Task) -> Partial:
    """Return the sum of the shards' partials with the rows in it that not all of them changed.  vectors: (K', P)"""
    changed = total.changed
    if changed is None:
        return total
    _, _, units = changed.values.shape
    size = len(task.theta)
    vectors = np.zeros((len(changed.values), size), task.theta.dtype)
    cut = size - total.vectors.shape[1]
    vectors[:, cut:] = total.vectors
    for number, (vector, values) in enumerate(zip(vectors, changed.values, strict=True)):
        matrix = vector[:cut].reshape(-1, units)
        if changed.share is not None:
            before = task.theta if number == 0 else task.slots[number - 1]  # type: ignore[index]
            vector[:cut] = before[:cut]
            left = np.maximum(1.0 - changed.share, 0.0).astype(vector.dtype)
            values = values + matrix[changed.rows] * left[:, None] if left.any() else values
        matrix[changed.rows] = values
    return replace(total, vectors=vectors, changed=None)

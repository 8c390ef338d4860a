"""Training on sparse rows: each step is taken on the inputs that its rows touch, and on nothing else.

The rows of the first kernel that a batch touches are gathered into a small network, with their moments; that network
takes an ordinary step, whatever the optimiser, and its rows go back.  Untouched rows neither move nor decay:
docs/design/0006-sparse-rows.md says how that differs from dense training.  `rounds.py` calls these where a
network is sparse.
"""

import copy
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from firesteel.core.csr import CSR, joined
from firesteel.core.layout import Layout
from firesteel.core.network import Network
from firesteel.core.seeds import stream_for
from firesteel.core.types import Array, Stream
from firesteel.core.update import update
from firesteel.train.blas import BLAS
from firesteel.train.blocks import Block
from firesteel.train.partial import Changed, Partial, Task, tree_sum

__all__ = ["Learner", "average", "entering", "narrowed", "rows_for", "spread"]

Pieces = Sequence[tuple[Block, npt.NDArray[np.intp]]]


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


Learned = tuple[Network, Array, Array, Array, Array]


class Learner:
    """The working vectors of one shard in one round, and which rows of the first kernel have been touched.

    theta (P,) and slots (K, P) are changed in place.  w, moments: their parts for the first kernel, (I, O) and
    (K, I, O); the rest of both follows it.  price: of all weights, where they have one.
    """

    def __init__(self, task: Task, theta: Array, slots: Array | None = None) -> None:
        slots = np.zeros((0, len(theta)), theta.dtype) if slots is None else slots
        self.task, self.network = task, task.objective.network
        at = self.network.front
        assert at is not None
        self.at, self.shape = at, self.network.layout.shapes[at][0][1]
        cut = self.shape[0] * self.shape[1]
        self.w, self.tail = theta[:cut].reshape(self.shape), theta[cut:]
        self.moments, self.tails = slots[:, :cut].reshape(-1, *self.shape), slots[:, cut:]
        self.touched, self.place = np.zeros(self.shape[0], bool), np.empty(self.shape[0], np.int32)
        self.price = 0.0

    def learn(self, pieces: Pieces, weight: float | None, *address: int) -> Learned:
        """Return the network as these rows see it, the inputs they touch (U,), its theta, the gradient, and the sums.

        The gradient is of the rows' weighted loss, divided by `weight` or their own weight.
        """
        task, dtype = self.task, self.w.dtype
        x = joined([rows_for(self.network, block, rows, dtype) for block, rows in pieces])
        y = np.concatenate([block.y[rows] for block, rows in pieces])
        w = task.objective.weighted(y, np.concatenate([block.w[rows] for block, rows in pieces]).astype(np.float64))
        columns, x = self._compact(x)
        narrow = narrowed(self.network, len(columns))
        theta = self._gathered(self.w, self.tail, columns)
        g = np.zeros_like(theta)

        def random(op: int) -> Stream:
            return stream_for(task.seed, "op", op, task.epoch, *address, 0)

        views, scale = narrow.layout.views, 1.0 / (weight or float(np.add.reduce(w)) or 1.0)
        sums = task.objective.learn(views(theta), x, y, w, scale, random, views(g))
        return narrow, columns, theta, g, sums

    def gradient(self, pieces: Pieces, *address: int) -> Partial:
        """Return the gradient of the rows' weighted loss, where it is not 0; of no rows, that of nothing."""
        columns, g = np.zeros(0, np.intp), np.zeros(len(self.tail), self.w.dtype)
        sums = np.zeros(self.task.objective.size)
        if pieces:
            _, columns, _, g, sums = self.learn(pieces, 1.0, *address)
        cut = len(g) - len(self.tail)
        changed = Changed(columns, g[:cut].reshape(1, -1, self.shape[1]), None)
        return Partial(g[None, cut:], sums, 1, changed=changed)

    def step(self, pieces: Pieces, step: int, shard: int) -> Array:
        """Take a step along the gradient of these rows; return the sums.  step: steps taken before."""
        narrow, columns, theta, g, sums = self.learn(pieces, None, shard, step)
        views, before = narrow.layout.views, 0.0
        if narrow.penalized:
            sums[0] += sums[1] * self.price
            before = narrow.penalty(views(theta), views(g))
        slots = np.empty((len(self.moments), len(theta)), theta.dtype)
        for slot, moments, tail in zip(slots, self.moments, self.tails, strict=True):
            self._gathered(moments, tail, columns, slot)
        update(narrow, self.task.optimizer, theta, g, slots, step + 1)
        if narrow.penalized:
            self.price += narrow.penalty(views(theta)) - before
        for vector, matrix, tail in zip(
            [theta, *slots], [self.w, *self.moments], [self.tail, *self.tails], strict=True
        ):
            cut = len(vector) - len(tail)
            matrix[columns] = vector[:cut].reshape(-1, self.shape[1])
            tail[:] = vector[cut:]
        self.touched[columns] = True
        return sums

    def changed(self, share: float) -> Partial:
        """Return the rows that were touched and the rest of the vectors, as the shard's share of the whole."""
        rows, number = np.flatnonzero(self.touched), self.w.dtype.type
        values = np.empty((1 + len(self.moments), len(rows), self.shape[1]), self.w.dtype)
        for one, matrix in zip(values, (self.w, *self.moments), strict=True):
            matrix.take(rows, axis=0, out=one, mode="clip")
        tails = np.vstack([self.tail, self.tails])
        if share != 1.0:
            values *= number(share)
            tails *= number(share)
        return Partial(tails, np.zeros(0), changed=Changed(rows, values, np.full(len(rows), share)))

    def _compact(self, x: CSR) -> tuple[Array, CSR]:
        """Return the columns that occur in x, ascending, and x with its columns numbered among them."""
        numbers = np.arange(len(x.indices), dtype=np.int32)
        self.place[x.indices] = numbers
        columns = np.sort(x.indices[self.place[x.indices] == numbers])
        self.place[columns] = numbers[: len(columns)]
        return columns, CSR(x.indptr, self.place[x.indices], x.values, len(columns))

    def _gathered(self, matrix: Array, tail: Array, columns: Array, out: Array | None = None) -> Array:
        """Return the chosen rows of the matrix and the tail as one vector."""
        cut = len(columns) * self.shape[1]
        out = np.empty(cut + len(tail), matrix.dtype) if out is None else out
        matrix.take(columns, axis=0, out=out[:cut].reshape(-1, self.shape[1]), mode="clip")
        out[cut:] = tail
        return out


def average(task: Task, shard: int, batches: Iterable[Pieces], share: float) -> Partial:
    """Run mini-batch training over the batches; return the shard's share of what changed, and of the tails."""
    assert task.slots is not None
    theta, network = task.theta.copy(), task.objective.network
    learner = Learner(task, theta, task.slots.copy())
    learner.price = network.penalty(network.layout.views(theta)) if network.penalized else 0.0
    step = task.step

    def steps() -> Iterator[Array]:
        """Take a step along each batch; yield its sums."""
        nonlocal step
        for batch in batches:
            if task.watch is not None:
                task.watch(step - task.step, None)
            BLAS.check()
            batch_sums = learner.step(batch, step, shard)
            if task.watch is not None:
                task.watch(step - task.step, batch_sums)
            step += 1
            yield batch_sums

    sums = tree_sum(steps())
    sums = np.zeros(task.objective.size) if sums is None else sums
    return replace(learner.changed(share), sums=sums, steps=step - task.step)


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

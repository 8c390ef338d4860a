"""How one shard learns from batches of rows: in fixed sub-batches, whose shape is part of the result.

What can be known of some batches ahead, targets and weights and where rows lie, is copied for all of them at once;
then each batch leaves a gradient on a desk.  Where network and rows allow it a team does this in compiled code, else
NumPy does, over threads if that is worth it: the bits are the same.  `rounds.py` takes the steps.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from firesteel.core.chain import chains, fused
from firesteel.core.layout import Layout
from firesteel.core.network import alone
from firesteel.core.seeds import stream_for
from firesteel.core.team import Team, begins, served
from firesteel.core.types import Array, Piecewise, Run, Stream
from firesteel.train.blas import BLAS
from firesteel.train.blocks import Block
from firesteel.train.partial import Partial, Task, tree_sum
from firesteel.train.threads import Threads

__all__ = ["SUB_BATCH", "Learner", "Piece", "batches"]

SUB_BATCH = 128
"""Rows that meet the mathematics together.  Changing it changes float32 bits."""
LARGE = 100_000
"""Parameters from which a batch that is one sub-batch is cut in two, for two cores.  Changing it changes bits too."""
SHARED, HALVED = 16_000, 64
"""Parameters from which a team has helpers, and rows from which its batch is then cut in two.  Likewise."""
THREAD = 2_000_000
"""Rows times parameters from which a sub-batch is worth a thread of Python's."""
DESKS = 16
"""Sub-batches that are worked on, or wait to be added, at a time."""
PLANNED, NUMBERS = 4096, 1 << 20
"""The most rows that are planned together, unless a batch has more, and outputs that are kept of them."""
SUMMED = 512
"""Rows whose losses are added one after another, for more would lose digits."""

T = TypeVar("T")
Piece = tuple[Block, npt.NDArray[np.intp]]


def batches(pieces: Iterable[Piece], size: int) -> Iterator[list[Piece]]:
    """Cut a stream of rows into batches of `size` rows, across block borders; the short last one is kept."""
    batch: list[Piece] = []
    room = size
    for block, rows in pieces:
        at = 0
        while at < len(rows):
            part = rows[at : at + room]
            batch.append((block, part))
            at += len(part)
            room -= len(part)
            if not room:
                yield batch
                batch, room = [], size
    if batch:
        yield batch


class _Desk:
    """Working memory of one sub-batch, used again for the next: fresh pages cost as much as filling them.

    team: who keeps the sum of its gradients here, and rows elsewhere.
    """

    def __init__(self, layout: Layout, shape: tuple[int, int], gradient: Array, team: Team | None = None) -> None:
        self.x = np.empty(shape, gradient.dtype)
        self.codes = np.empty(self.x.shape, np.uint8)
        self.gradient, self.views, self.team = gradient, layout.views(gradient), team

    def features(self, pieces: Sequence[Piece]) -> Array:
        """Copy the rows' features here; return a view, (B, I)."""
        at = 0
        for block, rows in pieces:
            end = at + len(rows)
            block.features(rows, self.x[at:end], self.codes[at:end])
            at = end
        return self.x[:at]


def together(run: Run, works: Sequence[Piecewise[T]]) -> list[T]:
    """Return the results of work on all pieces of a batch, which are sent their sums' total wherever they want it."""
    total: Array | None = None

    def on(work: Piecewise[T]) -> tuple[Array | None, list[T]]:
        try:
            return work.send(total), []
        except StopIteration as ended:
            return None, [ended.value]

    while True:
        found = list(run(on, works))
        if results := [result for _, ended in found for result in ended]:
            return results
        total = tree_sum(sums for sums, _ in found)


class Learner:
    """What one shard learns with in one round: views of theta, desks, and what is known of the rows at hand.

    theta, (P,), and slots, (K, P), are read; a team changes them, when it is told to take a step.
    planned: the most rows that can be planned together.  batches: of those that are.
    """

    def __init__(self, task: Task, theta: Array, slots: Array, run: Run, size: int, blocks: Sequence[Block]) -> None:
        """size: the rows of the largest batch."""
        self.task, self.theta, self.size, self.network = task, theta, size, task.objective.network
        network, dtype = self.network, theta.dtype
        self.views = network.layout.views(theta)
        self.chains = chains(network, task.objective.last)
        self.fused = fused(task.objective, self.chains)
        self.begins = begins(task.objective)
        self.whole = bool(network.statistics) and not network.joint
        self.run = run
        self.desks, self.free = list[_Desk](), list[_Desk]()
        rows = min(PLANNED, NUMBERS // network.outputs, sum(map(len, blocks)))
        self.planned = rows = size * max(1, rows // size)
        self.batches, self.rows, self.pieces = list[slice](), list[Piece](), list[list[Piece]]()
        self.y, self.w = np.empty((rows, blocks[0].y.shape[1]), dtype), np.empty(rows)
        self.weights, self.losses = np.empty(rows, dtype), np.empty(rows, dtype)
        self.outputs = np.empty((rows, network.outputs), dtype)
        self.team = self._team(slots, blocks)
        if self.team is not None:
            self.sum = _Desk(network.layout, (0, 0), self.team.given.gradients[0], self.team)

    def _team(self, slots: Array, blocks: Sequence[Block]) -> Team | None:
        """Return a team, if the network and the rows are such as it learns and it can be compiled here."""
        begins, count = self.begins, -(-self.size // self._cut(self.size))
        if begins not in self.chains or count > DESKS or not all(block.source for block in blocks):
            return None
        run = self.run if len(self.theta) >= SHARED and isinstance(self.run, Threads) else None
        return served(self.network.dtype) and Team(
            self.chains[begins],
            self.network,
            (self.theta, slots),
            (self.y, self.weights, self.losses, self.outputs),
            size=min(self.size, SUB_BATCH),
            count=count,
            members=min(count, 1 + run.count) if run else 1,
            held=blocks,
            hold=run.hold if run else None,
        )

    def plan(self, pieces: list[Piece], weight: float | None) -> range:
        """Copy what can be known of these rows before they are learned from; return the numbers of their batches.

        weight: what a batch's gradient is divided by; its own weight if None.
        """
        at, unit = 0, all(block.unit for block, _ in pieces)
        for block, rows in pieces:
            end = at + len(rows)
            block.y.take(rows, axis=0, out=self.y[at:end], mode="clip")
            self.w[at:end] = 1.0 if unit else block.w[rows]
            if self.team is not None and block.source is not None:
                address, step, self.team.given.by[at:end] = block.source
                where = np.multiply(rows, step, out=self.team.given.at[at:end])
                where += address
            at = end
        self.w[:at] = self.task.objective.weighted(self.y[:at], self.w[:at])
        self.batches = [slice(first, min(first + self.size, at)) for first in range(0, at, self.size)]
        for batch in self.batches:
            w = self.w[batch]
            self.weights[batch] = w * (1.0 / (weight or float(np.add.reduce(w)) or 1.0))
        self.rows, self.pieces = pieces, []
        return range(len(self.batches))

    def learn(self, number: int, *address: int) -> _Desk:
        """Return a desk with the gradient of a batch's weighted loss, divided as planned, until this is called again.

        address: names the rows' random streams.
        """
        BLAS.check()
        batch = self.batches[number]
        count = batch.stop - batch.start
        size = self._cut(count)
        if self.team is not None and (count - 1) % size:  # no row is alone, for which NumPy has other products
            self.team.learn(batch.start, count, size)
            return self.sum
        if not self.pieces:
            self.pieces = list(batches(self.rows, self.size))
        pieces = self.pieces[number]
        parts = list(batches(pieces, size)) if size < count else [pieces]

        def piece(part: int, desk: _Desk) -> "Piecewise[_Desk]":  # named, as it is made in each step
            cut = slice(batch.start + part * size, min(batch.start + (part + 1) * size, batch.stop))

            def random(op: int) -> Stream:
                return stream_for(self.task.seed, "op", op, self.task.epoch, *address, part)

            x = desk.features(parts[part])
            found = yield from self.task.objective.rows(
                self.views, x, self.y[cut], self.weights[cut], random, desk.views, self.fused
            )
            self.losses[cut], self.outputs[cut] = found
            return desk

        self.free = list(self.desks)
        if len(parts) == 1:
            return alone(piece(0, self._desk()))
        run = self.run if size * len(self.theta) >= THREAD else map
        return tree_sum(self._each(run, piece, len(parts)), self._plus)  # type: ignore[return-value]

    def sums(self, number: int | None = None) -> Array:
        """Return the objective's sums of a batch that has been learned from, or of all that are planned."""
        chosen = self.batches if number is None else [self.batches[number]]
        ends = [*range(chosen[0].start, chosen[-1].stop, SUMMED), chosen[-1].stop]
        cuts = [slice(a, b) for a, b in zip(ends, ends[1:], strict=False)]
        of = self.task.objective.sums
        return tree_sum(of(self.losses[c], self.outputs[c], self.y[c], self.w[c]) for c in cuts)  # type: ignore[return-value]

    def weight(self, number: int) -> float:
        """Return the weight of a batch."""
        return float(np.add.reduce(self.w[self.batches[number]]))

    def _cut(self, rows: int) -> int:
        """Return how many rows of a batch meet the mathematics together; it decides float32 bits."""
        if self.whole:
            return rows
        halved = len(self.theta) >= (SHARED if self.begins is not None and rows >= HALVED else LARGE)
        return -(-rows // 2) if halved and rows <= SUB_BATCH else SUB_BATCH

    def _desk(self) -> _Desk:
        if not self.free:
            rows = self.size if self.whole else min(self.size, SUB_BATCH)
            self.free.append(_Desk(self.network.layout, (rows, self.network.inputs), np.empty_like(self.theta)))
            self.desks.append(self.free[-1])
        return self.free.pop()

    def _each(self, run: Run, piece: Callable[[int, _Desk], Piecewise[_Desk]], count: int) -> Iterator[_Desk]:
        """Yield what is learned from each piece of a batch: some at a time if possible, so that desks are few."""
        most = count if self.network.joint else DESKS
        for at in range(0, count, most):
            yield from together(run, [piece(number, self._desk()) for number in range(at, min(at + most, count))])

    def _plus(self, a: _Desk, b: _Desk) -> _Desk:
        np.add(a.gradient, b.gradient, out=a.gradient)
        self.free.append(b)
        return a

    def gradient(self, pieces: list[Piece], *address: int) -> Partial:
        """Return the gradient of the rows' weighted loss; of no rows, that of nothing."""
        if not pieces:
            return Partial(np.zeros((1, len(self.theta)), self.theta.dtype), np.zeros(self.task.objective.size), 1)
        (number,) = self.plan(pieces, 1.0)
        gradient = self.learn(number, *address).gradient[None].copy()
        return Partial(gradient, self.sums(), 1)

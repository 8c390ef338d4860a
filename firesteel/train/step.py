"""Training steps of one shard: the gradient of a batch in fixed sub-batches, and the optimizer's step.

Targets and weights of several batches are copied ahead at once.  Each batch then leaves its gradient in a workspace,
and the step updates the weights.  `NumpyStep` is the reference; `rowwise.py` updates touched rows only, `fused.py` is
compiled, and every `Step` has the bits of the reference.  `rounds.py` chooses one and drives it.
"""

import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from firesteel.core.csr import Features
from firesteel.core.layers import dense, windows
from firesteel.core.layout import Layout
from firesteel.core.losses import FUSED
from firesteel.core.network import Network, Objective
from firesteel.core.seeds import stream_for
from firesteel.core.types import Array, Piecewise, Run, Stream, Views
from firesteel.core.update import update
from firesteel.fast.blas import BLAS
from firesteel.fast.threads import memory
from firesteel.train.blocks import Block
from firesteel.train.partial import Partial, Task, tree_sum

__all__ = ["SUB_BATCH", "NumpyStep", "Piece", "Step", "Workspace", "batches", "begins", "cut"]

SUB_BATCH = 128
"""Rows that are processed together.  Changing it changes float32 bits."""
LARGE = 100_000
"""Parameters from which a batch that is one sub-batch is cut in two, for two cores.  Changing it changes bits."""
SHARED, HALVED = 16_000, 64
"""The same for a network that is one run of dense layers, and the rows from which it applies."""
THREAD = 2_000_000
"""Rows times parameters from which a sub-batch is worth a Python thread."""
WORKSPACES = 16
"""The most sub-batches in work, or waiting to be added, at a time."""
PLANNED, NUMBERS = 4096, 1 << 20
"""The most rows that are planned together, unless one batch has more, and the most outputs stored for them."""
SUMMED = 512
"""Rows whose losses are added sequentially; more would lose digits."""

T = TypeVar("T")
Piece = tuple[Block, npt.NDArray[np.intp]]


def batches(pieces: Iterable[Piece], size: int) -> Iterator[list[Piece]]:
    """Divide rows of successive blocks into batches of `size` rows; the last may be shorter."""
    batch, room = list[Piece](), size
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


def begins(objective: Objective) -> int | None:
    """Return the number of the first of the dense layers at the end of a network.

    None unless the run is the whole network, except for one scaling before it.
    """
    network, last = objective.network, objective.last
    whole = network.chained and objective.loss in FUSED and not network.sparse
    return dense.whole(network.parts[:last], network.shapes) if whole else None


def cut(objective: Objective, rows: int) -> int:
    """Return the rows per sub-batch for a batch of `rows` rows; the last bits of results depend on it.

    It depends on the architecture alone, never on what is compiled.  Row-wise parameters do not count: a step is as
    small as without them.
    """
    network, slices = objective.network, objective.network.layout.slices
    if network.rows:
        windows.check_memory(network, rows, memory())
        return min(network.rows, -(-rows // 2))
    size = sum([where.stop - where.start for n, name, _, where in slices if not network.params[n][name].by_row])
    if network.sparse or (network.statistics and not network.joint):
        return rows
    halved = size >= LARGE or (rows >= HALVED and size >= SHARED and begins(objective) is not None)
    return -(-rows // 2) if halved and rows <= SUB_BATCH else SUB_BATCH


class Workspace:
    """Buffers for inputs and gradient of a sub-batch, reused for the next one to save allocations.

    Args:
        layout: The position of each parameter in the gradient.
        shape: The number of rows that fit, and of their features.
        gradient: The gradient, (P,), to be written.
    """

    def __init__(self, layout: Layout, shape: tuple[int, int], gradient: Array) -> None:
        self.x = np.empty(shape, gradient.dtype)
        self.codes = np.empty(self.x.shape, np.uint8)
        self.gradient, self.views = gradient, layout.views(gradient)


def together(run: Run, works: Sequence[Piecewise[T]]) -> list[T]:
    """Run work on all pieces of a batch; a piece that yields sums is sent their total over all pieces."""
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


class Step(Protocol):
    """Protocol of training steps over batches of rows; all implementations give the same bits.

    Attributes:
        planned: The most rows that can be planned together.
    """

    planned: int

    def plan(self, pieces: list[Piece], weight: float | None) -> range:
        """Divide rows into batches and prepare them; return the numbers of the batches.

        Args:
            pieces: The rows, at most `planned`.
            weight: The divisor of a batch's gradient; None for the batch's own weight.
        """

    def learn(self, number: int, *address: int) -> Workspace:
        """Compute the gradient of a batch; return the workspace that holds it until the next call.

        Args:
            number: The batch.
            address: The address of the batch's random streams.
        """

    def penalty(self) -> float:
        """Return the penalty on all weights; add its derivative to the gradient of the last batch."""

    def move(self, t: int) -> None:
        """Take optimizer step t, counted from 1, with the gradient of the last batch."""

    def sums(self, number: int | None = None) -> Array:
        """Return sums of loss and metrics over a batch, or over all prepared batches, once they were learned from."""

    def weight(self, number: int) -> float:
        """Return the total weight of a batch's rows."""

    def gradient(self) -> Partial:
        """Return gradient and sums of the only prepared batch as a shard's result; zeros without rows."""

    def moved(self, share: float) -> Partial:
        """Return the weights and moments, multiplied by a share, as a shard's result."""


class NumpyStep:
    """Reference implementation of `Step` in NumPy, which uses threads where they pay off.

    Args:
        task: The task.
        blocks: The blocks of the shard.
        size: The rows of the largest batch.
        theta: The weights, (P,), updated in place.
        slots: The moments, (K, P), updated in place.
        run: Maps sub-batches over threads.
    """

    def __init__(self, task: Task, blocks: Sequence[Block], size: int, theta: Array, slots: Array, run: Run) -> None:
        self.task, self.run, self.size, self.objective = task, run, size, task.objective
        self.cut: Callable[[int], int] = functools.cache(functools.partial(cut, task.objective))
        network, dtype = task.objective.network, theta.dtype
        self.use(network, theta, slots)
        count = sum([len(block.w) for block in blocks])
        known = 0 if network.sparse else min(PLANNED, NUMBERS // network.outputs, count)
        self.planned = rows = size * max(1, known // max(1, size))
        self.batches, self.planned_rows, self.pieces = list[slice](), list[Piece](), list[list[Piece]]()
        self.y, self.w = np.empty((rows, blocks[0].y.shape[1]), dtype), np.empty(rows)
        self.weights, self.losses = np.empty(rows, dtype), np.empty(rows, dtype)
        self.outputs = np.empty((rows, network.outputs), dtype)
        self.learned = Workspace(network.layout, (0, 0), np.zeros(len(theta), dtype))

    def use(self, network: Network, theta: Array, slots: Array, x: Features | None = None) -> None:
        """Set the network, its weights and moments that the steps update.

        Args:
            network: The task's network, or one that `rowwise.narrowed` derived from it.
            theta: The weights.
            slots: The moments.
            x: The inputs of a whole batch, instead of the rows' features.
        """
        self.network, self.theta, self.slots, self.x = network, theta, slots, x
        self.views: list[Views] = network.layout.views(theta)
        self.workspaces, self.free = list[Workspace](), list[Workspace]()

    def plan(self, pieces: list[Piece], weight: float | None) -> range:
        at, unit = 0, all([block.unit for block, _ in pieces])
        for block, rows in pieces:
            end = at + len(rows)
            block.y.take(rows, axis=0, out=self.y[at:end], mode="clip")
            self.w[at:end] = 1.0 if unit else block.w[rows]
            at = end
        self.w[:at] = self.task.objective.weighted(self.y[:at], self.w[:at])
        self.batches = [slice(first, min(first + self.size, at)) for first in range(0, at, self.size)]
        for batch in self.batches:
            w = self.w[batch]
            self.weights[batch] = w * (1.0 / (weight or float(np.add.reduce(w)) or 1.0))
        self.planned_rows, self.pieces = pieces, []
        return range(len(self.batches))

    def rows(self, number: int) -> list[Piece]:
        """Return the rows of a batch."""
        if not self.pieces:
            self.pieces = list(batches(self.planned_rows, self.size))
        return self.pieces[number]

    def learn(self, number: int, *address: int) -> Workspace:
        BLAS.check()
        batch = self.batches[number]
        count = batch.stop - batch.start
        size, pieces, of = self.cut(count), self.rows(number), self.objective
        self.free = list(self.workspaces)
        if size >= count and self.network.straight:
            self.learned = self.workspaces[0] if self.workspaces else self._workspace()
            of = of if count > 1 else self.task.objective  # NumPy multiplies a single row differently
            found = of.straight(*self._given(pieces, batch, 0, self.learned, *address, 0))
            self.losses[batch], self.outputs[batch] = found
            return self.learned
        parts = list(batches(pieces, size))

        def piece(part: int, into: Workspace) -> "Piecewise[Workspace]":  # quoted, because this runs in each step
            cut = slice(batch.start + part * size, min(batch.start + (part + 1) * size, batch.stop))
            given = self._given(parts[part], cut, part * size, into, *address, part)
            rows = (of if cut.stop - cut.start > 1 else self.task.objective).rows
            self.losses[cut], self.outputs[cut] = yield from rows(*given)
            return into

        run = self.run if size * (self.network.work or len(self.theta)) >= THREAD else map
        self.learned = tree_sum(self._each(run, piece, len(parts)), self._plus)  # type: ignore[assignment]
        return self.learned

    def _given(self, pieces: list[Piece], cut: slice, at: int, into: Workspace, *address: int) -> tuple[Any, ...]:
        """Return the arguments of `Objective.rows` for a piece that starts at row `at` of the batch."""

        def random(op: int) -> Stream:
            return stream_for(self.task.seed, "op", op, self.task.epoch, *address)

        count, end = cut.stop - cut.start, 0
        for block, rows in pieces if self.x is None else ():
            first, end = end, end + len(rows)
            block.features(rows, into.x[first:end], into.codes[first:end])
        x = into.x[:count] if self.x is None else self.x[at : at + count]
        return self.views, x, self.y[cut], self.weights[cut], random, into.views

    def _workspace(self) -> Workspace:
        if not self.free:
            most = min(self.size, max(SUB_BATCH, self.cut(self.size)))
            shape = (most, self.network.inputs) if self.x is None else (0, 0)
            self.free.append(Workspace(self.network.layout, shape, np.empty_like(self.theta)))
            self.workspaces.append(self.free[-1])
        return self.free.pop()

    def _each(self, run: Run, piece: Callable[..., Piecewise[Workspace]], count: int) -> Iterator[Workspace]:
        """Compute the pieces of a batch, some at a time if possible, and yield their workspaces."""
        most = count if self.network.joint else WORKSPACES
        for at in range(0, count, most):
            yield from together(run, [piece(n, self._workspace()) for n in range(at, min(at + most, count))])

    def _plus(self, a: Workspace, b: Workspace) -> Workspace:
        np.add(a.gradient, b.gradient, out=a.gradient)
        self.free.append(b)
        return a

    def penalty(self) -> float:
        return self.network.penalty(self.views, self.learned.views)

    def move(self, t: int, stepped: Callable[[int], bool] | None = None) -> None:
        network, g = self.network, self.learned.gradient
        update(network, self.task.optimizer, self.theta, g, self.slots, t, self.run, stepped)

    def sums(self, number: int | None = None) -> Array:
        chosen = self.batches if number is None else [self.batches[number]]
        if not chosen:
            return np.zeros(self.task.objective.size)
        most = self.size if self.network.sparse else SUMMED
        ends = [*range(chosen[0].start, chosen[-1].stop, most), chosen[-1].stop]
        cuts = [slice(a, b) for a, b in zip(ends, ends[1:], strict=False)]
        of = self.task.objective.sums
        return tree_sum(of(self.losses[c], self.outputs[c], self.y[c], self.w[c]) for c in cuts)  # type: ignore[return-value]

    def weight(self, number: int) -> float:
        return float(np.add.reduce(self.w[self.batches[number]]))

    def gradient(self) -> Partial:
        return Partial(self.learned.gradient[None].copy(), self.sums(), 1)

    def moved(self, share: float) -> Partial:
        vectors = np.vstack([self.theta, *self.slots])
        vectors *= vectors.dtype.type(share)
        return Partial(vectors, np.zeros(0))

"""What a shard computes in a round: functions from (task, blocks of the shard) to a `Partial`.

`average` runs mini-batch training on a shard, whose weights are then averaged.  `gradient` sums gradients for one
step on the driver.  `evaluate` and `predict` use fixed weights.  Rows are processed in fixed sub-batches, whose shape
is part of the result; `run` may distribute them over threads without changing a bit.  `engine.py` calls these
functions, `loop.py` uses their results.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from firesteel.core.centre import less, plus
from firesteel.core.csr import CSR, Features, suited
from firesteel.core.network import Network
from firesteel.core.seeds import rng_for
from firesteel.core.types import Array, Run
from firesteel.fast.blas import BLAS
from firesteel.train.blocks import Block
from firesteel.train.partial import Partial, Task, tree_sum
from firesteel.train.rowwise import RowwiseStep, entering, rows_for, spread
from firesteel.train.step import SUB_BATCH, NumpyStep, Step, batches

__all__ = ["Work", "average", "evaluate", "evaluate_all", "evaluate_each", "evaluate_first", "gradient", "moments"]
__all__ += ["passes", "predict", "round_blocks", "rows_of", "sizes", "sub_batches"]


Work = Callable[[Task, Sequence[Block], Run], Partial]


# Choice of blocks


def round_blocks(task: Task, ids: Sequence[int]) -> list[int]:
    """Return the numbers of a shard's blocks in a round, in the shuffled order of the epoch.

    Args:
        task: The task.
        ids: The numbers of all blocks of the shard.
    """
    ids = sorted(ids)
    if task.shuffle and ids:
        shard = ids[0] % task.shards
        order = rng_for(task.seed, "blocks", task.epoch, shard).permutation(len(ids))
        ids = [ids[i] for i in order]
    return ids[len(ids) * task.round // task.rounds : len(ids) * (task.round + 1) // task.rounds]


# Work of the strategies


def step_for(task: Task, blocks: Sequence[Block], size: int, theta: Array, slots: Array, run: Run) -> Step:
    """Choose the implementation of a shard's training steps: compiled, row-wise or NumPy.

    Args:
        task: The task.
        blocks: The blocks of the shard.
        size: The most rows per batch.
        theta: The weights, (P,), changed in place.
        slots: The moments, (K, P), changed in place.
        run: Maps sub-batches over threads.
    """
    given = task, blocks, size, theta, slots, run
    from firesteel.train.fused import fused_step  # here, so that prediction does not load compiled code

    network = task.objective.network
    inner = (None if network.sparse else fused_step(*given)) or NumpyStep(*given)
    return RowwiseStep(inner) if network.rowwise else inner


def average(task: Task, blocks: Sequence[Block], run: Run) -> Partial:
    """Train on a shard's blocks of this round in mini-batches; return its share of the new weights and moments.

    A shard's share is its row weight over the round's, so the driver only adds.  With one shard this is ordinary
    mini-batch training.

    Source: parallel SGD of Zinkevich et al. 2010, in rounds as in SparkNet (Moritz et al. 2016) and local SGD.
    """
    by_id = {block.id: block for block in blocks}
    chosen = [by_id[number] for number in round_blocks(task, list(by_id))]
    network = task.objective.network
    if not chosen and not network.rowwise:
        nothing = np.zeros((1 + len(task.optimizer.slots), len(task.theta)), task.theta.dtype)
        return Partial(nothing, np.zeros(task.objective.size))
    shard = blocks[0].id % task.shards
    assert task.slots is not None
    rng = rng_for(task.seed, "rows", task.epoch, shard, task.round)
    orders = (rng.permutation(len(block.w)) if task.shuffle else np.arange(len(block.w)) for block in chosen)
    share = 1.0 if task.shards == 1 else sum(block.weight for block in chosen) / task.weight
    theta, slots = task.theta.copy(), task.slots.copy()
    size = min(task.batch_size, sum([len(block.w) for block in chosen]))
    mover, count = step_for(task, chosen or blocks, size, theta, slots, run), task.step

    def steps() -> Iterator[Array]:
        """Take a training step for each batch; yield sums of loss and metrics for several batches at a time."""
        nonlocal count
        for planned in batches(zip(chosen, orders, strict=True), mover.planned):
            whole = 0.0
            for number in mover.plan(planned, None):
                if task.watch is not None:
                    task.watch(count - task.step, None)
                mover.learn(number, shard, count)
                penalty = mover.weight(number) * mover.penalty() if network.penalized else 0.0
                whole += penalty
                count += 1
                mover.move(count)
                if task.watch is not None:
                    sums = mover.sums(number)
                    sums[0] += penalty
                    task.watch(count - task.step - 1, sums)
            sums = mover.sums()
            sums[0] += whole
            yield sums

    sums = tree_sum(steps())  # sequential addition of a million sums would lose digits
    sums = np.zeros(task.objective.size) if sums is None else sums
    return replace(mover.moved(share), sums=sums, steps=count - task.step)


def passes(work: Work, count: int, task: Task, blocks: Sequence[Block], run: Run) -> Partial:
    """Run several epochs of a training that has one shard; return the results of all epochs, stacked.

    The numbers are those of as many rounds, without the round trips to the driver.
    """
    parts: list[Partial] = []
    for _ in range(count):
        part = spread(work(task, blocks, run), task)
        parts.append(part)
        theta, slots = part.vectors[0], part.vectors[1:]
        task = replace(task, theta=theta, slots=slots, epoch=task.epoch + 1, step=task.step + part.steps)
    vectors, sums = np.concatenate([p.vectors for p in parts]), np.concatenate([p.sums for p in parts])
    return Partial(vectors, sums, sum(p.steps for p in parts))


def gradient(task: Task, blocks: Sequence[Block], run: Run, sample: float = 1.0) -> Partial:
    """Return a shard's part of the gradient over this round's rows; the driver takes one step with the total.

    A round takes a slice of every block's rows in this epoch's order, so that an epoch uses each row once.  The
    slices start at a random offset in each block, so that rounds are of similar size.

    Args:
        task: The task.
        blocks: The blocks of the shard.
        run: Maps sub-batches over threads.
        sample: The share of each block's rows, drawn anew each epoch, that an epoch uses.
    """
    theta = task.theta.copy()  # compiled code takes writable vectors
    slots = np.zeros((0, len(theta)), theta.dtype)
    learner = step_for(task, blocks, max(map(len, blocks)), theta, slots, run)

    def part(block: Block) -> Partial | None:
        rows, phase = np.arange(len(block)), 0
        if task.shuffle and task.rounds > 1:
            rng = rng_for(task.seed, "rows", task.epoch, block.id)
            rows, phase = rng.permutation(len(block)), int(rng.integers(task.rounds))
        if sample < 1.0:
            drawn = rng_for(task.seed, "sample", task.epoch, block.id).permutation(len(block))
            rows = drawn[: math.ceil(sample * len(block))]
        start, end = ((len(rows) * r + phase) // task.rounds for r in (task.round, task.round + 1))
        rows = rows[start:end]
        for number in learner.plan([(block, rows)], 1.0):
            learner.learn(number, block.id, task.round)
            return learner.gradient()
        return None

    in_order = sorted(blocks, key=lambda block: block.id)
    return tree_sum(found for found in map(part, in_order) if found is not None) or learner.gradient()


def evaluate(task: Task, blocks: Sequence[Block], run: Run) -> Partial:
    """Return the shard's sums of loss, weights, rows and metrics for the weights task.theta."""
    objective, network, dtype = task.objective, task.objective.network, task.theta.dtype
    views = network.layout.views(task.theta)
    return _summed(lambda piece: objective.score(views, *rows_of(piece, dtype, network)), task, blocks, run)


def evaluate_first(most: int, task: Task, blocks: Sequence[Block], run: Run) -> Partial:
    """Return the sums of loss and metrics over those of the shard's blocks whose numbers are below `most`."""
    chosen = [block for block in blocks if block.id < most]
    if not chosen:
        return Partial(np.zeros((0, len(task.theta)), task.theta.dtype), np.zeros(task.objective.size))
    return evaluate(task, chosen, run)


def evaluate_each(thetas: Array, task: Task, blocks: Sequence[Block], run: Run) -> Partial:
    """Return the shard's sums of loss and metrics for several weight vectors, (E, P), concatenated."""
    parts = [evaluate(replace(task, theta=theta), blocks, run) for theta in thetas]
    return replace(parts[0], sums=np.concatenate([part.sums for part in parts]))


def evaluate_all(others: Sequence[Task], task: Task, blocks: Sequence[Block], run: Run) -> Partial:
    """Return the shard's sums of loss and metrics for the networks of several tasks, concatenated."""
    parts = [evaluate(one, blocks, run) for one in (task, *others)]
    return replace(parts[0], sums=np.concatenate([part.sums for part in parts]))


def moments(sparse: bool, task: Task, blocks: Sequence[Block], run: Run) -> Partial:
    """Return centre c, sum of weights w, and sums of w (v - c) and w (v - c)^2 for all columns v.

    c is the mean of the shard's first rows, so that no digits cancel.  With `sparse`, v is the targets alone.
    """
    dtype = task.theta.dtype

    def values(piece: tuple[Block, slice]) -> Array:
        block, rows = piece
        y = block.y[rows]
        parts = [y] if sparse else [rows_of(piece, dtype)[0], y]
        return np.hstack(parts, dtype=np.float64)

    centre = values(sub_batches(blocks)[0]).mean(axis=0)

    def sub(piece: tuple[Block, slice]) -> Array:
        v, w = values(piece), piece[0].w[piece[1]].astype(np.float64)
        v -= centre
        return np.concatenate([[w.sum()], w @ v, w @ np.square(v, out=v)])

    summed = _summed(sub, task, blocks, run)
    return replace(summed, sums=np.concatenate([centre, summed.sums]))


def sizes(task: Task, blocks: Sequence[Block], run: Run) -> Partial:
    """Return the largest absolute value of each column, (I,), in the shard's sparse rows."""
    most = np.zeros(task.objective.network.inputs, task.theta.dtype)
    for block in blocks:
        if isinstance(block.x, CSR):
            np.maximum.at(most, block.x.indices, np.abs(block.x.values))
    return Partial(np.zeros((0, len(task.theta)), task.theta.dtype), most.astype(np.float64))


def rows_of(piece: tuple[Block, slice], dtype: np.dtype[Any], network: Network | None = None) -> tuple[Any, ...]:
    """Decode rows: return inputs (B, I), targets (B, T) and float64 weights (B,)."""
    block, rows = piece
    return rows_for(network, block, rows, dtype), block.y[rows], block.w[rows].astype(np.float64)


def sub_batches(blocks: Sequence[Block], most: int = SUB_BATCH) -> list[tuple[Block, slice]]:
    """Divide the rows of blocks into sub-batches of at most `most` rows, in a fixed order."""
    return [
        (block, slice(at, at + most))
        for block in sorted(blocks, key=lambda block: block.id)
        for at in range(0, len(block), most)
    ]


def _summed(sub: Callable[[tuple[Block, slice]], Array], task: Task, blocks: Sequence[Block], run: Run) -> Partial:
    """Call `sub` on all sub-batches of the blocks, and add the results in a fixed order."""

    def checked(piece: tuple[Block, slice]) -> Array:
        BLAS.check()
        return sub(piece)

    vectors, most = np.zeros((0, len(task.theta)), task.theta.dtype), task.objective.network.rows or SUB_BATCH
    return Partial(vectors, tree_sum(run(checked, sub_batches(blocks, most))))  # type: ignore[arg-type]


def predict(network: Network, theta: Array, x: Features, run: Run, last: int | None = None) -> Array:
    """Return the network's outputs, (B, O), for rows x, (B, I); or those of its first `last` parts.

    The storage of the rows does not affect the result: the network decides whether it multiplies non-zeros only.
    Outputs with a centre are float64.
    """
    views, most = network.layout.views(theta), network.rows or SUB_BATCH

    def sub(at: int) -> Array:
        BLAS.check()
        rows = suited(x[at : at + most], network.sparse)
        if isinstance(rows, CSR):
            return network.output(views, entering(network, rows, theta.dtype), last=last)
        # the centred rows get no name, so that their memory is freed early
        return network.output(views, less(rows, network.centre.features, theta.dtype).astype(theta.dtype), last=last)

    outputs = np.concatenate(list(run(sub, range(0, max(len(x), 1), most))))
    return outputs if last is not None else plus(outputs, network.centre.targets)

"""Some of an engine's rows, brought to the driver: what a person looks at of rows that may be anywhere.

A row's block is decided by a hash of its values, so the rows of the first blocks are a random sample of all, and the
same on every engine.  (Arrays packed with shuffle=False lie in their order, and there the first rows come.)
"""

import functools
from collections.abc import Mapping, Sequence

import numpy as np

from firesteel.core.centre import plus
from firesteel.core.layout import read_only
from firesteel.core.network import Objective
from firesteel.core.types import Array, Run
from firesteel.train.blocks import Block
from firesteel.train.engine import Engine
from firesteel.train.partial import Partial, Task
from firesteel.train.rounds import rows_of

MOST_ROWS = 20_000
MOST_BYTES = 32 << 20
"""Most of a sample: what looking at it may cost the driver."""


def sample(
    engine: Engine, objective: Objective, theta: Array, title: str = "firesteel: a sample of rows"
) -> tuple[Array, Array, Array]:
    """Return x (n, I), y (n, T) and w (n,) of rows from the first blocks, in the order of blocks, as they were given.

    At most MOST_ROWS and MOST_BYTES, and at least one row.
    """
    width, most = _width(objective), sampled(engine, objective)
    wanted: dict[int, int] = {}
    for block in engine.blocks:
        if most:
            wanted[block.id] = min(block.rows, most)
            most -= wanted[block.id]
    task = Task(objective, read_only(theta), shards=engine.shards, title=title)
    found = {}
    for shard, partial in enumerate(engine.map(functools.partial(_rows, wanted), task)):
        if partial is None:
            continue
        flat, at = partial.sums.view(theta.dtype), 0
        for number in (number for number in wanted if number % engine.shards == shard):
            found[number] = flat[at : at + wanted[number] * width].reshape(-1, width)
            at += wanted[number] * width
    rows = np.concatenate([found[number] for number in wanted])
    x, y, w = np.split(rows, [objective.network.inputs, -1], axis=1)
    return plus(x, engine.centre.features), plus(y, engine.centre.targets), w[:, 0]


def _width(objective: Objective) -> int:
    return objective.network.inputs + objective.loss.columns(objective.network.outputs) + 1


def sampled(engine: Engine, objective: Objective) -> int:
    """Return how many rows `sample` brings."""
    size = _width(objective) * np.dtype(objective.network.dtype).itemsize
    return max(1, min(sum(block.rows for block in engine.blocks), MOST_ROWS, MOST_BYTES // size))


def _rows(wanted: Mapping[int, int], task: Task, blocks: Sequence[Block], run: Run) -> Partial:
    """Return so many rows of each block, features, targets and weight side by side, as float64 words."""
    dtype = task.theta.dtype
    parts = [np.zeros(0, dtype)]
    for block in sorted(blocks, key=lambda block: block.id):
        if block.id in wanted:
            x, y, w = rows_of((block, slice(0, wanted[block.id])), dtype)
            parts.append(np.hstack([x, y, w[:, None].astype(dtype)]).reshape(-1))
    flat = np.concatenate(parts)
    flat = np.pad(flat, (0, -len(flat) % (8 // dtype.itemsize)))
    return Partial(np.zeros((0, len(task.theta)), dtype), flat.view(np.float64))

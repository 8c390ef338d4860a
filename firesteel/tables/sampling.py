"""Samples of the training rows, collected on the driver.

A row's block depends on a hash of its values, so the rows of the first blocks are a random sample, and the same on
every engine.  (Arrays packed with shuffle=False keep their order; the sample is then their first rows.)
"""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from firesteel.core.centre import plus
from firesteel.core.csr import CSR, Features
from firesteel.core.layout import read_only
from firesteel.core.network import Objective
from firesteel.core.types import Array, Run
from firesteel.train.blocks import Block, Keys, row_keys
from firesteel.train.engine import Engine
from firesteel.train.partial import Partial, Task
from firesteel.train.rounds import rows_of

MOST_ROWS = 20_000
MOST_BYTES = 32 << 20
"""Greatest size of a sample in bytes, to bound the driver's memory."""
LARGEST = 2**64 - 1


def sample(
    engine: Engine, objective: Objective, theta: Array, title: str = "firesteel: a sample of rows"
) -> tuple[Array, Array, Array]:
    """Return a random sample of an engine's rows, uncentred: inputs x (n, I), targets y (n, T) and weights w (n,).

    There are at most MOST_ROWS rows and MOST_BYTES bytes, and at least one row.
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
    """Return the number of rows in the sample that `sample` returns."""
    size = _width(objective) * np.dtype(objective.network.dtype).itemsize
    return max(1, min(sum(block.rows for block in engine.blocks), MOST_ROWS, MOST_BYTES // size))


def _rows(wanted: Mapping[int, int], task: Task, blocks: Sequence[Block], run: Run) -> Partial:
    """Collect the first `wanted[id]` rows of each block of the shard, flattened and viewed as float64."""
    dtype = task.theta.dtype
    parts = [np.zeros(0, dtype)]
    for block in sorted(blocks, key=lambda block: block.id):
        if block.id in wanted:
            x, y, w = rows_of((block, slice(0, wanted[block.id])), dtype)
            parts.append(np.hstack([x, y, w[:, None].astype(dtype)]).reshape(-1))
    flat = np.concatenate(parts)
    flat = np.pad(flat, (0, -len(flat) % (8 // dtype.itemsize)))
    return Partial(np.zeros((0, len(task.theta)), dtype), flat.view(np.float64))


@dataclass(frozen=True)
class FirstRows:
    """Sample of distinct rows, those with the smallest keys (hashes), with the number of copies of each.

    A row among the first of all is among the first of every part that contains it, so parts add up exactly in any
    order.

    Args:
        keys: The row keys, ascending, (n,).
        rows: The rows, (n, V); the last column is the weight.
        copies: The number of copies of each row, (n,).
    """

    keys: Keys
    rows: Array
    copies: npt.NDArray[np.int64]

    @staticmethod
    def of(keys: Keys, x: Features, y: Array, w: Array, most: int) -> "FirstRows":
        """Select the `most` distinct rows with the smallest keys, and count their copies.

        Args:
            keys: The row keys, (n,).
            x: The inputs, (n, I).
            y: The targets, (n, T).
            w: The row weights, (n,).
            most: Greatest number of distinct rows.
        """
        rows = np.hstack(
            [x.dense() if isinstance(x, CSR) else x, y, w[:, None]], dtype=np.float64, casting="same_kind"
        )
        return FirstRows(keys, rows, np.ones(len(keys), np.int64))._first(most)

    @staticmethod
    def sum(parts: Sequence["FirstRows"], most: int) -> "FirstRows":
        """Merge samples of several parts of the rows into one of at most `most` distinct rows."""
        keys, rows, copies = zip(*((part.keys, part.rows, part.copies) for part in parts), strict=True)
        return FirstRows(np.concatenate(keys), np.concatenate(rows), np.concatenate(copies))._first(most)

    def _first(self, most: int) -> "FirstRows":
        order = np.lexsort((self.rows[:, -1], self.keys))
        keys, w = self.keys[order], self.rows[order, -1]
        starts = np.flatnonzero(np.append(len(keys) > 0, (keys[1:] != keys[:-1]) | (w[1:] != w[:-1])))
        copies = np.add.reduceat(self.copies[order], starts) if len(starts) else self.copies
        return FirstRows(keys[starts[:most]], self.rows[order[starts[:most]]], copies[:most])

    def repeated(self, most: int) -> Array:
        """Return each row as often as it has copies, reduced in proportion to at most `most` rows in total.

        >>> first = FirstRows(np.arange(2, dtype=np.uint64), np.array([[7.0], [8.0]]), np.array([300, 100]))
        >>> first.repeated(4)[:, 0]
        array([7., 7., 7., 8.])
        """
        ends = np.cumsum(self.copies)
        if len(ends) and ends[-1] > most:
            ends = ends * most // ends[-1]
        return np.repeat(self.rows, np.diff(ends, prepend=0), axis=0)


def first_rows(
    engine: Engine, objective: Objective, theta: Array, most: int, title: str = "firesteel: the first rows"
) -> tuple[Array, Array, Array]:
    """Return the rows with the smallest keys (hashes), centred: x (n, I), y (n, T) and weights w (n,).

    Args:
        engine: The engine.
        objective: The network and its loss.
        theta: The weights.
        most: Greatest number of rows, with copies.
        title: Title of the Spark job.
    """
    task = Task(objective, read_only(theta), shards=engine.shards, title=title)
    width, inputs, most = _width(objective), objective.network.inputs, first_of(objective.network.inputs, most)
    last, found = LARGEST, list[FirstRows]()
    if 8 * engine.shards * most * width > MOST_BYTES:  # find the keys first, to move only the rows needed
        parts = [
            p.sums.view(np.uint64) for p in engine.map(functools.partial(_first_keys, most), task) if p is not None
        ]
        last = int(np.unique(np.concatenate(parts))[:most][-1])
    for partial in engine.map(functools.partial(_first_rows, most, last), task):
        if partial is not None:
            rows, copies = np.split(partial.sums.reshape(-1, width + 1), [width], axis=1)
            keys = row_keys(rows[:, :inputs], rows[:, inputs:-1])
            found.append(FirstRows(keys, rows, copies[:, 0].astype(np.int64)))
    x, y, w = np.split(FirstRows.sum(found, most).repeated(most), [inputs, -1], axis=1)
    return x.astype(theta.dtype), y.astype(theta.dtype), w[:, 0]


def first_of(inputs: int, most: int) -> int:
    """Return the maximum number of rows that `first_rows` returns: `most`, or fewer to limit memory."""
    return max(1, min(most, MOST_BYTES // (8 * inputs)))


def _first_rows(most: int, last: int, task: Task, blocks: Sequence[Block], run: Run) -> Partial:
    """Collect the shard's rows with the smallest keys, up to key `last`, each followed by its number of copies."""
    rows = _first(most, last, task, blocks)
    return Partial(
        np.zeros((0, len(task.theta)), task.theta.dtype), np.hstack([rows.rows, rows.copies[:, None]]).ravel()
    )


def _first_keys(most: int, task: Task, blocks: Sequence[Block], run: Run) -> Partial:
    """Collect the `most` smallest row keys of the shard, 64-bit integers viewed as float64."""
    keys = _first(most, LARGEST, task, blocks).keys
    return Partial(np.zeros((0, len(task.theta)), task.theta.dtype), keys.view(np.float64))


def _first(most: int, last: int, task: Task, blocks: Sequence[Block]) -> FirstRows:
    parts = list[FirstRows]()
    for block in blocks:
        x, y, w = rows_of((block, slice(None)), task.theta.dtype)
        some = (keys := row_keys(x, y)) <= np.uint64(last)
        parts = [FirstRows.sum([*parts, FirstRows.of(keys[some], x[some], y[some], w[some], most)], most)]
    return parts[0]

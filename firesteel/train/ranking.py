"""Exact computation of ranking metrics such as AUC over all rows, in memory that does not grow with them.

Such a metric needs each distinct score with the weights of its positive and negative rows.  For few rows one round
fetches the scores.  For many, a round first counts the rows by the leading 16 bits of their scores, and again inside
cells that are still too large; further rounds then fetch the scores themselves, at most `MOST` rows at a time, where
their order matters.  The driver folds them from the largest score down, so that the number of shards affects only the
last bits of the sums.  `loop.py` calls `measure` with fixed weights; `core/metrics.py` defines the folding.
"""

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from firesteel.core.layers.activation import log_softmax
from firesteel.core.loss import exclusive, on_logits
from firesteel.core.measuring import labels
from firesteel.core.network import Objective
from firesteel.core.types import Array, Run, Views
from firesteel.train.blocks import Block
from firesteel.train.partial import Partial, Task
from firesteel.train.rounds import Work, rows_of, sub_batches

__all__ = ["MOST", "count", "keys", "measure"]

MOST = 2_000_000
"""The most cells that the driver requests at a time."""
GATHERED = 1 << 18
"""Cells that a worker gathers before it merges equal ones."""
STEP = 16
"""Bits of a score by which one round refines a cell."""

CELL = np.dtype(
    [(name, "<i8") for name in ("problem", "bits")]
    + [("start", "<u8")]
    + [(name, "<f8") for name in ("rows", "positive", "negative")]
)
"""A cell: the rows of a problem whose keys, without their lowest `bits` bits, are `start`, with their weights.

A problem is one column of scores with one theta, numbered theta by theta and column by column.
"""
Cells = npt.NDArray[Any]
SIDES = ("positive", "negative")
MASKS = np.array([(1 << bits) - 1 for bits in range(65)], np.uint64)


def keys(scores: Array) -> npt.NDArray[np.uint64]:
    """Map float scores to unsigned integers of as many bits with the same order; -0.0 equals 0.0.

    Example:
        >>> keys(np.array([-np.inf, -1.0, -0.0, 0.0, 1e-300])).argsort(kind="stable").tolist()
        [0, 1, 2, 3, 4]
    """
    word = np.dtype(f"u{scores.itemsize}").type
    bits = np.ascontiguousarray(scores + scores.dtype.type(0)).view(word)
    top = word(1 << (8 * scores.itemsize - 1))
    return np.where(bits & top, ~bits, bits | top).astype(np.uint64)


def columns(objective: Objective) -> int:
    """Return for how many binary problems, one per class or label, ranking metrics are computed."""
    outputs = objective.network.outputs
    return 1 if outputs == 2 and exclusive(objective.loss, outputs) else outputs


def scored(objective: Objective, views: Sequence[Views], x: Array, y: Array) -> tuple[Array, Array]:
    """Return scores and true labels of K binary problems: two arrays (B, K)."""
    p = objective.network.output(views, x)
    positive = labels(p, y)
    if exclusive(objective.loss, p.shape[1]) and on_logits(objective.loss):
        p = log_softmax(p)
    few = columns(objective)
    return p[:, -few:], positive[:, -few:]


def count(thetas: Array, cells: Cells, step: int, task: Task, blocks: Sequence[Block], run: Run) -> Partial:
    """Count a shard's rows in intervals of scores, `step` bits finer than the given intervals.

    Args:
        thetas: The weights, (E, P).
        cells: The given cells, from the largest score to the smallest in each problem.
        step: The number of bits.
        task: The task.
        blocks: The blocks of the shard.
        run: Maps sub-batches over threads.
    """
    objective = task.objective
    layout, few = objective.network.layout, columns(objective)
    wanted = [cells[at][::-1] for at in np.split(np.arange(len(cells)), _starts(cells)[1:])]
    views = {number: layout.views(thetas[number]) for number in sorted({int(c["problem"][0]) // few for c in wanted})}

    def sub(piece: tuple[Block, slice]) -> Cells:
        x, y, w = rows_of(piece, task.theta.dtype, objective.network)
        found, made = [], {number: scored(objective, view, x, y) for number, view in views.items()}
        for inside in wanted:
            problem = int(inside["problem"][0])
            scores, positive = (part[:, problem % few] for part in made[problem // few])
            found.append(_inside(inside, step, keys(scores), positive, w))
        return np.concatenate(found)

    gathered: list[Cells] = [np.zeros(0, CELL)]
    size, limit = 0, GATHERED
    for part in run(sub, sub_batches(blocks)):
        gathered.append(part)
        size += len(part)
        if size > limit:
            gathered = [added(np.concatenate(gathered))]
            size = len(gathered[0])
            limit = 2 * size + GATHERED
    vectors = np.zeros((0, len(task.theta)), task.theta.dtype)
    return Partial(vectors, added(np.concatenate(gathered)).view(np.float64))


def _inside(cells: Cells, step: int, key: Array, positive: Array, w: Array) -> Cells:
    """Return, for each row whose score lies in one of the given intervals, the finer interval with the score."""
    at = np.searchsorted(cells["start"], key, side="right") - 1
    rows = np.flatnonzero((at >= 0) & (key <= (cells["start"] | MASKS[cells["bits"]])[at]))
    found, at, yes = np.zeros(len(rows), CELL), at[rows], positive[rows]
    found["problem"] = cells["problem"][0]
    found["bits"] = np.maximum(cells["bits"][at] - step, 0)
    found["start"] = key[rows] & ~MASKS[found["bits"]]
    found["rows"] = 1
    found["positive"], found["negative"] = w[rows] * yes, w[rows] * ~yes
    return found


def _starts(cells: Cells) -> npt.NDArray[np.intp]:
    """Return the position of each problem's first interval."""
    return np.flatnonzero(np.diff(cells["problem"], prepend=-1))


def added(cells: Cells) -> Cells:
    """Merge intervals of scores by problem, in descending order, and add up the counts of equal ones."""
    cells = cells[np.lexsort((~cells["start"], cells["problem"]))]
    new = np.ones(len(cells), bool)
    new[1:] = (cells["start"][1:] != cells["start"][:-1]) | (cells["problem"][1:] != cells["problem"][:-1])
    first = np.flatnonzero(new)
    total = cells[first]
    for name in ("rows", *SIDES) if len(cells) else ():
        total[name] = np.add.reduceat(cells[name], first)
    return total


# On the driver


def measure(
    call: Callable[[Work], list[Partial | None]], objective: Objective, thetas: Array, rows: int, shards: int
) -> list[dict[str, float]]:
    """Return the value of each ranking metric for each theta, (E, P), by name.

    Args:
        call: Maps a work function over the shards.
        objective: The network, its loss and its metrics.
        thetas: The weights, (E, P).
        rows: The number of rows.
        shards: The number of shards.
    """
    few, bits = columns(objective), 8 * thetas.itemsize
    metrics = [metric for _, metric in objective.ranked]
    cells = np.zeros(len(thetas) * few, CELL)
    cells["problem"], cells["bits"], cells["rows"] = np.arange(len(cells)), bits, rows
    cells["positive"] = cells["negative"] = 1  # unknown yet, so that the cells are refined
    gains, sums = np.zeros((len(metrics), len(cells))), np.zeros((2, len(cells)))

    def totals(cells: Cells) -> Array:
        """Return the total weights of positive and of negative rows in each problem, (2, problems)."""
        return np.array([np.bincount(cells["problem"], cells[name], len(sums[0])) for name in SIDES])

    def fetch(chosen: Cells, step: int) -> list[Cells]:
        partials = call(functools.partial(count, thetas, chosen, step))
        return [partial.sums.view(CELL) for partial in partials if partial is not None]

    def sizes() -> Array:
        """Return how many intervals each interval may be refined into; 0 if its order does not matter."""
        matters = np.zeros(len(cells), bool)
        for group, _, weights in _running(cells, np.zeros_like(sums)):
            matters[group] = np.any([metric.undecided(*weights) for metric in metrics], axis=0)
        return np.where(matters, np.minimum(cells["rows"], shards * 2.0 ** cells["bits"]), 0)

    while len(large := np.flatnonzero((sizes() > MOST) & (cells["bits"] > STEP))):
        chosen = large[: max(1, MOST // (shards << STEP))]
        cells = added(np.concatenate([np.delete(cells, chosen), *fetch(cells[chosen], STEP)]))
    known = totals(cells)
    for part, wanted in _runs(cells, sizes()):
        if wanted.any():
            whole = part["problem"][part["bits"] == bits]  # cells that were never refined
            part = added(np.concatenate([part[~wanted], *fetch(part[wanted], bits)]))
            known[:, whole] = totals(part)[:, whole]
        for _, at, weights in _running(part, sums):
            for number, metric in enumerate(metrics):
                gains[number, at] = metric.folded(gains[number, at], *weights, known[:, at])
    values = np.array([metric.ratio(gain, *sums) for metric, gain in zip(metrics, gains, strict=True)])
    by_theta, names = values.reshape(len(metrics), -1, few).swapaxes(0, 1), [name for name, _ in objective.ranked]
    return [{name: _mean(row) for name, row in zip(names, rows, strict=True)} for rows in by_theta]


def _running(cells: Cells, sums: Array) -> Iterator[tuple[slice, int, tuple[Array, Array, Array, Array]]]:
    """Yield, for each problem, the slice of its intervals, its number, their weights and running sums.

    The running sums continue those in `sums`, which is updated.
    """
    starts = _starts(cells)
    for start, end in zip(starts, [*starts[1:], len(cells)], strict=True):
        problem = cells["problem"][start]
        weights = cells["positive"][start:end], cells["negative"][start:end]
        tp, fp = np.cumsum(weights, axis=1) + sums[:, problem, None]
        sums[:, problem] = tp[-1], fp[-1]
        yield slice(start, end), problem, (*weights, tp, fp)


def _runs(cells: Cells, sizes: Array) -> Iterator[tuple[Cells, Array]]:
    """Divide intervals into groups that yield at most `MOST` finer ones, or hold one interval."""
    start, total = 0, 0.0
    for at, size in enumerate([*sizes, MOST + 1.0]):
        if total + size > MOST and at > start:
            yield cells[start:at], sizes[start:at] > 0
            start, total = at, 0.0
        total += size


def _mean(values: Array) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")

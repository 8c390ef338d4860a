"""What travels between driver and shards in a round: a `Task` to each shard, a `Partial` back.

Partials are added in a tree whose shape depends only on the number of shards, because the order of floating-point
additions is part of the result.  `rounds.py` has the functions from task to partial.
"""

import io
import operator
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from firesteel import __version__
from firesteel.core.network import Objective
from firesteel.core.optimizers import SGD, Optimizer
from firesteel.core.types import Array

__all__ = ["Changed", "Partial", "Task", "Watch", "tree_sum"]

Watch = Callable[[int, Array | None], None]
"""Called before each step with its number and None, and after it with its number and sums."""


@dataclass(frozen=True)
class Task:
    """Everything a shard needs for a round besides its blocks.

    Args:
        objective: The network, its loss and its metrics.
        theta: The weights, (P,).
        slots: The optimizer's moments, (K, P), for training.
        optimizer: The optimizer.
        batch_size: The rows per step.
        seed: The seed of all random numbers.
        epoch: The index of the epoch.
        round: The number of the round, which is a slice of the epoch.
        rounds: The number of rounds in an epoch.
        step: The number of steps taken before.
        shards: The number of shards, S; shard s owns the blocks with id mod S = s.
        shuffle: Whether batches take the rows in a new order in each epoch.
        weight: The sum of the row weights of all shards in this round.
        watch: Called for each step, in the driver's process only.
        title: The title of the round, shown where an engine has a display.
        vectors: The number of vectors, (P,), that each shard returns.
        version: The version of firesteel.
    """

    objective: Objective
    theta: Array
    slots: Array | None = None
    optimizer: Optimizer = SGD()
    batch_size: int = 32
    seed: int = 0
    epoch: int = 0
    round: int = 0
    rounds: int = 1
    step: int = 0
    shards: int = 1
    shuffle: bool = True
    weight: float = 1.0
    watch: Watch | None = None
    title: str = "firesteel"
    vectors: int = 0
    version: str = __version__


@dataclass(frozen=True)
class Changed:
    """Changed rows of one large parameter: their numbers, new values (or gradients) and optimizer moments.

    Args:
        rows: Their indices, (U,), ascending.
        values: Their values, (K', U, O), already weighted.
        share: (U,), the share of the total weight that changed each row, so that the driver can add the unchanged
            rest; for a gradient, which is 0 elsewhere, 1 or more.
    """

    rows: npt.NDArray[np.intp]
    values: Array
    share: Array

    @staticmethod
    def to_bytes(several: Sequence["Changed"]) -> bytes:
        """Serialize the changed rows of several parameters to one buffer."""
        file = io.BytesIO()
        np.savez(file, *(array for one in several for array in (one.rows, one.values, one.share)))
        return file.getvalue()

    @staticmethod
    def from_bytes(buffer: bytes) -> tuple["Changed", ...]:
        """Deserialize the changed rows of several parameters."""
        arrays = list(np.load(io.BytesIO(buffer)).values())
        return tuple(Changed(*arrays[at : at + 3]) for at in range(0, len(arrays), 3))

    def __add__(self, other: "Changed") -> "Changed":
        rows = np.union1d(self.rows, other.rows)
        values = np.zeros((len(self.values), len(rows), self.values.shape[2]), self.values.dtype)
        share = np.zeros(len(rows))
        for one in (self, other):
            at = np.searchsorted(rows, one.rows)
            values[:, at] += one.values
            share[at] += one.share
        return Changed(rows, values, share)


@dataclass(frozen=True)
class Partial:
    """The result of one shard for a round.

    Args:
        vectors: A gradient, or weighted weights and moments, (K', P).  (0, P) from an evaluation, and where the
            partial is already included in another shard's.
        sums: The objective's sums, float64.
        steps: Optimizer steps taken; after addition, the most of any shard.
        seconds: Computing time; after addition, of all shards.
        slowest: The computing time of the slowest shard.
        machines: The kinds of CPU and libraries that computed it.
        changed: The changed rows of each parameter that is updated row by row; `vectors` has the other parameters.
    """

    vectors: Array
    sums: npt.NDArray[np.float64]
    steps: int = 0
    seconds: float = 0.0
    slowest: float = 0.0
    machines: frozenset[str] = frozenset()
    changed: tuple[Changed, ...] = ()

    def __add__(self, other: "Partial") -> "Partial":
        some = [vectors for vectors in (self.vectors, other.vectors) if len(vectors)]
        return Partial(
            some[0] + some[1] if len(some) == 2 else some[0] if some else self.vectors,
            self.sums + other.sums,
            max(self.steps, other.steps),
            self.seconds + other.seconds,
            max(self.slowest, other.slowest),
            self.machines | other.machines,
            tuple(a + b for a, b in zip(self.changed, other.changed, strict=False)),
        )


Sum = TypeVar("Sum")


def tree_sum(parts: Iterable[Sum | None], plus: Callable[[Sum, Sum], Sum] = operator.add) -> Sum | None:
    """Add values pairwise in a fixed tree, as they arrive, so that bits do not vary; None is skipped.

    Example:
        >>> tree_sum([np.array([1.0]), None, np.array([2.0])])
        array([3.])
    """
    whole: list[tuple[int, Sum | None]] = []  # subtrees with 2^height leaves, from left to right, heights falling
    for part in parts:
        height = 0
        while whole and whole[-1][0] == height:
            part, height = _plus(whole.pop()[1], part, plus), height + 1
        whole.append((height, part))
    total = whole.pop()[1] if whole else None
    while whole:
        total = _plus(whole.pop()[1], total, plus)
    return total


def _plus(a: Sum | None, b: Sum | None, plus: Callable[[Sum, Sum], Sum]) -> Sum | None:
    return b if a is None else a if b is None else plus(a, b)

"""The wire format: a frozen Task goes down, frozen Partials come up, and nothing else travels between them.

Partials add up, in a tree whose shape depends on the number of shards alone, because the order of a floating-point
sum is part of its result.  `rounds.py` holds the functions from one to the other.
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
"""Called with the number of a step and None before it, and with its sums after it."""


@dataclass(frozen=True)
class Task:
    """Everything a shard needs in one round besides its blocks.

    theta: (P,).  slots: (K, P), the optimiser's moments, where there is training.  step: steps taken before.
    round / rounds: which slice of the epoch this is.  shards: S; a shard owns the blocks with id mod S = s.
    weight: sum of the row weights that all shards together see in this round.  watch: hears of each step, where that
    is in the driver's process.  title: what people are told that this is, where an engine can tell them.
    vectors: how many, (P,), come back from each shard.
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
    """The rows of a parameter that a round has changed, for theta or a gradient and for each moment.

    rows: (U,), ascending.  values: (K', U, O), already weighted.  share: (U,), how much of the whole changed each
    row, so that the driver can add what the others left as it was; of a gradient, which is 0 elsewhere, 1 or more.
    """

    rows: npt.NDArray[np.intp]
    values: Array
    share: Array

    @staticmethod
    def to_bytes(several: Sequence["Changed"]) -> bytes:
        """Return the rows of several parameters as one buffer."""
        file = io.BytesIO()
        np.savez(file, *(array for one in several for array in (one.rows, one.values, one.share)))
        return file.getvalue()

    @staticmethod
    def from_bytes(buffer: bytes) -> tuple["Changed", ...]:
        """Return what the buffer says."""
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
    """What one shard sends up.

    vectors: (K', P), a gradient or weighted parameters and moments; (0, P) from an evaluation, and where another
    shard's partial has this one's in it already: no vectors add nothing.
    changed: the rows of each parameter that moves row by row; the vectors hold only what is between these.
    sums: float64, the objective's sums.  steps: optimiser steps taken, the most of any shard after adding.
    seconds: of computing, of all shards together.  slowest: those of the slowest shard.
    machines: what CPUs and libraries computed it.
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
    """Add neighbours, then neighbours of those, and so on, as they come; None adds nothing.

    >>> tree_sum([np.array([1.0]), None, np.array([2.0])])
    array([3.])
    """
    whole: list[tuple[int, Sum | None]] = []  # subtrees with 2^height leaves, from the left, ever lower
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

"""An engine only maps: it holds the blocks of one data set, shard by shard, and calls a work function on each shard.

`LocalEngine` is the one in process, over threads; the one on Spark has the same members and calls the same
functions.  Which numbers come out is decided by the blocks and the task, never here.  `loop.py` drives either.
"""

import functools
import operator
import platform
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from firesteel.core.centre import UNCENTRED, Centre
from firesteel.core.csr import CSR
from firesteel.core.spec import whole
from firesteel.core.types import Array, Run
from firesteel.errors import ConfigError
from firesteel.fast.blas import BLAS, blas_name, steady
from firesteel.fast.compiled import surely
from firesteel.fast.threads import QUIET, threads, worker_threads
from firesteel.train.blocks import Block
from firesteel.train.partial import Partial, Task, Watch
from firesteel.train.rounds import Work

__all__ = ["BlockInfo", "Engine", "LocalEngine", "check_shards", "machine", "work_on"]

LARGE = (32 << 20) - (1 << 16)
"""Bytes of the largest array whose release teaches glibc's malloc to keep memory of that size for the next one."""
with suppress(MemoryError):  # else each array of a short fit pays for fresh pages
    np.empty(LARGE, np.uint8)


@dataclass(frozen=True)
class BlockInfo:
    """What the driver knows of a block: its number, rows, summed weight and fingerprint."""

    id: int
    rows: int
    weight: float
    fingerprint: int


ROWS = operator.attrgetter("rows")


class Engine(Protocol):
    """Resident blocks, and the power to call a work function on each shard of them.

    centre: what has been subtracted from the rows.
    """

    centre: Centre

    @property
    def shards(self) -> int:
        """Number of shards, S; shard s owns the blocks with id mod S = s."""
        ...

    @property
    def blocks(self) -> Sequence[BlockInfo]:
        """All blocks, in order of their numbers."""
        ...

    @property
    def sparse(self) -> bool:
        """Whether the rows are packed as their non-zeros."""
        ...

    @property
    def lanes(self) -> int:
        """How many shards can compute at the same time, as far as that is known."""
        ...

    def check(self, task: Task) -> None:
        """Raise ConfigError where such a task, or what comes back from it, is too large to travel."""
        ...

    def map(self, work: Work, task: Task) -> list[Partial | None]:
        """Return each shard's partial, in order; None for a shard without blocks.

        The vectors may have been added up on their way, by tree_sum: then the first partial has those of all.
        """
        ...

    def close(self) -> None:
        """Let the blocks go."""
        ...


def check_shards(shards: int, blocks: int) -> None:
    """Raise ConfigError unless 1 <= shards <= blocks."""
    if whole(shards) is None or not 1 <= shards <= blocks:
        raise ConfigError(
            f"shards={shards!r}: these rows make {blocks} block(s), and each shard needs one at least; "
            f"give an integer between 1 and {blocks}",
            code="config-shards",
        )


def machine() -> str:
    """Return what decides this process's floating-point bits: CPU type, NumPy and its BLAS, with the kernel.

    How many threads the BLAS has is in it where a fit cannot limit them to one.

    >>> machine().split()[1]
    'numpy'
    """
    said = BLAS.said() if BLAS.users else ""
    return " ".join(filter(None, [platform.machine(), "numpy", np.__version__, blas_name(), said]))


class _Once:
    """Watches steps that may be taken again, and calls `watch` of each the first time alone."""

    def __init__(self, watch: Watch) -> None:
        self.watch, self.called, self.left = watch, 0, 0

    def anew(self) -> "_Once":
        """Begin with the first step again."""
        self.left = self.called
        return self

    def __call__(self, step: int, sums: Array | None) -> None:
        self.left -= 1
        if self.left < 0:
            self.called += 1
            self.watch(step, sums)


def work_on(work: Work, task: Task, blocks: Sequence[Block], run: Run) -> Partial:
    """Call work on a shard's blocks and sign the partial with the time it took and the machine it ran on."""
    start = time.perf_counter()
    watch = None if task.watch is None else _Once(task.watch)

    def done() -> Partial:
        return work(task if watch is None else replace(task, watch=watch.anew()), blocks, run)

    with np.errstate(**QUIET):
        partial = steady(functools.partial(surely, done))
    seconds = time.perf_counter() - start
    return replace(partial, seconds=seconds, slowest=seconds, machines=frozenset([machine()]))


class LocalEngine:
    """Blocks in this process's memory; shards, or the sub-batches of a single one, run over threads."""

    def __init__(self, blocks: Sequence[Block], shards: int = 1, centre: Centre = UNCENTRED) -> None:
        self.centre, self.shards, self.sparse, self.blocks = centre, shards, False, list[BlockInfo]()
        self._shards: list[list[Block]] = [[] for _ in range(shards)]
        for block in blocks:
            self._shards[block.id % shards].append(block)
            self.blocks.append(BlockInfo(block.id, len(block.w), block.weight, block.fingerprint))
            self.sparse |= isinstance(block.x, CSR)

    @property
    def lanes(self) -> int:
        return min(self.shards, worker_threads())

    def check(self, task: Task) -> None:
        pass

    def map(self, work: Work, task: Task) -> list[Partial | None]:
        with threads() as run:
            if self.shards == 1:
                return [work_on(work, task, self._shards[0], run)]
            return list(run(lambda blocks: work_on(work, task, blocks, map) if blocks else None, self._shards))

    def close(self) -> None:
        self._shards = []

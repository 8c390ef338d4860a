"""Engines: an engine holds a data set's blocks, and runs a function on the blocks of each shard.

`LocalEngine` runs in this process, over threads; the engine on Spark has the same interface and calls the same
functions.  Blocks and task determine the numbers, never the engine.  `loop.py` drives either.
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
from firesteel.fast.compiled import with_fallback
from firesteel.fast.threads import QUIET, threads, worker_threads
from firesteel.train.blocks import Block
from firesteel.train.partial import Partial, Task, Watch
from firesteel.train.rounds import Work

__all__ = ["BlockInfo", "Engine", "LocalEngine", "check_shards", "machine", "work_on"]

LARGE = (32 << 20) - (1 << 16)
"""Bytes of the largest array whose release makes glibc's malloc keep memory of this size for reuse."""
with suppress(MemoryError):  # without it each array of a short fit allocates fresh pages
    np.empty(LARGE, np.uint8)


@dataclass(frozen=True)
class BlockInfo:
    """What the driver knows of a block: its number, number of rows, weight and hash.

    Args:
        id: The number of the block.
        rows: The number of its rows.
        weight: The sum of their weights.
        fingerprint: The hash of the rows.
    """

    id: int
    rows: int
    weight: float
    fingerprint: int


ROWS = operator.attrgetter("rows")


class Engine(Protocol):
    """Protocol of engines: hold blocks, and call a function on the blocks of each shard.

    Attributes:
        centre: The centre that was subtracted from the rows.
    """

    centre: Centre

    @property
    def shards(self) -> int:
        """Number of shards, S; shard s has the blocks with number mod S = s."""
        ...

    @property
    def blocks(self) -> Sequence[BlockInfo]:
        """Records of all blocks, ordered by number."""
        ...

    @property
    def sparse(self) -> bool:
        """Whether the rows are stored in sparse form."""
        ...

    @property
    def lanes(self) -> int:
        """Number of shards that can compute at the same time, as far as it is known."""
        ...

    def check(self, task: Task) -> None:
        """Raise ConfigError if a task or its results are too large to transfer."""
        ...

    def map(self, work: Work, task: Task) -> list[Partial | None]:
        """Call a function on each shard; return the results in order, None for a shard without blocks.

        An engine may have added the vectors by `tree_sum`; then the first partial has the total.
        """
        ...

    def close(self) -> None:
        """Release the blocks."""
        ...


def check_shards(shards: int, blocks: int) -> None:
    """Raise ConfigError unless 1 <= shards <= blocks."""
    if whole(shards) is None or not 1 <= shards <= blocks:
        raise ConfigError(
            f"shards={shards!r}: the rows make {blocks} block(s), and each shard needs at least one: "
            f"give an integer between 1 and {blocks}",
            code="config-shards",
        )


def machine() -> str:
    """Return what determines the floating-point bits of this process: CPU type, NumPy, and BLAS with its kernel.

    The number of BLAS threads is included if a fit cannot limit it to one.

    Example:
        >>> machine().split()[1]
        'numpy'
    """
    said = BLAS.report() if BLAS.users else ""
    return " ".join(filter(None, [platform.machine(), "numpy", np.__version__, blas_name(), said]))


class _Once:
    """Calls a function once for each step, even if a repeated computation takes the step again."""

    def __init__(self, watch: Watch) -> None:
        self.watch, self.called, self.left = watch, 0, 0

    def anew(self) -> "_Once":
        """Start counting again from the first step, before a computation is repeated."""
        self.left = self.called
        return self

    def __call__(self, step: int, sums: Array | None) -> None:
        self.left -= 1
        if self.left < 0:
            self.called += 1
            self.watch(step, sums)


def work_on(work: Work, task: Task, blocks: Sequence[Block], run: Run) -> Partial:
    """Call a function on a shard's blocks, and add the time taken and the type of machine to its result."""
    start = time.perf_counter()
    watch = None if task.watch is None else _Once(task.watch)

    def done() -> Partial:
        return work(task if watch is None else replace(task, watch=watch.anew()), blocks, run)

    with np.errstate(**QUIET):
        partial = steady(functools.partial(with_fallback, done))
    seconds = time.perf_counter() - start
    return replace(partial, seconds=seconds, slowest=seconds, machines=frozenset([machine()]))


class LocalEngine:
    """An engine in this process: shards, or the sub-batches of a single shard, run over threads."""

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

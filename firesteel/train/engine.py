"""An engine only maps: it holds the blocks of one data set, shard by shard, and calls a work function on each shard.

`LocalEngine` is the one in process, over threads; the one on Spark has the same members and calls the same
functions.  Which numbers come out is decided by the blocks and the task, never here.  `loop.py` drives either.
"""

import contextlib
import functools
import os
import platform
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from queue import SimpleQueue
from typing import Any, Protocol

import numpy as np
from threadpoolctl import ThreadpoolController

from firesteel.core.sparse import CSR
from firesteel.core.spec import whole
from firesteel.core.types import Run
from firesteel.errors import ConfigError
from firesteel.train.blocks import Block
from firesteel.train.partial import Partial, Task
from firesteel.train.rounds import Work

__all__ = ["BlockInfo", "Engine", "LocalEngine", "machine", "one_blas_thread", "work_on", "worker_threads"]


QUIET: dict[str, Any] = {"over": "ignore", "invalid": "ignore"}
"""NumPy's warnings that a diverging fit would print; the loop raises one error instead."""


@dataclass(frozen=True)
class BlockInfo:
    """What the driver knows of a block: its number, rows, summed weight and fingerprint."""

    id: int
    rows: int
    weight: float
    fingerprint: int


class Engine(Protocol):
    """Resident blocks, and the power to call a work function on each shard of them."""

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


@functools.cache
def machine() -> str:
    """Return what decides this process's floating-point bits: CPU type, NumPy and its BLAS, with the kernel.

    Another library's BLAS, such as scipy's, computes nothing here, and one process may have loaded it, another not.

    >>> machine().split()[1]
    'numpy'
    """
    found = [info for info in ThreadpoolController().info() if info["user_api"] == "blas"]
    home = os.path.realpath(os.path.dirname(np.__file__))  # beside which wheels keep numpy.libs
    own = [info for info in found if os.path.realpath(info["filepath"]).startswith(home)] or found
    libraries = {f"{info['internal_api']} {info['version']} {info.get('architecture', '')}".strip() for info in own}
    return " ".join([platform.machine(), "numpy", np.__version__, *sorted(libraries)])


@functools.cache
def _blas() -> ThreadpoolController:
    return ThreadpoolController()


class _OneBlasThread:
    """One limit for the whole process, taken by the first fit that wants it and lifted by the last."""

    def __init__(self) -> None:
        self.lock, self.users, self.limit = threading.Lock(), 0, None

    def __enter__(self) -> None:
        with self.lock:
            if not self.users:
                self.limit = _blas().limit(limits=1, user_api="blas")
            self.users += 1

    def __exit__(self, *error: object) -> None:
        with self.lock:
            self.users -= 1
            if not self.users and self.limit is not None:
                self.limit.restore_original_limits()


_ONE_BLAS_THREAD = _OneBlasThread()


def one_blas_thread() -> contextlib.AbstractContextManager[None]:
    """Return a context in which BLAS uses one thread: the number of threads is part of the result.

    Contexts may overlap, in one thread or several.
    """
    return _ONE_BLAS_THREAD


def worker_threads() -> int:
    """Return how many threads this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def work_on(work: Work, task: Task, blocks: Sequence[Block], run: Run) -> Partial:
    """Call work on a shard's blocks and sign the partial with the time it took and the machine it ran on."""
    start = time.perf_counter()
    with np.errstate(**QUIET):
        partial = work(task, blocks, run)
    seconds = time.perf_counter() - start
    return replace(partial, seconds=seconds, slowest=seconds, machines=frozenset([machine()]))


class LocalEngine:
    """Blocks in this process's memory; shards, or the sub-batches of a single one, run over threads."""

    def __init__(self, blocks: Sequence[Block], shards: int = 1) -> None:
        self._shards = [[b for b in blocks if b.id % shards == s] for s in range(shards)]
        self._blocks = [BlockInfo(b.id, len(b), b.weight, b.fingerprint) for b in blocks]
        self.sparse = any(isinstance(b.x, CSR) for b in blocks)

    @property
    def shards(self) -> int:
        return len(self._shards)

    @property
    def blocks(self) -> Sequence[BlockInfo]:
        return self._blocks

    @property
    def lanes(self) -> int:
        return min(self.shards, worker_threads())

    def check(self, task: Task) -> None:
        pass

    def map(self, work: Work, task: Task) -> list[Partial | None]:
        with one_blas_thread(), threads() as run:
            if self.shards == 1:
                return [work_on(work, task, self._shards[0], run)]
            return list(run(lambda blocks: work_on(work, task, blocks, map) if blocks else None, self._shards))

    def close(self) -> None:
        self._shards = []


class _Threads:
    """A map over this thread and some helpers, who take one item after another; the results come in order.

    A map of two short items takes a fifth of what concurrent.futures takes, and steps of a network are short.
    """

    def __init__(self, helpers: int) -> None:
        self.jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self.helpers = [threading.Thread(target=self._help, daemon=True) for _ in range(helpers)]
        for helper in self.helpers:
            helper.start()

    def _help(self) -> None:
        np.seterr(**QUIET)
        while job := self.jobs.get():
            job()

    def __call__(self, function: Callable[[Any], Any], items: Iterable[Any]) -> list[Any]:
        items = list(items)
        left, results = iter(range(len(items))), [None] * len(items)
        ended: SimpleQueue[BaseException | None] = SimpleQueue()

        def work() -> None:
            error = None
            try:
                for number in left:
                    results[number] = function(items[number])
            except BaseException as e:
                error = e
                for _ in left:  # nobody need begin another
                    pass
            ended.put(error)

        helpers = min(len(self.helpers), len(items) - 1)
        for _ in range(helpers):
            self.jobs.put(work)
        work()
        errors = [ended.get() for _ in range(helpers + 1)]
        for error in filter(None, errors):
            raise error
        return results

    def close(self) -> None:
        for _ in self.helpers:
            self.jobs.put(None)
        for helper in self.helpers:
            helper.join()


@contextlib.contextmanager
def threads() -> Iterator[Run]:
    """Give a map over as many threads as the process may use; results come in order."""
    count = worker_threads()
    if count == 1:
        yield map
        return
    run = _Threads(count - 1)
    try:
        yield run
    finally:
        run.close()

"""The threads of this process: how many, and a map over them.

Waking and waiting is most of what short work costs, and a step of a network is short; so there is a map of our own,
whose helpers can also stay with one team for many steps.  `engine.py` opens it, `rounds.py` maps over it.
"""

import contextlib
import functools
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from queue import SimpleQueue
from typing import Any

import numpy as np

from firesteel.core.team import Team
from firesteel.core.types import Run
from firesteel.train.blas import BLAS

__all__ = ["QUIET", "Threads", "threads", "worker_threads"]


def worker_threads() -> int:
    """Return how many threads this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


QUIET: dict[str, Any] = {"over": "ignore", "invalid": "ignore"}
"""NumPy's warnings that a diverging fit would print; the loop raises one error instead."""


class Threads:
    """A map over this thread and some helpers, who take one item after another; the results come in order.

    A map of two short items takes a fifth of what concurrent.futures takes.
    """

    def __init__(self, helpers: int) -> None:
        self.jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self.team: Team | None = None
        self.helpers = [threading.Thread(target=self._help, daemon=True) for _ in range(helpers)]
        for helper in self.helpers:
            helper.start()

    def _help(self) -> None:
        np.seterr(**QUIET)
        while job := self.jobs.get():
            BLAS.check()
            job()

    def hold(self, team: Team) -> None:
        """Have helpers attend to a team, until another one is held or something mapped."""
        if self.team is not team:
            self._dismiss()
            self.team = team
            for member in range(1, team.members):
                self.jobs.put(functools.partial(team.attend, member))

    def _dismiss(self) -> None:
        if self.team is not None:
            self.team.dismiss()
            self.team = None

    def __call__(self, function: Callable[[Any], Any], items: Iterable[Any]) -> list[Any]:
        self._dismiss()
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
        self._dismiss()
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
    run = Threads(count - 1)
    try:
        yield run
    finally:
        run.close()

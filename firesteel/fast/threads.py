"""The threads of this process: how many, and a map over them.

Waking and waiting is most of what short work costs, and a step of a network is short; so there is a map of our own,
whose helpers can also stay with one team for many steps.  `engine.py` opens it, `rounds.py` maps over it.
"""

import _thread
import contextlib
import ctypes
import functools
import importlib
import os
import sys
import threading
import weakref
from collections.abc import Callable, Iterable, Sequence
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

import numpy as np

from firesteel.fast.blas import BLAS

if TYPE_CHECKING:
    from firesteel.fast.team import Meeting, Team

__all__ = ["QUIET", "Threads", "memory", "threads", "worker_threads"]


def worker_threads() -> int:
    """Return how many threads this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def memory() -> float:
    """Return how many bytes of memory this machine has, or infinity where the system does not say."""
    known = hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if known else float("inf")


QUIET: dict[str, Any] = {"over": "ignore", "invalid": "ignore"}
"""NumPy's warnings that a diverging fit would print; the loop raises one error instead."""


PATIENCE = 0.2
"""Seconds after which whoever waits looks whether there is anyone to wait for."""


class Threads:
    """A map over this thread and some helpers, who take one item after another; the results come in order.

    A map of two short items takes a fifth of what concurrent.futures takes.  An exception may come at any moment,
    Ctrl-C's too: helpers end with this object, closed or not.
    """

    def __init__(self, helpers: int) -> None:
        self.jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self.meeting: Meeting | None = None
        self.count, self.process, self.started = helpers, os.getpid(), SimpleQueue[None]()
        self.helpers: list[threading.Thread] = []

    def hold(self, team: "Team") -> "Meeting":
        """Return where helpers attend to a team, until another one is held or something mapped."""
        meeting = self.meeting
        if meeting is None or meeting.given is not team.given or meeting.left:
            self._dismiss()
            if meeting is not None:
                meeting.check()
            self.meeting = meeting = team.meeting()
            self._ask([functools.partial(meeting.attend, member) for member in range(1, team.members)])
        return meeting

    def _ask(self, jobs: Sequence[Callable[[], None]]) -> None:
        for job in jobs:
            self.jobs.put(job)
        if jobs and not self.helpers:  # whoever needs no help starts nobody
            given = self.jobs, weakref.ref(self)
            self.helpers = [threading.Thread(target=_help, args=given, daemon=True) for _ in range(self.count)]
            with contextlib.suppress(RuntimeError):  # where there can be no more threads, this one does all
                _thread.start_new_thread(_start, (self.helpers, self.started))

    def _dismiss(self) -> None:
        if self.meeting is not None:
            self.meeting.close()
            self.meeting = None

    def __call__(self, function: Callable[[Any], Any], items: Iterable[Any]) -> list[Any]:
        self._dismiss()
        items = list(items)
        left, results = iter(range(len(items))), [None] * len(items)
        ended: SimpleQueue[BaseException | None] = SimpleQueue()

        def work(caught: type[BaseException] = BaseException) -> None:
            for number in left:
                error = None
                try:
                    results[number] = function(items[number])
                except caught as e:
                    error = e
                    for _ in left:  # nobody need begin another
                        ended.put(None)
                ended.put(error)

        self._ask([work] * min(self.count, len(items) - 1))
        work(Exception)  # who is interrupted waits for nobody
        errors = [self._next(ended) for _ in items]
        for error in filter(None, errors):
            raise error
        return results

    def _next(self, ended: SimpleQueue[BaseException | None]) -> BaseException | None:
        while True:
            try:
                return ended.get(timeout=PATIENCE)
            except Empty:
                if self.process != os.getpid():
                    raise RuntimeError("a process was forked in the midst of a map") from None

    def close(self) -> None:
        """Let the helpers go, and wait until they have gone."""
        try:
            self._end()
        finally:  # once more, where Ctrl-C has come
            self._end()

    def _end(self) -> None:
        self._dismiss()
        self.jobs.put(None)
        with contextlib.suppress(Empty):
            if self.helpers:
                self.started.get(timeout=PATIENCE)
                self.started.put(None)
        for helper in filter(threading.Thread.is_alive, self.helpers):
            helper.join(PATIENCE)
            while helper.is_alive():  # at work for somebody who has been interrupted
                at = ctypes.c_ulong(helper.ident or 0)
                ctypes.pythonapi.PyThreadState_SetAsyncExc(at, ctypes.py_object(SystemExit))
                helper.join(PATIENCE)


def _start(helpers: Iterable[threading.Thread], started: SimpleQueue[None]) -> None:
    """Start helpers, in a thread that no handler of signals interrupts: `Thread.start` is not made for that."""
    with contextlib.suppress(RuntimeError):
        list(map(threading.Thread.start, helpers))
    started.put(None)


def _help(jobs: SimpleQueue[Callable[[], None] | None], owner: Callable[[], Threads | None]) -> None:
    """Do one job after another, until there is None, or nobody who could give one."""
    np.seterr(**QUIET)
    with contextlib.suppress(SystemExit):
        while owner() is not None:
            try:
                job = jobs.get(timeout=PATIENCE)
            except Empty:
                continue
            if job is None:
                jobs.put(None)  # for the next helper
                break
            BLAS.check()
            job()
            del job  # it may know the owner


def threads() -> contextlib.closing[Threads]:
    """Return a map over as many threads as the process may use, as a context at whose end they end."""
    return contextlib.closing(Threads(worker_threads() - 1))


LATE = {"firesteel", "llvmlite", "numba", "numpy", "scipy"}
"""Packages of which something is imported in a first fit."""


class _Firsts:
    """What happens once in a process, imports and compiling: a child that is forked meanwhile would wait for ever."""

    compiler: Any = None

    def wait(self) -> None:
        """Wait until no other thread is importing or compiling, and let none begin to compile."""
        self.compiler = getattr(sys.modules.get("numba.core.compiler_lock"), "global_compiler_lock", None)
        if self.compiler is not None:
            self.compiler.acquire()
        imports: Any = importlib.import_module("importlib._bootstrap")
        for name in list(imports._module_locks):
            if name.partition(".")[0] in LATE:
                imports._lock_unlock_module(name)

    def go_on(self) -> None:
        if self.compiler is not None:
            self.compiler.release()


FIRSTS = _Firsts()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=FIRSTS.wait, after_in_parent=FIRSTS.go_on, after_in_child=FIRSTS.go_on)

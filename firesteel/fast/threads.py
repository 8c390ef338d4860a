"""Threads of this process: how many may be used, and a map that runs on them.

Starting and waiting take most of the time of short work, and training steps are short.  So there is a dedicated map,
whose helper threads can also stay with one team for many steps.  `engine.py` opens it, `rounds.py` maps over it.
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
    """Return the number of threads that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def memory() -> float:
    """Return the memory of this machine in bytes; infinity if unknown."""
    known = hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if known else float("inf")


QUIET: dict[str, Any] = {"over": "ignore", "invalid": "ignore"}
"""Settings that silence NumPy's warnings in a diverging fit; the loop raises one error instead."""


PATIENCE = 0.2
"""Seconds of waiting after which a thread checks that its counterpart still exists."""


class Threads:
    """A map function that runs on this thread and helper threads; results keep the order of the items.

    A map of two short items takes a fifth of the time of concurrent.futures.  An exception, also Ctrl-C, may occur at
    any moment; the helpers end with this object, closed or not.

    Args:
        helpers: The number of helper threads.
    """

    def __init__(self, helpers: int) -> None:
        self.jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self.meeting: Meeting | None = None
        self.count, self.process, self.started = helpers, os.getpid(), SimpleQueue[None]()
        self.helpers: list[threading.Thread] = []

    def hold(self, team: "Team") -> "Meeting":
        """Let the helper threads work for a team, until another team asks or something is mapped."""
        meeting = self.meeting
        if meeting is None or meeting.given is not team.given or meeting.left:
            self._release()
            if meeting is not None:
                meeting.check()
            self.meeting = meeting = team.meeting()
            self._submit([functools.partial(meeting.attend, member) for member in range(1, team.members)])
        return meeting

    def _submit(self, jobs: Sequence[Callable[[], None]]) -> None:
        for job in jobs:
            self.jobs.put(job)
        if jobs and not self.helpers:  # threads start when first needed
            given = self.jobs, weakref.ref(self)
            self.helpers = [threading.Thread(target=_help, args=given, daemon=True) for _ in range(self.count)]
            with contextlib.suppress(RuntimeError):  # without further threads this one does all the work
                _thread.start_new_thread(_start, (self.helpers, self.started))

    def _release(self) -> None:
        if self.meeting is not None:
            self.meeting.close()
            self.meeting = None

    def __call__(self, function: Callable[[Any], Any], items: Iterable[Any]) -> list[Any]:
        self._release()
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
                    for _ in left:  # skip the remaining items
                        ended.put(None)
                ended.put(error)

        self._submit([work] * min(self.count, len(items) - 1))
        work(Exception)  # an interrupt does not wait for the helpers
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
                    raise RuntimeError("the process was forked during a map") from None

    def close(self) -> None:
        """End the helper threads and wait for them."""
        try:
            self._end()
        finally:  # again, if Ctrl-C interrupted it
            self._end()

    def _end(self) -> None:
        self._release()
        self.jobs.put(None)
        with contextlib.suppress(Empty):
            if self.helpers:
                self.started.get(timeout=PATIENCE)
                self.started.put(None)
        for helper in filter(threading.Thread.is_alive, self.helpers):
            helper.join(PATIENCE)
            while helper.is_alive():  # still working for an interrupted call
                at = ctypes.c_ulong(helper.ident or 0)
                ctypes.pythonapi.PyThreadState_SetAsyncExc(at, ctypes.py_object(SystemExit))
                helper.join(PATIENCE)


def _start(helpers: Iterable[threading.Thread], started: SimpleQueue[None]) -> None:
    """Start helper threads from a thread that no signal handler can interrupt."""
    with contextlib.suppress(RuntimeError):
        list(map(threading.Thread.start, helpers))
    started.put(None)


def _help(jobs: SimpleQueue[Callable[[], None] | None], owner: Callable[[], Threads | None]) -> None:
    """Main loop of a helper thread: run jobs from a queue, until a job is None or the owner was deleted."""
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
            del job  # it may refer to the owner


def threads() -> contextlib.closing[Threads]:
    """Context manager: a map function over as many threads as the process may use."""
    return contextlib.closing(Threads(worker_threads() - 1))


LATE = {"firesteel", "llvmlite", "numba", "numpy", "scipy"}
"""Packages of which a first fit imports something."""


class _Firsts:
    """Prevents a fork while numba is imported or compiles, because the child process would deadlock."""

    compiler: Any = None

    def wait(self) -> None:
        """Before a fork: wait until no thread imports numba or compiles, and prevent both until it is done."""
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

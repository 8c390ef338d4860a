"""One BLAS thread: how many there are decides the bits of a product, so it is read back where products are made.

The calls are those of the library that NumPy itself is linked with, whatever else the process has loaded.  Some
libraries have one number for the whole process, others one for each thread; a trial shows which.
"""

import ctypes
import functools
import itertools
import os
import sys
import threading
import warnings
from collections.abc import Callable
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import numpy as np

__all__ = ["BLAS", "Blas", "blas_name", "one_blas_thread", "steady"]

MKL = ("MKL_Get_Max_Threads", "MKL_Set_Num_Threads_Local")
OPENMP = ("omp_get_max_threads", "omp_set_num_threads")
PAIRS = [
    MKL,
    ("bli_thread_get_num_threads", "bli_thread_set_num_threads"),
    ("flexiblas_get_num_threads", "flexiblas_set_num_threads"),
    ("BLASGetThreading", "BLASSetThreading"),  # Accelerate's: 0 is many threads, 1 is one
]
"""What reads and what sets the number of threads, in libraries other than OpenBLAS."""
TRIES = 5
"""How often a result is made at most, while others change the number of threads."""
T = TypeVar("T")
AFFIXES = list(itertools.product(["scipy_", ""], ["64_", "_64", ""]))
"""What builds of OpenBLAS put before and behind the names of its functions."""


class Blas:
    """The number of threads of one BLAS, and who needs it to be 1 at the moment.

    Args:
        get: Returns the number of threads.
        put: Sets it.
        swaps: Whether `put` returns what has to be put back later; else that is what `get` returned.
        known: Whether `get` says the truth.
    """

    def __init__(
        self, get: Callable[[], int], put: Callable[[int], Any], *, swaps: bool = False, known: bool = True
    ) -> None:
        self.get, self.put, self.swaps, self.known = get, put, swaps, known
        self.lock = threading.RLock()
        self.local: bool | None = True if swaps else None
        self.users = WeakKeyDictionary[object, int]()  # the key of each: its thread if each has a number, else 0
        self.kept: dict[int, int] = {}  # what to put back, by key
        self.changes = 0  # how often somebody else has changed the number meanwhile
        self.warned = False

    def take(self, user: object) -> None:
        """Give this thread's products one BLAS thread until `drop(user)`."""
        with self.lock:
            me = threading.get_ident()
            key = self.users[user] = 0 if self.local is False else me
            if key in self.kept:
                self.check()
                return
            self.kept[key] = 0 if self.swaps else self.get()
            found = self.put(1)
            if self.swaps:
                self.kept[key] = found
            if self.local is None and not self._tried():
                self.kept[0] = self.kept[me]
                self.users[user] = 0
                del self.kept[me]
            self._read_back()

    def drop(self, user: object) -> None:
        """End what `take(user)` began; the last to leave puts back what the first has found."""
        with self.lock:
            key = self.users.get(user)
            if key is not None:
                if [*self.users.values()].count(key) == 1:
                    self._put_back(key)
                self.users.pop(user, None)
            if not self.users:
                self.kept.clear()

    def check(self) -> None:
        """Read the number back; where somebody has changed it under the users, count that and set it again."""
        with self.lock:  # outside it a user that leaves may have put its number back, and still be there
            if (found := self.get()) == 1 or not self.users:
                return
            key = threading.get_ident() if self.local else 0
            self.changes += key in self.kept  # else this is a helper's thread, which has not been read before
            if self.kept.get(key) == 1:  # who limited it before has put back what there was before that
                self.kept[key] = found
            self.put(1)
            self._read_back()

    def forked(self) -> None:
        """Give BLAS its threads back in a forked child, which begins without users."""
        self.users.clear()
        for key in list(self.kept):
            self._put_back(key)
        self.lock.release()

    def _put_back(self, key: int) -> None:
        if key in self.kept and key in (0, threading.get_ident()):
            self.put(self.kept[key])
        self.kept.pop(key, None)

    def _tried(self) -> bool:
        """Return whether each thread has a number of its own: whether another one does not see this one's."""
        seen: list[int] = []
        other = threading.Thread(target=lambda: seen.append(self.get()))
        other.start()
        other.join()
        self.local = seen != [1]
        return self.local

    def said(self) -> str:
        """Return how many threads there are, if it is not known to be one."""
        return f"{self.get()} threads" if self.get() != 1 else "" if self.known else "threads unknown"

    def warn(self, why: str) -> None:
        """Warn, once, that results may not be repeatable."""
        if not self.warned:
            self.warned = True
            warnings.warn(
                f"NumPy's BLAS cannot be limited to one thread ({why}): the last bits of weights and predictions may "
                "differ from run to run.  To do: set OPENBLAS_NUM_THREADS, MKL_NUM_THREADS and OMP_NUM_THREADS to 1 "
                "before Python starts",
                stacklevel=2,
            )

    def _read_back(self) -> None:
        if said := self.said():
            self.warn(said)


class one_blas_thread:  # noqa: N801  (used as a function)
    """A context in which BLAS uses one thread: the number of threads is part of the result.

    Contexts may overlap, in one thread or several, and end in any order.  A child that is forked in one is out of it.
    Ctrl-C may come at any moment; BLAS forgets a context that is gone.
    """

    def __enter__(self) -> None:
        try:
            BLAS.take(self)
        except BaseException:
            BLAS.drop(self)
            raise

    def __exit__(self, *error: object) -> None:
        try:
            BLAS.drop(self)
        finally:
            BLAS.drop(self)


def steady(made: Callable[[], T]) -> T:
    """Return what is made with one BLAS thread: made again where somebody has changed the number meanwhile."""
    with one_blas_thread():
        for _ in range(TRIES):
            changes, result = BLAS.changes, made()
            BLAS.check()
            if BLAS.changes == changes:
                return result
    BLAS.warn("other code keeps changing its number of threads")
    return result


def _module() -> str:
    """Return the file of NumPy that is linked with its BLAS."""
    return str(sys.modules["numpy._core._multiarray_umath"].__file__)


def _openblas(library: ctypes.CDLL, name: str) -> Any:
    """Return a function of OpenBLAS, or None where NumPy has another BLAS."""
    found = (getattr(library, f"{before}openblas_{name}{behind}", None) for before, behind in AFFIXES)
    return next(filter(None, found), None)


def found(file: str) -> Blas | None:
    """Return the BLAS that a file is linked with, or None where its threads cannot be counted.

    The number is read without giving back Python's lock, for which other threads may be waiting.
    """
    reading, setting = ctypes.PyDLL(file), ctypes.CDLL(file)
    get, put = _openblas(reading, "get_num_threads"), _openblas(setting, "set_num_threads")
    pairs = PAIRS
    if get and put:
        parallel = _openblas(reading, "get_parallel")
        if not (parallel and parallel() == 2):
            return Blas(get, put)
        pairs = [OPENMP]  # which has a number for each thread, and asks for it at each product
    for pair in pairs:
        get, put = getattr(reading, pair[0], None), getattr(setting, pair[1], None)
        if get and put:
            return Blas(get, put, swaps=pair is MKL)
    return None


@functools.cache
def blas_name() -> str:
    """Return the name and version of NumPy's BLAS, and the kind of CPU that it has chosen if it says so."""
    library = ctypes.CDLL(_module())
    config, core = _openblas(library, "get_config"), _openblas(library, "get_corename")
    if config and core:
        config.restype = core.restype = ctypes.c_char_p
        return f"openblas {config().split()[1].decode()} {core().decode()}"
    return f"{ABOUT.get('name')} {ABOUT.get('version')}"


ABOUT: Any = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
BLAS = found(_module()) or Blas(lambda: 1, int, known=not ABOUT.get("found"))
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=BLAS.lock.acquire, after_in_parent=BLAS.lock.release, after_in_child=BLAS.forked)

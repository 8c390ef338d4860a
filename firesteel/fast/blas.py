"""Limits BLAS to one thread, because the number of threads determines the last bits of a matrix product.

The calls go to the library that NumPy itself is linked with, whatever else the process has loaded.  Some libraries
have one setting per process, others one per thread; a trial determines which.
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
"""The functions that get and set the number of threads, in libraries other than OpenBLAS."""
TRIES = 5
"""The most attempts at a result while other code changes the number of threads."""
T = TypeVar("T")
AFFIXES = list(itertools.product(["scipy_", ""], ["64_", "_64", ""]))
"""Prefixes and suffixes of function names in builds of OpenBLAS."""


class Blas:
    """Sets the number of threads of a BLAS library to 1 while at least one user of `take` needs it.

    Args:
        get: Returns the number of threads.
        put: Sets it.
        swaps: Whether `put` returns the value to restore later; otherwise it is that of `get`.
        known: Whether `get` is reliable.
    """

    def __init__(
        self, get: Callable[[], int], put: Callable[[int], Any], *, swaps: bool = False, known: bool = True
    ) -> None:
        self.get, self.put, self.swaps, self.known = get, put, swaps, known
        self.lock = threading.RLock()
        self.local: bool | None = True if swaps else None
        self.users = WeakKeyDictionary[object, int]()  # the key of each: its thread, or 0 for the whole process
        self.kept: dict[int, int] = {}  # the value to restore, by key
        self.changes = 0  # how often other code changed the number meanwhile
        self.warned = False

    def take(self, user: object) -> None:
        """Make BLAS use one thread until `drop(user)` is called with the same user."""
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
            if self.local is None and not self._is_per_thread():
                self.kept[0] = self.kept[me]
                self.users[user] = 0
                del self.kept[me]
            self._verify()

    def drop(self, user: object) -> None:
        """End the limit that `take(user)` set; the last user restores the original number of threads."""
        with self.lock:
            key = self.users.get(user)
            if key is not None:
                if [*self.users.values()].count(key) == 1:
                    self._put_back(key)
                self.users.pop(user, None)
            if not self.users:
                self.kept.clear()

    def check(self) -> None:
        """Set the number of BLAS threads to 1 again if other code changed it, and count that change."""
        with self.lock:  # without it, a user that is leaving may already have restored its number
            if (found := self.get()) == 1 or not self.users:
                return
            key = threading.get_ident() if self.local else 0
            self.changes += key in self.kept  # otherwise a helper thread is read for the first time
            if self.kept.get(key) == 1:  # an outer limit has ended and restored its number
                self.kept[key] = found
            self.put(1)
            self._verify()

    def forked(self) -> None:
        """Restore the number of BLAS threads in a forked child process, where nobody has called `take` yet."""
        self.users.clear()
        for key in list(self.kept):
            self._put_back(key)
        self.lock.release()

    def _put_back(self, key: int) -> None:
        if key in self.kept and key in (0, threading.get_ident()):
            self.put(self.kept[key])
        self.kept.pop(key, None)

    def _is_per_thread(self) -> bool:
        """Return whether BLAS keeps a number of threads for each calling thread, instead of one for the process."""
        seen: list[int] = []
        other = threading.Thread(target=lambda: seen.append(self.get()))
        other.start()
        other.join()
        self.local = seen != [1]
        return self.local

    def report(self) -> str:
        """Return the number of BLAS threads as text for environment reports; empty if it is known to be 1."""
        return f"{self.get()} threads" if self.get() != 1 else "" if self.known else "threads unknown"

    def warn(self, why: str) -> None:
        """Warn, once, that results may not be reproducible."""
        if not self.warned:
            self.warned = True
            warnings.warn(
                f"NumPy's BLAS cannot be limited to one thread ({why}): the last bits of weights and predictions may "
                "differ between runs.  To do: set OPENBLAS_NUM_THREADS, MKL_NUM_THREADS and OMP_NUM_THREADS to 1 "
                "before Python starts",
                stacklevel=2,
            )

    def _verify(self) -> None:
        if report := self.report():
            self.warn(report)


class one_blas_thread:  # noqa: N801  (used as a function)
    """Context manager in which BLAS uses one thread.

    Contexts may overlap, in one thread or several, and end in any order.  A forked child is not in its parent's
    contexts. Ctrl-C may interrupt anywhere; BLAS drops a context that no longer exists.
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
    """Compute a result with one BLAS thread, again if other code changed the number of threads meanwhile."""
    with one_blas_thread():
        for _ in range(TRIES):
            changes, result = BLAS.changes, made()
            BLAS.check()
            if BLAS.changes == changes:
                return result
    BLAS.warn("other code keeps changing its number of threads")
    return result


def _module() -> str:
    """Return the path of the NumPy module that is linked with its BLAS."""
    return str(sys.modules["numpy._core._multiarray_umath"].__file__)


def _openblas(library: ctypes.CDLL, name: str) -> Any:
    """Return a C function of OpenBLAS by its name; None if NumPy uses another BLAS library."""
    found = (getattr(library, f"{before}openblas_{name}{behind}", None) for before, behind in AFFIXES)
    return next(filter(None, found), None)


def found(file: str) -> Blas | None:
    """Return the BLAS library that a file is linked with; None if its number of threads cannot be read.

    The number is read without releasing Python's lock, for which other threads may be waiting.
    """
    reading, setting = ctypes.PyDLL(file), ctypes.CDLL(file)
    get, put = _openblas(reading, "get_num_threads"), _openblas(setting, "set_num_threads")
    pairs = PAIRS
    if get and put:
        parallel = _openblas(reading, "get_parallel")
        if not (parallel and parallel() == 2):
            return Blas(get, put)
        pairs = [OPENMP]  # a setting per thread, which OpenBLAS reads at each product
    for pair in pairs:
        get, put = getattr(reading, pair[0], None), getattr(setting, pair[1], None)
        if get and put:
            return Blas(get, put, swaps=pair is MKL)
    return None


@functools.cache
def blas_name() -> str:
    """Return the name and version of NumPy's BLAS, and the CPU type that it selected, if known."""
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

"""Compiles functions with numba if it is installed, and caches machine code for other processes.

`kernels/` has the loops; `chain.py` and `team.py` combine them.
"""

import ctypes
import functools
import hashlib
import importlib
import pickle
import platform
import signal
import sys
import traceback
from collections import Counter
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from types import FunctionType
from typing import Any, NoReturn

import numpy as np

__all__ = ["Broken", "Compiled", "compiled_if_loaded", "bound", "compiled", "compiled_with", "declared"]


WORTH = 10_000
"""The fewest numbers for which a compiled loop pays off compared with NumPy."""
SETTINGS: dict[str, Any] = {"nogil": True, "error_model": "numpy"}


class Broken(Exception):
    """Raised when compiled code fails, possibly after a part of its work; `__cause__` says why."""


STORE: Any = None
"""The cache of machine code, set by `fast/compiled.py`; None for no cache."""
ON = True
"""Whether this process compiles anything."""
RUNS = Counter[str]()
"""How often Python has called each kernel, by name."""


def compiled(kernel: Callable[..., None], numbers: int) -> Callable[..., None] | None:
    """Return a function compiled by numba; None without numba, or if there are too few numbers to pay off."""
    return _compiled(kernel) if ON and numbers >= WORTH else None


def compiled_if_loaded(kernel: Callable[..., None], numbers: int) -> Callable[..., None] | None:
    """Return `compiled(...)` if numba is already imported; None otherwise, because importing it takes too long."""
    return compiled(kernel, numbers) if "numba" in sys.modules else None


@functools.cache
def _compiled(kernel: Callable[..., None]) -> Callable[..., None] | None:
    return Compiled(kernel, {}) if _numba() else None


def compiled_with(kernel: Callable[..., None], functions: Mapping[str, Any]) -> Callable[..., None] | None:
    """Return a function compiled together with the functions that it calls; None without numba or a usable cache.

    Compiling takes seconds, which every process would spend without a cache.

    Args:
        kernel: The kernel.
        functions: The functions, from ctypes or compiled kernels, by the names that the kernel uses.
    """
    return Compiled(kernel, functions) if _numba() and STORE and STORE.usable() else None


@functools.cache
def _numba() -> Any:
    """Return numba, or None if it is not installed."""
    try:
        # in a thread that Ctrl-C does not interrupt: a half-finished import would stay broken
        pool = importlib.import_module("concurrent.futures").ThreadPoolExecutor
        numba = find_spec("numba") and pool(1).submit(importlib.import_module, "numba").result()
        if numba and numba.config.DISABLE_JIT:
            raise RuntimeError("NUMBA_DISABLE_JIT is set")
    except Exception as error:
        _raise("numba cannot be used", error)
    return numba


class Compiled:
    """A function that is compiled at its first call or loaded from the cache; raises Broken on any failure.

    Attributes:
        name: The name of the kernel.
        digest: The hash of everything compiled together: the code, its module, and the meaning of the names in it,
            including the kernels that it calls.
    """

    def __init__(self, kernel: Callable[..., None], functions: Mapping[str, Any]) -> None:
        code, meant = kernel.__code__, kernel.__globals__ | dict(functions)
        names = [kernel.__module__, *((name, _identity(meant.get(name))) for name in code.co_names)]
        self.name, self.digest = kernel.__name__, _sum(code.co_code, code.co_consts, code.co_varnames, names)
        try:
            known = {name: _callable(function) for name, function in functions.items()}
            self.dispatcher = _numba().njit(bound(kernel, known), **SETTINGS)
            self.dispatcher._cache = self
        except Exception as error:
            _raise(f"{self.name} cannot be compiled", error)

    def __call__(self, *given: Any) -> Any:
        RUNS[self.name] += 1
        try:
            return self.dispatcher(*given)
        except Exception as error:
            _raise(f"{self.name} failed", error)

    def load_overload(self, kinds: Any, target: Any) -> Any:
        """Return the cached code for arguments of these types, or None; called by numba."""
        target.refresh()
        data = STORE.read(name := self._file_name(kinds, target)) if STORE else None
        rebuild = importlib.import_module("numba.core.compiler").CompileResult._rebuild
        try:
            return None if data is None else rebuild(target, *pickle.loads(data))
        except Exception:
            STORE.write(name, b"")  # otherwise the next process would fail too
            raise

    def save_overload(self, kinds: Any, result: Any) -> None:
        """Cache compiled code; called by numba."""
        if STORE and not result.library.has_dynamic_globals:
            dumps = importlib.import_module("numba.core.serialize").dumps
            STORE.write(self._file_name(kinds, result.target_context), dumps(result._reduce()))

    def _file_name(self, kinds: Any, target: Any) -> str:
        """Return the file name of machine code, which depends on kernel, argument types, CPU and versions."""
        names = ("firesteel", "numba", "llvmlite", "numpy")
        versions = [importlib.import_module(name).__version__ for name in names]
        which = [(str(kind), getattr(kind, "fields", None)) for kind in getattr(kinds, "args", kinds)]
        versions.append(platform.python_version())
        return f"{self.name}-{_sum(self.digest, SETTINGS, which, target.codegen().magic_tuple(), versions)[:32]}"


def _sum(*parts: Any) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def _callable(function: Any) -> Any:
    """Return a function that compiled code can call: a Python function compiled too, or a C function by name."""
    if isinstance(function, Compiled):
        return function.dispatcher
    numba, binding = _numba(), importlib.import_module("llvmlite.binding")
    kind = importlib.import_module("numba.core.typing.ctypes_utils").from_ctypes
    binding.add_symbol(function.__name__, ctypes.cast(function, ctypes.c_void_p).value)
    return numba.types.ExternalFunction(function.__name__, kind(function.restype)(*map(kind, function.argtypes)))


def _identity(value: Any) -> Any:
    """Return what identifies a global value in the cache key: a function's code, or the value itself."""
    if isinstance(value, Compiled):
        return value.digest
    if hasattr(value, "argtypes"):
        return value.__name__, value.restype, value.argtypes
    return value.tobytes() if isinstance(value, np.ndarray) else getattr(value, "__name__", repr(value))


def _raise(what: str, error: Exception) -> NoReturn:
    """Raise Broken from an error; reraise errors that a signal handler raised, such as KeyboardInterrupt.

    Python runs signal handlers anywhere, and numba may wrap their exceptions in an error of its own.  Exceptions that
    the caller had already caught do not count.
    """
    handlers = [signal.getsignal(number) for number in signal.valid_signals()]
    handlers = [getattr(one, "func", getattr(one, "__func__", one)) for one in handlers]
    codes = {getattr(one, "__code__", getattr(type(one).__call__, "__code__", None)) for one in handlers} - {None}
    outer = {frame for frame, _ in traceback.walk_stack(next(traceback.walk_tb(error.__traceback__))[0].f_back)}
    found: BaseException | None = error
    while found is not None:
        frames = {frame for frame, _ in traceback.walk_tb(found.__traceback__)}
        if outer & frames:
            break
        if not isinstance(found, Exception) or codes & {frame.f_code for frame in frames}:
            raise found from found.__cause__
        found = found.__cause__ or found.__context__
    raise Broken(what) from error


C = {"v": None, "i": ctypes.c_int, "l": ctypes.c_int64, "f": ctypes.c_float, "d": ctypes.c_double}


def declared(file: str | None, takes: Mapping[str, str]) -> dict[str, Any]:
    """Return C functions of a shared library (None: of this process) by name; empty if one is missing.

    Args:
        file: The path of the library.
        takes: For each name, one letter for the return type and one for each argument; addresses are integers.
    """
    try:
        library = ctypes.CDLL(file)
    except (OSError, TypeError):
        return {}
    made = {name: getattr(library, name, None) for name in takes}
    for function, kinds in zip(made.values(), takes.values(), strict=True):
        if function is None:
            return {}
        function.restype, *function.argtypes = [C[kind] for kind in kinds]
    return made


def bound(kernel: Callable[..., None], functions: Mapping[str, Any]) -> Callable[..., None]:
    """Return a copy of a Python function whose global names refer to the given functions."""
    return FunctionType(kernel.__code__, kernel.__globals__ | dict(functions), kernel.__name__)

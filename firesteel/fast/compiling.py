"""How loops are compiled where numba is installed, kept for other processes, and left to NumPy where that fails.

`kernels/` has the loops, `chain.py` and `team.py` make more of them.
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

__all__ = ["Broken", "Compiled", "at_hand", "bound", "compiled", "compiled_with", "declared"]


WORTH = 10_000
"""Numbers below which NumPy's passes are not worth compiling."""
SETTINGS: dict[str, Any] = {"nogil": True, "error_model": "numpy"}


class Broken(Exception):
    """Compiled code has not done its work, as its cause says, and may have done a part of it."""


STORE: Any = None
"""Where machine code is kept for other processes; `fast/compiled.py` has it.  None: nowhere."""
ON = True
"""Whether anything is compiled in this process."""
RUNS = Counter[str]()
"""How often Python has called each kernel, by name."""


def compiled(kernel: Callable[..., None], numbers: int) -> Callable[..., None] | None:
    """Return the kernel compiled, or None where so few numbers are not worth it or numba is not installed."""
    return _compiled(kernel) if ON and numbers >= WORTH else None


def at_hand(kernel: Callable[..., None], numbers: int) -> Callable[..., None] | None:
    """Return what `compiled` does where numba is loaded: scoring goes through a million rows before that pays."""
    return compiled(kernel, numbers) if "numba" in sys.modules else None


@functools.cache
def _compiled(kernel: Callable[..., None]) -> Callable[..., None] | None:
    return Compiled(kernel, {}) if _numba() else None


def compiled_with(kernel: Callable[..., None], functions: Mapping[str, Any]) -> Callable[..., None] | None:
    """Return a kernel that calls these functions, compiled; or None without numba, or without a place for a cache.

    functions: those of ctypes, or compiled kernels, by the names that the kernel calls them by.
    Compiling takes seconds, which a process without a cache would spend each time.
    """
    return Compiled(kernel, functions) if _numba() and STORE and STORE.usable() else None


@functools.cache
def _numba() -> Any:
    """Return numba, or None where it is not installed."""
    try:
        # in a thread that Ctrl-C does not interrupt: half of an import stays behind for ever
        pool = importlib.import_module("concurrent.futures").ThreadPoolExecutor
        numba = find_spec("numba") and pool(1).submit(importlib.import_module, "numba").result()
        if numba and numba.config.DISABLE_JIT:
            raise RuntimeError("NUMBA_DISABLE_JIT is set")
    except Exception as error:
        _raise("numba cannot be used", error)
    return numba


class Compiled:
    """A kernel that is compiled when it is called, or was in another process.  What goes wrong in it is Broken.

    digest: of all that is compiled together: the code, where it stands, and what its names mean, those of the kernels
    it calls too.
    """

    def __init__(self, kernel: Callable[..., None], functions: Mapping[str, Any]) -> None:
        code, meant = kernel.__code__, kernel.__globals__ | dict(functions)
        names = [kernel.__module__, *((name, _said(meant.get(name))) for name in code.co_names)]
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
        """Return what numba once compiled for arguments of these kinds, or None; numba calls it."""
        target.refresh()
        data = STORE.read(name := self._kept_as(kinds, target)) if STORE else None
        rebuild = importlib.import_module("numba.core.compiler").CompileResult._rebuild
        try:
            return None if data is None else rebuild(target, *pickle.loads(data))
        except Exception:
            STORE.write(name, b"")  # else the next process would fail too
            raise

    def save_overload(self, kinds: Any, result: Any) -> None:
        """Keep what numba has compiled; numba calls it."""
        if STORE and not result.library.has_dynamic_globals:
            dumps = importlib.import_module("numba.core.serialize").dumps
            STORE.write(self._kept_as(kinds, result.target_context), dumps(result._reduce()))

    def _kept_as(self, kinds: Any, target: Any) -> str:
        """Return the name of machine code: of this kernel, for these arguments, on this CPU, by these versions."""
        names = ("firesteel", "numba", "llvmlite", "numpy")
        versions = [importlib.import_module(name).__version__ for name in names]
        which = [(str(kind), getattr(kind, "fields", None)) for kind in getattr(kinds, "args", kinds)]
        versions.append(platform.python_version())
        return f"{self.name}-{_sum(self.digest, SETTINGS, which, target.codegen().magic_tuple(), versions)[:32]}"


def _sum(*parts: Any) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def _callable(function: Any) -> Any:
    """Return what compiled code calls: a kernel, or a function of C by its name."""
    if isinstance(function, Compiled):
        return function.dispatcher
    numba, binding = _numba(), importlib.import_module("llvmlite.binding")
    kind = importlib.import_module("numba.core.typing.ctypes_utils").from_ctypes
    binding.add_symbol(function.__name__, ctypes.cast(function, ctypes.c_void_p).value)
    return numba.types.ExternalFunction(function.__name__, kind(function.restype)(*map(kind, function.argtypes)))


def _said(value: Any) -> Any:
    """Return what tells the meaning of a name from others."""
    if isinstance(value, Compiled):
        return value.digest
    if hasattr(value, "argtypes"):
        return value.__name__, value.restype, value.argtypes
    return value.tobytes() if isinstance(value, np.ndarray) else getattr(value, "__name__", repr(value))


def _raise(what: str, error: Exception) -> NoReturn:
    """Raise Broken, or what a handler of signals has raised, Ctrl-C's among it.

    Python runs handlers wherever it is, and numba may hide what they raise behind an error of its own.  What a caller
    has caught before is no part of it.
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
    """Return functions in C of the library in a file, or of this process, or nothing if one is not there.

    takes: by their names, a letter for what each returns, and one for each argument; an address is a whole number.
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
    """Return a copy of a kernel for which these names mean these functions."""
    return FunctionType(kernel.__code__, kernel.__globals__ | dict(functions), kernel.__name__)

"""Compiled code is kept where nobody else can write, checked before it is loaded, and done without where it fails.

`fast/compiling.py` compiles; this module has its store, and has NumPy do again what compiled code has not done.
"""

import contextlib
import hashlib
import os
import stat
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from firesteel.fast import compiling

__all__ = ["Files", "surely"]

T = TypeVar("T")
FLAGS = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
LARGEST = 1 << 26
"""Bytes of a file of machine code; there is none with a hundredth of it."""
UNUSED = 30 * 86_400
"""Seconds after which what nobody has read is removed: other versions' code, and what a killed process has begun."""


def surely(made: Callable[[], T]) -> T:
    """Return what is made, with NumPy alone if compiled code fails: then it is made again, from its beginning."""
    try:
        return made()
    except compiling.Broken as broken:
        if compiling.ON:
            compiling.ON = False
            _warn(
                f"compiled code failed: {broken} ({type(broken.__cause__).__name__}: {broken.__cause__}).  From now "
                "on NumPy computes everything in this process: the same results, but more slowly.  To do: unset "
                "NUMBA_DISABLE_JIT if it is set, and free memory if it was short; else install numba and llvmlite "
                "anew, or uninstall them"
            )
    return made()


def _warn(text: str) -> None:
    warnings.warn(" ".join(text.split()), RuntimeWarning, stacklevel=3)


class Files:
    """A folder of this user's in which nobody else may write, for what is read there is run.

    A file begins with the SHA-256 of its name and of what follows.
    """

    warned = False

    @property
    def folder(self) -> Path:
        """Where the files are: beside numba's, if that place was named, or in the user's cache."""
        named = os.environ.get("NUMBA_CACHE_DIR") or os.environ.get("XDG_CACHE_HOME")
        return Path(named or os.path.expanduser("~/.cache"), "firesteel", "kernels")

    def usable(self) -> bool:
        """Return whether what is written can be read again; warn if not."""
        try:
            self._make()
        except OSError as error:
            self._warn("networks train without most of the compiled code, more slowly", error)
            return False
        return True

    def read(self, name: str) -> bytes | None:
        """Return what was written under a name, or None: it is not whole, empty, or may be others'."""
        try:
            _check(os.lstat(self.folder), stat.S_ISDIR)
            with open(self.folder / name, "rb", opener=lambda path, flags: os.open(path, flags | FLAGS)) as file:
                _check(os.fstat(file.fileno()), stat.S_ISREG)
                data = file.read(LARGEST)
            if _sum(name, data[32:]) != data[:32]:
                raise OSError(f"{name} is damaged")
        except FileNotFoundError:
            return None
        except OSError as error:
            self._warn("what was compiled before is compiled again", error)
            return None
        return data[32:] or None

    def write(self, name: str, data: bytes) -> None:
        """Keep bytes under a name, or none; warn where that cannot be."""
        part = ""
        try:
            self._make()
            handle, part = tempfile.mkstemp(".part", dir=self.folder)
            with open(handle, "wb") as file:
                file.write(_sum(name, data) + data)
            os.replace(part, self.folder / name)
        except OSError as error:
            self._warn("what is compiled in this process cannot be kept for others", error)
        finally:
            with contextlib.suppress(OSError):
                for old in self.folder.glob("*[-.]*"):  # not read, nor written, for so long
                    if str(old) == part or max(old.stat()[7:9]) < time.time() - UNUSED:
                        old.unlink()

    def _make(self) -> None:
        if not self.folder.is_absolute():
            raise OSError("the folder has no absolute path")
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _check(os.lstat(self.folder), stat.S_ISDIR)
        if not os.access(self.folder, os.W_OK):
            raise OSError("nothing can be written there")

    def _warn(self, what: str, error: OSError) -> None:
        if not self.warned:
            self.warned = True
            _warn(
                f"{what} ({self.folder}: {error.strerror or error}).  The results are the same.  To do: remove that "
                "folder, or set XDG_CACHE_HOME to one of yours, with room, in which nobody else may write"
            )


def _sum(name: str, data: bytes) -> bytes:
    return hashlib.sha256(name.encode() + data).digest()


def _check(found: os.stat_result, kind: Callable[[int], bool]) -> None:
    """Raise OSError where a file or a folder is none, or others may have written it."""
    if not kind(found.st_mode):
        raise OSError("it is a file of another kind")
    if hasattr(os, "geteuid") and (found.st_uid != os.geteuid() or found.st_mode & 0o022):
        raise OSError("others may write it")


compiling.STORE = Files()

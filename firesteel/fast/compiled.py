"""Cache of compiled machine code: private to the user, verified before loading, and bypassed on failure.

`fast/compiling.py` compiles.  This module stores the result, and repeats failed compiled work in NumPy.
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

__all__ = ["Files", "with_fallback"]

T = TypeVar("T")
FLAGS = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
LARGEST = 1 << 26
"""The largest file of machine code, in bytes; real ones are less than a hundredth of it."""
UNUSED = 30 * 86_400
"""Seconds after which unread files are removed: code of other versions, and leftovers of killed processes."""


def with_fallback(made: Callable[[], T]) -> T:
    """Call a function; if compiled code fails in it, warn and call it again with NumPy alone."""
    try:
        return made()
    except compiling.Broken as broken:
        if compiling.ON:
            compiling.ON = False
            _warn(
                f"compiled code failed: {broken} ({type(broken.__cause__).__name__}: {broken.__cause__}).  From now "
                "on this process uses NumPy alone: the results are the same, but slower.  To do: unset "
                "NUMBA_DISABLE_JIT if it is set, and free memory if it was short; otherwise reinstall or uninstall "
                "numba and llvmlite"
            )
    return made()


def _warn(text: str) -> None:
    warnings.warn(" ".join(text.split()), RuntimeWarning, stacklevel=3)


class Files:
    """Files in the cache folder of machine code, which only this user may write to, because they are executed.

    A file starts with the SHA-256 of its name and content.
    """

    warned = False

    @property
    def folder(self) -> Path:
        """The cache folder: below NUMBA_CACHE_DIR if that is set, otherwise below the user's cache folder."""
        named = os.environ.get("NUMBA_CACHE_DIR") or os.environ.get("XDG_CACHE_HOME")
        return Path(named or os.path.expanduser("~/.cache"), "firesteel", "kernels")

    def usable(self) -> bool:
        """Return whether the cache folder of compiled code can be written and read; warn if it cannot."""
        try:
            self._make()
        except OSError as error:
            self._warn("networks train more slowly, without most of the compiled code", error)
            return False
        return True

    def read(self, name: str) -> bytes | None:
        """Read what the cache stores under a name; None if it is missing, damaged, or writable by other users."""
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
            self._warn("cached machine code cannot be used and is compiled again", error)
            return None
        return data[32:] or None

    def write(self, name: str, data: bytes) -> None:
        """Store content under a name in the cache; warn if that is impossible."""
        part = ""
        try:
            self._make()
            handle, part = tempfile.mkstemp(".part", dir=self.folder)
            with open(handle, "wb") as file:
                file.write(_sum(name, data) + data)
            os.replace(part, self.folder / name)
        except OSError as error:
            self._warn("machine code cannot be cached for other processes", error)
        finally:
            with contextlib.suppress(OSError):
                for old in self.folder.glob("*[-.]*"):  # neither read nor written recently
                    if str(old) == part or max(old.stat()[7:9]) < time.time() - UNUSED:
                        old.unlink()

    def _make(self) -> None:
        if not self.folder.is_absolute():
            raise OSError("the folder has no absolute path")
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _check(os.lstat(self.folder), stat.S_ISDIR)
        if not os.access(self.folder, os.W_OK):
            raise OSError("it is not writable")

    def _warn(self, what: str, error: OSError) -> None:
        if not self.warned:
            self.warned = True
            _warn(
                f"{what} ({self.folder}: {error.strerror or error}).  The results are the same.  To do: remove that "
                "folder, or set XDG_CACHE_HOME to a folder with free space that only you can write to"
            )


def _sum(name: str, data: bytes) -> bytes:
    return hashlib.sha256(name.encode() + data).digest()


def _check(found: os.stat_result, kind: Callable[[int], bool]) -> None:
    """Raise OSError if a path is not of the given kind, or others may write to it."""
    if not kind(found.st_mode):
        raise OSError("it is not of the expected kind")
    if hasattr(os, "geteuid") and (found.st_uid != os.geteuid() or found.st_mode & 0o022):
        raise OSError("others may write it")


compiling.STORE = Files()

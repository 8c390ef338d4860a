"""Files: only regular files are read, and a file is written completely or not at all.

Everything that firesteel reads is opened by `open_plain`, which refuses pipes, devices and folders, so that no read
blocks.  Everything that it writes at once goes through `replacing`: into a temporary file in the target's folder,
which its writer keeps locked, so that a later writer removes the temporary files of killed writers only.  Both raise
OSError; callers turn it into their own error, or use `named`.
"""

import errno
import os
import re
import secrets
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from firesteel.errors import ConfigError, StoreError

KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}
SUFFIX = ".firesteel-part"
STEM = 50
"""The characters of the target's name in the name of its temporary file; file systems allow 255 bytes."""


def path_of(given: Any, name: str = "path") -> Path:
    """Convert a user's argument to a `Path`; raise ConfigError if it is neither text nor a path.

    Args:
        given: A text or path-like object.
        name: The name of the argument.

    Raises:
        ConfigError: If it is not a path, such as a file descriptor, or no file can have this name (`config-path`).

    Example:
        >>> path_of(5)
        Traceback (most recent call last):
        firesteel.errors.ConfigError: path=5: give a path, as text or a pathlib.Path [config-path]
    """
    text = os.fspath(given) if isinstance(given, os.PathLike) else given
    with suppress(UnicodeError):
        if isinstance(text, str) and text and b"\0" not in os.fsencode(text):
            return Path(text)
    raise ConfigError(f"{name}={given!r}: give a path, as text or a pathlib.Path", code="config-path")


def open_plain(path: str | os.PathLike[str]) -> BinaryIO:
    """Open a regular file for reading.

    Raises:
        OSError: If the file cannot be opened, or is not a regular file; it never blocks.

    Example:
        >>> open_plain("/dev/null")
        Traceback (most recent call last):
        OSError: [Errno 22] it is a device, not a plain file: '/dev/null'
    """
    _check_plain(os.stat(path), path)  # opening a device may have effects
    file = open(path, "rb", opener=_opened)
    try:
        _check_plain(os.fstat(file.fileno()), path)  # the file may have been replaced meanwhile
    except BaseException:
        file.close()
        raise
    return file


def _opened(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _check_plain(status: os.stat_result, path: str | os.PathLike[str]) -> None:
    kind = stat.S_IFMT(status.st_mode)
    if kind != stat.S_IFREG:
        raise OSError(errno.EINVAL, f"it is {KINDS.get(kind, 'something else')}, not a plain file", os.fspath(path))


@contextmanager
def replacing(path: str | os.PathLike[str], over: bool = True) -> Iterator[BinaryIO]:
    """Context manager: a temporary file that replaces `path` at the end, after it was flushed to disk.

    Args:
        path: The target, in an existing folder.
        over: Whether an existing file is replaced; if not, FileExistsError is raised.

    Raises:
        OSError: If the file cannot be written; the target is then unchanged.
    """
    target = Path(path)
    with suppress(FileNotFoundError):  # a device or a pipe is not replaced by a file
        _check_plain(os.stat(target), target)
    folder, stem = os.fspath(target.parent), f".{target.name[:STEM]}."
    _sweep(folder, stem)
    file = _part(folder, stem)
    try:
        with file:
            yield file
            file.flush()
            os.fsync(file.fileno())
            if over or not _linked(file.name, target):
                os.replace(file.name, target)
    finally:
        with suppress(OSError):
            os.unlink(file.name)
    flush_folder(folder)


def _part(folder: str, stem: str) -> BinaryIO:
    """Create the temporary file of a target, locked before another writer's sweep can remove it."""
    while True:
        file = open(os.path.join(folder, f"{stem}{secrets.token_hex(4)}{SUFFIX}"), "xb")
        _lock(file.fileno())
        if os.path.exists(file.name):
            return file
        file.close()


def _sweep(folder: str, stem: str) -> None:
    """Remove temporary files of a target that nobody has locked: killed processes left them behind."""
    part = re.compile(rf"{re.escape(stem)}[0-9a-f]{{8}}{re.escape(SUFFIX)}")
    with suppress(OSError):
        for name in filter(part.fullmatch, os.listdir(folder)):
            with suppress(OSError), open(os.path.join(folder, name), "r+b") as left:
                if _lock(left.fileno()):
                    os.unlink(left.name)


def _lock(descriptor: int) -> bool:
    """Lock a file while it is open; return whether that succeeded."""
    try:
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (ImportError, OSError):  # locked by another process, or locks are not supported
        return False
    return True


def _linked(part: str, target: Path) -> bool:
    """Link a complete file to its target; return False if links are not supported.  Raises FileExistsError."""
    try:
        os.link(part, target)
    except FileExistsError:
        raise
    except OSError:
        return False
    return True


def flush_folder(folder: str | os.PathLike[str]) -> None:
    """Flush a folder to disk, where supported, so that a rename in it survives a power failure."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextmanager
def named(path: str | os.PathLike[str], verb: str = "written") -> Iterator[None]:
    """Context manager: turn errors of the operating system into a StoreError with path and reason."""
    try:
        yield
    except (OSError, ValueError, MemoryError) as error:
        reason = getattr(error, "strerror", None) or str(error) or "there is not enough memory"
        code = "store-read" if verb == "read" else "store-write"
        raise StoreError(f"{os.fspath(path)} cannot be {verb}: {reason}", code=code) from None


def check_folder(folder: str | os.PathLike[str]) -> None:
    """Create a folder and its parents; raise StoreError if it cannot be created or written to."""
    with named(folder):
        os.makedirs(folder, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()


def check_place(path: str | os.PathLike[str]) -> None:
    """Create the folder of a file; raise StoreError if the file could not be written there."""
    check_folder(Path(path).parent)
    with named(path), suppress(FileNotFoundError):
        _check_plain(os.stat(path), path)

"""Plain files: only such are read, and one is written whole or not at all.

Whatever firesteel reads is opened by `open_plain`, so that a pipe, a device or a folder in its place is refused and
nothing waits for it.  Whatever firesteel writes at once goes through `replacing`: into a part in the target's folder
that its writer holds locked, so that a later writer removes the parts of writers that were killed, and no others.
Both raise OSError; callers put it in their own words, or in those of `named`.
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
"""Characters of the target's name that the name of its part has: a file system allows 255 bytes in all."""


def path_of(given: Any, name: str = "path") -> Path:
    """Return a path that a user gave.

    Args:
        given: Text, or what `os.fspath` makes text of.
        name: What the argument is called.

    Raises:
        ConfigError: If it is none, such as the number of an open file, or no file can be called so.

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
    """Open a plain file for reading.

    Raises:
        OSError: If the path leads to anything else, which is never waited for, or the file cannot be opened.

    Example:
        >>> open_plain("/dev/null")
        Traceback (most recent call last):
        OSError: [Errno 22] it is a device, not a plain file: '/dev/null'
    """
    _check_plain(os.stat(path), path)  # a device is not even opened
    file = open(path, "rb", opener=_opened)
    try:
        _check_plain(os.fstat(file.fileno()), path)  # nor is what has taken the file's place meanwhile
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
    """Give a file to write to, which takes the place of `path` once it is whole and on the disk.

    Args:
        path: The target, in a folder that exists.
        over: Whether a file that is there is replaced; if not, FileExistsError is raised.

    Raises:
        OSError: If it cannot be written; then all is as it was.
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
    """Make the part of a target, and lock it before a sweep takes it for one that was left."""
    while True:
        file = open(os.path.join(folder, f"{stem}{secrets.token_hex(4)}{SUFFIX}"), "xb")
        _lock(file.fileno())
        if os.path.exists(file.name):
            return file
        file.close()


def _sweep(folder: str, stem: str) -> None:
    """Remove what killed writers of a target have left in its folder: parts that nobody holds locked."""
    part = re.compile(rf"{re.escape(stem)}[0-9a-f]{{8}}{re.escape(SUFFIX)}")
    with suppress(OSError):
        for name in filter(part.fullmatch, os.listdir(folder)):
            with suppress(OSError), open(os.path.join(folder, name), "r+b") as left:
                if _lock(left.fileno()):
                    os.unlink(left.name)


def _lock(descriptor: int) -> bool:
    """Lock a file for as long as it is open; return whether that was possible."""
    try:
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (ImportError, OSError):  # another holds it; or the system, or the disk, has no locks
        return False
    return True


def _linked(part: str, target: Path) -> bool:
    """Give a whole file its second name; return False where there are no links.  Raises FileExistsError."""
    try:
        os.link(part, target)
    except FileExistsError:
        raise
    except OSError:
        return False
    return True


def flush_folder(folder: str | os.PathLike[str]) -> None:
    """Make a rename in a folder survive a power cut, where folders can be opened."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextmanager
def named(path: str | os.PathLike[str], verb: str = "written") -> Iterator[None]:
    """Raise StoreError, with the path and the reason, for whatever the system refuses meanwhile."""
    try:
        yield
    except (OSError, ValueError, MemoryError) as error:
        reason = getattr(error, "strerror", None) or str(error) or "there is not enough memory"
        code = "store-read" if verb == "read" else "store-write"
        raise StoreError(f"{os.fspath(path)} cannot be {verb}: {reason}", code=code) from None


def check_folder(folder: str | os.PathLike[str]) -> None:
    """Make a folder, and those above it.  Raises StoreError if it cannot be made or nothing can be written in it."""
    with named(folder):
        os.makedirs(folder, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()


def check_place(path: str | os.PathLike[str]) -> None:
    """Make the folder of a file.  Raises StoreError if the file could not be written there."""
    check_folder(Path(path).parent)
    with named(path), suppress(FileNotFoundError):
        _check_plain(os.stat(path), path)

"""Opening, decompressing and writing files, shared by all readers and writers of data.

The content decides, not the name: gzip, bzip2 and xz files, also of several members, are decompressed up to a
plausible ratio; byte order marks are skipped; lines may end in LF, CR LF or CR.  Writers are atomic and never
overwrite.
"""

import bz2
import codecs
import functools
import io
import lzma
import os
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, TextIO, TypeVar

import numpy as np
from numpy.typing import NDArray

from firesteel._files import open_plain, replacing
from firesteel.errors import DataError

Parsed = TypeVar("Parsed")
HEAD, PIECE = 16, 2**20
"""Number of bytes that identify a file, and that are read at a time."""
LONGEST = 2**24
"""Greatest length of a line."""
FREELY, TIMES = 2**26, 200
"""Decompressed size in bytes that is always accepted, and the greatest compression ratio beyond it."""
PACKED: dict[bytes, tuple[str, Callable[[], Any]]] = {
    b"\x1f\x8b": ("gzip", functools.partial(zlib.decompressobj, wbits=31)),
    b"BZh": ("bzip2", bz2.BZ2Decompressor),
    b"\xfd7zXZ\0": ("xz", lzma.LZMADecompressor),
}
"""First bytes of supported compressed files, with the name of the format and a decompressor of one member."""
UNKNOWN = {
    b"(\xb5/\xfd": "is compressed with zstd: decompress it, or use gzip",
    b"\x04\x22M\x18": "is compressed with lz4: decompress it, or use gzip",
    b"7z\xbc\xaf": "is a 7z archive: unpack it",
}
"""First bytes of unsupported compressed files, and the remedy."""
NO_TEXT = {
    b"PK\x03\x04": "is a zip archive: unpack it; if it contains arrays, use --format numpy and the extension .npz",
    b"PAR1": "is Parquet: use --format parquet",
    b"\x89HDF": "is HDF5: convert it to Parquet or .npy",
    b"\x93NUMPY": "is a NumPy array: use --format numpy",
}
"""First bytes of files that are not text, and the remedy."""
MARKS = {
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}

# Reading


@contextmanager
def opened(path: Path, times: int = TIMES) -> Iterator[BinaryIO]:
    """Open a file for reading, and decompress it if its first bytes show that it is compressed.

    Args:
        path: A regular file; pipes and devices are refused.
        times: Greatest compression ratio.

    Raises:
        DataError: If it cannot be read (`data-file`), is damaged (`data-gzip`, `data-bzip2`, `data-xz`), is
            compressed in an unsupported way (`data-packed`), or is too large (`data-size`).
    """
    try:
        with open_plain(path) as file:
            head = _head(file)
            _refuse(path, head, UNKNOWN, "data-packed")
            packed = any(head.startswith(magic) for magic in PACKED)
            yield Unpacked(_Members(file, path, times)) if packed else file
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}", code="data-file") from None


@contextmanager
def opened_text(path: Path) -> Iterator[BinaryIO]:
    """Open a text file as `opened` does, and skip its byte order mark.

    Raises DataError also if it is UTF-16 or UTF-32 (`data-encoding`), or not text (`data-format`).
    """
    with opened(path) as file:
        head = _head(file)
        _refuse(path, head, NO_TEXT, "data-format")
        called = next((name for mark, name in MARKS.items() if head.startswith(mark)), None)
        if called is None and head.count(b"\0") >= max(2, len(head) // 3):
            called = "UTF-16 without a byte order mark"
        if called is not None:
            at = head.find(b"\0") if head[:1] < b"\x80" else 0
            raise DataError(
                f"{path}, line 1: byte {at + 1} is {head[at]:02x}, which is not UTF-8 but {called}: save the file as "
                "UTF-8",
                code="data-encoding",
            )
        if head.startswith(codecs.BOM_UTF8):
            file.read(len(codecs.BOM_UTF8))
        yield file


def lines_of(path: Path, file: BinaryIO) -> Iterator[bytes]:
    """Yield the lines of an open file without LF, CR LF or CR.  Raises DataError for a line that is too long.

    >>> list(lines_of(Path("rows"), io.BytesIO(b"1 2\\r\\n3\\r\\r4")))
    [b'1 2', b'3', b'', b'4']
    """
    rest, number = b"", 1
    while piece := file.read(PIECE):
        while piece.endswith(b"\r") and (more := file.read(1)):  # do not split CR LF
            piece += more
        lines = (rest + piece).replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        rest = lines.pop()
        number += len(lines)
        yield from lines
        if len(rest) > LONGEST:
            raise too_long(path, number)
    if rest:
        yield rest


def parsed_lines(
    path: Path, parse: Callable[[bytes], Parsed | None], code: str, remedy: str
) -> list[tuple[int, Parsed]]:
    """Parse a text file line by line.

    Args:
        path: The file.
        parse: Parses a line; None skips it, ValueError refuses it.
        code: Code of the error.
        remedy: What to do about wrong lines.

    Returns:
        The parsed lines with their numbers.

    Raises:
        DataError: With the first wrong line and the number of wrong lines; or if there are no rows (`data-empty`).
    """
    found: list[tuple[int, Parsed]] = []
    wrong, bad = "", 0
    with opened_text(path) as file:
        for line, text in enumerate(lines_of(path, file), 1):
            try:
                if (one := parse(text)) is not None:
                    found.append((line, one))
            except ValueError as error:
                wrong, bad = wrong or f"{path}, line {line}: {error}", bad + 1
    if bad:
        raise DataError(f"{wrong}; {bad:,} of {bad + len(found):,} lines are wrong: {remedy}", code=code)
    if not found:
        raise DataError(f"{path}: contains no rows: give at least one", code="data-empty")
    return found


def refuse_rows(path: Path | str, column: str, wrong: NDArray[np.bool_], what: str, remedy: str, code: str) -> None:
    """Raise DataError if the mask `wrong` marks any row; the message shows the first and their number."""
    if wrong.any():
        raise DataError(
            f"{path}: column {column!r} holds {what} at row {int(wrong.argmax())}; {int(wrong.sum()):,} of "
            f"{len(wrong):,} rows have such values: {remedy}",
            code=code,
        )


def fill(array: NDArray[Any], read: Callable[[int], bytes]) -> int:
    """Fill an array with bytes from the function `read`; return the number of bytes read."""
    flat, done = array.reshape(-1).view(np.uint8), 0
    while done < flat.size and (piece := read(min(PIECE, flat.size - done))):
        flat[done : done + len(piece)] = np.frombuffer(piece, np.uint8)
        done += len(piece)
    return done


def text_lines(path: Path, file: TextIO) -> Iterator[str]:
    """Yield the lines of an open text file, line ends included.  Raises DataError for a line that is too long."""
    for number, line in enumerate(iter(functools.partial(file.readline, LONGEST + 1), ""), 1):
        if len(line) > LONGEST:
            raise too_long(path, number)
        yield line


def too_long(path: Path, line: int) -> DataError:
    """Return the DataError to raise for a line that is too long."""
    what = f"the line has more than {LONGEST:,} characters: is this a text file?"
    return DataError(f"{path}, line {line:,}: {what}", code="data-line")


def _head(file: Any) -> bytes:
    """Return the first 16 bytes (or fewer) of a newly opened file, without moving its position."""
    head: bytes = file.peek(HEAD)[:HEAD]
    return head


def _refuse(path: Path, head: bytes, kinds: dict[bytes, str], code: str) -> None:
    for magic, what in kinds.items():
        if head.startswith(magic):
            raise DataError(f"{path}: {what}", code=code)


class Unpacked(io.BufferedReader):
    """Buffered reader of the decompressed content of a file; `packed` is the unbuffered reader below it."""

    def __init__(self, packed: "_Members") -> None:
        super().__init__(packed)
        self.packed = packed


class _Members(io.RawIOBase):
    """Unbuffered reader that decompresses a gzip, bzip2 or xz file, member by member, no more than requested.

    Args:
        file: The file, at its first byte.
        path: Its name, for messages.
        times: Greatest compression ratio, beyond FREELY bytes.

    Raises:
        DataError: If the file is truncated, damaged or too large.
    """

    def __init__(self, file: BinaryIO, path: Path, times: int) -> None:
        self.file, self.path, self.at, self.members, self.rest = file, path, 0, 1, b""
        self.size = os.fstat(file.fileno()).st_size
        self.most = max(FREELY, times * self.size)
        self.magic = next(magic for magic in PACKED if _head(file).startswith(magic))
        self.kind, self.fresh = PACKED[self.magic]
        self.inner = self.fresh()

    def readable(self) -> bool:
        return True

    def tell(self) -> int:
        """Return the position: the number of bytes decompressed so far."""
        return self.at

    def readinto(self, buffer: Any, /) -> int:
        """Decompress the next bytes into a buffer; return their number, 0 at the end of the file."""
        out = b""
        while len(out) < min(HEAD, len(buffer)):
            if self.inner.eof and not self._next_member():
                break
            packed = getattr(self.inner, "unconsumed_tail", b"")
            wants = getattr(self.inner, "needs_input", not packed)
            packed = self._packed() if wants else packed
            try:
                more = self.inner.decompress(packed, len(buffer) - len(out))
            except (zlib.error, lzma.LZMAError, OSError, EOFError, ValueError) as error:
                raise self.damaged(f"an intact compressed stream, found damage ({error})") from None
            if wants and not packed and not more and not self.inner.eof:
                raise self.damaged("more compressed data, found the end of the file")
            out += more
        buffer[: len(out)] = out
        self.at += len(out)
        if self.at > self.most:
            what = f"{self.size:,} bytes decompress to more than {self.most:,}: decompress it first if you trust it"
            raise DataError(f"{self.path}: {what}", code="data-size")
        return len(out)

    def _packed(self) -> bytes:
        packed, self.rest = self.rest or self.file.read(PIECE >> 4), b""
        return packed

    def _next_member(self) -> bool:
        """Begin the file's next member (compressed stream); return False at the end of the file."""
        rest: bytes = self.inner.unused_data
        while len(rest) < len(self.magic) and (more := self.file.read(PIECE >> 4)):
            rest += more
        if not rest:
            return False
        if not rest.startswith(self.magic):
            raise self.damaged("the end of the file, found bytes after the compressed stream")
        self.inner, self.members, self.rest = self.fresh(), self.members + 1, rest
        return True

    def damaged(self, what: str) -> DataError:
        """Return the DataError for damaged content; `what` says what was expected and what was read."""
        message = (
            f"{self.path}: {self.kind}, after decompressed byte {self.at}: expected {what}; download the file again"
        )
        return DataError(message, code=f"data-{self.kind}")


# Writing


def must_not_exist(path: Path) -> None:
    """Raise DataError if the file exists; files are never overwritten."""
    if os.path.exists(path):  # False without permission: writing then reports it
        raise DataError(f"{path}: already exists; delete it, or choose another folder", code="data-exists")


def array_of(values: Any, kinds: str = "biuf", what: str = "numbers") -> NDArray[Any]:
    """Convert values to an array for writing.  Raises DataError if its dtype kind is not in `kinds`.

    >>> array_of([1, 2.5])
    array([1. , 2.5])
    """
    try:
        array = np.asarray(values)
    except ValueError:
        raise DataError("ragged rows cannot be written: all must have the same length", code="data-shape") from None
    if array.dtype.kind not in kinds:
        raise DataError(f"{array.dtype} values cannot be written: they must be {what}", code="data-shape")
    return array


@contextmanager
def written(path: Path) -> Iterator[BinaryIO]:
    """Open a new file for an atomic write: it appears under its name only when it is complete.

    Raises DataError if it exists (`data-exists`) or cannot be written (`data-write`).

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with written(Path(folder) / "whole.txt") as file:
    ...         _ = file.write(b"all of it")
    ...     os.listdir(folder)
    ['whole.txt']
    """
    must_not_exist(path)
    try:
        with replacing(path, over=False) as file:
            yield file
    except FileExistsError:
        must_not_exist(path)  # created meanwhile by another process
        raise
    except OSError as error:
        raise DataError(f"{path}: cannot be written: {error.strerror or error}", code="data-write") from error

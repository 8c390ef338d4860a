"""Files of rows and of settings: every reader opens its file here, and every writer.

A file is read by what is in it, not by its name: gzip, bzip2 and xz are unpacked, of one member or several, up to
what a file of that size may hold; byte order marks are skipped, and lines end in any way.  Writers never write over a
file, and never half of one.
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
"""Bytes that say what a file is, and that are read at a time."""
LONGEST = 2**24
"""The most letters that a line may have."""
FREELY, TIMES = 2**26, 200
"""Bytes that any packed file may hold, and as many times its size as a larger one may."""
PACKED: dict[bytes, tuple[str, Callable[[], Any]]] = {
    b"\x1f\x8b": ("gzip", functools.partial(zlib.decompressobj, wbits=31)),
    b"BZh": ("bzip2", bz2.BZ2Decompressor),
    b"\xfd7zXZ\0": ("xz", lzma.LZMADecompressor),
}
"""What files that are unpacked begin with, what packed them, and what unpacks one of their members."""
UNKNOWN = {
    b"(\xb5/\xfd": "is packed by zstd: unpack it, or pack it by gzip",
    b"\x04\x22M\x18": "is packed by lz4: unpack it, or pack it by gzip",
    b"7z\xbc\xaf": "is a 7z archive: unpack it",
}
"""What files that are packed otherwise begin with, and what to do about them."""
NO_TEXT = {
    b"PK\x03\x04": "is a zip archive: unpack it; if it holds arrays, give --format numpy and the ending .npz",
    b"PAR1": "is Parquet: give --format parquet",
    b"\x89HDF": "is HDF5: write it as Parquet or .npy",
    b"\x93NUMPY": "is an array of NumPy's: give --format numpy",
}
"""What files that hold no text begin with, and what to do about them."""
MARKS = {
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}

# Reading


@contextmanager
def opened(path: Path, times: int = TIMES) -> Iterator[BinaryIO]:
    """Open a file for reading, unpacked if its first bytes say that it is packed.

    Args:
        path: A plain file; anything else is refused, and not waited for.
        times: As many times its size as a packed file may hold.

    Raises:
        DataError: It cannot be read (`data-file`), is damaged (`data-gzip`, `data-bzip2`, `data-xz`), is packed in a
            way that is not known (`data-packed`), or holds too much (`data-size`).
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
    """Open a file of text as `opened` does, behind its byte order mark.

    Raises DataError too where it is UTF-16 or UTF-32 (`data-encoding`), or no text at all (`data-text-file`).
    """
    with opened(path) as file:
        head = _head(file)
        _refuse(path, head, NO_TEXT, "data-format")
        called = next((name for mark, name in MARKS.items() if head.startswith(mark)), None)
        if called is None and head.count(b"\0") >= max(2, len(head) // 3):
            called = "UTF-16 without a mark"
        if called is not None:
            at = head.find(b"\0") if head[:1] < b"\x80" else 0
            raise DataError(
                f"{path}, line 1: byte {at + 1} is {head[at]:02x}, which is not UTF-8: the text is {called}: save it "
                "as UTF-8",
                code="data-encoding",
            )
        if head.startswith(codecs.BOM_UTF8):
            file.read(len(codecs.BOM_UTF8))
        yield file


def lines_of(path: Path, file: BinaryIO) -> Iterator[bytes]:
    """Yield the lines of an open file without their ends: LF, CR LF or CR.  Raises DataError for a long one.

    >>> list(lines_of(Path("rows"), io.BytesIO(b"1 2\\r\\n3\\r\\r4")))
    [b'1 2', b'3', b'', b'4']
    """
    rest, number = b"", 1
    while piece := file.read(PIECE):
        while piece.endswith(b"\r") and (more := file.read(1)):  # of CR LF the two stay together
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
    """Return the number of each line of a text file, and what `parse` makes of it; a line that is None is left out.

    Raises DataError with the first line for which `parse` raises ValueError, and how many such lines there are.
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
        raise DataError(f"{path}: there is no row in it: give at least one", code="data-empty")
    return found


def refuse_rows(path: Path | str, column: str, wrong: NDArray[np.bool_], what: str, remedy: str, code: str) -> None:
    """Raise DataError where a row is wrong, with the first such row and how many there are."""
    if wrong.any():
        raise DataError(
            f"{path}: column {column!r} holds {what} at row {int(wrong.argmax())}; {int(wrong.sum()):,} of "
            f"{len(wrong):,} rows are like that: {remedy}",
            code=code,
        )


def fill(array: NDArray[Any], read: Callable[[int], bytes]) -> int:
    """Read into an array, a piece at a time; return how many bytes came."""
    flat, done = array.reshape(-1).view(np.uint8), 0
    while done < flat.size and (piece := read(min(PIECE, flat.size - done))):
        flat[done : done + len(piece)] = np.frombuffer(piece, np.uint8)
        done += len(piece)
    return done


def text_lines(path: Path, file: TextIO) -> Iterator[str]:
    """Yield the lines of an open text with their ends.  Raises DataError for a long one."""
    for number, line in enumerate(iter(functools.partial(file.readline, LONGEST + 1), ""), 1):
        if len(line) > LONGEST:
            raise too_long(path, number)
        yield line


def too_long(path: Path, line: int) -> DataError:
    """Return the error for a line that never seems to end."""
    what = f"the line has more than {LONGEST:,} letters: is it text, and of lines?"
    return DataError(f"{path}, line {line:,}: {what}", code="data-line")


def _head(file: Any) -> bytes:
    """Return the first bytes of a file that has just been opened."""
    head: bytes = file.peek(HEAD)[:HEAD]
    return head


def _refuse(path: Path, head: bytes, kinds: dict[bytes, str], code: str) -> None:
    for magic, what in kinds.items():
        if head.startswith(magic):
            raise DataError(f"{path}: {what}", code=code)


class Unpacked(io.BufferedReader):
    """What is packed in a file, unpacked.  packed: the file."""

    def __init__(self, packed: "_Members") -> None:
        super().__init__(packed)
        self.packed = packed


class _Members(io.RawIOBase):
    """What is packed in a file, one member after another; no more is unpacked than is asked for.

    Args:
        file: The file, at its first byte.
        path: What it is called in messages.
        times: As many times its size as may come of it, beyond FREELY bytes.

    Raises:
        DataError: It is cut or damaged, or holds too much.
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
        """Return how many bytes have been unpacked."""
        return self.at

    def readinto(self, buffer: Any, /) -> int:
        """Unpack into a buffer; return how many bytes that gave, 0 at the end."""
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
                raise self.damaged(f"an intact stream, found damage ({error})") from None
            if wants and not packed and not more and not self.inner.eof:
                raise self.damaged("more of the stream, found the end of the file")
            out += more
        buffer[: len(out)] = out
        self.at += len(out)
        if self.at > self.most:
            what = f"{self.size:,} bytes unpack to more than {self.most:,}: unpack it yourself, if that is right"
            raise DataError(f"{self.path}: {what}", code="data-size")
        return len(out)

    def _packed(self) -> bytes:
        packed, self.rest = self.rest or self.file.read(PIECE >> 4), b""
        return packed

    def _next_member(self) -> bool:
        """Begin with the next member; return False where the file ends."""
        rest: bytes = self.inner.unused_data
        while len(rest) < len(self.magic) and (more := self.file.read(PIECE >> 4)):
            rest += more
        if not rest:
            return False
        if not rest.startswith(self.magic):
            raise self.damaged("the end of the file, found bytes behind the stream")
        self.inner, self.members, self.rest = self.fresh(), self.members + 1, rest
        return True

    def damaged(self, what: str) -> DataError:
        """Return the error that says what was expected and found."""
        message = f"{self.path}: {self.kind}, after unpacked byte {self.at}: expected {what}; fetch the file again"
        return DataError(message, code=f"data-{self.kind}")


# Writing


def must_not_exist(path: Path) -> None:
    """Raise DataError if there is such a file, which is never overwritten."""
    if os.path.exists(path):  # False where one may not look: writing says why
        raise DataError(f"{path}: is there already; delete it, or name another folder", code="data-exists")


def array_of(values: Any, kinds: str = "biuf", what: str = "numbers") -> NDArray[Any]:
    """Return what is to be written as an array; raise DataError unless it is of one of NumPy's kinds.

    >>> array_of([1, 2.5])
    array([1. , 2.5])
    """
    try:
        array = np.asarray(values)
    except ValueError:
        raise DataError("ragged rows cannot be written: all must have as many values", code="data-shape") from None
    if array.dtype.kind not in kinds:
        raise DataError(f"{array.dtype} values cannot be written: they must be {what}", code="data-shape")
    return array


@contextmanager
def written(path: Path) -> Iterator[BinaryIO]:
    """Give a file to write to, which gets its name when all is written.

    Raises DataError where it is there already (`data-exists`) or cannot be written (`data-write`).

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
        must_not_exist(path)  # another has taken the name meanwhile
        raise
    except OSError as error:
        raise DataError(f"{path}: cannot be written: {error.strerror or error}", code="data-write") from error

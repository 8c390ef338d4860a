"""Reads and writes IDX files, the container MNIST comes in, and refuses whatever is not exactly one.

A half-read image file trains a network on noise without complaint, so every size is checked here, once, and
the loaders behind trust the array.  `digits` and `cache` come next: they add a pinned checksum.
"""

import hashlib
import math
import os
import struct
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from firesteel._files import open_plain, path_of
from firesteel.datasets.files import Unpacked, array_of, fill, opened, written
from firesteel.errors import DataError

TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
MAX_DIMENSIONS = 8
MAX_BYTES = 2**31
TIMES = 1032
"""As many bytes can come of one, at most, that gzip packed; of other packers no more is taken either."""


def read_idx(path: str | os.PathLike[str]) -> NDArray[Any]:
    """The array in an IDX file, which may be packed by gzip, bzip2 or xz, whatever its name.

    Shape and type are those of the file's header: 1 to 8 dimensions, at most 2 GiB, of uint8, int8, int16,
    int32, float32 or float64, returned in this machine's byte order.

    Raises `DataError` when the file cannot be read (`data-file`), is not IDX or not of the declared size
    (`data-idx`), or what it is packed in is cut or damaged (`data-gzip`).  No more than the declared size and one
    byte is ever unpacked.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "three.idx"
    ...     _ = path.write_bytes(bytes([0, 0, 8, 1]) + bytes([0, 0, 0, 3]) + bytes([5, 6, 7]))
    ...     read_idx(path)
    array([5, 6, 7], dtype=uint8)

    Source: the format note on Y. LeCun's MNIST page.
    """
    return _read(path_of(path))[0]


def write_idx(path: str | os.PathLike[str], array: NDArray[Any]) -> None:
    """Write an array of 1 to 8 dimensions as an IDX file, plain; the file is whole or not there.

    array: of uint8, int8, int16, int32, float32 or float64.

    Raises `DataError` for any other (`data-shape`), where the file is there already (`data-exists`) or cannot be
    written (`data-write`).
    """
    array, kinds = array_of(array, "biufcmMOSUV"), {np.dtype(name): code for code, name in TYPES.items()}
    kind = array.dtype.newbyteorder(">")
    if kind not in kinds or not 1 <= array.ndim <= MAX_DIMENSIONS:
        known = ", ".join(str(kind.newbyteorder("=")) for kind in kinds)
        raise DataError(
            f"{path}: IDX holds 1 to {MAX_DIMENSIONS} dimensions of {known}, and not {array.dtype} of {array.shape}",
            code="data-shape",
        )
    with written(path_of(path)) as file:
        file.write(struct.pack(f">BBBB{array.ndim}I", 0, 0, kinds[kind], array.ndim, *array.shape))
        file.write(np.ascontiguousarray(array, kind).data)


def read_pinned(path: Path, sha256: str, remedy: str) -> NDArray[Any]:
    """Like `read_idx`, for a file whose unpacked content must have the given SHA-256.

    Raises `DataError` as `read_idx` does, and with code `data-hash` and the `remedy` when the sums differ.
    """
    array, found = _read(path)
    if found != sha256:
        raise DataError(
            f"{path}: expected unpacked content with SHA-256 {sha256}, found {found}; {remedy}",
            code="data-hash",
        )
    return array


def read_packed(path: Path, sha256: str, remedy: str) -> NDArray[Any]:
    """Like `read_pinned`, for a file that must itself have the given SHA-256, its gzip wrapper included."""
    try:
        with open_plain(path) as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}", code="data-file") from None
    if found != sha256:
        raise DataError(f"{path}: expected a file with SHA-256 {sha256}, found {found}; {remedy}", code="data-hash")
    return read_idx(path)


def _read(path: Path) -> tuple[NDArray[Any], str]:
    """Return the array in a file, and the SHA-256 of its content; no more is unpacked than is asked for."""
    with opened(path, TIMES) as file:
        packed = file.packed if isinstance(file, Unpacked) else None
        most = packed.size * TIMES if packed else os.fstat(file.fileno()).st_size

        def refuse(at: int, expected: str, found: str) -> DataError:
            where = "unpacked byte" if packed else "byte"
            return DataError(f"{path}: {where} {at}: expected {expected}, found {found}", code="data-idx")

        magic = file.read(4)
        if len(magic) < 4 or magic[:2] != b"\0\0":
            page = " (a web page?)" if magic.lstrip().startswith(b"<") else ""
            raise refuse(0, "the IDX magic 00 00 type dimensions", (magic.hex(" ") or "nothing") + page)
        if magic[2] not in TYPES:
            known = ", ".join(f"{code:02x}" for code in TYPES)
            raise refuse(2, f"a type byte, one of {known}", f"{magic[2]:02x}")
        if not 1 <= magic[3] <= MAX_DIMENSIONS:
            raise refuse(3, f"1 to {MAX_DIMENSIONS} dimensions", str(magic[3]))
        sizes = file.read(4 * magic[3])
        if len(sizes) < 4 * magic[3]:
            raise refuse(4, f"{4 * magic[3]} bytes of dimensions", f"{len(sizes)} bytes")

        dtype, start = np.dtype(TYPES[magic[2]]), 4 + len(sizes)
        shape = struct.unpack(f">{magic[3]}I", sizes)
        # an empty dimension counts as 1 here: NumPy too refuses an empty array whose other sizes overflow
        if (declared := dtype.itemsize * math.prod(max(1, size) for size in shape)) > MAX_BYTES:
            raise refuse(4, f"dimensions of at most {MAX_BYTES} bytes", f"{shape}, {declared} bytes")
        expected = f"{declared} bytes of data for dimensions {shape}"
        if declared > most and 0 not in shape:
            less = "a file that cannot hold as many" if packed else f"only {most - start}"
            raise refuse(most, expected, less)
        array = np.empty(shape, dtype)
        if (done := fill(array, file.read)) < array.nbytes:
            raise refuse(start + done, expected, f"only {done}")
        if file.read(1):
            if packed and packed.members > 1:
                raise packed.damaged("the end of the data, found another member behind the stream")
            raise refuse(start + done, "the end of the data (dimensions x size)", "more bytes")
    content = hashlib.sha256(magic + sizes)
    content.update(array.reshape(-1).view(np.uint8).data)
    return array.astype(dtype.newbyteorder("="), copy=False), content.hexdigest()

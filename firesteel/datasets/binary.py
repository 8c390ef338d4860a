"""IDX, the file format of MNIST, and NumPy's files: one array (.npy), or several named ones (.npz).

Headers are checked against the size of the file before memory is allocated, and any deviation is refused, because a
truncated image file would train a network on noise.  Python objects are never unpickled.
"""

import hashlib
import io
import math
import os
import struct
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from firesteel._files import open_plain, path_of
from firesteel.datasets.files import TIMES, Unpacked, array_of, fill, opened, written
from firesteel.errors import DataError

# IDX

TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
MAX_DIMENSIONS = 8
MAX_BYTES = 2**31
GZIP_TIMES = 1032
"""Greatest compression ratio of gzip; also the limit for other formats."""


def read_idx(path: str | os.PathLike[str]) -> NDArray[Any]:
    """Read the array in an IDX file, plain or compressed with gzip, bzip2 or xz.

    The header gives 1 to 8 dimensions and the type: uint8, int8, int16, int32, float32 or float64, at most 2 GiB.  No
    more than the declared size and one byte is ever decompressed.

    Args:
        path: The file; its name does not matter.

    Returns:
        The array, in the machine's byte order.

    Raises:
        DataError: If the file cannot be read (`data-file`), is not IDX or not of the declared size (`data-idx`), or
            its compressed content is truncated or damaged (`data-gzip`, `data-bzip2`, `data-xz`).

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "three.idx"
        ...     _ = path.write_bytes(bytes([0, 0, 8, 1]) + bytes([0, 0, 0, 3]) + bytes([5, 6, 7]))
        ...     read_idx(path)
        array([5, 6, 7], dtype=uint8)

    Source: the format note on Y. LeCun's MNIST page.
    """
    return _idx(path_of(path))[0]


def write_idx(path: str | os.PathLike[str], array: NDArray[Any]) -> None:
    """Write an array as an uncompressed IDX file.  The write is atomic.

    Args:
        path: The file.
        array: 1 to 8 dimensions of uint8, int8, int16, int32, float32 or float64.

    Raises:
        DataError: If the array has another type or shape (`data-shape`), or the file exists (`data-exists`) or cannot
            be written (`data-write`).

    Example:
        >>> import tempfile
        >>> path = tempfile.mkdtemp() + "/two.idx"
        >>> write_idx(path, np.array([[1, 2]], np.uint8))
        >>> read_idx(path)
        array([[1, 2]], dtype=uint8)
    """
    array, kinds = array_of(array, "biufcmMOSUV"), {np.dtype(name): code for code, name in TYPES.items()}
    kind = array.dtype.newbyteorder(">")
    if kind not in kinds or not 1 <= array.ndim <= MAX_DIMENSIONS:
        known = ", ".join(str(kind.newbyteorder("=")) for kind in kinds)
        raise DataError(
            f"{path}: IDX holds 1 to {MAX_DIMENSIONS} dimensions of {known}, "
            f"not {array.dtype} of shape {array.shape}",
            code="data-shape",
        )
    with written(path_of(path)) as file:
        file.write(struct.pack(f">BBBB{array.ndim}I", 0, 0, kinds[kind], array.ndim, *array.shape))
        file.write(np.ascontiguousarray(array, kind).data)


def read_pinned(path: Path, sha256: str, remedy: str) -> NDArray[Any]:
    """Read an IDX file whose decompressed content must have the given SHA-256.

    Raises DataError as `read_idx` does, and with code `data-hash` and the remedy if the hashes differ.
    """
    array, found = _idx(path)
    if found != sha256:
        raise DataError(
            f"{path}: expected decompressed content with SHA-256 {sha256}, found {found}; {remedy}",
            code="data-hash",
        )
    return array


def read_packed(path: Path, sha256: str, remedy: str) -> NDArray[Any]:
    """Read an IDX file whose bytes on disk, compressed or not, must have the given SHA-256."""
    try:
        with open_plain(path) as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}", code="data-file") from None
    if found != sha256:
        raise DataError(f"{path}: expected a file with SHA-256 {sha256}, found {found}; {remedy}", code="data-hash")
    return read_idx(path)


def _idx(path: Path) -> tuple[NDArray[Any], str]:
    """Read an IDX file; return its array and the SHA-256 of its decompressed content."""
    with opened(path, GZIP_TIMES) as file:
        packed = file.packed if isinstance(file, Unpacked) else None
        most = packed.size * GZIP_TIMES if packed else os.fstat(file.fileno()).st_size

        def refuse(at: int, expected: str, found: str) -> DataError:
            where = "decompressed byte" if packed else "byte"
            return DataError(f"{path}: {where} {at}: expected {expected}, found {found}", code="data-idx")

        magic = file.read(4)
        if len(magic) < 4 or magic[:2] != b"\0\0":
            page = " (a web page?)" if magic.lstrip().startswith(b"<") else ""
            raise refuse(
                0, "the IDX header (bytes 0, 0, type, number of dimensions)", (magic.hex(" ") or "nothing") + page
            )
        if magic[2] not in TYPES:
            known = ", ".join(f"{code:02x}" for code in TYPES)
            raise refuse(2, f"a type byte, one of {known}", f"{magic[2]:02x}")
        if not 1 <= magic[3] <= MAX_DIMENSIONS:
            raise refuse(3, f"1 to {MAX_DIMENSIONS} dimensions", str(magic[3]))
        sizes = file.read(4 * magic[3])
        if len(sizes) < 4 * magic[3]:
            raise refuse(4, f"{4 * magic[3]} bytes of dimensions (their sizes)", f"{len(sizes)} bytes")

        dtype, start = np.dtype(TYPES[magic[2]]), 4 + len(sizes)
        shape = struct.unpack(f">{magic[3]}I", sizes)
        # an empty dimension counts as 1: NumPy also refuses empty arrays whose other sizes overflow
        if (declared := dtype.itemsize * math.prod(max(1, size) for size in shape)) > MAX_BYTES:
            raise refuse(4, f"an array of at most {MAX_BYTES} bytes", f"{shape}, {declared} bytes")
        expected = f"{declared} bytes of data for dimensions {shape}"
        if declared > most and 0 not in shape:
            less = "a file too small for them" if packed else f"only {most - start}"
            raise refuse(most, expected, less)
        array = np.empty(shape, dtype)
        if (done := fill(array, file.read)) < array.nbytes:
            raise refuse(start + done, expected, f"only {done}")
        if file.read(1):
            if packed and packed.members > 1:
                raise packed.damaged("the end of the data, found another compressed stream after it")
            raise refuse(start + done, "the end of the data that the header declares", "more bytes")
    content = hashlib.sha256(magic + sizes)
    content.update(array.reshape(-1).view(np.uint8).data)
    return array.astype(dtype.newbyteorder("="), copy=False), content.hexdigest()


# NumPy's files

UNPACKED = 2**30
"""Size in bytes up to which any compression ratio is accepted; larger arrays may have at most TIMES."""
LAST_LETTER = 0x10FFFF
HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


def read_npy(path: str | os.PathLike[str]) -> NDArray[Any]:
    """Read the array in a .npy file, plain or compressed with gzip, bzip2 or xz.

    Args:
        path: The file.

    Returns:
        The array, of numbers, booleans or text.

    Raises:
        DataError: If the file cannot be read (`data-file`), or is not a .npy file (`data-numpy`).

    Example:
        >>> import tempfile
        >>> path = tempfile.mkdtemp() + "/x.npy"
        >>> np.save(path, np.arange(3))
        >>> read_npy(path)
        array([0, 1, 2])
    """
    path = path_of(path)
    with opened(path, TIMES) as file:
        if file.peek(2)[:2] == b"PK":  # type: ignore[attr-defined]
            raise DataError(f"{path}: holds several arrays: rename it to .npz", code="data-numpy")
        if not isinstance(file, Unpacked):
            return _array(file, os.fstat(file.fileno()).st_size, str(path))
        content = file.read()
        return _array(io.BytesIO(content), len(content), str(path))


def read_npz(path: str | os.PathLike[str]) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """Read the arrays "x" and "y" of a .npz file.

    Args:
        path: The file.

    Returns:
        The two arrays; None in place of "y" if the file has none.

    Raises:
        DataError: If the file cannot be read (`data-file`), is not a .npz file or has no "x" (`data-numpy`), or has
            an implausible compression ratio (`data-size`).

    Example:
        >>> import tempfile
        >>> path = tempfile.mkdtemp() + "/rows.npz"
        >>> np.savez(path, x=np.ones((1, 2)), y=np.zeros(1))
        >>> read_npz(path)
        (array([[1., 1.]]), array([0.]))
    """
    path = path_of(path)
    try:
        with open_plain(path) as file:
            if file.read(6) == b"\x93NUMPY":
                raise DataError(f"{path}: holds one array: rename it to .npy", code="data-numpy")
            with zipfile.ZipFile(file) as archive:
                names = [info.filename.removesuffix(".npy") for info in archive.infolist()]
                if "x" not in names:
                    held = ", ".join(names)[:200].encode("unicode_escape").decode() or "nothing"
                    raise DataError(
                        f'{path}: holds {held}: name the array of rows "x" and that of labels "y"', code="data-numpy"
                    )
                for info in archive.infolist():  # checks that both copies of the name agree
                    archive.open(info).close()
                if len(set(names)) < len(names):
                    raise _damaged(str(path), "two arrays have the same name")
                x, y = (_member(archive, name, path) if name in names else None for name in "xy")
                assert x is not None
                return x, y
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}", code="data-file") from None
    except (zipfile.BadZipFile, ValueError, EOFError, zlib.error, RuntimeError) as error:
        if isinstance(error, DataError):
            raise
        raise _damaged(str(path), error) from None


def write_npz(path: str | os.PathLike[str], arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write named arrays as a compressed .npz file.  The write is atomic.

    Unlike `np.savez_compressed` of NumPy 2.0, it does not print a traceback when the disk is full.

    Args:
        path: The file.
        arrays: Arrays of numbers, booleans or text by name.

    Raises:
        DataError: If an array has another type (`data-shape`), or the file exists (`data-exists`) or cannot be
            written (`data-write`).

    Example:
        >>> import tempfile
        >>> path = tempfile.mkdtemp() + "/two.npz"
        >>> write_npz(path, {"x": np.ones((1, 2)), "y": np.zeros(1)})
        >>> read_npz(path)
        (array([[1., 1.]]), array([0.]))
    """
    whole = {name: array_of(array, "biufU", "numbers, booleans or text") for name, array in arrays.items()}
    with written(path_of(path)) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in whole.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)


def _member(archive: zipfile.ZipFile, name: str, path: Path) -> NDArray[Any]:
    """Read the array with this name from an open .npz file."""
    info = next(info for info in archive.infolist() if info.filename.removesuffix(".npy") == name)
    where = f"{path}, array {name!r}"
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) or info.flag_bits & 1:
        raise _damaged(where, "the array is compressed or encrypted in a way that NumPy does not support")
    if info.file_size > max(UNPACKED, TIMES * info.compress_size):
        raise DataError(
            f"{where}: {info.compress_size:,} bytes would decompress to {info.file_size:,} bytes: use np.savez",
            code="data-size",
        )
    with archive.open(info) as file:
        return _array(file, info.file_size, where)


def _array(file: IO[bytes], size: int, where: str) -> NDArray[Any]:
    """Read an array in NumPy's .npy format from an open file of `size` bytes."""
    try:
        shape, fortran, dtype = HEADERS[np.lib.format.read_magic(file)](file)
    except (OSError, DataError):
        raise
    except Exception as error:  # NumPy parses the header as Python, which may raise anything
        raise _damaged(where, error) from None
    if dtype.kind not in "biufSU" or not dtype.itemsize:
        raise DataError(
            f"{where}: is damaged, or no array of numbers or text ({str(dtype)[:60]}): use np.save",
            code="data-numpy",
        )
    there, declared = size - file.tell(), dtype.itemsize * math.prod(shape)
    # an empty dimension counts as 1: NumPy also refuses empty arrays whose other sizes overflow
    least = dtype.itemsize * math.prod(max(1, side) for side in shape)
    if declared != there or least > 2**62 or not all(side >= 0 for side in shape):
        raise _damaged(where, f"{str(shape)[:60]} of {dtype} needs {str(declared)[:30]} bytes, found {there}")
    array = np.empty(shape[::-1] if fortran else shape, dtype)
    if (done := fill(array, file.read)) < array.nbytes:
        raise _damaged(where, f"the data ends after {done} of {array.nbytes} bytes")
    if dtype.kind == "U":
        letters = array.reshape(-1).view(np.dtype(np.uint32).newbyteorder(dtype.byteorder))
        if ((letters > LAST_LETTER) | (letters >> 11 == 0xD800 >> 11)).any():
            raise _damaged(where, "it contains invalid characters")
    return (array.T if fortran else array).astype(dtype.newbyteorder("="), copy=False)


def _damaged(where: str, what: object) -> DataError:
    said = " ".join(str(what).split())[:200]
    return DataError(f"{where}: is damaged ({said}): write it again", code="data-numpy")

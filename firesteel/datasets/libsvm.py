"""Writes LIBSVM text, `label index:value ...` with zeros left out: what Spark, scikit-learn and lessons read.

Only a writer: Spark's `libsvm` reader and scikit-learn's `load_svmlight_file` read such files well.
"""

import math
import os
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from firesteel.errors import DataError

__all__ = ["write_libsvm"]

CHUNK = 2**20
"""Values turned into text at a time."""


def write_libsvm(path: str | os.PathLike[str], x: NDArray[np.uint8], y: NDArray[np.uint8]) -> None:
    """Write rows as LIBSVM text: a line `label index:value ...` a row, indices from 1 and rising, no zeros.

    x: (n, ...) uint8, each row flattened.  y: (n,) uint8.
    The file is written beside its place and renamed, so it is whole or not there.

    Raises `DataError` when x and y are anything else (`data-shape`), and when the file is there already
    (`data-exists`) or cannot be written (`data-write`).

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "two.txt"
    ...     write_libsvm(path, np.array([[0, 7, 255], [0, 0, 0]], np.uint8), np.array([3, 1], np.uint8))
    ...     print(path.read_text(), end="")
    3 2:7 3:255
    1

    Source: C.-C. Chang and C.-J. Lin, LIBSVM, the README's "Installation and Data Format".
    """
    if x.dtype != np.uint8 or y.dtype != np.uint8 or y.shape != x.shape[:1]:
        raise DataError(
            f"x is {x.dtype} of shape {x.shape} and y {y.dtype} of {y.shape}: both must be uint8, one label a row",
            code="data-shape",
        )
    path = Path(path)
    must_not_exist(path)
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    rows = x.reshape(len(x), math.prod(x.shape[1:]))
    words = _words(rows.shape[1])
    step = max(1, CHUNK // max(1, rows.shape[1]))
    try:
        with part.open("wb") as file:
            for at in range(0, len(rows), step):
                file.write(_text(words, rows[at : at + step], y[at : at + step]))
        part.replace(path)
    except OSError as error:
        raise DataError(f"{path}: cannot be written: {error.strerror or error}", code="data-write") from error
    finally:
        with suppress(OSError):
            part.unlink()


def must_not_exist(path: Path) -> None:
    """Raise DataError if there is such a file, which is never overwritten."""
    if os.path.exists(path):  # False where one may not look: writing says why
        raise DataError(f"{path}: is there already; delete it, or name another folder", code="data-exists")


def _words(width: int) -> NDArray[np.bytes_]:
    """Return what stands for each value in each column, (width, 256): nothing for 0."""
    words = [b" %d:%d" % (at + 1, value) if value else b"" for at in range(width) for value in range(256)]
    return np.array(words, "S").reshape(width, 256)


def _text(words: NDArray[np.bytes_], x: NDArray[np.uint8], y: NDArray[np.uint8]) -> bytes:
    """Return the lines: the words in a table of fixed width, and then without the zero bytes that fill it."""
    table = np.empty((len(x), len(words) + 2), np.promote_types(words.dtype, "S3"))
    table[:, 0], table[:, -1] = y.astype("S3"), b"\n"
    table[:, 1:-1] = words[np.arange(len(words)), x]
    flat = table.reshape(-1).view(np.uint8)
    return flat[flat != 0].tobytes()

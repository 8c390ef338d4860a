"""Text files of numbers: LIBSVM (`label index:value ...`), and lines of numbers separated by spaces.

The readers return dense rows and refuse what would not fit in memory.  Spark's reader keeps LIBSVM sparse, and
`firesteel.spark.lines` reads plain rows on a cluster.  `numpy.loadtxt` can read the files written here.
"""

import math
import os
import re
import warnings
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from firesteel._files import path_of
from firesteel.core.spec import whole
from firesteel.datasets.files import array_of, parsed_lines, written
from firesteel.datasets.marks import NUMBER, is_number
from firesteel.errors import ConfigError, DataError

# LIBSVM

CHUNK = 2**20
"""Number of values formatted at a time."""
MOST_BYTES = 2**32
"""Greatest size of an array read from a file."""
FREELY, DENSER = 2**25, 2_000
"""Size of an array in bytes that is always accepted, and the greatest multiple of the text's size beyond it."""
VALUE = NUMBER.pattern.encode()
PAIR = rb"\d{1,18}+:" + VALUE
QUERY = rb"qid:\d{1,18}+"
LINE = re.compile(rb"\s*" + VALUE + rb"(?:[ \t]++" + QUERY + rb")?+(?:[ \t]++" + PAIR + rb")*+\s*")


def read_libsvm(
    path: str | os.PathLike[str], inputs: int | None = None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    r"""Read a LIBSVM file as dense rows.

    Indices start at 1 and increase within a line.  Blank lines, comments after # and SVMlight's qid are ignored.

    Args:
        path: The file, plain or compressed with gzip, bzip2 or xz.
        inputs: Number of inputs; None is the largest index in the file.

    Returns:
        x, (n, I), and y, (n,).

    Raises:
        ConfigError: If `inputs` is not a positive integer.
        DataError: If the file cannot be read (`data-file`), a line is malformed or has an index above `inputs`
            (`data-libsvm`), or the rows would take more than 4 GiB (`data-size`).  The message shows the file and the
            line.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "two.txt"
        ...     _ = path.write_text("3 2:7 3:0.5\n-1\n")
        ...     read_libsvm(path)
        (array([[0. , 7. , 0.5],
               [0. , 0. , 0. ]]), array([ 3., -1.]))

    Source: C.-C. Chang and C.-J. Lin, LIBSVM, the README's "Installation and Data Format".
    """
    path = path_of(path)
    if inputs is not None and (whole(inputs) or 0) < 1:
        raise ConfigError(f"inputs={inputs!r}: it must be an integer of at least 1", code="config-value")
    read = 0

    def parse(text: bytes) -> tuple[float, NDArray[np.int64], NDArray[np.float64]] | None:
        nonlocal read
        read += len(text)
        text = text.partition(b"#")[0]
        return _libsvm_row(text, inputs) if text.strip() else None

    rows = parsed_lines(path, parse, "data-libsvm", "correct them, or drop them")
    largest, line = max((int(at[-1]) if len(at) else 0, line) for line, (_, at, _) in rows)
    width = largest if inputs is None else inputs
    size, most = 8 * width * len(rows), max(FREELY, DENSER * read)
    if size > min(MOST_BYTES, most):
        words = f"{MOST_BYTES >> 30} GiB" if size > MOST_BYTES else f"{DENSER:,} times the file's text"
        raise DataError(
            f"{path}, line {line}: with index {width:,}, {len(rows):,} dense rows take more than {words}: use fewer "
            "rows, or --engine spark",
            code="data-size",
        )
    x = np.zeros((len(rows), width))
    for row, (_, (_, at, value)) in enumerate(rows):
        x[row, at - 1] = value
    return x, np.array([label for _, (label, _, _) in rows])


def _libsvm_row(text: bytes, inputs: int | None) -> tuple[float, NDArray[np.int64], NDArray[np.float64]]:
    """Parse a LIBSVM line: return label, indices and values.  Raises ValueError if it is malformed."""
    if LINE.fullmatch(text) is None:
        raise ValueError(_wrong(text))
    label, *pairs = re.sub(QUERY, b"", text).replace(b":", b" ").split()
    at, values = np.array([*map(int, pairs[::2])], np.int64), np.array([*map(float, pairs[1::2])], np.float64)
    if len(at) and at[0] < 1:
        raise ValueError("index 0, but LIBSVM indices start at 1: add 1 to every index")
    if (np.diff(at) <= 0).any():
        where = int((np.diff(at) <= 0).argmax())
        raise ValueError(f"index {at[where + 1]} comes after {at[where]}: indices must increase within a line")
    if not np.isfinite(values).all() or not math.isfinite(float(label)):
        raise ValueError("a number is too large for float64")
    if inputs is not None and len(at) and at[-1] > inputs:
        raise ValueError(f"index {at[-1]} is above the number of inputs, {inputs}")
    return float(label), at, values


def _wrong(text: bytes) -> str:
    """Return a message that says why a LIBSVM line is malformed."""
    words = text.split()
    if not re.fullmatch(VALUE, words[0]):
        return f"{_shown(words[0])} is not a label: a line must be `label index:value ...`, all numbers"
    for at, word in enumerate(words[1:]):
        if not re.fullmatch(PAIR, word) and (at or not re.fullmatch(QUERY, word)):
            return f"{_shown(word)} is not index:value with an integer and a finite number"
    return "the numbers are not separated by spaces"


def _shown(word: bytes) -> str:
    return repr(word[:30].decode("ascii", "backslashreplace"))


def write_libsvm(path: str | os.PathLike[str], x: NDArray[Any], y: NDArray[Any]) -> None:
    """Write rows as LIBSVM text: one line `label index:value ...` per row, without zeros.  The write is atomic.

    Args:
        path: The file.
        x: The inputs, (n, ...); each row is flattened.
        y: The labels, (n,), as numbers.

    Raises:
        DataError: If x and y are not finite numbers of these shapes (`data-shape`), or the file exists
            (`data-exists`) or cannot be written (`data-write`).

    Example:
        >>> import tempfile
        >>> path = tempfile.mkdtemp() + "/two.txt"
        >>> write_libsvm(path, np.array([[0, 7, 255], [0, 0, 0]], np.uint8), np.array([3, 1], np.uint8))
        >>> print(open(path).read(), end="")
        3 2:7 3:255
        1

    Source: C.-C. Chang and C.-J. Lin, LIBSVM, the README's "Installation and Data Format".
    """
    x, y = array_of(x), array_of(y)
    if not x.ndim or not np.isfinite(x).all() or not np.isfinite(y).all() or y.shape != x.shape[:1]:
        raise DataError(
            f"x is {x.dtype} of shape {x.shape} and y {y.dtype} of {y.shape}: both must be finite numbers, with one "
            "label per row",
            code="data-shape",
        )
    rows = x.reshape(len(x), math.prod(x.shape[1:]))
    step = max(1, CHUNK // max(1, rows.shape[1]))
    with written(path_of(path)) as file:
        for at in range(0, len(rows), step):
            file.write(_libsvm_lines(rows[at : at + step], y[at : at + step]))


def _libsvm_lines(x: NDArray[Any], y: NDArray[Any]) -> bytes:
    """Format rows as LIBSVM text.

    The lines are formatted in a table of fixed width, from which the padding is removed.
    """
    row, at = np.nonzero(x)
    values, which = np.unique(x[row, at], return_inverse=True)
    places = np.array([f" {number + 1}:" for number in range(x.shape[1])], "S")[at]
    pairs = np.char.add(places, np.array([_number(value) for value in values.tolist()], "S")[which])
    labels = np.array([_number(label) for label in y.tolist()], "S")
    words = np.concatenate([labels, pairs, np.full(len(x), b"\n")])
    order = np.argsort(np.concatenate([np.arange(len(x)), row, np.arange(len(x))]), kind="stable")
    flat = words[order].view(np.uint8)
    return flat[flat != 0].tobytes()


def _number(value: float) -> str:
    return repr(int(value)) if value == int(value) and abs(value) < 2**53 else repr(value)


# Plain rows


def read_numbers(path: str | os.PathLike[str]) -> NDArray[np.float64]:
    r"""Read a text file of numbers separated by spaces, the same number on every line.

    Args:
        path: The file, plain or compressed with gzip, bzip2 or xz.

    Returns:
        The numbers, (lines, numbers per line).

    Raises:
        DataError: If the file cannot be read (`data-file`), a word is not a finite number, or a line is longer or
            shorter than the first (`data-numbers`).  The message shows the file and the line.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "two.txt"
        ...     _ = path.write_text("0 0.5 1\n1 0 0.25\n")
        ...     read_numbers(path)
        array([[0.  , 0.5 , 1.  ],
               [1.  , 0.  , 0.25]])
    """
    width: int | None = None

    def parse(text: bytes) -> NDArray[np.float64]:
        nonlocal width
        row = _row(text, width)
        width = len(row)
        return row

    remedy = "separate numbers by spaces, and write the same number of them on every line"
    return np.stack([row for _, row in parsed_lines(path_of(path), parse, "data-numbers", remedy)])


def _row(text: bytes, width: int | None) -> NDArray[np.float64]:
    """Parse a line of numbers, (width,).  Raises ValueError if it is malformed."""
    row = np.empty(0)
    with warnings.catch_warnings(action="error"), suppress(DeprecationWarning, ValueError):
        row = np.fromstring(text.decode("ascii"), np.float64, sep=" ")
    words = text.split()
    if not words:  # NumPy would parse blanks as a number
        raise ValueError("the line is empty")
    if not len(row) or not np.isfinite(row).all():
        wrong = next((word for word in words if not is_number(word.decode("ascii", "replace"))), b"")
        raise ValueError(f"{_shown(wrong)} is not a finite number")
    if width is not None and len(row) != width:
        raise ValueError(f"the line has {len(row)} numbers, but the first line has {width}")
    return row


def write_text(path: str | os.PathLike[str], parts: Iterable[NDArray[Any]]) -> None:
    """Write rows as text, one line per row, with values separated by spaces.  The write is atomic.

    Values are written with the fewest digits that give the same float64 again.

    Args:
        path: The file.
        parts: Arrays (n, ...) of real numbers, written one after another, so that they need not be in memory
            together; each row is flattened.

    Raises:
        DataError: If a part is not numeric, or its rows differ in length from earlier ones (`data-shape`), or the
            file exists (`data-exists`) or cannot be written (`data-write`).

    Example:
        >>> import tempfile
        >>> path = tempfile.mkdtemp() + "/two.txt"
        >>> write_text(path, [np.array([[0, 7, 255], [0, 0, 51]]) / 255])
        >>> print(open(path).read(), end="")
        0 0.027450980392156862 1
        0 0 0.2
    """
    width: int | None = None
    with written(path_of(path)) as file:
        for rows in parts:
            flat = _flat(array_of(rows), width)
            width = flat.shape[1]
            step = max(1, CHUNK // width)
            for at in range(0, len(flat), step):
                file.write(_lines(flat[at : at + step]))


def _flat(rows: NDArray[Any], width: int | None) -> NDArray[Any]:
    values = math.prod(rows.shape[1:])
    if rows.ndim < 2 or not values:
        raise DataError(
            f"an array in parts is {rows.dtype} of shape {rows.shape}: it must hold rows of numbers",
            code="data-shape",
        )
    flat = rows.reshape(len(rows), values)
    if width not in (None, flat.shape[1]):
        raise DataError(
            f"an array in parts has {flat.shape[1]} values per row, but earlier ones have {width}", code="data-shape"
        )
    return flat


def _lines(rows: NDArray[Any]) -> bytes:
    """Format rows as text, with values separated by spaces.

    Each distinct value is formatted once, in a table from which the padding is removed.
    """
    values, where = np.unique(rows, return_inverse=True)
    words = [repr(float(value)).removesuffix(".0").encode() for value in values]
    where = where.reshape(rows.shape)
    table = np.array([word + b" " for word in words], "S")[where]
    table[:, -1] = np.array([word + b"\n" for word in words], "S")[where[:, -1]]
    flat = table.reshape(-1).view(np.uint8)
    return flat[flat != 0].tobytes()

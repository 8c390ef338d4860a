"""Reads plain text of numbers, a row a line with spaces between: images as 784 floats, labels as one-hot rows.

Every line must hold as many numbers as the first.  `arrays.py` reads NumPy's own files.
"""

import os
import warnings
from contextlib import suppress

import numpy as np
from numpy.typing import NDArray

from firesteel._files import path_of
from firesteel.datasets.files import parsed_lines


def read_numbers(path: str | os.PathLike[str]) -> NDArray[np.float64]:
    """Return the numbers of a text file, (lines, numbers a line).

    Raises DataError, with the file and the line, where the file cannot be read (`data-file`), a word is not a finite
    number or a line has more or fewer than the first (`data-numbers`).

    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder) / "two.txt"
    ...     _ = path.write_text("0 0.5 1\\n1 0 0.25\\n")
    ...     read_numbers(path)
    array([[0.  , 0.5 , 1.  ],
           [1.  , 0.  , 0.25]])
    """
    width: int | None = None

    def parse(text: bytes) -> NDArray[np.float64]:
        nonlocal width
        row = _parsed(text, width)
        width = len(row)
        return row

    remedy = "a line is numbers with spaces between, and all have as many"
    return np.stack([row for _, row in parsed_lines(path_of(path), parse, "data-numbers", remedy)])


def _parsed(text: bytes, width: int | None) -> NDArray[np.float64]:
    """Return the numbers of a line, (width,).  Raises ValueError with what is wrong with it."""
    row = np.empty(0)
    with warnings.catch_warnings(action="error"), suppress(DeprecationWarning, ValueError):
        row = np.fromstring(text.decode("ascii"), np.float64, sep=" ")
    words = text.split()
    if not words:  # of nothing but spaces NumPy makes a number
        raise ValueError("the line is empty")
    if not len(row) or not np.isfinite(row).all():
        wrong = next((word for word in words if not _finite(word)), b"")
        raise ValueError(f"{wrong[:30].decode('ascii', 'backslashreplace')!r} is not a finite number")
    if width is not None and len(row) != width:
        raise ValueError(f"{len(row)} numbers, and the first line has {width}")
    return row


def _finite(word: bytes) -> bool:
    try:
        return bool(np.isfinite(float(word))) and b"_" not in word
    except ValueError:
        return False

"""Reads plain text of numbers, a row a line with spaces between: images as 784 floats, labels as one-hot rows.

Every line must hold as many numbers as the first.  `arrays.py` reads NumPy's own files.
"""

import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from firesteel.errors import DataError

__all__ = ["read_numbers"]


def read_numbers(path: Path) -> NDArray[np.float64]:
    """Return the numbers of a text file, (lines, numbers a line).

    Raises DataError, with the file and the line, where the file cannot be read (`data-file`), a word is not a finite
    number or a line has more or fewer than the first (`data-numbers`).

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "two.txt"
    ...     _ = path.write_text("0 0.5 1\\n1 0 0.25\\n")
    ...     read_numbers(path)
    array([[0.  , 0.5 , 1.  ],
           [1.  , 0.  , 0.25]])
    """
    rows: list[NDArray[np.float64]] = []
    ragged: tuple[int, int] | None = None
    bad = 0
    try:
        with path.open("rb") as file:
            for line, text in enumerate(file, 1):
                row = _parsed(text, path, line)
                if rows and len(row) != len(rows[0]):
                    ragged, bad = ragged or (line, len(row)), bad + 1
                else:
                    rows.append(row)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}", code="data-file") from None
    if ragged is not None:
        line, count = ragged
        raise DataError(
            f"{path}, line {line}: {count} numbers, and line 1 has {len(rows[0])}; {bad:,} of {len(rows) + bad:,} "
            "lines are like that: give every line as many",
            code="data-numbers",
        )
    if not rows:
        raise DataError(f"{path}: there is no line in it: give at least one", code="data-empty")
    return np.stack(rows)


def _parsed(text: bytes, path: Path, line: int) -> NDArray[np.float64]:
    with warnings.catch_warnings(action="error"):
        try:
            row = np.fromstring(text.decode("ascii"), np.float64, sep=" ")
            if text.strip() and np.isfinite(row).all():  # of nothing but spaces NumPy makes a number
                return row
        except (DeprecationWarning, ValueError):
            pass
    words = text.split()
    wrong = next((word for word in words if not _finite(word)), b"")
    shown = repr(wrong[:30].decode("ascii", "backslashreplace"))
    what = f"{shown} is not a finite number" if words else "the line is empty"
    raise DataError(f"{path}, line {line}: {what}: a line is numbers with spaces between", code="data-numbers")


def _finite(word: bytes) -> bool:
    try:
        return bool(np.isfinite(float(word))) and b"_" not in word
    except ValueError:
        return False

"""Writes plain text, a line of numbers a row: what `numpy.loadtxt` reads, and the PySpark-Neural-Network project.

Only a writer; `firesteel.spark.lines` reads such files on a cluster.  `libsvm` writes rows with their labels in one
file, and zeros left out.
"""

import math
import os
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from firesteel._files import path_of
from firesteel.datasets.files import array_of, written
from firesteel.errors import DataError

CHUNK = 2**20
"""Values turned into text at a time."""


def write_text(path: str | os.PathLike[str], parts: Iterable[NDArray[Any]]) -> None:
    """Write rows as text: a line a row, its values with a space between them.

    parts: arrays (n, ...) of real numbers, each row flattened; one after another, so that they need not be in memory
    together.  Values are written in the fewest digits that give the same float64 again.
    The file is written under another name and renamed, so it is whole or not there.

    Raises `DataError` when a part is no array of numbers, or its rows are not of the length of those before it
    (`data-shape`), and when the file is there already (`data-exists`) or cannot be written (`data-write`).

    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder) / "two.txt"
    ...     write_text(path, [np.array([[0, 7, 255], [0, 0, 51]]) / 255])
    ...     print(path.read_text(), end="")
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
                file.write(_text(flat[at : at + step]))


def _flat(rows: NDArray[Any], width: int | None) -> NDArray[Any]:
    values = math.prod(rows.shape[1:])
    if rows.ndim < 2 or not values:
        raise DataError(
            f"a part is {rows.dtype} of shape {rows.shape}: it must be rows of numbers", code="data-shape"
        )
    flat = rows.reshape(len(rows), values)
    if width not in (None, flat.shape[1]):
        raise DataError(
            f"a part has rows of {flat.shape[1]} values, and those before it have {width}", code="data-shape"
        )
    return flat


def _text(rows: NDArray[Any]) -> bytes:
    """Return the lines: each distinct value in words once, then a table of the words without what fills it."""
    values, where = np.unique(rows, return_inverse=True)
    words = [repr(float(value)).removesuffix(".0").encode() for value in values]
    where = where.reshape(rows.shape)
    table = np.array([word + b" " for word in words], "S")[where]
    table[:, -1] = np.array([word + b"\n" for word in words], "S")[where[:, -1]]
    flat = table.reshape(-1).view(np.uint8)
    return flat[flat != 0].tobytes()

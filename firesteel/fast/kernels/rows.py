"""Rows of bytes as numbers: what `Block.features` does in NumPy."""

from typing import Any

import numpy as np
import numpy.typing as npt

from firesteel.core.types import Array

__all__ = ["gather"]


def gather(x: npt.NDArray[np.uint8], rows: npt.NDArray[np.intp], d: Any, out: Array) -> None:
    """Write x[rows] / d into `out`.  x: (n, I)  rows: (B,)  out: (B, I)"""
    for b in range(rows.size):
        row = rows[b]
        for i in range(x.shape[1]):
            out[b, i] = x[row, i] / d

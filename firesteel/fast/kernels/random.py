"""Compiled random masks for dropout; `Stream.halves` and `Dropout` draw them in NumPy."""

from typing import Any

import numpy as np

from firesteel.core.seeds import FIRST, SECOND, STEP
from firesteel.core.types import Array

__all__ = ["mask"]


def mask(key: Any, least: Any, kept: Any, out: Array) -> None:
    """Write a dropout mask: `kept` where the random number of `Stream.halves` is at least `least`, otherwise 0.

    key, least: uint64.  out: (n,)
    """
    word, low = np.uint64, np.uint64(0xFFFFFFFF)
    for i in range(0, out.size, 2):
        z = key + (word(i) // word(2) + word(1)) * word(STEP)
        z = (z ^ (z >> word(30))) * word(FIRST)
        z = (z ^ (z >> word(27))) * word(SECOND)
        z ^= z >> word(31)
        out[i] = kept if (z & low) >= least else 0
        if i + 1 < out.size:
            out[i + 1] = kept if (z >> word(32)) >= least else 0

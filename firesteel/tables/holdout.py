"""Selection of validation rows by a hash of each row: the same on every engine, and equal rows stay together."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from firesteel.core.types import Array
from firesteel.train.blocks import Keys


@dataclass(frozen=True)
class HoldOut:
    """Rule that selects validation rows: those whose hash (row key), as a fraction in [0, 1), is below `share`.

    Args:
        share: Share of the rows.
        limits: Pairs of a class and a key; rows of the class from this key on are not held out.
        fold: (i, k) holds out the i-th of k equal parts of [0, 1), from 0, instead of a share.

    >>> keys, classes = np.array([0, 2**62, 2**63], np.uint64), np.array([[0.0], [1.0], [0.0]])
    >>> HoldOut(0.5).rows(keys, classes), HoldOut(0.5, ((1, 2**62),)).rows(keys, classes)
    (array([ True,  True, False]), array([ True, False, False]))
    """

    share: float = 0.0
    limits: tuple[tuple[int, int], ...] = ()
    fold: tuple[int, int] | None = None

    def rows(self, keys: Keys, y: Array) -> npt.NDArray[np.bool_]:
        """Return a mask (n,) that is True for validation rows.

        Args:
            keys: The row keys, (n,).
            y: The targets, (n, T); classes if there are limits.
        """
        at = (keys >> np.uint64(11)).astype(np.float64) * 2.0**-53
        out = at < self.share if self.fold is None else np.floor(at * self.fold[1]) == self.fold[0]
        if self.limits:
            numbers, least = (np.array(part) for part in zip(*self.limits, strict=True))
            of = classes_of(y)
            at = np.minimum(np.searchsorted(numbers, of), len(numbers) - 1)
            out &= (of != numbers[at]) | (keys < least.astype(np.uint64)[at])
        return out


def classes_of(y: Array) -> Array:
    """Convert targets, class numbers (n, 1) or one-hot rows (n, T), to class numbers (n,)."""
    return y[:, 0] if y.shape[1] == 1 else y.argmax(axis=1).astype(np.float64)

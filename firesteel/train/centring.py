"""Centring: subtracts a constant from columns far from zero before they become float32.

A column's centre is the median of a sample, the rows with the smallest keys, so that it does not depend on the
layout; see docs/design/0010-centring.md.  `blocks.py` subtracts it when rows are packed, `rounds.py` when they are
scored.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from firesteel.core.centre import Centre
from firesteel.core.csr import CSR, Features
from firesteel.core.layers import Embedding, Table
from firesteel.core.layers.dense import Linear
from firesteel.core.layers.preprocessing import Standardize
from firesteel.core.losses import Loss
from firesteel.core.network import Network
from firesteel.core.types import Array

__all__ = ["Sample", "centre_for"]

FAR = 1000
"""A column is centred if its median is this many times larger than its spread."""
MOST_ROWS, VALUES = 1 << 12, 1 << 15
"""The most rows and values in a sample: 256 KiB, which each partition of a frame returns."""
WIDE = 1 << 12
"""The number of features from which they are neither sampled nor centred, because they may be sparse."""


@dataclass(frozen=True)
class Sample:
    """A sample of distinct rows for estimating centres: the rows with the smallest keys.

    Args:
        width: The number of features, I; 0 if there are too many.
        keys: The keys, (k,), ascending.
        rows: The rows, (k, I + T), float64.
    """

    width: int
    keys: npt.NDArray[np.uint64]
    rows: Array

    @staticmethod
    def of(keys: npt.NDArray[np.uint64], x: Features, y: Array, held: npt.NDArray[np.bool_]) -> "Sample":
        """Sample rows, except validation rows.  held: a mask of the validation rows.

        Args:
            keys: The keys of the values, (n,).
            x: The features, (n, I).
            y: The targets, (n, T).
            held: Which rows are validation rows, (n,).
        """
        width = x.shape[1] if x.shape[1] < WIDE else 0
        count, at = _count(width + y.shape[1]), np.flatnonzero(~held)
        if len(at) > 4 * count:  # a partition avoids sorting them all, unless copies leave too few
            few = at[keys[at] <= np.partition(keys[at], 2 * count)[2 * count]]
            at = few if len(np.unique(keys[few])) >= count else at
        at = at[np.unique(keys[at], return_index=True)[1][:count]]
        near = x[at] if width else np.zeros((len(at), 0))
        rows = np.hstack([near.dense() if isinstance(near, CSR) else near, y[at]], dtype=np.float64)
        return Sample(width, keys[at], rows)

    def plus(self, other: "Sample") -> "Sample":
        """Merge with another sample: return a sample of the combined rows."""
        keys, rows = np.concatenate([self.keys, other.keys]), np.vstack([self.rows, other.rows])
        at = np.unique(keys, return_index=True)[1][: _count(rows.shape[1])]
        return Sample(self.width, keys[at], rows[at])

    @property
    def centre(self) -> Centre:
        """Medians of those features and targets that are far from zero; 0 for the other columns."""
        v, last = np.sort(self.rows, axis=0), len(self.rows) - 1
        spread = v[last - last // 4] - v[last // 4]
        spread = np.where(spread > 0, spread, v[last] - v[0])
        middle = v[last // 2]
        far = np.where((spread > 0) & (np.abs(middle) > FAR * spread), middle, 0.0)
        return Centre(*[tuple(part.tolist()) if part.any() else () for part in np.split(far, [self.width])])


def _count(columns: int) -> int:
    """Return how many rows a sample of rows with `columns` values has, at least 8."""
    return max(8, min(MOST_ROWS, VALUES // columns))


def centre_for(centre: Centre, network: Network, loss: Loss) -> Centre:
    """Return a centre without the parts that a network or loss cannot take into account.

    The centre of the targets needs a loss of differences and linear outputs.
    """
    ends = bool(network.parts) and isinstance(network.parts[-1], Linear | Standardize)
    looks_up = any([isinstance(part, Embedding | Table) for part in network.parts])
    entering = [part.layer for part in network.plan if min(part.reads) < len(network.entries)]
    looks_up |= not network.chained and not all([isinstance(part, Linear | Standardize) for part in entering])
    return Centre(() if looks_up else centre.features, centre.targets if loss.differences and ends else ())

"""Means and variances of the training data, equal bit for bit on every engine and partitioning.

Blocks have a fixed order; the order in which rows are first read does not, and would change the bits.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from firesteel.core.centre import plus
from firesteel.core.layers import Activation, Normalization
from firesteel.core.layers.preprocessing import LEAST_DEVIATION
from firesteel.core.losses import MeanSquaredError
from firesteel.core.network import Network, Objective
from firesteel.core.types import Array
from firesteel.train.engine import Engine
from firesteel.train.partial import Task
from firesteel.train.rounds import moments, sizes


@dataclass(frozen=True)
class Moments:
    """Weighted means and variances of columns, float64, of the original values (before centring).

    A variance within the rounding error of the network's dtype is 0: the column is constant.

    Args:
        mean: The means.
        variance: The variances.
    """

    mean: Array
    variance: Array

    @property
    def deviation(self) -> Array:
        """Standard deviation of each column, or 1 if it is negligible: the divisor of a `Normalization` layer."""
        deviation = np.sqrt(self.variance)
        return np.where(deviation > LEAST_DEVIATION, deviation, 1.0)

    def along(self, channels: int) -> "Moments":
        """Pool the moments of all positions (pixels) into one mean and variance per channel; channels are last."""
        if channels == len(self.mean):
            return self
        means, variances = self.mean.reshape(-1, channels), self.variance.reshape(-1, channels)
        mean = means.mean(axis=0)
        return Moments(mean, (variances + np.square(means - mean)).mean(axis=0))

    def normalization(self, layer: Normalization = Normalization()) -> Normalization:  # noqa: B008  (frozen)
        """Return a copy of a `Normalization` layer with these means and variances."""
        return replace(layer, mean=tuple(self.mean.tolist()), variance=tuple(self.variance.tolist()))


def measure(engine: Engine, width: int, targets: int, dtype: str) -> tuple[Moments, Moments]:
    """Compute the moments of the inputs, (I,), and of the targets, (T,), over all rows of an engine.

    Sparse rows are not centred, to keep their zeros: their mean is 0, and their deviation the greatest absolute
    value.
    """
    idle = Objective(Network.chain((Activation("linear"),), width, dtype), MeanSquaredError())
    count = targets if engine.sparse else width + targets
    task = Task(idle, np.zeros(0, dtype), shards=engine.shards, title="firesteel: means and variances")
    partials = engine.map(functools.partial(moments, engine.sparse), task)
    measured = _pooled([part.sums for part in partials if part is not None], count, dtype)
    at = count - targets
    found = Moments(plus(measured.mean[at:], engine.centre.targets), measured.variance[at:])
    if engine.sparse:
        most = np.maximum.reduce([part.sums for part in engine.map(sizes, task) if part is not None])
        return Moments(np.zeros(width), most * most), found
    return Moments(plus(measured.mean[:at], engine.centre.features), measured.variance[:at]), found


def _pooled(shards: Sequence[Array], count: int, dtype: str) -> Moments:
    """Combine sums per shard, from `rounds.moments`, into the means and variances of all rows.

    Source: Chan, Golub and LeVeque 1979, equation 2.1.
    """
    weight, mean, square = 0.0, np.zeros(count), np.zeros(count)
    for sums in shards:
        centre, here, shift, spread = sums[:count], float(sums[count]), *np.split(sums[count + 1 :], 2)
        if not here:
            continue
        apart = centre + shift / here - mean
        weight += here
        mean += apart * (here / weight)
        square += np.maximum(spread - shift * shift / here, 0.0) + apart * apart * (here * (weight - here) / weight)
    variance = square / weight
    variance[variance <= (np.finfo(dtype).eps * mean) ** 2] = 0.0
    return Moments(mean, variance)

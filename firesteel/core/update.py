"""One update of the weights: gradient clipping, weight decay, step, running averages, constraints, averaging.

The order is that of Keras 3.

It is called by each shard that trains separately, or by the driver.  It does everything that happens once an update
and not once a row, except penalties on weights, which belong to the loss.
"""

import math
from collections.abc import Callable, Iterator

import numpy as np

from firesteel.core.network import Network
from firesteel.core.optimizers import WORDS, Optimizer
from firesteel.core.types import Array, Run

__all__ = ["constrain", "update"]


LONG = 100_000
"""Least number of parameters for a step in parts, by several threads; four times as many for compiled steps."""
PARTS = 4


def update(
    network: Network,
    optimizer: Optimizer,
    theta: Array,
    g: Array,
    slots: Array,
    t: int,
    run: Run = map,
    stepped: Callable[[int], bool] | None = None,
) -> None:
    """Update theta (P,) and the optimizer's state (K, P) from the gradient g (P,), in place.

    Args:
        network: The network, which says what each parameter is.
        optimizer: The optimizer.
        theta: The parameters, (P,).
        g: The gradient, (P,), used as scratch.  For running averages it holds the statistics of the batch.
        slots: The optimizer's state, (K, P).
        t: The number of the step, counted from 1.
        run: Maps a function over the parts of a long step, perhaps in threads.  A step is elementwise, so the parts
            do not change the bits.
        stepped: Takes step t on all these vectors in place of the optimizer, and returns whether it has done so.

    Example:
        >>> from firesteel.core.layers import Dense
        >>> from firesteel.core.optimizers import SGD
        >>> theta, g = np.ones(3), np.full(3, 4.0)
        >>> network = Network.chain((Dense(1, kernel_constraint="non_neg"),), inputs=2, dtype="float64")
        >>> update(network, SGD(0.5, clipvalue=3.0), theta, g, np.zeros((1, 3)), 1); theta
        array([ 0. ,  0. , -0.5])
    """
    averages = []
    for where, kept in network.statistics:
        averages.append(theta[where] * theta.dtype.type(kept) + g[where] * theta.dtype.type(1.0 - kept))
        g[where] = 0
    if optimizer.clipnorm is not None:
        for _, _, _, where in network.layout.slices:
            _shorten(g[where], optimizer.clipnorm)
    elif optimizer.global_clipnorm is not None:
        _shorten(g, optimizer.global_clipnorm)
    elif optimizer.clipvalue is not None:
        np.clip(g, -optimizer.clipvalue, optimizer.clipvalue, out=g)
    if optimizer.weight_decay:
        left = theta.dtype.type(1.0 - optimizer.rate(t) * optimizer.weight_decay)
        for where in _decaying(network, optimizer):
            theta[where] *= left
    moments = slots[:-1] if optimizer.use_ema else slots
    if (stepped and stepped(t)) or (LONG <= len(theta) < 4 * LONG and optimizer.stepped(theta, g, moments, t)):
        pass
    elif len(theta) < LONG:
        optimizer.step(theta, g, moments, t)
    else:
        _ = list(run(lambda part: optimizer.step(theta[part], g[part], moments[:, part], t), _parts(len(theta))))
    for (where, _), average in zip(network.statistics, averages, strict=True):
        theta[where] = average
    if network.constrained:
        constrain(network, theta)
    if optimizer.use_ema:
        _follow(network, slots[-1], theta, optimizer.ema_momentum if t > 1 else 0.0, g)


def _follow(network: Network, average: Array, theta: Array, momentum: float, scratch: Array) -> None:
    """Update the exponential average of the weights: average' = momentum average + (1 - momentum) theta.

    Running averages are copied from theta.
    """
    average *= momentum
    average += np.multiply(theta, theta.dtype.type(1.0 - momentum), out=scratch)
    for where, _ in network.statistics:
        average[where] = theta[where]


def _parts(size: int) -> list[slice]:
    """Cut a vector of `size` numbers into slices that threads update separately."""
    return [slice(size * part // PARTS, size * (part + 1) // PARTS) for part in range(PARTS)]


def constrain(network: Network, theta: Array) -> None:
    """Change theta (P,), in place, so that all parameters satisfy their constraints."""
    for where, shape, constraint in network.constrained:
        constraint.apply(theta[where].reshape(shape))


def _shorten(g: Array, most: float) -> None:
    """Scale a vector down, in place, if its Euclidean norm is above `most`."""
    norm = math.sqrt(np.square(g, dtype=np.float64).sum())
    if math.isinf(norm):
        g /= np.abs(g).max()  # so that its squares do not overflow
        norm = math.sqrt(np.square(g).sum())
    if norm > most:
        g *= g.dtype.type(most / norm)


def _decaying(network: Network, optimizer: Optimizer) -> Iterator[slice]:
    """Yield the slices of theta with weight decay: trained parameters, except the excluded kinds."""
    letters = {WORDS[word] for word in optimizer.exclude_from_weight_decay}
    for number, name, _, where in network.layout.slices:
        if name not in letters and network.params[number][name].average is None:
            yield where

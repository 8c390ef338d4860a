"""One update of the parameters, in the order of Keras 3: clip, decay, step; then running averages and constraints,
and last the average of the weights.

Whoever takes steps calls it: each shard that trains on its own, or the driver.  What is done once an update and not
once a row is done here, but for penalties on weights, which are part of the loss.
"""

import math
from collections.abc import Callable, Iterator

import numpy as np

from firesteel.core.network import Network
from firesteel.core.optimizers import WORDS, Optimizer
from firesteel.core.types import Array, Run

__all__ = ["constrain", "update"]


LONG = 100_000
"""Parameters from which a step is taken in parts, each by whoever is free; a compiled one from four times as many."""
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
    """Move theta (P,) along the gradient g (P,), and the optimiser's slots (K, P), in place; t counts steps from 1.

    run: who takes the parts of a long step; steps go number by number, so the parts leave the bits alone.
    stepped: takes step t on all these vectors in place of the optimiser, and returns whether it has.
    g is used as scratch.  Where theta holds running averages, g holds what was met.

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
    """average' = momentum average + (1 - momentum) theta, in place; running averages are what they are in theta."""
    average *= momentum
    average += np.multiply(theta, theta.dtype.type(1.0 - momentum), out=scratch)
    for where, _ in network.statistics:
        average[where] = theta[where]


def _parts(size: int) -> list[slice]:
    """Cut a vector of this size."""
    return [slice(size * part // PARTS, size * (part + 1) // PARTS) for part in range(PARTS)]


def constrain(network: Network, theta: Array) -> None:
    """Change theta (P,), in place, so that every parameter satisfies its constraint."""
    for where, shape, constraint in network.constrained:
        constraint.apply(theta[where].reshape(shape))


def _shorten(g: Array, most: float) -> None:
    """Make a vector no longer than allowed."""
    norm = math.sqrt(np.square(g, dtype=np.float64).sum())
    if math.isinf(norm):
        g /= np.abs(g).max()  # now its squares are inside the range
        norm = math.sqrt(np.square(g).sum())
    if norm > most:
        g *= g.dtype.type(most / norm)


def _decaying(network: Network, optimizer: Optimizer) -> Iterator[slice]:
    """Yield the slices of theta that decay: those that train, but for the kinds left out."""
    letters = {WORDS[word] for word in optimizer.exclude_from_weight_decay}
    for number, name, _, where in network.layout.slices:
        if name not in letters and network.params[number][name].average is None:
            yield where

"""When a training has gone wrong, and what is said of it.

Numbers that are not finite end it at once.  A loss may also be finite and beyond all bearing: that is judged by what
would be returned, because a loss that leaps may come back.  `loop.py` asks.
"""

import numpy as np

from firesteel.core.network import Network
from firesteel.core.types import Array
from firesteel.errors import DivergenceError

__all__ = ["bearable", "diverged", "suspect"]

RUIN = 1000.0
"""How many times the loss from before a training, or 1 if that is less, it may be in the end."""


def bearable(loss: float, first: float) -> bool:
    """Return whether a loss may be of a training that works, which began at another; NaN may not.

    >>> bearable(900.0, 0.1), bearable(2000.0, 0.1), bearable(2000.0, 3.0)
    (True, False, True)
    """
    return bool(loss <= RUIN * max(1.0, first))


def suspect(loss: float, theta: Array) -> bool:
    """Return whether this loss of an epoch or these weights after it are a reason to look closer."""
    return not (bearable(loss, 1.0) and np.abs(theta).max(initial=0.0) <= RUIN)


def diverged(network: Network, theta: Array, epoch: int, what: str, when: str, rate: float) -> DivergenceError:
    """Return the error that says where a training went wrong.

    theta: (P,), what it came to.  what: what happened to the loss.  when: of what time the weights that are kept are.
    """
    sizes = [(float(np.abs(theta[where]).max()), number) for number, _, _, where in network.layout.slices()]
    broken = next((number for size, number in sizes if not np.isfinite(size)), None)
    largest, number = max(sizes, default=(0.0, 0))
    if broken is not None:
        place = f"the weights of {network.layer_of(broken)} became infinite or NaN"
    else:
        place = f"the loss {what}, with weights of up to {largest:.3g} in {network.layer_of(number)}"
    return DivergenceError(
        f"training diverged in epoch {epoch + 1}: {place}.  The weights {when} are kept.  Lower the learning rate "
        f"(now {rate:g}), or bring the features to a scale near 1"
    )

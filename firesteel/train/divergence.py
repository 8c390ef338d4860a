"""When a training has gone wrong, and what is said of it.

Numbers that are not finite end it at once, moments too: a weight whose moment is infinite does not move again.  A
loss may also be finite and more than 1,000 times the initial one: that is judged by what would be returned, because a
loss that leaps may come back.  `loop.py` asks.
"""

import numpy as np

from firesteel.core.network import Network
from firesteel.core.types import Array
from firesteel.errors import DivergenceError
from firesteel.train.state import TrainState

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


def diverged(network: Network, state: TrainState, epoch: int, what: str, when: str, rate: float) -> DivergenceError:
    """Return the error that says where a training went wrong.

    state: its result.  what: what happened to the loss.  when: of what time the weights that are kept are.
    """
    parts = [(number, state.theta[where], state.slots[:, where]) for number, _, _, where in network.layout.slices]
    broken = next((number for number, theta, _ in parts if not np.isfinite(theta).all()), None)
    frozen = next((number for number, _, slots in parts if not np.isfinite(slots).all()), None)
    largest, number = max(((float(np.abs(theta).max()), number) for number, theta, _ in parts), default=(0.0, 0))
    if broken is not None:
        place = f"the weights of {network.layer_of(broken)} became infinite or NaN"
    elif frozen is not None:
        layer = network.layer_of(frozen)
        place = (
            f"the optimizer's moments of {layer} became infinite or NaN, because a gradient was too large to square"
        )
    else:
        place = f"the loss {what}, with weights of up to {largest:.3g} in {network.layer_of(number)}"
    return DivergenceError(
        f"training diverged in epoch {epoch + 1}: {place}.  The weights {when} are kept.  Lower the learning rate "
        f"(now {rate:g}), or bring the features to a scale near 1"
    )

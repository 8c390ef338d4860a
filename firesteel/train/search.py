"""The line search of L-BFGS, and the bold driver's rules for the learning rate.

Both need only losses and gradients of rounds, so they run on any engine.  `epoch.py` calls them.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from firesteel.core.network import Network
from firesteel.core.optimizers import LBFGS
from firesteel.core.types import Array
from firesteel.core.update import constrain
from firesteel.train.partial import Partial
from firesteel.train.state import TrainState
from firesteel.train.stopping import within_bounds

__all__ = ["Bold", "search"]

ENOUGH = 1e-4
"""Armijo's constant: the share of the decrease predicted by the slope that a step must achieve."""
TRIALS = 30
"""The most halvings of a step before the state is taken to be a minimum."""


def search(
    optimizer: LBFGS, state: TrainState, network: Network, measure: Callable[[TrainState], Partial]
) -> tuple[TrainState, Partial]:
    """Take one L-BFGS step with a backtracking line search.

    Args:
        optimizer: The optimizer.
        state: The state to start from.
        network: The network, whose constraints apply to each trial.
        measure: Returns the penalized sums and the gradient at a state, from one round.

    Returns:
        The state after a step that lowered the loss, or the unchanged state if none did, with the sums there; if the
            last trial was more than 1,000 times worse, its sums.
    """

    def at(theta: Array) -> tuple[float, Array, Partial]:
        total = measure(state.with_theta(theta))
        g = total.vectors[0] * theta.dtype.type(1.0 / (total.sums[1] or 1.0))
        return float(total.sums[0] / (total.sums[1] or 1.0)), g, total

    cost, slots = state.cost, state.slots.copy()
    here = None
    if cost is None:
        cost, slots[0], here = at(state.theta)
    direction = optimizer.direction(slots, slots[0])
    slope = float(np.multiply(slots[0], direction, dtype=np.float64).sum())
    size = optimizer.rate(state.step + 1)
    found, there = cost, None
    promising = -slope > np.finfo(state.theta.dtype).eps * abs(cost)
    for _ in range(TRIALS if promising else 0):
        theta = state.theta + direction * state.theta.dtype.type(size)
        constrain(network, theta)
        found, g, there = at(theta)
        if found <= cost + ENOUGH * size * slope and np.isfinite(g).all():
            optimizer.remember(slots, theta - state.theta, g - slots[0])
            slots[0] = g
            return replace(state, theta=theta, slots=slots, cost=found, step=state.step + 1), there
        size /= 2
    if there is None or within_bounds(found, cost):
        there = here or at(state.theta)[2]
    return replace(state, slots=slots, cost=cost, step=state.step + 1), there


@dataclass(frozen=True)
class Bold:
    """Bold driver: raises the learning rate while the loss falls, and lowers it when the loss rises.

    Args:
        form: `"seed"` compares, before each step of `gradient`, the loss of its rows with that of the step before.
            `"safe"` compares, after each epoch, the loss of fixed rows with the last accepted one; an epoch that made
            it worse by more than `tolerance`, or not finite, is undone.
        up: The factor after an improvement.
        down: The factor after a rise.
        tolerance: The relative increase of the loss that is still accepted.

    Source: Vogl et al. 1988; Battiti 1989.
    """

    form: str = "safe"
    up: float = 1.05
    down: float = 0.5
    tolerance: float = 0.0

    def paced(self, state: TrainState, cost: float, rate: float) -> TrainState:
        """Return the state with the learning rate for the next step, after a step with loss `cost`.

        Args:
            state: The state before the step.
            cost: The loss of the step's rows.
            rate: The learning rate of the last step.
        """
        if state.cost is not None:
            rate *= self.up if cost < state.cost else self.down
        return replace(state, learning_rate=rate, cost=cost)

    def judged(self, before: TrainState, after: TrainState, cost: float, rate: float) -> TrainState:
        """Return the state from which training continues: after an epoch, or before it if the loss rose.

        Args:
            before: The state before the epoch, with the last accepted loss as its cost.
            after: The state after the epoch.
            cost: The loss after the epoch.
            rate: The learning rate of the epoch.
        """
        assert before.cost is not None
        if cost <= before.cost + self.tolerance * abs(before.cost) and np.isfinite(after.theta).all():
            return replace(after, cost=cost, learning_rate=rate * self.up)
        return replace(before, epoch=after.epoch, learning_rate=rate * self.down)

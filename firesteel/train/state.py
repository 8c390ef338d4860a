"""The training state: everything that decides how a training continues, as one immutable object.

Two states with equal fields continue identically, wherever they are.  `loop.py` replaces the state after each round.
"""

import math
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from firesteel.core.optimizers import Optimizer
from firesteel.core.types import Array
from firesteel.train.history import Row

__all__ = ["Progress", "TrainState"]


@dataclass(frozen=True)
class TrainState:
    """State of a training: weights, optimizer moments, counters and learning rate.

    Args:
        theta: The weights, (P,).
        slots: The moments of the optimizer, (K, P).
        outer: The velocity of the driver's step between rounds, (P,).
        step: The number of optimizer steps taken.
        epoch: The number of epochs finished.
        learning_rate: The learning rate that was set during training, or None.
        cost: The last loss that a line search or bold driver accepted, or None.
        averaged: Whether the last of the slots is the moving average of the weights.
    """

    theta: Array
    slots: Array
    outer: Array
    step: int = 0
    epoch: int = 0
    learning_rate: float | None = None
    cost: float | None = None
    averaged: bool = False

    @staticmethod
    def start(theta: Array, optimizer: Optimizer) -> "TrainState":
        """Return the state before the first step: zero moments, and averages equal to the weights.

        Example:
            >>> from firesteel.core.optimizers import Adam
            >>> TrainState.start(np.zeros(3), Adam()).slots.shape
            (2, 3)
        """
        slots = np.zeros((len(optimizer.slots), len(theta)), theta.dtype)
        slots[len(slots) - optimizer.use_ema :] = theta
        return TrainState(theta, slots, np.zeros_like(theta), averaged=optimizer.use_ema)

    @staticmethod
    def of(counts: Any, theta: Array, slots: Array, outer: Array, averaged: bool = False) -> "TrainState":
        """Create a state from its counters and vectors; raise ValueError if the counters are invalid."""
        step, epoch, rate, cost = counts
        whole = all(type(number) is int and 0 <= number < 2**53 for number in (step, epoch))
        real = all(number is None or type(number) is float for number in (rate, cost))
        if not whole or not real or (rate is not None and not 0.0 <= rate < math.inf):
            raise ValueError(f"{counts} do not describe a training")
        if not slots.shape[1:] == theta.shape == outer.shape:
            raise ValueError("its vectors have other shapes")
        return TrainState(theta, slots, outer, step, epoch, rate, cost, averaged)

    @property
    def counts(self) -> list[Any]:
        """Counters and learning rate of the state, which JSON can hold."""
        return [self.step, self.epoch, self.learning_rate, self.cost]

    def used(self, optimizer: Optimizer) -> Optimizer:
        """Return the optimizer with the learning rate that a callback set, if one did."""
        return optimizer if self.learning_rate is None else optimizer.at_rate(self.learning_rate)

    def weights(self, averaged: bool = True) -> Array:
        """Return the weights, or their moving average if there is one and `averaged` is not False."""
        return self.slots[-1] if averaged and self.averaged else self.theta

    def swapped(self) -> "TrainState":
        """Exchange the weights and their moving average, because models are saved with the average."""
        return replace(self, theta=self.slots[-1], slots=np.vstack([self.slots[:-1], self.theta]))

    def with_theta(self, theta: Array) -> "TrainState":
        """Replace the weights; a moving average starts again from them."""
        slots = np.vstack([self.slots[:-1], theta]) if self.averaged else self.slots
        return replace(self, theta=theta, slots=slots, cost=None)


@dataclass(frozen=True)
class Progress:
    """The progress of a training, from which it resumes to the bit.

    Args:
        state: The current state.
        rows: The history of the finished epochs.
        best: The state of the best epoch, if one is kept.
        machines: The machines that computed it.
        round: The number of rounds of the next epoch that `state` includes.
        sums: The sums of these rounds.
        finished: Whether training has ended.
    """

    state: TrainState
    rows: list[Row] = field(default_factory=list)
    best: TrainState | None = None
    machines: frozenset[str] = frozenset()
    round: int = 0
    sums: Array | None = None
    finished: bool = False

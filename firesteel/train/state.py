"""Everything that decides the rest of a training, as one frozen value that is replaced, never changed.

Two states with equal fields train on alike, wherever they are.  `loop.py` advances it.
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
    """theta: (P,).  slots: (K, P), the optimiser's moments.  outer: (P,), the velocity between rounds.

    step: optimiser steps taken.  epoch: epochs finished.  learning_rate: what it was set to, or None.
    cost: the last loss that a search or a bold driver has accepted; None before it.
    averaged: whether the last of the slots is the average of the weights.
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
        """Return the state before the first step: moments are 0, and the average of the weights is the weights.

        >>> from firesteel.core.optimizers import Adam
        >>> TrainState.start(np.zeros(3), Adam()).slots.shape
        (2, 3)
        """
        slots = np.zeros((len(optimizer.slots), len(theta)), theta.dtype)
        slots[len(slots) - optimizer.use_ema :] = theta
        return TrainState(theta, slots, np.zeros_like(theta), averaged=optimizer.use_ema)

    @staticmethod
    def of(counts: Any, theta: Array, slots: Array, outer: Array, averaged: bool = False) -> "TrainState":
        """Return the state with these `counts`; raise ValueError where that describes none."""
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
        """What the state is besides its vectors, as JSON."""
        return [self.step, self.epoch, self.learning_rate, self.cost]

    def used(self, optimizer: Optimizer) -> Optimizer:
        """Return the optimiser with the learning rate that this state has set, if it has."""
        return optimizer if self.learning_rate is None else optimizer.at_rate(self.learning_rate)

    def weights(self, averaged: bool = True) -> Array:
        """Return the weights of the model that is trained: where that is wanted their average, if there is one."""
        return self.slots[-1] if averaged and self.averaged else self.theta

    def swapped(self) -> "TrainState":
        """Return this state with the weights and their average in each other's place, as such models are saved."""
        return replace(self, theta=self.slots[-1], slots=np.vstack([self.slots[:-1], self.theta]))

    def with_theta(self, theta: Array) -> "TrainState":
        """Return this state with other parameters, of which an average begins anew, and everything else kept."""
        slots = np.vstack([self.slots[:-1], theta]) if self.averaged else self.slots
        return replace(self, theta=theta, slots=slots, cost=None)


@dataclass(frozen=True)
class Progress:
    """What an interrupted training goes on from, to the bit.

    rows: the history of the epochs that have ended.  best: the state to be kept, if one is watched for.
    machines: what has computed it.  round: how many rounds of the next epoch are in `state`, with what they have
    summed up to in `sums`.  finished: whether training has ended.
    """

    state: TrainState
    rows: list[Row] = field(default_factory=list)
    best: TrainState | None = None
    machines: frozenset[str] = frozenset()
    round: int = 0
    sums: Array | None = None
    finished: bool = False

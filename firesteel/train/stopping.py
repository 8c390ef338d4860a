"""Early stopping from the history, and the detection of divergence.

Infinite or NaN numbers end a training at once, in the moments too: a weight with an infinite moment never moves
again. A finite loss of more than 1,000 times the initial one counts only at the end, for the state that would be
returned, because a loss may recover.  `loop.py` applies this after each epoch, and keeps the best state.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from firesteel.core.network import Network
from firesteel.core.types import Array
from firesteel.errors import DivergenceError
from firesteel.train.history import Row
from firesteel.train.state import TrainState

__all__ = ["Stopping", "better", "divergence", "looks_diverged", "within_bounds"]


def better(now: float, before: float | None, larger: bool, min_delta: float = 0.0) -> bool:
    """Return whether a value beats another by more than `min_delta`.

    NaN beats nothing; any other value beats None.

    Args:
        now: The value.
        before: The value to beat; None if there was none yet.
        larger: Whether larger values are better.
        min_delta: The smallest difference that counts.
    """
    if before is None:
        return not math.isnan(now)
    return now - min_delta > before if larger else now + min_delta < before


@dataclass(frozen=True)
class Stopping:
    """A stopping rule: no better `monitor` for `patience` epochs, or a training loss that no longer changes.

    Args:
        monitor: The name of the watched entry of history rows.
        larger: Whether larger values are better.
        patience: The number of epochs without improvement; None disables the rule.
        tolerance: The relative change of the training loss from one epoch to the next at which to stop; 0 disables
            the rule.
        min_delta: The smallest difference that counts as an improvement.
        baseline: A value that must also be beaten to reset the patience.
        start: The index of the first epoch that counts.
        restore: Whether the state of the best epoch is the result, if there is a patience.

    Example:
        >>> stopping = Stopping("val_loss", patience=2)
        >>> rows = [{"loss": 9.0, "val_loss": value} for value in (3.0, 1.0, 2.0, 1.0)]
        >>> stopping.best(rows), stopping.ended(rows)
        (1, True)
    """

    monitor: str = "loss"
    larger: bool = False
    patience: int | None = None
    tolerance: float = 0.0
    min_delta: float = 0.0
    baseline: float | None = None
    start: int = 0
    restore: bool = True

    @property
    def keeps(self) -> bool:
        """Whether the state of the best epoch must be stored."""
        return self.restore and self.patience is not None

    def best(self, rows: Sequence[Row]) -> int | None:
        """Return the position of the best history row, the first of equal ones; None before `start`."""
        return self.watched(rows)[0]

    def ended(self, rows: Sequence[Row]) -> bool:
        """Return whether training should stop after these history rows."""
        if self.patience is not None and len(rows) > 1 and self.watched(rows)[1] >= max(1, self.patience):
            return True
        before, now = rows[-2]["loss"] if len(rows) > 1 else math.inf, rows[-1]["loss"]
        return self.tolerance > 0 and abs(before - now) <= self.tolerance * abs(before) < math.inf

    def watched(self, rows: Sequence[Row]) -> tuple[int | None, int, float | None, int]:
        """Return (position of the best row, rows since, best value, rows since patience was reset)."""
        best, value, waited, improved = None, None, 0, False
        for at, row in enumerate(rows):
            if self.start and row["epoch"] < self.start:
                continue
            now = row[self.monitor]
            best = at if best is None else best
            waited += 1
            improved = better(now, value, self.larger, self.min_delta)
            if improved:
                best, value = at, now
                if self.baseline is None or better(now, self.baseline, self.larger, self.min_delta):
                    waited = 0
        return best, 0 if improved else waited, value, waited


# Divergence

DIVERGED = 1000.0
"""The largest ratio of the final loss to the initial loss, or to 1 if that is larger."""


def within_bounds(loss: float, first: float) -> bool:
    """Return whether a loss is at most 1,000, or 1,000 times the initial loss; False for NaN.

    Example:
        >>> within_bounds(900.0, 0.1), within_bounds(2000.0, 0.1), within_bounds(2000.0, 3.0)
        (True, False, True)
    """
    return bool(loss <= DIVERGED * max(1.0, first))


def looks_diverged(loss: float, theta: Array) -> bool:
    """Return whether an epoch's loss or weights are so large that divergence must be checked."""
    return not (within_bounds(loss, 1.0) and np.abs(theta).max(initial=0.0) <= DIVERGED)


def divergence(network: Network, state: TrainState, epoch: int, what: str, when: str, rate: float) -> DivergenceError:
    """Return the DivergenceError that says in which layer a training diverged.

    Args:
        network: The network.
        state: The diverged state.
        epoch: The index of the epoch.
        what: What happened to the loss.
        when: Which weights are kept.
        rate: The learning rate.
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
        f"(now {rate:g}), or scale the features to values near 1"
    )

"""When to stop before the last epoch, read off the history alone, and when a training has gone wrong.

Numbers that are not finite end it at once, moments too: a weight whose moment is infinite does not move again.  A
loss may also be finite and more than 1,000 times the initial one: that is judged by what would be returned, because a
loss that leaps may come back.  `loop.py` asks after each epoch, and keeps the state of the best one.
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

__all__ = ["Stopping", "bearable", "better", "diverged", "suspect"]


def better(now: float, before: float | None, larger: bool, min_delta: float = 0.0) -> bool:
    """Return whether a value beats another by more than `min_delta`; NaN beats nothing, and everything but NaN beats
    None.

    larger: whether larger is better.
    """
    if before is None:
        return not math.isnan(now)
    return now - min_delta > before if larger else now + min_delta < before


@dataclass(frozen=True)
class Stopping:
    """Stops after `patience` epochs without a better `monitor`, or when the training loss has changed by at most
    `tolerance` of itself from one epoch to the next.

    monitor: a name in the history's rows.  larger: whether larger is better.  patience: None for never.
    tolerance: 0 for never.  min_delta: what a better value must be better by.  baseline: what it must also beat for
    the waiting to start again.  start: the first epoch that counts.
    restore: whether the best epoch's state is the result, where there is patience.

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
        """Whether the best epoch's state is to be kept."""
        return self.restore and self.patience is not None

    def best(self, rows: Sequence[Row]) -> int | None:
        """Return the place of the best row, of equal ones the first; None while none counts."""
        return self.watched(rows)[0]

    def ended(self, rows: Sequence[Row]) -> bool:
        """Return whether these rows are enough."""
        if self.patience is not None and len(rows) > 1 and self.watched(rows)[1] >= max(1, self.patience):
            return True
        before, now = rows[-2]["loss"] if len(rows) > 1 else math.inf, rows[-1]["loss"]
        return self.tolerance > 0 and abs(before - now) <= self.tolerance * abs(before) < math.inf

    def watched(self, rows: Sequence[Row]) -> tuple[int | None, int, float | None, int]:
        """Return the place of the best row, and how many rows have been waited for a better one; and the best value,
        and how many rows ago it was better than all before and than `baseline`.
        """
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

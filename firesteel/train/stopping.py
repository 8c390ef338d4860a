"""When to stop before the last epoch, read off the history alone, so that nothing has to be remembered beside it.

`loop.py` asks after each epoch, and keeps the state of the best one.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from firesteel.train.history import Row

__all__ = ["Stopping", "better"]


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
        return self._watched(rows)[0]

    def ended(self, rows: Sequence[Row]) -> bool:
        """Return whether these rows are enough."""
        if self.patience is not None and len(rows) > 1 and self._watched(rows)[1] >= max(1, self.patience):
            return True
        before, now = rows[-2]["loss"] if len(rows) > 1 else math.inf, rows[-1]["loss"]
        return self.tolerance > 0 and abs(before - now) <= self.tolerance * abs(before) < math.inf

    def _watched(self, rows: Sequence[Row]) -> tuple[int | None, int]:
        """Return the place of the best row, and how many rows have been waited for a better one."""
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
        return best, 0 if improved else waited

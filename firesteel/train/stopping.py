"""When to stop before the last epoch, read off the history alone, so that nothing has to be remembered beside it.

`loop.py` asks after each epoch, and keeps the state of the best one.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from firesteel.train.history import Row

__all__ = ["Stopping"]


@dataclass(frozen=True)
class Stopping:
    """Stops after `patience` epochs without a better `monitor`, and then the best epoch's state is the result; or
    when the training loss has changed by at most `tolerance` of itself from one epoch to the next.

    monitor: a name in the history's rows.  larger: whether larger is better.  patience, tolerance: 0 for never.

    >>> stopping = Stopping("val_loss", patience=2)
    >>> rows = [{"loss": 9.0, "val_loss": value} for value in (3.0, 1.0, 2.0, 1.0)]
    >>> stopping.best(rows), stopping.ended(rows)
    (1, True)
    """

    monitor: str = "loss"
    larger: bool = False
    patience: int = 0
    tolerance: float = 0.0

    def best(self, rows: Sequence[Row]) -> int:
        """Return the place of the best row; of equal ones the first."""
        sign = -1.0 if self.larger else 1.0
        values = [sign * row[self.monitor] for row in rows]
        return min(range(len(values)), key=lambda at: math.inf if math.isnan(values[at]) else values[at])

    def ended(self, rows: Sequence[Row]) -> bool:
        """Return whether these rows are enough."""
        if self.patience and len(rows) - 1 - self.best(rows) >= self.patience:
            return True
        before, now = rows[-2]["loss"] if len(rows) > 1 else math.inf, rows[-1]["loss"]
        return self.tolerance > 0 and abs(before - now) <= self.tolerance * abs(before) < math.inf

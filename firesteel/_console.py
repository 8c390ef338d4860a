"""What `fit` and `evaluate` print, in Keras's format: a line or progress bar per epoch, with metrics.

Training from the command line is shown by `firesteel/cli/progress.py`.
"""

import time
from collections.abc import Mapping
from typing import Any

from firesteel._printing import on_terminal, say
from firesteel.train.callbacks import Callback, Logs

BAR = 20
"""Width of a full bar, in characters."""
REDRAWN_SECONDS = 0.1
"""Least time between two updates of a bar."""


def shown(logs: Mapping[str, Any]) -> str:
    """Return losses and metrics as Keras prints them: sorted by name, validation values last.

    >>> shown({"loss": 0.25, "val_loss": 0.5, "accuracy": 0.9, "learning_rate": 1e-5})
    'accuracy: 0.9000 - loss: 0.2500 - val_loss: 0.5000 - learning_rate: 1.0000e-05'
    """
    numbers = {name: value for name, value in logs.items() if isinstance(value, float)}
    order = sorted(numbers, key=lambda name: (name == "learning_rate", name.startswith("val_"), name))
    return " - ".join(f"{name}: {_number(numbers[name])}" for name in order)


def _number(value: float) -> str:
    return f"{value:.4f}" if abs(value) > 1e-3 or value == 0 else f"{value:.4e}"


class Quiet(Callback):
    """Prints one line per epoch: steps, time, time per step, losses and metrics (verbose=2)."""

    observes = True

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        say(f"Epoch {epoch + 1}/{self.params['epochs']}")

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        steps, seconds = self.params["steps"], self.model.history.rows[-1]["seconds"]
        took = f"{steps}/{steps} - {seconds:.0f}s - {_per_step(seconds / steps)}"
        say(f"{took} - {shown(logs or {})}")


class Progbar(Quiet):
    """Draws a progress bar for each epoch, with time per step, losses and metrics (verbose=1).

    On a terminal the bar grows with the steps if the engine reports them; elsewhere it is printed once, full.
    """

    def __init__(self) -> None:
        if on_terminal():
            self.on_train_batch_end = self.draw_part  # type: ignore[method-assign]

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        super().on_epoch_begin(epoch)
        self.begun = self.drawn = time.perf_counter()

    def draw_part(self, batch: int, logs: Logs = None) -> None:
        """Redraw the progress bar within an epoch."""
        now = time.perf_counter()
        if now - self.drawn >= REDRAWN_SECONDS:
            self.drawn = now
            say("\r" + self._line(batch + 1, now - self.begun, logs), end="\x1b[K")

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        back = "\r" if on_terminal() else ""
        seconds = self.model.history.rows[-1]["seconds"]
        say(back + self._line(self.params["steps"], seconds, logs))

    def _line(self, done: int, seconds: float, logs: Logs) -> str:
        steps = max(self.params["steps"], done)
        bar = "━" * (BAR * done // steps)
        count = f"{done}/{steps}".rjust(2 * len(str(steps)) + 1)
        return f"{count} {bar:─<{BAR}} {seconds:.0f}s {_per_step(seconds / done)} - {shown(logs or {})}"


def _per_step(seconds: float) -> str:
    """Return the time per step as Keras prints it.

    >>> [_per_step(seconds) for seconds in (2.5, 0.0031, 0.00025)]
    ['3s/step', '3ms/step', '250us/step']
    """
    if seconds >= 1 or not seconds:
        return f"{-(-seconds // 1):.0f}s/step"
    if seconds >= 1e-3:
        return f"{seconds * 1e3:.0f}ms/step"
    return f"{seconds * 1e6:.0f}us/step"

"""What a model prints, in the shape that people know from Keras: a line an epoch, and the table of its layers.

`models.py` decides when; how a training looks from the command line is in `firesteel/cli/progress.py`.
"""

import time
from collections.abc import Mapping
from typing import Any

from firesteel._printing import on_terminal, say
from firesteel.train.callbacks import Callback, Logs

BAR = 20
"""Columns of a full bar."""
REDRAWN_SECONDS = 0.1
"""The least time between two drawings of a bar."""


def shown(logs: Mapping[str, Any]) -> str:
    """Return losses and metrics as Keras writes them: by name, those of validation after the others.

    >>> shown({"loss": 0.25, "val_loss": 0.5, "accuracy": 0.9, "learning_rate": 1e-5})
    'accuracy: 0.9000 - loss: 0.2500 - val_loss: 0.5000 - learning_rate: 1.0000e-05'
    """
    numbers = {name: value for name, value in logs.items() if isinstance(value, float)}
    order = sorted(numbers, key=lambda name: (name == "learning_rate", name.startswith("val_"), name))
    return " - ".join(f"{name}: {_number(numbers[name])}" for name in order)


def _number(value: float) -> str:
    return f"{value:.4f}" if abs(value) > 1e-3 or value == 0 else f"{value:.4e}"


class Quiet(Callback):
    """Prints a line an epoch: steps, time, time a step, losses and metrics; Keras's verbose=2."""

    observes = True

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        say(f"Epoch {epoch + 1}/{self.params['epochs']}")

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        steps, seconds = self.params["steps"], self.model.history.rows[-1]["seconds"]
        took = f"{steps}/{steps} - {seconds:.0f}s - {_a_step(seconds / steps)}"
        say(f"{took} - {shown(logs or {})}")


class Progbar(Quiet):
    """Draws a bar for each epoch, with the time a step, losses and metrics; Keras's verbose=1.

    On a terminal it grows with the steps, where these can be seen; elsewhere it is drawn once, full.
    """

    def __init__(self) -> None:
        if on_terminal():
            self.on_train_batch_end = self.draw_part  # type: ignore[method-assign]

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        super().on_epoch_begin(epoch)
        self.begun = self.drawn = time.perf_counter()

    def draw_part(self, batch: int, logs: Logs = None) -> None:
        """Draw the bar of an epoch that is under way, over the one before."""
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
        return f"{count} {bar:─<{BAR}} {seconds:.0f}s {_a_step(seconds / done)} - {shown(logs or {})}"


def _a_step(seconds: float) -> str:
    """Return a time a step as Keras writes it.

    >>> [_a_step(seconds) for seconds in (2.5, 0.0031, 0.00025)]
    ['3s/step', '3ms/step', '250us/step']
    """
    if seconds >= 1 or not seconds:
        return f"{-(-seconds // 1):.0f}s/step"
    if seconds >= 1e-3:
        return f"{seconds * 1e3:.0f}ms/step"
    return f"{seconds * 1e6:.0f}us/step"

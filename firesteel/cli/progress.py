"""How a training looks while it runs: one live line on a terminal, one plain line an epoch everywhere else.

It is a callback that only reads the history's rows; `train.py` says where the lines go.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from firesteel.callbacks import Callback
from firesteel.train.callbacks import measured
from firesteel.train.history import Row

__all__ = ["EachRow", "epochs_shown", "is_live", "waiting"]

BAR_WIDTH = 24
BESIDE_BAR = 70
"""Columns that the words of the live line take."""


def is_live(console: Console) -> bool:
    """Return whether lines may be drawn over: a terminal, and nobody asked for plain text."""
    plain = os.environ.get("NO_COLOR") or os.environ.get("CI") or console.is_dumb_terminal
    return console.file.isatty() and not plain


@contextmanager
def waiting(text: str, console: Console, *, live: bool) -> Iterator[None]:
    """Say what is being waited for; on a terminal only as long as it takes."""
    if live:
        with console.status(text):
            yield
    else:
        print(text, file=console.file, flush=True)
        yield


@contextmanager
def epochs_shown(epochs: int, console: Console, *, live: bool, every: int = 1) -> Iterator[Callback]:
    """Give the callback that shows each epoch.

    every: without a live line, how many epochs share one line; the last one always has its own.
    """
    if not live:

        def tell(row: Row) -> None:
            number = row["epoch"] + 1
            if number % every == 0 or number == epochs:
                text = f"epoch {number}/{epochs}  {_measured(row)}  {row['seconds']:.1f} s"
                print(text, file=console.file, flush=True)

        yield EachRow(tell)
        return

    bar = BarColumn(bar_width=max(4, min(BAR_WIDTH, console.width - BESIDE_BAR)))
    counter = TextColumn("epoch {task.completed}/{task.total}")
    with Progress(counter, bar, TextColumn("{task.description}", markup=False), console=console) as progress:
        task, passed = progress.add_task("preparing the rows", total=epochs), 0.0

        def draw(row: Row) -> None:
            nonlocal passed
            number, passed = row["epoch"] + 1, passed + row["seconds"]
            left = passed / number * (epochs - number)
            time = f"{left:.0f} s left" if number < epochs else f"{passed:.1f} s"
            progress.update(task, completed=number, description=f"{_measured(row)}  {time}")

        yield EachRow(draw)


class EachRow(Callback):
    """Gives each epoch's history row to a function."""

    def __init__(self, show: Callable[[Row], None]) -> None:
        self.show = show

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        self.show(self.model.history.rows[-1])


def _measured(row: Row) -> str:
    speed = row["rows"] / max(row["seconds"], 1e-9)
    names = [name for name in measured(row) if name not in ("loss", "learning_rate") and not name.startswith("val_")]
    shown = "  ".join(f"{name} {row[name]:.4f}" for name in ["loss", *names] if isinstance(row[name], float))
    return f"{shown}  {speed:,.0f} rows/s"

"""Progress of a training: a live display of three lines on a terminal, otherwise one plain line per epoch.

Both are callbacks that read the history's rows.  The live display fits into 60 columns; on narrower terminals it
leaves out the less important parts.
"""

import math
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from firesteel.callbacks import Callback
from firesteel.report.verdict import time_split
from firesteel.train.callbacks import measured
from firesteel.train.history import Row

BAR_WIDTH = 40
"""Greatest width of the epoch bar, in characters."""
SPARK_WIDTH = (12, 32)
"""Least and greatest width of the sparkline, in characters."""
LEVELS = "▁▂▃▄▅▆▇█"
REDRAWN = 4
"""Updates of the live display per second."""


def is_live(console: Console) -> bool:
    """Return whether output may be redrawn: on a terminal, unless the user asked for plain text."""
    plain = os.environ.get("NO_COLOR") or os.environ.get("CI") or console.is_dumb_terminal
    return console.file.isatty() and not plain


@contextmanager
def waiting(text: str, console: Console, *, live: bool) -> Iterator[None]:
    """Context manager: show a text while waiting; on a terminal it disappears at the end."""
    if live:
        with console.status(text):
            yield
    else:
        print(text, file=console.file, flush=True)
        yield


@contextmanager
def epochs_shown(
    epochs: int, console: Console, *, live: bool, every: int = 1, members: int = 1
) -> Iterator[Callback]:
    """Context manager: the callback that shows each epoch, live or as plain lines.

    Args:
        epochs: Number of epochs.
        console: Where to print.
        live: Whether to use the live display.
        every: Without the live display, the number of epochs per line; the last epoch always has a line.
        members: Number of trainings; without the live display, several have one line each.
    """
    if not live and members > 1:
        yield EachMember(members, console)
        return
    if not live:

        def show(row: Row) -> None:
            number = row["epoch"] + 1
            if number % every == 0 or number == epochs:
                values = "  ".join(f"{name} {_number(value)}" for name, value in _numbers(row).items())
                speed = row["rows"] / max(row["seconds"], 1e-9)
                text = f"epoch {number}/{epochs}  {values}  {speed:,.0f} rows/s  {row['seconds']:.1f} s"
                print(text, file=console.file, flush=True)

        yield EachRow(show)
        return

    board = Board(epochs, members)
    with Live(board, console=console, refresh_per_second=REDRAWN) as drawn:
        try:
            yield board
        finally:
            board.ended = True
            drawn.refresh()


class EachRow(Callback):
    """Callback that passes each epoch's history row to a function."""

    observes = True

    def __init__(self, show: Callable[[Row], None]) -> None:
        self.show = show

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        row = self.model.history.rows[-1]
        self.show({"member": self.params["member"], **row} if "member" in self.params else row)


class EachMember(Callback):
    """Callback that prints, for each member of an ensemble, its best epoch with losses and metrics."""

    observes = True

    def __init__(self, members: int, console: Console) -> None:
        self.members, self.console = members, console

    def on_train_end(self, logs: Mapping[str, Any] | None = None) -> None:
        history = self.model.history
        best = len(history.rows) - 1 if history.best is None else history.epoch.index(history.best)
        values = "  ".join(f"{name} {_number(value)}" for name, value in _numbers(history.rows[best]).items())
        head = f"member {self.params['member'] + 1}/{self.members}  epoch {best + 1} of {len(history.rows)}"
        seconds = sum(row["seconds"] for row in history.rows)
        print(f"{head}  {values}  {seconds:.1f} s", file=self.console.file, flush=True)


class Beginning(Callback):
    """Callback that prints what is trained, and the epoch from which an interrupted run resumes.

    Args:
        console: Where to print.
        text: What the rows decided; "" prints nothing.
        members: Number of trainings.
    """

    observes = True

    def __init__(self, console: Console, text: str, members: int = 1) -> None:
        self.console, self.text, self.members = console, text, members

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        if self.text and not self.params.get("member"):
            several = f"\n{self.members} members, each holding out a different part of the rows"
            text = self.text + (several if self.members > 1 else "")
            self.console.print(text, highlight=False, markup=False, soft_wrap=True)
        if self.params["resumed"]:
            done, epochs = len(self.model.history.rows), self.params["epochs"]
            self.console.print(f"resuming after epoch {done} of {epochs}", highlight=False)


class Board(Callback):
    """Live display of a training: progress, losses and metrics, and how the time is spent.

    Args:
        epochs: Number of epochs.
        members: Number of trainings.
    """

    observes = True

    def __init__(self, epochs: int, members: int = 1) -> None:
        self.epochs, self.members, self.ended, self.latest = epochs, members, False, 0.0
        self.begun: float | None = None
        self.rows: list[Row] = []

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        self.rows, self.begun = list(self.model.history.rows), time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        self.rows.append(self.model.history.rows[-1])
        self.latest = time.perf_counter()

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width = options.max_width
        number = self.rows[-1]["epoch"] + 1 if self.rows else 0
        head = f"epoch {number}/{self.epochs}"
        if self.members > 1 and self.begun is not None:
            head = f"member {self.params['member'] + 1}/{self.members}  {head}"
        tail = self._tail() if self.rows else self._before()
        room = max(4, min(BAR_WIDTH, width - len(head) - len(tail) - 4))
        bar = ProgressBar(self.epochs, number, width=room, pulse=not self.rows and not self.ended)
        line = Table.grid(padding=(0, 2, 0, 0))
        line.add_row(Text(head, no_wrap=True), bar, Text(tail, no_wrap=True, style="cyan"))
        yield line
        if self.rows:
            yield self._losses(width, plain=options.ascii_only)
            yield self._times(width)

    def _before(self) -> str:
        """Return the text that is shown until the first epoch has ended."""
        if self.begun is None:
            return "preparing the rows"
        return f"first epoch, {_duration(time.perf_counter() - self.begun)} so far"

    def _tail(self) -> str:
        seconds = sum(row["seconds"] for row in self.rows)
        speed = sum(row["rows"] for row in self.rows) / max(seconds, 1e-9)
        ahead = 0 if self.ended else self.epochs - self.rows[-1]["epoch"] - 1
        if not ahead:
            return f"{speed:,.0f} rows/s  {_duration(seconds)}"
        left = seconds / len(self.rows) * ahead - (time.perf_counter() - self.latest)
        return f"{speed:,.0f} rows/s  {_duration(max(left, 0.0))} left"

    def _losses(self, width: int, plain: bool) -> Text:
        """Return a small chart of the (validation) loss as text, and the latest value of each metric."""
        values = _numbers(self.rows[-1])
        first = next(name for name in ("val_loss", "loss") if name in values)
        names = [first, *(name for name in values if name != first)]
        parts = [f"{name} {_number(values[name])}" for name in names]
        least, most = SPARK_WIDTH
        while len(parts) > 1 and len("  ".join(parts)) + (0 if plain else least + 1) > width:
            parts.pop()
        text = Text(no_wrap=True, overflow="crop")
        if not plain:
            room = max(least, min(most, width - len("  ".join(parts)) - 1))
            text.append(sparkline([row[first] for row in self.rows], room), style="magenta").append(" ")
        text.append(parts[0], style="bold")
        return text.append("".join(f"  {part}" for part in parts[1:]))

    def _times(self, width: int) -> Text:
        split = shares(time_split(self.rows, self.params.get("shards", 1)))
        words = "  ".join(f"{name} {share:.0%}" for name, share in split.items() if share >= 0.005)
        return Text(f"time  {words}", style="dim", no_wrap=True, overflow="ellipsis")


def sparkline(values: Sequence[float], width: int) -> str:
    """Draw values as a line of bar characters, scaled from least to greatest.

    >>> sparkline([4.0, 2.0, 1.0, 0.5, 0.5], 8)
    '█▄▂▁▁'
    >>> sparkline([float(n) for n in range(100)], 4)
    '▁▃▆█'
    """
    if len(values) > width:  # take evenly spaced values, including the last
        last = len(values) - 1
        values = [values[round(last * at / max(width - 1, 1))] for at in range(width)]
    finite = [value for value in values if math.isfinite(value)] or [0.0]
    low, high = min(finite), max(finite)
    scale = (len(LEVELS) - 1) / (high - low) if high > low else 0.0
    return "".join(LEVELS[round((value - low) * scale)] if math.isfinite(value) else " " for value in values)


def shares(seconds: tuple[float, float, float]) -> dict[str, float]:
    """Return the shares of time spent computing, in the engine, and waiting for the slowest shard.

    Shares are whole hundredths and sum to 1.

    >>> shares((0.75, 0.25, 1.0))
    {'computing': 0.38, 'engine': 0.5, 'waiting': 0.12}
    """
    lost, engine = (round(100 * part / max(sum(seconds), 1e-9)) for part in seconds[1:])
    return {"computing": (100 - engine - lost) / 100, "engine": engine / 100, "waiting": lost / 100}


def _numbers(row: Row) -> dict[str, float]:
    """Return the losses and metrics that are single numbers, training before validation."""
    values = {name: value for name, value in measured(row).items() if isinstance(value, float)}
    return dict(sorted(values.items(), key=lambda item: (item[0] == "learning_rate", item[0].startswith("val_"))))


def _number(value: float) -> str:
    """Format a number briefly: with four decimals, or in scientific notation if it is very large or small.

    >>> [_number(value) for value in (0.25, 0.0, 3275.13871, 51234567.0, 1e-5, float("inf"))]
    ['0.2500', '0.0000', '3,275.14', '5.123e+07', '1e-05', 'inf']
    """
    if not 1e-3 <= abs(value) < 1e6 and value:
        return f"{value:.4g}"
    return f"{value:.4f}" if abs(value) < 1e3 else f"{value:,.2f}"


def _duration(seconds: float) -> str:
    """Format a duration in seconds as text.

    >>> [_duration(seconds) for seconds in (0.34, 8.2, 75.0, 600.0, 4980.0)]
    ['0.3 s', '8 s', '1 min 15 s', '10 min 00 s', '1 h 23 min']
    """
    if seconds < 60:
        return f"{seconds:.0f} s" if seconds >= 3 else f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"

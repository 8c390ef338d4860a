"""The history of a fit as plain rows: one JSON-able dictionary per epoch.

A row holds the epoch, the training loss and metrics, those of validation rows with the prefix `val_`, the number of
rows, and times: `seconds`, the elapsed time; `shard_seconds`, the computing time of all shards together; `by_shard`,
the training time of each shard; `slowest_seconds`, the time of the slowest shard of each round; `wait_seconds`, the
elapsed time in which no shard computed (engine, network, driver), assuming that shards share cores evenly.
`learning_rate` is present if it was set during training.
"""

import json
import sys
from dataclasses import dataclass, field
from typing import Any

from firesteel import _notebook as notebook

__all__ = ["UNMEASURED", "History", "Row", "rows_of"]

Row = dict[str, Any]
UNMEASURED = ("epoch", "rows", "seconds", "shard_seconds", "slowest_seconds", "wait_seconds", "by_shard")
"""The entries of a row that are neither losses nor metrics."""
ROW = 32
"""Bytes that a row takes in addition to its dictionary."""


@dataclass(repr=False)
class History:
    """The history of one fit, as `fit` returns it.

    Args:
        rows: One dictionary per epoch.
        machines: The kinds of CPU and BLAS that computed it.
        best: The index of the epoch whose weights were kept, if training kept the best.
        left_out: Of an ensemble, the members left out, with the reason for each.
        params: The settings of the fit, as callbacks get them: "epochs", "steps", "batch_size" and others.

    Example:
        >>> h = History([{"epoch": 0, "loss": 1.5}, {"epoch": 1, "loss": 0.5}])
        >>> h.history["loss"], h.epoch
        ([1.5, 0.5], [0, 1])
        >>> print(h.to_jsonl(), end="")
        {"epoch": 0, "loss": 1.5}
        {"epoch": 1, "loss": 0.5}
    """

    rows: list[Row] = field(default_factory=list)
    machines: frozenset[str] = frozenset()
    best: int | None = None
    left_out: dict[int, str] = field(default_factory=dict)
    params: dict[str, Any] = field(default_factory=dict, compare=False)

    @property
    def epoch(self) -> list[int]:
        """The indices of the epochs, from 0."""
        return [row["epoch"] for row in self.rows]

    @property
    def history(self) -> dict[str, list[Any]]:
        """The losses and metrics, each with the list of its values by epoch, as in Keras."""
        names = [name for name in (self.rows[0] if self.rows else {}) if name not in UNMEASURED]
        return {name: [row[name] for row in self.rows] for name in names}

    def __repr__(self) -> str:
        last = {name: values[-1] for name, values in self.history.items() if isinstance(values[-1], float)}
        best = [] if self.best is None else [f"best {self.best + 1}"]
        shown = ", ".join([*best, *(f"{name} {value:.4g}" for name, value in last.items())])
        return f"<History of {len(self.rows)} epoch{'' if len(self.rows) == 1 else 's'}{shown and ': ' + shown}>"

    def _repr_html_(self) -> str:
        """Return HTML for notebooks: the curves of the losses, and each entry's first and last value."""
        values = {name: found for name, found in self.history.items() if all(isinstance(v, float) for v in found)}
        if not values:
            return notebook.box("History: no epochs")
        best = None if self.best is None else self.epoch.index(self.best)
        middle = {} if best is None else {f"best: {self.epoch[best] + 1}": best}
        places = {"first": 0, **middle, "last": -1}
        rows = [[name, *(notebook.number(found[at]) for at in places.values())] for name, found in values.items()]
        losses: dict[str, list[float]] = {name: values[name] for name in ("loss", "val_loss") if name in values}
        title = f"History of {len(self.rows)} epoch{'s' if len(self.rows) > 1 else ''}"
        return notebook.box(title, notebook.curves(losses, best), notebook.table(["", *places], rows))

    def to_jsonl(self) -> str:
        """Return the rows as JSON lines."""
        return "".join(json.dumps(row) + "\n" for row in self.rows)


def rows_of(runs: Any, like: Row | None, spare: int) -> list[Row]:
    """Parse the rows of a history from a checkpoint.

    Args:
        runs: For each run of rows with the same names, the names and one column per name.
        like: The expected first row, if known.
        spare: The bytes that the rows may take.

    Raises:
        ValueError: If the rows are invalid or too many.
    """
    usual = like or {"epoch": 0, "loss": 0.0}
    rows: list[Row] = []
    for names, *columns in runs:
        if not usual.keys() <= {*names} or like and {*names} - like.keys() - {"learning_rate"}:
            raise ValueError("its epochs lack entries of the training")
        if len(columns) != len(names) or {*map(type, columns)} != {list}:
            raise ValueError("its epochs are not rows")
        spare -= len(columns[0]) * (sys.getsizeof(dict.fromkeys(names)) + ROW)
        if spare < 0:
            raise ValueError("it has too many epochs")
        for name, column in zip(names, columns, strict=True):
            if not all(_fits(value, usual.get(name, 0.0 if like else value)) for value in column):
                raise ValueError(f"{name!r} is not a number in some epoch")
        rows += [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]
    if like and any(row["epoch"] != epoch for epoch, row in enumerate(rows, like["epoch"])):
        raise ValueError("its epochs are not consecutive")
    return rows


def _fits(value: Any, like: Any) -> bool:
    """Return whether a value has the type and nesting of another: integer, number or lists of numbers."""
    if isinstance(like, list):
        return type(value) is list and all(_fits(one, [] if type(one) is list else 0.0) for one in value)
    if type(like) is int:
        return type(value) is int and 0 <= value < 2**53
    return type(value) is float or (type(value) is int and abs(value) < 2**53)

"""What happened, as plain rows: one dictionary an epoch that survives JSON.  Who shows them is somebody else's job.

A row holds the epoch, the training sums, `val_` ones if there was validation, the rows seen, and where the time
went: `seconds` by the clock; `shard_seconds` of computing in all shards together, `by_shard` those of training in
each; `slowest_seconds` in the slowest shard of each round; and `wait_seconds`, those by the clock in which none of
them computed (the engine, the wire, the driver), where shards that share a core are taken to do so evenly.
`learning_rate` is there where something sets it from outside.
"""

import json
import sys
from dataclasses import dataclass, field
from typing import Any

from firesteel import _notebook as notebook

__all__ = ["UNMEASURED", "History", "Row", "rows_of"]

Row = dict[str, Any]
UNMEASURED = ("epoch", "rows", "seconds", "shard_seconds", "slowest_seconds", "wait_seconds", "by_shard")
"""What a row holds besides losses and metrics."""
ROW = 32
"""Bytes that a row takes besides its dictionary: its place in lists, and what Python knows of it."""


@dataclass(repr=False)
class History:
    """The rows of one fit.

    history: {name: [value of each epoch]}, as Keras has it.  epoch: the epochs' numbers, from 0.
    best: the epoch whose weights were kept, where training watched for the best one.
    left_out: of members that are averaged, why some are left out, by their numbers.
    params: what `fit` was given or chose, as callbacks have it: "epochs", "steps", "batch_size" and others.

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
        """The epochs' numbers."""
        return [row["epoch"] for row in self.rows]

    @property
    def history(self) -> dict[str, list[Any]]:
        """Each measured name with its value of every epoch."""
        names = [name for name in (self.rows[0] if self.rows else {}) if name not in UNMEASURED]
        return {name: [row[name] for row in self.rows] for name in names}

    def __repr__(self) -> str:
        last = {name: values[-1] for name, values in self.history.items() if isinstance(values[-1], float)}
        best = [] if self.best is None else [f"best {self.best + 1}"]
        shown = ", ".join([*best, *(f"{name} {value:.4g}" for name, value in last.items())])
        return f"<History of {len(self.rows)} epoch{'' if len(self.rows) == 1 else 's'}{shown and ': ' + shown}>"

    def _repr_html_(self) -> str:
        """Return what a notebook shows: the lines of losses, and the first and last value of each name."""
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
        """Return the rows as JSON, one a line."""
        return "".join(json.dumps(row) + "\n" for row in self.rows)


def rows_of(runs: Any, like: Row | None, spare: int) -> list[Row]:
    """Return the rows of a history out of what a file has of them.

    Args:
        runs: Names and a column for each, once for every run of rows with the same names.
        like: A first row of the training, if somebody knows one.
        spare: The bytes that the rows may take.

    Raises:
        ValueError: If they are no such rows, or too many.
    """
    usual = like or {"epoch": 0, "loss": 0.0}
    rows: list[Row] = []
    for names, *columns in runs:
        if not usual.keys() <= {*names} or like and {*names} - like.keys() - {"learning_rate"}:
            raise ValueError("its epochs do not have the numbers of the training")
        if len(columns) != len(names) or {*map(type, columns)} != {list}:
            raise ValueError("its epochs are no rows")
        spare -= len(columns[0]) * (sys.getsizeof(dict.fromkeys(names)) + ROW)
        if spare < 0:
            raise ValueError("it has too many epochs")
        for name, column in zip(names, columns, strict=True):
            if not all(_fits(value, usual.get(name, 0.0 if like else value)) for value in column):
                raise ValueError(f"{name!r} has no numbers in some epoch")
        rows += [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]
    if like and any(row["epoch"] != epoch for epoch, row in enumerate(rows, like["epoch"])):
        raise ValueError("its epochs do not follow one another")
    return rows


def _fits(value: Any, like: Any) -> bool:
    """Return whether a value is a count, a number, or lists of numbers, as another one is."""
    if isinstance(like, list):
        return type(value) is list and all(_fits(one, [] if type(one) is list else 0.0) for one in value)
    if type(like) is int:
        return type(value) is int and 0 <= value < 2**53
    return type(value) is float or (type(value) is int and abs(value) < 2**53)

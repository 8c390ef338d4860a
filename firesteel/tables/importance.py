"""Permutation importance: the rise of a network's loss when a column's values are shuffled among rows.

All inputs of a flat row that come from one column are shuffled together.  `sampling.py` selects the rows.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from firesteel.core.layers import Embedding, Table
from firesteel.core.network import Objective, alone
from firesteel.core.seeds import rng_for
from firesteel.core.types import Array
from firesteel.errors import ConfigError
from firesteel.fast.blas import BLAS, steady
from firesteel.fast.threads import QUIET, threads
from firesteel.tables.sampling import first_rows
from firesteel.tables.schema import ELEMENT, Schema
from firesteel.train.engine import Engine
from firesteel.train.step import SUB_BATCH

MOST_ROWS, SHUFFLES = 2000, 5
"""Greatest number of rows, and number of shuffles of each column."""
WORK, VALUE = 1e11, 40
"""Greatest number of multiplications (some seconds), beyond which rows, shuffles and columns are reduced; and the
number counted for each value that a layer computes, in addition to those with weights.
"""
FEWEST_ROWS, FEWEST_COLUMNS = 256, 20
"""Least numbers of rows and columns, whatever the work."""
SHOWN = 30

Places = Mapping[str, npt.NDArray[np.intp]]
"""The inputs of each column."""


@dataclass(frozen=True)
class ScoredRows:
    """A network with the rows on which its permutation importances are measured.

    Args:
        objective: The network and its loss.
        theta: The weights.
        x: The inputs as the network takes them, (n, I).
        y: The targets as the loss takes them, (n, T).
        w: The row weights, (n,).
    """

    objective: Objective
    theta: Array
    x: Array
    y: Array
    w: Array

    @staticmethod
    def of(objective: Objective, engine: Engine, theta: Array, most: int = MOST_ROWS) -> "ScoredRows":
        """Take up to `most` rows of an engine, by smallest hash.  Raises ConfigError for sparse rows."""
        check_dense(objective.network.inputs, engine.sparse)
        x, y, w = first_rows(engine, objective, theta, most)
        return ScoredRows(objective, theta, x, y, w if w.any() else np.ones(len(w)))

    def __getitem__(self, rows: slice) -> "ScoredRows":
        w = self.w[rows]
        return replace(self, x=self.x[rows], y=self.y[rows], w=w if w.any() else np.ones(len(w)))

    def losses(self, x: Array) -> Array:
        """Return each row's loss, (n,), when its inputs are replaced with those in x."""
        network, views = self.objective.network, self.objective.network.layout.views(self.theta)

        size = network.rows or SUB_BATCH

        def sub(at: int) -> Array:
            BLAS.check()
            z = network.output(views, x[at : at + size], last=self.objective.last)
            return self.objective.centred.rows(z, self.y[at : at + size])[0].astype(np.float64)

        return steady(lambda: np.concatenate([sub(at) for at in range(0, len(x), size)]))

    def slopes(self) -> Array:
        """Return the loss's sensitivity to each input, (I,): total |d(loss)/dx| times the standard deviation of x."""
        network, objective = self.objective.network, self.objective
        views, entry = network.layout.views(self.theta), network.read_by(objective.last)
        unused, total = network.layout.views(np.zeros_like(self.theta)), np.zeros(network.inputs)
        size = network.rows or SUB_BATCH
        for at in range(0, len(self.x), size):
            rows = slice(at, at + size)
            values, pulls = alone(network.forward(views, self.x[rows], None, objective.plan, keep=True))
            _, _, d = objective.centred.rows(values[entry], self.y[rows])
            d = d * self.w[rows, None].astype(d.dtype)
            by = alone(network.backward(pulls, entry, d, unused, entries=True))
            total += np.concatenate([np.abs(one).sum(axis=0).reshape(-1) for one in by if one is not None])
        return total * self.x.std(axis=0, dtype=np.float64)

    @property
    def cost(self) -> int:
        """Approximate number of multiplications to compute the network's output for one row."""
        network, looked_up = self.objective.network, (Embedding, Table)
        values = VALUE * sum(math.prod(shape) for shape in network.shapes)
        if network.work:  # sliding windows use a weight at every place
            return values + network.work
        found = [w for part, _, _, w in network.layout.slices if not isinstance(network.parts[part], looked_up)]
        return values + sum(where.stop - where.start for where in found)


@dataclass(frozen=True, repr=False)
class Importances:
    """Permutation importances: for each column, the rise of the loss when its values are shuffled among the rows.

    Args:
        rows: A dictionary with `column`, `importance` and `standardError` for each measured column, in the order of
            the columns; `pandas.DataFrame(found.rows)` shows them as a table.
        loss: The loss of the unchanged rows.
        sampled: Number of rows.
        shuffles: Number of shuffles that a rise is the mean of.
        tried: Number of columns that were shuffled: those that vary.
        untried: Number of columns that were left out to save time: those with the smallest sensitivity.

    Example:
        >>> Importances([{"column": "age", "importance": 0.25, "standardError": 0.0125}], 0.5, 2000, 5, 1)
        loss 0.5 over 2,000 rows; importance: rise of the loss when a column is shuffled, mean of 5
        column  importance  standardError
        age         0.2500         0.0125
    """

    rows: list[dict[str, Any]]
    loss: float
    sampled: int
    shuffles: int
    tried: int
    untried: int = 0

    def shares(self, columns: Sequence[str]) -> Array:
        """Return the columns' importances scaled to a sum of 1; negative ones and unknown columns are 0.

        Args:
            columns: Names of columns.
        """
        rises = {row["column"]: max(row["importance"], 0.0) for row in self.rows}
        found = np.array([rises.get(name, 0.0) for name in columns], float)
        total = found.sum()
        return found / total if total else found

    def __repr__(self) -> str:
        head = ["column", "importance", "standardError"]
        ordered = sorted(self.rows, key=lambda row: -row["importance"])
        digits = decimals(max((abs(row["importance"]) for row in ordered), default=0.0))
        lines = [
            [row["column"], *(f"{row[name]:.{digits}f}" for name in ("importance", "standardError"))]
            for row in ordered[:SHOWN]
        ]
        width = [max(map(len, cells)) for cells in zip(head, *lines, strict=True)]
        shown = [f"{a:<{width[0]}}  {b:>{width[1]}}  {c:>{width[2]}}" for a, b, c in (head, *lines)]
        found = f"loss {self.loss:.4g} over {self.sampled:,} rows"
        what = f"{found}; importance: rise of the loss when a column is shuffled"
        more = [f"... and {len(ordered) - SHOWN:,} more"] if len(ordered) > SHOWN else []
        more += [f"{self.untried:,} columns with lower sensitivity were not shuffled"] if self.untried else []
        return "\n".join([f"{what}, mean of {self.shuffles}", *shown, *more])


def check_dense(inputs: int, sparse: bool) -> None:
    """Raise ConfigError if the rows are sparse: they have too many columns to shuffle one by one."""
    if sparse:
        raise ConfigError(
            f"importances are not available for sparse rows ({inputs:,} features).  To do: select fewer features, in "
            "dense rows",
            code="config-importances",
        )


def decimals(largest: float) -> int:
    """Return how many decimal places to display for numbers of which `largest` is the largest.

    >>> decimals(0.39), decimals(7e8), decimals(0.0)
    (4, 0, 3)
    """
    return min(max(3 - math.floor(math.log10(largest or 1.0)), 0), 12)


def places_of(schema: Schema | None, inputs: int, names: Sequence[str] | None = None) -> Places:
    """Return, by column name, the indices of the network inputs that encode the column.

    Elements of an array column form one column; elements of a vector are columns of their own.

    Args:
        schema: The table's schema, or None.
        inputs: Number of inputs.
        names: Names of the inputs without a schema; None numbers them.
    """
    if schema is None:
        known = names if names and len(set(names)) == inputs else range(inputs)
        return {str(name): np.array([at]) for at, name in enumerate(known)}
    found: dict[str, list[int]] = {whole(name): [] for name in schema.names}
    for at, name in enumerate(schema.origins()):
        found[whole(name)].append(at)
    return {name: np.array(at) for name, at in found.items()}


def whole(name: str) -> str:
    """Return the array column of an element's name ("a" for "a[3]"); other names are returned unchanged."""
    return ELEMENT.sub(r"\1", name)


def affordable(parts: Sequence[ScoredRows]) -> int:
    """Return the maximum number of columns that `measured` shuffles within its limit of work."""
    cost, count = max(part.cost for part in parts), sum(len(part.x) for part in parts)
    return max(FEWEST_COLUMNS, int(WORK / (cost * min(count, FEWEST_ROWS))))


def measured(parts: Sequence[ScoredRows], places: Places) -> Importances:
    """Compute permutation importances of the columns, for one network or for several, each on its own rows.

    Shuffles are seeded by column name, so that the same rows give the same bits.

    Args:
        parts: The rows with their networks.
        places: The inputs of each column.

    Source: Breiman 2001, section 10; Fisher, Rudin and Dominici 2019.
    """
    moving = [name for name, at in places.items() if any((part.x[:, at] != part.x[:1, at]).any() for part in parts)]
    cost, count = max(part.cost for part in parts), sum(len(part.x) for part in parts)
    rows = min(count, max(FEWEST_ROWS, int(WORK / (cost * max(1, len(moving))))))
    parts = [part[: max(1, len(part.x) * rows // count)] for part in parts]
    shuffles = min(SHUFFLES, max(1, int(WORK / (cost * rows * max(1, len(moving))))))
    most = max(FEWEST_COLUMNS, int(WORK / (cost * rows)))
    w, sampled = np.concatenate([part.w for part in parts]), sum(len(part.x) for part in parts)
    with threads() as run, np.errstate(**QUIET):
        tried = _likeliest(parts, places, moving, most) if len(moving) > most else moving
        before = [part.losses(part.x) for part in parts]
        rises = run(lambda name: _rise(parts, places[name], name, shuffles, before), tried)
        found = dict(zip(tried, rises, strict=True))
    untried = set(moving).difference(tried)
    made = [
        {"column": name, "importance": rise, "standardError": error}
        for name in places
        if name not in untried
        for rise, error in [found.get(name, (0.0, 0.0))]
    ]
    return Importances(made, float(w @ np.concatenate(before) / w.sum()), sampled, shuffles, len(tried), len(untried))


def _likeliest(parts: Sequence[ScoredRows], places: Places, moving: Sequence[str], most: int) -> list[str]:
    """Select the `most` columns to which the loss is most sensitive; categories, without derivatives, go first."""
    slopes = sum(part.slopes() for part in parts)
    slopes = np.where(slopes > 0, slopes, np.inf)
    of = np.array([slopes[places[name]].sum() for name in moving])
    return [moving[at] for at in sorted(np.argsort(-of, kind="stable")[:most].tolist())]


def _rise(
    parts: Sequence[ScoredRows],
    at: npt.NDArray[np.intp],
    name: str,
    shuffles: int,
    before: Sequence[Array],
) -> tuple[float, float]:
    """Return the mean rise of the loss when a column's values are shuffled, and its standard error.

    Both the rows and the values assigned to them are samples, so the variance has a term for each.
    """
    weight, by_row, by_value = sum(float(part.w.sum()) for part in parts), list[Array](), list[Array]()
    for number, (part, loss) in enumerate(zip(parts, before, strict=True)):
        x, rows, values = part.x.copy(), np.zeros(len(loss)), np.zeros(len(loss))
        for shuffle in range(shuffles):
            order = rng_for(0, "importance", name, number, shuffle).permutation(len(x))
            x[:, at] = part.x[np.ix_(order, at)]
            with np.errstate(**QUIET):  # the setting is per thread
                gained = part.w * (part.losses(x) - loss) / (shuffles * weight)
            rows += gained
            values[order] += gained
        by_row.append(rows)
        by_value.append(values)
    rows, values, share = (
        np.concatenate(by_row),
        np.concatenate(by_value),
        np.concatenate([p.w for p in parts]) / weight,
    )
    rise = float(rows.sum())
    error = np.sqrt(np.square(rows - rise * share).sum() + np.square(values - rise / len(values)).sum())
    return (rise, float(error)) if np.isfinite(rise) else (0.0, 0.0)

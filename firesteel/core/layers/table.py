"""The front of a network for a table: numbers cut into bins, and categories that choose rows of what is learned.

What reaches it are flat rows, as `firesteel/tables/schema.py` makes them of columns of any type.
"""

from collections.abc import Sequence
from dataclasses import MISSING
from typing import Any

import numpy as np
import numpy.typing as npt

from firesteel.core.faster import faster
from firesteel.core.initializers import RandomUniform
from firesteel.core.layer import Layer, Param
from firesteel.core.layers.embedding import categories, scattered
from firesteel.core.spec import choice, finite, flag, integer, later, number, whole
from firesteel.core.types import Array, Pull, Shape, Stream, Views, cached_property
from firesteel.errors import ConfigError

__all__ = ["PiecewiseLinear", "Table"]

Edges = tuple[tuple[float, ...], ...]
NARROWEST, WIDEST = 1e-37, 1e37
"""Between these float32 holds the width of a bin and what is divided by it."""


def edges_of(given: Any) -> Edges:
    """Return the edges of bins as tuples; raise ConfigError unless they are lists of numbers that ascend."""
    try:
        found = tuple([tuple([finite(edge) for edge in ends]) for ends in given])
    except TypeError:
        found = ((np.nan,),)
    if not all((np.abs(ends) < WIDEST).all() and (np.diff(ends) > NARROWEST).all() for ends in found):
        raise ConfigError(
            "edges must be a list of ascending numbers for each input, of a size that float32 has",
            code="config-value",
        )
    return found


def levels_of(given: Any) -> tuple[int, ...]:
    """Return numbers of categories as a tuple; raise ConfigError unless they are whole ones from 1 on."""
    found = [whole(count) for count in given] if isinstance(given, list | tuple) else [None]
    if not all(count and count > 0 for count in found):
        raise ConfigError(f"levels={given!r}: it must list how many categories each column has", code="config-value")
    return tuple(found)  # type: ignore[arg-type]


def shares_of(given: Any) -> tuple[float, ...]:
    """Return shares as a tuple; raise ConfigError unless each is in [0, 1)."""
    found = tuple(map(finite, given)) if isinstance(given, list | tuple) else (np.nan,)
    if not all(0.0 <= share < 1.0 for share in found):
        raise ConfigError(f"shares={given!r}: it must list numbers in [0, 1)", code="config-value")
    return found


class PiecewiseLinear(Layer):
    """Encodes each input piecewise linearly, by a number for each of its bins: 0 below, 1 above, linear inside.

    y_ij = clip((x_i - a_ij) / (a_i,j+1 - a_ij), 0, 1) for the edges a_i0 < a_i1 < ... of input i; the bins of one
    input stand next to one another, then those of the next.  A linear layer behind it learns a curve for each input.

    x: (B, I).  y: (B, number of all bins).

    Args:
        edges: Of each input's bins, ascending; quantiles of the rows are a good choice.  An input with fewer than two
            has no bins.

    Raises:
        ConfigError: If edges do not ascend, or are not as many as the inputs.

    >>> PiecewiseLinear([[0.0, 1.0, 3.0]]).apply({}, np.array([[2.0], [0.5]]))[0]
    array([[1. , 0.5],
           [0.5, 0. ]])

    Source: Gorishniy et al. 2022, section 3.2 of "On embeddings for numerical features", with closed outermost bins.
    """

    edges: Edges = choice(MISSING, edges_of)

    @property
    def inputs(self) -> int | None:
        return len(self.edges)

    @cached_property
    def bins(self) -> tuple[npt.NDArray[np.intp], Array, Array]:
        """Of each bin its input, its lower end, and what is divided by its width: (K,) each."""
        source = np.repeat(np.arange(len(self.edges)), [max(0, len(ends) - 1) for ends in self.edges])
        low = np.concatenate([np.zeros(0), *(ends[:-1] for ends in self.edges)])
        high = np.concatenate([np.zeros(0), *(ends[1:] for ends in self.edges)])
        return source, low, 1 / (high - low)

    @cached_property
    def vectors(self) -> dict[str, tuple[Array, Array]]:
        """Lower ends and factors as arrays of each dtype."""
        return {dtype: (self.bins[1].astype(dtype), self.bins[2].astype(dtype)) for dtype in ("float32", "float64")}

    def moved(self, centre: Sequence[float]) -> "PiecewiseLinear":
        if not centre:
            return self
        return PiecewiseLinear([[edge - c for edge in ends] for ends, c in zip(self.edges, centre, strict=True)])  # type: ignore[arg-type]

    def output_shape(self, *inputs: Shape) -> Shape:
        if len(inputs[0]) > 1:
            raise ConfigError(
                f"{self!r} takes values of one axis, and one of shape {inputs[0]} reaches it: put Flatten() before "
                "it",
                code="config-shape",
            )
        return (len(self.bins[0]),)

    def fill(self, x: Array, out: Array, at: int = 0) -> None:
        """Write y into the columns of `out`, from number `at` on; x, (B, I), may have more columns behind."""
        source, (low, factor) = self.bins[0], self.vectors[x.dtype.name]
        if (fast := faster("bins", len(x) * len(source))) and x.flags.c_contiguous:
            fast(x, source, low, factor, at, out)
            return
        y = x.take(source, axis=1)
        y -= low
        y *= factor
        np.copyto(y, 0, where=y <= 0)
        np.minimum(y, 1, out=out[:, at : at + len(source)])

    def apply(self, p: Views, x: Array, rng: Stream | None = None) -> tuple[Array, Pull]:
        y = np.empty((len(x), len(self.bins[0])), x.dtype)
        self.fill(x, y)

        return y, lambda d_y, g, wants_x: self.pulled(d_y, y) if wants_x else None

    def pulled(self, d_y: Array, y: Array) -> Array:
        """Return d_x, (B, I)."""
        d_x = np.zeros((len(y), len(self.edges)), y.dtype)
        inside = d_y * self.vectors[y.dtype.name][1] * ((y > 0) & (y < 1))
        np.add.at(d_x.T, self.bins[0], inside.T)
        return d_x


class Table(Layer):
    """Encodes a table's flat rows: numbers also by their bins, and categories by rows of a table that is learned.

    x: (B, N + P + C): N numbers, P that stay as they are, and C categories, whole numbers from 0.
    y: (B, N + P + K + C output_dim): the first N + P, then the K bins of the numbers (`PiecewiseLinear`), then a row
    of a table that is learned for each category.

    Without edges, plain, levels and shares it learns what they are from the table that a model is first fitted on, of
    columns of any type: `Sequential([Table(), Dense(...), ...]).fit(frame, y)`.

    Category 0 is what training has not seen.  It is trained all the same: while training each category is taken for
    it at probability `unseen`.

    Args:
        edges: Of the bins of each number.
        plain: P.
        levels: The number of categories of each column that has some.
        output_dim: How many numbers stand for a category.
        unseen: The share of categories that are taken for unseen ones in training.
        sparse_steps: As in `Embedding`.
        shares: `unseen` of each column, where they differ.

    >>> front = Table(edges=[[0.0, 2.0]], plain=1, levels=[3], output_dim=2)
    >>> front.apply({"e": np.arange(6.0).reshape(3, 2)}, np.array([[1.0, 0.0, 2.0]]))[0]
    array([[1. , 0. , 0.5, 4. , 5. ]])
    """

    edges: Edges = choice((), edges_of)
    plain: int = integer(0, low=0, why="it is how many inputs stay as they are")
    levels: tuple[int, ...] = choice((), levels_of)
    output_dim: int = integer(8, low=1, why="it is how many numbers stand for a category")
    unseen: float = number(0.01, low=0.0, below=1.0, why="it is the share of categories taken for unseen ones")
    sparse_steps: bool = flag(False)
    shares: tuple[float, ...] = later(choice((), shares_of))

    @property
    def random(self) -> bool:  # type: ignore[override]
        """Whether some categories are taken for unseen ones in training."""
        return bool(self.levels and (self.unseen or any(self.shares)))

    @property
    def inputs(self) -> int | None:
        return len(self.edges) + self.plain + len(self.levels) or None

    @cached_property
    def binned(self) -> PiecewiseLinear:
        """What cuts the numbers into bins."""
        return PiecewiseLinear(self.edges)

    @cached_property
    def first(self) -> npt.NDArray[np.intp]:
        """The row of each column's category 0, (C,): a column's categories stand together."""
        return np.cumsum([0, *self.levels[:-1]])

    def output_shape(self, *inputs: Shape) -> Shape:
        if inputs[0] != (self.inputs,):
            raise ConfigError(
                "Table() learns its columns from a table, such as a pandas DataFrame: fit the model on one, or say "
                "edges, plain and levels",
                code="config-shape",
            )
        if self.shares and len(self.shares) != len(self.levels):
            raise ConfigError(
                f"there are {len(self.shares)} shares, and {len(self.levels)} columns of categories",
                code="config-value",
            )
        return (len(self.edges) + self.plain + len(self.binned.bins[0]) + len(self.levels) * self.output_dim,)

    def params(self, *inputs: Shape) -> dict[str, Param]:
        if not self.levels:
            return {}
        drawn = RandomUniform(-0.05, 0.05)
        return {"e": Param((sum(self.levels), self.output_dim), drawn, by_row=self.sparse_steps)}

    def touched(self, x: Array) -> npt.NDArray[np.intp]:
        """Return the numbers of the rows that these inputs may choose, in a row."""
        return np.append(self.first, self._rows(x))

    def _rows(self, x: Array) -> npt.NDArray[np.intp]:
        """Return the number of the row that each category chooses; raise DataError for what is none."""
        codes, counts = x[:, x.shape[1] - len(self.levels) :], np.array(self.levels)
        if not (rows := codes.astype(np.intp)).size or (((rows == codes) & (rows >= 0) & (rows < counts)).all()):
            return rows + self.first
        at = int(np.flatnonzero(((rows != codes) | (rows < 0) | (rows >= counts)).any(axis=0))[0])
        return categories(codes[:, at], self.levels[at])

    def apply(self, p: Views, x: Array, rng: Stream | None = None) -> tuple[Array, Pull]:
        numbers, plain = len(self.edges), len(self.edges) + self.plain
        end = plain + len(self.binned.bins[0])
        y = np.empty((len(x), end + self.output_dim * len(self.levels)), x.dtype)
        y[:, :plain] = x[:, :plain]
        self.binned.fill(x, y, plain)
        if self.levels:
            rows = self._rows(x)
            if rng is not None and self.random:
                limit = (np.array(self.shares or self.unseen) * 2**32).astype(np.uint32)
                unseen = rng.halves(rows.size).reshape(rows.shape) < limit
                rows = np.where(unseen, self.first, rows)
            rows = p["place"][rows] if "place" in p else rows
            y[:, end:] = p["e"][rows].reshape(y[:, end:].shape)

        def pull(d_y: Array, g: Views, wants_x: bool) -> Array | None:
            if self.levels:
                scattered(d_y[:, end:], rows, g["e"])
            if not wants_x:
                return None
            d_x = np.zeros_like(x)
            d_x[:, :plain] = d_y[:, :plain]
            d_x[:, :numbers] += self.binned.pulled(d_y[:, plain:end], y[:, plain:end])
            return d_x

        return y, pull

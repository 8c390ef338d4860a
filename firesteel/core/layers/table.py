"""Layers that encode the columns of tables: piecewise linear encoding of numbers, embeddings of categories.

They read flat rows, which `firesteel/tables/schema.py` builds from columns of any type.
"""

from collections.abc import Sequence
from dataclasses import MISSING
from typing import Any

import numpy as np
import numpy.typing as npt

from firesteel.core.faster import faster
from firesteel.core.initializers import RandomUniform
from firesteel.core.layer import Layer, Param
from firesteel.core.layers.embedding import categories, scatter_add
from firesteel.core.spec import choice, finite, flag, integer, later, number, whole
from firesteel.core.types import Array, Pull, Shape, Stream, Views, cached_property
from firesteel.errors import ConfigError

__all__ = ["PiecewiseLinear", "Table"]

Edges = tuple[tuple[float, ...], ...]
NARROWEST, WIDEST = 1e-37, 1e37
"""Bounds of bin widths, within which their inverses fit into float32."""


def edges_of(given: Any) -> Edges:
    """Check the argument `edges`: return a tuple with the ascending bin edges of each input."""
    try:
        found = tuple([tuple([finite(edge) for edge in ends]) for ends in given])
    except TypeError:
        found = ((np.nan,),)
    if not all((np.abs(ends) < WIDEST).all() and (np.diff(ends) > NARROWEST).all() for ends in found):
        raise ConfigError(
            "edges must hold a list of ascending numbers for each input, within the range of float32",
            code="config-value",
        )
    return found


def levels_of(given: Any) -> tuple[int, ...]:
    """Check the argument `levels` of `Table`: return the number of categories of each column, as a tuple."""
    found = [whole(count) for count in given] if isinstance(given, list | tuple) else [None]
    if not all(count and count > 0 for count in found):
        raise ConfigError(
            f"levels={given!r}: it must list the number of categories of each column", code="config-value"
        )
    return tuple(found)  # type: ignore[arg-type]


def shares_of(given: Any) -> tuple[float, ...]:
    """Check the argument `shares` of `Table`: return a tuple of probabilities in [0, 1), one per column."""
    found = tuple(map(finite, given)) if isinstance(given, list | tuple) else (np.nan,)
    if not all(0.0 <= share < 1.0 for share in found):
        raise ConfigError(f"shares={given!r}: it must list one number in [0, 1) for each column", code="config-value")
    return found


class PiecewiseLinear(Layer):
    """Piecewise linear encoding: the position of each input in each of its bins, from 0 (below) to 1 (above).

    `y_ij = clip((x_i - a_ij) / (a_i,j+1 - a_ij), 0, 1)` for the bin edges `a_i0 < a_i1 < ...` of input i.  A dense
    layer after it learns a piecewise linear function of each input.  Input shape (B, I), output shape (B, number of
    all bins), with the bins of the first input first.

    Args:
        edges: Ascending bin edges of each input; quantiles of the rows are a good choice.  An input with fewer than
            two edges has no bins.
        name: Name of the layer in a model; None lets the model choose one.
        trainable: Without effect: the layer has no weights.

    Raises:
        ConfigError: Edges are not ascending numbers (`config-value`), or rows have several axes or not as many inputs
            as there are lists of edges (`config-shape`).

    Example:
        >>> import numpy as np
        >>> from firesteel.layers import PiecewiseLinear
        >>> PiecewiseLinear([[0.0, 1.0, 3.0]])(np.array([[2.0], [0.5]]))
        array([[1. , 0.5],
               [0.5, 0. ]])

    Source: Gorishniy et al. 2022, "On embeddings for numerical features", section 3.2; here the outermost bins are
    closed.
    """

    edges: Edges = choice(MISSING, edges_of)

    @property
    def inputs(self) -> int | None:
        return len(self.edges)

    @cached_property
    def bins(self) -> tuple[npt.NDArray[np.intp], Array, Array]:
        """Index of the input, lower edge and inverse width of each of the K bins: three arrays (K,)."""
        source = np.repeat(np.arange(len(self.edges)), [max(0, len(ends) - 1) for ends in self.edges])
        low = np.concatenate([np.zeros(0), *(ends[:-1] for ends in self.edges)])
        high = np.concatenate([np.zeros(0), *(ends[1:] for ends in self.edges)])
        return source, low, 1 / (high - low)

    @cached_property
    def vectors(self) -> dict[str, tuple[Array, Array]]:
        """Lower edges and inverse widths of the bins, for each dtype name, "float32" and "float64"."""
        return {dtype: (self.bins[1].astype(dtype), self.bins[2].astype(dtype)) for dtype in ("float32", "float64")}

    def moved(self, centre: Sequence[float]) -> "PiecewiseLinear":
        if not centre:
            return self
        return PiecewiseLinear([[edge - c for edge in ends] for ends, c in zip(self.edges, centre, strict=True)])  # type: ignore[arg-type]

    def output_shape(self, *inputs: Shape) -> Shape:
        if len(inputs[0]) > 1:
            raise ConfigError(
                f"{self!r} needs rows with one axis, but its input has shape {inputs[0]}: put Flatten() before it",
                code="config-shape",
            )
        return (len(self.bins[0]),)

    def fill(self, x: Array, out: Array, at: int = 0) -> None:
        """Write the encoding of x to consecutive columns of the array `out`.

        Args:
            x: Inputs, (B, I); further columns are ignored.
            out: The array.
            at: Index of the first column.
        """
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

        return y, lambda d_y, g, wants_x: self.input_gradient(d_y, y) if wants_x else None

    def input_gradient(self, d_y: Array, y: Array) -> Array:
        """Return the derivative with respect to the inputs, (B, I), given the outputs y and their derivative d_y."""
        d_x = np.zeros((len(y), len(self.edges)), y.dtype)
        inside = d_y * self.vectors[y.dtype.name][1] * ((y > 0) & (y < 1))
        np.add.at(d_x.T, self.bins[0], inside.T)
        return d_x


class Table(Layer):
    """Encoding of table rows: numbers, their piecewise linear encoding, and an embedding of each category.

    Input rows (B, N + P + C) hold N numbers, P inputs that pass unchanged, and C category numbers from 0.  Output
    rows (B, N + P + K + C output_dim) hold the first N + P inputs, the K bins of the numbers (see `PiecewiseLinear`),
    and a learned vector for each category.

    Without edges, plain and levels, the layer learns them from the table on which a model is first fitted, with
    columns of any type: `Sequential([Table(), Dense(...), ...]).fit(frame, y)`.

    Category 0 stands for categories that training has not seen.  To train its vector, each category is replaced by 0
    with probability `unseen` in training.

    Args:
        edges: Ascending bin edges of each number.
        plain: Number of inputs that pass unchanged, P.
        levels: Number of categories of each categorical column, including category 0.
        output_dim: Length of each category's vector.
        unseen: Probability with which a category is replaced by 0 in training, 0 <= unseen < 1.
        sparse_steps: Whether an update changes only the vectors whose categories occur in the batch; see `Embedding`.
        shares: Probabilities that replace `unseen`, one for each categorical column.
        name: Name of the layer in a model; None lets the model choose one.
        trainable: Whether training changes the layer's weights.

    Raises:
        ConfigError: An argument has a wrong value (`config-value`), or the layer does not know its columns because
            the model was not fitted on a table (`config-shape`).
        DataError: An input is not a category number (`data-category`).

    Example:
        >>> from firesteel.layers import Input, Table
        >>> encoding = Table(edges=[[0.0, 2.0]], plain=1, levels=[3], output_dim=2)
        >>> encoding(Input((3,))).shape  # 1 number, 1 unchanged input, 1 bin, 2 of the category's vector
        (None, 5)
    """

    edges: Edges = choice((), edges_of)
    plain: int = integer(0, low=0, why="plain is the number of inputs that pass unchanged")
    levels: tuple[int, ...] = choice((), levels_of)
    output_dim: int = integer(8, low=1, why="output_dim is the length of each category's vector")
    unseen: float = number(0.01, low=0.0, below=1.0, why="unseen is the probability of replacing a category by 0")
    sparse_steps: bool = flag(False)
    shares: tuple[float, ...] = later(choice((), shares_of))

    @property
    def random(self) -> bool:  # type: ignore[override]
        """Whether categories are replaced at random in training."""
        return bool(self.levels and (self.unseen or any(self.shares)))

    @property
    def inputs(self) -> int | None:
        return len(self.edges) + self.plain + len(self.levels) or None

    @cached_property
    def encoding(self) -> PiecewiseLinear:
        """`PiecewiseLinear` layer that encodes the numeric columns."""
        return PiecewiseLinear(self.edges)

    @cached_property
    def first(self) -> npt.NDArray[np.intp]:
        """Row of each column's category 0 in the common embedding table of all columns, (C,).

        The rows of a column are consecutive.
        """
        return np.cumsum([0, *self.levels[:-1]])

    def output_shape(self, *inputs: Shape) -> Shape:
        if inputs[0] != (self.inputs,):
            raise ConfigError(
                "Table() learns its columns from a table, such as a pandas DataFrame: fit the model on one, or pass "
                "edges, plain and levels",
                code="config-shape",
            )
        if self.shares and len(self.shares) != len(self.levels):
            raise ConfigError(
                f"Table has {len(self.shares)} shares but {len(self.levels)} categorical columns: pass one share for "
                "each column",
                code="config-value",
            )
        return (len(self.edges) + self.plain + len(self.encoding.bins[0]) + len(self.levels) * self.output_dim,)

    def params(self, *inputs: Shape) -> dict[str, Param]:
        if not self.levels:
            return {}
        drawn = RandomUniform(-0.05, 0.05)
        return {"e": Param((sum(self.levels), self.output_dim), drawn, by_row=self.sparse_steps)}

    def touched(self, x: Array) -> npt.NDArray[np.intp]:
        """Return the row numbers of the embedding table that the inputs x may select, as a flat array."""
        return np.append(self.first, self._rows(x))

    def _rows(self, x: Array) -> npt.NDArray[np.intp]:
        """Return the row of the embedding table for each category of x; raise DataError for invalid categories."""
        codes, counts = x[:, x.shape[1] - len(self.levels) :], np.array(self.levels)
        if not (rows := codes.astype(np.intp)).size or (((rows == codes) & (rows >= 0) & (rows < counts)).all()):
            return rows + self.first
        at = int(np.flatnonzero(((rows != codes) | (rows < 0) | (rows >= counts)).any(axis=0))[0])
        return categories(codes[:, at], self.levels[at])

    def apply(self, p: Views, x: Array, rng: Stream | None = None) -> tuple[Array, Pull]:
        numbers, plain = len(self.edges), len(self.edges) + self.plain
        end = plain + len(self.encoding.bins[0])
        y = np.empty((len(x), end + self.output_dim * len(self.levels)), x.dtype)
        y[:, :plain] = x[:, :plain]
        self.encoding.fill(x, y, plain)
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
                scatter_add(d_y[:, end:], rows, g["e"])
            if not wants_x:
                return None
            d_x = np.zeros_like(x)
            d_x[:, :plain] = d_y[:, :plain]
            d_x[:, :numbers] += self.encoding.input_gradient(d_y[:, plain:end], y[:, plain:end])
            return d_x

        return y, pull

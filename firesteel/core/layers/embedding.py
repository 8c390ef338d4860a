"""Embeddings: each input is the number of a category, and chooses a row of a table that is learned.

It is the one layer that reads its inputs as whole numbers, and reads only the rows that it is asked for.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from firesteel.core import initializers
from firesteel.core.constraints import Constraint
from firesteel.core.initializers import Initializer
from firesteel.core.layer import Layer, Param
from firesteel.core.layers.arguments import constraint, regularizer
from firesteel.core.regularizers import Regularizer
from firesteel.core.spec import choice, flag, integer, later
from firesteel.core.types import Array, Pull, Shape, Stream, Views
from firesteel.errors import ConfigError, DataError

__all__ = ["Embedding", "ahead", "categories", "scattered"]

EXACT = 1 << 24
"""Up to where float32 holds every whole number."""


class Embedding(Layer):
    """Learns `output_dim` numbers for each of `input_dim` categories: y = [e_{x_1}, ..., e_{x_I}].

    x: (B, ..., I), whole numbers from 0 to input_dim - 1.  e: (input_dim, output_dim).  y: (B, ..., I output_dim),
    as in Keras after Flatten.

    Args:
        input_dim: The number of categories.
        output_dim: How many numbers stand for each.
        embeddings_initializer: How the first of them are drawn.
        embeddings_regularizer: The penalty on them, if any.
        embeddings_constraint: What they must satisfy, if anything.
        sparse_steps: Whether a step moves the rows alone whose categories are in its batch, and takes as long however
            many there are.  Other rows keep their moments and do not decay: docs/design/0006-sparse-rows.md.

    Raises:
        ConfigError: For settings that cannot be, and in use for more categories than float32 has whole numbers.
        DataError: In use, for inputs that are no categories.

    >>> Embedding(3, 2).apply({"e": np.arange(6.0).reshape(3, 2)}, np.array([[2.0, 0.0]]))[0]
    array([[4., 5., 0., 1.]])

    Source: Bengio et al. 2003, section 2.
    """

    input_dim: int = integer(low=1, why="it is the number of categories")
    output_dim: int = integer(low=1, why="it is how many numbers stand for a category")
    embeddings_initializer: Initializer | str = choice("uniform", initializers.get)
    embeddings_regularizer: Regularizer | str | None = choice(None, regularizer)
    embeddings_constraint: Constraint | str | None = choice(None, constraint)
    sparse_steps: bool = later(flag(False))

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.sparse_steps and getattr(self.embeddings_regularizer, "joint", False):
            raise ConfigError(
                f"{self}: a step with sparse_steps knows few of the rows that the regularizer takes together: leave "
                "sparse_steps out",
                code="config-sparse",
            )
        if self.sparse_steps and getattr(self.embeddings_constraint, "axis", 1) == 0:
            raise ConfigError(
                f"{self}: a step with sparse_steps knows few of the rows that the constraint takes together: give it "
                "axis=1, over the numbers of a category, or leave sparse_steps out",
                code="config-sparse",
            )

    @property
    def inputs(self) -> int | None:
        return None

    def output_shape(self, *inputs: Shape) -> Shape:
        return (*inputs[0][:-1], inputs[0][-1] * self.output_dim)

    def params(self, *inputs: Shape) -> dict[str, Param]:
        drawn = initializers.get(self.embeddings_initializer)
        penalty, bound = regularizer(self.embeddings_regularizer), constraint(self.embeddings_constraint)
        return {"e": Param((self.input_dim, self.output_dim), drawn, penalty, bound, by_row=self.sparse_steps)}

    def touched(self, x: Array) -> npt.NDArray[np.intp]:
        """Return the numbers of the rows that these inputs choose, in a row."""
        return self._rows(x).reshape(-1)

    def _rows(self, x: Array) -> npt.NDArray[np.intp]:
        """Return the number of the row that each input chooses; raise DataError for what is no category."""
        if self.input_dim > EXACT and x.dtype == np.float32:
            raise ConfigError(
                f"{self} needs dtype='float64': float32 holds every whole number up to {EXACT:,}",
                code="config-dtype",
            )
        return categories(x, self.input_dim)

    def apply(self, p: Views, x: Array, rng: Stream | None = None) -> tuple[Array, Pull]:
        rows = p["place"][x.astype(np.intp)] if "place" in p else self._rows(x)

        def pull(d_y: Array, g: Views, wants_x: bool) -> Array | None:
            scattered(d_y, rows, g["e"])
            return np.zeros_like(x) if wants_x else None

        return p["e"][rows].reshape(*x.shape[:-1], x.shape[-1] * self.output_dim), pull


def categories(x: Array, count: int) -> npt.NDArray[np.intp]:
    """Return inputs as the numbers of categories; raise DataError for what is none of so many."""
    bad = ~((x >= 0) & (x < count) & (x == np.floor(x)))
    if bad.any():
        raise DataError(
            f"an embedding of {count:,} categories was given {x[bad][0]:g}, and {int(bad.sum()):,} of "
            f"{x.size:,} values like it: categories are whole numbers from 0 to {count - 1:,}",
            code="data-category",
        )
    return x.astype(np.intp)


def scattered(d_y: Array, rows: npt.NDArray[Any], d_e: Array) -> None:
    """Add up in d_e, (rows of the table, D), the derivatives by the rows that were chosen, (..., D) each."""
    d_e.fill(0)
    numbers = rows[..., None] * d_e.shape[1] + np.arange(d_e.shape[1])
    np.add.at(d_e.reshape(-1), numbers.reshape(-1), d_y.reshape(-1))  # five times faster than row by row


def ahead(plan: Sequence[Any], params: Sequence[dict[str, Param]]) -> tuple[Any, ...]:
    """Return the parts that say which rows a batch touches of parameters that move row by row, in order.

    Args:
        plan: What runs in a network.
        params: What each owner learns.

    Raises:
        ConfigError: If they cannot say it before a step, because they learn or draw random numbers themselves.
    """
    found, needed = list[Any](), set[int]()
    by_row = {owner for owner, owned in enumerate(params) for param in owned.values() if param.by_row}
    for part in reversed(plan) if by_row else ():
        looks_up = part.owner in by_row
        if part.wants if looks_up else (part.layer.random or part.layer.joint) and needed & {*part.makes}:
            raise ConfigError(
                f"{part.layer}: which rows of a table a batch touches must be known before a step, and here they "
                "depend on parameters or random numbers: leave sparse_steps out",
                code="config-sparse",
            )
        if looks_up or needed & {*part.makes}:
            needed |= {*part.reads}
            found += [] if looks_up else [part]
    return tuple(found[::-1])

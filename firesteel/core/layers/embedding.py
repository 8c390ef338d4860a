"""Embeddings: each input is a category number that selects a row of a learned table.

Only this layer and `Table` read inputs as integers, and they touch only the rows of the table that a batch selects.
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

__all__ = ["Embedding", "ahead", "categories", "scatter_add"]

EXACT = 1 << 24
"""The largest integer up to which float32 represents all integers."""


class Embedding(Layer):
    """Embedding: a learned vector for each category, `y = [e_{x_1}, ..., e_{x_I}]`.

    Inputs x (B, ..., I) are integers from 0 to input_dim - 1.  The table e has shape (input_dim, output_dim).  The
    output shape is (B, ..., I output_dim): the vectors of a row stand one after another, as in Keras after Flatten.

    Args:
        input_dim: Number of categories.
        output_dim: Length of each category's vector.
        embeddings_initializer: Initializer of the table.
        embeddings_regularizer: Penalty on the table, such as `"l2"`; None for no penalty.
        embeddings_constraint: Constraint on the table after each update; None for no constraint.
        sparse_steps: Whether an update changes only the rows whose categories occur in the batch.  Its time then does
            not depend on the number of categories.  Other rows keep their optimizer state and do not decay; see
            docs/design/0006-sparse-rows.md.
        name: Name of the layer in a model; None lets the model choose one.
        trainable: Whether training changes the layer's weights.

    Raises:
        ConfigError: An argument has a wrong value (`config-value`), `sparse_steps` does not go with the regularizer
            or constraint (`config-sparse`), or there are more categories than float32 has integers (`config-dtype`).
        DataError: An input is not a category number (`data-category`).

    Example:
        >>> from firesteel.layers import Embedding, Input
        >>> Embedding(1000, 16)(Input((3,))).shape  # three category numbers per row
        (None, 48)

    Source: Bengio et al. 2003, section 2.
    """

    input_dim: int = integer(low=1, why="input_dim is the number of categories")
    output_dim: int = integer(low=1, why="output_dim is the length of each category's vector")
    embeddings_initializer: Initializer | str = choice("uniform", initializers.get)
    embeddings_regularizer: Regularizer | str | None = choice(None, regularizer)
    embeddings_constraint: Constraint | str | None = choice(None, constraint)
    sparse_steps: bool = later(flag(False))

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.sparse_steps and getattr(self.embeddings_regularizer, "joint", False):
            raise ConfigError(
                f"{self}: this regularizer needs all rows of the table, but with sparse_steps an update reads only a "
                "batch's rows: leave sparse_steps out",
                code="config-sparse",
            )
        if self.sparse_steps and getattr(self.embeddings_constraint, "axis", 1) == 0:
            raise ConfigError(
                f"{self}: this constraint needs all rows of the table, but with sparse_steps an update reads only a "
                "batch's rows: give the constraint axis=1, so that it acts on each category's vector, or leave "
                "sparse_steps out",
                code="config-sparse",
            )

    @property
    def inputs(self) -> int | None:
        return None

    def output_shape(self, *inputs: Shape) -> Shape:
        return (*inputs[0][:-1], inputs[0][-1] * self.output_dim)

    def params(self, *inputs: Shape) -> dict[str, Param]:
        initializer = initializers.get(self.embeddings_initializer)
        penalty, bound = regularizer(self.embeddings_regularizer), constraint(self.embeddings_constraint)
        return {"e": Param((self.input_dim, self.output_dim), initializer, penalty, bound, by_row=self.sparse_steps)}

    def touched(self, x: Array) -> npt.NDArray[np.intp]:
        """Return the row numbers of the embedding table that the inputs x select, as a flat array."""
        return self._rows(x).reshape(-1)

    def _rows(self, x: Array) -> npt.NDArray[np.intp]:
        """Return the inputs as integer row numbers; raise DataError unless they are category numbers."""
        if self.input_dim > EXACT and x.dtype == np.float32:
            raise ConfigError(
                f"{self} needs a model with dtype='float64': float32 represents all integers only up to {EXACT:,}",
                code="config-dtype",
            )
        return categories(x, self.input_dim)

    def apply(self, p: Views, x: Array, rng: Stream | None = None) -> tuple[Array, Pull]:
        rows = p["place"][x.astype(np.intp)] if "place" in p else self._rows(x)

        def pull(d_y: Array, g: Views, wants_x: bool) -> Array | None:
            scatter_add(d_y, rows, g["e"])
            return np.zeros_like(x) if wants_x else None

        return p["e"][rows].reshape(*x.shape[:-1], x.shape[-1] * self.output_dim), pull


def categories(x: Array, count: int) -> npt.NDArray[np.intp]:
    """Check category numbers, given as floats, and return them as integers.

    Args:
        x: Inputs.
        count: Number of categories.

    Raises:
        DataError: An input is not an integer from 0 to count - 1 (`data-category`).
    """
    bad = ~((x >= 0) & (x < count) & (x == np.floor(x)))
    if bad.any():
        raise DataError(
            f"an embedding of {count:,} categories was given {x[bad][0]:g}; {int(bad.sum()):,} of {x.size:,} values "
            f"are not category numbers: use integers from 0 to {count - 1:,}",
            code="data-category",
        )
    return x.astype(np.intp)


def scatter_add(d_y: Array, rows: npt.NDArray[Any], d_e: Array) -> None:
    """Write the gradient of an embedding table to d_e: for each row, the sum of d_y over its occurrences.

    d_e has the table's shape, (N, D); d_y (..., D) is the derivative by the vectors that `rows` selects.
    """
    d_e.fill(0)
    numbers = rows[..., None] * d_e.shape[1] + np.arange(d_e.shape[1])
    np.add.at(d_e.reshape(-1), numbers.reshape(-1), d_y.reshape(-1))  # five times faster than row by row


def ahead(plan: Sequence[Any], params: Sequence[dict[str, Param]]) -> tuple[Any, ...]:
    """Return the layers that must run to find the embedding rows that a batch selects, in order.

    They run before an update; only embeddings with `sparse_steps` need them.

    Args:
        plan: The layer calls of a network, in order.
        params: The parameters of each owner.

    Raises:
        ConfigError: The rows are not known before an update, because these parts have parameters or draw random
            numbers (`config-sparse`).
    """
    found, needed = list[Any](), set[int]()
    by_row = {owner for owner, owned in enumerate(params) for param in owned.values() if param.by_row}
    for part in reversed(plan) if by_row else ():
        looks_up = part.owner in by_row
        if part.wants if looks_up else (part.layer.random or part.layer.joint) and needed & {*part.makes}:
            raise ConfigError(
                f"{part.layer}: with sparse_steps the rows that a batch selects must be known before the update, but "
                "here they depend on parameters or random numbers: leave sparse_steps out",
                code="config-sparse",
            )
        if looks_up or needed & {*part.makes}:
            needed |= {*part.reads}
            found += [] if looks_up else [part]
    return tuple(found[::-1])

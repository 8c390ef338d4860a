"""The op behind an embedding: each input is the number of a category, and chooses a row of a table.

It is the one op that reads its inputs as whole numbers, and touches only the rows that it is asked for.
"""

from dataclasses import dataclass

import numpy as np

from firesteel.core import initializers
from firesteel.core.constraints import Constraint
from firesteel.core.initializers import Initializer
from firesteel.core.ops import Op
from firesteel.core.regularizers import Regularizer
from firesteel.core.types import Array, Pull, Stream, Views
from firesteel.errors import DataError

__all__ = ["Lookup"]


@dataclass(frozen=True)
class Lookup(Op):
    """y = [e_{x_1}, ..., e_{x_I}]: the rows of the table e that the inputs name, one after another.

    x: (B, I), whole numbers from 0 to categories - 1.  e: (categories, units).  y: (B, I units)
    Raises DataError for any other number.

    >>> Lookup(3, 2).apply({"e": np.arange(6.0).reshape(3, 2)}, np.array([[2.0, 0.0]]), None)[0]
    array([[4., 5., 0., 1.]])
    """

    categories: int
    units: int
    initializer: Initializer = initializers.RandomUniform()
    price: Regularizer | None = None
    bound: Constraint | None = None

    def shapes(self, inputs: int) -> dict[str, tuple[int, ...]]:
        return {"e": (self.categories, self.units)}

    def outputs(self, inputs: int) -> int:
        return inputs * self.units

    def init(self, name: str) -> Initializer:
        return self.initializer

    def regularizer(self, name: str) -> Regularizer | None:
        return self.price

    def constraint(self, name: str) -> Constraint | None:
        return self.bound

    def apply(self, p: Views, x: Array, rng: Stream | None) -> tuple[Array, Pull]:
        bad = ~((x >= 0) & (x < self.categories) & (x == np.floor(x)))
        if bad.any():
            raise DataError(
                f"an embedding of {self.categories:,} categories was given {x[bad][0]:g}, and {int(bad.sum()):,} of "
                f"{x.size:,} values like it: categories are whole numbers from 0 to {self.categories - 1:,}",
                code="data-category",
            )
        rows = x.astype(np.intp)
        y = p["e"][rows].reshape(len(x), -1)

        def pull(d_y: Array, g: Views, wants_x: bool) -> Array | None:
            g["e"].fill(0)
            np.add.at(g["e"], rows, d_y.reshape(*rows.shape, self.units))
            return np.zeros_like(x) if wants_x else None

        return y, pull

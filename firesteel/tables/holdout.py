"""Which rows are held out for validation, a share of them, drawn by their keys; and the engines that hold both parts.

So equal rows go to one side, and both engines hold out the same ones.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from firesteel.core.centre import Centre
from firesteel.core.types import Array
from firesteel.train.blocks import Keys
from firesteel.train.engine import Engine
from firesteel.train.recipe import Recipe
from firesteel.train.source import Source


@contextlib.contextmanager
def opened(
    source: Source, recipe: Recipe, centre: Centre, validation: Source | None = None
) -> Iterator[tuple[Engine, Engine | None]]:
    """Give the engines of the rows to train on and of those to validate on, packed: all that a fit needs of rows.

    Args:
        source: The rows, some of which may be held out.
        recipe: How to train.
        centre: What is subtracted from the rows.
        validation: Rows to validate on in place of those held out.
    """
    shards, held = source.shards_of(recipe), source.survey().held
    with contextlib.ExitStack() as stack:
        engine = stack.enter_context(source.engine(shards, shuffle=recipe.shuffle, centre=centre))
        if validation is not None:
            yield engine, stack.enter_context(validation.engine(centre=centre))
        else:
            yield engine, stack.enter_context(source.engine(held=True, centre=centre)) if held else None


@dataclass(frozen=True)
class HoldOut:
    """Which rows are held out: those whose keys, read as fractions in [0, 1), are below `share`.

    limits: {class: key}, rows of the class from this key on are not.

    >>> keys, classes = np.array([0, 2**62, 2**63], np.uint64), np.array([[0.0], [1.0], [0.0]])
    >>> HoldOut(0.5).rows(keys, classes), HoldOut(0.5, ((1, 2**62),)).rows(keys, classes)
    (array([ True,  True, False]), array([ True, False, False]))
    """

    share: float = 0.0
    limits: tuple[tuple[int, int], ...] = ()

    def rows(self, keys: Keys, y: Array) -> npt.NDArray[np.bool_]:
        """Return which rows are held out, (n,).  y: (n, T), classes where there are limits"""
        out = (keys >> np.uint64(11)).astype(np.float64) * 2.0**-53 < self.share
        if self.limits:
            numbers, least = (np.array(part) for part in zip(*self.limits, strict=True))
            of = classes_of(y)
            at = np.minimum(np.searchsorted(numbers, of), len(numbers) - 1)
            out &= (of != numbers[at]) | (keys < least.astype(np.uint64)[at])
        return out


def classes_of(y: Array) -> Array:
    """Return the class of each row, (n,), of class numbers, (n, 1), or one-hot rows."""
    return y[:, 0] if y.shape[1] == 1 else y.argmax(axis=1).astype(np.float64)

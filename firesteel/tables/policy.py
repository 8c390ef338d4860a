"""Defaults that the rows decide: what stages and `firesteel train` hold out, and when they stop, if nobody says it.

The rows are profiled into a `Tally`, which adds up over batches in any order; `settled` reads the answer off it, so
that it is the same on any layout and engine.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from firesteel.core.layers import (
    Activation,
    BatchNormalization,
    Conv2D,
    Flatten,
    GlobalAveragePooling2D,
    Input,
    Layer,
    MaxPooling2D,
)
from firesteel.core.optimizers import AdamW
from firesteel.core.regularizers import Regularizer
from firesteel.core.types import Array, Shape
from firesteel.tables.holdout import HoldOut, classes_of
from firesteel.train.blocks import Keys
from firesteel.train.checks import MOST_CLASSES
from firesteel.train.strategies import Average

AUTOMATIC = "auto"
"""What a setting says that the rows decide."""
SHARE, PATIENCE = 0.1, 5
"""What is then held out, and how many passes without a better validation loss end the training."""
FEWEST_ROWS, FEWEST, MOST, LAST = 500, 5, 0.2, 5
"""Rows from which on something is; the fewest that are worth it, the largest share; and how many rows of each class,
the last by key, always stay."""


@dataclass(frozen=True)
class Defaults:
    """How a network is built and trained where nobody says it.

    Args:
        hidden: The units of each hidden layer, all SiLU.
        batch_size: Rows a step.
        epochs: The most passes.
        held: The share of the rows that is held out.
        patience: How many passes without a better validation loss end the training.
        members: How many networks are trained, each without another part of the rows, whose outputs are averaged.
        output_dim: How many numbers stand for a category.
    """

    hidden: tuple[int, ...]
    batch_size: int
    epochs: int
    held: float
    patience: int
    members: int = 1
    output_dim: int = 8


DROPOUT, RATE, MOMENTUM, ACTIVATION = 0.15, 0.002, 0.99, "silu"
"""Of every such network: the dropout behind each hidden layer, AdamW's rate, and what its averages keep at a step."""
OPTIMIZER = AdamW(RATE, use_ema=True, ema_momentum=MOMENTUM)
STEPS, FASTEST = 1_000, 10.0
"""In a fit of fewer steps than this each is larger, up to so many times, and the averages reach back over fewer."""
STRATEGY = Average(patient=True)
"""Of shards: their pass is chosen, and the rows of rare words do not bear a larger rate."""
FEW = 50
"""Rows of a table or of vectors from which on some are held out."""
BY_ROWS = (
    (2_000, Defaults((64, 64), 64, 256, 0.2, 32, members=8)),
    (20_000, Defaults((256, 256), 256, 256, 0.2, 16, members=4)),
    (200_000, Defaults((256, 256), 256, 256, 0.1, 16)),
    (2**63, Defaults((256, 256), 1024, 64, 0.1, 4, output_dim=16)),
)
"""Up to how many rows which defaults count: docs/tables.md says what they are worth."""


PICTURES = (
    (20_000, Defaults((128,), 64, 60, 0.2, 12)),
    (2**63, Defaults((128,), 128, 30, 0.1, 4)),
)
"""The same of networks that begin with convolutions."""
FILTERS, FEWEST_SIDE, MOST_PLACES, KEPT, RELU = (32, 64, 128), 8, 1024, 0.9, "relu"
"""Of each convolution; the height and width from which on a picture is halved behind one; the places of what the last
makes that go to the dense layers, beyond which their averages do; what moving averages of batch normalization keep at
a step, as a pass of few rows has few; and the activation."""
FEW_STEPS, SMALLEST = 20, 16
"""Of a shard in a pass: with fewer steps its batches are halved, down to so many rows."""


def defaults_for(rows: int, shards: int | None = None, pictures: bool = False) -> Defaults:
    """Return the defaults for so many rows, in so many shards if that is said.

    pictures: whether the network begins with convolutions.

    >>> defaults_for(500).hidden, defaults_for(5_000).batch_size, defaults_for(5_000, shards=8).batch_size
    ((64, 64), 256, 16)
    """
    found = next(found for most, found in (PICTURES if pictures else BY_ROWS) if rows < most)
    size, parts = found.batch_size, shards or 1
    while parts > 1 and size > SMALLEST and rows < FEW_STEPS * parts * size:
        size //= 2
    return replace(found, batch_size=size)


def optimizer_for(rows: int, batch_size: int | None, epochs: int) -> AdamW:
    """Return the optimiser for so many passes over so many rows.

    >>> [optimizer_for(rows, 64, 60).learning_rate for rows in (100, 700, 2_000)]
    [0.02, 0.003, 0.002]
    """
    steps = epochs * max(1.0, rows / (batch_size or rows or 1))
    more = min(max(STEPS / steps, 1.0), FASTEST)
    return replace(OPTIMIZER, learning_rate=round(RATE * more, 4), ema_momentum=MOMENTUM**more)


NARROWEST, MOST_WEIGHTS = 64, 2**24
"""Of the first layer: units that it has at any rate, and weights that it has at most beyond them, which is 64 MiB."""


def narrowed(hidden: tuple[int, ...], width: int) -> tuple[int, ...]:
    """Return hidden layers whose first is narrower where there are very many features, such as counts of words.

    >>> narrowed((256, 256), 784), narrowed((256, 256), 100_000), narrowed((256, 256), 2**20)
    ((256, 256), (167, 256), (64, 256))
    """
    return (min(hidden[0], max(NARROWEST, MOST_WEIGHTS // width)), *hidden[1:])


def convolutions(shape: Shape, activation: Any, penalty: Regularizer | None = None) -> list[Layer]:
    """Return what stands in front of the dense layers of a network for pictures.

    It is three convolutions of 3 x 3, each batch-normalized; the picture is halved behind the first two, where it has
    8 rows and columns at least.  The dense layers take all that the last makes, or of large pictures its averages.

    Args:
        shape: Height, width and channels of the pictures.
        activation: Behind each convolution.
        penalty: On the convolutions' weights.

    Example:
        >>> made = convolutions((8, 8, 1), "relu")
        >>> [type(layer).__name__ for layer in made][:6]
        ['Input', 'Conv2D', 'BatchNormalization', 'Activation', 'MaxPooling2D', 'Conv2D']
    """
    layers, (rows, columns, _) = list[Layer]([Input(shape)]), shape
    for number, filters in enumerate(FILTERS, 1):
        convolution = Conv2D(filters, 3, padding="same", use_bias=False, kernel_regularizer=penalty)
        layers += [convolution, BatchNormalization(momentum=KEPT), Activation(activation)]
        if min(rows, columns) >= FEWEST_SIDE and number < len(FILTERS):
            layers, rows, columns = [*layers, MaxPooling2D(2)], rows // 2, columns // 2
    return [*layers, Flatten() if rows * columns <= MOST_PLACES else GlobalAveragePooling2D()]


@dataclass(frozen=True)
class Tally:
    """How many rows have a weight above 0, and how many of them are held out, by class and key.

    The last rows by key of each class stand alone, the others of the class are one entry, under their largest key.
    """

    y: Array
    keys: Keys
    rows: npt.NDArray[np.int64]
    out: npt.NDArray[np.int64]

    @staticmethod
    def of(keys: Keys, y: Array, w: Array, held: npt.NDArray[np.bool_], classes: bool) -> "Tally":
        """Return the tally of some rows.  y: (n, T)  w: (n,)  classes: whether targets are classes"""
        some = (w > 0) & np.isfinite(y).all(axis=1)
        number = classes_of(y[some]) if classes else np.zeros(int(some.sum()))
        return Tally(number, keys[some], np.ones(len(number), np.int64), held[some].astype(np.int64))._short()

    @staticmethod
    def read(lists: Sequence[Sequence[float]] = ((), (), (), ())) -> "Tally":
        """Return the tally whose four arrays were written as lists; without them that of no rows."""
        return Tally(*(np.array(part, kind) for part, kind in zip(lists, ("f8", "u8", "i8", "i8"), strict=True)))

    @staticmethod
    def sum(parts: Sequence["Tally"]) -> "Tally":
        """Return the tally of all rows."""
        return Tally(*(np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(Tally)))._short()

    def _short(self) -> "Tally":
        order = np.lexsort((-self.rows, self.keys, self.y))
        y, keys, rows, out = (part[order] for part in (self.y, self.keys, self.rows, self.out))
        if not len(y):
            return self
        ends = np.append(np.flatnonzero(y[1:] != y[:-1]), len(y) - 1)
        behind = ends[np.searchsorted(ends, np.arange(len(y)))] - np.arange(len(y))
        starts = np.flatnonzero(np.append(True, y[1:] != y[:-1]) | (behind < LAST))[: MOST_CLASSES * (LAST + 1)]
        last = np.append(starts[1:], len(y)) - 1
        return Tally(y[starts], keys[last], np.add.reduceat(rows, starts), np.add.reduceat(out, starts))

    def limits(self, share: float = SHARE) -> tuple[tuple[int, int], ...]:
        """Return the limits of the classes whose last rows would not all stay."""
        found = []
        for number, first, count in zip(*np.unique(self.y, return_index=True, return_counts=True), strict=True):
            key = self.keys[first + count - LAST] if count >= LAST else np.uint64(0)
            if self.out[first : first + count].any() and key >> np.uint64(11) < share * 2.0**53:
                found.append((int(number), int(key)))
        return tuple(found)


def settled(look: Callable[[HoldOut], Tally], share: float = SHARE, fewest: int = FEWEST_ROWS) -> tuple[HoldOut, str]:
    """Return what to hold out where nobody has said it, and what there is to say of that.

    look: returns the tally of all rows, given what is held out; called a second time where a class has few rows.
    share: of the rows, to hold out.  fewest: rows from which on something is.
    """
    hold = HoldOut(share)
    seen = look(hold)
    if int(seen.rows.sum()) >= fewest and (limits := seen.limits(share)):
        hold = HoldOut(share, limits)
        seen = look(hold)
    rows, out = int(seen.rows.sum()), int(seen.out.sum())
    if rows < fewest:
        return HoldOut(), f"nothing is held out of {rows:,} rows, which are fewer than {fewest}"
    if not FEWEST <= out <= max(MOST, 2 * share) * rows:
        return HoldOut(), f"nothing is held out: by their keys it would be {out:,} of {rows:,} rows"
    return hold, f"{out:,} of {rows:,} rows are held out by their keys"

"""Default settings chosen by the number of rows: network, optimizer, validation rows and early stopping.

Rows are summarized in a `Tally`, which adds up over batches in any order, so that the result is the same on every
layout and engine.
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
"""Value of a setting that depends on the rows."""
SHARE, PATIENCE = 0.1, 5
"""Default share of validation rows, and the patience of early stopping in epochs."""
FEWEST_ROWS, FEWEST, MOST, LAST = 500, 5, 0.2, 5
"""Least number of rows to hold out any of; least number to hold out; greatest share; and the number of rows of each
class, the last by key, that are never held out."""


@dataclass(frozen=True)
class Defaults:
    """Default settings of a network and its training.

    Args:
        hidden: Units of each hidden layer; the activation is SiLU.
        batch_size: Rows per step.
        epochs: Maximum number of epochs.
        held: Share of validation rows.
        patience: Number of epochs without a better validation loss after which training stops.
        members: Number of networks in the ensemble, each of which holds out a different part of the rows.
        output_dim: Size of category embeddings.
    """

    hidden: tuple[int, ...]
    batch_size: int
    epochs: int
    held: float
    patience: int
    members: int = 1
    output_dim: int = 8


DROPOUT, RATE, MOMENTUM, ACTIVATION = 0.15, 0.002, 0.99, "silu"
"""Dropout after each hidden layer, AdamW's learning rate, and the momentum of its averages."""
OPTIMIZER = AdamW(RATE, use_ema=True, ema_momentum=MOMENTUM)
STEPS, FASTEST = 1_000, 10.0
"""Number of steps below which steps are larger, at most by this factor, and averages shorter."""
STRATEGY = Average(patient=True)
"""Strategy for shards: rows of rare words tolerate no higher rate."""
FEW = 50
"""Least number of rows of a table or of vectors to hold out any of."""
BY_ROWS = (
    (2_000, Defaults((64, 64), 64, 256, 0.2, 32, members=8)),
    (20_000, Defaults((256, 256), 256, 256, 0.2, 16, members=4)),
    (200_000, Defaults((256, 256), 256, 256, 0.1, 16)),
    (2**63, Defaults((256, 256), 1024, 64, 0.1, 4, output_dim=16)),
)
"""Defaults by number of rows (exclusive upper bounds); docs/tables.md shows their results."""


PICTURES = (
    (20_000, Defaults((128,), 64, 60, 0.2, 12)),
    (2**63, Defaults((128,), 128, 30, 0.1, 4)),
)
"""The same for networks that begin with convolutions."""
FILTERS, FEWEST_SIDE, MOST_PLACES, KEPT, RELU = (32, 64, 128), 8, 1024, 0.9, "relu"
"""Filters of each convolution; least height and width of a picture that is halved after one; greatest number of
places passed to the dense layers, beyond which they are averaged; momentum of batch normalization (short epochs have
few steps); and the activation."""
FEW_STEPS, SMALLEST = 20, 16
"""Least steps of a shard per epoch, below which batches are halved, and the smallest batch."""


def defaults_for(rows: int, shards: int | None = None, pictures: bool = False) -> Defaults:
    """Return the default training settings for a number of rows and, if known, of shards.

    Args:
        rows: Number of rows.
        shards: Number of shards.
        pictures: Whether the network begins with convolutions.

    >>> defaults_for(500).hidden, defaults_for(5_000).batch_size, defaults_for(5_000, shards=8).batch_size
    ((64, 64), 256, 16)
    """
    found = next(found for most, found in (PICTURES if pictures else BY_ROWS) if rows < most)
    size, parts = found.batch_size, shards or 1
    while parts > 1 and size > SMALLEST and rows < FEW_STEPS * parts * size:
        size //= 2
    return replace(found, batch_size=size)


def optimizer_for(rows: int, batch_size: int | None, epochs: int) -> AdamW:
    """Return the default optimizer, AdamW, with a learning rate for this number of rows and epochs.

    >>> [optimizer_for(rows, 64, 60).learning_rate for rows in (100, 700, 2_000)]
    [0.02, 0.003, 0.002]
    """
    steps = epochs * max(1.0, rows / (batch_size or rows or 1))
    more = min(max(STEPS / steps, 1.0), FASTEST)
    return replace(OPTIMIZER, learning_rate=round(RATE * more, 4), ema_momentum=MOMENTUM**more)


NARROWEST, MOST_WEIGHTS = 64, 2**24
"""Least units of the first layer, and the greatest number of weights above that (64 MiB)."""


def narrowed(hidden: tuple[int, ...], width: int) -> tuple[int, ...]:
    """Return sizes of hidden layers, with a smaller first one for very many inputs, such as word counts.

    >>> narrowed((256, 256), 784), narrowed((256, 256), 100_000), narrowed((256, 256), 2**20)
    ((256, 256), (167, 256), (64, 256))
    """
    return (min(hidden[0], max(NARROWEST, MOST_WEIGHTS // width)), *hidden[1:])


def convolutions(shape: Shape, activation: Any, penalty: Regularizer | None = None) -> list[Layer]:
    """Return the convolutional part of a default network for pictures: the layers before the dense ones.

    There are three 3 x 3 convolutions with batch normalization.  The picture is halved after the first two if it has
    at least 8 rows and columns.  The dense layers get all values of the last one, or, for large pictures, their
    averages.

    Args:
        shape: Height, width and channels of the pictures.
        activation: Activation after each convolution.
        penalty: Regularizer of the convolutions' weights.

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
    """Numbers of rows and of held-out rows by class and row key (hash), without rows of weight 0.

    The last rows of each class by key have entries of their own; the others share one entry, under their largest key.

    Args:
        y: The class of each entry.
        keys: The key of each entry.
        rows: Number of rows of each entry.
        out: Number of held-out rows of each entry.
    """

    y: Array
    keys: Keys
    rows: npt.NDArray[np.int64]
    out: npt.NDArray[np.int64]

    @staticmethod
    def of(keys: Keys, y: Array, w: Array, held: npt.NDArray[np.bool_], classes: bool) -> "Tally":
        """Count rows and held-out rows by class and row key.

        Args:
            keys: The row keys, (n,).
            y: The targets, (n, T).
            w: The row weights, (n,).
            held: Which rows are held out, (n,).
            classes: Whether targets are classes.
        """
        some = (w > 0) & np.isfinite(y).all(axis=1)
        number = classes_of(y[some]) if classes else np.zeros(int(some.sum()))
        return Tally(number, keys[some], np.ones(len(number), np.int64), held[some].astype(np.int64))._short()

    @staticmethod
    def read(lists: Sequence[Sequence[float]] = ((), (), (), ())) -> "Tally":
        """Create a tally from lists of its four fields, in their order; an empty tally by default."""
        return Tally(*(np.array(part, kind) for part, kind in zip(lists, ("f8", "u8", "i8", "i8"), strict=True)))

    @staticmethod
    def sum(parts: Sequence["Tally"]) -> "Tally":
        """Add up the tallies of several batches or partitions."""
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
        """Return limits for `HoldOut` that keep 5 training rows of each class, or all rows of a smaller class."""
        found = []
        for number, first, count in zip(*np.unique(self.y, return_index=True, return_counts=True), strict=True):
            key = self.keys[first + count - LAST] if count >= LAST else np.uint64(0)
            if self.out[first : first + count].any() and key >> np.uint64(11) < share * 2.0**53:
                found.append((int(number), int(key)))
        return tuple(found)


def settled(look: Callable[[HoldOut], Tally], share: float = SHARE, fewest: int = FEWEST_ROWS) -> tuple[HoldOut, str]:
    """Choose the default rule for validation rows; return it with a sentence that describes it.

    Args:
        look: Returns the tally of all rows for a `HoldOut`; called again if a class has few rows.
        share: Share of the rows to hold out.
        fewest: Least number of rows to hold out any of.
    """
    hold = HoldOut(share)
    seen = look(hold)
    if int(seen.rows.sum()) >= fewest and (limits := seen.limits(share)):
        hold = HoldOut(share, limits)
        seen = look(hold)
    rows, out = int(seen.rows.sum()), int(seen.out.sum())
    if rows < fewest:
        return HoldOut(), f"no rows are held out: {rows:,} rows are fewer than {fewest}"
    if not FEWEST <= out <= max(MOST, 2 * share) * rows:
        return HoldOut(), f"no rows are held out: by row hash it would be {out:,} of {rows:,}"
    return hold, f"{out:,} of {rows:,} rows are held out by row hash"

"""Where rows come from: a source is surveyed (data validation), then opened as an engine that holds its blocks.

`firesteel/tables/arrays.py` is the source in process, `firesteel/spark/frames.py` that of frames.  The rows held out
for validation are part of the source, so that both halves are checked in one look.
"""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, runtime_checkable

from firesteel.core.centre import UNCENTRED, Centre
from firesteel.errors import DataError
from firesteel.train import checks
from firesteel.train.blocks import is_sparse
from firesteel.train.centring import Sample
from firesteel.train.checks import Classes, Findings, Rule, refuse
from firesteel.train.engine import Engine
from firesteel.train.recipe import Recipe

__all__ = ["Source", "Survey", "check_kind", "check_targets", "check_weights", "check_width"]


@dataclass(frozen=True)
class Survey:
    """What is known of the rows once they have been looked at: how many to train on and held out, and their shape.

    width: I.  targets: T.  found: what is wrong with the targets, if they are meant for one kind of loss or another.
    classes: how often each occurs, if the targets can be classes.
    nonzeros: how many of the features of all rows are not 0, if they were counted.
    few: whether a source of vectors keeps most rows without their zeros, so that they are read sooner as they are.
    centre: of the columns that lie far from zero.  sample: of the rows to train on, while it is at hand.
    """

    rows: int
    held: int
    width: int
    targets: int
    found: Findings
    classes: Classes
    nonzeros: int | None = None
    few: bool = False
    centre: Centre = UNCENTRED
    sample: Sample | None = field(default=None, compare=False, repr=False)

    @property
    def sparse(self) -> bool:
        """Whether rows are packed as their non-zeros."""
        return is_sparse(self.width, self.nonzeros, self.rows + self.held)

    def shards(self, recipe: Recipe, blocks: int) -> int:
        """Return S: the recipe's, or else what its strategy has for so many blocks, a power of two.

        Of sparse rows each shard gets 64 non-zeros or more for each column, on the average: every round it sends back
        as much of the first kernel as its rows have touched.
        """
        if recipe.shards is not None:
            return recipe.shards
        usual = recipe.strategy.default_shards(self.rows, recipe.batch_size, blocks)
        while self.sparse and usual > 1 and (self.nonzeros or 0) < 64 * usual * self.width:
            usual //= 2
        return usual

    def sampled(self, sample: Sample, features: tuple[float, ...] | None = None) -> "Survey":
        """Return this with a sample of the rows to train on, and the centre that it shows, or the features' given."""
        centre = sample.centre if features is None else replace(sample.centre, features=features)
        return replace(self, sample=sample, centre=centre)

    @property
    def words(self) -> int:
        """How many words of 4 bytes a packed row is counted as."""
        if not self.sparse or self.nonzeros is None:
            return self.width
        return max(1, -(-2 * self.nonzeros // (self.rows + self.held)))


@runtime_checkable
class Source(Protocol):
    """Rows that can be checked, and then packed into blocks.

    names: what "features", "label" and "weight" are called there.  dtype: of the networks they are for.
    split: the share of them that is held out.
    """

    names: Mapping[str, str]
    dtype: Any

    @property
    def split(self) -> float: ...

    def survey(self) -> Survey:
        """Look at every row, once; raise DataError for anything that no network can be trained on."""
        ...

    def shards_of(self, recipe: Recipe) -> int:
        """Return S: the recipe's, and where it has none the one that suits the rows."""
        ...

    def engine(
        self, shards: int | None = None, *, held: bool = False, shuffle: bool = True, centre: Centre = ...
    ) -> contextlib.AbstractContextManager[Engine]:
        """Give the engine that holds the rows to train on, or those held out, packed, less a centre.

        shards: None where they are only evaluated, and the source may choose.
        """
        ...


def check_kind(survey: Survey, rule: Rule, name: str) -> None:
    """Raise DataError unless the targets are what a loss and its network take.  name: what they are called."""
    rows = survey.rows + survey.held
    refuse(survey.found, rows, {"label": name}, targets=rule.targets)
    if rule.targets == "class" and len(survey.classes) > checks.MOST_CLASSES:
        raise DataError(
            f"{name} has more than {checks.MOST_CLASSES:,} classes: is it a number to predict?",
            code="data-label-range",
        )
    if rule.targets == "class" and rule.classes is not None:
        checks.beyond(survey.classes, rule.classes, rows, name)


def check_weights(total: float, name: str, rows: str = "to train on") -> None:
    """Raise DataError when all weights are zero.  rows: which rows, in words."""
    if not total > 0:
        raise DataError(
            f"{name} is 0 in every row {rows}: give at least one row a weight above 0", code="data-zero-weight"
        )


def check_width(width: int, inputs: int, name: str, rows: int | None = None) -> None:
    """Raise DataError when rows do not have as many values as the network has inputs.  rows: of an array."""
    if width != inputs:
        hint = "write x.T, or " if rows == inputs else ""
        if rows is not None and rows * width == inputs:
            hint = "for one row write x.reshape(1, -1), or "
        raise DataError(
            f"{name} has {width} values a row, and the network takes {inputs}: {hint}give it rows of {inputs}, or "
            f"make its first layer with input_dim={width}",
            code="data-width",
        )


def check_targets(columns: int, expected: int, outputs: int, name: str) -> None:
    """Raise DataError when the targets do not have the columns that the loss wants."""
    if columns != expected:
        remedy = f"give {expected} a row, or change the last layer's {outputs} outputs"
        if expected == 1 and outputs > 1:
            remedy = "give class numbers, or use categorical_crossentropy for one-hot rows"
        elif columns == 1:
            remedy += "; for class numbers use sparse_categorical_crossentropy"
        raise DataError(
            f"{name} has {columns} values a row, and this loss with {outputs} outputs takes {expected}: {remedy}",
            code="data-label-width",
        )

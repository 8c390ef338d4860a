"""Sources of rows, such as arrays or a DataFrame: first profiled and validated, then packed into blocks.

`firesteel/tables/arrays.py` is the source for arrays, `firesteel/spark/frames.py` for DataFrames.  Held-out
validation rows belong to the source, so that both parts are validated in one pass.
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

__all__ = ["Source", "RowProfile", "check_kind", "check_targets", "check_weights", "check_width"]


@dataclass(frozen=True)
class RowProfile:
    """What one pass over the rows found: counts, classes, faults and statistics.

    Args:
        rows: The number of training rows.
        held: The number of validation rows.
        width: The number of features, I.
        targets: The number of targets, T.
        found: Faults of the rows, some of which matter for one kind of loss only.
        classes: The count of each class, if the targets can be classes.
        nonzeros: The number of non-zero features in all rows, if counted.
        few: Whether most vectors are stored sparse, so that reading them as such is faster.
        centre: The centre of columns far from zero.
        sample: A sample of the training rows, while available.
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
        """Whether the rows are stored in sparse form."""
        return is_sparse(self.width, self.nonzeros, self.rows + self.held)

    def shards(self, recipe: Recipe, blocks: int) -> int:
        """Return the number of shards: the user's, or a default that the strategy derives from the rows.

        With sparse rows each shard gets on average at least 64 non-zeros per column, because it returns in every
        round the rows of the first kernel that it touched.
        """
        if recipe.shards is not None:
            return recipe.shards
        usual = recipe.strategy.default_shards(self.rows, recipe.batch_size, blocks)
        while self.sparse and usual > 1 and (self.nonzeros or 0) < 64 * usual * self.width:
            usual //= 2
        return usual

    def sampled(self, sample: Sample, features: tuple[float, ...] | None = None) -> "RowProfile":
        """Return the profile with a sample of the training rows and a centre estimated from it."""
        centre = sample.centre if features is None else replace(sample.centre, features=features)
        return replace(self, sample=sample, centre=centre)

    @property
    def words(self) -> int:
        """Size of an encoded row in units of 4 bytes."""
        if not self.sparse or self.nonzeros is None:
            return self.width
        return max(1, -(-2 * self.nonzeros // (self.rows + self.held)))


@runtime_checkable
class Source(Protocol):
    """Protocol of sources of rows, such as arrays or a DataFrame, that can be validated and packed into blocks.

    Attributes:
        names: The source's names of "features", "label" and "weight".
        dtype: The dtype of the networks that the rows are for.
        split: The share of the rows that is held out for validation.
    """

    names: Mapping[str, str]
    dtype: Any

    @property
    def split(self) -> float: ...

    def profile(self) -> RowProfile:
        """Profile and validate all rows in one pass; raise DataError for rows that cannot be trained on."""
        ...

    def shards_of(self, recipe: Recipe) -> int:
        """Return the number of shards: the user's, or a default that suits the rows."""
        ...

    def engine(
        self, shards: int | None = None, *, held: bool = False, shuffle: bool = True, centre: Centre = ...
    ) -> contextlib.AbstractContextManager[Engine]:
        """Pack the training rows, or the validation rows if `held`, and open an engine with them.

        Args:
            shards: The number of shards; None lets the source choose, for rows that are only evaluated.
            held: Whether to open the validation rows.
            shuffle: Whether rows are packed in the order of their keys rather than their own.
            centre: The centre to subtract.
        """
        ...


def check_kind(profile: RowProfile, rule: Rule, name: str) -> None:
    """Raise DataError unless the targets suit a loss and its network.  name: that of the targets."""
    rows = profile.rows + profile.held
    refuse(profile.found, rows, {"label": name}, targets=rule.targets)
    if rule.targets == "class" and len(profile.classes) > checks.MOST_CLASSES:
        raise DataError(
            f"{name} has more than {checks.MOST_CLASSES:,} classes: to predict a number, use a regression loss",
            code="data-label-range",
        )
    if rule.targets == "class" and rule.classes is not None:
        checks.check_classes(profile.classes, rule.classes, rows, name)


def check_weights(total: float, name: str, rows: str = "to train on") -> None:
    """Raise DataError if all weights are zero.  rows: the description of the rows."""
    if not total > 0:
        raise DataError(
            f"{name} is 0 in every row {rows}: give at least one row a weight above 0", code="data-zero-weight"
        )


def check_width(width: int, inputs: int, name: str, rows: int | None = None) -> None:
    """Raise DataError unless rows have as many values as the network has inputs.  rows: their number, for arrays."""
    if width != inputs:
        hint = "write x.T, or " if rows == inputs else ""
        if rows is not None and rows * width == inputs:
            hint = "for one row write x.reshape(1, -1), or "
        raise DataError(
            f"{name} has {width} values per row, but the network takes {inputs}: {hint}give it rows of {inputs}, or "
            f"make its first layer with input_dim={width}",
            code="data-width",
        )


def check_targets(columns: int, expected: int, outputs: int, name: str) -> None:
    """Raise DataError unless the targets have the columns that the loss requires."""
    if columns != expected:
        remedy = f"give {expected} per row, or change the last layer's {outputs} outputs"
        if expected == 1 and outputs > 1:
            remedy = "give class indices, or use categorical_crossentropy for one-hot rows"
        elif columns == 1:
            remedy += "; for class indices use sparse_categorical_crossentropy"
        raise DataError(
            f"{name} has {columns} values per row, but this loss with {outputs} outputs takes {expected}: {remedy}",
            code="data-label-width",
        )

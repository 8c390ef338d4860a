"""A training from the command line: read rows, infer the task, build the network, train and evaluate.

`planned` stops before the first update and knows everything that `--dry-run` shows; `TrainingPlan.run` does the rest.
The demo in `train.py` runs one plan on both engines.
"""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from firesteel._checkpoints import FileCheckpoints, place
from firesteel.callbacks import Callback, EarlyStopping
from firesteel.cli.config import Config, TrainingSettings
from firesteel.cli.network import build, callbacks_of, check, optimizer_of
from firesteel.cli.parts import DataPart, Framed, labels, must_be_known, part, read
from firesteel.cli.rows import TABLES, FileRows, ask, has_test
from firesteel.cli.task import LearningTask, decide
from firesteel.core import layers
from firesteel.core.layers import Table
from firesteel.datasets.sets import SETS
from firesteel.errors import ConfigError, DataError
from firesteel.models import Model, Sequential
from firesteel.search.members import Foldable, fit_members
from firesteel.tables.policy import (
    ACTIVATION,
    AUTOMATIC,
    DROPOUT,
    FEW,
    FEWEST_ROWS,
    PATIENCE,
    SHARE,
    STRATEGY,
    Defaults,
    defaults_for,
    optimizer_for,
)
from firesteel.train.fit import fit
from firesteel.train.history import History, Row
from firesteel.train.recipe import Recipe, strategy_of
from firesteel.train.source import RowProfile
from firesteel.train.strategies import Gradient

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


@dataclass(frozen=True)
class Result:
    """Result of a training: the model, its scores, and where it was saved.

    Args:
        test: Loss and metrics of the test part; None without one.
        fingerprint: The model's fingerprint.
        seconds: Duration of the fit.
        held: Mean loss and metrics of an ensemble's members, each on the rows that it held out.
    """

    test: dict[str, float] | None
    fingerprint: str
    seconds: float
    held: dict[str, float] | None = None


@dataclass(frozen=True)
class TrainingPlan:
    """A training that is ready to run: settings, rows, task and network.

    Args:
        config: The settings, including what the rows decided.
        task: The learning task.
        model: The model.
        recipe: The settings of the fit.
        source: The training rows as a source.
        profile: The profile of the training rows.
        training: The training rows.
        test: The test rows.
        names: Names of the inputs.
        patience: Patience of the default early stopping.
        build: Creates the network of a member.
    """

    config: Config
    task: LearningTask
    model: Model
    recipe: Recipe
    source: Foldable
    profile: RowProfile
    training: DataPart
    test: DataPart | None
    names: tuple[str, ...] | None
    patience: int
    build: Callable[[], Model]

    @property
    def members(self) -> int:
        """Number of networks in the ensemble; 1 for a single network."""
        return self.config.training.members or 1

    @property
    def columns(self) -> tuple[str, ...] | None:
        """Names of the feature columns in the file; None if they have no names."""
        return self.names if self.model.schema is None else tuple(self.model.schema.names)

    @property
    def stopping(self) -> list[Callback]:
        """Early stopping, if the validation rows were chosen automatically."""
        if self.config.training.validation_split != AUTOMATIC or not (self.profile.held or self.members > 1):
            return []
        return [EarlyStopping("val_loss", patience=self.patience, restore_best_weights=True)]

    def run(self, callbacks: Sequence[Callback] = ()) -> Result:
        """Train the network, evaluate it on the test part, and return the result.

        Args:
            callbacks: Called in the training of each member; `params["member"]` is its number.
        """
        columns, model = self.training.columns or {}, self.model
        extra: dict[str, Any] = {"columns": tuple(columns.get(name) for name in ("features", "label", "weight"))}

        def given(number: int) -> dict[str, Any]:
            called = [*callbacks_of(self.config), *self.stopping, *callbacks]
            progress = place(None, called)
            if self.members == 1:
                return {"callbacks": called, "checkpoints": progress, "extra": extra}
            if progress is not None:  # kept until all members are trained
                progress = FileCheckpoints(f"{progress.path}-{number}", delete=False)
            return {
                "callbacks": called,
                "checkpoints": progress,
                "extra": {**extra, "member": number, "members": self.members},
            }

        start, scores = time.perf_counter(), None
        if self.members == 1:
            fit(model, self.source, self.recipe, **given(0))
        else:
            average, history = fit_members(lambda number: self.build(), self.source, self.recipe, self.members, given)
            model = Sequential.from_bytes(average.to_bytes(include_optimizer=False))
            model.history, scores = history, self._member_scores(history)
            self._end(model, callbacks)
        seconds = time.perf_counter() - start
        test = None
        if self.test is not None:
            test = model.evaluate(**self.test.arguments, verbose=0, return_dict=True)
        return Result(test, model.fingerprint(), seconds, scores)

    def _member_scores(self, history: History) -> dict[str, float]:
        """Return the mean validation loss and metrics of the members, each in its best epoch."""
        best = dict[int, Row]()
        for row in history.rows:
            if row["member"] in history.left_out:
                continue
            before = best.get(row["member"])
            if before is None or not self.stopping or row["val_loss"] < before["val_loss"]:
                best[row["member"]] = row
        weights = [self.profile.rows - row["rows"] for row in best.values()]
        names = [name for name in history.rows[0] if name.startswith("val_")]
        means = {name: np.average([row[name] for row in best.values()], weights=weights) for name in names}
        return {name.removeprefix("val_"): float(mean) for name, mean in means.items()}

    def _end(self, model: Model, callbacks: Sequence[Callback]) -> None:
        """Let the run folder's callback record the finished ensemble."""
        for folder in callbacks:
            if hasattr(folder, "end_members"):
                with self.source.engine(self.recipe.shards, centre=model.network.centre) as engine:
                    folder.end_members(model, engine)


def settled(config: Config) -> Config:
    """Complete the settings with the defaults of a data set, or with "standard" scaling for files.

    If the settings contain an EarlyStopping, it stops the training, and "auto" holds out no rows.
    """
    known = SETS.get(config.data.train)
    data, model = config.data, config.model
    if known is not None and data.class_names is None:
        data = replace(data, class_names=known.classes)
    if model.layers is None and model.scale is None:
        model = replace(model, scale="standard" if known is None else 1 / known.ink)
    how = config.training
    if how.validation_split == AUTOMATIC and any(table.get("type") == "EarlyStopping" for table in how.callbacks):
        how = replace(how, validation_split=0.0)
    return replace(config, data=data, model=model, training=how)


OPEN = (
    *(("model", key) for key in ("hidden", "activation", "dropout")),
    *(("training", key) for key in ("optimizer", "epochs", "batch_size", "members")),
)
"""Settings that default to values for the number of rows of a table."""


def suited(config: Config, known: Defaults, rows: int) -> Config:
    """Complete the settings with the defaults for a table of `rows` rows; the user's settings stay."""
    model = {"hidden": known.hidden, "activation": ACTIVATION, "dropout": DROPOUT}
    epochs, batch_size = config.training.epochs, config.training.batch_size
    passes = epochs if ("training", "epochs") in config.named else known.epochs
    each = batch_size if ("training", "batch_size") in config.named else known.batch_size
    training: dict[str, Any] = {"optimizer": optimizer_for(rows, each, passes).to_config(), "epochs": known.epochs}
    if ("training", "optimizer") not in config.named:
        training["strategy"] = STRATEGY.to_config()
    alone = config.training.validation_split != AUTOMATIC or config.model.initial is not None or rows < FEW
    training["members"] = 1 if alone else known.members

    def filled(section: Any, name: str, values: dict[str, Any]) -> Any:
        return replace(section, **{key: value for key, value in values.items() if (name, key) not in config.named})

    config = replace(config, model=filled(config.model, "model", model))
    config = replace(config, training=filled(config.training, "training", training))
    if isinstance(strategy_of(config.training.strategy, optimizer_of(config)), Gradient):
        return config
    return replace(config, training=filled(config.training, "training", {"batch_size": known.batch_size}))


def _front(config: Config) -> Table | None:
    """Return the first layer in the settings if it is a `Table`, otherwise None."""
    whole = config.model.layers
    first = layers.get(whole[0]) if whole else None
    return first if isinstance(first, Table) else None


@contextmanager
def planned(config: Config, spark: "SparkSession | None") -> Iterator[TrainingPlan]:
    """Plan a training from its settings: read the rows, infer the task, build the network.

    Raises ConfigError and DataError for everything that can be known before the first update.
    """
    for warning in _warnings(config.training):
        print(f"firesteel: warning: {warning}", file=sys.stderr)
    with ExitStack() as stack:
        try:
            plan = _planned(config, spark, stack)
        except DataError as error:
            if spark is None or error.code not in GAPS:
                raise
            plan = _planned(config, spark, stack, raw=True)  # Spark finds out only when it reads the rows
        yield plan


GAPS = ("data-null-item", "data-null-features", "data-nan", "data-infinite")
"""Codes of errors that show that numeric features are a table with missing values."""


def _planned(config: Config, spark: "SparkSession | None", stack: ExitStack, raw: bool = False) -> TrainingPlan:
    config = settled(config)
    check(config)
    if spark is not None and not config.training.shuffle:
        raise ConfigError("shuffle = false needs an order of rows, but DataFrames have none", code="config-frame")
    wanted, second = ask(config.data), ask(config.data, 1) if has_test(config.data) else None
    front, bounds = _front(config), None
    several = (config.training.members or 1) > 1
    _check_members(config, wanted.format)
    rows = read(replace(wanted, raw=wanted.raw or raw or several or front is not None), spark, stack)
    task = decide(labels(rows), config.training.loss, config.data.class_names)
    training = part(rows, task, spark)
    usual, patience, schema = (SHARE, FEWEST_ROWS), PATIENCE, None
    if isinstance(rows, FileRows) and rows.schema is not None:
        schema, known = rows.schema, defaults_for(len(rows.x), config.training.shards)
        config, usual, patience = suited(config, known, len(rows.x)), (known.held, FEW), known.patience
        front = schema.layer(front or Table(output_dim=known.output_dim))
        if task.kind == "regression" and task.outputs == 1:
            bounds = (float(rows.y.min()), float(rows.y.max()))
    split, dtype = config.training.validation_split, config.model.dtype
    several = (config.training.members or 1) > 1
    source = training.opened(0.0 if several else split, dtype, task.kind == "classification", usual)
    profile = source.profile()

    def built() -> Model:
        model = build(config, task, profile.width, front, bounds)
        model.schema = schema
        return model

    model, test = built(), None
    if second is not None:
        like = replace(second, inputs=profile.width, schema=schema)
        if like.format in TABLES:
            like = replace(like, features=rows.columns, label=rows.targets)
        others = read(like, spark, stack)
        if isinstance(others, Framed):
            must_be_known(others, task)
        test = part(others, task, spark)
    data = replace(
        config.data,
        features=rows.columns if wanted.format in TABLES else config.data.features,
        class_names=task.classes if task.kind != "regression" else None,
        picture=config.data.picture or rows.picture,
    )
    recipe = _recipe(config.training, model)
    recipe = replace(recipe, shards=source.shards_of(recipe))
    config = replace(config, data=data, training=replace(config.training, shards=recipe.shards))
    return TrainingPlan(config, task, model, recipe, source, profile, training, test, rows.names, patience, built)


def _check_members(config: Config, form: str) -> None:
    """Raise ConfigError if the settings ask for an ensemble that is not possible."""
    members, split = config.training.members or 1, config.training.validation_split
    if members > 1 and form not in TABLES:
        what = "only tables can have members: use CSV or Parquet, or leave it out"
    elif members > 1 and split not in (AUTOMATIC, 0.0):
        what = f"each member holds out its own part of the rows: leave out validation_split={split}"
    else:
        return
    raise ConfigError(f"members={members}: {what}", code="config-members")


def _recipe(how: TrainingSettings, model: Model) -> Recipe:
    return Recipe(
        how.epochs,
        how.batch_size,
        strategy_of(how.strategy, model.settings.optimizer),
        how.shards,
        how.seed,
        how.shuffle,
        how.initial_epoch,
        how.class_weight,
        evaluate_averaged=how.evaluate_averaged,
    )


def _warnings(how: TrainingSettings) -> Iterator[str]:
    """Yield warnings about parts of a recorded training that the file does not contain."""
    for name in how.code:
        yield f"{name} is Python code and not in the file: this training runs without it"
    if how.went_on:
        yield "the recorded training continued an earlier one, so this training may not repeat it"

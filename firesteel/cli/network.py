"""Builds network and callbacks from settings, and loads saved models with the settings of their run.

`check` refuses invalid settings before any row is read; `build` needs the number of inputs and the task.  `using.py`
starts from `scoring` and `trained`.
"""

import copy
import inspect
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from firesteel.callbacks import Callback
from firesteel.cli.common import flags
from firesteel.cli.config import FLAG, NUMBER, TEXT, Config, DataSettings, Kind, resolve
from firesteel.cli.rows import TABLES, Ask, ask, has_test
from firesteel.cli.task import Labels, LearningTask, decide
from firesteel.core import layers, losses, metrics, optimizers
from firesteel.core.elsewhere import unknown
from firesteel.core.loss import exclusive
from firesteel.datasets.sets import SETS
from firesteel.errors import ConfigError, StoreError
from firesteel.layers import Dense, Dropout, Layer, Normalization, Rescaling, Table
from firesteel.models import Model, Sequential, load_model
from firesteel.report.settings import NUMBERS_ALONE
from firesteel.train import strategies

# Networks from settings

METRICS = {"classification": ("accuracy",), "multilabel": ("binary_accuracy",), "regression": ("mae", "r2_score")}


def check(config: Config) -> None:
    """Raise ConfigError for settings that are invalid for any rows, before rows are read."""
    optimizer_of(config)
    callbacks_of(config)
    if config.training.strategy is not None:
        strategies.get(config.training.strategy)
    if config.training.loss is not None:
        losses.get(config.training.loss)
    for metric in config.training.metrics or ():
        if metric not in ("accuracy", "acc"):
            metrics.get(metric)
    _layers(config)


def optimizer_of(config: Config) -> optimizers.Optimizer:
    """Return the optimizer that the settings describe, with the learning rate if that is a setting of its own."""
    chosen: optimizers.Optimizer = optimizers.get(config.training.optimizer)
    rate = config.training.learning_rate
    return chosen if rate is None else replace(chosen, learning_rate=rate)


def callbacks_of(config: Config) -> list[Callback]:
    """Return the callbacks that the settings describe."""
    made: list[Callback] = []
    for table in config.training.callbacks:
        name = table.get("type")
        if name not in NUMBERS_ALONE:
            raise unknown("a callback that a file can describe", name, NUMBERS_ALONE)
        kind = NUMBERS_ALONE[str(name)]
        settings = {key: value for key, value in table.items() if key != "type"}
        known = inspect.signature(kind).parameters
        for key, value in settings.items():
            if key not in known:
                raise unknown(f"a setting of {name}", key, known)
            wanted = _kind(known[key].default)
            try:
                wanted.check(value)
            except ValueError:
                raise ConfigError(
                    f"{name}: {key} = {value!r}: it must be {wanted.words}", code="config-value"
                ) from None
        made.append(kind(**settings))
    return made


def _kind(default: Any) -> Kind:
    """Return the type of a callback's argument, derived from its default."""
    return FLAG if isinstance(default, bool) else TEXT if isinstance(default, str) else NUMBER


def build(
    config: Config,
    task: LearningTask,
    width: int,
    front: Table | None = None,
    bounds: tuple[float, float] | None = None,
) -> Model:
    """Build and compile the network for rows of a width.

    Args:
        config: The settings.
        task: The learning task.
        width: Number of inputs.
        front: The first layer for a table, if any.
        bounds: Smallest and largest target of a table's regression.
    """
    loss, whole, scale = task.loss, _layers(config), config.model.scale
    if front is not None and scale not in (None, "standard"):
        raise ConfigError(
            f"scale={scale!r}: the columns of a table are scaled automatically: leave it out", code="config-value"
        )
    if config.model.layers is None:
        whole.append(Dense(task.outputs, loss.natural))
        numbers = task.kind == "regression" and loss.targets == "real"
        if scale == "standard" and numbers:
            whole, loss = [*whole, Normalization(invert=True, bounds=bounds)], losses.Standardized(loss)
            whole = [Normalization(), *whole] if front is None else whole
        elif scale == "standard" and front is None:
            whole = [Normalization(input_dim=width), *whole]
        elif scale not in (None, 1, "standard"):
            whole = [Rescaling(float(scale), input_dim=width), *whole]
    if front is not None:
        whole = [copy.copy(front), *whole[isinstance(whole[0], Table) :]]
    model = Sequential(whole, dtype=config.model.dtype)
    names = METRICS[task.kind] if config.training.metrics is None else config.training.metrics
    measured = [name if isinstance(name, str) else metrics.get(name) for name in names]
    model.compile(optimizer_of(config), loss, measured)
    model.build((None, width))
    if config.model.initial is not None:
        folder = config.file.parent if config.file is not None else Path()
        first = load_model(folder / config.model.initial)
        model.set_weights(first.get_weights())
        model._network = replace(model.network, centre=first.network.centre)
    return model


def _layers(config: Config) -> list[Layer]:
    """Return the layers that the settings list, or the hidden layers of the short form."""
    if config.model.layers is not None:
        return [layers.get(table) for table in config.model.layers]
    made: list[Layer] = []
    for units in config.model.hidden:
        made.append(Dense(units, config.model.activation))
        if config.model.dropout:
            made.append(Dropout(config.model.dropout))
    return made


# Saved models

MODEL, SETTINGS = "model.firesteel", "config.toml"


@dataclass(frozen=True)
class Trained:
    """A saved model, with the settings of the run that trained it, if known.

    Args:
        path: The model file.
        model: The model.
        config: The settings of the run, if the file is in a run folder.
    """

    path: Path
    model: Model
    config: Config | None

    @property
    def loss(self) -> losses.Loss:
        """Loss of the model; raises ConfigError if the model was saved without one."""
        compiled = self.model.get_compile_config()
        if compiled is None:
            raise ConfigError(
                f"{self.path}: the model was saved without a loss: compile it and save it again", code="config"
            )
        loss: losses.Loss = losses.get(compiled["loss"])
        return loss

    @property
    def kind(self) -> str:
        """Kind of task: "classification", "multilabel" or "regression"."""
        outputs, loss = self.model.network.outputs, self.loss
        if (
            loss.targets in ("class", "sign")
            or loss.natural == "softmax"
            or (loss.targets == "unit" and outputs == 1)
        ):
            return "classification"
        return "multilabel" if loss.targets == "unit" and not exclusive(loss, outputs) else "regression"

    @property
    def names(self) -> tuple[str, ...] | None:
        """Names of the classes or labels that the run recorded, if any."""
        return None if self.config is None else self.config.data.class_names

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes or labels, or their numbers if they have no names."""
        outputs = self.model.network.outputs
        count = 2 if outputs == 1 and self.kind == "classification" else outputs
        return self.names or tuple(str(number) for number in range(count))

    def task(self, labels: Labels) -> LearningTask:
        """Return the learning task of the model for given labels; raise an error for unknown classes."""
        if self.kind == "regression":
            return decide(labels, self.loss)
        if labels.kind == "text" and self.names is None:
            raise ConfigError(
                f"{labels.name} holds text, but {self.path} does not contain the names of the classes: give the "
                f"run folder with {SETTINGS} instead",
                code="config-class-names",
            )
        return decide(labels, self.loss, self.classes)

    def ask(
        self,
        path: str | None,
        form: str | None,
        label: str | None,
        features: str | None,
        weight: str | None = None,
        *,
        labelled: bool = True,
    ) -> Ask:
        """Return which rows to read: those of the options, otherwise the test part of the run or data set."""
        known = DataSettings() if self.config is None else self.config.data
        if path is None:
            if self.config is None or not has_test(known):
                raise ConfigError(
                    "choose the rows with --data: there is no run folder with a test part", code="config-data"
                )
            wanted = ask(known, 1, labelled=labelled)
            return replace(wanted, inputs=self.model.network.inputs, schema=self.model.schema)
        given = resolve(None, flags(data=path, format=form, label=label, features=features, weight=weight), {}).data
        wanted = ask(given, 1 if path in SETS else 0, labelled=labelled)
        schema = self.model.schema
        usual = known.features if schema is None else tuple(schema.names)
        if wanted.format in TABLES and usual is not None:
            wanted = replace(
                wanted,
                label=wanted.label or known.label,
                features=wanted.features or usual,
                weight=wanted.weight or known.weight,
                schema=schema,
            )
        return replace(wanted, inputs=self.model.network.inputs)


def scoring(path: Path) -> Trained:
    """Load the model of a file or a run folder for scoring; raise ConfigError for several inputs or outputs.

    Raises:
        StoreError: If there is no model.
        ConfigError: If the model has several inputs or outputs.
    """
    known = trained(path)
    ports = known.model._ports
    if ports is not None and (len(ports.inputs), len(ports.outputs)) != (1, 1):
        names = [", ".join(name for name, _ in part) for part in (ports.inputs, ports.outputs)]
        raise ConfigError(
            f"{path} has the inputs {names[0]} and the outputs {names[1]}, but the command line scores only models "
            "with one input and one output.  To do: use load_model, predict and evaluate in Python",
            code="config-model",
        )
    return known


def trained(path: Path) -> Trained:
    """Load the model of a file or a run folder; raise StoreError if there is no model."""
    file = path / MODEL if path.is_dir() else path
    if path.is_dir() and not file.exists():
        raise StoreError(f"{path}: this folder has no {MODEL}: has the run finished?", code="store-read")
    model = load_model(file)
    settings = file.with_name(SETTINGS)
    belongs = file.name == MODEL and settings.exists()
    config = resolve(settings, {}, {}) if belongs else None
    return Trained(file, model, config)

"""The network and the callbacks that a configuration describes.

What cannot work is refused by `check` before any row is read; `build` needs the rows' width and the task.
"""

import inspect
from dataclasses import replace
from pathlib import Path
from typing import Any

from firesteel.callbacks import Callback
from firesteel.cli.config import FLAG, NUMBER, TEXT, Config, Kind
from firesteel.cli.task import LearningTask
from firesteel.core import layers, losses, metrics, optimizers
from firesteel.core.losses import Loss, Standardized
from firesteel.core.optimizers import Optimizer
from firesteel.core.spec import unknown
from firesteel.errors import ConfigError
from firesteel.layers import Dense, Dropout, Layer, Rescaling
from firesteel.models import Sequential, load_model
from firesteel.report.settings import NUMBERS_ALONE
from firesteel.tables.moments import Moments
from firesteel.train import strategies

METRICS = {"classification": ("accuracy",), "multilabel": ("binary_accuracy",), "regression": ("mae", "r2_score")}


def check(config: Config) -> None:
    """Raise ConfigError for what cannot work whatever the rows are."""
    optimizer_of(config)
    callbacks_of(config)
    if config.training.strategy is not None:
        strategies.get(config.training.strategy)
    if config.training.loss is not None:
        losses.get(config.training.loss)
    for metric in config.training.metrics or ():
        if metric not in ("accuracy", "acc"):
            metrics.get(metric)
    if config.model.layers is None:
        _hidden(config)
    else:
        _given(config)


def optimizer_of(config: Config) -> Optimizer:
    """Return the optimiser, with the learning rate if one is given apart."""
    chosen: Optimizer = optimizers.get(config.training.optimizer)
    rate = config.training.learning_rate
    return chosen if rate is None else replace(chosen, learning_rate=rate)


def callbacks_of(config: Config) -> list[Callback]:
    """Return the callbacks that the configuration describes."""
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
    """Return what a callback's setting must be, by its default."""
    return FLAG if isinstance(default, bool) else TEXT if isinstance(default, str) else NUMBER


def measures_targets(config: Config, task: LearningTask) -> bool:
    """Return whether inputs and targets are brought to mean 0 and variance 1 inside the model, and back."""
    short = config.model.layers is None and config.model.scale == "standard"
    return short and task.kind == "regression" and task.loss.targets == "real"


def build(config: Config, task: LearningTask, width: int, moments: tuple[Moments, Moments] | None) -> Sequential:
    """Return the network for rows of this width, compiled.

    moments: of the inputs and the targets, where `measures_targets` asks for them.
    """
    loss: Loss = task.loss
    if config.model.layers is not None:
        whole = _given(config)
    else:
        whole = [*_front(config, width, moments), *_hidden(config), Dense(task.outputs, loss.natural)]
        if moments is not None:
            targets = moments[1]
            whole.append(targets.normalization(invert=True))
            loss = Standardized(loss, targets.mean, targets.deviation)  # type: ignore[arg-type]
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


def _front(config: Config, width: int, moments: tuple[Moments, Moments] | None) -> list[Layer]:
    scale = config.model.scale
    if moments is not None:
        return [moments[0].normalization()]
    if scale == "standard":
        return [layers.Normalization(input_dim=width)]
    return [] if scale is None or scale == 1 else [Rescaling(float(scale), input_dim=width)]


def _hidden(config: Config) -> list[Layer]:
    made: list[Layer] = []
    for units in config.model.hidden:
        made.append(Dense(units, config.model.activation))
        if config.model.dropout:
            made.append(Dropout(config.model.dropout))
    return made


def _given(config: Config) -> list[Layer]:
    return [layers.get(table) for table in config.model.layers or ()]

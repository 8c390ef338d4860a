"""Callbacks under Keras's names: hooks called during training; they may stop it or change the learning rate.

firesteel's own callbacks keep no state outside the model: they read what they decide off the history, so that an
interrupted training resumes to the bit.  `Conductor` connects them to `loop.py`.
"""

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from numbers import Real
from typing import Any, Self

import numpy as np

from firesteel._printing import say
from firesteel.core.elsewhere import check_arguments, nearest
from firesteel.core.network import Objective
from firesteel.core.schedules import Schedule
from firesteel.core.spec import finite, whole
from firesteel.core.types import Array
from firesteel.errors import ConfigError
from firesteel.train.engine import ROWS, Engine
from firesteel.train.epoch import Watcher
from firesteel.train.history import UNMEASURED, History, Row
from firesteel.train.recipe import Recipe
from firesteel.train.search import Bold
from firesteel.train.state import TrainState
from firesteel.train.stopping import Stopping, better
from firesteel.train.strategies import Gradient

__all__ = [
    "BoldDriver",
    "Callback",
    "EarlyStopping",
    "LearningRateScheduler",
    "ReduceLROnPlateau",
]

Logs = Mapping[str, Any] | None


class Callback:
    """Base class of callbacks: override the hooks you need.

    Epoch hooks are called on every engine.  Batch hooks only observe: they are called for each step where one shard
    trains in this process, and for each round otherwise.  A batch hook that sets the learning rate or the weights
    ends the training with `ConfigError`.

    Attributes:
        model: The model being trained.  `model.stop_training = True` ends the training after this epoch;
            `model.learning_rate` can be read and set.
        params: The settings of the training, such as `"epochs"` and `"steps"`.
        given: The arguments that the callback was constructed with.
        run_name: The name of the training in Spark's list of jobs.
        observes: Whether the callback changes nothing, so that an interrupted training may resume without it.

    Example:
        >>> class Stop(Callback):
        ...     def on_epoch_end(self, epoch, logs=None):
        ...         self.model.stop_training = logs["loss"] < 0.1
        >>> Stop().observes
        False
    """

    model: Any = None
    params: Mapping[str, Any] = {}
    given: Mapping[str, Any] = {}
    run_name: str | None = None
    observes: bool = False

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        signature = inspect.signature(cls.__init__)
        if all(one.kind is not one.VAR_KEYWORD for one in signature.parameters.values()):
            check_arguments(cls.__name__, kwargs, list(signature.parameters)[1:])
        made = super().__new__(cls)
        made.given = dict(zip(list(signature.parameters)[1:], args, strict=False)) | kwargs
        return made

    def set_model(self, model: Any) -> None:
        """Store the model that is about to train as `self.model`."""
        self.model = model

    def set_params(self, params: Mapping[str, Any]) -> None:
        """Store the settings of the training as `self.params`."""
        self.params = params

    def set_rows(self, objective: Objective, training: Engine, validation: Engine | None) -> None:
        """Called before training with the objective, and the engines that hold training and validation rows.

        Args:
            objective: The loss and metrics that score the rows.
            training: The engine of the training rows.
            validation: The engine of the validation rows, or None.
        """

    def on_train_begin(self, logs: Logs = None) -> None:
        """Called at the start of training.

        Args:
            logs: An empty dictionary.
        """

    def on_train_end(self, logs: Logs = None) -> None:
        """Called at the end of training.

        Args:
            logs: The losses and metrics of the last epoch.
        """

    def on_train_error(self, error: BaseException) -> None:
        """Called when an error or an interrupt ends training.  The model has its last good weights.

        Args:
            error: The exception, which is raised again afterwards.
        """

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        """Called at the start of an epoch.

        Args:
            epoch: The index of the epoch, from 0.
            logs: An empty dictionary.
        """

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        """Called at the end of an epoch.

        Args:
            epoch: The index of the epoch, from 0.
            logs: The losses and metrics of the epoch; those of the validation rows have the prefix `val_`.
        """

    def on_train_batch_begin(self, batch: int, logs: Logs = None) -> None:
        """Called at the start of a training step.

        Args:
            batch: The index of the step in its epoch, from 0.
            logs: An empty dictionary.
        """
        self.on_batch_begin(batch, logs)

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        """Called at the end of a training step.

        Args:
            batch: The index of the step in its epoch, from 0.
            logs: The losses and metrics of the epoch so far.
        """
        self.on_batch_end(batch, logs)

    def on_batch_begin(self, batch: int, logs: Logs = None) -> None:
        """Alias of `on_train_batch_begin`, which calls it."""

    def on_batch_end(self, batch: int, logs: Logs = None) -> None:
        """Alias of `on_train_batch_end`, which calls it."""

    def on_test_begin(self, logs: Logs = None) -> None:
        """Called at the start of an evaluation, also of the validation rows during training.

        Args:
            logs: An empty dictionary.
        """

    def on_test_end(self, logs: Logs = None) -> None:
        """Called at the end of an evaluation.

        Args:
            logs: The losses and metrics of the evaluation.
        """

    def on_test_batch_begin(self, batch: int, logs: Logs = None) -> None:
        """Called once per evaluation, after `on_test_begin`, since all rows count as one batch.

        Args:
            batch: 0.
            logs: An empty dictionary.
        """

    def on_test_batch_end(self, batch: int, logs: Logs = None) -> None:
        """Called once per evaluation, before `on_test_end`, since all rows count as one batch.

        Args:
            batch: 0.
            logs: The losses and metrics of the evaluation.
        """

    def on_predict_begin(self, logs: Logs = None) -> None:
        """Called at the start of a prediction; never during training.

        Args:
            logs: An empty dictionary.
        """

    def on_predict_end(self, logs: Logs = None) -> None:
        """Called at the end of a prediction.

        Args:
            logs: The predictions, under `"outputs"`.
        """

    def on_predict_batch_begin(self, batch: int, logs: Logs = None) -> None:
        """Called once per prediction, after `on_predict_begin`, since all rows count as one batch.

        Args:
            batch: 0.
            logs: An empty dictionary.
        """

    def on_predict_batch_end(self, batch: int, logs: Logs = None) -> None:
        """Called once per prediction, before `on_predict_end`, since all rows count as one batch.

        Args:
            batch: 0.
            logs: The predictions, under `"outputs"`.
        """


LOGGED = ("on_train_begin", "on_train_end", "on_test_begin", "on_test_end", "on_predict_begin", "on_predict_end")
BATCHES = ("on_batch", "on_train_batch", "on_test_batch", "on_predict_batch")
HOOKS = {
    **dict.fromkeys(LOGGED, ("logs",)),
    **dict.fromkeys(("on_epoch_begin", "on_epoch_end"), ("epoch", "logs")),
    **{f"{name}_{when}": ("batch", "logs") for name in BATCHES for when in ("begin", "end")},
    "on_train_error": ("error",),
}
"""The positional arguments of each hook."""
STEPS = [f"{name}_{when}" for name in BATCHES[:2] for when in ("begin", "end")]
"""The hooks of a training step."""
HOOKS_ELSEWHERE = {
    "on_fit_start": "on_train_begin",
    "on_fit_end": "on_train_end",
    "on_train_epoch_start": "on_epoch_begin",
    "on_train_epoch_end": "on_epoch_end",
    "on_validation_start": "on_test_begin",
    "on_validation_begin": "on_test_begin",
    "on_validation_end": "on_test_end",
    "on_validation_epoch_end": "on_test_end",
}
"""Names of hooks in other libraries, and the name of each here."""


def takes(function: object, count: int) -> bool | None:
    """Return whether an object can be called with `count` positional arguments.

    The result is unknown (None) if the signature is not available, or ends in `*args`.
    """
    try:
        signature = inspect.signature(function)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None if callable(function) else False
    try:
        bound = signature.bind(*range(count)).arguments
    except TypeError:
        return False
    open_ended = any(one.kind is one.VAR_POSITIONAL and one.name in bound for one in signature.parameters.values())
    return None if open_ended else True


def check_hook(owner: str, hook: str, function: object) -> None:
    """Raise ConfigError unless a function can be called with the arguments of a hook."""
    if takes(function, len(HOOKS[hook])) is False:
        raise ConfigError(
            f"{owner} is called with ({', '.join(HOOKS[hook])}), which {function!r} rejects", code="config-callback"
        )


def check(callback: object) -> None:
    """Raise ConfigError unless an object is a callback whose hooks exist and can be called."""
    kind = type(callback).__name__
    if not isinstance(callback, Callback):
        raise ConfigError(
            f"{callback!r} is not a callback: pass instances of the classes in firesteel.callbacks, or of your own "
            "subclass of firesteel.callbacks.Callback",
            code="config-callback",
        )
    for hook in HOOKS:
        check_hook(f"{kind}.{hook}", hook, getattr(callback, hook))
    for name in dir(callback):
        if name.startswith("on_") and name not in HOOKS and callable(getattr(callback, name)):
            raise ConfigError(
                f"{kind}.{name} is never called: {nearest(name, HOOKS, HOOKS_ELSEWHERE)}the hooks are "
                f"{', '.join(HOOKS)}; names of other methods must not begin with on_",
                code="config-callback",
            )


class Monitor(Callback):
    """Base class of callbacks that watch one entry of the logs.

    Attributes:
        larger: Whether larger values are better; None until training starts, where `mode="auto"` leaves it to the
            metric.
        best: The best value so far; plus or minus infinity before the first.
    """

    larger: bool | None
    best: float = math.inf

    def __init__(self, monitor: str, mode: str, min_delta: float, verbose: int) -> None:
        if not isinstance(monitor, str):
            raise ConfigError(f"monitor={monitor!r}: it must be the name of a loss or metric", code="config-monitor")
        if not isinstance(mode, str) or mode not in ("auto", "min", "max"):
            raise ConfigError(f"mode={mode!r}: it must be 'auto', 'min' or 'max'", code="config-value")
        self.monitor, self.mode, self.verbose = monitor, mode, verbose
        self.min_delta = abs(_number("min_delta", min_delta))
        self.larger = None if mode == "auto" and monitor not in ("loss", "val_loss") else mode == "max"

    def watch(self, objective: Objective, validates: bool) -> None:
        """Check that the monitored entry is logged, and set whether larger values are better.

        Args:
            objective: The loss and metrics that are logged.
            validates: Whether there are validation rows, which add `val_` entries.

        Raises:
            ConfigError: If the entry is not logged or is not one number, or its direction is unknown
                (`config-monitor`).
        """
        measured, who = directions(objective, validates), f"{type(self).__name__} monitors {self.monitor!r}"
        if self.monitor not in measured:
            if self.monitor.startswith("val_") and not validates:
                why = "there are no validation rows: give validation_split or validation_data"
            elif self.monitor in objective.names and f"val_{self.monitor}" in measured:
                why = f"it is measured on validation rows only: use 'val_{self.monitor}'"
            elif self.monitor.removeprefix("val_") in objective.names:
                why = f"it is not one number: choose one of {', '.join(measured)}"
            else:
                why = f"{nearest(self.monitor, measured)}the logs hold {', '.join(measured)}"
            raise ConfigError(f"{who}: {why}", code="config-monitor")
        if self.mode == "auto":
            self.larger = measured[self.monitor]
        if self.larger is None:
            raise ConfigError(
                f"{who}, whose class does not say whether larger is better: give mode='min' or mode='max'",
                code="config-monitor",
            )

    def worst(self) -> float:
        """Return the worst possible value of the monitored entry: infinity or minus infinity."""
        return -math.inf if self.larger else math.inf

    def say(self, text: str) -> None:
        """Print a line if `verbose` is set."""
        if self.verbose:
            say(text)


class EarlyStopping(Monitor):
    """Stop training when the monitored value has not improved for `patience` epochs.

    An epoch improves if its value is better than the best so far by more than `min_delta`.  As in Keras, `best`,
    `best_epoch` and `wait` are set after each epoch, `stopped_epoch` (0 if training was not stopped) and
    `best_weights` (if they are restored) at the end.

    Args:
        monitor: The entry of the logs to watch.
        min_delta: The smallest change that counts as an improvement.
        patience: The number of epochs without an improvement after which training stops.
        verbose: 1 prints a line when training stops.
        mode: `"min"`, `"max"`, or `"auto"`, which asks the metric whether larger is better.
        baseline: A value that an epoch must also beat to reset the patience.
        restore_best_weights: Whether the weights and optimizer state of the best epoch are the result.
        start_from_epoch: The index of the first epoch that counts.

    Raises:
        ConfigError: If an argument is out of range (`config-value`), or `monitor` is not logged (`config-monitor`).

    Example:
        >>> EarlyStopping(patience=3, restore_best_weights=True).rule().patience
        3

    Source: Prechelt 1998, "Early stopping, but when?", criterion UP.
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        min_delta: float = 0,
        patience: int = 0,
        verbose: int = 0,
        mode: str = "auto",
        baseline: float | None = None,
        restore_best_weights: bool = False,
        start_from_epoch: int = 0,
    ) -> None:
        super().__init__(monitor, mode, min_delta, verbose)
        self.patience, self.baseline = _at_least("patience", patience, 0), threshold("baseline", baseline)
        self.start_from_epoch = _at_least("start_from_epoch", start_from_epoch, 0)
        self.restore_best_weights = bool(restore_best_weights)
        self.stopped_epoch, self.best_epoch, self.wait = 0, 0, 0
        self.best_weights: list[Array] | None = None

    def rule(self) -> Stopping:
        """Return this callback as a `Stopping` rule, which the training loop applies."""
        return Stopping(
            monitor=self.monitor,
            larger=bool(self.larger),
            patience=self.patience,
            min_delta=self.min_delta,
            baseline=self.baseline,
            start=self.start_from_epoch,
            restore=self.restore_best_weights,
        )

    def on_train_begin(self, logs: Logs = None) -> None:
        self.stopped_epoch, self.best_weights = 0, None
        self._follow()

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        self._follow()

    def _follow(self) -> None:
        """Update the attributes for the best epoch, its value and the epochs since, from the history."""
        rows = self.model.history.rows
        at, _, value, self.wait = self.rule().watched(rows)
        self.best = self.worst() if value is None else value
        self.best_epoch = 0 if at is None else rows[at]["epoch"]

    def on_train_end(self, logs: Logs = None) -> None:
        rows, rule = self.model.history.rows, self.rule()
        if rule.ended(rows):
            self.stopped_epoch = rows[-1]["epoch"]
            self.say(f"Epoch {self.stopped_epoch + 1}: early stopping")
        if self.restore_best_weights and rule.best(rows) is not None:
            self.best_weights = self.model.get_weights()
            self.say(f"Restoring model weights from the end of the best epoch: {self.best_epoch + 1}.")


class ReduceLROnPlateau(Monitor):
    """Multiply the learning rate by `factor` when the monitored value has not improved for `patience` epochs.

    As in Keras, `best`, `wait` and `cooldown_counter` are set after each epoch.

    Args:
        monitor: The entry of the logs to watch.
        factor: The factor of the learning rate, in [0, 1).
        patience: The number of epochs without an improvement before the rate is reduced.
        verbose: 1 prints a line at each reduction.
        mode: `"min"`, `"max"`, or `"auto"`, which asks the metric whether larger is better.
        min_delta: The smallest change that counts as an improvement.
        cooldown: The number of epochs after a reduction that do not count towards `patience`.
        min_lr: The lower bound of the learning rate.

    Raises:
        ConfigError: If an argument is out of range (`config-value`), or `monitor` is not logged (`config-monitor`).

    Example:
        >>> ReduceLROnPlateau(factor=0.5, patience=2).cooldown
        0
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        factor: float = 0.1,
        patience: int = 10,
        verbose: int = 0,
        mode: str = "auto",
        min_delta: float = 1e-4,
        cooldown: int = 0,
        min_lr: float = 0.0,
    ) -> None:
        super().__init__(monitor, mode, min_delta, verbose)
        if not 0.0 <= _number("factor", factor) < 1.0:
            raise ConfigError(f"factor={factor!r}: it must be in [0, 1)", code="config-value")
        self.factor, self.patience = factor, _at_least("patience", patience, 0)
        self.cooldown, self.min_lr = _at_least("cooldown", cooldown, 0), _number("min_lr", min_lr)
        self.wait, self.cooldown_counter = 0, 0

    def on_train_begin(self, logs: Logs = None) -> None:
        self.model.learning_rate = self.model.learning_rate
        self._is_due(self.model.history.rows)

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        rate = self.model.learning_rate
        if self._is_due(self.model.history.rows) and rate > self.min_lr:
            self.model.learning_rate = max(rate * self.factor, self.min_lr)
            self.say(f"Epoch {epoch + 1}: ReduceLROnPlateau reducing learning rate to {self.model.learning_rate}.")

    def _is_due(self, rows: Sequence[Row]) -> bool:
        """Return whether the rate must be lowered after these epochs; set `best`, `wait` and `cooldown_counter`."""
        best, waited, cooling, due = None, 0, 0, False
        for row in rows:
            now, due = row[self.monitor], False
            if cooling:
                cooling, waited = cooling - 1, 0
            if better(now, best, bool(self.larger), self.min_delta):
                best, waited = now, 0
            elif not cooling:
                waited += 1
                due = waited >= self.patience
                if due and row["learning_rate"] > self.min_lr:
                    cooling, waited = self.cooldown, 0
        self.best, self.wait, self.cooldown_counter = self.worst() if best is None else best, waited, cooling
        return due


class LearningRateScheduler(Callback):
    """Set the learning rate at the start of each epoch from a function.

    Args:
        schedule: A function of the epoch's index, from 0, and of the current rate, which returns the new rate:
            `schedule(epoch, rate)`, or `schedule(epoch)` if it takes one argument.
        verbose: 1 prints the rate of each epoch.

    Raises:
        ConfigError: If `schedule` can be called in neither way (`config-value`).

    Example:
        >>> LearningRateScheduler(lambda epoch, rate: rate * 0.9).verbose
        0
    """

    def __init__(self, schedule: Callable[..., float], verbose: int = 0) -> None:
        self.schedule, self.verbose = schedule, verbose
        self.takes_rate = takes(schedule, 2)
        if isinstance(schedule, Schedule) or (self.takes_rate is False and not takes(schedule, 1)):
            raise ConfigError(
                f"schedule={schedule!r}: it must be a function of (epoch, rate) or of (epoch)", code="config-value"
            )

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        self.model.learning_rate = self._rate(epoch, self.model.learning_rate)
        if self.verbose:
            say(f"Epoch {epoch + 1}: learning rate {self.model.learning_rate}")

    def _rate(self, epoch: int, rate: float) -> float:
        """Call the user's schedule with (epoch, rate), or with (epoch) if that fails, and return the new rate."""
        if self.takes_rate is None:
            with suppress(TypeError):
                return self.schedule(epoch, rate)
        return self.schedule(epoch, rate) if self.takes_rate else self.schedule(epoch)


class BoldDriver(Callback):
    """Multiply the learning rate by `up` while the loss falls and by `down` when it rises: the bold driver.

    It works with every optimizer whose learning rate is a number, with momentum too.

    Args:
        form: `"safe"` compares, after each epoch, the loss of fixed rows (all of them, or the first 32 blocks) with
            that of the last accepted epoch, and undoes an epoch that is worse by more than `tolerance`.  `"seed"`
            compares, before each step of `strategy="gradient"`, the loss of the sampled rows with that of the step
            before, and undoes nothing.
        up: The factor after an improvement, at least 1.
        down: The factor after a rise, in (0, 1).
        tolerance: The relative increase of the loss that is still accepted, at least 0.

    Raises:
        ConfigError: If an argument is out of range (`config-value`).

    Example:
        >>> BoldDriver().rule.up
        1.05

    Source: Vogl et al. 1988; Battiti 1989, "Accelerated backpropagation learning: two optimization methods".
    """

    def __init__(self, form: str = "safe", up: float = 1.05, down: float = 0.5, tolerance: float = 0.0) -> None:
        if not isinstance(form, str) or form not in ("safe", "seed"):
            raise ConfigError(f"form={form!r}: it must be 'safe' or 'seed'", code="config-value")
        up, down, tolerance = _number("up", up), _number("down", down), _number("tolerance", tolerance)
        if not (up >= 1.0 > down > 0.0 and tolerance >= 0.0):
            raise ConfigError(
                f"BoldDriver(up={up!r}, down={down!r}, tolerance={tolerance!r}): must be up >= 1, 0 < down < 1 and "
                "tolerance >= 0",
                code="config-value",
            )
        self.rule = Bold(form, up, down, tolerance)


def _at_least(name: str, value: Any, low: int) -> int:
    number = whole(value)
    if number is None or number < low:
        raise ConfigError(f"{name}={value!r}: it must be an integer of at least {low}", code="config-value")
    return number


def _number(name: str, value: Any) -> float:
    """Validate a finite number; raise ConfigError for anything else."""
    if not math.isfinite(finite(value)):
        raise ConfigError(f"{name}={value!r}: it must be a finite number", code="config-value")
    return finite(value)


def threshold(name: str, value: Any) -> float | None:
    """Validate a finite number or None; raise ConfigError for anything else."""
    return None if value is None else _number(name, value)


SETTERS = (BoldDriver, LearningRateScheduler, ReduceLROnPlateau)
"""Callbacks that set the learning rate, which conflicts with a schedule of the optimizer."""


class Conductor(Watcher):
    """Calls the hooks of all callbacks during a training, and passes the changes they make on to the loop.

    Args:
        model: The model, with `keep(state, averaged)`, which stores a state, and `state`, read after the hooks.
        callbacks: The callbacks, in the order in which they are called.
        objective: The network, its loss and its metrics.
        recipe: The settings of the training.
        engines: The engines of the training rows and of the validation rows, if any.
        extra: Further entries of the callbacks' `params`.
        run: The name of the training, unless a callback has a `run_name`.

    Raises:
        ConfigError: If an object is not a callback, two callbacks conflict (`config-callback`), or a monitored entry
            is not logged (`config-monitor`).
    """

    def __init__(
        self,
        model: Any,
        callbacks: Sequence[Callback],
        objective: Objective,
        recipe: Recipe,
        engines: tuple[Engine, Engine | None],
        extra: Mapping[str, Any],
        run: str,
    ) -> None:
        early, drivers = list[EarlyStopping](), list[Bold]()
        for callback in callbacks:
            check(callback)
            if isinstance(callback, Monitor) and getattr(callback, "save_best_only", True):
                callback.watch(objective, engines[1] is not None)
            if isinstance(callback, SETTERS) and model.state.learning_rate is None:
                if isinstance(model.settings.optimizer.learning_rate, Schedule):
                    raise ConfigError(
                        f"{type(callback).__name__} and the optimizer's schedule "
                        f"{type(model.settings.optimizer.learning_rate).__name__} both set the rate: use one of them",
                        code="config-callback",
                    )
            early += [callback] if isinstance(callback, EarlyStopping) else []
            drivers += [callback.rule] if isinstance(callback, BoldDriver) else []
            if any(_overrides(callback, hook) for hook in STEPS):
                self.batches = self.batch
        if sum(callback.restore_best_weights for callback in early) > 1:
            raise ConfigError("only one EarlyStopping can restore its best weights", code="config-callback")
        self.model, self.callbacks, self.objective = model, callbacks, objective
        self.averaged = recipe.evaluate_averaged
        self.stopping = tuple(callback.rule() for callback in early)
        if len(drivers) > 1:
            raise ConfigError("only one BoldDriver can be used at a time", code="config-callback")
        self.bold = drivers[0] if drivers else None
        if self.bold is not None and model.settings.optimizer.searches:
            raise ConfigError("BoldDriver needs an optimizer without a line search", code="config-callback")
        if self.bold is not None and self.bold.form == "seed" and not isinstance(recipe.strategy, Gradient):
            raise ConfigError("BoldDriver(form='seed') needs strategy='gradient'", code="config-callback")
        rows = sum(map(ROWS, engines[0].blocks))
        counts = {"rows": rows, "steps": -(-rows // (recipe.batch_size or rows)), "shards": engines[0].shards}
        self.params = {**vars(recipe), **counts, "callbacks": tuple(callbacks), "resumed": False, **extra}
        self.engines = engines
        self.run = next((callback.run_name for callback in callbacks if callback.run_name), run)
        self.sums: Array | None = None

    def start(self, state: TrainState, rows: Sequence[Row]) -> TrainState:
        """Call the hooks for the start of training; return the state with the callbacks' changes."""
        self.model.keep(state, self.averaged)
        self.model.stop_training = False
        self.model.history = History(list(rows))
        for callback in self.callbacks:
            callback.set_model(self.model)
            callback.set_params(self.params)
            callback.set_rows(self.objective, *self.engines)
        return self._call("on_train_begin", {})

    def begin(self, epoch: int, state: TrainState) -> TrainState:
        self.sums = None
        return self._call("on_epoch_begin", epoch, {})

    def end(self, row: Row, state: TrainState) -> TrainState:
        self.model.keep(state, self.averaged)
        self.model.history.rows.append(row)
        logs = measured(row)
        of_validation = {name.removeprefix("val_"): value for name, value in logs.items() if name.startswith("val_")}
        if of_validation:
            self._call("on_test_begin", {})
            self._call("on_test_batch_begin", 0, {})
            self._call("on_test_batch_end", 0, of_validation)
            self._call("on_test_end", of_validation)
        state = self._call("on_epoch_end", row["epoch"], logs)
        self.stop = self.model.stop_training
        return state

    def finish(self) -> None:
        """Call the hooks of the end of training."""
        self.model.history.params = {name: value for name, value in self.params.items() if name != "callbacks"}
        rows = self.model.history.rows
        self._call("on_train_end", measured(rows[-1]) if rows else {})

    def fail(self, error: BaseException) -> None:
        """Call `on_train_error` of all callbacks, when an error ends the training."""
        for callback in self.callbacks:
            callback.on_train_error(error)

    def batch(self, number: int, sums: Array | None) -> None:
        """Call the batch hooks for the start of a step, or for its end if `sums` are given.

        Raises:
            ConfigError: If a callback sets the learning rate or the weights, which the step would not see.
        """
        hook, logs = "on_train_batch_begin", {}
        if sums is not None:
            self.sums = sums.copy() if self.sums is None else self.sums + sums
            hook, logs = "on_train_batch_end", self.objective.means(self.sums)
        before = self.model.state
        for callback in self.callbacks:
            getattr(callback, hook)(number, logs)
            if self.model.state is not before:
                self.model.keep(before, self.averaged)
                raise ConfigError(
                    f"{type(callback).__name__} set the learning rate or the weights in a batch hook, which can only "
                    "observe: set them in on_epoch_begin or on_epoch_end, or give the optimizer a schedule, which "
                    "counts steps",
                    code="config-callback",
                )

    def _call(self, hook: str, *arguments: Any) -> TrainState:
        for callback in self.callbacks:
            getattr(callback, hook)(*arguments)
        state: TrainState = self.model.state
        return state


def directions(objective: Objective, validates: bool) -> dict[str, bool | None]:
    """Return, for each scalar log entry, whether larger is better; None where the metric does not say."""
    known = {"loss": objective.loss.larger_is_better} | {name: m.larger_is_better for name, m in objective.metrics}
    return {
        name: known[name.removeprefix("val_")]
        for name, value in measured(blank_row(objective, validates)).items()
        if isinstance(value, Real)
    }


def blank_row(objective: Objective, validates: bool) -> Row:
    """Return a history row with the entries that this objective logs, and placeholder values."""
    with np.errstate(all="ignore"):
        values = {name: _blank(value) for name, value in objective.means(np.ones(objective.size)).items()}
    scored = values | dict.fromkeys(dict(objective.ranked), 0.0)
    times: Row = dict.fromkeys(UNMEASURED, 0.0) | {"epoch": 0, "rows": 0, "by_shard": []}
    return times | values | {f"val_{name}": value for name, value in scored.items() if validates}


def _blank(value: object) -> Any:
    return 0.0 if isinstance(value, Real) else []


def measured(row: Row) -> dict[str, Any]:
    """Return what Keras logs of a history row: losses, metrics, and the learning rate if it was changed."""
    return {name: value for name, value in row.items() if name not in UNMEASURED}


def _overrides(callback: Callback, hook: str) -> bool:
    return getattr(getattr(callback, hook), "__func__", None) is not getattr(Callback, hook)

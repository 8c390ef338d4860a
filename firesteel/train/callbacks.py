"""Callbacks under Keras's names: hooks called during training; they may stop it or change the learning rate.

None of firesteel's own remembers anything beside the model: what they decide is read off the history, so that a
training that was interrupted goes on to the bit.  `Conductor` is between them and `loop.py`.
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
    """Base of callbacks: override the hooks that are wanted.

    model: the model that trains; `model.stop_training = True` ends the training with this epoch, and
    `model.learning_rate` can be read and set.  params: what `fit` was given or chose, "epochs" and "steps" among it.
    given: the arguments that the callback was made with.  run_name: what to call the training where Spark lists its
    jobs.  observes: whether it changes nothing, so that an interrupted training may go on without it.
    Epoch hooks are called on every engine.  Batch hooks only observe: they are called for each step where one shard
    trains in this process, and for each round elsewhere, and one that sets the rate or the weights is refused.

    >>> class Stop(Callback):
    ...     def on_epoch_end(self, epoch, logs=None):
    ...         self.model.stop_training = logs["loss"] < 0.1
    """

    model: Any = None
    params: Mapping[str, Any] = {}
    given: Mapping[str, Any] = {}
    run_name: str | None = None
    observes: bool = False

    def __new__(cls, *args: Any, **given: Any) -> Self:
        signature = inspect.signature(cls.__init__)
        if all(one.kind is not one.VAR_KEYWORD for one in signature.parameters.values()):
            check_arguments(cls.__name__, given, list(signature.parameters)[1:])
        made = super().__new__(cls)
        made.given = dict(zip(list(signature.parameters)[1:], args, strict=False)) | given
        return made

    def set_model(self, model: Any) -> None:
        """Take the model that is going to train."""
        self.model = model

    def set_params(self, params: Mapping[str, Any]) -> None:
        """Take what is known of the training."""
        self.params = params

    def set_rows(self, objective: Objective, training: Engine, validation: Engine | None) -> None:
        """Take what scores the rows, and the engines that hold them while training goes on."""

    def on_train_begin(self, logs: Logs = None) -> None:
        """Called when training begins."""

    def on_train_end(self, logs: Logs = None) -> None:
        """Called when training has ended, with the last epoch's logs."""

    def on_train_error(self, error: BaseException) -> None:
        """Called when an error or an interrupt has ended training; the model has the last good weights."""

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        """Called when an epoch begins, counted from 0."""

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        """Called when an epoch has ended: logs are its losses and metrics, `val_` ones included."""

    def on_train_batch_begin(self, batch: int, logs: Logs = None) -> None:
        """Called when a step begins, counted from 0 in each epoch."""
        self.on_batch_begin(batch, logs)

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        """Called when a step has ended: logs are the epoch's losses and metrics so far."""
        self.on_batch_end(batch, logs)

    def on_batch_begin(self, batch: int, logs: Logs = None) -> None:
        """Another name of `on_train_batch_begin`, which calls it."""

    def on_batch_end(self, batch: int, logs: Logs = None) -> None:
        """Another name of `on_train_batch_end`, which calls it."""

    def on_test_begin(self, logs: Logs = None) -> None:
        """Called before an evaluation, of validation rows too."""

    def on_test_end(self, logs: Logs = None) -> None:
        """Called after an evaluation, with its losses and metrics."""

    def on_test_batch_begin(self, batch: int, logs: Logs = None) -> None:
        """Called after `on_test_begin`, once: all rows are one batch, number 0."""

    def on_test_batch_end(self, batch: int, logs: Logs = None) -> None:
        """Called before `on_test_end`, once, with the same logs."""

    def on_predict_begin(self, logs: Logs = None) -> None:
        """Called before a prediction, and never in training."""

    def on_predict_end(self, logs: Logs = None) -> None:
        """Called after a prediction."""

    def on_predict_batch_begin(self, batch: int, logs: Logs = None) -> None:
        """Called after `on_predict_begin`, once: all rows are one batch, number 0."""

    def on_predict_batch_end(self, batch: int, logs: Logs = None) -> None:
        """Called before `on_predict_end`, once, with the predictions as "outputs"."""


LOGGED = ("on_train_begin", "on_train_end", "on_test_begin", "on_test_end", "on_predict_begin", "on_predict_end")
BATCHES = ("on_batch", "on_train_batch", "on_test_batch", "on_predict_batch")
HOOKS = {
    **dict.fromkeys(LOGGED, ("logs",)),
    **dict.fromkeys(("on_epoch_begin", "on_epoch_end"), ("epoch", "logs")),
    **{f"{name}_{when}": ("batch", "logs") for name in BATCHES for when in ("begin", "end")},
    "on_train_error": ("error",),
}
"""What each hook is called with, by position."""
STEPS = [f"{name}_{when}" for name in BATCHES[:2] for when in ("begin", "end")]
"""Hooks of a step."""
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
"""What other libraries call a hook: its name here."""


def takes(function: object, count: int) -> bool | None:
    """Return whether something can be called with so many arguments; None for what does not say what it takes, as
    what hands on all that it is given (`*args`) does not.
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
    """Raise ConfigError unless a function can be called as a hook is."""
    if takes(function, len(HOOKS[hook])) is False:
        raise ConfigError(
            f"{owner} is called with ({', '.join(HOOKS[hook])}), and {function!r} cannot be", code="config-callback"
        )


def check(callback: object) -> None:
    """Raise ConfigError for what is no callback, or has a hook that cannot be called, or one that never is."""
    kind = type(callback).__name__
    if not isinstance(callback, Callback):
        raise ConfigError(
            f"{callback!r} is not a callback: give objects of firesteel.callbacks, or of a class of your own "
            "made from firesteel.callbacks.Callback",
            code="config-callback",
        )
    for hook in HOOKS:
        check_hook(f"{kind}.{hook}", hook, getattr(callback, hook))
    for name in dir(callback):
        if name.startswith("on_") and name not in HOOKS and callable(getattr(callback, name)):
            raise ConfigError(
                f"{kind}.{name} is never called: {nearest(name, HOOKS, HOOKS_ELSEWHERE)}hooks are "
                f"{', '.join(HOOKS)}; a method of another kind needs a name that does not begin with on_",
                code="config-callback",
            )


class Monitor(Callback):
    """Base of what watches one value of the logs.

    larger: whether larger is better; None until a training says so of the metric, where mode is "auto".
    best: the best value so far; infinite, or minus infinity, before there is one.
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

    def watch(self, objective: Objective, held: bool) -> None:
        """Take the direction of what is watched; raise ConfigError where there is none.

        Args:
            objective: What is measured.
            held: Whether rows are held out, and measured as `val_`.
        """
        measured, who = directions(objective, held), f"{type(self).__name__} watches {self.monitor!r}"
        if self.monitor not in measured:
            if self.monitor.startswith("val_") and not held:
                why = "no rows are held out: give validation_split or validation_data"
            elif self.monitor in objective.names and f"val_{self.monitor}" in measured:
                why = f"that is measured of held-out rows alone: watch 'val_{self.monitor}'"
            elif self.monitor.removeprefix("val_") in objective.names:
                why = f"that is not one number: name one of {', '.join(measured)}"
            else:
                why = f"{nearest(self.monitor, measured)}measured are {', '.join(measured)}"
            raise ConfigError(f"{who}, and {why}", code="config-monitor")
        if self.mode == "auto":
            self.larger = measured[self.monitor]
        if self.larger is None:
            raise ConfigError(
                f"{who}, which does not say whether larger is better: give mode='min' or mode='max'",
                code="config-monitor",
            )

    def worst(self) -> float:
        """Return what every value is better than."""
        return -math.inf if self.larger else math.inf

    def say(self, text: str) -> None:
        """Print, if that was asked for."""
        if self.verbose:
            say(text)


class EarlyStopping(Monitor):
    """Ends training after `patience` epochs in which `monitor` has not become better by more than `min_delta`.

    mode: "min", "max", or "auto": as the metric says.
    baseline: what must also be beaten for the waiting to start again.
    restore_best_weights: the best epoch's weights and moments are the result.
    start_from_epoch: the first epoch that counts.
    As in Keras `best`, `best_epoch` and `wait` are there after each epoch; `stopped_epoch`, 0 if it did not stop, and
    `best_weights`, if these are restored, after training.

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
        """Return what the loop watches."""
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
        """Read off the history what has been best, and for how long."""
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
    """Multiplies the learning rate by `factor` after `patience` epochs in which `monitor` has not become better.

    cooldown: epochs after that in which nothing is counted.  min_lr: where it ends.
    As in Keras `best`, `wait` and `cooldown_counter` are there after each epoch.

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
        """Return whether the last of these rows ends the patience, and remember what they have come to."""
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
    """Sets the learning rate of each epoch: schedule(epoch, rate) where it can be called so, or schedule(epoch).

    Epochs count from 0.  Raises ConfigError for what can be called in neither way.

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
        """Return what the schedule gives; where it does not say what it takes, both ways are tried, as in Keras."""
        if self.takes_rate is None:
            with suppress(TypeError):
                return self.schedule(epoch, rate)
        return self.schedule(epoch, rate) if self.takes_rate else self.schedule(epoch)


class BoldDriver(Callback):
    """Multiplies the learning rate by `up` while the cost falls and by `down` where it does not; the bold driver.

    form: "safe" compares the loss of fixed rows, of all or of the first 32 blocks, after each epoch with the last one
    accepted; an epoch that made it worse by more than `tolerance` of itself, or infinite, is taken back.  "seed"
    compares, before each step of strategy="gradient", the loss of the rows sampled for it with that of the step
    before, and takes nothing back.  It goes with any optimiser whose rate is a number, momentum included.
    Raises ConfigError for anything else.

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
                f"BoldDriver(up={up!r}, down={down!r}, tolerance={tolerance!r}): up must be at least 1, down "
                "between 0 and 1, tolerance at least 0",
                code="config-value",
            )
        self.rule = Bold(form, up, down, tolerance)


def _at_least(name: str, value: Any, low: int) -> int:
    number = whole(value)
    if number is None or number < low:
        raise ConfigError(f"{name}={value!r}: it must be an integer of at least {low}", code="config-value")
    return number


def _number(name: str, value: Any) -> float:
    """Return a finite number.  Raises ConfigError for anything else."""
    if not math.isfinite(finite(value)):
        raise ConfigError(f"{name}={value!r}: it must be a finite number", code="config-value")
    return finite(value)


def threshold(name: str, value: Any) -> float | None:
    """Return what must be beaten, None for nothing.  Raises ConfigError for what is no finite number."""
    return None if value is None else _number(name, value)


SETTERS = (BoldDriver, LearningRateScheduler, ReduceLROnPlateau)
"""Callbacks that set the learning rate, which a schedule of the optimizer's does too."""


class Conductor(Watcher):
    """Tells callbacks of a training, and the loop what they have made of it.

    model: has `keep(state, averaged)`, which takes a state, and `state`, the one that it has after the hooks.
    engines: of the rows to train on, and of those held out.
    extra: further `params` of the callbacks.  run: what the training is called if no callback says.
    Raises ConfigError for what is no callback, or watches what is not measured.
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
                        f"{type(callback).__name__} sets the learning rate, and so does the optimizer's "
                        f"{type(model.settings.optimizer.learning_rate).__name__}: leave one of them out",
                        code="config-callback",
                    )
            early += [callback] if isinstance(callback, EarlyStopping) else []
            drivers += [callback.rule] if isinstance(callback, BoldDriver) else []
            if any(_overrides(callback, hook) for hook in STEPS):
                self.batches = self.batch
        if sum(callback.restore_best_weights for callback in early) > 1:
            raise ConfigError("two EarlyStopping cannot both restore their best weights", code="config-callback")
        self.model, self.callbacks, self.objective = model, callbacks, objective
        self.averaged = recipe.evaluate_averaged
        self.stopping = tuple(callback.rule() for callback in early)
        if len(drivers) > 1:
            raise ConfigError("one BoldDriver can drive, not several", code="config-callback")
        self.bold = drivers[0] if drivers else None
        if self.bold is not None and model.settings.optimizer.searches:
            raise ConfigError("BoldDriver needs an optimizer that takes steps of one size", code="config-callback")
        if self.bold is not None and self.bold.form == "seed" and not isinstance(recipe.strategy, Gradient):
            raise ConfigError("BoldDriver(form='seed') needs strategy='gradient'", code="config-callback")
        rows = sum(map(ROWS, engines[0].blocks))
        counts = {"rows": rows, "steps": -(-rows // (recipe.batch_size or rows)), "shards": engines[0].shards}
        self.params = {**vars(recipe), **counts, "callbacks": tuple(callbacks), "resumed": False, **extra}
        self.engines = engines
        self.run = next((callback.run_name for callback in callbacks if callback.run_name), run)
        self.sums: Array | None = None

    def start(self, state: TrainState, rows: Sequence[Row]) -> TrainState:
        """Tell that training begins, from a state and what has happened before; return what it begins from."""
        self.model.keep(state, self.averaged)
        self.model.stop_training = False
        self.model.history = History(list(rows))
        for callback in self.callbacks:
            callback.set_model(self.model)
            callback.set_params(self.params)
            callback.set_rows(self.objective, *self.engines)
        return self._tell("on_train_begin", {})

    def begin(self, epoch: int, state: TrainState) -> TrainState:
        self.sums = None
        return self._tell("on_epoch_begin", epoch, {})

    def end(self, row: Row, state: TrainState) -> TrainState:
        self.model.keep(state, self.averaged)
        self.model.history.rows.append(row)
        logs = measured(row)
        held = {name.removeprefix("val_"): value for name, value in logs.items() if name.startswith("val_")}
        if held:
            self._tell("on_test_begin", {})
            self._tell("on_test_batch_begin", 0, {})
            self._tell("on_test_batch_end", 0, held)
            self._tell("on_test_end", held)
        state = self._tell("on_epoch_end", row["epoch"], logs)
        self.stop = self.model.stop_training
        return state

    def finish(self) -> None:
        """Call what is called when training has ended."""
        self.model.history.params = {name: value for name, value in self.params.items() if name != "callbacks"}
        rows = self.model.history.rows
        self._tell("on_train_end", measured(rows[-1]) if rows else {})

    def fail(self, error: BaseException) -> None:
        """Tell that an error has ended the training."""
        for callback in self.callbacks:
            callback.on_train_error(error)

    def batch(self, number: int, sums: Array | None) -> None:
        """Call the hooks of a step that begins, or with its sums those of one that has ended.

        Raises ConfigError for one that has set something: the step would not know.
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
                    f"{type(callback).__name__} has set the learning rate or the weights in a hook of a batch, where "
                    "it can only observe: set them in on_epoch_begin or on_epoch_end, or give the optimizer a "
                    "schedule, which counts steps",
                    code="config-callback",
                )

    def _tell(self, hook: str, *arguments: Any) -> TrainState:
        for callback in self.callbacks:
            getattr(callback, hook)(*arguments)
        state: TrainState = self.model.state
        return state


def directions(objective: Objective, held: bool) -> dict[str, bool | None]:
    """Return what the logs name that is one number, and whether larger is better; None where no one says."""
    known = {"loss": objective.loss.larger_is_better} | {name: m.larger_is_better for name, m in objective.metrics}
    return {
        name: known[name.removeprefix("val_")]
        for name, value in measured(blank_row(objective, held)).items()
        if isinstance(value, Real)
    }


def blank_row(objective: Objective, held: bool) -> Row:
    """Return a row as a history has it, with numbers and lists where they stand and nothing in them."""
    with np.errstate(all="ignore"):
        values = {name: _blank(value) for name, value in objective.means(np.ones(objective.size)).items()}
    scored = values | dict.fromkeys(dict(objective.ranked), 0.0)
    times: Row = dict.fromkeys(UNMEASURED, 0.0) | {"epoch": 0, "rows": 0, "by_shard": []}
    return times | values | {f"val_{name}": value for name, value in scored.items() if held}


def _blank(value: object) -> Any:
    return 0.0 if isinstance(value, Real) else []


def measured(row: Row) -> dict[str, Any]:
    """Return the losses and metrics in a history row, and the learning rate where it is set from outside."""
    return {name: value for name, value in row.items() if name not in UNMEASURED}


def _overrides(callback: Callback, hook: str) -> bool:
    return getattr(getattr(callback, hook), "__func__", None) is not getattr(Callback, hook)

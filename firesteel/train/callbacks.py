"""Callbacks under Keras's names: what is told of a training, epoch by epoch, and may stop it or change its rate.

None of firesteel's own remembers anything beside the model: what they decide is read off the history, so that a
training that was interrupted goes on to the bit.  `Conductor` is between them and `loop.py`.
"""

import csv
import inspect
import math
import os
from collections.abc import Callable, Mapping, Sequence
from numbers import Real
from pathlib import Path
from typing import Any, Self

import numpy as np

from firesteel.core.network import Objective
from firesteel.core.spec import check_arguments, nearest
from firesteel.core.types import Array
from firesteel.errors import ConfigError, DivergenceError
from firesteel.train.engine import Engine
from firesteel.train.history import UNMEASURED, History, Row
from firesteel.train.loop import Watcher
from firesteel.train.search import Bold
from firesteel.train.state import TrainState
from firesteel.train.stopping import Stopping, better

__all__ = [
    "BackupAndRestore",
    "BoldDriver",
    "CSVLogger",
    "Callback",
    "Conductor",
    "EarlyStopping",
    "LambdaCallback",
    "LearningRateScheduler",
    "ModelCheckpoint",
    "ReduceLROnPlateau",
    "TerminateOnNaN",
]

Logs = Mapping[str, Any] | None


class Callback:
    """Base of callbacks: override the hooks that are wanted.

    model: the model that trains; `model.stop_training = True` ends the training with this epoch, and
    `model.learning_rate` can be read and set.  params: what `fit` was given or chose, "epochs" and "steps" among it.
    given: the arguments that the callback was made with.  run_name: what to call the training where Spark lists its
    jobs.  observes: whether it changes nothing, so that an interrupted training may go on without it.
    Epoch hooks are called on every engine.  Batch hooks only observe: they are called for each step where one shard
    trains in this process, and for each round elsewhere.

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
        """Hear that training begins."""

    def on_train_end(self, logs: Logs = None) -> None:
        """Hear that training has ended, with the last epoch's logs."""

    def on_train_error(self, error: BaseException) -> None:
        """Hear that training was ended by an error or an interrupt; the model has the last good weights."""

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        """Hear that an epoch begins, counted from 0."""

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        """Hear that an epoch has ended: logs are its losses and metrics, `val_` ones included."""

    def on_train_batch_begin(self, batch: int, logs: Logs = None) -> None:
        """Hear that a step begins, counted from 0 in each epoch."""

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        """Hear that a step has ended: logs are the epoch's losses and metrics so far."""

    def on_test_begin(self, logs: Logs = None) -> None:
        """Hear that the validation rows are evaluated."""

    def on_test_end(self, logs: Logs = None) -> None:
        """Hear what that gave."""


class _Monitor(Callback):
    """Base of what watches one value of the logs.

    larger: whether larger is better; None until a training says so of the metric, where mode is "auto".
    """

    larger: bool | None

    def __init__(self, monitor: str, mode: str, min_delta: float, verbose: int) -> None:
        if mode not in ("auto", "min", "max"):
            raise ConfigError(f"mode={mode!r}: it must be 'auto', 'min' or 'max'", code="config-value")
        self.monitor, self.mode, self.verbose, self.min_delta = monitor, mode, verbose, abs(min_delta)
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

    def say(self, text: str) -> None:
        """Print, if that was asked for."""
        if self.verbose:
            print(text, flush=True)


class EarlyStopping(_Monitor):
    """Ends training after `patience` epochs in which `monitor` has not become better by more than `min_delta`.

    mode: "min", "max", or "auto": as the metric says.
    baseline: what must also be beaten for the waiting to start again.
    restore_best_weights: the best epoch's weights and moments are the result.
    start_from_epoch: the first epoch that counts.

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
        self.patience, self.baseline = _at_least("patience", patience, 0), baseline
        self.restore_best_weights, self.start_from_epoch = restore_best_weights, start_from_epoch
        self.stopped_epoch, self.best_epoch = 0, 0

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

    def on_train_end(self, logs: Logs = None) -> None:
        rows, rule = self.model.history.rows, self.rule()
        best = rule.best(rows)
        if rule.ended(rows):
            self.stopped_epoch = rows[-1]["epoch"]
            self.say(f"Epoch {self.stopped_epoch + 1}: early stopping")
        if best is not None:
            self.best_epoch = rows[best]["epoch"]
            if self.restore_best_weights:
                self.say(f"Restoring model weights from the end of the best epoch: {self.best_epoch + 1}.")


class ModelCheckpoint(_Monitor):
    """Saves the model after each epoch, or after each that is better than all before.

    filepath: may hold names in braces, such as "{epoch:02d}-{val_loss:.2f}.firesteel"; epochs count from 1 there.
    initial_value_threshold: what the first one saved must be better than.

    >>> ModelCheckpoint("best.firesteel", monitor="val_accuracy", save_best_only=True).monitor
    'val_accuracy'
    """

    observes = True

    def __init__(
        self,
        filepath: str | os.PathLike[str],
        monitor: str = "val_loss",
        verbose: int = 0,
        save_best_only: bool = False,
        mode: str = "auto",
        initial_value_threshold: float | None = None,
    ) -> None:
        super().__init__(monitor, mode, 0.0, verbose)
        self.filepath, self.save_best_only, self.threshold = filepath, save_best_only, initial_value_threshold

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        if self.save_best_only:
            *before, now = (row[self.monitor] for row in self.model.history.rows)
            best = self.threshold
            for value in before:
                best = value if better(value, best, bool(self.larger)) else best
            if not better(now, best, bool(self.larger)):
                return
        try:
            path = str(self.filepath).format(epoch=epoch + 1, **(logs or {}))
        except (KeyError, IndexError, ValueError) as error:
            raise ConfigError(
                f"filepath={str(self.filepath)!r} names {error}, and there are epoch and {list(logs or {})}",
                code="config-value",
            ) from None
        self.model.save(path)
        self.say(f"Epoch {epoch + 1}: saving model to {path}")


class BackupAndRestore(Callback):
    """Keeps the training's progress in a folder after each epoch; the same `fit` called again goes on from there.

    It is `fit(..., checkpoint=backup_dir/checkpoint)` in Keras's words, with the file deleted when training has ended
    unless delete_checkpoint is false.

    >>> BackupAndRestore("backup").backup_dir
    'backup'
    """

    observes = True

    def __init__(self, backup_dir: str | os.PathLike[str], delete_checkpoint: bool = True) -> None:
        self.backup_dir, self.delete_checkpoint = backup_dir, delete_checkpoint


class ReduceLROnPlateau(_Monitor):
    """Multiplies the learning rate by `factor` after `patience` epochs in which `monitor` has not become better.

    cooldown: epochs after that in which nothing is counted.  min_lr: where it ends.

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
        if not 0.0 <= factor < 1.0:
            raise ConfigError(f"factor={factor!r}: it must be in [0, 1)", code="config-value")
        self.factor, self.patience = factor, _at_least("patience", patience, 0)
        self.cooldown, self.min_lr = _at_least("cooldown", cooldown, 0), min_lr

    def on_train_begin(self, logs: Logs = None) -> None:
        self.model.learning_rate = self.model.learning_rate

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        rate = self.model.learning_rate
        if self._is_due(self.model.history.rows) and rate > self.min_lr:
            self.model.learning_rate = max(rate * self.factor, self.min_lr)
            self.say(f"Epoch {epoch + 1}: ReduceLROnPlateau reducing learning rate to {self.model.learning_rate}.")

    def _is_due(self, rows: Sequence[Row]) -> bool:
        """Return whether the last of these rows ends the patience."""
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
        return due


class LearningRateScheduler(Callback):
    """Sets the learning rate of each epoch: schedule(epoch) or schedule(epoch, rate), with epochs from 0.

    >>> LearningRateScheduler(lambda epoch, rate: rate * 0.9).verbose
    0
    """

    def __init__(self, schedule: Callable[..., float], verbose: int = 0) -> None:
        self.schedule, self.verbose = schedule, verbose
        self.takes_rate = len(inspect.signature(schedule).parameters) > 1

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        given = (epoch, self.model.learning_rate) if self.takes_rate else (epoch,)
        self.model.learning_rate = self.schedule(*given)
        if self.verbose:
            print(f"Epoch {epoch + 1}: learning rate {self.model.learning_rate}", flush=True)


class CSVLogger(Callback):
    """Writes a line an epoch into a file: the epoch, and every loss and metric, in order of their names.

    append: go on with a file that is there.

    >>> CSVLogger("log.csv").separator
    ','
    """

    observes = True

    def __init__(self, filename: str | os.PathLike[str], separator: str = ",", append: bool = False) -> None:
        self.path, self.separator, self.append = Path(filename), separator, append

    def on_train_begin(self, logs: Logs = None) -> None:
        self.headed = self.append and self.path.exists() and self.path.stat().st_size > 0
        if not self.append:
            self.path.write_text("")

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        values = {"epoch": epoch} | dict(sorted((logs or {}).items()))
        with self.path.open("a", newline="") as file:
            writer = csv.DictWriter(file, list(values), delimiter=self.separator)
            if not self.headed:
                writer.writeheader()
                self.headed = True
            writer.writerow(values)


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
        if form not in ("safe", "seed"):
            raise ConfigError(f"form={form!r}: it must be 'safe' or 'seed'", code="config-value")
        if not (up >= 1.0 > down > 0.0 and tolerance >= 0.0 and up < math.inf):
            raise ConfigError(
                f"BoldDriver(up={up!r}, down={down!r}, tolerance={tolerance!r}): up must be at least 1, down "
                "between 0 and 1, tolerance at least 0",
                code="config-value",
            )
        self.rule = Bold(form, up, down, tolerance)


class TerminateOnNaN(Callback):
    """Raises DivergenceError at the first step with a loss that is infinite or NaN.

    Every fit does so at the end of the epoch; with this one it does not take as long where steps can be seen.

    >>> TerminateOnNaN().on_train_batch_end(7, {"loss": float("nan")})
    Traceback (most recent call last):
    firesteel.errors.DivergenceError: the loss became infinite or NaN in step 8 of the epoch [diverged]
    """

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        if logs is not None and not math.isfinite(logs["loss"]):
            raise DivergenceError(f"the loss became infinite or NaN in step {batch + 1} of the epoch")


class LambdaCallback(Callback):
    """Calls functions in place of hooks; those not given do nothing.

    >>> LambdaCallback(on_epoch_end=lambda epoch, logs: print(epoch, logs["loss"])).on_epoch_end(0, {"loss": 0.5})
    0 0.5
    """

    def __init__(
        self,
        on_epoch_begin: Callable[[int, Logs], Any] | None = None,
        on_epoch_end: Callable[[int, Logs], Any] | None = None,
        on_train_begin: Callable[[Logs], Any] | None = None,
        on_train_end: Callable[[Logs], Any] | None = None,
        on_train_batch_begin: Callable[[int, Logs], Any] | None = None,
        on_train_batch_end: Callable[[int, Logs], Any] | None = None,
    ) -> None:
        given = {name: value for name, value in locals().items() if name.startswith("on_") and value is not None}
        for name, function in given.items():
            setattr(self, name, function)


def _at_least(name: str, value: int, low: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < low:
        raise ConfigError(f"{name}={value!r}: it must be an integer of at least {low}", code="config-value")
    return value


class Conductor(Watcher):
    """Tells callbacks of a training, and the loop what they have made of it.

    model: has `keep(state)`, which takes a state, and `state`, the one that it has after the hooks.
    engines: of the rows to train on, and of those held out.
    run: what the training is called if no callback says.
    Raises ConfigError for what is no callback, or watches what is not measured.
    """

    def __init__(
        self,
        model: Any,
        callbacks: Sequence[Callback],
        objective: Objective,
        params: Mapping[str, Any],
        engines: tuple[Engine, Engine | None],
        run: str,
    ) -> None:
        for callback in callbacks:
            if not isinstance(callback, Callback):
                raise ConfigError(
                    f"{callback!r} is not a callback: give objects of firesteel.callbacks, or of a class of your own "
                    "made from firesteel.callbacks.Callback",
                    code="config-callback",
                )
            if isinstance(callback, _Monitor) and getattr(callback, "save_best_only", True):
                callback.watch(objective, engines[1] is not None)
        early = [callback for callback in callbacks if isinstance(callback, EarlyStopping)]
        if sum(callback.restore_best_weights for callback in early) > 1:
            raise ConfigError("two EarlyStopping cannot both restore their best weights", code="config-callback")
        self.model, self.callbacks, self.objective = model, callbacks, objective
        self.stopping = tuple(callback.rule() for callback in early)
        drivers = [callback.rule for callback in callbacks if isinstance(callback, BoldDriver)]
        if len(drivers) > 1:
            raise ConfigError("one BoldDriver can drive, not several", code="config-callback")
        self.bold = drivers[0] if drivers else None
        self.params, self.engines = params, engines
        self.run = next((callback.run_name for callback in callbacks if callback.run_name), run)
        self.sums: Array | None = None
        if any(_overrides(one, f"on_train_batch_{end}") for one in callbacks for end in ("begin", "end")):
            self.batches = self.batch

    def start(self, state: TrainState, rows: Sequence[Row]) -> TrainState:
        """Tell that training begins, from a state and what has happened before; return what it begins from."""
        self.model.keep(state)
        self.model.stop_training = False
        self.model.history = History(list(rows))
        for callback in self.callbacks:
            callback.set_model(self.model)
            callback.set_params(self.params)
            callback.set_rows(self.objective, *self.engines)
        return self._tell("on_train_begin", {})

    def begin(self, epoch: int, state: TrainState) -> TrainState:
        self.model.keep(state)
        self.sums = None
        return self._tell("on_epoch_begin", epoch, {})

    def end(self, row: Row, state: TrainState) -> TrainState:
        self.model.keep(state)
        self.model.history.rows.append(row)
        logs = measured(row)
        held = {name.removeprefix("val_"): value for name, value in logs.items() if name.startswith("val_")}
        if held:
            self._tell("on_test_begin", {})
            self._tell("on_test_end", held)
        state = self._tell("on_epoch_end", row["epoch"], logs)
        self.stop = self.model.stop_training
        return state

    def finish(self) -> None:
        """Tell that training has ended."""
        rows = self.model.history.rows
        self._tell("on_train_end", measured(rows[-1]) if rows else {})

    def fail(self, error: BaseException) -> None:
        """Tell that an error has ended the training."""
        for callback in self.callbacks:
            callback.on_train_error(error)

    def batch(self, number: int, sums: Array | None) -> None:
        """Tell of a step that begins, or with its sums that it has ended."""
        if sums is None:
            self._tell("on_train_batch_begin", number, {})
            return
        self.sums = sums.copy() if self.sums is None else self.sums + sums
        self._tell("on_train_batch_end", number, self.objective.means(self.sums))

    def _tell(self, hook: str, *arguments: Any) -> TrainState:
        for callback in self.callbacks:
            getattr(callback, hook)(*arguments)
        state: TrainState = self.model.state
        return state


def directions(objective: Objective, held: bool) -> dict[str, bool | None]:
    """Return what the logs name that is one number, and whether larger is better; None where no one says."""
    with np.errstate(all="ignore"):
        values = objective.means(np.ones(objective.size))
    known = {"loss": objective.loss.larger_is_better} | {name: m.larger_is_better for name, m in objective.metrics}
    single = {name: known[name] for name, value in values.items() if isinstance(value, Real)}
    ranked = {name: metric.larger_is_better for name, metric in objective.ranked}
    return single | {f"val_{name}": better for name, better in (single | ranked).items() if held}


def measured(row: Row) -> dict[str, Any]:
    """Return the losses and metrics in a history row, and the learning rate where it is set from outside."""
    return {name: value for name, value in row.items() if name not in UNMEASURED}


def _overrides(callback: Callback, hook: str) -> bool:
    return getattr(getattr(callback, hook), "__func__", None) is not getattr(Callback, hook)

"""Callbacks without effect on the weights: call functions, record the history, end a diverged training."""

import math
from collections.abc import Callable, Sequence
from typing import Any

from firesteel.errors import DivergenceError
from firesteel.train.callbacks import Callback, Logs, check, check_hook
from firesteel.train.history import History

__all__ = ["LambdaCallback", "Recorder", "TerminateOnNaN"]


class TerminateOnNaN(Callback):
    """Raise DivergenceError at the first step whose loss is infinite or NaN.

    Every fit does so at the end of the epoch; this callback ends the training at the step, where steps are visible.

    Example:
        >>> TerminateOnNaN().on_train_batch_end(7, {"loss": float("nan")})
        Traceback (most recent call last):
        firesteel.errors.DivergenceError: the loss became infinite or NaN in step 8 of the epoch [diverged]
    """

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        if logs is not None and not math.isfinite(logs["loss"]):
            raise DivergenceError(f"the loss became infinite or NaN in step {batch + 1} of the epoch")


class LambdaCallback(Callback):
    """Callback made of functions, one for each hook.

    Each function is called by position with the arguments of its hook: `(epoch, logs)`, `(batch, logs)` or `(logs)`.

    Args:
        on_epoch_begin: Called at the start of an epoch.
        on_epoch_end: Called at the end of an epoch, with its losses and metrics.
        on_train_begin: Called at the start of training.
        on_train_end: Called at the end of training, with the last epoch's losses and metrics.
        on_train_batch_begin: Called at the start of a training step.
        on_train_batch_end: Called at the end of a training step, with the losses and metrics of the epoch so far.
        on_batch_begin: Alias of `on_train_batch_begin`.
        on_batch_end: Alias of `on_train_batch_end`.
        on_test_begin: Called at the start of an evaluation.
        on_test_end: Called at the end of an evaluation, with its losses and metrics.
        on_test_batch_begin: Called once, after `on_test_begin`.
        on_test_batch_end: Called once, before `on_test_end`.
        on_predict_begin: Called at the start of a prediction.
        on_predict_end: Called at the end of a prediction.
        on_predict_batch_begin: Called once, after `on_predict_begin`.
        on_predict_batch_end: Called once, before `on_predict_end`.

    Raises:
        ConfigError: If a function cannot be called with its hook's arguments (`config-callback`).

    Example:
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
        on_batch_begin: Callable[[int, Logs], Any] | None = None,
        on_batch_end: Callable[[int, Logs], Any] | None = None,
        on_test_begin: Callable[[Logs], Any] | None = None,
        on_test_end: Callable[[Logs], Any] | None = None,
        on_test_batch_begin: Callable[[int, Logs], Any] | None = None,
        on_test_batch_end: Callable[[int, Logs], Any] | None = None,
        on_predict_begin: Callable[[Logs], Any] | None = None,
        on_predict_end: Callable[[Logs], Any] | None = None,
        on_predict_batch_begin: Callable[[int, Logs], Any] | None = None,
        on_predict_batch_end: Callable[[int, Logs], Any] | None = None,
    ) -> None:
        given = {name: value for name, value in locals().items() if name.startswith("on_") and value is not None}
        for name, function in given.items():
            check_hook(f"LambdaCallback({name}=...)", name, function)
            setattr(self, name, function)


class Recorder(Callback):
    """Record the history of a training, as `fit` returns it.  Keras calls it `History`.

    Example:
        >>> Recorder().history
        {}
    """

    observes = True

    def __init__(self) -> None:
        self.recorded = History()

    def on_train_begin(self, logs: Logs = None) -> None:
        self.recorded = self.model.history

    @property
    def history(self) -> dict[str, list[Any]]:
        """The logged entries, each with the list of its values by epoch."""
        return self.recorded.history

    @property
    def epoch(self) -> list[int]:
        """The indices of the epochs."""
        return self.recorded.epoch


def called_around(
    callbacks: Sequence[Callback], model: Any, kind: str, work: Callable[[], Any], name: str = ""
) -> Any:
    """Call `work` between the hooks for start and end of an evaluation or a prediction; return its result.

    Args:
        callbacks: The callbacks.
        model: The model that the callbacks get.
        kind: `"test"` or `"predict"`.
        work: The evaluation or prediction.
        name: The key of the result in the logs; empty if the result is itself the logs.
    """
    for callback in callbacks:
        check(callback)
        callback.set_model(model)
        callback.set_params({"steps": 1})
    for hook, *batch in ((f"on_{kind}_begin",), (f"on_{kind}_batch_begin", 0)):
        for callback in callbacks:
            getattr(callback, hook)(*batch, {})
    result = work()
    logs = {name: result} if name else result
    for hook, *batch in ((f"on_{kind}_batch_end", 0), (f"on_{kind}_end",)):
        for callback in callbacks:
            getattr(callback, hook)(*batch, logs)
    return result

"""Callbacks that change nothing: they call functions, keep what happens, or end a training that has gone wrong."""

import math
from collections.abc import Callable, Sequence
from typing import Any

from firesteel.errors import DivergenceError
from firesteel.train.callbacks import Callback, Logs, check, check_hook
from firesteel.train.history import History

__all__ = ["LambdaCallback", "Recorder", "TerminateOnNaN"]


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

    Each is called as its hook is, by position: with (epoch, logs), (batch, logs) or (logs).
    Raises ConfigError for one that cannot be.

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
    """Keeps what happens in a training, as the history that `fit` returns does.  Keras calls it `History`.

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
        """Each measured name with its value of every epoch."""
        return self.recorded.history

    @property
    def epoch(self) -> list[int]:
        """The epochs' numbers."""
        return self.recorded.epoch


def called_around(
    callbacks: Sequence[Callback], model: Any, kind: str, work: Callable[[], Any], name: str = ""
) -> Any:
    """Return what work returns, and call the hooks of a "test" or a "predict" around it.

    name: what the result is called in logs; it is the logs itself where it has no name.
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

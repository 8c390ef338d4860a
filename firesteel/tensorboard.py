"""A training in TensorBoard: the history's rows as event files, with the folders and names that Keras gives them.

The files are written by tensorboardX, which needs neither TensorFlow nor TensorBoard; it is imported when a callback
is made.  Its writer of single events is used, not the one with a queue, so that an epoch that has ended is on disk.
"""

import os
import time
import weakref
from collections.abc import Mapping
from typing import Any

from firesteel._files import check_folder, path_of
from firesteel.errors import ConfigError, imported
from firesteel.train.callbacks import Callback, Logs

__all__ = ["TensorBoard"]


class TensorBoard(Callback):
    """Writes losses, metrics and the learning rate of each epoch for TensorBoard: `tensorboard --logdir logs`.

    log_dir: gets the folders `train` and `validation`, in which a value has the same name, such as `epoch_loss`, so
    that the two share a chart.
    Raises ConfigError where tensorboardX is missing.

    >>> TensorBoard().log_dir.name
    'logs'
    """

    observes = True

    def __init__(self, log_dir: str | os.PathLike[str] = "logs") -> None:
        names = ("event_file_writer", "proto.event_pb2", "proto.summary_pb2")
        needs = ("TensorBoard", "tensorboard", ConfigError, "config-package")
        writer, event, summary = (imported(f"tensorboardX.{name}", *needs) for name in names)
        self.new_writer, self.event, self.summary = writer.EventsWriter, event.Event, summary.Summary
        self.log_dir, self.writers = path_of(log_dir, "log_dir"), dict[str, Any]()
        weakref.finalize(self, _close, self.writers)  # of a training that did not end

    def on_train_begin(self, logs: Logs = None) -> None:
        check_folder(self.log_dir)

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        numbers = {name: value for name, value in (logs or {}).items() if isinstance(value, float)}
        held = {name.removeprefix("val_"): value for name, value in numbers.items() if name.startswith("val_")}
        self._write("train", {name: value for name, value in numbers.items() if not name.startswith("val_")}, epoch)
        self._write("validation", held, epoch)

    def _write(self, part: str, values: Mapping[str, float], epoch: int) -> None:
        """Write the values of one part of the rows, through to the disk."""
        if not values:
            return
        if part not in self.writers:
            folder = self.log_dir / part
            folder.mkdir(parents=True, exist_ok=True)
            # by itself a name holds whole seconds, and a second training would write over the first
            self.writers[part] = self.new_writer(str(folder / "events"), f".{time.time_ns()}")
        made = [self.summary.Value(tag=f"epoch_{name}", simple_value=value) for name, value in values.items()]
        event = self.event(wall_time=time.time(), step=epoch, summary=self.summary(value=made))
        self.writers[part].write_event(event)
        self.writers[part].flush()

    def on_train_end(self, logs: Logs = None) -> None:
        _close(self.writers)


def _close(writers: dict[str, Any]) -> None:
    while writers:
        writers.popitem()[1].close()

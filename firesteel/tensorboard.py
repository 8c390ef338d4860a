"""The `TensorBoard` callback, which writes event files with the folders and names that Keras uses.

tensorboardX writes the files; it needs neither TensorFlow nor TensorBoard, and is imported when a callback is
created.  Events are written directly rather than queued, so that an epoch is on disk when it has ended.
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

    Args:
        log_dir: Folder for the subfolders `train` and `validation`.  Values have the same name in both, such as
            `epoch_loss`, so that they share a chart.

    Raises:
        ConfigError: If tensorboardX is not installed (code `config-package`).

    Example:
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
        weakref.finalize(self, _close, self.writers)  # for a training that is interrupted

    def on_train_begin(self, logs: Logs = None) -> None:
        """Check that the folder can be created."""
        check_folder(self.log_dir)

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        """Write the values of the epoch."""
        numbers = {name: value for name, value in (logs or {}).items() if isinstance(value, float)}
        validation = {name.removeprefix("val_"): value for name, value in numbers.items() if name.startswith("val_")}
        self._write("train", {name: value for name, value in numbers.items() if not name.startswith("val_")}, epoch)
        self._write("validation", validation, epoch)

    def _write(self, part: str, values: Mapping[str, float], epoch: int) -> None:
        """Write the values of one folder and flush them to disk."""
        if not values:
            return
        if part not in self.writers:
            folder = self.log_dir / part
            folder.mkdir(parents=True, exist_ok=True)
            # default names contain whole seconds only, so a second training could overwrite the first
            self.writers[part] = self.new_writer(str(folder / "events"), f".{time.time_ns()}")
        made = [self.summary.Value(tag=f"epoch_{name}", simple_value=value) for name, value in values.items()]
        event = self.event(wall_time=time.time(), step=epoch, summary=self.summary(value=made))
        self.writers[part].write_event(event)
        self.writers[part].flush()

    def on_train_end(self, logs: Logs = None) -> None:
        """Close the files."""
        _close(self.writers)


def _close(writers: dict[str, Any]) -> None:
    while writers:
        writers.popitem()[1].close()

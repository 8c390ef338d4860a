"""Callbacks that write files: models, progress, and a table of the epochs.

They change nothing, and so a training that was interrupted may go on without them.
"""

import csv
import os
from pathlib import Path

from firesteel.errors import ConfigError
from firesteel.train.callbacks import Callback, Logs, Monitor
from firesteel.train.stopping import better

__all__ = ["BackupAndRestore", "CSVLogger", "ModelCheckpoint"]


class ModelCheckpoint(Monitor):
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

"""Callbacks that write files: models, training progress, and a CSV log.

They change nothing, so that an interrupted training may resume without them.
"""

import csv
import io
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from firesteel._files import check_folder, check_place, named, open_plain, path_of
from firesteel.core.network import Objective
from firesteel.core.spec import whole
from firesteel.errors import ConfigError
from firesteel.train.callbacks import Callback, Logs, Monitor, threshold
from firesteel.train.engine import Engine
from firesteel.train.stopping import better

__all__ = ["BackupAndRestore", "CSVLogger", "ModelCheckpoint"]


class ModelCheckpoint(Monitor):
    """Save the model after each epoch, or only after an epoch that improves on the best so far.

    Missing folders are created; a path that cannot be written is refused before training.  As in Keras, `best` is set
    after each epoch.

    Args:
        filepath: The path of the file.  It may hold names in braces, such as
            `"{epoch:02d}-{val_loss:.2f}.firesteel"`, where epochs count from 1.
        monitor: The entry of the logs to watch.
        verbose: 1 prints a line at each save.
        save_best_only: Whether to save only when `monitor` improves.
        save_weights_only: Whether to call `model.save_weights` instead of `model.save`.
        mode: `"min"`, `"max"`, or `"auto"`, which asks the metric whether larger is better.
        save_freq: `"epoch"`, or a number of batches.  A model gets its new weights at the end of an epoch, so the
            number is rounded up to whole epochs.
        initial_value_threshold: A value that the first saved model must beat.

    Raises:
        ConfigError: If an argument is invalid, or the path cannot be written (`config-value`, `config-monitor`).

    Example:
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
        save_weights_only: bool = False,
        mode: str = "auto",
        save_freq: str | int = "epoch",
        initial_value_threshold: float | None = None,
    ) -> None:
        super().__init__(monitor, mode, 0.0, verbose)
        if save_freq != "epoch" and (whole(save_freq) or 0) < 1:
            raise ConfigError(
                f"save_freq={save_freq!r}: it must be 'epoch' or a number of batches", code="config-value"
            )
        self.save_freq, self.every = save_freq, 1
        self.filepath, self.save_best_only = str(path_of(filepath, "filepath")), save_best_only
        self.save_weights_only = save_weights_only
        self.threshold = threshold("initial_value_threshold", initial_value_threshold)

    def set_rows(self, objective: Objective, training: Engine, validation: Engine | None) -> None:
        known = [name for name in objective.names if name not in dict(objective.ranked)]
        self.logged = [*known, *(f"val_{name}" for name in objective.names if validation is not None)]

    def on_train_begin(self, logs: Logs = None) -> None:
        self.every = 1 if self.save_freq == "epoch" else -(-int(self.save_freq) // self.params["steps"])
        self.best = self.worst() if self.threshold is None else self.threshold
        place = self._path(0, dict.fromkeys(self.logged, 0.5))
        folder = Path(self.filepath).parent
        if "{" not in str(folder):
            check_place(place)
        else:  # the last folders depend on the epoch
            check_folder(next(above for above in folder.parents if "{" not in str(above)))

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        rows = self.model.history.rows
        if len(rows) % self.every:
            return
        if self.save_best_only:
            best, due = self.threshold, False
            for row in rows[self.every - 1 :: self.every]:
                due = better(row[self.monitor], best, bool(self.larger))
                best = row[self.monitor] if due else best
            self.best = self.worst() if best is None else best
            if not due:
                return
        path = self._path(epoch, logs or {})
        with suppress(OSError):  # saving reports the reason
            os.makedirs(Path(path).parent, exist_ok=True)
        (self.model.save_weights if self.save_weights_only else self.model.save)(path)
        self.say(f"Epoch {epoch + 1}: saving model to {path}")

    def _path(self, epoch: int, logs: Mapping[str, Any]) -> str:
        """Return the path of an epoch's file; raise ConfigError for a name in braces that is unknown."""
        known = {"learning_rate": self.model.learning_rate, **logs}
        try:
            return self.filepath.format(epoch=epoch + 1, **known)
        except (LookupError, ValueError, TypeError, AttributeError) as error:
            raise ConfigError(
                f"filepath={self.filepath!r}: unknown name or format, {error}; known are epoch and {list(known)}",
                code="config-value",
            ) from None


class BackupAndRestore(Callback):
    """Store the training's progress in a folder after each epoch; calling the same `fit` again resumes from it.

    It stands for `fit(..., checkpoint=backup_dir/checkpoint)`, under Keras's name.

    Args:
        backup_dir: The folder of the progress file.
        delete_checkpoint: Whether to delete the file when training has ended.

    Example:
        >>> BackupAndRestore("backup").backup_dir
        'backup'
    """

    observes = True

    def __init__(self, backup_dir: str | os.PathLike[str], delete_checkpoint: bool = True) -> None:
        path_of(backup_dir, "backup_dir")
        self.backup_dir, self.delete_checkpoint = backup_dir, delete_checkpoint


class CSVLogger(Callback):
    """Append a line to a CSV file after each epoch: its index, losses and metrics, in alphabetical order.

    The first line sets the columns; a value missing later is written as NA.  A missing folder is created.

    Args:
        filename: The path of the file.
        separator: The character between values.
        append: Whether to continue an existing file, in its columns, rather than to replace it.

    Raises:
        ConfigError: If `separator` is not one character (`config-value`).

    Example:
        >>> CSVLogger("log.csv").separator
        ','
    """

    observes = True

    def __init__(self, filename: str | os.PathLike[str], separator: str = ",", append: bool = False) -> None:
        if not isinstance(separator, str) or len(separator) != 1 or separator in '\r\n"':
            raise ConfigError(f"separator={separator!r}: it must be one character", code="config-value")
        self.path, self.separator, self.append = path_of(filename, "filename"), separator, append

    def on_train_begin(self, logs: Logs = None) -> None:
        check_place(self.path)
        self.names: list[str] = []
        with named(self.path):
            self.path.open("a" if self.append else "w").close()
            if self.append:
                with open_plain(self.path) as file:
                    lines = io.TextIOWrapper(file, "utf-8-sig", newline="")
                    self.names = next(csv.reader(lines, delimiter=self.separator), [])

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        values = {"epoch": epoch} | dict(sorted((logs or {}).items()))
        with named(self.path), self.path.open("a", encoding="utf-8", newline="") as file:
            headed, self.names = bool(self.names), self.names or list(values)
            writer = csv.DictWriter(file, self.names, "NA", "ignore", delimiter=self.separator)
            if not headed:
                writer.writeheader()
            writer.writerow(values)

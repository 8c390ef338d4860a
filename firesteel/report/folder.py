"""The `RunFolder` callback, which writes a training's settings, history, scores, model and report into a folder.

It only reads the history and the rows.  `firesteel train config.toml` repeats the training from its settings.  Next:
`settings.py`.
"""

import json
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from firesteel import __version__
from firesteel import _store as store
from firesteel._files import named, open_plain, path_of
from firesteel.callbacks import Callback
from firesteel.core.network import Objective
from firesteel.errors import ConfigError, DivergenceError, StoreError, without_secrets
from firesteel.extending import must_be_registered
from firesteel.models import Model
from firesteel.report import settings
from firesteel.report.evidence import DisplayNames, Exam, SampledRows, examine
from firesteel.report.reading import SEVERAL, task_of
from firesteel.tables.importance import MOST_ROWS
from firesteel.tables.sampling import sample
from firesteel.train.callbacks import Logs
from firesteel.train.engine import Engine, LocalEngine
from firesteel.train.epoch import score

FILES = ("config.toml", "history.jsonl", "metrics.json", "model.firesteel", "report.html", "env.json")
CHECKPOINT = "checkpoint"
"""The file with the progress of a training from the command line, until it has ended."""
FORMAT = 1
"""Format version of metrics.json; it grows when older readers would misread the file."""
PAUSE = 5.0
"""Least seconds between two updates of the page during training; also at least ten times the duration of one."""


class RunFolder(Callback):
    """Writes a training's settings, history, scores, model, environment and report into a folder.

    The files are config.toml, history.jsonl (one line per epoch), metrics.json, model.firesteel (without optimizer
    moments), env.json and report.html, a page that is redrawn and reloads itself during training.  The callback does
    not change the training: its bits are the same with and without it.  For a model with several outputs the page
    shows only the history and the scores.

    Args:
        folder: The folder, created if necessary.  A folder with a complete run or with other files is refused.
        test: Rows to score at the end: (x, y), (x, y, weights), or a DataFrame with the training columns.  Without
            them the report uses the validation rows, or else the training rows.
        class_names: Names of the classes 0, 1, ..., or of the outputs.
        feature_names: Names of the input columns.
        picture: (height, width) if the features are pixels and the network's `Input` does not show it.
        config: Settings to record that the training does not know, by section, such as
            {"data": {"train": "digits.parquet"}}.

    Raises:
        ConfigError: If a package is missing (`config-package`), the folder is in use or not free (`config-folder`),
            or names do not fit the network (`config-names`).
        StoreError: If the folder cannot be written.

    Example:
        >>> import os
        >>> import tempfile
        >>> import numpy as np
        >>> from firesteel.layers import Dense
        >>> from firesteel.models import Sequential
        >>> model = Sequential([Dense(2, "softmax", input_dim=1)])
        >>> model.compile("adam", "sparse_categorical_crossentropy", ["accuracy"])
        >>> x = np.linspace(-1, 1, 64)[:, None]
        >>> with tempfile.TemporaryDirectory() as place:
        ...     run = RunFolder(os.path.join(place, "run"), class_names=["below", "above"])
        ...     _ = model.fit(x, x[:, 0] > 0, epochs=2, verbose=0, callbacks=[run])
        ...     print(*sorted(os.listdir(run.folder)))
        config.toml env.json history.jsonl metrics.json model.firesteel report.html
    """

    observes = True

    def __init__(
        self,
        folder: str | os.PathLike[str],
        test: Any = None,
        *,
        class_names: Sequence[str] | None = None,
        feature_names: Sequence[str] | None = None,
        picture: tuple[int, int] | None = None,
        config: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        missing = [name for name in ("jinja2", "matplotlib", "tomli_w") if find_spec(name) is None]
        if missing:
            raise ConfigError(
                f'a run folder needs {" and ".join(missing)}: pip install "firesteel[cli]"', code="config-package"
            )
        self.folder, self.test = path_of(folder, "folder"), test
        self.run_name = self.folder.name
        both = (class_names, feature_names)
        classes, features = (None if names is None else [str(name) for name in names] for names in both)
        self.names = DisplayNames(classes, features, picture)
        self.config = config or {}
        self.lock, self.ours = ExitStack(), False

    # Callback methods

    def set_rows(self, objective: Objective, training: Engine, validation: Engine | None) -> None:
        """Store the training and validation rows for the report; called before training."""
        self.objective, self.training, self.validation = objective, training, validation

    def on_train_begin(self, logs: Logs = None) -> None:
        """Create the folder and write the settings."""
        if self.ours and self.params.get("member"):  # the first member has created the folder
            return
        self.ours = False
        self.members, self.exams = list[dict[str, Any]](), list[Exam]()
        must_be_registered(
            "a run folder",
            self.model.network.layers,
            self.objective.loss,
            self.objective.metrics,
            self.model.settings.optimizer,
        )
        self.names.check(self.model.network.inputs, self.model.network.outputs)
        self._take_folder()
        self.ours = True
        self.begun, self.started = time.perf_counter(), datetime.now(UTC)
        self.drawn, self.pause = -PAUSE, PAUSE
        self.sample = self._rows("training", self.objective, self.training)
        self.task = task_of(self.model, self.sample.y)
        if not (self.folder / "config.toml").exists():
            start = None
            if not self.params["drawn"] and not self.model.state.step:
                start = "start.firesteel"
                self.model.save(self.folder / start, include_optimizer=False)
            config = settings.described(self.model, self.params, self._on_spark, self.config, start)
            self._write("config.toml", settings.to_toml(config))
        self._write("history.jsonl", self.model.history.to_jsonl())
        self._put("training")

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        """Append the epoch to the history, and update the page from time to time."""
        member = {"member": self.params["member"]} if "member" in self.params else {}
        self._append(json.dumps(member | self.model.history.rows[-1]) + "\n")
        if time.perf_counter() - self.drawn >= self.pause:
            self._put("training")

    def end_members(self, model: Model, engine: Engine) -> None:
        """Write the results of an ensemble.

        Args:
            model: The ensemble, with the epochs of all members as its history.
            engine: The engine with all training rows.
        """
        self.params = {name: value for name, value in self.params.items() if name != "member"}
        self.params["epochs"] = len(model.history.rows) if model.history else 0
        self.params["rows"] = sum(block.rows for block in engine.blocks)
        self.set_model(model)
        self.set_rows(model._objective(), engine, None)
        self.sample = self._rows("training", self.objective, engine)
        if model.history:
            self._write("history.jsonl", model.history.to_jsonl())
            self.members += [{"member": number, "left_out": why} for number, why in model.history.left_out.items()]
        self.on_train_end()
        for path in self.folder.glob(f"{CHECKPOINT}-*"):
            path.unlink()

    def on_train_end(self, logs: Logs = None) -> None:
        """Measure the model and write the final files."""
        if "member" in self.params:  # further members or the ensemble follow
            self._end_member(self.params["member"])
            return
        with self.lock:
            scores, evidence = self._measured()
            self._put("finished", scores, evidence)

    def on_train_error(self, error: BaseException) -> None:
        """Record that the training diverged or was interrupted."""
        with self.lock, suppress(StoreError):  # a full disk must not hide the first error
            if self.ours:
                self._put("diverged" if isinstance(error, DivergenceError) else "interrupted")

    def _end_member(self, number: int) -> None:
        """Record the results of an ensemble's member on its held-out rows, before these are discarded."""
        assert self.validation is not None
        best, rows = self._best_epoch(), self._rows("validation", self.objective, self.validation)
        found = {
            "member": number,
            "rows": rows.of,
            "epochs": len(self.model.history.rows),
            "best_epoch": best["epoch"],
        }
        self.members.append(found | {"scores": {name: best[f"val_{name}"] for name in self.objective.names}})
        if self.test is None and self.task != SEVERAL:
            training = self._rows("training", self.objective, self.training)
            self.exams.append(Exam.of(self.model, rows, training, self.names, MOST_ROWS // self.params["members"]))

    def _best_epoch(self) -> dict[str, Any]:
        history = self.model.history
        return next((row for row in history.rows if row["epoch"] == history.best), history.rows[-1])

    # Files

    @property
    def _on_spark(self) -> bool:
        return not isinstance(self.training, LocalEngine)

    def _put(self, status: str, scores: Mapping[str, Any] | None = None, evidence: Any = None) -> None:
        """Write the settings, scores, model and environment that are known so far, and redraw the page."""
        from firesteel.report.page import render

        at, over = time.perf_counter(), status != "training"
        fingerprint = self.model.fingerprint() if over else None
        if over:
            self.model.save(self.folder / "model.firesteel", include_optimizer=False)
        metrics = {
            "format": FORMAT,
            "status": status,
            "task": self.task,
            "epochs": self.params["epochs"],
            "best_epoch": self.model.history.best,
            "parameters": self.model.count_params(),
            "seconds": at - self.begun,
            "engine": "Spark" if self._on_spark else "in process",
            "shards": self.params["shards"],
            "rows": self.params["rows"],
            "fingerprint": fingerprint,
            "class_names": self.names.classes,
            "feature_names": self.names.features,
            "picture": self.names.picture,
            "shard_seconds": np.sum([row["by_shard"] for row in self.model.history.rows] or [[]], axis=0).tolist(),
            "members": self.members,
            "scores": scores or {},
        }
        if evidence is not None:
            metrics["evidence"] = evidence
        self._write("metrics.json", _json(metrics))
        self._write("env.json", _json(self._environment(fingerprint)))
        self._write("report.html", render(self.folder))
        self.drawn = time.perf_counter()
        self.pause = max(PAUSE, 10 * (self.drawn - at))

    def _write(self, name: str, text: str) -> None:
        store.write(self.folder / name, text.encode())

    def _append(self, line: str) -> None:
        """Append a line to history.jsonl, completely or not at all; raise StoreError if writing fails."""
        path = self.folder / "history.jsonl"
        with named(path):
            size = path.stat().st_size
            try:
                with path.open("a", encoding="utf-8") as file:
                    file.write(line)
            except OSError:
                os.truncate(path, size)
                raise

    def _measured(self) -> tuple[dict[str, Any], Any]:
        """Return the scores on training, validation and test rows, and the evidence from the last set present."""
        best, theta = self._best_epoch(), self.model.theta
        rows: SampledRows | list[Exam] = self.exams or self.sample
        scores: dict[str, Any] = {"training": {name: best[name] for name in self.objective.names if name in best}}
        if self.members:
            ended = [one for one in self.members if "scores" in one]
            each, counts = [one["scores"] for one in ended], [one["rows"] for one in ended]
            means = {name: np.average([one[name] for one in each], 0, counts).tolist() for name in each[0]}
            scores = {"training": score(self.training, self.objective, theta), "validation": means}
        elif self.validation is not None:
            scores["validation"] = {name: best[f"val_{name}"] for name in self.objective.names}
            rows = self._rows("validation", self.objective, self.validation)
        with ExitStack() as opened:
            if self.test is not None:
                names = ("features", "label", "weight")
                given = self.test if isinstance(self.test, tuple) else (self.test,)
                columns = zip(names, self.params["columns"], strict=True) if len(given) == 1 else ()
                x, y, weight = (*given, None, None)[:3]
                opening = self.model.opened(x, y, sample_weight=weight, **dict(columns))
                objective, engine = opened.enter_context(opening)
                rows = test = self._rows("test", objective, engine)
                scores["test"] = {"rows": test.of, **score(engine, objective, theta)}
            if self.task == SEVERAL:
                return scores, None
            return scores, examine(self.model, rows, self.sample, self.names)

    def _rows(self, name: str, objective: Objective, engine: Engine) -> SampledRows:
        x, y, weight = sample(engine, objective, self.model.theta)
        rows = sum(b.rows for b in engine.blocks)
        return SampledRows(name, x, y.astype(np.float64), weight.astype(np.float64), rows, engine)

    def _environment(self, fingerprint: str | None) -> dict[str, Any]:
        """Return the CPU and the versions, which determine the bits of the weights, and the code's commit."""
        return {
            "firesteel": __version__,
            "python": platform.python_version(),
            "numpy": np.__version__,
            "pyspark": _version("pyspark") if self._on_spark else None,
            "system": f"{platform.system()} {platform.release()}",
            "machines": sorted(self.model.history.machines),
            "git": _git(),
            "started": self.started.isoformat(timespec="seconds"),
            "written": datetime.now(UTC).isoformat(timespec="seconds"),
            "process": os.getpid(),
            "fingerprint": fingerprint,
        }

    # The folder

    def _take_folder(self) -> None:
        """Create and lock the folder; raise ConfigError if it has a finished run, a running one, or foreign files."""
        with named(self.folder, "created"):
            self.folder.mkdir(parents=True, exist_ok=True)
        _lock(self.folder, self.lock)
        with named(self.folder, "created"):
            there = {path.name for path in self.folder.iterdir()}
        progress = {name for name in there if re.fullmatch(rf"{CHECKPOINT}(-\d+)?", name)}
        known = {*FILES, "start.firesteel", CHECKPOINT, *progress}
        left = rf"\.({'|'.join(map(re.escape, known))}|{CHECKPOINT}-\d+)\..*"
        halves = {name for name in there if re.fullmatch(left, name)}  # temporary files of a killed run
        others = sorted(there - known - halves)
        if others:
            raise _taken(f"{self.folder} contains {others[0]!r}, which is not part of a run: choose another folder")
        if is_finished(self.folder):
            raise _taken(f"{self.folder} contains a complete run: choose another folder, or delete it")
        kept = {*progress, *(("config.toml", "start.firesteel") if self.params["resumed"] else ())}
        for name in there - kept:
            (self.folder / name).unlink()
        self._write("env.json", _json({"process": os.getpid()}))


def _taken(said: str) -> ConfigError:
    return ConfigError(said, code="config-folder")


def is_finished(folder: Path) -> bool:
    """Return whether a folder contains a run that completed."""
    with suppress(OSError, ValueError, AttributeError):
        with open_plain(folder / "metrics.json") as file:
            return bool(json.load(file).get("status") == "finished")
    return False


def next_folder(parent: str | os.PathLike[str]) -> Path:
    """Create the next numbered subfolder, 001, 002, ..., and return its path.

    Args:
        parent: The folder in which to create it.

    Returns:
        The path of the new folder.

    Raises:
        StoreError: If the folder cannot be created.

    Example:
        >>> import tempfile
        >>> parent = tempfile.mkdtemp()
        >>> next_folder(parent).name, next_folder(parent).name
        ('001', '002')
    """
    number = 1
    while True:
        made = path_of(parent, "parent") / f"{number:03d}"
        try:
            made.mkdir(parents=True)
            return made
        except FileExistsError:
            number += 1
        except OSError as error:
            raise StoreError(f"{made} cannot be created: {error.strerror or error}", code="store-write") from None


def _lock(folder: Path, lock: ExitStack) -> None:
    """Lock a folder until `lock` is closed.  Raises ConfigError if another process has it."""
    try:
        import fcntl

        descriptor = os.open(folder, os.O_RDONLY)
        lock.callback(os.close, descriptor)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise _taken(f"{folder} is being written by process {_owner(folder)}: choose another folder") from None
    except (ImportError, OSError):
        pass  # not every system supports it


def _owner(folder: Path) -> str:
    """Return the id of the process that writes to a folder; None until the process has recorded it."""
    for _ in range(20):
        time.sleep(0.05)
        with suppress(OSError, ValueError, KeyError, TypeError):
            with open_plain(folder / "env.json") as file:
                return str(json.load(file)["process"])
    return "another"


def _json(values: Mapping[str, Any]) -> str:
    return json.dumps(without_secrets(values), indent=1, allow_nan=False) + "\n"


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return getattr(sys.modules.get(package), "__version__", None)


def _git() -> dict[str, Any] | None:
    """Return the git commit of the working folder, and whether files differ from it; None without git."""

    def asked(*words: str) -> str:
        done = subprocess.run(["git", *words], capture_output=True, text=True, timeout=10, check=True)
        return done.stdout.strip()

    try:
        return {"commit": asked("rev-parse", "HEAD"), "changed": bool(asked("status", "--porcelain", "-uno"))}
    except (OSError, subprocess.SubprocessError):
        return None

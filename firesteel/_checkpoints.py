"""Checkpoints: training progress as bytes, and where it is stored during training.

A checkpoint is a safetensors file like a model's (`_store.py`), with everything that decides how training continues.
A local file is replaced atomically.  Other storage cannot do that, so two files are written alternately.
`train/fit.py` uses this module; `firesteel/spark/checkpoints.py` is its equivalent for Spark's storage.
"""

import json
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from typing import Self

import numpy as np
from safetensors.numpy import save

from firesteel import _store as store
from firesteel._files import check_place, open_plain, path_of
from firesteel.errors import ConfigError, StoreError, without_secrets
from firesteel.train.callbacks import Callback
from firesteel.train.checkpoints import Identity
from firesteel.train.history import rows_of
from firesteel.train.savers import BackupAndRestore
from firesteel.train.state import Progress, TrainState

VECTORS = ("theta", "slots", "outer")
HEADER = ("counts", "rows", "machines", "round", "finished")
KINDS = {"F32": "f4", "F64": "f8"}


def to_bytes(progress: Progress, identity: Identity) -> bytes:
    """Serialize training progress as the content of a checkpoint file.

    Args:
        progress: The progress.
        identity: The identity of the training.
    """
    states = [state for state in (progress.state, progress.best) if state is not None]
    tensors = {f"{n}.{name}": getattr(state, name) for n, state in enumerate(states) for name in VECTORS}
    runs = groupby(progress.rows, tuple)  # consecutive rows with the same names, which are written once
    tensors["sums"] = np.zeros(0) if progress.sums is None else progress.sums
    header = {
        "identity": dict(identity.parts),
        "counts": [state.counts for state in states],
        "rows": [[names, *zip(*(row.values() for row in run), strict=True)] for names, run in runs],
        "machines": sorted(progress.machines),
        "round": progress.round,
        "finished": progress.finished,
    }
    header["sha256"] = store.checksum(header, *(tensors[name] for name in sorted(tensors)))
    tensors = {name: np.ascontiguousarray(vector) for name, vector in tensors.items()}
    return save(tensors, {"firesteel": json.dumps(header)})


def from_bytes(data: bytes, identity: Identity, like: TrainState, name: str) -> Progress | None:
    """Read the progress in a checkpoint; return None if it belongs to another training that has finished.

    Args:
        data: The content of the checkpoint.
        identity: The identity of the training.
        like: A state of the training, whose shapes and dtype the checkpoint must have.
        name: The name of the file, for messages.

    Raises:
        StoreError: If another, unfinished training wrote it (`store-checkpoint`), or it is damaged
            (`store-damaged`).
    """
    entries, header, spare = store.headers(data, name)
    try:
        shapes = {part: (KINDS[entry["dtype"]], tuple(entry["shape"])) for part, entry in entries.items()}
        vectors = dict(zip(shapes, store.arrays(data, entries, shapes), strict=True))
        if header["sha256"] != store.checksum(header, *map(vectors.__getitem__, sorted(vectors)), size=len(data)):
            raise ValueError("checksum mismatch")
        unlike = identity.unlike(header["identity"])
        counts, runs, machines, round_, finished = (header[part] for part in HEADER)
        if unlike and finished is True:
            return None
        if unlike:
            different = " ".join("; ".join(unlike).split())[:500]
            raise StoreError(
                f"{name} holds the progress of another training: {different}.  To resume it, use its settings; to "
                "start over, delete the file or choose another path",
                code="store-checkpoint",
            )
        rows = rows_of(runs, identity.blank.rows[0] if identity.blank else None, spare)
        whole = type(round_) is int and round_ >= 0 and type(finished) is bool and {*map(type, machines)} <= {str}
        if not whole or type(machines) is not list or len(counts) not in ((1, 2) if rows else (1,)):
            raise ValueError("it does not describe a training")
        states = []
        for n, described in enumerate(counts):
            parts = {part: vectors[f"{n}.{part}"].astype(like.theta.dtype) for part in VECTORS}
            if any(vector.shape != getattr(like, part).shape for part, vector in parts.items()):
                raise ValueError("its vectors have other shapes")
            states.append(TrainState.of(described, **parts, averaged=like.averaged))
        sums = vectors["sums"].astype(np.float64) if round_ else None
        if (begun := identity.blank) is not None:
            last = begun.state.epoch + len(rows)
            strange = any(not begun.state.epoch <= one.epoch <= last for one in states) or states[0].epoch != last
            if strange or states[0].step < begun.state.step:
                raise ValueError("its steps and epochs do not match the training")
            if sums is not None and begun.sums is not None and sums.shape != begun.sums.shape:
                raise ValueError("its sums do not match the training")
        return Progress(states[0], rows, (*states, None)[1], frozenset(machines), round_, sums, finished)
    except StoreError:
        raise
    except store.WRONG as error:
        raise store.damaged(name, f"{error}.  Delete it to start over") from None


def readable(data: bytes, progress: Progress, identity: Identity) -> bool:
    """Return whether a checkpoint can be read again; warn if its history is too long."""
    if int.from_bytes(data[:8], "little") < store.LONG:
        return True
    try:
        return from_bytes(data, identity, progress.state, "the checkpoint") is not None
    except StoreError:
        warnings.warn("the history is too long for a checkpoint: the previous checkpoint remains", stacklevel=2)
        return False


def place(
    checkpoint: str | os.PathLike[str] | None, callbacks: Sequence[Callback]
) -> "FileCheckpoints | UrlCheckpoints | None":
    """Return where checkpoints are saved, a local file or a URL, from the arguments of `fit`; None for nowhere.

    Raises:
        ConfigError: If several are named (`config-callback`), a path is invalid, or fsspec is missing for a URL
            (`config-value`).
    """
    given = [] if checkpoint is None else [(checkpoint, False)]
    for backup in callbacks:
        if isinstance(backup, BackupAndRestore):
            given.append((os.path.join(backup.backup_dir, "checkpoint"), backup.delete_checkpoint))
    if len(given) > 1:
        raise ConfigError(
            "several checkpoints are given: use checkpoint=, or one BackupAndRestore", code="config-callback"
        )
    for path, delete in given:
        if not isinstance(path, str | os.PathLike) or not os.fspath(path):
            raise ConfigError(f"checkpoint={path!r}: it must be a path or a URL", code="config-value")
        return UrlCheckpoints(os.fspath(path), delete) if "://" in os.fspath(path) else FileCheckpoints(path, delete)
    return None


class FileCheckpoints:
    """The progress of one training in a local file, which each save replaces.

    Args:
        path: The path of the file.
        delete: Whether to delete the file when training has ended.
    """

    def __init__(self, path: str | os.PathLike[str], delete: bool) -> None:
        self.path, self.delete = path_of(path, "checkpoint"), delete

    def load(self, identity: Identity, like: TrainState) -> Progress | None:
        """Load the progress of the training with this identity; None if nothing was saved.

        Raises:
            StoreError: If another training wrote the file, or it is damaged or cannot be read.
        """
        if not self.path.exists():
            return None
        return from_bytes(store.read(self.path), identity, like, str(self.path))

    def save(self, identity: Identity, progress: Progress) -> None:
        """Save progress; the previous file stays until the new one is complete.  Raises StoreError on failure."""
        data = to_bytes(progress, identity)
        if readable(data, progress, identity):
            store.write(self.path, data)

    def __enter__(self) -> Self:
        """Create the folder; raise StoreError if progress could not be written there."""
        check_place(self.path)
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if kind is None and self.delete:
            self.path.unlink(missing_ok=True)


class Turns:
    """Base class of stores that write progress to two files alternately, so that one is always complete."""

    places = ("a", "b")

    def __init__(self, path: str) -> None:
        self.path, self.newest = path.rstrip("/"), self.places[1]

    def __enter__(self) -> Self:
        return self

    def read(self, path: str) -> bytes | None:
        """Return the content of a file; None if it does not exist.

        Raises:
            StoreError: `store-damaged` if it is incomplete, another code if it cannot be read.
        """
        raise NotImplementedError

    def write(self, path: str, data: bytes) -> None:
        """Write the content of a file; raise StoreError if it cannot be written."""
        raise NotImplementedError

    def load(self, identity: Identity, like: TrainState) -> Progress | None:
        """Load the newest complete progress of the training with this identity; None if nothing was saved.

        Raises:
            StoreError: If another training wrote a file, a file cannot be read, or both are damaged.
        """
        found, damaged = dict[str, Progress](), list[StoreError]()
        for name in self.places:
            path = f"{self.path}/{name}"
            try:
                data = self.read(path)
                progress = None if data is None else from_bytes(data, identity, like, path)
            except StoreError as error:
                if error.code != "store-damaged":
                    raise
                damaged.append(error)
                continue
            if progress is not None:
                found[name] = progress
        if len(damaged) == len(self.places):
            raise damaged[0]
        for half in damaged:
            warnings.warn(f"a checkpoint is ignored: {half}", stacklevel=2)
        if not found:
            return None
        self.newest = max(found, key=lambda name: (found[name].state.epoch, found[name].round))
        return found[self.newest]

    def save(self, identity: Identity, progress: Progress) -> None:
        """Save progress; the previous file stays until the new one is complete.  Raises StoreError on failure."""
        name = self.places[1 - self.places.index(self.newest)]
        data = to_bytes(progress, identity)
        if readable(data, progress, identity):
            self.write(f"{self.path}/{name}", data)
            self.newest = name


class UrlCheckpoints(Turns):
    """The progress of one training in a folder at a URL, through fsspec: s3://, gs://, abfs://, hdfs:// and others.

    Args:
        url: The URL of the folder.
        delete: Whether to delete the folder when training has ended.

    Raises:
        ConfigError: If the protocol is unknown or its package is missing (`config-value`).
    """

    def __init__(self, url: str, delete: bool) -> None:
        try:
            import fsspec

            self.files, root = fsspec.url_to_fs(url)
        except Exception as error:  # an unknown protocol, or a missing package
            hint = ': pip install "firesteel[remote]"' if isinstance(error, ImportError) else ""
            raise ConfigError(f"checkpoint={url!r}: {error}{hint}", code="config-value") from None
        super().__init__(root)
        self.delete = delete

    def __enter__(self) -> Self:
        """Create the folder, where the storage has folders; raise StoreError if it cannot be created."""
        with self._reporting(self.path):
            self.files.makedirs(self.path, exist_ok=True)
        return self

    def read(self, path: str) -> bytes | None:
        try:
            if "file" in self.files.protocol:
                with open_plain(path) as file:
                    return file.read()
            return bytes(self.files.cat_file(path))
        except FileNotFoundError:
            return None
        except Exception as error:
            raise StoreError(f"the checkpoint at {path} cannot be read: {error}", code="store-read") from None

    def write(self, path: str, data: bytes) -> None:
        with self._reporting(path):
            self.files.makedirs(self.path, exist_ok=True)
            self.files.pipe_file(path, data)

    @contextmanager
    def _reporting(self, path: str) -> Iterator[None]:
        """Context manager: turn errors of the storage into a StoreError."""
        try:
            yield
        except Exception as error:
            raise StoreError(f"the checkpoint at {path} cannot be written: {error}", code="store-write") from None

    def save(self, identity: Identity, progress: Progress) -> None:
        before = self.newest
        super().save(identity, progress)
        if progress.finished and self.newest != before:  # the previous file would look unfinished
            self._remove(f"{self.path}/{self.places[1 - self.places.index(self.newest)]}")

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if kind is None and self.delete:
            self._remove(self.path)

    def _remove(self, path: str) -> None:
        try:
            self.files.rm(path, recursive=True)
        except FileNotFoundError:
            pass
        except Exception as error:
            warnings.warn(without_secrets(f"{path} is no longer needed but was not deleted: {error}"), stacklevel=2)

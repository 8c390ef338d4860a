"""Progress as bytes, and the places where it lies while a training runs.

A checkpoint is one safetensors file like a model's (`_store.py`), with everything in it that decides how training
goes on.  A local file is replaced whole; other storage cannot do that, and gets two places that are written by turns.
`train/fit.py` calls it; `firesteel/spark/checkpoints.py` is the same on Spark's storage.
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
    """Return a checkpoint's content.  identity: the training that it belongs to."""
    states = [state for state in (progress.state, progress.best) if state is not None]
    tensors = {f"{n}.{name}": getattr(state, name) for n, state in enumerate(states) for name in VECTORS}
    runs = groupby(progress.rows, tuple)  # of rows with the same names, which are written once
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
    """Return the progress in a checkpoint's content; None where it is that of another training, which has ended.

    like: a state of the training, whose shapes and dtype a checkpoint must have.  name: of the file, for messages.
    Raises StoreError if another training has left off there, or the content is damaged.
    """
    entries, header, spare = store.headers(data, name)
    try:
        shapes = {part: (KINDS[entry["dtype"]], tuple(entry["shape"])) for part, entry in entries.items()}
        vectors = dict(zip(shapes, store.arrays(data, entries, shapes), strict=True))
        if header["sha256"] != store.checksum(header, *map(vectors.__getitem__, sorted(vectors)), size=len(data)):
            raise ValueError("its checksum is not that of its content")
        unlike = identity.unlike(header["identity"])
        counts, runs, machines, round_, finished = (header[part] for part in HEADER)
        if unlike and finished is True:
            return None
        if unlike:
            different = " ".join("; ".join(unlike).split())[:500]
            raise StoreError(
                f"{name} holds the progress of another training: {different}.  Train with its settings to go on with "
                "it; delete it, or name another place, to begin anew",
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
                raise ValueError("its steps and epochs are not those of the training")
            if sums is not None and begun.sums is not None and sums.shape != begun.sums.shape:
                raise ValueError("its sums are not those of the training")
        return Progress(states[0], rows, (*states, None)[1], frozenset(machines), round_, sums, finished)
    except StoreError:
        raise
    except store.WRONG as error:
        raise store.damaged(name, f"{error}.  Delete it to begin anew") from None


def readable(data: bytes, progress: Progress, identity: Identity) -> bool:
    """Return whether a checkpoint could be read again, and warn if not: a history may be too long for that."""
    if int.from_bytes(data[:8], "little") < store.LONG:
        return True
    try:
        return from_bytes(data, identity, progress.state, "the checkpoint") is not None
    except StoreError:
        warnings.warn("the history is too long for a checkpoint: that of an earlier epoch stays", stacklevel=2)
        return False


def place(
    checkpoint: str | os.PathLike[str] | None, callbacks: Sequence[Callback]
) -> "FileCheckpoints | UrlCheckpoints | None":
    """Return what keeps progress where `fit` or a BackupAndRestore says: a local file, or a URL.

    Raises ConfigError where several do, for what is no path, or a URL where fsspec is not installed.
    """
    given = [] if checkpoint is None else [(checkpoint, False)]
    for backup in callbacks:
        if isinstance(backup, BackupAndRestore):
            given.append((os.path.join(backup.backup_dir, "checkpoint"), backup.delete_checkpoint))
    if len(given) > 1:
        raise ConfigError(
            "progress is kept in one place: by checkpoint=, or by one BackupAndRestore", code="config-callback"
        )
    for path, delete in given:
        if not isinstance(path, str | os.PathLike) or not os.fspath(path):
            raise ConfigError(f"checkpoint={path!r}: it must be a path or a URL", code="config-value")
        return UrlCheckpoints(os.fspath(path), delete) if "://" in os.fspath(path) else FileCheckpoints(path, delete)
    return None


class FileCheckpoints:
    """Progress of one training in a local file, which a save replaces whole.

    delete: whether the file goes when training has ended.
    """

    def __init__(self, path: str | os.PathLike[str], delete: bool) -> None:
        self.path, self.delete = path_of(path, "checkpoint"), delete

    def load(self, identity: Identity, like: TrainState) -> Progress | None:
        """Return the progress of this training, if there is some.

        Raises StoreError if it is that of another one, or damaged, or cannot be read.
        """
        if not self.path.exists():
            return None
        return from_bytes(store.read(self.path), identity, like, str(self.path))

    def save(self, identity: Identity, progress: Progress) -> None:
        """Keep progress; the one before stays until this one is whole.  Raises StoreError if it cannot be written."""
        data = to_bytes(progress, identity)
        if readable(data, progress, identity):
            store.write(self.path, data)

    def __enter__(self) -> Self:
        """Make the folder.  Raises StoreError where progress could not be written."""
        check_place(self.path)
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if kind is None and self.delete:
            self.path.unlink(missing_ok=True)


class Turns:
    """Progress in two places by turns, so that one is whole whatever happens to the other."""

    places = ("a", "b")

    def __init__(self, path: str) -> None:
        self.path, self.newest = path.rstrip("/"), self.places[1]

    def __enter__(self) -> Self:
        return self

    def read(self, path: str) -> bytes | None:
        """Return what lies at a path, None if nothing does.

        Raises StoreError: `store-damaged` for half of something, anything else if it cannot be read.
        """
        raise NotImplementedError

    def write(self, path: str, data: bytes) -> None:
        """Write what is to lie at a path.  Raises StoreError if it cannot be written."""
        raise NotImplementedError

    def load(self, identity: Identity, like: TrainState) -> Progress | None:
        """Return the newest progress of this training that is whole.

        Raises StoreError if it is that of another one, or cannot be read, or both places are damaged.
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
            warnings.warn(f"a checkpoint is left aside: {half}", stacklevel=2)
        if not found:
            return None
        self.newest = max(found, key=lambda name: (found[name].state.epoch, found[name].round))
        return found[self.newest]

    def save(self, identity: Identity, progress: Progress) -> None:
        """Keep progress; the one before stays until this one is whole.  Raises StoreError if it cannot be written."""
        name = self.places[1 - self.places.index(self.newest)]
        data = to_bytes(progress, identity)
        if readable(data, progress, identity):
            self.write(f"{self.path}/{name}", data)
            self.newest = name


class UrlCheckpoints(Turns):
    """Progress of one training in a folder at a URL, by fsspec: s3://, gs://, abfs://, hdfs:// and others.

    delete: whether the folder goes when training has ended.
    """

    def __init__(self, url: str, delete: bool) -> None:
        try:
            import fsspec

            self.files, root = fsspec.url_to_fs(url)
        except Exception as error:  # a protocol that is unknown, or whose package is missing
            hint = ': pip install "firesteel[remote]"' if isinstance(error, ImportError) else ""
            raise ConfigError(f"checkpoint={url!r}: {error}{hint}", code="config-value") from None
        super().__init__(root)
        self.delete = delete

    def __enter__(self) -> Self:
        """Make the folder, where there are folders.  Raises StoreError if it cannot be made."""
        with self._saying(self.path):
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
        with self._saying(path):
            self.files.makedirs(self.path, exist_ok=True)
            self.files.pipe_file(path, data)

    @contextmanager
    def _saying(self, path: str) -> Iterator[None]:
        """Raise StoreError for whatever a store says while something is written."""
        try:
            yield
        except Exception as error:
            raise StoreError(f"the checkpoint at {path} cannot be written: {error}", code="store-write") from None

    def save(self, identity: Identity, progress: Progress) -> None:
        before = self.newest
        super().save(identity, progress)
        if progress.finished and self.newest != before:  # what came before it is not left off any more
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
            warnings.warn(without_secrets(f"{path} is no longer needed and stays: {error}"), stacklevel=2)

"""Progress on Spark's storage: in two places by turns, so that one is whole whatever happens to the other.

Each save is a small Spark job, and works wherever Spark can write, through Spark Connect too.  `persistence.py` moves
the bytes, `store.py` makes them.
"""

import threading
import warnings
from types import TracebackType
from typing import Self

from pyspark.sql import SparkSession

from firesteel import store
from firesteel.errors import StoreError
from firesteel.spark.engine import described
from firesteel.spark.persistence import read_bytes, remove, write_bytes
from firesteel.train.state import Progress, TrainState

__all__ = ["SparkCheckpoints"]

PLACES = ("a", "b")
NOTHING_THERE = ("PATH_NOT_FOUND", "UNABLE_TO_INFER_SCHEMA")
HALF_WRITTEN = ("FAILED_READ_FILE", "CANNOT_READ_FILE", "is not a Parquet file")
TRAINING: dict[str, threading.Lock] = {}
"""A lock for each training's folder that this process uses: the very same training may run in two threads."""


class SparkCheckpoints:
    """Progress of one training, in a folder of its own on any path of Spark's.

    Left with success, the folder goes; with an error or an interrupt, it stays for the next call.
    """

    def __init__(self, spark: SparkSession, folder: str) -> None:
        self.spark, self.folder, self.newest = spark, folder.rstrip("/"), PLACES[1]
        self.path: str | None = None

    def load(self, identity: str, like: TrainState) -> Progress | None:
        """Return the newest progress of this training that is whole.  Raises StoreError if it cannot be read."""
        path = f"{self.folder}/firesteel-{identity[:16]}"
        TRAINING.setdefault(path, threading.Lock()).acquire()
        self.path = path
        found: dict[str, Progress] = {}
        for place in PLACES:
            at = f"{path}/{place}"
            try:
                with described(self.spark, "firesteel: looking for a checkpoint"):
                    data = read_bytes(self.spark, at)
                found[place] = store.progress_from_bytes(data, identity, like, at)
            except Exception as error:
                text = str(error) or type(error).__name__
                if any(sign in text for sign in NOTHING_THERE):
                    continue
                reason = text.splitlines()[0]
                if not isinstance(error, StoreError) and not any(sign in text for sign in HALF_WRITTEN):
                    raise StoreError(f"the checkpoint at {at} cannot be read: {reason}", code="store-read") from None
                warnings.warn(f"the checkpoint at {at} is left aside: {reason}", stacklevel=2)
        if not found:
            return None
        self.newest = max(found, key=lambda place: len(found[place].rows))
        return found[self.newest]

    def save(self, identity: str, progress: Progress) -> None:
        """Keep progress; the one before stays until this one is whole."""
        place = PLACES[1 - PLACES.index(self.newest)]
        data = store.progress_to_bytes(progress, identity)
        with described(self.spark, "firesteel: saving a checkpoint"):
            write_bytes(self.spark, f"{self.path}/{place}", data, "overwrite")
        self.newest = place

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.path is None:
            return
        try:
            if kind is None:
                remove(self.spark, self.path)
        except Exception as failure:
            reason = (str(failure) or type(failure).__name__).splitlines()[0]
            warnings.warn(f"{self.path} is no longer needed and stays: {reason}", stacklevel=2)
        finally:
            TRAINING[self.path].release()

"""Progress on Spark's storage: in two places by turns, so that one is whole whatever happens to the other.

Each save is a small Spark job, and works wherever Spark can write, through Spark Connect too.
"""

import threading
import warnings

from pyspark.sql import SparkSession

from firesteel import store
from firesteel.spark.persistence import read_bytes, remove, write_bytes
from firesteel.train.state import Progress, TrainState

__all__ = ["SparkCheckpoints"]

PLACES = ("a", "b")
NOTHING_THERE = ("PATH_NOT_FOUND", "UNABLE_TO_INFER_SCHEMA")
TRAINING: dict[str, threading.Lock] = {}
"""A lock for each training's folder that this process uses."""


class SparkCheckpoints:
    """Progress under a folder on any path of Spark's, each training's in a folder of its own."""

    def __init__(self, spark: SparkSession, folder: str) -> None:
        self.spark, self.folder, self.newest = spark, folder.rstrip("/"), "b"

    def _path(self, identity: str, place: str = "") -> str:
        return f"{self.folder}/firesteel-{identity[:16]}/{place}".rstrip("/")

    def alone(self, identity: str) -> threading.Lock:
        return TRAINING.setdefault(self._path(identity), threading.Lock())

    def load(self, identity: str, like: TrainState) -> Progress | None:
        found: dict[str, Progress] = {}
        for place in PLACES:
            path = self._path(identity, place)
            try:
                found[place] = store.progress_from_bytes(read_bytes(self.spark, path), identity, like, path)
            except Exception as error:
                if not any(sign in str(error) for sign in NOTHING_THERE):
                    reason = str(error).splitlines()[0]
                    warnings.warn(f"the checkpoint at {path} is left aside: {reason}", stacklevel=2)
        if not found:
            return None
        self.newest = max(found, key=lambda place: len(found[place].rows))
        return found[self.newest]

    def save(self, identity: str, progress: Progress) -> None:
        place = PLACES[1 - PLACES.index(self.newest)]
        write_bytes(self.spark, self._path(identity, place), store.progress_to_bytes(progress, identity), "overwrite")
        self.newest = place

    def clear(self, identity: str) -> None:
        try:
            remove(self.spark, self._path(identity))
        except Exception as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            warnings.warn(f"{self._path(identity)} is no longer needed and stays: {reason}", stacklevel=2)

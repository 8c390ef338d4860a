"""Progress on Spark's storage: in two places by turns, so that one is whole whatever happens to the other.

Each save is a small Spark job, and works wherever Spark can write, through Spark Connect too.
"""

import warnings

from pyspark.sql import SparkSession

from firesteel import store
from firesteel.errors import StoreError
from firesteel.spark.persistence import read_bytes, remove, write_bytes
from firesteel.train.state import Progress, TrainState

__all__ = ["SparkCheckpoints"]

PLACES = ("a", "b")


class SparkCheckpoints:
    """Progress under a folder on any path of Spark's, each training's in a folder of its own."""

    def __init__(self, spark: SparkSession, folder: str) -> None:
        self.spark, self.folder, self.newest = spark, folder.rstrip("/"), "b"

    def _path(self, identity: str, place: str = "") -> str:
        return f"{self.folder}/firesteel-{identity[:16]}/{place}".rstrip("/")

    def load(self, identity: str, like: TrainState) -> Progress | None:
        found: dict[str, Progress] = {}
        for place in PLACES:
            path = self._path(identity, place)
            try:
                found[place] = store.progress_from_bytes(read_bytes(self.spark, path), identity, like, path)
            except StoreError as error:
                warnings.warn(f"a checkpoint is left aside: {error}", stacklevel=2)
            except Exception:
                continue  # nothing was written there yet, or only half of it
        if not found:
            return None
        self.newest = max(found, key=lambda place: len(found[place].rows))
        return found[self.newest]

    def save(self, identity: str, progress: Progress) -> None:
        place = PLACES[1 - PLACES.index(self.newest)]
        write_bytes(self.spark, self._path(identity, place), store.progress_to_bytes(progress, identity), "overwrite")
        self.newest = place

    def clear(self, identity: str) -> None:
        remove(self.spark, self._path(identity))

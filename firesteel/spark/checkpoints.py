"""Checkpoints on Spark's storage, in two files written alternately, so that one is always complete.

Each save is a small Spark job and works wherever Spark can write, through Spark Connect too.
"""

import threading
import time
import warnings

from pyspark.sql import SparkSession

from firesteel._checkpoints import Turns
from firesteel.errors import FiresteelError, StoreError, without_secrets
from firesteel.spark.engine import described
from firesteel.spark.failures import UNREACHABLE, cause, translated
from firesteel.spark.storage import is_missing, read_bytes, remove, write_bytes
from firesteel.train.checkpoints import Identity
from firesteel.train.state import Progress, TrainState

HALF_WRITTEN = ("FAILED_READ_FILE", "CANNOT_READ_FILE", "is not a Parquet file")
TRAINING: dict[str, threading.Lock] = {}
"""A lock per checkpoint folder of this process, since the same training may run in two threads."""


class SparkCheckpoints(Turns):
    """Checkpoints of one training, in a folder on Spark's storage.

    The context manager deletes the folder after success, unless `stays` is set; after an error or an interrupt it
    stays for the next call.

    Args:
        spark: The session.
        folder: The parent folder, on any path that Spark can write.
        stays: Whether the folder stays until `forget` is called.
        rest: Minimum time between two saves, as a multiple of the time of a save; the last save is always made.
    """

    def __init__(self, spark: SparkSession, folder: str, stays: bool = False, rest: float = 0.0) -> None:
        super().__init__(folder)
        self.spark, self.folder, self.held, self.stays, self.rest = spark, self.path, False, stays, rest
        self.due = 0.0

    def load(self, identity: Identity, like: TrainState) -> Progress | None:
        self.path = f"{self.folder}/firesteel-{identity.name[:16]}"
        TRAINING.setdefault(self.path, threading.Lock()).acquire()
        self.held = True
        return super().load(identity, like)

    def save(self, identity: Identity, progress: Progress) -> None:
        begun = time.monotonic()
        if progress.finished or begun >= self.due:
            super().save(identity, progress)
            ended = time.monotonic()
            self.due = ended + self.rest * (ended - begun)

    def read(self, path: str) -> bytes | None:
        title = f"the checkpoint at {path} cannot be read"
        try:
            with described(self.spark, "firesteel: looking for a checkpoint"):
                return read_bytes(self.spark, path)
        except Exception as error:
            if is_missing(error):
                return None
            if any(sign in str(error) for sign in HALF_WRITTEN):
                raise StoreError(f"{title}: {cause(str(error))}", code="store-damaged") from None
            raise self._failed(error, title, "store-read") from None

    def write(self, path: str, data: bytes) -> None:
        try:
            with described(self.spark, "firesteel: saving a checkpoint"):
                write_bytes(self.spark, path, data, "overwrite")
        except Exception as error:
            raise self._failed(error, f"the checkpoint at {path} cannot be written", "store-write") from None

    def _failed(self, error: Exception, title: str, code: str) -> FiresteelError:
        found = translated(error, self.spark, title)
        if isinstance(found, FiresteelError) and found.code in UNREACHABLE:
            return found
        return StoreError(f"{title}: {cause(str(error)) or type(error).__name__}", code=code)

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if not self.held:
            return
        try:
            if kind is None and not self.stays:
                self.forget()
        finally:
            TRAINING[self.path].release()

    def forget(self) -> None:
        """Delete the checkpoint folder, if it exists; warn if that fails."""
        try:
            if self.held:
                remove(self.spark, self.path)
        except Exception as failure:
            reason = cause(str(failure)) or type(failure).__name__
            warnings.warn(
                without_secrets(f"{self.path} is no longer needed, but cannot be deleted: {reason}"), stacklevel=2
            )

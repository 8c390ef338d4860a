"""What lies on Spark's storage: paths, and stages: Params as Spark writes them, and the bytes of networks as rows.

Spark writes to a path as it stands, and reads a path as a pattern: `literal` makes the two one.  Anything that Spark
can write to will do, through Spark Connect too.  Nothing that a file names is imported or run: `load` on one of our
classes makes that class, and the network comes from `firesteel._store`.
"""

import json
import os
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from pyspark.ml.util import DefaultParamsReader, DefaultParamsWriter, MLReader, MLWriter
from pyspark.sql import SparkSession
from pyspark.sql.utils import is_remote

from firesteel._store import WRONG as SENSELESS
from firesteel._store import damaged
from firesteel.errors import HIDDEN, ConfigError, FiresteelError, StoreError, without_secrets
from firesteel.models import Sequential
from firesteel.spark.engine import described
from firesteel.spark.failures import translated

# Paths


def path_text(path: Any, name: str = "path") -> str:
    """Return a path as text.  Raises ConfigError for what is no path.

    name: what the user calls it.
    """
    if not isinstance(path, str | os.PathLike) or not isinstance(os.fspath(path), str) or not os.fspath(path):
        raise ConfigError(f"{name}={path!r}: it must be a path", code="config-value")
    return os.fspath(path)


def literal(path: str) -> str:
    """Return the pattern by which Spark reads this very path, and no other.

    >>> literal("runs/[1]/a*")
    'runs/\\\\[1\\\\]/a\\\\*'
    """
    return re.sub(r"[\[\]{}*?\\]", r"\\\g<0>", path)


def pattern(spark: SparkSession, path: str) -> str:
    """Return the pattern for rows of a user's: this very path if something lies there, else what was given."""
    if literal(path) != path:
        with suppress(Exception):
            spark.read.text(literal(path)).schema  # noqa: B018
            return literal(path)
    return path


def is_missing(error: BaseException) -> bool:
    """Return whether Spark says that nothing lies at a path, or a folder without a file in it."""
    return bool(re.match(r"\[(PATH_NOT_FOUND|UNABLE_TO_INFER_SCHEMA)\b", str(error)))


def exists(spark: SparkSession, path: str) -> bool:
    """Return whether something lies at a path."""
    files, place = _hadoop(spark, path)
    return bool(files.exists(place))


def reach(spark: SparkSession, path: str, name: str) -> bool:
    """Make a folder, as far as that can be done without a job; return whether it is new.

    name: what the user calls the path.
    Raises FiresteelError where Spark cannot make it.
    """
    if is_remote():
        return False
    try:
        files, place = _hadoop(spark, path)
        there, made = files.exists(place), files.mkdirs(place)
    except Exception as error:
        raise translated(error, spark, f"{name}={path}") from None
    if not made:
        raise StoreError(f"{name}={path} cannot be written: the folder cannot be made", code="store-write")
    return not there


def remove(spark: SparkSession, path: str) -> None:
    """Remove whatever lies at a path."""
    if is_remote():
        from pyspark.ml.connect.readwrite import RemoteMLWriter

        RemoteMLWriter.handleOverwrite(path, True)
    else:
        files, place = _hadoop(spark, path)
        if not files.delete(place, True) and files.exists(place):
            raise StoreError(f"{path} cannot be removed", code="store-write")


def move(spark: SparkSession, path: str, to: str) -> None:
    """Rename what lies at a path, if there is something."""
    files, place = _hadoop(spark, path)
    if files.exists(place) and not files.rename(place, _hadoop(spark, to)[1]):
        raise StoreError(f"{path} cannot be renamed to {to}", code="store-write")


def _hadoop(spark: SparkSession, path: str) -> tuple[Any, Any]:
    """Return Hadoop's file system of a path, and its word for the path; there is none on Spark Connect."""
    place = spark._jvm.org.apache.hadoop.fs.Path(path)  # type: ignore[union-attr]
    return place.getFileSystem(spark._jsparkSession.sessionState().newHadoopConf()), place


# Stages


CHUNK = 64 << 20
"""Bytes in one row of what is saved."""
WRONG = (*SENSELESS, AssertionError)
"""What metadata that make no sense may raise, in Spark's own reader too."""


def write_bytes(spark: SparkSession, path: str, data: bytes, mode: str = "error") -> None:
    """Write bytes as rows of a Parquet file, on any path of Spark's."""
    rows = [(at, bytearray(data[at : at + CHUNK])) for at in range(0, len(data), CHUNK)]
    spark.createDataFrame(rows, "at long, bytes binary").coalesce(1).write.mode(mode).parquet(path)


def read_bytes(spark: SparkSession, path: str) -> bytes:
    """Return what write_bytes wrote."""
    rows = spark.read.parquet(literal(path)).orderBy("at").collect()
    return b"".join(bytes(row["bytes"]) for row in rows)


def _sibling(path: str, what: str) -> str:
    return f"{path.rstrip('/')}.{what}"


def _context(io: Any) -> Any:
    """Return what Spark's own metadata functions want: the session, and before Spark 4 the context."""
    return io.sc if io.sparkSession.version < "4" else io.sparkSession


@contextmanager
def _named(io: Any, title: str) -> Iterator[None]:
    """Let Spark call these jobs by a title, and say in a sentence why one failed."""
    spark = None
    try:
        spark = io.sparkSession
        with described(spark, title):
            yield
    except Exception as error:
        if "[PATH_ALREADY_EXISTS]" in str(error):
            text = f"{title}: something is there already: overwrite it with write().overwrite()"
            raise StoreError(text, code="store-exists") from None
        raise translated(error, spark, title) from None


class StageWriter(MLWriter):
    """Saves the Params of a stage.

    overwrite() writes next to what is there and renames, so that one of the two can be loaded whatever happens; on
    Spark Connect, which cannot rename, it deletes first, as Spark's own writers do.
    """

    def __init__(self, instance: Any) -> None:
        super().__init__()
        self.instance = instance

    def saveImpl(self, path: str) -> None:
        self.describe(path, {})

    def describe(self, path: str, about: dict[str, Any]) -> None:
        """Write the Params, and what else is to be known; secrets stay here.

        An address is written without its password; one that would lead elsewhere without a secret is not written.
        """
        given = {param.name: without_secrets(value) for param, value in self.instance._paramMap.items()}
        kept = {name: value for name, value in given.items() if not (isinstance(value, str) and HIDDEN in value)}
        for name in given.keys() - kept.keys():
            warnings.warn(f"{name} holds a secret and is not saved: set it again after loading", stacklevel=2)
        DefaultParamsWriter.saveMetadata(self.instance, path, _context(self), about, kept)

    def save(self, path: str | os.PathLike[str]) -> None:
        path = path_text(path)
        with _named(self, f"firesteel: saving {path}"):
            if not self.shouldOverwrite or is_remote():
                super().save(path)
            else:
                self._replace(path)

    def _replace(self, path: str) -> None:
        spark, new, old = self.sparkSession, _sibling(path, "saving"), _sibling(path, "replaced")
        remove(spark, new)
        self.saveImpl(new)
        if exists(spark, old) and self._is_whole(path):  # an earlier one was cut off
            remove(spark, old)
        if not exists(spark, old):
            move(spark, path, old)
        remove(spark, path)
        move(spark, new, path)
        remove(spark, old)

    def _is_whole(self, path: str) -> bool:
        """Return whether a stage can be loaded from a path."""
        with suppress(Exception):
            type(self.instance).read().read(path)
            return True
        return False

    def _handleOverwrite(self, path: str) -> None:
        remove(self.sparkSession, path)


class ModelWriter(StageWriter):
    """Saves the Params of a model, what it knows of the columns, and its network."""

    def saveImpl(self, path: str) -> None:
        self.describe(path, {"firesteel": self.instance.about()})
        write_bytes(self.sparkSession, f"{path}/data", self.instance.network.to_bytes(include_optimizer=False))


class StageReader(MLReader[Any]):
    """Reads what StageWriter wrote of one class."""

    def __init__(self, kind: type) -> None:
        super().__init__()
        self.kind = kind

    def load(self, path: str | os.PathLike[str]) -> Any:
        path = path_text(path)
        with _named(self, f"firesteel: loading {path}"):
            try:
                return self.read(path)
            except Exception as error:
                with suppress(Exception):
                    found = self.read(_sibling(path, "replaced"))
                    shown = without_secrets(path)
                    warnings.warn(f"replacing {shown} was cut off: what was there before is loaded", stacklevel=2)
                    return found
                if is_missing(error):
                    raise StoreError(f"{path}: no {self.kind.__name__} is saved there", code="store-read") from None
                found = translated(error, self.sparkSession, self.kind.__name__)
                if getattr(found, "code", "") == "data-file":
                    raise damaged(path, found) from None
                raise

    def read(self, path: str) -> Any:
        """Return the stage that lies at a path."""
        return self.made(path)[0]

    def made(self, path: str) -> tuple[Any, dict[str, Any]]:
        """Return a stage with its Params, and all that was written with them."""
        try:
            found = self.sparkSession.read.text(literal(f"{path}/metadata")).head()
            if found is None:
                raise damaged(f"{path}/metadata", "it is empty")
            metadata = json.loads(found[0])
            kind = " ".join(metadata["class"].split(".")[-1].split())[:60]
            if kind != self.kind.__name__:
                raise StoreError(f"{path} holds a {kind}, and no {self.kind.__name__}", code="store-class")
            stage = self.kind()
            stage._resetUid(metadata["uid"])
            DefaultParamsReader.getAndSetParams(stage, metadata)
        except StoreError:
            raise
        except WRONG as error:
            said = error if isinstance(error, FiresteelError) else repr(error)
            raise damaged(f"{path}/metadata", said) from None
        return stage, metadata


class ModelReader(StageReader):
    """Reads what ModelWriter wrote of one class of models."""

    def read(self, path: str) -> Any:
        model, metadata = self.made(path)
        network = Sequential.from_bytes(read_bytes(self.sparkSession, f"{path}/data"), path)
        try:
            model.check(network.network)
            model.hold(network, _about(metadata))
        except WRONG as error:
            raise damaged(path, error) from None
        return model


def _about(metadata: dict[str, Any]) -> dict[str, Any]:
    """Return what a model's metadata say of its columns.  Raises ValueError where that is no such thing."""
    about = metadata.get("firesteel", {})
    for name in ("features", "classes"):
        if (names := about.get(name)) is not None and (type(names) is not list or {*map(type, names)} - {str}):
            raise ValueError(f"{name} are no list of names")
    if about.get("label") not in (None, "text", "boolean"):
        raise ValueError("the label is neither text nor boolean")
    if type(about.get("few", False)) is not bool:
        raise ValueError("few is neither true nor false")
    return dict(about)

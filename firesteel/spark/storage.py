"""Paths and saved stages on Spark's storage: Params in Spark's format, and networks as rows of bytes.

Any file system that Spark can write works, through Spark Connect too.  Spark writes to a literal path but reads a
path as a glob pattern; `literal` escapes it.  Loading never imports or runs anything that a file names.
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
    """Convert a user's path to text; raise ConfigError if it is neither text nor a path.

    Args:
        path: The path.
        name: The user's name of the argument, for messages.

    Raises:
        ConfigError: `config-value`, if it is not a path.
    """
    if not isinstance(path, str | os.PathLike) or not isinstance(os.fspath(path), str) or not os.fspath(path):
        raise ConfigError(f"{name}={path!r}: it must be a path", code="config-value")
    return os.fspath(path)


def literal(path: str) -> str:
    """Escape a path so that Spark reads exactly this path.

    >>> literal("runs/[1]/a*")
    'runs/\\\\[1\\\\]/a\\\\*'
    """
    return re.sub(r"[\[\]{}*?\\]", r"\\\g<0>", path)


def pattern(spark: SparkSession, path: str) -> str:
    """Return the pattern for a user's path: the literal path if it exists, otherwise the path as a glob pattern."""
    if literal(path) != path:
        with suppress(Exception):
            spark.read.text(literal(path)).schema  # noqa: B018
            return literal(path)
    return path


def is_missing(error: BaseException) -> bool:
    """Return whether an error of Spark means that a path does not exist, or is an empty folder."""
    return bool(re.match(r"\[(PATH_NOT_FOUND|UNABLE_TO_INFER_SCHEMA)\b", str(error)))


def exists(spark: SparkSession, path: str) -> bool:
    """Return whether a path exists."""
    files, place = _hadoop(spark, path)
    return bool(files.exists(place))


def reach(spark: SparkSession, path: str, name: str) -> bool:
    """Create a folder, if that needs no Spark job; return whether it is new.

    Args:
        spark: The session; on Spark Connect nothing happens.
        path: The folder.
        name: The user's name of the argument, for messages.

    Raises:
        FiresteelError: If Spark cannot create it.
    """
    if is_remote():
        return False
    try:
        files, place = _hadoop(spark, path)
        there, made = files.exists(place), files.mkdirs(place)
    except Exception as error:
        raise translated(error, spark, f"{name}={path}") from None
    if not made:
        raise StoreError(f"{name}={path} cannot be written: the folder cannot be created", code="store-write")
    return not there


def remove(spark: SparkSession, path: str) -> None:
    """Delete a file or folder."""
    if is_remote():
        from pyspark.ml.connect.readwrite import RemoteMLWriter

        RemoteMLWriter.handleOverwrite(path, True)
    else:
        files, place = _hadoop(spark, path)
        if not files.delete(place, True) and files.exists(place):
            raise StoreError(f"{path} cannot be removed", code="store-write")


def move(spark: SparkSession, path: str, to: str) -> None:
    """Rename a file or folder, if it exists."""
    files, place = _hadoop(spark, path)
    if files.exists(place) and not files.rename(place, _hadoop(spark, to)[1]):
        raise StoreError(f"{path} cannot be renamed to {to}", code="store-write")


def _hadoop(spark: SparkSession, path: str) -> tuple[Any, Any]:
    """Return the Hadoop file system of a path and the Hadoop path; not on Spark Connect."""
    place = spark._jvm.org.apache.hadoop.fs.Path(path)  # type: ignore[union-attr]
    return place.getFileSystem(spark._jsparkSession.sessionState().newHadoopConf()), place


# Stages


CHUNK = 64 << 20
"""Bytes per row of a saved network."""
WRONG = (*SENSELESS, AssertionError)
"""Exceptions that invalid metadata raise, in Spark's own reader too."""


def write_bytes(spark: SparkSession, path: str, data: bytes, mode: str = "error") -> None:
    """Write bytes as rows of a Parquet file."""
    rows = [(at, bytearray(data[at : at + CHUNK])) for at in range(0, len(data), CHUNK)]
    spark.createDataFrame(rows, "at long, bytes binary").coalesce(1).write.mode(mode).parquet(path)


def read_bytes(spark: SparkSession, path: str) -> bytes:
    """Read the bytes that `write_bytes` wrote."""
    rows = spark.read.parquet(literal(path)).orderBy("at").collect()
    return b"".join(bytes(row["bytes"]) for row in rows)


def _sibling(path: str, what: str) -> str:
    return f"{path.rstrip('/')}.{what}"


def _context(io: Any) -> Any:
    """Return the first argument of Spark's metadata functions: the session, or before Spark 4 its context."""
    return io.sc if io.sparkSession.version < "4" else io.sparkSession


@contextmanager
def _named(io: Any, title: str) -> Iterator[None]:
    """Context manager: give jobs a title in Spark's web UI, and translate their errors."""
    spark = None
    try:
        spark = io.sparkSession
        with described(spark, title):
            yield
    except Exception as error:
        if "[PATH_ALREADY_EXISTS]" in str(error):
            text = f"{title}: the path exists already: overwrite it with write().overwrite().save(path)"
            raise StoreError(text, code="store-exists") from None
        raise translated(error, spark, title) from None


class StageWriter(MLWriter):
    """Saves the Params of a stage.

    With `overwrite()` it writes to a new folder and then renames it, so that either the old or the new stage can be
    loaded at any time.  Spark Connect cannot rename; there it deletes first, as Spark's own writers do.

    Args:
        instance: The stage.
    """

    def __init__(self, instance: Any) -> None:
        super().__init__()
        self.instance = instance

    def saveImpl(self, path: str) -> None:
        self.describe(path, {})

    def describe(self, path: str, about: dict[str, Any]) -> None:
        """Write the Params and further metadata, without secrets.

        The password is removed from a URL; a URL that needs its secret is not written.

        Args:
            path: The folder.
            about: Further metadata.
        """
        given = {param.name: without_secrets(value) for param, value in self.instance._paramMap.items()}
        saved = {name: value for name, value in given.items() if not (isinstance(value, str) and HIDDEN in value)}
        for name in given.keys() - saved.keys():
            warnings.warn(f"{name} contains a secret and is not saved: set it again after loading", stacklevel=2)
        DefaultParamsWriter.saveMetadata(self.instance, path, _context(self), about, saved)

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
        if exists(spark, old) and self._is_whole(path):  # left over from an interrupted save
            remove(spark, old)
        if not exists(spark, old):
            move(spark, path, old)
        remove(spark, path)
        move(spark, new, path)
        remove(spark, old)

    def _is_whole(self, path: str) -> bool:
        """Return whether a complete stage is saved at a path."""
        with suppress(Exception):
            type(self.instance).read().read(path)
            return True
        return False

    def _handleOverwrite(self, path: str) -> None:
        remove(self.sparkSession, path)


class ModelWriter(StageWriter):
    """Saves the Params of a model, its column metadata and its network."""

    def saveImpl(self, path: str) -> None:
        self.describe(path, {"firesteel": self.instance._metadata()})
        write_bytes(self.sparkSession, f"{path}/data", self.instance.network.to_bytes(include_optimizer=False))


class StageReader(MLReader[Any]):
    """Loads the stages of one class that StageWriter saved.

    Args:
        kind: The class.
    """

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
                    warnings.warn(f"saving to {shown} was interrupted: the previous stage is loaded", stacklevel=2)
                    return found
                if is_missing(error):
                    raise StoreError(f"{path}: no {self.kind.__name__} is saved there", code="store-read") from None
                found = translated(error, self.sparkSession, self.kind.__name__)
                if getattr(found, "code", "") == "data-file":
                    raise damaged(path, found) from None
                raise

    def read(self, path: str) -> Any:
        """Load the stage at a path."""
        return self.made(path)[0]

    def made(self, path: str) -> tuple[Any, dict[str, Any]]:
        """Load a stage and set its Params; return (stage, all metadata)."""
        try:
            found = self.sparkSession.read.text(literal(f"{path}/metadata")).head()
            if found is None:
                raise damaged(f"{path}/metadata", "it is empty")
            metadata = json.loads(found[0])
            kind = " ".join(metadata["class"].split(".")[-1].split())[:60]
            if kind != self.kind.__name__:
                raise StoreError(f"{path} holds a {kind}, not a {self.kind.__name__}", code="store-class")
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
    """Loads the models of one class that ModelWriter saved."""

    def read(self, path: str) -> Any:
        model, metadata = self.made(path)
        network = Sequential.from_bytes(read_bytes(self.sparkSession, f"{path}/data"), path)
        try:
            model._check_network(network.network)
            model._set_network(network, _about(metadata))
        except WRONG as error:
            raise damaged(path, error) from None
        return model


def _about(metadata: dict[str, Any]) -> dict[str, Any]:
    """Return the column metadata of a saved model.  Raises ValueError if they are invalid."""
    about = metadata.get("firesteel", {})
    for name in ("features", "classes"):
        if (names := about.get(name)) is not None and (type(names) is not list or {*map(type, names)} - {str}):
            raise ValueError(f"{name} is not a list of names")
    if about.get("label") not in (None, "text", "boolean"):
        raise ValueError("the label is neither text nor boolean")
    if type(about.get("few", False)) is not bool:
        raise ValueError("few is neither true nor false")
    return dict(about)

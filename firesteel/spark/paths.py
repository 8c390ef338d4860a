"""Paths on Spark's storage: what lies there, and how it goes away.

Spark writes to a path as it stands, and reads a path as a pattern: `literal` makes the two one.
"""

import os
import re
from contextlib import suppress
from typing import Any

from pyspark.sql import SparkSession
from pyspark.sql.utils import is_remote

from firesteel.errors import ConfigError, StoreError
from firesteel.spark.failures import translated


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

"""What firesteel raises when it refuses something: one class for each kind of cause, each with a stable code.

Messages are written for the person who must act: what was found, where, how often, and what to do about it.
Everything that may raise lies behind three gates (a constructor, the build of a network, the data); past them
the code trusts its input.
"""

import re
from typing import Any

__all__ = [
    "ConfigError",
    "DataError",
    "DivergenceError",
    "FiresteelError",
    "SparkJobError",
    "SparkSetupError",
    "StoreError",
    "without_credentials",
]


def without_credentials(text: str) -> str:
    """Return a text without the user names and passwords that addresses in it have before an @.

    Whatever is written down, printed or said goes through here where an address may be in it.

    >>> without_credentials("s3a://key:secret@bucket/rows.csv: there is no such file")
    's3a://bucket/rows.csv: there is no such file'
    """
    return re.sub(r"(\w:/{1,2})[^/\s]*@", r"\1", text)


class FiresteelError(Exception):
    """Anything firesteel refuses.  `code` is a stable, hyphenated word that programs may test.

    What a terminal would obey, in names that come out of files, is spelt out.

    >>> raise ConfigError("units must be at least 1, got 0", code="config-units")
    Traceback (most recent call last):
    firesteel.errors.ConfigError: units must be at least 1, got 0 [config-units]
    """

    default_code = "error"

    def __init__(self, message: str, *, code: str | None = None) -> None:
        self.code = code or self.default_code
        shown = "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in message)
        super().__init__(f"{without_credentials(shown)} [{self.code}]")


class ConfigError(FiresteelError, ValueError):
    """A layer, network or training setting that cannot work."""

    default_code = "config"


class DataError(FiresteelError, ValueError):
    """Rows that cannot be trained on or scored; found before the first update."""

    default_code = "data"


class StoreError(FiresteelError, ValueError):
    """A model file that cannot be written, or is not a firesteel model, or is damaged."""

    default_code = "store"


class DivergenceError(FiresteelError, RuntimeError):
    """Training produced a loss or weights that are not finite.  `state` is the last good one."""

    default_code = "diverged"
    state: Any = None


class SparkSetupError(FiresteelError, RuntimeError):
    """Spark cannot run here: no Java, a Java too old, pyspark missing, or executors without what they need."""

    default_code = "spark-setup"


class SparkJobError(FiresteelError, RuntimeError):
    """A Spark job failed, in all the attempts that Spark makes; the session is as usable as before."""

    default_code = "spark-job"

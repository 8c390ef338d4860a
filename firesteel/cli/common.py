"""What the commands share: types of options, JSON output, and the Spark session.

A session is either the active one or one that is started for the command and stopped at its end.  Failures of Spark
jobs become one line here, for all commands.
"""

import json
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter
from cyclopts.validators import Number
from rich.console import Console

from firesteel.cli.config import KINDS, EngineSettings, check_secrets
from firesteel.cli.progress import is_live, waiting
from firesteel.errors import ConfigError

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


# Options

Count = Annotated[int, Parameter(validator=Number(gte=1))]
Seed = Annotated[int, Parameter(validator=Number(gte=0))]
Switch = Annotated[bool, Parameter(show_default=False)]
Json = Annotated[bool, Parameter(name="--json", show_default=False)]

Flags = dict[str, tuple[str, Any]]
"""Options with the settings that they set and their values; None if an option is absent."""


def flags(**options: Any) -> Flags:
    """Return {command-line option: setting} for all options of `firesteel train`."""
    known = {key: f"{section}.{key}" for section, key in KINDS}
    known |= {"data": "data.train", "engine": "engine.name", "run": "run.folder"}
    return {f"--{name.replace('_', '-')}": (known[name], value) for name, value in options.items()}


def print_json(values: dict[str, Any]) -> None:
    """Print one line of JSON."""
    print(json.dumps(values), flush=True)


# The Spark session

STARTING = "starting Spark: some 10 seconds"


@contextmanager
def session_of(
    engine: EngineSettings, console: Console, quiet: bool, silent: bool = True
) -> Iterator["SparkSession | None"]:
    """Context manager: the Spark session that the settings ask for, or None for training in this process.

    Args:
        engine: The engine settings.
        console: Where progress is shown.
        quiet: Whether to show no live line, even on a terminal.
        silent: Whether to turn off a new session's log.
    """
    if engine.name == "local":
        yield None
        return
    check_secrets("engine", "master", engine.master)
    with ExitStack() as stack:
        with waiting(STARTING, console, live=is_live(console) and not quiet):
            spark = stack.enter_context(spark_session(engine.master, silent))
        from firesteel.spark.files import explained

        with explained(spark=spark):
            yield spark


@contextmanager
def spark_session(master: str, silent: bool = True) -> Iterator["SparkSession"]:
    """Context manager: the active Spark session, or a new one that is stopped at the end.

    Args:
        master: The Spark master.
        silent: Whether to turn off a new session's log.

    Raises:
        SparkSetupError: If Spark cannot run.
        ConfigError: If Spark is already running with another master.
    """
    from firesteel.spark.session import STARTED_OUTSIDE, session

    pyspark = sys.modules.get("pyspark")
    found = pyspark is not None and pyspark.SparkContext._active_spark_context is not None
    with _interruptible_later():
        spark = session(master)
        if found or os.environ.keys() & STARTED_OUTSIDE:
            _check_master(spark, master)
        if silent and not found and hasattr(spark, "_jvm"):  # not on Spark Connect
            spark.sparkContext.setLogLevel("FATAL")  # failed jobs are reported in one line
    try:
        yield spark
    finally:
        if not found and hasattr(spark, "_jvm"):  # not on Spark Connect
            with suppress(Exception):  # if the session is gone, that has been reported
                spark.stop()


def _check_master(spark: "SparkSession", master: str) -> None:
    """Raise ConfigError if the session in use has another master than the one requested."""
    used = spark.sparkContext.master if hasattr(spark, "_jvm") else os.environ.get("SPARK_REMOTE", "a Connect server")
    if master not in (used, EngineSettings().master):
        raise ConfigError(
            f"[engine] master={master!r}: Spark is already running with master {used}: leave master out, or stop "
            "that session first",
            code="config-value",
        )


@contextmanager
def _interruptible_later() -> Iterator[None]:
    """Context manager: postpone a first Ctrl-C or SIGTERM while the JVM starts, so that it does not hang.

    Afterwards, restore firesteel's signal handlers: Spark replaces them with one that prints tracebacks.
    """
    postponed: list[int] = []

    def postpone(signum: int, frame: object) -> None:
        postponed.append(signum)
        signal.signal(signum, before[signal.Signals(signum)])

    before = {number: signal.signal(number, postpone) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if postponed:
        signal.raise_signal(signal.Signals(postponed[0]))

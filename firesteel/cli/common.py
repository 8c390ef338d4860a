"""What commands have in common: kinds of options, output as JSON, and the Spark session.

A session is the one in use, or one that is started for the command and stopped at its end.  What a job says when it
fails is turned into one line here, for all commands.
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
"""An option, the setting that it stands for, and its value; None where it was not given."""


def flags(**options: Any) -> Flags:
    """Return options by what the user calls them, with the settings that they stand for."""
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
    """Give the Spark session that the settings ask for, and None where they ask for none.

    quiet: whether not even a terminal gets a live line.  silent: whether a new session's log is put aside.
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
    """Give the session in use, or a new one that is stopped at the end.

    silent: whether a new one's log is put aside.
    Raises SparkSetupError where Spark cannot run, and ConfigError where it runs already with another master.
    """
    from firesteel.spark.session import STARTED_OUTSIDE, session

    pyspark = sys.modules.get("pyspark")
    found = pyspark is not None and pyspark.SparkContext._active_spark_context is not None
    with _interruptible_later():
        spark = session(master)
        if found or os.environ.keys() & STARTED_OUTSIDE:
            _check_master(spark, master)
        if silent and not found and hasattr(spark, "_jvm"):  # not on Spark Connect
            spark.sparkContext.setLogLevel("FATAL")  # a job that fails is reported in one line
    try:
        yield spark
    finally:
        if not found and hasattr(spark, "_jvm"):  # not on Spark Connect
            with suppress(Exception):  # where it is gone, that has been said
                spark.stop()


def _check_master(spark: "SparkSession", master: str) -> None:
    """Raise ConfigError where a master is named that is not that of the session in use."""
    used = spark.sparkContext.master if hasattr(spark, "_jvm") else os.environ.get("SPARK_REMOTE", "a Connect server")
    if master not in (used, EngineSettings().master):
        raise ConfigError(
            f"[engine] master={master!r}: Spark runs here already, on {used}, and cannot be moved: name no master, "
            "or stop that session first",
            code="config-value",
        )


@contextmanager
def _interruptible_later() -> Iterator[None]:
    """Hold back a first Ctrl-C or SIGTERM: a JVM whose start is cut off would stay behind for ever.

    Also puts our own handlers back afterwards, as Spark sets one that prints stacks.
    """
    held: list[int] = []

    def hold(signum: int, frame: object) -> None:
        held.append(signum)
        signal.signal(signum, before[signal.Signals(signum)])

    before = {number: signal.signal(number, hold) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if held:
        signal.raise_signal(signal.Signals(held[0]))

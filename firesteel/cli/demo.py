"""`firesteel demo`: the project's promise in half a minute: one network, trained here and on Spark, the same bits.

It needs no network and no data, and where Spark cannot run it still shows the first half.  Next: `train.py`, whose
options give the same training.
"""

from contextlib import ExitStack
from typing import TYPE_CHECKING

from rich.console import Console

from firesteel.cli.config import Config, ModelSettings, TrainingSettings
from firesteel.cli.progress import epochs_shown, is_live, waiting
from firesteel.cli.sessions import STARTING, spark_session
from firesteel.cli.train import print_result
from firesteel.cli.training import Result, planned
from firesteel.errors import SparkSetupError

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


SETTINGS = Config(
    model=ModelSettings(hidden=(256,)),
    training=TrainingSettings(learning_rate=0.003, epochs=20, batch_size=16, shards=2, validation_split=0.0),
)
CANNOT_RUN = ("spark-missing", "spark-java")

INTRODUCTION = """\
A small network learns to read 1,438 handwritten digits; 359 others test it.
It is trained twice from the same settings: in this process, then on Spark."""

NEXT = """\
  firesteel train --data mnist --epochs 12   60,000 larger digits, fetched once
  from firesteel.models import Sequential    your own network, in Keras's words
  from firesteel.spark import NeuralNetworkClassifier     for Spark ML Pipelines
The README has a short example of each."""


def demo() -> int:
    """Train the same small network in this process and on Spark, and compare the two to the last bit.

    Needs no network; takes about half a minute.
    """
    console = Console(highlight=False, soft_wrap=True)
    console.print(INTRODUCTION)
    with ExitStack() as stack:
        console.print("\nIn this process", style="bold")
        here = _trained(console, None)
        console.print("\nOn Spark", style="bold")
        try:
            with waiting(STARTING, console, live=is_live(console)):
                spark = stack.enter_context(spark_session("local[2]"))
        except SparkSetupError as error:
            if error.code not in CANNOT_RUN:
                raise
            console.print(str(error).removesuffix(f" [{error.code}]"), style="yellow", markup=False)
            code = 0
        else:
            code = _compared(console, here, _trained(console, spark))
    console.print("\nWhat to try next", style="bold")
    console.print(NEXT)
    return code


def _trained(console: Console, spark: "SparkSession | None") -> Result:
    with epochs_shown(SETTINGS.training.epochs, console, live=is_live(console), every=10) as show:
        with planned(SETTINGS, spark) as plan:
            result = plan.run([show])
    print_result(result, console)
    return result


def _compared(console: Console, here: Result, there: Result) -> int:
    if here.fingerprint == there.fingerprint:
        console.print("\nThe fingerprints are equal: both computed the same weights, to the last bit.", style="green")
        return 0
    console.print("\nThe fingerprints differ: the two trainings did not compute the same weights.", style="bold red")
    return 1

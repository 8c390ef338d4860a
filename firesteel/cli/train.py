"""`firesteel train`: one network on one data set, in process or on Spark, with the same words and the same bits.

A `Plan` is what the options say, `Plan.run` does it, and the command around it prints.  `demo.py` runs one plan on
both engines.
"""

import json
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from cyclopts import Parameter
from cyclopts.validators import Number
from numpy.typing import NDArray
from rich.console import Console

from firesteel.callbacks import Callback
from firesteel.cli.progress import EachRow, epochs_shown, is_live, waiting
from firesteel.core import optimizers
from firesteel.datasets import load_digits, load_mnist
from firesteel.errors import ConfigError
from firesteel.layers import Dense, Rescaling
from firesteel.models import Sequential

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

__all__ = ["STARTING", "Plan", "Result", "print_result", "spark_session", "train"]

Part = tuple[NDArray[np.uint8], NDArray[np.uint8]]
"""Images and labels."""
DATA = {"digits": (load_digits, 64, 16), "mnist": (load_mnist, 784, 255)}
"""name: (loader, pixels in an image, value of full ink)."""
CLASSES = 10
STARTING = "starting Spark: some 10 seconds"

Count = Annotated[int, Parameter(validator=Number(gte=1))]
Seed = Annotated[int, Parameter(validator=Number(gte=0))]


@dataclass(frozen=True)
class Result:
    """How a training ended.  seconds: those of the fit."""

    test_loss: float
    test_accuracy: float
    fingerprint: str
    seconds: float


@dataclass(frozen=True)
class Plan:
    """What to train, on what and how; the fields are the options of `firesteel train`."""

    data: str
    hidden: tuple[int, ...]
    activation: str
    epochs: int
    batch_size: int
    learning_rate: float | None
    optimizer: str
    shards: int | None
    seed: int

    def model(self) -> Sequential:
        """Return the network, compiled.  Raises ConfigError for settings that cannot work."""
        _, pixels, ink = DATA[self.data]
        optimizer = optimizers.get(self.optimizer)
        if self.learning_rate is not None:
            optimizer = replace(optimizer, learning_rate=self.learning_rate)
        model = Sequential(
            [
                Rescaling(1 / ink, input_dim=pixels),
                *(Dense(units, self.activation) for units in self.hidden),
                Dense(CLASSES, "softmax"),
            ]
        )
        model.compile(optimizer, "sparse_categorical_crossentropy", ["accuracy"])
        return model

    def load(self) -> tuple[Part, Part]:
        """Return the training and the test part.  Raises DataError."""
        return DATA[self.data][0]()

    def run(self, parts: tuple[Part, Part], spark: "SparkSession | None", callbacks: Sequence[Callback]) -> Result:
        """Train on the first part and score on the second, on Spark if a session is given."""
        model, (training, test) = self.model(), parts
        start = time.perf_counter()
        model.fit(
            **_rows(training, spark),
            epochs=self.epochs,
            batch_size=self.batch_size,
            shards=self.shards,
            seed=self.seed,
            verbose=0,
            callbacks=callbacks,
        )
        seconds = time.perf_counter() - start
        loss, accuracy = model.evaluate(**_rows(test, spark), verbose=0)
        return Result(loss, accuracy, model.fingerprint(), seconds)


def train(
    *,
    data: Literal["digits", "mnist"] = "digits",
    hidden: str = "64",
    activation: str = "relu",
    epochs: Count = 10,
    batch_size: Count = 32,
    learning_rate: float | None = None,
    optimizer: str = "adam",
    shards: Count | None = None,
    seed: Seed = 0,
    engine: Literal["local", "spark"] = "local",
    master: str = "local[2]",
    as_json: Annotated[bool, Parameter(name="--json", show_default=False)] = False,
) -> None:
    """Train a network on handwritten digits and score it on the test part.

    The last line is the fingerprint of the network: the SHA-256 of its architecture and weights.  The same options
    give the same fingerprint, and with the same --shards so do both engines.

    Parameters
    ----------
    data
        digits come with the package; mnist is read from $FIRESTEEL_DATA, or fetched once.
    hidden
        Units of the hidden layers, such as 64,32; "" for none.
    activation
        Of the hidden layers, such as relu, gelu or tanh.
    epochs
        Passes over the training rows.
    batch_size
        Rows a step, in each shard.
    learning_rate
        Size of a step; the optimizer's own if not given.
    optimizer
        adam, rmsprop or sgd.
    shards
        Parts that train apart and are averaged; if not given, 1 in process, and on Spark from the number of rows.
    seed
        The root of everything random.
    engine
        Where to train: in this process, or on Spark.
    master
        Spark master, with --engine spark.
    as_json
        Print JSON lines: each epoch's row, then the result.  Text for people goes to stderr.
    """
    plan = Plan(data, _units(hidden), activation, epochs, batch_size, learning_rate, optimizer, shards, seed)
    plan.model()  # refuses wrong settings before anything slow begins
    parts = plan.load()
    console = Console(stderr=as_json)
    live = is_live(console) and not as_json
    spark = None
    with ExitStack() as stack:
        if engine == "spark":
            with waiting(STARTING, console, live=live):
                spark = stack.enter_context(spark_session(master))
        show = stack.enter_context(epochs_shown(epochs, console, live=live))
        result = plan.run(parts, spark, [EachRow(_print_json), show] if as_json else [show])
    print_result(result, console)
    if as_json:
        _print_json(asdict(result))


def print_result(result: Result, console: Console) -> None:
    """Print the scores and, as the last line, the fingerprint."""
    console.print(
        f"test accuracy [bold green]{result.test_accuracy:.4f}[/]  loss {result.test_loss:.4f}", highlight=False
    )
    console.print(f"fingerprint {result.fingerprint}", highlight=False, soft_wrap=True)


@contextmanager
def spark_session(master: str) -> Iterator["SparkSession"]:
    """Give the session in use, or a new one that is stopped at the end.

    Raises SparkSetupError where Spark cannot run.
    """
    from firesteel.spark import session

    pyspark = sys.modules.get("pyspark")
    found = pyspark is not None and pyspark.SparkContext._active_spark_context is not None
    with _interruptible_later():
        spark = session(master)
    try:
        yield spark
    finally:
        if not found:
            spark.stop()


@contextmanager
def _interruptible_later() -> Iterator[None]:
    """Hold back a first Ctrl-C: a JVM whose start is cut off would stay behind for ever.

    Also puts our own handler back afterwards, as Spark sets one that prints stacks.
    """
    held = False

    def hold(signum: int, frame: object) -> None:
        nonlocal held
        held = True
        signal.signal(signal.SIGINT, interrupt)

    interrupt = signal.signal(signal.SIGINT, hold)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, interrupt)
    if held:
        signal.raise_signal(signal.SIGINT)


def _units(hidden: str) -> tuple[int, ...]:
    try:
        return tuple(int(units) for units in hidden.split(",")) if hidden.strip() else ()
    except ValueError:
        raise ConfigError(
            f"--hidden {hidden!r}: give whole numbers with commas between, such as 64,32", code="config-hidden"
        ) from None


def _rows(part: Part, spark: "SparkSession | None") -> dict[str, Any]:
    """Return what `fit` and `evaluate` take: arrays, or a DataFrame whose features are the pixels' bytes."""
    images, labels = part[0].reshape(len(part[0]), -1), part[1]
    if spark is None:
        return {"x": images, "y": labels}
    rows = [(image.tobytes(), int(label)) for image, label in zip(images, labels, strict=True)]
    frame = spark.createDataFrame(rows, "features binary, label int")
    return {"x": frame, "features": "features", "label": "label"}


def _print_json(values: dict[str, Any]) -> None:
    print(json.dumps(values), flush=True)

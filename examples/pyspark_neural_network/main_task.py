"""Train a network on images and labels in text files, on a Spark cluster, and test it on others.

    spark-submit main_task.py TRAIN_IMAGES TRAIN_LABELS TEST_IMAGES TEST_LABELS OUTPUT
    spark-submit main_task.py TRAIN_IMAGES TRAIN_LABELS TEST_IMAGES TEST_LABELS OUTPUT --network cnn
    spark-submit main_task.py TRAIN_IMAGES TRAIN_LABELS TEST_IMAGES TEST_LABELS OUTPUT --like-the-original

The arguments are paths that Spark can read and write.  To use a Parquet file with the columns `features` and
`label`, name it twice, as images and as labels.  OUTPUT must not exist; it appears only when complete.  README.md
has the details.
"""

import argparse
import contextlib
import math
import re
import sys
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from py4j.protocol import Py4JError
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from firesteel.callbacks import BoldDriver, Callback, EarlyStopping
from firesteel.errors import ConfigError, DataError, FiresteelError, SparkSetupError
from firesteel.initializers import RandomUniform
from firesteel.layers import Conv2D, Dense, Dropout, Flatten, Input, MaxPooling2D, Rescaling
from firesteel.models import Sequential
from firesteel.optimizers import SGD
from firesteel.report import RunFolder
from firesteel.spark import session
from firesteel.spark.engine import described
from firesteel.spark.lines import Paired, paired
from firesteel.train.strategies import Gradient

EXIT_CODES: tuple[tuple[type[Exception], int], ...] = (
    (ConfigError, 2),
    (DataError, 3),
    (SparkSetupError, 4),
    (FiresteelError, 1),
    (PySparkException, 4),
    (Py4JError, 4),
)
SAMPLES = 15
"""The number of test images to print."""


# Networks


@dataclass(frozen=True)
class Recipe:
    """A network and the arguments of its `fit`.  one_hot: whether the targets are one-hot rows."""

    model: Sequential
    one_hot: bool
    settings: dict[str, Any]


def recommended(inputs: int, classes: int, largest: float = 1.0) -> Recipe:
    """Return the recommended network: relu and dropout, cross-entropy, Adam on mini-batches, early stopping.

    largest: the largest pixel value; the network scales images of 0 to 255 to 0 to 1.
    """
    layers = [Dense(128, "relu", input_dim=inputs), Dropout(0.2), Dense(classes, "softmax")]
    model = Sequential([Rescaling(1 / largest, input_dim=inputs), *layers] if largest > 1 else layers)
    model.compile("adam", "sparse_categorical_crossentropy", ["accuracy"])
    keep = EarlyStopping(patience=5, restore_best_weights=True)
    settings = {"epochs": 15, "batch_size": 64, "validation_split": 0.1, "callbacks": [keep]}
    return Recipe(model, False, settings)


def convolutional(inputs: int, classes: int, largest: float = 1.0) -> Recipe:
    """Return a convolutional network for square grey images, the next step that the original's author names.

    Raises ConfigError if the images are not square.
    """
    side = math.isqrt(inputs)
    if side * side != inputs or side < 8:
        raise ConfigError(
            f"--network cnn needs square images of at least 8 x 8 pixels, and these have {inputs:,} values: leave "
            "the option out to train dense layers",
            code="config-value",
        )
    model = Sequential(
        [
            Input((side, side, 1)),
            Rescaling(1 / largest),
            Conv2D(32, 3, activation="relu"),
            Conv2D(64, 3, activation="relu"),
            MaxPooling2D(),
            Dropout(0.25),
            Flatten(),
            Dense(128, "relu"),
            Dropout(0.5),
            Dense(classes, "softmax"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy", ["accuracy"])
    keep = EarlyStopping(patience=3, restore_best_weights=True)
    settings = {"epochs": 6, "batch_size": 128, "shards": 1, "validation_split": 0.1, "callbacks": [keep]}
    return Recipe(model, False, settings)


def original(inputs: int, classes: int) -> Recipe:
    """Return the original: 100 gradient steps, each on a sample of the rows, with the bold driver's learning rate."""
    drawn = RandomUniform(-0.5, 0.5)
    layers = [
        Dense(64, "tanh", kernel_initializer=drawn, bias_initializer=drawn, input_dim=inputs),
        Dense(classes, "sigmoid", kernel_initializer=drawn, bias_initializer=drawn),
    ]
    model = Sequential(layers, dtype="float64")
    model.compile(SGD(0.1), "half_sse", ["categorical_accuracy"])
    settings = {"epochs": 100, "strategy": Gradient(sample=0.7), "callbacks": [BoldDriver("seed")]}
    return Recipe(model, True, settings)


class Lines(Callback):
    """Print one line per epoch: cost and accuracy, and the number of rows they are computed on."""

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        row = self.model.history.rows[-1]
        cost, accuracy = (row[name] for name in self.model.metrics_names)
        rate = f"  rate {row['learning_rate']:.4f}" if "learning_rate" in row else ""
        validation = f"  held out {row['val_loss']:.4f}" if "val_loss" in row else ""
        line = f"epoch {epoch + 1:3}/{self.params['epochs']}  cost {cost:.4f}  accuracy {accuracy:.4f}"
        print(f"{line}{validation}  {row['rows']:,} rows{rate}", flush=True)


# Input


@contextlib.contextmanager
def read(spark: SparkSession, images: str, labels: str) -> Iterator[Paired]:
    """Yield the rows of two text files, or of one Parquet file that is named twice."""
    if images != labels:
        with paired(spark, images, labels) as rows:
            yield rows
        return
    try:
        frame = spark.read.parquet(images).select("features", F.col("label").cast("long"))
        counts = frame.agg(F.count("*"), F.max(F.size("features")), F.max("label")).head()
    except (PySparkException, Py4JError) as error:
        raise DataError(f"{images}: cannot be read as Parquet: {first_line(error)}", code="data-file") from None
    assert counts is not None
    count, inputs, most = counts
    if not count or inputs is None or most is None:
        raise DataError(f"{images}: the file has no rows; check how it was written", code="data-empty")
    yield Paired(frame, count, inputs, most + 1)


def must_suit(train: Paired, test: Paired, given: argparse.Namespace) -> None:
    """Raise DataError if the test rows do not match the training rows."""
    text = given.test_images != given.test_labels  # one-hot labels, whose length is the number of classes
    for what, had, wanted, places, wrong in (
        ("values an image", test.inputs, train.inputs, (given.test_images, given.train_images), True),
        ("classes", test.classes, train.classes, (given.test_labels, given.train_labels), text),
    ):
        if had > wanted or (had < wanted and wrong):
            raise DataError(
                f"{places[0]}: {had:,} {what}, where {places[1]} has {wanted:,}; all {test.rows:,} rows are like "
                "that.  To do: name files of the same kind",
                code="data-width",
            )


def largest_pixel(rows: Paired) -> float:
    """Return the largest pixel value."""
    spark = rows.frame.sparkSession
    spark.sparkContext.setJobDescription("main_task.py: the largest pixel")
    found = rows.frame.agg(F.max(F.array_max("features"))).head()
    spark.sparkContext.setJobDescription(None)
    assert found is not None
    return float(found[0])


def notes(given: argparse.Namespace, largest: float) -> Iterator[str]:
    """Yield notes to print before training."""
    if largest > 1:
        how = (
            "the original learns badly from them: divide them"
            if given.like_the_original
            else "they are divided by it"
        )
        yield f"note: pixels go up to {largest:g}, and {how}"
    if (given.train_images, given.train_labels) == (given.test_images, given.test_labels):
        yield "note: the test files are the training files, so the test accuracy is that of rows already learned from"


def learned(frame: DataFrame, recipe: Recipe, classes: int) -> DataFrame:
    """Return the rows with labels in the form of the network's targets."""
    if not recipe.one_hot:
        return frame
    numbers = F.sequence(F.lit(0), F.lit(classes - 1))
    return frame.withColumn("label", F.transform(numbers, lambda number: (number == F.col("label")).cast("double")))


# Output


class Output:
    """A new folder on any file system of Spark's.  It appears, complete, at the end of the `with` block.

    Raises DataError if the folder exists.
    """

    def __init__(self, spark: SparkSession, path: str) -> None:
        assert spark._jvm is not None
        self.paths = spark._jvm.org.apache.hadoop.fs.Path
        self.whole = self.paths(path)
        self.part = self.paths(self.whole.getParent(), f".{self.whole.getName()}.{uuid.uuid4().hex[:8]}.part")
        self.files = self.whole.getFileSystem(spark._jsc.hadoopConfiguration())
        self.check()

    def check(self) -> None:
        """Raise DataError if the path exists."""
        if self.files.exists(self.whole):
            raise DataError(
                f"{self.whole}: already exists; delete it, or choose another folder",
                code="data-exists",
            )

    def __enter__(self) -> "Output":
        return self

    def __exit__(self, kind: Any, *_: Any) -> None:
        try:
            if kind is None:
                self.check()
                if not self.files.rename(self.part, self.whole):
                    raise DataError(f"{self.whole}: cannot be written", code="data-write")
        finally:
            self.files.delete(self.part, True)

    def write(self, name: str, content: bytes) -> None:
        """Write a file."""
        stream = self.files.create(self.paths(self.part, name))
        try:
            stream.write(bytearray(content))
        finally:
            stream.close()

    def text(self, name: str, lines: Sequence[Any]) -> None:
        """Write lines as Spark's saveAsTextFile does for one partition."""
        self.write(f"{name}/part-00000", "".join(f"{line}\n" for line in lines).encode())
        self.write(f"{name}/_SUCCESS", b"")


def confusion(model: Sequential, test: Paired) -> np.ndarray:
    """Return the confusion matrix of the test rows: rows are true classes, columns predicted ones."""
    best = F.expr("array_position(prediction, array_max(prediction)) - 1")
    counted = model.predict(test.frame).groupBy("label", best.alias("predicted")).count().collect()
    table = np.zeros((model.network.outputs,) * 2, int)
    for truth, predicted, count in counted:
        table[truth, predicted] = count
    return table


@dataclass(frozen=True)
class Digit:
    """The counts of one class against the others, for the most likely class of each row."""

    tp: int
    fp: int
    fn: int
    tn: int

    @property
    def precision(self) -> float:
        return self.tp / max(1, self.tp + self.fp)

    @property
    def recall(self) -> float:
        return self.tp / max(1, self.tp + self.fn)

    @property
    def f1(self) -> float:
        return 2 * self.tp / max(1, 2 * self.tp + self.fp + self.fn)


def digits(table: np.ndarray) -> list[Digit]:
    """Return the counts of each class from a confusion matrix."""
    tp, fp, fn = np.diag(table), table.sum(axis=0) - np.diag(table), table.sum(axis=1) - np.diag(table)
    return [Digit(*(int(n) for n in counts)) for counts in zip(tp, fp, fn, table.sum() - tp - fp - fn, strict=True)]


def summary(table: np.ndarray) -> list[str]:
    """Return the test's summary as lines: one per class, then the accuracy over all rows."""
    lines = ["digit     TP     FP     FN     TN  precision  recall      F1"]
    for digit, one in enumerate(digits(table)):
        counts = "".join(f"{count:7}" for count in (one.tp, one.fp, one.fn, one.tn))
        lines.append(f"{digit:5}{counts}{one.precision:11.4f}{one.recall:8.4f}{one.f1:8.4f}")
    right, rows = int(np.trace(table)), int(table.sum())
    return [*lines, f"test accuracy {right / rows:.4f}: {right:,} of {rows:,}"]


def samples(model: Sequential, test: Paired, seed: int) -> list[tuple[int, float, int]]:
    """Return (predicted, probability, truth) of some test rows; the seed decides which."""
    few = test.frame.orderBy(F.xxhash64(F.col("features").cast("array<double>"), F.lit(seed))).limit(SAMPLES)
    found = model.predict(few).select("prediction", "label").collect()
    return [(int(np.argmax(outputs)), float(np.max(outputs)), truth) for outputs, truth in found]


# The command


def named(given: argparse.Namespace) -> dict[str, Any]:
    """Return the files as settings of `firesteel train`, for the run folder."""
    data = {"train": given.train_images, "test": given.test_images}
    if given.train_images == given.train_labels:
        return data | {"format": "parquet", "features": ["features"], "label": ["label"]}
    return data | {"format": "text", "label": [given.train_labels], "test_label": given.test_labels}


def run(given: argparse.Namespace) -> None:
    """Read, train, test and write.  Raises FiresteelError and Spark's exceptions."""
    spark = session(app_name="pyspark-neural-network", conf={"spark.log.level": "FATAL"})
    spark.sparkContext.setLogLevel("FATAL")
    with contextlib.ExitStack() as stack:
        output = stack.enter_context(Output(spark, given.output))
        print("Loading data ...", flush=True)
        train = stack.enter_context(read(spark, given.train_images, given.train_labels))
        test = stack.enter_context(read(spark, given.test_images, given.test_labels))
        must_suit(train, test, given)
        with described(spark, "main_task: the largest pixel"):
            largest = largest_pixel(train)
        for note in notes(given, largest):
            print(note, flush=True)
        sizes = train.inputs, train.classes
        made = convolutional if given.network == "cnn" else recommended
        recipe = original(*sizes) if given.like_the_original else made(*sizes, max(1.0, largest))
        model = recipe.model
        rows, unseen = (learned(one.frame, recipe, train.classes) for one in (train, test))
        before = model.evaluate(unseen, verbose=0, return_dict=True)
        print(f"{train.rows:,} rows to learn, {test.rows:,} to test; {model.count_params():,} parameters")
        print(f"test accuracy before training {before[model.metrics_names[1]]:.4f}", flush=True)

        changes = {name: getattr(given, name) for name in ("epochs", "shards") if getattr(given, name) is not None}
        settings = recipe.settings | changes | {"seed": given.seed, "verbose": 0}
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "run"
        side = math.isqrt(train.inputs)
        look = RunFolder(
            folder,
            unseen,
            class_names=[str(digit) for digit in range(train.classes)],
            picture=(side, side) if side > 1 and side * side == train.inputs else None,
            config={"data": named(given)},
        )
        settings["callbacks"] = [*settings["callbacks"], Lines(), look]
        history = model.fit(rows, checkpoint=given.checkpoint, **settings)
        if history.best is not None:
            print(f"kept: the weights of epoch {history.best + 1}")

        with described(spark, "main_task: testing"):
            table, shown = confusion(model, test), samples(model, test, given.seed)
        print("\n".join(["", *summary(table), ""]))
        for predicted, probability, truth in shown:
            print(f"pred: {predicted}, prob: {probability:.2f} true: {truth}")
        cost, accuracy = (history.history[name] for name in model.metrics_names)
        output.text("cost_history", cost)
        output.text("accuracy_history", accuracy)
        output.text("metrics", [(one.precision, one.recall, one.f1) for one in digits(table)])
        output.text("tests", [(predicted, truth) for predicted, _, truth in shown])
        output.text("summary", summary(table))
        for file in folder.iterdir():
            output.write(f"run/{file.name}", file.read_bytes())
    print(f"\nwritten to {given.output}; fingerprint {model.fingerprint()}")


def whole(low: int) -> Any:
    """Return a parser of integers >= `low` for an option."""

    def integer(text: str) -> int:
        if (value := int(text)) < low:
            raise ValueError
        return value

    return integer


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="main_task.py",
        description="Train a network on images and labels in text files, on Spark, and test it on others.",
        epilog="Exit codes: 0 success, 1 training failed, 2 usage or settings, 3 data, 4 Spark, 130 interrupted.",
        allow_abbrev=False,
    )
    about = "{} images: text, a line of numbers each; or Parquet with columns features and label"
    parser.add_argument("train_images", metavar="TRAIN_IMAGES", help=about.format("training"))
    parser.add_argument("train_labels", metavar="TRAIN_LABELS", help="their labels, one-hot; or the same Parquet")
    parser.add_argument("test_images", metavar="TEST_IMAGES", help=about.format("test"))
    parser.add_argument("test_labels", metavar="TEST_LABELS", help="their labels, one-hot; or the same Parquet")
    parser.add_argument("output", metavar="OUTPUT", help="a folder that does not exist")
    parser.add_argument(
        "--like-the-original",
        action="store_true",
        help="784-64-10, tanh and sigmoid, half the sum of squares, 100 steps on 0.7 of the rows each, bold driver",
    )
    parser.add_argument(
        "--network",
        choices=("dense", "cnn"),
        default="dense",
        help="dense layers of 128 units, or two convolutions for square images (dense)",
    )
    parser.add_argument("--epochs", type=whole(1), metavar="N", help="most epochs (15; cnn 6; original 100)")
    parser.add_argument("--shards", type=whole(1), metavar="N", help="number of shards (depends on the rows)")
    parser.add_argument(
        "--checkpoint",
        metavar="FILE",
        help="save progress in this file; the same command continues from it",
    )
    parser.add_argument("--seed", type=whole(0), default=0, metavar="N", help="random seed (0)")
    return parser


def first_line(error: Exception) -> str:
    """Return the message of a Spark error, without Java's stack."""
    java = getattr(error, "java_exception", None)
    said = java.toString() if java is not None else str(error)
    return re.sub(r"^[\w.$]+(Exception|Error): ", "", said.strip().splitlines()[0])


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    given = arguments().parse_args(argv)
    if given.like_the_original and given.network == "cnn":
        arguments().error("--like-the-original has its own network: leave --network out")
    try:
        run(given)
    except tuple(kind for kind, _ in EXIT_CODES) as error:
        said = str(error) if isinstance(error, FiresteelError) else first_line(error)
        print(f"main_task.py: {said}", file=sys.stderr, flush=True)
        return next(code for kind, code in EXIT_CODES if isinstance(error, kind))
    except KeyboardInterrupt:
        kept = "the same command goes on from there" if given.checkpoint else "--checkpoint FILE keeps progress"
        print(f"\nmain_task.py: interrupted; {kept}", file=sys.stderr, flush=True)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())

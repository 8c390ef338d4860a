"""Training and test rows with encoded targets, as arrays or, on Spark, as DataFrames.

Both give `fit` and `evaluate` their arguments.  Rows are held out by row hash, so that both engines hold out the same
ones.
"""

from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from firesteel.cli.rows import TABLES, Ask, FileRows, load, pick
from firesteel.cli.task import MOST_VALUES, Labels, LearningTask, encode, labels_of, spelled
from firesteel.errors import ConfigError, DataError, without_secrets
from firesteel.search.members import Foldable
from firesteel.tables.arrays import Arrays
from firesteel.tables.given import rows_of
from firesteel.tables.holdout import HoldOut
from firesteel.tables.policy import Tally, settled
from firesteel.train.blocks import row_keys

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


BY_SPARK = (*TABLES, "libsvm", "text")
"""Formats that Spark reads; others are read in process and passed to Spark."""
CLASS = "firesteel_class"
"""The column of class numbers."""


@dataclass(frozen=True)
class Framed:
    """Rows in a Spark DataFrame, with the roles of its columns.

    Args:
        source: The file, for messages.
        frame: The DataFrame.
        columns: Columns of the features.
        targets: Columns of the labels.
        weight: Column of row weights.
        names: Names of the inputs, if they have names.
        picture: Height and width, if the inputs are pixels.
        classes: Number of classes, if the labels are known to be class numbers.
    """

    source: str
    frame: "DataFrame"
    columns: tuple[str, ...] = ("features",)
    targets: tuple[str, ...] = ("label",)
    weight: str | None = None
    names: tuple[str, ...] | None = None
    picture: tuple[int, int] | None = None
    classes: int | None = None


def read(wanted: Ask, spark: "SparkSession | None", stack: ExitStack) -> FileRows | Framed:
    """Read rows, through Spark if there is a session, otherwise in this process.

    Args:
        wanted: What to read.
        spark: The Spark session, or None.
        stack: Closes the resources of Spark.

    Raises:
        DataError: If the rows cannot be read.
    """
    if spark is None or wanted.format not in BY_SPARK or (wanted.format == "text" and wanted.labels is None):
        return load(wanted)
    from firesteel.spark.engine import described
    from firesteel.spark.files import explained, number_label, read_files

    if wanted.format == "text":
        return _pair(wanted, spark, stack)
    frame, source = read_files(spark, wanted.path, wanted.format, wanted.inputs), without_secrets(wanted.path)
    if wanted.format == "libsvm":
        return Framed(source, frame)
    picked = pick(wanted, frame.columns)
    kinds = dict(frame.dtypes)
    words = [name for name in picked.features if kinds[name].startswith(("string", "date", "timestamp"))]
    if wanted.as_table or words:
        if "://" in wanted.path:
            what = f"column {words[0]!r} is not numeric" if words else "its columns are those of a table"
            raise ConfigError(
                f"{source}: {what}, and tables are read from local files only: copy the file, or pass a DataFrame to "
                "a stage of firesteel.spark: "
                f"NeuralNetworkClassifier(labelCol={','.join(picked.label)!r}).fit(df)",
                code="config-engine",
            )
        return load(wanted)
    if len(picked.label) == 1:
        with explained(source), described(spark, "firesteel: profiling the labels"):
            frame = number_label(frame, picked.label[0])
    wide = len(picked.features) == 1 and kinds[picked.features[0]].startswith(("array", "binary", "vector", "struct"))
    names = None if wide else picked.features
    return Framed(source, frame, picked.features, picked.label, picked.weight, names)


def _pair(wanted: Ask, spark: "SparkSession", stack: ExitStack) -> Framed:
    """Read rows and labels from two text files; labels are one-hot, or one number per line."""
    from firesteel.spark.files import explained
    from firesteel.spark.lines import paired

    assert wanted.labels is not None
    with explained(wanted.path):
        rows = stack.enter_context(paired(spark, wanted.path, wanted.labels, numbers=True))
    classes = rows.classes if rows.classes > 1 else None
    return Framed(without_secrets(wanted.path), rows.frame, classes=classes)


def labels(rows: FileRows | Framed) -> Labels:
    """Profile the labels of rows in files or on Spark: number, type and distinct values."""
    if isinstance(rows, FileRows):
        return labels_of(rows)
    from firesteel.spark.engine import described
    from firesteel.spark.files import count_rows, explained, label_kind

    if rows.classes is not None:
        return Labels(rows.targets[0], "whole", tuple(range(rows.classes)), rows=count_rows(rows.frame))
    with explained(rows.source), described(rows.frame.sparkSession, "firesteel: profiling the labels"):
        kind, values, count = label_kind(rows.frame, rows.targets, MOST_VALUES)
    if values == ():
        raise DataError(f"{rows.source}: contains no rows: give at least one", code="data-empty")
    return Labels(", ".join(rows.targets), kind, values, rows.targets, len(rows.targets), count)


@dataclass(frozen=True)
class DataPart:
    """Training or test rows, encoded as `fit` and `evaluate` need them.

    Args:
        source: The file, for messages.
        x: An array (n, I), or a DataFrame.
        y: The encoded targets of an array.
        w: The row weights of an array.
        columns: Feature, label and weight columns of a DataFrame.
    """

    source: str
    x: Any
    y: NDArray[np.float64] | None = None
    w: NDArray[np.float64] | None = None
    columns: dict[str, Any] | None = None

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments of `fit` and `evaluate` for these rows."""
        if self.columns is None:
            return {"x": self.x, "y": self.y, "sample_weight": self.w}
        return {"x": self.x, **self.columns}

    def opened(self, split: str | float, dtype: str, classes: bool, usual: tuple[float, int]) -> Foldable:
        """Context manager: the rows as a source for planning a training.

        Args:
            split: Share of the rows to hold out by row hash, or "auto".
            dtype: The dtype of the network.
            classes: Whether the targets are classes.
            usual: For "auto", the share and the least number of rows to hold out any.
        """
        if self.columns is not None:
            from firesteel.spark.frames import source

            named = self.columns
            made = source(self.x, named["features"], named["label"], named["weight"], split, dtype, classes)
            made.holding = usual
            return made
        x, y, w = rows_of(self.x, self.y, self.w)
        if not split:
            return Arrays(x, y, w, dtype)
        keys, hold = row_keys(x, y), HoldOut(0.0 if isinstance(split, str) else split)
        if isinstance(split, str):
            weights = w.astype(dtype)
            hold, _ = settled(lambda hold: Tally.of(keys, y, weights, hold.rows(keys, y), classes), *usual)
        out = hold.rows(keys, y)
        if hold.share and (out.all() or not out.any()):
            side = "to train on" if out.all() else "to hold out"
            raise DataError(
                f"{self.source}: validation_split={split:g} of {len(x):,} rows leaves no rows {side}: change it",
                code="data-empty",
            )
        return Arrays(x, y, w, dtype, out=out)


def must_be_known(rows: Framed, task: LearningTask) -> None:
    """Raise DataError if the labels of a DataFrame contain a class that the training rows do not have."""
    strange = [value for value in labels(rows).values or () if task.codes is not None and value not in task.codes]
    if strange:
        raise DataError(
            f"{rows.source}: {rows.targets[0]} holds {spelled(strange[0])!r}, a class that the training rows do "
            "not have: drop those rows, or train on rows with this class",
            code="data-label-range",
        )


def part(rows: FileRows | Framed, task: LearningTask, spark: "SparkSession | None") -> DataPart:
    """Encode the targets of rows for a task; raise DataError for unknown classes."""
    if isinstance(rows, Framed):
        return _framed(rows, task)
    targets = encode(task, rows)
    if spark is None:
        return DataPart(rows.source, rows.x, targets, rows.w)
    from firesteel.spark.files import array_frame

    frame = array_frame(spark, rows.x, targets, rows.w)
    weight = None if rows.w is None else "weight"
    return DataPart(rows.source, frame, columns={"features": "features", "label": "label", "weight": weight})


def _framed(rows: Framed, task: LearningTask) -> DataPart:
    from firesteel.spark.files import encoded, one_hot_class

    frame, label = rows.frame, rows.targets if len(rows.targets) > 1 else rows.targets[0]
    if task.one_hot:
        frame, label = one_hot_class(frame, rows.targets, CLASS), CLASS
    elif task.codes is not None:
        frame = encoded(frame, rows.targets[0], list(task.codes), list(task.codes.values()), CLASS)
        label = CLASS
    features = rows.columns[0] if rows.names is None else list(rows.columns)
    named = {"features": features, "label": label if isinstance(label, str) else list(label), "weight": rows.weight}
    return DataPart(rows.source, frame, columns=named)

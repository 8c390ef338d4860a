"""The training rows or the test rows, read and with their targets encoded: arrays in process, frames on Spark.

Both give `fit` and `evaluate` their arguments, and a held-out share that is drawn by the rows' values, so that the
two engines see the same rows on each side.
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
"""Formats that Spark reads; the others are read here and handed over."""
CLASS = "firesteel_class"
"""The column for the number of a class."""


@dataclass(frozen=True)
class Framed:
    """Rows that Spark has read.  columns, targets: the names of the features and of the labels.

    classes: how many there are, where the labels are numbers of classes for certain.
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
    """Return the rows asked for, through Spark if a session is given.  Raises DataError.

    stack: what closes what Spark must hold on to.
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
            what = f"column {words[0]!r} holds more than numbers" if words else "its columns are those of a table"
            raise ConfigError(
                f"{source}: {what}, which is read from a file that is here: copy it, or give a stage of "
                "firesteel.spark the DataFrame: "
                f"NeuralNetworkClassifier(labelCol={','.join(picked.label)!r}).fit(df)",
                code="config-engine",
            )
        return load(wanted)
    if len(picked.label) == 1:
        with explained(source), described(spark, "firesteel: looking at the labels"):
            frame = number_label(frame, picked.label[0])
    wide = len(picked.features) == 1 and kinds[picked.features[0]].startswith(("array", "binary", "vector", "struct"))
    names = None if wide else picked.features
    return Framed(source, frame, picked.features, picked.label, picked.weight, names)


def _pair(wanted: Ask, spark: "SparkSession", stack: ExitStack) -> Framed:
    """Return the rows of two text files, whose labels are one-hot, or a number a line."""
    from firesteel.spark.files import explained
    from firesteel.spark.lines import paired

    assert wanted.labels is not None
    with explained(wanted.path):
        rows = stack.enter_context(paired(spark, wanted.path, wanted.labels, numbers=True))
    classes = rows.classes if rows.classes > 1 else None
    return Framed(without_secrets(wanted.path), rows.frame, classes=classes)


def labels(rows: FileRows | Framed) -> Labels:
    """Return what is known of the labels."""
    if isinstance(rows, FileRows):
        return labels_of(rows)
    from firesteel.spark.engine import described
    from firesteel.spark.files import count_rows, explained, label_kind

    if rows.classes is not None:
        return Labels(rows.targets[0], "whole", tuple(range(rows.classes)), rows=count_rows(rows.frame))
    with explained(rows.source), described(rows.frame.sparkSession, "firesteel: looking at the labels"):
        kind, values, count = label_kind(rows.frame, rows.targets, MOST_VALUES)
    if values == ():
        raise DataError(f"{rows.source}: there is no row in it: give at least one", code="data-empty")
    return Labels(", ".join(rows.targets), kind, values, rows.targets, len(rows.targets), count)


@dataclass(frozen=True)
class DataPart:
    """x: an array (n, I), or a frame whose `columns` are the features, the label and the weight."""

    source: str
    x: Any
    y: NDArray[np.float64] | None = None
    w: NDArray[np.float64] | None = None
    columns: dict[str, Any] | None = None

    @property
    def arguments(self) -> dict[str, Any]:
        """What `fit` and `evaluate` take for all these rows."""
        if self.columns is None:
            return {"x": self.x, "y": self.y, "sample_weight": self.w}
        return {"x": self.x, **self.columns}

    def opened(self, split: str | float, dtype: str, classes: bool, usual: tuple[float, int]) -> Foldable:
        """Return the rows as a source.

        split: the share held out, by the rows' values, or "auto".  classes: whether targets are classes.
        usual: what share that is for "auto", and of how many rows at least.
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
                f"{self.source}: validation_split={split:g} of {len(x):,} rows leaves none {side}: change it",
                code="data-empty",
            )
        return Arrays(x, y, w, dtype, out=out)


def must_be_known(rows: Framed, task: LearningTask) -> None:
    """Raise DataError where the labels of a frame hold a class that the training rows did not have."""
    strange = [value for value in labels(rows).values or () if task.codes is not None and value not in task.codes]
    if strange:
        raise DataError(
            f"{rows.source}: {rows.targets[0]} holds {spelled(strange[0])!r}, a class that the training rows have "
            "not: drop those rows, or train on rows that have it",
            code="data-label-range",
        )


def part(rows: FileRows | Framed, task: LearningTask, spark: "SparkSession | None") -> DataPart:
    """Return rows with the targets that the task's loss sees.  Raises DataError for classes that are unknown."""
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

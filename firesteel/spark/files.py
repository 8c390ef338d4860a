"""Files as DataFrames, and checks of labels before training, for the command line.

Spark reads the files; its errors about missing or damaged files become one line without Java.
"""

import functools
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from py4j.protocol import Py4JError
from pyspark.errors import PySparkException
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType, BinaryType, BooleanType, FractionalType, IntegralType, StringType
from pyspark.sql.utils import is_remote

from firesteel.datasets.marks import CODE, MISSING, NUMERAL, are_stray
from firesteel.errors import DataError, FiresteelError
from firesteel.spark.arrow import lists
from firesteel.spark.columns import NamedColumns
from firesteel.spark.engine import described
from firesteel.spark.failures import alive, plain, release_quietly
from firesteel.spark.storage import exists, path_text, pattern, remove
from firesteel.train.source import check_width

Values = tuple[Any, ...]


@contextmanager
def explained(path: str = "the rows", spark: SparkSession | None = None) -> Iterator[None]:
    """Context manager: translate Spark's errors about files to one line, without Java's stack trace.

    Args:
        path: The file that is read or written, for messages.
        spark: The session.

    Raises:
        DataError: For missing or damaged files.
        FiresteelError: For other failures.
    """
    try:
        with alive(spark, path):
            yield
    except (PySparkException, Py4JError) as error:
        raise _plain(path, str(error)) from None


def _plain(path: str, text: str) -> FiresteelError:
    if "PATH_NOT_FOUND" in text or "Path does not exist" in text:
        return DataError(f"{path}: the file does not exist", code="data-file")
    if "PATH_ALREADY_EXISTS" in text or "already exists" in text:
        return DataError(f"{path} exists already: delete it, or choose another folder", code="data-exists")
    if "UNABLE_TO_INFER_SCHEMA" in text:
        return DataError(f"{path}: the file or folder contains no data", code="data-file")
    return plain(text, path)


def read_files(spark: SparkSession, path: str | os.PathLike[str], form: str, inputs: int | None = None) -> DataFrame:
    """Read Parquet, CSV with a header, or LIBSVM as a DataFrame.

    Args:
        spark: The session.
        path: The file or folder.
        form: "parquet", "csv" or "libsvm".
        inputs: Number of features of LIBSVM, if it is known.

    Raises:
        DataError: If the file does not exist, or has another format.
    """
    path = path_text(path)
    with explained(path, spark), described(spark, f"firesteel: reading {path}"):
        files = pattern(spark, path)
        if form == "parquet":
            return spark.read.parquet(files)
        if form == "csv":
            return spark.read.csv(files, header=True, inferSchema=True, mode="FAILFAST", enforceSchema=False)
        reader = spark.read.format("libsvm")
        return (reader if inputs is None else reader.option("numFeatures", str(inputs))).load(files)


def write_files(frame: DataFrame, path: str | os.PathLike[str], form: str) -> None:
    """Write a frame to a folder of Parquet, or of CSV with a header; delete it if the job fails.

    Raises DataError if the folder exists already.
    """
    spark, path, fresh = frame.sparkSession, path_text(path), False
    try:
        with explained(path, spark), described(spark, f"firesteel: writing {path}"):
            fresh = not is_remote() and not exists(spark, path)
            if form == "csv":
                frame.write.csv(path, header=True)
            else:
                frame.write.parquet(path)
    except FiresteelError as error:
        if fresh and error.code != "data-exists":
            release_quietly(functools.partial(remove, spark, path))
        raise


def count_rows(frame: DataFrame) -> int:
    """Count the rows of a frame, in a job with a title in Spark's web UI."""
    with described(frame.sparkSession, "firesteel: counting the rows"):
        return frame.count()


def count_sound(frame: DataFrame, features: str | list[str], inputs: int, path: str) -> int:
    """Count the rows; raise DataError if features are missing, not finite, or of the wrong number."""
    x = NamedColumns(frame).features(features, "float64")
    if isinstance(frame.select(x.alias("x")).schema["x"].dataType, BinaryType):
        size, finite = F.octet_length(x), F.lit(True)
    else:
        size = F.size(x)
        finite = F.forall(
            x, lambda value: F.abs(value.cast("double")) < math.inf
        )  # in Spark NaN is larger than any number
    bad = ~F.coalesce(finite & x.isNotNull(), F.lit(False))
    spark = frame.sparkSession
    with explained(path, spark), described(spark, f"firesteel: validating {path}"):
        found = _asked(
            frame, {"bad": bad}, one=_first(bad, x), width=F.max(F.when(x.isNotNull() & (size != inputs), size))
        )
    if found["width"] is not None:
        check_width(found["width"], inputs, path)
    if found["bad"]:
        shown = f", such as {found['one']}" if found["one"] else ""
        raise DataError(
            f"{path}: features are missing or not finite in {found['bad']:,} of {found['rows']:,} rows{shown}: drop "
            "those rows, or fill them in",
            code="nan",
        )
    count: int = found["rows"]
    return count


def array_frame(
    spark: SparkSession, x: npt.NDArray[Any], y: npt.NDArray[Any] | None, w: npt.NDArray[Any] | None
) -> DataFrame:
    """Convert arrays to a DataFrame with the columns features, label and weight."""
    bytes_ = x.dtype == np.uint8
    features = pa.array([row.tobytes() for row in x], pa.binary()) if bytes_ else lists(x.astype(np.float64))
    columns: dict[str, Any] = {"features": features}
    if y is not None:
        columns["label"] = pa.array(y) if y.ndim == 1 else lists(y)
    if w is not None:
        columns["weight"] = pa.array(w)
    table = pa.table(columns)
    if hasattr(DataFrame, "toArrow"):  # Spark 4 accepts Arrow tables
        return spark.createDataFrame(table)
    kinds = {"features": "binary" if bytes_ else "array<double>", "weight": "double"}
    kinds["label"] = "double" if y is None or y.ndim == 1 else "array<double>"
    rows = [tuple(row.values()) for row in table.to_pylist()]
    return spark.createDataFrame(rows, ", ".join(f"{name} {kinds[name]}" for name in columns))


def _asked(frame: DataFrame, conditions: Mapping[str, Column], **more: Column) -> dict[str, Any]:
    """Count all rows and the rows that meet each condition, and compute the aggregates in `more`, in one job."""
    counts = {name: F.count(F.when(condition, True)) for name, condition in conditions.items()}
    asked = {"rows": F.count(F.lit(1)), **counts, **more}
    return frame.agg(*(column.alias(name) for name, column in asked.items())).first().asDict()  # type: ignore[union-attr]


def _first(condition: Column, column: Column) -> Column:
    """Return a Spark aggregate: the first value of a column among rows that meet a condition."""
    return F.first(F.when(condition, column), ignorenulls=True)


def number_label(frame: DataFrame, name: str) -> DataFrame:
    """Convert a text label to numbers if all its values are numbers.

    Raises DataError for values that stand for a missing value, and for a few that are not numbers.
    """
    column, kind = NamedColumns(frame).column(name, "label")
    if not isinstance(kind, StringType):
        return frame
    text = F.regexp_replace(column, r"^\s+|\s+$", "")
    gap, numeral = F.lower(text).isin(*MISSING), text.rlike(f"^{NUMERAL}$")
    stray = ~text.rlike(f"^(?:{NUMERAL}|{CODE})$")
    found = _asked(
        frame,
        {"gap": gap, "text": ~numeral, "stray": stray},
        one=_first(gap, column),
        other=_first(stray, column),
        numbers=F.approx_count_distinct(F.when(numeral, text)),
    )
    what, cell, count = "stands for a missing value", found["one"], found["gap"]
    if not count and are_stray(found["stray"], found["numbers"], found["rows"]):
        what, cell, count = "is not a number, unlike all others", found["other"], found["stray"]
    if count:
        raise DataError(
            f"column {name!r} holds {cell[:40]!r}, which {what}; {count:,} of {found['rows']:,} rows have this "
            "error: fill it in, or drop those rows",
            code="data-missing-value",
        )
    return frame if found["text"] else frame.withColumn(name, text.cast("double"))


def label_kind(frame: DataFrame, names: Sequence[str], most: int) -> tuple[str, Values | None, int]:
    """Return the kind of labels, the distinct labels unless there are more than `most`, and the number of rows.

    A single column is "text", "flag" (Boolean), "whole" (integers) or "number"; several columns are "one-hot",
    "marks" (0 and 1) or "numbers", and their rows are not counted.

    Raises:
        DataError: For missing columns, other types, nulls and NaN.
    """
    table = NamedColumns(frame)
    found = [table.column(name, "label") for name in names]
    if len(found) > 1:
        return _marks(frame, table, names), None, 0
    column, kind = found[0]
    kinds = {StringType: "text", BooleanType: "flag", IntegralType: "whole", FractionalType: "number"}
    known = next((word for base, word in kinds.items() if isinstance(kind, base)), None)
    if known is None:
        remedy = "give a column for each target" if isinstance(kind, ArrayType) else "name another with --label"
        raise DataError(f"column {names[0]!r} is {kind.simpleString()}: {remedy}", code="data-type")
    number = column.cast("double") if isinstance(kind, IntegralType | FractionalType) else F.lit(0.0)
    wrong = {"null": column.isNull(), "nan": F.isnan(number), "fractions": number != F.floor(number)}
    counted = _asked(frame, wrong)
    for gap, what in (("null", "has no value (null)"), ("nan", "holds NaN")):
        if counted[gap]:
            raise DataError(
                f"column {names[0]!r} {what} in {counted[gap]:,} of {counted['rows']:,} rows: drop these rows, as "
                "they have no label to learn",
                code="null-label",
            )
    if known == "number" and not counted["fractions"]:
        known = "whole"
    values = [row["value"] for row in frame.select(column.alias("value")).distinct().limit(most + 1).collect()]
    if len(values) > most or known == "number":
        return known, None, counted["rows"]
    return known, tuple(sorted(int(value) if known == "whole" else value for value in values)), counted["rows"]


def _marks(frame: DataFrame, table: NamedColumns, names: Sequence[str]) -> str:
    columns = [table.number(name, "label") for name in names]
    binary = F.lit(True)
    for column in columns:
        binary = binary & column.isin(0.0, 1.0)
    one = sum(columns[1:], columns[0]) == 1.0
    found = _asked(frame, {}, binary=F.min(binary), one=F.min(one))
    return "numbers" if not found["binary"] else "one-hot" if found["one"] else "marks"


def one_hot_class(frame: DataFrame, names: Sequence[str], into: str) -> DataFrame:
    """Add a column with the class of one-hot labels: the number of the column that holds the 1."""
    table = NamedColumns(frame)
    columns = [table.number(name, "label") for name in names]
    return frame.withColumn(into, F.array_position(F.array(*columns), 1.0).cast("double") - 1.0)


def encoded(frame: DataFrame, name: str, values: Sequence[Any], numbers: Sequence[int], into: str) -> DataFrame:
    """Add a column with the class of each label, numbers[i] for values[i]; null for any other value."""
    column = NamedColumns(frame).column(name, "label")[0]
    if all(isinstance(value, int) and not isinstance(value, bool) for value in values):
        column, values = column.cast("double"), [float(value) for value in values]
    at = F.array_position(F.array(*(F.lit(value) for value in values)), column)
    classes = F.array(*(F.lit(float(number)) for number in numbers))
    return frame.withColumn(into, F.when(at > 0, F.element_at(classes, at.cast("int"))))


def named_predictions(
    frame: DataFrame, kind: str, classes: Sequence[str], edge: float, outputs: int, word: str
) -> DataFrame:
    """Replace the array `prediction` by one column per output, and the name of the predicted class.

    Args:
        frame: The scored rows.
        kind: "classification", "multilabel" or "regression".
        classes: Names of the classes or targets.
        edge: Output at which the decision between two classes changes.
        outputs: Number of outputs.
        word: Prefix of the columns of class outputs.
    """
    given = F.col("prediction")
    columns = {name: given[number] for number, name in enumerate(classes[-outputs:])}
    if kind == "regression" and outputs == 1:
        return frame.withColumn("prediction", given[0])
    if kind == "regression":
        return frame.withColumns({f"prediction_{name}": one for name, one in columns.items()}).drop("prediction")
    frame = frame.withColumns({f"{word}_{name}": one for name, one in columns.items()})
    if kind == "multilabel":
        marks = {f"prediction_{name}": one > edge for name, one in columns.items()}
        return frame.withColumns(marks).drop("prediction")
    best = F.array_position(given, F.array_max(given)) if outputs > 1 else F.when(given[0] > edge, 2).otherwise(1)
    names = F.array(*(F.lit(name) for name in classes))
    return frame.withColumn("prediction", F.element_at(names, best.cast("int")))

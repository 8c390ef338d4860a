"""DataFrames as a source of rows: columns are resolved, surveyed and packed into blocks, by ordinary Spark jobs.

Two passes over the user's plan, whatever its layout: one looks at every row (the third gate), one packs.  Both run
the functions of `packing.py`; the engine that holds the result is in `engine.py`.
"""

import difflib
import functools
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from pyspark.ml.functions import vector_to_array
from pyspark.ml.linalg import VectorUDT
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.pandas.functions import pandas_udf
from pyspark.sql.types import (
    ArrayType,
    BinaryType,
    BooleanType,
    DataType,
    DateType,
    NumericType,
    StringType,
    TimestampType,
)

from firesteel.core.network import Network
from firesteel.core.types import Array
from firesteel.errors import ConfigError, DataError
from firesteel.spark import packing, worker
from firesteel.spark.engine import SparkEngine, collect, partition_codes
from firesteel.spark.ship import ship
from firesteel.train.blocks import heavy_limit, n_blocks
from firesteel.train.checks import Finding, Findings, Rule, merge, refuse
from firesteel.train.engine import check_shards
from firesteel.train.source import Survey, check_weights
from firesteel.train.strategies import Gradient, Strategy

__all__ = ["Frame", "feature_column", "predict"]

Columns = str | Sequence[str]
LEADING = 3
"""How many leading columns tell one row from another in a message."""
TELLING = (StringType, NumericType, BooleanType, DateType, TimestampType)


# Columns


def check_names(columns: Any, role: str) -> None:
    """Raise ConfigError unless this is a column's name, or a list of at least one."""
    names = [columns] if isinstance(columns, str) else columns
    if not isinstance(names, list | tuple) or not names or not all(isinstance(name, str) for name in names):
        raise ConfigError(f"{role}={columns!r}: it must be a column's name, or a list of names", code="config-column")


def matching(frame: DataFrame, name: str) -> list[str]:
    """Return the columns that Spark would take this name for: case counts only if the session says so."""
    if frame.sparkSession.conf.get("spark.sql.caseSensitive") == "true":
        return [column for column in frame.columns if column == name]
    return [column for column in frame.columns if column.lower() == name.lower()]


def resolved(frame: DataFrame, name: str, role: str) -> tuple[Column, DataType]:
    """Return the column of this name and its type.  Raises DataError if there is none, or more than one."""
    found = matching(frame, name)
    if not found:
        near = difflib.get_close_matches(name, frame.columns, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise DataError(
            f"there is no column {name!r} for {role}=: {hint}the DataFrame has {', '.join(frame.columns)}",
            code="data-column",
        )
    if len(found) > 1:
        raise DataError(
            f"{len(found)} columns are called {name!r}: rename them, so that {role}= means one", code="data-column"
        )
    return F.col("`" + found[0].replace("`", "``") + "`"), frame.schema[found[0]].dataType


def _number(frame: DataFrame, name: str, role: str) -> Column:
    column, kind = resolved(frame, name, role)
    if isinstance(kind, NumericType | BooleanType):
        return column.cast("double")
    if isinstance(kind, StringType):
        remedy = (
            f'StringIndexer(inputCol={name!r}, outputCol="{name}_index")'
            if role == "label"
            else f'StringIndexer(inputCol={name!r}, outputCol="{name}_index"), then OneHotEncoder'
        )
        example = frame.select(column).filter(column.isNotNull()).head()
        shown = f", such as {example[0]!r} in its first row" if example else ""
        raise DataError(
            f"column {name!r} holds text{shown}, in all of its rows: a network takes numbers.  To do: {remedy}",
            code="data-text",
        )
    raise DataError(
        f"column {name!r} is {kind.simpleString()}: {role}= takes numbers, arrays or vectors of them",
        code="data-type",
    )


def feature_column(frame: DataFrame, features: Columns, dtype: str) -> Column:
    """Return the features as one column of lists or bytes, whatever they are stored as.

    features: a column of vectors, arrays, bytes (one value each) or numbers; or a list of numeric columns.
    Raises DataError for any other column.
    """
    if not isinstance(features, str):
        return F.array(*(_number(frame, name, "features") for name in features))
    column, kind = resolved(frame, features, "features")
    if isinstance(kind, VectorUDT):
        return F.when(column.isNotNull(), vector_to_array(column, dtype))
    if isinstance(kind, BinaryType):
        return column
    if isinstance(kind, ArrayType) and isinstance(kind.elementType, NumericType):
        return _plain(column, kind)
    return F.array(_number(frame, features, "features"))


def _plain(column: Column, kind: ArrayType) -> Column:
    """Return an array column with elements that NumPy knows."""
    return column.cast("array<double>") if kind.elementType.typeName().startswith("decimal") else column


def _label_column(frame: DataFrame, label: Columns) -> Column:
    if not isinstance(label, str):
        return F.array(*(_number(frame, name, "label") for name in label))
    column, kind = resolved(frame, label, "label")
    if isinstance(kind, VectorUDT):
        return F.when(column.isNotNull(), vector_to_array(column, "float64"))
    if isinstance(kind, ArrayType) and isinstance(kind.elementType, NumericType):
        return column.cast("array<double>")
    return F.array(_number(frame, label, "label"))


# The source


def mapped(frame: DataFrame, function: Any, schema: str, *arguments: Any) -> DataFrame:
    """Return the frame that a worker function makes of this one."""
    return frame.mapInArrow(functools.partial(function, *arguments), schema)


class Frame:
    """Rows of a DataFrame.  split: share of them held out for validation, chosen by row key.

    Raises ConfigError and DataError where columns are missing or of the wrong type.
    """

    def __init__(
        self, frame: DataFrame, features: Columns, label: Columns, weight: str | None, dtype: str, split: float = 0.0
    ) -> None:
        check_names(features, "features")
        check_names(label, "label")
        self.names: Mapping[str, str] = {
            "features": _called(features),
            "label": _called(label),
            "weight": f"column {weight!r}",
        }
        self.columns = None if isinstance(features, str) else list(features)
        self.dtype, self.split = dtype, split
        w = F.lit(1.0) if weight is None else _number(frame, weight, "weight")
        leading = [
            field.name
            for field in frame.schema.fields
            if isinstance(field.dataType, TELLING) and len(matching(frame, field.name)) == 1
        ][:LEADING]
        self.where = tuple(leading)
        self.frame = frame
        x, y = feature_column(frame, features, dtype), _label_column(frame, label)
        self.rows = frame.select(x.alias("x"), y.alias("y"), w.alias("w"))
        told = [resolved(frame, name, "leading")[0].alias(f"where{number}") for number, name in enumerate(leading)]
        self.told = frame.select(x.alias("x"), y.alias("y"), w.alias("w"), *told)
        self.key_sums: list[int] = [0, 0]
        self.candidates: tuple[Any, Any, int] | None = None
        self.surveyed: Survey | None = None
        self.rule: Rule | None = None
        ship(frame.sparkSession)

    def survey(self, rule: Rule) -> Survey:
        if self.surveyed is not None and self.rule is not None and self.rule.targets == rule.targets:
            if rule.targets != "class" or self.surveyed.top < (rule.classes or np.inf):
                return self.surveyed
        task = packing.SurveyTask(rule, self.dtype, self.split, self.where)
        table = collect(mapped(self.told, packing.survey, packing.SURVEY_SCHEMA, task))
        reports = [json.loads(report) for report in table.column("report").to_pylist()]
        rows = sum(report["rows"] for report in reports)
        if not rows:
            raise DataError("the DataFrame is empty: there are no rows to train on", code="data-empty")
        found: Findings = {}
        for report in reports:
            found = merge(found, {code: Finding(**f) for code, f in report["found"].items()})
        refuse(found, rows, self.names, self.columns)
        width = self._one_width(reports, "features", rows)
        targets = self._one_width(reports, "label", rows)
        held = sum(report["held"] for report in reports)
        if held == rows or (self.split and not held):
            raise DataError(
                f"validation_split={self.split:g} of {rows:,} rows leaves {rows - held:,} to train on and {held:,} "
                "to validate: give more rows, or another share",
                code="data-empty",
            )
        check_weights(sum(report["weight"] for report in reports), self.names["weight"])
        if held:
            check_weights(sum(report["held_weight"] for report in reports), self.names["weight"], "held out")
        self.key_sums = [sum(report["sums"][half] for report in reports) % 2**64 for half in (0, 1)]
        self.candidates = (
            np.concatenate([np.frombuffer(b, np.uint64) for b in table.column("heavy_keys").to_pylist()]),
            np.concatenate([np.frombuffer(b, np.int64) for b in table.column("heavy_counts").to_pylist()]),
            sum(report["slack"] for report in reports),
        )
        tops = [report["top"] for report in reports if report["top"] is not None]
        self.surveyed, self.rule = Survey(rows - held, held, width, targets, max(tops)), rule
        return self.surveyed

    def _one_width(self, reports: Sequence[Mapping[str, Any]], part: str, rows: int) -> int:
        """Return the number of values that every row has; raise DataError where they differ."""
        seen: dict[int, tuple[int, str]] = {}
        for report in reports:
            for width, (count, where) in report["widths"][part]:
                seen[width] = (seen.get(width, (0, where))[0] + count, seen.get(width, (0, where))[1])
        usual = max(seen, key=lambda width: seen[width][0])
        others = {width: known for width, known in seen.items() if width != usual}
        if others:
            width, (_, where) = next(iter(others.items()))
            count = sum(known[0] for known in others.values())
            raise DataError(
                f"{self.names[part]} holds rows of different lengths: {width} values at {where}, where most have "
                f"{usual}; {count:,} of {rows:,} rows are like that.  To do: give every row {usual} values, or drop "
                "those rows",
                code="data-ragged",
            )
        if not usual:
            raise DataError(f"{self.names[part]} holds no values: give at least one a row", code="data-width")
        return usual

    def _blocks(self, held: bool) -> int:
        assert self.surveyed is not None
        return n_blocks(self.surveyed.held if held else self.surveyed.rows, self.surveyed.width)

    def default_shards(self, strategy: Strategy, batch_size: int | None) -> int:
        assert self.surveyed is not None
        return strategy.default_shards(self.surveyed.rows, batch_size, self._blocks(False))

    def engine(self, shards: int | None = None, *, held: bool = False, shuffle: bool = True) -> SparkEngine:
        assert self.surveyed is not None and shuffle
        blocks = self._blocks(held)
        count = Gradient().default_shards(0, None, blocks) if shards is None else shards
        check_shards(count, blocks)
        task = packing.PackTask(self.dtype, blocks, partition_codes(count), self.split, held)
        heavy = None if held else self._heavy(blocks)
        if heavy is not None:
            keys = heavy.column("key").to_numpy().view(np.uint64)
            task = replace(task, heavy=tuple(int(key) for key in keys))
        packs = mapped(self.rows, packing.mini_packs, packing.MINI_SCHEMA, task)
        if heavy is not None:
            spark = self.frame.sparkSession
            few = spark.createDataFrame([tuple(row.values()) for row in heavy.to_pylist()], packing.HEAVY_SCHEMA)
            packs = packs.union(mapped(few, packing.explode, packing.MINI_SCHEMA, task))
        merged = mapped(packs.repartition(count, "part"), packing.merge_packs, packing.BLOCK_SCHEMA, task)
        engine = SparkEngine(merged, count)
        packed = sum(block.fingerprint for block in engine.blocks) % 2**64
        if packed != self.key_sums[held]:
            engine.close()
            raise DataError(
                f"other rows were packed than were looked at: {worker.SHIFTING}",
                code="data-shifting",
            )
        return engine

    def _heavy(self, blocks: int) -> pa.Table | None:
        """Return (key, count, row) of each row with so many copies that they must be spread, or None."""
        assert self.surveyed is not None and self.candidates is not None
        limit = heavy_limit(self.surveyed.rows, blocks)
        keys, counts, slack = self.candidates
        values, where = np.unique(keys, return_inverse=True)
        likely = values[np.bincount(where, counts, len(values)) + slack > limit]
        if not len(likely):
            return None
        task = packing.SurveyTask(Rule(), self.dtype, self.split, ())
        table = collect(mapped(self.rows, packing.count_heavy, packing.HEAVY_SCHEMA, task, likely))
        count: dict[int, int] = {}
        pack: dict[int, bytes] = {}
        for row in table.to_pylist():
            key = row["key"]
            count[key] = count.get(key, 0) + row["count"]
            pack[key] = row["pack"] if pack.get(key, row["pack"]) == row["pack"] else b""
        heavy = sorted(key for key in count if count[key] > limit and pack[key])
        if not heavy:
            return None
        return pa.table(
            {
                "key": pa.array(heavy, pa.int64()),
                "count": pa.array([count[key] for key in heavy], pa.int64()),
                "pack": pa.array([pack[key] for key in heavy], pa.binary()),
            }
        )


def _called(columns: Columns) -> str:
    return f"column {columns!r}" if isinstance(columns, str) else f"columns {', '.join(columns)}"


# Prediction


def scoring(function: worker.Outputs, kind: str) -> Any:
    """Return a worker's scoring object as a Spark function of one column; before Spark 4.1 it needs pandas there."""

    if hasattr(F, "arrow_udf"):

        def call(column: pa.Array) -> pa.Array:
            return function(column)

        return F.arrow_udf(call, kind)

    def call_pandas(series: pd.Series) -> pd.Series:
        return function(pa.array(series)).to_pandas()

    return pandas_udf(call_pandas, kind)  # type: ignore[call-overload]


def predict(frame: DataFrame, network: Network, theta: Array, features: Columns) -> DataFrame:
    """Return the frame with the network's outputs as an array in the column `prediction`; nothing runs yet."""
    check_names(features, "features")
    if clash := matching(frame, "prediction"):
        raise DataError(
            f"the DataFrame has a column {clash[0]!r} already: drop or rename it before predicting",
            code="data-column",
        )
    x = feature_column(frame, features, network.dtype)
    ship(frame.sparkSession)
    outputs = worker.Outputs(network, theta, _called(features))
    kind = "array<float>" if network.dtype == "float32" else "array<double>"
    return frame.select("*", scoring(outputs, kind)(x).alias("prediction"))

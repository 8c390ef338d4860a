"""DataFrames as a source of rows: their columns are resolved, validated and packed into blocks by Spark jobs.

There are two passes over the user's plan: one validates and profiles every row, one packs them.  Both run functions
of `packing.py`; `engine.py` trains on the result.
"""

import contextlib
import copy
import functools
import itertools
import json
import math
import pickle
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from pyspark.errors import PySparkException
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.pandas.functions import pandas_udf
from pyspark.sql.types import BooleanType, DateType, NumericType, StringType, TimestampType

from firesteel.core.centre import UNCENTRED, Centre
from firesteel.core.network import Network
from firesteel.core.types import Array, cached_property
from firesteel.errors import DataError
from firesteel.graphs.building import Ports, side_by_side
from firesteel.spark import packing, pictures, tables, worker
from firesteel.spark.arrow import settle
from firesteel.spark.columns import Columns, NamedColumns, check_name, check_names, listed, quoted
from firesteel.spark.engine import SparkEngine, collect, partition_codes
from firesteel.spark.failures import alive, release_quietly, session_of
from firesteel.spark.parcel import ship
from firesteel.spark.raw import LABEL, RAW, RawColumns
from firesteel.tables import policy
from firesteel.tables.holdout import HoldOut
from firesteel.tables.policy import AUTOMATIC, Tally, settled
from firesteel.tables.sampling import FirstRows, first_of
from firesteel.tables.schema import Schema
from firesteel.tables.targets import OutputRule
from firesteel.train.blocks import SPARSE_WIDTH, heavy_limit, n_blocks, row_prints
from firesteel.train.centring import WIDE, Sample
from firesteel.train.checks import Class, Finding, Findings, merge, merge_classes, refuse
from firesteel.train.engine import BlockInfo, check_shards
from firesteel.train.recipe import Recipe
from firesteel.train.source import RowProfile, check_weights
from firesteel.train.strategies import Gradient

HELD_ROWS = 1 << 14
"""Minimum number of validation rows per task, as a task takes about 0.1 s."""
LEADING = 3
"""Number of leading columns that identify a row in a message."""
READING = "firesteel: reading the rows"
"""Description of the job that collects the rows of a small table."""
IDENTIFYING = (StringType, NumericType, BooleanType, DateType, TimestampType)


def mapped(frame: DataFrame, function: Any, schema: str, *arguments: Any) -> DataFrame:
    """Apply a function to the Arrow batches of a frame, with mapInArrow."""
    return frame.mapInArrow(functools.partial(function, *arguments), schema)


def source(
    frame: DataFrame,
    features: Any,
    label: Any,
    weight: str | None,
    split: str | float,
    dtype: str,
    classes: bool = False,
    whose: str = "",
    rules: Sequence[OutputRule] = (),
) -> "Frame":
    """Open a DataFrame as the source of rows for a model.

    Args:
        frame: The rows.
        features: Features column or columns; "features" if None.
        label: Label column or columns; "label" if None.
        weight: Column of row weights.
        split: Fraction of validation rows, or "auto".
        dtype: Dtype of the network.
        classes: Whether targets are classes.
        whose: Prefix for column names in messages.
        rules: Rules for the targets of several outputs.
    """
    features, label = "features" if features is None else features, "label" if label is None else label
    made = Frame(frame, Columns(listed(features), listed(label), weight, split, classes=classes), dtype)
    made.names = {part: whose + name for part, name in made.names.items()}
    made.reading = replace(made.reading, rules=tuple(rules))
    return made


def blocks_of(profile: RowProfile, held: bool = False) -> int:
    """Return the number of blocks of the training rows, or of the validation rows if `held`."""
    return n_blocks(profile.held if held else profile.rows, profile.words)


def parts_of(profile: RowProfile, shards: int | None, held: bool) -> int:
    """Return the number of shards of the training or validation rows; raise ConfigError if blocks are too few."""
    blocks = blocks_of(profile, held)
    count = Gradient().default_shards(0, None, blocks) if shards is None else shards
    check_shards(count, blocks)
    return count


def partitions_of(profile: RowProfile, shards: int, held: bool) -> int:
    """Return the number of Spark partitions: one per shard, or fewer for few validation rows."""
    return min(shards, -(-profile.held // HELD_ROWS)) if held else shards


class Frame:
    """Rows of a DataFrame as a source for training.

    Args:
        frame: The DataFrame.
        columns: The columns to read.
        dtype: Dtype of the network.

    Raises:
        ConfigError: For invalid column names.
        DataError: If columns are missing or have the wrong type.
    """

    def __init__(self, frame: DataFrame, columns: Columns, dtype: str) -> None:
        check_names(columns.features, columns.word("features"))
        check_names(columns.label, columns.word("label"))
        for part in ("weight", "held", "id"):
            check_name(getattr(columns, part), columns.word(part))
        with alive(session_of(frame)):
            word = columns.word
            self.columns, self.dtype = columns, dtype
            share = 0.0 if isinstance(columns.split, str) else columns.split
            self.hold, self.said = HoldOut(share), ""
            self.names: Mapping[str, str] = columns.names()
            self.frame, self.sparkSession = frame, frame.sparkSession
            table = NamedColumns(frame)
            label = table.sized(columns.label, "output")
            self.columns = columns = replace(columns, features=table.sized(columns.features, "input"), label=label)
            kinds, parts = tuple[str, ...](), dict[str, Column]()
            if columns.raw:
                kinds, parts[RAW] = tables.selected(table, list(columns.features), "inputCols")
                if "timestamp" in kinds:
                    tables.check_zone(columns.zone)
            else:
                parts["x"] = table.features(columns.features, "float64", word("features"), shape=columns.shape)
            self.label_kind = tables.label_kind(table, columns)
            text = self.label_kind == "text"
            self.labels: tuple[str, ...] | None = None
            if self.label_kind == "boolean":
                self.labels = tables.numbered(("false", "true"), columns.positive)
            parts |= {
                "y": table.column(str(columns.label), "")[0] if text else table.label(columns.label, word("label")),
                "w": F.lit(1.0) if columns.weight is None else table.number(columns.weight, word("weight")),
            }
            if self.labels == ("true", "false"):
                parts["y"] = F.array((~table.column(str(columns.label), "")[0]).cast("double"))
            if columns.id is not None:
                identifier = table.column(columns.id, word("id"))[0]
                parts["key"] = F.when(identifier.isNotNull(), F.xxhash64(identifier))
            if columns.held is not None:
                parts["held"] = table.boolean(columns.held, word("held"))
            self.parts, self.table = parts, table
            self.feature_size, self.feature_names = None, None
            if not columns.raw:
                self.feature_size, self.feature_names = table.known_features(columns.features)
            self.raw = None
            if columns.raw or text:
                categories = tuple(name for name, kind in columns.kinds if kind == "category")
                self.raw = RawColumns(tuple(columns.features) if columns.raw else (), kinds, categories, text=text)
            leading = table.leading(IDENTIFYING, LEADING)
            self.leads = {f"where{number}": F.col(quoted(name)) for number, name in enumerate(leading)}
            self.reading = packing.ReadOptions(dtype, self.hold, None, columns.skip, tuple(leading))
            self.ends: tuple[float, float] | None = None
            self.holding: tuple[float, int] | None = None
            self.reports: list[dict[str, Any]] = []
            self.found: tuple[Findings, int, int] = ({}, 0, 0)
            self.key_sums: list[int] = [0, 0]
            self.candidates: tuple[Any, Any, int] | None = None
            self.profiled: RowProfile | None = None
            self.middle: tuple[float, ...] | None = None
            self.narrow, self.counted, self.gathered = False, -1, False
            ship(frame.sparkSession)

    @cached_property
    def to_validate(self) -> DataFrame:
        """The columns to validate, and those that identify a row in messages."""
        return self._selected("float64", True, self.leads)

    @property
    def split(self) -> float:
        """Fraction of the rows held out for validation; with "auto" known only after the rows are profiled."""
        return self.hold.share

    @property
    def class_count(self) -> int | None:
        """Number of classes, from the label's words or metadata; None if neither is known."""
        words = self.labels if self.label_kind == "text" else None
        return self.table.classes(self.columns.label)[0] if words is None else len(words)

    @property
    def class_names(self) -> list[str] | None:
        """Names of the classes, if they have any."""
        return list(self.labels) if self.labels is not None else self.table.classes(self.columns.label)[1]

    @property
    def schema(self) -> Schema | None:
        """Schema that encodes raw columns; None before it is learned, and for numeric features."""
        return None if self.raw is None else self.raw.schema

    def profile(self) -> RowProfile:
        if self.profiled is not None:
            return self.profiled
        self._learn()
        if self.columns.split == AUTOMATIC:
            usual = self.holding or (policy.defaults_for(self.count()).held, policy.FEW)
            self.hold, self.said = settled(self._tallied, *usual)
        elif not self.reports:
            self._validate()
        self.reading = replace(self.reading, hold=self.hold, classes=None)
        reports, table = self.reports, self.report_table
        if not self.split and self.columns.held is None:
            reports = [_whole(report) for report in reports]
        total = {name: sum(report[name] for report in reports) for name in packing.SUMS}
        rows, held, classes = total["rows"], total["held"], dict[int, Class]()
        for report in reports:
            classes = merge_classes(classes, {number: Class(*one) for number, *one in report["classes"]})
        found, width, targets = self.found
        if held == rows or ((self.split or self.columns.held is not None) and not held):
            share = self.names["held"] if self.columns.held else f"{self.columns.word('split')}={self.split:g}"
            raise DataError(
                f"{share} of {rows:,} rows leaves {rows - held:,} to train on and {held:,} to validate: use more "
                "rows, or another fraction",
                code="data-empty",
            )
        check_weights(total["weight"], self.names["weight"])
        if held:
            check_weights(total["held_weight"], self.names["weight"], "held out")
        self.key_sums = [sum(report["sums"][half] for report in reports) % 2**64 for half in (0, 1)]
        keys, counts = (b"".join(table.column(f"heavy_{part}").to_pylist()) for part in ("keys", "counts"))
        self.candidates = (np.frombuffer(keys, np.uint64), np.frombuffer(counts, np.int64), total["slack"])
        counted = [count for report in reports for count in report["nonzeros"]]
        nonzeros = sum(counted) if counted and self.schema is None else None
        self.narrow = all(report["narrow"] for report in reports)
        few = 2 * total["stored"] <= width * rows
        known = RowProfile(rows - held, held, width, targets, found, dict(sorted(classes.items())), nonzeros, few)
        inputs, samples = width if width < WIDE and self.schema is None else 0, list[Sample]()
        for half in ("sample", "held")[: 1 if held else 2]:
            columns = (table.column(f"{half}_{part}").to_pylist() for part in ("keys", "rows"))
            samples += [
                Sample(inputs, np.frombuffer(keys, np.uint64), np.frombuffer(values).reshape(-1, inputs + targets))
                for keys, values in zip(*columns, strict=True)
                if keys
            ]
        sample = functools.reduce(Sample.plus, samples) if samples else None
        self.profiled = known if sample is None else known.sampled(sample, self.middle)
        return self.profiled

    @contextlib.contextmanager
    def cached(self) -> Iterator["Frame"]:
        """Context manager: these rows with raw columns cached, so that several fits compute them once.

        Vectors are not cached, and neither are rows in a session that does not cache.
        """
        if self.schema is None:
            yield self
            return
        made = copy.copy(self)
        with contextlib.suppress(PySparkException):
            made.to_validate = self.to_validate.persist()
        made.frame = made.to_validate
        made.parts = {name: F.col(name) for name in self.parts}
        try:
            yield made
        finally:
            release_quietly(made.frame.unpersist)

    def folded(self, fold: int, folds: int) -> "Frame":
        """Return these rows with fold number `fold` of `folds`, chosen by row key, as validation rows."""
        made = copy.copy(self)
        made.hold, made.said = HoldOut(1 / folds, fold=(fold, folds)), ""
        made.middle = None if self.profiled is None else self.profiled.centre.features
        made.columns, made.profiled, made.reports = replace(self.columns, split=1 / folds), None, []
        made.reading = replace(self.reading, hold=made.hold)
        return made

    def first(self, network: Network, schema: Schema | None, labels: Sequence[str] | None, most: int) -> Array:
        """Return the rows with the smallest keys, without missing values: features, targets and weight in one array.

        Args:
            network: The network that reads them.
            schema: The schema of its raw columns.
            labels: The words of its label.
            most: Maximum number of rows.

        Raises:
            DataError: If all rows have missing values, or columns do not match the model.
        """
        self._gather()
        raw, parts = self.raw, dict(self.parts)
        if raw is not None and schema is not None:
            read, columns = tables.scored(self.table, schema)
            parts[RAW] = tables.struct(columns)
            raw = replace(read, text=raw.text)
        raw = None if raw is None else replace(raw, labels=tuple(labels or ()))
        most, reading = first_of(network.inputs, most), packing.ReadOptions(network.dtype, skip=True, raw=raw)
        frame = self.frame.select(*(column.alias(name) for name, column in parts.items()))
        each = mapped(frame, packing.first_rows, packing.FIRST_SCHEMA, reading, network, self.names["features"], most)
        for groups in (tables.GROUPS, 1):
            each = mapped(each.repartition(groups), packing.merge_first, packing.FIRST_SCHEMA, most)
        found = collect(each, "firesteel: the first rows").column("first").to_pylist()
        rows = FirstRows.sum([pickle.loads(one) for one in found], most).repeated(most) if found else np.empty((0, 1))
        if not len(rows):
            raise DataError(
                f"no row of the DataFrame has {self.names['features']} and a known value in {self.names['label']}",
                code="data-empty",
            )
        check_weights(float(rows[:, -1].sum()), self.names["weight"], "used")
        return rows

    def count(self) -> int:
        """Return the number of rows; this validates them, and learns the schema of raw columns."""
        self._learn()
        if self.counted < 0:
            self.counted = int(self._tallied(HoldOut(policy.SHARE)).rows.sum())
        return self.counted

    def _gather(self) -> None:
        """Coalesce a frame with few rows and very many columns into few partitions, once."""
        names = self.columns.features
        if not self.gathered and isinstance(names, tuple):
            self.frame, self.gathered = tables.gathered(self.frame, len(names)), True

    def _learn(self) -> None:
        """Learn the schema of raw columns and the words of a text label."""
        self._gather()
        if self.raw is None or self.reading.raw is not None:
            return
        frame = self.frame.select(*(one.alias(name) for name, one in self.parts.items() if name in (RAW, LABEL)))
        schema, labels, known = tables.learned(frame, self.raw, self.columns, self.names)
        self.labels = labels if self.raw.text else self.labels
        if schema is not None:
            self.feature_names, self.counted = schema.origins(), known.profile.rows
            self.ends = (float(known.low), float(known.high))
        self.raw = replace(self.raw, schema=schema, labels=labels)
        self.reading = replace(self.reading, raw=self.raw)

    def _tallied(self, hold: HoldOut) -> Tally:
        """Count training and validation rows and classes for a hold-out, once; return the counts."""
        if not self.reports or hold != self.reading.hold:
            self.reading = replace(self.reading, hold=hold, classes=self.columns.classes)
            self._validate()
        return Tally.sum([Tally.read(), *(Tally.read(report["tally"]) for report in self.reports)])

    def _validate(self) -> None:
        """Run the job that validates and profiles the rows; return the report of each partition."""
        reports = mapped(self.to_validate, packing.profile_rows, packing.REPORT_SCHEMA, self.reading)
        self.report_table = collect(reports, "firesteel: validating the rows")
        self.reports = [json.loads(report) for report in self.report_table.column("report").to_pylist()]
        self.found = self._checked(self.reports)

    def _checked(self, reports: Sequence[Mapping[str, Any]]) -> tuple[Findings, int, int]:
        """Merge reports; return the faults found, and the numbers of features and targets per row."""
        rows, skipped, weight = (sum(report[name] for report in reports) for name in ("rows", "skipped", "weight"))
        if not rows:
            raise DataError(
                f"all {skipped:,} rows of the DataFrame are left out, for nulls, NaN or infinite values in "
                f"{self.names['features']} or {self.names['label']}"
                if skipped
                else "the DataFrame is empty: there are no rows to train on; check how it was read or filtered",
                code="data-empty",
            )
        found: Findings = {}
        for report in reports:
            found = merge(found, {code: Finding(**f) for code, f in report["found"].items()})
        size, widths = self.feature_size, {w for report in reports for w, _ in report["widths"]["features"]}
        if size is not None and widths and size not in widths:
            raise DataError(
                f"{self.names['features']} has {size:,} features by its metadata, and {max(widths):,} values in its "
                f"{rows:,} rows.  To do: assemble it again, or remove its metadata with withMetadata",
                code="data-metadata",
            )
        refuse(found, rows, self.names, self.feature_names if widths <= {size} else None)
        shape = [self._one_width(reports, part, rows) for part in ("features", "label")]
        check_weights(weight + sum(report["held_weight"] for report in reports), self.names["weight"])
        return found, *shape  # type: ignore[return-value]

    def _one_width(self, reports: Sequence[Mapping[str, Any]], part: str, rows: int) -> int:
        """Return the number of values per row.  Raises DataError if it differs between rows."""
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
                f"{usual}; {count:,} of {rows:,} rows have this error.  To do: give every row {usual} values, or "
                "drop those rows",
                code="data-ragged",
            )
        if not usual:
            raise DataError(f"{self.names[part]} has only empty rows: give each row a value", code="data-width")
        return usual

    def _packing(self) -> DataFrame:
        """Select the columns to pack: wide or sparse vectors in Spark's representation, others as lists.

        Values are float32 if that loses nothing, since they reach Python in half the time.
        """
        as_vectors = self.profile().few or self.profile().width >= SPARSE_WIDTH
        return self._selected("float32" if self.narrow else "float64", as_vectors)

    def _selected(self, dtype: str, as_vectors: bool, leads: Mapping[str, Column] | None = None) -> DataFrame:
        """Select the columns to read, vectors as lists or, if `as_vectors`, in Spark's representation."""
        features = self.columns.features
        parts = {**self.parts, **(leads or {})}
        if self.table.holds_vectors(features):
            lists = {"x": self.table.features(features, dtype)}
            parts |= self.table.stored(str(features), dtype) if as_vectors else lists
        return self.frame.select(*(column.alias(name) for name, column in parts.items()))

    def shards_of(self, recipe: Recipe) -> int:
        return self.profile().shards(recipe, blocks_of(self.profile()))

    @contextlib.contextmanager
    def engine(
        self, shards: int | None = None, *, held: bool = False, shuffle: bool = True, centre: Centre = UNCENTRED
    ) -> Iterator[SparkEngine]:
        with contextlib.closing(self.packed(shards, held, centre)) as engine, alive(self.frame.sparkSession):
            yield engine

    def packed(self, shards: int | None, held: bool, centre: Centre = UNCENTRED) -> SparkEngine:
        """Pack the rows with a centre subtracted; return their engine, which must be closed."""
        with alive(self.frame.sparkSession, "firesteel: packing the rows"):
            count, frame = self.planned(shards, held, centre)
            engine = SparkEngine(frame, count, self.profile(), centre=centre)
        try:
            self.check_packed(engine.blocks, held)
        except BaseException:
            engine.close()
            raise
        return engine

    def check_packed(self, blocks: Sequence[BlockInfo], held: bool) -> None:
        """Raise DataError if the packed blocks do not hold the validated rows."""
        self._check(sum(block.fingerprint for block in blocks) % 2**64, held)

    def _check(self, prints: int, held: bool) -> None:
        if prints != self.key_sums[held]:
            raise DataError(
                f"the packed rows differ from the validated rows: {worker.SHIFTING}", code="data-shifting"
            )

    def read(self) -> packing.Read:
        """Collect the rows in this process.  Raises DataError if they differ from the validated rows."""
        reading = replace(self.reading, where=(), sparse=self.profile().sparse)
        table = collect(mapped(self._packing(), packing.reads, packing.READ_SCHEMA, reading), READING)
        rows = packing.Read.sum([pickle.loads(one) for one in table.column("rows").to_pylist()])
        prints = row_prints(rows.prints, rows.w.astype(self.dtype))
        for held in (False, True):
            self._check(int(np.add.reduce(prints[rows.held == held], dtype=np.uint64)), held)
        return rows

    def planned(self, shards: int | None, held: bool, centre: Centre) -> tuple[int, DataFrame]:
        """Return the number of shards, and a lazy frame that packs the rows into blocks."""
        count, blocks = parts_of(self.profile(), shards, held), blocks_of(self.profile(), held)
        reading = replace(self.reading, where=(), sparse=self.profile().sparse, centre=centre)
        places = partitions_of(self.profile(), count, held)
        codes = tuple(itertools.islice(itertools.cycle(partition_codes(places)), count))
        task = packing.PackTask(reading, blocks, codes, held, self.columns.id is not None)
        heavy = [] if held else self._heavy(blocks, reading)
        if heavy:
            task = replace(task, heavy=tuple(one.key for one in heavy))
        packs = mapped(self._packing(), packing.mini_packs, packing.MINI_SCHEMA, task)
        if heavy:
            spark = self.frame.sparkSession
            few = spark.createDataFrame([one.row() for one in heavy], packing.HEAVY_SCHEMA)
            packs = packs.union(mapped(few, packing.explode, packing.MINI_SCHEMA, task))
        merged = mapped(packs.repartition(places, "part"), packing.merge_packs, packing.BLOCK_SCHEMA, task)
        return count, merged

    def _heavy(self, blocks: int, reading: packing.ReadOptions) -> list[packing.Heavy]:
        """Return the rows that occur so often that their copies must be spread over blocks."""
        assert self.candidates is not None
        limit = heavy_limit(self.profile().rows, blocks)
        keys, counts, slack = self.candidates
        values, where = np.unique(keys, return_inverse=True)
        likely = values[np.bincount(where, counts, len(values)) + slack > limit]
        if not len(likely):
            return []
        counted = mapped(self._packing(), packing.count_heavy, packing.HEAVY_SCHEMA, reading, likely)
        found: dict[int, packing.Heavy] = {}
        for row in collect(counted, "firesteel: counting rows that occur often").to_pylist():
            one = packing.Heavy.of(row)
            found[one.key] = found[one.key].plus(one) if one.key in found else one
        heavy = sorted(found.items())
        return [one for _, one in heavy if one.counts.sum() > limit and one.pack]


def _whole(report: dict[str, Any]) -> dict[str, Any]:
    """Return a copy of a partition's report in which validation rows count as training rows."""
    classes = [[number, rows + held, 0, where] for number, rows, held, where in report["classes"]]
    weight, sums = report["weight"] + report["held_weight"], [sum(report["sums"]) % 2**64, 0]
    return report | {"held": 0, "weight": weight, "held_weight": 0.0, "classes": classes, "sums": sums}


# Prediction


ALL = "firesteel__outputs"
"""Temporary column of all outputs."""
DIRECT = hasattr(F, "arrow_udf")
"""Whether scoring functions receive Arrow columns, as from Spark 4.1 on."""


def scoring(function: worker.Outputs, kind: str) -> Any:
    """Wrap a scoring object as a Spark function of one column or of raw columns; before Spark 4.1 with pandas."""

    if hasattr(F, "arrow_udf"):

        def call(*columns: pa.Array) -> pa.Array:
            found = function(columns[0] if function.raw is None else function.raw.struct(columns))
            settle()
            return found

        return F.arrow_udf(call, kind)

    def call_pandas(*columns: pd.Series) -> pd.Series:
        column = pa.array(columns[0]) if function.raw is None else function.raw.of_pandas(columns)
        empty = pa.types.is_null(column.type)  # the type of a pandas batch of nulls
        found = function(column.cast(pa.list_(pa.float64())) if empty else column)
        settle()
        return found.to_pandas()

    return pandas_udf(call_pandas, kind)  # type: ignore[call-overload]


def predict(frame: DataFrame, network: Network, theta: Array, features: Any, ports: Ports | None) -> DataFrame:
    """Add the outputs of a network to a frame as an array column `prediction`, lazily.

    Args:
        frame: The rows.
        network: The network.
        theta: Its parameters, (P,).
        features: Features column or columns; "features" if None.
        ports: Names of its inputs and outputs, if they have any; each of several outputs becomes a column.
    """
    several = () if ports is None or len(ports.outputs) == 1 else ports.outputs
    features = listed(side_by_side(ports, (), features)[0])
    features = "features" if features is None else features
    check_names(features, "features")
    named = Columns(features).names()["features"]
    outputs = worker.Outputs(network, theta, named)
    kind = "array<float>" if outputs.kind == "float32" else "array<double>"
    with alive(frame.sparkSession, "firesteel: predict"):
        table = NamedColumns(frame)
        if clash := [one.name for name, _ in several or [("prediction", ())] for one in table.called(name)]:
            raise DataError(
                f"the DataFrame has a column {clash[0]!r} already: drop or rename it before predicting",
                code="data-column",
            )
        as_vectors, shape = network.sparse and DIRECT, pictures.shape_of(network)
        x = table.features(features, worker.reads(network), as_vectors=as_vectors, shape=shape)
        ship(frame.sparkSession)
        if not several:
            return frame.select("*", scoring(outputs, kind)(x).alias("prediction"))
        ends = list(itertools.accumulate([math.prod(shape) for _, shape in several], initial=0))
        pairs = zip(several, itertools.pairwise(ends), strict=True)
        made = [F.slice(ALL, start + 1, end - start).alias(name) for (name, _), (start, end) in pairs]
        return frame.withColumn(ALL, scoring(outputs, kind)(x)).select("*", *made).drop(ALL)

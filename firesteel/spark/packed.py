"""Rows packed once, to fit many networks on: the blocks of a DataFrame, kept in Spark's cache or written to storage.

What `pack` returns is a source like a DataFrame, without its first two passes.  It keeps the blocks by themselves, so
that each number of shards is one cheap shuffle of few fat rows away; `engine.py` then trains on them.
"""

import contextlib
import functools
import json
import os
import threading
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any, Self

import numpy as np
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from firesteel._advice import warn_of_lost
from firesteel.core.centre import UNCENTRED, Centre
from firesteel.core.network import DTYPES
from firesteel.core.spec import finite
from firesteel.errors import ConfigError, StoreError, without_secrets
from firesteel.spark import tables
from firesteel.spark.collected import Collected, is_small
from firesteel.spark.columns import Columns, listed
from firesteel.spark.engine import SparkEngine, collect, described, known_blocks, placed
from firesteel.spark.failures import UNREACHABLE, alive, let_go, translated
from firesteel.spark.frames import Frame, blocks_of, partitions_of, parts_of
from firesteel.spark.parcel import ship
from firesteel.spark.storage import is_missing, literal, path_text, reach, remove
from firesteel.tables.joined import Joined, joined
from firesteel.tables.schema import Schema
from firesteel.train.checks import FLAT, INEXACT, Class, Finding
from firesteel.train.engine import Engine
from firesteel.train.recipe import Recipe
from firesteel.train.source import Survey

FORMATS = (1, 2)
"""Numbers of the layout on storage.  In the second, rows are less a centre."""
KEYS = 2
"""Number of the rule that puts rows in order, since rows' weights are not in it; 1 where a file says nothing."""
RAW = ("raw", "kinds", "zone", "positive")
"""What is said of raw columns, and written of them alone."""
WRITING, READING = "firesteel: writing packed rows", "firesteel: reading packed rows"


class Packed:
    """Packed rows, accepted wherever a DataFrame is trained on.  Let them go with `unpersist()` or a `with` block."""

    def __init__(
        self,
        frames: Mapping[bool, DataFrame],
        survey: Survey,
        columns: Columns,
        dtype: str,
        about: Mapping[str, Any],
        near: Collected | None = None,
    ) -> None:
        self.columns, self.dtype, self.near, self.counted = columns, dtype, near, -1
        self.split: float = about.get("split", columns.split)
        self.said: str = about.get("said", "")
        self.names: Mapping[str, str] = columns.names()
        self.feature_names: list[str] | None = about["features"]
        self.class_names: list[str] | None = about["classes"]
        self.class_count: int | None = about.get("class_count", len(self.class_names) if self.class_names else None)
        self.schema: Schema | None = about.get("schema")
        self.ends: tuple[float, float] | None = about.get("ends")
        self.label_kind: str | None = about.get("label_kind")
        self._frames, self._survey, self._stored = dict(frames), survey, bool(frames)
        self._engines: dict[tuple[int, bool, Centre], SparkEngine] = {}
        self._lock = threading.Lock()

    @property
    def sparkSession(self) -> SparkSession | None:  # noqa: N802  (as a DataFrame has it)
        """The session of the rows; None once they are let go."""
        return next((rows.sparkSession for rows in (self.near, *self._frames.values()) if rows is not None), None)

    def survey(self) -> Survey:
        """Return what was found when the rows were packed."""
        return self._survey

    def count(self) -> int:
        """Return how many rows there are, of a weight above 0 if those were counted."""
        return self.counted if self.counted >= 0 else self._survey.rows + self._survey.held

    def shards_of(self, recipe: Recipe) -> int:
        """Return S: the recipe's, and where it has none the one that suits the rows."""
        return self._survey.shards(recipe, blocks_of(self._survey))

    @contextlib.contextmanager
    def engine(
        self, shards: int | None = None, *, held: bool = False, shuffle: bool = True, centre: Centre = UNCENTRED
    ) -> Iterator[Engine]:
        """Give the engine over these blocks in so many shards, less a centre; it stays for the next fit."""
        if (near := self.near) is not None:
            with near.engine(shards, held=held, centre=centre) as local:
                yield local
            return
        count = parts_of(self._survey, shards, held)
        with self._lock:
            if not self._frames:
                raise ConfigError("these packed rows were let go already: pack them again", code="config-packed")
            if (count, held, centre) not in self._engines:
                frame, shift = self._frames[held], _apart(self._survey.centre, centre)
                with alive(frame.sparkSession, "firesteel: packed rows"):
                    rows = placed(frame, partitions_of(self._survey, count, held), F.col("block") % count)
                    made = SparkEngine(rows, count, self._survey, known_blocks(frame), self._stored, centre, shift)
                    self._engines[count, held, centre] = made
            engine = self._engines[count, held, centre]
        with alive(engine.frame.sparkSession):
            yield engine

    def adopt(self, engine: SparkEngine, held: bool) -> None:
        """Keep an engine that has packed the rows; its blocks are the ones of this object."""
        self._frames[held] = engine.frame
        self._engines[engine.shards, held, engine.centre] = engine

    def unpersist(self) -> None:
        """Let the rows go from Spark's cache; what lies on storage stays."""
        with self._lock:
            for engine in self._engines.values():
                engine.close()
            self._engines, self._frames, self.near = {}, {}, None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        self.unpersist()

    def __repr__(self) -> str:
        survey = self._survey
        held = f", {survey.held:,} held out" if survey.held else ""
        return f"Packed({survey.rows:,} rows of {survey.width:,} features{held})"


def _apart(packed: Centre, wanted: Centre) -> Centre:
    """Return what must be added to rows that are packed less one centre, so that they are less another."""
    pairs = ((packed.features, wanted.features), (packed.targets, wanted.targets))
    return Centre(*(() if a == b else tuple((np.array(a or 0.0) - (b or 0.0)).tolist()) for a, b in pairs))


def pack(
    frame: DataFrame,
    features: str | Sequence[str] | Mapping[str, Any] | None = None,
    label: str | Sequence[str] | Mapping[str, Any] = "label",
    *,
    weight: str | None = None,
    validation_split: float = 0.0,
    validation_indicator: str | None = None,
    id: str | None = None,
    path: str | os.PathLike[str] | None = None,
    dtype: str = "float32",
) -> Packed:
    """Look at the rows of a DataFrame and pack them, once; fit as many networks on the result as you like.

    features, label, weight: as in `Model.fit`, those of several inputs or outputs by their names; where no features
    are given, and there is no column `features`, all columns are taken as they are, of any type, as stages take them.
    validation_split: share of the rows held out, by key; validation_indicator: a column that is true for them; by
    default none are, and the automatic hold-out of stages is off, since the rows are packed before it is known what
    for. id: a column that identifies rows: it decides who is held out and where a row is packed, in place of the
    row's values. dtype: of the networks to be fitted.
    path: where to write the blocks as Parquet, on any file system of Spark's: for sessions that refuse to cache.

    Raises ConfigError for settings that cannot be, DataError for rows that no network can be trained on, StoreError
    where `path` is taken already.
    For example `with pack(df) as rows: NeuralNetworkClassifier(maxIter=5).fit(rows)`.
    """
    if not 0.0 <= finite(validation_split) < 1.0 or (validation_split and validation_indicator is not None):
        raise ConfigError(
            f"validation_split={validation_split!r}: it must be in [0, 1), and 0 with validation_indicator",
            code="config-value",
        )
    if dtype not in DTYPES:
        raise ConfigError(f"dtype={dtype!r}: it must be one of {DTYPES}", code="config-dtype")
    chosen = "features" if features is None else joined(listed(features))
    columns = Columns(chosen, joined(listed(label)), weight, validation_split, validation_indicator, id)
    if features is None:
        columns = tables.as_they_are(frame, columns)
    place = None if path is None else path_text(path)
    return packed(Frame(frame, columns, dtype), None, place)


def packed(source: Frame, shards: int | None, path: str | None = None) -> Packed:
    """Pack a source's rows; shards: how many of them to expect, None for a number from the rows alone."""
    survey = source.survey()
    warn_of_lost(survey, survey.centre, source.names, source.feature_names)
    found = {code: one for code, one in survey.found.items() if not code.startswith((FLAT, INEXACT))}
    survey = replace(survey, found=found, sample=None)  # what has been warned of once
    about = {
        "features": source.feature_names,
        "classes": source.class_names,
        "class_count": source.class_count,
        "split": source.split,
        "said": source.said,
        **({} if source.schema is None else {"schema": source.schema, "ends": source.ends}),
        **({} if source.label_kind is None else {"label_kind": source.label_kind}),
    }
    if path is not None:
        _write(source, survey, path, about)
        return load_pack(path)
    whose = source.columns.stage or source.schema is not None  # vectors that users pack stay where they are
    near = Collected(source, survey) if whose and is_small(source, survey) else None
    made = Packed({}, survey, source.columns, source.dtype, about, near)
    made.counted = source.counted
    if near is not None:
        return made
    try:
        made.adopt(source.packed(shards, False, survey.centre), False)
        if survey.held:
            made.adopt(source.packed(None, True, survey.centre), True)
    except BaseException:
        made.unpersist()
        raise
    return made


def _write(source: Frame, survey: Survey, path: str, about: Mapping[str, Any]) -> None:
    """Write a source's blocks, and last what describes them, so that half a pack is none."""
    spark, centre = source.frame.sparkSession, survey.centre.to_config()
    profile = {name: value for name, value in asdict(survey).items() if name not in ("sample", "centre")}
    fresh, begun = reach(spark, path, "path"), list[str]()
    description = {
        "format": FORMATS[bool(centre)],
        "keys": KEYS,
        "dtype": source.dtype,
        "columns": {name: one for name, one in asdict(source.columns).items() if source.schema or name not in RAW},
        "survey": profile | ({"centre": centre} if centre else {}),
        "about": {name: one.to_config() if isinstance(one, Schema) else one for name, one in about.items()},
    }
    try:
        for held in (False, True)[: 1 + bool(survey.held)]:
            rows = source.planned(None, held, survey.centre)[1]
            begun.append(f"{path}/{'held' if held else 'rows'}")
            with described(spark, WRITING):
                rows.write.parquet(begun[-1])
                stored = spark.read.parquet(literal(begun[-1]))
            source.check_packed(known_blocks(stored), held)
        begun.append(f"{path}/description")
        with described(spark, WRITING):
            last = spark.createDataFrame([(json.dumps(description),)], "description string").coalesce(1)
            last.write.parquet(begun[-1])
    except BaseException as error:
        taken = str(error).startswith("[PATH_ALREADY_EXISTS]")
        for place in begun[:-1] if taken else [path] if fresh else begun:  # half a pack is none
            let_go(functools.partial(remove, spark, place))
        if taken:
            message = f"{path} holds something already: give a path that is free"
            raise StoreError(message, code="store-taken") from None
        if not isinstance(error, Exception):
            raise
        raise translated(error, spark, WRITING) from None


def load_pack(path: str | os.PathLike[str]) -> Packed:
    """Return the rows that `pack(..., path=...)` wrote, through the Spark session in use.

    Raises StoreError where there are none.
    """
    path = path_text(path)
    with alive(None, READING):
        spark = SparkSession.getActiveSession()
    if spark is None:
        raise ConfigError("there is no Spark session: make one first", code="config-session")
    try:
        with described(spark, READING):
            written = spark.read.parquet(literal(f"{path}/description"))
        rows = collect(written, READING).to_pylist()
        description = json.loads(rows[0]["description"])
        if description["format"] not in FORMATS:
            raise StoreError(
                f"{path} has format {description['format']!r}, and this firesteel reads "
                f"{' and '.join(map(str, FORMATS))}",
                code="store-format",
            )
        if description.get("keys", 1) != KEYS:
            warnings.warn(
                f"the rows in {without_secrets(path)} were packed by an earlier firesteel, in another order: a fit "
                "on them has other bits than one on the DataFrame.  To do: pack them again, if that matters",
                stacklevel=2,
            )
        columns, survey, about = (description[part] for part in ("columns", "survey", "about"))
        about |= {"schema": Schema.from_config(about["schema"])} if "schema" in about else {}
        for part in ("features", "label"):
            columns[part] = Joined(**columns[part]) if isinstance(columns[part], dict) else columns[part]
        columns = {name: tuple(value) if isinstance(value, list) else value for name, value in columns.items()}
        survey["found"] = {code: Finding(**finding) for code, finding in survey["found"].items()}
        survey["classes"] = {int(number): Class(**one) for number, one in survey["classes"].items()}
        survey["centre"] = Centre.from_config(survey.get("centre", {}))
        made = Survey(**survey)
        with described(spark, READING):
            frames = {False: spark.read.parquet(literal(f"{path}/rows"))}
            if made.held:
                frames[True] = spark.read.parquet(literal(f"{path}/held"))
    except StoreError:
        raise
    except Exception as error:
        found = translated(error, spark, f"{path}: {READING}")
        if getattr(found, "code", None) in UNREACHABLE:
            raise found from None
        reason = "nothing lies there" if is_missing(error) else (str(error) or type(error).__name__).splitlines()[0]
        raise StoreError(f"{path} holds no packed rows, or they are damaged: {reason}", code="store-pack") from None
    ship(spark)
    return Packed(frames, made, Columns(**columns), description["dtype"], about)

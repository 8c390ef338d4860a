"""Rows of a DataFrame packed once for many fits, in Spark's cache or on storage.

A fit on packed rows skips validation and packing.  Another number of shards needs one cheap shuffle of the blocks,
which are few large rows.
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
from firesteel.spark.failures import UNREACHABLE, alive, release_quietly, translated
from firesteel.spark.frames import Frame, blocks_of, partitions_of, parts_of
from firesteel.spark.parcel import ship
from firesteel.spark.storage import is_missing, literal, path_text, reach, remove
from firesteel.tables.joined import Joined, joined
from firesteel.tables.schema import Schema
from firesteel.train.checks import FLAT, INEXACT, Class, Finding
from firesteel.train.engine import Engine
from firesteel.train.recipe import Recipe
from firesteel.train.source import RowProfile

FORMATS = (1, 2)
"""Versions of the format on storage; in version 2 a centre is subtracted from the rows."""
KEYS = 2
"""Version of the rule for the order of rows; since version 2 it ignores weights.  Files without a version have 1."""
RAW = ("raw", "kinds", "zone", "positive")
"""Fields of Columns that are written for raw columns only."""
WRITING, READING = "firesteel: writing packed rows", "firesteel: reading packed rows"


class Packed:
    """Packed rows, accepted by `fit` and `Model.fit` in place of a DataFrame.

    `pack` and `load_pack` make them.  Release them from Spark's cache with `unpersist()` or a `with` block.

    Args:
        frames: The blocks of the training rows (False) and of the validation rows (True).
        profile: The profile of the rows.
        columns: The columns that were packed.
        dtype: Dtype of the networks to fit.
        about: Further metadata: names of features and classes, schema, and the fraction of validation rows.
        near: The rows in the driver's memory, if they are few.

    Example:
        ```python
        with pack(df) as rows:
            print(rows)  # Packed(1,797 rows of 64 features)
            model = NeuralNetworkClassifier(maxIter=5).fit(rows)
        ```
    """

    def __init__(
        self,
        frames: Mapping[bool, DataFrame],
        profile: RowProfile,
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
        self._frames, self._profile, self._stored = dict(frames), profile, bool(frames)
        self._engines: dict[tuple[int, bool, Centre], SparkEngine] = {}
        self._lock = threading.Lock()

    @property
    def sparkSession(self) -> SparkSession | None:  # noqa: N802  (as a DataFrame has it)
        """The Spark session of the rows; None after `unpersist`."""
        return next((rows.sparkSession for rows in (self.near, *self._frames.values()) if rows is not None), None)

    def profile(self) -> RowProfile:
        """Return the profile of the rows, computed when they were packed."""
        return self._profile

    def count(self) -> int:
        """Return the number of rows, without those of weight 0 if they were counted."""
        return self.counted if self.counted >= 0 else self._profile.rows + self._profile.held

    def shards_of(self, recipe: Recipe) -> int:
        """Return the number of shards.

        Args:
            recipe: The recipe of the fit; its number wins over that for the rows.
        """
        return self._profile.shards(recipe, blocks_of(self._profile))

    @contextlib.contextmanager
    def engine(
        self, shards: int | None = None, *, held: bool = False, shuffle: bool = True, centre: Centre = UNCENTRED
    ) -> Iterator[Engine]:
        """Context manager: the engine that holds these blocks; it is kept for the next fit.

        Args:
            shards: Number of shards; None for a number from the rows.
            held: Whether to use the validation rows.
            shuffle: Ignored: packed rows are always in the order of their keys.
            centre: What is subtracted from the rows.

        Raises:
            ConfigError: `config-packed`, after `unpersist`.
        """
        if (near := self.near) is not None:
            with near.engine(shards, held=held, centre=centre) as local:
                yield local
            return
        count = parts_of(self._profile, shards, held)
        with self._lock:
            if not self._frames:
                raise ConfigError(
                    "these packed rows were released by unpersist: pack them again", code="config-packed"
                )
            if (count, held, centre) not in self._engines:
                frame, shift = self._frames[held], _apart(self._profile.centre, centre)
                with alive(frame.sparkSession, "firesteel: packed rows"):
                    rows = placed(frame, partitions_of(self._profile, count, held), F.col("block") % count)
                    made = SparkEngine(rows, count, self._profile, known_blocks(frame), self._stored, centre, shift)
                    self._engines[count, held, centre] = made
            engine = self._engines[count, held, centre]
        with alive(engine.frame.sparkSession):
            yield engine

    def _adopt(self, engine: SparkEngine, held: bool) -> None:
        """Keep an engine that has packed the rows, for later fits.

        Args:
            engine: The engine; its blocks become those of this object.
            held: Whether they are the validation rows.
        """
        self._frames[held] = engine.frame
        self._engines[engine.shards, held, engine.centre] = engine

    def unpersist(self) -> None:
        """Release the rows from Spark's cache; files on storage stay."""
        with self._lock:
            for engine in self._engines.values():
                engine.close()
            self._engines, self._frames, self.near = {}, {}, None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        self.unpersist()

    def __repr__(self) -> str:
        profile = self._profile
        held = f", {profile.held:,} held out" if profile.held else ""
        return f"Packed({profile.rows:,} rows of {profile.width:,} features{held})"


def _apart(packed: Centre, wanted: Centre) -> Centre:
    """Return what to add to rows packed with one centre, so that they become rows packed with another."""
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
    """Validate and pack the rows of a DataFrame once, to fit many networks on them.

    Fits on the result skip both passes over the DataFrame.  Stages then hold out no rows by themselves; use
    `validation_split` or `validation_indicator`.

    Args:
        frame: The rows.
        features: Features column or columns, as in `Model.fit`; a map from names for several inputs.  If not given
            and there is no column `features`, all columns of any type, as the stages take them.
        label: Label column or columns, as in `Model.fit`; a map from names for several outputs.
        weight: Column of row weights.
        validation_split: Fraction of the rows held out for validation, chosen by row key, in [0, 1).
        validation_indicator: Boolean column that is true for the validation rows, instead of `validation_split`.
        id: Column that identifies a row.  It decides, in place of the row's values, which rows are held out and where
            they are packed.
        path: Path for the blocks as Parquet, on any file system that Spark can write; for sessions that refuse to
            cache, and for later sessions (`load_pack`).
        dtype: Dtype of the networks to fit, float32 or float64.

    Returns:
        The packed rows, to pass to `fit` in place of the DataFrame.

    Raises:
        ConfigError: `config-value` or `config-dtype`, for invalid arguments.
        DataError: For rows that no network can be trained on.
        StoreError: `store-taken`, if something exists at `path`.

    Example:
        ```python
        with pack(df, validation_split=0.2) as rows:
            for units in (32, 64, 128):
                model = NeuralNetworkClassifier(hiddenLayers=[units], maxIter=5, seed=1).fit(rows)
                print(units, model.summary.accuracy)
        ```
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
    """Pack the rows of a source; see `pack`.

    Args:
        source: The rows.
        shards: Expected number of shards; None for a number from the rows.
        path: Path for the blocks; None for Spark's cache.
    """
    profile = source.profile()
    warn_of_lost(profile, profile.centre, source.names, source.feature_names)
    found = {code: one for code, one in profile.found.items() if not code.startswith((FLAT, INEXACT))}
    profile = replace(profile, found=found, sample=None)  # the user has been warned of the rest
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
        _write(source, profile, path, about)
        return load_pack(path)
    collectable = source.columns.stage or source.schema is not None  # vectors that users pack stay on Spark
    near = Collected(source, profile) if collectable and is_small(source, profile) else None
    made = Packed({}, profile, source.columns, source.dtype, about, near)
    made.counted = source.counted
    if near is not None:
        return made
    try:
        made._adopt(source.packed(shards, False, profile.centre), False)
        if profile.held:
            made._adopt(source.packed(None, True, profile.centre), True)
    except BaseException:
        made.unpersist()
        raise
    return made


def _write(source: Frame, profile: RowProfile, path: str, about: Mapping[str, Any]) -> None:
    """Write the blocks of a source, and their description last, so that an incomplete pack cannot be loaded."""
    spark, centre = source.frame.sparkSession, profile.centre.to_config()
    written = {name: value for name, value in asdict(profile).items() if name not in ("sample", "centre")}
    fresh, begun = reach(spark, path, "path"), list[str]()
    description = {
        "format": FORMATS[bool(centre)],
        "keys": KEYS,
        "dtype": source.dtype,
        "columns": {name: one for name, one in asdict(source.columns).items() if source.schema or name not in RAW},
        "profile": written | ({"centre": centre} if centre else {}),
        "about": {name: one.to_config() if isinstance(one, Schema) else one for name, one in about.items()},
    }
    try:
        for held in (False, True)[: 1 + bool(profile.held)]:
            rows = source.planned(None, held, profile.centre)[1]
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
        for place in begun[:-1] if taken else [path] if fresh else begun:  # never leave an incomplete pack
            release_quietly(functools.partial(remove, spark, place))
        if taken:
            message = f"{path} exists already: choose another path"
            raise StoreError(message, code="store-taken") from None
        if not isinstance(error, Exception):
            raise
        raise translated(error, spark, WRITING) from None


def load_pack(path: str | os.PathLike[str]) -> Packed:
    """Load the rows that `pack(..., path=...)` wrote, in the active Spark session.

    Args:
        path: The path given to `pack`.

    Returns:
        The packed rows.

    Raises:
        ConfigError: `config-session`, without an active Spark session.
        StoreError: `store-pack` or `store-format`, if there are no packed rows, or damaged ones, or those of another
            version of the format.

    Example:
        ```python
        pack(df, path="gs://bucket/digits_packed")
        rows = load_pack("gs://bucket/digits_packed")  # also in a later session
        model = NeuralNetworkClassifier(maxIter=5).fit(rows)
        ```
    """
    path = path_text(path)
    with alive(None, READING):
        spark = SparkSession.getActiveSession()
    if spark is None:
        raise ConfigError("no Spark session is active: create one first", code="config-session")
    try:
        with described(spark, READING):
            written = spark.read.parquet(literal(f"{path}/description"))
        rows = collect(written, READING).to_pylist()
        description = json.loads(rows[0]["description"])
        if description["format"] not in FORMATS:
            raise StoreError(
                f"{path} has format {description['format']!r}, and this version of firesteel reads "
                f"{' and '.join(map(str, FORMATS))}",
                code="store-format",
            )
        if description.get("keys", 1) != KEYS:
            warnings.warn(
                f"an earlier version of firesteel packed {without_secrets(path)} in another order: a fit on these "
                "rows has other bits than one on the DataFrame.  To do: pack them again, if that matters",
                stacklevel=2,
            )
        columns, profile, about = (description[part] for part in ("columns", "profile", "about"))
        about |= {"schema": Schema.from_config(about["schema"])} if "schema" in about else {}
        for part in ("features", "label"):
            columns[part] = Joined(**columns[part]) if isinstance(columns[part], dict) else columns[part]
        columns = {name: tuple(value) if isinstance(value, list) else value for name, value in columns.items()}
        profile["found"] = {code: Finding(**finding) for code, finding in profile["found"].items()}
        profile["classes"] = {int(number): Class(**one) for number, one in profile["classes"].items()}
        profile["centre"] = Centre.from_config(profile.get("centre", {}))
        made = RowProfile(**profile)
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
        reason = (
            "the path does not exist" if is_missing(error) else (str(error) or type(error).__name__).splitlines()[0]
        )
        raise StoreError(f"{path} holds no packed rows, or they are damaged: {reason}", code="store-pack") from None
    ship(spark)
    return Packed(frames, made, Columns(**columns), description["dtype"], about)

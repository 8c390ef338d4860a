"""Raw columns of DataFrames: chooses them, passes them to Python, and learns their schema in Spark jobs.

`raw.py` encodes them on executors.
"""

import functools
import logging
import re
import zoneinfo
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from pyspark.ml.functions import vector_to_array
from pyspark.ml.linalg import VectorUDT
from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F
from pyspark.sql.types import (
    ArrayType,
    BooleanType,
    DataType,
    DateType,
    DoubleType,
    IntegralType,
    NullType,
    NumericType,
    StringType,
    TimestampNTZType,
    TimestampType,
)

from firesteel.errors import ConfigError, DataError
from firesteel.spark import raw
from firesteel.spark.columns import Columns, NamedColumns
from firesteel.spark.engine import collect
from firesteel.spark.failures import alive, session_of
from firesteel.spark.params import check_words
from firesteel.spark.raw import RawColumns, TableProfile
from firesteel.tables.profile import Profile, learn
from firesteel.tables.schema import DAY, ELEMENT, SHOWN, TEXT, ColumnValues, Schema, encoded
from firesteel.train.checks import MOST_CLASSES

LOG = logging.getLogger("firesteel")
GROUPS = 8
"""Number of partial profiles that reach the driver."""
MOST = MOST_CLASSES + 1
"""Maximum number of words of a label to count."""
ENDS = (F.min, F.max)
MADE = {"prediction", "probability", "rawprediction", "predictedlabel", "label_index"}
"""Default names of a model's output columns, in lower case."""
FOLDS = re.compile(r"_[0-9a-f]{12}_rand")
"""Suffix of the columns that Spark's tuning adds."""


# Which columns


def taken(table: NamedColumns, columns: Columns, ignored: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """Return the default feature columns, and the reasons why other columns are left out."""
    label = [columns.label] if isinstance(columns.label, str) else list(columns.label)
    roles = dict.fromkeys(label, "the label") | {columns.weight: "the weight", columns.id: "the identifier"}
    roles |= {columns.held: "the validation indicator"} | dict.fromkeys(ignored, "ignored")
    known = {table.same(name): why for name, why in roles.items() if name}
    found, left = list[str](), dict[str, str]()
    for field in table.frame.schema.fields:
        if table.same(field.name) in known:
            left[field.name] = known[table.same(field.name)]
        elif FOLDS.search(field.name):
            left[field.name] = "the folds"
        elif field.name.lower() in MADE or "ml_attr" in field.metadata:
            left[field.name] = "made by another stage"
        elif kind_of(field.dataType) is None and not _is_list(field.dataType):
            left[field.name] = field.dataType.simpleString()[:40]
        else:
            found.append(field.name)
    return found, left


def chosen(table: NamedColumns, columns: Columns, ignored: Sequence[str], uid: str) -> tuple[str, ...]:
    """Return the default feature columns and log their names; raise DataError if no column is left."""
    found, left = taken(table, columns, ignored)
    others = f"; not {', '.join(f'{name} ({why})' for name, why in left.items())}" if left else ""
    if not found:
        raise DataError(
            f"the DataFrame has no feature column{others}.  To do: name columns in inputCols, or a column of vectors "
            "in featuresCol",
            code="data-column",
        )
    LOG.info(
        "%s: %d columns are features: %s%s; ignoreCols leaves more out", uid, len(found), ", ".join(found), others
    )
    return tuple(found)


def as_they_are(frame: DataFrame, columns: Columns) -> Columns:
    """Return the columns to pack: all columns as a table, if the default features column does not exist."""
    with alive(session_of(frame)):
        table = NamedColumns(frame)
        if table.called(str(columns.features)):
            return columns
        names = expanded(table, chosen(table, columns, (), "pack"), columns.word("features"))
        label = columns.label if isinstance(columns.label, str) else ""
        classes = bool(label) and kind_of(table.column(label, columns.word("label"))[1]) in (TEXT, "boolean")
        zone = frame.sparkSession.conf.get("spark.sql.session.timeZone")
        return replace(columns, features=names, raw=True, zone=zone, classes=classes)


def label_kind(table: NamedColumns, columns: Columns) -> str | None:
    """Return the type of a classifier's label, "text" or "boolean"; None for numbers and for regressors.

    Raises ConfigError if positiveLabel is set and the label has no words.
    """
    if not ((columns.stage or columns.raw) and columns.classes and isinstance(columns.label, str)):
        return None
    of = table.column(columns.label, columns.word("label"))[1]
    kind = kind_of(of)
    if kind in (TEXT, "boolean"):
        return kind
    if columns.positive is not None:
        raise ConfigError(
            f"positiveLabel={columns.positive!r}: it must be a word of a text or Boolean label, and column "
            f"{columns.label!r} is {of.simpleString()}: number the classes so that 1 is the positive one",
            code="config-param",
        )
    return None


def numbered(words: Sequence[str], positive: str | None) -> tuple[str, ...]:
    """Order the words of a label by class index: alphabetically (UTF-8), or with the positive word last.

    Raises ConfigError unless the positive one is one of exactly two words.
    """
    ordered = sorted(words, key=encoded)
    if positive is not None:
        check_words(f"positiveLabel={positive!r}", [positive], ordered)
        if len(ordered) != 2:
            raise ConfigError(
                f"positiveLabel={positive!r} needs a label with two classes, but it has {len(ordered):,}: "
                f"{', '.join(ordered[:20])}",
                code="config-class",
            )
    return tuple(sorted(ordered, key=lambda word: word == positive))


def kind_of(kind: DataType) -> str | None:
    """Return the kind of `ColumnValues` for a column type; None for an unsupported type."""
    kinds: list[tuple[Any, str]] = [
        (StringType, TEXT),
        (BooleanType, "boolean"),
        (IntegralType, "integer"),
        (NumericType | NullType, "float"),
        (DateType, "date"),
        (TimestampType, "timestamp"),
        (TimestampNTZType, "wall"),
    ]
    return next((name for one, name in kinds if isinstance(kind, one)), None)


def _is_list(kind: DataType) -> bool:
    """Return whether a type is an array of numbers or a vector."""
    return isinstance(kind, VectorUDT) or (isinstance(kind, ArrayType) and isinstance(kind.elementType, NumericType))


def expanded(table: NamedColumns, names: Sequence[str], role: str) -> tuple[str, ...]:
    """Replace each column v of arrays or vectors by v[0], v[1], ...; one job measures their lengths.

    Raises DataError if lengths differ between rows.
    """
    lists = {name: column for name in names for column, of in [table.column(name, role)] if _is_list(of)}
    if not lists:
        return tuple(names)
    sizes = [F.size(_as_array(table, name, role)) for name in lists]
    ends = [
        end(F.when(lists[name].isNotNull(), size)) for name, size in zip(lists, sizes, strict=True) for end in ENDS
    ]
    asked = table.frame.agg(*(end.alias(f"e{number}") for number, end in enumerate(ends)))
    found = [one[0] for one in collect(asked, "firesteel: measuring arrays").to_pydict().values()]
    widths = dict(zip(lists, zip(found[::2], found[1::2], strict=True), strict=True))
    if ragged := [(name, low, high) for name, (low, high) in widths.items() if low != high]:
        name, low, high = ragged[0]
        raise DataError(
            f"column {name!r} has between {low} and {high} values per row: arrays and vectors need the same length "
            "in every row.  To do: give them one length, or leave the column out (ignoreCols)",
            code="data-ragged",
        )
    parts = {name: [f"{name}[{number}]" for number in range(max(1, low or 0))] for name, (low, _) in widths.items()}
    if both := [part for name in parts for part in parts[name] if table.called(part)]:
        raise DataError(
            f"column {both[0]!r} has the name of an element of column {both[0].rpartition('[')[0]!r}, and names must "
            "be unique.  To do: rename one of them, or leave it out (ignoreCols)",
            code="data-column",
        )
    return tuple(part for name in names for part in parts.get(name, [name]))


def _as_array(table: NamedColumns, name: str, role: str) -> Column:
    column, of = table.column(name, role)
    return F.when(column.isNotNull(), vector_to_array(column)) if isinstance(of, VectorUDT) else column


def located(table: NamedColumns, name: str, role: str) -> tuple[str | Column, DataType]:
    """Resolve a name to a column, or v[0] to an element of the array or vector column v; return it with its type.

    The column is an SQL text, as Spark parses one text for thousands of columns faster than thousands of calls; for
    vectors, which SQL cannot index, it is a Column.  Raises DataError if the column does not exist.
    """
    part = ELEMENT.fullmatch(name)
    if part and not table.matching(name) and len(found := table.matching(part[1])) == 1:
        where, of = found[0][0], found[0][1].dataType
        if isinstance(of, VectorUDT):
            return F.get(_as_array(table, part[1], role), F.lit(int(part[2]))), DoubleType()
        if isinstance(of, ArrayType) and _is_list(of):
            return f"get({where}, {part[2]})", of.elementType
        if isinstance(of, NullType):
            return where, of
        raise DataError(
            f"column {part[1]!r} is {of.simpleString()[:100]}, and {name!r} for {role} needs arrays or vectors of "
            "numbers.  To do: convert it, or name other columns",
            code="data-type",
        )
    return table.one(name, role)


def selected(table: NamedColumns, names: Sequence[str], role: str) -> tuple[tuple[str, ...], Column]:
    """Return the types of the input columns, and a struct column of them (fields c0, c1, ...) for executors.

    Raises DataError for columns that do not exist or have an unsupported type.
    """
    kinds, found = list[str](), list[str | Column]()
    for name in names:
        column, of = located(table, name, role)
        kind = kind_of(of)
        if kind is None:
            raise DataError(
                f"column {name!r} is {of.simpleString()[:100]}: {role} takes text, numbers, booleans, dates and "
                "times.  To do: extract its parts into separate columns, or leave it out (ignoreCols)",
                code="data-type",
            )
        kinds.append(kind)
        found.append(_handed(column, of, kind))
    return tuple(kinds), struct(found)


def _handed(column: str | Column, of: DataType, kind: str) -> str | Column:
    """Cast a column to text, integers or doubles, as `raw.values_of` expects."""
    if not isinstance(column, str) or isinstance(of, NullType):
        return column if not isinstance(column, str) else f"cast(null as {HANDED.get(kind, 'bigint')})"
    if kind == "date":
        return f"cast(unix_date({column}) as bigint)"
    if kind == "timestamp":
        return f"unix_micros({column})"
    if kind == "wall":  # no Spark function ignores the session's time zone
        seconds = f"hour({column}) * 3600 + minute({column}) * 60 + extract(SECOND FROM {column})"
        days = f"cast(unix_date(cast({column} as date)) as bigint)"
        whole = f"try_multiply({days}, {DAY}L)"  # the first date lies before the first representable microsecond
        return f"{whole} + cast(({seconds}) * 1000000 as bigint)"
    return f"cast({column} as {HANDED.get(kind, 'bigint')})"


HANDED = {TEXT: "string", "float": "double"}
"""SQL type that executors get for each kind, if not bigint."""


def struct(columns: Sequence[str | Column]) -> Column:
    """Combine raw columns into one struct with the fields c0, c1, ..."""
    if all(isinstance(one, str) for one in columns):
        return F.expr(f"struct({', '.join(f'{one} AS c{number}' for number, one in enumerate(columns))})")
    made = [F.expr(one) if isinstance(one, str) else one for one in columns]
    return F.struct(*(one.alias(f"c{number}") for number, one in enumerate(made)))


def gathered(frame: DataFrame, columns: int) -> DataFrame:
    """Coalesce rows with very many columns into as few partitions as suit their number, by a job that counts them.

    Spark compiles code for such rows in every task, which takes seconds for 10,000 columns.  Frames with fewer
    columns are returned unchanged.
    """
    if columns < WIDE:
        return frame
    counted = collect(frame.agg(F.count(F.lit(1)).alias("rows")), "firesteel: counting the rows")
    return frame.coalesce(max(1, -(-counted.column("rows")[0].as_py() * columns // TASK_VALUES)))


WIDE, TASK_VALUES = 1_000, 2_000_000
"""Frames with at least WIDE columns get tasks of at least TASK_VALUES values, 16 MB of doubles."""


def arguments(columns: Sequence[str | Column]) -> list[Column]:
    """Return raw columns as arguments of a Python function: one by one, which is faster, or many as one struct."""
    if len(columns) > MOST_ARGUMENTS:
        return [struct(columns)]
    return [F.expr(one) if isinstance(one, str) else one for one in columns]


MOST_ARGUMENTS = 100
"""From this number on, one struct is as fast as separate arguments."""


def scored(table: NamedColumns, schema: Schema, inputs: Sequence[str] = ()) -> tuple[RawColumns, list[str | Column]]:
    """Return how a fitted model reads raw columns, and those columns of a table.

    Args:
        table: The rows to score.
        schema: The schema of the model.
        inputs: The inputCols of the model; arrays and vectors among them must have the length of training, or the job
            fails.

    Raises:
        DataError: For columns that do not exist, or have another type than in training.
    """
    wrong = [
        name for name in schema.names if not table.matching(ELEMENT.sub(r"\1", name)) and not table.matching(name)
    ]
    if wrong:
        raise DataError(
            f"there is no column {wrong[0]!r}, on which the model was trained{_more(wrong)}: the DataFrame has "
            f"{table.shown()}.  To do: add the missing columns; the model takes {', '.join(schema.names[:20])}, in "
            "any order",
            code="data-schema",
        )
    kinds, columns = list[str](), list[str | Column]()
    for one in schema.columns:
        column, of = located(table, one.name, "inputCols")
        kind = one.kinds[0] if isinstance(of, NullType) else kind_of(of)
        if kind not in one.kinds:
            wanted = " or ".join(dict.fromkeys(SHOWN.get(known, known) for known in one.kinds)) + " values"
            raise DataError(
                f"column {one.name!r} is {of.simpleString()[:100]}, but the model was trained on {wanted} there.  "
                "To do: cast it to that type, or train on the new one",
                code="data-schema",
            )
        kinds.append(kind)
        columns.append(_handed(column, of, str(kind)))
    for name, width in _widths(schema, inputs).items():
        used = (number for number, one in enumerate(schema.names) if one.startswith(f"{name}["))
        if (at := next(used, None)) is not None:
            columns[at] = _as_long(table, name, width, columns[at])
    return RawColumns(tuple(schema.names), tuple(kinds), schema=schema), columns


def _widths(schema: Schema, inputs: Sequence[str]) -> dict[str, int]:
    """Return the lengths of the arrays and vectors that the model was trained on."""
    widths = dict[str, int]()
    for part in map(ELEMENT.fullmatch, (*schema.names, *(name for name, _ in schema.left_out))):
        if part:
            widths[part[1]] = max(widths.get(part[1], 0), int(part[2]) + 1)
    return {name: widths[name] for name in inputs if name in widths}


def _as_long(table: NamedColumns, name: str, width: int, element: str | Column) -> str | Column:
    """Return an element of a column of arrays or vectors that fails for rows of another length."""
    said = (
        f"column {name!r} holds arrays or vectors of another length, but the model was trained on {width:,} values "
        "there.  To do: give them that length, or train on the new one"
    )
    where, of = table.one(name, "inputCols")
    if not _is_list(of):
        return element
    if isinstance(element, str):
        quoted = said.replace("\\", "\\\\").replace("'", "\\'")
        return f"if({where} is null or size({where}) = {width}, {element}, raise_error('{quoted}'))"
    array = _as_array(table, name, "inputCols")
    return F.when(array.isNull() | (F.size(array) == width), element).otherwise(F.raise_error(F.lit(said)))


def _more(names: Sequence[str]) -> str:
    return f", nor {len(names) - 1:,} more of its columns" if len(names) > 1 else ""


def check_zone(zone: str | None) -> None:
    """Raise ConfigError for a time zone that Python does not know."""
    try:
        zoneinfo.ZoneInfo(zone or "UTC")
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        raise ConfigError(
            f"timeZone={zone!r}: Python does not know this time zone (by default the session's is used).  To do: set "
            'timeZone to a name such as "Europe/Berlin", or "UTC"',
            code="config-param",
        ) from None


# Learning


def learned(
    frame: DataFrame, columns: RawColumns, meant: Columns, called: Mapping[str, str]
) -> tuple[Schema | None, tuple[str, ...] | None, TableProfile]:
    """Profile rows in Spark jobs; return the schema of raw columns, the words of the label, and the profile.

    Args:
        frame: Rows with the columns raw and y.
        columns: How to read the raw columns.
        meant: The columns as the user named them.
        called: Names of the parts, for messages.

    Raises:
        DataError: If there are no rows, or the label has no words or too many.
    """
    parts = frame.mapInArrow(functools.partial(raw.profiled, columns, MOST), raw.PROFILE_SCHEMA)
    summed = parts.repartition(GROUPS).mapInArrow(functools.partial(raw.merged, MOST), raw.PROFILE_SCHEMA)
    found = TableProfile.read(collect(summed, "firesteel: profiling the columns").column("profile"))
    if not found:
        raise DataError(
            "the DataFrame is empty: there are no rows to train on; check how it was read or filtered",
            code="data-empty",
        )
    total = TableProfile.sum(found, MOST)
    words = total.labels.words.tolist() if columns.text else None
    if words is not None and not 0 < len(words) < MOST:
        found_words = f"more than {MOST_CLASSES:,} distinct values" if words else "no values"
        raise DataError(
            f"{called['label']} has {found_words} in {total.profile.rows:,} rows: a classifier needs a label with "
            "few classes.  To do: set labelCol to another column",
            code="data-label-range",
        )
    labels = None if words is None else numbered(words, meant.positive)
    if not columns.names:
        return None, labels, total
    counts = _counted(frame, columns, total.profile)
    profile = total.profile if words is None else _classed(total)
    schema = learn(profile, counts=counts, zone=meant.zone or "UTC")
    return schema, labels, total


def _classed(total: TableProfile) -> Profile:
    """Replace the words of the label in a profile by class indices."""
    hashes, target = (total.labels.hashes >> np.uint64(11)).astype(float), total.profile.target
    pairs = sorted(zip(total.labels.words.tolist(), hashes.tolist(), strict=True), key=lambda pair: encoded(pair[0]))
    numbers = {code: number for number, (_, code) in enumerate(pairs)}
    assert target is not None
    return replace(total.profile, target=np.array([numbers.get(one, np.nan) for one in target.tolist()]))


def _counted(frame: DataFrame, columns: RawColumns, profile: Profile) -> Mapping[str, Mapping[str, int]]:
    """Count the most frequent words of columns with very many distinct words, in one job."""
    names, most = profile.open_columns(), profile.most_levels()
    if not names:
        return {}
    at = {columns.names.index(name): name for name in names}
    pairs = [F.struct(F.lit(n).alias("at"), F.col(raw.RAW)[f"c{n}"].cast("string").alias("word")) for n in at]
    each = frame.select(F.explode(F.array(*pairs)).alias("one")).select("one.*").where("word is not null")
    often = each.groupBy("at", "word").count().where(F.col("count") >= max(2, profile.rows // 100_000))
    order = Window.partitionBy("at").orderBy(F.desc("count"), "word")
    ranked = often.withColumn("rank", F.row_number().over(order)).where(F.col("rank") <= most)
    short = ranked.select("at", "word", "count").mapInArrow(raw.short_words, "at int, word string, count long")
    table = collect(short, "firesteel: counting words")
    counts: dict[str, Counter[str]] = {name: Counter() for name in names}
    for number, text, count in zip(*(column.to_pylist() for column in table.columns), strict=True):
        if text != "NaN" or columns.kinds[number] == TEXT:
            counts[at[number]][_as_word(text, columns.kinds[number])] += count
    return counts


def _as_word(text: str, kind: str) -> str:
    """Convert a value as Spark prints it to its word in the schema, such as 1.0 to 1."""
    if kind == TEXT:
        return text
    data = np.array([float(text)]) if kind == "float" else np.array([int(text)]) * (DAY if kind == "date" else 1)
    return ColumnValues(kind, data).as_text().words[0]

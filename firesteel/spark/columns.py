"""The columns of a DataFrame: which is meant by a name, what it holds, and how it becomes lists of numbers.

`Columns` says which columns a user means, `NamedColumns` what they are; it asks the DataFrame once, since on Spark
Connect each question goes to the server.  `frames.py` reads rows through them, `model.py` scores through them.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pyspark.ml.functions import vector_to_array
from pyspark.ml.linalg import VectorUDT
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from firesteel.core.elsewhere import nearest
from firesteel.core.types import Shape
from firesteel.errors import ConfigError, DataError
from firesteel.spark import pictures
from firesteel.tables.joined import Joined

ColumnNames = str | Sequence[str] | Joined
SHOWN = 20
"""How many columns a message names."""


def check_names(columns: Any, role: str) -> None:
    """Raise ConfigError unless this is a column's name, or a list of at least one."""
    names = [columns] if isinstance(columns, str) else list(columns) if isinstance(columns, Joined) else columns
    if not isinstance(names, list | tuple) or not names or not all(isinstance(name, str) for name in names):
        raise ConfigError(
            f"{role.rstrip('=')}={columns!r}: it must be a column's name, or a list of names", code="config-column"
        )


def check_name(column: Any, role: str) -> None:
    """Raise ConfigError unless this is a column's name, or None."""
    if column is not None and not isinstance(column, str):
        raise ConfigError(f"{role.rstrip('=')}={column!r}: it must be a column's name", code="config-column")


def listed(names: Any) -> Any:
    """Return a list of names as a tuple, and anything else as it is."""
    return tuple(names) if isinstance(names, list) else names


WORDS = {
    "features": ("features=", "featuresCol"),
    "label": ("label=", "labelCol"),
    "weight": ("weight=", "weightCol"),
    "held": ("validation_indicator=", "validationIndicatorCol"),
    "id": ("id=", "idCol"),
    "split": ("validation_split", "validationFraction"),
}


@dataclass(frozen=True)
class Columns:
    """Which columns of a DataFrame are what, and which rows are held out.

    features, label: a column's name, or a tuple of names, or those of several inputs or outputs.  weight, held, id:
    names, or None.  held: of a column that is true for the rows held out; else the share `split` is, by key.  id:
    identifies rows and makes their keys.
    split "auto": the rows decide, and classes says whether targets are classes.
    skip: whether rows with nulls, NaN or infinite values are left out instead of refused.
    stage: whether the user speaks in Params.
    positive: which word of the label is class 1.
    raw: whether features are columns of any type, of which a schema is learned.  kinds: of those whose type does not
    say it, as pairs.  zone: where days begin, for them.
    shape: the height, width and channels of pictures, where layers say them.
    """

    features: str | tuple[str, ...] | Joined = "features"
    label: str | tuple[str, ...] | Joined = "label"
    weight: str | None = None
    split: str | float = 0.0
    held: str | None = None
    id: str | None = None
    skip: bool = False
    stage: bool = field(default=False, compare=False, repr=False)
    classes: bool = field(default=False, compare=False, repr=False)
    positive: str | None = field(default=None, repr=False)
    raw: bool = field(default=False, repr=False)
    kinds: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    zone: str | None = field(default=None, repr=False)
    shape: Shape | None = field(default=None, compare=False, repr=False)

    def word(self, part: str) -> str:
        """Return what the user calls a part: an argument of `fit` and `pack`, or a stage's Param."""
        return WORDS[part][self.stage]

    def names(self) -> dict[str, str]:
        """Return what to call each part in messages."""
        named = {part: getattr(self, part) for part in ("features", "label", "weight", "held", "id")}
        return {
            part: f"column {name!r}" if isinstance(name, str | None) else f"columns {', '.join(name)}"
            for part, name in named.items()
        }


class NamedColumns:
    """A DataFrame's columns, as Spark resolves names."""

    def __init__(self, frame: DataFrame) -> None:
        self.frame = frame
        fields, sensitive = frame.schema.fields, frame.sparkSession.conf.get("spark.sql.caseSensitive")
        self.names = [known.name for known in fields]
        self.same = str if str(sensitive).lower() == "true" else str.lower
        self._fields: dict[str, list[T.StructField]] = {}
        for known in fields:
            self._fields.setdefault(self.same(known.name), []).append(known)

    def called(self, name: str) -> list[T.StructField]:
        """Return the columns of this name: case counts only if the session says so."""
        return self._fields.get(self.same(name), [])

    def matching(self, name: str) -> list[tuple[str, T.StructField]]:
        """Return what a name may mean, with how to write it for Spark: columns, and fields of structs by `a.b`.

        As in Spark a part of a name may stand in backticks; a column with a dot in its name may do without.
        """
        found = [(quoted(known.name), known) for known in self.called(name)]
        parts = _parts(name)
        if not parts or parts == [name]:
            return found
        inner = [(quoted(known.name), known) for known in self.called(parts[0])]
        for part in parts[1:]:
            inner = [
                (f"{where}.{quoted(known.name)}", known)
                for where, outer in inner
                if isinstance(outer.dataType, T.StructType)
                for known in outer.dataType.fields
                if self.same(known.name) == self.same(part)
            ]
        return found + inner

    def leading(self, kinds: tuple[type, ...], count: int) -> list[str]:
        """Return the names of the first columns of these types that a name means alone."""
        alone = (found[0] for found in self._fields.values() if len(found) == 1)
        return [known.name for known in alone if isinstance(known.dataType, kinds)][:count]

    def column(self, name: str, role: str) -> tuple[Column, T.DataType]:
        """Return the column of this name and its type.  Raises DataError if there is none, or more than one.

        role: what the user calls the column's part.
        """
        where, kind = self.one(name, role)
        return F.col(where), kind

    def one(self, name: str, role: str) -> tuple[str, T.DataType]:
        """Return how to write the column of this name for Spark, and its type."""
        found = self.matching(name)
        if not found:
            hint = nearest(name, self.names)
            raise DataError(
                f"there is no column {name!r} for {role}: {hint}the DataFrame has {self.shown()}", code="data-column"
            )
        if len(found) > 1:
            ways = sorted({where for where, _ in found})
            apart = len({self.same(way) for way in ways}) == len(found)
            remedy = f"write {' or '.join(ways)}" if apart else "rename them"
            raise DataError(
                f"{len(found)} columns are called {name!r}: {remedy}, so that {role} means one", code="data-column"
            )
        return found[0][0], found[0][1].dataType

    def shown(self) -> str:
        """Return the names of the columns, for messages."""
        more = f", ... ({len(self.names):,} columns)" if len(self.names) > SHOWN else ""
        return ", ".join(self.names[:SHOWN]) + more

    def check_free(self, names: Sequence[str], read: Columns | None = None) -> None:
        """Raise DataError where the DataFrame has columns of these names, which a stage is to make.

        read: if given, only its features and label are looked at: the others need not be there when rows are scored.
        """
        parts = () if read is None else (read.features, read.label)
        inputs = {self.same(name) for part in parts for name in ([part] if isinstance(part, str) else part)}
        if clash := [name for name in names if self.called(name) and (read is None or self.same(name) in inputs)]:
            raise DataError(
                f"the DataFrame has the column(s) {', '.join(clash)} already: drop them, or set other names with "
                "predictionCol, probabilityCol and rawPredictionCol",
                code="data-column",
            )

    def number(self, name: str, role: str) -> Column:
        """Return a column of numbers as doubles.  Raises DataError for any other column."""
        return F.col(self._number(name, role)[0]).cast("double")

    def numbers(self, names: Sequence[str], role: str) -> Column:
        """Return columns of numbers as one of lists of doubles.  Raises DataError for any other columns.

        Spark reads one text: a call for each of 10,000 columns would take longer than the job.
        """
        found = [self._number(name, role) for name in names]
        items = (where if isinstance(kind, T.DoubleType) else f"cast({where} as double)" for where, kind in found)
        return F.expr(f"array({', '.join(items)})")

    def _number(self, name: str, role: str) -> tuple[str, T.DataType]:
        """Return how to write a column of numbers for Spark, and its type.  Raises DataError for any other column."""
        where, kind = self.one(name, role)
        if isinstance(kind, T.NumericType | T.BooleanType):
            return where, kind
        if isinstance(kind, T.StringType):
            remedy = (
                f'StringIndexer(inputCol={name!r}, outputCol="{name}_index")'
                if role.startswith(("label", "output"))
                else f'StringIndexer(inputCol={name!r}, outputCol="{name}_index"), then OneHotEncoder'
            )
            example = None if self.frame.isStreaming else self.frame.select(F.col(where)).head()
            shown = f", such as {example[0]!r} in its first row" if example and example[0] is not None else ""
            raise DataError(
                f"column {name!r} holds text{shown}, in all of its rows: a network takes numbers.  To do: {remedy}",
                code="data-text",
            )
        raise DataError(
            f"column {name!r} is {kind.simpleString()}: {role} takes numbers, arrays or vectors of them",
            code="data-type",
        )

    def boolean(self, name: str, role: str) -> Column:
        """Return a column of booleans.  Raises DataError for any other column."""
        column, kind = self.column(name, role)
        if not isinstance(kind, T.BooleanType):
            raise DataError(
                f"column {name!r} is {kind.simpleString()}: {role} takes booleans, true for the rows held out",
                code="data-type",
            )
        return column

    def features(
        self,
        features: ColumnNames,
        dtype: str,
        role: str = "features=",
        kept: bool = False,
        shape: Shape | None = None,
    ) -> Column:
        """Return the features as one column of lists or bytes, whatever they are stored as.

        features: a column of vectors, arrays, arrays of arrays, bytes (one value each), Spark's image structs or
        numbers; or a list of numeric columns.
        kept: whether vectors stay as Spark keeps them, sparse ones without their zeros.
        shape: the height, width and channels of pictures, where they are known.
        Raises DataError for any other column.
        """
        if isinstance(features, Joined):
            return self.joined(features, dtype, "input")
        if not isinstance(features, str):
            return self.numbers(features, role)
        column, kind = self.column(features, role)
        if isinstance(kind, VectorUDT):
            return column if kept else F.when(column.isNotNull(), vector_to_array(column, dtype))
        if isinstance(kind, T.BinaryType):
            return pictures.plain(column, f"column {features!r}")
        if pictures.is_image(kind):
            return pictures.pixels(column, f"column {features!r}", shape)
        if (levels := pictures.depth(kind)) > 1:
            column, kind = pictures.flattened(column, levels, f"column {features!r}"), pictures.innermost(kind)
        if isinstance(kind, T.ArrayType) and isinstance(kind.elementType, T.NumericType):
            decimal = kind.elementType.typeName().startswith("decimal")  # which NumPy does not know
            return column.cast("array<double>") if decimal else column
        return F.array(self.number(features, role))

    def stored(self, name: str, dtype: str) -> dict[str, Column]:
        """Return what Spark keeps of a column of vectors, for `arrow.whole`: values as x, indices, size.

        indices is empty and size -1 where all values are kept; x is null where there is no vector.  Lists of float32
        reach Python in half the time that vectors take; a null list takes longer than an empty one.
        """
        kept = F.unwrap_udt(self.column(name, "features")[0])
        return {
            "x": kept["values"].cast("array<float>" if dtype == "float32" else "array<double>"),
            "indices": F.coalesce(kept["indices"], F.array().cast("array<int>")),
            "size": F.coalesce(kept["size"], F.lit(-1)),
        }

    def label(self, label: ColumnNames, role: str) -> Column:
        """Return the label, or labels, as one column of lists.  Raises DataError for what are no numbers."""
        if isinstance(label, Joined):
            return self.joined(label, "float64", "output")
        if not isinstance(label, str):
            return self.numbers(label, role)
        column, kind = self.column(label, role)
        if isinstance(kind, VectorUDT):
            return F.when(column.isNotNull(), vector_to_array(column, "float64"))
        if isinstance(kind, T.ArrayType) and isinstance(kind.elementType, T.NumericType):
            return column.cast("array<double>")
        return F.array(self.number(label, role))

    def joined(self, columns: Joined, dtype: str, part: str) -> Column:
        """Return the columns of several inputs or outputs as one of lists, side by side.

        dtype: of vectors and arrays.  part: "input" or "output".
        Raises DataError for columns that do not fit; of arrays Spark raises it, at the first row.
        """
        found = list[Column]()
        for name, names, size in zip(columns.names, columns.columns, columns.sizes, strict=True):
            role, width = f"{part} {name!r}", self.width(names, f"{part} {name!r}")
            made = self.features(names, dtype, role)
            which = f"column {names!r}" if isinstance(names, str) else f"columns {', '.join(names)}"
            if isinstance(names, str) and isinstance(self.one(names, role)[1], T.BinaryType):
                raise DataError(
                    f"{which} for {role} is binary: one of several {part}s takes numbers, arrays or vectors of them",
                    code="data-type",
                )
            if width not in (None, size):
                raise DataError(
                    f"{which} for {role} has {width} values in a row, and {size} are taken", code="data-width"
                )
            if width is None:
                text = F.lit(f"firesteel.errors.DataError: {which} for {role} has "), F.size(made).cast("string")
                wrong = F.raise_error(F.concat(*text, F.lit(f" values in a row, and {size} are taken [data-width]")))
                made = F.when(made.isNull() | (F.size(made) == size), made).otherwise(wrong)
            found.append(made.cast("array<float>" if dtype == "float32" else "array<double>"))
        return F.concat(*found)

    def width(self, names: str | tuple[str, ...], role: str) -> int | None:
        """Return how many numbers columns hold in a row, None where their rows decide it."""
        if isinstance(names, str) and isinstance(
            self.one(names, role)[1], T.ArrayType | VectorUDT | T.BinaryType | T.StructType
        ):
            return None
        return 1 if isinstance(names, str) else len(names)

    def sized(self, columns: Any, part: str) -> Any:
        """Return the columns of several inputs or outputs with their sizes, where those are not known, by a row.

        part: "input" or "output".
        """
        if not isinstance(columns, Joined) or columns.sizes:
            return columns
        pairs = zip(columns.names, columns.columns, strict=True)
        parts = [(names, self.width(names, f"{part} {name!r}"), f"{part} {name!r}") for name, names in pairs]
        open = [F.size(self.features(names, "float64", role)) for names, width, role in parts if width is None]
        first = self.frame.select(*open).dropna().head() if open else ()
        seen = iter(first or [1] * len(open))
        return replace(columns, sizes=tuple([width or next(seen) for _, width, _ in parts]))

    def holds_vectors(self, names: ColumnNames) -> bool:
        """Return whether this is one column of Spark's vectors."""
        return isinstance(names, str) and isinstance(self.matching(names)[0][1].dataType, VectorUDT)

    def _about(self, name: str) -> dict[str, Any]:
        """Return what Spark's metadata say of a column."""
        found = self.matching(name)
        about = found[0][1].metadata.get("ml_attr", {}) if found else {}
        if not isinstance(about, dict):
            raise unreadable(name, about)
        return about

    def known_features(self, features: ColumnNames) -> tuple[int | None, list[str] | None]:
        """Return how many features there are, and their names, as far as they are known without reading a row.

        They are a list of columns, or what Spark's metadata say of a vector.
        """
        if isinstance(features, Joined):
            return sum(features.sizes), self._numbers_of(features)
        if not isinstance(features, str):
            return len(features), list(features)
        about = self._about(features)
        try:
            attributes = [one for some in about.get("attrs", {}).values() for one in some]
            named = {one["idx"]: str(one["name"]) for one in attributes if "idx" in one and "name" in one}
            size = int(about.get("num_attrs") or len(attributes))
            whole = named and set(named) == set(range(about.get("num_attrs", len(named))))
        except (AttributeError, TypeError, ValueError):
            raise unreadable(features, about) from None
        return size or None, [named[number] for number in range(len(named))] if whole else None

    def _numbers_of(self, columns: Joined) -> list[str]:
        """Return what each number of several inputs is called."""
        found = list[str]()
        for names, size in zip(columns.columns, columns.sizes, strict=True):
            known = self.known_features(names)[1] or ([str(names)] if size == 1 else None)
            found += known if known and len(known) == size else [f"{names}[{number}]" for number in range(size)]
        return found

    def classes(self, label: ColumnNames) -> tuple[int | None, list[str] | None]:
        """Return how many classes the label has and what they are called, as far as its metadata say so.

        Like Spark's own classifiers it takes the word of nominal attributes (their values, or the number of them)
        and of binary ones (two), and none of numeric ones.
        """
        about = self._about(label) if isinstance(label, str) else {}
        kind, names = about.get("type", "numeric"), about.get("vals")
        if kind == "numeric":
            return None, None
        fine = names is None or (isinstance(names, list) and all(isinstance(name, str) for name in names))
        count = 2 if kind == "binary" else about.get("num_vals", len(names) if names is not None and fine else None)
        fine = fine and (names is None or len(names) == count) and isinstance(count, int | None)
        if not fine or kind not in ("binary", "nominal"):
            raise unreadable(str(label), about)
        return count, names


def quoted(name: str) -> str:
    """Return a name as Spark reads it whatever is in it.

    >>> quoted("a.b")
    '`a.b`'
    """
    return "`" + name.replace("`", "``") + "`"


def _parts(name: str) -> list[str]:
    """Return the parts that Spark sees in a name; none where it is no name to Spark.

    >>> _parts("a.`b.c`"), _parts("a..b")
    (['a', 'b.c'], [])
    """
    part = r"(?:`(?:[^`]|``)+`|[^`.]+)"
    if not re.fullmatch(rf"{part}(?:\.{part})*", name):
        return []
    return [one[1:-1].replace("``", "`") if one[0] == "`" else one for one in re.findall(part, name)]


def unreadable(name: str, about: Any) -> DataError:
    """Return the error for metadata of a column that are not as Spark writes them."""
    return DataError(
        f"the metadata of column {name!r} are not as Spark ML writes them: ml_attr is {str(about)[:100]}.  To do: "
        f"take them away, df.withMetadata({name!r}, {{}})",
        code="data-metadata",
    )

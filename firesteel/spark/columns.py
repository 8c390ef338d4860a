"""Columns of DataFrames: names resolved as Spark does, and expressions that convert them to lists of numbers.

`Columns` has the names that the user gave, `NamedColumns` resolves them in a DataFrame.  It reads the schema once,
since on Spark Connect every access is a request to the server.
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
"""Maximum number of column names in a message."""


def check_names(columns: Any, role: str) -> None:
    """Raise ConfigError unless `columns` is a column name or a non-empty list of names."""
    names = [columns] if isinstance(columns, str) else list(columns) if isinstance(columns, Joined) else columns
    if not isinstance(names, list | tuple) or not names or not all(isinstance(name, str) for name in names):
        raise ConfigError(
            f"{role.rstrip('=')}={columns!r}: it must be a column's name, or a list of names", code="config-column"
        )


def check_name(column: Any, role: str) -> None:
    """Raise ConfigError unless `column` is a column name or None."""
    if column is not None and not isinstance(column, str):
        raise ConfigError(f"{role.rstrip('=')}={column!r}: it must be a column's name", code="config-column")


def listed(names: Any) -> Any:
    """Turn a list into a tuple; return anything else unchanged."""
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
    """The roles of the columns of a DataFrame, and the choice of validation rows.

    Args:
        features: Name or names of the features, or those of several inputs.
        label: Name or names of the label, or those of several outputs.
        weight: Name of the column of row weights.
        split: Fraction of validation rows, chosen by key; "auto" for the rows to decide.
        held: Name of the column that is true for validation rows.
        id: Name of the column that identifies rows and makes their keys.
        skip: Whether to leave out rows with nulls, NaN or infinite values, instead of raising an error.
        stage: Whether messages use the names of Params.
        classes: Whether targets are classes.
        positive: The word of the label that is class 1.
        raw: Whether features are columns of any type, whose schema is learned.
        kinds: Pairs of a raw column and its kind, if its type does not determine it.
        zone: Time zone of the days of raw timestamps.
        shape: Height, width and channels of pictures, if the layers define them.
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
        """Return the name that messages use for a role such as features: an argument of `fit` or a Param."""
        return WORDS[part][self.stage]

    def names(self) -> dict[str, str]:
        """Return how messages name features, label and weight, as a dictionary."""
        named = {part: getattr(self, part) for part in ("features", "label", "weight", "held", "id")}
        return {
            part: f"column {name!r}" if isinstance(name, str | None) else f"columns {', '.join(name)}"
            for part, name in named.items()
        }


class NamedColumns:
    """The columns of a DataFrame, with names resolved as Spark does."""

    def __init__(self, frame: DataFrame) -> None:
        self.frame = frame
        fields, sensitive = frame.schema.fields, frame.sparkSession.conf.get("spark.sql.caseSensitive")
        self.names = [known.name for known in fields]
        self.same = str if str(sensitive).lower() == "true" else str.lower
        self._fields: dict[str, list[T.StructField]] = {}
        for known in fields:
            self._fields.setdefault(self.same(known.name), []).append(known)

    def called(self, name: str) -> list[T.StructField]:
        """Return the top-level columns that a name matches; case matters only with spark.sql.caseSensitive."""
        return self._fields.get(self.same(name), [])

    def matching(self, name: str) -> list[tuple[str, T.StructField]]:
        """Return the columns and struct fields (`a.b`) that a name may mean, each with its quoted name.

        As in Spark, parts of a name may be in backticks; a column with a dot in its name does not need them.
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
        """Return the names of the first columns of certain types, for describing rows in messages."""
        alone = (found[0] for found in self._fields.values() if len(found) == 1)
        return [known.name for known in alone if isinstance(known.dataType, kinds)][:count]

    def column(self, name: str, role: str) -> tuple[Column, T.DataType]:
        """Return the Spark column with a name, and its type.

        Args:
            name: The name.
            role: The user's name of the column's part, for messages.

        Raises:
            DataError: If the column does not exist, or the name is ambiguous.
        """
        where, kind = self.one(name, role)
        return F.col(where), kind

    def one(self, name: str, role: str) -> tuple[str, T.DataType]:
        """Return the quoted name of a column, and its type.  Raises DataError as `column` does."""
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
                f"{len(found)} columns are called {name!r}: {remedy}, so that {role} is unambiguous",
                code="data-column",
            )
        return found[0][0], found[0][1].dataType

    def shown(self) -> str:
        """Return the names of all columns as text for messages."""
        more = f", ... ({len(self.names):,} columns)" if len(self.names) > SHOWN else ""
        return ", ".join(self.names[:SHOWN]) + more

    def check_free(self, names: Sequence[str], read: Columns | None = None) -> None:
        """Raise DataError if the DataFrame has columns with the names of a stage's output columns.

        Args:
            names: Names of the output columns.
            read: If given, only its features and label are compared, as scored rows may lack the other columns.
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
        """Return a numeric column as doubles.  Raises DataError for any other column."""
        return F.col(self._number(name, role)[0]).cast("double")

    def numbers(self, names: Sequence[str], role: str) -> Column:
        """Return numeric columns as one column of lists of doubles.  Raises DataError for any other columns.

        It is one SQL text, as a call per column for 10,000 columns would take longer than the job.
        """
        found = [self._number(name, role) for name in names]
        items = (where if isinstance(kind, T.DoubleType) else f"cast({where} as double)" for where, kind in found)
        return F.expr(f"array({', '.join(items)})")

    def _number(self, name: str, role: str) -> tuple[str, T.DataType]:
        """Return the quoted name of a numeric column, and its type.  Raises DataError for any other column."""
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
                f"column {name!r} holds text{shown}, in all of its rows: networks need numbers.  To do: {remedy}",
                code="data-text",
            )
        raise DataError(
            f"column {name!r} is {kind.simpleString()}: {role} takes numbers, arrays or vectors of them",
            code="data-type",
        )

    def boolean(self, name: str, role: str) -> Column:
        """Return a Boolean column.  Raises DataError for any other column."""
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
        as_vectors: bool = False,
        shape: Shape | None = None,
    ) -> Column:
        """Return the features as one column of lists or bytes.

        Args:
            features: A column of vectors, arrays, nested arrays, bytes (one value each), Spark's image structs or
                numbers; or a list of numeric columns.
            dtype: Dtype of the values of vectors and arrays.
            role: The user's name of the features, for messages.
            as_vectors: Whether vectors stay in Spark's representation, sparse ones without zeros.
            shape: Height, width and channels of pictures, if they are known.

        Raises:
            DataError: For any other column.
        """
        if isinstance(features, Joined):
            return self.joined(features, dtype, "input")
        if not isinstance(features, str):
            return self.numbers(features, role)
        column, kind = self.column(features, role)
        if isinstance(kind, VectorUDT):
            return column if as_vectors else F.when(column.isNotNull(), vector_to_array(column, dtype))
        if isinstance(kind, T.BinaryType):
            return pictures.plain(column, f"column {features!r}")
        if pictures.is_image(kind):
            return pictures.pixels(column, f"column {features!r}", shape)
        if (levels := pictures.depth(kind)) > 1:
            column, kind = pictures.flattened(column, levels, f"column {features!r}"), pictures.innermost(kind)
        if isinstance(kind, T.ArrayType) and isinstance(kind.elementType, T.NumericType):
            decimal = kind.elementType.typeName().startswith("decimal")  # NumPy has no decimals
            return column.cast("array<double>") if decimal else column
        return F.array(self.number(features, role))

    def stored(self, name: str, dtype: str) -> dict[str, Column]:
        """Split a column of Spark vectors into three columns, values, indices and size, which `arrow.whole` joins.

        Dense vectors have empty indices and size -1; x is null for a null vector.  Lists of float32 reach Python in
        half the time that vectors take; empty lists are faster than nulls.
        """
        parts = F.unwrap_udt(self.column(name, "features")[0])
        return {
            "x": parts["values"].cast("array<float>" if dtype == "float32" else "array<double>"),
            "indices": F.coalesce(parts["indices"], F.array().cast("array<int>")),
            "size": F.coalesce(parts["size"], F.lit(-1)),
        }

    def label(self, label: ColumnNames, role: str) -> Column:
        """Return the label or labels as one column of lists.  Raises DataError for columns that are not numeric."""
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
        """Concatenate the columns of several inputs or outputs to one column of lists.

        Args:
            columns: The columns.
            dtype: Dtype of vectors and arrays.
            part: "input" or "output".

        Raises:
            DataError: For columns of the wrong width; for arrays, Spark raises it at the first such row.
        """
        found = list[Column]()
        for name, names, size in zip(columns.names, columns.columns, columns.sizes, strict=True):
            role, width = f"{part} {name!r}", self.width(names, f"{part} {name!r}")
            made = self.features(names, dtype, role)
            which = f"column {names!r}" if isinstance(names, str) else f"columns {', '.join(names)}"
            if isinstance(names, str) and isinstance(self.one(names, role)[1], T.BinaryType):
                raise DataError(
                    f"{which} for {role} is binary: each of several {part}s needs numbers, arrays or vectors",
                    code="data-type",
                )
            if width not in (None, size):
                raise DataError(
                    f"{which} for {role} has {width} values in a row, but {size} are needed", code="data-width"
                )
            if width is None:
                text = F.lit(f"firesteel.errors.DataError: {which} for {role} has "), F.size(made).cast("string")
                wrong = F.raise_error(F.concat(*text, F.lit(f" values in a row, but {size} are needed [data-width]")))
                made = F.when(made.isNull() | (F.size(made) == size), made).otherwise(wrong)
            found.append(made.cast("array<float>" if dtype == "float32" else "array<double>"))
        return F.concat(*found)

    def width(self, names: str | tuple[str, ...], role: str) -> int | None:
        """Return the number of values per row of columns; None for arrays, vectors, bytes and structs."""
        if isinstance(names, str) and isinstance(
            self.one(names, role)[1], T.ArrayType | VectorUDT | T.BinaryType | T.StructType
        ):
            return None
        return 1 if isinstance(names, str) else len(names)

    def sized(self, columns: Any, part: str) -> Any:
        """Return the columns of several inputs or outputs with the number of values in each.

        Args:
            columns: The columns; anything but `Joined` is returned unchanged.
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
        """Return whether `names` is the name of a single column of Spark vectors."""
        return isinstance(names, str) and isinstance(self.matching(names)[0][1].dataType, VectorUDT)

    def _about(self, name: str) -> dict[str, Any]:
        """Return the metadata that Spark ML attached to a column, as a dict."""
        found = self.matching(name)
        about = found[0][1].metadata.get("ml_attr", {}) if found else {}
        if not isinstance(about, dict):
            raise unreadable(name, about)
        return about

    def known_features(self, features: ColumnNames) -> tuple[int | None, list[str] | None]:
        """Return the number of features and their names, each None if neither column list nor metadata give it."""
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
        """Return a feature name for each value of several inputs, such as `x[0]` where no name is known."""
        found = list[str]()
        for names, size in zip(columns.columns, columns.sizes, strict=True):
            known = self.known_features(names)[1] or ([str(names)] if size == 1 else None)
            found += known if known and len(known) == size else [f"{names}[{number}]" for number in range(size)]
        return found

    def classes(self, label: ColumnNames) -> tuple[int | None, list[str] | None]:
        """Return the label's number of classes and their names, each None if its metadata do not have them.

        As in Spark's own classifiers, nominal attributes list the values or their number, binary ones have two
        classes, and numeric ones have none.
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
    """Quote a column name for Spark.

    >>> quoted("a.b")
    '`a.b`'
    """
    return "`" + name.replace("`", "``") + "`"


def _parts(name: str) -> list[str]:
    """Split a name into its parts as Spark does; an invalid name has none.

    >>> _parts("a.`b.c`"), _parts("a..b")
    (['a', 'b.c'], [])
    """
    part = r"(?:`(?:[^`]|``)+`|[^`.]+)"
    if not re.fullmatch(rf"{part}(?:\.{part})*", name):
        return []
    return [one[1:-1].replace("``", "`") if one[0] == "`" else one for one in re.findall(part, name)]


def unreadable(name: str, about: Any) -> DataError:
    """Return the DataError for a column with malformed Spark ML metadata."""
    return DataError(
        f"the metadata of column {name!r} are not as Spark ML writes them: ml_attr is {str(about)[:100]}.  To do: "
        f"remove them with df.withMetadata({name!r}, {{}})",
        code="data-metadata",
    )

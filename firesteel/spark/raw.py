"""Raw table columns on executors: profiles them, and encodes them as flat rows of numbers.

The input is a struct of the columns c0, c1, ... that `tables.py` selects: text, integers and doubles.  Like
`packing.py` and `worker.py`, this module needs only NumPy and pyarrow.
"""

import pickle
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute  # noqa: F401  (pa.compute)

import firesteel
from firesteel.core.types import cached_property
from firesteel.spark import arrow
from firesteel.tables.profile import Profile, Words
from firesteel.tables.schema import TEXT, ColumnValues, Schema, from_days, hashed, shortened

PARTS = 16
"""Number of profiles that are gathered before they are added up."""
RAW, LABEL = "raw", "y"
"""Names of the batch columns with the raw columns and the label."""


@dataclass(frozen=True)
class RawColumns:
    """Describes the raw columns c0, c1, ...: their names, kinds and, once learned, the schema.

    Args:
        names: Their names.
        kinds: The kind of each, as in `ColumnValues`.
        categories: Numeric columns that hold categories.
        schema: The schema that encodes them as flat rows; None before it is learned.
        labels: The words of a text label, in the order of their numbers; None if it is not text or not known yet.
        text: Whether the label is text.
        version: The driver's version of firesteel.
    """

    names: tuple[str, ...]
    kinds: tuple[str, ...]
    categories: tuple[str, ...] = ()
    schema: Schema | None = None
    labels: tuple[str, ...] | None = None
    text: bool = False
    version: str = firesteel.__version__

    def values(self, struct: pa.Array) -> dict[str, ColumnValues]:
        """Convert the fields c0, c1, ... of a struct column to values, by column name."""
        columns = zip(self.names, self.kinds, struct.flatten(), strict=True)
        found = {name: values_of(column, kind) for name, kind, column in columns}
        return found | {name: found[name].as_text() for name in self.categories}

    def rows(self, struct: pa.Array) -> npt.NDArray[np.float32]:
        """Encode a struct column of the feature columns as rows (n, I) of numbers."""
        assert self.schema is not None
        return self.schema.encode(self.values(struct), len(struct))

    @staticmethod
    def struct(columns: Sequence[pa.Array]) -> pa.Array:
        """Combine Arrow columns into one struct column; return a struct column unchanged."""
        if pa.types.is_struct(columns[0].type):
            return columns[0]
        return pa.StructArray.from_arrays(columns, [f"c{n}" for n in range(len(columns))])

    def of_pandas(self, columns: Sequence[Any]) -> pa.Array:
        """Combine pandas columns into one struct column."""
        given = list(columns) if columns[0].ndim == 1 else [columns[0][name] for name in columns[0]]
        types = {TEXT: pa.string(), "float": pa.float64()}
        arrays = [
            pa.array(column, types.get(kind, pa.int64()), from_pandas=True)
            for column, kind in zip(given, self.kinds, strict=True)
        ]
        return self.struct(arrays)

    @cached_property
    def numbered(self) -> dict[str, int]:
        """Class index of each distinct text label, as a dictionary."""
        return {word: number for number, word in enumerate(self.labels or ())}

    def encoded(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Encode raw columns as flat rows in x, and a text label as numbers in y."""
        if self.text:
            y = values_of(batch.column(LABEL), TEXT)
            numbers = np.array([float(self.numbered.get(word, np.nan)) for word in y.words] or [np.nan])[y.data]
            there = ~y.absent
            starts = pa.array(np.append(0, there.cumsum()).astype(np.int32), mask=np.append(y.absent, False))
            made = pa.ListArray.from_arrays(starts, pa.array(numbers[there]))
            batch = batch.set_column(batch.schema.get_field_index(LABEL), LABEL, made)
        if self.schema is None:
            return batch
        return batch.drop_columns([RAW]).append_column("x", arrow.lists(self.rows(batch.column(RAW))))


def values_of(column: pa.Array, kind: str) -> ColumnValues:
    """Convert an Arrow column to values of a kind: text, numbers, days for dates, microseconds for other times."""
    gone = column.is_null().to_numpy(zero_copy_only=False) if column.null_count else None
    if kind == TEXT:
        found = column.dictionary_encode()
        codes = _full(found.indices)
        return ColumnValues(TEXT, codes, gone, arrow.texts(found.dictionary))
    data = _full(column)
    return ColumnValues(kind, from_days(data) if kind == "date" else data, gone)


def _full(column: pa.Array) -> npt.NDArray[Any]:
    """Replace nulls in a numeric column by 0, if it has any."""
    return (column.fill_null(0) if column.null_count else column).to_numpy(zero_copy_only=False)


def short_words(batches: arrow.Batches) -> Iterator[pa.RecordBatch]:
    """Shorten long words in batches to the form in which the schema stores them."""
    for batch in batches:
        words = pa.array(shortened(arrow.texts(batch.column("word"))), pa.string())
        yield batch.set_column(batch.schema.get_field_index("word"), "word", words)


# Profiles

PROFILE_SCHEMA = "profile binary"


@dataclass(frozen=True)
class TableProfile:
    """Profile of rows: of their feature columns and of their text labels.

    Args:
        profile: The profile of their columns.
        labels: The words of their text label.
        low: The smallest numeric label.
        high: The largest numeric label.
    """

    profile: Profile
    labels: Words
    low: float = np.inf
    high: float = -np.inf

    @staticmethod
    def sum(parts: list["TableProfile"], most: int) -> "TableProfile":
        """Add up profiles, with at most `most` words of the label."""
        labels = Words.sum([part.labels for part in parts], most)
        low, high = min(part.low for part in parts), max(part.high for part in parts)
        return TableProfile(Profile.sum([part.profile for part in parts]), labels, low, high)

    def batch(self) -> pa.RecordBatch:
        """Return a batch with one row of PROFILE_SCHEMA."""
        return arrow.record_batch(profile=[pickle.dumps(self, protocol=5)])

    @staticmethod
    def read(column: Any) -> list["TableProfile"]:
        """Read a column of profiles."""
        return [pickle.loads(one) for one in column.to_pylist()]


def profiled(raw: RawColumns, most: int, batches: arrow.Batches) -> Iterator[pa.RecordBatch]:
    """Profile a partition's rows; yield one profile, with at most `most` words of a text label."""
    arrow.check_version(raw.version)
    yield _folded((_found(raw, batch) for batch in batches if batch.num_rows), most).batch()


def merged(most: int, batches: arrow.Batches) -> Iterator[pa.RecordBatch]:
    """Add up the profiles of several partitions; yield the total, with at most `most` words of a text label."""
    parts = (part for batch in batches for part in TableProfile.read(batch.column("profile")))
    found = _folded(parts, most)
    if found.profile.extents or found.labels.hashes.size:
        yield found.batch()


def _found(raw: RawColumns, batch: pa.RecordBatch) -> TableProfile:
    columns = raw.values(batch.column(RAW)) if raw.names else {}
    if not raw.text:
        lists = batch.column(LABEL)
        profile = Profile.of(columns, batch.num_rows, _target(lists))
        numbers = lists.flatten().drop_null().to_numpy(zero_copy_only=False)
        numbers = numbers[np.isfinite(numbers)]
        return TableProfile(profile, NO_WORDS, *((numbers.min(), numbers.max()) if len(numbers) else ()))
    y = values_of(batch.column(LABEL), TEXT)
    texts = np.append(hashed(y.words) >> np.uint64(11), np.uint64(0)).astype(float)
    profile = Profile.of(columns, batch.num_rows, np.where(y.absent, np.nan, texts[y.data]))
    counts = np.bincount(y.data[~y.absent], minlength=len(y.words)).astype(np.int64)
    seen = np.flatnonzero(counts)
    words = np.array([*y.words, None], object)[seen]
    return TableProfile(profile, Words.sum([Words(hashed(words.tolist()), counts[seen], words)], len(words)))


def _target(lists: pa.Array) -> npt.NDArray[np.float64] | None:
    """Return the only number of each list, (n,), NaN if it is missing; None if lists have several numbers."""
    sizes = lists.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)
    if sizes.max(initial=0) > 1:
        return None
    found = np.full(len(lists), np.nan)
    found[sizes == 1] = lists.flatten().to_numpy(zero_copy_only=False)
    return found


NO_WORDS = Words(np.empty(0, np.uint64), np.empty(0, np.int64), np.empty(0, object))
NOTHING = TableProfile(Profile(0, {}, np.empty(0, np.uint64), {}, {}), NO_WORDS)


def _folded(parts: Iterator[TableProfile], most: int) -> TableProfile:
    gathered: list[TableProfile] = []
    for part in parts:
        gathered.append(part)
        if len(gathered) == PARTS:
            gathered = [TableProfile.sum(gathered, most)]
    return TableProfile.sum(gathered, most) if gathered else NOTHING

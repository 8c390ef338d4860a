"""The schema of a table: how its columns, of any type, are encoded as flat rows of numbers for a network.

`profile.py` learns a `Schema`, which is saved with the model, so that rows are always encoded as in training.
`core/layers/table.py` is the first layer of a network for such rows.
"""

import datetime
import hashlib
import itertools
import json
import math
import re
import zoneinfo
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass, replace
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from firesteel.core.layers import Table
from firesteel.core.spec import Spec, choice, finite, flag, integer, later, number, resolver, whole, word
from firesteel.core.types import Array, cached_property
from firesteel.errors import ConfigError, DataError

NUMBERS, TIMES = ("float", "integer", "boolean"), ("date", "timestamp", "wall")
TEXT, WRITTEN = "text", "written"
WORDS = (TEXT, WRITTEN)
"""Kinds of columns: "wall" times have no zone; "written" words are numbers or times converted to categories."""
UNSEEN, ABSENT = 0, 1
"""The codes of a category that training has not seen often enough, and of a missing one."""
MOVING = 4_000
"""Number of a table's categories above which a step updates only those in its batch."""
MOST_LEVELS = 1 << 16
"""Greatest number of words of a column with their own codes."""
MOST_RARE = 1 << 12
"""Greatest number of known rare words of a column."""
CLIP = 3.0
"""Limit of scaled numbers: z / sqrt(1 + (z / 3)^2)."""
TOGETHER = 1 << 17
"""Number of values scaled together."""
DAY, FARTHEST = 86_400_000_000, 106_750_000
"""Microseconds of a day, and the greatest number of days from 1970 whose microseconds fit int64."""
ELEMENT = re.compile(r"(.+)\[(\d+)\]", re.DOTALL)
"""Names of elements of arrays and vectors."""


@dataclass(frozen=True)
class ColumnValues:
    """Values of a table's column in a uniform format: numbers, codes of words, or times, and missing values.

    Args:
        kind: One of NUMBERS, WORDS or TIMES.
        data: Numbers, float64 or int64; or indices into `words`, int32; or microseconds since 1970, int64, in UTC, or
            in local time for "wall" times and dates.
        missing: Which values are missing, (n,); None if none is.
        words: The distinct words of a text column.
    """

    kind: str
    data: npt.NDArray[Any]
    missing: npt.NDArray[np.bool_] | None = None
    words: Sequence[str] = ()

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, rows: slice) -> "ColumnValues":
        return replace(self, data=self.data[rows], missing=None if self.missing is None else self.missing[rows])

    @cached_property
    def absent(self) -> npt.NDArray[np.bool_]:
        """Mask (n,) of the missing values; NaN counts as missing."""
        gone = np.zeros(len(self), bool) if self.missing is None else self.missing
        return gone | np.isnan(self.data) if self.data.dtype.kind == "f" else gone

    def as_text(self) -> "ColumnValues":
        """Return the column as text: numbers and times become words, such as "2.5" and "2024-12-31"."""
        if self.kind in WORDS:
            return self
        found, codes = np.unique(np.where(self.absent, 0, self.data), return_inverse=True)
        words = [_written(one, self.kind) for one in found.tolist()]
        return ColumnValues(WRITTEN, codes.astype(np.int32).reshape(-1), self.absent, words)


def _written(value: Any, kind: str) -> str:
    if kind == "boolean":
        return str(bool(value))
    if kind in TIMES:
        return str(np.datetime64(value, "us").astype("M8[D]" if kind == "date" else "M8[us]"))
    return str(int(value)) if math.isfinite(value) and value == int(value) else repr(value)


def from_days(days: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """Convert days since 1970 to microseconds, clipped to the range of int64."""
    return days.astype(np.int64).clip(-FARTHEST, FARTHEST) * DAY


def encoded(text: str) -> bytes:
    """Return the UTF-8 bytes of a word; words are sorted by them."""
    return text.encode("utf-8", "surrogatepass")


def shortened(words: Iterable[str]) -> list[str]:
    """Shorten words for storage: one of over 200 characters is replaced with its beginning and a hash."""
    return [word if len(word) <= LONGEST else _shortened(word) for word in words]


def _shortened(word: str) -> str:
    digest = hashlib.blake2b(encoded(word), digest_size=16).hexdigest()
    return f"{word[: LONGEST - 36]}... {digest}"


def hashed(words: Sequence[str]) -> npt.NDArray[np.uint64]:
    """Return a 64-bit hash of each word's UTF-8."""
    digests = b"".join([hashlib.blake2b(encoded(one), digest_size=8).digest() for one in words])
    return np.frombuffer(digests, "<u8").astype(np.uint64)


LONGEST = 200
"""Greatest length of a stored word."""


def _refused(what: str) -> ConfigError:
    return ConfigError(f"a table's {what}", code="config-value")


def _listed(given: Any, what: str) -> tuple[Any, ...]:
    if not isinstance(given, list | tuple):
        raise _refused(f"{what} must be a list, not {type(given).__name__}")
    return tuple(given)


def _name(given: Any) -> str:
    if not isinstance(given, str):
        raise _refused(f"column has the name {given!r}: names must be text")
    return given


def _centre(given: Any) -> float:
    value = whole(given) if whole(given) is not None else finite(given)
    if value is None or not math.isfinite(value):
        raise _refused(f"column has the centre {given!r}: it must be a finite number")
    return value


def _edges(given: Any) -> tuple[float, ...]:
    return Table(edges=(_listed(given, "edges"),)).edges[0]


def _values(given: Any) -> tuple[float, ...]:
    levels = tuple(_centre(one) for one in _listed(given, "levels"))
    if any(a >= b for a, b in itertools.pairwise(levels)):
        raise _refused("numeric column must have its levels in ascending order")
    return levels


def _words(given: Any) -> tuple[str, ...]:
    levels = _listed(given, "levels")
    if len(levels) > MOST_LEVELS or not all(isinstance(one, str) and len(one) <= LONGEST for one in levels):
        raise _refused(f"text column must have at most {MOST_LEVELS:,} levels, words of at most {LONGEST} characters")
    if any(a >= b for a, b in itertools.pairwise(map(encoded, levels))):
        raise _refused("text column must have its levels in ascending order of their UTF-8 bytes")
    return levels


def _hashes(given: Any) -> tuple[int, ...] | None:
    if given is None:
        return None
    found = tuple(whole(one) for one in _listed(given, "rare words"))
    if len(found) > MOST_RARE or not all(one is not None and one >= 0 for one in found):
        raise _refused(f"rare words must be hashes (integers of at least 0), at most {MOST_RARE:,} per column")
    return found  # type: ignore[return-value]


def _days(given: Any) -> tuple[int, ...]:
    days = tuple(whole(one) for one in _listed(given, "days"))
    if len(days) > MOST_LEVELS or None in days or any(a >= b for a, b in itertools.pairwise(days)):  # type: ignore[operator]
        raise _refused(f"time column must have at most {MOST_LEVELS:,} days, integers in ascending order")
    return days  # type: ignore[return-value]


def _cycles(given: Any) -> tuple[str, ...]:
    names = _listed(given, "cycles")
    if not all(isinstance(one, str) and one in CYCLES for one in names):
        raise _refused(f"time column has the cycles {given!r}: allowed are {', '.join(CYCLES)}")
    return tuple(one for one in CYCLES if one in names)


class TableColumn(Spec):
    """Base class of column encodings: scaled numbers, unscaled inputs and at most one category code."""

    name: str = choice(MISSING, _name)

    kinds: ClassVar[tuple[str, ...]] = ()
    """Kinds of values that it can encode."""

    @property
    def edges_of(self) -> list[tuple[float, ...]]:
        """Bin edges of each scaled number in the encoding of the column."""
        return []

    @property
    def plain_of(self) -> list[str]:
        """Names of the column's unscaled inputs, such as "colour=red" or "age is missing"."""
        return []

    @property
    def count(self) -> int:
        """Number of category codes of the column; 0 if its encoding has no category."""
        return 0

    unseen: ClassVar[float | None] = None
    """The share of categories treated as unseen in training, if it differs from the default."""

    def numbers(self, values: ColumnValues) -> list[Array]:
        """Return the scaled numbers of a column's values, (n,) each.

        `numbers_of` computes those of a `NumberColumn`.
        """
        return []

    def plain(self, values: ColumnValues) -> list[Array]:
        """Return the unscaled inputs of a column's values, (n,) each, in the order of `plain_of`."""
        return []

    def codes(self, values: ColumnValues) -> Array:
        """Return the category code of each value of the column, (n,)."""
        raise NotImplementedError


def scaled(data: npt.NDArray[Any], centre: Any, scale: Any) -> Array:
    """Return numbers scaled to (-3, 3): z / sqrt(1 + (z / 3)^2) with z = (x - centre) / scale; 0 for NaN.

    Args:
        data: The numbers x.
        centre: The centre, or an array that broadcasts with x.
        scale: The scale, or an array that broadcasts with x.
    """
    centre = np.asarray(centre)
    with np.errstate(invalid="ignore", over="ignore"):
        far = data.astype(float) - centre.astype(float)
        if data.dtype.kind == centre.dtype.kind == "i":  # exact unless the difference exceeds 63 bits
            far = np.where(np.abs(far) < 2.0**62, data - centre, far)
        z = np.clip(far / scale, -1e150, 1e150)
        z /= np.sqrt(1.0 + (z / CLIP) ** 2)
    z[np.isnan(z)] = 0.0
    return z


class NumberColumn(TableColumn):
    """Encoding of a numeric column, centred on its median and divided by its interquartile range.

    Args:
        name: Name of the column.
        centre: The median.
        scale: The interquartile range, or a substitute if that is 0.
        edges: The edges of its bins, in scaled numbers.
        missing: Whether training had missing values; then an input is 1 for missing values and 0 otherwise.
        levels: All values, if they are few and integral: each is then a category too.
    """

    centre: float = choice(0.0, _centre)
    scale: float = number(1.0, above=0.0, why="centred values are divided by scale")
    edges: tuple[float, ...] = choice((), _edges)
    missing: bool = flag(False)
    levels: tuple[float, ...] = choice((), _values)

    kinds = NUMBERS

    @property
    def edges_of(self) -> list[tuple[float, ...]]:
        return [self.edges]

    @property
    def plain_of(self) -> list[str]:
        return [f"{self.name} is missing"] if self.missing else []

    @property
    def count(self) -> int:
        return 2 + len(self.levels) if self.levels else 0

    def plain(self, values: ColumnValues) -> list[Array]:
        return [values.absent.astype(float)] if self.missing else []

    def codes(self, values: ColumnValues) -> Array:
        found = coded(values.data, np.array(self.levels))
        return np.where(values.absent, ABSENT if self.missing else UNSEEN, found)


def numbers_of(columns: Sequence[NumberColumn], values: Sequence[ColumnValues]) -> Array:
    """Scale the values of several numeric columns at once, (columns, n).

    The values must have one dtype, and the medians one type.
    """
    centres, scales = np.array([one.centre for one in columns]), np.array([one.scale for one in columns])
    z = scaled(np.stack([one.data for one in values]), centres[:, None], scales[:, None])
    for row, one in zip(z, values, strict=True):
        if one.missing is not None:
            row[one.missing] = 0.0
    return z


class CategoryColumn(TableColumn):
    """Encoding of a text column: 0/1 inputs if it has few distinct words, otherwise a category code.

    Args:
        name: Name of the column.
        levels: The words that occurred often enough, as `shortened` returns them, in the order of their UTF-8.
        missing: Whether training had missing values.
        one_hot: Whether each word has its own input, 0 or 1; two words share one, -1 or 1.
        written: Whether the words were numbers or times; then such columns are accepted too.
        rare: 63 bits of the hashes of words that occurred too seldom; None if there are too many.
    """

    levels: tuple[str, ...] = choice((), _words)
    missing: bool = flag(False)
    one_hot: bool = flag(True)
    written: bool = flag(False)
    rare: tuple[int, ...] | None = later(choice((), _hashes))

    @property
    def kinds(self) -> tuple[str, ...]:  # type: ignore[override]
        """Kinds of values that the column accepts: text, and numbers and times if it was learned from them."""
        return (*WORDS, *NUMBERS, *TIMES) if self.written else WORDS

    @cached_property
    def numbered(self) -> dict[str, int]:
        """Dictionary of the category code of each word."""
        return {level: code for code, level in enumerate(self.levels, 2)}

    @property
    def plain_of(self) -> list[str]:
        if not self.one_hot:
            return []
        shown = self.levels[1:] if len(self.levels) == 2 else self.levels
        return [f"{self.name}={level}" for level in shown] + ([f"{self.name} is missing"] if self.missing else [])

    @property
    def count(self) -> int:
        return 0 if self.one_hot else 2 + len(self.levels)

    def codes(self, values: ColumnValues) -> Array:
        text = values.as_text()
        of = np.array([self.numbered.get(one, UNSEEN) for one in shortened(text.words)] or [UNSEEN])
        gone = text.absent
        return np.where(gone, ABSENT if self.missing else UNSEEN, of[np.where(gone, 0, text.data)])

    def new(self, values: ColumnValues) -> npt.NDArray[np.bool_]:
        """Return a mask (n,) of the values that did not occur in training.

        Missing values are new if training had none.  No word is new if training had too many rare words to store.
        """
        text, rare = values.as_text(), np.array(self.rare or (), np.uint64)
        words = shortened(text.words)
        strange = np.array([one not in self.numbered for one in words] or [False])
        if self.rare is None:
            strange[:] = False
        elif strange.any():
            strange[strange] = ~np.isin(
                hashed([one for one in words if one not in self.numbered]) >> np.uint64(1), rare
            )
        return np.where(text.absent, not self.missing, strange[np.where(text.absent, 0, text.data)])

    def plain(self, values: ColumnValues) -> list[Array]:
        if not self.one_hot:
            return []
        codes = self.codes(values)
        if len(self.levels) == 2:
            found = [(codes == 3).astype(float) - (codes == 2)]
        else:
            found = [(codes == code).astype(float) for code in range(2, 2 + len(self.levels))]
        return found + ([(codes == ABSENT).astype(float)] if self.missing else [])


CYCLES: dict[str, Callable[[Array], Array]] = {
    "hour": lambda us: us % DAY / DAY,
    "weekday": lambda us: (us // DAY + 3) % 7 / 7,
    "yearday": lambda us: _of_year(us),
}
"""Periodic parts of a time as fractions of a period, from local microseconds."""


def _of_year(us: npt.NDArray[np.int64]) -> Array:
    day = (us // DAY).astype("M8[D]")
    return (day - day.astype("M8[Y]").astype("M8[D]")).astype(float) / 366


def clock(zone: str) -> datetime.tzinfo:
    """Return the time zone named "UTC", by an offset such as "+05:30", or by a place such as "Europe/Zurich".

    Raises:
        ConfigError: If the zone is unknown.
    """
    offset = re.fullmatch(r"([+-])(\d\d?)(?::([0-5]\d))?", zone.removeprefix("UTC").removeprefix("GMT"), re.ASCII)
    if offset and int(offset[2]) < 24:
        minutes = 60 * int(offset[2]) + int(offset[3] or 0)
        return datetime.timezone(datetime.timedelta(minutes=-minutes if offset[1] == "-" else minutes))
    try:
        return datetime.UTC if zone in ("UTC", "Z") else zoneinfo.ZoneInfo(zone)
    except (LookupError, ValueError, OSError):
        raise ConfigError(
            f"unknown time zone {zone!r}: use one such as 'Europe/Zurich' or '+01:00'; if the machine has no "
            "time-zone data, pip install tzdata",
            code="config-value",
        ) from None


def _zone(given: Any) -> str:
    clock(_name(given))
    return given


class TimeColumn(TableColumn):
    """Encoding of a date or time column: a number, and sine and cosine of hour, weekday and day of the year.

    Args:
        name: Name of the column.
        kind: "date", "timestamp" or "wall".
        centre: The median, in microseconds.
        scale: The interquartile range, in microseconds.
        edges: As in `NumberColumn`.
        missing: As in `NumberColumn`.
        cycles: Which of "hour", "weekday" and "yearday" vary.
        zone: Time zone of the hours and days of timestamps.
        days: Days since 1970 that are categories too, ascending.
    """

    kind: str = word(*TIMES)
    centre: int = integer(0, low=-(2**63), why="centre is a time in microseconds")
    scale: float = number(1.0, above=0.0, why="centred values are divided by scale")
    edges: tuple[float, ...] = choice((), _edges)
    missing: bool = flag(False)
    cycles: tuple[str, ...] = choice((), _cycles)
    zone: str = choice("UTC", _zone)
    days: tuple[int, ...] = choice((), _days)

    unseen = 0.3
    """Higher than usual, because future days are always unseen."""

    @property
    def kinds(self) -> tuple[str, ...]:  # type: ignore[override]
        """Kinds of values that the column accepts: only dates if it was learned from dates, otherwise all times."""
        return ("date",) if self.kind == "date" else TIMES

    @property
    def edges_of(self) -> list[tuple[float, ...]]:
        return [self.edges]

    @property
    def plain_of(self) -> list[str]:
        turns = [f"{self.name} {turn} of {cycle}" for cycle in self.cycles for turn in ("sine", "cosine")]
        return turns + ([f"{self.name} is missing"] if self.missing else [])

    def numbers(self, values: ColumnValues) -> list[Array]:
        us = values.data
        if self.kind == "timestamp" and values.kind != "timestamp":
            us = shifted(us, self.zone, back=True)
        elif self.kind == "wall":
            us = local(values, self.zone)
        z = scaled(us, self.centre, self.scale)
        z[values.absent] = 0.0
        return [z]

    def plain(self, values: ColumnValues) -> list[Array]:
        found, gone = list[Array](), values.absent
        us = local(values, self.zone) if self.cycles else values.data
        for cycle in self.cycles:
            turn = 2 * math.pi * CYCLES[cycle](us)
            found += [np.where(gone, 0.0, np.sin(turn)), np.where(gone, 0.0, np.cos(turn))]
        return found + ([gone.astype(float)] if self.missing else [])

    @property
    def count(self) -> int:
        return 2 + len(self.days) if self.days else 0

    def codes(self, values: ColumnValues) -> Array:
        found = coded(local(values, self.zone) // DAY, np.array(self.days))
        return np.where(values.absent, ABSENT if self.missing else UNSEEN, found)


def coded(values: npt.NDArray[Any], known: npt.NDArray[Any]) -> Array:
    """Return the category code of each value: 2 plus its index in the sorted array `known`, or UNSEEN."""
    at = np.minimum(np.searchsorted(known, values), len(known) - 1)
    return np.where(known[at] == values, at + 2, UNSEEN)


def local(values: ColumnValues, zone: str) -> npt.NDArray[np.int64]:
    """Convert timestamps to local time of a zone, in microseconds; dates and times without a zone stay unchanged."""
    return shifted(values.data, zone) if values.kind == "timestamp" else values.data


def shifted(us: npt.NDArray[np.int64], zone: str, back: bool = False) -> npt.NDArray[np.int64]:
    """Convert UTC to local time of a zone, or, with `back`, local time to UTC; in microseconds since 1970.

    An ambiguous local time means the first moment.  A zone's offset is assumed to change at most once a day, at a
    whole minute, as it has everywhere since 1973.
    """
    where = clock(zone)
    if where is datetime.UTC:
        return us
    us = us.clip(-(2**63) + 2 * DAY, 2**63 - 2 * DAY)  # leaves room for the shift
    begin = datetime.datetime(1970, 1, 1, tzinfo=where if back else datetime.UTC)

    def offsets(minutes: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        times = [begin + MINUTE * one for one in minutes.clip(LIMITS[0], LIMITS[1]).tolist()]
        found = [one.astimezone(where).utcoffset() or datetime.timedelta() for one in times]
        return np.array([round(one.total_seconds()) * 1_000_000 for one in found], np.int64)

    days, at = np.unique(us // DAY, return_inverse=True)
    first, last = offsets(1440 * days), offsets(1440 * days + 1439)
    shift, changing = first[at.reshape(-1)], (first != last)[at.reshape(-1)]
    minutes, at = np.unique(us[changing] // 60_000_000, return_inverse=True)
    shift[changing] = offsets(minutes)[at.reshape(-1)]
    return us - shift if back else us + shift


MINUTE = datetime.timedelta(minutes=1)
LIMITS = tuple(
    (datetime.datetime(year, month, 15) - datetime.datetime(1970, 1, 1)) // MINUTE
    for year, month in ((1, 1), (9999, 12))
)
"""Minutes since 1970 between which Python supports zones."""


COLUMNS: dict[str, Spec] = {
    "number": NumberColumn("a"),
    "category": CategoryColumn("a"),
    "time": TimeColumn("a", "date"),
}
column_of = resolver("a column", TableColumn, COLUMNS)


def _pair(given: Any) -> tuple[str, str]:
    pair = _listed(given, "left_out")
    if len(pair) != 2 or not all(isinstance(one, str) for one in pair):
        raise _refused("left_out must be pairs of a column name and a reason")
    return pair


class Schema(Spec):
    """Encoding of a table as rows of numbers: scaled numbers, then unscaled inputs, then category codes.

    Args:
        columns: The columns used, with their encodings.
        left_out: The columns not used, with the reasons.
    """

    columns: tuple[TableColumn, ...] = choice((), lambda given: tuple(map(column_of, _listed(given, "columns"))))
    left_out: tuple[tuple[str, str], ...] = choice((), lambda given: tuple(map(_pair, _listed(given, "left_out"))))

    def __post_init__(self) -> None:
        super().__post_init__()
        names = [*self.names, *(name for name, _ in self.left_out)]
        if len(set(names)) < len(names):
            raise _refused("columns must have different names")

    def to_config(self) -> dict[str, Any]:
        columns = [column.to_config() for column in self.columns]
        return {"type": "Schema", "columns": columns, "left_out": [list(one) for one in self.left_out]}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "Schema":
        """Create a schema from a dictionary returned by `to_config`.  Raises ConfigError if it is invalid."""
        if not isinstance(config, Mapping):
            raise _refused(f"description is of type {type(config).__name__}")
        return super().from_config(config)

    @property
    def names(self) -> list[str]:
        """Names of the encoded columns, without those left out."""
        return [column.name for column in self.columns]

    @cached_property
    def shape(self) -> tuple[int, int, int]:
        """Lengths of the parts of an encoded row: scaled numbers, unscaled inputs and category codes."""
        return (
            sum(len(column.edges_of) for column in self.columns),
            sum(len(column.plain_of) for column in self.columns),
            sum(column.count > 0 for column in self.columns),
        )

    def layer(self, given: Table) -> Table:
        """Return the network's first layer: a copy of the layer `given` with this schema's bins and categories."""
        edges = tuple(ends for column in self.columns for ends in column.edges_of)
        levels = tuple(column.count for column in self.columns if column.count)
        unseen = [column.unseen for column in self.columns if column.count]
        shares = tuple(given.unseen if one is None else one for one in unseen) if given.unseen and any(unseen) else ()
        moving = given.sparse_steps or sum(levels) > MOVING
        return replace(given, edges=edges, plain=self.shape[1], levels=levels, sparse_steps=moving, shares=shares)

    def fingerprint(self, network: str) -> str:
        """Return the SHA-256 of this schema together with `network`, the fingerprint of a network."""
        config = self.to_config()
        for column in config["columns"]:
            column.pop("rare", None)
        return hashlib.sha256(network.encode() + json.dumps(config).encode()).hexdigest()

    def origins(self) -> list[str]:
        """Return, for each number of an encoded row, the name of the column that it comes from."""
        parts: tuple[Callable[[TableColumn], int], ...] = (
            lambda one: len(one.edges_of),
            lambda one: len(one.plain_of),
            lambda one: int(one.count > 0),
        )
        return [column.name for part in parts for column in self.columns for _ in range(part(column))]

    def encode(self, given: Mapping[str, ColumnValues], rows: int) -> npt.NDArray[np.float32]:
        """Encode a table as rows of numbers, float32: scaled numbers, unscaled inputs, then category codes.

        Raises DataError for missing columns, or columns of another type than in training.
        """
        out = np.empty((rows, sum(self.shape)), np.float32)
        at, plain_at, code_at = 0, self.shape[0], self.shape[0] + self.shape[1]
        alike = dict[tuple[np.dtype[Any], type], list[tuple[int, NumberColumn, ColumnValues]]]()
        for column in self.columns:
            values = self._checked(column, given)
            if isinstance(column, NumberColumn):
                alike.setdefault((values.data.dtype, type(column.centre)), []).append((at, column, values))
                at += 1
            for part in column.numbers(values):
                out[:, at] = part
                at += 1
            for part in column.plain(values):
                out[:, plain_at] = part
                plain_at += 1
            if column.count:
                out[:, code_at] = column.codes(values)
                code_at += 1
        each = max(1, TOGETHER // max(1, rows))
        for some in alike.values():
            for begin in range(0, len(some), each):
                places, columns, those = zip(*some[begin : begin + each], strict=True)
                out[:, places] = numbers_of(columns, those).T
        return out

    def unseen(self, given: Mapping[str, ColumnValues]) -> Iterator[tuple[str, npt.NDArray[np.bool_]]]:
        """Yield the name of each text column, and a mask of the rows whose value did not occur in training."""
        for column in self.columns:
            if isinstance(column, CategoryColumn):
                yield column.name, column.new(given[column.name])

    def _checked(self, column: TableColumn, given: Mapping[str, ColumnValues]) -> ColumnValues:
        values = given.get(column.name)
        if values is None:
            raise DataError(
                f"there is no column {column.name!r}, which the model was trained on: the columns must include "
                f"{', '.join(self.names[:20])}",
                code="data-column",
            )
        if values.kind in column.kinds:
            return values
        if not values.absent.all():
            shown, *wanted = [SHOWN.get(kind, kind) for kind in (values.kind, *column.kinds)]
            raise DataError(
                f"column {column.name!r} holds {shown} values, but the model was trained on {' or '.join(wanted)} "
                "values: convert the column, or train the model again",
                code="data-type",
            )
        return ColumnValues(column.kinds[0], np.zeros(len(values), np.int64), np.ones(len(values), bool))


SHOWN = {"wall": "time", WRITTEN: "category"}
"""Names of kinds of columns in messages."""

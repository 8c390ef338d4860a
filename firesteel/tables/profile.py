"""Profile of a table (sampled rows, ranges, word counts), from which its schema (encoding) is learned.

Profiles add up over batches and partitions in any order, with bounded size: the sample holds the rows with the
smallest keys, and each column keeps the words with the smallest hashes, with exact counts.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from firesteel.core.layers.table import NARROWEST
from firesteel.core.types import Array
from firesteel.errors import DataError
from firesteel.tables.schema import (
    CYCLES,
    DAY,
    MOST_LEVELS,
    MOST_RARE,
    NUMBERS,
    TIMES,
    WORDS,
    WRITTEN,
    CategoryColumn,
    ColumnValues,
    NumberColumn,
    Schema,
    TableColumn,
    TimeColumn,
    encoded,
    hashed,
    local,
    scaled,
    shortened,
)
from firesteel.train.blocks import Keys, id_keys, row_keys

MOST_ROWS, MOST_VALUES = 1 << 16, 4_000_000
"""Greatest numbers of rows and of values in the sample."""
MOST_WORDS, FEWEST_WORDS = 1 << 16, 1 << 8
"""Greatest and least numbers of words that are kept of a column."""
ONE_HOT, FEW = 8, 12
"""Greatest number of words that are one-hot encoded, and of distinct integers that are categories too."""
FEWEST_BINS, MOST_BINS, TIME_BINS, ALL_BINS = 8, 32, 64, 4096
"""Least and greatest numbers of bins of a number, of a time, and of all numbers together."""
ALL_LEVELS = 1 << 19
"""Greatest number of words in all columns, so that reading a model file takes bounded memory."""
ALL_RARE = 1 << 16
"""Greatest number of known rare words in all columns."""
ROWS_A_BIN = 128
"""Number of rows per bin, between these limits."""
DAYS_SHARE, ROWS_A_DAY, MOST_CLASSES = 0.02, 8, 100
"""Days are categories if they explain this share of the target's variance and have so many rows each; and the
greatest number of distinct integers of a target that are classes."""
UNIQUE = 0.5
"""Share of distinct words among rows above which a text column is left out, as it cannot generalize."""


Sampled = tuple[Sequence[str], npt.NDArray[Any]]
"""Names of columns, and their values in the sample, (columns, k)."""
Numbers = tuple[Sequence[str], npt.NDArray[Any], npt.NDArray[np.bool_]]
"""Names of columns, their values, and which of them are missing, (columns, n) each."""


class Words(NamedTuple):
    """Sample of the distinct words of a text column, those with the smallest hashes, with their counts.

    Args:
        hashes: The hashes, ascending, (k,).
        counts: The number of occurrences of each word, (k,).
        words: The words, (k,).
    """

    hashes: Keys
    counts: npt.NDArray[np.int64]
    words: npt.NDArray[np.object_]

    @staticmethod
    def sum(parts: Sequence["Words"], most: int) -> "Words":
        """Merge samples of distinct words into one of at most `most` words.

        The counts of kept words are exact: a word's rank in a part is at most its rank in all.
        """
        hashes = np.concatenate([part.hashes for part in parts])
        found, first, where = np.unique(hashes, return_index=True, return_inverse=True)
        counts = np.zeros(len(found), np.int64)
        np.add.at(counts, where.reshape(-1), np.concatenate([part.counts for part in parts]))
        words = np.concatenate([part.words for part in parts])[first]
        return Words(found[:most], counts[:most], words[:most])

    def different(self, most: int) -> float:
        """Return the column's number of distinct words: exact below `most`, otherwise an estimate.

        Source: Bar-Yossef et al. 2002, in the form of Beyer et al. 2007, (k - 1) / the k-th smallest hash.
        """
        return len(self.hashes) if len(self.hashes) < most else (most - 1) / (float(self.hashes[-1]) / 2.0**64)


class Extent(NamedTuple):
    """Range of a column over all rows: kind of values, number of missing values, minimum and maximum.

    Args:
        kind: The kind of values.
        missing: Number of missing values.
        low: The smallest value.
        high: The largest value.
    """

    kind: str
    missing: int
    low: float
    high: float

    def plus(self, other: "Extent", name: str) -> "Extent":
        """Combine a column's ranges in two parts of a table.  Raises DataError if their kinds cannot be mixed."""
        if self.kind == other.kind:
            low, high = min(self.low, other.low), max(self.high, other.high)
            return Extent(self.kind, self.missing + other.missing, low, high)
        kinds = {one.kind for one in (self, other) if one.low <= one.high}
        kinds = kinds or {min(self.kind, other.kind)}
        if len(kinds) > 1:
            if not any(kinds <= set(alike) for alike in (NUMBERS, WORDS)):
                shown = " and ".join(sorted(kinds))
                raise DataError(
                    f"column {name!r} holds {shown} values: all values of a column must be of one kind",
                    code="data-type",
                )
            kinds = {"float"} if kinds <= set(NUMBERS) else {WRITTEN}
        return Extent(kinds.pop(), self.missing + other.missing, min(self.low, other.low), max(self.high, other.high))


@dataclass(frozen=True)
class Profile:
    """Summary of a table: number of rows, and each column's range, distinct words and sampled values.

    Args:
        rows: Number of rows.
        extents: The extent of each column.
        keys: The keys of the sampled rows, ascending, (k,).  Equal rows occur once.
        sample: The sampled values of each numeric or time column, (k,) each; NaN, or the smallest int64, if missing.
        words: The words of each text column.
        target: The target of the sampled rows, (k,); None if unknown.
    """

    rows: int
    extents: Mapping[str, Extent]
    keys: Keys
    sample: Mapping[str, npt.NDArray[Any]]
    words: Mapping[str, Words]
    target: Array | None = None

    @staticmethod
    def of(columns: Mapping[str, ColumnValues], rows: int, target: Array | None = None) -> "Profile":
        """Create the profile of the rows of a table, or of a part of them.

        Args:
            columns: The columns.
            rows: Number of rows.
            target: The target, (n,), if known.
        """
        known = {name: shortened(values.words) for name, values in columns.items() if values.kind in WORDS}
        hashes = {name: hashed(texts) for name, texts in known.items()}
        numbers, found, words = _numbers(columns, rows), dict[str, Extent](), dict[str, Words]()
        for names, data, gone in numbers:
            low, high = _ends(data, gone)
            given = zip(names, gone.sum(axis=1).tolist(), low, high, strict=True)
            found |= {name: Extent(columns[name].kind, *rest) for name, *rest in given}
        for name, texts in known.items():
            data, gone = columns[name].data, columns[name].absent
            counts = np.bincount(data[~gone], minlength=len(texts)).astype(np.int64)
            seen = np.flatnonzero(counts)
            some = Words(hashes[name][seen], counts[seen], np.array([*texts, None], object)[seen])
            words[name] = Words.sum([some], most_words(len(columns)))
            ends = (0, 1) if len(seen) else (np.inf, -np.inf)
            found[name] = Extent(columns[name].kind, int(gone.sum()), *ends)
        sample = [(names, data if data.dtype.kind == "f" else _marked(data, gone)) for names, data, gone in numbers]
        keys = _keys(columns, hashes, numbers, rows)
        keys, least, target = _smallest(keys, sample, target, sample_size(len(columns)))
        return Profile(rows, {name: found[name] for name in columns}, keys, least, words, target)

    @staticmethod
    def sum(parts: Iterable["Profile"]) -> "Profile":
        """Merge profiles of the parts of a table.  Raises DataError if a column's kinds cannot be mixed."""
        parts = list(parts)
        first, *rest = [part for part in parts if part.rows] or parts[:1]
        if not rest:
            return first
        extents = dict(first.extents)
        for part in rest:
            extents = {name: extent.plus(part.extents[name], name) for name, extent in extents.items()}
        texts = [name for name, extent in extents.items() if extent.kind in WORDS]
        words = dict[str, Words]()
        for name in texts:
            known = [part.words[name] for part in (first, *rest) if name in part.words]
            words[name] = Words.sum(known, most_words(len(extents)))
        floats = [name for name, extent in extents.items() if extent.kind == "float"]
        others = [name for name, extent in extents.items() if extent.kind not in ("float", *WORDS)]
        sample = [
            (names, np.concatenate([part._sampled(names, dtype) for part in (first, *rest)], axis=1))
            for names, dtype in ((floats, np.float64), (others, np.int64))
            if names
        ]
        keys = np.concatenate([part.keys for part in (first, *rest)])
        targets, target = [part.target for part in (first, *rest)], None
        if any(one is not None for one in targets):
            missing = [np.full(len(part.keys), np.nan) for part in (first, *rest)]
            target = np.concatenate([m if one is None else one for m, one in zip(missing, targets, strict=True)])
        keys, least, target = _smallest(keys, sample, target, sample_size(len(extents)))
        return Profile(sum(part.rows for part in parts), extents, keys, least, words, target)

    def __reduce__(self) -> tuple[Any, ...]:
        dtypes = ([name for name, data in self.sample.items() if data.dtype.kind == kind] for kind in "fi")
        sample = [(names, np.stack([self.sample[name] for name in names])) for names in dtypes if names]
        return _restored, (self.rows, self.extents, self.keys, sample, self.words, self.target)

    def _sampled(self, names: Sequence[str], dtype: type) -> npt.NDArray[Any]:
        """Return the sampled values of several columns as one array of the given dtype, (columns, k)."""
        found: npt.NDArray[Any] = np.empty((len(names), len(self.keys)), dtype)
        none = _nothing(np.dtype(dtype))
        for row, name in zip(found, names, strict=True):
            values = self.sample.get(name)
            if values is None or self.extents[name].low > self.extents[name].high:
                row[:] = none
            elif values.dtype == dtype:
                row[:] = values
            else:
                row[:] = np.where(values == _nothing(values.dtype), none, values.astype(dtype))
        return found

    def open_columns(self) -> list[str]:
        """Return the text columns with too many distinct words to store; their words must be counted separately."""
        most = most_words(len(self.extents))
        return [name for name, words in self.words.items() if len(words.hashes) >= most and not self.unique(name)]

    def most_levels(self) -> int:
        """Return the maximum number of words per column that get codes of their own."""
        return min(MOST_LEVELS, ALL_LEVELS // max(1, len(self.words)))

    def unique(self, name: str) -> bool:
        """Return whether over half of a text column's values are distinct (and more than 8), as in identifiers."""
        present = self.rows - self.extents[name].missing
        return self.words[name].different(most_words(len(self.extents))) > max(ONE_HOT, UNIQUE * present)


def sample_size(columns: int) -> int:
    """Return the maximum number of rows in the sample of a table with this number of columns."""
    return max(1, min(MOST_ROWS, MOST_VALUES // max(1, columns)))


def most_words(columns: int) -> int:
    """Return the maximum number of words stored per text column of a table with this number of columns."""
    return max(FEWEST_WORDS, min(MOST_WORDS, MOST_VALUES // max(1, columns)))


def _nothing(dtype: np.dtype[Any]) -> Any:
    """Return the value that marks missing values in a sample: NaN, or the smallest int64."""
    return np.float64(np.nan) if dtype.kind == "f" else np.int64(np.iinfo(np.int64).min)


def _restored(rows: int, extents: Mapping[str, Extent], keys: Keys, sample: Sequence[Sampled], *rest: Any) -> Profile:
    return Profile(rows, extents, keys, _by_name(sample), *rest)


def _by_name(sample: Sequence[Sampled]) -> dict[str, npt.NDArray[Any]]:
    return {name: values for names, data in sample for name, values in zip(names, data, strict=True)}


def _numbers(columns: Mapping[str, ColumnValues], rows: int) -> list[Numbers]:
    """Return the numeric and time columns, grouped by dtype: their names, values and masks of missing values.

    Values, (columns, n), have no -0.0; missing floats are NaN.
    """
    found = list[Numbers]()
    for kind in "fi":
        some = {name: one for name, one in columns.items() if one.kind not in WORDS and one.data.dtype.kind == kind}
        if not some:
            continue
        data = np.concatenate([one.data for one in some.values()]).reshape(len(some), rows)
        data += data.dtype.type(0)
        gone = np.isnan(data) if kind == "f" else np.zeros(data.shape, bool)
        for row, one in zip(gone, some.values(), strict=True):
            if one.missing is not None:
                row |= one.missing
        if kind == "f":
            data[gone] = np.nan
        found.append((list(some), data, gone))
    return found


def _ends(data: npt.NDArray[Any], gone: npt.NDArray[np.bool_]) -> tuple[list[float], list[float]]:
    """Return minimum and maximum of each row of a matrix, without missing values; inf, -inf if all are missing."""
    if data.dtype.kind == "f":
        lows, highs = np.fmin.reduce(data, axis=1, initial=np.inf), np.fmax.reduce(data, axis=1, initial=-np.inf)
        return lows.tolist(), highs.tolist()
    ends, nothing = np.iinfo(np.int64), np.all(gone, axis=1)
    lows = np.where(gone, ends.max, data).min(axis=1, initial=ends.max)
    highs = np.where(gone, ends.min, data).max(axis=1, initial=ends.min)
    ends_of = ((lows, np.inf), (highs, -np.inf))
    low, high = (
        [far if out else one for out, one in zip(nothing, some.tolist(), strict=True)] for some, far in ends_of
    )
    return low, high


def _marked(data: npt.NDArray[np.int64], gone: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """Replace missing integers with the smallest int64, the mark for missing values."""
    nothing = _nothing(data.dtype)
    return np.where(gone, nothing, np.maximum(data, nothing + 1))


def _smallest(
    keys: Keys, sample: Sequence[Sampled], target: Array | None, most: int
) -> tuple[Keys, dict[str, npt.NDArray[Any]], Array | None]:
    """Select the `most` rows with the smallest keys; of equal keys, the smallest value of each column."""
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    starts = np.flatnonzero(np.append(True, keys[1:] != keys[:-1])[: len(keys)])
    if len(starts) > most:
        order, starts = order[: starts[most]], starts[:most]

    def least(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        values = values[..., order]
        return values if len(starts) == len(order) else np.fmin.reduceat(values, starts, axis=-1)

    found = _by_name([(names, least(data)) for names, data in sample])
    return keys[starts], found, None if target is None else least(target)


def _keys(
    columns: Mapping[str, ColumnValues], hashes: Mapping[str, Keys], numbers: Sequence[Numbers], rows: int
) -> Keys:
    """Return a key of each row, a hash of its values; equal rows have equal keys, however they are batched."""
    some = max(1, MOST_VALUES // max(1, len(columns)))
    parts = [slice(at, min(at + some, rows)) for at in range(0, max(rows, 1), some)]
    return np.concatenate(
        [
            row_keys(_comparable(columns, hashes, numbers, part), np.zeros((part.stop - part.start, 1)))
            for part in parts
        ]
    )


def _comparable(
    columns: Mapping[str, ColumnValues], hashes: Mapping[str, Keys], numbers: Sequence[Numbers], rows: slice
) -> Array:
    """Convert rows to float64 so that equal rows stay equal; words and integers beyond 2^53 become hashes."""
    found, places = np.empty((rows.stop - rows.start, len(columns))), {name: at for at, name in enumerate(columns)}
    for name, known in hashes.items():
        data, gone = columns[name].data[rows], columns[name].absent[rows]
        data = np.append(known, np.uint64(0))[np.where(gone, -1, data)] >> np.uint64(11)
        found[:, places[name]] = np.where(gone, np.nan, data)
    for names, all_data, all_gone in numbers:
        data, gone = all_data[:, rows], all_gone[:, rows]
        if data.dtype.kind == "i" and (far := np.abs(data.astype(float)) >= 2**53).any():
            data = np.where(far, id_keys(data) >> np.uint64(11), data.astype(float))
        found[:, [places[name] for name in names]] = np.where(gone, np.nan, data).T
    return np.clip(found, -LARGEST, LARGEST, out=found)


LARGEST = np.finfo(np.float64).max

# Learning


def schema_of(columns: Mapping[str, ColumnValues], rows: int, zone: str = "UTC", y: Any = None) -> Schema:
    """Learn the schema (the encoding as numbers) of a table in memory.

    Args:
        columns: The columns.
        rows: Number of rows.
        zone: Time zone of the hours of timestamps.
        y: The target, in any form that users pass.
    """
    profile, counts = Profile.of(columns, rows, _target(y, rows)), dict[str, dict[str, int]]()
    for name in profile.open_columns():
        values = columns[name]
        found = np.bincount(values.data[~values.absent], minlength=len(values.words))
        counts[name] = dict.fromkeys(values.words, 0)
        for word, count in zip(values.words, found.tolist(), strict=True):
            counts[name][word] += count
    return learn(profile, counts=counts, zone=zone)


def _target(y: Any, rows: int) -> Array | None:
    """Convert a target to numbers or class numbers, (n,); return None for several targets, or invalid ones."""
    try:
        given = np.atleast_1d(y)[:rows]
    except ValueError:  # rows of different lengths
        return None
    if given.ndim == 2 and given.shape[1] > 1 and ((given == 0) | (given == 1)).all():  # one-hot
        given = given.argmax(axis=1)
    if given.dtype.kind in "USO" and given.ndim == 1:
        given = np.unique(given.astype(str), return_inverse=True)[1]
    flat = given.reshape(-1)
    return flat.astype(float) if len(flat) == rows and flat.dtype.kind in "biuf" else None


def learn(profile: Profile, *, counts: Mapping[str, Mapping[str, int]] | None = None, zone: str = "UTC") -> Schema:
    """Learn the schema of a table (the encoding of its columns as numbers) from its profile.

    Args:
        profile: The profile.
        counts: Counts of the most frequent words of each of `profile.open_columns()`.
        zone: Time zone of the hours and days of timestamps.

    Raises:
        DataError: If there are no rows, or no column can be learned from.
    """
    if not profile.rows:
        raise DataError("the table has no rows: give at least one", code="data-empty")
    numbers = sum(extent.kind not in WORDS for extent in profile.extents.values())
    usual = min(max(FEWEST_BINS, profile.rows // ROWS_A_BIN), ALL_BINS // max(1, numbers))
    most = profile.most_levels()
    found, left_out = list[TableColumn](), list[tuple[str, str]]()
    for name, extent in profile.extents.items():
        if extent.low > extent.high:
            learned: TableColumn | str = "every value is missing"
        elif extent.kind in WORDS:
            learned = _category(profile, name, (counts or {}).get(name), most)
        elif extent.low == extent.high:
            learned = "one value in all rows" if not extent.missing else _number(profile, name, 0, zone)
        else:
            learned = _number(profile, name, min(usual, TIME_BINS if extent.kind in TIMES else MOST_BINS), zone)
        if isinstance(learned, str):
            left_out.append((name, learned))
        else:
            found.append(learned)
    if not found:
        shown = "; ".join(f"{name}: {why}" for name, why in left_out[:5]) or "there are no columns"
        raise DataError(
            f"no column can be used ({shown}): add columns whose values vary and repeat", code="data-column"
        )
    return Schema(tuple(found), tuple(left_out))


def _category(profile: Profile, name: str, counts: Mapping[str, int] | None, most: int) -> TableColumn | str:
    words, missing = profile.words[name], profile.extents[name].missing > 0
    if profile.unique(name):
        return "nearly every row has a word of its own"
    if len(words.hashes) == 1 and not missing:
        return "one value in all rows"
    least = max(2, profile.rows // 100_000)
    known = counts if counts is not None else dict(zip(words.words.tolist(), words.counts.tolist(), strict=True))
    counted = zip(shortened(known), known.values(), strict=True)
    frequent = sorted((-count, encoded(one), one) for one, count in counted if count >= least)[:most]
    levels = tuple(sorted([one for _, _, one in frequent], key=encoded))
    if not levels and not missing:
        return f"no value occurs {least} times"
    others = np.setdiff1d(words.hashes, hashed(levels)) >> np.uint64(1)
    whole = len(words.hashes) < most_words(len(profile.extents))
    rare = tuple(others.tolist()) if whole and len(others) <= min(MOST_RARE, ALL_RARE // len(profile.words)) else None
    return CategoryColumn(name, levels, missing, len(levels) <= ONE_HOT, profile.extents[name].kind == WRITTEN, rare)


def _number(profile: Profile, name: str, bins: int, zone: str) -> TableColumn:
    extent, values = profile.extents[name], profile.sample[name]
    there = np.isfinite(values) & (values != _nothing(values.dtype))
    known = np.sort(values[there])
    last = len(known) - 1
    centre = known[last // 2].item() if last >= 0 else values.dtype.type(0).item()
    spread = float(known[last - last // 4].item() - known[last // 4].item()) if last >= 0 else 0.0
    scale = spread if spread > 0 else float(extent.high - extent.low) / 2
    scale = scale if 0 < scale < np.inf else max(1.0, abs(float(centre)))
    edges = _quantiles(scaled(known, centre, scale), bins)
    given = (centre, scale, edges, extent.missing > 0)
    if extent.kind in TIMES:
        us = local(ColumnValues(extent.kind, known), zone)
        cycles = tuple(cycle for cycle, turn in CYCLES.items() if len(us) and np.ptp(turn(us)) > 0)
        days = (
            ()
            if profile.target is None
            else _days(local(ColumnValues(extent.kind, values[there]), zone), profile.target[there])
        )
        return TimeColumn(name, extent.kind, *given, cycles, zone, days)
    different = np.unique(known)
    few = 2 < len(different) <= FEW and (different == np.floor(different)).all()
    return NumberColumn(name, *given, tuple(different.tolist()) if few else ())


def _days(us: npt.NDArray[np.int64], target: Array) -> tuple[int, ...]:
    """Return the local days to encode as categories: those that occur twice or more, if days explain the target."""
    some = np.isfinite(target)
    found, at, rows = np.unique(us[some] // DAY, return_inverse=True, return_counts=True)
    if not 2 <= len(found) <= some.sum() / ROWS_A_DAY or explained(at.reshape(-1), target[some]) < DAYS_SHARE:
        return ()
    return tuple(found[rows > 1].tolist())


def explained(groups: npt.NDArray[np.intp], y: Array) -> float:
    """Estimate the share of the variance of y that groups of rows explain (omega squared); 0 if not significant.

    It is omega squared, (B - (k - 1) s) / (T + s), with the total sum of squares T, the part B between k groups, and
    s = (T - B) / (n - k).  Chance is ruled out if B is five standard deviations above its mean without effect.

    Args:
        groups: The group of each row from 0 on, (n,); every group has a row.
        y: Numbers, (n,); at most MOST_CLASSES distinct integers are classes.

    Source: Hays 1963; for classes with the squares of Light and Margolin 1971.
    """
    n, rows = len(y), np.bincount(groups)
    values, classes = np.unique(y, return_inverse=True)
    if len(values) <= MOST_CLASSES and (values == np.floor(values)).all():
        cells, counts = np.unique(groups * len(values) + classes.reshape(-1), return_counts=True)
        same = np.bincount(cells // len(values), counts.astype(float) ** 2)
        overall = (np.bincount(classes.reshape(-1)).astype(float) ** 2).sum() / n
        total, between = n - overall, (same / rows).sum() - overall
    else:
        apart = y - y.mean()
        total, between = (apart**2).sum(), (np.bincount(groups, apart) ** 2 / rows).sum()
    free = len(rows) - 1
    if n <= len(rows) or not total > 0:
        return 0.0
    noise = (total - between) / (n - len(rows))
    certain = between > noise * (free + 5 * np.sqrt(2 * free))
    return float((between - free * noise) / (total + noise)) if certain else 0.0


def _quantiles(z: Array, bins: int) -> tuple[float, ...]:
    """Return bin edges at quantiles of z, as float32 values; none if z has fewer than three distinct values."""
    ends = np.sort(z.astype(np.float32)).astype(float)
    if not bins or len(np.unique(ends)) < 3:
        return ()
    edges = np.unique(ends[np.linspace(0, len(ends) - 1, bins + 1).round().astype(int)])
    edges = edges[np.append(True, np.diff(edges) > NARROWEST)]
    return tuple(edges.tolist()) if len(edges) > 1 else ()

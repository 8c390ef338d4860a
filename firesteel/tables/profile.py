"""The profile of a table: a sample of its rows, and how often words occur; and the schema that is learned from it.

Profiles add up over batches and partitions, in any order, and their size is bounded: the sample holds the rows with
the smallest keys, and of each column the words with the smallest hashes are kept, with exact counts.
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
"""The most rows in the sample, and values."""
MOST_WORDS, FEWEST_WORDS = 1 << 16, 1 << 8
"""The most words that are kept of a column, and how many are in any case."""
ONE_HOT, FEW = 8, 12
"""Up to so many words have an input each; up to so many whole numbers are categories too."""
FEWEST_BINS, MOST_BINS, TIME_BINS, ALL_BINS = 8, 32, 64, 4096
"""How many bins a number has at least and at most, a time at most, and all numbers together."""
ALL_LEVELS = 1 << 19
"""How many words all columns have together, at most: to read more takes more memory than their file may."""
ALL_RARE = 1 << 16
"""How many words all columns have together, at most, that are known to be rare."""
ROWS_A_BIN = 128
"""Between these a column has a bin for so many rows."""
DAYS_SHARE, ROWS_A_DAY, MOST_CLASSES = 0.02, 8, 100
"""Days are categories where they explain this share of the target's variance and have so many rows each; a target of
at most so many whole numbers is one of classes."""
UNIQUE = 0.5
"""A column of text with more different words than this share of its rows says nothing of new rows."""


class Words(NamedTuple):
    """Different words, those with the smallest hashes: hashes, ascending, and how often each occurs; (k,) each."""

    hashes: Keys
    counts: npt.NDArray[np.int64]
    words: npt.NDArray[np.object_]

    @staticmethod
    def sum(parts: Sequence["Words"], most: int) -> "Words":
        """Return at most so many words of all parts.

        The counts of those that stay are exact: in each part a word's rank is at most that in all.
        """
        hashes = np.concatenate([part.hashes for part in parts])
        found, first, where = np.unique(hashes, return_index=True, return_inverse=True)
        counts = np.zeros(len(found), np.int64)
        np.add.at(counts, where.reshape(-1), np.concatenate([part.counts for part in parts]))
        words = np.concatenate([part.words for part in parts])[first]
        return Words(found[:most], counts[:most], words[:most])

    def different(self, most: int) -> float:
        """Return how many different words there are: exactly below `most`, else an estimate.

        Source: Bar-Yossef et al. 2002, in the form of Beyer et al. 2007, (k - 1) / the k-th smallest hash.
        """
        return len(self.hashes) if len(self.hashes) < most else (most - 1) / (float(self.hashes[-1]) / 2.0**64)


class Extent(NamedTuple):
    """What is known of a column's values from all rows: how many are missing, the smallest and the largest."""

    kind: str
    missing: int
    low: float
    high: float

    def plus(self, other: "Extent", name: str) -> "Extent":
        """Return the extent of both.  Raises DataError where one has words and the other has numbers or times."""
        kinds = {one.kind for one in (self, other) if one.low <= one.high}
        kinds = kinds or {min(self.kind, other.kind)}
        if len(kinds) > 1:
            if not any(kinds <= set(alike) for alike in (NUMBERS, WORDS)):
                shown = " and ".join(sorted(kinds))
                raise DataError(
                    f"column {name!r} holds {shown} values: a column of a table has values of one kind",
                    code="data-type",
                )
            kinds = {"float"} if kinds <= set(NUMBERS) else {WRITTEN}
        return Extent(kinds.pop(), self.missing + other.missing, min(self.low, other.low), max(self.high, other.high))


@dataclass(frozen=True)
class Profile:
    """What is known of some rows of a table.

    Args:
        rows: How many they are.
        extents: The extent of each column.
        keys: The keys of the rows in the sample, ascending, (k,).  Rows that are equal are in it once.
        sample: Their values in each column of numbers or times, (k,) each; NaN, or the smallest int64, if missing.
        words: The words of each other column.
        target: What is predicted, of the rows in the sample, (k,); None where it is not known.
    """

    rows: int
    extents: Mapping[str, Extent]
    keys: Keys
    sample: Mapping[str, npt.NDArray[Any]]
    words: Mapping[str, Words]
    target: Array | None = None

    @staticmethod
    def of(columns: Mapping[str, ColumnValues], rows: int, target: Array | None = None) -> "Profile":
        """Return the profile of some rows.  target: (n,)"""
        known = {name: shortened(values.words) for name, values in columns.items() if values.kind in WORDS}
        hashes = {name: hashed(texts) for name, texts in known.items()}
        extents, sample, words = dict[str, Extent](), dict[str, npt.NDArray[Any]](), dict[str, Words]()
        for name, values in columns.items():
            gone = values.absent
            data = values.data + values.data.dtype.type(0)  # which leaves no -0.0
            some = data[~gone] if gone.any() else data
            low, high = np.inf, -np.inf
            if values.kind in WORDS:
                low, high = (0, 1) if len(some) else (low, high)
                counts = np.bincount(some, minlength=len(values.words)).astype(np.int64)
                seen = np.flatnonzero(counts)
                texts = np.array([*known[name], None], object)[seen]
                words[name] = Words.sum([Words(hashes[name][seen], counts[seen], texts)], most_words(len(columns)))
            else:
                low, high = (some.min().item(), some.max().item()) if len(some) else (low, high)
                nothing = _nothing(data.dtype)
                sample[name] = np.where(
                    gone, nothing, data if data.dtype.kind == "f" else np.maximum(data, nothing + 1)
                )
            extents[name] = Extent(values.kind, int(gone.sum()), low, high)
        keys, sample, target = _smallest(_keys(columns, hashes, rows), sample, target, sample_size(len(columns)))
        return Profile(rows, extents, keys, sample, words, target)

    @staticmethod
    def sum(parts: Iterable["Profile"]) -> "Profile":
        """Return the profile of all rows.  Raises DataError where a column holds values of different kinds."""
        parts = list(parts)
        first, *rest = [part for part in parts if part.rows] or parts[:1]
        extents = dict(first.extents)
        for part in rest:
            extents = {name: extent.plus(part.extents[name], name) for name, extent in extents.items()}
        sample, words = dict[str, npt.NDArray[Any]](), dict[str, Words]()
        for name, extent in extents.items():
            if extent.kind in WORDS:
                known = [part.words[name] for part in (first, *rest) if name in part.words]
                words[name] = Words.sum(known, most_words(len(extents)))
            else:
                sample[name] = np.concatenate([part._sampled(name, extent.kind) for part in (first, *rest)])
        keys = np.concatenate([part.keys for part in (first, *rest)])
        targets, target = [part.target for part in (first, *rest)], None
        if any(one is not None for one in targets):
            missing = [np.full(len(part.keys), np.nan) for part in (first, *rest)]
            target = np.concatenate([m if one is None else one for m, one in zip(missing, targets, strict=True)])
        keys, sample, target = _smallest(keys, sample, target, sample_size(len(extents)))
        return Profile(sum(part.rows for part in parts), extents, keys, sample, words, target)

    def _sampled(self, name: str, kind: str) -> npt.NDArray[Any]:
        """Return a column's values in the sample as those of another kind."""
        dtype = np.dtype(np.float64 if kind == "float" else np.int64)
        values = self.sample.get(name)
        if values is None or self.extents[name].low > self.extents[name].high:
            return np.full(len(self.keys), _nothing(dtype))
        return np.where(values == _nothing(values.dtype), _nothing(dtype), values.astype(dtype))

    def open_columns(self) -> list[str]:
        """Return the columns of text with more words than are kept, of which the commonest must be counted."""
        most = most_words(len(self.extents))
        return [name for name, words in self.words.items() if len(words.hashes) >= most and not self.unique(name)]

    def most_levels(self) -> int:
        """Return how many words each column has at most."""
        return min(MOST_LEVELS, ALL_LEVELS // max(1, len(self.words)))

    def unique(self, name: str) -> bool:
        """Return whether nearly every row has a word of its own in this column."""
        present = self.rows - self.extents[name].missing
        return self.words[name].different(most_words(len(self.extents))) > max(ONE_HOT, UNIQUE * present)


def sample_size(columns: int) -> int:
    """Return how many rows the sample of a table of so many columns has at most."""
    return max(1, min(MOST_ROWS, MOST_VALUES // max(1, columns)))


def most_words(columns: int) -> int:
    """Return how many words are kept of each column of a table of so many."""
    return max(FEWEST_WORDS, min(MOST_WORDS, MOST_VALUES // max(1, columns)))


def _nothing(dtype: np.dtype[Any]) -> Any:
    """Return what stands for a missing value in a sample."""
    return np.float64(np.nan) if dtype.kind == "f" else np.int64(np.iinfo(np.int64).min)


def _smallest(
    keys: Keys, sample: Mapping[str, npt.NDArray[Any]], target: Array | None, most: int
) -> tuple[Keys, dict[str, npt.NDArray[Any]], Array | None]:
    """Return the rows with the smallest keys; of rows with the same key the smallest value in each column."""
    columns = [*sample.values(), *([] if target is None else [target])]
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    starts = np.flatnonzero(np.append(True, keys[1:] != keys[:-1])[: len(keys)])
    if len(starts) > most:
        order, starts = order[: starts[most]], starts[:most]
    columns = [np.fmin.reduceat(values[order], starts) if len(starts) else values[order] for values in columns]
    return keys[starts], dict(zip(sample, columns, strict=False)), None if target is None else columns[-1]


def _keys(columns: Mapping[str, ColumnValues], hashes: Mapping[str, Keys], rows: int) -> Keys:
    """Return a key of each row; rows that are equal have the same, however they are batched."""
    some = max(1, MOST_VALUES // max(1, len(columns)))
    return np.concatenate(
        [
            row_keys(
                _comparable(columns, hashes, slice(at, min(at + some, rows))), np.zeros((min(some, rows - at), 1))
            )
            for at in range(0, max(rows, 1), some)
        ]
    )


def _comparable(columns: Mapping[str, ColumnValues], hashes: Mapping[str, Keys], rows: slice) -> Array:
    """Return rows of float64 that are equal where the rows are: hashes, of words and integers beyond 2^53."""
    found = np.empty((rows.stop - rows.start, len(columns)))
    for at, (name, values) in enumerate(columns.items()):
        data, gone = values.data[rows], values.absent[rows]
        if name in hashes:
            data = np.append(hashes[name], np.uint64(0))[np.where(gone, -1, data)] >> np.uint64(11)
        elif data.dtype.kind == "i" and (far := np.abs(data.astype(float)) >= 2**53).any():
            data = np.where(far, id_keys(data) >> np.uint64(11), data.astype(float))
        found[:, at] = np.where(gone, np.nan, data)
    return np.clip(found, -LARGEST, LARGEST, out=found)


LARGEST = np.finfo(np.float64).max

# Learning


def schema_of(columns: Mapping[str, ColumnValues], rows: int, zone: str = "UTC", y: Any = None) -> Schema:
    """Return the schema of columns whose rows are all in memory.

    zone: in which timestamps have their hours.  y: what is predicted, as users hand it over.
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
    """Return numbers, or the numbers of classes, (n,); None for several targets, or what is none."""
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
    """Return the schema of a table with this profile.

    Args:
        profile: What is known of its rows.
        counts: How often the commonest words occur, of each of `profile.open_columns()`.
        zone: The time zone in which timestamps have their hours and days.

    Raises:
        DataError: If there is nothing to learn from in any column, or no row.
    """
    if not profile.rows:
        raise DataError("the table has no rows to learn from: give some", code="data-empty")
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
        raise DataError(f"no column is left to learn from ({shown}): give others", code="data-column")
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
    """Return the days of local times that occur more than once, if they say much of the target; else none."""
    some = np.isfinite(target)
    found, at, rows = np.unique(us[some] // DAY, return_inverse=True, return_counts=True)
    if not 2 <= len(found) <= some.sum() / ROWS_A_DAY or explained(at.reshape(-1), target[some]) < DAYS_SHARE:
        return ()
    return tuple(found[rows > 1].tolist())


def explained(groups: npt.NDArray[np.intp], y: Array) -> float:
    """Return which share of the variance of y groups of rows explain in all rows; 0 where it may be by chance.

    groups: (n,), from 0 on, each with a row.  y: (n,), numbers; at most MOST_CLASSES whole ones are classes.

    It is omega squared, (B - (k - 1) s) / (T + s), of T, the squares of all rows, B, the part between k groups, and
    s = (T - B) / (n - k); beyond chance is a B that is five of its standard deviations above its mean without effect.

    Source: Hays 1963; of classes as Light and Margolin 1971 count squares.
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
    """Return the edges of bins with as many rows each, as float32 holds them; none for two values, or fewer."""
    ends = np.sort(z.astype(np.float32)).astype(float)
    if not bins or len(np.unique(ends)) < 3:
        return ()
    edges = np.unique(ends[np.linspace(0, len(ends) - 1, bins + 1).round().astype(int)])
    edges = edges[np.append(True, np.diff(edges) > NARROWEST)]
    return tuple(edges.tolist()) if len(edges) > 1 else ()

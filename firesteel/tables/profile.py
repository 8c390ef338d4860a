"""What is learned of a table's rows before a network is: a sample of them, and how often words occur.

A `Profile` adds up over batches and partitions in any order, and is bounded: numbers and times are known by the rows
with the smallest keys, words by those with the smallest hashes, whose counts are exact.  `learn` makes of it the
`Schema` that rows are encoded with.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from firesteel.core.types import Array
from firesteel.tables.schema import (
    CYCLES,
    TEXT,
    TIMES,
    CategoryColumn,
    ColumnValues,
    NumberColumn,
    Schema,
    TableColumn,
    TimeColumn,
    encoded,
    local,
    scaled,
)
from firesteel.train.blocks import Keys, row_keys

MOST_ROWS, MOST_VALUES = 1 << 16, 4_000_000
"""The most rows in the sample, and values."""
MOST_WORDS, FEWEST_WORDS = 1 << 16, 1 << 10
"""The most words that are kept of a column, and how many are in any case."""
ONE_HOT, FEW = 8, 12
"""Up to so many words have an input each; up to so many whole numbers are categories too."""
BINS, ALL_BINS = 16, 4096
"""The most bins of a number, and of all numbers."""
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

    def plus(self, other: "Extent") -> "Extent":
        """Return the extent of both; of a column without values the other's kind counts."""
        kind = other.kind if self.low > self.high else self.kind
        return Extent(kind, self.missing + other.missing, min(self.low, other.low), max(self.high, other.high))


def hashed(words: Sequence[str]) -> Keys:
    """Return a 64-bit hash of each word's UTF-8."""
    digests = b"".join([hashlib.blake2b(encoded(one), digest_size=8).digest() for one in words])
    return np.frombuffer(digests, "<u8").astype(np.uint64)


@dataclass(frozen=True)
class Profile:
    """Some rows of a table, in short.

    Args:
        rows: How many there were.
        extents: Of each column.
        keys: Of the rows in the sample, ascending, (k,).
        sample: Of numbers and times what these rows have, (k,) each; NaN, or the smallest whole number, if missing.
        words: Of each column of text.
    """

    rows: int
    extents: Mapping[str, Extent]
    keys: Keys
    sample: Mapping[str, npt.NDArray[Any]]
    words: Mapping[str, Words]

    @staticmethod
    def of(columns: Mapping[str, ColumnValues], rows: int) -> "Profile":
        """Return the profile of some rows."""
        hashes = {name: hashed(values.words) for name, values in columns.items() if values.kind == TEXT}
        keys = row_keys(_comparable(columns, hashes, rows), np.zeros((rows, 1)))
        keys, at = np.unique(keys, return_index=True)
        extents, sample, words = dict[str, Extent](), dict[str, npt.NDArray[Any]](), dict[str, Words]()
        at = at[: sample_size(len(columns))]
        for name, values in columns.items():
            gone = values.absent
            some = values.data[~gone]
            if values.kind == TEXT:
                low, high = (0.0, 1.0) if len(some) else (np.inf, -np.inf)
                counts = np.bincount(some, minlength=len(values.words)).astype(np.int64)
                seen = np.flatnonzero(counts)
                texts = np.array([*values.words, None], object)[seen]
                words[name] = Words.sum([Words(hashes[name][seen], counts[seen], texts)], most_words(len(columns)))
            else:
                finite = some[np.isfinite(some)] if some.dtype.kind == "f" else some
                low, high = (float(finite.min()), float(finite.max())) if len(finite) else (np.inf, -np.inf)
                empty = np.nan if values.data.dtype.kind == "f" else np.iinfo(np.int64).min
                sample[name] = np.where(gone, empty, values.data)[at]
            extents[name] = Extent(values.kind, int(gone.sum()), low, high)
        return Profile(rows, extents, keys[: len(at)], sample, words)

    @staticmethod
    def sum(parts: Iterable["Profile"]) -> "Profile":
        """Return the profile of all rows."""
        parts = [part for part in parts if part.rows] or list(parts)[:1]
        first, *rest = parts
        if not rest:
            return first
        count = len(first.extents)
        extents = dict(first.extents)
        for part in rest:
            extents = {name: extent.plus(part.extents[name]) for name, extent in extents.items()}
        keys, at = np.unique(np.concatenate([part.keys for part in parts]), return_index=True)
        at = at[: sample_size(count)]
        sample = {name: np.concatenate([part.sample[name] for part in parts])[at] for name in first.sample}
        words = {name: Words.sum([part.words[name] for part in parts], most_words(count)) for name in first.words}
        return Profile(sum(part.rows for part in parts), extents, keys[: len(at)], sample, words)

    def open_columns(self) -> list[str]:
        """Return the columns of text with more words than are kept, of which the commonest must be counted."""
        most = most_words(len(self.extents))
        return [name for name, words in self.words.items() if len(words.hashes) >= most and not self.unique(name)]

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


def _comparable(columns: Mapping[str, ColumnValues], hashes: Mapping[str, Keys], rows: int) -> Array:
    """Return rows of float64 that are equal where the rows are: what their keys are made of."""
    parts = list[Array]()
    for name, values in columns.items():
        gone = values.absent
        if values.kind == TEXT:
            of = np.append(hashes[name], np.uint64(0))[np.where(gone, -1, values.data)]
            parts += [
                np.where(gone, -1.0, half.astype(float)) for half in (of >> np.uint64(32), of & np.uint64(2**32 - 1))
            ]
        else:
            parts.append(np.where(gone, np.nan, values.data.astype(float)))
    return np.column_stack(parts) if parts else np.zeros((rows, 1))


# Learning


def schema_of(columns: Mapping[str, ColumnValues], rows: int) -> Schema:
    """Return how these columns become flat rows, of rows that are all in memory."""
    profile, counts = Profile.of(columns, rows), dict[str, dict[str, int]]()
    for name in profile.open_columns():
        values = columns[name]
        found = np.bincount(values.data[~values.absent], minlength=len(values.words))
        counts[name] = dict(zip(values.words, found.tolist(), strict=True))
    return learn(profile, counts=counts)


def learn(profile: Profile, *, counts: Mapping[str, Mapping[str, int]] | None = None, zone: str = "UTC") -> Schema:
    """Return how the columns of such a table become flat rows.

    Args:
        profile: Of the rows.
        counts: Of `profile.open_columns` the words that occur most, with how often.
        zone: Where the days of timestamps begin.
    """
    numbers = sum(extent.kind != TEXT for extent in profile.extents.values())
    bins = min(BINS, ALL_BINS // max(1, numbers))
    found, left_out = list[TableColumn](), list[tuple[str, str]]()
    for name, extent in profile.extents.items():
        if extent.low > extent.high:
            learned: TableColumn | str = "every value is missing"
        elif extent.kind == TEXT:
            learned = _category(profile, name, (counts or {}).get(name))
        elif extent.low == extent.high:
            learned = "one value in all rows" if not extent.missing else _number(profile, name, 0, zone)
        else:
            learned = _number(profile, name, bins, zone)
        if isinstance(learned, str):
            left_out.append((name, learned))
        else:
            found.append(learned)
    return Schema(tuple(found), tuple(left_out))


def _category(profile: Profile, name: str, counts: Mapping[str, int] | None) -> TableColumn | str:
    words, missing = profile.words[name], profile.extents[name].missing > 0
    if profile.unique(name):
        return "nearly every row has a word of its own"
    if len(words.hashes) == 1 and not missing:
        return "one value in all rows"
    least = max(2, profile.rows // 100_000)
    known = counts if counts is not None else dict(zip(words.words.tolist(), words.counts.tolist(), strict=True))
    frequent = sorted((-count, encoded(one), one) for one, count in known.items() if count >= least)[:MOST_WORDS]
    levels = sorted([one for _, _, one in frequent], key=encoded)
    return CategoryColumn(name, levels, missing, len(levels) <= ONE_HOT)  # type: ignore[arg-type]


def _number(profile: Profile, name: str, bins: int, zone: str) -> TableColumn:
    extent, values = profile.extents[name], profile.sample[name]
    known = values[~np.isnan(values)] if values.dtype.kind == "f" else values[values != np.iinfo(np.int64).min]
    known = np.sort(known[np.isfinite(known)])
    last = len(known) - 1
    centre = known[last // 2] if last >= 0 else values.dtype.type(0)
    spread = float(known[last - last // 4]) - float(known[last // 4]) if last >= 0 else 0.0
    scale = spread if spread > 0 else (extent.high - extent.low) / 2
    scale = scale if 0 < scale < np.inf else max(1.0, abs(float(centre)))
    given = {"name": name, "centre": centre.item(), "scale": scale, "missing": extent.missing > 0}
    z = np.unique(scaled(known, centre.item(), scale).astype(np.float32)) if len(known) else np.zeros(0)
    edges = _quantiles(scaled(known, centre.item(), scale), bins) if len(z) > 2 and bins else ()
    if extent.kind in TIMES:
        us = local(ColumnValues(extent.kind, known), zone)
        cycles = [name for name, turn in CYCLES.items() if len(us) and np.ptp(turn(us)) > 0]
        return TimeColumn(**given, edges=edges, kind=extent.kind, cycles=cycles, zone=zone)  # type: ignore[arg-type]
    different = np.unique(known)
    few = 2 < len(different) <= FEW and (different == np.floor(different)).all()
    return NumberColumn(**given, edges=edges, levels=different.tolist() if few else ())


def _quantiles(z: Array, bins: int) -> tuple[float, ...]:
    """Return the edges of bins with as many rows each, as float32 holds them."""
    at = np.linspace(0, len(z) - 1, bins + 1).round().astype(int)
    edges = np.unique(np.sort(z)[at].astype(np.float32))
    return tuple(edges.astype(float).tolist()) if len(edges) > 1 else ()

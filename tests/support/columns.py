"""A table with columns of every kind, and functions that slice, join and compare tables."""

import numpy as np

from firesteel.tables.profile import Profile
from firesteel.tables.schema import TEXT, ColumnValues


def words(texts, missing=()):
    """Return a column of text with missing values."""
    known = sorted(set(texts))
    gone = np.zeros(len(texts), bool)
    gone[list(missing)] = True
    codes = np.array([known.index(one) for one in texts], np.int32)
    return ColumnValues(TEXT, codes, gone, known)


def mixed(rows=400, seed=0):
    """Return a table with columns of every kind, with missing, infinite and very large values, and signed zeros."""
    rng = np.random.default_rng(seed)

    def gone(share=0.1):
        return rng.random(rows) < share

    far = rng.integers(-3, 3, rows)
    numbers = rng.normal(size=rows)
    numbers[:6] = np.nan, np.inf, -np.inf, 0.0, -0.0, 1e308
    days = rng.integers(-9000, 9000, rows) * 86_400_000_000
    moments = days + rng.integers(0, 86_400, rows) * 1_000_000
    return {
        "float": ColumnValues("float", numbers, gone()),
        "skewed": ColumnValues("float", np.exp(30 * rng.normal(size=rows))),
        "zeros": ColumnValues("float", rng.choice([0.0, -0.0, 1.0], rows)),
        "integer": ColumnValues("integer", rng.integers(0, 1000, rows), gone()),
        "far": ColumnValues("integer", far + np.where(far < 0, 2**63 - 1, 3 - 2**63)),
        "few": ColumnValues("integer", rng.integers(0, 7, rows) * 10, gone()),
        "boolean": ColumnValues("boolean", rng.integers(0, 2, rows), gone()),
        "date": ColumnValues("date", days, gone()),
        "timestamp": ColumnValues("timestamp", moments, gone()),
        "wall": ColumnValues("wall", moments),
        "colour": words(rng.choice(["red", "green", "blue"], rows).tolist(), range(0, rows, 7)),
        "town": words([f"town {one}" for one in rng.integers(0, 40, rows) ** 2 // 40]),
        "zip": ColumnValues("integer", rng.integers(0, 30, rows) + 8000, gone()).as_text(),
        "nothing": ColumnValues("float", np.full(rows, np.nan)),
        "one": words(["a"] * rows),
        "name": words([f"person {one}" for one in range(rows)]),
    }


def chosen(table, rows):
    """Return some rows of a table."""
    return {name: values[rows] for name, values in table.items()}


def profiles(table, parts):
    """Return the profile of each part; a part is a list of row numbers."""
    return [Profile.of(chosen(table, part), len(part)) for part in parts]


def written(profile):
    """Return the content of a profile, in a form that is equal only if the bits are."""
    return (
        profile.rows,
        {name: repr(extent) for name, extent in profile.extents.items()},
        profile.keys.tobytes(),
        {name: (one.dtype.str, one.tobytes()) for name, one in profile.sample.items()},
        {
            name: (one.hashes.tobytes(), one.counts.tolist(), one.words.tolist())
            for name, one in profile.words.items()
        },
    )

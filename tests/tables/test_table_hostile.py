"""Columns that mean harm are learned of, fitted, scored, saved and loaded, or refused in plain words."""

import datetime
import decimal
import math
import time

import numpy as np
import pandas as pd
import pytest

from firesteel.errors import DataError
from firesteel.layers import Dense, Table
from firesteel.models import Sequential, load_model
from firesteel.tables.containers import columns_of, values_of
from firesteel.tables.profile import MOST_VALUES, Profile, learn, most_words, sample_size
from firesteel.tables.schema import ColumnValues, NumberColumn, from_days, local

ROWS = 60
RNG = np.random.default_rng(0)
ODD = [
    "",
    " ",
    "\0",
    "a\0b",
    "\ud800",
    "😀",
    "e\u0301",
    "é",
    "None",
    "nan",
    "a=b",
    "is missing",
    "\u202e",
    "x" * 5000,
]


def some(values, every=7):
    """Return the values again and again, with gaps."""
    return [None if n % every == 3 else values[n % len(values)] for n in range(ROWS)]


HOSTILE = {
    "infinities": some([math.inf, -math.inf, 0.0, 1.0, 2.0]),
    "infinities alone": some([math.inf, -math.inf]),
    "tiny and huge": some([5e-324, 1e-310, 1e-42, 1e-38, 1.0, 1e38, 1e42, 1e308, -1e308]),
    "tiny": some([n * 5e-324 for n in range(40)]),
    "skewed": np.exp(40 * RNG.normal(size=ROWS)),
    "a spike": [0.0] * (ROWS - 1) + [1e300],
    "decimals": some([decimal.Decimal("9" * 38), -decimal.Decimal("9" * 38), decimal.Decimal("0." + "9" * 38)]),
    "ends of int64": some([2**63 - 1, 2**63 - 2, -(2**63), -(2**63) + 1, 0]),
    "far": 10**9 + np.arange(ROWS),
    "very far": 2**61 + np.arange(ROWS),
    "far and fractional": 1e9 + np.arange(ROWS) / 64,
    "uint64": np.array([2**64 - 1, 0, 2**63] * 20, np.uint64),
    "beyond all floats": some([10**400, 1, 2, 3]),
    "years": some([datetime.datetime(1, 1, 1), datetime.datetime(9999, 12, 31, 23, 59, 59, 999_999)]),
    "dates": some([datetime.date(1, 1, 1), datetime.date(9999, 12, 31), datetime.date(1970, 1, 1)]),
    "moments": some([datetime.datetime(y, 1, 2, tzinfo=datetime.UTC) for y in (1, 1883, 1969, 9999)]),
    "words": some(ODD, 15),
    "words and NaN": pd.Series(some(ODD, 15)).where(lambda one: one.notna(), np.nan),
    "many words": [f"{n % 20} {ODD[n % 14]}" for n in range(ROWS)],
    "a name": [f"person {n}" for n in range(ROWS)],
    "nothing": [None] * ROWS,
    "one value": [7] * ROWS,
    "one word": ["x"] * ROWS,
    "one value and gaps": some([7]),
    "one word and gaps": some(["x"]),
    "one row": [1] + [None] * (ROWS - 1),
}
NAMES = ["", " ", "a.b", "`a`", "a\0", "😀", "\ud800", "__class__", "type", "x" * 300]


def model():
    made = Sequential([Table(), Dense(8, "silu"), Dense(2, "softmax")])
    made.compile("adam", "sparse_categorical_crossentropy")
    return made


def fitted_and_read_again(table, folder):
    """Return a model that was fitted on the table, saved and loaded; it gives the same bits and finite ones."""
    made = model()
    made.fit(table, np.arange(ROWS) % 2, epochs=2, verbose=0)
    made.save(folder / "model")
    again = load_model(folder / "model")
    assert again.schema == made.schema
    found = made.predict(table)
    assert np.isfinite(found).all() and again.predict(table).tobytes() == found.tobytes()
    return again


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_column_is_fitted_and_scored(name, tmp_path):
    fitted_and_read_again({"a": HOSTILE[name], "n": np.arange(ROWS)}, tmp_path)


def test_all_of_them_under_names_that_mean_harm(tmp_path):
    table = {f"{NAMES[n % len(NAMES)]}{n // len(NAMES) or ''}": one for n, one in enumerate(HOSTILE.values())}
    made = fitted_and_read_again(table, tmp_path)
    assert set(made.schema.names) | {name for name, _ in made.schema.left_out} == set(table)
    assert {*made.schema.origins()} == {*made.schema.names}


def test_whatever_is_scored_later_is_finite():
    """Each hostile column, where each hostile column of its kind was trained on."""
    found = {name: columns_of({"a": one, "n": np.arange(ROWS)})[0] for name, one in HOSTILE.items()}
    tried = 0
    for trained in found.values():
        schema = learn(Profile.of(trained, ROWS))
        for given in found.values():
            try:
                x = schema.encode(given, ROWS)
            except DataError:
                continue
            tried += 1
            layer = schema.layer(Table())
            p = {key: np.ones(one.shape, np.float32) for key, one in layer.params((x.shape[1],)).items()}
            y, pull = layer.apply(p, x)
            d = pull(np.ones_like(y), {key: np.zeros_like(one) for key, one in p.items()}, True)
            assert np.isfinite(x).all() and np.isfinite(y).all() and np.isfinite(d).all()
    assert tried > 200


@pytest.mark.parametrize("far", [10**9, 2**53, 2**61, 1 - 2**63, 2**63 - 60])
def test_integers_far_from_zero_are_distinguished_like_near_ones(far):
    near, moved = np.arange(ROWS) ** 2 % 59, far + np.arange(ROWS) ** 2 % 59
    rows = [learn(Profile.of(*columns_of({"a": one}))).encode(*columns_of({"a": one})) for one in (near, moved)]
    assert rows[0].tobytes() == rows[1].tobytes()


def test_times_at_the_ends_of_int64_stay_where_they_are():
    far = np.array([-(2**63), -(2**62), 0, 2**62, 2**63 - 1])
    for zone in ("UTC", "Asia/Tokyo", "America/New_York"):
        assert (np.diff(local(ColumnValues("timestamp", far), zone)) > 0).all()
    assert (np.diff(from_days(np.array([-(2**31), -1, 0, 2**31 - 1]))) > 0).all()
    for unit in ("Y", "M", "D", "h", "s", "ms"):
        given = np.array([-(2**62), 0, 2**62]).astype(f"M8[{unit}]")
        assert (np.diff(values_of(given, "a").data) > 0).all(), unit


def test_missing_is_not_zero_nor_the_median():
    """Of numbers, whole ones, words, booleans and times: rows with a gap differ from all others."""
    columns = {
        "float": some([0.0, 0.5, -0.5, 3.0]),
        "integer": some([0, 1, 2, 3, 4]),
        "boolean": some([True, False]),
        "text": some(["", "0", "None", "nan"]),
        "date": some([datetime.date(1970, 1, 1), datetime.date(1970, 1, 2), datetime.date(1970, 1, 3)]),
    }
    for one in columns.values():
        given, rows = columns_of({"a": one})
        x = learn(Profile.of(given, rows)).encode(given, rows)
        gone = given["a"].absent
        assert gone.any() and not set(map(bytes, x[gone])) & set(map(bytes, x[~gone]))


@pytest.mark.slow
def test_ten_thousand_columns_are_learned_and_encoded():
    """Time and the size of what is learned grow with the columns alone."""
    wide = {f"column {n}": RNG.normal(size=50) if n % 2 else RNG.integers(0, 9, 50) for n in range(9_998)}
    wide |= {"word": [f"w{n % 5}" for n in range(50)], "day": np.arange(50).astype("M8[D]")}
    begin = time.process_time()
    columns, rows = columns_of(wide)
    profile = Profile.of(columns, rows)
    schema = learn(profile)
    x = schema.encode(columns, rows)
    assert len(schema.columns) == 10_000 and np.isfinite(x).all()
    assert not any(one.edges for one in schema.columns if isinstance(one, NumberColumn))
    assert time.process_time() - begin < 60


def test_the_sample_and_the_words_do_not_grow_with_the_columns():
    for columns in (1, 22, 1_000, 10_000):
        assert columns * sample_size(columns) <= MOST_VALUES and columns * most_words(columns) <= MOST_VALUES


def test_the_bins_grow_no_further_with_the_columns():
    for columns in (1, 100, 3_000):
        table = {f"{n}": RNG.normal(size=700) for n in range(columns)}
        schema = learn(Profile.of(*columns_of(table)))
        assert sum(len(one) - 1 for column in schema.columns for one in column.edges_of if one) <= 4096

"""Days that say much of the label are categories, too: which tables have some, and what becomes of other days."""

import numpy as np
import pytest

from firesteel.core.seeds import stream_for
from firesteel.errors import ConfigError
from firesteel.layers import Dense, Table
from firesteel.models import Sequential
from firesteel.tables.profile import Profile, explained, learn, schema_of
from firesteel.tables.schema import DAY, ColumnValues, Schema, column_of
from tests.support.columns import chosen

ROWS, DAYS = 2_000, 50


def moments(rows=ROWS, days=DAYS, seed=0):
    """Return a table of one column of times, and the day of each row."""
    rng = np.random.default_rng(seed)
    day = rng.integers(0, days, rows)
    return {"t": ColumnValues("timestamp", (day + 18_000) * DAY + rng.integers(0, DAY, rows))}, day


def effect(day, kind, size=1.0, seed=1):
    """Return a label of which the days explain a part: numbers, classes, words or one-hot rows of classes."""
    rng = np.random.default_rng(seed)
    numbers = size * rng.normal(size=DAYS)[day % DAYS] + rng.normal(size=len(day))
    classes = np.digitize(numbers, [-0.5, 0.5])
    return {
        "numbers": numbers,
        "classes": classes,
        "words": np.array(["a", "b", "c"])[classes],
        "objects": np.array(["a", "b", "c"], object)[classes],
        "one-hot": np.eye(3)[classes],
        "column": numbers.reshape(-1, 1),
    }[kind]


@pytest.mark.parametrize("kind", ["numbers", "classes", "words", "objects", "one-hot", "column"])
def test_days_are_categories_where_they_say_much_of_the_label(kind):
    table, day = moments()
    (column,) = schema_of(table, ROWS, y=effect(day, kind)).columns
    assert column.days == tuple(range(18_000, 18_000 + DAYS)) and column.count == 2 + DAYS
    assert schema_of(table, ROWS, y=effect(day, kind, size=0.0)).columns[0].days == ()


@pytest.mark.parametrize(
    "y", [None, np.ones(ROWS), np.full(ROWS, np.nan), np.ones((ROWS, 2)) * 0.5, "words", [1, 2], [[1], [2, 3]]]
)
def test_without_a_label_that_varies_no_day_is_a_category(y):
    assert schema_of(moments()[0], ROWS, y=y).columns[0].days == ()


def test_days_of_few_rows_are_none():
    table, day = moments(days=ROWS // 4)
    assert schema_of(table, ROWS, y=day.astype(float)).columns[0].days == ()


@pytest.mark.parametrize("kind", ["numbers", "classes"])
def test_they_are_the_same_of_any_split_in_any_order(kind):
    table, day = moments()
    y, rng = effect(day, kind).astype(float), np.random.default_rng(5)
    whole = learn(Profile.of(table, ROWS, y)).to_config()
    for parts in (2, 7, 60):
        cuts = np.array_split(rng.permutation(ROWS), parts)
        found = [Profile.of(chosen(table, rows), len(rows), y[rows]) for rows in cuts]
        found.append(Profile.of(chosen(table, slice(0, 0)), 0))
        assert learn(Profile.sum(found)).to_config() == whole
    shown = learn(Profile.sum([Profile.of(table, ROWS, y), Profile.of(table, ROWS)])).columns[0]
    assert shown.days, "rows whose label is not known do not count"


@pytest.mark.parametrize("kind", ["numbers", "classes"])
def test_omega_squared_is_the_share_of_the_variance_and_nothing_by_chance(kind):
    groups = np.random.default_rng(0).integers(0, 40, 20_000)
    means = np.random.default_rng(1).normal(size=40)
    noise = np.random.default_rng(2).normal(size=20_000)
    if kind == "numbers":  # both parts have a variance of nearly 1
        assert explained(groups, means[groups] + noise) == pytest.approx(means.var() / (means.var() + 1), abs=0.02)
    else:
        chances = 0.5 + 0.3 * np.sign(means)
        y = (np.random.default_rng(3).random(20_000) < chances[groups]).astype(float)
        assert explained(groups, y) == pytest.approx(chances[groups].var() / y.var(), abs=0.02)
    for seed in range(40):
        y = np.random.default_rng(seed).normal(size=20_000)
        assert explained(groups, y if kind == "numbers" else (y > 1).astype(float)) == 0.0


def test_a_day_is_that_of_the_zone_and_a_new_one_is_unseen():
    y = effect(moments()[1], "numbers")
    (column,) = schema_of(moments()[0], ROWS, "Asia/Tokyo", y).columns
    late = ColumnValues("timestamp", np.array([18_003 * DAY + 16 * DAY // 24, 18_003 * DAY, 10**6 * DAY, 0]))
    assert [column.days[int(code) - 2] if code else None for code in column.codes(late)] == [
        18_004,
        18_003,
        None,
        None,
    ]
    gone = ColumnValues("timestamp", np.zeros(1, np.int64), np.ones(1, bool))
    assert column.codes(gone) == [0]
    assert not list(Schema((column,)).unseen({"t": late})), "a new day is no word that training has not seen"


def test_new_days_are_trained_for_and_the_model_comes_back():
    table, day = moments()
    at = np.array(table["t"].data, "M8[us]")
    model = Sequential([Table(), Dense(8, "silu"), Dense(1)])
    model.compile("adam", "mse")
    model.fit({"t": at}, effect(day, "numbers"), epochs=1, verbose=0)
    front = model.layers[0]
    assert front.levels == (2 + DAYS,) and front.shares == (0.3,)
    again = Sequential.from_bytes(model.to_bytes())
    new = {"t": np.array(["2031-05-01T12:00", "2019-05-01T12:00"], "M8[us]")}
    assert (again.predict(new) == model.predict(new)).all() and again.fingerprint() == model.fingerprint()


@pytest.mark.parametrize("days", ["ab", [1.5], [3, 2], [1, 1], [2**70], [None], list(range(70_000))])
def test_days_that_are_none_are_refused(days):
    config = {"type": "TimeColumn", "name": "t", "kind": "date", "days": days}
    with pytest.raises(ConfigError):
        column_of(config)


@pytest.mark.parametrize("shares", [1.0, "a", [0.1, 1.0], [-0.1, 0], None, [np.nan]])
def test_a_share_of_unseen_ones_that_is_none_is_refused(shares):
    with pytest.raises(ConfigError):
        Table(levels=[3, 3], shares=shares)


def test_there_are_as_many_shares_as_columns():
    with pytest.raises(ConfigError, match="1 shares but 2 categorical columns"):
        Table(levels=[3, 3], shares=[0.5]).output_shape((2,))


def test_each_column_has_its_share_of_unseen_ones():
    front = Table(levels=[3, 3, 3], shares=[0.0, 0.3, 0.9], output_dim=1)
    model = Sequential([front, Dense(1)])
    model.build((None, 3))
    e = np.arange(9.0, dtype=np.float32).reshape(9, 1)
    y = front.apply({"e": e}, np.full((20_000, 3), 2.0, np.float32), stream_for(0, "test"))[0]
    assert (y != [2.0, 5.0, 8.0]).mean(axis=0) == pytest.approx([0.0, 0.3, 0.9], abs=0.02)

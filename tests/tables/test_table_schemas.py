"""A schema encodes each row by itself, survives JSON to the bit, and reads what it was learned of, or refuses."""

import copy
import datetime
import json
import zoneinfo

import numpy as np
import pytest

from firesteel.errors import ConfigError, DataError
from firesteel.layers import Dense, Table
from firesteel.models import Sequential
from firesteel.tables import schema as module
from firesteel.tables.profile import Profile, learn, schema_of
from firesteel.tables.schema import CategoryColumn, ColumnValues, NumberColumn, Schema, TimeColumn, clock, shifted
from tests.support.columns import chosen, mixed, words

US = 1_000_000
DAY = 86_400 * US


@pytest.fixture(scope="module")
def learned():
    return learn(Profile.of(mixed(), 400), zone="Asia/Kolkata")


def test_the_table_of_these_tests_has_columns_of_every_kind(learned):
    assert {type(one) for one in learned.columns} == {NumberColumn, CategoryColumn, TimeColumn}
    assert {one.kind for one in learned.columns if isinstance(one, TimeColumn)} == {"date", "timestamp", "wall"}
    assert any(one.count for one in learned.columns) and learned.left_out


def test_encoding_batches_is_encoding_the_whole(learned):
    fresh, rng = mixed(500, seed=9), np.random.default_rng(4)
    whole = learned.encode(fresh, 500)
    for parts in (2, 33, 500):
        rows = np.array_split(rng.permutation(500), parts)
        found = np.concatenate([learned.encode(chosen(fresh, part), len(part)) for part in rows])
        assert found.tobytes() == whole[np.concatenate(rows)].tobytes()


@pytest.mark.parametrize("values", [1, 1700])
def test_columns_are_scaled_together_as_separately(learned, monkeypatch, values):
    fresh = mixed(500, seed=9)
    assert (
        len({(fresh[one.name].data.dtype, type(one.centre)) for one in learned.columns if type(one) is NumberColumn})
        > 1
    )
    wanted = learned.encode(fresh, 500).tobytes()
    monkeypatch.setattr(module, "TOGETHER", values)
    assert learned.encode(fresh, 500).tobytes() == wanted


def test_rows_are_finite_whatever_comes(learned):
    found = learned.encode(mixed(500, seed=10), 500)
    numbers, plain, codes = learned.shape
    assert np.isfinite(found).all() and (np.abs(found[:, : numbers + plain]) <= 3).all()
    levels = [column.count for column in learned.columns if column.count]
    assert ((found[:, numbers + plain :] >= 0) & (found[:, numbers + plain :] < levels)).all()


def test_the_first_layer_takes_the_rows(learned):
    layer = learned.layer(Table())
    x = learned.encode(mixed(), 400)
    p = {name: np.ones(one.shape, np.float32) for name, one in layer.params((x.shape[1],)).items()}
    y, _ = layer.apply(p, x)
    assert y.shape == (400, *layer.output_shape((x.shape[1],))) and np.isfinite(y).all()
    assert len(learned.origins()) == x.shape[1]


def test_a_schema_survives_json_to_the_bit(learned):
    text = json.dumps(learned.to_config())
    again = Schema.from_config(json.loads(text))
    assert again == learned and json.dumps(again.to_config()) == text
    fresh = mixed(100, seed=11)
    assert again.encode(fresh, 100).tobytes() == learned.encode(fresh, 100).tobytes()


def test_words_of_every_kind_survive_json():
    levels = sorted(["", "a.b", "\0", "é", "😀", "\ud800", "\uffff", "a" * 200], key=module.encoded)
    schema = Schema((CategoryColumn("a.b\0😀", tuple(levels)),))
    assert Schema.from_config(json.loads(json.dumps(schema.to_config()))) == schema
    columns = {"a.b\0😀": words(levels)}
    assert schema.encode(columns, len(levels)).tolist() == np.eye(len(levels)).tolist()


NUMBER = {"type": "NumberColumn", "name": "n", "centre": 1, "scale": 2.0, "edges": [0.0, 1.0], "levels": [1, 2]}
CATEGORY = {"type": "CategoryColumn", "name": "c", "levels": ["a", "b"], "one_hot": True}
TIME = {"type": "TimeColumn", "name": "t", "kind": "date", "centre": 0, "cycles": ["hour"], "zone": "UTC"}
ODD = [
    None,
    True,
    -1,
    0.5,
    10**400,
    float("nan"),
    float("inf"),
    "x",
    "\0",
    [],
    [[]],
    [None],
    {},
    {"type": "x"},
    2**63,
]
NESTED = [
    [1, 1],
    [2, 1],
    [1, "2"],
    ["b", "a"],
    ["a", "a"],
    [["a", "b", "c"]],
    [["a", 1]],
    [0.0, 1e-40],
    [-1e308, 1e308],
]


@pytest.mark.parametrize("column", [NUMBER, CATEGORY, TIME], ids=lambda one: one["type"])
def test_a_description_that_means_harm_is_refused_or_makes_what_encodes(column):
    """Wrong types, sizes and orders in each field: never another error."""
    values = {"n": ColumnValues("integer", np.arange(4)), "c": words(list("abca"))}
    values["t"] = ColumnValues("date", np.arange(4) * DAY)
    refused = 0
    for field in (*column, "more"):
        for odd in (*ODD, *NESTED):
            config = {"type": "Schema", "columns": [{**column, field: copy.deepcopy(odd)}]}
            try:
                schema = Schema.from_config(config)
                found = schema.encode({**values, **{name: values[column["name"]] for name in schema.names}}, 4)
                assert np.isfinite(found).all()
                assert Schema.from_config(json.loads(json.dumps(schema.to_config()))) == schema
            except (ConfigError, DataError):
                refused += 1
    assert refused > 15 * len(column)


@pytest.mark.parametrize("config", [*ODD, *NESTED, {"columns": NUMBER}, {"columns": [NUMBER, NUMBER]}], ids=repr)
def test_a_list_of_columns_that_is_none_is_refused(config):
    """Wrong types, and columns that are there twice."""
    wrong = [{"type": "Schema", "columns": [config]}]
    if config not in (["b", "a"], ["a", "a"]):
        wrong.append({"type": "Schema", "left_out": [config]})
    if not isinstance(config, dict):
        wrong.append(config)
    if config != []:
        wrong += [{"type": "Schema", "columns": config}, {"type": "Schema", "left_out": config}]
    for one in wrong:
        with pytest.raises(ConfigError):
            Schema.from_config(one)


def test_a_column_cannot_be_used_and_left_out():
    with pytest.raises(ConfigError, match="different names"):
        Schema((NumberColumn("a"),), (("a", "one value"),))


@pytest.mark.parametrize(
    "zone",
    ["Europe/Nowhere", "", "../UTC", "/etc/passwd", "Europe", "+25:00", "+1:75", "UTC\0", "\ud800", "x" * 9999],
)
def test_a_zone_that_is_not_known_is_refused(zone):
    with pytest.raises(ConfigError, match="no time-zone data"):
        TimeColumn("t", zone=zone)


@pytest.mark.parametrize(
    ("zone", "seconds"),
    [("Z", 0), ("+01:00", 3600), ("-08", -28800), ("+5:30", 19800), ("UTC+9", 32400), ("GMT-03:30", -12600)],
)
def test_offsets_are_zones(zone, seconds):
    assert clock(zone).utcoffset(datetime.datetime(2020, 1, 1)).total_seconds() == seconds


@pytest.mark.parametrize(
    "zone", ["Europe/Zurich", "America/St_Johns", "Asia/Kathmandu", "Australia/Lord_Howe", "+05:30"]
)
def test_a_zone_agrees_with_python(zone):
    """Around changes of summer time, before 1970, and in the first and the last year."""
    utc, where = datetime.UTC, clock(zone)
    epoch = datetime.datetime(1970, 1, 1, tzinfo=utc)
    days = [
        (1, 1, 20),
        (1969, 7, 1),
        (1969, 12, 31),
        (2008, 11, 2),  # one minute past midnight in Newfoundland
        (2013, 3, 31),
        (2013, 10, 27),
        (2013, 11, 3),
        (2014, 4, 6),
        (9999, 12, 1),
    ]
    moments = [
        datetime.datetime(*day, tzinfo=utc) + datetime.timedelta(minutes=7 * n, microseconds=1)
        for day in days
        for n in range(-210, 210)
    ]
    us = np.array([(one - epoch) // datetime.timedelta(microseconds=1) for one in moments])
    walls = [one.astimezone(where).replace(tzinfo=utc) for one in moments]
    expected = [(one - epoch) // datetime.timedelta(microseconds=1) for one in walls]
    assert shifted(us, zone).tolist() == expected
    once = [not one.astimezone(where).fold for one in moments]
    assert shifted(np.array(expected), zone, back=True)[once].tolist() == us[once].tolist()


def test_the_largest_and_smallest_times_are_encoded():
    far = np.array([-(2**63) + 1, 2**63 - 1, 0])
    for kind in ("date", "timestamp", "wall"):
        column = ColumnValues(kind, far)
        schema = learn(Profile.of({"t": column}, 3), zone="Europe/Zurich")
        assert np.isfinite(schema.encode({"t": column}, 3)).all()


def time_table(kind, us, zone):
    column = {"t": ColumnValues(kind, us), "n": ColumnValues("integer", np.arange(len(us)))}
    return learn(Profile.of(column, len(us)), zone=zone), column


def test_a_date_a_wall_clock_and_a_moment_are_the_same_time():
    """What is scored may say less than what was trained on: a date is its midnight, a wall's clock is the zone's."""
    zone = "America/New_York"
    days = np.arange(0, 900, 7) * DAY
    hours = days + 5 * 3600 * US
    schema, columns = time_table("timestamp", shifted(hours, zone, back=True), zone)
    expected = schema.encode(columns, len(days))
    assert schema.encode({**columns, "t": ColumnValues("wall", hours)}, len(days)).tobytes() == expected.tobytes()
    schema, columns = time_table("wall", hours, zone)
    expected = schema.encode(columns, len(days))
    moments = ColumnValues("timestamp", shifted(hours, zone, back=True))
    assert schema.encode({**columns, "t": moments}, len(days)).tobytes() == expected.tobytes()
    dates = {**columns, "t": ColumnValues("date", days)}
    walls = {**columns, "t": ColumnValues("wall", days)}
    assert schema.encode(dates, len(days)).tobytes() == schema.encode(walls, len(days)).tobytes()


def test_a_time_where_a_date_was_is_refused():
    schema, columns = time_table("date", np.arange(9) * DAY, "UTC")
    with pytest.raises(DataError, match="'t' holds time values, but the model was trained on date values"):
        schema.encode({**columns, "t": ColumnValues("wall", np.arange(9) * DAY)}, 9)


def test_the_hour_of_a_moment_is_that_of_its_zone():
    """The sine and cosine of 06:00 are 1 and 0, on both sides of summer time."""
    zone = zoneinfo.ZoneInfo("Europe/Zurich")
    days = [datetime.datetime(2013, month, 15, 6 * n, tzinfo=zone) for month in (1, 7) for n in range(4)]
    us = np.array([int(one.timestamp()) * US for one in days])
    schema, columns = time_table("timestamp", us, "Europe/Zurich")
    at = schema.shape[0] + schema.columns[0].plain_of.index("t sine of hour")
    np.testing.assert_allclose(schema.encode(columns, 8)[:, at], [0, 1, 0, -1] * 2, atol=1e-6)


def scored(trained, given):
    """Return what encoding gives after training on one column, of this and of another one."""
    rows = len(trained)
    other = {"n": ColumnValues("integer", np.arange(rows))}
    schema = learn(Profile.of({"a": trained, **other}, rows))
    return schema.encode({"a": trained, **other}, rows), schema.encode({"a": given, **other}, rows)


def test_numbers_of_one_type_stand_for_those_of_another():
    for numbers in (np.arange(40) % 9, np.arange(40) + 10**9, np.arange(40) % 2):
        kinds = [ColumnValues("integer", numbers), ColumnValues("float", numbers.astype(float))]
        kinds += [ColumnValues("boolean", numbers)] if numbers.max() == 1 else []
        for trained in kinds:
            for given in kinds:
                one, two = scored(trained, given)
                assert one.tobytes() == two.tobytes()
    trained = ColumnValues("float", np.arange(40) / 4 + 0.25)
    one, two = scored(trained, ColumnValues("integer", np.arange(40)))
    low, high = one[:, 0].min(), one[:, 0].max()
    inside = two[:, 0][(np.arange(40) > 0.25) & (np.arange(40) < 10)]
    assert ((inside > low) & (inside < high)).all()
    np.testing.assert_array_equal(inside, one[3::4, 0][: len(inside)])


@pytest.mark.parametrize(
    ("trained", "given", "what"),
    [
        (words(list("abab")), ColumnValues("integer", np.arange(4)), "integer values, but .* text"),
        (words(list("abab")), ColumnValues("boolean", np.arange(4) % 2), "boolean values, but .* text"),
        (words(list("abab")), ColumnValues("date", np.arange(4) * DAY), "date values, but .* text"),
        (ColumnValues("integer", np.arange(4)), words(list("1212")), "text values, but .* float or integer"),
        (ColumnValues("date", np.arange(4) * DAY), words(list("1212")), "text values, but .* date"),
        (ColumnValues("date", np.arange(4) * DAY), ColumnValues("float", np.ones(4)), "float values, but .* date"),
        (
            ColumnValues("float", np.arange(4.0)),
            ColumnValues("date", np.arange(4) * DAY),
            "date values, but .* float",
        ),
    ],
)
def test_a_column_of_another_kind_is_refused(trained, given, what):
    with pytest.raises(DataError, match=f"'a' holds {what}"):
        scored(trained, given)


def test_numbers_that_were_made_a_category_are_read_as_numbers_and_as_words():
    numbers = np.arange(40) % 5
    trained = ColumnValues("integer", numbers).as_text()
    for given in (
        ColumnValues("integer", numbers),
        ColumnValues("float", numbers.astype(float)),
        words([str(n) for n in numbers]),
    ):
        one, two = scored(trained, given)
        assert one.tobytes() == two.tobytes() and len(np.unique(one[:, 1:], axis=0)) == 5


def test_a_column_without_a_value_is_read_whatever_its_kind():
    """As a list of None, of which nobody knows the kind, is."""
    table = mixed()
    schema = learn(Profile.of(table, 400))
    nothing = np.ones(400, bool)
    for name in schema.names:
        same = ColumnValues(table[name].kind, table[name].data, nothing, table[name].words)
        for kind, dtype in (("text", np.int32), ("float", np.float64), ("wall", np.int64)):
            other = ColumnValues(kind, np.zeros(400, dtype), nothing)
            found = [schema.encode({**table, name: one}, 400).tobytes() for one in (same, other)]
            assert found[0] == found[1]


def test_columns_may_be_more_and_in_another_order_but_not_fewer(learned):
    table = mixed()
    whole = learned.encode(table, 400)
    other = {"more": words(["a"] * 400), **dict(reversed(table.items()))}
    assert learned.encode(other, 400).tobytes() == whole.tobytes()
    for name in learned.names:
        with pytest.raises(DataError, match=f"there is no column '{name}'"):
            learned.encode({other: one for other, one in table.items() if other != name}, 400)


def test_what_was_never_missing_is_unseen_where_it_is():
    """Code 0 is trained, by categories that are taken for unseen ones; the code of what is missing would not be."""
    towns = words([f"town {n % 20}" for n in range(60)])
    table = {"a": towns, "n": ColumnValues("integer", np.arange(60) % 5)}
    schema = learn(Profile.of(table, 60))
    gone = np.ones(60, bool)
    absent = {
        "a": ColumnValues("text", towns.data, gone, towns.words),
        "n": ColumnValues("integer", table["n"].data, gone),
    }
    assert (schema.encode(absent, 60)[:, -2:] == 0).all()
    some = {"a": ColumnValues("text", towns.data, np.arange(60) < 1, towns.words), "n": table["n"]}
    assert learn(Profile.of(some, 60)).encode(absent, 60)[0, -1] == 0
    assert learn(Profile.of(some, 60)).encode(some, 60)[0, -2:].tolist() == [1, 2]


def test_a_word_that_training_had_once_is_not_new(monkeypatch):
    table = {"t": words("aabbcdx", missing=[6]), "x": ColumnValues("integer", np.arange(7)), "u": words([*"aaabbbb"])}
    made = schema_of(table, 7)
    assert made.columns[0].levels == ("a", "b") and len(made.columns[0].rare) == 2 and made.columns[2].rare == ()
    again = Schema.from_config(json.loads(json.dumps(made.to_config())))
    assert again == made and all(not new.any() for _, new in again.unseen(table))
    others = table | {"t": words([*"acde", "a" * 300, "x", "d"], missing=[5]), "u": words("abcxcba", missing=[3])}
    new = {name: np.flatnonzero(found).tolist() for name, found in again.unseen(others)}
    assert new == {"t": [3, 4], "u": [2, 3, 4]}
    monkeypatch.setattr("firesteel.tables.profile.ALL_RARE", 3)
    many = schema_of(table, 7)
    assert many.columns[0].rare is None and many.fingerprint("") == made.fingerprint("")
    assert not dict(many.unseen(others))["t"].any()
    with pytest.raises(ConfigError, match="rare words must be hashes"):
        CategoryColumn("t", rare=[-1])


def test_of_no_rows_there_are_no_outputs():
    towns = [f"town {n % 20}" for n in range(60)]
    model = Sequential([Table(), Dense(2, "softmax")])
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit({"a": towns}, np.arange(60) % 2, verbose=0)
    assert model.predict({"a": []}).shape == (0, 2)

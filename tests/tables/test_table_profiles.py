"""A profile is that of a set of rows, however they come; what is learned of it is a function of that set."""

import time
import tracemalloc

import numpy as np
import pytest

from firesteel.errors import DataError
from firesteel.tables import profile as module
from firesteel.tables.profile import Profile, learn, schema_of
from firesteel.tables.schema import ColumnValues, hashed
from tests.support.columns import chosen, mixed, profiles, words, written

SMALL = {"MOST_ROWS": 37, "MOST_WORDS": 11, "FEWEST_WORDS": 11}
"""Limits that the table of 400 rows goes beyond."""


@pytest.fixture(params=["ample", "small", "narrow"])
def limits(request, monkeypatch):
    chosen = {"ample": {}, "small": SMALL, "narrow": {"MOST_VALUES": 100, "FEWEST_WORDS": 3}}[request.param]
    for name, value in chosen.items():
        monkeypatch.setattr(module, name, value)


def test_the_profile_of_any_split_in_any_order_is_that_of_the_whole(limits):
    table, rng = mixed(), np.random.default_rng(1)
    whole = written(Profile.of(table, 400))
    for parts in (1, 2, 7, 60, 400):
        rows = np.array_split(rng.permutation(400), parts)
        assert written(Profile.sum(profiles(table, rows))) == whole


def test_profiles_add_up_in_any_tree(limits):
    table, rng = mixed(), np.random.default_rng(2)
    whole = written(Profile.of(table, 400))
    found = profiles(table, np.array_split(rng.permutation(400), 12))
    while len(found) > 1:
        left, right = found.pop(rng.integers(len(found))), found.pop(rng.integers(len(found)))
        found.append(Profile.sum(iter([left, right])))
    assert written(found[0]) == whole


def test_parts_without_rows_add_nothing(limits):
    table = mixed()
    none = Profile.of(chosen(table, slice(0, 0)), 0)
    whole = Profile.of(table, 400)
    assert written(Profile.sum([none, whole, none])) == written(whole)
    assert written(Profile.sum(iter([none, none]))) == written(none)


def test_what_is_learned_is_a_function_of_the_set_of_rows(limits):
    table, rng = mixed(), np.random.default_rng(3)
    for zone in ("UTC", "Asia/Kolkata"):
        config = repr(learn(Profile.of(table, 400), zone=zone).to_config())
        for _ in range(3):
            rows = rng.permutation(400)
            assert repr(learn(Profile.of(chosen(table, rows), 400), zone=zone).to_config()) == config


def test_the_numbers_of_words_decide_nothing():
    texts = ["b", "a", "b", "c", "a", "b"]
    again = ColumnValues("text", np.array([0, 3, 2, 4, 3, 0], np.int32), None, ["b", "unused", "b", "a", "c"])
    other = {"x": ColumnValues("integer", np.arange(6))}
    one, two = (Profile.of({"t": column, **other}, 6) for column in (words(texts), again))
    assert written(one) == written(two)


def test_a_part_where_a_column_is_all_missing_has_the_kind_of_the_others():
    """As where an object column holds nothing but None: its kind is not known."""
    table = mixed(40)
    nothing = {
        name: ColumnValues("float" if one.kind == "text" else "text", np.zeros(40, np.int32), np.ones(40, bool))
        for name, one in table.items()
    }
    nothing = {
        n: ColumnValues(c.kind, c.data.astype(float), c.missing) if c.kind == "float" else c
        for n, c in nothing.items()
    }
    same = {n: ColumnValues(c.kind, c.data, np.ones(40, bool), c.words) for n, c in table.items()}
    whole, absent, alike = (Profile.of(one, 40) for one in (table, nothing, same))
    for parts in ([whole, absent], [absent, whole], [absent, whole, absent]):
        expected = [alike if part is absent else part for part in parts]
        assert written(Profile.sum(parts)) == written(Profile.sum(expected))


def test_integers_in_one_part_and_floats_in_another_are_floats():
    parts = [np.array([1, 2, 3]), np.array([0.5, np.nan])]
    found = Profile.sum(
        Profile.of({"a": ColumnValues("float" if one.dtype.kind == "f" else "integer", one)}, len(one))
        for one in parts
    )
    whole = Profile.of({"a": ColumnValues("float", np.concatenate(parts))}, 5)
    assert written(found)[2:] == written(whole)[2:]
    assert found.extents["a"] == whole.extents["a"]


def test_words_in_one_part_and_numbers_in_another_are_refused():
    parts = [Profile.of({"a": one}, 2) for one in (words(["x", "y"]), ColumnValues("integer", np.arange(2)))]
    with pytest.raises(DataError, match="'a' holds integer and text values"):
        Profile.sum(parts)


def test_counts_of_words_are_exact_and_those_that_stay_have_the_smallest_hashes(monkeypatch):
    for name, value in SMALL.items():
        monkeypatch.setattr(module, name, value)
    texts = [f"town {n}" for n in np.random.default_rng(5).integers(0, 40, 900)]
    table = {"t": words(texts), "row": ColumnValues("integer", np.arange(900))}
    found = Profile.sum(profiles(table, np.array_split(np.arange(900), 9))).words["t"]
    smallest = sorted(set(texts), key=lambda one: hashed([one])[0])[: len(found.hashes)]
    assert found.words.tolist() == smallest
    assert found.counts.tolist() == [texts.count(one) for one in smallest]


def test_how_many_words_there_are_is_estimated_from_the_smallest_hashes():
    for different in (70_000, 300_000):
        column = ColumnValues("text", np.arange(different, dtype=np.int32), None, [str(n) for n in range(different)])
        found = Profile.of({"t": column}, different).words["t"]
        assert found.different(module.MOST_WORDS) == pytest.approx(different, rel=0.02)


def test_numbers_that_differ_beyond_the_digits_of_floats_differ():
    near = 2**62 + np.arange(4)
    schema = learn(Profile.of({"a": ColumnValues("integer", near)}, 4))
    z = schema.encode({"a": ColumnValues("integer", near)}, 4)[:, 0]
    assert (np.diff(z) > 0.3).all()


def test_the_most_frequent_of_too_many_words_are_known_in_any_order(monkeypatch):
    """The others are unseen; of words that are as common the first by their bytes are known."""
    monkeypatch.setattr(module, "MOST_LEVELS", 9)
    monkeypatch.setattr(module, "MOST_WORDS", 11)
    monkeypatch.setattr(module, "FEWEST_WORDS", 11)
    texts = [f"{n % 40:02d}" for n in range(400)] + ["39"] * 3 + ["38"] * 2
    table = {"t": words(texts), "n": ColumnValues("integer", np.arange(405))}
    assert Profile.of(table, 405).open_columns() == ["t"]
    rows = np.random.default_rng(6).permutation(405)
    for order in (np.arange(405), rows, rows[::-1]):
        levels = schema_of(chosen(table, order), 405).columns[0].levels
        assert levels == ("00", "01", "02", "03", "04", "05", "06", "38", "39")


def test_long_words_are_known_by_their_beginning_and_a_hash():
    """So that texts of a million characters cost no more than words, in the profile and in the model."""
    long = [f"{'x' * 1_000_000}{n}" for n in range(3)]
    column = words([long[n % 3] for n in range(12)])
    table = {"t": column, "n": ColumnValues("integer", np.arange(12))}
    profile = Profile.of(table, 12)
    schema = schema_of(table, 12)
    assert max(map(len, profile.words["t"].words)) == max(map(len, schema.columns[0].levels)) == 200
    assert len({row.tobytes() for row in schema.encode(table, 12)[:, 1:4]}) == 3
    most = {"t": {word: 4 for word in long}}
    assert learn(profile, counts=most) == schema


def test_words_that_are_listed_twice_are_counted_as_one(monkeypatch):
    monkeypatch.setattr(module, "MOST_WORDS", 2)
    monkeypatch.setattr(module, "FEWEST_WORDS", 2)
    column = ColumnValues("text", np.arange(12, dtype=np.int32) % 6, None, ["a", "b", "a", "c", "c", "d"])
    schema = schema_of({"t": column, "n": ColumnValues("integer", np.arange(12))}, 12)
    assert schema.columns[0].levels == ("a", "b", "c", "d")
    plain = schema.encode({"t": column, "n": ColumnValues("integer", np.arange(12))}, 12)[:, 1:5]
    assert plain[0].tolist() == plain[2].tolist() == [1, 0, 0, 0]


def test_infinities_alone_do_not_make_a_column_constant():
    column = ColumnValues("float", np.array([1.0, np.inf, 1.0, -np.inf]))
    schema = learn(Profile.of({"a": column}, 4))
    assert schema.encode({"a": column}, 4)[:, 0].tolist() == [0, 3, 0, -3]


@pytest.mark.parametrize(
    ("column", "why"),
    [
        (ColumnValues("float", np.full(9, np.nan)), "every value is missing"),
        (ColumnValues("float", np.full(9, np.inf)), "one value in all rows"),
        (ColumnValues("integer", np.full(9, 5)), "one value in all rows"),
        (words(["a"] * 9), "one value in all rows"),
        (words(list("abcdefghi")), "nearly every row has a word of its own"),
        (words(list("abcdefgh") * 1), "no value occurs 2 times"),
    ],
)
def test_a_column_without_information_is_left_out_with_the_reason(column, why):
    rows = len(column)
    table = {"a": column, "b": ColumnValues("integer", np.arange(rows))}
    schema = learn(Profile.of(table, rows))
    assert schema.left_out == (("a", why),)
    assert schema.names == ["b"]
    with pytest.raises(DataError, match=f"no column can be used .a: {why}"):
        learn(Profile.of({"a": column}, rows))


def test_a_table_without_rows_is_refused():
    with pytest.raises(DataError, match="the table has no rows"):
        learn(Profile.of(chosen(mixed(), slice(0, 0)), 0))


def test_one_value_and_missing_ones_say_which_is_missing():
    for column in (ColumnValues("float", np.array([5.0, np.nan, 5.0])), words(["a", "b", "a"], [1])):
        schema = learn(Profile.of({"a": column}, 3))
        assert len(np.unique(schema.encode({"a": column}, 3), axis=0)) == 2


@pytest.mark.slow
def test_a_million_different_words_are_profiled_in_bounded_time_and_memory():
    def part(number, rows=100_000):
        texts = [f"word {n}" for n in range(number * rows, (number + 1) * rows)]
        return Profile.of({"t": ColumnValues("text", np.arange(rows, dtype=np.int32), None, texts)}, rows)

    begin = time.process_time()
    found = part(0)
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    found = Profile.sum([found, part(1)])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    for number in range(2, 10):
        found = Profile.sum([found, part(number)])
    assert found.rows == 1_000_000
    assert len(found.words["t"].hashes) == module.MOST_WORDS
    assert found.words["t"].different(module.MOST_WORDS) == pytest.approx(1e6, rel=0.02)
    assert found.unique("t") and found.open_columns() == []
    assert peak - before < 150e6
    assert time.process_time() - begin < 30


def test_columns_with_too_many_words_together_keep_the_most_frequent(monkeypatch):
    monkeypatch.setattr(module, "ALL_LEVELS", 40)
    often = [f"{n:02}" for n in range(30) for _ in range(2 + n)]
    schema = learn(Profile.of({"a": words(often), "b": words(often[::-1])}, len(often)))
    assert [column.levels for column in schema.columns] == [tuple(f"{n:02}" for n in range(10, 30))] * 2

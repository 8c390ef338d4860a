"""Model files that say odd things of a table are refused as damaged; those of large tables are read again."""

import copy
import tracemalloc

import numpy as np
import pytest

from firesteel import _store as store
from firesteel.core.network import Network
from firesteel.errors import StoreError
from firesteel.layers import Dense, Table
from firesteel.models import Sequential
from firesteel.tables import words
from firesteel.tables.schema import MOST_LEVELS, CategoryColumn, Schema
from firesteel.tables.words import without_words
from tests.tables.test_table_schemas import NESTED, ODD


@pytest.fixture(scope="module")
def fitted():
    table = {"n": np.arange(60.0), "few": np.arange(60) % 5, "word": [f"w{n % 11}" for n in range(60)]}
    table["when"] = np.datetime64("2020-01-01") + np.arange(60)
    made = Sequential([Table(), Dense(2, "softmax")])
    made.compile("adam", "sparse_categorical_crossentropy")
    made.fit(table, np.arange(60) % 2, verbose=0)
    return made


def written(model, table, words=store.NONE, network=None):
    """Return the file of a model that says this of its table."""
    extra = {"compiled": model.get_compile_config(), "table": table}
    return store.to_bytes(network or model.network, model.theta, extra, words)


def places(described, path=()):
    """Yield the path of each value in a description."""
    pairs = described.items() if isinstance(described, dict) else enumerate(described[:2])
    for key, value in pairs:
        yield (*path, key)
        if isinstance(value, dict | list | tuple):
            yield from places(value, (*path, key))


def test_a_modified_file_is_refused_or_means_the_same(fitted):
    config, words = without_words(fitted.schema.to_config())
    assert Sequential.from_bytes(written(fitted, config, words)).schema == fitted.schema
    refused = tried = 0
    for path in places(config):
        for odd in (*ODD[:4], *ODD[7:], *NESTED):
            other = copy.deepcopy(config)
            at = other
            for key in path[:-1]:
                at[key] = list(at[key]) if isinstance(at[key], tuple) else at[key]
                at = at[key]
            at[path[-1]] = odd
            tried += 1
            try:
                again = Sequential.from_bytes(written(fitted, other, words))
                assert again.schema is None or again.schema.layer(Table()) == fitted.schema.layer(Table())
            except StoreError:
                refused += 1
    assert tried > 500 and refused > 0.9 * tried


@pytest.mark.parametrize("change", ["fewer", "more", "swapped", "none"])
def test_a_table_that_is_not_that_of_the_network_is_refused(fitted, change):
    config = fitted.schema.to_config()
    columns = config["columns"]
    columns = {
        "fewer": columns[1:],
        "more": [*columns, {**columns[0], "name": "more"}],
        "swapped": columns[::-1],
        "none": [],
    }[change]
    with pytest.raises(StoreError):
        Sequential.from_bytes(written(fitted, *without_words({**config, "columns": columns})))


def test_a_table_in_front_of_a_network_that_takes_none_is_refused(fitted):
    plain = Network.chain([Dense(2)], 1, "float32")
    table, words = without_words(fitted.schema.to_config())
    with pytest.raises(StoreError):
        Sequential.from_bytes(store.to_bytes(plain, np.zeros(4, np.float32), {"table": table}, words))


def test_names_and_words_of_every_kind_survive_a_file(fitted):
    words = ["", "\0", "\ud800", "😀", "a.b", "x" * 9999] * 4
    made = Sequential([Table(), Dense(1)])
    made.compile("sgd", "mse")
    made.fit({"\ud800\0😀": words, "": np.arange(24)}, np.arange(24.0), verbose=0)
    again = Sequential.from_bytes(made.to_bytes())
    assert again.schema == made.schema and again.fingerprint() == made.fingerprint()


def text(*words):
    """Words as the two arrays of a file."""
    parts = [word if isinstance(word, bytes) else word.encode() for word in words]
    return ends(*np.cumsum([len(part) for part in parts])) | letters(b"".join(parts))


def ends(*places):
    return {"word_ends": np.array(places, np.uint32)}


def letters(data):
    return {"words": np.frombuffer(data, np.uint8)}


FEWER = [f"w{n}" for n in range(10)]
WRONG = {
    "words that are beyond the text": lambda good: good | ends(*good["word_ends"][:-1], 2**32 - 1),
    "words that end before they begin": lambda good: good | ends(*good["word_ends"][::-1]),
    "text behind the last word": lambda good: good | letters(good["words"].tobytes() + b"x"),
    "words without text": lambda good: ends(*good["word_ends"]),
    "text without words": lambda good: letters(good["words"].tobytes()),
    "neither": lambda good: {},
    "a word less": lambda good: text(*FEWER),
    "a word more": lambda good: text(*FEWER, "x", "y"),
    "a word twice": lambda good: text(*FEWER, "w9"),
    "words out of order": lambda good: text("x", *FEWER),
    "what is no text": lambda good: text(*FEWER, b"\xff"),
    "a long word": lambda good: text(*FEWER, "x" * 201),
    "ends of other numbers": lambda good: good | {"word_ends": good["word_ends"].astype(np.float32)},
    "text of other numbers": lambda good: good | {"words": good["words"].astype(np.uint16)},
    "a table of ends": lambda good: good | {"word_ends": good["word_ends"].reshape(1, -1)},
}


@pytest.mark.parametrize("case", WRONG)
def test_words_that_are_none_of_a_table_are_refused(case):
    model = Sequential([Table(), Dense(1)])
    model.compile("sgd", "mse")
    model.fit({"word": [f"w{n % 11}" for n in range(44)]}, np.arange(44.0), verbose=0)
    table, good = without_words(model.schema.to_config())
    assert Sequential.from_bytes(written(model, table, good)).schema == model.schema
    with pytest.raises(StoreError, match="damaged|is not a firesteel model"):
        Sequential.from_bytes(written(model, table, WRONG[case](good)))


@pytest.mark.slow
@pytest.mark.parametrize("word", ["word {:07}", "сло {:07}", "{:07}" + "x" * 193])
def test_many_words_are_read_in_the_memory_that_a_file_may_take(word):
    """Eight columns of as many words as there can be: their description alone, as JSON, was refused."""
    levels = sorted(word.format(n) for n in range(MOST_LEVELS))
    columns = tuple(CategoryColumn(f"c{n}", levels, one_hot=False) for n in range(8))
    model = Sequential([Schema(columns).layer(Table(output_dim=1)), Dense(1)])
    model.build((None, 8))
    model.schema = Schema(columns)
    data = model.to_bytes()
    tracemalloc.start()
    again = Sequential.from_bytes(data)
    taken = tracemalloc.get_traced_memory()[1] + len(data)
    tracemalloc.stop()
    assert again.schema == model.schema and taken < 2 * len(data) + store.SPARE


def test_more_words_than_can_be_read_are_neither_read_nor_written(fitted, monkeypatch):
    data = fitted.to_bytes()
    for module in (store, words):
        monkeypatch.setattr(module, "memory_of", lambda count, text: 2**27)
    with pytest.raises(StoreError, match="it has too many words"):
        Sequential.from_bytes(data)
    with pytest.raises(StoreError, match="have 11 distinct values in total, but a file can hold about .*: leave out"):
        fitted.to_bytes()

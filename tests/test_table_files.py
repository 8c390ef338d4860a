"""Model files that say odd things of a table are refused as damaged; those of large tables are read again."""

import copy

import numpy as np
import pytest

from firesteel import _store as store
from firesteel.core.network import Network
from firesteel.errors import StoreError
from firesteel.layers import Dense, Table
from firesteel.models import Sequential
from tests.test_table_schemas import NESTED, ODD


@pytest.fixture(scope="module")
def fitted():
    table = {"n": np.arange(60.0), "few": np.arange(60) % 5, "word": [f"w{n % 11}" for n in range(60)]}
    table["when"] = np.datetime64("2020-01-01") + np.arange(60)
    made = Sequential([Table(), Dense(2, "softmax")])
    made.compile("adam", "sparse_categorical_crossentropy")
    made.fit(table, np.arange(60) % 2, verbose=0)
    return made


def written(model, table, network=None):
    """Return the file of a model that says this of its table."""
    extra = {"compiled": model.get_compile_config(), "table": table}
    return store.to_bytes(network or model.network, model.theta, extra)


def places(described, path=()):
    """Yield the path of each value in a description."""
    pairs = described.items() if isinstance(described, dict) else enumerate(described[:2])
    for key, value in pairs:
        yield (*path, key)
        if isinstance(value, dict | list | tuple):
            yield from places(value, (*path, key))


def test_a_file_that_says_something_odd_anywhere_is_refused_or_means_the_same(fitted):
    config = fitted.schema.to_config()
    assert Sequential.from_bytes(written(fitted, config)).schema == fitted.schema
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
                again = Sequential.from_bytes(written(fitted, other))
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
        Sequential.from_bytes(written(fitted, {**config, "columns": columns}))


def test_a_table_in_front_of_a_network_that_takes_none_is_refused(fitted):
    plain = Network.chain([Dense(2)], 1, "float32")
    extra = {"table": fitted.schema.to_config()}
    with pytest.raises(StoreError):
        Sequential.from_bytes(store.to_bytes(plain, np.zeros(4, np.float32), extra))


def test_names_and_words_of_every_kind_survive_a_file(fitted):
    words = ["", "\0", "\ud800", "😀", "a.b", "x" * 9999] * 4
    made = Sequential([Table(), Dense(1)])
    made.compile("sgd", "mse")
    made.fit({"\ud800\0😀": words, "": np.arange(24)}, np.arange(24.0), verbose=0)
    again = Sequential.from_bytes(made.to_bytes())
    assert again.schema == made.schema and again.fingerprint() == made.fingerprint()

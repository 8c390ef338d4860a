"""A table of raw columns on arrays: fitted, scored, saved, loaded and refused, in Keras's words."""

import numpy as np
import pytest

from firesteel.errors import ConfigError, DataError
from firesteel.layers import Dense, Dropout, Table
from firesteel.models import Sequential, load_model


def table(rows=300, seed=0):
    """Numbers with gaps, words few and many, booleans and times; and whether to expect a 1."""
    rng = np.random.default_rng(seed)
    age, town = rng.normal(40, 12, rows), rng.integers(0, 30, rows)
    y = (age / 40 + town / 15 + rng.normal(0, 0.3, rows) > 2).astype(int)
    age[rng.random(rows) < 0.1] = np.nan
    return {
        "age": age,
        "town": [None if n == 29 else f"town {n}" for n in town],
        "kind": list(np.array(["a", "b", "c"])[rng.integers(0, 3, rows)]),
        "member": rng.random(rows) < 0.5,
        "since": np.datetime64("2020-01-01", "s") + rng.integers(0, 10**7, rows),
    }, y


def model(*first):
    made = Sequential([*first, Table(), Dense(32, "silu"), Dropout(0.1), Dense(2, "softmax")])
    made.compile("adam", "sparse_categorical_crossentropy", ["accuracy"])
    return made


def test_a_table_is_fitted_scored_saved_and_loaded(tmp_path):
    x, y = table()
    made = model()
    made.fit(x, y, epochs=20, verbose=0)
    assert made.evaluate(x, y, verbose=0)[1] > 0.85
    made.save(tmp_path / "m")
    again = load_model(tmp_path / "m")
    assert again.schema == made.schema and again.fingerprint() == made.fingerprint()
    assert again.predict(x).tobytes() == made.predict(x).tobytes()
    again.fit(x, y, epochs=1, verbose=0)
    made.fit(x, y, epochs=1, verbose=0)
    assert again.fingerprint() == made.fingerprint()


def test_one_row_of_plain_values_is_scored_though_some_are_new_or_missing():
    x, y = table()
    made = model()
    made.fit(x, y, epochs=2, verbose=0)
    row = {"town": ["a new town"], "age": [None], "member": [True], "kind": ["d"], "since": [None], "more": [1]}
    assert np.isfinite(made.predict(row)).all()
    known = {name: values[:1] for name, values in x.items()}
    np.testing.assert_allclose(made.predict(known), made.predict(x)[:1], rtol=1e-5)


def test_what_is_held_out_is_not_learned_from():
    x, y = table()
    made, other = model(), model()
    made.fit(x, y, epochs=1, verbose=0, validation_split=0.5)
    first = {name: values[:150] for name, values in x.items()}
    other.fit(first, y[:150], epochs=1, verbose=0)
    assert made.schema == other.schema and made.fingerprint() == other.fingerprint()


def test_rows_that_are_refused_leave_the_table_unlearned():
    x, y = table()
    made = model()
    with pytest.raises(DataError, match="outside the range"):
        made.fit(x, y + 5, epochs=1, verbose=0)
    assert made.schema is None
    numbers = {"age": x["age"], "member": x["member"]}
    made.fit(numbers, y, epochs=1, verbose=0)
    assert made.schema.names == ["age", "member"]


def test_a_further_fit_keeps_what_was_learned():
    x, y = table()
    made = model()
    made.fit(x, y, epochs=1, verbose=0)
    before = made.schema
    made.fit(table(seed=1)[0], y, epochs=1, verbose=0)
    assert made.schema is before


@pytest.mark.parametrize(
    "change, code",
    [
        (lambda x: {name: x[name] for name in x if name != "town"}, "data-column"),
        (lambda x: x | {"town": np.arange(300.0)}, "data-type"),
        (lambda x: x | {"age": ["old"] * 300}, "data-type"),
        (lambda x: x | {"since": np.arange(300)}, "data-type"),
        (lambda x: x | {"age": x["age"][:5]}, "data-lengths"),
    ],
)
def test_columns_that_are_not_those_of_training_are_refused(change, code):
    x, y = table()
    made = model()
    made.fit(x, y, epochs=1, verbose=0)
    with pytest.raises(DataError) as caught:
        made.predict(change(x))
    assert caught.value.code == code


def test_an_unfitted_table_explains_what_to_fit_it_on():
    made = model()
    with pytest.raises(ConfigError, match="fit the model on one"):
        made.fit(np.zeros((10, 3)), np.zeros(10), epochs=1, verbose=0)
    with pytest.raises(DataError, match="not an array of numbers"):
        made.predict({"age": [1.0]})


def test_the_description_of_a_table_that_does_not_fit_its_layer_is_refused():
    x, y = table()
    made = model()
    made.fit(x, y, epochs=1, verbose=0)
    made.schema = type(made.schema)(made.schema.columns[:-1])
    with pytest.raises(Exception, match="damaged"):
        Sequential.from_bytes(made.to_bytes())

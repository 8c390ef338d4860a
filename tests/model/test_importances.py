"""What columns are worth: how much the loss rises where their values are shuffled among rows."""

import numpy as np
import pytest
import scipy.sparse

from firesteel.errors import ConfigError, DataError
from firesteel.layers import Dense, Embedding, Flatten, Input, Table
from firesteel.models import Sequential, load_model
from firesteel.search.members import averaged
from firesteel.tables import importance, sampling
from firesteel.tables.importance import ScoredRows, measured, places_of


def table(rows=600, seed=0):
    """A column that decides, one of many words that helps, one of noise, one constant; and classes."""
    rng = np.random.default_rng(seed)
    a, town = rng.normal(size=rows), rng.integers(0, 12, rows)
    y = (a + 0.3 * (town > 6) + rng.normal(0, 0.2, rows) > 0.2).astype(int)
    noise = [None if gone else value for gone, value in zip(rng.random(rows) < 0.2, rng.random(rows), strict=True)]
    words = [f"town {n}" for n in town]
    return {"noise": noise, "town": words, "a.b": a, "one": np.ones(rows), "v[0]": -a, "v[1]": rng.random(rows)}, y


@pytest.fixture(scope="module")
def fitted():
    made = Sequential([Table(), Dense(16, "silu"), Dense(2, "softmax")])
    made.compile("adam", "sparse_categorical_crossentropy", ["accuracy"])
    made.fit(*table(), epochs=15, verbose=0)
    return made


@pytest.fixture(scope="module")
def found(fitted):
    return fitted.importances(*table(seed=1))


def of(found):
    return {row["column"]: (row["importance"], row["standardError"]) for row in found.rows}


def test_a_column_that_decides_is_first_noise_is_nothing_and_elements_are_one_column(found):
    worth = of(found)
    assert list(worth) == ["noise", "town", "a.b", "v"]  # what the schema leaves out is not listed
    assert max(worth, key=worth.get) in ("a.b", "v") and worth["a.b"][0] > 10 * worth["a.b"][1] > 0
    assert worth["town"][0] > 3 * worth["town"][1]
    assert abs(worth["noise"][0]) < 3 * worth["noise"][1]
    assert (found.sampled, found.shuffles, found.untried) == (600, 5, 0)


def test_shares_are_of_the_columns_that_are_asked_for_and_sum_to_1(found):
    shares = found.shares(["one", "a.b", "town", "v", "noise"])
    assert shares[0] == 0 and shares.sum() == pytest.approx(1) and (shares >= 0).all()
    assert found.shares(["one"]).tolist() == [0]


def test_the_table_is_printed_with_the_largest_first(found):
    head, columns, first, *_ = str(found).splitlines()
    assert head.startswith(f"loss {found.loss:.4g} over 600 rows") and columns.split()[1] == "importance"
    assert first.split()[0] == max(found.rows, key=lambda row: row["importance"])["column"]


def test_neither_order_nor_saving_changes_a_bit(fitted, found, tmp_path):
    x, y = table(seed=1)
    order = np.random.default_rng(5).permutation(len(y))
    turned = {name: [values[at] for at in order] for name, values in reversed(x.items())}
    assert fitted.importances(turned, y[order]).rows == found.rows
    fitted.save(tmp_path / "m")
    assert load_model(tmp_path / "m").importances(x, y).rows == found.rows


def test_the_loss_is_that_of_evaluate_and_weights_count(fitted):
    x, y = table(seed=2)
    w = np.where(np.arange(len(y)) % 3 == 0, 2.0, 1.0)
    weighted = fitted.importances(x, y, sample_weight=w)
    assert weighted.loss == pytest.approx(fitted.evaluate(x, y, sample_weight=w, verbose=0)[0], rel=1e-5)
    twice = {name: [*values, *(np.array(values, object)[w == 2])] for name, values in x.items()}
    assert fitted.importances(twice, [*y, *y[w == 2]]).loss == pytest.approx(weighted.loss, rel=1e-5)


def test_of_many_rows_the_first_by_key_come_in_equal_shares_of_their_copies(fitted, monkeypatch):
    x, y = table(60, seed=3)
    often = {name: list(values) * 50 for name, values in x.items()}
    many, few = fitted.importances(often, [*y] * 50), fitted.importances(x, y)
    assert many.sampled == pytest.approx(2000, abs=60) and many.loss == pytest.approx(few.loss, rel=0.02)
    monkeypatch.setattr(sampling, "MOST_BYTES", 8 * fitted.network.inputs * 10)
    assert fitted.importances(x, y).sampled == 10


def test_one_row_shows_nothing_and_rows_without_a_weight_are_refused(fitted):
    x, y = table(1)
    assert set(of(fitted.importances(x, y)).values()) == {(0.0, 0.0)}
    with pytest.raises(DataError, match="is 0 in every row"):
        fitted.importances(*table(5), sample_weight=np.zeros(5))


def test_numbers_far_from_zero_are_shuffled_as_they_enter_the_network():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 2)) + [1e9, 0]
    made = Sequential([Dense(8, "tanh"), Dense(1)])
    made.compile("adam", "mse")
    y = x[:, 0] - 1e9
    made.fit(x, y + 1e7, epochs=30, verbose=0)
    assert made.network.centre.features and made.network.centre.targets
    worth = of(made.importances(x, y + 1e7))
    assert worth["0"][0] > 0.5 and worth["0"][0] > 20 * abs(worth["1"][0])


def test_members_are_asked_about_rows_of_their_own():
    x, y = table(400)
    members = []
    for seed in (1, 2):
        made = Sequential([Dense(4, "tanh", input_dim=2), Dense(2, "softmax")])
        made.compile("adam", "sparse_categorical_crossentropy")
        made.draw(seed)
        members.append(made)
    rows = np.stack([x["a.b"], x["v[1]"]], axis=1).astype("f4")
    parts = [
        ScoredRows(one._objective(), one.theta, rows[half], y[half, None].astype("f4"), np.ones(200))
        for one, half in zip(members, (slice(0, 200), slice(200, 400)), strict=True)
    ]
    both = measured(parts, places_of(None, 2))
    each = [measured([part], places_of(None, 2)) for part in parts]
    assert both.loss == pytest.approx(np.mean([one.loss for one in each])) and both.sampled == 400
    assert averaged(members).importances(rows, y).sampled == 400


def test_work_is_bounded_by_rows_then_shuffles_then_columns(monkeypatch):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 30))
    made = Sequential([Dense(4, "tanh", input_dim=30), Dense(1)])
    made.compile("adam", "mse")
    made.fit(x, x[:, 7] + x[:, 29], epochs=20, verbose=0)
    monkeypatch.setattr(importance, "WORK", 400 * 30 * 1700 * 2)
    some = made.importances(x, x[:, 7] + x[:, 29])
    assert (some.sampled, some.shuffles, some.untried) == (400, 2, 0)
    monkeypatch.setattr(importance, "WORK", 1)
    least = made.importances(x, x[:, 7] + x[:, 29])
    assert (least.sampled, least.shuffles, least.untried) == (256, 1, 10)
    assert {"7", "29"} <= set(of(least)) and "10 columns" in str(least)


def test_categories_have_no_slope_and_are_tried_first(monkeypatch):
    rng = np.random.default_rng(0)
    words = {f"c{n}": rng.integers(0, 20, 300).astype(str) for n in range(3)}
    x = {**{f"n{n}": rng.normal(size=300) for n in range(5)}, **words}
    made = Sequential([Table(), Dense(2, "softmax")])
    made.compile("adam", "sparse_categorical_crossentropy")
    made.fit(x, rng.integers(0, 2, 300), epochs=1, verbose=0)
    monkeypatch.setattr(importance, "WORK", 1)
    monkeypatch.setattr(importance, "FEWEST_COLUMNS", 4)
    assert set(words) < set(of(made.importances(x, rng.integers(0, 2, 300))))


def test_pictures_and_words_by_number_have_inputs_for_columns():
    made = Sequential([Flatten(input_shape=(2, 2)), Dense(1)])
    made.compile("sgd", "mse")
    assert len(of(made.importances(np.random.default_rng(0).normal(size=(9, 2, 2)), np.zeros(9)))) == 4
    looked_up = Sequential([Input(shape=(3,)), Embedding(5, 2), Flatten(), Dense(1)])
    looked_up.compile("sgd", "mse")
    codes = np.random.default_rng(0).integers(0, 5, (40, 3))
    assert of(looked_up.importances(codes, codes[:, 0])).keys() == {"0", "1", "2"}


def test_a_model_that_is_not_compiled_has_no_loss():
    with pytest.raises(ConfigError, match="not compiled"):
        Sequential([Dense(1, input_dim=1)]).importances(np.zeros((2, 1)), np.zeros(2))


def test_sparse_rows_are_refused():
    made = Sequential([Dense(1)])
    made.compile("sgd", "mse")
    x = scipy.sparse.random(60, 5000, 0.001, "csr", random_state=0)
    made.fit(x, np.zeros(60), verbose=0)
    assert made.network.sparse
    with pytest.raises(ConfigError, match=r"not available for sparse rows \(5,000 features\)"):
        made.importances(x, np.zeros(60))

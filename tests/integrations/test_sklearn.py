"""The estimators keep scikit-learn's contract, and take tables of raw columns."""

import pickle
import subprocess
import sys
import warnings

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import AdaBoostClassifier, BaggingClassifier
from sklearn.exceptions import NotFittedError
from sklearn.impute import SimpleImputer
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import check_estimator

from firesteel.errors import ConfigError, DataError
from firesteel.models import load_model
from firesteel.search.members import members_of
from firesteel.sklearn import NeuralNetworkClassifier, NeuralNetworkRegressor

EXPECTED = {
    "check_dtype_object": "a dict among numbers is refused with a DataError, which is a ValueError",
    "check_sample_weight_equivalence_on_dense_data": "a row of weight 2 is in one batch, and two rows are in two",
}
"""What scikit-learn asks for and firesteel does not do."""


def frame(rows=300, seed=0):
    """Return numbers with gaps, words, booleans and times; and a word for each row that they decide."""
    rng = np.random.default_rng(seed)
    town, age = rng.integers(0, 12, rows), rng.normal(40, 12, rows)
    y = np.where(age / 40 + town / 6 + rng.normal(0, 0.2, rows) > 2, "late", "in time")
    age[rng.random(rows) < 0.1] = np.nan
    words = pd.Series([None if n == 11 else f"town {n}" for n in town])
    since = pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.integers(0, 10**7, rows), unit="s")
    return pd.DataFrame({"age": age, "town": words, "member": rng.random(rows) < 0.5, "since": since}), y


def small(kind=NeuralNetworkClassifier, **more):
    return kind(**{"hidden_layer_sizes": (16,), "max_iter": 12, "random_state": 1, "members": 1} | more)


@pytest.mark.slow
@pytest.mark.parametrize("kind", [NeuralNetworkClassifier, NeuralNetworkRegressor])
def test_scikit_learns_own_checks_pass(kind):
    found = check_estimator(kind(max_iter=40, members=1), expected_failed_checks=EXPECTED, on_skip=None)
    assert {one["check_name"] for one in found if one["status"] == "xfail"} == {*EXPECTED}
    assert {one["check_name"] for one in found if one["status"] == "skipped"} <= {"check_array_api_input"}
    assert len(found) > 40


def test_a_frame_of_raw_columns_is_learned_and_scored():
    x, y = frame()
    made = NeuralNetworkClassifier(members=1).fit(x, y)
    assert made.score(x, y) > 0.9 and is_classifier(made)
    assert made.classes_.tolist() == ["in time", "late"]
    assert made.n_features_in_ == 4 and made.feature_names_in_.tolist() == list(x)
    p = made.predict_proba(x)
    assert p.shape == (300, 2) and (made.classes_[p.argmax(axis=1)] == made.predict(x)).all()
    np.testing.assert_allclose(p.sum(axis=1), 1, rtol=1e-5)
    assert made.network_.schema.names == list(x)


def test_numbers_are_predicted_in_their_own_unit():
    x, _ = frame()
    y = 1e6 + 1e3 * np.where(x["age"].isna(), 0, x["age"])
    made = NeuralNetworkRegressor(members=1).fit(x, y)
    assert made.score(x, y) > 0.9 and is_regressor(made)
    assert made.predict(x).shape == (300,)


@pytest.mark.parametrize("kind", [NeuralNetworkClassifier, NeuralNetworkRegressor])
def test_the_network_is_saved_and_scores_without_scikit_learn(kind, tmp_path):
    x, y = frame()
    made = small(kind).fit(x, y if kind is NeuralNetworkClassifier else np.arange(300))
    made.network_.save(tmp_path / "model")
    given = {"age": [39.0], "town": ["town 3"], "member": [True], "since": [None]}
    code = (
        "import sys; from firesteel.models import load_model; "
        f"print(load_model({str(tmp_path / 'model')!r}).predict({given}).tolist()); "
        "assert 'sklearn' not in sys.modules"
    )
    row = pd.DataFrame({"age": [39.0], "town": ["town 3"], "member": [True], "since": [pd.NaT]})
    expected = made.predict_proba(row)[0] if kind is NeuralNetworkClassifier else made.predict(row)
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    np.testing.assert_array_equal(np.array(eval(printed)[0]), expected)
    assert load_model(tmp_path / "model").predict(x).shape[0] == 300


def test_the_same_seed_has_the_same_bits_and_none_is_one_too():
    x, y = frame()
    for seed in (None, 7, np.random.RandomState):
        first, again = (
            small(random_state=seed(3) if callable(seed) else seed).fit(x, y).predict_proba(x) for _ in range(2)
        )
        assert first.tobytes() == again.tobytes()
    assert small(random_state=8).fit(x, y).predict_proba(x).tobytes() != first.tobytes()


def test_a_clone_and_a_pickle_are_the_same_in_a_new_process_too(tmp_path):
    x, y = frame()
    made = small(alpha=0.1).fit(x, y)
    assert clone(made).get_params() == made.get_params() and not hasattr(clone(made), "network_")
    (tmp_path / "made").write_bytes(pickle.dumps((made, x)))
    read = f"import pickle; made, x = pickle.load(open({str(tmp_path / 'made')!r}, 'rb'))"
    code = f"{read}; print(made.predict_proba(x).tobytes().hex())"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == made.predict_proba(x).tobytes().hex()


def test_it_stands_in_pipelines_searches_and_ensembles():
    x, y = frame()
    sizes = {"hidden_layer_sizes": [(), 16]}
    search = GridSearchCV(small(max_iter=100, early_stopping=False), sizes, cv=2).fit(x, y)
    assert search.best_score_ > 0.8
    prepared = ColumnTransformer([("age", SimpleImputer(), ["age"])], remainder="passthrough")
    assert make_pipeline(prepared, small()).fit(x, y).predict(x).shape == (300,)
    pandas = ColumnTransformer([("age", SimpleImputer(), ["age"])], remainder="passthrough").set_output(
        transform="pandas"
    )
    assert make_pipeline(pandas, small()).fit(x, y).predict(x).shape == (300,)
    assert len(cross_val_score(small(), x, y, cv=2, scoring="neg_log_loss")) == 2
    assert BaggingClassifier(small(), 2).fit(x[["age", "member"]].to_numpy(), y).n_classes_ == 2


def test_what_holds_the_table_changes_no_bit():
    x, y = frame()
    expected = small().fit(x, y).predict_proba(x)
    arrow, nullable = pa.table(x.to_dict("list")), x.convert_dtypes()
    for other in (arrow, nullable):
        np.testing.assert_array_equal(small().fit(other, y).predict_proba(other), expected)
    numbers = np.random.default_rng(0).normal(size=(300, 3))
    unnamed = [numbers, numbers.tolist(), numbers.astype(object), pd.DataFrame(numbers)]
    assert len({small().fit(one, y).predict_proba(one).tobytes() for one in unnamed}) == 1


@pytest.mark.parametrize(
    "y",
    [
        np.arange(300) % 3,
        np.arange(300) % 2 > 0,
        np.array(["a", "b"])[np.arange(300) % 2].astype(object),
        np.arange(300) % 2 * 2.0,
    ],
    ids=["integers", "booleans", "objects", "floats"],
)
def test_classes_are_what_was_given(y):
    x, _ = frame()
    made = small().fit(x, y)
    assert made.classes_.tolist() == np.unique(y).tolist()
    assert made.predict(x).dtype == np.unique(y).dtype and set(made.predict(x)) <= set(y)


def test_one_class_is_predicted_for_every_row():
    x, _ = frame()
    made = small().fit(x, ["a"] * 300)
    assert made.network_ is None and made.predict(x[:5]).tolist() == ["a"] * 5
    assert made.predict_proba(x[:5]).tolist() == [[1.0]] * 5
    with pytest.raises(ValueError, match="feature names should match"):
        made.predict(x[["age"]])


@pytest.mark.parametrize("members", [1, 2])
def test_rows_count_by_their_weights(members):
    x, y = frame()
    one = np.where(y == "late", 1.0, 0.0)
    assert set(small(members=members, max_iter=40).fit(x, y, sample_weight=one).predict(x)) == {"late"}
    made = [
        small(members=members, max_iter=2).fit(x, y, sample_weight=w) for w in (None, np.ones(300), np.arange(300))
    ]
    same, ones, other = (each.network_.fingerprint() for each in made)
    assert same == ones != other
    numbers = small(NeuralNetworkRegressor, members=members, max_iter=40)
    assert numbers.fit(x, one, sample_weight=list(1 - one)).predict(x).max() < 0.3
    for wrong, said in ((-one, "Negative"), (one[:5], "shape"), (0 * one, "non-zero|is 0 in every row")):
        with pytest.raises(ValueError, match=said):
            small(members=members).fit(x, y, sample_weight=wrong)


def test_a_member_whose_rows_count_nothing_is_left_out():
    x, y = frame()
    some = small(members=8, max_iter=2).fit(x, y, sample_weight=np.r_[np.ones(4), np.zeros(296)])
    assert 1 < len(members_of(some.network_)) <= 4
    boosted = AdaBoostClassifier(small(max_iter=4), n_estimators=2, random_state=0)
    assert boosted.fit(x[["member"]], y).score(x[["member"]], y) > 0.4


def test_rows_that_are_held_out_end_the_training_and_others_do_not():
    x, y = frame()
    ended = small(max_iter=200, n_iter_no_change=2).fit(x, y)
    assert ended.n_iter_ < 200
    assert small(max_iter=30, early_stopping=False).fit(x, y).n_iter_ == 30
    assert small(max_iter=30, n_iter_no_change=1).fit(x[:40], y[:40]).n_iter_ == 30
    held = small(validation_fraction=0.5).fit(x, y).network_.schema, ended.network_.schema
    assert held[0] != held[1]


@pytest.mark.parametrize("kind", [NeuralNetworkClassifier, NeuralNetworkRegressor])
def test_members_are_networks_of_their_own_whose_outputs_are_averaged(kind, tmp_path):
    x, y = frame()
    y = y if kind is NeuralNetworkClassifier else np.arange(300.0)
    made = small(kind, members=3).fit(x, y)
    assert small(kind, members=3).fit(x, y).network_.fingerprint() == made.network_.fingerprint()
    members = members_of(made.network_)
    outputs = [one.predict(x) for one in members]
    assert len({one.tobytes() for one in outputs}) == 3
    np.testing.assert_allclose(made.network_.predict(x), np.mean(outputs, axis=0), rtol=1e-5, atol=1e-5)
    made.network_.save(tmp_path / "model")
    assert load_model(tmp_path / "model").predict(x).tobytes() == made.network_.predict(x).tobytes()


def test_small_tables_have_members_and_those_that_cannot_have_them_do_without():
    x, y = frame()
    assert len(members_of(small(members=None).fit(x, y).network_)) == 8
    assert len(members_of(small(members=None, early_stopping=False).fit(x, y).network_)) == 1
    assert len(members_of(small(members=None, warm_start=True).fit(x, y).network_)) == 1
    assert len(members_of(small(members=None, validation_fraction=0.3).fit(x, y).network_)) == 1
    far = small(NeuralNetworkRegressor, members=2, max_iter=60).fit(x, 1e9 + x["age"].fillna(40))
    assert len(members_of(far.network_)) == 2 and far.score(x, 1e9 + x["age"].fillna(40)) > 0.8
    assert small(members=None).fit(x.iloc[[0, 1] * 30], y[[0, 1] * 30]).predict(x).shape == (300,)


def test_a_rare_class_is_no_hindrance_to_holding_rows_out():
    x, y = frame()
    assert small().fit(x, np.where(np.arange(300) == 7, "once", y)).classes_.tolist() == ["in time", "late", "once"]
    assert small().fit(x, np.arange(300) % 100).predict_proba(x).shape == (300, 100)


def test_a_warm_start_goes_on():
    x, y = frame()
    made = small(warm_start=True, max_iter=3).fit(x, y)
    network, before = made.network_, made.network_.fingerprint()
    assert made.fit(x, y).network_ is network and network.fingerprint() != before
    with pytest.raises(ConfigError, match="warm_start continues with the classes"):
        made.fit(x, np.arange(300) % 3)
    assert made.set_params(warm_start=False).fit(x, y).network_ is not network


@pytest.mark.parametrize(
    "wrong",
    [
        {"hidden_layer_sizes": (0,)},
        {"hidden_layer_sizes": "many"},
        {"max_iter": 0},
        {"max_iter": "all"},
        {"batch_size": -1},
        {"learning_rate_init": -1},
        {"alpha": -1.0},
        {"validation_fraction": 2.0},
        {"n_iter_no_change": -1},
        {"members": 0},
        {"members": 2.5},
        {"members": 2, "early_stopping": False},
        {"members": 2, "warm_start": True},
        {"members": 2, "validation_fraction": 0.3},
    ],
    ids=str,
)
def test_settings_that_cannot_be_are_refused_by_fit(wrong):
    with pytest.raises(ValueError):
        small(**wrong).fit(*frame())


def test_rows_that_do_not_fit_are_refused():
    x, y = frame()
    with pytest.raises(NotFittedError):
        small().predict(x)
    made = small().fit(x, y)
    with pytest.raises(ValueError, match="feature names should match"):
        made.predict(x[["town", "age", "member", "since"]])
    with pytest.raises(DataError, match="'town' holds integer values, but the model was trained on text"):
        made.predict(x.assign(town=5))
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        small().fit(x, y[:-1])
    with pytest.raises(ValueError, match="NaN"):
        small(NeuralNetworkRegressor).fit(x, [np.nan] * 300)
    with pytest.raises(DataError, match="X is a dictionary"):
        small().fit(dict(x), y)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        made.predict(x.to_numpy())
    assert any("does not have valid feature names" in str(one.message) for one in seen)


def test_without_scikit_learn_the_message_says_what_to_install():
    code = "import sys; sys.modules['sklearn'] = None; from firesteel.sklearn import NeuralNetworkClassifier"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert 'pip install "firesteel[sklearn]"' in found.stderr


def test_a_name_that_there_is_not_is_refused():
    with pytest.raises(ImportError, match="MLPClassifier"):
        from firesteel.sklearn import MLPClassifier  # noqa: F401

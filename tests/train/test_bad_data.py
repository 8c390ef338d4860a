"""What cannot be trained on is refused before the first update, in words that somebody can act on."""

import re

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from firesteel.callbacks import LambdaCallback
from firesteel.errors import ConfigError, DataError
from firesteel.layers import Dense
from firesteel.models import Sequential
from firesteel.tables.arrays import Arrays
from firesteel.train.checks import KINDS, find_faults, merge, refuse

ROWS = 100
X = np.random.default_rng(0).normal(size=(ROWS, 3))
Y = np.arange(ROWS) % 2
CLASSES = ("softmax", 2, "sparse_categorical_crossentropy")
UNIT = ("sigmoid", 1, "binary_crossentropy")
REAL = ("linear", 1, "mse")
COUNT = ("exponential", 1, "poisson")
SIGN = ("linear", 1, "hinge")


def trained(kind=CLASSES, dtype="float32"):
    activation, outputs, loss = kind
    model = Sequential([Dense(4, "tanh", input_dim=3), Dense(outputs, activation)], dtype=dtype)
    model.compile("sgd", loss)
    model.fit(X, Y, verbose=0)
    return model


def refusal(model, x, y=Y, error=DataError, **settings):
    """The message with which fit, and alike evaluate, refuse the rows: nothing has moved and nothing was printed."""
    before, history, epochs = model.fingerprint(), model.history, []
    with pytest.raises(error) as caught:
        model.fit(
            x,
            y,
            epochs=3,
            callbacks=LambdaCallback(on_epoch_end=lambda epoch, logs: epochs.append(epoch)),
            **settings,
        )
    assert model.fingerprint() == before and model.history is history and not epochs
    with pytest.raises(error):
        model.evaluate(x, y, **settings)
    assert model.fingerprint() == before
    return caught.value


def put(array, where, value):
    array = np.array(array, dtype=object if value is None or isinstance(value, str) else float)
    for at in where:
        array[at] = value
    return array


NONE, NAN, INF = None, float("nan"), float("inf")
# (network, which argument, where the fault is put, what is put there, the row, the value in the message, how many)
FAULTS = {
    "NaN feature": (CLASSES, "x", [(7, 1), (9, 0), (9, 2)], NAN, 7, "nan", 2),
    "None feature": (CLASSES, "x", [(7, 1)], NONE, 7, "nan", 1),
    "infinite feature": (CLASSES, "x", [(3, 2), (50, 0)], INF, 3, "inf", 2),
    "minus infinite feature": (CLASSES, "x", [(3, 2)], -INF, 3, "-inf", 1),
    "feature beyond float32": (CLASSES, "x", [(99, 0)], 1e39, 99, "1e+39", 1),
    "None label": (CLASSES, "y", [5, 6, 7], NONE, 5, "nan", 3),
    "NaN label": (CLASSES, "y", [5], NAN, 5, "nan", 1),
    "NaN target": (REAL, "y", [5], NAN, 5, "nan", 1),
    "infinite target": (REAL, "y", [0, 1], -INF, 0, "-inf", 2),
    "target beyond float32": (REAL, "y", [8], 1e39, 8, "1e+39", 1),
    "label out of range": (CLASSES, "y", [4, 90], 2, 4, "2", 2),
    "negative label": (CLASSES, "y", [11], -1, 11, "-1", 1),
    "fractional label": (CLASSES, "y", [12, 13], 0.5, 12, "0.5", 2),
    "label above 1": (UNIT, "y", [6], 1.5, 6, "1.5", 1),
    "label below 0": (UNIT, "y", [6], -0.25, 6, "-0.25", 1),
    "negative count": (COUNT, "y", [6, 9], -0.5, 6, "-0.5", 2),
    "NaN count": (COUNT, "y", [6], NAN, 6, "nan", 1),
    "label that is no sign": (SIGN, "y", [6, 7], 0.5, 6, "0.5", 2),
    "label beyond a sign": (SIGN, "y", [6], -2, 6, "-2", 1),
    "NaN sign": (SIGN, "y", [6], NAN, 6, "nan", 1),
    "share above 1": (("sigmoid", 1, "kl_divergence"), "y", [6], 1.5, 6, "1.5", 1),
    "negative weight": (CLASSES, "sample_weight", [2, 3], -0.5, 2, "-0.5", 2),
    "NaN weight": (CLASSES, "sample_weight", [2], NAN, 2, "nan", 1),
    "None weight": (CLASSES, "sample_weight", [2], NONE, 2, "nan", 1),
    "infinite weight": (CLASSES, "sample_weight", [2], INF, 2, "inf", 1),
    "text feature": (CLASSES, "x", [(8, 1), (9, 1)], "red", 8, "'red'", 2),
    "text label": (CLASSES, "y", [8], "cat", 8, "'cat'", 1),
    "text weight": (CLASSES, "sample_weight", [8], "heavy", 8, "'heavy'", 1),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_bad_value_is_refused_with_its_name_row_value_count_and_remedy(name):
    kind, argument, where, value, row, shown, count = FAULTS[name]
    given = {"x": X, "y": Y, "sample_weight": np.ones(ROWS)}
    given[argument] = put(given[argument], where, value)
    message = str(refusal(trained(kind), **given))
    assert re.match(rf"{argument}\b", message), message
    assert re.search(rf"{re.escape(shown)} at row {row}\b", message), message
    assert f"{count} of {ROWS} rows" in message, message
    assert re.search(r"To do: \w+|convert \w+ to numbers", message), message


def test_what_one_loss_refuses_another_takes():
    for kind, y in ((COUNT, np.array(Y) + 0.5), (SIGN, 2 * Y - 1), (SIGN, Y), (REAL, Y - 7.5)):
        trained(kind).fit(X, y, verbose=0)


def test_both_infinities_in_one_column_are_found():
    message = str(refusal(trained(), put(put(X, [(3, 1)], INF), [(4, 1)], -INF)))
    assert "inf at row 3; 2 of 100 rows" in message


def test_a_large_finite_value_is_welcome_where_the_dtype_holds_it():
    x = X.copy()
    x[5] = 1e300, -1e300, 1e-300
    model = trained(dtype="float64")
    model.fit(x, Y, verbose=0)
    message = str(refusal(trained(), x))
    assert "1e+300 at row 5; 1 of 100 rows" in message and "float32" in message


def test_several_kinds_of_fault_are_reported_together():
    message = str(refusal(trained(), put(put(X, [(3, 1)], NAN), [(4, 1)], INF), put(Y.astype(float), [7], NAN)))
    assert message.startswith("x, position 1, holds NaN: nan at row 3; 1 of 100 rows")
    assert "Also found: an infinite value, no value (null or NaN)." in message


def test_numbers_mixed_with_text_in_a_list_show_the_text():
    rows = [[1.0, 2.0, 3.0], [4.0, "red", 6.0]]
    message = str(refusal(trained(), rows, [0, 1]))
    assert "'red' at row 1" in message and "1 of 2 rows" in message


# Shapes

STRUCTURE = {
    "missing y": (dict(x=X, y=None), "y is missing", "fit(x, y)"),
    "missing x": (dict(x=None), "x is missing", "fit(x, y)"),
    "ragged": (dict(x=[[1.0, 2.0, 3.0], [1.0]], y=[0, 1]), "x is ragged", "same number of values"),
    "ragged objects": (dict(x=np.array([[1.0, 2.0, 3.0], [1.0]], object), y=[0, 1]), "x ", "equally long"),
    "array of arrays": (dict(x=np.array([*map(list, X), None], object)[:-1]), "x ", ""),
    "unequal lengths": (dict(x=X, y=Y[:-1]), "x has 100 rows, but y has 99", "the same number"),
    "unequal weights": (
        dict(x=X, sample_weight=np.ones(7)),
        "x has 100 rows, but sample_weight has 7",
        "the same number",
    ),
    "empty": (dict(x=np.zeros((0, 3)), y=[]), "x has 0 rows", "give more rows"),
    "no columns": (dict(x=np.zeros((ROWS, 0))), "x has no columns", "give at least one"),
    "1-D x": (dict(x=X[:, 0]), "x has shape (100,)", "x.reshape(-1, 1)"),
    "3-D x": (dict(x=X[:, :, None]), "x has shape (100, 3, 1)", "x.reshape(len(x), -1)"),
    "a number": (dict(x=5.0), "x has shape ()", "rows of numbers"),
    "3-D y": (dict(x=X, y=np.zeros((ROWS, 1, 1))), "y has 3 axes", "must have at most 2"),
    "2-D weights": (dict(x=X, sample_weight=np.ones((ROWS, 1))), "sample_weight has 2 axes", "must have at most 1"),
    "too wide": (dict(x=X[:, :2]), "x has 2 values per row, but the network takes 3", "input_dim=2"),
    "one-hot": (dict(x=X, y=np.eye(2)[Y]), "y has 2 values per row", "categorical_crossentropy for one-hot rows"),
    "all weights 0": (dict(x=X, sample_weight=np.zeros(ROWS)), "sample_weight is 0 in every row", "above 0"),
    "text x": (dict(x=np.full((ROWS, 3), "red")), "x holds", "'red' at row 0"),
    "text y": (dict(x=X, y=["cat"] * ROWS), "y holds", "'cat' at row 0"),
    "dates": (dict(x=np.full((ROWS, 3), "2020-01-01", "M8[D]")), "x holds datetime64[D]", "numbers first"),
    "complex": (dict(x=X * 1j), "x holds complex128", "numbers first"),
    "sparse text": (dict(x=csr_matrix(X).astype(complex)), "x holds complex128", "numbers first"),
    "a dictionary": (dict(x={"a": [1, 2]}), "x ", ""),
    "a word": (dict(x="rows.csv"), "x ", ""),
}


@pytest.mark.parametrize("name", STRUCTURE)
def test_a_wrong_shape_is_refused_with_its_name_what_was_found_and_a_remedy(name):
    given, found, remedy = STRUCTURE[name]
    error = refusal(trained(), error=ConfigError if "missing" in name else DataError, **given)
    assert str(error).startswith(found) and remedy in str(error)


def test_several_targets_must_be_as_many_as_the_outputs():
    model = Sequential([Dense(3, input_dim=3)])
    model.compile("sgd", "mse")
    with pytest.raises(DataError, match="y has 2 values per row, but this loss with 3 outputs takes 3: give 3"):
        model.fit(X, np.zeros((ROWS, 2)))


def test_validation_data_are_validated_too():
    model = trained()
    for data in ((put(X, [(1, 1)], NAN), Y), (X, put(Y, [1], 5)), (X, Y, -np.ones(ROWS)), (X[:, :2], Y)):
        before = model.fingerprint()
        with pytest.raises(DataError):
            model.fit(X, Y, validation_data=data)
        assert model.fingerprint() == before


def test_held_out_rows_are_validated_with_the_others():
    model, before = trained(), trained().fingerprint()
    with pytest.raises(DataError, match=r"nan at row 99; 1 of 100 rows"):
        model.fit(put(X, [(99, 0)], NAN), Y, validation_split=0.1)
    assert model.fingerprint() == before


def test_rows_held_out_without_any_weight_are_refused():
    weights = np.ones(ROWS)
    weights[-10:] = 0
    with pytest.raises(DataError, match="sample_weight"):
        trained().fit(X, Y, sample_weight=weights, validation_split=0.1, verbose=0)


def test_a_share_that_holds_no_row_out_is_refused():
    with pytest.raises(DataError, match="is less than one row"):
        trained().fit(X, Y, validation_split=1e-17)
    history = trained().fit(X, Y, validation_split=1e-3, verbose=0)
    assert history.rows[0]["rows"] == ROWS - 1  # rounded up to one row, as in Keras


def test_a_share_that_leaves_no_row_to_train_on_is_refused():
    with pytest.raises(DataError, match="so no training rows remain.*validation_split below 0.999"):
        trained().fit(X, Y, validation_split=0.999)


def test_a_first_fit_that_was_refused_leaves_no_trace():
    def fresh():
        model = Sequential([Dense(4, "tanh"), Dense(2, "softmax")])
        model.compile("sgd", "sparse_categorical_crossentropy")
        return model

    wrong = [
        lambda model: model.fit(X[:, :2], Y + 1, verbose=0),
        lambda model: model.fit(X, Y, validation_data=(X, Y + 1), seed=1, verbose=0),
        lambda model: model.fit(X, Y, shards=1000, seed=1, verbose=0),
    ]
    expected = fresh()
    expected.fit(X, Y, seed=2, verbose=0)
    for attempt in wrong:
        model = fresh()
        with pytest.raises((DataError, ConfigError)):
            attempt(model)
        model.fit(X, Y, seed=2, verbose=0)
        assert model.fingerprint() == expected.fingerprint()


@pytest.mark.parametrize("bad", [put(X, [(0, 0)], "red"), X[:, 0], X[:, :2], "rows.csv", None])
def test_predict_refuses_what_are_not_rows_of_numbers_of_the_right_width(bad):
    with pytest.raises((DataError, ConfigError), match=r"^x "):
        trained().predict(bad)


# Findings


def scan(rows):
    x, y, w = (array[rows] for array in FAULTY)
    return find_faults(x, y, w, np.dtype("f4"), lambda row: f"row {rows.start + row}")


FAULTY = (
    put(X, [(3, 1), (30, 2), (60, 0)], NAN).astype(float),
    put(Y[:, None], [5, 50], 7).astype(float),
    put(np.ones(ROWS), [99], -1),
)


@pytest.mark.parametrize("size", [1, 7, 50, 100])
def test_findings_in_batches_add_up_to_those_of_all_rows(size):
    found = {}
    for at in range(0, ROWS, size):
        found = merge(found, scan(slice(at, min(at + size, ROWS))))
    assert found == scan(slice(0, ROWS))
    assert {code: finding.rows for code, finding in found.items()} == {
        "nan": 3,
        "label-unit": 2,
        "label-sign": 2,
        "negative-weight": 1,
    }


def test_sound_rows_give_no_findings_and_no_error():
    assert scan(slice(6, 20)) == {}
    refuse({}, 10, Arrays.names)


@pytest.mark.parametrize("code", KINDS)
def test_every_kind_of_finding_has_a_column_a_description_and_a_remedy(code):
    part, what, remedy = KINDS[code]
    assert part in (*Arrays.names, "held", "id") and what and remedy


def test_features_with_names_are_called_by_them():
    found = scan(slice(0, ROWS))
    with pytest.raises(DataError, match=r"x \(height\) holds NaN: nan at row 3; 3 of 100 rows") as caught:
        refuse(found, ROWS, Arrays.names, ["age", "height", "width"])
    assert caught.value.code == "data-nan"

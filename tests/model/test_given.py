"""What users hand over: numbers in any container, weights of classes in any form, and mistakes with their advice."""

import datetime
import re
import warnings
from collections import OrderedDict
from decimal import Decimal
from fractions import Fraction
from types import MappingProxyType

import ml_dtypes
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from scipy.sparse import csr_array, csr_matrix
from sklearn.utils.class_weight import compute_class_weight

from firesteel.callbacks import EarlyStopping
from firesteel.errors import ConfigError, DataError
from firesteel.layers import Dense
from firesteel.models import Sequential
from firesteel.tables.given import features_of, rows_of

ROWS, INPUTS = 40, 3
X = np.random.default_rng(0).integers(-4, 5, (ROWS, INPUTS)) / 4.0
Y = np.arange(ROWS) % 2


def trained(outputs=2, loss="sparse_categorical_crossentropy", metrics=("acc",)):
    model = Sequential([Dense(4, "tanh", input_dim=INPUTS), Dense(outputs, "softmax" if outputs > 1 else "linear")])
    model.compile("sgd", loss, list(metrics))
    return model


def objects(values, kind):
    """An array of Python objects of a kind."""
    made = np.empty(np.shape(values), object)
    made[...] = np.frompyfunc(kind, 1, 1)(np.asarray(values, float))
    return made


class Lender:
    """A container of somebody's, which NumPy asks for an array."""

    def __array__(self, dtype=None, copy=None):
        return X if dtype is None else X.astype(dtype)


SAME = {
    "a list": X.tolist(),
    "tuples": tuple(map(tuple, X.tolist())),
    "rows in a list": list(X),
    "float16": X.astype("f2"),
    "long double": X.astype(np.longdouble),
    "another byte order": X.astype(">f4"),
    "bfloat16": X.astype(ml_dtypes.bfloat16),
    "float8": X.astype(ml_dtypes.float8_e5m2),
    "columns first": np.asfortranarray(X),
    "every other": np.repeat(X, 2, axis=0)[::2],
    "masked, nothing behind the mask": np.ma.array(X),
    "Decimal": objects(X, Decimal),
    "Fraction": objects(X, Fraction),
    "NumPy's numbers as objects": objects(X, np.float32),
    "many kinds": np.array([[Decimal(str(a)), Fraction(b), np.float32(c)] for a, b, c in X], object),
    "a frame": pd.DataFrame(X),
    "a frame of nullable numbers": pd.DataFrame(X).astype("Float64"),
    "a frame of Arrow's": pd.DataFrame(X).convert_dtypes(dtype_backend="pyarrow").astype("double[pyarrow]"),
    "a frame of many kinds": pd.DataFrame(X).astype({0: "Float64", 1: "float32", 2: object}),
    "a sparse frame": pd.DataFrame(X).astype(pd.SparseDtype("float64", 0.0)),
    "an Arrow table": pa.table({str(at): X[:, at] for at in range(INPUTS)}),
    "what has __array__": Lender(),
}


@pytest.mark.parametrize("name", SAME)
def test_numbers_are_read_out_of_any_container_of_them(name):
    array = features_of(SAME[name])
    assert array.dtype.kind == "f" and np.array_equal(array, X)
    expected, given = trained(), trained()
    expected.fit(X, Y, verbose=0)
    given.fit(SAME[name], Y, verbose=0)
    assert given.fingerprint() == expected.fingerprint()
    assert np.array_equal(given.predict(SAME[name]), expected.predict(X))


LABELS = {
    "a list": Y.tolist(),
    "bool": Y.astype(bool),
    "a Series": pd.Series(Y),
    "Int64": pd.Series(Y, dtype="Int64"),
    "boolean": pd.Series(Y.astype(bool), dtype="boolean"),
    "categories of numbers": pd.Series(Y).astype("category"),
    "bool objects": Y.astype(bool).astype(object),
    "Decimal": objects(Y, Decimal),
    "an Arrow array": pa.array(Y),
    "Arrow's chunks": pa.chunked_array([Y[:7], Y[7:]]),
    "int4": Y.astype(ml_dtypes.int4),
    "a frame": pd.DataFrame({"y": Y}),
    "an index": pd.Index(Y),
}


@pytest.mark.parametrize("name", LABELS)
def test_labels_are_read_out_of_any_container_of_them(name):
    assert np.array_equal(rows_of(X, LABELS[name], None)[1], Y[:, None])
    assert np.array_equal(rows_of(X, Y, LABELS[name])[2] if np.ndim(LABELS[name]) == 1 else Y, Y)


def holed(values, gap, at=(5, 1)):
    made = np.array(values, object)
    made[at[: made.ndim]] = gap
    return made


def masked(values, at=(5, 1)):
    made = np.ma.array(values, float)
    made[at[: made.ndim]] = np.ma.masked
    return made


HOLE = np.zeros((ROWS, INPUTS), bool)
HOLE[5, 1] = True
GAPS = {
    "None": holed(X, None),
    "NaN": holed(X, float("nan")),
    "pd.NA": holed(X, pd.NA),
    "Decimal's NaN": holed(objects(X, Decimal), Decimal("nan")),
    "a frame of nullable numbers": pd.DataFrame(X).astype("Float64").mask(pd.DataFrame(HOLE)),
    "one nullable column": pd.DataFrame(holed(X, pd.NA)).astype(
        {0: "float64", 1: "Float64", 2: "int64"}, errors="ignore"
    ),
    "masked": masked(X),
    "rows masked each": [*map(np.ma.array, X[:5]), np.ma.array(X[5], mask=[0, 1, 0]), *map(np.ma.array, X[6:])],
    "Arrow": pa.table({"a": X[:, 0], "b": pa.array([None if at == 5 else v for at, v in enumerate(X[:, 1])])}),
}


@pytest.mark.parametrize("name", GAPS)
def test_what_is_missing_is_refused_with_its_row_and_never_a_number(name):
    x = GAPS[name]
    width = np.asarray(x if name != "rows masked each" else X).shape[1]
    model = Sequential([Dense(2, "softmax", input_dim=width)])
    model.compile("sgd", "sparse_categorical_crossentropy")
    with pytest.raises(DataError, match=r"^x, position 1, holds NaN: nan at row 5; 1 of 40 rows") as caught:
        model.fit(x, Y, verbose=0)
    assert caught.value.code == "data-nan"


@pytest.mark.parametrize(
    "y",
    [
        pd.Series(Y, dtype="Int64").mask(np.arange(ROWS) == 5),
        pd.Series(Y.astype(bool), dtype="boolean").mask(np.arange(ROWS) == 5),
        masked(Y),
        holed(Y, pd.NA),
        pa.array([None if at == 5 else int(v) for at, v in enumerate(Y)]),
    ],
    ids=["Int64", "boolean", "masked", "object", "Arrow"],
)
def test_labels_and_weights_that_are_missing_are_refused_with_their_row(y):
    with pytest.raises(DataError, match=r"^y holds no value \(null or NaN\): nan at row 5; 1 of 40 rows"):
        trained().fit(X, y)
    with pytest.raises(DataError, match=r"^sample_weight holds no value \(null or NaN\): nan at row 5; 1 of 40 rows"):
        trained().fit(X, Y, sample_weight=y)


TIME = np.datetime64("2020-01-01") + np.arange(ROWS)
REFUSED = {
    "text": (pd.DataFrame({"a": ["1"] * ROWS}), "'1' at row 0", "class numbers, or"),
    "text among numbers": (
        holed(X, "2.5"),
        "'2.5' at row 5; 1 of 40 rows hold values that are not numbers",
        "class numbers, or",
    ),
    "bytes": (holed(X, b"2.5"), "b'2.5'", "class numbers, or"),
    "categories": (pd.DataFrame({"a": pd.Categorical(["u", "v"] * 20)}), "'u' at row 0", "class numbers, or"),
    "times": (TIME[:, None], "datetime64[D] values, such as '2020-01-01' at row 0", "first (seconds, such as"),
    "a frame with times": (
        pd.DataFrame({"a": Y, "t": TIME}),
        "'2020-01-01 00:00:00' at row 0",
        "first (seconds, such as",
    ),
    "dates": (holed(X, datetime.date(2020, 1, 1)), "'2020-01-01' at row 5", "first (seconds, such as"),
    "lengths as objects": (holed(X, datetime.timedelta(1)), "'1 day, 0:00:00' at row 5", "np.timedelta64(1, 's')"),
    "lengths of time": ((TIME - TIME[0])[:, None], "timedelta64[D] values", "np.timedelta64(1, 's')"),
    "complex": (X * 1j, "complex128 values", "the real and imaginary parts"),
    "complex objects": (holed(X, 1j), "'1j' at row 5", "the real and imaginary parts"),
    "fields": (np.zeros(ROWS, "f8,f8"), "values", "structured_to_unstructured"),
    "sparse complex": (csr_matrix(X * 1j), "complex128 values in all 40 rows", "the real and"),
    "more than a double": (holed(X, 10**400), "1" + "0" * 99, "numbers first"),
    "a signalling NaN": (holed(X, Decimal("snan")), "'sNaN' at row 5", "numbers first"),
    "lists of lists": (np.array([[1, 2], [3]] * 20, object), "ragged", "np.stack"),
    "lists in lists": ([[[1.0], [2.0, 3.0]]] * ROWS, "ragged", "the same number of values"),
    "a dictionary": ({"a": [1, 2]}, "is a dict, not an array of numbers", "give an array"),
    "a generator": ((row for row in X), "is a generator, not an array of numbers", "give an array"),
    "a sparse row": (csr_array(X[0]), "is a csr_array, not an array of numbers", "give an array"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_number_is_refused_with_what_it_can_be_turned_into(name):
    x, found, remedy = REFUSED[name]
    for call in (lambda: trained().fit(x, Y), lambda: trained().predict(x)):
        with pytest.raises(DataError) as caught:
            call()
        message = str(caught.value)
        assert message.startswith("x ") and found in message and remedy in message and "\n" not in message
        assert len(message) < 500


def test_what_gives_no_array_is_refused_in_its_own_words():
    class Tensor:
        def __array__(self, dtype=None, copy=None):
            raise RuntimeError("call detach() first")

    with pytest.raises(
        DataError, match=r"^x is a Tensor that cannot be converted to an array: call detach\(\) first"
    ):
        trained().predict(Tensor())


# Mistakes

ADVICE = {
    "predict: a row": (
        lambda m: m.predict(X[0]),
        "x has shape (3,)",
        "for one row write x.reshape(1, -1)",
        "x.reshape(-1, 1)",
    ),
    "predict: rows in a list": (lambda m: m.predict([X]), "x has shape (1, 40, 3)", "write x[0]", "reshape(len"),
    "predict: rows in two lists": (
        lambda m: m.predict([X, X]),
        "x has shape (2, 40, 3)",
        "write x.reshape(-1, 3)",
        "x[0]",
    ),
    "predict: a number": (lambda m: m.predict(1.0), "x has shape ()", "[[x]]", "reshape"),
    "predict: turned about": (lambda m: m.predict(X[:5].T), "x has 5 values per row", "write x.T", "reshape"),
    "predict: one row in many": (lambda m: m.predict(X[:1].T), "x has 1 values per row", "x.reshape(1, -1)", "x.T"),
    "predict: another width": (
        lambda m: m.predict(X[:, :2]),
        "x has 2 values per row",
        "give it rows of 3",
        "reshape",
    ),
    "fit: a column": (
        lambda m: m.fit(X[:, 0], Y),
        "x has shape (40,)",
        "for rows with one number each write x.reshape(-1, 1)",
        "x[0]",
    ),
    "fit: rows in a list": (lambda m: m.fit([X], Y), "x has shape (1, 40, 3)", "write x[0]", "reshape(len"),
    "fit: y is a single number": (lambda m: m.fit(X, 1), "y is a single number", "one number per row", "axes"),
    "fit: y in a list": (lambda m: m.fit(X, [Y]), "x has 40 rows, but y has 1", "write y.reshape(-1)", "axes"),
    "fit: y of three axes": (lambda m: m.fit(X, Y[:, None, None]), "y has 3 axes", "y.reshape(len(y), -1)", "x."),
    "fit: one weight": (
        lambda m: m.fit(X, Y, sample_weight=1.0),
        "sample_weight is a single number",
        "per row",
        "axes",
    ),
    "fit: weights in columns": (
        lambda m: m.fit(X, Y, sample_weight=np.ones((ROWS, 1))),
        "sample_weight has 2 axes",
        "sample_weight.reshape(-1)",
        "y.",
    ),
    "fit: x and y in a tuple": (
        lambda m: m.fit((X, Y)),
        "x is a tuple of 2 arrays",
        "pass them separately, as in fit(x, y)",
        "ragged",
    ),
    "fit: class numbers for one-hot rows": (
        lambda m: (m.compile("sgd", "categorical_crossentropy"), m.fit(X, Y)),
        "y has 1 values per row",
        "for class indices use sparse_categorical_crossentropy",
        "reshape",
    ),
    "fit: no y": (lambda m: m.fit(X), "y is missing", "fit(x, y)", "x is"),
    "evaluate: a row": (
        lambda m: m.evaluate(X[0], Y[:1]),
        "x has shape (3,)",
        "write x.reshape(1, -1)",
        "x.reshape(-1, 1)",
    ),
    "evaluate: y is a single number": (
        lambda m: m.evaluate(X[:1], 1),
        "y is a single number",
        "one number per row",
        "axes",
    ),
}
"""What is done, what is said to be wrong, the advice, and an advice that would lead the wrong way."""


@pytest.mark.parametrize("name", ADVICE)
def test_a_mistake_is_answered_with_the_advice_that_puts_it_right(name):
    call, found, advice, astray = ADVICE[name]
    with pytest.raises((DataError, ConfigError)) as caught:
        call(trained())
    message = str(caught.value)
    assert message.startswith(found) and advice in message and astray not in message


def test_the_advice_can_be_taken():
    model = trained()
    model.fit(X, Y, verbose=0)
    for x, row in ((X[0], X[:1]), ([X], X), ([X, X], np.concatenate([X, X])), (X.T, X)):
        with pytest.raises(DataError) as caught:
            model.predict(x)
        code = re.search(r"write (x(?:\.T|\[0\]|\.reshape\([^)]*\)))", str(caught.value))
        assert code and np.array_equal(model.predict(eval(code[1], {"x": np.array(x)})), model.predict(row))


def test_an_unbuilt_network_reports_both_meanings():
    model = Sequential([Dense(2, "softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy")
    with pytest.raises(DataError, match=r"x.reshape\(-1, 1\), for one row x.reshape\(1, -1\)"):
        model.fit(X[0], Y[:3])
    with pytest.raises(
        DataError, match=r"if x\[0\] holds the rows write x\[0\], if x is one row write x.reshape\(len\(x\), -1\)"
    ):
        model.fit([X], Y)


VALIDATION = {
    "NaN": ((masked(X), Y), "validation_data's x, position 1, holds NaN: nan at row 5; 1 of 40 rows"),
    "a class outside": ((X, Y + 1), "validation_data's y holds a class outside the range: 2 at row 1"),
    "text": ((holed(X, "a"), Y), "validation_data's x holds 'a' at row 5"),
    "lengths": ((X, Y[:9]), "validation_data's x has 40 rows, but validation_data's y has 9"),
    "a width": ((X[:, :2], Y), "validation_data's x has 2 values per row"),
    "a shape": ((X[0], Y), "validation_data's x has shape (3,)"),
    "no y": ((X, None), "validation_data's y is missing"),
    "weights": ((X, Y, -np.ones(ROWS)), "validation_data's sample_weight holds a negative number"),
    "no weight": ((X, Y, np.zeros(ROWS)), "validation_data's sample_weight is 0 in every row"),
    "one number": ((X, 1), "validation_data's y is a single number"),
    "columns": ((X, np.eye(2)[Y]), "validation_data's y has 2 values per row"),
    "empty": ((X[:0], Y[:0]), "validation_data's x has 0 rows"),
}


@pytest.mark.parametrize("name", VALIDATION)
def test_errors_in_validation_data_name_validation_data(name):
    data, said = VALIDATION[name]
    with pytest.raises((DataError, ConfigError)) as caught:
        trained().fit(X, Y, validation_data=data, verbose=0)
    assert str(caught.value).startswith(said)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        trained().fit(X, Y, validation_data=(X, Y), verbose=0)


@pytest.mark.parametrize(
    "metrics, watched, said",
    [
        (["acc"], "val_accuracy", "did you mean 'val_acc'?"),
        (["accuracy"], "val_acc", "did you mean 'val_accuracy'?"),
        (["acc"], "accuracy", "did you mean 'acc'?"),
        (["accuracy"], "val_los", "did you mean 'val_loss'?"),
    ],
)
def test_a_metric_by_another_name_is_no_lack_of_validation_rows(metrics, watched, said):
    with pytest.raises(ConfigError) as caught:
        stop = EarlyStopping(watched, mode="max")
        trained(metrics=metrics).fit(X, Y, validation_split=0.25, verbose=0, callbacks=[stop])
    assert said in str(caught.value) and "give validation_split" not in str(caught.value)


# Weights of classes

FORMS = {
    "a mapping": {0: 2.0, 1: 0.5},
    "an array": np.array([2.0, 0.5]),
    "float32": np.array([2.0, 0.5], "f4"),
    "a list": [2.0, 0.5],
    "a tuple": (2, 0.5),
    "NumPy's numbers": {np.int64(0): np.float32(2), np.int8(1): np.float64(0.5)},
    "NumPy's floats": {np.float64(0): 2, np.float32(1): 0.5},
    "texts": {"0": 2.0, "1": 0.5},
    "texts of NumPy's": {np.str_("0"): 2.0, np.str_("1.0"): 0.5},
    "booleans": {False: 2.0, True: 0.5},
    "NumPy's booleans": {np.False_: 2.0, np.True_: 0.5},
    "another mapping": MappingProxyType({0: 2.0, 1: 0.5}),
    "an ordered one": OrderedDict([(1, 0.5), (0, 2.0)]),
    "a Series": pd.Series({1: 0.5, 0: 2.0}),
    "an Arrow array": pa.array([2.0, 0.5]).to_numpy(),
    "fractions": {0: Fraction(2), 1: Fraction(1, 2)},
}


@pytest.mark.parametrize("name", FORMS)
def test_weights_of_classes_are_read_in_any_form(name):
    expected, given = trained(), trained()
    expected.fit(X, Y, verbose=0, class_weight={0: 2.0, 1: 0.5}, epochs=2)
    given.fit(X, Y, verbose=0, class_weight=FORMS[name], epochs=2)
    assert given.fingerprint() == expected.fingerprint()


def test_scikit_learns_weights_are_those_of_balanced():
    y = (np.arange(ROWS) % 8 == 0).astype(int)
    ours, theirs = trained(), trained()
    ours.fit(X, y, verbose=0, class_weight="balanced")
    theirs.fit(X, y, verbose=0, class_weight=compute_class_weight("balanced", classes=np.unique(y), y=y))
    assert ours.fingerprint() == theirs.fingerprint()


@pytest.mark.parametrize(
    "wrong, said",
    [
        (np.ones(3), "has 3 weights for 2 classes"),
        ([1.0], "has 1 weights for 2 classes"),
        (np.ones((2, 1)), "give {class: weight} or 'balanced'"),
        (2.0, "give {class: weight} or 'balanced'"),
        ({0: 1.0, "0": 2.0}, "names class 0 twice"),
        ({2: 1.0}, "there is no class 2: the classes are 0 to 1"),
        ({0.5: 1.0}, "there is no class 0.5"),
        ({"cat": 1.0}, "there is no class 'cat'"),
        ({None: 1.0}, "there is no class None"),
        ({"2": 1.0}, "there is no class 2: the classes are 0 to 1"),
        (pd.Series({"cat": 1.0}), "there is no class 'cat'"),
        ({0: float("nan")}, "weights must be 0 or more"),
        ({0: "2"}, "weights must be 0 or more"),
        ({0: None}, "weights must be 0 or more"),
        (np.array([np.inf, 1.0]), "weights must be 0 or more"),
    ],
)
def test_weights_of_classes_that_are_none_are_refused(wrong, said):
    with pytest.raises(ConfigError, match="^class_weight") as caught:
        trained().fit(X, Y, class_weight=wrong, verbose=0)
    assert said in str(caught.value) and caught.value.code == "config-class-weight"

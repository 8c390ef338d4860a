"""What the functional API refuses, with a message that says what was given and what fits, and never a traceback."""

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from firesteel.errors import ConfigError, DataError
from firesteel.layers import (
    Activation,
    Add,
    Concatenate,
    Dense,
    Dot,
    Dropout,
    Flatten,
    Input,
    Permute,
    ReLU,
    RepeatVector,
    Reshape,
    Softmax,
)
from firesteel.models import Model, Sequential, load_model
from tests.support.functional import CASES, CLASS, SUM, A, B, built, fitted, same


def model(outputs=None, **more):
    """Return a model of one input."""
    x = Input((6,), name="row")
    return Model(x, (outputs or Dense(2))(x), **more)


def two(joined=None):
    """Return the inputs "a" and "b"."""
    return Input((6,), name="a"), Input((4,), name="b")


def unread():
    a, b = two()
    Model([a, b], Dense(1)(a))


def missing():
    a, b = two()
    Model(a, Dense(1)(Concatenate()([a, b])))


def twice():
    a, _ = two()
    Model([a, a], Dense(1)(a))


def one_name():
    x = Input((6,))
    Model(x, Dense(1, name="same")(Dense(2, name="same")(x)))


def one_name_of_outputs():
    x = Input((6,))
    Model(x, {"same": Dense(1)(x), "other": Dense(2, name="other")(Dense(2, name="other")(x))})


def one_name_of_inputs():
    a, b = Input((6,), name="same"), Input((4,), name="same")
    Model([a, b], Dense(1)(Concatenate()([a, b])))


def one_name_of_models():
    x, a = Input((6,)), Input((6,))
    one, other = Model(x, Dense(2, name="d")(x), name="base"), Model(a, Dense(2, name="d")(a), name="base")
    y = Input((6,))
    Model(y, Add()([one(y), other(y)]))


def of_two_widths():
    a, b = two()
    Add()([Dense(3, name="three")(a), Dense(5, name="five")(b)])


def shared_of_two_widths():
    (a, b), layer = two(), Dense(3, name="again")
    Model([a, b], Add()([layer(a), layer(b)]))


def called_without_two(on):
    a, b = two()
    pair = Model([a, b], Dense(1)(Concatenate()([a, b])), name="pair")
    return pair(on(a, b))


def value():
    return Dense(2, name="first")(Input((6,), name="row"))


BUILT = {
    # what layers are called on
    "on an array": (lambda: Dense(2)(A), "Dense.* has weights, which belong to a model: call the layer on an Input"),
    "on rows without numbers": (lambda: ReLU()(np.array([["x"]])), "needs numeric arrays"),
    "on one axis": (lambda: ReLU()(np.ones(3)), "needs numeric arrays"),
    "on an array in training": (lambda: Dropout(0.5)(A, training=True), "inference mode"),
    "on a number": (lambda: Dense(2)(3), "Dense.* was called on an object of type int"),
    "on None": (lambda: Dense(2)(None), "Dense.* was called on an object of type NoneType"),
    "on text": (lambda: Dense(2)("x"), "Dense.* was called on an object of type str"),
    "on a layer": (lambda: Dense(2)(Dense(3)), "was called on the layer .*, not on its output"),
    "on a model": (lambda: Dense(2)(model()), "was called on an object of type Model"),
    "on a class": (lambda: Dense(2)(Dense), "was called on an object of type"),
    "on nothing": (lambda: Dense(2)(), "was called without an input"),
    "on an empty list": (lambda: Add()([]), "was called without an input"),
    "on a dictionary": (lambda: Add()({"a": Input((3,))}), "was called on an object of type dict"),
    "an input on a value": (lambda: Input((3,))(value()), "is an input"),
    "a layer on two values": (lambda: Dense(2)([value(), value()]), "Dense.*takes 1 input.* 2"),
    "Flatten on two values": (lambda: Flatten()([value(), value()]), "Flatten.*takes 1 input.* 2"),
    "Reshape on two values": (lambda: Reshape((2, 1))(value(), value()), "Reshape.*takes 1 input.* 2"),
    "Activation on two values": (lambda: Activation("relu")(value(), value()), "Activation.*takes 1 input.* 2"),
    "a merge of one": (lambda: Add()(value()), "Add"),
    "arithmetic with text": (lambda: value() + "1", "was called on an object of type str"),
    "arithmetic with an array": (lambda: A + value(), "was called on an object of type ndarray"),
    "arithmetic with an array behind": (lambda: value() * A, "was called on an object of type ndarray"),
    "division by a value": (lambda: value() / value(), "the divisor must be a number other than 0"),
    "division by 0": (lambda: value() / 0, "the divisor must be a number other than 0"),
    "a number by a value": (lambda: 1 / value(), "the divisor must be a number"),
    "nan": (lambda: value() * float("nan"), "nan"),
    "a loop over a value": (lambda: list(value()), "symbolic tensor without numbers"),
    # shapes that do not compose
    "widths to add": (of_two_widths, r"Add.*Dense.*'three'.*\(None, 3\).*Dense.*'five'.*\(None, 5\)"),
    "input_dim": (lambda: Dense(2, name="second", input_dim=5)(value()), r"'second'.*Dense.*'first'.*\(None, 2\).*5"),
    "Reshape": (lambda: Reshape((5,), name="r")(value()), r"'r'.*'first'.*\(None, 2\)"),
    "Permute": (lambda: Permute((2, 1), name="p")(value()), r"'p'.*'first'.*\(None, 2\)"),
    "RepeatVector": (lambda: RepeatVector(2)(Reshape((2, 1))(value())), r"RepeatVector.*Reshape.*\(None, 2, 1\)"),
    "Dot": (lambda: Dot(1)([value(), Dense(3)(value())]), r"Dot.*\(None, 2\).*\(None, 3\)"),
    "Softmax": (lambda: Softmax(3)(value()), r"Softmax.*'first'.*\(None, 2\)"),
    "Concatenate": (lambda: Concatenate()([value(), Reshape((2, 1))(value())]), r"Concatenate.*\(None, 2, 1\)"),
    "Flatten": (lambda: Flatten((3, 3))(value()), r"Flatten.*'first'.*\(None, 2\)"),
    "a shared layer": (shared_of_two_widths, r"again.*another shape|shares"),
    "a model": (lambda: model(name="base")(value()), r"Dense.*'first'.*\(None, 2\)|base.*\(6,\)"),
    "a model in a chain": (lambda: Sequential([Dense(5, input_dim=6), model(name="base")]).count_params(), "6"),
    # models
    "no outputs": (lambda: Model(Input((3,))), "outputs"),
    "no inputs": (lambda: Model(None, value()), "inputs"),
    "nothing": (lambda: Model(), "inputs"),
    "empty lists": (lambda: Model([], []), "inputs.*none"),
    "empty outputs": (lambda: Model(Input((3,)), {}), "outputs.*none"),
    "an input alone": (lambda: (lambda x: Model(x, x))(Input((3,))), "layer"),
    "a list of layers": (
        lambda: Model([Dense(3), Dense(2)], value()),
        "was called on the layer .*, not on its output",
    ),
    "arrays": (lambda: Model(A, SUM), "ndarray"),
    "a value that no input leads to": (lambda: Model(Input((6,)), value()), "'row'.*not among the inputs"),
    "an input that nothing reads": (unread, "input 1.*'b'.*does not affect the outputs"),
    "an input that is missing": (missing, "'b'.*not among the inputs"),
    "an input twice": (twice, "twice"),
    "two layers of one name": (one_name, "two layers are named 'same'"),
    "two layers of one name behind a dictionary": (one_name_of_outputs, "two layers are named 'other'"),
    "two inputs of one name": (one_name_of_inputs, "two (inputs|layers) are named 'same'"),
    "two models of one name": (one_name_of_models, "two layers are named 'base/d'"),
    "a name with a slash": (lambda: model(name="a/b"), "slash"),
    "a name that is none": (lambda: model(name=3), "name=3"),
    "a dtype": (lambda: model(dtype="float16"), "float16"),
    "a name of a layer": (lambda: Dense(2, name=5), "name=5"),
    "inputs by numbers": (lambda: (lambda x: Model({1: x}, Dense(1)(x)))(Input((6,))), "name"),
    "an output by a slash": (lambda: (lambda x: Model(x, {"a/b": Dense(1)(x)}))(Input((6,))), "slash"),
    # models that are called
    "a model on one of two": (lambda: called_without_two(lambda a, b: a), "pair has 2 inputs.*1"),
    "a model on three of two": (lambda: called_without_two(lambda a, b: [a, b, a]), "pair has 2 inputs.*3"),
    "a model on other keys": (lambda: called_without_two(lambda a, b: {"a": a, "c": b}), "a, b.*a, c"),
    "a model on nothing": (lambda: model()(), "called on nothing|1 input"),
    "a model in training": (lambda: model()(A, training=True), "training"),
    "a chain without inputs": (lambda: Sequential()(Input((3,))), "layer"),
    "an unknown layer": (lambda: model().get_layer("nothing"), "the layers are"),
    "a layer by number": (lambda: model().get_layer(index=9), "index=9"),
    "a layer by nothing": (lambda: model().get_layer(), "get_layer"),
}


@pytest.mark.parametrize("what", BUILT)
def test_what_cannot_be_built_is_refused(what):
    call, said = BUILT[what]
    with pytest.raises(ConfigError, match=said) as caught:
        call()
    assert caught.value.code


def rows_of(x, y=None):
    def fit():
        trained = built("two outputs")
        trained.fit(x, {"cls": CLASS, "reg": SUM} if y is None else y, verbose=0)

    def evaluate():
        built("two outputs").evaluate(x, {"cls": CLASS, "reg": SUM} if y is None else y, verbose=0)

    return fit, evaluate


def predicted(x):
    return [lambda: built("two outputs").predict(x), lambda: built("two outputs")(x)]


GIVEN = {"cls": CLASS, "reg": SUM}
ROWS = {
    "one array of two": ([*rows_of(A), *predicted(A)], "2 inputs, a, b, and was given a ndarray"),
    "arrays side by side": ([*rows_of(np.hstack([A, B]))], "has 2 inputs"),
    "a list of one": ([*rows_of([A]), *predicted([A])], "a list of 1"),
    "a list of three": ([*rows_of([A, B, B]), *predicted([A, B, B])], "a list of 3"),
    "an empty list": ([*rows_of([]), *predicted([])], "a list of 0"),
    "an empty list of one": ([lambda: model()([])], r"'row' has shape \(0,\)"),
    "a missing key": ([*rows_of({"a": A}), *predicted({"a": A})], "named a, b, but the keys are a:"),
    "an unknown key": ([*rows_of({"a": A, "c": B})], "named a, b, but the keys are a, c:"),
    "a key too many": ([*rows_of({"a": A, "b": B, "c": B})], "keys are a, b, c:"),
    "no keys": ([*rows_of({}), *predicted({})], "keys are none"),
    "in the wrong order": ([*rows_of([B, A]), *predicted([B, A])], r"'a' has shape \(240, 4\), but needs .*\(6,\)"),
    "of different lengths": ([*rows_of([A, B[:9]]), *predicted([A, B[:9]])], "240 of 'a', 9 of 'b'"),
    "of three axes": ([*rows_of([A[:, None], B])], r"'a' has shape \(240, 1, 6\)"),
    "of one axis": ([*rows_of([A[:, 0], B])], r"'a' has shape \(240,\)"),
    "a number": ([*rows_of([A, 3.0])], r"'b' has shape \(\)"),
    "None": ([*rows_of([A, None]), *rows_of(None)], "'b'|NoneType"),
    "text": ([*rows_of([A, B.astype(str)])], "'b'|numbers|text"),
    "words": ([*rows_of([A, np.full(B.shape, "x")])], "x|numbers"),
    "ragged lists": ([*rows_of([[[1.0, 2.0], [3.0]], B])], "'a'"),
    "an array that is not finite": (rows_of([np.full_like(A, np.nan), B])[:1], "nan|finite"),
    "targets of one": ([*rows_of([A, B], SUM)], "has 2 outputs, cls, reg"),
    "targets of three": ([*rows_of([A, B], [CLASS, SUM, SUM])], "a list of 3"),
    "targets of a missing key": ([*rows_of([A, B], {"cls": CLASS})], "named cls, reg, but the keys are cls:"),
    "targets of another key": ([*rows_of([A, B], {"cls": CLASS, "sum": SUM})], "keys are cls, sum"),
    "targets that are too short": ([*rows_of([A, B], [CLASS, SUM[:5]])], "240 of 'cls', 5 of 'reg'"),
    "targets shorter than rows": ([*rows_of([A, B], [CLASS[:5], SUM[:5]])], "240.*5|5.*240"),
    "targets that are no classes": ([*rows_of([A, B], [CLASS + 0.5, SUM])], "'cls'.*whole numbers|'cls'.*class"),
    "targets beyond the classes": ([*rows_of([A, B], [CLASS + 7, SUM])], "'cls'.*number the classes from 0"),
    "targets that are too wide": ([*rows_of([A, B], [CLASS, A])], r"'reg' has shape \(240, 6\)"),
    "targets of words": ([*rows_of([A, B], [np.full(240, "cat"), SUM])], "cat|numbers"),
    "no targets": ([lambda: built("two outputs").fit([A, B], verbose=0)], "y"),
    "no targets to evaluate": ([lambda: built("two outputs").evaluate([A, B], verbose=0)], "y"),
    "validation rows of one": (
        [lambda: built("two outputs").fit([A, B], GIVEN, validation_data=(A, GIVEN), verbose=0)],
        "has 2 inputs",
    ),
    "validation targets of one": (
        [lambda: built("two outputs").fit([A, B], GIVEN, validation_data=([A, B], SUM), verbose=0)],
        "has 2 outputs",
    ),
    "weights by output": (
        [lambda: built("two outputs").fit([A, B], GIVEN, sample_weight={"cls": SUM, "reg": SUM}, verbose=0)],
        "sample_weight",
    ),
    "weights of another length": (
        [lambda: built("two outputs").fit([A, B], GIVEN, sample_weight=np.ones(5), verbose=0)],
        "sample_weight",
    ),
    "columns": ([lambda: built("two outputs").fit([A, B], GIVEN, features=["a"], verbose=0)], "features="),
    "a shape turned": ([lambda: built("several axes").predict(np.ones((9, 3, 2)))], r"\(9, 3, 2\).*\(2, 3\)"),
    "outputs of another shape": (
        [lambda: built("wide output").fit(A, {"rows": np.ones((240, 3, 2)), "one": SUM}, verbose=0)],
        r"\(240, 3, 2\).*\(2, 3\)",
    ),
}


@pytest.mark.parametrize("what", ROWS)
def test_rows_that_do_not_fit_are_refused(what):
    calls, said = ROWS[what]
    for call in calls:
        with pytest.raises((ConfigError, DataError), match=said) as caught:
            call()
        assert caught.value.code


def compiled(loss="mse", name="two outputs", **more):
    def call():
        case = CASES[name]
        model = case.make("float32")
        model.compile("adam", loss, **more)
        model.evaluate(case.x, case.y, verbose=0)

    return call


TWO = {"cls": "sparse_categorical_crossentropy", "reg": "mse"}
COMPILED = {
    "no loss": (compiled(None), "loss"),
    "a loss for one": (compiled({"cls": TWO["cls"]}), "'reg' has no loss"),
    "a list that is short": (compiled(["mse"]), "1 entries, but there are 2 outputs"),
    "a list that is long": (compiled(["mse"] * 3), "3 entries"),
    "an unknown output": (compiled(TWO | {"x": "mse"}), "loss names x, but the outputs are cls, reg"),
    "an unknown loss": (compiled({"cls": "nothing", "reg": "mse"}), "nothing"),
    "a loss that does not fit": (compiled(dict.fromkeys(TWO, "binary_crossentropy")), "output 'cls'.*sigmoid"),
    "weights of an unknown output": (compiled(TWO, loss_weights={"x": 1.0}), "loss_weights names x"),
    "weights that are short": (compiled(TWO, loss_weights=[1.0]), "loss_weights has 1"),
    "weights below 0": (compiled(TWO, loss_weights=[-1.0, 1.0]), "loss_weights"),
    "weights of text": (compiled(TWO, loss_weights={"cls": "much"}), "loss_weights"),
    "metrics of an unknown output": (compiled(TWO, metrics={"x": ["mae"]}), "metrics names x"),
    "metrics of nothing": (compiled(TWO, metrics={"reg": ["nothing"]}), "nothing"),
    "metrics that rank": (compiled(TWO, metrics={"cls": ["auc"]}), "AUC"),
    "a loss by name of one output": (compiled({"x": "mse"}, name="skip"), "loss names x"),
    "loss weights of one output": (compiled("mse", name="skip", loss_weights=[1.0, 2.0]), "loss_weights"),
}


@pytest.mark.parametrize("what", COMPILED)
def test_what_cannot_be_compiled_is_refused(what):
    call, said = COMPILED[what]
    with pytest.raises(ConfigError, match=said) as caught:
        call()
    assert caught.value.code


FRAME = pd.DataFrame(A, columns=list("uvwxyz"))


@pytest.mark.parametrize(
    "x",
    [
        [FRAME, B],
        {"a": FRAME, "b": B},
        [sparse.csr_matrix(A), B],
        [sparse.csr_matrix(A), sparse.csr_matrix(B)],
        [A.astype("f4"), B.astype("f4")],
        [A.tolist(), B.tolist()],
    ],
    ids=["frame", "frames by name", "sparse and dense", "sparse", "float32", "lists"],
)
def test_rows_of_other_kinds_train_as_arrays_do(x):
    trained = built("two outputs")
    trained.fit(x, GIVEN, epochs=2, batch_size=40, seed=5, verbose=0)
    expected = fitted("two outputs", epochs=2)
    np.testing.assert_allclose(trained.theta, expected.theta, rtol=0, atol=0.05)
    np.testing.assert_allclose(trained.predict(x)["reg"], trained.predict([A, B])["reg"], rtol=1e-4, atol=1e-5)


# Chains that meet values of several axes

Y = np.stack([A[:, :3], A[:, 3:]], axis=1)
ENDS = {
    "RepeatVector": (lambda: [Input((6,)), Dense(3), RepeatVector(2)], "mse", Y),
    "Reshape": (lambda: [Dense(6, input_dim=6), Reshape((2, 3))], "mse", Y),
    "Activation": (
        lambda: [Dense(6, input_dim=6), Reshape((2, 3)), Activation("sigmoid")],
        "binary_crossentropy",
        Y > 0,
    ),
    "Dense": (lambda: [Input((6,)), Reshape((2, 3)), Dense(3)], "mse", Y),
    "a model": (lambda: [Input((6,)), Sequential([Dense(6), Reshape((2, 3))])], "mse", Y),
}


@pytest.mark.parametrize("end", ENDS)
def test_a_chain_may_end_in_a_value_of_several_axes(tmp_path, end):
    parts, loss, y = ENDS[end]
    chain = Sequential(parts())
    chain.compile("adam", loss)
    before = chain.evaluate(A, y, verbose=0)[0]
    chain.fit(A, y, epochs=20, verbose=0)
    assert chain.predict(A).shape == (240, 2, 3) and chain.output_shape == (None, 2, 3)
    assert chain.evaluate(A, y, verbose=0)[0] < before
    chain.save(tmp_path / "chain")
    again = load_model(tmp_path / "chain")
    assert again.fingerprint() == chain.fingerprint() and np.array_equal(again.predict(A), chain.predict(A))


@pytest.mark.parametrize("end", ENDS)
def test_a_chain_that_knows_its_inputs_late_may_too(end):
    parts, loss, y = ENDS[end]
    first, *rest = parts()
    late, known = Sequential(rest if isinstance(first, Input) else [Dense(6), *rest]), Sequential(parts())
    for chain in (late, known):
        chain.compile("adam", loss, metrics=["mae"])
    for wrong in (np.ones((240, 3, 2)), np.ones((240, 2)), np.full(y.shape, np.nan)):
        with pytest.raises((ConfigError, DataError)):
            late.fit(A if end == "a model" else np.hstack([A, B]), wrong, verbose=0)
    history = [chain.fit(A, y, epochs=2, verbose=0).history for chain in (late, known)]
    assert history[0] == history[1] and same(late.predict(A), known.predict(A))


FLAT = {
    "Reshape": [Reshape((2, 3)), Flatten(), Dense(1)],
    "RepeatVector": [Dense(3), RepeatVector(2), Flatten(), Dense(1)],
    "Permute": [Input((2, 3)), Permute((2, 1)), Flatten(), Dense(1)],
    "twice": [Reshape((2, 3)), Dense(4), Flatten(), Reshape((4, 2)), Flatten(), Dense(1)],
}


@pytest.mark.parametrize("chain", FLAT)
def test_flatten_makes_a_row_of_a_value_of_several_axes(chain):
    model = Sequential(FLAT[chain])
    model.compile("adam", "mse")
    x = A.reshape(-1, 2, 3) if chain == "Permute" else A
    with pytest.raises(DataError):
        model.fit(x, np.full(240, np.nan), verbose=0)
    model.fit(x, SUM, epochs=2, verbose=0)
    assert model.predict(x).shape == (240, 1)
    start = value = Input((2, 3) if chain == "Permute" else (6,))
    for layer in FLAT[chain]:
        value = value if isinstance(layer, Input) else layer(value)
    other = Model(start, value)
    other.set_weights(model.get_weights())
    np.testing.assert_allclose(other.predict(x), model.predict(x), rtol=1e-5, atol=1e-6)


def test_pictures_are_flat_for_layers_that_take_rows_of_numbers():
    for parts in ([Flatten((2, 3)), Dense(1)], [Input((2, 3)), Flatten(), Dense(1)]):
        model = Sequential(parts)
        assert model.network.chained and model.network.inputs == 6 and "layers" in model.network.to_config()

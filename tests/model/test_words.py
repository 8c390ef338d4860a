"""The words of Keras that stand for our own: functions, snake case, and what comes and goes as JSON."""

import importlib
import json

import numpy as np
import pytest

from firesteel import activations
from firesteel.core.constraints import CONSTRAINTS
from firesteel.core.initializers import INITIALIZERS
from firesteel.core.layers.activation import ACTIVATIONS
from firesteel.core.regularizers import REGULARIZERS
from firesteel.errors import ConfigError, DataError
from firesteel.initializers import HeNormal
from firesteel.layers import Activation, Dense
from firesteel.models import Sequential
from firesteel.utils import SEEDS, normalize, set_random_seed

X = np.random.default_rng(0).normal(size=(40, 3))
FAMILIES = ["constraints", "initializers", "losses", "metrics", "optimizers", "regularizers"]
ALIASES = [
    (family, name)
    for family in ("constraints", "initializers", "regularizers")
    for name in getattr(importlib.import_module(f"firesteel.core.{family}"), family.upper())
]


@pytest.mark.parametrize("family, name", ALIASES)
def test_a_name_in_snake_case_makes_what_its_class_makes(family, name):
    face = importlib.import_module(f"firesteel.{family}")
    made = getattr(face, name)()
    assert name in face.__all__ and type(made) is type(face.get(name))
    assert made == face.get(name) or name == "l1_l2"  # as an object it has no default penalty, in Keras as here


def test_arguments_go_where_keras_has_them():
    from firesteel.constraints import max_norm
    from firesteel.initializers import he_normal, random_normal
    from firesteel.regularizers import l1, l1_l2, l2

    layer = Dense(2, kernel_regularizer=l2(1e-4), kernel_initializer=he_normal(), kernel_constraint=max_norm(2))
    assert (layer.kernel_regularizer.l2, layer.kernel_constraint.max_value) == (1e-4, 2.0)
    assert (l1(0.5).l1, l1_l2(l1=0.1, l2=0.2).l2, random_normal(mean=1.0, stddev=2.0).mean) == (0.5, 0.2, 1.0)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_member_of_a_family_goes_to_json_and_comes_back(family):
    face = importlib.import_module(f"firesteel.{family}")
    for name in face.get.names:
        config = json.loads(json.dumps(face.serialize(face.get(name))))
        assert face.deserialize(config) == face.get(name)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_every_activation_is_a_function_of_arrays_of_any_shape(name):
    function, layer = getattr(activations, name), ACTIVATIONS[name]
    x = np.random.default_rng(0).normal(size=(2, 3, 4)) * 3
    y = function(x)
    assert np.array_equal(y.reshape(6, 4), x.reshape(6, 4) if layer is None else layer.apply({}, x.reshape(6, 4))[0])
    assert np.array_equal(function(x[0]), y[0]) and np.array_equal(function(x[0, 0]), y[0, 0])
    assert function(1.5).shape == () and function([]).shape == (0,) and function([1, 2]).dtype == np.float64
    assert function(x.astype(np.float32)).dtype == np.float32 and np.array_equal(function(x), y)
    assert Dense(3, activation=function) == Dense(3, name) and Activation(function) == Activation(name)
    assert activations.get(name) is activations.get(function) is function is activations.deserialize(name)
    assert activations.serialize(function) == name == function.__name__
    with pytest.raises(ConfigError, match=f"{name} has no argument 'slope_'"):
        function(x, slope_=1.0)
    with pytest.raises(DataError, match="x must be an array of numbers"):
        function("a")


def test_functions_of_activations_take_keras_arguments():
    x = np.array([[-1.0, 2.0], [9.0, 0.5]])
    assert activations.relu(x, negative_slope=0.5, max_value=6.0).tolist() == [[-0.5, 2.0], [6.0, 0.5]]
    assert activations.leaky_relu(x, negative_slope=0.1)[0, 0] == -0.1 and activations.leaky_relu(x)[0, 0] == -0.2
    assert activations.softmax(x, axis=0).tolist() == activations.softmax(x.T).T.tolist()
    assert activations.softmax(x, axis=(0, 1)).ravel().tolist() == activations.softmax(x.ravel()).tolist()
    for axis in (2, "0", None):
        with pytest.raises(ConfigError, match="x has 2 axes"):
            activations.softmax(x, axis=axis)
    assert activations.log_softmax(x, axis=0).sum() == pytest.approx(np.log(activations.softmax(x, axis=0)).sum())


# Small things of utils


def test_a_seed_that_is_set_is_that_of_later_fits_and_of_first_weights():
    def fitted(**more):
        model = Sequential([Dense(2, "tanh", input_dim=3), Dense(1)])
        model.compile("sgd", "mse")
        first = model.fingerprint()
        model.fit(X, X[:, 0], verbose=0, **more)
        return first, model.fingerprint()

    usual = fitted()
    try:
        set_random_seed(np.int64(7))
        chosen = fitted()
        assert chosen == fitted() and chosen[1] == fitted(seed=7)[1] and fitted(seed=0)[1] == usual[1]
        assert chosen[0] != usual[0] and chosen[1] != usual[1]
        for wrong in (-1, 1.5, "1", None, True):
            with pytest.raises(ConfigError, match="seed="):
                set_random_seed(wrong)
        assert SEEDS == [7]
    finally:
        set_random_seed(0)
    assert fitted() == usual == fitted(seed=None)


@pytest.mark.parametrize("axis", [-1, 0, 1])
@pytest.mark.parametrize("order", [1, 2, 3, np.inf])
def test_vectors_are_normalized_along_an_axis(axis, order):
    x = X.reshape(8, 5, 3).copy()
    x[0] = 0
    y = normalize(x, axis, order)
    norms = np.linalg.norm(y, order, axis)
    np.testing.assert_allclose(norms, np.linalg.norm(x, order, axis) > 0, atol=1e-12)
    np.testing.assert_allclose(y * np.linalg.norm(x, order, axis, keepdims=True), x, atol=1e-12)
    for wrong in ((x, 3), ("a",), (1.0,), (x, -1, "many")):
        with pytest.raises(DataError, match="cannot normalize x"):
            normalize(*wrong)


# Objects are called as in Keras


@pytest.mark.parametrize("name", INITIALIZERS)
def test_an_initializer_is_called_with_a_shape(name):
    initializer = INITIALIZERS[name]
    drawn = initializer((4, 3))
    assert drawn.shape == (4, 3) and drawn.dtype == np.float32 and np.array_equal(drawn, initializer(shape=[4, 3]))
    assert initializer((4, 3), dtype="float64").dtype == np.float64
    same = np.array_equal(drawn, initializer((4, 3), seed=1))
    assert same == (name in ("zeros", "ones", "constant", "identity"))
    for wrong in (
        {"shape": (4, -1)},
        {"shape": "43"},
        {"shape": 1.5},
        {"dtype": "int32"},
        {"seed": -1},
        {"seed": None},
    ):
        with pytest.raises(ConfigError):
            initializer(**{"shape": (4, 3), **wrong})


@pytest.mark.parametrize("name", CONSTRAINTS)
def test_a_constraint_is_called_with_weights_which_stay_as_they_are(name):
    w = np.arange(-6.0, 6.0).reshape(4, 3)
    expected, given = w.copy(), w.copy()
    CONSTRAINTS[name].apply(expected)
    assert np.array_equal(CONSTRAINTS[name](given), expected) and np.array_equal(given, w)
    assert np.array_equal(CONSTRAINTS[name](w.tolist()), expected) and not np.array_equal(expected, w)
    with pytest.raises(ConfigError, match="an array of numbers"):
        CONSTRAINTS[name]("a")
    if name != "non_neg":
        with pytest.raises(ConfigError, match="weights of shape"):
            type(CONSTRAINTS[name])(axis=2)(w)


@pytest.mark.parametrize("name", REGULARIZERS)
def test_a_regularizer_is_called_with_weights(name):
    w = np.arange(-6.0, 6.0).reshape(4, 3)
    assert REGULARIZERS[name](w.tolist()) == REGULARIZERS[name].add(w, None) > 0
    with pytest.raises(ConfigError, match="an array of numbers"):
        REGULARIZERS[name]([[1.0], [2.0, 3.0]])


def test_a_seed_of_a_draw_is_answered_with_where_seeds_are_given():
    with pytest.raises(
        ConfigError,
        match=r"HeNormal has no argument 'seed': leave it out, because all randomness follows from fit\(seed",
    ):
        HeNormal(seed=1)


def test_arguments_of_an_object_come_and_go_without_its_class():
    for made in (HeNormal(), Dense(2, "relu"), CONSTRAINTS["max_norm"], REGULARIZERS["l1_l2"]):
        config = made.get_config()
        assert "type" not in config and type(made).from_config(config) == made
    assert CONSTRAINTS["max_norm"].get_config() == {"max_value": 2.0, "axis": 0}

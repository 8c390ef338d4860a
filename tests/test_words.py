"""The words of Keras that stand for our own: functions, snake case, and what comes and goes as JSON."""

import importlib
import json

import numpy as np
import pytest

from firesteel import activations
from firesteel.core.layers.activation import ACTIVATIONS
from firesteel.errors import ConfigError, DataError
from firesteel.layers import Activation, Dense

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
    for axis in (2, "0", None):
        with pytest.raises(ConfigError, match="x has 2 axes"):
            activations.softmax(x, axis=axis)
    assert activations.log_softmax(x, axis=0).sum() == pytest.approx(np.log(activations.softmax(x, axis=0)).sum())

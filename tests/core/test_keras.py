"""Activations and losses against Keras's own numbers, at ordinary and at extreme inputs, values and derivatives."""

import json
from pathlib import Path

import numpy as np
import pytest

from firesteel.core import layers, losses
from firesteel.core.layers import ACTIVATIONS, Activation

GOLDEN = json.loads((Path(__file__).parent / "golden" / "activations_and_losses.json").read_text())
OURS_ALONE = {"HalfSumOfSquares", "Quantile", "Standardized"}


def named(case):
    return json.dumps(case["config"])


def close(ours, keras):
    """Equal to 1e-6; below 1e-14, where a sigmoid out of tanh has no digits left, both are 0."""
    np.testing.assert_allclose(ours, keras, rtol=1e-6, atol=1e-14)


def test_every_activation_and_loss_that_keras_has_is_compared():
    assert set(ACTIVATIONS) <= {case["config"] for case in GOLDEN["activations"] if isinstance(case["config"], str)}
    compared = {case["config"]["type"] for case in GOLDEN["losses"]}
    assert {type(loss).__name__ for loss in losses.LOSSES.values()} == compared | OURS_ALONE


@pytest.mark.parametrize("case", GOLDEN["activations"], ids=named)
def test_an_activation_and_its_derivative_are_keras_s(case):
    config = case["config"]
    layer = Activation(config) if isinstance(config, str) else layers.get(config)
    y, d = np.array(GOLDEN["x"]), np.tile(GOLDEN["c"], (len(GOLDEN["x"]), 1))
    pulls = []
    with np.errstate(all="raise", under="ignore"):
        for part in layer.parts():
            y, pull = part.apply({}, y)
            pulls.append(pull)
        for pull in reversed(pulls):
            d = pull(d, {}, True)
    close(y, case["y"])
    close(d, case["d"])


@pytest.mark.parametrize("case", GOLDEN["losses"], ids=named)
def test_a_loss_and_its_derivative_are_keras_s(case):
    z, y = np.array(case["z"]), np.array(case["y"])
    with np.errstate(all="raise", under="ignore"):
        rows, _, d = losses.get(case["config"]).rows(z, y)
    close(rows, case["rows"])
    close(d, case["d"])


PICTURES = json.loads((Path(__file__).parent / "golden" / "pictures.json").read_text())


def numbers(shape):
    """The numbers that weights and derivatives of a shape are set to, as in `make_pictures.py`."""
    return np.cos(np.arange(np.prod(shape), dtype=float)).reshape(shape)


@pytest.mark.parametrize("kind, settings, expected", PICTURES["layers"], ids=lambda one: str(one)[:90])
def test_layers_of_pictures_are_those_of_keras(kind, settings, expected):
    layer = getattr(layers, kind)(**settings)
    x = np.array(PICTURES["sequences" if kind.endswith("1D") else "pictures"])
    known = {name: np.array(values).reshape(shape) for name, (shape, values) in expected.items()}
    y, pulls, shape = x, [], x.shape[1:]
    for part in layer.parts():
        p = {name: numbers(param.shape) for name, param in part.params(shape).items()}
        y, pull = part.apply(p, y)
        pulls.append((p, pull))
        shape = y.shape[1:]
    assert layer.parts()[0].output_shape(x.shape[1:]) == y.shape[1:] or len(pulls) > 1
    # Keras's means over whole pictures round to float32
    near = {"rtol": 1e-6, "atol": 1e-7} if kind.startswith("GlobalAverage") else {"rtol": 1e-9, "atol": 1e-11}
    np.testing.assert_allclose(y, known["y"], **near)
    d, gradients = numbers(y.shape), []
    for p, pull in reversed(pulls):
        g = {name: np.empty_like(array) for name, array in p.items()}
        d = pull(d, g, True)
        gradients = [*(array.ravel() for array in g.values()), *gradients]
    np.testing.assert_allclose(d, known["d_x"], **near)
    np.testing.assert_allclose(np.concatenate([*gradients, []]), known["g"], rtol=1e-9, atol=1e-10)


def test_equal_values_and_nan_go_through_a_pool_as_in_torch():
    expected = PICTURES["ties"]
    y, pull = layers.MaxPooling2D().apply({}, np.array(expected["x"]).reshape(1, 4, 4, 1))
    np.testing.assert_array_equal(y.ravel(), expected["y"])
    d = np.where(np.isnan(y), 0.0, 1.0)
    np.testing.assert_array_equal(pull(d, {}, True).ravel(), expected["d_x"])

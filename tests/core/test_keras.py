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

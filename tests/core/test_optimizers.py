"""Optimisers against the formulas of their papers, in plain Python floats, ten steps deep."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from firesteel.core import optimizers
from firesteel.core.optimizers import OPTIMIZERS, SGD, Adam, RMSprop
from firesteel.train.state import TrainState


def sgd(o, grad, theta, steps):
    """Keras 3: v = mu v - rate g; then w += v, or with Nesterov w += mu v - rate g."""
    v = 0.0
    for _ in range(steps):
        g = grad(theta)
        v = o["momentum"] * v - o["learning_rate"] * g
        theta = theta + (o["momentum"] * v - o["learning_rate"] * g if o["nesterov"] else v)
    return theta


def rmsprop(o, grad, theta, steps):
    """Keras 3: epsilon is added inside the root."""
    v = 0.0
    for _ in range(steps):
        g = grad(theta)
        v = o["rho"] * v + (1 - o["rho"]) * g**2
        theta = theta - o["learning_rate"] * g / math.sqrt(v + o["epsilon"])
    return theta


def adam(o, grad, theta, steps):
    """Keras 3 (Kingma and Ba, end of section 2): epsilon outside the root, beside the uncorrected sqrt(v)."""
    m = v = 0.0
    for t in range(1, steps + 1):
        g = grad(theta)
        m = o["beta_1"] * m + (1 - o["beta_1"]) * g
        v = o["beta_2"] * v + (1 - o["beta_2"]) * g**2
        rate = o["learning_rate"] * math.sqrt(1 - o["beta_2"] ** t) / (1 - o["beta_1"] ** t)
        theta = theta - rate * m / (math.sqrt(v) + o["epsilon"])
    return theta


REFERENCES = {"SGD": sgd, "RMSprop": rmsprop, "Adam": adam}
VARIANTS = [
    SGD(0.05, momentum=0.9),
    SGD(0.05, momentum=0.9, nesterov=True),
    SGD(0.05, nesterov=True),
    RMSprop(0.05, rho=0.5, epsilon=0.3),
    RMSprop(0.01, rho=0.0),
    Adam(0.1, beta_1=0.5, beta_2=0.7, epsilon=0.3),
    Adam(0.1, beta_1=0.0, beta_2=0.0),
]
ALL = [*OPTIMIZERS.values(), *VARIANTS]
START = [1.5, -0.7, 0.01, 0.0]


def grad(theta):
    """Of the sum of theta^4 / 4 - theta^2 + theta / 5: no bowl, so that the terms of a formula cannot cancel."""
    return theta**3 - 2 * theta + 0.2


def run(optimizer, theta, steps, grad=grad):
    state = TrainState.start(theta, optimizer)
    for t in range(1, steps + 1):
        optimizer.step(theta, grad(theta), state.slots, t)
    return theta, state.slots


def test_every_optimizer_of_the_registry_has_a_reference_here():
    kinds = {type(optimizer).__name__ for optimizer in OPTIMIZERS.values()}
    assert kinds == set(REFERENCES), "write the new optimiser's formulas into REFERENCES"


@pytest.mark.parametrize("steps", [1, 2, 10])
@pytest.mark.parametrize("optimizer", ALL, ids=repr)
def test_every_optimizer_follows_its_formula_step_by_step(optimizer, steps):
    reference = REFERENCES[type(optimizer).__name__]
    expected = [reference(optimizer.to_config(), grad, theta, steps) for theta in START]
    theta, _ = run(optimizer, np.array(START), steps)
    np.testing.assert_allclose(theta, expected, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("optimizer", ALL, ids=repr)
def test_every_optimizer_does_the_same_in_float32_and_stays_in_it(optimizer):
    wide, _ = run(optimizer, np.array(START), 10)
    narrow, slots = run(optimizer, np.array(START, np.float32), 10, lambda theta: grad(theta).astype(np.float32))
    assert narrow.dtype == slots.dtype == np.float32
    np.testing.assert_allclose(narrow, wide, rtol=2e-4, atol=1e-5)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_goes_to_the_bottom_of_a_bowl(name):
    optimizer = replace(OPTIMIZERS[name], learning_rate=0.02)
    theta, _ = run(optimizer, np.array([9.0, -7.0]), 2000, lambda theta: theta - 1.0)
    np.testing.assert_allclose(theta, 1.0, atol=0.05)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_starts_with_zero_moments_one_row_a_slot(name):
    optimizer = OPTIMIZERS[name]
    state = TrainState.start(np.ones(5, np.float32), optimizer)
    assert state.slots.shape == (len(optimizer.slots), 5) and state.slots.dtype == np.float32
    assert not state.slots.any() and (state.step, state.epoch) == (0, 0)


@pytest.mark.parametrize("optimizer", ALL, ids=repr)
def test_scaling_multiplies_the_learning_rate_and_nothing_else(optimizer):
    scaled = optimizer.scaled(4.0)
    assert scaled.learning_rate == 4 * optimizer.learning_rate
    assert replace(scaled, learning_rate=optimizer.learning_rate) == optimizer


@pytest.mark.parametrize("optimizer", ALL, ids=repr)
def test_a_step_over_a_vector_is_that_of_each_number_by_itself(optimizer):
    together, _ = run(optimizer, np.array(START), 5)
    apart = [run(optimizer, np.array([theta]), 5)[0][0] for theta in START]
    np.testing.assert_array_equal(together, apart)


def test_defaults_are_those_of_keras():
    adam = {"learning_rate": 0.001, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-7}
    assert optimizers.get("adam").to_config() == {"type": "Adam"} | adam
    assert optimizers.get("rmsprop").to_config() == {
        "type": "RMSprop",
        "learning_rate": 0.001,
        "rho": 0.9,
        "epsilon": 1e-7,
    }
    sgd = {"learning_rate": 0.01, "momentum": 0.0, "nesterov": False}
    assert json.loads(json.dumps(optimizers.get("sgd").to_config())) == {"type": "SGD"} | sgd

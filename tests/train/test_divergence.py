"""Row R33 of the reliability table: a training that went wrong raises, and the last good weights are kept."""

import re

import numpy as np
import pytest

from firesteel.callbacks import BoldDriver, Callback
from firesteel.core.optimizers import OPTIMIZERS
from firesteel.errors import DivergenceError
from firesteel.layers import Dense
from firesteel.models import Sequential
from firesteel.optimizers import LBFGS, SGD, Adam
from firesteel.train.stopping import within_bounds

RNG = np.random.default_rng(0)
X = RNG.normal(size=(600, 6))
TASKS = {
    "classes": (X[:, :3].argmax(axis=1), Dense(3, "softmax"), "sparse_categorical_crossentropy"),
    "numbers": (2 * X[:, 0] + X[:, 1], Dense(1), "mse"),
}
WAYS = {
    "one shard": {},
    "three shards": {"shards": 3},
    "gradient": {"strategy": "gradient"},
    "gradient of batches": {"strategy": "gradient", "batch_size": 200},
}
RATE = 1e6


def made(task, activation, optimizer):
    y, last, loss = TASKS[task]
    model = Sequential([Dense(8, activation, input_dim=6), last])
    model.compile(optimizer, loss)
    return model, y


def refused(model, y, **settings):
    """What is said of a training that went wrong; the model must have been left with weights that are of use."""
    before = model.theta.copy()
    first = model.evaluate(X, y, verbose=0, return_dict=True)["loss"]
    with pytest.raises(DivergenceError) as caught:
        model.fit(X, y, **{"epochs": 3, "verbose": 0} | settings)
    error, text = caught.value, str(caught.value)
    assert error.code == "diverged" and model.theta.tobytes() == error.state.theta.tobytes()
    assert model.evaluate(X, y, verbose=0, return_dict=True)["loss"] <= first
    assert "from before the training" not in text or model.theta.tobytes() == before.tobytes()
    assert re.search(r"diverged in epoch \d+: .* layer \d \(Dense\)", text) and "are kept" in text
    assert "Lower the learning rate (now " in text and "scale the features to values near 1" in text
    return text


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", dict.fromkeys(name for name, one in OPTIMIZERS.items() if not one.searches))
def test_r33_no_optimizer_and_strategy_returns_a_diverged_network_as_trained(name, way):
    for task in TASKS:
        for activation in ("relu", "tanh"):
            refused(*made(task, activation, OPTIMIZERS[name].at_rate(1000 * RATE)), **WAYS[way])


SIZES = {"float32": (1e19, 1e22, 1e25, 1e30), "float64": (1e154, 1e160, 1e200)}
"""Gradients whose square is beyond the dtype, or next to its end."""


def squares(optimizer, dtype, size):
    """Whether a step along a gradient of this size leaves a moment that is infinite."""
    theta, slots = np.zeros(1, dtype), np.zeros((len(optimizer.slots), 1), dtype)
    with np.errstate(all="ignore"):
        optimizer.step(theta, np.full(1, size, dtype), slots, 1)
    return not np.isfinite(slots).all()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("dtype", SIZES)
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_r33_one_gradient_that_is_too_large_to_square_does_not_freeze_a_weight_in_silence(name, dtype, way):
    optimizer, settings = OPTIMIZERS[name], WAYS[way]
    if optimizer.searches:
        settings = {"strategy": "gradient"}
    for size in SIZES[dtype]:
        x, y = np.ones((600, 6)), np.ones(600)
        x[77, 2] = size * 600
        model = Sequential([Dense(1, kernel_initializer="zeros", input_dim=6)], dtype=dtype)
        model.compile(optimizer, "mse")
        before = model.theta.copy()
        try:
            model.fit(x, y, epochs=2, verbose=0, **settings)
            assert optimizer.searches or not squares(optimizer, dtype, size)
        except DivergenceError as error:
            text = str(error)
            assert "layer 0 (Dense)" in text and "weights from before the training" in text
            if not optimizer.searches and squares(optimizer, dtype, size):
                assert re.search("in epoch 1: the (optimizer's moments|weights) of layer 0", text)
                assert way != "gradient" or "because a gradient was too large to square" in text
            assert model.theta.tobytes() == before.tobytes()
        assert np.isfinite(model.theta).all() and np.isfinite(model.state.slots).all()


def test_r33_the_best_weights_are_kept_when_a_moment_becomes_infinite_later():
    model = Sequential([Dense(1, input_dim=6)])
    model.compile(Adam(0.1), "mse")
    x, y = X.copy(), 2 * X[:, 0]
    model.fit(x, y, epochs=3, verbose=0)
    kept = model.theta.copy()
    x[5, 1] = 1e24
    with pytest.raises(DivergenceError, match=r"in epoch 1: .* layer 0 \(Dense\)"):
        model.fit(x, y, epochs=3, verbose=0)
    assert model.theta.tobytes() == kept.tobytes() and np.isfinite(model.state.slots).all()
    losses = model.fit(X, y, epochs=3, verbose=0).history["loss"]
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("form", ["safe", "seed"])
@pytest.mark.parametrize("task", TASKS)
def test_r33_a_bold_driver_that_found_no_rate_to_go_on_with_says_so(task, form):
    ways = ["gradient"] if form == "seed" else ["one shard", "three shards", "gradient"]
    for way in ways:
        for optimizer in (SGD(RATE), Adam(RATE)):
            for activation in ("relu", "tanh"):
                refused(*made(task, activation, optimizer), **WAYS[way], callbacks=BoldDriver(form))


@pytest.mark.parametrize("task", TASKS)
def test_r33_a_bold_driver_that_has_time_to_find_a_rate_trains(task):
    model, y = made(task, "tanh", SGD(RATE))
    history = model.fit(X, y, epochs=40, verbose=0, callbacks=BoldDriver()).history["loss"]
    assert history[-1] < 0.7 * model_loss_before(task)


def model_loss_before(task):
    model, y = made(task, "tanh", SGD())
    return model.evaluate(X, y, verbose=0, return_dict=True)["loss"]


@pytest.mark.parametrize("task", TASKS)
def test_r33_the_line_search_of_lbfgs_shortens_a_step_until_the_loss_is_within_bounds_or_says_that_none_is(task):
    for activation in ("relu", "tanh"):
        model, y = made(task, activation, LBFGS(RATE))
        losses = model.fit(X, y, epochs=4, verbose=0).history["loss"]
        assert losses == sorted(losses, reverse=True) and losses[-1] < model_loss_before(task)
        refused(*made(task, activation, LBFGS(1e30)))


def test_r33_what_was_learnt_before_is_kept():
    """It goes well for five epochs; then the rate is raised."""
    states = []

    class Raise(Callback):
        def on_epoch_end(self, epoch, logs=None):
            states.append(self.model.state)
            if epoch == 4:
                self.model.learning_rate = RATE

    for activation in ("relu", "tanh"):
        states.clear()
        model, y = made("classes", activation, SGD(0.1))
        text = refused(model, y, epochs=8, callbacks=Raise())
        assert "in epoch 6:" in text and "The weights after 5 epoch(s) are kept" in text
        assert model.theta.tobytes() == states[4].theta.tobytes()


def test_r33_a_loss_that_leaps_and_comes_back_is_no_divergence():
    class Leap(Callback):
        def on_epoch_begin(self, epoch, logs=None):
            self.model.learning_rate = 100.0 if epoch == 1 else 0.3

    model, y = made("numbers", "tanh", Adam())
    losses = model.fit(X, y, epochs=30, verbose=0, callbacks=Leap()).history["loss"]
    assert not within_bounds(losses[1], losses[0]) and within_bounds(losses[-1], losses[0])


@pytest.mark.parametrize("unit", [1e-6, 1.0, 1e6])
def test_r33_targets_of_any_unit_train(unit):
    model, y = made("numbers", "tanh", Adam(0.01))
    assert np.isfinite(model.fit(X, y * unit, epochs=2, verbose=0).history["loss"]).all()

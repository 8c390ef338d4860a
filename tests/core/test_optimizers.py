"""Optimizers and schedules against Keras's, twenty steps deep, and what they all must do."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from firesteel.core import optimizers, schedules
from firesteel.core import update as core_update
from firesteel.core.constraints import CONSTRAINTS
from firesteel.core.layers import LAYERS, BatchNormalization, Dense
from firesteel.core.network import Network
from firesteel.core.optimizers import OPTIMIZERS, SGD, Adadelta, Adagrad, Adam, Adamax, AdamW, Lion, Nadam, RMSprop
from firesteel.core.schedules import SCHEDULES
from firesteel.core.update import update
from firesteel.errors import ConfigError
from firesteel.train.state import TrainState

VARIANTS = [
    SGD(0.05, momentum=0.9),
    SGD(0.05, momentum=0.9, nesterov=True),
    SGD(0.05, nesterov=True),
    RMSprop(0.05, rho=0.5, epsilon=0.3),
    RMSprop(0.01, rho=0.0),
    Adam(0.1, beta_1=0.5, beta_2=0.7, epsilon=0.3),
    Adam(0.1, beta_1=0.0, beta_2=0.0),
    Adam(0.1, amsgrad=True),
    RMSprop(0.05, momentum=0.5, centered=True),
    Adagrad(0.1),
    Adadelta(1.0, epsilon=0.01),
    Adamax(0.1),
    AdamW(0.1),
    Nadam(0.1),
    Lion(0.02),
]
STEPPING = {name: optimizer for name, optimizer in OPTIMIZERS.items() if not optimizer.searches}
"""Those that take a step along each gradient; the others are tried in tests/train/test_search.py."""
ALL = [*STEPPING.values(), *VARIANTS]
START = [1.5, -0.7, 0.01, 0.0]


def grad(theta):
    """Of the sum of theta^4 / 4 - theta^2 + theta / 5: no bowl, so that the terms of a formula cannot cancel."""
    return theta**3 - 2 * theta + 0.2


def run(optimizer, theta, steps, grad=grad):
    state = TrainState.start(theta, optimizer)
    for t in range(1, steps + 1):
        optimizer.step(theta, grad(theta), state.slots, t)
    return theta, state.slots


GOLDEN = json.loads(Path(__file__).with_name("golden").joinpath("optimizers.json").read_text())
NETWORK = {dtype: Network.chain((Dense(2),), 3, dtype) for dtype in ("float32", "float64")}


def made(kind, settings):
    """The optimiser that golden numbers name."""
    settings = dict(settings)
    if isinstance(settings.get("learning_rate"), dict):
        named = settings["learning_rate"]
        settings["learning_rate"] = getattr(schedules, named["type"])(*named["arguments"])
    return getattr(optimizers, kind)(**settings)


def test_every_optimizer_and_schedule_of_the_registries_has_golden_numbers():
    assert {case[0] for case in GOLDEN["optimizers"]} == {type(one).__name__ for one in STEPPING.values()}
    named = {type(one).__name__ for one in SCHEDULES.values()}
    assert {case[0] for case in GOLDEN["schedules"]} | {"Stretched"} == named


@pytest.mark.parametrize("kind, settings, dtype, expected", GOLDEN["optimizers"])
def test_every_optimizer_takes_the_steps_of_keras(kind, settings, dtype, expected):
    optimizer, theta = made(kind, settings), np.concatenate(GOLDEN["start"]).astype(dtype)
    slots = np.zeros((len(optimizer.slots), len(theta)), dtype)
    for t in range(1, 21):
        update(NETWORK[dtype], optimizer, theta, theta**3 - 2 * theta + theta.dtype.type(0.2), slots, t)
    assert theta.dtype == slots.dtype == dtype
    exact = dtype == "float64" and not isinstance(settings.get("learning_rate"), dict)  # its schedules are float32
    np.testing.assert_allclose(theta, expected, **({"rtol": 1e-10} if exact else {"rtol": 1e-5, "atol": 1e-5}))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("optimizer", ALL, ids=repr)
def test_the_average_is_that_of_keras_of_the_weights_after_each_step_and_changes_no_step(optimizer, dtype):
    """The first step sets it, as in Keras 3; after that it is momentum * average + (1 - momentum) * weights."""
    network = Network.chain((Dense(2, kernel_constraint="non_neg"), BatchNormalization()), 3, dtype)
    averaged = replace(optimizer, use_ema=True, ema_momentum=0.75)
    rng = np.random.default_rng(0)
    state, plain = (TrainState.start(network.init(0), one) for one in (averaged, optimizer))
    expected = None
    for t in range(1, 8):
        g = rng.normal(size=network.layout.size).astype(dtype)
        update(network, averaged, state.theta, g.copy(), state.slots, t)
        update(network, optimizer, plain.theta, g, plain.slots, t)
        assert state.theta.tobytes() == plain.theta.tobytes() and state.slots[:-1].tobytes() == plain.slots.tobytes()
        exact = plain.theta.astype("f8")
        expected = exact if t == 1 else 0.75 * expected + 0.25 * exact
        for where, _ in network.statistics:
            expected[where] = exact[where]
        np.testing.assert_allclose(state.weights(), expected, rtol={"float32": 1e-5, "float64": 1e-14}[dtype])
    assert state.weights().dtype == dtype and state.weights()[:6].min() >= 0
    assert plain.weights() is plain.theta and not np.array_equal(state.weights(), state.theta)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_configs_without_an_average_are_those_of_older_versions(name):
    optimizer = OPTIMIZERS[name]
    assert not {"use_ema", "ema_momentum"} & optimizer.to_config().keys()
    if optimizer.searches:
        with pytest.raises(ConfigError, match="LBFGS does not support use_ema"):
            replace(optimizer, use_ema=True)
        return
    averaged = replace(optimizer, use_ema=True, ema_momentum=0.5)
    assert optimizers.get(json.loads(json.dumps(averaged.to_config()))) == averaged != optimizer
    assert averaged.slots == (*optimizer.slots, "average")
    with pytest.raises(ConfigError, match="0.0 <= ema_momentum < 1.0"):
        replace(optimizer, ema_momentum=1.0)


@pytest.mark.parametrize("kind, arguments, settings, expected", GOLDEN["schedules"])
def test_every_schedule_gives_the_rates_of_keras(kind, arguments, settings, expected):
    schedule = getattr(schedules, kind)(*arguments, **settings)
    assert [schedule.at(step) for step, _ in expected] == pytest.approx([rate for _, rate in expected], rel=1e-6)
    assert schedules.get(json.loads(json.dumps(schedule.to_config()))) == schedule
    assert schedule(np.array(3)) == schedule.at(3)
    with pytest.raises(ConfigError, match="step='3': step must be a finite number"):
        schedule("3")
    stretched = SGD(schedule).scaled(3.0, 2.0)
    assert stretched.rate(4) == 3.0 * schedule.at(6.0)
    assert optimizers.get(json.loads(json.dumps(stretched.to_config()))) == stretched


def test_boundaries_must_ascend_and_have_one_more_value():
    for boundaries, values in (([2, 1], [1, 2, 3]), ([1, 1], [1, 2, 3]), ([1], [1]), ([1], [1, 2, 3])):
        with pytest.raises(ConfigError, match="boundaries"):
            schedules.PiecewiseConstantDecay(boundaries, values)


def test_at_most_one_way_of_clipping():
    with pytest.raises(ConfigError, match="give one of"):
        Adam(clipnorm=1.0, clipvalue=1.0)


def test_every_parameter_that_trains_has_a_kind_that_can_be_left_out_of_decay():
    for layer in LAYERS.values():
        for part in layer.parts():
            trained = {name for name, param in part.params((3,)).items() if param.average is None}
            assert trained <= set(optimizers.WORDS.values())


def test_kinds_of_parameters_are_known_by_name():
    assert Adam(exclude_from_weight_decay="bias") == Adam(exclude_from_weight_decay=["bias"])
    with pytest.raises(ConfigError, match="did you mean 'kernel'"):
        Adam(exclude_from_weight_decay="kernels")


@pytest.mark.parametrize("optimizer", [Nadam(0.1), Nadam(0.01, beta_1=0.999)], ids=repr)
def test_the_momenta_of_nadam_are_products_however_far_on(optimizer):
    product = 1.0
    for t in range(1, 9000):
        product *= optimizer.beta_1 * (1 - 0.5 * 0.96**t)
        if t in (1, 2, 4096, 4097, 8192, 8999):
            assert optimizers._warmed(optimizer.beta_1, t) == pytest.approx(product, rel=1e-9, abs=1e-300)


@pytest.mark.parametrize("optimizer", ALL, ids=repr)
def test_every_optimizer_does_the_same_in_float32_and_stays_in_it(optimizer):
    wide, _ = run(optimizer, np.array(START), 10)
    narrow, slots = run(optimizer, np.array(START, np.float32), 10, lambda theta: grad(theta).astype(np.float32))
    assert narrow.dtype == slots.dtype == np.float32
    np.testing.assert_allclose(narrow, wide, rtol=2e-4, atol=1e-5)


@pytest.mark.parametrize("name", STEPPING)
def test_every_optimizer_goes_to_the_bottom_of_a_bowl(name):
    optimizer = replace(OPTIMIZERS[name], learning_rate={"adagrad": 1.0, "adadelta": 30.0}.get(name, 0.02))
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
    rmsprop = {"learning_rate": 0.001, "rho": 0.9, "momentum": 0.0, "epsilon": 1e-7, "centered": False}
    sgd = {"learning_rate": 0.01, "momentum": 0.0, "nesterov": False, "weight_decay": None, "clipnorm": None}
    for name, known in (("adam", adam), ("rmsprop", rmsprop), ("sgd", sgd)):
        config = json.loads(json.dumps(optimizers.get(name).to_config()))
        assert known.items() <= config.items()
    assert AdamW(0.1, 0.2) == AdamW(learning_rate=0.1, weight_decay=0.2)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("optimizer", ALL, ids=repr)
def test_a_step_taken_in_parts_has_the_bits_of_a_whole_one(optimizer, dtype, monkeypatch):
    def steps(long):
        monkeypatch.setattr(core_update, "LONG", long)
        rng = np.random.default_rng(0)
        network = Network.chain((Dense(13),), inputs=70, dtype=dtype)
        theta = rng.normal(size=network.layout.size).astype(dtype)
        slots = np.zeros((len(optimizer.slots), len(theta)), dtype)
        for t in range(1, 4):
            g = rng.normal(size=len(theta)).astype(dtype)
            update(network, optimizer, theta, g, slots, t, lambda step, parts: map(step, parts[::-1]))
        return theta.tobytes() + slots.tobytes()

    assert steps(10_000) == steps(0)


@pytest.mark.parametrize("clip", ["clipnorm", "global_clipnorm"])
@pytest.mark.parametrize("dtype, size", [("float32", 1e30), ("float64", 1e30), ("float64", 1e200)])
def test_a_gradient_is_shortened_to_the_norm_even_where_its_square_is_beyond_the_dtype(clip, dtype, size):
    network = NETWORK[dtype]
    g = (np.arange(network.layout.size) * size).astype(dtype)
    theta, slots = np.zeros_like(g), np.zeros((1, len(g)), dtype)
    arrays = [slice(0, len(g))] if clip == "global_clipnorm" else [part for *_, part in network.layout.slices]
    expected = np.concatenate([np.arange(len(g))[part] / np.linalg.norm(np.arange(len(g))[part]) for part in arrays])
    with np.errstate(over="ignore"):
        update(network, SGD(1.0, **{clip: 1.0}), theta, g, slots, 1)
    np.testing.assert_allclose(-theta, expected, rtol=1e-6)


@pytest.mark.parametrize("name, norm", [("unit_norm", 1.0), ("max_norm", 2.0), ("min_max_norm", 1.0)])
@pytest.mark.parametrize("dtype, size", [("float32", 1e25), ("float64", 1e200)])
def test_weights_whose_squares_are_beyond_the_dtype_keep_their_direction_under_a_constraint(name, norm, dtype, size):
    w = (np.array([[3.0, 0.3], [4.0, 0.4]]) * [size, 1]).astype(dtype)
    with np.errstate(over="ignore"):
        CONSTRAINTS[name].apply(w)
    np.testing.assert_allclose(w[:, 0], [0.6 * norm, 0.8 * norm], rtol=1e-6)
    np.testing.assert_allclose(w[:, 1], np.array([0.6, 0.8]) * (0.5 if name != "unit_norm" else 1), rtol=1e-5)

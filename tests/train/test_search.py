"""L-BFGS against scipy's, and the bold driver in both forms; both on several shards, interrupted and resumed."""

import numpy as np
import pytest
from scipy.optimize import minimize

from firesteel.callbacks import BackupAndRestore, BoldDriver, Callback
from firesteel.core import losses
from firesteel.core.network import Network, Objective
from firesteel.core.optimizers import LBFGS
from firesteel.errors import ConfigError
from firesteel.layers import BatchNormalization, Dense
from firesteel.models import Sequential
from firesteel.optimizers import SGD, Adam
from firesteel.optimizers.schedules import ExponentialDecay
from firesteel.train.strategies import Gradient

RNG = np.random.default_rng(0)
X = RNG.normal(size=(400, 5))
NOISE = RNG.normal(size=400)
Y = (X[:, 0] - X[:, 1] + 0.5 * NOISE > 0).astype(int)


def build(*hidden, optimizer="lbfgs", dtype="float64", price=None):
    layers = [Dense(units, "tanh") for units in hidden]
    model = Sequential([*layers, Dense(2, "softmax", kernel_regularizer=price)], dtype=dtype)
    model.build((None, 5))
    model.compile(optimizer, "sparse_categorical_crossentropy", ["accuracy"])
    return model


def fit(model, callbacks=None, epochs=50, **settings):
    return model.fit(X, Y, epochs=epochs, callbacks=callbacks, **{"verbose": 0, "strategy": "gradient"} | settings)


# L-BFGS


def scipy_minimum(model, iterations, seed=0):
    """What scipy's L-BFGS makes of the same objective from the same weights."""
    network = model.network
    objective = Objective(network, losses.get("sparse_categorical_crossentropy"))

    def value(theta):
        views, g = network.layout.views(theta), np.zeros_like(theta)
        sums = objective.learn(views, X, Y[:, None], np.ones(400), 1 / 400, None, network.layout.views(g))
        return sums[0] / 400 + network.penalty(views, network.layout.views(g)), g

    options = {"maxiter": iterations, "ftol": 0, "gtol": 1e-12}
    return minimize(value, network.init(seed), jac=True, method="L-BFGS-B", options=options)


def test_the_two_loops_are_the_matrix_that_the_pairs_make():
    optimizer, rng, size = LBFGS(memory=4), np.random.default_rng(1), 6
    hessian = (lambda a: a @ a.T + np.eye(size))(rng.normal(size=(size, size)))
    slots, steps = np.zeros((len(optimizer.slots), size)), rng.normal(size=(6, size))
    for s in steps:
        optimizer.remember(slots, s, hessian @ s)
    s, y = steps[-1], hessian @ steps[-1]
    inverse = np.eye(size) * (s @ y) / (y @ y)
    for s in steps[-4:]:
        y = hessian @ s
        left = np.eye(size) - np.outer(s, y) / (s @ y)
        inverse = left @ inverse @ left.T + np.outer(s, s) / (s @ y)
    g = rng.normal(size=size)
    np.testing.assert_allclose(optimizer.direction(slots, g), -inverse @ g, rtol=1e-9)


def test_a_pair_without_curvature_is_not_remembered():
    optimizer, slots = LBFGS(memory=2), np.zeros((5, 3))
    optimizer.remember(slots, np.ones(3), -np.ones(3))
    optimizer.remember(slots, np.ones(3), np.zeros(3))
    assert not slots.any()
    np.testing.assert_allclose(optimizer.direction(slots, np.array([2.0, -2.0, 0.0])), [-0.5, 0.5, 0.0])


def test_a_convex_loss_is_brought_to_the_minimum_that_scipy_finds():
    model = build(price="l2")
    ours = fit(model, epochs=60).history["loss"]
    theirs = scipy_minimum(model, 200)
    assert ours[-1] == pytest.approx(theirs.fun, rel=1e-10)
    np.testing.assert_allclose(model.theta, theirs.x, atol=1e-4)
    assert all(b <= a for a, b in zip(ours, ours[1:], strict=False))


def test_networks_are_brought_as_far_as_by_scipy():
    ours, theirs = [], []
    for seed in range(5):  # which of a network's minima is found is up to the last digits
        model = build(8, price="l2")
        ours.append(fit(model, epochs=100, seed=seed).history["loss"][-1])
        theirs.append(scipy_minimum(model, 100, seed).fun)
    assert np.median(ours) <= 1.03 * np.median(theirs)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_it_takes_fewer_epochs_than_gradient_descent_and_its_loss_never_rises(dtype):
    quick, slow = build(8, dtype=dtype), build(8, optimizer=SGD(0.5), dtype=dtype)
    rows = fit(quick, epochs=40).history["loss"]
    assert rows[-1] < 0.6 * fit(slow, epochs=40).history["loss"][-1]
    assert all(b <= a * (1 + 1e-6) for a, b in zip(rows, rows[1:], strict=False))
    assert quick.evaluate(X, Y, verbose=0)[0] == pytest.approx(rows[-1], rel=1e-5)


def test_at_the_minimum_it_stays():
    model = build(price="l2")
    fit(model, epochs=150)
    theta = model.theta.copy()
    fit(model, epochs=3)
    np.testing.assert_allclose(model.theta, theta, rtol=0, atol=1e-9)


def test_shards_are_summed_and_a_second_fit_goes_on_to_the_bit():
    one, parts = build(8), build(8)
    fit(one, epochs=20)
    fit(parts, epochs=20, shards=3)
    np.testing.assert_allclose(parts.theta, one.theta, rtol=1e-5, atol=1e-7)
    again = build(8)
    fit(again, epochs=8)
    fit(again, epochs=12)
    assert again.fingerprint() == one.fingerprint()


def test_what_it_cannot_do_is_refused():
    for settings, match in (
        ({"strategy": "average"}, r"needs all rows at once: use fit\(..., strategy='gradient'\)"),
        ({"batch_size": 32}, "leave out batch_size and sample"),
        ({"callbacks": BoldDriver()}, "needs an optimizer without a line search"),
    ):
        with pytest.raises(ConfigError, match=match):
            fit(build(), **settings)
    for wrong in ({"clipnorm": 1.0}, {"weight_decay": 0.1}, {"memory": 0}, {"learning_rate": 0.0}):
        with pytest.raises(ConfigError):
            LBFGS(**wrong)
    model = Sequential([BatchNormalization(), Dense(2, "softmax")])
    model.compile("lbfgs", "sparse_categorical_crossentropy")
    with pytest.raises(ConfigError, match="no batches to normalize"):
        fit(model)


# The bold driver


def seed_driver(rate, epochs, share):
    """The seed's own loop: compare the sample's cost with the last one, set the rate, then step."""
    model = build(6, optimizer=SGD(rate))
    costs, rates = [], []
    for _ in range(epochs):
        probe = build(6, optimizer=SGD(0.0))
        probe.set_weights(model.get_weights())
        costs.append(probe.fit(X, Y, epochs=1, verbose=0, strategy="gradient").history["loss"][0])
        if len(costs) > 1:
            rate *= 1.05 if costs[-1] < costs[-2] else 0.5
        rates.append(rate)
        model.learning_rate = rate
        fit(model, epochs=1)
    return model, costs, rates


@pytest.mark.parametrize("rate", [0.5, 30.0])
def test_the_seeds_driver_sets_the_rate_before_the_step_whose_cost_it_saw(rate):
    expected, costs, rates = seed_driver(rate, 12, 1.0)
    model = build(6, optimizer=SGD(rate))
    history = fit(model, BoldDriver("seed"), epochs=12).history
    assert history["learning_rate"] == rates and history["loss"] == pytest.approx(costs, rel=1e-12)
    assert model.theta.tobytes() == expected.theta.tobytes()
    assert rates[-1] > rate if rate == 0.5 else min(rates) < rate


def test_the_seeds_driver_judges_samples_too():
    model = build(6, optimizer=SGD(0.5, momentum=0.5))
    rates = fit(model, BoldDriver("seed"), epochs=5, batch_size=100).history["learning_rate"]
    assert len(set(rates)) == 5


@pytest.mark.parametrize("strategy, shards", [("average", 1), ("average", 3), ("gradient", 2)])
@pytest.mark.parametrize("optimizer", [SGD(40.0, momentum=0.5), Adam(3.0)], ids=repr)
def test_the_safe_driver_never_goes_up_and_takes_back_what_would(optimizer, strategy, shards):
    class Costs(Callback):
        def __init__(self):
            self.seen = []

        def on_epoch_end(self, epoch, logs=None):
            self.seen.append(self.model.evaluate(X, Y, verbose=0)[0])

    model, costs = build(6, optimizer=optimizer), Costs()
    history = fit(model, [BoldDriver(), costs], epochs=25, strategy=strategy, shards=shards).history
    assert all(b <= a + 1e-12 for a, b in zip(costs.seen, costs.seen[1:], strict=False))
    rates = history["learning_rate"]
    ratios = {round(b / a, 9) for a, b in zip(rates, rates[1:], strict=False)}
    assert ratios == {0.5, 1.05} and costs.seen[-1] < costs.seen[0]


def test_the_safe_driver_survives_a_rate_that_breaks_the_network():
    model = Sequential([Dense(4, input_dim=5), Dense(1)])
    model.compile(SGD(1e6), "mse")
    losses = model.fit(X, X[:, 0], epochs=40, verbose=0, callbacks=BoldDriver()).history["loss"]
    assert np.isfinite(losses).all() and np.isfinite(model.theta).all() and losses[-1] < losses[0]


def test_a_tolerance_lets_small_rises_pass():
    strict, easy = (
        fit(build(6, optimizer=Adam(0.5)), BoldDriver(tolerance=tolerance), epochs=30, strategy="average").history
        for tolerance in (0.0, 0.5)
    )
    assert easy["learning_rate"][-1] > strict["learning_rate"][-1]


@pytest.mark.parametrize("form", ["seed", "safe"])
def test_an_interrupted_drive_goes_on_to_the_bit(form, tmp_path):
    class Interrupt(Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 7 and self.model.history.rows and not (tmp_path / "once").exists():
                (tmp_path / "once").write_text("")
                raise KeyboardInterrupt

    def run(*more):
        model = build(6, optimizer=SGD(20.0, momentum=0.5))
        history = fit(model, [BoldDriver(form), *more], epochs=15)
        return model.fingerprint(), history.history

    more = [Interrupt(), BackupAndRestore(tmp_path / "backup")]
    with pytest.raises(KeyboardInterrupt):
        run(*more)
    assert run(*more) == run()


def test_what_cannot_be_driven_is_refused():
    for settings, match in (
        (
            {"model": build(6, optimizer=SGD(ExponentialDecay(0.1, 10, 0.5)))},
            "the optimizer's schedule ExponentialDecay both set the rate",
        ),
        ({"callbacks": BoldDriver("seed"), "strategy": "average"}, "needs strategy='gradient'"),
        ({"callbacks": [BoldDriver(), BoldDriver()]}, "only one BoldDriver"),
    ):
        with pytest.raises(ConfigError, match=match):
            fit(**{"model": build(6, optimizer=SGD(0.1)), "callbacks": BoldDriver()} | settings)
    for wrong in ({"form": "brave"}, {"up": 0.9}, {"down": 1.0}, {"down": 0.0}, {"tolerance": -1.0}):
        with pytest.raises(ConfigError):
            BoldDriver(**wrong)


def test_a_network_may_be_searched_in_a_strategy_given_as_an_object():
    assert Network.chain((Dense(1),), 1).layout.size == 2
    fit(build(), strategy=Gradient(), epochs=1)

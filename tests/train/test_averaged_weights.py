"""Averages of the weights: what a model has of them while it trains, after that, and when it goes on."""

import numpy as np
import pytest
from scipy import sparse

from firesteel.callbacks import Callback, EarlyStopping, ModelCheckpoint
from firesteel.core.optimizers import OPTIMIZERS, SGD
from firesteel.layers import Dense, Dropout, LayerNormalization
from firesteel.models import Sequential, load_model

RNG = np.random.default_rng(0)
X = RNG.normal(size=(90, 3))
Y = X @ [1.0, -2.0, 0.5] + 0.1 * RNG.normal(size=90)
RATE, MOMENTUM = 0.05, 0.75
STRATEGIES = {
    "average": {"batch_size": 20},
    "shards": {"batch_size": 10, "shards": 2},
    "gradient": {"batch_size": 30, "strategy": "gradient", "shards": 2},
}
SETTINGS = {"verbose": 0, "seed": 4, "validation_data": (X[:30], Y[:30])}


def build(optimizer=None, dtype="float32", layers=None):
    model = Sequential(layers or [Dense(5, "tanh"), Dropout(0.2), LayerNormalization(), Dense(1)], dtype=dtype)
    model.compile(optimizer or SGD(RATE, momentum=0.5, use_ema=True, ema_momentum=MOMENTUM), "mse")
    return model


def fit(model, epochs, first=0, **settings):
    settings = SETTINGS | {"batch_size": 20} | settings
    model.fit(X, Y, epochs=epochs, initial_epoch=first, **settings)
    return model


def bits(model):
    state = model.state
    vectors = (model.theta, state.theta, state.slots, state.outer)
    return [vector.tobytes() for vector in vectors], state.counts, model.fingerprint()


def by_hand(steps):
    """The weights and their average after so many steps of plain descent on all rows, in float64."""
    w = build(SGD(RATE), "float64", [Dense(1, input_dim=3)])
    w = w.network.init(4)
    rows, average = np.column_stack([X, np.ones(90)]), w
    for number in range(steps):
        w = w - RATE * 2 / 90 * rows.T @ (rows @ w - Y)
        average = MOMENTUM * average + (1 - MOMENTUM) * w if number else w
    return w, average


@pytest.mark.parametrize("dtype, close", [("float32", 1e-5), ("float64", 1e-12)])
def test_a_fit_ends_in_the_average_of_the_weights_after_each_step(dtype, close):
    model = build(SGD(RATE, use_ema=True, ema_momentum=MOMENTUM), dtype, [Dense(1, input_dim=3)])
    history = fit(model, 6, batch_size=90)
    raw, average = by_hand(6)
    np.testing.assert_allclose(model.theta, average, rtol=close)
    np.testing.assert_allclose(model.state.theta, raw, rtol=close)
    losses = [np.square(X[:30] @ w[:3] + w[3] - Y[:30]).mean() for w in (by_hand(n)[1] for n in range(1, 7))]
    np.testing.assert_allclose(history.history.history["val_loss"], losses, rtol=10 * close)
    plain = fit(build(SGD(RATE), dtype, [Dense(1, input_dim=3)]), 6, batch_size=90)
    assert plain.theta.tobytes() == model.state.theta.tobytes()
    assert plain.history.history["loss"] == history.history.history["loss"], "a step's loss is that of its weights"


@pytest.mark.parametrize("how", STRATEGIES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_second_fit_goes_on_where_the_steps_led_and_so_does_a_saved_model(how, dtype, tmp_path):
    whole = bits(fit(build(dtype=dtype), 4, **STRATEGIES[how]))
    half = fit(build(dtype=dtype), 2, **STRATEGIES[how])
    half.save(tmp_path / "half")
    assert not np.array_equal(half.theta, half.state.theta)
    for model in (half, load_model(tmp_path / "half")):
        assert bits(fit(model, 4, 2, **STRATEGIES[how])) == whole
    half.save(tmp_path / "whole", include_optimizer=False)
    alone = load_model(tmp_path / "whole")
    assert alone.theta.tobytes() == half.theta.tobytes() == alone.state.theta.tobytes()


@pytest.mark.parametrize("name", [name for name, one in OPTIMIZERS.items() if not one.searches])
def test_no_optimizer_steps_elsewhere_because_it_averages(name):
    kind = type(OPTIMIZERS[name])
    plain, averaged = (fit(build(kind(**more)), 2) for more in ({}, {"use_ema": True}))
    assert plain.theta.tobytes() == averaged.state.theta.tobytes() != averaged.theta.tobytes()


class Look(Callback):
    """Keeps the weights that a model has at the end of each epoch."""

    def __init__(self):
        self.seen = []

    def on_epoch_end(self, epoch, logs=None):
        self.seen.append(self.model.theta.tobytes())


@pytest.mark.parametrize("averaged", [True, False])
def test_validation_and_callbacks_and_the_best_epoch_are_of_one_kind_of_weights(averaged, tmp_path):
    look, stop = Look(), EarlyStopping(patience=3, restore_best_weights=True)
    saved = ModelCheckpoint(tmp_path / "{epoch}")
    model = build(SGD(0.05, momentum=0.9, use_ema=True, ema_momentum=0.9))
    fit(model, 60, callbacks=[look, stop, saved], evaluate_averaged=averaged)
    losses = model.history.history["val_loss"]
    assert 2 < len(losses) < 60
    for number, loss in enumerate(losses):
        there = load_model(tmp_path / str(number + 1))
        assert there.theta.tobytes() == look.seen[number] and there.evaluate(X[:30], Y[:30], verbose=0) == [loss]
        state = there.state
        assert there.theta.tobytes() == (state.slots[-1] if averaged else state.theta).tobytes()
    best = load_model(tmp_path / str(1 + int(np.argmin(losses))))
    assert model.state.theta.tobytes() == best.state.theta.tobytes()
    assert model.theta.tobytes() == best.state.slots[-1].tobytes(), "whatever was watched, a fit ends in averages"


def test_weights_that_are_set_begin_an_average_anew():
    model = fit(build(), 1)
    model.set_weights([np.ones_like(array) for array in model.get_weights()])
    assert (model.theta == 1).all() and (model.state.theta == 1).all() and (model.state.slots[-1] == 1).all()
    model.compile(SGD(RATE), "mse")
    assert model.state.slots.shape[0] == 1


def test_of_sparse_rows_the_average_moves_where_a_batch_does():
    x = sparse.csr_matrix((np.ones(90), (np.arange(90), np.arange(90) % 40)), (90, 5000))

    def trained(epochs, **more):
        model = build(SGD(1.0, **more), "float64", [Dense(1, input_dim=5000)])
        model.fit(x, Y, verbose=0, seed=4, epochs=epochs, batch_size=90)
        assert model.network.sparse
        return model

    one, two, three = (trained(epochs).theta for epochs in (1, 2, 3))
    model = trained(3, use_ema=True, ema_momentum=MOMENTUM)
    expected = MOMENTUM * (MOMENTUM * one + (1 - MOMENTUM) * two) + (1 - MOMENTUM) * three
    touched = np.r_[:40, 5000]
    np.testing.assert_allclose(model.theta[touched], expected[touched], rtol=1e-12)
    np.testing.assert_array_equal(model.theta[40:5000], model.network.init(4)[40:5000])
    assert model.state.theta.tobytes() == three.tobytes()

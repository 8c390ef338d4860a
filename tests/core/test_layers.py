"""Normalizations, embeddings and constraints: against Keras, and in training."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from firesteel.core import constraints
from firesteel.core.constraints import CONSTRAINTS, MaxNorm
from firesteel.core.losses import Standardized
from firesteel.core.network import Network, alone
from firesteel.core.optimizers import SGD
from firesteel.core.update import update
from firesteel.errors import ConfigError, DataError
from firesteel.layers import (
    BatchNormalization,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    GaussianNoise,
    Input,
    LayerNormalization,
    Normalization,
)
from firesteel.models import Sequential, load_model
from firesteel.testing import check_same_bits

GOLDEN = json.loads(Path(__file__).with_name("golden").joinpath("layers.json").read_text())
SINGLE = {"rtol": 1e-5, "atol": 1e-6}
"""Keras takes these moments in float32, whatever its inputs are."""
RNG = np.random.default_rng(0)
ROWS = 400
X = RNG.normal(3.0, 5.0, (ROWS, 4))
Y = (X[:, 0] > X[:, 1]).astype(int)


def model(*layers, optimizer="adam", dtype="float32", inputs=4):
    made = Sequential([*layers, Dense(2, "softmax")], dtype=dtype)
    made.build((None, inputs))
    made.compile(optimizer, "sparse_categorical_crossentropy", ["accuracy"])
    return made


def fit(made, x=X, **settings):
    return made.fit(x, Y, **{"epochs": 3, "batch_size": 50, "verbose": 0} | settings)


# Against Keras


@pytest.mark.parametrize("settings, expected", GOLDEN["BatchNormalization"])
def test_batch_normalization_matches_keras(settings, expected):
    x = np.array(GOLDEN["x"])
    network = Network.chain((BatchNormalization(**settings),), 3, "float64")
    theta, g = network.init(0), np.zeros(network.layout.size)
    values, pulls = alone(
        network.forward(network.layout.views(theta), x, lambda part: np.random.default_rng(0), network.plan)
    )
    y = values[1]
    np.testing.assert_allclose(y, expected["trained"], **SINGLE)
    pulls[0][1](np.zeros_like(y), network.layout.views(g)[0], True)
    update(network, SGD(0.1), theta, g, np.zeros((1, len(theta))), 1)
    views = network.layout.views(theta)
    np.testing.assert_allclose([views[0]["mean"], views[0]["variance"]], expected["averages"], **SINGLE)
    np.testing.assert_allclose(network.output(views, x), expected["used"], **SINGLE)


@pytest.mark.parametrize("settings, expected", GOLDEN["LayerNormalization"])
def test_layer_normalization_matches_keras(settings, expected):
    network = Network.chain((LayerNormalization(**settings),), 3, "float64")
    y = network.output(network.layout.views(network.init(0)), np.array(GOLDEN["x"]))
    np.testing.assert_allclose(y, expected, **SINGLE)


@pytest.mark.parametrize("kind, settings, expected", GOLDEN["constraints"])
def test_constraints_match_keras(kind, settings, expected):
    w = np.array(GOLDEN["w"])
    getattr(constraints, kind)(**settings).apply(w)
    np.testing.assert_allclose(w, expected, rtol=1e-6)


@pytest.mark.parametrize("axis, where", [(2, "kernel_constraint"), (1, "bias_constraint")])
@pytest.mark.parametrize("kind", [constraints.MaxNorm, constraints.MinMaxNorm, constraints.UnitNorm])
def test_a_constraint_axis_that_weights_do_not_have_is_refused_at_build(kind, axis, where):
    model(Dense(3, **{where: kind(axis=axis - 1)}))
    with pytest.raises(ConfigError, match=r"weights of shape \(.*\) have only axes 0 to"):
        model(Dense(3, **{where: kind(axis=axis)}))


def test_every_constraint_has_golden_numbers_and_is_idempotent():
    assert {type(one).__name__ for one in CONSTRAINTS.values()} == {case[0] for case in GOLDEN["constraints"]}
    for constraint in CONSTRAINTS.values():
        w = np.random.default_rng(0).normal(0, 3, (5, 4)).astype(np.float32)
        constraint.apply(w)
        once = w.copy()
        constraint.apply(w)
        np.testing.assert_allclose(w, once, rtol=1e-5)
        assert w.dtype == np.float32


# Statistics


def test_running_averages_approach_the_moments_of_the_rows():
    made = model(BatchNormalization(momentum=0.5), optimizer="sgd")
    fit(made, epochs=5, batch_size=ROWS)
    gamma, beta, mean, variance, *_ = made.get_weights()
    np.testing.assert_allclose(mean, X.mean(axis=0) * (1 - 0.5**5), rtol=1e-5)
    np.testing.assert_allclose(variance, X.var(axis=0) * (1 - 0.5**5) + 0.5**5, rtol=1e-5)
    assert gamma.shape == beta.shape == (4,)


def test_a_batch_of_several_sub_batches_is_normalized_as_one():
    made = model(BatchNormalization(momentum=0.0), optimizer="sgd", dtype="float64")
    fit(made, epochs=1, batch_size=ROWS)
    np.testing.assert_allclose(made.get_weights()[2], X.mean(axis=0), rtol=1e-12)


def test_summary_counts_statistics_as_untrained(capsys):
    made = model(BatchNormalization(), Dense(8, "relu"), BatchNormalization())
    made.summary()
    out = capsys.readouterr().out
    assert "Trainable params: 82 " in out and "Non-trainable params: 24 " in out and "Total params: 106 " in out
    assert "batch_normalization (BatchNormalization)" in out and "batch_normalization_1" in out


@pytest.mark.parametrize("shards", [1, 3])
def test_batch_normalization_learns_at_any_scale_and_number_of_shards(shards):
    made = model(BatchNormalization(), Dense(16, "relu"), BatchNormalization(), optimizer="adam")
    x = X * [1.0, 1.0, 1000.0, 1e-3] + [0, 0, 1e4, 0]
    history = fit(made, x, epochs=60, shards=shards, batch_size=32)
    assert history.history["accuracy"][-1] > 0.9
    assert made.evaluate(x, Y, verbose=0)[1] > 0.9
    variance = made.get_weights()[3]
    assert (variance >= 0).all()


def test_the_order_of_rows_does_not_change_a_bit():
    def run(order):
        made = model(Dense(8, "relu"), BatchNormalization(), GaussianNoise(0.1), LayerNormalization())
        made.fit(X[order], Y[order], epochs=2, verbose=0, shards=2)
        return made.fingerprint()

    check_same_bits([lambda: run(np.arange(ROWS)), lambda: run(RNG.permutation(ROWS))])


def test_the_gradient_strategy_refuses_layers_that_need_batches():
    made = model(BatchNormalization())
    with pytest.raises(ConfigError, match="LayerNormalization instead of BatchNormalization") as caught:
        fit(made, strategy="gradient")
    assert caught.value.code == "config-strategy"
    fit(model(LayerNormalization()), strategy="gradient")


def test_noise_and_dropout_act_only_in_training():
    made = model(GaussianNoise(5.0), Dropout(0.5))
    assert made.predict(X).tobytes() == made.predict(X).tobytes()
    quiet = model()
    quiet.set_weights(made.get_weights())
    assert quiet.predict(X).tobytes() == made.predict(X).tobytes()
    assert fit(made).history["loss"][0] > fit(quiet).history["loss"][0]


# Constraints


@pytest.mark.parametrize("shards, strategy", [(1, "average"), (3, "average"), (1, "gradient")])
def test_constraints_hold_after_every_epoch(shards, strategy):
    layers = [
        Dense(8, "relu", kernel_constraint=MaxNorm(0.5), bias_constraint="non_neg"),
        Dense(4, "tanh", kernel_constraint="unit_norm"),
    ]
    made = model(*layers, optimizer="adam")
    fit(made, epochs=4, shards=shards, strategy=strategy)
    w, b, u, *_ = made.get_weights()
    assert (np.linalg.norm(w, axis=0) <= 0.5 + 1e-5).all() and (b >= 0).all()
    np.testing.assert_allclose(np.linalg.norm(u, axis=0), 1.0, rtol=1e-5)


def test_a_bias_can_be_penalized():
    free, priced = (model(Dense(4, bias_regularizer=price), optimizer="sgd") for price in (None, "l2"))
    assert np.abs(fit(priced) and priced.get_weights()[1]).sum() < np.abs(fit(free) and free.get_weights()[1]).sum()


# Embeddings


CATEGORIES = RNG.integers(0, 7, (ROWS, 3))


def test_an_embedding_has_a_vector_for_each_category():
    made = Sequential([Input((3,)), Embedding(7, 2), Flatten(), Dense(1)])
    assert made.count_params() == 7 * 2 + 6 + 1
    table = made.get_weights()[0]
    inner = Sequential([Input((3,)), Embedding(7, 2)])
    inner.set_weights([table])
    np.testing.assert_array_equal(inner.predict(CATEGORIES), table[CATEGORIES].reshape(ROWS, 6))


@pytest.mark.parametrize("strategy", ["average", "gradient"])
def test_an_embedding_learns_the_effect_of_categories(strategy):
    worth = np.array([3.0, -1.0, 0.5, 2.0, -2.0, 0.0, 1.0])
    made = Sequential([Embedding(8, 1), Dense(1)])
    made.compile("adam", "mse")
    made.learning_rate = 0.05 if made.build((None, 3)) is None else 0.0
    losses = made.fit(CATEGORIES, worth[CATEGORIES].sum(axis=1), epochs=300, verbose=0, strategy=strategy).history
    assert losses["loss"][-1] < 0.05
    before = Sequential([Embedding(8, 1), Dense(1)])
    before.build((None, 3))
    assert made.get_weights()[0][7] == before.get_weights()[0][7], "a category never seen is left as it was"


@pytest.mark.parametrize("wrong, shown", [(7, "given 7"), (-1, "given -1"), (1.5, "given 1.5")])
def test_inputs_that_are_not_categories_are_refused(wrong, shown):
    made = Sequential([Embedding(7, 2), Dense(1)])
    made.compile("adam", "mse")
    x = CATEGORIES.astype(float)
    x[5, 1] = wrong
    for use in (lambda: made.fit(x, Y, verbose=0), lambda: made.evaluate(x, Y), lambda: made.predict(x)):
        with pytest.raises(DataError, match=f"an embedding of 7 categories was {shown}; 1 of"):
            use()


def test_more_categories_than_float32_can_represent_need_float64():
    most = Embedding(1 << 24, 1)
    last = np.array([[most.input_dim - 1]], np.float32)
    assert most.touched(last).tolist() == [most.input_dim - 1]
    with pytest.raises(ConfigError, match="float64"):
        replace(most, input_dim=most.input_dim + 1).touched(last)
    assert replace(most, input_dim=1 << 40).touched(last.astype(float) + 1).tolist() == [1 << 24]


# Shapes and scales


def test_images_are_flattened_by_input_or_flatten():
    pictures = X.reshape(ROWS, 2, 2)
    for first in ([Input((2, 2)), Flatten()], [Flatten((2, 2))], [Flatten()]):
        made = Sequential([*first, Dense(2, "softmax")])
        made.compile("adam", "sparse_categorical_crossentropy")
        made.fit(pictures, Y, verbose=0)
        np.testing.assert_array_equal(made.predict(pictures), made.predict(X))
        made.evaluate(pictures, Y, verbose=0)
    plain = Sequential([Dense(2, "softmax")])
    plain.compile("adam", "sparse_categorical_crossentropy")
    with pytest.raises(DataError, match=r"write x\.reshape"):
        plain.fit(pictures, Y)


@pytest.mark.parametrize("wrong", [(), (0,), (1.5,), "784", None, (3, -1), True])
def test_shapes_must_be_integers(wrong):
    for make in (Input, Flatten) if wrong is not None else (Input,):
        with pytest.raises(ConfigError, match="it must be integers of at least 1"):
            make(wrong)


def test_build_sets_the_number_of_inputs():
    made = Sequential([Dense(2)])
    made.build((None, 5))
    assert made.count_params() == 12
    for wrong in ((None,), 5, (None, None), (None, 0), (None, 2, 2)):
        with pytest.raises(ConfigError, match="give \\(None, inputs\\)"):
            Sequential([Dense(2)]).build(wrong)
    with pytest.raises(ConfigError, match="the first layer takes 5 inputs"):
        Sequential([Dense(2, input_dim=5)]).build((None, 4))


def test_normalization_adapts_to_an_array_or_in_the_first_fit(tmp_path):
    adapted, waiting = Normalization(), Normalization()
    adapted.adapt(X)
    np.testing.assert_allclose(adapted.mean, X.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(adapted.variance, X.var(axis=0), rtol=1e-12)
    one, other = (Sequential([layer, Dense(2, "softmax")]) for layer in (adapted, waiting))
    for made in (one, other):
        made.compile("adam", "sparse_categorical_crossentropy", ["accuracy"])
        fit(made)
    np.testing.assert_allclose(other.layers[0].mean, X.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(one.theta, other.theta, rtol=1e-3, atol=1e-5)
    assert waiting.mean is None, "the layer that was given stays as it is"
    other.save(tmp_path / "m.firesteel")
    assert load_model(tmp_path / "m.firesteel").predict(X).tobytes() == other.predict(X).tobytes()
    mean = other.layers[0].mean
    fit(other, X + 100)
    assert other.layers[0].mean == mean


def test_normalization_adapts_only_once_to_numbers_as_first_layer():
    layer = Normalization()
    for wrong in ("x", [1.0], [[np.nan]], np.zeros((0, 3)), [["a"]]):
        with pytest.raises(ConfigError, match="adapt takes an array"):
            layer.adapt(wrong)
    layer.adapt(X)
    with pytest.raises(ConfigError, match="use a new layer"):
        layer.adapt(X)
    twice = Normalization()
    for layers in ([Dense(3), Normalization()], [twice, Dense(3), twice], [Normalization(invert=True), Dense(3)]):
        with pytest.raises(ConfigError, match="must be the first layer, or with invert=True the last"):
            fit(model(*layers))


def test_an_inverting_normalization_and_a_standardized_loss_adapt_to_targets():
    made = Sequential([Normalization(), Dense(1), Normalization(invert=True)])
    made.compile("sgd", Standardized("mse"), ["mae"])
    y = 1000 * X[:, 0] + 5
    made.fit(X, y, epochs=2, verbose=0)
    first, _, last = made.layers
    np.testing.assert_allclose(first.mean, X.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose((last.mean, last.variance), ([y.mean()], [y.var()]), rtol=1e-6)
    (loss,) = [made.get_compile_config()["loss"]]
    assert loss["mean"] == last.mean and loss["deviation"] == (np.sqrt(last.variance[0]),)
    assert made.history.rows[0]["loss"] < 10 < made.history.rows[0]["mae"], "the loss is in units of their spread"


def test_bounds_apply_at_inference_only():
    x = np.random.default_rng(0).normal(size=(300, 2))
    for far in (0.0, 1e9):
        y = far + 3 * x[:, 0]
        model = Sequential([Dense(8, "tanh"), Dense(1), Normalization(invert=True, bounds=(far - 2, far + 2))])
        model.compile("adam", "mse")
        model.fit(x, y, epochs=30, verbose=0)
        found = model.predict(x) - far
        assert found.min() == pytest.approx(-2, abs=1e-6) and found.max() == pytest.approx(2, abs=1e-6)
        free = Sequential([Dense(8, "tanh"), Dense(1), Normalization(invert=True)])
        free.compile("adam", "mse")
        free.fit(x, y, epochs=30, verbose=0)
        assert free.theta.tobytes() == model.theta.tobytes()
    with pytest.raises(ConfigError, match="the smaller one first"):
        Normalization(bounds=(2.0, 1.0))


@pytest.mark.parametrize("kind", [BatchNormalization, LayerNormalization])
def test_normalizations_accept_the_last_axis_by_either_number(kind):
    assert kind(axis=-1) == kind() and kind(axis=-1).to_config() == kind().to_config()
    assert kind(axis=3).output_shape((4, 5, 2)) == (4, 5, 2) and kind(axis=1).output_shape((7,)) == (7,)
    with pytest.raises(ConfigError, match=r"last axis, 3 or -1 for an input of shape \(4, 5, 2\)"):
        kind(axis=1).output_shape((4, 5, 2))
    for wrong in (0, 1.5, "last", None, (1, 2)):
        with pytest.raises(ConfigError, match="axis"):
            kind(axis=wrong)

"""Layers on values with several axes, softmax layers, PReLU, and noise layers."""

import numpy as np
import pytest

from firesteel.core import losses
from firesteel.core.layers import (
    ACTIVATIONS,
    AlphaDropout,
    BatchNormalization,
    Dense,
    Dropout,
    GaussianDropout,
    LayerNormalization,
    Permute,
    PiecewiseLinear,
    PReLU,
    RepeatVector,
    Reshape,
    Softmax,
)
from firesteel.core.layers.dense import Linear
from firesteel.core.network import Network, Objective
from firesteel.core.seeds import stream_for
from firesteel.errors import ConfigError
from firesteel.fast import compiling
from firesteel.models import Sequential
from firesteel.report.reading import first_layer, layers_of
from firesteel.testing import check_gradient, check_same_bits

RNG = np.random.default_rng(0)
X = RNG.normal(size=(200, 4))
Y = (X[:, 0] > X[:, 1]).astype(int) + (X[:, 2] > 1)
DEEP = (
    Dense(5, "tanh"),
    RepeatVector(3),
    Dense(6, "relu"),
    LayerNormalization(),
    Permute((2, 1)),
    Dense(2, "softmax"),
    PReLU("normal", shared_axes=1),
    Reshape((-1,)),
    Dense(3, "softmax"),
)
"""A chain of which most values have two axes."""


def fitted(*layers, **settings):
    model = Sequential(list(layers), dtype=settings.pop("dtype", "float32"))
    model.build((None, 4))
    model.compile("adam", "sparse_categorical_crossentropy", ["accuracy"])
    model.fit(X, Y, **{"epochs": 3, "batch_size": 64, "seed": 1, "verbose": 0} | settings)
    return model


# Several axes


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_dense_multiplies_along_the_last_axis(dtype):
    layer, x = Linear(2), RNG.normal(size=(5, 3, 2, 4)).astype(dtype)
    p = {"w": RNG.normal(size=(4, 2)).astype(dtype), "b": RNG.normal(size=2).astype(dtype)}
    g, flat_g = ({name: np.empty_like(one) for name, one in p.items()} for _ in range(2))
    y, pull = layer.apply(p, x)
    flat, flat_pull = layer.apply(p, x.reshape(-1, 4))
    assert y.shape == (5, *layer.output_shape((3, 2, 4))) and y.tobytes() == flat.tobytes()
    np.testing.assert_allclose(y, np.einsum("nsti,io->nsto", x, p["w"]) + p["b"], rtol=1e-5, atol=1e-6)
    assert pull(np.cos(y), g, True).tobytes() == flat_pull(np.cos(flat), flat_g, True).tobytes()
    assert all(g[name].tobytes() == flat_g[name].tobytes() for name in g)
    assert pull(np.cos(y), g, False) is None
    assert layer.params((3, 2, 4)) == layer.params((4,))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", [name for name, layer in ACTIVATIONS.items() if layer])
def test_activations_treat_the_last_axis_as_a_row(name, dtype):
    layer, x = ACTIVATIONS[name], RNG.normal(0, 4, (5, 3, 4)).astype(dtype)
    y, pull = layer.apply({}, x)
    flat, flat_pull = layer.apply({}, x.reshape(-1, 4))
    assert y.shape == x.shape and y.tobytes() == flat.tobytes()
    assert pull(np.cos(y), {}, True).tobytes() == flat_pull(np.cos(flat), {}, True).tobytes()


def test_normalizations_use_the_last_axis_or_all_others():
    x = RNG.normal(3, 2, (50, 4, 3))
    y, _ = LayerNormalization(1e-9, center=False, scale=False).apply({}, x)
    np.testing.assert_allclose([y.mean(axis=2), y.var(axis=2)], [np.zeros((50, 4)), np.ones((50, 4))], atol=1e-6)
    p = {"mean": np.zeros(3), "variance": np.ones(3)}
    y, _ = BatchNormalization(epsilon=1e-9, center=False, scale=False).apply(p, x, stream_for(0))
    np.testing.assert_allclose([y.mean(axis=(0, 1)), y.var(axis=(0, 1))], [np.zeros(3), np.ones(3)], atol=1e-6)


def test_gradients_through_several_axes_match_finite_differences():
    network = Network.chain(DEEP, 4, "float64")
    assert [len(shape) for shape in network.shapes].count(2) == 8
    loss = losses.get("sparse_categorical_crossentropy")
    assert check_gradient(Objective(network, loss), X[:6], Y[:6, None]) < 1e-6


@pytest.mark.parametrize("shards", [1, 3])
def test_several_axes_train_to_the_same_bits_without_compiled_code(shards, monkeypatch):
    def plain():
        monkeypatch.setattr(compiling, "ON", False)
        return fitted(*DEEP, shards=shards).fingerprint()

    check_same_bits([lambda: fitted(*DEEP, shards=shards).fingerprint(), plain])


def test_a_network_with_several_axes_learns():
    model = fitted(*DEEP, epochs=100)
    assert model.evaluate(X, Y, verbose=0)[1] > 0.8 > 1.5 * max(np.bincount(Y)) / len(Y)


def test_a_report_counts_the_units_of_all_axes_and_shows_no_first_layer():
    layers = Dense(5, "relu"), RepeatVector(3), Dense(2, "relu"), Reshape((-1,)), Dense(3, "softmax")
    network = Network.chain(layers, 4, "float64")
    objective, theta = Objective(network, losses.get("sparse_categorical_crossentropy")), network.init(0)
    found = layers_of(objective, theta, X, Y[:, None], np.ones(200))
    assert [one["units"] for one in found] == [5, 6, 3]
    assert np.shape(first_layer(objective, theta)) == (5, 4)
    behind = Network.chain(layers[1:], 4, "float64")
    assert first_layer(Objective(behind, objective.loss), behind.init(0)) is None


def test_piecewise_linear_refuses_several_axes():
    with pytest.raises(ConfigError, match=r"needs rows with one axis, but its input has shape \(3, 1\)"):
        PiecewiseLinear([[0.0, 1.0]]).output_shape((3, 1))


# Softmax layers


@pytest.mark.parametrize("end", [Softmax(), Softmax(axis=1)], ids=repr)
def test_a_final_softmax_layer_is_fused_with_the_loss(end):
    layer, name = fitted(Dense(5, "relu"), Dense(3), end), fitted(Dense(5, "relu"), Dense(3, "softmax"))
    assert layer.theta.tobytes() == name.theta.tobytes()
    assert layer.predict(X).tobytes() == name.predict(X).tobytes()
    assert layer.history.history["loss"] == name.history.history["loss"]


@pytest.mark.parametrize("loss", ["sparse_categorical_crossentropy", "categorical_crossentropy"])
def test_softmax_fused_with_cross_entropy_does_not_overflow(loss):
    network = Network.chain((Softmax(),), 3, "float64")
    objective = Objective(network, losses.get(loss))
    y = np.array([[1.0]]) if loss.startswith("sparse") else np.eye(3)[[1]]
    sums = objective.score([{}], np.array([[1000.0, 0.0, -1000.0]]), y, np.ones(1))
    assert objective.last == 0 and sums[0] == 1000.0


def test_a_final_softmax_layer_is_refused_with_from_logits():
    network = Network.chain((Dense(3), Softmax()), 4)
    with pytest.raises(ConfigError, match="leave out from_logits, or the activation"):
        Objective(network, losses.SparseCategoricalCrossentropy(from_logits=True))


@pytest.mark.parametrize("axis, along", [(1, 1), (2, 2), (-1, 2), (-2, 1)])
def test_softmax_sums_to_1_along_its_axis(axis, along):
    x = RNG.normal(size=(5, 3, 4))
    y, _ = Softmax(axis).apply({}, x)
    e = np.exp(x)
    np.testing.assert_allclose(y, e / e.sum(axis=along, keepdims=True), rtol=1e-14)


@pytest.mark.parametrize("axis", [2, -2])
def test_an_axis_that_rows_do_not_have_is_refused_at_build(axis):
    with pytest.raises(ConfigError, match=r"needs axis -?2, but an input of shape \(3,\) has axes 1 to 1"):
        Network.chain((Dense(3), Softmax(axis)), 4)
    with pytest.raises(ConfigError, match=r"needs axis -?2, but an input of shape \(3,\) has axes 1 to 1"):
        Network.chain((Dense(3), PReLU(shared_axes=axis)), 4)


@pytest.mark.parametrize("bad", [0, None, 1.5, "last", (1, 2)])
def test_an_axis_must_be_an_integer_other_than_0(bad):
    with pytest.raises(ConfigError, match="axis must be an integer, 1 for the first axis"):
        Softmax(bad)


# PReLU


@pytest.mark.parametrize("axes, shape", [(None, (3, 4)), (1, (1, 4)), ([2], (3, 1)), ((1, 2), (1, 1)), (-1, (3, 1))])
def test_prelu_has_one_slope_per_unshared_value(axes, shape):
    layer, x = PReLU(shared_axes=axes), RNG.normal(size=(5, 3, 4))
    alpha = RNG.normal(size=shape)
    assert layer.params((3, 4))["alpha"].shape == shape
    np.testing.assert_array_equal(layer.apply({"alpha": alpha}, x)[0], np.where(x > 0, x, alpha * x))


def test_prelu_slopes_start_at_0_and_accept_penalties_and_constraints():
    network = Network.chain((PReLU(alpha_regularizer="l2", alpha_constraint="non_neg"),), 4)
    assert network.init(0).tolist() == [0] * 4 and len(network.penalized) == len(network.constrained) == 1
    model = fitted(Dense(8), PReLU(), Dense(3, "softmax"), epochs=20)
    assert (model.get_weights()[2] != 0).all()


@pytest.mark.parametrize("bad", [0, [1, 0], [], "1", 1.5])
def test_shared_axes_must_be_integers_other_than_0(bad):
    with pytest.raises(ConfigError, match="shared_axes=.*it must be integers, 1 for the first axis"):
        PReLU(shared_axes=bad)


# Noise


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_gaussian_dropout_has_the_variance_of_keras(rate):
    ones = np.ones((500, 400))
    y, pull = GaussianDropout(rate).apply({}, ones, stream_for(0))
    width = np.sqrt(rate / (1 - rate))
    assert y.mean() == pytest.approx(1, abs=5 * width / np.sqrt(y.size))
    assert y.std() == pytest.approx(width, rel=0.01)
    np.testing.assert_array_equal(pull(2 * ones, {}, True), 2 * y)


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_alpha_dropout_matches_keras_and_preserves_mean_and_variance(rate):
    x = RNG.normal(size=(1000, 400))
    y, _ = AlphaDropout(rate).apply({}, x, stream_for(0))
    kept = Dropout(rate).mask(stream_for(0), x.shape, x.dtype) > 0
    lowest = -1.6732632423543772 * 1.0507009873554805
    a = ((1 - rate) * (1 + rate * lowest**2)) ** -0.5
    b = -a * lowest * rate
    np.testing.assert_allclose(y, a * np.where(kept, x, lowest) + b, rtol=1e-12, atol=1e-14)
    assert y.mean() == pytest.approx(0, abs=0.01) and y.var() == pytest.approx(1, abs=0.01)
    assert (~kept).mean() == pytest.approx(rate, abs=0.005)


@pytest.mark.parametrize("layer", [GaussianDropout(0.3), AlphaDropout(0.3)], ids=repr)
def test_noise_is_equal_in_both_dtypes_and_absent_at_inference(layer):
    x = RNG.normal(size=(9, 100))
    one, other = (layer.apply({}, x.astype(dtype), stream_for(1))[0] for dtype in ("float32", "float64"))
    assert one.dtype == np.float32
    np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
    assert layer.apply({}, x)[0] is x and (other != x).all()


@pytest.mark.parametrize("kind", [GaussianDropout, AlphaDropout])
@pytest.mark.parametrize("bad", [1.0, -0.1, None, "0.5"])
def test_a_rate_must_be_below_1(kind, bad):
    with pytest.raises(ConfigError, match="rate must be a number with 0.0 <= rate < 1.0"):
        kind(bad)


@pytest.mark.parametrize("kind", [Dropout, GaussianDropout, AlphaDropout])
@pytest.mark.parametrize("name, why", [("seed", "follow from fit"), ("noise_shape", "dropped independently")])
def test_unsupported_keras_arguments_are_refused_with_a_reason(kind, name, why):
    with pytest.raises(ConfigError, match=f"{kind.__name__} has no argument '{name}': .*{why}") as caught:
        kind(0.5, **{name: 3})
    assert caught.value.code == "config-argument"

"""Losses and metrics against naive formulas, and losses where naive formulas break."""

import doctest
from dataclasses import replace

import numpy as np
import pytest

from firesteel import losses as face
from firesteel import metrics
from firesteel.core.layers import Dense
from firesteel.core.losses import (
    LOSSES,
    BinaryCrossentropy,
    BinaryFocalCrossentropy,
    CategoricalCrossentropy,
    CategoricalFocalCrossentropy,
    Hinge,
    Huber,
    KLDivergence,
    LogCosh,
    MeanAbsoluteError,
    Poisson,
    Quantile,
    SparseCategoricalCrossentropy,
    SquaredHinge,
    Standardized,
    get,
)
from firesteel.core.metrics import METRICS, CategoricalAccuracy, suited
from firesteel.core.network import Network, Objective
from firesteel.errors import ConfigError, DataError


def cut(p):
    return np.minimum(np.maximum(p, 1e-7), 1)


def unit(x):
    return x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-7)


NAIVE = {
    "CategoricalHinge": lambda p, y: np.maximum(1 + ((1 - y) * p).max(axis=1) - (y * p).sum(axis=1), 0),
    "CosineSimilarity": lambda p, y: -(unit(p) * unit(y)).sum(axis=1),
    "MeanAbsolutePercentageError": lambda p, y: 100 * (np.abs(p - y) / np.maximum(np.abs(y), 1e-7)).mean(axis=1),
    "MeanSquaredLogarithmicError": lambda p, y: (
        (np.log(1 + np.maximum(p, 1e-7)) - np.log(1 + np.maximum(y, 1e-7))) ** 2
    ).mean(axis=1),
    "MeanSquaredError": lambda p, y: ((p - y) ** 2).mean(axis=1),
    "HalfSumOfSquares": lambda p, y: 0.5 * ((p - y) ** 2).sum(axis=1),
    "BinaryCrossentropy": lambda p, y: -(y * np.log(p) + (1 - y) * np.log(1 - p)).mean(axis=1),
    "BinaryFocalCrossentropy": lambda p, y: (
        -(y * (1 - p) ** 2 * np.log(p) + (1 - y) * p**2 * np.log(1 - p)).mean(axis=1)
    ),
    "CategoricalCrossentropy": lambda p, y: -(y * np.log(p)).sum(axis=1),
    "CategoricalFocalCrossentropy": lambda p, y: -(0.25 * y * (1 - p) ** 2 * np.log(p)).sum(axis=1),
    "CategoricalGeneralizedCrossEntropy": lambda p, y: (
        2 - 2 * np.sqrt([row[int(k)] for row, (k,) in zip(p, y, strict=True)])
    ),
    "Standardized": lambda p, y: ((p - y) ** 2).mean(axis=1),
    "SparseCategoricalCrossentropy": lambda p, y: -np.log([row[int(k)] for row, (k,) in zip(p, y, strict=True)]),
    "MeanAbsoluteError": lambda p, y: np.abs(p - y).mean(axis=1),
    "Huber": lambda p, y: np.where(np.abs(p - y) <= 1, (p - y) ** 2 / 2, np.abs(p - y) - 0.5).mean(axis=1),
    "LogCosh": lambda p, y: np.log(np.cosh(p - y)).mean(axis=1),
    "Quantile": lambda p, y: np.maximum(0.5 * (y - p), 0.5 * (p - y)).mean(axis=1),
    "Poisson": lambda p, y: (np.maximum(p, 0) - y * np.log(np.maximum(p, 0) + 1e-7)).mean(axis=1),
    "KLDivergence": lambda p, y: (cut(y) * np.log(cut(y) / cut(p))).sum(axis=1),
    "Hinge": lambda p, y: np.maximum(1 - y * p, 0).mean(axis=1),
    "SquaredHinge": lambda p, y: (np.maximum(1 - y * p, 0) ** 2).mean(axis=1),
}
EDGE = np.array([1e4, -1e4, 1e-40, -1e-40, 0.0, 88.8, -88.8, 709.9, -709.9])
DTYPES = ["float32", "float64"]
BELOW_0 = ("poisson", "kl_divergence", "kld", "cosine_similarity")
"""What may be negative: a likelihood without its constant, a divergence from no distribution, and a cosine."""


def targets(loss, outputs, rows, rng):
    """Every kind of exact target: 0 and 1, one-hot, a class, or a number."""
    if loss.targets == "class":
        return rng.integers(0, outputs, (rows, 1)).astype(float)
    if loss.targets == "unit":
        return np.eye(outputs)[rng.integers(0, outputs, rows)]
    if loss.targets == "count":
        return rng.poisson(2.0, (rows, outputs)).astype(float)
    if loss.targets == "sign":
        return rng.choice([-1.0, 1.0], (rows, outputs))
    assert loss.targets == "real", f"say here what targets of kind {loss.targets!r} are"
    return rng.normal(size=(rows, outputs))


def test_every_loss_of_the_registry_has_a_naive_formula_here():
    assert {type(loss).__name__ for loss in LOSSES.values()} == set(NAIVE)


@pytest.mark.parametrize("outputs", [2, 5])
@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_is_its_naive_formula_on_its_outputs(name, outputs):
    loss, rng = LOSSES[name], np.random.default_rng(outputs)
    z = rng.normal(0, 2, (20, outputs))
    y = targets(loss, outputs, 20, rng)
    value, p, _ = loss.rows(z, y)
    np.testing.assert_allclose(value, NAIVE[type(loss).__name__](p, y), rtol=1e-10)


def test_soft_targets_count_in_proportion():
    z, y = np.random.default_rng(0).normal(size=(6, 3)), np.random.default_rng(1).uniform(0, 1, (6, 3))
    for loss in (BinaryCrossentropy(), CategoricalCrossentropy()):
        value, p, _ = loss.rows(z, y)
        np.testing.assert_allclose(value, NAIVE[type(loss).__name__](p, y), rtol=1e-12)


def test_the_sparse_and_the_one_hot_cross_entropy_are_the_same():
    z, k = np.random.default_rng(0).normal(0, 3, (9, 4)), np.arange(9) % 4
    sparse = SparseCategoricalCrossentropy().rows(z, k[:, None].astype(float))
    dense = CategoricalCrossentropy().rows(z, np.eye(4)[k])
    for a, b in zip(sparse, dense, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_and_its_gradient_stay_finite_at_extremes(name, dtype):
    loss, rng = LOSSES[name], np.random.default_rng(0)
    z = np.array(np.meshgrid(EDGE, EDGE, EDGE)).reshape(3, -1).T.astype(dtype)
    for _ in range(3):
        y = targets(loss, 3, len(z), rng).astype(dtype)
        with np.errstate(all="raise", under="ignore"):
            value, outputs, d_z = loss.rows(z.copy(), y)
        for array in (value, outputs, d_z):
            assert np.isfinite(array).all() and array.dtype == dtype
        assert (value >= 0).all() or name in BELOW_0


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_confident_mistake_costs_its_logit_and_pulls_with_full_strength(dtype):
    z = np.array([[1e4], [-1e4], [1e4], [-1e4]], dtype)
    y = np.array([[0], [1], [1], [0]], dtype)
    value, _, d_z = BinaryCrossentropy().rows(z, y)
    assert value.tolist() == [1e4, 1e4, 0, 0] and d_z.ravel().tolist() == [1, -1, 0, 0]
    value, _, d_z = SparseCategoricalCrossentropy().rows(np.array([[1e4, -1e4]], dtype), np.array([[1]], dtype))
    assert value.tolist() == [2e4] and d_z.tolist() == [[1, -1]]


def test_logits_are_predicted_where_the_loss_takes_them_and_nothing_else_changes():
    rng = np.random.default_rng(0)
    z, k = rng.normal(0, 3, (9, 4)), (np.arange(9) % 4)[:, None].astype(float)
    for kind, y in (
        (BinaryCrossentropy, rng.uniform(size=(9, 4))),
        (CategoricalCrossentropy, np.eye(4)[np.arange(9) % 4]),
        (SparseCategoricalCrossentropy, k),
    ):
        for share in (0.0, 0.2):
            plain, logits = kind(label_smoothing=share), kind(from_logits=True, label_smoothing=share)
            assert plain.link is not None and logits.link is None and plain.natural == logits.natural
            (value, p, d), (same, outputs, also) = plain.rows(z, y), logits.rows(z, y)
            assert value.tolist() == same.tolist() and d.tolist() == also.tolist()
            assert outputs is z and not np.allclose(p, z)


@pytest.mark.parametrize("kind", [BinaryCrossentropy, CategoricalCrossentropy, SparseCategoricalCrossentropy])
def test_a_loss_of_logits_refuses_the_activation_that_it_stands_for(kind):
    loss = kind(from_logits=True)
    for last in ("linear", "tanh"):
        Objective(Network.chain((Dense(3, last),), 2), loss)
    with pytest.raises(ConfigError, match="leave out from_logits, or the activation") as caught:
        Objective(Network.chain((Dense(3, loss.natural),), 2), loss)
    assert caught.value.code == "config-loss"


def test_smoothed_targets_are_mixed_with_even_ones():
    z, k = np.random.default_rng(0).normal(0, 3, (9, 4)), np.arange(9) % 4
    one_hot = np.eye(4)[k]
    mixed = CategoricalCrossentropy().rows(z, 0.8 * one_hot + 0.2 / 4)
    for smoothed in (
        CategoricalCrossentropy(label_smoothing=0.2).rows(z, one_hot),
        SparseCategoricalCrossentropy(label_smoothing=0.2).rows(z, k[:, None].astype(float)),
    ):
        for a, b in zip(smoothed, mixed, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-15)
    halves = BinaryCrossentropy().rows(z, 0.8 * one_hot + 0.1)[0]
    np.testing.assert_allclose(BinaryCrossentropy(label_smoothing=0.2).rows(z, one_hot)[0], halves, rtol=1e-12)


def test_focal_losses_without_gamma_are_the_cross_entropies():
    z, y = np.random.default_rng(0).normal(0, 3, (9, 4)), np.eye(4)[np.arange(9) % 4]
    for plain, focal in (
        (BinaryCrossentropy(), BinaryFocalCrossentropy(gamma=0.0)),
        (CategoricalCrossentropy(), CategoricalFocalCrossentropy(1.0, 0.0)),
        (CategoricalCrossentropy(label_smoothing=0.2), CategoricalFocalCrossentropy(1.0, 0.0, label_smoothing=0.2)),
    ):
        for a, b in zip(plain.rows(z, y), focal.rows(z, y), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-15)


def test_alpha_weighs_labels_and_classes():
    z, y = np.random.default_rng(0).normal(0, 3, (9, 4)), np.eye(4)[np.arange(9) % 4]
    even, more = BinaryFocalCrossentropy(), BinaryFocalCrossentropy(True, 0.75)
    parts = [loss.rows(z[:, :1], y[:, :1])[0] for loss in (more, even)]
    np.testing.assert_allclose(parts[0], np.where(y[:, 0], 0.75, 0.25) * parts[1])
    one, each = CategoricalFocalCrossentropy(1.0), CategoricalFocalCrossentropy([0.1, 0.2, 0.3, 4.0])
    np.testing.assert_allclose(each.rows(z, y)[0], y @ [0.1, 0.2, 0.3, 4.0] * one.rows(z, y)[0])
    network = Network.chain((Dense(3, "softmax"),), 2)
    for call in (lambda: each([[1.0, 0.0]], [[0.5, 0.5]]), lambda: Objective(network, each)):
        with pytest.raises(ConfigError, match="has 4 numbers, but there are [23] outputs") as caught:
            call()
        assert caught.value.code == "config-loss"


def test_an_ignored_class_does_not_count_in_a_mean_and_training_refuses_it():
    y, z = np.array([0, -1, 2, -1]), np.random.default_rng(0).normal(0, 3, (4, 3))
    loss, plain = (SparseCategoricalCrossentropy(True, ignore_class=one) for one in (-1, None))
    assert loss.of(y, z)[[1, 3]].tolist() == [0, 0] and not loss.rows(z, y[:, None])[2][[1, 3]].any()
    assert loss(y, z) == pytest.approx(plain(y[::2], z[::2])) and loss(y[1::2], z[1::2]) == 0
    assert get(loss.to_config()) == loss != plain and "ignore_class" not in plain.to_config()
    for reduction in ("sum", "mean_with_sample_weight", "sum_over_batch_size"):
        ours, rest = (replace(one, reduction=reduction) for one in (loss, plain))
        assert ours(y, z, np.arange(4.0)) == pytest.approx(rest(y[::2], z[::2], [0.0, 2.0]))
    assert face.sparse_categorical_crossentropy(y, z, True, ignore_class=-1).tolist() == loss.of(y, z).tolist()
    with pytest.raises(DataError, match="class numbers from 0 to 2"):
        loss([-2], z[:1])
    with pytest.raises(ConfigError, match="class_weight=") as caught:
        Objective(Network.chain((Dense(3),), 2), loss)
    assert caught.value.code == "config-loss"


def test_a_hinge_reads_0_as_minus_1_row_by_row():
    z, bits = np.array([[0.3, -2.0]]), np.array([[0.0, 1.0]])
    for loss in (Hinge(), SquaredHinge()):
        for a, b in zip(loss.rows(z, bits), loss.rows(z, 2 * bits - 1), strict=True):
            assert a.tolist() == b.tolist()


@pytest.mark.parametrize("q", [0.1, 0.5, 0.9])
def test_the_quantile_loss_is_smallest_at_the_quantile(q):
    y = np.random.default_rng(0).normal(size=(1001, 1))
    best = np.quantile(y, q)
    losses = [Quantile(q).rows(np.full_like(y, z), y)[0].mean() for z in (best - 0.05, best, best + 0.05)]
    assert losses[1] == min(losses)
    assert Quantile(q).rows(np.zeros((2, 1)), np.array([[1.0], [-1.0]]))[0] == pytest.approx([q, 1 - q])


@pytest.mark.parametrize("dtype", DTYPES)
def test_where_a_derivative_jumps_the_value_is_the_one_that_is_documented(dtype):
    one, zero = np.ones((1, 1), dtype), np.zeros((1, 1), dtype)
    for loss in (MeanAbsoluteError(), Quantile(0.9), Huber(), LogCosh()):
        assert loss.rows(one, one)[2] == 0
    assert Hinge().rows(one, one)[2] == SquaredHinge().rows(one, one)[2] == 0
    assert Poisson().rows(-one, one)[2] == 0 and Poisson().rows(zero, one)[2] == pytest.approx(-1e7)
    assert KLDivergence().rows(one, one)[2] == -1 and KLDivergence().rows(2 * one, one)[2] == 0


def test_log_cosh_keeps_the_digits_of_small_errors():
    r = np.array([[1e-6], [1e-3], [0.1]])
    np.testing.assert_allclose(LogCosh().rows(r, 0 * r)[0], np.log1p(2 * np.sinh(r[:, 0] / 2) ** 2), rtol=1e-9)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", LOSSES)
def test_a_whole_network_stays_finite_on_tiny_and_on_large_inputs(name, dtype):
    loss, rng = LOSSES[name], np.random.default_rng(0)
    network = Network.chain((Dense(4, "tanh"), Dense(3, loss.natural)), 2, dtype)
    theta = network.init(0)
    x = np.array([[1e-40, -1e-40], [1e4, -1e4], [0, 0], [1e4, 1e-40]], dtype)
    y, w = targets(loss, 3, 4, rng).astype(dtype), np.array([1, 2, 3, 1e-40])
    gradient = np.zeros_like(theta)
    with np.errstate(all="raise", under="ignore"):
        sums = Objective(network, loss).learn(
            network.layout.views(theta), x, y, w, 1.0, None, network.layout.views(gradient)
        )
    assert np.isfinite(sums).all() and np.isfinite(gradient).all() and gradient.any()


def test_a_standardized_loss_is_the_loss_of_standardized_numbers():
    rng = np.random.default_rng(0)
    z, y = rng.normal(size=(9, 2)), rng.normal(size=(9, 2))
    mean, deviation = np.array([1.0, -5.0]), np.array([0.1, 300.0])
    value, outputs, _ = Standardized("mse", mean, deviation).rows(z * deviation + mean, y * deviation + mean)
    np.testing.assert_allclose(value, NAIVE["MeanSquaredError"](z, y), rtol=1e-9)
    np.testing.assert_allclose(outputs, z * deviation + mean)


def test_class_weights_multiply_the_weights_of_rows_in_training_and_nowhere_else():
    network = Network.chain((Dense(3, "softmax"),), 2, "float64")
    plain = Objective(network, SparseCategoricalCrossentropy())
    weighted = Objective(network, SparseCategoricalCrossentropy(), class_weight=(1.0, 0.0, 2.5))
    y, w = np.array([[0.0], [1.0], [2.0], [2.0]]), np.array([1.0, 2.0, 3.0, 4.0])
    assert weighted.weighted(y, w).tolist() == [1.0, 0.0, 7.5, 10.0] and plain.weighted(y, w) is w
    views, x = network.layout.views(network.init(0)), np.ones((4, 2))
    assert weighted.score(views, x, y, w).tolist() == plain.score(views, x, y, w).tolist()


@pytest.mark.parametrize("name", LOSSES)
def test_rows_of_weight_0_contribute_nothing_but_their_count(name):
    loss, rng = LOSSES[name], np.random.default_rng(5)
    network = Network.chain((Dense(4, "tanh"), Dense(3, loss.natural)), 2, "float64")
    objective = Objective(network, loss, (("mae", METRICS["mae"]),) if loss.targets != "class" else ())
    views = network.layout.views(network.init(0))
    x, y, w = rng.normal(size=(10, 2)), targets(loss, 3, 10, rng), np.ones(10)
    x[6:], w[6:] = 100.0, 0.0

    def learned(rows):
        g = np.zeros(network.layout.size)
        sums = objective.learn(views, x[:rows], y[:rows], w[:rows], 1.0, None, network.layout.views(g))
        return g, sums

    (with_them, sums), (without, fewer) = learned(10), learned(6)
    np.testing.assert_allclose(with_them, without, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(np.delete(sums, 2), np.delete(fewer, 2), rtol=1e-12)
    assert (sums[2], fewer[2]) == (10, 6)


@pytest.mark.parametrize(
    "loss, outputs, kind",
    [
        ("sparse_categorical_crossentropy", 10, "SparseCategoricalAccuracy"),
        ("categorical_crossentropy", 10, "CategoricalAccuracy"),
        ("binary_crossentropy", 1, "BinaryAccuracy"),
        ("binary_crossentropy", 3, "BinaryAccuracy"),
        ("mse", 1, "BinaryAccuracy"),
        ("half_sse", 10, "CategoricalAccuracy"),
    ],
)
def test_accuracy_means_the_one_that_suits_the_loss(loss, outputs, kind):
    assert type(suited(LOSSES[loss], outputs)).__name__ == kind


def test_sums_are_weighted_and_divided_by_the_weight_once():
    network = Network.chain((Dense(2),), 1, "float64")
    objective = Objective(network, LOSSES["half_sse"], (("hit", CategoricalAccuracy()),))
    views = network.layout.views(np.array([1.0, 0.0, 0.0, 0.0]))
    x, y, w = np.array([[1.0], [2.0]]), np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([3.0, 1.0])
    sums = objective.score(views, x, y, w)
    assert sums.tolist() == [1 * 0.5 * (4 + 1), 4.0, 2.0, 3.0]
    assert objective.means(sums) == {"loss": 2.5 / 4, "hit": 0.75} and objective.names == ["loss", "hit"]


# Functions of arrays


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_is_a_function_of_arrays_of_any_shape(name):
    function, loss, rng = getattr(face, name), LOSSES[name], np.random.default_rng(0)
    p = rng.dirichlet(np.ones(3), (4, 2))
    y = targets(loss, 3, 8, rng).reshape(4, 2, -1)
    expected = NAIVE[type(loss).__name__](p.reshape(8, 3), y.reshape(8, -1))
    np.testing.assert_allclose(function(y, p), expected.reshape(4, 2), rtol=1e-6)
    assert function(y, p)[1].tolist() == function(y[1], p[1]).tolist() and function(y[1, 1], p[1, 1]).ndim == 0
    assert loss(y, p) == pytest.approx(expected.mean(), rel=1e-6)
    w = np.arange(8.0).reshape(4, 2)
    assert loss(y, p, w) == loss(y, p, w[..., None]) == pytest.approx((function(y, p) * w).mean())
    assert loss(y, p, w[:, 0]) == loss(y, p, w[:, :1]) == pytest.approx((function(y, p) * w[:, :1]).mean())
    assert loss(y, p, 2.0) == pytest.approx(2 * loss(y, p)) and loss(y, p, 0) == 0
    assert function.__name__ == name and type(loss).__name__ in function.__doc__
    assert get(function) == loss and function(y.astype(np.float32), p.astype(np.float32)).dtype == np.float32


@pytest.mark.parametrize("made", [*(getattr(face, name) for name in LOSSES), *metrics.OTHERS.values()])
def test_docstrings_made_from_a_class_are_complete_and_their_examples_run(made):
    sections = ("\n\nArgs:\n    ", "\n\nExample:\n    >>> from firesteel.")
    assert all(section in made.__doc__ for section in sections) and made.stands_for.__name__ in made.__doc__
    tests = doctest.DocTestParser().get_doctest(made.__doc__, {}, made.__name__, None, 0)
    assert len(tests.examples) >= 3 and doctest.DocTestRunner().run(tests).failed == 0


def test_a_function_takes_the_fields_of_its_loss():
    y, z = np.array([[1.0], [0.0]]), np.array([[2.0], [-30.0]])
    logits = face.binary_crossentropy(y, z, from_logits=True)
    np.testing.assert_allclose(logits, face.binary_crossentropy(y, 1 / (1 + np.exp(-z))))
    assert logits.tolist() == face.binary_crossentropy(y, z, True).tolist()
    assert face.huber(y, z, delta=3.0).tolist() == Huber(3.0).rows(z, y)[0].tolist()
    assert face.sparse_categorical_crossentropy([1, 0], np.eye(2)[[1, 0]]).tolist() == pytest.approx([0.0, 0.0])
    assert face.mean_squared_error([1, 2], [[3], [2]]).tolist() == [4.0, 0.0]
    with pytest.raises(ConfigError, match="did you mean 'delta'"):
        face.huber(y, z, dleta=1.0)


@pytest.mark.parametrize(
    "name, y, p, words",
    [
        ("mse", [1.0, 2.0], [[1.0, 2.0], [1.0, 2.0]], r"y_true has shape \(2,\) and y_pred has shape \(2, 2\)"),
        ("mse", 1.0, 1.0, "its last axis must hold the outputs"),
        ("mse", [[]], [[]], "its last axis must hold the outputs"),
        ("mse", ["a"], [1.0], "y_true must be an array of numbers"),
        ("mse", [1.0], [1j], "y_pred must be an array of numbers"),
        ("mse", [[1.0], [1.0, 2.0]], [1.0], "y_true must be an array of numbers"),
        ("sparse_categorical_crossentropy", [2], [[0.5, 0.5]], "class numbers from 0 to 1"),
        ("sparse_categorical_crossentropy", [0.5], [[0.5, 0.5]], "class numbers from 0 to 1"),
    ],
)
def test_arrays_that_suit_no_loss_are_refused(name, y, p, words):
    with pytest.raises(DataError, match=words):
        getattr(face, name)(y, p)
    with pytest.raises(DataError, match="sample_weight"):
        LOSSES["mse"]([[1.0]], [[1.0]], [1.0, 2.0])


@pytest.mark.parametrize("name", LOSSES)
def test_a_call_reduces_the_rows_as_asked_and_training_takes_the_mean(name):
    loss, rng, w = LOSSES[name], np.random.default_rng(0), np.array([0.5, 2.0, 0.0, 1.0])
    p, y = rng.dirichlet(np.ones(3), 4), targets(loss, 3, 4, rng)
    rows = getattr(face, name)(y, p)
    expected = {
        "sum": (rows * w).sum(),
        "none": rows * w,
        None: rows * w,
        "mean": (rows * w).mean(),
        "sum_over_batch_size": (rows * w).mean(),
        "mean_with_sample_weight": np.average(rows, weights=w),
    }
    network = Network.chain((Dense(3, loss.natural),), 2)
    for reduction, value in expected.items():
        made = replace(loss, reduction=reduction)
        assert made(y, p, w) == pytest.approx(value) and made.to_config().get("reduction", "x") in (reduction, "x")
        if reduction in ("sum", "none", None):
            with pytest.raises(ConfigError, match="training takes the mean over the rows"):
                Objective(network, made)
        else:
            Objective(network, made)
    assert replace(loss, reduction="mean_with_sample_weight")(y, p, 0.0) == 0.0
    assert "reduction" not in loss.to_config() and get(replace(loss, reduction="sum").to_config()).reduction == "sum"
    with pytest.raises(ConfigError, match="reduction must be one of"):
        replace(loss, reduction="average")
    with pytest.raises(ConfigError, match="has no argument 'reduction'"):
        getattr(face, name)(y, p, reduction="sum")

"""Row R31 of the reliability table: at the ends of what numbers can be, losses and gradients stay finite."""

import numpy as np
import pytest

from firesteel.core.layers import ACTIVATIONS, BatchNormalization, Dense, Flatten, LayerNormalization, Normalization
from firesteel.core.loss import Crossentropy
from firesteel.core.network import DTYPES, Network, Objective
from firesteel.core.regularizers import L1L2
from firesteel.core.seeds import rng_for, stream_for
from firesteel.models import Sequential
from tests.core.test_gradients import LOSS_SAMPLES

LOSSES = list(dict.fromkeys(LOSS_SAMPLES.values()))
CURVES = [name for name in dict.fromkeys(ACTIVATIONS) if name != "exponential"]
"""All but the one that says itself where it leaves the range of numbers."""
BATCH, INPUTS, OUTPUTS = 6, 4, 3
EXTREMES = np.array([-1e4, 1e4, -1e-40, 1e-40, 0.0, 1.0])


def targets(loss, rng):
    """Targets at the ends of what the loss takes: probabilities of exactly 0 and 1, counts of 0 and thousands."""
    ends = {"real": EXTREMES, "unit": [0.0, 1.0], "count": [0.0, 1e4], "sign": [-1.0, 1.0]}
    if loss.targets == "class":
        return rng.integers(0, OUTPUTS, (BATCH, 1)).astype(float)
    return rng.choice(ends[loss.targets], (BATCH, OUTPUTS))


def extreme_rows(rng):
    """Rows of a constant column, one of numbers that float32 hardly holds, one of two huge ones and a plain one."""
    x = rng.normal(size=(BATCH, INPUTS))
    x[:, 0] = rng.choice([0.0, 0.1, 1e4])
    x[:, 1] = rng.choice([-1e-40, 1e-40, 0.0], BATCH)
    x[:, 2] = rng.choice([-1e4, 1e4], BATCH)
    return x


def ending(loss):
    """The last activation: the loss's own, probabilities of exactly 0 and 1 included, where it stays finite."""
    if loss.natural == "exponential" or (isinstance(loss, Crossentropy) and loss.from_logits):
        return "linear"
    return loss.natural


def learnt(number, dtype):
    """The loss and the gradient of one network in one batch; its logits are some 1e4."""
    rng = rng_for(number, "extremes")
    loss, curve = LOSSES[number % len(LOSSES)], CURVES[number % len(CURVES)]
    x, y = extreme_rows(rng).astype(dtype), targets(loss, rng).astype(dtype)
    first = [Flatten(), BatchNormalization(), LayerNormalization(), Normalization()][number % 4]
    if isinstance(first, Normalization):
        first.adapt(x)
    price = L1L2(0.1, 0.1)
    layers = (first, Dense(4, curve), Dense(OUTPUTS, ending(loss), kernel_regularizer=price))
    network = Network.chain(layers, INPUTS, dtype)
    theta = network.init(number)
    views, g = network.layout.views(theta), np.zeros_like(theta)
    views[-1 if loss.link is None and ending(loss) == "linear" else -2]["w"][:] *= 1e4
    w = rng.choice([0.0, 1e-3, 1.0, 1e3], BATCH)
    with np.errstate(all="ignore"):
        sums = Objective(network, loss).learn(
            views, x, y, w, 1.0 / (w.sum() or 1.0), lambda op: stream_for(number, "op", op), network.layout.views(g)
        )
        sums[0] += network.penalty(views, network.layout.views(g))
    return sums[0], g, (number, loss, curve, first)


@pytest.mark.parametrize("dtype", DTYPES)
def test_r31_the_loss_and_the_gradient_of_extreme_networks_are_finite(dtype):
    found = [learnt(number, dtype) for number in range(500)]
    broken = [where for value, g, where in found if not (np.isfinite(value) and np.isfinite(g).all())]
    print(f"{len(found)} networks of {dtype}, not finite: {len(broken)}")
    assert not broken, broken[:3]
    assert sum(bool(g.any()) for _, g, _ in found) > 300


@pytest.mark.parametrize("dtype", DTYPES)
def test_r31_every_loss_and_its_derivative_is_finite_at_extreme_outputs(dtype):
    broken = []
    for number in range(500):
        rng, loss = rng_for(number, "outputs"), LOSSES[number % len(LOSSES)]
        z, y = rng.choice(EXTREMES, (BATCH, OUTPUTS)).astype(dtype), targets(loss, rng).astype(dtype)
        values, outputs, d_z = loss.rows(z, y)
        if not all(np.isfinite(part).all() for part in (values, outputs, d_z)):
            broken.append((number, loss, z, y))
    print(f"500 rows of outputs of {dtype}, not finite: {len(broken)}")
    assert not broken, broken[:3]


@pytest.mark.parametrize("dtype", DTYPES)
def test_r31_columns_that_hardly_differ_train(dtype):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 3))
    x[:, 0], x[:, 1] = 0.1, rng.integers(0, 2, 300) * 1e-40
    y = (x[:, 2] > 0).astype(int)
    for given in (Normalization(), Normalization([0.1, 0.0, 0.0], [0.0, 1e-80, 1.0])):
        model = Sequential([given, Dense(2, "softmax")], dtype=dtype)
        model.compile("adam", "sparse_categorical_crossentropy")
        history = model.fit(x, y, epochs=2, verbose=0)
        assert np.isfinite(history.history["loss"]).all() and np.isfinite(model.state.theta).all()
        assert np.isfinite(model.predict(x)).all()

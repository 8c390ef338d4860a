"""Row R32 of the reliability table: sums of ten million weighted losses keep twelve digits."""

import math

import numpy as np
import pytest

from firesteel.layers import Dense
from firesteel.models import Sequential
from firesteel.optimizers import SGD


def rows(count, alike):
    """Rows whose losses under weights of 0 are near 0.1, and what each weighs.  alike: whether all are the same."""
    rng = np.random.default_rng(3)
    y = np.full(count, math.sqrt(0.2)) if alike else np.sqrt(rng.uniform(0.19, 0.21, count))
    w = np.full(count, 1.1) if alike else rng.uniform(0.5, 1.5, count)
    return np.zeros((count, 1)), y, w


def exact(y, w):
    """The mean of the losses of outputs of 0, from a sum that is rounded once."""
    return math.fsum((0.5 * (y * y) * w).tolist()) / math.fsum(w.tolist())


def errors(count, alike, batch_size):
    """How far the losses of training and of evaluation are from exact ones, relative to them."""
    x, y, w = rows(count, alike)
    net = Sequential([Dense(1, kernel_initializer="zeros")], dtype="float64")
    net.compile(SGD(1e-300), "half_sse")
    history = net.fit(x, y, sample_weight=w, batch_size=batch_size, epochs=1, shuffle=False, verbose=0)
    found = history.history["loss"][0], net.evaluate(x, y, sample_weight=w, verbose=0)[0]
    return [abs(one - exact(y, w)) / exact(y, w) for one in found]


@pytest.mark.parametrize("alike", [False, True])
def test_r32_many_small_batches_add_up(alike):
    found = errors(60_000, alike, 1)
    print(f"60,000 losses, one a step, relative errors {found}")
    assert max(found) <= 2e-15, "added one after another, they are off by 4e-15 and more"


@pytest.mark.slow
@pytest.mark.parametrize("alike", [False, True])
def test_r32_ten_million_losses_add_up(alike):
    found = errors(10_000_000, alike, 32)
    print(f"10,000,000 losses, 32 a step, relative errors {found}")
    assert max(found) <= 1e-12

"""Pictures are learned from and scored in pieces by their memory, and a batch that has no room is refused."""

import numpy as np
import pytest

from firesteel.errors import ConfigError
from firesteel.layers import BatchNormalization, Conv2D, Dense, GlobalAveragePooling2D, Input
from firesteel.models import Sequential
from firesteel.train import step
from firesteel.train.step import cut


def model(side, *more):
    made = Sequential([Input((side, side, 1)), Conv2D(8, 3), *more, GlobalAveragePooling2D(), Dense(2, "softmax")])
    made.compile("adam", "sparse_categorical_crossentropy")
    return made


@pytest.mark.parametrize("side, rows", [(8, 128), (100, 128), (200, 32), (1000, 1)])
def test_the_memory_of_activations_decides_how_many_pictures_meet(side, rows):
    made = model(side)
    assert made.network.rows == rows
    assert cut(made._objective(), 256) == rows and cut(made._objective(), 2) == 1
    assert [cut(made._objective(), n) for n in (1, 7, 128)] == [min(rows, one) for one in (1, 4, 64)]


def test_large_pictures_are_scored_in_small_pieces():
    made, x = model(200), np.random.default_rng(0).normal(size=(40, 200, 200, 1))
    sizes = []
    layer = type(made.network.plan[0].layer)
    before = layer.apply

    def seen(self, p, x, rng=None):
        sizes.append(len(x))
        return before(self, p, x, rng)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layer, "apply", seen)
        made.predict(x, verbose=0)
        assert sorted(sizes) == [8, 32]
        made.evaluate(x, np.zeros(40), verbose=0)
        assert max(sizes[2:]) <= 32 and sum(sizes[2:]) == 40


def test_a_batch_that_cannot_be_in_memory_is_refused_with_the_size_that_can(monkeypatch):
    x, y = np.zeros((64, 50, 50, 1)), np.arange(64) % 2
    joint = model(50, BatchNormalization())
    each = 2 * sum(np.prod(shape) for shape in joint.network.shapes) * 4
    monkeypatch.setattr(step, "memory", lambda: 40.5 * each)
    with pytest.raises(ConfigError, match="training on 64 images at once.*batch_size=40 fits") as caught:
        joint.fit(x, y, batch_size=64, verbose=0)
    assert caught.value.code == "config-memory"
    joint.fit(x, y, batch_size=40, verbose=0)
    model(50).fit(x, y, batch_size=40, verbose=0)
    monkeypatch.setattr(step, "memory", lambda: 0.5 * each)
    with pytest.raises(ConfigError, match="not even one image fits"):
        model(50, BatchNormalization()).fit(x, y, batch_size=2, verbose=0)

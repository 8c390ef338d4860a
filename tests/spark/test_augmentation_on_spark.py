"""Pictures that are changed at random train to the same bits on arrays and in any number of partitions."""

import numpy as np
import pytest

from firesteel.layers import (
    Conv2D,
    Dense,
    Flatten,
    Input,
    RandomBrightness,
    RandomContrast,
    RandomElasticTransform,
    RandomFlip,
    RandomRotation,
    RandomShear,
    RandomTranslation,
    RandomZoom,
)
from firesteel.models import Sequential

RNG = np.random.default_rng(0)
X, Y = RNG.uniform(0, 255, (300, 9, 8, 1)).astype(np.float32), np.arange(300.0) % 3
LAYERS = [
    *[Input((9, 8, 1)), RandomContrast(0.2), RandomRotation(0.1), RandomTranslation(0.2, 0.1), RandomZoom(0.2)],
    *[RandomShear(0.2, 0.1), RandomFlip(), RandomElasticTransform(), RandomBrightness(0.1)],
    *[Conv2D(4, 3, activation="relu"), RandomZoom(0.1, fill_mode="wrap"), Flatten(), Dense(3, "softmax")],
]


def fitted(*data, **more):
    model = Sequential(LAYERS)
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(*data, epochs=2, batch_size=64, seed=2, verbose=0, **more)
    return model.fingerprint()


@pytest.fixture(scope="module")
def frame(spark):
    rows = [(x.ravel().tolist(), y) for x, y in zip(X, Y.tolist(), strict=True)]
    made = spark.createDataFrame(rows, "features array<float>, label double").persist()
    yield made
    made.unpersist()


@pytest.mark.parametrize("shards", [1, 2])
def test_a_fit_has_the_bits_of_arrays_in_any_number_of_partitions(frame, shards):
    expected = fitted(X, Y, shards=shards)
    assert {fitted(frame.repartition(count), shards=shards) for count in (3, 40)} == {expected}

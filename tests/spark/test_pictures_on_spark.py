"""Stages with convolutions: pictures in columns of any kind, standardized by channel, to the same bits."""

import numpy as np
import pytest
from pyspark.ml.functions import array_to_vector

from firesteel.errors import ConfigError
from firesteel.layers import (
    BatchNormalization,
    Conv2D,
    Dense,
    Flatten,
    Input,
    MaxPooling2D,
    Normalization,
    ReLU,
)
from firesteel.models import Sequential
from firesteel.spark import NeuralNetworkClassifier

RNG = np.random.default_rng(0)
Y = np.arange(240) % 3
X = np.clip(RNG.normal(90, 40, (240, 6, 5, 2)) + 40 * Y[:, None, None, None] * [1, 0], 0, 255).astype(np.uint8)
LAYERS = [
    Input((6, 5, 2)),
    *(Conv2D(6, 3, use_bias=False), BatchNormalization(), ReLU(), MaxPooling2D(), Flatten()),
    Dense(3, "softmax"),
]


def stage(**more):
    return NeuralNetworkClassifier(
        layers=LAYERS, seed=1, members=1, validationFraction=0.0, maxIter=8, batchSize=60, **more
    )


@pytest.fixture(scope="module")
def frame(spark):
    data = [(bytearray(x.tobytes()), x.reshape(-1).tolist(), float(y)) for x, y in zip(X, Y, strict=True)]
    made = spark.createDataFrame(data, "bytes binary, list array<int>, label double")
    made = made.withColumn("vector", array_to_vector(made["list"].cast("array<double>"))).repartition(3).persist()
    yield made
    made.unpersist()


@pytest.fixture(scope="module")
def expected(frame):
    return stage(featuresCol="bytes").fit(frame)


def fingerprint(fitted):
    return fitted.network.fingerprint()


@pytest.mark.parametrize("column", ["bytes", "list", "vector"])
@pytest.mark.parametrize("partitions", [3, 40])
def test_a_stage_has_the_same_bits_of_pictures_in_any_column(frame, expected, column, partitions):
    fitted = stage(featuresCol=column).fit(frame.repartition(partitions))
    assert fingerprint(fitted) == fingerprint(expected)
    rows = fitted.transform(frame).select("prediction", "label").collect()
    assert np.mean([row.prediction == row.label for row in rows]) > 0.8


def test_pictures_are_standardized_by_channel(expected):
    layer = next(one for one in expected.network.layers if isinstance(one, Normalization))
    flat = X.reshape(-1, 2).astype(float)
    np.testing.assert_allclose(layer.mean, flat.mean(axis=0), rtol=1e-9)
    np.testing.assert_allclose(layer.variance, flat.var(axis=0), rtol=1e-9)
    alone = Normalization()
    alone.adapt(X)
    np.testing.assert_allclose(alone.variance, layer.variance, rtol=1e-9)


def test_the_stage_has_the_bits_of_the_fit_in_process(frame):
    here = Sequential([LAYERS[0], Normalization(), *LAYERS[1:]])
    there = Sequential([LAYERS[0], Normalization(), *LAYERS[1:]])
    for model in (here, there):
        model.compile("adam", "sparse_categorical_crossentropy")
    here.fit(X, Y, batch_size=60, epochs=2, seed=2, verbose=0)
    there.fit(frame.repartition(40), features="bytes", label="label", batch_size=60, epochs=2, seed=2, verbose=0)
    assert here.fingerprint() == there.fingerprint()


def test_members_of_networks_with_pictures_are_averaged(frame):
    fitted = NeuralNetworkClassifier(layers=LAYERS, seed=1, members=2, featuresCol="bytes").setMaxIter(2).fit(frame)
    model = fitted.network
    assert len(model.members) == 2
    each = np.mean([one.predict(X, verbose=0) for one in model.members], axis=0)
    np.testing.assert_allclose(model.predict(X, verbose=0), each, rtol=1e-5, atol=1e-6)


def test_pictures_of_another_size_are_refused(frame):
    with pytest.raises(ConfigError):
        NeuralNetworkClassifier(layers=[Input((7, 5, 2)), *LAYERS[1:]], featuresCol="bytes").fit(frame)
    with pytest.raises(ConfigError, match="begin with Input"):
        NeuralNetworkClassifier(layers=LAYERS[1:], featuresCol="bytes").fit(frame)

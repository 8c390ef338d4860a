"""The Param `tta` scores pictures as the mean over each and its shifts."""

import numpy as np
import pytest

from firesteel.errors import ConfigError
from firesteel.layers import Conv2D, Dense, Flatten, Input
from firesteel.spark import NeuralNetworkClassifier, NeuralNetworkClassifierModel, NeuralNetworkRegressor
from firesteel.utils import averaged_over_shifts

ALL = {"validationFraction": 0.0, "maxIter": 2}
X = np.random.default_rng(0).normal(size=(60, 5, 6, 1)).astype(np.float32)
Y = (X[:, 0, 0, 0] > 0).astype(float)
FRONT = [Input((5, 6, 1)), Conv2D(3, 3, activation="relu"), Flatten()]


@pytest.fixture(scope="module")
def frame(spark):
    rows = [(x.ravel().tolist(), y) for x, y in zip(X, Y.tolist(), strict=True)]
    return spark.createDataFrame(rows, "features array<float>, label double").coalesce(2)


def column(scored, name):
    return np.array([np.atleast_1d(getattr(row[0], "values", row[0])) for row in scored.select(name).collect()])


@pytest.mark.parametrize("members", [1, 3])
def test_probabilities_are_those_of_the_average_on_arrays(frame, members, tmp_path):
    layers = [*FRONT, Dense(4, "relu"), Dense(2, "softmax")]
    stage = NeuralNetworkClassifier(layers=layers, tta=1, maxIter=2, members=members)
    model = stage.fit(frame)
    assert model.network.fingerprint() == stage.copy({stage.tta: 0}).fit(frame).network.fingerprint()
    averaged = averaged_over_shifts(model.network, 1)
    assert (averaged.theta == model.network.theta).all()
    expected = averaged.predict(X)
    assert np.abs(expected - model.network.predict(X)).max() > 1e-3
    np.testing.assert_allclose(column(model.transform(frame), "probability"), expected, rtol=1e-5, atol=1e-6)
    row = frame.first().features
    np.testing.assert_allclose(model.predictProbability(row).values, expected[0], rtol=1e-5, atol=1e-6)
    model.write().overwrite().save(str(tmp_path / "model"))
    loaded = NeuralNetworkClassifierModel.load(str(tmp_path / "model"))
    assert loaded.getOrDefault("tta") == 1
    scored = loaded.copy({loaded.embeddingCol: "code"}).transform(frame)
    np.testing.assert_allclose(column(scored, "probability"), expected, rtol=1e-5, atol=1e-6)
    plain = loaded.copy({loaded.embeddingCol: "code", loaded.tta: 0}).transform(frame)
    np.testing.assert_allclose(column(scored, "code"), column(plain, "code"), rtol=1e-5, atol=1e-6)


def test_numbers_are_those_of_the_average_on_arrays(frame):
    model = NeuralNetworkRegressor(layers=[*FRONT, Dense(1)], members=1, **ALL).fit(frame)
    scored = model.copy({model.tta: 2}).transform(frame)
    expected = averaged_over_shifts(model.network, 2).predict(X)
    np.testing.assert_allclose(column(scored, "prediction"), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "given, message",
    [
        ({"hiddenLayers": [3], "tta": 1}, "averaging over shifts needs a model with one image"),
        ({"layers": [*FRONT, Dense(2, "softmax")], "tta": 5}, "less than the sides of an image"),
    ],
)
def test_what_cannot_be_is_refused_before_training(frame, given, message):
    with pytest.raises(ConfigError, match=message):
        NeuralNetworkClassifier(members=1, **ALL, **given).fit(frame)

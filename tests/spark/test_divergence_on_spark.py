"""Row R33 of the reliability table, on frames and on the stages: what diverged is never returned as trained."""

import math
import re

import numpy as np
import pytest

from firesteel.callbacks import BoldDriver
from firesteel.errors import DivergenceError
from firesteel.layers import Dense
from firesteel.models import Sequential
from firesteel.optimizers import LBFGS, SGD, Adam, RMSprop
from firesteel.spark import NeuralNetworkClassifier, NeuralNetworkRegressor
from tests.spark.conftest import NAMED

RATE = 1e6


@pytest.fixture(scope="module")
def frame(spark, rows):
    kept = rows.frame(spark).persist()
    yield kept
    kept.unpersist()


def refused(fit):
    with pytest.raises(DivergenceError) as caught:
        fit()
    error, text = caught.value, str(caught.value)
    assert (
        re.search(r"diverged in epoch [12]: ", text)
        and " layer " in text
        and "are kept" in text
        and "Lower the" in text
    )
    assert "Traceback" not in text and "org.apache" not in text and error.code == "diverged"
    assert np.abs(error.state.theta).max() < 10
    return error


WAYS = {
    "average": (Adam(RATE), {"shards": 1}),
    "shards": (SGD(RATE), {"shards": 3}),
    "gradient": (Adam(RATE), {"strategy": "gradient"}),
    "bold": (SGD(RATE), {"callbacks": BoldDriver(), "shards": 2, "epochs": 1}),
    "lbfgs": (LBFGS(1e30), {}),
}


@pytest.mark.parametrize("way", [*list(WAYS)[:-1], pytest.param("lbfgs", marks=pytest.mark.slow)])
def test_r33_a_frame_s_fit_raises_and_keeps_the_last_good_weights(frame, rows, way):
    optimizer, settings = WAYS[way]
    texts, kept = [], []
    for given in ((frame,), (rows.x, rows.y)):
        model = Sequential([Dense(5, "relu"), Dense(3, "softmax")])
        model.compile(optimizer, "sparse_categorical_crossentropy")
        texts.append(
            str(refused(lambda m=model, g=given: m.fit(*g, **{"epochs": 2, "verbose": 0, "shards": 2} | settings)))
        )
        kept.append(model.fingerprint())
        assert math.isfinite(model.evaluate(rows.x, rows.y, verbose=0)[0])
    assert kept[0] == kept[1] and texts[0] == texts[1]


@pytest.mark.parametrize("solver", ["adam", "sgd", pytest.param("l-bfgs", marks=pytest.mark.slow)])
def test_r33_the_classifier_returns_no_diverged_model(frame, solver):
    rate = 1e30 if solver == "l-bfgs" else RATE
    stage = NeuralNetworkClassifier(
        **NAMED | {"hiddenLayers": [5], "maxIter": 2, "learningRate": rate, "solver": solver, "seed": 1}
    )
    refused(lambda: stage.fit(frame))


@pytest.mark.parametrize("params", [{}, {"strategy": "gradient"}])
def test_r33_the_regressor_returns_no_diverged_model(frame, params):
    stage = NeuralNetworkRegressor(
        **NAMED | {"hiddenLayers": [5], "maxIter": 2, "learningRate": RATE, "seed": 1} | params
    )
    refused(lambda: stage.fit(frame))


@pytest.mark.parametrize("optimizer, settings", [(Adam(), {"shards": 3}), (RMSprop(), {"strategy": "gradient"})])
def test_r33_a_gradient_that_is_too_large_to_square_is_a_divergence_on_spark_too(spark, optimizer, settings):
    rows = [(1.0, 1e25 if number == 77 else 1.0, 1.0) for number in range(600)]
    frame = spark.createDataFrame(rows, "a double, b double, y double")
    model = Sequential([Dense(1, kernel_initializer="zeros", input_dim=2)])
    model.compile(optimizer, "mse")
    how = {"features": ["a", "b"], "label": "y"}
    error = refused(lambda: model.fit(frame, **how, epochs=2, verbose=0, **settings))
    assert "moments of layer 0 (Dense)" in str(error) or "the weights of layer 0" in str(error)
    assert np.isfinite(model.state.slots).all()

"""Stages whose `layers` are a model: its description travels, and one input and one output are what a stage has."""

import json

import numpy as np
import pytest
from pyspark.ml.linalg import Vectors

from firesteel.errors import ConfigError
from firesteel.layers import Add, Dense, Flatten, Input
from firesteel.models import Model, Sequential, clone_model, load_model
from firesteel.spark import (
    NeuralNetworkClassifier,
    NeuralNetworkClassifierModel,
    NeuralNetworkRegressor,
    NeuralNetworkRegressorModel,
)
from tests.support import graphs

HOW = {"solver": "adam", "learningRate": 0.01, "batchSize": 32, "maxIter": 2, "seed": 1, "validationFraction": 0.0}
PLAIN = HOW | {"standardization": False, "shards": 1, "tol": 0.0}


def bridged(outputs=3, activation="softmax", shape=None, size=8):
    """A model with a skip connection."""
    x = Input(shape or (size,))
    flat = Flatten()(x) if shape else x
    hidden = Add()([flat, Dense(size, "tanh")(flat)])
    return Model(x, Dense(outputs, activation)(hidden))


@pytest.fixture(scope="module")
def rows():
    return graphs.rows(300)


@pytest.fixture(scope="module")
def frame(spark, rows):
    given = [(Vectors.dense(x.tolist()), int(y), float(x[1])) for x, y in zip(*rows, strict=True)]
    return spark.createDataFrame(given, ["features", "label", "size"]).persist()


def test_a_stage_trains_a_model_as_the_model_trains_itself(frame, rows):
    stage = NeuralNetworkClassifier(layers=bridged(), **PLAIN).fit(frame)
    alone = bridged()
    alone.compile("adam", "sparse_categorical_crossentropy", ["accuracy"])
    alone.learning_rate = 0.01
    alone.fit(*rows, batch_size=32, epochs=2, seed=1, verbose=0)
    np.testing.assert_array_equal(stage.network.theta, alone.theta)
    assert stage.getMembers() == 1 and "linear" in str(stage.summary.comparison)


def test_features_become_rows_of_the_shape_of_the_input(frame, rows):
    stage = NeuralNetworkClassifier(layers=bridged(shape=(2, 4, 1)), **HOW).fit(frame)
    found = np.array([row["probability"].toArray() for row in stage.transform(frame).select("probability").collect()])
    np.testing.assert_allclose(found, stage.network.predict(rows[0]), atol=1e-6)
    assert stage.summary.accuracy > 0.4


def test_inputs_and_targets_are_standardized_around_a_model(frame, rows, tmp_path):
    stage = NeuralNetworkRegressor(layers=bridged(1, None), labelCol="size", **HOW | {"maxIter": 30}).fit(frame)
    assert stage.summary.r2 > 0.5
    path = str(tmp_path / "stage")
    stage.save(path)
    again = NeuralNetworkRegressorModel.load(path)
    assert again.network.fingerprint() == stage.network.fingerprint()
    assert again.getLayers() == stage.getLayers() == json.loads(json.dumps(stage.getLayers()))
    stage.network.save(tmp_path / "model")
    np.testing.assert_array_equal(load_model(tmp_path / "model").predict(rows[0]), stage.network.predict(rows[0]))


def test_a_model_travels_as_a_param(frame, tmp_path):
    stage = NeuralNetworkClassifier(layers=bridged(), **PLAIN)
    assert stage.getLayers()["network"]["nodes"] and "every fit draws new ones" in stage.explainParams()
    path = str(tmp_path / "stage")
    stage.save(path)
    again = NeuralNetworkClassifier(**PLAIN | {"layers": stage.getLayers()})
    stages = (stage, stage.copy(), NeuralNetworkClassifier.load(path), again)
    found = {one.fit(frame).network.fingerprint() for one in stages}
    assert len(found) == 1


def test_a_trained_model_is_trained_anew(frame, rows):
    model = bridged()
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(*rows, epochs=1, seed=5, verbose=0)
    before = model.theta.tobytes()
    trained, fresh = (
        NeuralNetworkClassifier(layers=one, **PLAIN).fit(frame).network.theta for one in (model, clone_model(model))
    )
    np.testing.assert_array_equal(trained, fresh)
    assert model.theta.tobytes() == before


def test_a_chain_is_taken_as_its_layers():
    chain = Sequential([Dense(4, "relu"), Dense(3, "softmax")])
    stage = NeuralNetworkClassifier(layers=chain)
    assert stage.getLayers() == NeuralNetworkClassifier(layers=chain.layers).getLayers()
    x = Input((4,))
    assert (
        type(NeuralNetworkClassifier(layers=Sequential([Dense(4, input_dim=8), Model(x, Dense(3)(x))])).getLayers())
        is dict
    )


def test_a_model_that_was_trained_elsewhere_scores_as_a_stage(frame, rows):
    model = bridged()
    stage = NeuralNetworkClassifierModel.fromNetwork(model)
    found = np.array([row["probability"].toArray() for row in stage.transform(frame).select("probability").collect()])
    np.testing.assert_allclose(found, model.predict(rows[0]), atol=1e-6)


@pytest.mark.parametrize("name, counts", [("twice", "2 inputs and 1"), ("kind_and_size", "2 inputs and 2")])
def test_a_model_of_several_inputs_or_outputs_is_refused(name, counts):
    text = f"{counts} outputs, and a stage takes one of each: call the model itself on the DataFrame, model"
    with pytest.raises(ConfigError, match=text + r"\.fit\(df, features={...}, label={...}\)"):
        NeuralNetworkClassifier(layers=graphs.CALLED[name]())
    for kind in (NeuralNetworkClassifierModel, NeuralNetworkRegressorModel):
        with pytest.raises(ConfigError, match=text + r"\.predict\(df, features={...}\)"):
            kind.fromNetwork(graphs.CALLED[name]())


def test_what_cannot_be_trained_in_a_stage_is_refused(frame):
    x = Input((4,))
    with pytest.raises(ConfigError, match="the number of inputs of this model is unknown: start it with an Input"):
        NeuralNetworkClassifier(layers=Sequential([Dense(4), Model(x, Dense(3, "softmax")(x))]))
    with pytest.raises(ConfigError, match="this model is float64, but stages train in float32"):
        NeuralNetworkClassifier(layers=Model(x, Dense(3, "softmax")(x + x), dtype="float64"))
    with pytest.raises(ConfigError, match="members=3: layers are not a chain, and only chains"):
        NeuralNetworkClassifier(layers=bridged(), members=3).fit(frame)
    with pytest.raises(ConfigError, match="the model takes 5 features, but the rows have 8"):
        NeuralNetworkClassifier(layers=bridged(size=5), **PLAIN).fit(frame)
    with pytest.raises(ConfigError, match="layers define the whole network, and dropout is set too"):
        NeuralNetworkClassifier(layers=bridged(), dropout=0.1).fit(frame)

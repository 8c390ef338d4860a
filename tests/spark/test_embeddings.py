"""The column of embeddings is what a hidden layer makes of each row, and changes nothing else."""

import numpy as np
import pytest
from pyspark.ml.linalg import Vectors

from firesteel.errors import ConfigError
from firesteel.layers import Add, Conv2D, Dense, Dropout, Flatten, Input, MaxPooling2D, Softmax
from firesteel.models import Model, Sequential
from firesteel.spark import (
    NeuralNetworkClassifier,
    NeuralNetworkClassifierModel,
    NeuralNetworkRegressor,
    NeuralNetworkRegressorModel,
)
from firesteel.spark.embedding import hidden_of, rest_of
from firesteel.train.rounds import predict
from tests.spark.conftest import EVERY_ROW
from tests.spark.documents import ROOT, blocks

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 12)).astype(np.float32)
Y = (X[:, 0] > 0).astype(float)


@pytest.fixture(scope="module")
def frame(spark):
    rows = [(x.tolist(), y, 3.0 * y, "ab"[int(y)]) for x, y in zip(X, Y.tolist(), strict=True)]
    return spark.createDataFrame(rows, "features array<float>, label double, size double, word string").coalesce(2)


def embedded(scored, name="embedding"):
    found = np.array([row[name].toArray() for row in scored.select(name).collect()])
    assert scored.schema[name].metadata == {"ml_attr": {"num_attrs": found.shape[1]}}
    return found


def made(model, name):
    """What `Model(base.inputs, layer.output)` says, Keras's way to an embedding."""
    found = Model(model.inputs, model.get_layer(name).output).predict(X)
    return found.reshape(len(X), -1)


def near(found, expected):
    """The same but for last bits, which depend on how many rows are scored together."""
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def compiled(model):
    model.compile("adam", "sparse_categorical_crossentropy")
    return model


def chain():
    layers = [Dense(5, "relu"), Dropout(0.5), Dense(4, "tanh", name="code"), Dropout(0.2), Dense(2), Softmax()]
    return Sequential([Input((12,)), *layers])


def pictures():
    layers = [Conv2D(3, 2, activation="relu"), MaxPooling2D(), Flatten(), Dense(6, "relu"), Dense(2, "softmax")]
    return Sequential([Input((3, 4, 1)), *layers])


def residual():
    x = Input((12,))
    first = Dense(5, "relu")(x)
    return Model(x, Dense(2, "softmax")(Add()([first, Dense(5, "relu")(first)])))


@pytest.mark.parametrize(
    "build, named, last",
    [
        (chain, {"code": "code", "dense": "dense", "dropout": "dense"}, "code"),
        (pictures, {"conv2d": "conv2d", "flatten": "max_pooling2d"}, "dense"),
        (residual, {"dense_1": "dense_1"}, "add"),
    ],
)
def test_each_layers_outputs_are_those_on_arrays(frame, build, named, last):
    network = compiled(build())
    model = NeuralNetworkClassifierModel.fromNetwork(network)
    plain, columns = model.transform(frame), ["rawPrediction", "probability", "prediction"]
    scored = model.setEmbeddingCol("embedding").transform(frame)
    assert scored.columns == [*plain.columns, "embedding"]
    assert scored.select(*columns).collect() == plain.select(*columns).collect()
    near(embedded(scored), made(network, last))
    for name, same in named.items():
        found = embedded(model.setEmbeddingLayer(name).transform(frame))
        near(found, made(network, same))


def test_a_fit_takes_it_to_the_model_and_a_saved_model_keeps_it(frame, tmp_path):
    stage = NeuralNetworkClassifier(hiddenLayers=[8, 3], embeddingCol="code", maxIter=2, **EVERY_ROW)
    model = stage.fit(frame)
    assert model.network.fingerprint() == stage.copy({stage.embeddingCol: ""}).fit(frame).network.fingerprint()
    found = embedded(model.transform(frame), "code")
    assert found.shape == (60, 3)
    near(found, made(model.network, "dense_1"))
    model.write().save(str(tmp_path / "model"))
    again = NeuralNetworkClassifierModel.load(str(tmp_path / "model"))
    np.testing.assert_array_equal(embedded(again.transform(frame), "code"), found)


@pytest.mark.parametrize("label", ["size", ["size", "label"]])
def test_of_numbers_and_of_members_side_by_side(frame, label):
    many = isinstance(label, list)
    rows = frame.selectExpr("features", "array(size, label) as label") if many else frame
    given = {"labelCol": "label" if many else label, "hiddenLayers": [5], "maxIter": 2}
    stage = NeuralNetworkRegressor(**given, **{**EVERY_ROW, "members": 3}, embeddingCol="code")
    model = stage.fit(rows)
    scored = model.transform(rows)
    plain = model.copy({model.embeddingCol: ""}).transform(rows)
    assert scored.select("prediction").collect() == plain.select("prediction").collect()
    each = [Model(one.inputs, one.get_layer("dense").output).predict(X) for one in model.network.members]
    near(embedded(scored, "code"), np.hstack(each))


def test_columns_of_any_type_and_rows_that_are_left_out(frame):
    rows = frame.selectExpr("word", "features[0] as a", "features[1] as b", "label")
    stage = NeuralNetworkClassifier(hiddenLayers=[6], embeddingCol="code", maxIter=2, **EVERY_ROW)
    assert embedded(stage.fit(rows).transform(rows), "code").shape == (60, 6)
    model = NeuralNetworkClassifierModel.fromNetwork(compiled(chain())).setEmbeddingCol("code")
    gaps = frame.selectExpr("if(label = 1, null, features) as features")
    kept = model.setHandleInvalid("keep").transform(gaps).selectExpr("sum(int(code is null))").collect()
    assert kept == [(int(Y.sum()),)]
    assert model.setHandleInvalid("skip").transform(gaps).count() == int((1 - Y).sum())


def test_sparse_vectors(spark):
    rows = [(Vectors.sparse(20_000, [k % 7, 300 + k], [1.0, 0.5]), float(k % 7 > 3)) for k in range(60)]
    few = spark.createDataFrame(rows, ["features", "label"])
    model = NeuralNetworkClassifier(hiddenLayers=[6], embeddingCol="code", maxIter=2, **EVERY_ROW).fit(few)
    assert model.network.network.sparse
    dense = np.array([features.toArray() for features, _ in rows])
    encoder = Model(model.network.inputs, model.network.get_layer("dense").output)
    near(embedded(model.transform(few), "code"), encoder.predict(dense))


def test_features_far_from_zero(frame):
    far = frame.selectExpr("array(1e9 + features[0], 1e9 + features[1]) as features", "3e9 + label as label")
    model = NeuralNetworkRegressor(hiddenLayers=[4], embeddingCol="code", maxIter=2, **EVERY_ROW).fit(far)
    assert model.network.network.centre.features and model.network.network.centre.targets
    assert np.ptp(embedded(model.transform(far), "code"), axis=0).max() > 0.1


@pytest.mark.parametrize(
    "given, message",
    [
        ({"hiddenLayers": []}, "this network has none"),
        ({"embeddingLayer": "codes"}, "embeddingLayer='codes': known layers are .*dense, dense_1"),
        ({"embeddingCol": "probability"}, "and embeddingCol are .*probability: they must differ"),
        ({"embeddingCol": "features"}, "features"),
    ],
    ids=str,
)
def test_what_cannot_be_is_refused_before_training(frame, given, message):
    stage = NeuralNetworkClassifier(
        **{"hiddenLayers": [4], "embeddingCol": "code", "maxIter": 2, **EVERY_ROW, **given}
    )
    with pytest.raises(Exception, match=message) as caught:
        stage.fit(frame)
    assert type(caught.value).__module__ == "firesteel.errors"


@pytest.mark.parametrize(
    "build, name, whole",
    [(chain, "code", True), (pictures, "conv2d", True), (residual, "dense_1", False), (residual, "add", True)],
)
def test_the_rest_of_a_network_goes_on_from_the_embedding(build, name, whole):
    model = compiled(build())
    hidden = hidden_of(model.network, name)
    rest = rest_of(model.network, hidden)
    assert (rest is not None) == whole
    if rest is not None:
        here, there = np.split(model.theta, [hidden.layout.size])
        found = predict(rest, there, predict(hidden, here, X, map).reshape(len(X), -1), map)
        np.testing.assert_array_equal(found, model.predict(X))


def test_of_a_layer_that_is_called_twice_both_outputs_stand_side_by_side():
    shared, x = Dense(12, "relu", name="shared"), Input((12,))
    first = shared(x)
    model = Model(x, Dense(2, "softmax")(shared(first)))
    hidden = hidden_of(model.network, "shared")
    found = predict(hidden, model.theta[: hidden.layout.size], X, map)
    once = np.maximum(X @ shared.kernel + shared.bias, 0)
    twice = np.maximum(once @ shared.kernel + shared.bias, 0)
    np.testing.assert_allclose(found, np.hstack([once, twice]), rtol=1e-4, atol=1e-5)


def test_a_models_own_stage_refuses_a_layer_that_is_not_there(frame):
    model = NeuralNetworkRegressorModel.fromNetwork(Sequential([Dense(1, input_dim=12)]))
    with pytest.raises(ConfigError, match="this network has none"):
        model.setEmbeddingCol("code").transform(frame)
    with pytest.raises(ConfigError, match="predictionCol and embeddingCol are code, code: they must differ"):
        model.setEmbeddingLayer("dense").setPredictionCol("code").transform(frame)


@pytest.mark.mnist
def test_similar_pictures_of_mnist_show_the_same_digit():
    first, second, _ = (code for code, _ in blocks((ROOT / "docs/how-to/embeddings.md").read_text()))
    taken = "x, y, x_test, y_test = x[:6000], y[:6000], x_test[:1000], y_test[:1000]\nlayers = ["
    code = first.replace("load_digits", "load_mnist").replace("layers = [", taken).replace("epochs=20", "epochs=3")
    names = {}
    exec(f"{code}\n{second}", names)
    assert names["same"] > 0.9

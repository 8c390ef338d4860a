"""The Params `architecture` and `inputShape`: which network is trained on columns of every kind, what is refused."""

import numpy as np
import pytest
from pyspark.ml.functions import array_to_vector

from firesteel.errors import ConfigError, DataError
from firesteel.layers import Conv2D, Dense, Dropout, Flatten, Input
from firesteel.models import Sequential
from firesteel.spark import NeuralNetworkClassifier, NeuralNetworkClassifierModel, NeuralNetworkRegressor, pack
from firesteel.tables import policy
from tests.spark.test_picture_columns import IMAGE, struct

RNG = np.random.default_rng(0)
Y = np.arange(240) % 3
X = np.clip(RNG.normal(90, 40, (240, 9, 8, 3)) + 40 * Y[:, None, None, None] * [1, 0, 0], 0, 255).astype(np.uint8)
CNN = {"architecture": "cnn", "inputShape": [9, 8, 3], "maxIter": 3, "seed": 1}
COLUMNS = ("image", "bytes", "list", "cube", "vector")


@pytest.fixture(scope="module")
def frame(spark):
    rows = [
        (struct(x), bytearray(x.tobytes()), x.reshape(-1).tolist(), x.tolist(), float(y))
        for x, y in zip(X, Y, strict=True)
    ]
    kinds = f"{IMAGE}, bytes binary, list array<int>, cube array<array<array<int>>>, label double"
    made = spark.createDataFrame(rows, kinds)
    made = made.withColumn("vector", array_to_vector(made["list"].cast("array<double>"))).repartition(3).persist()
    yield made
    made.unpersist()


@pytest.fixture(scope="module")
def expected(frame):
    return NeuralNetworkClassifier(featuresCol="bytes", **CNN).fit(frame)


def names(stage):
    return [type(layer).__name__ for layer in stage.network.layers]


def test_the_default_network_is_what_the_table_of_defaults_says(expected):
    block = ["Conv2D", "BatchNormalization", "Activation"]
    assert names(expected) == [
        *("Normalization", *block, "MaxPooling2D", *block, *block),
        *("Flatten", "Dropout", "Dense", "Dropout", "Dense"),
    ]
    used = [expected.getOrDefault(name) for name in ("hiddenLayers", "batchSize", "members", "activation")]
    assert used == [[128], 64, 1, "relu"] and expected.getEarlyStoppingRounds() == 12
    assert len(expected.network.layers[0].mean) == 3, "one mean a channel"
    assert expected.network.layers[-3].activation == "relu"


@pytest.mark.parametrize("column", COLUMNS)
def test_every_column_of_pictures_has_the_same_network_and_scores(frame, expected, column, tmp_path):
    fitted = NeuralNetworkClassifier(featuresCol=column, **CNN).fit(frame.repartition(7))
    assert fitted.network.fingerprint() == expected.network.fingerprint()
    fitted.write().overwrite().save(str(tmp_path / "stage"))
    again = NeuralNetworkClassifierModel.load(str(tmp_path / "stage"))
    assert again.getArchitecture() == "cnn" and again.getInputShape() == [9, 8, 3]
    scores = [stage.transform(frame).select("prediction", "label").collect() for stage in (again, expected)]
    assert scores[0] == scores[1]


def test_packed_rows_have_the_same_network(frame, expected):
    stage = NeuralNetworkClassifier(featuresCol="bytes", validationFraction=0.2, **CNN)
    with pack(frame, features="bytes", label="label", validation_split=0.2) as rows:
        assert stage.fit(rows).network.fingerprint() == stage.fit(frame).network.fingerprint()


def test_params_change_the_layers_behind_the_convolutions(frame):
    given = {"hiddenLayers": [16, 8], "dropout": 0.0, "activation": "gelu", "members": 2, "maxIter": 1}
    fitted = NeuralNetworkClassifier(featuresCol="bytes", **CNN | given).fit(frame)
    member = fitted.network.members[0]
    dense = [layer for layer in member.layers if isinstance(layer, Dense)]
    assert [layer.units for layer in dense] == [16, 8, 3] and dense[0].activation == "gelu"
    assert not any(isinstance(layer, Dropout) for layer in member.layers) and fitted.getMembers() == 2
    linear = NeuralNetworkClassifier(featuresCol="bytes", **CNN | {"hiddenLayers": [], "maxIter": 1}).fit(frame)
    assert sum(isinstance(layer, Dense) for layer in linear.network.layers) == 1


def test_a_regressor_has_convolutions_too(frame):
    fitted = NeuralNetworkRegressor(featuresCol="image", **CNN).fit(frame)
    assert names(fitted).count("Conv2D") == 3 and fitted.getHiddenLayers() == [128]


@pytest.mark.parametrize(
    "shape", [(1, 1, 1), (7, 30, 1), (8, 8, 1), (28, 28, 1), (33, 65, 3), (128, 128, 3), (224, 224, 3)]
)
def test_the_convolutions_suit_every_size(shape):
    made = policy.convolutions(shape, "relu")
    network = Sequential([*made, Dense(2)])
    halved = sum(type(layer).__name__ == "MaxPooling2D" for layer in made)
    assert halved == (0 if min(shape[:2]) < 8 else 1 if min(shape[:2]) < 16 else 2)
    assert network.count_params() < 1_000_000 and isinstance(made[-1], Flatten) == (max(shape) <= 128)


def test_a_shape_stands_in_front_of_layers_that_say_none(frame):
    layers = [Conv2D(4, 3, activation="relu"), Flatten(), Dense(3, "softmax")]
    common = {"featuresCol": "vector", "maxIter": 2, "members": 1, "seed": 1}
    found = [
        NeuralNetworkClassifier(layers=given, **common, **more).fit(frame).network.fingerprint()
        for given, more in (
            (layers, {"inputShape": [9, 8, 3]}),
            ([Input((9, 8, 3)), *layers], {}),
            ([Input((9, 8, 3)), *layers], {"inputShape": [9, 8, 3]}),
        )
    ]
    assert len(set(found)) == 1


def test_a_dense_network_knows_the_shape_of_its_pictures(spark, frame):
    plain = NeuralNetworkClassifier(featuresCol="image", maxIter=2, members=1, seed=1, architecture="dense")
    shaped = plain.copy().setInputShape([9, 8, 3]).fit(frame)
    np.testing.assert_array_equal(shaped.network.theta, plain.fit(frame).network.theta)
    turned = spark.createDataFrame(
        [(struct(X[0].transpose(1, 0, 2), "file:/turned.png"), 0.0)], f"{IMAGE}, label double"
    )
    with pytest.raises(Exception, match="file:/turned.png is 8 x 9 x 3"):
        shaped.transform(turned).collect()
    with pytest.raises(DataError, match="file:/turned.png is 8 x 9 x 3"):
        plain.copy().setInputShape([9, 8, 3]).fit(frame.select("image", "label").union(turned))


REFUSED = {
    "no shape": ({"inputShape": None}, "set inputShape to their height, width and channels"),
    "a flat shape": ({"inputShape": [216]}, "set inputShape to their height, width and channels"),
    "another shape": ({"inputShape": [9, 8, 1]}, "72 values, and column 'bytes' has 216 per row"),
    "sizes": ({"layers": [216, 3]}, "layers are set too"),
    "layers": ({"layers": [Flatten(), Dense(3, "softmax")]}, "layers are set too"),
    "two shapes": (
        {"architecture": "auto", "layers": [Input((8, 9, 3)), Dense(3, "softmax")]},
        r"the shape \[8, 9, 3\]",
    ),
    "a table": ({"featuresCol": None, "inputCols": ["list"]}, "featuresCol"),
    "a table's shape": ({"featuresCol": None, "inputCols": ["list"], "architecture": "auto"}, "featuresCol"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_go_together_is_refused_before_training(frame, name):
    given, said = REFUSED[name]
    params = {key: value for key, value in ({"featuresCol": "bytes"} | CNN | given).items() if value is not None}
    with pytest.raises(ConfigError, match=said):
        NeuralNetworkClassifier(**params).fit(frame)


@pytest.mark.parametrize("column", COLUMNS)
def test_a_stream_of_pictures_is_scored_as_rows_are(spark, frame, expected, column, tmp_path):
    frame.write.parquet(str(tmp_path / "in"))
    stream = spark.readStream.schema(frame.schema).parquet(str(tmp_path / "in"))
    stage = expected.copy().setFeaturesCol(column)
    query = stage.transform(stream).select("bytes", "probability").writeStream.format("memory")
    query = query.queryName(f"scored_{column}").start()
    query.processAllAvailable()
    query.stop()
    found, known = (
        {bytes(row["bytes"]): row["probability"].toArray() for row in rows.collect()}
        for rows in (spark.table(f"scored_{column}"), expected.transform(frame).select("bytes", "probability"))
    )
    assert found.keys() == known.keys() and len(found) == len(X)
    assert all(np.allclose(found[picture], known[picture], rtol=0, atol=2e-6) for picture in known)

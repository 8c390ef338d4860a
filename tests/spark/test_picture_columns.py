"""Columns of pictures in every form are the same rows; what holds no pictures, or other ones, is refused."""

import numpy as np
import pytest
from pyspark.sql import Row
from pyspark.sql import functions as F

from firesteel.errors import ConfigError, DataError, SparkJobError
from firesteel.layers import Conv2D, Dense, Flatten, Input
from firesteel.models import Sequential
from firesteel.spark import NeuralNetworkClassifier

RNG = np.random.default_rng(0)
Y = np.arange(90) % 2
IMAGE = "image struct<origin:string, height:int, width:int, nChannels:int, mode:int, data:binary>"
FIT = {"epochs": 2, "batch_size": 30, "seed": 3, "verbose": 0}


def drawn(channels):
    return RNG.integers(0, 256, (90, 5, 4, channels)).astype(np.uint8)


def struct(picture, origin="file:/a.png", **other):
    """Spark's image struct of a picture, whose colours are in its order."""
    height, width, channels = picture.shape
    order = {1: [0], 3: [2, 1, 0], 4: [2, 1, 0, 3]}[channels]
    mode = {1: 0, 3: 16, 4: 24}[channels]
    data = bytearray(picture[..., order].tobytes())
    return {
        "origin": origin,
        "height": height,
        "width": width,
        "nChannels": channels,
        "mode": mode,
        "data": data,
    } | other


def frame_of(spark, x):
    rows = [
        (
            struct(one),
            one.tolist(),
            one.reshape(5, -1).tolist(),
            one.reshape(-1).tolist(),
            bytearray(one.tobytes()),
            int(y),
        )
        for one, y in zip(x, Y, strict=True)
    ]
    kinds = f"{IMAGE}, cubes array<array<array<int>>>"
    return spark.createDataFrame(rows, f"{kinds}, lines array<array<int>>, list array<int>, bytes binary, label int")


def model(channels):
    made = Sequential([Input((5, 4, channels)), Conv2D(4, 2, activation="relu"), Flatten(), Dense(2, "softmax")])
    made.compile("adam", "sparse_categorical_crossentropy")
    return made


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_a_picture_is_the_same_row_in_every_column(spark, channels):
    x = drawn(channels)
    frame, here = frame_of(spark, x).repartition(3), model(channels)
    here.fit(x, Y, **FIT)
    for name in ("image", "cubes", "lines", "list", "bytes"):
        there = model(channels)
        there.fit(frame, features=name, label="label", **FIT)
        assert there.fingerprint() == here.fingerprint(), name
        found = there.predict(frame, features=name).collect()
        known = {bytes(np.array(row["list"], np.uint8)): row["prediction"] for row in found}
        expected = here.predict(x, verbose=0)
        assert all(np.array_equal(np.float32(known[one.tobytes()]), p) for one, p in zip(x, expected, strict=True))


def test_a_stage_takes_image_structs(spark):
    x = drawn(3)
    frame = frame_of(spark, x)
    layers = [Input((5, 4, 3)), Conv2D(4, 2, activation="relu"), Flatten(), Dense(2, "softmax")]
    stages = [
        NeuralNetworkClassifier(layers=layers, featuresCol=name, seed=1, members=1, maxIter=2).fit(frame)
        for name in ("image", "bytes")
    ]
    assert stages[0].network.fingerprint() == stages[1].network.fingerprint()
    rows = [stage.transform(frame).select("prediction", "bytes").collect() for stage in stages]
    assert rows[0] == rows[1]


PICTURE = drawn(3)[0]
REFUSED = {
    "another size": (struct(PICTURE[:4], origin="file:/small.png"), r"file:/small.png is 4 x 4 x 3.*5 x 4 x 3"),
    "sides exchanged": (struct(PICTURE.transpose(1, 0, 2), origin="file:/b.png"), r"file:/b.png is 4 x 5 x 3"),
    "grey": (struct(PICTURE[..., :1], origin="file:/grey.png"), r"file:/grey.png is 5 x 4 x 1.*5 x 4 x 3"),
    "floats": (struct(PICTURE, origin="file:/f.tif", mode=21), r"file:/f.tif is 5 x 4 x 3, of OpenCV's type 21"),
    "no origin": (struct(PICTURE[:4], origin=None), r"the picture \? is 4 x 4 x 3"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_other_pictures_are_refused_by_their_origin(spark, name):
    wrong, said = REFUSED[name]
    good = [(struct(one), int(y)) for one, y in zip(drawn(3), Y, strict=True)]
    frame = spark.createDataFrame([*good, (wrong, 0)], f"{IMAGE}, label int")
    layers = [Input((5, 4, 3)), Flatten(), Dense(2, "softmax")]
    with pytest.raises(DataError, match=said):
        NeuralNetworkClassifier(layers=layers, featuresCol="image", members=1, maxIter=1).fit(frame)
    sound = frame.filter(frame["image"]["origin"] == "file:/a.png")
    fitted = NeuralNetworkClassifier(layers=layers, featuresCol="image", members=1, maxIter=1).fit(sound)
    with pytest.raises(Exception, match=said):
        fitted.transform(frame).select("prediction").collect()


ENCODED = {
    "PNG": bytes.fromhex("89504e470d0a1a0a0000000d49484452000000010000000108000000003a7e9b55") + bytes(30),
    "JPEG": bytes.fromhex("ffd8ffe000104a46494600010100") + bytes(50) + bytes.fromhex("ffd9"),
}


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_encoded_pictures_are_refused_with_the_line_that_reads_them(spark, kind):
    frame = spark.createDataFrame([(bytearray(ENCODED[kind]), int(y)) for y in Y], "content binary, label int")
    with pytest.raises(DataError, match=rf"'content' holds an encoded {kind}.*read.format\(.image.\)"):
        NeuralNetworkClassifier(featuresCol="content", maxIter=1).fit(frame)
    with pytest.raises((DataError, SparkJobError), match=f"holds an encoded {kind}"):
        model(3).fit(frame, features="content", label="label", **FIT)


def test_pixels_that_begin_as_a_jpeg_does_are_pixels(spark):
    x = np.full((90, 5, 4, 3), 255, np.uint8)
    x[:, 0, 0, 1], x[:, 0, 1] = 216, RNG.integers(0, 256, (90, 3))
    made = model(3)
    made.fit(spark.createDataFrame([(bytearray(one.tobytes()), int(y)) for one, y in zip(x, Y, strict=True)],
             "features binary, label int"), **FIT)  # fmt: skip


def test_lines_of_other_lengths_are_refused(spark):
    lines = [[1, 2, 3], [4]]
    frame = spark.createDataFrame([Row(features=lines, label=int(y)) for y in Y])
    with pytest.raises(DataError, match=r"lengths \[3, 1\].*the same length"):
        NeuralNetworkClassifier(featuresCol="features", maxIter=1).fit(frame)


def test_a_missing_picture_is_a_missing_value(spark):
    frame = frame_of(spark, drawn(3)).withColumn("image", F.when(F.col("label") == 0, F.col("image")))
    layers = [Input((5, 4, 3)), Flatten(), Dense(2, "softmax")]
    with pytest.raises(DataError, match="null"):
        NeuralNetworkClassifier(layers=layers, featuresCol="image", members=1, maxIter=1).fit(frame)
    with pytest.raises(ConfigError):
        NeuralNetworkClassifier(layers=[Input((5, 5, 3)), *layers[1:]], featuresCol="bytes", maxIter=1).fit(frame)

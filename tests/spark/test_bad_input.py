"""What cannot be trained on is refused on the driver, before the first update, in five parts."""

import re

import numpy as np
import pytest
from pyspark.ml.linalg import Vectors
from pyspark.sql import functions as F

from firesteel.callbacks import LambdaCallback
from firesteel.errors import ConfigError, DataError
from tests.spark.conftest import network

GOOD = [([float(i % 5), float(i % 3)], i % 3, 1.0, i) for i in range(40)]
SCHEMA = "features array<double>, label double, weight double, id long"


def with_bad(spark, position, value, row=17):
    rows = [list(good) for good in GOOD]
    rows[row][position] = value
    return spark.createDataFrame(
        [(f, None if y is None else float(y), w, i) for f, y, w, i in rows], SCHEMA
    ).repartition(3)


def refused(frame, **settings):
    model = network()
    before = None
    if settings.pop("built", False):
        model.predict(np.zeros((1, 2)))
        before = model.fingerprint()
    seen = []
    with pytest.raises(DataError) as caught:
        model.fit(
            frame,
            shards=1,
            verbose=0,
            callbacks=LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(epoch)),
            **settings,
        )
    assert not seen
    if before is not None:
        assert model.fingerprint() == before
    text = str(caught.value)
    assert "Traceback" not in text and "org.apache" not in text
    return text


BAD = {
    "nan": (0, [1.0, float("nan")], {}, "column 'features', position 1, holds NaN: nan at", "1 of 40"),
    "infinite": (
        0,
        [float("-inf"), 1.0],
        {},
        "column 'features', position 0, holds an infinite value: -inf",
        "1 of 40",
    ),
    "null vector": (0, None, {}, "column 'features' holds no value (null): null at", "1 of 40"),
    "null item": (0, [1.0, None], {}, "column 'features', position 1, holds a null inside: null at", "1 of 40"),
    "longer row": (0, [1.0, 2.0, 3.0], {}, "column 'features' holds rows of different lengths: 3 values", "1 of 40"),
    "null label": (1, None, {}, "column 'label' holds no value", "1 of 40"),
    "label too large": (1, 3, {"built": True}, "column 'label' holds a class outside the range: 3 at", "1 of 40"),
    "negative label": (1, -1, {}, "column 'label' holds a class outside the range: -1 at", "1 of 40"),
    "fractional label": (1, 0.5, {}, "column 'label' holds a number that is not a class: 0.5 at", "1 of 40"),
    "negative weight": (2, -1.0, {"weight": "weight"}, "column 'weight' holds a negative number: -1 at", "1 of 40"),
    "null weight": (2, None, {"weight": "weight"}, "column 'weight' holds no value", "1 of 40"),
    "infinite weight": (2, float("inf"), {"weight": "weight"}, "column 'weight' holds an infinite value", "1 of 40"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_row_is_named_shown_counted_and_placed(spark, name):
    position, value, settings, what, count = BAD[name]
    text = refused(with_bad(spark, position, value), **settings)
    assert what in text and count in text
    assert "id=17" in text
    assert re.search(r"To do: \w+", text)


@pytest.mark.parametrize("row", [0, 39])
def test_the_first_and_the_last_row_are_validated_too(spark, row):
    assert f"id={row}" in refused(with_bad(spark, 0, [float("nan"), 1.0], row=row))


def test_vectors_are_validated_like_arrays(spark):
    rows = [(Vectors.dense([1.0, 2.0]), 0, 4), (Vectors.sparse(2, [1], [float("nan")]), 1, 5), (None, 1, 6)]
    frame = spark.createDataFrame(rows, ["features", "label", "id"])
    text = refused(frame)
    assert "column 'features' holds no value (null)" in text and "id=6" in text and "NaN" in text


def test_vectors_of_different_sizes(spark):
    rows = [(Vectors.dense([1.0, 2.0]), 0), (Vectors.dense([1.0, 2.0]), 1), (Vectors.dense([1.0]), 1)]
    assert "1 values at the row with label=1" in refused(spark.createDataFrame(rows, ["features", "label"]))


def test_the_list_of_columns_names_the_column(spark):
    frame = spark.createDataFrame([(1.0, 2.0, 0, 3), (1.0, None, 1, 4)], "a double, b double, label int, id int")
    text = refused(frame, features=["a", "b"])
    assert "(b) holds a null inside" in text and "1 of 2" in text


@pytest.mark.parametrize("name", ["features", "label", "weight"])
def test_a_missing_column_is_named_with_the_nearest_there_is(spark, name):
    frame = spark.createDataFrame(GOOD, SCHEMA.replace("label double", "label long"))
    settings = {name: f"{name}s"}
    text = refused(frame, **settings)
    assert f"there is no column '{name}s'" in text and f"did you mean '{name}'" in text


def test_text_labels_come_with_the_line_to_paste(spark):
    frame = spark.createDataFrame([([1.0], "cat"), ([2.0], "dog")], "features array<double>, label string")
    text = refused(frame)
    assert "column 'label' holds text, such as 'cat'" in text
    assert "StringIndexer(inputCol='label', outputCol=\"label_index\")" in text


def test_an_empty_frame(spark):
    assert "the DataFrame is empty" in refused(spark.createDataFrame([], SCHEMA))


def test_weights_of_zero_alone(spark):
    frame = spark.createDataFrame(GOOD, SCHEMA.replace("label double", "label long")).withColumn("weight", F.lit(0.0))
    assert "column 'weight' is 0 in every row" in refused(frame, weight="weight")


def test_a_width_that_is_not_the_networks(spark):
    frame = spark.createDataFrame([([1.0, 2.0, 3.0], 0)] * 5, "features array<double>, label int")
    assert "column 'features' has 3 values per row, but the network takes 2" in refused(frame, built=True)


def test_two_columns_of_one_name(spark):
    frame = spark.createDataFrame(GOOD, SCHEMA.replace("label double", "label long"))
    twice = frame.select("*", F.col("label"))
    assert "2 columns are called 'label'" in refused(twice)


def test_names_with_dots_and_backticks_work(spark):
    frame = spark.createDataFrame(
        [([1.0, 2.0], i % 3) for i in range(9)], "`fea.tu``res` array<double>, `la.bel` int"
    )
    model = network()
    model.fit(frame, features="fea.tu`res", label="la.bel", verbose=0)
    assert model.predict(frame, features="fea.tu`res").columns[-1] == "prediction"


def test_arguments_of_arrays_are_refused_on_frames(spark):
    frame = spark.createDataFrame(GOOD, SCHEMA.replace("label double", "label long"))
    for settings in ({"y": np.zeros(40)}, {"sample_weight": np.ones(40)}, {"shuffle": False}):
        with pytest.raises(ConfigError, match="label="):
            network().fit(frame, verbose=0, **settings)


def test_an_output_column_that_exists_is_refused_before_any_job(spark):
    frame = spark.createDataFrame(GOOD, SCHEMA.replace("label double", "label long")).withColumn(
        "prediction", F.lit(1)
    )
    model = network()
    model.predict(np.zeros((1, 2)))
    with pytest.raises(DataError, match="has a column 'prediction' already"):
        model.predict(frame)


def test_rows_of_another_width_are_refused_at_prediction(spark):
    model = network()
    model.predict(np.zeros((1, 2)))
    frame = spark.createDataFrame([([1.0, 2.0, 3.0],)], "features array<double>")
    with pytest.raises(Exception, match="has 3 values in a row, but the network takes 2"):
        model.predict(frame).collect()


def test_columns_that_differ_only_by_case_are_spark_s_to_tell_apart(spark):
    frame = spark.createDataFrame(
        [(i, [1.0, 2.0], i % 3, -i) for i in range(9)], "id int, f array<double>, y int, q int"
    )
    twins = frame.withColumnRenamed("q", "ID")
    model = network()
    model.fit(twins, features="F", label="Y", verbose=0)
    with pytest.raises(DataError, match="2 columns are called 'id'"):
        model.fit(twins, features="f", label="id", verbose=0)
    with pytest.raises(DataError, match="has a column 'Prediction' already"):
        model.predict(frame.withColumnRenamed("q", "Prediction"), features="f")


@pytest.mark.parametrize("wrong", [{"features": []}, {"features": [1]}, {"features": 5}, {"label": []}])
def test_what_is_no_column_name_is_refused(spark, wrong):
    frame = spark.createDataFrame([([1.0], 0)], "features array<double>, label int")
    with pytest.raises(ConfigError, match="must be a column's name, or a list of names"):
        network().fit(frame, verbose=0, **wrong)


def test_weights_that_vanish_in_the_networks_dtype_are_refused(spark):
    frame = spark.createDataFrame(
        [([float(i), 1.0], float(i % 3), 1e-60) for i in range(40)], SCHEMA.rsplit(",", 1)[0]
    )
    assert "column 'weight' is 0 in every row to train on" in refused(frame, weight="weight")

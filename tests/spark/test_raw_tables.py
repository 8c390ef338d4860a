"""Raw columns on Spark: text, numbers, booleans, dates and times with nulls, and labels that are words."""

import datetime
from decimal import Decimal

import numpy as np
import pytest

from firesteel.spark import NeuralNetworkClassifier
from firesteel.spark.columns import Columns
from firesteel.spark.frames import Frame
from firesteel.tables.containers import columns_of
from firesteel.tables.profile import Profile, learn

KINDS = (
    "carrier string, flag boolean, small tinyint, count bigint, price decimal(10,2), day date, at timestamp, "
    "wall timestamp_ntz, temp double, `a.b` float, late string"
)
NAMES = ["carrier", "flag", "small", "count", "price", "day", "at", "wall", "temp", "a.b"]
BEGIN = datetime.datetime(2020, 1, 1)
SHORT = {"hiddenLayers": [4], "maxIter": 2, "shards": 1}


def table(rows=240):
    """Rows of every type, with nulls in each column but the label."""
    made = []
    for n in range(rows):
        carrier = ("UA", "DL", "AAé", "\N{AIRPLANE}", "WN")[n % 5]
        at = BEGIN + datetime.timedelta(hours=7 * n, microseconds=n)
        values = [carrier, n % 3 == 0, n % 4, 10**12 + n % 50, Decimal(n) / 4, at.date(), at, at, n / 7, n / 2]
        values = [None if (n + place) % 11 == 0 else value for place, value in enumerate(values)]
        made.append((*values, "late" if n % 5 < 2 else "on time"))
    return made


@pytest.fixture(scope="module")
def frame(spark):
    return spark.createDataFrame(table(), KINDS).persist()


@pytest.fixture(scope="module")
def fitted(frame):
    return NeuralNetworkClassifier(labelCol="late", **SHORT).fit(frame)


def arrays():
    """The same rows as columns of Python's values; a time on Spark has a zone."""
    columns = dict(zip(NAMES, zip(*table(), strict=True), strict=False))
    columns["at"] = [at and at.replace(tzinfo=datetime.UTC) for at in columns["at"]]
    columns["a.b"] = np.array(columns["a.b"], float)
    return columns_of({name: np.array(values, object) for name, values in columns.items()})


def learned(frame, partitions):
    columns = Columns(tuple(NAMES), "late", stage=True, classes=True, raw=True, zone="UTC")
    source = Frame(frame.repartition(partitions), columns, "float32")
    source.survey()
    return source


def test_every_column_but_the_label_is_taken_and_scored(frame, fitted):
    assert fitted.getInputCols() == NAMES and fitted.labels == ["late", "on time"]
    scored = fitted.transform(frame).select("late", "label_index", "prediction", "predictedLabel").toPandas()
    assert (scored["label_index"] == (scored["late"] == "on time")).all()
    assert (scored["predictedLabel"] == np.array(fitted.labels)[scored["prediction"].astype(int)]).all()


def test_the_schema_is_that_of_arrays_on_any_partitions(frame):
    columns, count = arrays()
    wanted = learn(Profile.of(columns, count))
    for partitions in (1, 7, 200):
        assert learned(frame, partitions).schema == wanted


def test_raw_rows_have_the_bits_of_the_vectors_that_they_become(spark, frame):
    same = {"solver": "adamw", "learningRate": 0.01, "batchSize": 32, "maxIter": 2, "shards": 2}
    same |= {"labelCol": "late", "validationFraction": 0.2, "earlyStoppingRounds": 5, "seed": 3}
    fitted = NeuralNetworkClassifier(hiddenLayers=[4], **same).fit(frame.repartition(5))
    schema = fitted.network.schema
    x, labels = schema.encode(*arrays()).tolist(), [row[-1] for row in table()]
    vectors = spark.createDataFrame(list(zip(x, labels, strict=True)), "features array<float>, late string")
    again = NeuralNetworkClassifier(layers=list(fitted.network.layers), standardization=False, **same)
    model = again.fit(vectors.repartition(3))
    assert model.labels == fitted.labels
    assert (model.network.theta == fitted.network.theta).all()

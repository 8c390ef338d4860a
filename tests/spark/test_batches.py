"""Spark hands Python so many rows at a time; with no bound Spark 4.3 reads a cached frame for ever."""

import gc

import pyarrow as pa
import pytest

from firesteel.errors import ConfigError
from firesteel.layers import Dense
from firesteel.models import Sequential
from firesteel.spark import NeuralNetworkRegressor, arrow, pack
from firesteel.spark.frames import scoring
from firesteel.spark.parcel import BATCH
from firesteel.spark.probe import probe
from tests.spark.conftest import NAMED


def network():
    model = Sequential([Dense(1, input_dim=2)])
    model.compile("sgd", "mse")
    return model


USES = {
    "fit a stage": lambda frame, model: NeuralNetworkRegressor(featuresCol=["a", "b"], maxIter=1, **NAMED).fit(frame),
    "transform": lambda frame, model: model.transform(frame),
    "pack": lambda frame, model: pack(frame, ["a", "b"], "label"),
    "fit": lambda frame, model: network().fit(frame, features=["a", "b"], verbose=0),
    "predict": lambda frame, model: network().predict(frame.select("a", "b"), features=["a", "b"]),
    "doctor": lambda frame, model: probe(frame.sparkSession),
}


@pytest.fixture(scope="module")
def fitted(spark):
    frame = spark.range(50).selectExpr("double(id) a", "double(id % 3) b", "double(id % 2) label").cache()
    yield frame, NeuralNetworkRegressor(featuresCol=["a", "b"], maxIter=1, **NAMED).fit(frame)
    frame.unpersist()


@pytest.mark.parametrize("rows", ["0", "-1"])
@pytest.mark.parametrize("use", USES)
def test_batches_without_a_bound_are_refused(spark, fitted, use, rows):
    before = spark.conf.get(BATCH)
    spark.conf.set(BATCH, rows)
    try:
        with pytest.raises(ConfigError, match=f"{rows}, which means no limit") as found:
            USES[use](*fitted)
    finally:
        spark.conf.set(BATCH, before)
    assert found.value.code == "config-batch" and f'spark.conf.set("{BATCH}", 10000)' in str(found.value)


def test_what_a_worker_has_imported_is_left_out_of_the_collection_after_each_task(fitted):
    _, model = fitted
    score = scoring(model._numbers(), "array<double>").func
    rows = pa.array([[1.0, 2.0]])
    assert not gc.get_freeze_count()
    try:
        score(rows)
        count = gc.get_freeze_count()
        score(rows)
        assert count >= gc.get_freeze_count() > 10_000  # at the first batch alone
    finally:
        gc.unfreeze()
        arrow.settle.cache_clear()

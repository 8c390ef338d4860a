"""Networks that are no chains have the bits of the fit in process, on frames too."""

import pytest
from pyspark.ml.functions import array_to_vector

from tests import graphs

X, Y = graphs.rows()
SETTINGS = {"epochs": 2, "batch_size": 50, "seed": 3, "shards": 2, "verbose": 0}


@pytest.fixture(scope="module")
def frame(spark):
    data = [(row.tolist(), int(y)) for row, y in zip(X, Y, strict=True)]
    frame = spark.createDataFrame(data, "features array<double>, label int").repartition(3)
    kept = frame.withColumn("features", array_to_vector("features")).persist()
    yield kept
    kept.unpersist()


@pytest.mark.parametrize("name", graphs.GRAPHS)
def test_a_graph_has_the_bits_of_the_fit_in_process(frame, name):
    here, there = graphs.model(name), graphs.model(name)
    here.fit(X, Y, **SETTINGS)
    there.fit(frame, features="features", label="label", **SETTINGS)
    assert there.fingerprint() == here.fingerprint()
    there.evaluate(frame, features="features", label="label", verbose=0)


@pytest.mark.parametrize("partitions, shards", [(3, 3), (40, 3), (40, 1)])
def test_rows_of_tables_travel_whatever_the_partitions(frame, partitions, shards):
    here, there = graphs.model("tables"), graphs.model("tables")
    here.fit(X, Y, **SETTINGS | {"shards": shards})
    there.fit(frame.repartition(partitions), features="features", label="label", **SETTINGS | {"shards": shards})
    assert there.fingerprint() == here.fingerprint()

"""Networks that are no chains have the bits of the fit in process, on frames too."""

import pytest
from pyspark.ml.functions import array_to_vector

from tests.support import graphs

X, Y = graphs.rows()
NOT_STILL = [name for name in graphs.CALLED if name != "still"]
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


# Models that are described by calling layers


@pytest.fixture(scope="module")
def rows(spark):
    return graphs.framed(spark).persist()


@pytest.mark.parametrize("partitions", [3, pytest.param(40, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", graphs.CALLED)
def test_a_model_of_calls_has_the_bits_of_the_fit_in_process(rows, name, partitions):
    here, there = graphs.called(name), graphs.called(name)
    here.fit(*graphs.parted(here), **SETTINGS)
    there.fit(rows.repartition(partitions), **graphs.columns(there), **SETTINGS)
    assert there.fingerprint() == here.fingerprint()


@pytest.mark.slow
@pytest.mark.parametrize("name", graphs.GRAPHS)
def test_a_graph_on_forty_partitions_has_the_same_bits(frame, name):
    here, there = graphs.model(name), graphs.model(name)
    here.fit(X, Y, **SETTINGS)
    there.fit(frame.repartition(40), features="features", label="label", **SETTINGS)
    assert there.fingerprint() == here.fingerprint()


@pytest.mark.parametrize("name", ["still", *(pytest.param(name, marks=pytest.mark.slow) for name in NOT_STILL)])
def test_a_model_goes_on_from_a_checkpoint_to_the_same_bits(rows, name, tmp_path):
    how = SETTINGS | {"epochs": 4}
    here, cut, there = (graphs.called(name) for _ in range(3))
    here.fit(*graphs.parted(here), callbacks=[graphs.Stop(False)], **how)
    place = tmp_path / "checkpoint"
    with pytest.raises(ZeroDivisionError):
        cut.fit(rows, callbacks=[graphs.Stop()], checkpoint=place, **graphs.columns(cut), **how)
    there.fit(rows.repartition(5), callbacks=[graphs.Stop(False)], checkpoint=place, **graphs.columns(there), **how)
    assert there.fingerprint() == here.fingerprint()


def test_weights_that_do_not_train_any_more_after_a_first_fit_stay_to_the_bit(rows):
    here, there = graphs.called("model_in_model"), graphs.called("model_in_model")
    for model, given in ((here, graphs.parted(here)), (there, (rows,))):
        columns = {} if model is here else graphs.columns(there)
        model.fit(*given, **columns, **SETTINGS)
        base = [layer for layer in model.layers if layer.name.startswith("base/")]
        for layer in base:
            layer.trainable = False
        before = [array.tobytes() for layer in base for array in layer.get_weights()]
        first = model.fingerprint()
        model.fit(*given, **columns, **SETTINGS)
        assert [array.tobytes() for layer in base for array in layer.get_weights()] == before and before
        assert model.fingerprint() != first
    assert there.fingerprint() == here.fingerprint()

"""The engine on Spark: what it ships, keeps, detects and leaves behind."""

import zipfile
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
from pyspark.errors import PySparkException
from pyspark.sql import functions as F

from firesteel.callbacks import LambdaCallback
from firesteel.errors import ConfigError, DataError
from firesteel.layers import Dense
from firesteel.models import Sequential
from firesteel.spark import frames, pack
from firesteel.spark.columns import Columns
from firesteel.spark.engine import partition_codes
from firesteel.spark.frames import Frame
from firesteel.spark.packed import packed as packed_again
from firesteel.spark.parcel import archive
from firesteel.train.partial import Task
from firesteel.train.rounds import evaluate
from tests.spark.conftest import fit, make_rows, network

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("shards", [2, 5, 8])
def test_packed_rows_lie_a_shard_in_each_partition_whatever_they_were_packed_for(spark, rows, shards):
    with pack(rows.frame(spark)) as kept, kept.engine(shards) as engine:
        where = engine.frame.select((F.col("block") % shards).alias("shard"), F.spark_partition_id().alias("part"))
        found = {(row.shard, row.part) for row in where.distinct().collect()}
    assert found == {(shard, shard) for shard in range(shards)}


def persisted(spark):
    return spark.sparkContext._jsc.getPersistentRDDs().size()


def snapshot(spark):
    return dict(spark.conf.getAll), persisted(spark), spark.sparkContext.getLocalProperty("spark.job.description")


def test_r15_the_session_is_left_as_found(spark, rows):
    frame = rows.frame(spark)
    before = snapshot(spark)
    fit(frame, validation_split=0.2)
    assert snapshot(spark) == before


def test_r15_the_session_is_left_as_found_after_an_error(spark, rows):
    frame = rows.frame(spark)
    before = snapshot(spark)

    def fail(epoch, logs):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(frame, callbacks=LambdaCallback(on_epoch_end=fail))
    with pytest.raises(ConfigError):
        fit(frame, shards=10_000)
    assert snapshot(spark) == before


def test_partition_codes_land_where_spark_puts_them(spark):
    for partitions in (1, 2, 3, 8, 64):
        codes = partition_codes(partitions)
        frame = spark.createDataFrame([(code,) for code in codes], "part long").repartition(partitions, "part")
        found = dict(frame.select("part", F.spark_partition_id()).collect())
        assert [found[code] for code in codes] == list(range(partitions))


def test_each_shard_is_a_partition_of_its_own(spark, rows):
    source = Frame(rows.frame(spark), Columns(), "float32")
    source.profile()
    engine = source.packed(4, False)
    where = engine.frame.select((F.col("block") % 4).alias("shard"), F.spark_partition_id().alias("partition"))
    assert all(row["shard"] == row["partition"] for row in where.collect())
    engine.close()


@pytest.mark.parametrize("packed", [False, True])
def test_rows_held_out_lie_in_few_partitions_with_the_same_sums(spark, rows, monkeypatch, packed):
    model = network()
    model.build((None, 6))
    task = Task(model._objective(), model.theta, shards=4)
    found = []
    for most in (1, 100):
        monkeypatch.setattr(frames, "HELD_ROWS", most)
        source = Frame(rows.frame(spark), Columns(split=0.2), "float32")
        assert 100 < source.profile().held <= 200
        with (
            packed_again(source, None) if packed else nullcontext(source) as held,
            held.engine(4, held=True) as engine,
        ):
            where = engine.frame.select((F.col("block") % 4).alias("shard"), F.spark_partition_id().alias("part"))
            places = {(row.shard, row.part) for row in where.distinct().collect()}
            assert places == {(shard, shard if most == 1 else shard % 2) for shard in range(4)}
            found.append([partial.sums.tobytes() for partial in engine.map(evaluate, task)])
    assert found[0] == found[1] and len(set(found[0])) == 4


def test_a_refused_cache_costs_time_and_nothing_else(spark, rows, monkeypatch):
    def refuse(self, level=None):
        raise PySparkException("[NOT_SUPPORTED_WITH_SERVERLESS] PERSIST TABLE is not supported")

    frame, expected = rows.frame(spark), fit(rows.x, rows.y)
    monkeypatch.setattr(type(frame), "persist", refuse)
    with pytest.warns(UserWarning, match="does not cache"):
        assert fit(frame) == expected


def test_r06_a_source_that_shifts_between_looking_and_packing_is_found(spark, rows):
    frame = rows.frame(spark)
    drawn = F.udf(lambda: float(np.random.default_rng().random()), "double").asNondeterministic()
    shifting = frame.withColumn("features", F.concat("features", F.array(drawn().cast("float"))))
    with pytest.raises(DataError, match=r"the packed rows differ .* does not give the same rows each time"):
        fit(shifting)


def test_r06_an_unseeded_rand_that_gives_the_same_rows_again_is_trained_on_as_it_is(spark, rows):
    drawn = rows.frame(spark).withColumn("features", F.array(F.rand(), F.rand()))
    seen = drawn.orderBy("id").collect()

    def forget(epoch, logs):
        spark.catalog.clearCache()

    there = fit(drawn, epochs=3, callbacks=LambdaCallback(on_epoch_end=forget))
    assert there == fit(np.array([row.features for row in seen]), np.array([row.label for row in seen]), epochs=3)


def test_r06_a_block_that_comes_back_different_is_found(spark, rows, tmp_path):
    path = str(tmp_path / "rows")
    rows.frame(spark).write.parquet(path)
    calls = []

    def shift(epoch, logs):
        calls.append(epoch)
        make_rows(900, seed=5).frame(spark).write.mode("overwrite").parquet(path)
        spark.catalog.clearCache()

    with pytest.raises(DataError, match=r"block \d+ no longer has the rows") as caught:
        fit(spark.read.parquet(path), epochs=3, callbacks=LambdaCallback(on_epoch_end=shift))
    assert calls == [0]
    assert "org.apache" not in str(caught.value)


def test_the_archive_is_the_whole_package_and_is_written_once():
    names = zipfile.ZipFile(archive()).namelist()
    assert {f"firesteel/{name}" for name in ("spark/worker.py", "cli/app.py", "datasets/sets.py")} <= set(names)
    assert archive() == archive()


def test_prediction_is_lazy_and_equals_that_on_arrays(spark, rows):
    model = network()
    model.fit(rows.x, rows.y, verbose=0)
    frame = rows.frame(spark, "dense")
    predicted = model.predict(frame)
    assert predicted.columns == [*frame.columns, "prediction"]
    found = np.array([row.prediction for row in predicted.orderBy("id").collect()])
    np.testing.assert_allclose(found, model.predict(rows.x), rtol=1e-5, atol=1e-7)


def test_rows_without_features_are_predicted_as_null(spark):
    model = network()
    model.predict(np.zeros((1, 2)))
    frame = spark.createDataFrame([(1, [1.0, 2.0]), (2, None), (3, [0.0, 1.0])], "id int, features array<double>")
    found = [row.prediction for row in model.predict(frame).orderBy("id").collect()]
    assert found[1] is None and len(found[0]) == len(found[2]) == 3


def test_evaluation_on_a_frame_equals_that_on_arrays(spark, rows):
    model = network()
    model.fit(rows.x, rows.y, verbose=0)
    there = model.evaluate(rows.frame(spark).repartition(5), weight="weight", verbose=0)
    here = model.evaluate(rows.x, rows.y, sample_weight=rows.w, verbose=0)
    assert there == pytest.approx(here, rel=1e-6)


def test_regression_with_several_targets_learns_from_a_frame(spark):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 4)).astype(np.float32)
    y = x @ rng.normal(size=(4, 2))

    def made():
        model = Sequential([Dense(2)])
        model.compile("adam", "mse")
        return model

    frame = spark.createDataFrame(
        [(a, b) for a, b in zip(x.tolist(), y.tolist(), strict=True)], "features array<float>, label array<double>"
    )
    there, here = made(), made()
    there.fit(frame, epochs=3, shards=2, verbose=0)
    here.fit(x, y, epochs=3, shards=2, verbose=0)
    assert there.fingerprint() == here.fingerprint()

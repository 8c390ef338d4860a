"""A row's key is a hash of the numbers that it holds: the same blocks from frames and arrays, whatever the types."""

import json
from dataclasses import replace

import numpy as np
import pytest
from pyspark.sql import functions as F

from firesteel.spark import load_pack, pack
from firesteel.spark.columns import Columns
from firesteel.spark.frames import Frame
from firesteel.train.blocks import pack_arrays, pack_in_order
from tests.spark.conftest import Rows, fit, make_rows


def blocks_of(frame, dtype="float32", **columns):
    """Each block's bytes, by its number."""
    source = Frame(frame, Columns(**columns), dtype)
    source.profile()
    engine = source.packed(3, False)
    try:
        return {row["block"]: bytes(row["data"]) for row in engine.frame.select("block", "data").collect()}
    finally:
        engine.close()


def blocks_here(rows, dtype="float32"):
    blocks = pack_arrays(rows.x, rows.y[:, None].astype(float), rows.w, np.dtype(dtype))
    return {block.id: block.to_bytes() for block in blocks}


@pytest.fixture(scope="module")
def doubles():
    """Rows that float32 rounds, and weights of many values."""
    rng = np.random.default_rng(3)
    rows = make_rows(400, seed=3)
    return replace(rows, x=np.where(rows.x, rng.normal(size=rows.x.shape), 0), w=rng.uniform(0.1, 3, len(rows.y)))


@pytest.fixture(scope="module")
def copies(doubles):
    """The first row makes up most of all, with weights of many values."""
    x, y = doubles.x.copy(), doubles.y.copy()
    x[:300], y[:300] = x[0], y[0]
    return Rows(x, y, doubles.w)


@pytest.mark.parametrize("form", ["dense", "mixed", "array<double>", "columns"])
def test_numbers_that_float32_rounds_have_the_keys_of_the_arrays(spark, doubles, form):
    features = tuple(f"x{number}" for number in range(6)) if form == "columns" else "features"
    assert blocks_of(doubles.frame(spark, form), features=features, weight="weight") == blocks_here(doubles)


def test_float32_lists_are_other_numbers_and_float64_networks_have_the_same_order(spark, doubles):
    narrow = Rows(doubles.x.astype("f4"), doubles.y, doubles.w)
    assert blocks_of(doubles.frame(spark, "array<float>"), weight="weight") == blocks_here(narrow)
    assert blocks_here(narrow) != blocks_here(doubles)
    assert blocks_of(doubles.frame(spark, "dense"), "float64", weight="weight") == blocks_here(doubles, "float64")


@pytest.mark.parametrize("partitions", [1, 5])
def test_copies_of_many_weights_are_dealt_alike(spark, copies, partitions):
    places = np.random.default_rng(partitions).permutation(400)
    frame = copies.frame(spark, "dense", places).repartition(partitions)
    assert blocks_of(frame, weight="weight") == blocks_here(copies)


def test_copies_that_share_an_identifier_are_packed_only_if_they_are_one_row(spark, copies):
    frame = copies.frame(spark, "dense").withColumn("id", F.lit(7))
    with pack(frame.limit(300), weight="weight", id="id") as one, pack(frame, weight="weight", id="id") as several:
        found = [[block.rows for block in packed.engine(1).__enter__().blocks] for packed in (one, several)]
    assert len(found[0]) == 9 and max(found[0]) - min(found[0]) <= 1
    assert found[1] == [400]


def test_weights_decide_neither_order_nor_who_is_held_out(spark, doubles):
    frame = doubles.frame(spark, "dense")
    held = []
    for weight in ("weight", "double", None):
        source = Frame(frame.withColumn("double", 2 * F.col("weight")), Columns(weight=weight, split=0.3), "float32")
        held.append(source.profile().held)
    assert len(set(held)) == 1 and held[0] > 50
    blocks = [blocks_of(frame.withColumn("weight", by * F.col("weight")), weight="weight") for by in (1, 2)]
    assert blocks[0] != blocks[1] and blocks[0].keys() == blocks[1].keys()
    prints = [fit(doubles.x, doubles.y, sample_weight=by * np.ones(400)) for by in (1, 4)]
    assert prints[0] == prints[1], "means are weighted, so that the scale of weights says nothing"


def test_a_class_weight_and_the_same_weights_of_rows_train_alike(doubles):
    weights = {0: 0.5, 1: 1.0, 2: 2.0}
    settings = {"shards": 1}
    of_rows = fit(doubles.x, doubles.y, sample_weight=np.array([weights[y] for y in doubles.y]), **settings)
    assert of_rows == fit(doubles.x, doubles.y, class_weight=weights, **settings)


def test_rows_that_another_version_packed_are_taken_as_they_lie(spark, doubles, tmp_path):
    path = str(tmp_path / "packed")
    pack(doubles.frame(spark, "dense"), path=path).unpersist()
    with load_pack(path) as rows:
        assert fit(rows) == fit(doubles.x, doubles.y)
    ((description,),) = spark.read.parquet(f"{path}/description").collect()
    older = {name: value for name, value in json.loads(description).items() if name != "keys"}
    spark.createDataFrame([(json.dumps(older),)], "description string").write.mode("overwrite").parquet(
        f"{path}/description"
    )
    with (
        pytest.warns(UserWarning, match="an earlier version of firesteel packed .*pack them again"),
        load_pack(path) as rows,
    ):
        assert fit(rows) == fit(doubles.x, doubles.y)


def test_rows_in_their_order_keep_it(doubles):
    y = doubles.y[:, None].astype(float)
    (first, *_) = pack_in_order(doubles.x, y, doubles.w, np.dtype("f4"))
    assert np.array_equal(first.w, doubles.w[: len(first)].astype("f4"))

"""Big models are cut in pieces, sent apart from the closure and added up on Spark, or refused early; same bits."""

import itertools
import pickle

import numpy as np
import pytest
from pyspark import StorageLevel

from firesteel.errors import ConfigError
from firesteel.spark import engine as spark_engine
from firesteel.spark import frames, parcel, worker
from firesteel.spark.arrow import record_batch
from firesteel.spark.parcel import Parcel, sent
from firesteel.train.partial import Partial, tree_sum
from tests.spark.conftest import fit, network


@pytest.fixture
def small_pieces(monkeypatch):
    """Bring the sizes down to those of the tests' network: 73 parameters."""
    monkeypatch.setattr(spark_engine, "PIECE_BYTES", 40)
    monkeypatch.setattr(spark_engine, "MERGE_BYTES", 0)
    monkeypatch.setattr(spark_engine, "TASK_BYTES", 1000)
    monkeypatch.setattr(parcel, "BROADCAST_BYTES", 200)
    monkeypatch.setattr(parcel, "SMALL", 200)


@pytest.fixture
def came(monkeypatch):
    """The tables that jobs have brought to the driver."""
    tables, collect = [], spark_engine.collect
    monkeypatch.setattr(spark_engine, "collect", lambda *given: tables.append(collect(*given)) or tables[-1])
    return tables


@pytest.mark.parametrize("shards", [1, 5, *(pytest.param(count, marks=pytest.mark.slow) for count in (2, 3, 8))])
def test_spark_adds_partials_to_the_bits_that_the_driver_adds_them_to(spark, rows, shards, small_pieces, came):
    frame = rows.frame(spark).repartition(3)
    assert fit(frame, shards=shards) == fit(rows.x, rows.y, shards=shards)
    pieces = {shard: [] for shard in range(-1, shards)}
    for row in came[-1].to_pylist():
        pieces[row["shard"]].append((row["piece"], len(row["vectors"])))
    sizes = [40] * 21 + [36]  # of three vectors of 73 parameters, in float32
    assert sorted(pieces.pop(worker.MERGED)) == list(enumerate(sizes))
    assert all(piece == [(0, 0)] for piece in pieces.values())


@pytest.mark.parametrize("shards", [pytest.param(1, marks=pytest.mark.slow), 3])
def test_the_driver_adds_pieces_where_they_are_few(spark, rows, shards, small_pieces, came, monkeypatch):
    monkeypatch.setattr(spark_engine, "MERGE_BYTES", 64 << 20)
    assert fit(rows.frame(spark), shards=shards) == fit(rows.x, rows.y, shards=shards)
    assert len(came[-1]) == 22 * shards


def test_gradients_and_searches_are_added_on_spark_too(spark, rows, small_pieces):
    settings = {"strategy": "gradient", "batch_size": None, "epochs": 3, "shards": 5, "dtype": "float64"}
    assert fit(rows.frame(spark), **settings) == fit(rows.x, rows.y, **settings)


def test_validation_and_uneven_shards_go_the_same_way(spark, rows, small_pieces):
    settings = {"validation_split": 0.2, "shards": 5}
    whole = fit(rows.frame(spark), **settings)
    with pytest.MonkeyPatch.context() as usual:
        usual.setattr(spark_engine, "MERGE_BYTES", 64 << 20)
        assert fit(rows.frame(spark), **settings) == whole


def pieces_of(vectors, size, order):
    """Rows for each piece of each shard's vectors, (shards, K, P), in some order."""
    shards, numbers = range(len(vectors)), range(-(-vectors[0].nbytes // size))
    for shard, number in sorted(itertools.product(shards, numbers), key=order):
        flat = vectors[shard].reshape(-1).view(np.uint8)
        yield record_batch(
            shard=[shard], piece=[number], vectors=[flat[number * size : (number + 1) * size].tobytes()]
        )


@pytest.mark.parametrize("shards", [1, 2, 3, 5, 8, 13])
def test_pieces_are_added_by_the_tree_whatever_their_order(shards):
    vectors = np.random.default_rng(shards).normal(size=(shards, 3, 101)).astype(np.float32)
    vectors[:, 0, :7] = -0.0
    expected = tree_sum(list(vectors)).reshape(-1)
    for order in (lambda at: at, lambda at: at[::-1], lambda at: (-at[0], at[1])):
        pieces = worker.Pieces(shards, "<f4")
        for batch in pieces_of(vectors, 64, order):
            pieces.take(batch)
        found = np.concatenate([total for _, total in pieces.sums()])
        assert found.tobytes() == expected.tobytes()


def test_a_partial_without_vectors_adds_none():
    full, none = Partial(np.array([[1.0, -0.0]]), np.ones(2)), Partial(np.zeros((0, 2)), np.ones(2))
    for total in (full + none, none + full):
        assert total.vectors.tobytes() == full.vectors.tobytes() and total.sums.tolist() == [2, 2]
    assert (none + none).vectors.shape == (0, 2)


# Down


def test_large_arrays_are_broadcast_and_let_go(spark, monkeypatch):
    value = {"a": np.arange(100_000.0), "b": np.arange(3)}
    with sent(spark, value) as small:
        assert small.apart is None and small.open()["a"].sum() == value["a"].sum()
    monkeypatch.setattr(parcel, "BROADCAST_BYTES", 1000)
    with sent(spark, value) as large:
        assert len(large.head) < 1000 and large.sizes == (800_000,)
        there = spark.range(2).mapInArrow(Opener(large), "total double").toArrow().column(0).to_pylist()
    assert set(there) == {value["a"].sum()}
    with pytest.raises(Exception, match="destroyed"):
        spark.range(2).mapInArrow(Opener(large), "total double").toArrow()


class Opener:
    """Gives the sum of a parcel's array."""

    def __init__(self, parcel):
        self.parcel = parcel

    def __call__(self, batches):
        for _ in batches:
            pass
        yield record_batch(total=[float(self.parcel.open()["a"].sum())])


def test_without_broadcasts_they_are_a_file_and_the_one_before_is_deleted(tmp_path, monkeypatch):
    class Remote:
        def addArtifacts(self, path, file):
            assert file
            (tmp_path / path.rpartition("/")[2]).write_bytes(open(path, "rb").read())

    monkeypatch.setattr(parcel, "FILE_BYTES", 1000)
    monkeypatch.setattr("pyspark.SparkFiles.get", lambda name: str(tmp_path / name))
    other = tmp_path / "firesteel-another-0.task"
    other.write_bytes(b"x")
    for length in (1001, 1003):
        value = {"a": np.arange(length, dtype=np.float32), "b": np.arange(length) * 0.5}
        monkeypatch.setattr(parcel, "SMALL", 100)
        with sent(Remote(), value) as made:
            assert isinstance(made.apart, str)
        found = pickle.loads(pickle.dumps(made)).open()
        assert all(np.array_equal(found[name], value[name]) and found[name].flags.aligned for name in value)
        assert not found["a"].flags.writeable
        assert {path.name for path in tmp_path.iterdir()} == {made.apart, other.name}


def test_a_parcel_that_was_not_taken_apart_is_its_pickle():
    assert Parcel(pickle.dumps([1, 2])).open() == [1, 2]


# What cannot travel


def test_r11_a_model_that_the_driver_may_not_take_is_refused_before_it_trains(spark, rows, monkeypatch):
    monkeypatch.setattr(spark_engine, "most_result", lambda spark: 500.0)
    model = network()
    with pytest.raises(ConfigError, match=r"\(3 times 73 parameters\).*maxResultSize is 0 MiB: start") as caught:
        model.fit(rows.frame(spark), epochs=1, shards=2, verbose=0)
    assert caught.value.code == "config-result-size"
    model.fit(rows.frame(spark), epochs=1, shards=2, strategy="gradient", verbose=0)


def test_r11_blocks_that_would_fill_the_only_jvm_are_kept_on_disk_with_the_same_bits(spark, rows, monkeypatch):
    found = [fit(rows.frame(spark))]
    for share, level in ((0.2, StorageLevel.MEMORY_AND_DISK), (0.0, StorageLevel.DISK_ONLY)):
        monkeypatch.setattr(spark_engine, "HEAP_SHARE", share)
        source = frames.source(rows.frame(spark), None, None, None, 0.0, "float32")
        source.profile()
        with source.engine(1) as engine:
            assert engine.frame.storageLevel == level
        found.append(fit(rows.frame(spark)))
    assert len(set(found)) == 1


@pytest.mark.parametrize(
    ("text", "bytes_"), [("1g", 2**30), ("20m", 20 << 20), ("512KB", 512 << 10), ("4096", 4096), ("0", np.inf)]
)
def test_the_limit_is_read_as_spark_reads_it(text, bytes_):
    class Session:
        class conf:
            @staticmethod
            def get(name, default):
                return text

    assert spark_engine.most_result(Session()) == bytes_

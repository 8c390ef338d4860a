"""A fit that was interrupted goes on with the same bits from what lies in checkpointDir."""

import shutil
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext

import pytest

from firesteel.spark.checkpoints import SparkCheckpoints
from firesteel.spark.engine import SparkEngine
from firesteel.train import loop
from tests.spark.contract import interrupted_fits, numeric, small


@pytest.fixture
def one_epoch_a_job(monkeypatch):
    monkeypatch.setattr(loop, "AHEAD", 1)


@pytest.mark.parametrize(
    "params",
    [
        pytest.param({}, marks=pytest.mark.slow),
        {"shards": 2, "dropout": 0.3},
        pytest.param({"strategy": "gradient", "batchSize": 100}, marks=pytest.mark.slow),
    ],
)
def test_an_interrupted_fit_goes_on_with_the_same_bits(spark, tmp_path, one_epoch_a_job, params):
    found = interrupted_fits(spark, (tmp_path / "kept").as_uri(), (2, 3), maxIter=7, **params)
    assert found["interrupted"] == 2 and found["again"] == found["whole"] and found["history"]
    assert found["rounds"][0] < found["rounds"][1]
    assert not list((tmp_path / "kept").glob("firesteel-*")), "nothing is left when training has ended"


@pytest.mark.slow
def test_another_fit_does_not_take_it_up(spark, tmp_path, one_epoch_a_job, monkeypatch):
    frame, folder = numeric(spark), (tmp_path / "kept").as_uri()
    interrupted_fits(spark, folder, (3,), finish=False, maxIter=5)
    for other in ({"seed": 2}, {"learningRate": 0.02}, {"hiddenLayers": [7]}):
        expected = small(maxIter=5, **other).fit(frame).network.fingerprint()
        assert small(maxIter=5, checkpointDir=folder, **other).fit(frame).network.fingerprint() == expected
    changed = frame.filter("id > 0")
    expected = small(maxIter=5).fit(changed).network.fingerprint()
    assert small(maxIter=5, checkpointDir=folder).fit(changed).network.fingerprint() == expected


@pytest.mark.slow
def test_a_save_that_was_cut_short_leaves_the_one_before(spark, tmp_path, one_epoch_a_job):
    frame, folder = numeric(spark), tmp_path / "kept"
    whole = small(maxIter=6).fit(frame).network.fingerprint()
    for damage in ("nothing", "half", "bytes"):
        interrupted_fits(spark, folder.as_uri(), (4,), finish=False, maxIter=6)
        kept = next(folder.glob("firesteel-*"))
        places = sorted(kept.iterdir(), key=lambda place: place.stat().st_mtime)
        assert [place.name for place in sorted(places)] == ["a", "b"]
        if damage == "nothing":
            shutil.rmtree(places[-1])
        if damage == "half":
            (next(places[-1].glob("*.parquet"))).unlink()
        if damage == "bytes":
            file = next(places[-1].glob("*.parquet"))
            file.write_bytes(file.read_bytes()[:200])
        warned = pytest.warns(UserWarning, match="is left aside") if damage == "bytes" else nullcontext()
        with warned:
            assert small(maxIter=6, checkpointDir=folder.as_uri()).fit(frame).network.fingerprint() == whole


def test_candidates_that_train_alike_do_not_disturb_each_other(spark, tmp_path):
    estimator = small(checkpointDir=(tmp_path / "kept").as_uri(), maxIter=2)
    grid = [{estimator.maxIter: 2}, {estimator.maxIter: 6}, {estimator.predictionCol: "p"}, {estimator.maxIter: 2}]
    models = estimator.fitMultiple(numeric(spark), grid)
    with ThreadPoolExecutor(4) as pool:
        found = dict(pool.map(lambda _: next(models), grid))
    assert [len(found[number].history.rows) for number in range(4)] == [2, 6, 2, 2]
    assert len({found[number].network.fingerprint() for number in (0, 2, 3)}) == 1


def test_a_checkpoint_that_cannot_be_removed_costs_a_warning_and_not_the_model(spark, tmp_path, monkeypatch):
    def refuse(spark, path):
        raise OSError("no permission")

    monkeypatch.setattr("firesteel.spark.checkpoints.remove", refuse)
    with pytest.warns(UserWarning, match="no longer needed and stays: no permission"):
        assert small(maxIter=2, checkpointDir=(tmp_path / "kept").as_uri()).fit(numeric(spark)).hasSummary


def test_progress_is_saved_by_turns(spark, tmp_path, one_epoch_a_job, monkeypatch):
    paths = []
    original = SparkCheckpoints.save

    def save(self, identity, progress):
        original(self, identity, progress)
        paths.append(self.newest)

    monkeypatch.setattr(SparkCheckpoints, "save", save)
    rounds = SparkEngine.map
    small(maxIter=4, checkpointDir=(tmp_path / "kept").as_uri()).fit(numeric(spark))
    assert paths == ["a", "b", "a", "b"] and SparkEngine.map is rounds

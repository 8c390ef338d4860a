"""A fit that was interrupted goes on with the same bits from what lies in checkpointDir."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path

import pytest

from firesteel.callbacks import BoldDriver
from firesteel.core.optimizers import OPTIMIZERS
from firesteel.errors import StoreError
from firesteel.models import load_model
from firesteel.spark.checkpoints import SparkCheckpoints
from firesteel.spark.engine import SparkEngine
from firesteel.train import loop
from firesteel.train.engine import LocalEngine
from tests.spark.conftest import fit, network
from tests.spark.contract import interrupted_fits, numeric, small

pytestmark = pytest.mark.usefixtures("on_executors")
ROOT = Path(__file__).parents[2]
CHILD = """
import sys
from firesteel.spark import session
from firesteel.train import loop
from tests.spark.conftest import fit, make_rows
loop.AHEAD, loop.KEEP_SECONDS = 1, 0.0
spark = session("local[2]", conf={"spark.ui.enabled": "false"})
frame = make_rows().frame(spark)
print("begun", flush=True)
print(fit(frame, epochs=20, checkpoint=sys.argv[1]), flush=True)
"""


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
    found = interrupted_fits(spark, (tmp_path / "kept").as_uri(), (3,), maxIter=5, **params)
    assert found["interrupted"] == 1 and found["again"] == found["whole"] and found["history"]
    assert found["rounds"][0] < found["rounds"][1]
    assert not list((tmp_path / "kept").glob("firesteel-*")), "nothing is left when training has ended"


@pytest.fixture
def cut(monkeypatch):
    """Gives a function that trains on rows or a frame and interrupts it in its n-th round."""

    def run(at, *given, **settings):
        left = [at]
        with monkeypatch.context() as patch:
            for engine in (LocalEngine, SparkEngine):

                def counted(self, work, task, original=engine.map):
                    left[0] -= 1
                    if not left[0]:
                        raise KeyboardInterrupt
                    return original(self, work, task)

                patch.setattr(engine, "map", counted)
            with pytest.raises(KeyboardInterrupt):
                fit(*given, **settings)

    return run


def test_r34_a_fit_goes_on_on_the_other_engine_and_on_other_partitions(spark, rows, tmp_path, monkeypatch, cut):
    monkeypatch.setattr(loop, "KEEP_SECONDS", 0.0)
    how = {"strategy": "gradient", "batch_size": 300, "epochs": 4, "checkpoint": tmp_path / "kept"}
    arrays, frame = (rows.x, rows.y), rows.frame(spark)
    cut(2, *arrays, **how)  # three rounds an epoch
    cut(3, frame.repartition(5), **how)
    cut(3, *arrays, **how)
    with pytest.raises(StoreError, match="shards is 4 there and 2 here"):
        fit(frame, **how, shards=2)
    assert fit(frame.repartition(1), **how) == fit(*arrays, **how | {"checkpoint": None})


@pytest.mark.parametrize("begun", ["arrays", pytest.param("frame", marks=pytest.mark.slow)])
def test_r34_a_model_that_was_saved_and_loaded_goes_on_on_the_other_engine(spark, rows, tmp_path, begun):
    arrays, frame = (rows.x, rows.y), (rows.frame(spark).repartition(3),)

    def going(model, given):
        how = {"strategy": "gradient", "batch_size": 300, "shards": 2, "epochs": 2, "verbose": 0}
        model.fit(*given, callbacks=[BoldDriver()], **how)
        return model

    whole = going(going(network(), arrays), arrays).fingerprint()
    going(network(), arrays if begun == "arrays" else frame).save(tmp_path / "m")
    assert going(load_model(tmp_path / "m"), frame if begun == "arrays" else arrays).fingerprint() == whole


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_r34_a_stage_that_was_saved_and_loaded_fits_as_if_it_never_was(spark, tmp_path, optimizer):
    more = {} if optimizer == "lbfgs" else {"stepSize": 0.02, "dropout": 0.2, "shards": 2}
    frame, stage = numeric(spark), small(maxIter=2, solver=optimizer, **more)
    stage.write().save(str(tmp_path / "stage"))
    again = type(stage).load(str(tmp_path / "stage"))
    assert again.fit(frame).network.fingerprint() == stage.fit(frame).network.fingerprint()


@pytest.mark.slow
def test_another_fit_does_not_take_it_up(spark, tmp_path, one_epoch_a_job, monkeypatch):
    frame, folder = numeric(spark), (tmp_path / "kept").as_uri()
    interrupted_fits(spark, folder, (3,), finish=False, maxIter=5)
    for other in ({"seed": 2}, {"learningRate": 0.02}, {"hiddenLayers": [7]}, {"shards": 2}):
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
        warned = pytest.warns(UserWarning, match="is ignored") if damage == "bytes" else nullcontext()
        with warned:
            assert small(maxIter=6, checkpointDir=folder.as_uri()).fit(frame).network.fingerprint() == whole


@pytest.mark.slow
@pytest.mark.timeout(420)
@pytest.mark.parametrize("seed", range(10))
def test_r35_a_driver_that_is_killed_goes_on_to_the_same_bits(seed, rows, tmp_path):
    said, path, wait = None, tmp_path / "kept", random.Random(seed).uniform(0.0, 4.0)
    for kill in (True, False):
        command = [sys.executable, "-c", CHILD, path]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT, start_new_session=True) as child:
            assert child.stdout.readline() == "begun\n"
            if kill:
                while not path.exists() and child.poll() is None:
                    time.sleep(0.01)
                time.sleep(wait)
                os.killpg(child.pid, signal.SIGKILL)
            said = child.stdout.read().strip() or said
            if kill:
                print(
                    f"seed {seed}: {'it had ended' if said else 'killed'} {wait:.1f} s after it first kept progress"
                )
    assert said == fit(rows.x, rows.y, epochs=20)


@pytest.mark.slow
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
    with pytest.warns(UserWarning, match="no longer needed, but cannot be deleted: no permission"):
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

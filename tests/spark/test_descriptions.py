"""What Spark's pages call the jobs of a training; and that whatever they were called before is left alone."""

import re

import numpy as np
import pytest

from firesteel.callbacks import Callback, EarlyStopping
from firesteel.cli import main
from firesteel.spark import NeuralNetworkRegressor, pack
from firesteel.spark.engine import described
from firesteel.train.partial import Task
from tests.spark.conftest import NAMED, fit, network


@pytest.fixture
def jobs(spark):
    """Runs something and gives what the jobs were called that it started, in their order."""

    def run(something):
        store = spark.sparkContext._jsc.sc().statusStore()

        def listed():
            found = store.jobsList(None)
            return {found.apply(at).jobId(): found.apply(at) for at in range(found.size())}

        before = listed()
        something()
        new = sorted(listed().items())
        named = [job.description() for number, job in new if number not in before]
        return [name.get() if name.isDefined() else None for name in named]

    return run


def distinct(names):
    return list(dict.fromkeys(names))


def test_jobs_name_the_run_the_epoch_and_the_loss(spark, rows, jobs):
    class Named(Callback):
        run_name = "three classes"

    found = []
    names = distinct(jobs(lambda: found.append(fit_with(rows.frame(spark), callbacks=Named(), validation_split=0.2))))
    (history,) = found
    first, second, third = history.history["loss"]
    assert names == [
        "firesteel: validating the rows",
        "firesteel: packing the rows",
        "three classes: epoch 1 of 3",
        "three classes: epoch 1 of 3, validation",
        f"three classes: epoch 2 of 3, loss {first:.4g}",
        f"three classes: epoch 2 of 3, loss {first:.4g}, validation",
        f"three classes: epoch 3 of 3, loss {second:.4g}",
        f"three classes: epoch 3 of 3, loss {second:.4g}, validation",
    ]


def fit_with(frame, **settings):
    model = network()
    return model.fit(frame, **{"epochs": 3, "shards": 4, "verbose": 0} | settings)


def test_epochs_that_share_a_job_are_named_together(spark, rows, jobs):
    names = distinct(jobs(lambda: fit_with(rows.frame(spark), epochs=8, initial_epoch=1, shards=1)))
    assert names[2:4] == ["firesteel: epoch 2 of 8", names[3]]
    assert re.fullmatch(r"firesteel: epochs 3 to 4 of 8, loss \d\.\d+", names[3])


@pytest.mark.usefixtures("on_executors")
def test_a_stage_is_called_by_its_uid(spark, jobs):
    frame = spark.createDataFrame([([float(n)], float(n)) for n in range(40)], "features array<double>, label double")
    stage = NeuralNetworkRegressor(maxIter=1, hiddenLayers=[2], **NAMED)
    names = distinct(jobs(lambda: stage.fit(frame)))
    assert "firesteel: means and variances" in names
    assert names[-2:] == [f"{stage.uid}: epoch 1 of 1", f"{stage.uid}: summary"]


def test_packing_and_evaluation_are_named_too(spark, rows, jobs, tmp_path):
    frame, model = rows.frame(spark), network()
    names = jobs(lambda: pack(frame, path=str(tmp_path / "packed")).unpersist())
    assert None not in names and {"firesteel: validating the rows", "firesteel: writing packed rows"} <= set(names)
    model.fit(frame, epochs=1, verbose=0)
    assert jobs(lambda: model.evaluate(frame, verbose=0))[-1] == "firesteel: evaluation"


def test_a_description_of_the_users_own_stays_and_is_put_first(spark, rows, jobs):
    context = spark.sparkContext
    context.setJobDescription("nightly")
    try:
        names = jobs(lambda: fit(rows.frame(spark)))
        assert all(name.startswith("nightly: firesteel: ") for name in names)
        assert jobs(lambda: spark.range(3).collect()) == ["nightly"]
        with pytest.raises(KeyboardInterrupt), described(spark, "stopped"):
            raise KeyboardInterrupt
        assert context.getLocalProperty("spark.job.description") == "nightly"
    finally:
        context.setLocalProperty("spark.job.description", None)


def test_a_session_without_a_context_is_not_described():
    class Remote:
        @property
        def sparkContext(self):
            raise RuntimeError("[JVM_ATTRIBUTE_NOT_SUPPORTED]")

    with described(Remote(), "ours"):
        pass


def test_the_names_do_not_reach_the_bits(spark, rows):
    class Named(EarlyStopping):
        run_name = "another"

    assert Task.__dataclass_fields__["title"].default == "firesteel"
    named = fit(rows.frame(spark), callbacks=Named("loss", patience=9))
    assert named == fit(rows.x, rows.y)


def test_every_job_of_the_commands_has_a_name(rows, jobs, tmp_path):
    table, run = tmp_path / "table.csv", tmp_path / "run"
    head = ",".join([*(f"c{column}" for column in range(rows.x.shape[1])), "label"])
    np.savetxt(table, np.column_stack([rows.x, rows.y])[:300], "%.6g", ",", header=head, comments="")
    spark = ["--engine", "spark"]

    def commands():
        for command in (
            ["train", "--data", table, "--test", table, "--epochs", "1", "--run", run],
            ["evaluate", run, "--data", table],
            ["predict", run, "--data", table, "--out", tmp_path / "scores.parquet"],
        ):
            with pytest.raises(SystemExit) as end:
                main([*map(str, command), *spark])
            assert not end.value.code

    names = jobs(commands)
    assert None not in names and {"firesteel: profiling the labels", f"firesteel: reading {table}"} <= set(names)

"""Small tables are trained on in the driver's process, with the bits that executors would give."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
from pyspark.errors import PySparkException
from pyspark.sql import functions as F

from firesteel._checkpoints import Turns
from firesteel.core.centre import UNCENTRED
from firesteel.errors import DataError
from firesteel.models import Sequential
from firesteel.optimizers import SGD
from firesteel.search.members import members_of
from firesteel.spark import NeuralNetworkClassifier, NeuralNetworkRegressor, checkpoints, collected, fitting
from firesteel.spark.checkpoints import SparkCheckpoints
from firesteel.spark.collected import Collected, is_small
from firesteel.spark.columns import Columns
from firesteel.spark.engine import SparkEngine
from firesteel.spark.frames import Frame
from firesteel.tables import policy
from firesteel.train.engine import LocalEngine
from firesteel.train.fit import fit
from firesteel.train.recipe import Recipe
from firesteel.train.stopping import Stopping
from tests.spark.conftest import executors
from tests.spark.test_raw_tables import KINDS, SHORT, table

SEVERAL = {**SHORT, "labelCol": "late", "inputCols": ["carrier", "temp", "at"], "shards": 2, "batchSize": 16}


@pytest.fixture(scope="module")
def frame(spark):
    rows = spark.createDataFrame(table(), KINDS)
    rows = rows.withColumn("far", 1e9 + F.coalesce("temp", F.lit(0.0)))
    rows = rows.withColumn("name", F.coalesce("count", F.lit(0)))
    return rows.withColumn("heavy", F.coalesce(F.col("small"), F.lit(1)) + 0.25).persist()


@pytest.fixture
def far_away():
    with executors():
        yield


@pytest.fixture(scope="module")
def near(frame):
    return [NeuralNetworkClassifier(**SEVERAL | {"members": members}).fit(frame.repartition(1)) for members in (1, 2)]


def prints(model):
    return [model.network.fingerprint(), *(one.fingerprint() for one in members_of(model.network))]


@pytest.mark.parametrize("members", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_executors_give_the_same_bits(frame, near, far_away, members):
    far = NeuralNetworkClassifier(**SEVERAL | {"members": members}).fit(frame.repartition(7))
    model = near[members > 1]
    assert prints(far) == prints(model)
    assert [row["loss"] for row in far.history.rows] == [row["loss"] for row in model.history.rows]
    assert far.summary.comparison == model.summary.comparison and str(far.summary) == str(model.summary)


def test_members_of_targets_far_from_zero_are_averaged(frame):
    stage = NeuralNetworkRegressor(labelCol="far", inputCols=["temp"], **SHORT | {"members": 2})
    model = stage.fit(frame)
    assert all(one.network.centre.targets[0] > 1e9 for one in members_of(model.network))
    assert 0 < model.summary.rootMeanSquaredError < 50
    far = model.transform(frame).agg(F.max(F.abs(F.col("prediction") - F.col("far")))).first()[0]
    assert far < 100


ALONE = {
    "a share": ({"validationFraction": 0.2}, "validation rows are set"),
    "no end": ({"earlyStoppingRounds": 0}, "earlyStoppingRounds is 0"),
}


@pytest.mark.parametrize("case", ALONE)
def test_where_the_rows_cannot_decide_on_members_there_is_one_network(frame, case):
    params, why = ALONE[case]
    stage = NeuralNetworkClassifier(**{name: value for name, value in SEVERAL.items() if name != "members"}, **params)
    model = stage.fit(frame)
    assert model.getMembers() == len(members_of(model.network)) == 1
    assert f"one network is trained instead of 8 members: {why}" in str(model.summary) and model.summary.heldOut


def test_a_member_is_the_fit_that_it_would_be_alone(frame, near):
    columns = Columns(
        tuple(SEVERAL["inputCols"]), "late", stage=True, classes=True, raw=True, zone=near[1].getTimeZone()
    )
    source = Frame(frame, columns, "float32")
    rows = Collected(source, source.profile()).folded(1, 2)
    member = near[1].network.members[1]
    alone = Sequential(member.layers)
    alone.compile(policy.optimizer_for(240, 16, 2), "sparse_categorical_crossentropy", ["accuracy"])
    alone.schema = source.schema
    stopping = Stopping("val_loss", patience=32)
    fit(alone, rows, Recipe(2, 16, policy.STRATEGY, shards=2, seed=1, stopping=stopping))
    assert alone.fingerprint() == member.fingerprint()


def test_a_member_that_diverges_is_left_out_and_said(frame, monkeypatch):
    made, original = [], NeuralNetworkClassifier._network

    def network(*given):
        made.append(original(*given))
        if len(made) == 2:
            made[1].compile(SGD(1e38), "sparse_categorical_crossentropy")
        return made[-1]

    monkeypatch.setattr(NeuralNetworkClassifier, "_network", network)
    model = NeuralNetworkClassifier(**SEVERAL | {"members": 3}).fit(frame)
    assert len(model.network.members) == 2 and list(model.history.left_out) == [1]
    assert "2 members, each validated" in str(model.summary) and "member 1 is left out: " in str(model.summary)


def test_no_job_is_made_for_a_pass(frame, near, monkeypatch):
    monkeypatch.setattr(SparkEngine, "map", lambda *given: pytest.fail("a job"))
    again = NeuralNetworkClassifier(**SEVERAL).fit(frame.repartition(7))
    assert prints(again) == prints(near[0])


def test_candidates_share_rows_that_are_read_once(frame, near, monkeypatch):
    read, original = [], Frame.read
    monkeypatch.setattr(Frame, "read", lambda source: read.append(source) or original(source))
    stage = NeuralNetworkClassifier(**SEVERAL)
    maps = [{stage.members: 2}, {stage.members: 2, stage.seed: 5}]
    found = dict(stage.fitMultiple(frame, maps))
    assert len(read) == 1 and prints(found[0]) == prints(near[1]) != prints(found[1])


def test_finished_members_of_an_interrupted_fit_are_not_trained_again(frame, near, tmp_path, monkeypatch):
    saved, original = [], SparkCheckpoints.save

    def save(place, identity, progress):
        original(place, identity, progress)
        saved.append(progress.finished)
        if saved == [False, True, False]:
            raise KeyboardInterrupt

    monkeypatch.setattr(SparkCheckpoints, "save", save)
    monkeypatch.setattr(fitting, "REST", 0.0)
    folder = tmp_path / "kept"
    stage = NeuralNetworkClassifier(**SEVERAL | {"members": 2}, checkpointDir=folder.as_uri())
    with pytest.raises(KeyboardInterrupt):
        stage.fit(frame)
    assert len(list(folder.glob("firesteel-*"))) == 2
    again = stage.fit(frame.repartition(7))
    assert prints(again) == prints(near[1]) and saved[3:] == [True]
    assert again.summary.comparison == near[1].summary.comparison
    assert [row["member"] for row in again.history.rows] == [0, 0, 1, 1] and not list(folder.iterdir())


def test_progress_is_saved_less_often_where_that_takes_longer_than_training(spark, monkeypatch):
    written, clock = [], iter([0, 2, 3, 19.9, 20, 21, 25, 26])
    monkeypatch.setattr(Turns, "save", lambda place, identity, progress: written.append(progress))
    monkeypatch.setattr(checkpoints, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    place = SparkCheckpoints(spark, "kept", rest=9.0)
    for at in range(5):
        place.save(None, SimpleNamespace(finished=at == 4, at=at))
    assert [progress.at for progress in written] == [0, 3, 4]


SOURCES = {
    "a share": {"label": "far", "weight": "heavy", "id": "name", "split": 0.2},
    "members": {"label": "temp", "skip": True},
}


def block(info):
    return info.id, info.rows, info.weight


@pytest.mark.parametrize("case", SOURCES)
def test_blocks_are_those_of_executors(frame, case):
    columns = Columns(("carrier", "price", "at"), stage=True, raw=True, zone="UTC")
    source = Frame(frame.repartition(3), replace(columns, **SOURCES[case]), "float32")
    here = Collected(source, source.profile())
    there, near = (source, here) if case != "members" else (source.folded(1, 3), here.folded(1, 3))
    assert (there.split, there.shards_of(Recipe(epochs=1))) == (near.split, near.shards_of(Recipe(epochs=1)))
    wanted, found = there.profile(), near.profile()
    for name in ("rows", "held", "width", "targets", "centre", "words"):
        assert getattr(wanted, name) == getattr(found, name)
    assert {n: (one.rows, one.held) for n, one in wanted.classes.items()} == {
        n: (one.rows, one.held) for n, one in found.classes.items()
    }
    for held in (False, True):
        for centre in {wanted.centre, UNCENTRED}:
            with (
                there.engine(2 - held, held=held, centre=centre) as far,
                near.engine(2 - held, held=held, centre=centre) as one,
            ):
                assert isinstance(one, LocalEngine) and one.blocks
                assert [block(info) for info in far.blocks] == [block(info) for info in one.blocks]


def test_rows_are_computed_for_each_member_where_the_session_refuses_to_cache(frame, monkeypatch):
    columns = Columns(("carrier", "temp"), "late", stage=True, classes=True, raw=True, zone="UTC")
    source = Frame(frame, columns, "float32")
    source.profile()

    def persist(*given):
        raise PySparkException("[NOT_SUPPORTED_WITH_SERVERLESS] PERSIST TABLE is not supported")

    monkeypatch.setattr(type(frame), "persist", persist)
    with source.cached() as rows:
        wanted = Collected(source, source.profile()).folded(0, 2).profile()
        assert rows.folded(0, 2).profile().held == wanted.held > 0


def test_rows_that_change_between_two_looks_are_refused(frame):
    columns = Columns(("carrier", "temp"), "late", stage=True, classes=True, raw=True, zone="UTC")
    source = Frame(frame, columns, "float32")
    profile = source.profile()
    source.key_sums[0] ^= 1
    with pytest.raises(DataError, match="the packed rows differ from the validated rows"):
        Collected(source, profile)


def test_what_is_small(frame, monkeypatch):
    columns = Columns(("carrier", "temp"), "late", stage=True, classes=True, raw=True, zone="UTC")
    source = Frame(frame, columns, "float32")
    profile = source.profile()
    size = 4 * profile.words * 240
    assert is_small(source, profile) and not is_small(source, replace(profile, rows=19_999, held=1))
    monkeypatch.setattr(collected, "MOST_BYTES", size)
    assert is_small(source, profile)
    monkeypatch.setattr(collected, "MOST_BYTES", size - 1)
    assert not is_small(source, profile)

"""Stages of which nobody says what to hold out and when to stop let the rows decide, and say what was decided."""

import json

import numpy as np
import pytest
from pyspark.ml.evaluation import MulticlassClassificationEvaluator
from pyspark.ml.tuning import CrossValidator, ParamGridBuilder

from firesteel.spark import (
    NeuralNetworkClassifier,
    NeuralNetworkClassifierModel,
    NeuralNetworkRegressor,
    engine,
    pack,
)
from firesteel.spark.engine import SparkEngine
from firesteel.tables.policy import FEW, Tally, settled
from firesteel.train.blocks import row_keys
from tests.spark.conftest import NAMED, executors
from tests.spark.contract import packings


def made(n=900, classes=3, seed=0):
    """x (n, 4), y (n,), w (n,): noisy classes of which the last ones are rare."""
    rng = np.random.default_rng(seed)
    x = rng.integers(-8, 9, (n, 4)) / 4.0
    y = np.minimum(rng.geometric(0.4, n) - 1, classes - 1).astype(float)
    x[:, 0] += y
    return x, y, rng.integers(0, 3, n).astype(float)


def frame_of(spark, x, y, w, held=None):
    held = np.zeros(len(x), bool) if held is None else held
    rows = zip(x.tolist(), y.tolist(), w.tolist(), held.tolist(), range(len(x)), strict=True)
    return spark.createDataFrame(list(rows), "features array<double>, label double, w double, held boolean, id long")


def small(**params):
    return NeuralNetworkClassifier(
        **{"hiddenLayers": [6], "maxIter": 40, "learningRate": 0.02, "seed": 1} | NAMED | params
    )


def chosen(x, y, w, classes=True):
    """Which rows are held out, by the same rule on arrays."""
    keys, y = row_keys(x, y[:, None]), y[:, None]
    hold, _ = settled(lambda hold: Tally.of(keys, y, w, hold.rows(keys, y), classes), 0.2, FEW)
    return hold.rows(keys, y)


def used(model):
    return model.getValidationFraction(), model.getEarlyStoppingRounds(), model.getEvalMetric()


@pytest.mark.parametrize(
    "classes, weight", [*(pytest.param(n, None, marks=pytest.mark.slow) for n in (3, 25)), (25, "w")]
)
def test_it_is_the_fit_with_the_same_rows_marked_and_rounds_set_on_any_layout(spark, classes, weight):
    x, y, w = made(classes=classes, n=1500)
    held = chosen(x, y, w if weight else np.ones(len(x)))
    assert 5 <= held.sum() and (classes == 3 or len(np.unique(y[held])) < len(np.unique(y))), "rare classes stay"
    frame = frame_of(spark, x, y, w, held)
    named = {"maxIter": 20, "learningRate": 0.1, "batchSize": 32} | ({} if weight is None else {"weightCol": weight})
    expected = small(validationIndicatorCol="held", **named).fit(frame)
    model = small(**named).fit(frame.repartition(7))
    assert model.network.fingerprint() == expected.network.fingerprint()
    assert model.history.history == expected.history.history
    assert used(model) == (0.2, 32, "loss") and model.summary.heldOut == held.sum()
    history = model.history
    assert history.best == int(np.argmin(history.history["val_loss"])) and len(history.rows) == 20
    n = int((w > 0).sum()) if weight else len(x)
    assert f" of {n:,} rows are held out by row hash; " in model.summary.automatic
    assert f"the model has the weights of pass {history.best + 1}" in model.summary.automatic


def test_a_regressor_holds_out_by_key_alone(spark):
    x, _, w = made()
    y = x @ [1.0, -2.0, 0.5, 0.0] + np.random.default_rng(1).normal(size=len(x))
    held = chosen(x, y, w, classes=False)
    frame, params = frame_of(spark, x, y, w, held), {"hiddenLayers": [6], "maxIter": 8, "seed": 1} | NAMED
    expected = NeuralNetworkRegressor(validationIndicatorCol="held", **params).fit(frame)
    model = NeuralNetworkRegressor(**params).fit(frame.repartition(3))
    assert model.network.fingerprint() == expected.network.fingerprint() and used(model) == (0.2, 32, "loss")


@pytest.mark.parametrize("n, share", [(49, 0.0), (50, 0.2), (51, 0.2)])
def test_it_begins_at_50_rows(spark, n, share):
    model = small(maxIter=2).fit(frame_of(spark, *made(n, 2)))
    assert used(model) == (share, 32 if share else 0, "loss") and bool(model.summary.heldOut) == bool(share)
    assert ("val_loss" in model.history.history) == bool(share)
    if not share:
        assert model.summary.automatic == "no rows are held out: 49 rows are fewer than 50"


@pytest.mark.parametrize(
    "params, expected",
    [
        ({"validationFraction": 0.0}, (0.0, 0, "loss")),
        ({"validationFraction": 0.25}, (0.25, 32, "loss")),
        ({"validationFraction": 0.0, "earlyStoppingRounds": 3}, (0.0, 3, "loss")),
        ({"validationFraction": 0.0, "evalMetric": "accuracy"}, (0.0, 0, "accuracy")),
        ({"validationIndicatorCol": "held"}, (0.0, 32, "loss")),
    ],
    ids=str,
)
def test_a_share_or_rows_of_ones_choice_switch_it_off(spark, params, expected):
    x, y, w = made(600)
    model = small(maxIter=2, **params).fit(frame_of(spark, x, y, w, np.arange(600) % 5 == 0))
    assert used(model) == expected and model.summary.automatic is None and model.summary.totalIterations == 2


@pytest.mark.parametrize(
    "params, expected",
    [
        ({"earlyStoppingRounds": 0}, (0, "loss")),
        ({"earlyStoppingRounds": 3, "evalMetric": "accuracy"}, (3, "accuracy")),
    ],
    ids=str,
)
def test_the_others_count_and_the_rows_decide_the_rest(spark, params, expected):
    model = small(maxIter=2, **params).fit(frame_of(spark, *made(600)))
    assert used(model) == (0.2, *expected) and f"val_{expected[1]}" in model.history.history


def test_an_end_by_tol_is_called_one(spark):
    said = small(maxIter=6, tol=0.9).fit(frame_of(spark, *made(600))).summary.automatic
    assert (
        "training ended after 2 of 6 passes, as the loss hardly changed any more (tol), and the model has the weights"
        in said
    )


def test_the_rows_decide_all_that_nobody_names(spark):
    frame = frame_of(spark, *made(600))
    model = NeuralNetworkClassifier(maxIter=2, seed=1).fit(frame.repartition(3))
    assert model.getHiddenLayers() == [64, 64] and (model.getBatchSize(), model.getMembers()) == (64, 8)
    assert (model.getSolver(), model.getLearningRate(), model.getActivation()) == ("adamw", 0.02, "silu")
    names = ("hiddenLayers", "batchSize", "members", "learningRate", "activation", "dropout")
    named = {name: getattr(model, f"get{name[0].upper()}{name[1:]}")() for name in names}
    again = NeuralNetworkClassifier(maxIter=2, seed=1, **named).fit(frame)
    assert again.network.fingerprint() == model.network.fingerprint()
    assert model.summary.automatic == "8 members, each validated on its own part of 600 rows"
    fold = NeuralNetworkClassifier(maxIter=2, seed=1).fit(frame.where("id < 49"))
    assert (fold.getMembers(), fold.getValidationFraction(), fold.getEarlyStoppingRounds()) == (1, 0.0, 0)


def test_each_member_of_a_regressor_begins_with_weights_of_its_own(spark):
    model = NeuralNetworkRegressor(
        maxIter=1, members=2, hiddenLayers=[4], solver="sgd", learningRate=1e-9, standardization=False
    ).fit(frame_of(spark, *made(400)))
    one, other = (member.theta for member in model.network.members)
    assert not np.allclose(one, other, atol=1e-3)


def test_vectors_far_from_zero_have_members(spark):
    x, y, w = made(400)
    model, far = (
        NeuralNetworkClassifier(maxIter=2, members=2, idCol="id").fit(frame_of(spark, x + shift, y, w))
        for shift in (0.0, 2.0**40)
    )
    assert far.network.network.centre.features and not model.network.network.centre.features
    for one, other in zip([far.network, *far.network.members], [model.network, *model.network.members], strict=True):
        np.testing.assert_allclose(one.predict(x + 2.0**40), other.predict(x), atol=1e-5)


def test_copies_of_one_row_stay_together_and_many_of_them_switch_it_off(spark):
    x, y, w = made(1000)
    keys = row_keys(x, y[:, None])
    low, high = np.argmin(keys), np.argmax(keys)
    for row, share, expected in ((low, 700, 0.0), (low, 75, 0.2), (high, 500, 0.2)):
        x2, y2 = x.copy(), y.copy()
        x2[:share], y2[:share] = x[row], y[row]
        held = chosen(x2, y2, np.ones(1000))
        assert len(np.unique(held[:share])) == 1
        model = small(maxIter=2).fit(frame_of(spark, x2, y2, w).repartition(3))
        assert model.getValidationFraction() == expected and model.summary.heldOut == held.sum()


def test_rows_of_weight_0_are_no_rows(spark):
    x, y, w = made(700)
    w = np.where(np.arange(700) < 49, 1.0, 0.0)
    frame = frame_of(spark, x, y, w)
    model = small(maxIter=1, weightCol="w", members=None).fit(frame)
    assert (model.getValidationFraction(), model.getMembers()) == (0.0, 1)
    keys = row_keys(x, y[:, None])
    alone = frame_of(spark, x, y, (keys < np.sort(keys)[60]).astype(float))
    assert small(maxIter=1, weightCol="w").fit(alone).summary.heldOut == 0, "all rows that count would be held out"


def test_a_stage_that_was_saved_before_trains_as_it_did(spark, tmp_path):
    frame, path = frame_of(spark, *made(600)), str(tmp_path / "old")
    old, usual = NeuralNetworkClassifier(seed=1), {"hiddenLayers": [6], "maxIter": 3} | NAMED
    old._setDefault(**usual, validationFraction=0.0, earlyStoppingRounds=0)
    old.save(path)
    assert '"validationFraction":0.0' in "".join(p.read_text() for p in (tmp_path / "old/metadata").glob("part-*"))
    loaded = NeuralNetworkClassifier.load(path)
    for stage in (loaded, loaded.copy(), loaded.copy({loaded.seed: 1})):
        model = stage.fit(frame)
        assert used(model) == (0.0, 0, "loss") and model.summary.automatic is None and not model.summary.heldOut
    expected = NeuralNetworkClassifier(**usual, seed=1, validationFraction=0.0).fit(frame).network.fingerprint()
    assert model.network.fingerprint() == expected


def test_a_new_one_is_saved_with_what_it_is_and_its_model_with_what_was_used(spark, tmp_path):
    frame = frame_of(spark, *made(600))
    small(maxIter=2).save(str(tmp_path / "stage"))
    stage = NeuralNetworkClassifier.load(str(tmp_path / "stage"))
    assert "auto holds out 0 below 50 rows" in stage.explainParams() and stage.getValidationFraction() == "auto"
    model = stage.fit(frame)
    model.save(str(tmp_path / "model"))
    assert used(NeuralNetworkClassifierModel.load(str(tmp_path / "model"))) == used(model) == (0.2, 32, "loss")
    back = small(maxIter=2, validationFraction=0.3).setValidationFraction("auto").fit(frame)
    assert back.network.fingerprint() == model.network.fingerprint()


def test_candidates_share_what_was_decided_and_packed_once(spark):
    frame = frame_of(spark, *made(600))
    estimator = small(maxIter=2)
    rates = [{estimator.learningRate: rate} for rate in (0.01, 0.02)]
    found, packed = packings(lambda: dict(estimator.fitMultiple(frame, rates)))
    assert packed == 0, "so few rows are brought to the driver"
    assert found[1].network.fingerprint() == estimator.copy(rates[1]).fit(frame).network.fingerprint()
    assert found[0].getValidationFraction() == found[1].getValidationFraction() == 0.2


@pytest.mark.slow
def test_candidates_of_a_search_share_it_too(spark):
    frame = frame_of(spark, *made(1200)).persist()
    estimator = small(maxIter=2)
    grid = ParamGridBuilder().addGrid(estimator.learningRate, [0.01, 0.02]).build()
    evaluator = MulticlassClassificationEvaluator(metricName="accuracy")
    search = CrossValidator(
        estimator=estimator, estimatorParamMaps=grid, evaluator=evaluator, numFolds=2, parallelism=2, seed=1
    )
    with executors():
        found, packed = packings(lambda: search.fit(frame))
    assert packed == 2 * 3, "two folds and the last fit, each with rows to train on and held out"
    best = grid[int(np.argmax(found.avgMetrics))]
    assert found.bestModel.network.fingerprint() == estimator.copy(best).fit(frame).network.fingerprint()
    assert found.bestModel.getValidationFraction() == 0.2
    frame.unpersist()


def test_rows_that_were_packed_before_are_all_trained_on(spark):
    frame = frame_of(spark, *made(600))
    with pack(frame) as rows:
        model = small(maxIter=2).fit(rows)
    expected = small(maxIter=2, validationFraction=0.0).fit(frame)
    assert model.network.fingerprint() == expected.network.fingerprint()
    assert used(model) == (0.0, 0, "loss") and "packed before" in model.summary.automatic


@pytest.mark.slow
def test_an_interrupted_fit_goes_on_to_the_same_bits(spark, tmp_path, monkeypatch):
    frame = frame_of(spark, *made(600))
    whole = small().fit(frame)
    original, epochs = SparkEngine.map, []

    def interrupted(self, work, task):
        epochs.append(task.epoch)
        if task.epoch >= 3 and "passed" not in epochs:
            epochs.append("passed")
            raise KeyboardInterrupt
        return original(self, work, task)

    monkeypatch.setattr(SparkEngine, "map", interrupted)
    kept = small(checkpointDir=str(tmp_path / "kept"))
    with executors():
        with pytest.raises(KeyboardInterrupt):
            kept.fit(frame)
        again = kept.fit(frame.repartition(5))
    assert again.network.fingerprint() == whole.network.fingerprint()
    assert again.summary.automatic == whole.summary.automatic


def test_what_the_rows_decided_is_in_the_run_folder(spark, tmp_path):
    model = small(maxIter=3, runDir=str(tmp_path)).fit(frame_of(spark, *made(600)))
    settings = (tmp_path / "001/config.toml").read_text()
    assert "validation_split = 0.2" in settings and 'monitor = "val_loss"' in settings and "patience = 32" in settings
    metrics = json.loads((tmp_path / "001/metrics.json").read_text())
    assert metrics["best_epoch"] == model.history.best and "validation" in metrics["scores"]


def test_it_validates_the_rows_once_unless_one_network_has_few_or_a_class_is_rare(spark, monkeypatch):
    titles, original = [], engine.collect
    monkeypatch.setattr(
        "firesteel.spark.frames.collect", lambda frame, title: titles.append(title) or original(frame, title)
    )
    x, y, w = made(1000)
    for rare, members, expected in ((0, 1, 2), (0, 2, 1), (4, 1, 3)):
        y[np.argsort(row_keys(x, np.full((1000, 1), 3.0)))[:rare]] = 3.0
        titles.clear()
        small(maxIter=1, members=members).fit(frame_of(spark, x, y, w))
        assert len([title for title in titles if "validating" in title]) == expected

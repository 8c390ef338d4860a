"""Metrics of the order of rows: exact, whatever the shards, and in rounds of bounded size where rows are many."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score, roc_curve

from firesteel.core.layers import Activation
from firesteel.core.losses import LOSSES, BinaryCrossentropy, CategoricalCrossentropy
from firesteel.core.metrics import (
    AUC,
    METRICS,
    AveragePrecision,
    PrecisionAtRecall,
    Ranking,
    RecallAtPrecision,
    SensitivityAtSpecificity,
    SpecificityAtSensitivity,
)
from firesteel.core.network import Network, Objective
from firesteel.layers import Dense
from firesteel.models import Sequential
from firesteel.train import ranking
from firesteel.train.blocks import pack_arrays
from firesteel.train.engine import LocalEngine
from firesteel.train.epoch import score, scores

RANKED = {name: metric for name, metric in METRICS.items() if isinstance(metric, Ranking)}


def peak(of, best, bound=0.5):
    """The largest value of one rate where another is at least a bound, at thresholds that scikit-learn names."""

    def found(y, scores, sample_weight=None):
        fpr, tpr, _ = roc_curve(y, scores, sample_weight=sample_weight, drop_intermediate=False)
        precision, recall, _ = precision_recall_curve(y, scores, sample_weight=sample_weight)
        sides = {"sensitivity": tpr, "specificity": 1 - fpr, "precision": precision[:-1], "recall": recall[:-1]}
        return sides[best][sides[of] >= bound - 1e-12].max(initial=0)

    return found


THEIRS = {
    "AUC": roc_auc_score,
    "AveragePrecision": average_precision_score,
    "PrecisionAtRecall": peak("recall", "precision"),
    "RecallAtPrecision": peak("precision", "recall"),
    "SensitivityAtSpecificity": peak("specificity", "sensitivity"),
    "SpecificityAtSensitivity": peak("sensitivity", "specificity"),
}
PEAKS = tuple(
    (f"{kind.__name__} {bound}", kind(bound))
    for kind in (PrecisionAtRecall, RecallAtPrecision, SensitivityAtSpecificity, SpecificityAtSensitivity)
    for bound in (0.0, 0.3, 0.9, 1.0)
)
BOTH = (("auc", METRICS["auc"]), ("average_precision", METRICS["average_precision"]))
ROWS = 500
DTYPES = ["float32", "float64"]


class Spy(LocalEngine):
    """An engine that notes what each round of a ranking brought: of counts, and of scores themselves."""

    def __init__(self, blocks, shards=1):
        super().__init__(blocks, shards)
        self.counts, self.fetched = [], []

    def map(self, work, task):
        work = pickle.loads(pickle.dumps(work))
        partials = super().map(work, task)
        if work.func is ranking.count:
            step = work.args[2]
            brought = sum(len(partial.sums.view(ranking.CELL)) for partial in partials if partial is not None)
            (self.counts if step == ranking.STEP else self.fetched).append(brought)
        return partials


def measured(scores, y, w=None, loss="mse", shards=1, dtype="float64", metrics=BOTH, engine=LocalEngine):
    """The metrics of outputs that are these scores, (B, O), and what has been mapped on the way."""
    scores, y = (np.asarray(part, dtype).reshape(len(part), -1) for part in (scores, y))
    w = np.ones(len(y)) if w is None else w
    network = Network.chain((Activation("linear"),), scores.shape[1], dtype)
    objective = Objective(network, LOSSES[loss] if isinstance(loss, str) else loss, metrics)
    engine = engine(pack_arrays(scores, y, w, np.dtype(dtype)), shards)
    return score(engine, objective, np.zeros(0, dtype)), engine


def rows_of(seed=0, outputs=1, ties=False, rows=ROWS):
    """Scores that know something of the labels, labels and weights."""
    rng = np.random.default_rng(seed)
    y = (rng.uniform(size=(rows, outputs)) < 0.3).astype(float)
    scores = rng.normal(size=(rows, outputs)) + y
    scores = scores.round(1) if ties else scores.astype(np.float32)
    return scores, y, rng.uniform(0.1, 3.0, rows)


# Somebody else's numbers


def test_every_ranking_of_the_registry_has_an_oracle_here():
    assert {type(metric).__name__ for metric in RANKED.values()} == set(THEIRS)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("name", RANKED)
def test_one_output_is_as_scikit_learn_has_it(name, ties, dtype):
    metric = RANKED[name]
    scores, y, w = rows_of(ties=ties)
    theirs = THEIRS[type(metric).__name__]
    for weights in (None, w):
        found, _ = measured(scores, y, weights, dtype=dtype, metrics=((name, metric),))
        kept = None if weights is None else weights.astype(dtype)
        expected = theirs(y[:, 0], scores[:, 0].astype(dtype), sample_weight=kept)
        assert found[name] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("name, metric", PEAKS)
def test_the_best_at_a_bound_is_that_of_all_thresholds(name, metric, ties):
    scores, y, w = rows_of(ties=ties)
    found, _ = measured(scores, y, w, metrics=((name, metric),))
    of, best = metric.rates
    expected = peak(of, best, getattr(metric, of))(y[:, 0], scores[:, 0].astype(float), sample_weight=w)
    assert found[name] == pytest.approx(expected, rel=1e-12)
    assert replace(metric)(y, scores, w) == pytest.approx(expected, rel=1e-12)


def test_the_area_under_precision_and_recall_is_the_average_precision():
    scores, y, w = rows_of(ties=True)
    found, _ = measured(scores, y, w, metrics=(("pr", AUC("PR")), BOTH[1]))
    assert found["pr"] == found["average_precision"] == pytest.approx(AUC(curve="PR")(y, scores, w), rel=1e-12)
    assert AUC().to_config() == {"type": "AUC"} and AUC("PR").to_config() == {"type": "AUC", "curve": "PR"}


@pytest.mark.parametrize("ties", [False, True])
def test_several_outputs_are_the_mean_of_each_against_the_rest(ties):
    scores, y, w = rows_of(outputs=4, ties=ties)
    p = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    k = np.random.default_rng(1).integers(0, 4, ROWS)
    for targets, loss in ((np.eye(4)[k], "mse"), (np.eye(4)[k], BinaryCrossentropy(from_logits=True))):
        found, _ = measured(p, targets, w, loss)
        ovr = roc_auc_score(k, p, multi_class="ovr", average="macro", sample_weight=w)
        assert found["auc"] == pytest.approx(ovr, rel=1e-12)
        assert found["average_precision"] == pytest.approx(
            average_precision_score(targets, p, sample_weight=w), rel=1e-12
        )
    found, _ = measured(scores, y, w, BinaryCrossentropy(from_logits=True))
    assert found["auc"] == pytest.approx(roc_auc_score(y, scores, average="macro", sample_weight=w), rel=1e-12)
    assert found["average_precision"] == pytest.approx(average_precision_score(y, scores, sample_weight=w), rel=1e-12)


def test_the_second_of_two_classes_is_the_positive_one_and_two_labels_are_both():
    scores, y, w = rows_of(outputs=2)
    one_hot = np.eye(2)[y[:, 0].astype(int)]
    found, _ = measured(scores, one_hot, w)
    expected = average_precision_score(y[:, 0], scores[:, 1], sample_weight=w)
    assert found["average_precision"] == pytest.approx(expected, rel=1e-12)
    found, _ = measured(scores, y, w, BinaryCrossentropy(from_logits=True))
    expected = average_precision_score(y, scores, sample_weight=w)
    assert found["average_precision"] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("outputs", [2, 3])
def test_logits_of_classes_are_ranked_by_probability(outputs):
    scores, _, w = rows_of(outputs=outputs)
    k = np.random.default_rng(1).integers(0, outputs, ROWS)
    p = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    on_logits, _ = measured(scores, np.eye(outputs)[k], w, CategoricalCrossentropy(from_logits=True))
    expected = roc_auc_score(k, p[:, 1] if outputs == 2 else p, multi_class="ovr", sample_weight=w)
    assert on_logits["auc"] == pytest.approx(expected, rel=1e-12)


def test_class_numbers_are_as_good_as_one_hot_rows():
    x, y = np.random.default_rng(0).normal(size=(ROWS, 3)), np.arange(ROWS) % 3
    results = []
    for loss, targets in (("sparse_categorical_crossentropy", y), ("categorical_crossentropy", np.eye(3)[y])):
        model = Sequential([Dense(3, "softmax", input_dim=3)], dtype="float64")
        model.compile("sgd", loss, ["auc", "average_precision"])
        results.append(model.evaluate(x, targets, verbose=0)[1:])
        assert results[-1][0] == pytest.approx(roc_auc_score(y, model.predict(x), multi_class="ovr"), rel=1e-12)
    assert results[0] == pytest.approx(results[1], rel=1e-12)


# What has no order


def test_what_is_not_defined_is_nan_and_left_out_of_a_mean():
    scores, y, _ = rows_of(outputs=3)
    y[:, 1], y[:, 2] = 0, 1
    found, _ = measured(scores, y, loss=BinaryCrossentropy(from_logits=True))
    assert found["auc"] == pytest.approx(roc_auc_score(y[:, 0], scores[:, 0]), rel=1e-12)
    first = average_precision_score(y[:, 0], scores[:, 0])
    assert found["average_precision"] == pytest.approx((first + 1) / 2, rel=1e-12)
    for label, expected in ((0.0, np.nan), (1.0, 1.0)):
        found, _ = measured(scores[:, 0], np.full(ROWS, label))
        assert np.isnan(found["auc"]) and found["average_precision"] == pytest.approx(expected, nan_ok=True)


def test_rows_of_weight_0_do_not_count():
    scores, y, w = rows_of()
    w[::3] = 0
    kept = w > 0
    found, _ = measured(scores, y, w)
    again, _ = measured(scores[kept], y[kept], w[kept])
    for name, _ in BOTH:
        assert found[name] == pytest.approx(again[name], rel=1e-12)


def test_outputs_that_are_nan_have_no_order():
    scores, y, _ = rows_of()
    scores[3] = np.nan
    found, _ = measured(scores, y)
    assert np.isnan(list(found.values())).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_keys_are_in_the_order_of_scores(dtype):
    info = np.finfo(dtype)
    edge = [-np.inf, info.min, -1.5, -1.0, -info.tiny, -info.smallest_subnormal, 0.0]
    scores = np.array([*edge, *(-np.array(edge[:-1]))[::-1]], dtype)
    found = ranking.keys(scores)
    assert found.dtype == np.uint64 and (np.diff(found.astype(object)) > 0).all()
    assert int(found.max()) < 1 << 8 * scores.itemsize
    zeros = ranking.keys(np.array([0.0, -0.0], dtype))
    assert zeros[0] == zeros[1]


# Many rows


@pytest.mark.parametrize("dtype, ties", [("float32", False), ("float64", True)])
@pytest.mark.parametrize("outputs, loss", [(1, "mse"), (2, "mse"), (3, BinaryCrossentropy(from_logits=True))])
def test_shards_and_rounds_move_nothing(outputs, loss, dtype, ties, monkeypatch):
    scores, y, w = rows_of(outputs=outputs, ties=ties, rows=300)
    metrics = (*BOTH, *PEAKS)
    expected, _ = measured(scores, y, w, loss, dtype=dtype, metrics=metrics)
    usual = ranking.MOST
    for most, gathered, shards in (
        (usual, 100, range(1, 6)),
        (200, 1, range(1, 6)),
        (30, 50, [4]),
        (1, 1 << 18, [1]),
    ):
        monkeypatch.setattr(ranking, "MOST", most)
        monkeypatch.setattr(ranking, "GATHERED", gathered)
        for count in shards:
            found, engine = measured(scores, y, w, loss, count, dtype, metrics, engine=Spy)
            for name in expected:
                assert found[name] == pytest.approx(expected[name], rel=1e-12)
            assert bool(engine.counts) == (most < usual)


@pytest.mark.parametrize("shards", [1, 3])
def test_no_round_brings_more_scores_than_are_asked_for(shards, monkeypatch):
    monkeypatch.setattr(ranking, "MOST", 64)
    rng = np.random.default_rng(0)
    y, far = rng.integers(0, 2, 2000).astype(float), rng.uniform(size=2000)
    near = np.where(far < 0.5, far, 0.75 + rng.integers(0, 1000, 2000) * 2.0**-35)
    for ranks, counted in ((far, 1), (near, 3)):  # half of the near ones share their first 32 bits
        found, engine = measured(ranks, y, shards=shards, engine=Spy)
        assert found["auc"] == pytest.approx(roc_auc_score(y, ranks), rel=1e-12)
        assert found["average_precision"] == pytest.approx(average_precision_score(y, ranks), rel=1e-12)
        assert len(engine.counts) >= counted and 20 < len(engine.fetched) < 200
        assert max(engine.fetched) <= 64


def test_float32_scores_that_share_their_leading_bits_come_in_one_round(monkeypatch):
    monkeypatch.setattr(ranking, "MOST", 64)
    rng = np.random.default_rng(0)
    y, scores = rng.integers(0, 2, 2000), 0.75 + np.arange(2000) % 300 * 2.0**-24
    found, engine = measured(scores, y, dtype="float32", engine=Spy)
    assert found["auc"] == pytest.approx(roc_auc_score(y, scores), rel=1e-12)
    assert engine.counts == [1] and engine.fetched == [300]


def test_ranges_with_one_kind_of_rows_are_not_fetched(monkeypatch):
    monkeypatch.setattr(ranking, "MOST", 100)
    rng = np.random.default_rng(0)
    scores = np.concatenate([rng.uniform(0, 0.4, 1000), rng.uniform(0.45, 0.55, 60), rng.uniform(0.6, 1, 1000)])
    y = np.concatenate([np.zeros(1000), rng.integers(0, 2, 60), np.ones(1000)])
    for metrics in (BOTH[:1], BOTH):
        found, engine = measured(scores, y, metrics=metrics, engine=Spy)
        assert found["auc"] == pytest.approx(roc_auc_score(y, scores), rel=1e-12)
        assert len(engine.counts) == len(engine.fetched) == 1 and engine.fetched[0] <= 60
    assert found["average_precision"] == pytest.approx(average_precision_score(y, scores), rel=1e-12)
    turned, engine = measured(-scores, y, metrics=BOTH[1:], engine=Spy)
    assert turned["average_precision"] == pytest.approx(average_precision_score(y, -scores), rel=1e-12)
    assert sum(engine.fetched) >= 1000, "positives below negatives count one by one"


def test_metrics_of_one_objective_share_their_rounds():
    scores, y, w = rows_of()
    _, engine = measured(scores, y, w, metrics=(*BOTH, ("again", AveragePrecision())), engine=Spy)
    assert len(engine.fetched) == 1 and not engine.counts


# In training


def model_of(names, **settings):
    model = Sequential([Dense(4, "tanh", input_dim=3), Dense(1, "sigmoid")], **settings)
    model.compile("adam", "binary_crossentropy", list(names))
    return model


def data(rows=ROWS):
    x = np.random.default_rng(0).normal(size=(rows, 3))
    return x, (x[:, 0] + np.random.default_rng(1).normal(size=rows) > 0).astype(float)


def test_they_are_measured_in_validation_and_not_in_training():
    (x, y), names = data(), ["auc", "accuracy", "average_precision"]
    model = model_of(names)
    history = model.fit(x[:400], y[:400], epochs=3, validation_data=(x[400:], y[400:]), verbose=0)
    measured = ["loss", "accuracy", "val_loss", "val_auc", "val_accuracy", "val_average_precision"]
    assert list(history.history) == measured
    found = model.evaluate(x[400:], y[400:], verbose=0, return_dict=True)
    assert list(found) == ["loss", *names] == model.metrics_names
    assert {f"val_{name}": value for name, value in found.items()}.items() <= history.rows[-1].items()
    p = model.predict(x[400:])[:, 0]
    assert found["auc"] == pytest.approx(roc_auc_score(y[400:], p), rel=1e-12)
    assert all(history.rows[epoch]["val_auc"] != found["auc"] for epoch in (0, 1))


def test_they_leave_training_alone():
    x, y = data()
    for shards in (1, 3):
        plain, ranked = model_of(["accuracy"]), model_of(["auc", "accuracy", "average_precision"])
        for model in (plain, ranked):
            model.fit(x, y, epochs=2, validation_split=0.2, shards=shards, verbose=0)
        assert plain.fingerprint() == ranked.fingerprint()
        assert plain.history.history["accuracy"] == ranked.history.history["accuracy"]


@pytest.mark.parametrize("shards", range(1, 6))
def test_evaluation_does_not_depend_on_shards(shards):
    (x, y), model = data(700), model_of(["auc", "average_precision", "f1_score", "log_loss"])
    objective = model._objective()
    blocks = pack_arrays(x.astype(np.float32), y[:, None], np.linspace(0.5, 2, 700), np.dtype("float32"))
    expected = score(LocalEngine(blocks), objective, model.theta)
    found = score(LocalEngine(blocks, shards), objective, model.theta)
    assert found == pytest.approx(expected, rel=1e-12)


def test_several_thetas_are_measured_together():
    (x, y), model = data(), model_of(["auc"])
    objective = model._objective()
    blocks = pack_arrays(x.astype(np.float32), y[:, None], np.ones(ROWS), np.dtype("float32"))
    thetas = [objective.network.init(seed) for seed in range(5)]
    engine = Spy(blocks, 2)
    found = scores(engine, objective, thetas)
    assert len(engine.fetched) == 1 and not engine.counts
    assert found == [score(engine, objective, theta) for theta in thetas]
    assert len({means["auc"] for means in found}) == 5

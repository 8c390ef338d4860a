"""Every metric against scikit-learn and Keras, and its sums against themselves, however the rows are cut."""

import copy
import json
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn import metrics as sk

from firesteel.core import metrics
from firesteel.core.layers import Dense
from firesteel.core.losses import (
    LOSSES,
    BinaryCrossentropy,
    CategoricalCrossentropy,
    Hinge,
    Huber,
    MeanSquaredError,
    SparseCategoricalCrossentropy,
    function_of,
)
from firesteel.core.metrics import (
    AUC,
    METRICS,
    AveragePrecision,
    BinaryAccuracy,
    ConfusionMatrix,
    F1Score,
    FBetaScore,
    LogLoss,
    MeanLoss,
    Precision,
    R2Score,
    Ranking,
    Recall,
    RowMetric,
    TopKCategoricalAccuracy,
)
from firesteel.core.network import Network, Objective
from firesteel.errors import ConfigError, DataError
from tests.core.test_losses_and_metrics import NAIVE
from tests.train.test_ranking import THEIRS

GOLDEN = json.loads((Path(__file__).parent / "golden" / "metrics.json").read_text())
RNG = np.random.default_rng(0)
ROWS, K = 60, 4
P = RNG.dirichlet(np.ones(K), ROWS)
CLASS = RNG.integers(0, K, ROWS)
MANY = RNG.integers(0, 2, (ROWS, K)).astype(float)
W = RNG.uniform(0.1, 3.0, ROWS)
SUMMED = {name: metric for name, metric in METRICS.items() if not isinstance(metric, Ranking)}
LABELS = {"labels": np.arange(K), "zero_division": 0, "sample_weight": W}
ORACLES = {  # of probabilities p, one-hot targets y and weights
    "Accuracy": lambda p, y, w: np.average((p == y).mean(axis=1), weights=w),
    "BinaryAccuracy": lambda p, y, w: np.average(((p > 0.5) == y).mean(axis=1), weights=w),
    "CategoricalAccuracy": lambda p, y, w: sk.accuracy_score(y.argmax(1), p.argmax(1), sample_weight=w),
    "ConfusionMatrix": lambda p, y, w: sk.confusion_matrix(y.argmax(1), p.argmax(1), sample_weight=w).tolist(),
    "CosineSimilarity": lambda p, y, w: np.average(-NAIVE["CosineSimilarity"](p, y), weights=w),
    "F1Score": lambda p, y, w: sk.f1_score(y.argmax(1), p.argmax(1), average="macro", sample_weight=w),
    "FalseNegatives": lambda p, y, w: cells(p, y, w)[0],
    "FalsePositives": lambda p, y, w: cells(p, y, w)[1],
    "FBetaScore": lambda p, y, w: sk.f1_score(y.argmax(1), p.argmax(1), average="macro", sample_weight=w),
    "LogLoss": lambda p, y, w: sk.log_loss(y, p, sample_weight=w),
    "MeanAbsoluteError": lambda p, y, w: sk.mean_absolute_error(y, p, sample_weight=w),
    "MeanSquaredError": lambda p, y, w: sk.mean_squared_error(y, p, sample_weight=w),
    "Precision": lambda p, y, w: sk.precision_score(y.argmax(1), p.argmax(1), average="macro", sample_weight=w),
    "R2Score": lambda p, y, w: sk.r2_score(y, p, sample_weight=w),
    "Recall": lambda p, y, w: sk.recall_score(y.argmax(1), p.argmax(1), average="macro", sample_weight=w),
    "RootMeanSquaredError": lambda p, y, w: sk.mean_squared_error(y, p, sample_weight=w) ** 0.5,
    "SparseCategoricalAccuracy": lambda p, y, w: sk.accuracy_score(y.argmax(1), p.argmax(1), sample_weight=w),
    "SparseTopKCategoricalAccuracy": lambda p, y, w: sk.top_k_accuracy_score(y.argmax(1), p, k=3, sample_weight=w),
    "TopKCategoricalAccuracy": lambda p, y, w: sk.top_k_accuracy_score(y.argmax(1), p, k=3, sample_weight=w),
    "TrueNegatives": lambda p, y, w: cells(p, y, w)[2],
    "TruePositives": lambda p, y, w: cells(p, y, w)[3],
}


def cells(p, y, w, threshold=0.5):
    """The weights of labels that are missed, predicted in vain, rightly not predicted, and rightly predicted."""
    weights = np.repeat(w, p.shape[1])
    (right_not, vain), (missed, right) = sk.confusion_matrix(y.ravel(), p.ravel() > threshold, sample_weight=weights)
    return missed, vain, right_not, right


def targets(metric):
    return CLASS[:, None].astype(float) if "Sparse" in type(metric).__name__ else np.eye(K)[CLASS]


def value(metric, p, y, w=W, loss="categorical_crossentropy"):
    """What an objective makes of a metric and rows."""
    p, y = (part[:, None] if part.ndim == 1 else part for part in (np.asarray(p), np.asarray(y, float)))
    metric = metric.suited(LOSSES[loss] if isinstance(loss, str) else loss, p.shape[1])
    sums = metric.sums(p, y, w)
    assert sums.shape == (metric.size(p.shape[1]),) and sums.dtype == np.float64
    return metric.result(sums, np.float64(w.sum()))


def close(got, expected, rel=1e-12):
    assert np.shape(got) == np.shape(expected)
    np.testing.assert_allclose(got, expected, rtol=rel, atol=1e-14)


# Every member of the registry


def test_every_metric_that_is_sums_has_an_oracle_here():
    assert {type(metric).__name__ for metric in SUMMED.values()} == {*ORACLES, "MeanLoss"}


@pytest.mark.parametrize("name", SUMMED)
def test_every_metric_is_that_of_scikit_learn(name):
    metric = SUMMED[name]
    if hasattr(metric, "k"):
        metric = type(metric)(k=3)
    if isinstance(metric, MeanLoss):
        given = {"sign": 2 * np.eye(K)[CLASS] - 1, "class": CLASS[:, None]}.get(metric.loss.targets, np.eye(K)[CLASS])
        close(value(metric, P, targets(metric)), np.average(NAIVE[type(metric.loss).__name__](P, given), weights=W))
    elif name in ("binary_crossentropy", "bce"):
        losses = [sk.log_loss(np.eye(K)[CLASS][:, k], P[:, k], sample_weight=W) for k in range(K)]
        close(value(metric, P, targets(metric)), np.mean(losses))
    else:
        close(value(metric, P, targets(metric)), ORACLES[type(metric).__name__](P, np.eye(K)[CLASS], W))


COUNTS = [metrics.FalseNegatives, metrics.FalsePositives, metrics.TrueNegatives, metrics.TruePositives]


@pytest.mark.parametrize("at, kind", list(enumerate(COUNTS)), ids=repr)
def test_counts_are_taken_at_each_threshold_and_on_logits_at_its_logit(at, kind):
    y, several = np.eye(K)[CLASS], (0.0, 0.2, 0.5, 0.9, 1.0)
    expected = [cells(P, y, W, threshold)[at] for threshold in several]
    close(value(kind(several), P, y), expected)
    close(value(kind([0.2]), P, y), expected[1:2])
    close(value(kind(0.2), P, y), expected[1])
    logits = np.log(P) - np.log1p(-P)
    close(value(kind(several), logits, y, loss=BinaryCrossentropy(from_logits=True)), expected)
    close(value(kind(several, from_logits=True), logits, y), expected)
    for wrong in ([], [None], -0.1, 1.1, [0.5, 2.0], "0.5", True, np.nan):
        with pytest.raises(ConfigError, match="a number from 0 to 1, or a list"):
            kind(wrong)


@pytest.mark.parametrize("how", ["uniform_average", "variance_weighted_average", None])
@pytest.mark.parametrize("count", [1, 4])
def test_the_adjusted_r2_counts_the_input_columns(how, count):
    y = np.eye(K)[CLASS]
    plain = np.array(value(metrics.R2Score(how), P, y))
    close(value(metrics.R2Score(how, count), P, y), 1 - (1 - plain) * (y.size - 1) / (y.size - count - 1))
    close(value(metrics.R2Score(how, y.size - 1), P, y), plain)
    assert metrics.R2Score(num_regressors=0).to_config() == metrics.R2Score().to_config()


@pytest.mark.parametrize("loss", ["categorical_crossentropy", "binary_crossentropy"])
@pytest.mark.parametrize("name", SUMMED)
def test_the_sums_of_any_parts_add_up_to_those_of_the_whole(name, loss):
    metric, rng = SUMMED[name].suited(LOSSES[loss], K), np.random.default_rng(1)
    y = targets(metric)
    whole = metric.sums(P, y, W)
    for parts in (1, 2, 7, ROWS):
        cuts = np.sort(rng.integers(0, ROWS + 1, parts - 1))
        pieces = zip(*(np.split(array, cuts) for array in (P, y, W)), strict=True)
        close(sum(metric.sums(*piece) for piece in pieces), whole)


@pytest.mark.parametrize("name", SUMMED)
def test_no_rows_give_sums_of_zero_and_weights_count_like_copies(name):
    metric = SUMMED[name].suited(LOSSES["categorical_crossentropy"], K)
    y, copies = targets(metric), np.arange(ROWS) % 4
    assert not metric.sums(P[:0], y[:0], W[:0]).any()
    rows = np.repeat(np.arange(ROWS), copies)
    close(metric.sums(P, y, copies.astype(float)), metric.sums(P[rows], y[rows], np.ones(len(rows))))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", SUMMED)
def test_values_are_plain_numbers_or_lists_and_finite_on_hard_outputs(name, dtype):
    metric = SUMMED[name]
    got = value(metric, np.eye(K, dtype=dtype)[CLASS[::-1]], targets(metric).astype(dtype))
    assert np.isfinite(got).all() and json.loads(json.dumps(got)) == got and type(got) in (float, list)


@pytest.mark.parametrize("name", [name for name, metric in SUMMED.items() if isinstance(metric, RowMetric)])
def test_a_metric_of_rows_is_one_dot_product(name):
    metric, p = SUMMED[name], P.astype(np.float32)
    y = targets(metric).astype(np.float32)
    assert metric.sums(p, y, W).tolist() == [np.dot(metric.rows(p, y), W)] and metric.rows(p, y).shape == (ROWS,)


# Losses as metrics


@pytest.mark.parametrize(
    "loss", [*dict.fromkeys(LOSSES.values()), Huber(2.0), CategoricalCrossentropy(False, 0.1)], ids=repr
)
def test_a_loss_is_a_metric_by_its_name_as_an_object_and_as_a_function(loss):
    metric = metrics.get(loss)
    assert metrics.get(type(loss)) == MeanLoss(type(loss)()) and metrics.get(type(loss)).loss == type(loss)()
    assert (
        metric == MeanLoss(loss)
        and metrics.get(function_of("loss", loss)) == MeanLoss(type(loss))
        and not metric.larger_is_better
    )
    assert metric.differences == loss.differences
    assert metrics.name_of(metric) in LOSSES and type(LOSSES[metrics.name_of(metric)]) is type(loss)
    assert metrics.get(json.loads(json.dumps(metric.to_config()))) == metric
    assert all(name in METRICS for name in LOSSES)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", dict.fromkeys(LOSSES.values()), ids=repr)
def test_a_loss_as_a_metric_is_the_loss_of_a_network(name, dtype):
    loss, rng = name, np.random.default_rng(0)
    network = Network.chain((Dense(K, loss.natural),), 3, dtype)
    objective = Objective(network, loss, (("it", metrics.get(loss)),))
    y = CLASS[:, None] if loss.targets == "class" else np.eye(K)[CLASS]
    x, w = rng.normal(size=(ROWS, 3)).astype(dtype), np.ones(ROWS)
    means = objective.means(objective.score(network.layout.views(network.init(0)), x, y.astype(dtype), w))
    assert means["it"] == pytest.approx(means["loss"], rel=1e-12 if dtype == "float64" else 1e-5)


def test_a_loss_as_a_metric_takes_the_targets_and_outputs_that_the_training_has():
    hot, numbers = np.eye(K)[CLASS], CLASS[:, None].astype(float)
    for loss in (Hinge(), MeanSquaredError(), CategoricalCrossentropy(), SparseCategoricalCrossentropy()):
        close(value(metrics.get(loss), P, hot), value(metrics.get(loss), P, numbers))
    z = np.log(P)
    for loss in (CategoricalCrossentropy(), SparseCategoricalCrossentropy()):
        close(value(metrics.get(loss), z, hot, loss=CLASSES_ON_LOGITS), value(metrics.get(loss), P, hot))
    with pytest.raises(ConfigError, match="needs at least 2 outputs"):
        Objective(
            Network.chain((Dense(1),), 3), LOSSES["mse"], (("it", metrics.get(SparseCategoricalCrossentropy())),)
        )


# Keras


@pytest.mark.parametrize("case", GOLDEN["cases"], ids=lambda case: f"{case['metric']} {case['rows']}")
def test_keras_says_the_same(case):
    data, w = GOLDEN["data"][case["rows"]], np.array(GOLDEN["weights"])
    loss = "mse" if case["rows"] == "numbers" else "categorical_crossentropy"
    got = value(metrics.get(case["metric"]), data["p"], data["y"], w, loss)
    close(got, case["value"], 3e-7)  # Keras divides by a little more than it should


# Averages


@pytest.mark.parametrize("average", ["macro", "micro", "weighted", None])
@pytest.mark.parametrize(
    "ours, theirs", [(Precision, sk.precision_score), (Recall, sk.recall_score), (F1Score, sk.f1_score)]
)
def test_ratios_of_classes_and_of_labels_are_those_of_scikit_learn(ours, theirs, average):
    settings = LABELS | {"average": average}
    chosen = np.where(P.argmax(axis=1) == 2, 0, P.argmax(axis=1))  # nobody is told to be of class 2
    p, y = np.eye(K)[chosen] * 0.9, np.eye(K)[CLASS]
    expected = theirs(CLASS, chosen, **settings)
    close(value(ours(average=average), p, CLASS, loss="sparse_categorical_crossentropy"), expected)
    close(value(ours(average=average), p, y), expected)
    close(value(ours(average=average), P, MANY, loss="binary_crossentropy"), theirs(MANY, P > 0.5, **settings))
    close(value(ours(0.2, average), P, MANY), theirs(MANY, P > 0.2, **settings))
    close(value(ours(0.2, average), P, CLASS), theirs(y, P > 0.2, **settings))
    one = {"sample_weight": W}
    close(value(ours(average=average), P[:, :1], MANY[:, :1], loss="mse"), theirs(MANY[:, 0], P[:, 0] > 0.5, **one))
    for k in range(K):
        close(value(ours(class_id=k, average=average), p, y), theirs(CLASS, chosen, **LABELS, average=None)[k])


@pytest.mark.parametrize("beta", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("average", ["macro", "micro", "weighted", None])
def test_recall_weighs_beta_times_as_much_in_the_f_beta_score(beta, average):
    close(
        value(FBetaScore(average, beta, 0.2), P, MANY),
        sk.fbeta_score(MANY, P > 0.2, beta=beta, average=average, zero_division=0, sample_weight=W),
    )


def test_one_output_separates_two_classes():
    p, y, w = np.array([0.2, 0.7, 0.9, 0.4]), [0, 0, 1, 1], np.array([1.0, 2.0, 4.0, 8.0])
    loss = "binary_crossentropy"
    assert value(ConfusionMatrix(), p, y, w, loss) == [[1.0, 2.0], [8.0, 4.0]]
    assert value(Precision(), p, y, w, loss) == 4 / 6 and value(Recall(), p, y, w, loss) == 4 / 12
    assert value(Precision(class_id=0), p, y, w, loss) == 1 / 9 and value(Recall(0.1), p, y, w, loss) == 1.0


def test_ratios_of_nothing_are_0():
    for metric in (Precision(), Recall(), F1Score()):
        assert value(metric, [0.1, 0.2], [0, 0], np.ones(2), "binary_crossentropy") == 0.0
        for average in ("macro", "micro", "weighted"):
            assert type(metric)(average=average).result(np.zeros(6), np.float64(0)) == 0.0


def test_a_class_that_the_network_does_not_have_is_refused_when_it_is_built():
    for outputs, last, loss in ((3, "softmax", "categorical_crossentropy"), (1, "sigmoid", "binary_crossentropy")):
        network, most = Network.chain((Dense(outputs, last),), 2), max(2, outputs) - 1
        Objective(network, LOSSES[loss], (("recall", Recall(class_id=most)),))
        with pytest.raises(ConfigError, match=rf"Recall\(class_id={most + 1}\).* 0 to {most}") as caught:
            Objective(network, LOSSES[loss], (("recall", Recall(class_id=most + 1)),))
        assert caught.value.code == "config-metrics"


# What suits the loss

ON_LOGITS, CLASSES_ON_LOGITS = BinaryCrossentropy(from_logits=True), CategoricalCrossentropy(from_logits=True)


def test_logits_are_classified_by_their_sign():
    z, y = np.log(P / (1 - P)), MANY
    for metric in (Precision(), Recall(), F1Score(None, "micro"), Recall(average=None)):
        close(
            value(metric, z, y, loss=ON_LOGITS),
            value(metric, P, y, loss="binary_crossentropy"),
        )
    for metric in (ConfusionMatrix(), F1Score()):
        one = value(metric, P[:, :1], y[:, :1], loss="binary_crossentropy")
        close(value(metric, z[:, :1], y[:, :1], loss=ON_LOGITS), one)
    assert metrics.suited(BinaryCrossentropy(from_logits=True), 3) == BinaryAccuracy(threshold=0.0)
    assert metrics.suited(CategoricalCrossentropy(from_logits=True), 3) == metrics.CategoricalAccuracy()


@pytest.mark.parametrize("dtype, logits", [("f4", (-5, -20, -40, -85)), ("f8", (-5, -40, -300, -700))])
def test_the_log_loss_has_the_tails_of_probabilities(dtype, logits):
    """It counted a probability of 2e-9 as 1e-7: 15.9 where the loss of the same rows was 20."""
    z = np.array(logits, dtype)[:, None]
    p, exact = 1 / (1 + np.exp(-z)), np.log1p(np.exp(z[:, 0].astype("f8"))) - z[:, 0]
    np.testing.assert_allclose(LogLoss(multi_label=True).rows(p, np.ones_like(z)), exact, rtol=1e-6)
    np.testing.assert_allclose(LogLoss().rows(np.hstack([p, 1 - p]), np.zeros_like(z)), exact, rtol=1e-6)


def test_the_log_loss_of_logits_is_that_of_their_probabilities():
    y, soft = np.eye(K)[CLASS], RNG.dirichlet(np.ones(K), ROWS)
    for target in (y, soft, CLASS):
        close(
            value(LogLoss(), np.log(P) + 3, target, loss=CLASSES_ON_LOGITS),
            value(LogLoss(), P, target),
        )
    z = np.log(P / (1 - P))
    close(
        value(LogLoss(), z, MANY, loss=ON_LOGITS),
        value(LogLoss(), P, MANY, loss="binary_crossentropy"),
    )
    assert value(LogLoss(from_logits=True), [[1e4, -1e4]], [1], np.ones(1)) == 2e4


def test_fields_that_are_set_do_not_change_with_the_loss():
    given = F1Score(threshold=0.3, average=None, class_id=0)
    assert given.suited(LOSSES["binary_crossentropy"], 1) == given == given.suited(ON_LOGITS, 3)
    assert ConfusionMatrix(0.3).suited(BinaryCrossentropy(from_logits=True), 1) == ConfusionMatrix(0.3)
    for metric in METRICS.values():
        assert type(metric.suited(LOSSES["mse"], 3)) is type(metric)


# R2


@pytest.mark.parametrize(
    "ours, theirs",
    [
        ("uniform_average", "uniform_average"),
        ("variance_weighted_average", "variance_weighted"),
        (None, "raw_values"),
    ],
)
def test_r2_is_that_of_scikit_learn_for_targets_that_vary_and_that_do_not(ours, theirs):
    y = np.column_stack([RNG.normal(size=(ROWS, 2)) * [1, 30], np.full((ROWS, 2), 0.5)])
    p = y + RNG.normal(size=y.shape) * [0.5, 9, 0, 1]
    for columns in ([0, 1], [0, 1, 2], [1, 3], [2], [3]):
        close(
            value(R2Score(ours), p[:, columns], y[:, columns], loss="mse"),
            sk.r2_score(y[:, columns], p[:, columns], sample_weight=W, multioutput=theirs),
        )


@pytest.mark.parametrize("ratio, rel", [(1e2, 1e-11), (1e4, 1e-7), (1e5, 1e-5)])
def test_r2_loses_as_many_digits_as_the_square_of_mean_over_deviation(ratio, rel):
    y = (RNG.normal(size=(2000, 1)) + ratio).astype(np.float32)
    p, w = y + RNG.normal(0, 0.3, y.shape).astype(np.float32), np.ones(len(y))
    exact = sk.r2_score(y.astype(np.float64) - ratio, p.astype(np.float64) - ratio)
    assert value(R2Score(), p, y, w, "mse") == pytest.approx(exact, rel=rel)


# On arrays


def in_parts(metric, p, y, w):
    """What a metric returns of rows that come in three parts."""
    for rows in (slice(0, 7), slice(7, 8), slice(8, None)):
        metric.update_state(y[rows], p[rows], w[rows])
    return metric.result()


@pytest.mark.parametrize("name", METRICS)
def test_every_metric_accumulates_the_rows_passed_to_it(name):
    metric = metrics.get(name)
    signs = isinstance(metric, MeanLoss) and metric.loss.targets == "sign"
    y = 2 * np.eye(K)[CLASS] - 1 if signs else targets(metric)
    found = in_parts(metric, P, y, W)
    assert not hasattr(METRICS[name], "_seen")
    if isinstance(metric, Ranking):
        scored = THEIRS[type(metric).__name__]
        expected = np.mean([scored(CLASS == k, P[:, k], sample_weight=W) for k in range(K)])
    else:
        expected = value(metric, P, y, W, "mse")
    close(found, expected)
    for again in (copy.copy(metric), pickle.loads(pickle.dumps(metric)), replace(metric)):
        assert again == metric and again.result() == 0.0  # the rows belong to the object, not to the description
    metric.reset_state()
    assert metric.result() == 0.0
    close(metric(y, P, W), expected)


def test_rows_of_numbers_are_rows_of_one_output():
    y, p = np.array([0, 1, 1, 0]), np.array([0.2, 0.9, 0.4, 0.8])
    for metric, expected in ((Precision(), 0.5), (BinaryAccuracy(), 0.5), (AUC(), 0.75), (AveragePrecision(), 5 / 6)):
        assert metric(y, p) == metric(y[:, None], p[:, None]) == pytest.approx(expected)
        assert type(metric)()(y.tolist(), p.tolist()) == pytest.approx(expected)
    assert AUC()([0, 1, 1, 0], np.stack([1 - p, p], axis=1)) == 0.75
    assert np.isnan(AUC()([1, 1], [0.1, 0.2])) and Precision()([], []) == 0.0


def test_a_dtype_of_floats_is_taken_and_changes_nothing():
    for dtype in ("float32", "float64", None):
        assert AUC(dtype=dtype) == AUC() and AUC(dtype=dtype).to_config() == AUC().to_config()
    with pytest.raises(ConfigError, match="dtype must be one of 'float32', 'float64', None"):
        AUC(dtype="float16")


def test_rows_of_more_axes_are_rows():
    y, p = MANY.reshape(5, 12, K), P.reshape(5, 12, K)
    close(metrics.MeanAbsoluteError()(y, p), np.abs(P - MANY).mean())
    by_first = np.repeat(W[:5], 12)
    close(metrics.MeanAbsoluteError()(y, p, W[:5]), np.average(np.abs(P - MANY).mean(axis=1), weights=by_first))
    close(metrics.SparseCategoricalAccuracy()(CLASS.reshape(5, 12), p), np.mean(P.argmax(axis=1) == CLASS))


@pytest.mark.parametrize(
    "given, code",
    [
        (([0, 1], [[0.1], [0.2], [0.3]]), "data-shape"),
        (([[0, 1]], [[0.1, 0.2, 0.3]]), "data-shape"),
        (([0, 1], ["a", "b"]), "data-text"),
        (([0, 1], [0.1, 0.2], [1.0, 2.0, 3.0]), "data-shape"),
    ],
)
def test_rows_of_wrong_shapes_are_refused(given, code):
    metric = Recall()
    with pytest.raises(DataError) as caught:
        metric.update_state(*given)
    assert caught.value.code == code and metric.result() == 0.0
    metric.update_state([0, 1], [0.1, 0.9])
    with pytest.raises(DataError, match="call reset_state first"):
        metric.update_state(CLASS, P)
    with pytest.raises(ConfigError, match="the network has 4 classes"):
        Recall(class_id=9)(CLASS, P)


# Fields


@pytest.mark.parametrize(
    "metric",
    [
        BinaryAccuracy(0.25),
        ConfusionMatrix(0.0),
        F1Score(0.5, None, 3),
        LogLoss(True, True),
        MeanLoss(Huber(2.0)),
        R2Score(None),
        TopKCategoricalAccuracy(2),
        AveragePrecision(),
    ],
    ids=repr,
)
def test_fields_survive_json(metric):
    again = metrics.get(json.loads(json.dumps(metric.to_config())))
    assert again == metric and hash(again) == hash(metric)


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda: F1Score(average="mean"), r"average must be one of 'macro', 'micro', 'weighted', None"),
        (lambda: F1Score(average=[]), "average must be one of"),
        (lambda: F1Score(threshold="0.5"), "threshold must be a finite number"),
        (lambda: F1Score(threshold=float("nan")), "threshold must be a finite number"),
        (lambda: F1Score(class_id=-1), "class_id must be an integer of at least 0"),
        (lambda: F1Score(class_id=True), "class_id must be an integer of at least 0"),
        (lambda: R2Score("none"), "class_aggregation must be one of 'uniform_average'"),
        (lambda: TopKCategoricalAccuracy(0), "k must be an integer of at least 1"),
    ],
)
def test_invalid_fields_are_refused(make, words):
    with pytest.raises(ConfigError, match=words) as caught:
        make()
    assert caught.value.code == "config-value"


def test_a_target_that_is_no_class_of_the_outputs_is_not_among_the_largest():
    metric = metrics.SparseTopKCategoricalAccuracy(k=5)
    for outputs in (1, 2):
        p = np.linspace(0.1, 0.9, 4 * outputs).reshape(4, outputs)
        assert metric.rows(p, np.array([[0.0], [1.0], [2.0], [-1.0]])).tolist() == [True, outputs > 1, False, False]

"""What watches a metric with mode="auto" asks the metric whether larger is better, and trusts no name."""

import numpy as np
import pytest

from firesteel.callbacks import EarlyStopping, ModelCheckpoint, ReduceLROnPlateau
from firesteel.core.losses import LOSSES
from firesteel.core.metrics import METRICS, Ranking, RowMetric
from firesteel.errors import ConfigError
from firesteel.layers import Dense
from firesteel.metrics import AUC, ConfusionMatrix, F1Score, Precision, R2Score
from firesteel.models import Sequential, load_model

pytestmark = pytest.mark.filterwarnings("ignore:.* not registered")  # the metrics of a user's own below
LARGER = {
    **dict.fromkeys(["auc", "AUC", "average_precision", "binary_accuracy", "categorical_accuracy"], True),
    **dict.fromkeys(
        ["f1_score", "F1Score", "fbeta_score", "precision", "Precision", "r2_score", "recall", "Recall"], True
    ),
    **dict.fromkeys(["sparse_categorical_accuracy", "sparse_top_k_categorical_accuracy"], True),
    **dict.fromkeys(["top_k_categorical_accuracy", "accuracy", "acc", "cosine_similarity"], True),
    **dict.fromkeys(["true_positives", "true_negatives"], True),
    **dict.fromkeys(["false_positives", "false_negatives"], False),
    **dict.fromkeys(["log_loss", "binary_crossentropy", "categorical_crossentropy"], False),
    **dict.fromkeys(["sparse_categorical_crossentropy", "mae", "mean_absolute_error", "mse"], False),
    **dict.fromkeys(["mean_squared_error", "rmse", "root_mean_squared_error", "loss"], False),
    **dict.fromkeys(["bce", "crossentropy", "half_sse", "hinge", "huber", "kl_divergence", "kld"], False),
    **dict.fromkeys(["binary_focal_crossentropy", "categorical_focal_crossentropy"], False),
    "categorical_generalized_cross_entropy": False,
    **dict.fromkeys(["categorical_hinge", "mean_absolute_percentage_error", "mape"], False),
    **dict.fromkeys(["mean_squared_logarithmic_error", "msle"], False),
    **dict.fromkeys(["log_cosh", "poisson", "quantile", "squared_hinge", "standardized"], False),
    **dict.fromkeys(["sensitivity_at_specificity", "specificity_at_sensitivity"], True),
    **dict.fromkeys(["precision_at_recall", "recall_at_precision"], True),
    "confusion_matrix": None,
}
"""Written down here once more, so that a metric without a direction, or with a wrong one, is noticed."""
WATCHERS = {
    "EarlyStopping": lambda monitor, **more: EarlyStopping(monitor, **more),
    "ReduceLROnPlateau": lambda monitor, **more: ReduceLROnPlateau(monitor, **more),
    "ModelCheckpoint": lambda monitor, **more: ModelCheckpoint("m", monitor, save_best_only=True, **more),
}
X = np.random.default_rng(0).normal(size=(60, 3))
Y = (X[:, 0] > 0).astype(int)


class Accumulated(RowMetric):
    """A metric of a user's own, whose name has "acc" in it, and which says nothing of its direction."""

    def rows(self, p, y):
        return abs(p[:, 0] - y[:, 0])


class Good(Accumulated):
    larger_is_better = True


def compiled(metrics):
    model = Sequential([Dense(2, "softmax", input_dim=3)])
    model.compile("sgd", "sparse_categorical_crossentropy", metrics)
    return model


def fit(model, callback, **settings):
    return model.fit(X, Y, verbose=0, callbacks=callback, **{"validation_split": 0.25, "epochs": 1} | settings)


def test_every_metric_and_loss_says_its_direction():
    assert {name: metric.larger_is_better for name, metric in METRICS.items()} == {
        name: larger for name, larger in LARGER.items() if name not in ("acc", "loss")
    }
    assert {loss.larger_is_better for loss in LOSSES.values()} == {False}


@pytest.mark.parametrize("watcher", WATCHERS)
@pytest.mark.parametrize("name", LARGER)
def test_auto_goes_by_the_metric(name, watcher, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    metrics, alone = [name] if name != "loss" else [], isinstance(METRICS.get(name), Ranking)
    for monitor in (f"val_{name}", *([] if alone else [name])):
        callback = WATCHERS[watcher](monitor)
        if LARGER[name] is None:
            with pytest.raises(ConfigError, match="is not one number"):
                fit(compiled(metrics), callback)
            continue
        fit(compiled(metrics), callback)
        assert callback.larger is LARGER[name]
        for mode in ("min", "max"):
            callback = WATCHERS[watcher](monitor, mode=mode)
            fit(compiled(metrics), callback)
            assert callback.larger is (mode == "max")
    if alone:
        with pytest.raises(ConfigError, match=f"validation rows only: use 'val_{name}'"):
            fit(compiled(metrics), WATCHERS[watcher](name))


@pytest.mark.parametrize("watcher", WATCHERS)
@pytest.mark.parametrize(
    "metrics, monitor, said",
    [
        (["confusion_matrix"], "val_confusion_matrix", "is not one number"),
        (["confusion_matrix"], "confusion_matrix", "is not one number"),
        ([ConfusionMatrix()], "val_confusion_matrix", "is not one number"),
        ([F1Score(average=None)], "f1_score", "is not one number"),
        ([Precision(average=None)], "val_precision", "is not one number"),
        ([R2Score(class_aggregation=None)], "val_r2_score", "is not one number"),
        ([Accumulated()], "accumulated", "does not say whether larger is better: give mode='min'"),
        ([Accumulated()], "val_accumulated", "does not say whether larger is better"),
        (["acc"], "val_accuracy", "did you mean 'val_acc'"),
        (["accuracy"], "val_acurracy", "did you mean 'val_accuracy'"),
        (["accuracy"], "epoch", "the logs hold loss, accuracy, val_loss, val_accuracy"),
        (["accuracy"], "seconds", "the logs hold"),
    ],
)
def test_what_has_no_direction_is_refused_before_the_first_epoch(watcher, metrics, monitor, said):
    model = compiled(metrics)
    with pytest.raises(ConfigError, match=f"{watcher} monitors '{monitor}'.*{said}") as caught:
        fit(model, WATCHERS[watcher](monitor))
    assert caught.value.code == "config-monitor" and model.history is None and not model.state.step
    if "accumulated" not in monitor:
        with pytest.raises(ConfigError):
            fit(model, WATCHERS[watcher](monitor, mode="max"))


def test_validation_rows_are_asked_for_only_where_there_are_none():
    with pytest.raises(ConfigError, match="no validation rows: give validation_split or validation_data"):
        fit(compiled(["acc"]), EarlyStopping("val_accuracy"), validation_split=0.0)


def test_the_second_metric_of_a_name_has_a_direction_of_its_own():
    stop = EarlyStopping("val_good_1")
    fit(compiled([Good(), Accumulated(), Good()]), stop)
    assert stop.larger is True
    stop = EarlyStopping("val_auc_1")
    fit(compiled([AUC(), AUC()]), stop)
    assert stop.larger is True


def test_a_callback_that_is_used_again_asks_again():
    stop = EarlyStopping("val_good")
    fit(compiled([Good()]), stop)
    assert stop.larger is True

    class Good_(Accumulated):  # noqa: N801
        larger_is_better = False

    Good_.__name__ = "Good"
    fit(compiled([Good_()]), stop)
    assert stop.larger is False


def test_a_checkpoint_that_watches_nothing_needs_no_direction(tmp_path):
    fit(compiled(["confusion_matrix"]), ModelCheckpoint(tmp_path / "m", "val_confusion_matrix"))
    assert (tmp_path / "m").exists()


@pytest.mark.parametrize("name", ["AUC", "Precision", "Recall", "F1Score"])
def test_the_best_epoch_by_a_metric_in_capitals_is_kept(name, tmp_path):
    y = np.where(np.random.default_rng(1).random(60) < 0.2, 1 - Y, Y)
    model = compiled([name])
    keep = EarlyStopping(f"val_{name}", patience=30, restore_best_weights=True)
    best = ModelCheckpoint(tmp_path / "best", f"val_{name}", save_best_only=True)
    values = model.fit(
        X, y, epochs=12, verbose=0, validation_split=0.5, batch_size=4, callbacks=[keep, best]
    ).history[f"val_{name}"]
    assert len(set(values)) > 1 and keep.best_epoch == int(np.argmax(values))
    for kept in (model, load_model(tmp_path / "best")):
        assert kept.evaluate(X[30:], y[30:], verbose=0, return_dict=True)[name] == max(values)

"""The three sentences say what the figures say, and worry about what deserves it."""

import copy

import pytest

from firesteel.report.verdict import verdict

CLEAR = {
    "status": "finished",
    "task": "classification",
    "epochs": 20,
    "best_epoch": None,
    "evidence": {
        "set": "test",
        "rows": 2000,
        "of": 2000,
        "metric": "accuracy",
        "score": 0.97,
        "training": {"rows": 8000, "score": 0.98},
        "baseline": {"name": "always “1”", "score": 0.11},
        "linear": {"name": "logistic regression", "score": 0.92},
        "per_class": [{"class": "1", "rows": 1000, "recall": 0.96}, {"class": "2", "rows": 1000, "recall": 0.98}],
        "calibration": {"error": 0.012, "bins": [{"rows": 2000, "confidence": 0.982, "accuracy": 0.97}]},
        "layers": [{"name": "layer 0 (Dense)", "units": 64, "dead": 2}],
    },
}
NUMBERS = {
    **CLEAR,
    "task": "regression",
    "evidence": {
        **CLEAR["evidence"],
        "metric": "r2",
        "score": 0.84,
        "training": {"rows": 8000, "score": 0.86},
        "baseline": {"name": "always the mean", "score": -0.001},
        "linear": {"name": "linear regression", "score": 0.6},
        "outputs": [{"rmse": 3.14159}],
        "per_class": [],
    },
}


def changed(metrics, **evidence):
    metrics = copy.deepcopy(metrics)
    metrics["evidence"] |= evidence
    return metrics


def test_a_good_classifier():
    assert verdict(CLEAR) == (
        "The network classifies 97.0\u00a0% of 2,000 test rows correctly.",
        "For comparison, always predicting “1” is correct for 11.0\u00a0%, and a linear model reaches 92.0\u00a0%: "
        "the network's error is 38\u00a0% of the linear model's.",
        "No problems were found: results on new rows are close to those on training rows and confidence is off by "
        "only 1.2 points on average.",
    )


def test_a_good_regression():
    good, beside, worry = verdict(NUMBERS)
    assert good.startswith("The network explains 84.0\u00a0% of the variance of the target in 2,000 test rows")
    assert good.endswith("its root-mean-square error is 3.142.")
    assert "always predicting the mean explains nothing, and a linear model reaches 60.0\u00a0%" in beside
    assert "error is 40\u00a0% of the linear model's" in beside and worry.startswith("No problems")


@pytest.mark.parametrize(
    "metrics, words",
    [
        (
            changed(CLEAR, training={"rows": 8000, "score": 1.0}, score=0.9),
            "overfitting: 100.0\u00a0% on training rows",
        ),
        (changed(NUMBERS, training={"rows": 8000, "score": 0.99}), "overfitting"),
        (changed(CLEAR, rows=50, of=50), "few rows: the 97.0\u00a0% may be off by 5 points"),
        (
            changed(CLEAR, per_class=[{"class": "x", "rows": 25, "recall": 0.4}]),
            "it finds only 40.0\u00a0% of the 25 “x” rows",
        ),
        (
            changed(CLEAR, layers=[{"name": "layer 0 (Dense)", "units": 10, "dead": 6}]),
            "6 of the 10 units",
        ),
        (
            changed(CLEAR, calibration={"error": 0.2, "bins": [{"rows": 9, "confidence": 0.9, "accuracy": 0.7}]}),
            "confidence is off by 20 points on average, mostly too high",
        ),
        (changed(CLEAR, set="training"), "no rows were held out"),
        (changed(CLEAR, score=0.12), "the network has learned almost nothing"),
        (changed(CLEAR, linear={"name": "", "score": 0.99}), "a linear model is better"),
        (changed(CLEAR, linear={"name": "", "score": 0.969}), "a linear model, which is simpler, is about as good"),
        (CLEAR | {"status": "diverged"}, "training diverged"),
        (CLEAR | {"status": "interrupted"}, "training was interrupted"),
        (changed(CLEAR, score=None), "outputs are not finite"),
    ],
)
def test_every_problem_has_its_warning(metrics, words):
    assert words in verdict(metrics)[2]


def test_a_best_epoch_far_from_the_end_and_one_at_the_end():
    up = [{"epoch": k, "val_loss": 1.0 + abs(k - 3)} for k in range(20)]
    assert "lowest after epoch 4 of 20" in verdict(CLEAR, up)[2]
    assert "No problems" in verdict(CLEAR, up[:7])[2]
    assert "longer training may help" in verdict(CLEAR | {"best_epoch": 19}, up)[2]


def test_at_most_three_warnings():
    bad = changed(CLEAR, score=0.1, rows=20, set="training", training={"rows": 9, "score": 1.0}) | {
        "status": "diverged"
    }
    assert verdict(bad)[2].count(";") == 2


@pytest.mark.parametrize(
    "evidence, words",
    [
        ({"linear": None}, "error is 3\u00a0% of the baseline's"),
        ({"linear": {"name": "", "score": 0.972}}, "not clearly better than the linear model"),
        ({"linear": {"name": "", "score": 0.99}}, "the linear model is better than the network"),
        ({"score": 0.115}, "not clearly better than the baseline"),
        ({"score": None}, "a linear model reaches 92.0\u00a0%."),
    ],
)
def test_the_comparison_names_the_better_model(evidence, words):
    assert words in verdict(changed(CLEAR, **evidence))[1]


def test_training_in_progress_shows_its_epoch():
    metrics = {"status": "training", "epochs": 20}
    first, second, third = verdict(metrics, [{"epoch": 4, "loss": 0.31, "val_loss": 0.4}])
    assert first == "Training is in progress: epoch 5 of 20 is complete."
    assert second == "The loss is 0.31 on training rows and 0.4 on validation rows."
    assert "when training has ended" in third
    assert verdict(metrics)[0] == "Training is in progress: no epoch is complete yet."
    assert verdict(metrics, [{"epoch": 0, "loss": float("nan")}])[1] == "No loss is available yet."
    assert verdict(metrics | {"status": "diverged"})[0].startswith("Training has ended (diverged)")

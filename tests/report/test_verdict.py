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
        "The network names the right class for 97.0\u00a0% of 2,000 test rows that it never saw.",
        "For comparison, answering always “1” gets 11.0\u00a0% right and a linear model 92.0\u00a0%: the network "
        "leaves 38\u00a0% of the linear model's errors.",
        "Nothing stands out to worry about: it does nearly as well on new rows as on those it learned from and its "
        "stated confidence is off by only 1.2 points on average.",
    )


def test_a_good_regression():
    good, beside, worry = verdict(NUMBERS)
    assert good.startswith("The network explains 84.0\u00a0% of how the target varies in 2,000 test rows")
    assert good.endswith("misses by 3.142 (root mean square).")
    assert "always the mean explains nothing and a linear model 60.0\u00a0%" in beside
    assert "40\u00a0% of the linear model's errors" in beside and worry.startswith("Nothing")


@pytest.mark.parametrize(
    "metrics, words",
    [
        (changed(CLEAR, training={"rows": 8000, "score": 1.0}, score=0.9), "over-fitting: it reaches 100.0\u00a0%"),
        (changed(NUMBERS, training={"rows": 8000, "score": 0.99}), "over-fitting"),
        (changed(CLEAR, rows=50, of=50), "few rows: the 97.0\u00a0% may be off by 5 points"),
        (changed(CLEAR, per_class=[{"class": "x", "rows": 25, "recall": 0.4}]), "of the 25 rows of “x” only 40.0"),
        (
            changed(CLEAR, layers=[{"name": "layer 0 (Dense)", "units": 10, "dead": 6}]),
            "6 of the 10 units",
        ),
        (
            changed(CLEAR, calibration={"error": 0.2, "bins": [{"rows": 9, "confidence": 0.9, "accuracy": 0.7}]}),
            "it is more confident than right, by 20 points",
        ),
        (changed(CLEAR, set="training"), "no rows were held out"),
        (changed(CLEAR, score=0.12), "it has learned next to nothing"),
        (changed(CLEAR, linear={"name": "", "score": 0.99}), "a linear model does better"),
        (changed(CLEAR, linear={"name": "", "score": 0.969}), "a linear model, which is simpler, does about as well"),
        (CLEAR | {"status": "diverged"}, "training diverged"),
        (CLEAR | {"status": "interrupted"}, "interrupted before its end"),
        (changed(CLEAR, score=None), "outputs are not finite"),
    ],
)
def test_what_deserves_a_worry_gets_it(metrics, words):
    assert words in verdict(metrics)[2]


def test_a_best_epoch_far_from_the_end_and_one_at_the_end():
    up = [{"epoch": k, "val_loss": 1.0 + abs(k - 3)} for k in range(20)]
    assert "lowest after epoch 4 of 20" in verdict(CLEAR, up)[2]
    assert "Nothing" in verdict(CLEAR, up[:7])[2]
    assert "longer training may do better" in verdict(CLEAR | {"best_epoch": 19}, up)[2]


def test_at_most_three_worries():
    bad = changed(CLEAR, score=0.1, rows=20, set="training", training={"rows": 9, "score": 1.0}) | {
        "status": "diverged"
    }
    assert verdict(bad)[2].count(";") == 2


@pytest.mark.parametrize(
    "evidence, words",
    [
        ({"linear": None}, "leaves 3\u00a0% of the baseline's errors"),
        ({"linear": {"name": "", "score": 0.972}}, "not clearly better than the linear model"),
        ({"linear": {"name": "", "score": 0.99}}, "the linear model is the better one"),
        ({"score": 0.115}, "not clearly better than that"),
        ({"score": None}, "a linear model 92.0\u00a0%."),
    ],
)
def test_the_comparison_says_who_is_better(evidence, words):
    assert words in verdict(changed(CLEAR, **evidence))[1]


def test_training_under_way_says_how_far_it_is():
    metrics = {"status": "training", "epochs": 20}
    first, second, third = verdict(metrics, [{"epoch": 4, "loss": 0.31, "val_loss": 0.4}])
    assert first == "Training is under way: epoch 5 of 20 is done."
    assert second == "The loss is 0.31 on training rows and 0.4 on validation rows."
    assert "when training has ended" in third
    assert verdict(metrics)[0] == "Training is under way: no epoch is done yet."
    assert verdict(metrics, [{"epoch": 0, "loss": float("nan")}])[1] == "There is no loss to show yet."
    assert verdict(metrics | {"status": "diverged"})[0].startswith("Training has ended (diverged)")

"""A page gives one number for one question: scores are over all rows, and what is of a sample says so."""

import json
import re

import numpy as np
import pytest

from firesteel.layers import Dense
from firesteel.models import Sequential
from firesteel.report import RunFolder
from firesteel.report.page import render
from firesteel.report.verdict import verdict
from firesteel.tables import sampling

RNG = np.random.default_rng(0)
X = RNG.normal(size=(900, 4))
NOISE = RNG.normal(size=900)
TASKS = {
    "classes": ([Dense(8, "relu"), Dense(3, "softmax")], "sparse_categorical_crossentropy", ["accuracy"]),
    "one-hot": ([Dense(8, "relu"), Dense(3, "softmax")], "categorical_crossentropy", ["accuracy"]),
    "yes or no": ([Dense(8, "relu"), Dense(1, "sigmoid")], "binary_crossentropy", ["accuracy"]),
    "sides": ([Dense(8, "relu"), Dense(1, "tanh")], "hinge", ["accuracy"]),
    "labels": ([Dense(8, "relu"), Dense(2, "sigmoid")], "binary_crossentropy", ["accuracy"]),
    "numbers": ([Dense(8, "relu"), Dense(2)], "mse", ["r2_score"]),
}


def targets(task):
    classes = np.digitize(X[:, 0] + NOISE, [-0.5, 0.9])
    yes = X[:, 0] + NOISE > 0.3
    return {
        "classes": classes,
        "one-hot": np.eye(3)[classes],
        "yes or no": yes,
        "sides": np.where(yes, 1, -1),
        "labels": np.stack([yes, X[:, 1] > 0], axis=1),
        "numbers": np.stack([X[:, 0] + NOISE, 5 * X[:, 1] ** 2], axis=1),
    }[task]


@pytest.fixture
def few(monkeypatch):
    """Let samples hold 100 rows."""
    monkeypatch.setattr(sampling, "MOST_ROWS", 100)
    monkeypatch.setattr("firesteel.search.linear.FEWEST_ROWS", 100)


SETS = ["test", "validation", "training"]


@pytest.mark.parametrize(
    "task, kind",
    [
        pytest.param(task, kind, marks=[] if task == "classes" or kind == SETS[number % 3] else pytest.mark.slow)
        for number, task in enumerate(TASKS)
        for kind in SETS
    ],
)
def test_the_headline_is_the_score_of_all_rows_and_so_are_those_it_is_compared_with(few, tmp_path, task, kind):
    layers, loss, metrics = TASKS[task]
    y, w = targets(task), RNG.uniform(0.5, 2.0, 900)
    model = Sequential(layers)
    model.compile("adam", loss, metrics)
    rest = slice(500, None)
    test = (X[rest], y[rest], w[rest])
    run = RunFolder(tmp_path / "run", test if kind == "test" else None)
    held = test if kind == "validation" else None
    more = {"validation_data": held, "callbacks": [run]}
    model.fit(X[:500], y[:500], epochs=3, verbose=0, sample_weight=w[:500], **more)
    found = json.loads((run.folder / "metrics.json").read_text())
    evidence = found["evidence"]
    rows = slice(0, 500) if kind == "training" else rest
    assert (evidence["set"], evidence["rows"], evidence["sample"]) == (kind, len(X[rows]), 100)
    expected = model.evaluate(X[rows], y[rows], sample_weight=w[rows], verbose=0)[1]
    if task != "numbers":  # where r2 of several outputs is a mean weighted by their variance
        assert evidence["score"] == pytest.approx(expected, abs=1e-6)
        if kind != "training":
            assert found["scores"][kind][metrics[0]] == pytest.approx(evidence["score"], abs=1e-6)
    common = evidence["baseline"]["score"]
    linear = evidence["linear"]
    assert common <= linear["score"] + (0.2 if task == "numbers" else 0.05)
    assert "steps of L-BFGS over 100 rows" in linear["name"]
    if task == "classes":
        most = int(re.search("“(.)”", evidence["baseline"]["name"])[1])
        assert common == pytest.approx(w[rows][y[rows] == most].sum() / w[rows].sum(), abs=1e-6)
    page = re.sub("<[^>]*>", "", render(run.folder))
    assert f"The figures below are from a sample of 100 of the {len(X[rows])} {kind} rows" in page
    assert "means over the epoch, while the weights were still changing" in page
    assert f" of {len(X[rows])} " in verdict(found)[0] or f"in {len(X[rows])} " in verdict(found)[0]


def test_a_sample_of_all_rows_is_not_mentioned(tmp_path):
    layers, loss, metrics = TASKS["classes"]
    model, y = Sequential(layers), targets("classes")
    model.compile("adam", loss, metrics)
    run = RunFolder(tmp_path / "run", (X, y))
    model.fit(X, y, epochs=1, verbose=0, callbacks=[run])
    assert "sample" not in re.sub("<style.*</style>|<pre.*</pre>|<[^>]*>", "", render(run.folder), flags=re.S)


def test_figures_of_a_sample_say_so_in_the_three_sentences():
    evidence = {
        "set": "test",
        "rows": 60_000,
        "of": 60_000,
        "sample": 20_000,
        "metric": "accuracy",
        "score": 0.9,
        "training": {"rows": 20_000, "score": 0.9},
        "baseline": {"name": "always “1”", "score": 0.11},
        "linear": None,
        "per_class": [{"class": "x", "rows": 25, "recall": 0.4}],
        "calibration": {"error": 0.2, "bins": [{"rows": 9, "confidence": 0.9, "accuracy": 0.7}]},
        "layers": [],
    }
    metrics = {"status": "finished", "task": "classification", "epochs": 2, "best_epoch": None, "evidence": evidence}
    how, _, worry = verdict(metrics)
    assert "of 60,000 test rows" in how and "sample" not in how
    assert (
        "it finds only 40.0\u00a0% of the 25 “x” rows in a sample" in worry
        and "by 20 points on average in a sample" in worry
    )
    good = metrics | {"evidence": evidence | {"per_class": [], "calibration": {"error": 0.01, "bins": []}}}
    assert verdict(good)[2].endswith("by only 1.0 points on average in a sample.")
    old = metrics | {"evidence": {k: v for k, v in evidence.items() if k != "sample"} | {"rows": 10_000}}
    assert "of a sample of 10,000 of the 60,000 test rows" in verdict(old)[0]


def test_rows_that_are_too_wide_for_a_linear_model_are_named_and_the_run_is_whole(tmp_path, monkeypatch):
    monkeypatch.setattr("firesteel.search.linear.WORK", 1e3)
    layers, loss, metrics = TASKS["classes"]
    model, y = Sequential(layers), targets("classes")
    model.compile("adam", loss, metrics)
    run = RunFolder(tmp_path / "run")
    model.fit(X, y, epochs=1, verbose=0, callbacks=[run])
    evidence = json.loads((run.folder / "metrics.json").read_text())["evidence"]
    assert evidence["linear"] is None and evidence["baseline"]["score"] == pytest.approx(np.bincount(y).max() / 900)
    assert "A linear model is left out, because rows of 4 numbers are too wide." in render(run.folder)

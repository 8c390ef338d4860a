"""Run folders for tests: what a training leaves, written from a small fit."""

import json
from pathlib import Path

import numpy as np

from firesteel.datasets import load_digits
from firesteel.layers import Dense
from firesteel.models import Sequential
from firesteel.report.evidence import DisplayNames, SampledRows, examine, task_of

CONFIG = '[data]\ntrain = "digits"\n\n[training]\nepochs = 12\n'


def rows(name, x, y, weight=None):
    y = np.asarray(y, float)
    y = y[:, None] if y.ndim == 1 else y
    return SampledRows(
        name, np.asarray(x, float), y, np.ones(len(x)) if weight is None else np.asarray(weight, float), len(x)
    )


def write(folder, model, history, training, test, names=None, status="finished", **more):
    """Write a run folder; without `test` as it is while training goes on.  Return what metrics.json holds."""
    names = names or DisplayNames()
    metrics = {
        "format": 1,
        "status": status,
        "task": task_of(model, training.y),
        "epochs": len(history.rows),
        "best_epoch": history.best,
        "parameters": model.count_params(),
        "seconds": sum(row["seconds"] for row in history.rows),
        "engine": "in process",
        "shards": 1,
        "rows": len(training.x),
        "fingerprint": None,
        "class_names": names.classes,
        "feature_names": names.features,
        "picture": names.picture,
    }
    if test is not None:
        scores = model.evaluate(test.x, test.y, verbose=0, return_dict=True, sample_weight=test.weight)
        metrics |= {
            "fingerprint": model.fingerprint(),
            "scores": {"test": {"rows": len(test.x), **scores}},
            "evidence": examine(model, test, training, names),
        }
    metrics |= more
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "metrics.json").write_text(json.dumps(metrics, allow_nan=False))
    (folder / "history.jsonl").write_text(history.to_jsonl())
    (folder / "config.toml").write_text(CONFIG)
    (folder / "env.json").write_text(json.dumps({"python": "3.11", "versions": {"numpy": np.__version__}}))
    return metrics


def digits(folder: Path, **more):
    (x, y), (x_test, y_test) = load_digits()
    x, x_test = x.reshape(len(x), -1) / 16, x_test.reshape(len(x_test), -1) / 16
    model = Sequential([Dense(32, activation="relu"), Dense(10, activation="softmax")])
    model.compile("adam", "sparse_categorical_crossentropy", ["accuracy"])
    history = model.fit(x, y, epochs=12, validation_split=0.1, verbose=0)
    training, test = rows("training", x, y), rows("test", x_test, y_test)
    return write(folder, model, history, training, test, DisplayNames(picture=(8, 8)), **more)


def numbers(folder: Path, **more):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(500, 4))
    y = np.stack([np.sin(2 * x[:, 0]) + x[:, 1], 40 * x[:, 1] ** 2], axis=1)
    model = Sequential([Dense(32, activation="tanh"), Dense(2)])
    model.compile("adam", "mse", ["mae"])
    history = model.fit(x[:400], y[:400], epochs=30, validation_split=0.2, verbose=0)
    names = DisplayNames(classes=["height", "price"], features=["a", "b", "c", "d"])
    return write(
        folder, model, history, rows("training", x[:400], y[:400]), rows("test", x[400:], y[400:]), names, **more
    )


def labels(folder: Path, names=None, **more):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(600, 5))
    y = np.stack([x[:, 0] > 0, x[:, 0] * x[:, 1] > 0, x[:, 2] > 1], axis=1)
    model = Sequential([Dense(16, activation="relu"), Dense(3, activation="sigmoid")])
    model.compile("adam", "binary_crossentropy", ["binary_accuracy"])
    history = model.fit(x[:400], y[:400], epochs=10, validation_split=0.2, verbose=0)
    return write(
        folder, model, history, rows("training", x[:400], y[:400]), rows("test", x[400:], y[400:]), names, **more
    )

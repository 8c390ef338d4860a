"""Evidence agrees with scikit-learn, respects weights, and survives what is unusual."""

import json

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, confusion_matrix, precision_recall_fscore_support, r2_score

from firesteel.errors import ConfigError
from firesteel.layers import BatchNormalization, Dense, Embedding, Flatten, LeakyReLU, Normalization, ReLU
from firesteel.losses import BinaryCrossentropy, SparseCategoricalCrossentropy
from firesteel.models import Sequential
from firesteel.report.evidence import DisplayNames, examine, task_of
from tests.report.runs import rows

X = np.random.default_rng(0).normal(size=(300, 4))
CLASSES = np.digitize(X[:, 0] + 0.3 * X[:, 1] ** 2, [-0.3, 0.6])


def fitted(layers, loss, x, y, epochs=5, **fit):
    model = Sequential(layers)
    model.compile("adam", loss)
    model.fit(x, y, epochs=epochs, verbose=0, **fit)
    return model


def plain(found):
    """The evidence as JSON keeps it; raises for NaN."""
    return json.loads(json.dumps(found, allow_nan=False))


def three(y=CLASSES, loss="sparse_categorical_crossentropy"):
    return fitted([Dense(16, activation="relu"), Dense(3, activation="softmax")], loss, X, y, 20)


# Classes


@pytest.mark.parametrize("weighted", [False, True])
def test_classes_as_scikit_learn_counts_them(weighted):
    w = np.random.default_rng(1).integers(0, 4, 300) if weighted else np.ones(300)
    model = three()
    found = plain(examine(model, rows("test", X, CLASSES, w), rows("training", X, CLASSES)))
    told = model.predict(X).argmax(axis=1)
    assert found["score"] == pytest.approx(accuracy_score(CLASSES, told, sample_weight=w))
    assert found["confusion"] == confusion_matrix(CLASSES, told, sample_weight=w).tolist()
    figures = precision_recall_fscore_support(CLASSES, told, sample_weight=w, zero_division=0)
    for name, expected in zip(("precision", "recall", "f1"), figures, strict=False):
        assert [row[name] for row in found["per_class"]] == pytest.approx(expected)
    bins = found["calibration"]["bins"]
    error = sum(b["rows"] * abs(b["confidence"] - b["accuracy"]) for b in bins) / w.sum()
    assert found["calibration"]["error"] == pytest.approx(error)
    assert sum(b["rows"] for b in bins) == w.sum()
    assert found["wrong"] == np.count_nonzero((told != CLASSES) & (w > 0))


def test_one_hot_targets_tell_what_class_numbers_tell():
    one_hot = np.eye(3)[CLASSES]
    model = three(one_hot, "categorical_crossentropy")
    other = Sequential.from_bytes(model.to_bytes())
    other.compile("adam", "sparse_categorical_crossentropy")
    found = examine(model, rows("test", X, one_hot), rows("training", X, one_hot))
    numbered = examine(other, rows("test", X, CLASSES), rows("training", X, CLASSES))
    shuffled = [one.pop("importance") for one in (found, numbered)]  # rows of other keys, in another order
    assert found == numbered and shuffled[0]["inputs"][0]["index"] == shuffled[1]["inputs"][0]["index"]


def test_the_linear_model_knows_a_line_and_the_baseline_the_largest_class():
    y = (X @ [1, -2, 0.5, 0] > 0.4).astype(int)
    model = fitted([Dense(1, activation="sigmoid", input_dim=4)], "bce", X, y, 1)
    found = examine(model, rows("test", X, y), rows("training", X, y), DisplayNames(classes=["no", "yes"]))
    assert found["linear"]["score"] > 0.97
    assert found["baseline"] == {"name": "always “no”", "score": pytest.approx(np.mean(y == 0))}
    heavy = rows("training", X, y, np.where(y == 1, 5, 1))
    assert examine(model, rows("test", X, y), heavy)["baseline"]["name"] == "always “1”"


def test_mistakes_come_surest_first_with_the_inputs_that_matter():
    model = three()
    test = rows("test", X, CLASSES)
    found = examine(model, test, rows("training", X, CLASSES), DisplayNames(classes=["low", "mid", "high"]))
    sure = [mistake["confidence"] for mistake in found["mistakes"]]
    assert sure == sorted(sure, reverse=True) and 0 < len(sure) <= 24
    order = [item["index"] for item in found["importance"]["inputs"]]
    assert order[0] == 0
    chances = model.predict(X)
    for mistake in found["mistakes"]:
        truth, told = (["low", "mid", "high"].index(mistake[key]) for key in ("truth", "predicted"))
        assert truth == CLASSES[mistake["row"]] != told == chances[mistake["row"]].argmax()
        assert mistake["confidence"] == pytest.approx(chances[mistake["row"], told])
        assert mistake["input"] == pytest.approx(X[mistake["row"], order], rel=1e-3)


@pytest.mark.parametrize("outputs", [1, 3])
def test_logits_tell_what_their_probabilities_tell(outputs):
    y = CLASSES if outputs > 1 else (CLASSES > 1)
    link, loss = ("softmax", SparseCategoricalCrossentropy) if outputs > 1 else ("sigmoid", BinaryCrossentropy)
    model = fitted([Dense(outputs, activation=link)], loss(), X, y)
    bare = Sequential([Dense(outputs, input_dim=4)])
    bare.compile("adam", loss(from_logits=True))
    bare.set_weights(model.get_weights())
    test, training = rows("test", X, y), rows("training", X, y)
    one, other = (examine(each, test, training) for each in (model, bare))
    assert one["confusion"] == other["confusion"]
    assert one["calibration"]["error"] == pytest.approx(other["calibration"]["error"], abs=1e-6)


def test_scores_that_are_no_probabilities_have_no_calibration():
    y = np.where(X[:, 0] > 0, 1, -1)
    model = fitted([Dense(1)], "hinge", X, y, 80)
    found = plain(examine(model, rows("test", X, y), rows("training", X, y)))
    assert found["score"] > 0.9 and "calibration" not in found
    assert [row["class"] for row in found["per_class"]] == ["0", "1"]
    assert found["mistakes"][0]["confidence"] is None


@pytest.mark.parametrize(
    "loss, activation, y, task",
    [
        ("half_sse", "sigmoid", np.eye(3)[CLASSES], "classification"),
        ("mse", "linear", np.eye(3)[CLASSES], "classification"),
        ("mse", "sigmoid", X[:, :3] > 0, "multilabel"),
        ("bce", "sigmoid", X[:, :3] > 0, "multilabel"),
        ("bce", "sigmoid", np.eye(3)[CLASSES], "multilabel"),
        ("bce", "sigmoid", np.abs(np.tanh(X[:, :3])), "regression"),
        ("mse", "sigmoid", X[:, :1] > 0, "classification"),
        ("mse", "linear", X[:, :1] > 0, "regression"),
        ("mse", "linear", X[:, :3], "regression"),
        ("categorical_crossentropy", "softmax", np.full((300, 3), 1 / 3), "classification"),
        ("squared_hinge", "linear", np.sign(X[:, :3]), "multilabel"),
    ],
)
def test_loss_and_targets_tell_the_task(loss, activation, y, task):
    y = np.asarray(y, float)
    model = fitted([Dense(y.shape[1], activation=activation)], loss, X, y, 1)
    assert task_of(model, y) == task
    found = plain(examine(model, rows("test", X, y), rows("training", X, y)))
    assert found["metric"] == ("r2" if task == "regression" else "accuracy")


# Labels and numbers


def test_labels_are_counted_separately():
    y = np.stack([X[:, 0] > 0, X[:, 1] > 1], axis=1)
    model = fitted([Dense(2, activation="sigmoid")], "bce", X, y, 40)
    found = plain(examine(model, rows("test", X, y), rows("training", X, y), DisplayNames(classes=["warm", "wet"])))
    told = model.predict(X) > 0.5
    assert found["score"] == pytest.approx((told == y).mean())
    assert found["baseline"]["score"] == pytest.approx(np.maximum(y.mean(axis=0), 1 - y.mean(axis=0)).mean())
    assert [row["class"] for row in found["per_class"]] == ["warm", "wet"]
    assert [row["rows"] for row in found["per_class"]] == y.sum(axis=0).tolist()
    assert "confusion" not in found and {m["truth"] for m in found["mistakes"]} <= {"yes", "no"}


@pytest.mark.parametrize("outputs", [1, 2])
def test_numbers_as_scikit_learn_measures_them(outputs):
    y = np.stack([X[:, 0] * 3 + 1, 100 * X[:, 1] * X[:, 2]], axis=1)[:, :outputs]
    w = np.random.default_rng(2).uniform(0, 2, 300)
    model = fitted([Dense(16, activation="tanh"), Dense(outputs)], "mse", X, y, 10)
    found = plain(examine(model, rows("test", X, y, w), rows("training", X, y)))
    told = model.predict(X)
    expected = r2_score(y, told, sample_weight=w, multioutput="variance_weighted")
    assert found["score"] == pytest.approx(expected, abs=1e-5)
    each = r2_score(y, told, sample_weight=w, multioutput="raw_values")
    assert [output["r2"] for output in found["outputs"]] == pytest.approx(each, abs=1e-5)
    assert [output["name"] for output in found["outputs"]] == (
        ["target"] if outputs == 1 else ["output 0", "output 1"]
    )
    assert sum(found["outputs"][0]["histogram"]["counts"]) == pytest.approx(w.sum())
    if outputs == 1:
        assert found["linear"]["score"] > 0.99


def test_the_linear_model_does_not_mind_the_targets_scale():
    y = 1e4 + 100 * X @ [1.0, 2.0, 3.0, 4.0]
    model = fitted([Dense(1, input_dim=4)], "mse", X, y, 1)
    found = examine(model, rows("test", X, y), rows("training", X, y))
    assert found["linear"]["score"] > 0.999 and found["score"] < 0


def test_an_autoencoder_is_not_compared_with_a_copy():
    x = np.abs(np.tanh(X))
    model = fitted([Dense(2, activation="relu"), Dense(4, activation="sigmoid")], "mse", x, x)
    found = plain(examine(model, rows("test", x[:50], x[:50]), rows("training", x, x), DisplayNames(picture=(2, 2))))
    assert found["linear"] is None and len(found["outputs"]) == 4
    worst = found["mistakes"][0]
    assert len(worst["input"]) == 4 and len(found["first_layer"]) == 2
    np.testing.assert_allclose(worst["made"], model.predict(x[worst["row"]][None])[0], rtol=1e-3)


# What it looks at


def test_importance_finds_the_inputs_that_count():
    model = three()
    found = examine(
        model, rows("test", X, CLASSES), rows("training", X, CLASSES), DisplayNames(features=list("abcd"))
    )
    importance = found["importance"]
    drops = {item["name"]: item["drop"] for item in importance["inputs"]}
    assert drops["a"] > 0.3 > drops["b"] and abs(drops["d"]) < 0.05
    assert (importance["metric"], importance["rows"], importance["repeats"]) == ("loss", 300, 5)
    assert list(drops.values()) == sorted(
        (row["importance"] for row in model.importances(X, CLASSES).rows), reverse=True
    )


def test_importance_is_the_loss_of_pictures_and_nothing_where_nothing_changes():
    x = X.copy()
    x[:, 3] = 7.0
    model = fitted([Dense(3, activation="softmax")], "sparse_categorical_crossentropy", x, CLASSES, 20)
    found = examine(model, rows("test", x, CLASSES), rows("training", x, CLASSES), DisplayNames(picture=(2, 2)))
    drops = [item["drop"] for item in found["importance"]["inputs"]]
    assert found["importance"]["metric"] == "loss"
    assert drops[0] > 0.1 and drops[3] == 0
    assert np.shape(found["first_layer"]) == (3, 4)
    assert found["first_layer"][0] == pytest.approx(model.get_weights()[0][:, 0], rel=1e-3)


def test_importance_of_many_inputs_and_weights_takes_a_bounded_share(monkeypatch):
    monkeypatch.setattr("firesteel.tables.importance.WORK", 1e6)
    x = np.random.default_rng(3).normal(size=(400, 60))
    y = x[:, 50] > 0
    model = fitted([Dense(20, activation="relu"), Dense(1, activation="sigmoid")], "bce", x, y, 20)
    importance = examine(model, rows("test", x, y), rows("training", x, y))["importance"]
    assert (importance["rows"], importance["repeats"], importance["tried"]) == (256, 1, 20)
    assert importance["inputs"][0]["index"] == 50


# Inside


def test_dead_units_and_norms_of_each_layer():
    model = Sequential([Dense(3, input_dim=4), ReLU(), BatchNormalization(), Dense(2), LeakyReLU(), Dense(1)])
    model.compile("adam", "mse")
    w = model.get_weights()
    w[1][:] = [-100, 100, 0]
    model.set_weights(w)
    test = rows("test", X, X[:, 0])
    layers = examine(model, test, test)["layers"]
    assert [layer["name"] for layer in layers] == [
        *["layer 0 (Dense)", "layer 1 (ReLU)", "layer 2 (BatchNormalization)"],
        *["layer 3 (Dense)", "layer 5 (Dense)"],
    ]
    assert [layer["dead"] for layer in layers] == [None, 1, None, None, None]
    assert [layer["parameters"] for layer in layers] == [15, 0, 12, 8, 3]
    assert layers[2]["weight_norm"] == pytest.approx(np.sqrt(3))  # gamma alone: averages are not weights


def test_the_gradient_is_that_of_the_weighted_mean_loss():
    y, w = X @ [1.0, 2, 3, 4], np.random.default_rng(4).uniform(0, 2, 300)
    model = Sequential([Dense(1, input_dim=4)], dtype="float64")
    model.compile("adam", "mse")
    (layer,) = examine(model, rows("test", X, y, w), rows("training", X, y))["layers"]
    r = w * (model.predict(X)[:, 0] - y) * 2 / w.sum()
    assert layer["gradient_norm"] == pytest.approx(np.hypot(np.linalg.norm(r @ X), r.sum()))


# The unusual


def test_the_same_again_to_the_bit():
    model, test, training = three(), rows("test", X, CLASSES), rows("training", X, CLASSES)
    assert json.dumps(examine(model, test, training)) == json.dumps(examine(model, test, training))


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize(
    "loss, activation, y",
    [
        ("sparse_categorical_crossentropy", "softmax", np.zeros(300)),
        ("bce", "sigmoid", np.ones(300)),
        ("mse", "linear", np.full(300, 3.0)),
        ("bce", "sigmoid", np.ones((300, 2))),
    ],
)
def test_one_class_a_constant_target_or_few_rows(loss, activation, y, count):
    outputs = 3 if activation == "softmax" else 1 if y.ndim == 1 else y.shape[1]
    model = fitted([Dense(4, activation="relu"), Dense(outputs, activation=activation)], loss, X, y, 1)
    plain(examine(model, rows("test", X[:count], y[:count]), rows("training", X[:count], y[:count])))
    plain(examine(model, rows("test", X, y), rows("training", X, y)))


def test_rows_that_weigh_nothing_count_as_rows():
    model = three()
    nothing = rows("test", X, CLASSES, np.zeros(300))
    assert plain(examine(model, nothing, nothing))["rows"] == 300


def test_outputs_beyond_all_numbers_leave_no_nan():
    model = Sequential([Dense(1, input_dim=4)])
    model.compile("adam", "mse")
    model.set_weights([np.full((4, 1), 3e38), [3e38]])
    test = rows("test", 1e3 * X, X[:, 0])
    found = plain(examine(model, test, test))
    assert found["outputs"][0]["rmse"] is None and found["score"] is None


def test_categories_and_layers_that_only_shape():
    x = np.random.default_rng(5).integers(0, 6, (200, 2))
    y = x[:, 0] > 2
    model = fitted([Embedding(6, 3), Flatten(), Dense(1, activation="sigmoid")], "bce", x, y, 30)
    found = plain(examine(model, rows("test", x, y), rows("training", x, y), DisplayNames(picture=(1, 2))))
    assert "first_layer" not in found
    normal = fitted([Normalization(), Dense(1, activation="sigmoid")], "bce", x, y)
    assert (
        len(examine(normal, rows("test", x, y), rows("training", x, y), DisplayNames(picture=(1, 2)))["first_layer"])
        == 1
    )


@pytest.mark.parametrize(
    "names, message",
    [
        (DisplayNames(features=["a"]), "feature_names has 1 names"),
        (DisplayNames(classes=["a", "b"]), "class_names has 2 names"),
        (DisplayNames(picture=(3, 3)), "picture="),
    ],
)
def test_names_must_fit(names, message):
    model = three()
    with pytest.raises(ConfigError, match=message):
        examine(model, rows("test", X, CLASSES), rows("training", X, CLASSES), names)

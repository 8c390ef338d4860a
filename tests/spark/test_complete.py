"""All that a network may be made of trains on DataFrames to the bits that it has in process; metrics to 1e-12."""

import numpy as np
import pytest
from pyspark.sql import functions as F

from firesteel.callbacks import (
    BackupAndRestore,
    BoldDriver,
    Callback,
    EarlyStopping,
    LearningRateScheduler,
    ReduceLROnPlateau,
)
from firesteel.core.layers import ACTIVATIONS
from firesteel.core.losses import LOSSES
from firesteel.core.metrics import METRICS
from firesteel.core.optimizers import OPTIMIZERS
from firesteel.layers import (
    BatchNormalization,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    GaussianNoise,
    Input,
    LayerNormalization,
    Normalization,
)
from firesteel.losses import BinaryCrossentropy, SparseCategoricalCrossentropy
from firesteel.metrics import (
    AUC,
    AveragePrecision,
    ConfusionMatrix,
    F1Score,
    Precision,
    PrecisionAtRecall,
    Recall,
    SpecificityAtSensitivity,
)
from firesteel.models import Sequential
from firesteel.optimizers import SGD, Adam, AdamW
from firesteel.optimizers.schedules import CosineDecay
from tests.spark.conftest import Rows, make_rows

HELD = make_rows(300, seed=9)


def trained(x, settings, validation=None):
    """A model of these settings after its fit, and its history without times and places."""
    settings = dict(settings)
    model = Sequential(list(settings.pop("layers")))
    model.compile(settings.pop("optimizer", "adam"), settings.pop("loss"), settings.pop("metrics", None))
    if "callbacks" in settings:
        settings["callbacks"] = settings["callbacks"]()
    model.fit(*x, **{"epochs": 3, "verbose": 0, "validation_data": validation} | settings)
    return model, model.history.history


def compare(spark, rows, held=None, label=None, order=None, **settings):
    """Train on arrays and on a frame in another order; return both models."""
    here = (rows.x, rows.y), None if held is None else (held.x, held.y)
    frame = rows.frame(spark).repartition(3)
    there = (frame,), None if held is None else held.frame(spark)
    one, history = trained(here[0], settings, here[1])
    other, far = trained(there[0], settings, there[1])
    assert other.fingerprint() == one.fingerprint()
    assert list(far) == list(history)
    for name in history:
        np.testing.assert_allclose(far[name], history[name], rtol=1e-12, atol=1e-15, err_msg=name)
    return one, other


RICH = [
    Normalization(),
    Dense(8, "gelu", kernel_constraint="max_norm", bias_regularizer="l2"),
    BatchNormalization(0.9),
    Dropout(0.1),
    Dense(6, "silu", kernel_regularizer="l1_l2"),
    LayerNormalization(),
    GaussianNoise(0.05),
    Dense(3, "softmax"),
]


@pytest.mark.parametrize("shards", [pytest.param(1, marks=pytest.mark.slow), 3])
def test_a_rich_network_with_all_that_watches_it(spark, rows, shards, tmp_path):
    watched = [
        *["accuracy", "log_loss", "mse"],
        *[F1Score(), Precision(average=None), Recall(class_id=1), ConfusionMatrix(), AUC(), AveragePrecision()],
        *[PrecisionAtRecall(0.6), SpecificityAtSensitivity(0.6)],
    ]
    one, other = compare(
        spark,
        rows,
        HELD,
        layers=RICH,
        optimizer=AdamW(0.01, 0.01, global_clipnorm=0.5, exclude_from_weight_decay="bias"),
        loss=SparseCategoricalCrossentropy(label_smoothing=0.1),
        metrics=watched,
        class_weight={1: 2.0},
        shards=shards,
        epochs=8,
        callbacks=lambda: [
            ReduceLROnPlateau(patience=0, min_delta=0.5, factor=0.7),
            EarlyStopping(patience=4, restore_best_weights=True),
            BackupAndRestore(tmp_path),
        ],
    )
    assert one.layers[0].mean == other.layers[0].mean and len(set(one.history.history["learning_rate"])) > 2
    mine = one.evaluate(HELD.x, HELD.y, verbose=0, return_dict=True)
    theirs = other.evaluate(HELD.frame(spark), verbose=0, return_dict=True)
    assert list(mine) == list(theirs)
    for name in mine:
        np.testing.assert_allclose(theirs[name], mine[name], rtol=1e-12, err_msg=name)
    found = [row.prediction for row in other.predict(HELD.frame(spark)).orderBy("id").select("prediction").collect()]
    np.testing.assert_array_equal(np.array(found, np.float32), one.predict(HELD.x))


def test_embeddings_of_categories(spark):
    rng = np.random.default_rng(2)
    rows = Rows(rng.integers(0, 9, (400, 6)).astype(float), rng.integers(0, 3, 400), np.ones(400))
    compare(
        spark,
        rows,
        layers=[Input((6,)), Embedding(9, 3), Flatten(), Dense(3, "softmax")],
        loss="sparse_categorical_crossentropy",
    )


@pytest.mark.parametrize(
    "name",
    [
        name if name == "nadam" else pytest.param(name, marks=pytest.mark.slow)
        for name, one in OPTIMIZERS.items()
        if not one.searches
    ],
)
def test_every_optimizer_with_a_schedule(spark, rows, name):
    schedule = CosineDecay(0.01, 40, warmup_target=0.05, warmup_steps=5)
    compare(
        spark,
        rows,
        layers=[Dense(5, "relu"), Dense(3, "softmax")],
        optimizer=OPTIMIZERS[name].at_rate(schedule),
        loss="sparse_categorical_crossentropy",
        shards=2,
        epochs=2,
    )


@pytest.mark.parametrize(
    "settings",
    [
        {"optimizer": "lbfgs", "epochs": 8},
        pytest.param(
            {"optimizer": SGD(1.0, momentum=0.5), "callbacks": lambda: BoldDriver("seed"), "strategy": "gradient"},
            marks=pytest.mark.slow,
        ),
        {"optimizer": SGD(5.0), "callbacks": lambda: BoldDriver("seed"), "strategy": "gradient", "batch_size": 300},
        {"optimizer": Adam(1.0), "callbacks": lambda: BoldDriver(), "epochs": 6},
        {"optimizer": SGD(9.0), "callbacks": lambda: LearningRateScheduler(lambda epoch: 0.1 / (epoch + 1))},
    ],
    ids=["lbfgs", "seed", "seed by samples", "safe", "scheduler"],
)
def test_what_searches_or_drives_the_rate(spark, rows, settings):
    layers = [Dense(5, "tanh", kernel_regularizer="l2"), Dense(3, "softmax")]
    compare(spark, rows, layers=layers, loss="sparse_categorical_crossentropy", shards=2, **settings)


def test_every_activation(spark, rows):
    names = [name for name in ACTIVATIONS if name not in ("exponential",)]
    layers = [Dense(4, name, kernel_initializer="he_normal") for name in names]
    compare(spark, rows, layers=[*layers, Dense(3, "softmax")], loss="sparse_categorical_crossentropy", epochs=1)


IN_SHORT = (LOSSES["kld"], LOSSES["hinge"], LOSSES["standardized"])
"""Losses of unlike targets and outputs, to try all of them."""


class OneHot(Rows):
    """Rows whose labels are arrays: y (n, 3)."""

    def frame(self, spark, *form):
        label = F.array(*[(F.col("label") == number).cast("double") for number in range(3)])
        return Rows(self.x, self.y.argmax(axis=1), self.w).frame(spark, *form).withColumn("label", label)


@pytest.mark.parametrize(
    "loss",
    [pytest.param(one, marks=[] if one in IN_SHORT else pytest.mark.slow) for one in dict.fromkeys(LOSSES.values())],
    ids=repr,
)
def test_every_loss(spark, rows, loss):
    outputs = 3 if loss.exclusive else 1
    y = np.minimum(rows.y, 1) if loss.targets in ("unit", "sign") else rows.y
    ends = "softmax" if loss.targets == "class" else "sigmoid" if loss.natural in ("sigmoid", "softmax") else "linear"
    ends = "softmax" if loss.exclusive else ends
    kind = OneHot if loss.exclusive and loss.targets != "class" else Rows
    y = np.eye(3)[rows.y] if kind is OneHot else y
    metrics = ["mae"] if loss.targets != "class" else ["accuracy"]
    layers = [Dense(4, "tanh"), Dense(outputs, ends)]
    compare(spark, kind(rows.x, y, rows.w), layers=layers, loss=loss, metrics=metrics, epochs=2)


def test_every_metric_is_the_same_on_several_shards(spark, rows):
    binary = Rows(rows.x, np.minimum(rows.y, 1), rows.w)
    fit_for = [name for name in METRICS if "categorical" not in name and "top_k" not in name]
    compare(
        spark,
        binary,
        Rows(HELD.x, np.minimum(HELD.y, 1), HELD.w),
        layers=[Dense(4, "relu"), Dense(1)],
        loss=BinaryCrossentropy(from_logits=True),
        metrics=fit_for,
        shards=3,
        epochs=2,
    )


def test_callbacks_hear_the_same(spark, rows):
    class Diary(Callback):
        def __init__(self):
            self.logged = []

        def on_epoch_end(self, epoch, logs=None):
            self.logged.append((epoch, dict(logs)))

    diaries = [Diary(), Diary()]
    layers, loss = [Dense(4, "tanh"), Dense(3, "softmax")], "sparse_categorical_crossentropy"
    for x, diary in zip(((rows.x, rows.y), (rows.frame(spark),)), diaries, strict=True):
        trained(x, {"layers": layers, "loss": loss, "callbacks": lambda diary=diary: diary, "epochs": 5})
    assert diaries[0].logged == diaries[1].logged

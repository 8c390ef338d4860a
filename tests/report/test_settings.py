"""A training's settings as TOML: complete, and the way back makes the same specs."""

import tomllib

import numpy as np
import pytest

from firesteel.callbacks import (
    BoldDriver,
    Callback,
    EarlyStopping,
    LambdaCallback,
    ReduceLROnPlateau,
    TerminateOnNaN,
)
from firesteel.core import layers, losses, metrics, optimizers
from firesteel.layers import Dense, Dropout
from firesteel.models import Sequential
from firesteel.optimizers import SGD
from firesteel.optimizers.schedules import ExponentialDecay
from firesteel.report import settings
from firesteel.report.settings import described, to_toml

X = np.linspace(-1, 1, 64)[:, None]
FAMILIES = {"layers": (layers.get, layers.LAYERS), "losses": (losses.get, losses.LOSSES)}
FAMILIES |= {"metrics": (metrics.get, metrics.METRICS), "optimizers": (optimizers.get, optimizers.OPTIMIZERS)}
MEMBERS = [(family, name) for family, (_, names) in FAMILIES.items() for name in names]


class Hear(Callback):
    """Keeps what a training's callbacks are told."""

    def on_train_begin(self, logs=None):
        self.told = described(self.model, self.params, False, {}, None)


def told(callbacks=(), optimizer="adam", metrics=("accuracy",), **fit):
    model = Sequential([Dense(4, "relu", input_dim=1), Dropout(0.1), Dense(2, "softmax")])
    model.compile(optimizer, "sparse_categorical_crossentropy", list(metrics))
    hear = Hear()
    model.fit(X, X[:, 0] > 0, **{"epochs": 2, "verbose": 0} | fit, callbacks=[*callbacks, hear])
    return tomllib.loads(to_toml(hear.told)), model


@pytest.mark.parametrize("family, name", MEMBERS)
def test_every_spec_survives_the_way_through_toml(family, name):
    get, names = FAMILIES[family]
    text = to_toml({"x": settings.plain(names[name])})
    assert get(tomllib.loads(text)["x"]) == names[name]


def test_a_training_is_described_whole():
    made, model = told(batch_size=16, seed=3, validation_split=0.25, class_weight={0: 2.0})
    assert made["data"] == {"train": "arrays", "rows": 48, "inputs": 1}
    assert [layers.get(config) for config in made["model"]["layers"]] == model.layers
    assert made["model"]["dtype"] == "float32" and "initial" not in made["model"]
    training = made["training"]
    assert optimizers.get(training["optimizer"]) == model.optimizer
    assert training["metrics"] == ["accuracy"] and training["class_weight"] == {"0": 2.0}
    assert training["loss"]["type"] == "SparseCategoricalCrossentropy"
    numbers = {"epochs": 2, "batch_size": 16, "seed": 3, "validation_split": 0.25, "shards": 1, "initial_epoch": 0}
    assert numbers.items() <= training.items() and training["shuffle"] is True
    assert training["strategy"]["type"] == "Average" and made["engine"] == {"name": "local"}


def test_rates_that_change_and_weights_that_balance_are_written_too():
    made, model = told(optimizer=SGD(ExponentialDecay(0.1, 10, 0.5)), class_weight="balanced")
    assert optimizers.get(made["training"]["optimizer"]) == model.optimizer
    assert made["training"]["class_weight"] == "balanced"


def test_averages_of_weights_are_written_too():
    made, model = told(optimizer=SGD(0.1, use_ema=True, ema_momentum=0.5))
    assert optimizers.get(made["training"]["optimizer"]) == model.optimizer != SGD(0.1, use_ema=True)
    assert "evaluate_averaged" not in made["training"]
    made, _ = told(optimizer=SGD(0.1, use_ema=True), evaluate_averaged=False)
    assert made["training"]["evaluate_averaged"] is False


def test_numpy_s_numbers_are_written_as_others_are_and_no_metrics_are_none():
    weights = {np.int64(0): np.float32(2.0)}
    made, _ = told(metrics=(), class_weight=weights, validation_split=np.float32(0.25))
    training = made["training"]
    assert training["class_weight"] == {"0": 2.0} and training["validation_split"] == 0.25
    assert training["metrics"] == [] and not {"callbacks", "initial"} & training.keys()


def test_callbacks_that_decide_are_written_and_code_is_named():
    stop, plateau = EarlyStopping("loss", patience=3), ReduceLROnPlateau("loss", factor=0.5)
    made, _ = told([stop, plateau, TerminateOnNaN(), LambdaCallback()])
    assert made["training"]["callbacks"] == [
        {"type": "EarlyStopping", "monitor": "loss", "patience": 3},
        {"type": "ReduceLROnPlateau", "monitor": "loss", "factor": 0.5},
        {"type": "TerminateOnNaN"},
    ]
    assert made["training"]["code"] == ["LambdaCallback", "Hear"]
    made, _ = told([BoldDriver()])
    assert made["training"]["callbacks"] == [{"type": "BoldDriver"}]

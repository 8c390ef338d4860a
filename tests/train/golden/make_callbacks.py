"""Writes callbacks.json: what Keras 3.15.1's EarlyStopping and ReduceLROnPlateau make of sequences of values.

Run with Keras installed: KERAS_BACKEND=jax python tests/train/golden/make_callbacks.py
"""

import json
from pathlib import Path

import keras
import numpy as np

RNG = np.random.default_rng(0)


def model():
    made = keras.Sequential([keras.layers.Input((1,)), keras.layers.Dense(1)])
    made.compile(keras.optimizers.SGD(0.1))
    return made


def early(values, settings):
    callback, trained = keras.callbacks.EarlyStopping(monitor="loss", **settings), model()
    callback.set_model(trained)
    callback.on_train_begin()
    for epoch, value in enumerate(values):
        callback.on_epoch_end(epoch, {"loss": value})
        if trained.stop_training:
            break
    return {"epochs": epoch + 1, "best": int(callback.best_epoch)}


def plateau(values, settings):
    callback, trained = keras.callbacks.ReduceLROnPlateau(monitor="loss", **settings), model()
    callback.set_model(trained)
    callback.on_train_begin()
    rates = []
    for epoch, value in enumerate(values):
        callback.on_epoch_begin(epoch)
        rates.append(float(trained.optimizer.learning_rate))
        callback.on_epoch_end(epoch, {"loss": value})
    return {"rates": rates}


EARLY = [
    {"patience": 0},
    {"patience": 2},
    {"patience": 3, "min_delta": 0.1},
    {"patience": 3, "mode": "max"},
    {"patience": 2, "baseline": 0.5},
    {"patience": 2, "start_from_epoch": 4},
    {"patience": 4, "mode": "max", "baseline": 0.4, "min_delta": 0.05},
]
PLATEAU = [
    {"patience": 2, "factor": 0.5},
    {"patience": 0, "factor": 0.5},
    {"patience": 1, "factor": 0.5, "cooldown": 2},
    {"patience": 2, "factor": 0.2, "min_lr": 0.01, "min_delta": 0.05},
    {"patience": 1, "factor": 0.5, "mode": "max", "cooldown": 1},
]

cases = []
for _ in range(6):
    values = [round(float(v), 3) for v in np.linspace(0.8, 0.3, 20) + RNG.normal(0, 0.2, 20)]
    cases += [{"callback": "EarlyStopping", "values": values, "settings": s, **early(values, s)} for s in EARLY]
    cases += [
        {"callback": "ReduceLROnPlateau", "values": values, "settings": s, **plateau(values, s)} for s in PLATEAU
    ]
Path(__file__).with_name("callbacks.json").write_text(json.dumps(cases) + "\n")

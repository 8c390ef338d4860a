"""Networks of several shapes, and the bits that their training ends in; as a program on a master, it prints them."""

import hashlib
import json
import sys
from typing import Any

import numpy as np
from pyspark.sql import DataFrame, SparkSession

from firesteel.layers import BatchNormalization, Dense, Dropout, Embedding, Flatten, Input, LayerNormalization
from firesteel.models import Sequential
from firesteel.optimizers import Adam
from firesteel.spark import session

CLASSES = "sparse_categorical_crossentropy"
SHAPES: dict[str, dict[str, Any]] = {
    "one layer": {"layers": [Dense(3, "softmax")], "optimizer": "sgd", "loss": CLASSES, "shards": 1},
    "deep, with dropout": {
        "layers": [Dense(16, "relu"), Dropout(0.2), Dense(8, "gelu"), LayerNormalization(), Dense(3, "softmax")],
        "loss": CLASSES,
        "shards": 4,
    },
    "wide, with batch statistics": {
        "layers": [Dense(700, "relu"), BatchNormalization(), Dense(150, "tanh"), Dense(3, "softmax")],
        "loss": CLASSES,
        "shards": 2,
    },
    "numbers, in float64": {
        "layers": [Dense(12, "tanh", kernel_regularizer="l2"), Dense(1)],
        "optimizer": "lbfgs",
        "loss": "mse",
        "strategy": "gradient",
        "batch_size": None,
        "shards": 2,
        "dtype": "float64",
    },
    "categories": {
        "layers": [Input((20,)), Embedding(9, 3), Flatten(), Dense(3, "softmax")],
        "optimizer": "nadam",
        "loss": CLASSES,
        "shards": 3,
    },
    "averaged weights": {
        "layers": [Dense(16, "relu"), BatchNormalization(), Dense(3, "softmax", kernel_constraint="non_neg")],
        "optimizer": Adam(0.01, use_ema=True, ema_momentum=0.9),
        "loss": CLASSES,
        "shards": 2,
    },
}


def made(rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows of 20 whole numbers 0..8, and classes 0..2."""
    rng = np.random.default_rng(7)
    x = rng.integers(0, 9, (rows, 20)).astype(np.float64)
    return x, (x @ rng.normal(size=(20, 3))).argmax(axis=1)


def framed(spark: SparkSession, x: np.ndarray, y: np.ndarray) -> DataFrame:
    data = zip(x.tolist(), y.tolist(), strict=True)
    return spark.createDataFrame(list(data), "features array<double>, label long").repartition(5)


def bits(name: str, *rows: Any, epochs: int = 2) -> str:
    """Return the SHA-256 of the weights, of the optimiser's state and of the losses in hexadecimal."""
    settings = dict(SHAPES[name])
    model = Sequential(list(settings.pop("layers")), dtype=settings.pop("dtype", "float32"))
    model.compile(settings.pop("optimizer", "adam"), settings.pop("loss"))
    history = model.fit(*rows, **{"epochs": epochs, "batch_size": 64, "verbose": 0, "seed": 3} | settings)
    state, digest = model.state, hashlib.sha256()
    for array in (model.theta, state.theta, state.slots, state.outer):
        digest.update(array.tobytes())
    digest.update(repr((state.step, state.epoch, [loss.hex() for loss in history.history["loss"]])).encode())
    return digest.hexdigest()


def main(master: str, rows: int) -> None:
    spark = session(master, conf={"spark.ui.enabled": "false", "spark.executor.memory": "1g"})
    x, y = made(rows)
    frame = framed(spark, x, y).persist()
    print(json.dumps({name: bits(name, frame) for name in SHAPES}))
    spark.stop()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))

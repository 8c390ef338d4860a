"""A script with a layer of its own, as a notebook has it; run with a master, a kind of session and a folder.

It prints as JSON what came out on executors and in this process.
"""

import json
import sys

import numpy as np

import firesteel
from firesteel.extending import Param
from firesteel.initializers import Ones
from firesteel.layers import Dense, Layer
from firesteel.models import Sequential
from firesteel.spark import NeuralNetworkRegressor, session
from tests.spark.conftest import EVERY_ROW, LAYERED, executors


class Gain(Layer):
    """y = power g x, with one learned g for each column."""

    power: int = 1

    def params(self, *inputs):
        return {"gain": Param(inputs[0], Ones())}

    def apply(self, p, x, rng=None):
        x = x * x.dtype.type(self.power)

        def pull(d_y, g, wants_x):
            np.sum(x * d_y, axis=0, out=g["gain"])
            return d_y * p["gain"] * x.dtype.type(self.power) if wants_x else None

        return x * p["gain"], pull


def trained(*rows):
    """The fingerprint of a fit."""
    model = Sequential([Gain(2), Dense(3, "tanh"), Gain(), Dense(1)])
    model.compile("adam", "mse")
    model.fit(*rows, epochs=2, shards=2, verbose=0)
    return model


def main(master, kind, folder):
    """Fit, score and save on executors."""
    x = np.random.default_rng(0).normal(size=(200, 3)).astype(np.float32)
    y = x @ np.array([1.0, 2.0, -1.0], np.float32)
    if kind == "connect":
        from pyspark.sql import SparkSession

        spark = SparkSession.builder.remote(master).getOrCreate()
    else:
        spark = session(master, conf={"spark.ui.enabled": "false", "spark.executor.memory": "1g"})
    rows = zip(x.tolist(), y.tolist(), strict=True)
    frame = spark.createDataFrame(rows, "features array<float>, label double").repartition(3)
    layers = [Gain(2), Dense(3, "tanh"), Gain(), Dense(1)]
    with executors():
        there = trained(frame)
        scored = np.stack([row.prediction for row in there.predict(frame.select("features")).collect()])
        stage = NeuralNetworkRegressor(**EVERY_ROW | LAYERED | {"layers": layers, "maxIter": 2}).fit(frame)
    outputs = [(row.prediction, stage.predict(row.features)) for row in stage.transform(frame).collect()]
    stage.save(folder)
    here = trained(x, y)
    found = {"there": there.fingerprint(), "here": here.fingerprint(), "stage": stage.network.fingerprint()}
    found["scored"] = float(np.abs(np.sort(scored[:, 0]) - np.sort(here.predict(x)[:, 0])).max())
    found["outputs"] = max(abs(a - b) for a, b in outputs)
    print(json.dumps(found))
    spark.stop()


if __name__ == "__main__":
    firesteel.register(Gain)
    main(*sys.argv[1:])

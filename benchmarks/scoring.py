"""Scoring rows on Spark: `transform` compared with Spark ML's perceptron, and with `predict` in process.

Needs MNIST.  `local[2]`, with its rows in Spark's cache, written to Spark's `noop` sink; medians of nine runs, in
turn. Vectors are sparse, as Spark's LIBSVM reader returns them, or dense.
"""

import functools
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from pyspark.ml.classification import MultilayerPerceptronClassifier
from pyspark.ml.feature import VectorAssembler
from pyspark.ml.functions import array_to_vector

from firesteel.datasets import load_mnist
from firesteel.layers import Dense
from firesteel.models import Sequential
from firesteel.spark import NeuralNetworkClassifier, NeuralNetworkClassifierModel, session

REPEATS, WARM = 9, 3
SMALL, LARGE = [784, 64, 10], [784, 512, 512, 10]


def rows(spark: Any, x: np.ndarray, kind: str) -> Any:
    """Return the pixels as a cached column of vectors, sparse or dense, of arrays or of bytes, with a label."""
    cells = [row.tobytes() for row in x] if kind == "bytes" else list((x / 255).astype(np.float32))
    frame = spark.createDataFrame(pd.DataFrame({"features": cells, "label": np.arange(len(x)) % 10.0})).repartition(4)
    if "vectors" in kind:
        frame = frame.withColumn("features", array_to_vector(frame.features.cast("array<double>")))
    if kind == "sparse vectors":
        sparse = VectorAssembler(inputCols=["features"], outputCol="sparse").transform(frame)
        frame = sparse.select(sparse.sparse.alias("features"), "label")
    frame.persist().count()
    return frame


def rates(count: int, runs: dict[str, Callable[[], Any]]) -> dict[str, float]:
    """Return the rows per second of each, after some runs to warm up the JVM."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for repeat in range(WARM + REPEATS):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            if repeat >= WARM:
                seconds[name].append(time.perf_counter() - start)
    return {name: count / statistics.median(times) for name, times in seconds.items()}


def main() -> None:
    (x, _), _ = load_mnist()
    x = x.reshape(len(x), -1)
    spark = session("local[2]", conf={"spark.driver.memory": "6g"})
    frames = {kind: rows(spark, x, kind) for kind in ("sparse vectors", "dense vectors", "arrays", "bytes")}

    def scored(model: Any, frame: Any) -> None:
        model.transform(frame).select("prediction", "probability").write.format("noop").mode("overwrite").save()

    print(f"784-64-10, {len(x):,} rows of MNIST, local[2], medians of {REPEATS}")
    for kind in ("sparse vectors", "dense vectors"):
        some = frames[kind].limit(2_000).persist()
        models = {
            "theirs": MultilayerPerceptronClassifier(layers=SMALL, maxIter=1, seed=1).fit(some),
            "ours": NeuralNetworkClassifier(layers=SMALL, maxIter=1, seed=1, members=1).fit(some),
        }
        found = rates(
            len(x), {name: functools.partial(scored, model, frames[kind]) for name, model in models.items()}
        )
        ratio = found["ours"] / found["theirs"]
        print(f"  Spark ML's perceptron, {kind:14} {found['theirs']:10,.0f} rows a second")
        print(f"  firesteel, {kind:26} {found['ours']:10,.0f} rows a second, {ratio:.2f} times as many   (aim: 2)")

    network = Sequential([Dense(512, "relu", input_dim=784), Dense(512, "relu"), Dense(10, "softmax")])
    network.compile("adam", "sparse_categorical_crossentropy")
    large = NeuralNetworkClassifierModel.fromNetwork(network)
    runs: dict[str, Callable[[], Any]] = {"predict": lambda: network.predict(x)}
    for kind, frame in frames.items():
        runs[kind] = functools.partial(scored, large, frame)
    found = rates(len(x), runs)
    print("784-512-512-10, the same rows")
    whole = found.pop("predict")
    print(f"  predict, in process       {whole:10,.0f} rows a second")
    for kind, rate in found.items():
        words = f"transform, {kind}"
        print(f"  {words:25} {rate:10,.0f} rows a second, {rate / whole:.0%} of it   (aim: at least 60 %)")
    spark.stop()

"""Scoring rows on Spark: `transform` beside Spark ML's perceptron, and beside `predict` in process.

`local[2]`, rows of 784 pixels in Spark's cache, written to Spark's `noop` sink; medians of five passes, in turn.
"""

import functools
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from pyspark.ml.classification import MultilayerPerceptronClassifier
from pyspark.ml.functions import array_to_vector

from firesteel.layers import Dense
from firesteel.models import Sequential
from firesteel.spark import NeuralNetworkClassifier, NeuralNetworkClassifierModel, session

REPEATS = 5
SMALL, LARGE = [784, 64, 10], [784, 512, 512, 10]
ROWS = 60_000


def rows(spark: Any, x: np.ndarray, kind: str = "vectors") -> Any:
    """Return the pixels as a cached column of vectors, of arrays or of bytes, with a label."""
    cells = [row.tobytes() for row in x] if kind == "bytes" else list((x / 255).astype(np.float32))
    frame = spark.createDataFrame(pd.DataFrame({"features": cells, "label": np.arange(len(x)) % 10.0})).repartition(4)
    if kind == "vectors":
        frame = frame.withColumn("features", array_to_vector(frame.features.cast("array<double>")))
    frame.persist().count()
    return frame


def rates(count: int, runs: dict[str, Callable[[], Any]]) -> dict[str, float]:
    """Return the rows a second of each, after one run that does not count."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for repeat in range(REPEATS + 1):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            if repeat:
                seconds[name].append(time.perf_counter() - start)
    return {name: count / statistics.median(times) for name, times in seconds.items()}


def main() -> None:
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (ROWS, 784), dtype=np.uint8)
    spark = session("local[2]", conf={"spark.driver.memory": "6g"})
    frame = rows(spark, x)
    few = frame.limit(2_000).persist()
    theirs = MultilayerPerceptronClassifier(layers=SMALL, maxIter=1, seed=1).fit(few)
    ours = NeuralNetworkClassifier(layers=SMALL, maxIter=1, seed=1).fit(few)

    def scored(model: Any, frame: Any) -> None:
        model.transform(frame).select("prediction", "probability").write.format("noop").mode("overwrite").save()

    found = rates(len(x), {"theirs": lambda: scored(theirs, frame), "ours": lambda: scored(ours, frame)})
    ratio = found["ours"] / found["theirs"]
    print(f"784-64-10, {ROWS:,} rows of vectors, local[2], medians of {REPEATS}")
    print(f"  Spark ML's perceptron  {found['theirs']:10,.0f} rows a second")
    print(f"  firesteel              {found['ours']:10,.0f} rows a second, {ratio:.2f} times as many   (aim: 2)")

    network = Sequential([Dense(512, "relu", input_dim=784), Dense(512, "relu"), Dense(10, "softmax")])
    network.compile("adam", "sparse_categorical_crossentropy")
    large = NeuralNetworkClassifierModel.fromNetwork(network)
    runs: dict[str, Callable[[], Any]] = {"predict": lambda: network.predict(x)}
    for kind in ("vectors", "arrays", "bytes"):
        runs[kind] = functools.partial(scored, large, frame if kind == "vectors" else rows(spark, x, kind))
    found = rates(len(x), runs)
    print("784-512-512-10, the same rows")
    whole = found.pop("predict")
    print(f"  predict, in process    {whole:10,.0f} rows a second")
    for kind, rate in found.items():
        words = f"transform, {kind}"
        print(f"  {words:22} {rate:10,.0f} rows a second, {rate / whole:.0%} of it   (aim: at least 60 %)")
    spark.stop()

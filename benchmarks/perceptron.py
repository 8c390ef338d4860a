"""Beside Spark ML's MultilayerPerceptronClassifier: MNIST, 784-64-10, `local[2]`, one warm JVM, the same cached rows.

Needs MNIST.  Epochs and iterations are fixed beforehand: Spark's 100 are its default, ours are EPOCHS.  Each figure
is the median of three fits, taken in turn; Spark's blockSize is the better one of 128 and 1024.
"""

import statistics
import time
from typing import Any

import numpy as np
import pyspark
from pyspark.ml.classification import MultilayerPerceptronClassifier
from pyspark.ml.evaluation import MulticlassClassificationEvaluator
from pyspark.ml.functions import array_to_vector
from pyspark.sql import DataFrame

from firesteel.datasets import load_mnist
from firesteel.spark import NeuralNetworkClassifier, session

LAYERS, REPEATS = [784, 64, 10], 3
ITERATIONS, EPOCHS = 100, 6
GOAL = 0.967


def cached(spark: Any, x: np.ndarray, y: np.ndarray) -> DataFrame:
    """Return pixels between 0 and 1 as a column of vectors, with labels, in Spark's cache."""
    import pandas as pd

    rows = pd.DataFrame({"pixels": list((x.reshape(len(x), -1) / 255).astype(np.float32)), "label": y.astype(float)})
    frame = spark.createDataFrame(rows).repartition(4)
    frame = frame.select(array_to_vector(frame.pixels.cast("array<double>")).alias("features"), "label").persist()
    frame.count()
    return frame


def main() -> None:
    spark = session("local[2]", conf={"spark.driver.memory": "6g"})
    (x, y), (x_test, y_test) = load_mnist()
    train, test = cached(spark, x, y), cached(spark, x_test, y_test)
    right = MulticlassClassificationEvaluator(metricName="accuracy")

    def timed(estimator: Any) -> tuple[float, float]:
        start = time.perf_counter()
        model = estimator.fit(train)
        seconds = time.perf_counter() - start
        return seconds, right.evaluate(model.transform(test))

    def theirs(block: int, iterations: int = ITERATIONS) -> Any:
        return MultilayerPerceptronClassifier(layers=LAYERS, maxIter=iterations, blockSize=block, seed=1)

    def ours(epochs: int = EPOCHS) -> Any:
        return NeuralNetworkClassifier(layers=LAYERS, maxIter=epochs, batchSize=128, seed=1)

    for warm in (theirs(128, 3), theirs(1024, 3), ours(2), ours(2)):
        timed(warm)
    blocks = {block: timed(theirs(block))[0] for block in (128, 1024)}
    block = min(blocks, key=lambda size: blocks[size])
    found: dict[str, list[tuple[float, float]]] = {"theirs": [], "ours": []}
    for _ in range(REPEATS):
        found["theirs"].append(timed(theirs(block)))
        found["ours"].append(timed(ours()))
    spark.stop()
    print(f"MNIST, {len(x):,} rows, 784-64-10, local[2], Spark {pyspark.__version__}, medians of {REPEATS}")
    tried = ", ".join(f"{size}: {seconds:.1f} s" for size, seconds in blocks.items())
    seconds, accuracy = (
        {name: statistics.median(one[part] for one in fits) for name, fits in found.items()} for part in (0, 1)
    )
    print(
        f"  Spark ML, {ITERATIONS} iterations    {seconds['theirs']:6.1f} s   test accuracy {accuracy['theirs']:.4f}"
        f"   (blockSize {block}; once each, {tried})"
    )
    print(
        f"  firesteel, {EPOCHS} passes        {seconds['ours']:6.1f} s   test accuracy {accuracy['ours']:.4f}"
        f"   looking at and packing the rows included"
    )
    print(f"  firesteel takes {seconds['ours'] / seconds['theirs']:.2f} of the time   (aim: at most 0.2, at {GOAL})")

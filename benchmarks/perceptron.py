"""Compared with Spark ML's MultilayerPerceptronClassifier on the same cached rows: MNIST, 784-64-10, `local[2]`.

Needs MNIST.  The numbers of epochs and iterations are fixed beforehand: 100 is Spark's default, EPOCHS is
firesteel's.  Each figure is the median of three fits in one warm JVM, run in turn; Spark's blockSize is the better
of 128 and 1024. If torch is installed, two more figures follow: torch on the driver after toPandas, and
TorchDistributor on CPU.
"""

import importlib.util
import os
import statistics
import tempfile
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


def torch_epochs(x: np.ndarray, y: np.ndarray, epochs: int, spread: bool = False) -> Any:
    """Train the same network with torch; return a function that predicts classes.

    spread: whether this is one of several processes, each with a share of the rows.
    """
    import torch
    from torch import nn

    torch.manual_seed(1)
    model: Any = nn.Sequential(nn.Linear(784, 64), nn.ReLU(), nn.Linear(64, 10))
    batch = 128
    if spread:
        import torch.distributed as dist

        dist.init_process_group("gloo")
        rank, count = dist.get_rank(), dist.get_world_size()
        x, y, batch = x[rank::count], y[rank::count], batch // count
        model = nn.parallel.DistributedDataParallel(model)
    rows, labels = torch.from_numpy(x), torch.from_numpy(y)
    optimizer, loss = torch.optim.Adam(model.parameters(), 0.001), nn.CrossEntropyLoss()
    for _ in range(epochs):
        order = torch.randperm(len(rows))
        for at in range(0, len(rows), batch):
            some = order[at : at + batch]
            optimizer.zero_grad()
            loss(model(rows[some]), labels[some]).backward()
            optimizer.step()
    return lambda x: model(torch.from_numpy(x)).argmax(1).numpy()


def brought(frame: DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows as arrays on the driver."""
    rows = frame.toPandas()
    return np.stack([row.toArray() for row in rows.features]).astype(np.float32), rows.label.to_numpy(np.int64)


def distributed(folder: str, epochs: int) -> float:
    """Train in a process of TorchDistributor, on rows from a folder; return the test accuracy."""
    x, y, x_test, y_test = (np.load(f"{folder}/{name}.npy") for name in ("x", "y", "x_test", "y_test"))
    return float((torch_epochs(x, y, epochs, True)(x_test) == y_test).mean())


def for_the_record(train: DataFrame, test: DataFrame) -> None:
    """Print the time and accuracy of torch."""
    if importlib.util.find_spec("torch") is None:
        print("  torch is not installed and not measured")
        return
    from pyspark.ml.torch.distributor import TorchDistributor

    x_test, y_test = brought(test)
    start = time.perf_counter()
    x, y = brought(train)
    moved = time.perf_counter() - start
    accuracy = float((torch_epochs(x, y, EPOCHS)(x_test) == y_test).mean())
    seconds = time.perf_counter() - start
    print(
        f"  toPandas and torch, {EPOCHS} epochs{seconds:6.1f} s   test accuracy {accuracy:.4f}"
        f"   ({moved:.1f} s of it toPandas)"
    )
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        for name, part in zip(("x", "y", "x_test", "y_test"), (*brought(train), x_test, y_test), strict=True):
            np.save(f"{folder}/{name}.npy", part)
        os.environ.setdefault("OMP_NUM_THREADS", "1")  # like torchrun, which prints a long warning
        accuracy = TorchDistributor(2, local_mode=True, use_gpu=False).run(distributed, folder, EPOCHS)
        seconds = time.perf_counter() - start
    print(f"  TorchDistributor, 2 processes{seconds:5.1f} s   test accuracy {accuracy:.4f}   toPandas included")


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
        named = {"activation": "relu", "dropout": 0.0, "solver": "adam", "batchSize": 128, "validationFraction": 0.0}
        return NeuralNetworkClassifier(layers=LAYERS, maxIter=epochs, seed=1, **named)

    for warm in (theirs(128, 3), theirs(1024, 3), ours(2), ours(2)):
        timed(warm)
    blocks = {block: timed(theirs(block))[0] for block in (128, 1024)}
    block = min(blocks, key=lambda size: blocks[size])
    found: dict[str, list[tuple[float, float]]] = {"theirs": [], "ours": []}
    for _ in range(REPEATS):
        found["theirs"].append(timed(theirs(block)))
        found["ours"].append(timed(ours()))
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
        f"  firesteel, {EPOCHS} epochs        {seconds['ours']:6.1f} s   test accuracy {accuracy['ours']:.4f}"
        f"   validation and packing included"
    )
    print(
        f"  firesteel takes {seconds['ours'] / seconds['theirs']:.3f} of the time   (aim: at most 0.125, at {GOAL})"
    )
    for_the_record(train, test)
    spark.stop()

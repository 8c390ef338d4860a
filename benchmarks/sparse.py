"""Sparse rows: 1 million rows of 50 non-zeros in 2^18 columns, compared with the same non-zeros in 2^12 columns.

Each runs in a child process.  Seconds are processor time of all threads, so other work on the machine does not
count.  The rows have the interface of a scipy matrix, without scipy; the network has 32 relu units and 2 classes,
Adam and batches of 32.
"""

import sys
import time
from dataclasses import dataclass

import numpy as np

from benchmarks.children import child, peak, reply
from firesteel.callbacks import LambdaCallback
from firesteel.core.seeds import rng_for
from firesteel.layers import Dense
from firesteel.models import Sequential

ROWS, EACH, EPOCHS = 1_000_000, 50, 1
ON_SPARK = 200_000
WIDTHS = (1 << 12, 1 << 18)


@dataclass
class Matrix:
    """The part of scipy's sparse matrices that firesteel uses."""

    indptr: np.ndarray
    indices: np.ndarray
    data: np.ndarray
    shape: tuple[int, int]

    @property
    def dtype(self) -> np.dtype:
        return self.data.dtype

    def tocsr(self) -> "Matrix":
        return self


def rows(width: int, count: int) -> tuple[Matrix, np.ndarray]:
    """Return rows with EACH non-zeros, one in each range of columns, and classes that depend on them."""
    rng = rng_for(0, "sparse", 0)
    stretch = width // EACH
    drawn = rng.random((count, EACH), np.float32)
    indices = (drawn * stretch).astype(np.int32)
    indices += np.arange(EACH, dtype=np.int32) * stretch
    values = 1 + 3 * rng.random(count * EACH, np.float32)
    y = (drawn[:, :10] > 0.5).sum(axis=1) > 5
    pointers = np.arange(0, count * EACH + 1, EACH)
    return Matrix(pointers, indices.reshape(-1), values, (count, width)), y


def one(width: int, count: int) -> None:
    """Fit and predict; reply with seconds, peak memory and accuracy."""
    x, y = rows(width, count)
    before = peak()
    model = Sequential([Dense(32, activation="relu"), Dense(2, activation="softmax")])
    model.compile("adam", "sparse_categorical_crossentropy", ["accuracy"])
    times, epochs = [time.process_time()], []
    watch = LambdaCallback(
        on_epoch_begin=lambda epoch, logs: epochs.append(-time.process_time()),
        on_epoch_end=lambda epoch, logs: epochs.append(time.process_time()),
    )
    history = model.fit(x, y, epochs=EPOCHS, verbose=0, callbacks=[watch])
    times.append(time.process_time())
    model.predict(x)
    times.append(time.process_time())
    start, fitted, predicted = times
    epoch = sum(epochs) / EPOCHS
    reply(
        {
            "pack": fitted - start - EPOCHS * epoch,
            "epoch": epoch,
            "predict": predicted - fitted,
            "total": predicted - start,
            "rows": before,
            "peak": peak(),
            "accuracy": history.rows[-1]["accuracy"],
        }
    )


def on_spark() -> None:
    """Print the seconds of sparse rows on `local[2]`, hashed from text that Spark generates."""
    from pyspark.ml.feature import HashingTF  # imported here: the memory of child processes is measured
    from pyspark.sql import functions as F

    from firesteel.spark import NeuralNetworkClassifier, session

    spark = session("local[2]")
    words = F.transform(F.sequence(F.lit(1), F.lit(EACH)), lambda k: F.xxhash64("id", k).cast("string"))
    text = spark.range(ON_SPARK).select(words.alias("words"), (F.col("id") % 2).alias("label"))
    taken = {}
    for width in (WIDTHS[0], *WIDTHS):  # the first one warms up the JVM
        made = HashingTF(numFeatures=width, inputCol="words", outputCol="features").transform(text).persist()
        made.count()
        classifier = NeuralNetworkClassifier(
            hiddenLayers=[32], dropout=0.0, batchSize=32, maxIter=2, validationFraction=0.0, seed=1
        )
        start = time.perf_counter()
        model = classifier.fit(made)
        fitted = time.perf_counter()
        model.transform(made).agg(F.sum("prediction")).collect()
        taken[width] = fitted - start, time.perf_counter() - fitted
        made.unpersist()
    print(f"on Spark, {ON_SPARK:,} rows, seconds of a fit of 2 epochs and of transform")
    for width, (fit, transform) in taken.items():
        print(f"{width:7,} {fit:11.1f} {transform:9.1f}")
    narrow, wide = (sum(taken[width]) for width in WIDTHS)
    print(f"wide / narrow: {wide / narrow:.2f}")


def main(count: int = ROWS) -> None:
    found = {width: child("benchmarks.sparse", width, count) for width in WIDTHS}
    print(f"{count:,} rows of {EACH} non-zeros, {EPOCHS} epochs")
    print("columns   packing s   epoch s   predict s   all s   rows alone MB   peak MB   accuracy")
    for width, it in found.items():
        print(
            f"{width:7,} {it['pack']:11.1f} {it['epoch']:9.1f} {it['predict']:11.1f} {it['total']:7.1f} "
            f"{it['rows']:15,.0f} {it['peak']:9,.0f} {it['accuracy']:10.3f}"
        )
    narrow, wide = (found[width] for width in WIDTHS)
    print(f"wide / narrow: time {wide['total'] / narrow['total']:.2f}, memory {wide['peak'] / narrow['peak']:.2f}")
    on_spark()


if __name__ == "__main__":
    one(int(sys.argv[1]), int(sys.argv[2]))

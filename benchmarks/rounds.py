"""A round on Spark against an empty job, and packing: `local[2]`, 60,000 rows of 784 bytes, 784-64-10, batch 128."""

import statistics
import time

import numpy as np
import pyarrow as pa

from firesteel.layers import Dense, Rescaling
from firesteel.models import Sequential
from firesteel.spark import session


def main() -> None:
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (60_000, 784), dtype=np.uint8)
    table = pa.table({"features": [row.tobytes() for row in x], "label": rng.integers(0, 10, len(x))})
    spark = session("local[2]")
    frame = spark.createDataFrame(table.to_pandas()).repartition(4).persist()
    frame.count()

    def empty() -> float:
        start = time.perf_counter()
        spark.range(2).mapInArrow(lambda batches: batches, "id long").toArrow()
        return time.perf_counter() - start

    def fitted(shards: int) -> tuple[float, list[float], list[float]]:
        model = Sequential([Rescaling(1 / 255), Dense(64, "relu"), Dense(10, "softmax")])
        model.compile("adam", "sparse_categorical_crossentropy", ["accuracy"])
        start = time.perf_counter()
        history = model.fit(frame, batch_size=128, epochs=8, shards=shards, verbose=0)
        seconds = time.perf_counter() - start
        rows = history.rows[2:]
        return (
            seconds - sum(row["seconds"] for row in history.rows),
            [r["seconds"] for r in rows],
            [r["wait_seconds"] for r in rows],
        )

    empty()
    jobs = statistics.median(empty() for _ in range(9))
    print("60,000 rows of 784 bytes, 784-64-10, batch 128, local[2]")
    print(f"  empty mapInArrow job   {jobs:.2f} s")
    for shards in (1, 2, 8):
        packing, epochs, waits = fitted(shards)
        epoch, wait = statistics.median(epochs), statistics.median(waits)
        print(
            f"  {shards} shard(s): packing {packing:.1f} s, epoch {epoch:.2f} s, of which not computing {wait:.2f} s"
        )
    spark.stop()

"""The overhead of a round on Spark, compared with an empty `mapInArrow` job on as many partitions, `local[2]`.

The network has five parameters and 256 rows, so a round is only overhead.  An empty job scans a cached frame with
the same partitions and returns nothing, once over numbers and once over the blocks of the round; like a round, it
builds a new plan each time.  All run in turn, so a busy machine slows all.
"""

import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from firesteel.layers import Dense
from firesteel.models import Sequential
from firesteel.spark import pack, session
from firesteel.train.partial import Task
from firesteel.train.rounds import average

TIMES, WARM, SHARDS = 31, 10, (1, 2)


def nothing(batches: Iterator[Any]) -> Iterator[Any]:
    """Read all batches; return none."""
    for _ in batches:
        pass
    return iter(())


def timed(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def main() -> None:
    spark = session("local[2]", conf={"spark.ui.enabled": "false"})
    x = np.random.default_rng(0).normal(size=(256, 4))
    rows = [(row.tolist(), float(row.sum())) for row in x]
    frame = spark.createDataFrame(rows, "features array<double>, label double")
    model = Sequential([Dense(1, input_dim=4)])
    model.compile("adam", "mse")
    print(f"an empty round compared with an empty mapInArrow job, local[2], medians of {TIMES}")
    with pack(frame) as packed:
        for shards in SHARDS:
            cached = spark.range(0, 64, 1, shards).persist()
            cached.count()
            optimizer, objective = model.optimizer, model._objective()
            slots = np.zeros((len(optimizer.slots), len(model.theta)), np.float32)
            task = Task(objective, model.theta, slots, optimizer, shards=shards, weight=256.0, vectors=1 + len(slots))
            with packed.engine(shards) as engine:

                def ours(engine: Any = engine, task: Task = task) -> object:
                    return engine.map(average, task)

                def empty(cached: Any = cached) -> object:
                    return cached.mapInArrow(nothing, "id long").toArrow()

                def scan(blocks: Any = engine.frame) -> object:
                    return blocks.select("data").mapInArrow(nothing, "data binary").toArrow()

                found = [(timed(ours), timed(empty), timed(scan)) for _ in range(WARM + TIMES)][WARM:]
            cached.unpersist()
            ms = [round(1000 * statistics.median(one[part] for one in found)) for part in range(3)]
            first, second = (statistics.median(one[0] / one[part] for one in found) for part in (1, 2))
            print(
                f"  {shards} shard(s): round {ms[0]} ms, empty job {ms[1]} ms, over the blocks {ms[2]} ms, "
                f"ratios {first:.2f} (aim: at most 1.5) and {second:.2f}"
            )
    spark.stop()

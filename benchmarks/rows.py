"""From 60 thousand to 6 million rows on Spark: the time per row and the memory of all processes, which must not grow.

`local[2]`, rows of 32 numbers that Spark generates from their ids, 32-64-10, three epochs with mini-batches of 256,
one shard for about 100,000 rows.  Each size runs in its own process with a new JVM.
"""

import contextlib
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

from benchmarks.children import child, peak, reply

SIZES = (60_000, 600_000, 2_000_000, 6_000_000)
WIDTH, EPOCHS, SHARD = 32, 3, 100_000


def workers() -> float:
    """Return the peak memory of the largest of this process's Python workers, in MB."""
    parents, most = {}, {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            known = dict(line.split(":", 1) for line in (folder / "status").read_text().splitlines())
            parents[int(folder.name)] = int(known["PPid"])
            if b"pyspark.daemon" in (folder / "cmdline").read_bytes():
                most[int(folder.name)] = int(known["VmHWM"].split()[0]) / 1024

    def ours(process: int) -> bool:
        return process == os.getpid() or (process in parents and ours(parents[process]))

    return max((size for process, size in most.items() if ours(process)), default=0.0)


def measure(rows: int) -> dict[str, Any]:
    """Fit once; return seconds, and memory in MB."""
    from pyspark.sql import functions as F

    from firesteel.layers import Dense
    from firesteel.models import Sequential
    from firesteel.spark import session

    spark = session("local[2]", conf={"spark.driver.memory": "8g"})
    columns = [(F.pmod(F.xxhash64("id", F.lit(n)), F.lit(1 << 20)) / (1 << 20)).cast("float") for n in range(WIDTH)]
    frame = spark.range(0, rows, 1, 8).select(
        F.array(*columns).alias("features"), F.pmod(F.xxhash64("id", F.lit(-1)), F.lit(10)).alias("label")
    )

    def fitted(frame: Any, shards: int) -> Any:
        model = Sequential([Dense(64, "relu", input_dim=WIDTH), Dense(10, "softmax")])
        model.compile("adam", "sparse_categorical_crossentropy")
        return model.fit(frame, batch_size=256, epochs=EPOCHS, shards=shards, verbose=0)

    fitted(frame.limit(1000), 1)  # warm up the JVM
    ended, seen = threading.Event(), [0.0]

    def watch() -> None:
        while not ended.wait(0.1):
            seen[0] = max(seen[0], workers())

    watcher = threading.Thread(target=watch)
    watcher.start()
    start = time.perf_counter()
    history = fitted(frame, max(1, rows // SHARD))
    seconds = time.perf_counter() - start
    ended.set()
    watcher.join()
    spark.stop()
    epochs = [row["seconds"] for row in history.rows]
    return {"packing": seconds - sum(epochs), "epoch": min(epochs), "driver": peak(), "worker": seen[0]}


def main() -> None:
    found = {rows: child("benchmarks.rows", rows) for rows in SIZES}
    print(f"{WIDTH}-64-10, local[2], rows made by Spark, {SHARD:,} rows a shard")
    print(f"  {'rows':>10} {'packing':>9} {'an epoch':>9} {'microseconds a row':>19} {'driver':>8} {'a worker':>9}")
    for rows, one in found.items():
        cost = f"{one['packing'] / rows * 1e6:.2f} + {one['epoch'] / rows * 1e6:.2f}"
        print(
            f"  {rows:10,} {one['packing']:7.1f} s {one['epoch']:7.2f} s {cost:>19} {one['driver']:5.0f} MB"
            f" {one['worker']:6.0f} MB"
        )
    few, many = found[600_000], found[6_000_000]
    packing, epoch = (many[part] / few[part] / 10 - 1 for part in ("packing", "epoch"))
    print(f"  from 600 thousand to 6 million rows: time per row {packing:+.0%} in packing, {epoch:+.0%} in an epoch,")
    print(f"  memory of the driver {many['driver'] / few['driver'] - 1:+.0%}   (aim: at most +10 %)")


if __name__ == "__main__":
    reply(measure(int(sys.argv[1])))

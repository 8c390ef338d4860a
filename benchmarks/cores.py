"""Scaling from one core to two, compared with matrix products alone: in process, and on Spark with two shards.

Each measurement is a process that is limited to one core or two by its CPU affinity (Linux).  Both must give the same
bits.
"""

import os
import statistics
import sys
from typing import Any

import numpy as np

from benchmarks.children import child, reply
from benchmarks.peers import NETWORKS, ours, pixels, products

NETWORK, REPEATS = "784-512-512-10", 3


def measure(where: str, cores: int) -> dict[str, Any]:
    """Return the seconds of an epoch, and the model's fingerprint."""
    os.sched_setaffinity(0, set(sorted(os.sched_getaffinity(0))[:cores]))
    widths, batch = NETWORKS[NETWORK]
    if where == "products":
        from threadpoolctl import threadpool_limits

        with threadpool_limits(cores, "blas"):
            return {"seconds": statistics.median(products(widths, batch, 2)), "fingerprint": ""}
    x, y = pixels()
    model = ours(widths, batch, [])
    if where == "process":
        history = model.fit(x, y, batch_size=batch, epochs=3, verbose=0)
    else:
        import pandas as pd

        from firesteel.spark import session

        spark = session(f"local[{cores}]", conf={"spark.driver.memory": "6g"})
        codes = np.rint(x * 255).astype(np.uint8)
        frame = spark.createDataFrame(pd.DataFrame({"features": [row.tobytes() for row in codes], "label": y}))
        history = model.fit(frame, batch_size=batch, epochs=3, shards=2, verbose=0)
        spark.stop()
    seconds = statistics.median(row["seconds"] for row in history.rows[1:])
    return {"seconds": seconds, "fingerprint": model.fingerprint()}


def main() -> None:
    scaling = {}
    print(f"{NETWORK}, batch {NETWORKS[NETWORK][1]}: seconds of an epoch, medians of {REPEATS}")
    for where, words in (("products", "matrix products alone"), ("process", "in process"), ("spark", "two shards")):
        found = {cores: [child("benchmarks.cores", where, cores) for _ in range(REPEATS)] for cores in (1, 2)}
        one, two = (statistics.median(run["seconds"] for run in found[cores]) for cores in (1, 2))
        scaling[where] = one / two
        share = "" if where == "products" else f", {scaling[where] / scaling['products']:.2f} of that (aim: 0.95)"
        same = len({run["fingerprint"] for runs in found.values() for run in runs}) == 1
        print(
            f"  {words:22} {one:6.2f} s on one core, {two:6.2f} s on two: {scaling[where]:.2f} times{share}"
            + ("" if where == "products" else f"; {'same bits' if same else 'DIFFERENT BITS'}")
        )


if __name__ == "__main__":
    reply(measure(sys.argv[1], int(sys.argv[2])))

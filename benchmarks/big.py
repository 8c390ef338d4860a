"""Large models on Spark: time per round and the driver's peak memory by number of parameters.

`local[2]` with Spark's default of 1 GB for the driver, 2 shards of 64 rows, Adam, float32.  There is almost no
arithmetic, so the time goes into sending 12 bytes per parameter to the shards and back.  Each case has its own
session; partials are added on Spark in one and on the driver in the other.  `python -m benchmarks big` uses classic
Spark.  For Spark Connect set FIRESTEEL_BIG_REMOTE to a remote; the memory of its server is not measured.
"""

import os
import resource
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

WIDTH, ROWS, SHARDS, EPOCHS = 500, 128, 2, 4
MILLIONS = (1, 5, 20, 50)
SECONDS = 600
PAGE = resource.getpagesize()


def java_peak(pids: list[int]) -> float:
    """Return the peak memory of running processes, in GB."""
    words = [Path(f"/proc/{pid}/status").read_text().split() for pid in pids]
    return sum(int(word[word.index("VmHWM:") + 1]) for word in words) / 2**20


def case(millions: float, where: str) -> None:
    """Train one network; print the median seconds of a round, those without computing, and peak memory in GB."""
    import numpy as np

    from firesteel.layers import Dense
    from firesteel.models import Sequential
    from firesteel.spark import engine, session

    if where == "driver":
        engine.MERGE_BYTES = sys.maxsize
    remote = os.environ.get("FIRESTEEL_BIG_REMOTE")
    if remote:
        from pyspark.sql import SparkSession

        spark = SparkSession.builder.remote(remote).getOrCreate()
    else:
        spark = session("local[2]", conf={"spark.driver.memory": "1g", "spark.ui.enabled": "false"})
    x = np.random.default_rng(0).normal(size=(ROWS, WIDTH))
    rows = [(row.tolist(), float(row.sum())) for row in x]
    frame = spark.createDataFrame(rows, "features array<double>, label double")
    model = Sequential([Dense(round(millions * 1e6) // (WIDTH + 2), "relu"), Dense(1)])
    model.compile("adam", "mse")
    history = model.fit(frame, epochs=EPOCHS, batch_size=64, shards=SHARDS, verbose=0)
    rounds = history.rows[1:]
    seconds, waits = (statistics.median(row[name] for row in rounds) for name in ("seconds", "wait_seconds"))
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    java = 0.0 if remote else java_peak([spark.sparkContext._gateway.proc.pid])
    print(f"{seconds:.2f} {waits:.2f} {own:.2f} {java:.2f} {model.fingerprint()}")
    threading.Timer(60, os._exit, [0]).start()
    spark.stop()
    sys.stdout.flush()
    os._exit(0)


def main() -> None:
    print(f"big models: local[2], {SHARDS} shards, Adam, float32, {EPOCHS - 1} rounds after the first, medians")
    print(f"  {'parameters':>12}  added on   round s   not computing s   Python GB   JVM GB")
    for millions in MILLIONS:
        prints = set()
        for where in ("Spark", "driver"):
            start = time.perf_counter()
            command = [sys.executable, "-W", "ignore", "-m", "benchmarks.big", str(millions), where]
            try:
                run = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS)
                words = run.stdout.split()
            except subprocess.TimeoutExpired:
                words = []
            if len(words) != 5:
                print(f"  {millions:10}e6  {where:9} fails after {time.perf_counter() - start:.0f} s", flush=True)
                continue
            seconds, wait, own, java, fingerprint = words
            prints.add(fingerprint)
            print(f"  {millions:10}e6  {where:9} {seconds:>7} {wait:>17} {own:>11} {java:>8}", flush=True)
        if len(prints) > 1:
            print("  the two variants give different bits")


if __name__ == "__main__":
    case(float(sys.argv[1]), sys.argv[2])

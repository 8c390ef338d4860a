"""Run as a program: one fit of many or of wide rows, made by Spark, and what it took as JSON."""

import gc
import json
import sys
import time
from pathlib import Path
from typing import Any

from pyspark.sql import functions as F

from firesteel.callbacks import LambdaCallback
from firesteel.errors import FiresteelError
from firesteel.layers import Dense
from firesteel.models import Sequential
from firesteel.spark import session


def peak(pid: object = "self") -> float:
    """Return the most memory that a process has held, in MB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024


def refusal(frame: Any, layers: list[Any], **settings: Any) -> str:
    """Return what a fit is refused with, or nothing."""
    model = Sequential(layers)
    model.compile("adam", "sparse_categorical_crossentropy")
    try:
        model.fit(frame, epochs=1, verbose=0, **settings)
    except FiresteelError as error:
        return f"{type(error).__name__}: {error}"
    return ""


def main(
    master: str, conf: dict[str, str], rows: int, width: int, shards: int, epochs: int = 2, big: int = 0
) -> None:
    """Fit and print.  big: how many units of a network to try before, which is too large."""
    spark = session(master, conf={"spark.ui.enabled": "false"} | conf)
    jvm: Any = spark._jvm
    context = spark.sparkContext._jsc.sc()
    places = F.sequence(F.lit(0), F.lit(width - 1))
    x = F.transform(places, lambda at: (F.pmod(F.xxhash64(at, "id"), F.lit(1 << 16)) / (1 << 16)).cast("float"))
    made = spark.range(0, rows, 1, 8)
    frame, few = (
        numbers.select(x.alias("features"), F.pmod("id", F.lit(3)).alias("label"))
        for numbers in (made, made.where("id < 1000"))
    )
    found: dict[str, Any] = {"disk": 0.0, "heap": 0.0}
    if big:
        found["refused"] = refusal(few, [Dense(big), Dense(3, "softmax")])
        gc.collect()

    def look(epoch: int, logs: Any) -> None:
        kept = context.getRDDStorageInfo()
        found["disk"] = max(found["disk"], sum(one.diskSize() for one in kept) / 2**20)
        gc.collect()
        jvm.java.lang.System.gc()
        runtime = jvm.java.lang.Runtime.getRuntime()
        found["heap"] = max(found["heap"], (runtime.totalMemory() - runtime.freeMemory()) / 2**20)

    model = Sequential([Dense(8, "relu"), Dense(3, "softmax")])
    model.compile("adam", "sparse_categorical_crossentropy")
    start = time.perf_counter()
    try:
        listening = LambdaCallback(on_epoch_end=look)
        history = model.fit(
            frame, epochs=epochs, shards=shards, batch_size=256, verbose=0, seed=1, callbacks=listening
        )
        found |= {"bits": model.fingerprint(), "rows": [row["rows"] for row in history.rows]}
        found["epoch"] = history.rows[-1]["seconds"]
    except FiresteelError as error:
        found["error"] = f"{type(error).__name__}: {error}"
    found["seconds"] = time.perf_counter() - start
    found |= {"python": peak(), "jvm": peak(jvm.java.lang.ProcessHandle.current().pid())}
    print(json.dumps(found))
    spark.stop()


if __name__ == "__main__":
    main(**json.loads(sys.argv[1]))

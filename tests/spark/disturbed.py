"""Run as a program: fits undisturbed and with each fault on a master of its own, and prints what came out as JSON.

The argument is JSON too: master, conf, and faults, each with `*n` behind it where it is to happen n times.
"""

import collections
import contextlib
import functools
import gc
import json
import os
import sys
import threading
import time
import warnings
from pathlib import Path
from typing import Any, Self

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from firesteel.callbacks import LambdaCallback
from firesteel.errors import FiresteelError
from firesteel.spark import packing, session
from tests.spark import faults
from tests.spark.conftest import make_rows, network
from tests.support import graphs

ROWS, EPOCHS = 900, 3
USUAL = {
    "spark.ui.enabled": "false",
    "spark.executor.memory": "1g",
    "spark.log.level": "OFF",
    "spark.locality.wait": "0",
    "spark.shuffle.io.maxRetries": "1",  # of asking an executor that is gone; three waits of five seconds are usual
    "spark.shuffle.io.retryWait": "1s",
}


def fit(x: Any, y: Any = None, graph: str = "", **settings: Any) -> dict[str, Any]:
    """Train; return the bits, how many rows each epoch saw, and what it took, or the error.

    graph: which model of `graphs.CALLED` is trained, if one is.
    """
    model, start = graphs.called(graph) if graph else network(), time.perf_counter()
    settings |= graphs.columns(model) if graph and y is None else {}
    settings = {"epochs": EPOCHS, "shards": 4, "batch_size": 16, "verbose": 0, "seed": 1} | settings
    found: dict[str, Any] = {"bits": "", "rows": []}
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            history = model.fit(x, y, **settings)
        found = {"bits": model.fingerprint(), "rows": [row["rows"] for row in history.rows]}
        found["machines"] = sorted(history.machines)
        found["warnings"] = [str(one.message) for one in caught if issubclass(one.category, UserWarning)]
    except FiresteelError as error:
        found["error"] = {"kind": type(error).__name__, "text": str(error)}
    return found | {"seconds": time.perf_counter() - start}


def executors(spark: Any) -> int:
    return int(spark.sparkContext._jsc.sc().getExecutorMemoryStatus().size()) - 1


def disturbed(fault: str, frame: DataFrame, graph: str) -> dict[str, Any]:
    """Fit while a fault happens; see what there is of it in faults.py."""
    spark = frame.sparkSession
    if fault in ("validation", "packing"):
        title = {"validation": "firesteel: validating", "packing": "firesteel: packing"}[fault]
        return fit(frame.mapInArrow(functools.partial(faults.passing, title), frame.schema))
    if fault == "shifting":
        return fit(frame.mapInArrow(faults.shifting, frame.schema), strategy=faults.Faulty(fault="kill_executor"))
    if fault == "shuffle":
        original, packing.merge_packs = packing.merge_packs, faults.merge_packs
        try:
            return fit(frame)
        finally:
            packing.merge_packs = original
    if fault == "idle":
        counts = [executors(spark)]

        def wait(epoch: int, logs: Any) -> None:
            until = time.monotonic() + 20
            while executors(spark) and time.monotonic() < until:
                time.sleep(0.5)
            counts.append(executors(spark))

        return fit(frame, callbacks=LambdaCallback(on_epoch_end=wait)) | {"executors": counts}
    if fault == "sixteen":
        held, cached, others = [], [], []
        for _ in range(16):
            outcome = fit(frame)
            cached.append(spark.sparkContext._jsc.getPersistentRDDs().size() - 1)
            held.append(memory(spark))
        for number in range(16):
            kept = frame.withColumn("number", F.lit(number)).persist()
            kept.count()
            kept.unpersist()
            others.append(memory(spark))
        return outcome | {"held": held, "cached": cached, "others": others}
    if fault == "ports":
        with Listeners() as plain:
            for _ in range(10):
                frame.mapInArrow(faults.counted, "n long").toArrow()
        with Listeners() as ours:
            outcome = fit(frame)
        return outcome | {"plain": plain.most, "ours": ours.most}
    return fit(frame, graph=graph, strategy=faults.Faulty(fault=fault))


def memory(spark: Any) -> dict[str, float]:
    """Return what is held, in MB: by this process, by the heap of the JVM, and by the largest worker.

    Spark lets go of what a collection found unreachable in a thread of its own, so the heap is collected three times.
    """
    runtime = spark._jvm.java.lang.Runtime.getRuntime()
    heaps = []
    for _ in range(3):
        gc.collect()
        spark._jvm.java.lang.System.gc()
        time.sleep(0.1)
        heaps.append((runtime.totalMemory() - runtime.freeMemory()) / 2**20)

    def resident(pid: int) -> float:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE") / 2**20

    worker = max(resident(pid) for pid, kind in family().items() if kind == "worker")
    return {"python": resident(os.getpid()), "heap": min(heaps), "worker": worker}


class Listeners:
    """How many sockets listen in each kind of process of this program, at most, while the block runs."""

    def __init__(self) -> None:
        self.most: collections.Counter[str] = collections.Counter()
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self._watch)

    def __enter__(self) -> Self:
        self.thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.ended.set()
        self.thread.join()

    def _watch(self) -> None:
        while not self.ended.wait(0.02):
            self.most |= self.now()

    def now(self) -> collections.Counter[str]:
        """Count them; the kinds are python, jvm, executor, daemon and worker."""
        sockets = set()
        for table in ("tcp", "tcp6"):
            lines = [line.split() for line in Path("/proc/net", table).read_text().splitlines()[1:]]
            sockets |= {f"socket:[{fields[9]}]" for fields in lines if fields[3] == "0A"}
        found: collections.Counter[str] = collections.Counter()
        for pid, kind in family().items():
            with contextlib.suppress(OSError):
                for opened in Path(f"/proc/{pid}/fd").iterdir():
                    with contextlib.suppress(OSError):
                        found[kind] += opened.readlink().name in sockets
        return found


def family() -> dict[int, str]:
    """Return the kind of each process that this one has started, directly or not, and of itself."""
    parents, commands = {}, {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            stat = (folder / "stat").read_text().rsplit(")", 1)[1].split()
            parents[int(folder.name)] = int(stat[1])
            commands[int(folder.name)] = (folder / "cmdline").read_bytes()
    kinds = {os.getpid(): "python"}

    def kind(pid: int) -> str:
        if pid not in kinds:
            above = kind(parents[pid]) if parents.get(pid, 0) > 1 else ""
            command = commands.get(pid, b"")
            kinds[pid] = "" if not above else "worker" if above in ("daemon", "worker") else ""
            if above and not kinds[pid]:
                daemon, executor = b"pyspark.daemon" in command, b"CoarseGrainedExecutorBackend" in command
                kinds[pid] = "daemon" if daemon else "executor" if executor else "jvm"
        return kinds[pid]

    return {pid: found for pid in parents if (found := kind(pid))}


def main(
    master: str, conf: dict[str, str], faults_: list[str], partitions: int = 3, fits: int = 2, graph: str = ""
) -> None:
    start = time.perf_counter()
    spark = session(master, conf=USUAL | conf)
    rows = make_rows(ROWS)
    frame = (graphs.framed(spark, ROWS) if graph else rows.frame(spark)).repartition(partitions).persist()
    given = graphs.parted(graphs.called(graph), ROWS) if graph else (rows.x, rows.y)
    frame.count()
    found: dict[str, Any] = {"start": time.perf_counter() - start, "local": [fit(*given, graph=graph)]}
    found["undisturbed"] = [fit(frame, graph=graph) for _ in range(fits)]
    for named in faults_:
        fault, _, times = named.partition("*")
        found[fault] = []
        for _ in range(int(times or 1)):
            for marker in faults.FOLDER.iterdir():
                marker.unlink()
            outcome = disturbed(fault, frame, graph)
            happened = {marker.name: marker.read_text() for marker in faults.FOLDER.iterdir()}
            found[fault].append(outcome | {"happened": happened})
            print(fault, round(outcome["seconds"], 1), file=sys.stderr, flush=True)
    print(json.dumps(found))
    spark.stop()


if __name__ == "__main__":
    main(**json.loads(sys.argv[1]))

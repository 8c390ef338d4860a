"""Run as a program: fits undisturbed and with each fault on a master of its own, and prints what came out as JSON."""

import json
import os
import sys
import time
from pathlib import Path

from firesteel.spark import session
from tests.spark.conftest import fit, make_rows
from tests.spark.faults import Faulty

SPECULATION = {
    "spark.speculation": "true",
    "spark.speculation.multiplier": "1.1",
    "spark.speculation.quantile": "0.1",
    "spark.speculation.interval": "50ms",
    "spark.speculation.minTaskRuntime": "100ms",
}


def main(master: str, faults: list[str]) -> None:
    marker = Path(os.environ["FIRESTEEL_FAULT_MARKER"])
    conf = {"spark.ui.enabled": "false", "spark.executor.memory": "1g"}
    spark = session(master, conf=conf | (SPECULATION if "straggle" in faults else {}))
    rows = make_rows(900)
    frame = rows.frame(spark).repartition(3).persist()
    settings = {"epochs": 3, "shards": 4}
    found = {"local": {"fingerprint": fit(rows.x, rows.y, **settings)}}
    found["undisturbed"] = {"fingerprint": fit(frame, **settings)}
    for fault in faults:
        marker.unlink(missing_ok=True)
        start = time.perf_counter()
        fingerprint = fit(frame, strategy=Faulty(fault), **settings)
        seconds = time.perf_counter() - start
        happened = marker.read_text() if marker.exists() else None
        found[fault] = {"fingerprint": fingerprint, "happened": happened, "seconds": seconds}
    print(json.dumps(found))
    spark.stop()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])

"""Tables with very many words or very many columns: seconds, and the peak memory of each process.

`local[2]` with firesteel's session, with 1 GB for the words.  Spark generates the words; half of them occur once.
`profile` counts the words of columns that are not nearly all different, and learns the schema; `fit` then trains a
small network for one epoch, and scores.  The wide table is read from Parquet into many partitions, trained on for
one epoch, and scored: nine in ten columns are numbers, every eleventh of the others is a date.  `python -m
benchmarks.columns words 1e8 1e8 profile` runs one case, `wide 2000 10000 200` the wide table.
"""

import json
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

CASES = (
    ("words", "1e6", "7e5", "fit"),
    ("words", "1e7", "1e6", "profile"),
    ("words", "1e7", "1e7", "profile"),
    ("words", "1e8", "1e8", "profile"),
    ("wide", "2000", "10000", "200"),
)
"""Words: rows, distinct words, what to measure.  Wide: rows, columns, partitions."""
FILES = 4
SMALL = {"maxIter": 1, "members": 1, "hiddenLayers": [8]}


def peak(pid: object = "self") -> float:
    """Return the peak memory of a process, in MB; 0 if it has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024
    except (OSError, StopIteration):
        return 0.0


class Workers(threading.Thread):
    """Samples the Python workers of a session every second: the peak memory of the largest, in MB."""

    def __init__(self, jvm: int) -> None:
        super().__init__(daemon=True)
        self.jvm, self.most = jvm, 0.0

    def run(self) -> None:
        while True:
            parents = dict[str, str]()
            for place in Path("/proc").glob("[0-9]*/stat"):
                try:
                    parents[place.parent.name] = place.read_text().rpartition(")")[2].split()[1]
                except OSError:
                    continue
            daemons = {pid for pid, parent in parents.items() if parent == str(self.jvm)}
            self.most = max(self.most, *(peak(pid) for pid, parent in parents.items() if parent in daemons), 0.0)
            time.sleep(1)


def frame_of_words(spark: Any, rows: int, words: int) -> Any:
    """Return rows with a word, a number, one of 50 words, and a label; half of the words occur once."""
    once = words // 2
    again = f"{once} + pmod(xxhash64(id), {words - once})"
    return spark.range(0, rows, 1, 8 if rows < 5_000_000 else 64).selectExpr(
        f"concat('w', sha1(cast(if(id < {once}, id, {again}) as string))) as word",
        "pmod(xxhash64(id, 1), 1000) / 1000D as number",
        "concat('k', cast(pmod(xxhash64(id, 2), 50) as string)) as few",
        "pmod(xxhash64(id, 1), 1000) > 500 as label",
    )


def write_columns(folder: str, rows: int, count: int) -> None:
    """Write a table with `count` columns as Parquet."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    rng, numbers = np.random.default_rng(0), count * 9 // 10
    for part in range(FILES):
        each = rows // FILES
        columns = {f"n{n}": rng.normal(size=each) for n in range(numbers)}
        columns["label"] = pa.array(["no", "yes"]).take(pa.array((columns["n0"] > 0).astype(int)))
        for n in range(numbers, count):
            values = rng.integers(3 + n % 97, size=each)
            columns[f"c{n}"] = (
                pa.array(values.astype(np.int32), pa.date32())
                if n % 11 == 0
                else pa.array([f"k{one}" for one in values])
            )
        pq.write_table(pa.table(columns), f"{folder}/{part}.parquet")


def case(kind: str, rows: int, count: int, how: str) -> None:
    """Run one case and print the result as JSON."""
    from firesteel.spark import NeuralNetworkClassifier, session
    from firesteel.spark.columns import Columns
    from firesteel.spark.frames import Frame
    from firesteel.spark.tables import as_they_are

    spark = session("local[2]", conf={"spark.ui.enabled": "false"} | ({} if kind == "wide" else SMALL_DRIVER))
    java: Any = spark._jvm
    jvm = java.java.lang.ProcessHandle.current().pid()
    workers, found = Workers(jvm), dict[str, Any]()
    workers.start()
    with tempfile.TemporaryDirectory() as folder:
        if kind == "wide":
            write_columns(folder, rows, count)
            frame = spark.read.parquet(folder).repartition(int(how))
        else:
            frame = frame_of_words(spark, rows, count)
        start = time.perf_counter()
        if how == "profile":
            source = Frame(frame, as_they_are(frame, Columns(classes=True)), "float32")
            assert source.count() == rows
            schema = source.schema
        else:
            model = NeuralNetworkClassifier(**SMALL).fit(frame)
            schema = model.network.schema
        found["seconds"] = time.perf_counter() - start
        if how != "profile":
            start = time.perf_counter()
            model.transform(frame).select("prediction").write.format("noop").mode("overwrite").save()
            found["scoring"] = time.perf_counter() - start
    assert schema is not None
    found |= {"python": peak(), "jvm": peak(jvm), "worker": workers.most, "left out": dict(schema.left_out)}
    print(json.dumps(found))
    spark.stop()


SMALL_DRIVER = {"spark.driver.memory": "1g"}
"""Spark's default for a driver; its Parquet reader needs more for 10,000 columns."""


def run(*words: str) -> dict[str, Any]:
    """Run one case in a child process and return its result."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "benchmarks.columns", *words], capture_output=True, text=True
    )
    if done.returncode:
        raise SystemExit(done.stderr[-3000:])
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    print("difficult tables: local[2], peak MB of each process")
    print(f"  {'':36} {'s':>6} {'scoring s':>9} {'driver':>6} {'JVM':>6} {'worker':>6}  left out")
    for kind, rows, count, how in CASES:
        found = run(kind, rows, count, how)
        what = f"words, {how}" if kind == "words" else f"columns in {how}"
        shown = f"{float(rows):,.0f} rows, {float(count):,.0f} {what}"
        left = "; ".join(f"{name}: {why}" for name, why in list(found["left out"].items())[:3])
        sizes = " ".join(f"{found[name]:6.0f}" for name in ("python", "jvm", "worker"))
        print(f"  {shown:36} {found['seconds']:6.0f} {found.get('scoring', 0.0):9.0f} {sizes}  {left}", flush=True)


if __name__ == "__main__":
    case(sys.argv[1], int(float(sys.argv[2])), int(float(sys.argv[3])), sys.argv[4])

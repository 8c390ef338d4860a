"""Scoring raw columns on Spark: `transform` compared with a hand-written pipeline of Spark's stages.

Needs the tables of `python -m benchmarks.tables.prepare FOLDER`.  `local[2]`, with the rows repeated many times in
Spark's cache; prediction and probability are written to Spark's `noop` sink; medians of seven runs, in turn.  The
pipeline has the same hidden layers.  Networks train for two epochs, because training does not change the time of
scoring.  Each model is loaded in a separate process, to measure the time until it has scored 1,000 rows and a
worker's memory.
"""

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.children import child, reply
from benchmarks.rows import workers

REPEATS, WARM, FIRST, LABEL = 7, 2, 1000, "target"
TIMES = {"churn": 64, "flights": 8}
"""Copies of each row, by table."""


class Case(NamedTuple):
    """A network on a table.  aim: rows per second."""

    table: str
    network: str
    settings: dict[str, Any]
    aim: int | None


SMALL = {"hiddenLayers": [64, 64], "members": 1}
CASES = [
    Case("churn", "two layers of 64", SMALL, 300_000),
    Case("flights", "two layers of 64", SMALL, None),
    Case("churn", "default", {}, 60_000),
    Case("flights", "default", {}, 80_000),
]


def by_hand(frame: Any, settings: dict[str, Any]) -> Any:
    """Return the pipeline to write by hand without raw columns."""
    from pyspark.ml import Pipeline
    from pyspark.ml.feature import Imputer, OneHotEncoder, StandardScaler, StringIndexer, VectorAssembler

    from firesteel.spark import NeuralNetworkClassifier

    text = [name for name, kind in frame.dtypes if kind == "string" and name != LABEL]
    numbers = [name for name in frame.columns if name not in (*text, LABEL)]
    codes, vectors = ([f"{name}__{end}" for name in text] for end in ("code", "vector"))
    filled = [f"{name}__filled" for name in numbers]
    return Pipeline(
        stages=[
            StringIndexer(inputCol=LABEL, outputCol="label"),
            StringIndexer(inputCols=text, outputCols=codes, handleInvalid="keep"),
            OneHotEncoder(inputCols=codes, outputCols=vectors),
            Imputer(strategy="median", inputCols=numbers, outputCols=filled),
            VectorAssembler(inputCols=[*filled, *vectors], outputCol="assembled"),
            StandardScaler(inputCol="assembled", outputCol="features"),
            NeuralNetworkClassifier(labelCol="label", featuresCol="features", maxIter=2, seed=1, **settings),
        ]
    )


def read(file: str) -> Any:
    """Return a table in a new session."""
    from firesteel.spark import session

    return session("local[2]", conf={"spark.driver.memory": "6g"}).read.parquet(file)


def many(frame: Any, times: int) -> Any:
    """Return `times` copies of the rows, cached."""
    from pyspark.sql import functions as F

    copies = frame.sparkSession.range(times).select(F.col("id").alias("__copy"))
    rows = frame.crossJoin(copies).drop("__copy").repartition(8).persist()
    rows.count()
    return rows


def scored(model: Any, rows: Any) -> Callable[[], Any]:
    """Return a function that scores the rows once."""
    wanted = model.transform(rows).select("prediction", "probability")
    return lambda: wanted.write.format("noop").mode("overwrite").save()


def rates(file: str, number: int, path: str) -> dict[str, float]:
    """Fit both, save firesteel's, and return the rows per second that each scores."""
    from pyspark.sql import functions as F

    from firesteel.spark import NeuralNetworkClassifier

    frame, case = read(file), CASES[number]
    ours = NeuralNetworkClassifier(labelCol=LABEL, maxIter=2, seed=1, **case.settings).fit(frame)
    ours.save(path)
    runs = {"ours": scored(ours, many(frame, TIMES[case.table]))}
    if case.settings:
        times = [name for name, kind in frame.dtypes if kind.startswith("timestamp")]
        seconds = {name: F.unix_seconds(F.col(name).cast("timestamp")) for name in times}
        plain = frame.withColumns(seconds) if times else frame
        runs["theirs"] = scored(by_hand(plain, case.settings).fit(plain), many(plain, TIMES[case.table]))
    taken: dict[str, list[float]] = {name: [] for name in runs}
    for repeat in range(WARM + REPEATS):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            if repeat >= WARM:
                taken[name].append(time.perf_counter() - start)
    rows = frame.count() * TIMES[case.table]
    found = {name: rows / statistics.median(each) for name, each in taken.items()}
    return found | {"rows": rows, "members": len(ours.network.members) or 1}


def loaded(file: str, number: int, path: str) -> dict[str, float]:
    """Return the seconds until a model is loaded and has scored the first rows, and a worker's peak memory in MB.

    The seconds are those of the first model that a session loads, and of the second.
    """
    from firesteel.spark import NeuralNetworkClassifierModel

    frame, seconds = read(file), []
    frame.limit(FIRST).collect()
    for _ in range(2):
        start = time.perf_counter()
        model = NeuralNetworkClassifierModel.load(path)
        model.transform(frame).select("prediction", "probability").limit(FIRST).collect()
        seconds.append(time.perf_counter() - start)
    scored(model, many(frame, TIMES[CASES[number].table]))()
    return {"first": seconds[0], "second": seconds[1], "worker": workers()}


def main(folder: str | None = None) -> None:
    import pandas as pd

    if folder is None:
        sys.exit("give --tables FOLDER, which `python -m benchmarks.tables.prepare FOLDER` makes")
    print(f"prediction and probability of raw columns, local[2], medians of {REPEATS}")
    with tempfile.TemporaryDirectory() as scratch:
        for number, (table, network, _, aim) in enumerate(CASES):
            file, path = f"{scratch}/{table}.parquet", f"{scratch}/model-{number}"
            pd.read_parquet(Path(folder, f"{table}.parquet")).to_parquet(file, coerce_timestamps="us")
            found = child("benchmarks.raw", "rates", file, number, path)
            once = child("benchmarks.raw", "loaded", file, number, path)
            wanted = f" (aim: {aim:,})" if aim else ""
            print(f"{table}, {network}, {found['members']} member(s), {found['rows']:,} rows")
            print(f"  transform               {found['ours']:10,.0f} rows a second{wanted}")
            if "theirs" in found:
                ratio = found["ours"] / found["theirs"]
                rate = f"{found['theirs']:10,.0f} rows a second"
                print(f"  pipeline by hand        {rate}: {ratio:.1f} times as slow (aim: 3)")
            first = f"{once['first']:.1f} s in a new session"
            print(f"  load and {FIRST:,} rows     {once['second']:10.1f} s (aim: 2), {first}")
            print(f"  a worker's memory       {once['worker']:10,.0f} MB (aim: at most 600)")


if __name__ == "__main__":
    reply({"rates": rates, "loaded": loaded}[sys.argv[1]](sys.argv[2], int(sys.argv[3]), sys.argv[4]))

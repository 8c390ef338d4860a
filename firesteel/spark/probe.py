"""One small job, and what a session turns out to be: for `firesteel doctor`, which says what is wrong with it.

What is asked for in settings is not always what one gets, so the driver's JVM and a worker are asked themselves.
"""

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from pyspark.sql import SparkSession

from firesteel.spark.engine import collect
from firesteel.spark.parcel import check_batch


@dataclass(frozen=True)
class Probe:
    """What was found.  memory: bytes the driver's JVM may take; log: its level; None where a JVM cannot be asked.

    progress: whether Spark draws a bar of its own.  worker: its executable, and its Python's and packages' versions.
    """

    version: str
    memory: int | None
    log: str | None
    progress: bool
    worker: dict[str, str]


def probe(spark: SparkSession) -> Probe:
    """Run one job of one row.  Raises what the job raises, a worker without its packages as SparkSetupError."""
    check_batch(spark)
    table = collect(spark.range(1).mapInArrow(_answer, "answer string"), "firesteel doctor")
    memory, log, progress = None, None, False
    if hasattr(spark, "_jvm"):  # not on Spark Connect
        jvm: Any = spark._jvm
        memory = int(jvm.java.lang.Runtime.getRuntime().maxMemory())
        log = str(jvm.org.apache.logging.log4j.LogManager.getRootLogger().getLevel())
        progress = spark.sparkContext.getConf().get("spark.ui.showConsoleProgress", "false") == "true"
    return Probe(spark.version, memory, log, progress, json.loads(table.column("answer")[0].as_py()))


def _answer(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Return what a worker knows of itself, once for each row."""
    for batch in batches:
        found = {
            "executable": sys.executable,
            "python": ".".join(map(str, sys.version_info[:3])),
            "numpy": np.__version__,
            "pyarrow": pa.__version__,
        }
        yield pa.RecordBatch.from_pydict({"answer": [json.dumps(found)] * batch.num_rows})

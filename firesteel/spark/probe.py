"""Diagnostics of a Spark session for `firesteel doctor`, by one small job.

Settings do not always take effect, so the values come from the driver's JVM and from a worker.
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
    """What a probe found out about a Spark session: versions, memory and log level.

    Args:
        version: Version of Spark.
        memory: Maximum heap of the driver's JVM in bytes; None if it is not accessible.
        log: Log level of the driver's JVM; None if it is not accessible.
        progress: Whether Spark shows its console progress bar.
        worker: The executable of a worker, and the versions of its Python and packages.
    """

    version: str
    memory: int | None
    log: str | None
    progress: bool
    worker: dict[str, str]


def probe(spark: SparkSession) -> Probe:
    """Run one job of one row.  Raises SparkSetupError for a worker without NumPy or pyarrow."""
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
    """Yield, on a worker, the versions of Python, NumPy and pyarrow there."""
    for batch in batches:
        found = {
            "executable": sys.executable,
            "python": ".".join(map(str, sys.version_info[:3])),
            "numpy": np.__version__,
            "pyarrow": pa.__version__,
        }
        yield pa.RecordBatch.from_pydict({"answer": [json.dumps(found)] * batch.num_rows})

"""One Spark session for all tests that can share it, and the rows they train on."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from pyspark.ml.linalg import Vectors
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.types import (
    ArrayType,
    DoubleType,
    FloatType,
    IntegerType,
    LongType,
    StructField,
    StructType,
)

from firesteel.layers import Dense, Dropout
from firesteel.models import Sequential
from firesteel.spark import collected, session

# short programs gain nothing from the last of the JVM's compilers and from proofs that Spark's own classes are sound,
# which cost half of their time
JAVA = (
    "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -XX:ReservedCodeCacheSize=240m "
    "-XX:-UseCodeCacheFlushing -XX:+UnlockDiagnosticVMOptions -XX:-BytecodeVerificationRemote"
)

DAEMON = "tests.spark.daemon"
JAVA_TOOL_OPTIONS = f"{JAVA} -Dspark.python.daemon.module={DAEMON}"
"""The same for sessions in processes of their own."""


@pytest.fixture(scope="session")
def spark() -> Iterator[SparkSession]:
    conf = {"spark.sql.shuffle.partitions": "4", "spark.ui.enabled": "false"}
    conf |= {"spark.driver.extraJavaOptions": f"{JAVA} -Xms1g -Xmn600m", "spark.python.daemon.module": DAEMON}
    found = session("local[2]", conf=conf)
    yield found
    found.stop()


NAMED = {"activation": "relu", "dropout": 0.0, "solver": "adam", "batchSize": 32, "members": 1}
"""What the number of rows would decide otherwise, for tests of something else."""


EVERY_ROW = NAMED | {"validationFraction": 0.0}
"""And on all rows."""
LAYERED = {"hiddenLayers": None, "activation": None, "dropout": None}
"""What is left out where layers are given."""


@contextlib.contextmanager
def executors() -> Iterator[None]:
    """Leave rows on executors, however few they are."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(collected, "MOST_ROWS", 0)
        yield


@pytest.fixture(scope="module")
def on_executors() -> Iterator[None]:
    with executors():
        yield


@dataclass(frozen=True)
class Rows:
    """x: (n, 6) quarters, many of them 0.  y: (n,) classes 0..2.  w: (n,) weights."""

    x: np.ndarray
    y: np.ndarray
    w: np.ndarray

    def frame(self, spark: SparkSession, form: str = "array<float>", order: Any = slice(None)) -> DataFrame:
        x, y, w = self.x[order], self.y[order], self.w[order]
        rest = list(zip(y.tolist(), w.tolist(), range(len(y)), strict=True))
        tail = [StructField("label", LongType()), StructField("weight", DoubleType()), StructField("id", LongType())]
        if form == "columns":
            rows = [(*values, *more) for values, more in zip(x.tolist(), rest, strict=True)]
            names = [StructField(f"x{number}", DoubleType()) for number in range(x.shape[1])]
            return spark.createDataFrame(rows, StructType([*names, *tail]))
        if form in ("dense", "sparse", "mixed"):
            made = [
                Vectors.sparse(len(v), np.flatnonzero(v).tolist(), v[v != 0].tolist())
                if form == "sparse" or (form == "mixed" and number % 2)
                else Vectors.dense(v.tolist())
                for number, v in enumerate(x)
            ]
            rows = [(v, *more) for v, more in zip(made, rest, strict=True)]
            return spark.createDataFrame(rows, ["features", "label", "weight", "id"])
        item = {"array<float>": FloatType(), "array<double>": DoubleType(), "array<int>": IntegerType()}[form]
        values = x.astype(int).tolist() if form == "array<int>" else x.tolist()
        rows = [(v, *more) for v, more in zip(values, rest, strict=True)]
        return spark.createDataFrame(rows, StructType([StructField("features", ArrayType(item)), *tail]))


def make_rows(n: int = 900, seed: int = 0) -> Rows:
    rng = np.random.default_rng(seed)
    x = rng.integers(-8, 9, (n, 6)) / 4.0
    x[rng.random((n, 6)) < 0.5] = 0.0
    y = (x @ rng.normal(size=(6, 3)) + 0.1 * rng.normal(size=(n, 3))).argmax(axis=1)
    return Rows(x, y, rng.integers(1, 4, n) / 2.0)


@pytest.fixture(scope="session")
def rows() -> Rows:
    return make_rows()


def network(dtype: str = "float32") -> Sequential:
    model = Sequential([Dense(7, "tanh"), Dropout(0.2), Dense(3, "softmax")], dtype=dtype)
    model.compile("adam", "sparse_categorical_crossentropy", ["accuracy"])
    return model


def fit(x: Any, y: Any = None, dtype: str = "float32", **settings: Any) -> str:
    """Train the network and return its fingerprint."""
    model = network(dtype)
    settings = {"epochs": 2, "shards": 4, "batch_size": 16, "verbose": 0, "seed": 1} | settings
    model.fit(x, y, **settings)
    return model.fingerprint()

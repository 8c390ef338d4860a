"""Spark's own models, with a hand-written pipeline, in a session of `local[threads]`."""

import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.tables.data import Kind
from benchmarks.tables.peers import Model, columns, threads, words

if TYPE_CHECKING:
    from pandas import DataFrame

BINS = 32
"""`maxBins` of trees, at least the number of levels of a column."""


def start() -> Any:
    """Return the session; starting it is not measured."""
    from pyspark.sql import SparkSession

    made = SparkSession.builder.master(f"local[{threads()}]").config("spark.driver.memory", "4g")
    made = made.config("spark.ui.enabled", "false").config("spark.sql.shuffle.partitions", threads())
    return made.getOrCreate()


def usual(x: "DataFrame", onehot: bool) -> list[Any]:
    """Return the stages before a model: median for gaps, text as codes, one-hot if the model needs it."""
    from pyspark.ml.feature import Imputer, OneHotEncoder, StringIndexer, VectorAssembler

    text = words(x)
    numbers = [name for name in x if name not in text]
    stages: list[Any] = [Imputer(strategy="median", inputCols=numbers, outputCols=[f"{name}__i" for name in numbers])]
    codes, vectors = [f"{name}__c" for name in text], [f"{name}__v" for name in text]
    if text:
        stages.append(StringIndexer(inputCols=text, outputCols=codes, handleInvalid="keep"))
        if onehot:
            stages.append(OneHotEncoder(inputCols=codes, outputCols=vectors))
    inputs = [*(f"{name}__i" for name in numbers), *(vectors if onehot else codes)]
    return [*stages, VectorAssembler(inputCols=inputs, outputCol="features")]


def model(name: str, kind: Kind, levels: int) -> Any:
    """Return a Spark model for a kind of task, with as many bins as the largest text column has levels."""
    from pyspark.ml import classification, regression

    bins = {"maxBins": max(BINS, levels), "seed": 0}
    if kind == "regression":
        made = {"linear": regression.LinearRegression, "gbt": regression.GBTRegressor}
        return made.get(name, regression.RandomForestRegressor)(**({} if name == "linear" else bins))
    made = {"linear": classification.LogisticRegression, "gbt": classification.GBTClassifier}
    return made.get(name, classification.RandomForestClassifier)(**({} if name == "linear" else bins))


def fit_predict(name: str, train: "DataFrame", target: str, test: "DataFrame", kind: Kind) -> np.ndarray:
    """Fit and score through Parquet files; numbers are doubles, as Imputer needs them."""
    from pyspark.ml import Pipeline
    from pyspark.ml.functions import vector_to_array

    x, test, y = columns(train, target, test)
    text = words(x)
    doubles = dict.fromkeys([name for name in x if name not in text], float)
    levels = max([2, *(x[name].nunique() + 1 for name in text)])
    with tempfile.TemporaryDirectory() as folder:
        read = []
        parts = {"train": x.astype(doubles).assign(label=y.astype(float)), "test": test.astype(doubles)}
        for part, frame in parts.items():
            file = Path(folder) / f"{part}.parquet"
            frame.assign(row=range(len(frame))).to_parquet(file, index=False, row_group_size=max(1, len(frame) // 8))
            read.append(start().read.parquet(str(file)))
        stages = [*usual(x, onehot=name == "linear"), model(name, kind, levels)]
        found = Pipeline(stages=stages).fit(read[0].cache()).transform(read[1])
        what = found.prediction if kind == "regression" else vector_to_array("probability")
        rows = found.select("row", what.alias("found")).toPandas().sort_values("row")
    return np.array(rows.found.tolist())


PEERS = {
    f"spark-{name}": Model(partial(fit_predict, name), ("pyspark.ml", "pandas", "pyarrow"), start)
    for name in ("linear", "forest", "gbt")
}

"""What a first-class stage of Spark ML does, as functions of a session: run on classic Spark and on Spark Connect.

Each returns what `test_contract.py` checks, as JSON.  Run as a program on a remote, it prints them all.
"""

import datetime
import decimal
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.ml import Pipeline, PipelineModel
from pyspark.ml.classification import OneVsRest, OneVsRestModel
from pyspark.ml.evaluation import (
    BinaryClassificationEvaluator,
    MulticlassClassificationEvaluator,
    RegressionEvaluator,
)
from pyspark.ml.feature import IndexToString, OneHotEncoder, StringIndexer, VectorAssembler
from pyspark.ml.functions import array_to_vector, vector_to_array
from pyspark.ml.tuning import CrossValidator, CrossValidatorModel, ParamGridBuilder, TrainValidationSplit
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.utils import is_remote

from firesteel.errors import ConfigError, DataError
from firesteel.layers import Dense, Table
from firesteel.models import Sequential
from firesteel.spark import (
    NeuralNetworkClassifier,
    NeuralNetworkClassifierModel,
    NeuralNetworkRegressor,
    NeuralNetworkRegressorModel,
    engine,
    load_pack,
    pack,
    parcel,
)
from firesteel.spark.engine import SparkEngine
from firesteel.spark.frames import Frame
from tests.spark.conftest import EVERY_ROW, LAYERED, executors, fit, make_rows
from tests.support import graphs


def rows(spark: SparkSession, n: int = 240) -> DataFrame:
    """Three kinds of fruit, that differ in colour, weight and diameter, which have very different scales."""
    rng = np.random.default_rng(0)
    kind = rng.integers(0, 3, n)
    made = [
        (
            number,
            ["lemon", "apple", "melon"][k],
            ["yellow", "red", "green"][(k + (rng.random() < 0.2)) % 3],
            float(100 * (1 + 9 * (k == 2)) + 20 * rng.normal()),
            float(0.07 + 0.1 * (k == 2) + 0.01 * rng.normal()),
            float(k),
            float(1 + number % 3),
            bool(rng.random() < 0.25),
        )
        for number, k in enumerate(kind.tolist())
    ]
    schema = "id long, fruit string, colour string, grams double, metres double, kind double, w double, held boolean"
    return spark.createDataFrame(made, schema)


def numeric(spark: SparkSession) -> DataFrame:
    assembler = VectorAssembler(inputCols=["grams", "metres"], outputCol="features")
    return assembler.transform(rows(spark)).withColumn("label", F.col("kind"))


def small(**params: Any) -> NeuralNetworkClassifier:
    return NeuralNetworkClassifier(**({"hiddenLayers": [8], "maxIter": 12, "seed": 1} | EVERY_ROW | params))


def predictions(scored: DataFrame, name: str = "prediction") -> list[Any]:
    return [row[name] for row in scored.select("id", name).orderBy("id").collect()]


def mixed_pipeline(spark: SparkSession, folder: str) -> Any:
    frame = rows(spark)
    stages = [
        StringIndexer(inputCol="fruit", outputCol="label"),
        StringIndexer(inputCol="colour", outputCol="colour_index"),
        OneHotEncoder(inputCol="colour_index", outputCol="colour_vector"),
        VectorAssembler(inputCols=["colour_vector", "grams", "metres"], outputCol="features"),
        small(maxIter=25),
        IndexToString(inputCol="prediction", outputCol="named"),
    ]
    fitted = Pipeline(stages=stages).fit(frame)
    path = f"{folder}/fruit"
    PipelineModel([fitted.stages[4]]).save(path)
    fitted.write().overwrite().save(path)
    scored = fitted.transform(frame)
    back = PipelineModel.load(path)
    named = predictions(scored, "named")
    return {
        "columns": scored.columns,
        "types": {f.name: f.dataType.simpleString() for f in scored.schema.fields},
        "right": float(np.mean([a == b for a, b in zip(named, predictions(frame, "fruit"), strict=True)])),
        "fingerprints": [model.stages[4].network.fingerprint() for model in (fitted, back)],
        "same": predictions(back.transform(frame)) == predictions(scored),
        "features": back.stages[4]._features,
        "path": path,
        "predictions": predictions(scored),
    }


def new_process(spark: SparkSession, folder: str) -> Any:
    """Predictions of the pipeline that mixed_pipeline saved, loaded by a process of its own, on classic Spark."""
    program = (
        "import json\nfrom pyspark.ml import PipelineModel\nfrom firesteel.spark import session\n"
        "spark = session('local[1]', conf={'spark.ui.enabled': 'false'})\n"
        "from tests.spark.contract import predictions, rows\n"
        f"model = PipelineModel.load({folder + '/fruit'!r})\n"
        "print(json.dumps(predictions(model.transform(rows(spark)))))\n"
        "spark.stop()\n"
    )
    return json.loads(printed(program))


def printed(program: str, *arguments: str) -> str:
    """Return the last line that a program of its own process prints."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SPARK_")}
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], env=environment, capture_output=True, text=True, timeout=150
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.splitlines()[-1]


def packings(work: Any) -> tuple[Any, int]:
    """Return what work returns, and how often rows were packed meanwhile."""
    original, count, lock = Frame.packed, [0], threading.Lock()

    def counted(self: Frame, *given: Any) -> Any:
        with lock:
            count[0] += 1
        return original(self, *given)

    Frame.packed = counted  # type: ignore[method-assign]
    try:
        return work(), count[0]
    finally:
        Frame.packed = original  # type: ignore[method-assign]


def cross_validator(spark: SparkSession, folder: str) -> Any:
    frame = numeric(spark).cache()
    estimator = small()
    grid = ParamGridBuilder().addGrid(estimator.learningRate, [0.0, 0.05]).build()
    evaluator = MulticlassClassificationEvaluator(metricName="accuracy")
    tuned = CrossValidator(
        estimator=estimator, estimatorParamMaps=grid, evaluator=evaluator, numFolds=2, parallelism=2, seed=1
    )
    with executors():
        found, packed = packings(lambda: tuned.fit(frame))
    found.write().overwrite().save(f"{folder}/tuned")
    back = CrossValidatorModel.load(f"{folder}/tuned")
    alone = estimator.copy(grid[int(np.argmax(found.avgMetrics))]).fit(frame)
    frame.unpersist()
    return {
        "metrics": found.avgMetrics,
        "packed": packed,
        "best": found.bestModel.network.fingerprint(),
        "alone": alone.network.fingerprint(),
        "loaded": back.bestModel.network.fingerprint(),
    }


def train_validation_split(spark: SparkSession, folder: str) -> Any:
    frame = rows(spark).withColumn("target", F.col("grams") / 10 + 3 * F.col("kind"))
    named = EVERY_ROW | {"labelCol": "target", "maxIter": 15, "seed": 1}
    estimator = NeuralNetworkRegressor(featuresCol=["grams", "metres", "kind"], **named)
    grid = (
        ParamGridBuilder().addGrid(estimator.hiddenLayers, [[4], [16]]).addGrid(estimator.regParam, [0, 10]).build()
    )
    tuned = TrainValidationSplit(
        estimator=estimator, estimatorParamMaps=grid, evaluator=RegressionEvaluator(labelCol="target"), seed=1
    )
    with executors():
        found, packed = packings(lambda: tuned.fit(frame))
    return {"metrics": found.validationMetrics, "packed": packed, "sizes": found.bestModel.getHiddenLayers()}


def one_vs_rest(spark: SparkSession, folder: str) -> Any:
    frame = numeric(spark)
    fitted = OneVsRest(classifier=small(), weightCol="w").fit(frame)
    fitted.write().overwrite().save(f"{folder}/rest")
    back = OneVsRestModel.load(f"{folder}/rest")
    scored = fitted.transform(frame)
    return {
        "accuracy": MulticlassClassificationEvaluator(metricName="accuracy").evaluate(scored),
        "models": len(fitted.models),
        "same": predictions(back.transform(frame)) == predictions(scored),
    }


def evaluators(spark: SparkSession, folder: str) -> Any:
    frame = numeric(spark)
    two = frame.withColumn("label", (F.col("kind") > 1).cast("double"))
    three, binary = small(maxIter=25).fit(frame), small(maxIter=25).fit(two)
    number = NeuralNetworkRegressor(labelCol="grams", hiddenLayers=[64], maxIter=25, seed=1, **EVERY_ROW).fit(frame)
    scored = [three.transform(frame).cache(), binary.transform(two).cache(), number.transform(frame).cache()]
    several = {
        name: MulticlassClassificationEvaluator(metricName=name).evaluate(scored[0])
        for name in ("accuracy", "f1", "logLoss")
    }
    areas = {
        name: BinaryClassificationEvaluator(metricName=name).evaluate(scored[1])
        for name in ("areaUnderROC", "areaUnderPR")
    }
    fits = {n: RegressionEvaluator(labelCol="grams", metricName=n).evaluate(scored[2]) for n in ("r2", "rmse")}
    for one in scored:
        one.unpersist()
    summary = three.summary
    return (
        several
        | areas
        | fits
        | {
            "loss": summary.loss,
            "summary": [
                summary.accuracy,
                summary.weightedFMeasure(),
                len(summary.objectiveHistory),
                summary.totalIterations,
            ],
            "regression": [number.summary.r2, number.summary.rootMeanSquaredError],
        }
    )


def thresholds(spark: SparkSession, folder: str) -> Any:
    frame = numeric(spark)
    model = small().fit(frame)
    always = model.copy().setThresholds([0.0, 1.0, 1.0])
    even = model.copy().setThresholds([0.5, 0.5, 0.5])
    kept = small(thresholds=[1.0, 1.0, 0.0]).fit(frame)
    row = frame.orderBy("id").first().features
    return {
        "always": sorted(set(predictions(always.transform(frame)))),
        "one row": always.predict(row),
        "even": predictions(even.transform(frame)) == predictions(model.transform(frame)),
        "from the estimator": sorted(set(predictions(kept.transform(frame)))),
    }


def weights(spark: SparkSession, folder: str) -> Any:
    frame = numeric(spark)
    rare = frame.filter("kind > 0 or id % 10 = 0").withColumn("label", (F.col("kind") > 0).cast("double"))
    rare = rare.withColumn("features", array_to_vector(F.array(F.rand(1))))

    def recall(**params: Any) -> float:
        return float(small(hiddenLayers=[], maxIter=20, **params).fit(rare).summary.recallByLabel[0])

    frame = frame.withColumn("none", F.when(F.col("kind") == 0, 0.0).otherwise(1.0))
    return {
        "plain": recall(),
        "balanced": recall(classWeights="balanced"),
        "map": recall(classWeights={0: 100.0, 1: 1.0}),
        "no weight for lemons": small(maxIter=30, weightCol="none").fit(frame).summary.actual.tolist(),
    }


def forms(spark: SparkSession, folder: str) -> Any:
    """The same rows as dense and sparse vectors, arrays, columns and bytes give the same network."""
    rng = np.random.default_rng(0)
    pixels, y = rng.integers(0, 4, (200, 5), dtype=np.uint8), rng.integers(0, 3, 200)
    data = [(*p.tolist(), bytearray(p.tobytes()), int(k)) for p, k in zip(pixels, y, strict=True)]
    names = [f"p{number}" for number in range(5)]
    frame = spark.createDataFrame(data, ", ".join(f"{n} int" for n in names) + ", bytes binary, label int")
    array = F.array(*names)
    frame = (
        VectorAssembler(inputCols=names, outputCol="assembled")
        .transform(frame)
        .withColumn("array", array)
        .withColumn("dense", array_to_vector(array.cast("array<double>")))
    )
    found = {}
    for name in ("assembled", "array", "dense", "bytes", names):
        fitted = small(featuresCol=name, maxIter=2).fit(frame.repartition(3))
        scored = fitted.transform(frame).select("probability").collect()
        found[str(name)] = [fitted.network.fingerprint(), scored[0][0].toArray().tolist()]
    return found


def validation(spark: SparkSession, folder: str) -> Any:
    frame = numeric(spark)
    by_column = small(validationIndicatorCol="held").fit(frame)
    by_share = small(validationFraction=0.3, maxIter=200, earlyStoppingRounds=5, evalMetric="accuracy").fit(frame)
    by_id = [
        small(validationFraction=0.3, idCol="id", maxIter=2).fit(frame.repartition(n)).network.fingerprint()
        for n in (1, 5)
    ]
    history = by_share.history
    converged = small(tol=0.5, maxIter=50).fit(frame)
    return {
        "rows": by_column.history.rows[0]["rows"],
        "held": frame.filter("held").count(),
        "val_loss": by_column.history.history["val_loss"],
        "epochs": by_share.summary.totalIterations,
        "best": history.best,
        "val_accuracy": history.history["val_accuracy"],
        "by id": by_id,
        "converged": converged.summary.totalIterations,
    }


def regularised(spark: SparkSession, folder: str) -> Any:
    frame = numeric(spark)

    def kernels(**params: Any) -> list[float]:
        model = small(maxIter=20, learningRate=0.02, **params).fit(frame)
        return [float(np.abs(w).sum()) for w in model.network.get_weights() if w.ndim == 2]

    return {
        "free": kernels(),
        "l2": kernels(regParam=0.1),
        "l1": kernels(regParam=0.1, elasticNetParam=1.0),
        "gradient": kernels(regParam=0.1, strategy="gradient"),
        "dropout": kernels(dropout=0.5),
    }


def sequential(spark: SparkSession, folder: str) -> Any:
    """A `Sequential` on a frame of sparse vectors, with weights and rows held out, against the same in process."""
    made = make_rows()
    settings = {"weight": "weight", "validation_split": 0.2}
    there = fit(made.frame(spark, "sparse").repartition(5), **settings)
    with pack(made.frame(spark), **settings) as kept:
        here = fit(kept)
    try:
        fit(made.frame(spark, "columns"), features=["x0", "x1"], label="nothing")
        refused = ""
    except DataError as error:
        refused = f"{type(error).__name__}: {error}"
    return {"there": there, "here": here, "refused": refused}


def several_targets(spark: SparkSession, folder: str) -> Any:
    frame = rows(spark).withColumn("both", F.array(F.col("grams"), F.col("metres") * 1000))
    estimator = NeuralNetworkRegressor(
        featuresCol=["kind", "grams"], labelCol="both", hiddenLayers=[64], maxIter=60, seed=1, **EVERY_ROW
    )
    model = estimator.fit(frame)
    model.write().overwrite().save(f"{folder}/both")
    back = NeuralNetworkRegressorModel.load(f"{folder}/both")
    scored = predictions(back.transform(frame))
    wanted = predictions(frame, "both")
    one = model.predict(np.array([2.0, 1000.0]))
    share = rows(spark).withColumn("share", F.col("kind") / 2)
    layers = [Dense(4, "tanh"), Dense(1, "sigmoid")]
    bounded = NeuralNetworkRegressor(
        featuresCol=["grams"],
        labelCol="share",
        layers=layers,
        maxIter=60,
        learningRate=0.05,
        seed=1,
        **EVERY_ROW | LAYERED,
    ).fit(share)
    between = predictions(bounded.transform(share))
    return {
        "r2": model.summary.r2,
        "errors": np.abs(np.array(scored) - np.array(wanted)).mean(axis=0).tolist(),
        "type": back.transform(frame).schema["prediction"].dataType.simpleString(),
        "one": one.tolist(),
        "between 0 and 1": [min(between), max(between)],
        "loss": [bounded.summary.loss, bounded.summary.meanSquaredError],
    }


def far_from_zero(spark: SparkSession, folder: str) -> Any:
    """Stages on time stamps and targets around 1e9, and on the same numbers near zero."""
    rng = np.random.default_rng(0)
    v = np.round(rng.uniform(-300, 300, (300, 2)))
    t = np.sin(v[:, 0] / 100) + v[:, 1] / 200
    made = [(*a, *(1.7e9 + a), float(y), 1e9 + float(y), float(a[0] > 0)) for a, y in zip(v, t, strict=True)]
    frame = spark.createDataFrame(
        [tuple(map(float, row)) for row in made],
        "a double, b double, p double, q double, t double, far double, k double",
    ).withColumn("long", F.array(F.col("p").cast("long"), F.col("q").cast("long")))
    vectors = VectorAssembler(inputCols=["p", "q"], outputCol="vector").transform(frame).persist()
    common = EVERY_ROW | {"hiddenLayers": [8], "maxIter": 40, "seed": 1, "learningRate": 0.02}
    near = NeuralNetworkRegressor(featuresCol=["a", "b"], labelCol="t", **common).fit(vectors)
    found, bits = {}, {}
    for features in (["p", "q"], "vector", "long"):
        model = NeuralNetworkRegressor(featuresCol=features, labelCol="far", **common).fit(vectors)
        model.write().overwrite().save(f"{folder}/far")
        scored = NeuralNetworkRegressorModel.load(f"{folder}/far").transform(vectors)
        name = str(features)
        bits[name] = model.network.fingerprint()
        found[name] = [model.summary.r2, RegressionEvaluator(labelCol="far", metricName="r2").evaluate(scored)]
    classifiers = [
        NeuralNetworkClassifier(featuresCol=features, labelCol="k", **common).fit(vectors).summary.accuracy
        for features in (["a", "b"], "vector")
    ]
    with pack(vectors, "vector", "far") as kept:
        on_packed = NeuralNetworkRegressor(featuresCol="vector", labelCol="far", **common).fit(kept)
    return {
        "near": near.summary.r2,
        "far": found,
        "bits": bits | {"packed": on_packed.network.fingerprint()},
        "accuracy": classifiers,
        "one": on_packed.predict(vectors.head()["vector"]) - on_packed.transform(vectors).head()["prediction"],
    }


def packed(spark: SparkSession, folder: str) -> Any:
    frame = numeric(spark)
    stages = [small(weightCol="w", maxIter=2, learningRate=rate) for rate in (0.01, 0.02)]

    def fits() -> Any:
        with pack(frame, weight="w") as kept:
            shown = repr(kept)
            found = [stage.fit(kept).network.fingerprint() for stage in stages]
            model = Sequential([Dense(4, "relu"), Dense(3, "softmax")])
            model.compile("adam", "sparse_categorical_crossentropy", ["accuracy"])
            model.fit(kept, epochs=2, verbose=0)
            return found, shown, model.evaluate(kept, verbose=0)

    (found, shown, scores), count = packings(fits)
    stored = pack(frame, weight="w", validation_split=0.25, path=f"{folder}/packed-{time.time_ns()}")
    with stored:
        stage = small(weightCol="w", maxIter=2, validationFraction=0.25)
        held = [stage.fit(rows).history.rows[-1] for rows in (stored, frame)]
    return {
        "direct": [stage.fit(frame).network.fingerprint() for stage in stages],
        "packed": found,
        "count": count,
        "shown": shown,
        "scores": scores,
        "held": [[row["loss"], row["val_loss"]] for row in held],
    }


ODD = "a b%20#[c-e]{f,g}*?\\[é漢"
"""A folder that holds all that a path can hold and a pattern reads otherwise."""


def stored_pack(spark: SparkSession, folder: str) -> Any:
    frame = numeric(spark)
    path = f"{folder}/{ODD}/stored-{time.time_ns()}"
    pack(frame, path=path).unpersist()
    with load_pack(path) as again:
        found = [small(maxIter=2).fit(rows).network.fingerprint() for rows in (again, frame)]
    errors = []
    for wrong in (
        lambda: pack(frame, path=path),
        lambda: load_pack(Path(folder, ODD, "nothing")),
        lambda: small(labelCol="kind").fit(again),
    ):
        try:
            wrong()
        except ValueError as error:
            errors.append(f"{type(error).__name__}: {error}")
    return {"found": found, "errors": errors}


def interrupted_fits(
    spark: SparkSession, folder: str, rounds: tuple[int, ...], finish: bool = True, **params: Any
) -> Any:
    """Interrupt a fit in each of these rounds in turn, let it end, and compare with one that was left alone."""
    frame, original = numeric(spark), SparkEngine.map
    left, done = [0], []

    def counted(self: SparkEngine, work: Any, task: Any) -> Any:
        left[0] -= 1
        if not left[0]:
            raise KeyboardInterrupt
        return original(self, work, task)

    estimator = small(checkpointDir=folder, **params)
    SparkEngine.map = counted  # type: ignore[method-assign]
    try:
        for number in rounds:
            left[0] = 2 + number  # two rounds measure the features
            try:
                estimator.fit(frame)
            except KeyboardInterrupt:
                done.append(number)
        left[0] = 0
        again = estimator.fit(frame) if finish else None
        run_again, left[0] = -left[0], 0
        whole = small(**params).fit(frame)
    finally:
        SparkEngine.map = original  # type: ignore[method-assign]
    return {
        "interrupted": len(done),
        "whole": whole.network.fingerprint(),
        "again": again.network.fingerprint() if again else None,
        "history": bool(again) and again.summary.objectiveHistory == whole.summary.objectiveHistory,
        "rounds": [run_again, -left[0]],
    }


def checkpoints(spark: SparkSession, folder: str) -> Any:
    with executors():
        return interrupted_fits(spark, f"{folder}/{ODD}/kept", (2,), maxIter=5)


def networks(spark: SparkSession, folder: str) -> Any:
    frame = numeric(spark)
    model = small().fit(frame)
    again = NeuralNetworkClassifierModel.fromNetwork(model.network)
    layers = [Dense(6, "tanh"), Dense(1, "sigmoid")]
    two = frame.withColumn("label", (F.col("kind") > 1).cast("double"))
    sigmoid = small(layers=layers, maxIter=20, **LAYERED)
    place = Path(folder, ODD, "sigmoid")
    sigmoid.write().overwrite().save(place)
    one = NeuralNetworkClassifier.load(place).fit(two)
    row = frame.orderBy("id").first().features
    scored = model.transform(frame).orderBy("id").first()
    return {
        "same": predictions(again.transform(frame)) == predictions(model.transform(frame)),
        "one row": [
            np.abs(model.predictRaw(row).toArray() - scored.rawPrediction.toArray()).max(),
            np.abs(model.predictProbability(row).toArray() - scored.probability.toArray()).max(),
            model.predict(row) - scored.prediction,
        ],
        "sizes": [model.numFeatures, model.numClasses, one.numFeatures, one.numClasses],
        "sigmoid": float(one.summary.accuracy),
        "two probabilities": float(one.transform(two).first().probability.toArray().sum()),
    }


def nested(spark: SparkSession, folder: str) -> Any:
    """Features, labels and weights that are fields of structs give the network of plain columns."""
    frame = numeric(spark).withColumn("held", F.col("id") % 5 == 0)
    inner = frame.select("id", F.struct("features", F.struct(*frame.columns).alias("deep.er")).alias("row"))
    deep = "row.`deep.er`."
    names = {"featuresCol": "features", "labelCol": "label", "weightCol": "kind", "validationIndicatorCol": "held"}
    fits = {
        "vector": [names, {part: f"{deep}{name}" for part, name in names.items()}],
        "list": [{"featuresCol": ["grams", "metres"]}, {"featuresCol": [f"{deep}grams", "ROW.`Deep.Er`.METRES"]}],
    }
    found = {}
    for form, (plain, fields) in fits.items():
        flat = small(maxIter=2, **plain).fit(frame)
        model = small(maxIter=2, **{"labelCol": f"{deep}label"} | fields).fit(inner)
        same = predictions(model.transform(inner)) == predictions(flat.transform(frame))
        found[form] = [flat.network.fingerprint() == model.network.fingerprint(), same]
    return found


def raw_tables(spark: SparkSession, folder: str) -> Any:
    """A table as it is, in a pipeline under a CrossValidator; saved, loaded, and scored as a stream."""
    at = F.timestamp_seconds(F.col("id") * 437_500)
    frame = rows(spark).withColumn("at", at).withColumn("colour", F.when(F.col("id") % 9 > 0, F.col("colour")))
    learns = {"solver": "adam", "learningRate": 0.05, "batchSize": 16, "shards": 1}
    stage = small(labelCol="fruit", ignoreCols=["id", "kind", "w", "held"], members=2, **learns)
    wanted = {"melon": 0.3, "apple": 0.4, "lemon": 0.3}
    grid = ParamGridBuilder().addGrid(stage.hiddenLayers, [[8], [16]]).addGrid(stage.thresholds, [wanted]).build()
    evaluator = MulticlassClassificationEvaluator(labelCol="label_index", metricName="accuracy")
    search = CrossValidator(
        estimator=Pipeline(stages=[stage]), estimatorParamMaps=grid, evaluator=evaluator, numFolds=2
    )
    fitted = search.fit(frame)
    path = f"{folder}/raw"
    fitted.bestModel.write().overwrite().save(path)
    back = PipelineModel.load(path).stages[0]
    unseen = [("mauve", None, 0.1, None), (None, 150.0, None, None)]
    strange = spark.createDataFrame(unseen, "colour string, grams double, metres double, at timestamp")
    stream = spark.readStream.format("rate").option("rowsPerSecond", 50).load().drop("timestamp")
    made = F.lit("red").alias("colour"), F.lit(100.0).alias("grams"), F.lit(0.1).alias("metres")
    name = f"raw{time.time_ns()}"
    scored = back.transform(stream.select(*made, F.lit(None).cast("timestamp").alias("at"), "value"))
    query = scored.select("predictedLabel").writeStream.format("memory").queryName(name).start()
    try:
        found: list[Any] = []
        for _ in range(120):
            time.sleep(0.5)
            if found := spark.table(name).collect():
                break
    finally:
        query.stop()
        spark.sql(f"DROP VIEW IF EXISTS {name}")
    return {
        "averages": fitted.avgMetrics,
        "columns": back.getInputCols(),
        "labels": back.labels,
        "thresholds": back.getThresholds(),
        "fingerprint": back.network.fingerprint(),
        "same": predictions(back.transform(frame)) == predictions(fitted.transform(frame)),
        "strange": [row.predictedLabel for row in back.transform(strange).collect()],
        "stream": sorted({row.predictedLabel for row in found}),
        "worth": list(fitted.bestModel.stages[0].featureImportances),
        "worth when loaded": back.importances(frame).shares(back.getInputCols()).tolist(),
    }


def flights(rows: int, **new: Any) -> pa.Table:
    """Flights of every type of column, with gaps.  new: columns that take the place of some."""
    rng, day = np.random.default_rng(rows), datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC)
    numbers = rng.integers(0, 200, rows).tolist()
    columns: dict[str, Any] = {
        "carrier": [("AA", "DL", "UA", None)[n % 4] for n in numbers],
        "tail": [f"N{n}" for n in numbers],
        "departs": [day + datetime.timedelta(minutes=20_011 * n) for n in numbers],
        "day": [None if n % 13 == 0 else day.date() + datetime.timedelta(days=n) for n in numbers],
        "temp": [None if n % 9 == 0 else float(n % 30 - 9) for n in numbers],
        "seats": pa.array([None if n % 17 == 0 else 100 + n for n in numbers], pa.int32()),
        "cargo": [n % 5 == 0 for n in numbers],
        "price": pa.array([decimal.Decimal(n) / 4 for n in numbers], pa.decimal128(10, 2)),
        "late": ["late" if n % 30 + n % 4 > 15 + rng.normal() else "on time" for n in numbers],
    }
    return pa.table(columns | new)


def called_models(spark: SparkSession, folder: str) -> Any:
    """Models of several inputs and outputs and others, trained in process and on frames, and what they predict."""
    frame, found = graphs.framed(spark), {}
    how: dict[str, Any] = {"epochs": 2, "batch_size": 16, "shards": 3, "seed": 1, "verbose": 0}
    for name in graphs.CALLED:
        here = graphs.called(name)
        here.fit(*graphs.parted(here), **how)
        fingerprints = [here.fingerprint()]
        for partitions in (3, 40):
            there = graphs.called(name)
            there.fit(frame.repartition(partitions), **graphs.columns(there), **how)
            fingerprints.append(there.fingerprint())
        rows = frame.orderBy("size").drop("kind", "size")
        scored = here.predict(rows, features=graphs.COLUMNS["features"])
        found[name] = {"fingerprints": fingerprints, "made": scored.columns[6:], "rows": scored.count()}
    return found


def three_lines(spark: SparkSession, folder: str, whole: bool = True) -> Any:
    """A table from Parquet, fitted in one time zone, saved, and scored in others, with what training had not."""
    few = {} if whole else {"hiddenLayers": [4], "members": 1}
    new = flights(20, carrier=["XX"] * 10 + [None] * 10, temp=pa.nulls(20, pa.float64()), tail=["new"] * 20)
    for name, table in {"flights": flights(600 if whole else 90), "new": new.drop_columns(["late"])}.items():
        Path(folder, name).mkdir(exist_ok=True)
        pq.write_table(table, f"{folder}/{name}/part.parquet")
    zone = spark.conf.get("spark.sql.session.timeZone")
    spark.conf.set("spark.sql.session.timeZone", "Asia/Tokyo")
    try:
        frame = spark.read.parquet(f"{folder}/flights")
        stage = NeuralNetworkClassifier(labelCol="late", maxIter=4, **few)
        model = stage.fit(frame)
        parts = ((7,) if is_remote() else (1, 7, 200)) if whole else ()
        fingerprints = [model.network.fingerprint()]
        fingerprints += [stage.fit(frame.repartition(count)).network.fingerprint() for count in parts]
        fits = [same.fingerprint() for same in on_both(frame, folder)] if whole else []
        model.write().overwrite().save(f"{folder}/late")
        spark.conf.set("spark.sql.session.timeZone", "America/New_York")
        scored = scored_stream(spark, folder)
    finally:
        spark.conf.set("spark.sql.session.timeZone", zone)
    program = (
        "import json, sys\nfrom firesteel.spark import session\nfrom tests.spark.contract import scored_stream\n"
        "spark = session('local[1]', conf={'spark.ui.enabled': 'false'})\n"
        "spark.conf.set('spark.sql.session.timeZone', 'Europe/Berlin')\n"
        "print(json.dumps(scored_stream(spark, sys.argv[1])))\nspark.stop()\n"
    )
    return {
        "fingerprints": fingerprints,
        "fits": fits,
        "zone": model.getTimeZone(),
        "scored": [scored, model.network.predict(new)[:, 1].astype(float).tolist()]
        + ([json.loads(printed(program, folder))] if whole else []),
    }


def on_both(frame: DataFrame, folder: str) -> list[Sequential]:
    """Fit one network on a DataFrame and on the same rows as arrays."""
    plain = NeuralNetworkClassifier(
        labelCol="late", maxIter=2, members=1, timeZone="UTC", validationFraction=0.0, hiddenLayers=[4], shards=1
    ).fit(frame)
    arrays = pq.read_table(f"{folder}/flights").combine_chunks()
    again = Sequential([Table(output_dim=plain.network.layers[0].output_dim), *plain.network.layers[1:]])
    again.compile(plain.network.optimizer, "sparse_categorical_crossentropy", ["accuracy"])
    y = np.array([plain.labels.index(word) for word in arrays["late"].to_pylist()])
    again.fit(arrays.drop_columns(["late"]), y, plain.getBatchSize(), plain.getMaxIter(), verbose=0)
    return [plain.network, again]


def scored_stream(spark: SparkSession, folder: str) -> list[float]:
    """Load what `three_lines` saved, score its new rows as a stream, and return the probabilities of class 1."""
    model, name = NeuralNetworkClassifierModel.load(f"{folder}/late"), f"late{time.time_ns()}"
    schema = spark.read.parquet(f"{folder}/new").schema
    scored = model.transform(spark.readStream.schema(schema).parquet(f"{folder}/new"))
    chosen = scored.select(vector_to_array("probability")[1].alias("late"))
    query = chosen.writeStream.format("memory").queryName(name).trigger(availableNow=True).start()
    query.awaitTermination(100)
    return [row.late for row in spark.table(name).collect()]


def streaming(spark: SparkSession, folder: str) -> Any:
    model = small().fit(numeric(spark))
    stream = spark.readStream.format("rate").option("rowsPerSecond", 50).load()
    features = array_to_vector(F.array((F.col("value") % 1000).cast("double"), F.lit(0.1)))
    scored = model.transform(stream.withColumn("features", features))
    name = f"scores{time.time_ns()}"
    query = scored.select("value", "prediction").writeStream.format("memory").queryName(name).start()
    try:
        for _ in range(120):
            time.sleep(0.5)
            found = spark.table(name).collect()
            if found:
                break
        at = np.array([[row.value % 1000, 0.1] for row in found])
        expected = model.network.predict(at).argmax(axis=1) if found else []
        return {"rows": len(found), "same": [row.prediction for row in found] == [float(k) for k in expected]}
    finally:
        query.stop()
        spark.sql(f"DROP VIEW IF EXISTS {name}")


def big(spark: SparkSession, folder: str) -> Any:
    rows = make_rows(300)
    frame, settings = rows.frame(spark), {"shards": 3, "epochs": 3}
    found, refused = [fit(frame, **settings), fit(rows.x, rows.y, **settings)], ""
    with pytest.MonkeyPatch.context() as sizes:
        for module, name, size in [
            (engine, "PIECE_BYTES", 40),
            (engine, "MERGE_BYTES", 0),
            (parcel, "SMALL", 200),
            (parcel, "BROADCAST_BYTES", 0),
            (parcel, "FILE_BYTES", 0),
        ]:
            sizes.setattr(module, name, size)
        found.append(fit(frame, **settings))
        sizes.setattr(engine, "RESULT_SHARE", 1e-7)
        try:
            fit(frame, **settings)
        except ConfigError as error:
            refused = str(error)
    return {"found": found, "refused": refused}


ALL = (
    mixed_pipeline,
    new_process,
    cross_validator,
    train_validation_split,
    one_vs_rest,
    evaluators,
    thresholds,
    weights,
    forms,
    validation,
    regularised,
    sequential,
    several_targets,
    far_from_zero,
    packed,
    stored_pack,
    checkpoints,
    networks,
    nested,
    raw_tables,
    called_models,
    three_lines,
    streaming,
    big,
)


SLOW = (
    new_process,
    train_validation_split,
    evaluators,
    weights,
    forms,
    regularised,
    several_targets,
    called_models,
    three_lines,
)
"""What only slow tests check on Connect."""


def main(remote: str, slow: str = "") -> None:
    spark = SparkSession.builder.remote(remote).getOrCreate()
    folder = tempfile.mkdtemp()
    found = {function.__name__: function(spark, folder) for function in ALL if slow or function not in SLOW}
    found["connect"] = "connect" in type(spark).__module__
    print(json.dumps(found, default=float))
    spark.stop()


if __name__ == "__main__":
    main(*sys.argv[1:])

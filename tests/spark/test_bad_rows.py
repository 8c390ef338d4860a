"""Rows R16 to R26 of the reliability table: odd layouts change nothing, bad rows are refused in five parts."""

import functools
import math
import re
import time

import numpy as np
import pytest
from pyspark.ml.feature import VectorAssembler
from pyspark.ml.functions import array_to_vector
from pyspark.ml.linalg import SparseVector
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from firesteel.errors import ConfigError, DataError, FiresteelError
from firesteel.layers import Dense
from firesteel.spark import NeuralNetworkClassifier, NeuralNetworkRegressor
from tests.spark.conftest import EVERY_ROW, LAYERED, fit

WIDTH, MANY, FEW = 20, 6000, 90
NAMES = [f"x{number}" for number in range(WIDTH)]
NAN, INF, NULL = math.nan, math.inf, None
CLASSES = [WIDTH, 8, 3]
"""Layers that leave no doubt about the number of classes."""


# Rows


def made(spark, *ranges) -> DataFrame:
    """Rows with an id, 20 whole features, most of them 0, and a class 0..2; ranges: as spark.range takes them."""
    ids = functools.reduce(DataFrame.union, [spark.range(*one) for one in ranges])
    features = [
        F.greatest(F.pmod(F.xxhash64(F.col("id"), F.lit(number)), F.lit(16)) - 11, F.lit(0)).cast("double")
        for number in range(WIDTH)
    ]
    x = ids.select("id", F.array(*features).alias("features"))
    over = (F.col("features")[0] + F.col("features")[1] > F.col("features")[2]).cast("int")
    label = (over + (F.col("features")[3] > 0).cast("int")).cast("double")
    return x.withColumn("label", label).withColumn("weight", F.lit(1.0))


def in_columns(frame, names=NAMES) -> DataFrame:
    values = [F.col("features")[number].alias(name) for number, name in enumerate(names)]
    return frame.select("id", *values, *(name for name in frame.columns if name not in ("id", "features")))


def in_vectors(frame) -> DataFrame:
    return frame.withColumn("features", F.when(F.col("features").isNotNull(), array_to_vector("features")))


def assembled(frame, names=NAMES) -> DataFrame:
    return VectorAssembler(inputCols=list(names), outputCol="features").transform(in_columns(frame))


FORMS = {
    "array<double>": lambda frame: frame,
    "array<float>": lambda frame: frame.withColumn("features", F.col("features").cast("array<float>")),
    "array<int>": lambda frame: frame.withColumn("features", F.col("features").cast("array<int>")),
    "dense": in_vectors,
    "sparse": lambda frame: assembled(frame).drop(*NAMES),
    "columns": in_columns,
}


def changed(frame, name, value, where="id = 17") -> DataFrame:
    """Return the frame with another value in a column of the rows where this is true."""
    kind = frame.schema[name].dataType
    if isinstance(value, list):
        new = F.array(*(F.lit(item).cast(kind.elementType) for item in value))
    else:
        new = F.lit(value).cast(kind)
    return frame.withColumn(name, F.when(F.expr(where), new).otherwise(F.col(name)))


def holding(value) -> list:
    """A row of features with this value at position 3."""
    return [*[0.0] * 3, value, *[0.0] * (WIDTH - 4)]


@pytest.fixture(scope="module")
def kept(spark):
    """Rows in Spark's cache, so that each test reads them at once."""
    frames = {
        count: made(spark, (0, count, 1, partitions)).persist()
        for count, partitions in ((FEW, 2), (600, 2), (MANY, 12))
    }
    assert [frame.count() for frame in frames.values()] == list(frames)
    yield frames
    for frame in frames.values():
        frame.unpersist()


@pytest.fixture(scope="module")
def few(kept):
    return kept[FEW]


@pytest.fixture(scope="module")
def some(kept):
    return kept[600]


@pytest.fixture(scope="module")
def many(kept):
    return kept[MANY]


@pytest.fixture(scope="module")
def expected(many):
    """The fingerprint of the fit in process, which is the reference."""
    rows = many.orderBy("id").collect()
    return fit(np.array([row.features for row in rows]), np.array([row.label for row in rows]))


# Stages and refusals


def classifier(**params):
    return NeuralNetworkClassifier(**{"hiddenLayers": [8], "maxIter": 1, "seed": 1} | EVERY_ROW | params)


def regressor(**params):
    return NeuralNetworkRegressor(**{"hiddenLayers": [8], "maxIter": 1, "seed": 1} | EVERY_ROW | params)


def sized(kind=NeuralNetworkClassifier, **params):
    sizes = CLASSES if kind is NeuralNetworkClassifier else [WIDTH, 8, 1]
    return kind(**{"layers": sizes, "maxIter": 1, "seed": 1} | EVERY_ROW | params)


def print_of(model) -> str:
    return model.network.fingerprint()


def jobs(spark) -> int:
    """How many jobs were ever started."""
    return spark.sparkContext._jsc.sc().dagScheduler().numTotalJobs()


def refused(action, frame, most=1, kind=DataError) -> str:
    """Return what a refusal says; `most` jobs may start before it: one validates the rows, so none trains."""
    before = jobs(frame.sparkSession)
    with pytest.raises(kind) as caught:
        action(frame)
    assert jobs(frame.sparkSession) - before <= most
    text = str(caught.value)
    assert isinstance(caught.value, ValueError) and re.search(r" \[[a-z]+(-[a-z]+)+\]$", text)
    assert "Traceback" not in text and "org.apache" not in text
    return text


def five_parts(text, column, value, where, count) -> dict:
    """Which parts a message has; that it came before the first update is for `refused` to say."""
    return {
        "column": column in text,
        "value": value in text,
        "where": where in text,
        "count": count in text,
        "remedy": bool(re.search(r"To do: \w+", text)),
    }


def complete(text, *parts) -> None:
    found = five_parts(text, *parts)
    assert all(found.values()), (found, text)


def trains(model, rows=None) -> None:
    history = model.history.rows
    assert all(
        math.isfinite(value) for row in history for name, value in row.items() if name not in ("epoch", "by_shard")
    )
    assert rows is None or [row["rows"] for row in history] == [rows] * len(history)


# R16 to R18: layouts


LAYOUTS = {
    "r16 one full partition before 31 empty ones": [(0, MANY, 1, 1), (MANY, MANY + 62, 1, 31)],
    "r16 one full partition after 31 empty ones": [(-62, 0, 1, 31), (0, MANY, 1, 1)],
    "r18 99 percent in one partition": [(0, 5940, 1, 1), (5940, MANY, 1, 7)],
    "r18 partitions in order": [(0, MANY, 1, 12)],
    "r18 partitions reversed": [(MANY - 1, -1, -1, 12)],
}


def laid(spark, name) -> DataFrame:
    return made(spark, *LAYOUTS[name]).filter(F.col("id").between(0, MANY - 1))


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow) if " after " in name or " in order" in name else name
        for name in LAYOUTS
    ],
)
def test_r16_r18_where_the_rows_lie_changes_nothing(spark, expected, name):
    frame = laid(spark, name)
    there = dict(frame.groupBy(F.spark_partition_id()).count().collect())
    assert frame.rdd.getNumPartitions() == sum(one[3] for one in LAYOUTS[name]) and sum(there.values()) == MANY
    assert max(there.values()) == (MANY if "r16" in name else 5940 if "99" in name else 500)
    assert fit(frame) == expected


@pytest.mark.slow
def test_r16_r18_the_estimator_does_not_see_where_the_rows_lie(spark, many):
    stage = classifier(validationFraction=0.2)
    assert print_of(stage.fit(laid(spark, "r18 99 percent in one partition"))) == print_of(stage.fit(many))


@pytest.mark.slow
def test_r18_skew_costs_no_multiple_of_the_time(spark, expected):
    def seconds(name) -> float:
        frame = laid(spark, name).persist()
        frame.count()
        fit(frame)
        start = time.perf_counter()
        assert [fit(frame) for _ in range(3)] == [expected] * 3
        frame.unpersist()
        return time.perf_counter() - start

    even, skewed = seconds("r18 partitions in order"), seconds("r18 99 percent in one partition")
    print(f"99 % in one partition: {skewed / even:.2f} times as long")
    assert skewed < 3 * even


# R17: hardly any rows


@pytest.mark.parametrize("stage", [classifier, regressor])
def test_r17_no_rows_are_refused(few, stage):
    none = few.filter("id < 0")
    for frame in (none, none.repartition(8), none.coalesce(1)):
        text = refused(stage().fit, frame, most=2)
        assert "the DataFrame is empty: there are no rows to train on" in text


@pytest.mark.parametrize("stage", [classifier, regressor, sized])
@pytest.mark.parametrize("count", [1, 2])
def test_r17_one_row_and_two_rows_train(few, stage, count):
    frame = few.filter(F.col("id") < count).withColumn("label", F.col("id").cast("double"))
    trains(stage(batchSize=512).fit(frame), count)


def test_r17_two_rows_of_a_network_with_three_outputs_may_be_of_the_last_class(few):
    frame = few.filter("id < 2").withColumn("label", F.col("id") * 2.0)
    trains(sized().fit(frame), 2)
    trains(classifier(layers=[Dense(3, "softmax")], **LAYERED).fit(frame), 2)


@pytest.mark.parametrize("strategy", ["average", "gradient"])
def test_r17_a_batch_larger_than_the_rows_takes_each_once(few, strategy):
    trains(classifier(batchSize=100 * FEW, maxIter=3, tol=0.0, strategy=strategy).fit(few), FEW)


def test_r17_every_row_held_out_is_refused(few):
    text = refused(classifier(validationFraction=0.999999).fit, few)
    assert "of 90 rows leaves 0 to train on and 90 to validate: use more rows" in text
    text = refused(classifier(validationFraction=0.5).fit, few.filter("id < 1"))
    assert "of 1 rows leaves" in text


# R19: classes that are missing somewhere


def test_r19_a_class_that_is_absent_from_a_partition_changes_nothing(many, expected):
    by_class = [many.filter(F.col("label") == number).coalesce(1) for number in (2, 0, 1)]
    assert fit(functools.reduce(DataFrame.union, by_class)) == expected


@pytest.mark.parametrize("metric", [pytest.param("loss", marks=pytest.mark.slow), "accuracy"])
def test_r19_a_class_that_is_absent_from_the_validation_rows_leaves_metrics_defined(many, metric):
    frame = many.withColumn("held", (F.col("label") != 2) & (F.col("id") % 5 == 0))
    model = classifier(validationIndicatorCol="held", evalMetric=metric, earlyStoppingRounds=2, maxIter=2).fit(frame)
    trains(model, frame.filter("not held").count())
    assert 0.0 <= model.history.rows[-1]["val_accuracy"] <= 1.0 and "val_loss" in model.history.rows[-1]
    assert model.numClasses == 3


@pytest.mark.parametrize("stage", [classifier, sized])
def test_r19_a_class_in_the_validation_rows_alone_is_refused_by_name(many, stage):
    frame = many.withColumn("held", F.col("label") == 2)
    count = frame.filter("held").count()
    text = refused(stage(validationIndicatorCol="held").fit, frame)
    complete(text, "column 'label'", "class 2 in validation rows only", "id=", f"({count:,} of")


# R20: features that are no numbers


FEATURES = {
    "nan": (holding(NAN), "column 'features', position 3, holds NaN", "nan at"),
    "inf": (holding(INF), "column 'features', position 3, holds an infinite value", "inf at"),
    "minus inf": (holding(-INF), "column 'features', position 3, holds an infinite value", "-inf at"),
    "null vector": (NULL, "column 'features' holds no value (null)", "null at"),
    "null item": (holding(NULL), "column 'features', position 3, holds a null inside", "null at"),
}


@pytest.mark.parametrize(
    "name, row",
    [
        pytest.param(name, row, marks=[] if row == 2999 or name == "nan" else pytest.mark.slow)
        for name in FEATURES
        for row in (0, 2999, 5999)
    ],
)
def test_r20_one_bad_row_of_6000_is_refused_in_one_pass(many, name, row):
    value, column, shown = FEATURES[name]
    frame = changed(many, "features", value, f"id = {row}")
    stage = (classifier, regressor)[row % 2]
    complete(refused(stage().fit, frame), column, shown, f"id={row}", "1 of 6,000 rows")


@pytest.mark.parametrize("name", ["nan", "inf", "minus inf", "null vector"])
def test_r20_vectors_are_refused_like_arrays(many, name):
    value, column, shown = FEATURES[name]
    frame = in_vectors(changed(many, "features", value, "id % 1000 = 17"))
    most = 1 + ("inf" in name)  # what float32 does not hold is validated once more
    complete(refused(classifier().fit, frame, most=most), column, shown, "id=17", "6 of 6,000 rows")


@pytest.mark.parametrize(
    "value, what", [(NAN, "NaN: nan"), (INF, "an infinite value: inf"), (NULL, "a null inside: null")]
)
def test_r20_a_list_of_columns_names_the_column(many, value, what):
    frame = changed(in_columns(many), "x3", value)
    text = refused(classifier(featuresCol=NAMES).fit, frame)
    complete(text, "(x3) holds", what, "id=17", "1 of 6,000 rows")


def test_r20_a_bad_row_held_out_for_validation_is_refused_too(few):
    frame = changed(few, "features", holding(NAN)).withColumn("held", F.col("id") == 17)
    text = refused(classifier(validationIndicatorCol="held").fit, frame)
    complete(text, "column 'features'", "nan", "id=17", "1 of 90")


# R21: labels


def label_cases(frame) -> dict:
    text = F.concat(F.lit("name "), F.col("label").cast("int").cast("string"))
    return {
        "-1": changed(frame, "label", -1.0),
        "0.5": changed(frame, "label", 0.5),
        "nearly 2": changed(frame, "label", 2.0000001),
        "k": changed(frame, "label", 3.0),
        "nan": changed(frame, "label", NAN),
        "null": changed(frame, "label", NULL),
        "strings": frame.withColumn("label", text),
        "1..k": frame.withColumn("label", F.col("label") + 1),
        "bool": frame.withColumn("label", F.col("label") > 0),
        "2^53": changed(frame.withColumn("label", F.col("label").cast("long")), "label", 2**53),
    }


NO_CLASSES = {
    "-1": ("a class outside the range", "-1 at", "id=17", "1 of 90 rows"),
    "0.5": ("a number that is not a class", "0.5 at", "id=17", "1 of 90 rows"),
    "nearly 2": ("a number that is not a class", "2.0000001 at", "id=17", "1 of 90 rows"),
    "k": ("a class outside the range", "3 at", "id=17", "1 of 90 rows"),
    "nan": ("no value (null or NaN)", "nan at", "id=17", "1 of 90 rows"),
    "null": ("no value (null or NaN)", "null at", "id=17", "1 of 90 rows"),
    "strings": ("text", "'name ", "first row", "all of its rows"),
    "1..k": ("a class outside the range", "3 at", "id=", " of 90 rows"),
    "2^53": ("a class outside the range", "9007199254740992 at", "id=17", "1 of 90 rows"),
}


@pytest.mark.parametrize("name", [name for name in NO_CLASSES if name != "strings"])
def test_r21_labels_that_are_no_classes_are_refused(few, name):
    what, *parts = NO_CLASSES[name]
    complete(refused(sized().fit, label_cases(few)[name]), f"column 'label' holds {what}", *parts)


@pytest.mark.parametrize("name", ["nan", "null", "strings"])
def test_r21_labels_that_are_no_numbers_are_refused_for_regression(few, name):
    what, *parts = NO_CLASSES[name]
    text = refused(sized(NeuralNetworkRegressor).fit, label_cases(few)[name])
    complete(text, f"column 'label' holds {what}", *parts)


@pytest.mark.parametrize("name", ["-1", "0.5", "k", "1..k", "bool", "2^53"])
def test_r21_any_number_is_a_target_for_regression(few, name):
    frame = label_cases(few)[name]
    model = sized(NeuralNetworkRegressor).fit(frame)
    trains(model, FEW)
    assert all(math.isfinite(row.prediction) for row in model.transform(frame.limit(9)).collect())


@pytest.mark.parametrize("stage", [sized, classifier])
def test_r21_false_and_true_are_the_classes_0_and_1(few, stage):
    frame = label_cases(few)["bool"]
    numbered = frame.withColumn("label", F.col("label").cast("int"))
    assert print_of(stage().fit(frame)) == print_of(stage().fit(numbered))


def test_r21_without_layers_the_largest_label_says_how_many_classes_there_are_as_in_spark(few):
    cases = label_cases(few)
    for name in ("k", "1..k"):
        model = classifier().fit(cases[name])
        trains(model, FEW)
        assert model.numClasses == 4


def test_r21_labels_of_one_sigmoid_are_0_and_1(few):
    stage = classifier(layers=[Dense(1, "sigmoid")], **LAYERED)
    frame = few.withColumn("label", F.least("label", F.lit(1.0)))
    trains(stage.fit(frame), FEW)
    text = refused(stage.fit, changed(frame, "label", 2.0))
    complete(text, "column 'label'", "2 at", "id=17", "1 of 90 rows")


# R22: weights


WEIGHTS = {
    "null": (NULL, "no value (null or NaN)", "null at"),
    "nan": (NAN, "no value (null or NaN)", "nan at"),
    "negative": (-0.5, "a negative number", "-0.5 at"),
    "infinite": (INF, "an infinite value", "inf at"),
}


@pytest.mark.parametrize("stage", [classifier, regressor])
@pytest.mark.parametrize("name", WEIGHTS)
def test_r22_bad_weights_are_refused(few, stage, name):
    value, what, shown = WEIGHTS[name]
    text = refused(stage(weightCol="weight").fit, changed(few, "weight", value))
    complete(text, f"column 'weight' holds {what}", shown, "id=17", "1 of 90 rows")


def test_r22_weights_of_zero_alone_are_refused(few):
    frame = few.withColumn("weight", F.lit(0.0))
    text = refused(classifier(weightCol="weight").fit, frame)
    assert "column 'weight' is 0 in every row to train on: give at least one row a weight above 0" in text
    frame = few.withColumn("held", F.col("id") % 3 == 0)
    frame = changed(frame, "weight", 0.0, "held")
    text = refused(classifier(weightCol="weight", validationIndicatorCol="held").fit, frame)
    assert "column 'weight' is 0 in every row held out" in text


@pytest.mark.parametrize("stage", [classifier, regressor])
def test_r22_batches_without_any_weight_train(few, stage):
    frame = changed(few, "weight", 0.0, "id % 3 > 0")
    trains(stage(weightCol="weight", batchSize=1, maxIter=2).fit(frame), FEW)


@pytest.mark.parametrize("strategy, batch", [("average", 16), ("gradient", 150)])
def test_r22_shards_and_rounds_without_any_weight_train_and_are_counted(some, strategy, batch):
    frame = changed(some, "weight", 0.0, "id > 0")
    stage = classifier(weightCol="weight", shards=8, strategy=strategy, batchSize=batch)
    trains(stage.fit(frame), 600)


# R23: forms of features


@pytest.fixture(scope="module")
def one_print(some):
    return print_of(classifier().fit(some))


@pytest.mark.parametrize("form", FORMS)
def test_r23_the_form_of_the_features_changes_nothing(some, one_print, form):
    frame = FORMS[form](some)
    if form == "sparse":
        assert SparseVector in {type(row.features) for row in frame.limit(9).collect()}
    assert print_of(classifier(featuresCol=NAMES if form == "columns" else "features").fit(frame)) == one_print


@pytest.mark.parametrize("form", ["array<double>", "array<int>", "dense"])
def test_r23_one_longer_row_is_refused(many, form):
    frame = FORMS[form](changed(many, "features", [1.0] * (WIDTH + 1)))
    text = refused(classifier().fit, frame)
    complete(text, "column 'features' holds rows of different lengths", "21 values at", "id=17", "1 of 6,000 rows")


def test_r23_one_longer_sparse_vector_is_refused(spark):
    rows = [(n, SparseVector(WIDTH + (n == 17), [n % WIDTH], [1.0]), n % 3) for n in range(FEW)]
    text = refused(classifier().fit, spark.createDataFrame(rows, ["id", "features", "label"]))
    complete(text, "column 'features' holds rows of different lengths", "21 values at", "id=17", "1 of 90 rows")


# R24: names


@pytest.fixture(scope="module")
def plain(few):
    """A model of unnamed features."""
    return classifier().fit(few)


@pytest.mark.parametrize("name", ["prediction", "probability", "rawPrediction", "PREDICTION"])
def test_r24_an_output_column_that_exists_is_refused_before_a_job(few, plain, name):
    text = refused(plain.transform, few.withColumn(name, F.lit(1)), most=0)
    assert name.lower() in text.lower() and "already: drop them, or set other names" in text


def test_r24_an_output_column_in_the_training_rows_does_no_harm(few, plain):
    assert print_of(classifier().fit(few.withColumn("prediction", F.lit(1)))) == print_of(plain)


@pytest.mark.parametrize("names", [("p", "p"), ("p", "P")])
def test_r24_two_outputs_of_one_name_are_refused_before_a_job(few, plain, names):
    model = plain.copy().setPredictionCol(names[0]).setProbabilityCol(names[1])
    assert "predictionCol" in refused(model.transform, few, most=0, kind=FiresteelError)


@pytest.mark.parametrize("name", ["features", "label", "weight"])
@pytest.mark.parametrize("twin", [str, str.upper])
def test_r24_two_columns_of_one_name_or_of_one_but_for_case_are_refused_before_a_job(few, name, twin):
    frame = few.select("*", F.col(name).alias(twin(name)))
    text = refused(classifier(weightCol="weight").fit, frame, most=0)
    assert f"2 columns are called '{name}': rename them" in text


def test_r24_two_columns_of_one_name_that_nobody_reads_do_no_harm(few, plain):
    frame = few.select("*", F.lit(1).alias("other"), F.lit(2).alias("Other"), F.lit(3).alias("other"))
    model = classifier().fit(frame)
    assert print_of(model) == print_of(plain)
    assert model.transform(frame).count() == FEW


def test_r24_names_in_another_case_are_sparks_to_tell_apart(spark, few, plain):
    frame = few.withColumnsRenamed({"features": "Features", "label": "LABEL"})
    assert print_of(classifier().fit(frame)) == print_of(plain)
    before = spark.conf.get("spark.sql.caseSensitive")
    spark.conf.set("spark.sql.caseSensitive", "true")
    try:
        assert "there is no column 'features'" in refused(classifier(featuresCol="features").fit, frame, most=0)
        twins = few.withColumn("LABEL", F.lit("none")).withColumn("Prediction", F.lit(1))
        assert print_of(classifier().fit(twins)) == print_of(plain)
        assert plain.transform(twins).columns[-2:] == ["probability", "prediction"]
    finally:
        spark.conf.set("spark.sql.caseSensitive", before)


ODD = ["a.b", "_c0", "_1", "__outputs", "x", "y", "w", "key", "held", "where0", "it`s", "a b", "é", "prediction.x"]


def test_r24_dotted_underscored_and_inner_names_work(few, plain):
    names = [*ODD, *NAMES[len(ODD) :]]
    frame = in_columns(few, names).withColumnsRenamed({"label": "la.bel", "weight": "_weight"})
    columns = {"featuresCol": names, "labelCol": "la.bel", "weightCol": "_weight", "idCol": "id"}
    outputs = {"predictionCol": "_pre.diction", "probabilityCol": "pro`b", "rawPredictionCol": "__raw"}
    model = classifier(**columns, **outputs, validationFraction=0.1).fit(frame)
    trains(model)
    scored = model.transform(frame)
    assert scored.columns == [*frame.columns, "__raw", "pro`b", "_pre.diction"]
    assert scored.filter("`_pre.diction` is null").count() == 0


def test_r24_a_column_with_the_name_of_the_temporary_one_is_kept_or_refused(few, plain):
    name = f"{plain.uid}__outputs"
    frame = few.withColumn(name, F.lit("mine"))
    try:
        kept = plain.transform(frame).columns
    except DataError as error:
        kept = str(error)
    assert name in kept


# R25: other columns at transform than in training


@pytest.fixture(scope="module")
def named(few):
    """A model of a vector whose features have names."""
    return classifier().fit(assembled(few))


@pytest.fixture(scope="module")
def listed(few):
    """A model of a list of columns."""
    return classifier(featuresCol=NAMES).fit(in_columns(few))


VECTORS = {
    "fewer": (NAMES[:-1], "has 19 features", "trained on 20"),
    "more": ([*NAMES, "weight"], "has 21 features", "trained on 20"),
    "reordered": (NAMES[::-1], "has the features x19, x18", "trained on x0, x1"),
    "another": ([*NAMES[:-1], "weight"], "has the features x0, x1", "trained on x0, x1"),
}


@pytest.mark.parametrize("name", VECTORS)
def test_r25_a_vector_of_other_features_is_refused_with_both_schemas(few, named, name):
    names, there, trained = VECTORS[name]
    text = refused(named.transform, assembled(few, names), most=0)
    assert there in text and trained in text
    assert f"... {names[-1]}" in text and "... x19" in text


def test_r25_what_tells_two_long_schemas_apart_is_shown(few, named):
    """Twenty names are shortened to eleven each: the one that differs must not be lost among the rest."""
    frame = assembled(few.withColumn("x99", F.lit(1.0)), [*NAMES[:14], "weight", *NAMES[15:]])
    text = refused(named.transform, frame, most=0)
    assert "weight" in text and "x14" in text


@pytest.mark.parametrize("kind, called", [("string", "holds text"), ("array<string>", "is array<string>")])
def test_r25_retyped_features_are_refused_by_name_and_type(few, named, kind, called):
    frame = few.withColumn("features", (F.lit("1") if kind == "string" else F.array(F.lit("1"))).cast(kind))
    text = refused(named.transform, frame)
    assert f"column 'features' {called}" in text and "numbers" in text


def test_r25_retyped_features_of_a_stream_are_refused_too(spark, named):
    stream = spark.readStream.format("rate").load().selectExpr("value as id", "cast(value as string) as features")
    with pytest.raises(DataError, match="column 'features' holds text"):
        named.transform(stream)


def test_r25_a_list_with_fewer_columns_is_refused_with_both_schemas(few, listed):
    frame = in_columns(few).drop("x7", "weight")
    text = refused(listed.transform, frame, most=0)
    assert "there is no column 'x7'" in text
    assert "id, x0, x1, x2, x3, x4, x5, x6, x8" in text, "what the DataFrame has"
    assert "trained on" in text, "what the model takes"


def test_r25_a_list_set_to_other_columns_is_refused_with_both_schemas(few, listed):
    frame = in_columns(few)
    for names in (NAMES[:-1], [*NAMES, "weight"], NAMES[::-1]):
        text = refused(listed.copy().setFeaturesCol(names).transform, frame, most=0)
        assert names[0] in text and names[-1] in text and "trained on" in text and "x0, x1" in text


def test_r25_a_retyped_column_of_a_list_is_refused_by_name_and_type(few, listed):
    frame = in_columns(few)
    text = refused(listed.transform, frame.withColumn("x7", F.lit("seven")))
    assert "column 'x7' holds text, such as 'seven'" in text and "To do: StringIndexer" in text
    text = refused(listed.transform, frame.withColumn("x7", F.current_date()), most=0)
    assert "column 'x7' is date" in text and "numbers" in text


@pytest.mark.parametrize("change", ["more", "reordered", "integers"])
def test_r25_a_list_finds_its_columns_wherever_they_are(few, listed, change):
    frame = in_columns(few)
    other = {
        "more": frame.select(F.lit(9.0).alias("first"), "*", F.lit("text").alias("last")),
        "reordered": frame.select("id", *NAMES[::-1]),
        "integers": frame.select("id", *(F.col(name).cast("int") for name in NAMES)),
    }[change]
    found, wanted = (
        listed.transform(rows).orderBy("id").select("rawPrediction").collect() for rows in (other, frame)
    )
    assert found == wanted


@pytest.mark.parametrize("form", ["array<double>", "dense"])
@pytest.mark.parametrize("width", [19, 21])
def test_r25_features_without_names_fail_by_their_width_when_they_are_scored(few, plain, form, width):
    frame = FORMS[form](few.withColumn("features", F.array(*[F.lit(1.0)] * width)))
    with pytest.raises(Exception, match=f"column 'features' has {width} values in a row, but the network takes 20"):
        plain.transform(frame).collect()


def test_r25_one_row_of_another_width_among_many_fails(few, plain):
    frame = changed(few, "features", [1.0] * (WIDTH + 1))
    with pytest.raises(Exception, match="21 values in a row, but the network takes 20; 1 of "):
        plain.copy().setHandleInvalid("keep").transform(frame).collect()


# R26: numbers that float32 cannot hold


LARGE = 2**24 + 1
BIG = {
    "int column": (lambda frame: changed(in_columns(frame).withColumn("x3", F.col("x3").cast("int")), "x3", LARGE)),
    "long column": (lambda frame: changed(in_columns(frame).withColumn("x3", F.col("x3").cast("long")), "x3", LARGE)),
    "double column": (lambda frame: changed(in_columns(frame), "x3", float(LARGE))),
    "dense": (lambda frame: in_vectors(changed(frame, "features", holding(float(LARGE))))),
    "array<double>": (lambda frame: changed(frame, "features", holding(float(LARGE)))),
    "array<int>": (lambda frame: changed(FORMS["array<int>"](frame), "features", holding(LARGE))),
}


@pytest.mark.parametrize("form", BIG)
def test_r26_whole_numbers_that_are_rounded_are_warned_of(few, form):
    frame = BIG[form](few)
    inside = "column" in form
    with pytest.warns(UserWarning, match="rounded in the network's dtype") as caught:
        trains(classifier(featuresCol=NAMES if inside else "features").fit(frame), FEW)
    text = next(str(w.message) for w in caught if w.category is UserWarning)
    complete(text, "(x3)" if inside else "column 'features', position 3,", f"{LARGE} at", "id=17", "1 of 90 rows")


@pytest.mark.parametrize("form", ["columns", "array<bigint>"])
def test_r26_whole_numbers_beyond_float64_are_warned_of(few, form):
    frame = changed(few.withColumn("features", F.col("features").cast("array<bigint>")), "features", [2**53 + 1] * 20)
    frame, features = (in_columns(frame), NAMES) if form == "columns" else (frame, "features")
    with pytest.warns(UserWarning, match="rounded in the network's dtype"):
        classifier(featuresCol=features).fit(frame)


def test_r26_whole_numbers_beside_others_whose_sum_overflows_are_warned_of(few):
    frame = changed(few, "features", [3e38, 3e38, *holding(float(LARGE))[2:]])
    with pytest.warns(UserWarning, match="rounded in the network's dtype"):
        classifier().fit(frame)


def test_r26_whole_numbers_that_fit_are_not_warned_of(few):
    trains(classifier().fit(changed(few, "features", holding(float(2**24)))), FEW)


@pytest.mark.parametrize("form", ["columns", "dense", "array<double>"])
def test_r26_numbers_beyond_float32_are_refused_at_fit(few, form):
    frame = FORMS[form](changed(few, "features", holding(1e39)))
    column, features = ("(x3)", NAMES) if form == "columns" else ("'features', position 3,", "features")
    text = refused(classifier(featuresCol=features).fit, frame, most=1 + (form == "dense"))
    complete(text, column, "1e+39 at", "id=17", "1 of 90 rows")


@pytest.mark.parametrize("form", ["columns", "dense", "array<double>"])
def test_r26_numbers_beyond_float32_are_never_scored(few, plain, form):
    frame = FORMS[form](changed(few, "features", holding(1e39)))
    model = plain.copy().setFeaturesCol(NAMES if form == "columns" else "features")
    with pytest.raises(Exception, match="holds .*; 1 of "):
        model.transform(frame).collect()
    found = model.copy().setHandleInvalid("keep").transform(frame).filter("id = 17").first()
    assert (found.prediction, found.probability, found.rawPrediction) == (None, None, None)


# handleInvalid


BAD = {
    5: ("features", holding(NAN)),
    17: ("features", NULL),
    31: ("features", holding(INF)),
    32: ("features", holding(1e39)),
    44: ("features", holding(NULL)),
    60: ("label", NULL),
    88: ("label", NAN),
}


def with_invalid(frame, rows=tuple(BAD)) -> DataFrame:
    for row in rows:
        frame = changed(frame, *BAD[row], f"id = {row}")
    return frame


@pytest.fixture(scope="module")
def sound(some):
    return some.filter(~F.col("id").isin(list(BAD)))


@pytest.mark.parametrize(
    "stage, mode",
    [
        (classifier, "skip"),
        (regressor, "keep"),
        *(pytest.param(*one, marks=pytest.mark.slow) for one in ((classifier, "keep"), (regressor, "skip"))),
    ],
)
def test_invalid_rows_are_left_out_of_training_alone(some, sound, stage, mode):
    frame = with_invalid(some)
    model = stage(handleInvalid=mode, validationFraction=0.0).fit(frame)
    trains(model, 600 - len(BAD))
    assert print_of(model) == print_of(stage(validationFraction=0.0).fit(sound))


def test_invalid_rows_are_left_out_before_others_are_held_out(some, sound):
    settings = {"validationFraction": 0.2, "weightCol": "weight", "idCol": "id"}
    frame = with_invalid(some)
    model, other = (
        classifier(**settings, handleInvalid=mode).fit(rows) for mode, rows in (("skip", frame), ("error", sound))
    )
    assert print_of(model) == print_of(other)
    assert model.history.rows[-1]["val_loss"] == other.history.rows[-1]["val_loss"]


@pytest.mark.parametrize("form", ["dense", "columns"])
def test_invalid_rows_of_every_form_are_left_out(some, sound, form):
    rows = [5, 31, 32, 60, 88, 17 if form == "dense" else 44]
    put = in_columns if form == "columns" else in_vectors
    features = NAMES if form == "columns" else "features"
    frame = put(with_invalid(some, rows).filter(~F.col("id").isin([17, 44]) | F.col("id").isin(rows)))
    model = classifier(handleInvalid="skip", featuresCol=features).fit(frame)
    assert print_of(model) == print_of(classifier().fit(sound))


def test_a_target_that_does_not_fit_is_left_out_as_a_feature_is(few):
    frame = changed(few, "label", 1e39)
    text = refused(regressor().fit, frame)
    complete(text, "column 'label' holds an infinite value", "1e+39 at", "id=17", "1 of 90 rows")
    trains(regressor(handleInvalid="skip").fit(frame), FEW - 1)


def test_nothing_but_invalid_rows_is_refused(few):
    frame = few.withColumn("label", F.lit(NAN))
    text = refused(classifier(handleInvalid="skip").fit, frame)
    assert "all 90 rows of the DataFrame are left out, for nulls, NaN or infinite values" in text


def test_invalid_weights_are_refused_even_where_invalid_rows_are_left_out(few):
    for value in (NULL, NAN, INF, -1.0):
        frame = changed(few, "weight", value)
        text = refused(classifier(handleInvalid="skip", weightCol="weight").fit, frame)
        assert "column 'weight' holds" in text and "id=17" in text


def test_handle_invalid_takes_three_words(few, plain):
    assert "handleInvalid='drop'" in refused(classifier(handleInvalid="drop").fit, few, most=0, kind=ConfigError)
    model = plain.copy().setHandleInvalid("drop")
    assert "handleInvalid='drop'" in refused(model.transform, few, most=0, kind=ConfigError)


UNSCORED = {5: "NaN", 17: "no value", 31: "infinite", 44: "null inside"}
"""Which of the invalid rows cannot be scored, and what is said of each."""


@pytest.fixture(scope="module")
def numbers(few):
    return regressor().fit(few)


@pytest.mark.parametrize("row", UNSCORED)
def test_invalid_rows_stop_scoring_with_our_words(few, plain, numbers, row):
    model = plain if row < 20 else numbers
    with pytest.raises(Exception, match=f"column 'features' holds .*{UNSCORED[row]}.*; 1 of .* To do: fill them"):
        model.transform(with_invalid(few, [row])).collect()


@pytest.mark.parametrize(
    "form",
    ["array<double>", *(pytest.param(form, marks=pytest.mark.slow) for form in ("array<float>", "dense"))]
    + ["columns"],
)
def test_invalid_rows_are_left_out_of_scores_or_scored_as_null(few, plain, numbers, form):
    rows = [row for row in UNSCORED if (form, row) != ("dense", 44)]  # a vector has no nulls inside
    clean, frame = FORMS[form](few), FORMS[form](with_invalid(few, rows))
    for model, outputs in ((plain, ["prediction", "probability", "rawPrediction"]), (numbers, ["prediction"])):
        model = model.copy().setFeaturesCol(NAMES if form == "columns" else "features")
        wanted = {row.id: row for row in model.transform(clean).select("id", *outputs).collect()}
        kept, left = (
            model.copy().setHandleInvalid(mode).transform(frame).orderBy("id").select("id", *outputs).collect()
            for mode in ("keep", "skip")
        )
        assert [row.id for row in kept] == list(range(FEW))
        assert [row.id for row in left] == [row for row in range(FEW) if row not in rows]
        assert all(row[name] is None for row in kept if row.id in rows for name in outputs)
        for row in [*left, *(row for row in kept if row.id not in rows)]:
            np.testing.assert_allclose(row.prediction, wanted[row.id].prediction, rtol=1e-5)
            assert len(outputs) == 1 or row.probability.size == wanted[row.id].probability.size


# Rows held out by a column


def test_the_column_of_held_out_rows_decides(few):
    frame = few.withColumn("held", F.col("id") % 3 == 0)
    model = classifier(validationIndicatorCol="held").fit(frame)
    trains(model, 60)
    assert print_of(model) == print_of(classifier().fit(frame.filter("not held")))
    assert math.isfinite(model.history.rows[0]["val_loss"])


def test_nulls_in_the_column_of_held_out_rows_are_refused(few):
    frame = changed(few.withColumn("held", F.col("id") % 3 == 0), "held", NULL, "id % 10 = 7")
    for mode in ("error", "skip"):
        text = refused(classifier(validationIndicatorCol="held", handleInvalid=mode).fit, frame)
        complete(text, "column 'held' holds no value", "null at", "id=7", "9 of 90 rows")


@pytest.mark.parametrize("kind", ["int", "double", "string"])
def test_a_column_of_held_out_rows_that_is_not_boolean_is_refused_before_a_job(few, kind):
    frame = few.withColumn("held", (F.col("id") % 3 == 0).cast(kind))
    text = refused(classifier(validationIndicatorCol="held").fit, frame, most=0)
    assert f"column 'held' is {kind}" in text and "takes booleans, true for the rows held out" in text


@pytest.mark.parametrize(
    "value, counts", [(True, "leaves 0 to train on and 90 to"), (False, "leaves 90 to train on")]
)
def test_a_column_that_holds_out_all_rows_or_none_is_refused(few, value, counts):
    text = refused(classifier(validationIndicatorCol="held").fit, few.withColumn("held", F.lit(value)))
    assert "column 'held' of 90 rows" in text and counts in text


WORDS = {
    "featuresCol": {"featuresCol": "missing"},
    "labelCol": {"labelCol": "missing"},
    "weightCol": {"weightCol": "missing"},
    "idCol": {"idCol": "missing"},
    "validationIndicatorCol": {"validationIndicatorCol": "weight"},
    "validationFraction": {"validationFraction": 0.999999},
}


@pytest.mark.parametrize("name", WORDS)
def test_a_refusal_names_the_param_by_the_estimators_own_word(few, name):
    assert name in refused(classifier(**WORDS[name]).fit, few)

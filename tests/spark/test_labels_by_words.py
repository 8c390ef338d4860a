"""Classes by the words of their label: which is number 1, and thresholds and weights by words."""

import pytest
from pyspark.ml.evaluation import BinaryClassificationEvaluator
from pyspark.sql import functions as F

from firesteel.errors import ConfigError
from firesteel.layers import Dense
from firesteel.spark import NeuralNetworkClassifier

LEARNS = {"hiddenLayers": [], "solver": "adam", "learningRate": 0.3, "batchSize": 8, "maxIter": 3, "shards": 1}


@pytest.fixture(scope="module")
def frame(spark):
    rows = [(float(n % 10), "late" if n % 10 < 4 + n % 3 else "on time") for n in range(90)]
    return spark.createDataFrame(rows, "hour double, state string").coalesce(1).persist()


@pytest.fixture(scope="module")
def model(frame):
    return NeuralNetworkClassifier(labelCol="state", positiveLabel="late", **LEARNS).fit(frame)


def test_the_positive_word_is_class_1_for_spark_s_evaluators(frame, model):
    scored = model.transform(frame)
    assert model.labels == ["on time", "late"] and model.getPositiveLabel() == "late"
    wrong = "label_index != int(state = 'late') or prediction != int(predictedLabel = 'late')"
    assert scored.where(wrong).count() == 0
    assert BinaryClassificationEvaluator(labelCol="label_index", metricName="areaUnderPR").evaluate(scored) > 0.8


@pytest.mark.slow
def test_a_single_output_is_about_the_positive_word(frame):
    lasts = {"hiddenLayers": None, "layers": [Dense(1, "sigmoid")]}
    single = NeuralNetworkClassifier(labelCol="state", positiveLabel="late", **LEARNS | lasts).fit(frame)
    at_ten = {"hour": [0.0, 9.0]}
    assert single.network.predict(at_ten)[0, 0] > 0.5 > single.network.predict(at_ten)[1, 0]


@pytest.mark.parametrize("word", ["late", "on time"])
def test_thresholds_by_words_are_those_by_numbers(frame, model, word):
    words = {name: 0.0 if name == word else 1.0 for name in ("late", "on time")}
    by_words, by_numbers = ({model.thresholds: one} for one in (words, [words[name] for name in model.labels]))
    scored = model.copy(by_words).transform(frame)
    assert scored.collect() == model.copy(by_numbers).transform(frame).collect()
    assert {row.predictedLabel for row in scored.select("predictedLabel").distinct().collect()} == {word}


@pytest.mark.slow
def test_a_boolean_label_has_words_too(frame):
    flags = frame.select("hour", (F.col("state") == "late").alias("flag"))
    stage = NeuralNetworkClassifier(labelCol="flag", positiveLabel=False, classWeights={False: 9.0}, **LEARNS)
    model = stage.fit(flags)
    assert model.labels == ["true", "false"]
    assert model.transform(flags).where("label_index != int(not flag)").count() == 0
    hours, states = zip(*flags.collect(), strict=True)
    found = model.network.importances({"hour": list(hours)}, [int(not state) for state in states])
    assert model.importances(flags) == found
    assert stage.getClassWeights() == {"false": 9.0}
    by_number = stage.copy({stage.classWeights: {1: 9.0}})
    assert model.network.fingerprint() == by_number.fit(flags).network.fingerprint()
    numbers = flags.withColumn("flag", F.col("flag").cast("int"))
    weighted = NeuralNetworkClassifier(labelCol="flag", inputCols=["hour"], classWeights={True: 9.0}, **LEARNS)
    one = weighted.copy({weighted.classWeights: {1: 9.0}})
    assert weighted.fit(numbers).network.fingerprint() == one.fit(numbers).network.fingerprint()


WRONG = {
    "a threshold of no word": ({"thresholds": {"lat": 0.5, "on time": 0.5}}, "no class 'lat': did you mean 'late'"),
    "a word without one": ({"thresholds": {"late": 0.5}}, "thresholds=.*: class 'on time' has no threshold"),
    "a weight of no word": ({"classWeights": {"in time": 2.0}}, "no class 'in time': did you mean 'on time'"),
    "a positive of no word": ({"positiveLabel": "Late"}, "'Late': there is no class 'Late': did you mean 'late'"),
    "three words": (
        {"positiveLabel": "late", "labelCol": "three"},
        "'late' needs a label with two classes, but it has 3: a, late, on time",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_words_that_cannot_be_meant_are_refused(frame, case):
    params, said = WRONG[case]
    rows = frame.withColumn("three", F.when(F.col("hour") < 2, "a").otherwise(F.col("state")))
    with pytest.raises(ConfigError, match=said):
        NeuralNetworkClassifier(**{"labelCol": "state", "inputCols": ["hour"], **LEARNS, **params}).fit(rows)


def test_thresholds_of_a_fitted_model_are_checked_too(frame, model):
    with pytest.raises(ConfigError, match="there is no class 'lat': did you mean 'late'"):
        model.copy({model.thresholds: {"lat": 0.5, "on time": 0.5}}).transform(frame)

"""What cannot work is refused before training: numbers where they are set, the rest before the first round."""

import math
from pathlib import Path

import pytest
from pyspark.ml.evaluation import MulticlassClassificationEvaluator
from pyspark.ml.tuning import CrossValidator, ParamGridBuilder
from pyspark.sql import functions as F

from firesteel.errors import ConfigError, DataError
from firesteel.spark import NeuralNetworkClassifier, NeuralNetworkRegressor, pack
from firesteel.spark.engine import SparkEngine
from tests.spark.contract import numeric, small

NUMBER, WHOLE = [-3, -1e-9, math.nan, math.inf, "0.1", None, True], [-1, 1.5, math.nan, math.inf, "2", None, True]
SHARE = [*NUMBER, 1.0, 1.5]
TEXT = [0, None, ["a"], b"a"]
WRONG = {
    "architecture": [*TEXT, "", "CNN", "table"],
    "batchSize": [0, *WHOLE],
    "blockSize": [0, *WHOLE],
    "classWeights": [
        {},
        {-1: 1.0},
        {0.5: 1.0},
        {"": 1.0},
        {0: -1.0},
        {0: math.nan},
        {0: math.inf},
        {0: "1"},
        "even",
    ],
    "dropout": SHARE,
    "earlyStoppingRounds": WHOLE,
    "elasticNetParam": [*NUMBER, 1.5],
    "hiddenLayers": [[0], [8, -1], [1.5], "64", 64, None],
    "inputShape": [[], [0], [28, -1], [1.5], "28", 28, None],
    "layers": [[], [4], [4, 0], [4, -1, 2], [4, 1.5], "4,2", 4, None],
    "learningRate": NUMBER,
    "maxIter": [0, *WHOLE],
    "regParam": NUMBER,
    "seed": [1.5, math.nan, "2", None, True],
    "shards": WHOLE,
    "standardization": [1, "true", None],
    "stepSize": NUMBER,
    "thresholds": ["0.5", 0.5, [None], None, {1: 0.5}, {"a": "0.5"}],
    "positiveLabel": [0, None, ["a"], b"a", 0.5],
    "tol": NUMBER,
    "tta": WHOLE,
    "validationFraction": SHARE,
    "featuresCol": [0, None, [1]],
    "inputCols": [0, None, "a", [1]],
    "ignoreCols": [0, None, "a", [1]],
    "columnKinds": [0, None, "a", {"a": "text"}, {1: "category"}],
}
"""Param: values that are refused where they are set; all others take a text."""


def stages():
    return NeuralNetworkClassifier, NeuralNetworkRegressor


def wrong_values():
    for kind in stages():
        for param in kind().params:
            yield from ((kind, param.name, value) for value in WRONG.get(param.name, TEXT))


def name_of(value):
    return value.__name__[13:] if isinstance(value, type) else repr(value)


@pytest.mark.parametrize("kind, name, value", list(wrong_values()), ids=name_of)
def test_a_value_that_no_fit_can_take_is_refused_wherever_it_is_set(spark, kind, name, value):
    stage = kind()
    param, capital = stage.getParam(name), name[0].upper() + name[1:]
    ways = [
        lambda: stage.set(param, value),
        lambda: stage.copy({param: value}),
        lambda: stage.fit(None, {param: value}),
        lambda: stage.fitMultiple(None, [{}, {param: value}]),
    ]
    if value is not None:  # which stands for "not given" there
        ways += [
            lambda: kind(**{name: value}),
            lambda: stage.setParams(**{name: value}),
            lambda: getattr(stage, f"set{capital}")(value),
        ]
    for way in ways:
        with pytest.raises(ConfigError, match=rf"^{name}=.*\[config-param\]$"):
            way()
    assert not stage.isSet(name)


def test_good_values_at_the_ends_of_their_ranges_are_taken():
    ends = {
        **dict.fromkeys(["batchSize", "blockSize", "maxIter"], 1),
        **dict.fromkeys(["dropout", "elasticNetParam", "learningRate", "regParam", "stepSize", "tol"], 0),
        **dict.fromkeys(["earlyStoppingRounds", "shards", "tta", "validationFraction"], 0),
        "classWeights": {"1": 0, 0: 1.0},
        "elasticNetParam": 1,
        "hiddenLayers": [],
        "seed": -(2**40),
        "thresholds": [0.0, 1.0],
        "positiveLabel": "a",
    }
    stage = NeuralNetworkClassifier(**ends)
    assert {name: stage.getOrDefault(name) for name in ends} == ends | {"classWeights": {"1": 0, "0": 1.0}}


@pytest.fixture(scope="module")
def frame(spark):
    kept = numeric(spark).persist()
    yield kept
    kept.unpersist()


@pytest.fixture
def no_training(monkeypatch):
    """Let no fit begin a round."""

    def map(self, work, task):
        raise AssertionError(f"{task.title} has begun")

    monkeypatch.setattr(SparkEngine, "map", map)


LATE = [
    ({"thresholds": [0.5, 0.5]}, r"thresholds=\[0.5, 0.5\]: there must be 3, one per class"),
    ({"thresholds": [0.5] * 4}, "there must be 3, one per class"),
    ({"thresholds": [0.0, 0.0, 1.0]}, "all above 0 except at most one"),
    ({"thresholds": [-0.1, 0.5, 0.5]}, "all above 0 except at most one"),
    ({"thresholds": [math.nan, 0.5, 0.5]}, "all above 0 except at most one"),
    ({"thresholds": []}, "there must be"),
    ({"thresholds": {"a": 0.5}}, "the classes have no names: give a list"),
    ({"thresholds": {"a": -0.5}}, "all above 0 except at most one"),
    (
        {"positiveLabel": "a"},
        "positiveLabel='a': it must be a word of a text or Boolean label, and column 'label' is",
    ),
    ({"thresholds": [0.5] * 3, "layers": [2, 3, 4]}, "there must be 4, one per class"),
    ({"classWeights": {3: 1.0}}, "there is no class 3: the classes are 0 to 2"),
    ({"classWeights": {0: 0.0, 1: 0.0, 2: 0.0}}, "not all 0"),
    ({"layers": [3, 4, 3]}, "column 'features' has 2 features"),
    ({"layers": [2, 4, 2]}, "a class outside the range: 2"),
    ({"predictionCol": "features"}, r"column\(s\) features already"),
    ({"probabilityCol": "LABEL"}, r"column\(s\) LABEL already"),
    ({"rawPredictionCol": "prediction"}, "they must differ"),
    ({"solver": "adamm"}, "solver='adamm': it must be one of"),
    ({"activation": "rellu"}, "did you mean 'relu'"),
    ({"handleInvalid": "drop"}, "it must be error, skip or keep"),
    ({"evalMetric": "mse"}, "it must be one of loss, accuracy"),
    ({"strategy": "avrage"}, "did you mean 'average'"),
    ({"loss": "mse"}, "label"),
    ({"shards": 1000}, "and each shard needs at least one"),
    ({"validationFraction": 0.1, "validationIndicatorCol": "held"}, "validationIndicatorCol is set too"),
]


@pytest.mark.parametrize("params, message", LATE, ids=[str(params) for params, _ in LATE])
def test_what_the_rows_decide_is_refused_before_the_first_round(frame, no_training, params, message):
    with pytest.raises((ConfigError, DataError), match=message):
        small(**{"hiddenLayers": None} | params).fit(frame)


def test_it_is_refused_for_packed_rows_and_in_a_search_too(frame, no_training):
    estimator = small(maxIter=1)
    grid = ParamGridBuilder().addGrid(estimator.thresholds, [[0.5, 0.5]]).build()
    search = CrossValidator(
        estimator=estimator, estimatorParamMaps=grid, evaluator=MulticlassClassificationEvaluator(), numFolds=2
    )
    with pack(frame) as rows:
        for work in (lambda: small(thresholds=[0.5, 0.5]).fit(rows), lambda: search.fit(frame)):
            with pytest.raises(ConfigError, match="there must be 3, one per class"):
                work()


@pytest.mark.parametrize("made", ["rawPrediction", "probability", "prediction"])
def test_a_column_that_transform_will_make_must_not_be_one_it_reads(frame, no_training, made):
    taken = frame.withColumn(made, F.lit(1.0))
    for stage in (small(featuresCol=["grams", made]), small(labelCol=made)):
        with pytest.raises(DataError, match=rf"column\(s\) {made} already: drop them, or set other names"):
            stage.fit(taken)


def test_a_column_that_is_not_made_may_be_there(frame):
    model = small(maxIter=1, rawPredictionCol="", probabilityCol="").fit(frame.withColumn("probability", F.lit(1.0)))
    assert "prediction" in model.transform(frame).columns


def test_what_keep_does_to_spark_s_evaluators_is_said_where_it_is_set(frame):
    some = frame.withColumn("features", F.when(F.col("id") > 3, F.col("features")))
    estimator, evaluator = small(maxIter=1, handleInvalid="keep"), MulticlassClassificationEvaluator()
    scored = estimator.fit(some).transform(some)
    with pytest.raises(Exception, match=r"(?i)MatchError|null"):
        evaluator.evaluate(scored)
    remedy = 'filter("prediction is not null")'
    assert 0.0 <= evaluator.evaluate(scored.filter("prediction is not null")) <= 1.0
    assert remedy in estimator.explainParam("handleInvalid")
    assert remedy in (Path(__file__).parents[2] / "docs/coming-from/spark-perceptron.md").read_text()

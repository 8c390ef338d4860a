"""A stage's summary says how a linear model does on the same rows, and nothing of that touches the fit."""

import json

import numpy as np
import pytest
from pyspark.ml.evaluation import MulticlassClassificationEvaluator, RegressionEvaluator
from pyspark.ml.linalg import Vectors
from sklearn.linear_model import LinearRegression, LogisticRegression

from firesteel.layers import Dense
from firesteel.search import linear
from firesteel.spark import NeuralNetworkClassifier, NeuralNetworkRegressor
from firesteel.spark.engine import SparkEngine
from firesteel.tables import sampling
from firesteel.train.rounds import evaluate_all
from tests.spark.conftest import LAYERED, NAMED

pytestmark = pytest.mark.usefixtures("on_executors")

N = 800
RNG = np.random.default_rng(0)
X = RNG.normal(size=(N, 5)) * [1, 10, 100, 1e-3, 1] + [0, 5, -300, 0, 1]
HELD = RNG.random(N) < 0.3
Z = (X - X.mean(0)) / X.std(0)
CLASSES = np.digitize(Z[:, 0] + Z[:, 1] + RNG.normal(size=N), [-1, 1]).astype(float)
NUMBERS = 1e4 + 50 * (Z[:, 0] - 2 * Z[:, 2] + Z[:, 1] ** 2 + 0.3 * RNG.normal(size=N))


@pytest.fixture(scope="module")
def frame(spark):
    rows = zip(X.tolist(), CLASSES.tolist(), NUMBERS.tolist(), HELD.tolist(), strict=True)
    kept = spark.createDataFrame(list(rows), "features array<double>, label double, number double, held boolean")
    kept = kept.persist()
    yield kept
    kept.unpersist()


def classifier(**params):
    return NeuralNetworkClassifier(
        **{"hiddenLayers": [8], "maxIter": 5, "learningRate": 0.02, "seed": 1} | NAMED | params
    )


def regressor(**params):
    named = {"labelCol": "number", "hiddenLayers": [8], "maxIter": 5, "learningRate": 0.02, "seed": 1}
    return NeuralNetworkRegressor(**named | NAMED | params)


def test_accuracies_on_the_rows_held_out(frame):
    for params in ({}, {"layers": [Dense(6, "relu"), Dense(3, "softmax")]} | LAYERED):
        model = classifier(validationIndicatorCol="held", **params).fit(frame)
        found = model.summary.comparison
        evaluator = MulticlassClassificationEvaluator(metricName="accuracy")
        assert found.network == pytest.approx(evaluator.evaluate(model.transform(frame.filter("held"))))
        expected = LogisticRegression().fit(Z[~HELD], CLASSES[~HELD]).score(Z[HELD], CLASSES[HELD])
        assert found.linear == model.summary.linearScore == pytest.approx(expected, abs=0.02)
        assert str(found).startswith(f"on {HELD.sum()} validation rows: linear model: accuracy 0.")
        assert str(found) in str(model.summary) and str(found) in model._repr_html_()


def test_two_classes_with_one_sigmoid(frame):
    two = frame.withColumn("label", (frame.label > 0).cast("double"))
    model = classifier(layers=[Dense(4, "relu"), Dense(1, "sigmoid")], **LAYERED).fit(two)
    expected = LogisticRegression().fit(Z, CLASSES > 0).score(Z, CLASSES > 0)
    assert model.summary.linearScore == pytest.approx(expected, abs=0.08)


def test_r2_on_the_rows_held_out_and_of_the_training_rows_where_none_are(frame):
    model = regressor(validationIndicatorCol="held").fit(frame)
    found, evaluator = model.summary.comparison, RegressionEvaluator(labelCol="number", metricName="r2")
    assert found.network == pytest.approx(evaluator.evaluate(model.transform(frame.filter("held"))), abs=1e-4)
    expected = LinearRegression().fit(Z[~HELD], NUMBERS[~HELD]).score(Z[HELD], NUMBERS[HELD])
    assert found.metric == "r2" and found.linear == pytest.approx(expected, abs=0.01)
    everything = regressor(validationFraction=0.0).fit(frame).summary
    assert everything.comparison.rows == "800 training rows"
    assert everything.comparison.network == pytest.approx(everything.r2, abs=1e-5)
    assert everything.linearScore == pytest.approx(LinearRegression().fit(Z, NUMBERS).score(Z, NUMBERS), abs=0.01)


def test_it_is_the_same_on_any_layout_and_in_the_report(frame, tmp_path):
    found = [classifier(runDir=str(tmp_path)).fit(frame.repartition(n)).summary.comparison for n in (1, 6)]
    assert found[0] == found[1]
    evidence = json.loads((tmp_path / "001/metrics.json").read_text())["evidence"]
    assert (evidence["score"], evidence["linear"]["score"]) == (found[0].network, found[0].linear)
    assert evidence["linear"]["name"] == found[0].note and evidence["set"] == "validation"


@pytest.fixture(scope="module")
def expected(frame):
    """The fingerprint of a fit with which nothing goes wrong."""
    return classifier().fit(frame).network.fingerprint()


@pytest.mark.parametrize(
    "wrong", [MemoryError("no room"), pytest.param(ValueError("odd"), marks=pytest.mark.slow), "job"]
)
def test_nothing_that_goes_wrong_with_it_ends_a_fit(frame, expected, monkeypatch, wrong):

    def fails(*arguments):
        raise wrong

    if wrong == "job":
        original = SparkEngine.map

        def map(self, work, task):
            if getattr(work, "func", None) is evaluate_all:
                raise MemoryError("of an executor")
            return original(self, work, task)

        monkeypatch.setattr(SparkEngine, "map", map)
    else:
        monkeypatch.setattr(linear, "train_baselines", fails)
    model = classifier().fit(frame)
    assert model.network.fingerprint() == expected and model.summary.linearScore is None
    said = {"job": "of an executor"}.get(wrong if isinstance(wrong, str) else "", str(wrong))
    assert str(model.summary.comparison).endswith(f"validation rows: linear model: left out: {said}")


def test_rows_that_are_too_wide_are_not_even_brought(spark, monkeypatch):
    wide = spark.createDataFrame([(Vectors.sparse(1 << 18, [n % 7], [1.0]), float(n % 7 > 2)) for n in range(600)])
    asked, original = [], SparkEngine.map

    def map(self, work, task):
        asked.append(getattr(work, "func", work))
        return original(self, work, task)

    monkeypatch.setattr(SparkEngine, "map", map)
    model = classifier(maxIter=2, hiddenLayers=[4]).fit(wide.toDF("features", "label"))
    assert evaluate_all in asked and sampling._rows not in asked
    found = model.summary.comparison
    assert found.linear is None and found.network == 1.0
    assert str(found).endswith("linear model: left out, because rows of 262,144 numbers are too wide")


def test_numbers_far_from_zero_are_compared_as_well(frame):
    far = frame.selectExpr("transform(features, v -> v + 1e9) as features", "number + 1e9 as number", "held")
    fits = [regressor(validationIndicatorCol="held").fit(rows) for rows in (frame, far)]
    near, found = (model.summary.comparison for model in fits)
    assert found.linear == pytest.approx(near.linear, abs=0.01)
    assert found.network == pytest.approx(near.network, abs=0.1)

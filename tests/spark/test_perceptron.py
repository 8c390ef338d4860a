"""Beside Spark's own perceptron: the same program with the class name changed, on the data that come with Spark."""

from pathlib import Path

import pyspark
import pytest
from pyspark.ml.classification import MultilayerPerceptronClassifier
from pyspark.ml.evaluation import MulticlassClassificationEvaluator

from firesteel.spark import NeuralNetworkClassifier

DATA = Path(pyspark.__file__).parent / "data/mllib"


@pytest.mark.parametrize(
    "name, layers",
    [
        ("sample_multiclass_classification_data", [4, 5, 4, 3]),
        pytest.param("sample_libsvm_data", [692, 20, 2], marks=pytest.mark.slow),
    ],
)
def test_it_reaches_at_least_what_spark_s_own_does(spark, name, layers):
    def reached(kind):
        data = spark.read.format("libsvm").load(str(DATA / f"{name}.txt"))
        train, test = data.randomSplit([0.6, 0.4], 1234)
        trainer = kind(maxIter=60, layers=layers, blockSize=128, seed=1234)
        model = trainer.fit(train)
        result = model.transform(test)
        evaluator = MulticlassClassificationEvaluator(metricName="accuracy")
        return evaluator.evaluate(result.select("prediction", "label"))

    theirs, ours = reached(MultilayerPerceptronClassifier), reached(NeuralNetworkClassifier)
    assert ours >= theirs > 0.9

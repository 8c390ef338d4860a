"""MLflow's autologging takes the stages for Spark's own."""

import pytest
from pyspark.ml.evaluation import MulticlassClassificationEvaluator
from pyspark.ml.tuning import ParamGridBuilder, TrainValidationSplit

from firesteel.spark import NeuralNetworkClassifier
from tests.spark.contract import numeric
from tests.spark.test_estimator import pipeline


@pytest.fixture
def mlflow(spark, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    import mlflow
    import mlflow.pyspark.ml

    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri((tmp_path / "runs").as_uri())
    mlflow.pyspark.ml.autolog(log_models=False)
    yield mlflow
    mlflow.pyspark.ml.autolog(disable=True)
    mlflow.set_tracking_uri(before)


def test_the_params_of_a_fit_are_logged(mlflow, spark):
    estimator = NeuralNetworkClassifier(hiddenLayers=[5, 3], maxIter=2, learningRate=0.01, classWeights={0: 2.0})
    with mlflow.start_run() as run:
        estimator.fit(numeric(spark))
    params = mlflow.get_run(run.info.run_id).data.params
    assert params["hiddenLayers"] == "[5, 3]" and params["learningRate"] == "0.01" and params["classWeights"]
    defined = {param.name for param in estimator.params if estimator.isDefined(param)}
    assert defined <= set(params)


def test_the_params_of_a_stage_in_a_pipeline_are_logged(mlflow, spark, rows):
    with mlflow.start_run() as run:
        pipeline().fit(rows.frame(spark, "columns"))
    params = mlflow.get_run(run.info.run_id).data.params
    assert params["NeuralNetworkClassifier.hiddenLayers"] == "[8]"


def test_the_best_candidate_of_a_search_is_logged(mlflow, spark):
    estimator = NeuralNetworkClassifier(hiddenLayers=[4], seed=1, maxIter=2)
    grid = ParamGridBuilder().addGrid(estimator.learningRate, [1e-6, 0.05]).build()
    evaluator = MulticlassClassificationEvaluator(metricName="logLoss")
    search = TrainValidationSplit(estimator=estimator, estimatorParamMaps=grid, evaluator=evaluator, seed=1)
    with mlflow.start_run() as run:
        search.fit(numeric(spark))
    params = mlflow.get_run(run.info.run_id).data.params
    assert params["best_NeuralNetworkClassifier.learningRate"] == "0.05"

"""The estimator is an ordinary Spark stage: it fits in a Pipeline, transforms, saves and loads."""

import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pyspark.ml import Pipeline, PipelineModel
from pyspark.ml.evaluation import MulticlassClassificationEvaluator
from pyspark.ml.feature import VectorAssembler
from pyspark.ml.util import DefaultParamsWriter

from firesteel.core import metrics
from firesteel.errors import ConfigError, DataError, SparkJobError, StoreError
from firesteel.models import Sequential
from firesteel.spark import NeuralNetworkClassifier, NeuralNetworkClassifierModel, NeuralNetworkRegressor, storage
from tests.spark.conftest import NAMED, Rows

COLUMNS = [f"x{number}" for number in range(6)]


def pipeline() -> Pipeline:
    stages = [
        VectorAssembler(inputCols=COLUMNS, outputCol="features"),
        NeuralNetworkClassifier(hiddenLayers=[8], maxIter=3, seed=1, **NAMED),
    ]
    return Pipeline(stages=stages)


@pytest.fixture(scope="module")
def frame(spark, rows: Rows):
    kept = rows.frame(spark, "columns").persist()
    yield kept
    kept.unpersist()


@pytest.fixture(scope="module")
def fitted(frame):
    return pipeline().fit(frame)


def test_it_transforms_into_the_three_columns_of_sparks_own(fitted, frame, rows):
    scored = fitted.transform(frame)
    kinds = {field.name: field.dataType.simpleString() for field in scored.schema.fields}
    assert kinds["rawPrediction"] == kinds["probability"] == "vector" and kinds["prediction"] == "double"
    assert scored.columns == [*frame.columns, "features", "rawPrediction", "probability", "prediction"]
    found = scored.orderBy("id").collect()
    expected = fitted.stages[-1].network.predict(rows.x)
    np.testing.assert_allclose([row.probability.toArray() for row in found], expected, rtol=1e-5, atol=1e-7)
    assert [row.prediction for row in found] == expected.argmax(axis=1).tolist()
    raw = np.array([row.rawPrediction.toArray() for row in found])
    softmax = np.exp(raw) / np.exp(raw).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(softmax, expected, rtol=1e-4, atol=1e-6)


def test_params_take_names_as_keras_spells_them(spark, rows: Rows):
    frame = rows.frame(spark)
    words = [("adam", "mse", "relu"), ("Adam", "MeanSquaredError", "ReLU")]
    found = set()
    for solver, loss, activation in words:
        given = NAMED | {"solver": solver, "loss": loss, "activation": activation, "maxIter": 1}
        found.add(NeuralNetworkRegressor(**given).fit(frame).network.fingerprint())
    assert len(found) == 1


def test_it_learns(fitted, frame):
    evaluator = MulticlassClassificationEvaluator(metricName="accuracy")
    assert evaluator.evaluate(fitted.transform(frame)) > 0.5


def test_a_single_row_is_scored_like_a_frame(fitted, frame):
    model = fitted.stages[-1]
    row = fitted.transform(frame).first()
    assert model.predict(row.features) == row.prediction
    assert model.predictProbability(row.features).toArray() == pytest.approx(row.probability.toArray(), rel=1e-5)
    assert model.predictRaw(row.features).toArray() == pytest.approx(row.rawPrediction.toArray(), rel=1e-5)
    assert (model.numFeatures, model.numClasses) == (6, 3)


def test_a_pipeline_comes_back_from_disk(fitted, frame, tmp_path):
    path = str(tmp_path / "pipeline")
    fitted.write().save(path)
    fitted.write().overwrite().save(path)
    back = PipelineModel.load(path)
    expected = fitted.stages[-1].network.fingerprint()
    assert back.stages[-1].network.fingerprint() == expected
    assert (
        back.transform(frame).select("prediction").collect() == fitted.transform(frame).select("prediction").collect()
    )


@pytest.mark.parametrize(
    "few", [pytest.param(True, id="mostly zeros"), pytest.param(False, id="no zeros", marks=pytest.mark.slow)]
)
def test_how_vectors_are_stored_and_read_changes_no_bit(spark, rows, few, tmp_path):
    some = rows if few else replace(rows, x=rows.x + 10.0)
    frames = {form: some.frame(spark, form, slice(0, 200)).coalesce(2) for form in ("dense", "sparse", "mixed")}
    models = [NeuralNetworkClassifier(maxIter=1, seed=1).fit(frame) for frame in frames.values()]
    assert len({model.network.fingerprint() for model in models}) == 1
    models[1].save(str(tmp_path / "model"))
    models[1] = NeuralNetworkClassifierModel.load(str(tmp_path / "model"))
    assert [model._metadata()["few"] for model in models] == [False, few, few]
    scores = [
        model.transform(frame).orderBy("id").select("rawPrediction", "prediction").collect()
        for model, frame in zip(models, frames.values(), strict=True)
    ]
    assert scores[0] == scores[1] == scores[2]


def test_estimator_and_model_keep_their_params_on_disk(fitted, tmp_path):
    estimator = NeuralNetworkClassifier(hiddenLayers=[5, 4], activation="tanh", maxIter=7, seed=3, labelCol="y")
    estimator.save(str(tmp_path / "estimator"))
    back = NeuralNetworkClassifier.load(str(tmp_path / "estimator"))
    assert back.uid == estimator.uid
    assert {p.name: v for p, v in back.extractParamMap().items()} == {
        p.name: v for p, v in estimator.extractParamMap().items()
    }
    model = fitted.stages[-1]
    model.save(str(tmp_path / "model"))
    again = NeuralNetworkClassifierModel.load(str(tmp_path / "model"))
    assert again.uid == model.uid and again.getHiddenLayers() == [8]
    with pytest.raises(StoreError, match="NeuralNetworkClassifier, not a NeuralNetworkClassifierModel"):
        estimator.write().overwrite().save(str(tmp_path / "model"))
        NeuralNetworkClassifierModel.load(str(tmp_path / "model"))


@pytest.mark.parametrize(
    "half", [True, pytest.param(False, marks=pytest.mark.slow)], ids=["amid each step", "before each step"]
)
def test_r36_an_overwrite_that_was_cut_off_anywhere_leaves_a_model(fitted, tmp_path, monkeypatch, half):
    path, models = str(tmp_path / "model"), [fitted.stages[-1], fitted.stages[-1].copy()]
    other = Sequential.from_bytes(models[0].network.to_bytes())
    other.set_weights([weights + 1 for weights in other.get_weights()])
    models[1]._set_network(other, models[0]._metadata())
    prints = [model.network.fingerprint() for model in models]
    left, steps = [0], []

    def cut(function):
        def call(*arguments, **settings):
            left[0] -= 1
            if not left[0]:
                steps.append(function.__name__)
                if half and function is remove:
                    files = sorted(file for file in Path(arguments[1]).rglob("*") if file.is_file())
                    for file in files[: (len(files) + 1) // 2]:
                        file.unlink()
                elif half and function is not move:  # which renames in one step
                    function(*arguments, **settings)
                raise KeyboardInterrupt
            return function(*arguments, **settings)

        return call

    remove, move = storage.remove, storage.move
    for name in ("move", "remove", "write_bytes"):
        monkeypatch.setattr(storage, name, cut(getattr(storage, name)))
    monkeypatch.setattr(DefaultParamsWriter, "saveMetadata", cut(DefaultParamsWriter.saveMetadata))
    models[0].save(path)
    at, now = 1, 0
    while True:
        left[0] = at
        try:
            models[1 - now].write().overwrite().save(path)
            break
        except KeyboardInterrupt:
            left[0], at = 0, at + 1
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "saving to .* was interrupted")
            found = prints.index(NeuralNetworkClassifierModel.load(path).network.fingerprint())
        assert found == now or steps[-1] == "remove"
        now = found
    assert len(steps) >= 7 and set(steps) == {"remove", "write_bytes", "move", "saveMetadata"}
    assert NeuralNetworkClassifierModel.load(path).network.fingerprint() == prints[1 - now]
    assert [place.name for place in tmp_path.iterdir()] == ["model"], "nothing else is left"


def test_what_cannot_be_saved_or_loaded_is_reported_without_java(spark, fitted, tmp_path):
    model, path = fitted.stages[-1], tmp_path / "model"
    (tmp_path / "file").write_text("")
    with pytest.raises(SparkJobError, match=r"^firesteel: saving .*file/below.*: [^\n]+ \[spark-job\]$"):
        model.save(str(tmp_path / "file/below"))
    model.save(str(path))
    for data in (path / "data").glob("*part-*"):
        data.write_bytes(b"half") if data.suffix == ".parquet" else data.unlink()
    with pytest.raises(StoreError, match=r"model is damaged: .*\.parquet cannot be read: [^\n]+\[store-damaged\]$"):
        NeuralNetworkClassifierModel.load(str(path))
    for said, text in {
        "KeyError": "{}",
        "JSONDecodeError": "half",
        "TypeError": "[]",
        "AttributeError": '{"class": 1}',
    }.items():
        for data in (path / "metadata").glob("*part-*"):
            data.write_text(text) if data.suffix != ".crc" else data.unlink()
        with pytest.raises(StoreError, match=rf"model/metadata is damaged: {said}.* \[store-damaged\]"):
            NeuralNetworkClassifierModel.load(str(path))


def test_copy_and_param_maps_work_as_in_spark(frame):
    stage = VectorAssembler(inputCols=COLUMNS, outputCol="features").transform(frame)
    estimator = NeuralNetworkClassifier(hiddenLayers=[4], maxIter=1, seed=1)
    other = estimator.fit(stage, {estimator.hiddenLayers: [3]})
    assert other.network.layers[1].units == 3
    assert estimator.getHiddenLayers() == [4]
    assert "hiddenLayers" in estimator.explainParams()


def test_wrong_params_and_columns_are_refused_in_one_sentence(fitted, frame):
    stage = VectorAssembler(inputCols=COLUMNS, outputCol="features").transform(frame)
    with pytest.raises(ConfigError, match="did you mean 'relu'"):
        NeuralNetworkClassifier(activation="rellu", maxIter=1).fit(stage)
    with pytest.raises(DataError, match="did you mean 'label'"):
        NeuralNetworkClassifier(labelCol="labels", maxIter=1).fit(stage)
    with pytest.raises(DataError, match="column\\(s\\) rawPrediction, probability, prediction already"):
        fitted.stages[-1].transform(fitted.transform(frame))


def test_nothing_runs_before_it_is_asked_for(spark, fitted):
    broken = spark.range(3).selectExpr("assert_true(id < 0) as a", "array(1.0, 2, 3, 4, 5, 6) as features")
    assert fitted.stages[-1].transform(broken).columns[-1] == "prediction"


def test_rows_without_features_are_scored_as_null(spark, fitted):
    frame = spark.createDataFrame([(1, [1.0] * 6), (2, None)], "id int, features array<double>")
    model = fitted.stages[-1].copy().setHandleInvalid("keep")
    found = model.transform(frame).orderBy("id").collect()
    assert found[0].prediction is not None and found[0].probability is not None
    assert found[1].prediction is None and found[1].probability is None and found[1].rawPrediction is None


@pytest.mark.parametrize("params", [{"batchSize": 0}, {"batchSize": -1}, {"maxIter": 0}, {"maxIter": -1}])
def test_params_out_of_range_are_refused_by_name(frame, params):
    stage = VectorAssembler(inputCols=COLUMNS, outputCol="features").transform(frame)
    with pytest.raises(ConfigError, match=r"must be an integer of at least 1"):
        NeuralNetworkClassifier(**params).fit(stage)


@pytest.mark.slow
def test_a_negative_seed_is_a_seed_as_in_spark(frame):
    stage = VectorAssembler(inputCols=COLUMNS, outputCol="features").transform(frame)
    found = {NeuralNetworkClassifier(maxIter=1, seed=seed).fit(stage).network.fingerprint() for seed in (-1, -1, 1)}
    assert len(found) == 2


def test_labels_that_are_no_classes_and_thresholds_are_refused(spark, fitted, frame):
    years = spark.createDataFrame([([1.0], 2020), ([2.0], 2021)], "features array<double>, label int")
    with pytest.raises(DataError, match=r"has values up to 2,021, which is more classes than rows \(2\)"):
        NeuralNetworkClassifier(maxIter=1).fit(years)
    for wrong in ([0.1, 0.2], [0.1, 0.0, 0.0], [-0.1, 0.5, 0.5]):
        model = fitted.stages[-1].copy().setThresholds(wrong)
        with pytest.raises(ConfigError, match="there must be 3, one per class, all above 0 except at most one"):
            model.transform(frame)


def test_a_notebook_shows_a_fitted_stage(spark, fitted):
    model = fitted.stages[-1]
    html = model._repr_html_()
    for said in (model.uid, "6: x0, x1, x2", "training accuracy", "dense_1 (Dense)", "History of", "<polyline"):
        assert said in html
    assert len(html) < 10_000
    scored = NeuralNetworkClassifierModel.fromNetwork(model.network)._repr_html_()
    assert "<td" in scored and "History" not in scored and "training" not in scored
    assert "no network yet" in NeuralNetworkClassifierModel()._repr_html_()
    rows = [([float(n)], float(n)) for n in range(9)]
    numbers = spark.createDataFrame(rows, "features array<double>, label double")
    regressor = NeuralNetworkRegressor(maxIter=2).fit(numbers)
    assert "training rootMeanSquaredError" in regressor._repr_html_()


@pytest.mark.parametrize("stage", [NeuralNetworkClassifier, NeuralNetworkRegressor])
def test_what_a_stage_watches_goes_the_way_that_the_metric_says(stage):
    known = metrics.METRICS | {"accuracy": metrics.SparseCategoricalAccuracy()}
    assert stage.METRICS and stage.METRICS == {name: known[name].larger_is_better for name in stage.METRICS}

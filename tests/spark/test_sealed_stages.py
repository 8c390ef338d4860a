"""Saved stages whose metadata say something else: our errors only, or a stage that works."""

import copy
import json
import warnings

import numpy as np
import pytest
from pyspark.ml.linalg import Vectors

from firesteel.errors import FiresteelError, StoreError
from firesteel.layers import Dense
from firesteel.models import Sequential
from firesteel.spark import (
    NeuralNetworkClassifier,
    NeuralNetworkClassifierModel,
    NeuralNetworkRegressor,
    NeuralNetworkRegressorModel,
    storage,
)
from tests.spark.contract import numeric
from tests.support.sealed import changed


def network(outputs, activation):
    return Sequential([Dense(3, "relu", input_dim=6), Dense(outputs, activation)])


def classifier():
    model = NeuralNetworkClassifierModel.fromNetwork(network(3, "softmax"))
    about = {"features": list("abcdef"), "classes": ["x", "y", "z"], "few": True}
    model._set_network(model.network, about)
    return model.setThresholds([0.2, 0.3, 0.5]).setPredictionCol("p")


STAGES = {
    "classifier": lambda: NeuralNetworkClassifier(hiddenLayers=[4, 3], regParam=0.1, seed=3, classWeights={0: 2.0}),
    "regressor": lambda: NeuralNetworkRegressor(hiddenLayers=[], activation="tanh", evalMetric="rmse"),
    "classifier's model": classifier,
    "regressor's model": lambda: NeuralNetworkRegressorModel.fromNetwork(network(1, None)),
}


def used(stage, frame):
    """Do with a stage what people do before a job runs."""
    assert stage.uid and repr(stage) and stage.explainParams()
    if hasattr(stage, "network"):
        assert stage._repr_html_() and stage._metadata()
        for use in (lambda: stage.predict(Vectors.dense(range(6))), lambda: stage.transform(frame).schema):
            try:
                use()
            except FiresteelError:
                pass


def loaded(make, count, seed, spark, folder, monkeypatch):
    """Load a stage from changed metadata; return how many load, and are used."""
    frame, right = numeric(spark).limit(1), 0
    make().write().save(str(folder / "stage"))
    read = type(make()).read
    text = "".join(path.read_text() for path in (folder / "stage" / "metadata").glob("part-*"))
    content = storage.read_bytes(spark, str(folder / "stage/data")) if (folder / "stage/data").exists() else b""
    monkeypatch.setattr(storage, "read_bytes", lambda *_: content)

    class Rows:
        """Stands for the session's rows of text."""

        def __getattr__(self, name):
            return self

        def text(self, path):
            return self

        def head(self):
            return [text]

    reader = read()
    monkeypatch.setattr(type(reader), "sparkSession", Rows())
    assert reader.read("m").uid == json.loads(text)["uid"]
    whole, rng = json.loads(text), np.random.default_rng(seed)
    for number in range(count):
        text = json.dumps(changed(copy.deepcopy(whole), rng))
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                used(reader.read("m"), frame)
            right += 1
        except StoreError as error:
            assert "\n" not in str(error) and len(str(error)) < 500, number
        except FiresteelError as error:
            assert "\n" not in str(error), number
    return right


@pytest.mark.parametrize("kind", STAGES)
def test_r39_metadata_that_say_something_else_are_refused_or_work(kind, spark, tmp_path, monkeypatch):
    assert 0 < loaded(STAGES[kind], 60, 0, spark, tmp_path, monkeypatch) < 60


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("kind", STAGES)
def test_r39_2000_changed_metadata_are_refused_or_work(kind, spark, tmp_path, monkeypatch):
    right = loaded(STAGES[kind], 500, 7, spark, tmp_path, monkeypatch)
    print(f"\n{kind}: 500 changed metadata: {500 - right} refused, {right} used")

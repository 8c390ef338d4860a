"""What is given to stages and cannot be used is refused in our words, before a job."""

import numpy as np
import pandas as pd
import pytest

from firesteel.errors import ConfigError, DataError, FiresteelError, StoreError
from firesteel.layers import Dense
from firesteel.models import Sequential
from firesteel.spark import NeuralNetworkClassifier, NeuralNetworkClassifierModel, pack
from tests.spark.conftest import NAMED

X, Y = np.arange(24.0).reshape(12, 2) / 24, np.arange(12) % 2
ROWS = pd.DataFrame({"a": X[:, 0], "b": X[:, 1], "label": Y})


def network():
    model = Sequential([Dense(2, "softmax", input_dim=2)])
    model.compile("sgd", "sparse_categorical_crossentropy")
    return model


def stage(**params):
    return NeuralNetworkClassifier(featuresCol=["a", "b"], **{"maxIter": 1, "hiddenLayers": []} | NAMED | params)


CALLS = {
    "fit": lambda wrong: stage().fit(wrong),
    "fit, with a checkpoint": lambda wrong: stage(checkpointDir="/tmp/firesteel-none").fit(wrong),
    "transform": lambda wrong: NeuralNetworkClassifierModel.fromNetwork(network()).transform(wrong),
    "pack": lambda wrong: pack(wrong, ["a", "b"]),
}


@pytest.mark.parametrize("name", CALLS)
def test_what_is_no_spark_frame_is_refused_with_how_to_make_one(spark, name):
    for wrong in (None, 5, "rows.csv", ROWS, ROWS.to_dict(), X, [1]):
        with pytest.raises(DataError, match=r"expected a Spark DataFrame, got .*: spark.createDataFrame") as caught:
            CALLS[name](wrong)
        assert caught.value.code == "data-frame"


def test_arguments_that_go_with_no_frame_are_refused(spark):
    frame = spark.createDataFrame(ROWS)
    for wrong in (5, ["a"], {}, 1.0):
        for argument in ("weight", "id", "validation_indicator"):
            with pytest.raises(ConfigError, match=f"^{argument}=.*must be a column's name"):
                pack(frame, ["a", "b"], **{argument: wrong})
        with pytest.raises(ConfigError, match=r"^weight=.*must be a column's name"):
            network().fit(frame, features=["a", "b"], weight=wrong, verbose=0)
    with pytest.raises(ConfigError, match="^validation_split='x'"):
        pack(frame, ["a", "b"], validation_split="x")
    for kind in (ROWS, (X, Y), X):
        with pytest.raises(ConfigError, match="^validation_data must be a DataFrame like x"):
            network().fit(frame, features=["a", "b"], validation_data=kind, verbose=0)
    with pytest.raises(ConfigError, match=r"^validation_data must be \(x, y\)"):
        network().fit(X, Y, validation_data=frame, verbose=0)


def test_a_stage_is_not_saved_over_another_without_a_word(spark, tmp_path):
    for saved in (NeuralNetworkClassifierModel.fromNetwork(network()), stage()):
        path = str(tmp_path / type(saved).__name__)
        saved.save(path)
        with pytest.raises(StoreError, match=r"already: overwrite it with write\(\)\.overwrite\(\)") as caught:
            saved.save(path)
        assert caught.value.code == "store-exists"
        saved.write().overwrite().save(path)


def test_a_checkpoint_folder_that_cannot_be_made_is_refused_before_the_rows_are_read(spark, tmp_path):
    (tmp_path / "file").write_text("in the way")
    frame = spark.createDataFrame(ROWS.assign(label=np.nan))  # which no fit would take
    for place in ("/proc/firesteel", str(tmp_path / "file" / "progress")):
        with pytest.raises(FiresteelError, match="checkpointDir=.*firesteel|checkpointDir=.*progress") as caught:
            stage(checkpointDir=place).fit(frame)
        assert caught.value.code in ("store-write", "spark-job")

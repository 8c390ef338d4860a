"""MLflow: what a training logs, and a model in its format that serves without Spark, pickles and copies of code."""

import json
import subprocess
import sys
import warnings
from importlib.metadata import version

import numpy as np
import pandas as pd
import pytest

import firesteel
import firesteel.mlflow as flavour
from firesteel.callbacks import MlflowCallback
from firesteel.errors import ConfigError, StoreError
from firesteel.layers import Dense, Table
from firesteel.models import Sequential, load_model
from tests.support import graphs

X = np.random.default_rng(0).normal(size=(90, 3))
Y = (X[:, 0] > 0).astype(int)


@pytest.fixture
def mlflow(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow's own, about its own type hints
        import mlflow.pyfunc

    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri((tmp_path / "runs").as_uri())
    yield mlflow
    mlflow.set_tracking_uri(before)


def made(dtype="float32"):
    model = Sequential([Dense(4, "relu"), Dense(2, "softmax")], dtype=dtype)
    model.compile("adam", "sparse_categorical_crossentropy", ["accuracy"])
    return model


@pytest.fixture(scope="module")
def model():
    model = made()
    model.fit(X, Y, epochs=1, verbose=0)
    return model


# Training


def test_a_training_logs_its_settings_its_summary_and_every_row(mlflow, capsys):
    model = made()
    with mlflow.start_run(run_name="three inputs") as run:
        logger = MlflowCallback()
        history = model.fit(X, Y, epochs=3, validation_split=0.3, verbose=0, callbacks=logger)
    assert logger.run_name == "three inputs" and capsys.readouterr().out == ""
    client, number = mlflow.MlflowClient(), run.info.run_id
    params = mlflow.get_run(number).data.params
    assert {"epochs": "3", "optimizer": "Adam", "optimizer_learning_rate": "0.001", "parameters": "26"}.items() <= (
        params.items()
    )
    assert params["loss"] == "SparseCategoricalCrossentropy" and "None" not in params.values()
    for name in ("loss", "val_accuracy", "seconds", "wait_seconds", "rows"):
        logged = [(point.step, point.value) for point in client.get_metric_history(number, name)]
        assert logged == [(row["epoch"], row[name]) for row in history.rows]
    assert "dense_1 (Dense)" in mlflow.artifacts.load_text(f"runs:/{number}/model_summary.txt")


def test_what_mlflow_refuses_is_warned_of_once_and_training_goes_on(mlflow, monkeypatch):
    def refuse(*what, **more):
        raise OSError("the server is gone\nand more")

    expected = made()
    expected.fit(X, Y, epochs=3, verbose=0)
    with mlflow.start_run():
        monkeypatch.setattr(mlflow, "log_metrics", refuse)
        model = made()
        with pytest.warns(UserWarning, match="training continues: the server is gone$") as said:
            model.fit(X, Y, epochs=3, verbose=0, callbacks=MlflowCallback())
    assert len(said) == 1 and model.fingerprint() == expected.fingerprint()


def test_each_output_has_its_loss_in_a_run(mlflow):
    model = graphs.called("kind_and_size")
    with mlflow.start_run() as run:
        model.fit(*graphs.parted(model), epochs=1, verbose=0, callbacks=MlflowCallback())
    params = mlflow.get_run(run.info.run_id).data.params
    assert params["loss"] == "kind: SparseCategoricalCrossentropy, size: MeanSquaredError"


# Models


@pytest.mark.parametrize("name", ["twice", "kind_and_size"])
def test_a_model_of_several_inputs_or_outputs_is_refused(mlflow, tmp_path, name):
    with pytest.raises(ConfigError, match="this model has several inputs or outputs, and MLflow serves"):
        flavour.save_model(graphs.called(name), tmp_path / "saved")


def test_what_is_saved_is_the_models_own_file_and_pins_what_serving_needs(mlflow, model, tmp_path):
    path = tmp_path / "saved"
    flavour.save_model(model, path, metadata={"team": "lemons"})
    found = {str(file.relative_to(path)) for file in path.rglob("*") if file.is_file()}
    assert found == {"MLmodel", "conda.yaml", "python_env.yaml", "requirements.txt", "data/model.firesteel"}
    assert load_model(path / "data" / "model.firesteel").fingerprint() == model.fingerprint()
    wanted = (path / "requirements.txt").read_text().split()
    pinned = [f"{name}=={version(name)}" for name in ("numpy", "safetensors")]
    assert wanted[0].startswith("mlflow") and wanted[1:] == [f"firesteel=={firesteel.__version__}", *pinned]
    about = mlflow.models.Model.load(str(path))
    assert about.flavors["firesteel"]["fingerprint"] == model.fingerprint() and about.metadata == {"team": "lemons"}
    assert about.flavors["python_function"]["loader_module"] == "firesteel.mlflow"


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_it_serves_pandas_and_numpy_with_the_models_own_numbers(mlflow, tmp_path, dtype):
    model = made(dtype)
    model.fit(X, Y, epochs=1, verbose=0)
    flavour.save_model(model, tmp_path / "saved")
    served = mlflow.pyfunc.load_model(str(tmp_path / "saved"))
    assert len(served.metadata.get_input_schema().inputs) == 3
    whole = (X * 20).astype(np.int16)
    for rows in (X, X.astype("f4"), whole, pd.DataFrame(X, columns=list("abc"))):
        found, expected = served.predict(rows), model.predict(np.asarray(rows))
        assert found.dtype == expected.dtype == dtype and np.array_equal(found, expected)
    with pytest.raises(mlflow.MlflowException, match="missing inputs"):
        served.predict(X[:, :2])


def test_an_example_names_the_columns_which_then_come_in_any_order(mlflow, model, tmp_path):
    frame = pd.DataFrame(X, columns=["mass", "length", "width"])
    flavour.save_model(model, tmp_path / "saved", input_example=frame.head(2))
    served = mlflow.pyfunc.load_model(str(tmp_path / "saved"))
    assert served.metadata.get_input_schema().input_names() == ["mass", "length", "width"]
    assert np.array_equal(served.predict(frame[["width", "mass", "length"]]), model.predict(X))


def table(rows=60):
    """Columns of every type; those whose names end in a question mark have gaps."""
    numbers, days = np.arange(rows), pd.date_range("2024-01-01", periods=rows)
    frame = {
        "carrier": [("AA", "DL", "UA")[n % 3] for n in numbers],
        "tail?": [None if n % 9 == 0 else f"N{n % 20}" for n in numbers],
        "temp?": np.where(numbers % 7 == 0, np.nan, numbers / 4),
        "hour": numbers % 24,
        "seats?": pd.array([None if n % 11 == 0 else n for n in numbers], "Int64"),
        "weekend": numbers % 7 > 4,
        "day": days.to_numpy().astype("M8[D]"),
        "at?": days.to_series().where(numbers % 5 > 0).to_numpy() + np.timedelta64(3, "h"),
        "one": ["value"] * rows,
    }
    return frame, numbers % 2


@pytest.fixture(scope="module")
def of_a_table():
    model = Sequential([Table(), Dense(2, "softmax")])
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(*table(), verbose=0)
    return model


def test_a_tables_model_names_its_columns_and_takes_frames_of_them(mlflow, of_a_table, tmp_path):
    flavour.save_model(of_a_table, tmp_path / "saved")
    served = mlflow.pyfunc.load_model(str(tmp_path / "saved"))
    inputs = served.metadata.get_input_schema().inputs
    assert {one.name: (str(one.type).removeprefix("DataType."), one.required) for one in inputs} == {
        "carrier": ("string", True),
        "tail?": ("string", False),
        "temp?": ("double", False),
        "hour": ("long", True),
        "seats?": ("Any", False),
        "weekend": ("Any", True),
        "day": ("datetime", True),
        "at?": ("datetime", False),
    }
    columns, _ = table()
    frame, expected = pd.DataFrame(columns), of_a_table.predict(columns)
    assert np.array_equal(served.predict(frame[[*reversed(frame.columns)]]), expected)
    some = served.predict(frame[["day", "carrier", "hour", "weekend"]])
    gone = {name: [None] * 60 if name.endswith("?") else values for name, values in columns.items()}
    assert np.array_equal(some, of_a_table.predict(gone))
    with pytest.raises(mlflow.MlflowException, match="missing inputs"):
        served.predict(frame.drop(columns="hour"))


def test_a_tables_example_goes_by_its_names(mlflow, of_a_table, tmp_path):
    frame = pd.DataFrame(table()[0]).drop(columns=["one", "seats?"])
    flavour.save_model(of_a_table, tmp_path / "saved", input_example=frame.tail(3))
    served = mlflow.pyfunc.load_model(str(tmp_path / "saved"))
    assert served.metadata.get_input_schema().input_names() == of_a_table.schema.names
    assert served.predict(served.input_example).shape == (3, 2)


def test_it_is_logged_found_by_its_uri_and_loaded_as_itself(mlflow, model, tmp_path):
    with mlflow.start_run() as run:
        info = flavour.log_model(model, "digits")
    for uri in (info.model_uri, f"runs:/{run.info.run_id}/digits"):
        assert flavour.load_model(uri).fingerprint() == model.fingerprint()
    flavour.save_model(flavour.load_model(info.model_uri), tmp_path / "again")
    assert flavour.load_model(tmp_path / "again").metrics_names == ["loss", "accuracy"]


def test_a_server_needs_neither_spark_nor_pickles(mlflow, model, tmp_path):
    flavour.save_model(model, tmp_path / "saved")
    code = """
import json, pickle, sys
sys.modules["pyspark"] = None
import mlflow.pyfunc
served = mlflow.pyfunc.load_model(sys.argv[1])
print(json.dumps(served.predict(json.loads(sys.argv[2])).tolist()))
"""
    argv = [sys.executable, "-c", code, str(tmp_path / "saved"), json.dumps(X[:3].tolist())]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    assert np.array_equal(np.array(json.loads(done.stdout), "f4"), model.predict(X[:3]))


def test_what_is_no_model_is_refused(mlflow, tmp_path):
    with pytest.raises(ConfigError, match=r"a dict is not a firesteel model.*stage\.network"):
        flavour.save_model({}, tmp_path / "saved")
    mlflow.models.Model().save(tmp_path / "MLmodel")
    with pytest.raises(StoreError, match="contains no firesteel model"):
        flavour.load_model(tmp_path)
    with pytest.raises(ConfigError, match="inputs is unknown"):
        flavour.save_model(made(), tmp_path / "saved")
    assert not (tmp_path / "saved").exists()


@pytest.mark.parametrize("call", [MlflowCallback, lambda: flavour.load_model("x"), lambda: flavour.log_model(made())])
def test_without_mlflow_it_says_how_to_install_it(call, monkeypatch):
    for name in [name for name in sys.modules if name == "mlflow" or name.startswith("mlflow.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(ConfigError, match=r'needs mlflow.*pip install "firesteel\[mlflow\]"'):
        call()

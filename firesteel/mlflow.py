"""MLflow flavor: log trainings, and save models in MLflow's format for serving without Spark.

The functions have the names of MLflow's other flavors.  A saved model contains firesteel's own file, which is never
unpickled.  MLflow is imported at the first call.
"""

import os
import sys
import tempfile
import warnings
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from firesteel import __version__
from firesteel._files import named
from firesteel.core.layers.heads import Heads
from firesteel.errors import ConfigError, StoreError, imported, without_secrets
from firesteel.models import Model
from firesteel.models import load_model as load_file
from firesteel.tables.schema import CategoryColumn, NumberColumn, TableColumn, TimeColumn
from firesteel.tables.schema import Schema as TableSchema
from firesteel.train.callbacks import Callback, Logs

__all__ = ["FLAVOR", "MlflowCallback", "Scorer", "load_model", "log_model", "save_model"]

FLAVOR = "firesteel"
"""Name of the flavor in an MLmodel file."""
FILE = "model.firesteel"
SERVED_WITH = ("numpy", "safetensors")
"""Packages that serving needs besides firesteel, in the installed versions."""


def _mlflow(name: str = "mlflow") -> Any:
    """Import a module of MLflow.  Raises ConfigError if it or one of its dependencies is missing."""
    return imported(name, "MLflow", "mlflow", ConfigError, "config-package")


# Training


class MlflowCallback(Callback):
    """Callback that logs a training to MLflow.

    It logs the settings and the model's summary when training begins, and the metrics of each epoch, to the active
    run or to one that MLflow starts.  If logging fails, it warns once and training continues.

    Raises:
        ConfigError: `config-package`, if MLflow is not installed.

    Example:
        ```python
        with mlflow.start_run():
            model.fit(x, y, epochs=5, callbacks=[MlflowCallback()])
        ```
    """

    observes = True

    def __init__(self) -> None:
        self.mlflow = _mlflow()
        run = self.mlflow.active_run()
        self.run_name, self.warned = run.info.run_name if run else None, False

    def on_train_begin(self, logs: Logs = None) -> None:
        optimizer = self.model.settings.optimizer.to_config()
        given = {name: value for name, value in self.params.items() if isinstance(value, int | float | str)}
        loss = self.model.get_compile_config()["loss"]
        settings = {
            **given,
            "parameters": self.model.count_params(),
            "loss": loss["type"]
            if "type" in loss
            else ", ".join(f"{name}: {one['type']}" for name, one in loss.items()),
        }
        settings |= {"optimizer": optimizer.pop("type")}
        settings |= {f"optimizer_{name}": value for name, value in optimizer.items() if value not in (None, ())}
        summary: list[str] = []
        self.model.summary(print_fn=summary.append)
        self._tell(self.mlflow.log_params, without_secrets(settings))
        self._tell(self.mlflow.log_text, "\n".join(summary), "model_summary.txt")

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        row = self.model.history.rows[-1]
        values = {name: float(value) for name, value in row.items() if isinstance(value, int | float)}
        del values["epoch"]
        self._tell(self.mlflow.log_metrics, values, step=epoch)

    def _tell(self, log: Callable[..., Any], *what: Any, **more: Any) -> None:
        try:
            log(*what, **more)
        except Exception as error:
            if not self.warned:
                reason = (str(error) or type(error).__name__).splitlines()[0]
                said = f"logging to MLflow failed, and training continues: {reason}"
                warnings.warn(without_secrets(said), stacklevel=3)
            self.warned = True


# Models


def save_model(
    model: Model,
    path: str | os.PathLike[str],
    *,
    mlflow_model: Any = None,
    signature: Any = None,
    input_example: Any = None,
    pip_requirements: list[str] | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> None:
    """Save a model in MLflow's format.

    Args:
        model: The model; of a fitted Spark stage, its `network`.
        path: Folder to create.
        mlflow_model: MLflow model configuration to add the flavor to, as in MLflow's other flavors.
        signature: MLflow signature of inputs and outputs.  If not given, that of the columns of a model trained on a
            table, where columns with missing values are optional; otherwise that of `input_example`, or as many
            unnamed numeric columns as the network has inputs.
        input_example: A few rows, as a pandas DataFrame or an array.
        pip_requirements: Packages that serving installs; if not given, firesteel, numpy and safetensors in the
            installed versions.
        metadata: Metadata for the MLmodel file, as in MLflow's other flavors.

    Raises:
        ConfigError: `config-package`, if MLflow is not installed; `config-model`, if `model` is not a model with one
            input and one output.

    Example:
        ```python
        save_model(model, "digits_mlflow")  # serve it with: mlflow models serve -m digits_mlflow
        load_model("digits_mlflow").fingerprint() == model.fingerprint()  # True
        ```
    """
    pyfunc, models = _mlflow("mlflow.pyfunc"), _mlflow("mlflow.models")
    if not isinstance(model, Model):
        raise ConfigError(
            f"a {type(model).__name__} is not a firesteel model: save a Sequential or Model, or stage.network",
            code="config-model",
        )
    if len(model.network.entries) > 1 or isinstance(model.network.layers[-1], Heads):
        raise ConfigError(
            "this model has several inputs or outputs, and MLflow serves models with one of each.  To do: "
            "model.save(path), then mlflow.log_artifact(path)",
            code="config-model",
        )
    described = mlflow_model or models.Model()
    about = {"firesteel_version": __version__, "fingerprint": model.fingerprint(), "data": f"data/{FILE}"}
    described.add_flavor(FLAVOR, **about)
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*input example was not provided")  # the signature needs none to be exact
        file = Path(folder, FILE)
        model.save(file, include_optimizer=False)
        pyfunc.save_model(
            path=os.fspath(path),
            loader_module=__name__,
            data_path=str(file),
            mlflow_model=described,
            signature=_signature(model, input_example) if signature is None else signature,
            input_example=input_example,
            pip_requirements=_requirements() if pip_requirements is None else pip_requirements,
            metadata=metadata,
        )


def log_model(model: Model, name: str = "model", **settings: Any) -> Any:
    """Log a model to the active MLflow run, or to one that MLflow starts.

    Args:
        model: The model; of a fitted Spark stage, its `network`.
        name: Name of the logged model.
        settings: Further arguments of `save_model`, and those of MLflow's `Model.log`, such as
            `registered_model_name` and `run_id`.

    Returns:
        MLflow's ModelInfo.

    Raises:
        ConfigError: As `save_model`.

    Example:
        ```python
        with mlflow.start_run():
            info = log_model(model, registered_model_name="digits")
        load_model(info.model_uri).fingerprint() == model.fingerprint()  # True
        ```
    """
    models = _mlflow("mlflow.models")
    return models.Model.log(artifact_path=None, name=name, flavor=sys.modules[__name__], model=model, **settings)


def load_model(model_uri: str | os.PathLike[str]) -> Model:
    """Load a model from MLflow.

    Args:
        model_uri: A URI such as "runs:/RUN_ID/model" or "models:/digits/3", or a folder.

    Returns:
        The model.

    Raises:
        ConfigError: `config-package`, if MLflow is not installed.
        StoreError: If there is no model, or one of another flavor (`store-flavor`).

    Example:
        ```python
        model = load_model("models:/digits/3")
        model.predict(x)  # an array of shape (n, outputs)
        ```
    """
    artifacts = _mlflow("mlflow.artifacts")
    with named(model_uri, "read"):
        folder = Path(artifacts.download_artifacts(artifact_uri=os.fspath(model_uri)))
    about = _mlflow("mlflow.models").Model.load(str(folder)).flavors.get(FLAVOR)
    if about is None:
        raise StoreError(f"{model_uri} contains no firesteel model", code="store-flavor")
    return load_file(folder / about["data"])


class Scorer:
    """The object that MLflow serves: a model whose `predict` takes a pandas DataFrame or an array.

    `mlflow.pyfunc.load_model` makes it.

    Args:
        model: The model.

    Example:
        >>> from firesteel.layers import Dense, Input
        >>> from firesteel.models import Sequential
        >>> Scorer(Sequential([Input((3,)), Dense(2, kernel_initializer="ones")])).predict([[1.0, 2.0, 3.0]])
        array([[6., 6.]], dtype=float32)
    """

    def __init__(self, model: Model) -> None:
        self.model = model

    def predict(self, rows: Any, params: Mapping[str, Any] | None = None) -> npt.NDArray[Any]:
        """Return the outputs of the model, (n, O).

        Args:
            rows: Rows of features, (n, I), as a DataFrame or an array.  A model trained on a table takes the columns
                of a DataFrame by name, other models by position.
            params: Ignored; MLflow passes inference parameters here.
        """
        if self.model.schema is not None:
            rows = self._named(rows, self.model.schema)
        elif hasattr(rows, "to_numpy"):
            rows = rows.to_numpy()
        found: npt.NDArray[Any] = self.model.predict(rows)
        return found

    def _named(self, rows: Any, schema: TableSchema) -> Any:
        """Restore the columns of a table that MLflow dropped (optional ones) or changed (dates become times)."""
        if not hasattr(rows, "columns"):
            return rows
        found = {name: rows[name] if name in rows.columns else [None] * len(rows) for name in schema.names}
        for column in schema.columns:
            if isinstance(column, TimeColumn) and column.kind == "date":
                times = np.asarray(found[column.name])
                if times.dtype.kind == "M" and np.array_equal(days := times.astype("M8[D]"), times, equal_nan=True):
                    found[column.name] = days
        return found


def _load_pyfunc(path: str) -> Scorer:
    """Return the scorer of a model file; MLflow calls this function by its name."""
    return Scorer(load_file(path))


def _requirements() -> list[str]:
    return [f"firesteel=={__version__}", *(f"{name}=={version(name)}" for name in SERVED_WITH)]


def _signature(model: Model, example: Any) -> Any:
    """Return the signature of a table's columns, of an example, or of unnamed numeric columns."""
    types, models = _mlflow("mlflow.types"), _mlflow("mlflow.models")
    if example is not None and model.schema is None:
        return models.infer_signature(example, Scorer(model).predict(example))
    network = model.network
    if model.schema is None:
        columns = types.Schema([types.ColSpec("double") for _ in range(network.inputs)])
    else:
        columns = types.Schema([_column(one) for one in model.schema.columns])
    kind = np.dtype("float64" if network.centre.targets else network.dtype)
    outputs = types.Schema([types.TensorSpec(kind, (-1, network.outputs))])
    return models.ModelSignature(inputs=columns, outputs=outputs)


def _column(column: TableColumn) -> Any:
    """Return MLflow's specification of a table column, with any type where a stricter one could reject valid values.

    MLflow rejects integers for floats and numbers for text, pandas turns integers with missing values into floats,
    and a column of 0 and 1 may have been Boolean.
    """
    types = _mlflow("mlflow.types.schema")
    kind, missing = types.AnyType(), getattr(column, "missing", False)
    if isinstance(column, TimeColumn):
        kind = "datetime"
    elif isinstance(column, CategoryColumn):
        kind = kind if column.written else "string"
    elif isinstance(column, NumberColumn):
        if isinstance(column.centre, float):
            kind = "double"
        elif not missing and (column.levels or column.edges):
            kind = "long"
    return types.ColSpec(kind, column.name, required=not missing)

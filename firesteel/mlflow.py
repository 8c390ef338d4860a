"""MLflow: a training as a run, and a model in MLflow's own format, which scores pandas and NumPy without Spark.

The words are those of MLflow's other flavours: `save_model`, `log_model`, `load_model`, `MlflowCallback`.  What is
saved is the model's own file, and nothing in it is ever unpickled; MLflow is imported when one of them is called.
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
"""Name of the flavour in an MLmodel file."""
FILE = "model.firesteel"
SERVED_WITH = ("numpy", "safetensors")
"""What serving needs besides firesteel, in the versions that are here."""


def _mlflow(name: str = "mlflow") -> Any:
    """Return one of MLflow's modules.  Raises ConfigError where it, or what it needs, is missing."""
    return imported(name, "MLflow", "mlflow", ConfigError, "config-package")


# Training


class MlflowCallback(Callback):
    """Logs a training to MLflow: settings and the model's summary as it begins, and each epoch's row as metrics.

    It logs to the active run, or to one that MLflow starts.  What MLflow does not take is warned of, once, and
    training goes on.
    Raises ConfigError where MLflow is missing.

    For example `with mlflow.start_run(): model.fit(x, y, callbacks=[MlflowCallback()])`.
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
                said = f"MLflow did not take what was logged, and training goes on: {reason}"
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
    """Write a model in MLflow's format to a folder that is not there yet.

    model: a `Sequential`; of a fitted Spark stage it is `stage.network`.
    signature: of what goes in and out; if not given, the columns that a table's model was trained on, of which those
    that had gaps may be left out; or that of the example; or as many unnamed columns of numbers as the network has
    inputs.  input_example: a few rows, as a pandas DataFrame or an array.
    pip_requirements: what serving installs; firesteel, numpy and safetensors as they are here if not given.
    mlflow_model, metadata: as in MLflow's other flavours.

    Raises ConfigError where MLflow is missing or the model is none.
    """
    pyfunc, models = _mlflow("mlflow.pyfunc"), _mlflow("mlflow.models")
    if not isinstance(model, Model):
        raise ConfigError(
            f"a {type(model).__name__} was given, and a Sequential is saved: of a fitted stage give stage.network",
            code="config-model",
        )
    if len(model.network.entries) > 1 or isinstance(model.network.layers[-1], Heads):
        raise ConfigError(
            "MLflow serves models of one input and one output, and this one has several.  To do: model.save(path), "
            "and mlflow.log_artifact(path)",
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
    """Log a model to the active run, or to one that MLflow starts; return MLflow's ModelInfo.

    settings: those of `save_model`, and registered_model_name, run_id and what else MLflow's `Model.log` takes.
    """
    models = _mlflow("mlflow.models")
    return models.Model.log(artifact_path=None, name=name, flavor=sys.modules[__name__], model=model, **settings)


def load_model(model_uri: str | os.PathLike[str]) -> Model:
    """Return the model at a URI of MLflow's, such as "runs:/.../model" or "models:/digits/3", or in a folder.

    Raises StoreError where there is no model, or another flavour's.
    """
    artifacts = _mlflow("mlflow.artifacts")
    with named(model_uri, "read"):
        folder = Path(artifacts.download_artifacts(artifact_uri=os.fspath(model_uri)))
    about = _mlflow("mlflow.models").Model.load(str(folder)).flavors.get(FLAVOR)
    if about is None:
        raise StoreError(f"{model_uri} holds no firesteel model", code="store-flavor")
    return load_file(folder / about["data"])


class Scorer:
    """What MLflow serves: the model behind `predict`, for rows as a pandas DataFrame or an array."""

    def __init__(self, model: Model) -> None:
        self.model = model

    def predict(self, rows: Any, params: Mapping[str, Any] | None = None) -> npt.NDArray[Any]:
        """Return the outputs, (n, O).

        rows: (n, I); of a DataFrame its columns, in their order, or by their names where the model is of a table.
        """
        if self.model.schema is not None:
            rows = self._named(rows, self.model.schema)
        elif hasattr(rows, "to_numpy"):
            rows = rows.to_numpy()
        found: npt.NDArray[Any] = self.model.predict(rows)
        return found

    def _named(self, rows: Any, schema: TableSchema) -> Any:
        """Return a table with all its columns: MLflow leaves optional ones out, and has no dates, only times."""
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
    """Return what MLflow serves from the model's file; MLflow calls it by this name."""
    return Scorer(load_file(path))


def _requirements() -> list[str]:
    return [f"firesteel=={__version__}", *(f"{name}=={version(name)}" for name in SERVED_WITH)]


def _signature(model: Model, example: Any) -> Any:
    """Return the signature of a table's columns, or that an example has, or of numbers, which take arrays, too."""
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
    """Return what MLflow is to know of a table's column: any type, where it would refuse one that may be right.

    It takes no whole numbers for others, no numbers for words, and whole numbers with gaps are others in pandas; of
    0 and 1 alone nobody knows whether they were booleans.
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

"""The Spark ML Models: fitted networks that score DataFrames lazily, streaming ones too.

Only the features go to Python, as Arrow, to the scoring functions of `worker.py`; Spark expressions turn the outputs
into columns.  `storage.py` saves and loads the models.
"""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Generic, Self, TypeVar

import numpy as np
from pyspark.ml.classification import ProbabilisticClassificationModel
from pyspark.ml.functions import array_to_vector
from pyspark.ml.linalg import DenseVector, Vector, Vectors
from pyspark.ml.regression import RegressionModel
from pyspark.ml.util import MLReadable, MLWritable, MLWriter
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from firesteel import _notebook as notebook
from firesteel.core.layers.activation import Sigmoid, Softmax
from firesteel.core.network import Network
from firesteel.errors import ConfigError, DataError
from firesteel.models import Model, Sequential
from firesteel.search.shifts import averaged_over_shifts
from firesteel.spark import pictures, tables, worker
from firesteel.spark.columns import Columns, NamedColumns
from firesteel.spark.embedding import hidden_of, rest_of
from firesteel.spark.failures import alive, session_of
from firesteel.spark.frames import DIRECT, Frame, scoring
from firesteel.spark.params import ClassifierParams, NetworkParams, check_ports, with_params
from firesteel.spark.parcel import ship
from firesteel.spark.storage import ModelReader, ModelWriter
from firesteel.spark.summary import ClassificationSummary, RegressionSummary, TrainingSummary
from firesteel.tables.importance import MOST_ROWS, Importances, Places, ScoredRows, check_dense, measured, places_of
from firesteel.train.history import History

Summary = TypeVar("Summary", bound=TrainingSummary)
NewColumns = dict[str, tuple[Column, Mapping[str, Any] | None]]
"""Output columns by name, each with its metadata."""


class NetworkModel(NetworkParams, MLWritable, MLReadable[Any], Generic[Summary]):
    """Base class of the fitted stages."""

    _classifies = False
    _labels: list[str] | None = None

    def __init__(self) -> None:
        super().__init__()
        self._start({})
        self._network: Model | None = None
        self._summary: Summary | None = None
        self._features: list[str] | None = None
        self._few = False
        self._validation_rows: list[ScoredRows] = []
        self._importances: Importances | None = None

    @classmethod
    def fromNetwork(cls, network: Model) -> Self:
        """Return a stage that scores with a network trained elsewhere.

        A network that begins with `Table` reads the columns that it was trained on (`inputCols`).  A network does not
        know the names of classes, so the stage's `labels` are None.

        Args:
            network: A model with weights, such as a `Sequential`; it is copied.

        Raises:
            ConfigError: `config-layers` or `config-loss`, if the network's inputs or outputs do not suit the stage.

        Example:
            ```python
            from firesteel.models import load_model

            stage = NeuralNetworkClassifierModel.fromNetwork(load_model("digits.firesteel"))
            stage.transform(df).select("prediction").show()
            ```
        """
        cls._check_network(network.network)
        model = cls()
        model._set_network(Sequential.from_bytes(network.to_bytes(include_optimizer=False)), {})
        if model.network.schema is not None:
            model.set(model.getParam("inputCols"), list(model.network.schema.names))
        return model

    @classmethod
    def _check_network(cls, network: Network) -> None:
        """Raise ConfigError unless the network has one input and one output."""
        check_ports(network, "predict")

    def _set_network(self, network: Model, about: Mapping[str, Any]) -> None:
        """Set the network, without optimizer state, and the metadata of a saved model."""
        network.forget()
        self._network = network
        self._features = about.get("features")
        self._few = about.get("few", False)

    def _metadata(self) -> dict[str, Any]:
        """Return the metadata of the columns that is saved with the model, which JSON can hold."""
        return {"features": self._features, "few": self._few}

    @property
    def network(self) -> Model:
        """The fitted network on plain arrays, without Spark; `model.network.save(path)` writes it for serving."""
        if self._network is None:
            raise ConfigError(
                f"{type(self).__name__} has no network: get one from fit, load or fromNetwork", code="config-model"
            )
        return self._network

    @property
    def history(self) -> History | None:
        """The metrics of each epoch; None for a loaded model."""
        return self._summary.history if self._summary else None

    @property
    def hasSummary(self) -> bool:
        """Whether the model has a training summary; a loaded model has none."""
        return self._summary is not None

    @property
    def summary(self) -> Summary:
        """The training summary.

        Raises:
            ConfigError: `config-summary`, for a loaded model: summaries are not saved.
        """
        if self._summary is None:
            raise ConfigError("this model was loaded and has no summary: only fit makes one", code="config-summary")
        return self._summary

    @property
    def numFeatures(self) -> int:
        """Number of features of the network."""
        return self.network.network.inputs

    @property
    def featureImportances(self) -> DenseVector:
        """Permutation importance of each of inputCols, or of each feature of a vector; the values sum to 1.

        They are measured on the fit's validation rows at first use.  A column that the model leaves out, or whose
        shuffling does not raise the loss, has 0.

        Raises:
            ConfigError: `config-importances`, if there are no validation rows; use `importances(dataset)` instead.
        """
        found = self.importances()
        raw = self.network.schema is not None
        names = self.getOrDefault("inputCols") if raw and self.isSet("inputCols") else list(self._places())
        return Vectors.dense(found.shares(names))

    def importances(self, dataset: DataFrame | None = None) -> Importances:
        """Return the permutation importances: how much the loss rises when the values of a column are shuffled.

        Args:
            dataset: Rows with a label, of which at most 2,000 are used, chosen by their keys.  If not given, the
                fit's validation rows.

        Returns:
            The rise of the loss for each column.

        Raises:
            ConfigError: `config-importances`, if no dataset is given and there are no validation rows, because the
                fit held none out or the model was loaded.
            DataError: If the columns of the dataset do not match the model, or the label is missing.
        """
        if dataset is None:
            if self._importances is None:
                if not self._validation_rows:
                    check_dense(self.numFeatures, self.network.network.sparse)
                    raise ConfigError(
                        "importances need validation rows, and the fit held none out, or this model was loaded.  "
                        "To do: model.importances(df), with rows that have a label",
                        code="config-importances",
                    )
                self._importances = measured(self._validation_rows, self._places())
            return self._importances
        network, schema = self.network, self.network.schema
        check_dense(self.numFeatures, network.network.sparse)
        features = self._columns() if schema is None else tuple(schema.names)
        weight = self.getOrDefault("weightCol") if self.isSet("weightCol") else None
        label, raw = self.getOrDefault("labelCol"), schema is not None
        with alive(session_of(dataset), f"{self.uid}: importances"):
            given = Columns(features, label, weight, skip=True, stage=True, classes=self._classifies, raw=raw)
            if self._labels == ["true", "false"]:
                given = replace(given, positive="false")
            if schema is not None:
                tables.scored(NamedColumns(dataset), schema)
            rows = Frame(dataset, given, network.network.dtype).first(
                network.network, schema, self._labels, MOST_ROWS
            )
        x, y, w = np.split(rows, [self.numFeatures, -1], axis=1)
        with network.opened(x, y, sample_weight=w[:, 0]) as (objective, engine):
            return measured([ScoredRows.of(objective, engine, network.theta)], self._places())

    def _places(self) -> Places:
        return places_of(self.network.schema, self.numFeatures, self._features)

    def _repr_html_(self) -> str:
        """Return the HTML that notebooks show: results of the fit, layers and history."""
        if self._network is None:
            return notebook.box(f"{self.uid}: no network yet")
        facts = {"features": _counted(self.numFeatures, self._features), **self._facts()}
        parts = [notebook.table([], list(facts.items())), self._network._repr_html_()]
        if self.history is not None:
            parts.append(self.history._repr_html_())
        return notebook.box(self.uid, *(f"<div>{part}</div>" for part in parts))

    def _facts(self) -> dict[str, str]:
        """Return facts about the model for its display in notebooks, as texts."""
        if self._summary is None:
            return {}
        known = ("loss", "accuracy", "rootMeanSquaredError", "r2")
        figures = [name for name in known if hasattr(self._summary, name)]
        facts = {f"training {name}": notebook.number(getattr(self._summary, name)) for name in figures}
        texts = {"held out": self._summary.automatic, "compared": self._summary.comparison}
        return facts | {name: str(text) for name, text in texts.items() if text is not None}

    def write(self) -> MLWriter:
        """Return the writer of this model."""
        return ModelWriter(self)

    @classmethod
    def read(cls) -> ModelReader:
        """Return the reader of such models."""
        return ModelReader(cls)

    def _row(self, value: Vector) -> np.ndarray[Any, Any]:
        """Convert a vector of features to an array (1, I); raise DataError for any other length."""
        row = np.asarray(value.toArray() if isinstance(value, Vector) else value, np.float64)
        if row.shape != (self.numFeatures,):
            raise DataError(
                f"this row has {row.size} values, but the network takes {self.numFeatures}", code="data-width"
            )
        return row[None]

    def transform(self, dataset: DataFrame, params: Any = None) -> DataFrame:
        """Add the output columns to a DataFrame, lazily.

        Args:
            dataset: Rows with the feature columns, batch or streaming.
            params: Params to use in this call instead of the model's, as a param map.

        Returns:
            The dataset with the columns that the output Params name.

        Raises:
            DataError: `data-schema`, if feature columns are missing or differ from those of training; `data-column`,
                if an output column exists already.
        """
        with alive(session_of(dataset), f"{self.uid}: transform"):
            return super().transform(dataset, params)  # type: ignore[misc]

    def _shifted(self) -> Model:
        """Return the network that scores: with Param `tta`, one that averages over shifts of a picture."""
        pixels = self._if_set("tta")
        return averaged_over_shifts(self.network, pixels) if pixels else self.network

    def _embedded(self, scores: worker.Outputs) -> tuple[worker.Outputs, int, NewColumns]:
        """Return the scoring function with embeddings if embeddingCol is set, the size of one, and its column."""
        name, network = self._if_set("embeddingCol"), self.network.network
        if not name:
            return scores, 0, {}
        hidden, outputs = hidden_of(network, self._if_set("embeddingLayer")), F.col(self._outputs)
        size = math.prod(hidden.shapes[-1])
        made = F.when(outputs.isNotNull(), array_to_vector(F.slice(outputs, 1, size)))
        columns: NewColumns = {name: (made, {"ml_attr": {"num_attrs": size}})}
        rest = None if self._if_set("tta") else rest_of(network, hidden)
        return replace(scores, hidden=hidden, rest=rest), size, columns

    def _scored(self, table: NamedColumns, outputs: worker.Outputs, columns: NewColumns) -> DataFrame:
        """Add the output columns to a dataset, lazily."""
        self._check_outputs()
        dataset, network, schema = table.frame, self.network.network, self.network.schema
        table.check_free((*columns, self._outputs))
        if schema is not None:
            raw, found = tables.scored(table, schema, self.getOrDefault("inputCols"))
            given = tables.arguments(found)
            invalid = outputs.invalid if self.isSet("handleInvalid") else "keep"
            outputs = replace(outputs, raw=raw, invalid=invalid)
        else:
            self._check_schema(table)
            few = (network.sparse or self._few) and DIRECT
            shape = pictures.shape_of(network)
            given = [table.features(self._columns(), worker.reads(network), "featuresCol", few, shape)]
        ship(dataset.sparkSession)
        scored = dataset.withColumn(self._outputs, scoring(outputs, "array<double>")(*given))
        if self.getOrDefault("handleInvalid") == "skip":
            scored = scored.filter(F.col(self._outputs).isNotNull())
        made = [
            column.alias(name) if about is None else column.alias(name, metadata=dict(about))
            for name, (column, about) in columns.items()
        ]
        return scored.select("*", *made).drop(self._outputs)

    @property
    def _outputs(self) -> str:
        return f"{self.uid}__outputs"

    def _check_schema(self, table: NamedColumns) -> None:
        """Raise DataError if a dataset's schema shows that its features differ from those of training."""
        features = self._columns()
        missing = [name for name in _several(features) if not table.matching(name)]
        if missing:
            raise DataError(
                f"there is no column {missing[0]!r} for featuresCol: the DataFrame has {table.shown()}, and the "
                f"model was trained on {_listed(self._features)}",
                code="data-schema",
            )
        size, names = table.known_features(features)
        if size is not None and size != self.numFeatures:
            raise DataError(
                f"{Columns(features).names()['features']} has {size} features ({_listed(names)}), and the model was "
                f"trained on {self.numFeatures} ({_listed(self._features)})",
                code="data-schema",
            )
        pairs = list(zip(names or (), self._features or (), strict=False))
        at = next((i for i, (a, b) in enumerate(pairs) if table.same(a) != table.same(b)), None)
        if names and self._features and at is not None:
            raise DataError(
                f"feature {at} is {names[at]!r}, but the model was trained on {self._features[at]!r} there: "
                f"{Columns(features).names()['features']} has the features {_listed(names)}, and the model was "
                f"trained on {_listed(self._features)}: use the same features in the same order",
                code="data-schema",
            )

    def _invalid(self) -> str:
        given: str = self.getOrDefault("handleInvalid")
        if given not in ("error", "skip", "keep"):
            raise ConfigError(f"handleInvalid={given!r}: it must be error, skip or keep", code="config-param")
        return given


def _several(names: str | tuple[str, ...]) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else names


def _array(words: list[str]) -> Column:
    return F.array(*map(F.lit, words))


def _listed(names: list[str] | None) -> str:
    if names is None:
        return "without names"
    return ", ".join(names) if len(names) <= 12 else f"{', '.join(names[:10])}, ... {names[-1]}"


def _counted(count: int, names: list[str] | None) -> str:
    return f"{count:,}" if names is None else f"{count:,}: {_listed(names)}"


@with_params
class NeuralNetworkClassifierModel(
    ClassifierParams, NetworkModel[ClassificationSummary], ProbabilisticClassificationModel
):
    """A fitted NeuralNetworkClassifier.

    `transform` adds the columns `rawPrediction`, `probability` and `prediction`, and `predictedLabel` for a text or
    Boolean label.  `network` is the same network on plain arrays, without Spark.

    Example:
        ```python
        model = NeuralNetworkClassifier(maxIter=20).fit(train)
        model.transform(test).select("probability", "prediction").show()
        model.network.predict(x)  # the same probabilities, from an array x of shape (n, features)
        model.write().overwrite().save("digits_stage")
        NeuralNetworkClassifierModel.load("digits_stage").numClasses  # 10
        ```
    """

    _classifies = True

    def __init__(self) -> None:
        super().__init__()
        self._label: str | None = None

    @classmethod
    def _check_network(cls, network: Network) -> None:
        """Raise ConfigError unless the network ends in softmax, or in one unit with sigmoid."""
        super()._check_network(network)
        last = network.parts[-1] if network.parts else None
        if not isinstance(last, Softmax) and not (isinstance(last, Sigmoid) and network.outputs == 1):
            raise ConfigError(
                "a classifier's network must end in softmax, or in one unit with sigmoid; this one ends in "
                f"{network.outputs} output(s) of {last}",
                code="config-loss",
            )

    def _set_network(self, network: Model, about: Mapping[str, Any]) -> None:
        """Set the network and the metadata of a saved model."""
        super()._set_network(network, about)
        self._labels, self._label = about.get("classes"), about.get("label")

    def _metadata(self) -> dict[str, Any]:
        """Return the metadata of the columns, with the names of the classes and the type of the label."""
        return super()._metadata() | {"classes": self._labels, "label": self._label}

    @property
    def labels(self) -> list[str] | None:
        """Names of the classes, in the order of their numbers; None if they have none."""
        return self._labels

    def _facts(self) -> dict[str, str]:
        return {"classes": _counted(self.numClasses, self._labels), **super()._facts()}

    @property
    def numClasses(self) -> int:
        """Number of classes, at least 2."""
        return max(2, self.network.network.outputs)

    def predictRaw(self, value: Vector) -> DenseVector:
        """Return the raw prediction for one row.

        Args:
            value: The features.

        Returns:
            The logarithms of the probabilities; of a network with one sigmoid unit, -z and z for its logit z.
        """
        return Vectors.dense(self._classes().score(self._row(value))[0, : self.numClasses])

    def predictProbability(self, value: Vector) -> DenseVector:
        """Return the probability of each class for one row.

        Args:
            value: The features.
        """
        return Vectors.dense(self._classes().score(self._row(value))[0, self.numClasses : -1])

    def predict(self, value: Vector) -> float:
        """Return the predicted class for one row, by `thresholds` if they are set.

        Args:
            value: The features.
        """
        return float(self._classes().score(self._row(value))[0, -1])

    def _classes(self) -> worker.ClassOutputs:
        thresholds = self._check_thresholds(self.numClasses, self._labels)
        named = Columns(self._columns()).names()["features"]
        network = self._shifted()
        return worker.ClassOutputs(network.network, network.theta, named, self._invalid(), thresholds=thresholds)

    def _transform(self, dataset: DataFrame) -> DataFrame:
        count, outputs = self.numClasses, F.col(self._outputs)
        scores, skip, embedding = self._embedded(self._classes())

        def vector(part: Column) -> Column:
            return F.when(outputs.isNotNull(), array_to_vector(part))

        about: dict[str, Any] | None = None
        if self._labels:
            name = self.getOrDefault("predictionCol")
            about = {"ml_attr": {"type": "nominal", "name": name, "vals": self._labels}}
        size = {"ml_attr": {"num_attrs": count}}
        columns: NewColumns = {
            self.getOrDefault("rawPredictionCol"): (vector(F.slice(outputs, skip + 1, count)), size),
            self.getOrDefault("probabilityCol"): (vector(F.slice(outputs, skip + count + 1, count)), size),
            self.getOrDefault("predictionCol"): (F.element_at(outputs, -1), about),
        }
        table = NamedColumns(dataset)
        columns |= self._in_words(table) | embedding
        columns = {name: made for name, made in columns.items() if name}
        return self._scored(table, scores, columns)

    def _in_words(self, table: NamedColumns) -> NewColumns:
        """Return a column with the predicted class's name and, if rows have a label, one with its class index."""
        words, label = self._labels or [], self.getOrDefault("labelCol")
        found: NewColumns = {}
        if words and (self._label or self.isSet("predictedLabelCol")):
            word = F.element_at(_array(words), F.element_at(F.col(self._outputs), -1).cast("int") + 1)
            word = word.cast("boolean") if self._label == "boolean" else word
            found[self.getOrDefault("predictedLabelCol")] = word, None
        if self._label and isinstance(label, str) and len(there := table.matching(label)) == 1:
            if tables.kind_of(there[0][1].dataType) in (self._label, "text"):
                given = F.col(there[0][0]).cast("string")
                number = F.call_function("array_position", _array(words), given)
                about = {"ml_attr": {"type": "nominal", "vals": words}}
                column = F.when(number > 0, (number - 1).cast("double"))
                found[self.getOrDefault("labelIndexCol")] = column, about
        return found


@with_params
class NeuralNetworkRegressorModel(NetworkModel[RegressionSummary], RegressionModel[Vector]):
    """A fitted NeuralNetworkRegressor.

    `transform` adds the column `prediction`: a number, or an array with one number per target.  `network` is the same
    network on plain arrays, without Spark.

    Example:
        ```python
        model = NeuralNetworkRegressor(maxIter=20).fit(train)
        model.transform(test).select("label", "prediction").show()
        model.network.predict(x)  # the same predictions, from an array x of shape (n, features)
        ```
    """

    def predict(self, value: Vector) -> Any:
        """Return the prediction for one row.

        Args:
            value: The features.

        Returns:
            A number, or an array with one number per target.
        """
        found = self._numbers().score(self._row(value))[0]
        return float(found[0]) if len(found) == 1 else found

    def _numbers(self) -> worker.Outputs:
        named, network = Columns(self._columns()).names()["features"], self._shifted()
        return worker.Outputs(network.network, network.theta, named, self._invalid())

    def _transform(self, dataset: DataFrame) -> DataFrame:
        outputs, count = F.col(self._outputs), self.network.network.outputs
        scores, skip, columns = self._embedded(self._numbers())
        made = F.slice(outputs, skip + 1, count) if skip else outputs
        if name := self.getOrDefault("predictionCol"):
            columns = {name: (F.element_at(outputs, skip + 1) if count == 1 else made, None)} | columns
        return self._scored(NamedColumns(dataset), scores, columns)

"""Spark ML stages: estimators and models that pass for Spark's own, and own no mathematics.

An estimator reads its Params, opens the DataFrame as a source and has a `Sequential` fitted; a model scores with the
function that `frames.py` scores with.  Both are saved through Spark, to any path it can write.
"""

from collections.abc import Sequence
from typing import Any

from pyspark import keyword_only
from pyspark.ml.classification import ProbabilisticClassificationModel, ProbabilisticClassifier
from pyspark.ml.functions import array_to_vector
from pyspark.ml.linalg import DenseVector, Vector, Vectors
from pyspark.ml.util import (
    DefaultParamsReadable,
    DefaultParamsReader,
    DefaultParamsWriter,
    MLReadable,
    MLReader,
    MLWritable,
    MLWriter,
)
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.utils import is_remote

from firesteel.core.optimizers import Adam
from firesteel.errors import ConfigError, DataError, StoreError
from firesteel.layers import Dense
from firesteel.models import Sequential
from firesteel.spark import worker
from firesteel.spark.frames import Frame, feature_column, matching, scoring
from firesteel.spark.params import NetworkParams
from firesteel.spark.ship import ship
from firesteel.train.checks import Rule
from firesteel.train.history import History
from firesteel.train.strategies import Average

__all__ = ["NeuralNetworkClassificationModel", "NeuralNetworkClassifier"]

CHUNK = 64 << 20
"""Bytes of a model in one row of its saved data."""


def _context(io: MLWriter | MLReader[Any]) -> Any:
    """Return what Spark's own metadata functions want: the session, and before Spark 4 the context."""
    return io.sc if io.sparkSession.version < "4" else io.sparkSession


class NetworkWriter(MLWriter):
    """Saves Params as Spark does, and a model's bytes beside them as rows."""

    def __init__(self, instance: Any) -> None:
        super().__init__()
        self.instance = instance

    def saveImpl(self, path: str) -> None:
        DefaultParamsWriter.saveMetadata(self.instance, path, _context(self))
        if isinstance(self.instance, NeuralNetworkClassificationModel):
            data = self.instance.network.to_bytes()
            rows = [(at, bytearray(data[at : at + CHUNK])) for at in range(0, len(data), CHUNK)]
            frame = self.sparkSession.createDataFrame(rows, "at long, bytes binary")
            frame.coalesce(1).write.parquet(f"{path}/data")

    def _handleOverwrite(self, path: str) -> None:
        if is_remote():
            from pyspark.ml.connect.readwrite import RemoteMLWriter

            RemoteMLWriter.handleOverwrite(path, True)
        else:
            super()._handleOverwrite(path)


class ModelReader(MLReader["NeuralNetworkClassificationModel"]):
    """Reads what NetworkWriter wrote; it imports nothing that the files name."""

    def load(self, path: str) -> "NeuralNetworkClassificationModel":
        metadata = DefaultParamsReader.loadMetadata(path, _context(self))
        if metadata["class"].split(".")[-1] != NeuralNetworkClassificationModel.__name__:
            raise StoreError(f"{path} holds no NeuralNetworkClassificationModel", code="store-class")
        rows = self.sparkSession.read.parquet(f"{path}/data").orderBy("at").collect()
        model = NeuralNetworkClassificationModel()
        model._resetUid(metadata["uid"])
        DefaultParamsReader.getAndSetParams(model, metadata)
        model._network = Sequential.from_bytes(b"".join(bytes(row["bytes"]) for row in rows), path)
        return model


class NeuralNetworkClassifier(
    ProbabilisticClassifier,
    NetworkParams,
    MLWritable,
    DefaultParamsReadable["NeuralNetworkClassifier"],
):
    """A feed-forward network for two or more classes, as a Spark ML stage.

    Features are one column of vectors (dense or sparse), arrays, bytes or numbers; labels are 0, 1, 2, ...
    Raises DataError for anything else, before the first update.

    >>> classifier = NeuralNetworkClassifier(hiddenLayers=[64], maxIter=10, seed=1)
    >>> classifier.getHiddenLayers()
    [64]
    """

    _input_kwargs: dict[str, Any]

    @keyword_only
    def __init__(
        self,
        *,
        featuresCol: str = "features",
        labelCol: str = "label",
        predictionCol: str = "prediction",
        probabilityCol: str = "probability",
        rawPredictionCol: str = "rawPrediction",
        weightCol: str | None = None,
        hiddenLayers: Sequence[int] = (64,),
        activation: str = "relu",
        maxIter: int = 20,
        batchSize: int = 32,
        learningRate: float = 0.001,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self._setDefault(hiddenLayers=[64], activation="relu", maxIter=20, batchSize=32, learningRate=0.001, seed=0)
        self._set(**{name: value for name, value in self._input_kwargs.items() if value is not None})

    def _fit(self, dataset: DataFrame) -> "NeuralNetworkClassificationModel":
        weight = self.getWeightCol() or None if self.isDefined(self.weightCol) else None
        source = Frame(dataset, self.getFeaturesCol(), self.getLabelCol(), weight, "float32")
        survey = source.survey(Rule("class"))
        classes = max(2, int(survey.top) + 1)
        if classes > max(2, survey.rows):
            raise DataError(
                f"{source.names['label']} goes up to {survey.top:,.0f}, which would make more classes than the "
                f"{survey.rows:,} rows: number the classes 0, 1, 2, ... (StringIndexer does it)",
                code="data-label-range",
            )
        hidden = [Dense(units, self.getActivation()) for units in self.getHiddenLayers()]
        network = Sequential([*hidden, Dense(classes, "softmax")])
        network.compile(Adam(self.getLearningRate()), "sparse_categorical_crossentropy", ["accuracy"])
        network.fit_source(
            source,
            validation=None,
            batch_size=self.getBatchSize(),
            epochs=self.getMaxIter(),
            strategy=Average(),
            shards=None,
            seed=self.getSeed() % 2**63,
            shuffle=True,
            listeners=[],
        )
        model = NeuralNetworkClassificationModel()
        model._network = network
        model._resetUid(self.uid)
        fitted: NeuralNetworkClassificationModel = self._copyValues(model)
        return fitted

    def write(self) -> MLWriter:
        """Return the writer of this stage."""
        return NetworkWriter(self)


class NeuralNetworkClassificationModel(
    ProbabilisticClassificationModel,
    NetworkParams,
    MLWritable,
    MLReadable["NeuralNetworkClassificationModel"],
):
    """A fitted NeuralNetworkClassifier.  `network` is the same network on arrays, which needs no Spark."""

    def __init__(self) -> None:
        super().__init__()
        self._network: Sequential | None = None

    @property
    def network(self) -> Sequential:
        """The fitted network."""
        assert self._network is not None, "a model comes from fit or load"
        return self._network

    @property
    def history(self) -> History | None:
        """What happened in training, epoch by epoch; None for a loaded model."""
        return self.network.history

    @property
    def numFeatures(self) -> int:
        """Number of features."""
        return self.network.network.inputs

    @property
    def numClasses(self) -> int:
        """Number of classes."""
        return self.network.network.outputs

    def predictRaw(self, value: Vector) -> DenseVector:
        """Return the logits of one row of features."""
        return Vectors.dense(self._scored(value)[: self.numClasses])

    def predictProbability(self, value: Vector) -> DenseVector:
        """Return the probability of each class for one row of features."""
        return Vectors.dense(self._scored(value)[self.numClasses :])

    def predict(self, value: Vector) -> float:
        """Return the most probable class of one row of features."""
        return float(self._scored(value)[self.numClasses :].argmax())

    def _scored(self, value: Vector) -> Any:
        return self._outputs().both(value.toArray()[None])[0]

    def _outputs(self) -> worker.LogitsAndOutputs:
        return worker.LogitsAndOutputs(self.network.network, self.network.theta, f"column {self.getFeaturesCol()!r}")

    def _transform(self, dataset: DataFrame) -> DataFrame:
        names = [self.getRawPredictionCol(), self.getProbabilityCol(), self.getPredictionCol()]
        clash = [name for name in names if matching(dataset, name)]
        if clash:
            raise DataError(
                f"the DataFrame has the column(s) {', '.join(clash)} already: drop them, or set other names with "
                "predictionCol, probabilityCol and rawPredictionCol",
                code="data-column",
            )
        if self.isDefined(self.thresholds):
            raise ConfigError("thresholds are not supported yet: clear them", code="config-thresholds")
        ship(dataset.sparkSession)
        x = feature_column(dataset, self.getFeaturesCol(), "float32")
        both = f"{self.uid}__outputs"
        count = self.numClasses
        raw, probability = F.slice(F.col(both), 1, count), F.slice(F.col(both), count + 1, count)
        vectors = [F.when(F.col(both).isNotNull(), array_to_vector(part)) for part in (raw, probability)]
        best = F.call_function("array_position", probability, F.array_max(probability)) - 1
        columns = zip(names, [*vectors, best.cast("double")], strict=True)
        scored = dataset.withColumn(both, scoring(self._outputs(), "array<double>")(x))
        return scored.select("*", *(column.alias(name) for name, column in columns if name)).drop(both)

    def write(self) -> MLWriter:
        """Return the writer of this model."""
        return NetworkWriter(self)

    @classmethod
    def read(cls) -> ModelReader:
        """Return the reader of such models."""
        return ModelReader()

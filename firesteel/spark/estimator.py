"""The Spark ML Estimators: classifier and regressor; `fitting.py` trains them."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from pyspark.ml.classification import ProbabilisticClassifier
from pyspark.ml.regression import Regressor

from firesteel.core import losses, metrics
from firesteel.core.layers import Dense, Normalization
from firesteel.core.losses import Standardized
from firesteel.core.network import Objective
from firesteel.errors import ConfigError, DataError
from firesteel.models import Model
from firesteel.spark.fitting import Design, NetworkEstimator, network_of
from firesteel.spark.model import NeuralNetworkClassifierModel, NeuralNetworkRegressorModel
from firesteel.spark.params import ClassifierParams, check_words, with_params
from firesteel.spark.planning import FitPlan, wrong
from firesteel.spark.summary import ClassificationSummary, RegressionSummary
from firesteel.tables.moments import measure
from firesteel.tables.weights import class_number, class_weights
from firesteel.train.checks import MOST_CLASSES, Rule
from firesteel.train.engine import Engine
from firesteel.train.history import History
from firesteel.train.source import RowProfile, check_kind, check_targets

# Classification


@with_params
class NeuralNetworkClassifier(ClassifierParams, NetworkEstimator, ProbabilisticClassifier):
    """Neural network for two or more classes, as a Spark ML Estimator.

    Features are one column of vectors (dense or sparse), arrays, bytes or numbers, a list of numeric columns, or
    columns of any type (`inputCols`).  The label holds class numbers 0, 1, 2, ..., words or Booleans.  The model
    standardizes features itself, to mean 0 and variance 1; it divides sparse features by their largest absolute
    value, so that they stay sparse.  `fit` returns a NeuralNetworkClassifierModel.

    Args:
        params: The Params, by keyword.

    Raises:
        ConfigError: `config-param`, for an unknown Param or an invalid value.  `fit` raises ConfigError for Params
            that contradict each other, and DataError for rows that it cannot train on, before the first update.

    Example:
        >>> classifier = NeuralNetworkClassifier(hiddenLayers=[64, 32], dropout=0.2, maxIter=10, seed=1)
        >>> classifier.getHiddenLayers()
        [64, 32]

        Training needs a Spark session:

        ```python
        from firesteel.spark import NeuralNetworkClassifier, session

        rows = session().range(200).selectExpr("id / 100 AS x", "CAST(id >= 100 AS double) AS label")
        model = NeuralNetworkClassifier(featuresCol="x", maxIter=20, seed=1).fit(rows)
        model.transform(rows).where("prediction = label").count()  # 200
        ```
    """

    METRICS = {"accuracy": True}

    def _plan(self, dataset: Any, rows: int = 0, width: int = 1) -> FitPlan:
        self._check_thresholds()
        return super()._plan(dataset, rows, width)

    def _model(self) -> NeuralNetworkClassifierModel:
        return NeuralNetworkClassifierModel()

    def _design(self, source: Any, profile: RowProfile, plan: FitPlan) -> Design:
        name = source.names["label"]
        check_targets(profile.targets, 1, 1, name)
        check_kind(profile, Rule("class"), name)
        check_metadata(profile, source.class_count, source.class_names, name)
        classes = self._count(source.class_count, profile, name, plan)
        last = Dense(classes, "softmax", kernel_regularizer=plan.penalty)
        layers = (*plan.front, *(plan.whole or (*plan.hidden, last)))
        loss = plan.loss or losses.get("sparse_categorical_crossentropy")
        network = network_of(layers, profile.width)
        if plan.whole and plan.loss is None and network.outputs == 1:
            loss = losses.get("binary_crossentropy")
        NeuralNetworkClassifierModel._check_network(network)
        classes, given = max(2, network.outputs), self._if_set("classWeights")
        if source.label_kind and classes < (words := source.class_count or 0):
            raise wrong("layers", "...", f"they end in {classes} classes, but {name} has {words:,} distinct words")
        check_kind(profile, Rule("class", classes), name)
        names = _named(source.class_names, None if source.label_kind else source.class_count, classes, name)
        self._check_thresholds(classes, names)
        if isinstance(given, Mapping):
            words = (names or ()) if source.label_kind else ("false", "true")
            numbered = {word: number for number, word in enumerate(words)}
            if source.label_kind:
                check_words("classWeights", (word for word in given if class_number(word) < 0), words)
            given = {numbered.get(word, word): weight for word, weight in given.items()}
        weights = None if given is None else class_weights(given, profile, Objective(network, loss), "classWeights")
        return self._check(Design(layers, network, loss, names, weights), plan, profile, source.names)

    def _summarized(self, history: History, network: Model, engine: Engine) -> ClassificationSummary:
        objective = replace(network._objective(), metrics=(("recall", metrics.Recall()),))
        sums = self._sums(engine, objective, network)
        counts = np.split(sums[objective.summed[0][2]], 3)
        return ClassificationSummary(history, objective.means(sums)["loss"], *counts)

    def _count(self, known: int | None, profile: RowProfile, name: str, plan: FitPlan) -> int:
        """Return the number of classes, at least 2: that of the label's metadata, or the largest class plus 1."""
        top = max(profile.classes)
        if known is None and not plan.sizes and not plan.whole and top + 1 > max(2, profile.rows + profile.held):
            raise DataError(
                f"{name} has values up to {top:,}, which is more classes than rows ({profile.rows + profile.held:,}):"
                " number the classes 0, 1, 2, ..., for example with StringIndexer",
                code="data-label-range",
            )
        unseen = [number for number, one in profile.classes.items() if not one.rows]
        if (known or 0) > MOST_CLASSES:
            raise DataError(
                f"{name} has {known:,} classes by its metadata, too many to predict (at most {MOST_CLASSES:,}): "
                "index the label again, or remove its metadata with withMetadata",
                code="data-metadata",
            )
        if unseen:
            one = profile.classes[unseen[0]]
            raise DataError(
                f"{name} has class {unseen[0]} in validation rows only ({one.held:,} of them, such as {one.where}): "
                "the network cannot learn it.  To do: hold out other rows, or drop that class",
                code="data-class-missing",
            )
        if plan.sizes:
            return plan.sizes[-1]
        return max(2, top + 1, known or 0)


def check_metadata(profile: RowProfile, count: int | None, names: list[str] | None, column: str) -> None:
    """Raise DataError if rows have a class that the label's metadata does not list.

    The metadata may list further classes: other parts of the data may contain them, and Spark allows it too.
    """
    outside = {number: one for number, one in profile.classes.items() if count is not None and number >= count}
    if outside:
        number, one = next(iter(outside.items()))
        several = sum(one.rows + one.held for one in outside.values())
        called = "" if names is None else f" ({', '.join(names[:12])}{', ...' if len(names) > 12 else ''})"
        raise DataError(
            f"{column} has {count:,} classes by its metadata{called}, and holds class {number} at {one.where}; "
            f"{several:,} of {profile.rows + profile.held:,} rows hold such a class.  To do: index all rows with the "
            "same StringIndexer, or remove the column's metadata with withMetadata",
            code="data-metadata",
        )


def _named(names: list[str] | None, count: int | None, classes: int, column: str) -> list[str] | None:
    """Return the names of the network's classes; raise ConfigError if there are more than in the metadata.

    A label with one class gets a second class without rows, "__unknown" as in Spark.
    """
    if count is not None and classes > max(2, count):
        raise ConfigError(
            f"layers end in {classes} classes, and {column} has {count} by its metadata: end them in {count}, or "
            "remove the column's metadata with withMetadata",
            code="config-param",
        )
    return None if names is None else [*names, *["__unknown"] * classes][:classes]


# Regression


@with_params
class NeuralNetworkRegressor(NetworkEstimator, Regressor[NeuralNetworkRegressorModel]):
    """Neural network for one numeric target or several, as a Spark ML Estimator.

    Features are one column of vectors (dense or sparse), arrays, bytes or numbers, a list of numeric columns, or
    columns of any type (`inputCols`).  The label is a number, or an array or vector of several targets.  The model
    standardizes features and targets itself, to mean 0 and variance 1; it divides sparse features by their largest
    absolute value, so that they stay sparse.  The losses of the history are in units of the targets' variance,
    predictions in the targets' own unit.  Targets of a loss with a restricted range are not standardized; the last
    layer then has the activation that suits the loss: exponential for poisson, sigmoid for binary_crossentropy.
    `fit` returns a NeuralNetworkRegressorModel.

    Args:
        params: The Params, by keyword.

    Raises:
        ConfigError: `config-param`, for an unknown Param or an invalid value.  `fit` raises ConfigError for Params
            that contradict each other, and DataError for rows that it cannot train on, before the first update.

    Example:
        >>> regressor = NeuralNetworkRegressor(hiddenLayers=[32], maxIter=20, seed=1)
        >>> regressor.getMaxIter()
        20

        Training needs a Spark session:

        ```python
        from firesteel.spark import NeuralNetworkRegressor, session

        rows = session().range(200).selectExpr("id / 100 AS x", "id / 50 AS label")
        model = NeuralNetworkRegressor(featuresCol="x", maxIter=20, seed=1).fit(rows)
        model.summary.r2 > 0.99  # True
        ```
    """

    METRICS = {"mse": False, "mae": False}

    def _model(self) -> NeuralNetworkRegressorModel:
        return NeuralNetworkRegressorModel()

    def _design(self, source: Any, profile: RowProfile, plan: FitPlan) -> Design:
        loss = plan.loss or losses.get("mse")
        if loss.targets == "class":
            raise wrong("loss", self.getOrDefault("loss"), "it is for classes: choose a loss for numbers")
        check_kind(profile, Rule(loss.targets), source.names["label"])
        outputs = plan.sizes[-1] if plan.sizes else profile.targets
        last = Dense(outputs, loss.natural, kernel_regularizer=plan.penalty)
        layers = (*plan.front, *(plan.whole or (*plan.hidden, last)))
        design = Design(layers, network_of(layers, profile.width), loss)
        return self._check(design, plan, profile, source.names)

    def _summarized(self, history: History, network: Model, engine: Engine) -> RegressionSummary:
        measured = tuple((name, metrics.get(name)) for name in self.METRICS)
        objective, last = replace(network._objective(), metrics=measured), network.network.layers[-1]
        means = objective.means(self._sums(engine, objective, network))
        if isinstance(objective.loss, Standardized) and isinstance(last, Normalization):
            variance = float(np.mean(last.variance or 0))
        else:
            inputs, targets = network.network.inputs, objective.loss.columns(network.network.outputs)
            variance = float(measure(engine, inputs, targets, "float32")[1].variance.mean())
        r2 = 1.0 - means["mse"] / variance if variance else float("nan")
        return RegressionSummary(history, means["loss"], means["mse"], means["mae"], r2)

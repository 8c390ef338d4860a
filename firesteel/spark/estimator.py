"""Spark ML stages that train: adaptors between Params and the one training loop, without mathematics of their own.

Each sees what its rows decide, classes and their weights or means and variances of targets, and puts the layers
together; how a fit goes is in `fitting.py`.
"""

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
from firesteel.train.source import Survey, check_kind, check_targets

# Classification


@with_params
class NeuralNetworkClassifier(ClassifierParams, NetworkEstimator, ProbabilisticClassifier):
    """A feed-forward network for two or more classes, as a Spark ML stage.

    Features are a column of vectors (dense or sparse), arrays, bytes or numbers, or a list of columns; labels are
    0, 1, 2, ...  Features are brought to mean 0 and variance 1 inside the model, so that they need no scaling before;
    sparse ones are divided by their largest size, and stay sparse (docs/design/0006-sparse-rows.md).
    Every Param is a keyword; `explainParams()` says what each means.
    Raises ConfigError for Params that cannot work, and DataError for rows that cannot, before the first update.

    >>> classifier = NeuralNetworkClassifier(hiddenLayers=[64, 32], dropout=0.2, maxIter=10, seed=1)
    >>> classifier.getHiddenLayers()
    [64, 32]
    """

    METRICS = {"accuracy": True}

    def _plan(self, dataset: Any, rows: int = 0, width: int = 1) -> FitPlan:
        self.check_thresholds()
        return super()._plan(dataset, rows, width)

    def _model(self) -> NeuralNetworkClassifierModel:
        return NeuralNetworkClassifierModel()

    def _design(self, source: Any, survey: Survey, plan: FitPlan) -> Design:
        name = source.names["label"]
        check_targets(survey.targets, 1, 1, name)
        check_kind(survey, Rule("class"), name)
        check_metadata(survey, source.class_count, source.class_names, name)
        classes = self._count(source.class_count, survey, name, plan)
        last = Dense(classes, "softmax", kernel_regularizer=plan.penalty)
        layers = (*plan.front, *(plan.whole or (*plan.hidden, last)))
        loss = plan.loss or losses.get("sparse_categorical_crossentropy")
        network = network_of(layers, survey.width)
        if plan.whole and plan.loss is None and network.outputs == 1:
            loss = losses.get("binary_crossentropy")
        NeuralNetworkClassifierModel.check(network)
        classes, given = max(2, network.outputs), self._if_set("classWeights")
        if source.label_kind and classes < (words := source.class_count or 0):
            raise wrong("layers", "...", f"they end in {classes} classes, and {name} has {words:,} different words")
        check_kind(survey, Rule("class", classes), name)
        names = _named(source.class_names, None if source.label_kind else source.class_count, classes, name)
        self.check_thresholds(classes, names)
        if isinstance(given, Mapping):
            words = (names or ()) if source.label_kind else ("false", "true")
            numbered = {word: number for number, word in enumerate(words)}
            if source.label_kind:
                check_words("classWeights", (word for word in given if class_number(word) < 0), words)
            given = {numbered.get(word, word): weight for word, weight in given.items()}
        weights = None if given is None else class_weights(given, survey, Objective(network, loss), "classWeights")
        return self._check(Design(layers, network, loss, names, weights), plan, survey, source.names)

    def _summarized(self, history: History, network: Model, engine: Engine) -> ClassificationSummary:
        objective = replace(network._objective(), metrics=(("recall", metrics.Recall()),))
        sums = self._sums(engine, objective, network)
        counts = np.split(sums[objective.summed[0][2]], 3)
        return ClassificationSummary(history, objective.means(sums)["loss"], *counts)

    def _count(self, known: int | None, survey: Survey, name: str, plan: FitPlan) -> int:
        """Return the number of classes: what the metadata say, or one more than the largest; at least 2."""
        top = max(survey.classes)
        if known is None and not plan.sizes and not plan.whole and top + 1 > max(2, survey.rows + survey.held):
            raise DataError(
                f"{name} goes up to {top:,}, which would make more classes than the {survey.rows + survey.held:,} "
                "rows: number the classes 0, 1, 2, ... (StringIndexer does it)",
                code="data-label-range",
            )
        unseen = [number for number, one in survey.classes.items() if not one.rows]
        if (known or 0) > MOST_CLASSES:
            raise DataError(
                f"{name} has {known:,} classes by its metadata, too many to predict: index it anew, or take its "
                "metadata away with withMetadata",
                code="data-metadata",
            )
        if unseen:
            one = survey.classes[unseen[0]]
            raise DataError(
                f"{name} has class {unseen[0]} among the rows held out for validation alone ({one.held:,} of them, "
                f"such as {one.where}): a network cannot learn what it never sees.  To do: hold out other rows, or "
                "drop that class",
                code="data-class-missing",
            )
        if plan.sizes:
            return plan.sizes[-1]
        return max(2, top + 1, known or 0)


def check_metadata(survey: Survey, count: int | None, names: list[str] | None, column: str) -> None:
    """Raise DataError where the rows hold classes that the label's metadata do not know.

    Classes that the rows do not hold are fine: another part of the data may, and Spark allows them too.
    """
    outside = {number: one for number, one in survey.classes.items() if count is not None and number >= count}
    if outside:
        number, one = next(iter(outside.items()))
        several = sum(one.rows + one.held for one in outside.values())
        called = "" if names is None else f" ({', '.join(names[:12])}{', ...' if len(names) > 12 else ''})"
        raise DataError(
            f"{column} has {count:,} classes by its metadata{called}, and holds class {number} at {one.where}; "
            f"{several:,} of {survey.rows + survey.held:,} rows hold such a class.  To do: number the classes of all "
            "rows with one StringIndexer, or take the column's metadata away with withMetadata",
            code="data-metadata",
        )


def _named(names: list[str] | None, count: int | None, classes: int, column: str) -> list[str] | None:
    """Return a name for each class of the network; raise ConfigError where it has more than the metadata know.

    One class alone gets a second one, which no row is of: Spark's word for that is "__unknown".
    """
    if count is not None and classes > max(2, count):
        raise ConfigError(
            f"layers end in {classes} classes, and {column} has {count} by its metadata: let them end in {count}, or "
            "take the column's metadata away with withMetadata",
            code="config-param",
        )
    return None if names is None else [*names, *["__unknown"] * classes][:classes]


# Regression


@with_params
class NeuralNetworkRegressor(NetworkEstimator, Regressor[NeuralNetworkRegressorModel]):
    """A feed-forward network for one number or several, as a Spark ML stage.

    Features are a column of vectors (dense or sparse), arrays, bytes or numbers, or a list of columns; the label is a
    number, or an array or vector of several targets.  Features and targets are brought to mean 0 and variance 1
    inside the model (sparse features are only divided by their largest size): the history's loss is in units of the
    targets' variance, predictions are in their own.  A loss of other targets than any number leaves them as they
    are, and the last layer gets the activation that suits it: exponential for poisson, sigmoid for
    binary_crossentropy.
    Every Param is a keyword; `explainParams()` says what each means.
    Raises ConfigError for Params that cannot work, and DataError for rows that cannot, before the first update.

    >>> regressor = NeuralNetworkRegressor(hiddenLayers=[32], maxIter=20, seed=1)
    >>> regressor.getMaxIter()
    20
    """

    METRICS = {"mse": False, "mae": False}

    def _model(self) -> NeuralNetworkRegressorModel:
        return NeuralNetworkRegressorModel()

    def _design(self, source: Any, survey: Survey, plan: FitPlan) -> Design:
        loss = plan.loss or losses.get("mse")
        if loss.targets == "class":
            raise wrong("loss", self.getOrDefault("loss"), "a regressor predicts numbers, and this loss classes")
        check_kind(survey, Rule(loss.targets), source.names["label"])
        outputs = plan.sizes[-1] if plan.sizes else survey.targets
        last = Dense(outputs, loss.natural, kernel_regularizer=plan.penalty)
        layers = (*plan.front, *(plan.whole or (*plan.hidden, last)))
        design = Design(layers, network_of(layers, survey.width), loss)
        return self._check(design, plan, survey, source.names)

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

"""Training summaries: the history, and metrics of the final weights on the training rows.

The names are those of Spark's own training summaries.  One more round over the packed rows computes the metrics.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from firesteel.search.linear import Comparison
from firesteel.train.history import History


@dataclass(frozen=True)
class TrainingSummary:
    """Summary of a fit.

    Args:
        history: The metrics of each epoch.
        loss: The loss of the final weights on the training rows, without the penalty on the weights.
        heldOut: Number of validation rows.
        automatic: A text on validation and early stopping where the rows decided them; None where Params did.
        comparison: The scores of the network and of a linear model on the validation rows; without validation
            rows, on the training rows.
    """

    history: History
    loss: float
    heldOut: int = field(default=0, kw_only=True)
    automatic: str | None = field(default=None, kw_only=True)
    comparison: Comparison | None = field(default=None, kw_only=True)

    def __str__(self) -> str:
        lines = [f"{self.totalIterations} passes, training loss {self.loss:.4g}", self.automatic, self.comparison]
        return "\n".join(str(line) for line in lines if line is not None)

    @property
    def linearScore(self) -> float | None:
        """Score of a linear model, to compare with `comparison.network`; None without a comparison."""
        return None if self.comparison is None else self.comparison.linear

    @property
    def objectiveHistory(self) -> list[float]:
        """Training loss of each epoch, with the penalty on the weights."""
        return [row["loss"] for row in self.history.rows]

    @property
    def totalIterations(self) -> int:
        """Number of epochs."""
        return len(self.history.rows)


@dataclass(frozen=True)
class ClassificationSummary(TrainingSummary):
    """Summary of the fit of a classifier, on the training rows.

    Args:
        hits: Weight of the correctly predicted rows of each class, (K,).
        actual: Weight of the rows of each class, (K,).
        predicted: Weight of the rows predicted as each class, (K,).

    Example:
        >>> made = ClassificationSummary(History(), 0.5, *np.array([[3.0, 4.0], [4.0, 4.0], [3.0, 5.0]]))
        >>> made.accuracy, made.recallByLabel, made.weightedPrecision
        (0.875, [0.75, 1.0], 0.9)
    """

    hits: npt.NDArray[np.float64]
    actual: npt.NDArray[np.float64]
    predicted: npt.NDArray[np.float64]

    @property
    def labels(self) -> list[float]:
        """Class numbers, 0.0, 1.0, ..."""
        return [float(number) for number in range(len(self.hits))]

    @property
    def accuracy(self) -> float:
        """Fraction of rows whose most probable class is their own."""
        return float(self.hits.sum() / self.actual.sum())

    @property
    def precisionByLabel(self) -> list[float]:
        """Precision of each class: the fraction of its predictions that are correct; 0 if it was not predicted."""
        return _ratios(self.hits, self.predicted)

    @property
    def recallByLabel(self) -> list[float]:
        """Recall of each class: the fraction of its rows that were predicted as it; 0 if it has no rows."""
        return _ratios(self.hits, self.actual)

    truePositiveRateByLabel = recallByLabel

    @property
    def falsePositiveRateByLabel(self) -> list[float]:
        """False positive rate of each class: the fraction of the other classes' rows that were predicted as it."""
        return _ratios(self.predicted - self.hits, self.actual.sum() - self.actual)

    def fMeasureByLabel(self, beta: float = 1.0) -> list[float]:
        """Return the F-measure of each class, (1 + b^2) p r / (b^2 p + r), from its precision p and recall r.

        Args:
            beta: b, the weight of the recall, >= 0.
        """
        p, r = np.array(self.precisionByLabel), np.array(self.recallByLabel)
        return _ratios((1 + beta * beta) * p * r, beta * beta * p + r)

    @property
    def weightedPrecision(self) -> float:
        """Mean of precisionByLabel, weighted by the rows of each class."""
        return self._weighted(self.precisionByLabel)

    @property
    def weightedRecall(self) -> float:
        """Mean of recallByLabel, weighted by the rows of each class; equal to the accuracy."""
        return self._weighted(self.recallByLabel)

    weightedTruePositiveRate = weightedRecall

    @property
    def weightedFalsePositiveRate(self) -> float:
        """Mean of falsePositiveRateByLabel, weighted by the rows of each class."""
        return self._weighted(self.falsePositiveRateByLabel)

    def weightedFMeasure(self, beta: float = 1.0) -> float:
        """Return the mean of fMeasureByLabel, weighted by the rows of each class.

        Args:
            beta: The weight of the recall, >= 0.
        """
        return self._weighted(self.fMeasureByLabel(beta))

    def _weighted(self, values: list[float]) -> float:
        return float(self.actual @ values / self.actual.sum())


@dataclass(frozen=True)
class RegressionSummary(TrainingSummary):
    """Summary of the fit of a regressor, on the training rows.

    Args:
        meanSquaredError: Mean squared error over all targets.
        meanAbsoluteError: Mean absolute error over all targets.
        r2: Coefficient of determination, 1 - meanSquaredError / (mean variance of the targets); NaN if they are
            constant.
    """

    meanSquaredError: float
    meanAbsoluteError: float
    r2: float

    @property
    def rootMeanSquaredError(self) -> float:
        """Square root of meanSquaredError, in the unit of the targets."""
        return float(np.sqrt(self.meanSquaredError))


def _ratios(above: npt.NDArray[Any], below: npt.NDArray[Any]) -> list[float]:
    return [float(a / b) if b else 0.0 for a, b in zip(above, below, strict=True)]

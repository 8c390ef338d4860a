"""What a fit came to: the history's loss, and how the final weights do on the rows they were trained on.

The names are those of Spark's own training summaries.  The figures come from one more round over the packed rows,
with the weights that the model keeps; `estimator.py` asks for it.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from firesteel.search.linear import Comparison
from firesteel.train.history import History


@dataclass(frozen=True)
class TrainingSummary:
    """history: every epoch.  loss: of the final weights on the training rows, without the penalty on the weights.

    heldOut: how many rows were held out for validation.
    automatic: what the rows decided of that and of when to stop; None where Params say it.
    comparison: how the network and a linear model do on the rows held out, or where there are none on those to train
    on.
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
        """The score of a linear model, to compare with `comparison.network`; None without one."""
        return None if self.comparison is None else self.comparison.linear

    @property
    def objectiveHistory(self) -> list[float]:
        """The training loss of each pass over the rows, the penalty on the weights included."""
        return [row["loss"] for row in self.history.rows]

    @property
    def totalIterations(self) -> int:
        """How many passes over the rows were made."""
        return len(self.history.rows)


@dataclass(frozen=True)
class ClassificationSummary(TrainingSummary):
    """hits, actual, predicted: (K,), the weight of the training rows that are of a class and predicted as it, that
    are of it, and that are predicted as it.

    >>> made = ClassificationSummary(History(), 0.5, *np.array([[3.0, 4.0], [4.0, 4.0], [3.0, 5.0]]))
    >>> made.accuracy, made.recallByLabel, made.weightedPrecision
    (0.875, [0.75, 1.0], 0.9)
    """

    hits: npt.NDArray[np.float64]
    actual: npt.NDArray[np.float64]
    predicted: npt.NDArray[np.float64]

    @property
    def labels(self) -> list[float]:
        """The classes."""
        return [float(number) for number in range(len(self.hits))]

    @property
    def accuracy(self) -> float:
        """Share of the rows whose most probable class is their own."""
        return float(self.hits.sum() / self.actual.sum())

    @property
    def precisionByLabel(self) -> list[float]:
        """For each class, the share of the rows predicted as it that are of it; 0 where none were predicted."""
        return _ratios(self.hits, self.predicted)

    @property
    def recallByLabel(self) -> list[float]:
        """For each class, the share of its rows that were predicted as it; 0 where it has no rows."""
        return _ratios(self.hits, self.actual)

    truePositiveRateByLabel = recallByLabel

    @property
    def falsePositiveRateByLabel(self) -> list[float]:
        """For each class, the share of the other classes' rows that were predicted as it."""
        return _ratios(self.predicted - self.hits, self.actual.sum() - self.actual)

    def fMeasureByLabel(self, beta: float = 1.0) -> list[float]:
        """For each class, (1 + b^2) p r / (b^2 p + r) of its precision p and recall r; b weighs the recall."""
        p, r = np.array(self.precisionByLabel), np.array(self.recallByLabel)
        return _ratios((1 + beta * beta) * p * r, beta * beta * p + r)

    @property
    def weightedPrecision(self) -> float:
        """Mean of precisionByLabel, each class counted by its rows."""
        return self._weighted(self.precisionByLabel)

    @property
    def weightedRecall(self) -> float:
        """Mean of recallByLabel, each class counted by its rows; it equals the accuracy."""
        return self._weighted(self.recallByLabel)

    weightedTruePositiveRate = weightedRecall

    @property
    def weightedFalsePositiveRate(self) -> float:
        """Mean of falsePositiveRateByLabel, each class counted by its rows."""
        return self._weighted(self.falsePositiveRateByLabel)

    def weightedFMeasure(self, beta: float = 1.0) -> float:
        """Mean of fMeasureByLabel, each class counted by its rows."""
        return self._weighted(self.fMeasureByLabel(beta))

    def _weighted(self, values: list[float]) -> float:
        return float(self.actual @ values / self.actual.sum())


@dataclass(frozen=True)
class RegressionSummary(TrainingSummary):
    """meanSquaredError, meanAbsoluteError: of the final weights on the training rows, over all targets alike.

    r2: 1 - meanSquaredError / the mean variance of the targets; NaN where they do not vary.
    """

    meanSquaredError: float
    meanAbsoluteError: float
    r2: float

    @property
    def rootMeanSquaredError(self) -> float:
        """The root of meanSquaredError, in the targets' own unit."""
        return float(np.sqrt(self.meanSquaredError))


def _ratios(above: npt.NDArray[Any], below: npt.NDArray[Any]) -> list[float]:
    return [float(a / b) if b else 0.0 for a, b in zip(above, below, strict=True)]

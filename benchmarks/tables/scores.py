"""The score of a model on a split, and its distance from the best."""

import math
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.tables.data import TARGET, Kind, Split, Table

if TYPE_CHECKING:
    from pandas import DataFrame

FitPredict = Callable[["DataFrame", str, "DataFrame", Kind], np.ndarray]
"""`fit_predict(train, target, test, kind)`: a row of probabilities for each row of `test`, or a number.

The columns of probabilities are the classes in `train`, sorted.  `test` has no label.
"""
METRICS: dict[Kind, str] = {"binary": "auc", "multiclass": "accuracy", "regression": "rmse"}


def auc(positive: np.ndarray, scores: np.ndarray) -> float:
    """Return the area under the ROC curve; equal scores count half."""
    _, place, count = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(count) - (count - 1) / 2)[place]
    ones = int(positive.sum())
    return float((ranks[positive].sum() - ones * (ones + 1) / 2) / (ones * (len(scores) - ones)))


def log_loss(classes: np.ndarray, probabilities: np.ndarray) -> float:
    """Return the log-loss, with probabilities of at least 1e-15."""
    chosen = probabilities[np.arange(len(classes)), classes] / probabilities.sum(axis=1)
    return float(-np.log(np.maximum(chosen, 1e-15)).mean())


def measure(kind: Kind, truth: np.ndarray, found: np.ndarray) -> dict[str, float]:
    """Return the metric and, for classification, the log-loss.

    Args:
        kind: the kind of task.
        truth: numbers, or indices of the sorted classes.
        found: the result of `fit_predict`.

    Raises:
        ValueError: If the result has another shape or is not finite.
    """
    found = np.asarray(found, np.float64)
    if found.ndim != (1 if kind == "regression" else 2) or len(found) != len(truth) or not np.isfinite(found).all():
        raise ValueError(
            f"predictions of shape {found.shape} for {len(truth)} rows, {np.isfinite(found).mean():.0%} finite"
        )
    if kind == "regression":
        return {"rmse": float(np.sqrt(np.mean((found - truth) ** 2)))}
    loss = log_loss(truth, found)
    if kind == "multiclass":
        return {"accuracy": float((found.argmax(axis=1) == truth).mean()), "log_loss": loss}
    return {"auc": auc(truth == 1, found[:, 1]), "log_loss": loss}


def score(fit_predict: FitPredict, table: Table, split: Split) -> dict[str, float]:
    """Fit a model on a split; return its scores, seconds and processor seconds."""
    truth = split.test[TARGET].to_numpy()
    if table.kind != "regression":
        truth = np.searchsorted(np.unique(split.train[TARGET].to_numpy()), truth)
    start, worked = time.perf_counter(), time.process_time()
    found = fit_predict(split.train, TARGET, split.test.drop(columns=TARGET), table.kind)
    seconds = {"seconds": time.perf_counter() - start, "processor_seconds": time.process_time() - worked}
    return measure(table.kind, truth, found) | seconds


def gap(metric: str, value: float, best: float) -> float:
    """Return how many percent a value is worse than the best; negative is better."""
    worse = value - best if metric in ("rmse", "log_loss") else best - value
    return 100 * worse / best


def mean_and_error(values: Sequence[float]) -> tuple[float, float]:
    """Return the mean and its standard error (NaN for one value)."""
    values = list(values)
    if len(values) < 2:
        return values[0], math.nan
    return float(np.mean(values)), float(np.std(values, ddof=1) / math.sqrt(len(values)))


def behind(metric: str, values: dict[Any, float], others: dict[Any, float]) -> bool:
    """Return whether values are worse than others on common splits by more than a standard error of the mean."""
    lost = [gap(metric, values[name], others[name]) for name in values if name in others]
    if len(lost) < 2:
        return False
    mean, error = mean_and_error(lost)
    return mean > error

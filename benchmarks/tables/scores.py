"""What a model scores on a split, and how far that is from the best."""

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
    """Return the share of pairs, one positive and one not, that are in order; equal scores are half in order."""
    _, place, count = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(count) - (count - 1) / 2)[place]
    ones = int(positive.sum())
    return float((ranks[positive].sum() - ones * (ones + 1) / 2) / (ones * (len(scores) - ones)))


def log_loss(classes: np.ndarray, probabilities: np.ndarray) -> float:
    """Return the mean of -log of the probability of each row's class; nothing is less probable than 1e-15."""
    chosen = probabilities[np.arange(len(classes)), classes] / probabilities.sum(axis=1)
    return float(-np.log(np.maximum(chosen, 1e-15)).mean())


def measure(kind: Kind, truth: np.ndarray, found: np.ndarray) -> dict[str, float]:
    """Return the metric of a kind, and for classes the log-loss.

    Args:
        kind: what is predicted.
        truth: the numbers, or the place of each row's class among the sorted classes.
        found: what `fit_predict` returned.

    Raises:
        ValueError: what was returned has another shape, or is not finite.
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
    """Fit a model on a split; return its scores and its seconds, of the clock and of the processor."""
    truth = split.test[TARGET].to_numpy()
    if table.kind != "regression":
        truth = np.searchsorted(np.unique(split.train[TARGET].to_numpy()), truth)
    start, worked = time.perf_counter(), time.process_time()
    found = fit_predict(split.train, TARGET, split.test.drop(columns=TARGET), table.kind)
    seconds = {"seconds": time.perf_counter() - start, "processor_seconds": time.process_time() - worked}
    return measure(table.kind, truth, found) | seconds


def gap(metric: str, value: float, best: float) -> float:
    """Return by how many percent a value is worse than the best; less than 0 is better."""
    worse = value - best if metric in ("rmse", "log_loss") else best - value
    return 100 * worse / best


def mean_and_error(values: Sequence[float]) -> tuple[float, float]:
    """Return the mean and its standard error, which is nan for one value."""
    values = list(values)
    if len(values) < 2:
        return values[0], math.nan
    return float(np.mean(values)), float(np.std(values, ddof=1) / math.sqrt(len(values)))


def behind(metric: str, values: dict[Any, float], others: dict[Any, float]) -> bool:
    """Say whether values are worse than others', on the splits of both, by more than a standard error of the mean."""
    lost = [gap(metric, values[name], others[name]) for name in values if name in others]
    if len(lost) < 2:
        return False
    mean, error = mean_and_error(lost)
    return mean > error

"""Ranking metrics: areas under curves, and the best of one rate where another reaches a bound.

Rows with equal scores form a group; groups run from the largest score to the smallest.  Arguments of the methods:
positive and negative, (G,), are the weights in each group; tp and fp, (G,), their running sums, including the group.
"""

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from firesteel.core.measuring import Value, labels
from firesteel.core.types import Array

__all__ = ["Area", "Ordered", "Peak", "rate"]

ROUNDING = 1e-12
"""By how much a rate may miss a bound, because the rounding of its sums depends on the order of addition."""


class Ordered:
    """Base class of ranking metrics, computed from groups of rows with equal scores, some groups at a time."""

    def undecided(self, positive: Array, negative: Array, tp: Array, fp: Array) -> npt.NDArray[np.bool_]:
        """Return, for each group of equal scores, whether the order of its rows could change the result."""
        raise NotImplementedError

    def gain(self, positive: Array, negative: Array, tp: Array, fp: Array) -> Array:
        """Return what each of G groups of equal scores adds to the total, (G,).

        Args:
            positive: The weight of positive rows in each group, (G,).
            negative: The weight of negative rows in each group, (G,).
            tp: The running sum of `positive`, including the group, (G,).
            fp: The running sum of `negative`, including the group, (G,).
        """
        raise NotImplementedError

    def folded(self, before: float, positive: Array, negative: Array, tp: Array, fp: Array, totals: Array) -> float:
        """Return the total over these and all earlier groups: by default the sum of their gains.

        Args:
            before: The total over the groups before.
            positive: As in `gain`.
            negative: As in `gain`.
            tp: As in `gain`.
            fp: As in `gain`.
            totals: The weights of all positive and of all negative rows, (2,).
        """
        return float(before + np.add.reduce(self.gain(positive, negative, tp, fp)))

    def ratio(self, total: Array, positive: Array, negative: Array) -> Array:
        """Return the metric of each of K binary problems, (K,), from its total; NaN where it is undefined."""
        raise NotImplementedError

    def _added(self, before: Sequence[Any], p: Array, y: Array, w: Array) -> Sequence[Any]:
        return [*before, (p, y, w)]

    def _so_far(self) -> Value:
        if not (seen := vars(self).get("_seen", ())[1:]):
            return 0.0
        p, y, w = (np.concatenate(parts) for parts in zip(*seen, strict=True))
        columns = range(p.shape[1] == 2, p.shape[1])
        values = np.array([self._ranked(p[:, k], labels(p, y)[:, k], w) for k in columns])
        return float(values.mean(where=~np.isnan(values))) if not np.isnan(values).all() else np.nan

    def _ranked(self, scores: Array, positive: Array, w: Array) -> float:
        """Return the metric of one binary problem.  scores, positive, w: (B,)."""
        groups, at = np.unique(-scores, return_inverse=True)
        yes, no = (np.bincount(at, w * part, len(groups)) for part in (positive, ~positive))
        totals = yes.sum(keepdims=True), no.sum(keepdims=True)
        total = self.folded(0.0, yes, no, yes.cumsum(), no.cumsum(), np.ravel(totals))
        return float(self.ratio(np.array([total]), *totals)[0])


class Area(Ordered):
    """Base of areas under a curve: "ROC", or "PR" (precision over recall, summed by steps)."""

    curve: ClassVar[str] = "ROC"

    def undecided(self, positive: Array, negative: Array, tp: Array, fp: Array) -> npt.NDArray[np.bool_]:
        return (positive > 0) & ((fp if self.curve == "PR" else negative) > 0)

    def gain(self, positive: Array, negative: Array, tp: Array, fp: Array) -> Array:
        if self.curve == "PR":
            return positive * rate("precision", tp, fp, 0, 0)
        return negative * (tp - 0.5 * positive)

    def ratio(self, total: Array, positive: Array, negative: Array) -> Array:
        all_of_it = positive if self.curve == "PR" else positive * negative
        return np.divide(total, all_of_it, out=np.full_like(total, np.nan), where=all_of_it > 0)


class Peak(Ordered):
    """Base of metrics such as PrecisionAtRecall: the largest value of one rate where another reaches a bound."""

    rates: ClassVar[tuple[str, str]]
    """The rate with a bound (a field of that name), and the rate to report."""

    def undecided(self, positive: Array, negative: Array, tp: Array, fp: Array) -> npt.NDArray[np.bool_]:
        return (positive > 0) & (negative > 0)

    def folded(self, before: float, positive: Array, negative: Array, tp: Array, fp: Array, totals: Array) -> float:
        tp, fp = np.append(tp, 0), np.append(fp, 0)  # a threshold above all scores
        bounded, reported = (rate(name, tp, fp, *totals) for name in self.rates)
        enough = bounded >= getattr(self, self.rates[0]) - ROUNDING
        return float(reported.max(initial=before, where=enough))

    def ratio(self, total: Array, positive: Array, negative: Array) -> Array:
        return np.where((positive > 0) & ((negative > 0) | ("specificity" not in self.rates)), total, np.nan)


def rate(name: str, tp: Array, fp: Array, positive: float, negative: float) -> Array:
    """Return precision, recall or specificity at each of G thresholds, (G,); 0 where it is undefined.

    Args:
        name: "precision", "recall", "sensitivity" or "specificity".
        tp: The weight of positive rows above each threshold, (G,).
        fp: The weight of negative rows above each threshold, (G,).
        positive: The weight of all positive rows.
        negative: The weight of all negative rows.

    Example:
        >>> rate("specificity", np.array([1.0, 1.0]), np.array([0.0, 3.0]), 1.0, 4.0)
        array([1.  , 0.25])
    """
    above, below = (negative - fp, np.asarray(negative)) if name == "specificity" else (tp, np.asarray(positive))
    below = tp + fp if name == "precision" else below
    return np.divide(above, below, out=np.zeros_like(tp), where=below > 0)

"""What the order of rows comes to: areas under curves, and the best of one rate where another is large enough.

Within one problem equal scores are one group, and groups come from the largest score to the smallest.  Arguments:
positive, negative: (G,), the weights in each group.  tp, fp: (G,), their sums so far, the group included.
"""

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from firesteel.core.measuring import Value, labels
from firesteel.core.types import Array

__all__ = ["Area", "Ordered", "Peak", "rate"]

ROUNDING = 1e-12
"""What sums of weights may lack of a bound: they are added in the order of the shards."""


class Ordered:
    """Base of what is computed of groups, a part of them at a time."""

    def undecided(self, positive: Array, negative: Array, tp: Array, fp: Array) -> npt.NDArray[np.bool_]:
        """Return whether it matters in what order the rows of each group stand; the arguments are those of `gain`."""
        raise NotImplementedError

    def gain(self, positive: Array, negative: Array, tp: Array, fp: Array) -> Array:
        """Return what each of G groups adds, (G,).

        positive, negative: (G,), the weights in each group.  tp, fp: (G,), their sums so far, the group included.
        """
        raise NotImplementedError

    def folded(self, before: float, positive: Array, negative: Array, tp: Array, fp: Array, totals: Array) -> float:
        """Return what groups come to together with those before: the sum of what they add.

        totals: (2,), the weights of all positive rows and of all negative ones.
        """
        return float(before + np.add.reduce(self.gain(positive, negative, tp, fp)))

    def ratio(self, total: Array, positive: Array, negative: Array) -> Array:
        """Return the value of each problem, (K,), from what its groups come to; NaN where there is none."""
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
        """Return the value of one problem.  scores, positive, w: (B,)."""
        groups, at = np.unique(-scores, return_inverse=True)
        yes, no = (np.bincount(at, w * part, len(groups)) for part in (positive, ~positive))
        totals = yes.sum(keepdims=True), no.sum(keepdims=True)
        total = self.folded(0.0, yes, no, yes.cumsum(), no.cumsum(), np.ravel(totals))
        return float(self.ratio(np.array([total]), *totals)[0])


class Area(Ordered):
    """The area under a curve: of "ROC", or of "PR", precision over recall, by steps."""

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
    """The largest value of one rate at a threshold where another is at least a bound; 0 where it is nowhere."""

    rates: ClassVar[tuple[str, str]]
    """The rate that has a bound, which the field of that name is, and the one that is reported."""

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
    """Return a rate at each of G thresholds, (G,); 0 where it would divide by 0.

    positive, negative: the weights of all rows of these.

    >>> rate("specificity", np.array([1.0, 1.0]), np.array([0.0, 3.0]), 1.0, 4.0)
    array([1.  , 0.25])
    """
    above, below = (negative - fp, np.asarray(negative)) if name == "specificity" else (tp, np.asarray(positive))
    below = tp + fp if name == "precision" else below
    return np.divide(above, below, out=np.zeros_like(tp), where=below > 0)

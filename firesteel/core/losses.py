"""Losses: the value and the derivative together, so that they cannot disagree.

A loss that is the negative log-likelihood of a link (cross-entropy of softmax or sigmoid) is computed on the logits
that enter the link, which is exact where the two apart would overflow; `network.py` fuses the pair.  Everything here
is per row; weights and sums are applied in `network.py`.  Shapes: B rows, O outputs, T target columns; in formulas
z_k is an output, y_k its target and r_k = z_k - y_k.
"""

from collections.abc import Callable, Sequence
from dataclasses import field, replace
from inspect import Parameter, Signature, signature
from typing import Any, ClassVar

import numpy as np

from firesteel.core.elsewhere import check_arguments
from firesteel.core.layer import Layer
from firesteel.core.layers.activation import ACTIVATIONS
from firesteel.core.layout import ones, row_starts
from firesteel.core.spec import Spec, choice, flag, later, number, numbers, resolver, word
from firesteel.core.types import Array, Shape
from firesteel.errors import ConfigError, DataError

__all__ = [
    "BinaryCrossentropy",
    "CategoricalCrossentropy",
    "CategoricalHinge",
    "CosineSimilarity",
    "HalfSumOfSquares",
    "Hinge",
    "Huber",
    "KLDivergence",
    "LogCosh",
    "Loss",
    "MeanAbsoluteError",
    "MeanAbsolutePercentageError",
    "MeanSquaredError",
    "MeanSquaredLogarithmicError",
    "Poisson",
    "Quantile",
    "SparseCategoricalCrossentropy",
    "SquaredHinge",
    "Standardized",
]

EPSILON = 1e-7
"""What Keras keeps logarithms away from 0 by."""


def loss_name(got: object) -> str | None:
    """Return what a loss is to be called.  Raises ConfigError for what is no text."""
    if got is not None and (not isinstance(got, str) or not got):
        raise ConfigError(f"name={got!r}: it must be text", code="config-value")
    return got


NAME: dict[str, Any] = {"check": lambda owner, name, got: loss_name(got), "later": lambda name: name is not None}
REDUCTIONS = ("sum_over_batch_size", "mean", "mean_with_sample_weight", "sum", "none")


class Loss(Spec, kw_only=True):
    """Base of losses.

    reduction: what a call of the loss makes of the rows: their mean, by number ("sum_over_batch_size", "mean") or by
    weight ("mean_with_sample_weight"), their "sum", or "none".  Training takes the mean by weight.
    name: what the loss is called as a metric; None for the name of its kind.
    targets: what the targets must be: "real", "unit" (numbers in [0, 1]), "class" (integers 0..O-1, T = 1), "count"
    (numbers of at least 0) or "sign" (-1 and 1, or 0 and 1).
    natural: the activation whose outputs suit the loss.
    exclusive: whether outputs are classes that exclude each other, so that there must be two.
    differences: whether it depends on z - y alone, so that both may be counted from any number.
    """

    larger_is_better: ClassVar[bool] = False
    differences: ClassVar[bool] = False
    exclusive: ClassVar[bool] = False
    targets: ClassVar[str] = "real"
    natural: ClassVar[str] = "linear"

    reduction: str | None = later(word(*REDUCTIONS, None))
    name: str | None = field(default=None, metadata=NAME, compare=False)

    @property
    def link(self) -> type[Layer] | None:
        """The op that must come last and is fused into the loss, or None where any output will do."""
        return None

    def check(self, end: Layer | str, outputs: int) -> None:
        """Raise ConfigError where the loss does not go with so many outputs of this last layer, or of "nothing"."""
        kind = type(self).__name__
        if self.reduction in ("sum", "none", None):
            raise ConfigError(
                f"{kind}(reduction={self.reduction!r}) can be called, and training takes the mean over the rows: "
                "leave out reduction, and for a sum multiply the learning rate",
                code="config-loss",
            )
        if self.link is not None and not isinstance(end, self.link):
            raise ConfigError(
                f"{kind} goes with a last layer of activation {self.natural!r}, and this network ends in {end}",
                code="config-loss",
            )
        if (self.exclusive or self.targets == "class") and outputs < 2:
            raise ConfigError(
                f"{kind} needs at least 2 outputs, one a class, and this network has {outputs}: for two classes use "
                "2 outputs, or 1 with sigmoid and binary_crossentropy",
                code="config-loss",
            )

    def columns(self, outputs: int) -> int:
        """Return T, the number of target columns, for a network of so many outputs."""
        return outputs

    def lowered(self, centre: Sequence[float]) -> "Loss":
        """Return the loss of outputs and targets that a centre has been subtracted from."""
        return self

    def rows(self, z: Array, y: Array) -> tuple[Array, Array, Array]:
        """Return each row's loss (B,), the network's outputs (B, O) and d(loss)/dz (B, O).

        z: (B, O), the logits if there is a link, else the outputs themselves.  y: (B, T).
        """
        raise NotImplementedError

    def scores(self, p: Array, y: Array) -> Array:
        """Return each row's loss (B,), given the predictions p (B, O): probabilities if there is a link."""
        return self.rows(p, y)[0]

    def of(self, y_true: Any, y_pred: Any) -> Array:
        """Return the loss of each row of predictions (..., O), as an array (...).

        Args:
            y_true: The targets, (..., O); class numbers, (...) or (..., 1), where the loss takes these.
            y_pred: The predictions.

        Raises:
            DataError: If the two are not numbers, or do not fit each other.

        >>> MeanAbsoluteError().of([[1.0, 0.0], [0.0, 0.0]], [[3.0, 0.0], [0.0, 0.0]])
        array([1., 0.])
        """
        p = floats("y_pred", y_pred)
        y = floats("y_true", y_true).astype(p.dtype)
        if not p.ndim or not p.shape[-1]:
            raise DataError(f"y_pred has shape {p.shape}: its last axis must be that of outputs", code="data-shape")
        outputs = p.shape[-1]
        columns = self.columns(outputs)
        if (*y.shape, 1) == (*p.shape[:-1], columns):
            y = y[..., None]
        if y.shape != (*p.shape[:-1], columns):
            raise DataError(
                f"y_true has shape {y.shape} and y_pred {p.shape}: {type(self).__name__} needs targets of shape "
                f"{(*p.shape[:-1], columns)}",
                code="data-shape",
            )
        if self.targets == "class" and not ((y == np.floor(y)) & (y >= 0) & (y < outputs)).all():
            raise DataError(f"y_true must hold class numbers from 0 to {outputs - 1}", code="data-label-range")
        return self.scores(p.reshape(-1, outputs), y.reshape(-1, columns)).reshape(p.shape[:-1])[()]

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        """Return the mean over rows of the loss times the row's weight, or what `reduction` says.

        y_true, y_pred: those of `of`.  sample_weight: a number, or one for each row, (...) or (..., 1), or for each
        place of the first axes.  Raises DataError where shapes do not fit.

        >>> MeanAbsoluteError()([[1.0, 0.0], [0.0, 0.0]], [[3.0, 0.0], [0.0, 0.0]])
        0.5
        """
        losses = np.asarray(self.of(y_true, y_pred))
        weights = weights_of(sample_weight, losses.shape)
        losses = losses * weights
        if self.reduction in ("none", None):
            return losses
        count = weights.sum() if self.reduction == "mean_with_sample_weight" else losses.size
        return float(losses.sum() if self.reduction == "sum" else losses.sum() / count if count else 0.0)


def weights_of(sample_weight: Any, rows: Shape) -> Array:
    """Return a weight for each row, in the shape of the rows, given one for all, for each, or for each place of the
    first axes; None means 1.  Raises DataError where shapes do not fit.

    >>> weights_of([[2.0], [3.0]], (2,))
    array([2., 3.])
    """
    weights = floats("sample_weight", 1.0 if sample_weight is None else sample_weight)
    axes = len(rows) - weights.ndim
    try:
        weights = weights[..., 0] if axes == -1 and weights.shape[-1] == 1 else weights
        weights = weights.reshape(weights.shape + (1,) * max(axes, 0)) if weights.ndim else weights
        return np.broadcast_to(weights, rows)
    except ValueError:
        raise DataError(f"sample_weight has shape {weights.shape}, and the rows {rows}", code="data-shape") from None


def paired(y_true: Any, y_pred: Any, sample_weight: Any) -> tuple[Array, Array, Array]:
    """Return outputs (B, O), targets (B, T) and weights (B,), float64.  Raises DataError where they do not fit."""
    p, y = floats("y_pred", y_pred), floats("y_true", y_true)
    if p.ndim < 2:
        p, y = p.reshape(-1, 1), (y if y.size == p.size else y[None]).reshape(-1, 1)
    *rows, outputs = p.shape
    if y.shape not in (p.shape, p.shape[:-1], (*rows, 1)):
        raise DataError(f"y_true has shape {y.shape} and y_pred {p.shape}: they do not fit", code="data-shape")
    weights = weights_of(sample_weight, tuple(rows)).astype(np.float64)
    return p.reshape(-1, outputs), y.reshape(-1, outputs if y.shape == p.shape else 1), weights.reshape(-1)


def floats(name: str, given: Any) -> Array:
    """Return numbers as an array of floats.  Raises DataError for anything else."""
    try:
        array = np.asarray(given)
    except (TypeError, ValueError) as error:
        raise DataError(f"{name} must be an array of numbers: {error}", code="data-text") from None
    if array.dtype.kind not in "biuf":
        raise DataError(f"{name} must be an array of numbers, and is one of {array.dtype}", code="data-text")
    return array.astype(np.result_type(array.dtype, np.float32))


class MeanSquaredError(Loss):
    """L = 1/O sum_k (z_k - y_k)^2, as Keras: the mean over the outputs of a row.

    >>> MeanSquaredError().rows(np.array([[3.0, 0.0]]), np.array([[1.0, 0.0]]))[0]
    array([2.])
    """

    differences = True

    def rows(self, z: Array, y: Array) -> tuple[Array, Array, Array]:
        r = z - y
        return (r * r).mean(axis=1), z, r * r.dtype.type(2.0 / r.shape[1])


class HalfSumOfSquares(Loss):
    """L = 1/2 sum_k (z_k - y_k)^2: the textbook loss whose derivative is the plain error.

    >>> HalfSumOfSquares().rows(np.array([[3.0, 0.0]]), np.array([[1.0, 0.0]]))[0]
    array([2.])
    """

    differences = True

    def rows(self, z: Array, y: Array) -> tuple[Array, Array, Array]:
        r = z - y
        return (r * (r * r.dtype.type(0.5))).sum(axis=1), z, r


def _mean(values: Array, z: Array, slopes: Array) -> tuple[Array, Array, Array]:
    """Return what `rows` returns for the mean over a row's outputs of values with these slopes, all (B, O)."""
    return values.mean(axis=1), z, slopes * z.dtype.type(1.0 / z.shape[1])


class MeanAbsoluteError(Loss):
    """L = 1/O sum_k |r_k|; the derivative at r = 0 is taken as 0.

    >>> MeanAbsoluteError().rows(np.array([[3.0, 0.0]]), np.array([[1.0, 0.0]]))[0]
    array([1.])
    """

    differences = True

    def rows(self, z: Array, y: Array) -> tuple[Array, Array, Array]:
        r = z - y
        return _mean(np.abs(r), z, np.sign(r))


class MeanAbsolutePercentageError(Loss):
    """L = 100/O sum_k |r_k| / max(|y_k|, 1e-7), as Keras; the derivative at r = 0 is taken as 0.

    >>> MeanAbsolutePercentageError().rows(np.array([[3.0, 0.5]]), np.array([[2.0, 1.0]]))[0]
    array([50.])
    """

    def rows(self, z: Array, y: Array) -> tuple[Array, Array, Array]:
        r, size = z - y, np.maximum(np.abs(y), EPSILON)
        part = z.dtype.type(100.0 / z.shape[1])
        return (np.abs(r) / size).sum(axis=1) * part, z, np.sign(r) / size * part


class MeanSquaredLogarithmicError(Loss):
    """L = 1/O sum_k (log(1 + z_k) - log(1 + y_k))^2, with z and y of at least 1e-7, as Keras.

    The difference is computed as the sign of r_k times log(1 + |r_k| / (1 + min(z_k, y_k))), which loses no digits of
    small r.  The derivative is 0 where z was raised.

    >>> MeanSquaredLogarithmicError().rows(np.array([[np.e - 1, 0.0]]), np.array([[0.0, 0.0]]))[0].round(4)
    array([0.5])
    """

    targets = "count"

    def rows(self, z: Array, y: Array) -> tuple[Array, Array, Array]:
        p, t = np.maximum(z, EPSILON), np.maximum(y, EPSILON)
        r = p - t
        d = np.copysign(np.log1p(np.abs(r) / (1 + np.minimum(p, t))), r)
        return _mean(d * d, z, (z >= EPSILON) * (2 * d / (1 + p)))


class CosineSimilarity(Loss):
    """L = -sum_k u_k v_k, with u = y / max(|y|, 1e-7) and v = z / max(|z|, 1e-7): minus the cosine of their angle.

    The derivative is -(u_k - c v_k) / |z| with c = sum_j u_j v_j, or where |z| is less than 1e-7, -u_k / 1e-7.
    As a metric of that name it is the cosine itself.

    >>> CosineSimilarity().rows(np.array([[3.0, 4.0]]), np.array([[1.0, 0.0]]))[0]
    array([-0.6])
    """

    def rows(self, z: Array, y: Array) -> tuple[Array, Array, Array]:
        (u, _), (v, length) = _direction(y), _direction(z)
        cosine = (u * v).sum(axis=1)
        along = np.where(length > EPSILON, cosine[:, None], 0)
        return -cosine, z, (along * v - u) / np.maximum(length, EPSILON)


def _direction(x: Array) -> tuple[Array, Array]:
    """Return x / max(|x|, 1e-7) of each row, and |x|, (B, 1); squares may be beyond the dtype."""
    largest = np.maximum(np.abs(x).max(axis=1, keepdims=True), np.finfo(x.dtype).tiny)
    shares = x / largest
    length = np.sqrt((shares * shares).sum(axis=1, keepdims=True)) * largest
    return x / np.maximum(length, EPSILON), length


class Huber(Loss):
    """L = 1/O sum_k of r_k^2 / 2 where |r_k| <= delta, else delta (|r_k| - delta / 2): squares, but for outliers.

    >>> Huber(delta=1.0).rows(np.array([[3.0, 0.0]]), np.array([[0.0, 0.0]]))[0]
    array([1.25])

    Source: Huber 1964.
    """

    differences = True
    delta: float = number(1.0, above=0.0, why="it is where squares become straight lines")

    def rows(self, z: Array, y: Array) -> tuple[Array, Array, Array]:
        r = z - y
        near = np.clip(r, -self.delta, self.delta)
        return _mean(near * (r - 0.5 * near), z, near)


class LogCosh(Loss):
    """L = 1/O sum_k log cosh r_k, about r^2 / 2 near 0 and |r| - log 2 far off; the derivative is tanh(r) / O.

    Computed as log(1 + e^2 / (2 (1 + e))) with e = exp(|r|) - 1, which loses no digits of small r.  Beyond 20 it is a
    straight line, and what |r| exceeds 20 by is added.

    >>> LogCosh().rows(np.array([[1000.0]]), np.array([[0.0]]))[0].round(4)
    array([999.3069])
    """

    differences = True

    def rows(self, z: Array, y: Array) -> tuple[Array, Array, Array]:
        r = z - y
        size = np.abs(r)
        near = np.minimum(size, 20)
        e = np.expm1(near)
        return _mean(np.log1p(0.5 * e * e / (1 + e)) + (size - near), z, np.tanh(r))


class Quantile(Loss):
    """L = 1/O sum_k of q (y_k - z_k) below the target, (1 - q) (z_k - y_k) above it: smallest at the q-quantile.

    q: in (0, 1); 0.5 is half the absolute error.  The derivative at r = 0 is taken as 0.

    >>> Quantile(q=0.9).rows(np.array([[0.0]]), np.array([[10.0]]))[0]
    array([9.])

    Source: Koenker and Bassett 1978.
    """

    differences = True
    q: float = number(0.5, above=0.0, below=1.0, why="it is the share of targets below the output")

    def rows(self, z: Array, y: Array) -> tuple[Array, Array, Array]:
        r = z - y
        number = r.dtype.type
        slopes = np.sign(r) * np.where(r > 0, number(1 - self.q), number(self.q))
        return _mean(r * slopes, z, slopes)


class Poisson(Loss):
    """L = 1/O sum_k (z_k - y_k log(z_k + 1e-7)): the output is the rate of the target, a count of at least 0.

    It is the negative log-likelihood but for log y_k!, so it may be negative.  An output below 0 counts as 0, with
    derivative 0; at 0 the derivative is that from above.

    >>> Poisson().rows(np.array([[1.0, 3.0]]), np.array([[5.0, 0.0]]))[0].round(6)
    array([2.])
    """

    targets = "count"
    natural = "exponential"

    def rows(self, z: Array, y: Array) -> tuple[Array, Array, Array]:
        rate = np.minimum(np.maximum(z, 0), np.finfo(z.dtype).max)
        moved = rate + EPSILON
        log = np.log(moved) + (EPSILON - (moved - rate)) / moved  # the second: what rounding took off `moved`
        return _mean(np.maximum(z, 0) - y * log, z, (z >= 0) * ((rate - y + EPSILON) / moved))


class KLDivergence(Loss):
    """L = sum_k y_k log(y_k / z_k), with y and z cut to [1e-7, 1]; z and y are distributions over the outputs.

    The derivative is -y_k / z_k inside the cut, ends included, and 0 beyond it.

    >>> KLDivergence().rows(np.array([[0.5, 0.5]]), np.array([[1.0, 0.0]]))[0].round(4)
    array([0.6931])

    Source: Kullback and Leibler 1951.
    """

    targets = "unit"
    natural = "softmax"

    def rows(self, z: Array, y: Array) -> tuple[Array, Array, Array]:
        t, p = np.clip(y, EPSILON, 1), np.clip(z, EPSILON, 1)
        ratio = t / p
        log = np.log(ratio) + ((t - p) / p - (ratio - 1)) / np.maximum(
            ratio, 1
        )  # the second: what rounding took off it
        return (t * log).sum(axis=1), z, (z == p) * -ratio


def _margins(z: Array, y: Array) -> tuple[Array, Array]:
    """Return the signs, -1 and 1, and what each output lacks to lie beyond 1 on the side of its sign."""
    sign = np.where(y == 0, -1, y)
    return sign, np.maximum(1 - sign * z, 0)


class Hinge(Loss):
    """L = 1/O sum_k max(1 - s_k z_k, 0) with s_k the target, -1 or 1; a target of 0 is read as -1.

    The derivative at s z = 1 is taken as 0.

    >>> Hinge().rows(np.array([[0.5], [0.5]]), np.array([[1.0], [0.0]]))[0]
    array([0.5, 1.5])

    Source: Cortes and Vapnik 1995.
    """

    targets = "sign"

    def rows(self, z: Array, y: Array) -> tuple[Array, Array, Array]:
        sign, lack = _margins(z, y)
        return _mean(lack, z, -sign * (lack > 0))


class SquaredHinge(Loss):
    """L = 1/O sum_k max(1 - s_k z_k, 0)^2 with s_k the target, -1 or 1; a target of 0 is read as -1.

    >>> SquaredHinge().rows(np.array([[0.5], [0.5]]), np.array([[1.0], [0.0]]))[0]
    array([0.25, 2.25])
    """

    targets = "sign"

    def rows(self, z: Array, y: Array) -> tuple[Array, Array, Array]:
        sign, lack = _margins(z, y)
        return _mean(lack * lack, z, -2 * sign * lack)


class CategoricalHinge(Loss):
    """L = max(1 + max_k (1 - y_k) z_k - sum_k y_k z_k, 0); y is one-hot, (B, O).

    The derivative at L = 0 is taken as 0; of equal largest outputs the first one counts.

    >>> CategoricalHinge().rows(np.array([[0.5, 0.25]]), np.array([[1.0, 0.0]]))[0]
    array([0.75])

    Source: Crammer and Singer 2001.
    """

    targets = "unit"

    def rows(self, z: Array, y: Array) -> tuple[Array, Array, Array]:
        others, slopes = (1 - y) * z, -y
        top = row_starts(*z.shape) + others.argmax(axis=1)
        slopes.reshape(-1)[top] += 1 - y.reshape(-1)[top]
        lack = np.maximum(1 + others.reshape(-1)[top] - (y * z).sum(axis=1), 0)
        return lack, z, slopes * (lack > 0)[:, None]


class Crossentropy(Loss):
    """Base of the cross-entropies, which take logits and fuse the link that would make probabilities of them.

    from_logits: whether the network gives logits itself; then there is no link, and it predicts logits, as in Keras.
    label_smoothing: share of each target that is spread over all classes.
    """

    from_logits: bool = flag(False)
    label_smoothing: float = number(0.0, low=0.0, below=1.0, why="it is the share spread over all classes")

    @property
    def link(self) -> type[Layer] | None:
        return None if self.from_logits else type(ACTIVATIONS[self.natural])  # type: ignore[return-value]

    def check(self, end: Layer | str, outputs: int) -> None:
        super().check(end, outputs)
        if self.link is None and end == ACTIVATIONS[self.natural]:
            raise ConfigError(
                f"{type(self).__name__}(from_logits=True) goes with a last layer that gives logits, and this "
                f"network ends in {end}: leave out from_logits, or the activation",
                code="config-loss",
            )

    def smoothed(self, y: Array, classes: int) -> Array:
        """Return the targets with the share spread."""
        return y * (1 - self.label_smoothing) + self.label_smoothing / classes if self.label_smoothing else y

    def logits(self, p: Array) -> Array:
        """Return logits (B, O) of which the link makes these probabilities, of at least the smallest number."""
        return np.log(np.maximum(p, np.finfo(p.dtype).tiny))

    def scores(self, p: Array, y: Array) -> Array:
        return self.rows(p if self.from_logits else self.logits(p), y)[0]


class BinaryCrossentropy(Crossentropy):
    """L = -1/O sum_k (y_k log p_k + (1 - y_k) log(1 - p_k)) with p = sigmoid(z), as Keras.

    Computed as |z| |s - y| + log(1 + e) with e = exp(-|z|) and s = 1[z >= 0], where no term is negative.  The
    derivative is (p - y) / O, computed as (p (1 + e) - y - y e) / (1 + e) / O, where p (1 + e) is 1 or e: near 0 both
    keep their digits, for y = 1 too.  Both are linear in y, so label smoothing mixes them with those of y = 1/2.

    >>> float(BinaryCrossentropy().rows(np.array([[0.0]]), np.array([[1.0]]))[0][0].round(4))
    0.6931
    """

    targets = "unit"
    natural = "sigmoid"

    def rows(self, z: Array, y: Array) -> tuple[Array, Array, Array]:
        size, yes = np.abs(z), z >= 0
        e = np.exp(-size)
        above, total = np.maximum(e, yes), 1 + e
        apart, gap, slopes = np.abs(yes - y), np.zeros_like(z), above - y - y * e
        np.multiply(apart, size, out=gap, where=apart != 0)  # of an infinite logit on the right side too
        if share := self.label_smoothing:
            gap = gap * (1 - share) + size * (0.5 * share)
            slopes = slopes * (1 - share) + np.sign(z) * (1 - e) * (0.5 * share)
        part = z.dtype.type(1.0 / z.shape[1])
        losses = np.dot(gap + np.log1p(e), ones(z.shape[1], z.dtype)) * part
        return losses, z if self.from_logits else above / total, slopes / total * part

    def logits(self, p: Array) -> Array:
        least = np.finfo(p.dtype)
        p = np.clip(p, least.tiny, 1 - least.eps)
        return np.log(p) - np.log1p(-p)


class CategoricalCrossentropy(Crossentropy):
    """L = -sum_k y_k log p_k with p = softmax(z); y is one-hot or a distribution, (B, O).

    The derivative is p s - y with s = sum_k y_k, or where p is the largest and y more than s/2, (s - y) - (1 - p) s,
    where 1 - p is the sum of the others.

    >>> float(CategoricalCrossentropy().rows(np.zeros((1, 2)), np.array([[0.0, 1.0]]))[0][0].round(4))
    0.6931

    Source of label smoothing: Szegedy et al. 2016, section 7.
    """

    exclusive = True
    targets = "unit"
    natural = "softmax"

    def rows(self, z: Array, y: Array) -> tuple[Array, Array, Array]:
        y = self.smoothed(y, z.shape[1])
        p, shifted, log, top, others = _softmax_parts(z)
        one = ones(z.shape[1], z.dtype)
        mass = np.dot(y, one)
        slopes, own, parts = p * mass[:, None] - y, y.reshape(-1)[top], np.zeros_like(z)
        slopes.reshape(-1)[top] = np.where(own + own > mass, mass - own - others * mass, slopes.reshape(-1)[top])
        np.multiply(y, shifted, out=parts, where=y != 0)
        return log * mass - np.dot(parts, one), z if self.from_logits else p, slopes


class SparseCategoricalCrossentropy(Crossentropy):
    """L = -log p_y with p = softmax(z) and y the number of the class, (B, 1).

    The derivative is p, less 1 at the class: minus the sum of the others where p is the largest.  Smoothed, it is the
    CategoricalCrossentropy of one-hot targets.

    >>> float(SparseCategoricalCrossentropy().rows(np.zeros((1, 2)), np.array([[1.0]]))[0][0].round(4))
    0.6931
    """

    exclusive = True
    targets = "class"
    natural = "softmax"

    def columns(self, outputs: int) -> int:
        return 1

    def rows(self, z: Array, y: Array) -> tuple[Array, Array, Array]:
        at = row_starts(*z.shape) + y[:, 0].astype(np.intp)
        if self.label_smoothing:
            one_hot = np.zeros_like(z)
            one_hot.reshape(-1)[at] = 1
            return CategoricalCrossentropy(self.from_logits, self.label_smoothing).rows(z, one_hot)
        p, shifted, log, top, others = _softmax_parts(z)
        losses = log - shifted.reshape(-1)[at]
        slopes = p.copy()
        slopes.reshape(-1)[at] = np.where(at == top, 0 - others, p.reshape(-1)[at] - 1)
        return losses, z if self.from_logits else p, slopes


def measured(given: object) -> Loss:
    """Return a loss of plain numbers, given in any form."""
    loss: Loss = given if isinstance(given, Loss) else get(given)
    if loss.targets != "real" or hasattr(loss, "deviation"):
        raise ConfigError(f"{type(loss).__name__} has no units to standardize", code="config-loss")
    return loss


class Standardized(Loss):
    """Another loss L, in units of the targets' spread: L((z - mean) / deviation, (y - mean) / deviation).

    loss: a loss of real targets.  mean, deviation: one number for each output, or one for all.
    With it outputs of any scale weigh alike, and learning rates mean the same whatever the targets' unit.

    >>> Standardized("mse", 0.0, 10.0).rows(np.array([[30.0]]), np.array([[10.0]]))[0]
    array([4.])
    """

    loss: Loss | str = choice(MeanSquaredError(), measured)
    mean: tuple[float, ...] = numbers((0.0,), why="it is taken from outputs and targets")
    deviation: tuple[float, ...] = numbers((1.0,), low=1e-300, why="it divides outputs and targets")

    @property
    def differences(self) -> bool:  # type: ignore[override]
        return measured(self.loss).differences

    def lowered(self, centre: Sequence[float]) -> Loss:
        if not centre:
            return self
        return replace(self, mean=tuple((np.array(self.mean) - centre).tolist()))  # of one mean, one for each output

    def rows(self, z: Array, y: Array) -> tuple[Array, Array, Array]:
        mean = np.array(self.mean, z.dtype)
        factor = 1 / np.array(self.deviation, z.dtype)
        losses, _, d = measured(self.loss).rows((z - mean) * factor, (y - mean) * factor)
        return losses, z, d * factor


def _softmax_parts(z: Array) -> tuple[Array, Array, Array, Array, Array]:
    """Return softmax(z), z less its row maximum, and the logarithm of the sum of the exponentials of that.

    The sum is 1 and the others; where these are next to nothing its rounding is added to the logarithm again.
    Also return where the maxima lie, and the sums of the other probabilities, which keep the digits that 1 - p loses.
    """
    # z at its argmax, because NumPy finds the argmax of short rows five times sooner than the maximum
    top = row_starts(*z.shape) + z.argmax(axis=1)
    shifted = z - z.reshape(-1)[top][:, None]
    e, one = np.exp(shifted), ones(z.shape[1], z.dtype)
    total = np.dot(e, one)
    p = e / total[:, None]
    e.reshape(-1)[top] = 0
    others = np.dot(e, one)
    return p, shifted, np.log(total) + (others - (total - 1)), top, others / total


def exclusive(loss: Loss, outputs: int) -> bool:
    """Return whether the outputs are classes that exclude each other, and not labels of their own."""
    return outputs > 1 and not isinstance(loss, BinaryCrossentropy)


def on_logits(loss: Loss) -> bool:
    """Return whether the loss takes a network that ends in logits."""
    return bool(getattr(loss, "from_logits", False))


def middle(loss: Loss) -> float:
    """Return the output of a network that is undecided about a label."""
    return 0.0 if on_logits(loss) or loss.targets == "sign" else 0.5


LOSSES: dict[str, Spec] = {
    "binary_crossentropy": BinaryCrossentropy(),
    "bce": BinaryCrossentropy(),
    "categorical_crossentropy": CategoricalCrossentropy(),
    "categorical_hinge": CategoricalHinge(),
    "cosine_similarity": CosineSimilarity(),
    "half_sse": HalfSumOfSquares(),
    "hinge": Hinge(),
    "huber": Huber(),
    "kl_divergence": KLDivergence(),
    "kld": KLDivergence(),
    "log_cosh": LogCosh(),
    "mean_absolute_error": MeanAbsoluteError(),
    "mae": MeanAbsoluteError(),
    "mean_absolute_percentage_error": MeanAbsolutePercentageError(),
    "mape": MeanAbsolutePercentageError(),
    "mean_squared_error": MeanSquaredError(),
    "mse": MeanSquaredError(),
    "mean_squared_logarithmic_error": MeanSquaredLogarithmicError(),
    "msle": MeanSquaredLogarithmicError(),
    "poisson": Poisson(),
    "quantile": Quantile(),
    "sparse_categorical_crossentropy": SparseCategoricalCrossentropy(),
    "squared_hinge": SquaredHinge(),
    "standardized": Standardized(),
}
"""What users type; the first name of a kind is what it is called in a history."""
FUSED = CategoricalCrossentropy(), SparseCategoricalCrossentropy()
"""Those that are compiled together with the layers before them."""


def function_of(name: str, loss: Loss) -> Callable[..., Array]:
    """Return a loss as a function of (y_true, y_pred) and its fields, which `get` takes in place of the loss.

    >>> function_of("huber", Huber())([[0.0]], [[3.0]], delta=2.0)
    array([4.])
    """
    kind = type(loss)
    both = [Parameter(one, Parameter.POSITIONAL_OR_KEYWORD) for one in ("y_true", "y_pred")]
    known = [*both, *(one for one in signature(kind).parameters.values() if one.kind is not Parameter.KEYWORD_ONLY)]
    names = [one.name for one in known]

    def function(y_true: Any, y_pred: Any, *args: Any, **fields: Any) -> Array:
        check_arguments(name, fields, names)
        return (kind(*args, **fields) if args or fields else loss).of(y_true, y_pred)

    formula, *_ = (kind.__doc__ or "").split("\n")
    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"Return the loss of each row, as `{kind.__name__}(...).of(y_true, y_pred)`.\n\n{formula}"
    vars(function).update(stands_for=kind, __signature__=Signature(known))
    return function


get = resolver("a loss", Loss, LOSSES)

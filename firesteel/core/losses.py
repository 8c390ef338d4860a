"""Losses: the value and the derivative together, so that they cannot disagree.

A loss that is the negative log-likelihood of a link (cross-entropy of softmax or sigmoid) is computed on the logits
that enter the link, which is exact where the two apart would overflow; `network.py` fuses the pair.  Everything here
is per row; weights and sums are applied in `network.py`.  Shapes: B rows, O outputs, T target columns; in formulas
z_k is an output, y_k its target and r_k = z_k - y_k.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from inspect import Parameter, Signature, signature
from typing import Any

import numpy as np

from firesteel.core.elsewhere import check_arguments
from firesteel.core.focal import (
    BinaryFocalCrossentropy,
    CategoricalFocalCrossentropy,
    CategoricalGeneralizedCrossEntropy,
)
from firesteel.core.layout import row_starts
from firesteel.core.loss import BinaryCrossentropy, CategoricalCrossentropy, Loss, SparseCategoricalCrossentropy
from firesteel.core.spec import Spec, choice, number, numbers, resolver
from firesteel.core.types import Array
from firesteel.errors import ConfigError

__all__ = [
    "BinaryCrossentropy",
    "BinaryFocalCrossentropy",
    "CategoricalCrossentropy",
    "CategoricalFocalCrossentropy",
    "CategoricalGeneralizedCrossEntropy",
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


LOSSES: dict[str, Spec] = {
    "binary_crossentropy": BinaryCrossentropy(),
    "bce": BinaryCrossentropy(),
    "binary_focal_crossentropy": BinaryFocalCrossentropy(),
    "categorical_crossentropy": CategoricalCrossentropy(),
    "categorical_focal_crossentropy": CategoricalFocalCrossentropy(),
    "categorical_generalized_cross_entropy": CategoricalGeneralizedCrossEntropy(),
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

"""Losses other than the cross-entropies, and the registry of all of them.

A loss returns its value and its derivative together.  A loss that belongs to an activation (cross-entropy to softmax
or sigmoid) is computed from the logits, because that stays exact where the two apart would overflow.  Everything here
is per row; `network.py` applies weights and adds up.

Shapes: B rows, O outputs, T target columns.  In formulas z_k is an output, y_k its target and r_k = z_k - y_k.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from inspect import Parameter, Signature, cleandoc, signature
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
"""Keras's lower bound for the arguments of logarithms and for divisors."""


class MeanSquaredError(Loss):
    """Mean squared error, the usual loss of regression.

    `L = 1/O sum_k (z_k - y_k)^2`, where z are the outputs of a row and y its targets.

    Args:
        reduction: How a call combines the losses of the rows; see `Loss`.
        name: Name of the loss as a metric; by default "mean_squared_error".

    Example:
        >>> from firesteel.losses import MeanSquaredError
        >>> y_true, y_pred = [[1.0, 0.0], [0.0, 0.0]], [[3.0, 0.0], [0.0, 0.0]]
        >>> MeanSquaredError()(y_true, y_pred)
        1.0
        >>> MeanSquaredError().of(y_true, y_pred)
        array([2., 0.])
    """

    differences = True

    def rows(self, z: Array, y: Array) -> tuple[Array, Array, Array]:
        r = z - y
        return (r * r).mean(axis=1), z, r * r.dtype.type(2.0 / r.shape[1])


class HalfSumOfSquares(Loss):
    """Half the sum of squared errors, the textbook loss whose derivative is the error itself.

    `L = 1/2 sum_k (z_k - y_k)^2`, where z are the outputs of a row and y its targets.

    Args:
        reduction: How a call combines the losses of the rows; see `Loss`.
        name: Name of the loss as a metric; by default "half_sse".

    Example:
        >>> from firesteel.losses import HalfSumOfSquares
        >>> y_true, y_pred = [[1.0, 0.0], [0.0, 0.0]], [[3.0, 0.0], [0.0, 0.0]]
        >>> HalfSumOfSquares()(y_true, y_pred)
        1.0
        >>> HalfSumOfSquares().of(y_true, y_pred)
        array([2., 0.])
    """

    differences = True

    def rows(self, z: Array, y: Array) -> tuple[Array, Array, Array]:
        r = z - y
        return (r * (r * r.dtype.type(0.5))).sum(axis=1), z, r


def _mean(values: Array, z: Array, slopes: Array) -> tuple[Array, Array, Array]:
    """Average elementwise losses and derivatives, (B, O), over the outputs, in the form that `rows` returns."""
    return values.mean(axis=1), z, slopes * z.dtype.type(1.0 / z.shape[1])


class MeanAbsoluteError(Loss):
    """Mean absolute error: regression that is less sensitive to outliers than the squared error.

    `L = 1/O sum_k |z_k - y_k|`, where z are the outputs of a row and y its targets.  The derivative where they are
    equal is 0.

    Args:
        reduction: How a call combines the losses of the rows; see `Loss`.
        name: Name of the loss as a metric; by default "mean_absolute_error".

    Example:
        >>> from firesteel.losses import MeanAbsoluteError
        >>> y_true, y_pred = [[1.0, 0.0], [0.0, 0.0]], [[3.0, 0.0], [0.0, 0.0]]
        >>> MeanAbsoluteError()(y_true, y_pred)
        0.5
        >>> MeanAbsoluteError().of(y_true, y_pred)
        array([1., 0.])
    """

    differences = True

    def rows(self, z: Array, y: Array) -> tuple[Array, Array, Array]:
        r = z - y
        return _mean(np.abs(r), z, np.sign(r))


class MeanAbsolutePercentageError(Loss):
    """Mean absolute percentage error: the absolute error relative to the target, in percent.

    `L = 100/O sum_k |z_k - y_k| / max(|y_k|, 1e-7)`, where z are the outputs of a row and y its targets.  The
    derivative where they are equal is 0.

    Args:
        reduction: How a call combines the losses of the rows; see `Loss`.
        name: Name of the loss as a metric; by default "mean_absolute_percentage_error".

    Example:
        >>> from firesteel.losses import MeanAbsolutePercentageError
        >>> y_true, y_pred = [[2.0, 1.0], [4.0, 2.0]], [[3.0, 0.5], [4.0, 2.0]]
        >>> MeanAbsolutePercentageError()(y_true, y_pred)
        25.0
        >>> MeanAbsolutePercentageError().of(y_true, y_pred)
        array([50.,  0.])

    Variant: the lower bound 1e-7 is Keras's.
    """

    def rows(self, z: Array, y: Array) -> tuple[Array, Array, Array]:
        r, size = z - y, np.maximum(np.abs(y), EPSILON)
        part = z.dtype.type(100.0 / z.shape[1])
        return (np.abs(r) / size).sum(axis=1) * part, z, np.sign(r) / size * part


class MeanSquaredLogarithmicError(Loss):
    """Mean squared logarithmic error, for targets of at least 0 whose ratios matter.

    `L = 1/O sum_k (log(1 + z_k) - log(1 + y_k))^2`, where z are the outputs of a row and y its targets, both raised
    to at least 1e-7.  The derivative is 0 for outputs that were raised.

    Args:
        reduction: How a call combines the losses of the rows; see `Loss`.
        name: Name of the loss as a metric; by default "mean_squared_logarithmic_error".

    Example:
        >>> from firesteel.losses import MeanSquaredLogarithmicError
        >>> y_true, y_pred = [[3.0], [1.0]], [[7.0], [1.0]]
        >>> round(MeanSquaredLogarithmicError()(y_true, y_pred), 4)
        0.2402
        >>> MeanSquaredLogarithmicError().of(y_true, y_pred).round(4)
        array([0.4805, 0.    ])

    Variant: the lower bound 1e-7 is Keras's.
    """

    targets = "count"

    def rows(self, z: Array, y: Array) -> tuple[Array, Array, Array]:
        # log(1 + p) - log(1 + t) as log1p(|r| / (1 + min(p, t))) with the sign of r, which is exact for small r
        p, t = np.maximum(z, EPSILON), np.maximum(y, EPSILON)
        r = p - t
        d = np.copysign(np.log1p(np.abs(r) / (1 + np.minimum(p, t))), r)
        return _mean(d * d, z, (z >= EPSILON) * (2 * d / (1 + p)))


class CosineSimilarity(Loss):
    """Negative cosine similarity: -1 where outputs and targets have the same direction, 1 where they are opposite.

    `L = -sum_k u_k v_k` with `u = y / max(|y|, 1e-7)` and `v = z / max(|z|, 1e-7)`, where z are the outputs of a row,
    y its targets and |.| is the Euclidean norm.  The metric of this name is the cosine itself, without the minus.

    Args:
        reduction: How a call combines the losses of the rows; see `Loss`.
        name: Name of the loss as a metric; by default "cosine_similarity".

    Example:
        >>> from firesteel.losses import CosineSimilarity
        >>> y_true, y_pred = [[1.0, 0.0], [1.0, 0.0]], [[3.0, 4.0], [0.0, 2.0]]
        >>> CosineSimilarity()(y_true, y_pred)
        -0.3
        >>> CosineSimilarity().of(y_true, y_pred).round(4)
        array([-0.6, -0. ])

    Variant: the lower bound 1e-7 and the sign are Keras's.
    """

    def rows(self, z: Array, y: Array) -> tuple[Array, Array, Array]:
        # dL/dz_k = -(u_k - c v_k) / |z| with c = sum_j u_j v_j; -u_k / 1e-7 where |z| < 1e-7
        (u, _), (v, length) = _direction(y), _direction(z)
        cosine = (u * v).sum(axis=1)
        along = np.where(length > EPSILON, cosine[:, None], 0)
        return -cosine, z, (along * v - u) / np.maximum(length, EPSILON)


def _direction(x: Array) -> tuple[Array, Array]:
    """Return unit vectors x / max(|x|, 1e-7) and norms |x|, (B, 1), without overflow of the squares."""
    largest = np.maximum(np.abs(x).max(axis=1, keepdims=True), np.finfo(x.dtype).tiny)
    shares = x / largest
    length = np.sqrt((shares * shares).sum(axis=1, keepdims=True)) * largest
    return x / np.maximum(length, EPSILON), length


class Huber(Loss):
    """Huber loss: squared for small errors, linear for large ones, so that outliers count less.

    `L = 1/O sum_k h(z_k - y_k)` with `h(r) = r^2 / 2` where `|r| <= delta`, and `delta (|r| - delta / 2)` elsewhere,
    where z are the outputs of a row and y its targets.

    Args:
        delta: The error at which the loss becomes linear, above 0, in the units of the targets.
        reduction: How a call combines the losses of the rows; see `Loss`.
        name: Name of the loss as a metric; by default "huber".

    Example:
        >>> from firesteel.losses import Huber
        >>> y_true, y_pred = [[0.0], [0.0]], [[3.0], [0.5]]
        >>> Huber(delta=1.0)(y_true, y_pred)
        1.3125
        >>> Huber(delta=1.0).of(y_true, y_pred)
        array([2.5  , 0.125])

    Source: Huber 1964.
    """

    differences = True
    delta: float = number(1.0, above=0.0, why="delta is the error at which the loss becomes linear")

    def rows(self, z: Array, y: Array) -> tuple[Array, Array, Array]:
        r = z - y
        near = np.clip(r, -self.delta, self.delta)
        return _mean(near * (r - 0.5 * near), z, near)


class LogCosh(Loss):
    """Logarithm of the hyperbolic cosine of the error: a smooth loss that counts outliers less.

    `L = 1/O sum_k log cosh(z_k - y_k)`, where z are the outputs of a row and y its targets.  It is about `r^2 / 2`
    for small errors r, and `|r| - log 2` for large ones.

    Args:
        reduction: How a call combines the losses of the rows; see `Loss`.
        name: Name of the loss as a metric; by default "log_cosh".

    Example:
        >>> from firesteel.losses import LogCosh
        >>> y_true, y_pred = [[0.0], [0.0]], [[1000.0], [0.0]]
        >>> round(LogCosh()(y_true, y_pred), 4)
        499.6534
        >>> LogCosh().of(y_true, y_pred).round(4)
        array([999.3069,   0.    ])
    """

    differences = True

    def rows(self, z: Array, y: Array) -> tuple[Array, Array, Array]:
        # log(1 + e^2 / (2 (1 + e))) with e = exp(|r|) - 1, which is exact for small r; beyond 20 a straight line
        r = z - y
        size = np.abs(r)
        near = np.minimum(size, 20)
        e = np.expm1(near)
        return _mean(np.log1p(0.5 * e * e / (1 + e)) + (size - near), z, np.tanh(r))


class Quantile(Loss):
    """Quantile (pinball) loss: the output that minimizes it is the q-quantile of the target.

    `L = 1/O sum_k c_k |z_k - y_k|` with `c_k = q` where the output z_k is below the target y_k, and `1 - q` where it
    is above.  The derivative where they are equal is 0.

    Args:
        q: The quantile to predict, in (0, 1).  0.5 is the median: the loss is half the mean absolute error.
        reduction: How a call combines the losses of the rows; see `Loss`.
        name: Name of the loss as a metric; by default "quantile".

    Example:
        >>> from firesteel.losses import Quantile
        >>> y_true, y_pred = [[10.0], [0.0]], [[0.0], [10.0]]
        >>> Quantile(q=0.9)(y_true, y_pred)
        5.0
        >>> Quantile(q=0.9).of(y_true, y_pred)
        array([9., 1.])

    Source: Koenker and Bassett 1978.
    """

    differences = True
    q: float = number(0.5, above=0.0, below=1.0, why="q is the share of targets below the output")

    def rows(self, z: Array, y: Array) -> tuple[Array, Array, Array]:
        r = z - y
        number = r.dtype.type
        slopes = np.sign(r) * np.where(r > 0, number(1 - self.q), number(self.q))
        return _mean(r * slopes, z, slopes)


class Poisson(Loss):
    """Poisson loss, for counts: the output is the expected count.

    `L = 1/O sum_k (z_k - y_k log(z_k + 1e-7))`, where z are the outputs of a row and y its targets, at least 0.  It
    is the negative log-likelihood without `log y_k!`, so it may be negative.  An output below 0 counts as 0, with
    derivative 0; `activation="exponential"` in the last layer avoids that.

    Args:
        reduction: How a call combines the losses of the rows; see `Loss`.
        name: Name of the loss as a metric; by default "poisson".

    Example:
        >>> from firesteel.losses import Poisson
        >>> y_true, y_pred = [[5.0, 0.0], [0.0, 0.0]], [[1.0, 3.0], [1.0, 3.0]]
        >>> round(Poisson()(y_true, y_pred), 4)
        2.0
        >>> Poisson().of(y_true, y_pred).round(4)
        array([2., 2.])

    Variant: 1e-7 inside the logarithm, as in Keras.
    """

    targets = "count"
    natural = "exponential"

    def rows(self, z: Array, y: Array) -> tuple[Array, Array, Array]:
        rate = np.minimum(np.maximum(z, 0), np.finfo(z.dtype).max)
        moved = rate + EPSILON
        log = np.log(moved) + (EPSILON - (moved - rate)) / moved  # corrects the rounding of `moved`
        return _mean(np.maximum(z, 0) - y * log, z, (z >= 0) * ((rate - y + EPSILON) / moved))


class KLDivergence(Loss):
    """Kullback-Leibler divergence of the predicted distribution from the target distribution.

    `L = sum_k y_k log(y_k / z_k)`, where the outputs z and the targets y are distributions over the outputs, both
    clipped to [1e-7, 1].  The derivative is 0 for outputs outside that range.

    Args:
        reduction: How a call combines the losses of the rows; see `Loss`.
        name: Name of the loss as a metric; by default "kl_divergence".

    Example:
        >>> from firesteel.losses import KLDivergence
        >>> y_true, y_pred = [[1.0, 0.0], [0.5, 0.5]], [[0.5, 0.5], [0.5, 0.5]]
        >>> round(KLDivergence()(y_true, y_pred), 4)
        0.3466
        >>> KLDivergence().of(y_true, y_pred).round(4)
        array([0.6931, 0.    ])

    Source: Kullback and Leibler 1951; clipped as in Keras.
    """

    targets = "unit"
    natural = "softmax"

    def rows(self, z: Array, y: Array) -> tuple[Array, Array, Array]:
        t, p = np.clip(y, EPSILON, 1), np.clip(z, EPSILON, 1)
        ratio = t / p
        # the second term corrects the rounding of `ratio`
        log = np.log(ratio) + ((t - p) / p - (ratio - 1)) / np.maximum(ratio, 1)
        return (t * log).sum(axis=1), z, (z == p) * -ratio


def _margins(z: Array, y: Array) -> tuple[Array, Array]:
    """Convert targets to signs -1 and 1; return them and the margins max(1 - sign * z, 0), both (B, O)."""
    sign = np.where(y == 0, -1, y)
    return sign, np.maximum(1 - sign * z, 0)


class Hinge(Loss):
    """Hinge loss of support vector machines, for targets of -1 and 1.

    `L = 1/O sum_k max(1 - y_k z_k, 0)`, where z are the outputs of a row and y its targets, -1 or 1; 0 stands for -1.
    The derivative at `y z = 1` is 0.

    Args:
        reduction: How a call combines the losses of the rows; see `Loss`.
        name: Name of the loss as a metric; by default "hinge".

    Example:
        >>> from firesteel.losses import Hinge
        >>> y_true, y_pred = [[1.0], [-1.0]], [[0.5], [0.5]]
        >>> Hinge()(y_true, y_pred)
        1.0
        >>> Hinge().of(y_true, y_pred)
        array([0.5, 1.5])

    Source: Cortes and Vapnik 1995.
    """

    targets = "sign"

    def rows(self, z: Array, y: Array) -> tuple[Array, Array, Array]:
        sign, lack = _margins(z, y)
        return _mean(lack, z, -sign * (lack > 0))


class SquaredHinge(Loss):
    """Squared hinge loss, for targets of -1 and 1.

    `L = 1/O sum_k max(1 - y_k z_k, 0)^2`, where z are the outputs of a row and y its targets, -1 or 1; 0 stands for
    -1.

    Args:
        reduction: How a call combines the losses of the rows; see `Loss`.
        name: Name of the loss as a metric; by default "squared_hinge".

    Example:
        >>> from firesteel.losses import SquaredHinge
        >>> y_true, y_pred = [[1.0], [-1.0]], [[0.5], [0.5]]
        >>> SquaredHinge()(y_true, y_pred)
        1.25
        >>> SquaredHinge().of(y_true, y_pred)
        array([0.25, 2.25])
    """

    targets = "sign"

    def rows(self, z: Array, y: Array) -> tuple[Array, Array, Array]:
        sign, lack = _margins(z, y)
        return _mean(lack * lack, z, -2 * sign * lack)


class CategoricalHinge(Loss):
    """Multi-class hinge loss, for one-hot targets.

    `L = max(1 + max_k (1 - y_k) z_k - sum_k y_k z_k, 0)`, where z are the outputs of a row and y its one-hot target,
    (B, O).  The derivative at L = 0 is 0; of equal largest outputs the first one counts.

    Args:
        reduction: How a call combines the losses of the rows; see `Loss`.
        name: Name of the loss as a metric; by default "categorical_hinge".

    Example:
        >>> from firesteel.losses import CategoricalHinge
        >>> y_true, y_pred = [[1.0, 0.0], [0.0, 1.0]], [[0.5, 0.25], [0.5, 0.25]]
        >>> CategoricalHinge()(y_true, y_pred)
        1.0
        >>> CategoricalHinge().of(y_true, y_pred)
        array([0.75, 1.25])

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
    """Resolve the inner loss of `Standardized`; raise ConfigError unless its targets are real numbers."""
    loss: Loss = given if isinstance(given, Loss) else get(given)
    if loss.targets != "real" or hasattr(loss, "deviation"):
        raise ConfigError(
            f"{type(loss).__name__} cannot be standardized: give a loss of real numbers, such as 'mse' or 'mae'",
            code="config-loss",
        )
    return loss


class Standardized(Loss):
    """Wraps a loss: computes it on standardized outputs and targets.

    `L((z - mean) / deviation, (y - mean) / deviation)`, where z are the outputs of a row and y its targets.  It makes
    outputs of different scales count equally, and learning rates independent of the targets' unit.

    Args:
        loss: The loss to compute, a loss of real numbers: an object, its name or its config.
        mean: The mean to subtract: one number for all outputs, or one for each.
        deviation: The standard deviation to divide by, above 0: one number for all outputs, or one for each.
        reduction: How a call combines the losses of the rows; see `Loss`.
        name: Name of the loss as a metric; by default "standardized".

    Raises:
        ConfigError: If `loss` is not a loss of real numbers (`config-loss`).

    Example:
        >>> from firesteel.losses import Standardized
        >>> y_true, y_pred = [[10.0], [10.0]], [[30.0], [10.0]]
        >>> Standardized("mse", mean=0.0, deviation=10.0)(y_true, y_pred)
        2.0
        >>> Standardized("mse", mean=0.0, deviation=10.0).of(y_true, y_pred)
        array([4., 0.])
    """

    loss: Loss | str = choice(MeanSquaredError(), measured)
    mean: tuple[float, ...] = numbers((0.0,), why="mean is subtracted from outputs and targets")
    deviation: tuple[float, ...] = numbers((1.0,), low=1e-300, why="it divides outputs and targets")

    @property
    def differences(self) -> bool:  # type: ignore[override]
        return measured(self.loss).differences

    def lowered(self, centre: Sequence[float]) -> Loss:
        if not centre:
            return self
        return replace(self, mean=tuple((np.array(self.mean) - centre).tolist()))  # one mean becomes one per output

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
"""The losses by name; the first name of a class is its name in a history."""
FUSED = CategoricalCrossentropy(), SparseCategoricalCrossentropy()
"""The losses that are compiled together with the layers before them."""


def function_of(name: str, loss: Loss) -> Callable[..., Array]:
    """Return a loss as a function of (y_true, y_pred, **arguments), which `compile` accepts too.

    Its docstring is made from that of the class.

    Example:
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

    function.__name__ = function.__qualname__ = name
    function.__module__ = "firesteel.losses"  # where users import it from; pickle and documentation look there
    function.__doc__ = _function_doc(name, kind)
    vars(function).update(stands_for=kind, __signature__=Signature(known))
    return function


def docstring(kind: type[Loss]) -> tuple[str, list[str], list[str], str]:
    """Return the parts of a loss's docstring: text, entries of Args, examples, and the line on its source."""
    text, _, rest = cleandoc(kind.__doc__ or "").partition("\n\nArgs:\n")
    args, _, rest = rest.partition("\n\n")
    source = re.search(r"^(Source|Variant): .+", rest, re.MULTILINE | re.DOTALL)
    examples = re.findall(r"^    >>> .+(?:\n    (?!>>> ).+)*", rest, re.MULTILINE)
    return text, re.split(r"\n(?=    \w)", args), examples, f"\n\n{source[0]}" if source else ""


def _function_doc(name: str, kind: type[Loss]) -> str:
    text, args, examples, source = docstring(kind)
    called = re.compile(rf"{kind.__name__}\(([^()]*)\)\.of\(([^()]*)\)")
    calls = [
        called.sub(lambda found: f"{name}({', '.join(filter(None, found.groups()[::-1]))})", e) for e in examples
    ]
    shown = [new for old, new in zip(examples, calls, strict=True) if new != old or ">>> y_true" in old]
    fields = [one for one in args if not re.match("    (reduction|name):", one)]
    lines = [
        f"{text}\n\n`compile` takes this function, too; the class `{kind.__name__}` is the same loss.\n\nArgs:",
        "    y_true: The targets, (..., O); class numbers, (...) or (..., 1), where the loss takes these.",
        *("    y_pred: The predictions, (..., O).", *fields, "\nReturns:\n    The loss of each row, (...)."),
        "\nRaises:\n    DataError: If either does not hold numbers, or their shapes do not match.",
        *("\nExample:", f"    >>> from firesteel.losses import {name}", *shown),
    ]
    return "\n".join(lines) + source


get = resolver("a loss", Loss, LOSSES)

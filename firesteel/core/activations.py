"""Activations: what comes after a layer's sums, value and derivative together, in order of difficulty.

Most are a curve that bends each value by itself, and an op here is that curve and its slope; softmax and its
logarithm look at whole rows.  Names, defaults and formulas are Keras's; `layers.py` lets users type the names.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from firesteel.core.ops import Op
from firesteel.core.types import Array, Pull, Views

__all__ = [
    "ACTIVATIONS",
    "Elu",
    "Exponential",
    "Gelu",
    "HardSigmoid",
    "LogSoftmax",
    "Mish",
    "Rectify",
    "Relu",
    "Sigmoid",
    "Silu",
    "Softmax",
    "Softplus",
    "Softsign",
    "Tanh",
]


class Curve(Op):
    """Base of the ops that bend each value by itself."""

    def curve(self, x: Array) -> tuple[Array, Callable[[], Array]]:
        """Return y and what computes dy/dx, both of x's shape and dtype."""
        raise NotImplementedError

    def apply(self, p: Views, x: Array, rng: np.random.Generator | None) -> tuple[Array, Pull]:
        y, slope = self.curve(x)

        def pull(d_y: Array, g: Views, wants_x: bool) -> Array | None:
            d_y *= slope()
            return d_y

        return y, pull


@dataclass(frozen=True)
class Relu(Curve):
    """y = max(x, 0); the derivative at 0 is taken as 0.

    >>> Relu().apply({}, np.array([[-1.0, 2.0]]), None)[0]
    array([[0., 2.]])

    Source: Nair and Hinton 2010.
    """

    def curve(self, x: Array) -> tuple[Array, Callable[[], Array]]:
        y = np.maximum(x, x.dtype.type(0))
        return y, lambda: y > 0


@dataclass(frozen=True)
class Rectify(Curve):
    """y = min(x, max_value) above the threshold, negative_slope (x - threshold) from there down.

    max_value: None for no limit.  The derivative at the threshold is taken as negative_slope, at max_value as 0.

    >>> Rectify(negative_slope=0.5, max_value=6.0).apply({}, np.array([[-1.0, 2.0, 9.0]]), None)[0]
    array([[-0.5,  2. ,  6. ]])

    Source: Maas et al. 2013 (leaky); Krizhevsky 2010 (cut at 6).
    """

    negative_slope: float = 0.0
    max_value: float | None = None
    threshold: float = 0.0

    def curve(self, x: Array) -> tuple[Array, Callable[[], Array]]:
        above, most = x > self.threshold, math.inf if self.max_value is None else self.max_value
        y = np.where(above, np.minimum(x, most), (x - self.threshold) * self.negative_slope)
        return y, lambda: np.where(above, x < most, self.negative_slope).astype(x.dtype)


@dataclass(frozen=True)
class HardSigmoid(Curve):
    """y = min(max(x + 3, 0), 6) / 6, the sigmoid in three straight lines; the derivative at the corners is 0.

    >>> HardSigmoid().apply({}, np.array([[-4.0, 0.0, 1.5]]), None)[0]
    array([[0.  , 0.5 , 0.75]])

    Source: Howard et al. 2019, section 5.2.
    """

    def curve(self, x: Array) -> tuple[Array, Callable[[], Array]]:
        return np.clip(x + 3, 0, 6) / 6, lambda: (np.abs(x) < 3) * x.dtype.type(1 / 6)


@dataclass(frozen=True)
class Tanh(Curve):
    """y = tanh x; dy/dx = 1 - y^2.

    >>> Tanh().apply({}, np.array([[0.0]]), None)[0]
    array([[0.]])
    """

    def curve(self, x: Array) -> tuple[Array, Callable[[], Array]]:
        y = np.tanh(x)
        return y, lambda: 1 - y * y


def logistic(x: Array) -> Array:
    """Return 1 / (1 + exp(-x)) without overflow, as (1 + tanh(x / 2)) / 2."""
    y = np.tanh(x * x.dtype.type(0.5))
    y += 1
    y *= y.dtype.type(0.5)
    return y


@dataclass(frozen=True)
class Sigmoid(Curve):
    """y = 1 / (1 + exp(-x)); dy/dx = y (1 - y).

    >>> Sigmoid().apply({}, np.array([[0.0]]), None)[0]
    array([[0.5]])
    """

    def curve(self, x: Array) -> tuple[Array, Callable[[], Array]]:
        y = logistic(x)
        return y, lambda: y * (1 - y)


@dataclass(frozen=True)
class Softsign(Curve):
    """y = x / (1 + |x|); dy/dx = 1 / (1 + |x|)^2.

    >>> Softsign().apply({}, np.array([[-3.0, 1.0]]), None)[0]
    array([[-0.75,  0.5 ]])

    Source: Bergstra et al. 2009; Glorot and Bengio 2010.
    """

    def curve(self, x: Array) -> tuple[Array, Callable[[], Array]]:
        size = 1 + np.abs(x)
        return x / size, lambda: (1 / size) ** 2


@dataclass(frozen=True)
class Exponential(Curve):
    """y = exp x; dy/dx = y.  Beyond the dtype's range y is infinite, and training that gets there has diverged.

    >>> Exponential().apply({}, np.array([[0.0]]), None)[0]
    array([[1.]])
    """

    def curve(self, x: Array) -> tuple[Array, Callable[[], Array]]:
        with np.errstate(over="ignore"):
            y = np.exp(x)
        return y, lambda: y


@dataclass(frozen=True)
class Elu(Curve):
    """y = scale x above 0, scale alpha (exp(x) - 1) from there down; the derivative at 0 is that from below.

    >>> Elu(alpha=2.0).apply({}, np.array([[-1e9, 3.0]]), None)[0]
    array([[-2.,  3.]])

    Source: Clevert et al. 2016; with SELU's alpha and scale Klambauer et al. 2017, section "Self-normalizing".
    """

    alpha: float = 1.0
    scale: float = 1.0

    def curve(self, x: Array) -> tuple[Array, Callable[[], Array]]:
        low = np.minimum(x, 0)
        y = np.where(x > 0, x, self.alpha * np.expm1(low)) * self.scale
        return y, lambda: np.where(x > 0, 1, self.alpha * np.exp(low)) * self.scale


def softplus(x: Array) -> Array:
    """Return log(1 + exp(x)) without overflow."""
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


@dataclass(frozen=True)
class Softplus(Curve):
    """y = log(1 + exp x); dy/dx = 1 / (1 + exp(-x)).

    >>> Softplus().apply({}, np.array([[0.0]]), None)[0].round(4)
    array([[0.6931]])

    Source: Dugas et al. 2001.
    """

    def curve(self, x: Array) -> tuple[Array, Callable[[], Array]]:
        return softplus(x), lambda: logistic(x)


@dataclass(frozen=True)
class Silu(Curve):
    """y = x s with s = 1 / (1 + exp(-x)); dy/dx = s (1 + x (1 - s)).  Also called swish.

    >>> Silu().apply({}, np.array([[0.0, 100.0]]), None)[0]
    array([[  0., 100.]])

    Source: Elfwing et al. 2018; Ramachandran et al. 2017.
    """

    def curve(self, x: Array) -> tuple[Array, Callable[[], Array]]:
        s = logistic(x)
        return x * s, lambda: s * (1 + x * (1 - s))


@dataclass(frozen=True)
class Mish(Curve):
    """y = x t with t = tanh(log(1 + exp x)); dy/dx = t + x (1 - t^2) / (1 + exp(-x)).

    >>> Mish().apply({}, np.array([[0.0, 100.0]]), None)[0]
    array([[  0., 100.]])

    Source: Misra 2020.
    """

    def curve(self, x: Array) -> tuple[Array, Callable[[], Array]]:
        t = np.tanh(softplus(x))
        return x * t, lambda: t + x * (1 - t * t) * logistic(x)


SMALL = (
    (1.85777706184603153e-1, 3.16112374387056560e0, 1.13864154151050156e2, 3.77485237685302021e2,
     3.20937758913846947e3),
    (1.0, 2.36012909523441209e1, 2.44024637934444173e2, 1.28261652607737228e3, 2.84423683343917062e3),
)  # fmt: skip
MIDDLE = (
    (2.15311535474403846e-8, 5.64188496988670089e-1, 8.88314979438837594e0, 6.61191906371416295e1,
     2.98635138197400131e2, 8.81952221241769090e2, 1.71204761263407058e3, 2.05107837782607147e3,
     1.23033935479799725e3),
    (1.0, 1.57449261107098347e1, 1.17693950891312499e2, 5.37181101862009858e2, 1.62138957456669019e3,
     3.29079923573345963e3, 4.36261909014324716e3, 3.43936767414372164e3, 1.23033935480374942e3),
)  # fmt: skip
LARGE = (
    (1.63153871373020978e-2, 3.05326634961232344e-1, 3.60344899949804439e-1, 1.25781726111229246e-1,
     1.60837851487422766e-2, 6.58749161529837803e-4),
    (1.0, 2.56852019228982242e0, 1.87295284992346725e0, 5.27905102951428412e-1, 6.05183413124413191e-2,
     2.33520497626869185e-3),
)  # fmt: skip
"""Numerators and denominators, from the highest power down, for |x| to 0.46875, to 4, and beyond."""


def _ratio(x: Array, polynomials: tuple[tuple[float, ...], tuple[float, ...]]) -> Array:
    """Return numerator(x) / denominator(x), by Horner's rule."""
    values = []
    for first, *others in polynomials:
        value = np.full_like(x, first)
        for coefficient in others:
            value *= x
            value += coefficient
        values.append(value)
    return values[0] / values[1]


def erfc(x: Array) -> Array:
    """Return 1 - erf(x) = 2 / sqrt(pi) times the integral of exp(-t^2) from x on, to the last digits of the dtype.

    The complement, because it alone is precise far to the right, where erf is 1.

    >>> erfc(np.array([0.0, 5.0])).round(14)
    array([1.00e+00, 1.54e-12])

    Source: Cody 1969, "Rational Chebyshev approximations for the error function".
    """
    size = np.minimum(np.abs(x), 28)  # beyond 28 it is 0 or 2 in float64
    square = size * size
    coarse = np.trunc(size * 16) / 16  # its square is exact, so that rounding is not blown up by exp
    bell = np.exp(-coarse * coarse) * np.exp((coarse - size) * (coarse + size))
    right = np.where(size <= 0.46875, 1 - size * _ratio(square, SMALL), bell * _ratio(size, MIDDLE))
    if (far := size > 4).any():
        large, inverse = size[far], 1 / square[far]
        right[far] = bell[far] * (1 / math.sqrt(math.pi) - inverse * _ratio(inverse, LARGE)) / large
    return np.where(x < 0, 2 - right, right)


@dataclass(frozen=True)
class Gelu(Curve):
    """y = x P(x) with P the normal distribution's, erfc(-x / sqrt 2) / 2; dy/dx = P + x exp(-x^2 / 2) / sqrt(2 pi).

    >>> Gelu().apply({}, np.array([[0.0, 1.0]]), None)[0].round(4)
    array([[0.    , 0.8413]])

    Source: Hendrycks and Gimpel 2016, exact.
    """

    def curve(self, x: Array) -> tuple[Array, Callable[[], Array]]:
        below = 0.5 * erfc(x * -math.sqrt(0.5))

        def slope() -> Array:
            density = np.exp(-0.5 * np.square(np.clip(x, -40, 40))) / math.sqrt(2 * math.pi)
            return below + x * density

        return x * below, slope


def softmax(x: Array) -> Array:
    """Return exp(x) / sum exp(x) of each row, shifted by the row's maximum.  x: (B, O)."""
    y = np.exp(x - x.max(axis=1, keepdims=True))
    y /= y.sum(axis=1, keepdims=True)
    return y


@dataclass(frozen=True)
class Softmax(Op):
    """y_k = exp(x_k) / sum_j exp(x_j) in each row; dy_k/dx_j = y_k (1[j = k] - y_j).

    >>> Softmax().apply({}, np.array([[0.0, 0.0]]), None)[0]
    array([[0.5, 0.5]])
    """

    def apply(self, p: Views, x: Array, rng: np.random.Generator | None) -> tuple[Array, Pull]:
        y = softmax(x)

        def pull(d_y: Array, g: Views, wants_x: bool) -> Array | None:
            return y * (d_y - (d_y * y).sum(axis=1, keepdims=True))

        return y, pull


@dataclass(frozen=True)
class LogSoftmax(Op):
    """y_k = x_k - log sum_j exp(x_j) in each row; dy_k/dx_j = 1[j = k] - exp(y_j).

    >>> LogSoftmax().apply({}, np.array([[0.0, 0.0]]), None)[0].round(4)
    array([[-0.6931, -0.6931]])
    """

    def apply(self, p: Views, x: Array, rng: np.random.Generator | None) -> tuple[Array, Pull]:
        y = x - x.max(axis=1, keepdims=True)
        y -= np.log(np.exp(y).sum(axis=1, keepdims=True))

        def pull(d_y: Array, g: Views, wants_x: bool) -> Array | None:
            return d_y - np.exp(y) * d_y.sum(axis=1, keepdims=True)

        return y, pull


ACTIVATIONS: dict[str, Op | None] = {
    "elu": Elu(),
    "exponential": Exponential(),
    "gelu": Gelu(),
    "hard_sigmoid": HardSigmoid(),
    "leaky_relu": Rectify(negative_slope=0.2),
    "linear": None,
    "log_softmax": LogSoftmax(),
    "mish": Mish(),
    "relu": Relu(),
    "relu6": Rectify(max_value=6.0),
    "selu": Elu(alpha=1.6732632423543772, scale=1.0507009873554805),
    "sigmoid": Sigmoid(),
    "silu": Silu(),
    "softmax": Softmax(),
    "softplus": Softplus(),
    "softsign": Softsign(),
    "swish": Silu(),
    "tanh": Tanh(),
}
"""What users type, and the op it means; "linear" means none."""

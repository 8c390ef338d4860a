"""Compiled activations and their derivatives; `core/layers/activation.py` has them in NumPy.

x, y: (n,), inputs and outputs.  q: (n,), intermediate values for the slope.  d: (n,), a derivative, which is
multiplied by the slope.  n: the constants of the activation, in its dtype.
"""

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from firesteel.core.layers import activation as A
from firesteel.core.types import Array, Pull, Stream, Views

__all__ = ["CURVES", "LOOPS", "Bent"]

exps: Any = None
expm1s: Any = None
log1ps: Any = None
tanhs: Any = None
"""Loops of `functions.py`."""


def relu(x: Array, y: Array, q: Array, n: Array) -> None:
    for i in range(x.size):
        y[i] = x[i] if x[i] > 0 or x[i] != x[i] else 0


def relu_slope(x: Array, y: Array, q: Array, d: Array, n: Array) -> None:
    for i in range(x.size):
        d[i] *= y[i] > 0


def rectifier(x: Array, y: Array, q: Array, n: Array) -> None:
    threshold, leak, most, limited = n[0], n[1], n[2], n[3]
    for i in range(x.size):
        if x[i] <= threshold:
            y[i] = (x[i] - threshold) * leak if leak != 0 else leak
        else:
            y[i] = most if limited != 0 and x[i] > most else x[i]


def rectifier_slope(x: Array, y: Array, q: Array, d: Array, n: Array) -> None:
    threshold, leak, most, limited = n[0], n[1], n[2], n[3]
    for i in range(x.size):
        if x[i] <= threshold:
            d[i] *= leak
        elif limited != 0:
            d[i] *= x[i] < most


def hard_sigmoid(x: Array, y: Array, q: Array, n: Array) -> None:
    zero, three, six = n[0], n[1], n[2]
    for i in range(x.size):
        v = x[i] + three
        y[i] = (zero if v < zero else six if v > six else v) / six


def hard_sigmoid_slope(x: Array, y: Array, q: Array, d: Array, n: Array) -> None:
    zero, three, part = n[0], n[1], n[3]
    for i in range(x.size):
        d[i] *= part if abs(x[i]) < three else zero


def hyperbolic(x: Array, y: Array, q: Array, n: Array) -> None:
    tanhs(x, y)


def hyperbolic_slope(x: Array, y: Array, q: Array, d: Array, n: Array) -> None:
    one, two, four, nearly, far = n[0], n[1], n[2], n[3], 0
    for i in range(x.size):
        if one - y[i] * y[i] < nearly:
            q[far] = -two * abs(x[i])
            far += 1
    e = np.empty_like(q[:far])
    exps(q[:far], e)
    far = 0
    for i in range(x.size):
        slope = one - y[i] * y[i]
        if slope < nearly:
            slope = four * e[far] / ((one + e[far]) * (one + e[far]))
            far += 1
        d[i] *= slope


def logistic(x: Array, y: Array, q: Array, n: Array) -> None:
    one, large, far = n[0], n[1], 0
    for i in range(x.size):
        y[i] = -x[i]
    exps(y, q)
    for i in range(x.size):
        y[i] = one / (one + q[i])
        far += q[i] > large
    if far:
        e = np.empty_like(x)
        exps(x, e)
        for i in range(x.size):
            if q[i] > large:
                y[i] = e[i]


def logistic_slope(x: Array, y: Array, q: Array, d: Array, n: Array) -> None:
    most = n[2]
    for i in range(x.size):
        d[i] *= (most if q[i] > most else q[i]) * y[i] * y[i]


def softsign(x: Array, y: Array, q: Array, n: Array) -> None:
    one, most = n[0], n[1]
    for i in range(x.size):
        v = -most if x[i] < -most else most if x[i] > most else x[i]
        q[i] = one + abs(v)
        y[i] = v / q[i]


def softsign_slope(x: Array, y: Array, q: Array, d: Array, n: Array) -> None:
    one = n[0]
    for i in range(x.size):
        part = one / q[i]
        d[i] *= part * part


def exponential(x: Array, y: Array, q: Array, n: Array) -> None:
    exps(x, y)


def exponential_slope(x: Array, y: Array, q: Array, d: Array, n: Array) -> None:
    for i in range(x.size):
        d[i] *= y[i]


def elu(x: Array, y: Array, q: Array, n: Array) -> None:
    zero, alpha, scale = n[0], n[2], n[3]
    for i in range(x.size):
        q[i] = zero if x[i] >= zero else x[i]
    expm1s(q, y)
    for i in range(x.size):
        y[i] = (x[i] if x[i] > zero else alpha * y[i]) * scale


def elu_slope(x: Array, y: Array, q: Array, d: Array, n: Array) -> None:
    zero, one, alpha, scale = n[0], n[1], n[2], n[3]
    e = np.empty_like(x)
    exps(q, e)
    for i in range(x.size):
        d[i] *= (one if x[i] > zero else alpha * e[i]) * scale


def softplus(x: Array, y: Array, q: Array, n: Array) -> None:
    zero = n[0]
    for i in range(x.size):
        y[i] = -abs(x[i])
    exps(y, q)
    log1ps(q, y)
    for i in range(x.size):
        y[i] += zero if x[i] < zero else x[i]


def softplus_slope(x: Array, y: Array, q: Array, d: Array, n: Array) -> None:
    s = np.empty_like(x)
    logistic(x, s, q, n[1:])
    for i in range(x.size):
        d[i] *= s[i]


def silu(x: Array, y: Array, q: Array, n: Array) -> None:
    far, e = n[0], np.empty_like(x)
    logistic(x, q, e, n[1:])
    for i in range(x.size):
        y[i] = (-far if x[i] < -far else x[i]) * q[i]


def silu_slope(x: Array, y: Array, q: Array, d: Array, n: Array) -> None:
    far, one = n[0], n[1]
    for i in range(x.size):
        near = -far if x[i] < -far else far if x[i] > far else x[i]
        d[i] *= ((one - q[i]) * near + one) * q[i]


def mish(x: Array, y: Array, q: Array, n: Array) -> None:
    far, e = n[0], np.empty_like(x)
    softplus(x, y, e, n[1:])
    tanhs(y, q)
    for i in range(x.size):
        y[i] = (-far if x[i] < -far else x[i]) * q[i]


def mish_slope(x: Array, y: Array, q: Array, d: Array, n: Array) -> None:
    far, one = n[0], n[2]
    s, e = np.empty_like(x), np.empty_like(x)
    logistic(x, s, e, n[2:])
    for i in range(x.size):
        near = -far if x[i] < -far else far if x[i] > far else x[i]
        d[i] *= q[i] + near * (one - q[i] * q[i]) * s[i]


def gelu(x: Array, y: Array, q: Array, n: Array) -> None:
    """GELU: write x P(x) to y and P(x), the cumulative normal distribution, to q."""
    zero, one, two, half, far, root, most, ends = n[0], n[1], n[2], n[3], n[4], n[5], n[6], n[7:10]
    bells(x, y, n)
    for i in range(x.size):
        v = x[i] * -root
        size = most if abs(v) > most else abs(v)
        square = size * size
        if size <= ends[0]:
            right = one - size * ratio(square, n[14:24])
        elif size > ends[1]:
            inverse = one / square
            right = y[i] * (ends[2] - inverse * ratio(inverse, n[42:54])) / size
        else:
            right = y[i] * ratio(size, n[24:42])
        q[i] = half * (two - right if v < zero else right)
        y[i] = (-far if x[i] < -far else x[i]) * q[i]


def gelu_slope(x: Array, y: Array, q: Array, d: Array, n: Array) -> None:
    far, scale, bell = n[4], n[10], np.empty_like(x)
    bells(x, bell, n)
    for i in range(x.size):
        near = -far if x[i] < -far else far if x[i] > far else x[i]
        d[i] *= q[i] + near * bell[i] / scale


def bells(x: Array, y: Array, n: Array) -> None:
    """Write exp(-x^2 / 2) to y."""
    half, beyond, steps, step = n[3], n[11], n[12], n[13]
    a, b, c = np.empty_like(x), np.empty_like(x), np.empty_like(x)
    for i in range(x.size):
        size = beyond if abs(x[i]) > beyond else abs(x[i])
        coarse = np.trunc(size * steps) * step
        b[i] = (coarse - size) * (coarse + size) * half
        a[i] = coarse * coarse * -half
    exps(a, y)
    exps(b, c)
    for i in range(x.size):
        y[i] *= c[i]


def ratio(x: Any, n: Array) -> Any:
    """Return the ratio of two polynomials of the same degree; n has the coefficients, numerator first."""
    count = n.size // 2
    above, below = n[0], n[count]
    for k in range(1, count):
        above, below = above * x + n[k], below * x + n[count + k]
    return above / below


LOGISTIC = 1, 1e30, math.inf
GELU = (
    *(0, 1, 2, 0.5, A.FAR, math.sqrt(0.5), 28, 0.46875, 4, 1 / math.sqrt(math.pi), math.sqrt(2 * math.pi)),
    *(40, 16, 0.0625, *(number for table in (A.SMALL, A.MIDDLE, A.LARGE) for part in table for number in part)),
)


def _cut(curve: Any) -> tuple[float, ...]:
    limited = curve.max_value is not None
    return curve.threshold, curve.negative_slope, curve.max_value if limited else 0.0, limited


CURVES: dict[Any, tuple[Callable[..., None], Callable[..., None], Callable[[Any], Any]]] = {
    A.Relu: (relu, relu_slope, lambda curve: ()),
    A.ReLU: (rectifier, rectifier_slope, _cut),
    A.LeakyReLU: (rectifier, rectifier_slope, _cut),
    A.HardSigmoid: (hard_sigmoid, hard_sigmoid_slope, lambda curve: (0, 3, 6, 1 / 6)),
    A.Tanh: (hyperbolic, hyperbolic_slope, lambda curve: (1, 2, 4, A.NEARLY)),
    A.Sigmoid: (logistic, logistic_slope, lambda curve: LOGISTIC),
    A.Softsign: (softsign, softsign_slope, lambda curve: (1, math.inf)),
    A.Exponential: (exponential, exponential_slope, lambda curve: ()),
    A.ELU: (elu, elu_slope, lambda curve: (0, 1, curve.alpha, 1)),
    A.Selu: (elu, elu_slope, lambda curve: (0, 1, curve.alpha, curve.scale)),
    A.Softplus: (softplus, softplus_slope, lambda curve: (0, *LOGISTIC)),
    A.Silu: (silu, silu_slope, lambda curve: (A.FAR, *LOGISTIC)),
    A.Mish: (mish, mish_slope, lambda curve: (A.FAR, 0, *LOGISTIC)),
    A.Gelu: (gelu, gelu_slope, lambda curve: GELU),
}
"""By class: the forward loop, the backward loop, and the constants."""


@functools.cache
def numbers(curve: Any, dtype: str) -> Array:
    """Return an activation's constants as an array; infinity becomes the largest finite number of the dtype."""
    given = np.array([*CURVES[type(curve)][2](curve), 0.0], np.float64)
    return np.minimum(given, np.finfo(dtype).max).astype(dtype)


LOOPS = (
    *(relu, relu_slope, rectifier, rectifier_slope, hard_sigmoid, hard_sigmoid_slope, hyperbolic, hyperbolic_slope),
    *(logistic, logistic_slope, softsign, softsign_slope, exponential, exponential_slope, elu, elu_slope),
    *(softplus, softplus_slope, silu, silu_slope, mish, mish_slope, bells, ratio, gelu, gelu_slope),
)


class Bent:
    """Compiled replacement of an activation layer."""

    random, joint, span = False, False, 1

    def __init__(self, layer: Any, loops: dict[str, Any], dtype: str) -> None:
        forward, slope, _ = CURVES[type(layer)]
        self.forward, self.slope = loops[forward.__name__], loops[slope.__name__]
        self.numbers = numbers(layer, dtype)

    def apply(self, p: Views, x: Array, rng: Stream | None = None) -> tuple[Array, Pull]:
        x = np.ascontiguousarray(x)
        y, q = np.empty_like(x), np.empty(x.size, x.dtype)
        self.forward(x.reshape(-1), y.reshape(-1), q, self.numbers)

        def pull(d_y: Array, g: Views, wants_x: bool) -> Array:
            d = np.ascontiguousarray(d_y)
            self.slope(x.reshape(-1), y.reshape(-1), q, d.reshape(-1), self.numbers)
            return d

        return y, pull

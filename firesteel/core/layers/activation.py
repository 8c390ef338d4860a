"""Activation functions as layers; each layer computes the function and its derivative.

Most are functions of single values; softmax and log-softmax are functions of whole rows.  Values and derivatives are
accurate over the dtype's whole range, including tails and infinities; docs/reliability.md lists the errors.  Names,
defaults and formulas are Keras's.
"""

import math
from collections.abc import Callable
from dataclasses import MISSING

import numpy as np

from firesteel.core import initializers
from firesteel.core.constraints import Constraint
from firesteel.core.elsewhere import meant, unknown
from firesteel.core.initializers import Initializer
from firesteel.core.layer import Layer, Param
from firesteel.core.layers.arguments import constraint, input_dim, input_shape, regularizer
from firesteel.core.layers.reshaping import axis, by_rows, place
from firesteel.core.layout import ones, row_starts
from firesteel.core.regularizers import Regularizer
from firesteel.core.spec import choice, finite, later, number, whole
from firesteel.core.types import Array, Pull, Shape, Stream, Views
from firesteel.errors import ConfigError

__all__ = [
    "ACTIVATIONS",
    "ELU",
    "Activation",
    "ElementwiseActivation",
    "Exponential",
    "Gelu",
    "HardSigmoid",
    "LeakyReLU",
    "LogSoftmax",
    "Mish",
    "PReLU",
    "ReLU",
    "Rectifier",
    "Relu",
    "Selu",
    "Sigmoid",
    "Silu",
    "Softmax",
    "Softplus",
    "Softsign",
    "Tanh",
    "Celu",
    "HardShrink",
    "HardSilu",
    "HardTanh",
    "LogSigmoid",
    "SoftShrink",
    "Squareplus",
]


class ElementwiseActivation(Layer):
    """Base class of elementwise activations."""

    def value_and_slope(self, x: Array) -> tuple[Array, Callable[[], Array]]:
        """Return y = f(x) and a function without arguments that returns dy/dx, both of x's shape and dtype."""
        raise NotImplementedError

    def apply(self, p: Views, x: Array, rng: Stream | None = None) -> tuple[Array, Pull]:
        y, slope = self.value_and_slope(x)

        def pull(d_y: Array, g: Views, wants_x: bool) -> Array | None:
            d_y *= slope()
            return d_y

        return y, pull


class Rectifier:
    """Base class of the ReLU variants: leaky, with a maximum, or with a threshold."""

    negative_slope: float = 0.0
    max_value: float | None = None
    threshold: float = 0.0

    def value_and_slope(self, x: Array) -> tuple[Array, Callable[[], Array]]:
        number, most = x.dtype.type, self.max_value
        below, leak = x <= self.threshold, number(self.negative_slope)
        low = (x - self.threshold) * leak if leak else leak
        if most is None:
            return np.where(below, low, x), lambda: np.where(below, leak, number(1))
        return np.where(below, low, np.minimum(x, most)), lambda: np.where(below, leak, x < most)


class Relu(Rectifier, ElementwiseActivation):
    """Rectified linear unit (ReLU): `y = max(x, 0)`.

    The derivative at 0 is 0.

    Example:
        >>> Relu().apply({}, np.array([[-1.0, 2.0]]))[0]
        array([[0., 2.]])

    Source: Nair and Hinton 2010.
    """

    def value_and_slope(self, x: Array) -> tuple[Array, Callable[[], Array]]:
        y = np.maximum(x, x.dtype.type(0))
        return y, lambda: y > 0


def max_value(given: object) -> float | None:
    """Check the argument `max_value` of `ReLU`: return it as a float, or None for no limit."""
    if given is None:
        return None
    if not 0.0 <= finite(given) < math.inf:
        raise ConfigError(
            f"max_value={given!r}: it must be a number of at least 0, or None for no limit", code="config-value"
        )
    return finite(given)


class ReLU(Rectifier, ElementwiseActivation):
    """Rectified linear unit (ReLU), optionally leaky, with a maximum or with a threshold.

    `y = min(x, max_value)` for x > threshold, and `y = negative_slope (x - threshold)` otherwise.
    The derivative is `negative_slope` at the threshold and 0 at `max_value`.  The shape is unchanged.

    Args:
        max_value: Largest output, at least 0; None for no limit.
        negative_slope: Slope below the threshold, at least 0.
        threshold: Inputs up to this number count as negative, at least 0.
        input_dim: Number of inputs, if this is the first layer; None infers it from the data.
        input_shape: The same as a shape, `(inputs,)`.
        name: Name of the layer in a model; None lets the model choose one.
        trainable: Without effect: the layer has no weights.

    Raises:
        ConfigError: An argument is out of range (`config-value`).

    Example:
        >>> import numpy as np
        >>> from firesteel.layers import ReLU
        >>> ReLU(negative_slope=0.5, max_value=6.0)(np.array([[-1.0, 2.0, 9.0]]))
        array([[-0.5,  2. ,  6. ]])

    Source: Nair and Hinton 2010; Maas et al. 2013 (leaky); Krizhevsky 2010 (limited to 6).
    """

    max_value: float | None = choice(None, max_value)
    negative_slope: float = number(0.0, low=0.0, why="negative_slope is the slope of outputs below the threshold")
    threshold: float = number(0.0, low=0.0, why="threshold is the largest input that counts as negative")
    input_dim: int | None = choice(None, input_dim)
    input_shape: Shape | None = later(choice(None, input_shape))


class LeakyReLU(Rectifier, ElementwiseActivation):
    """Leaky rectified linear unit: `y = x` for x > 0, and `y = negative_slope x` otherwise.

    The shape is unchanged.  The activation named "leaky_relu" has a slope of 0.2, as in Keras.

    Args:
        negative_slope: Slope below 0, at least 0.
        input_dim: Number of inputs, if this is the first layer; None infers it from the data.
        input_shape: The same as a shape, `(inputs,)`.
        name: Name of the layer in a model; None lets the model choose one.
        trainable: Without effect: the layer has no weights.

    Raises:
        ConfigError: `negative_slope` is negative (`config-value`).

    Example:
        >>> import numpy as np
        >>> from firesteel.layers import LeakyReLU
        >>> LeakyReLU()(np.array([[-1.0, 2.0]]))
        array([[-0.3,  2. ]])

    Source: Maas et al. 2013; default slopes as in Keras.
    """

    negative_slope: float = number(0.3, low=0.0, why="negative_slope is the slope of outputs below 0")
    input_dim: int | None = choice(None, input_dim)
    input_shape: Shape | None = later(choice(None, input_shape))


def resolve_shared_axes(given: object) -> tuple[int, ...] | None:
    """Check the argument `shared_axes` of `PReLU`: return a tuple of axes, or None for no shared axes."""
    if given is None:
        return None
    found = tuple(whole(one) or 0 for one in (given if isinstance(given, tuple | list) else [given]))
    if 0 in found or not found:
        raise ConfigError(
            f"shared_axes={given!r}: it must be integers, 1 for the first axis of a row, not 0, the batch axis",
            code="config-value",
        )
    return found


class PReLU(Layer):
    """Parametric rectified linear unit: `y = x` for x > 0, and `y = alpha x` otherwise, with learned alpha.

    Each value of a row has its own alpha, unless `shared_axes` says otherwise.  The shape is unchanged.

    Args:
        alpha_initializer: Initializer of alpha.
        alpha_regularizer: Penalty on alpha, such as `"l2"`; None for no penalty.
        alpha_constraint: Constraint on alpha after each update; None for no constraint.
        shared_axes: Axes of a row along which all values share one alpha: 1 is the first, -1 the last.  For images,
            `(1, 2)` learns one alpha per channel.
        input_dim: Number of inputs, if this is the first layer; None infers it from the data.
        input_shape: The same as a shape, `(inputs,)`.
        name: Name of the layer in a model; None lets the model choose one.
        trainable: Whether training changes the layer's weights.

    Raises:
        ConfigError: An argument has a wrong value (`config-value`) or an unknown name (`config-unknown`), or rows do
            not have an axis in `shared_axes` (`config-shape`).

    Example:
        >>> from firesteel.layers import Input, PReLU
        >>> PReLU(shared_axes=(1, 2))(Input((28, 28, 8))).shape
        (None, 28, 28, 8)

    Source: He et al. 2015, section 2.1.
    """

    alpha_initializer: Initializer | str = choice("zeros", initializers.get)
    alpha_regularizer: Regularizer | str | None = choice(None, regularizer)
    alpha_constraint: Constraint | str | None = choice(None, constraint)
    shared_axes: tuple[int, ...] | None = choice(None, resolve_shared_axes)
    input_dim: int | None = choice(None, input_dim)
    input_shape: Shape | None = later(choice(None, input_shape))

    def params(self, *inputs: Shape) -> dict[str, Param]:
        common = {place(self, one, inputs[0]) for one in self.shared_axes or ()}
        sides = tuple(1 if at in common else side for at, side in enumerate(inputs[0]))
        drawn, penalty = initializers.get(self.alpha_initializer), regularizer(self.alpha_regularizer)
        return {"alpha": Param(sides, drawn, penalty, constraint(self.alpha_constraint))}

    def apply(self, p: Views, x: Array, rng: Stream | None = None) -> tuple[Array, Pull]:
        """Return the outputs of PReLU and a function for backpropagation.

        The gradient of alpha is the sum of `d_y * x` over rows and shared axes, where x <= 0.
        """
        alpha, below = p["alpha"], np.minimum(x, x.dtype.type(0))

        def pull(d_y: Array, g: Views, wants_x: bool) -> Array | None:
            each = np.dot(ones(len(x), x.dtype), (d_y * below).reshape(len(x), -1)).reshape(x.shape[1:])
            common = tuple(at for at, side in enumerate(alpha.shape) if side != each.shape[at])
            g["alpha"][:] = np.add.reduce(each, axis=common, keepdims=True)
            return d_y * np.where(x > 0, x.dtype.type(1), alpha) if wants_x else None

        return np.where(x > 0, x, alpha * below), pull


class HardSigmoid(ElementwiseActivation):
    """Hard sigmoid, a piecewise linear sigmoid: `y = min(max(x + 3, 0), 6) / 6`.

    The derivative at -3 and 3 is 0.

    Example:
        >>> HardSigmoid().apply({}, np.array([[-4.0, 0.0, 1.5]]))[0]
        array([[0.  , 0.5 , 0.75]])

    Source: Howard et al. 2019, section 5.2.
    """

    def value_and_slope(self, x: Array) -> tuple[Array, Callable[[], Array]]:
        return np.clip(x + 3, 0, 6) / 6, lambda: (np.abs(x) < 3) * x.dtype.type(1 / 6)


class HardSilu(ElementwiseActivation):
    """Hard SiLU, also called hard swish: `y = x min(max(x + 3, 0), 6) / 6`.

    `dy/dx = (2 x + 3) / 6` for -3 <= x <= 3.  At these two points the one-sided derivatives from inside are used,
    -1/2 and 3/2.

    Example:
        >>> HardSilu().apply({}, np.array([[-4.0, 1.5, 4.0]]))[0]
        array([[-0.   ,  1.125,  4.   ]])

    Source: Howard et al. 2019, section 5.2.
    """

    def value_and_slope(self, x: Array) -> tuple[Array, Callable[[], Array]]:
        y = np.maximum(x, -3) * (np.clip(x + 3, 0, 6) / 6)
        near = np.clip(x, -3, 3)
        return y, lambda: np.where(near == x, (near + (near + 3)) / 6, x > 0)


class HardTanh(ElementwiseActivation):
    """Hard hyperbolic tangent: `y = min(max(x, -1), 1)`.

    The derivative at -1 and 1 is 0.

    Example:
        >>> HardTanh().apply({}, np.array([[-4.0, 0.5]]))[0]
        array([[-1. ,  0.5]])

    Source: Collobert 2004.
    """

    def value_and_slope(self, x: Array) -> tuple[Array, Callable[[], Array]]:
        return np.clip(x, -1, 1), lambda: np.abs(x) < 1


class HardShrink(ElementwiseActivation):
    """Hard shrinkage (hard thresholding): `y = x` for |x| > threshold, and 0 otherwise.

    Args:
        threshold: Largest absolute value that is set to 0, at least 0.

    Example:
        >>> HardShrink().apply({}, np.array([[-4.0, 0.5]]))[0]
        array([[-4.,  0.]])

    Source: Donoho and Johnstone 1994.
    """

    threshold: float = number(0.5, low=0.0, why="threshold is the largest absolute value that is set to 0")

    def value_and_slope(self, x: Array) -> tuple[Array, Callable[[], Array]]:
        inside = np.abs(x) <= self.threshold
        return np.where(inside, x.dtype.type(0), x), lambda: ~inside


class SoftShrink(ElementwiseActivation):
    """Soft shrinkage (soft thresholding): `y = sign(x) max(|x| - threshold, 0)`.

    Args:
        threshold: Number subtracted from the absolute value, at least 0.

    Example:
        >>> SoftShrink().apply({}, np.array([[-4.0, 0.5, 2.0]]))[0]
        array([[-3.5,  0. ,  1.5]])

    Source: Donoho and Johnstone 1994.
    """

    threshold: float = number(0.5, low=0.0, why="threshold is the number subtracted from the absolute value")

    def value_and_slope(self, x: Array) -> tuple[Array, Callable[[], Array]]:
        most = x.dtype.type(self.threshold)
        return x - np.clip(x, -most, most), lambda: np.abs(x) > most


class Squareplus(ElementwiseActivation):
    """Squareplus, an algebraic softplus: `y = (x + sqrt(x^2 + b)) / 2`.

    `dy/dx = y / sqrt(x^2 + b)`.  For x < 0, y is computed as `b / 2 / (sqrt(x^2 + b) - x)`, which loses no digits.

    Args:
        b: Size of the curved region around 0, above 0; the output at 0 is `sqrt(b) / 2`.

    Example:
        >>> Squareplus().apply({}, np.array([[0.0, 1.5]]))[0]
        array([[1., 2.]])

    Source: Barron 2021.
    """

    b: float = number(4.0, above=0.0, why="the output at 0 is sqrt(b) / 2")

    def value_and_slope(self, x: Array) -> tuple[Array, Callable[[], Array]]:
        number = x.dtype.type
        half, root = x * number(0.5), np.hypot(x, number(math.sqrt(self.b))) * number(0.5)
        far, most = np.abs(half), np.finfo(x.dtype).max
        with np.errstate(over="ignore"):
            y = np.where(x < 0, number(self.b / 4) / (root + far), far + root)
        return y, lambda: np.minimum(y, most) / np.minimum(root, most / 2) * number(0.5)


NEARLY = 0.02
"""Below this value 1 - y^2 has lost too many digits, in float64 as in float32."""


class Tanh(ElementwiseActivation):
    """Hyperbolic tangent: `y = tanh x`.

    `dy/dx = 1 - y^2`.  Where |y| is close to 1, it is computed as `4 q / (1 + q)^2` with `q = exp(-2 |x|)`, which
    loses no digits.

    Example:
        >>> Tanh().apply({}, np.array([[0.0]]))[0]
        array([[0.]])
    """

    def value_and_slope(self, x: Array) -> tuple[Array, Callable[[], Array]]:
        y = np.tanh(x)

        def slope() -> Array:
            d = y * y
            np.subtract(1, d, out=d)
            if len(far := (d < NEARLY).ravel().nonzero()[0]):
                q = np.exp(-2 * np.abs(x.reshape(-1)[far]))
                d.reshape(-1)[far] = 4 * q / (1 + q) ** 2
            return d

        return y, slope


FAR = 1000.0
"""exp(-|x|) is 0 beyond this value in every dtype; it replaces infinities in products with 0."""


def logistic(x: Array) -> Array:
    """Return the sigmoid of each element, 1 / (1 + exp(-x))."""
    return _logistic(x)[0]


def _logistic(x: Array) -> tuple[Array, Array]:
    """Return the sigmoid s = 1 / (1 + q) and q = exp(-x); the derivative of s is q s^2.

    For large or infinite q, s is computed as exp(x), which is tiny but not 0.
    """
    q = np.negative(x)
    with np.errstate(over="ignore"):
        np.exp(q, out=q)
    s = 1 + q
    np.divide(1, s, out=s)
    far = q > 1e30
    if far.any():
        s[far] = np.exp(x[far])
    return s, q


class Sigmoid(ElementwiseActivation):
    """Sigmoid (logistic function): `y = 1 / (1 + exp(-x))`.

    `dy/dx = y (1 - y)`, computed as `exp(-x) y^2`, which loses no digits.

    Example:
        >>> Sigmoid().apply({}, np.array([[0.0]]))[0]
        array([[0.5]])
    """

    def value_and_slope(self, x: Array) -> tuple[Array, Callable[[], Array]]:
        s, q = _logistic(x)

        def slope() -> Array:
            d = np.minimum(q, np.finfo(q.dtype).max)
            d *= s
            d *= s
            return d

        return s, slope


class Softsign(ElementwiseActivation):
    """Softsign: `y = x / (1 + |x|)`.

    `dy/dx = 1 / (1 + |x|)^2`.

    Example:
        >>> Softsign().apply({}, np.array([[-3.0, 1.0]]))[0]
        array([[-0.75,  0.5 ]])

    Source: Bergstra et al. 2009; Glorot and Bengio 2010.
    """

    def value_and_slope(self, x: Array) -> tuple[Array, Callable[[], Array]]:
        x = np.clip(x, -np.finfo(x.dtype).max, np.finfo(x.dtype).max)
        size = 1 + np.abs(x)
        return x / size, lambda: (1 / size) ** 2


class Exponential(ElementwiseActivation):
    """Exponential function: `y = exp x`.

    `dy/dx = y`.  Beyond the dtype's range y is infinite; training that reaches it has diverged.

    Example:
        >>> Exponential().apply({}, np.array([[0.0]]))[0]
        array([[1.]])
    """

    def value_and_slope(self, x: Array) -> tuple[Array, Callable[[], Array]]:
        with np.errstate(over="ignore"):
            y = np.exp(x)
        return y, lambda: y


class ELU(ElementwiseActivation):
    """Exponential linear unit (ELU): `y = x` for x > 0, and `y = alpha (exp(x) - 1)` otherwise.

    The derivative at 0 is alpha, the one from below.  The shape is unchanged.

    Args:
        alpha: The output tends to -alpha for x to minus infinity.
        input_dim: Number of inputs, if this is the first layer; None infers it from the data.
        input_shape: The same as a shape, `(inputs,)`.
        name: Name of the layer in a model; None lets the model choose one.
        trainable: Without effect: the layer has no weights.

    Raises:
        ConfigError: `alpha` is not a finite number (`config-value`).

    Example:
        >>> import numpy as np
        >>> from firesteel.layers import ELU
        >>> ELU(alpha=2.0)(np.array([[-1e9, 3.0]]))
        array([[-2.,  3.]])

    Source: Clevert et al. 2016.
    """

    alpha: float = number(1.0, why="-alpha is the limit of the outputs for large negative inputs")
    input_dim: int | None = choice(None, input_dim)
    input_shape: Shape | None = later(choice(None, input_shape))

    def value_and_slope(self, x: Array) -> tuple[Array, Callable[[], Array]]:
        low = np.minimum(x, 0)
        y = np.where(x > 0, x, self.alpha * np.expm1(low))
        return y, lambda: np.where(x > 0, 1, self.alpha * np.exp(low))


class Celu(ElementwiseActivation):
    """Continuously differentiable ELU (CELU): `y = x` for x > 0, and `y = alpha (exp(x / alpha) - 1)` otherwise.

    Unlike that of `elu`, its derivative is continuous at 0 for every alpha.

    Args:
        alpha: The output tends to -alpha for x to minus infinity; above 0.

    Example:
        >>> Celu(alpha=2.0).apply({}, np.array([[-1e9, 3.0]]))[0]
        array([[-2.,  3.]])

    Source: Barron 2017.
    """

    alpha: float = number(1.0, above=0.0, why="-alpha is the limit of the outputs for large negative inputs")

    def value_and_slope(self, x: Array) -> tuple[Array, Callable[[], Array]]:
        low = np.minimum(x, 0) / x.dtype.type(self.alpha)
        y = np.where(x > 0, x, np.expm1(low) * x.dtype.type(self.alpha))
        return y, lambda: np.exp(low)


class Selu(ElementwiseActivation):
    """Scaled exponential linear unit (SELU): `y = 1.0507 ELU(x)` with `alpha = 1.67326`.

    These constants preserve mean 0 and variance 1 from layer to layer.

    Example:
        >>> Selu().apply({}, np.array([[-1e9, 1.0]]))[0].round(4)
        array([[-1.7581,  1.0507]])

    Source: Klambauer et al. 2017, section "Self-normalizing".
    """

    alpha, scale = 1.6732632423543772, 1.0507009873554805

    def value_and_slope(self, x: Array) -> tuple[Array, Callable[[], Array]]:
        y, slope = ELU(self.alpha).value_and_slope(x)
        return y * self.scale, lambda: slope() * self.scale


def softplus(x: Array) -> Array:
    """Return log(1 + exp(x)) without overflow."""
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


class Softplus(ElementwiseActivation):
    """Softplus: `y = log(1 + exp x)`.

    `dy/dx = 1 / (1 + exp(-x))`.

    Example:
        >>> Softplus().apply({}, np.array([[0.0]]))[0].round(4)
        array([[0.6931]])

    Source: Dugas et al. 2001.
    """

    def value_and_slope(self, x: Array) -> tuple[Array, Callable[[], Array]]:
        return softplus(x), lambda: logistic(x)


class LogSigmoid(ElementwiseActivation):
    """Logarithm of the sigmoid: `y = -log(1 + exp(-x))`.

    `dy/dx = 1 / (1 + exp x)`.

    Example:
        >>> LogSigmoid().apply({}, np.array([[0.0, -1e4]]))[0].round(4)
        array([[-6.931e-01, -1.000e+04]])
    """

    def value_and_slope(self, x: Array) -> tuple[Array, Callable[[], Array]]:
        return -softplus(-x), lambda: logistic(-x)


class Silu(ElementwiseActivation):
    """Sigmoid linear unit (SiLU), also called swish: `y = x sigmoid(x)`.

    `dy/dx = s (1 + x (1 - s))` with `s = sigmoid(x) = 1 / (1 + exp(-x))`.

    Example:
        >>> Silu().apply({}, np.array([[0.0, 100.0]]))[0]
        array([[  0., 100.]])

    Source: Elfwing et al. 2018; Ramachandran et al. 2017.
    """

    def value_and_slope(self, x: Array) -> tuple[Array, Callable[[], Array]]:
        s, near = logistic(x), np.maximum(x, -FAR)

        def slope() -> Array:
            d = 1 - s
            d *= np.minimum(near, FAR)
            d += 1
            d *= s
            return d

        return near * s, slope


class Mish(ElementwiseActivation):
    """Mish: `y = x tanh(softplus(x))` with `softplus(x) = log(1 + exp x)`.

    `dy/dx = t + x (1 - t^2) / (1 + exp(-x))` with `t = tanh(softplus(x))`.

    Example:
        >>> Mish().apply({}, np.array([[0.0, 100.0]]))[0]
        array([[  0., 100.]])

    Source: Misra 2020.
    """

    def value_and_slope(self, x: Array) -> tuple[Array, Callable[[], Array]]:
        t, near = np.tanh(softplus(x)), np.maximum(x, -FAR)
        return near * t, lambda: t + np.minimum(near, FAR) * (1 - t * t) * logistic(x)


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
"""Numerators and denominators, highest power first, for |x| up to 0.46875, up to 4, and above."""


def _ratio(x: Array, polynomials: tuple[tuple[float, ...], tuple[float, ...]]) -> Array:
    """Return the quotient of two polynomials at x, by Horner's rule, given their coefficients."""
    values = []
    for first, *others in polynomials:
        value = np.full_like(x, first)
        for coefficient in others:
            value *= x
            value += coefficient
        values.append(value)
    return values[0] / values[1]


def gaussian(x: Array) -> Array:
    """Return exp(-x^2 / 2), accurate to the last digits of the dtype.

    x^2 is split into two terms, because exp would amplify its rounding error.
    """
    size = np.minimum(np.abs(x), 40)  # beyond 40 the result is 0 in float64
    coarse = np.trunc(size * 16)
    coarse *= 0.0625  # its square is exact
    left = coarse - size
    left *= np.add(coarse, size, out=size)
    left *= 0.5
    coarse *= coarse
    coarse *= -0.5
    np.exp(coarse, out=coarse)
    coarse *= np.exp(left, out=left)
    return coarse


def erfc(x: Array, far: Array) -> Array:
    """Return the complementary error function, 1 - erf(x), accurate to the last digits of the dtype.

    `erfc(x) = 2 / sqrt(pi)` times the integral of `exp(-t^2)` from x to infinity.  Unlike erf, it remains accurate
    for large x, where erf is 1.

    Args:
        x: Arguments.
        far: `exp(-x^2)`, computed by `gaussian`.

    Example:
        >>> x = np.array([0.0, 5.0]); erfc(x, np.exp(-x * x)).round(14)
        array([1.00e+00, 1.54e-12])

    Source: Cody 1969, "Rational Chebyshev approximations for the error function".
    """
    size = np.minimum(np.abs(x), 28)  # beyond 28 the result is 0 or 2 in float64
    square = size * size
    right = np.where(size <= 0.46875, 1 - size * _ratio(square, SMALL), far * _ratio(size, MIDDLE))
    if (outer := size > 4).any():
        large, inverse = size[outer], 1 / square[outer]
        right[outer] = far[outer] * (1 / math.sqrt(math.pi) - inverse * _ratio(inverse, LARGE)) / large
    return np.where(x < 0, 2 - right, right)


class Gelu(ElementwiseActivation):
    """Gaussian error linear unit (GELU): `y = x P(x)`, P being the standard normal distribution function.

    `dy/dx = P(x) + x exp(-x^2 / 2) / sqrt(2 pi)`.  It is exact, not the tanh approximation: `P(x) = erfc(-x / sqrt 2)
    / 2`.

    Example:
        >>> Gelu().apply({}, np.array([[0.0, 1.0]]))[0].round(4)
        array([[0.    , 0.8413]])

    Source: Hendrycks and Gimpel 2016, exact.
    """

    def value_and_slope(self, x: Array) -> tuple[Array, Callable[[], Array]]:
        far, near = gaussian(x), np.maximum(x, -FAR)
        below = 0.5 * erfc(x * -math.sqrt(0.5), far)
        return near * below, lambda: below + np.minimum(near, FAR) * far / math.sqrt(2 * math.pi)


def softmax(x: Array) -> Array:
    """Return the softmax, exp(x) / sum exp(x), of each row of x (B, O), computed without overflow."""
    y = np.exp(x - x.max(axis=1, keepdims=True))
    y /= y.sum(axis=1, keepdims=True)
    return y


class Softmax(Layer):
    """Softmax: `y_k = exp(x_k) / sum_j exp(x_j)`, which turns the values of a row into probabilities.

    As the last layer it is computed together with a cross-entropy loss, on logits, which stays exact where the two in
    sequence would overflow.  The shape is unchanged.

    Args:
        axis: Axis of a row along which outputs sum to 1: 1 is the first, -1 the last.
        name: Name of the layer in a model; None lets the model choose one.
        trainable: Without effect: the layer has no weights.

    Raises:
        ConfigError: `axis` is 0 or not an integer (`config-value`), or rows do not have it (`config-shape`).

    Example:
        >>> import numpy as np
        >>> from firesteel.layers import Softmax
        >>> Softmax()(np.array([[0.0, 0.0]]))
        array([[0.5, 0.5]])

    Source: Bridle 1990.
    """

    axis: int = axis(-1)

    def output_shape(self, *inputs: Shape) -> Shape:
        if self.axis != -1:
            place(self, self.axis, inputs[0])
        return inputs[0]

    def apply(self, p: Views, x: Array, rng: Stream | None = None) -> tuple[Array, Pull]:
        """Return the softmax of x along `axis` and a function for backpropagation.

        `dy_k/dx_j = y_k (1[j = k] - y_j)`, where 1[j = k] is 1 for j = k and 0 otherwise.

        The outputs sum to 1, so subtracting one number from all derivatives of a row does not change the result.
        That of the largest output is subtracted: its term in the sum is then 0, and no digits are lost near 0 and 1.
        """
        if x.ndim > 2:
            return self.along(x)
        y = softmax(x)

        def pull(d_y: Array, g: Views, wants_x: bool) -> Array | None:
            top = row_starts(*y.shape) + y.argmax(axis=1)
            d = d_y - d_y.reshape(-1)[top][:, None]
            return y * (d - (d * y).sum(axis=1, keepdims=True))

        return y, pull

    def along(self, x: Array) -> tuple[Array, Pull]:
        """Return the softmax along `axis` of x with more than two axes, and a function for backpropagation."""
        at = place(self, self.axis, x.shape[1:]) + 1
        y, back = by_rows(self, {}, swap_with_last(x, at))

        def pull(d_y: Array, g: Views, wants_x: bool) -> Array | None:
            return swap_with_last(back(swap_with_last(d_y, at), g, wants_x), at)

        return swap_with_last(y, at), pull


def swap_with_last(x: Array, at: int) -> Array:
    """Return x with axis `at` and the last axis exchanged, as a contiguous array."""
    return np.ascontiguousarray(x.swapaxes(at, -1))


def log_softmax(x: Array) -> Array:
    """Return the log-softmax, x - log sum exp(x), of each row of x (B, O).

    With the row's maximum subtracted, the sum is 1 plus the other terms, which keep their digits in log1p.
    """
    top = row_starts(*x.shape) + x.argmax(axis=1)
    y = x - x.reshape(-1)[top][:, None]
    others = np.exp(y)
    others.reshape(-1)[top] = 0
    y -= np.log1p(np.dot(others, ones(x.shape[1], x.dtype)))[:, None]
    return y


class LogSoftmax(Layer):
    """Logarithm of softmax: `y_k = x_k - log sum_j exp(x_j)` in each row.

    Example:
        >>> LogSoftmax().apply({}, np.array([[0.0, 0.0]]))[0].round(4)
        array([[-0.6931, -0.6931]])
    """

    def apply(self, p: Views, x: Array, rng: Stream | None = None) -> tuple[Array, Pull]:
        """Return the log-softmax of x along the last axis and a function for backpropagation.

        `dy_k/dx_j = 1[j = k] - exp(y_j)`, where 1[j = k] is 1 for j = k and 0 otherwise.

        `1 - exp(y)` is computed from y, so it keeps its digits where exp(y) is close to 1.
        """
        if x.ndim > 2:
            return by_rows(self, p, x)
        y = log_softmax(x)

        def pull(d_y: Array, g: Views, wants_x: bool) -> Array | None:
            return np.exp(y) * (d_y - d_y.sum(axis=1, keepdims=True)) - d_y * np.expm1(y)

        return y, pull


ACTIVATIONS: dict[str, Layer | None] = {
    "celu": Celu(),
    "elu": ELU(),
    "exponential": Exponential(),
    "gelu": Gelu(),
    "hard_shrink": HardShrink(),
    "hard_sigmoid": HardSigmoid(),
    "hard_silu": HardSilu(),
    "hard_swish": HardSilu(),
    "hard_tanh": HardTanh(),
    "leaky_relu": LeakyReLU(0.2),
    "linear": None,
    "log_sigmoid": LogSigmoid(),
    "log_softmax": LogSoftmax(),
    "mish": Mish(),
    "relu": Relu(),
    "relu6": ReLU(6.0),
    "selu": Selu(),
    "sigmoid": Sigmoid(),
    "silu": Silu(),
    "soft_shrink": SoftShrink(),
    "softmax": Softmax(),
    "softplus": Softplus(),
    "softsign": Softsign(),
    "squareplus": Squareplus(),
    "swish": Silu(),
    "tanh": Tanh(),
}
"""The layer of each activation name; "linear" has none."""


def activation(given: object) -> str:
    """Check an argument `activation`: return the registered name of the activation.

    Args:
        given: A name, compared without case and underscores; a function of `firesteel.activations`; or None for
            "linear".

    Raises:
        ConfigError: No activation has this name (`config-unknown`).
    """
    name = "linear" if given is None else getattr(given, "stands_for", given)
    if not isinstance(name, str):
        raise unknown("an activation", name, ACTIVATIONS)
    known = name if name in ACTIVATIONS else meant(name, ACTIVATIONS)
    if known is None:
        raise unknown("an activation", name, ACTIVATIONS)
    return known


class Activation(Layer):
    """Activation layer: applies an activation function to its inputs.

    The shape is unchanged.

    Args:
        activation: Name of an activation, such as `"relu"`, or a function of `firesteel.activations`; None for
            "linear".
        input_dim: Number of inputs, if this is the first layer; None infers it from the data.
        input_shape: The same as a shape, `(inputs,)`.
        name: Name of the layer in a model; None lets the model choose one.
        trainable: Without effect: the layer has no weights.

    Raises:
        ConfigError: No activation has this name (`config-unknown`).

    Example:
        >>> import numpy as np
        >>> from firesteel.layers import Activation
        >>> Activation("relu")(np.array([[-1.0, 2.0]]))
        array([[0., 2.]])
    """

    activation: str | None = choice(MISSING, activation)
    input_dim: int | None = choice(None, input_dim)
    input_shape: Shape | None = later(choice(None, input_shape))

    def parts(self) -> tuple[Layer, ...]:
        layer = ACTIVATIONS[activation(self.activation)]
        return () if layer is None else (layer,)

"""Optimizers: immutable settings, and a step that updates the whole parameter vector.

A step overwrites its arguments (theta, the moments, and the gradient as scratch).  They are the working copies of the
training loop, and a step that allocates nothing takes half the time of one that does.  The state lives outside, in a
(K, P) array that is averaged, shipped and saved like theta itself.  Letters are the papers'; defaults and the places
of epsilon are Keras 3's.
"""

import functools
import math
from dataclasses import replace
from typing import Any, ClassVar, Self

import numpy as np

from firesteel.core import schedules
from firesteel.core.elsewhere import unknown
from firesteel.core.faster import faster
from firesteel.core.schedules import Schedule, Stretched
from firesteel.core.spec import Spec, choice, flag, integer, later, number, resolver
from firesteel.core.types import Array
from firesteel.errors import ConfigError

__all__ = [
    "LBFGS",
    "SGD",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Lion",
    "Nadam",
    "Optimizer",
    "RMSprop",
]

RATE = "the learning rate is the size of a step"
DECAY = "it is the share of a running average that each step keeps"
FINITE = "it keeps the division finite"


WORDS = {"kernel": "w", "bias": "b", "gamma": "gamma", "beta": "beta", "embeddings": "e", "alpha": "alpha"}
"""The kinds of parameters, and their names in layers."""


def kinds(given: object) -> tuple[str, ...]:
    """Validate one or several kinds of parameters, such as "bias"; raise ConfigError for unknown ones."""
    names = (given,) if isinstance(given, str) else tuple(given) if isinstance(given, tuple | list) else (given,)
    for name in names:
        if not isinstance(name, str) or name not in WORDS:
            raise unknown("a kind of parameter", name, WORDS)
    return names


def scheduled(given: object) -> Schedule:
    """Resolve a learning-rate schedule from an object or its config."""
    schedule: Schedule = schedules.get(given)
    return schedule


def rate(default: float) -> Any:
    """Declare a learning rate: a number, or a schedule."""
    return number(default, low=0.0, why=RATE, other=scheduled)


class Optimizer(Spec, kw_only=True):
    """Base class of optimizers, with the arguments that all of them take.

    Each update first clips the gradient, then decays the weights, takes the step, applies constraints, and averages.

    An optimizer of your own is a subclass with `moments` and `step`; its fields are its arguments.  Class attributes:

    - `moments`: names of the values that a step remembers for each parameter; all start at zero.
    - `searches`: whether it has no `step` but searches along a direction, with the loss of all rows.

    Args:
        learning_rate: The learning rate, at least 0, or a schedule from `firesteel.optimizers.schedules`.
        weight_decay: Decoupled weight decay, at least 0: each update first multiplies the weights by
            `1 - learning_rate weight_decay`.  None for no decay.
        clipnorm: The largest Euclidean norm of the gradient of each parameter array, above 0; None for no clipping.
        clipvalue: The largest absolute value of each derivative, above 0; None for no clipping.
        global_clipnorm: The largest Euclidean norm of the whole gradient, above 0; None for no clipping.  At most one
            of the three may be set.
        exclude_from_weight_decay: The kinds of parameters that do not decay: "kernel", "bias", "gamma", "beta",
            "embeddings" or "alpha", one or several.
        use_ema: Whether the trained model has the exponential moving average of the weights, as in Keras.  Steps are
            still taken from the weights themselves.
        ema_momentum: The share of the old average that is kept at each step, in [0, 1).

    Raises:
        ConfigError: If several ways of clipping are set (`config-value`).

    Example:
        >>> from firesteel.optimizers import Adam
        >>> Adam(0.01, weight_decay=0.004, global_clipnorm=1.0)
        Adam(learning_rate=0.01, weight_decay=0.004, global_clipnorm=1.0)
    """

    moments: ClassVar[tuple[str, ...]] = ()
    searches: ClassVar[bool] = False
    learning_rate: float | Schedule = rate(0.01)
    weight_decay: float | None = number(None, low=0.0, why="each step removes this share of the weights")
    clipnorm: float | None = number(None, above=0.0, why="clipnorm is the largest norm of an array's gradient")
    clipvalue: float | None = number(None, above=0.0, why="clipvalue is the largest absolute value of a derivative")
    global_clipnorm: float | None = number(None, above=0.0, why="global_clipnorm is the largest norm of the gradient")
    exclude_from_weight_decay: tuple[str, ...] = choice((), kinds)
    use_ema: bool = later(flag(False))
    ema_momentum: float = later(number(0.99, low=0.0, below=1.0, why=DECAY))

    def __post_init__(self) -> None:
        super().__post_init__()
        given = [name for name, value in self.clips().items() if value is not None]
        if len(given) > 1:
            raise ConfigError(
                f"{type(self).__name__}: {' and '.join(given)} are set: give one of them", code="config-value"
            )

    @property
    def slots(self) -> tuple[str, ...]:
        """Names of the rows of the state, (K, P): the moments, then with `use_ema` the average of the weights."""
        return (*self.moments, "average") if self.use_ema else self.moments

    def clips(self) -> dict[str, float | None]:
        """Return the clipping settings: clipnorm, clipvalue and global_clipnorm."""
        return {name: getattr(self, name) for name in ("clipnorm", "clipvalue", "global_clipnorm")}

    def step(self, theta: Array, g: Array, s: Array, t: int) -> None:
        """Take one step: update the parameters from the gradient, in place.

        Args:
            theta: The parameters, (P,).
            g: The gradient, (P,); it is used as scratch and holds nothing meaningful afterwards.
            s: The moments, (K, P).
            t: The number of the step, counted from 1.
        """
        raise NotImplementedError

    @property
    def loop(self) -> str | None:
        """Name of the compiled function that takes the same step; None if the step exists in NumPy only."""
        return COMPILED.get(type(self).step)

    def numbers(self, t: int) -> tuple[float, ...]:
        """Return the coefficients of step t as the compiled step needs them.

        Args:
            t: The number of the step, counted from 1.
        """
        raise NotImplementedError

    def stepped(self, theta: Array, g: Array, s: Array, t: int) -> bool:
        """Take one step, in compiled code if that is available and faster, otherwise in NumPy.

        Args:
            theta: The parameters, as in `step`.
            g: The gradient, as in `step`.
            s: The moments, as in `step`.
            t: The number of the step, counted from 1.

        Returns:
            Whether the step was taken.
        """
        name, last = self.loop, len(s) - 1
        loop = faster(name, theta.size) if name else None
        if loop is None:
            return False
        loop(theta, g, s[0], s[min(1, last)], s[min(2, last)], np.array(self.numbers(t), theta.dtype))
        return True

    def rate(self, t: int) -> float:
        """Return the learning rate of step t, counted from 1.

        Args:
            t: The number of the step, counted from 1.
        """
        return self.learning_rate.at(t - 1) if isinstance(self.learning_rate, Schedule) else self.learning_rate

    def at_rate(self, learning_rate: float) -> Self:
        """Return this optimizer with another learning rate.

        Args:
            learning_rate: The learning rate, at least 0.

        Example:
            >>> from firesteel.optimizers import Adam
            >>> Adam(0.01).at_rate(0.1)
            Adam(learning_rate=0.1)
        """
        return replace(self, learning_rate=learning_rate)

    def scaled(self, factor: float, pace: float = 1.0) -> Self:
        """Return this optimizer with its learning rate multiplied by a factor, for training on several shards.

        Args:
            factor: The factor of the learning rate.
            pace: The factor of the steps at which a schedule is read; it has no effect without a schedule.

        Example:
            >>> from firesteel.optimizers import Adam
            >>> Adam(0.01).scaled(2.0)
            Adam(learning_rate=0.02)
        """
        if factor == pace == 1.0:
            return self
        if isinstance(self.learning_rate, Schedule):
            return replace(self, learning_rate=Stretched(self.learning_rate, factor, pace))
        return replace(self, learning_rate=self.learning_rate * factor)


class SGD(Optimizer):
    """Stochastic gradient descent, with momentum and Nesterov's variant.

    `v' = momentum v - rate g`;  `theta' = theta + v'`, or with `nesterov` `theta' = theta + momentum v' - rate g`,
    where g is the gradient and rate the learning rate.

    All optimizers also take the keyword arguments of `Optimizer`: `weight_decay`, `clipnorm`, `clipvalue`,
    `global_clipnorm`, `exclude_from_weight_decay`, `use_ema` and `ema_momentum`.

    Args:
        learning_rate: The learning rate, at least 0, or a schedule from `firesteel.optimizers.schedules`.
        momentum: The share of the velocity v that is kept at each step, in [0, 1); 0 for plain gradient descent.
        nesterov: Whether to use Nesterov momentum.

    Example:
        >>> import numpy as np
        >>> from firesteel.optimizers import SGD
        >>> theta, g, slots = np.array([1.0]), np.array([1.0]), np.zeros((1, 1))
        >>> SGD(learning_rate=0.5).step(theta, g, slots, 1); theta
        array([0.5])

    Source: Sutskever et al. 2013, in Keras's form, with the learning rate inside the velocity.
    """

    moments = ("v",)
    learning_rate: float | Schedule = rate(0.01)
    momentum: float = number(0.0, low=0.0, below=1.0, why="each step keeps this share of the velocity")
    nesterov: bool = flag(False)

    def numbers(self, t: int) -> tuple[float, ...]:
        return -self.rate(t), self.momentum, self.nesterov

    def step(self, theta: Array, g: Array, s: Array, t: int) -> None:
        if self.stepped(theta, g, s, t):
            return
        v = s[0]
        g *= -self.rate(t)
        if not self.momentum:
            theta += g
            return
        v *= self.momentum
        v += g
        if self.nesterov:
            theta += g
            theta += np.multiply(v, self.momentum, out=g)
        else:
            theta += v


class RMSprop(Optimizer):
    """RMSprop: the gradient divided by the root of a running average of its square.

    `v' = rho v + (1 - rho) g^2`;  `theta' = theta - rate g / sqrt(v' + epsilon)`, where g is the gradient and rate
    the learning rate.

    All optimizers also take the keyword arguments of `Optimizer`: `weight_decay`, `clipnorm`, `clipvalue`,
    `global_clipnorm`, `exclude_from_weight_decay`, `use_ema` and `ema_momentum`.

    Args:
        learning_rate: The learning rate, at least 0, or a schedule from `firesteel.optimizers.schedules`.
        rho: The share of the old average that is kept at each step, in [0, 1).
        momentum: The share of the last step that is added, in [0, 1): `theta' = theta - d'` with
            `d' = momentum d + rate g / sqrt(v' + epsilon)`.
        epsilon: A small number that keeps the division finite, above 0.
        centered: Whether to divide by the standard deviation: `v' - a'^2` replaces v', where
            `a' = rho a + (1 - rho) g`.

    Example:
        >>> import numpy as np
        >>> from firesteel.optimizers import RMSprop
        >>> theta, g, slots = np.array([1.0]), np.array([2.0]), np.zeros((1, 1))
        >>> RMSprop(learning_rate=0.1, rho=0.0).step(theta, g, slots, 1); theta.round(6)
        array([0.9])

    Source: Tieleman and Hinton 2012; centered as in Graves 2013.  Epsilon is inside the root, as in Keras 3.
    """

    learning_rate: float | Schedule = rate(0.001)
    rho: float = number(0.9, low=0.0, below=1.0, why=DECAY)
    momentum: float = number(0.0, low=0.0, below=1.0, why="the next step adds this share of the last")
    epsilon: float = number(1e-7, above=0.0, why=FINITE)
    centered: bool = flag(False)

    @property
    def moments(self) -> tuple[str, ...]:  # type: ignore[override]
        return ("v", *(["a"] if self.centered else []), *(["d"] if self.momentum else []))

    def numbers(self, t: int) -> tuple[float, ...]:
        return self.rate(t), self.rho, 1.0 - self.rho, self.epsilon, self.momentum, self.centered

    def step(self, theta: Array, g: Array, s: Array, t: int) -> None:
        if self.stepped(theta, g, s, t):
            return
        v = s[0]
        v *= self.rho
        square = g * g
        square *= 1.0 - self.rho
        v += square
        np.add(v, self.epsilon, out=square)
        if self.centered:
            _average(s[1], g, self.rho)
            square -= s[1] * s[1]
            np.maximum(square, self.epsilon, out=square)  # rounding may have made the variance negative
        np.sqrt(square, out=square)
        g /= square
        g *= self.rate(t)
        if self.momentum:
            d = s[-1]
            d *= self.momentum
            d += g
            g = d
        theta -= g


def _average(mean: Array, g: Array, kept: float) -> None:
    """Update a running average in place: mean' = kept mean + (1 - kept) g."""
    mean *= kept
    mean += g * g.dtype.type(1.0 - kept)


class Adagrad(Optimizer):
    """Adagrad: the gradient divided by the root of the sum of all its squares so far.

    `v' = v + g^2`;  `theta' = theta - rate g / sqrt(v' + initial_accumulator_value + epsilon)`, where g is the
    gradient and rate the learning rate.

    All optimizers also take the keyword arguments of `Optimizer`: `weight_decay`, `clipnorm`, `clipvalue`,
    `global_clipnorm`, `exclude_from_weight_decay`, `use_ema` and `ema_momentum`.

    Args:
        learning_rate: The learning rate, at least 0, or a schedule from `firesteel.optimizers.schedules`.
        initial_accumulator_value: The sum of squares before the first step, at least 0.
        epsilon: A small number that keeps the division finite, above 0.

    Example:
        >>> import numpy as np
        >>> from firesteel.optimizers import Adagrad
        >>> theta, g, slots = np.array([1.0]), np.array([2.0]), np.zeros((1, 1))
        >>> Adagrad(learning_rate=0.1, initial_accumulator_value=0.0).step(theta, g, slots, 1); theta.round(6)
        array([0.9])

    Source: Duchi, Hazan and Singer 2011.  Epsilon is inside the root, as in Keras 3.
    """

    moments = ("v",)
    learning_rate: float | Schedule = rate(0.001)
    initial_accumulator_value: float = number(0.1, low=0.0, why="sums of squares start from this value")
    epsilon: float = number(1e-7, above=0.0, why=FINITE)

    def step(self, theta: Array, g: Array, s: Array, t: int) -> None:
        v = s[0]
        v += g * g
        root = v + v.dtype.type(self.initial_accumulator_value + self.epsilon)
        np.sqrt(root, out=root)
        g *= self.rate(t)
        g /= root
        theta -= g


class Adadelta(Optimizer):
    """Adadelta: steps scaled by running averages of past steps and gradients.

    `v' = rho v + (1 - rho) g^2`;  `d = g sqrt(u + epsilon) / sqrt(v' + epsilon)`;  `u' = rho u + (1 - rho) d^2`;
    `theta' = theta - rate d`, where g is the gradient and rate the learning rate.

    All optimizers also take the keyword arguments of `Optimizer`: `weight_decay`, `clipnorm`, `clipvalue`,
    `global_clipnorm`, `exclude_from_weight_decay`, `use_ema` and `ema_momentum`.

    Args:
        learning_rate: The learning rate, at least 0, or a schedule from `firesteel.optimizers.schedules`.  The paper
            has 1; the default is Keras's.
        rho: The share of the old averages that is kept at each step, in [0, 1).
        epsilon: A small number that keeps the division finite and starts the first steps, above 0.

    Example:
        >>> import numpy as np
        >>> from firesteel.optimizers import Adadelta
        >>> theta, g, slots = np.array([1.0]), np.array([2.0]), np.zeros((2, 1))
        >>> Adadelta(learning_rate=1.0, rho=0.0, epsilon=0.01).step(theta, g, slots, 1); theta.round(3)
        array([0.9])

    Source: Zeiler 2012, algorithm 1.
    """

    moments = ("v", "u")
    learning_rate: float | Schedule = rate(0.001)
    rho: float = number(0.95, low=0.0, below=1.0, why=DECAY)
    epsilon: float = number(1e-7, above=0.0, why=FINITE)

    def step(self, theta: Array, g: Array, s: Array, t: int) -> None:
        v, u = s
        epsilon = g.dtype.type(self.epsilon)
        _average(v, g * g, self.rho)
        g *= np.sqrt(u + epsilon)
        g /= np.sqrt(v + epsilon)
        _average(u, g * g, self.rho)
        g *= self.rate(t)
        theta -= g


class Adam(Optimizer):
    """Adam: steps from running averages of the gradient and of its square.

    `m' = beta_1 m + (1 - beta_1) g`;  `v' = beta_2 v + (1 - beta_2) g^2`;
    `theta' = theta - a m' / (sqrt(v') + epsilon)`, where g is the gradient and
    `a = rate sqrt(1 - beta_2^t) / (1 - beta_1^t)` corrects for averages that start at zero.

    All optimizers also take the keyword arguments of `Optimizer`: `weight_decay`, `clipnorm`, `clipvalue`,
    `global_clipnorm`, `exclude_from_weight_decay`, `use_ema` and `ema_momentum`.

    Args:
        learning_rate: The learning rate, at least 0, or a schedule from `firesteel.optimizers.schedules`.
        beta_1: The share of the old average of the gradient that is kept at each step, in [0, 1).
        beta_2: The share of the old average of the squares that is kept at each step, in [0, 1).
        epsilon: A small number that keeps the division finite, above 0.
        amsgrad: Whether the largest v' so far replaces v'.

    Example:
        >>> import numpy as np
        >>> from firesteel.optimizers import Adam
        >>> theta, g, slots = np.array([1.0]), np.array([2.0]), np.zeros((2, 1))
        >>> Adam(learning_rate=0.1).step(theta, g, slots, 1); theta.round(6)
        array([0.9])

    Source: Kingma and Ba 2015, the form at the end of section 2; epsilon is outside the root and not corrected, as in
    Keras 3.  amsgrad: Reddi et al. 2018, algorithm 2, in the same form.
    """

    learning_rate: float | Schedule = rate(0.001)
    beta_1: float = number(0.9, low=0.0, below=1.0, why=DECAY)
    beta_2: float = number(0.999, low=0.0, below=1.0, why=DECAY)
    epsilon: float = number(1e-7, above=0.0, why=FINITE)
    amsgrad: bool = flag(False)

    @property
    def moments(self) -> tuple[str, ...]:  # type: ignore[override]
        return ("m", "v", "top") if self.amsgrad else ("m", "v")

    @property
    def loop(self) -> str | None:
        return None if self.amsgrad else COMPILED.get(type(self).step)

    def numbers(self, t: int) -> tuple[float, ...]:
        return self.beta_1, self.beta_2, *self._scaled(t)

    def _scaled(self, t: int) -> tuple[float, float]:
        """Return epsilon and learning rate of step t, rescaled for moments stored without (1 - beta)."""
        root = math.sqrt(1.0 - self.beta_2)
        rate = self.rate(t) * math.sqrt(1.0 - self.beta_2**t) / (1.0 - self.beta_1**t)
        return self.epsilon / root, rate * (1.0 - self.beta_1) / root

    def step(self, theta: Array, g: Array, s: Array, t: int) -> None:
        if self.stepped(theta, g, s, t):
            return
        # the slots hold m / (1 - beta_1) and v / (1 - beta_2), which saves two passes over the vectors
        m, v = s[0], s[1]
        epsilon, rate = self._scaled(t)
        m *= self.beta_1
        m += g
        g *= g
        v *= self.beta_2
        v += g
        if self.amsgrad:
            v = np.maximum(s[2], v, out=s[2])
        np.sqrt(v, out=g)
        g += epsilon
        np.divide(m, g, out=g)
        g *= rate
        theta -= g


class AdamW(Adam):
    """Adam with decoupled weight decay.

    Each update first takes `theta' = theta - rate weight_decay theta`, then the step of `Adam`.

    All optimizers also take the keyword arguments of `Optimizer`: `clipnorm`, `clipvalue`, `global_clipnorm`,
    `exclude_from_weight_decay`, `use_ema` and `ema_momentum`.

    Args:
        learning_rate: The learning rate, at least 0, or a schedule from `firesteel.optimizers.schedules`.
        beta_1: The share of the old average of the gradient that is kept at each step, in [0, 1).
        beta_2: The share of the old average of the squares that is kept at each step, in [0, 1).
        epsilon: A small number that keeps the division finite, above 0.
        amsgrad: Whether the largest v' so far replaces v'.
        weight_decay: The share of the weights, times the learning rate, that each update removes; at least 0.

    Example:
        >>> import numpy as np
        >>> from firesteel.optimizers import AdamW
        >>> theta, g, slots = np.array([1.0]), np.array([2.0]), np.zeros((2, 1))
        >>> AdamW(learning_rate=0.1).step(theta, g, slots, 1); theta.round(6)  # the step alone, without the decay
        array([0.9])

    Source: Loshchilov and Hutter 2019, algorithm 2.
    """

    weight_decay: float | None = number(0.004, low=0.0, why="each step removes this share of the weights")


class Adamax(Optimizer):
    """Adamax: Adam with a decaying maximum of |g| in place of the average of squares.

    `m' = beta_1 m + (1 - beta_1) g`;  `u' = max(beta_2 u, |g|)`;
    `theta' = theta - rate / (1 - beta_1^t) m' / (u' + epsilon)`, where g is the gradient and rate the learning rate.

    All optimizers also take the keyword arguments of `Optimizer`: `weight_decay`, `clipnorm`, `clipvalue`,
    `global_clipnorm`, `exclude_from_weight_decay`, `use_ema` and `ema_momentum`.

    Args:
        learning_rate: The learning rate, at least 0, or a schedule from `firesteel.optimizers.schedules`.
        beta_1: The share of the old average of the gradient that is kept at each step, in [0, 1).
        beta_2: The factor by which the largest gradient shrinks at each step, in [0, 1).
        epsilon: A small number that keeps the division finite, above 0.

    Example:
        >>> import numpy as np
        >>> from firesteel.optimizers import Adamax
        >>> theta, g, slots = np.array([1.0]), np.array([2.0]), np.zeros((2, 1))
        >>> Adamax(learning_rate=0.1).step(theta, g, slots, 1); theta.round(6)
        array([0.9])

    Source: Kingma and Ba 2015, algorithm 2, with Keras's epsilon.
    """

    moments = ("m", "u")
    learning_rate: float | Schedule = rate(0.001)
    beta_1: float = number(0.9, low=0.0, below=1.0, why=DECAY)
    beta_2: float = number(0.999, low=0.0, below=1.0, why=DECAY)
    epsilon: float = number(1e-7, above=0.0, why=FINITE)

    def step(self, theta: Array, g: Array, s: Array, t: int) -> None:
        m, u = s
        _average(m, g, self.beta_1)
        u *= self.beta_2
        np.maximum(u, np.abs(g, out=g), out=u)
        np.add(u, u.dtype.type(self.epsilon), out=g)
        np.divide(m, g, out=g)
        g *= self.rate(t) / (1.0 - self.beta_1**t)
        theta -= g


class Nadam(Optimizer):
    """Nadam: Adam with Nesterov momentum.

    `m' = beta_1 m + (1 - beta_1) g`;  `v' = beta_2 v + (1 - beta_2) g^2`;
    `theta' = theta - rate h / (sqrt(v' / (1 - beta_2^t)) + epsilon)`, where g is the gradient, rate the learning
    rate, `h = mu_{t+1} m' / (1 - mu_1 ... mu_{t+1}) + (1 - mu_t) g / (1 - mu_1 ... mu_t)` and
    `mu_t = beta_1 (1 - 0.96^t / 2)`.

    All optimizers also take the keyword arguments of `Optimizer`: `weight_decay`, `clipnorm`, `clipvalue`,
    `global_clipnorm`, `exclude_from_weight_decay`, `use_ema` and `ema_momentum`.

    Args:
        learning_rate: The learning rate, at least 0, or a schedule from `firesteel.optimizers.schedules`.
        beta_1: The share of the old average of the gradient that is kept at each step, in [0, 1).
        beta_2: The share of the old average of the squares that is kept at each step, in [0, 1).
        epsilon: A small number that keeps the division finite, above 0.

    Example:
        >>> import numpy as np
        >>> from firesteel.optimizers import Nadam
        >>> theta, g, slots = np.array([1.0]), np.array([2.0]), np.zeros((2, 1))
        >>> Nadam(learning_rate=0.1).step(theta, g, slots, 1); theta.round(3)
        array([0.894])

    Source: Dozat 2016, algorithm 8, with the momentum schedule of section 3; epsilon as in Keras 3.
    """

    moments = ("m", "v")
    learning_rate: float | Schedule = rate(0.001)
    beta_1: float = number(0.9, low=0.0, below=1.0, why=DECAY)
    beta_2: float = number(0.999, low=0.0, below=1.0, why=DECAY)
    epsilon: float = number(1e-7, above=0.0, why=FINITE)

    def step(self, theta: Array, g: Array, s: Array, t: int) -> None:
        m, v = s
        number = g.dtype.type
        now, ahead = _warming(self.beta_1, t), _warming(self.beta_1, t + 1)
        before = _warmed(self.beta_1, t)
        _average(m, g, self.beta_1)
        _average(v, g * g, self.beta_2)
        root = np.sqrt(v / number(1.0 - self.beta_2**t))
        root += number(self.epsilon)
        g *= number((1.0 - now) / (1.0 - before))
        g += m * number(ahead / (1.0 - before * ahead))
        g *= self.rate(t)
        g /= root
        theta -= g


def _warming(beta_1: float, t: int) -> float:
    """Return mu_t, the momentum of step t in Nadam's schedule."""
    return float(beta_1 * (1.0 - 0.5 * 0.96**t))


BLOCK = 4096
"""Number of products of mu that are cached together."""


def _warmed(beta_1: float, t: int) -> float:
    """Return the product of Nadam's momenta, mu_1 ... mu_t."""
    return 1.0 if t == 0 else float(_products(beta_1, (t - 1) // BLOCK)[(t - 1) % BLOCK])


@functools.lru_cache(maxsize=64)
def _products(beta_1: float, block: int) -> Array:
    """Return the products mu_1 ... mu_t of Nadam's momenta for each t in a block of steps."""
    start = 1.0
    for before in range(block):
        start *= float(_block(beta_1, before > 0)[-1])
    return start * _block(beta_1, block > 0)


@functools.lru_cache(maxsize=64)
def _block(beta_1: float, later: bool) -> Array:
    """Return the products of Nadam's momenta from the start of a block of steps to each step in it."""
    return np.cumprod([_warming(beta_1, t) for t in range(BLOCK * later + 1, BLOCK * later + BLOCK + 1)])


class Lion(Optimizer):
    """Lion: steps of equal size in every parameter, with the sign of an averaged gradient.

    `theta' = theta - rate sign(beta_1 m + (1 - beta_1) g)`;  `m' = beta_2 m + (1 - beta_2) g`, where g is the
    gradient and rate the learning rate.  The best learning rate is usually 3 to 10 times smaller than that of Adam.

    All optimizers also take the keyword arguments of `Optimizer`: `weight_decay`, `clipnorm`, `clipvalue`,
    `global_clipnorm`, `exclude_from_weight_decay`, `use_ema` and `ema_momentum`.

    Args:
        learning_rate: The learning rate, at least 0, or a schedule from `firesteel.optimizers.schedules`.
        beta_1: The share of the average m in the direction of a step, in [0, 1).
        beta_2: The share of the old average that is kept at each step, in [0, 1).

    Example:
        >>> import numpy as np
        >>> from firesteel.optimizers import Lion
        >>> theta, g, slots = np.array([1.0]), np.array([2.0]), np.zeros((1, 1))
        >>> Lion(learning_rate=0.1).step(theta, g, slots, 1); theta.round(6)
        array([0.9])

    Source: Chen et al. 2023, algorithm 2.
    """

    moments = ("m",)
    learning_rate: float | Schedule = rate(0.001)
    beta_1: float = number(0.9, low=0.0, below=1.0, why=DECAY)
    beta_2: float = number(0.99, low=0.0, below=1.0, why=DECAY)

    def step(self, theta: Array, g: Array, s: Array, t: int) -> None:
        m = s[0]
        mixed = m * g.dtype.type(self.beta_1)
        mixed += g * g.dtype.type(1.0 - self.beta_1)
        np.sign(mixed, out=mixed)
        mixed *= self.rate(t)
        theta -= mixed
        _average(m, g, self.beta_2)


class LBFGS(Optimizer):
    """L-BFGS: a quasi-Newton method with a line search, for small data and few parameters.

    `theta' = theta - a H g`, where g is the gradient over all rows and H the inverse Hessian estimated from the last
    `memory` steps.  a starts at learning_rate and is halved until the loss has fallen by at least 1e-4 of what the
    slope predicts (Armijo's condition).

    It needs the loss of all rows at once: train with `fit(strategy="gradient")`.  Weight decay, clipping and
    `use_ema` are refused.

    Args:
        learning_rate: The step size to try first, above 0.
        memory: The number of past steps to keep, 1 to 1000; 3 to 20 are usual.

    Raises:
        ConfigError: For weight decay, clipping, `use_ema`, or memory above 1000 (`config-value`).

    Example:
        >>> import numpy as np
        >>> from firesteel.optimizers import LBFGS
        >>> optimizer, slots = LBFGS(memory=1), np.zeros((3, 1))
        >>> optimizer.remember(slots, s=np.array([2.0]), y=np.array([8.0]))
        >>> optimizer.direction(slots, np.array([4.0]))
        array([-1.])

    Source: Nocedal 1980; Nocedal and Wright 2006, algorithms 7.4 (two loops) and 7.5, skipping pairs without positive
    curvature.
    """

    searches = True
    learning_rate: float = number(1.0, above=0.0, why="learning_rate is the step size to try first")
    memory: int = integer(10, low=1, why="memory is the number of past steps that are stored")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.memory > 1000:
            raise ConfigError(f"LBFGS(memory={self.memory}): memory must be at most 1000", code="config-value")
        if any(
            value is not None for value in (self.weight_decay, self.clipnorm, self.clipvalue, self.global_clipnorm)
        ):
            raise ConfigError(
                "LBFGS takes neither weight_decay nor clipping: penalize weights with kernel_regularizer instead",
                code="config-value",
            )
        if self.use_ema:
            raise ConfigError(
                "LBFGS does not support use_ema: each step lowers the loss, so an average would be of worse weights; "
                "leave out use_ema",
                code="config-value",
            )

    @property
    def moments(self) -> tuple[str, ...]:  # type: ignore[override]
        """Names of the state's rows: the last gradient, then past steps s and gradient changes y, newest first."""
        return ("g", *(f"{letter}{number}" for letter in "sy" for number in range(self.memory)))

    def remember(self, slots: Array, s: Array, y: Array) -> None:
        """Store a step s and the gradient's change y, in place of the oldest pair.

        Args:
            slots: The state, (K, P), changed in place.
            s: The step, (P,).
            y: The change of the gradient along it, (P,).
        """
        if not _dot(s, y) > 1e-10 * _dot(y, y):
            return
        for kept, new in ((slots[1 : 1 + self.memory], s), (slots[1 + self.memory :], y)):
            kept[1:] = kept[:-1].copy()
            kept[0] = new

    def direction(self, slots: Array, g: Array) -> Array:
        """Return the search direction -H g, (P,).

        Args:
            slots: The state, (K, P).
            g: The gradient, (P,).
        """
        pairs = [(s, y) for s, y in zip(slots[1 : 1 + self.memory], slots[1 + self.memory :], strict=True) if y.any()]
        q = g.copy()
        shares = []
        for s, y in pairs:
            shares.append(_dot(s, q) / _dot(s, y))
            q -= y * q.dtype.type(shares[-1])
        if pairs:
            s, y = pairs[0]
            q *= q.dtype.type(_dot(s, y) / _dot(y, y))
        else:
            q *= q.dtype.type(min(1.0, 1.0 / (float(np.abs(g).sum(dtype=np.float64)) or 1.0)))
        for (s, y), share in zip(reversed(pairs), reversed(shares), strict=True):
            q += s * q.dtype.type(share - _dot(y, q) / _dot(s, y))
        return -q


def _dot(a: Array, b: Array) -> float:
    """Return the dot product of two vectors, with bits that depend neither on BLAS nor on threads."""
    return float(np.multiply(a, b, dtype=np.float64).sum())


COMPILED: dict[Any, str] = {Adam.step: "adam", RMSprop.step: "rmsprop", SGD.step: "sgd"}
"""The compiled loop for a `step`; see `fast/kernels/optimizers.py`."""
OPTIMIZERS: dict[str, Spec] = {
    "adadelta": Adadelta(),
    "adagrad": Adagrad(),
    "adam": Adam(),
    "adamax": Adamax(),
    "adamw": AdamW(),
    "lbfgs": LBFGS(),
    "lion": Lion(),
    "nadam": Nadam(),
    "rmsprop": RMSprop(),
    "sgd": SGD(),
}

get = resolver("an optimizer", Optimizer, OPTIMIZERS)

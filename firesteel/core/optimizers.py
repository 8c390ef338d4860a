"""Optimisers: frozen numbers and one step on whole vectors.

A step overwrites the vectors it is given (theta, its moments, and the gradient as scratch): they are the working
copies of whoever runs the loop, and a step that allocates nothing is half the price of one that does.  State lives
outside, in a (K, P) array that averages, ships and saves like theta itself.  Letters are the papers'; defaults and
the places of epsilon are Keras 3's.
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

RATE = "it is the size of a step"
DECAY = "it is the share of the old average that is kept"
FINITE = "it keeps the division finite"


WORDS = {"kernel": "w", "bias": "b", "gamma": "gamma", "beta": "beta", "embeddings": "e", "alpha": "alpha"}
"""What users call the kinds of parameters, and the letters that they have in ops."""


def kinds(given: object) -> tuple[str, ...]:
    """Return the kinds of parameters that were named, one or several."""
    names = (given,) if isinstance(given, str) else tuple(given) if isinstance(given, tuple | list) else (given,)
    for name in names:
        if not isinstance(name, str) or name not in WORDS:
            raise unknown("a kind of parameter", name, WORDS)
    return names


def scheduled(given: object) -> Schedule:
    """Return the schedule that was given as one, or as its config."""
    schedule: Schedule = schedules.get(given)
    return schedule


def rate(default: float) -> Any:
    """Declare a learning rate: a number, or a schedule."""
    return number(default, low=0.0, why=RATE, other=scheduled)


class Optimizer(Spec, kw_only=True):
    """Base of optimisers.

    moments: names of what a step remembers of each parameter, all starting at zero.  searches: whether it has no
    `step` of its own but needs losses too, of all rows at once.
    weight_decay: what each step takes off theta, times the learning rate; None for nothing.
    clipnorm: the largest norm of each parameter array's gradient.  clipvalue: the largest size of its numbers.
    global_clipnorm: the largest norm of the whole gradient.  One of the three, or none.
    exclude_from_weight_decay: kinds of parameters that do not decay: kernel, bias, gamma, beta, embeddings.
    use_ema: whether the model that comes out has the averages of the weights, as in Keras; steps are taken from the
    weights themselves.  ema_momentum: the share of the old average that stays at a step.
    """

    moments: ClassVar[tuple[str, ...]] = ()
    searches: ClassVar[bool] = False
    learning_rate: float | Schedule = rate(0.01)
    weight_decay: float | None = number(None, low=0.0, why="it is what a step takes off the weights")
    clipnorm: float | None = number(None, above=0.0, why="it is the largest norm of an array's gradient")
    clipvalue: float | None = number(None, above=0.0, why="it is the largest size of a derivative")
    global_clipnorm: float | None = number(None, above=0.0, why="it is the largest norm of the gradient")
    exclude_from_weight_decay: tuple[str, ...] = choice((), kinds)
    use_ema: bool = later(flag(False))
    ema_momentum: float = later(number(0.99, low=0.0, below=1.0, why=DECAY))

    def __post_init__(self) -> None:
        super().__post_init__()
        given = [name for name, value in self.clips().items() if value is not None]
        if len(given) > 1:
            raise ConfigError(
                f"{type(self).__name__}: give one of {', '.join(given)}, not several", code="config-value"
            )

    @property
    def slots(self) -> tuple[str, ...]:
        """Names of the rows of the (K, P) state: the moments, then the average of the weights if there is one."""
        return (*self.moments, "average") if self.use_ema else self.moments

    def clips(self) -> dict[str, float | None]:
        """Return the three ways of clipping."""
        return {name: getattr(self, name) for name in ("clipnorm", "clipvalue", "global_clipnorm")}

    def step(self, theta: Array, g: Array, s: Array, t: int) -> None:
        """Move theta (P,) along the gradient g (P,), in place; s: its moments, t counts steps from 1.

        g is used as scratch and holds nothing meaningful afterwards.
        """
        raise NotImplementedError

    @property
    def loop(self) -> str | None:
        """The name of the compiled loop that takes the same step, or None where there is none."""
        return COMPILED.get(type(self).step)

    def numbers(self, t: int) -> tuple[float, ...]:
        """Return the numbers with which that loop takes step t."""
        raise NotImplementedError

    def stepped(self, theta: Array, g: Array, s: Array, t: int) -> bool:
        """Take step t in that loop, where it can be compiled and is worth it; return whether it was taken."""
        name, last = self.loop, len(s) - 1
        loop = faster(name, theta.size) if name else None
        if loop is None:
            return False
        loop(theta, g, s[0], s[min(1, last)], s[min(2, last)], np.array(self.numbers(t), theta.dtype))
        return True

    def rate(self, t: int) -> float:
        """Return the learning rate of step t, counted from 1."""
        return self.learning_rate.at(t - 1) if isinstance(self.learning_rate, Schedule) else self.learning_rate

    def at_rate(self, learning_rate: float) -> Self:
        """Return this optimiser with another learning rate."""
        return replace(self, learning_rate=learning_rate)

    def scaled(self, factor: float, pace: float = 1.0) -> Self:
        """Return this optimiser with its learning rate multiplied; and its schedule's steps, if it has one."""
        if factor == pace == 1.0:
            return self
        if isinstance(self.learning_rate, Schedule):
            return replace(self, learning_rate=Stretched(self.learning_rate, factor, pace))
        return replace(self, learning_rate=self.learning_rate * factor)


class SGD(Optimizer):
    """v' = momentum v - rate g;  theta' = theta + v', or with Nesterov theta + momentum v' - rate g.

    >>> theta = np.array([1.0]); SGD(0.5).step(theta, np.array([1.0]), np.zeros((1, 1)), 1); theta
    array([0.5])

    Source: Sutskever et al. 2013, in Keras's form, where the rate is inside the velocity.
    """

    moments = ("v",)
    learning_rate: float | Schedule = rate(0.01)
    momentum: float = number(0.0, low=0.0, below=1.0, why="it is the share of the velocity that is kept")
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
    """v' = rho v + (1 - rho) g^2;  theta' = theta - rate g / sqrt(v' + epsilon).

    centered: v' - a'^2 stands in place of v', where a' = rho a + (1 - rho) g.
    momentum: theta' = theta - d' with d' = momentum d + rate g / sqrt(v' + epsilon).

    >>> theta = np.array([1.0]); RMSprop(0.1, rho=0.0).step(theta, np.array([2.0]), np.zeros((1, 1)), 1)
    >>> theta.round(6)
    array([0.9])

    Source: Tieleman and Hinton 2012, centered as in Graves 2013; epsilon stands inside the root, as in Keras 3.
    """

    learning_rate: float | Schedule = rate(0.001)
    rho: float = number(0.9, low=0.0, below=1.0, why=DECAY)
    momentum: float = number(0.0, low=0.0, below=1.0, why="it is the share of the last step that is kept")
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
            np.maximum(square, self.epsilon, out=square)  # a variance that rounding made negative is 0
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
    """mean' = kept mean + (1 - kept) g, in place."""
    mean *= kept
    mean += g * g.dtype.type(1.0 - kept)


class Adagrad(Optimizer):
    """v' = v + g^2;  theta' = theta - rate g / sqrt(v' + initial_accumulator_value + epsilon).

    >>> theta = np.array([1.0]); optimizer = Adagrad(0.1, initial_accumulator_value=0.0)
    >>> optimizer.step(theta, np.array([2.0]), np.zeros((1, 1)), 1); theta.round(6)
    array([0.9])

    Source: Duchi, Hazan and Singer 2011; epsilon stands inside the root, as in Keras 3.
    """

    moments = ("v",)
    learning_rate: float | Schedule = rate(0.001)
    initial_accumulator_value: float = number(0.1, low=0.0, why="it is the sum before the first step")
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
    """v' = rho v + (1 - rho) g^2;  d = g sqrt(u + epsilon) / sqrt(v' + epsilon);  u' = rho u + (1 - rho) d^2;

    theta' = theta - rate d.

    >>> theta = np.array([1.0]); optimizer = Adadelta(1.0, rho=0.0, epsilon=0.01)
    >>> optimizer.step(theta, np.array([2.0]), np.zeros((2, 1)), 1); theta.round(3)
    array([0.9])

    Source: Zeiler 2012, algorithm 1; the rate is Keras's, the paper's is 1.
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
    """m' = b1 m + (1 - b1) g;  v' = b2 v + (1 - b2) g^2;  theta' = theta - a m' / (sqrt(v') + epsilon),

    where a = rate sqrt(1 - b2^t) / (1 - b1^t) undoes the moments' start at zero.
    amsgrad: the largest v' so far stands in place of v'.

    >>> theta = np.array([1.0]); Adam(0.1).step(theta, np.array([2.0]), np.zeros((2, 1)), 1); theta.round(6)
    array([0.9])

    Source: Kingma and Ba 2015, the form at the end of their section 2, with epsilon outside the root and not
    corrected, as in Keras 3; amsgrad is Reddi et al. 2018, algorithm 2, likewise.
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
        """Return epsilon and the rate of step t where m / (1 - b1) and v / (1 - b2) stand in place of m and v."""
        root = math.sqrt(1.0 - self.beta_2)
        rate = self.rate(t) * math.sqrt(1.0 - self.beta_2**t) / (1.0 - self.beta_1**t)
        return self.epsilon / root, rate * (1.0 - self.beta_1) / root

    def step(self, theta: Array, g: Array, s: Array, t: int) -> None:
        if self.stepped(theta, g, s, t):
            return
        # the slots are m / (1 - b1) and v / (1 - b2), which saves two passes over the vectors
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
    """Adam, with theta' = theta - rate weight_decay theta before each step.

    >>> theta = np.array([1.0]); AdamW(0.1).step(theta, np.array([2.0]), np.zeros((2, 1)), 1); theta.round(6)
    array([0.9])

    Source: Loshchilov and Hutter 2019, algorithm 2; what is decayed, and when, is in `update.py`.
    """

    weight_decay: float | None = number(0.004, low=0.0, why="it is what a step takes off the weights")


class Adamax(Optimizer):
    """m' = b1 m + (1 - b1) g;  u' = max(b2 u, |g|);  theta' = theta - rate / (1 - b1^t) m' / (u' + epsilon).

    >>> theta = np.array([1.0]); Adamax(0.1).step(theta, np.array([2.0]), np.zeros((2, 1)), 1); theta.round(6)
    array([0.9])

    Source: Kingma and Ba 2015, algorithm 2; epsilon is Keras's.
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
    """m' = b1 m + (1 - b1) g;  v' = b2 v + (1 - b2) g^2;  theta' = theta - rate h / (sqrt(w) + epsilon),

    where w = v' / (1 - b2^t), h = mu_{t+1} m' / (1 - mu_1 ... mu_{t+1}) + (1 - mu_t) g / (1 - mu_1 ... mu_t) and
    mu_t = b1 (1 - 0.96^t / 2).

    >>> theta = np.array([1.0]); Nadam(0.1).step(theta, np.array([2.0]), np.zeros((2, 1)), 1); theta.round(3)
    array([0.894])

    Source: Dozat 2016, algorithm 8, with the momentum schedule of its section 3; epsilon as in Keras 3.
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
    """Return mu_t."""
    return float(beta_1 * (1.0 - 0.5 * 0.96**t))


BLOCK = 4096
"""How many products of mu are kept together."""


def _warmed(beta_1: float, t: int) -> float:
    """Return mu_1 ... mu_t."""
    return 1.0 if t == 0 else float(_products(beta_1, (t - 1) // BLOCK)[(t - 1) % BLOCK])


@functools.lru_cache(maxsize=64)
def _products(beta_1: float, block: int) -> Array:
    """Return the products of mu up to each t of a block of steps."""
    start = 1.0
    for before in range(block):
        start *= float(_block(beta_1, before > 0)[-1])
    return start * _block(beta_1, block > 0)


@functools.lru_cache(maxsize=64)
def _block(beta_1: float, later: bool) -> Array:
    """Return the products of mu from the start of a block to each t of it: in all but the first, mu is beta_1."""
    return np.cumprod([_warming(beta_1, t) for t in range(BLOCK * later + 1, BLOCK * later + BLOCK + 1)])


class Lion(Optimizer):
    """theta' = theta - rate sign(b1 m + (1 - b1) g);  m' = b2 m + (1 - b2) g.

    >>> theta = np.array([1.0]); Lion(0.1).step(theta, np.array([2.0]), np.zeros((1, 1)), 1); theta.round(6)
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
    """theta' = theta - a H g, where H is the inverse Hessian that the last `memory` steps and gradients suggest.

    learning_rate: the first a that is tried; halved until the loss has fallen enough (Armijo, 1e-4 of what the slope
    promises).  memory: pairs of a step and the change of the gradient along it that are kept; 3 to 20 are usual.
    It takes all rows at once: fit(strategy="gradient").  Clipping and weight decay have no place in it.

    >>> optimizer, slots = LBFGS(memory=1), np.zeros((3, 1))
    >>> optimizer.remember(slots, np.array([2.0]), np.array([8.0]))
    >>> optimizer.direction(slots, np.array([4.0]))
    array([-1.])

    Source: Nocedal 1980; Nocedal and Wright 2006, algorithms 7.4 (two loops) and 7.5, with pairs of no positive
    curvature left out.
    """

    searches = True
    learning_rate: float = number(1.0, above=0.0, why="it is the step that is tried first")
    memory: int = integer(10, low=1, why="it is the number of steps remembered")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.memory > 1000:
            raise ConfigError(f"LBFGS(memory={self.memory}): memory must be at most 1000", code="config-value")
        if any(
            value is not None for value in (self.weight_decay, self.clipnorm, self.clipvalue, self.global_clipnorm)
        ):
            raise ConfigError(
                "LBFGS takes neither weight_decay nor clipping: use a kernel_regularizer", code="config-value"
            )
        if self.use_ema:
            raise ConfigError(
                "LBFGS takes no use_ema: each of its steps lowers the loss, and an average would be of worse weights",
                code="config-value",
            )

    @property
    def moments(self) -> tuple[str, ...]:  # type: ignore[override]
        """The last gradient, the steps s and the changes y, the newest first."""
        return ("g", *(f"{letter}{number}" for letter in "sy" for number in range(self.memory)))

    def remember(self, slots: Array, s: Array, y: Array) -> None:
        """Keep the pair of a step s (P,) and the change of the gradient y (P,); in place, the oldest goes."""
        if not _dot(s, y) > 1e-10 * _dot(y, y):
            return
        for kept, new in ((slots[1 : 1 + self.memory], s), (slots[1 + self.memory :], y)):
            kept[1:] = kept[:-1].copy()
            kept[0] = new

    def direction(self, slots: Array, g: Array) -> Array:
        """Return -H g, (P,), by the two loops."""
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
    """Return the product of two vectors, whose bits do not depend on BLAS or its threads."""
    return float(np.multiply(a, b, dtype=np.float64).sum())


COMPILED: dict[Any, str] = {Adam.step: "adam", RMSprop.step: "rmsprop", SGD.step: "sgd"}
"""The loop that does what a `step` does; `fast/kernels/optimizers.py` has them."""
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

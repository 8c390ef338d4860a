"""User-defined classes, one of each family, and a network of them; none is registered."""

import numpy as np

from firesteel.constraints import Constraint
from firesteel.core import initializers
from firesteel.extending import Param, choice, number
from firesteel.initializers import Initializer
from firesteel.layers import Dense, Layer
from firesteel.losses import Loss
from firesteel.metrics import RowMetric
from firesteel.models import Sequential
from firesteel.optimizers import Optimizer
from firesteel.optimizers.schedules import Schedule
from firesteel.regularizers import Regularizer

HALF = 0.5


def halved(x):
    """A function that the classes call."""
    return x * x.dtype.type(HALF)


class Halves(Initializer):
    """Set all weights to one number."""

    value: float = number(0.5, why="it is the weight")

    def draw(self, rng, shape):
        return np.full(shape, self.value)


class Quartic(Regularizer):
    """rate sum w^4."""

    rate: float = 0.001

    def add(self, w, g):
        if g is not None:
            g += 4 * self.rate * w**3
        return float(self.rate * (w**4).sum())


class AtMost(Constraint):
    """Limit weights from above."""

    most: float = 2.0

    def apply(self, w):
        np.minimum(w, self.most, out=w)


class Scale(Layer):
    """y = factor s x / 2, with one learned s for each column."""

    factor: float = number(2.0, above=0.0, why="it multiplies")
    start: Initializer = choice(Halves(), initializers.get)

    def params(self, *inputs):
        return {"s": Param(inputs[0][-1:], self.start, Quartic(), AtMost())}

    def apply(self, p, x, rng=None):
        factor = x.dtype.type(self.factor)
        h = halved(x) * factor

        def pull(d_y, g, wants_x):
            np.sum(h * d_y, axis=0, out=g["s"])
            return halved(d_y * p["s"]) * factor if wants_x else None

        return h * p["s"], pull


class FourthPower(Loss):
    """L = 1/O sum_k (z_k - y_k)^4."""

    def rows(self, z, y):
        r = z - y
        return (r**4).mean(axis=1), z, r**3 * r.dtype.type(4 / r.shape[1])


class Within(RowMetric):
    """The share of outputs within a distance of their targets."""

    larger_is_better = True
    distance: float = 0.5

    def rows(self, p, y):
        return (np.abs(p - y) < self.distance).mean(axis=1)


class Signs(Optimizer, kw_only=True):
    """Sign gradient descent."""

    def step(self, theta, g, s, t):
        theta -= theta.dtype.type(self.rate(t)) * np.sign(g)


class Halving(Schedule):
    """Halve the learning rate every few steps."""

    first: float = 0.01
    steps: int = 10

    def at(self, step):
        return self.first * 0.5 ** (step / self.steps)


ALL = [Halves, Quartic, AtMost, Scale, FourthPower, Within, Signs, Halving]
X = np.random.default_rng(0).normal(size=(96, 3)).astype(np.float32)
Y = (X @ np.array([[1.0], [2.0], [-1.0]], np.float32)) / 2


def model(layer=None, compiled=True):
    """A model of them."""
    made = Sequential([layer or Scale(3.0), Dense(4, "tanh"), Scale(start="ones"), Dense(1)])
    if compiled:
        made.compile(Signs(learning_rate=Halving()), FourthPower(), [Within(0.25), "mae"])
    return made

"""Optimisers: frozen numbers and one step on whole vectors.

A step overwrites the vectors it is given (theta, its moments, and the gradient as scratch): they are the working
copies of whoever runs the loop, and a step that allocates nothing is half the price of one that does.  State lives
outside, in a (K, P) array that averages, ships and saves like theta itself.  Letters are the papers'; defaults and
the places of epsilon are Keras 3's.
"""

import math
from dataclasses import dataclass, replace
from typing import ClassVar, Self

import numpy as np

from firesteel.core.spec import Spec, flag, number, resolver
from firesteel.core.types import Array

__all__ = ["OPTIMIZERS", "SGD", "Adam", "Optimizer", "RMSprop", "get"]

RATE = "it is the size of a step"
DECAY = "it is the share of the old average that is kept"


class Optimizer(Spec):
    """Base of optimisers.  `slots` names the rows of the (K, P) state, all starting at zero."""

    slots: ClassVar[tuple[str, ...]] = ()
    learning_rate: float

    def step(self, theta: Array, g: Array, s: Array, t: int) -> None:
        """Move theta (P,) along the gradient g (P,), in place; s: (K, P) state, t counts steps from 1.

        g is used as scratch and holds nothing meaningful afterwards.
        """
        raise NotImplementedError

    def at_rate(self, learning_rate: float) -> Self:
        """Return this optimiser with another learning rate."""
        return replace(self, learning_rate=learning_rate)  # type: ignore[type-var]

    def scaled(self, factor: float) -> Self:
        """Return this optimiser with its learning rate multiplied."""
        return replace(self, learning_rate=self.learning_rate * factor)  # type: ignore[type-var]


@dataclass(frozen=True)
class SGD(Optimizer):
    """v' = momentum v - rate g;  theta' = theta + v', or with Nesterov theta + momentum v' - rate g.

    >>> theta = np.array([1.0]); SGD(0.5).step(theta, np.array([1.0]), np.zeros((1, 1)), 1); theta
    array([0.5])

    Source: Sutskever et al. 2013, in Keras's form, where the rate is inside the velocity.
    """

    slots = ("v",)
    learning_rate: float = number(0.01, low=0.0, why=RATE)
    momentum: float = number(0.0, low=0.0, below=1.0, why="it is the share of the velocity that is kept")
    nesterov: bool = flag(False)

    def step(self, theta: Array, g: Array, s: Array, t: int) -> None:
        v = s[0]
        g *= -self.learning_rate
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


@dataclass(frozen=True)
class RMSprop(Optimizer):
    """v' = rho v + (1 - rho) g^2;  theta' = theta - rate g / sqrt(v' + epsilon).

    >>> theta = np.array([1.0]); RMSprop(0.1, rho=0.0).step(theta, np.array([2.0]), np.zeros((1, 1)), 1)
    >>> theta.round(6)
    array([0.9])

    Source: Tieleman and Hinton 2012; epsilon stands inside the root, as in Keras 3.
    """

    slots = ("v",)
    learning_rate: float = number(0.001, low=0.0, why=RATE)
    rho: float = number(0.9, low=0.0, below=1.0, why=DECAY)
    epsilon: float = number(1e-7, above=0.0, why="it keeps the division finite")

    def step(self, theta: Array, g: Array, s: Array, t: int) -> None:
        v = s[0]
        v *= self.rho
        square = g * g
        square *= 1.0 - self.rho
        v += square
        np.add(v, self.epsilon, out=square)
        np.sqrt(square, out=square)
        g /= square
        g *= self.learning_rate
        theta -= g


@dataclass(frozen=True)
class Adam(Optimizer):
    """m' = b1 m + (1 - b1) g;  v' = b2 v + (1 - b2) g^2;  theta' = theta - a m' / (sqrt(v') + epsilon),

    where a = rate sqrt(1 - b2^t) / (1 - b1^t) undoes the moments' start at zero.

    >>> theta = np.array([1.0]); Adam(0.1).step(theta, np.array([2.0]), np.zeros((2, 1)), 1); theta.round(6)
    array([0.9])

    Source: Kingma and Ba 2015, the form at the end of their section 2, with epsilon outside the root and not
    corrected, as in Keras 3.
    """

    slots = ("m", "v")
    learning_rate: float = number(0.001, low=0.0, why=RATE)
    beta_1: float = number(0.9, low=0.0, below=1.0, why=DECAY)
    beta_2: float = number(0.999, low=0.0, below=1.0, why=DECAY)
    epsilon: float = number(1e-7, above=0.0, why="it keeps the division finite")

    def step(self, theta: Array, g: Array, s: Array, t: int) -> None:
        # the slots are m / (1 - b1) and v / (1 - b2), which saves two passes over the vectors
        m, v = s
        root = math.sqrt(1.0 - self.beta_2)
        rate = self.learning_rate * math.sqrt(1.0 - self.beta_2**t) / (1.0 - self.beta_1**t)
        m *= self.beta_1
        m += g
        g *= g
        v *= self.beta_2
        v += g
        np.sqrt(v, out=g)
        g += self.epsilon / root
        np.divide(m, g, out=g)
        g *= rate * (1.0 - self.beta_1) / root
        theta -= g


OPTIMIZERS: dict[str, Spec] = {"adam": Adam(), "rmsprop": RMSprop(), "sgd": SGD()}

get = resolver("an optimizer", Optimizer, OPTIMIZERS)

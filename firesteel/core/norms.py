"""Ops that bring what passes to mean 0 and variance 1: over the rows of a batch, or within each row.

They differ in what they learn from: batch normalisation also keeps averages of what it met, which training does not
move by its gradient; `update.py` does.  `layers.py` has the user's words for both.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from firesteel.core import initializers
from firesteel.core.initializers import Initializer
from firesteel.core.ops import Op, ones
from firesteel.core.types import Array, Pull, Stream, Views

__all__ = ["BatchNorm", "LayerNorm"]


class _Norm(Op):
    """What both have: y = gamma xhat + beta, where these are wanted."""

    epsilon: float
    center: bool
    scale: bool

    def shapes(self, inputs: int) -> dict[str, tuple[int, ...]]:
        names = [name for name, wanted in (("gamma", self.scale), ("beta", self.center)) if wanted]
        return {name: (inputs,) for name in names}

    def init(self, name: str) -> Initializer:
        return initializers.Ones() if name in ("gamma", "variance") else initializers.Zeros()

    def scaled(self, p: Views, xhat: Array) -> Array:
        """Return y."""
        y = xhat * p["gamma"] if self.scale else xhat.copy()
        if self.center:
            y += p["beta"]
        return y

    def pulled(self, p: Views, g: Views, xhat: Array, d_y: Array) -> Array:
        """Add the derivatives by gamma and beta into g; return the one by xhat."""
        if self.center:
            g["beta"][:] = _over_rows(d_y)
        if not self.scale:
            return d_y
        g["gamma"][:] = _over_rows(d_y * xhat)
        return d_y * p["gamma"]


def _over_rows(x: Array) -> Array:
    """Return the sum over rows, (O,), of x, (B, O)."""
    return np.dot(ones(len(x), x.dtype), x)


@dataclass(frozen=True)
class BatchNorm(_Norm):
    """In training xhat = (x - m) / sqrt(v + epsilon), with each input's mean m and variance v over the batch.

    In use they are the running averages, mean and variance.  d_x = (d - mean(d) - xhat mean(d xhat)) / sqrt(v + eps),
    where d is the derivative by xhat and the means are over the batch.

    The pull-back writes m and v into the views of the averages, for `update.py`.

    >>> op = BatchNorm()
    >>> p = {"gamma": np.ones(1), "beta": np.zeros(1), "mean": np.array([1.0]), "variance": np.array([4.0])}
    >>> op.apply(p, np.array([[3.0]]), None)[0].round(3)
    array([[1.]])

    Source: Ioffe and Szegedy 2015, algorithms 1 and 2; v is the biased variance in both, as in Keras.
    """

    random = True
    statistics = ("mean", "variance")
    momentum: float = 0.99
    epsilon: float = 1e-3
    center: bool = True
    scale: bool = True

    def shapes(self, inputs: int) -> dict[str, tuple[int, ...]]:
        return super().shapes(inputs) | {"mean": (inputs,), "variance": (inputs,)}

    def apply(self, p: Views, x: Array, rng: Stream | None) -> tuple[Array, Pull]:
        if rng is None:
            root = np.sqrt(p["variance"] + x.dtype.type(self.epsilon))
            xhat = (x - p["mean"]) / root
            return self.scaled(p, xhat), lambda d_y, g, wants_x: self.pulled(p, g, xhat, d_y) / root
        share: Any = x.dtype.type(1.0 / len(x))
        m = _over_rows(x) * share
        xhat = x - m
        v = _over_rows(xhat * xhat) * share
        root = np.sqrt(v + x.dtype.type(self.epsilon))
        xhat /= root

        def pull(d_y: Array, g: Views, wants_x: bool) -> Array | None:
            d = self.pulled(p, g, xhat, d_y)
            g["mean"][:] = m
            g["variance"][:] = v
            return (d - _over_rows(d) * share - xhat * (_over_rows(d * xhat) * share)) / root

        return self.scaled(p, xhat), pull


@dataclass(frozen=True)
class LayerNorm(_Norm):
    """xhat = (x - m) / sqrt(v + epsilon), where m and v are each row's mean and variance over its inputs.

    d_x = (d - mean(d) - xhat mean(d xhat)) / sqrt(v + epsilon), where the means are over the row.

    >>> op = LayerNorm(center=False, scale=False)
    >>> op.apply({}, np.array([[1.0, 3.0]]), None)[0].round(3)
    array([[-1.,  1.]])

    Source: Ba, Kiros and Hinton 2016, equation 4.
    """

    epsilon: float = 1e-3
    center: bool = True
    scale: bool = True

    def apply(self, p: Views, x: Array, rng: Stream | None) -> tuple[Array, Pull]:
        xhat = x - x.mean(axis=1, keepdims=True)
        root = np.sqrt((xhat * xhat).mean(axis=1, keepdims=True) + x.dtype.type(self.epsilon))
        xhat /= root

        def pull(d_y: Array, g: Views, wants_x: bool) -> Array | None:
            d = self.pulled(p, g, xhat, d_y)
            return (d - d.mean(axis=1, keepdims=True) - xhat * (d * xhat).mean(axis=1, keepdims=True)) / root

        return self.scaled(p, xhat), pull

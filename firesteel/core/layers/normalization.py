"""Batch and layer normalisation: mean 0 and variance 1 over the rows of a batch, or within each row.

Batch normalisation also keeps running averages, which no gradient moves; `update.py` does.
"""

from typing import Any

import numpy as np

from firesteel.core import initializers
from firesteel.core.layer import Layer, Param
from firesteel.core.layers.arguments import input_dim, input_shape
from firesteel.core.layers.reshaping import by_rows
from firesteel.core.layout import ones
from firesteel.core.spec import choice, flag, later, number
from firesteel.core.types import Array, Pull, Shape, Stream, Views

__all__ = ["BatchNormalization", "LayerNormalization"]


class _Norm:
    """What both have: y = gamma xhat + beta, where these are wanted."""

    epsilon: float
    center: bool
    scale: bool

    def params(self, *inputs: Shape) -> dict[str, Param]:
        found = {"gamma": Param(inputs[0][-1:], initializers.Ones())} if self.scale else {}
        return found | ({"beta": Param(inputs[0][-1:])} if self.center else {})

    def scaled(self, p: Views, xhat: Array) -> Array:
        """Return y."""
        y = xhat * p["gamma"] if self.scale else xhat.copy()
        if self.center:
            y += p["beta"]
        return y

    def pulled(self, p: Views, g: Views, xhat: Array, d_y: Array) -> Array:
        """Write the derivatives by gamma and beta into g; return the one by xhat."""
        if self.center:
            g["beta"][:] = _over_rows(d_y)
        if not self.scale:
            return d_y
        g["gamma"][:] = _over_rows(d_y * xhat)
        return d_y * p["gamma"]


def _over_rows(x: Array) -> Array:
    """Return the sum over rows, (O,), of x, (B, O)."""
    return np.dot(ones(len(x), x.dtype), x)


class BatchNormalization(_Norm, Layer):
    """Brings each input to mean 0 and variance 1 over the batch; then scales it by gamma and shifts it by beta.

    In training xhat = (x - m) / sqrt(v + epsilon), with each input's mean m and variance v over the batch, and
    y = gamma xhat + beta.  In use m and v are running averages: average' = momentum average + (1 - momentum) batch.
    Rows count alike in the batch, whatever they weigh.  d_x = (d - mean(d) - xhat mean(d xhat)) / sqrt(v + eps),
    where d is the derivative by xhat and the means are over the batch.

    The pull-back writes m and v into the views of the averages, for `update.py`.  Of values of more axes the last one
    has the inputs, and all others count as rows.

    center: whether there is beta.  scale: whether there is gamma.  epsilon: added to variances.

    >>> layer = BatchNormalization()
    >>> p = {"gamma": np.ones(1), "beta": np.zeros(1), "mean": np.array([1.0]), "variance": np.array([4.0])}
    >>> layer.apply(p, np.array([[3.0]]))[0].round(3)
    array([[1.]])

    Source: Ioffe and Szegedy 2015, algorithms 1 and 2.  As in Keras v is the biased variance in both.
    """

    random = True
    momentum: float = number(0.99, low=0.0, below=1.0, why="it is the share of the old average that is kept")
    epsilon: float = number(1e-3, above=0.0, why="it keeps the division finite")
    center: bool = flag(True)
    scale: bool = flag(True)
    input_dim: int | None = choice(None, input_dim)
    input_shape: Shape | None = later(choice(None, input_shape))

    def params(self, *inputs: Shape) -> dict[str, Param]:
        shape = inputs[0][-1:]
        mean = Param(shape, average=self.momentum)
        variance = Param(shape, initializers.Ones(), average=self.momentum)
        return super().params(*inputs) | {"mean": mean, "variance": variance}

    def apply(self, p: Views, x: Array, rng: Stream | None = None) -> tuple[Array, Pull]:
        if x.ndim > 2:
            return by_rows(self, p, x, rng)
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


class LayerNormalization(_Norm, Layer):
    """Brings each row to mean 0 and variance 1 over its inputs; then scales each by gamma and shifts it by beta.

    xhat = (x - m) / sqrt(v + epsilon), where m and v are each row's mean and variance over its inputs, and
    y = gamma xhat + beta.  d_x = (d - mean(d) - xhat mean(d xhat)) / sqrt(v + epsilon), where d is the derivative by
    xhat and the means are over the row.  Of values of more axes the last one is brought to mean 0 and variance 1.

    center: whether there is beta.  scale: whether there is gamma.  epsilon: added to variances.

    >>> layer = LayerNormalization(center=False, scale=False)
    >>> layer.apply({}, np.array([[1.0, 3.0]]))[0].round(3)
    array([[-1.,  1.]])

    Source: Ba, Kiros and Hinton 2016, equation 4; defaults are Keras's.
    """

    epsilon: float = number(1e-3, above=0.0, why="it keeps the division finite")
    center: bool = flag(True)
    scale: bool = flag(True)
    input_dim: int | None = choice(None, input_dim)
    input_shape: Shape | None = later(choice(None, input_shape))

    def apply(self, p: Views, x: Array, rng: Stream | None = None) -> tuple[Array, Pull]:
        if x.ndim > 2:
            return by_rows(self, p, x)
        xhat = x - x.mean(axis=1, keepdims=True)
        root = np.sqrt((xhat * xhat).mean(axis=1, keepdims=True) + x.dtype.type(self.epsilon))
        xhat /= root

        def pull(d_y: Array, g: Views, wants_x: bool) -> Array | None:
            d = self.pulled(p, g, xhat, d_y)
            return (d - d.mean(axis=1, keepdims=True) - xhat * (d * xhat).mean(axis=1, keepdims=True)) / root

        return self.scaled(p, xhat), pull

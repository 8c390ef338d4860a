"""Batch and layer normalisation: mean 0 and variance 1 over the rows of a batch, or within each row.

Batch normalisation also keeps running averages, which no gradient moves; `update.py` does.
"""

from dataclasses import field
from typing import Any, NamedTuple

import numpy as np

from firesteel.core import initializers
from firesteel.core.layer import Joint, Layer, Param
from firesteel.core.layers.arguments import input_dim, input_shape
from firesteel.core.layers.reshaping import axis, by_rows, place
from firesteel.core.layout import ones
from firesteel.core.spec import choice, flag, later, number
from firesteel.core.types import Array, Pull, Shape, Stream, Views
from firesteel.errors import ConfigError

__all__ = ["BatchNormalization", "JointNormalization", "LayerNormalization"]


LAST: dict[str, Any] = {**axis(-1).metadata, "later": lambda number: number != -1}
"""Of a field that is the last axis, as -1 or by its number."""


class _Norm:
    """What both have: y = gamma xhat + beta, where these are wanted."""

    epsilon: float
    center: bool
    scale: bool
    axis: int

    def output_shape(self, *inputs: Shape) -> Shape:
        if place(self, self.axis, inputs[0]) != len(inputs[0]) - 1:  # type: ignore[arg-type]
            raise ConfigError(
                f"{self!r} normalizes along the last axis, {len(inputs[0])} or -1 of a value of shape {inputs[0]}: "
                "leave axis out, or put Permute before it",
                code="config-shape",
            )
        return inputs[0]

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

    center: whether there is beta.  scale: whether there is gamma.  epsilon: added to variances.  axis: the last one,
    -1 or its number; no other is normalized.

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
    axis: int = field(default=-1, kw_only=True, metadata=LAST, repr=False)

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


ROWS = 64
"""Rows that are added one after another in float32; their sums are added in float64.  Changing it changes bits."""


def column_sums(x: Array) -> Array:
    """Return the sum of each column of x, (n, C), in float64."""
    whole = len(x) // ROWS * ROWS
    parts = np.add.reduce(x[:whole].reshape(-1, ROWS, x.shape[1]), axis=1, initial=0)
    parts = np.vstack([parts, np.add.reduce(x[whole:], axis=0, initial=0)])
    total: Array = np.add.reduce(parts.astype(np.float64), axis=0)
    return total


class BatchMoments(NamedTuple):
    """The moments of each channel over a batch, float64.

    Args:
        rows: How many there are.
        mean: Their mean, (C,).
        variance: Their variance, (C,).
        m: The mean in the network's dtype.
        inverse: 1 / sqrt(variance + epsilon), likewise.
    """

    rows: float
    mean: Array
    variance: Array
    m: Array
    inverse: Array


class JointNormalization(Layer):
    """What a `BatchNormalization` does where a batch is cut into pieces: its mean and variance are of all of them.

    A piece has n values of each channel.  Its sums are n, those of x, and those of x^2, which are counted from its
    own mean m: sum (x - m)^2 + m (2 sum x - n m).  All but (x - m)^2 is in float64.
    """

    random = joint = True
    layer: BatchNormalization

    def params(self, *inputs: Shape) -> dict[str, Param]:
        return self.layer.params(*inputs)

    def batch_sums(self, x: Array) -> Array:
        x = x.reshape(-1, x.shape[-1])
        s, n = column_sums(x), max(1, len(x))
        m = (s / n).astype(x.dtype)
        far = m.astype(np.float64)
        squares = column_sums(np.square(x - m)) + far * (2 * s - len(x) * far)
        return np.concatenate([[float(len(x))], s, squares])

    def moments(self, total: Array, dtype: np.dtype[Any]) -> BatchMoments:
        """Return the moments, given the sums over all pieces."""
        mean, spread = (total[1:] / total[0]).reshape(2, -1)
        variance = np.maximum(spread - np.square(mean), 0.0)
        inverse = 1.0 / np.sqrt(variance + self.layer.epsilon)
        return BatchMoments(float(total[0]), mean, variance, mean.astype(dtype), inverse.astype(dtype))

    def write(self, g: Views, own: Array, of: BatchMoments, rows: float) -> None:
        """Write what a piece of so many rows adds to the gradient; own: its sums of d and of d xhat, (2 C,)."""
        by_beta, by_gamma = own.reshape(2, -1)
        if self.layer.center:
            g["beta"][:] = by_beta
        if self.layer.scale:
            g["gamma"][:] = by_gamma
        g["mean"][:] = of.mean * (rows / of.rows)
        g["variance"][:] = of.variance * (rows / of.rows)

    def apply(self, p: Views, x: Array, total: Array | None = None, rng: Stream | None = None) -> tuple[Array, Any]:
        if total is None or rng is None:
            return self.layer.apply(p, x)
        of = self.moments(total, x.dtype)
        xhat = x - of.m
        xhat *= of.inverse
        own, channels = np.zeros(0), x.shape[-1]

        def batch_sums(d_y: Array) -> Array:
            nonlocal own
            d = d_y.reshape(-1, channels)
            own = np.concatenate([column_sums(d), column_sums(d * xhat.reshape(-1, channels))])
            return own

        def pull(d_y: Array, g: Views, wants_x: bool, total: Array) -> Array | None:
            self.write(g, own, of, x.size / channels)
            if not wants_x:
                return None
            by_mean, by_xhat = (total / of.rows).astype(x.dtype).reshape(2, -1)
            d_x = d_y - by_mean
            d_x -= xhat * by_xhat
            d_x *= p["gamma"] * of.inverse if self.layer.scale else of.inverse
            return d_x

        return self.layer.scaled(p, xhat), Joint(batch_sums, pull)


class LayerNormalization(_Norm, Layer):
    """Brings each row to mean 0 and variance 1 over its inputs; then scales each by gamma and shifts it by beta.

    xhat = (x - m) / sqrt(v + epsilon), where m and v are each row's mean and variance over its inputs, and
    y = gamma xhat + beta.  d_x = (d - mean(d) - xhat mean(d xhat)) / sqrt(v + epsilon), where d is the derivative by
    xhat and the means are over the row.  Of values of more axes the last one is brought to mean 0 and variance 1.

    center: whether there is beta.  scale: whether there is gamma.  epsilon: added to variances.  axis: the last one,
    -1 or its number; no other is normalized.

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
    axis: int = field(default=-1, kw_only=True, metadata=LAST, repr=False)

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

"""Batch and layer normalization: mean 0 and variance 1 over the rows of a batch, or within each row.

Batch normalization also maintains running averages.  No gradient changes them; `update.py` updates them.
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


LAST_AXIS: dict[str, Any] = {**axis(-1).metadata, "later": lambda number: number != -1}
"""Field metadata: the field must name the last axis, as -1 or by its number."""


class _Norm:
    """Base class of batch and layer normalization: `y = gamma xhat + beta`, with gamma and beta optional."""

    epsilon: float
    center: bool
    scale: bool
    axis: int

    def output_shape(self, *inputs: Shape) -> Shape:
        if place(self, self.axis, inputs[0]) != len(inputs[0]) - 1:  # type: ignore[arg-type]
            raise ConfigError(
                f"{self!r} normalizes only along the last axis, {len(inputs[0])} or -1 for an input of shape "
                f"{inputs[0]}: leave axis out, or move the axis to the end with Permute",
                code="config-shape",
            )
        return inputs[0]

    def params(self, *inputs: Shape) -> dict[str, Param]:
        found = {"gamma": Param(inputs[0][-1:], initializers.Ones())} if self.scale else {}
        return found | ({"beta": Param(inputs[0][-1:])} if self.center else {})

    def scaled(self, p: Views, xhat: Array) -> Array:
        """Return the outputs `y = gamma xhat + beta`, given the normalized inputs xhat."""
        y = xhat * p["gamma"] if self.scale else xhat.copy()
        if self.center:
            y += p["beta"]
        return y

    def xhat_gradient(self, p: Views, g: Views, xhat: Array, d_y: Array) -> Array:
        """Write the gradients of gamma and beta to g; return the derivative by the normalized inputs xhat."""
        if self.center:
            g["beta"][:] = _over_rows(d_y)
        if not self.scale:
            return d_y
        g["gamma"][:] = _over_rows(d_y * xhat)
        return d_y * p["gamma"]


def _over_rows(x: Array) -> Array:
    """Return the sum of x (B, O) over its rows, (O,)."""
    return np.dot(ones(len(x), x.dtype), x)


class BatchNormalization(_Norm, Layer):
    """Batch normalization: shift and scale each input to mean 0 and variance 1 over the batch.

    `xhat = (x - m) / sqrt(v + epsilon)` and `y = gamma xhat + beta`, with learned gamma and beta.  In training, m and
    v are each input's mean and biased variance over the batch.  At inference they are running averages, updated after
    each training step by `average = momentum average + (1 - momentum) batch`.  Sample weights do not affect m and v.

    The shape is unchanged.  For inputs with more axes, (B, ..., I), the last axis holds the inputs and all other axes
    count as rows.

    Args:
        momentum: Weight of the old average in an update, 0 <= momentum < 1.
        epsilon: Number added to the variance, above 0.
        center: Whether to add beta.
        scale: Whether to multiply by gamma.
        input_dim: Number of inputs, if this is the first layer; None infers it from the data.
        input_shape: The same as a shape, `(inputs,)`.
        axis: The axis to normalize: the last one, as -1 or by its number.  No other axis is supported.
        name: Name of the layer in a model; None lets the model choose one.
        trainable: Whether training changes the layer's weights.

    Raises:
        ConfigError: An argument is out of range (`config-value`), or `axis` is not the last axis (`config-shape`).

    Example:
        >>> from firesteel.layers import BatchNormalization, Input
        >>> BatchNormalization(momentum=0.9)(Input((8,))).shape
        (None, 8)

    Source: Ioffe and Szegedy 2015, algorithms 1 and 2; as in Keras, v is the biased variance also at inference.
    """

    random = True
    momentum: float = number(0.99, low=0.0, below=1.0, why="momentum is the weight of the old average in an update")
    epsilon: float = number(1e-3, above=0.0, why="epsilon is added to the variance to keep the division finite")
    center: bool = flag(True)
    scale: bool = flag(True)
    input_dim: int | None = choice(None, input_dim)
    input_shape: Shape | None = later(choice(None, input_shape))
    axis: int = field(default=-1, kw_only=True, metadata=LAST_AXIS, repr=False)

    def params(self, *inputs: Shape) -> dict[str, Param]:
        shape = inputs[0][-1:]
        mean = Param(shape, average=self.momentum)
        variance = Param(shape, initializers.Ones(), average=self.momentum)
        return super().params(*inputs) | {"mean": mean, "variance": variance}

    def apply(self, p: Views, x: Array, rng: Stream | None = None) -> tuple[Array, Pull]:
        """Return the normalized outputs and a function for backpropagation.

        In training that function also stores the batch's mean m and variance v in g, where `update.py` reads them.

        With d the derivative with respect to xhat: `d_x = (d - mean(d) - xhat mean(d xhat)) / sqrt(v + epsilon)`,
        where the means are over the batch.
        """
        if x.ndim > 2:
            return by_rows(self, p, x, rng)
        if rng is None:
            root = np.sqrt(p["variance"] + x.dtype.type(self.epsilon))
            xhat = (x - p["mean"]) / root
            return self.scaled(p, xhat), lambda d_y, g, wants_x: self.xhat_gradient(p, g, xhat, d_y) / root
        share: Any = x.dtype.type(1.0 / len(x))
        m = _over_rows(x) * share
        xhat = x - m
        v = _over_rows(xhat * xhat) * share
        root = np.sqrt(v + x.dtype.type(self.epsilon))
        xhat /= root

        def pull(d_y: Array, g: Views, wants_x: bool) -> Array | None:
            d = self.xhat_gradient(p, g, xhat, d_y)
            g["mean"][:] = m
            g["variance"][:] = v
            return (d - _over_rows(d) * share - xhat * (_over_rows(d * xhat) * share)) / root

        return self.scaled(p, xhat), pull


ROWS = 64
"""Rows added in sequence in float32; the sums of such groups are added in float64.  Changing it changes bits."""


def column_sums(x: Array) -> Array:
    """Return the sum of each column of x (n, C), in float64."""
    whole = len(x) // ROWS * ROWS
    parts = np.add.reduce(x[:whole].reshape(-1, ROWS, x.shape[1]), axis=1, initial=0)
    parts = np.vstack([parts, np.add.reduce(x[whole:], axis=0, initial=0)])
    total: Array = np.add.reduce(parts.astype(np.float64), axis=0)
    return total


class BatchMoments(NamedTuple):
    """Mean and variance of each channel over a batch.

    Args:
        rows: Number of values per channel.
        mean: Means in float64, (C,).
        variance: Variances in float64, (C,).
        m: Means in the network's dtype.
        inverse: `1 / sqrt(variance + epsilon)` in the network's dtype.
    """

    rows: float
    mean: Array
    variance: Array
    m: Array
    inverse: Array


class JointNormalization(Layer):
    """Batch normalization for a batch that is processed in pieces, with mean and variance over the whole batch.

    Each piece contributes, per channel, its number n of values, the sum of x, and the sum of x^2.  The latter is
    computed from the piece's own mean m: `sum (x - m)^2 + m (2 sum x - n m)`, in float64 except for `(x - m)^2`.
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
        """Return the mean and variance of each channel, given the sums from `batch_sums` over the whole batch."""
        mean, spread = (total[1:] / total[0]).reshape(2, -1)
        variance = np.maximum(spread - np.square(mean), 0.0)
        inverse = 1.0 / np.sqrt(variance + self.layer.epsilon)
        return BatchMoments(float(total[0]), mean, variance, mean.astype(dtype), inverse.astype(dtype))

    def write(self, g: Views, own: Array, of: BatchMoments, rows: float) -> None:
        """Write the contribution of one piece of the batch to the gradient of the layer's parameters.

        Args:
            g: Views of the gradient.
            own: The piece's sums of d and of d xhat, (2 C,).
            of: Moments of the whole batch.
            rows: Number of values per channel in the piece.
        """
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
    """Layer normalization: shift and scale each row to mean 0 and variance 1 over its inputs.

    `xhat = (x - m) / sqrt(v + epsilon)` and `y = gamma xhat + beta`, where m and v are the row's mean and variance
    and gamma and beta are learned.  The shape is unchanged.  For inputs with more axes, (B, ..., I), the last axis is
    normalized.

    Args:
        epsilon: Number added to the variance, above 0.
        center: Whether to add beta.
        scale: Whether to multiply by gamma.
        input_dim: Number of inputs, if this is the first layer; None infers it from the data.
        input_shape: The same as a shape, `(inputs,)`.
        axis: The axis to normalize: the last one, as -1 or by its number.  No other axis is supported.
        name: Name of the layer in a model; None lets the model choose one.
        trainable: Whether training changes the layer's weights.

    Raises:
        ConfigError: An argument is out of range (`config-value`), or `axis` is not the last axis (`config-shape`).

    Example:
        >>> from firesteel.layers import Input, LayerNormalization
        >>> LayerNormalization()(Input((8,))).shape
        (None, 8)

    Source: Ba, Kiros and Hinton 2016, equation 4; defaults as in Keras.
    """

    epsilon: float = number(1e-3, above=0.0, why="epsilon is added to the variance to keep the division finite")
    center: bool = flag(True)
    scale: bool = flag(True)
    input_dim: int | None = choice(None, input_dim)
    input_shape: Shape | None = later(choice(None, input_shape))
    axis: int = field(default=-1, kw_only=True, metadata=LAST_AXIS, repr=False)

    def apply(self, p: Views, x: Array, rng: Stream | None = None) -> tuple[Array, Pull]:
        """Return the normalized outputs and a function for backpropagation.

        `d_x = (d - mean(d) - xhat mean(d xhat)) / sqrt(v + epsilon)`, with means over the row."""
        if x.ndim > 2:
            return by_rows(self, p, x)
        xhat = x - x.mean(axis=1, keepdims=True)
        root = np.sqrt((xhat * xhat).mean(axis=1, keepdims=True) + x.dtype.type(self.epsilon))
        xhat /= root

        def pull(d_y: Array, g: Views, wants_x: bool) -> Array | None:
            d = self.xhat_gradient(p, g, xhat, d_y)
            return (d - d.mean(axis=1, keepdims=True) - xhat * (d * xhat).mean(axis=1, keepdims=True)) / root

        return self.scaled(p, xhat), pull

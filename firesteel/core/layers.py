"""The user's words: layers as frozen specs, named and argued as in Keras, and turned into ops by the network.

`Dense(10, activation="softmax")` becomes affine and softmax; that is all a layer does.  `network.py` strings the
ops together.
"""

import math
from dataclasses import MISSING
from typing import Any

import numpy as np

from firesteel.core import constraints, initializers, regularizers
from firesteel.core.activations import ACTIVATIONS, Elu, Rectify
from firesteel.core.constraints import Constraint
from firesteel.core.elements import Drop, Noise, Scale, Standardize
from firesteel.core.embedding import Lookup
from firesteel.core.initializers import Initializer
from firesteel.core.norms import BatchNorm, LayerNorm
from firesteel.core.ops import Affine, Op
from firesteel.core.regularizers import Regularizer
from firesteel.core.spec import Spec, choice, finite, flag, integer, number, numbers, resolver, unknown, whole
from firesteel.errors import ConfigError

__all__ = [
    "ACTIVATIONS",
    "ELU",
    "LAYERS",
    "OPS",
    "Activation",
    "BatchNormalization",
    "Dense",
    "Dropout",
    "Embedding",
    "Flatten",
    "GaussianNoise",
    "Input",
    "Layer",
    "LayerNormalization",
    "LeakyReLU",
    "Normalization",
    "ReLU",
    "Rescaling",
    "get",
]


def activation(given: object) -> str:
    """Return the registered name; None means "linear"."""
    name = "linear" if given is None else given
    if not isinstance(name, str) or name not in ACTIVATIONS:
        raise unknown("an activation", name, ACTIVATIONS)
    return name


def input_dim(given: object) -> int | None:
    """Return the number of inputs of a first layer, or None where the data decide."""
    if given is None:
        return None
    value = whole(given)
    if value is None or value < 1:
        raise ConfigError(f"input_dim={given!r}: it must be an integer of at least 1", code="config-value")
    return value


def shape(given: object) -> tuple[int, ...]:
    """Return the shape of a row, given as a tuple or as one number."""
    sides = [whole(side) for side in (given if isinstance(given, tuple | list) else [given])]
    if not 0 < len(sides) <= 32 or not all(side is not None and side >= 1 for side in sides):
        raise ConfigError(f"shape={given!r}: it must be integers of at least 1, such as (784,)", code="config-value")
    return tuple(side for side in sides if side is not None)


def max_value(given: object) -> float | None:
    """Return the largest output of a rectifier, or None for no limit."""
    if given is None:
        return None
    if not 0.0 <= finite(given) < math.inf:
        raise ConfigError(f"max_value={given!r}: it must be a number of at least 0, or None", code="config-value")
    return finite(given)


def regularizer(given: object) -> Regularizer | None:
    """Return the regulariser that was given in any form; None means none."""
    return None if given is None else regularizers.get(given)


def constraint(given: object) -> Constraint | None:
    """Return the constraint that was given in any form; None means none."""
    return None if given is None else constraints.get(given)


class Layer(Spec):
    """Base of layers.  `input_dim` may be given on the first one."""

    @property
    def inputs(self) -> int | None:
        """The number of inputs, or None where what comes before decides."""
        return getattr(self, "input_dim", None)

    def ops(self) -> tuple[Op, ...]:
        """Return the ops that this layer stands for, in order."""
        raise NotImplementedError


class Dense(Layer):
    """A fully connected layer: activation(x w + b).

    units: number of outputs.  activation: a name of ACTIVATIONS, such as "relu" (None means "linear").
    kernel_regularizer, bias_regularizer: price on w and b, such as "l2" or L1L2(l2=1e-4); None for none.
    kernel_constraint, bias_constraint: what w and b must satisfy, such as "non_neg" or MaxNorm(3); None for nothing.
    Raises ConfigError for anything else.

    >>> Dense(64, activation="relu", input_dim=784).ops()[1]
    Relu()
    """

    units: int = integer(low=1, why="it is the number of outputs")
    activation: str | None = choice(None, activation)
    use_bias: bool = flag(True)
    kernel_initializer: Initializer | str = choice("glorot_uniform", initializers.get)
    bias_initializer: Initializer | str = choice("zeros", initializers.get)
    kernel_regularizer: Regularizer | str | None = choice(None, regularizer)
    bias_regularizer: Regularizer | str | None = choice(None, regularizer)
    kernel_constraint: Constraint | str | None = choice(None, constraint)
    bias_constraint: Constraint | str | None = choice(None, constraint)
    input_dim: int | None = choice(None, input_dim)

    def ops(self) -> tuple[Op, ...]:
        kernel, bias = initializers.get(self.kernel_initializer), initializers.get(self.bias_initializer)
        op = ACTIVATIONS[activation(self.activation)]
        prices = regularizer(self.kernel_regularizer), regularizer(self.bias_regularizer)
        bounds = constraint(self.kernel_constraint), constraint(self.bias_constraint)
        return (Affine(self.units, self.use_bias, kernel, bias, *prices, *bounds), *([op] if op else []))


class Activation(Layer):
    """An activation on its own, by a name of ACTIVATIONS.

    >>> Activation("tanh").ops()
    (Tanh(),)
    """

    activation: str | None = choice(MISSING, activation)
    input_dim: int | None = choice(None, input_dim)

    def ops(self) -> tuple[Op, ...]:
        op = ACTIVATIONS[activation(self.activation)]
        return (op,) if op else ()


class ReLU(Layer):
    """min(x, max_value) above the threshold, negative_slope (x - threshold) from there down.

    >>> ReLU(max_value=6.0).ops()
    (Rectify(negative_slope=0.0, max_value=6.0, threshold=0.0),)
    """

    max_value: float | None = choice(None, max_value)
    negative_slope: float = number(0.0, low=0.0, why="it is the slope below the threshold")
    threshold: float = number(0.0, low=0.0, why="it is where outputs begin")
    input_dim: int | None = choice(None, input_dim)

    def ops(self) -> tuple[Op, ...]:
        return (Rectify(self.negative_slope, self.max_value, self.threshold),)


class LeakyReLU(Layer):
    """x above 0, negative_slope x from there down; the activation "leaky_relu" has a slope of 0.2.

    >>> LeakyReLU().ops()
    (Rectify(negative_slope=0.3, max_value=None, threshold=0.0),)

    Source: Maas et al. 2013; Keras's slope.
    """

    negative_slope: float = number(0.3, low=0.0, why="it is the slope below 0")
    input_dim: int | None = choice(None, input_dim)

    def ops(self) -> tuple[Op, ...]:
        return (Rectify(self.negative_slope),)


class ELU(Layer):
    """x above 0, alpha (exp(x) - 1) from there down.

    >>> ELU().ops()
    (Elu(alpha=1.0, scale=1.0),)

    Source: Clevert et al. 2016.
    """

    alpha: float = number(1.0, why="less it is the output far below 0")
    input_dim: int | None = choice(None, input_dim)

    def ops(self) -> tuple[Op, ...]:
        return (Elu(self.alpha),)


class Dropout(Layer):
    """Drops a fraction `rate` of its inputs at random while training, and scales up the rest.

    >>> Dropout(0.2).ops()
    (Drop(rate=0.2),)

    Source: Srivastava et al. 2014, in the "inverted" form that leaves prediction untouched.
    """

    rate: float = number(low=0.0, below=1.0, why="it is the fraction of units to drop")
    input_dim: int | None = choice(None, input_dim)

    def ops(self) -> tuple[Op, ...]:
        return (Drop(self.rate),)


class GaussianNoise(Layer):
    """Adds noise drawn from N(0, stddev^2) to its inputs while training.

    >>> GaussianNoise(0.1).ops()
    (Noise(stddev=0.1),)

    Source: Bishop 1995, "Training with noise is equivalent to Tikhonov regularization".
    """

    stddev: float = number(low=0.0, why="it is the standard deviation of the noise")
    input_dim: int | None = choice(None, input_dim)

    def ops(self) -> tuple[Op, ...]:
        return (Noise(self.stddev),)


class Input(Layer):
    """Says the shape of a row, before the first layer: (784,), or (28, 28) for rows of pictures, which are flattened.

    >>> Input((28, 28)).inputs
    784
    """

    shape: tuple[int, ...] = choice(MISSING, shape)

    @property
    def inputs(self) -> int | None:
        return math.prod(self.shape)

    def ops(self) -> tuple[Op, ...]:
        return ()


class Flatten(Layer):
    """Makes a row of numbers of a picture; a row that is one already stays as it is.

    input_shape: the shape of a picture, where this is the first layer.

    >>> Flatten((28, 28)).inputs
    784
    """

    input_shape: tuple[int, ...] | None = choice(None, lambda given: None if given is None else shape(given))

    @property
    def inputs(self) -> int | None:
        return None if self.input_shape is None else math.prod(self.input_shape)

    def ops(self) -> tuple[Op, ...]:
        return ()


class BatchNormalization(Layer):
    """Brings each input to mean 0 and variance 1 over the batch; then scales it by gamma and shifts it by beta.

    In use, running averages of mean and variance take the batch's place: average' = momentum average +
    (1 - momentum) batch.  center: whether there is beta.  scale: whether there is gamma.  epsilon: beside variances.
    Rows count alike in the batch, whatever they weigh.

    >>> BatchNormalization(momentum=0.9).ops()[0].momentum
    0.9

    Source: Ioffe and Szegedy 2015, algorithms 1 and 2; defaults are Keras's.
    """

    momentum: float = number(0.99, low=0.0, below=1.0, why="it is the share of the old average that is kept")
    epsilon: float = number(1e-3, above=0.0, why="it keeps the division finite")
    center: bool = flag(True)
    scale: bool = flag(True)
    input_dim: int | None = choice(None, input_dim)

    def ops(self) -> tuple[Op, ...]:
        return (BatchNorm(self.momentum, self.epsilon, self.center, self.scale),)


class LayerNormalization(Layer):
    """Brings each row to mean 0 and variance 1 over its inputs; then scales each by gamma and shifts it by beta.

    center: whether there is beta.  scale: whether there is gamma.  epsilon: beside variances.

    >>> LayerNormalization().ops()[0].epsilon
    0.001

    Source: Ba, Kiros and Hinton 2016, equation 4; defaults are Keras's.
    """

    epsilon: float = number(1e-3, above=0.0, why="it keeps the division finite")
    center: bool = flag(True)
    scale: bool = flag(True)
    input_dim: int | None = choice(None, input_dim)

    def ops(self) -> tuple[Op, ...]:
        return (LayerNorm(self.epsilon, self.center, self.scale),)


class Embedding(Layer):
    """Learns `output_dim` numbers for each of `input_dim` categories, and puts those of a row's inputs in a row.

    The inputs are whole numbers from 0 to input_dim - 1; n of them become n output_dim outputs, as in Keras after
    Flatten.  Raises ConfigError for settings, and DataError for inputs, that cannot be.

    >>> Embedding(1000, 8).ops()[0].outputs(3)
    24

    Source: Bengio et al. 2003, section 2.
    """

    input_dim: int = integer(low=1, why="it is the number of categories")
    output_dim: int = integer(low=1, why="it is how many numbers stand for a category")
    embeddings_initializer: Initializer | str = choice("uniform", initializers.get)
    embeddings_regularizer: Regularizer | str | None = choice(None, regularizer)
    embeddings_constraint: Constraint | str | None = choice(None, constraint)

    @property
    def inputs(self) -> int | None:
        return None

    def ops(self) -> tuple[Op, ...]:
        first = initializers.get(self.embeddings_initializer)
        price, bound = regularizer(self.embeddings_regularizer), constraint(self.embeddings_constraint)
        return (Lookup(self.input_dim, self.output_dim, first, price, bound),)


class Rescaling(Layer):
    """Multiplies its inputs by `scale` and adds `offset`: pixels 0..255 become 0..1 inside the model.

    >>> Rescaling(1 / 255, input_dim=784).ops()[0].offset
    0.0
    """

    scale: float = number(why="it multiplies the inputs")
    offset: float = number(0.0, why="it is added to the inputs")
    input_dim: int | None = choice(None, input_dim)

    def ops(self) -> tuple[Op, ...]:
        return (Scale(self.scale, self.offset),)


LEAST_DEVIATION = float(np.finfo(np.float32).tiny)
"""What a Normalization divides by must be more than this."""


class Normalization(Layer):
    """Shifts and scales each input to mean 0 and variance 1: (x - mean) / sqrt(variance); or back again.

    mean, variance: one number for each input, or one for all; where none is given, `adapt` or the first `fit` takes
    them from the rows; from sparse rows, mean 0 and the square of each input's largest size.  A variance of 0, of an
    input that never changed, is taken as 1 (Keras divides by 1e-7 there), and so is one below what float32 can divide
    by, of 1e-76.
    invert: x sqrt(variance) + mean.
    Raises ConfigError where they are no finite numbers, or of different lengths.

    >>> Normalization([1.0, 0.0], [4.0, 0.0]).ops()[0].factor
    (0.5, 1.0)
    """

    mean: tuple[float, ...] | None = numbers(None, why="it is taken from the inputs")
    variance: tuple[float, ...] | None = numbers(None, low=0.0, why="its root divides the inputs")
    invert: bool = flag(False)
    input_dim: int | None = choice(None, input_dim)

    def __post_init__(self) -> None:
        super().__post_init__()
        means, variances = len(self.mean or ()), len(self.variance or ())
        if means != variances:
            raise ConfigError(
                f"Normalization has {means} means and {variances} variances: give one each", code="config-shape"
            )

    def adapt(self, data: Any) -> None:
        """Take mean and variance of each column from rows of numbers, (n, I), in float64.

        Raises ConfigError for what is no such array, and where there are mean and variance already.
        """
        try:
            rows = np.asarray(data, np.float64)
        except (TypeError, ValueError):
            rows = np.empty(0)
        if rows.ndim != 2 or not rows.size or not np.isfinite(rows).all():
            raise ConfigError(
                "adapt takes an array of finite numbers, (rows, inputs); for a DataFrame leave it out: the first fit "
                "takes mean and variance from its rows",
                code="config-value",
            )
        if self.mean is not None:
            raise ConfigError("this Normalization has its mean and variance: make a new one", code="config-built")
        object.__setattr__(self, "mean", tuple(rows.mean(axis=0).tolist()))
        object.__setattr__(self, "variance", tuple(rows.var(axis=0).tolist()))

    def ops(self) -> tuple[Op, ...]:
        if self.mean is None or self.variance is None:
            return (Standardize((0.0,), (1.0,)),)
        deviation = (d if d > LEAST_DEVIATION else 1.0 for d in map(math.sqrt, self.variance))
        if not self.invert:
            return (Standardize(self.mean, tuple(1 / d for d in deviation)),)
        scales = tuple(deviation)
        return (Standardize(tuple(-m / d for m, d in zip(self.mean, scales, strict=True)), scales),)


LAYERS: dict[str, Spec] = {
    "Activation": Activation("linear"),
    "BatchNormalization": BatchNormalization(),
    "Dense": Dense(1),
    "Dropout": Dropout(0.5),
    "Embedding": Embedding(1, 1),
    "Flatten": Flatten(),
    "GaussianNoise": GaussianNoise(0.5),
    "Input": Input((1,)),
    "LayerNormalization": LayerNormalization(),
    "ELU": ELU(),
    "LeakyReLU": LeakyReLU(),
    "Normalization": Normalization((0.0,), (1.0,)),
    "ReLU": ReLU(),
    "Rescaling": Rescaling(1.0),
}
"""One example of each layer type: what a saved model may name, and what the test tables run over."""

get = resolver("a layer", Layer, LAYERS)

PLAIN = (Affine, BatchNorm, Drop, LayerNorm, Lookup, Noise, Scale, Standardize)
OPS: dict[str, type[Op]] = {op.__name__: op for op in (*PLAIN, *(type(one) for one in ACTIVATIONS.values() if one))}
"""Every op that layers are made of."""

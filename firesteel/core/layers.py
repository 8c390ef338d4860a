"""The user's words: layers as frozen specs, named and argued as in Keras, and turned into ops by the network.

`Dense(10, activation="softmax")` becomes affine and softmax; that is all a layer does.  `network.py` strings the
ops together.
"""

import math
from dataclasses import MISSING, dataclass

from firesteel.core import initializers, regularizers
from firesteel.core.initializers import Initializer
from firesteel.core.ops import Affine, Drop, Op, Relu, Scale, Sigmoid, Softmax, Standardize, Tanh
from firesteel.core.regularizers import Regularizer
from firesteel.core.spec import Spec, choice, flag, integer, number, numbers, resolver, unknown, whole
from firesteel.errors import ConfigError

__all__ = ["ACTIVATIONS", "LAYERS", "Activation", "Dense", "Dropout", "Layer", "Normalization", "Rescaling", "get"]

ACTIVATIONS: dict[str, Op | None] = {
    "linear": None,
    "relu": Relu(),
    "sigmoid": Sigmoid(),
    "softmax": Softmax(),
    "tanh": Tanh(),
}
"""What users type, and the op it means; "linear" means none."""


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


def regularizer(given: object) -> Regularizer | None:
    """Return the regulariser that was given in any form; None means none."""
    return None if given is None else regularizers.get(given)


class Layer(Spec):
    """Base of layers.  `input_dim` may be given on the first one."""

    input_dim: int | None = None

    def ops(self) -> tuple[Op, ...]:
        """Return the ops that this layer stands for, in order."""
        raise NotImplementedError


@dataclass(frozen=True)
class Dense(Layer):
    """A fully connected layer: activation(x w + b).

    units: number of outputs.  activation: one of relu, tanh, sigmoid, softmax, linear (None means linear).
    kernel_regularizer: price on the weights w, such as "l2" or L1L2(l2=1e-4); None for none.
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
    input_dim: int | None = choice(None, input_dim)

    def ops(self) -> tuple[Op, ...]:
        kernel, bias = initializers.get(self.kernel_initializer), initializers.get(self.bias_initializer)
        op = ACTIVATIONS[activation(self.activation)]
        price = regularizer(self.kernel_regularizer)
        return (Affine(self.units, self.use_bias, kernel, bias, price), *([op] if op else []))


@dataclass(frozen=True)
class Activation(Layer):
    """An activation on its own: relu, tanh, sigmoid, softmax or linear.

    >>> Activation("tanh").ops()
    (Tanh(),)
    """

    activation: str | None = choice(MISSING, activation)
    input_dim: int | None = choice(None, input_dim)

    def ops(self) -> tuple[Op, ...]:
        op = ACTIVATIONS[activation(self.activation)]
        return (op,) if op else ()


@dataclass(frozen=True)
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


@dataclass(frozen=True)
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


@dataclass(frozen=True)
class Normalization(Layer):
    """Shifts and scales each input to mean 0 and variance 1: (x - mean) / sqrt(variance); or back again.

    mean, variance: one number for each input, or one for all.  A variance of 0, of an input that never changed, is
    taken as 1 (Keras divides by 1e-7 there).  invert: x sqrt(variance) + mean.
    Raises ConfigError where they are no finite numbers, or of different lengths.

    >>> Normalization([1.0, 0.0], [4.0, 0.0]).ops()[0].factor
    (0.5, 1.0)
    """

    mean: tuple[float, ...] = numbers(why="it is taken from the inputs")
    variance: tuple[float, ...] = numbers(low=0.0, why="its root divides the inputs")
    invert: bool = flag(False)
    input_dim: int | None = choice(None, input_dim)

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.mean) != len(self.variance):
            raise ConfigError(
                f"Normalization has {len(self.mean)} means and {len(self.variance)} variances: give one each",
                code="config-shape",
            )

    def ops(self) -> tuple[Op, ...]:
        deviation = [math.sqrt(v) or 1.0 for v in self.variance]
        if self.invert:
            pairs = [(-m / d, d) for m, d in zip(self.mean, deviation, strict=True)]
        else:
            pairs = [(m, 1 / d) for m, d in zip(self.mean, deviation, strict=True)]
        return (Standardize(*zip(*pairs, strict=True)),)


LAYERS: dict[str, Spec] = {
    "Activation": Activation("linear"),
    "Dense": Dense(1),
    "Dropout": Dropout(0.5),
    "Normalization": Normalization((0.0,), (1.0,)),
    "Rescaling": Rescaling(1.0),
}
"""One example of each layer type: what a saved model may name, and what the test tables run over."""

get = resolver("a layer", Layer, LAYERS)

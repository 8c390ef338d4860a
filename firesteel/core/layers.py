"""The user's words: layers as frozen specs, named and argued as in Keras, and turned into ops by the network.

`Dense(10, activation="softmax")` becomes affine and softmax; that is all a layer does.  `network.py` strings the
ops together.
"""

from dataclasses import MISSING, dataclass

from firesteel.core import initializers
from firesteel.core.initializers import Initializer
from firesteel.core.ops import Affine, Drop, Op, Relu, Scale, Sigmoid, Softmax, Tanh
from firesteel.core.spec import Spec, choice, flag, integer, number, resolver, unknown, whole
from firesteel.errors import ConfigError

__all__ = ["ACTIVATIONS", "LAYERS", "Activation", "Dense", "Dropout", "Layer", "Rescaling", "get"]

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
    Raises ConfigError for anything else.

    >>> Dense(64, activation="relu", input_dim=784).ops()[1]
    Relu()
    """

    units: int = integer(low=1, why="it is the number of outputs")
    activation: str | None = choice(None, activation)
    use_bias: bool = flag(True)
    kernel_initializer: Initializer | str = choice("glorot_uniform", initializers.get)
    bias_initializer: Initializer | str = choice("zeros", initializers.get)
    input_dim: int | None = choice(None, input_dim)

    def ops(self) -> tuple[Op, ...]:
        kernel, bias = initializers.get(self.kernel_initializer), initializers.get(self.bias_initializer)
        op = ACTIVATIONS[activation(self.activation)]
        return (Affine(self.units, self.use_bias, kernel, bias), *([op] if op else []))


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


LAYERS: dict[str, Spec] = {
    "Activation": Activation("linear"),
    "Dense": Dense(1),
    "Dropout": Dropout(0.5),
    "Rescaling": Rescaling(1.0),
}
"""One example of each layer type: what a saved model may name, and what the test tables run over."""

get = resolver("a layer", Layer, LAYERS)

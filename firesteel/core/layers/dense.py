"""The fully connected layer: sums of all inputs, and an activation behind them."""

import numpy as np

from firesteel.core import initializers
from firesteel.core.constraints import Constraint
from firesteel.core.csr import CSR, Features, product
from firesteel.core.initializers import Initializer
from firesteel.core.layer import Layer, Param, constraint, input_dim, regularizer
from firesteel.core.layers.activation import Activation, activation
from firesteel.core.layout import ones
from firesteel.core.regularizers import Regularizer
from firesteel.core.spec import choice, flag, integer
from firesteel.core.types import Array, Pull, Shape, Stream, Views

__all__ = ["Dense", "Linear"]


class Linear(Layer):
    """y = x w + b.    x: (B, I), sparse or not   w: (I, O)   b: (O,)   y: (B, O)

    >>> Linear(1).apply({"w": np.array([[2.0]]), "b": np.array([1.0])}, np.array([[3.0]]))[0]
    array([[7.]])
    """

    units: int = integer(low=1, why="it is the number of outputs")
    use_bias: bool = flag(True)
    kernel_initializer: Initializer = choice(initializers.GlorotUniform(), initializers.get)
    bias_initializer: Initializer = choice(initializers.Zeros(), initializers.get)
    kernel_regularizer: Regularizer | None = choice(None, regularizer)
    bias_regularizer: Regularizer | None = choice(None, regularizer)
    kernel_constraint: Constraint | None = choice(None, constraint)
    bias_constraint: Constraint | None = choice(None, constraint)

    def output_shape(self, *inputs: Shape) -> Shape:
        return (*inputs[0][:-1], self.units)

    def params(self, *inputs: Shape) -> dict[str, Param]:
        kernel = Param(
            (inputs[0][-1], self.units), self.kernel_initializer, self.kernel_regularizer, self.kernel_constraint
        )
        bias = Param((self.units,), self.bias_initializer, self.bias_regularizer, self.bias_constraint)
        return {"w": kernel} | ({"b": bias} if self.use_bias else {})

    def apply(self, p: Views, x: Features, rng: Stream | None = None) -> tuple[Array, Pull]:
        def pull(d_y: Array, g: Views, wants_x: bool) -> Array | None:
            if isinstance(x, CSR):
                g["w"][:] = product(x.flipped(), d_y)
            else:
                np.dot(x.T, d_y, out=g["w"])
            if self.use_bias:
                np.dot(ones(len(d_y), d_y.dtype), d_y, out=g["b"])  # the sum over rows, by BLAS
            return np.dot(d_y, p["w"].T) if wants_x else None

        y = product(x, p["w"]) if isinstance(x, CSR) else np.dot(x, p["w"])
        if self.use_bias:
            y += p["b"]
        return y, pull


class Dense(Layer):
    """A fully connected layer: activation(x w + b).

    units: number of outputs.  activation: a name of ACTIVATIONS, such as "relu" (None means "linear").
    kernel_regularizer, bias_regularizer: penalty on w and b, such as "l2" or L1L2(l2=1e-4); None for none.
    kernel_constraint, bias_constraint: what w and b must satisfy, such as "non_neg" or MaxNorm(3); None for nothing.
    Raises ConfigError for anything else.

    >>> Dense(64, activation="relu", input_dim=784).parts()
    (Linear(units=64), Relu())
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

    def parts(self) -> tuple[Layer, ...]:
        given = {name: value for name, value in vars(self).items() if name not in ("activation", "input_dim")}
        return (Linear(**given), *Activation(self.activation).parts())

"""The fully connected layer: an affine map, followed by an activation.

Products with sparse rows are computed row by row in groups of equal padded length, so each row's result depends on
that row alone.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from firesteel.core import initializers
from firesteel.core.constraints import Constraint
from firesteel.core.csr import CSR, Features
from firesteel.core.initializers import Initializer
from firesteel.core.layer import Layer, Param
from firesteel.core.layers.activation import ACTIVATIONS, Relu, activation
from firesteel.core.layers.arguments import constraint, input_dim, input_shape, regularizer
from firesteel.core.layers.preprocessing import Rescaling, Standardize
from firesteel.core.layers.reshaping import by_rows
from firesteel.core.layout import ones
from firesteel.core.regularizers import Regularizer
from firesteel.core.spec import choice, flag, integer, later
from firesteel.core.types import Array, Pull, Shape, Stream, Views

__all__ = ["Dense", "Linear", "product", "runs", "span", "whole"]


class Linear(Layer):
    """Linear part of a `Dense` layer: `y = x w + b`, without the activation.

    Arguments are not checked.  A `Dense` layer is compiled to a `Linear` and an activation.

    Shapes: x (B, I), dense or sparse; w (I, O); b (O,); y (B, O).  Rows with more axes are multiplied along the last
    one: x (B, ..., I), y (B, ..., O).

    Example:
        >>> Linear(1).apply({"w": np.array([[2.0]]), "b": np.array([1.0])}, np.array([[3.0]]))[0]
        array([[7.]])
    """

    units: int
    use_bias: bool = True
    kernel_initializer: Initializer = initializers.get("glorot_uniform")
    bias_initializer: Initializer = initializers.get("zeros")
    kernel_regularizer: Regularizer | None = None
    bias_regularizer: Regularizer | None = None
    kernel_constraint: Constraint | None = None
    bias_constraint: Constraint | None = None

    def output_shape(self, *inputs: Shape) -> Shape:
        return (*inputs[0][:-1], self.units)

    def params(self, *inputs: Shape) -> dict[str, Param]:
        kernel = Param(
            (inputs[0][-1], self.units), self.kernel_initializer, self.kernel_regularizer, self.kernel_constraint
        )
        bias = Param((self.units,), self.bias_initializer, self.bias_regularizer, self.bias_constraint)
        return {"w": kernel} | ({"b": bias} if self.use_bias else {})

    def touched(self, x: CSR) -> npt.NDArray[Any]:
        return x.indices

    def apply(self, p: Views, x: Features, rng: Stream | None = None) -> tuple[Array, Pull]:
        if isinstance(x, CSR):
            x = CSR(x.indptr, p["place"][x.indices], x.values, len(p["w"])) if "place" in p else x
        elif x.ndim > 2:
            return by_rows(self, p, x)

        def pull(d_y: Array, g: Views, wants_x: bool) -> Array | None:
            if not g:
                return np.dot(d_y, p["w"].T)
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
    """Fully connected layer: `y = activation(x w + b)`.

    The product runs along the last axis of the inputs.  Input shape (B, ..., I), output shape (B, ..., units); the
    kernel w has shape (I, units) and the bias b has shape (units,).  A first layer also accepts sparse rows.

    Args:
        units: Number of outputs, at least 1.
        activation: Name of an activation, such as `"relu"`, or a function of `firesteel.activations`; None applies no
            activation.
        use_bias: Whether to add the bias b.
        kernel_initializer: Initializer of w, such as `"he_normal"`.
        bias_initializer: Initializer of b.
        kernel_regularizer: Penalty on w, such as `"l2"` or `L1L2(l2=1e-4)`; None for no penalty.
        bias_regularizer: Penalty on b; None for no penalty.
        kernel_constraint: Constraint on w after each update, such as `"non_neg"` or `MaxNorm(3)`; None for no
            constraint.
        bias_constraint: Constraint on b after each update; None for no constraint.
        input_dim: Number of inputs, if this is the first layer; None infers it from the data.
        input_shape: The same as a shape, `(inputs,)`.
        name: Name of the layer in a model; None lets the model choose one.
        trainable: Whether training changes the layer's weights.

    Raises:
        ConfigError: An argument has a wrong value (`config-value`) or an unknown name (`config-unknown`).

    Example:
        >>> from firesteel.layers import Dense, Input
        >>> hidden = Dense(64, activation="relu", kernel_regularizer="l2")
        >>> hidden(Input((784,))).shape
        (None, 64)
    """

    units: int = integer(low=1, why="units is the number of outputs")
    activation: str | None = choice(None, activation)
    use_bias: bool = flag(True)
    kernel_initializer: Initializer | str = choice("glorot_uniform", initializers.get)
    bias_initializer: Initializer | str = choice("zeros", initializers.get)
    kernel_regularizer: Regularizer | str | None = choice(None, regularizer)
    bias_regularizer: Regularizer | str | None = choice(None, regularizer)
    kernel_constraint: Constraint | str | None = choice(None, constraint)
    bias_constraint: Constraint | str | None = choice(None, constraint)
    input_dim: int | None = choice(None, input_dim)
    input_shape: Shape | None = later(choice(None, input_shape))

    def parts(self) -> tuple[Layer, ...]:
        units, name, *rest, _, _ = [getattr(self, one.name) for one in self.fields if one.compare]
        activation_part = ACTIVATIONS[name]
        return (Linear(units, *rest),) if activation_part is None else (Linear(units, *rest), activation_part)


PRODUCTS = 1 << 18
"""Number of weights gathered at a time, chosen so that they fit in the cache."""


def product(x: CSR, w: Array) -> Array:
    """Return the matrix product x w, (n, O), of a sparse matrix x (n, I) and a dense matrix w (I, O).

    Each row is a product of its own, over as many terms as the row's padded length.

    Example:
        >>> product(CSR.of(np.array([[0.0, 2.0], [0.0, 0.0]])), np.array([[1.0], [3.0]]))
        array([[6.],
               [0.]])
    """
    counts = x.indptr[1:] - x.indptr[:-1]
    sizes = _rounded(counts)
    out = np.zeros((len(x), w.shape[1]), w.dtype)
    for size in np.flatnonzero(np.bincount(sizes)):
        if not size:
            continue
        alike = np.flatnonzero(sizes == size)
        most = max(1, PRODUCTS // (int(size) * w.shape[1]))
        for some in range(0, len(alike), most):
            rows = alike[some : some + most]
            at = x.indptr[rows][:, None] + np.arange(size)
            inside = np.arange(size) < counts[rows][:, None]
            np.minimum(at, len(x.values) - 1, out=at)
            v = x.values.take(at) * inside
            terms = w.take(x.indices.take(at), axis=0)
            out[rows] = terms[:, 0] * v if size == 1 else np.matmul(v[:, None, :], terms)[:, 0]
    return out


def _rounded(counts: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return the padded lengths of sparse rows: their numbers of entries, rounded up to few distinct lengths.

    The lengths are 0, 1, 2, 4, multiples of 8 up to 64, and four equal steps to each further power of 2.
    """
    return SHORT.take(counts) if counts.max(initial=0) < len(SHORT) else _steps(counts)


def _steps(counts: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    step = np.maximum(8, 1 << np.maximum(np.frexp(np.maximum(counts - 1, 0))[1] - 3, 0))
    return np.where(counts <= 2, counts, np.where(counts <= 4, 4, -(-counts // step) * step))


SHORT = _steps(np.arange(1 << 10))
"""Padded lengths of short rows, looked up by their count."""

# Consecutive dense layers


def runs(parts: Sequence[Layer], shapes: Sequence[Shape]) -> dict[int, list[list[int]]]:
    """Find the runs of consecutive `Linear` layers, each with an optional ReLU, in a chain of layers.

    A layer with one input is excluded, and a layer with one unit ends its run: NumPy computes their products
    differently.

    Args:
        parts: The leading parts of a network.
        shapes: The shapes of the values between these parts, in order, beginning with the inputs.

    Returns:
        For each run, under the index of its first part: `[inputs, units, use_bias, has_relu]` of each layer.
    """
    found: dict[int, list[list[int]]] = {}
    first = None
    for number, (part, shape, made) in enumerate(zip(parts, shapes, shapes[1:], strict=False)):
        if type(part) is Linear and len(shape) == 1 and shape[0] > 1:
            first = number if first is None else first
            found.setdefault(first, []).append([shape[0], made[0], part.use_bias, False])
        elif type(part) is Relu and first is not None and not found[first][-1][3]:
            found[first][-1][3] = True
        else:
            first = None
    return found


def in_line(plan: Sequence[Any]) -> bool:
    """Return whether a network is a chain: each layer reads the previous layer's output and has its own weights."""
    line = [(n, (n,), range(n + 1, n + 2)) for n in range(len(plan))]
    return line == [(part.owner, part.reads, part.makes) for part in plan]


def whole(parts: Sequence[Layer], shapes: Sequence[Shape]) -> int | None:
    """Return the index of the first dense layer if all layers after optional scaling are dense; else None.

    ReLU counts as part of a dense layer.
    """
    first, found = int(isinstance(parts[0], Rescaling | Standardize)), runs(parts, shapes)
    return first if list(found) == [first] and first + span(found[first]) == len(parts) else None


def span(layers: Any) -> int:
    """Return the number of layers in a run found by `runs`: one for each `Linear` and one for each ReLU."""
    return sum(1 + int(has_relu) for *_, has_relu in layers)

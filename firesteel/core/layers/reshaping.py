"""Layers that declare or change the shape of rows and do no arithmetic, such as `Flatten` and `Reshape`."""

import math
from dataclasses import MISSING, field
from typing import Any

import numpy as np

from firesteel.core.layer import Layer
from firesteel.core.layers.arithmetic import Arithmetic
from firesteel.core.spec import choice, integer, later, optional, whole, word
from firesteel.core.types import Array, Pull, Shape, Stream, Views
from firesteel.errors import ConfigError

__all__ = ["Flatten", "Input", "Permute", "RepeatVector", "Reshape", "axis", "by_rows", "place"]


def shape(given: object) -> Shape:
    """Check the argument `shape` of `Input`, a tuple or one number: return the shape of a row as a tuple."""
    sides = [whole(side) for side in (given if isinstance(given, tuple | list) else [given])]
    if not 0 < len(sides) <= 32 or not all(side is not None and side >= 1 for side in sides):
        raise ConfigError(f"shape={given!r}: it must be integers of at least 1, such as (784,)", code="config-value")
    return tuple(side for side in sides if side is not None)


def row_shape(given: object) -> Shape | None:
    """Check the argument `input_shape`: return the shape of a row as a tuple, or None to infer it."""
    return None if given is None else shape(given)


OMITTED: dict[str, Any] = {"later": lambda value: False}
"""Metadata of fields that saved descriptions omit."""
BATCH = {**optional(integer(low=1, why="batch_size is the number of rows in a batch")).metadata, **OMITTED}
KIND = {**word("float32", "float64", "int32", "int64", None).metadata, **OMITTED}


class Input(Arithmetic, Layer):
    """Input layer: declares the shape of one row of a network's input.

    Layers called on an `Input` return values of a network, from which `Model` is built.  `Sequential` flattens rows
    with several axes, such as (28, 28), if its layers accept flat rows.

    Args:
        shape: Shape of one row, without the batch axis, such as `(784,)` or `(28, 28, 1)`.
        batch_size: Accepted for scripts written for Keras and ignored: `fit` sets the batch size.
        dtype: Accepted for scripts written for Keras and ignored: the model sets the dtype.
        name: Name of the layer in a model; None lets the model choose one.
        trainable: Without effect: the layer has no weights.

    Raises:
        ConfigError: `shape` is not a tuple of positive integers (`config-value`).

    Example:
        >>> from firesteel.layers import Dense, Input
        >>> x = Input((4,))
        >>> Dense(3)(x).shape
        (None, 3)
    """

    shape: Shape = choice(MISSING, shape)
    batch_size: int | None = field(default=None, kw_only=True, metadata=BATCH, compare=False, repr=False)
    dtype: str | None = field(default=None, kw_only=True, metadata=KIND, compare=False, repr=False)

    @property
    def inputs(self) -> int | None:
        return math.prod(self.shape)

    def parts(self) -> tuple[Layer, ...]:
        return ()


class Flatten(Layer):
    """Flatten each row to one axis: input shape (B, ...), output shape (B, product of the axes).

    Args:
        input_shape: Shape of one row, if this is the first layer; None infers it from the data.
        size: Number of values in a row with several axes; the model sets it.
        name: Name of the layer in a model; None lets the model choose one.
        trainable: Without effect: the layer has no weights.

    Raises:
        ConfigError: `input_shape` is not a tuple of positive integers (`config-value`).

    Example:
        >>> from firesteel.layers import Flatten, Input
        >>> Flatten()(Input((28, 28))).shape
        (None, 784)
    """

    input_shape: Shape | None = choice(None, row_shape)
    size: int | None = later(optional(integer(low=1, why="size is the number of values in a row")))

    @property
    def inputs(self) -> int | None:
        return None if self.input_shape is None else math.prod(self.input_shape)

    def parts(self) -> tuple[Layer, ...]:
        return () if self.size is None else (Reshape((self.size,)),)


def axis(default: Any = MISSING, several: int = 1) -> Any:
    """Declare a dataclass field for the number of an axis: 1 is the first axis of a row, -1 the last.

    Args:
        default: Default of the field.
        several: How many axes may be given instead of one.
    """

    def check(owner: str, name: str, got: Any) -> int | tuple[int, ...]:
        listed = several > 1 and isinstance(got, tuple | list)
        found = tuple(whole(one) or 0 for one in (got if listed else [got]))
        if 0 in found or len(found) != (several if listed else 1):
            more = f", or {several} of them" if several > 1 else ""
            raise ConfigError(
                f"{owner}({name}={got!r}): {name} must be an integer{more}, 1 for the first axis of a row or -1 for "
                "the last; axis 0 is the batch, which cannot be chosen",
                code="config-value",
            )
        return found if listed else found[0]

    return field(default=default, metadata={"check": check})


def place(layer: Layer, number: int, shape: Shape) -> int:
    """Convert an axis number (1 is the first axis of a row, -1 the last) into an index of the row's shape.

    Args:
        layer: The layer, for the message.
        number: The axis: 1 is the first of a row, -1 the last.
        shape: The shape of a row.

    Raises:
        ConfigError: The row does not have this axis (`config-shape`).
    """
    at = number - 1 if number > 0 else len(shape) + number
    if not 0 <= at < len(shape):
        raise ConfigError(
            f"{layer!r} needs axis {number}, but an input of shape {shape} has axes 1 to {len(shape)}",
            code="config-shape",
        )
    return at


def by_rows(layer: Layer, p: Views, x: Array, rng: Stream | None = None) -> tuple[Array, Pull]:
    """Apply a layer along the last axis of x (B, ..., I), with all other axes merged into one axis of rows."""
    y, pull = layer.apply(p, x.reshape(-1, x.shape[-1]), rng)

    def back(d_y: Array, g: Views, wants_x: bool) -> Array | None:
        d_x = pull(d_y.reshape(-1, d_y.shape[-1]), g, wants_x)
        return None if d_x is None else d_x.reshape(x.shape)

    return y.reshape(*x.shape[:-1], y.shape[-1]), back


def target(given: object) -> Shape:
    """Check the argument `target_shape` of `Reshape`: return it as a tuple, in which one length may be -1."""
    sides = [whole(side) for side in (given if isinstance(given, tuple | list) else [given])]
    found = tuple(side for side in sides if side is not None and (side >= 1 or side == -1))
    if not 0 < len(found) == len(sides) <= 32 or found.count(-1) > 1:
        raise ConfigError(
            f"target_shape={given!r}: it must be integers of at least 1, such as (28, 28, 1), one of which may be "
            "-1, which is inferred; leave the batch axis out",
            code="config-value",
        )
    return found


class Reshape(Layer):
    """Reshape each row to `target_shape`, in C order (the last axis varies fastest).

    Input shape (B, ...), output shape (B, *target_shape).

    Args:
        target_shape: Shape of a row without the batch axis; one length may be -1, which is inferred.
        name: Name of the layer in a model; None lets the model choose one.
        trainable: Without effect: the layer has no weights.

    Raises:
        ConfigError: `target_shape` is not a tuple of positive integers with at most one -1 (`config-value`), or rows
            have another number of values (`config-shape`).

    Example:
        >>> import numpy as np
        >>> from firesteel.layers import Reshape
        >>> Reshape((2, -1))(np.array([[1.0, 2.0, 3.0, 4.0]]))
        array([[[1., 2.],
                [3., 4.]]])
    """

    target_shape: Shape = choice(MISSING, target)

    def output_shape(self, *inputs: Shape) -> Shape:
        size, sides = math.prod(inputs[0]), self.target_shape
        known = math.prod(side for side in sides if side > 0)
        if size % known or (size != known and -1 not in sides):
            raise ConfigError(
                f"{self!r} does not fit an input of shape {inputs[0]}, which has {size} values: {sides} needs "
                + ("a multiple of " if -1 in sides else "")
                + str(known),
                code="config-shape",
            )
        return tuple(size // known if side < 0 else side for side in sides)

    def apply(self, p: Views, x: Array, rng: Stream | None = None) -> tuple[Array, Pull]:
        shape = x.shape
        return x.reshape(len(x), *self.output_shape(shape[1:])), lambda d_y, g, wants_x: d_y.reshape(shape)


def order(given: object) -> Shape:
    """Check the argument `dims` of `Permute`: return a permutation of 1, ..., n as a tuple."""
    found = tuple(whole(one) or 0 for one in given) if isinstance(given, tuple | list) else ()
    if not found or sorted(found) != list(range(1, len(found) + 1)):
        raise ConfigError(
            f"dims={given!r}: it must be the axes of a row in their new order, each once, the first being 1, "
            "such as (2, 1); leave the batch axis out",
            code="config-value",
        )
    return found


class Permute(Layer):
    """Permute the axes of rows: axis i of the output is axis `dims[i]` of the input.

    Args:
        dims: Axes of the input in their new order; the first is 1.  `(2, 1)` transposes each row.
        name: Name of the layer in a model; None lets the model choose one.
        trainable: Without effect: the layer has no weights.

    Raises:
        ConfigError: `dims` is not a permutation of 1, ..., n (`config-value`), or rows have another number of axes
            (`config-shape`).

    Example:
        >>> import numpy as np
        >>> from firesteel.layers import Permute
        >>> Permute((2, 1))(np.array([[[1.0, 2.0], [3.0, 4.0]]]))
        array([[[1., 3.],
                [2., 4.]]])
    """

    dims: Shape = choice(MISSING, order)

    def output_shape(self, *inputs: Shape) -> Shape:
        if len(inputs[0]) != len(self.dims):
            raise ConfigError(
                f"{self!r} needs rows with {len(self.dims)} axes, but its input has shape {inputs[0]}: dims "
                "must list each axis once",
                code="config-shape",
            )
        return tuple(inputs[0][one - 1] for one in self.dims)

    def apply(self, p: Views, x: Array, rng: Stream | None = None) -> tuple[Array, Pull]:
        back = [int(one) + 1 for one in np.argsort(self.dims)]
        return _transposed(x, self.dims), lambda d_y, g, wants_x: _transposed(d_y, back)


def _transposed(x: Array, axes: Shape | list[int]) -> Array:
    """Return x (B, ...) with the axes of its rows permuted, as a contiguous array."""
    return np.ascontiguousarray(x.transpose(0, *axes))


class RepeatVector(Layer):
    """Repeat each row n times: `y_tf = x_f` for t = 1, ..., n.

    Input shape (B, F), output shape (B, n, F).

    Args:
        n: Number of repetitions, at least 1.
        name: Name of the layer in a model; None lets the model choose one.
        trainable: Without effect: the layer has no weights.

    Raises:
        ConfigError: `n` is not a positive integer (`config-value`), or rows have several axes (`config-shape`).

    Example:
        >>> import numpy as np
        >>> from firesteel.layers import RepeatVector
        >>> RepeatVector(2)(np.array([[1.0, 2.0]]))
        array([[[1., 2.],
                [1., 2.]]])
    """

    n: int = integer(low=1, why="n is the number of copies of each row")

    def output_shape(self, *inputs: Shape) -> Shape:
        if len(inputs[0]) != 1:
            raise ConfigError(
                f"{self!r} needs rows with one axis, but its input has shape {inputs[0]}: put Flatten() before it",
                code="config-shape",
            )
        return (self.n, *inputs[0])

    def apply(self, p: Views, x: Array, rng: Stream | None = None) -> tuple[Array, Pull]:
        return np.repeat(x[:, None], self.n, axis=1), lambda d_y, g, wants_x: np.add.reduce(d_y, axis=1)

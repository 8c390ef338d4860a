"""Merging layers, which combine several inputs into one output, and the logarithm of probabilities."""

import functools
import math
import operator
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from firesteel.core.layer import Layer
from firesteel.core.layers.reshaping import axis, place
from firesteel.core.spec import flag, later, numbers
from firesteel.core.types import Array, Pull, Shape, Stream, Views
from firesteel.errors import ConfigError

EPSILON = 1e-7
__all__ = [
    "Add",
    "Average",
    "Concatenate",
    "Dot",
    "Logarithm",
    "Maximum",
    "Minimum",
    "Multiply",
    "Subtract",
]


class _Merge(Layer):
    """Base class of layers that merge several inputs into one output."""

    fewest, most = 2, math.inf

    def output_shape(self, *inputs: Shape) -> Shape:
        if not self.fewest <= len(inputs) <= self.most:
            more = "" if self.most == self.fewest else " or more"
            shapes = " and ".join(map(str, inputs))
            raise ConfigError(
                f"{self!r} merges {self.fewest}{more} inputs but was called on {len(inputs)}, of shape {shapes}: in "
                f"the functional API, call it on a list of inputs, {self!r}([a, b])",
                code="config-shape",
            )
        return self.merged_shape(*inputs)

    def merged_shape(self, *inputs: Shape) -> Shape:
        """Return the shape of an output row, given the shapes of the input rows.

        The number of inputs was checked before.
        """
        raise NotImplementedError

    def shape_error(self, inputs: Sequence[Shape], need: str) -> ConfigError:
        """Return the ConfigError for inputs whose shapes cannot be merged; `need` states the violated rule."""
        shapes = " and ".join(map(str, inputs))
        return ConfigError(f"{self!r} cannot merge inputs of shapes {shapes}: {need}", code="config-shape")


class _Elementwise(_Merge):
    """Base class of elementwise merging layers.

    Shapes are equal or broadcast as in NumPy: an axis of length 1 is repeated, and missing leading axes count as 1.
    """

    def merged_shape(self, *inputs: Shape) -> Shape:
        try:
            return np.broadcast_shapes(*inputs)
        except ValueError:
            raise self.shape_error(inputs, "lengths of axes, counted from the last, must be equal or 1") from None

    def merge(self, x: Sequence[Array]) -> Array:
        """Return the elementwise result y of the inputs x, which have the same number of axes."""
        raise NotImplementedError

    def input_gradients(self, x: Sequence[Array], y: Array, d_y: Array) -> Iterator[Array]:
        """Yield the loss's derivative by each input, as a new array of y's shape, given d_y, the derivative by y."""
        raise NotImplementedError

    def apply(self, p: Views, *x: Array, rng: Stream | None = None) -> tuple[Array, Pull]:
        axes, shapes = max(map(np.ndim, x)), [one.shape for one in x]
        x = tuple(one.reshape(len(one), *(1,) * (axes - one.ndim), *one.shape[1:]) for one in x)
        y = self.merge(x)

        def pull(d_y: Array, g: Views, wants_x: bool) -> Any:
            d_x = tuple(map(_sum_repeated, self.input_gradients(x, y, d_y), map(np.shape, x), shapes))
            return d_x if len(x) > 1 else d_x[0]

        return y, pull


def _sum_repeated(d: Array, repeated: Shape, shape: Shape) -> Array:
    """Sum the derivative d over the axes that broadcasting repeated; return it in the input's own shape.

    One axis is summed after another.
    """
    for at in [at for at, side in enumerate(repeated) if side != d.shape[at]]:
        d = np.add.reduce(d, axis=at, keepdims=True)
    return d.reshape(shape)


class Add(_Elementwise):
    """Add inputs elementwise: `y = x_1 + x_2 + ...`.

    Terms are added in the order of the inputs.  Shapes are equal or broadcast: an axis of length 1 is repeated, so
    (T, F) and (1, F) can be added.

    Args:
        name: Name of the layer in a model; None lets the model choose one.
        trainable: Without effect: the layer has no weights.

    Raises:
        ConfigError: The layer was called on a single value, or shapes do not broadcast (`config-shape`).

    Example:
        >>> import numpy as np
        >>> from firesteel.layers import Add
        >>> Add()([np.array([[1.0, 2.0]]), np.array([[3.0, 6.0]])])
        array([[4., 8.]])

    Source: He et al. 2016, "Deep residual learning for image recognition", uses it for residual connections.
    """

    def merge(self, x: Sequence[Array]) -> Array:
        return functools.reduce(np.add, x)

    def input_gradients(self, x: Sequence[Array], y: Array, d_y: Array) -> Iterator[Array]:
        for _ in x[1:]:
            yield d_y.copy()
        yield d_y


class Subtract(_Elementwise):
    """Subtract the second of two inputs from the first, elementwise: `y = x_1 - x_2`.

    Shapes are equal or broadcast: an axis of length 1 is repeated.

    Args:
        name: Name of the layer in a model; None lets the model choose one.
        trainable: Without effect: the layer has no weights.

    Raises:
        ConfigError: The layer was not called on two values, or shapes do not broadcast (`config-shape`).

    Example:
        >>> import numpy as np
        >>> from firesteel.layers import Subtract
        >>> Subtract()([np.array([[1.0, 2.0]]), np.array([[3.0, 6.0]])])
        array([[-2., -4.]])
    """

    most = 2

    def merge(self, x: Sequence[Array]) -> Array:
        return np.subtract(*x)

    def input_gradients(self, x: Sequence[Array], y: Array, d_y: Array) -> Iterator[Array]:
        yield d_y.copy()
        yield np.negative(d_y, out=d_y)


class Multiply(_Elementwise):
    """Multiply inputs elementwise: `y = x_1 x_2 ...`.

    Factors are multiplied in the order of the inputs.  Shapes are equal or broadcast: an axis of length 1 is
    repeated.

    Args:
        name: Name of the layer in a model; None lets the model choose one.
        trainable: Without effect: the layer has no weights.

    Raises:
        ConfigError: The layer was called on a single value, or shapes do not broadcast (`config-shape`).

    Example:
        >>> import numpy as np
        >>> from firesteel.layers import Multiply
        >>> Multiply()([np.array([[1.0, 2.0]]), np.array([[3.0, 6.0]])])
        array([[ 3., 12.]])
    """

    def merge(self, x: Sequence[Array]) -> Array:
        return functools.reduce(np.multiply, x)

    def input_gradients(self, x: Sequence[Array], y: Array, d_y: Array) -> Iterator[Array]:
        """Yield the loss's derivative by each input: d_y times the product of all other inputs.

        It is correct also where an input is 0.
        """
        for at in range(len(x)):
            yield functools.reduce(np.multiply, (*x[:at], *x[at + 1 :]), d_y)


class Average(_Elementwise):
    """Average inputs elementwise: `y = (x_1 + ... + x_M) / M`.

    Terms are added in the order of the inputs.  Shapes are equal or broadcast: an axis of length 1 is repeated.

    Args:
        centres: Numbers already subtracted from the inputs by the model, which sets this argument itself: one for
            each value of the first input, then of the second, and so on.  Their mean is subtracted from the output.
        name: Name of the layer in a model; None lets the model choose one.
        trainable: Without effect: the layer has no weights.

    Raises:
        ConfigError: Shapes do not broadcast (`config-shape`).

    Example:
        >>> import numpy as np
        >>> from firesteel.layers import Average
        >>> Average()([np.array([[1.0, 2.0]]), np.array([[3.0, 6.0]])])
        array([[2., 4.]])
    """

    fewest = 1
    centres: tuple[float, ...] | None = later(numbers(None, why="centres were subtracted from inputs in advance"))

    def merged_shape(self, *inputs: Shape) -> Shape:
        if self.centres is not None and len(self.centres) != len(inputs) * math.prod(inputs[0]):
            raise ConfigError(
                f"Average has {len(self.centres)} centres, which do not fit {len(inputs)} inputs: pass one for "
                "each value of each input",
                code="config-shape",
            )
        return super().merged_shape(*inputs)

    def merge(self, x: Sequence[Array]) -> Array:
        return functools.reduce(np.add, x) * x[0].dtype.type(1 / len(x))

    def input_gradients(self, x: Sequence[Array], y: Array, d_y: Array) -> Iterator[Array]:
        d_y *= d_y.dtype.type(1 / len(x))
        return Add().input_gradients(x, y, d_y)


class _Extreme(_Elementwise):
    """Base class of `Maximum` and `Minimum`, which select the value of one input at each position."""

    def input_gradients(self, x: Sequence[Array], y: Array, d_y: Array) -> Iterator[Array]:
        left = np.ones(y.shape, bool)
        for one in x:
            here = left & (one == y)
            left &= ~here
            yield np.where(here, d_y, d_y.dtype.type(0))


class Maximum(_Extreme):
    """Elementwise maximum of several inputs: `y = max(x_1, x_2, ...)`.

    Shapes are equal or broadcast: an axis of length 1 is repeated.  The derivative goes to the largest value, or to
    the first of several equal ones.

    Args:
        name: Name of the layer in a model; None lets the model choose one.
        trainable: Without effect: the layer has no weights.

    Raises:
        ConfigError: The layer was called on a single value, or shapes do not broadcast (`config-shape`).

    Example:
        >>> import numpy as np
        >>> from firesteel.layers import Maximum
        >>> Maximum()([np.array([[1.0, 9.0]]), np.array([[3.0, 6.0]])])
        array([[3., 9.]])
    """

    def merge(self, x: Sequence[Array]) -> Array:
        return functools.reduce(np.maximum, x)


class Minimum(_Extreme):
    """Elementwise minimum of several inputs: `y = min(x_1, x_2, ...)`.

    Shapes are equal or broadcast: an axis of length 1 is repeated.  The derivative goes to the smallest value, or to
    the first of several equal ones.

    Args:
        name: Name of the layer in a model; None lets the model choose one.
        trainable: Without effect: the layer has no weights.

    Raises:
        ConfigError: The layer was called on a single value, or shapes do not broadcast (`config-shape`).

    Example:
        >>> import numpy as np
        >>> from firesteel.layers import Minimum
        >>> Minimum()([np.array([[1.0, 9.0]]), np.array([[3.0, 6.0]])])
        array([[1., 6.]])
    """

    def merge(self, x: Sequence[Array]) -> Array:
        return functools.reduce(np.minimum, x)


class Concatenate(_Merge):
    """Concatenate inputs along an axis: `y = [x_1, x_2, ...]`.

    Args:
        axis: Axis to join: 1 is the first of a row, -1 the last.  All other axes must be equal.
        name: Name of the layer in a model; None lets the model choose one.
        trainable: Without effect: the layer has no weights.

    Raises:
        ConfigError: `axis` is 0 (the batch) or not an integer (`config-value`), or shapes differ in another axis
            (`config-shape`).

    Example:
        >>> import numpy as np
        >>> from firesteel.layers import Concatenate
        >>> Concatenate()([np.array([[1.0]]), np.array([[3.0, 6.0]])])
        array([[1., 3., 6.]])
    """

    axis: int = axis(-1)

    def merged_shape(self, *inputs: Shape) -> Shape:
        at = place(self, self.axis, inputs[0])
        rest = {(*shape[:at], *shape[at + 1 :]) if len(shape) > at else None for shape in inputs}
        if len(rest) > 1 or len({len(shape) for shape in inputs}) > 1:
            raise self.shape_error(
                inputs, f"all axes except axis {at + 1}, along which inputs are joined, must have equal lengths"
            )
        return (*inputs[0][:at], sum(shape[at] for shape in inputs), *inputs[0][at + 1 :])

    def apply(self, p: Views, *x: Array, rng: Stream | None = None) -> tuple[Array, Pull]:
        ends = np.cumsum([one.shape[self.axis] for one in x])[:-1]

        def pull(d_y: Array, g: Views, wants_x: bool) -> Any:
            return tuple(map(np.ascontiguousarray, np.split(d_y, ends, axis=self.axis)))

        return np.concatenate(x, axis=self.axis), pull


class Dot(_Merge):
    """Dot product of two inputs along an axis of each: `y_pq = sum_k a_pk b_qk` in each row.

    p runs over all other axes of the first value, and q over those of the second.  Two vectors give one number, of
    shape (1,).  With `normalize`, y is the cosine of the angle: a and b are divided by their norms along k, or by
    1e-7 if that is larger.

    Args:
        axes: Axis of both values, or (axis of the first, axis of the second): 1 is the first of a row, -1 the last.
        normalize: Whether to return the cosine.
        name: Name of the layer in a model; None lets the model choose one.
        trainable: Without effect: the layer has no weights.

    Raises:
        ConfigError: `axes` is 0 (the batch) or not an integer (`config-value`), the axes differ in length, or the
            layer was not called on two values (`config-shape`).

    Example:
        >>> import numpy as np
        >>> from firesteel.layers import Dot
        >>> Dot(axes=1)([np.array([[1.0, 2.0]]), np.array([[3.0, 6.0]])])
        array([[15.]])
    """

    most = 2
    axes: int | tuple[int, int] = axis(several=2)
    normalize: bool = flag(False)

    def places(self, *inputs: Shape) -> list[int]:
        """Return the index, from 0, of the axis to multiply along in a row of each input: one index per input."""
        both = self.axes if isinstance(self.axes, tuple) else (self.axes, self.axes)
        return [place(self, one, shape) for one, shape in zip(both, inputs, strict=True)]

    def merged_shape(self, *inputs: Shape) -> Shape:
        at = self.places(*inputs)
        if len(set(map(operator.getitem, inputs, at))) > 1:
            raise self.shape_error(
                inputs, f"axis {at[0] + 1} of the first input must be as long as axis {at[1] + 1} of the second"
            )
        rest = [side for shape, out in zip(inputs, at, strict=True) for side in (*shape[:out], *shape[out + 1 :])]
        return tuple(rest) or (1,)

    def apply(self, p: Views, *x: Array, rng: Stream | None = None) -> tuple[Array, Pull]:
        at = self.places(*(one.shape[1:] for one in x))
        turned = [np.moveaxis(one, out + 1, -1) for one, out in zip(x, at, strict=True)]
        flat = [np.ascontiguousarray(one).reshape(len(one), -1, one.shape[-1]) for one in turned]
        sizes = [np.sqrt((one * one).sum(axis=-1, keepdims=True)) for one in flat if self.normalize]
        least = [np.maximum(size, size.dtype.type(EPSILON)) for size in sizes]
        a, b = map(np.divide, flat, least) if self.normalize else flat
        y = np.matmul(a, b.swapaxes(1, 2))

        def pull(d_y: Array, g: Views, wants_x: bool) -> Any:
            d = d_y.reshape(y.shape)
            found = [np.matmul(d, b), np.matmul(np.ascontiguousarray(d.swapaxes(1, 2)), a)]
            if self.normalize:
                for n, unit in enumerate((a, b)):
                    along = (found[n] * unit).sum(axis=-1, keepdims=True) * (sizes[n] > EPSILON)
                    found[n] = (found[n] - unit * along) / least[n]
            back = (one.reshape(was.shape) for one, was in zip(found, turned, strict=True))
            return tuple(
                np.ascontiguousarray(np.moveaxis(one, -1, out + 1)) for one, out in zip(back, at, strict=True)
            )

        return y.reshape(len(y), *self.merged_shape(*(one.shape[1:] for one in x))), pull


class Logarithm(Layer):
    """Logarithm of probabilities, `y = log x`, or of their odds, `y = log(x / (1 - x))`.

    It inverts softmax (or, with `odds`, sigmoid): applying that to y returns the probabilities.  Probabilities below
    1e-7 count as 1e-7.  The shape is unchanged.

    Args:
        odds: Whether to take the logarithm of the odds.
        name: Name of the layer in a model; None lets the model choose one.
        trainable: Without effect: the layer has no weights.

    Example:
        >>> import numpy as np
        >>> from firesteel.layers import Logarithm
        >>> Logarithm()(np.array([[1.0, 0.5]])).round(3)
        array([[ 0.   , -0.693]])
    """

    odds: bool = flag(False)

    def apply(self, p: Views, x: Array, rng: Stream | None = None) -> tuple[Array, Pull]:
        inside = np.clip(x, EPSILON, 1 - EPSILON if self.odds else None)
        y, slope = np.log(inside), (x == inside) / inside
        if self.odds:
            y, slope = y - np.log1p(-inside), slope / (1 - inside)
        return y, lambda d_y, g, wants_x: d_y * slope.astype(x.dtype)

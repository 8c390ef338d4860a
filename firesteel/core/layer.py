"""Base class of layers: an immutable configuration with the layer's forward and backward pass.

`apply` returns the outputs and the pull-back, a function that holds what the backward pass needs.  So nothing is
cached on an object, and nothing can be called in the wrong order.  `layers/` has a file for each family; `network.py`
connects layers.  Shapes are those of one row, without the batch axis.
"""

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

from firesteel.core.constraints import Constraint
from firesteel.core.initializers import Initializer, Zeros
from firesteel.core.regularizers import Regularizer
from firesteel.core.spec import Spec, flag
from firesteel.core.types import Array, Pull, Shape
from firesteel.errors import ConfigError

__all__ = ["Joint", "Layer", "Param"]


@dataclass(frozen=True)
class Param:
    """Describes one array of parameters: shape, initializer, regularizer and constraint.

    Args:
        shape: The array's shape.
        initializer: How its first values are drawn.
        regularizer: The penalty on it; None for none.
        constraint: The constraint on it; None for none.
        average: None for parameters that are trained.  Otherwise the array is a running average and this is the share
            of the old value that is kept at a step; in training the pull-back stores the batch's statistic in place
            of a gradient.
        by_row: Whether a batch uses few of its rows, and a step updates only those.  Then `touched(x)` returns the
            numbers of the rows that inputs x use; where a step has only these rows, `p["place"]` holds the place of
            each among them.

    Example:
        >>> from firesteel.core.initializers import Constant
        >>> Param((3,), Constant(0.5)).shape
        (3,)
    """

    shape: Shape
    initializer: Initializer = Zeros()
    regularizer: Regularizer | None = None
    constraint: Constraint | None = None
    average: float | None = None
    by_row: bool = False


class Joint(NamedTuple):
    """Backward pass of a layer that needs sums over the whole batch, such as batch normalization.

    Args:
        batch_sums: `batch_sums(d_y)` returns the sums over a piece of the batch.
        pull: `pull(d_y, g, wants_x, total)` is the pull-back; `total` adds the sums over all pieces.
    """

    batch_sums: Callable[[Any], Array]
    pull: Callable[..., Any]


class Automatic(str):
    """A layer name that the model chose, not the user."""


def layer_name(got: object) -> str | None:
    """Validate the name of a layer or model: text without a slash, or None; otherwise raise ConfigError."""
    if got is not None and (not isinstance(got, str) or not got or "/" in got):
        raise ConfigError(f"name={got!r}: name must be text without a slash", code="config-value")
    return got


NAME: dict[str, Any] = {"check": lambda owner, field, got: layer_name(got), "later": lambda name: type(name) is str}
TRAINS: dict[str, Any] = {"check": flag(True).metadata["check"], "later": operator.not_}
"""The checks of the fields of every layer, and when configs include them."""


class Layer(Spec):
    """Base class of layers; by default elementwise, without parameters and not random.

    The first layer of a network also takes `input_dim` or `input_shape`.

    Args:
        name: Name of the layer in a model; by default the model chooses one, such as "dense_1".
        trainable: Whether `fit` changes its weights.  It can be set later: `layer.trainable = False`.

    Example:
        >>> import numpy as np
        >>> from firesteel.layers import Layer
        >>> class Double(Layer):
        ...     def apply(self, p, x, rng=None):
        ...         return 2 * x, lambda d_y, g, wants_x: 2 * d_y
        >>> outputs, pull = Double().apply({}, np.array([[1.0, 3.0]]))
        >>> outputs
        array([[2., 6.]])
    """

    name: str | None = field(default=None, kw_only=True, metadata=NAME, compare=False, repr=False)
    trainable: bool = field(default=True, kw_only=True, metadata=TRAINS, compare=False, repr=False)

    random: ClassVar[bool] = False
    """Whether training differs from prediction, where `apply` gets no stream."""
    joint: ClassVar[bool] = False
    """Whether training needs sums over a whole batch: `batch_sums(*x)` returns those of a piece.  In training `apply`
    gets the sum over all pieces as its last argument, and returns a `Joint` as its pull-back."""
    switched: ClassVar[int] = 0
    """How often `trainable` of any layer was set: caches that depend on it are valid until the next time."""
    results: ClassVar[int] = 1
    """Number of outputs of `apply`; if there are several, shapes, values and derivatives are tuples."""

    @property
    def inputs(self) -> int | None:
        """Number of inputs; None if it follows from the previous layer."""
        return (getattr(self, "input_shape", None) or (getattr(self, "input_dim", None),))[-1]

    def parts(self) -> tuple["Layer", ...]:
        """Return the elementary layers that this layer consists of; for `Dense`, product and activation."""
        return (self,)

    def output_shape(self, *inputs: Shape) -> Any:
        """Return the shape of the outputs, given those of the inputs.

        Args:
            *inputs: The shape of each input, without the batch axis.

        Raises:
            ConfigError: If the layer cannot take inputs of these shapes (`config-shape`).
        """
        return inputs[0]

    def params(self, *inputs: Shape) -> dict[str, Param]:
        """Return the parameters of the layer, by name, given the shapes of the inputs.

        Args:
            *inputs: The shape of each input, without the batch axis.
        """
        return {}

    def moved(self, centre: Sequence[float]) -> "Layer":
        """Return an equivalent layer for inputs from which a centre was subtracted; itself if no change is needed."""
        return self

    def lowered(self, centre: Sequence[float]) -> "Layer":
        """Return a layer whose outputs are smaller by a centre; the same layer if training can learn the shift."""
        return self

    def __call__(self, *values: Any, training: bool | None = None) -> Any:
        """Apply the layer to symbolic tensors of a network: `Dense(8)(x)`, `Add()([a, b])`.

        Args:
            *values: One value, several, or a list of them.
            training: False to use the layer as in prediction, also in training; None for the usual behaviour.

        Returns:
            The value that the layer returns in the graph.
        """
        from firesteel.core.layers.calling import called  # which knows layers

        return called(self, values, training=training)

    def __getattr__(self, name: str) -> Any:
        place = vars(self).get("_place")
        if place is None or name[0] == "_" or not hasattr(type(place), name):
            raise AttributeError(f"{type(self).__name__} has no {name!r}")
        return getattr(place, name)

    def _set_trainable(self, value: object) -> None:
        vars(self)["trainable"] = TRAINS["check"](type(self).__name__, "trainable", value)
        Layer.switched += 1

    def apply(self, *args: Any, **kwargs: Any) -> tuple[Any, Pull]:
        """Forward pass `apply(p, *x, rng=None)`: return outputs and pull-back (a function for the backward pass).

        The pull-back `pull(d_y, g, wants_x)` takes the derivative of the loss by y.  It writes the derivatives by the
        parameters into the views g (all of them, without adding) and returns those by the inputs if `wants_x`.  It
        may overwrite d_y.

        Args:
            p: The parameters, by name.
            x: The inputs, (B, *shape) each.
            rng: The stream of random numbers in training; None otherwise, and then nothing may be random.
        """
        raise NotImplementedError

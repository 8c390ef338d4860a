"""What a layer is: a frozen description that is also its own mathematics.

`apply` returns the outputs and the pull-back, a function that holds what the backward pass needs; so nothing is
cached on an object and nothing can be called in the wrong order.  `layers/` has a file for each family, `network.py`
strings layers together.  Shapes are those of one row, without the batch axis.
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
    """One array of parameters.

    Args:
        shape: The array's shape.
        initializer: How its first values are drawn.
        regularizer: The penalty on it, if it has one.
        constraint: What it must satisfy after each step, if anything.
        average: None for what a gradient moves; else it is a running average, this is the share of the old value that
            stays at a step, and in training the pull-back writes the batch's value in place of a gradient.
        by_row: Whether a batch touches few of its rows, and a step moves those alone.  Then `touched(x)` returns the
            numbers of the rows that inputs x touch, and where a step has only these, `p["place"]` has the place of
            each among them.
    """

    shape: Shape
    initializer: Initializer = Zeros()
    regularizer: Regularizer | None = None
    constraint: Constraint | None = None
    average: float | None = None
    by_row: bool = False


class Joint(NamedTuple):
    """The pull-back of a layer that sums over a whole batch: `pull(d_y, g, wants_x, total)`, with the sums of all
    pieces of what `batch_sums(d_y)` returns."""

    batch_sums: Callable[[Any], Array]
    pull: Callable[..., Any]


class Automatic(str):
    """A layer's name that a model has chosen."""


def layer_name(got: object) -> str | None:
    """Return the name of a layer or model.  Raises ConfigError where it is no text, or has a slash in it."""
    if got is not None and (not isinstance(got, str) or not got or "/" in got):
        raise ConfigError(f"name={got!r}: it must be text without a slash", code="config-value")
    return got


NAME: dict[str, Any] = {"check": lambda owner, field, got: layer_name(got), "later": lambda name: type(name) is str}
TRAINS: dict[str, Any] = {"check": flag(True).metadata["check"], "later": operator.not_}
"""What is checked of a layer's fields, and when descriptions have them."""


class Layer(Spec):
    """Base of layers: elementwise, without parameters and not random unless it says otherwise.

    `input_dim` may be given on the first layer of a network.

    Args:
        name: What the layer is called in a model; one is chosen where it is None.
        trainable: Whether `fit` changes its weights.  It may be set later: `layer.trainable = False`.
    """

    name: str | None = field(default=None, kw_only=True, metadata=NAME, compare=False, repr=False)
    trainable: bool = field(default=True, kw_only=True, metadata=TRAINS, compare=False, repr=False)

    random: ClassVar[bool] = False
    """Whether training differs from use, where `apply` is given no stream."""
    joint: ClassVar[bool] = False
    """Whether training needs sums over a whole batch: `batch_sums(*x)` returns those of a piece, `apply` is given the
    sum over all pieces as its last argument but in use, and returns a `Joint` for its pull-back."""
    switched: ClassVar[int] = 0
    """How often `trainable` of any layer was set: what is known of it holds until then."""
    results: ClassVar[int] = 1
    """How many values `apply` makes: where they are several, shapes, values and derivatives are tuples of them."""

    @property
    def inputs(self) -> int | None:
        """The number of inputs, or None where what comes before decides."""
        return (getattr(self, "input_shape", None) or (getattr(self, "input_dim", None),))[-1]

    def parts(self) -> tuple["Layer", ...]:
        """Return the layers that this one is short for, in order: itself, but for `Dense` and the like."""
        return (self,)

    def output_shape(self, *inputs: Shape) -> Any:
        """Return the shape of the outputs, given those of the inputs.

        Raises:
            ConfigError: If the layer cannot take inputs of these shapes.
        """
        return inputs[0]

    def params(self, *inputs: Shape) -> dict[str, Param]:
        """Return what the layer learns, by name, given the shapes of the inputs."""
        return {}

    def moved(self, centre: Sequence[float]) -> "Layer":
        """Return the layer for inputs less a centre; the same one where it knows nothing of where they lie."""
        return self

    def lowered(self, centre: Sequence[float]) -> "Layer":
        """Return the layer for outputs less a centre; the same one where it learns where they lie."""
        return self

    def __call__(self, *values: Any, training: bool | None = None) -> Any:
        """Return what the layer makes of values of a graph: `Dense(8)(x)`, `Add()([a, b])`."""
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
        """Return the outputs y and the pull-back: `apply(p, *x, rng=None)`.

        The pull-back `pull(d_y, g, wants_x)` takes the derivative of the loss by y, writes those by the parameters
        into the views g, all of them and never adding, and returns those by the inputs if `wants_x`.  It may
        overwrite d_y.

        Args:
            p: The parameters, by name.
            x: The inputs, (B, *shape) each.
            rng: The stream of random numbers in training; None in use, where nothing may be random.
        """
        raise NotImplementedError

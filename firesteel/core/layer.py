"""What a layer is: a frozen description that is also its own mathematics.

`apply` returns the outputs and the pull-back, a function that holds what the backward pass needs; so nothing is
cached on an object and nothing can be called in the wrong order.  `layers/` has a file for each family, `network.py`
strings layers together.  Shapes are those of one row, without the batch axis.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from firesteel.core import constraints, regularizers
from firesteel.core.constraints import Constraint
from firesteel.core.initializers import Initializer, Zeros
from firesteel.core.regularizers import Regularizer
from firesteel.core.spec import Spec, whole
from firesteel.core.types import Array, Pull, Shape
from firesteel.errors import ConfigError

__all__ = ["Joint", "Layer", "Param", "constraint", "input_dim", "regularizer"]


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


class Layer(Spec):
    """Base of layers: elementwise, without parameters and not random unless it says otherwise.

    `input_dim` may be given on the first layer of a network.
    """

    random: ClassVar[bool] = False
    """Whether training differs from use, where `apply` is given no stream."""
    joint: ClassVar[bool] = False
    """Whether training needs sums over a whole batch: `batch_sums(*x)` returns those of a piece, `apply` is given the
    sum over all pieces as its last argument but in use, and returns a `Joint` for its pull-back."""
    results: ClassVar[int] = 1
    """How many values `apply` makes: where they are several, shapes, values and derivatives are tuples of them."""

    @property
    def inputs(self) -> int | None:
        """The number of inputs, or None where what comes before decides."""
        return getattr(self, "input_dim", None)

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


def constraint(given: object) -> Constraint | None:
    """Return the constraint that was given in any form; None means none."""
    return None if given is None else constraints.get(given)

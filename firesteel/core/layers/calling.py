"""Layers that are called: each call makes a value of others, and values say what a network computes.

A value knows the layer that makes it and the values that it is made of, so a network's nodes can be read off its
outputs.  `firesteel/core/network.py` runs them.
"""

import inspect
import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from firesteel.core.layer import Layer
from firesteel.core.layers.arithmetic import Arithmetic
from firesteel.core.layers.reshaping import Flatten, Input, Reshape
from firesteel.core.layers.wrapper import InUse
from firesteel.core.types import Array, Shape
from firesteel.errors import ConfigError

__all__ = ["Tensor", "called", "copied", "flat", "matched", "nodes_of", "row_of", "taken", "tensor"]

NUMBERS = itertools.count()
"""Values are numbered as they are made, so that a network computes them in the order in which they were written."""


@dataclass(frozen=True, eq=False)
class Tensor(Arithmetic):
    """A value of a network that is being described: what a layer makes of other values, or an input.

    Args:
        layer: What makes it.
        args: What it is made of; nothing for an input.
        row: The shape of one row of it.
        index: Which of the values that the layer makes it is.
        scope: The models that it was made in by calling them, as "base/".
        number: Says in which order values were made.
        owner: Whose weights the layer uses: the same object where a layer is called twice.
        results: How many values the layer makes.

    >>> from firesteel.core.layers import Dense
    >>> x = Input((4,))
    >>> (Dense(3)(x) + Dense(3)(x)).shape
    (None, 3)
    """

    layer: Layer
    args: tuple["Tensor", ...]
    row: Shape
    index: int = 0
    scope: str = ""
    number: float = field(default_factory=NUMBERS.__next__)
    owner: Layer | None = None
    results: int = 1

    @property
    def shape(self) -> tuple[int | None, ...]:
        """The shape, None being the rows."""
        return (None, *self.row)

    def __repr__(self) -> str:
        return f"<Tensor of shape {self.shape}, made by {self.layer}>"

    def __iter__(self) -> Iterator[Any]:
        raise ConfigError(f"{self} is a value of a network, and holds no numbers yet", code="config-call")


def tensor(given: Any, reader: object) -> Tensor:
    """Return what was given to a layer as a value; an `Input` is one.  Raises ConfigError for anything else."""
    if isinstance(given, Input):
        made: Tensor = vars(given).setdefault("_value", Tensor(given, (), given.shape))
        return made
    if isinstance(given, Tensor):
        return given
    what = f"{given}, which has not been called itself" if isinstance(given, Layer) else f"a {type(given).__name__}"
    raise ConfigError(
        f"{_named(reader)} was called on {what}: call it on an Input or on what another layer has returned, as in "
        "Dense(8)(Input((4,))); numbers go to a model",
        code="config-call",
    )


def flat(values: Sequence[Any]) -> list[Any]:
    """Return the values that a layer was called on, one by one or as a list."""
    return [one for value in values for one in (value if isinstance(value, list | tuple) else [value])]


def called(
    layer: Layer,
    values: Sequence[Any],
    scope: str = "",
    owner: Layer | None = None,
    training: bool | None = None,
) -> Any:
    """Return what a layer makes of values: a `Tensor`, or a tuple where it makes several.

    Args:
        layer: The layer.
        values: What it is called on.
        scope: The model that is called, as "base/".
        owner: Whose weights it uses, if not its own.
        training: False where it does in training what it does in use.

    Raises ConfigError for what is no value of a network, and where shapes do not compose.
    """
    if isinstance(layer, Input):
        raise ConfigError(f"{layer} is an input, and reads no other value: give it to a layer", code="config-call")
    given = flat(values)
    if given and all(isinstance(value, np.ndarray) for value in given) and owner is None:
        return computed(layer, given, training)
    args = tuple([tensor(value, layer) for value in given])
    if not args:
        raise ConfigError(f"{_named(layer)} was called on nothing: give it a value", code="config-call")
    owner, rows = owner or layer, [arg.row for arg in args]
    least, most = taken(layer)
    if not least <= len(args) <= most:
        wanted = f"{least} value{'s' if least > 1 else ''}"
        raise ConfigError(
            f"{_named(layer)} takes {wanted}, and was called on {len(args)}: join them, as with Concatenate()",
            code="config-call",
        )
    if isinstance(layer, Flatten) and len(rows[0]) > 1:
        layer = Flatten(layer.input_shape, size=math.prod(rows[0]), name=layer.name)
    if training:
        raise ConfigError(
            f"{_named(layer)} was called with training=True: leave it out, for layers train in fit alone",
            code="config-call",
        )
    if training is False and any(part.random or part.joint for part in layer.parts()):
        layer = InUse(layer, name=layer.name)
    try:
        if layer.inputs not in (None, rows[0][-1], math.prod(rows[0])):
            raise ConfigError(f"it is for {layer.inputs} inputs", code="config-shape")
        made: Any = rows[0]
        for part in layer.parts():
            made = part.output_shape(*rows)
            part.params(*rows)
            rows = [made] if part.results == 1 else list(made)
    except ConfigError as error:
        read = " and ".join(f"{_named(arg.layer)} of shape {arg.shape}" for arg in args)
        why = error.args[0].removesuffix(f" [{error.code}]")
        raise ConfigError(f"{_named(layer)} does not fit {read}: {why}", code=error.code) from None
    number = next(NUMBERS)
    results = [Tensor(layer, args, row, at, scope, number, owner, len(rows)) for at, row in enumerate(rows)]
    return results[0] if len(results) == 1 else tuple(results)


def computed(layer: Layer, arrays: Sequence[Array], training: bool | None) -> Any:
    """Return what a layer without weights makes of arrays, (B, ...) each, in use.

    Raises ConfigError for a layer that has weights, which a model holds, and for arrays that do not fit.

    >>> from firesteel.core.layers import ReLU
    >>> computed(ReLU(), [np.array([[-1.0, 2.0]])], None)
    array([[0., 2.]])
    """
    if training:
        raise ConfigError(f"{_named(layer)}: arrays are computed as in use: leave training= out", code="config-call")
    if any(one.ndim < 2 or one.dtype.kind not in "biuf" for one in arrays):
        raise ConfigError(f"{_named(layer)} was called on arrays that are no rows of numbers", code="config-call")
    x: Any = [one if one.dtype.name in ("float32", "float64") else one.astype(np.float32) for one in arrays]
    if isinstance(layer, Flatten):
        layer = Reshape((-1,))
    for part in layer.parts():
        rows = [one.shape[1:] for one in x]
        made = part.output_shape(*rows)
        if part.params(*rows) or part.results > 1:
            raise ConfigError(
                f"{_named(layer)} has weights, which a model holds: call it on an Input, make a Model, and call that "
                "on arrays",
                code="config-call",
            )
        x = [part.apply({}, *x)[0].reshape(len(x[0]), *made)]
    return x[0]


def taken(layer: Layer) -> tuple[int, float]:
    """Return how many values a layer takes, at least and at most.

    >>> from firesteel.core.layers import Add, Dense
    >>> taken(Dense(2)), taken(Add())
    ((1, 1), (1, inf))
    """
    first, *_ = (*layer.parts(), None)
    if first is None:
        return 1, 1
    given = [one for name, one in inspect.signature(first.apply).parameters.items() if name not in ("p", "rng")]
    if any(one.kind is one.VAR_POSITIONAL for one in given):
        return 1, math.inf
    return sum(one.default is one.empty for one in given), len(given) - first.joint


def _named(layer: object) -> str:
    """Return how messages call a layer: by its name, if it has one, and by what it is."""
    name = getattr(layer, "name", None)
    return f"{layer} ({name!r})" if name else str(layer)


def has_axes(layers: Sequence[Layer], row: Shape) -> bool | None:
    """Return whether rows of several axes reach a Flatten or the end of a chain; None where its layers do not fit.

    Args:
        layers: The chain.
        row: The shape of a row of its inputs.
    """
    for layer in layers:
        if isinstance(layer, Flatten) and len(row) > 1:
            return True
        try:
            for part in layer.parts():
                row = part.output_shape(row)
        except ConfigError:
            return None
    return len(row) > 1


def row_of(layers: Sequence[Layer], inputs: int) -> Shape | None:
    """Return the shape of a row, given how many numbers it has, where values of several axes are met; else None.

    A picture is a row of numbers for layers that take it so.
    """
    if not layers:
        return None
    several = has_axes(layers, (inputs,))
    row = layers[0].shape if isinstance(layers[0], Input) else getattr(layers[0], "input_shape", None)
    if several is None and row and (len(row) > 1 or has_axes(layers, row) is not None):
        return tuple(row)
    return (inputs,) if several else None


def matched(name: str, inputs: Sequence[Tensor], given: Sequence[Tensor]) -> dict[int, Tensor]:
    """Return which values a model is called on, by the `id` of its inputs.

    Raises ConfigError where it has more or fewer inputs, or ones of another shape.
    """
    if len(given) != len(inputs):
        raise ConfigError(
            f"{name} has {len(inputs)} inputs, and was called on {len(given)} values", code="config-inputs"
        )
    for one, value in zip(inputs, given, strict=True):
        if one.row != value.row:
            raise ConfigError(f"{name} takes rows of shape {one.row}, and was called on {value}", code="config-shape")
    return {id(one): value for one, value in zip(inputs, given, strict=True)}


def copied(
    outputs: Sequence[Tensor], known: dict[int, Tensor], scope: str, training: bool | None = None
) -> list[Tensor]:
    """Return outputs made of other values, by the same layers with the same weights.

    Args:
        outputs: The values.
        known: What stands for values that are not made again, by `id`.
        scope: The model that is called, as "base/".
        training: False where its layers do in training what they do in use.

    Raises:
        ConfigError: Where layers do not fit the other values.
    """
    needed, waiting = dict[int, Tensor](), list(outputs)
    while waiting:
        one = waiting.pop()
        if id(one) not in known and id(one) not in needed:
            needed[id(one)] = one
            waiting += one.args
    for one in sorted(needed.values(), key=lambda value: value.number):
        if id(one) not in known:
            args = [known[id(arg)] for arg in one.args]
            made = called(one.layer, args, scope + one.scope, one.owner, training)
            same = [other for other in needed.values() if other.number == one.number]
            known |= {id(other): made[other.index] if isinstance(made, tuple) else made for other in same}
    return [known[id(one)] for one in outputs]


def nodes_of(inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> tuple[list[Tensor], dict[int, int]]:
    """Return what computes outputs out of inputs, in the order in which it was written.

    Returns:
        The values to be made, one for each call of a layer; and the number in a network of each value, by its `id`.

    Raises:
        ConfigError: If an input is there twice or is read by nothing, or an output needs an input that is not there.
    """
    numbers = {id(one): at for at, one in enumerate(inputs)}
    if len(numbers) < len(inputs):
        raise ConfigError("an input is in the list of inputs twice", code="config-graph")
    needed, used, waiting = dict[float, list[Tensor]](), set[int](), list(outputs)
    while waiting:
        one = waiting.pop()
        if id(one) in numbers:
            used.add(id(one))
        elif isinstance(one.layer, Input):
            raise ConfigError(
                f"{_named(one.layer)} is needed for the outputs, and is not among the inputs: add it to the inputs",
                code="config-graph",
            )
        else:
            known = needed.setdefault(one.number, [])
            waiting += [] if known else one.args
            known += [] if any(one is other for other in known) else [one]
    for at, one in enumerate(inputs):
        if id(one) not in used:
            raise ConfigError(
                f"input {at}, {_named(one.layer)}, is read by nothing that the outputs need: leave it out",
                code="config-graph",
            )
    made, at = [needed[number] for number in sorted(needed)], len(inputs)
    for results in made:
        numbers |= {id(one): at + one.index for one in results}
        at += results[0].results
    return [results[0] for results in made], numbers

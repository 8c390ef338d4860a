"""The functional API: calling a layer on symbolic tensors returns a new symbolic tensor.

A tensor references the layer that computes it and the tensors that the layer reads, so the nodes of a network can be
collected from its outputs.  `firesteel/core/network.py` runs them.
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

__all__ = ["Tensor", "called", "copied", "flat", "matched", "nodes_of", "row_of", "arity", "tensor"]

NUMBERS = itertools.count()
"""Tensors are numbered in the order of their creation, so that a network computes them in the order of the code."""


@dataclass(frozen=True, eq=False)
class Tensor(Arithmetic):
    """Symbolic tensor of a network: an input, or the output of a layer called on other symbolic tensors.

    Args:
        layer: The layer that computes the tensor.
        args: The tensors that the layer is called on; empty for an input.
        row: Shape of one row.
        index: Position among the outputs of the layer.
        scope: Models whose call created the tensor, such as "base/".
        number: Position in the order of creation.
        owner: Owner of the weights: the same object if a layer is called twice.
        results: Number of outputs of the layer.

    Example:
        >>> from firesteel.layers import Dense, Input
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
        """Shape of the tensor, with None for the batch axis."""
        return (None, *self.row)

    def __repr__(self) -> str:
        return f"<Tensor of shape {self.shape}, made by {self.layer}>"

    def __iter__(self) -> Iterator[Any]:
        raise ConfigError(
            f"{self} is a symbolic tensor without numbers and cannot be iterated: to get numbers, call a model",
            code="config-call",
        )


def tensor(given: Any, reader: object) -> Tensor:
    """Check an argument that a layer is called on: return a `Tensor` unchanged, and an `Input` as a `Tensor`.

    Args:
        given: The argument.
        reader: The layer or model, for the message.

    Raises:
        ConfigError: The argument is anything else (`config-call`).
    """
    if isinstance(given, Input):
        made: Tensor = vars(given).setdefault("_value", Tensor(given, (), given.shape))
        return made
    if isinstance(given, Tensor):
        return given
    what = (
        f"the layer {given}, not on its output"
        if isinstance(given, Layer)
        else f"an object of type {type(given).__name__}"
    )
    raise ConfigError(
        f"{_named(reader)} was called on {what}: call it on an Input or on the result of another layer, as in "
        "Dense(8)(Input((4,))); to compute with numbers, call a model",
        code="config-call",
    )


def flat(values: Sequence[Any]) -> list[Any]:
    """Return the inputs of a layer call as one list; they may be passed one by one or as lists."""
    return [one for value in values for one in (value if isinstance(value, list | tuple) else [value])]


def called(
    layer: Layer,
    values: Sequence[Any],
    scope: str = "",
    owner: Layer | None = None,
    training: bool | None = None,
) -> Any:
    """Call a layer on symbolic tensors: return its output, or a tuple if the layer has several outputs.

    Arrays are computed immediately if the layer has no weights (see `computed`).

    Args:
        layer: The layer.
        values: The tensors or arrays that the layer is called on.
        scope: The model whose call this is part of, such as "base/".
        owner: Owner of the weights; None for the layer itself.
        training: False makes the layer behave in training as at inference.

    Raises:
        ConfigError: An argument is not a tensor, the number of arguments is wrong, or `training` is True
            (`config-call`), or shapes do not fit (`config-shape`).
    """
    if isinstance(layer, Input):
        raise ConfigError(f"{layer} is an input and cannot be called: call a layer on it", code="config-call")
    given = flat(values)
    if given and all(isinstance(value, np.ndarray) for value in given) and owner is None:
        return computed(layer, given, training)
    args = tuple([tensor(value, layer) for value in given])
    if not args:
        raise ConfigError(
            f"{_named(layer)} was called without an input: call it on an Input or on the output of another layer",
            code="config-call",
        )
    owner, rows = owner or layer, [arg.row for arg in args]
    least, most = arity(layer)
    if not least <= len(args) <= most:
        wanted = f"{least} input{'s' if least > 1 else ''}"
        raise ConfigError(
            f"{_named(layer)} takes {wanted} but was called on {len(args)}: merge them first, as with Concatenate()",
            code="config-call",
        )
    if isinstance(layer, Flatten) and len(rows[0]) > 1:
        layer = Flatten(layer.input_shape, size=math.prod(rows[0]), name=layer.name)
    if training:
        raise ConfigError(
            f"{_named(layer)} was called with training=True: leave training out, because layers train only in fit",
            code="config-call",
        )
    if training is False and any(part.random or part.joint for part in layer.parts()):
        layer = InUse(layer, name=layer.name)
    try:
        if layer.inputs not in (None, rows[0][-1], math.prod(rows[0])):
            raise ConfigError(f"the layer reads rows of {layer.inputs} values", code="config-shape")
        made: Any = rows[0]
        for part in layer.parts():
            made = part.output_shape(*rows)
            part.params(*rows)
            rows = [made] if part.results == 1 else list(made)
    except ConfigError as error:
        read = " and ".join(f"the output of {_named(arg.layer)}, of shape {arg.shape}" for arg in args)
        why = error.args[0].removesuffix(f" [{error.code}]")
        raise ConfigError(f"{_named(layer)} does not fit {read}: {why}", code=error.code) from None
    number = next(NUMBERS)
    results = [Tensor(layer, args, row, at, scope, number, owner, len(rows)) for at, row in enumerate(rows)]
    return results[0] if len(results) == 1 else tuple(results)


def computed(layer: Layer, arrays: Sequence[Array], training: bool | None) -> Any:
    """Return the output of a layer without weights on arrays (B, ...), in inference mode.

    Args:
        layer: The layer.
        arrays: Its inputs.
        training: None or False.

    Raises:
        ConfigError: The layer has weights or `training` is True (`config-call`), or arrays do not fit.

    Example:
        >>> from firesteel.core.layers import ReLU
        >>> computed(ReLU(), [np.array([[-1.0, 2.0]])], None)
        array([[0., 2.]])
    """
    if training:
        raise ConfigError(
            f"{_named(layer)}: a layer called on arrays always runs in inference mode: leave training out",
            code="config-call",
        )
    if any(one.ndim < 2 or one.dtype.kind not in "biuf" for one in arrays):
        raise ConfigError(f"{_named(layer)} needs numeric arrays with two or more axes", code="config-call")
    x: Any = [one if one.dtype.name in ("float32", "float64") else one.astype(np.float32) for one in arrays]
    if isinstance(layer, Flatten):
        layer = Reshape((-1,))
    for part in layer.parts():
        rows = [one.shape[1:] for one in x]
        made = part.output_shape(*rows)
        if part.params(*rows) or part.results > 1:
            raise ConfigError(
                f"{_named(layer)} has weights, which belong to a model: call the layer on an Input, make a Model, "
                "and call the model on arrays",
                code="config-call",
            )
        x = [part.apply({}, *x)[0].reshape(len(x[0]), *made)]
    return x[0]


def arity(layer: Layer) -> tuple[int, float]:
    """Return the smallest and the largest number of inputs that a layer can be called on.

    Example:
        >>> from firesteel.core.layers import Add, Dense
        >>> arity(Dense(2)), arity(Add())
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
    """Return a layer's description for messages, followed by the layer's name if it has one."""
    name = getattr(layer, "name", None)
    return f"{layer} ({name!r})" if name else str(layer)


def has_axes(layers: Sequence[Layer], row: Shape) -> bool | None:
    """Return whether rows have several axes at a `Flatten` or after the last layer; None if shapes do not fit.

    Args:
        layers: The chain.
        row: Shape of a row of the inputs.
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
    """Return the shape of one input row if a chain of layers needs several axes, as for images; else None.

    Images count as flat rows for layers that accept those.

    Args:
        layers: A chain of layers.
        inputs: Number of values in a row.
    """
    if not layers:
        return None
    several = has_axes(layers, (inputs,))
    row = layers[0].shape if isinstance(layers[0], Input) else getattr(layers[0], "input_shape", None)
    if several is None and row and (len(row) > 1 or has_axes(layers, row) is not None):
        return tuple(row)
    return (inputs,) if several else None


def matched(name: str, inputs: Sequence[Tensor], given: Sequence[Tensor]) -> dict[int, Tensor]:
    """Return a dictionary from the `id` of each model input to the tensor that the model is called on.

    Args:
        name: The model's name.
        inputs: Its inputs.
        given: The tensors that the model is called on.

    Raises:
        ConfigError: Their number differs (`config-inputs`), or a shape differs (`config-shape`).
    """
    if len(given) != len(inputs):
        raise ConfigError(
            f"{name} has {len(inputs)} inputs but was called on {len(given)} tensors: pass one tensor for each input",
            code="config-inputs",
        )
    for one, value in zip(inputs, given, strict=True):
        if one.row != value.row:
            raise ConfigError(f"{name} takes rows of shape {one.row} but was called on {value}", code="config-shape")
    return {id(one): value for one, value in zip(inputs, given, strict=True)}


def copied(
    outputs: Sequence[Tensor], known: dict[int, Tensor], scope: str, training: bool | None = None
) -> list[Tensor]:
    """Rebuild the outputs of a network on other inputs, with the same layers and weights.

    Args:
        outputs: The tensors to rebuild.
        known: Replacements of tensors that are not rebuilt, such as inputs, by `id`.
        scope: The model that is called, such as "base/".
        training: False makes its layers behave in training as at inference.

    Raises:
        ConfigError: Layers do not fit the shapes of the new inputs.
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
    """Return the layer calls that compute outputs from inputs, in the order in which they were made.

    Args:
        inputs: The inputs of a network.
        outputs: Its outputs.

    Returns:
        One tensor for each layer call, and the number of each tensor in the network, by its `id`.

    Raises:
        ConfigError: An input is listed twice, is not read, or is missing (`config-graph`).
    """
    numbers = {id(one): at for at, one in enumerate(inputs)}
    if len(numbers) < len(inputs):
        raise ConfigError("the list of inputs contains an input twice: list each input once", code="config-graph")
    needed, used, waiting = dict[float, list[Tensor]](), set[int](), list(outputs)
    while waiting:
        one = waiting.pop()
        if id(one) in numbers:
            used.add(id(one))
        elif isinstance(one.layer, Input):
            raise ConfigError(
                f"{_named(one.layer)} is needed for the outputs but is not among the inputs: add it to the inputs",
                code="config-graph",
            )
        else:
            known = needed.setdefault(one.number, [])
            waiting += [] if known else one.args
            known += [] if any(one is other for other in known) else [one]
    for at, one in enumerate(inputs):
        if id(one) not in used:
            raise ConfigError(
                f"input {at}, {_named(one.layer)}, does not affect the outputs: remove it from the inputs",
                code="config-graph",
            )
    made, at = [needed[number] for number in sorted(needed)], len(inputs)
    for results in made:
        numbers |= {id(one): at + one.index for one in results}
        at += results[0].results
    return [results[0] for results in made], numbers

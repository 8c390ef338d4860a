"""Layers that contain other layers, such as `InUse`, and their base class."""

import hashlib
from dataclasses import MISSING, field, replace
from typing import Any

import numpy as np

from firesteel.core.layer import Layer, Param
from firesteel.core.layers.dense import Linear
from firesteel.core.spec import choice
from firesteel.core.types import Array, Pull, Shape, Stream, Views
from firesteel.errors import ConfigError

__all__ = ["Held", "InUse", "Wrapper"]


class Wrapper(Layer):
    """Base class of layers that contain inner layers and own the parameters of these inner layers.

    Parameters are named "layer.part.parameter".

    A subclass returns its inner layers from `inner` and calls `run` for each in `apply`.  If an inner layer does not
    read the wrapper's own inputs, `params` passes its input shapes to `learned`.
    """

    @property
    def inner(self) -> dict[str, Layer]:
        """The inner layers, by name."""
        raise NotImplementedError

    @property
    def random(self) -> bool:  # type: ignore[override]
        """Whether an inner layer behaves differently in training, for example by drawing random numbers."""
        return any(part.random for name in self.inner for _, part in self._parts(name))

    def params(self, *inputs: Shape) -> dict[str, Param]:
        return {key: param for name in self.inner for key, param in self.learned(name, *inputs)[0].items()}

    def learned(self, name: str, *inputs: Shape) -> tuple[dict[str, Param], Shape]:
        """Return the parameters of the inner layer `name` and its output shape, given its input shapes."""
        found: dict[str, Param] = {}
        for prefix, part in self._parts(name):
            if part.joint:
                raise ConfigError(
                    f"{part} computes sums over the whole batch and cannot be inside another layer: use it outside",
                    code="config-layer",
                )
            params = part.params(*inputs)
            if any(param.by_row for param in params.values()):
                raise ConfigError(
                    f"{part} is inside another layer, where sparse_steps does not work: leave sparse_steps out",
                    code="config-sparse",
                )
            found |= {prefix + key: param for key, param in params.items()}
            inputs = (part.output_shape(*inputs),)
        return found, inputs[0]

    def run(self, name: str, p: Views, *x: Array, rng: Stream | None = None) -> tuple[Array, Pull]:
        """Apply the inner layer `name` to x; return the outputs and a function for backpropagation."""
        pulls = []
        for number, (prefix, part) in enumerate(self._parts(name)):
            own = None if rng is None or not part.random else rng.inside(name, number)
            y, pull = part.apply(_under(p, prefix), *x, rng=own)
            pulls.append((prefix, pull))
            x = (y,)

        def back(d_y: Any, g: Views, wants_x: bool) -> Any:
            for at, (prefix, pull) in reversed(list(enumerate(pulls))):
                d_y = pull(d_y, _under(g, prefix), wants_x or at > 0)
            return d_y

        return x[0], back

    def _parts(self, name: str) -> list[tuple[str, Layer]]:
        return [(f"{name}.{number}.", part) for number, part in enumerate(self.inner[name].parts())]


def _under(views: Views, prefix: str) -> Views:
    """Return the arrays whose names start with a prefix, under names without the prefix."""
    return {key.removeprefix(prefix): array for key, array in views.items() if key.startswith(prefix)}


class Held(Layer):
    """Layer with frozen weights: it has no trainable parameters and always runs in inference mode.

    Args:
        layer: The part.
        values: Its weights.
        sha256: Checksum of the weights, by which two parts are compared.
    """

    layer: Layer
    values: Views = field(compare=False, repr=False)
    sha256: str = field(init=False)

    def __post_init__(self) -> None:
        digest = hashlib.sha256()
        for name in sorted(self.values):
            digest.update(np.ascontiguousarray(self.values[name]).data)
        vars(self).update(sha256=digest.hexdigest(), results=self.layer.results)

    def output_shape(self, *inputs: Shape) -> Any:
        return self.layer.output_shape(*inputs)

    def apply(self, p: Views, *x: Any, rng: Stream | None = None) -> tuple[Array, Pull]:
        y, pull = self.layer.apply(self.values, *x)

        def back(d_y: Any, g: Views, wants_x: bool) -> Any:
            unused = {} if isinstance(self.layer, Linear) else {n: np.empty_like(a) for n, a in self.values.items()}
            return pull(d_y, unused, wants_x)

        return y, back

    def to_config(self) -> dict[str, Any]:
        return {"type": "Held", "layer": self.layer.to_config(), "sha256": self.sha256}


def any_layer(given: Any) -> Layer:
    """Return a layer object, given an object, a name or a config."""
    from firesteel.core import layers  # imported late: layers need this module

    found: Layer = given if isinstance(given, Layer) else layers.get(given)
    return found


class InUse(Layer):
    """Wrapper that runs a layer in inference mode, even while the model is trained.

    Dropout drops nothing, and batch normalization uses and keeps its running averages.  Calling `layer(x,
    training=False)` puts this layer into a network.

    Args:
        layer: The layer, its name or its config.
        name: Name of the layer in a model; None lets the model choose one.
        trainable: Whether training changes the layer's weights.

    Raises:
        ConfigError: No layer has this name (`config-unknown`).

    Example:
        >>> from firesteel.layers import Dropout, Input, InUse
        >>> InUse(Dropout(0.5))(Input((4,))).shape
        (None, 4)
    """

    layer: Layer = choice(MISSING, any_layer)

    @property
    def inputs(self) -> int | None:
        return self.layer.inputs

    def parts(self) -> tuple[Layer, ...]:
        return tuple([Settled(part) if part.random or part.joint else part for part in self.layer.parts()])


class Settled(Layer):
    """Wrapper that runs one part of a layer in inference mode; running averages do not change in training."""

    part: Layer

    def output_shape(self, *inputs: Shape) -> Any:
        return self.part.output_shape(*inputs)

    def params(self, *inputs: Shape) -> dict[str, Param]:
        found = self.part.params(*inputs)
        return {name: one if one.average is None else replace(one, average=1.0) for name, one in found.items()}

    def apply(self, p: Views, *x: Any, rng: Stream | None = None) -> tuple[Array, Pull]:
        y, pull = self.part.apply(p, *x)

        def back(d_y: Any, g: Views, wants_x: bool) -> Any:
            for array in g.values():
                array.fill(0)  # running averages get no derivative
            return pull(d_y, g, wants_x)

        return y, back

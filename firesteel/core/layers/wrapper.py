"""Layers that contain layers."""

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
    """Base of layers that apply other layers: what those learn is the wrapper's, as "name.part.parameter".

    A subclass names them in `inner`, gives each to `run` in its `apply`, and to `learned` in its `params` where that
    one is not given the wrapper's own inputs.
    """

    @property
    def inner(self) -> dict[str, Layer]:
        """The layers inside, by name."""
        raise NotImplementedError

    @property
    def random(self) -> bool:  # type: ignore[override]
        """Whether one of them is random."""
        return any(part.random for name in self.inner for _, part in self._parts(name))

    def params(self, *inputs: Shape) -> dict[str, Param]:
        return {key: param for name in self.inner for key, param in self.learned(name, *inputs)[0].items()}

    def learned(self, name: str, *inputs: Shape) -> tuple[dict[str, Param], Shape]:
        """Return what an inner layer learns, and the shape of its outputs, given the shapes of its inputs."""
        found: dict[str, Param] = {}
        for prefix, part in self._parts(name):
            if part.joint:
                raise ConfigError(f"{part} sums over a batch: it cannot be inside another layer", code="config-layer")
            params = part.params(*inputs)
            if any(param.by_row for param in params.values()):
                raise ConfigError(f"{part} is inside another layer: leave sparse_steps out", code="config-sparse")
            found |= {prefix + key: param for key, param in params.items()}
            inputs = (part.output_shape(*inputs),)
        return found, inputs[0]

    def run(self, name: str, p: Views, *x: Array, rng: Stream | None = None) -> tuple[Array, Pull]:
        """Apply an inner layer; the arguments are those of `apply`."""
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
    """Return the views whose names begin so, without that."""
    return {key.removeprefix(prefix): array for key, array in views.items() if key.startswith(prefix)}


class Held(Layer):
    """A part of a network whose weights do not train: it has none of its own, and computes what it does in use.

    Args:
        layer: The part.
        values: Its weights.
        sha256: Their checksum, by which two are compared.
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
    """Return a layer that was given as itself, by its name or as its description."""
    from firesteel.core import layers  # which has this one, too

    found: Layer = given if isinstance(given, Layer) else layers.get(given)
    return found


class InUse(Layer):
    """Does in training what a layer does in use: dropout drops nothing, batch normalization keeps its averages.

    It is what `layer(x, training=False)` puts into a network.

    Args:
        layer: The layer.

    >>> InUse("Dropout").parts()
    (Settled(part=Dropout(rate=0.5)),)
    """

    layer: Layer = choice(MISSING, any_layer)

    @property
    def inputs(self) -> int | None:
        return self.layer.inputs

    def parts(self) -> tuple[Layer, ...]:
        return tuple([Settled(part) if part.random or part.joint else part for part in self.layer.parts()])


class Settled(Layer):
    """A part of a layer that does in training what it does in use; what it averages over batches stays."""

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
                array.fill(0)  # what is averaged gets no derivative
            return pull(d_y, g, wants_x)

        return y, back

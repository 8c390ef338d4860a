"""The outputs of a network that has several, side by side in one row."""

from dataclasses import MISSING
from typing import Any

import numpy as np

from firesteel.core.layer import Layer
from firesteel.core.layers.activation import ACTIVATIONS
from firesteel.core.layers.merge import Concatenate
from firesteel.core.spec import choice, whole
from firesteel.core.types import Array, Pull, Shape, Stream, Views
from firesteel.errors import ConfigError

__all__ = ["Heads", "Links"]

LINKS = ("linear", "sigmoid", "softmax")


def sizes_of(given: Any) -> tuple[int, ...]:
    """Return numbers of outputs as a tuple; raise ConfigError unless they are whole ones from 1 on."""
    found = [whole(size) for size in given] if isinstance(given, list | tuple) else []
    if not found or not all(size and size > 0 for size in found):
        raise ConfigError(f"sizes={given!r}: it must list how many numbers each output has", code="config-value")
    return tuple(found)  # type: ignore[arg-type]


def links_of(given: Any) -> tuple[str, ...]:
    """Return names of activations as a tuple; raise ConfigError unless each is one that losses are fused with."""
    found = tuple(given) if isinstance(given, list | tuple) else ("",)
    if not set(found) <= set(LINKS):
        raise ConfigError(f"links={given!r}: it must list which of {LINKS} ends each output", code="config-value")
    return found


class Links(Layer):
    """Several outputs, one after another in a row, each through its activation.    x, y: (B, sum of sizes)

    >>> Links((1, 2), ("linear", "softmax")).apply({}, np.array([[3.0, 1.0, 1.0]]))[0]
    array([[3. , 0.5, 0.5]])
    """

    sizes: tuple[int, ...]
    links: tuple[str, ...]

    def output_shape(self, *inputs: Shape) -> Shape:
        if inputs[0] != (sum(self.sizes),):
            raise ConfigError(f"outputs of {self.sizes} numbers are not a row of {inputs[0]}", code="config-shape")
        return inputs[0]

    @property
    def slices(self) -> list[slice]:
        """Where each output lies in a row."""
        ends = np.cumsum(self.sizes).tolist()
        return [slice(end - size, end) for end, size in zip(ends, self.sizes, strict=True)]

    def ended(self, number: int, z: Array) -> tuple[Array, Pull | None]:
        """Return an output, given its part of a row, and the pull-back of its activation, if it has one."""
        link = ACTIVATIONS[self.links[number]]
        return (z, None) if link is None else link.apply({}, z)

    def apply(self, p: Views, x: Array, rng: Stream | None = None) -> tuple[Array, Pull]:
        y, pulls = np.empty_like(x), list[Pull | None]()
        for number, where in enumerate(self.slices):
            y[:, where], pull = self.ended(number, np.ascontiguousarray(x[:, where]))
            pulls.append(pull)

        def pull_all(d_y: Array, g: Views, wants_x: bool) -> Array:
            for where, pull in zip(self.slices, pulls, strict=True):
                if pull is not None:
                    d_y[:, where] = pull(np.ascontiguousarray(d_y[:, where]), {}, True)
            return d_y

        return y, pull_all


class Heads(Layer):
    """Joins the outputs of a network that has several to one row, each ended by its activation.

    It stands last, so that each loss is computed together with the activation that it goes with, on logits.

    Args:
        sizes: How many numbers each output has.
        links: The activation of each: "softmax", "sigmoid", or "linear" for an output that is as it comes.

    Raises:
        ConfigError: If the lists differ in length, or an input has another size.

    >>> Heads([1, 2], ["linear", "softmax"]).parts()
    (Concatenate(), Links(sizes=(1, 2), links=('linear', 'softmax')))
    """

    sizes: tuple[int, ...] = choice(MISSING, sizes_of)
    links: tuple[str, ...] = choice(MISSING, links_of)

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.sizes) != len(self.links):
            raise ConfigError(f"{len(self.sizes)} sizes do not fit {len(self.links)} links", code="config-shape")

    @property
    def inputs(self) -> int | None:
        return self.sizes[0] if len(self.sizes) == 1 else None

    def parts(self) -> tuple[Layer, ...]:
        ends = Links(self.sizes, self.links)
        return (Concatenate(), ends) if len(self.sizes) > 1 else (ends,)

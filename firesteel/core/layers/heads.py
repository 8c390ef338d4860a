"""Layer that joins the outputs of a network with several outputs into one row."""

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
    """Check the argument `sizes` of `Heads`: return the number of values of each output, as a tuple."""
    found = [whole(size) for size in given] if isinstance(given, list | tuple) else []
    if not found or not all(size and size > 0 for size in found):
        raise ConfigError(f"sizes={given!r}: it must list the number of values of each output", code="config-value")
    return tuple(found)  # type: ignore[arg-type]


def links_of(given: Any) -> tuple[str, ...]:
    """Check the argument `links` of `Heads`: return the name of each output's final activation, as a tuple."""
    found = tuple(given) if isinstance(given, list | tuple) else ("",)
    if not set(found) <= set(LINKS):
        raise ConfigError(
            f"links={given!r}: it must list the final activation of each output, one of {LINKS}", code="config-value"
        )
    return found


class Links(Layer):
    """Final activations of several outputs that are joined in one row: x and y have shape (B, sum of sizes).

    Example:
        >>> Links((1, 2), ("linear", "softmax")).apply({}, np.array([[3.0, 1.0, 1.0]]))[0]
        array([[3. , 0.5, 0.5]])
    """

    sizes: tuple[int, ...]
    links: tuple[str, ...]

    def output_shape(self, *inputs: Shape) -> Shape:
        if inputs[0] != (sum(self.sizes),):
            raise ConfigError(
                f"Heads: sizes={self.sizes} do not add up to the input's shape, {inputs[0]}: list the size of "
                "each output",
                code="config-shape",
            )
        return inputs[0]

    @property
    def slices(self) -> list[slice]:
        """Slice of each output in the joined row."""
        ends = np.cumsum(self.sizes).tolist()
        return [slice(end - size, end) for end, size in zip(ends, self.sizes, strict=True)]

    def ended(self, number: int, z: Array) -> tuple[Array, Pull | None]:
        """Apply the final activation of one output to its logits; return the result and a backpropagation function.

        Args:
            number: Index of the output.
            z: The logits, (B, size of the output).

        Returns:
            The activated output and the function, which is None for "linear".
        """
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
    """Last layer of a network with several outputs: joins them into one row and applies their activations.

    It must be the last layer.  Each loss is then computed together with its activation, on logits.

    Args:
        sizes: Number of values of each output.
        links: Final activation of each output: `"softmax"`, `"sigmoid"`, or `"linear"` for none.
        name: Name of the layer in a model; None lets the model choose one.
        trainable: Without effect: the layer has no weights.

    Raises:
        ConfigError: An argument has a wrong value (`config-value`), the lists differ in length, or an input has
            another size (`config-shape`).

    Example:
        >>> from firesteel.layers import Dense, Heads, Input
        >>> x = Input((4,))
        >>> Heads([1, 2], ["linear", "softmax"])([Dense(1)(x), Dense(2)(x)]).shape
        (None, 3)
    """

    sizes: tuple[int, ...] = choice(MISSING, sizes_of)
    links: tuple[str, ...] = choice(MISSING, links_of)

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.sizes) != len(self.links):
            raise ConfigError(
                f"Heads has {len(self.sizes)} sizes but {len(self.links)} links: pass one of each per output",
                code="config-shape",
            )

    @property
    def inputs(self) -> int | None:
        return self.sizes[0] if len(self.sizes) == 1 else None

    def parts(self) -> tuple[Layer, ...]:
        ends = Links(self.sizes, self.links)
        return (Concatenate(), ends) if len(self.sizes) > 1 else (ends,)

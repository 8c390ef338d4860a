"""Compiled replacements of layers: several dense layers as one call, single layers, and common losses.

Python's lock is released once per call; NumPy releases it around every product, and two threads wait for each other
(docs/design/0008-speed.md).  `train/fused.py` takes steps with them.  They need numba and a BLAS of NumPy's that can
be called.
"""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from firesteel.core.layers import dense
from firesteel.core.layers.normalization import BatchNormalization, LayerNormalization
from firesteel.core.layout import ones
from firesteel.core.network import Network, Objective, Part
from firesteel.core.types import Array, Pull, Shape, Stream, Views, cached_property
from firesteel.fast import compiling
from firesteel.fast.kernels import activation, joint, losses, normalization
from firesteel.fast.kernels import dense as dense_loops
from firesteel.fast.kernels.functions import LOOPS, blas, linked, ufuncs
from firesteel.fast.kernels.joint import pictured

__all__ = ["Chain", "Fused", "compiled_parts", "single"]


class Loops(NamedTuple):
    """Compiled functions of dense layers, for one dtype: forward pass, loss, backward pass, bias and ReLU."""

    forward: Any
    head: Any
    backward: Any
    behind: Any
    behind_back: Any


class Chain:
    """Successive dense layers, with or without ReLU, as one layer with a compiled forward and backward pass.

    Its parameters are those of all its parts: `apply` and the pull-back get the views of the first part, and the
    others follow in the vector, in the order of `Layout`.  Inputs are x (B, I), C-contiguous, with B at least 2.

    Args:
        layers: (L, 4): for each layer its inputs and units, whether it has a bias, and whether a ReLU follows.
        loops: The compiled loops.
    """

    random = joint = False

    def __init__(self, layers: Array, loops: Loops) -> None:
        self.layers, self.loops, self.span = layers, loops, dense.span(layers)
        self.units, self.last = int(layers[:, 1].sum()), int(layers[-1, 1])

    def apply(self, p: Views, x: Array, rng: Stream | None = None) -> tuple[Array, Pull]:
        x, rows, one = np.ascontiguousarray(x), len(x), ones(len(x), x.dtype)
        z = np.empty(rows * self.units, x.dtype)
        self.loops.forward(x, p["w"], one, self.layers, z)

        def pull(d_y: Array, g: Views, wants_x: bool) -> Array | None:
            d = np.empty_like(z)
            d[-d_y.size :] = d_y.reshape(-1)
            d_x = np.empty_like(x) if wants_x else x
            self.loops.backward(x, p["w"], one, g["w"], d_x, wants_x, self.layers, z, d)
            return d_x if wants_x else None

        return z[-rows * self.last :].reshape(rows, self.last), pull


@dataclass(frozen=True)
class Fused(Objective):
    """An objective (network and loss) some of whose layers are compiled, for batches of at least two rows.

    Args:
        compiled: The replacements, as `compiled_parts` returns them.
    """

    compiled: Mapping[int, Any] = field(default_factory=dict)

    @cached_property
    def plan(self) -> tuple[Part, ...]:
        parts = self.network.plan
        ends = {first: parts[first + layer.span - 1] for first, layer in self.compiled.items()}
        inside = {number for first, end in ends.items() for number in range(first + 1, end.number + 1)}
        plan = [part for part in parts[: self.last] if part.number not in inside]
        for at, part in enumerate(plan):
            if end := ends.get(part.number):
                plan[at] = part._replace(layer=self.compiled[part.number], makes=end.makes, learns=end.learns)
        return tuple(plan)

    @cached_property
    def head(self) -> tuple[int, Array] | None:
        """Kind and constants of the compiled loss; None if NumPy computes the loss."""
        made = loops(self.network.dtype) is not None
        return losses.chosen(self.centred, self.network.outputs, self.network.dtype) if made else None

    def slopes(self, z: Array, y: Array, weights: Array) -> tuple[Array, Array, Array]:
        found = loops(self.network.dtype) if self.head is not None else None
        if self.head is None or found is None:
            return super().slopes(z, y, weights)
        of, p, d = np.empty(len(z), z.dtype), np.empty_like(z), np.empty_like(z)
        found.head(z.reshape(-1), y, weights, of, p, d.reshape(-1), *self.head)
        return of, p, d


def compiled_parts(network: Network, last: int) -> dict[int, Any]:
    """Return compiled replacements of a network's layers, keyed by the number of the first layer replaced.

    These are chains of dense layers, and single layers, where compiling pays off and is possible.
    """
    line = network.chained or (network.rows and dense.in_line(network.plan))
    runs = dense.runs(network.parts[:last], network.shapes) if compiling.ON and line else {}
    worth = {at: layers for at, layers in runs.items() if sum(i * o for i, o, _, _ in layers) >= compiling.WORTH}
    found = loops(network.dtype) if worth else None
    made: dict[int, Any] = {at: Chain(np.array(worth[at], np.int64), found) for at in worth} if found else {}
    if compiling.ON and network.rows and (known := _picture_loops(network.dtype)):
        made |= pictured(network.plan[:last], network.shapes, known)
    inside = {number for at, one in made.items() for number in range(at, at + one.span)}
    for part in network.plan[:last]:
        one = compiled_layer(part.layer, network.dtype, network.shapes[part.reads[0]])
        if one is not None and part.number not in inside:
            made[part.number] = one
    return made


def single(made: Mapping[int, Any], least: float) -> dict[int, Chain]:
    """Return those compiled chains that consist of one dense layer with at least `least` weights."""
    alone = {at: one for at, one in made.items() if isinstance(one, Chain) and len(one.layers) == 1}
    return {at: one for at, one in alone.items() if one.layers[0, 0] * one.layers[0, 1] >= least}


@functools.cache
def loops(dtype: str) -> Loops | None:
    """Return the compiled functions of dense layers for a dtype; None if they cannot be compiled."""
    products, curves = blas(dtype), ufuncs(dtype)
    return wired(compiling.compiled_with, products | curves) if products and curves else None


def wired(bind: Callable[..., Any], functions: Mapping[str, Any]) -> Loops | None:
    """Compile the functions of dense layers with `bind`, so that they call the given C functions."""
    known = linked(bind, functions, (*LOOPS, *dense_loops.LOOPS, *losses.LOOPS))
    return Loops(*map(known.get, Loops._fields)) if known else None


ROWS = 128
"""The rows of a sub-batch, for the decision whether compiling a layer pays off."""
KINDS: dict[Any, Any] = dict.fromkeys(activation.CURVES, activation.Bent)
"""The layers that are compiled individually, and their replacements."""
KINDS |= dict.fromkeys((BatchNormalization, LayerNormalization), normalization.Normalized)
"""The layers that are compiled individually, and their replacements."""


@functools.cache
def _loops(dtype: str) -> dict[str, Any]:
    known = blas(dtype), ufuncs(dtype)
    loops = (*LOOPS, *activation.LOOPS, *normalization.LOOPS)
    return linked(compiling.compiled_with, known[0] | known[1], loops) if all(known) else {}


@functools.cache
def _picture_loops(dtype: str) -> dict[str, Any]:
    return linked(compiling.compiled_with, blas(dtype), joint.LOOPS) if blas(dtype) else {}


def compiled_layer(layer: Any, dtype: str, shape: Shape) -> Any:
    """Return the compiled replacement of a layer for rows of a shape; None if compiling would not pay off."""
    worth = compiling.ON and len(shape) == 1 and shape[0] > 1 and shape[0] * ROWS >= compiling.WORTH
    kind = KINDS.get(type(layer)) if worth else None
    loops = _loops(dtype) if kind else {}
    return kind(layer, loops, dtype) if kind and loops else None

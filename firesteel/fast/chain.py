"""What runs in place of a network's parts: runs of dense layers as one compiled call, and layers by themselves.

A common loss is compiled too.  Python's lock is given back once for each call; NumPy gives it back
around every product, and two threads wait for one another (docs/design/0008-speed.md).  `train/fused.py` takes steps
through what is made here.  Without numba, or a BLAS of NumPy's that can be found, nothing is made.
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
    """What runs chains of one dtype: forward, the loss behind them, and back."""

    forward: Any
    head: Any
    backward: Any
    behind: Any
    behind_back: Any


class Chain:
    """Linear parts, each with the rectifier behind it if there is one, as one part that learns as they do.

    Its parameters are those of all its parts: `apply` and the pull-back are given the views of the first one, and the
    others lie behind these in the vector, as `Layout` puts them.  x: (B, I), C-contiguous, B at least 2.

    layers: (L, 4), of each the inputs, the units, whether there is a bias and whether a rectifier.
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
    """An objective with what is compiled in the places of the parts that it stands for, for batches of several rows.

    compiled: as `compiled_parts` returns it.
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
        """What the compiled loss is called with, or None where it is not compiled."""
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
    """Return what stands for a network's first parts, where that is worth it and can be compiled.

    They are chains, and layers by themselves, by the number of the first part that each stands for.
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
    """Return the chains of a single layer of at least so many weights."""
    alone = {at: one for at, one in made.items() if isinstance(one, Chain) and len(one.layers) == 1}
    return {at: one for at, one in alone.items() if one.layers[0, 0] * one.layers[0, 1] >= least}


@functools.cache
def loops(dtype: str) -> Loops | None:
    """Return what runs chains of this dtype, or None where it cannot be compiled."""
    products, curves = blas(dtype), ufuncs(dtype)
    return wired(compiling.compiled_with, products | curves) if products and curves else None


def wired(bind: Callable[..., Any], functions: Mapping[str, Any]) -> Loops | None:
    """Return the loops of a chain, made by `bind` to call these functions."""
    known = linked(bind, functions, (*LOOPS, *dense_loops.LOOPS, *losses.LOOPS))
    return Loops(*map(known.get, Loops._fields)) if known else None


ROWS = 128
"""Of a sub-batch, by which it is judged whether a layer is worth a compiled call."""
KINDS: dict[Any, Any] = dict.fromkeys(activation.CURVES, activation.Bent)
KINDS |= dict.fromkeys((BatchNormalization, LayerNormalization), normalization.Normalized)
"""Layers that are compiled by themselves, and what stands for them."""


@functools.cache
def _loops(dtype: str) -> dict[str, Any]:
    known = blas(dtype), ufuncs(dtype)
    loops = (*LOOPS, *activation.LOOPS, *normalization.LOOPS)
    return linked(compiling.compiled_with, known[0] | known[1], loops) if all(known) else {}


@functools.cache
def _picture_loops(dtype: str) -> dict[str, Any]:
    return linked(compiling.compiled_with, blas(dtype), joint.LOOPS) if blas(dtype) else {}


def compiled_layer(layer: Any, dtype: str, shape: Shape) -> Any:
    """Return what does the work of a layer on rows of this shape, or None where that is not worth it, or unknown."""
    worth = compiling.ON and len(shape) == 1 and shape[0] > 1 and shape[0] * ROWS >= compiling.WORTH
    kind = KINDS.get(type(layer)) if worth else None
    loops = _loops(dtype) if kind else {}
    return kind(layer, loops, dtype) if kind and loops else None

"""Runs of dense layers as one part: their products and rectifiers are one compiled call, and the same bits.

The loss, where it is a common one, is compiled too.  Python's lock is given back once for each, where
NumPy gives it back around every product and two threads wait for one another; docs/design/0008-speed.md says what
that is worth.  `train/fused.py` asks for chains and takes steps through them, where numba is installed and
NumPy has brought a BLAS that can be found; else nothing here runs.  `team.py` makes a whole step of them.
"""

import ctypes
import functools
import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from firesteel.core.layers import dense
from firesteel.core.layout import ones
from firesteel.core.network import Network, Objective, Part
from firesteel.core.types import Array, Pull, Stream, Views, cached_property
from firesteel.fast import compiling
from firesteel.fast.kernels import losses
from firesteel.fast.kernels.dense import backward, forward

__all__ = ["Chain", "Fused", "chains"]


class Loops(NamedTuple):
    """What runs chains of one dtype: forward, the loss behind them, and back."""

    forward: Any
    head: Any
    backward: Any


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
    """An objective with chains in the places of the parts that they stand for, for batches of several rows.

    chains: at least one, by the number of its first part.
    """

    chains: Mapping[int, Chain] = field(default_factory=dict)

    @cached_property
    def plan(self) -> tuple[Part, ...]:
        parts = self.network.plan
        ends = {first: parts[first + chain.span - 1] for first, chain in self.chains.items()}
        inside = {number for first, end in ends.items() for number in range(first + 1, end.number + 1)}
        plan = [part for part in parts[: self.last] if part.number not in inside]
        for at, part in enumerate(plan):
            if end := ends.get(part.number):
                plan[at] = part._replace(layer=self.chains[part.number], makes=end.makes, learns=end.learns)
        return tuple(plan)

    @cached_property
    def head(self) -> tuple[int, Array] | None:
        """What the compiled loss is called with, or None where it is not compiled."""
        return losses.chosen(self.centred, self.network.outputs, self.network.dtype)

    def slopes(self, z: Array, y: Array, weights: Array) -> tuple[Array, Array, Array]:
        if self.head is None:
            return super().slopes(z, y, weights)
        of, p, d = np.empty(len(z), z.dtype), np.empty_like(z), np.empty_like(z)
        run = next(iter(self.chains.values())).loops.head
        run(z.reshape(-1), y, weights, of, p, d.reshape(-1), *self.head)
        return of, p, d


def chains(network: Network, last: int) -> dict[int, Chain]:
    """Return the runs among a network's first parts that are worth a compiled call, where they can be compiled."""
    runs = dense.runs(network.parts[:last], network.shapes) if compiling.ON and network.chained else {}
    worth = {at: layers for at, layers in runs.items() if sum(i * o for i, o, _, _ in layers) >= compiling.WORTH}
    found = loops(network.dtype) if worth else None
    return {at: Chain(np.array(layers, np.int64), found) for at, layers in worth.items()} if found else {}


@functools.cache
def loops(dtype: str) -> Loops | None:
    """Return what runs chains of this dtype, or None where it cannot be compiled."""
    products, curves = blas(dtype), ufuncs(dtype)
    return wired(compiling.compiled_with, products | curves) if products and curves else None


def wired(bind: Callable[..., Any], functions: Mapping[str, Any]) -> Loops | None:
    """Return the loops of a chain, made by `bind` to call these functions."""
    known = dict(functions)
    for loop in (forward, backward, *losses.LOOPS):
        known[loop.__name__] = bind(loop, known)
    return None if None in known.values() else Loops(*map(known.get, Loops._fields))


def blas(dtype: str) -> dict[str, Any]:
    """Return gemm, gemv, ger and dot of the BLAS that NumPy uses, or nothing where they are not found.

    They are looked for among the names in NumPy's wheels, whose whole numbers are known to have 64 bits.
    """
    file = importlib.import_module("numpy._core._multiarray_umath").__file__
    letter, real = ("s", "f") if dtype == "float32" else ("d", "d")
    takes = {"gemm": "viiilllrllllrll", "gemv": "viillrllllrll", "ger": "villrllllll", "dot": "rlllll"}
    names = {f"scipy_cblas_{letter}{name}64_": kinds.replace("r", real) for name, kinds in takes.items()}
    return dict(zip(takes, compiling.declared(file, names).values(), strict=False))


class Ufunc(ctypes.Structure):
    """What a ufunc is behind the head that every object has, as NumPy's `ufuncobject.h` says, up to its types."""

    _fields_ = (
        *((name, ctypes.c_int) for name in ("inputs", "outputs", "arguments", "identity")),
        *((name, ctypes.POINTER(ctypes.c_void_p)) for name in ("loops", "data")),
        *(("count", ctypes.c_int), ("reserved", ctypes.c_int), ("name", ctypes.c_char_p), ("types", ctypes.c_void_p)),
    )


def ufuncs(dtype: str) -> dict[str, Any]:
    """Return the loops in C of NumPy's exp, log and log1p for this dtype, or nothing where they are not found.

    Each takes the addresses of those of input and output, of the count, of the strides, and of its data: here none.
    """
    made: dict[str, Any] = {}
    for ufunc in (np.exp, np.log, np.log1p):
        found = Ufunc.from_address(id(ufunc) + object.__basicsize__)
        if (found.inputs, found.outputs, found.count, found.name) != (1, 1, ufunc.ntypes, ufunc.__name__.encode()):
            return {}
        kinds = ctypes.string_at(found.types, 2 * found.count)
        number = kinds.index(bytes(2 * [np.dtype(dtype).num])) // 2
        if found.data[number]:
            return {}
        function: Any = ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * 4)(found.loops[number])
        function.__name__ = f"numpy_{ufunc.__name__}_{dtype}"
        made[ufunc.__name__] = function
    return made

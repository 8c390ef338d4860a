"""A network is its layers strung together over one flat vector; an objective is a network with its loss and metrics.

This is the second gate: shapes must compose and the loss must suit the last layer, or building raises.  After it,
`learn` and `score` trust what they are given.  Both return plain sums, so that batches, blocks and shards add up;
who divides, and when, is decided in `firesteel/train`.
"""

import copy
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from firesteel.core import layers
from firesteel.core.centre import UNCENTRED, Centre
from firesteel.core.chain import Chain
from firesteel.core.constraints import Constraint
from firesteel.core.csr import CSR, Features
from firesteel.core.layer import Layer, Param
from firesteel.core.layers.activation import ACTIVATIONS
from firesteel.core.layers.dense import Linear
from firesteel.core.layers.preprocessing import Rescaling, Standardize
from firesteel.core.layout import Layout
from firesteel.core.losses import CategoricalCrossentropy, Crossentropy, Loss, SparseCategoricalCrossentropy
from firesteel.core.metrics import Metric, Ranking, Value
from firesteel.core.regularizers import Regularizer
from firesteel.core.seeds import rng_for
from firesteel.core.spec import whole
from firesteel.core.types import Array, Pull, Random, Shape, Views, cached_property
from firesteel.errors import ConfigError

__all__ = ["DTYPES", "Network", "Objective"]

DTYPES = ("float32", "float64")
NONE: Mapping[int, Chain] = MappingProxyType({})


@dataclass(frozen=True)
class Network:
    """Layers, the number of inputs and the dtype: everything about a network but its weights.

    sparse: whether its first layer multiplies non-zeros only, as it does once it has met sparse rows.
    centre: what its inputs and outputs are less than the features and targets that it is for.

    >>> from firesteel.core.layers import Dense
    >>> network = Network((Dense(2, activation="softmax"),), inputs=3)
    >>> network.layout.size, network.outputs
    (8, 2)
    """

    layers: tuple[Layer, ...]
    inputs: int
    dtype: str = "float32"
    sparse: bool = False
    centre: Centre = UNCENTRED

    def __post_init__(self) -> None:
        if self.dtype not in DTYPES:
            raise ConfigError(f"dtype={self.dtype!r}: it must be one of {DTYPES}", code="config-dtype")
        if not self.layers:
            raise ConfigError("a network needs at least one layer, and this one has none", code="config-empty")
        shape: Shape = (self.inputs,)
        for number, layer in enumerate(self.layers):
            if layer.inputs is not None and layer.inputs != shape[-1]:
                raise ConfigError(
                    f"layer {number}, {layer}, is for {layer.inputs} inputs, but {shape[-1]} values reach it",
                    code="config-shape",
                )
            for part in layer.parts():
                shape = part.output_shape(shape)
            if whole(shape[-1]) is None:
                raise ConfigError(f"layer {number}, {layer}, has more outputs than can be", code="config-shape")
        sizes = (len(self.centre.features), len(self.centre.targets))
        if sizes[0] not in (0, self.inputs) or sizes[1] not in (0, shape[-1]) or (self.sparse and sizes[0]):
            raise ConfigError(f"a centre of {sizes} numbers does not fit the network", code="config-shape")
        if self.sparse and self.front is None:
            raise ConfigError(
                "a network takes sparse rows only if zeros stay zeros up to its first Dense layer, and that one's "
                "kernel has no constraint",
                code="config-sparse",
            )
        for _, shape, constraint in self.constrained:
            constraint.check(shape)

    @cached_property
    def parts(self) -> tuple[Layer, ...]:
        """What runs, in order; the parts that know the means of features or targets count from the centre."""
        parts = [part for layer in self.layers for part in layer.parts()]
        parts[:1] = [part.moved(self.centre.features) for part in parts[:1]]
        parts[-1:] = [part.lowered(self.centre.targets) for part in parts[-1:]]
        return tuple(parts)

    @cached_property
    def front(self) -> int | None:
        """The number of the first linear part, if zeros stay zeros before it and its kernel can change row by row.

        >>> from firesteel.core.layers import Dense
        >>> Network((Rescaling(2.0), Dense(3)), 5).front, Network((Rescaling(2.0, 1.0), Dense(3)), 5).front
        (1, None)
        """
        for number, part in enumerate(self.parts):
            if isinstance(part, Linear):
                return number if part.kernel_constraint is None else None
            keeps = isinstance(part, Rescaling) and not part.offset
            if not keeps and not (isinstance(part, Standardize) and not any(part.mean)):
                return None
        return None

    def entering(self, x: CSR, dtype: np.dtype[Any]) -> CSR:
        """Return what reaches the first linear part of a sparse network for rows x, (n, I), as `dtype`."""
        x = x.cast(dtype)
        for part in self.parts[: self.front]:
            x, _ = part.apply({}, x)
        return x

    def narrowed(self, inputs: int) -> "Network":
        """Return a sparse network with the parameters that so many of its inputs have: its layout is another.

        Its parts are the network's own, for rows whose columns are numbered anew: a step on the inputs that a batch
        touches is an ordinary step on a smaller network.
        """
        assert self.front is not None, "a network is sparse only where it has such a part"
        shapes = list(self.layout.shapes)
        (name, (_, units)), *rest = shapes[self.front]
        shapes[self.front] = ((name, (inputs, units)), *rest)
        narrow = copy.copy(self)
        for derived in ("statistics", "constrained"):
            narrow.__dict__.pop(derived, None)
        narrow.__dict__["layout"] = Layout(tuple(shapes))
        return narrow

    def layer_of(self, part: int) -> str:
        """Return in words which layer a part belongs to, as "layer 2 (Dense)"."""
        owners = [number for number, layer in enumerate(self.layers) for _ in layer.parts()]
        return f"layer {owners[part]} ({type(self.layers[owners[part]]).__name__})"

    @cached_property
    def learns(self) -> int:
        """The number of the first part that has parameters: no derivative is needed before it."""
        return next((number for number, params in enumerate(self.params) if params), len(self.parts))

    @cached_property
    def shapes(self) -> tuple[Shape, ...]:
        """The shape of a row that enters each part, and after them that of what leaves the last."""
        shapes: list[Shape] = [(self.inputs,)]
        for part in self.parts:
            shapes.append(part.output_shape(shapes[-1]))
        return tuple(shapes)

    @property
    def outputs(self) -> int:
        """Number of outputs, O."""
        return self.shapes[-1][-1]

    @cached_property
    def params(self) -> tuple[dict[str, Param], ...]:
        """What each part learns."""
        return tuple(part.params(shape) for part, shape in zip(self.parts, self.shapes, strict=False))

    @cached_property
    def layout(self) -> Layout:
        """Where each parameter lies in theta."""
        return Layout(tuple(tuple((name, one.shape) for name, one in params.items()) for params in self.params))

    def init(self, seed: int) -> Array:
        """Draw the first theta, (P,); each array from its own stream, in float64, then rounded to the dtype."""
        theta = np.zeros(self.layout.size, self.dtype)
        for number, name, shape, where in self.layout.slices():
            drawn = self.params[number][name].initializer.draw(rng_for(seed, "init", number, name), shape)
            theta[where] = drawn.ravel()
        return theta

    def forward(
        self,
        p: Sequence[Views],
        x: Features,
        random: Random | None = None,
        last: int | None = None,
        chains: Mapping[int, Chain] = NONE,
    ) -> tuple[Array, list[tuple[int, Pull]]]:
        """Run parts[:last] on x (B, I); return the output and the pull-backs, in order, with their parts' numbers.

        x: sparse rows are what `entering` gives.
        random: gives each random part its stream, in training; None in use.
        chains: what runs in place of the part of a number and of those behind it.
        """
        value: Any = x
        parts, pulls, number = self.parts[:last], [], 0
        if isinstance(x, CSR):
            number = self.front or 0
        while number < len(parts):
            part: Layer | Chain = parts[number]
            if number in chains and len(x) > 1 and isinstance(value, np.ndarray) and value.flags.c_contiguous:
                part = chains[number]
            rng = random(number) if random is not None and part.random else None
            value, pull = part.apply(p[number], value, rng)
            pulls.append((number, pull))
            number += part.span
        return value, pulls

    @cached_property
    def penalized(self) -> tuple[tuple[int, str, Regularizer], ...]:
        """The parameters that have a regulariser: (part number, name, regulariser)."""
        named = ((n, name, self.params[n][name].regularizer) for n, name, _, _ in self.layout.slices())
        return tuple((number, name, penalty) for number, name, penalty in named if penalty is not None)

    @cached_property
    def constrained(self) -> tuple[tuple[slice, Shape, Constraint], ...]:
        """The parameters that must satisfy something: (slice of theta, shape, constraint)."""
        named = ((where, shape, self.params[n][name].constraint) for n, name, shape, where in self.layout.slices())
        return tuple((where, shape, constraint) for where, shape, constraint in named if constraint is not None)

    @cached_property
    def statistics(self) -> tuple[tuple[slice, float], ...]:
        """The running averages: (slice of theta, the share of the old one that stays at an update)."""
        named = ((where, self.params[n][name].average) for n, name, _, where in self.layout.slices())
        return tuple((where, average) for where, average in named if average is not None)

    def penalty(self, p: Sequence[Views], g: Sequence[Views] | None = None) -> float:
        """Return the penalty on the weights, and add its derivative into the views g if given."""
        parts = ((penalty, p[n][name], None if g is None else g[n][name]) for n, name, penalty in self.penalized)
        return sum((penalty.add(weights, slope) for penalty, weights, slope in parts), 0.0)

    def to_config(self) -> dict[str, Any]:
        """Return the JSON-able description."""
        described = {
            "layers": [layer.to_config() for layer in self.layers],
            "inputs": self.inputs,
            "dtype": self.dtype,
        }
        rest = {"sparse": self.sparse, "centre": self.centre.to_config()}
        return described | {name: value for name, value in rest.items() if value}

    @staticmethod
    def from_config(config: Mapping[str, Any]) -> "Network":
        """Make the network that `to_config` described.  Raises ConfigError if it does not describe one."""
        given, inputs, dtype = config.get("layers"), whole(config.get("inputs")), config.get("dtype")
        if not isinstance(given, list) or inputs is None or inputs < 1:
            raise ConfigError("not the description of a network: layers or inputs are missing", code="config-field")
        made = tuple(layers.get(layer) for layer in given)
        centre = Centre.from_config(config.get("centre", {}))
        return Network(made, inputs, str(dtype), bool(config.get("sparse", False)), centre)

    def fingerprint(self, theta: Array) -> str:
        """Return the SHA-256 (64 hex digits) of the architecture and the weights."""
        digest = hashlib.sha256(json.dumps(self.to_config(), sort_keys=True).encode())
        digest.update(np.ascontiguousarray(theta, theta.dtype.newbyteorder("<")).tobytes())
        return digest.hexdigest()


@dataclass(frozen=True)
class Objective:
    """What training makes small, and what it counts on the way: sums of (loss, weight, rows, metrics...).

    metrics: (name, metric) each; a `Ranking` has no sums and is measured by `train/ranking.py`.
    class_weight: what a row's weight is multiplied by in training, by its class; None for 1.
    The penalty on the weights is not in the sums: it belongs to the update, not to the rows.

    >>> from firesteel.core import losses
    >>> from firesteel.core.layers import Dense
    >>> network = Network((Dense(2, activation="softmax"),), inputs=3)
    >>> Objective(network, losses.get("sparse_categorical_crossentropy")).last
    1
    >>> Objective(network, losses.get("binary_crossentropy"))
    Traceback (most recent call last):
    firesteel.errors.ConfigError: BinaryCrossentropy goes with a last layer of activation 'sigmoid', and this \
network ends in Softmax() [config-loss]
    """

    network: Network
    loss: Loss
    metrics: tuple[tuple[str, Metric], ...] = ()
    class_weight: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        link, parts = self.loss.link, self.network.parts
        end = parts[-1] if parts else "nothing"
        if link is not None and not isinstance(end, link):
            raise ConfigError(
                f"{type(self.loss).__name__} goes with a last layer of activation {self.loss.natural!r}, "
                f"and this network ends in {end}",
                code="config-loss",
            )
        if isinstance(self.loss, Crossentropy) and link is None and end == ACTIVATIONS[self.loss.natural]:
            raise ConfigError(
                f"{type(self.loss).__name__}(from_logits=True) goes with a last layer that gives logits, and this "
                f"network ends in {end}: leave out from_logits, or the activation",
                code="config-loss",
            )
        if self.loss.targets == "class" and self.network.outputs < 2:
            raise ConfigError(
                f"{type(self.loss).__name__} needs at least 2 outputs, one a class, and this network has "
                f"{self.network.outputs}: for two classes use 2 outputs, or 1 with sigmoid and binary_crossentropy",
                code="config-loss",
            )
        _ = self.size  # where a metric does not fit the outputs, it says so now

    @cached_property
    def last(self) -> int:
        """Number of parts that run before the loss: a link is fused into the loss."""
        return len(self.network.parts) - (self.loss.link is not None)

    @cached_property
    def centred(self) -> Loss:
        """The loss of outputs and targets that the centre has been subtracted from."""
        return self.loss.lowered(self.network.centre.targets)

    @cached_property
    def fused(self) -> bool:
        """Whether the loss is one that a chain learns with."""
        return self.loss in (CategoricalCrossentropy(), SparseCategoricalCrossentropy())

    @cached_property
    def size(self) -> int:
        """Number of sums."""
        return 3 + sum(where.stop - where.start for _, _, where in self.summed)

    @cached_property
    def summed(self) -> tuple[tuple[str, Metric, slice], ...]:
        """The metrics that are sums over rows, as they are meant beside the loss, and where their sums lie."""
        outputs, at, found = self.network.outputs, 3, []
        for name, metric in self.metrics:
            if not isinstance(metric, Ranking):
                metric = metric.suited(self.loss, outputs)
                found.append((name, metric, slice(at, at + metric.size(outputs))))
                at = found[-1][2].stop
        return tuple(found)

    @property
    def ranked(self) -> list[tuple[str, Ranking]]:
        """The metrics that need the order of all rows."""
        return [(name, metric) for name, metric in self.metrics if isinstance(metric, Ranking)]

    @property
    def names(self) -> list[str]:
        """What is measured: "loss", then the metrics."""
        return ["loss", *(name for name, _ in self.metrics)]

    def means(self, sums: Array) -> dict[str, Any]:
        """Return the weighted mean of the loss and the values of the metrics that are sums, by name."""
        values: dict[str, Value] = {"loss": float(sums[0] / sums[1])}
        return values | {name: metric.result(sums[where], sums[1]) for name, metric, where in self.summed}

    def weighted(self, y: Array, w: Array) -> Array:
        """Return the rows' weights in training, (B,).  y: (B, T), class numbers or one-hot rows if classes weigh."""
        if self.class_weight is None:
            return w
        number = y[:, 0].astype(np.intp) if y.shape[1] == 1 else y.argmax(axis=1)
        return w * np.array(self.class_weight).take(number)

    def score(self, p: Sequence[Views], x: Features, y: Array, w: Array) -> Array:
        """Return the sums over the rows, float64.  x: (B, I)  y: (B, T)  w: (B,), float64"""
        z, _ = self.network.forward(p, x, last=self.last)
        losses, outputs, _ = self.centred.rows(z, y)
        return self.sums(losses, outputs, y, w)

    def learn(
        self,
        p: Sequence[Views],
        x: Features,
        y: Array,
        w: Array,
        scale: float,
        random: Random | None,
        g: list[Views],
        chains: Mapping[int, Chain] = NONE,
    ) -> Array:
        """Write scale x d(sum of w L)/d(theta) into the views g; return the sums, as `score` does."""
        return self.sums(*self.rows(p, x, y, w * scale, random, g, chains), y, w)

    def rows(
        self,
        p: Sequence[Views],
        x: Features,
        y: Array,
        weights: Array,
        random: Random | None,
        g: list[Views],
        chains: Mapping[int, Chain] = NONE,
    ) -> tuple[Array, Array]:
        """Write d(sum of weights L)/d(theta) into the views g; return each row's loss (B,) and outputs (B, O)."""
        learns, end = self.network.learns, self._end(chains, len(weights))
        z, pulls = self.network.forward(p, x, random, end, chains)
        if end < self.last:
            losses, outputs, d = chains[end].learn(
                p[end], z, y, weights.astype(z.dtype, copy=False), g[end], end > learns
            )
        elif chains and self.fused and len(z) > 1:
            losses, outputs, d = np.empty(len(z), z.dtype), np.empty_like(z), np.empty_like(z)
            learn = next(iter(chains.values())).loops.crossentropy
            learn(z.reshape(-1), y, weights.astype(z.dtype, copy=False), losses, outputs, d.reshape(-1))
        else:
            losses, outputs, d = self.centred.rows(z, y)
            d *= weights.astype(d.dtype, copy=False)[:, None]
        for number, pull in reversed(pulls):
            if number >= learns:
                d = pull(d, g[number], number > learns)  # type: ignore[assignment]
        return losses, outputs

    def _end(self, chains: Mapping[int, Chain], rows: int) -> int:
        """Return where the parts end that run before the loss, or before the chain that learns with it."""
        if self.fused and rows > 1:
            return next((number for number, chain in chains.items() if number + chain.span == self.last), self.last)
        return self.last

    def sums(self, losses: Array, outputs: Array, y: Array, w: Array) -> Array:
        """Return what `score` does, of rows whose losses (B,) and outputs (B, O) are known."""
        sums = np.empty(self.size)
        sums[0] = np.dot(losses, w)
        sums[1] = np.add.reduce(w)
        sums[2] = len(w)
        centre = self.network.centre.targets
        for _, metric, where in self.summed:
            by = np.array(centre) if centre and not metric.differences else None
            sums[where] = metric.sums(outputs, y, w) if by is None else metric.sums(outputs + by, y + by, w)
        return sums

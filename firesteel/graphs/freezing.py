"""Training some weights of a network and none of the others: a smaller network trains, in which those are constants.

Whatever moves weights (optimizers, decay, constraints, averages of shards, searches) never sees the others.
"""

from collections.abc import Collection
from dataclasses import replace
from typing import Any

import numpy as np

from firesteel.core.layer import Layer
from firesteel.core.layers.wrapper import Held
from firesteel.core.network import Network
from firesteel.core.types import Array
from firesteel.errors import ConfigError


class Frozen(Layer):
    """A layer whose weights do not train, as the parts that it stands for."""

    layer: Layer
    held: tuple[Layer, ...]

    @property
    def inputs(self) -> int | None:
        return self.layer.inputs

    def parts(self) -> tuple[Layer, ...]:
        return self.held

    def to_config(self) -> dict[str, Any]:
        return {"type": "Frozen", "parts": [part.to_config() for part in self.held]}


Trains = tuple[slice, ...] | None
"""What trains of theta; None for all of it."""


def trained(network: Network, still: Collection[int]) -> Trains:
    """Return what trains of theta, given the owners of nodes whose weights do not.

    Raises ConfigError if nothing is left that trains.
    """
    owners = {part.owner for part in network.plan if network.nodes[part.node].owner in still}
    slices = [where for owner, _, _, where in network.layout.slices if owner not in owners]
    if len(slices) == len(network.layout.slices):
        return None
    if not slices:
        raise ConfigError("no layer is trainable: set layer.trainable = True where one is", code="config-frozen")
    return tuple(slices)


def taken(theta: Array, where: Trains) -> Array:
    """Return what trains of theta, (P,)."""
    return theta if where is None else np.concatenate([theta[at] for at in where])


def put_back(theta: Array, where: Trains, moved: Array) -> Array:
    """Return theta, (P,), with what trains of it replaced by `moved`."""
    if where is None:
        return moved
    found, start = theta.copy(), 0
    for at in where:
        found[at] = moved[start : (start := start + at.stop - at.start)]
    return found


def held(network: Network, theta: Array, still: Collection[int]) -> Network:
    """Return the network whose parameters are those that train; the others are constants in it."""
    views, nodes = network.layout.views(theta.copy()), list(network.nodes)
    for number, node in enumerate(nodes):
        own = [part for part in network.plan if part.node == number and node.owner in still]
        parts = [Held(one.layer, views[one.owner]) if views[one.owner] else one.layer for one in own]
        if any(isinstance(part, Held) for part in parts):
            nodes[number] = replace(node, layer=Frozen(node.layer, tuple(parts)))
    return replace(network, nodes=tuple(nodes), sparse=False)

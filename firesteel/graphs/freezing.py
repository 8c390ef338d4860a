"""Frozen layers: training runs on a smaller network, in which the frozen weights are constants.

So whatever moves weights (optimizers, weight decay, constraints, averaging of shards, line searches) never sees the
frozen ones.
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
    """A layer whose weights are constants.

    Args:
        layer: The layer.
        held: Its parts, with their weights as constants.
    """

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
"""The slices of theta that are trained; None for all of it."""


def trained_slices(network: Network, still: Collection[int]) -> Trains:
    """Return the slices of theta that are trained.  still: the numbers of the frozen layers.

    Raises:
        ConfigError: If nothing is left to train (`config-frozen`).
    """
    owners = {part.owner for part in network.plan if network.nodes[part.node].owner in still}
    slices = [where for owner, _, _, where in network.layout.slices if owner not in owners]
    if len(slices) == len(network.layout.slices):
        return None
    if not slices:
        raise ConfigError("no layer is trainable: set layer.trainable = True for some layer", code="config-frozen")
    return tuple(slices)


def trained_part(theta: Array, where: Trains) -> Array:
    """Return the trained weights in theta as one vector.  where: their slices; None for all of theta."""
    return theta if where is None else np.concatenate([theta[at] for at in where])


def with_trained_part(theta: Array, where: Trains, moved: Array) -> Array:
    """Return theta, (P,), with its trained weights replaced by the vector `moved`."""
    if where is None:
        return moved
    found, start = theta.copy(), 0
    for at in where:
        found[at] = moved[start : (start := start + at.stop - at.start)]
    return found


def freeze(network: Network, theta: Array, still: Collection[int]) -> Network:
    """Return a network whose parameters are the trained weights; frozen weights become constants in its layers."""
    views, nodes = network.layout.views(theta.copy()), list(network.nodes)
    for number, node in enumerate(nodes):
        own = [part for part in network.plan if part.node == number and node.owner in still]
        parts = [Held(one.layer, views[one.owner]) if views[one.owner] else one.layer for one in own]
        if any(isinstance(part, Held) for part in parts):
            nodes[number] = replace(node, layer=Frozen(node.layer, tuple(parts)))
    return replace(network, nodes=tuple(nodes), sparse=False)

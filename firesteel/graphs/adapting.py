"""Completes Normalization layers from data: means and variances, and the centre subtracted from the inputs."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from firesteel.core.layers import Normalization
from firesteel.core.network import Network
from firesteel.errors import ConfigError
from firesteel.tables.moments import Moments


def entered(network: Network, number: int) -> slice | None:
    """Return the columns of an input that a node reads directly; None if the node reads anything else."""
    own = [part for part in network.plan if part.node == number]
    if len(own) != 1 or len(own[0].reads) != 1 or own[0].reads[0] >= len(network.entries):
        return None
    return network.columns(own[0].reads[0])


def normalized(
    network: Network, waiting: Sequence[Normalization], features: Moments, targets: Moments
) -> Mapping[int, Normalization]:
    """Return Normalization layers completed with means and variances, keyed by the `id` of the old layers.

    For images and sequences the statistics are per channel (the last axis), over all positions.

    Raises:
        ConfigError: If a layer neither reads an input nor is the last one (`config-layer`).
    """
    found = dict[int, Normalization]()
    for layer in waiting:
        nodes = [number for number, node in enumerate(network.nodes) if node.layer is layer]
        columns = entered(network, nodes[0]) if len(nodes) == 1 else None
        if layer.invert and nodes == [len(network.nodes) - 1]:
            moments = targets
        elif not layer.invert and columns is not None:
            channels = next(network.shapes[part.reads[0]][-1] for part in network.plan if part.node == nodes[0])
            moments = Moments(features.mean[columns], features.variance[columns]).along(channels)
        else:
            raise ConfigError(
                "a Normalization without mean and variance estimates them from the rows: it must be the first layer, "
                "or with invert=True the last",
                code="config-layer",
            )
        found[id(layer)] = moments.normalization(layer)
    return found


def centred(network: Network) -> Mapping[int, Normalization]:
    """Return Normalization layers adjusted for a centre subtracted from their inputs, keyed by node number."""
    found, centre = dict[int, Normalization](), network.centre.features
    for number, node in enumerate(network.nodes if centre and not network.chained else ()):
        columns = entered(network, number) if isinstance(node.layer, Normalization) else None
        if columns is not None and isinstance(node.layer, Normalization):
            found[number] = replace(node.layer, centre=centre[columns])
    return found

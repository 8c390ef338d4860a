"""Embeddings: the output of a hidden layer as a column of vectors."""

from dataclasses import replace
from itertools import accumulate

from firesteel.core.centre import Centre
from firesteel.core.layers import Concatenate
from firesteel.core.network import Network, Node
from firesteel.errors import ConfigError
from firesteel.graphs.names import names_of


def hidden_of(network: Network, name: str | None) -> Network:
    """Return the part of a network from the inputs to a hidden layer; its weights come first in theta.

    Args:
        network: The whole network.
        name: Name of the layer; None for the input of the last layer with a kernel.  If several layers have the name
            or are last, as in an average of members, their outputs are concatenated.

    Raises:
        ConfigError: `config-layer`, if the network has no such layer, or no hidden layer.
    """
    nodes, inputs = network.nodes, len(network.entries)
    ends = list(accumulate((node.layer.results for node in nodes), initial=inputs))
    wanted = _last_hidden(network, ends) if name is None else _called(network, name, ends)
    last = next(number for number in range(len(nodes)) if ends[number + 1] > max(wanted))
    kept = nodes[: last + 1]
    if wanted != [ends[last + 1] - 1]:
        kept = (*kept, Node(Concatenate(), tuple(wanted), 1 + max(node.owner for node in kept)))
    return Network(kept, network.entries, network.dtype, network.sparse, Centre(network.centre.features))


def rest_of(network: Network, hidden: Network) -> Network | None:
    """Return the part of a network from a hidden layer to the outputs, with the remaining weights.

    None if the outputs also depend on other layers, or on weights of `hidden`.
    """
    count, value = len(hidden.nodes), len(hidden.entries) - 1 + sum(node.layer.results for node in hidden.nodes)
    later, owners = network.nodes[count:], {node.owner for node in hidden.nodes}
    alone = all(node.owner not in owners and min(node.args) >= value for node in later)
    if not (later and alone and hidden.nodes == network.nodes[:count]):
        return None
    known = {owner: at for at, owner in enumerate(dict.fromkeys(node.owner for node in later))}
    nodes = [replace(one, args=tuple(at - value for at in one.args), owner=known[one.owner]) for one in later]
    return Network(tuple(nodes), (hidden.shapes[-1],), network.dtype, centre=Centre((), network.centre.targets))


def _called(network: Network, name: str, ends: list[int]) -> list[int]:
    """Return the indices of the outputs of layers with this name, among the inputs and all layers' outputs."""
    names = names_of(network.nodes)
    found = [at for at, node in enumerate(network.nodes) if name in (names[at], node.layer.name)]
    if not found:
        raise ConfigError(
            f"embeddingLayer={name!r}: known layers are {', '.join(dict.fromkeys(names))}", code="config-layer"
        )
    return [value for at in found for value in range(ends[at], ends[at + 1])]


def _last_hidden(network: Network, ends: list[int]) -> list[int]:
    """Return the indices of the values that enter the last layers with a kernel."""
    kernels, last = {part.node for part in network.plan if "w" in network.params[part.owner]}, set[int]()
    behind = [set[int]() for _ in range(ends[0])]
    for number, node in enumerate(network.nodes):
        before = set[int]().union(*[behind[read] for read in node.args])
        own = {number} & kernels
        last = (last - before if own else last) | own
        behind += [before | own] * node.layer.results
    found = sorted({read for number in last for read in network.nodes[number].args})
    if not found or not all(behind[read] for read in found):
        raise ConfigError(
            "embeddingCol needs a hidden layer, and this network has none: add one, or name a layer in "
            "embeddingLayer",
            code="config-layer",
        )
    return found

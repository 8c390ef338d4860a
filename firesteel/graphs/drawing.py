"""A drawing of a network: boxes for inputs, layers and outputs, and arrows between them."""

from collections import Counter
from collections.abc import Mapping

from firesteel._drawing import Key, Picture, drawn
from firesteel.core.layer import Layer
from firesteel.core.layers import Input
from firesteel.core.layers.heads import Heads
from firesteel.core.network import Network
from firesteel.graphs.building import Ports
from firesteel.graphs.describing import described
from firesteel.graphs.names import names_of


def drawing(network: Network, owned: Mapping[int, Layer], ports: Ports | None, name: str) -> Picture:
    """Draw a network as SVG.

    Args:
        network: The network.
        owned: The layer that holds the weights of each owner of nodes.
        ports: The names of its inputs and outputs.
        name: The name of the model.
    """
    made, reads, arrows, boxes = list[Key](), list[Key](), dict[tuple[Key, Key], None](), dict[Key, list[str]]()
    for at, shape in enumerate(network.entries):
        made.append(("input", at))
        boxes[made[at]] = ["input" if ports is None else ports.inputs[at][0], "input", str((None, *shape))]
    rows, calls = (
        iter(described(network, owned)),
        Counter([one for one, _ in {(n.owner, n.args) for n in network.nodes}]),
    )
    for node, called in zip(network.nodes, names_of(network.nodes), strict=True):
        reads, key = [made[arg] for arg in node.args], ("layer", node.owner)
        made += reads if isinstance(node.layer, Input) else [key] * (node.layer.parts() or (node.layer,))[-1].results
        if not isinstance(node.layer, Input | Heads):
            row, words = next(rows), [type(node.layer).__name__]
            words += [f"called {calls[node.owner]} times"] * (calls[node.owner] > 1)
            words += ["frozen"] * (row.params > 0 and not row.trains)
            size = [f"{row.params:,} parameters"] * (row.params > 0)
            boxes.setdefault(key, [called, ", ".join(words), " · ".join([row.shape, *size])])
            arrows |= dict.fromkeys([(read, key) for read in reads])
    ends = reads if isinstance(node.layer, Heads) else made[-1:]
    for at, end in enumerate(ends):
        boxes["output", at] = ["output" if ports is None else ports.outputs[at][0], "output"]
        arrows[end, ("output", at)] = None
    return drawn(boxes, list(arrows), name)

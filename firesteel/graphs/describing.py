"""The tables of `summary`: a network's layers, their outputs, inputs and parameters, and how they are computed."""

from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from firesteel.core.faster import faster
from firesteel.core.layer import Layer
from firesteel.core.layers import Dropout, Input, dense
from firesteel.core.layers.heads import Heads
from firesteel.core.network import Network, Objective
from firesteel.core.types import Shape
from firesteel.graphs.names import kind_of, names_of
from firesteel.train.step import SUB_BATCH


class Described(NamedTuple):
    """A row of a model's summary: one layer.

    Args:
        name: The layer's name and class.
        shape: The shape of its output, with None for the batch axis.
        params: The number of its parameters; a layer that is called twice counts once.
        reads: The names of its inputs, unless each layer reads the one before it.
        trains: Whether its weights are trained.
    """

    name: str
    shape: str
    params: int
    reads: str
    trains: bool


def described(network: Network, owned: Mapping[int, Layer], inputs: tuple[str, ...] = ()) -> list[Described]:
    """Return the summary's row for each layer of a network, except inputs and the layer that joins outputs.

    Args:
        network: The network.
        owned: The layer that holds the weights of each owner of nodes.
        inputs: The names of the inputs, if there are several or several layers read them.
    """
    names, found, made, shape = names_of(network.nodes), list[Described](), list(inputs), network.entries[0]
    made += ["input"] * (len(network.entries) - len(made))
    line = in_line(network)
    for number, node in enumerate(network.nodes):
        own = [part for part in network.plan if part.node == number]
        shape = network.shapes[own[-1].makes[0]] if own else _shape_before(network, number)
        reads = "" if line else ", ".join(dict.fromkeys(made[arg] for arg in node.args))
        made += [names[number]] * node.layer.parts()[-1].results if own else [made[node.args[0]]]
        if isinstance(node.layer, Input | Heads):
            continue
        first = all(node.owner != other.owner for other in network.nodes[:number])
        owners = {part.owner for part in own}
        slices = [where for at, _, _, where in network.layout.slices if at in owners and first]
        count = sum(where.stop - where.start for where in slices)
        kind = kind_of(node.layer)
        text = str((None, *shape))
        found.append(Described(f"{names[number]} ({kind})", text, count, reads, owned[node.owner].trainable))
    return found


def in_line(network: Network) -> bool:
    """Return whether the network is a chain: one input, and each layer reads the output of the one before it."""
    return len(network.entries) == 1 and all(node.args == (number,) for number, node in enumerate(network.nodes))


def untrained(network: Network, still: Collection[int]) -> int:
    """Return the number of parameters that are not trained.  still: the numbers of the frozen layers."""
    return sum(where.stop - where.start for where in untrained_slices(network, still))


def untrained_slices(network: Network, still: Collection[int]) -> list[slice]:
    """Return the slices of theta that are not trained.  still: the numbers of the frozen layers."""
    parts = {part.owner for part in network.plan if network.nodes[part.node].owner in still}
    slices = [where for at, _, _, where in network.layout.slices if at in parts]
    return slices + [where for where, _ in network.statistics if where not in slices]


def _shape_before(network: Network, number: int) -> Shape:
    """Return the shape of a node's input: the output of the last operation before it, or the network's input."""
    before = [part for part in network.plan if part.node < number]
    return network.shapes[before[-1].makes[0]] if before else network.entries[0]


def trained_by(objective: Objective) -> list[str]:
    """Return what computes each layer in training: "step", "run" or "loop" (all compiled), or "NumPy"."""
    from firesteel.fast.chain import Chain, Fused, compiled_parts

    network, last = objective.network, objective.last
    made = compiled_parts(network, last)
    head = bool(made) and Fused(network, objective.loss).head is not None
    whole = head and dense.whole(network.parts[:last], network.shapes) in made
    ways = ["loop" if head else "NumPy" for _ in network.plan]
    for part in network.plan[:last]:
        width = network.shapes[part.reads[0]][-1]
        drops = isinstance(part.layer, Dropout) and faster("mask", SUB_BATCH * width) is not None
        ways[part.number] = "loop" if drops else "NumPy"
    for first, one in made.items():
        ways[first : first + one.span] = ["run" if isinstance(one, Chain) else "loop"] * one.span
    if whole:
        ways = ["step"] * len(ways)
    parts = [[ways[part.number] for part in network.plan if part.node == n] for n in range(len(network.nodes))]
    return [
        " + ".join(dict.fromkeys(found))
        for found, layer in zip(parts, network.layers, strict=True)
        if not isinstance(layer, Input | Heads)
    ]


def table(
    name: str,
    rows: Sequence[tuple[str, str, int]],
    trainable: int,
    other: int,
    size: int,
    more: Mapping[str, Sequence[str]] = MappingProxyType({}),
) -> str:
    """Format a model's summary as a table of text.

    Args:
        name: The name of the model.
        rows: The name and class, output shape and number of parameters of each layer.
        trainable: The number of trainable parameters.
        other: The number of other parameters.
        size: The size of a parameter in bytes.
        more: Further columns, by their headers.
    """
    header = ("Layer (type)", "Output Shape", "Param #", *more)
    added = list(zip(*more.values(), strict=True)) or [()] * len(rows)
    cells = [(name, shape, f"{count:,}", *last) for (name, shape, count), last in zip(rows, added, strict=True)]
    leasts = (31, 22, 13, *(8 for _ in more))
    widths = [max(least, *(len(row[i]) for row in (header, *cells))) + 2 for i, least in enumerate(leasts)]

    def rule(left: str, line: str, between: str, right: str) -> str:
        return left + between.join(line * width for width in widths) + right

    def written(row: Sequence[str], edge: str) -> str:
        signs = zip(row, "<<><<", widths, strict=False)
        return edge + edge.join(f" {cell:{sign}{width - 2}} " for cell, sign, width in signs) + edge

    lines = [f'Model: "{name}"', rule("┏", "━", "┳", "┓"), written(header, "┃"), rule("┡", "━", "╇", "┩")]
    for number, row in enumerate(cells):
        lines += ([rule("├", "─", "┼", "┤")] if number else []) + [written(row, "│")]
    lines.append(rule("└", "─", "┴", "┘"))
    for name, count in (("Total", trainable + other), ("Trainable", trainable), ("Non-trainable", other)):
        lines.append(f" {name} params: {count:,} ({_bytes(count * size)})")
    return "\n".join(lines)


def _bytes(size: float) -> str:
    """Return a size in bytes as text.

    Example:
        >>> [_bytes(size) for size in (0, 64700, 5 * 2**20)]
        ['0.00 B', '63.18 KB', '5.00 MB']
    """
    for unit in ("B", "KB", "MB", "GB"):
        if size < 1024 or unit == "GB":
            break
        size /= 1024
    return f"{size:.2f} {unit}"

"""Builds networks from symbolic tensors; named inputs and outputs, and their columns in flat rows."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from firesteel.core.layer import Layer, layer_name
from firesteel.core.layers import Activation, Dense, Input, Softmax
from firesteel.core.layers.calling import Tensor, called, nodes_of, tensor
from firesteel.core.layers.heads import Heads
from firesteel.core.layers.reshaping import Permute, RepeatVector, Reshape
from firesteel.core.network import Network, Node
from firesteel.core.types import Array, Shape
from firesteel.errors import ConfigError, DataError
from firesteel.graphs.names import kind_name, names_of, numbered
from firesteel.tables.joined import Joined
from firesteel.tables.targets import OutputRule

MOVES = (Permute, RepeatVector, Reshape)
"""Layers that only move numbers, so that an elementwise activation can be computed after them."""


@dataclass(frozen=True)
class Ports:
    """The names and shapes of a network's inputs and outputs.

    Args:
        inputs: The name and the row shape of each input, in the order in which they lie in a flat row.
        outputs: The same for the outputs.
        keyed: Whether outputs are returned as a dictionary.
    """

    inputs: tuple[tuple[str, Shape], ...]
    outputs: tuple[tuple[str, Shape], ...]
    keyed: bool = False

    def to_config(self) -> dict[str, Any]:
        """Return the names and shapes as a JSON-able dictionary."""
        return dict(vars(self))

    @staticmethod
    def from_config(config: Mapping[str, Any]) -> "Ports":
        """Return the object that `to_config` described; raise TypeError or ValueError for an invalid description."""
        inputs, outputs = ([(str(n), tuple(map(int, s))) for n, s in config[part]] for part in ("inputs", "outputs"))
        return Ports(tuple(inputs), tuple(outputs), config["keyed"] is True)

    def check(self, network: Network) -> None:
        """Raise ValueError unless the inputs and outputs match a network."""
        last = network.layers[-1]
        sizes = last.sizes if isinstance(last, Heads) else (network.outputs,)
        shapes = [shape for _, shape in self.inputs], tuple(math.prod(shape) for _, shape in self.outputs)
        if shapes != (list(network.entries), sizes):
            raise ValueError("its inputs and outputs do not match its network")

    def joined(self, given: Any, part: str, widths: Sequence[int] | None = None) -> Any:
        """Join the arrays of several inputs or outputs into flat rows, (n, I).

        Args:
            given: One array for each, as a list in their order or a dictionary by name.
            part: `"inputs"` or `"outputs"`.
            widths: The width of each, unless its shape says it.

        Raises:
            ConfigError: If the number of arrays or a name is wrong (`config-inputs`, `config-outputs`).
            DataError: If lengths differ (`data-lengths`), or a shape is wrong (`data-shape`, `data-width`).
        """
        ports: Sequence[tuple[str, Shape]] = getattr(self, part)
        names = [name for name, _ in ports]
        if len(names) == 1 and not isinstance(given, Mapping):
            alone = isinstance(given, list | tuple) and len(given) == 1 and np.ndim(given[0]) > 1
            arrays = [given[0] if alone else given]
        else:
            arrays = self.each(given, part, "an array", "arrays")
        sizes = widths or [math.prod(shape) for _, shape in ports]
        rows = [self._rows(array, port, size) for array, port, size in zip(arrays, ports, sizes, strict=True)]
        if len({array.shape[0] for array in rows}) > 1:
            counts = ", ".join(f"{array.shape[0]:,} of {name!r}" for array, name in zip(rows, names, strict=True))
            raise DataError(f"{part} must have equally many rows, but there are {counts}", code="data-lengths")
        if len(rows) == 1:
            return rows[0]
        return np.hstack([array.toarray() if hasattr(array, "tocsr") else array for array in rows])

    def each(self, given: Any, part: str, one: str, several: str) -> list[Any]:
        """Order a user's list or dictionary of one object per input or output, and return it as a list.

        Args:
            given: A list in their order or a dictionary by name.
            part: `"inputs"` or `"outputs"`.
            one: The noun for one object, for the message.
            several: The noun for several.

        Raises:
            ConfigError: If it is neither, its length differs, or a name is unknown (`config-inputs`,
                `config-outputs`).
        """
        names = [name for name, _ in getattr(self, part)]
        if isinstance(given, Mapping):
            if set(given) != set(names):
                raise ConfigError(
                    f"the {part} are named {', '.join(names)}, but the keys are "
                    f"{', '.join(map(str, given)) or 'none'}: give {one} for each name",
                    code=f"config-{part}",
                )
            return [given[name] for name in names]
        if isinstance(given, list | tuple) and len(given) == len(names):
            return list(given)
        what = f"a list of {len(given)}" if isinstance(given, list | tuple) else f"a {type(given).__name__}"
        raise ConfigError(
            f"the model has {len(names)} {part}, {', '.join(names)}, and was given {what}: give a list of {several} "
            "in this order, or a dictionary with these names",
            code=f"config-{part}",
        )

    def columns(self, given: Any, part: str, sizes: Sequence[int] | None = None) -> Any:
        """Return the DataFrame columns of several inputs or outputs as one `Joined`; those of a single one unchanged.

        Args:
            given: The columns of each, as a list in their order or a dictionary by name; None for columns with the
                names of the inputs or outputs.
            part: `"inputs"` or `"outputs"`.
            sizes: The width of each, unless its shape says it.

        Raises:
            ConfigError: As `each` does.
        """
        ports: Sequence[tuple[str, Shape]] = getattr(self, part)
        names = tuple([name for name, _ in ports])
        if len(ports) == 1:
            return self.each(given, part, "a column", "columns")[0] if isinstance(given, Mapping) else given
        chosen = names if given is None else self.each(given, part, "a column", "columns")
        return Joined(names, tuple(chosen), tuple(sizes or [math.prod(shape) for _, shape in ports]))

    @staticmethod
    def _rows(given: Any, port: tuple[str, Shape], size: int) -> Any:
        name, shape = port
        try:
            array = given if hasattr(given, "tocsr") else np.asarray(given)
        except ValueError as error:
            raise DataError(f"{name!r} is not an array of rows: {error}", code="data-shape") from None
        if array.ndim > 2 and array.shape[1:] in (shape, shape[:-1] if shape[-1] == 1 else shape):
            return array.reshape(len(array), -1)
        if array.ndim == 1 and size == 1:
            return array[:, None]
        if array.ndim != 2 or array.shape[1] != size:
            wanted = shape if math.prod(shape) == size else (size,)
            raise DataError(f"{name!r} has shape {array.shape}, but needs rows of shape {wanted}", code="data-width")
        return array

    def taken_apart(self, y: Array) -> Any:
        """Split flat outputs, (n, O), into one array per output: a single array, a list, or a dictionary by name."""
        found, at = list[Array](), 0
        for _, shape in self.outputs:
            size = math.prod(shape)
            found.append(np.ascontiguousarray(y[:, at : at + size]).reshape(len(y), *shape))
            at += size
        if self.keyed:
            return dict(zip([name for name, _ in self.outputs], found, strict=True))
        return found if len(found) > 1 else found[0]


def side_by_side(
    ports: Ports | None, rules: Sequence[OutputRule], features: Any, label: Any = None, weight: Any = None
) -> tuple[Any, Any, Any]:
    """Return the columns to read from a DataFrame: (features, label, weight), with several inputs as `Joined`.

    Raises:
        ConfigError: If the columns do not match the inputs and outputs.
    """
    if ports is None:
        return features, label, weight
    label = ports.columns(label, "outputs", [rule.stop - rule.start for rule in rules])
    return ports.columns(features, "inputs"), label, weight


def check_packed(ports: Ports | None, rules: Sequence[OutputRule], packed: Any) -> None:
    """Raise ConfigError if rows were packed for other inputs or outputs."""
    features, label, _ = side_by_side(ports, rules, None)
    for part, own in (("features", features), ("label", label)) if packed and ports else ():
        given = getattr(packed, part)
        if isinstance(given, Joined) and isinstance(own, Joined) and given != replace(own, columns=given.columns):
            apart = [f"{one.names}, of {one.sizes} numbers" for one in (given, own)]
            raise ConfigError(
                f"the rows were packed with {part} {apart[0]}, but the model has {apart[1]}: pack them with the "
                "model's names, in its order",
                code="config-packed",
            )


class Built(NamedTuple):
    """A network built from symbolic tensors, with its layers and the names of its inputs and outputs.

    Args:
        network: The network.
        ports: Its inputs and outputs.
        owners: The layer that holds the weights of each owner of nodes.
        inputs: The values of the inputs.
        outputs: The values of the outputs.
    """

    network: Network
    ports: Ports
    owners: dict[int, Layer]
    inputs: list[Tensor]
    outputs: list[Tensor]


def network_of(inputs: Any, outputs: Any, dtype: str) -> Built:
    """Build the network that computes outputs from inputs; both are symbolic tensors, or lists or dicts of them.

    Raises:
        ConfigError: If the network cannot be built.
    """
    into, out = _listed(inputs, "inputs"), _listed(outputs, "outputs")
    ends = list(out.values())
    links = [_link(one) for one in ends]
    several = len(ends) > 1 or len(ends[0].row) > 1 or (links[0] and isinstance(ends[0].layer, MOVES))
    if several:
        rows = [_row(_before(one, link)) for one, link in zip(ends, links, strict=True)]
        sizes = tuple(math.prod(one.row) for one in rows)
        last = called(Heads(sizes, tuple([link or "linear" for link in links])), rows)
    else:
        last = ends[0]
    made, numbers = nodes_of(list(into.values()), [last])
    first, nodes, owners = dict[int, int](), list[Node](), dict[int, Layer]()
    for number, one in enumerate(made):
        assert one.owner is not None
        owner = first.setdefault(id(one.owner), number)
        owners[owner] = one.owner
        nodes.append(Node(one.layer, tuple([numbers[id(arg)] for arg in one.args]), owner, one.scope))
    network = Network(tuple(nodes), tuple([one.row for one in into.values()]), dtype)
    names = dict(zip([id(one.owner) for one in made], names_of(network.nodes), strict=True))
    ports = Ports(_named(into, names), _named(out, names), isinstance(outputs, Mapping))
    return Built(network, ports, owners, list(into.values()), ends)


def values_of(network: Network, owned: Mapping[int, Layer], ports: Ports | None) -> tuple[list[Tensor], list[Tensor]]:
    """Return a network's inputs and outputs as symbolic tensors, on which further layers can be called."""
    names = [name for name, _ in ports.inputs] if ports is not None else [None] * len(network.entries)
    inputs = [tensor(Input(shape, name=name), "") for shape, name in zip(network.entries, names, strict=True)]
    values, ends = list(inputs), list[Tensor]()
    for node in network.nodes:
        args = [values[arg] for arg in node.args]
        if isinstance(node.layer, Heads):
            ends = args
            break
        layer = node.layer
        if not isinstance(layer, Input):
            made = called(layer, args, node.scope, owned[node.owner])
            values += made if isinstance(made, tuple) else [made]
        else:
            values += args
    if not ends:
        return inputs, values[-1:]
    found = list[Tensor]()
    shapes = [shape for _, shape in ports.outputs] if ports is not None else [end.row for end in ends]
    for value, link, shape in zip(ends, node.layer.links, shapes, strict=True):
        one = value if link == "linear" else called(Activation(link), [value])
        found.append(one if one.row == shape else called(Reshape(shape), [one]))
    return inputs, found


def _listed(given: Any, part: str) -> dict[Any, Tensor]:
    """Convert inputs or outputs to a list of symbolic tensors; the keys of a dictionary become their names."""
    several = given if isinstance(given, list | tuple) else [] if given is None else [given]
    found = (
        {layer_name(key): one for key, one in given.items()}
        if isinstance(given, Mapping)
        else dict(enumerate(several))
    )
    if not found:
        raise ConfigError(f"a model needs {part}, but has none: use Model(inputs, outputs)", code="config-graph")
    return {name: tensor(one, f"Model({part}=)") for name, one in found.items()}


def _link(value: Tensor) -> str | None:
    """Return the name of an output's last activation if the loss computes it (softmax, sigmoid); otherwise None."""
    layer = value.layer
    if isinstance(layer, MOVES):
        name = _link(value.args[0])
        return name if name == "sigmoid" or isinstance(layer, Reshape) else None
    kind = "softmax" if isinstance(layer, Softmax) else None
    name = layer.activation if isinstance(layer, Dense | Activation) else kind
    return name if name == "sigmoid" or (name == "softmax" and len(value.row) == 1) else None


def _before(value: Tensor, link: str | None) -> Tensor:
    """Return the symbolic tensor that the last activation of an output reads."""
    if link is None:
        return value
    if isinstance(value.layer, MOVES):
        moved: Tensor = called(value.layer, [_before(value.args[0], link)], value.scope, value.owner)
        return moved
    if not isinstance(value.layer, Dense):
        return value.args[0]
    plain = replace(value.layer, activation=None)
    return replace(value, layer=plain, number=value.number + 0.5)


def _row(value: Tensor) -> Tensor:
    """Flatten a symbolic tensor to one axis if it has several."""
    flat: Tensor = value if len(value.row) == 1 else called(Reshape((math.prod(value.row),)), [value])
    return flat


def _named(values: Mapping[Any, Tensor], names: Mapping[int, str]) -> tuple[tuple[str, Shape], ...]:
    """Return the names and shapes of inputs or outputs.  names: the names of layers, keyed by `id`."""
    found = dict[str, Shape]()
    for key, one in values.items():
        if isinstance(one.layer, Input) and one.layer.name in found and key not in found:
            raise ConfigError(f"two inputs are named {one.layer.name!r}: names must be unique", code="config-name")
        own = names.get(id(one.owner)) or one.layer.name or kind_name(one.layer)
        found[key if isinstance(key, str) else numbered(own, found)] = one.row
    return tuple(found.items())

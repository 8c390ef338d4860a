"""A network out of values: what its inputs and outputs are called, and where they lie in rows of numbers."""

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
"""Layers that only move numbers, so that an activation may as well come behind them."""


@dataclass(frozen=True)
class Ports:
    """What the inputs and outputs of a network are called, and the shape of one row of each.

    Args:
        inputs: Names and shapes of the inputs, in the order in which they lie in a row.
        outputs: Those of the outputs.
        keyed: Whether outputs are given back as a dictionary.
    """

    inputs: tuple[tuple[str, Shape], ...]
    outputs: tuple[tuple[str, Shape], ...]
    keyed: bool = False

    def to_config(self) -> dict[str, Any]:
        """Return the JSON-able description."""
        return dict(vars(self))

    @staticmethod
    def from_config(config: Mapping[str, Any]) -> "Ports":
        """Return what `to_config` described; raise TypeError or ValueError where that is nothing."""
        inputs, outputs = ([(str(n), tuple(map(int, s))) for n, s in config[part]] for part in ("inputs", "outputs"))
        return Ports(tuple(inputs), tuple(outputs), config["keyed"] is True)

    def check(self, network: Network) -> None:
        """Raise ValueError where they are not those of a network."""
        last = network.layers[-1]
        sizes = last.sizes if isinstance(last, Heads) else (network.outputs,)
        shapes = [shape for _, shape in self.inputs], tuple(math.prod(shape) for _, shape in self.outputs)
        if shapes != (list(network.entries), sizes):
            raise ValueError("its inputs and outputs are not those of its network")

    def joined(self, given: Any, part: str, widths: Sequence[int] | None = None) -> Any:
        """Return the values of several inputs or outputs as rows of numbers, (n, I).

        Args:
            given: An array for each, as a list in their order or a dictionary by their names.
            part: "inputs" or "outputs".
            widths: How many numbers each has, where that is not what its shape says.

        Raises:
            ConfigError: For another number of arrays, or names that there are not.
            DataError: For arrays that differ in length, or have another shape.
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
            raise DataError(f"{part} must have equally many rows, and there are {counts}", code="data-lengths")
        if len(rows) == 1:
            return rows[0]
        return np.hstack([array.toarray() if hasattr(array, "tocsr") else array for array in rows])

    def each(self, given: Any, part: str, one: str, several: str) -> list[Any]:
        """Return what was given for inputs or outputs, as a list in their order or a dictionary by their names.

        Args:
            given: A list or a dictionary.
            part: "inputs" or "outputs".
            one: What is wanted of each, in words.
            several: The same of several.

        Raises:
            ConfigError: For anything else, a list of another length, or names that there are not.
        """
        names = [name for name, _ in getattr(self, part)]
        if isinstance(given, Mapping):
            if set(given) != set(names):
                raise ConfigError(
                    f"{part} are called {', '.join(names)}, and a dictionary of {', '.join(map(str, given))} was "
                    f"given: give {one} for each name",
                    code=f"config-{part}",
                )
            return [given[name] for name in names]
        if isinstance(given, list | tuple) and len(given) == len(names):
            return list(given)
        what = f"a list of {len(given)}" if isinstance(given, list | tuple) else f"a {type(given).__name__}"
        raise ConfigError(
            f"{part} are {len(names)}, {', '.join(names)}, and {what} was given: give a list of {several} in this "
            "order, or a dictionary by these names",
            code=f"config-{part}",
        )

    def columns(self, given: Any, part: str, sizes: Sequence[int] | None = None) -> Any:
        """Return which columns of a DataFrame several inputs or outputs are, as `Joined`; one alone as it was given.

        Args:
            given: The columns of each, as a list in their order or a dictionary by their names; None for columns
                that are called as they are.
            part: "inputs" or "outputs".
            sizes: How many numbers each has, where that is not what its shape says.

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
            raise DataError(f"{name!r} is no array of rows: {error}", code="data-shape") from None
        if array.ndim > 2 and array.shape[1:] in (shape, shape[:-1] if shape[-1] == 1 else shape):
            return array.reshape(len(array), -1)
        if array.ndim == 1 and size == 1:
            return array[:, None]
        if array.ndim != 2 or array.shape[1] != size:
            wanted = shape if math.prod(shape) == size else (size,)
            raise DataError(f"{name!r} has shape {array.shape}, and takes rows of shape {wanted}", code="data-width")
        return array

    def taken_apart(self, y: Array) -> Any:
        """Return the outputs, (n, O), as users get them: an array for each, in a list or by name."""
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
    """Return columns of a DataFrame, those of several inputs and of several outputs as `Joined`.

    Raises ConfigError where they are not those of the inputs and outputs.
    """
    if ports is None:
        return features, label, weight
    label = ports.columns(label, "outputs", [rule.stop - rule.start for rule in rules])
    return ports.columns(features, "inputs"), label, weight


def check_packed(ports: Ports | None, rules: Sequence[OutputRule], packed: Any) -> None:
    """Raise ConfigError where rows were packed as other inputs or outputs, by their columns."""
    features, label, _ = side_by_side(ports, rules, None)
    for part, own in (("features", features), ("label", label)) if packed and ports else ():
        given = getattr(packed, part)
        if isinstance(given, Joined) and isinstance(own, Joined) and given != replace(own, columns=given.columns):
            apart = [f"{one.names}, of {one.sizes} numbers" for one in (given, own)]
            raise ConfigError(
                f"the rows were packed with {part} {apart[0]}, and the model's are {apart[1]}: pack them with these "
                "names, in this order",
                code="config-packed",
            )


class Built(NamedTuple):
    """A network out of values.

    Args:
        network: The network.
        ports: Its inputs and outputs.
        owners: The layer that holds the weights of each owner of nodes.
        inputs: The values that it was built from.
        outputs: The values that it makes.
    """

    network: Network
    ports: Ports
    owners: dict[int, Layer]
    inputs: list[Tensor]
    outputs: list[Tensor]


def network_of(inputs: Any, outputs: Any, dtype: str) -> Built:
    """Return the network that computes outputs out of inputs: values, lists of them, or dictionaries.

    Raises ConfigError where it cannot be built.
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
    """Return the inputs and outputs of a network as values, from which others can be built."""
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
    """Return inputs or outputs as values, by their names in a dictionary or their places in a list."""
    several = given if isinstance(given, list | tuple) else [] if given is None else [given]
    found = (
        {layer_name(key): one for key, one in given.items()}
        if isinstance(given, Mapping)
        else dict(enumerate(several))
    )
    if not found:
        raise ConfigError(f"a model needs {part}, and none were given: Model(inputs, outputs)", code="config-graph")
    return {name: tensor(one, f"Model({part}=)") for name, one in found.items()}


def _link(value: Tensor) -> str | None:
    """Return the activation at the end of a value that losses are computed together with, or None."""
    layer = value.layer
    if isinstance(layer, MOVES):
        name = _link(value.args[0])
        return name if name == "sigmoid" or isinstance(layer, Reshape) else None
    kind = "softmax" if isinstance(layer, Softmax) else None
    name = layer.activation if isinstance(layer, Dense | Activation) else kind
    return name if name == "sigmoid" or (name == "softmax" and len(value.row) == 1) else None


def _before(value: Tensor, link: str | None) -> Tensor:
    """Return a value as it is before its activation."""
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
    """Return a value as a row of numbers."""
    flat: Tensor = value if len(value.row) == 1 else called(Reshape((math.prod(value.row),)), [value])
    return flat


def _named(values: Mapping[Any, Tensor], names: Mapping[int, str]) -> tuple[tuple[str, Shape], ...]:
    """Return what inputs or outputs are called, and their shapes.  names: of layers, by `id`."""
    found = dict[str, Shape]()
    for key, one in values.items():
        if isinstance(one.layer, Input) and one.layer.name in found and key not in found:
            raise ConfigError(f"two inputs are called {one.layer.name!r}: give one another name", code="config-name")
        own = names.get(id(one.owner)) or one.layer.name or kind_name(one.layer)
        found[key if isinstance(key, str) else numbered(own, found)] = one.row
    return tuple(found.items())

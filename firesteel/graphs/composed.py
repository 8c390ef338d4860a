"""A network with its weights, whose layers can be called: what a model is before it knows of training."""

import json
import operator
import os
import weakref
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from firesteel._drawing import Picture
from firesteel.core.layer import Automatic, Layer, layer_name
from firesteel.core.layers import Input
from firesteel.core.layers.calling import Tensor, copied, flat, matched, row_of, tensor
from firesteel.core.layers.heads import Heads
from firesteel.core.network import DTYPES, LAYER, Network, Node
from firesteel.core.spec import flag
from firesteel.core.types import Array, Shape
from firesteel.errors import ConfigError
from firesteel.graphs.building import Ports, network_of, values_of
from firesteel.graphs.describing import Described, described, untrained, untrained_slices
from firesteel.graphs.drawing import drawing
from firesteel.graphs.freezing import Trains, trained
from firesteel.graphs.names import kind_name, names_of
from firesteel.graphs.sharing import LayerPlace, SharedWeights

NOWHERE = LayerPlace(lambda: None)
TRAINABLE = operator.attrgetter("trainable")
FLAG = flag(True).metadata["check"]


class Composed:
    """A network that computes outputs out of inputs, and its weights.

    Args:
        inputs: An `Input`, or a list or dictionary of them; or a network.
        outputs: What layers have returned: one value, or a list or dictionary of values.
        name: What the model is called.
        dtype: "float32" or "float64".
    """

    _grows: ClassVar[bool] = False
    """Whether layers are added one by one, so that there is a network later."""
    _layers: tuple[Any, ...] = ()
    """Those that were added, layers and models."""
    _nested = False
    """Whether a model is among them."""
    _placed: tuple[LayerPlace, ...] = ()
    """Where they were before they were added."""

    def __init__(self, inputs: Any, outputs: Any, name: str | None, dtype: str) -> None:
        if dtype not in DTYPES:
            raise ConfigError(f"dtype={dtype!r}: it must be one of {DTYPES}", code="config-dtype")
        self._name = name if name is None else layer_name(name)
        self._dtype, self._network = dtype, None if inputs is None else inputs
        self._ports: Ports | None = None
        self._shared: SharedWeights | None = None
        self._owned: Mapping[int, Layer] | None = None
        self._values: tuple[Network, list[Tensor], list[Tensor]] | None = None
        self._theta: Array | None = None
        self._chosen = False
        self._place = LayerPlace(weakref.ref(self))
        if isinstance(inputs, Network):
            self._dtype = inputs.dtype
        elif not self._grows:
            self._network = self._compose(inputs, outputs)

    def __getstate__(self) -> dict[str, Any]:
        if self._shared is not None:
            self._take(self.theta)
        return {**vars(self), "_place": None, "_placed": (), "_shared": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, _place=LayerPlace(weakref.ref(self)))

    def _compose(self, inputs: Any, outputs: Any, shares: bool = True) -> Network:
        """Return the network that computes outputs out of inputs, and note what belongs to it."""
        built = network_of(inputs, outputs, self._dtype)
        self._ports, self._owned = built.ports, built.owners
        self._values = (built.network, built.inputs, built.outputs)
        self._shared = SharedWeights(built.network, built.owners) if shares else None
        for layer in built.owners.values() if shares else ():
            if vars(layer).get("_place", NOWHERE).model() is None:
                vars(layer)["_place"] = self._place.of(layer)
        return built.network

    def _unbuild(self) -> None:
        """Forget the network, which is built of the layers when it is needed."""
        self._network = self._ports = self._owned = self._shared = None

    def _adopted(self, network: Network) -> Network:
        """Return a network, and share the weights of layers that come from a model that has been trained."""
        owned = self._owned or {node.owner: node.layer for node in network.nodes}
        models = {id(one): one for place in self._placed if (one := place.model()) is not None}
        trained = [one for one in models.values() if one is not self and one._chosen]
        for one in trained:
            one._share()
        if trained:
            self._owned, self._shared = owned, SharedWeights(network, owned)
        return network

    # The network

    @property
    def network(self) -> Network:
        """The frozen network.  Raises ConfigError while the number of inputs is unknown."""
        if self._network is None:
            self._network = self._network_for(self._inputs)
        return self._network

    @property
    def name(self) -> str:
        """What the model is called."""
        return self._name or kind_name(self)

    @name.setter
    def name(self, name: str) -> None:
        self._name = layer_name(name)

    @property
    def _specs(self) -> Sequence[Any]:
        """The layers, as far as they are known."""
        return () if self._network is None else self._network.layers

    @property
    def _nodes(self) -> Sequence[Node]:
        """The nodes of the network, or while that is unknown of its layers one after another."""
        if self._network is not None:
            return self._network.nodes
        return [Node(layer, (number,), number) for number, layer in enumerate(self._specs)]

    @property
    def _inputs(self) -> int | None:
        """The number of inputs, None while it is unknown."""
        return None if self._network is None else self._network.inputs

    def _network_for(self, inputs: int | None, row: Shape | None = None) -> Network:
        """Return the network of layers that were added, for rows of so many numbers, or of a shape.

        Raises ConfigError where it cannot be known.
        """
        if inputs is None:
            raise ConfigError(
                "the number of inputs is unknown: give the first layer input_dim=, or fit first", code="config-input"
            )
        shaped = row is not None and len(row) > 1
        if not (self._nested or shaped):
            try:
                chain = Network.chain(self._layers, inputs, self._dtype)
            except ConfigError:
                if row_of(self._layers, inputs) is None:
                    raise
            else:
                if max(map(len, chain.shapes)) == 1 or row_of(self._layers, inputs) is None:
                    return self._adopted(chain) if self._placed else chain
            row = row_of(self._layers, inputs)
        elif not shaped:
            first = self._layers[0]
            row = first.input.row if isinstance(first, Composed) and first._inputs else (inputs,)
        start = value = Input(row)  # type: ignore[arg-type]
        for one in self._layers:
            value = value if isinstance(one, Input) else one(value)
        network = self._compose(start, value, shares=self._nested)
        return network if self._nested or not self._placed else self._adopted(network)

    @property
    def owned(self) -> Mapping[int, Layer]:
        """The layer that holds the weights of each owner of nodes, in order."""
        return self._owned or {node.owner: node.layer for node in reversed(self.network.nodes)}

    @property
    def layers(self) -> list[Layer]:
        """The layers but inputs, in order, each once; the names that they have here are theirs from now on."""
        return list(self._by_name().values())

    def _by_name(self) -> dict[str, Layer]:
        """Return the layers by what they are called in this model, which is their place from now on."""
        found, nodes = dict[str, Layer](), self._nodes
        names = dict(zip([node.owner for node in nodes], names_of(nodes), strict=True))
        owned = dict(enumerate(self._specs)) if self._network is None else self.owned
        for owner, layer in sorted(owned.items()):
            if not isinstance(layer, Heads | Input):
                vars(layer)["name"] = layer.name or Automatic(names[owner])
                vars(layer)["_place"] = self._place.of(layer)
                found[names[owner]] = layer
        return found

    def get_layer(self, name: str | None = None, index: int | None = None) -> Any:
        """Return a layer by its name, here or of its own, or by its number among `layers`.

        Raises ConfigError where it does not exist.
        """
        found = self.layers
        if index is not None and name is None and -len(found) <= index < len(found):
            return found[index]
        known = {} if self._nested and not (self._inputs and self.network) else self._by_name()
        named = {one.name: one for one in found} | known
        if name not in named:
            what = f"name={name!r}" if index is None else f"index={index!r}"
            names = ", ".join(known or map(str, named))
            raise ConfigError(f"get_layer({what}): the layers are {names}", code="config-layer")
        return named[name]

    def __repr__(self) -> str:
        kinds = self._kinds()
        shown = kinds if len(kinds) <= 8 else [*kinds[:6], "...", kinds[-1]]
        counted = "s" if len(kinds) != 1 else ""
        try:
            size = f"{self.count_params():,} parameters"
        except ConfigError:
            size = "not built"
        return (
            f"<{type(self).__name__} of {len(kinds)} layer{counted}, {size}{': ' if shown else ''}{', '.join(shown)}>"
        )

    def _kinds(self) -> list[str]:
        """Return what the layers are."""
        layers = self._specs if self._network is None else self.owned.values()
        return [type(layer).__name__ for layer in layers if not isinstance(layer, Input | Heads)]

    def _described(self) -> list[Described]:
        """Return the rows of `summary`; what is unknown is "?"."""
        if self._inputs is None:
            nodes = [node for node in self._nodes if not isinstance(node.layer, Input)]
            names = zip(names_of(nodes), nodes, strict=True)
            return [Described(f"{name} ({type(node.layer).__name__})", "?", 0, "", True) for name, node in names]
        ports = () if self._ports is None else tuple([name for name, _ in self._ports.inputs])
        return described(self.network, self.owned, ports)

    def _untrained(self) -> int:
        """Return the number of parameters that do not train."""
        return untrained(self.network, self._still())

    def _kept(self) -> dict[str, Any]:
        """Return what a file holds of the model besides its network."""
        for node in self.network.nodes:
            vars(node.layer)["trainable"] = self.owned[node.owner].trainable
        if self._ports is not None:
            return {"graph": self._ports.to_config(), "name": self.name}
        return {} if self._name is None else {"name": self._name}

    def plot(self, path: str | os.PathLike[str] | None = None) -> Picture:
        """Return a picture of the layers and what each of them reads, as SVG, which notebooks show.

        Args:
            path: A file that it is written to as well.

        Raises:
            ConfigError: If the number of inputs is unknown, or the file is to be of another kind.
            StoreError: If the file cannot be written.
        """
        picture = drawing(self.network, self.owned, self._ports, self.name)
        if path is not None:
            picture.write(path)
        return picture

    def get_config(self) -> dict[str, Any]:
        """Return the JSON-able description of the layers and how they are connected, without weights."""
        if self._inputs is None:
            return {"layers": [layer.to_config() for layer in self._specs], "dtype": self._dtype, "name": self._name}
        kept = self._kept()
        return {"network": self.network.to_config(), **kept}

    def to_json(self, **kwargs: Any) -> str:
        """Return `get_config` as JSON; the arguments are those of `json.dumps`."""
        return json.dumps(self.get_config(), **kwargs)

    @property
    def trainable(self) -> bool:
        """Whether any layer with weights trains; setting it sets `trainable` of every layer."""
        return any(map(TRAINABLE, self._switches))

    @trainable.setter
    def trainable(self, value: bool) -> None:
        checked = FLAG(type(self).__name__, "trainable", value)
        for layer in self._switches:
            layer.trainable = checked

    @property
    def _switches(self) -> Collection[Any]:
        """What `trainable` is set of: the layers, or models, as far as they are known."""
        return self.owned.values() if self._network is not None else self.layers

    @property
    def _heads(self) -> Heads | None:
        """What joins several outputs, if there are several."""
        last = None if self._network is None else self._network.layers[-1]
        return last if isinstance(last, Heads) else None

    # Values

    def __call__(self, *values: Any, training: bool | None = None) -> Any:
        """Return what the model makes of values of a graph, as a layer would.

        Its layers and weights become part of the model that is built: training one trains the other.
        Raises ConfigError where the model does not fit them.
        """
        if self._ports is not None and values and isinstance(values[0], Mapping):
            values = (self._ports.each(values[0], "inputs", "a value", "values"),)
        given = [tensor(one, self.name) for one in flat(values)]
        if self._inputs is None and given:
            self._network = self._network_for(given[0].row[-1], given[0].row)
        inputs, outputs = self._graph()
        known = matched(self.name, inputs, given)
        self._share()
        made = copied(outputs, known, f"{self.name}/", training)
        if self._ports is not None and self._ports.keyed:
            return dict(zip([name for name, _ in self._ports.outputs], made, strict=True))
        return made if len(made) > 1 else made[0]

    def _graph(self) -> tuple[list[Tensor], list[Tensor]]:
        """Return the inputs and outputs as values, from which new models can be built."""
        if self._values is None or self._values[0] is not self.network and self._owned is None:
            self._values = (self.network, *values_of(self.network, self.owned, self._ports))
        return self._values[1:]

    def _share(self) -> None:
        """Give the layers cells, so that other models have the weights of this one."""
        if self._shared is None:
            self._shared = SharedWeights(self.network, self.owned)
            if self._theta is not None:
                self._shared.write(self._theta, self._chosen)

    @property
    def inputs(self) -> list[Tensor]:
        """The inputs, as values that layers can be called on."""
        return self._graph()[0]

    @property
    def outputs(self) -> list[Tensor]:
        """The outputs, likewise."""
        return self._graph()[1]

    @property
    def input(self) -> Any:
        """The input, or a list of them where there are several."""
        return self.inputs if len(self.inputs) > 1 else self.inputs[0]

    @property
    def output(self) -> Any:
        """The output, or a list of them where there are several."""
        return self.outputs if len(self.outputs) > 1 else self.outputs[0]

    @property
    def input_shape(self) -> Any:
        """The shape of the input, None being the rows; a list where there are several."""
        return _each(self.input)

    @property
    def output_shape(self) -> Any:
        """The shape of the output, None being the rows; a list where there are several."""
        return _each(self.output)

    # Weights

    @property
    def theta(self) -> Array:
        """All parameters as one vector, (P,), read-only; drawn at first use from the default seed."""
        if self._theta is None or (self._shared is not None and self._shared.changed):
            self._take(self._drawn() if self._theta is None else self._theta)
        assert self._theta is not None
        return self._theta

    def _drawn(self) -> Array:
        """Return weights that are drawn before any fit."""
        raise NotImplementedError

    def _take(self, theta: Array) -> None:
        """Take weights, but those that other models have written since."""
        if self._shared is None:
            self._put(theta)
        elif self._shared.all_chosen:
            self._choose(self._shared.read(theta))
        else:
            self._put(self._shared.read(theta))

    def _put(self, theta: Array) -> None:
        theta.flags.writeable = False
        self._theta = theta
        if self._shared is not None:
            self._shared.write(theta, self._chosen)

    def _choose(self, theta: Array) -> None:
        """Take weights that were drawn or set."""
        self._chosen = True
        self._put(theta)

    def _replace(self, layers: Mapping[int, Layer]) -> None:
        """Put other layers in the place of those of some nodes."""
        nodes = [replace(node, layer=layers.get(n, node.layer)) for n, node in enumerate(self.network.nodes)]
        if self._owned is not None:  # values and other models have these very layers
            for number, layer in layers.items():
                vars(self.network.nodes[number].layer).update(layer.__getstate__())
            nodes = list(self.network.nodes)
        self._network = replace(self.network, nodes=tuple(nodes))

    def draw(self, seed: int) -> None:
        """Draw the weights, but those of layers that were trained or set in another model."""
        theta = self.network.init(seed)
        self._choose(theta if self._shared is None else self._shared.read(theta, chosen=True))

    def _still(self) -> set[int]:
        """Return the owners of nodes whose weights do not train."""
        return {owner for owner, layer in self.owned.items() if not layer.trainable}

    def _trains(self) -> Trains:
        """Return what trains of theta, None for all of it.  Raises ConfigError if nothing does."""
        layers = map(LAYER, self.network.nodes) if self._owned is None else self._owned.values()
        return None if all(map(TRAINABLE, layers)) else trained(self.network, self._still())

    def count_params(self) -> int:
        """Return the number of parameters."""
        return self.network.layout.size

    def get_weights(self) -> list[npt.NDArray[Any]]:
        """Return a copy of each array of weights, in order: kernel and bias of each layer that has them.

        Of an average they are those of members[0], then those of members[1], and so on.
        """
        slices = self.network.layout.slices
        return [self.theta[where].reshape(shape).copy() for _, _, shape, where in slices]

    @property
    def trainable_weights(self) -> list[npt.NDArray[Any]]:
        """Those of `get_weights` that a fit moves along their gradient."""
        return self._weights(trains=True)

    @property
    def non_trainable_weights(self) -> list[npt.NDArray[Any]]:
        """The others: of layers that do not train, and running averages."""
        return self._weights(trains=False)

    def _weights(self, trains: bool) -> list[npt.NDArray[Any]]:
        still = untrained_slices(self.network, self._still())
        slices = self.network.layout.slices
        return [self.theta[at].reshape(shape).copy() for _, _, shape, at in slices if (at not in still) == trains]

    @property
    def weights(self) -> list[npt.NDArray[Any]]:
        """What `get_weights` returns."""
        return self.get_weights()

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Set every array of weights, in the order of `get_weights`.  Raises ConfigError if shapes do not fit."""
        self._set(weights, [(where, shape) for _, _, shape, where in self.network.layout.slices])

    def _set(self, weights: Sequence[Any], places: Sequence[tuple[slice, Shape]]) -> None:
        """Set arrays of weights at some places of theta."""
        try:
            arrays = [np.asarray(array, np.float64) for array in weights]
        except (TypeError, ValueError) as error:
            raise ConfigError(f"set_weights takes arrays of numbers: {error}", code="config-value") from None
        shapes = [array.shape for array in arrays]
        if shapes != [shape for _, shape in places]:
            raise ConfigError(
                f"set_weights was given shapes {shapes}, and the network has {[shape for _, shape in places]}",
                code="config-shape",
            )
        theta = self.theta.copy()
        for array, (where, _) in zip(arrays, places, strict=True):
            theta[where] = array.reshape(-1)
        self._choose(theta)


def _each(value: Any) -> Any:
    return [one.shape for one in value] if isinstance(value, list) else value.shape

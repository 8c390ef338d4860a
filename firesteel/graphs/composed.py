"""Base of `Model`: a network and its weights, without compile settings and training."""

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
from firesteel.graphs.freezing import Trains, trained_slices
from firesteel.graphs.names import kind_name, names_of
from firesteel.graphs.sharing import LayerPlace, SharedWeights

NOWHERE = LayerPlace(lambda: None)
TRAINABLE = operator.attrgetter("trainable")
FLAG = flag(True).metadata["check"]


class Composed:
    """A network and its weights, which can be called on symbolic tensors like a layer.

    Args:
        inputs: An `Input`, or a list or dictionary of them; or a network.
        outputs: The value that a layer returned, or a list or dictionary of values.
        name: The name of the model.
        dtype: `"float32"` or `"float64"`.

    Raises:
        ConfigError: If the network cannot be built, or an argument is invalid.
    """

    _grows: ClassVar[bool] = False
    """Whether layers are added one at a time, so that the network is built later."""
    _layers: tuple[Any, ...] = ()
    """The layers and models that were added."""
    _nested = False
    """Whether one of them is a model."""
    _placed: tuple[LayerPlace, ...] = ()
    """The earlier memberships of the layers that were added."""

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
        """Build the network that computes outputs from inputs, and store its names and layers."""
        built = network_of(inputs, outputs, self._dtype)
        self._ports, self._owned = built.ports, built.owners
        self._values = (built.network, built.inputs, built.outputs)
        self._shared = SharedWeights(built.network, built.owners) if shares else None
        for layer in built.owners.values() if shares else ():
            if vars(layer).get("_place", NOWHERE).model() is None:
                vars(layer)["_place"] = self._place.of(layer)
        return built.network

    def _unbuild(self) -> None:
        """Discard the network, so that it is built again from the layers when needed."""
        self._network = self._ports = self._owned = self._shared = None

    def _adopted(self, network: Network) -> Network:
        """Adopt a network: if some of its layers belong to another model, share that model's weights."""
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
        """The network, a frozen description; raises ConfigError while the number of inputs is unknown."""
        if self._network is None:
            self._network = self._network_for(self._inputs)
        return self._network

    @property
    def name(self) -> str:
        """The name of the model."""
        return self._name or kind_name(self)

    @name.setter
    def name(self, name: str) -> None:
        self._name = layer_name(name)

    @property
    def _specs(self) -> Sequence[Any]:
        """The layers that were added or found so far."""
        return () if self._network is None else self._network.layers

    @property
    def _nodes(self) -> Sequence[Node]:
        """The nodes of the network; before it is built, those of a chain of the known layers."""
        if self._network is not None:
            return self._network.nodes
        return [Node(layer, (number,), number) for number, layer in enumerate(self._specs)]

    @property
    def _inputs(self) -> int | None:
        """The number of inputs; None while it is unknown."""
        return None if self._network is None else self._network.inputs

    def _network_for(self, inputs: int | None, row: Shape | None = None) -> Network:
        """Build the network of the added layers for rows with a number of inputs, or of a shape.

        Raises:
            ConfigError: If the number of inputs is unknown (`config-input`), or a layer does not fit.
        """
        if inputs is None:
            raise ConfigError(
                "the number of inputs is unknown: pass input_dim= to the first layer, or fit first",
                code="config-input",
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
        """The layers that own weights, in order; a layer that is called several times is listed once."""
        return self._owned or {node.owner: node.layer for node in reversed(self.network.nodes)}

    @property
    def layers(self) -> list[Layer]:
        """The layers in order, without inputs, each once.  Reading it gives them their names in this model."""
        return list(self._by_name().values())

    def _by_name(self) -> dict[str, Layer]:
        """Return the layers by name, and connect each to this model for its `weights`, `input` and `output`."""
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
        """Return a layer by name or by index.

        Args:
            name: The name of the layer.
            index: The index of the layer in `layers`, if no name is given.

        Raises:
            ConfigError: If the layer does not exist (`config-layer`).

        Example:
            >>> from firesteel import Sequential, layers
            >>> model = Sequential([layers.Input((3,)), layers.Dense(2, name="hidden"), layers.Dense(1)])
            >>> model.get_layer("hidden") is model.get_layer(index=0)
            True
        """
        found = self.layers
        if index is not None and name is None and -len(found) <= index < len(found):
            return found[index]
        known = {} if self._nested and not (self._inputs and self.network) else self._by_name()
        named = {one.name: one for one in found} | known
        if name not in named:
            what = f"name={name!r}" if index is None else f"index={index!r}"
            names = ", ".join(known or map(str, named))
            raise ConfigError(f"get_layer({what}): unknown; the layers are {names}", code="config-layer")
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
        """Return the class names of the layers."""
        layers = self._specs if self._network is None else self.owned.values()
        return [type(layer).__name__ for layer in layers if not isinstance(layer, Input | Heads)]

    def _described(self) -> list[Described]:
        """Return the rows of the table that `summary` prints; unknown shapes are "?"."""
        if self._inputs is None:
            nodes = [node for node in self._nodes if not isinstance(node.layer, Input)]
            names = zip(names_of(nodes), nodes, strict=True)
            return [Described(f"{name} ({type(node.layer).__name__})", "?", 0, "", True) for name, node in names]
        ports = () if self._ports is None else tuple([name for name, _ in self._ports.inputs])
        return described(self.network, self.owned, ports)

    def _untrained(self) -> int:
        """Return the number of parameters that are not trained."""
        return untrained(self.network, self._frozen())

    def _kept(self) -> dict[str, Any]:
        """Return what a model file stores besides the network: the names of model, layers, inputs and outputs."""
        for node in self.network.nodes:
            vars(node.layer)["trainable"] = self.owned[node.owner].trainable
        if self._ports is not None:
            return {"graph": self._ports.to_config(), "name": self.name}
        return {} if self._name is None else {"name": self._name}

    def plot(self, path: str | os.PathLike[str] | None = None) -> Picture:
        """Draw the layers and their connections as SVG, which notebooks display.

        Args:
            path: A file to write the drawing to.

        Returns:
            The drawing.

        Raises:
            ConfigError: If the number of inputs is unknown, or `path` does not end in `.svg`.
            StoreError: If the file cannot be written (`store-write`).

        Example:
            >>> from firesteel import Sequential, layers
            >>> Sequential([layers.Input((3,)), layers.Dense(1)]).plot()[:4]
            '<svg'
        """
        picture = drawing(self.network, self.owned, self._ports, self.name)
        if path is not None:
            picture.write(path)
        return picture

    def get_config(self) -> dict[str, Any]:
        """Return the layers and their connections as a JSON-able dictionary, without weights."""
        if self._inputs is None:
            return {"layers": [layer.to_config() for layer in self._specs], "dtype": self._dtype, "name": self._name}
        kept = self._kept()
        return {"network": self.network.to_config(), **kept}

    def to_json(self, **kwargs: Any) -> str:
        """Return `get_config` as JSON.

        Args:
            kwargs: Arguments of `json.dumps`.
        """
        return json.dumps(self.get_config(), **kwargs)

    @property
    def trainable(self) -> bool:
        """Whether any layer with weights is trained.  Setting it sets `trainable` of every layer."""
        return any(map(TRAINABLE, self._switches))

    @trainable.setter
    def trainable(self, value: bool) -> None:
        checked = FLAG(type(self).__name__, "trainable", value)
        for layer in self._switches:
            layer.trainable = checked

    @property
    def _switches(self) -> Collection[Any]:
        """The layers or nested models whose `trainable` flag setting `trainable` changes."""
        return self.owned.values() if self._network is not None else self.layers

    @property
    def _heads(self) -> Heads | None:
        """The internal layer that joins several outputs into one row; None for a model with one output."""
        last = None if self._network is None else self._network.layers[-1]
        return last if isinstance(last, Heads) else None

    # Values

    def __call__(self, *values: Any, training: bool | None = None) -> Any:
        """Apply the model to symbolic tensors, as a layer.

        The layers and weights become part of the model being built, so that training one trains the other.

        Args:
            values: One value for each input.
            training: Whether dropout, noise and the like are active; None follows the outer model.

        Returns:
            The output, or a list or dictionary of several.

        Raises:
            ConfigError: If the values do not fit the model's inputs.
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
        """Return inputs and outputs as symbolic tensors, from which other models can be built."""
        if self._values is None or self._values[0] is not self.network and self._owned is None:
            self._values = (self.network, *values_of(self.network, self.owned, self._ports))
        return self._values[1:]

    def _share(self) -> None:
        """Put the weights into cells that other models with the same layers can share."""
        if self._shared is None:
            self._shared = SharedWeights(self.network, self.owned)
            if self._theta is not None:
                self._shared.write(self._theta, self._chosen)

    @property
    def inputs(self) -> list[Tensor]:
        """The inputs, as symbolic tensors on which layers can be called."""
        return self._graph()[0]

    @property
    def outputs(self) -> list[Tensor]:
        """The outputs, as symbolic tensors on which layers can be called."""
        return self._graph()[1]

    @property
    def input(self) -> Any:
        """The input, or a list of several."""
        return self.inputs if len(self.inputs) > 1 else self.inputs[0]

    @property
    def output(self) -> Any:
        """The output, or a list of several."""
        return self.outputs if len(self.outputs) > 1 else self.outputs[0]

    @property
    def input_shape(self) -> Any:
        """The shape of the input, with None for the batch axis; a list for several inputs."""
        return _each(self.input)

    @property
    def output_shape(self) -> Any:
        """The shape of the output, with None for the batch axis; a list for several outputs."""
        return _each(self.output)

    # Weights

    @property
    def theta(self) -> Array:
        """All parameters as one read-only vector, (P,); initial weights are drawn at first use."""
        if self._theta is None or (self._shared is not None and self._shared.changed):
            self._take(self._drawn() if self._theta is None else self._theta)
        assert self._theta is not None
        return self._theta

    def _drawn(self) -> Array:
        """Draw initial weights for use before any `fit`."""
        raise NotImplementedError

    def _take(self, theta: Array) -> None:
        """Set the weights, except shared ones that another model has written since."""
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
        """Set the weights and mark them as chosen: trained, loaded, drawn or set by the user."""
        self._chosen = True
        self._put(theta)

    def _replace(self, layers: Mapping[int, Layer]) -> None:
        """Replace the layers of some nodes."""
        nodes = [replace(node, layer=layers.get(n, node.layer)) for n, node in enumerate(self.network.nodes)]
        if self._owned is not None:  # values and other models refer to these layer objects
            for number, layer in layers.items():
                vars(self.network.nodes[number].layer).update(layer.__getstate__())
            nodes = list(self.network.nodes)
        self._network = replace(self.network, nodes=tuple(nodes))

    def draw(self, seed: int) -> None:
        """Draw initial weights, except for layers that were trained or set in another model.

        Args:
            seed: The seed, an integer of at least 0.
        """
        theta = self.network.init(seed)
        self._choose(theta if self._shared is None else self._shared.read(theta, chosen=True))

    def _frozen(self) -> set[int]:
        """Return the numbers of the layers whose weights are frozen."""
        return {owner for owner, layer in self.owned.items() if not layer.trainable}

    def _trains(self) -> Trains:
        """Return the slices of theta that are trained, None for all; raise ConfigError if all is frozen."""
        layers = map(LAYER, self.network.nodes) if self._owned is None else self._owned.values()
        return None if all(map(TRAINABLE, layers)) else trained_slices(self.network, self._frozen())

    def count_params(self) -> int:
        """Return the number of parameters."""
        return self.network.layout.size

    def get_weights(self) -> list[npt.NDArray[Any]]:
        """Return a copy of each array of weights: for each layer that has them, kernel, then bias.

        For an averaged model they are those of `members[0]`, then those of `members[1]`, and so on.
        """
        slices = self.network.layout.slices
        return [self.theta[where].reshape(shape).copy() for _, _, shape, where in slices]

    @property
    def trainable_weights(self) -> list[npt.NDArray[Any]]:
        """The arrays of `get_weights` that training updates by gradient."""
        return self._weights(trains=True)

    @property
    def non_trainable_weights(self) -> list[npt.NDArray[Any]]:
        """The arrays of `get_weights` that no gradient updates: weights of frozen layers, and running averages."""
        return self._weights(trains=False)

    def _weights(self, trains: bool) -> list[npt.NDArray[Any]]:
        still = untrained_slices(self.network, self._frozen())
        slices = self.network.layout.slices
        return [self.theta[at].reshape(shape).copy() for _, _, shape, at in slices if (at not in still) == trains]

    @property
    def weights(self) -> list[npt.NDArray[Any]]:
        """The arrays of `get_weights`."""
        return self.get_weights()

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Set every array of weights.

        Args:
            weights: The arrays, in the order and shapes of `get_weights`.

        Raises:
            ConfigError: If an array is not numeric (`config-value`), or its shape differs (`config-shape`).
        """
        self._set(weights, [(where, shape) for _, _, shape, where in self.network.layout.slices])

    def _set(self, weights: Sequence[Any], places: Sequence[tuple[slice, Shape]]) -> None:
        """Write arrays of weights to slices of theta, after checking their shapes."""
        try:
            arrays = [np.asarray(array, np.float64) for array in weights]
        except (TypeError, ValueError) as error:
            raise ConfigError(f"set_weights takes arrays of numbers: {error}", code="config-value") from None
        shapes = [array.shape for array in arrays]
        if shapes != [shape for _, shape in places]:
            raise ConfigError(
                f"set_weights got shapes {shapes}, but the network has {[shape for _, shape in places]}",
                code="config-shape",
            )
        theta = self.theta.copy()
        for array, (where, _) in zip(arrays, places, strict=True):
            theta[where] = array.reshape(-1)
        self._choose(theta)


def _each(value: Any) -> Any:
    return [one.shape for one in value] if isinstance(value, list) else value.shape

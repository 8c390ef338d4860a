"""`Sequential`, and functions that create, copy and load models."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from firesteel import _store as store
from firesteel._model import Model
from firesteel.core import layers
from firesteel.core.elsewhere import spelled
from firesteel.core.layer import layer_name
from firesteel.core.layers import Input, Layer, Table
from firesteel.core.network import Network
from firesteel.core.spec import whole
from firesteel.errors import ConfigError
from firesteel.extending import classes_in, known, read_weights
from firesteel.graphs.building import Ports
from firesteel.graphs.freezing import trained_part
from firesteel.tables.containers import columns_of
from firesteel.tables.given import listed
from firesteel.tables.profile import schema_of
from firesteel.tables.schema import Schema
from firesteel.train.state import TrainState

__all__ = ["Model", "Sequential", "clone_model", "load_model", "model_from_config", "model_from_json"]
__all__ += ["read_weights"]


class Sequential(Model):
    """A chain of layers.

    Args:
        layers: The layers in order.  Give the first one `input_dim` to have weights before the first `fit`.  A model
            in the list shares its weights with this one.
        name: Name of the model; None names it after its class.
        dtype: "float32", or "float64" for numerical checks.

    Example:
        >>> import numpy as np
        >>> from firesteel.layers import Dense
        >>> model = Sequential([Dense(8, activation="relu", input_dim=2), Dense(2, activation="softmax")])
        >>> model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
        >>> x = np.random.default_rng(0).normal(size=(200, 2))
        >>> history = model.fit(x, x[:, 0] > 0, epochs=20, verbose=0)
        >>> model.evaluate(x, x[:, 0] > 0, verbose=0)[1] > 0.9
        True
    """

    _grows = True

    @spelled
    def __init__(
        self, layers: Sequence[Any] | None = None, *, name: str | None = None, dtype: str = "float32"
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        for layer in listed("layers", layers):
            self.add(layer)

    @property
    def layers(self) -> list[Any]:
        """The layers and nested models in order, without inputs.  Reading it fixes their automatic names."""
        return [one for one in self._layers if not isinstance(one, Input)] if self._nested else super().layers

    @property
    def _specs(self) -> Sequence[Any]:
        return self._layers if self._network is None else self._network.layers

    def add(self, layer: Any) -> None:
        """Append a layer, or a model, whose layers and weights become part of this one.

        Args:
            layer: The layer or model.

        Raises:
            ConfigError: If the network already has weights, or the argument is not a layer.
        """
        if self._theta is not None:
            raise ConfigError("the network already has weights: add layers before its first use", code="config-built")
        if not isinstance(layer, Layer | Model):
            raise ConfigError(f"{layer!r} is not a layer: add a layer object, such as Dense(10)", code="config-layer")
        self._layers = (*self._layers, layer)
        self._nested = self._nested or isinstance(layer, Model)
        self._placed += (vars(layer)["_place"],) if "_place" in vars(layer) else ()
        self._network = self._ports = self._owned = self._shared = None

    def pop(self) -> Any:
        """Remove and return the last layer.

        Raises:
            ConfigError: If the network already has weights, or no layers.
        """
        if self._theta is not None or not self._layers:
            what = "already has weights" if self._layers else "has no layers"
            raise ConfigError(f"the network {what}: pop() cannot remove a layer", code="config-built")
        *rest, last = self._layers
        self._layers = tuple(rest)
        self._unbuild()
        return last

    @property
    def _inputs(self) -> int | None:
        if self._network is not None or not self._layers:
            return super()._inputs
        first = self._layers[0]
        return first._inputs if isinstance(first, Model) else first.inputs

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Set the number of inputs if no layer does.

        Args:
            input_shape: (None, inputs), None being the number of rows, such as (None, 784).

        Raises:
            ConfigError: If a layer has another number of inputs.
        """
        width = whole(input_shape[-1]) if isinstance(input_shape, tuple) and len(input_shape) == 2 else None
        if width is None or width < 1:
            raise ConfigError(f"input_shape={input_shape!r}: give (None, inputs)", code="config-value")
        if self._inputs not in (None, width):
            raise ConfigError(
                f"input_shape={input_shape!r}, but the first layer takes {self._inputs} inputs", code="config-shape"
            )
        self._network = self._network or self._network_for(width)

    def _learn(self, x: Any, y: Any, split: float) -> None:
        specs = self._layers if self._nested else self._specs
        at = next((n for n, layer in enumerate(specs) if not isinstance(layer, Input)), -1)
        first = specs[at] if at >= 0 else None
        if not isinstance(first, Table):
            return
        if x is None:
            known = replace(first, edges=(), plain=0, levels=(), shares=())
            self.schema = None
        else:
            columns, rows = columns_of(x)
            used = slice(0, int(rows * (1 - split)))
            self.schema = schema_of({name: values[used] for name, values in columns.items()}, used.stop, y=y)
            known = self.schema.layer(first)
        self._layers = (*specs[:at], known, *specs[at + 1 :])
        self._unbuild()

    # Saving

    @staticmethod
    def from_bytes(data: bytes, name: str = "the model") -> Model:
        """Return the model that `to_bytes` wrote.

        Args:
            data: The bytes.
            name: What error messages call the model.

        Raises:
            StoreError: If the bytes are not a model, or are damaged.
        """
        network, theta, header, vectors = store.from_bytes(data, name)
        try:
            model = _described(network, header)
            model._choose(theta)
            if (compiled := header.get("compiled")) is not None:
                if not isinstance(compiled["metrics"], list | dict):
                    raise TypeError("its metrics are not a list")
                model.compile(**compiled)
                model._objective()
            if (table := header.get("table")) is not None:
                model.schema = Schema.from_config(table)
                first = next(layer for layer in network.layers if not isinstance(layer, Input))
                if not isinstance(first, Table) or model.schema.layer(first) != first:
                    raise ValueError("its table schema does not match its first layer")
            if "state" in header:
                optimizer, part = model.settings.optimizer, trained_part(theta, model._trains())
                still = np.broadcast_to(np.zeros((), theta.dtype), part.shape)
                vectors = {"outer": still, **vectors}
                state = TrainState.of(header["state"], part, **vectors, averaged=optimizer.use_ema)
                if len(state.slots) != len(optimizer.slots):
                    raise ValueError("its moments do not match its optimizer")
                averaged = header.get("averaged") is True and state.averaged
                model._moves = model._trains()
                model.keep(state.swapped() if averaged else state, averaged)
        except store.WRONG as error:
            raise store.damaged(name, error, header) from None
        return model


def _described(network: Network, about: Mapping[str, Any]) -> Model:
    """Create a model from a network and attributes in a file; raise one of store.WRONG if they are invalid."""
    chain = network.chained and "graph" not in about
    model = Sequential(network.layers, dtype=network.dtype) if chain else Model(network)
    model._network = network
    if (graph := about.get("graph")) is not None:
        model._ports = Ports.from_config(graph)
        model._ports.check(network)
    model._name = layer_name(about.get("name"))
    return model


def model_from_config(config: Mapping[str, Any], custom_objects: Mapping[str, type] | None = None) -> Model:
    """Create a model from the description that `Model.get_config` returned.

    Args:
        config: The description.
        custom_objects: Classes that the description names and that are not registered, by name.

    Returns:
        The model, with new weights and not compiled.

    Raises:
        ConfigError: If the description is invalid.

    Example:
        >>> from firesteel.layers import Dense
        >>> model_from_config(Sequential([Dense(2, input_dim=3)]).get_config())
        <Sequential of 1 layer, 8 parameters: Dense>
    """
    try:
        with known((custom_objects or {}).values()):
            if "network" in config:
                return _described(Network.from_config(config["network"]), config)
            given = [layers.get(layer) for layer in config["layers"]]
            return Sequential(given, name=config.get("name"), dtype=config["dtype"])
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        if isinstance(error, ConfigError):
            raise
        raise ConfigError(f"the configuration does not describe a model: {error}", code="config-field") from None


def model_from_json(text: str, custom_objects: Mapping[str, type] | None = None) -> Model:
    """Create a model from the JSON that `Model.to_json` returned.

    Args:
        text: The JSON.
        custom_objects: Classes that it names and that are not registered, by name.

    Returns:
        The model, with new weights and not compiled.

    Raises:
        ConfigError: If it is not JSON, or does not describe a model.

    Example:
        >>> from firesteel.layers import Dense
        >>> model_from_json(Sequential([Dense(2, input_dim=3)]).to_json())
        <Sequential of 1 layer, 8 parameters: Dense>
    """
    try:
        config = json.loads(text)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"the text is not valid JSON: {error}", code="config-field") from None
    return model_from_config(config, custom_objects)


def clone_model(model: Model) -> Model:
    """Create a model with the same layers and new weights; it is not compiled.

    Args:
        model: The model to copy.

    Returns:
        The new model.

    Example:
        >>> from firesteel.layers import Dense
        >>> clone_model(Sequential([Dense(2, input_dim=3)]))
        <Sequential of 1 layer, 8 parameters: Dense>
    """
    return model_from_config(model.get_config(), {kind.__name__: kind for kind in classes_in(model.layers)})


def load_model(
    path: str | os.PathLike[str],
    custom: Sequence[type] | None = None,
    *,
    custom_objects: Mapping[str, type] | None = None,
    compile: bool = True,
) -> Model:
    """Load a model that `Model.save` wrote.  Nothing in the file is executed.

    Args:
        path: The file.
        custom: Classes that the file names and that are not registered with `firesteel.register`.
        custom_objects: The same as a dictionary by name, as in Keras.
        compile: Whether to restore the compile settings and the training state.

    Returns:
        The model.

    Raises:
        StoreError: If the file is not a model, is damaged, or names an unknown class.

    Example:
        >>> import tempfile
        >>> from firesteel.layers import Dense
        >>> path = tempfile.mkdtemp() + "/model.firesteel"
        >>> Sequential([Dense(1, input_dim=2)]).save(path)
        >>> load_model(path)
        <Sequential of 1 layer, 3 parameters: Dense>
    """
    with known([*listed("custom", custom), *(custom_objects or {}).values()]):
        model = Sequential.from_bytes(store.read(path), os.fspath(path))
    if not compile:
        model._how = model._scored = model._state = None
    return model

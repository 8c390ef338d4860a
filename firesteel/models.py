"""Sequential: a model that builds a chain of layers, in the words that Keras's users know."""

import os
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from firesteel import _console as console
from firesteel import _notebook as notebook
from firesteel import _store as store
from firesteel._model import Model
from firesteel._printing import plain, say
from firesteel.core import metrics
from firesteel.core.faster import faster
from firesteel.core.layers import Dropout, Input, Layer, Table, dense
from firesteel.core.network import Network
from firesteel.core.spec import spelled, whole
from firesteel.errors import ConfigError
from firesteel.extending import known, read_weights
from firesteel.tables.containers import columns_of
from firesteel.tables.given import listed
from firesteel.tables.profile import schema_of
from firesteel.tables.schema import Schema
from firesteel.train.state import TrainState
from firesteel.train.step import SUB_BATCH

__all__ = ["Sequential", "load_model", "read_weights"]


class Sequential(Model):
    """A network of layers, one after another.

    layers: the layers, the first with `input_dim` if the weights are wanted before the data are seen.
    dtype: "float32", or "float64" for checks.

    >>> from firesteel.layers import Dense
    >>> model = Sequential([Dense(8, activation="relu", input_dim=2), Dense(2, activation="softmax")])
    >>> model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    >>> x = np.random.default_rng(0).normal(size=(200, 2))
    >>> history = model.fit(x, x[:, 0] > 0, epochs=20, verbose=0)
    >>> model.evaluate(x, x[:, 0] > 0, verbose=0)[1] > 0.9
    True
    """

    @spelled
    def __init__(self, layers: Sequence[Layer] | None = None, *, dtype: str = "float32") -> None:
        super().__init__(None, dtype)
        self._layers: tuple[Layer, ...] = ()
        for layer in listed("layers", layers):
            self.add(layer)

    @property
    def layers(self) -> list[Layer]:
        """The layers, in order."""
        return list(self._layers if self._network is None else self._network.layers)

    def add(self, layer: Layer) -> None:
        """Append a layer.  Raises ConfigError once the network has weights, or for what is not a layer."""
        if self._theta is not None:
            raise ConfigError("the network has its weights already: add layers before using it", code="config-built")
        if not isinstance(layer, Layer):
            raise ConfigError(
                f"{layer!r} is not a layer: give the object itself, such as Dense(10)", code="config-layer"
            )
        self._layers = (*self._layers, layer)
        self._network = None

    @property
    def _inputs(self) -> int | None:
        return self._layers[0].inputs if self._network is None and self._layers else super()._inputs

    def _network_for(self, inputs: int | None) -> Network:
        return super()._network_for(inputs) if inputs is None else Network.chain(self._layers, inputs, self._dtype)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Say the number of inputs where no layer does: (None, 784), None being the rows.

        Raises ConfigError where a layer says another.
        """
        width = whole(input_shape[-1]) if isinstance(input_shape, tuple) and len(input_shape) == 2 else None
        if width is None or width < 1:
            raise ConfigError(f"input_shape={input_shape!r}: give (None, inputs)", code="config-value")
        if self._inputs not in (None, width):
            raise ConfigError(
                f"input_shape={input_shape!r}, and the first layer is for {self._inputs} inputs", code="config-shape"
            )
        self._network = self._network or self._network_for(width)

    def _learn(self, x: Any, y: Any, split: float) -> None:
        at = next((n for n, layer in enumerate(self.layers) if not isinstance(layer, Input)), -1)
        first = self.layers[at] if at >= 0 else None
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
        self._layers, self._network = (*self.layers[:at], known, *self.layers[at + 1 :]), None

    # Looking

    @spelled
    def summary(self, *, print_fn: Callable[[str], Any] | None = None, compiled: bool = False) -> None:
        """Print the layers, their output shapes and their numbers of parameters.

        Args:
            print_fn: Called with each line; `print` if not given.
            compiled: Whether to say how each layer is trained on this machine: in a `step`, one compiled call with
                the loss and the optimizer; in a `run` of layers that is one; by a `loop` of its own; or by `NumPy`.
                The results are the same.

        Raises:
            ConfigError: If the model has no inputs yet, or `compiled` is wanted before `compile`.
        """
        other, size = self._untrained(), np.dtype(self._dtype).itemsize
        how = self._trained_by() if compiled else ()
        text = console.table(self._described(), self.count_params() - other, other, size, how)
        for line in text.splitlines():
            try:
                (print_fn or say)(line)
            except UnicodeError:
                (print_fn or say)(plain(line))

    def __repr__(self) -> str:
        kinds = [type(layer).__name__ for layer in self.layers if not isinstance(layer, Input)]
        shown = kinds if len(kinds) <= 8 else [*kinds[:6], "...", kinds[-1]]
        counted = "s" if len(kinds) != 1 else ""
        try:
            size = f"{self.count_params():,} parameters"
        except ConfigError:
            size = "not built"
        return (
            f"<{type(self).__name__} of {len(kinds)} layer{counted}, {size}{': ' if shown else ''}{', '.join(shown)}>"
        )

    def _trained_by(self) -> list[str]:
        """Return how each layer is trained, as `summary` says it."""
        from firesteel.fast.chain import Chain, Fused, compiled_parts

        objective = self._objective()
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
            if not isinstance(layer, Input)
        ]

    def _untrained(self) -> int:
        """Return the number of parameters that do not train."""
        return sum(where.stop - where.start for where, _ in self.network.statistics)

    def _described(self) -> list[tuple[str, str, int]]:
        """Return each layer's name and type, output shape and number of parameters."""
        rows: list[tuple[str, str, int]] = []
        seen: Counter[str] = Counter()
        network, shape = self.network, self.network.shapes[0]
        for number, node in enumerate(network.nodes):
            if isinstance(node.layer, Input):
                continue
            own = [part for part in network.plan if part.node == number]
            numbers, shape = [part.number for part in own], network.shapes[own[-1].makes[0]] if own else shape
            count = sum(where.stop - where.start for at, _, _, where in network.layout.slices if at in numbers)
            kind = type(node.layer).__name__
            name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", kind).lower()
            rows.append((f"{name}{f'_{seen[name]}' if seen[name] else ''} ({kind})", f"(None, {shape[-1]})", count))
            seen[name] += 1
        return rows

    def _repr_html_(self) -> str:
        """Return what a notebook shows: the table of `summary`, or the layers and what keeps them from being one."""
        try:
            rows = [(name, shape, f"{count:,}") for name, shape, count in self._described()]
        except ConfigError as error:
            names = [[type(layer).__name__] for layer in self.layers]
            return notebook.box("Sequential", notebook.table(["layer"], names, str(error)))
        other = self._untrained()
        note = f"{self.count_params():,} parameters" + (f", {other:,} of them do not train" if other else "")
        return notebook.box("Sequential", notebook.table(["layer (type)", "output shape", "parameters"], rows, note))

    # Keeping

    @staticmethod
    def from_bytes(data: bytes, name: str = "the model") -> "Sequential":
        """Return the model whose bytes these are.  Raises StoreError if they are not a model's."""
        network, theta, header, vectors = store.from_bytes(data, name)
        model = Sequential(network.layers, dtype=network.dtype)
        model._network = network
        model._put(theta)
        model._chosen = True
        try:
            if (compiled := header.get("compiled")) is not None:
                named = [m if isinstance(m, str) else metrics.get(m) for m in compiled["metrics"]]
                model.compile(compiled["optimizer"], compiled["loss"], named)
                model._objective()
            if (table := header.get("table")) is not None:
                model.schema = Schema.from_config(table)
                first = next(layer for layer in model.layers if not isinstance(layer, Input))
                if not isinstance(first, Table) or model.schema.layer(first) != first:
                    raise ValueError("its table is not that of its first layer")
            if "state" in header:
                still, optimizer = (
                    np.broadcast_to(np.zeros((), theta.dtype), theta.shape),
                    model._compiled().optimizer,
                )
                vectors = {"outer": still, **vectors}
                state = TrainState.of(header["state"], theta, **vectors, averaged=optimizer.use_ema)
                if len(state.slots) != len(optimizer.slots):
                    raise ValueError("its moments are not those of its optimizer")
                averaged = header.get("averaged") is True and state.averaged
                model.keep(state.swapped() if averaged else state, averaged)
        except store.WRONG as error:
            raise store.damaged(name, error) from None
        return model


def load_model(path: str | os.PathLike[str], custom: Sequence[type] | None = None) -> Sequential:
    """Return the model that `save` wrote; nothing in a file is ever run.

    Args:
        path: The file.
        custom: Classes of your own that the file names, where `firesteel.register` was not called for them.

    Raises:
        StoreError: If it is no model's file, or names a class that is not known.
    """
    with known(listed("custom", custom)):
        return Sequential.from_bytes(store.read(path), os.fspath(path))

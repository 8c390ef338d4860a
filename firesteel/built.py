"""What a model is: its layers, its weights, what it was compiled with, and how it looks and is kept.

`trainable.py` adds how it learns, `models.py` the words that Keras's users know.
"""

import os
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import count
from numbers import Real
from typing import Any

import numpy as np
import numpy.typing as npt

from firesteel import console, notebook, store
from firesteel.core import losses, metrics, optimizers
from firesteel.core.layers import Input, Layer
from firesteel.core.losses import Loss
from firesteel.core.metrics import Metric
from firesteel.core.network import DTYPES, Network, Objective
from firesteel.core.optimizers import Optimizer
from firesteel.core.spec import spelled, whole
from firesteel.core.types import Array, Shape
from firesteel.errors import ConfigError
from firesteel.printing import plain, say
from firesteel.tables.given import listed
from firesteel.train.history import History
from firesteel.train.state import TrainState

__all__ = ["Built"]


class Built:
    """A network of layers with its weights, compiled or not; `Sequential` is the whole of it."""

    @spelled
    def __init__(self, layers: Sequence[Layer] | None = None, *, dtype: str = "float32") -> None:
        if dtype not in DTYPES:
            raise ConfigError(f"dtype={dtype!r}: it must be one of {DTYPES}", code="config-dtype")
        self._dtype = dtype
        self._layers: tuple[Layer, ...] = ()
        self._network: Network | None = None
        self._theta: Array | None = None
        self._state: TrainState | None = None
        self._chosen = False
        self._loss: Loss | None = None
        self._optimizer: Optimizer | None = None
        self._metrics: tuple[str | Metric, ...] = ()
        self._scored: Objective | None = None
        self.history: History | None = None
        self.stop_training = False
        for layer in listed("layers", layers):
            self.add(layer)

    # Building

    @property
    def layers(self) -> list[Layer]:
        """The layers, in order."""
        return list(self._layers)

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

    @spelled
    def compile(
        self,
        optimizer: str | Optimizer = "rmsprop",
        loss: str | Loss | None = None,
        metrics: Sequence[str | Metric] | None = None,
    ) -> None:
        """Say how to train: the optimiser, the loss and the metrics to report, by name or as objects.

        Raises ConfigError for unknown ones, with the nearest name there is.
        """
        if loss is None:
            raise ConfigError(f"compile needs a loss: one of {sorted(losses.LOSSES)}", code="config-loss")
        chosen, function, measured = optimizers.get(optimizer), losses.get(loss), listed("metrics", metrics)
        for metric in measured:
            _metric(metric, function, 1)
        self._optimizer, self._loss, self._metrics, self._scored = chosen, function, tuple(measured), None
        self.forget()

    def get_compile_config(self) -> dict[str, Any] | None:
        """Return what `compile` was given, as JSON-able descriptions; None before."""
        if self._loss is None or self._optimizer is None:
            return None
        return {
            "optimizer": self._optimizer.to_config(),
            "loss": self._loss.to_config(),
            "metrics": [m if isinstance(m, str) else m.to_config() for m in self._metrics],
        }

    @property
    def network(self) -> Network:
        """The frozen network.  Raises ConfigError while the number of inputs is unknown."""
        if self._network is None:
            self._build(None)
        assert self._network is not None
        return self._network

    @property
    def _inputs(self) -> int | None:
        """The number of inputs that the first layer says, if it does."""
        return self._layers[0].inputs if self._layers else 1

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
        self._build(width)

    def _build(self, width: int | None) -> None:
        inputs = width if self._inputs is None else self._inputs
        if inputs is None:
            raise ConfigError(
                "the number of inputs is unknown: give the first layer input_dim=, or fit first", code="config-input"
            )
        before = self._network
        kept = () if before is None else (before.sparse, before.centre)
        self._network = Network.chain(self._layers, inputs, self._dtype, *kept)

    @property
    def theta(self) -> Array:
        """All parameters as one vector, (P,), read-only; drawn from seed 0 at first use."""
        if self._theta is None:
            self._put(self.network.init(0))
        assert self._theta is not None
        return self._theta

    def _put(self, theta: Array) -> None:
        theta.flags.writeable = False
        self._theta = theta

    @property
    def state(self) -> TrainState:
        """The weights with all else that decides how training goes on: moments, steps taken, learning rate."""
        if self._state is None:
            self._state = TrainState.start(self.theta, self._compiled())
        return self._state

    def keep(self, state: TrainState) -> None:
        """Take a state of this model's training, its weights included."""
        self._put(state.theta)
        self._state = state

    def draw(self, seed: int) -> None:
        """Draw the weights."""
        self.keep(self.state.with_theta(self.network.init(seed)))
        self._chosen = True

    def forget(self) -> None:
        """Drop the optimizer's moments, the steps taken and a rate that was set: the next fit starts anew."""
        self._state = None

    @property
    def optimizer(self) -> Optimizer | None:
        """What the model was compiled with; `learning_rate` is what can be changed of it."""
        return self._optimizer

    @property
    def learning_rate(self) -> float:
        """The rate of the next step.  A number that is set takes the place of the optimizer's and of its schedule."""
        return self.state.used(self._compiled()).rate(self.state.step + 1)

    @learning_rate.setter
    def learning_rate(self, rate: float) -> None:
        if isinstance(rate, bool) or not isinstance(rate, Real):
            raise ConfigError(f"learning_rate={rate!r}: it must be a number", code="config-value")
        checked = self._compiled().at_rate(rate).rate(1)
        if self.state.learning_rate != checked:
            self._state = replace(self.state, learning_rate=checked)

    def _compiled(self) -> Optimizer:
        if self._optimizer is None:
            raise ConfigError(
                "the model is not compiled: call compile(optimizer, loss, metrics) first", code="config"
            )
        return self._optimizer

    def _objective(self) -> Objective:
        self._compiled()
        assert self._loss is not None
        network = self.network
        if self._scored is not None and self._scored.network is network:
            return self._scored
        if network.centre.targets and not self._loss.differences:
            raise ConfigError(
                f"{type(self._loss).__name__} is not a loss of differences, and this network has learned targets far "
                "from zero with one that is: make a new one for it",
                code="config-loss",
            )
        measured = (_metric(metric, self._loss, network.outputs) for metric in self._metrics)
        self._scored = Objective(network, self._loss, tuple(zip(_names(self._metrics), measured, strict=True)))
        return self._scored

    # Looking

    @property
    def metrics_names(self) -> list[str]:
        """What `evaluate` returns, in order."""
        return ["loss", *_names(self._metrics)]

    def count_params(self) -> int:
        """Return the number of parameters."""
        return self.network.layout.size

    def get_weights(self) -> list[npt.NDArray[Any]]:
        """Return a copy of each array of weights, in order: kernel and bias of each layer that has them."""
        slices = self.network.layout.slices()
        return [self.theta[where].reshape(shape).copy() for _, _, shape, where in slices]

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Set every array of weights, in the order of `get_weights`.  Raises ConfigError if shapes do not fit."""
        slices = list(self.network.layout.slices())
        try:
            weights = [np.asarray(array, np.float64) for array in weights]
        except (TypeError, ValueError) as error:
            raise ConfigError(f"set_weights takes arrays of numbers: {error}", code="config-value") from None
        shapes = [array.shape for array in weights]
        if shapes != [shape for _, _, shape, _ in slices]:
            raise ConfigError(
                f"set_weights was given shapes {shapes}, and the network has {[shape for _, _, shape, _ in slices]}",
                code="config-shape",
            )
        theta = np.empty(self.network.layout.size, self._dtype)
        for array, (_, _, _, where) in zip(weights, slices, strict=True):
            theta[where] = array.reshape(-1)
        self._put(theta)
        self._chosen = True
        if self._state is not None:
            self._state = self._state.with_theta(theta)

    @spelled
    def summary(self, *, print_fn: Callable[[str], Any] | None = None) -> None:
        """Print the layers, their output shapes and their numbers of parameters.

        Args:
            print_fn: Called with each line; `print` if not given.
        """
        other = self._untrained()
        text = console.table(self._described(), self.count_params() - other, other, np.dtype(self._dtype).itemsize)
        for line in text.splitlines():
            try:
                (print_fn or say)(line)
            except UnicodeError:
                (print_fn or say)(plain(line))

    def __repr__(self) -> str:
        kinds = [type(layer).__name__ for layer in self._layers if not isinstance(layer, Input)]
        shown = kinds if len(kinds) <= 8 else [*kinds[:6], "...", kinds[-1]]
        counted = "s" if len(kinds) != 1 else ""
        try:
            size = f"{self.count_params():,} parameters"
        except ConfigError:
            size = "not built"
        return (
            f"<{type(self).__name__} of {len(kinds)} layer{counted}, {size}{': ' if shown else ''}{', '.join(shown)}>"
        )

    def _untrained(self) -> int:
        """Return the number of parameters that do not train."""
        return sum(where.stop - where.start for where, _ in self.network.statistics)

    def _described(self) -> list[tuple[str, str, int]]:
        """Return each layer's name and type, output shape and number of parameters."""
        rows: list[tuple[str, str, int]] = []
        seen: Counter[str] = Counter()
        shape: Shape = (self.network.inputs,)
        for layer in self._layers:
            if isinstance(layer, Input):
                continue
            count = 0
            for part in layer.parts():
                count += sum(int(np.prod(param.shape)) for param in part.params(shape).values())
                shape = part.output_shape(shape)
            kind = type(layer).__name__
            name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", kind).lower()
            rows.append((f"{name}{f'_{seen[name]}' if seen[name] else ''} ({kind})", f"(None, {shape[-1]})", count))
            seen[name] += 1
        return rows

    def _repr_html_(self) -> str:
        """Return what a notebook shows: the table of `summary`, or the layers and what keeps them from being one."""
        try:
            rows = [(name, shape, f"{count:,}") for name, shape, count in self._described()]
        except ConfigError as error:
            names = [[type(layer).__name__] for layer in self._layers]
            return notebook.box("Sequential", notebook.table(["layer"], names, str(error)))
        other = self._untrained()
        note = f"{self.count_params():,} parameters" + (f", {other:,} of them do not train" if other else "")
        return notebook.box("Sequential", notebook.table(["layer (type)", "output shape", "parameters"], rows, note))

    def fingerprint(self) -> str:
        """Return the SHA-256, 64 hex digits, of the architecture and the weights."""
        return self.network.fingerprint(self.theta)

    # Keeping

    @spelled
    def save(self, path: str | os.PathLike[str], *, include_optimizer: bool = True) -> None:
        """Write the model to one file: layers, weights, what it was compiled with, and how training goes on.

        `load_model` returns a model that trains on to the bit as this one does.  The file is written whole or not
        at all.

        Args:
            path: The file.
            include_optimizer: Whether the optimizer's moments, the steps taken and a learning rate that was set are
                written too; without them a further `fit` starts with new ones.

        Raises:
            StoreError: If the file cannot be written.
        """
        store.write(path, self.to_bytes(include_optimizer=include_optimizer))

    def to_bytes(self, *, include_optimizer: bool = True) -> bytes:
        """Return what `save` writes."""
        extra: dict[str, Any] = {"compiled": self.get_compile_config()}
        state, vectors = self._state, {}
        if include_optimizer and state is not None and state.counts != [0, 0, None, None]:
            extra["state"] = state.counts
            vectors = {"slots": state.slots} | ({"outer": state.outer} if state.outer.tobytes().strip(b"\0") else {})
        return store.to_bytes(self.network, self.theta, extra, vectors)


def _metric(given: str | Metric, loss: Loss, outputs: int) -> Metric:
    if given in ("accuracy", "acc"):
        return metrics.suited(loss, outputs)
    metric: Metric = metrics.get(given)
    return metric


def _names(given: Sequence[str | Metric]) -> list[str]:
    """Return the name of each metric; the second of a name ends in _1, as in Keras."""
    before: defaultdict[str, count[int]] = defaultdict(count)
    numbered = [(name, next(before[name])) for name in map(_name, given)]
    return [f"{name}_{n}" if n else name for name, n in numbered]


def _name(given: str | Metric) -> str:
    if isinstance(given, str):
        return given
    names = (name for name, metric in metrics.METRICS.items() if type(metric) is type(given))
    return next(names, type(given).__name__.lower())

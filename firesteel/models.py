"""The Keras-shaped face: `Sequential` on arrays and, with the same words, on Spark DataFrames.

It is thin: it keeps the user's layers, weights and settings together, opens what it is given as a source, and hands
both to the one training loop.  Spark is imported only when a DataFrame comes in.
"""

import contextlib
import functools
import importlib
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from numbers import Real
from typing import Any

import numpy as np
import numpy.typing as npt

from firesteel import console, notebook, store
from firesteel.advice import advice
from firesteel.core import losses, metrics, optimizers
from firesteel.core.layers import Flatten, Input, Layer, Normalization
from firesteel.core.losses import Loss
from firesteel.core.metrics import Metric
from firesteel.core.network import DTYPES, Network, Objective
from firesteel.core.optimizers import Optimizer
from firesteel.core.schedules import Schedule
from firesteel.core.spec import spelled, whole
from firesteel.core.types import Array
from firesteel.errors import ConfigError, DataError, StoreError
from firesteel.train import loop, strategies
from firesteel.train.callbacks import BackupAndRestore, Callback, Conductor
from firesteel.train.checkpoints import Checkpoints, identity
from firesteel.train.checks import Rule
from firesteel.train.engine import Engine, one_blas_thread, threads
from firesteel.train.history import History
from firesteel.train.moments import measure
from firesteel.train.rounds import predict
from firesteel.train.source import Arrays, Source, Survey, check_kind, check_targets, check_width, features_array
from firesteel.train.state import Progress, TrainState
from firesteel.train.stopping import Stopping
from firesteel.train.strategies import Gradient, Strategy
from firesteel.train.weights import class_weights

__all__ = ["Sequential", "load_model"]


class Sequential:
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
        self.history: History | None = None
        self.stop_training = False
        for layer in layers or ():
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
        if isinstance(metrics, str | Metric):
            raise ConfigError(f"metrics={metrics!r}: give a list, [{metrics!r}]", code="config-metrics")
        chosen, function, measured = optimizers.get(optimizer), losses.get(loss), tuple(metrics or ())
        for metric in measured:
            _metric(metric, function, 1)
        self._optimizer, self._loss, self._metrics = chosen, function, measured
        self._state = None

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
        sparse = self._network is not None and self._network.sparse
        self._network = Network(self._layers, inputs, self._dtype, sparse)

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

    @property
    def optimizer(self) -> Optimizer | None:
        """What the model was compiled with; `learning_rate` is what can be changed of it."""
        return self._optimizer

    @property
    def learning_rate(self) -> float:
        """The rate of the next step; it can be set, to a number of 0 or more."""
        return self.state.used(self._compiled()).rate(self.state.step + 1)

    @learning_rate.setter
    def learning_rate(self, rate: float) -> None:
        self._compiled()
        if isinstance(rate, bool) or not isinstance(rate, Real) or not 0.0 <= float(rate) < np.inf:
            raise ConfigError(f"learning_rate={rate!r}: it must be a number of 0 or more", code="config-value")
        if self.state.learning_rate != float(rate):
            self._state = replace(self.state, learning_rate=float(rate))

    def _compiled(self) -> Optimizer:
        if self._optimizer is None:
            raise ConfigError(
                "the model is not compiled: call compile(optimizer, loss, metrics) first", code="config"
            )
        return self._optimizer

    def _objective(self) -> Objective:
        self._compiled()
        assert self._loss is not None
        outputs = self.network.outputs
        measured = (_metric(metric, self._loss, outputs) for metric in self._metrics)
        return Objective(self.network, self._loss, tuple(zip(_names(self._metrics), measured, strict=True)))

    # Training

    @spelled
    def fit(
        self,
        x: Any,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: int | str = "auto",
        callbacks: Sequence[Callback] | None = None,
        validation_split: float = 0.0,
        validation_data: Any = None,
        shuffle: bool = True,
        class_weight: Mapping[int, float] | str | None = None,
        sample_weight: Any = None,
        initial_epoch: int = 0,
        *,
        features: str | Sequence[str] | None = None,
        label: str | Sequence[str] | None = None,
        weight: str | None = None,
        strategy: str | Strategy | None = None,
        shards: int | None = None,
        seed: int = 0,
    ) -> History:
        """Train on arrays `fit(x, y)`, or on a DataFrame `fit(df, features="features", label="label")`.

        x: (n, I) numbers, a sparse matrix as scipy has them, or a Spark DataFrame.
        y: (n,) classes or numbers, or (n, T).
        batch_size: rows a step, in each shard; 32 if not given, and under `gradient` all rows.
        epochs: passes over the rows, or with initial_epoch the number of the pass to end before.
        verbose: 0 is silent, 1 and "auto" draw a bar for each epoch, 2 prints a line.
        callbacks: objects of `firesteel.callbacks`.
        validation_split: share of the rows held out: the last ones of arrays, as in Keras; by row key on frames,
        where equal rows go to one side.
        validation_data: (x, y) or (x, y, weights), or a DataFrame; it goes before validation_split.
        shuffle: False keeps the order of arrays; frames have none.
        class_weight: {class: what its rows weigh in training}, 1 for classes left out; or "balanced": n / (k n_c).
        sample_weight: (n,), for arrays.
        features, label, weight: columns of a DataFrame: one of vectors, arrays, bytes or numbers, or a list of
        numeric columns; "features" and "label" if not given.
        strategy: "average" trains shards apart and averages them, "gradient" takes one exact step a round; the former
        unless the optimiser searches, as LBFGS does.
        shards: how many parts train apart; 1 on arrays, on frames from the number of rows alone.
        seed: the root of everything random.

        A second fit goes on from the first.  Losses and metrics are weighted means: they are divided by the sum of
        the weights (Keras divides by the number of rows).  Metrics of the order of rows, such as "auc", are reported
        of validation rows alone.

        Raises ConfigError, DataError, and DivergenceError after putting back the last good weights.
        """
        usual = "gradient" if self._optimizer is not None and self._optimizer.searches else "average"
        chosen: Strategy = strategies.get(usual if strategy is None else strategy)
        if not isinstance(validation_split, Real) or not 0.0 <= validation_split < 1.0:
            raise ConfigError(f"validation_split={validation_split!r}: it must be in [0, 1)", code="config-value")
        if self._loss is None:
            self._objective()
        split = 0.0 if validation_data is not None else validation_split
        columns = (features, label, weight)
        source = self._source(x, y, sample_weight, columns, split, shuffle)
        return self.fit_source(
            source,
            validation=None
            if validation_data is None
            else self._source(*_validation(validation_data), columns, 0.0, True),
            batch_size=batch_size,
            epochs=epochs,
            strategy=chosen,
            shards=shards,
            seed=seed,
            shuffle=shuffle,
            class_weight=class_weight,
            initial_epoch=initial_epoch,
            callbacks=[*_printers(verbose), *_callbacks(callbacks)],
            told={"columns": columns},
        )

    def fit_source(
        self,
        source: Source,
        *,
        validation: Source | None,
        batch_size: int | None,
        epochs: int,
        strategy: Strategy,
        shards: int | None,
        seed: int,
        shuffle: bool,
        class_weight: Mapping[int, float] | str | None,
        initial_epoch: int,
        callbacks: Sequence[Callback],
        told: Mapping[str, Any],
    ) -> History:
        """Survey, pack and train; what `fit` does once it knows what it was given.

        told: what callbacks shall know beside the rest.
        """
        initial_epoch = whole_number("initial_epoch", initial_epoch, 0)
        epochs = whole_number("epochs", epochs, initial_epoch + 1)
        batch_size = None if batch_size is None else whole_number("batch_size", batch_size, 1)
        seed = whole_number("seed", seed, 0)
        objective, survey = self._surveyed(source)
        strategy.check(self.network, self._compiled(), batch_size)
        weights = None if class_weight is None else class_weights(class_weight, survey, objective)
        if validation is not None:
            self._surveyed(validation)
        if batch_size is None:
            batch_size = strategy.default_batch_size()
        count = source.default_shards(strategy, batch_size) if shards is None else shards
        told = {**told, "validation_split": source.split, "class_weight": class_weight}
        with contextlib.ExitStack() as stack:
            engine = stack.enter_context(source.engine(count, shuffle=shuffle))
            held: Engine | None = None
            if validation is not None:
                held = stack.enter_context(validation.engine())
            elif survey.held:
                held = stack.enter_context(source.engine(held=True))
            return self.fit_blocks(
                engine,
                held,
                epochs=epochs,
                batch_size=batch_size,
                strategy=strategy,
                seed=seed,
                shuffle=shuffle,
                class_weight=weights,
                initial_epoch=initial_epoch,
                callbacks=callbacks,
                told=told,
            )

    def fit_blocks(
        self,
        engine: Engine,
        validation: Engine | None,
        *,
        epochs: int,
        batch_size: int | None,
        strategy: Strategy,
        seed: int,
        shuffle: bool = True,
        callbacks: Sequence[Callback] = (),
        initial_epoch: int = 0,
        stopping: Stopping | None = None,
        class_weight: tuple[float, ...] | None = None,
        checkpoints: Checkpoints | None = None,
        told: Mapping[str, Any] | None = None,
        run: str = "firesteel",
    ) -> History:
        """Train on rows that have been looked at and packed; the last step of every fit.

        told: what callbacks shall know beside the rest.  run: what the training is called.
        checkpoints: where progress is kept; if there is some of this very training, it goes on.
        """
        optimizer = self._compiled()
        self._adapt(engine)
        if engine.sparse and not self.network.sparse and self.network.front is not None:
            self._network = replace(self.network, sparse=True)
        objective = replace(self._objective(), class_weight=class_weight)
        names = [*objective.names, *(f"val_{name}" for name in objective.names if validation is not None)]
        rows = sum(block.rows for block in engine.blocks)
        steps = -(-rows // (batch_size or rows))
        params = {
            "epochs": epochs,
            "steps": steps,
            "rows": rows,
            "batch_size": batch_size,
            "strategy": strategy,
            "shards": engine.shards,
            "seed": seed,
            "shuffle": shuffle,
            "initial_epoch": initial_epoch,
            "stopping": stopping,
            "callbacks": tuple(callbacks),
            "drawn": not self._chosen,
            **(told or {}),
        }
        conductor = Conductor(self, callbacks, objective, names, params, (engine, validation), run)
        bold = conductor.bold
        if bold is not None and (optimizer.searches or isinstance(optimizer.learning_rate, Schedule)):
            raise ConfigError("a BoldDriver needs an optimizer whose rate is a number", code="config-callback")
        if bold is not None and bold.form == "seed" and not isinstance(strategy, Gradient):
            raise ConfigError("BoldDriver(form='seed') needs strategy='gradient'", code="config-callback")
        rules = (*conductor.stopping, *([] if stopping is None else [stopping]))
        if not self._chosen:  # nothing can be refused any more
            self.keep(self.state.with_theta(self.network.init(seed)))
            self._chosen = True

        with contextlib.ExitStack() as stack:
            for backup in callbacks:
                if isinstance(backup, BackupAndRestore):
                    checkpoints = stack.enter_context(
                        store.FileCheckpoints(backup.backup_dir, backup.delete_checkpoint)
                    )
            start, save = Progress(self.state), None
            if checkpoints is not None:
                engines = [engine] if validation is None else [engine, validation]
                kinds = [type(callback).__name__ for callback in callbacks]
                settings = [epochs, initial_epoch, batch_size, seed, shuffle, str(rules), str(bold), kinds]
                name = identity(objective, optimizer, strategy, engines, self.state, settings)
                start = checkpoints.load(name, self.state) or start
                save = functools.partial(checkpoints.save, name)
            try:
                state, self.history = loop.train(
                    engine,
                    objective,
                    optimizer,
                    strategy=strategy,
                    start=replace(start, state=conductor.start(start.state, start.rows)),
                    epochs=epochs - initial_epoch,
                    batch_size=batch_size,
                    seed=seed,
                    shuffle=shuffle,
                    validation=validation,
                    watcher=conductor,
                    stopping=rules,
                    initial_epoch=initial_epoch,
                    bold=bold,
                    keep=save,
                )
            except BaseException as error:
                conductor.fail(error)
                raise
            self.keep(state)
            conductor.finish()
        return self.history

    def _waiting(self) -> list[Normalization]:
        """Return the layers that are to learn means and variances from the rows."""
        return [layer for layer in self._layers if isinstance(layer, Normalization) and layer.mean is None]

    def _adapt(self, engine: Engine) -> None:
        """Give a Normalization that has none the mean and variance of the rows to train on."""
        waiting = self._waiting()
        if not waiting:
            return
        first = next(layer for layer in self._layers if not isinstance(layer, Input | Flatten))
        if len(waiting) > 1 or waiting[0] is not first or waiting[0].invert:
            raise ConfigError(
                "a Normalization without mean and variance takes them from the rows, and must be the first layer",
                code="config-layer",
            )
        assert self._loss is not None
        inputs, targets = self.network.inputs, self._loss.columns(self.network.outputs)
        features, _ = measure(engine, inputs, targets, self._dtype)
        mean, variance = (tuple(part.tolist()) for part in (features.mean, features.variance))
        adapted = replace(waiting[0], mean=mean, variance=variance)
        self._layers = tuple(adapted if layer is first else layer for layer in self._layers)
        self._build(inputs)

    def _surveyed(self, source: Source) -> tuple[Objective, Survey]:
        """Pass the third gate: look at the rows, build what they decide, and see that both fit."""
        assert self._loss is not None
        known = self._network or (self._layers and self._inputs)
        if known:
            objective = self._objective()
        survey = source.survey()
        if not known:
            self._build(survey.width)
        try:
            objective = self._objective()
            check_kind(survey, Rule(self._loss.targets, self.network.outputs), source.names["label"])
        except (ConfigError, DataError):
            if not known:
                self._network = None  # rows that are refused decide nothing
            raise
        check_width(survey.width, self.network.inputs, source.names["features"])
        expected = objective.loss.columns(self.network.outputs)
        check_targets(survey.targets, expected, self.network.outputs, source.names["label"])
        return objective, survey

    def _source(
        self, x: Any, y: Any, sample_weight: Any, columns: tuple[Any, Any, Any], split: float, shuffle: bool
    ) -> Source:
        if is_frame(x):
            if y is not None or sample_weight is not None or not shuffle:
                raise ConfigError(
                    "a DataFrame takes its targets from label=, its weights from weight=, and has no row order for "
                    "shuffle=False to keep",
                    code="config-frame",
                )
            frame: Source = _frames().source(x, *columns, split, self._dtype)
            return frame
        if isinstance(x, Source):
            return self._packed(x, split, y is not None or sample_weight is not None or any(columns) or not shuffle)
        if any(column is not None for column in columns):
            raise ConfigError(
                "features=, label= and weight= name columns of a DataFrame: give arrays as x, y and sample_weight=",
                code="config-arrays",
            )
        return Arrays(self._flat(x), y, sample_weight, self._dtype, split)

    def _flat(self, x: Any) -> Any:
        """Return rows of pictures as rows of numbers, where a layer is there to flatten them."""
        pictures = any(isinstance(layer, Flatten) for layer in self._layers) and np.ndim(x) > 2
        return np.reshape(x, (len(x), -1)) if pictures else x

    def _packed(self, source: Source, split: float, more: bool) -> Source:
        """Return packed rows as they are; raise ConfigError where they were packed for something else."""
        if more or (split and split != source.split):
            raise ConfigError(
                "packed rows have their columns, weights and validation rows already: name them in pack(...)",
                code="config-packed",
            )
        if source.dtype != self._dtype:
            raise ConfigError(
                f"these rows were packed as {source.dtype}, and the network is {self._dtype}: pack(..., "
                f"dtype={self._dtype!r})",
                code="config-packed",
            )
        return source

    def advise(
        self,
        x: Any,
        y: Any = None,
        *,
        features: str | Sequence[str] | None = None,
        label: str | Sequence[str] | None = None,
    ) -> list[str]:
        """Return short hints on the network, the loss and these rows together; an empty list where there are none.

        They are rules of thumb: inputs far from 1, a loss that does not suit the output, a loss at the start far
        above guessing, classes without rows, layers that gain nothing, many parameters for few rows.
        Raises ConfigError and DataError for what no training could begin with.
        """
        self._compiled()
        source = self._source(x, y, None, (features, label, None), 0.0, True)
        objective, survey = self._surveyed(source)
        with source.engine() as engine:
            moments = measure(engine, survey.width, survey.targets, self._dtype)
            fresh = not self.state.step and not self._waiting()
            start = loop.score(engine, objective, self.theta)["loss"] if fresh else None
        return advice(objective, survey, *moments, start)

    # Use

    @contextlib.contextmanager
    def opened(
        self,
        x: Any,
        y: Any = None,
        *,
        sample_weight: Any = None,
        features: str | Sequence[str] | None = None,
        label: str | Sequence[str] | None = None,
        weight: str | None = None,
    ) -> Iterator[tuple[Objective, Engine]]:
        """Give what scores these rows, and the engine that holds them; the arguments are those of `fit`."""
        self._compiled()
        source = self._source(x, y, sample_weight, (features, label, weight), 0.0, True)
        objective, _ = self._surveyed(source)
        with source.engine() as engine:
            yield objective, engine

    @spelled
    def evaluate(
        self,
        x: Any,
        y: Any = None,
        verbose: int | str = "auto",
        *,
        sample_weight: Any = None,
        features: str | Sequence[str] | None = None,
        label: str | Sequence[str] | None = None,
        weight: str | None = None,
        return_dict: bool = False,
    ) -> Any:
        """Return [loss, *metrics] over the rows, or a dictionary of them; the arguments are those of `fit`."""
        opened = self.opened(x, y, sample_weight=sample_weight, features=features, label=label, weight=weight)
        with opened as (objective, engine):
            means = loop.score(engine, objective, self.theta)
        if verbose:
            print(console.shown(means), flush=True)
        return means if return_dict else list(means.values())

    @spelled
    def predict(self, x: Any, *, features: str | Sequence[str] = "features") -> Any:
        """Return the outputs, (n, O), for rows x, (n, I); given a DataFrame, return it with a column `prediction`.

        The column holds the outputs as an array and is lazy: nothing runs before it is asked for.
        """
        if is_frame(x):
            return _frames().predict(x, self.network, self.theta, features)
        array = features_array(self._flat(x))
        if self._network is None and self._inputs is None:
            self._build(array.shape[1])
        check_width(array.shape[1], self.network.inputs, "x")
        with one_blas_thread(), threads() as run:
            return predict(self.network, self.theta, array, run)

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

    def summary(self) -> None:
        """Print the layers, their output shapes and their numbers of parameters."""
        other = self._untrained()
        print(console.table(self._described(), self.count_params() - other, other, np.dtype(self._dtype).itemsize))

    def _untrained(self) -> int:
        """Return the number of parameters that do not train."""
        return sum(where.stop - where.start for where, _ in self.network.statistics)

    def _described(self) -> list[tuple[str, str, int]]:
        """Return each layer's name and type, output shape and number of parameters."""
        rows: list[tuple[str, str, int]] = []
        seen: Counter[str] = Counter()
        width = self.network.inputs
        for layer in self._layers:
            if isinstance(layer, Input):
                continue
            count = 0
            for op in layer.ops():
                count += sum(int(np.prod(shape)) for shape in op.shapes(width).values())
                width = op.outputs(width)
            kind = type(layer).__name__
            name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", kind).lower()
            rows.append((f"{name}{f'_{seen[name]}' if seen[name] else ''} ({kind})", f"(None, {width})", count))
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

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the model to one file: layers, weights, and what it was compiled with.

        The file is written whole or not at all.  Raises StoreError if it cannot be.
        """
        store.write(path, self.to_bytes())

    def to_bytes(self) -> bytes:
        """Return what `save` writes."""
        return store.to_bytes(self.network, self.theta, {"compiled": self.get_compile_config()})

    @staticmethod
    def from_bytes(data: bytes, name: str = "the model") -> "Sequential":
        """Return the model whose bytes these are.  Raises StoreError if they are not a model's."""
        network, theta, header = store.from_bytes(data, name)
        model = Sequential(network.layers, dtype=network.dtype)
        model._network = network
        model._put(theta)
        model._chosen = True
        compiled = header.get("compiled")
        if compiled is not None:
            try:
                named = [m if isinstance(m, str) else metrics.get(m) for m in compiled["metrics"]]
                model.compile(compiled["optimizer"], compiled["loss"], named)
                model._objective()
            except (ConfigError, KeyError, TypeError) as error:
                raise StoreError(f"{name} is damaged: {error}", code="store-damaged") from None
        return model


def load_model(path: str | os.PathLike[str]) -> Sequential:
    """Return the model that `save` wrote.  Raises StoreError for anything else; nothing in a file is ever run."""
    return Sequential.from_bytes(store.read(path), str(path))


def _printers(verbose: int | str) -> list[Callback]:
    """Return what prints, as Keras's `verbose` says it."""
    known: dict[int | str, list[Callback]] = {0: [], 1: [console.Progbar()], 2: [console.Quiet()]}
    chosen = 1 if verbose == "auto" else verbose
    if chosen not in known:
        raise ConfigError(f"verbose={verbose!r}: it must be 0, 1, 2 or 'auto'", code="config-value")
    return known[chosen]


def _callbacks(given: Any) -> Sequence[Callback]:
    """Return the callbacks that were given, one or several."""
    if given is None or isinstance(given, Callback):
        return [] if given is None else [given]
    return list(given)


def is_frame(x: Any) -> bool:
    """Return whether x is a Spark DataFrame, classic or Connect, without importing Spark."""
    return type(x).__module__.startswith("pyspark.sql.") and hasattr(x, "mapInArrow")


def _frames() -> Any:
    """Return the module for frames; a DataFrame in hand means that pyspark is there."""
    return importlib.import_module("firesteel.spark.frames")


def _metric(given: str | Metric, loss: Loss, outputs: int) -> Metric:
    if given in ("accuracy", "acc"):
        return metrics.suited(loss, outputs)
    metric: Metric = metrics.get(given)
    return metric


def _names(given: Sequence[str | Metric]) -> list[str]:
    """Return the name of each metric; the second of a name ends in _1, as in Keras."""
    names = [_name(metric) for metric in given]
    return [f"{name}_{n}" if (n := names[:at].count(name)) else name for at, name in enumerate(names)]


def _name(given: str | Metric) -> str:
    if isinstance(given, str):
        return given
    names = (name for name, metric in metrics.METRICS.items() if type(metric) is type(given))
    return next(names, type(given).__name__.lower())


def whole_number(name: str, value: Any, low: int) -> int:
    """Return the value as an int; raise ConfigError unless it is a whole number of at least `low`."""
    number = whole(value)
    if number is None or number < low:
        raise ConfigError(f"{name}={value!r}: it must be an integer of at least {low}", code="config-value")
    return number


def _validation(data: Any) -> tuple[Any, Any, Any]:
    if is_frame(data):
        return data, None, None
    if isinstance(data, tuple | list) and len(data) in (2, 3):
        return data[0], data[1], data[2] if len(data) == 3 else None
    raise ConfigError("validation_data must be (x, y), (x, y, weights) or a DataFrame", code="config-validation")

"""The Keras-shaped face: `Sequential` on arrays and, with the same words, on Spark DataFrames.

It is thin: it opens what it is given as a source of rows.  What a model is stands in `built.py`, how it learns in
`trainable.py`.  Spark is imported only when a DataFrame comes in.
"""

import contextlib
import importlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from numbers import Real
from typing import Any

import numpy as np

from firesteel import console, store
from firesteel.advice import advice
from firesteel.core import metrics
from firesteel.core.layers import Flatten
from firesteel.core.network import Objective
from firesteel.core.spec import spelled
from firesteel.errors import ConfigError
from firesteel.printing import say
from firesteel.tables.arrays import Arrays
from firesteel.tables.given import NAMES, features_of, listed, rows_of
from firesteel.tables.moments import measure
from firesteel.train.blas import steady
from firesteel.train.callbacks import Callback
from firesteel.train.engine import Engine
from firesteel.train.epoch import score
from firesteel.train.history import History
from firesteel.train.recipe import Recipe, strategy_of
from firesteel.train.rounds import predict
from firesteel.train.source import Source, check_width
from firesteel.train.state import TrainState
from firesteel.train.strategies import Strategy
from firesteel.train.threads import threads
from firesteel.trainable import Trainable

__all__ = ["Sequential", "load_model"]


class Sequential(Trainable):
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
        class_weight: Any = None,
        sample_weight: Any = None,
        initial_epoch: int = 0,
        *,
        features: str | Sequence[str] | None = None,
        label: str | Sequence[str] | None = None,
        weight: str | None = None,
        strategy: str | Strategy | None = None,
        shards: int | None = None,
        seed: int = 0,
        checkpoint: str | os.PathLike[str] | None = None,
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
        class_weight: {class: what its rows weigh in training}, 1 for classes left out; an array with a weight for
        each class; or "balanced": n / (k n_c).
        sample_weight: (n,), for arrays.
        features, label, weight: columns of a DataFrame: one of vectors, arrays, bytes or numbers, or a list of
        numeric columns; "features" and "label" if not given.
        strategy: "average" trains shards apart and averages them, "gradient" takes one exact step a round; the former
        unless the optimiser searches, as LBFGS does.
        shards: how many parts train apart; 1 on arrays, on frames from the number of rows alone.
        seed: the root of everything random.
        checkpoint: a file, or the URL of a folder (s3://..., by fsspec), in which progress is kept: after each epoch,
        and in long ones between rounds.  The same fit called again goes on from there, to the bit, also on other
        partitions or the other engine; a fit that had ended returns at once.  What another training has left
        unfinished there is refused.

        A second fit goes on from the first.  Losses and metrics are weighted means: they are divided by the sum of
        the weights (Keras divides by the number of rows).  Metrics of the order of rows, such as "auc", are reported
        of validation rows alone.

        Raises ConfigError, DataError, StoreError for a checkpoint that cannot be taken up or written, and
        DivergenceError after putting back the last good weights.
        """
        chosen = strategy_of(strategy, self._optimizer)
        if not isinstance(validation_split, Real) or not 0.0 <= validation_split < 1.0:
            raise ConfigError(f"validation_split={validation_split!r}: it must be in [0, 1)", code="config-value")
        self._compiled()
        split = 0.0 if validation_data is not None else validation_split
        columns = (features, label, weight)
        source = self._source(x, y, sample_weight, columns, split, shuffle)
        return self.fit_source(
            source,
            Recipe(epochs, batch_size, chosen, shards, seed, shuffle, initial_epoch, class_weight),
            validation=None
            if validation_data is None
            else self._source(*_validation(validation_data, x), columns, 0.0, True, "validation_data's "),
            callbacks=[*_printers(verbose), *listed("callbacks", callbacks, Callback)],
            checkpoint=checkpoint,
            told={"columns": columns},
        )

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
        objective = replace(objective, network=replace(self.network, centre=self._centre(survey)))
        with source.engine(centre=objective.network.centre) as engine:
            moments = measure(engine, survey.width, survey.targets, self._dtype)
            fresh = not self.state.step and not self._waiting()
            start = score(engine, objective, self.theta)["loss"] if fresh else None
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
        with source.engine(centre=objective.network.centre) as engine:
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
            means = score(engine, objective, self.theta)
        if verbose:
            say(console.shown(means))
        return means if return_dict else list(means.values())

    @spelled
    def predict(self, x: Any, *, features: str | Sequence[str] = "features") -> Any:
        """Return the outputs, (n, O), for rows x, (n, I); given a DataFrame, return it with a column `prediction`.

        The column holds the outputs as an array and is lazy: nothing runs before it is asked for.
        """
        if is_frame(x):
            return _frames().predict(x, self.network, self.theta, features)
        array = features_of(self._flat(x), inputs=self._known_inputs)
        if self._network is None and self._inputs is None:
            self._build(array.shape[1])
        check_width(array.shape[1], self.network.inputs, "x", len(array))
        with threads() as run:
            return steady(lambda: predict(self.network, self.theta, array, run))

    # What it is given

    def _source(
        self,
        x: Any,
        y: Any,
        sample_weight: Any,
        columns: tuple[Any, Any, Any],
        split: float,
        shuffle: bool,
        whose: str = "",
    ) -> Source:
        if is_frame(x):
            if y is not None or sample_weight is not None or not shuffle:
                raise ConfigError(
                    "a DataFrame takes its targets from label=, its weights from weight=, and has no row order for "
                    "shuffle=False to keep",
                    code="config-frame",
                )
            frame: Source = _frames().source(x, *columns, split, self._dtype, whose=whose)
            return frame
        if isinstance(x, Source):
            return self._packed(x, split, y is not None or sample_weight is not None or any(columns) or not shuffle)
        if any(column is not None for column in columns):
            raise ConfigError(
                "features=, label= and weight= name columns of a DataFrame: give arrays as x, y and sample_weight=",
                code="config-arrays",
            )
        names = {part: whose + name for part, name in NAMES.items()}
        rows = rows_of(self._flat(x), y, sample_weight, names, self._known_inputs)
        return Arrays(*rows, self._dtype, split, names)

    @property
    def _known_inputs(self) -> int | None:
        return self._inputs if self._network is None else self._network.inputs

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
            if "state" in header:
                still = np.broadcast_to(np.zeros((), theta.dtype), theta.shape)
                state = TrainState.of(header["state"], theta, vectors["slots"], vectors.get("outer", still))
                if len(state.slots) != len(state.used(model._compiled()).slots):
                    raise ValueError("its moments are not those of its optimizer")
                model.keep(state)
        except store.WRONG as error:
            raise store.damaged(name, error) from None
        return model


def load_model(path: str | os.PathLike[str]) -> Sequential:
    """Return the model that `save` wrote.  Raises StoreError for anything else; nothing in a file is ever run."""
    return Sequential.from_bytes(store.read(path), os.fspath(path))


def _printers(verbose: int | str) -> list[Callback]:
    """Return what prints, as Keras's `verbose` says it."""
    chosen = verbose if isinstance(verbose, Real) else 1 if str(verbose) == "auto" else None
    if chosen not in (0, 1, 2):
        raise ConfigError(f"verbose={verbose!r}: it must be 0, 1, 2 or 'auto'", code="config-value")
    return [console.Progbar()] if chosen == 1 else [console.Quiet()] if chosen else []


def is_frame(x: Any) -> bool:
    """Return whether x is a Spark DataFrame, classic or Connect, without importing Spark."""
    return type(x).__module__.startswith("pyspark.sql.") and hasattr(x, "mapInArrow")


def _frames() -> Any:
    """Return the module for frames; a DataFrame in hand means that pyspark is there."""
    return importlib.import_module("firesteel.spark.frames")


def _validation(data: Any, x: Any) -> tuple[Any, Any, Any]:
    if is_frame(data) and (is_frame(x) or isinstance(x, Source)):
        return data, None, None
    if isinstance(data, tuple | list) and len(data) in (2, 3) and not is_frame(x):
        return data[0], data[1], data[2] if len(data) == 3 else None
    wanted = "a DataFrame, as x is one" if is_frame(x) else "(x, y) or (x, y, weights)"
    raise ConfigError(f"validation_data must be {wanted}", code="config-validation")

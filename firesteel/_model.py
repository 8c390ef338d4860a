"""`Model`: a network, its weights and its compile settings; training, prediction, inspection and saving.

`models.py` adds `Sequential`, which builds a chain of layers.  Next step of a fit: `train/fit.py`.
"""

import contextlib
import copy
import functools
import importlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from numbers import Real
from typing import Any, NamedTuple

import numpy as np

from firesteel import _checkpoints as progress
from firesteel import _console as console
from firesteel import _notebook as notebook
from firesteel import _store as store
from firesteel._advice import advice, warn_of_lost
from firesteel._printing import plain, say
from firesteel.core import losses, optimizers
from firesteel.core.centre import Centre
from firesteel.core.elsewhere import OWN, spelled
from firesteel.core.layers import Flatten, Input, Layer, Normalization
from firesteel.core.layers.calling import Tensor
from firesteel.core.losses import Loss, Standardized
from firesteel.core.metrics import Metric, by_name, named_metric
from firesteel.core.network import LAYER, Objective
from firesteel.core.optimizers import Optimizer
from firesteel.core.types import Array
from firesteel.errors import ConfigError, DataError, StoreError
from firesteel.extending import check_fields, must_be_registered, read_weights, warn_of_unregistered
from firesteel.fast.blas import steady
from firesteel.fast.threads import threads
from firesteel.graphs import outputs as ends
from firesteel.graphs.adapting import centred, normalized
from firesteel.graphs.building import check_packed, side_by_side
from firesteel.graphs.composed import Composed
from firesteel.graphs.describing import table, trained_by
from firesteel.graphs.freezing import Trains, freeze, trained_part, with_trained_part
from firesteel.tables.arrays import Arrays
from firesteel.tables.containers import columns_of, is_table
from firesteel.tables.given import NAMES, checked_batch, features_of, is_frame, listed, rows_of, validation_parts
from firesteel.tables.importance import Importances, ScoredRows, measured, places_of
from firesteel.tables.moments import measure
from firesteel.tables.schema import Schema
from firesteel.tables.targets import refuse_outputs
from firesteel.tables.weights import class_weights
from firesteel.tables.words import without_words
from firesteel.train.callbacks import Callback
from firesteel.train.centring import centre_for
from firesteel.train.checks import Rule
from firesteel.train.engine import Engine
from firesteel.train.epoch import score
from firesteel.train.fit import fit
from firesteel.train.history import History
from firesteel.train.observers import called_around
from firesteel.train.recipe import Recipe, strategy_of
from firesteel.train.rounds import predict
from firesteel.train.source import RowProfile, Source, check_kind, check_targets, check_width
from firesteel.train.state import TrainState
from firesteel.train.strategies import Strategy
from firesteel.utils import SEEDS

ColumnsGiven = str | Sequence[Any] | Mapping[str, Any]
"""Columns of a DataFrame: a name, a list of names, or one of these for each of several inputs or outputs."""


class CompileSettings(NamedTuple):
    """The arguments of `compile`; metrics as the user passed them, keyed by their names in the history."""

    optimizer: Optimizer
    loss: Loss
    metrics: Mapping[str, str | Metric]


class Model(Composed):
    """A network with its weights and compile settings (functional API).

    Call layers on values, starting from `Input`s; `Model(inputs, outputs)` then collects every layer between the two.
    Models that contain the same layer share its weights.

    Args:
        inputs: An `Input`, or a list or dictionary of them.  `fit` and `predict` take one array per input.
        outputs: The values that layers returned: one value, or a list or dictionary of values.
        name: Name of the model; None names it after its class.
        dtype: "float32", or "float64" for numerical checks.

    Raises:
        ConfigError: If an output depends on an input that is not listed, an input is unused, or two layers have the
            same name.

    Example:
        >>> from firesteel.layers import Dense, Input
        >>> x = Input((4,))
        >>> hidden = Dense(4, activation="relu")(x)
        >>> model = Model(x, Dense(1)(hidden + x))
        >>> model.count_params()
        25
    """

    @spelled
    def __init__(
        self, inputs: Any = None, outputs: Any = None, *, name: str | None = None, dtype: str = "float32"
    ) -> None:
        super().__init__(inputs, outputs, name, dtype)
        self._state: TrainState | None = None
        self._moves: Trains = None
        self._known = -1
        self._how: CompileSettings | None = None
        self._scored: Objective | None = None
        self.history: History | None = None
        self.schema: Schema | None = None
        self.stop_training = False

    @spelled
    def compile(
        self,
        optimizer: str | Optimizer = "rmsprop",
        loss: str | Loss | None = None,
        metrics: Any = None,
        loss_weights: Any = None,
        weighted_metrics: Any = None,
    ) -> None:
        """Set the optimizer, the loss and the metrics, each by name or as an object.

        Args:
            optimizer: Updates the weights.
            loss: The loss to minimize.  With several outputs, one loss for each: a dictionary by output name, or a
                list.
            metrics: A list of metrics to report.  With several outputs, a dictionary of lists or a list of lists.
            loss_weights: With several outputs, the factor of each loss in the sum; None means 1.
            weighted_metrics: Further metrics to report.  `metrics` use the sample weights too.

        Raises:
            ConfigError: If a name is unknown; the message suggests the closest valid name.

        Example:
            >>> from firesteel.layers import Dense
            >>> from firesteel.models import Sequential
            >>> model = Sequential([Dense(2, "softmax", input_dim=4)])
            >>> model.compile("adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
            >>> model.metrics_names
            ['loss', 'accuracy']
        """
        if loss is None:
            raise ConfigError(f"compile needs a loss: one of {sorted(losses.LOSSES)}", code="config-loss")
        chosen, names = optimizers.get(optimizer), [] if self._ports is None else [n for n, _ in self._ports.outputs]
        if weighted_metrics is not None:
            metrics = ends.both_metrics(names, metrics, weighted_metrics)
        if self._ports is not None and self._heads is not None:
            several = ends.loss_of(names, self._heads, loss, loss_weights)
            how = CompileSettings(chosen, several, ends.metrics_of(several, metrics))
        else:
            if self._ports is not None:
                loss, metrics = (
                    ends.only(self._ports, one, what) for one, what in ((loss, "loss"), (metrics, "metrics"))
                )
            if loss_weights is not None:
                raise ConfigError("loss_weights needs several outputs; this model has one", code="config-loss")
            function, measured = losses.get(loss), listed("metrics", metrics)
            how = CompileSettings(chosen, function, by_name(measured, function))
        if OWN:
            warn_of_unregistered(self._specs, chosen, how.loss, list(how.metrics.values()))
        self._how, self._scored, self._state = how, None, None

    @staticmethod
    def from_config(config: Mapping[str, Any], custom_objects: Mapping[str, type] | None = None) -> "Model":
        """Create a model from the description that `get_config` returned.

        Args:
            config: The description.
            custom_objects: Classes that the description names and that are not registered, by name.

        Returns:
            The model, with new weights and not compiled.

        Raises:
            ConfigError: If the description is invalid.
        """
        made: Model = importlib.import_module("firesteel.models").model_from_config(config, custom_objects)
        return made

    def get_compile_config(self) -> dict[str, Any] | None:
        """Return the arguments of `compile` as a JSON-serializable description; None if the model is not compiled."""
        if self._how is None:
            return None
        optimizer, loss, measured = self._how
        if isinstance(loss, ends.OutputsLoss):
            return {"optimizer": optimizer.to_config(), **ends.described(loss, measured)}
        configs = [metric if isinstance(metric, str) else metric.to_config() for metric in measured.values()]
        return {"optimizer": optimizer.to_config(), "loss": loss.to_config(), "metrics": configs}

    def _waiting(self) -> list[Normalization]:
        """Return the Normalization layers whose mean and variance are still to be computed from the training rows."""
        return [one for one in map(LAYER, self.network.nodes) if isinstance(one, Normalization) and one.mean is None]

    def _adapt(self, waiting: list[Normalization], engine: Engine) -> None:
        """Compute mean and variance for each Normalization that has none, from the training rows.

        Leading layers normalize the inputs.  An inverting last layer restores the scale of the targets, and its loss
        is measured in units of the targets' standard deviation.
        """
        network, (optimizer, loss, measured) = self.network, self.settings
        features, targets = measure(engine, network.inputs, loss.columns(network.outputs), self._dtype)
        made = normalized(network, waiting, features, targets)
        self._replace({number: made[id(n.layer)] for number, n in enumerate(network.nodes) if id(n.layer) in made})
        if isinstance(loss, Standardized) and waiting[-1].invert:
            loss = replace(loss, mean=targets.mean, deviation=targets.deviation)  # type: ignore[arg-type]
            self._how = CompileSettings(optimizer, loss, measured)

    def _learn(self, x: Any, y: Any, split: float) -> None:
        """Learn a table's columns from the training rows, if the first layer is a `Table`.

        Args:
            x: The table; None forgets what was learned.
            y: The targets.
            split: Share of the rows, at the end, that is held out and not learned from.
        """

    def _flat(self, x: Any) -> Any:
        """Return a table, or arrays of pictures for a layer that takes them, as a matrix of numbers."""
        if self.schema is not None and is_table(x):
            return self.schema.encode(*columns_of(x))
        if self._ports is not None:
            return self._ports.joined(x, "inputs")
        flattened = getattr(x, "ndim", 3) > 2 and (
            Flatten in map(type, self._specs) or (self._inputs is not None and len(self.network.entries[0]) > 1)
        )
        return np.reshape(x, (len(x), -1)) if flattened and np.ndim(x) > 2 else x

    def _drawn(self) -> Array:
        return self.network.init(SEEDS[0])

    def _choose(self, theta: Array) -> None:
        """Take weights that were initialized or set; the training state (optimizer moments, step, rate) stays."""
        self._chosen = True
        self._theta = theta
        self._theta.flags.writeable = False
        if self._shared is not None:
            self._shared.write(theta, chosen=True)
        if self._state is not None:
            self._state = self._state.with_theta(theta if self._moves is None else trained_part(theta, self._moves))

    def _targets(self, y: Any) -> Any:
        """Join the targets of several outputs into one matrix; return those of a single output unchanged."""
        if self._ports is None or y is None:
            return y
        loss = self.settings.loss
        if not isinstance(loss, ends.OutputsLoss):
            return ends.only(self._ports, y, "outputs")
        return self._ports.joined(y, "outputs", [at.stop - at.start for at in loss.targets_at])

    @property
    def state(self) -> TrainState:
        """The training state: trainable weights, optimizer moments, step count and learning rate."""
        if self._state is None or self._known != Layer.switched or self._shared is not None:
            theta = self.theta if self._theta is None or self._shared is not None else self._theta
            where = self._trains()
            if self._state is None or where != self._moves:
                trained = theta if where is None else trained_part(theta, where)
                rate = None if self._state is None else self._state.learning_rate
                started = TrainState.start(trained, self.settings.optimizer)
                self._state, self._moves = replace(started, learning_rate=rate), where
            self._known = Layer.switched
        return self._state

    def keep(self, state: TrainState, averaged: bool = True) -> None:
        """Restore a training state of this model: weights, optimizer moments, step count and learning rate.

        Args:
            state: The training state.
            averaged: Whether the model takes the averaged weights (`use_ema`), if the state has them.
        """
        self._state, theta = state, state.slots[-1] if averaged and state.averaged else state.theta
        if self._moves is not None:
            theta = with_trained_part(self.theta, self._moves, theta)
        self._theta = theta
        self._theta.flags.writeable = False
        if self._shared is not None:
            self._shared.write(theta, self._chosen)

    def forget(self) -> None:
        """Reset the training state: optimizer moments, step count and a learning rate that was set.  Weights stay."""
        self._state = None

    @property
    def optimizer(self) -> Optimizer | None:
        """The optimizer, at the current learning rate; None before `compile`.  Its `learning_rate` can be set."""
        if self._how is None:
            return None
        shown = copy.copy(self._how.optimizer if self._state is None else self._state.used(self._how.optimizer))
        vars(shown)["_set_learning_rate"] = functools.partial(setattr, self, "learning_rate")
        return shown

    @property
    def loss(self) -> Loss | None:
        """The loss; None before `compile`."""
        return None if self._how is None else self._how.loss

    @property
    def metrics(self) -> list[str | Metric]:
        """The metrics as they were passed to `compile`."""
        return [] if self._how is None else list(self._how.metrics.values())

    @property
    def learning_rate(self) -> float:
        """The learning rate of the next step.  Setting it overrides the optimizer's rate and schedule."""
        return self.state.used(self.settings.optimizer).rate(self.state.step + 1)

    @learning_rate.setter
    def learning_rate(self, rate: float) -> None:
        if isinstance(rate, bool) or not isinstance(rate, Real):
            raise ConfigError(f"learning_rate={rate!r}: it must be a number", code="config-value")
        checked = self.settings.optimizer.at_rate(rate).rate(1)
        if self.state.learning_rate != checked:
            self._state = replace(self.state, learning_rate=checked)

    @property
    def settings(self) -> "CompileSettings":
        """The arguments of `compile`.  Raises ConfigError if the model is not compiled."""
        if self._how is None:
            raise ConfigError(
                "the model is not compiled: call compile(optimizer, loss, metrics) first", code="config"
            )
        if self._ports is not None and self._heads is not None and not isinstance(self._how.loss, ends.OutputsLoss):
            self.compile(self._how.optimizer, self._how.loss, list(self._how.metrics.values()))
        return self._how

    def _objective(self) -> Objective:
        if self._scored is not None and self._scored.network is self._network:
            return self._scored
        (_, loss, measured), network = self.settings, self._network or self.network
        if network.centre.targets and not loss.differences:
            raise ConfigError(
                f"this model was trained on targets far from zero and needs a loss of y - target, such as "
                f"mean_squared_error; {type(loss).__name__} is not one: create a new model to train with it",
                code="config-loss",
            )
        suited = tuple([(name, named_metric(metric, loss, network.outputs)) for name, metric in measured.items()])
        self._scored = Objective(network, loss, suited)
        return self._scored

    # Inspection

    @spelled
    def summary(
        self,
        *,
        print_fn: Callable[[str], Any] | None = None,
        show_trainable: bool = False,
        compiled: bool = False,
    ) -> None:
        """Print a table of the layers with their output shapes and parameter counts.

        Args:
            print_fn: Called with each line; None prints.
            show_trainable: Whether to add a column that shows which layers train.
            compiled: Whether to add a column that shows how each layer is trained on this machine: `step` (one
                compiled call with loss and optimizer), `run` (adjacent layers fused into one call), `loop` (its own
                compiled loop) or `NumPy`.  Results are identical in every case.

        Raises:
            ConfigError: If layers do not fit each other, or `compiled` is True before `compile`.

        Example:
            >>> from firesteel.layers import Dense
            >>> from firesteel.models import Sequential
            >>> lines = []
            >>> Sequential([Dense(2, input_dim=3)]).summary(print_fn=lines.append)
            >>> lines[-3]
            ' Total params: 8 (32.00 B)'
        """
        rows, size = self._described(), np.dtype(self._dtype).itemsize
        count, other = (0, 0) if self._inputs is None else (self.count_params(), self._untrained())
        more = {"Connected to": [one.reads for one in rows]} if any(one.reads for one in rows) else {}
        more |= {"Trainable": ["Y" if one.trains else "N" for one in rows]} if show_trainable else {}
        more |= {"Compiled": trained_by(self._objective())} if compiled else {}
        for line in table(self.name, [one[:3] for one in rows], count - other, other, size, more).splitlines():
            try:
                (print_fn or say)(line)
            except UnicodeError:
                (print_fn or say)(plain(line))

    def _repr_html_(self) -> str:
        """Return HTML for notebooks: the table of `summary`, or the layers and the error that they raise."""
        try:
            rows = [(one.name, one.shape, f"{one.params:,}") for one in self._described()] if self.network else []
        except ConfigError as error:
            names = [[kind] for kind in self._kinds()]
            return notebook.box(type(self).__name__, notebook.table(["layer"], names, str(error)))
        other = self._untrained()
        note = f"{self.count_params():,} parameters" + (f", {other:,} of them do not train" if other else "")
        header = ["layer (type)", "output shape", "parameters"]
        return notebook.box(type(self).__name__, notebook.table(header, rows, note))

    @property
    def members(self) -> "list[Model]":
        """The models of an ensemble, whose outputs it averages; a list of this model alone if it is not one."""
        found: list[Model] = importlib.import_module("firesteel.search.members").members_of(self)
        return found

    @property
    def metrics_names(self) -> list[str]:
        """The names of the values that `evaluate` returns, in order."""
        return ["loss", *(() if self._how is None else self._how.metrics)]

    def fingerprint(self) -> str:
        """Return a SHA-256 (64 hex digits) of the architecture, the weights and the table's schema."""
        found: str = self.network.fingerprint(self.theta)
        return found if self.schema is None else self.schema.fingerprint(found)

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
        features: ColumnsGiven | None = None,
        label: ColumnsGiven | None = None,
        weight: str | None = None,
        strategy: str | Strategy | None = None,
        shards: int | None = None,
        seed: int | None = None,
        checkpoint: str | os.PathLike[str] | None = None,
        evaluate_averaged: bool = True,
    ) -> History:
        """Train on arrays or a table, `fit(x, y)`, or on a Spark DataFrame, `fit(df, features=..., label=...)`.

        A second call continues the training.  With `use_ema` it continues from the last raw weights, although the
        model holds their average by then (Keras continues from the average).  Losses and metrics are weighted means:
        sums divided by the sum of the weights (Keras divides by the number of rows).  Metrics that rank rows, such as
        "auc", are reported for validation rows only.

        Args:
            x: The inputs: numbers (n, I), a SciPy sparse matrix, pictures, a table for a first layer `Table`, or a
                Spark DataFrame.  For several inputs, a list or a dictionary of them.
            y: The targets: classes or numbers (n,), or (n, T).  For several outputs, a list or a dictionary.  None
                for a DataFrame.
            batch_size: Rows per step in each shard.  None is 32, and all rows for the strategy "gradient".
            epochs: Number of epochs; with `initial_epoch`, the epoch index to stop at (as in Keras).
            verbose: 0 is silent, 1 or "auto" draws a progress bar per epoch, 2 prints one line per epoch.
            callbacks: Objects of `firesteel.callbacks`.
            validation_split: Share of the rows to hold out, in [0, 1): the last rows of arrays, as in Keras.  A
                DataFrame is split by a hash of each row, so that equal rows go to the same side.
            validation_data: (x, y) or (x, y, weights), or a DataFrame.  Overrides `validation_split`.
            shuffle: Whether to shuffle the rows of arrays each epoch.  DataFrames are always shuffled.
            class_weight: Weight of each class during training: a dictionary {class: weight} (1 for missing classes),
                an array with one weight per class, or "balanced" for n / (k n_c).
            sample_weight: Weight of each row of arrays, (n,).
            initial_epoch: Index of the first epoch, from 0.
            features: Input columns of a DataFrame: one column of vectors, arrays, bytes or numbers, or a list of
                numeric columns.  None is "features".  For several inputs, a dictionary by input name or a list; None
                takes the columns with the names of the inputs.
            label: Target column of a DataFrame, likewise.  None is "label".
            weight: Column of row weights of a DataFrame.
            strategy: "average" trains shards independently and averages their weights; "gradient" takes one exact
                step over all shards per round.  None is "average", or "gradient" for LBFGS.
            shards: Number of parts that train independently.  None is 1 for arrays; for a DataFrame it depends only
                on the number of rows.
            seed: Root of all randomness.  None is the seed set by `firesteel.utils.set_random_seed`, or 0.
            checkpoint: A file, or the URL of a folder (s3://..., read with fsspec), for progress: saved after each
                epoch, and within long epochs between rounds.  If training is interrupted, call the same `fit` again:
                it resumes and ends with bit-identical weights, even with other partitions or on the other engine.  A
                fit that had completed returns at once.  A checkpoint of a different, unfinished training is refused.
            evaluate_averaged: With `use_ema`, whether validation, the choice of the best epoch, and callbacks use the
                averaged weights; False uses the raw weights.

        Returns:
            The history: one row per epoch.

        Raises:
            ConfigError: If arguments do not fit each other or the model.
            DataError: If rows are invalid; the message shows the column, the value, the row and the count.
            StoreError: If the checkpoint cannot be read or written.
            DivergenceError: If training diverges.  The model then has its last good weights.

        Example:
            >>> import numpy as np
            >>> from firesteel.layers import Dense
            >>> from firesteel.models import Sequential
            >>> x = np.random.default_rng(0).normal(size=(200, 2))
            >>> model = Sequential([Dense(8, "relu"), Dense(2, "softmax")])
            >>> model.compile("adam", "sparse_categorical_crossentropy")
            >>> history = model.fit(x, x[:, 0] > 0, epochs=2, verbose=0, validation_split=0.2)
            >>> sorted(history.history)[:2]
            ['loss', 'val_loss']
        """
        chosen, before, built = strategy_of(strategy, self.settings.optimizer), self.schema, self._network
        if not isinstance(validation_split, Real) or not 0.0 <= validation_split < 1.0:
            raise ConfigError(f"validation_split={validation_split!r}: it must be in [0, 1)", code="config-value")
        split, unseen = 0.0 if validation_data is not None else validation_split, None
        columns = (features, label, weight)
        if before is None and not isinstance(x, np.ndarray) and is_table(x):
            self._learn(x, y, split)
        try:
            source = self._source(x, y, sample_weight, columns, split, shuffle)
            drawn = SEEDS[0] if seed is None else seed
            how = (epochs, batch_size, chosen, shards, drawn, shuffle, initial_epoch, class_weight)
            recipe = Recipe(*how, evaluate_averaged=evaluate_averaged)
            if validation_data is not None:
                unseen = self._source(*validation_parts(validation_data, x), columns, 0.0, True, "validation_data's ")
            given = listed("callbacks", callbacks, Callback)
            called = [*_printers(verbose, given), *given]
            place = progress.place(checkpoint, called) if called or checkpoint is not None else None
            if place is not None:
                must_be_registered("a checkpoint", self._specs, self._how)
            extra = {"columns": columns}
            return fit(self, source, recipe, validation=unseen, callbacks=called, checkpoints=place, extra=extra)
        except (ConfigError, DataError):
            if before is None and not self._chosen:
                self._learn(None, None, split)  # invalid rows leave no trace
            if built is None and self._theta is None:
                self._unbuild()
            raise

    def prepared(
        self, source: Source, recipe: Recipe, validation: Source | None
    ) -> tuple[tuple[float, ...] | None, Centre]:
        """Validate the rows and build whatever depends on them.  Called by `fit`.

        Args:
            source: The training rows.
            recipe: The settings of the fit.
            validation: The validation rows, if they are a separate source.

        Returns:
            The weight of each class, or None; and the constants to subtract from inputs and targets.
        """
        objective, profile = self._validated(source)
        network = objective.network if self._trains() is None else freeze(self.network, self.theta, self._frozen())
        recipe.strategy.check(network, self.settings.optimizer, recipe.batch_size)
        given = recipe.class_weight
        weights = None if given is None else class_weights(given, profile, objective)
        if validation is not None:
            self._validated(validation)
        centre = self._centre(objective, profile)
        warn_of_lost(profile, centre, source.names, getattr(source, "feature_names", None))
        return weights, centre

    def suited(self, engine: Engine, class_weight: tuple[float, ...] | None) -> tuple[Objective, bool]:
        """Complete the network for the packed rows: centre, normalization statistics, sparse first layer.

        Args:
            engine: The engine that has the rows.
            class_weight: The weight of each class, or None.

        Returns:
            The training objective, and whether its weights are still to be initialized.
        """
        network = self._network or self.network
        if not (self._chosen or (self._shared and self._shared.any_chosen)) and engine.centre != network.centre:
            self._network = replace(network, centre=engine.centre)
            self._replace(centred(self._network))
        if waiting := self._waiting():
            self._adapt(waiting, engine)
        if engine.sparse and not network.sparse and network.front is not None:
            self._network = replace(self.network, sparse=True)
        objective = self._objective()
        weighted = objective if class_weight is None else replace(objective, class_weight=class_weight)
        return weighted, not (self._chosen or (self._shared and self._shared.all_chosen))

    def trains(self, objective: Objective) -> Objective:
        """Return the objective to train, in which the weights of frozen layers are constants.

        Args:
            objective: The objective of the whole network.
        """
        if self._moves is None:
            return objective
        return replace(objective, network=freeze(objective.network, self.theta, self._frozen()))

    def _centre(self, of: Objective, profile: RowProfile) -> Centre:
        """Return the constants to subtract from inputs and targets: determined by the first fit, fixed afterwards."""
        settled = self._chosen or (self._shared and self._shared.any_chosen)
        return of.network.centre if settled else centre_for(profile.centre, of.network, of.loss)

    def _validated(self, source: Source) -> tuple[Objective, RowProfile]:
        """Validate the rows, build the network if they determine its inputs, and check that both fit."""
        known = self._inputs is not None
        if known:
            self._objective()
        profile = source.profile()
        if not known:
            self._network = self._network_for(profile.width)
        try:
            objective = self._objective()
            loss, inputs, outputs = objective.loss, objective.network.inputs, objective.network.outputs
            check_kind(profile, Rule(loss.targets, outputs), source.names["label"])
        except (ConfigError, DataError):
            if not known:
                self._unbuild()  # invalid rows leave no trace
            raise
        rows = profile.rows + profile.held if isinstance(source, Arrays) else None
        if self._ports is not None:
            refuse_outputs(profile.found, profile.rows + profile.held)
        check_width(profile.width, inputs, source.names["features"], rows)
        check_targets(profile.targets, loss.columns(outputs), outputs, source.names["label"])
        return objective, profile

    def advise(
        self,
        x: Any,
        y: Any = None,
        *,
        features: ColumnsGiven | None = None,
        label: ColumnsGiven | None = None,
    ) -> list[str]:
        """Return short hints about the network, the loss and the rows; an empty list if there is nothing to improve.

        The hints are rules of thumb: inputs of unusual scale, a loss that does not suit the output, an initial loss
        far above chance, classes without rows, layers without effect, more parameters than rows.

        Args:
            x: The inputs, or a DataFrame, as in `fit`.
            y: The targets, as in `fit`.
            features: Input columns of a DataFrame, as in `fit`.
            label: Target column of a DataFrame, as in `fit`.

        Raises:
            ConfigError: If the model is not compiled, or does not fit the rows.
            DataError: If rows are invalid.

        Example:
            >>> import numpy as np
            >>> from firesteel.layers import Dense
            >>> from firesteel.models import Sequential
            >>> model = Sequential([Dense(4), Dense(1)])
            >>> model.compile("sgd", "mse")
            >>> x = np.random.default_rng(0).normal(size=(100, 2))
            >>> model.advise(x, x[:, 0])
            ["two Dense layers in a row without an activation compute no more than one: give the first one 'relu'"]
        """
        _ = self.settings
        source = self._source(x, y, None, (features, label, None), 0.0, True)
        objective, profile = self._validated(source)
        objective = replace(objective, network=replace(self.network, centre=self._centre(objective, profile)))
        with source.engine(centre=objective.network.centre) as engine:
            moments = measure(engine, profile.width, profile.targets, self._dtype)
            fresh = not self.state.step and not self._waiting()
            start = score(engine, objective, self.theta)["loss"] if fresh else None
        return advice(objective, profile, *moments, start)

    # Prediction and scoring

    def __call__(self, *values: Any, training: bool | None = None) -> Any:
        """Apply the model to symbolic tensors as a layer would, or predict arrays.

        The model's layers and weights become part of any model built from the result: training one trains both.

        Args:
            values: Symbolic values, one by one, in a list or in a dictionary; or arrays, as `predict` takes them.
            training: False makes layers such as dropout and batch normalization behave in training as in inference.

        Returns:
            The outputs: symbolic tensors, or arrays.

        Raises:
            ConfigError: If the model does not fit the values, or `training` is True for arrays.
        """
        first = values[0] if values else None
        first = next(iter(first.values()), None) if isinstance(first, Mapping) else first
        first = first[0] if isinstance(first, list | tuple) and len(first) else first
        if first is None or isinstance(first, Tensor | Input):
            return super().__call__(*values, training=training)
        if training:
            raise ConfigError("training=True is for symbolic tensors: leave it out for arrays", code="config-call")
        return self.predict(values[0] if len(values) == 1 else list(values))

    @contextlib.contextmanager
    def opened(
        self,
        x: Any,
        y: Any = None,
        *,
        sample_weight: Any = None,
        features: ColumnsGiven | None = None,
        label: ColumnsGiven | None = None,
        weight: str | None = None,
    ) -> Iterator[tuple[Objective, Engine]]:
        """Open the rows for scoring; the arguments are those of `fit`.

        Args:
            x: The inputs, or a DataFrame.
            y: The targets.
            sample_weight: Weight of each row of arrays, (n,).
            features: Input columns of a DataFrame.
            label: Target column of a DataFrame.
            weight: Column of row weights of a DataFrame.

        Yields:
            The objective, and the engine that holds the rows.
        """
        _ = self.settings
        source = self._source(x, y, sample_weight, (features, label, weight), 0.0, True)
        objective, _ = self._validated(source)
        with source.engine(centre=objective.network.centre) as engine:
            yield objective, engine

    @spelled
    def evaluate(
        self,
        x: Any,
        y: Any = None,
        batch_size: int | None = None,
        verbose: int | str = "auto",
        sample_weight: Any = None,
        *,
        features: ColumnsGiven | None = None,
        label: ColumnsGiven | None = None,
        weight: str | None = None,
        callbacks: Sequence[Callback] | None = None,
        return_dict: bool = False,
    ) -> Any:
        """Return the loss and the metrics over the rows.

        Args:
            x: The inputs, or a DataFrame, as in `fit`.
            y: The targets, as in `fit`.
            batch_size: Checked but without effect: the result does not depend on it.
            verbose: 0 prints nothing; any other value prints one line.
            sample_weight: Weight of each row of arrays, (n,).
            features: Input columns of a DataFrame, as in `fit`.
            label: Target column of a DataFrame, as in `fit`.
            weight: Column of row weights of a DataFrame.
            callbacks: Objects of `firesteel.callbacks`.
            return_dict: Whether to return a dictionary by name.

        Returns:
            [loss, *metrics] in the order of `metrics_names`, or a dictionary.

        Raises:
            ConfigError: If the model is not compiled, or does not fit the rows.
            DataError: If rows are invalid.

        Example:
            >>> from firesteel.layers import Dense
            >>> from firesteel.models import Sequential
            >>> model = Sequential([Dense(1, kernel_initializer="zeros", input_dim=2)])
            >>> model.compile("sgd", "mse")
            >>> model.evaluate([[1, 2], [3, 4]], [1, 3], verbose=0)
            [5.0]
        """
        checked_batch(batch_size)
        called = listed("callbacks", callbacks, Callback)
        opened = self.opened(x, y, sample_weight=sample_weight, features=features, label=label, weight=weight)
        with opened as (objective, engine):
            means = called_around(called, self, "test", lambda: score(engine, objective, self.theta))
        if verbose:
            say(console.shown(means))
        return means if return_dict else list(means.values())

    @spelled
    def importances(
        self,
        x: Any,
        y: Any = None,
        *,
        sample_weight: Any = None,
        features: ColumnsGiven | None = None,
        label: ColumnsGiven | None = None,
        weight: str | None = None,
    ) -> Importances:
        """Return the permutation importance of each column: how much the loss rises when its values are shuffled.

        At most 2,000 rows are used, chosen by their row keys.  Pass rows that the model was not trained on: on
        training rows the result also reflects what the model memorized.

        Args:
            x: The inputs, or a DataFrame, as in `fit`.
            y: The targets, as in `fit`.
            sample_weight: Weight of each row of arrays, (n,).
            features: Input columns of a DataFrame, as in `fit`.
            label: Target column of a DataFrame, as in `fit`.
            weight: Column of row weights of a DataFrame.

        Returns:
            The columns with the rise of the loss for each, and the number of rows used.

        Raises:
            ConfigError: If the model is not compiled, or does not fit the rows.
            DataError: If rows are invalid.

        Example:
            >>> import numpy as np
            >>> from firesteel.layers import Dense
            >>> from firesteel.models import Sequential
            >>> model = Sequential([Dense(1, input_dim=2)])
            >>> model.set_weights([[[1.0], [0.0]], [0.0]])
            >>> model.compile("sgd", "mse")
            >>> x = np.random.default_rng(0).normal(size=(100, 2))
            >>> found = model.importances(x, x[:, 0])
            >>> [row["importance"] > 0 for row in found.rows]
            [True, False]
        """
        opened = self.opened(x, y, sample_weight=sample_weight, features=features, label=label, weight=weight)
        with opened as (objective, engine):
            rows = ScoredRows.of(objective, engine, self.theta)
        return measured([rows], places_of(self.schema, objective.network.inputs))

    @spelled
    def predict(
        self,
        x: Any,
        batch_size: int | None = None,
        verbose: int | str = "auto",
        *,
        features: ColumnsGiven | None = None,
        callbacks: Any = None,
    ) -> Any:
        """Return the outputs (n, O) for rows x (n, I); for a DataFrame, return it with a column `prediction`.

        The column contains the output vector as an array and is lazy: Spark computes it when it is used.  A model
        with several outputs returns an array for each, in a list or a dictionary as in its constructor; a DataFrame
        gets one column per output, with its name.

        Args:
            x: The rows; for several inputs, a list or a dictionary of arrays.
            batch_size: Checked but without effect: the result does not depend on it.
            verbose: Without effect: `predict` prints nothing.
            features: Input columns of a DataFrame, as in `fit`.
            callbacks: Objects of `firesteel.callbacks`.

        Returns:
            The outputs, or the DataFrame with its new columns.

        Raises:
            ConfigError: If the model does not fit the rows.
            DataError: If rows are not numbers.

        Example:
            >>> from firesteel.layers import Dense
            >>> from firesteel.models import Sequential
            >>> Sequential([Dense(1, kernel_initializer="ones", input_dim=2)]).predict([[1, 2], [3, 4]]).tolist()
            [[3.0], [7.0]]
        """
        checked_batch(batch_size)
        called = listed("callbacks", callbacks, Callback)
        return called_around(called, self, "predict", lambda: self._predicted(x, features), "outputs")

    def _predicted(self, x: Any, features: ColumnsGiven | None) -> Any:
        if is_frame(x):
            return _frames().predict(x, self.network, self.theta, features, self._ports)
        array = features_of(self._flat(x), inputs=self._inputs)
        if self._inputs is None:
            self._network = self._network_for(array.shape[1])
        check_width(array.shape[1], self.network.inputs, "x", len(array))
        with threads() as run:
            outputs = steady(lambda: predict(self.network, self.theta, array, run))
        return outputs if self._ports is None else self._ports.taken_apart(outputs)

    def predict_on_batch(self, x: Any) -> Any:
        """Return the outputs for one batch of rows, as `predict` does.

        Args:
            x: The rows.
        """
        return self.predict(x)

    def train_on_batch(
        self, x: Any, y: Any = None, sample_weight: Any = None, class_weight: Any = None, return_dict: bool = False
    ) -> Any:
        """Take one optimizer step on a batch and return its loss and metrics.

        Args:
            x: The inputs of the batch.
            y: Its targets.
            sample_weight: Weight of each row, (n,).
            class_weight: Weight of each class, as in `fit`.
            return_dict: Whether to return a dictionary by name.

        Returns:
            [loss, *metrics] in the order of `metrics_names`, or a dictionary.
        """
        given = {"class_weight": class_weight, "sample_weight": sample_weight, "shuffle": False, "verbose": 0}
        rows = next(iter(x.values())) if isinstance(x, Mapping) else x[0] if isinstance(x, list | tuple) else x
        made = self.fit(x, y, batch_size=max(1, len(rows)) if np.ndim(rows) else 1, **given)
        values = {name: made.rows[-1][name] for name in self.metrics_names if name in made.rows[-1]}
        return values if return_dict else list(values.values())

    def test_on_batch(self, x: Any, y: Any = None, sample_weight: Any = None, return_dict: bool = False) -> Any:
        """Return the loss and the metrics of one batch, as `evaluate` does, without printing.

        Args:
            x: The inputs of the batch.
            y: Its targets.
            sample_weight: Weight of each row, (n,).
            return_dict: Whether to return a dictionary by name.
        """
        return self.evaluate(x, y, verbose=0, sample_weight=sample_weight, return_dict=return_dict)

    # Rows

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
        if self._network is None and getattr(y, "ndim", 0) > 2 and getattr(x, "ndim", 0) == 2:
            self._network = self._network_for(x.shape[1])  # it determines the shape of the outputs
        rules = () if self._ports is None else ends.rules_of(self.settings.loss)
        if is_frame(x):
            if y is not None or sample_weight is not None or not shuffle:
                raise ConfigError(
                    "a DataFrame takes its targets from label=, its weights from weight=, and has no row order: "
                    "leave out y, sample_weight and shuffle=False",
                    code="config-frame",
                )
            columns = side_by_side(self._ports, rules, *columns)
            frame: Source = _frames().source(x, *columns, split, self._dtype, whose=whose, rules=rules)
            return frame
        if isinstance(x, Source):
            return self._packed(x, split, y is not None or sample_weight is not None or any(columns) or not shuffle)
        if columns.count(None) < len(columns):
            raise ConfigError(
                "features=, label= and weight= name columns of a DataFrame: give arrays as x, y and sample_weight=",
                code="config-arrays",
            )
        names = {part: whose + name for part, name in NAMES.items()} if whose else NAMES
        y = y if self._ports is None else self._targets(y)
        rows = rows_of(self._flat(x), y, sample_weight, names, self._inputs)
        return Arrays(*rows, self._dtype, split, names, rules=rules)

    def _packed(self, source: Source, split: float, more: bool) -> Source:
        """Return packed rows; raise ConfigError if the call asks for other columns, another split or dtype."""
        if more or (split and split != source.split):
            raise ConfigError(
                "packed rows already have their columns, weights and validation split: pass those to pack(...)",
                code="config-packed",
            )
        check_packed(self._ports, ends.rules_of(self.settings.loss), getattr(source, "columns", None))
        if source.dtype != self._dtype:
            raise ConfigError(
                f"these rows were packed as {source.dtype}, but the network is {self._dtype}: use pack(..., "
                f"dtype={self._dtype!r})",
                code="config-packed",
            )
        return source

    # Saving

    @spelled
    def save(self, path: str | os.PathLike[str], overwrite: bool = True, *, include_optimizer: bool = True) -> None:
        """Write the model to one file: layers, weights, compile settings and training state.

        A model that `load_model` reads from it continues training with identical bits.  Saves are atomic: a previous
        file stays loadable until the new one is complete.

        Args:
            path: The file.
            overwrite: Whether to replace an existing file.
            include_optimizer: Whether to write the optimizer's moments, the step count and a learning rate that was
                set. Without them the next `fit` starts with a fresh optimizer.

        Raises:
            StoreError: If the file cannot be written, or exists and `overwrite` is False.

        Example:
            >>> import tempfile
            >>> from firesteel.layers import Dense
            >>> from firesteel.models import Sequential, load_model
            >>> path = tempfile.mkdtemp() + "/model.firesteel"
            >>> Sequential([Dense(1, input_dim=2)]).save(path)
            >>> load_model(path)
            <Sequential of 1 layer, 3 parameters: Dense>
        """
        if not overwrite and os.path.exists(path):
            raise StoreError(f"{path} exists: choose another file, or leave out overwrite=False", code="store-exists")
        store.write(path, self.to_bytes(include_optimizer=include_optimizer))

    @spelled
    def save_weights(self, path: str | os.PathLike[str], overwrite: bool = True) -> None:
        """Write the weights to a model file without compile settings or training state.

        Args:
            path: The file.
            overwrite: Whether to replace an existing file.

        Raises:
            StoreError: If the file cannot be written, or exists and `overwrite` is False.
        """
        bare = Model(self.network)
        bare._choose(self.theta)
        bare.save(path, overwrite)

    @spelled
    def load_weights(self, path: str | os.PathLike[str]) -> None:
        """Set the weights from a model file and ignore everything else in it.

        Args:
            path: The file.

        Raises:
            ConfigError: If the arrays have other shapes or belong to other layers.
            StoreError: If the file is not a model file.
        """
        found, names = read_weights(path), store.tensor_names(self.network)
        if found.keys() != set(names):
            raise ConfigError(
                f"{path} has {len(found)} weight arrays and this network has {len(names)}: the file is from a model "
                "with other layers",
                code="config-shape",
            )
        self.set_weights([found[name] for name in names])

    def to_bytes(self, *, include_optimizer: bool = True) -> bytes:
        """Return the bytes that `save` writes.

        Args:
            include_optimizer: Whether they include the training state, as in `save`.
        """
        if OWN:
            check_fields(self._specs, self._how)
        extra: dict[str, Any] = {"compiled": self.get_compile_config()} | self._kept()
        now = copy.copy(self)  # its state is that of the layers that train now, and this model's stays as it is
        state, vectors = None if self._state is None else now.state, dict[str, Array]()
        if self.schema is not None:
            extra["table"], vectors = without_words(self.schema.to_config())
        if include_optimizer and state is not None and state.counts != [0, 0, None, None]:
            extra["state"] = state.counts
            plain = now._theta if now._moves is None or now._theta is None else trained_part(now._theta, now._moves)
            if state.averaged and not np.array_equal(plain, state.theta):  # type: ignore[arg-type]
                extra["averaged"], state = True, state.swapped()
            vectors |= {"slots": state.slots}
            vectors |= {"outer": state.outer} if state.outer.tobytes().strip(b"\0") else {}
        return store.to_bytes(self.network, self.theta, extra, vectors)


def _printers(verbose: int | str, given: Sequence[Callback]) -> list[Callback]:
    """Return the callbacks that print for Keras's `verbose`; none if a progress bar was passed."""
    chosen = verbose if isinstance(verbose, Real) else 1 if str(verbose) == "auto" else None
    if chosen not in (0, 1, 2):
        raise ConfigError(f"verbose={verbose!r}: it must be 0, 1, 2 or 'auto'", code="config-value")
    if console.Progbar in map(type, given):
        return []
    return [console.Progbar()] if chosen == 1 else [console.Quiet()] if chosen else []


def _frames() -> Any:
    """Import and return the module for Spark DataFrames; it needs pyspark, so it is not imported earlier."""
    return importlib.import_module("firesteel.spark.frames")

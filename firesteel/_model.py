"""What a model is: a network, its weights, what it was compiled with; how it trains, predicts, looks and is kept.

`models.py` has the one that builds a chain of layers, as users know it.  Next in a fit: `train/fit.py`.
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

from firesteel import _checkpoints as kept
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
from firesteel.graphs.freezing import Trains, held, put_back, taken
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
from firesteel.train.source import Source, Survey, check_kind, check_targets, check_width
from firesteel.train.state import TrainState
from firesteel.train.strategies import Strategy
from firesteel.utils import SEEDS

ColumnsGiven = str | Sequence[Any] | Mapping[str, Any]
"""Of a DataFrame: a column's name, a list of names, or the same for each of several inputs or outputs."""


class CompileSettings(NamedTuple):
    """What a model was compiled with; the metrics as they were given, by the names in the history."""

    optimizer: Optimizer
    loss: Loss
    metrics: Mapping[str, str | Metric]


class Model(Composed):
    """A network that computes outputs out of inputs, with its weights and what it was compiled with.

    Layers are called on values, from `Input`s on; `Model(inputs, outputs)` takes all layers on the way.  Layers that
    two models have in common have the same weights in both.

    Args:
        inputs: An `Input`, or a list or dictionary of them; rows of each are what `fit` and `predict` take.
        outputs: What layers have returned: one value, or a list or dictionary of values.
        name: What the model is called.
        dtype: "float32", or "float64" for checks.

    Raises:
        ConfigError: If outputs need another input, or nothing reads one, or two layers have one name.

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
        """Set the optimizer, the loss and the metrics to report, each by name or as an object.

        Args:
            optimizer: Takes the steps.
            loss: Is minimized.  A model of several outputs has one for each: a dictionary by their names, or a list.
            metrics: Are reported, a list; of several outputs a dictionary of lists, or a list of lists.
            loss_weights: What the losses of several outputs are multiplied by, before they are added; 1 if None.
            weighted_metrics: Further metrics; rows' weights count in all of them.

        Raises:
            ConfigError: For unknown ones, with the nearest name that exists.
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
                raise ConfigError("loss_weights are for several outputs, and this model has one", code="config-loss")
            function, measured = losses.get(loss), listed("metrics", metrics)
            how = CompileSettings(chosen, function, by_name(measured, function))
        if OWN:
            warn_of_unregistered(self._specs, chosen, how.loss, list(how.metrics.values()))
        self._how, self._scored, self._state = how, None, None

    @staticmethod
    def from_config(config: Mapping[str, Any], custom_objects: Mapping[str, type] | None = None) -> "Model":
        """Return the model that `get_config` described; `firesteel.models.model_from_config` has the arguments."""
        made: Model = importlib.import_module("firesteel.models").model_from_config(config, custom_objects)
        return made

    def get_compile_config(self) -> dict[str, Any] | None:
        """Return what `compile` was given, as JSON-able descriptions; None before."""
        if self._how is None:
            return None
        optimizer, loss, measured = self._how
        if isinstance(loss, ends.OutputsLoss):
            return {"optimizer": optimizer.to_config(), **ends.described(loss, measured)}
        configs = [metric if isinstance(metric, str) else metric.to_config() for metric in measured.values()]
        return {"optimizer": optimizer.to_config(), "loss": loss.to_config(), "metrics": configs}

    def _waiting(self) -> list[Normalization]:
        """Return the layers that are to learn means and variances from the rows."""
        return [one for one in map(LAYER, self.network.nodes) if isinstance(one, Normalization) and one.mean is None]

    def _adapt(self, waiting: list[Normalization], engine: Engine) -> None:
        """Give a Normalization that has none the mean and variance of the rows to train on.

        The first layer takes those of the inputs, an inverting last one those of the targets, with a loss that is
        in units of their spread.
        """
        network, (optimizer, loss, measured) = self.network, self.settings
        features, targets = measure(engine, network.inputs, loss.columns(network.outputs), self._dtype)
        made = normalized(network, waiting, features, targets)
        self._replace({number: made[id(n.layer)] for number, n in enumerate(network.nodes) if id(n.layer) in made})
        if isinstance(loss, Standardized) and waiting[-1].invert:
            loss = replace(loss, mean=targets.mean, deviation=targets.deviation)  # type: ignore[arg-type]
            self._how = CompileSettings(optimizer, loss, measured)

    def _learn(self, x: Any, y: Any, split: float) -> None:
        """Learn a table's columns, less the last rows that are held out, where the first layer asks for it.

        x: the table, or None to forget what was learned of one.  y: what is to be predicted.
        """

    def _flat(self, x: Any) -> Any:
        """Return a table's columns, or pictures where a layer takes or flattens them, as rows of numbers."""
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
        """Take weights that were drawn or set; how training goes on is as before."""
        self._chosen = True
        self._theta = theta
        self._theta.flags.writeable = False
        if self._shared is not None:
            self._shared.write(theta, chosen=True)
        if self._state is not None:
            self._state = self._state.with_theta(theta if self._moves is None else taken(theta, self._moves))

    def _targets(self, y: Any) -> Any:
        """Return the targets of several outputs, or those of one by its name, as rows of numbers."""
        if self._ports is None or y is None:
            return y
        loss = self.settings.loss
        if not isinstance(loss, ends.OutputsLoss):
            return ends.only(self._ports, y, "outputs")
        return self._ports.joined(y, "outputs", [at.stop - at.start for at in loss.targets_at])

    @property
    def state(self) -> TrainState:
        """The weights that train, with all else that decides how: moments, steps taken, learning rate."""
        if self._state is None or self._known != Layer.switched or self._shared is not None:
            theta = self.theta if self._theta is None or self._shared is not None else self._theta
            where = self._trains()
            if self._state is None or where != self._moves:
                trained = theta if where is None else taken(theta, where)
                rate = None if self._state is None else self._state.learning_rate
                started = TrainState.start(trained, self.settings.optimizer)
                self._state, self._moves = replace(started, learning_rate=rate), where
            self._known = Layer.switched
        return self._state

    def keep(self, state: TrainState, averaged: bool = True) -> None:
        """Take a state of this model's training, its weights included.

        Args:
            state: The state.
            averaged: Whether the model's weights are the average of the state's, where there is one.
        """
        self._state, theta = state, state.slots[-1] if averaged and state.averaged else state.theta
        if self._moves is not None:
            theta = put_back(self.theta, self._moves, theta)
        self._theta = theta
        self._theta.flags.writeable = False
        if self._shared is not None:
            self._shared.write(theta, self._chosen)

    def forget(self) -> None:
        """Drop the optimizer's moments, the steps taken and a rate that was set: the next fit starts anew."""
        self._state = None

    @property
    def optimizer(self) -> Optimizer | None:
        """What the model was compiled with, at the rate that was set since; its `learning_rate` can be set."""
        if self._how is None:
            return None
        shown = copy.copy(self._how.optimizer if self._state is None else self._state.used(self._how.optimizer))
        vars(shown)["_set_learning_rate"] = functools.partial(setattr, self, "learning_rate")
        return shown

    @property
    def loss(self) -> Loss | None:
        """The loss that the model was compiled with."""
        return None if self._how is None else self._how.loss

    @property
    def metrics(self) -> list[str | Metric]:
        """The metrics that the model was compiled with, as they were given."""
        return [] if self._how is None else list(self._how.metrics.values())

    @property
    def learning_rate(self) -> float:
        """The rate of the next step.  A number that is set takes the place of the optimizer's and of its schedule."""
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
        """What the model was compiled with.  Raises ConfigError before."""
        if self._how is None:
            raise ConfigError(
                "the model is not compiled: call compile(optimizer, loss, metrics) first", code="config"
            )
        if self._ports is not None and self._heads is not None and not isinstance(self._how.loss, ends.OutputsLoss):
            self.compile(self._how.optimizer, self._how.loss, list(self._how.metrics.values()))  # it is built since
        return self._how

    def _objective(self) -> Objective:
        if self._scored is not None and self._scored.network is self._network:
            return self._scored
        (_, loss, measured), network = self.settings, self._network or self.network
        if network.centre.targets and not loss.differences:
            raise ConfigError(
                f"{type(loss).__name__} is not a loss of differences, and this network has learned targets far "
                "from zero with one that is: make a new one for it",
                code="config-loss",
            )
        suited = tuple([(name, named_metric(metric, loss, network.outputs)) for name, metric in measured.items()])
        self._scored = Objective(network, loss, suited)
        return self._scored

    # Looking

    @spelled
    def summary(
        self,
        *,
        print_fn: Callable[[str], Any] | None = None,
        show_trainable: bool = False,
        compiled: bool = False,
    ) -> None:
        """Print the layers, their output shapes and their numbers of parameters.

        Args:
            print_fn: Called with each line; `print` if not given.
            show_trainable: Whether to say of each layer whether it trains.
            compiled: Whether to say how each layer is trained on this machine: in a `step`, one compiled call with
                the loss and the optimizer; in a `run` of layers that is one; by a `loop` of its own; or by `NumPy`.
                The results are the same.

        Raises:
            ConfigError: If layers do not fit each other, or `compiled` is wanted before `compile`.
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
        """Return what a notebook shows: the table of `summary`, or the layers and what keeps them from being one."""
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
        """The models whose average this is, each of a fit of its own; this alone if it is no average."""
        found: list[Model] = importlib.import_module("firesteel.search.members").members_of(self)
        return found

    @property
    def metrics_names(self) -> list[str]:
        """What `evaluate` returns, in order."""
        return ["loss", *(() if self._how is None else self._how.metrics)]

    def fingerprint(self) -> str:
        """Return the SHA-256, 64 hex digits, of the architecture and the weights, and of what is known of a table."""
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
        numeric columns; "features" and "label" if not given.  Of several inputs or outputs a dictionary by their
        names, or a list in their order, of a column or a list of columns for each; columns of these names if not
        given.
        strategy: "average" trains shards apart and averages them, "gradient" takes one exact step a round; the former
        unless the optimiser searches, as LBFGS does.
        shards: how many parts train apart; 1 on arrays, on frames from the number of rows alone.
        seed: the root of everything random; 0 if not given, or that of `firesteel.utils.set_random_seed`.
        checkpoint: a file, or the URL of a folder (s3://..., by fsspec), in which progress is kept: after each epoch,
        and in long ones between rounds.  The same fit called again goes on from there, to the bit, also on other
        partitions or the other engine; a fit that had ended returns at once.  What another training has left
        unfinished there is refused.
        evaluate_averaged: where the optimizer has use_ema, whether validation, the best epoch and the model that
        callbacks see and save are of the averages; False leaves them to the weights that steps are taken from.

        A second fit goes on from the first: where the optimizer has use_ema, from the weights that its last step
        led to, though the model has their averages by then (Keras goes on from the averages).
        Losses and metrics are weighted means: they are divided by the sum of the weights (Keras divides by the
        number of rows).  Metrics of the order of rows, such as "auc", are reported of validation rows alone.

        Raises ConfigError, DataError, StoreError for a checkpoint that cannot be taken up or written, and
        DivergenceError after putting back the last good weights.
        """
        chosen, before, built = strategy_of(strategy, self.settings.optimizer), self.schema, self._network
        if not isinstance(validation_split, Real) or not 0.0 <= validation_split < 1.0:
            raise ConfigError(f"validation_split={validation_split!r}: it must be in [0, 1)", code="config-value")
        split, held = 0.0 if validation_data is not None else validation_split, None
        columns = (features, label, weight)
        if before is None and not isinstance(x, np.ndarray) and is_table(x):
            self._learn(x, y, split)
        try:
            source = self._source(x, y, sample_weight, columns, split, shuffle)
            drawn = SEEDS[0] if seed is None else seed
            how = (epochs, batch_size, chosen, shards, drawn, shuffle, initial_epoch, class_weight)
            recipe = Recipe(*how, evaluate_averaged=evaluate_averaged)
            if validation_data is not None:
                held = self._source(*validation_parts(validation_data, x), columns, 0.0, True, "validation_data's ")
            given = listed("callbacks", callbacks, Callback)
            called = [*_printers(verbose, given), *given]
            place = kept.place(checkpoint, called) if called or checkpoint is not None else None
            if place is not None:
                must_be_registered("a checkpoint", self._specs, self._how)
            extra = {"columns": columns}
            return fit(self, source, recipe, validation=held, callbacks=called, checkpoints=place, extra=extra)
        except (ConfigError, DataError):
            if before is None and not self._chosen:
                self._learn(None, None, split)  # rows that are refused decide nothing
            if built is None and self._theta is None:
                self._unbuild()
            raise

    def prepared(
        self, source: Source, recipe: Recipe, validation: Source | None
    ) -> tuple[tuple[float, ...] | None, Centre]:
        """Validate the rows, and build what they decide.

        Returns:
            A weight for each class, if there are some, and what is subtracted from rows.
        """
        objective, survey = self._surveyed(source)
        network = objective.network if self._trains() is None else held(self.network, self.theta, self._still())
        recipe.strategy.check(network, self.settings.optimizer, recipe.batch_size)
        given = recipe.class_weight
        weights = None if given is None else class_weights(given, survey, objective)
        if validation is not None:
            self._surveyed(validation)
        centre = self._centre(objective, survey)
        warn_of_lost(survey, centre, source.names, getattr(source, "feature_names", None))
        return weights, centre

    def suited(self, engine: Engine, class_weight: tuple[float, ...] | None) -> tuple[Objective, bool]:
        """Take from packed rows what the network leaves open.

        Returns:
            What is trained, and whether its weights are still to be drawn.
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
        """Return what is trained: the objective, in which weights that do not train are constants."""
        if self._moves is None:
            return objective
        return replace(objective, network=held(objective.network, self.theta, self._still()))

    def _centre(self, of: Objective, survey: Survey) -> Centre:
        """Return what is subtracted from rows: by the first fit's, and then always the same."""
        settled = self._chosen or (self._shared and self._shared.any_chosen)
        return of.network.centre if settled else centre_for(survey.centre, of.network, of.loss)

    def _surveyed(self, source: Source) -> tuple[Objective, Survey]:
        """Validate the rows, build what they decide, and see that both fit."""
        known = self._inputs is not None
        if known:
            self._objective()
        survey = source.survey()
        if not known:
            self._network = self._network_for(survey.width)
        try:
            objective = self._objective()
            loss, inputs, outputs = objective.loss, objective.network.inputs, objective.network.outputs
            check_kind(survey, Rule(loss.targets, outputs), source.names["label"])
        except (ConfigError, DataError):
            if not known:
                self._unbuild()  # rows that are refused decide nothing
            raise
        rows = survey.rows + survey.held if isinstance(source, Arrays) else None
        if self._ports is not None:
            refuse_outputs(survey.found, survey.rows + survey.held)
        check_width(survey.width, inputs, source.names["features"], rows)
        check_targets(survey.targets, loss.columns(outputs), outputs, source.names["label"])
        return objective, survey

    def advise(
        self,
        x: Any,
        y: Any = None,
        *,
        features: ColumnsGiven | None = None,
        label: ColumnsGiven | None = None,
    ) -> list[str]:
        """Return short hints on the network, the loss and these rows together; an empty list where there are none.

        They are rules of thumb: inputs far from 1, a loss that does not suit the output, a loss at the start far
        above guessing, classes without rows, layers that gain nothing, many parameters for few rows.
        Raises ConfigError and DataError for what no training could begin with.
        """
        _ = self.settings
        source = self._source(x, y, None, (features, label, None), 0.0, True)
        objective, survey = self._surveyed(source)
        objective = replace(objective, network=replace(self.network, centre=self._centre(objective, survey)))
        with source.engine(centre=objective.network.centre) as engine:
            moments = measure(engine, survey.width, survey.targets, self._dtype)
            fresh = not self.state.step and not self._waiting()
            start = score(engine, objective, self.theta)["loss"] if fresh else None
        return advice(objective, survey, *moments, start)

    # Use

    def __call__(self, *values: Any, training: bool | None = None) -> Any:
        """Return what the model makes of values of a graph, as a layer would; of arrays, what it predicts.

        The layers and weights become part of the model that is built of what is returned: training one trains both.

        Args:
            values: Values, one by one, in a list or a dictionary; or arrays, as `predict` takes them.
            training: False for layers that do in a fit what they do in use: dropout drops nothing, and batch
                normalization keeps its averages.

        Raises:
            ConfigError: Where the model does not fit the values.
        """
        first = values[0] if values else None
        first = next(iter(first.values()), None) if isinstance(first, Mapping) else first
        first = first[0] if isinstance(first, list | tuple) and len(first) else first
        if first is None or isinstance(first, Tensor | Input):
            return super().__call__(*values, training=training)
        if training:
            raise ConfigError("arrays are predicted as in use: leave training= out", code="config-call")
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
        """Give what scores these rows, and the engine that holds them; the arguments are those of `fit`."""
        _ = self.settings
        source = self._source(x, y, sample_weight, (features, label, weight), 0.0, True)
        objective, _ = self._surveyed(source)
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
        """Return [loss, *metrics] over the rows, or a dictionary of them.

        Args:
            batch_size: Is checked, and changes nothing: rows are taken in pieces whose size never shows.
            return_dict: Whether a dictionary is returned.
            x, y, verbose, sample_weight, features, label, weight, callbacks: As in `fit`.
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
        """Return how much the loss rises where the values of a column are shuffled among rows.

        At most 2,000 rows are looked at, chosen by their keys; rows that the model was not trained on show what it
        has learned, and not what it remembers.  The arguments are those of `fit`.
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
        """Return the outputs, (n, O), for rows x, (n, I); given a DataFrame, return it with a column `prediction`.

        The column holds the outputs as an array and is lazy: nothing runs before it is asked for.  Of a model of
        several outputs an array for each is returned, in a list or dictionary as they were given to it; on a
        DataFrame a column for each, by its name.

        Args:
            x: The rows; of several inputs an array for each.
            batch_size: Is checked, and changes nothing: rows are taken in pieces whose size never shows.
            verbose: Changes nothing: predicting prints nothing.
            features: The columns of a DataFrame, as in `fit`.
            callbacks: Objects of `firesteel.callbacks`.
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
        """Return what `predict` returns."""
        return self.predict(x)

    def train_on_batch(
        self, x: Any, y: Any = None, sample_weight: Any = None, class_weight: Any = None, return_dict: bool = False
    ) -> Any:
        """Take one step along the rows of a batch; return [loss, *metrics] of it, or a dictionary of them."""
        given = {"class_weight": class_weight, "sample_weight": sample_weight, "shuffle": False, "verbose": 0}
        rows = next(iter(x.values())) if isinstance(x, Mapping) else x[0] if isinstance(x, list | tuple) else x
        made = self.fit(x, y, batch_size=max(1, len(rows)) if np.ndim(rows) else 1, **given)
        values = {name: made.rows[-1][name] for name in self.metrics_names if name in made.rows[-1]}
        return values if return_dict else list(values.values())

    def test_on_batch(self, x: Any, y: Any = None, sample_weight: Any = None, return_dict: bool = False) -> Any:
        """Return what `evaluate` returns."""
        return self.evaluate(x, y, verbose=0, sample_weight=sample_weight, return_dict=return_dict)

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
        if self._network is None and getattr(y, "ndim", 0) > 2 and getattr(x, "ndim", 0) == 2:
            self._network = self._network_for(x.shape[1])  # which says of what shape the outputs are
        rules = () if self._ports is None else ends.rules_of(self.settings.loss)
        if is_frame(x):
            if y is not None or sample_weight is not None or not shuffle:
                raise ConfigError(
                    "a DataFrame takes its targets from label=, its weights from weight=, and has no row order for "
                    "shuffle=False to keep",
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
        """Return packed rows as they are; raise ConfigError where they were packed for something else."""
        if more or (split and split != source.split):
            raise ConfigError(
                "packed rows have their columns, weights and validation rows already: name them in pack(...)",
                code="config-packed",
            )
        check_packed(self._ports, ends.rules_of(self.settings.loss), getattr(source, "columns", None))
        if source.dtype != self._dtype:
            raise ConfigError(
                f"these rows were packed as {source.dtype}, and the network is {self._dtype}: pack(..., "
                f"dtype={self._dtype!r})",
                code="config-packed",
            )
        return source

    # Keeping

    @spelled
    def save(self, path: str | os.PathLike[str], overwrite: bool = True, *, include_optimizer: bool = True) -> None:
        """Write the model to one file: layers, weights, what it was compiled with, and how training goes on.

        `load_model` returns a model that trains on to the bit as this one does.  The file is written whole or not
        at all.

        Args:
            path: The file.
            overwrite: Whether it may exist already.
            include_optimizer: Whether the optimizer's moments, the steps taken and a learning rate that was set are
                written too; without them a further `fit` starts with new ones.

        Raises:
            StoreError: If the file cannot be written, or exists and may not.
        """
        if not overwrite and os.path.exists(path):
            raise StoreError(f"{path} exists: name another file, or leave overwrite=False out", code="store-exists")
        store.write(path, self.to_bytes(include_optimizer=include_optimizer))

    @spelled
    def save_weights(self, path: str | os.PathLike[str], overwrite: bool = True) -> None:
        """Write the weights alone, as a model's file that was never compiled.  Raises StoreError as `save` does."""
        bare = Model(self.network)
        bare._choose(self.theta)
        bare.save(path, overwrite)

    @spelled
    def load_weights(self, path: str | os.PathLike[str]) -> None:
        """Take the weights of a model's file, whatever else is in it.

        Raises ConfigError where they are of other shapes, and StoreError for what is no model's file.
        """
        found, names = read_weights(path), store.tensor_names(self.network)
        if found.keys() != set(names):
            raise ConfigError(
                f"{path} has {len(found)} arrays of weights, and the network {len(names)}: they are of other layers",
                code="config-shape",
            )
        self.set_weights([found[name] for name in names])

    def to_bytes(self, *, include_optimizer: bool = True) -> bytes:
        """Return what `save` writes."""
        if OWN:
            check_fields(self._specs, self._how)
        extra: dict[str, Any] = {"compiled": self.get_compile_config()} | self._kept()
        state, vectors = self._state, dict[str, Array]()
        if self.schema is not None:
            extra["table"], vectors = without_words(self.schema.to_config())
        if include_optimizer and state is not None and state.counts != [0, 0, None, None]:
            extra["state"] = state.counts
            plain = self._theta if self._moves is None or self._theta is None else taken(self._theta, self._moves)
            if state.averaged and not np.array_equal(plain, state.theta):  # type: ignore[arg-type]
                extra["averaged"], state = True, state.swapped()
            vectors |= {"slots": state.slots}
            vectors |= {"outer": state.outer} if state.outer.tobytes().strip(b"\0") else {}
        return store.to_bytes(self.network, self.theta, extra, vectors)


def _printers(verbose: int | str, given: Sequence[Callback]) -> list[Callback]:
    """Return what prints, as Keras's `verbose` says it, besides what draws bars already."""
    chosen = verbose if isinstance(verbose, Real) else 1 if str(verbose) == "auto" else None
    if chosen not in (0, 1, 2):
        raise ConfigError(f"verbose={verbose!r}: it must be 0, 1, 2 or 'auto'", code="config-value")
    if console.Progbar in map(type, given):
        return []
    return [console.Progbar()] if chosen == 1 else [console.Quiet()] if chosen else []


def _frames() -> Any:
    """Return the module for frames; a DataFrame in hand means that pyspark is there."""
    return importlib.import_module("firesteel.spark.frames")

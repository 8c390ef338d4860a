"""How a model learns: rows pass the third gate, decide what is left open, are packed, and go through the one loop.

`fit` of `models.py` and the stages of Spark ML end here.  Next: `train/loop.py`.
"""

import contextlib
import functools
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from firesteel import checkpoints as kept
from firesteel.advice import warn_of_lost
from firesteel.built import Built
from firesteel.core.centre import Centre
from firesteel.core.layers import Flatten, Input, Normalization
from firesteel.core.network import Objective
from firesteel.core.optimizers import Optimizer
from firesteel.core.spec import whole
from firesteel.errors import ConfigError, DataError, DivergenceError
from firesteel.train import loop, strategies
from firesteel.train.callbacks import Callback, Conductor, blank_row
from firesteel.train.centring import centre_for
from firesteel.train.checkpoints import Checkpoints, Identity
from firesteel.train.checks import Rule
from firesteel.train.engine import Engine
from firesteel.train.history import History
from firesteel.train.moments import measure
from firesteel.train.savers import BackupAndRestore
from firesteel.train.source import Arrays, Source, Survey, check_kind, check_targets, check_width
from firesteel.train.state import Progress
from firesteel.train.stopping import Stopping
from firesteel.train.strategies import Gradient, Strategy
from firesteel.train.weights import class_weights

__all__ = ["Trainable", "strategy_of", "whole_number"]


class Trainable(Built):
    """A model that can be trained on any source of rows, and on rows that are packed."""

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
        class_weight: Any,
        initial_epoch: int,
        callbacks: Sequence[Callback],
        checkpoint: str | os.PathLike[str] | None = None,
        told: Mapping[str, Any],
    ) -> History:
        """Survey, pack and train; what `fit` does once it knows what it was given.

        told: what callbacks shall know beside the rest.
        """
        place = _place(checkpoint, callbacks)
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
        if weights is not None and not isinstance(class_weight, str):
            class_weight = {number: weight for number, weight in enumerate(weights) if weight != 1.0}
        centre = self._centre(survey)
        warn_of_lost(survey, centre, source.names, getattr(source, "feature_names", None))
        told = {**told, "validation_split": source.split, "class_weight": class_weight}
        with contextlib.ExitStack() as stack:
            engine = stack.enter_context(source.engine(count, shuffle=shuffle, centre=centre))
            held: Engine | None = None
            if validation is not None:
                held = stack.enter_context(validation.engine(centre=centre))
            elif survey.held:
                held = stack.enter_context(source.engine(held=True, centre=centre))
            if place is not None:
                stack.enter_context(place)
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
                checkpoints=place,
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
        if not self._chosen and engine.centre != self.network.centre:
            self._network = replace(self.network, centre=engine.centre)
        self._adapt(engine)
        if engine.sparse and not self.network.sparse and self.network.front is not None:
            self._network = replace(self.network, sparse=True)
        objective = replace(self._objective(), class_weight=class_weight)
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
            "resumed": False,
            **(told or {}),
        }
        conductor = Conductor(self, callbacks, objective, params, (engine, validation), run)
        bold = conductor.bold
        if bold is not None and optimizer.searches:
            raise ConfigError("BoldDriver needs an optimizer that takes steps of one size", code="config-callback")
        if bold is not None and bold.form == "seed" and not isinstance(strategy, Gradient):
            raise ConfigError("BoldDriver(form='seed') needs strategy='gradient'", code="config-callback")
        rules = (*conductor.stopping, *([] if stopping is None else [stopping]))
        if not self._chosen:  # nothing can be refused any more
            self.keep(self.state.with_theta(self.network.init(seed)))
            self._chosen = True

        start, save = Progress(self.state), None
        if checkpoints is not None:
            settings = {
                "epochs": epochs,
                "initial_epoch": initial_epoch,
                "batch_size": batch_size,
                "seed": seed,
                "shuffle": shuffle,
                "stopping": None if stopping is None else str(stopping),
                "callbacks": _acting(callbacks),
            }
            engines = [engine] if validation is None else [engine, validation]
            row = blank_row(objective, validation is not None) | {"epoch": initial_epoch}
            blank = Progress(self.state, [row], sums=np.zeros(objective.size))
            identity = replace(
                Identity.of(objective, optimizer, strategy, engines, self.state, settings), blank=blank
            )
            found = checkpoints.load(identity, self.state)
            start, params["resumed"] = found or start, found is not None
            save = functools.partial(checkpoints.save, identity)
        origin = self.state
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
                origin=origin,
            )
        except BaseException as error:
            if isinstance(error, DivergenceError) and error.state is not None:
                self.keep(error.state)
            conductor.fail(error)
            raise
        self.keep(state)
        conductor.finish()
        return self.history

    def _centre(self, survey: Survey) -> Centre:
        """Return what is subtracted from rows: by the first fit's, and then always the same."""
        assert self._loss is not None
        return self.network.centre if self._chosen else centre_for(survey.centre, self.network, self._loss)

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
        rows = survey.rows + survey.held if isinstance(source, Arrays) else None
        check_width(survey.width, self.network.inputs, source.names["features"], rows)
        expected = objective.loss.columns(self.network.outputs)
        check_targets(survey.targets, expected, self.network.outputs, source.names["label"])
        return objective, survey


def _acting(callbacks: Sequence[Callback]) -> list[list[Any]]:
    """Return the callbacks that may change a training, firesteel's own with what they were given."""
    own = Callback.__module__
    acting = [one for one in callbacks if not one.observes]
    return [[type(one).__name__, one.given if type(one).__module__ == own else {}] for one in acting]


def _place(
    checkpoint: str | os.PathLike[str] | None, callbacks: Sequence[Callback]
) -> kept.FileCheckpoints | kept.UrlCheckpoints | None:
    """Return where progress is to be kept, as `fit` or a BackupAndRestore says; raise ConfigError if several do."""
    given = [] if checkpoint is None else [(checkpoint, False)]
    for backup in callbacks:
        if isinstance(backup, BackupAndRestore):
            given.append((os.path.join(backup.backup_dir, "checkpoint"), backup.delete_checkpoint))
    if len(given) > 1:
        raise ConfigError(
            "progress is kept in one place: by checkpoint=, or by one BackupAndRestore", code="config-callback"
        )
    return kept.place(*given[0]) if given else None


def strategy_of(given: str | Mapping[str, Any] | Strategy | None, optimizer: Optimizer | None) -> Strategy:
    """Return the strategy that was given; if none was, `gradient` for an optimiser that searches, else `average`."""
    usual = "gradient" if optimizer is not None and optimizer.searches else "average"
    chosen: Strategy = strategies.get(usual if given is None else given)
    return chosen


def whole_number(name: str, value: Any, low: int) -> int:
    """Return the value as an int; raise ConfigError unless it is a whole number of at least `low`."""
    number = whole(value)
    if number is None or number < low:
        raise ConfigError(f"{name}={value!r}: it must be an integer of at least {low}", code="config-value")
    return number

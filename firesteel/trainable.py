"""How a model learns: rows are validated, decide what is left open, and are packed.

`fit` of `models.py` and the command line come here.  Next: `train/fit.py`.
"""

import contextlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from firesteel import checkpoints as kept
from firesteel.advice import warn_of_lost
from firesteel.built import Built
from firesteel.core.centre import Centre
from firesteel.core.layers import Flatten, Input, Normalization
from firesteel.core.network import Objective
from firesteel.errors import ConfigError, DataError
from firesteel.tables.arrays import Arrays
from firesteel.tables.moments import measure
from firesteel.tables.weights import class_weights
from firesteel.train.callbacks import Callback
from firesteel.train.centring import centre_for
from firesteel.train.checks import Rule
from firesteel.train.engine import Engine
from firesteel.train.fit import fit
from firesteel.train.history import History
from firesteel.train.recipe import Recipe
from firesteel.train.savers import BackupAndRestore
from firesteel.train.source import Source, Survey, check_kind, check_targets, check_width

__all__ = ["Trainable"]


class Trainable(Built):
    """A model that can be trained on any source of rows, and on rows that are packed."""

    def fit_source(
        self,
        source: Source,
        recipe: Recipe,
        *,
        validation: Source | None,
        callbacks: Sequence[Callback],
        checkpoint: str | os.PathLike[str] | None = None,
        told: Mapping[str, Any],
    ) -> History:
        """Survey, pack and train; what `fit` does once it knows its source.

        told: what callbacks shall know beside the rest.
        """
        place = _place(checkpoint, callbacks)
        objective, survey = self._surveyed(source)
        recipe.check(self.network, self._compiled())
        given = recipe.class_weight
        weights = None if given is None else class_weights(given, survey, objective)
        if validation is not None:
            self._surveyed(validation)
        shards = source.shards_of(recipe)
        if weights is not None and not isinstance(given, str):
            given = {number: weight for number, weight in enumerate(weights) if weight != 1.0}
        centre = self._centre(survey)
        warn_of_lost(survey, centre, source.names, getattr(source, "feature_names", None))
        told = {**told, "validation_split": source.split, "class_weight": given}
        with contextlib.ExitStack() as stack:
            engine = stack.enter_context(source.engine(shards, shuffle=recipe.shuffle, centre=centre))
            held: Engine | None = None
            if validation is not None:
                held = stack.enter_context(validation.engine(centre=centre))
            elif survey.held:
                held = stack.enter_context(source.engine(held=True, centre=centre))
            if place is not None:
                stack.enter_context(place)
            return fit(
                self,
                engine,
                held,
                replace(recipe, class_weight=weights),
                callbacks=callbacks,
                checkpoints=place,
                told=told,
            )

    def suited(self, engine: Engine, class_weight: tuple[float, ...] | None) -> tuple[Objective, bool]:
        """Take from packed rows what the network leaves open.

        Returns:
            What is trained, and whether its weights are still to be drawn.
        """
        if not self._chosen and engine.centre != self.network.centre:
            self._network = replace(self.network, centre=engine.centre)
        self._adapt(engine)
        if engine.sparse and not self.network.sparse and self.network.front is not None:
            self._network = replace(self.network, sparse=True)
        objective = self._objective()
        weighted = objective if class_weight is None else replace(objective, class_weight=class_weight)
        return weighted, not self._chosen

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
            self._objective()
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

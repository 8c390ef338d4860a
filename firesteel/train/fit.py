"""One fit: rows that are packed, a recipe and callbacks go through the loop, and the model keeps what comes of it.

Arrays, frames, stages and the command line end here.  Next: `loop.py`.
"""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from firesteel.core.network import Objective
from firesteel.errors import DivergenceError
from firesteel.train import loop
from firesteel.train.callbacks import Callback, Conductor, blank_row
from firesteel.train.checkpoints import Checkpoints, Identity
from firesteel.train.engine import Engine
from firesteel.train.history import History
from firesteel.train.recipe import Recipe
from firesteel.train.state import Progress

__all__ = ["fit"]


def fit(
    model: Any,
    engine: Engine,
    validation: Engine | None,
    recipe: Recipe,
    *,
    callbacks: Sequence[Callback] = (),
    checkpoints: Checkpoints | None = None,
    extra: Mapping[str, Any] | None = None,
    run: str = "firesteel",
) -> History:
    """Train a model on packed rows.

    Args:
        model: A `firesteel.models.Sequential`, compiled.
        engine: Holds the rows to train on.
        validation: Holds those held out.
        recipe: How to train.
        callbacks: Are called as training goes on.
        checkpoints: Where progress is kept; if there is some of this very training, it goes on.
        extra: What callbacks find in `params`, besides the rest.
        run: What the training is called.

    Raises:
        ConfigError: For callbacks that do not suit the training.
        DivergenceError: After the model has taken back the last good weights.
    """
    objective, drawn = model.suited(engine, recipe.class_weight)
    extra = {"drawn": drawn, **(extra or {})}
    conductor = Conductor(model, callbacks, objective, recipe, (engine, validation), extra, run)
    if drawn:  # nothing can be refused any more
        model.draw(recipe.seed)
    origin, found, save = model.state, None, None
    if checkpoints is not None:
        identity = _identity(model, objective, recipe, [engine, *([validation] if validation else [])], callbacks)
        found, save = checkpoints.load(identity, origin), functools.partial(checkpoints.save, identity)
    start, conductor.params["resumed"] = found or Progress(origin), found is not None
    try:
        start = replace(start, state=conductor.start(start.state, start.rows))
        state, model.history = loop.train(
            *(engine, objective, model.optimizer, start, recipe),
            validation=validation,
            watcher=conductor,
            keep=save,
            origin=origin,
        )
    except BaseException as error:
        if isinstance(error, DivergenceError) and error.state is not None:
            model.keep(error.state)
        conductor.fail(error)
        raise
    model.keep(state)
    conductor.finish()
    history: History = model.history
    return history


def _identity(
    model: Any, objective: Objective, recipe: Recipe, engines: Sequence[Engine], callbacks: Sequence[Callback]
) -> Identity:
    """Return what a training is known by; of callbacks those that may change it, firesteel's with their arguments."""
    own, acting = Callback.__module__, [one for one in callbacks if not one.observes]
    averaged = ["evaluate_averaged"] if model.optimizer.use_ema else []
    names = ["epochs", "initial_epoch", "batch_size", "seed", "shuffle", *averaged]
    settings = {name: getattr(recipe, name) for name in names} | {
        "stopping": None if recipe.stopping is None else str(recipe.stopping),
        "callbacks": [[type(one).__name__, one.given if type(one).__module__ == own else {}] for one in acting],
    }
    row = blank_row(objective, len(engines) > 1) | {"epoch": recipe.initial_epoch}
    identity = Identity.of(objective, model.optimizer, recipe.strategy, engines, model.state, settings)
    return replace(identity, blank=Progress(model.state, [row], sums=np.zeros(objective.size)))

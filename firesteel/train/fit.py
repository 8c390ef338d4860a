"""The steps of `fit`: validate and pack the rows, run the training loop, and store the result.

Arrays, frames, stages and the command line call it.  Next: `loop.py`.
"""

import contextlib
import functools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from firesteel.errors import DivergenceError
from firesteel.train.callbacks import Callback, Conductor
from firesteel.train.checkpoints import Checkpoints, Identity
from firesteel.train.history import History
from firesteel.train.loop import train
from firesteel.train.recipe import Recipe
from firesteel.train.source import Source
from firesteel.train.state import Progress

__all__ = ["fit"]


def fit(
    model: Any,
    source: Source,
    recipe: Recipe,
    *,
    validation: Source | None = None,
    callbacks: Sequence[Callback] = (),
    checkpoints: Checkpoints | None = None,
    extra: Mapping[str, Any] | None = None,
    run: str = "firesteel",
) -> History:
    """Train a model: validate and pack the rows, complete the model from them, and run the training loop.

    Args:
        model: A compiled `firesteel.models.Model`.
        source: The rows to train on, and those held out for validation.
        recipe: The settings of training.
        validation: Validation rows, instead of held-out ones.
        callbacks: The callbacks.
        checkpoints: The store of training progress; progress of the same training is resumed.
        extra: Further entries of the callbacks' `params`.
        run: The name of the training.

    Returns:
        The history.

    Raises:
        ConfigError: If settings conflict.
        DataError: If the rows cannot be trained on.
        DivergenceError: If training diverges; the model then has the last good weights.
    """
    weights, centre = model.prepared(source, recipe, validation)
    given, validating, shards = recipe.class_weight, None, source.shards_of(recipe)
    if weights is not None and not isinstance(given, str):
        given = {number: weight for number, weight in enumerate(weights) if weight != 1.0}
    with contextlib.ExitStack() as stack:
        engine = stack.enter_context(source.engine(shards, shuffle=recipe.shuffle, centre=centre))
        if validation is not None or source.profile().held:
            validating = stack.enter_context((validation or source).engine(held=validation is None, centre=centre))
        stack.enter_context(checkpoints or contextlib.nullcontext())
        objective, drawn = model.suited(engine, weights)
        extra = {"validation_split": source.split, "class_weight": given, "drawn": drawn, **(extra or {})}
        conductor = Conductor(model, callbacks, objective, recipe, (engine, validating), extra, run)
        if drawn:  # all checks have passed
            model.draw(recipe.seed)
        origin, optimizer, found, save = model.state, model.settings.optimizer, None, None
        objective = model.trains(objective)
        if checkpoints is not None:
            engines = [engine, *([validating] if validating else [])]
            identity = Identity.of(objective, optimizer, recipe, engines, origin, callbacks)
            found, save = checkpoints.load(identity, origin), functools.partial(checkpoints.save, identity)
        start, conductor.params["resumed"] = found or Progress(origin), found is not None
        try:
            start = replace(start, state=conductor.start(start.state, start.rows))
            watched = {"validation": validating, "watcher": conductor, "keep": save, "origin": origin}
            state, history = train(engine, objective, optimizer, start, recipe, **watched)
        except BaseException as error:
            if isinstance(error, DivergenceError) and error.state is not None:
                model.keep(error.state)
            conductor.fail(error)
            raise
        model.history = history
        model.keep(state)
        conductor.finish()
        return history

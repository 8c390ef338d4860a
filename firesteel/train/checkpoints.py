"""Progress kept while training runs, so that an interrupted fit goes on where it was, to the bit.

A training is known by everything that decides its bits; only its own progress is ever taken up.  Where progress lies
is somebody else's business: `firesteel/spark/checkpoints.py` keeps it on Spark's storage, `store.py` gives its bytes.
"""

import hashlib
import json
from collections.abc import Sequence
from typing import Any, Protocol

from firesteel import __version__
from firesteel.core.network import Objective
from firesteel.core.optimizers import Optimizer
from firesteel.train.engine import Engine
from firesteel.train.state import Progress, TrainState
from firesteel.train.strategies import Strategy

__all__ = ["Checkpoints", "identity"]


class Checkpoints(Protocol):
    """A place for the progress of one training, until whoever opened it lets it go."""

    def load(self, identity: str, like: TrainState) -> Progress | None:
        """Return the newest progress of this training that is whole, if there is any; its states are as `like`."""
        ...

    def save(self, identity: str, progress: Progress) -> None:
        """Keep progress; the one before stays until this one is whole."""
        ...


def identity(
    objective: Objective,
    optimizer: Optimizer,
    strategy: Strategy,
    engines: Sequence[Engine],
    start: TrainState,
    settings: Sequence[Any],
) -> str:
    """Return the SHA-256 (64 hex digits) of all that decides a training's bits, its rows included.

    engines: with the rows to train on, and those held out.  settings: further ones, as JSON has them.
    """
    described = [
        __version__,
        objective.network.to_config(),
        objective.loss.to_config(),
        objective.names,
        objective.class_weight,
        optimizer.to_config(),
        strategy.to_config(),
        [[engine.shards, [[b.id, b.rows, b.fingerprint] for b in engine.blocks]] for engine in engines],
        [start.step, start.epoch, start.learning_rate, start.cost],
        list(settings),
    ]
    digest = hashlib.sha256(json.dumps(described, sort_keys=True).encode())
    for vector in (start.theta, start.slots, start.outer):
        digest.update(vector.tobytes())
    return digest.hexdigest()

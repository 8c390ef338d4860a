"""Checkpoints: training progress that is saved during a fit, so that an interrupted fit resumes to the bit.

A training is identified by everything that determines its bits, and resumes only its own progress.
`firesteel/_checkpoints.py` stores progress in files, `firesteel/spark/checkpoints.py` on Spark's storage.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from firesteel import __version__
from firesteel.core.network import Objective
from firesteel.core.optimizers import Optimizer
from firesteel.core.types import Array
from firesteel.train.callbacks import Callback, blank_row
from firesteel.train.engine import Engine
from firesteel.train.recipe import Recipe
from firesteel.train.state import Progress, TrainState

__all__ = ["Checkpoints", "Identity"]

LONG = 80
"""The longest value that is stored as text, in characters; of a longer one only the checksum is stored."""


@dataclass(frozen=True)
class Identity:
    """Checksums, by name, of everything that determines a training's result, such as its rows and settings.

    Args:
        parts: The values as text, or their checksums.
        blank: Progress with a row and sums of the structure that the training has, if known.

    Example:
        >>> here, there = Identity({"shards": "2", "seed": "0"}), Identity({"shards": "4", "seed": "0"})
        >>> here.name == there.name, here.unlike(there.parts)
        (False, ['shards is 4 there and 2 here'])
    """

    parts: Mapping[str, str]
    blank: Progress | None = field(default=None, compare=False)

    @property
    def name(self) -> str:
        """The SHA-256 of all parts, as 64 hex digits."""
        return _sha256(json.dumps(dict(self.parts), sort_keys=True).encode())

    def unlike(self, there: Mapping[str, str]) -> list[str]:
        """Describe how another training differs from this one."""
        found = []
        for name in sorted({*self.parts, *there}):
            one, other = there.get(name, "nothing"), self.parts.get(name, "nothing")
            if one != other:
                short = not one.startswith(HASHED) and not other.startswith(HASHED)
                found.append(f"{name} is {one} there and {other} here" if short else f"{name} differs")
        return found

    @staticmethod
    def of(
        objective: Objective,
        optimizer: Optimizer,
        recipe: Recipe,
        engines: Sequence[Engine],
        start: TrainState,
        callbacks: Sequence[Callback],
    ) -> "Identity":
        """Compute the identity of a training from its objective, optimizer, settings and rows.

        Args:
            objective: The network, its loss and its metrics.
            optimizer: The optimizer.
            recipe: The settings of training.
            engines: The engines of the training rows and of the validation rows.
            start: The initial state.
            callbacks: The callbacks; those that only observe do not count, and firesteel's count with their
                arguments.
        """
        own, acting = Callback.__module__, [one for one in callbacks if not one.observes]
        rows = [[[b.id, b.rows, b.fingerprint] for b in engine.blocks] for engine in engines]
        names = ["epochs", "initial_epoch", "batch_size", "seed", "shuffle", "evaluate_averaged"]
        described = {
            "firesteel": __version__,
            "network": objective.network.to_config(),
            "loss": objective.loss.to_config(),
            "metrics": objective.names,
            "class_weight": objective.class_weight,
            "optimizer": optimizer.to_config(),
            "strategy": recipe.strategy.to_config(),
            "shards": engines[0].shards,
            "training set": rows[0],
            "validation set": rows[1:],
            "start": [start.counts, *(_digest(vector) for vector in (start.theta, start.slots, start.outer))],
            **{name: getattr(recipe, name) for name in names[: 5 + optimizer.use_ema]},
            "stopping": None if recipe.stopping is None else str(recipe.stopping),
            "callbacks": [[type(one).__name__, one.given if type(one).__module__ == own else {}] for one in acting],
        }
        row = blank_row(objective, len(engines) > 1) | {"epoch": recipe.initial_epoch}
        blank = Progress(start, [row], sums=np.zeros(objective.size))
        return Identity({name: _text(value) for name, value in described.items()}, blank)


HASHED = "sha256:"


def _text(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, default=lambda other: type(other).__name__)
    return text if len(text) <= LONG else HASHED + _sha256(text.encode())


def _digest(vector: Array) -> str:
    return _sha256(vector.tobytes())


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


class Checkpoints(AbstractContextManager[Any], Protocol):
    """Protocol of stores for one training's progress, used as a context manager."""

    def load(self, identity: Identity, like: TrainState) -> Progress | None:
        """Return the newest complete progress of this training, with states like `like`, or None."""
        ...

    def save(self, identity: Identity, progress: Progress) -> None:
        """Save progress; the previous one remains until this one is complete."""
        ...

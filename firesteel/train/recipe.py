"""What `fit` decides, as one frozen value that goes from the face to the loop.

The constructor checks that numbers are whole and large enough; what depends on the rows is checked with them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from firesteel.core.optimizers import Optimizer
from firesteel.core.spec import whole
from firesteel.errors import ConfigError
from firesteel.train import strategies
from firesteel.train.stopping import Stopping
from firesteel.train.strategies import Average, Strategy

__all__ = ["Recipe", "strategy_of"]


@dataclass(frozen=True)
class Recipe:
    """How to train.

    Args:
        epochs: The number of the epoch to end before, counted from 0.
        batch_size: Rows a step, in each shard; the strategy's default if None, which may be None for all rows.
        strategy: What a round is.
        shards: Parts that train apart; None where the source chooses.
        seed: The root of everything random.
        shuffle: Whether batches take rows in another order in each epoch.
        initial_epoch: The number of the first epoch.
        class_weight: What rows of each class weigh, as `fit` takes it.
        stopping: When to stop early, besides what callbacks say.
        evaluate_averaged: Whether validation, the best epoch and what callbacks see are of the average of the
            weights, where the optimiser keeps one.

    Raises:
        ConfigError: For numbers that are no whole ones, or too small.

    >>> Recipe(epochs=3).batch_size
    32
    """

    epochs: int = 1
    batch_size: int | None = None
    strategy: Strategy = Average()
    shards: int | None = None
    seed: int = 0
    shuffle: bool = True
    initial_epoch: int = 0
    class_weight: Any = None
    stopping: Stopping | None = None
    evaluate_averaged: bool = True

    def __post_init__(self) -> None:
        numbers = vars(self)
        if self.batch_size is None:
            numbers["batch_size"] = self.strategy.default_batch_size()
        for name, low in (("initial_epoch", 0), ("epochs", 1), ("batch_size", 1), ("seed", 0)):
            if (value := numbers[name]) is None and name == "batch_size":
                continue
            low += numbers["initial_epoch"] if name == "epochs" else 0
            if (number := whole(value)) is None or number < low:
                raise ConfigError(f"{name}={value!r}: it must be an integer of at least {low}", code="config-value")
            numbers[name] = number


def strategy_of(given: str | Mapping[str, Any] | Strategy | None, optimizer: Optimizer | None) -> Strategy:
    """Return the strategy that was given; if none was, `gradient` for an optimiser that searches, else `average`."""
    usual = "gradient" if optimizer is not None and optimizer.searches else "average"
    chosen: Strategy = strategies.get(usual if given is None else given)
    return chosen

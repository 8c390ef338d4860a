"""The settings of `fit` as one immutable object.

The constructor checks that numbers are integers in range; what depends on the rows is checked with them.
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
    """The settings of a training, such as epochs, batch size, shards and seed.

    Args:
        epochs: The index of the epoch to stop before, from 0.
        batch_size: The rows per step and shard; None for the strategy's default, which may be all rows.
        strategy: How rounds are run.
        shards: The number of parts trained in parallel; None to let the source choose.
        seed: The seed of all random numbers.
        shuffle: Whether batches take the rows in a new order in each epoch.
        initial_epoch: The index of the first epoch.
        class_weight: The weights of the classes, as in `fit`.
        stopping: A stopping rule, in addition to those of callbacks.
        evaluate_averaged: Whether validation, the best epoch and callbacks use the moving average of the weights, if
            the optimizer keeps one.

    Raises:
        ConfigError: If a number is not an integer or too small (`config-value`).

    Example:
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
    """Resolve a training strategy; the default is "gradient" for L-BFGS, otherwise "average"."""
    usual = "gradient" if optimizer is not None and optimizer.searches else "average"
    chosen: Strategy = strategies.get(usual if given is None else given)
    return chosen

"""Strategies: how an epoch is divided into rounds, what each shard computes, and how the driver updates the state.

A strategy pairs a work function of `rounds.py` with the driver's part of the step.  The defaults of `Average` depend
on the number of shards; docs/design/0002-averaging.md has the measurements behind them.
"""

import functools
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from firesteel.core.network import Network
from firesteel.core.optimizers import Optimizer
from firesteel.core.spec import Spec, flag, later, number, resolver
from firesteel.core.update import constrain, update
from firesteel.errors import ConfigError
from firesteel.fast.compiled import with_fallback
from firesteel.train.engine import BlockInfo
from firesteel.train.partial import Partial, Task
from firesteel.train.rounds import Work, average, gradient, round_blocks
from firesteel.train.state import TrainState

__all__ = ["STRATEGIES", "Average", "Gradient", "Strategy", "get"]


class Strategy(Spec):
    """Base class of training strategies."""

    def work(self) -> Work:
        """Return the function that each shard runs in a round."""
        raise NotImplementedError

    def check(self, network: Network, optimizer: Optimizer, batch_size: int | None) -> None:
        """Raise ConfigError if a network, optimizer and batch size cannot be trained with this strategy."""
        if optimizer.searches:
            raise ConfigError(
                f"{type(optimizer).__name__} needs all rows at once: use fit(..., strategy='gradient')",
                code="config-strategy",
            )

    def default_batch_size(self) -> int | None:
        """Return the default batch size; None means all rows."""
        raise NotImplementedError

    def default_shards(self, rows: int, batch_size: int | None, blocks: int) -> int:
        """Return the default number of shards, which depends on the data alone, not on the cluster."""
        raise NotImplementedError

    def rounds(self, rows: int, batch_size: int | None, shards: int, blocks: int) -> int:
        """Return the number of rounds in an epoch."""
        raise NotImplementedError

    def sparse_rounds(self, rounds: int) -> int:
        """Return the number of rounds in an epoch of sparse rows, given that of dense rows."""
        return rounds

    def alone(self, shards: int) -> bool:
        """Return whether shards can run several epochs without the driver."""
        return False

    def local(self, optimizer: Optimizer, rows: int, batch_size: int | None, shards: int) -> Optimizer:
        """Return the optimizer that each shard uses, possibly with another learning rate."""
        return optimizer

    def vectors(self, optimizer: Optimizer) -> int:
        """Return the number of vectors, (P,), that each shard returns in a round."""
        raise NotImplementedError

    def ready(self, task: Task, blocks: Sequence[BlockInfo]) -> Task | None:
        """Complete the task of a round; return None if the round has no rows to learn from."""
        return task

    def with_penalty(self, total: Partial, task: Task) -> Partial:
        """Add the penalty on the weights to the sum of the shards' results."""
        return total

    def advance(
        self, state: TrainState, total: Partial, optimizer: Optimizer, shards: int, network: Network
    ) -> TrainState:
        """Update the state after a round, from the sum of the shards' results."""
        raise NotImplementedError


class Average(Strategy):
    """Each shard trains on its own for a round; then weights and moments are averaged, weighted by rows.

    With one shard this is ordinary mini-batch training, one round per epoch.

    Args:
        patient: Whether the best epoch is restored, so that more epochs per shard do no harm: then the learning rate
            is not raised where a shard takes few steps, and only moving averages of the weights adapt faster.

    Example:
        >>> Average()
        Average()

    Source: parallel SGD of Zinkevich et al. 2010, in rounds as in local SGD.
    """

    patient: bool = later(flag(False))

    def work(self) -> Work:
        return average

    def default_batch_size(self) -> int | None:
        return 32

    def default_shards(self, rows: int, batch_size: int | None, blocks: int) -> int:
        """Return 1 below 1,000 steps per epoch; above, a power of two with 500 or more steps per shard, at most 64.

        Example:
            >>> [Average().default_shards(rows, 128, 10**6) for rows in (60_000, 600_000, 60_000_000)]
            [1, 8, 64]
        """
        shards, steps = 1, rows // (batch_size or 32)
        while steps >= 1000 and 2 * shards <= min(64, blocks):
            shards, steps = 2 * shards, steps // 2
        return shards

    def rounds(self, rows: int, batch_size: int | None, shards: int, blocks: int) -> int:
        """Return one round per 500 steps of a shard, so that shards do not drift apart; 1 with one shard."""
        if shards == 1:
            return 1
        return max(1, min(round(shard_steps(rows, batch_size, shards) / 500), blocks // shards))

    def sparse_rounds(self, rounds: int) -> int:
        """Return one round per 8,000 steps: a round transfers the whole kernel, but a step changes few rows."""
        return max(1, rounds // 16)

    def alone(self, shards: int) -> bool:
        return shards == 1

    def local(self, optimizer: Optimizer, rows: int, batch_size: int | None, shards: int) -> Optimizer:
        """Return the optimizer with a higher learning rate if a shard takes few steps between averages."""
        most, enough = (1, 20) if self.patient else (16, 2000)
        few = max(1.0, min(shards, enough / shard_steps(rows, batch_size, shards)))
        if self.patient and optimizer.use_ema:  # 100 steps of memory would be 100 epochs
            optimizer = replace(optimizer, ema_momentum=optimizer.ema_momentum**few)
        return optimizer.scaled(min(few, most), shards)

    def vectors(self, optimizer: Optimizer) -> int:
        return 1 + len(optimizer.slots)

    def ready(self, task: Task, blocks: Sequence[BlockInfo]) -> Task | None:
        weights = {block.id: block.weight for block in blocks}
        shards = [[number for number in weights if number % task.shards == shard] for shard in range(task.shards)]
        weight = sum([sum(map(weights.__getitem__, round_blocks(task, ids))) for ids in shards])
        return replace(task, weight=weight) if weight else None

    def advance(
        self, state: TrainState, total: Partial, optimizer: Optimizer, shards: int, network: Network
    ) -> TrainState:
        theta, slots = total.vectors[0], total.vectors[1:]
        if shards == 1:
            return replace(state, theta=theta, slots=slots, step=state.step + total.steps)
        number = theta.dtype.type
        moved = theta - state.theta
        outer = number(OUTER_MOMENTUM) * state.outer + moved
        step = moved + number(OUTER_MOMENTUM) * outer
        beyond = state.theta + step
        for where, _ in network.statistics:  # an extrapolated variance could be negative
            beyond[where] = theta[where]
        constrain(network, beyond)
        return replace(state, theta=beyond, slots=slots, outer=outer, step=state.step + total.steps)


OUTER_MOMENTUM = 0.5
"""Nesterov momentum of the driver's step along the shards' mean update, as in DiLoCo (Douillard et al. 2023)."""


def shard_steps(rows: int, batch_size: int | None, shards: int) -> float:
    """Return the number of steps that a shard takes in an epoch."""
    return max(1.0, rows / (shards * (batch_size or rows)))


class Gradient(Strategy):
    """One optimizer step per round, on the driver, with the exact gradient of the round's rows.

    Args:
        sample: The share of the rows used by the one step of an epoch, drawn anew each epoch; 1 uses all rows.

    Example:
        >>> Gradient(sample=0.7)
        Gradient(sample=0.7)
    """

    sample: float = number(1.0, above=0.0, why="sample is the share of the rows that each step uses")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.sample > 1.0:
            raise ConfigError(f"{self}: sample must be at most 1", code="config-value")

    def work(self) -> Work:
        return gradient if self.sample == 1.0 else functools.partial(gradient, sample=self.sample)

    def check(self, network: Network, optimizer: Optimizer, batch_size: int | None) -> None:
        if optimizer.searches and (batch_size is not None or self.sample < 1.0):
            raise ConfigError(
                f"{type(optimizer).__name__} needs all rows at once: leave out batch_size and sample",
                code="config-strategy",
            )
        if self.sample < 1.0 and batch_size is not None:
            raise ConfigError(
                f"{self} takes one step per epoch, over its sample: leave out batch_size", code="config-strategy"
            )
        if network.statistics:
            raise ConfigError(
                "strategy='gradient' has no batches to normalize: use strategy='average', or LayerNormalization "
                "instead of BatchNormalization",
                code="config-strategy",
            )

    def default_batch_size(self) -> int | None:
        return None

    def default_shards(self, rows: int, batch_size: int | None, blocks: int) -> int:
        """Return the largest power of two with 8 or more blocks per shard, at most 64.

        Example:
            >>> [Gradient().default_shards(0, None, blocks) for blocks in (1, 90, 10_000)]
            [1, 8, 64]
        """
        shards = 1
        while 16 * shards <= blocks and shards < 64:
            shards *= 2
        return shards

    def rounds(self, rows: int, batch_size: int | None, shards: int, blocks: int) -> int:
        return max(1, round(rows / batch_size)) if batch_size else 1

    def vectors(self, optimizer: Optimizer) -> int:
        return 1

    def ready(self, task: Task, blocks: Sequence[BlockInfo]) -> Task | None:
        return replace(task, slots=None)  # the moments remain on the driver

    def with_penalty(self, total: Partial, task: Task) -> Partial:
        network = task.objective.network
        if not network.penalized:
            return total
        weight, views = total.sums[1], network.layout.views
        g, sums = np.zeros_like(task.theta), total.sums.copy()
        sums[0] += weight * network.penalty(views(task.theta), views(g))
        return replace(total, vectors=total.vectors + g * g.dtype.type(weight), sums=sums)

    def advance(
        self, state: TrainState, total: Partial, optimizer: Optimizer, shards: int, network: Network
    ) -> TrainState:
        def stepped() -> TrainState:
            theta, slots = state.theta.copy(), state.slots.copy()
            mean = total.vectors[0] * theta.dtype.type(1.0 / (total.sums[1] or 1.0))
            update(network, optimizer, theta, mean, slots, state.step + 1)
            return replace(state, theta=theta, slots=slots, step=state.step + 1)

        return with_fallback(stepped)


STRATEGIES: dict[str, Spec] = {"average": Average(), "gradient": Gradient()}

get = resolver("a strategy", Strategy, STRATEGIES)

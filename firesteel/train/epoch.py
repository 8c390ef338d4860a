"""Runs epochs on an engine, one or several at a time, and measures their time.

Each training policy is a kind of `Job`: L-BFGS searches along a line; the bold driver changes the learning rate
before a step, or undoes an epoch.  `loop.py` runs one job after another, and validates with `scores`.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from firesteel.core.layout import read_only
from firesteel.core.network import Objective
from firesteel.core.optimizers import LBFGS, Optimizer
from firesteel.core.types import Array
from firesteel.train import ranking
from firesteel.train.engine import ROWS, Engine, LocalEngine
from firesteel.train.history import Row
from firesteel.train.partial import Partial, Task, Watch, tree_sum
from firesteel.train.recipe import Recipe
from firesteel.train.rounds import Work, evaluate_each, evaluate_first, passes
from firesteel.train.rowwise import spread
from firesteel.train.search import Bold, search
from firesteel.train.state import TrainState
from firesteel.train.stopping import Stopping, within_bounds

__all__ = ["Job", "Watcher", "is_finite", "job_of", "score", "scores"]

Ended = tuple[TrainState, Array]
"""The state after an epoch, and the epoch's sums."""
Between = Callable[[TrainState, int, Array], None]
"""Called after each round but the last, with the state, the number of the next round, and the sums so far."""

PROBED = 32
"""Blocks on which a bold driver evaluates the loss: at most about 64 MB."""


class Watcher:
    """Protocol of an observer of training, called at each epoch's start and end; it may replace the state.

    Attributes:
        run: The name of the training.
        stop: Whether to stop after the current epoch.
        stopping: Stopping rules, in addition to the recipe's.
        bold: The bold driver, if any.
        batches: Called with a number and None before each step, and with the step's sums after it; for each round
            where steps are not visible.
    """

    run: str = "firesteel"
    stop: bool = False
    stopping: Sequence[Stopping] = ()
    bold: Bold | None = None
    batches: Watch | None = None

    def begin(self, epoch: int, state: TrainState) -> TrainState:
        """Called at the start of an epoch."""
        return state

    def end(self, row: Row, state: TrainState) -> TrainState:
        """Called at the end of an epoch, with its history row and the state after it."""
        return state


class Job:
    """Runs epochs of a training on an engine; its attributes hold time and traffic of the last epochs."""

    def __init__(
        self,
        engine: Engine,
        objective: Objective,
        optimizer: Optimizer,
        recipe: Recipe,
        watcher: Watcher,
        theta: Array,
    ) -> None:
        self.engine, self.objective, self.recipe, self.bold = engine, objective, recipe, watcher.bold
        self.strategy, self.compiled, rows = recipe.strategy, optimizer, sum(map(ROWS, engine.blocks))
        self.rows, self.broke, self.machines = rows, False, frozenset[str]()
        alone = self.strategy.alone(engine.shards)
        inside = alone and isinstance(engine, LocalEngine)
        self.watch = None if inside else watcher.batches
        self.several = alone and watcher.batches is None and watcher.bold is None
        rounds = self.strategy.rounds(rows, recipe.batch_size, engine.shards, len(engine.blocks))
        self.base = Task(
            objective=objective,
            theta=theta,
            batch_size=recipe.batch_size or rows,
            seed=recipe.seed,
            rounds=self.strategy.sparse_rounds(rounds) if objective.network.rowwise else rounds,
            shards=engine.shards,
            shuffle=recipe.shuffle,
            watch=watcher.batches if inside else None,
            vectors=self.strategy.vectors(optimizer),
        )
        engine.check(self.base)

    def start(self, state: TrainState, title: str) -> None:
        """Prepare to run epochs from a state.  title: how Spark's web page names the job."""
        self.seconds, self.slowest, self.by_shard = 0.0, 0.0, np.zeros(self.engine.shards)
        self.optimizer = state.used(self.compiled)
        local = self.strategy.local(self.optimizer, self.rows, self.recipe.batch_size, self.engine.shards)
        self.base = replace(self.base, optimizer=local, title=title)

    def epochs(self, state: TrainState, count: int) -> list[Ended]:
        """Run `count` epochs; return the state after each, with its sums of loss and metrics."""
        task = self.strategy.ready(self.task(state, 0), self.engine.blocks)
        if task is None:
            return [self.epoch(state)]
        total = self.total(functools.partial(passes, self.strategy.work(), count), task)
        ended = []
        for vectors, sums in zip(np.split(total.vectors, count), np.split(total.sums, count), strict=True):
            state = self.advance(state, replace(total, vectors=vectors, sums=sums, steps=total.steps // count))
            state = replace(state, epoch=state.epoch + 1)
            ended.append((state, sums))
        return ended

    def epoch(
        self, state: TrainState, first: int = 0, sums: Array | None = None, between: Between | None = None
    ) -> Ended:
        """Run one epoch; return the state after it, and its sums of loss and metrics.

        Args:
            state: The state to start from.
            first: The number of the first round to run.
            sums: The sums of the rounds before it.
            between: Called after each round but the last.
        """
        sums = np.zeros(self.objective.size) if sums is None else sums.copy()
        for number in range(first, self.base.rounds):
            task = self.strategy.ready(self.task(state, number), self.engine.blocks)
            if task is None:
                continue
            if self.watch is not None:
                self.watch(number, None)
            total = self.strategy.with_penalty(self.total(self.strategy.work(), task), task)
            sums += total.sums
            if self.watch is not None:
                self.watch(number, total.sums)
            if not total.sums[1]:
                continue
            with np.errstate(over="ignore", invalid="ignore"):
                state = self.advance(state, total)
            if not is_finite((state, sums)):
                break
            if between is not None and number + 1 < self.base.rounds:
                between(state, number + 1, sums)
        return replace(state, epoch=state.epoch + 1), sums

    def advance(self, state: TrainState, total: Partial) -> TrainState:
        """Update the state after a round, from the sum of the shards' results."""
        shards, network = self.engine.shards, self.objective.network
        return self.strategy.advance(state, total, state.used(self.optimizer), shards, network)

    def rate(self, after: TrainState) -> float | None:
        """Return an epoch's learning rate if it was changed during training; otherwise None."""
        return after.learning_rate

    def row(self, epoch: int, sums: Array, validated: Mapping[str, Any], seconds: float, count: int) -> Row:
        """Return the history row of an epoch that was run together with `count` - 1 others."""
        row: Row = {"epoch": epoch, **self.objective.means(sums), "rows": int(sums[2])}
        row |= {f"val_{name}": value for name, value in validated.items()}
        parts = {"seconds": seconds, "shard_seconds": self.seconds, "slowest_seconds": self.slowest}
        row |= {name: value / count for name, value in parts.items()}
        computing = max(row["slowest_seconds"], row["shard_seconds"] / self.engine.lanes)
        row["wait_seconds"] = max(0.0, row["seconds"] - computing)
        row["by_shard"] = (self.by_shard / count).tolist()
        return row

    def task(self, state: TrainState, number: int) -> Task:
        """Return what shards need for round `number`: weights, optimizer and settings."""
        theta = read_only(state.theta)
        return replace(self.base, theta=theta, slots=state.slots, epoch=state.epoch, round=number, step=state.step)

    def total(self, work: Work, task: Task) -> Partial:
        """Run a round on all shards; return the sum of their results."""
        partials = self.engine.map(work, task)
        self.by_shard += [0.0 if partial is None else partial.seconds for partial in partials]
        total = tree_sum(partials)
        assert total is not None, "an engine holds at least one block"
        self.seconds, self.slowest = self.seconds + total.seconds, self.slowest + total.slowest
        self.machines |= total.machines
        return spread(total, task) if total.changed else total


class LineSearch(Job):
    """Epochs of L-BFGS: each is one step with a line search on the loss of all rows."""

    def epoch(self, state: TrainState, *_: Any) -> Ended:
        assert isinstance(self.optimizer, LBFGS)
        with np.errstate(over="ignore", invalid="ignore"):
            state, total = search(self.optimizer, state, self.objective.network, self.measure)
        return replace(state, epoch=state.epoch + 1), total.sums

    def measure(self, state: TrainState) -> Partial:
        """Return the loss with penalty and the gradient over all rows, at a state's weights."""
        task = self.strategy.ready(self.task(state, 0), self.engine.blocks)
        assert task is not None, "a gradient is always ready"
        return self.strategy.with_penalty(self.total(self.strategy.work(), task), task)


class Paced(Job):
    """Bold driver by step: the learning rate rises while the loss falls, and is cut when it rises."""

    def advance(self, state: TrainState, total: Partial) -> TrainState:
        assert self.bold is not None
        rate = state.used(self.optimizer).rate(state.step + 1)
        return super().advance(self.bold.paced(state, float(total.sums[0] / total.sums[1]), rate), total)


class Undo(Job):
    """Bold driver by epoch: an epoch that increased the loss is undone, and the learning rate is cut."""

    def epoch(
        self, state: TrainState, first: int = 0, sums: Array | None = None, between: Between | None = None
    ) -> Ended:
        assert self.bold is not None
        after, sums = super().epoch(state, first, sums)
        if state.cost is None:
            state = replace(state, cost=self.cost(state.theta, self.probe(state.theta)))
        finite = is_finite((after, sums))
        cost = self.cost(after.theta, self.probe(after.theta)) if finite else np.inf
        self.broke = not within_bounds(cost, state.cost or 0.0)
        judged = self.bold.judged(state, after, cost, self.optimizer.rate(state.step + 1))
        return judged, sums if finite else self.probe(state.theta)

    def rate(self, after: TrainState) -> float | None:
        return self.optimizer.rate(1)

    def probe(self, theta: Array) -> Array:
        """Return loss and metrics of the weights theta over the rows of the first blocks, as sums."""
        task = Task(self.objective, read_only(theta), shards=self.engine.shards, title=self.base.title)
        return self.total(functools.partial(evaluate_first, PROBED), task).sums

    def cost(self, theta: Array, sums: Array) -> float:
        """Return the loss with the penalty on the weights."""
        network = self.objective.network
        return float(sums[0] / sums[1]) + network.penalty(network.layout.views(theta))


def job_of(watcher: Watcher, optimizer: Optimizer) -> type[Job]:
    """Return the class that runs the epochs: for L-BFGS, for a bold driver, or `Job`."""
    if watcher.bold is not None:
        return Paced if watcher.bold.form == "seed" else Undo
    return LineSearch if isinstance(optimizer, LBFGS) else Job


def score(engine: Engine, objective: Objective, theta: Array) -> dict[str, Any]:
    """Return the loss and metrics of theta over all rows of an engine, by name."""
    return scores(engine, objective, [theta])[0]


def scores(
    engine: Engine, objective: Objective, thetas: Sequence[Array], job: Job | None = None
) -> list[dict[str, Any]]:
    """Return the loss and metrics of each theta over all rows of an engine, adding the costs to `job`."""
    title = "firesteel: evaluation" if job is None else f"{job.base.title}, validation"
    task = Task(objective, read_only(thetas[0]), shards=engine.shards, title=title)

    def call(work: Work) -> list[Partial | None]:
        partials = engine.map(work, task)
        if job is not None:
            seconds = [partial.seconds for partial in partials if partial is not None]
            job.seconds, job.slowest = job.seconds + sum(seconds), job.slowest + max(seconds)
        return partials

    total = tree_sum(call(functools.partial(evaluate_each, np.array(thetas))))
    assert total is not None, "an engine holds at least one block"
    found = [objective.means(sums) for sums in np.split(total.sums, len(thetas))]
    for means, theta in zip(found, thetas, strict=True):
        means["loss"] += objective.network.penalty(objective.network.layout.views(theta))
    if not objective.ranked:
        return found
    rows = sum(map(ROWS, engine.blocks))
    ranks = ranking.measure(call, objective, np.array(thetas), rows, engine.shards)
    for means, ranked in zip(found, ranks, strict=True):
        broken = np.isnan(means["loss"])  # NaN outputs have no order
        means |= {name: np.nan if broken else value for name, value in ranked.items()}
    return [{name: means[name] for name in objective.names} for means in found]


def is_finite(ended: Ended) -> bool:
    """Return whether an epoch's loss and the state after it are finite."""
    state, sums = ended
    return bool(np.isfinite(sums[0]) and np.isfinite(state.theta).all() and np.isfinite(state.slots).all())

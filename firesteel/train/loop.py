"""The one training loop: rounds out, partials in, state forward, one history row an epoch.

It knows neither arrays nor frames, only an engine that maps; so every strategy runs unchanged everywhere, and what
runs in process is the reference for what runs on Spark.
"""

import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from firesteel.core.layout import read_only
from firesteel.core.network import Objective
from firesteel.core.optimizers import Optimizer
from firesteel.core.types import Array
from firesteel.errors import DivergenceError
from firesteel.train.engine import Engine
from firesteel.train.history import History, Row
from firesteel.train.partial import Partial, Task, tree_sum
from firesteel.train.rounds import Work, evaluate
from firesteel.train.state import TrainState
from firesteel.train.stopping import Stopping
from firesteel.train.strategies import Strategy

__all__ = ["Listener", "score", "train"]

Listener = Callable[[Row, TrainState], None]
"""Called after each epoch with its history row and the state that the row describes."""


def train(
    engine: Engine,
    objective: Objective,
    optimizer: Optimizer,
    state: TrainState,
    strategy: Strategy,
    *,
    epochs: int,
    batch_size: int | None,
    seed: int,
    shuffle: bool = True,
    validation: Engine | None = None,
    listeners: Sequence[Listener] = (),
    stopping: Stopping | None = None,
) -> tuple[TrainState, History]:
    """Train for so many more epochs, or until `stopping` says so; return the new state and what happened.

    Raises DivergenceError when the loss or the weights are no longer finite; its `state` attribute and the last
    one given to the listeners is that of the last good epoch.
    """
    rows = sum(block.rows for block in engine.blocks)
    rounds = strategy.rounds(rows, batch_size, engine.shards, len(engine.blocks))
    history = History()
    machines: frozenset[str] = frozenset()
    best: TrainState | None = None
    base = Task(
        objective=objective,
        theta=state.theta,
        optimizer=strategy.local(optimizer, rows, batch_size, engine.shards),
        batch_size=batch_size or rows,
        seed=seed,
        rounds=rounds,
        shards=engine.shards,
        shuffle=shuffle,
    )
    for epoch in range(epochs):
        start, shards, slowest = time.perf_counter(), 0.0, 0.0
        sums = np.zeros(objective.size)
        good = state
        for number in range(rounds):
            task = replace(
                base,
                theta=read_only(state.theta),
                slots=state.slots,
                epoch=state.epoch,
                round=number,
                step=state.step,
            )
            ready = strategy.ready(task, engine.blocks)
            if ready is None:
                continue
            total = strategy.priced(_total(engine, strategy.work(), ready), ready)
            if not total.sums[1]:
                continue
            sums += total.sums
            shards, slowest = shards + total.seconds, slowest + total.slowest
            machines |= total.machines
            with np.errstate(over="ignore", invalid="ignore"):
                state = strategy.advance(state, total, optimizer, engine.shards)
            if not (np.isfinite(sums[0]) and np.isfinite(state.theta).all()):
                raise _diverged(epoch, good, state, objective, optimizer)
        state = replace(state, epoch=state.epoch + 1)
        row: Row = {"epoch": epoch, **objective.means(sums), "rows": int(sums[2])}
        if validation is not None:
            means, total = score(validation, objective, state.theta)
            row |= {f"val_{name}": value for name, value in means.items()}
            shards, slowest = shards + total.seconds, slowest + total.slowest
        seconds = time.perf_counter() - start
        row |= {"seconds": seconds, "shard_seconds": shards, "slowest_seconds": slowest}
        row["wait_seconds"] = max(0.0, seconds - slowest)
        history.rows.append(row)
        for listener in listeners:
            listener(row, state)
        if stopping is not None and stopping.patience and stopping.best(history.rows) == len(history.rows) - 1:
            history.best, best = len(history.rows) - 1, state
        if stopping is not None and stopping.ended(history.rows):
            break
    state = best or state
    history.machines = machines
    if len(machines) > 1:
        warnings.warn(
            "the weights were computed by more than one kind of CPU or BLAS, so another run may differ in the last "
            f"bits: {sorted(machines)}",
            stacklevel=3,
        )
    return state, history


def score(engine: Engine, objective: Objective, theta: Array) -> tuple[dict[str, float], Partial]:
    """Return the loss and metrics of theta over the engine's rows, by name, and the sums they come from."""
    total = _total(engine, evaluate, Task(objective=objective, theta=read_only(theta), shards=engine.shards))
    means = objective.means(total.sums)
    means["loss"] += objective.network.penalty(objective.network.layout.views(theta))
    return means, total


def _total(engine: Engine, work: Work, task: Task) -> Partial:
    total = tree_sum(engine.map(work, task))
    assert total is not None, "an engine holds at least one block"
    return total


def _diverged(epoch: int, good: TrainState, bad: TrainState, objective: Objective, optimizer: Optimizer) -> Exception:
    layout = objective.network.layout
    finite = (np.isfinite(bad.theta[where]).all() for _, _, _, where in layout.slices())
    broken = next((number for (number, *_), ok in zip(layout.slices(), finite, strict=True) if not ok), None)
    place = "the loss" if broken is None else f"the weights of {objective.network.layer_of(broken)}"
    error = DivergenceError(
        f"training diverged in epoch {epoch + 1}: {place} became infinite or NaN.  The weights of the epoch before "
        f"are kept.  Lower the learning rate (now {optimizer.learning_rate:g}), or bring the features to a scale "
        "near 1"
    )
    error.state = good
    return error

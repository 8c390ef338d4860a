"""The one training loop: rounds out, partials in, state forward, one history row an epoch.

It knows neither arrays nor frames, only an engine that maps; so every strategy runs unchanged everywhere, and what
runs in process is the reference for what runs on Spark.
"""

import functools
import itertools
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from firesteel.core.layout import read_only
from firesteel.core.network import Objective
from firesteel.core.optimizers import LBFGS, Optimizer
from firesteel.core.types import Array
from firesteel.errors import DivergenceError
from firesteel.train import ranking
from firesteel.train.csr import spread
from firesteel.train.divergence import bearable, diverged, suspect
from firesteel.train.engine import Engine, LocalEngine
from firesteel.train.history import History, Row
from firesteel.train.partial import Partial, Task, Watch, tree_sum
from firesteel.train.rounds import Work, evaluate_each, evaluate_first, passes
from firesteel.train.search import Bold, search
from firesteel.train.state import Progress, TrainState
from firesteel.train.stopping import Stopping
from firesteel.train.strategies import Strategy

__all__ = ["Watcher", "score", "train"]


class Watcher:
    """Hears of a training as it goes on; what its hooks return is the state that it goes on from.

    run: what the training is called.
    stop: whether the epoch that has ended is the last one.
    batches: called with a number and the sums of each step where that can be seen, and of each round elsewhere; with
    None for the sums before it.
    """

    run: str = "firesteel"
    stop: bool = False
    batches: Watch | None = None

    def begin(self, epoch: int, state: TrainState) -> TrainState:
        """Hear that an epoch begins."""
        return state

    def end(self, row: Row, state: TrainState) -> TrainState:
        """Hear that an epoch has ended: its history row, and the state that the row describes."""
        return state


def train(
    engine: Engine,
    objective: Objective,
    optimizer: Optimizer,
    start: Progress,
    strategy: Strategy,
    *,
    epochs: int,
    batch_size: int | None,
    seed: int,
    shuffle: bool = True,
    validation: Engine | None = None,
    watcher: Watcher | None = None,
    stopping: Sequence[Stopping] = (),
    initial_epoch: int = 0,
    bold: Bold | None = None,
    keep: Callable[[Progress], None] | None = None,
    origin: TrainState | None = None,
) -> tuple[TrainState, History]:
    """Train for so many more epochs, or until one of `stopping` or the watcher says so; return the new state and
    what happened.

    start: from a state, or from where a training was interrupted, whose epochs count.  initial_epoch: the number of
    the first one.  bold: drives the learning rate.
    keep: is given the progress after each job that ends an epoch, and between the rounds of an epoch that takes long.
    origin: what an interrupted training had begun from.

    Raises DivergenceError when the loss, the weights or the optimiser's moments are no longer finite, and when the
    loss of what would be returned is more than 1,000 times the initial one.  Its `state` attribute is that after the
    epoch of the least loss, or the one from before the training if that was better.
    """
    rows = sum(block.rows for block in engine.blocks)
    state, best, history = start.state, start.best, History(list(start.rows))
    watcher = watcher or Watcher()
    keeper = next((rule for rule in stopping if rule.keeps), None)
    if best is not None and keeper is not None:
        history.best = history.rows[keeper.best(history.rows) or 0]["epoch"]
    if start.finished or (history.rows and any(rule.ended(history.rows) for rule in stopping)):
        epochs = len(history.rows)
    origin, good, least, broke = origin or start.state, start.state, np.inf, False
    machines = start.machines
    ahead = 1
    inside = strategy.alone(engine.shards) and isinstance(engine, LocalEngine)
    local = functools.partial(strategy.local, rows=rows, batch_size=batch_size, shards=engine.shards)
    rounds = strategy.rounds(rows, batch_size, engine.shards, len(engine.blocks))
    base = Task(
        objective=objective,
        theta=state.theta,
        batch_size=batch_size or rows,
        seed=seed,
        rounds=strategy.sparse_rounds(rounds) if objective.network.sparse else rounds,
        shards=engine.shards,
        shuffle=shuffle,
        watch=watcher.batches if inside else None,
        vectors=strategy.vectors(optimizer),
    )
    engine.check(base)
    saved, first = time.perf_counter(), start.round

    def between(state: TrainState, rounds: int, sums: Array) -> None:
        nonlocal saved
        if keep is not None and time.perf_counter() - saved >= KEEP_SECONDS:
            keep(Progress(state, history.rows, best, machines | job.machines, rounds, sums))
            saved = time.perf_counter()

    def wrong(bad: TrainState, epoch: int, what: str) -> DivergenceError:
        """Return what is raised, with the best state that is known: `good`, unless its own last steps broke it."""
        before, after = _losses(engine, objective, [origin.theta, good.theta])
        better = after <= before and not np.array_equal(good.theta, origin.theta)
        when = f"after {good.epoch - origin.epoch} epoch(s) of it" if better else "from before the training"
        rate = bad.used(optimizer).rate(good.step + 1)
        error = diverged(objective.network, bad, epoch, what, when, rate)
        error.state = good if better else origin
        return error

    begun = False
    while len(history.rows) < epochs:
        if not begun:
            told = watcher.begin(initial_epoch + len(history.rows), state)
            state = state if first else told  # an epoch that was broken off had begun already
        begun = False
        clock = time.perf_counter()
        alone = strategy.alone(engine.shards) and watcher.batches is None and bold is None
        count = min(ahead, epochs - len(history.rows)) if alone else 1
        chosen = state.used(optimizer)
        title = _title(watcher.run, history.rows, initial_epoch, epochs, count)
        job = _Job(engine, objective, chosen, strategy, None if inside else watcher.batches, bold, title)
        task = replace(base, optimizer=local(chosen), title=title)
        if count > 1:
            ended = job.epochs(task, state, count)
        else:
            ended = [job.epoch(task, state, first, start.sums if first else None, between)]
            first = 0
        if bold is not None and bold.form == "safe":
            ended = [job.judged(state, *ended[0])]
        finite = [now.theta for now, _ in itertools.takewhile(_is_finite, ended)]
        validated = [] if validation is None or not finite else _scores(validation, objective, finite, job)
        seconds = time.perf_counter() - clock
        for number, (now, sums) in enumerate(ended):
            at = len(history.rows)
            epoch = initial_epoch + at
            if number:
                previous, state = state, watcher.begin(epoch, state)
                if state is not previous:  # the epochs ahead were computed from what no longer holds
                    begun = True
                    break
            if number >= len(finite):
                raise wrong(now, epoch, "became infinite or NaN")
            row = job.row(epoch, sums, validated[number] if validated else {}, seconds, count)
            rate = chosen.rate(1) if bold is not None and bold.form == "safe" else now.learning_rate
            if rate is not None:
                row["learning_rate"] = rate
            history.rows.append(row)
            state = watcher.end(row, now)
            if row["loss"] < least:
                good, least = state, row["loss"]
            if keeper is not None and keeper.best(history.rows) == at:
                history.best, best = epoch, now
            if watcher.stop or any(rule.ended(history.rows) for rule in stopping):
                epochs = len(history.rows)
                break
            if state is not now:
                break
        machines, broke = machines | job.machines, job.broke
        if keep is not None:
            keep(Progress(state, history.rows, best, machines, finished=len(history.rows) >= epochs))
            saved = time.perf_counter()
        size = 2 * count * (1 + len(state.slots)) * state.theta.nbytes
        if state is not ended[count - 1][0]:
            ahead = 1
        elif seconds > 1.2 * job.slowest and 2 * job.slowest <= AHEAD_SECONDS and size <= AHEAD_BYTES:
            ahead = min(2 * count, AHEAD)
    state = best or state
    if history.rows and (broke or suspect(history.rows[-1]["loss"], state.theta)):
        before, after = _losses(engine, objective, [origin.theta, state.theta])
        ruined = [row["epoch"] for row in history.rows if not bearable(row["loss"], before)]
        stuck = np.array_equal(state.theta, origin.theta) and (broke or history.rows[-1]["epoch"] in ruined)
        if stuck or not bearable(after, before):
            what = "rose at every step that was tried" if stuck else f"has risen from {before:.4g} to {after:.4g}"
            epoch = [*ruined, history.rows[-1]["epoch"]][0]
            raise wrong(state, epoch, what)
    history.machines = machines
    if len(machines) > 1:
        warnings.warn(
            "the weights were computed by more than one kind of CPU or BLAS, so another run may differ in the last "
            f"bits, in {state.theta.dtype} by up to {APART[state.theta.dtype.name]:g} of the largest weight after an "
            f"epoch of a small network, and by more with each further one: {sorted(machines)}",
            stacklevel=3,
        )
    return state, history


APART = {"float32": 1e-4, "float64": 1e-10}
"""How far apart two kinds' weights may be after an epoch, as a share of the largest; one network is tested for it."""
AHEAD = 64
"""The most epochs in one job, where a shard is alone and a job costs much beside what it computes."""
AHEAD_SECONDS = 5.0
"""The most that they may compute: what a lost worker costs, and how long nothing is heard."""
AHEAD_BYTES = 8 << 20
"""The most that the states of such epochs may take on their way to the driver."""


KEEP_SECONDS = 60.0
"""How long an epoch goes on before progress is kept between two of its rounds."""


PROBED = 32
"""Blocks whose rows a bold driver looks at: some 64 MB at most."""


class _Job:
    """Runs epochs on an engine, and adds up what they cost."""

    def __init__(
        self,
        engine: Engine,
        objective: Objective,
        optimizer: Optimizer,
        strategy: Strategy,
        watch: Watch | None,
        bold: Bold | None,
        title: str,
    ) -> None:
        self.engine, self.objective, self.optimizer, self.strategy = engine, objective, optimizer, strategy
        self.watch, self.bold, self.title = watch, bold, title
        self.seconds, self.slowest, self.by_shard = 0.0, 0.0, np.zeros(engine.shards)
        self.machines: frozenset[str] = frozenset()
        self.broke = False

    def epochs(self, base: Task, state: TrainState, count: int) -> list[tuple[TrainState, Array]]:
        """Return the state after each of so many epochs, and each one's sums; the last may be infinite or NaN."""
        task = self.strategy.ready(self.task(base, state, 0), self.engine.blocks)
        if task is None:
            return [self.epoch(base, state)]
        total = self.total(functools.partial(passes, self.strategy.work(), count), task)
        ended = []
        for vectors, sums in zip(np.split(total.vectors, count), np.split(total.sums, count), strict=True):
            one = replace(total, vectors=vectors, sums=sums, steps=total.steps // count)
            state = self.strategy.advance(state, one, self.optimizer, 1, self.objective.network)
            state = replace(state, epoch=state.epoch + 1)
            ended.append((state, sums))
        return ended

    def epoch(
        self,
        base: Task,
        state: TrainState,
        first: int = 0,
        sums: Array | None = None,
        between: Callable[[TrainState, int, Array], None] | None = None,
    ) -> tuple[TrainState, Array]:
        """Return the state after one epoch, and its sums.

        first: the round to go on with.  sums: of the rounds before it.  between: is told of each round but the last,
        where nothing but the state decides how the epoch goes on.
        """
        sums = np.zeros(self.objective.size) if sums is None else sums.copy()
        network = self.objective.network
        if isinstance(self.optimizer, LBFGS):
            with np.errstate(over="ignore", invalid="ignore"):
                state, total = search(self.optimizer, state, network, functools.partial(self.look, base))
            return replace(state, epoch=state.epoch + 1), total.sums
        taken_back = self.bold is not None and self.bold.form == "safe"
        for number in range(first, base.rounds):
            task = self.strategy.ready(self.task(base, state, number), self.engine.blocks)
            if task is None:
                continue
            if self.watch is not None:
                self.watch(number, None)
            total = self.strategy.priced(self.total(self.strategy.work(), task), task)
            sums += total.sums
            if self.watch is not None:
                self.watch(number, total.sums)
            if not total.sums[1]:
                continue
            optimizer = self.optimizer
            if self.bold is not None and self.bold.form == "seed":
                rate = state.used(optimizer).rate(state.step + 1)
                state = self.bold.paced(state, float(total.sums[0] / total.sums[1]), rate)
                optimizer = state.used(optimizer)
            with np.errstate(over="ignore", invalid="ignore"):
                state = self.strategy.advance(state, total, optimizer, self.engine.shards, network)
            if not _is_finite((state, sums)):
                break
            if between is not None and number + 1 < base.rounds and not taken_back:
                between(state, number + 1, sums)
        return replace(state, epoch=state.epoch + 1), sums

    def row(self, epoch: int, sums: Array, validated: Mapping[str, Any], seconds: float, count: int) -> Row:
        """Return what is told of one of `count` epochs, which took so many seconds together."""
        row: Row = {"epoch": epoch, **self.objective.means(sums), "rows": int(sums[2])}
        row |= {f"val_{name}": value for name, value in validated.items()}
        parts = {"seconds": seconds, "shard_seconds": self.seconds, "slowest_seconds": self.slowest}
        row |= {name: value / count for name, value in parts.items()}
        computing = max(row["slowest_seconds"], row["shard_seconds"] / self.engine.lanes)
        row["wait_seconds"] = max(0.0, row["seconds"] - computing)
        row["by_shard"] = (self.by_shard / count).tolist()
        return row

    def look(self, base: Task, state: TrainState) -> Partial:
        """Return the sums and the gradient over all rows at a state, with the price of the weights."""
        task = self.strategy.ready(self.task(base, state, 0), self.engine.blocks)
        assert task is not None, "only a gradient is looked at, and it is always ready"
        return self.strategy.priced(self.total(self.strategy.work(), task), task)

    def judged(self, before: TrainState, after: TrainState, sums: Array) -> tuple[TrainState, Array]:
        """Return the state to go on from after an epoch, as a bold driver sees it, and the sums to report."""
        assert self.bold is not None
        if before.cost is None:
            before = replace(before, cost=self.cost(before.theta, self.probe(before.theta)))
        whole = _is_finite((after, sums))
        cost = self.cost(after.theta, self.probe(after.theta)) if whole else np.inf
        rate, self.broke = self.optimizer.rate(before.step + 1), not bearable(cost, before.cost or 0.0)
        return self.bold.judged(before, after, cost, rate), sums if whole else self.probe(before.theta)

    def probe(self, theta: Array) -> Array:
        """Return the sums of theta over rows that are always the same: those of the first blocks."""
        task = Task(self.objective, read_only(theta), shards=self.engine.shards, title=self.title)
        return self.total(functools.partial(evaluate_first, PROBED), task).sums

    def cost(self, theta: Array, sums: Array) -> float:
        """Return the loss that sums tell, with the price of the weights."""
        network = self.objective.network
        return float(sums[0] / sums[1]) + network.penalty(network.layout.views(theta))

    def task(self, base: Task, state: TrainState, number: int) -> Task:
        """Return the task of a round."""
        theta = read_only(state.theta)
        return replace(base, theta=theta, slots=state.slots, epoch=state.epoch, round=number, step=state.step)

    def total(self, work: Work, task: Task) -> Partial:
        """Run one round; return the sum of its partials."""
        partials = self.engine.map(work, task)
        self.by_shard += [0.0 if partial is None else partial.seconds for partial in partials]
        total = tree_sum(partials)
        assert total is not None, "an engine holds at least one block"
        self.seconds, self.slowest = self.seconds + total.seconds, self.slowest + total.slowest
        self.machines |= total.machines
        return spread(total, task)


def score(engine: Engine, objective: Objective, theta: Array) -> dict[str, Any]:
    """Return the loss and metrics of theta over the engine's rows, by name."""
    return _scores(engine, objective, [theta])[0]


def _scores(
    engine: Engine, objective: Objective, thetas: Sequence[Array], job: _Job | None = None
) -> list[dict[str, Any]]:
    """Return the loss and metrics of each theta, from one job or a few; what they cost is added to `job`."""
    title = "firesteel: evaluation" if job is None else f"{job.title}, validation"
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
    rows = sum(block.rows for block in engine.blocks)
    ranks = ranking.measure(call, objective, np.array(thetas), rows, engine.shards)
    for means, ranked in zip(found, ranks, strict=True):
        broken = np.isnan(means["loss"])  # then outputs may be NaN, and have no order
        means |= {name: np.nan if broken else value for name, value in ranked.items()}
    return [{name: means[name] for name in objective.names} for means in found]


def _title(run: str, rows: Sequence[Row], initial: int, epochs: int, count: int) -> str:
    """Return what people are told of a job: the run, its epochs, and the loss so far."""
    first = initial + len(rows) + 1
    which = f"epoch {first}" if count == 1 else f"epochs {first} to {first + count - 1}"
    return f"{run}: {which} of {initial + epochs}" + (f", loss {rows[-1]['loss']:.4g}" if rows else "")


def _is_finite(ended: tuple[TrainState, Array]) -> bool:
    state, sums = ended
    return bool(np.isfinite(sums[0]) and np.isfinite(state.theta).all() and np.isfinite(state.slots).all())


def _losses(engine: Engine, objective: Objective, thetas: Sequence[Array]) -> list[float]:
    with np.errstate(over="ignore", invalid="ignore"):
        return [found["loss"] for found in _scores(engine, replace(objective, metrics=()), thetas)]

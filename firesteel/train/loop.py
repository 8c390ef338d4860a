"""The training loop: send tasks to shards, add up their results, update the state, append a history row per epoch.

It knows only an engine, neither arrays nor frames.  So every strategy runs everywhere unchanged, and a fit in this
process is the reference for a fit on Spark.
"""

import itertools
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from firesteel.core.network import Objective
from firesteel.core.optimizers import Optimizer
from firesteel.core.types import Array
from firesteel.errors import DivergenceError
from firesteel.train.engine import Engine
from firesteel.train.epoch import Ended, Job, Watcher, is_finite, job_of, scores
from firesteel.train.history import History, Row
from firesteel.train.recipe import Recipe
from firesteel.train.state import Progress, TrainState
from firesteel.train.stopping import divergence, looks_diverged, within_bounds

__all__ = ["train"]

APART = {"float32": 1e-4, "float64": 1e-10}
"""Relative difference, after an epoch, of weights computed on two kinds of machine; tested for one network."""
AHEAD = 64
"""The most epochs in one job, where there is one shard and starting a job takes long compared with its work."""
AHEAD_SECONDS = 5.0
"""The most seconds of work in such a job: the loss if a worker fails, and the longest time without a report."""
AHEAD_BYTES = 8 << 20
"""The most bytes of the states that such a job returns to the driver."""
KEEP_SECONDS = 60.0
"""Seconds between two checkpoints within an epoch."""


def train(
    engine: Engine,
    objective: Objective,
    optimizer: Optimizer,
    start: Progress,
    recipe: Recipe,
    *,
    validation: Engine | None = None,
    watcher: Watcher | None = None,
    keep: Callable[[Progress], None] | None = None,
    origin: TrainState | None = None,
) -> tuple[TrainState, History]:
    """Train until the last epoch, or until a stopping rule or a callback ends the training.

    Args:
        engine: The engine of the training rows.
        objective: The network, its loss and its metrics.
        optimizer: The optimizer.
        start: The state to start from, or the progress of an interrupted training.
        recipe: The settings of training.
        validation: The engine of the validation rows.
        watcher: Called at the start and end of each epoch.
        keep: Called with the progress after each job, and between the rounds of a long epoch.
        origin: The state from which an interrupted training first started.

    Returns:
        The final state and the history.

    Raises:
        DivergenceError: If the loss, weights or optimizer moments become infinite or NaN, or the final loss is more
            than 1,000 times the initial one.  Its `state` is that of the epoch with the least loss, or the initial
            state if that is better.
    """
    watcher = watcher or Watcher()
    job = job_of(watcher, optimizer)(engine, objective, optimizer, recipe, watcher, start.state.theta)
    run, averaged = TrainingRun(job, start, watcher, keep, origin), recipe.evaluate_averaged
    while not run.ended:
        run.begin()
        clock = time.perf_counter()
        ended = run.epochs()
        thetas = [state.weights(averaged) for state, _ in itertools.takewhile(is_finite, ended)]
        scored = [] if validation is None or not thetas else scores(validation, objective, thetas, job)
        seconds = time.perf_counter() - clock
        for number, (state, sums) in enumerate(ended):
            if number and not run.goes_on():
                break
            if number >= len(thetas):
                raise run.diverged(state, run.epoch, "became infinite or NaN")
            row = job.row(run.epoch, sums, scored[number] if scored else {}, seconds, len(ended))
            if not run.accept(row, state):
                break
        run.save()
        run.look_ahead(ended, seconds)
    return run.result()


class TrainingRun:
    """A training in progress: its state, the best state, the history, and whether it has ended."""

    def __init__(
        self,
        job: Job,
        start: Progress,
        watcher: Watcher,
        keep: Callable[[Progress], None] | None,
        origin: TrainState | None,
    ) -> None:
        self.job, self.watcher, self.keep, self.origin = job, watcher, keep, origin or start.state
        self.state, self.best, self.history = start.state, start.best, History(list(start.rows))
        self.rows, job.machines = self.history.rows, start.machines
        self.good, self.least = start.state, np.inf
        self.round, self.sums = start.round, start.sums if start.round else None
        self.ahead, self.begun, self.saved = 1, False, time.perf_counter()
        recipe = job.recipe
        self.first, self.total = recipe.initial_epoch, recipe.epochs - recipe.initial_epoch
        self.rules = (*watcher.stopping, *([] if recipe.stopping is None else [recipe.stopping]))
        self.keeper = next((rule for rule in self.rules if rule.keeps), None)
        if self.best is not None and self.keeper is not None:
            self.history.best = self.rows[self.keeper.best(self.rows) or 0]["epoch"]
        if start.finished or (self.rows and self._enough()):
            self.total = len(self.rows)

    @property
    def epoch(self) -> int:
        """The index of the next epoch."""
        return self.first + len(self.rows)

    @property
    def ended(self) -> bool:
        """Whether no epoch remains."""
        return len(self.rows) >= self.total

    def _enough(self) -> bool:
        return any(rule.ended(self.rows) for rule in self.rules)

    def begin(self) -> None:
        """Report an epoch's start to the callbacks, unless the epoch was interrupted and continues."""
        if not self.begun:
            changed = self.watcher.begin(self.epoch, self.state)
            self.state = self.state if self.round else changed
        self.begun = False

    def epochs(self) -> list[Ended]:
        """Run the next epoch, or several at once, and return their states and sums."""
        job = self.job
        count = min(self.ahead, self.total - len(self.rows)) if job.several else 1
        number = self.epoch + 1
        which = f"epoch {number}" if count == 1 else f"epochs {number} to {number + count - 1}"
        loss = f", loss {self.rows[-1]['loss']:.4g}" if self.rows else ""
        job.start(self.state, f"{self.watcher.run}: {which} of {self.first + self.total}{loss}")
        if count > 1:
            return job.epochs(self.state, count)
        ended = [job.epoch(self.state, self.round, self.sums, self._between)]
        self.round, self.sums = 0, None
        return ended

    def _between(self, state: TrainState, rounds: int, sums: Array) -> None:
        if self.keep is not None and time.perf_counter() - self.saved >= KEEP_SECONDS:
            self.keep(Progress(state, self.rows, self.best, self.job.machines, rounds, sums))
            self.saved = time.perf_counter()

    def goes_on(self) -> bool:
        """Report the start of an epoch that was computed in advance; return whether callbacks left it valid."""
        before, self.state = self.state, self.watcher.begin(self.epoch, self.state)
        self.begun = self.state is not before
        return not self.begun

    def accept(self, row: Row, state: TrainState) -> bool:
        """Record an epoch's result; return whether later epochs computed with it are still valid."""
        rate = self.job.rate(state)
        if rate is not None:
            row["learning_rate"] = rate
        self.rows.append(row)
        self.state = self.watcher.end(row, state)
        if row["loss"] < self.least:
            self.good, self.least = self.state, row["loss"]
        if self.keeper is not None and self.keeper.best(self.rows) == len(self.rows) - 1:
            self.history.best, self.best = row["epoch"], state
        if self.watcher.stop or self._enough():
            self.total = len(self.rows)
        return not self.ended and self.state is state

    def save(self) -> None:
        """Save the progress if the training has a checkpoint."""
        if self.keep is not None:
            self.keep(Progress(self.state, self.rows, self.best, self.job.machines, finished=self.ended))
            self.saved = time.perf_counter()

    def look_ahead(self, ended: Sequence[Ended], seconds: float) -> None:
        """Choose how many epochs to run at once next: more if starting the last ones took longer than computing."""
        count, slowest = len(ended), self.job.slowest
        size = 2 * count * (1 + len(self.state.slots)) * self.state.theta.nbytes
        if self.state is not ended[-1][0]:
            self.ahead = 1
        elif seconds > 1.2 * slowest and 2 * slowest <= AHEAD_SECONDS and size <= AHEAD_BYTES:
            self.ahead = min(2 * count, AHEAD)

    def diverged(self, bad: TrainState, epoch: int, what: str) -> DivergenceError:
        """Return the DivergenceError to raise, after keeping the better of the last good and the initial weights."""
        before, after = self._losses(self.good)
        better = after <= before and not np.array_equal(self.good.theta, self.origin.theta)
        when = f"after {self.good.epoch - self.origin.epoch} epoch(s)" if better else "from before the training"
        rate = bad.used(self.job.compiled).rate(self.good.step + 1)
        error = divergence(self.job.objective.network, bad, epoch, what, when, rate)
        error.state = self.good if better else self.origin
        return error

    def _losses(self, state: TrainState) -> list[float]:
        """Return the loss of the training rows at the initial state and at `state`."""
        objective = replace(self.job.objective, metrics=())
        with np.errstate(over="ignore", invalid="ignore"):
            found = scores(self.job.engine, objective, [self.origin.weights(), state.weights()])
        return [means["loss"] for means in found]

    def result(self) -> tuple[TrainState, History]:
        """Return the final state and the history; raise DivergenceError if the training diverged."""
        state = self.best or self.state
        if self.rows and (self.job.broke or looks_diverged(self.rows[-1]["loss"], state.weights())):
            before, after = self._losses(state)
            beyond = [row["epoch"] for row in self.rows if not within_bounds(row["loss"], before)]
            last = self.rows[-1]["epoch"]
            stuck = np.array_equal(state.theta, self.origin.theta) and (self.job.broke or last in beyond)
            if stuck or not within_bounds(after, before):
                what = "rose at every step that was tried" if stuck else f"has risen from {before:.4g} to {after:.4g}"
                raise self.diverged(state, [*beyond, last][0], what)
        machines = self.history.machines = self.job.machines
        if len(machines) > 1:
            dtype = state.theta.dtype
            warnings.warn(
                "several kinds of CPU or BLAS computed the weights, so another run may differ in the last bits: in "
                f"{dtype} by up to {APART[dtype.name]:g} of the largest weight after one epoch of a small network, "
                f"and by more after each further epoch: {sorted(machines)}",
                stacklevel=4,
            )
        return state, self.history

"""The one training loop: rounds out, partials in, state forward, one history row an epoch.

It knows neither arrays nor frames, only an engine that maps; so every strategy runs unchanged everywhere, and what
runs in process is the reference for what runs on Spark.
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
from firesteel.train.stopping import bearable, diverged, suspect

__all__ = ["train"]

APART = {"float32": 1e-4, "float64": 1e-10}
"""How far apart two kinds' weights may be after an epoch, as a share of the largest; one network is tested for it."""
AHEAD = 64
"""The most epochs in one job, where a shard is alone and a job costs much compared with what it computes."""
AHEAD_SECONDS = 5.0
"""The most that they may compute: what a lost worker costs, and how long nothing is reported."""
AHEAD_BYTES = 8 << 20
"""The most that the states of such epochs may take on their way to the driver."""
KEEP_SECONDS = 60.0
"""How long an epoch goes on before progress is kept between two of its rounds."""


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
    """Train until the recipe's last epoch, or until a rule or the watcher says so.

    Args:
        engine: Holds the rows to train on.
        objective: The network, its loss and its metrics.
        optimizer: What it was compiled with.
        start: A state, or where a training was interrupted, whose epochs count.
        recipe: How to train.
        validation: Holds the rows held out.
        watcher: Is called for each epoch.
        keep: Called with the progress after each job that ends an epoch, and between the rounds of a long epoch.
        origin: What an interrupted training had begun from.

    Returns:
        The state after it, and what happened.

    Raises:
        DivergenceError: When the loss, the weights or the optimiser's moments are no longer finite, and when the loss
            of what would be returned is more than 1,000 times the initial one.  Its `state` attribute is that after
            the epoch of the least loss, or the one from before the training if that was better.
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
    """A training as it goes on: its state, the best one, its rows, and when it ends."""

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
        """The number of the epoch that comes next."""
        return self.first + len(self.rows)

    @property
    def ended(self) -> bool:
        """Whether there is no epoch to come."""
        return len(self.rows) >= self.total

    def _enough(self) -> bool:
        return any(rule.ended(self.rows) for rule in self.rules)

    def begin(self) -> None:
        """Call the watcher before an epoch; one that was broken off had begun already, and keeps its state."""
        if not self.begun:
            changed = self.watcher.begin(self.epoch, self.state)
            self.state = self.state if self.round else changed
        self.begun = False

    def epochs(self) -> list[Ended]:
        """Return what one job makes of the next epoch, or of several."""
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
        """Call the watcher before an epoch that is computed already; return whether that still holds."""
        before, self.state = self.state, self.watcher.begin(self.epoch, self.state)
        self.begun = self.state is not before
        return not self.begun

    def accept(self, row: Row, state: TrainState) -> bool:
        """Take an epoch's row and state; return whether epochs that were computed from there hold."""
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
        """Keep the progress, if it is kept."""
        if self.keep is not None:
            self.keep(Progress(self.state, self.rows, self.best, self.job.machines, finished=self.ended))
            self.saved = time.perf_counter()

    def look_ahead(self, ended: Sequence[Ended], seconds: float) -> None:
        """Choose how many epochs the next job runs: more where the last one cost much more than it computed."""
        count, slowest = len(ended), self.job.slowest
        size = 2 * count * (1 + len(self.state.slots)) * self.state.theta.nbytes
        if self.state is not ended[-1][0]:
            self.ahead = 1
        elif seconds > 1.2 * slowest and 2 * slowest <= AHEAD_SECONDS and size <= AHEAD_BYTES:
            self.ahead = min(2 * count, AHEAD)

    def diverged(self, bad: TrainState, epoch: int, what: str) -> DivergenceError:
        """Return what is raised, with the best state that is known: `good`, unless its own last steps broke it."""
        before, after = self._losses(self.good)
        better = after <= before and not np.array_equal(self.good.theta, self.origin.theta)
        when = f"after {self.good.epoch - self.origin.epoch} epoch(s) of it" if better else "from before the training"
        rate = bad.used(self.job.compiled).rate(self.good.step + 1)
        error = diverged(self.job.objective.network, bad, epoch, what, when, rate)
        error.state = self.good if better else self.origin
        return error

    def _losses(self, state: TrainState) -> list[float]:
        """Return the loss of the training rows before the training, and at a state."""
        objective = replace(self.job.objective, metrics=())
        with np.errstate(over="ignore", invalid="ignore"):
            found = scores(self.job.engine, objective, [self.origin.weights(), state.weights()])
        return [means["loss"] for means in found]

    def result(self) -> tuple[TrainState, History]:
        """Return the state to be kept and the history.  Raises DivergenceError where that is worth nothing."""
        state = self.best or self.state
        if self.rows and (self.job.broke or suspect(self.rows[-1]["loss"], state.weights())):
            before, after = self._losses(state)
            ruined = [row["epoch"] for row in self.rows if not bearable(row["loss"], before)]
            last = self.rows[-1]["epoch"]
            stuck = np.array_equal(state.theta, self.origin.theta) and (self.job.broke or last in ruined)
            if stuck or not bearable(after, before):
                what = "rose at every step that was tried" if stuck else f"has risen from {before:.4g} to {after:.4g}"
                raise self.diverged(state, [*ruined, last][0], what)
        machines = self.history.machines = self.job.machines
        if len(machines) > 1:
            dtype = state.theta.dtype
            warnings.warn(
                "the weights were computed by more than one kind of CPU or BLAS, so another run may differ in the "
                f"last bits, in {dtype} by up to {APART[dtype.name]:g} of the largest weight after an epoch of a "
                f"small network, and by more with each further one: {sorted(machines)}",
                stacklevel=4,
            )
        return state, self.history

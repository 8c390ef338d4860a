"""Schedules: the learning rate as a function of the steps taken, frozen numbers with one method, `at`.

Steps are counted over all shards together and from 0; where shards train apart, each step of one counts for all.
`optimizers.py` asks for the rate of each step.
"""

import math

from firesteel.core.spec import Spec, choice, finite, flag, number, numbers, resolver
from firesteel.errors import ConfigError

__all__ = [
    "CosineDecay",
    "CosineDecayRestarts",
    "ExponentialDecay",
    "InverseTimeDecay",
    "PiecewiseConstantDecay",
    "PolynomialDecay",
    "Schedule",
]

FIRST = "it is the rate of the first step"
LENGTH = "it is the number of steps that the decay is measured in"


class Schedule(Spec):
    """Base of schedules."""

    def at(self, step: float) -> float:
        """Return the learning rate of a step, counted from 0."""
        raise NotImplementedError

    def __call__(self, step: float) -> float:
        """Return what `at` returns.  Raises ConfigError for what is no number.

        >>> InverseTimeDecay(0.1, decay_steps=1, decay_rate=0.5)(2)
        0.05
        """
        if not math.isfinite(number := finite(step)):
            raise ConfigError(f"step={step!r}: it must be a number", code="config-value")
        return self.at(number)


class ExponentialDecay(Schedule):
    """rate(t) = initial_learning_rate decay_rate^(t / decay_steps); in a staircase, the exponent is rounded down.

    >>> ExponentialDecay(0.1, decay_steps=100, decay_rate=0.5).at(200)
    0.025
    """

    initial_learning_rate: float = number(low=0.0, why=FIRST)
    decay_steps: float = number(above=0.0, why=LENGTH)
    decay_rate: float = number(above=0.0, why="it is what the rate is multiplied by")
    staircase: bool = flag(False)

    def at(self, step: float) -> float:
        passed = step / self.decay_steps
        return float(
            self.initial_learning_rate * self.decay_rate ** (math.floor(passed) if self.staircase else passed)
        )


class InverseTimeDecay(Schedule):
    """rate(t) = initial_learning_rate / (1 + decay_rate t / decay_steps); in a staircase, t / decay_steps is whole.

    >>> InverseTimeDecay(0.1, decay_steps=1, decay_rate=0.5).at(2)
    0.05
    """

    initial_learning_rate: float = number(low=0.0, why=FIRST)
    decay_steps: float = number(above=0.0, why=LENGTH)
    decay_rate: float = number(low=0.0, why="it is how fast the divisor grows")
    staircase: bool = flag(False)

    def at(self, step: float) -> float:
        passed = step / self.decay_steps
        return self.initial_learning_rate / (1 + self.decay_rate * (passed // 1 if self.staircase else passed))


class PolynomialDecay(Schedule):
    """rate(t) = (initial_learning_rate - end_learning_rate) (1 - t / decay_steps)^power + end_learning_rate.

    After decay_steps it stays at the end; with `cycle`, decay_steps is doubled, tripled and so on instead.

    >>> PolynomialDecay(0.1, decay_steps=10, end_learning_rate=0.0).at(5)
    0.05
    """

    initial_learning_rate: float = number(low=0.0, why=FIRST)
    decay_steps: float = number(above=0.0, why=LENGTH)
    end_learning_rate: float = number(0.0001, low=0.0, why="it is the rate at the end")
    power: float = number(1.0, above=0.0, why="it bends the way there")
    cycle: bool = flag(False)

    def at(self, step: float) -> float:
        length = self.decay_steps * max(1, math.ceil(step / self.decay_steps)) if self.cycle else self.decay_steps
        left = 1 - min(step, length) / length
        return float(
            (self.initial_learning_rate - self.end_learning_rate) * left**self.power + self.end_learning_rate
        )


def _cosine(passed: float, alpha: float) -> float:
    """Return what is left of a rate after a share of its decay: from 1 down to alpha along half a cosine."""
    return (1 - alpha) * 0.5 * (1 + math.cos(math.pi * passed)) + alpha


class CosineDecay(Schedule):
    """rate(t) = top ((1 - alpha) (1 + cos(pi t / decay_steps)) / 2 + alpha), and alpha top after decay_steps.

    top is initial_learning_rate; or warmup_target, to which the rate first climbs in a line over warmup_steps.

    >>> CosineDecay(0.0, decay_steps=100, warmup_target=0.1, warmup_steps=10).at(5)
    0.05

    Source: Loshchilov and Hutter 2017, "SGDR", equation 5; the warm-up is that of Goyal et al. 2017.
    """

    initial_learning_rate: float = number(low=0.0, why=FIRST)
    decay_steps: float = number(above=0.0, why=LENGTH)
    alpha: float = number(0.0, low=0.0, why="it is the share of the rate that is left at the end")
    warmup_target: float | None = number(None, low=0.0, why="it is the rate after the warm-up")
    warmup_steps: float = number(0.0, low=0.0, why="it is the number of steps of the warm-up")

    def at(self, step: float) -> float:
        top = self.initial_learning_rate
        if self.warmup_target is not None:
            if step < self.warmup_steps:
                return top + (self.warmup_target - top) * step / self.warmup_steps
            top, step = self.warmup_target, step - self.warmup_steps
        return top * _cosine(min(step, self.decay_steps) / self.decay_steps, self.alpha)


class CosineDecayRestarts(Schedule):
    """Cosine decays one after another: each t_mul times as long as the one before, from m_mul times its rate.

    >>> schedule = CosineDecayRestarts(0.1, first_decay_steps=10, m_mul=0.5)
    >>> [schedule.at(step) for step in (0, 10, 30)]
    [0.1, 0.05, 0.025]

    Source: Loshchilov and Hutter 2017, "SGDR".
    """

    initial_learning_rate: float = number(low=0.0, why=FIRST)
    first_decay_steps: float = number(above=0.0, why=LENGTH)
    t_mul: float = number(2.0, low=1.0, why="it is how much longer each decay is")
    m_mul: float = number(1.0, low=0.0, why="it is what the rate restarts at")
    alpha: float = number(0.0, low=0.0, why="it is the share of the rate that is left at the end")

    def at(self, step: float) -> float:
        passed, length, restarts = step, self.first_decay_steps, 0
        if self.t_mul == 1.0:
            restarts = int(passed // length)
            passed -= restarts * length
        while passed >= length:
            passed, length, restarts = passed - length, length * self.t_mul, restarts + 1
        share = self.m_mul**restarts * 0.5 * (1 + math.cos(math.pi * passed / length))
        return float(self.initial_learning_rate * ((1 - self.alpha) * share + self.alpha))


class PiecewiseConstantDecay(Schedule):
    """rate(t) = values[0] up to step boundaries[0], then values[1] up to boundaries[1], and so on.

    Raises ConfigError unless there is one value more than boundaries, and these rise.

    >>> PiecewiseConstantDecay([10, 20], [0.1, 0.01, 0.001]).at(11)
    0.01
    """

    boundaries: tuple[float, ...] = numbers(low=0.0, why="each is the last step of a rate")
    values: tuple[float, ...] = numbers(low=0.0, why="each is a rate")

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.values) != len(self.boundaries) + 1 or list(self.boundaries) != sorted(set(self.boundaries)):
            raise ConfigError(
                f"boundaries {self.boundaries} and {len(self.values)} values: give boundaries that rise, and one "
                "value more",
                code="config-value",
            )

    def at(self, step: float) -> float:
        return self.values[sum(step > boundary for boundary in self.boundaries)]


def _schedule(given: object) -> Schedule:
    schedule: Schedule = given if isinstance(given, Schedule) else get(given)
    return schedule


class Stretched(Schedule):
    """factor schedule(pace t): another schedule, for shards each of whose steps counts for `pace`.

    >>> Stretched(ExponentialDecay(0.1, 100, 0.5), factor=2.0, pace=50.0).at(2)
    0.1
    """

    schedule: Schedule = choice(ExponentialDecay(0.01, 1000.0, 0.9), _schedule)
    factor: float = number(1.0, low=0.0, why="it multiplies the rate")
    pace: float = number(1.0, above=0.0, why="it multiplies the step")

    def at(self, step: float) -> float:
        return self.factor * self.schedule.at(self.pace * step)


SCHEDULES: dict[str, Spec] = {
    "cosine_decay": CosineDecay(0.01, 1000.0),
    "cosine_decay_restarts": CosineDecayRestarts(0.01, 1000.0),
    "exponential_decay": ExponentialDecay(0.01, 1000.0, 0.9),
    "inverse_time_decay": InverseTimeDecay(0.01, 1000.0, 1.0),
    "piecewise_constant_decay": PiecewiseConstantDecay((1000.0,), (0.01, 0.001)),
    "polynomial_decay": PolynomialDecay(0.01, 1000.0),
    "stretched": Stretched(),
}
"""An example of each schedule: what a saved optimiser may name, and what the test tables run over."""

get = resolver("a schedule", Schedule, SCHEDULES)

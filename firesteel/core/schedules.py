"""Learning-rate schedules: immutable settings with one method, `at`, the learning rate of a step.

Steps are counted from 0, over all shards together: where shards train separately, each of their steps counts once for
every shard.
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

FIRST = "the first step has this learning rate"
LENGTH = "the decay takes this many steps"


class Schedule(Spec):
    """Base class of learning-rate schedules.

    A schedule of your own is a subclass with a method `at`; its fields are its arguments.

    Example:
        >>> from firesteel.optimizers.schedules import Schedule
        >>> class InverseRoot(Schedule):
        ...     def at(self, step):
        ...         return 0.1 / (1 + step) ** 0.5
        >>> InverseRoot()(3)
        0.05
    """

    def at(self, step: float) -> float:
        """Return the learning rate of a step.

        Args:
            step: The step, counted from 0.
        """
        raise NotImplementedError

    def __call__(self, step: float) -> float:
        """Return the learning rate of a step, as `at` does.

        Args:
            step: The step, counted from 0.

        Raises:
            ConfigError: If the step is not a finite number (`config-value`).

        Example:
            >>> InverseTimeDecay(0.1, decay_steps=1, decay_rate=0.5)(2)
            0.05
        """
        if not math.isfinite(number := finite(step)):
            raise ConfigError(f"step={step!r}: step must be a finite number", code="config-value")
        return self.at(number)


class ExponentialDecay(Schedule):
    """Exponential decay of the learning rate.

    `rate(t) = initial_learning_rate decay_rate^(t / decay_steps)` at step t.

    Args:
        initial_learning_rate: The rate of the first step, at least 0.
        decay_steps: The number of steps in which the rate is multiplied by `decay_rate` once, above 0.
        decay_rate: The factor, above 0.
        staircase: Whether to round t / decay_steps down, so that the rate falls in steps.

    Example:
        >>> from firesteel.optimizers.schedules import ExponentialDecay
        >>> ExponentialDecay(0.1, decay_steps=100, decay_rate=0.5)(200)
        0.025
    """

    initial_learning_rate: float = number(low=0.0, why=FIRST)
    decay_steps: float = number(above=0.0, why=LENGTH)
    decay_rate: float = number(above=0.0, why="decay_rate is the factor by which the learning rate falls")
    staircase: bool = flag(False)

    def at(self, step: float) -> float:
        passed = step / self.decay_steps
        return float(
            self.initial_learning_rate * self.decay_rate ** (math.floor(passed) if self.staircase else passed)
        )


class InverseTimeDecay(Schedule):
    """Inverse time decay of the learning rate.

    `rate(t) = initial_learning_rate / (1 + decay_rate t / decay_steps)` at step t.

    Args:
        initial_learning_rate: The rate of the first step, at least 0.
        decay_steps: The number of steps in which the divisor grows by `decay_rate`, above 0.
        decay_rate: How fast the divisor grows, at least 0.
        staircase: Whether to round t / decay_steps down, so that the rate falls in steps.

    Example:
        >>> from firesteel.optimizers.schedules import InverseTimeDecay
        >>> InverseTimeDecay(0.1, decay_steps=1, decay_rate=0.5)(2)
        0.05
    """

    initial_learning_rate: float = number(low=0.0, why=FIRST)
    decay_steps: float = number(above=0.0, why=LENGTH)
    decay_rate: float = number(low=0.0, why="decay_rate is how fast the divisor of the learning rate grows")
    staircase: bool = flag(False)

    def at(self, step: float) -> float:
        passed = step / self.decay_steps
        return self.initial_learning_rate / (1 + self.decay_rate * (passed // 1 if self.staircase else passed))


class PolynomialDecay(Schedule):
    """Polynomial decay of the learning rate.

    `rate(t) = (initial_learning_rate - end_learning_rate) (1 - t / decay_steps)^power + end_learning_rate` at step t,
    and end_learning_rate after decay_steps.

    Args:
        initial_learning_rate: The rate of the first step, at least 0.
        decay_steps: The number of steps until the rate is `end_learning_rate`, above 0.
        end_learning_rate: The rate at the end, at least 0.
        power: The power, above 0; 1 is a straight line.
        cycle: Whether to restart instead of staying at the end: decay_steps counts double after one decay, triple
            after two, and so on.

    Example:
        >>> from firesteel.optimizers.schedules import PolynomialDecay
        >>> PolynomialDecay(0.1, decay_steps=10, end_learning_rate=0.0)(5)
        0.05
    """

    initial_learning_rate: float = number(low=0.0, why=FIRST)
    decay_steps: float = number(above=0.0, why=LENGTH)
    end_learning_rate: float = number(0.0001, low=0.0, why="end_learning_rate is the learning rate after the decay")
    power: float = number(1.0, above=0.0, why="power is the exponent of the share of steps that remain")
    cycle: bool = flag(False)

    def at(self, step: float) -> float:
        length = self.decay_steps * max(1, math.ceil(step / self.decay_steps)) if self.cycle else self.decay_steps
        left = 1 - min(step, length) / length
        return float(
            (self.initial_learning_rate - self.end_learning_rate) * left**self.power + self.end_learning_rate
        )


def _cosine(passed: float, alpha: float) -> float:
    """Return the remaining share of a learning rate, along half a cosine from 1 to alpha.  passed: 0 to 1."""
    return (1 - alpha) * 0.5 * (1 + math.cos(math.pi * passed)) + alpha


class CosineDecay(Schedule):
    """Cosine decay of the learning rate, with an optional linear warm-up.

    `rate(t) = top ((1 - alpha) (1 + cos(pi t / decay_steps)) / 2 + alpha)` at step t, and `alpha top` after
    decay_steps.  `top` is initial_learning_rate.  With `warmup_target` the rate first rises from
    initial_learning_rate to warmup_target in warmup_steps; then `top` is warmup_target, and t counts from the end of
    the warm-up.

    Args:
        initial_learning_rate: The rate of the first step, at least 0.
        decay_steps: The number of steps of the decay, without the warm-up; above 0.
        alpha: The share of the rate that is left at the end, at least 0.
        warmup_target: The rate after the warm-up, at least 0; None for no warm-up.
        warmup_steps: The number of steps of the warm-up, at least 0.

    Example:
        >>> from firesteel.optimizers.schedules import CosineDecay
        >>> schedule = CosineDecay(0.0, decay_steps=100, warmup_target=0.1, warmup_steps=10)
        >>> schedule(5), schedule(10), schedule(110)
        (0.05, 0.1, 0.0)

    Source: Loshchilov and Hutter 2017, "SGDR", equation 5; the warm-up is that of Goyal et al. 2017.
    """

    initial_learning_rate: float = number(low=0.0, why=FIRST)
    decay_steps: float = number(above=0.0, why=LENGTH)
    alpha: float = number(0.0, low=0.0, why="alpha is the share of the learning rate that is left at the end")
    warmup_target: float | None = number(None, low=0.0, why="warmup_target is the learning rate after the warm-up")
    warmup_steps: float = number(0.0, low=0.0, why="warmup_steps is the number of steps of the warm-up")

    def at(self, step: float) -> float:
        top = self.initial_learning_rate
        if self.warmup_target is not None:
            if step < self.warmup_steps:
                return top + (self.warmup_target - top) * step / self.warmup_steps
            top, step = self.warmup_target, step - self.warmup_steps
        return top * _cosine(min(step, self.decay_steps) / self.decay_steps, self.alpha)


class CosineDecayRestarts(Schedule):
    """Cosine decay with warm restarts: one cosine decay after another.

    Decay number i, counted from 0, takes `first_decay_steps t_mul^i` steps and starts at
    `initial_learning_rate ((1 - alpha) m_mul^i + alpha)`.

    Args:
        initial_learning_rate: The rate of the first step, at least 0.
        first_decay_steps: The number of steps of the first decay, above 0.
        t_mul: How many times longer each decay is than the one before, at least 1.
        m_mul: The factor by which the rate at each restart is lower than at the one before, at least 0.
        alpha: The share of initial_learning_rate that is left at the end of each decay, at least 0.

    Example:
        >>> from firesteel.optimizers.schedules import CosineDecayRestarts
        >>> schedule = CosineDecayRestarts(0.1, first_decay_steps=10, t_mul=2.0, m_mul=0.5)
        >>> [schedule(step) for step in (0, 10, 30)]
        [0.1, 0.05, 0.025]

    Source: Loshchilov and Hutter 2017, "SGDR".
    """

    initial_learning_rate: float = number(low=0.0, why=FIRST)
    first_decay_steps: float = number(above=0.0, why=LENGTH)
    t_mul: float = number(2.0, low=1.0, why="t_mul is the length of a decay relative to the one before")
    m_mul: float = number(1.0, low=0.0, why="m_mul is the factor of the learning rate at each restart")
    alpha: float = number(0.0, low=0.0, why="alpha is the share of the learning rate that is left at the end")

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
    """A piecewise constant learning rate, which changes at given steps.

    `rate(t) = values[0]` for t <= boundaries[0], then values[1] for t <= boundaries[1], and so on; the last value
    after the last boundary.

    Args:
        boundaries: The last step of each rate but the last one, in ascending order; at least 0.
        values: The rates, one more than boundaries; at least 0.

    Raises:
        ConfigError: Unless the boundaries ascend and there is one more value than boundaries (`config-value`).

    Example:
        >>> from firesteel.optimizers.schedules import PiecewiseConstantDecay
        >>> schedule = PiecewiseConstantDecay([10, 20], [0.1, 0.01, 0.001])
        >>> schedule(10), schedule(11), schedule(21)
        (0.1, 0.01, 0.001)
    """

    boundaries: tuple[float, ...] = numbers(low=0.0, why="each boundary is the last step with one learning rate")
    values: tuple[float, ...] = numbers(low=0.0, why="each is a rate")

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.values) != len(self.boundaries) + 1 or list(self.boundaries) != sorted(set(self.boundaries)):
            raise ConfigError(
                f"boundaries={self.boundaries} with {len(self.values)} values: boundaries must ascend, and there "
                f"must be {len(self.boundaries) + 1} values, one more than boundaries",
                code="config-value",
            )

    def at(self, step: float) -> float:
        return self.values[sum(step > boundary for boundary in self.boundaries)]


def _schedule(given: object) -> Schedule:
    schedule: Schedule = given if isinstance(given, Schedule) else get(given)
    return schedule


class Stretched(Schedule):
    """Multiplies another schedule's rate, and stretches its steps, for training on several shards.

    `rate(t) = factor schedule(pace t)` at step t.

    Args:
        schedule: The schedule.
        factor: The factor of the rate, at least 0.
        pace: The factor of the step, above 0.

    Example:
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
"""An example of each schedule: the classes that saved optimizers may name, and that the tests run over."""

get = resolver("a schedule", Schedule, SCHEDULES)

"""Learning-rate schedules, under Keras's names; an optimizer takes one as its `learning_rate`.

Example:
    >>> from firesteel.optimizers import SGD
    >>> from firesteel.optimizers.schedules import ExponentialDecay
    >>> SGD(ExponentialDecay(0.1, decay_steps=100, decay_rate=0.5)).rate(101)
    0.05
"""

from firesteel.core import schedules as core
from firesteel.core.schedules import *  # noqa: F403

__all__ = core.__all__

"""Checks for layers, losses and networks, ours and users' own: is the derivative right, are the bits the same?

Both are what firesteel's own tests run over everything in its registries.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from firesteel.core.network import Objective
from firesteel.core.seeds import rng_for, stream_for
from firesteel.core.types import Array, Stream

__all__ = ["check_gradient", "check_same_bits"]


def check_gradient(
    objective: Objective, x: Any, y: Any, w: Any = None, *, theta: Array | None = None, tolerance: float = 1e-6
) -> float:
    """Compare the gradient of an objective with central differences; return the worst relative error.

    x: (B, I)  y: (B, T)  w: (B,), ones if not given.  Everything is computed in float64, for every parameter by
    itself and along one random direction.  Raises AssertionError above `tolerance`.

    >>> from firesteel.core import losses
    >>> from firesteel.core.network import Network
    >>> from firesteel.layers import Dense
    >>> network = Network.chain((Dense(3, "tanh"), Dense(1)), inputs=2, dtype="float64")
    >>> error = check_gradient(Objective(network, losses.get("mse")), [[0.5, -1.0]], [[2.0]])
    >>> error < 1e-6
    True
    """
    network = objective.network
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    w = np.ones(len(x)) if w is None else np.asarray(w, np.float64)
    theta = network.init(0).astype(np.float64) if theta is None else theta

    def random(op: int) -> Stream:
        return stream_for(0, "check", op)

    def value(at: Array) -> float:
        scratch = network.layout.views(np.zeros_like(at))
        return float(objective.learn(network.layout.views(at), x, y, w, 1.0, random, scratch)[0])

    gradient = np.zeros_like(theta)
    objective.learn(network.layout.views(theta), x, y, w, 1.0, random, network.layout.views(gradient))
    for where, _ in network.statistics:  # there it says what was met; no loss in training depends on them
        gradient[where] = 0
    step = 1e-6
    directions = [*np.eye(len(theta)), rng_for(0, "direction").standard_normal(len(theta))]
    worst = 0.0
    for u in directions:
        slope = (value(theta + step * u) - value(theta - step * u)) / (2 * step)
        error = abs(slope - gradient @ u) / max(1.0, abs(slope))
        assert error <= tolerance, f"along {u}: the difference is {slope}, the gradient says {gradient @ u}"
        worst = max(worst, error)
    return float(worst)


def check_same_bits(runs: Sequence[Callable[[], str]]) -> str:
    """Call every run and return the fingerprint that all of them gave.

    runs: functions that train and return `model.fingerprint()`.  Raises AssertionError where two differ.

    >>> check_same_bits([lambda: "abc", lambda: "abc"])
    'abc'
    """
    found = [run() for run in runs]
    assert len(set(found)) == 1, f"{len(set(found))} different results from {len(found)} runs: {found}"
    return found[0]

"""Steps of optimizers: what their `step` does in NumPy."""

import math
from typing import Any

from firesteel.core.types import Array

__all__ = ["adam"]


def adam(theta: Array, g: Array, m: Array, v: Array, b1: Any, b2: Any, epsilon: Any, rate: Any) -> None:
    """Take the step of `Adam.step`; all vectors (P,), all numbers of their dtype."""
    for i in range(theta.size):
        m[i] = m[i] * b1 + g[i]
        v[i] = v[i] * b2 + g[i] * g[i]
        theta[i] -= m[i] / (math.sqrt(v[i]) + epsilon) * rate

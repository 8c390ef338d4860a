"""Losses, under Keras's names, and also the half sum of squares, quantiles and standardized losses.

`compile(loss=...)` takes an object (`Huber(delta=2.0)`), its name ("huber") or its function (`huber`).  The function
`huber(y_true, y_pred)` returns the loss of each row of arrays.

Example:
    >>> from firesteel import losses
    >>> losses.Huber(delta=2.0)([[0.0]], [[3.0]])
    4.0
    >>> losses.mse([[0.0], [0.0]], [[3.0], [1.0]])
    array([9., 1.])
"""

from firesteel.core import losses as core
from firesteel.core.losses import *  # noqa: F403
from firesteel.core.losses import LOSSES, function_of, get

deserialize, serialize = get, core.Loss.to_config
globals().update({name: function_of(name, get(name)) for name in LOSSES})

__all__ = [*core.__all__, *LOSSES, "deserialize", "get", "serialize"]

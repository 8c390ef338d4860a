"""Losses under Keras's names, and also the half sum of squares, quantiles and standardized losses.

Each is also a function of arrays under the name that `compile` takes: `mean_squared_error(y_true, y_pred)` returns
the loss of each row, and `compile(loss=mean_squared_error)` takes it.
"""

from firesteel.core import losses as core
from firesteel.core.losses import *  # noqa: F403
from firesteel.core.losses import LOSSES, function_of, get

deserialize, serialize = get, core.Loss.to_config
globals().update({name: function_of(name, get(name)) for name in LOSSES})

__all__ = [*core.__all__, *LOSSES, "deserialize", "get", "serialize"]

"""Callbacks: hooks called during training, under Keras's names; `Callback` is the base class of your own.

`TensorBoard` and `MlflowCallback` need a further package each, imported when the callback is constructed.
"""

from firesteel._console import Progbar as ProgbarLogger
from firesteel.mlflow import MlflowCallback
from firesteel.tensorboard import TensorBoard
from firesteel.train import callbacks, observers, savers
from firesteel.train.callbacks import *  # noqa: F403
from firesteel.train.observers import *  # noqa: F403
from firesteel.train.observers import Recorder as History
from firesteel.train.savers import *  # noqa: F403

__all__ = [*callbacks.__all__, *observers.__all__, *savers.__all__]
__all__ += ["History", "MlflowCallback", "ProgbarLogger", "TensorBoard"]

"""Callbacks under the names and hooks that Keras gave them; `Callback` is the base of one's own.

`TensorBoard` and `MlflowCallback` need a package of their own, which is imported when one of them is made.
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

"""Callbacks under the names and hooks that Keras gave them; `Callback` is the base of one's own.

`TensorBoard` and `MlflowCallback` need a package of their own, which is imported when one of them is made.
"""

from firesteel.mlflow import MlflowCallback
from firesteel.tensorboard import TensorBoard
from firesteel.train.callbacks import (
    BoldDriver,
    Callback,
    EarlyStopping,
    LambdaCallback,
    LearningRateScheduler,
    ReduceLROnPlateau,
    TerminateOnNaN,
)
from firesteel.train.savers import BackupAndRestore, CSVLogger, ModelCheckpoint

__all__ = [
    "BackupAndRestore",
    "BoldDriver",
    "CSVLogger",
    "Callback",
    "EarlyStopping",
    "LambdaCallback",
    "LearningRateScheduler",
    "MlflowCallback",
    "ModelCheckpoint",
    "ReduceLROnPlateau",
    "TensorBoard",
    "TerminateOnNaN",
]

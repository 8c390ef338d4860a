"""Floor 2: Spark.  The only folder that imports pyspark or pandas; everything below it works without Java."""

import importlib
from typing import Any

from firesteel.errors import SparkSetupError
from firesteel.spark.session import session

__all__ = ["NeuralNetworkClassificationModel", "NeuralNetworkClassifier", "session"]

STAGES = ("NeuralNetworkClassificationModel", "NeuralNetworkClassifier")


def __getattr__(name: str) -> Any:
    """Import Spark's stages when they are first asked for: executors, and a missing pyspark, do without."""
    if name in STAGES:
        try:
            return getattr(importlib.import_module("firesteel.spark.estimator"), name)
        except ModuleNotFoundError as error:
            raise SparkSetupError(
                f'{name} needs {error.name}, not installed here: pip install "firesteel[spark]"', code="spark-missing"
            ) from None
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

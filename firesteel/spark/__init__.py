"""Floor 2: Spark.  The only folder that imports pyspark or pandas; everything below it works without Java."""

import importlib
from typing import Any

__all__ = ["NeuralNetworkClassificationModel", "NeuralNetworkClassifier", "session"]

HOMES = {
    "NeuralNetworkClassificationModel": "firesteel.spark.estimator",
    "NeuralNetworkClassifier": "firesteel.spark.estimator",
    "session": "firesteel.spark.session",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for, so that executors need not import Spark's stages."""
    if name in HOMES:
        return getattr(importlib.import_module(HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

"""Floor 2: Spark.  The only folder that imports pyspark or pandas; everything below it works without Java."""

import importlib
from typing import Any

from firesteel.errors import SparkSetupError
from firesteel.spark.session import session

LATER = dict.fromkeys(("NeuralNetworkClassifier", "NeuralNetworkRegressor"), "estimator")
LATER |= dict.fromkeys(("NeuralNetworkClassifierModel", "NeuralNetworkRegressorModel"), "model")
LATER |= dict.fromkeys(("Packed", "load_pack", "pack"), "packed")
"""What is imported when it is first asked for: executors, and a missing pyspark, do without."""

__all__ = ["session", *LATER]


def __getattr__(name: str) -> Any:
    """Import what needs pyspark when it is first asked for."""
    if name in LATER:
        try:
            return getattr(importlib.import_module(f"firesteel.spark.{LATER[name]}"), name)
        except ModuleNotFoundError as error:
            raise SparkSetupError(
                f'{name} needs {error.name}, not installed here: pip install "firesteel[spark]"', code="spark-missing"
            ) from None
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

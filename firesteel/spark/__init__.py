"""Floor 2: Spark.  The only folder that imports pyspark or pandas; everything below it works without Java."""

from typing import Any

from firesteel.errors import SparkSetupError, imported
from firesteel.spark.session import session

LATER = dict.fromkeys(("NeuralNetworkClassifier", "NeuralNetworkRegressor"), "estimator")
LATER |= dict.fromkeys(("NeuralNetworkClassifierModel", "NeuralNetworkRegressorModel"), "model")
LATER |= dict.fromkeys(("Packed", "load_pack", "pack"), "packed")
"""What is imported when it is first asked for: executors, and a missing pyspark, do without."""

__all__ = ["session", *LATER]


def __getattr__(name: str) -> Any:
    """Import what needs pyspark when it is first asked for."""
    if name in LATER:
        module = imported(f"firesteel.spark.{LATER[name]}", name, "spark", SparkSetupError, "spark-missing")
        return getattr(module, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

"""Spark ML stages, packed rows and a local session.

This is the only package of firesteel that imports pyspark; all others work without Java.
"""

from typing import Any

from firesteel.errors import SparkSetupError, imported
from firesteel.spark.session import session

LATER = dict.fromkeys(("NeuralNetworkClassifier", "NeuralNetworkRegressor"), "estimator")
LATER |= dict.fromkeys(("NeuralNetworkClassifierModel", "NeuralNetworkRegressorModel"), "model")
LATER |= dict.fromkeys(("Packed", "load_pack", "pack"), "packed")
"""Names that are imported at first use, so that the package can be imported without pyspark."""

__all__ = ["session", *LATER]


def __getattr__(name: str) -> Any:
    """Import a name that needs pyspark at its first use."""
    if name in LATER:
        module = imported(f"firesteel.spark.{LATER[name]}", name, "spark", SparkSetupError, "spark-missing")
        return getattr(module, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

"""firesteel: neural networks as native Spark ML stages, and the same networks on plain arrays.

Importing it costs NumPy alone: Spark, pandas and Java come in with `firesteel.spark`, and only there.
Start reading at `firesteel/core/layers/dense.py` (the mathematics), then `firesteel/train/rounds.py` (the training).
"""

import importlib
from typing import Any

__version__ = "0.2.0"

LATE = {
    "Input": "firesteel.layers",
    "Model": "firesteel.models",
    "Sequential": "firesteel.models",
    "register": "firesteel.extending",
}
"""What is imported when it is asked for: {name: its module}."""
MODULES = (
    *("activations", "callbacks", "constraints", "datasets", "initializers", "layers", "losses", "metrics", "models"),
    *("optimizers", "regularizers", "utils"),
)
"""Modules that are imported when they are asked for."""


def __getattr__(name: str) -> Any:
    if name in MODULES:
        return importlib.import_module(f"firesteel.{name}")
    if name not in LATE:
        raise AttributeError(f"module 'firesteel' has no attribute {name!r}")
    return getattr(importlib.import_module(LATE[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *LATE, *MODULES})

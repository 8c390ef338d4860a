"""Neural networks as native Spark ML stages, and the same networks on plain arrays, with identical bits.

Importing firesteel needs only NumPy.  Spark, pandas and Java are loaded by `firesteel.spark` alone.
To read the source, start at `firesteel/core/layers/dense.py` (the mathematics) and `firesteel/train/rounds.py`
(the training).
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
"""Names that are imported on first use, and their modules."""
MODULES = (
    *("activations", "callbacks", "constraints", "datasets", "initializers", "layers", "losses", "metrics", "models"),
    *("optimizers", "regularizers", "utils"),
)
"""Modules that are imported on first use."""


def __getattr__(name: str) -> Any:
    if name in MODULES:
        return importlib.import_module(f"firesteel.{name}")
    if name not in LATE:
        raise AttributeError(f"module 'firesteel' has no attribute {name!r}")
    return getattr(importlib.import_module(LATE[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *LATE, *MODULES})

"""The settings of a training as TOML, as `firesteel train FILE` reads them.

Code (functions, custom callbacks) cannot be written to TOML; the file names it, so that it is not taken as complete.
`folder.py` writes the settings; `firesteel/cli/config.py` reads them.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from firesteel import callbacks
from firesteel.core.layers import Layer, Table
from firesteel.core.spec import Spec
from firesteel.errors import without_secrets
from firesteel.models import Model
from firesteel.train.stopping import Stopping

FIT = (
    *("epochs", "batch_size", "validation_split", "shuffle", "class_weight", "initial_epoch"),
    *("strategy", "shards", "seed"),
)
"""Entries of `callback.params` that are settings."""
RULES = ("BoldDriver", "EarlyStopping", "ReduceLROnPlateau", "TerminateOnNaN")
NUMBERS_ALONE: dict[str, Any] = {name: getattr(callbacks, name) for name in RULES}
"""Callbacks that control training and that a file can describe."""


def described(
    model: Model,
    params: Mapping[str, Any],
    spark: bool,
    more: Mapping[str, Mapping[str, Any]],
    start: str | None,
) -> dict[str, Any]:
    """Return a training's settings as sections of TOML: model, fit, callbacks and others.

    Args:
        model: The model.
        params: The parameters of callbacks.
        spark: Whether the rows are on Spark.
        more: Settings that override these, by section.
        start: The file of the initial weights, unless they were drawn.
    """
    compiled, given = model.get_compile_config() or {}, params["callbacks"]
    rules = [{"type": type(one).__name__, **one.given} for one in given if type(one) in NUMBERS_ALONE.values()]
    data = {"train": "frame" if spark else "arrays", "rows": params["rows"], "inputs": model.network.inputs}
    training = {
        **compiled,
        **{name: params.get(name) for name in FIT},
        "evaluate_averaged": None if params["evaluate_averaged"] else False,
        "callbacks": [*_rule(params), *rules] or None,
        "code": [type(one).__name__ for one in [*given, model] if _is_code(one)] or None,
        "went_on": True if model.state.step else None,
    }
    sections = {
        "data": data,
        "model": {"dtype": model.network.dtype, "initial": start, "layers": layers_of(model) or None},
        "training": training,
        "engine": {"name": "spark" if spark else "local"},
    }
    for name, values in more.items():
        sections[name] = dict(values) if name == "data" else {**sections.get(name, {}), **values}
    found: dict[str, Any] = plain(sections)
    return found


def layers_of(model: Model) -> list[Layer]:
    """Return a model's layers, with `Table` layers not adapted; an empty list for a graph."""
    if not model.network.chained:
        return []
    first, *rest = model.network.layers
    if isinstance(first, Table) and model.schema is not None:
        first = replace(first, edges=(), plain=0, levels=())
    return [first, *rest]


def to_toml(sections: Mapping[str, Any]) -> str:
    """Return settings as TOML."""
    return f"# The settings of this run.  firesteel train config.toml repeats the training.\n{secretless(sections)}"


def secretless(sections: Mapping[str, Any]) -> str:
    """Return settings as TOML, with each secret hidden and a comment that says so."""
    import tomli_w

    clean = without_secrets(sections)
    left = [(name, key) for name, table in sections.items() for key in table if clean[name][key] != table[key]]
    notes = [
        f"# A secret is left out of [{name}] {key}: pass it in Spark's settings, or set the full value in "
        f"{variable(name, key)}.\n"
        for name, key in left
    ]
    return "".join([*notes, "\n", tomli_w.dumps(clean)])


def variable(section: str, key: str) -> str:
    """Return the name of the environment variable that overrides a setting."""
    return f"FIRESTEEL_{section}_{key}".upper()


def plain(value: Any) -> Any:
    """Convert a value to types that TOML has: objects to tables, keys to text, NumPy numbers to Python's.

    >>> plain({0: np.float32(0.5), "seed": None, "shape": (2, 3)})
    {'0': 0.5, 'shape': [2, 3]}
    """
    if isinstance(value, Spec):
        value = value.to_config()
    if isinstance(value, Mapping):
        return {str(name): plain(item) for name, item in value.items() if item is not None}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value.item() if isinstance(value, np.generic) else value


def _rule(params: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Convert the early stopping of a Spark stage to the equivalent `EarlyStopping` callback; None without it."""
    rule: Stopping | None = params["stopping"]
    if rule is None or (rule.patience is None and not rule.tolerance):
        return []
    found: dict[str, Any] = {
        "type": "EarlyStopping",
        "monitor": rule.monitor,
        "mode": "max" if rule.larger else "min",
    }
    found |= {"patience": rule.patience or params["epochs"], "min_delta": rule.min_delta, "baseline": rule.baseline}
    return [found | {"start_from_epoch": rule.start, "restore_best_weights": rule.restore}]


def _is_code(callback: callbacks.Callback | Model) -> bool:
    """Return whether a callback or model is Python code that a settings file cannot express."""
    if isinstance(callback, Model):
        return not callback.network.chained
    code = callbacks.LambdaCallback | callbacks.LearningRateScheduler
    return isinstance(callback, code) or not type(callback).__module__.startswith("firesteel.")

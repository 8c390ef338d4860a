"""The description of a planned training that `firesteel train --dry-run` prints.

It needs the rows and the network; nothing is trained.
"""

from typing import Any

import numpy as np

from firesteel.cli.training import TrainingPlan
from firesteel.core.network import Network
from firesteel.tables.schema import CategoryColumn, Schema, TableColumn, TimeColumn
from firesteel.train.blocks import n_blocks

MEBIBYTE = 2**20
MOST_SHOWN = 12
"""Greatest number of column or class names that are listed."""


def described(plan: TrainingPlan) -> dict[str, Any]:
    """Return the plan of a training as a JSON-serializable dictionary."""
    profile, network, how = plan.profile, plan.model.network, plan.config.training
    optimizer, size = plan.model.settings.optimizer, np.dtype(plan.config.model.dtype).itemsize
    shards, batch_size = plan.recipe.shards, plan.recipe.batch_size
    assert optimizer is not None and shards is not None
    steps = -(-profile.rows // (shards * batch_size)) if batch_size else 1
    spark = plan.training.columns is not None
    return {
        "data": plan.training.source,
        "rows": profile.rows,
        "held": profile.held,
        "test_rows": None if plan.test is None else count(plan.test.x),
        "inputs": profile.width,
        "features": None if plan.columns is None else list(plan.columns),
        "columns": None if plan.model.schema is None else of_columns(plan.model.schema),
        "task": plan.task.kind,
        "decided": plan.task.decision,
        "outputs": network.outputs,
        "classes": None if plan.task.classes is None else list(plan.task.classes),
        "loss": type(plan.task.loss).__name__,
        "layers": _layers(network),
        "parameters": network.layout.size,
        "memory": {
            "rows": (profile.rows + profile.held) * profile.width * size,
            "model": network.layout.size * size * (2 + len(optimizer.slots)) * (1 + shards),
        },
        "engine": "Spark" if spark else "in process",
        "shards": shards,
        "members": plan.members,
        "epochs": how.epochs - how.initial_epoch,
        "steps": steps,
        "jobs": _jobs(plan, shards) if spark else None,
        "advice": plan.model.advise(plan.source),
    }


def of_columns(schema: Schema) -> str:
    """Describe in one line which columns of a table are features, by kind, and which are left out.

    >>> from firesteel.tables.schema import CategoryColumn, NumberColumn
    >>> of_columns(Schema((NumberColumn("age"), CategoryColumn("city", ("Bern", "Rome"))), (("id", "one value"),)))
    'features: 1 number (age), 1 text (city); left out: one value (id)'
    """
    kinds, reasons = dict[str, list[str]](), dict[str, list[str]]()
    for column in schema.columns:
        kinds.setdefault(kind_of(column), []).append(column.name)
    for name, why in schema.left_out:
        reasons.setdefault(why, []).append(name)
    found = ", ".join(f"{counted(len(names), kind)} ({_some(names)})" for kind, names in kinds.items())
    left = ", ".join(f"{why} ({_some(names)})" for why, names in reasons.items())
    text = f"features: {found}" + (f"; left out: {left}" if left else "")
    return printable(text)


def printable(text: str) -> str:
    """Escape the control characters of a text, so that it cannot affect a terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def kind_of(column: TableColumn) -> str:
    """Return the kind of a table's column in one word."""
    if isinstance(column, CategoryColumn):
        return "name" if column.written else "text"
    return ("date" if column.kind == "date" else "time") if isinstance(column, TimeColumn) else "number"


def _layers(network: Network) -> list[str]:
    shown = []
    for layer in network.layers:
        numbers = (getattr(layer, name, None) for name in ("units", "activation", "rate", "scale"))
        shown.append(" ".join([type(layer).__name__, *(_short(value) for value in numbers if value is not None)]))
    return shown


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def count(x: Any) -> int:
    """Return the number of rows of an array or a DataFrame."""
    if isinstance(x, np.ndarray):
        return len(x)
    from firesteel.spark.files import count_rows

    return count_rows(x)


def _jobs(plan: TrainingPlan, shards: int) -> dict[str, int]:
    """Return how many Spark jobs each part of the training runs."""
    recipe, blocks = plan.recipe, n_blocks(plan.profile.rows, plan.profile.width)
    rounds = recipe.strategy.rounds(plan.profile.rows, recipe.batch_size, shards, blocks)
    return {
        "validate the rows": 1,
        "pack them": 2 if plan.profile.held else 1,
        "train": rounds * (recipe.epochs - recipe.initial_epoch),
        "evaluate the test part": 0 if plan.test is None else 3,
    }


def as_text(facts: dict[str, Any]) -> str:
    """Format the plan of a training as text."""
    memory, jobs, shards = facts["memory"], facts["jobs"], counted(facts["shards"], "shard")
    shards += f"; {facts['members']} members" if facts["members"] > 1 else ""
    held = f" to train on and {facts['held']:,} held out" if facts["held"] else ""
    test = f"; {facts['test_rows']:,} test rows" if facts["test_rows"] is not None else ""
    lines = {
        "data": f"{facts['data']}: {facts['rows']:,} rows{held}, {facts['inputs']:,} inputs{test}",
        "inputs": facts["columns"] or _some(facts["features"]),
        "label": facts["decided"],
        "task": f"{facts['task']}, {counted(facts['outputs'], 'output')}, {facts['loss']}",
        "classes": _some(facts["classes"]),
        "network": " > ".join(facts["layers"]),
        "parameters": f"{facts['parameters']:,}",
        "memory": f"rows at most {_mebibytes(memory['rows'])}, weights in training {_mebibytes(memory['model'])}",
        "training": f"{facts['engine']}, {facts['epochs']} epochs of {facts['steps']:,} steps, {shards}",
        "Spark jobs": None if jobs is None else ", ".join(f"{n} to {what}" for what, n in jobs.items() if n),
    }
    shown = [f"{name:<12}{text}" for name, text in lines.items() if text]
    return "\n".join([*shown, *(f"{'hint':<12}{hint}" for hint in facts["advice"])])


def counted(count: int, word: str) -> str:
    """Return a count with its noun in the singular or plural.

    >>> counted(1, "shard"), counted(2_000, "row")
    ('1 shard', '2,000 rows')
    """
    return f"{count:,} {word}{'' if count == 1 else 's'}"


def _some(names: list[str] | None) -> str | None:
    if names is None:
        return None
    more = f", ... ({len(names):,})" if len(names) > MOST_SHOWN else ""
    return ", ".join(names[:MOST_SHOWN]) + more


def _mebibytes(size: int) -> str:
    """Format a number of bytes in MiB.

    >>> _mebibytes(3 * 2**19)
    '1.5 MiB'
    """
    return f"{size / MEBIBYTE:,.1f} MiB"

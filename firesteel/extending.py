"""Classes of users' own: layers, losses, metrics, initializers, regularizers, constraints, optimizers, schedules.

Model files and checkpoints hold the names of classes, never code; `register` says which class a name means.
`docs/how-to/own-layer.md` shows how each is written.
"""

import json
import os
import threading
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar

import numpy as np

from firesteel.core import constraints, initializers, layers, losses, metrics, optimizers, regularizers, schedules
from firesteel.core.elsewhere import meant
from firesteel.core.layer import Param
from firesteel.core.spec import Spec, choice, flag, integer, number, numbers, optional, resolver, word
from firesteel.core.types import Array
from firesteel.errors import ConfigError
from firesteel.tables.words import WORDS

__all__ = ["Param", "choice", "flag", "integer", "number", "numbers", "optional", "read_weights", "register", "word"]

FAMILIES: dict[str, resolver] = {
    "Layer": layers.get,
    "Loss": losses.get,
    "Metric": metrics.get,
    "Initializer": initializers.get,
    "Regularizer": regularizers.get,
    "Constraint": constraints.get,
    "Optimizer": optimizers.get,
    "Schedule": schedules.get,
}
OURS = {name: frozenset(family.types) for name, family in FAMILIES.items()}
"""The names of firesteel's own classes in each family."""
ABSTRACT = [
    *(layers.Layer.apply, losses.Loss.rows, metrics.Metric.size, metrics.Metric.sums, metrics.Metric.result),
    *(metrics.RowMetric.rows, initializers.Initializer.draw, regularizers.Regularizer.add),
    *(constraints.Constraint.apply, optimizers.Optimizer.step, schedules.Schedule.at),
]
"""The methods that a class must define."""
DTYPES = {"F32": np.float32, "F64": np.float64, "U8": np.uint8, "U32": np.uint32}
"""The dtypes of arrays in files, by safetensors' names."""
LOCK = threading.RLock()
K = TypeVar("K", bound=type)


def register(kind: K) -> K:
    """Let names and files find a class of your own; return the class, so that it can stand above one, too.

    A file that names the class can then be loaded, and a text that is the class's name stands for it wherever a
    name is taken.  Call it in each program that loads such a file.  The same class, by module and name, takes the
    place of the one before, as in a notebook whose cell is run again.

    Args:
        kind: A subclass of Layer, Loss, Metric, Initializer, Regularizer, Constraint, Optimizer or Schedule.

    Raises:
        ConfigError: If it is something else, lacks a method, or its name belongs to another class.

    Example:
        >>> from firesteel.losses import Loss
        >>> @register
        ... class QuarticError(Loss):
        ...     def rows(self, z, y):
        ...         r = z - y
        ...         return (r**4).mean(axis=1), z, r**3 * (4 / r.shape[1])
        >>> losses.get("quartic_error")
        QuarticError()
    """
    family = _family_of(kind)
    with LOCK:
        name, known = kind.__name__, FAMILIES[family]
        taken = meant(name, [*OURS[family], *known.names])
        others = [one for label, one in known.types.items() if label not in OURS[family] and meant(name, [label])]
        if taken is None and others and not _same(others[0], kind):
            taken = f"{others[0].__module__}.{others[0].__qualname__}"
        if taken is not None:
            raise ConfigError(
                f"{name} cannot be registered: a {family.lower()} has that name already, {taken}.  To do: give the "
                "class another name",
                code="config-class",
            )
        known.types = {label: one for label, one in known.types.items() if one not in others} | {name: kind}
    return kind


def _family_of(kind: Any) -> str:
    """Return the name of a class's family.  Raises ConfigError for what belongs to none, or lacks a method."""
    found = [name for name, family in FAMILIES.items() if isinstance(kind, type) and issubclass(kind, family.base)]
    if not found:
        what = kind.__name__ if isinstance(kind, type) else f"{kind!r}, no class,"
        raise ConfigError(
            f"{what} cannot be registered: it must be a subclass of {', '.join(FAMILIES)}.  Callbacks need not be "
            "registered, because files do not name them",
            code="config-class",
        )
    missing = [name for name in dir(kind) if any(getattr(kind, name) is one for one in ABSTRACT)]
    if missing:
        raise ConfigError(
            f"{kind.__name__} has no method {missing[0]}: see docs/how-to/own-layer.md", code="config-class"
        )
    return found[0]


def _same(one: type, other: type) -> bool:
    return (one.__module__, one.__qualname__) == (other.__module__, other.__qualname__)


@contextmanager
def known(kinds: Iterable[Any]) -> Iterator[None]:
    """Register classes until the end of the block, in place of registered ones of their names."""
    with LOCK:
        before = {name: family.types for name, family in FAMILIES.items()}
        try:
            for kind in kinds:
                family, names = FAMILIES[_family_of(kind)], OURS[_family_of(kind)]
                others = {name for name in family.types if name not in names and meant(kind.__name__, [name])}
                family.types = {name: one for name, one in family.types.items() if name not in others}
                register(kind)
            yield
        finally:
            for name, types in before.items():
                FAMILIES[name].types = types


def specs_in(*values: Any) -> Iterator[Spec]:
    """Yield the specs of users' classes among values, inside specs, and in dataclasses, mappings and tuples of specs.

    >>> from firesteel.layers import Dense
    >>> list(specs_in(Dense(3), {"a": (Dense(2),)}))
    []
    """
    for value in values:
        if isinstance(value, Spec) and not type(value).__module__.startswith("firesteel."):
            yield value
        if is_dataclass(value) and not isinstance(value, type):
            yield from specs_in(*(getattr(value, field.name) for field in fields(value)))
        elif isinstance(value, dict):
            yield from specs_in(*value.values())
        elif isinstance(value, tuple | list) and value and not isinstance(value[0], float | int | str):
            yield from specs_in(*value)


def classes_in(*values: Any) -> list[type[Spec]]:
    """Return the classes of users' own in values, each once, as `specs_in` finds them."""
    return list(dict.fromkeys(map(type, specs_in(*values))))


def check_fields(*values: Any) -> None:
    """Raise ConfigError where a spec of a user's class does not come back from its JSON as it was."""
    for spec in specs_in(*values):
        kind, why = type(spec), ""
        try:
            with known(classes_in(spec)):
                again = kind.from_config(json.loads(json.dumps(spec.to_config())))
            why = "" if again == spec else f"it comes back as {again}"
        except TypeError as error:
            why = str(error)
        if why:
            raise ConfigError(
                f"{kind.__name__} cannot be in a file: {why}.  To do: make fields numbers or texts, declare several "
                "numbers by numbers(...), and what is a class of this kind by choice(...)",
                code="config-class",
            )


def unregistered(*values: Any) -> list[str]:
    """Return the names of the users' classes in specs that a file could not name, because nobody has registered them.

    Raises ConfigError for a class that lacks a method.
    """
    found = {kind: FAMILIES[_family_of(kind)].types.get(kind.__name__) for kind in classes_in(*values)}
    return list(dict.fromkeys(kind.__name__ for kind, one in found.items() if one is None or not _same(one, kind)))


def _named(names: list[str]) -> str:
    return f"{', '.join(names)} {'is' if len(names) == 1 else 'are'}"


def must_be_registered(what: str, *values: Any) -> None:
    """Raise ConfigError where a class in specs is not registered, or cannot be in a file.

    what: the thing that could not be read again.
    """
    check_fields(*values)
    if names := unregistered(*values):
        raise ConfigError(
            f"{what} holds the names of classes, and could not be read again: {_named(names)} not registered.  "
            f"To do: firesteel.register({names[0]}), or write @firesteel.register above the class",
            code="config-class",
        )


def warn_of_unregistered(*values: Any) -> None:
    """Warn, from `compile`, of classes in specs that are not registered, and of fields that no file can hold."""
    said = []
    try:
        check_fields(*values)
    except ConfigError as error:
        said.append(str(error))
    if names := unregistered(*values):
        said.append(
            f"{_named(names)} not registered: a file of this model is loaded only where the class is given, "
            "and checkpoints and Spark's stages refuse it.  To do: write @firesteel.register above the class"
        )
    for text in said:
        warnings.warn(text, stacklevel=4)


def read_weights(path: str | os.PathLike[str]) -> dict[str, Array]:
    """Return the weights in a model's file, {number of the layer's part and name: array}, without its classes.

    So a file can be used whose classes are lost; `load_model` needs them.

    Raises:
        StoreError: If it is no model's file.
    """
    from firesteel import _store as store  # which needs safetensors, and executors have none

    data, name, rest = store.read(path), os.fspath(path), {*store.VECTORS, *WORDS}
    entries, _, _ = store.headers(data, name)
    try:
        kinds = {part: (DTYPES[entry["dtype"]], tuple(entry["shape"])) for part, entry in entries.items()}
        found = dict(zip(kinds, store.arrays(data, entries, kinds), strict=True))
        numbered = sorted((int(part.split(".")[0]), part) for part in found if part not in rest)
    except store.WRONG as error:
        raise store.damaged(name, error) from None
    return {part: found[part].astype(found[part].dtype.newbyteorder("=")) for _, part in numbered}

"""Your own layers, losses, metrics, initializers, regularizers, constraints, optimizers and schedules.

Model files and checkpoints hold the names of classes, never code; `register` says which class a name refers to.
`docs/how-to/own-layer.md` shows how to write each kind of class.
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
"""The methods that a subclass must define."""
DTYPES = {"F32": np.float32, "F64": np.float64, "U8": np.uint8, "U32": np.uint32}
"""The dtypes of arrays in model files, by their safetensors names."""
LOCK = threading.RLock()
K = TypeVar("K", bound=type)


def register(kind: K) -> K:
    """Register your own class, so that names and model files can refer to it; also a class decorator.

    Once it is registered, a model file that names the class can be loaded, and its name can be passed wherever
    firesteel takes a name.  Call it in every program that loads such a file.  A class with the same module and name
    replaces the earlier one, as when a notebook cell runs again.

    Args:
        kind: A subclass of Layer, Loss, Metric, Initializer, Regularizer, Constraint, Optimizer or Schedule.

    Returns:
        The class itself.

    Raises:
        ConfigError: If it is not such a subclass, lacks a method, or has the name of another class (`config-class`).

    Example:
        >>> from firesteel import losses
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
                f"{name} cannot be registered: the {family.lower()} {taken} already has this name.  To do: rename "
                "the class",
                code="config-class",
            )
        known.types = {label: one for label, one in known.types.items() if one not in others} | {name: kind}
    return kind


def _family_of(kind: Any) -> str:
    """Return which kind of object a class is, such as "Layer"; raise ConfigError for any other class."""
    found = [name for name, family in FAMILIES.items() if isinstance(kind, type) and issubclass(kind, family.base)]
    if not found:
        what = kind.__name__ if isinstance(kind, type) else f"{kind!r}, which is not a class,"
        raise ConfigError(
            f"{what} cannot be registered: it must be a subclass of {', '.join(FAMILIES)}.  Callbacks need no "
            "registration, because files do not name them",
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
    """Context manager: register classes temporarily, in place of registered classes with the same names."""
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
    """Yield the specs of user-defined classes in values, also inside specs, dataclasses, dictionaries and tuples.

    Example:
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
    """Return the distinct user-defined classes of the specs in values."""
    return list(dict.fromkeys(map(type, specs_in(*values))))


def check_fields(*values: Any) -> None:
    """Raise ConfigError if a spec of a user-defined class does not survive a round trip through JSON."""
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
                f"{kind.__name__} cannot be saved to a file: {why}.  To do: use numbers or strings as fields, "
                "numbers(...) for several numbers, and choice(...) for an object of a registered class",
                code="config-class",
            )


def unregistered(*values: Any) -> list[str]:
    """Return the names of the user-defined classes in specs that are not registered.

    Raises:
        ConfigError: If a class lacks a method.
    """
    found = {kind: FAMILIES[_family_of(kind)].types.get(kind.__name__) for kind in classes_in(*values)}
    return list(dict.fromkeys(kind.__name__ for kind, one in found.items() if one is None or not _same(one, kind)))


def _named(names: list[str]) -> str:
    return f"{', '.join(names)} {'is' if len(names) == 1 else 'are'}"


def must_be_registered(what: str, *values: Any) -> None:
    """Raise ConfigError if a class in specs is not registered, or its fields cannot be saved.

    Args:
        what: The name of the file or stage that could not be loaded again.
        values: The specs, or containers of specs.
    """
    check_fields(*values)
    if names := unregistered(*values):
        raise ConfigError(
            f"{what} could not be loaded again, because it only holds the names of classes, and {_named(names)} not "
            f"registered.  To do: call firesteel.register({names[0]}), or write @firesteel.register above the class",
            code="config-class",
        )


def warn_of_unregistered(*values: Any) -> None:
    """Warn, when a model is compiled, of unregistered classes in specs and of fields that cannot be saved."""
    said = []
    try:
        check_fields(*values)
    except ConfigError as error:
        said.append(str(error))
    if names := unregistered(*values):
        said.append(
            f"{_named(names)} not registered: loading a file of this model requires custom_objects, and checkpoints "
            "and Spark stages refuse it.  To do: write @firesteel.register above the class"
        )
    for text in said:
        warnings.warn(text, stacklevel=4)


def read_weights(path: str | os.PathLike[str]) -> dict[str, Array]:
    """Read the weights in a model file without loading the user-defined classes that it names.

    Use it to recover the weights of a file whose classes are lost; `load_model` needs the classes.

    Args:
        path: The path of the model file.

    Returns:
        The weights by name: the number of the layer's part, a dot, and the name of the parameter.

    Raises:
        StoreError: If the file is not a model file (`store-damaged`), or cannot be read (`store-read`).

    Example:
        >>> import tempfile
        >>> from firesteel import Sequential, layers
        >>> model = Sequential([layers.Input((3,)), layers.Dense(2)])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     model.save(f"{folder}/model.firesteel")
        ...     weights = read_weights(f"{folder}/model.firesteel")
        >>> {name: array.shape for name, array in weights.items()}
        {'0.b': (2,), '0.w': (3, 2)}
    """
    from firesteel import _store as store  # needs safetensors, which executors lack

    data, name, rest = store.read(path), os.fspath(path), {*store.VECTORS, *WORDS}
    entries, _, _ = store.headers(data, name)
    try:
        kinds = {part: (DTYPES[entry["dtype"]], tuple(entry["shape"])) for part, entry in entries.items()}
        found = dict(zip(kinds, store.arrays(data, entries, kinds), strict=True))
        numbered = sorted((int(part.split(".")[0]), part) for part in found if part not in rest)
    except store.WRONG as error:
        raise store.damaged(name, error) from None
    return {part: found[part].astype(found[part].dtype.newbyteorder("=")) for _, part in numbered}

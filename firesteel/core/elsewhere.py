"""Suggestions for error messages: the firesteel name of another library's argument, or the nearest known name."""

import difflib
import functools
import inspect
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import ParamSpec, TypeVar

from firesteel.errors import ConfigError, StoreError

__all__ = ["ELSEWHERE", "OWN", "UnknownClass"]
__all__ += ["check_arguments", "check_class", "meant", "nearest", "spelled", "unknown"]

ELSEWHERE = {
    "maxIter": "epochs",
    "max_iter": "epochs",
    "n_epochs": "epochs",
    "nb_epoch": "epochs",
    "blockSize": "batch_size",
    "validation_fraction": "validation_split",
    "featuresCol": "features",
    "labelCol": "label",
    "weightCol": "weight",
    "sample_weights": "sample_weight",
    "random_state": "seed",
    "num_workers": "shards",
    "lr": "learning_rate",
    "learning_rate_init": "learning_rate",
    "stepSize": "learning_rate",
    "criterion": "loss",
    "solver": "optimizer",
    "out_features": "units",
    "in_features": "input_dim",
    "input_shape": "input_dim",
    "p": "rate",
    "eps": "epsilon",
    "betas": "beta_1",
    "alpha": "l2",
    "n_iter_no_change": "patience",
}
"""Names of arguments in other libraries, and their names here."""


DECAY = "for a rate that falls with the steps give learning_rate=schedules.InverseTimeDecay(0.01, 1.0, decay); "
SEED = "leave it out, because all randomness follows from fit(seed=...) and the layer's place in the model; "
INSTEAD = {"decay": ("learning_rate", DECAY), "seed": (None, SEED)}
"""Arguments without a counterpart here: an argument of the classes concerned, and what to do instead."""


OURS: list[str] = []
"""The names of firesteel's own subclasses of `Spec`."""
OWN: list[str] = []
"""The names of users' subclasses, in the order of their definition."""


def check_class(kind: type) -> None:
    """Register the name of a new class.  Raises ConfigError if it defines a constructor instead of fields."""
    (OURS if kind.__module__.startswith("firesteel.") else OWN).append(kind.__name__)
    if "__init__" in vars(kind):
        raise ConfigError(
            f"{kind.__name__} defines __init__: declare its arguments as fields of the class instead, such as "
            "factor: float = 1.0, and read them as self.factor",
            code="config-class",
        )


def meant(name: str, known: Collection[str]) -> str | None:
    """Return the known name that differs from the given one only in case and underscores, or None.

    Example:
        >>> meant("HeNormal", ["he_normal", "zeros"]), meant("l1l2", ["l1", "l1_l2"]), meant("mean", ["max"])
        ('he_normal', 'l1_l2', None)
    """
    if name in known:
        return name
    same = {word.replace("_", "").lower(): word for word in known}
    return same.get(name.replace("_", "").lower())


def nearest(name: str, known: Iterable[str], elsewhere: Mapping[str, str] | None = None) -> str:
    """Return a "did you mean ...?" with the nearest known name, or an empty string.

    Args:
        name: The unknown name.
        known: The known names.
        elsewhere: Names in other libraries: {name there: name here}.
    """
    lower = {word.lower(): word for word in known}
    needed, instead = INSTEAD.get(name, ("", "")) if elsewhere is ELSEWHERE else ("", "")
    if needed is None or needed in lower:
        return instead
    near = [name for name in [(elsewhere or {}).get(name)] if name in lower.values()]
    close = difflib.get_close_matches(name[:50].lower(), list(lower), n=1, cutoff=0.5)
    near = near or [lower[word] for word in close]
    return f"did you mean {near[0]!r}? " if near else ""


class UnknownClass(ConfigError):
    """Raised for a config with an unknown class, one that is neither part of firesteel nor registered."""

    name = ""

    def in_file(self, file: str, header: object) -> StoreError:
        """Return the error for a file that needs unregistered classes, with the names of all of them."""
        own, waiting = [self.name], [header]
        while waiting:
            one = waiting.pop()
            kind = one.get("type") if isinstance(one, dict) else None
            own += [kind] if isinstance(kind, str) and kind.isidentifier() and kind not in OURS else []
            parts = one.values() if isinstance(one, dict) else one if isinstance(one, list) else ()
            waiting += [part for part in parts if isinstance(part, dict | list)]
        names = ", ".join(sorted({*own} - {"Schema"}))
        return StoreError(
            f"{file} needs the class {self.name}, which is not registered.  To do: import it and call "
            f"firesteel.register({self.name}) first, or load_model(path, custom=[{names}]), which lists all custom "
            "classes of the file; firesteel.models.read_weights(path) reads the weights without them",
            code="store-class",
        )


def unknown(family: str, given: object, names: Iterable[str], kind: bool = False) -> ConfigError:
    """Return the error for an unknown name, with the nearest known one.

    Args:
        family: What the name should be, such as "a loss".
        given: The name, or another object.
        names: The known names.
        kind: Whether it is the name of a class in a config.
    """
    near = nearest(given, names) if isinstance(given, str) else "give its name, or the object itself; "
    if callable(given) and not isinstance(given, type):
        near = "a function has no derivative and no config: write a class, as docs/how-to/own-layer.md shows; "
    text = f"{given!r} is not {family}: {near}known names are {', '.join(sorted(names))}"
    name = given if kind and isinstance(given, str) and given not in OURS else ""
    if not name.isidentifier() or name[0] == "_":
        return ConfigError(text, code="config-unknown")
    error = UnknownClass(f"{text}; if it is your own class, call firesteel.register({name})", code="config-unknown")
    error.name = name
    return error


def check_arguments(owner: str, given: Iterable[str], known: Collection[str]) -> None:
    """Raise ConfigError for an unknown keyword argument, with the nearest known one."""
    for name in given:
        if name not in known:
            raise ConfigError(
                f"{owner} has no argument {name!r}: {nearest(name, known, ELSEWHERE)}it takes {', '.join(known)}",
                code="config-argument",
            )


P = ParamSpec("P")
R = TypeVar("R")


def spelled(method: Callable[P, R]) -> Callable[P, R]:
    """Decorate a method so that unknown keyword arguments raise ConfigError."""
    _, *names = inspect.signature(method).parameters
    known = dict.fromkeys(names)

    @functools.wraps(method)
    def checked(*args: P.args, **given: P.kwargs) -> R:
        if not given.keys() <= known.keys():
            check_arguments(f"{type(args[0]).__name__}.{method.__name__}", given, known)
        return method(*args, **given)

    return checked

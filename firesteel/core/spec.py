"""Base class of all configurable objects (layers, losses, optimizers, ...): immutable, with validated fields.

The fields of a spec *are* its configuration.  They are checked when it is made (the constructor check); they print,
compare, hash, and convert to JSON and back, without code in each class.
"""

import math
import operator
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, FrozenInstanceError, dataclass, field, fields
from numbers import Real
from typing import Any, ClassVar, Self, dataclass_transform

import numpy as np

from firesteel.core.elsewhere import check_arguments, check_class, meant, unknown
from firesteel.errors import ConfigError

__all__ = [
    "Spec",
    "choice",
    "finite",
    "flag",
    "integer",
    "later",
    "number",
    "numbers",
    "optional",
    "resolver",
    "word",
]


Check = Callable[[str, str, Any], Any]
"""check(class, field, value) returns the value to store, or raises ConfigError."""


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
class Spec:
    """Base class of configurable objects: immutable dataclasses whose fields are validated.

    Every subclass becomes a dataclass; `class Loss(Spec, kw_only=True)` makes its fields keyword-only.

    Example:
        >>> class Dropout(Spec):
        ...     rate: float = number(low=0.0, below=1.0, why="it is the fraction of units to drop")
        >>> Dropout(0.5).to_config()
        {'type': 'Dropout', 'rate': 0.5}
        >>> Dropout.from_config({'type': 'Dropout', 'rate': 0.5}) == Dropout(0.5)
        True
        >>> Dropout(1.5)
        Traceback (most recent call last):
        firesteel.errors.ConfigError: Dropout(rate=1.5): rate must be a number with 0.0 <= rate < 1.0: \
it is the fraction of units to drop [config-value]
    """

    fields: ClassVar[tuple[Field[Any], ...]]
    arguments: ClassVar[Mapping[str, Field[Any]]]
    checks: ClassVar[tuple[tuple[str, Any, Check], ...]]
    """Name, default and check of each field; defaults are not checked again."""

    def __init_subclass__(cls, kw_only: bool = False) -> None:
        check_class(cls)
        cls.fields = fields(dataclass(frozen=True, eq=False, repr=False, kw_only=kw_only)(cls))  # type: ignore[arg-type]
        known = {f.name: f for f in sorted(cls.fields, key=lambda f: f.kw_only is True)}
        cls.arguments = cls.__dataclass_fields__ = known  # type: ignore[attr-defined]
        cls.__setattr__ = Spec.__setattr__  # type: ignore[method-assign]
        cls.checks = tuple((f.name, f.default, f.metadata["check"]) for f in cls.fields if "check" in f.metadata)

    def __new__(cls, *args: Any, **given: Any) -> Self:
        if not given.keys() <= cls.arguments.keys():
            check_arguments(cls.__name__, given, cls.arguments)
        return super().__new__(cls)

    def __getstate__(self) -> dict[str, Any]:
        return {one.name: getattr(self, one.name) for one in self.fields}

    def __setattr__(self, name: str, value: Any) -> None:
        if (setter := getattr(self, f"_set_{name}", None)) is None:
            raise FrozenInstanceError(f"{type(self).__name__}.{name} cannot be set: make a new {type(self).__name__}")
        setter(value)

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self._values() == other._values()

    def __hash__(self) -> int:
        return hash(self._values())

    def _values(self) -> tuple[Any, ...]:
        return tuple(getattr(self, f.name) for f in self.fields if f.compare)

    def __repr__(self) -> str:
        """Return the constructor call, without defaults."""
        given = [f"{f.name}={v!r}" for f in self.fields if f.repr and (v := getattr(self, f.name)) != f.default]
        return f"{type(self).__name__}({', '.join(given)})"

    def __post_init__(self) -> None:
        for name, default, check in self.checks:
            if (value := getattr(self, name)) is not default:
                object.__setattr__(self, name, check(type(self).__name__, name, value))

    def to_config(self) -> dict[str, Any]:
        """Return the configuration, which JSON can hold: the class name under "type", and the fields.

        Example:
            >>> from firesteel import optimizers
            >>> config = optimizers.SGD(0.1, momentum=0.9).to_config()
            >>> config["type"], config["learning_rate"], config["momentum"]
            ('SGD', 0.1, 0.9)
            >>> optimizers.deserialize(config) == optimizers.SGD(0.1, momentum=0.9)
            True
        """
        values = ((f, getattr(self, f.name)) for f in self.fields)
        return {"type": type(self).__name__} | {
            f.name: value.to_config() if isinstance(value, Spec) else value
            for f, value in values
            if "later" not in f.metadata or f.metadata["later"](value)
        }

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of `from_config`: `to_config` without the class name."""
        return {name: value for name, value in self.to_config().items() if name != "type"}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """Return the object that `to_config` described.

        Args:
            config: The arguments, by name; "type" is ignored.

        Raises:
            ConfigError: If a field is unknown (`config-argument`), missing (`config-field`) or has a wrong value.
        """
        try:
            return cls(**{name: value for name, value in config.items() if name != "type"})
        except TypeError as error:
            raise ConfigError(f"{cls.__name__}: {error}", code="config-field") from None


def _refuse(owner: str, name: str, got: object, need: str) -> ConfigError:
    return ConfigError(f"{owner}({name}={got!r}): {name} must be {need}", code="config-value")


def number(
    default: float | Any = MISSING,
    *,
    low: float = -math.inf,
    above: float = -math.inf,
    below: float = math.inf,
    why: str,
    other: Callable[[Any], Any] | None = None,
) -> Any:
    """Declare a float field with bounds: low <= value, above < value, value < below; None only if the default.

    Args:
        default: The default value; without one the field is required.
        low: The least value.
        above: What the value must exceed.
        below: What the value must be less than.
        why: What the number is, for messages.
        other: Resolves a spec, or the config of one, that is allowed in place of a number.

    Example:
        >>> from firesteel.layers import Layer
        >>> class Scaled(Layer):
        ...     factor: float = number(1.0, above=0.0, why="it is what inputs are multiplied by")
        >>> Scaled(2).factor
        2.0
    """
    rule = "a number with " if max(low, above) > -math.inf or below < math.inf else "a finite number"

    def check(owner: str, name: str, got: object) -> Any:
        if got is None and default is None:
            return None
        if other is not None and (isinstance(got, Spec) or (isinstance(got, Mapping) and "type" in got)):
            return other(got)
        left = f"{low} <= " if low > -math.inf else f"{above} < " if above > -math.inf else ""
        right = f" < {below}" if below < math.inf else ""
        need = f"{rule}{left}{name}{right}: {why}" if left or right else f"{rule}: {why}"
        if not (math.isfinite(value := finite(got)) and low <= value and above < value < below):
            raise _refuse(owner, name, got, need)
        return value

    return field(default=default, metadata={"check": check})


def finite(got: object) -> float:
    """Convert a number, or an array without axes, to float; return NaN for anything else, booleans included."""
    try:
        one = got[()] if isinstance(got, np.ndarray) else got
        return float(one) if isinstance(one, Real) and not isinstance(one, bool) else math.nan
    except OverflowError:
        return math.nan


def numbers(default: Any = MISSING, *, low: float = -math.inf, why: str) -> Any:
    """Declare a field of one or more finite floats, a tuple, with low <= value.

    Sequences, arrays and single numbers are accepted, and None if that is the default.

    Args:
        default: The default; without one the field is required.
        low: The least value.
        why: What the numbers are, for messages.

    Example:
        >>> from firesteel.layers import Layer
        >>> class Scaled(Layer):
        ...     factors: tuple[float, ...] = numbers(low=0.0, why="inputs are multiplied by them")
        >>> Scaled([1, 2]).factors
        (1.0, 2.0)
    """

    def check(owner: str, name: str, got: Any) -> tuple[float, ...] | None:
        if got is None and default is None:
            return None
        try:
            items = [finite(got)] if isinstance(got, Real | str) or getattr(got, "ndim", 1) == 0 else list(got)
            values = tuple(math.nan if isinstance(item, bool | str) else float(item) for item in items)
        except (TypeError, ValueError, OverflowError):
            values = ()
        if not values or not all(math.isfinite(value) and value >= low for value in values):
            least = f" of at least {low}" if low > -math.inf else ""
            shown = repr(got) if len(values) < 5 else f"{len(values)} values"
            raise ConfigError(
                f"{owner}({name}={shown}): {name} must be one or more finite numbers{least}: {why}",
                code="config-value",
            )
        return values

    return field(default=default, metadata={"check": check}, repr=False)


def integer(default: int | Any = MISSING, *, low: int, why: str) -> Any:
    """Declare an integer field with low <= value.

    Args:
        default: The default value; without one the field is required.
        low: The least value.
        why: What the number is, for messages.

    Example:
        >>> from firesteel.layers import Layer
        >>> class Scaled(Layer):
        ...     times: int = integer(1, low=1, why="it is the number of repetitions")
        >>> Scaled(times=3).times
        3
    """

    def check(owner: str, name: str, got: object) -> int:
        value = whole(got)
        if value is None or value < low:
            raise _refuse(owner, name, got, f"an integer of at least {low}: {why}")
        return value

    return field(default=default, metadata={"check": check})


def whole(got: Any) -> int | None:
    """Convert an integer of at most 64 bits to int; return None for anything else, booleans included."""
    try:
        value = None if isinstance(got, bool | np.bool) else operator.index(got)
    except TypeError:
        return None
    return value if value is not None and abs(value) < 2**63 else None


def flag(default: bool) -> Any:
    """Declare a field that is True or False.

    Args:
        default: The default value.

    Example:
        >>> from firesteel.layers import Layer
        >>> class Scaled(Layer):
        ...     inverse: bool = flag(False)
        >>> Scaled().inverse
        False
    """

    def check(owner: str, name: str, got: object) -> bool:
        if not isinstance(got, bool):
            raise _refuse(owner, name, got, "True or False")
        return got

    return field(default=default, metadata={"check": check})


def later(declared: Any) -> Any:
    """Declare a field that was added later: configs omit it at its default, as older files do."""
    default = declared.default
    return field(default=default, metadata={**declared.metadata, "later": lambda value: value != default})


def optional(declared: Any) -> Any:
    """Declare a field that is None by default and otherwise follows another declaration.

    Args:
        declared: The other declaration, such as `number(...)`.

    Example:
        >>> from firesteel.layers import Layer
        >>> class Scaled(Layer):
        ...     limit: float | None = optional(number(low=0.0, why="it is the largest output"))
        >>> Scaled().limit is None, Scaled(6).limit
        (True, 6.0)
    """
    check = declared.metadata["check"]
    return field(default=None, metadata={"check": lambda *given: None if given[-1] is None else check(*given)})


def word(default: str, *others: str | None) -> Any:
    """Declare a text field with a few allowed values; None only if it is among them.

    Args:
        default: The default word.
        others: The other words that are allowed; None allows None.

    Example:
        >>> from firesteel.layers import Layer
        >>> class Scaled(Layer):
        ...     padding: str = word("valid", "same")
        >>> Scaled("same").padding
        'same'
    """
    known = (default, *others)

    def check(owner: str, name: str, got: object) -> object:
        if not (got is None or isinstance(got, str)) or got not in known:
            raise _refuse(owner, name, got, f"one of {', '.join(map(repr, known))}")
        return got

    return field(default=default, metadata={"check": check})


def choice(default: Any, resolve: Callable[[Any], Any]) -> Any:
    """Declare a field that holds another configurable object, such as an initializer, or its name or config.

    Args:
        default: The default: a spec, its name or its config.
        resolve: Turns a spec, a name or a config into the spec, such as `firesteel.initializers.get`.

    Example:
        >>> from firesteel import initializers
        >>> from firesteel.layers import Layer
        >>> class Scaled(Layer):
        ...     start: initializers.Initializer | str = choice("ones", initializers.get)
        >>> Scaled("zeros").start
        Zeros()
    """
    default = default if default is MISSING else resolve(default)
    return field(default=default, metadata={"check": lambda owner, name, got: resolve(got)})


class resolver:  # noqa: N801  (used as a function)
    """Turns a name, a config, a class or an object of one family into an object of that family.

    Names are compared without case and underscores: "he_normal" and "HeNormal" are the same.  A class stands for its
    defaults, and so does a function that has a class as `stands_for`.

    Args:
        family: The family's name in messages, such as "a loss".
        base: The family's base class.
        names: The family's registry: {name: object}.  `types`, {class name: class}, follows from it; users' own
            classes are added by `extending.py`.
    """

    def __init__(self, family: str, base: type[Spec], names: Mapping[str, Spec]) -> None:
        self.family, self.base, self.names = family, base, names
        self.types = {type(spec).__name__: type(spec) for spec in names.values()}

    def __call__(self, given: Any) -> Any:
        if isinstance(given, self.base):
            return given
        kind: Any = getattr(given, "stands_for", given)
        config: Mapping[str, Any] = {}
        if isinstance(given, str):
            if (name := given if given in self.names else meant(given, self.names)) is not None:
                return self.names[name]
            kind = self.types.get(meant(given, self.types) or "", given)
        elif isinstance(given, Mapping):
            kind, config = given.get("type"), given
            kind = self.types.get(kind, kind) if isinstance(kind, str) else kind
        if isinstance(kind, type) and issubclass(kind, self.base) and kind is not self.base:
            return kind.from_config(config)
        named = config is given
        raise unknown(self.family, kind, self.types if named else self.names, named)

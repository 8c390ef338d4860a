"""All settings of `firesteel train`, as the sections of a TOML file and as frozen dataclasses.

A flag goes before an environment variable, that before the file, and the file before the default; `resolve` merges
them and remembers where each value was found, for messages.  Next: `network.py` and `train.py`, which use the result.
"""

import math
import os
import re
import tomllib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any

from firesteel.core.elsewhere import nearest
from firesteel.datasets.files import opened_text
from firesteel.errors import HIDDEN, ConfigError, DataError
from firesteel.report.settings import plain, secretless, variable
from firesteel.tables.policy import AUTOMATIC

# Kinds of values


@dataclass(frozen=True)
class Kind:
    """What a value must be, in words.

    types: bool counts as a number nowhere.  fits: what must hold besides.  made: what becomes of a value.
    listed: whether it is a list of such, from the shell with commas between.  fewest, most: how many.
    names: of which it must be one.
    """

    words: str
    types: tuple[type, ...]
    fits: Callable[[Any], bool] = lambda value: True
    made: Callable[[Any], Any] = lambda value: value
    listed: bool = False
    fewest: int = 0
    most: float = math.inf
    names: tuple[str, ...] = ()

    def check(self, value: Any) -> Any:
        """Return the value in its own type.  Raises ValueError for what is no such value."""
        if not self.listed:
            return self._one(value)
        values = value if isinstance(value, list | tuple) else [value]
        if not self.fewest <= len(values) <= self.most:
            raise ValueError
        return tuple(map(self._one, values))

    def _one(self, value: Any) -> Any:
        fits = isinstance(value, self.types) and (bool in self.types or not isinstance(value, bool))
        if not fits or not self.fits(value):
            raise ValueError
        return self.made(value)


def _whole(low: int) -> Kind:
    return Kind(f"a whole number of at least {low}", (int,), lambda value: value >= low)


def _one_of(*names: str) -> Kind:
    return Kind("one of " + ", ".join(names), (str,), lambda value: value in names, names=names)


def _has_type(value: Any) -> bool:
    return isinstance(value, str) or isinstance(value.get("type"), str)


def _float(value: Any) -> Any:
    return value if isinstance(value, str) else float(value)


def _is_share(value: Any) -> bool:
    return value == AUTOMATIC if isinstance(value, str) else 0 <= value < 1


def _is_scale(value: Any) -> bool:
    return bool(value == "standard" if isinstance(value, str) else value)


def _are_weights(value: Any) -> bool:
    if isinstance(value, str):
        return value == "balanced"
    return all(str(name).isdecimal() and type(weight) in REAL for name, weight in value.items())


def _are_kinds(value: Any) -> bool:
    pairs = _by_column(value).items() if isinstance(value, dict) or "=" in value else [("", "")]
    return all(name and kind == CATEGORY for name, kind in pairs)


def _by_column(value: Any) -> Any:
    """Return kinds of columns by name, of a table or of a text such as zip=category,code=category."""
    if isinstance(value, dict):
        return value
    return {name.strip(): kind.strip() for name, _, kind in (part.rpartition("=") for part in value.split(","))}


def _by_class(value: Any) -> Any:
    return value if isinstance(value, str) else {int(name): weight for name, weight in value.items()}


REAL = (int, float)
CATEGORY = "category"
TEXT = Kind("a text", (str,))
FLAG = Kind("true or false", (bool,))
TEXTS = Kind("a list of texts", (str,), listed=True)
COUNTS = Kind("", (int,), lambda value: value >= 1, listed=True)
SIDES = replace(COUNTS, words="two whole numbers of at least 1, height and width", fewest=2, most=2)
UNITS = replace(COUNTS, words="whole numbers of at least 1, with commas between, such as 64,32")
NAMED = Kind("a name, or a table with a type", (str, dict), _has_type)
NAMEDS = replace(NAMED, words="a list of names, or of tables with a type", listed=True)
TABLES = Kind("a list of tables with a type", (dict,), _has_type, listed=True)
LAYERS = replace(TABLES, words="a list of tables with a type, one at least", fewest=1)
NUMBER = Kind("a number", REAL, made=_float)
RATE = replace(NUMBER, words="a number above 0", fits=lambda value: value > 0)
SHARE = replace(NUMBER, words="a number in [0, 1)", fits=_is_share)
HELD = replace(SHARE, words='a number in [0, 1), or "auto"', types=(str, *REAL))
SCALE = Kind('"standard", or the number that inputs are multiplied by', (str, *REAL), _is_scale, _float)
WEIGHTS = Kind('"balanced", or a table of class numbers and their weights', (str, dict), _are_weights, _by_class)
COLUMN_KINDS = Kind("columns and their kind, such as zip=category", (str, dict), _are_kinds, _by_column)
MOST = 100
"""Letters of a name or a value that a message shows."""
FORMATS = ("csv", "idx", "libsvm", "numpy", "parquet", "text")


def _key(kind: Kind, default: Any = None) -> Any:
    return field(default=default, metadata={"kind": kind})


# The sections


@dataclass(frozen=True)
class DataSettings:
    """Where the rows are and what their columns are.

    train, test: a set's name or a file.  label: columns; for idx, numpy and text the labels' file.
    ignore_cols: columns that are no features.  column_kinds: {"zip": "category"}, of numbers that are names.
    time_zone: in which moments have their hours and days; UTC if not given.
    """

    train: str = _key(TEXT, "digits")
    test: str | None = _key(TEXT)
    format: str | None = _key(_one_of(*FORMATS))
    label: tuple[str, ...] | None = _key(TEXTS)
    test_label: str | None = _key(TEXT)
    features: tuple[str, ...] | None = _key(TEXTS)
    weight: str | None = _key(TEXT)
    ignore_cols: tuple[str, ...] | None = _key(TEXTS)
    column_kinds: Any = _key(COLUMN_KINDS)
    time_zone: str | None = _key(TEXT)
    picture: tuple[int, int] | None = _key(SIDES)
    class_names: tuple[str, ...] | None = _key(TEXTS)
    rows: int | None = _key(_whole(1))
    inputs: int | None = _key(_whole(1))


@dataclass(frozen=True)
class ModelSettings:
    """The network: its layers in full, or the short form `hidden`, `activation`, `dropout` and `scale`."""

    layers: tuple[dict[str, Any], ...] | None = _key(LAYERS)
    hidden: tuple[int, ...] = _key(UNITS, (64,))
    activation: str = _key(TEXT, "relu")
    dropout: float | None = _key(SHARE)
    scale: str | float | None = _key(SCALE)
    dtype: str = _key(_one_of("float32", "float64"), "float32")
    initial: str | None = _key(TEXT)


@dataclass(frozen=True)
class TrainingSettings:
    """How to train, with the meanings that `Sequential.fit` and `compile` give these words.

    validation_split: "auto" holds 10 % out of 500 rows or more, and ends after 5 epochs without a better validation
    loss, with the best epoch's weights.
    members: how many networks are trained on a table, each without another part of the rows, and averaged.
    code: the names of callbacks that are code, and not in the file.  went_on: whether it went on from an earlier one.
    """

    optimizer: str | dict[str, Any] = _key(NAMED, "adam")
    learning_rate: float | None = _key(RATE)
    loss: str | dict[str, Any] | None = _key(NAMED)
    metrics: tuple[Any, ...] | None = _key(NAMEDS)
    epochs: int = _key(_whole(1), 10)
    batch_size: int | None = _key(_whole(1))
    validation_split: str | float = _key(HELD, AUTOMATIC)
    shuffle: bool = _key(FLAG, True)
    class_weight: Any = _key(WEIGHTS)
    initial_epoch: int = _key(_whole(0), 0)
    evaluate_averaged: bool = _key(FLAG, True)
    strategy: str | dict[str, Any] | None = _key(NAMED)
    shards: int | None = _key(_whole(1))
    members: int | None = _key(_whole(1))
    seed: int = _key(_whole(0), 0)
    callbacks: tuple[dict[str, Any], ...] = _key(TABLES, ())
    code: tuple[str, ...] = _key(TEXTS, ())
    went_on: bool | None = _key(FLAG)


@dataclass(frozen=True)
class EngineSettings:
    """Where to train."""

    name: str = _key(_one_of("local", "spark"), "local")
    master: str = _key(TEXT, "local[2]")


@dataclass(frozen=True)
class RunSettings:
    """What to keep."""

    folder: str | None = _key(TEXT)


@dataclass(frozen=True)
class Config:
    """All sections.  file: the TOML file it came from, if it did.  named: the settings that somebody gave."""

    data: DataSettings = DataSettings()
    model: ModelSettings = ModelSettings()
    training: TrainingSettings = TrainingSettings()
    engine: EngineSettings = EngineSettings()
    run: RunSettings = RunSettings()
    file: Path | None = None
    named: frozenset[tuple[str, str]] = field(default=frozenset(), compare=False)


SECTIONS: dict[str, type[Any]] = {f.name: type(f.default) for f in fields(Config) if is_dataclass(f.default)}
KINDS: dict[tuple[str, str], Kind] = {
    (name, f.name): f.metadata["kind"] for name, section in SECTIONS.items() for f in fields(section)
}
"""What each setting must be."""
SHORT = ("activation", "dropout", "scale")
LARGEST = 2**24
"""Bytes of a file of settings, at most."""


# Sources


@dataclass(frozen=True)
class Setting:
    """One value and where it was found.  rank: of two, the one of the higher rank counts."""

    value: Any
    where: str
    rank: int


Found = dict[tuple[str, str], Setting]


def resolve(
    file: Path | None, flags: Mapping[str, tuple[str, Any]], environment: Mapping[str, str] | None = None
) -> Config:
    """Return what a file, the environment and flags say together.

    flags: {"--epochs": ("training.epochs", value)}; None is a flag that was not given.
    environment: the process's own if not given; FIRESTEEL_TRAINING_EPOCHS is [training] epochs.
    Raises ConfigError for what is unknown or of the wrong kind, with where it was found and the nearest known name.
    """
    found: Found = {} if file is None else _from_file(file)
    found |= _from_environment(os.environ if environment is None else environment)
    for flag, (name, value) in flags.items():
        if value is not None:
            section, key = name.split(".")
            found[section, key] = Setting(_shell(section, key, value), flag, 2)
    _settle(found)
    values: dict[str, dict[str, Any]] = {name: {} for name in SECTIONS}
    for section, key in filter(found.__contains__, KINDS):
        values[section][key] = _checked(section, key, found[section, key])
    sections = {name: kind(**values[name]) for name, kind in SECTIONS.items()}
    return Config(**sections, file=file, named=frozenset(found))


def to_toml(config: Config, open_: Collection[tuple[str, str]] = ()) -> str:
    """Return the text of a file that says all of this; what is not set is left out.

    open_: settings that are left out, too, where nobody has named them.
    """
    tables = to_tables(config)
    for section, key in set(open_) - config.named:
        tables[section].pop(key, None)
    return secretless({name: table for name, table in tables.items() if table}).lstrip()


def to_tables(config: Config) -> dict[str, dict[str, Any]]:
    """Return the sections as TOML's tables."""
    tables = {name: _table(getattr(config, name)) for name in SECTIONS}
    if config.model.layers is not None:
        for key in ("hidden", *SHORT):
            tables["model"].pop(key, None)
    return {name: table for name, table in tables.items() if table}


def check_secrets(section: str, key: str, value: str | None) -> None:
    """Raise ConfigError where a setting was written down without a secret that is in it."""
    if value is not None and HIDDEN in value:
        raise ConfigError(
            f"{value}: [{section}] {key} was written without its secret, where {HIDDEN} stands: give the whole in "
            f"{variable(section, key)}",
            code="config-secret",
        )


def _table(section: Any) -> dict[str, Any]:
    values = {f.name: getattr(section, f.name) for f in fields(section)}
    empty = [f.name for f in fields(section) if values[f.name] == f.default == ()]
    table: dict[str, Any] = plain({name: value for name, value in values.items() if name not in empty})
    return table


def _checked(section: str, key: str, given: Setting) -> Any:
    kind, value = KINDS[section, key], given.value
    try:
        return kind.check(value)
    except ValueError:
        listed = isinstance(value, list | tuple)
        said = f"{given.where} {repr(','.join(map(str, value)) if listed else value)[:MOST]}"
        if given.rank < 2:
            said = f"{given.where}: [{section}] {key} = {repr(value)[:MOST]}"
        near = nearest(str(given.value), kind.names).strip()
        hint = f"; {near}" if near else ""
        raise ConfigError(f"{said}: it must be {kind.words}{hint}", code="config-value") from None


def _settle(found: Found) -> None:
    """Let the network's layers and its short form not contradict each other."""
    layers = found.get(("model", "layers"))
    hidden = found.get(("model", "hidden"))
    if layers is None:
        return
    if hidden is not None and hidden.rank > layers.rank:
        del found["model", "layers"]
        return
    for key in ("hidden", *SHORT):
        other = found.get(("model", key))
        if other is not None:
            raise ConfigError(
                f"{other.where}: {key} belongs to the short form of a network, and {layers.where} gives its layers: "
                "leave one of them out",
                code="config-layers",
            )


def _unknown(where: str, what: str, name: str, known: list[str]) -> ConfigError:
    hint = nearest(name, known)
    return ConfigError(
        f"{where}: {what} {name[:MOST]!r} is unknown: {hint}there are {', '.join(known)}", code="config-key"
    )


def _keys(section: str) -> list[str]:
    return [key for name, key in KINDS if name == section]


def _from_file(path: Path) -> Found:
    try:
        with opened_text(path) as file:
            content = file.read(LARGEST + 1)
        if len(content) > LARGEST:
            raise ConfigError(f"{path} has more than {LARGEST:,} bytes: is it TOML?", code="config-file")
        text = "\n".join(re.split("\r\n?|\n", content.decode()))
        tables = tomllib.loads(text)
    except DataError as error:
        said = str(error).removesuffix(f" [{error.code}]").replace(f"{path}: cannot", f"{path} cannot", 1)
        raise ConfigError(said, code="config-file") from None
    except ConfigError:
        raise
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: byte {error.start} is not UTF-8: is it TOML?", code="config-file") from None
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path} is not TOML: {error}", code="config-file") from None
    found: Found = {}
    for section, table in tables.items():
        if section not in SECTIONS:
            raise _unknown(_place(path, text, None, section), "section", section, list(SECTIONS))
        if not isinstance(table, dict):
            raise ConfigError(f"{_place(path, text, None, section)}: {section} must be a [table]", code="config-key")
        for key, value in table.items():
            where = _place(path, text, section, key)
            if key not in _keys(section):
                raise _unknown(f"{where}: [{section}]", "key", key, _keys(section))
            found[section, key] = Setting(value, where, 0)
    return found


def _place(path: Path, text: str, section: str | None, key: str) -> str:
    """Return a file's name and the line where a key stands, as far as plain looking finds it."""
    at = ""
    for number, line in enumerate(text.splitlines() if len(key) <= MOST else (), 1):
        header = re.match(r"\s*\[+\s*([\w-]+)\s*[\].]", line)
        at = header[1] if header else at
        opens = header and (key == at if section is None else f"{section}.{key}" in line)
        if opens or (at == (section or "") and re.match(rf"""\s*["']?{re.escape(key)}["']?\s*[.=]""", line)):
            return f"{path}, line {number}"
    return str(path)


def _from_environment(environment: Mapping[str, str]) -> Found:
    found: Found = {}
    for name, text in sorted(environment.items()):
        for section in SECTIONS:
            prefix = variable(section, "")
            if name.startswith(prefix):
                key = name.removeprefix(prefix).lower()
                if key not in _keys(section):
                    names = [prefix + known.upper() for known in _keys(section)]
                    raise _unknown("the environment", "variable", name, names)
                found[section, key] = Setting(_shell(section, key, text), name, 1)
    return found


def _shell(section: str, key: str, value: Any) -> Any:
    """Return what a text from the shell means: a list where one is wanted, a TOML value, or itself."""
    if not isinstance(value, str):
        return value
    kind = KINDS[section, key]
    if kind.listed and not value.lstrip().startswith("["):
        return [_literal(part.strip(), kind) for part in value.split(",")] if value.strip() else []
    return _literal(value, kind)


def _literal(text: str, kind: Kind) -> Any:
    if kind in (TEXT, TEXTS) and not text.lstrip().startswith("["):
        return text
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (tomllib.TOMLDecodeError, KeyError):
        return text

"""The settings of `firesteel train`: one dataclass per section of the TOML file.

Options override environment variables, which override the file, which overrides the defaults.  `resolve` merges them
and records where each value was found, for messages.  Next: `network.py` and `train.py`, which use the result.
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
    """Type of a setting: how its value is checked, and how messages describe it.

    Args:
        words: Description for messages.
        types: Allowed types; bool counts as a number nowhere.
        fits: Further condition.
        made: Converts a valid value.
        listed: Whether the value is a list of such values; on the command line separated by commas.
        fewest: Least length of a list.
        most: Greatest length of a list.
        names: The allowed names, if the value is one of several.
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
        """Check and convert a value; raise ValueError if it is invalid."""
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
    """Parse kinds of columns, from a TOML table or from text such as zip=category,code=category."""
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
"""Characters of a name or a value that a message shows."""
FORMATS = ("csv", "idx", "libsvm", "numpy", "parquet", "text")


def _key(kind: Kind, default: Any = None) -> Any:
    return field(default=default, metadata={"kind": kind})


# The sections


@dataclass(frozen=True)
class DataSettings:
    """Section [data]: where the rows are, and the roles of their columns.

    Args:
        train: A data set, or a file of training rows.
        test: A file of test rows.
        format: The file format.
        label: Columns of labels; for idx, numpy and text, the file of labels.
        test_label: The file of the test rows' labels.
        features: Input columns.
        weight: Column of row weights.
        ignore_cols: Columns to ignore.
        column_kinds: {"zip": "category"} for numeric columns that are categories.
        time_zone: Time zone of the hours and days of timestamps; None is UTC.
        picture: Height and width, if the inputs are pixels.
        class_names: Names of the classes.
        rows: Number of training rows, recorded by a run.
        inputs: Number of inputs, recorded by a run.
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
    """Section [model]: the network's layers, or its short form `hidden`, `activation`, `dropout`, `scale`."""

    layers: tuple[dict[str, Any], ...] | None = _key(LAYERS)
    hidden: tuple[int, ...] = _key(UNITS, (64,))
    activation: str = _key(TEXT, "relu")
    dropout: float | None = _key(SHARE)
    scale: str | float | None = _key(SCALE)
    dtype: str = _key(_one_of("float32", "float64"), "float32")
    initial: str | None = _key(TEXT)


@dataclass(frozen=True)
class TrainingSettings:
    """Section [training]: arguments of `compile` and `Sequential.fit`, under the same names.

    Args:
        validation_split: "auto" holds out 10 % of 500 rows or more, stops after 5 epochs without a better validation
            loss, and restores the best epoch.
        members: Number of networks in the ensemble for a table; each holds out a different part of the rows.
        code: Names of callbacks that are Python code, which the file cannot contain.
        went_on: Whether the training continued an earlier one.
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
    """Section [engine]: whether to train in this process or on Spark, and where."""

    name: str = _key(_one_of("local", "spark"), "local")
    master: str = _key(TEXT, "local[2]")


@dataclass(frozen=True)
class RunSettings:
    """Section [run]: the folder in which the run is saved."""

    folder: str | None = _key(TEXT)


@dataclass(frozen=True)
class Config:
    """All settings of a training, by section.

    Args:
        data: The section of the rows.
        model: The section of the network.
        training: The section of the training.
        engine: The section of the engine.
        run: The section of the run folder.
        file: The TOML file, if there was one.
        named: The settings that were set explicitly.
    """

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
"""The kind of each setting."""
SHORT = ("activation", "dropout", "scale")
LARGEST = 2**24
"""Greatest size of a settings file, in bytes."""


# Sources


@dataclass(frozen=True)
class Setting:
    """A setting's value and where it was set: option, environment variable or file.

    Args:
        value: The value.
        where: Name of the source, for messages.
        rank: Precedence of the source; the highest wins.
    """

    value: Any
    where: str
    rank: int


Found = dict[tuple[str, str], Setting]


def resolve(
    file: Path | None, flags: Mapping[str, tuple[str, Any]], environment: Mapping[str, str] | None = None
) -> Config:
    """Merge the settings from a file, the environment and options; options have precedence.

    Args:
        file: The TOML file, if any.
        flags: {"--epochs": ("training.epochs", value)}; None if the option is absent.
        environment: The environment variables; None is those of the process.  FIRESTEEL_TRAINING_EPOCHS sets
            [training] epochs.

    Raises:
        ConfigError: If a setting is unknown or invalid; the message shows its source and the closest valid name.
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
    """Return the settings as TOML; settings that are None are left out.

    Args:
        config: The settings.
        open_: Settings to leave out as well, unless they were set explicitly.
    """
    tables = to_tables(config)
    for section, key in set(open_) - config.named:
        tables[section].pop(key, None)
    return secretless({name: table for name, table in tables.items() if table}).lstrip()


def to_tables(config: Config) -> dict[str, dict[str, Any]]:
    """Return the sections as TOML tables."""
    tables = {name: _table(getattr(config, name)) for name in SECTIONS}
    if config.model.layers is not None:
        for key in ("hidden", *SHORT):
            tables["model"].pop(key, None)
    return {name: table for name, table in tables.items() if table}


def check_secrets(section: str, key: str, value: str | None) -> None:
    """Raise ConfigError if a secret in a setting is hidden, as in a saved file, and must be set anew."""
    if value is not None and HIDDEN in value:
        raise ConfigError(
            f"{value}: [{section}] {key} was saved with {HIDDEN} in place of its secret: set the full value in "
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
    """Raise ConfigError if the network is given both as layers and in its short form."""
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
                f"{other.where}: {key} is part of the short form of a network, but {layers.where} lists its layers: "
                "leave out one of them",
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
    """Return where a key stands, as file name and line number, if a text search finds it."""
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
    """Parse a setting's text from the shell: a list if the setting needs one, a TOML value, or the text itself."""
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

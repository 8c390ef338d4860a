"""What options of several commands have in common: their kinds, the words for rows, and output as JSON.

The commands are in `train.py` and its neighbours; `config.py` says what each value may be.
"""

import json
from dataclasses import fields
from typing import Annotated, Any

from cyclopts import Parameter
from cyclopts.validators import Number

from firesteel.cli.config import SECTIONS

Count = Annotated[int, Parameter(validator=Number(gte=1))]
Seed = Annotated[int, Parameter(validator=Number(gte=0))]
Switch = Annotated[bool, Parameter(show_default=False)]
Json = Annotated[bool, Parameter(name="--json", show_default=False)]

Flags = dict[str, tuple[str, Any]]
"""An option, the setting that it stands for, and its value; None where it was not given."""


def flags(**options: Any) -> Flags:
    """Return options by what the user calls them, with the settings that they stand for."""
    known = {key.name: f"{name}.{key.name}" for name, section in SECTIONS.items() for key in fields(section)}
    known |= {"data": "data.train", "engine": "engine.name", "run": "run.folder"}
    return {f"--{name.replace('_', '-')}": (known[name], value) for name, value in options.items()}


def print_json(values: dict[str, Any]) -> None:
    """Print one line of JSON."""
    print(json.dumps(values), flush=True)

"""What options of several commands have in common: their kinds, the words for rows, and output as JSON.

The commands are in `train.py` and its neighbours; `config.py` says what each value may be.
"""

import json
from typing import Annotated, Any

from cyclopts import Parameter
from cyclopts.validators import Number

Count = Annotated[int, Parameter(validator=Number(gte=1))]
Seed = Annotated[int, Parameter(validator=Number(gte=0))]
Switch = Annotated[bool, Parameter(show_default=False)]
Json = Annotated[bool, Parameter(name="--json", show_default=False)]

Flags = dict[str, tuple[str, Any]]
"""An option, the setting that it stands for, and its value; None where it was not given."""


def rows_flags(
    rows: str | None,
    format: str | None,
    label: str | None,
    features: str | None,
    weight: str | None = None,
    *,
    name: str = "--data",
) -> Flags:
    """Return the options that say which rows.  name: of the one that names them."""
    return {
        name: ("data.train", rows),
        "--format": ("data.format", format),
        "--label": ("data.label", label),
        "--features": ("data.features", features),
        "--weight": ("data.weight", weight),
    }


def print_json(values: dict[str, Any]) -> None:
    """Print one line of JSON."""
    print(json.dumps(values), flush=True)

"""Validation of the targets of networks with several outputs."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from firesteel.core.types import Array
from firesteel.errors import DataError
from firesteel.train.checks import KINDS, ONLY_FOR, OUTSIDE, Finding, Findings, Rule

OF = " of output "
"""Separates the code of a finding from the name of the output."""
Wrong = Callable[[Array, float], npt.NDArray[np.bool_]]
WRONG: Mapping[str, Wrong] = {
    "label-fractional": lambda y, classes: y != np.floor(y),
    "label-range": lambda y, classes: (y < 0) | (y >= classes),
    "label-unit": lambda y, classes: (y < 0) | (y > 1),
    "label-count": lambda y, classes: y < 0,
    "label-sign": lambda y, classes: ~np.isin(y, (-1, 0, 1)),
}
"""For each code, which targets, (n, T), are invalid for the loss."""


class OutputRule(NamedTuple):
    """Rule for valid targets of one of a network's outputs, and the columns of y that hold them.

    Args:
        name: Name of the output.
        start: First column of its targets.
        stop: End of its columns (exclusive).
        rule: The rule.
    """

    name: str
    start: int
    stop: int
    rule: Rule


def output_findings(y: Array, rules: Sequence[OutputRule], where: Callable[[int], str]) -> Findings:
    """Return counts and first examples of invalid targets, by kind of error and output.

    Args:
        y: The targets of all outputs, (n, T).
        rules: The rule of each output.
        where: Names the n-th row for messages.
    """
    found: Findings = {}
    for name, start, stop, rule in rules:
        own = y[:, start:stop]
        for code in (code for code in WRONG if ONLY_FOR[code] == rule.targets):
            wrong = WRONG[code](own, np.inf if rule.classes is None else rule.classes)
            if (rows := wrong.any(axis=1)).any():
                row = int(rows.argmax())
                value = f"{own[row, wrong[row].argmax()]:g}"
                found[f"{code}{OF}{name}"] = Finding(int(np.count_nonzero(rows)), where(row), value)
    return found


def refuse_outputs(found: Findings, rows: int) -> None:
    """Raise DataError if `output_findings` found invalid targets of an output.

    Args:
        found: The findings.
        rows: Number of rows.
    """
    for at, finding in found.items():
        code, of, name = at.partition(OF)
        if of:
            _, what, remedy = KINDS[code]
            remedy = (
                "number the classes from 0, and give this output one unit per class" if what == OUTSIDE else remedy
            )
            raise DataError(
                f"the target of output {name!r} holds {what}: {finding.value} at {finding.where}; "
                f"{finding.rows:,} of {rows:,} rows have this error.  To do: {remedy}.",
                code=f"data-{code}",
            )

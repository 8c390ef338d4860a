"""What stands for a value that is missing, and what is written as a number: the same for all readers."""

import math
import re

__all__ = ["MISSING", "NUMERAL", "is_missing", "is_numeral"]

MISSING = (
    "",
    "#n/a",
    "-",
    "--",
    ".",
    "<na>",
    "?",
    "\\n",
    "missing",
    "n.a.",
    "n/a",
    "na",
    "nan",
    "nat",
    "nil",
    "none",
    "null",
)
"""Marks for no value, in small letters and without spaces around."""
NUMERAL = r"[+-]?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"
"""A number as text; with a zero before it, as in 007, it is a name."""


def is_missing(text: str) -> bool:
    r"""Return whether a text stands for a value that is missing.

    >>> [is_missing(text) for text in (" NA ", "None", "?", r"\N", "no", "0")]
    [True, True, True, True, False, False]
    """
    return text.strip().lower() in MISSING


def is_numeral(text: str) -> bool:
    """Return whether a text is a finite number.

    >>> [is_numeral(text) for text in ("1", "-2.0", " 1e3 ", "007", "1e999", "1,5")]
    [True, True, True, False, False, False]
    """
    return re.fullmatch(NUMERAL, text.strip()) is not None and math.isfinite(float(text))

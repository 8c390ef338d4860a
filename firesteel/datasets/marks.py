"""Recognition of missing values ("NA", "?") and of numbers in text, by the same rules for all readers."""

import math
import re

MISSING = (
    *("", "-", "--", "---", "\u2013", "\u2014", ".", "..", "...", "?", "\\n"),
    *("#div/0!", "#n/a", "#na", "#name?", "#null!", "#num!", "#ref!", "#value!"),
    *("-nan", "+nan", "nan", "nan(ind)", "-nan(ind)", "1.#qnan", "-1.#qnan", "1.#ind", "-1.#ind"),
    *("(null)", "<na>", "<null>", "missing", "n.a", "n.a.", "n/a", "na", "nat", "nil", "none", "null"),
    *("not applicable", "not available", "undefined"),
)
"""Marks for missing values, in lower case and without surrounding spaces."""
NUMBER = re.compile(r"[+-]?(\d++\.?\d*+|\.\d++)([eE][+-]?\d++)?", re.ASCII)
"""A number as text, in any common notation."""
NUMERAL = r"[+-]?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"
"""A number as text, without leading zeros: 007 is a name."""
CODE = r"[0-9]+"
"""A name that consists of digits."""
MANY = 20
"""Greatest number of distinct numbers that can be class names."""


def is_missing(text: str) -> bool:
    r"""Return whether a text stands for a missing value, such as "NA" or "?".

    >>> [is_missing(text) for text in (" NA ", "None", "?", r"\N", "no", "0")]
    [True, True, True, True, False, False]
    """
    return text.strip().lower() in MISSING


def are_stray(texts: int, numbers: int, rows: int) -> bool:
    """Return whether the texts in a mostly numeric column are marks for missing values rather than classes.

    Args:
        texts: Number of rows with a text that is neither a number nor a code.
        numbers: Number of distinct numbers.
        rows: Number of rows.

    >>> are_stray(1, 63, 5_000), are_stray(1, 3, 5_000), are_stray(4_000, 63, 5_000)
    (True, False, False)
    """
    return 0 < 10 * texts <= rows and numbers > MANY


def is_number(text: str) -> bool:
    """Return whether a text is a finite number, in decimal or exponential notation.

    >>> [is_number(text) for text in ("1.", " -2e3", "007", "1e999", "1_0", "nan")]
    [True, True, True, False, False, False]
    """
    return NUMBER.fullmatch(text.strip()) is not None and math.isfinite(float(text))


def is_numeral(text: str) -> bool:
    """Return whether a text is a finite number without leading zeros.

    >>> [is_numeral(text) for text in ("1", "-2.0", " 1e3 ", "007", "1e999", "1,5")]
    [True, True, True, False, False, False]
    """
    return re.fullmatch(NUMERAL, text.strip()) is not None and math.isfinite(float(text))

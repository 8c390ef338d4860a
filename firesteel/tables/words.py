"""Storage of a table's vocabulary, the words of its text columns, as two arrays: UTF-8 bytes and word ends."""

import itertools
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from firesteel.core.spec import whole
from firesteel.core.types import Array
from firesteel.tables.schema import MOST_LEVELS, CategoryColumn, encoded

WORDS = {"word_ends": np.uint32, "words": np.uint8}
"""Names and dtypes of the arrays, in order."""
CATEGORY = CategoryColumn.__name__


def without_words(table: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Array]]:
    """Split a schema's configuration into one with only the numbers of words, and the words as arrays."""
    columns, words = list[dict[str, Any]](), list[bytes]()
    for column in table["columns"]:
        if column["type"] == CATEGORY:
            words += map(encoded, column["levels"])
            column = {**column, "levels": len(column["levels"])}
        columns.append(column)
    ends = np.cumsum([len(word) for word in words], dtype=np.uint32)
    arrays: dict[str, Array] = {"word_ends": ends, "words": np.array(bytearray(b"".join(words)), np.uint8)}
    return {**table, "columns": columns}, arrays if words else {}


def with_words(table: dict[str, Any], arrays: Mapping[str, Array], room: float = math.inf) -> dict[str, Any]:
    """Insert the words into a schema's configuration: the inverse of `without_words`.

    Raises ValueError, or another of WRONG, if they do not fit together, or would take more memory than `room` bytes.
    """
    ends, text = (arrays.get(name, np.empty(0, kind)) for name, kind in WORDS.items())
    if len(text) != (ends[-1] if len(ends) else 0) or (ends[1:] < ends[:-1]).any():
        raise ValueError("the vocabulary's words are not contiguous")
    if memory_of(len(ends), text) > room:
        raise ValueError("it has too many words")
    data, columns, at, start = text.data, list[Any](), 0, 0
    for column in table["columns"]:
        if column["type"] == CATEGORY:
            count = whole(column["levels"])
            if count is None or not 0 <= count <= min(MOST_LEVELS, len(ends) - at):
                raise ValueError("the vocabulary lists fewer values than its columns have")
            places = [start, *ends[at : at + count].tolist()]
            levels = tuple([str(data[a:b], "utf-8", "surrogatepass") for a, b in itertools.pairwise(places)])
            column, at, start = {**column, "levels": levels}, at + count, places[-1]
        columns.append(column)
    if at < len(ends):
        raise ValueError("the vocabulary lists more values than its columns have")
    return {**table, "columns": columns}


def memory_of(count: int, text: Array) -> int:
    """Return an upper bound of the bytes that `count` words take as Python strings, beyond their UTF-8 `text`."""
    if (text < 0x80).all():
        return 72 * count
    width = 4 if (text >= 0xF0).any() else 2 if (text >= 0xC4).any() else 1
    letters = int(((text & 0xC0) != 0x80).sum())
    return 100 * count + width * letters - len(text)

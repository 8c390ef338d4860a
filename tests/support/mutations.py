"""Damage to files: flipped bytes; removed, moved, repeated or overwritten pieces; changed numbers in a header.

Mutations depend on the seed only, so a harmful one can be reproduced from its number.
"""

import re
from collections.abc import Iterator

import numpy as np

__all__ = ["mutants"]

NUMBERS = (b"0", b"-1", b"1e400", b"NaN", b"4611686018427387904", b"true", b"[]", b'""', b"0.5", b"4")
"""Replacements for a number in a header."""
PIECE = 64
"""The largest piece, in bytes."""


def mutants(data: bytes, count: int, seed: int, front: int, text: bool = False) -> Iterator[bytes]:
    """Yield `count` damaged copies of a file, in turn for each kind of damage.

    front: length of the header, which receives half of the damage.  text: whether the header is JSON after its
    length in 8 bytes; then the length is corrected.
    """
    rng = np.random.default_rng(seed)
    kinds = [_flip, _byte, _cut, _tail, _drop, _double, _move, _noise, *([_number, _word] if text else [])]
    for at in range(count):
        kind = kinds[at % len(kinds)]
        within = front if rng.random() < 0.5 else len(data)
        yield kind(data, rng, front if text and kind in (_number, _word) else within)


def _at(rng: np.random.Generator, within: int) -> int:
    return int(rng.integers(within))


def _flip(data: bytes, rng: np.random.Generator, within: int) -> bytes:
    at = _at(rng, within)
    return data[:at] + bytes([data[at] ^ 1 << int(rng.integers(8))]) + data[at + 1 :]


def _byte(data: bytes, rng: np.random.Generator, within: int) -> bytes:
    at = _at(rng, within)
    return data[:at] + rng.bytes(1) + data[at + 1 :]


def _cut(data: bytes, rng: np.random.Generator, within: int) -> bytes:
    return data[: _at(rng, within)]


def _tail(data: bytes, rng: np.random.Generator, within: int) -> bytes:
    return data + rng.bytes(1 + _at(rng, PIECE))


def _drop(data: bytes, rng: np.random.Generator, within: int) -> bytes:
    at = _at(rng, within)
    return data[:at] + data[at + 1 + _at(rng, PIECE) :]


def _double(data: bytes, rng: np.random.Generator, within: int) -> bytes:
    at = _at(rng, within)
    return data[: at + 1 + _at(rng, PIECE)] + data[at:]


def _move(data: bytes, rng: np.random.Generator, within: int) -> bytes:
    """Overwrite one piece with another."""
    to, size = _at(rng, within), 1 + _at(rng, PIECE)
    at = _at(rng, len(data))
    piece = data[at : at + size]
    return data[:to] + piece + data[to + len(piece) :]


def _noise(data: bytes, rng: np.random.Generator, within: int) -> bytes:
    at, piece = _at(rng, within), rng.bytes(1 + _at(rng, PIECE))
    return data[:at] + piece + data[at + len(piece) :]


def _number(data: bytes, rng: np.random.Generator, within: int) -> bytes:
    """Replace a number in the header by another number or something else."""
    return _replaced(data, rng, within, rb"-?\d+(?:\.\d+)?", NUMBERS)


def _word(data: bytes, rng: np.random.Generator, within: int) -> bytes:
    """Replace one word of the header by another."""
    words = re.findall(rb"\w+", data[8:within])
    return _replaced(data, rng, within, rb"\w+", words)


def _replaced(data: bytes, rng: np.random.Generator, within: int, what: bytes, by: object) -> bytes:
    found = list(re.finditer(what, data[8:within]))
    one, new = found[_at(rng, len(found))], by[_at(rng, len(by))]
    header = data[8 : 8 + one.start()] + new + data[8 + one.end() : within]
    return len(header).to_bytes(8, "little") + header + data[within:]

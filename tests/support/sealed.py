"""Files with changed content and a correct checksum: only the reader's checks can detect the change.

Mutations depend on the seed only, so a harmful one can be reproduced from its number.
"""

import copy
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
from safetensors.numpy import load, save

from firesteel import _store as store

__all__ = ["parts", "changed", "sealed_mutants"]

DEEP: Any = 0.5
for _ in range(300):
    DEEP = [DEEP]
ODD = (
    *(None, True, False, 0, 1, -1, 2, 3, 7, 128, 2**31, 2**53, 2**62, 2**64, 10**30, 10**400, -(10**400)),
    *(0.5, -0.5, 1e-320, 1e308, -1e308, float("nan"), float("inf"), -float("inf"), 1.0, -0.0),
    *("", "0", "1.5", "relu", "Dense", "SGD", "float64", "loss", "epoch", "a\nb", "\ud800", "\x00", "x" * 5000),
    *(
        [],
        [0],
        [None],
        [[]],
        ["relu"],
        [0.5] * 3,
        [1] * 2000,
        {},
        {"type": "Dense"},
        {"type": "LBFGS"},
        {"a": {}},
        DEEP,
    ),
)
"""Replacements for a value."""
FLOATS, BYTES = (np.nan, np.inf, -np.inf, 3e38, -3e38, 1e-40), (0, 1, 127, 128, 255)
"""Replacements for a number in an array."""


def parts(data: bytes) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return a file's description without the checksum, and its arrays."""
    size = int.from_bytes(data[:8], "little")
    header = json.loads(json.loads(data[8 : 8 + size])["__metadata__"]["firesteel"])
    del header["sha256"]
    return header, load(data)


def sealed_mutants(data: bytes, count: int, seed: int, order: list[str]) -> Iterator[bytes]:
    """Yield `count` mutations of a file, each with a correct checksum.

    order: the names of the arrays in the order of the checksum.
    """
    rng = np.random.default_rng(seed)
    whole, tensors = parts(data)
    for _ in range(count):
        header, arrays = copy.deepcopy(whole), dict(tensors)
        for _ in range(1 + int(rng.integers(4) == 0)):
            if rng.random() < 0.85:
                header = changed(header, rng)
            else:
                _change_array(arrays, rng)
        known = [name for name in order if name in arrays]
        listed = [*known, *(name for name in sorted(arrays) if name not in known)]
        header["sha256"] = store.checksum(header, *(np.ascontiguousarray(arrays[name]) for name in listed))
        yield save(
            {name: np.ascontiguousarray(array) for name, array in arrays.items()}, {"firesteel": json.dumps(header)}
        )


def _places(node: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of every value in a description."""
    inside = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in inside:
        yield (*above, key)
        yield from _places(value, (*above, key))


def _at(node: Any, place: tuple[Any, ...]) -> Any:
    for key in place:
        node = node[key]
    return node


def _pick(rng: np.random.Generator, among: Any) -> Any:
    return among[int(rng.integers(len(among)))]


def changed(header: dict[str, Any], rng: np.random.Generator) -> dict[str, Any]:
    """Change one value of a description, chosen uniformly over fields at all depths."""
    places = list(_places(header))
    if not places:
        return header
    *above, key = _pick(rng, places)
    holder = _at(header, tuple(above))
    value, how = holder[key], int(rng.integers(9))
    if how <= 2:
        holder[key] = copy.deepcopy(_pick(rng, ODD))
    elif how == 3 and isinstance(value, int | float) and not isinstance(value, bool):
        holder[key] = (
            value + _pick(rng, (1, -1, 0.5, 1e-9)) if rng.random() < 0.5 else value * _pick(rng, (2, -1, 1e9))
        )
    elif how == 4:
        del holder[key]
    elif how == 5:
        holder[key] = copy.deepcopy(_at(header, _pick(rng, places)))
    elif how == 6:
        holder[key] = [value] if rng.random() < 0.5 else {"type": value}
    elif how == 7 and isinstance(holder, dict):
        holder[str(_pick(rng, _pick(rng, places)))] = holder.pop(key)
    elif isinstance(value, list):
        value[:] = _pick(rng, (value[::-1], value[:-1], value * 2, [*value, *value[:1]]))
    elif isinstance(value, dict):
        value["more"] = copy.deepcopy(_pick(rng, ODD))
    else:
        holder[key] = str(value)
    return header


def _change_array(arrays: dict[str, np.ndarray], rng: np.random.Generator) -> None:
    name, how = _pick(rng, sorted(arrays)), int(rng.integers(7))
    array = arrays[name].copy()
    if how <= 1 and array.size:
        array.reshape(-1)[int(rng.integers(array.size))] = _pick(rng, FLOATS if array.dtype.kind == "f" else BYTES)
    elif how == 2:
        array = array.astype("f8" if array.dtype == "f4" else "f4")
    elif how == 3:
        array = array.reshape(-1)[: max(0, array.size - 1)]
    elif how == 4:
        array = array[None]
    elif how == 5:
        array = array.T if array.ndim > 1 else np.concatenate([array, array])
    elif rng.random() < 0.5:
        del arrays[name]
        return
    else:
        name = _pick(rng, ("more", "slots", "outer", "0.w", "1.theta", "sums"))
    arrays[name] = array

"""A model is one safetensors file: named weights, and a header with the JSON that describes the rest.

Nothing in it is code, a path or a name to import: layers, losses and optimisers are looked up in firesteel's own
registries, every shape must be the one that the description implies, and anything else is refused.  A checksum over
both finds a damaged file.  A save is written next to the target, flushed and renamed, so that the
old file stays whole until the new one is.

Format 1 holds a network, its weights and what it was compiled with.  Format 2 also holds the state of a training that
may go on: the optimiser's moments, the steps taken, the learning rate that was set; or a network's centre; or how a
table's columns become its rows.  The words of such columns are one array, of their UTF-8; another says where each
ends.
"""

import hashlib
import json
import math
import os
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from safetensors.numpy import save

from firesteel._files import named, open_plain, path_of, replacing
from firesteel.core.elsewhere import UnknownClass
from firesteel.core.network import Network
from firesteel.core.types import Array
from firesteel.errors import StoreError
from firesteel.tables.words import WORDS, memory_of, with_words

FORMATS = (1, 2)
"""Numbers of the file formats that are read.  One is added when readers of the last would misread a file."""
SPARE = 64 << 20
"""Bytes that reading a file may take besides twice its size."""
ARENAS = 8 << 20
"""Bytes of these that Python takes besides what it has in use."""
WRONG = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
"""What a description that makes no sense may raise where it is taken for one."""
CODER = json.JSONEncoder(sort_keys=True)
DECODER = json.JSONDecoder(parse_float=lambda number: 0.0 if number == "0.0" else float(number))
LONG = 2 << 20
"""Bytes of a description of ours that can be read in any case."""
STRING = re.compile(r'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
FRONT = re.compile(r'\s*{\s*"__metadata__"\s*:\s*{\s*"firesteel"\s*:\s*' + STRING.pattern, re.DOTALL)
"""Where the description stands in every header that safetensors writes."""
VECTORS = ("outer", "slots")
"""Names of the arrays of a training's state, in their order."""
NONE: Mapping[str, Array] = MappingProxyType({})


def tensor_names(network: Network) -> list[str]:
    """Return a name for each array of theta, in order: the number of its op, and its letter."""
    return [f"{number}.{name}" for number, name, _, _ in network.layout.slices]


def _format(header: Mapping[str, Any]) -> int:
    """Return the first format whose readers understand a description: no file has a higher one than it needs."""
    later = {"state", "table", "graph", "name"} & header.keys() or "centre" in header["network"]
    return 2 if later or any({"name", "trainable"} & one.keys() for one in _layers(header["network"])) else 1


def _layers(network: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the descriptions of a network's layers."""
    return network["layers"] if "layers" in network else [node["layer"] for node in network["nodes"]]


def to_bytes(network: Network, theta: Array, extra: Mapping[str, Any], vectors: Mapping[str, Array] = NONE) -> bytes:
    """Return a model file's content.

    Args:
        network: The network.
        theta: Its weights, (P,).
        extra: A JSON-able description of the rest; "state" is that of a training that may go on.
        vectors: The state's arrays, (..., P), by the names in VECTORS, and those of a table's words.
    """
    header = {"network": network.to_config(), **extra}
    header["format"] = _format(header)
    header["sha256"] = checksum(header, theta, *(vectors[name] for name in sorted(vectors)))
    arrays = (theta[where].reshape(shape) for _, _, shape, where in network.layout.slices)
    named = {**dict(zip(tensor_names(network), arrays, strict=True)), **vectors}
    tensors = {name: np.ascontiguousarray(array) for name, array in named.items()}
    data = save(tensors, {"firesteel": CODER.encode(header)})
    words = vectors.keys() >= WORDS.keys()
    if words or int.from_bytes(data[:8], "little") > LONG:  # what could not be read again is not written
        room = headers(data, "a file of so long a description")[2]
        if words and memory_of(count := len(vectors["word_ends"]), vectors["words"]) > room:
            raise StoreError(
                f"the columns of text have {count:,} words together, and a file holds about {room // 100:,}: leave "
                "out columns of the most words",
                code="store-words",
            )
    return data


def checksum(header: Mapping[str, Any], *arrays: Array, size: int = 0) -> str:
    """Return the SHA-256 (64 hex digits) of the description, less a checksum in it, and of the arrays.

    size: of the file that is read: the description in a large one may fit in memory only once.
    """
    digest = hashlib.sha256()
    described = {key: value for key, value in header.items() if key != "sha256"}
    for text in CODER.iterencode(described) if size > LONG else [CODER.encode(described)]:
        digest.update(text.encode())
    for array in arrays:
        digest.update(np.ascontiguousarray(array, array.dtype.newbyteorder("<")).data)
    return digest.hexdigest()


def from_bytes(data: bytes, name: str) -> tuple[Network, Array, dict[str, Any], dict[str, Array]]:
    """Return (network, theta, the rest of the header, the state's arrays) from a model file's content.

    Args:
        data: The content.
        name: What to call the file in messages.

    Raises:
        StoreError: If it is not a model's, or another version's, or damaged.
    """
    entries, header, room = headers(data, name)
    if type(header.get("format")) is not int or header["format"] not in FORMATS:
        raise StoreError(
            f"{name} has format {repr(header.get('format'))[:30]}, and this firesteel reads "
            f"{' and '.join(map(str, FORMATS))}: it was written by another version",
            code="store-format",
        )
    try:
        network = Network.from_config(header["network"])
        named = tensor_names(network)
        shapes = dict(zip(named, (shape for _, _, shape, _ in network.layout.slices), strict=True))
        state = [part for part in VECTORS if "state" in header and part in entries]
        stored = [part for part in WORDS if "table" in header and part in entries]
        shapes |= {part: tuple(entries[part]["shape"]) for part in (*state, *stored)}
        kinds = {part: (WORDS.get(part, network.dtype), shape) for part, shape in shapes.items()}
        parts = arrays(data, entries, kinds)
        weights, moments = parts[: len(named)], parts[len(named) : len(named) + len(state)]
        words = dict(zip(stored, parts[len(named) + len(state) :], strict=True))
        theta = np.concatenate([np.empty(0, network.dtype), *(part.reshape(-1) for part in weights)])
        if header.get("sha256") != checksum(header, theta, *moments, *words.values(), size=len(data)):
            raise ValueError("its checksum is not that of its content")
        if "table" in header:
            header["table"] = with_words(header["table"], words, room)
    except WRONG as error:
        raise damaged(name, error, header) from None
    return network, theta, header, dict(zip(state, (part.astype(theta.dtype) for part in moments), strict=True))


def damaged(name: str, what: object, header: object = None) -> StoreError:
    """Return the error for a file that is not what it should be, with the beginning of what is wrong.

    header: its description, where it is known.
    """
    if isinstance(what, UnknownClass):
        return what.in_file(name, header)
    return StoreError(f"{name} is damaged: {' '.join(str(what).split())[:300]}", code="store-damaged")


def arrays(data: bytes, entries: Mapping[str, Any], wanted: Mapping[str, tuple[Any, tuple[int, ...]]]) -> list[Array]:
    """Return a file's arrays as views of it; raise ValueError unless they are the wanted ones, end to end.

    entries: where they lie.  wanted: dtype and shape of each.
    """
    ends = dict[int, int]()
    sizes = {name: np.dtype(dtype).itemsize * math.prod(shape) for name, (dtype, shape) in wanted.items()}
    start, found = len(data) - sum(sizes.values()), []
    if sorted(entries) != sorted(wanted) or start != 8 + int.from_bytes(data[:8], "little"):
        raise ValueError(f"its arrays are not the {len(wanted)} of its description, of {sum(sizes.values())} bytes")
    for name, (dtype, shape) in wanted.items():
        first = entries[name]["data_offsets"][0]
        end = first + sizes[name]
        ends |= {first: end} if end > first else {}
        kind = f"{np.dtype(dtype).kind.upper()}{8 * np.dtype(dtype).itemsize}"
        if entries[name] != {"dtype": kind, "shape": list(shape), "data_offsets": [first, end]}:
            raise ValueError(f"array {name} is not {np.dtype(dtype)} of {shape}")
        order = np.dtype(dtype).newbyteorder("<")
        found.append(np.frombuffer(data, order, math.prod(shape), start + first).reshape(shape))
    if [*sorted(ends), sum(sizes.values())] != [0, *sorted(ends.values())]:
        raise ValueError("its arrays do not lie one behind the other")
    return found


def headers(data: bytes, name: str) -> tuple[dict[str, Any], dict[str, Any], int]:
    """Return where the arrays lie, firesteel's own description, and how many bytes more may be made of that.

    Raises StoreError if a file has no such header, or reading it would take more memory than a file of its size may.
    """
    try:
        size = int.from_bytes(data[:8], "little")
        text = str(memoryview(data)[8 : 8 + size], "ascii") if 0 < size <= len(data) - 8 else ""
        taken = claimed(text, own.end() if (own := FRONT.match(text)) else 0)
        _must_fit((8 if "\\u" in text else 2) * size + taken, len(data))
        entries = json.loads(text)
        del text, own
        inner = entries.pop("__metadata__")["firesteel"]
        taken += claimed(inner)
        _must_fit(len(inner) + taken, len(data))
        _must_fit(taken, size)  # arrays take the rest
        header = DECODER.decode(inner)
        if not isinstance(header, dict):
            raise TypeError
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        raise StoreError(f"{name} is not a firesteel model, or it is damaged", code="store-damaged") from None
    return entries, header, size + SPARE - ARENAS - taken


def _must_fit(taken: int, size: int) -> None:
    """Raise ValueError where more memory is taken than so many bytes of a file allow."""
    if taken > size + SPARE - ARENAS:
        raise ValueError("too much is described")


def claimed(text: str, start: int = 0) -> int:
    """Return the most bytes that the values in JSON take, from `start` on: Python's objects, and texts once more.

    In a short text every letter counts as part of a string.
    """
    counts = {sign: text.count(sign, start) for sign in ',:[{"'}
    taken = 41 * counts[","] + 100 * counts[":"] + 104 * counts["["] + 400 * counts["{"] + 30 * counts['"']
    taken -= 24 * text.count(" 0.0,", start)  # which is there once
    if taken > 1.5 * (len(text) + SPARE):
        return taken
    size = sum(m.end() - m.start() for m in STRING.finditer(text, start)) if len(text) > LONG else len(text) - start
    return taken + (6 if "\\u" in text else 3) * size


def write(path: str | os.PathLike[str], data: bytes) -> None:
    """Write a file whole or not at all.  Raises StoreError if it cannot be written."""
    with named(path := path_of(path)), replacing(path) as file:
        file.write(data)


def read(path: str | os.PathLike[str]) -> bytes:
    """Return a plain file's content.  Raises StoreError if it cannot be read."""
    with named(path := path_of(path), "read"), open_plain(path) as file:
        return file.read()

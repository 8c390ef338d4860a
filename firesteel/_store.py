"""Model files: one safetensors file with named weights and a JSON header.

The file contains no code, paths or import names: layers, losses and optimizers are looked up in firesteel's
registries, every shape must match the description, and anything else is refused.  A checksum over header and weights
detects damage.  A save writes a temporary file next to the target, flushes it and renames it, so that the old file
stays intact until the new one is complete.

Format 1 holds a network, its weights and its compile settings.  Format 2 adds any of: the training state (optimizer
moments, steps, the learning rate that was set), a network's centre, the schema of a table.  The words of a table's
columns are stored as one array of UTF-8 bytes and one of end positions.
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
"""The file formats that can be read.  A new one is added when older readers would misread a file."""
SPARE = 64 << 20
"""Bytes that reading a file may use, beyond twice its size."""
ARENAS = 8 << 20
"""Bytes of `SPARE` reserved for the overhead of Python's allocator."""
WRONG = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
"""Exceptions that parsing an invalid description may raise."""
CODER = json.JSONEncoder(sort_keys=True)
DECODER = json.JSONDecoder(parse_float=lambda number: 0.0 if number == "0.0" else float(number))
LONG = 2 << 20
"""Size in bytes up to which firesteel's own descriptions are always readable."""
STRING = re.compile(r'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
FRONT = re.compile(r'\s*{\s*"__metadata__"\s*:\s*{\s*"firesteel"\s*:\s*' + STRING.pattern, re.DOTALL)
"""The start of every header that safetensors writes, up to the end of the description."""
VECTORS = ("outer", "slots")
"""Names of the arrays of a training state, in order."""
NONE: Mapping[str, Array] = MappingProxyType({})


def tensor_names(network: Network) -> list[str]:
    """Return a name for each array of theta, in order: the number of its part, a dot, and the parameter's name."""
    return [f"{number}.{name}" for number, name, _, _ in network.layout.slices]


def _format(header: Mapping[str, Any]) -> int:
    """Return the oldest file format that can express a model, so that older versions of firesteel can read it."""
    later = {"state", "table", "graph", "name"} & header.keys() or "centre" in header["network"]
    return 2 if later or any({"name", "trainable"} & one.keys() for one in _layers(header["network"])) else 1


def _layers(network: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the descriptions of a network's layers."""
    return network["layers"] if "layers" in network else [node["layer"] for node in network["nodes"]]


def to_bytes(network: Network, theta: Array, extra: Mapping[str, Any], vectors: Mapping[str, Array] = NONE) -> bytes:
    """Serialize a network, its weights and further data as the content of a model file.

    Args:
        network: The network.
        theta: The weights, (P,).
        extra: The other header entries, JSON-able; "state" is that of a training that can resume.
        vectors: The arrays of the state, (..., P), by their names in VECTORS, and of a table's words.

    Raises:
        StoreError: If the words of text columns are too many (`store-words`).
    """
    header = {"network": network.to_config(), **extra}
    header["format"] = _format(header)
    header["sha256"] = checksum(header, theta, *(vectors[name] for name in sorted(vectors)))
    arrays = (theta[where].reshape(shape) for _, _, shape, where in network.layout.slices)
    named = {**dict(zip(tensor_names(network), arrays, strict=True)), **vectors}
    tensors = {name: np.ascontiguousarray(array) for name, array in named.items()}
    data = save(tensors, {"firesteel": CODER.encode(header)})
    words = vectors.keys() >= WORDS.keys()
    if words or int.from_bytes(data[:8], "little") > LONG:  # refuse to write an unreadable file
        room = headers(data, "a file of so long a description")[2]
        if words and memory_of(count := len(vectors["word_ends"]), vectors["words"]) > room:
            raise StoreError(
                f"the text columns have {count:,} distinct values in total, but a file can hold about "
                f"{room // 100:,}: leave out the columns with the most values",
                code="store-words",
            )
    return data


def checksum(header: Mapping[str, Any], *arrays: Array, size: int = 0) -> str:
    """Return one SHA-256 (64 hex digits) over the arrays and the description without its checksum field.

    Args:
        header: The description.
        arrays: The arrays.
        size: The size of the file being read; a large description may fit in memory only once.
    """
    digest = hashlib.sha256()
    described = {key: value for key, value in header.items() if key != "sha256"}
    for text in CODER.iterencode(described) if size > LONG else [CODER.encode(described)]:
        digest.update(text.encode())
    for array in arrays:
        digest.update(np.ascontiguousarray(array, array.dtype.newbyteorder("<")).data)
    return digest.hexdigest()


def from_bytes(data: bytes, name: str) -> tuple[Network, Array, dict[str, Any], dict[str, Array]]:
    """Return (network, theta, header, arrays of the training state) from the content of a model file.

    Args:
        data: The content.
        name: The name of the file, for messages.

    Raises:
        StoreError: If it is not a model file, is damaged (`store-damaged`), or has an unknown format
            (`store-format`).
    """
    entries, header, room = headers(data, name)
    if type(header.get("format")) is not int or header["format"] not in FORMATS:
        raise StoreError(
            f"{name} has format {repr(header.get('format'))[:30]}, but this version of firesteel reads "
            f"{' and '.join(map(str, FORMATS))}: use the version that wrote it",
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
            raise ValueError("checksum mismatch")
        if "table" in header:
            header["table"] = with_words(header["table"], words, room)
    except WRONG as error:
        raise damaged(name, error, header) from None
    return network, theta, header, dict(zip(state, (part.astype(theta.dtype) for part in moments), strict=True))


def damaged(name: str, what: object, header: object = None) -> StoreError:
    """Return the error for a file that is damaged or of unknown format; its message quotes the cause.

    Args:
        name: The name of the file.
        what: The cause.
        header: The file's description, if known.
    """
    if isinstance(what, UnknownClass):
        return what.in_file(name, header)
    return StoreError(f"{name} is damaged: {' '.join(str(what).split())[:300]}", code="store-damaged")


def arrays(data: bytes, entries: Mapping[str, Any], wanted: Mapping[str, tuple[Any, tuple[int, ...]]]) -> list[Array]:
    """Return the arrays of a file as views; raise ValueError unless they are the wanted ones, without gaps.

    Args:
        data: The content of the file.
        entries: The safetensors header, with the position of each array.
        wanted: The dtype and shape of each array.
    """
    ends = dict[int, int]()
    sizes = {name: np.dtype(dtype).itemsize * math.prod(shape) for name, (dtype, shape) in wanted.items()}
    start, found = len(data) - sum(sizes.values()), []
    if sorted(entries) != sorted(wanted) or start != 8 + int.from_bytes(data[:8], "little"):
        raise ValueError(f"expected {len(wanted)} arrays with {sum(sizes.values())} bytes")
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
        raise ValueError("its arrays overlap or leave gaps")
    return found


def headers(data: bytes, name: str) -> tuple[dict[str, Any], dict[str, Any], int]:
    """Return the safetensors header, firesteel's description, and the memory in bytes left for parsing.

    Raises:
        StoreError: If the header is missing or invalid, or reading it would take too much memory (`store-damaged`).
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
    """Raise ValueError if the memory needed exceeds what a file of this size may use."""
    if taken > size + SPARE - ARENAS:
        raise ValueError("too much is described")


def claimed(text: str, start: int = 0) -> int:
    """Return an upper bound of the memory, in bytes, that parsed JSON takes, counted from `start`.

    In a short text every character counts as part of a string.
    """
    counts = {sign: text.count(sign, start) for sign in ',:[{"'}
    taken = 41 * counts[","] + 100 * counts[":"] + 104 * counts["["] + 400 * counts["{"] + 30 * counts['"']
    taken -= 24 * text.count(" 0.0,", start)  # all zeros are one object
    if taken > 1.5 * (len(text) + SPARE):
        return taken
    size = sum(m.end() - m.start() for m in STRING.finditer(text, start)) if len(text) > LONG else len(text) - start
    return taken + (6 if "\\u" in text else 3) * size


def write(path: str | os.PathLike[str], data: bytes) -> None:
    """Write a file completely or not at all; raise StoreError if it cannot be written."""
    with named(path := path_of(path)), replacing(path) as file:
        file.write(data)


def read(path: str | os.PathLike[str]) -> bytes:
    """Return the content of a regular file; raise StoreError if it cannot be read."""
    with named(path := path_of(path), "read"), open_plain(path) as file:
        return file.read()

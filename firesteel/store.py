"""A model is one safetensors file: named weights, and a header with the JSON that describes the rest.

Nothing in it is code, a path or a name to import: layers, losses and optimisers are looked up in firesteel's own
registries, every shape must be the one that the description implies, and anything else is refused.  A checksum over
both tells a damaged file from a whole one.  A save is written beside the target, flushed and renamed, so that the
old file stays whole until the new one is.
"""

import hashlib
import json
import math
import os
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from firesteel.core.network import Network
from firesteel.core.types import Array
from firesteel.errors import ConfigError, StoreError
from firesteel.train.state import Progress, TrainState

__all__ = [
    "FORMAT",
    "FileCheckpoints",
    "from_bytes",
    "progress_from_bytes",
    "progress_to_bytes",
    "read",
    "to_bytes",
    "write",
]

VECTORS = ("theta", "slots", "outer")
FORMAT = 1
"""Number of the file format; it grows when a reader of an older one would misread a file."""
SPARE = 64 << 20
"""Bytes that reading a file may take beside twice its size."""


def tensor_names(network: Network) -> list[str]:
    """Return a name for each array of theta, in order: the number of its op, and its letter."""
    return [f"{number}.{name}" for number, name, _, _ in network.layout.slices()]


def to_bytes(network: Network, theta: Array, extra: Mapping[str, Any]) -> bytes:
    """Return the file's content: the network, its weights, and `extra`, a JSON-able description of the rest."""
    header = {"format": FORMAT, "network": network.to_config(), **extra}
    header["sha256"] = checksum(header, theta)
    arrays = (theta[where].reshape(shape) for _, _, shape, where in network.layout.slices())
    tensors = {name: np.ascontiguousarray(array) for name, array in zip(tensor_names(network), arrays, strict=True)}
    return save(tensors, {"firesteel": json.dumps(header, sort_keys=True)})


def checksum(header: Mapping[str, Any], *arrays: Array) -> str:
    """Return the SHA-256 (64 hex digits) of the description, less a checksum in it, and of the arrays."""
    described = {key: value for key, value in header.items() if key != "sha256"}
    digest = hashlib.sha256(json.dumps(described, sort_keys=True).encode())
    for array in arrays:
        digest.update(np.ascontiguousarray(array, array.dtype.newbyteorder("<")).data)
    return digest.hexdigest()


def progress_to_bytes(progress: Progress, identity: str) -> bytes:
    """Return a checkpoint's content.  identity: names the training that it belongs to."""
    states = [state for state in (progress.state, progress.best) if state is not None]
    vectors = {f"{n}.{name}": getattr(state, name) for n, state in enumerate(states) for name in VECTORS}
    header = {
        "format": FORMAT,
        "identity": identity,
        "counts": [[state.step, state.epoch, state.learning_rate, state.cost] for state in states],
        "rows": progress.rows,
        "machines": sorted(progress.machines),
    }
    header["sha256"] = checksum(header, *vectors.values())
    tensors = {name: np.ascontiguousarray(vector) for name, vector in vectors.items()}
    return save(tensors, {"firesteel": json.dumps(header, sort_keys=True)})


def progress_from_bytes(data: bytes, identity: str, like: TrainState, name: str) -> Progress:
    """Return the progress in a checkpoint's content.  Raises StoreError if it is not one of this training.

    like: a state of the training, whose shapes and dtype a checkpoint must have.  name: of the file, for messages.
    """
    header = _header(data, name)
    try:
        if header["format"] != FORMAT or header["identity"] != identity:
            raise StoreError(f"{name} is a checkpoint of another training", code="store-checkpoint")
        tensors, counts = load(data), header["counts"]
        names = [f"{n}.{part}" for n in range(len(counts)) for part in VECTORS]
        whole = sorted(tensors) == sorted(names) and len(counts) in (1, 2)
        if not whole or header["sha256"] != checksum(header, *(tensors[n] for n in names)):
            raise StoreError(f"{name} is damaged: its checksum is not that of its content", code="store-damaged")
        states = []
        for n, (step, epoch, rate, cost) in enumerate(counts):
            vectors = [tensors[f"{n}.{part}"] for part in VECTORS]
            for part, vector in zip(VECTORS, vectors, strict=True):
                known = getattr(like, part)
                if (vector.shape, vector.dtype) != (known.shape, known.dtype):
                    raise StoreError(f"{name} is damaged: {part} has shape {vector.shape}", code="store-damaged")
            parts = dict(zip(VECTORS, vectors, strict=True))
            states.append(replace(like, **parts, step=step, epoch=epoch, learning_rate=rate, cost=cost))
        best = states[1] if len(states) > 1 else None
        return Progress(states[0], header["rows"], best, frozenset(header["machines"]))
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        if isinstance(error, StoreError):
            raise
        raise StoreError(f"{name} is damaged: {error}", code="store-damaged") from None


def from_bytes(data: bytes, name: str) -> tuple[Network, Array, dict[str, Any]]:
    """Return (network, theta, the rest of the header) from a file's content.  Raises StoreError if it is not one.

    name: what to call the file in messages.
    """
    entries, header = _headers(data, name)
    if header.get("format") != FORMAT:
        raise StoreError(
            f"{name} has format {repr(header.get('format'))[:30]}, and this firesteel reads {FORMAT}: it was written "
            "by another version",
            code="store-format",
        )
    try:
        network = Network.from_config(header["network"])
        theta = _theta(data, entries, network)
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise damaged(name, error) from None
    if header.get("sha256") != checksum(header, theta):
        raise damaged(name, "its checksum is not that of its content")
    return network, theta, header


def damaged(name: str, what: object) -> StoreError:
    """Return the error for a file that is not what it should be, with the beginning of what is wrong."""
    return StoreError(f"{name} is damaged: {str(what)[:300]}", code="store-damaged")


def _theta(data: bytes, entries: Mapping[str, Any], network: Network) -> Array:
    """Return theta out of a file's arrays, which must be the network's and lie one behind the other."""
    names, dtype, size = tensor_names(network), np.dtype(network.dtype).newbyteorder("<"), network.layout.size
    start, ends = len(data) - size * dtype.itemsize, {}
    if sorted(entries) != sorted(names) or start != 8 + int.from_bytes(data[:8], "little"):
        raise ConfigError(f"its arrays are not the {len(names)} of its description, of {size} numbers")
    theta = np.empty(size, network.dtype)
    for name, (_, _, shape, where) in zip(names, network.layout.slices(), strict=True):
        first, count = entries[name]["data_offsets"][0], math.prod(shape)
        ends[first] = first + count * dtype.itemsize
        known = {"dtype": f"F{8 * dtype.itemsize}", "shape": list(shape), "data_offsets": [first, ends[first]]}
        if entries[name] != known:
            raise ConfigError(f"array {name} is not {network.dtype} of {shape}")
        theta[where] = np.frombuffer(data, dtype, count, start + first)
    if [*sorted(ends), len(data) - start] != [0, *sorted(ends.values())]:
        raise ConfigError("its arrays do not lie one behind the other")
    return theta


def _headers(data: bytes, name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return where the arrays lie, and firesteel's own description, out of the safetensors header."""
    size = int.from_bytes(data[:8], "little")
    try:
        entries = _parsed(data[8 : 8 + size], len(data)) if 0 < size <= len(data) - 8 else {}
        header = _parsed(entries.pop("__metadata__")["firesteel"].encode(), len(data))
        json.dumps(header)  # what is nested too deep to be written again was not written by us
        if not isinstance(header, dict):
            raise TypeError
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise StoreError(f"{name} is not a firesteel model, or it is damaged", code="store-damaged") from None
    return entries, header


def _header(data: bytes, name: str) -> dict[str, Any]:
    """Return firesteel's own description out of the safetensors header."""
    return _headers(data, name)[1]


def _parsed(text: bytes, size: int) -> Any:
    """Return what JSON says, unless it would take more memory than a file of this size may.

    A number takes up to 40 bytes, and whatever is no number at most 60 for each of its letters and signs.
    """
    words = len(text.translate(None, b"0123456789+-., "))
    if 40 * text.count(b",") + 60 * words > 2 * size + SPARE:
        raise ValueError("too much is described")
    return json.loads(text.decode())


def write(path: str | os.PathLike[str], data: bytes) -> None:
    """Write a file whole or not at all.  Raises StoreError if it cannot be written."""
    target = Path(path)
    try:
        handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(temporary, 0o666 & ~_umask())
            os.replace(temporary, target)
        except BaseException:
            with suppress(OSError):
                os.unlink(temporary)
            raise
        _flush_folder(target.parent)
    except (OSError, ValueError) as error:
        raise StoreError(f"{target} cannot be written: {_reason(error)}", code="store-write") from None


class FileCheckpoints:
    """Progress of one training in a file of a folder of its own; a save replaces it whole.

    delete: whether the file goes when training has ended.
    """

    def __init__(self, folder: str | os.PathLike[str], delete: bool) -> None:
        self.folder, self.delete = Path(folder), delete
        self.path: Path | None = None

    def load(self, identity: str, like: TrainState) -> Progress | None:
        """Return the progress of this training, if there is some.  Raises StoreError if it is damaged."""
        self.path = self.folder / f"{identity[:16]}.progress"
        if not self.path.exists():
            return None
        return progress_from_bytes(read(self.path), identity, like, str(self.path))

    def save(self, identity: str, progress: Progress) -> None:
        """Keep progress; the one before stays until this one is whole.  Raises StoreError if it cannot be written."""
        assert self.path is not None
        with suppress(FileExistsError):
            self.folder.mkdir(parents=True)
        write(self.path, progress_to_bytes(progress, identity))

    def __enter__(self) -> "FileCheckpoints":
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if kind is None and self.delete and self.path is not None:
            self.path.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _flush_folder(folder: Path) -> None:
    """Make the rename itself survive a power cut, where folders can be opened."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def read(path: str | os.PathLike[str]) -> bytes:
    """Return a file's content.  Raises StoreError if it cannot be read."""
    try:
        return Path(path).read_bytes()
    except (OSError, ValueError) as error:
        raise StoreError(f"{path} cannot be read: {_reason(error)}", code="store-read") from None


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)

"""A model is one safetensors file: named weights, and a header with the JSON that describes the rest.

Nothing in it is code, a path or a name to import: layers, losses and optimisers are looked up in firesteel's own
registries, every shape must be the one that the description implies, and anything else is refused.  A checksum over
both tells a damaged file from a whole one.  A save is written beside the target, flushed and renamed, so that the
old file stays whole until the new one is.
"""

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from firesteel.core.network import Network
from firesteel.core.types import Array
from firesteel.errors import ConfigError, StoreError

__all__ = [
    "FORMAT",
    "checksum",
    "description",
    "from_bytes",
    "read",
    "to_bytes",
    "write",
]

FORMAT = 1
"""Number of the file format; it grows when a reader of an older one would misread a file."""


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
        digest.update(np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes())
    return digest.hexdigest()


def from_bytes(data: bytes, name: str) -> tuple[Network, Array, dict[str, Any]]:
    """Return (network, theta, the rest of the header) from a file's content.  Raises StoreError if it is not one.

    name: what to call the file in messages.
    """
    header = description(data, name)
    if header.get("format") != FORMAT:
        raise StoreError(
            f"{name} has format {header.get('format')!r}, and this firesteel reads {FORMAT}: it was written by "
            "another version",
            code="store-format",
        )
    try:
        network = Network.from_config(_mapping(header, "network"))
        tensors = load(data)
    except (ConfigError, SafetensorError, KeyError, TypeError, AttributeError) as error:
        raise StoreError(f"{name} is damaged: {error}", code="store-damaged") from None
    names = tensor_names(network)
    if sorted(tensors) != sorted(names):
        raise StoreError(f"{name} is damaged: it holds {sorted(tensors)} instead of {names}", code="store-damaged")
    for tensor, (_, _, shape, _) in zip((tensors[n] for n in names), network.layout.slices(), strict=True):
        if tensor.shape != shape or tensor.dtype != network.dtype:
            raise StoreError(
                f"{name} is damaged: there is {tensor.dtype} of {tensor.shape} for {network.dtype} of {shape}",
                code="store-damaged",
            )
    theta = np.concatenate([np.empty(0, network.dtype), *(tensors[n].reshape(-1) for n in names)])
    if header.get("sha256") != checksum(header, theta):
        raise StoreError(f"{name} is damaged: its checksum is not that of its content", code="store-damaged")
    return network, theta, header


def description(data: bytes, name: str) -> dict[str, Any]:
    """Return firesteel's own description out of the safetensors header.  Raises StoreError if there is none."""
    size = int.from_bytes(data[:8], "little")
    try:
        metadata = json.loads(data[8 : 8 + size])["__metadata__"] if 0 < size <= len(data) - 8 else {}
        header = json.loads(metadata["firesteel"])
        json.dumps(header)  # what is nested too deep to be written again was not written by us
    except (ValueError, KeyError, TypeError, RecursionError):
        raise StoreError(f"{name} is not a firesteel model, or it is damaged", code="store-damaged") from None
    if not isinstance(header, dict):
        raise StoreError(f"{name} is damaged: its description is not one", code="store-damaged")
    return header


def _mapping(header: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = header.get(key)
    if not isinstance(value, Mapping):
        raise ConfigError(f"its {key} is not described")
    return value


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

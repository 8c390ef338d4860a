"""MNIST: 70,000 handwritten digits, from a folder of yours, from the cache, or from a mirror, in that order.

Its licence (CC BY-SA 3.0) keeps it out of this package, so it has to be fetched; whatever the way, the
content must match a pinned SHA-256, and nothing else is ever put in its place.  `digits` needs no network.
"""

import http.client
import os
import urllib.request
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from firesteel.datasets.idx import read_pinned
from firesteel.errors import DataError

__all__ = ["load_mnist"]

FILES = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
MIRRORS = (
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
)
TIMEOUT_SECONDS = 30
MAX_DOWNLOAD = 16 * 2**20

Rows = tuple[NDArray[np.uint8], NDArray[np.uint8]]


def load_mnist() -> tuple[Rows, Rows]:
    """MNIST as `(x_train, y_train), (x_test, y_test)`, the tuple Keras gives.

    x_train: (60000, 28, 28), x_test: (10000, 28, 28), uint8 in 0..255; y_train: (60000,), y_test: (10000,),
    uint8 in 0..9.

    Read from `$FIRESTEEL_DATA/mnist` and nowhere else if FIRESTEEL_DATA is set; else from the cache
    (`$XDG_CACHE_HOME/firesteel/mnist`, `~/.cache/firesteel/mnist`), which is filled from two mirrors.

    Raises `DataError` when a file is missing (`data-missing`), cannot be fetched (`data-download`), is
    damaged (`data-idx`, `data-gzip`), cannot be read (`data-file`) or is not the MNIST file of that name
    (`data-hash`).

    Source: Y. LeCun and C. Cortes, CC BY-SA 3.0.
    """
    x_train, y_train, x_test, y_test = map(_load, FILES)
    return (x_train, y_train), (x_test, y_test)


def _load(name: str) -> NDArray[Any]:
    if data := os.environ.get("FIRESTEEL_DATA"):
        file = _find(Path(data) / "mnist", name) or _missing(Path(data) / "mnist", name)
        return read_pinned(file, FILES[name], "put the original file there, or unset FIRESTEEL_DATA to download it")
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "firesteel" / "mnist"
    if cached := _find(folder, name):
        return read_pinned(cached, FILES[name], "delete this file and run again to download it")
    return _download(name, folder)


def _find(folder: Path, name: str) -> Path | None:
    return next((file for file in (folder / name, folder / f"{name}.gz") if file.exists()), None)


def _missing(folder: Path, name: str) -> NoReturn:
    found = f"no {name} or {name}.gz in it" if folder.is_dir() else "no such folder"
    raise DataError(
        f"{folder}: {found}; FIRESTEEL_DATA is set, so MNIST is read from there and nowhere else: put the "
        "four MNIST files there, or unset FIRESTEEL_DATA to download them",
        code="data-missing",
    )


def _download(name: str, folder: Path) -> NDArray[Any]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(
            f"{folder}: the cache folder cannot be made: {error.strerror}; set XDG_CACHE_HOME to a folder "
            "that can be written to",
            code="data-download",
        ) from error
    part = folder / f"{name}.gz.{os.getpid()}.part"
    causes = []
    for mirror in MIRRORS:
        try:
            part.write_bytes(_fetch(f"{mirror}{name}.gz"))
            array = read_pinned(part, FILES[name], "this mirror serves another file")
            part.replace(folder / f"{name}.gz")
            return array
        except (OSError, http.client.HTTPException, DataError) as error:
            causes.append(f"  {mirror}: {' '.join(str(error).split()) or type(error).__name__}")
        finally:
            part.unlink(missing_ok=True)
    raise DataError(
        "\n".join([f"{name}.gz could not be downloaded:", *causes])
        + "\nuse load_digits() (`--data digits`), which needs no network, or set FIRESTEEL_DATA to a folder "
        "that holds mnist/ with the four files",
        code="data-download",
    )


def _fetch(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=TIMEOUT_SECONDS) as answer:
        content: bytes = answer.read(MAX_DOWNLOAD + 1)
    if len(content) > MAX_DOWNLOAD:
        raise DataError(f"{url}: expected at most {MAX_DOWNLOAD} bytes, found more", code="data-download")
    return content

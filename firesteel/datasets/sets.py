"""Data sets available by name, such as "digits" and "mnist": loaders, image sizes, sources and licences.

The digits are part of the package (CC BY 4.0, attribution with the data).  Others are four IDX files from a local
folder, the cache or a mirror, in this order; each file must match a pinned SHA-256.  A new set is a row of `SETS`.
"""

import http.client
import os
import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from firesteel._files import replacing
from firesteel.datasets.binary import read_packed, read_pinned
from firesteel.errors import DataError

TIMEOUT_SECONDS = 30
"""Timeout of a mirror's first answer."""
MAX_SECONDS = 600
"""Timeout of a download."""
MAX_DOWNLOAD = 32 * 2**20

LabelledImages = tuple[NDArray[np.uint8], NDArray[np.uint8]]
"""Images and labels."""


@dataclass(frozen=True)
class Pinned:
    """A downloadable data set of labelled images, whose files must match known SHA-256 hashes.

    Args:
        title: Its name in messages.
        folder: The folder of its files in FIRESTEEL_DATA or the cache.
        files: SHA-256 by file name without .gz: training images and labels, then test images and labels.
        mirrors: URLs of folders with the gzip files.
        read: `read_pinned` if hashes are those of the decompressed content, `read_packed` if those of the gzip files.
        endings: Accepted extensions of the files.
    """

    title: str
    folder: str
    files: Mapping[str, str]
    mirrors: Sequence[str]
    read: Callable[[Path, str, str], NDArray[Any]]
    endings: tuple[str, ...] = ("", ".gz")

    def load(self) -> tuple[LabelledImages, LabelledImages]:
        """Load the data set: return (x_train, y_train) and (x_test, y_test).

        If FIRESTEEL_DATA is set, files are read from `$FIRESTEEL_DATA/folder` only; otherwise from the cache, which
        is filled from the mirrors.  Raises DataError as documented by the loaders.
        """
        x_train, y_train, x_test, y_test = map(self._load, self.files)
        return (x_train, y_train), (x_test, y_test)

    def _load(self, name: str) -> NDArray[Any]:
        if data := os.environ.get("FIRESTEEL_DATA"):
            folder = Path(data) / self.folder
            file = self._find(folder, name) or self._missing(folder, name)
            remedy = "put the original file there, or unset FIRESTEEL_DATA to download it"
            return self.read(file, self.files[name], remedy)
        folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "firesteel" / self.folder
        if cached := self._find(folder, name):
            return self.read(cached, self.files[name], "delete this file and run again to download it")
        return self._download(name, folder)

    def _find(self, folder: Path, name: str) -> Path | None:
        return next((file for end in self.endings if (file := folder / f"{name}{end}").exists()), None)

    def _missing(self, folder: Path, name: str) -> NoReturn:
        wanted = " or ".join(name + end for end in self.endings)
        found = f"no file {wanted}" if folder.is_dir() else "no such folder"
        raise DataError(
            f"{folder}: {found}; FIRESTEEL_DATA is set, so {self.title} is read only from this folder: put the four "
            f"{self.title} files there, or unset FIRESTEEL_DATA to download them",
            code="data-missing",
        )

    def _download(self, name: str, folder: Path) -> NDArray[Any]:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DataError(
                f"{folder}: the cache folder cannot be created: {error.strerror}; set XDG_CACHE_HOME to a writable "
                "folder",
                code="data-download",
            ) from error
        causes = []
        for mirror in self.mirrors:
            try:
                content = _fetch(f"{mirror}{name}.gz")
                with replacing(folder / f"{name}.gz") as part:
                    part.write(content)
                    part.flush()
                    return self.read(Path(part.name), self.files[name], "this mirror serves another file")
            except (OSError, http.client.HTTPException, DataError) as error:
                causes.append(f"  {mirror}: {' '.join(str(error).split()) or type(error).__name__}")
        raise DataError(
            "\n".join([f"{name}.gz could not be downloaded:", *causes])
            + "\nuse load_digits() (`--data digits`), which needs no download, or set FIRESTEEL_DATA to a folder "
            f"that contains {self.folder}/ with the four files",
            code="data-download",
        )


def _fetch(url: str) -> bytes:
    end, content = time.monotonic() + MAX_SECONDS, bytearray()
    with urllib.request.urlopen(url, timeout=TIMEOUT_SECONDS) as answer:
        while piece := answer.read1(2**16):
            content += piece
            if len(content) > MAX_DOWNLOAD:
                raise DataError(f"{url}: expected at most {MAX_DOWNLOAD} bytes, found more", code="data-download")
            if time.monotonic() > end:
                raise DataError(
                    f"{url}: too slow, only {len(content)} bytes in {MAX_SECONDS} s", code="data-download"
                )
        if answer.length:
            raise DataError(f"{url}: the download stopped {answer.length} bytes before the end", code="data-download")
    return bytes(content)


# The sets


FOLDER = files("firesteel.datasets") / "data" / "digits"
IMAGES = "359cd13f0f514122884198b78a131df597421cbf5e93a76678fa96fc548f0d96"
LABELS = "ce71631c1f31ce56fa54f31d1d498fafacff59b001e6c30c4a5e29508aa277ad"
REMEDY = "install firesteel again"


def load_digits() -> tuple[LabelledImages, LabelledImages]:
    """Load small handwritten digits; they are part of the package and need no download.

    Every fifth image is a test image.

    Returns:
        The pairs (x_train, y_train) and (x_test, y_test), with images (1438, 8, 8) and (359, 8, 8), uint8 in 0..16,
        and labels (1438,) and (359,), uint8 in 0..9.

    Raises:
        DataError: If the installed files are missing or differ from the released ones.

    Example:
        >>> (x_train, y_train), (x_test, y_test) = load_digits()
        >>> x_train.shape, x_test.shape, int(x_train.max())
        ((1438, 8, 8), (359, 8, 8), 16)

    Source: E. Alpaydin and C. Kaynak, 1998, UCI Machine Learning Repository, DOI 10.24432/C50P49, the test part.
    """
    x, y = _digits("images-idx3-ubyte.gz", IMAGES), _digits("labels-idx1-ubyte.gz", LABELS)
    test = np.arange(len(y)) % 5 == 4
    return (x[~test], y[~test]), (x[test], y[test])


def _digits(name: str, sha256: str) -> Any:
    """Read an array of the digits from the installed package (a folder or a zip file), and check its SHA-256."""
    with as_file(FOLDER / name) as path:
        return read_pinned(path, sha256, REMEDY)


MNIST = Pinned(
    "MNIST",
    "mnist",
    files={
        "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    },
    mirrors=("https://storage.googleapis.com/cvdf-datasets/mnist/", "https://ossci-datasets.s3.amazonaws.com/mnist/"),
    read=read_pinned,
)
"""Not part of the package because of its licence (CC BY-SA 3.0)."""


def load_mnist() -> tuple[LabelledImages, LabelledImages]:
    """Load MNIST, as `keras.datasets.mnist.load_data` returns it.

    If FIRESTEEL_DATA is set, files are read from `$FIRESTEEL_DATA/mnist` only; otherwise from the cache
    (`$XDG_CACHE_HOME/firesteel/mnist` or `~/.cache/firesteel/mnist`), which is filled from two mirrors.

    Returns:
        The pairs (x_train, y_train) and (x_test, y_test), with images (60000, 28, 28) and (10000, 28, 28), uint8 in
        0..255, and labels (60000,) and (10000,), uint8 in 0..9.

    Raises:
        DataError: If a file is missing (`data-missing`), cannot be downloaded (`data-download`), is damaged
            (`data-idx`, `data-gzip`), cannot be read (`data-file`), or is not the MNIST file of that name
            (`data-hash`).

    Example:
        ```python
        (x_train, y_train), (x_test, y_test) = load_mnist()
        ```

    Source: Y. LeCun and C. Cortes, CC BY-SA 3.0.
    """
    return MNIST.load()


FASHION_MNIST = Pinned(
    "Fashion-MNIST",
    "fashion-mnist",
    files={
        "train-images-idx3-ubyte": "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
        "train-labels-idx1-ubyte": "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
        "t10k-images-idx3-ubyte": "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
        "t10k-labels-idx1-ubyte": "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
    },
    mirrors=(
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
        "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
    ),
    read=read_packed,
    endings=(".gz",),
)
"""The published hashes are those of the gzip files, so only gzip files are accepted."""
CLASSES = (
    *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
    *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
)
"""Names of the classes."""


def load_fashion_mnist() -> tuple[LabelledImages, LabelledImages]:
    """Load Fashion-MNIST, as `keras.datasets.fashion_mnist.load_data` returns it.

    If FIRESTEEL_DATA is set, the four .gz files are read from `$FIRESTEEL_DATA/fashion-mnist` only; otherwise from
    the cache (`$XDG_CACHE_HOME/firesteel/fashion-mnist` or `~/.cache/firesteel/fashion-mnist`), which is filled from
    two mirrors. Each gzip file must have the SHA-256 that TensorFlow Datasets lists; the publisher lists the MD5 of
    the same files.

    Returns:
        The pairs (x_train, y_train) and (x_test, y_test), with images (60000, 28, 28) and (10000, 28, 28), uint8 in
        0..255, and labels (60000,) and (10000,), uint8 in 0..9, named by `firesteel.datasets.sets.CLASSES`.

    Raises:
        DataError: If a file is missing (`data-missing`), cannot be downloaded (`data-download`), is damaged
            (`data-idx`, `data-gzip`), cannot be read (`data-file`), or is not the file of that name (`data-hash`).

    Example:
        ```python
        (x_train, y_train), (x_test, y_test) = load_fashion_mnist()
        ```

    Source: H. Xiao, K. Rasul and R. Vollgraf, 2017, arXiv:1708.07747; Zalando SE, MIT licence.
    """
    return FASHION_MNIST.load()


@dataclass(frozen=True)
class DataSet:
    """Description of a data set that can be selected by name: loader, image size, source and licence.

    Args:
        load: Returns the training and the test part.
        picture: Height and width.
        ink: The largest pixel value.
        files: Beginning of the names of converted files.
        holds: Description.
        comes_from: Source.
        licence: Licence.
        classes: Names of the classes; None for digits.
    """

    load: Callable[[], tuple[LabelledImages, LabelledImages]]
    picture: tuple[int, int]
    ink: int
    files: str
    holds: str
    comes_from: str
    licence: str
    classes: tuple[str, ...] | None = None


SETS: dict[str, DataSet] = {
    "digits": DataSet(
        load_digits,
        (8, 8),
        16,
        "digits",
        "1,438 training and 359 test images of handwritten digits, 8 x 8 pixels",
        "part of the package; Alpaydin and Kaynak 1998, UCI, DOI 10.24432/C50P49",
        "CC BY 4.0",
    ),
    "fashion-mnist": DataSet(
        load_fashion_mnist,
        (28, 28),
        255,
        "fashion-mnist",
        "60,000 training and 10,000 test images of clothing, 28 x 28 pixels",
        "$FIRESTEEL_DATA/fashion-mnist, or downloaded once from two mirrors; Zalando 2017, arXiv:1708.07747",
        "MIT",
        CLASSES,
    ),
    "mnist": DataSet(
        load_mnist,
        (28, 28),
        255,
        "mnist-digits",
        "60,000 training and 10,000 test images of handwritten digits, 28 x 28 pixels",
        "$FIRESTEEL_DATA/mnist, or downloaded once from two mirrors; LeCun and Cortes",
        "CC BY-SA 3.0",
    ),
}

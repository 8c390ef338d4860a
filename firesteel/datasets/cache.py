"""Sets of four IDX files, from a folder of yours, from the cache, or from a mirror, in that order.

Whatever the way, each file must match a pinned SHA-256, and nothing else is ever put in its place.  `mnist` and
`fashion_mnist` say which files, sums and mirrors; `idx` reads them.
"""

import http.client
import os
import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from firesteel._files import replacing
from firesteel.errors import DataError

TIMEOUT_SECONDS = 30
"""For a mirror to say anything."""
MAX_SECONDS = 600
"""For a whole file."""
MAX_DOWNLOAD = 32 * 2**20

LabelledImages = tuple[NDArray[np.uint8], NDArray[np.uint8]]
"""Images and labels."""


@dataclass(frozen=True)
class Pinned:
    """A data set that has to be fetched.

    title: what it is called.  folder: where its files lie, in FIRESTEEL_DATA or in the cache.
    files: {name without .gz: SHA-256}, training images and labels, then those of the test.
    mirrors: addresses of folders that serve the files gzipped.
    read: `idx.read_pinned` where the sums are those of the unpacked content, `idx.read_packed` where they are those
    of the gzip files.
    """

    title: str
    folder: str
    files: Mapping[str, str]
    mirrors: Sequence[str]
    read: Callable[[Path, str, str], NDArray[Any]]
    endings: tuple[str, ...] = ("", ".gz")

    def load(self) -> tuple[LabelledImages, LabelledImages]:
        """Return the training and the test part.

        Read from `$FIRESTEEL_DATA/folder` and nowhere else if FIRESTEEL_DATA is set; else from the cache, which is
        filled from the mirrors.  Raises DataError as the loaders say.
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
        found = f"no {wanted} in it" if folder.is_dir() else "no such folder"
        raise DataError(
            f"{folder}: {found}; FIRESTEEL_DATA is set, so {self.title} is read from there and nowhere else: put the "
            f"four {self.title} files there, or unset FIRESTEEL_DATA to download them",
            code="data-missing",
        )

    def _download(self, name: str, folder: Path) -> NDArray[Any]:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DataError(
                f"{folder}: the cache folder cannot be made: {error.strerror}; set XDG_CACHE_HOME to a folder "
                "that can be written to",
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
            + "\nuse load_digits() (`--data digits`), which needs no network, or set FIRESTEEL_DATA to a folder "
            f"that holds {self.folder}/ with the four files",
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
                raise DataError(f"{url}: only {len(content)} bytes in {MAX_SECONDS} s", code="data-download")
        if answer.length:
            raise DataError(f"{url}: ended {answer.length} bytes before its end", code="data-download")
    return bytes(content)

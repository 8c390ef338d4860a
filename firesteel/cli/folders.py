"""Reading a folder of pictures with one subfolder per class; the only module that uses Pillow.

`look` reads the headers and settles one shape for all; `decoded` yields the pixels in pieces, so that memory stays
bounded.
"""

import functools
import os
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from firesteel._files import open_plain
from firesteel.errors import DataError

Seen = TypeVar("Seen")
ENDINGS = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
"""Extensions of picture files."""
GREY = ("1", "L", "LA", "La")
"""Pillow's modes of grey pictures, in addition to those that begin with "I"."""
PIECE = 2**24
"""Bytes of pixels per piece."""
ORIENTATION, TURNED = 0x0112, (5, 6, 7, 8)
"""The EXIF field for the camera's orientation, and its values for a camera on its side."""


@dataclass
class Album:
    """The pictures found in a folder, with their classes, common shape and broken files.

    Args:
        folder: The folder.
        files: Paths of the pictures in it, sorted; the first part of each path is the class.
        shape: (H, W, C) of the pictures as they are written.
        broken: The reason for each file that is damaged or not a picture, by path.
    """

    folder: Path
    files: list[Path]
    shape: tuple[int, int, int] = (0, 0, 0)
    broken: dict[Path, str] = field(default_factory=dict)

    def refuse_broken(self) -> None:
        """Raise DataError if some files are broken; the message names the first one and their number."""
        if self.broken:
            path, why = next(iter(self.broken.items()))
            raise DataError(
                f"{self.folder / path}: damaged or not a picture ({why}); {len(self.broken):,} of "
                f"{len(self.files):,} files have this error: repair or remove them, or skip them with --skip-broken",
                code="data-picture",
            )


def look(folder: Path, size: tuple[int, int] | None, colour: bool | None) -> Album:
    """Find the pictures in a folder, and determine their common shape.

    Args:
        folder: It has one subfolder per class; deeper files belong to the class at the top.
        size: Height and width to resize to; None if all must have the same size.
        colour: Whether pictures get three channels; None if they do when any of them has colours.

    Raises:
        DataError: If there is no picture (`data-empty`), or one is outside the class folders or differs in size when
            `size` is None (`data-picture`).
    """
    album = Album(folder, sorted(_files(folder), key=lambda path: path.parts))
    if not album.files:
        raise DataError(
            f"{folder}: contains no pictures ({', '.join(ENDINGS)}): choose a folder with one subfolder of pictures "
            "per class; if it contains Parquet files, add --format parquet",
            code="data-empty",
        )
    if stray := [path for path in album.files if len(path.parts) == 1]:
        raise DataError(
            f"{folder / stray[0]}: is not in a class folder; {len(stray):,} of {len(album.files):,} pictures are "
            "like that: move each into a folder named after its class",
            code="data-picture",
        )
    sizes, first, coloured = Counter[tuple[int, int]](), dict[tuple[int, int], Path](), False
    for path in album.files:
        if (head := _read(album, path, _head)) is not None:
            sizes[head[0]] += 1
            first.setdefault(head[0], path)
            coloured |= head[1]
    if size is None and len(sizes) > 1:
        (usual, often), (other, seldom), *_ = sizes.most_common()
        raise DataError(
            f"{folder / first[other]}: is {_times(other)} (height x width), like {seldom:,} of {len(album.files):,} "
            f"pictures, but {often:,} are {_times(usual)}; there are {len(sizes):,} sizes: choose one for all, such "
            f"as --size {usual[0]}x{usual[1]}",
            code="data-picture",
        )
    if sizes or size:
        height, width = size or next(iter(sizes))
        album.shape = (height, width, 3 if (coloured if colour is None else colour) else 1)
    return album


def decoded(album: Album) -> Iterator[tuple[list[Path], list[NDArray[np.uint8]]]]:
    """Yield some pictures at a time: paths and pixels (H, W, C).  Broken files are added to `album.broken`."""
    paths, pictures, pixels = list[Path](), list[NDArray[np.uint8]](), functools.partial(_pixels, shape=album.shape)
    for path in album.files:
        if path in album.broken or (picture := _read(album, path, pixels)) is None:
            continue
        paths.append(path)
        pictures.append(picture)
        if picture.size * len(pictures) >= PIECE:
            yield paths, pictures
            paths, pictures = [], []
    if paths:
        yield paths, pictures


def text(path: Path | str) -> str:
    """Convert a path to text that can be encoded as UTF-8; other bytes are escaped."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _files(folder: Path) -> Iterator[Path]:
    """Yield the paths of the pictures below a folder; like Spark, skip hidden and temporary names."""

    def refuse(error: OSError) -> None:
        raise DataError(f"{error.filename}: cannot be read: {error.strerror or error}", code="data-file")

    for place, folders, files in os.walk(folder, onerror=refuse):
        folders[:] = [name for name in folders if name[0] not in "._"]
        for name in files:
            if name[0] not in "._" and name.lower().endswith(ENDINGS):
                yield Path(place, name).relative_to(folder)


def _read(album: Album, path: Path, use: Callable[[Any], Seen]) -> Seen | None:
    """Open a picture and call a function on it; if it is broken, note why in `album.broken` and return None."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            with open_plain(album.folder / path) as file, Image.open(file) as picture:
                return use(picture)
        except Exception as error:  # decoders may raise anything for malformed files
            unknown = isinstance(error, UnidentifiedImageError)
            album.broken[path] = "its format is unknown" if unknown else " ".join(str(error).split()) or repr(error)
            return None


def _head(picture: Any) -> tuple[tuple[int, int], bool]:
    """Return a picture's height and width after EXIF rotation, and whether it has colours."""
    width, height = picture.size
    turned = picture.getexif().get(ORIENTATION) in TURNED
    grey = picture.mode in GREY or picture.mode.startswith("I")
    return (width, height) if turned else (height, width), not grey


def _pixels(picture: Any, shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    """Return a picture's pixels after EXIF rotation, scaled to a shape, with white behind transparent ones.

    Raises ValueError for pixels of more than 16 bits, or floats.
    """
    height, width, channels = shape
    picture = ImageOps.exif_transpose(picture)
    if picture.mode.startswith("I"):  # 16 bits: use the upper 8
        values = np.asarray(picture)
        if values.min() < 0 or values.max() > 65_535:
            raise ValueError("it has pixels of more than 16 bits")
        picture = Image.fromarray((values >> 8).astype(np.uint8))
    elif picture.mode == "F":
        raise ValueError("its pixels are floats")
    if picture.has_transparency_data:
        above = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", above.size, "white"), above)
    picture = picture.convert("RGB" if channels == 3 else "L")
    if picture.size != (width, height):
        picture = picture.resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(picture).reshape(shape)


def _times(size: tuple[int, int]) -> str:
    return " x ".join(map(str, size))

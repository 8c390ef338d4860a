"""Folders of pictures, one folder a class, as pixels: Pillow decodes them here, at the edge, and nowhere else.

`look` reads the files' heads and settles one shape for all; `decoded` yields the pixels, so that no more than a piece
of the pictures is in memory.
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
"""Of files that are pictures."""
GREY = ("1", "L", "LA", "La")
"""Pillow's modes of pictures without colours; those that begin with "I" have none either."""
PIECE = 2**24
"""Bytes of pixels that are yielded at once."""
ORIENTATION, TURNED = 0x0112, (5, 6, 7, 8)
"""The EXIF field that says how a camera was held, and the values of one that lay on its side."""


@dataclass
class Album:
    """The pictures of a folder.

    Attributes:
        folder: Where they lie.
        files: Their paths below it, in order; the first part of each is the picture's class.
        shape: (H, W, C) of all pictures, as they are written.
        broken: What is wrong with each of the files that are no pictures, by its path below the folder.
    """

    folder: Path
    files: list[Path]
    shape: tuple[int, int, int] = (0, 0, 0)
    broken: dict[Path, str] = field(default_factory=dict)

    def refuse_broken(self) -> None:
        """Raise DataError where files are broken, with the first and how many there are."""
        if self.broken:
            path, why = next(iter(self.broken.items()))
            raise DataError(
                f"{self.folder / path}: is no picture, or it is damaged ({why}); {len(self.broken):,} of "
                f"{len(self.files):,} files are like that: mend or remove them, or leave them out with --skip-broken",
                code="data-picture",
            )


def look(folder: Path, size: tuple[int, int] | None, colour: bool | None) -> Album:
    """Return the pictures in the folders of a folder, and the shape that they are to have.

    Args:
        folder: It holds a folder for each class; what lies deeper is of the class at the top.
        size: Their height and width; None where it must be that of all pictures.
        colour: Whether they have three channels and not one; None where that is so if any has colours.

    Raises:
        DataError: There is no picture (`data-empty`), or one that is in no class's folder or of another size than
            others where no size is given (`data-picture`).
    """
    album = Album(folder, sorted(_files(folder), key=lambda path: path.parts))
    if not album.files:
        raise DataError(
            f"{folder}: there is no picture in it ({', '.join(ENDINGS)}): name a folder that holds a folder of "
            "pictures for each class; if it holds Parquet, give --format parquet",
            code="data-empty",
        )
    if stray := [path for path in album.files if len(path.parts) == 1]:
        raise DataError(
            f"{folder / stray[0]}: lies in no class's folder; {len(stray):,} of {len(album.files):,} pictures are "
            "like that: move each into a folder with the name of its class",
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
            f"{folder / first[other]}: is {_times(other)} (height x width), as {seldom:,} of {len(album.files):,} "
            f"pictures are, and {often:,} are {_times(usual)}; there are {len(sizes):,} sizes: give one for all, "
            f"such as --size {usual[0]}x{usual[1]}",
            code="data-picture",
        )
    if sizes or size:
        height, width = size or next(iter(sizes))
        album.shape = (height, width, 3 if (coloured if colour is None else colour) else 1)
    return album


def decoded(album: Album) -> Iterator[tuple[list[Path], list[NDArray[np.uint8]]]]:
    """Yield the pictures in pieces: their paths, and (H, W, C) pixels; broken files are added to `album.broken`."""
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
    """Return a path as text that any file can hold: bytes that are no UTF-8 are spelt out."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _files(folder: Path) -> Iterator[Path]:
    """Yield the paths of pictures below a folder, without those that are hidden or temporary, as Spark has it."""

    def refuse(error: OSError) -> None:
        raise DataError(f"{error.filename}: cannot be read: {error.strerror or error}", code="data-file")

    for place, folders, files in os.walk(folder, onerror=refuse):
        folders[:] = [name for name in folders if name[0] not in "._"]
        for name in files:
            if name[0] not in "._" and name.lower().endswith(ENDINGS):
                yield Path(place, name).relative_to(folder)


def _read(album: Album, path: Path, use: Callable[[Any], Seen]) -> Seen | None:
    """Return what comes of using a picture; where it is broken, note why in `album.broken`, and return None."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            with open_plain(album.folder / path) as file, Image.open(file) as picture:
                return use(picture)
        except Exception as error:  # decoders raise anything for bytes that anybody has written
            unknown = isinstance(error, UnidentifiedImageError)
            album.broken[path] = "its format is unknown" if unknown else " ".join(str(error).split()) or repr(error)
            return None


def _head(picture: Any) -> tuple[tuple[int, int], bool]:
    """Return a picture's height and width, upright, and whether it has colours."""
    width, height = picture.size
    turned = picture.getexif().get(ORIENTATION) in TURNED
    grey = picture.mode in GREY or picture.mode.startswith("I")
    return (width, height) if turned else (height, width), not grey


def _pixels(picture: Any, shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    """Return a picture's pixels, upright, in a shape; what is transparent becomes white.

    Raises ValueError where they are no bytes, nor of 16 bits.
    """
    height, width, channels = shape
    picture = ImageOps.exif_transpose(picture)
    if picture.mode.startswith("I"):  # 16 bits, whose upper half counts
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

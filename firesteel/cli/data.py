"""`firesteel data`: data sets as files, for programs that read files.

A data set is a row of `SETS` and a format a row of `FORMATS`; reading and writing are in `firesteel.datasets`.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from cyclopts import App, Parameter
from numpy.typing import NDArray

from firesteel.datasets import load_mnist, write_libsvm
from firesteel.datasets.files import must_not_exist
from firesteel.errors import DataError

__all__ = ["data"]

Part = tuple[NDArray[np.uint8], NDArray[np.uint8]]
SETS: dict[str, tuple[Callable[[], tuple[Part, Part]], str]] = {"mnist": (load_mnist, "mnist-digits")}
"""name: (loader, how its files' names begin)."""
FORMATS: dict[str, tuple[Callable[[Path, Any, Any], None], str]] = {"libsvm": (write_libsvm, "txt")}
"""name: (writer, how its files' names end)."""

data = App(name="data", help="Make files of data sets.")


@data.command
def convert(
    name: Literal["mnist"],
    folder: Path,
    /,
    *,
    to: Annotated[Literal["libsvm"], Parameter(show_default=False)],
) -> None:
    """Write the training and the test part of a data set to two files of another format.

    MNIST is read from the folder that FIRESTEEL_DATA names, or fetched once.  Files that are there are never
    overwritten.

    Parameters
    ----------
    name
        The data set.
    folder
        Where the files go; it is made if need be.
    to
        The format: libsvm is text, a line "label index:value ..." a row, indices from 1, zeros left out.
    """
    load, begin = SETS[name]
    write, end = FORMATS[to]
    paths = [folder / f"{begin}-{part}.{end}" for part in ("train", "test")]
    for path in paths:
        must_not_exist(path)
    parts = load()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{folder}: cannot be made: {error.strerror or error}", code="data-write") from error
    for path, (x, y) in zip(paths, parts, strict=True):
        write(path, x, y)
        print(f"{path}  {len(x):,} rows", flush=True)

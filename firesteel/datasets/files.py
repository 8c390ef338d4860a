"""Files of this package's own making: never over another, and never half of one.

The writers of `delimited`, `idx`, `libsvm` and the others all open their file here.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from firesteel.errors import DataError
from firesteel.files import replacing

__all__ = ["must_not_exist", "written"]


def must_not_exist(path: Path) -> None:
    """Raise DataError if there is such a file, which is never overwritten."""
    if os.path.exists(path):  # False where one may not look: writing says why
        raise DataError(f"{path}: is there already; delete it, or name another folder", code="data-exists")


@contextmanager
def written(path: Path) -> Iterator[BinaryIO]:
    """Give a file to write to, which gets its name when all is written.

    Raises DataError where it is there already (`data-exists`) or cannot be written (`data-write`).

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with written(Path(folder) / "whole.txt") as file:
    ...         _ = file.write(b"all of it")
    ...     os.listdir(folder)
    ['whole.txt']
    """
    must_not_exist(path)
    try:
        with replacing(path, over=False) as file:
            yield file
    except FileExistsError:
        must_not_exist(path)  # another has taken the name meanwhile
        raise
    except OSError as error:
        raise DataError(f"{path}: cannot be written: {error.strerror or error}", code="data-write") from error

"""Reads NumPy's own files: an array (.npy), or arrays under names (.npz); Python objects in them are never made.

`idx.py` reads the container that MNIST comes in.
"""

import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from firesteel.errors import DataError

__all__ = ["read_npy", "read_npz"]


def read_npy(path: Path) -> NDArray[Any]:
    """Return the array in a .npy file.

    Raises DataError where the file cannot be read (`data-file`), or is not such a file (`data-numpy`).
    """
    found = _load(path)
    if not isinstance(found, np.ndarray):
        raise DataError(f"{path}: holds several arrays: give it the ending .npz", code="data-numpy")
    return found


def read_npz(path: Path) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """Return the arrays "x" and "y" of a .npz file; None where there is no "y".

    Raises DataError where the file cannot be read (`data-file`), is not such a file or has no "x" (`data-numpy`).
    """
    found = _load(path)
    if isinstance(found, np.ndarray):
        raise DataError(f"{path}: holds one array: give it the ending .npy", code="data-numpy")
    with found:
        if "x" not in found:
            names = ", ".join(found) or "nothing"
            raise DataError(f'{path}: holds {names}: the rows must be "x", and their labels "y"', code="data-numpy")
        try:
            return found["x"], found["y"] if "y" in found else None
        except (ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            raise _damaged(path, error) from None


def _load(path: Path) -> Any:
    try:
        return np.load(path, allow_pickle=False)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}", code="data-file") from None
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        raise _damaged(path, error) from None


def _damaged(path: Path, error: Exception) -> DataError:
    if "pickle" in str(error):
        return DataError(
            f"{path}: is not an array of numbers, or it is damaged: save one with np.save", code="data-numpy"
        )
    return DataError(f"{path}: is damaged ({error}): write it again", code="data-numpy")

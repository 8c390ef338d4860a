"""1,797 handwritten digits of 8 x 8 pixels, carried in the package: for a first run without a network.

They are small and free enough to ship (CC BY 4.0, attribution with the data), where MNIST is neither.  The
files are IDX like any other, so the same checks notice a damaged installation; `mnist` is the larger set.
"""

from importlib.resources import as_file, files
from typing import Any

import numpy as np

from firesteel.datasets.cache import LabelledImages
from firesteel.datasets.idx import read_pinned

FOLDER = files("firesteel.datasets") / "data" / "digits"
IMAGES = "359cd13f0f514122884198b78a131df597421cbf5e93a76678fa96fc548f0d96"
LABELS = "ce71631c1f31ce56fa54f31d1d498fafacff59b001e6c30c4a5e29508aa277ad"
REMEDY = "install firesteel again"


def load_digits() -> tuple[LabelledImages, LabelledImages]:
    """Small handwritten digits as `(x_train, y_train), (x_test, y_test)`; no network, no other package.

    x_train: (1438, 8, 8), x_test: (359, 8, 8), uint8 in 0..16 (ink per cell); y_train: (1438,),
    y_test: (359,), uint8 in 0..9.  Every fifth row is a test row.

    Raises `DataError` when the installed files are missing or differ from those released.

    >>> (x_train, y_train), (x_test, y_test) = load_digits()
    >>> x_train.shape, x_test.shape, int(x_train.max())
    ((1438, 8, 8), (359, 8, 8), 16)

    Source: E. Alpaydin and C. Kaynak, 1998, UCI Machine Learning Repository, DOI 10.24432/C50P49,
    the test part.
    """
    x, y = _read("images-idx3-ubyte.gz", IMAGES), _read("labels-idx1-ubyte.gz", LABELS)
    test = np.arange(len(y)) % 5 == 4
    return (x[~test], y[~test]), (x[test], y[test])


def _read(name: str, sha256: str) -> Any:
    """Return the array of one of the files, wherever the package lies: in a folder, or in a zip."""
    with as_file(FOLDER / name) as path:
        return read_pinned(path, sha256, REMEDY)

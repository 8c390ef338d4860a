"""The data sets that have a name: how each is loaded, what its pixels mean, where it comes from and who may copy it.

A new one is a row here.  `rows.py` trains on them, `data.py` lists them and makes files of them.
"""

from collections.abc import Callable
from dataclasses import dataclass

from firesteel.datasets import load_digits, load_fashion_mnist, load_mnist
from firesteel.datasets.cache import LabelledImages
from firesteel.datasets.fashion_mnist import CLASSES


@dataclass(frozen=True)
class DataSet:
    """load: gives the training and the test part.  picture: height and width.  ink: the pixel value of full ink.

    files: how the names of files made of it begin.  classes: what the labels stand for, where they are no digits.
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
        "1,438 and 359 handwritten digits of 8 x 8 pixels",
        "in the package; Alpaydin and Kaynak 1998, UCI, DOI 10.24432/C50P49",
        "CC BY 4.0",
    ),
    "fashion-mnist": DataSet(
        load_fashion_mnist,
        (28, 28),
        255,
        "fashion-mnist",
        "60,000 and 10,000 pictures of clothing, of 28 x 28 pixels",
        "$FIRESTEEL_DATA/fashion-mnist, or fetched once from two mirrors; Zalando 2017, arXiv:1708.07747",
        "MIT",
        CLASSES,
    ),
    "mnist": DataSet(
        load_mnist,
        (28, 28),
        255,
        "mnist-digits",
        "60,000 and 10,000 handwritten digits of 28 x 28 pixels",
        "$FIRESTEEL_DATA/mnist, or fetched once from two mirrors; LeCun and Cortes",
        "CC BY-SA 3.0",
    ),
}

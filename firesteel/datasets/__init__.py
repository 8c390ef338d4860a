"""Data sets to try firesteel on, and readers and writers of the files that rows come in.

They live apart from the networks because nothing in training needs to know where rows come from.  Start with
`load_digits`, which needs no network; `idx` is where a file's bytes become an array.
"""

from firesteel.datasets.arrays import read_npy, read_npz, write_npz
from firesteel.datasets.delimited import read_csv, write_csv
from firesteel.datasets.digits import load_digits
from firesteel.datasets.fashion_mnist import load_fashion_mnist
from firesteel.datasets.idx import read_idx, write_idx
from firesteel.datasets.libsvm import read_libsvm, write_libsvm
from firesteel.datasets.mnist import load_mnist
from firesteel.datasets.numbers import read_numbers
from firesteel.datasets.text import write_text

__all__ = [
    "load_digits",
    "load_fashion_mnist",
    "load_mnist",
    "read_csv",
    "read_idx",
    "read_libsvm",
    "read_npy",
    "read_npz",
    "read_numbers",
    "write_csv",
    "write_idx",
    "write_libsvm",
    "write_npz",
    "write_text",
]

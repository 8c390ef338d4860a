"""Data sets to try firesteel on, and readers and writers of the files that rows come in.

They live apart from the networks because nothing in training needs to know where rows come from.  Start with
`load_digits`, which needs no network; `binary.py` is where a file's bytes become an array.
"""

from firesteel.datasets.binary import read_idx, read_npy, read_npz, write_idx, write_npz
from firesteel.datasets.delimited import read_csv, write_csv
from firesteel.datasets.sets import load_digits, load_fashion_mnist, load_mnist
from firesteel.datasets.text import read_libsvm, read_numbers, write_libsvm, write_text

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

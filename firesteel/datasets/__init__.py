"""Example data sets, and functions that read and write data files: CSV, IDX, NumPy, LIBSVM and text.

Start with `load_digits`, which needs no network connection.  To read the source, start at `binary.py`.
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

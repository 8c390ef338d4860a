"""Data sets to try firesteel on: small digits carried in the package, MNIST, Fashion-MNIST; readers and writers.

They live apart from the networks because nothing in training needs to know where rows come from.  Start with
`load_digits`, which needs no network; `idx` is where a file's bytes become an array.
"""

from firesteel.datasets.digits import load_digits
from firesteel.datasets.fashion_mnist import load_fashion_mnist
from firesteel.datasets.idx import read_idx
from firesteel.datasets.libsvm import write_libsvm
from firesteel.datasets.mnist import load_mnist
from firesteel.datasets.text import write_text

__all__ = ["load_digits", "load_fashion_mnist", "load_mnist", "read_idx", "write_libsvm", "write_text"]

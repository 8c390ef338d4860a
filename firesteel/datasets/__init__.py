"""Data sets to try firesteel on: small digits carried in the package, MNIST, a reader of IDX, a writer of LIBSVM.

They live apart from the networks because nothing in training needs to know where rows come from.  Start with
`load_digits`, which needs no network; `idx` is where a file's bytes become an array.
"""

from firesteel.datasets.digits import load_digits
from firesteel.datasets.idx import read_idx
from firesteel.datasets.libsvm import write_libsvm
from firesteel.datasets.mnist import load_mnist

__all__ = ["load_digits", "load_mnist", "read_idx", "write_libsvm"]

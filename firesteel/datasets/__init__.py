"""Data sets to try firesteel on: small digits carried in the package, MNIST, and a reader for IDX files.

They live apart from the networks because nothing in training needs to know where rows come from.  Start with
`load_digits`, which needs no network; `idx` is where a file's bytes become an array.
"""

from firesteel.datasets.digits import load_digits
from firesteel.datasets.idx import read_idx
from firesteel.datasets.mnist import load_mnist

__all__ = ["load_digits", "load_mnist", "read_idx"]

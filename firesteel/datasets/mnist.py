"""MNIST: 70,000 handwritten digits.

Its licence (CC BY-SA 3.0) keeps it out of this package, so it has to be fetched: `cache` says how.  `digits` needs no
network.
"""

from firesteel.datasets.cache import LabelledImages, Pinned
from firesteel.datasets.idx import read_pinned

FILES = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
MIRRORS = (
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
)


def load_mnist() -> tuple[LabelledImages, LabelledImages]:
    """MNIST as `(x_train, y_train), (x_test, y_test)`, the tuple Keras gives.

    x_train: (60000, 28, 28), x_test: (10000, 28, 28), uint8 in 0..255; y_train: (60000,), y_test: (10000,),
    uint8 in 0..9.

    Read from `$FIRESTEEL_DATA/mnist` and nowhere else if FIRESTEEL_DATA is set; else from the cache
    (`$XDG_CACHE_HOME/firesteel/mnist`, `~/.cache/firesteel/mnist`), which is filled from two mirrors.

    Raises `DataError` when a file is missing (`data-missing`), cannot be fetched (`data-download`), is
    damaged (`data-idx`, `data-gzip`), cannot be read (`data-file`) or is not the MNIST file of that name
    (`data-hash`).

    Source: Y. LeCun and C. Cortes, CC BY-SA 3.0.
    """
    return Pinned("MNIST", "mnist", FILES, MIRRORS, read_pinned).load()

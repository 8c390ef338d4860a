"""Fashion-MNIST: 70,000 pictures of clothing, in the files and sizes of MNIST and harder than it.

Fetched, cached and checked as MNIST is (`cache`), but for one thing: published are the sums of the gzip files, not of
what is in them, so those are what is pinned and only the gzip files are taken.
"""

from firesteel.datasets.cache import LabelledImages, Pinned
from firesteel.datasets.idx import read_packed

CLASSES = (
    *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
    *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
)
"""What each label stands for."""

FILES = {
    "train-images-idx3-ubyte": "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
    "train-labels-idx1-ubyte": "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
    "t10k-images-idx3-ubyte": "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
    "t10k-labels-idx1-ubyte": "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
}
MIRRORS = (
    "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
    "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
)


def load_fashion_mnist() -> tuple[LabelledImages, LabelledImages]:
    """Fashion-MNIST as `(x_train, y_train), (x_test, y_test)`, the tuple Keras gives.

    x_train: (60000, 28, 28), x_test: (10000, 28, 28), uint8 in 0..255; y_train: (60000,), y_test: (10000,),
    uint8 in 0..9, which `CLASSES` names.

    Read from the four .gz files in `$FIRESTEEL_DATA/fashion-mnist` and nowhere else if FIRESTEEL_DATA is set; else
    from the cache (`$XDG_CACHE_HOME/firesteel/fashion-mnist`, `~/.cache/firesteel/fashion-mnist`), which is filled
    from two mirrors.  Pinned is the SHA-256 of each gzip file, as TensorFlow Datasets lists it; the publisher's own
    page gives the MD5 of the same files.

    Raises `DataError` when a file is missing (`data-missing`), cannot be fetched (`data-download`), is
    damaged (`data-idx`, `data-gzip`), cannot be read (`data-file`) or is not the file of that name (`data-hash`).

    Source: H. Xiao, K. Rasul and R. Vollgraf, 2017, arXiv:1708.07747; Zalando SE, MIT licence.
    """
    return Pinned("Fashion-MNIST", "fashion-mnist", FILES, MIRRORS, read_packed, endings=(".gz",)).load()

"""The kinds of file that firesteel writes for itself, as one table: tests of damage and of saving run over it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from firesteel.layers import Activation, BatchNormalization, Dense, Dropout, Normalization, Rescaling
from firesteel.models import Sequential, load_model

__all__ = ["KINDS", "Kind", "header_size", "model"]


@dataclass(frozen=True)
class Kind:
    """small: a whole file.  large: two of about half a megabyte, of one size.

    opened: what is in a file, as bytes that are the same only where all of it is; raises StoreError for no such file.
    save: writes the large one of this number to a path.  load: `opened` of a path.
    """

    small: bytes
    large: tuple[bytes, bytes]
    opened: Callable[[bytes], bytes]
    save: Callable[[Path, int], None]
    load: Callable[[Path], bytes]


def model(seed: int, units: int = 5) -> Sequential:
    """Return a model of many kinds of layers, with weights drawn from a seed."""
    made = Sequential(
        [
            Normalization([0.5, -0.25, 0.0, 1e-30], [1.0, 2.0, 0.0, 4.0], input_dim=4),
            Rescaling(0.5, 0.1),
            Dense(units, "relu", kernel_initializer="he_normal", kernel_regularizer="l2", bias_constraint="non_neg"),
            BatchNormalization(),
            Dropout(0.25),
            Dense(3, use_bias=False),
            Activation("softmax"),
        ]
    )
    made.compile("adam", "sparse_categorical_crossentropy", ["accuracy"])
    rng = np.random.default_rng(seed)
    made.set_weights([abs(rng.normal(size=array.shape)) for array in made.get_weights()])
    return made


def header_size(data: bytes) -> int:
    """Return the number of bytes before the numbers of a file."""
    return 8 + int.from_bytes(data[:8], "little")


LARGE = model(2, 10_000), model(3, 10_000)

KINDS = {
    "model": Kind(
        model(1).to_bytes(),
        (LARGE[0].to_bytes(), LARGE[1].to_bytes()),
        lambda data: Sequential.from_bytes(bytes(data), "m.firesteel").to_bytes(),
        lambda path, number: LARGE[number].save(path),
        lambda path: load_model(path).to_bytes(),
    ),
}

"""firesteel's own file formats in one table, for tests of damage and of saving."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from firesteel import _store as store
from firesteel._checkpoints import FileCheckpoints, from_bytes, to_bytes
from firesteel.layers import Activation, BatchNormalization, Dense, Dropout, Normalization, Rescaling
from firesteel.models import Sequential, load_model
from firesteel.train.checkpoints import Identity
from firesteel.train.state import Progress, TrainState

__all__ = ["KINDS", "Kind", "header_size", "model"]


@dataclass(frozen=True)
class Kind:
    """A file format.  small: a complete file.  large: two files of the same size, about half a megabyte.

    opened: returns a file's content as canonical bytes; raises StoreError for any other file.
    save: writes the large file of this number to a path.  load: `opened` of a path.
    """

    small: bytes
    large: tuple[bytes, bytes]
    opened: Callable[[bytes], bytes]
    save: Callable[[Path, int], None]
    load: Callable[[Path], bytes]


def model(seed: int, units: int = 5) -> Sequential:
    """Return a model with many kinds of layers and random weights."""
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
    """Return the length of a file's header."""
    return 8 + int.from_bytes(data[:8], "little")


def trained(seed: int) -> Sequential:
    """Return a model in the middle of a training, with the optimizer's state."""
    made, rng = model(seed), np.random.default_rng(seed)
    size = made.count_params()
    slots, outer = rng.random((2, size)).astype("f4"), rng.normal(size=size).astype("f4")
    made.keep(TrainState.of([20, 2, 0.1, 0.5], made.theta, slots, outer))
    return made


def progress(seed: int, size: int) -> Progress:
    """Return the progress of a training in the middle of its third epoch."""
    rng = np.random.default_rng(seed)
    last, best = (
        TrainState(*(rng.normal(size=shape).astype("f4") for shape in ((size,), (2, size), (size,)))) for _ in "lb"
    )
    rows = [{"epoch": 0, "loss": 1.5, "rows": 320}, {"epoch": 1, "loss": 0.25, "rows": 320}]
    machines = frozenset({"one kind"})
    return Progress(replace(last, step=20, epoch=2, learning_rate=0.1), rows, best, machines, 3, rng.random(4))


LARGE = model(2, 10_000), model(3, 10_000)
KEPT = progress(1, 31), progress(2, 15_000), progress(3, 15_000)
ME = Identity({"seed": "0", "network": "sha256:" + "0" * 64})


def kept(data: bytes, like: Progress) -> bytes:
    """Return a checkpoint after reading and writing it again."""
    back = from_bytes(bytes(data), ME, like.state, "c")
    assert back is not None
    return to_bytes(back, ME)


KINDS = {
    "model": Kind(
        trained(1).to_bytes(),
        (LARGE[0].to_bytes(), LARGE[1].to_bytes()),
        lambda data: Sequential.from_bytes(bytes(data), "m.firesteel").to_bytes(),
        lambda path, number: LARGE[number].save(path),
        lambda path: load_model(path).to_bytes(),
    ),
    "checkpoint": Kind(
        to_bytes(KEPT[0], ME),
        (to_bytes(KEPT[1], ME), to_bytes(KEPT[2], ME)),
        lambda data: kept(data, KEPT[len(data) > 100_000]),
        lambda path, number: FileCheckpoints(path, delete=False).save(ME, KEPT[1 + number]),
        lambda path: kept(store.read(path), KEPT[1]),
    ),
}

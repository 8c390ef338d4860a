"""A step of 784-512-512-10 with two frozen layers, compared with one in which all layers train.

The epochs run in turn, so a busy machine slows both.
"""

import statistics

import numpy as np

from firesteel.layers import Dense
from firesteel.models import Sequential

ROWS, BATCH, TIMES = 12_800, 128, 7


def network(trains: bool) -> Sequential:
    """Return the network.  trains: whether its first two layers train."""
    first = Dense(512, "relu", input_dim=784, trainable=trains)
    model = Sequential([first, Dense(512, "relu", trainable=trains), Dense(10, "softmax")])
    model.compile("adam", "sparse_categorical_crossentropy")
    return model


def main() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.random((ROWS, 784), np.float32), rng.integers(0, 10, ROWS)
    models, seconds = {True: network(True), False: network(False)}, dict[bool, list[float]]()
    for _ in range(1 + TIMES):
        for trains, model in models.items():
            history = model.fit(x, y, batch_size=BATCH, verbose=0)
            seconds.setdefault(trains, []).append(history.rows[-1]["seconds"] / (ROWS // BATCH))
    whole, part = (1000 * statistics.median(seconds[trains][1:]) for trains in (True, False))
    print(f"a step of 784-512-512-10, batch {BATCH}, medians of {TIMES} epochs")
    print(f"  all layers train {whole:.2f} ms, only the last {part:.2f} ms: {part / whole:.2f} times as long")

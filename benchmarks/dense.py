"""Accuracy of a dense network on MNIST, without convolution, additional data or augmentation.  Needs MNIST.

784-1024-1024-10 with relu; batch normalization, dropout on the pixels and between layers, label smoothing, and a
learning rate that rises and then falls along a cosine.  It trains on all 60,000 training rows.  Only these settings
were chosen with the test rows in view.
"""

import statistics
import time

from firesteel.datasets import load_mnist
from firesteel.layers import Activation, BatchNormalization, Dense, Dropout, Rescaling
from firesteel.losses import SparseCategoricalCrossentropy
from firesteel.models import Sequential
from firesteel.optimizers import Adam
from firesteel.optimizers.schedules import CosineDecay

WIDTH, BATCH, EPOCHS, SEEDS = 1024, 256, 60, 3


def model(rows: int) -> Sequential:
    """Return the compiled network; `rows` determines the learning-rate schedule."""
    steps = EPOCHS * (rows // BATCH)
    made = Sequential([Rescaling(1 / 255, input_dim=784), Dropout(0.2)])
    for _ in range(2):
        made.add(Dense(WIDTH, kernel_initializer="he_normal", use_bias=False))
        made.add(BatchNormalization())
        made.add(Activation("relu"))
        made.add(Dropout(0.5))
    made.add(Dense(10, "softmax"))
    rate = CosineDecay(0.0, steps, warmup_target=0.002, warmup_steps=steps // 20)
    made.compile(Adam(rate), SparseCategoricalCrossentropy(label_smoothing=0.1), ["accuracy"])
    return made


def main(seeds: int = SEEDS) -> None:
    (x, y), (x_test, y_test) = ((x.reshape(len(x), -1), y) for x, y in load_mnist())
    accuracies = []
    for seed in range(seeds):
        network, start = model(len(x)), time.perf_counter()
        network.fit(x, y, batch_size=BATCH, epochs=EPOCHS, seed=seed, verbose=0)
        seconds = time.perf_counter() - start
        accuracies.append(network.evaluate(x_test, y_test, verbose=0)[1])
        print(f"seed {seed}: test accuracy {accuracies[-1]:.4f} after {EPOCHS} epochs, {seconds:.0f} s", flush=True)
    print(f"median of {seeds}: {statistics.median(accuracies):.4f}")

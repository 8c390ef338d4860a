"""Test accuracy on MNIST after 15 epochs with 1, 2, 8 and 32 shards and default settings.  Needs MNIST."""

from firesteel.datasets import load_mnist
from firesteel.layers import Dense, Rescaling
from firesteel.models import Sequential

SEEDS = (1, 2, 3)


def accuracy(shards: int, seed: int) -> float:
    (x, y), (x_test, y_test) = load_mnist()
    model = Sequential([Rescaling(1 / 255, input_dim=784), Dense(64, "relu"), Dense(10, "softmax")])
    model.compile("adam", "sparse_categorical_crossentropy", ["accuracy"])
    model.fit(x.reshape(-1, 784), y, batch_size=128, epochs=15, shards=shards, seed=seed, verbose=0)
    return float(model.evaluate(x_test.reshape(-1, 784), y_test, verbose=0)[1])


def main() -> None:
    print(f"MNIST, 784-64-10, batch 128, Adam, 15 epochs: test accuracy, seeds {SEEDS}")
    first = 0.0
    for shards in (1, 2, 8, 32):
        found = [accuracy(shards, seed) for seed in SEEDS]
        mean = sum(found) / len(found)
        first = first or mean
        each = "  ".join(f"{value:.4f}" for value in found)
        print(f"  {shards:3} shards   {each}   mean {mean:.4f}   {100 * (mean - first):+.2f} points", flush=True)

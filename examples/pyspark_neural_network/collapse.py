"""Why the original never found digit 3: it trains with tanh and tests with sigmoid.

    python examples/pyspark_neural_network/collapse.py                   (MNIST, three seeds, some minutes)
    python examples/pyspark_neural_network/collapse.py --data digits     (the digits in the package, seconds)

Trains on arrays as `main_task.py --like-the-original` does, then evaluates the same weights with tanh and with
sigmoid, on training and test rows.  docs/tutorials/network-from-scratch.md explains the result.

Expect on MNIST a test accuracy of 0.82 to 0.84 with tanh and of 0.42 to 0.52 with sigmoid; the training rows do no
better.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from firesteel.callbacks import BoldDriver
from firesteel.datasets import load_digits, load_mnist
from firesteel.initializers import RandomUniform
from firesteel.layers import Dense
from firesteel.models import Sequential
from firesteel.optimizers import SGD
from firesteel.train.strategies import Gradient

DATA = {"mnist": (load_mnist, 255), "digits": (load_digits, 16)}
EPOCHS = 100


def network(inputs: int, hidden: str) -> Sequential:
    """Return the original's network with this activation in its hidden layer."""
    drawn = RandomUniform(-0.5, 0.5)
    start = {"kernel_initializer": drawn, "bias_initializer": drawn}
    model = Sequential([Dense(64, hidden, input_dim=inputs, **start), Dense(10, "sigmoid", **start)], dtype="float64")
    model.compile(SGD(0.1), "half_sse", ["categorical_accuracy"])
    return model


def with_weights(weights: Sequence[np.ndarray], hidden: str) -> Sequential:
    """Return a network with these weights."""
    model = network(len(weights[0]), hidden)
    model.set_weights(weights)
    return model


def translated(tanh: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Return weights with which a sigmoid network computes the same as a tanh network does with these.

    tanh(z) = 2 sigmoid(2 z) - 1, so double the first layer, and double and shift the second.
    """
    w1, b1, w2, b2 = tanh
    return [2 * w1, 2 * b1, 2 * w2, b2 - w2.sum(axis=0)]


def ranks(values: np.ndarray) -> np.ndarray:
    """Return the rank of each value."""
    return np.argsort(np.argsort(values)).astype(float)


@dataclass(frozen=True)
class Seen:
    """Predictions of one set of weights on one set of rows: outputs (n, 10), true classes y (n,)."""

    outputs: np.ndarray
    y: np.ndarray

    @property
    def accuracy(self) -> float:
        return float(np.mean(self.outputs.argmax(axis=1) == self.y))

    @property
    def share(self) -> np.ndarray:
        """The share of rows predicted as each class."""
        return np.bincount(self.outputs.argmax(axis=1), minlength=10) / len(self.y)

    @property
    def recall(self) -> np.ndarray:
        """The recall of each class."""
        right = self.outputs.argmax(axis=1) == self.y
        return np.array([right[self.y == digit].mean() for digit in range(10)])

    @property
    def fired(self) -> np.ndarray:
        """(n,): the number of outputs above 0.5 in each row; the original tested each class separately."""
        return (self.outputs > 0.5).sum(axis=1)


def trained(x: np.ndarray, y: np.ndarray, seed: int) -> tuple[Sequential, float]:
    """Return the network after the original's 100 steps, and its accuracy on the last step's sample."""
    model = network(x.shape[1], "tanh")
    settings = {"epochs": EPOCHS, "strategy": Gradient(sample=0.7), "callbacks": [BoldDriver("seed")], "verbose": 0}
    history = model.fit(x, np.eye(10)[y], seed=seed, **settings)
    return model, history.history["categorical_accuracy"][-1]


def measure(data: str, seeds: int) -> list[dict[str, object]]:
    """Train and measure; print a table of accuracies and one table of digits per seed; return the figures."""
    loader, ink = DATA[data]
    sets = {
        name: ((x.reshape(len(x), -1) / ink), y) for name, (x, y) in zip(("learnt", "test"), loader(), strict=True)
    }
    found = []
    heads = (
        "| seed | last sample | learnt, tanh | test, tanh | learnt, sigmoid | test, sigmoid | without the offset |"
    )
    print(f"{heads} rank correlation |\n{'|---' * 8}|")
    for seed in range(seeds):
        model, sample = trained(*sets["learnt"], seed)
        weights = model.get_weights()
        seen = {
            (rows, hidden): Seen(with_weights(weights, hidden).predict(x), y)
            for rows, (x, y) in sets.items()
            for hidden in ("tanh", "sigmoid")
        }
        mended = with_weights(translated(weights), "sigmoid").predict(sets["test"][0])
        assert np.allclose(mended, seen["test", "tanh"].outputs), "tanh(z) = 2 sigmoid(2 z) - 1 does not hold"
        offset = weights[2].sum(axis=0) / 2
        shifted = with_weights([*weights[:3], weights[3] - offset], "sigmoid").predict(sets["test"][0])
        said = seen["test", "sigmoid"].outputs.mean(axis=0)
        correlation = float(np.corrcoef(ranks(offset), ranks(said))[0, 1])
        cells = [f"{seen[rows, hidden].accuracy:.4f}" for hidden in ("tanh", "sigmoid") for rows in sets]
        cells.append(f"{Seen(shifted, sets['test'][1]).accuracy:.4f}")
        print(f"| {seed} | {sample:.4f} | {' | '.join(cells)} | {correlation:.2f} |", flush=True)
        found.append({"sample": sample, "seen": seen, "offset": offset, "correlation": correlation})
    for seed, one in enumerate(found):
        after, before = one["seen"]["test", "sigmoid"], one["seen"]["test", "tanh"]
        learnt = one["seen"]["learnt", "sigmoid"]
        print(f"\nseed {seed}, test rows; offset is half the sum of the digit's weights in the last layer")
        print("| digit | recall, tanh | recall, sigmoid | the same on learnt rows | chosen, sigmoid | offset |")
        print("|---|---|---|---|---|---|")
        for digit in range(10):
            parts = [f"{part.recall[digit]:.3f}" for part in (before, after, learnt)]
            print(f"| {digit} | {' | '.join(parts)} | {after.share[digit]:.3f} | {one['offset'][digit]:+.2f} |")
        for name, part in (("tanh", before), ("sigmoid", after)):
            none, single, more = (int(np.sum(c)) for c in (part.fired == 0, part.fired == 1, part.fired > 1))
            said = f"{none:,} images are none, {single:,} are one, {more:,} are several digits"
            print(f"{name}, each digit asked on its own: {part.fired.sum():,} times yes; {said}")
    return found


def main(arguments: Sequence[str] | None = None) -> list[dict[str, object]]:
    parser = argparse.ArgumentParser(description="Train with tanh, test with sigmoid.")
    parser.add_argument("--data", choices=list(DATA), default="mnist")
    parser.add_argument("--seeds", type=int, default=3, help="number of trainings (3)")
    given = parser.parse_args(arguments)
    return measure(given.data, given.seeds)


if __name__ == "__main__":
    main()

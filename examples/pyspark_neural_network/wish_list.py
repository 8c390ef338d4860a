"""The original's wish list, measured: one change per row.

    python examples/pyspark_neural_network/wish_list.py                   (MNIST, some minutes)
    python examples/pyspark_neural_network/wish_list.py --data digits     (the digits in the package, seconds)

Trains on arrays and prints a table.  Each row changes one thing in the original's network or training; the last rows
take many small steps instead of 100 large ones.  Two wishes concern only how the gradient is summed: for them the
script sums the gradients of 2,000 rows one by one, as the original did, and compares with one matrix product.

Expect on MNIST a test accuracy of about 0.84 for the original, little more with any single change, and above 0.95
with mini-batches: the original takes too few steps.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from firesteel.callbacks import BoldDriver
from firesteel.datasets import load_digits, load_mnist
from firesteel.fast.blas import one_blas_thread
from firesteel.initializers import RandomUniform
from firesteel.layers import Dense, Dropout
from firesteel.models import Sequential
from firesteel.optimizers import SGD, Adam
from firesteel.optimizers.schedules import ExponentialDecay
from firesteel.regularizers import L1L2
from firesteel.train.strategies import Gradient

DATA = {"mnist": (load_mnist, 255), "digits": (load_digits, 16)}
FALLING = SGD(ExponentialDecay(2.0, 1, 0.99))
ROWS = 2000
"""The number of gradients to sum one by one."""

Part = tuple[np.ndarray, np.ndarray]
"""Images (n, I) and one-hot labels (n, 10)."""


@dataclass(frozen=True)
class Wish:
    """A network and its training; the defaults are the original's.

    bold: whether the bold driver sets the learning rate.  sample: share of the rows for each step, without a batch
    size. usual: relu, softmax, cross-entropy and today's initial weights.
    """

    name: str
    hidden: tuple[int, ...] = (64,)
    l1: float = 0.0
    l2: float = 0.0
    dropout: float = 0.0
    optimizer: Any = SGD(0.1)
    bold: bool = True
    sample: float = 0.7
    epochs: int = 100
    batch: int | None = None
    usual: bool = False

    def model(self, inputs: int) -> Sequential:
        """Return the compiled network."""
        drawn = (
            {} if self.usual else dict.fromkeys(("kernel_initializer", "bias_initializer"), RandomUniform(-0.5, 0.5))
        )
        penalty = L1L2(l1=self.l1, l2=self.l2) if self.l1 or self.l2 else None
        model = Sequential()
        for units in self.hidden:
            first = {} if model.layers else {"input_dim": inputs}
            activation = "relu" if self.usual else "tanh"
            model.add(Dense(units, activation, kernel_regularizer=penalty, **drawn, **first))
            if self.dropout:
                model.add(Dropout(self.dropout))
        model.add(Dense(10, "softmax" if self.usual else "sigmoid", kernel_regularizer=penalty, **drawn))
        loss = "categorical_crossentropy" if self.usual else "half_sse"
        model.compile(self.optimizer, loss, ["categorical_accuracy"])
        return model


WISHES = (
    Wish("the original"),
    Wish("L2 0.0001", l2=1e-4),
    Wish("L1 0.00001", l1=1e-5),
    Wish("rate decay in place of the bold driver, 2 falling by 0.99 a step", optimizer=FALLING, bold=False),
    Wish("another hidden layer, 64-64", hidden=(64, 64)),
    Wish("dropout 0.2", dropout=0.2),
    Wish("no sampling, all rows each step", sample=1.0),
    Wish("a sample of 0.1", sample=0.1),
    Wish("mini-batches of 64, 15 epochs", bold=False, epochs=15, batch=64, optimizer=SGD(0.5)),
    Wish("and relu, softmax, cross-entropy, Adam", bold=False, epochs=15, batch=64, optimizer=Adam(), usual=True),
    Wish("and dropout 0.2", dropout=0.2, bold=False, epochs=15, batch=64, optimizer=Adam(), usual=True),
)


@dataclass(frozen=True)
class Score:
    """The result of a training.  seconds: the median epoch."""

    accuracy: float
    steps: int
    seconds: float


def score(wish: Wish, learnt: Part, test: Part, seed: int) -> Score:
    """Train once and test."""
    model = wish.model(learnt[0].shape[1])
    history = model.fit(
        *learnt,
        epochs=wish.epochs,
        batch_size=wish.batch,
        strategy=Gradient(sample=wish.sample) if wish.batch is None else "average",
        callbacks=[BoldDriver("seed")] if wish.bold else [],
        seed=seed,
        verbose=0,
    )
    _, accuracy = model.evaluate(*test, verbose=0)
    steps = wish.epochs * -(-len(learnt[0]) // wish.batch) if wish.batch else wish.epochs
    return Score(accuracy, steps, statistics.median(row["seconds"] for row in history.rows))


# Summation of the gradient


def row_gradients(weights: Sequence[np.ndarray], x: np.ndarray, t: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the gradient of each row as one vector."""
    w1, b1, w2, b2 = weights
    for row, target in zip(x, t, strict=True):
        h = np.tanh(row @ w1 + b1)
        y = 1 / (1 + np.exp(-(h @ w2 + b2)))
        d2 = (y - target) * y * (1 - y)
        d1 = (w2 @ d2) * (1 - h * h)
        yield np.concatenate([np.outer(row, d1).ravel(), d1, np.outer(h, d2).ravel(), d2])


def block_gradient(weights: Sequence[np.ndarray], x: np.ndarray, t: np.ndarray) -> np.ndarray:
    """Return the sum of the rows' gradients, from matrix products over all rows."""
    w1, b1, w2, b2 = weights
    h = np.tanh(x @ w1 + b1)
    y = 1 / (1 + np.exp(-(h @ w2 + b2)))
    d2 = (y - t) * y * (1 - y)
    d1 = (d2 @ w2.T) * (1 - h * h)
    return np.concatenate([(x.T @ d1).ravel(), d1.sum(axis=0), (h.T @ d2).ravel(), d2.sum(axis=0)])


def chain(vectors: Iterator[np.ndarray]) -> np.ndarray:
    """Add vectors one after another."""
    total = next(vectors).copy()
    for vector in vectors:
        total += vector
    return total


def tree(vectors: Iterator[np.ndarray]) -> np.ndarray:
    """Add vectors in a binary tree, with one sum in memory per level."""
    sums: list[tuple[int, np.ndarray]] = []
    for vector in vectors:
        level, total = 0, vector
        while sums and sums[-1][0] == level:
            level, total = level + 1, sums.pop()[1] + total
        sums.append((level, total))
    total = sums.pop()[1]
    while sums:
        total = sums.pop()[1] + total
    return total


def timed(function: Callable[[], np.ndarray]) -> tuple[np.ndarray, float]:
    """Return the result of a function and the seconds that it takes."""
    start = time.perf_counter()
    return function(), time.perf_counter() - start


def adding(x: np.ndarray, t: np.ndarray) -> dict[str, float]:
    """Return the relative errors of the float32 sums, and how many times faster matrix products are."""
    weights = Wish("").model(x.shape[1]).get_weights()
    exact = chain(row_gradients(weights, x, t))
    small = [part.astype(np.float32) for part in (*weights, x, t)]
    rows = (small[:4], small[4], small[5])
    with one_blas_thread():
        one, alone = timed(lambda: chain(row_gradients(*rows)))
        two, _ = timed(lambda: tree(row_gradients(*rows)))
        block_gradient(*rows)
        whole, together = timed(lambda: block_gradient(*rows))
    named = {"chain": one, "tree": two, "block": whole}
    errors = {name: float(np.linalg.norm(g - exact) / np.linalg.norm(exact)) for name, g in named.items()}
    return errors | {"times": alone / together}


def main(arguments: Sequence[str] | None = None) -> dict[str, Score]:
    parser = argparse.ArgumentParser(description="The original's wish list, measured.")
    parser.add_argument("--data", choices=list(DATA), default="mnist")
    parser.add_argument("--seeds", type=int, default=1, help="number of trainings; figures are medians (1)")
    given = parser.parse_args(arguments)
    loader, ink = DATA[given.data]
    learnt, test = (((x.reshape(len(x), -1) / ink).astype(np.float32), np.eye(10)[y]) for x, y in loader())
    print("| wish | test accuracy | steps | seconds an epoch, of the original's |")
    print("|---|---|---|---|")
    found: dict[str, Score] = {}
    for wish in WISHES:
        scores = [score(wish, learnt, test, seed) for seed in range(given.seeds)]
        accuracy, seconds = (
            statistics.median(getattr(one, what) for one in scores) for what in ("accuracy", "seconds")
        )
        found[wish.name] = Score(accuracy, scores[0].steps, seconds)
        times = seconds / found["the original"].seconds
        print(f"| {wish.name} | {accuracy:.4f} | {scores[0].steps:,} | {times:.1f} |", flush=True)
    rows = adding(learnt[0][:ROWS], learnt[1][:ROWS])
    print(
        f"| tree reduction: error of a sum of {ROWS:,} gradients in float32, {rows['chain']:.0e} in a chain | "
        f"the same: {rows['tree']:.0e} in a tree | | |"
    )
    print(
        "| fewer maps: one product for all rows, where eight maps went row by row | "
        f"the same: {rows['block']:.0e} | | 1 for {rows['times']:.0f} |"
    )
    return found


if __name__ == "__main__":
    main()

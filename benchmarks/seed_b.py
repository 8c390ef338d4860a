"""A small network (784-20-15-10, batch 100, Adam, 54,000 rows): an epoch against its matrix products alone, and a
whole fit against scikit-learn's MLPClassifier on the same arrays."""

import statistics
import time
import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier

from firesteel.layers import Dense
from firesteel.models import Sequential
from firesteel.train.engine import one_blas_thread

ROWS, BATCH, EPOCHS, REPEATS = 54_000, 100, 10, 7
HIDDEN = (20, 15)


def pixels() -> tuple[np.ndarray, np.ndarray]:
    """Return rows like MNIST's: four fifths of the pixels 0, the others any of 1/255 .. 1."""
    rng = np.random.default_rng(0)
    x = rng.integers(1, 256, (ROWS, 784), dtype=np.uint8)
    x[rng.random((ROWS, 784), np.float32) < 0.8] = 0
    return (x / 255).astype(np.float32), rng.integers(0, 10, ROWS)


def model(metrics: list[str]) -> Sequential:
    made = Sequential(
        [
            Dense(20, "relu", kernel_initializer="normal", input_dim=784),
            Dense(15, "relu", kernel_initializer="normal"),
            Dense(10, "softmax", kernel_initializer="normal"),
        ]
    )
    made.compile("adam", "sparse_categorical_crossentropy", metrics)
    return made


def products(x: np.ndarray) -> float:
    """Return the seconds of one epoch of the matrix products that training cannot do without, on one thread.

    The rows of x are taken as they lie, batch by batch: no gathering, no activations, no loss, no optimiser.
    """
    rng = np.random.default_rng(0)
    widths = (784, *HIDDEN, 10)
    weights = [rng.normal(size=shape).astype(np.float32) for shape in zip(widths, widths[1:], strict=False)]
    layers = [rng.normal(size=(BATCH, width)).astype(np.float32) for width in widths]
    start = time.perf_counter()
    for at in range(0, ROWS, BATCH):
        layers[0] = x[at : at + BATCH]
        for number, w in enumerate(weights):
            layers[number] @ w
            layers[number].T @ layers[number + 1]
            if number:
                layers[number + 1] @ w.T
    return time.perf_counter() - start


def ours(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Return (seconds of a warm epoch with accuracy, seconds of a fit of ten without, packing included)."""
    history = model(["accuracy"]).fit(x, y, batch_size=BATCH, epochs=EPOCHS, verbose=0)
    start = time.perf_counter()
    model([]).fit(x, y, batch_size=BATCH, epochs=EPOCHS, verbose=0)
    return statistics.median(row["seconds"] for row in history.rows[1:]), time.perf_counter() - start


def scikit(x: np.ndarray, y: np.ndarray) -> float:
    """Return the seconds of the same fit with MLPClassifier."""
    other = MLPClassifier(HIDDEN, batch_size=BATCH, max_iter=EPOCHS, n_iter_no_change=EPOCHS, alpha=0.0, tol=0.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        start = time.perf_counter()
        other.fit(x, y)
        return time.perf_counter() - start


def main() -> None:
    x, y = pixels()
    with one_blas_thread():
        products(x)
    floors, epochs, fits, others = [], [], [], []
    for repeat in range(REPEATS):
        with one_blas_thread():
            floors.append(products(x))
        epoch, fit = ours(x, y)
        epochs.append(epoch)
        fits.append(fit)
        if repeat < 3:
            others.append(scikit(x, y))
    floor, epoch, fit, other = (statistics.median(v) for v in (floors, epochs, fits, others))
    print(f"784-20-15-10, batch {BATCH}, {ROWS:,} rows, medians of {REPEATS} ({len(others)} for scikit-learn)")
    print(f"  matrix products alone   {floor:6.3f} s an epoch")
    print(f"  firesteel, warm epoch   {epoch:6.3f} s   {epoch / floor:.2f} x the products   (aim: at most 2.2)")
    print(f"  firesteel, ten epochs   {fit:6.2f} s with packing")
    print(f"  scikit-learn, ten       {other:6.2f} s   firesteel takes {fit / other:.2f} of it   (aim: at most 0.5)")

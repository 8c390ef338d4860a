"""The network of the lesson "Hands-On MNIST-MLP" (784-20-15-10, batch 100, Adam, unscaled pixels), and variants with
one change each; then two scikit-learn models.  Needs MNIST; prints a Markdown table.

As in the lesson, everything trains on the first 54,000 training rows; the other 6,000 are validation rows.
"""

import statistics
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler
from threadpoolctl import threadpool_limits

from firesteel.callbacks import EarlyStopping
from firesteel.datasets import load_mnist
from firesteel.layers import Dense, Dropout, Rescaling
from firesteel.models import Sequential
from firesteel.regularizers import L1L2

BATCH, HELD_OUT, SEEDS = 100, 0.1, 5
HEAD = ("", "test accuracy", "test loss", "best validation epoch", "seconds an epoch")

Part = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Case:
    """A network and its training; the defaults are the lesson's."""

    name: str
    hidden: tuple[int, ...] = (20, 15)
    epochs: int = 40
    scale: float | None = None
    dropout: float = 0.0
    l2: float = 0.0
    keep_best: bool = False

    def model(self) -> Sequential:
        """Return the compiled network."""
        penalty = L1L2(l2=self.l2) if self.l2 else None
        model = Sequential([Rescaling(self.scale, input_dim=784)] if self.scale else [])
        for units in self.hidden:
            inputs = {} if model.layers else {"input_dim": 784}
            model.add(Dense(units, "relu", kernel_initializer="normal", kernel_regularizer=penalty, **inputs))
            if self.dropout:
                model.add(Dropout(self.dropout))
        model.add(Dense(10, "softmax", kernel_initializer="normal", kernel_regularizer=penalty))
        model.compile("adam", "sparse_categorical_crossentropy", ["accuracy"])
        return model


CASES = (
    Case("the lesson, 40 epochs"),
    Case("100 epochs", epochs=100),
    Case("the best epoch kept", keep_best=True),
    Case("pixels scaled to 0..1", scale=1 / 255),
    Case("dropout 0.2", dropout=0.2),
    Case("L2 0.001", l2=0.001),
    Case("a third hidden layer, 20-15-15", hidden=(20, 15, 15)),
    Case("ten times wider, 200-150", hidden=(200, 150)),
    Case("ten times wider, 100 epochs", hidden=(200, 150), epochs=100),
    Case("ten times wider, scaled, dropout 0.2", hidden=(200, 150), scale=1 / 255, dropout=0.2),
)
OTHERS = {
    "logistic regression, scaled, 100 iterations": lambda: make_pipeline(MinMaxScaler(), LogisticRegression()),
    "gradient-boosted trees, 100 rounds": lambda: HistGradientBoostingClassifier(early_stopping=False),
}
"""scikit-learn's models, on one thread: their threads wait for each other on a busy machine.  Neither needs a
seed."""


@dataclass(frozen=True)
class Score:
    """The result of one training.  best: the epoch of the least validation loss, from 1.  seconds: the median
    epoch."""

    accuracy: float
    loss: float
    best: int
    seconds: float


def score(case: Case, training: Part, test: Part, seed: int) -> Score:
    """Train once, and score on the test rows without the penalty in the loss."""
    model = case.model()
    keep = EarlyStopping(patience=case.epochs, restore_best_weights=True)
    history = model.fit(
        *training,
        batch_size=BATCH,
        epochs=case.epochs,
        validation_split=HELD_OUT,
        seed=seed,
        verbose=0,
        callbacks=[keep] if case.keep_best else None,
    )
    scored = replace(case, l2=0.0).model()
    scored.set_weights(model.get_weights())
    loss, accuracy = scored.evaluate(*test, verbose=0)
    seconds = statistics.median(row["seconds"] for row in history.rows)
    return Score(accuracy, loss, int(np.argmin(history.history["val_loss"])) + 1, seconds)


def line(case: Case, scores: list[Score]) -> tuple[str, ...]:
    """Return the cells of a row: medians, and minimum..maximum."""
    accuracies, epochs = [s.accuracy for s in scores], [s.best for s in scores]
    return (
        case.name,
        f"{statistics.median(accuracies):.4f} ({min(accuracies):.4f}..{max(accuracies):.4f})",
        f"{statistics.median(s.loss for s in scores):.4f}",
        f"{statistics.median_low(epochs)} ({min(epochs)}..{max(epochs)}) of {case.epochs}",
        f"{statistics.median(s.seconds for s in scores):.2f}",
    )


def other(name: str, training: Part, test: Part) -> tuple[str, ...]:
    """Return the cells of the row of a scikit-learn model."""
    rows = len(training[0]) - int(len(training[0]) * HELD_OUT)
    x, x_test = training[0][:rows].astype(np.float32), test[0].astype(np.float32)
    model = OTHERS[name]()
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        start = time.perf_counter()
        model.fit(x, training[1][:rows])
        seconds = time.perf_counter() - start
    loss = log_loss(test[1], model.predict_proba(x_test))
    return name, f"{model.score(x_test, test[1]):.4f}", f"{loss:.4f}", "", f"{seconds:.0f} in all"


def table(training: Part, test: Part, seeds: int) -> Iterator[tuple[str, ...]]:
    """Yield the cells of each row.  For each seed the cases train in turn, so that seconds can be compared."""
    scores = [[score(case, training, test, seed) for case in CASES] for seed in range(seeds)]
    for number, case in enumerate(CASES):
        yield line(case, [of_seed[number] for of_seed in scores])
    for name in OTHERS:
        yield other(name, training, test)


def main(seeds: int = SEEDS) -> None:
    training, test = ((x.reshape(len(x), -1), y) for x, y in load_mnist())
    print(f"Medians of {seeds} seeds (minimum..maximum)\n")
    for cells in (HEAD, ("---",) * len(HEAD)):
        print(f"| {' | '.join(cells)} |")
    for cells in table(training, test, seeds):
        print(f"| {' | '.join(cells)} |", flush=True)

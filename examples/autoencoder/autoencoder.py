"""Autoencoder: compress digits to 32 numbers and reconstruct them.

    python examples/autoencoder/autoencoder.py                      (MNIST, 784-32-784)
    python examples/autoencoder/autoencoder.py --data digits        (the digits in the package, 64-16-64)

Pixels in [0, 1] are both inputs and targets; the hidden layer has relu, the output layer sigmoid, and the loss is
binary cross-entropy.  Baselines are the mean picture and the same number of principal components.  `--picture FILE`
draws ten test digits above their reconstructions (this needs matplotlib, in firesteel[cli]).  If MNIST cannot be
loaded, the script says so and uses the digits in the package.

Expect on MNIST, after 20 epochs and 14 s on two cores, a test loss of 0.0921 and a mean squared error of 0.0098; 32
principal components have 0.0168 and the mean picture has 0.0675.  On the small digits, in 3 s: 0.0094; 16 components
have 0.0113 and the mean picture has 0.0714.
"""

import argparse
import time
from collections.abc import Sequence

import numpy as np

from firesteel.datasets import load_digits, load_mnist
from firesteel.errors import DataError
from firesteel.layers import Dense
from firesteel.models import Sequential

CODE = {"mnist": 32, "digits": 16}
EPOCHS = {"mnist": 20, "digits": 200}
BATCH = {"mnist": 256, "digits": 32}


def load(data: str) -> tuple[str, tuple[np.ndarray, np.ndarray], np.ndarray]:
    """Return the name of the data set, its training and test pictures as rows in [0, 1], and the test labels."""
    if data == "mnist":
        try:
            (x, _), (test, labels) = load_mnist()
        except DataError as error:
            if error.code not in ("data-missing", "data-download"):
                raise  # the files exist but are damaged
            print(f"MNIST cannot be loaded; using the digits in the package ({error})")
            data = "digits"
    if data == "digits":
        (x, _), (test, labels) = load_digits()
    return data, tuple((part.reshape(len(part), -1) / x.max()).astype(np.float32) for part in (x, test)), labels


def autoencoder(pixels: int, code: int) -> Sequential:
    model = Sequential([Dense(code, "relu", input_dim=pixels), Dense(pixels, "sigmoid")])
    model.compile("adam", "binary_crossentropy", metrics=["mse"])
    return model


def simpler(x: np.ndarray, test: np.ndarray, count: int) -> dict[str, float]:
    """Return the mean squared errors of the mean picture and of `count` principal components."""
    mean = x.mean(axis=0)
    axes = np.linalg.eigh(np.cov(x, rowvar=False))[1][:, -count:]
    off = test - mean
    return {
        "the mean picture": float((off**2).mean()),
        f"{count} principal components": float(((off - off @ axes @ axes.T) ** 2).mean()),
    }


def draw(path: str, test: np.ndarray, drawn: np.ndarray, labels: np.ndarray) -> None:
    """Write a picture: the first test digit of each class, and its reconstruction below it."""
    from matplotlib.figure import Figure

    side = int(test.shape[1] ** 0.5)
    figure = Figure(figsize=(7.5, 1.7), layout="constrained")
    for row, pictures in enumerate((test, drawn)):
        for digit in range(10):
            place = figure.add_subplot(2, 10, row * 10 + digit + 1)
            place.imshow(pictures[labels == digit][0].reshape(side, side), cmap="gray_r", vmin=0, vmax=1)
            place.set(xticks=[], yticks=[])
            if digit == 0:
                place.set_ylabel(("original", "reconstruction")[row], fontsize=7)
    figure.savefig(path, dpi=100)


def main(arguments: Sequence[str] | None = None) -> dict[str, float]:
    parser = argparse.ArgumentParser(description="An autoencoder of digits.")
    parser.add_argument("--data", choices=list(CODE), default="mnist")
    parser.add_argument("--epochs", type=int, help="number of epochs (MNIST 20, digits 200)")
    parser.add_argument("--picture", metavar="FILE", help="draw digits and their reconstructions to this file")
    given = parser.parse_args(arguments)
    data, (x, test), labels = load(given.data)
    model = autoencoder(x.shape[1], CODE[data])
    start = time.perf_counter()
    model.fit(x, x, epochs=EPOCHS[data] if given.epochs is None else given.epochs, batch_size=BATCH[data], verbose=0)
    seconds = time.perf_counter() - start
    loss, mse = model.evaluate(test, test, verbose=0)
    errors = {"the network": mse} | simpler(x, test, CODE[data])
    print(f"{data}, {x.shape[1]}-{CODE[data]}-{x.shape[1]}: {seconds:.0f} s, test loss {loss:.4f}")
    for name, error in errors.items():
        print(f"  mean squared error of {name:24} {error:.5f}")
    if given.picture:
        draw(given.picture, test, model.predict(test), labels)
    return errors


if __name__ == "__main__":
    main()

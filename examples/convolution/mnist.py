"""A small convolutional network with augmentation, above 99.6 % on MNIST; also for Fashion-MNIST.

    python examples/convolution/mnist.py                             (scored on 5,000 validation rows)
    python examples/convolution/mnist.py --seeds 1 2 3 4 --test      (scored on the test rows, and as an ensemble)

Four convolutions with batch normalization and 38,714 parameters that train; AdamW with a learning rate that rises for
15 % of the steps and then falls to 0 along a cosine; averaged weights; pictures rotated, shifted, zoomed, sheared and
bent during training.  Choose settings on the validation rows, and use the test rows once, at the end.

Expect a validation accuracy of 0.9958 with seed 0, in 7.5 minutes of one core without AVX-512.  0.001 is five
pictures.  On the test rows seeds 31 to 34 have 0.9954, 0.9962, 0.9962 and 0.9959, and 0.9968 together.

Settings were compared on three sets of 5,000 validation rows: 62 mistakes, and 64 without bending, which had a median
of 0.9958 over eight seeds on the test rows.  Bending twice as much, label smoothing of 0.1, one more convolution, and
twice as many filters for 36 epochs were no better on one of these sets.
"""

import argparse
import time
from collections.abc import Sequence

import numpy as np

from firesteel.datasets import load_fashion_mnist, load_mnist
from firesteel.layers import (
    BatchNormalization,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    Input,
    Layer,
    MaxPooling2D,
    RandomElasticTransform,
    RandomFlip,
    RandomRotation,
    RandomShear,
    RandomTranslation,
    RandomZoom,
    ReLU,
    Rescaling,
)
from firesteel.models import Sequential
from firesteel.optimizers import AdamW
from firesteel.optimizers.schedules import CosineDecay

HELD = 5_000
BATCH = 128


def augmentation(data: str) -> list[Layer]:
    """Return the augmentation layers.  Clothes may be mirrored, digits may not."""
    black = {"fill_mode": "constant"}
    if data == "fashion_mnist":
        return [RandomFlip("horizontal"), RandomTranslation(0.07, 0.07, **black), RandomZoom(0.1, 0.1, **black)]
    return [
        RandomRotation(15 / 360, **black),
        RandomTranslation(2.5 / 28, 2.5 / 28, **black),
        RandomZoom(0.15, 0.15, **black),
        RandomShear(0.15, 0.15, **black),
        RandomElasticTransform((1, 1), 0.5, value_range=(0, 1), **black),
    ]


def network(data: str, filters: Sequence[int] = (16, 32, 32, 64)) -> Sequential:
    """Return the network before training."""
    first, second, third, fourth = filters

    def convolved(count: int, size: int, padding: str = "valid") -> list[Layer]:
        return [Conv2D(count, size, padding=padding, use_bias=False), BatchNormalization(momentum=0.9), ReLU()]

    return Sequential(
        [
            Input((28, 28, 1)),
            Rescaling(1 / 255),
            *augmentation(data),
            *convolved(first, 5),
            MaxPooling2D(),
            *convolved(second, 3, "same"),
            *convolved(third, 3),
            MaxPooling2D(),
            *convolved(fourth, 3),
            Flatten(),
            Dropout(0.3),
            Dense(10, "softmax"),
        ]
    )


def trained(data: str, x: np.ndarray, y: np.ndarray, epochs: int, seed: int, filters: Sequence[int]) -> Sequential:
    """Return the network after training, with averaged weights."""
    model = network(data, filters)
    steps = epochs * -(-len(x) // BATCH)
    rising = max(1, round(0.15 * steps))
    rate = CosineDecay(4e-5, max(1, steps - rising), warmup_target=4e-3, warmup_steps=rising)
    optimizer = AdamW(rate, weight_decay=1e-4, use_ema=True, ema_momentum=0.998)
    model.compile(optimizer, "sparse_categorical_crossentropy", ["accuracy"])
    model.fit(x, y, batch_size=BATCH, epochs=epochs, seed=seed, verbose=0)
    return model


def main(argv: Sequence[str] | None = None) -> list[float]:
    """Train and score; return the accuracy of each seed, then that of the ensemble if there are several seeds."""
    parser = argparse.ArgumentParser(description="Train small convolutional networks on MNIST or Fashion-MNIST.")
    parser.add_argument("--data", choices=("mnist", "fashion_mnist"), default="mnist")
    parser.add_argument("--epochs", type=int, default=24)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--filters", type=int, nargs=4, default=[16, 32, 32, 64])
    parser.add_argument("--test", action="store_true", help="train on all training rows, score on the test rows")
    given = parser.parse_args(argv)
    (x, y), unseen = load_mnist() if given.data == "mnist" else load_fashion_mnist()
    if not given.test:
        (x, y), unseen = (x[:-HELD], y[:-HELD]), (x[-HELD:], y[-HELD:])
    outputs, found = [], list[float]()
    for seed in given.seeds:
        begun, work = time.perf_counter(), time.process_time()
        model = trained(given.data, x, y, given.epochs, seed, given.filters)
        outputs.append(model.predict(unseen[0], verbose=0))
        found.append(float(np.mean(outputs[-1].argmax(axis=1) == unseen[1])))
        seconds, minutes = time.perf_counter() - begun, (time.process_time() - work) / 60
        print(
            f"seed {seed}: accuracy {found[-1]:.4f} in {seconds:.0f} s, {minutes:.1f} minutes of a core", flush=True
        )
    if len(outputs) > 1:
        found.append(float(np.mean(np.mean(outputs, axis=0).argmax(axis=1) == unseen[1])))
        print(f"all {len(outputs)} together: accuracy {found[-1]:.4f}")
    return found


if __name__ == "__main__":
    main()

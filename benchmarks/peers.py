"""Three networks in process, compared with other libraries on the same rows: one epoch of Adam with mini-batches.

Peers are JAX with the whole epoch in one compiled scan, torch in eager mode, scikit-learn, and Keras on JAX, each
used as its manual shows and with all cores.  The lower bound is the matrix products that training cannot avoid,
batch by batch, without gathering rows, activations or loss, plus one pass over Adam's four vectors.  Each peer runs
three times, in turn, in its own process.  The time of an epoch is the median after the first one, and the result is
the median of the three.
"""

import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.children import child, reply

ROWS, REPEATS, FIT = 54_000, 3, 10
NETWORKS = {
    "784-20-15-10": ((784, 20, 15, 10), 100),
    "784-256-128-10": ((784, 256, 128, 10), 128),
    "784-512-512-10": ((784, 512, 512, 10), 256),
}
"""Name: (widths, batch)."""
AIMS = {
    "784-20-15-10": {"jax": 0.8, "torch": 0.25, "scikit": 0.25, "keras": 0.2, "products": 1.6},
    "784-256-128-10": {"jax": 1.0, "floor": 1.15},
    "784-512-512-10": {"jax": 1.0, "floor": 1.15},
}
"""Largest acceptable ratios of firesteel's epoch to those of others."""
Widths = tuple[int, ...]


def pixels() -> tuple[np.ndarray, np.ndarray]:
    """Return rows like MNIST's: four fifths of the pixels 0, the others any of 1/255 .. 1."""
    rng = np.random.default_rng(0)
    x = rng.integers(1, 256, (ROWS, 784), dtype=np.uint8)
    x[rng.random((ROWS, 784), np.float32) < 0.8] = 0
    return (x / 255).astype(np.float32), rng.integers(0, 10, ROWS)


def warm(epoch: Callable[[], Any], count: int) -> list[float]:
    """Return the seconds of `count` epochs after the first one."""
    seconds = []
    for _ in range(count + 1):
        start = time.perf_counter()
        epoch()
        seconds.append(time.perf_counter() - start)
    return seconds[1:]


# Peers


def products(widths: Widths, batch: int, count: int) -> list[float]:
    x, _ = pixels()
    rng = np.random.default_rng(0)
    weights = [rng.normal(size=shape).astype(np.float32) for shape in zip(widths, widths[1:], strict=False)]
    layers = [rng.normal(size=(batch, width)).astype(np.float32) for width in widths]

    def epoch() -> None:
        for at in range(0, ROWS - batch + 1, batch):
            layers[0] = x[at : at + batch]
            for number, w in enumerate(weights):
                layers[number] @ w
                layers[number].T @ layers[number + 1]
                if number:
                    layers[number + 1] @ w.T

    return warm(epoch, count)


def vectors(widths: Widths, batch: int, count: int) -> list[float]:
    """One pass over Adam's vectors for each batch: four are read, three are written."""
    size = sum((inputs + 1) * units for inputs, units in zip(widths, widths[1:], strict=False))
    theta, g, m, v = (np.ones(size, np.float32) for _ in range(4))

    def epoch() -> None:
        for _ in range(0, ROWS - batch + 1, batch):
            np.add(m, g, out=m)
            np.add(v, g, out=v)
            np.add(theta, m, out=theta)

    return warm(epoch, count)


def ours(widths: Widths, batch: int, metrics: list[str]) -> Any:
    from firesteel.layers import Dense
    from firesteel.models import Sequential

    first, *others = widths[1:-1]
    hidden = [Dense(first, "relu", input_dim=widths[0]), *(Dense(units, "relu") for units in others)]
    model = Sequential([*hidden, Dense(widths[-1], "softmax")])
    model.compile("adam", "sparse_categorical_crossentropy", metrics)
    return model


def firesteel(widths: Widths, batch: int, count: int) -> list[float]:
    history = ours(widths, batch, ["accuracy"]).fit(*pixels(), batch_size=batch, epochs=count + 1, verbose=0)
    return [row["seconds"] for row in history.rows[1:]]


def plain(widths: Widths, batch: int, count: int) -> list[float]:
    """firesteel without compiled kernels."""
    sys.modules["numba"] = None  # type: ignore[assignment]
    return firesteel(widths, batch, count)


def jax(widths: Widths, batch: int, count: int) -> list[float]:
    from functools import partial

    import jax
    import jax.numpy as jnp

    rng = np.random.default_rng(0)
    pairs = list(zip(widths, widths[1:], strict=False))
    p = [(jnp.array(rng.normal(size=s) / s[0] ** 0.5, jnp.float32), jnp.zeros(s[1])) for s in pairs]
    x, y = map(jnp.array, pixels())
    steps = ROWS // batch

    def loss(p: Any, x: Any, y: Any) -> Any:
        for number, (w, b) in enumerate(p):
            x = x @ w + b
            if number < len(p) - 1:
                x = jax.nn.relu(x)
        chosen = jnp.take_along_axis(jax.nn.log_softmax(x), y[:, None], 1)
        return -chosen.mean(), (x.argmax(1) == y).sum()

    gradient = jax.value_and_grad(loss, has_aux=True)

    @partial(jax.jit, donate_argnums=0)
    def epoch(state: Any, order: Any) -> Any:
        def step(state: Any, rows: Any) -> Any:
            p, m, v, t = state
            found, g = gradient(p, x[rows], y[rows])
            t = t + 1
            m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, m, g)
            v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, v, g)
            rate = 1e-3 * jnp.sqrt(1 - 0.999**t) / (1 - 0.9**t)
            p = jax.tree.map(lambda p, m, v: p - rate * m / (jnp.sqrt(v) + 1e-7), p, m, v)
            return (p, m, v, t), found

        return jax.lax.scan(step, state, order[: steps * batch].reshape(steps, batch))

    state = (p, jax.tree.map(jnp.zeros_like, p), jax.tree.map(jnp.zeros_like, p), jnp.float32(0))

    def run() -> None:
        nonlocal state
        state, found = epoch(state, jnp.array(rng.permutation(ROWS)))
        jax.block_until_ready((state, found))

    return warm(run, count)


def torch(widths: Widths, batch: int, count: int) -> list[float]:
    import torch
    from torch import nn

    layers: list[nn.Module] = []
    for inputs, units in zip(widths, widths[1:], strict=False):
        layers += [nn.Linear(inputs, units), nn.ReLU()]
    model = nn.Sequential(*layers[:-1])
    x, y = map(torch.from_numpy, pixels())
    optimizer, loss = torch.optim.Adam(model.parameters()), nn.CrossEntropyLoss()

    def epoch() -> None:
        right = torch.tensor(0)
        order = torch.randperm(ROWS)
        for at in range(0, ROWS, batch):
            rows = order[at : at + batch]
            z = model(x[rows])
            optimizer.zero_grad()
            loss(z, y[rows]).backward()
            optimizer.step()
            right += (z.argmax(1) == y[rows]).sum()

    return warm(epoch, count)


def scikit(widths: Widths, batch: int, count: int) -> list[float]:
    from sklearn.neural_network import MLPClassifier

    x, y = pixels()
    model = MLPClassifier(widths[1:-1], batch_size=batch, alpha=0.0, random_state=0)
    return warm(lambda: model.partial_fit(x, y, classes=np.arange(10)), count)


def keras(widths: Widths, batch: int, count: int) -> list[float]:
    import os

    os.environ["KERAS_BACKEND"] = "jax"
    import keras

    hidden = [keras.layers.Dense(units, activation="relu") for units in widths[1:-1]]
    model = keras.Sequential([*hidden, keras.layers.Dense(widths[-1], activation="softmax")])
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    x, y = pixels()
    return warm(lambda: model.fit(x, y, batch_size=batch, epochs=1, verbose=0), count)


def fit(widths: Widths, batch: int, count: int) -> list[float]:
    """A fit of ten epochs, packing included."""
    x, y = pixels()
    return warm(lambda: ours(widths, batch, []).fit(x, y, batch_size=batch, epochs=FIT, verbose=0), 1)


def scikit_fit(widths: Widths, batch: int, count: int) -> list[float]:
    from sklearn.neural_network import MLPClassifier

    x, y = pixels()
    model = MLPClassifier(widths[1:-1], batch_size=batch, max_iter=FIT, n_iter_no_change=FIT, alpha=0.0, tol=0.0)
    start = time.perf_counter()
    model.fit(x, y)
    return [time.perf_counter() - start]


PEERS = {f.__name__: f for f in (products, vectors, firesteel, plain, jax, torch, scikit, keras, fit, scikit_fit)}
WORDS = {
    "products": "matrix products alone, better of one thread and all",
    "vectors": "one pass over Adam's vectors",
    "firesteel": "firesteel, with numba",
    "plain": "firesteel, NumPy alone",
    "jax": "JAX, an epoch in one scan",
    "torch": "torch, eager",
    "scikit": "scikit-learn",
    "keras": "Keras on JAX",
}


def main() -> None:
    for name in NETWORKS:
        first = name == next(iter(NETWORKS))
        names = [*WORDS, *(["fit", "scikit_fit"] if first else [])]
        found: dict[str, list[float]] = {peer: [] for peer in names}
        for _ in range(REPEATS):
            for peer in names:
                limits = [{}, {"OPENBLAS_NUM_THREADS": "1"}] if peer == "products" else [{}]
                times = [statistics.median(child("benchmarks.peers", peer, name, **limit)) for limit in limits]
                found[peer].append(min(times))
        median = {peer: statistics.median(times) for peer, times in found.items()}
        median["floor"] = median["products"] + median["vectors"]
        print(f"{name}, batch {NETWORKS[name][1]}, {ROWS:,} rows: seconds of an epoch, medians of {REPEATS}")
        for peer, words in WORDS.items():
            ratio, aim = median["firesteel"] / median[peer], AIMS[name].get(peer)
            shown = "" if peer in ("plain", "firesteel", "vectors") else _ratio(ratio, aim)
            print(f"  {words:52} {median[peer]:6.3f} s   {shown}")
        if "floor" in AIMS[name]:
            ratio = median["firesteel"] / median["floor"]
            print(
                f"  {'products and pass together':52} {median['floor']:6.3f} s   {_ratio(ratio, AIMS[name]['floor'])}"
            )
        if first:
            ratio = median["fit"] / median["scikit_fit"]
            print(f"  {'ten epochs, packing included':52} {median['fit']:6.3f} s")
            print(f"  {'scikit-learn, ten epochs':52} {median['scikit_fit']:6.3f} s   {_ratio(ratio, 0.33)}")


def _ratio(ratio: float, aim: float | None) -> str:
    """Return the ratio of the times as text, with the aim."""
    return f"firesteel takes {ratio:.2f} times as long" + ("" if aim is None else f" (aim: at most {aim})")


if __name__ == "__main__":
    peer, network = sys.argv[1:]
    widths, batch = NETWORKS[network]
    reply(PEERS[peer](widths, batch, 5 if len(widths) == 4 and widths[1] < 100 else 3))

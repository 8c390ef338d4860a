"""In process, compared with JAX: a classifier, a regression, and a network with batch normalization and dropout.

JAX runs an epoch as one compiled scan.  Both run in turn, each in its own process.  The time of an epoch is the
median after the first one, and the result is the median of the ratios of the pairs.
"""

import statistics
import sys
from typing import Any

import numpy as np

from benchmarks.children import child, reply
from benchmarks.peers import ROWS, pixels, warm

TURNS, EPOCHS, BATCH, AIM = 5, 4, 128, 1.15
NETWORKS = {
    "784-256-128-10": (10, False),
    "784-256-128-1, mse": (1, False),
    "784-256-128-10, batch normalization and dropout": (10, True),
}
"""Name: (outputs, whether batch normalization and dropout follow each hidden layer)."""
KEPT, SHARE, EPSILON = 0.8, 0.99, 1e-3


def firesteel(outputs: int, more: bool) -> list[float]:
    from firesteel.layers import BatchNormalization, Dense, Dropout
    from firesteel.models import Sequential

    model = Sequential()
    for units in (256, 128):
        model.add(Dense(units, "relu"))
        for layer in (BatchNormalization(), Dropout(1 - KEPT)) if more else ():
            model.add(layer)
    model.add(Dense(outputs, "softmax" if outputs > 1 else None))
    model.compile("adam", "sparse_categorical_crossentropy" if outputs > 1 else "mse")
    x, y = pixels()
    history = model.fit(x, y if outputs > 1 else y / 10, batch_size=BATCH, epochs=EPOCHS + 1, verbose=0)
    return [row["seconds"] for row in history.rows[1:]]


def jax(outputs: int, more: bool) -> list[float]:
    from functools import partial

    import jax
    import jax.numpy as jnp

    rng = np.random.default_rng(0)
    widths = (784, 256, 128, outputs)
    pairs = list(zip(widths, widths[1:], strict=False))
    p: list[Any] = [[jnp.array(rng.normal(size=s) / s[0] ** 0.5, jnp.float32), jnp.zeros(s[1])] for s in pairs]
    means: list[Any] = []
    for number, (_, units) in enumerate(pairs[:-1] if more else []):
        p[number] += [jnp.ones(units), jnp.zeros(units)]
        means.append((jnp.zeros(units), jnp.ones(units)))
    x, y = map(jnp.array, pixels())
    y = y if outputs > 1 else (y / 10).astype(jnp.float32)
    steps = ROWS // BATCH

    def loss(p: Any, x: Any, y: Any, key: Any) -> Any:
        met = []
        for number, (w, b, *others) in enumerate(p):
            x = x @ w + b
            if number < len(p) - 1:
                x = jax.nn.relu(x)
            if others:
                mean, variance = x.mean(0), x.var(0)
                met.append((mean, variance))
                x = (x - mean) / jnp.sqrt(variance + EPSILON) * others[0] + others[1]
                key, own = jax.random.split(key)
                x = jnp.where(jax.random.bernoulli(own, KEPT, x.shape), x / KEPT, 0)
        if outputs == 1:
            return jnp.square(x[:, 0] - y).mean(), met
        return -jnp.take_along_axis(jax.nn.log_softmax(x), y[:, None], 1).mean(), met

    gradient = jax.value_and_grad(loss, has_aux=True)

    @partial(jax.jit, donate_argnums=0)
    def epoch(state: Any, order: Any, key: Any) -> Any:
        def step(state: Any, given: Any) -> Any:
            (p, m, v, t, means), (rows, key) = state, given
            (found, met), g = gradient(p, x[rows], y[rows], key)
            t = t + 1
            means = jax.tree.map(lambda old, new: SHARE * old + (1 - SHARE) * new, means, met)
            m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, m, g)
            v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, v, g)
            rate = 1e-3 * jnp.sqrt(1 - 0.999**t) / (1 - 0.9**t)
            p = jax.tree.map(lambda p, m, v: p - rate * m / (jnp.sqrt(v) + 1e-7), p, m, v)
            return (p, m, v, t, means), found

        batches = order[: steps * BATCH].reshape(steps, BATCH)
        return jax.lax.scan(step, state, (batches, jax.random.split(key, steps)))

    state = (p, jax.tree.map(jnp.zeros_like, p), jax.tree.map(jnp.zeros_like, p), jnp.float32(0), means)
    keys = iter(jax.random.split(jax.random.key(0), EPOCHS + 1))

    def run() -> None:
        nonlocal state
        state, found = epoch(state, jnp.array(rng.permutation(ROWS)), next(keys))
        jax.block_until_ready((state, found))

    return warm(run, EPOCHS)


PEERS = {f.__name__: f for f in (firesteel, jax)}


def main() -> None:
    for name in NETWORKS:
        pairs = []
        for turn in range(TURNS):
            order = list(PEERS)[:: 1 if turn % 2 == 0 else -1]
            times = {peer: statistics.median(child("benchmarks.kinds", peer, name)) for peer in order}
            pairs.append((times["firesteel"], times["jax"]))
        own, other = (statistics.median(times) for times in zip(*pairs, strict=True))
        ratios = sorted(one / two for one, two in pairs)
        print(f"{name}, batch {BATCH}, {ROWS:,} rows: seconds of an epoch, medians of {TURNS}")
        ratio = statistics.median(ratios)
        print(f"  firesteel {own:.3f} s, JAX {other:.3f} s: firesteel takes {ratio:.2f} times as long")
        print(f"  (from {ratios[0]:.2f} to {ratios[-1]:.2f}; aim: at most {AIM})")


if __name__ == "__main__":
    peer, network = sys.argv[1:]
    reply(PEERS[peer](*NETWORKS[network]))

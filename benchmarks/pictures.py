"""Convolutions, compared with torch, JAX and Keras on the same pictures: milliseconds per step with Adam.

Networks: (a) a convolution of 8 filters and a dense layer; (b) two convolutions of 32 and 64 filters and dropout;
(c) four convolutions with batch normalization.  Each peer is a process limited to one core or two.  They run in
turn, so a busy machine slows all of them.  Figures are medians over the turns.

A bare step is forward pass, backward pass and Adam on rows in memory.  `fit` and Keras also shuffle, and compute a
metric. The matrix products are those that training cannot avoid, on columns prepared beforehand, in firesteel's
pieces, with half of the batch on each core.  Peers that are not installed are omitted.
"""

import importlib.util
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

Network = list[tuple[Any, ...]]
NETWORKS: dict[str, Network] = {
    "a": [("conv", 8, 4, "valid", True), ("relu",), ("pool",), ("flat",), ("dense", 128), ("relu",), ("dense", 10)],
    "b": [
        *(("conv", 32, 3, "valid", True), ("relu",), ("conv", 64, 3, "valid", True), ("relu",), ("pool",)),
        *(("drop", 0.25), ("flat",), ("dense", 128), ("relu",), ("drop", 0.5), ("dense", 10)),
    ],
    "c": [
        *(("conv", 32, 5, "valid", False), ("norm",), ("relu",), ("pool",)),
        *(("conv", 64, 3, "same", False), ("norm",), ("relu",)),
        *(("conv", 64, 3, "valid", False), ("norm",), ("relu",), ("pool",)),
        *(("conv", 128, 3, "valid", False), ("norm",), ("relu",), ("flat",), ("drop", 0.4), ("dense", 10)),
    ],
}
"""Layers: ("conv", filters, kernel, padding, use_bias), ("dense", units), ("drop", rate), ("norm",)..."""
BATCHES, CORES, TURNS, LEAST = (64, 128, 256), (1, 2), 5, 0.4
"""Batch sizes, numbers of cores, turns, and the minimum seconds of a turn."""
STEPS = 40
"""Steps in an epoch of `fit`."""
AIMS = {
    "torch": {"a": (0.7, 0.8), "b": (0.7, 0.75), "c": (1.05, 1.2)},
    "products": {"a": (1.5, None), "b": (1.35, None), "c": (1.35, None)},
    "jax": dict.fromkeys("abc", (0.35, None)),
}
"""Largest acceptable ratios of firesteel's bare step and `fit` to those of others, two cores, batches of 128."""


def pictures(rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Return pictures like MNIST's, (B, 28, 28, 1): four fifths of the pixels 0, the others any of 1/255 .. 1."""
    rng = np.random.default_rng(0)
    x = rng.integers(1, 256, (rows, 28, 28, 1), dtype=np.uint8)
    x[rng.random(x.shape, np.float32) < 0.8] = 0
    return (x / 255).astype(np.float32), rng.integers(0, 10, rows)


# Peers: each returns a function that takes some steps and returns their number


Turn = Callable[[], int]


def ours(network: Network) -> Any:
    from firesteel import layers
    from firesteel.models import Sequential

    kinds = {
        "conv": lambda n, k, padding, bias: layers.Conv2D(n, k, padding=padding, use_bias=bias),
        "relu": lambda: layers.Activation("relu"),
        "pool": layers.MaxPooling2D,
        "flat": layers.Flatten,
        "norm": layers.BatchNormalization,
        "drop": layers.Dropout,
        "dense": layers.Dense,
    }
    made = [kinds[kind](*given) for kind, *given in network]  # type: ignore[operator]
    model = Sequential([layers.Input((28, 28, 1)), *made, layers.Activation("softmax")])
    model.compile("adam", "sparse_categorical_crossentropy", ["accuracy"])
    return model


def firesteel(network: Network, batch: int, cores: int) -> Turn:
    from firesteel.core import losses, optimizers
    from firesteel.core.network import Objective
    from firesteel.fast.blas import one_blas_thread
    from firesteel.fast.threads import Threads
    from firesteel.train.blocks import pack_arrays
    from firesteel.train.partial import Task
    from firesteel.train.rounds import step_for
    from firesteel.train.step import batches

    x, y = pictures(8 * batch)
    blocks = pack_arrays(x.reshape(len(x), -1), y[:, None], np.ones(len(x)), np.dtype("f4"))
    net = ours(network).network
    theta, taken = net.init(0), 0
    task = Task(
        Objective(net, losses.get("sparse_categorical_crossentropy")), theta, optimizer=optimizers.get("adam")
    )
    run = Threads(cores - 1)
    step = step_for(task, blocks, batch, theta.copy(), np.zeros((2, len(theta)), "f4"), run)
    rows = [(block, np.arange(len(block))) for block in blocks]

    def turn() -> int:
        nonlocal taken
        before = taken
        with one_blas_thread():
            for planned in batches(rows, step.planned):
                for number in step.plan(planned, None):
                    step.learn(number, 0, taken)
                    taken += 1
                    step.move(taken)
        return taken - before

    return turn


def plain(network: Network, batch: int, cores: int) -> Turn:
    """firesteel without compiled kernels."""
    sys.modules["numba"] = None  # type: ignore[assignment]
    return firesteel(network, batch, cores)


def fit(network: Network, batch: int, cores: int) -> Callable[[], float]:
    """Return a function that runs an epoch of `fit` and returns the seconds of a step, without packing."""
    x, y = pictures(STEPS * batch)
    model = ours(network)
    return lambda: model.fit(x, y, batch_size=batch, verbose=0).rows[-1]["seconds"] / STEPS


def products(network: Network, batch: int, cores: int) -> Turn:
    from firesteel.core.layers.convolution import Convolve
    from firesteel.core.layers.dense import Linear
    from firesteel.fast.blas import one_blas_thread
    from firesteel.fast.threads import Threads

    net = ours(network).network
    shapes = [(part, net.shapes[part.reads[0]]) for part in net.plan]
    rows, work = batch // cores, list[Callable[[], Any]]()

    def add(n: int, inputs: int, units: int, wants: bool) -> None:
        # zeros, because repeated products of other numbers overflow; written, so that every page is in memory
        x, w, d = (np.full(shape, 0, np.float32) for shape in ((n, inputs), (inputs, units), (n, units)))
        work.append(lambda: np.dot(x, w, out=d))
        work.append(lambda: np.dot(x.T, d, out=w))
        if wants:
            work.append(lambda: np.dot(d, w.T, out=x))

    for part, shape in shapes:
        if isinstance(part.layer, Convolve):
            place = part.layer.place(shape)
            for piece in place.pieces(rows):
                windows = (piece.stop - piece.start) * place.places[0] * place.places[1]
                add(windows, place.size, part.layer.filters, part.wants)
        elif isinstance(part.layer, Linear):
            add(rows, shape[-1], part.layer.units, part.wants)
    run = Threads(cores - 1)

    def turn() -> int:
        with one_blas_thread():
            run(lambda core: [product() for product in work], range(cores))
        return 1

    return turn


def torch(network: Network, batch: int, cores: int, last: bool = False) -> Turn:
    """last: whether channels are the last axis."""
    import torch
    from torch import nn

    torch.set_num_threads(cores)
    kinds: dict[str, Callable[..., nn.Module]] = {
        "conv": lambda n, k, padding, bias: nn.LazyConv2d(n, k, padding=padding, bias=bias),
        "relu": nn.ReLU,
        "pool": lambda: nn.MaxPool2d(2),
        "flat": nn.Flatten,
        "norm": lambda: nn.LazyBatchNorm2d(eps=1e-3),
        "drop": nn.Dropout,
        "dense": nn.LazyLinear,
    }
    form = torch.channels_last if last else torch.contiguous_format
    x, y = (torch.from_numpy(part) for part in pictures(8 * batch))
    parts = [one.contiguous(memory_format=form) for one in x.permute(0, 3, 1, 2).split(batch)]
    model = nn.Sequential(*(kinds[kind](*given) for kind, *given in network))
    model(parts[0])
    model = model.to(memory_format=form)
    optimizer, loss = torch.optim.Adam(model.parameters()), nn.CrossEntropyLoss()

    def turn() -> int:
        for part, label in zip(parts, y.split(batch), strict=True):
            optimizer.zero_grad()
            loss(model(part), label).backward()
            optimizer.step()
        return len(parts)

    return turn


def torch_last(network: Network, batch: int, cores: int) -> Turn:
    return torch(network, batch, cores, last=True)


def jax(network: Network, batch: int, cores: int) -> Turn:
    import jax
    import jax.numpy as jnp
    from jax import lax

    rng = np.random.default_rng(0)

    def weights(*shape: int) -> Any:
        return jnp.array(rng.normal(size=shape) / np.prod(shape[:-1]) ** 0.5, jnp.float32)

    def layer(kind: str, given: list[Any], p: Any, x: Any, key: Any) -> tuple[Any, Any]:
        """Return a layer's parameters, created if necessary, and its outputs."""
        if kind == "conv":
            filters, k, padding, bias = given
            p = p or [weights(k, k, x.shape[-1], filters), *([jnp.zeros(filters)] if bias else [])]
            y = lax.conv_general_dilated(x, p[0], (1, 1), padding.upper(), dimension_numbers=("NHWC", "HWIO", "NHWC"))
            return p, y + p[1] if bias else y
        if kind == "dense":
            p = p or [weights(x.shape[1], given[0]), jnp.zeros(given[0])]
            return p, x @ p[0] + p[1]
        if kind == "norm":
            p = p or [jnp.ones(x.shape[-1]), jnp.zeros(x.shape[-1])]
            m, v = x.mean((0, 1, 2)), x.var((0, 1, 2))
            return p, (x - m) * lax.rsqrt(v + 1e-3) * p[0] + p[1]
        if kind == "drop":
            return p, jnp.where(jax.random.bernoulli(key, 1 - given[0], x.shape), x / (1 - given[0]), 0)
        if kind == "pool":
            return p, lax.reduce_window(x, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")
        return p, jax.nn.relu(x) if kind == "relu" else x.reshape(len(x), -1)

    def apply(p: list[Any], x: Any, key: Any) -> tuple[list[Any], Any]:
        made = []
        for number, (kind, *given) in enumerate(network):
            one, x = layer(kind, given, p[number], x, jax.random.fold_in(key, number))
            made.append(one)
        return made, x

    def loss(p: Any, x: Any, y: Any, key: Any) -> Any:
        return -jnp.take_along_axis(jax.nn.log_softmax(apply(p, x, key)[1]), y[:, None], 1).mean()

    @jax.jit
    def step(state: Any, x: Any, y: Any) -> Any:
        p, m, v, t = state
        g = jax.grad(loss)(p, x, y, jax.random.key(t.astype(int)))
        t = t + 1
        m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, m, g)
        v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, v, g)
        rate = 1e-3 * jnp.sqrt(1 - 0.999**t) / (1 - 0.9**t)
        return jax.tree.map(lambda p, m, v: p - rate * m / (jnp.sqrt(v) + 1e-7), p, m, v), m, v, t

    x, y = (jnp.array(part).reshape(8, batch, *part.shape[1:]) for part in pictures(8 * batch))
    p, _ = apply([[] for _ in network], x[0], jax.random.key(0))
    state = (p, jax.tree.map(jnp.zeros_like, p), jax.tree.map(jnp.zeros_like, p), jnp.float32(0))
    rows = list(zip(x, y, strict=True))

    def turn() -> int:
        nonlocal state
        for part, label in rows:
            state = step(state, part, label)
        jax.block_until_ready(state)
        return len(rows)

    return turn


def keras(network: Network, batch: int, cores: int) -> Turn:
    os.environ["KERAS_BACKEND"] = "jax"
    import keras
    from keras import layers

    kinds: dict[str, Callable[..., Any]] = {
        "conv": lambda n, k, padding, bias: layers.Conv2D(n, k, padding=padding, use_bias=bias),
        "relu": layers.ReLU,
        "pool": layers.MaxPooling2D,
        "flat": layers.Flatten,
        "norm": layers.BatchNormalization,
        "drop": layers.Dropout,
        "dense": layers.Dense,
    }
    made = [kinds[kind](*given) for kind, *given in network]
    model = keras.Sequential([layers.Input((28, 28, 1)), *made, layers.Activation("softmax")])
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    x, y = pictures(8 * batch)

    def turn() -> int:
        model.fit(x, y, batch_size=batch, verbose=0)
        return 8

    return turn


PEERS = {f.__name__: f for f in (firesteel, fit, products, torch, torch_last, jax, keras, plain)}
WORDS = {
    "firesteel": "firesteel, bare step",
    "fit": "firesteel, fit",
    "products": "matrix products alone",
    "torch": "torch, channels first",
    "torch_last": "torch, channels last",
    "jax": "JAX, compiled step",
    "keras": "Keras on JAX, fit",
    "plain": "firesteel without numba",
}
NEEDS = {"torch": "torch", "torch_last": "torch", "jax": "jax", "keras": "keras"}


class Runner:
    """A peer in its own process, which runs steps on request."""

    def __init__(self, peer: str, *given: Any) -> None:
        command = [sys.executable, "-W", "ignore", "-m", "benchmarks.pictures", peer, *map(str, given)]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)

    def seconds(self) -> float:
        """Return the seconds of a step, in one turn."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise RuntimeError(f"{self.process.args}: ended with {self.process.wait()}")
        return float(json.loads(answer))

    def close(self) -> None:
        self.process.communicate()


def answer(peer: str, network: str, batch: int, cores: int) -> None:
    """For each line on standard input, run steps and write the seconds of one."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])
    turn = PEERS[peer](NETWORKS[network], batch, cores)
    turn()
    for _ in sys.stdin:
        taken, seconds, start = 0, 0.0, time.perf_counter()
        while seconds < LEAST and peer != "fit":
            taken += turn()  # type: ignore[assignment]
            seconds = time.perf_counter() - start
        print(json.dumps(seconds / taken if taken else turn()), flush=True)


def measured(network: str, batch: int, cores: int, peers: list[str], turns: int = TURNS) -> dict[str, float]:
    """Return the milliseconds of a step of each peer, medians over turns."""
    runners = {peer: Runner(peer, network, batch, cores) for peer in peers}
    try:
        for runner in runners.values():
            runner.seconds()
        found = [{peer: runner.seconds() for peer, runner in runners.items()} for _ in range(turns)]
    finally:
        for runner in runners.values():
            runner.close()
    return {peer: 1000 * statistics.median(turn[peer] for turn in found) for peer in peers}


def main() -> None:
    peers = [peer for peer in WORDS if importlib.util.find_spec(NEEDS.get(peer, "firesteel"))]
    if missing := sorted({NEEDS[peer] for peer in WORDS if peer not in peers}):
        print(f"not installed and omitted: {', '.join(missing)}")
    cores = [number for number in CORES if number <= len(os.sched_getaffinity(0))]
    found: dict[tuple[str, int, int], dict[str, float]] = {}
    for network in NETWORKS:
        for number in cores:
            print(f"network {network}, {number} core(s): ms per step, and the ratio of firesteel's bare step to it")
            for batch in BATCHES:
                found[network, batch, number] = measured(network, batch, number, peers)
            print(f"  {'batch':24}" + "".join(f"{batch:>16}" for batch in BATCHES))
            for peer in peers:
                cells = [found[network, batch, number] for batch in BATCHES]
                shown = [f"{one[peer]:10.2f}  {one['firesteel'] / one[peer]:4.2f}" for one in cells]
                print(f"  {WORDS[peer]:24}" + "".join(shown))
    for network in NETWORKS:
        report(network, {number: found[network, 128, number] for number in cores})


def report(network: str, found: dict[int, dict[str, float]]) -> None:
    """Print the ratios to other libraries with batches of 128, and their aims."""
    two = found[max(found)]
    best = {"torch": min((two[peer] for peer in ("torch", "torch_last") if peer in two), default=None)}
    parts = []
    for peer, aims in AIMS.items():
        if (other := best.get(peer, two.get(peer))) is not None:
            pairs = zip(("step", "fit"), ("firesteel", "fit"), aims[network], strict=True)
            parts += [
                f"{word} / {peer} {two[own] / other:.2f} ({aim})" for word, own, aim in pairs if aim is not None
            ]
    if "jax" in two:
        parts.append(f"without numba / jax on one core {found[1]['plain'] / found[1]['jax']:.2f} (1.1)")
    if len(found) > 1:
        own, floor = (found[1][peer] / two[peer] for peer in ("firesteel", "products"))
        parts.append(
            f"from one core to two {own:.2f}, products {floor:.2f}: {own / floor:.2f} of that (at least 0.9)"
        )
    print(f"{network}, batch 128, with aims: " + "; ".join(parts))


if __name__ == "__main__":
    who, which, *numbers = sys.argv[1:]
    answer(who, which, *map(int, numbers))

"""Embeddings of few and of many categories: seconds per step of 128 rows, measured in turn.

A step is the same as in a fit; a fit also copies the tables a few times per epoch.  A network has one embedding of
16 numbers or twenty of them, each for its own column, ten more numbers, and a layer of 64.  Seconds are processor
time, so other work on the machine does not count.
"""

import statistics
import time
from collections.abc import Callable

import numpy as np

from firesteel.core import losses, optimizers
from firesteel.core.layer import Layer
from firesteel.core.layers import Dense, Embedding, Flatten
from firesteel.core.network import Network, Node, Objective
from firesteel.core.types import Shape
from firesteel.fast.blas import one_blas_thread
from firesteel.train.blocks import pack_arrays
from firesteel.train.partial import Task
from firesteel.train.rounds import step_for
from firesteel.train.step import batches

ROWS, BATCH, TURNS = 12_800, 128, 15
CASES = [(1, size, lazy) for lazy in (True, False) for size in (1_000, 100_000)] + [(1, 1_000_000, True)]
CASES += [(20, size, True) for size in (1_000, 100_000)]
"""Number of embeddings, categories of each, sparse_steps."""


class Join(Layer):
    """y = [x_1, x_2, ...]."""

    def output_shape(self, *inputs: Shape) -> Shape:
        return (sum(shape[-1] for shape in inputs),)

    def apply(self, p, *x, rng=None):  # type: ignore[no-untyped-def]
        ends = np.cumsum([part.shape[1] for part in x])[:-1]
        return np.concatenate(x, axis=1), lambda d_y, g, wants_x: tuple(np.split(d_y, ends, axis=1))


def steps(count: int, size: int, lazy: bool) -> Callable[[], float]:
    """Return a function that runs the steps of an epoch and returns the seconds of one."""
    tables = [Embedding(size, 16, sparse_steps=lazy) for _ in range(count)]
    nodes = [Node(table, (number,), number) for number, table in enumerate(tables)]
    nodes.append(Node(Join(), (*range(count + 1, 2 * count + 1), count), count))
    for layer in (Flatten(), Dense(64, "relu"), Dense(1)):
        nodes.append(Node(layer, (count + len(nodes),), len(nodes)))
    network = Network(tuple(nodes), ((1,),) * count + ((10,),))
    rng = np.random.default_rng(0)
    x = np.hstack([rng.integers(0, size, (ROWS, count)), rng.normal(size=(ROWS, 10))])
    blocks = pack_arrays(x, rng.normal(size=(ROWS, 1)), np.ones(ROWS), np.dtype("f4"))
    theta, adam = network.init(0), optimizers.get("adam")
    task = Task(Objective(network, losses.get("mse")), theta, optimizer=adam)
    step = step_for(task, blocks, BATCH, theta.copy(), np.zeros((2, len(theta)), "f4"), map)
    pieces = [(block, rng.permutation(len(block))) for block in blocks]
    taken = 0

    def epoch() -> float:
        nonlocal taken
        before, start = taken, time.process_time()
        with one_blas_thread():
            for planned in batches(pieces, step.planned):
                for number in step.plan(planned, None):
                    step.learn(number, 0, taken)
                    taken += 1
                    step.move(taken)
        return (time.process_time() - start) / (taken - before)

    return epoch


def main() -> None:
    cases = [(case, steps(*case)) for case in CASES]
    found = {case: [] for case in CASES}
    for turn in range(TURNS + 1):
        for case, epoch in cases if turn % 2 else cases[::-1]:
            found[case].append(epoch())
    median = {case: statistics.median(seconds[1:]) for case, seconds in found.items()}
    print("embeddings   categories   sparse steps    microseconds per step    relative to 1,000 categories")
    for count, size, lazy in CASES:
        seconds = median[count, size, lazy]
        ratio = seconds / median[count, 1_000, lazy]
        print(f"{count:10} {size:12,} {'yes' if lazy else 'no':>14} {seconds * 1e6:24,.0f} {ratio:31.2f}")

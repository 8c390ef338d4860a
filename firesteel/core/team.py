"""The sub-batches of a classifier's step as one compiled call, shared among threads that meet there.

Between two steps a helper looks out in compiled code for the next one, and sleeps if none comes soon; it never asks
for Python's lock, which costs as much as half of a small batch.  `chain.py` has what is computed, `train/learner.py`
says when there is a team, and `train/threads.py` has its helpers.
"""

import ctypes
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from firesteel.core import chain, kernels
from firesteel.core.chain import Chain
from firesteel.core.network import Network, Objective
from firesteel.core.ops import Scale, Standardize, ones
from firesteel.core.types import Array

__all__ = ["Team", "begins", "served"]


def begins(objective: Objective) -> int | None:
    """Return the number of the op where a chain begins that ends with the loss, behind one scaling at most.

    None where that is not all of the network: then it is no work for a team.
    """
    network, last = objective.network, objective.last
    first = int(isinstance(network.ops[0], Scale | Standardize))
    runs = chain.runs(network.ops[:last], network.widths)
    whole = list(runs) == [first] and first + chain.span(runs[first]) == last
    return first if whole and objective.fused and not network.sparse else None


class Given(NamedTuple):
    """The memory in which a step is learned, and what it is learned with.

    at, by: (n,), the address of each row, and what its bytes are divided by, or 0 where it is the values themselves.
    plus: whether inputs become x factor + shift, or else (x - shift) factor.  shift, factor: (I,); empty if neither.
    codes, x: for each member, the bytes of a row, and the rows of a sub-batch.  z, d: likewise, for `chain.backward`.
    one: ones.  layers: as in `Chain`.  theta: (P,).  slots: (K, P).  numbers: (4,), the last arguments of `adam`.
    y: (n, T), targets.  weights: (n,), what the derivatives of each row's loss are multiplied by.
    losses: (n,).  p: (n, O), the probabilities.  gradients: (N, P), of each sub-batch, and then their sum the first.
    """

    at: Array
    by: Array
    plus: bool
    shift: Array
    factor: Array
    codes: Array
    x: Array
    z: Array
    d: Array
    one: Array
    layers: Array
    theta: Array
    slots: Array
    numbers: Array
    y: Array
    weights: Array
    losses: Array
    p: Array
    gradients: Array


class Team:
    """This thread and its helpers, who take one step after another: learn its sub-batches, add up, and move."""

    def __init__(
        self,
        chain: Chain,
        network: Network,
        state: tuple[Array, Array],
        rows: tuple[Array, Array, Array, Array],
        *,
        size: int,
        count: int,
        members: int,
        hold: Callable[["Team"], None],
    ) -> None:
        """chain: all of the network but its scaling.  state: theta and slots.  rows: y, weights, losses and p.

        size: the most rows of a sub-batch.  count: the most sub-batches of a step.  members: how many threads.
        hold: has helpers attend, unless they do already.
        """
        theta, slots = state
        dtype, width, units = theta.dtype, network.inputs, size * chain.units
        self.given = Given(
            *(np.empty(len(rows[0]), np.int64), np.empty(len(rows[0]), dtype), *scaling(network, dtype)),
            *(np.empty((members, width), np.uint8), np.empty((members, size, width), dtype)),
            *(np.empty((members, units), dtype), np.empty((members, units), dtype)),
            *(ones(size, dtype), chain.layers, theta, slots, np.empty(4, dtype)),
            *(*rows, np.empty((count, len(theta)), dtype)),
        )
        self.mail, self.semaphores = np.zeros(4, np.int64), np.zeros((members, SEMAPHORE), np.int64)
        found, address, line = served(network.dtype), self.semaphores.ctypes.data, self.semaphores.strides[0]
        assert found is not None, "there is a team only where it can be compiled"
        self.serve, self.members, self.hold = found, members, hold
        for member in range(members):
            system()["sem_init"](address + member * line, 0, 0)
        if members > 1:  # what cannot be compiled fails here, where nobody waits for it
            system()["sem_post"](address + line)
            self.attend(1)
            system()["sem_wait"](address)

    def attend(self, member: int) -> None:
        """Do the work of a helper, 1 .. members - 1, until the team is dismissed."""
        self.serve(member, self.mail, self.semaphores, self.given)

    def learn(self, start: int, rows: int, size: int) -> None:
        """Learn from the rows from `start` in sub-batches of `size`, and add up their gradients."""
        self._lead(LEARN, start, rows, size)

    def step(self, numbers: Sequence[float]) -> None:
        """Take the step of `kernels.adam` along the gradient, with these for its last arguments."""
        self.given.numbers[:] = numbers
        self._lead(STEP, 0, 0, 1)

    def dismiss(self) -> None:
        """Let the helpers go."""
        self._lead(LEAVE, 0, 0, 1)

    def _lead(self, *mail: int) -> None:
        self.mail[:] = mail
        self.hold(self)
        self.serve(0, self.mail, self.semaphores, self.given)


def scaling(network: Network, dtype: np.dtype[Any]) -> tuple[bool, Array, Array]:
    """Return how the first op scales inputs, if it does: plus, shift and factor, as in `Given`."""
    op = network.ops[0]
    if isinstance(op, Scale):
        shift, factor = np.full(network.inputs, op.offset, dtype), np.full(network.inputs, op.scale, dtype)
    elif isinstance(op, Standardize):
        shift, factor = (np.broadcast_to(part, network.inputs).copy() for part in op.vectors[dtype.name])
    else:
        shift = factor = np.empty(0, dtype)
    return isinstance(op, Scale) and bool(op.offset), shift, factor


@functools.cache
def served(dtype: str) -> Any:
    """Return what the members of teams of this dtype run, or None where it cannot be compiled."""
    found, functions = chain.loops(dtype), system()
    if not (found and functions):
        return None
    known = found._asdict() | {"adam": kernels.compiled(kernels.adam, kernels.WORTH)}
    return wired(kernels.compiled_with, functions | known)


def wired(bind: Callable[..., Any], functions: Mapping[str, Any]) -> Any:
    """Return `serve`, made by `bind`, as are the loops that it calls, to call these functions."""
    parts = dict(functions)
    for loop in (fetch, wait, share, serve):
        parts[loop.__name__] = bind(loop, parts)
    return parts["serve"]


@functools.cache
def system() -> dict[str, Any]:
    """Return memcpy, sched_yield and the semaphores of POSIX, or nothing where they are not all there."""
    whole, word = ctypes.c_int64, ctypes.c_int
    takes: dict[str, tuple[Any, ...]] = {"memcpy": (None, whole, whole, whole), "sched_yield": (word,)}
    takes |= {f"sem_{name}": (word, whole) for name in ("post", "wait", "trywait")}
    takes["sem_init"] = (word, whole, word, word)
    made = {}
    try:
        library = ctypes.CDLL(None)
        for name, (result, *types) in takes.items():
            made[name] = getattr(library, name)
            made[name].argtypes, made[name].restype = types, result
    except (AttributeError, OSError, TypeError):
        return {}
    room = np.zeros(SEMAPHORE, np.int64)
    return {} if made["sem_init"](room.ctypes.data, 0, 0) else made


SEMAPHORE = 8
"""Words that a semaphore has to itself: a line of a CPU's cache, and no system's is larger."""
TRIES = 5000
"""How often a thread looks for a semaphore before it sleeps: about a tenth of a millisecond."""
memcpy: Any = None
sched_yield: Any = None
sem_post: Any = None
sem_wait: Any = None
sem_trywait: Any = None
"""Functions of the system, that `wired` gives the loops."""
forward: Any = None
crossentropy: Any = None
backward: Any = None
adam: Any = None
"""The loops of `chain.py` and `kernels.py`, likewise."""
LEAVE, LEARN, ADD, STEP = range(4)
"""What a team does."""


def fetch(at: Array, by: Array, plus: bool, shift: Array, factor: Array, codes: Array, x: Array) -> None:
    """Write rows to x, (B, I), as `Block.features` does, and scale them as the first op does.

    at, by: (B,), as in `Given`.  codes: (I,), bytes to work with.
    """
    width, size = x.shape[1], x.itemsize
    for b in range(len(at)):
        d = by[b]
        if d == 0:
            memcpy(x.ctypes.data + b * width * size, at[b], width * size)
        else:
            memcpy(codes.ctypes.data, at[b], width)
            for i in range(width):
                x[b, i] = codes[i] / d
        if plus:
            for i in range(width):
                x[b, i] = x[b, i] * factor[i] + shift[i]
        else:
            for i in range(len(factor)):
                x[b, i] = (x[b, i] - shift[i]) * factor[i]


def wait(semaphore: int) -> None:
    """Take one from a semaphore: at once if there is one soon, else asleep."""
    for turn in range(TRIES):
        if sem_trywait(semaphore) == 0:
            return
        if turn % 16 == 0:
            sched_yield()
    while sem_wait(semaphore) != 0:  # a signal came
        pass


def share(member: int, members: int, start: int, rows: int, size: int, given: Given) -> None:
    """Learn a member's part of a step's sub-batches."""
    x, z, d = given.x[member], given.z[member], given.d[member]
    for number in range(member, -(-rows // size), members):
        first, end = start + number * size, start + min(rows, (number + 1) * size)
        n = end - first
        here, units = x[:n], z.size // len(x) * n
        fetch(
            given.at[first:end], given.by[first:end], given.plus, given.shift, given.factor, given.codes[member], here
        )
        y, weights, losses, p = (
            given.y[first:end],
            given.weights[first:end],
            given.losses[first:end],
            given.p[first:end],
        )
        g, one, last = given.gradients[number], given.one[:n], units - p.size
        forward(here, given.theta, one, given.layers, z[:units])
        crossentropy(z[last:units], y, weights, losses, p, d[last:units])
        backward(here, given.theta, one, g, here, False, given.layers, z[:units], d[:units])


def serve(member: int, mail: Array, semaphores: Array, given: Given) -> None:
    """Do a member's part of one thing after another: a helper until told to leave, 0 of one and of what follows it.

    mail: what is to be done, the first row, how many, and those of a sub-batch.  semaphores: (members, 8), of which
    the first says that a helper has done its part, and each other one that its helper should begin.
    """
    members, done, line = len(semaphores), semaphores.ctypes.data, semaphores.strides[0]
    first, end = len(given.theta) * member // members, len(given.theta) * (member + 1) // members
    again = True
    while again:
        if member:
            wait(done + member * line)
        else:
            for helper in range(1, members):
                sem_post(done + helper * line)
        what, start, rows, size = mail
        if what == LEARN:
            share(member, members, start, rows, size, given)
        elif what == ADD:
            count, apart = -(-rows // size), 1
            while apart < count:  # the order of `tree_sum`
                for number in range(0, count - apart, 2 * apart):
                    a, b = given.gradients[number], given.gradients[number + apart]
                    for i in range(first, end):
                        a[i] += b[i]
                apart *= 2
        elif what == STEP:
            b1, b2, epsilon, rate = given.numbers
            g, m, v = given.gradients[0, first:end], given.slots[0, first:end], given.slots[1, first:end]
            adam(given.theta[first:end], g, m, v, b1, b2, epsilon, rate)
        if member:
            again = what != LEAVE
            sem_post(done)
        else:
            for _ in range(1, members):
                wait(done)
            again = what == LEARN and rows > size
            mail[0] = ADD

"""Compiled code of a team's threads: fetch rows, compute and add gradients, take steps, and synchronize.

`fast/team.py` runs them.  The other kernels are the mathematics, with NumPy's bits.
"""

from typing import Any, NamedTuple

import numpy as np

from firesteel.core.layout import ones
from firesteel.core.types import Array
from firesteel.fast.kernels import rows

__all__ = ["LOOPS", "Given"]


class Given(NamedTuple):
    """The buffers of a compiled training step, shared by the threads of a team.

    at, by: (n,), the address of each row, and the divisor of its bytes, or 0 for plain values.
    plus: whether inputs become x factor + shift, otherwise (x - shift) factor.  shift, factor: (I,); empty for
    neither. codes, x: for each member, the bytes of a row, and the rows of a sub-batch.  z, d: likewise, for
    `dense.backward`. one: ones.  layers: as in `Chain`.  kind: the kind of the loss, for `losses.head`. theta: (P,).
    slots: (K, P).  numbers: the last argument of `optimizers`, (6,), then that of `losses.head`. y: (n, T), targets.
    weights: (n,), the factors of the derivatives of each row's loss. losses: (n,).  p: (n, O), the probabilities.
    gradients: (N, P), of each sub-batch; their sum is stored in the first. pace: the time until which leaders work
    alone, and the recent gain from helpers, in nanoseconds.
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
    kind: int
    theta: Array
    slots: Array
    numbers: Array
    y: Array
    weights: Array
    losses: Array
    p: Array
    gradients: Array
    pace: Array


SEMAPHORE, TIME = 16, 8
"""Words reserved for a semaphore (two cache lines), and the position of a time among them."""
SECOND = 1_000_000_000
LOOK, PATIENCE = 50_000_000, 60
"""Nanoseconds of sleep after which a leader returns to Python, and seconds that a helper sleeps while the leader
works."""
REPAY, GAINED = 10, 1_000_000
"""How long a leader works alone, as a multiple of the time lost to helpers; and the largest gain counted, in ns."""
sched_yield: Any = None
clock_gettime: Any = None
sem_post: Any = None
sem_trywait: Any = None
sem_timedwait: Any = None
"""System functions, bound by `team.wired`."""
gemm: Any = None
fetch: Any = None
forward: Any = None
head: Any = None
backward: Any = None
adam: Any = None
rmsprop: Any = None
sgd: Any = None
"""Other kernels, bound likewise."""
NOTHING, LEARN, ADD, STEP, PRODUCTS = range(5)
"""The kinds of work."""
ADAM, RMSPROP, SGD = range(3)
"""The optimizers of `optimizers.LOOPS`, in the mail's place of the first row; for products, their number is there."""
NUMBERS, JOB = 6, 12
"""The most numbers of an optimizer's step, and the words of a product: gemm's arguments without its factors."""
OWED, BUSY, OVER, GAIN, SINCE, SPIN, JOBS = range(4, 11)
"""Positions in the mail, as `team.Meeting` describes; GAIN and SINCE measure the helpers' gain."""


def clock(line: Array, kind: int) -> int:
    """Return the time of a system clock in nanoseconds: kind 0 is the time of day, kind 1 a monotonic clock.

    line: a semaphore's words, of which those for a time are overwritten.
    """
    clock_gettime(kind, line.ctypes.data + TIME * line.itemsize)
    return line[TIME] * SECOND + line[TIME + 1]


def wait(line: Array, mail: Array, sleep: int, times: int) -> bool:
    """Wait for a semaphore: poll for a while, then sleep up to `times` times; return whether it was obtained.

    sleep: the nanoseconds of one sleep, repeated up to `times` times while the leader works.
    Returns False after the last sleep, when a signal arrives, or when the team is closed.
    """
    semaphore, until = line.ctypes.data, clock(line, 1) + mail[SPIN]
    while clock(line, 1) < until:
        for _ in range(16):
            if sem_trywait(semaphore) == 0:
                return True
        if mail[OVER]:
            return False
        sched_yield()
    for _ in range(times):
        end = clock(line, 0) + sleep
        line[TIME], line[TIME + 1] = end // SECOND, end % SECOND
        if sem_timedwait(semaphore, semaphore + TIME * line.itemsize) == 0:
            return True
        if mail[OVER] or not mail[BUSY]:
            return False
    return False


def share(member: int, members: int, start: int, rows: int, size: int, given: Given) -> None:
    """Compute the gradients of those sub-batches of a step that belong to one thread."""
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
        head(z[last:units], y, weights, losses, p, d[last:units], given.kind, given.numbers[NUMBERS:])
        backward(here, given.theta, one, g, here, False, given.layers, z[:units], d[:units])


def work(member: int, members: int, mail: Array, given: Given) -> None:
    """Do one thread's part of the job described in `mail`."""
    what, start, rows, size = mail[0], mail[1], mail[2], mail[3]
    first, end = len(given.theta) * member // members, len(given.theta) * (member + 1) // members
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
        theta, g, n, slots = given.theta[first:end], given.gradients[0, first:end], given.numbers, given.slots
        last = len(slots) - 1
        a, b, c = slots[0, first:end], slots[min(1, last), first:end], slots[min(2, last), first:end]
        if start == ADAM:
            adam(theta, g, a, b, c, n)
        elif start == RMSPROP:
            rmsprop(theta, g, a, b, c, n)
        else:
            sgd(theta, g, a, b, c, n)
    elif what == PRODUCTS:
        for number in range(member, start, members):
            j = mail[JOBS + JOB * number : JOBS + JOB * (number + 1)]
            gemm(j[0], j[1], j[2], j[3], j[4], j[5], 1.0, j[6], j[7], j[8], j[9], 0.0, j[10], j[11])


def serve(member: int, mail: Array, semaphores: Array, given: Given) -> bool:
    """Main loop of a thread in a team: the leader (0) runs one job and returns; helpers run jobs until released.

    mail, semaphores: as in `team.Meeting`.  Returns whether helpers are still at work; then the leader must call
    again.
    """
    members, line, done, apart = len(semaphores), semaphores[0], semaphores.ctypes.data, semaphores.strides[0]
    if member:
        while wait(semaphores[member], mail, SECOND, PATIENCE) and not mail[OVER]:
            work(member, members, mail, given)
            sem_post(done)
        return False
    mail[BUSY], more = 1, True
    while more:
        if mail[OWED] == 0:
            begun = clock(line, 1)
            called = members if begun >= given.pace[0] else 1
            for helper in range(1, called):
                sem_post(done + helper * apart)
            work(member, members, mail, given)  # member is 0; numba would compile it again for the constant
            own = clock(line, 1) - begun
            for helper in range(1, members):
                if helper < called and sem_trywait(done + helper * apart) != 0:
                    mail[OWED] += 1
                else:
                    work(helper, members, mail, given)
            mail[GAIN], mail[SINCE] = mail[OWED] * own, clock(line, 1)
        if mail[OWED]:
            while mail[OWED]:
                if not wait(line, mail, LOOK, 1):
                    mail[BUSY] = 0
                    return True
                mail[OWED] -= 1
            now = clock(line, 1)
            given.pace[1] = min(given.pace[1] + mail[GAIN] - (now - mail[SINCE]), GAINED)
            if given.pace[1] < 0:  # the cores are busy with other processes
                given.pace[0], given.pace[1] = now + min(-REPAY * given.pace[1], SECOND), 0
        more = mail[0] == LEARN and mail[2] > mail[3]
        mail[0] = ADD
    mail[BUSY] = 0
    return False


LOOPS = (rows.fetch, clock, wait, share, work, serve)
"""The loops, each after those that it calls."""


PACE = np.zeros(2, np.int64)
"""`Given.pace` of all teams, because the load of the cores is the same for all."""


def learning(
    chain: Any,
    objective: Any,
    state: tuple[Array, Array],
    planned: tuple[Array, ...],
    size: int,
    count: int,
    members: int,
) -> Given:
    """Return the shared buffers of a team that runs whole training steps.

    Args:
        chain: The whole network, except its scaling.
        objective: A `chain.Fused` with a head.
        state: Theta and its moments.
        planned: y, weights, losses and p.
        size: The most rows of a sub-batch.
        count: The most sub-batches of a step.
        members: The number of threads.
    """
    (theta, slots), (kind, head), inputs = state, objective.head, objective.network.inputs
    dtype, units = theta.dtype, size * chain.units
    (y, weights, losses, p), (plus, shift, factor) = planned, rows.scaling(objective.network, dtype)
    codes, x = np.empty((members, inputs), np.uint8), np.empty((members, size, inputs), dtype)
    z, d = np.empty((members, units), dtype), np.empty((members, units), dtype)
    at, by, numbers = np.empty(len(y), np.int64), np.empty(len(y), dtype), np.append(np.zeros(NUMBERS, dtype), head)
    gradients, front = np.empty((count, len(theta)), dtype), (at, by, plus, shift, factor, codes, x)
    sums, own = (z, d, ones(size, dtype), chain.layers, kind), (theta, moments(theta, slots), numbers)
    return Given(*front, *sums, *own, y, weights, losses, p, gradients, PACE)


def multiplying(theta: Array, slots: Array, gradient: Array) -> Given:
    """Return the shared buffers of a team that only computes matrix products and takes optimizer steps."""
    dtype = theta.dtype
    line, square = np.empty(0, dtype), np.empty((0, 0), dtype)
    front = np.empty(0, np.int64), line, False, line, line, np.empty((0, 0), np.uint8), np.empty((0, 0, 0), dtype)
    sums = square, square, ones(1, dtype), np.empty((0, 4), np.int64), 0
    own, rest = (theta, moments(theta, slots), np.empty(NUMBERS, dtype)), (square, line, line, square, gradient[None])
    return Given(*front, *sums, *own, *rest, PACE)


def moments(theta: Array, slots: Array) -> Array:
    """Return the optimizer's moments; a placeholder if it has none, because compiled code needs an array."""
    return slots if len(slots) else theta[None]

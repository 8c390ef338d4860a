"""What the members of a team run: compiled loops that fetch rows, learn, add up, step, and wait for one another.

`fast/team.py` says who runs them; the other kernels are the mathematics, whose bits are NumPy's.
"""

from typing import Any, NamedTuple

import numpy as np

from firesteel.core.layout import ones
from firesteel.core.types import Array
from firesteel.fast.kernels import rows

__all__ = ["LOOPS", "Given"]


class Given(NamedTuple):
    """The memory in which a step is learned, and what it is learned with.

    at, by: (n,), the address of each row, and what its bytes are divided by, or 0 where it is the values themselves.
    plus: whether inputs become x factor + shift, or else (x - shift) factor.  shift, factor: (I,); empty if neither.
    codes, x: for each member, the bytes of a row, and the rows of a sub-batch.  z, d: likewise, for `dense.backward`.
    one: ones.  layers: as in `Chain`.  kind: which loss it is, for `losses.head`.
    theta: (P,).  slots: (K, P).  numbers: first, (6,), the last argument of `optimizers`, then that of `losses.head`.
    y: (n, T), targets.  weights: (n,), what the derivatives of each row's loss are multiplied by.
    losses: (n,).  p: (n, O), the probabilities.  gradients: (N, P), of each sub-batch, and then their sum the first.
    pace: until when leaders work alone, and what helpers have gained of late, in nanoseconds.
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
"""Words that a semaphore has to itself, two lines of a CPU's cache, and where those of a time begin among them."""
SECOND = 1_000_000_000
LOOK, PATIENCE = 50_000_000, 60
"""Nanoseconds after which a leader that sleeps returns
to Python; and for how many seconds a helper sleeps while the leader is at work."""
REPAY, GAINED = 10, 1_000_000
"""How many times as long as helpers have cost, in nanoseconds, a leader works alone; and the most that they gain."""
sched_yield: Any = None
clock_gettime: Any = None
sem_post: Any = None
sem_trywait: Any = None
sem_timedwait: Any = None
"""Functions of the system, that `team.wired` gives the loops."""
gemm: Any = None
fetch: Any = None
forward: Any = None
head: Any = None
backward: Any = None
adam: Any = None
rmsprop: Any = None
sgd: Any = None
"""Other kernels, likewise."""
NOTHING, LEARN, ADD, STEP, PRODUCTS = range(5)
"""What a team does."""
ADAM, RMSPROP, SGD = range(3)
"""Which of `optimizers.LOOPS` takes the step: the mail has it in place of the first row, and the number of jobs."""
NUMBERS, JOB = 6, 12
"""How many numbers a step has at most, and words a product: the arguments of gemm but for its factors, 1 and 0."""
OWED, BUSY, OVER, GAIN, SINCE, SPIN, JOBS = range(4, 11)
"""Where the mail has what `team.Meeting` says: what helpers gain, and since when they are waited for, among it."""


def clock(line: Array, kind: int) -> int:
    """Return what a clock of the system shows, in nanoseconds: 0 the time of day, 1 one that nobody sets.

    line: a semaphore's, whose words for a time are overwritten.
    """
    clock_gettime(kind, line.ctypes.data + TIME * line.itemsize)
    return line[TIME] * SECOND + line[TIME + 1]


def wait(line: Array, mail: Array, sleep: int, times: int) -> bool:
    """Take one from a semaphore: at once if there is one soon, else asleep.

    sleep: for how many nanoseconds, so many times while the leader is at work, and else once.
    Return False where none has come, or a signal, or all is over.
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
        head(z[last:units], y, weights, losses, p, d[last:units], given.kind, given.numbers[NUMBERS:])
        backward(here, given.theta, one, g, here, False, given.layers, z[:units], d[:units])


def work(member: int, members: int, mail: Array, given: Given) -> None:
    """Do a member's part of what the mail says."""
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
    """Do a member's part of one thing after another: a helper until it leaves, 0 of one and of what follows it.

    mail, semaphores: as in `team.Meeting`.  Return whether helpers have not ended yet: then 0 is to call this again.
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
            work(member, members, mail, given)  # 0; but for a constant numba would compile all of it once more
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
            if given.pace[1] < 0:  # cores are busy, and a helper that has begun is kept from ending
                given.pace[0], given.pace[1] = now + min(-REPAY * given.pace[1], SECOND), 0
        more = mail[0] == LEARN and mail[2] > mail[3]
        mail[0] = ADD
    mail[BUSY] = 0
    return False


LOOPS = (rows.fetch, clock, wait, share, work, serve)
"""Each behind those that it calls."""


PACE = np.zeros(2, np.int64)
"""`Given.pace` of all teams: how busy the cores are is the same for all."""


def learning(
    chain: Any,
    objective: Any,
    state: tuple[Array, Array],
    planned: tuple[Array, ...],
    size: int,
    count: int,
    members: int,
) -> Given:
    """Return the memory of a team that learns whole steps.

    Args:
        chain: All of the network but its scaling.
        objective: A `chain.Fused`, with a head.
        state: theta and its moments.
        planned: y, weights, losses and p.
        size: The most rows of a sub-batch.
        count: The most sub-batches of a step.
        members: How many threads.
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
    """Return the memory of a team that makes products and takes steps."""
    dtype = theta.dtype
    line, square = np.empty(0, dtype), np.empty((0, 0), dtype)
    front = np.empty(0, np.int64), line, False, line, line, np.empty((0, 0), np.uint8), np.empty((0, 0, 0), dtype)
    sums = square, square, ones(1, dtype), np.empty((0, 4), np.int64), 0
    own, rest = (theta, moments(theta, slots), np.empty(NUMBERS, dtype)), (square, line, line, square, gradient[None])
    return Given(*front, *sums, *own, *rest, PACE)


def moments(theta: Array, slots: Array) -> Array:
    """Return the moments, or something in their place where there are none."""
    return slots if len(slots) else theta[None]

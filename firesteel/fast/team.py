"""Teams of threads that divide the sub-batches of a training step among them, in one compiled call.

Between two steps a helper thread waits in compiled code: it spins briefly, then sleeps.  It never asks for Python's
lock, which costs half as much as a small batch.  No wait is unlimited.  `kernels/team.py` has the compiled code,
`train/fused.py` decides when there is a team, and `fast/threads.py` provides the threads.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from firesteel.core.optimizers import Optimizer
from firesteel.fast import chain, compiling
from firesteel.fast.kernels import optimizers
from firesteel.fast.kernels import team as loops
from firesteel.fast.kernels.functions import blas, linked
from firesteel.fast.kernels.team import JOB, JOBS, LEARN, NOTHING, OVER, PRODUCTS, SEMAPHORE, SPIN, STEP, Given

__all__ = ["Meeting", "Team", "served"]


PRODUCED = 64
"""The most products in one call."""


class Meeting:
    """Memory that the threads of a team share for a few steps, and the semaphores that wake them.

    Each helper has a token for its part of the work.  A helper that takes its token does the part; the leader does
    every part whose token remains when its own is done.  So the leader never waits for a helper that has not begun,
    and a helper that is late or gone only makes the others slower.  The memory is not reused for another meeting,
    because the leader may be interrupted anywhere.

    Attributes:
        mail: The work: its kind, the first row, the number of rows, and of those in a sub-batch; then the number of
            helpers at work, whether the leader is at work, whether the meeting is over; the fields of `loops.serve`;
            the nanoseconds that a thread spins before it sleeps; and the products.
        semaphores: For each helper the token of its part, for the leader those of finished parts, and a time.
        left: The error of each helper that has left, or None.
    """

    def __init__(self, team: "Team") -> None:
        self.serve, self.given, self.held = team.serve, team.given, team.held
        self.left: list[BaseException | None] = []
        self.mail, self.semaphores = (
            np.zeros(JOBS + JOB * PRODUCED, np.int64),
            np.zeros((team.members, SEMAPHORE), int),
        )
        self.mail[SPIN] = team.spin
        for semaphore in self._addresses():
            system()["sem_init"](semaphore, 0, 0)

    def attend(self, member: int) -> None:
        """Work as helper thread number `member` (1 to members - 1), until `close` or a second without a job."""
        error = None
        try:
            self.serve(member, self.mail, self.semaphores, self.given)
        except BaseException as e:
            error = e
        self.left.append(error)

    def lead(self, what: int, start: int, rows: int, size: int) -> None:
        """Run a job with all threads of the team; raise the error of a helper thread that failed."""
        mail = self.mail
        mail[0], mail[1], mail[2], mail[3] = what, start, rows, size  # faster than a slice
        while self.serve(0, self.mail, self.semaphores, self.given):  # a signal's handler may run here
            self.check()

    def check(self) -> None:
        """Raise the error of a helper thread that failed, if any."""
        for error in filter(None, self.left):
            raise error

    def close(self) -> None:
        """Release the helper threads, without waiting for them."""
        self.mail[OVER] = 1
        for semaphore in self._addresses():
            system()["sem_post"](semaphore)

    def _addresses(self) -> range:
        """Return the memory address of each thread's semaphore."""
        first, line = self.semaphores.ctypes.data, self.semaphores.strides[0]
        return range(first, first + len(self.semaphores) * line, line)


class Team:
    """A team of threads that runs compiled training steps: gradients of sub-batches, their sum, the optimizer's step.

    Args:
        given: The memory of the team.
        members: The number of threads, including this one.
        optimizer: The optimizer.
        hold: Returns the current meeting, with helpers attending; None if there are no helpers.
        more: `held`, the owner of the rows' memory; `spin`, as in the mail of `Meeting`.
    """

    def __init__(
        self, given: Given, members: int, optimizer: Optimizer, hold: Callable[["Team"], Meeting] | None, **more: Any
    ) -> None:
        """Compile the loops and create the team."""
        self.given, self.optimizer, self.spin = given, optimizer, more.get("spin", 100_000)
        self.loop = None if optimizer.loop is None else list(optimizers.LOOPS).index(optimizer.loop)
        found = served(given.theta.dtype.name)
        assert found is not None, "there is a team only where it can be compiled"
        self.serve, self.members, self.held = found, members, more.get("held")
        alone = Meeting(self)
        self.hold = hold or (lambda team: alone)
        alone.lead(NOTHING, 0, 0, 1)  # compile now, before helpers start

    def meeting(self) -> Meeting:
        """Return new shared memory for the threads of this team."""
        return Meeting(self)

    def learn(self, start: int, rows: int, size: int) -> None:
        """Compute the gradients of the rows from `start` in sub-batches of `size`, and add them up."""
        self.hold(self).lead(LEARN, start, rows, size)

    def multiply(self, jobs: Sequence[Sequence[int]]) -> None:
        """Compute several matrix products, at most `PRODUCED`, on the threads of the team."""
        meeting = self.hold(self)
        meeting.mail[JOBS : JOBS + JOB * len(jobs)].reshape(-1, JOB)[:] = jobs
        meeting.lead(PRODUCTS, len(jobs), 0, 1)

    def step(self, t: int) -> bool:
        """Take optimizer step t if that is compiled; return whether it was taken."""
        if self.loop is None:
            return False
        numbers = self.given.numbers
        for at, number in enumerate(self.optimizer.numbers(t)):
            numbers[at] = number
        self.hold(self).lead(STEP, self.loop, 0, 1)
        return True


@functools.cache
def served(dtype: str) -> Any:
    """Return the compiled main loop of a team's threads for a dtype; None if it cannot be compiled."""
    found, functions = chain.loops(dtype), system()
    if not (found and functions):
        return None
    steps = {name: compiling.compiled_with(loop, {}) for name, loop in optimizers.LOOPS.items()}
    return wired(compiling.compiled_with, functions | blas(dtype) | found._asdict() | steps)


def wired(bind: Callable[..., Any], functions: Mapping[str, Any]) -> Any:
    """Compile `serve`, the main loop of a team's threads, with `bind`, so that it calls the given functions."""
    return linked(bind, functions, loops.LOOPS).get("serve")


@functools.cache
def system() -> dict[str, Any]:
    """Return the C functions memcpy and sched_yield, and POSIX clocks and semaphores; empty if one is missing."""
    takes = {"memcpy": "vlll", "sched_yield": "i", "clock_gettime": "iil", "sem_init": "ilii"}
    takes |= {"sem_post": "il", "sem_trywait": "il", "sem_timedwait": "ill"}
    made = compiling.declared(None, takes)
    room = np.zeros(SEMAPHORE, np.int64)
    return {} if not made or made["sem_init"](room.ctypes.data, 0, 0) else made

"""The sub-batches of a step as one compiled call, shared among threads that meet there.

Between two steps a helper looks out in compiled code for the next one, and sleeps if none comes soon; it never asks
for Python's lock, which costs as much as half of a small batch.  No wait is without an end.  `kernels/team.py` has
what is compiled, `train/fused.py` says when there is a team, and `fast/threads.py` has its helpers.
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
"""How many products are made at a time."""


class Meeting:
    """Where a team and its helpers meet for some steps.

    A helper that takes the token of its part does it; a part whose token is still there when the leader has done its
    own is the leader's.  So nobody waits for a helper who has not begun, and whoever leaves, or never comes, only
    slows the others down.  None of this memory is used for another meeting: the leader may die anywhere.

    mail: what is to be done, the first row, how many, those of a sub-batch; how many helpers have begun and not
    ended, whether the leader is at work, and whether all is over; what `loops.serve` keeps there; for how many
    nanoseconds a thread looks out before it sleeps; and products.
    semaphores: for each helper the token of its part, for the leader those of parts that are done, and a time.
    left: for each helper that has left, its error.
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
        """Do the work of a helper, 1 .. members - 1, until the meeting is over, or nothing has come for a second."""
        error = None
        try:
            self.serve(member, self.mail, self.semaphores, self.given)
        except BaseException as e:
            error = e
        self.left.append(error)

    def lead(self, what: int, start: int, rows: int, size: int) -> None:
        """Do a thing with the helpers who attend; raise what one of them has died of."""
        mail = self.mail
        mail[0], mail[1], mail[2], mail[3] = what, start, rows, size  # one by one, which is faster than a slice
        while self.serve(0, self.mail, self.semaphores, self.given):  # a signal's handler may run here
            self.check()

    def check(self) -> None:
        """Raise what a helper has died of, if one has."""
        for error in filter(None, self.left):
            raise error

    def close(self) -> None:
        """Let the helpers go, without waiting for them."""
        self.mail[OVER] = 1
        for semaphore in self._addresses():
            system()["sem_post"](semaphore)

    def _addresses(self) -> range:
        """Return the address of each member's semaphore."""
        first, line = self.semaphores.ctypes.data, self.semaphores.strides[0]
        return range(first, first + len(self.semaphores) * line, line)


class Team:
    """This thread and its helpers, who take one step after another: learn its sub-batches, add up, and move."""

    def __init__(
        self, given: Given, members: int, optimizer: Optimizer, hold: Callable[["Team"], Meeting] | None, **more: Any
    ) -> None:
        """given: the memory in which it works.  members: how many threads.  optimizer: takes the steps.

        hold: has helpers attend, unless they do already; None if there are none.
        more: held, what rows' addresses lie in; spin, as in the mail of `Meeting`.
        """
        self.given, self.optimizer, self.spin = given, optimizer, more.get("spin", 100_000)
        self.loop = None if optimizer.loop is None else list(optimizers.LOOPS).index(optimizer.loop)
        found = served(given.theta.dtype.name)
        assert found is not None, "there is a team only where it can be compiled"
        self.serve, self.members, self.held = found, members, more.get("held")
        alone = Meeting(self)
        self.hold = hold or (lambda team: alone)
        alone.lead(NOTHING, 0, 0, 1)  # what cannot be compiled fails here, before there are helpers

    def meeting(self) -> Meeting:
        """Return a place where helpers may attend."""
        return Meeting(self)

    def learn(self, start: int, rows: int, size: int) -> None:
        """Learn from the rows from `start` in sub-batches of `size`, and add up their gradients."""
        self.hold(self).lead(LEARN, start, rows, size)

    def multiply(self, jobs: Sequence[Sequence[int]]) -> None:
        """Make some products, at most `PRODUCED`."""
        meeting = self.hold(self)
        meeting.mail[JOBS : JOBS + JOB * len(jobs)].reshape(-1, JOB)[:] = jobs
        meeting.lead(PRODUCTS, len(jobs), 0, 1)

    def step(self, t: int) -> bool:
        """Take step t along the gradient, if one of `kernels/optimizers.py` does; return whether."""
        if self.loop is None:
            return False
        numbers = self.given.numbers
        for at, number in enumerate(self.optimizer.numbers(t)):
            numbers[at] = number
        self.hold(self).lead(STEP, self.loop, 0, 1)
        return True


@functools.cache
def served(dtype: str) -> Any:
    """Return what the members of teams of this dtype run, or None where it cannot be compiled."""
    found, functions = chain.loops(dtype), system()
    if not (found and functions):
        return None
    steps = {name: compiling.compiled_with(loop, {}) for name, loop in optimizers.LOOPS.items()}
    return wired(compiling.compiled_with, functions | blas(dtype) | found._asdict() | steps)


def wired(bind: Callable[..., Any], functions: Mapping[str, Any]) -> Any:
    """Return `loops.serve`, made by `bind`, as are the loops that it calls, to call these functions."""
    return linked(bind, functions, loops.LOOPS).get("serve")


@functools.cache
def system() -> dict[str, Any]:
    """Return memcpy, sched_yield, the clocks and semaphores of POSIX, or nothing where they are not all there."""
    takes = {"memcpy": "vlll", "sched_yield": "i", "clock_gettime": "iil", "sem_init": "ilii"}
    takes |= {"sem_post": "il", "sem_trywait": "il", "sem_timedwait": "ill"}
    made = compiling.declared(None, takes)
    room = np.zeros(SEMAPHORE, np.int64)
    return {} if not made or made["sem_init"](room.ctypes.data, 0, 0) else made

"""Compiled training steps, with the bits of `NumpyStep`.

For a network of dense layers alone a team of threads runs whole steps; for others compiled parts are mixed with
NumPy's.  `fast/chain.py` and `fast/team.py` have the compiled code.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from firesteel.core.layers import dense
from firesteel.fast.blas import BLAS
from firesteel.fast.chain import Chain, Fused, compiled_parts, single
from firesteel.fast.kernels.dense import Wide
from firesteel.fast.kernels.team import learning, multiplying
from firesteel.fast.team import Team, served
from firesteel.fast.threads import Threads
from firesteel.train import step
from firesteel.train.blocks import Block
from firesteel.train.partial import Task
from firesteel.train.step import NumpyStep, Piece, Workspace

__all__ = ["FusedStep", "fused_step"]


class FusedStep(NumpyStep):
    """Training steps that run compiled parts of a network."""

    def __init__(self, made: Mapping[int, Any], task: Task, blocks: Sequence[Block], *given: Any) -> None:
        super().__init__(task, blocks, *given)
        of, run = task.objective, self.run
        first = dense.whole(of.network.parts[: of.last], of.network.shapes)
        self.team: Team | None = None
        self.shared = self.learned
        large = {} if first in made or self.cut(self.size) < self.size else single(made, step.THREAD / self.size)
        if large and isinstance(run, Threads) and run.count and served(self.network.dtype):
            self.shared, members = self._workspace(), 1 + run.count
            memory = multiplying(self.theta, self.slots, self.shared.gradient)
            self.team = Team(memory, members, task.optimizer, run.hold, spin=200_000)
            made = {**made, **{at: Wide(one, self.team.multiply, members) for at, one in large.items()}}
        self.objective = fused = Fused(of.network, of.loss, of.metrics, of.class_weight, compiled=made)
        self.learns = first is not None and first in made and self._learns(made[first], fused, blocks)

    def _learns(self, chain: Chain, fused: Fused, blocks: Sequence[Block]) -> bool:
        """Try to create a team of threads that runs whole steps in compiled code; return whether that worked."""
        count = -(-self.size // self.cut(self.size))
        simple = count <= step.WORKSPACES and all(block.source for block in blocks)
        if not fused.head or not simple or not served(self.network.dtype):
            return False
        run = self.run if len(self.theta) >= step.SHARED and isinstance(self.run, Threads) else None
        state, planned = (self.theta, self.slots), (self.y, self.weights, self.losses, self.outputs)
        members, size = min(count, 1 + run.count) if run else 1, min(self.size, step.SUB_BATCH)
        given = learning(chain, fused, state, planned, size, count, members)
        self.team = Team(given, members, self.task.optimizer, run.hold if run else None, held=blocks)
        self.shared = Workspace(self.network.layout, (0, 0), given.gradients[0])
        return True

    def plan(self, pieces: list[Piece], weight: float | None) -> range:
        at = 0
        for block, rows in pieces if self.learns else ():
            assert self.team is not None and block.source is not None
            end, (address, size, self.team.given.by[at : at + len(rows)]) = at + len(rows), block.source
            where = np.multiply(rows, size, out=self.team.given.at[at:end])
            where += address
            at = end
        return super().plan(pieces, weight)

    def learn(self, number: int, *address: int) -> Workspace:
        batch = self.batches[number]
        count = batch.stop - batch.start
        size = self.cut(count)
        if (
            self.team is None or not self.learns or (count - 1) % size == 0
        ):  # NumPy multiplies a single row differently
            return super().learn(number, *address)
        BLAS.check()
        self.team.learn(batch.start, count, size)
        self.learned = self.shared
        return self.shared

    def move(self, t: int, stepped: Callable[[int], bool] | None = None) -> None:
        super().move(t, self.team.step if self.team is not None and self.learned is self.shared else None)


def fused_step(task: Task, *given: Any) -> FusedStep | None:
    """Return a compiled step; None if no part of the network can be compiled or is large enough to gain from it."""
    made = compiled_parts(task.objective.network, task.objective.last)
    return FusedStep(made, task, *given) if made else None

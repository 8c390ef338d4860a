"""What executors do with blocks and with rows to score: module-level functions, in need of NumPy and pyarrow alone.

Each reads its input to the end and is pure; the driver's side is `engine.py` for rounds and `frames.py` for scoring.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from firesteel.core.network import Network
from firesteel.core.types import Array
from firesteel.errors import DataError
from firesteel.spark.arrow import Batches, as_lists, binary_views, check_version, matrix, record_batch, widths
from firesteel.train.blocks import Block
from firesteel.train.engine import one_blas_thread, work_on
from firesteel.train.partial import Partial, Task
from firesteel.train.rounds import Work, predict

__all__ = ["PARTIAL_SCHEMA", "SHIFTING", "LogitsAndOutputs", "Outputs", "run_shard"]

SHIFTING = (
    "the DataFrame does not give the same rows each time it is computed (an unseeded rand(), a changing file or "
    "table).  Write it out first, df.write.parquet(path), and fit what you read back"
)


# Rounds


PARTIAL_SCHEMA = (
    "shard long, vectors binary, sums binary, steps long, seconds double, slowest double, machines string"
)


def run_shard(work: Work, task: Task, expected: Mapping[int, int], batches: Batches) -> Iterator[pa.RecordBatch]:
    """Call work on each shard whose blocks these are; yield its partial.

    expected: each block's fingerprint when it was packed.  Raises DataError where a block has another now.
    """
    check_version(task.version)
    shards: dict[int, list[Block]] = {}
    for batch in batches:
        for view in binary_views(batch.column(0)):
            block = Block.from_bytes(view)
            if expected.get(block.id) != block.fingerprint:
                raise DataError(
                    f"block {block.id} came back with other rows than it was packed with: {SHIFTING}",
                    code="data-shifting",
                )
            shards.setdefault(block.id % task.shards, []).append(block)
    with one_blas_thread():
        for shard, blocks in sorted(shards.items()):
            yield partial_batch(shard, work_on(work, task, blocks, map))


def partial_batch(shard: int, partial: Partial) -> pa.RecordBatch:
    """Return a partial as one Arrow row."""
    return record_batch(
        shard=[shard],
        vectors=[partial.vectors.tobytes()],
        sums=[partial.sums.tobytes()],
        steps=[partial.steps],
        seconds=[partial.seconds],
        slowest=[partial.slowest],
        machines=[json.dumps(sorted(partial.machines))],
    )


# Prediction


@dataclass(frozen=True)
class Outputs:
    """What a scoring function returns for a batch of rows: lists of the network's outputs, null for null rows."""

    network: Network
    theta: Array
    name: str

    def __call__(self, column: pa.Array) -> pa.Array:
        return as_lists(*self.scored(column, lambda x: predict(self.network, self.theta, x, map)))

    def scored(
        self, column: pa.Array, score: Callable[[npt.NDArray[Any]], Array]
    ) -> tuple[Array, npt.NDArray[np.bool_]]:
        """Return the outputs (n, O) of the rows that are not null, and which rows are null."""
        null = column.is_null().to_numpy(zero_copy_only=False)
        column = column.drop_null()
        if not len(column):
            return score(np.zeros((0, self.network.inputs))), null
        wrong = widths(column) != self.network.inputs
        if wrong.any():
            raise DataError(
                f"{self.name} has {int(widths(column)[wrong][0])} values in a row, and the network takes "
                f"{self.network.inputs}; {int(wrong.sum()):,} of {len(column):,} rows in this batch are like that",
                code="data-width",
            )
        with one_blas_thread():
            return score(matrix(column)), null


class LogitsAndOutputs(Outputs):
    """Like Outputs, but with what enters the last op before what leaves it: raw predictions, then probabilities."""

    def __call__(self, column: pa.Array) -> pa.Array:
        return as_lists(*self.scored(column, self.both))

    def both(self, x: npt.NDArray[Any]) -> Array:
        """Return the logits and the outputs side by side, (n, 2 O), float64."""
        logits = predict(self.network, self.theta, x, map, len(self.network.ops) - 1)
        outputs, _ = self.network.ops[-1].apply({}, logits, None)
        return np.hstack([logits, outputs]).astype(np.float64)

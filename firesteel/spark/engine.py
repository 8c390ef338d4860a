"""The engine on Spark: persisted blocks, one ordinary mapInArrow job a round, and nothing else on the network.

Tasks travel in the job's closure and partials come back as Arrow rows, on classic Spark and on Spark Connect alike;
Spark's retries, encryption and scheduling are ours for free.  `worker.py` is what runs on the other side.
"""

import contextlib
import functools
import json
import re
import uuid
import warnings
from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
from pyspark import SparkContext, StorageLevel
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import to_arrow_schema

from firesteel import errors
from firesteel.spark import worker
from firesteel.train.engine import BlockInfo
from firesteel.train.partial import Changed, Partial, Task
from firesteel.train.rounds import Work

__all__ = ["SparkEngine", "collect", "described", "known_blocks", "partition_codes", "translated"]

DESCRIPTION = "spark.job.description"


def collect(frame: DataFrame, title: str) -> pa.Table:
    """Run a frame and return its rows; firesteel's own errors come back as themselves, without Java or workers.

    title: what Spark's pages call the job.
    """
    try:
        with described(frame.sparkSession, title):
            if hasattr(frame, "toArrow"):
                return frame.toArrow()
            batches = frame._collect_as_arrow()  # type: ignore[operator]
            return pa.Table.from_batches(batches, to_arrow_schema(frame.schema))
    except Exception as error:
        raise translated(error) from None


@contextlib.contextmanager
def described(spark: SparkSession, title: str) -> Iterator[None]:
    """Let Spark's pages call the jobs of this thread by a title, after the description that they have already.

    Afterwards the description is as it was.  Spark Connect has none, and there nothing happens.
    """
    context = _context(spark)
    if context is None:
        yield
        return
    before = context.getLocalProperty(DESCRIPTION)
    context.setLocalProperty(DESCRIPTION, f"{before}: {title}" if before else title)
    try:
        yield
    finally:
        context.setLocalProperty(DESCRIPTION, before)  # type: ignore[arg-type]


def _context(spark: SparkSession) -> SparkContext | None:
    """Return the context of a classic session; None where there is none to be had, as on Spark Connect."""
    try:
        return spark.sparkContext
    except Exception:
        return None


def translated(error: Exception) -> Exception:
    """Return the firesteel error that a worker raised, found in the text of Spark's; else the error itself."""
    text = str(error)
    own = re.search(r"firesteel\.errors\.(\w+): (.*?) \[([a-z-]+)\]", text, re.DOTALL)
    if own and (kind := getattr(errors, own[1], None)) is not None:
        made: Exception = kind(own[2], code=own[3])
        return made
    missing = re.search(r"ModuleNotFoundError: No module named '(numpy|pyarrow)[.']", text + "'")
    if missing:
        return errors.SparkSetupError(
            f"the executors' Python has no {missing[1]}: firesteel ships itself, but NumPy and pyarrow must be "
            "installed there (PYSPARK_PYTHON decides which Python they use)",
            code="spark-executor",
        )
    return error


class SparkEngine:
    """Blocks persisted in a DataFrame with the columns of packing.BLOCK_SCHEMA, a shard in each partition.

    blocks: what is known of them already; if nothing is, they are asked.  stored: whether the frame only reads
    packed blocks from storage, which costs little where a session refuses to cache.  sparse: whether they hold
    non-zeros alone.
    """

    def __init__(
        self,
        frame: DataFrame,
        shards: int,
        blocks: Sequence[BlockInfo] | None = None,
        stored: bool = False,
        sparse: bool = False,
    ) -> None:
        self._shards, self.sparse = shards, sparse
        # Spark keeps one cache for equal plans: without a name of its own, a fit of the same rows at the same time
        # would share it, and the first to end would drop it under the other.
        frame = frame.withColumn("engine", F.lit(uuid.uuid4().hex))
        try:
            self.frame, self._persisted = frame.persist(StorageLevel.MEMORY_AND_DISK), True
        except PySparkException:
            self.frame, self._persisted = frame, False
            if not stored:
                warnings.warn(
                    "this Spark session refuses to cache, so every round packs the rows again: slower, same result.  "
                    "firesteel.spark.pack(df, path=...) packs them once, on storage",
                    stacklevel=2,
                )
        try:
            self._blocks = known_blocks(self.frame) if blocks is None else blocks
        except BaseException:
            self.close()
            raise
        self._expected = {block.id: block.fingerprint for block in self._blocks}

    @property
    def shards(self) -> int:
        return self._shards

    @property
    def blocks(self) -> Sequence[BlockInfo]:
        return self._blocks

    @property
    def lanes(self) -> int:
        context = _context(self.frame.sparkSession)
        return self._shards if context is None else min(self._shards, context.defaultParallelism)

    def map(self, work: Work, task: Task) -> list[Partial | None]:
        function = functools.partial(worker.run_shard, work, task, self._expected)
        table = collect(self.frame.select("data").mapInArrow(function, worker.PARTIAL_SCHEMA), task.title)
        partials: list[Partial | None] = [None] * self._shards
        dtype, size = task.theta.dtype, len(task.theta)
        columns = [table.column(name).to_pylist() for name in ("shard", "steps", "seconds", "slowest", "machines")]
        for at, (shard, steps, seconds, slowest, machines) in enumerate(zip(*columns, strict=True)):
            vectors = np.frombuffer(table.column("vectors")[at].as_buffer(), dtype)
            sums = np.frombuffer(table.column("sums")[at].as_buffer(), np.float64)
            found = table.column("changed")[at].as_buffer()
            changed = Changed.from_bytes(np.frombuffer(found, np.uint8)) if found.size else None
            vectors = vectors.reshape(*((-1 if size else 0, size) if changed is None else (len(changed.values), -1)))
            known = frozenset(json.loads(machines))
            partials[shard] = Partial(vectors, sums, steps, seconds, slowest, known, changed)
        return partials

    def close(self) -> None:
        if self._persisted:
            self.frame.unpersist()
            self._persisted = False


def known_blocks(frame: DataFrame) -> list[BlockInfo]:
    """Return what the driver must know of the blocks in a frame, in order of their numbers."""
    known = collect(frame.select("block", "rows", "weight", "fingerprint"), "firesteel: packing the rows").to_pylist()
    infos = (BlockInfo(r["block"], r["rows"], r["weight"], r["fingerprint"] % 2**64) for r in known)
    return sorted(infos, key=lambda block: block.id)


def partition_codes(partitions: int) -> tuple[int, ...]:
    """Return, for each partition, a number that Spark's hash partitioning sends there.

    >>> partition_codes(4)
    (2, 0, 14, 3)
    """
    codes: dict[int, int] = {}
    number = 0
    while len(codes) < partitions:
        codes.setdefault(_murmur3(number) % partitions, number)
        number += 1
    return tuple(codes[partition] for partition in range(partitions))


def _murmur3(number: int) -> int:
    """Return Spark's hash of a long >= 0, as repartition() uses it, modulo 2^32 as a signed number.

    Source: Austin Appleby's MurmurHash3 for 32 bits, over the two halves of the number, seed 42.
    """
    mask = 0xFFFFFFFF

    def rotated(v: int, by: int) -> int:
        return ((v << by) | (v >> (32 - by))) & mask

    h = 42
    for half in (number & mask, number >> 32 & mask):
        h ^= rotated(half * 0xCC9E2D51 & mask, 15) * 0x1B873593 & mask
        h = (rotated(h, 13) * 5 + 0xE6546B64) & mask
    h ^= 8
    h = (h ^ h >> 16) * 0x85EBCA6B & mask
    h = (h ^ h >> 13) * 0xC2B2AE35 & mask
    h ^= h >> 16
    return h - (1 << 32) if h >> 31 else h

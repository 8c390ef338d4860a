"""The engine on Spark: persisted blocks, and one mapInArrow job per round.

A task travels in the closure of its job and partials return as Arrow rows, on classic Spark and on Spark Connect, so
Spark's retries, encryption and scheduling apply.  `parcel.py` sends large tasks; `worker.py` runs on the executors.
"""

import contextlib
import functools
import json
import math
import re
import sys
import uuid
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa
from pyspark import StorageLevel
from pyspark.errors import PySparkException
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import to_arrow_schema
from pyspark.sql.types import BinaryType, DoubleType, LongType, StringType, StructField, StructType

from firesteel.core.centre import UNCENTRED, Centre
from firesteel.core.network import Network
from firesteel.core.types import Array
from firesteel.errors import ConfigError, without_secrets
from firesteel.spark import worker
from firesteel.spark.failures import interrupted, release_quietly, translated
from firesteel.spark.parcel import classes_of, context_of, sent
from firesteel.train.engine import BlockInfo
from firesteel.train.partial import Changed, Partial, Task
from firesteel.train.rounds import Work
from firesteel.train.rowwise import stretches
from firesteel.train.source import RowProfile

DESCRIPTION = "spark.job.description"
KINDS = [LongType()] * 3 + [BinaryType()] * 2 + [LongType()] + [DoubleType()] * 2 + [StringType()]
PARTIALS = StructType([StructField(name, kind) for name, kind in zip(worker.COLUMNS, KINDS, strict=True)])
PIECE_BYTES = 4 << 20
"""Size of the pieces in which vectors travel; whole, they would have to fit into a row, a batch and a JVM's heap."""
MERGE_BYTES = 64 << 20
"""If the vectors of all shards are larger than this, Spark adds them up before they return to the driver."""
RESULT_SHARE = 0.9
"""Fraction of spark.driver.maxResultSize that vectors may use; Spark also counts their wrapping."""
TASK_BYTES = 128 << 20
"""Maximum size of the vectors in one task of that sum."""
SUM_BYTES = 16 << 20
"""Maximum size of the result of one such task, of which the JVM makes several copies."""
HEAP_SHARE = 0.2
"""Fraction of the heap that blocks may use if one JVM is all of Spark, as with local[*]; a full heap ends it."""


def collect(frame: DataFrame, title: str) -> pa.Table:
    """Run a job and return its rows, with errors translated as by `failures.translated`.

    Args:
        frame: The DataFrame to compute.
        title: Description of the job in Spark's web UI.
    """
    before = sys.exception()
    try:
        with described(frame.sparkSession, title):
            if hasattr(frame, "toArrow"):
                return frame.toArrow()
            batches = frame._collect_as_arrow()  # type: ignore[operator]
            return pa.Table.from_batches(batches, to_arrow_schema(frame.schema))
    except Exception as error:
        if interrupted(error, before):
            raise KeyboardInterrupt from None
        raise translated(error, frame.sparkSession, title) from None


@contextlib.contextmanager
def described(spark: SparkSession, title: str) -> Iterator[None]:
    """Context manager: add a description to this thread's jobs in Spark's web UI.

    Spark Connect has no job descriptions.
    """
    context = context_of(spark)
    if context is None:
        yield
        return
    before, title = context.getLocalProperty(DESCRIPTION), without_secrets(title)
    context.setLocalProperty(DESCRIPTION, f"{before}: {title}" if before else title)
    try:
        yield
    finally:
        release_quietly(functools.partial(context.setLocalProperty, DESCRIPTION, before))  # type: ignore[arg-type]


class SparkEngine:
    """Engine whose blocks are persisted in a DataFrame, with the blocks of a shard in one partition.

    Args:
        frame: The blocks, with the columns of packing.BLOCK_SCHEMA.
        shards: Number of shards.
        profile: The profile of the rows.
        blocks: Information about the blocks; None to read it from the frame.
        stored: Whether the frame only reads packed blocks from storage, which is cheap without a cache.
        centre: What is subtracted from the rows.
        shift: What workers add to the rows of the blocks, which were packed with another centre.
    """

    def __init__(
        self,
        frame: DataFrame,
        shards: int,
        profile: RowProfile,
        blocks: Sequence[BlockInfo] | None = None,
        stored: bool = False,
        centre: Centre = UNCENTRED,
        shift: Centre = UNCENTRED,
    ) -> None:
        self._shards, self.sparse, self.centre, self._shift = shards, profile.sparse, centre, shift
        # Spark caches equal plans once: without a unique name, a concurrent fit on the same rows would share the
        # cache, and the first fit to end would drop it.
        frame = frame.withColumn("engine", F.lit(uuid.uuid4().hex))
        try:
            self.frame, self._persisted = frame.persist(_level(frame.sparkSession, profile)), True
        except PySparkException:
            self.frame, self._persisted = frame, False
            if not stored:
                warnings.warn(
                    "this Spark session does not cache, so every round packs the rows again: slower, with the same "
                    "result.  To do: firesteel.spark.pack(df, path=...) packs them once, on storage",
                    stacklevel=2,
                )
        try:
            self._blocks = known_blocks(self.frame) if blocks is None else blocks
        except BaseException:
            self.close()
            raise
        self._expected = {block.id: block.fingerprint for block in self._blocks}
        self._data = self.frame.select("data")

    @property
    def shards(self) -> int:
        return self._shards

    @property
    def blocks(self) -> Sequence[BlockInfo]:
        return self._blocks

    @property
    def lanes(self) -> int:
        context = context_of(self.frame.sparkSession)
        return self._shards if context is None else min(self._shards, context.defaultParallelism)

    def check(self, task: Task) -> None:
        size, limit = task.vectors * task.theta.nbytes, most_result(self.frame.sparkSession)
        if task.objective.network.rowwise:  # each shard sends its changed rows
            rows = sum(block.rows for block in self._blocks)
            size = task.vectors * task.theta.itemsize * most_changed(task.objective.network, rows, self._shards)
        if size > RESULT_SHARE * limit:
            raise ConfigError(
                f"each round of this network sends {size / 2**20:,.0f} MiB to the driver ({task.vectors} times "
                f"{len(task.theta):,} parameters), and spark.driver.maxResultSize is {limit / 2**20:,.0f} MiB: start "
                f"Spark with spark.driver.maxResultSize={size // 2**30 + 2}g and enough driver memory; or use an "
                "optimizer with fewer moments, or strategy='gradient', which sends one vector",
                code="config-result-size",
            )

    def map(self, work: Work, task: Task) -> list[Partial | None]:
        of = task.objective
        kinds = classes_of(of.network, of.loss, of.metrics, task.optimizer)
        with sent(self.frame.sparkSession, (work, task), kinds) as parcel:
            function = functools.partial(
                worker.run_shard, parcel, task.version, self._expected, self._shift, PIECE_BYTES
            )
            frame = self._data.mapInArrow(function, PARTIALS)
            if not task.objective.network.rowwise and self._shards * task.vectors * task.theta.nbytes > MERGE_BYTES:
                frame = self._merged(frame, task)
            return _partials(collect(frame, task.title), self._shards, task.theta)

    def _merged(self, frame: DataFrame, task: Task) -> DataFrame:
        """Add up the vectors of all shards on executors, in pieces of some MiB."""
        size = task.vectors * task.theta.nbytes
        count = max(self.lanes, -(-self._shards * size // TASK_BYTES), -(-size // SUM_BYTES))
        count = min(count, -(-size // PIECE_BYTES))
        function = functools.partial(worker.add_pieces, self._shards, task.theta.dtype.str)
        return placed(frame, count, F.col("piece")).mapInArrow(function, PARTIALS)

    def close(self) -> None:
        if self._persisted:
            self._persisted = False
            release_quietly(self.frame.unpersist)


def most_changed(network: Network, rows: int, shards: int) -> int:
    """Return the maximum number of values that all shards of a network with row-wise updates send in a round.

    >>> from firesteel.core.layers import Dense, Embedding
    >>> few = Network.chain((Embedding(1_000_000, 16, sparse_steps=True), Dense(1)), inputs=2)
    >>> most_changed(few, 100, 4) == 100 * 2 * 16 + 4 * 33
    True
    """
    found = 0
    for _, (count, numbers), owner in stretches(network):
        reads = sum(math.prod(network.shapes[part.reads[0]]) for part in network.plan if part.owner == owner)
        found += (shards if owner is None else min(shards * count, rows * reads)) * numbers
    return found


def _level(spark: SparkSession, profile: RowProfile) -> StorageLevel:
    """Return the storage level of the blocks: on disk only if they would fill the heap of a single local JVM."""
    context = context_of(spark)
    if context is not None and str(context.master).partition("[")[0] == "local":
        size = 4 * profile.words * (profile.rows + profile.held)
        if size > HEAP_SHARE * context._jvm.java.lang.Runtime.getRuntime().maxMemory():  # type: ignore[union-attr]
            return StorageLevel.DISK_ONLY
    return StorageLevel.MEMORY_AND_DISK


def most_result(spark: SparkSession) -> float:
    """Return spark.driver.maxResultSize in bytes."""
    text = (spark.conf.get("spark.driver.maxResultSize", None) or "1g").strip().lower()
    found = re.fullmatch(r"(\d+)([kmgtp]?)b?", text)
    if found is None or not int(found[1]):  # 0 means unlimited
        return math.inf
    return float(int(found[1]) << 10 * " kmgtp".index(found[2] or " "))


def _partials(table: pa.Table, shards: int, theta: Array) -> list[Partial | None]:
    """Return the result of each shard from the rows of a job; the first also has the sum of all vectors."""
    pieces = worker.Pieces(shards, theta.dtype.str)
    partials: list[Partial | None] = [None] * shards
    none, changed = np.zeros((0, len(theta)), theta.dtype), dict[int, int]()
    for batch in table.to_batches():
        pieces.take(batch)
        names = ("shard", "changed", "steps", "seconds", "slowest", "machines")
        columns = (batch.column(name).to_pylist() for name in names)
        for at, (shard, size, steps, seconds, slowest, machines) in enumerate(zip(*columns, strict=True)):
            if machines:
                measured = np.frombuffer(batch.column("sums")[at].as_buffer(), np.float64)
                partials[shard] = Partial(none, measured, steps, seconds, slowest, frozenset(json.loads(machines)))
                changed |= {shard: size} if size else {}
    for shard, size in changed.items():
        data = pieces.joined(shard)
        rows = Changed.from_bytes(data[:size].tobytes())
        vectors = data[size:].view(theta.dtype).reshape(len(rows[0].values), -1)
        partials[shard] = replace(partials[shard], vectors=vectors, changed=rows)  # type: ignore[type-var]
    sums = [total for _, total in pieces.sums()]
    if sums:
        first = next(shard for shard, partial in enumerate(partials) if partial is not None)
        whole = np.concatenate(sums) if len(sums) > 1 else sums[0]
        partials[first] = replace(partials[first], vectors=whole.reshape(-1, len(theta)))  # type: ignore[type-var]
    return partials


def placed(frame: DataFrame, count: int, number: Column) -> DataFrame:
    """Repartition rows into `count` partitions, each row into partition `number` modulo `count`."""
    codes = F.array(*(F.lit(code).cast("long") for code in partition_codes(count)))
    # the codes are chosen for Spark's hash of a long
    return frame.repartition(count, codes[(number % count).cast("int")].cast("long"))


def known_blocks(frame: DataFrame) -> list[BlockInfo]:
    """Return the records of the blocks in a frame, ordered by number."""
    known = collect(frame.select("block", "rows", "weight", "fingerprint"), "firesteel: packing the rows").to_pylist()
    infos = (BlockInfo(r["block"], r["rows"], r["weight"], r["fingerprint"] % 2**64) for r in known)
    return sorted(infos, key=lambda block: block.id)


def partition_codes(partitions: int) -> tuple[int, ...]:
    """Return for each partition a number that Spark's hash partitioning sends to it.

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
    """Return Spark's Murmur3 hash of a non-negative long, which repartition() uses, as a signed 32-bit number.

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

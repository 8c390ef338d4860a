"""What executors run in training rounds and scoring: functions that need only NumPy and pyarrow.

The driver's side is `engine.py` for rounds and `frames.py` for scoring.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from firesteel.core.centre import UNCENTRED, Centre, plus
from firesteel.core.csr import CSR, Features
from firesteel.core.layers.activation import log_softmax
from firesteel.core.network import Network
from firesteel.core.types import Array
from firesteel.errors import DataError
from firesteel.fast.blas import one_blas_thread, steady
from firesteel.fast.threads import QUIET
from firesteel.spark.arrow import (
    Batches,
    as_lists,
    binary_views,
    check_version,
    check_widths,
    features,
    record_batch,
    settle,
)
from firesteel.spark.parcel import Parcel, classes_of, pickled, revived
from firesteel.spark.raw import RawColumns
from firesteel.tables.schema import ColumnValues
from firesteel.train.blocks import Block
from firesteel.train.checks import finite_rows, index_faults, refuse
from firesteel.train.engine import work_on
from firesteel.train.partial import Changed, Partial, Task, tree_sum
from firesteel.train.rounds import predict

SHIFTING = (
    "the DataFrame does not give the same rows each time it is computed (an unseeded rand(), a changing file or "
    "table).  To do: write it first, df.write.parquet(path), and fit on the rows read back"
)


# Rounds

NOTE = "firesteel: "
"""Prefix of the note about the current rows that a worker adds to an exception."""
COLUMNS = ("shard", "piece", "changed", "vectors", "sums", "steps", "seconds", "slowest", "machines")
"""Columns of the rows in which partials return."""
MERGED = -1
"""Shard number of a piece that is the sum over all shards."""


def run_shard(
    parcel: Parcel, version: str, expected: Mapping[int, int], shift: Centre, piece: int, batches: Batches
) -> Iterator[pa.RecordBatch]:
    """Run a task on each shard of a partition; yield the result in pieces, as one Arrow row each.

    Args:
        parcel: The work and the task.
        version: The driver's version of firesteel.
        expected: The fingerprint of each block when it was packed.
        shift: What is added to the rows of the blocks, if they were packed with another centre.
        piece: Size of a piece of the vectors in bytes.
        batches: The blocks.

    Raises:
        DataError: `data-shifting`, if a block has another fingerprint than when it was packed.
    """
    check_version(version)
    work, task = parcel.open()
    shards: dict[int, list[Block]] = {}
    for batch in batches:
        for view in binary_views(batch.column(0)):
            block = Block.from_bytes(view)
            if expected.get(block.id) != block.fingerprint:
                raise DataError(
                    f"block {block.id} no longer has the rows with which it was packed: {SHIFTING}",
                    code="data-shifting",
                )
            block = block if shift == UNCENTRED else _moved(block, shift)
            shards.setdefault(block.id % task.shards, []).append(block)
    with one_blas_thread():
        for shard, blocks in sorted(shards.items()):
            try:
                partial = work_on(work, task, blocks, map)
            except Exception as error:
                error.add_note(_at_work(shard, task, blocks))
                raise
            changed = Changed.to_bytes(partial.changed) if partial.changed else b""
            flat = partial.vectors.reshape(-1).view(np.uint8)
            if changed:
                flat = np.concatenate([np.frombuffer(changed, np.uint8), flat])
            yield _row(shard, 0, flat[:piece], partial, len(changed))
            for at in range(piece, len(flat), piece):
                yield _row(shard, at // piece, flat[at : at + piece])
    settle()


def _moved(block: Block, shift: Centre) -> Block:
    """Add `shift` to the rows of a block; return a new block."""
    x = np.empty(block.x.shape, block.y.dtype)
    block.features(slice(None), x)
    y = plus(block.y, shift.targets).astype(x.dtype)
    return replace(block, x=plus(x, shift.features).astype(x.dtype), table=None, y=y)


def _at_work(shard: int, task: Task, blocks: Sequence[Block]) -> str:
    """Return a note for an exception that says which shard and rows caused it."""
    numbers = ", ".join(str(block.id) for block in blocks[:3]) + (", ..." if len(blocks) > 3 else "")
    size = sum(block.x.nbytes for block in blocks) / 2**20
    return f"{NOTE}shard {shard} of {task.shards}, {len(blocks)} block(s) of {size:,.2f} MiB together: {numbers}"


def _row(
    shard: int, piece: int, vectors: npt.NDArray[Any], partial: Partial | None = None, changed: int = 0
) -> pa.RecordBatch:
    """Convert a piece of a shard's vectors to one Arrow row.

    Args:
        shard: Number of the shard.
        piece: Number of the piece.
        vectors: The piece.
        partial: The partial whose other fields go into this row; only for the first piece.
        changed: Number of bytes of all pieces that are the changed rows of a sparse network.
    """
    rest = (b"", 0, 0.0, 0.0, "")
    if partial is not None:
        machines = json.dumps(sorted(partial.machines))
        rest = (partial.sums.tobytes(), partial.steps, partial.seconds, partial.slowest, machines)
    row = (shard, piece, changed, vectors.tobytes(), *rest)
    return record_batch(**{name: [value] for name, value in zip(COLUMNS, row, strict=True)})


class Pieces:
    """Collects pieces of the shards' vectors, and adds them up over the shards in a fixed order.

    Args:
        shards: Number of shards.
        dtype: Dtype of the vectors.
    """

    def __init__(self, shards: int, dtype: str) -> None:
        self.shards, self.dtype = shards, dtype
        self._found: dict[int, dict[int, npt.NDArray[np.uint8]]] = {}

    def take(self, batch: pa.RecordBatch) -> None:
        """Add the pieces of a batch, as views of Arrow's memory."""
        shards, pieces = (batch.column(name).to_pylist() for name in ("shard", "piece"))
        for shard, piece, view in zip(shards, pieces, binary_views(batch.column("vectors")), strict=True):
            if len(view):
                self._found.setdefault(piece, {})[shard] = view

    def joined(self, shard: int) -> npt.NDArray[np.uint8]:
        """Remove all pieces of a shard and return them as one."""
        return np.concatenate([found.pop(shard) for _, found in sorted(self._found.items()) if shard in found])

    def sums(self) -> Iterator[tuple[int, Array]]:
        """Yield each piece's number and sum over all shards, in order, and free its memory."""
        for piece in sorted(number for number, found in self._found.items() if found):
            found = self._found.pop(piece)
            if MERGED in found:
                yield piece, found[MERGED].view(self.dtype)
                continue
            parts = (found[shard].view(self.dtype) if shard in found else None for shard in range(self.shards))
            with np.errstate(**QUIET):
                total = tree_sum(parts)
            assert total is not None, "every piece has a shard"
            yield piece, total


def add_pieces(shards: int, dtype: str, batches: Batches) -> Iterator[pa.RecordBatch]:
    """Add up the shards' vectors for the pieces in a partition; pass on all other fields unchanged."""
    pieces = Pieces(shards, dtype)
    for batch in batches:
        pieces.take(batch)
        first = batch.filter(pa.compute.equal(batch.column("piece"), 0))
        if len(first):
            at = first.schema.get_field_index("vectors")
            empty = pa.array([b""] * len(first), first.schema.field(at).type)
            yield first.set_column(at, "vectors", empty)
    for piece, total in pieces.sums():
        yield _row(MERGED, piece, total.view(np.uint8))


# Prediction


def reads(network: Network) -> str:
    """Return the dtype in which a network needs features: its own, or float64 if a centre is subtracted first."""
    return "float64" if network.centre.features else network.dtype


@dataclass(frozen=True)
class Outputs:
    """Scoring function for executors: maps a batch of rows to lists of the network's outputs.

    Args:
        network: The network.
        theta: Its parameters, (P,).
        name: Name of the features in messages.
        invalid: How to treat rows with null, NaN or infinite values: "error" raises DataError, "skip" and "keep" give
            null; with "nan" only null rows give null, and the network computes NaN.
        raw: How to read raw columns, if features are a struct of them.  A row is invalid then if it has a category
            that training did not have; "keep" scores it.
        hidden: The network of the embeddings, which precede the outputs in each list.  Its parameters are the first
            of theta.
        rest: The network from the embeddings to the outputs, if there is one.
    """

    network: Network
    theta: Array
    name: str
    invalid: str = "nan"
    raw: RawColumns | None = None
    hidden: Network | None = None
    rest: Network | None = None

    def __reduce_ex__(self, protocol: Any) -> Any:
        kinds = classes_of(self.network)
        return (revived, (type(self), pickled(vars(self), kinds))) if kinds else super().__reduce_ex__(protocol)

    def __call__(self, column: pa.Array) -> pa.Array:
        if self.raw is not None:
            return self._of_raw(column, self.raw)
        null = column.is_null().to_numpy(zero_copy_only=False)
        if null.any() and self.invalid == "error":
            raise self._refused("no value (null)", int(null.sum()), len(null))
        column = column.drop_null() if null.any() else column
        check_widths(column, self.network.inputs, self.name)
        x: Features = features(column) if len(column) else np.zeros((0, self.network.inputs))
        if isinstance(x, CSR):
            refuse(index_faults(x, lambda row: f"row {row} of a batch")[0], len(x), {"features": self.name})
            x = x.cast(np.dtype(reads(self.network)))
        elif x.dtype.kind == "f":
            with np.errstate(over="ignore"):
                x = x.astype(reads(self.network), copy=False)
        values = x.values if isinstance(x, CSR) else x
        with np.errstate(over="ignore"):
            total = values.astype(self.network.dtype, copy=False).sum()
        if self.invalid != "nan" and x.dtype.kind == "f" and not np.isfinite(total):
            bad = ~finite_rows(x, self.network.dtype)
            if bad.any() and self.invalid == "error":
                raise self._refused("NaN, an infinite value or a null inside", int(bad.sum()), len(x))
            null[np.flatnonzero(~null)[bad]] = True
            x = x[~bad]
        return as_lists(self.score(x), null)

    def _of_raw(self, column: pa.Array, raw: RawColumns) -> pa.Array:
        """Score raw columns; rows with unseen words are null if they are left out."""
        assert raw.schema is not None
        values, null = raw.values(column), np.zeros(len(column), bool)
        for name, new in [] if self.invalid == "keep" else raw.schema.unseen(values):
            if self.invalid == "error" and new.any():
                raise self._unseen(name, values[name], new)
            null |= new
        x = raw.schema.encode(values, len(column))
        return as_lists(self.score(x[~null] if null.any() else x), null)

    def _unseen(self, name: str, values: ColumnValues, new: npt.NDArray[np.bool_]) -> DataError:
        at, text = int(new.argmax()), values.as_text()
        word = "a null" if text.absent[at] else repr(text.words[text.data[at]][:100])
        return DataError(
            f"column {name!r} holds {word}, and training had none there; "
            f"{int(new.sum()):,} of {len(new):,} rows in this batch hold unseen values.  To do: train on rows that "
            'have them, or set handleInvalid to "keep" (score them as unseen, the default) or "skip" (leave such '
            "rows out)",
            code="data-invalid",
        )

    def score(self, x: Features) -> Array:
        """Score rows x of numbers, (n, I); return (n, K)."""
        with np.errstate(**QUIET):
            return steady(lambda: self.scored(x) if self.hidden is None else self._with_hidden(x, self.hidden))

    def _with_hidden(self, x: Features, hidden: Network) -> Array:
        size = hidden.layout.size
        made = predict(hidden, self.theta[:size], x, map)
        made = made.reshape(len(made), -1)
        if self.rest is None:
            return np.hstack([made, self.scored(x)])
        return np.hstack([made, replace(self, network=self.rest, theta=self.theta[size:]).scored(made)])

    def scored(self, x: Features) -> Array:
        """Score rows with one BLAS thread, so that bits do not vary."""
        return predict(self.network, self.theta, x, map).astype(self.kind)

    @property
    def kind(self) -> str:
        """Dtype of the outputs: float64 for stages' columns, the network's own for `Model.predict`."""
        return self.network.dtype if self.invalid == "nan" and not self.network.centre.targets else "float64"

    def _refused(self, what: str, rows: int, total: int) -> DataError:
        return DataError(
            f"{self.name} holds {what}; {rows:,} of {total:,} rows in this batch have this error.  To do: fill them "
            'in first, or set handleInvalid to "skip" (leave them out) or "keep" (score them as null)',
            code="data-invalid",
        )


@dataclass(frozen=True)
class ClassOutputs(Outputs):
    """Scoring function of classifiers: each list has K raw predictions, K probabilities and the class.

    Raw predictions are the logarithms of the probabilities, since Spark's evaluators rank rows by the raw prediction
    of class 1 alone, which a single logit of a softmax does not allow.  For one sigmoid unit they are -z and z.

    Args:
        thresholds: t of each class, (K,): the class with the largest p / t is predicted.
    """

    thresholds: tuple[float, ...] | None = None

    def scored(self, x: Features) -> Array:
        logits = predict(self.network, self.theta, x, map, len(self.network.parts) - 1)
        alone = logits.shape[1] == 1  # one sigmoid unit for two classes
        if alone:
            logits = np.hstack([-logits, logits])  # 1 - p would lose small values
        outputs, _ = self.network.parts[-1].apply({}, logits)
        raw = logits.astype(np.float64)
        if not alone:
            raw = log_softmax(raw)
        probability = outputs.astype(np.float64)
        scaled = probability
        if self.thresholds is not None:
            with np.errstate(divide="ignore", invalid="ignore"):
                scaled = probability / self.thresholds
            scaled[np.isnan(scaled)] = -np.inf
        return np.hstack([raw, probability, scaled.argmax(axis=1)[:, None]])

"""What runs on executors: module-level functions over Arrow batches, in need of NumPy and pyarrow alone.

Rows are surveyed, packed into mini-packs by shard, merged into blocks, and from then on only blocks are read.  Every
function is pure and reads its input to the end; which partition it gets decides nothing.  `frames.py` and `engine.py`
are the driver's side.
"""

import functools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

import firesteel
from firesteel.core.network import Network
from firesteel.core.types import Array
from firesteel.errors import DataError, SparkSetupError
from firesteel.train.blocks import (
    Block,
    Keys,
    alike,
    block_ids,
    heavy_share,
    pack_block,
    row_keys,
)
from firesteel.train.checks import Finding, Findings, Rule, look, merge
from firesteel.train.engine import one_blas_thread, work_on
from firesteel.train.partial import Partial, Task
from firesteel.train.rounds import Work, predict

Batches = Iterator[pa.RecordBatch]
Rows = tuple[npt.NDArray[Any], Array, Array]
BY_KEY = -1
"""Number of a mini-pack whose rows go to the block of their key."""
COUNTERS = 4096
"""How many candidates for a heavy row each partition keeps; far above the 1,024 that there can be."""
SHIFTING = (
    "the DataFrame does not give the same rows each time it is computed (an unseeded rand(), a changing file or "
    "table).  Write it out first, df.write.parquet(path), and fit what you read back"
)
PACK_BYTES = 32 << 20
"""How much a partition gathers before it sends mini-packs."""


# Arrow to NumPy


def binary_views(column: pa.Array) -> list[npt.NDArray[np.uint8]]:
    """Return each value of a binary column as a view of Arrow's own memory."""
    large = pa.types.is_large_binary(column.type)
    _, offsets_buffer, data = column.buffers()
    if data is None:
        return [np.empty(0, np.uint8)] * len(column)
    offsets = np.frombuffer(offsets_buffer, "i8" if large else "i4")[column.offset : column.offset + len(column) + 1]
    bytes_ = np.frombuffer(data, np.uint8)
    return [bytes_[a:b] for a, b in zip(offsets[:-1], offsets[1:], strict=True)]


def matrix(column: pa.Array) -> npt.NDArray[Any]:
    """Return a column of equally long lists or bytes, without nulls, as (n, width)."""
    if pa.types.is_binary(column.type) or pa.types.is_large_binary(column.type):
        views = binary_views(column)
        return np.concatenate(views).reshape(len(views), -1) if views else np.empty((0, 0), np.uint8)
    values = column.flatten().to_numpy(zero_copy_only=False)
    return values.reshape(len(column), -1) if len(column) else np.empty((0, 0), values.dtype)


def widths(column: pa.Array) -> npt.NDArray[Any]:
    """Return how many values each list or bytes value holds; 0 for a null."""
    if pa.types.is_binary(column.type) or pa.types.is_large_binary(column.type):
        counted = pa.compute.binary_length(column)
    else:
        counted = pa.compute.list_value_length(column)
    return counted.fill_null(0).to_numpy(zero_copy_only=False)


def clean_rows(batch: pa.RecordBatch) -> Rows:
    """Return x (n, I), y (n, T), w (n,) of a batch that has passed the survey."""
    return matrix(batch.column(0)), matrix(batch.column(1)), batch.column(2).to_numpy(zero_copy_only=False)


def is_held(keys: Keys, split: float) -> npt.NDArray[np.bool_]:
    """Return which rows are held out for validation: those whose key, read as a fraction, is below `split`."""
    return (keys >> np.uint64(11)).astype(np.float64) * 2.0**-53 < split


# The survey: the third gate, and what packing must know


@dataclass(frozen=True)
class SurveyTask:
    """rule: what targets must be.  where: names of the columns by which a row is told from another."""

    rule: Rule
    dtype: str
    split: float
    where: tuple[str, ...]
    version: str = firesteel.__version__


SURVEY_SCHEMA = "report string, heavy_keys binary, heavy_counts binary"


def survey(task: SurveyTask, batches: Batches) -> Iterator[pa.RecordBatch]:
    """Look at every row of a partition; yield one report of what was found, and how often keys occur."""
    check_version(task.version)
    found: Findings = {}
    seen: dict[str, dict[int, tuple[int, str]]] = {"features": {}, "label": {}}
    rows, held, weight, top = 0, 0, 0.0, -np.inf
    sums = [0, 0]
    keys_seen, counts, slack = np.empty(0, np.uint64), np.empty(0, np.int64), 0
    dtype = np.dtype(task.dtype)
    for batch in batches:
        rows += batch.num_rows
        batch, nulls = _without_nulls(batch, task.where)
        found = merge(found, nulls)
        where = functools.partial(_where, batch, task.where)
        mixed = False
        for part, column in (("features", 0), ("label", 1)):
            lengths, first, count = np.unique(widths(batch.column(column)), return_index=True, return_counts=True)
            mixed |= len(lengths) > 1
            for length, at, n in zip(lengths.tolist(), first.tolist(), count.tolist(), strict=True):
                known = seen[part].get(length, (0, where(at)))
                seen[part][length] = (known[0] + n, known[1])
        if mixed or not batch.num_rows:
            continue
        x, y, w = clean_rows(batch)
        found = merge(found, look(x, y, w, task.rule, dtype, where))
        top = max(top, float(y.max(initial=-np.inf)))
        keys = row_keys(x, y, w, dtype)
        out = is_held(keys, task.split)
        held += int(out.sum())
        weight += float(w[~out].sum())
        for half, chosen in enumerate((~out, out)):
            sums[half] += int(np.add.reduce(keys[chosen], dtype=np.uint64))
        keys_seen, counts, lost = _tallied(keys_seen, counts, keys[~out])
        slack += lost
    report = {
        "rows": rows,
        "held": held,
        "weight": weight,
        "top": top if np.isfinite(top) else None,
        "sums": [half % 2**64 for half in sums],
        "slack": slack,
        "widths": {part: list(by_width.items()) for part, by_width in seen.items()},
        "found": {code: asdict(finding) for code, finding in found.items()},
    }
    yield _batch(report=[json.dumps(report)], heavy_keys=[keys_seen.tobytes()], heavy_counts=[counts.tobytes()])


def _tallied(keys: Keys, counts: npt.NDArray[np.int64], more: Keys) -> tuple[Keys, npt.NDArray[np.int64], int]:
    """Count keys with at most COUNTERS counters; no count falls short by more than the summed third result.

    Source: Misra and Gries 1982, in the mergeable form of Agarwal et al. 2012.
    """
    new, new_counts = np.unique(more, return_counts=True)
    both, where = np.unique(np.concatenate([keys, new]), return_inverse=True)
    total = np.bincount(where, np.concatenate([counts, new_counts]), len(both)).astype(np.int64)
    if len(both) <= COUNTERS:
        return both, total, 0
    least = int(np.partition(total, -COUNTERS - 1)[-COUNTERS - 1])
    kept = total > least
    return both[kept], total[kept] - least, least


def _without_nulls(batch: pa.RecordBatch, names: Sequence[str]) -> tuple[pa.RecordBatch, Findings]:
    """Return the rows without nulls in any place, and what was found wrong with the others."""
    found: Findings = {}
    good = np.ones(batch.num_rows, bool)
    for code, column in (("null-features", 0), ("null-label", 1), ("null-weight", 2)):
        null = batch.column(column).is_null().to_numpy(zero_copy_only=False)
        found = merge(found, _noted(code, null & good, batch, names))
        good &= ~null
    batch = batch.filter(pa.array(good))
    good = np.ones(batch.num_rows, bool)
    for code, column in (("null-item", 0), ("null-label", 1)):
        items = batch.column(column)
        if pa.types.is_list(items.type) or pa.types.is_large_list(items.type):
            flat = items.flatten()
            if flat.null_count:
                row = np.repeat(np.arange(len(items)), widths(items))[flat.is_null().to_numpy(zero_copy_only=False)]
                null = np.isin(np.arange(len(items)), row)
                found = merge(found, _noted(code, null & good, batch, names, column))
                good &= ~null
    return batch.filter(pa.array(good)), found


def _noted(
    code: str, bad: npt.NDArray[np.bool_], batch: pa.RecordBatch, names: Sequence[str], items: int | None = None
) -> Findings:
    if not bad.any():
        return {}
    row = int(bad.argmax())
    position = None if items is None else batch.column(items)[row].as_py().index(None)
    return {code: Finding(int(bad.sum()), _where(batch, names, row), "null", position)}


def _where(batch: pa.RecordBatch, names: Sequence[str], row: int) -> str:
    """Say which row this is, by its leading columns."""
    if not names:
        return "a row"
    values = (batch.column(3 + number)[row].as_py() for number in range(len(names)))
    return "the row with " + ", ".join(f"{name}={_short(value)}" for name, value in zip(names, values, strict=True))


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."


# Heavy rows: many copies of one row, which would all share its block


HEAVY_SCHEMA = "key long, count long, pack binary"


def count_heavy(task: SurveyTask, candidates: Keys, batches: Batches) -> Iterator[pa.RecordBatch]:
    """Count the rows with one of these keys; yield each key's count and row, or an empty row if they differ."""
    dtype = np.dtype(task.dtype)
    count: dict[int, int] = {}
    pack: dict[int, bytes] = {}
    for batch in batches:
        x, y, w = clean_rows(batch)
        if not len(w):
            continue
        keys = row_keys(x, y, w, dtype)
        for key in np.unique(keys[np.isin(keys, candidates) & ~is_held(keys, task.split)]):
            rows = np.flatnonzero(keys == key)
            one = rows[:1]
            same = all(alike(part[rows], dtype) for part in (x, y, w))
            row = pack_block(BY_KEY, x[one], y[one], w[one], keys[one], dtype).to_bytes() if same else b""
            k = int(key)
            count[k] = count.get(k, 0) + len(rows)
            pack[k] = row if pack.get(k, row) == row else b""
    signed = np.array(list(count), np.uint64).view(np.int64)
    yield _batch(key=signed, count=np.array(list(count.values()), np.int64), pack=list(pack.values()))


# Packing


@dataclass(frozen=True)
class PackTask:
    """codes: what to write into `part` so that Spark puts shard s into partition s.  heavy: keys of spread rows."""

    dtype: str
    blocks: int
    codes: tuple[int, ...]
    split: float
    held: bool
    heavy: tuple[int, ...] = ()


MINI_SCHEMA = "part long, pack binary"
BLOCK_SCHEMA = "block long, rows long, weight double, fingerprint long, data binary"


def mini_packs(task: PackTask, batches: Batches) -> Iterator[pa.RecordBatch]:
    """Yield the partition's rows as few fat rows, one for each shard that some of them go to."""
    dtype, shards = np.dtype(task.dtype), len(task.codes)
    heavy = np.array(task.heavy, np.uint64)
    gathered: list[tuple[Rows, Keys]] = []
    size = 0
    for batch in batches:
        x, y, w = clean_rows(batch)
        if not len(w):
            continue
        keys = row_keys(x, y, w, dtype)
        keep = is_held(keys, task.split) == task.held
        if len(heavy):
            keep &= ~np.isin(keys, heavy)
        if not keep.all():
            x, y, w, keys = x[keep], y[keep], w[keep], keys[keep]
        gathered.append(((x, y, w), keys))
        size += x.nbytes
        if size >= PACK_BYTES:
            yield from _sent(gathered, task, dtype, shards)
            gathered, size = [], 0
    if gathered:
        yield from _sent(gathered, task, dtype, shards)


def _sent(
    gathered: Sequence[tuple[Rows, Keys]], task: PackTask, dtype: np.dtype[Any], shards: int
) -> Iterator[pa.RecordBatch]:
    x, y, w = (np.concatenate([rows[i] for rows, _ in gathered]) for i in range(3))
    keys = np.concatenate([k for _, k in gathered])
    shard = block_ids(keys, task.blocks) % shards
    for number, rows in enumerate(_groups(shard, shards)):
        if len(rows):
            pack = pack_block(BY_KEY, x[rows], y[rows], w[rows], keys[rows], dtype, ordered=True)
            yield _batch(part=[task.codes[number]], pack=[pack.to_bytes()])


def _groups(ids: npt.NDArray[np.int64], count: int) -> list[npt.NDArray[np.intp]]:
    """Return the positions of 0, of 1, ..., of count - 1."""
    order = np.argsort(ids, kind="stable")
    return np.split(order, np.searchsorted(ids[order], np.arange(1, count)))


def explode(task: PackTask, batches: Batches) -> Iterator[pa.RecordBatch]:
    """Yield each heavy row's copies, spread over all blocks."""
    dtype = np.dtype(task.dtype)
    for batch in batches:
        packs = binary_views(batch.column(2))
        keys = batch.column(0).to_numpy().view(np.uint64)
        for key, count, pack in zip(keys, batch.column(1).to_numpy(), packs, strict=True):
            row = Block.from_bytes(pack)
            x, y, w = _decoded([row], dtype)
            for block, copies in enumerate(heavy_share(int(key), int(count), task.blocks)):
                if copies:
                    ks = np.full(copies, key)
                    xs, ys, ws = (np.repeat(part, copies, axis=0) for part in (x, y, w))
                    full = pack_block(block, xs, ys, ws, ks, dtype, ordered=True)
                    yield _batch(part=[task.codes[block % len(task.codes)]], pack=[full.to_bytes()])


def _decoded(packs: Sequence[Block], dtype: np.dtype[Any]) -> Rows:
    x = np.empty((sum(len(p) for p in packs), packs[0].x.shape[1]), dtype)
    at = 0
    for pack in packs:
        pack.features(slice(None), x[at : at + len(pack)])
        at += len(pack)
    return x, np.concatenate([p.y for p in packs]), np.concatenate([p.w for p in packs])


def merge_packs(task: PackTask, batches: Batches) -> Iterator[pa.RecordBatch]:
    """Yield the blocks of the shards whose mini-packs these are."""
    packs = [Block.from_bytes(view) for batch in batches for view in binary_views(batch.column(1))]
    if not packs:
        return
    dtype = np.dtype(task.dtype)
    x, y, w = _decoded(packs, dtype)
    keys = row_keys(x, y, w, dtype)
    ids = block_ids(keys, task.blocks)
    fixed = np.repeat([pack.id for pack in packs], [len(pack) for pack in packs])
    ids = np.where(fixed == BY_KEY, ids, fixed)
    del packs
    for number, rows in enumerate(_groups(ids, task.blocks)):
        if len(rows):
            block = pack_block(number, x[rows], y[rows], w[rows], keys[rows], dtype)
            yield _batch(
                block=[number],
                rows=[len(block)],
                weight=[block.weight],
                fingerprint=np.array([block.fingerprint], np.uint64).view(np.int64),
                data=[block.to_bytes()],
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
    return _batch(
        shard=[shard],
        vectors=[partial.vectors.tobytes()],
        sums=[partial.sums.tobytes()],
        steps=[partial.steps],
        seconds=[partial.seconds],
        slowest=[partial.slowest],
        machines=[json.dumps(sorted(partial.machines))],
    )


def check_version(version: str) -> None:
    """Raise SparkSetupError when this Python worker runs another firesteel than the driver."""
    if version != firesteel.__version__:
        raise SparkSetupError(
            f"the driver has firesteel {version} and an executor's Python still holds {firesteel.__version__}: "
            "start a new Spark session",
            code="spark-version",
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
        wrong = widths(column) != self.network.inputs
        if wrong.any():
            raise DataError(
                f"{self.name} has {int(widths(column)[wrong][0])} values in a row, and the network takes "
                f"{self.network.inputs}; {int(wrong.sum()):,} of {len(column):,} rows in this batch are like that",
                code="data-width",
            )
        x = matrix(column) if len(column) else np.zeros((0, self.network.inputs))
        with one_blas_thread():
            return score(x), null


class LogitsAndOutputs(Outputs):
    """Like Outputs, but with what enters the last op before what leaves it: raw predictions, then probabilities."""

    def __call__(self, column: pa.Array) -> pa.Array:
        return as_lists(*self.scored(column, self.both))

    def both(self, x: npt.NDArray[Any]) -> Array:
        """Return the logits and the outputs side by side, (n, 2 O), float64."""
        logits = predict(self.network, self.theta, x, map, len(self.network.ops) - 1)
        outputs, _ = self.network.ops[-1].apply({}, logits, None)
        return np.hstack([logits, outputs]).astype(np.float64)


def as_lists(values: Array, null: npt.NDArray[np.bool_]) -> pa.Array:
    """Return (n, O) values as a column of lists, with nulls put back."""
    sizes = np.where(null, 0, values.shape[1])
    offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32)
    mask = pa.array(np.append(null, False)) if null.any() else None
    starts = (
        pa.array(offsets, pa.int32()) if mask is None else pa.array(offsets, pa.int32(), mask=np.append(null, False))
    )
    return pa.ListArray.from_arrays(starts, pa.array(values.reshape(-1)))


def _batch(**columns: Any) -> pa.RecordBatch:
    arrays = [
        pa.array(values, pa.binary()) if len(values) and isinstance(values[0], bytes) else pa.array(values)
        for values in columns.values()
    ]
    return pa.RecordBatch.from_arrays(arrays, list(columns))

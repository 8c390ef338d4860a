"""Packing on executors: validates rows, groups them by shard in mini-packs, and merges these into blocks.

Input batches have the columns x, y and w and, optionally, `key` (a hash of an identifier), `held` (whether a row is
for validation) and `where0`, ... (columns that identify a row in messages).  Vectors come in parts that `arrow.whole`
joins, raw columns in a struct that `raw.py` encodes.  All functions are pure and read their input to the end; results
do not depend on the partitioning.  `frames.py` runs them as jobs.
"""

import functools
import json
import pickle
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, astuple, dataclass, fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

import firesteel
from firesteel.core.centre import UNCENTRED, Centre, less
from firesteel.core.csr import CSR, Features, joined, suited
from firesteel.core.network import Network
from firesteel.core.types import Array
from firesteel.spark import arrow
from firesteel.spark.raw import RawColumns
from firesteel.tables.holdout import HoldOut
from firesteel.tables.policy import Tally
from firesteel.tables.sampling import FirstRows
from firesteel.tables.targets import OutputRule, output_findings
from firesteel.train import blocks, checks
from firesteel.train.blocks import Keys
from firesteel.train.centring import Sample
from firesteel.train.encoding import canonical

BY_KEY = -1
"""Block number of a mini-pack whose rows go to the block of their key."""
COUNTERS = 4096
"""Number of heavy-row candidates per partition, far above the maximum of 1,024 heavy rows."""
DEALT = 1 << 20
"""Number of copies of a heavy row that are dealt at a time."""
PACK_BYTES = 32 << 20
"""Size that a partition gathers before it emits mini-packs."""


# Reading


@dataclass(frozen=True)
class ReadOptions:
    """How executors read rows: dtype, validation rows, raw columns and the names used in messages.

    Args:
        dtype: Dtype of the network.
        hold: Selects validation rows by key, unless a column marks them.
        classes: Whether targets are classes, if the rows decide on the validation rows; otherwise None.
        skip: Whether to leave out rows with nulls, NaN or infinite values.
        where: Names of the columns where0, where1, ...
        sparse: Whether rows are packed sparse; None if it is not known yet.
        centre: What is subtracted from rows.
        raw: How raw columns are read, if there are any.
        rules: Rules for the targets of several outputs.
        version: The driver's version of firesteel.
    """

    dtype: str
    hold: HoldOut = HoldOut()
    classes: bool | None = None
    skip: bool = False
    where: tuple[str, ...] = ()
    sparse: bool | None = None
    centre: Centre = UNCENTRED
    raw: RawColumns | None = None
    rules: tuple[OutputRule, ...] = ()
    version: str = firesteel.__version__


@dataclass(frozen=True)
class Read:
    """The valid rows of an Arrow batch as arrays, with their keys.

    Args:
        x: Features, (n, I).
        y: Targets, (n, T).
        w: Weights, (n,).
        keys: Keys, (n,).
        held: Which are validation rows, (n,).
        prints: Their `row_keys`, (n,).
    """

    x: Features
    y: Array
    w: Array
    keys: Keys
    held: npt.NDArray[np.bool_]
    prints: Keys

    def __getitem__(self, rows: Any) -> "Read":
        return Read(*(getattr(self, f.name)[rows] for f in fields(self)))

    @staticmethod
    def sum(parts: Sequence["Read"]) -> "Read":
        """Concatenate the rows of several batches."""
        return Read(*(joined([getattr(rows, f.name) for rows in parts]) for f in fields(Read)))


def whole(batch: pa.RecordBatch, reading: ReadOptions) -> pa.RecordBatch:
    """Encode a batch: features in column x, numeric labels in column y."""
    return arrow.whole(batch if reading.raw is None else reading.raw.encoded(batch))


def read(batch: pa.RecordBatch, reading: ReadOptions) -> Read:
    """Convert a validated batch to arrays."""
    if reading.skip:
        batch, _ = _without_invalid(_without_nulls(batch, reading)[0], reading)
    x, y, w = arrow.clean_rows(batch)
    x = x if reading.sparse is None else suited(x, reading.sparse)
    prints = blocks.row_keys(x, y)
    names = batch.schema.names
    keys = blocks.id_keys(batch.column("key").to_numpy(zero_copy_only=False)) if "key" in names else prints
    held = batch.column("held").to_numpy(zero_copy_only=False) if "held" in names else reading.hold.rows(keys, y)
    dtype, centre = np.dtype(reading.dtype), reading.centre
    return Read(less(x, centre.features, dtype), less(y, centre.targets, dtype), w, keys, held, prints)


def _without_invalid(batch: pa.RecordBatch, reading: ReadOptions) -> tuple[pa.RecordBatch, int]:
    """Return the rows with finite features and targets, and the number of rows left out."""
    if len(np.unique(arrow.widths(batch.column("x")))) > 1 or len(np.unique(arrow.widths(batch.column("y")))) > 1:
        return batch, 0
    x, y, _ = arrow.clean_rows(batch)
    with np.errstate(over="ignore"):
        fine = np.logical_and(*(checks.finite_rows(part, reading.dtype) for part in (x, y)))
    return _those(batch, fine), int((~fine).sum())


# Some rows, chosen by their keys


FIRST_SCHEMA = "first binary"


def first_rows(
    reading: ReadOptions, network: Network, name: str, most: int, batches: arrow.Batches
) -> Iterator[pa.RecordBatch]:
    """Yield the partition's rows with the smallest keys.

    Args:
        reading: How rows are read.
        network: The network, whose centre is subtracted before keys are computed.
        name: Name of the features in messages.
        most: Maximum number of rows.
        batches: The rows.

    Raises:
        DataError: If rows have another width than the network's inputs.
    """
    arrow.check_version(reading.version)
    dtype, parts = np.dtype(reading.dtype), list[FirstRows]()
    for given in batches:
        batch = whole(given, reading)
        arrow.check_widths(batch.column("x").drop_null(), network.inputs, name)
        here, centre = read(batch, reading), network.centre
        near = (less(here.x, centre.features, dtype), less(here.y, centre.targets, dtype))
        keys = blocks.row_keys(*(canonical(part, dtype) for part in near))
        parts = [FirstRows.sum([*parts, FirstRows.of(keys, here.x, here.y, here.w.astype(dtype), most)], most)]
    if parts:
        yield arrow.record_batch(first=[pickle.dumps(parts[0], protocol=5)])


def merge_first(most: int, batches: arrow.Batches) -> Iterator[pa.RecordBatch]:
    """Merge the rows with the smallest keys of several partitions."""
    parts = list[FirstRows]()
    for one in (pickle.loads(one) for batch in batches for one in batch.column("first").to_pylist()):
        parts = [FirstRows.sum([*parts, one], most)]
    if parts:
        yield arrow.record_batch(first=[pickle.dumps(parts[0], protocol=5)])


# Validation and profile


REPORT_SCHEMA = (
    "report string, heavy_keys binary, heavy_counts binary, sample_keys binary, sample_rows binary, "
    "held_keys binary, held_rows binary"
)


SUMS = ("rows", "skipped", "held", "weight", "held_weight", "stored", "slack")
"""Fields of a report that are summed over partitions; "rows" does not include "skipped"."""


def profile_rows(reading: ReadOptions, batches: arrow.Batches) -> Iterator[pa.RecordBatch]:
    """Validate and profile a partition; yield one report, with the counts of frequent keys and a sample."""
    arrow.check_version(reading.version)
    found: checks.Findings = {}
    classes: checks.Classes = {}
    seen: dict[str, dict[int, tuple[int, str]]] = {"features": {}, "label": {}}
    total: dict[str, Any] = dict.fromkeys(SUMS, 0)
    sums, nonzeros, narrow, tally = [0, 0], list[int](), True, Tally.read()
    samples: list[Sample | None] = [None, None]
    keys_seen, counts = np.empty(0, np.uint64), np.empty(0, np.int64)
    dtype, raw = np.dtype(reading.dtype), reading.raw and reading.raw.schema
    for given in batches:
        batch = whole(given, reading)
        total["rows"] += batch.num_rows
        batch, nulls = _without_nulls(batch, reading)
        if reading.skip:
            skipped = sum(nulls.pop(code).rows for code in SKIPPED if code in nulls)
            batch, more = _without_invalid(batch, reading)
            total["skipped"] += skipped + more
            total["rows"] -= skipped + more
        found = checks.merge(found, nulls)
        where = functools.partial(_where, batch, reading.where)
        mixed = False
        for part, column in (("features", "x"), ("label", "y")):
            widths = arrow.widths(batch.column(column))
            lengths, first, count = np.unique(widths, return_index=True, return_counts=True)
            mixed |= len(lengths) > 1
            for length, at, n in zip(lengths.tolist(), first.tolist(), count.tolist(), strict=True):
                known = seen[part].get(length, (0, where(at)))
                seen[part][length] = (known[0] + n, known[1])
        if mixed or not batch.num_rows:
            continue
        here = read(batch, replace(reading, skip=False))
        found = checks.merge(found, checks.find_faults(here.x, here.y, here.w, dtype, where))
        found = checks.merge(found, output_findings(here.y, reading.rules, where))
        narrow = narrow and batch is not given and checks.in_float32(here.x)
        total["stored"] += here.x.values.size if isinstance(here.x, CSR) else here.x.size
        if (counted := blocks.count_nonzeros(here.x, dtype)) is not None:
            nonzeros.append(counted)
        classes = checks.merge_classes(classes, checks.count_classes(here.y, here.held, where))
        total["held"] += int(here.held.sum())
        for name, chosen in (("weight", ~here.held), ("held_weight", here.held)):
            total[name] += float(here.w[chosen].astype(dtype).sum(dtype=np.float64))
        prints = blocks.row_prints(here.prints, here.w.astype(dtype))
        for half, chosen in enumerate((~here.held, here.held)):
            sums[half] += int(np.add.reduce(prints[chosen], dtype=np.uint64))
        if reading.classes is not None:
            tally = Tally.sum([tally, Tally.of(here.keys, here.y, here.w.astype(dtype), here.held, reading.classes)])
        for half, chosen in enumerate((here.held, ~here.held)):
            x = here.x if raw is None else here.x[:, :0]  # type: ignore[index]
            some, before = Sample.of(here.prints, x, here.y, chosen), samples[half]
            samples[half] = before.plus(some) if before is not None and before.width == some.width else some
        open = ~here.held if reading.classes is None else slice(None)
        keys_seen, counts, lost = _add_counts(keys_seen, counts, here.keys[open])
        total["slack"] += lost
    report = total | {
        "nonzeros": [sum(nonzeros)] if nonzeros else [],
        "classes": [[number, *astuple(one)] for number, one in classes.items()],
        "sums": [half % 2**64 for half in sums],
        "narrow": narrow,
        "tally": [part.tolist() for part in astuple(tally)],
        "widths": {part: list(by_width.items()) for part, by_width in seen.items()},
        "found": {code: asdict(finding) for code, finding in found.items()},
    }
    made = [keys_seen, counts]
    for sample in samples:
        made += [counts[:0]] * 2 if sample is None or dtype != np.float32 else [sample.keys, sample.rows]
    names = ("heavy_keys", "heavy_counts", "sample_keys", "sample_rows", "held_keys", "held_rows")
    columns = {name: [part.tobytes()] for name, part in zip(names, made, strict=True)}
    yield arrow.record_batch(report=[json.dumps(report)], **columns)


def _add_counts(keys: Keys, counts: npt.NDArray[np.int64], more: Keys) -> tuple[Keys, npt.NDArray[np.int64], int]:
    """Count frequent keys with the Misra-Gries algorithm; return keys, counts, and the largest possible undercount.

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


NULLS = {"null-features": "x", "null-label": "y", "null-weight": "w", "null-held": "held", "null-id": "key"}
"""Column of each finding about nulls."""
SKIPPED = ("null-features", "null-item", "null-label")
"""Findings about nulls whose rows may be skipped."""


def _without_nulls(batch: pa.RecordBatch, reading: ReadOptions) -> tuple[pa.RecordBatch, checks.Findings]:
    """Return the rows without nulls, and the faults of the others."""
    found: checks.Findings = {}
    names = reading.where
    good = np.ones(batch.num_rows, bool)
    for code, column in NULLS.items():
        if column in batch.schema.names:
            null = batch.column(column).is_null().to_numpy(zero_copy_only=False)
            found = checks.merge(found, _noted(code, null & good, batch, names))
            good &= ~null
    batch = _those(batch, good)
    good = np.ones(batch.num_rows, bool)
    x = batch.column("x")
    if pa.types.is_struct(x.type) and (x.field("type").to_numpy(zero_copy_only=False) == 0).any():
        wrong, bad = checks.index_faults(arrow.vectors(x), functools.partial(_where, batch, names))
        found = checks.merge(found, wrong)
        good &= ~bad
    for code, column in (("null-item", "x"), ("null-label", "y")):
        items = batch.column(column)
        if pa.types.is_list(items.type) or pa.types.is_large_list(items.type):
            flat = items.flatten()
            if flat.null_count:
                row, inside = np.arange(len(items)), flat.is_null().to_numpy(zero_copy_only=False)
                null = np.isin(row, np.repeat(row, arrow.widths(items))[inside])
                found = checks.merge(found, _noted(code, null & good, batch, names, column))
                good &= ~null
    return _those(batch, good), found


def _those(batch: pa.RecordBatch, rows: npt.NDArray[np.bool_]) -> pa.RecordBatch:
    """Return the selected rows, without a copy if all are selected."""
    return batch if rows.all() else batch.filter(pa.array(rows))


def _noted(
    code: str, bad: npt.NDArray[np.bool_], batch: pa.RecordBatch, names: Sequence[str], items: str | None = None
) -> checks.Findings:
    if not bad.any():
        return {}
    row = int(bad.argmax())
    position = None if items is None else batch.column(items)[row].as_py().index(None)
    return {code: checks.Finding(int(bad.sum()), _where(batch, names, row), "null", position)}


def _where(batch: pa.RecordBatch, names: Sequence[str], row: int) -> str:
    """Describe a row by its leading columns."""
    if not names:
        return "a row"
    values = (arrow.texts(batch.column(f"where{number}").slice(row, 1))[0] for number in range(len(names)))
    return "the row with " + ", ".join(f"{name}={_short(value)}" for name, value in zip(names, values, strict=True))


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."


READ_SCHEMA = "rows binary"


def reads(reading: ReadOptions, batches: arrow.Batches) -> Iterator[pa.RecordBatch]:
    """Convert each batch to one row that holds a pickled `Read`."""
    for batch in batches:
        if batch.num_rows:
            yield arrow.record_batch(rows=[pickle.dumps(read(whole(batch, reading), reading), protocol=5)])


# Heavy rows: rows with many copies, which would all fall into one block


HEAVY_SCHEMA = "key long, weights binary, counts binary, print long, pack binary"


def count_heavy(reading: ReadOptions, candidates: Keys, batches: arrow.Batches) -> Iterator[pa.RecordBatch]:
    """Count the copies of candidate rows by weight, and yield each row whose key no different row shares."""
    dtype = np.dtype(reading.dtype)
    found: dict[int, Heavy] = {}
    for given in batches:
        if not given.num_rows:
            continue
        here = read(whole(given, reading), reading)
        here = here[~here.held]
        for key in np.unique(here.keys[np.isin(here.keys, candidates)]):
            same = here[here.keys == key]
            row = b""
            if blocks.alike(same.x, dtype) and blocks.alike(same.y, dtype) and (same.prints == same.prints[0]).all():
                row = blocks.pack_block(BY_KEY, same.x[:1], same.y[:1], np.ones(1), same.keys[:1], dtype).to_bytes()
            weights, counts = np.unique(same.w.astype(dtype), return_counts=True)
            one = Heavy(int(key), weights.astype(np.float64), counts, int(same.prints[0]), row)
            found[one.key] = found[one.key].plus(one) if one.key in found else one
    rows = [one.row() for one in found.values()]
    names = ("key", "weights", "counts", "print", "pack")
    yield arrow.record_batch(**{name: [row[at] for row in rows] for at, name in enumerate(names)})


@dataclass(frozen=True)
class Heavy:
    """A row that occurs very often, with the number of copies for each weight.

    Args:
        key: Its key.
        weights: The distinct weights of the copies, ascending.
        counts: Number of copies with each weight.
        print: Its `row_keys`.
        pack: The row as a block of one; empty if rows with this key differ.
    """

    key: int
    weights: npt.NDArray[np.float64]
    counts: npt.NDArray[np.int64]
    print: int
    pack: bytes

    def plus(self, other: "Heavy") -> "Heavy":
        """Add the copies of the same row in another partition."""
        weights, where = np.unique(np.concatenate([self.weights, other.weights]), return_inverse=True)
        counts = np.bincount(where, np.concatenate([self.counts, other.counts])).astype(np.int64)
        same = (self.print, self.pack) == (other.print, other.pack)
        return Heavy(self.key, weights, counts, self.print, self.pack if same else b"")

    def row(self) -> tuple[int, bytes, bytes, int, bytes]:
        """Convert to a Spark row of HEAVY_SCHEMA."""
        key, hashed = np.array([self.key, self.print], np.uint64).view(np.int64).tolist()
        return key, self.weights.tobytes(), self.counts.tobytes(), hashed, self.pack

    @staticmethod
    def of(row: Mapping[str, Any]) -> "Heavy":
        """Convert from a Spark row of HEAVY_SCHEMA."""
        weights, counts = np.frombuffer(row["weights"], "f8"), np.frombuffer(row["counts"], "i8")
        return Heavy(row["key"] % 2**64, weights, counts, row["print"] % 2**64, row["pack"])


# Packing


@dataclass(frozen=True)
class PackTask:
    """Settings of packing: shards, blocks, validation rows, centre and frequent rows.

    Args:
        reading: How rows are read.
        blocks: Number of blocks.
        codes: Values of `part` with which Spark places each shard into its partition.
        held: Whether to pack the validation rows.
        keyed: Whether keys come from an identifier instead of the row's values.
        heavy: Keys of heavy rows, which are spread over all blocks.
    """

    reading: ReadOptions
    blocks: int
    codes: tuple[int, ...]
    held: bool
    keyed: bool
    heavy: tuple[int, ...] = ()


MINI_SCHEMA = "part long, pack binary, keys binary, prints binary"
BLOCK_SCHEMA = "block long, rows long, weight double, fingerprint long, data binary"


def mini_packs(task: PackTask, batches: arrow.Batches) -> Iterator[pa.RecordBatch]:
    """Group a partition's rows by shard, and yield them as one mini-pack per shard."""
    heavy = np.array(task.heavy, np.uint64)
    gathered: list[Read] = []
    size = 0
    for given in batches:
        if not given.num_rows:
            continue
        here = read(whole(given, task.reading), task.reading)
        keep = here.held == task.held
        if len(heavy):
            keep &= ~np.isin(here.keys, heavy)
        if not keep.all():
            here = here[keep]
        gathered.append(here)
        size += here.x.nbytes
        if size >= PACK_BYTES:
            yield from _sent(gathered, task)
            gathered, size = [], 0
    if gathered:
        yield from _sent(gathered, task)


def _sent(gathered: Sequence[Read], task: PackTask) -> Iterator[pa.RecordBatch]:
    here, shards = Read.sum(gathered), len(task.codes)
    shard = blocks.block_ids(here.keys, task.blocks) % shards
    for number, rows in enumerate(_groups(shard, shards)):
        if len(rows):
            yield _mini_pack(task, number, BY_KEY, here[rows])


def _mini_pack(task: PackTask, shard: int, block: int, rows: Read) -> pa.RecordBatch:
    """Encode rows as a mini-pack for a shard, with their keys."""
    pack = blocks.pack_block(block, rows.x, rows.y, rows.w, rows.keys, np.dtype(task.reading.dtype), ordered=True)
    keys, prints = rows.keys.tobytes(), rows.prints.tobytes() if task.keyed else b""
    return arrow.record_batch(part=[task.codes[shard]], pack=[pack.to_bytes()], keys=[keys], prints=[prints])


def _groups(ids: npt.NDArray[np.int64], count: int) -> list[npt.NDArray[np.intp]]:
    """Return, for each number 0 to count - 1, the positions at which it occurs in ids."""
    order = np.argsort(ids, kind="stable")
    return np.split(order, np.searchsorted(ids[order], np.arange(1, count)))


def explode(task: PackTask, batches: arrow.Batches) -> Iterator[pa.RecordBatch]:
    """Yield the copies of very frequent rows as mini-packs, spread over all blocks."""
    for heavy in (Heavy.of(row) for batch in batches for row in batch.to_pylist()):
        row = blocks.Block.from_bytes(np.frombuffer(heavy.pack, np.uint8))
        x = row.x if row.table is None else row.table[row.x]  # type: ignore[index]
        key, hashed = np.array([[heavy.key], [heavy.print]], np.uint64)
        ends = np.cumsum(heavy.counts)
        for start in range(0, int(ends[-1]), DEALT):
            copies = np.arange(start, min(start + DEALT, ends[-1]))
            for block, which in enumerate(_groups(blocks.dealt(heavy.key, copies, task.blocks), task.blocks)):
                if len(which):
                    w = heavy.weights[np.searchsorted(ends, copies[which], side="right")]
                    one = Read(x, row.y, w[:1], key, np.full(1, task.held), hashed)[np.zeros(len(w), np.intp)]
                    yield _mini_pack(task, block % len(task.codes), block, replace(one, w=w))


def _features(packs: Sequence[blocks.Block], dtype: np.dtype[Any]) -> tuple[Features, Array | None]:
    """Concatenate the features of mini-packs, as one-byte codes if all share one table."""
    table = packs[0].table
    if isinstance(packs[0].x, CSR):
        return joined([pack.x for pack in packs]), None
    if table is not None and all(pack.table is not None and np.array_equal(pack.table, table) for pack in packs):
        return joined([pack.x for pack in packs]), table
    x = np.empty((sum(len(p) for p in packs), packs[0].x.shape[1]), dtype)
    at = 0
    for pack in packs:
        pack.features(slice(None), x[at : at + len(pack)])
        at += len(pack)
    return x, None


def merge_packs(task: PackTask, batches: arrow.Batches) -> Iterator[pa.RecordBatch]:
    """Merge mini-packs into the blocks of their shards."""
    packs: list[blocks.Block] = []
    parts: dict[str, list[Keys]] = {"keys": [], "prints": []}
    for batch in batches:
        packs += [blocks.Block.from_bytes(view) for view in arrow.binary_views(batch.column("pack"))]
        for name, part in parts.items():
            part += [view.view(np.uint64) for view in arrow.binary_views(batch.column(name))]
    if not packs:
        return
    dtype = np.dtype(task.reading.dtype)
    x, table = _features(packs, dtype)
    y, w, keys = (joined(part) for part in ([p.y for p in packs], [p.w for p in packs], parts["keys"]))
    prints = blocks.row_prints(joined(parts["prints"]) if task.keyed else keys, w)
    ids = blocks.block_ids(keys, task.blocks)
    fixed = np.repeat([pack.id for pack in packs], [len(pack) for pack in packs])
    ids = np.where(fixed == BY_KEY, ids, fixed)
    del packs
    for number, rows in enumerate(_groups(ids, task.blocks)):
        if len(rows):
            own = prints[rows]
            block = blocks.pack_block(number, x[rows], y[rows], w[rows], keys[rows], dtype, table=table, prints=own)
            yield arrow.record_batch(
                block=[number],
                rows=[len(block)],
                weight=[block.weight],
                fingerprint=np.array([block.fingerprint], np.uint64).view(np.int64),
                data=[block.to_bytes()],
            )

"""Rows become blocks on executors: surveyed, gathered into mini-packs by shard, merged into blocks.

Every function is pure and reads its input to the end; which partition it gets decides nothing.  `frames.py` strings
them into jobs; `worker.py` reads the blocks that come out.
"""

import functools
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

import firesteel
from firesteel.spark.arrow import Batches, Rows, binary_views, check_version, clean_rows, record_batch, widths
from firesteel.train.blocks import Block, Keys, alike, block_ids, heavy_share, pack_block, row_keys
from firesteel.train.checks import Finding, Findings, Rule, look, merge

__all__ = [
    "BLOCK_SCHEMA",
    "HEAVY_SCHEMA",
    "MINI_SCHEMA",
    "SURVEY_SCHEMA",
    "PackTask",
    "SurveyTask",
    "count_heavy",
    "explode",
    "merge_packs",
    "mini_packs",
    "survey",
]

BY_KEY = -1
"""Number of a mini-pack whose rows go to the block of their key."""
COUNTERS = 4096
"""How many candidates for a heavy row each partition keeps; far above the 1,024 that there can be."""
PACK_BYTES = 32 << 20
"""How much a partition gathers before it sends mini-packs."""


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
    rows, held, weight, held_weight, top = 0, 0, 0.0, 0.0, -np.inf
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
        weight += float(w[~out].astype(dtype).sum(dtype=np.float64))
        held_weight += float(w[out].astype(dtype).sum(dtype=np.float64))
        for half, chosen in enumerate((~out, out)):
            sums[half] += int(np.add.reduce(keys[chosen], dtype=np.uint64))
        keys_seen, counts, lost = _tallied(keys_seen, counts, keys[~out])
        slack += lost
    report = {
        "rows": rows,
        "held": held,
        "weight": weight,
        "held_weight": held_weight,
        "top": top if np.isfinite(top) else None,
        "sums": [half % 2**64 for half in sums],
        "slack": slack,
        "widths": {part: list(by_width.items()) for part, by_width in seen.items()},
        "found": {code: asdict(finding) for code, finding in found.items()},
    }
    yield record_batch(report=[json.dumps(report)], heavy_keys=[keys_seen.tobytes()], heavy_counts=[counts.tobytes()])


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
    yield record_batch(key=signed, count=np.array(list(count.values()), np.int64), pack=list(pack.values()))


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
            yield record_batch(part=[task.codes[number]], pack=[pack.to_bytes()])


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
                    yield record_batch(part=[task.codes[block % len(task.codes)]], pack=[full.to_bytes()])


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
            yield record_batch(
                block=[number],
                rows=[len(block)],
                weight=[block.weight],
                fingerprint=np.array([block.fingerprint], np.uint64).view(np.int64),
                data=[block.to_bytes()],
            )

"""Blocks: chunks of encoded rows.  A hash of its values decides which block a row is in.

A row's key is a hash of its features and targets.  The key determines the block, and inside a block rows are sorted
by (key, weight, bytes).  So partitioning, order of arrival, encoding, dtype and the scale of weights cannot move a
row, and equal rows can be exchanged without changing a bit. The same functions pack arrays in this process and
mini-batches of rows on executors.  `checks.py` validates the values before, `encoding.py` compresses them,
`partial.py` defines the result of a shard.
"""

import functools
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from firesteel.core.csr import CSR, Features
from firesteel.core.faster import faster
from firesteel.core.types import Array, cached_property
from firesteel.fast.compiled import with_fallback
from firesteel.train.encoding import all_coded, canonical, encode

__all__ = ["Block", "Keys", "block_ids", "count_nonzeros", "dealt", "heavy_limit", "id_keys", "is_sparse"]
__all__ += ["n_blocks", "pack_arrays", "pack_block", "pack_in_order", "row_keys", "row_prints"]

Keys = npt.NDArray[np.uint64]
SPARSE = 2
"""The kind of rows in a block's header: 2 for non-zeros, 1 for codes, 0 for plain values."""
BLOCK_BYTES = 2 << 20
"""The target size of a block at 4 bytes per value; see docs/design/0001-blocks.md."""


@dataclass(frozen=True)
class Block:
    """An immutable chunk of rows.

    Args:
        id: The number of the block.
        x: The features, (n, I): values, uint8 codes into `table`, or non-zeros.
        table: The values that codes stand for, or None.
        y: The targets, (n, T).
        w: The weights, (n,).
        fingerprint: The sum of `row_prints` modulo 2^64, computed when packed and compared when read.
    """

    id: int
    x: Features
    table: Array | None
    y: Array
    w: Array
    fingerprint: int
    weight: float = field(init=False, repr=False, compare=False)
    """The sum of the rows' weights."""
    unit: bool = field(init=False, repr=False, compare=False)
    """Whether every weight is 1."""

    def __post_init__(self) -> None:
        weight = float(np.add.reduce(self.w, dtype=np.float64))
        vars(self).update(weight=weight, unit=bool((self.w == 1).all()))

    def __len__(self) -> int:
        return len(self.w)

    @cached_property
    def divisor(self) -> np.floating[Any] | None:
        """Number d with which a one-byte code c means c / d, if there is one: faster than a table; otherwise None."""
        if self.table is None or len(self.table) < 2 or self.table[1] <= 0:
            return None
        with np.errstate(all="ignore"):
            d = np.rint(1 / self.table[1])
            counted = np.arange(len(self.table)).astype(self.table.dtype) / d
        return d if np.array_equal(counted, self.table) else None

    @cached_property
    def source(self) -> tuple[int, int, Any] | None:
        """For compiled code: memory address of the rows, bytes per row, divisor of the codes (0 for plain values).

        None if rows are non-zeros or codes into a table.
        """
        if isinstance(self.x, CSR) or (self.table is not None and self.divisor is None):
            return None
        assert self.x.flags.c_contiguous, "a block is packed row by row"
        return self.x.ctypes.data, self.x.strides[0], 0 if self.table is None else self.divisor

    def features(
        self, rows: npt.NDArray[np.intp] | slice, out: Array, codes: npt.NDArray[np.uint8] | None = None
    ) -> None:
        """Decode the features of some rows to `out`, (len(rows), I), with `codes` as scratch memory."""
        if self.table is not None and self.divisor is not None and with_fallback(lambda: self._gathered(rows, out)):
            return
        if isinstance(self.x, CSR):
            self.x[rows].fill(out)
            return
        if isinstance(rows, slice):
            chosen = self.x[rows]
        else:
            into = out if self.table is None else codes
            chosen = self.x.take(rows, axis=0, out=into, mode="clip")
        if self.table is None:
            if chosen is not out:
                out[:] = chosen
        elif self.divisor is None:
            np.take(self.table, chosen, out=out, mode="clip")
        elif self.divisor == 1:
            np.copyto(out, chosen)
        else:
            np.divide(chosen, self.divisor, out=out)

    def _gathered(self, rows: npt.NDArray[np.intp] | slice, out: Array) -> bool:
        """Decode features with compiled code if it is available; return whether it was."""
        if fast := faster("gather", out.size):
            fast(self.x, np.arange(*rows.indices(len(self))) if isinstance(rows, slice) else rows, self.divisor, out)
        return bool(fast)

    def to_bytes(self) -> bytes:
        """Serialize the block to one buffer of 8-byte words: a header of eight int64, then the arrays."""
        table = np.empty(0, self.y.dtype) if self.table is None else self.table
        n, inputs = self.x.shape
        kind = SPARSE if isinstance(self.x, CSR) else int(self.table is not None)
        size = self.y.dtype.itemsize
        fingerprint = np.uint64(self.fingerprint).view("i8")
        header = [self.id, n, inputs, self.y.shape[1], kind, len(table), size, fingerprint]
        x = [self.x.indptr, self.x.values, self.x.indices] if isinstance(self.x, CSR) else [self.x]
        parts = [np.array(header, "<i8"), table, self.y, self.w, *x]
        return b"".join(_padded(np.ascontiguousarray(part).tobytes()) for part in parts)

    @staticmethod
    def from_bytes(buffer: npt.NDArray[np.uint8]) -> "Block":
        """Deserialize a block; its arrays are views of the buffer."""
        header = buffer[:64].view("<i8")
        number, n, inputs, targets, kind, table_size, itemsize, fingerprint = (int(v) for v in header)
        dtype = np.dtype(f"f{itemsize}")
        at = 64

        def read(count: int, of: np.dtype[Any]) -> npt.NDArray[Any]:
            nonlocal at
            size = count * of.itemsize
            view = buffer[at : at + size].view(of)
            at += size + -size % 8
            return view

        table, y, w = read(table_size, dtype), read(n * targets, dtype), read(n, dtype)
        fingerprint &= (1 << 64) - 1
        if kind == SPARSE:
            ptr = read(n + 1, np.dtype("<i8"))
            values, indices = read(int(ptr[-1]), dtype), read(int(ptr[-1]), np.dtype("<i4"))
            return Block(number, CSR(ptr, indices, values, inputs), None, y.reshape(n, targets), w, fingerprint)
        x = read(n * inputs, np.dtype("u1") if kind else dtype)
        shaped = x.reshape(n, inputs), table if kind else None, y.reshape(n, targets), w
        return Block(number, *shaped, fingerprint)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 8)


# Keys


def _mixed(v: Keys) -> Keys:
    """Finalize a hash, so that every bit of v affects every bit of the result (David Stafford's mix 13)."""
    v = (v ^ (v >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    v = (v ^ (v >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return v ^ (v >> np.uint64(31))


@functools.lru_cache(16)
def _odd(count: int, *streams: int) -> Keys:
    """Return fixed odd constants for hashing, one per column, for each of the two hashes."""
    starts = np.array(streams, np.uint64)[:, None] << np.uint64(40)
    return _mixed(np.arange(1, count + 1, dtype=np.uint64) + starts) | np.uint64(1)


HEAD = np.dtype("f4")


def _hashed(values: Features, stream: int) -> Keys:
    """Return a multilinear hash of each row's values in float64, to which zeros add nothing.

    A value is hashed as two words: the nearest float32, and the remainder, which is zero for most data and all bytes.
    """
    heads, rests = _odd(values.shape[1], stream, stream + 8)
    if isinstance(values, CSR):
        head, rest = _words(values.values, np.empty(values.values.shape, HEAD), np.empty(values.values.shape))
        terms = head * heads.take(values.indices)
        if rest is not None:
            terms += rest * rests.take(values.indices)
        ends = np.concatenate([np.zeros(1, np.uint64), np.cumsum(terms, dtype=np.uint64)])  # modulo 2^64, so exact
        return ends[values.indptr[1:]] - ends[values.indptr[:-1]]
    rows = max(1, (1 << 17) // max(1, values.shape[1]))
    shape = min(rows, len(values)), values.shape[1]
    singles, doubles = np.empty(shape, HEAD), np.empty(shape)
    out = np.empty(len(values), np.uint64)
    for at in range(0, len(values), rows):
        part = values[at : at + rows]
        head, rest = _words(part, singles[: len(part)], doubles[: len(part)])
        out[at : at + rows] = np.einsum("ij,j->i", head, heads, casting="unsafe")
        if rest is not None:
            out[at : at + rows] += np.einsum("ij,j->i", rest, rests)
    return out


def _words(values: npt.NDArray[Any], head: Array, rest: Array) -> tuple[npt.NDArray[Any], Keys | None]:
    """Split float64 values into float32 and remainder; return the bits of both, None if all remainders are 0.

    Args:
        values: The values.
        head: Memory for the first, float32.
        rest: Memory for the second, float64.
    """
    if values.dtype.itemsize < (4 if values.dtype.kind in "iu" else 5):
        return canonical(values, HEAD, head).view(np.uint32), None
    values = values.astype(np.float64, copy=False)
    try:
        with np.errstate(over="raise"):
            np.add(values, HEAD.type(0), out=head, dtype=HEAD, casting="unsafe")
    except FloatingPointError:
        canonical(values, HEAD, head)
        head[np.isinf(head)] = 0  # the remainder is then the value
    np.copyto(rest, head)
    return head.view(np.uint32), np.subtract(rest, values, out=rest).view(np.uint64)


def row_keys(x: Features, y: Array) -> Keys:
    """Return a 64-bit key of each row's features and targets, which depends on their values, not on their dtype.

    Args:
        x: The features, (n, I), of any real dtype, or non-zeros.
        y: The targets, (n, T).

    Example:
        >>> x, y = np.array([[1, 0], [0, 1]]), np.zeros((2, 1))
        >>> keys = row_keys(x, y)
        >>> bool((keys == row_keys(x.astype("u1"), y)).all()), bool(keys[0] == keys[1])
        (True, False)
    """
    return _mixed(_hashed(x, 0) + _hashed(y, 1))


def row_prints(keys: Keys, w: Array) -> Keys:
    """Return a hash of each row's key and weight, (n,), from which a block's hash is computed."""
    return _mixed(keys + _hashed(w[:, None], 2))


def id_keys(hashes: npt.NDArray[np.int64]) -> Keys:
    """Return row keys made from 64-bit hashes, (n,), of the user's own row identifiers."""
    return _mixed(hashes.view(np.uint64))


# Assignment to blocks


def n_blocks(rows: int, width: int) -> int:
    """Return the number of blocks for rows of a width: so that each has about 2 MiB, or up to 64 smaller ones.

    Example:
        >>> n_blocks(1797, 64), n_blocks(60_000, 784), n_blocks(5, 3)
        (56, 90, 1)
    """
    return max(1, -(-4 * rows * width // BLOCK_BYTES), min(64, rows // 32))


SPARSE_WIDTH = 1 << 12
SPARSE_PART = 64
"""Rows of at least SPARSE_WIDTH values, of which at most one in SPARSE_PART is not 0, are trained on as non-zeros."""


def is_sparse(width: int, nonzeros: int | None, rows: int) -> bool:
    """Return whether rows are stored in sparse form, given their width and number of non-zeros (None: unknown).

    It is decided for all rows of a data set, never by a column's type: docs/design/0006-sparse-rows.md.

    Example:
        >>> is_sparse(1 << 18, 50_000, 1_000), is_sparse(784, 50_000, 1_000)
        (True, False)
    """
    return nonzeros is not None and width >= SPARSE_WIDTH and nonzeros * SPARSE_PART <= width * rows


def count_nonzeros(x: Features, dtype: np.dtype[Any]) -> int | None:
    """Count the non-zeros of x, (n, I), after conversion to `dtype`; None if rows are too short to store sparsely."""
    if x.shape[1] < SPARSE_WIDTH:
        return None
    values = x.values if isinstance(x, CSR) else x
    with np.errstate(over="ignore"):
        return int(np.count_nonzero(values.astype(dtype, copy=False)))


def block_ids(keys: Keys, blocks: int) -> npt.NDArray[np.int64]:
    """Return the number of the block of each row, from the rows' keys."""
    return (keys % np.uint64(blocks)).astype(np.int64)


def heavy_limit(rows: int, blocks: int) -> int:
    """Return how many identical rows may be in one block, before copies are spread over all blocks."""
    return max(32, rows // min(blocks, 1024))


def dealt(key: int, copies: npt.NDArray[np.int64], blocks: int) -> npt.NDArray[np.int64]:
    """Return the block of each copy of a frequent row: one block after another, from the block of its key on.

    Example:
        >>> dealt(2, np.arange(5), 4).tolist()
        [2, 3, 0, 1, 2]
    """
    return (key % blocks + copies) % blocks


# Packing


def pack_block(
    number: int,
    x: Features,
    y: Array,
    w: Array,
    keys: Keys,
    dtype: np.dtype[Any],
    ordered: bool = False,
    table: Array | None = None,
    prints: Keys | None = None,
) -> Block:
    """Encode rows as one block, sorted by (key, weight, bytes) unless they are already `ordered`.

    Args:
        number: The number of the block.
        x: The features, (n, I): any real dtype, non-zeros, or uint8 codes into `table`.
        y: The targets, (n, T).
        w: The weights, (n,).
        keys: The keys, (n,).
        dtype: The dtype of the network.
        ordered: Whether to keep the order.
        table: The values that codes stand for.
        prints: The `row_prints`, if known; then y and w must be canonical.  Otherwise `keys` must be `row_keys`.
    """
    if prints is None:
        y, w = canonical(y, dtype), canonical(w, dtype)
        prints = row_prints(keys, w)
    if isinstance(x, CSR):
        x = x.cast(dtype)
    elif x.dtype == np.uint8:
        table = np.arange(256).astype(dtype) if table is None else table
    else:
        x = canonical(x, dtype)
    fingerprint = int(np.add.reduce(prints, dtype=np.uint64))
    if not ordered and not (keys[1:] > keys[:-1]).all():
        order = _sorted(keys, x, table, y, w)
        x, y, w = x[order], y[order], w[order]
    if table is None and not isinstance(x, CSR):
        x, table = encode(x)
    return Block(number, x, table, y, w, fingerprint)


def _sorted(keys: Keys, x: Features, table: Array | None, y: Array, w: Array) -> npt.NDArray[np.intp]:
    """Return the indices that sort rows by (key, weight, bytes of the row)."""
    order = np.lexsort((w, keys))
    same = np.flatnonzero(keys[order[1:]] == keys[order[:-1]])
    a, b = order[same], order[same + 1]
    if all(_equal(part[a], part[b]) for part in (x, y)):
        return order
    values: Any = x if table is None else table[x]  # type: ignore[index]
    if isinstance(x, CSR):
        values = [np.append(part.indices, part.values) for part in (x[[n]] for n in range(len(x)))]
    return np.array(sorted(order, key=lambda i: (keys[i], w[i], values[i].tobytes(), y[i].tobytes())), np.intp)


def _equal(a: Any, b: Any) -> bool:
    if isinstance(a, CSR):
        return all(np.array_equal(getattr(a, part), getattr(b, part)) for part in ("indptr", "indices", "values"))
    return np.array_equal(a, b)


def pack_arrays(
    x: Features, y: Array, w: Array, dtype: np.dtype[Any], words: int | None = None, keys: Keys | None = None
) -> list[Block]:
    """Divide rows of arrays among blocks by their keys; return the non-empty blocks, ordered by number.

    Args:
        x: The features, (n, I), of any real dtype, or non-zeros.
        y: The targets, (n, T).
        w: The weights, (n,).
        dtype: The dtype of the network.
        words: The size of a row for `n_blocks`; I by default.
        keys: The keys of the rows before any change, (n,), if known.
    """
    keys = row_keys(x, y) if keys is None else keys
    blocks = n_blocks(len(x), words or x.shape[1])
    ids = block_ids(keys, blocks)
    for rows in _heavy(keys, x, y, dtype, heavy_limit(len(keys), blocks)):
        by_weight = rows[np.argsort(w[rows], kind="stable")]
        ids[by_weight] = dealt(int(keys[rows[0]]), np.arange(len(rows)), blocks)
    x, table = (None if isinstance(x, CSR) else all_coded(x, dtype)) or (x, None)
    order = np.lexsort((keys, ids))
    parts = np.split(order, np.searchsorted(ids[order], np.arange(1, blocks)))
    y, w = canonical(y, dtype), canonical(w, dtype)
    prints = row_prints(keys, w)
    return [
        pack_block(number, x[rows], y[rows], w[rows], keys[rows], dtype, table=table, prints=prints[rows])
        for number, rows in enumerate(parts)
        if len(rows)
    ]


def _heavy(keys: Keys, x: Features, y: Array, dtype: np.dtype[Any], limit: int) -> Iterable[npt.NDArray[np.intp]]:
    """Yield, for each distinct row that occurs more than `limit` times, the positions of its copies."""
    distinct, counts = np.unique(keys, return_counts=True)
    for key in distinct[counts > limit]:
        rows = np.flatnonzero(keys == key)
        if alike(x[rows], dtype) and alike(y[rows], dtype):
            yield rows


def alike(values: Features, dtype: np.dtype[Any]) -> bool:
    """Return whether all rows of an array are equal after conversion to `dtype`."""
    if isinstance(values, CSR):
        x, counts = values.cast(dtype), np.diff(values.cast(dtype).indptr)
        return bool((counts == counts[0]).all()) and all(
            alike(part.reshape(len(x), -1), part.dtype) for part in (x.indices, x.values)
        )
    rows = canonical(values, dtype)
    return bool((rows == rows[0]).all())


def pack_in_order(
    x: Features, y: Array, w: Array, dtype: np.dtype[Any], words: int | None = None, keys: Keys | None = None
) -> list[Block]:
    """Divide rows of arrays among blocks in their given order."""
    blocks = n_blocks(len(x), words or x.shape[1])
    keys = row_keys(x, y) if keys is None else keys
    cuts = [len(x) * number // blocks for number in range(blocks + 1)]
    parts = [slice(a, b) for a, b in zip(cuts, cuts[1:], strict=False)]
    y, w = canonical(y, dtype), canonical(w, dtype)
    prints = row_prints(keys, w)
    return [
        pack_block(number, x[rows], y[rows], w[rows], keys[rows], dtype, ordered=True, prints=prints[rows])
        for number, rows in enumerate(parts)
    ]

"""Rows become blocks once: which row is where depends on the rows alone, and no bit of them is lost."""

import numpy as np
import pytest

from firesteel.core.csr import CSR
from firesteel.datasets import load_digits
from firesteel.train.blocks import (
    Block,
    block_ids,
    heavy_limit,
    n_blocks,
    pack_arrays,
    pack_block,
    pack_in_order,
    row_keys,
    row_prints,
)
from firesteel.train.encoding import encode

F4, F8 = np.dtype("f4"), np.dtype("f8")
DTYPES = [F4, F8]
rng = np.random.default_rng(0)
PIXELS = rng.integers(0, 256, (300, 20)).astype(np.uint8)


def rows_of(n=1000, width=5, seed=0):
    """Features, targets and weights of many kinds, all representable in float32."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, width)).astype("f4").astype("f8")
    return x, rng.integers(0, 3, (n, 1)).astype("f8"), rng.integers(1, 4, n).astype("f8")


def keys_of(x, y=None):
    return row_keys(x, np.zeros((len(x), 1)) if y is None else y)


def decoded(block):
    out = np.empty(block.x.shape, block.y.dtype)
    block.features(slice(None), out)
    return out


def bits(blocks):
    return [block.to_bytes() for block in blocks]


def same(a, b):
    """Bit for bit, so that -0.0 is not 0.0."""
    assert a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


# Keys


KINDS = ["?", "u1", "i1", "u2", "i2", "u4", "i4", "i8", "u8", "f2", "f4", "f8", "g", ">f4", ">i4", ">f8"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_key_depends_on_the_values_and_not_on_the_type_they_came_in(kind):
    x = rng.integers(0, 2 if kind == "?" else 100, (50, 7))
    np.testing.assert_array_equal(keys_of(x.astype(kind), x[:, :1].astype(kind)), keys_of(x.astype("f8"), x[:, :1]))


EXTREMES = {
    "f4": [0.1, 1e-45, 1e-38, 3.4e38, -7.0, np.pi, 16_777_217],
    "f8": [0.1, 5e-324, 1e-45, 1e300, -1e300, 3.5e38, np.pi, 16_777_217, 1.7e308],
    "i8": [0, 2**24 + 1, 2**53 - 1, -(2**62), 2**63 - 1],
    "u8": [0, 2**32 + 1, 2**53 - 1, 2**64 - 1],
    "i4": [0, 2**24 + 1, 2**31 - 1, -(2**31)],
}


@pytest.mark.parametrize("kind", EXTREMES)
def test_a_key_is_that_of_the_number_as_float64_however_large_or_small(kind):
    x = np.array(EXTREMES[kind], kind)[:, None]
    keys = keys_of(x)
    np.testing.assert_array_equal(keys, keys_of(x.astype("f8")))
    np.testing.assert_array_equal(keys, keys_of(CSR.of(x)))
    assert [int(key) for key in keys] == [reference_key([float(value)], 0.0) for value in x[:, 0]]
    assert len(set(keys.tolist())) == len(keys)


def test_a_tenth_as_float32_is_another_number_than_a_tenth():
    assert keys_of(np.array([[0.1]], "f4")) != keys_of(np.array([[0.1]]))
    ids = 2.0**25 + np.arange(100_000)[:, None]
    assert len(np.unique(keys_of(ids))) == len(ids)


def test_a_key_depends_on_the_values_and_not_on_how_they_lie_in_memory():
    x, y, _ = rows_of()
    expected = keys_of(x, y)
    np.testing.assert_array_equal(keys_of(np.asfortranarray(x), y), expected)
    np.testing.assert_array_equal(keys_of(np.repeat(x, 2, axis=1)[:, ::2], y), expected)
    np.testing.assert_array_equal(keys_of(x[::-1], y[::-1])[::-1], expected)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_minus_zero_is_zero_everywhere(dtype):
    x, y, w = rng.choice([0.0, 1.0, -2.0, 0.1], (40, 6)), np.zeros((40, 1)), np.zeros(40)
    minus = np.where(x == 0, -0.0, x)
    np.testing.assert_array_equal(keys_of(minus.astype(dtype), -y), keys_of(x.astype(dtype), y))
    assert bits(pack_arrays(minus, -y, -w, dtype)) == bits(pack_arrays(x, y, w, dtype))


def test_zeros_contribute_nothing_so_columns_of_zeros_change_no_key():
    x, y, _ = rows_of(50)
    wider = np.hstack([x, np.zeros((50, 3))])
    np.testing.assert_array_equal(keys_of(wider, y), keys_of(x, y))


def test_every_value_its_column_and_the_target_count():
    x, y = np.array([[1.0, 2.0]]), np.array([[3.0]])
    others = [
        (x + [[1, 0]], y),
        (x[:, ::-1], y),
        (x, y + 1),
        (np.array([[3.0, 2.0]]), np.array([[1.0]])),
        (np.nextafter(x.astype("f4"), 9), y),
        (np.nextafter(x, 9), y),
        (x, np.nextafter(y, 9)),
    ]
    keys = [int(keys_of(*row)[0]) for row in [(x, y), *others]]
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_rows_that_weigh_something_else_make_another_print(dtype):
    x, y, w = rows_of(50)
    (block,), (other,) = (pack_arrays(x[:8], y[:8], w[:8] * by, dtype) for by in (1, 2))
    assert block.fingerprint != other.fingerprint
    assert len(set(row_prints(keys_of(x[:1]).repeat(4), np.arange(4).astype(dtype)).tolist())) == 4


SPREAD = {
    "counter": np.arange(20_000)[:, None],
    "powers of two": np.unique(rng.integers(0, 4, (20_000, 12)) * 64, axis=0),
    "one hot": np.eye(200)[np.arange(20_000) % 200] * (np.arange(20_000)[:, None] // 200 + 1),
    "pixels": np.unique(rng.integers(0, 256, (20_000, 3)), axis=0),
    "normal": rng.normal(size=(20_000, 2)),
}


@pytest.mark.parametrize("blocks", [2, 7, 64, 90])
@pytest.mark.parametrize("name", SPREAD)
def test_keys_of_different_rows_spread_evenly_over_blocks(name, blocks):
    x = SPREAD[name]
    counts = np.bincount(block_ids(keys_of(x), blocks), minlength=blocks)
    chi_square = ((counts - len(x) / blocks) ** 2 / (len(x) / blocks)).sum()
    assert chi_square < blocks - 1 + 5 * np.sqrt(2 * (blocks - 1)) + 5


def test_the_key_of_a_row_is_this_in_every_version():
    assert int(keys_of(np.array([[1.0, 0.1]]), np.array([[3.0]]))[0]) == reference_key([1, 0.1], 3)
    assert reference_key([1, 0.1], 3) == 8546684340920409727


def reference_key(x, y):
    """The documented hash in plain integers: odd constants times words of the next float32 and of the rest; mixed."""

    def mixed(v):
        v = ((v ^ (v >> 30)) * 0xBF58476D1CE4E5B9) % 2**64
        v = ((v ^ (v >> 27)) * 0x94D049BB133111EB) % 2**64
        return v ^ (v >> 31)

    def odd(column, stream):
        return mixed(column + 1 + (stream << 40)) | 1

    def term(value, column, stream):
        head = np.float32(value) if abs(value) < 3.5e38 - 1e37 else np.float32(0)
        rest = int(np.float64(float(head) - value).view("u8"))
        return int(head.view("u4")) * odd(column, stream) + rest * odd(column, stream + 8)

    return mixed((sum(term(value, column, 0) for column, value in enumerate(x)) + term(y, 0, 1)) % 2**64)


# How many blocks


@pytest.mark.parametrize(
    "rows, width", [(1, 1), (31, 4), (64, 4), (5000, 4), (60_000, 784), (10**7, 100), (3, 10**6)]
)
def test_the_number_of_blocks_follows_its_formula(rows, width):
    by_size = int(np.ceil(4 * rows * width / (2 * 1024 * 1024)))
    assert n_blocks(rows, width) == max(1, by_size, min(64, rows // 32))


# Encoding


FEW_NEGATIVE = rng.choice([-1.5, -0.25, 0.0, 3.125, 1e30], (200, 4))
TABLES = {
    "pixels": PIXELS.astype("f8"),
    "pixels / 255": PIXELS / 255,
    "digits": load_digits()[0][0].reshape(-1, 64).astype("f8"),
    "digits / 16": load_digits()[0][0].reshape(-1, 64) / 16,
    "one hot": np.eye(8)[np.arange(50) % 8],
    "few negative": FEW_NEGATIVE,
    "256 values": np.linspace(-1, 1, 256)[np.arange(512) % 256].reshape(-1, 4),
    "denormals": np.array([0.0, 1e-40, 3e-40, 1e-45])[np.arange(80) % 4].reshape(-1, 4),
    "denormals and negatives": np.array([-1e-40, 1e-40, 0.0, 2.0])[np.arange(80) % 4].reshape(-1, 4),
    "few large": np.array([0.0, 1e6, 2e6, -3e30])[np.arange(80) % 4].reshape(-1, 4),
    "constant": np.full((9, 3), 0.1),
    "constant 0": np.zeros((9, 3)),
    "one row": np.array([[0.3, -0.7]]),
    "thirds": np.arange(100).reshape(-1, 4) / 3 % 5,
}
PLAIN = {
    "257 values": np.linspace(-1, 1, 257)[np.arange(1028) % 257].reshape(-1, 4),
    "many": rng.normal(size=(500, 4)),
    "many late": np.concatenate([np.zeros(8000), rng.normal(size=8000)]).reshape(-1, 4),
    "no row": np.zeros((0, 3)) + 0.5,
}


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", TABLES)
def test_few_values_are_stored_as_one_byte_each_and_nothing_is_lost(name, dtype):
    x = TABLES[name].astype(dtype)
    codes, table = encode(x)
    assert codes.dtype == np.uint8 and len(table) <= 256
    same(table[codes], x)
    block = pack_block(0, x, np.zeros((len(x), 1)), np.ones(len(x)), keys_of(x), dtype, ordered=True)
    assert block.x.dtype == np.uint8
    same(decoded(block), x)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", PLAIN)
def test_many_values_are_stored_as_they_are(name, dtype):
    x = PLAIN[name].astype(dtype)
    codes, table = encode(x)
    assert len(x) == 0 or table is None
    same(codes if table is None else table[codes], x)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_bytes_are_kept_as_bytes_and_mean_their_numbers(dtype):
    keys = keys_of(PIXELS)
    block = pack_block(0, PIXELS, np.zeros((300, 1)), np.ones(300), keys, dtype, ordered=True)
    assert block.x is PIXELS and block.divisor == 1
    same(decoded(block), PIXELS.astype(dtype))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("d", [1, 2, 3, 7, 15, 16, 100, 127, 255, 1000, 4095])
def test_decoding_by_a_divisor_gives_the_bits_of_decoding_by_the_table(d, dtype):
    x = (rng.integers(0, 256, (200, 6)) / d).astype(dtype)
    x[0] = dtype.type(1) / dtype.type(d)
    block = pack_block(0, x, np.zeros((200, 1)), np.ones(200), keys_of(x), dtype, ordered=True)
    assert block.divisor == d
    same(decoded(block), block.table[block.x])
    same(decoded(block), x)


def test_a_table_that_no_divisor_makes_has_none():
    for values in ([0.0, 0.1, 0.3], [-1.0, 1.0], [5.0], [0.0, 1e-40], [0.0, 5e8]):
        x = np.array([values] * 2, "f4")
        table = np.array(values, "f4")
        assert Block(0, x.astype("u1"), table, x[:, :1], x[:, 0], 0).divisor is None


@pytest.mark.parametrize("name", ["pixels / 255", "few negative", "257 values"])
def test_any_rows_are_decoded_in_the_order_asked_for(name):
    x = {**TABLES, **PLAIN}[name].astype("f4")
    block = pack_block(0, x, np.zeros((len(x), 1)), np.ones(len(x)), keys_of(x), F4, ordered=True)
    chosen = np.array([5, 0, 5, len(x) - 1])
    out = np.empty((4, x.shape[1]), "f4")
    block.features(chosen, out)
    same(out, x[chosen])
    block.features(slice(2, 6), out)
    same(out, x[2:6])


# Bytes


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", {**TABLES, **PLAIN})
def test_a_block_survives_its_bytes(name, dtype):
    x = {**TABLES, **PLAIN}[name]
    n = len(x)
    y, w = rng.normal(size=(n, 3)), rng.uniform(size=n)
    block = pack_block(7, x, y, w, keys_of(x, y), dtype)
    data = block.to_bytes()
    assert len(data) % 8 == 0
    again = Block.from_bytes(np.frombuffer(data, np.uint8))
    assert (again.id, again.fingerprint, len(again)) == (7, block.fingerprint, n)
    assert again.weight == block.weight and again.divisor == block.divisor
    for a, b in ((again.x, block.x), (again.y, block.y), (again.w, block.w), (decoded(again), decoded(block))):
        same(a, b)
    assert again.to_bytes() == data


def test_a_block_read_from_bytes_holds_views_of_them():
    (block,) = pack_in_order(PIXELS[:40], np.zeros((40, 1)), np.ones(40), F4)
    buffer = np.frombuffer(block.to_bytes(), np.uint8)
    again = Block.from_bytes(buffer)
    for array in (again.x, again.y, again.w, again.table):
        assert np.shares_memory(array, buffer) and not array.flags.writeable


def test_a_block_says_the_sum_of_its_keys_and_weights():
    x, y, w = rows_of(20)
    keys = keys_of(x, y)
    block = pack_block(0, x, y, w, keys, F4)
    assert block.fingerprint == sum(row_prints(keys, w.astype("f4")).tolist()) % 2**64 and block.weight == w.sum()


# Packing


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_order_of_the_rows_does_not_matter(seed, dtype):
    x, y, w = rows_of(2000)
    order = np.random.default_rng(seed).permutation(2000)
    blocks, shuffled = pack_arrays(x, y, w, dtype), pack_arrays(x[order], y[order], w[order], dtype)
    assert len(blocks) > 32 and [b.fingerprint for b in blocks] == [b.fingerprint for b in shuffled]
    assert bits(blocks) == bits(shuffled)


@pytest.mark.parametrize("kind", ["u1", "i4", "f4", "f8"])
def test_the_type_of_the_rows_does_not_matter(kind):
    y, w = np.arange(300)[:, None] % 3, np.ones(300)
    blocks, expected = pack_arrays(PIXELS.astype(kind), y, w, F4), pack_arrays(PIXELS.astype("f8"), y, w, F4)
    assert [b.fingerprint for b in blocks] == [b.fingerprint for b in expected]
    for block, other in zip(blocks, expected, strict=True):
        same(decoded(block), decoded(other))
        same(block.y, other.y)


def test_every_row_is_in_the_block_of_its_key_once_and_sorted_there():
    x, y, w = rows_of(2000)
    blocks = pack_arrays(x, y, w, F4)
    assert [b.id for b in blocks] == list(range(n_blocks(2000, 5)))
    for block in blocks:
        keys = keys_of(decoded(block), block.y)
        assert (block_ids(keys, len(blocks)) == block.id).all() and (keys[1:] >= keys[:-1]).all()
    found = np.concatenate([np.hstack([decoded(b), b.y, b.w[:, None]]) for b in blocks])
    given = np.hstack([x, y, w[:, None]]).astype("f4")
    np.testing.assert_array_equal(found[np.lexsort(found.T)], given[np.lexsort(given.T)])


def test_rows_of_one_key_are_sorted_by_their_bytes():
    x, y, w = rng.normal(size=(40, 2)), np.zeros((40, 1)), np.ones(40)
    keys = np.zeros(40, np.uint64)
    order = rng.permutation(40)
    one = pack_block(0, x, y, w, keys, F8)
    other = pack_block(0, x[order], y, w, keys, F8)
    assert one.to_bytes() == other.to_bytes()


@pytest.mark.parametrize("share", [0.5, 0.9, 1.0])
def test_copies_of_one_row_are_spread_evenly_wherever_they_stand(share):
    x, y, w = rows_of(3000)
    copies = int(3000 * share)
    x[:copies], y[:copies], w[:copies] = x[0], y[0], w[0]
    blocks = pack_arrays(x, y, w, F4)
    sizes = [len(block) for block in blocks]
    assert sum(sizes) == 3000 and max(sizes) <= 2 * np.mean(sizes) and len(sizes) == n_blocks(3000, 5)
    order = np.random.default_rng(9).permutation(3000)
    assert bits(blocks) == bits(pack_arrays(x[order], y[order], w[order], F4))


def test_several_heavy_rows_are_spread_each_by_itself():
    x, y, w = rows_of(4000)
    x[:1500], y[:1500], w[:1500] = x[0], y[0], w[0]
    x[1500:3000], y[1500:3000], w[1500:3000] = x[1500], y[1500], w[1500]
    blocks = pack_arrays(x, y, w, F4)
    sizes = [len(block) for block in blocks]
    assert sum(sizes) == 4000 and max(sizes) <= 2 * np.mean(sizes)
    order = np.random.default_rng(9).permutation(4000)
    assert bits(blocks) == bits(pack_arrays(x[order], y[order], w[order], F4))


@pytest.mark.parametrize("share", [0.3, 1.0])
def test_copies_are_dealt_in_the_order_of_their_weights(share):
    x, y, w = rows_of(3000)
    copies = int(3000 * share)
    x[:copies], y[:copies], w = x[0], y[0], np.round(np.random.default_rng(1).uniform(1, 9, 3000), 1)
    order = np.random.default_rng(9).permutation(3000)
    for dtype in DTYPES:
        blocks = pack_arrays(x, y, w, dtype)
        assert bits(blocks) == bits(pack_arrays(x[order], y[order], w[order], dtype))
        for block in blocks:
            of_it = block.w[(decoded(block) == x[0].astype(dtype)).all(axis=1)]
            assert (np.diff(of_it) >= 0).all() and abs(len(of_it) - copies / len(blocks)) <= 2
            assert abs(of_it.mean() - w[:copies].mean()) < 0.5, "each block gets small ones and large ones"


@pytest.mark.parametrize("copies", [1, 20, 900])
@pytest.mark.parametrize("kind", ["f4", "f8", "u1"])
def test_order_depends_neither_on_the_scale_of_weights_nor_on_the_dtype(kind, copies):
    x, y, w = rows_of(1000, 2)
    x, w = (100 + 50 * x).astype(kind), np.random.default_rng(1).uniform(0.5, 2, 1000)
    x[:copies], y[:copies] = x[0], y[0]
    blocks, others = pack_arrays(x, y, w, F4), [pack_arrays(x, y, 2 * w, F4), pack_arrays(x, y, w, F8)]
    for other, by in zip(others, (2, 1), strict=True):
        assert [block.id for block in blocks] == [block.id for block in other]
        for a, b in zip(blocks, other, strict=True):
            same(decoded(a), decoded(b).astype("f4"))
            same(a.y, b.y.astype("f4"))
            same(a.w * by, b.w.astype("f4"))
    unit = pack_arrays(x, y, np.ones(1000), F4)
    assert [np.sort(decoded(a), axis=0).tobytes() for a in blocks] == [
        np.sort(decoded(b), axis=0).tobytes() for b in unit
    ]


def test_a_row_is_heavy_above_a_fair_block():
    assert [heavy_limit(*case) for case in ((100, 3), (64_000, 64), (10**7, 10**5))] == [33, 1000, 9765]


@pytest.mark.parametrize("rows", [1, 31, 100, 1000])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_packing_in_order_keeps_the_order(rows, dtype):
    x, y, w = rows_of(rows)
    blocks = pack_in_order(x, y, w, dtype)
    assert [b.id for b in blocks] == list(range(n_blocks(rows, 5)))
    same(np.concatenate([decoded(b) for b in blocks]), x.astype(dtype))
    same(np.concatenate([b.y for b in blocks]), y.astype(dtype))
    same(np.concatenate([b.w for b in blocks]), w.astype(dtype))
    assert max(map(len, blocks)) - min(map(len, blocks)) <= 1


def test_what_was_given_is_not_written_to():
    x, y, w = rows_of(200)
    x[0, 0] = -0.0
    copies = x.tobytes(), y.tobytes(), w.tobytes()
    for array in (x, y, w):
        array.flags.writeable = False
    pack_arrays(x, y, w, F8)
    pack_in_order(x, y, w, F8)
    assert (x.tobytes(), y.tobytes(), w.tobytes()) == copies


@pytest.mark.parametrize("dtype", [F4, F8], ids=str)
@pytest.mark.parametrize("top", [1, 16, 255])
def test_rows_of_whole_numbers_have_keys_of_their_own(dtype, top):
    x = np.unique(np.random.default_rng(0).integers(0, top + 1, (20_000, 64), dtype=np.uint8), axis=0)
    assert len(np.unique(keys_of(x.astype(dtype)))) == len(x)

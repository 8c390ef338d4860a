"""Randomness has an address: the same numbers from the same place, whatever happened before."""

import itertools
import math

import numpy as np
import pytest

from firesteel.core.layers import Dropout, GaussianNoise
from firesteel.core.seeds import CACHED, Stream, rng_for, stream_for, word

PATHS = [
    (),
    ("init", 0, "w"),
    ("init", 0, "b"),
    ("init", 1, "w"),
    ("blocks", 0, 0),
    ("blocks", 0, 1),
    ("blocks", 1, 0),
    ("rows", 0, 0),
    ("op", 0, 0, 0, 0, 0),
    ("op", 0, 0, 0, 0, 1),
    ("op", 0, 0, 0, 1, 0),
    ("op", 0, 0, 1, 0, 0),
    ("op", 0, 1, 0, 0, 0),
    ("op", 1, 0, 0, 0, 0),
    ("op", 0, 0, 0, 0),
]


def numbers(seed, path):
    return tuple(rng_for(seed, *path).bit_generator.random_raw(4).tolist())


def test_an_address_gives_the_same_numbers_in_any_order_of_asking():
    forwards = {path: numbers(3, path) for path in PATHS}
    backwards = {path: numbers(3, path) for path in reversed(PATHS)}
    assert forwards == backwards


def test_different_addresses_and_seeds_give_different_numbers():
    found = [numbers(seed, path) for seed, path in itertools.product((0, 1, 2**64, 2**200), PATHS)]
    assert len(set(found)) == len(found)


def test_taking_numbers_from_one_stream_leaves_the_others_alone():
    a = rng_for(0, "rows", 1)
    a.random(1000)
    assert numbers(0, ("rows", 2)) == numbers(0, ("rows", 2)) != numbers(0, ("rows", 1))


def test_neighbouring_addresses_are_not_correlated():
    draws = np.array([rng_for(0, "op", 0, 0, 0, step, 0).standard_normal(2000) for step in range(20)])
    correlation = np.corrcoef(draws) - np.eye(20)
    assert np.abs(correlation).max() < 0.11


def test_the_numbers_are_these_in_every_version():
    assert rng_for(7, "dropout", 2, 0).bit_generator.random_raw() == GOLDEN[0]
    assert rng_for(0).bit_generator.random_raw() == GOLDEN[1]


# from SeedSequence(7, spawn_key=(crc32(b"dropout"), 2, 0)) and SeedSequence(0); a change breaks every saved result
GOLDEN = [10681617252287204282, 11749869230777074271]


@pytest.mark.parametrize("path", PATHS)
def test_the_global_generator_is_neither_read_nor_moved(path):
    np.random.seed(1)
    before = np.random.get_state()[1].copy()
    first = numbers(0, path)
    np.testing.assert_array_equal(np.random.get_state()[1], before)
    np.random.seed(2)
    assert numbers(0, path) == first


# Streams of words that are counted


WORDS = [1099995208059858758, 9183655837204386491, 6284484207611528103]
"""The key of ("op", 2, 0, 1, 5, 0) under the seed 7, and its first two words."""
EMPTY, LARGE = 10451216379200822465, 12757805329729430776
NORMAL = [-0.8916857, 0.012063267, -1.1817168]
KEPT = "1101011111101110"


def mixed(z):
    """The mixing function of SplitMix64, in whole numbers of any size."""
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 % 2**64
    z = (z ^ z >> 27) * 0x94D049BB133111EB % 2**64
    return z ^ z >> 31


def test_the_words_are_those_of_splitmix64():
    """The first of seed 1234567 are the test vector that other implementations print."""
    known = [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431, 16408922859458223821]
    assert Stream(1234567).words(5).tolist() == known == [word(1234567, number) for number in range(5)]
    for key in (0, 1, 2**63, 2**64 - 1, 0x0123456789ABCDEF):
        counted = [mixed((key + (number + 1) * 0x9E3779B97F4A7C15) % 2**64) for number in range(100)]
        assert Stream(key).words(100).tolist() == counted == [word(key, number) for number in range(100)]


def test_a_stream_is_these_numbers_in_every_version():
    """A change breaks every saved result."""
    stream = stream_for(7, "op", 2, 0, 1, 5, 0)
    assert stream.key == WORDS[0] and stream.words(2).tolist() == WORDS[1:]
    assert stream_for(0).key == EMPTY and stream_for(2**64 + 3, "op").key == LARGE
    assert stream.halves(3).tolist() == [WORDS[1] % 2**32, WORDS[1] >> 32, WORDS[2] % 2**32]
    np.testing.assert_allclose(stream.normal((3,)), NORMAL, rtol=1e-5)
    kept = Dropout(0.25).mask(stream, (2, 8), np.dtype("f4")) > 0
    assert "".join("01"[int(bit)] for bit in kept.ravel()) == KEPT


def test_an_element_depends_on_its_address_and_its_number_alone():
    stream = stream_for(1, "op", 0)
    for short, long in itertools.pairwise([0, 1, 2, 3, 31, 32, 33, 1000]):
        assert stream.words(short).tolist() == stream.words(long)[:short].tolist()
        assert stream.halves(short).tolist() == stream.halves(long)[:short].tolist()
        assert stream.normal((short,)).tobytes() == stream.normal((long,))[:short].tobytes()
        assert stream.words(long - short, short).tolist() == stream.words(long)[short:].tolist()
    assert stream.normal((4, 5)).tobytes() == stream.normal((20,)).tobytes()
    long = 2 * CACHED + 3
    assert stream.normal((long,))[-5:].tobytes() == stream.normal((long + 1,))[-6:-1].tobytes()
    bits = [word(stream.key, number // 2) >> 32 * (number % 2) & 2**32 - 1 for number in range(long)]
    assert stream.halves(long).tolist() == bits
    assert (Dropout(0.5).mask(stream, (long,), np.dtype("f4")) > 0).tolist() == [half >= 2**31 for half in bits]


@pytest.mark.parametrize("op", [Dropout(0.3), Dropout(0.999), GaussianNoise(0.7)], ids=repr)
def test_networks_of_both_dtypes_meet_the_same_masks_and_noise(op):
    x = np.ones((37, 21))
    narrow, wide = (op.apply({}, x.astype(dtype), stream_for(3))[0] for dtype in ("float32", "float64"))
    assert narrow.dtype == np.float32 and wide.dtype == np.float64
    np.testing.assert_allclose(narrow, wide, rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(narrow == 0, wide == 0)


def test_addresses_do_not_run_into_one_another():
    paths = [
        *PATHS,
        ("op", 0, 0, 0),
        ("op", 2**32, 0),
        ("op", 0, 2**32),
        *(("op", 0, 0, 0, step, 0) for step in range(50)),
    ]
    seeds = (0, 1, 2, 2**64 - 1, 2**64, 2**64 + 1, 2**128, 2**200)
    assert len({stream_for(seed, *path).key for seed in seeds for path in paths}) == len(seeds) * len(set(paths))
    counted = [
        stream_for(7, "op", *address).key
        for address in itertools.product(range(4), range(6), range(4), range(250), range(4))
    ]
    assert len(set(counted)) == len(counted)
    words = np.concatenate([Stream(key).words(8) for key in counted[:20_000]])
    assert len(np.unique(words)) == len(words)


def z_scores(bits):
    """How many deviations each column's mean of bits is from 1/2.  bits: (n, B), of 0 and 1."""
    return (bits.mean(axis=0) - 0.5) * 2 * np.sqrt(len(bits))


def unpacked(words):
    """The 64 bits of each word, (n, 64)."""
    return np.unpackbits(words.astype("<u8").view(np.uint8).reshape(-1, 8), axis=1, bitorder="little")


NEIGHBOURS = {
    "elements": lambda n: (
        stream_for(5, "op", 1, 2, 0, 3, 0).words(n + 1)[:n],
        stream_for(5, "op", 1, 2, 0, 3, 0).words(n + 1)[1:],
    ),
    "parts": lambda n: firsts(n, lambda at: ("op", 1, 2, 0, 3, at)),
    "steps": lambda n: firsts(n, lambda at: ("op", 1, 2, 0, at, 0)),
    "shards": lambda n: firsts(n, lambda at: ("op", 1, 2, at, 3, 0)),
    "epochs": lambda n: firsts(n, lambda at: ("op", 1, at, 0, 3, 0)),
    "ops": lambda n: firsts(n, lambda at: ("op", at, 2, 0, 3, 0)),
    "seeds": lambda n: (
        np.array([word(stream_for(at, "op", 1).key, 0) for at in range(n)], np.uint64),
        np.array([word(stream_for(at + 1, "op", 1).key, 0) for at in range(n)], np.uint64),
    ),
}


def firsts(n, path):
    """The first word at each of n neighbouring addresses, and at the next one of each."""
    found = np.array([word(stream_for(5, *path(at)).key, 0) for at in range(n + 1)], np.uint64)
    return found[:-1], found[1:]


@pytest.mark.parametrize("name", NEIGHBOURS)
def test_bits_are_fair_and_neighbours_share_none_of_them(name):
    """Each bit is 1 half of the time; each pair of bits, of a word and of its neighbour, agrees half of the time."""
    here, there = NEIGHBOURS[name](20_000)
    a, b = unpacked(here), unpacked(there)
    assert np.abs(z_scores(a)).max() < 4.5
    signs = [2.0 * bits - 1 for bits in (a, b)]
    across = signs[0].T @ signs[1] / np.sqrt(len(here))
    within = signs[0].T @ signs[0] / np.sqrt(len(here)) * (1 - np.eye(64))
    assert np.abs(across).max() < 5.2 and np.abs(within).max() < 5.2
    assert abs((across**2).sum() - 64 * 64) < 5 * np.sqrt(2 * 64 * 64)


def test_halves_are_uniform_in_all_their_ranges():
    halves = stream_for(11, "op", 0).halves(1 << 20)
    for shift, cells in ((24, 256), (16, 256), (8, 256), (0, 256)):
        counts = np.bincount((halves >> np.uint32(shift)) % cells, minlength=cells)
        expected = len(halves) / cells
        chi = ((counts - expected) ** 2 / expected).sum()
        assert abs(chi - (cells - 1)) < 5 * np.sqrt(2 * cells)
    pairs = np.bincount((halves[::2] >> np.uint32(28)) * 16 + (halves[1::2] >> np.uint32(28)), minlength=256)
    assert abs(((pairs - 2048) ** 2 / 2048).sum() - 255) < 5 * np.sqrt(2 * 256)


@pytest.mark.parametrize("rate", [1e-6, 0.001, 0.1, 0.25, 0.5, 0.9, 0.999])
def test_masks_drop_at_their_rate_and_keep_the_mean(rate):
    n = 1 << 22
    mask = Dropout(rate).mask(stream_for(2, "op", 3), (1 << 11, 1 << 11), np.dtype("f4"))
    dropped = int((mask == 0).sum())
    assert abs(dropped - rate * n) < 5 * np.sqrt(n * rate * (1 - rate)) + 1
    assert set(np.unique(mask)) <= {np.float32(0), np.float32(1 / (1 - rate))}
    least = min(round(rate * 2**32), 2**32 - 1)
    assert abs(least / 2**32 - rate) <= 2**-33, "the rate is exact to the last of 32 bits"


def test_a_rate_next_to_1_still_keeps_one_element_in_four_billion():
    mask = Dropout(1 - 1e-15).mask(stream_for(0), (100,), np.dtype("f8"))
    assert not mask.any() and np.isfinite(mask).all()


def test_noise_is_normal():
    z = stream_for(4, "op", 1).normal((1 << 20,)).astype(float)
    n = len(z)
    assert z.dtype == float and np.isfinite(z).all()
    assert abs(z.mean()) < 5 / np.sqrt(n) and abs(z.var() - 1) < 5 * np.sqrt(2 / n)
    assert abs((z**3).mean()) < 5 * np.sqrt(15 / n) and abs((z**4).mean() - 3) < 5 * np.sqrt(96 / n)
    edges = np.array([math.erf(x / math.sqrt(2)) / 2 + 0.5 for x in np.linspace(-4, 4, 81)])
    counts = np.histogram(z, np.concatenate([[-np.inf], np.linspace(-4, 4, 81), [np.inf]]))[0]
    expected = n * np.diff(np.concatenate([[0], edges, [1]]))
    assert abs(((counts - expected) ** 2 / expected).sum() - 81) < 5 * np.sqrt(2 * 81)
    assert 4.5 < np.abs(z).max() < 6.8
    for lag in (1, 2, 3, 64):
        assert abs((z[:-lag] * z[lag:]).mean()) < 5 / np.sqrt(n), (
            "neighbours, and the two of a word, have nothing in common"
        )
    assert abs((z[::2] ** 2 * z[1::2] ** 2).mean() - 1) < 5 * np.sqrt(8 / len(z[::2]))


def test_streams_of_neighbouring_steps_are_independent():
    draws = np.array([stream_for(0, "op", 0, 0, 0, step, 0).normal((2000,)) for step in range(40)])
    correlation = np.corrcoef(draws) - np.eye(40)
    assert np.abs(correlation).max() < 5.2 / np.sqrt(2000)
    masks = np.array(
        [Dropout(0.5).mask(stream_for(0, "op", op, 0, 0, 3, 0), (2000,), np.dtype("f8")) for op in range(40)]
    )
    assert np.abs(np.corrcoef(masks) - np.eye(40)).max() < 5.2 / np.sqrt(2000)

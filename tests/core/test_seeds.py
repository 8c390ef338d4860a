"""Randomness has an address: the same numbers from the same place, whatever happened before."""

import itertools

import numpy as np
import pytest

from firesteel.core.seeds import rng_for

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

"""Rows brought to the driver: the very rows of the first blocks, whatever the shards, and never too many."""

import numpy as np
import pytest

from firesteel.layers import Dense
from firesteel.models import Sequential
from firesteel.tables import sampling
from firesteel.tables.sampling import first_rows, sample
from firesteel.train.blocks import pack_arrays
from firesteel.train.engine import LocalEngine

RNG = np.random.default_rng(0)
X = RNG.normal(size=(1000, 3)).astype(np.float32).astype(np.float64)
Y, W = RNG.integers(0, 3, (1000, 1)).astype(float), RNG.integers(1, 4, 1000).astype(float)


def sampled(shards=1, dtype="float32"):
    return sample(*opened(shards, X, Y, W, dtype))


def opened(shards, x, y, w, dtype="float32"):
    model = Sequential([Dense(3, "softmax", input_dim=3)], dtype=dtype)
    model.compile("sgd", "sparse_categorical_crossentropy")
    return LocalEngine(pack_arrays(x, y, w, np.dtype(dtype)), shards), model._objective(), model.theta


def lines(x, y, w):
    return sorted(map(tuple, np.hstack([x, y, np.reshape(w, (-1, 1))]).tolist()))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shards", [1, 3])
def test_few_rows_all_come_as_they_were(shards, dtype):
    x, y, w = sampled(shards, dtype)
    assert x.dtype == dtype and lines(x, y, w) == lines(X, Y, W)


@pytest.mark.parametrize("most", [1, 250, 999])
def test_of_many_rows_some_come_and_the_same_from_any_number_of_shards(monkeypatch, most):
    monkeypatch.setattr(sampling, "MOST_ROWS", most)
    first = sampled()
    assert len(first[0]) == most and set(lines(*first)) <= set(lines(X, Y, W))
    for shards in (2, 5):
        for ours, theirs in zip(first, sampled(shards), strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_wide_rows_are_fewer(monkeypatch):
    monkeypatch.setattr(sampling, "MOST_BYTES", 200)
    assert len(sampled()[0]) == 200 // (5 * 4)


# The first rows by their keys


@pytest.mark.parametrize("bytes_at_most", [sampling.MOST_BYTES, 8 * 3 * 100])
def test_the_first_rows_are_the_same_in_any_shards_and_order(monkeypatch, bytes_at_most):
    monkeypatch.setattr(sampling, "MOST_BYTES", bytes_at_most)  # the second is so little that keys come first
    order = np.random.default_rng(1).permutation(1000)
    found = [first_rows(*opened(shards, X, Y, W), 100) for shards in (1, 2, 5)]
    found.append(first_rows(*opened(3, X[order], Y[order], W[order]), 100))
    assert [len(one[0]) for one in found] == [100] * 4 and set(lines(*found[0])) <= set(lines(X, Y, W))
    for others in found[1:]:
        for ours, theirs in zip(found[0], others, strict=True):
            np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("shards", [1, 4])
def test_of_few_rows_with_many_copies_each_has_its_share(shards):
    x, y, w = (np.repeat(part[:3], (600, 300, 100), axis=0) for part in (X, Y, np.ones(3)))
    few, _, weights = first_rows(*opened(shards, x, y, w), 100)
    counts = [int((few == one.astype("f4")).all(axis=1).sum()) for one in X[:3]]
    assert counts == [60, 30, 10] and weights.sum() == 100
    all_of_them, _, _ = first_rows(*opened(shards, x, y, w), 5000)
    assert len(all_of_them) == 1000

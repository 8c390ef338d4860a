"""Rows brought to the driver: the very rows of the first blocks, whatever the shards, and never too many."""

import numpy as np
import pytest

from firesteel.layers import Dense
from firesteel.models import Sequential
from firesteel.tables import sampling
from firesteel.tables.sampling import sample
from firesteel.train.blocks import pack_arrays
from firesteel.train.engine import LocalEngine

RNG = np.random.default_rng(0)
X = RNG.normal(size=(1000, 3)).astype(np.float32).astype(np.float64)
Y, W = RNG.integers(0, 3, (1000, 1)).astype(float), RNG.integers(1, 4, 1000).astype(float)


def sampled(shards=1, dtype="float32"):
    model = Sequential([Dense(3, "softmax", input_dim=3)], dtype=dtype)
    model.compile("sgd", "sparse_categorical_crossentropy")
    blocks = pack_arrays(X, Y, W, np.dtype(dtype))
    return sample(LocalEngine(blocks, shards), model._objective(), model.theta)


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

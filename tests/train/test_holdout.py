"""What is held out where nobody has said it: a share by key, never the last rows of a class, nothing of few rows."""

import numpy as np
import pytest

from firesteel.tables.holdout import HoldOut
from firesteel.tables.policy import Tally, settled

BELOW = 2**64 // 10
"""Keys below it are held out."""


def keys_of(rng, n, share=0.1):
    """Random keys, of which this share is below the limit."""
    low = rng.random(n) < share
    return np.where(low, rng.integers(0, BELOW, n, np.uint64), rng.integers(BELOW + 2**12, 2**64 - 1, n, np.uint64))


def tally(keys, y, w, hold, classes=True):
    y = np.asarray(y, float)[:, None]
    return Tally.of(keys, y, np.asarray(w, float), hold.rows(keys, y), classes)


def decided(keys, y, w=None, classes=True, parts=1, rng=None):
    """What is held out of rows that lie in so many parts, and which rows those are."""
    w = np.ones(len(keys)) if w is None else w
    order = np.arange(len(keys)) if rng is None else rng.permutation(len(keys))
    pieces = np.array_split(order, parts)
    hold, said = settled(lambda hold: Tally.sum([tally(keys[p], y[p], w[p], hold, classes) for p in pieces]))
    return hold, hold.rows(keys, np.asarray(y, float)[:, None]), said


def expected(keys, y, w, classes):
    """The same by brute force."""
    out = keys < np.uint64(BELOW)
    for number in np.unique(y) if classes else [0]:
        rows = np.flatnonzero((np.asarray(y) == number) & (w > 0)) if classes else np.flatnonzero(w > 0)
        last = np.sort(keys[rows])[-5:]
        kept = last[0] if len(last) == 5 else np.uint64(0)
        of = np.asarray(y) == number if classes else np.ones(len(keys), bool)
        out &= ~(of & (keys >= kept))
    n, held = (w > 0).sum(), (out & (w > 0)).sum()
    return out if n >= 500 and 5 <= held <= 0.2 * n else np.zeros(len(keys), bool)


@pytest.mark.parametrize("seed", range(40))
def test_it_is_what_the_rule_says_however_the_rows_lie(seed):
    rng = np.random.default_rng(seed)
    n = int(rng.choice([300, 499, 500, 501, 700, 3000]))
    y = rng.choice(np.arange(40), n, p=np.arange(1, 41) ** -1.6 / (np.arange(1, 41) ** -1.6).sum())
    keys = keys_of(rng, n, rng.choice([0.005, 0.1, 0.3]))
    copies = rng.integers(0, n, n // 3)
    keys[copies], y[copies] = keys[copies[0]], y[copies[0]]  # one row many times over
    w = (rng.random(n) > rng.choice([0, 0.3])) * rng.choice([1.0, 2.5], n)
    for classes in (True, False):
        found = [decided(keys, y, w, classes, parts, rng) for parts in (1, 3, 20)]
        assert len({hold for hold, _, _ in found}) == len({said for _, _, said in found}) == 1
        np.testing.assert_array_equal(found[0][1], expected(keys, y, w, classes))


@pytest.mark.parametrize("n, held", [(499, False), (500, True), (501, True)])
def test_it_begins_at_500_rows_of_a_weight(n, held):
    rng = np.random.default_rng(0)
    keys, y = keys_of(rng, n + 100), rng.integers(0, 2, n + 100)
    w = np.append(np.ones(n), np.zeros(100))
    _, out, said = decided(keys, y, w)
    assert out.any() == held and f"{n:,}" in said
    assert not held or 0.05 < out.mean() < 0.15


def test_five_rows_of_each_class_stay_and_equal_rows_stay_together():
    keys = np.r_[np.arange(1, 1001, dtype=np.uint64) << np.uint64(54), np.arange(8, dtype=np.uint64)]
    y = np.r_[np.zeros(1000), np.ones(8)]
    hold, out, _ = decided(keys, y)
    assert out[1000:].tolist() == [True] * 3 + [False] * 5 and hold.limits == ((1, 3),)
    keys[1003:] = 2  # now the last five are copies of the third
    assert decided(keys, y)[1][1000:].tolist() == [True] * 2 + [False] * 6
    keys[1000:] = 7  # and now all are one row
    assert not decided(keys, y)[1][1000:].any()
    assert decided(keys, y, classes=False)[1][1000:].all(), "numbers have no classes"


def test_a_class_of_a_few_rows_is_left_whole():
    rng = np.random.default_rng(1)
    keys, y = keys_of(rng, 2000), np.repeat(np.arange(1000), 2)
    hold, out, said = decided(keys, y)
    assert not out.any() and hold == HoldOut() and "0 of 2,000" in said


def test_rows_without_weight_neither_count_nor_protect():
    keys = np.r_[np.arange(1, 1001, dtype=np.uint64) << np.uint64(54), np.arange(10, dtype=np.uint64)]
    y, w = np.r_[np.zeros(1000), np.ones(10)], np.ones(1010)
    w[1005:] = 0.0
    assert decided(keys, y, w)[1][1000:].tolist() == [False] * 10


def test_nothing_is_held_out_where_it_would_be_few_or_very_many_rows():
    rng = np.random.default_rng(2)
    for low, held in ((4, False), (5, True), (200, True), (201, False)):
        keys = np.r_[np.arange(low, dtype=np.uint64), rng.integers(2**63, 2**64 - 1, 1000 - low, np.uint64)]
        _, out, said = decided(keys, rng.integers(0, 2, 1000))
        assert out.sum() == (low if held else 0) and f"{low} of 1,000" in said


def test_odd_labels_are_somebody_else_s_to_refuse():
    rng = np.random.default_rng(3)
    y = rng.normal(size=1000)
    y[:3] = np.nan, np.inf, -np.inf
    decided(keys_of(rng, 1000), y)
    decided(keys_of(rng, 1000), np.full(1000, np.nan))


def test_the_tally_of_a_million_rows_is_small():
    rng = np.random.default_rng(4)
    keys, y = rng.integers(0, 2**64 - 1, 10**6, np.uint64), rng.integers(0, 10, 10**6)
    found = tally(keys, y, np.ones(10**6), HoldOut(0.1))
    assert len(found.y) == 60 and found.rows.sum() == 10**6

"""Partials add up in a tree whose shape depends on their number alone."""

import json

import numpy as np
import pytest

from firesteel.train.history import UNMEASURED, History
from firesteel.train.partial import Partial, tree_sum


class Leaf:
    """A value whose sum remembers what was added to what."""

    def __init__(self, shape):
        self.shape = shape

    def __add__(self, other):
        return Leaf((self.shape, other.shape))


def tree(present):
    """The shape of the sum; a leaf that is not present is None."""
    total = tree_sum([Leaf(number) if there else None for number, there in enumerate(present)])
    return None if total is None else total.shape


def vectors(count, seed=0):
    return list(np.random.default_rng(seed).normal(size=(count, 9)).astype(np.float32))


@pytest.mark.parametrize(
    "count, shape",
    [
        (1, 0),
        (2, (0, 1)),
        (3, ((0, 1), 2)),
        (4, ((0, 1), (2, 3))),
        (5, (((0, 1), (2, 3)), 4)),
        (6, (((0, 1), (2, 3)), (4, 5))),
        (7, (((0, 1), (2, 3)), ((4, 5), 6))),
    ],
)
def test_the_tree_has_a_fixed_shape(count, shape):
    assert tree([True] * count) == shape


def test_none_adds_nothing_and_moves_nobody():
    assert tree([True, False, True, True]) == (0, (2, 3))
    assert tree([False, True, True, False, True]) == ((1, 2), 4)
    assert tree([False, False, True]) == 2
    assert tree([False, False]) is None and tree([]) is None


@pytest.mark.parametrize("size", [2, 4, 8, 16])
@pytest.mark.parametrize("count", range(1, 20))
def test_aligned_subtrees_may_be_added_beforehand_without_moving_a_bit(count, size):
    parts = vectors(count)
    groups = [tree_sum(parts[at : at + size]) for at in range(0, count, size)]
    assert tree_sum(groups).tobytes() == tree_sum(parts).tobytes()


def test_the_tree_is_not_the_sum_from_left_to_right():
    parts = vectors(64)
    assert tree_sum(parts).tobytes() != sum(parts[1:], parts[0]).tobytes()
    np.testing.assert_allclose(tree_sum(parts), np.sum(parts, axis=0), rtol=1e-3, atol=1e-4)


def test_a_sum_leaves_its_parts_alone():
    parts = vectors(5)
    copies = [part.copy() for part in parts]
    tree_sum(parts)
    for part, copy in zip(parts, copies, strict=True):
        np.testing.assert_array_equal(part, copy)


def test_partials_add_field_by_field():
    a = Partial(np.array([[1.0]]), np.array([1.0, 2.0]), 3, 1.0, 1.0, frozenset(["a"]))
    b = Partial(np.array([[2.0]]), np.array([5.0, 6.0]), 2, 4.0, 4.0, frozenset(["b"]))
    c = a + b
    assert (c.vectors.tolist(), c.sums.tolist()) == ([[3.0]], [6.0, 8.0])
    assert (c.steps, c.seconds, c.slowest, c.machines) == (3, 5.0, 4.0, {"a", "b"})


def test_a_history_is_plain_rows():
    rows = [
        {"epoch": n, "loss": 1.0 / (n + 1), "val_loss": 2.0, "rows": 7} | dict.fromkeys(UNMEASURED[2:], 0.5)
        for n in range(3)
    ]
    history = History(rows)
    assert history.history == {"loss": [1.0, 0.5, 1 / 3], "val_loss": [2.0] * 3} and history.epoch == [0, 1, 2]
    assert [json.loads(line) for line in history.to_jsonl().splitlines()] == rows
    assert History().history == {} and History().epoch == [] and History().to_jsonl() == ""

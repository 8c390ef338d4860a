"""Compiled kernels are for speed alone: each gives the bits of the NumPy lines that it stands beside."""

import numpy as np
import pytest

from firesteel.core import kernels
from firesteel.core.optimizers import Adam
from firesteel.train.blocks import pack_arrays

SIZES = [1, 7, 8, 15, 16, 17, 63, 64, 65, 1000, 4099]


@pytest.fixture(params=[False, True], ids=["as Python", "compiled"])
def both(request, monkeypatch):
    """Return what calls a function without kernels, and with them."""
    made = kernels._compiled if request.param else lambda kernel: kernel

    def results(function):
        monkeypatch.setattr(kernels, "_compiled", lambda kernel: None)
        without = function()
        met = []
        monkeypatch.setattr(kernels, "WORTH", 0)
        monkeypatch.setattr(kernels, "_compiled", lambda kernel: met.append(kernel) or made(kernel))
        with_them = function()
        assert met, "no kernel was called"
        return without, with_them

    return results


def test_there_is_a_compiler_to_test_with():
    assert kernels._compiled(kernels.adam) is not None


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("size", SIZES)
def test_adam(both, dtype, size):
    def steps():
        rng = np.random.default_rng(size)
        theta, slots = rng.normal(size=size).astype(dtype), np.zeros((2, size), dtype)
        for t in range(1, 6):
            g = (rng.normal(size=size) * 10.0 ** rng.integers(-30, 6, size)).astype(dtype)
            g[:: max(1, size // 3)] = 0
            Adam(0.01).step(theta, g, slots, t)
        return theta.tobytes() + slots.tobytes()

    without, with_them = both(steps)
    assert without == with_them


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 3e38])
def test_adam_where_a_fit_diverges(both, bad):
    def step():
        theta, slots = np.ones(20, "f4"), np.zeros((2, 20), "f4")
        g = np.ones(20, "f4")
        g[3] = bad
        with np.errstate(all="ignore"):
            Adam(0.01).step(theta, g, slots, 1)
        return theta, slots

    (theta, slots), (fast_theta, fast_slots) = both(step)
    np.testing.assert_array_equal(fast_theta, theta)
    np.testing.assert_array_equal(fast_slots, slots)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("divisor", [1, 16, 255])
@pytest.mark.parametrize("rows", [slice(None), slice(3, 40), np.array([5, 0, 5, 17])], ids=["all", "slice", "chosen"])
def test_gather(both, dtype, divisor, rows):
    rng = np.random.default_rng(divisor)
    x = (rng.integers(0, 256, (60, 33)) / divisor).astype(dtype)
    block = pack_arrays(x, np.zeros((60, 1), dtype), np.ones(60, dtype), np.dtype(dtype))[0]
    assert block.divisor == divisor
    rows = np.array([min(row, len(block) - 1) for row in rows]) if isinstance(rows, np.ndarray) else rows

    def gathered():
        out = np.empty((len(block.y[rows]), 33), dtype)
        block.features(rows, out, np.empty(out.shape, np.uint8))
        return out.tobytes()

    without, with_them = both(gathered)
    assert without == with_them

"""Max pooling has the bits of its definition: of equal pixels the first wins, and NaN wins over all."""

import math

import numpy as np
import pytest

from firesteel.core.layers.pooling import MaxPooling2D

SPECIAL = [0.0, -0.0, 1.0, -1.0, math.inf, -math.inf, math.nan]
POOLS = [
    (MaxPooling2D(), (6, 8)),
    (MaxPooling2D(2), (25, 25)),
    (MaxPooling2D(3, 2, "same"), (7, 9)),
    (MaxPooling2D((2, 3), 1), (6, 5)),
    (MaxPooling2D(17, 17), (17, 34)),
]


def defined(x, d_y, kernel, strides, padding):
    """Return the outputs and the derivative by x, (B, H, W, C), one window at a time.  padding: rows and columns."""
    x = np.pad(x, ((0, 0), *padding, (0, 0)), constant_values=-math.inf)
    y, d_x = np.zeros_like(d_y), np.zeros_like(x)
    for b, i, j, c in np.ndindex(y.shape):
        won = (0, 0)
        top, left = i * strides[0], j * strides[1]
        for k, m in np.ndindex(kernel):
            value, best = x[b, top + k, left + m, c], x[b, top + won[0], left + won[1], c]
            if value > best or math.isnan(value):
                won = (k, m)
        y[b, i, j, c] = x[b, top + won[0], left + won[1], c]
    for k, m in np.ndindex(kernel):  # sums are taken in the order of the kernel's pixels
        for b, i, j, c in np.ndindex(y.shape):
            top, left = i * strides[0], j * strides[1]
            window = x[b, top : top + kernel[0], left : left + kernel[1], c].ravel()
            known = np.flatnonzero(np.isnan(window))
            if (known[-1] if len(known) else window.argmax()) == k * kernel[1] + m:
                d_x[b, top + k, left + m, c] += d_y[b, i, j, c]
    (above, below), (left, right) = padding
    return y, d_x[:, above : d_x.shape[1] - below, left : d_x.shape[2] - right]


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("special", [False, True], ids=["numbers", "ties, zeros, infinities and NaN"])
@pytest.mark.parametrize("pool, size", POOLS, ids=lambda one: repr(one))
def test_max_pooling_is_its_definition(pool, size, special, dtype):
    rng = np.random.default_rng(0)
    shape = (2, *size, 3)
    x = (rng.choice(SPECIAL, shape) if special else np.maximum(rng.normal(size=shape), 0)).astype(dtype)
    y, pull = pool.apply({}, x)
    d_y = (rng.choice([-0.0, 2.0, -3.0], y.shape)).astype(dtype)
    strides = pool.strides or pool.pool_size
    padding = [(0, 0), (0, 0)]
    if pool.padding == "same":
        more = [
            max((out - 1) * s + k - n, 0)
            for out, s, k, n in zip(y.shape[1:], strides, pool.pool_size, size, strict=False)
        ]
        padding = [(one // 2, one - one // 2) for one in more]
    expected = defined(x, d_y, pool.pool_size, strides, padding)
    assert y.tobytes() == expected[0].tobytes() and pull(d_y, {}, True).tobytes() == expected[1].tobytes()

"""A row's prediction depends on the rows beside it in its last bits alone: docs/reliability.md says how much."""

import numpy as np
import pytest

from firesteel.layers import Dense
from firesteel.models import Sequential


@pytest.mark.parametrize("dtype, apart", [("float32", 5e-6), ("float64", 1e-14)])
@pytest.mark.parametrize("units", [(1,), (10,), (128, 10), (512, 64, 5), (33, 17, 3), (7, 1)])
def test_a_row_alone_or_elsewhere_differs_in_the_last_bits_alone(units, dtype, apart):
    rng = np.random.default_rng(0)
    *hidden, last = units
    layers = [*(Dense(count, "relu") for count in hidden), Dense(last, "softmax" if last > 1 else "sigmoid")]
    model, x = Sequential([*layers], dtype=dtype), rng.normal(size=(300, 100))
    together, order = model.predict(x), rng.permutation(300)
    alone = np.concatenate([model.predict(x[row : row + 1]) for row in range(300)])
    assert np.abs(together - alone).max() < apart
    assert np.abs(together[order] - model.predict(x[order])).max() < apart
    assert model.predict(x).tobytes() == together.tobytes()

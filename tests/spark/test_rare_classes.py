"""What stages say of a class that is next to impossible: its probability and the logarithm of it, on both sides."""

import numpy as np
import pytest

from firesteel.core.layers import Dense
from firesteel.core.network import Network
from firesteel.spark.worker import ClassOutputs

Z = np.array([-80.0, -20.0, -1.0, 0.0, 1.0, 20.0, 80.0])


@pytest.mark.parametrize("last", [Dense(1, "sigmoid"), Dense(2, "softmax")], ids=["sigmoid", "softmax"])
def test_both_classes_of_two_have_their_tails(last):
    network = Network.chain((last,), 1)
    theta = np.array([1.0, 0.0] if last.units == 1 else [0.0, 1.0, 0.0, 0.0], np.float32)
    raw, probability = np.hsplit(ClassOutputs(network, theta, "x").score(Z[:, None])[:, :4], 2)
    exact = 1 / (1 + np.exp(np.stack([Z, -Z], axis=1)))
    np.testing.assert_allclose(probability, exact, rtol=1e-5)
    np.testing.assert_allclose(
        raw, np.stack([-Z, Z], axis=1) if last.units == 1 else -np.log1p(np.exp(np.stack([Z, -Z], axis=1))), rtol=1e-5
    )
    assert (np.diff(raw[:, 1]) > 0).all() and (np.diff(probability[1:, 0]) < 0).all()

"""The error function against the standard library, and activations at values where naive formulas fail."""

import math

import mpmath
import numpy as np
import pytest

from firesteel.core.layer import Layer
from firesteel.core.layers import ACTIVATIONS, LAYERS, ReLU
from firesteel.core.layers.activation import ElementwiseActivation, erfc
from firesteel.core.layers.augmentation import Unchanged, Warp, Warping
from firesteel.core.layers.convolution import Convolving
from firesteel.core.layers.normalization import JointNormalization
from firesteel.core.layers.windows import Sliding
from firesteel.core.layers.wrapper import Held, Wrapper
from firesteel.graphs.freezing import Frozen
from tests.support.parts import PARTS

NAMES = [name for name, op in ACTIVATIONS.items() if op]
GRID = np.concatenate(
    [
        np.linspace(-7, 27, 34001),
        [0.46875, np.nextafter(0.46875, 1), 4.0, np.nextafter(4.0, 5)],
        10.0 ** -np.arange(1, 20),
    ]
)
EXTREMES = [1e30, -1e30, 1e4, -1e4, 88.8, -88.8, 709.9, -709.9, 1e-40, -1e-40, 0.0, -0.0]


def test_registries_contain_every_layer():
    def below(kind):
        return {kind}.union(*map(below, kind.__subclasses__()))

    ours = {kind for kind in below(Layer) if kind.__module__.startswith("firesteel.") and kind.__name__[0] != "_"}
    assert ours == {
        *PARTS.values(),
        *map(type, LAYERS.values()),
        Layer,
        ElementwiseActivation,
        Wrapper,
        Held,
        Frozen,
        Sliding,
        JointNormalization,
        Convolving,
        Unchanged,
        Warp,
        Warping,
    }


def erfc_at(x):
    """Return firesteel's erfc of a number, rounded once."""
    with np.errstate(under="ignore"), mpmath.workdps(40):
        return erfc(
            x, np.array([float(mpmath.exp(-(mpmath.mpf(value) ** 2))) for value in x.tolist()]).astype(x.dtype)
        )


def test_erfc_matches_the_standard_library_to_the_last_digits():
    ours, exact = erfc_at(GRID), np.array([math.erfc(x) for x in GRID])
    normal = exact > np.finfo(float).tiny
    np.testing.assert_allclose(ours[normal], exact[normal], rtol=1.5e-15)
    np.testing.assert_allclose(1 - ours, [math.erf(x) for x in GRID], rtol=0, atol=1e-15)


def test_erfc_is_accurate_in_float32():
    x = GRID.astype(np.float32)
    exact = np.array([math.erfc(value) for value in x.tolist()])
    normal = exact > np.finfo(np.float32).tiny
    assert erfc_at(x).dtype == np.float32
    np.testing.assert_allclose(erfc_at(x)[normal], exact[normal], rtol=1e-6)


def test_erfc_is_accurate_in_its_tails():
    with np.errstate(all="raise", under="ignore"):
        far = erfc_at(np.array([28.0, 1e300, np.inf, -6.0, -1e300, -np.inf, np.nan]))
    assert far[:6].tolist() == [0, 0, 0, 2, 2, 2] and np.isnan(far[6])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", NAMES)
def test_activations_preserve_the_dtype_and_are_finite_at_extremes(name, dtype):
    x = np.array(np.meshgrid(EXTREMES, EXTREMES)).reshape(2, -1).T.astype(dtype)
    kept = x.copy()
    with np.errstate(all="raise", under="ignore"):
        y, pull = ACTIVATIONS[name].apply({}, x, None)
        d_x = pull(np.ones_like(y), {}, True)
    assert y.dtype == d_x.dtype == dtype and np.array_equal(x, kept)
    if name != "exponential":
        assert np.isfinite(y).all() and np.isfinite(d_x).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", NAMES)
def test_activations_agree_in_float32_and_float64(name, dtype):
    x = np.random.default_rng(0).normal(0, 2, (50, 4)).astype(dtype)
    y, pull = ACTIVATIONS[name].apply({}, x, None)
    exact, exact_pull = ACTIVATIONS[name].apply({}, x.astype(float), None)
    np.testing.assert_allclose(y, exact, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(pull(np.ones_like(y), {}, True), exact_pull(np.ones((50, 4)), {}, True), atol=2e-6)


def test_derivatives_at_corners_are_those_documented():
    def slope(layer, at):
        return float(layer.apply({}, np.array([[at]]))[1](np.ones((1, 1)), {}, True)[0, 0])

    assert slope(ACTIVATIONS["relu"], 0.0) == 0 and slope(ACTIVATIONS["leaky_relu"], 0.0) == 0.2
    assert slope(ACTIVATIONS["relu6"], 0.0) == slope(ACTIVATIONS["relu6"], 6.0) == 0
    assert slope(ACTIVATIONS["hard_sigmoid"], -3.0) == slope(ACTIVATIONS["hard_sigmoid"], 3.0) == 0
    assert slope(ACTIVATIONS["hard_tanh"], -1.0) == slope(ACTIVATIONS["hard_tanh"], 1.0) == 0
    assert slope(ACTIVATIONS["hard_silu"], -3.0) == -0.5 and slope(ACTIVATIONS["hard_silu"], 3.0) == 1.5
    assert slope(ACTIVATIONS["hard_shrink"], 0.5) == slope(ACTIVATIONS["soft_shrink"], -0.5) == 0
    assert slope(ACTIVATIONS["selu"], 0.0) == pytest.approx(1.0507009873554805 * 1.6732632423543772)
    assert slope(ReLU(threshold=2.0, negative_slope=0.5), 2.0) == 0.5

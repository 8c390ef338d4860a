"""Initializers draw what their docstrings say: mean, variance, limits, and the same numbers every time."""

import math

import numpy as np
import pytest

from firesteel.core.initializers import (
    INITIALIZERS,
    Constant,
    Orthogonal,
    RandomNormal,
    RandomUniform,
    TruncatedNormal,
    VarianceScaling,
)
from firesteel.errors import ConfigError

FAN_IN, FAN_OUT = 500, 300
SHAPE = (FAN_IN, FAN_OUT)
# name: (variance, limit) for a matrix of SHAPE; the limit of an uncut normal is None
CUT = 2 / 0.87962566103423978
EXPECTED = {
    "zeros": (0.0, 0.0),
    "ones": (0.0, 1.0),
    "constant": (0.0, 0.0),
    "identity": (1 / 500 * (1 - 1 / 500), 1.0),
    "truncated_normal": ((0.05 / CUT * 2) ** 2, 0.1),
    "variance_scaling": (1 / 500, CUT * math.sqrt(1 / 500)),
    "orthogonal": (1 / 500, None),
    "normal": (0.05**2, None),
    "random_normal": (0.05**2, None),
    "uniform": (0.1**2 / 12, 0.05),
    "random_uniform": (0.1**2 / 12, 0.05),
    "glorot_uniform": (2 / 800, math.sqrt(6 / 800)),
    "glorot_normal": (2 / 800, CUT * math.sqrt(2 / 800)),
    "he_uniform": (2 / 500, math.sqrt(6 / 500)),
    "he_normal": (2 / 500, CUT * math.sqrt(2 / 500)),
    "lecun_uniform": (1 / 500, math.sqrt(3 / 500)),
    "lecun_normal": (1 / 500, CUT * math.sqrt(1 / 500)),
}
FIXED = {"zeros": 0.0, "ones": 1.0, "constant": 0.0, "identity": 1 / 500}


def draw(name, seed=0, shape=SHAPE):
    return INITIALIZERS[name].draw(np.random.default_rng(seed), shape)


def test_every_initializer_of_the_registry_is_described_here():
    assert set(EXPECTED) == set(INITIALIZERS)


@pytest.mark.parametrize("name", INITIALIZERS)
def test_every_initializer_has_the_mean_and_the_variance_it_says(name):
    variance, _ = EXPECTED[name]
    x = draw(name)
    assert x.shape == SHAPE and x.dtype == np.float64
    assert abs(x.mean() - FIXED.get(name, 0.0)) <= 5 * math.sqrt(variance / x.size)
    assert x.var() == pytest.approx(variance, rel=0.02)


@pytest.mark.parametrize("name", INITIALIZERS)
def test_every_initializer_keeps_its_limit_and_comes_near_it(name):
    variance, limit = EXPECTED[name]
    most = np.abs(draw(name)).max()
    if limit is None:
        assert most > 3.5 * math.sqrt(variance)
    else:
        assert 0.99 * limit <= most <= limit


@pytest.mark.parametrize("name", INITIALIZERS)
def test_every_initializer_draws_the_same_from_the_same_stream_and_something_else_from_another(name):
    np.testing.assert_array_equal(draw(name, 7), draw(name, 7))
    assert name in FIXED or (draw(name, 7) != draw(name, 8)).mean() > 0.99


@pytest.mark.parametrize("name", sorted(INITIALIZERS.keys() - {"orthogonal", "identity"}))
def test_every_initializer_of_numbers_draws_a_bias_too(name):
    assert np.isfinite(draw(name, shape=(7,))).all()


def test_a_truncated_normal_has_the_shape_of_a_normal_inside_its_bounds():
    x = draw("he_normal") / math.sqrt(2 / 500) * 0.87962566103423978
    share = math.erf(1 / math.sqrt(2)) / math.erf(2 / math.sqrt(2))
    assert (np.abs(x) < 1).mean() == pytest.approx(share, abs=0.005)


def test_initializers_use_their_arguments():
    rng = np.random.default_rng(0)
    x = RandomNormal(mean=3.0, stddev=0.5).draw(rng, SHAPE)
    assert x.mean() == pytest.approx(3.0, abs=0.01) and x.std() == pytest.approx(0.5, rel=0.02)
    x = RandomUniform(2.0, 5.0).draw(rng, SHAPE)
    assert 2.0 <= x.min() < 2.01 and 4.99 < x.max() < 5.0
    x = TruncatedNormal(3.0, 0.5).draw(rng, SHAPE)
    assert x.mean() == pytest.approx(3.0, abs=0.01) and 2.0 <= x.min() and x.max() <= 4.0
    assert (Constant(-0.5).draw(rng, (3,)) == -0.5).all()
    assert (RandomNormal(1.0, stddev=0.0).draw(rng, (3,)) == 1.0).all()


@pytest.mark.parametrize("shape", [SHAPE, SHAPE[::-1], (20, 20), (1, 5), (5, 1)])
def test_an_orthogonal_draw_has_columns_or_rows_of_one_length_and_at_right_angles(shape):
    q = Orthogonal(gain=3.0).draw(np.random.default_rng(0), shape)
    products = q.T @ q if shape[0] >= shape[1] else q @ q.T
    assert q.shape == shape
    np.testing.assert_allclose(products, 9 * np.eye(min(shape)), atol=1e-11)


@pytest.mark.parametrize("name", ["orthogonal", "identity"])
def test_an_initializer_of_matrices_refuses_other_shapes(name):
    for shape, said in (((7,), "1 axis"), ((2, 2, 2), "3 axes")):
        with pytest.raises(ConfigError, match=f"this array has {said}") as caught:
            draw(name, shape=shape)
        assert caught.value.code == "config-shape"


@pytest.mark.parametrize("mode, fan", [("fan_in", 500), ("fan_out", 300), ("fan_avg", 400)])
@pytest.mark.parametrize("kind", ["uniform", "truncated_normal", "untruncated_normal"])
def test_variance_scaling_has_its_variance_in_every_mode_and_distribution(mode, fan, kind):
    x = VarianceScaling(3.0, mode, kind).draw(np.random.default_rng(0), SHAPE)
    most = {"uniform": math.sqrt(3), "truncated_normal": CUT, "untruncated_normal": 5}[kind] * math.sqrt(3 / fan)
    assert x.var() == pytest.approx(3 / fan, rel=0.02) and 0.85 * most < np.abs(x).max() < most


def test_named_initializers_are_cases_of_variance_scaling():
    family = {
        "glorot_uniform": VarianceScaling(1.0, "fan_avg", "uniform"),
        "glorot_normal": VarianceScaling(1.0, "fan_avg", "truncated_normal"),
        "he_uniform": VarianceScaling(2.0, "fan_in", "uniform"),
        "he_normal": VarianceScaling(2.0),
        "lecun_uniform": VarianceScaling(1.0, distribution="uniform"),
        "lecun_normal": VarianceScaling(),
    }
    for name, member in family.items():
        np.testing.assert_array_equal(draw(name), member.draw(np.random.default_rng(0), SHAPE))


def test_a_uniform_initializer_needs_its_ends_in_order():
    with pytest.raises(ConfigError, match="minval must not be above maxval"):
        RandomUniform(1.0, 0.0)

"""Row R49 of the reliability table: activations, losses and optimisers against arithmetic of 60 digits."""

import functools
import re
from pathlib import Path

import mpmath
import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from firesteel.core.layers.activation import ACTIVATIONS, ElementwiseActivation
from firesteel.core.losses import LOSSES, BinaryCrossentropy
from firesteel.core.optimizers import OPTIMIZERS
from firesteel.layers import Dense
from firesteel.models import Sequential
from tests.core import sixty_digits
from tests.core.sixty_digits import CURVES, DTYPES, TOLERANCE, mpf

CASES = [(kind, name) for kind in sixty_digits.MEASURED for name in sixty_digits.names(kind)]


def test_everything_in_the_registries_is_measured():
    samples = [set(samples.values()) for samples, _ in sixty_digits.MEASURED.values()]
    for registry, measured in zip((ACTIVATIONS, LOSSES, OPTIMIZERS), samples, strict=True):
        assert set(registry.values()) - {None} <= measured


@functools.cache
def measured(kind, name):
    """Return the errors at some points: they are compared with a bound, and with what is printed."""
    return list(sixty_digits.errors(kind, name, 300))


@pytest.mark.parametrize("kind, name", CASES)
def test_r49_values_slopes_and_steps_are_right_to_the_digits_of_the_dtype(kind, name):
    for dtype, what, error, where in measured(kind, name):
        assert error <= TOLERANCE[dtype], (dtype, what, error, where)


@pytest.mark.slow
@pytest.mark.parametrize("kind, name", CASES)
def test_r49_values_slopes_and_steps_are_right_at_many_more_points(kind, name):
    for dtype, what, error, where in sixty_digits.errors(kind, name, sixty_digits.MANY):
        assert error <= TOLERANCE[dtype], (dtype, what, error, where)


def test_r49_the_table_of_errors_is_of_this_code():
    """Another CPU or build of NumPy rounds otherwise, but not by much, and no name is missing or left over."""
    text = (Path(__file__).parents[2] / "docs" / "reliability.md").read_text()
    rows = re.findall(r"\| (activation|loss|optimizer) \| (.+?) \| (.+?) \| (.+?) \| (.+?) \| (.+?) \|\n", text)
    printed = {row[:2]: [float(number) for number in row[2:]] for row in rows}
    assert list(printed) == CASES
    for case, errors in printed.items():
        found = [error for _, _, error, _ in measured(*case)]
        assert all(one <= 4 * written for one, written in zip(found, errors, strict=True)), (case, found)


@pytest.mark.parametrize("dtype", DTYPES)
def test_r49_a_formula_that_loses_digits_is_found(dtype):
    x = sixty_digits.numbers(dtype, 300)
    lossy = (1 + np.tanh(x * x.dtype.type(0.5))) * x.dtype.type(0.5)
    error, where = sixty_digits.worst(lossy, [[sixty_digits.sigmoid(mpf(float(value)))] for value in x], x)
    assert error >= 1 and where < 0
    assert sixty_digits.worst(np.tanh(x), [[mpmath.tanh(mpf(float(value)))] for value in x], x)[0] < TOLERANCE[dtype]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "name", [name for name, op in sixty_digits.ACTIVATION_SAMPLES.items() if isinstance(op, ElementwiseActivation)]
)
def test_r49_at_infinity_an_activation_and_its_slope_are_their_limits_and_nan_stays_nan(name, dtype):
    op = sixty_digits.ACTIVATION_SAMPLES[name]
    with np.errstate(all="raise", under="ignore"):
        y, pull = op.apply({}, np.array([[-np.inf, np.inf]], dtype), None)
        slope = pull(np.ones_like(y), {}, True)
    for side, found in ((-1, (y[0, 0], slope[0, 0])), (1, (y[0, 1], slope[0, 1]))):
        far = [mpmath.fsum(terms) for terms in CURVES[type(op).__name__](op, side * mpf(10) ** 30)]
        limits = [
            float(value) if abs(value) < 10**20 else np.copysign(np.inf, float(mpmath.sign(value))) for value in far
        ]
        np.testing.assert_allclose(found, limits, rtol=1e-7, atol=1e-30)
    assert np.isnan(op.apply({}, np.array([[np.nan]], dtype), None)[0]).all()


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_r49_a_logit_of_minus_infinity_is_a_class_that_cannot_be(name, dtype):
    with np.errstate(all="raise", under="ignore"):
        y, pull = ACTIVATIONS[name].apply({}, np.array([[-np.inf, 0.0, 0.0]], dtype), None)
        slope = pull(np.array([[0.0, 1.0, 0.0]], dtype), {}, True)
    expected = [0, 0.5, 0.5] if name == "softmax" else [-np.inf, -np.log(2), -np.log(2)]
    np.testing.assert_allclose(y[0], expected, rtol=1e-6)
    assert slope[0, 0] == 0 and slope[0, 1] > 0 > slope[0, 2]


RNG = np.random.default_rng(0)
LOGITS = RNG.normal(-20, 2, 4000)
RARE = (RNG.random(4000) < 0.02 * np.exp((LOGITS + 20) / 2)).astype(int)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("last", ["sigmoid", "softmax"])
def test_r49_rare_events_are_ranked_by_probabilities_that_float32_can_tell_apart(dtype, last):
    model = Sequential([Dense(1 if last == "sigmoid" else 2, last, input_dim=1)], dtype=dtype)
    model.set_weights([[[1.0]], [0.0]] if last == "sigmoid" else [[[0.0, 1.0]], [0.0, 0.0]])
    loss = "binary_crossentropy" if last == "sigmoid" else "sparse_categorical_crossentropy"
    model.compile("sgd", loss, ["AUC", "average_precision"])
    found = model.evaluate(LOGITS[:, None], RARE, verbose=0, return_dict=True)
    exact = LOGITS.astype(dtype)
    assert found["AUC"] == pytest.approx(roc_auc_score(RARE, exact), rel=1e-12)
    assert found["average_precision"] == pytest.approx(average_precision_score(RARE, exact), rel=1e-12)
    assert 0.7 < found["AUC"] < 0.95 and RARE.mean() < 0.1


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("share", [0.0, 0.2])
def test_r49_binary_crossentropy_of_infinite_logits_is_its_limit(dtype, share):
    loss = BinaryCrossentropy(from_logits=True, label_smoothing=share)
    z, y = np.array([[-np.inf], [-np.inf], [np.inf], [np.inf]], dtype), np.array([[0], [1], [0], [1]], dtype)
    with np.errstate(all="raise", under="ignore"):
        values, _, slopes = loss.rows(z, y)
    assert values.tolist() == [np.inf if share else 0, np.inf, np.inf, np.inf if share else 0]
    half = share / 2
    np.testing.assert_allclose(slopes[:, 0], [-half, half - 1, 1 - half, half], rtol=1e-6, atol=0)
    assert np.isnan(loss.rows(np.full((1, 1), np.nan, dtype), y[:1])[0]).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_r49_class_numbers_and_one_hot_targets_have_the_same_bits(dtype):
    z = sixty_digits.logits(dtype, 200)
    labels = np.arange(len(z)) % 3
    numbers = LOSSES["sparse_categorical_crossentropy"].rows(z, labels[:, None].astype(dtype))
    shares = LOSSES["categorical_crossentropy"].rows(z, np.eye(3, dtype=dtype)[labels])
    assert all(a.tobytes() == b.tobytes() for a, b in zip(numbers[1:], shares[1:], strict=True))
    np.testing.assert_allclose(numbers[0], shares[0], rtol=TOLERANCE[dtype])


@pytest.mark.parametrize("dtype", DTYPES)
def test_r49_losses_of_infinite_outputs_are_their_limits(dtype):
    with np.errstate(all="raise", under="ignore"):
        losses, _, slopes = LOSSES["poisson"].rows(
            np.array([[np.inf, 1], [-np.inf, 1]], dtype), np.ones((2, 2), dtype)
        )
        assert losses[0] == np.inf and np.isfinite(losses[1]) and slopes[:, 0].tolist() == [0.5, 0]
        z = np.array([[-np.inf, 0.0, 1.0]], dtype)
        for name, y in (("categorical_crossentropy", [[0, 0, 1]]), ("sparse_categorical_crossentropy", [[2]])):
            losses, _, slopes = LOSSES[name].rows(z, np.array(y, dtype))
            np.testing.assert_allclose(losses, np.log1p(np.exp(-1.0)), rtol=1e-6)
            np.testing.assert_allclose(slopes[0], np.array([0, 1, -1]) / (1 + np.e), rtol=1e-6)

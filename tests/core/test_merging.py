"""Merging and reshaping layers: against the formulas of Keras, and wrong arguments."""

import numpy as np
import pytest

from firesteel.core.layers import (
    LAYERS,
    Add,
    Average,
    Concatenate,
    Dense,
    Dot,
    Maximum,
    Minimum,
    Multiply,
    Permute,
    RepeatVector,
    Reshape,
    Subtract,
)
from firesteel.core.network import Network
from firesteel.errors import ConfigError
from tests.support.parts import MERGES

RNG = np.random.default_rng(0)
A, B, C = RNG.normal(size=(3, 5, 2, 3))
"""Three values of shape (2, 3), of 5 rows."""
ROW, ONE = RNG.normal(size=(5, 3)), RNG.normal(size=(5, 2, 1))


def unit(x, axis):
    return x / np.sqrt((x * x).sum(axis=axis, keepdims=True))


MERGED = {
    "add": (Add(), (A, B, C), A + B + C),
    "add, repeated": (Add(), (ROW, A, ONE), ROW[:, None] + A + ONE),
    "subtract": (Subtract(), (A, B), A - B),
    "subtract, repeated": (Subtract(), (ONE, A), ONE - A),
    "multiply": (Multiply(), (A, B, C), A * B * C),
    "average": (Average(), (A, B, C), (A + B + C) / 3),
    "average, repeated": (Average(), (A, ROW), (A + ROW[:, None]) / 2),
    "maximum": (Maximum(), (A, B, C), np.stack([A, B, C]).max(axis=0)),
    "minimum": (Minimum(), (A, B, C), np.stack([A, B, C]).min(axis=0)),
    "concatenate": (Concatenate(), (A, ONE), np.dstack([A, ONE])),
    "concatenate, axis 1": (Concatenate(axis=1), (A, B), np.hstack([A, B])),
    "concatenate, axis -2": (Concatenate(axis=-2), (A, B), np.hstack([A, B])),
    "dot of vectors": (Dot(axes=1), (A[:, 0], B[:, 1]), np.einsum("nk,nk->n", A[:, 0], B[:, 1])[:, None]),
    "dot": (Dot(axes=-1), (A, B), np.einsum("npk,nqk->npq", A, B)),
    "dot, axis 1": (Dot(axes=1), (A, B), np.einsum("nkp,nkq->npq", A, B)),
    "dot, two axes": (Dot(axes=(2, 1)), (A, B.swapaxes(1, 2)), np.einsum("npk,nqk->npq", A, B)),
    "dot with a vector": (Dot(axes=(1, 2)), (ROW, A), np.einsum("nk,nqk->nq", ROW, A)),
    "cosine": (Dot(1, True), (ROW, A[:, 1]), np.einsum("nk,nk->n", unit(ROW, 1), unit(A[:, 1], 1))[:, None]),
    "cosines": (Dot((1, 1), normalize=True), (A, B), np.einsum("nkp,nkq->npq", unit(A, 1), unit(B, 1))),
    "reshape": (Reshape((3, 2)), (A,), A.reshape(5, 3, 2)),
    "reshape, the rest": (Reshape([1, -1, 2]), (A,), A.reshape(5, 1, 3, 2)),
    "permute": (Permute((2, 1)), (A,), A.swapaxes(1, 2)),
    "permute, three axes": (Permute((3, 1, 2)), (A[..., None],), A[..., None].transpose(0, 3, 1, 2)),
    "repeat": (RepeatVector(4), (ROW,), np.stack([ROW] * 4, axis=1)),
}


@pytest.mark.parametrize("name", MERGED)
def test_values_match_the_formula(name):
    layer, x, expected = MERGED[name]
    y, _ = layer.apply({}, *x)
    np.testing.assert_allclose(y, expected, rtol=1e-13, atol=1e-15)
    assert y.shape[1:] == layer.output_shape(*(one.shape[1:] for one in x))


@pytest.mark.parametrize("layer", [Add(), Average(), Multiply()], ids=repr)
def test_inputs_are_merged_in_order(layer):
    x = [np.array([[value]], "f4") for value in (1e8, 3.0, -1e8)]
    y, _ = layer.apply({}, *x)
    found = (x[0] * x[1]) * x[2] if isinstance(layer, Multiply) else (x[0] + x[1]) + x[2]
    assert y == found * np.float32(1 / 3) if isinstance(layer, Average) else y == found


@pytest.mark.parametrize("layer", [Maximum(), Minimum()], ids=repr)
def test_the_first_of_equal_values_gets_the_derivative(layer):
    x = [np.array([[2.0, 1.0]]), np.array([[2.0, 1.0]]), np.array([[2.0, 1.0]])]
    _, pull = layer.apply({}, *x)
    assert [d.tolist() for d in pull(np.array([[5.0, 7.0]]), {}, True)] == [[[5.0, 7.0]], [[0, 0]], [[0, 0]]]


def test_the_derivative_of_a_product_is_right_at_0():
    _, pull = Multiply().apply({}, *(np.array([[value]]) for value in (0.0, 3.0, 4.0)))
    assert [d.item() for d in pull(np.ones((1, 1)), {}, True)] == [12.0, 0.0, 0.0]


def test_the_cosine_of_a_zero_vector_is_0_with_finite_derivative():
    x = np.zeros((1, 2)), np.array([[3.0, 4.0]])
    y, pull = Dot(1, normalize=True).apply({}, *x)
    d_a, d_b = pull(np.ones((1, 1)), {}, True)
    assert y == 0 and d_b.tolist() == [[0, 0]] and np.isfinite(d_a).all()


def test_derivatives_do_not_share_memory():
    for layer in (Add(), Average(), Subtract(), Multiply(), Maximum(), Concatenate(), Dot(1)):
        d_y = np.ones((5, 1)) if isinstance(layer, Dot) else np.ones((5, 6 if layer == Concatenate() else 3))
        a, b = layer.apply({}, ROW, A[:, 0])[1](d_y, {}, True)
        assert not np.shares_memory(a, b)


# Wrong arguments


@pytest.mark.parametrize("layer", [LAYERS[kind.__name__] for kind in MERGES], ids=repr)
def test_a_merging_layer_in_a_chain_is_refused_with_advice(layer):
    with pytest.raises(
        ConfigError, match=r"merges 2( or more)? inputs but was called on 1, of shape \(4,\)"
    ) as caught:
        Network.chain((Dense(4), layer), 3)
    assert caught.value.code == "config-shape" and f"{layer!r}([a, b])" in str(caught.value)


SHAPES = [
    (Subtract(), [(3,)] * 3, "merges 2 inputs but was called on 3"),
    (Dot(1), [(3,)] * 3, "merges 2 inputs but was called on 3"),
    (Add(), [(2, 3), (4,)], r"Add\(\) cannot merge inputs of shapes \(2, 3\) and \(4,\)"),
    (Average(), [(3,), (2,), (3,)], r"inputs of shapes \(3,\) and \(2,\) and \(3,\)"),
    (Multiply(), [(2, 3), (3, 3)], "counted from the last, must be equal or 1"),
    (Concatenate(), [(2, 3), (3, 3)], r"shapes \(2, 3\) and \(3, 3\): all axes except axis 2"),
    (Concatenate(1), [(2, 3), (2,)], "all axes except axis 1"),
    (
        Concatenate(2),
        [(3,), (3,)],
        r"Concatenate\(axis=2\) needs axis 2, but an input of shape \(3,\) has axes 1 to 1",
    ),
    (Concatenate(-2), [(3,), (3,)], "needs axis -2"),
    (Dot(-1), [(3,), (4,)], "axis 1 of the first input must be as long as axis 1 of the second"),
    (Dot((1, 2)), [(3,), (4,)], "needs axis 2"),
    (Reshape((2, 4)), [(2, 3)], r"does not fit an input of shape \(2, 3\), which has 6 values: \(2, 4\) needs 8"),
    (Reshape((4, -1)), [(2, 3)], r"which has 6 values: \(4, -1\) needs a multiple of 4"),
    (Permute((2, 1)), [(3,)], r"needs rows with 2 axes, but its input has shape \(3,\)"),
    (RepeatVector(2), [(2, 3)], r"needs rows with one axis, but its input has shape \(2, 3\)"),
]


@pytest.mark.parametrize("layer, shapes, match", SHAPES, ids=repr)
def test_shapes_that_do_not_fit_are_named(layer, shapes, match):
    with pytest.raises(ConfigError, match=match) as caught:
        layer.output_shape(*shapes)
    assert caught.value.code == "config-shape"


ARGUMENTS = [
    (lambda: Concatenate(0), "axis 0 is the batch"),
    (lambda: Concatenate((1, 2)), "axis must be an integer, 1"),
    (lambda: Dot(0), "axis 0 is the batch"),
    (lambda: Dot((1, 0)), "axis 0 is the batch"),
    (lambda: Dot((1, 2, 3)), "axes must be an integer, or 2 of them"),
    (lambda: Dot(1, normalize=1), "normalize must be True or False"),
    (lambda: Reshape((-1, -1)), "one of which may be -1"),
    (lambda: Reshape((0, 3)), "integers of at least 1"),
    (lambda: Reshape(()), "integers of at least 1"),
    (lambda: Reshape((2.5,)), "integers of at least 1"),
    (lambda: Permute((0, 1)), "the first being 1"),
    (lambda: Permute((1, 1)), "each once"),
    (lambda: Permute(2), "each once"),
    (lambda: Permute(()), "each once"),
    (lambda: RepeatVector(0), "an integer of at least 1"),
    (lambda: Reshape((3,), target=3), "has no argument 'target'"),
]


@pytest.mark.parametrize("make, match", ARGUMENTS)
def test_wrong_arguments_are_refused(make, match):
    with pytest.raises(ConfigError, match=match) as caught:
        make()
    assert caught.value.code in ("config-value", "config-argument")

"""Averages over pictures and their shifts."""

import pickle

import numpy as np
import pytest

from firesteel.errors import ConfigError
from firesteel.layers import BatchNormalization, Conv2D, Dense, Dropout, Flatten, Input, MaxPooling2D
from firesteel.models import Model, Sequential, load_model
from firesteel.utils import averaged_over_shifts

X, Y = np.random.default_rng(0).random((30, 6, 5, 1)), np.arange(30) % 3
KINDS = {
    "convolutions": lambda: [
        *[Input((6, 5, 1)), Conv2D(4, 3, activation="relu"), BatchNormalization(), MaxPooling2D(), Dropout(0.5)],
        *[Flatten(), Dense(3, "softmax")],
    ],
    "flat rows": lambda: [Input((6, 5)), Dense(7, "relu"), Dense(3, "softmax")],
    "flattened": lambda: [Flatten(input_shape=(6, 5, 1)), Dense(3, "softmax")],
    "numbers": lambda: [Input((6, 5, 1)), Conv2D(2, 2), Flatten(), Dense(3)],
    "one probability": lambda: [Input((6, 5, 1)), Flatten(), Dense(1, "sigmoid")],
}
LOSSES = {"numbers": "mse", "one probability": "binary_crossentropy"}


def fitted(kind):
    model = Sequential(KINDS[kind]())
    model.compile("adam", LOSSES.get(kind, "sparse_categorical_crossentropy"), ["mse"] if kind == "numbers" else [])
    y = np.eye(3)[Y] if kind == "numbers" else Y % 2 if kind == "one probability" else Y
    model.fit(X.reshape(30, -1), y, epochs=2, verbose=0)
    return model, y


def shifted(x, down, right):
    """The pictures, pixel by pixel."""
    y = np.zeros_like(x)
    for i, j in np.ndindex(x.shape[1:3]):
        if 0 <= i - down < x.shape[1] and 0 <= j - right < x.shape[2]:
            y[:, i, j] = x[:, i - down, j - right]
    return y


@pytest.mark.parametrize("pixels", [1, 4])
@pytest.mark.parametrize("kind", KINDS)
def test_outputs_are_the_means_over_a_picture_and_its_four_shifts(kind, pixels, tmp_path):
    model, y = fitted(kind)
    places = [(0, 0), (pixels, 0), (-pixels, 0), (0, pixels), (0, -pixels)]
    expected = np.mean([model.predict(shifted(X, *place).reshape(30, -1)) for place in places], axis=0)
    averaged = averaged_over_shifts(model, pixels)
    assert type(averaged) is Model and averaged.count_params() == model.count_params()
    for x in (X, X[..., 0], X.reshape(30, -1)):
        np.testing.assert_allclose(averaged.predict(x), expected, rtol=1e-5, atol=1e-6)
    averaged.save(tmp_path / "m.npz")
    loaded = load_model(tmp_path / "m.npz")
    assert loaded.fingerprint() == averaged.fingerprint() and (loaded.predict(X) == averaged.predict(X)).all()
    assert (pickle.loads(pickle.dumps(averaged)).predict(X) == averaged.predict(X)).all()
    loss = averaged.evaluate(X, y, verbose=0, return_dict=True)["loss"]
    if kind == "convolutions":
        assert loss == pytest.approx(-np.log(expected[np.arange(30), y]).mean(), rel=1e-4)


def test_weights_are_the_models_own():
    model, y = fitted("convolutions")
    averaged = averaged_over_shifts(model)
    before = averaged.predict(X)
    model.fit(X, y, epochs=1, verbose=0)
    assert (averaged.predict(X) != before).any()
    assert (averaged.predict(X) == averaged_over_shifts(model).predict(X)).all()


def refused(layers):
    return lambda: averaged_over_shifts(Sequential(layers))


def several():
    x = Input((6, 5, 1))
    flat = Flatten()(x)
    return averaged_over_shifts(Model(x, [Dense(2)(flat), Dense(3)(flat)]))


@pytest.mark.parametrize(
    "made, message",
    [
        (
            refused([Dense(2, input_dim=3)]),
            r"a model with one image as input, .* Sequential\(\[Input\(\(28, 28, 1\)\)",
        ),
        (several, "a model with one output"),
        *(
            (
                lambda pixels=pixels: averaged_over_shifts(fitted("flat rows")[0], pixels),
                "less than the sides of an image",
            )
            for pixels in (0, -1, 5, 1.5, True, "1")
        ),
    ],
)
def test_what_cannot_be_averaged_is_said(made, message):
    with pytest.raises(ConfigError, match=message):
        made()

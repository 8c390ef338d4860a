"""Networks that take pictures are given pictures: arrays and lists of them, however the network ends."""

import numpy as np
import pytest

from firesteel.errors import DataError
from firesteel.layers import Conv2D, Dense, Flatten, GlobalAveragePooling2D, Input
from firesteel.models import Model, Sequential, load_model

X = np.random.default_rng(0).random((12, 6, 5, 2)).astype(np.float32)
Y = np.arange(12) % 2


def chain(end):
    return Sequential([Input((6, 5, 2)), Conv2D(3, 2, activation="relu"), end, Dense(2, activation="softmax")])


def shaped(end):
    return Sequential([Conv2D(3, 2, input_shape=(6, 5, 2)), end, Dense(2, activation="softmax")])


def called(end):
    x = Input((6, 5, 2))
    return Model(x, Dense(2, activation="softmax")(end(Conv2D(3, 2)(x))))


@pytest.mark.parametrize("end", [Flatten, GlobalAveragePooling2D])
@pytest.mark.parametrize("build", [chain, shaped, called])
def test_pictures_are_taken_as_they_are(build, end, tmp_path):
    model = build(end())
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(X, Y, epochs=2, verbose=0, validation_data=(X, Y))
    found = model.predict(X)
    model.save(tmp_path / "model.firesteel")
    for given in (X.tolist(), X.reshape(12, -1)):
        np.testing.assert_allclose(model.predict(given), found, rtol=1e-6)
    np.testing.assert_array_equal(load_model(tmp_path / "model.firesteel").predict(X), found)
    assert model.evaluate(X, Y, verbose=0) == pytest.approx(model.evaluate(X.reshape(12, -1), Y, verbose=0))


def test_a_network_of_flat_rows_explains_how_to_flatten_pictures():
    with pytest.raises(DataError, match=r"write x.reshape\(len\(x\), -1\)"):
        Sequential([Dense(2, input_dim=60)]).predict(X)

"""Weights that models have in common: trained in one, they are those of the others; transfer to new models."""

import copy
import gc
import pickle
import threading

import numpy as np
import pytest

from firesteel.errors import ConfigError
from firesteel.layers import Add, BatchNormalization, Concatenate, Dense, Dropout, Flatten, Input, Reshape
from firesteel.models import Model, Sequential, load_model
from tests.support.functional import CLASS, SUM, A

HOW = {"epochs": 2, "batch_size": 40, "seed": 5, "verbose": 0}


def autoencoder():
    """Return an autoencoder, its encoder and its decoder."""
    x, code = Input((6,), name="row"), Input((3,), name="code")
    encoder = Model(x, Dense(3, "tanh", name="narrow")(Dense(5, "relu")(x)), name="encoder")
    decoder = Model(code, Dense(6, name="wide")(code), name="decoder")
    x = Input((6,), name="row")
    whole = Model(x, decoder(encoder(x)), name="autoencoder")
    whole.compile("adam", "mse")
    return whole, encoder, decoder


def base_model():
    """Return a trained chain of three layers."""
    model = Sequential([Dense(6, "tanh", input_dim=6), BatchNormalization(), Dense(3, "softmax")], name="base")
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(A, CLASS, **HOW)
    return model


def in_its_own(model):
    return model


def loaded(model, tmp_path):
    model.save(tmp_path / "base")
    return load_model(tmp_path / "base")


ORIGINS = {
    "as it was trained": lambda model, _: model,
    "loaded": loaded,
    "pickled": lambda model, _: pickle.loads(pickle.dumps(model)),
    "copied": lambda model, _: copy.deepcopy(model),
}
origins = pytest.mark.parametrize("origin", ORIGINS)


def test_an_encoder_predicts_with_what_its_autoencoder_learned():
    whole, encoder, decoder = autoencoder()
    before = encoder.predict(A)
    whole.fit(A, A, **HOW)
    assert not np.allclose(encoder.predict(A), before)
    np.testing.assert_allclose(decoder.predict(encoder.predict(A)), whole.predict(A), rtol=1e-6, atol=1e-6)
    assert np.array_equal(np.concatenate([encoder.theta, decoder.theta]), whole.theta)


def test_what_one_model_learns_changes_the_others_and_fits_alternate():
    whole, encoder, _ = autoencoder()
    x = Input((6,), name="row")
    classes = Model(x, Dense(3, "softmax")(encoder(x)))
    classes.compile("adam", "sparse_categorical_crossentropy")
    for _ in range(3):
        for model, y in ((whole, A), (classes, CLASS)):
            before = encoder.get_weights()
            model.fit(A, y, **HOW)
            assert all(not np.array_equal(a, b) for a, b in zip(before, encoder.get_weights(), strict=True))
            for layer in encoder.layers:
                for array in layer.get_weights():
                    assert any(np.array_equal(array, other) for other in whole.get_weights())
                    assert any(np.array_equal(array, other) for other in classes.get_weights())


def test_alternating_is_bit_identical_whichever_model_is_read():
    def run(looks):
        whole, encoder, decoder = autoencoder()
        head = Sequential([encoder, Dense(3, "softmax")])
        head.compile("adam", "sparse_categorical_crossentropy")
        for _ in range(2):
            whole.fit(A, A, **HOW)
            if looks:
                encoder.predict(A), decoder.get_weights(), head.state, whole.state, encoder.get_layer("narrow").kernel
            head.fit(A, CLASS, **HOW)
        return whole.fingerprint(), head.fingerprint(), encoder.fingerprint()

    assert run(False) == run(True)


def test_what_is_set_in_one_place_is_set_in_all():
    whole, encoder, _ = autoencoder()
    ones = [np.ones_like(array) for array in encoder.get_weights()]
    encoder.set_weights(ones)
    assert all(map(np.array_equal, whole.get_weights()[:4], ones))
    whole.get_layer("decoder/wide").set_weights([np.zeros((3, 6)), np.full(6, 2.0)])
    np.testing.assert_array_equal(whole.predict(A), np.full(A.shape, 2.0, "f4"))
    assert all(map(np.array_equal, encoder.get_weights(), ones))


def test_a_fit_draws_what_is_new_and_leaves_what_is_known():
    whole, encoder, decoder = autoencoder()
    whole.fit(A, A, **HOW)
    known = encoder.get_weights()
    x = Input((6,))
    model = Model(x, Dense(3, "softmax", name="new")(encoder(x)))
    model.compile({"type": "SGD", "learning_rate": 1e-30}, "sparse_categorical_crossentropy")
    new = model.get_layer("new").get_weights()
    model.fit(A, CLASS, **HOW | {"seed": 9})
    assert all(map(np.array_equal, encoder.get_weights(), known))
    assert not np.array_equal(model.get_layer("new").get_weights()[0], new[0])


# Transfer


@origins
def test_layers_of_a_trained_model_share_its_weights_in_a_new_chain(tmp_path, origin):
    base = ORIGINS[origin](base_model(), tmp_path)
    weights = [layer.get_weights() for layer in base.layers[:-1]]
    model = Sequential([*base.layers[:-1], Dense(4)])
    for layer, arrays in zip(model.layers, weights, strict=False):
        assert all(map(np.array_equal, layer.get_weights(), arrays))
    model.compile("adam", "mse")
    model.fit(A, np.stack([SUM] * 4, axis=1), **HOW)
    for mine, other in zip(model.layers[:2], base.layers[:2], strict=True):
        assert all(map(np.array_equal, mine.get_weights(), other.get_weights())), "training one trains the other"
    assert not np.array_equal(base.layers[0].get_weights()[0], weights[0][0])


@origins
def test_so_do_they_where_values_have_two_axes(tmp_path, origin):
    base = ORIGINS[origin](base_model(), tmp_path)
    model = Sequential([*base.layers[:-1], Reshape((2, 3)), Flatten(), Dense(1)])
    model.compile("adam", "mse")
    model.fit(A, SUM, **HOW)
    for mine, other in zip(model.get_weights(), base.get_weights()[:6], strict=False):
        assert np.array_equal(mine, other)


@origins
def test_frozen_layers_of_a_trained_model_stay_as_they_were(tmp_path, origin):
    base = ORIGINS[origin](base_model(), tmp_path)
    expected = base.predict(A)
    for layer in base.layers[:-1]:
        layer.trainable = False
    model = Sequential([*base.layers[:-1], Dropout(0.1), Dense(4, "softmax")])
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(A, CLASS, **HOW)
    assert np.array_equal(base.predict(A), expected) and len(model.state.theta) == 28


@origins
@pytest.mark.parametrize("form", ["called", "in a chain"])
def test_a_trained_model_is_the_base_of_another(tmp_path, origin, form):
    base = ORIGINS[origin](base_model(), tmp_path)
    expected = base.predict(A)
    base.trainable = False
    x = Input((6,))
    model = Model(x, Dense(1)(base(x))) if form == "called" else Sequential([base, Dense(1)])
    model.compile("adam", "mse")
    before = model.get_weights()
    model.fit(A, SUM, **HOW)
    assert np.array_equal(base.predict(A), expected) and len(model.state.theta) == 4
    after = model.get_weights()
    assert [np.array_equal(a, b) for a, b in zip(before, after, strict=True)] == [True] * (len(after) - 2) + [
        False
    ] * 2
    base.trainable = True
    model.fit(A, SUM, **HOW)
    assert not np.array_equal(base.predict(A), expected)
    assert len(model.state.theta) == model.count_params()


@origins
def test_a_value_in_the_middle_of_a_trained_model_can_be_read(tmp_path, origin):
    base = ORIGINS[origin](base_model(), tmp_path)
    middle = Model(base.inputs, base.layers[1].output)
    head = Sequential([base.layers[-1]])
    np.testing.assert_allclose(head.predict(middle.predict(A)), base.predict(A), rtol=1e-5, atol=1e-6)
    wide = Model(base.input, [base.layers[0].output, base.output])
    assert [one.shape for one in wide.predict(A)] == [(240, 6), (240, 3)]
    np.testing.assert_allclose(wide.predict(A)[1], base.predict(A), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("between", [[], [Reshape((2, 2)), Flatten()]], ids=["rows", "values of two axes"])
def test_layers_of_a_list_that_nobody_trained_are_drawn_anew(between):
    layers = [Dense(4, "tanh", input_dim=6), *between, Dense(3, "softmax")]
    one, other = Sequential(layers), Sequential(layers)
    for model in (one, other):
        model.compile("adam", "sparse_categorical_crossentropy")
    one.fit(A, CLASS, **HOW)
    first = one.fingerprint()
    other.fit(A, CLASS, **HOW | {"seed": 6})
    assert one.fingerprint() == first != other.fingerprint()


def test_layers_of_a_model_that_was_only_read_are_initialized_again():
    one = Sequential([Dense(4, "tanh", input_dim=6), Dense(3, "softmax")])
    one.summary(print_fn=lambda line: None)
    other = Sequential([*one.layers[:-1], Dense(2, "softmax")])
    other.compile("adam", "sparse_categorical_crossentropy")
    before = one.fingerprint()
    other.fit(A, CLASS % 2, **HOW)
    assert one.fingerprint() == before


def test_a_model_that_shares_weights_is_saved_whole(tmp_path):
    whole, encoder, _ = autoencoder()
    whole.fit(A, A, **HOW)
    encoder.save(tmp_path / "encoder")
    again = load_model(tmp_path / "encoder")
    assert again.fingerprint() == encoder.fingerprint()
    before = again.fingerprint()
    whole.fit(A, A, **HOW)
    assert again.fingerprint() == before != encoder.fingerprint()


def test_a_copy_shares_nothing():
    whole, encoder, _ = autoencoder()
    whole.fit(A, A, **HOW)
    for again in (copy.deepcopy(whole), pickle.loads(pickle.dumps(whole)), copy.copy(whole)):
        before = whole.fingerprint(), encoder.fingerprint()
        again.fit(A, A, **HOW)
        assert (whole.fingerprint(), encoder.fingerprint()) == before != (again.fingerprint(), before[1])


def test_copied_layers_share_nothing():
    whole, encoder, _ = autoencoder()
    layer = copy.deepcopy(encoder.layers[1])
    x = Input((6,))
    other = Model(x, layer(x))
    assert not any(np.array_equal(other.get_weights()[0], array) for array in whole.get_weights())


def test_a_base_that_is_gone_leaves_its_weights():
    model = Sequential([base_model(), Dense(1)])
    expected = model.predict(A)
    gc.collect()
    model.compile("adam", "mse")
    assert np.array_equal(model.predict(A), expected)
    layers = base_model().layers
    gc.collect()
    with pytest.raises(ConfigError, match="was deleted"):
        layers[0].get_weights()


@pytest.mark.parametrize("optimizer", ["adam", {"type": "SGD", "use_ema": True}], ids=str)
def test_what_another_model_has_learned_is_where_a_fit_goes_on(optimizer):
    whole, encoder, _ = autoencoder()
    whole.compile(optimizer, "mse")
    whole.fit(A, A, **HOW)
    encoder.set_weights([np.full_like(array, 0.25) for array in encoder.get_weights()])
    assert np.array_equal(whole.state.theta[: encoder.count_params()], np.full(encoder.count_params(), 0.25, "f4"))
    whole.fit(A, A, **HOW)
    assert not np.array_equal(encoder.theta, np.full(encoder.count_params(), 0.25, "f4"))


def test_a_layer_in_two_models_has_its_weights_in_both_and_places_in_the_last():
    layer, x = Dense(6, "tanh", name="both"), Input((6,))
    one, other = Model(x, layer(x)), Model(x, Add()([layer(x), x]))
    assert one.get_layer("both") is other.get_layer("both") is layer
    assert np.array_equal(one.get_weights()[0], other.get_weights()[0])
    layer.set_weights([np.eye(6), np.zeros(6)])
    np.testing.assert_allclose(one.predict(A), np.tanh(A), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(other.predict(A), np.tanh(A) + A, rtol=1e-5, atol=1e-5)


def test_a_model_twice_in_another_has_its_weights_once():
    _, encoder, _ = autoencoder()
    a, b = Input((6,)), Input((6,))
    model = Model([a, b], Concatenate()([encoder(a), encoder(b)]))
    assert model.count_params() == encoder.count_params()
    both = model.predict([A, -A])
    np.testing.assert_allclose(both, np.hstack([encoder.predict(A), encoder.predict(-A)]), rtol=1e-5, atol=1e-6)


def test_models_that_share_weights_predict_in_threads():
    whole, encoder, decoder = autoencoder()
    whole.fit(A, A, **HOW)
    models, found = [whole, encoder, decoder] * 4, {}
    expected = [model.predict(A[:, : model.network.inputs]) for model in models]

    def work(number):
        found[number] = [models[number].predict(A[:, : models[number].network.inputs]) for _ in range(5)]

    threads = [threading.Thread(target=work, args=(number,)) for number in range(len(models))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number, one in enumerate(expected):
        assert all(np.array_equal(one, other) for other in found[number])


def test_one_model_trains_while_one_that_shares_its_weights_predicts():
    whole, encoder, _ = autoencoder()
    alone = autoencoder()[0]
    for model in (whole, alone):
        model.draw(3)
    seen, done, errors = [], threading.Event(), []

    def look():
        try:
            while not done.is_set():
                seen.append(encoder.predict(A))
        except Exception as error:
            errors.append(error)

    thread = threading.Thread(target=look)
    thread.start()
    whole.fit(A, A, **HOW | {"epochs": 20})
    done.set()
    thread.join()
    alone.fit(A, A, **HOW | {"epochs": 20})
    assert not errors and seen
    assert whole.fingerprint() == alone.fingerprint()
    assert np.array_equal(encoder.theta, whole.theta[: encoder.count_params()])

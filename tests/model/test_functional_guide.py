"""The ten patterns of docs/how-to/functional-api.md as Keras scripts: only the imports differ."""

import numpy as np
import pytest

from firesteel import layers, losses
from firesteel.layers import Input
from firesteel.models import Model, Sequential, load_model
from firesteel.optimizers import Adam

RNG = np.random.default_rng(7)
IMAGES, LABELS = RNG.normal(size=(96, 12)).astype("float32"), RNG.integers(0, 3, 96)
WORDS, TAGS = RNG.normal(size=(96, 5)).astype("float32"), RNG.integers(0, 2, size=(96, 4)).astype("float32")


def trained(model, x, y, loss, **more):
    """Compile a model and train it, and return its losses."""
    model.compile(optimizer=Adam(learning_rate=1e-2), loss=loss, **more)
    history = model.fit(x, y, batch_size=32, epochs=4, validation_split=0.25, verbose=0)
    assert history.history["loss"][-1] < history.history["loss"][0]
    return history.history


def test_a_plain_chain():
    inputs = Input(shape=(12,), name="image")
    x = layers.Dense(16, activation="relu", name="first")(inputs)
    x = layers.Dense(8, activation="relu")(x)
    outputs = layers.Dense(3, activation="softmax", name="scores")(x)
    model = Model(inputs=inputs, outputs=outputs, name="digits")
    lines = []
    model.summary(print_fn=lines.append)
    assert lines[0] == 'Model: "digits"'
    trained(model, IMAGES, LABELS, losses.SparseCategoricalCrossentropy(), metrics=["accuracy"])
    loss, accuracy = model.evaluate(IMAGES, LABELS, verbose=0)
    assert 0 < loss and 0 <= accuracy <= 1


def test_a_file_holds_it(tmp_path):
    inputs = Input(shape=(12,))
    model = Model(inputs, layers.Dense(3)(layers.Dropout(0.5)(inputs)))
    model.save(tmp_path / "model.keras")
    again = load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(again.predict(IMAGES), model.predict(IMAGES))


def test_the_same_layers_in_two_models():
    encoder_input = Input(shape=(12,), name="img")
    x = layers.Dense(8, activation="relu")(encoder_input)
    encoder_output = layers.Dense(3, name="code")(x)
    encoder = Model(encoder_input, encoder_output, name="encoder")
    x = layers.Dense(8, activation="relu")(encoder_output)
    decoder_output = layers.Dense(12)(x)
    autoencoder = Model(encoder_input, decoder_output, name="autoencoder")
    before = encoder.predict(IMAGES)
    trained(autoencoder, IMAGES, IMAGES, "mse")
    assert not np.array_equal(encoder.predict(IMAGES), before)
    tail = Model(encoder_output, decoder_output)
    np.testing.assert_allclose(tail.predict(encoder.predict(IMAGES)), autoencoder.predict(IMAGES), atol=1e-5)


def test_models_are_called_like_layers():
    encoder_input = Input(shape=(12,), name="original")
    encoder = Model(encoder_input, layers.Dense(3, activation="tanh")(encoder_input), name="encoder")
    decoder_input = Input(shape=(3,), name="encoded")
    decoder = Model(decoder_input, layers.Dense(12)(decoder_input), name="decoder")
    autoencoder_input = Input(shape=(12,), name="img")
    autoencoder = Model(autoencoder_input, decoder(encoder(autoencoder_input)), name="autoencoder")
    trained(autoencoder, IMAGES, IMAGES, "mse")
    found = decoder.predict(encoder.predict(IMAGES))
    np.testing.assert_allclose(found, autoencoder.predict(IMAGES), atol=1e-5)


def test_an_ensemble():
    def get_model():
        inputs = Input(shape=(12,))
        return Model(inputs, layers.Dense(1)(inputs))

    models = [get_model() for _ in range(3)]
    inputs = Input(shape=(12,))
    outputs = layers.average([model(inputs) for model in models])
    ensemble = Model(inputs=inputs, outputs=outputs)
    trained(ensemble, IMAGES, IMAGES[:, 0], "mse")
    apart = np.mean([model.predict(IMAGES) for model in models], axis=0)
    np.testing.assert_allclose(ensemble.predict(IMAGES), apart, atol=1e-5)


def two_inputs():
    image = Input(shape=(12,), name="image")
    words = Input(shape=(5,), name="words")
    merged = layers.concatenate([layers.Dense(6, activation="relu")(image), layers.Dense(4)(words)])
    return image, words, merged


@pytest.mark.parametrize("given", [[IMAGES, WORDS], {"words": WORDS, "image": IMAGES}], ids=["list", "dictionary"])
def test_several_inputs(given):
    image, words, merged = two_inputs()
    model = Model(inputs=[image, words], outputs=layers.Dense(3, activation="softmax")(merged))
    trained(model, given, LABELS, "sparse_categorical_crossentropy", metrics=["accuracy"])
    assert model.predict(given).shape == (96, 3)


def test_several_outputs():
    image, words, merged = two_inputs()
    priority = layers.Dense(1, name="priority")(merged)
    department = layers.Dense(4, activation="sigmoid", name="department")(merged)
    model = Model(inputs=[image, words], outputs={"priority": priority, "department": department})
    history = trained(
        model,
        {"image": IMAGES, "words": WORDS},
        {"priority": IMAGES[:, :1], "department": TAGS},
        {"priority": losses.MeanSquaredError(), "department": losses.BinaryCrossentropy()},
        loss_weights={"priority": 1.0, "department": 0.2},
        metrics={"department": ["binary_accuracy"]},
    )
    assert {"priority_loss", "department_loss", "department_binary_accuracy", "val_priority_loss"} <= history.keys()
    total = history["priority_loss"][-1] + 0.2 * history["department_loss"][-1]
    assert history["loss"][-1] == pytest.approx(total, rel=1e-5)
    assert model.predict([IMAGES, WORDS])["department"].shape == (96, 4)


def test_several_outputs_by_their_order():
    image, words, merged = two_inputs()
    ends = [layers.Dense(1, name="priority")(merged), layers.Dense(3, activation="softmax", name="kind")(merged)]
    model = Model([image, words], ends)
    both = ["mse", "sparse_categorical_crossentropy"]
    trained(model, [IMAGES, WORDS], [IMAGES[:, 0], LABELS], both, loss_weights=[1.0, 0.5])
    assert [one.shape for one in model.predict([IMAGES, WORDS])] == [(96, 1), (96, 3)]


def test_a_residual_network():
    inputs = Input(shape=(12,), name="img")
    block_1 = layers.Dense(8, activation="relu")(inputs)
    x = layers.Dense(8, activation="relu")(block_1)
    block_2 = layers.add([layers.Dense(8)(x), block_1])
    x = layers.BatchNormalization()(layers.Dense(8, activation="relu")(block_2))
    block_3 = layers.Activation("relu")(layers.Add()([x, block_2]))
    outputs = layers.Dense(3)(layers.Dropout(0.1)(block_3))
    model = Model(inputs, outputs, name="toy_resnet")
    trained(model, IMAGES, np.eye(3)[LABELS], losses.CategoricalCrossentropy(from_logits=True), metrics=["acc"])


def test_shared_layers():
    shared = layers.Dense(4, activation="tanh", name="shared")
    one, other = Input(shape=(12,)), Input(shape=(12,))
    distance = layers.Dot(axes=1, normalize=True)([shared(one), shared(other)])
    model = Model([one, other], layers.Dense(1, activation="sigmoid")(distance))
    assert model.count_params() == 12 * 4 + 4 + 2
    trained(model, [IMAGES, IMAGES[::-1]], (LABELS == LABELS[::-1]).astype(int), "binary_crossentropy")
    kernel, bias = shared.get_weights()
    assert kernel.shape == (12, 4) and bias.any()


def test_features_out_of_the_middle():
    model = Sequential(
        [
            Input(shape=(12,)),
            layers.Dense(8, activation="relu", name="first"),
            layers.Dense(4, activation="relu", name="second"),
            layers.Dense(3, activation="softmax"),
        ]
    )
    trained(model, IMAGES, LABELS, "sparse_categorical_crossentropy")
    extractor = Model(inputs=model.inputs, outputs=[layer.output for layer in model.layers])
    found = extractor.predict(IMAGES)
    assert [values.shape[1] for values in found] == [8, 4, 3]
    np.testing.assert_allclose(found[-1], model.predict(IMAGES), atol=1e-5)
    second = Model(model.input, model.get_layer("second").output)
    np.testing.assert_allclose(second.predict(IMAGES), found[1], atol=1e-5)


def test_transfer_learning():
    base_model = Sequential([Input(shape=(12,)), layers.Dense(8, activation="relu"), layers.Dense(4)])
    trained(base_model, IMAGES, WORDS[:, :4], "mse")
    base_model.trainable = False
    before = base_model.get_weights()
    inputs = Input(shape=(12,))
    x = base_model(inputs, training=False)
    outputs = layers.Dense(3, activation="softmax")(layers.Dropout(0.2)(x))
    model = Model(inputs, outputs)
    assert len(model.trainable_weights) == 2 and len(model.non_trainable_weights) == 4
    trained(model, IMAGES, LABELS, "sparse_categorical_crossentropy")
    assert all(map(np.array_equal, base_model.get_weights(), before))
    base_model.trainable = True
    model.compile(optimizer=Adam(1e-5), loss="sparse_categorical_crossentropy")
    model.fit(IMAGES, LABELS, epochs=1, verbose=0)
    moved = [np.abs(now - then).max() for now, then in zip(base_model.get_weights(), before, strict=True)]
    assert 0 < max(moved) < 1e-3
    model.optimizer.learning_rate = 1e-6
    model.fit(IMAGES, LABELS, epochs=1, verbose=0)

"""The words that stand in nearly every Keras script, on models."""

import json

import numpy as np
import pytest

from firesteel.core.layers import LAYERS
from firesteel.errors import ConfigError, StoreError
from firesteel.layers import BatchNormalization, Dense, Dropout, Input, Permute, Reshape, Softmax
from firesteel.models import Model, Sequential, clone_model, load_model, model_from_config, model_from_json
from tests.support.parts import MERGES, looks_up, shape_for

X = np.random.default_rng(0).normal(size=(120, 4))
Y = (X[:, 0] > 0).astype(int)


def made(**more):
    model = Sequential([Dense(8, "relu", input_shape=(4,), name="first"), Dense(2, "softmax")], name="net")
    model.compile(optimizer="Adam", loss="SparseCategoricalCrossentropy", metrics=["accuracy"], **more)
    return model


@pytest.mark.parametrize("layer", LAYERS.values(), ids=repr)
def test_a_layer_without_weights_is_a_function_of_arrays(layer):
    several = isinstance(layer, MERGES)
    shape = shape_for(layer, (layer.inputs or 3,))
    given = [np.random.default_rng(number).uniform(0, 1, (5, *shape)) for number in range(1 + several)]
    given = [np.floor(one) if looks_up(layer) else one for one in given]
    if isinstance(layer, Input) or any(part.params(*[shape] * len(given)) for part in layer.parts()):
        with pytest.raises(ConfigError, match="is an input|has weights"):
            layer(given if several else given[0])
        return
    entries = [Input(shape) for _ in given]
    model = Model(entries, layer(entries if several else entries[0]), dtype="float64")
    made = layer(given if several else given[0])
    assert made.tobytes() == np.asarray(model.predict(given if several else given[0], verbose=0)).tobytes()
    assert layer([one.astype(int) for one in given] if several else given[0].astype(int)).dtype == np.float32


def test_a_batch_size_is_checked_and_changes_no_result():
    model = made()
    assert np.array_equal(model.predict(X, batch_size=7, verbose=0), model.predict(X))
    assert model.evaluate(X, Y, 7, 0) == model.evaluate(X, Y, verbose=0)
    for call in (lambda: model.predict(X, batch_size=0), lambda: model.evaluate(X, Y, batch_size="32", verbose=0)):
        with pytest.raises(ConfigError, match="batch_size="):
            call()


@pytest.mark.parametrize("layer", [Dense(3, input_shape=(4,)), Dropout(0.5, input_shape=[4]), Dense(3, input_dim=4)])
def test_the_first_layer_may_say_the_shape_of_rows(layer):
    assert Sequential([layer]).input_shape == (None, 4)


@pytest.mark.parametrize("shape", [(), 4, (4, 4), (0,), ("4",)])
def test_an_input_shape_that_is_none_is_refused(shape):
    with pytest.raises(ConfigError, match="input_shape="):
        Dense(3, input_shape=shape)


def test_the_rate_of_the_optimizer_can_be_set():
    model = made()
    model.optimizer.learning_rate = 0.25
    assert model.learning_rate == model.optimizer.learning_rate == 0.25
    with pytest.raises(ConfigError, match="learning_rate"):
        model.optimizer.learning_rate = -1.0
    with pytest.raises(AttributeError):
        model.optimizer.beta_1 = 0.5


def test_steps_on_batches_are_those_of_a_fit():
    one, other = made(), made()
    rows = [slice(0, 60), slice(60, 120)]
    losses = [one.train_on_batch(X[at], Y[at]) for at in rows]
    for at in rows:
        other.fit(X[at], Y[at], batch_size=60, shuffle=False, verbose=0)
    assert one.fingerprint() == other.fingerprint() and all(len(loss) == 2 for loss in losses)
    assert one.train_on_batch(X[:60], Y[:60], return_dict=True).keys() == {"loss", "accuracy"}
    assert one.test_on_batch(X, Y) == one.evaluate(X, Y, verbose=0)
    assert np.array_equal(one.predict_on_batch(X), one.predict(X))


def models():
    chain = made()
    unbuilt = Sequential([Dense(3), Dense(2)], dtype="float64")
    x = Input((4,), name="a")
    graph = Model(x, {"b": Dense(4)(x) + x, "c": Dense(1)(x)}, name="two")
    return {"chain": chain, "unbuilt": unbuilt, "graph": graph}


@pytest.mark.parametrize("name", models())
def test_a_description_makes_the_same_model_with_weights_of_its_own(name):
    model = models()[name]
    if name == "chain":
        model.fit(X, Y, verbose=0)
    others = [clone_model(model), model_from_json(model.to_json()), model_from_config(model.get_config())]
    for other in others:
        assert json.loads(other.to_json()) == json.loads(model.to_json()) and other.name == model.name
        assert type(other) is type(model)
        if name == "chain":
            assert other.fingerprint() != model.fingerprint() and other.loss is None


@pytest.mark.parametrize("text", ["", "3", "[]", "{}", '{"network": 3}', '{"layers": 3, "dtype": "float32"}', None])
def test_what_describes_no_model_is_refused(text):
    with pytest.raises(ConfigError):
        model_from_json(text)


def test_weights_alone_are_saved_and_loaded(tmp_path):
    model, other = made(), made()
    model.fit(X, Y, verbose=0)
    model.save_weights(path := tmp_path / "w.weights.h5")
    other.load_weights(path)
    assert other.fingerprint() == model.fingerprint()
    with pytest.raises(StoreError, match="exists"):
        model.save_weights(path, overwrite=False)
    with pytest.raises(ConfigError, match="other layers"):
        Sequential([Dense(2, input_dim=4)]).load_weights(path)


def test_a_model_may_be_loaded_without_what_it_was_compiled_with(tmp_path):
    model = made()
    model.fit(X, Y, verbose=0)
    model.save(path := tmp_path / "m.keras")
    again = load_model(path, compile=False)
    assert again.fingerprint() == model.fingerprint() and again.optimizer is None
    with pytest.raises(ConfigError, match="compile"):
        again.evaluate(X, Y)
    assert load_model(path, custom_objects={}).metrics_names == model.metrics_names


def test_layers_are_found_and_their_weights_are_read_and_set():
    model = made()
    layer = model.get_layer("first")
    assert layer is model.get_layer(index=0) is model.layers[0] and model.layers[1].name == "dense"
    kernel, bias = layer.get_weights()
    assert np.array_equal(layer.kernel, kernel) and np.array_equal(layer.bias, bias) and layer.count_params() == 40
    layer.set_weights([kernel + 1, bias])
    assert np.array_equal(model.get_weights()[0], kernel + 1)
    for wrong in ({"name": "none"}, {"index": 5}, {}):
        with pytest.raises(ConfigError, match="the layers are first, dense"):
            model.get_layer(**wrong)
    with pytest.raises(AttributeError, match="get_weights"):
        Dense(3).get_weights()


def test_a_summary_before_the_inputs_are_known_has_question_marks():
    lines = []
    Sequential([Dense(3), Dense(2)]).summary(print_fn=lines.append)
    assert sum("?" in line for line in lines) == 2


def test_functions_are_refused_with_what_to_write():
    for wrong in ({"loss": lambda y, p: 0.0}, {"loss": "mse", "metrics": [lambda y, p: 0.0]}):
        with pytest.raises(ConfigError, match="own-layer"):
            Sequential([Dense(2)]).compile(**wrong)


def test_a_layer_can_be_taken_away_while_there_are_no_weights():
    model = Sequential([Dense(3, input_dim=2), Dense(1)])
    assert model.pop() == Dense(1) and model.output_shape == (None, 3)
    model.get_weights()
    with pytest.raises(ConfigError, match="weights"):
        model.pop()


@pytest.mark.parametrize("trainable", [True, False])
def test_a_base_that_is_called_in_use_keeps_its_averages_and_drops_nothing(trainable, tmp_path):
    base = Sequential([Dense(6, "relu", input_dim=4), BatchNormalization(), Dropout(0.5)], name="base")
    base.compile("adam", "mse")
    base.fit(X, np.zeros((120, 6)), epochs=2, verbose=0)
    before, base.trainable = base.get_weights(), trainable
    x = Input((4,))
    model = Model(x, Dense(1)(base(x, training=False)))
    model.compile("adam", "mse")
    first = model.fit(X, Y, epochs=1, batch_size=120, verbose=0).rows[0]["loss"]
    again = Model(x, model.outputs)
    assert first == pytest.approx(float(np.mean((again_before(base, model, before) - Y) ** 2)), rel=1e-4)
    *moved, mean, variance = base.get_weights()
    assert np.array_equal(mean, before[4]) and np.array_equal(variance, before[5])
    assert [np.array_equal(a, b) for a, b in zip(moved, before, strict=False)] == [not trainable] * 4
    model.save(path := tmp_path / "m.firesteel")
    loaded = load_model(path)
    assert loaded.fingerprint() == model.fingerprint() == again.fingerprint()
    lines = []
    loaded.summary(print_fn=lines.append)
    assert "base/dropout (Dropout)" in "".join(lines)
    for one in (model, loaded):
        one.fit(X, Y, epochs=1, verbose=0)
    assert loaded.fingerprint() == model.fingerprint()


def again_before(base, model, weights):
    """Return what the model put out before its fit, whose head was drawn from seed 0."""
    fresh = clone_model(model)
    drawn = fresh.get_weights()
    fresh.set_weights([*weights, *drawn[len(weights) :]])
    return fresh.predict(X)[:, 0]


def test_dropout_in_use_is_refused():
    with pytest.raises(ConfigError, match="training=True"):
        Dropout(0.5)(Input((3,)), training=True)


def test_weighted_metrics_are_further_metrics():
    model = Sequential([Dense(2, "softmax", input_dim=4)])
    model.compile("adam", "sparse_categorical_crossentropy", ["accuracy"], weighted_metrics=["log_loss"])
    assert model.metrics_names == ["loss", "accuracy", "log_loss"]
    x = Input((4,))
    two = Model(x, {"a": Dense(1)(x), "b": Dense(1)(x)})
    two.compile("adam", {"a": "mse", "b": "mse"}, {"a": ["mae"]}, weighted_metrics={"b": ["mae"]})
    assert two.metrics_names == ["loss", "a_loss", "a_mae", "b_loss", "b_mae"]
    with pytest.raises(ConfigError, match="but the outputs are a, b"):
        two.compile("adam", "mse", weighted_metrics={"c": ["mae"]})


def test_a_model_is_made_of_its_description():
    model = models()["graph"]
    assert Model.from_config(model.get_config()).to_json() == model.to_json()


def test_a_layer_that_models_share_reads_values_of_one_shape():
    layer, a, b = Dense(3), Input((4,)), Input((5,))
    Model(a, layer(a))
    with pytest.raises(ConfigError, match="in another model"):
        Model(b, layer(b))


ENDS = [[Reshape((2, 3))], [Reshape((2, 3)), Permute((2, 1))], [Reshape((3, 2)), Reshape((6,))]]


@pytest.mark.parametrize("end", ENDS)
def test_a_sigmoid_that_is_only_reshaped_is_computed_together_with_its_loss(end):
    x = Input((4,))
    value, logits = Dense(6, activation="sigmoid", kernel_initializer="ones")(x), 90.0
    for layer in end:
        value = layer(value)
    model = Model(x, value)
    model.compile("sgd", "binary_crossentropy")
    rows = np.full((3, 4), logits / 4)
    assert model.evaluate(rows, np.zeros((3, *value.row)), verbose=0)[0] == pytest.approx(logits, rel=1e-5)
    assert model.predict(rows).shape == (3, *value.row) and (model.predict(rows) == 1).all()


def test_a_softmax_of_its_own_is_computed_together_with_its_loss():
    x = Input((4,))
    model = Model(x, {"a": Softmax()(Dense(2, kernel_initializer="ones")(x)), "b": Dense(1)(x)})
    model.compile("sgd", {"a": "sparse_categorical_crossentropy", "b": "mse"})
    assert np.allclose(model.predict(X)["a"], 0.5)


def test_an_input_takes_a_batch_size_and_a_dtype_which_change_nothing():
    given = Input((4,), batch_size=2, dtype="float32", name="a")
    assert given == Input((4,), name="a") and given.to_config() == Input((4,), name="a").to_config()
    for wrong in ({"batch_size": 0}, {"dtype": "string"}):
        with pytest.raises(ConfigError, match=next(iter(wrong))):
            Input((4,), **wrong)

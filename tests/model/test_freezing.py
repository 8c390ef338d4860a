"""Weights that do not train: they do not move by a bit, whatever moves the others, and cost a step nothing."""

import numpy as np
import pytest
from scipy import sparse

from firesteel.callbacks import BoldDriver, EarlyStopping
from firesteel.core.layers.wrapper import Held
from firesteel.core.optimizers import OPTIMIZERS
from firesteel.errors import ConfigError, StoreError
from firesteel.fast import compiling
from firesteel.graphs.freezing import trained_part
from firesteel.layers import BatchNormalization, Dense, Dropout, Embedding, Input, PReLU, Rescaling
from firesteel.models import Model, Sequential, load_model
from firesteel.optimizers import LBFGS, SGD, Adam, AdamW
from firesteel.testing import check_same_bits
from tests.support.functional import CLASS, SUM, A
from tests.support.graphs import Stop

X = A.astype(np.float32)
PENALIZED = {"kernel_regularizer": "l2", "bias_regularizer": "l1", "kernel_constraint": "max_norm"}


def layers(still=("first", "middle"), more=None):
    """Return the layers of a chain, some of which do not train."""
    made = [
        Dense(6, "tanh", input_dim=6, name="first", **(more or {})),
        BatchNormalization(name="norm"),
        Dense(5, "relu", name="middle", **(more or {})),
        Dense(3, "softmax", name="last", **(more or {})),
    ]
    for layer in made:
        layer.trainable = layer.name not in still
    return made


def chain(still=("first", "middle", "norm"), optimizer="adam", more=None):
    """Return a compiled chain."""
    model = Sequential(layers(still, more))
    model.compile(optimizer, "sparse_categorical_crossentropy", ["accuracy"])
    return model


def frozen_of(model):
    """Return the bytes of the weights that do not train."""
    return {one.name: [array.tobytes() for array in one.get_weights()] for one in model.layers if not one.trainable}


def moving_of(model):
    """Return the bytes of those that do."""
    return {one.name: [array.tobytes() for array in one.get_weights()] for one in model.layers if one.trainable}


def fit(model, **settings):
    model.fit(X, CLASS, **{"epochs": 3, "batch_size": 40, "seed": 5, "verbose": 0} | settings)
    return model


SHARED = {"learning_rate": 0.01}
WAYS = {
    "plain": {},
    "decay": {"weight_decay": 0.1},
    "average": {"use_ema": True},
    "clipping": {"global_clipnorm": 0.5},
}


def optimizer_of(name, way):
    """Return an optimizer of the registry, its settings changed, or None where it has none of those."""
    one = type(OPTIMIZERS[name])
    given = {field: value for field, value in WAYS[way].items() if field in {f.name for f in one.fields}}
    return None if given != WAYS[way] else one(**given)


STEPS = [(name, way) for name in OPTIMIZERS for way in WAYS]
STRATEGIES = {"shard": {}, "shards": {"shards": 3}, "gradient": {"strategy": "gradient"}}


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("name, way", STEPS)
def test_what_does_not_train_does_not_move_by_a_bit(name, way, strategy):
    searches = OPTIMIZERS[name].searches
    if searches and way != "plain":
        with pytest.raises(ConfigError):
            chain(optimizer=optimizer_of(name, way))
            type(OPTIMIZERS[name])(**WAYS[way])
        return
    settings = STRATEGIES["gradient" if searches else strategy] | ({"batch_size": None} if searches else {})
    model = chain(optimizer=optimizer_of(name, way), more=PENALIZED)
    model.draw(5)
    still, moving, size = frozen_of(model), moving_of(model), model.get_layer("last").count_params()
    assert set(still) == {"first", "norm", "middle"}
    fit(model, **settings)
    assert frozen_of(model) == still
    assert all(before != after for before, after in zip(moving.values(), moving_of(model).values(), strict=True))
    assert model.state.theta.shape == (size,) and model.state.slots.shape[1:] == (size,)


@pytest.mark.parametrize("callback", [BoldDriver(), EarlyStopping("loss", patience=0, restore_best_weights=True)])
def test_nor_do_callbacks_move_it(callback):
    settings = {"strategy": "gradient", "batch_size": None} if isinstance(callback, BoldDriver) else {}
    model = chain(optimizer=SGD(0.1))
    model.draw(5)
    still = frozen_of(model)
    fit(model, callbacks=[callback], epochs=6, **settings)
    assert frozen_of(model) == still


def alone(optimizer, **settings):
    """Return the last layer of a chain that was trained on what the others make."""
    model = chain(optimizer=optimizer, more=PENALIZED)
    model.draw(5)
    weights = model.get_layer("last").get_weights()
    fit(model, **settings)
    body = Model(model.inputs[0], model.get_layer("middle").output)
    head = Sequential([Dense(3, "softmax", input_dim=5, **PENALIZED)])
    head.compile(optimizer, "sparse_categorical_crossentropy")
    head.set_weights(weights)
    return model, head, body.predict(X)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_it_trains_as_the_rest_does_on_what_it_makes(name):
    """Rows are dealt by the bits of their features, so all of them make each step."""
    settings = {"strategy": "gradient", "batch_size": None}
    model, head, made = alone(OPTIMIZERS[name], **settings)
    head.fit(made, CLASS, epochs=3, verbose=0, **settings)
    for one, other in zip(model.get_layer("last").get_weights(), head.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=2e-3, atol=2e-4)


@pytest.mark.parametrize("shards", [1, 3])
@pytest.mark.parametrize("still", [("first", "norm"), ("middle",), ("last",), ("norm",), ("first", "last")], ids=str)
def test_the_bits_are_the_same_everywhere(tmp_path, monkeypatch, still, shards):
    def run(**settings):
        return fit(chain(still), shards=shards, epochs=4, **settings).fingerprint()

    def halves():
        with pytest.raises(ZeroDivisionError):
            run(checkpoint=tmp_path / "kept", callbacks=[Stop()])
        return run(checkpoint=tmp_path / "kept", callbacks=[Stop(False)])

    def plain():
        monkeypatch.setattr(compiling, "ON", False)
        return run()

    check_same_bits([run, halves, plain])


def test_a_checkpoint_of_other_weights_that_do_not_train_is_refused(tmp_path):
    settings = {"checkpoint": tmp_path / "kept"}
    with pytest.raises(ZeroDivisionError):
        fit(chain(), callbacks=[Stop()], **settings)
    model = chain()
    model.draw(6)
    for other in (model, chain(("first",))):
        with pytest.raises(StoreError, match="network differs"):
            fit(other, callbacks=[Stop(False)], **settings)


@pytest.mark.parametrize("optimizer", [Adam(), AdamW(weight_decay=0.1), SGD(momentum=0.9, use_ema=True)], ids=str)
def test_a_file_of_it_trains_on_to_the_bit(tmp_path, optimizer):
    model = fit(chain(optimizer=optimizer))
    model.save(tmp_path / "model")
    again = load_model(tmp_path / "model")
    assert [layer.trainable for layer in again.layers] == [layer.trainable for layer in model.layers]
    assert fit(again, seed=6).fingerprint() == fit(model, seed=6).fingerprint()
    assert again.state.slots.tobytes() == model.state.slots.tobytes()


@pytest.mark.parametrize("optimizer", [Adam(), SGD(momentum=0.9, use_ema=True)], ids=str)
@pytest.mark.parametrize("rate", [None, 0.01])
def test_a_model_frozen_after_its_training_is_saved_and_trains_on_to_the_bit(tmp_path, optimizer, rate):
    model = fit(chain((), optimizer))
    if rate is not None:
        model.learning_rate = rate
    model.layers[0].trainable = False
    slots = model._state.slots.tobytes()
    model.save(tmp_path / "model")
    assert model._state.slots.tobytes() == slots  # saving changes nothing
    again = load_model(tmp_path / "model")
    assert again.fingerprint() == model.fingerprint()
    assert fit(again, seed=6).fingerprint() == fit(model, seed=6).fingerprint()
    assert again.state.slots.tobytes() == model.state.slots.tobytes()


# Where it is said


def in_constructors():
    return Sequential([Dense(6, "tanh", input_dim=6, trainable=False), Dense(3, "softmax")])


def on_layers():
    first = Dense(6, "tanh", input_dim=6)
    first.trainable = False
    return Sequential([first, Dense(3, "softmax")])


def after_it_was_built():
    first = Dense(6, "tanh", input_dim=6)
    model = Sequential([first, Dense(3, "softmax")])
    model.count_params()
    first.trainable = False
    return model


def through_get_layer():
    model = Sequential([Dense(6, "tanh", input_dim=6, name="first"), Dense(3, "softmax")])
    model.get_layer("first").trainable = False
    return model


def after_compile():
    model = Sequential([Dense(6, "tanh", input_dim=6, name="first"), Dense(3, "softmax")])
    model.compile("adam", "sparse_categorical_crossentropy")
    assert len(model.state.theta) == model.count_params()
    model.layers[0].trainable = False
    return model


def of_all_and_one_again():
    model = Sequential([Dense(6, "tanh", input_dim=6, name="first"), Dense(3, "softmax")])
    model.trainable = False
    model.layers[-1].trainable = True
    return model


def of_a_model_within():
    base = Sequential([Dense(6, "tanh", input_dim=6)], name="base")
    base.trainable = False
    return Sequential([base, Dense(3, "softmax")])


def of_a_model_within_that_was_called_before():
    base, x = Sequential([Dense(6, "tanh", input_dim=6)], name="base"), Input((6,))
    model = Model(x, Dense(3, "softmax")(base(x)))
    base.trainable = False
    return model


def by_functions():
    x = Input((6,))
    return Model(x, Dense(3, "softmax")(Dense(6, "tanh", trainable=False)(x)))


PLACES = [
    in_constructors,
    on_layers,
    after_it_was_built,
    through_get_layer,
    after_compile,
    of_all_and_one_again,
    of_a_model_within,
    of_a_model_within_that_was_called_before,
    by_functions,
]


@pytest.mark.parametrize("place", PLACES)
def test_trainable_is_said_in_many_places(tmp_path, place):
    model = place()
    model.compile("adam", "sparse_categorical_crossentropy")
    model.draw(5)
    first = model.get_weights()[0].copy()
    fit(model)
    assert np.array_equal(model.get_weights()[0], first) and len(model.state.theta) == 21
    lines = []
    model.summary(print_fn=lines.append)
    counts = [line.split()[-3] for line in lines if "rainable params" in line]
    assert counts == ["21", "42"]
    model.save(tmp_path / "model")
    again = load_model(tmp_path / "model")
    fit(again)
    assert np.array_equal(again.get_weights()[0], first) and len(again.state.theta) == 21


def test_what_trains_again_goes_on_from_where_it_was():
    model = fit(chain())
    still = frozen_of(model)
    model.trainable = True
    assert model.trainable and not frozen_of(model)
    fit(model)
    after = {one.name: [array.tobytes() for array in one.get_weights()] for one in model.layers}
    assert all(after[name] != arrays for name, arrays in still.items())
    assert len(model.state.theta) == model.count_params()


def test_a_rate_that_was_set_outlasts_what_trains():
    model = chain()
    model.learning_rate = 0.125
    model.get_layer("middle").trainable = True
    assert model.learning_rate == 0.125


def test_nothing_that_trains_is_refused_before_the_rows_are_packed():
    model = chain(("first", "norm", "middle", "last"))
    assert not model.trainable
    with pytest.raises(ConfigError, match="trainable"):
        fit(model)
    assert model.predict(X).shape == (len(X), 3)
    assert len(model.evaluate(X, CLASS, verbose=0)) == 2


@pytest.mark.parametrize("given", [None, 1, "yes", 0.0])
def test_trainable_is_true_or_false(given):
    layer = Dense(2)
    for call in (
        lambda: Dense(2, trainable=given),
        lambda: setattr(layer, "trainable", given),
        lambda: setattr(Sequential([layer]), "trainable", given),
    ):
        with pytest.raises(ConfigError, match="trainable"):
            call()


# What it computes


def test_a_batch_normalization_that_does_not_train_keeps_its_statistics_and_uses_them():
    model = Sequential([BatchNormalization(input_dim=6, name="norm"), Dense(3, "softmax", name="last")])
    model.compile("sgd", "sparse_categorical_crossentropy")
    fit(model, epochs=5)
    model.get_layer("norm").trainable = False
    norm = model.get_layer("norm").get_weights()
    model.forget()
    start = model.get_layer("last").get_weights()
    head = Sequential([Dense(3, "softmax", input_dim=6)])
    head.compile("sgd", "sparse_categorical_crossentropy")
    head.set_weights(start)
    made = Model(model.inputs[0], model.get_layer("norm").output).predict(X)
    settings = {"strategy": "gradient", "batch_size": None, "epochs": 2, "verbose": 0}
    model.fit(X, CLASS, **settings)
    head.fit(made, CLASS, **settings)
    assert all(map(np.array_equal, norm, model.get_layer("norm").get_weights()))
    for one, other in zip(model.get_layer("last").get_weights(), head.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


KINDS = {
    "embedding": lambda: [Embedding(9, 3, trainable=False), Dense(3, "softmax")],
    "embedding by rows": lambda: [Embedding(9, 3, sparse_steps=True, trainable=False), Dense(3, "softmax")],
    "embedding that trains": lambda: [Embedding(9, 3, sparse_steps=True), Dense(3, "softmax", trainable=False)],
    "curve with weights": lambda: [Dense(5, input_dim=6), PReLU(trainable=False), Dense(3, "softmax")],
    "dropout": lambda: [Dense(5, input_dim=6, trainable=False), Dropout(0.3, trainable=False), Dense(3, "softmax")],
}


@pytest.mark.parametrize("kind", KINDS)
def test_layers_of_every_kind_stay(kind):
    x = np.abs(np.floor(X * 2)) % 9 if "embedding" in kind else X
    model = Sequential(KINDS[kind]())
    model.compile(Adam(0.05), "sparse_categorical_crossentropy")
    model.fit(x, CLASS, epochs=1, batch_size=40, verbose=0)
    still, moving = frozen_of(model), moving_of(model)
    before = model.evaluate(x, CLASS, verbose=0)
    model.fit(x, CLASS, epochs=5, batch_size=40, verbose=0)
    assert frozen_of(model) == still
    assert all(a != b for a, b in zip(moving.values(), moving_of(model).values(), strict=True) if a)
    assert model.evaluate(x, CLASS, verbose=0) < before


@pytest.mark.parametrize("still", ["first", "last"])
def test_sparse_rows_train_as_dense_ones_do(still):
    def made(rows):
        model = Sequential([Rescaling(0.5), Dense(5, "tanh", name="first"), Dense(3, "softmax", name="last")])
        model.build((None, 6))
        model.get_layer(still).trainable = False
        model.compile(SGD(0.1), "sparse_categorical_crossentropy")
        model.fit(rows, CLASS, epochs=3, batch_size=40, verbose=0, strategy="gradient", seed=5)
        return model

    x = np.where(np.abs(X) > 0.7, X, 0).astype(np.float32)
    dense, thin = made(x), made(sparse.csr_matrix(x))
    np.testing.assert_allclose(dense.theta, thin.theta, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(dense.predict(x), thin.predict(sparse.csr_matrix(x)), rtol=1e-4, atol=1e-5)


def test_frozen_parts_report_how_many_values_they_return():
    from tests.support.graphs import Halves

    assert Held(Halves(), {}).results == 2


def test_a_search_moves_what_trains():
    model = chain(("first", "norm", "middle"), LBFGS())
    model.draw(5)
    before = model.evaluate(X, CLASS, verbose=0)[0]
    model.fit(X, CLASS, epochs=5, verbose=0)
    assert model.evaluate(X, CLASS, verbose=0)[0] < before
    assert trained_part(model.theta, model._trains()).shape == model.state.theta.shape


def test_a_regression_far_from_zero_trains_behind_what_does_not():
    model = Sequential([Dense(5, "tanh", input_dim=6, trainable=False), Dense(1)])
    model.compile(Adam(0.05), "mse")
    model.fit(X, SUM + 1e9, epochs=30, batch_size=40, verbose=0)
    assert np.std(model.predict(X)[:, 0] - (SUM + 1e9)) < np.std(SUM)

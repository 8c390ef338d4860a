"""The Keras-shaped face: what it does with layers, weights, rows and words, and what it refuses."""

import inspect
import json
import re
from dataclasses import fields, replace

import numpy as np
import pytest

from firesteel import losses, metrics
from firesteel.callbacks import EarlyStopping, LambdaCallback
from firesteel.core.elsewhere import ELSEWHERE
from firesteel.core.layers import LAYERS
from firesteel.core.losses import LOSSES
from firesteel.core.metrics import METRICS
from firesteel.core.network import Objective
from firesteel.core.optimizers import OPTIMIZERS
from firesteel.core.regularizers import REGULARIZERS
from firesteel.datasets import load_digits
from firesteel.errors import ConfigError, DataError, DivergenceError
from firesteel.fast import threads
from firesteel.layers import Activation, Dense, Dropout, Rescaling
from firesteel.losses import MeanSquaredError, SparseCategoricalCrossentropy
from firesteel.metrics import AUC, MeanAbsoluteError, Precision, Ranking, RowMetric
from firesteel.models import Sequential, load_model
from firesteel.optimizers import SGD, Adam
from firesteel.testing import check_same_bits
from firesteel.train.strategies import STRATEGIES, Gradient
from firesteel.utils import to_categorical

RNG = np.random.default_rng(0)
ROWS = 400
X = RNG.normal(size=(ROWS, 4))
Y = (X[:, 0] * X[:, 1] > 0).astype(int)
W = RNG.integers(1, 4, ROWS)


def build(dropout=0.2, dtype="float32", optimizer="adam", inputs=4, metrics=("accuracy",)):
    layers = [Dense(8, "tanh", input_dim=inputs), Dropout(dropout), Dense(2, activation="softmax")]
    model = Sequential(layers, dtype=dtype)
    model.compile(optimizer, "sparse_categorical_crossentropy", list(metrics))
    return model


def fitted(*args, x=X, y=Y, model=None, **settings):
    model = model or build()
    model.fit(x, y, *args, **{"verbose": 0} | settings)
    return model


def seen(hear):
    """Callbacks that hear of the end of each epoch."""
    return [LambdaCallback(on_epoch_end=lambda epoch, logs: hear())]


def refusal(make, match):
    with pytest.raises(ConfigError, match=match) as caught:
        make()
    return caught.value


# Building


def test_layers_may_be_given_at_once_or_one_by_one():
    at_once, one_by_one = build(), Sequential()
    for layer in at_once.layers:
        one_by_one.add(layer)
    assert one_by_one.layers == at_once.layers and one_by_one.fingerprint() == at_once.fingerprint()
    one_by_one.layers.clear()
    assert len(one_by_one.layers) == 3


def test_layers_can_be_added_until_the_weights_are_drawn():
    model = Sequential([Dense(3, input_dim=2)])
    assert model.count_params() == 9
    model.add(Dense(1))
    assert model.count_params() == 13
    model.get_weights()
    assert refusal(lambda: model.add(Dense(1)), "already has weights").code == "config-built"


def test_the_number_of_inputs_may_come_with_the_data():
    named, unnamed = build(), build(inputs=None)
    refusal(unnamed.count_params, "pass input_dim= to the first layer, or fit first")
    assert fitted(model=unnamed).count_params() == fitted(model=named).count_params() == 58
    for first_use in (lambda m: m.predict(X), lambda m: m.evaluate(X, Y, verbose=0)):
        model = build(inputs=None)
        first_use(model)
        assert model.count_params() == 58


def test_summary_tells_layers_shapes_and_parameters(capsys):
    Sequential([Dense(8, "relu", input_dim=784), Dropout(0.5), Dense(10, "softmax", use_bias=False)]).summary()
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == 'Model: "sequential"' and len({len(line) for line in lines[1:-3]}) == 1
    assert [line.strip("┃│ ").replace("┃", "│").split("│") for line in lines[2:-4:2]] == [
        ["Layer (type)                    ", " Output Shape           ", "       Param #"],
        ["dense (Dense)                   ", " (None, 8)              ", "         6,280"],
        ["dropout (Dropout)               ", " (None, 8)              ", "             0"],
        ["dense_1 (Dense)                 ", " (None, 10)             ", "            80"],
    ]
    assert lines[-3:] == [
        " Total params: 6,360 (24.84 KB)",
        " Trainable params: 6,360 (24.84 KB)",
        " Non-trainable params: 0 (0.00 B)",
    ]


def test_the_network_of_the_textbook_compiles_and_learns():
    model = Sequential()
    model.add(Dense(20, input_dim=784, kernel_initializer="normal", activation="relu"))
    model.add(Dense(15, kernel_initializer="normal", activation="relu"))
    model.add(Dense(10, kernel_initializer="normal", activation="softmax"))
    model.compile(loss="categorical_crossentropy", optimizer="adam", metrics=["accuracy"])
    assert model.count_params() == 784 * 20 + 20 + 20 * 15 + 15 + 15 * 10 + 10
    assert np.std(model.get_weights()[0]) == pytest.approx(0.05, rel=0.02)
    history = model.fit(RNG.uniform(size=(64, 784)), to_categorical(np.arange(64) % 10), epochs=2, verbose=0)
    assert np.isfinite(history.history["loss"]).all()


EACH = {(loss, list(OPTIMIZERS)[number % len(OPTIMIZERS)]) for number, loss in enumerate(LOSSES)}


@pytest.mark.parametrize(
    "loss, optimizer",
    [
        pytest.param(loss, optimizer, marks=[] if (loss, optimizer) in EACH else pytest.mark.slow)
        for loss in LOSSES
        for optimizer in OPTIMIZERS
    ],
)
def test_every_loss_and_optimizer_can_be_compiled_by_name_and_as_an_object(loss, optimizer):
    for words in ((optimizer, loss), (OPTIMIZERS[optimizer], LOSSES[loss])):
        model = Sequential([Dense(2, LOSSES[loss].natural, input_dim=4)])
        model.compile(*words, metrics=[])
        y = Y if LOSSES[loss].targets == "class" else to_categorical(Y)
        history = model.fit(X, y, epochs=1, verbose=0)
        assert np.isfinite(history.history["loss"]).all()


@pytest.mark.parametrize("name", [*METRICS, "accuracy", "acc"])
def test_every_metric_is_reported_under_the_name_it_was_asked_for_by(name):
    model = Sequential([Dense(2, "softmax", input_dim=4)])
    model.compile("sgd", "categorical_crossentropy", [name])
    assert model.metrics_names == ["loss", name]
    y = to_categorical(Y)
    history = model.fit(X, y, verbose=0, validation_split=0.1)
    trained = [] if isinstance(METRICS.get(name), Ranking) else [name]
    assert list(history.history) == ["loss", *trained, "val_loss", f"val_{name}"]
    assert list(model.evaluate(X, y, verbose=0, return_dict=True)) == ["loss", name]


def test_compile_takes_names_as_keras_spells_them_and_classes():
    given = [
        ("Adam", "SparseCategoricalCrossentropy", ["Accuracy", "AUC"]),
        (Adam, SparseCategoricalCrossentropy, [AUC]),
    ]
    for optimizer, loss, measured in given:
        model = build()
        model.compile(optimizer, loss, measured)
        assert (model.optimizer, model.get_compile_config()["loss"]["type"]) == (
            Adam(),
            loss if isinstance(loss, str) else loss.__name__,
        )
        model.fit(X, Y, verbose=0)
        again = Sequential.from_bytes(model.to_bytes())
        assert again.evaluate(X, Y, verbose=0) == model.evaluate(X, Y, verbose=0)
    assert model.metrics_names == ["loss", "auc"]


def test_a_metric_given_as_an_object_is_reported_under_its_name():
    model = build(metrics=[MeanAbsoluteError()])
    assert model.metrics_names[1] in METRICS and METRICS[model.metrics_names[1]] == MeanAbsoluteError()


def test_losses_are_taken_as_functions_and_are_metrics_too():
    given = ["kl_divergence", metrics.Hinge(), losses.LogCosh(), losses.poisson, metrics.Accuracy(), "Accuracy"]
    model = Sequential([Dense(2, "softmax", input_dim=4)])
    model.compile("sgd", losses.categorical_crossentropy, given)
    names = ["kl_divergence", "hinge", "log_cosh", "poisson", "accuracy", "Accuracy"]
    assert model.metrics_names == ["loss", *names]
    history = model.fit(X, to_categorical(Y), epochs=2, verbose=0, validation_split=0.1).history
    assert history["kl_divergence"] == pytest.approx(history["loss"], rel=1e-5)
    assert history["accuracy"] == [0, 0] and history["Accuracy"][-1] > 0.5
    again = Sequential.from_bytes(model.to_bytes())
    assert again.get_compile_config() == model.get_compile_config() and again.metrics_names == model.metrics_names


def test_metrics_and_losses_have_the_names_that_they_are_given():
    given = [Precision(class_id=1, name="hits"), metrics.AUC(name="prc"), losses.Huber(2.0, name="h"), "accuracy"]
    model = build(metrics=given)
    names = ["hits", "prc", "h", "accuracy"]
    assert model.metrics_names == ["loss", *names]
    stop = EarlyStopping("val_prc", patience=1)
    history = model.fit(X, Y, epochs=2, verbose=0, validation_split=0.2, callbacks=stop).history
    assert {f"val_{name}" for name in names} <= set(history) and stop.larger
    again = Sequential.from_bytes(model.to_bytes())
    assert again.metrics_names == model.metrics_names and again.get_compile_config() == model.get_compile_config()
    assert Precision(name="hits") == Precision() and "name" not in Precision().to_config()
    for wrong in ("", "loss", "val_x", "epoch", 5):
        assert refusal(lambda wrong=wrong: Precision(name=wrong), "name=").code == "config-value"
    assert refusal(lambda: losses.Huber(name=5), "name=5").code == "config-value"


def test_metrics_with_the_same_name_are_numbered_in_order():
    names = ["auc", Precision(class_id=0), "confusion_matrix", Precision(class_id=1), "precision", "accuracy"]
    model = build(metrics=names)
    expected = ["loss", "auc", "precision", "confusion_matrix", "precision_1", "precision_2", "accuracy"]
    means = model.evaluate(X, Y, verbose=0, return_dict=True)
    assert model.metrics_names == expected == list(means)
    assert means["precision_2"] == pytest.approx((means["precision"] + means["precision_1"]) / 2)
    assert model.evaluate(X, Y, verbose=0) == list(means.values())


def test_lists_are_reported_in_history_and_not_on_the_screen(capsys):
    model = build(metrics=["confusion_matrix", "accuracy"])
    history = model.fit(X, Y, epochs=2, verbose=1, validation_split=0.1)
    assert "confusion" not in capsys.readouterr().out
    assert [np.sum(matrix) for matrix in history.history["confusion_matrix"]] == [len(X) * 0.9] * 2
    assert json.loads(history.to_jsonl().splitlines()[1])["val_confusion_matrix"]
    assert "accuracy" in model.evaluate(X, Y, return_dict=True) and "confusion" not in capsys.readouterr().out


@pytest.mark.filterwarnings("ignore:Largest is not registered")
def test_a_metric_of_ones_own_can_be_reported():
    class Largest(RowMetric):
        def rows(self, p, y):
            return p.max(axis=1)

    model = build(metrics=[Largest()])
    assert 0.5 <= model.evaluate(X, Y, verbose=0)[1] <= 1.0


# Weights


def test_weights_are_drawn_at_first_use_from_seed_0():
    a, b = build(), build()
    b.predict(X)
    assert a.fingerprint() == b.fingerprint() and a.theta.tobytes() == a.network.init(0).tobytes()


def test_a_first_fit_initializes_weights_from_its_seed_even_after_they_were_read():
    fresh, looked = build(), build()
    looked.predict(X)
    looked.evaluate(X, Y, verbose=0)
    assert fitted(model=fresh, seed=3).fingerprint() == fitted(model=looked, seed=3).fingerprint()
    assert fitted(seed=3).fingerprint() != fitted(seed=4).fingerprint()


def test_a_first_fit_starts_from_weights_that_were_set_or_loaded(tmp_path):
    weights = [np.full_like(array, 0.1) for array in build().get_weights()]
    model = build(optimizer=SGD(0.0))
    model.set_weights(weights)
    model.save(tmp_path / "model")
    for chosen in (model, load_model(tmp_path / "model")):
        for ours, given in zip(fitted(model=chosen, seed=5).get_weights(), weights, strict=True):
            np.testing.assert_array_equal(ours, given)


def test_weights_come_as_copies_and_go_in_by_value():
    model = build()
    weights = model.get_weights()
    assert [array.shape for array in weights] == [(4, 8), (8,), (8, 2), (2,)]
    before = model.fingerprint()
    weights[0][:] = 7
    assert model.fingerprint() == before
    model.set_weights(weights)
    weights[0][:] = 8
    assert (model.get_weights()[0] == 7).all()
    model.set_weights([array.tolist() for array in weights])
    assert (model.get_weights()[0] == 8).all() and model.get_weights()[0].dtype == np.float32
    with pytest.raises(ValueError, match="read-only"):
        model.theta[0] = 1


def test_weights_set_after_a_fit_are_where_the_next_fit_goes_on():
    model = fitted(model=build(optimizer=SGD(0.0)))
    weights = [np.full_like(array, 0.5) for array in model.get_weights()]
    model.set_weights(weights)
    assert all((array == 0.5).all() for array in fitted(model=model).get_weights())


@pytest.mark.parametrize(
    "weights",
    [
        [],
        [np.zeros((4, 8))],
        [np.zeros((8, 4)), np.zeros(8), np.zeros((8, 2)), np.zeros(2)],
        [np.zeros((4, 8)), np.zeros(8), np.zeros((8, 2)), np.zeros(2), np.zeros(1)],
        [np.full((4, 8), "a"), np.zeros(8), np.zeros((8, 2)), np.zeros(2)],
        [[[1.0], [1.0, 2.0]], np.zeros(8), np.zeros((8, 2)), np.zeros(2)],
    ],
    ids=["none", "one", "shape", "many", "text", "ragged"],
)
def test_weights_that_do_not_fit_are_refused(weights):
    model = build()
    before = model.fingerprint()
    refusal(lambda: model.set_weights(weights), "set_weights")
    assert model.fingerprint() == before


# Fitting


def test_fit_returns_what_the_model_keeps_and_it_survives_json():
    model = build()
    assert model.history is None
    history = model.fit(X, Y, epochs=3, validation_split=0.25, verbose=0)
    assert model.history is history and history.epoch == [0, 1, 2]
    assert list(history.history) == ["loss", "accuracy", "val_loss", "val_accuracy"]
    assert json.loads(json.dumps(history.rows)) == history.rows
    assert history.rows[-1]["rows"] == 300


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_second_fit_goes_on_from_the_first(strategy, dtype):
    ten = fitted(epochs=10, strategy=strategy, model=build(dtype=dtype))
    twice = fitted(epochs=5, strategy=strategy, model=build(dtype=dtype))
    twice.fit(X, Y, epochs=5, strategy=strategy, verbose=0)
    assert twice.fingerprint() == ten.fingerprint() and twice.theta.dtype == dtype


def test_compiling_again_starts_the_optimizer_afresh_and_keeps_the_weights():
    model = fitted()
    before = model.fingerprint()
    model.compile("adam", "sparse_categorical_crossentropy")
    assert model.fingerprint() == before
    again = build()
    again.set_weights(model.get_weights())
    assert fitted(model=model).fingerprint() == fitted(model=again).fingerprint()


def test_a_fit_does_not_touch_the_global_generator():
    np.random.seed(1)
    before = np.random.get_state()[1].copy()
    first = fitted().fingerprint()
    np.testing.assert_array_equal(np.random.get_state()[1], before)
    np.random.seed(2)
    assert fitted().fingerprint() == first


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_order_of_the_rows_does_not_move_a_bit(strategy):
    orders = [np.arange(ROWS), *(np.random.default_rng(s).permutation(ROWS) for s in (1, 2))]
    check_same_bits(
        [
            lambda o=o: fitted(x=X[o], y=Y[o], sample_weight=W[o], epochs=2, strategy=strategy).fingerprint()
            for o in orders
        ]
    )


def test_without_shuffling_the_order_of_the_rows_is_the_order_of_the_steps():
    o = np.random.default_rng(1).permutation(ROWS)
    assert fitted(shuffle=False).fingerprint() != fitted(x=X[o], y=Y[o], shuffle=False).fingerprint()
    assert fitted(shuffle=False).fingerprint() == fitted(shuffle=False).fingerprint() != fitted().fingerprint()


def test_the_type_of_the_rows_does_not_move_a_bit():
    x = RNG.integers(0, 200, (ROWS, 4))
    kinds = [x, x.astype("u1"), x.astype("f4"), x.astype("f8"), x.tolist(), x.astype(object), np.asfortranarray(x)]
    check_same_bits([lambda x=x: fitted(x=x).fingerprint() for x in kinds])
    labels = [Y, Y.astype(bool), Y.astype("f4"), Y.tolist(), Y[:, None]]
    check_same_bits([lambda y=y: fitted(y=y).fingerprint() for y in labels])


@pytest.mark.parametrize("shards", [1, 2, 3, 5, 8])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_threads_do_not_move_a_bit_with_any_number_of_shards(strategy, shards, monkeypatch):
    def run(count):
        monkeypatch.setattr(threads, "worker_threads", lambda: count)
        return fitted(epochs=2, shards=shards, strategy=strategy, batch_size=40).fingerprint()

    check_same_bits([lambda: run(1), lambda: run(2), lambda: run(5)])


def test_shards_train_apart_and_still_learn():
    for shards in (1, 4):
        model = fitted(epochs=40, shards=shards, model=build(0.0, optimizer=Adam(0.02)))
        assert model.evaluate(X, Y, verbose=0)[1] > 0.9


def test_digits_are_read_well_in_a_few_epochs():
    (x, y), (x_test, y_test) = load_digits()
    model = Sequential([Rescaling(1 / 16, input_dim=64), Dense(64, "relu"), Dense(10, "softmax")])
    model.compile("adam", "sparse_categorical_crossentropy", ["accuracy"])
    model.fit(x.reshape(-1, 64), y, epochs=15, verbose=0)
    assert model.evaluate(x_test.reshape(-1, 64), y_test, verbose=0)[1] > 0.94


@pytest.mark.parametrize("share", [0.1, 0.25, 0.33])
def test_validation_split_holds_out_the_last_rows(share):
    cut = int(ROWS * (1 - share))
    split, given = build(), build()
    a = split.fit(X, Y, epochs=2, validation_split=share, sample_weight=W, verbose=0)
    b = given.fit(
        X[:cut], Y[:cut], epochs=2, validation_data=(X[cut:], Y[cut:], W[cut:]), sample_weight=W[:cut], verbose=0
    )
    assert split.fingerprint() == given.fingerprint() and a.history == b.history


def test_validation_does_not_change_the_training():
    check_same_bits(
        [
            lambda: fitted(epochs=2).fingerprint(),
            lambda: fitted(epochs=2, validation_data=(X[:50], Y[:50])).fingerprint(),
        ]
    )


def test_validation_data_go_before_a_split():
    both = build()
    history = both.fit(X, Y, validation_data=(X[:50], Y[:50]), validation_split=0.5, verbose=0)
    assert history.rows[0]["rows"] == ROWS and both.fingerprint() == fitted().fingerprint()


def test_validation_metrics_equal_those_of_evaluate():
    model = build()
    history = model.fit(X, Y, epochs=2, validation_data=[X[:90], Y[:90], W[:90]], verbose=0)
    loss, accuracy = model.evaluate(X[:90], Y[:90], sample_weight=W[:90], verbose=0)
    assert (history.history["val_loss"][-1], history.history["val_accuracy"][-1]) == (loss, accuracy)


def test_weight_2_is_the_row_twice_under_gradient():
    repeated = np.repeat(np.arange(ROWS), W)
    settings = dict(epochs=5, strategy="gradient")
    a = fitted(sample_weight=W, model=build(0.0, "float64", SGD(0.5)), **settings)
    b = fitted(x=X[repeated], y=Y[repeated], model=build(0.0, "float64", SGD(0.5)), **settings)
    np.testing.assert_allclose(a.theta, b.theta, rtol=1e-10, atol=1e-12)
    assert a.history.history["loss"] == pytest.approx(b.history.history["loss"], rel=1e-12)


def test_a_row_of_weight_0_has_no_say_in_losses_and_under_gradient():
    kept = np.arange(ROWS) % 3 > 0
    a = fitted(sample_weight=kept * 1.0, strategy="gradient", model=build(0.0, "float64"))
    b = fitted(x=X[kept], y=Y[kept], strategy="gradient", model=build(0.0, "float64"))
    np.testing.assert_allclose(a.theta, b.theta, rtol=1e-9, atol=1e-12)
    some = a.evaluate(X[kept], Y[kept], verbose=0)
    assert a.evaluate(X, Y, sample_weight=kept, verbose=0) == pytest.approx(some, rel=1e-12)


def test_a_diverged_fit_raises_and_keeps_the_last_good_weights():
    model = Sequential([Dense(4, input_dim=4), Dense(1)])
    model.compile(SGD(0.9), "mse")
    states = []
    with pytest.raises(DivergenceError, match="Lower the learning rate") as caught:
        model.fit(
            X, X[:, 0], epochs=100, batch_size=400, verbose=0, callbacks=seen(lambda: states.append(model.state))
        )
    kept = [model.network.init(0).tobytes(), *(state.theta.tobytes() for state in states)]
    assert model.theta.tobytes() == caught.value.state.theta.tobytes() in kept
    assert np.abs(states[-1].theta).max() > 100 > np.abs(model.theta).max(), "finite is not good enough"


def test_a_fit_that_diverges_at_once_keeps_the_first_weights():
    model = Sequential([Dense(4, input_dim=4), Dense(1)])
    model.compile(SGD(1e6), "mse")
    with pytest.raises(DivergenceError):
        model.fit(X, X[:, 0], epochs=100, verbose=0)
    assert model.theta.tobytes() == model.network.init(0).tobytes()


# Printing


def test_verbose_prints_a_line_an_epoch_and_0_is_silent(capsys):
    fitted(epochs=2, validation_split=0.1)
    assert capsys.readouterr().out == ""
    for verbose in (1, 2, "auto"):
        model = fitted(epochs=2, validation_split=0.1, verbose=verbose)
        lines = capsys.readouterr().out.splitlines()
        assert lines[::2] == ["Epoch 1/2", "Epoch 2/2"] and len(lines) == 4
        for line, row in zip(lines[1::2], model.history.rows, strict=True):
            first, *parts = line.split(" - ")
            time = r" - 0s - \d+[um]s/step" if verbose == 2 else r" ━{20} 0s \d+[um]s/step"
            assert re.fullmatch("12/12" + time, " - ".join([first, *parts[: 2 * (verbose == 2)]]))
            names = ["accuracy", "loss", "val_accuracy", "val_loss"]
            assert parts[2 * (verbose == 2) :] == [f"{name}: {row[name]:.4f}" for name in names]
    for verbose in (3, "loud", None):
        assert refusal(lambda verbose=verbose: fitted(verbose=verbose), "verbose=").code == "config-value"


def test_evaluate_prints_one_line_or_none(capsys):
    model = build()
    values = model.evaluate(X, Y)
    assert capsys.readouterr().out == f"accuracy: {values[1]:.4f} - loss: {values[0]:.4f}\n"
    model.evaluate(X, Y, verbose=0)
    assert capsys.readouterr().out == ""


# Use


def test_predict_takes_lists_and_any_number_of_rows():
    model = build()
    outputs = model.predict(X)
    assert outputs.shape == (ROWS, 2) and outputs.dtype == np.float32
    np.testing.assert_allclose(outputs.sum(axis=1), 1, rtol=1e-6)
    np.testing.assert_array_equal(model.predict(X.tolist()), outputs)
    np.testing.assert_allclose(model.predict(X[:1]), outputs[:1], rtol=1e-5)
    assert model.predict(np.zeros((0, 4))).shape == (0, 2)


def test_predict_leaves_dropout_out():
    plain = Sequential([layer for layer in build().layers if not isinstance(layer, Dropout)])
    dropping = build(0.9)
    plain.set_weights(dropping.get_weights())
    np.testing.assert_array_equal(plain.predict(X), dropping.predict(X))


def test_evaluate_is_the_loss_of_what_predict_gives():
    model = fitted(model=build(dtype="float64"))
    p = model.predict(X)
    loss, accuracy = model.evaluate(X, Y, sample_weight=W, verbose=0)
    assert loss == pytest.approx(np.average(-np.log(p[np.arange(ROWS), Y]), weights=W), rel=1e-12)
    assert accuracy == pytest.approx(np.average(p.argmax(axis=1) == Y, weights=W), rel=1e-12)
    means = model.evaluate(X, Y, sample_weight=W, verbose=0, return_dict=True)
    assert means == {"loss": loss, "accuracy": accuracy}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_model_computes_in_its_dtype(dtype):
    model = fitted(model=build(dtype=dtype))
    assert model.theta.dtype == model.predict(X).dtype == dtype
    assert all(array.dtype == dtype for array in model.get_weights())


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("fit", [True, False])
def test_a_saved_model_comes_back_the_same(tmp_path, fit, compiled):
    model = build() if compiled else Sequential([Dense(3, "relu", input_dim=4), Activation("softmax")])
    if fit and compiled:
        fitted(model=model)
    path = tmp_path / "model.firesteel"
    model.save(path)
    again = load_model(str(path))
    assert again.fingerprint() == model.fingerprint() and again.layers == model.layers
    assert again.metrics_names == model.metrics_names and again.to_bytes() == model.to_bytes()
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    if compiled:
        assert again.evaluate(X, Y, verbose=0) == model.evaluate(X, Y, verbose=0)


def test_a_model_without_inputs_cannot_be_saved(tmp_path):
    refusal(lambda: build(inputs=None).save(tmp_path / "model"), "input_dim")
    assert not list(tmp_path.iterdir())


def test_a_fingerprint_is_64_hex_digits_of_architecture_and_weights():
    a, b = build(), build(0.3)
    b.set_weights(a.get_weights())
    assert len(a.fingerprint()) == 64 and int(a.fingerprint(), 16) and a.fingerprint() != b.fingerprint()


# What is refused

MISSPELT = [
    (lambda: build(optimizer="adan"), "'adam'"),
    (lambda: build().compile("sgd", "sparse_categorical_crossentropi"), "'sparse_categorical_crossentropy'"),
    (lambda: build(metrics=["acuracy"]), "'[a-z_]*accuracy'"),
    (lambda: Dense(1, activation="rellu"), "'relu'"),
    (lambda: Dense(1, kernel_initializer="glorot_unifrom"), "'glorot_uniform'"),
    (lambda: fitted(strategy="averge"), "'average'"),
]


@pytest.mark.parametrize("given", ["Dense", Dense, 10, None])
def test_only_layers_are_layers(given):
    refusal(lambda: Sequential([given]), "is not a layer: add a layer object, such as Dense")


@pytest.mark.parametrize("make, meant", MISSPELT)
def test_a_misspelt_name_gets_the_closest_valid_one(make, meant):
    assert refusal(make, f"did you mean {meant}").code == "config-unknown"


REFUSED = {
    "no loss": (lambda: Sequential([Dense(1)]).compile("sgd"), "compile needs a loss"),
    "metrics as a word": (lambda: build().compile("sgd", "mse", "accuracy"), r"give a list, \['accuracy'\]"),
    "a metric that is none": (lambda: build().compile("sgd", "mse", [5]), "5 is not a metric"),
    "no metric": (lambda: build().compile("sgd", "mse", [None]), "None is not a metric"),
    "dtype": (lambda: Sequential(dtype="float16"), "dtype='float16'"),
    "not a layer": (lambda: Sequential([3]), "3 is not a layer"),
    "a class for a layer": (lambda: Sequential([Dense]), "is not a layer"),
    "fit before compile": (lambda: Sequential([Dense(1)]).fit(X, Y), "not compiled: call compile"),
    "evaluate before compile": (lambda: Sequential([Dense(1)]).evaluate(X, Y), "not compiled: call compile"),
    "no layers": (lambda: Sequential().predict(X), "at least one layer"),
    "unknown inputs": (lambda: build(inputs=None).get_weights(), "pass input_dim= to the first layer"),
    "layers that do not compose": (
        lambda: Sequential([Dense(3, input_dim=2), Dense(1, input_dim=2)]).summary(),
        "3 values",
    ),
    "link": (lambda: _compiled("relu", 2, "sparse_categorical_crossentropy").fit(X, Y), "activation 'softmax'"),
    "one output": (
        lambda: _compiled("softmax", 1, "sparse_categorical_crossentropy").fit(X, Y),
        "at least 2 outputs",
    ),
    "epochs 0": (lambda: fitted(epochs=0), "epochs=0: it must be an integer of at least 1"),
    "epochs 1.5": (lambda: fitted(epochs=1.5), "epochs=1.5"),
    "epochs True": (lambda: fitted(epochs=True), "epochs=True"),
    "batch_size 0": (lambda: fitted(batch_size=0), "batch_size=0"),
    "batch_size text": (lambda: fitted(batch_size="32"), "batch_size='32'"),
    "seed": (lambda: fitted(seed=-1), "seed=-1: it must be an integer of at least 0"),
    "seed True": (lambda: fitted(seed=True), "seed=True"),
    "seed 1.0": (lambda: fitted(seed=1.0), "seed=1.0"),
    "validation_split 1": (lambda: fitted(validation_split=1.0), r"validation_split=1.0: it must be in \[0, 1\)"),
    "validation_split < 0": (lambda: fitted(validation_split=-0.1), "validation_split=-0.1"),
    "validation_split NaN": (lambda: fitted(validation_split=float("nan")), "validation_split=nan"),
    "validation_split text": (lambda: fitted(validation_split="0.1"), "validation_split='0.1'"),
    "validation_data": (lambda: fitted(validation_data=X), "validation_data must be"),
    "validation_data of 4": (lambda: fitted(validation_data=(X, Y, W, W)), "validation_data must be"),
    "missing y": (lambda: build().fit(X), "y is missing"),
    "missing y of validation": (lambda: fitted(validation_data=(X, None)), "y is missing"),
    "columns of arrays": (lambda: fitted(label="label"), "name columns of a DataFrame"),
    "too many shards": (lambda: fitted(shards=13), "the rows make 12 block"),
    "shards 0": (lambda: fitted(shards=0), "give an integer between 1 and 12"),
    "shards False": (lambda: fitted(shards=False), "give an integer between 1 and 12"),
    "shards -1": (lambda: fitted(shards=-1), "give an integer between 1 and 12"),
    "shards text": (lambda: fitted(shards="2"), "give an integer between 1 and 12"),
    "strategy": (lambda: fitted(strategy=1), "1 is not a strategy"),
}


def _compiled(activation, outputs, loss):
    model = Sequential([Dense(outputs, activation, input_dim=4)])
    model.compile("sgd", loss)
    return model


@pytest.mark.parametrize("name", REFUSED)
def test_a_setting_that_cannot_work_is_refused_by_name(name):
    make, match = REFUSED[name]
    error = refusal(make, match)
    assert error.code.startswith("config") and "\n" not in str(error)


def test_a_refused_setting_leaves_the_model_as_it_was():
    model = fitted()
    before, history = model.fingerprint(), model.history
    for settings in ({"epochs": 0}, {"seed": -1}, {"strategy": "no"}, {"shards": 99}, {"validation_split": 2}):
        with pytest.raises(ConfigError):
            model.fit(X, Y, verbose=0, **settings)
    for words in (("no", "mse"), ("sgd", "no"), ("sgd", "mse", ["no"])):
        with pytest.raises(ConfigError):
            model.compile(*words)
    assert model.fingerprint() == before and model.history is history
    again = fitted()
    assert fitted(model=model).fingerprint() == fitted(model=again).fingerprint()


def test_strategies_may_be_given_as_objects():
    check_same_bits(
        [lambda: fitted(strategy="gradient").fingerprint(), lambda: fitted(strategy=Gradient()).fingerprint()]
    )
    assert replace(Gradient()) == Gradient() and MeanSquaredError() == LOSSES["mse"]


# Small things


def test_classes_become_one_hot_rows():
    np.testing.assert_array_equal(to_categorical([2, 0, 1]), np.eye(3)[[2, 0, 1]])
    np.testing.assert_array_equal(to_categorical(np.array([[1.0], [0.0]]), num_classes=4), np.eye(4)[[1, 0]])
    assert to_categorical([], 3).shape == (0, 3)


@pytest.mark.parametrize(
    "y, classes, shown",
    [
        ([0, 5], 3, "5"),
        ([0, -1], None, "-1"),
        ([0, 0.5], None, "0.5"),
        ([0, float("nan")], None, "nan"),
        ([0, float("inf")], None, "inf"),
        ([0, None], None, "nan"),
        (["cat"], None, "cat"),
        ([[0, 1], [1, 0]], None, ""),
        (3, None, ""),
    ],
    ids=str,
)
def test_what_is_no_class_does_not_become_a_one_hot_row(y, classes, shown):
    with pytest.raises(DataError, match="^y ") as caught:
        to_categorical(y, classes)
    assert shown in str(caught.value) and "0 to -1" not in str(caught.value)


@pytest.mark.parametrize("method", ["__init__", "compile", "fit", "evaluate", "predict"])
def test_a_misspelt_argument_of_the_model_gets_the_closest_valid_one(method):
    for name in list(inspect.signature(getattr(Sequential, method)).parameters)[1:]:
        error = refusal(lambda name=name: getattr(Sequential(), method)(**{name + "_": 1}), f"did you mean {name!r}")
        assert error.code == "config-argument"


def test_what_others_call_an_argument_is_known_and_so_is_what_it_is_called_here():
    model = Sequential([Dense(1, input_dim=1)])
    for make, meant in [
        (lambda: model.fit([[1]], [1], max_iter=3), "epochs"),
        (lambda: model.compile(solver="adam"), "optimizer"),
        (lambda: Adam(lr=0.1), "learning_rate"),
        (lambda: Dense(out_features=3), "units"),
        (lambda: EarlyStopping(n_iter_no_change=3), "patience"),
    ]:
        assert refusal(make, f"did you mean {meant!r}").code == "config-argument"
    error = refusal(lambda: SGD(decay=1e-4), r"give learning_rate=schedules\.InverseTimeDecay")
    assert "searches" not in str(error) and "moments" not in str(error)
    assert refusal(lambda: SGD(moments=()), "it takes learning_rate, ").code == "config-argument"
    registries = (LAYERS, OPTIMIZERS, REGULARIZERS)
    known = {f.name for names in registries for spec in names.values() for f in fields(spec)}
    known |= {
        name
        for made in (Sequential.fit, Sequential.compile, EarlyStopping)
        for name in inspect.signature(made).parameters
    }
    assert set(ELSEWHERE.values()) <= known


def test_a_fit_builds_its_objective_once(monkeypatch):
    built, check = [], Objective.__post_init__
    monkeypatch.setattr(Objective, "__post_init__", lambda self: built.append(self) or check(self))
    model = Sequential([Dense(2, activation="softmax")])
    model.compile("adam", "sparse_categorical_crossentropy", ["accuracy"])
    x, y = np.eye(4, 3), np.arange(4) % 2
    model.fit(x, y, epochs=2, validation_data=(x, y), verbose=0)
    model.evaluate(x, y, verbose=0)
    assert len(built) == 1
    model.compile("adam", "mse")
    model.fit(x, np.eye(4, 2), verbose=0)
    assert len(built) == 2

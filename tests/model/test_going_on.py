"""A model that was saved and loaded trains on as one that never was; files of format 1 load for ever."""

import copy
import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

from firesteel import _store as store
from firesteel import callbacks
from firesteel.callbacks import (
    BoldDriver,
    Callback,
    EarlyStopping,
    LambdaCallback,
    LearningRateScheduler,
    ModelCheckpoint,
    ReduceLROnPlateau,
    TerminateOnNaN,
)
from firesteel.core.optimizers import OPTIMIZERS
from firesteel.core.schedules import SCHEDULES, CosineDecay, ExponentialDecay
from firesteel.errors import ConfigError, StoreError
from firesteel.layers import BatchNormalization, Dense, Dropout, GaussianNoise, Normalization
from firesteel.models import Sequential, load_model
from firesteel.optimizers import LBFGS, SGD, Adam, Nadam
from firesteel.train import strategies
from firesteel.train.state import TrainState

RNG = np.random.default_rng(0)
X = RNG.normal(size=(120, 4))
Y = (X[:, 0] + 0.3 * RNG.normal(size=120) > 0).astype(int)
GOLDEN = Path(__file__).with_name("golden")


class Fall(Callback):
    """A callback of a user's own."""

    def on_epoch_end(self, epoch, logs=None):
        self.model.learning_rate *= 0.75


def falling(epoch, rate):
    return 0.8 * rate


def lowering():
    def lower(epoch, logs):
        made.model.learning_rate *= 0.9

    made = LambdaCallback(on_epoch_end=lower)
    return [made]


ACTING = {
    "none": list,
    "ReduceLROnPlateau": lambda: [ReduceLROnPlateau(patience=0, factor=0.5, min_delta=9.0)],
    "LearningRateScheduler": lambda: [LearningRateScheduler(falling)],
    "BoldDriver": lambda: [BoldDriver(up=1.2)],
    "EarlyStopping": lambda: [EarlyStopping(patience=1, restore_best_weights=True)],
    "LambdaCallback": lowering,
    "TerminateOnNaN": lambda: [TerminateOnNaN()],
    "Fall": lambda: [Fall()],
    "all": lambda: [EarlyStopping(patience=2), BoldDriver(), LearningRateScheduler(falling), ReduceLROnPlateau()],
}
STRATEGIES = {
    "average": {"batch_size": 16},
    "shards": {"batch_size": 8, "shards": 2},
    "exact": {"strategy": "gradient", "batch_size": 30, "shards": 2},
    "all rows": {"strategy": "gradient"},
}


def build(optimizer, dtype="float32", more=()):
    layers = [Dense(6, "tanh", input_dim=4), Dropout(0.3), GaussianNoise(0.1), *more, Dense(2, "softmax")]
    model = Sequential(layers, dtype=dtype)
    model.compile(optimizer, "sparse_categorical_crossentropy", ["accuracy"])
    return model


def fit(model, acting="none", epochs=2, x=X, **settings):
    settings = {"validation_split": 0.25, "seed": 5, "batch_size": 16, "verbose": 0} | settings
    if settings.get("strategy") == "gradient" and model.optimizer.searches:
        del settings["batch_size"]
    model.fit(x, Y, epochs=epochs, callbacks=ACTING[acting](), **settings)
    return model


def bits(model):
    """All that decides how a training goes on."""
    state = model.state
    vectors = [np.ascontiguousarray(v).tobytes() for v in (model.theta, state.theta, state.slots, state.outer)]
    return vectors, repr(state.counts), model.learning_rate, model.fingerprint()


def stored(model, path):
    """The model, saved and loaded."""
    model.save(path)
    again = load_model(path)
    assert bits(again) == bits(model) and again.to_bytes() == path.read_bytes()
    return again


def compared(make, tmp_path, acting="none", **settings):
    model = fit(make(), acting, **settings)
    model.save(tmp_path / "fresh", include_optimizer=False)
    fresh = load_model(tmp_path / "fresh")
    assert fresh.theta.tobytes() == model.theta.tobytes() and fresh.state.counts == [0, 0, None, None]
    again = stored(model, tmp_path / "m")
    rows = [fit(one, acting, **settings).history.history for one in (model, again)]
    assert bits(again) == bits(model) and rows[0] == rows[1]
    return model


@pytest.mark.parametrize("schedule", ["none", "all settings", *SCHEDULES])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_r34_every_optimizer_under_every_schedule(name, schedule, tmp_path):
    kind, settings = type(OPTIMIZERS[name]), {"strategy": "gradient"} if name == "lbfgs" else {}
    given = {"learning_rate": short(SCHEDULES[schedule])} if schedule in SCHEDULES else {}
    if name == "lbfgs" and schedule != "none":
        with pytest.raises(ConfigError):
            kind(**given or {"weight_decay": 0.01})
        return
    if schedule == "all settings":
        given = {field: SET[field] for field in {f.name for f in kind.fields} & SET.keys()}
    compared(lambda: build(kind(**given)), tmp_path, **settings)


SET = {
    "momentum": 0.5,
    **dict.fromkeys(("nesterov", "amsgrad", "centered"), True),
    "weight_decay": 0.01,
    "clipvalue": 0.5,
    "initial_accumulator_value": 0.2,
    "use_ema": True,
}
"""What else gives an optimizer something to remember."""


def short(schedule):
    """The schedule, in which much happens within twenty steps."""
    changes = {"decay_steps": 9.0, "first_decay_steps": 5.0, "boundaries": (4.0,), "pace": 7.0}
    config = schedule.to_config()
    return type(schedule).from_config(config | {name: changes[name] for name in config.keys() & changes.keys()})


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("acting", ACTING)
def test_r34_every_callback_that_acts_under_every_strategy(acting, strategy, tmp_path):
    settings = STRATEGIES[strategy]
    model = compared(lambda: build(SGD(0.5, momentum=0.9)), tmp_path, acting, epochs=4, **settings)
    assert model.state.learning_rate is not None or acting in ("none", "EarlyStopping", "TerminateOnNaN")
    if strategy == "shards":
        assert model.state.outer.any()


def test_the_tables_have_every_callback_that_acts_and_every_strategy():
    kinds = {name: getattr(callbacks, name) for name in callbacks.__all__ if name != "Callback"}
    assert {name for name, kind in kinds.items() if not kind.observes} <= ACTING.keys()
    assert {"average", *(how["strategy"] for how in STRATEGIES.values() if "strategy" in how)} == {
        *strategies.STRATEGIES
    }


@pytest.mark.parametrize("form", ["safe", "seed"])
def test_r34_both_bold_drivers(form, tmp_path, monkeypatch):
    monkeypatch.setitem(ACTING, "bold", lambda: [BoldDriver(form)])
    model = compared(lambda: build(Adam(0.01)), tmp_path, "bold", strategy="gradient", batch_size=30)
    assert model.state.cost is not None


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_r34_searches_of_lbfgs(dtype, tmp_path):
    model = compared(lambda: build(LBFGS(memory=3), dtype), tmp_path, strategy="gradient", epochs=5, shards=2)
    assert model.state.cost is not None and model.state.slots.any(axis=1).all()


def test_batch_statistics_adapted_inputs_and_float64(tmp_path):
    layers = [Normalization(input_dim=4), Dense(5, "relu"), BatchNormalization(), Dropout(0.5), Dense(2, "softmax")]

    def make():
        model = Sequential(layers, dtype="float64")
        model.compile(Adam(CosineDecay(0.1, 30)), "sparse_categorical_crossentropy")
        return model

    compared(make, tmp_path)


def test_sparse_rows(tmp_path):
    wide = np.zeros((120, 5000))
    wide[np.arange(120), np.arange(120) % 50] = X[:, 0]

    def make():
        model = Sequential([Dense(3, "tanh", input_dim=5000), Dropout(0.2), Dense(2, "softmax")])
        model.compile("adam", "sparse_categorical_crossentropy")
        return model

    assert compared(make, tmp_path, x=sparse.csr_matrix(wide)).network.sparse


def test_a_fit_of_six_epochs_is_one_of_three_that_was_saved_and_one_of_three_that_goes_on(tmp_path):
    whole = fit(build(Adam(ExponentialDecay(0.1, 10, 0.5))), epochs=6)
    every = ModelCheckpoint(tmp_path / "{epoch}.firesteel")
    cut = build(Adam(ExponentialDecay(0.1, 10, 0.5)))
    cut.fit(X, Y, epochs=3, callbacks=every, validation_split=0.25, seed=5, batch_size=16, verbose=0)
    for epoch in (1, 2, 3):
        again = load_model(tmp_path / f"{epoch}.firesteel")
        assert again.state.epoch == epoch
        assert bits(fit(again, epochs=6, initial_epoch=epoch)) == bits(whole)


@pytest.mark.parametrize(
    "copied",
    [copy.copy, copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))],
    ids=["copy", "deep", "pickle"],
)
def test_copies_keep_all_of_it_too(copied):
    model = fit(build("adam"))
    again = copied(model)
    assert bits(again) == bits(model)
    assert bits(fit(again)) == bits(fit(model))


def test_a_learning_rate_set_before_the_first_fit_stays(tmp_path):
    model = build("sgd")
    model.learning_rate = 0.25
    again = stored(model, tmp_path / "m")
    assert again.learning_rate == 0.25
    assert bits(fit(again, seed=0)) == bits(fit(model, seed=0))


def test_compiling_again_starts_anew(tmp_path):
    model = fit(build("adam"))
    model.save(tmp_path / "m")
    again = load_model(tmp_path / "m")
    for one in (model, again):
        one.compile("adam", "sparse_categorical_crossentropy")
    assert bits(again) == bits(model) and again.state.counts == [0, 0, None, None]


def test_the_state_of_a_long_training_goes_on_at_once():
    """The place of Nadam in its schedule of momentum is found from a number of steps alone."""
    model = build(Nadam(beta_1=0.9999))
    model.keep(TrainState.of([9_000_000, 3, None, None], model.theta, model.state.slots, model.state.outer))
    again = Sequential.from_bytes(model.to_bytes())
    assert bits(fit(again, seed=0)) == bits(fit(model, seed=0))


# Formats


def described(data):
    size = int.from_bytes(data[:8], "little")
    outer = json.loads(data[8 : 8 + size])
    return json.loads(outer["__metadata__"]["firesteel"]), outer.keys() - {"__metadata__"}


def test_a_file_has_format_2_only_where_there_is_a_state_in_it():
    model = build("adam")
    fresh = model.to_bytes()
    assert described(fresh)[0]["format"] == 1 and model.to_bytes(include_optimizer=False) == fresh
    assert model.learning_rate and model.to_bytes() == fresh  # a look at the rate changes nothing
    fingerprint = fit(model).fingerprint()
    plain, whole = described(model.to_bytes(include_optimizer=False)), described(model.to_bytes())
    assert (plain[0]["format"], whole[0]["format"]) == (1, 2) and whole[1] - plain[1] == {"slots"}
    assert {key: value for key, value in whole[0].items() if key not in ("state", "format", "sha256")} == {
        key: value for key, value in plain[0].items() if key not in ("format", "sha256")
    }
    assert Sequential.from_bytes(model.to_bytes()).fingerprint() == fingerprint
    fit(model, shards=2)
    assert described(model.to_bytes())[1] - plain[1] == {"slots", "outer"}


@pytest.mark.parametrize("number", [1, 2])
def test_a_file_of_each_format_as_it_was_written_once_loads_for_ever(number):
    """The file of format 1 was written before there was a format 2."""
    data = (GOLDEN / f"format{number}.firesteel").read_bytes()
    told = json.loads((GOLDEN / f"format{number}.json").read_text())
    model = Sequential.from_bytes(data)
    assert described(data)[0]["format"] == number and model.to_bytes() == data
    assert (
        model.fingerprint() == told["fingerprint"]
        and json.loads(json.dumps(model.get_compile_config())) == told["compiled"]
    )
    assert model.state.counts == told["state"] and model.state.slots.astype(float).tolist() == told["slots"]
    np.testing.assert_allclose(model.predict(np.array([[1.0, -1.0]])), told["outputs"], rtol=1e-5)


# States that lie


def resealed(model, change, tensors=None):
    """The model's file with something else in its description or arrays, and the right checksum."""
    state = model.state
    arrays = {"slots": state.slots, "outer": state.outer} | (tensors or {})
    arrays = {name: array for name, array in arrays.items() if array is not None}
    extra = {"compiled": model.get_compile_config(), "state": state.counts} | change
    return store.to_bytes(model.network, model.theta, extra, arrays)


MODEL = fit(build("adam"), shards=2)
P = len(MODEL.theta)
LIES = {
    "no counts": ({"state": None}, {}),
    "three counts": ({"state": [1, 2, None]}, {}),
    "a table": ({"state": {"step": 1}}, {}),
    "letters": ({"state": "1234"}, {}),
    "steps below nothing": ({"state": [-1, 0, None, None]}, {}),
    "half a step": ({"state": [0.5, 0, None, None]}, {}),
    "steps that are true": ({"state": [True, 0, None, None]}, {}),
    "too many steps": ({"state": [2**60, 0, None, None]}, {}),
    "an epoch of letters": ({"state": [1, "1", None, None]}, {}),
    "a rate below nothing": ({"state": [1, 1, -0.5, None]}, {}),
    "an endless rate": ({"state": [1, 1, float("inf"), None]}, {}),
    "no rate": ({"state": [1, 1, float("nan"), None]}, {}),
    "a rate of letters": ({"state": [1, 1, "0.1", None]}, {}),
    "a huge rate": ({"state": [1, 1, 10**400, None]}, {}),
    "a cost of letters": ({"state": [1, 1, None, "1"]}, {}),
    "no optimizer": ({"compiled": None}, {}),
    "another optimizer": ({"compiled": MODEL.get_compile_config() | {"optimizer": {"type": "SGD"}}}, {}),
    "one that remembers much": (
        {"compiled": MODEL.get_compile_config() | {"optimizer": {"type": "LBFGS", "memory": 10**9}}},
        {},
    ),
    "no moments": ({}, {"slots": None}),
    "one moment": ({}, {"slots": np.zeros((1, P), "f4")}),
    "three moments": ({}, {"slots": np.zeros((3, P), "f4")}),
    "short moments": ({}, {"slots": np.zeros((2, P - 1), "f4")}),
    "flat moments": ({}, {"slots": np.zeros(2 * P, "f4")}),
    "moments turned": ({}, {"slots": np.zeros((P, 2), "f4")}),
    "moments in a box": ({}, {"slots": np.zeros((2, 1, P), "f4")}),
    "moments of doubles": ({}, {"slots": np.zeros((2, P), "f8")}),
    "a short velocity": ({}, {"outer": np.zeros(P - 1, "f4")}),
    "a velocity in rows": ({}, {"outer": np.zeros((1, P), "f4")}),
    "something else": ({}, {"more": np.zeros(P, "f4")}),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_state_that_cannot_be_is_refused_whatever_the_checksum_says(lie):
    assert bits(Sequential.from_bytes(resealed(MODEL, {}))) == bits(MODEL)
    with pytest.raises(StoreError, match="m.firesteel is damaged") as caught:
        Sequential.from_bytes(resealed(MODEL, *LIES[lie]), "m.firesteel")
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 500


def test_moments_without_a_state_are_refused():
    data = store.to_bytes(MODEL.network, MODEL.theta, {"compiled": None}, {"slots": MODEL.state.slots})
    with pytest.raises(StoreError, match="damaged"):
        Sequential.from_bytes(data)


def test_a_changed_moment_is_noticed():
    data = bytearray(MODEL.to_bytes())
    at = data.index(MODEL.state.slots.tobytes())
    data[at + 5] ^= 1
    with pytest.raises(StoreError, match="checksum mismatch"):
        Sequential.from_bytes(bytes(data))

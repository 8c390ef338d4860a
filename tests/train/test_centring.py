"""Numbers far from zero train as well as the same numbers near it: features and targets, in process."""

import functools
import json
import warnings

import numpy as np
import pytest
from scipy import sparse

from firesteel import _store as store
from firesteel.callbacks import ModelCheckpoint
from firesteel.core import losses
from firesteel.core.centre import UNCENTRED, Centre, less, plus
from firesteel.core.layers import (
    BatchNormalization,
    Dense,
    Embedding,
    Flatten,
    Normalization,
    Rescaling,
)
from firesteel.core.network import Network
from firesteel.core.optimizers import SGD, Adam
from firesteel.errors import ConfigError, StoreError
from firesteel.models import Sequential, load_model
from firesteel.tables.arrays import Arrays
from firesteel.tables.given import rows_of
from firesteel.tables.moments import measure
from firesteel.tables.sampling import sample
from firesteel.train.blocks import pack_arrays, row_keys
from firesteel.train.centring import MOST_ROWS, Sample

rng = np.random.default_rng(0)
N = 500
V = rng.uniform(-3, 3, (N, 2))
T = np.sin(V[:, 0]) + 0.5 * V[:, 1]
F4 = np.dtype("f4")
KINDS = {
    "1e9 + y": lambda v: 1e9 + v,
    "-1e9 + y": lambda v: v - 1e9,
    "1e6 + y": lambda v: 1e6 + v,
    "epoch seconds of some weeks": lambda v: 1.7e9 + 4e5 * v,
    "whole epoch seconds": lambda v: np.round(1.7e9 + 4e5 * v),
    "minutes of an hour": lambda v: 1.7e9 + 60 * v,
    "milliseconds with fractions": lambda v: 1.7e12 + v,
    "int64 milliseconds": lambda v: (1.7e12 + 1e5 * v).astype("i8"),
    "int64 nanoseconds": lambda v: np.int64(1_700_000_000_123_456_789) + (1e3 * v).astype("i8"),
    "uint64 beyond int64": lambda v: np.uint64(12 * 10**18) + (1e6 * (v + 3)).astype("u8"),
    "Julian dates": lambda v: 2_460_000.5 + 10 * v,
    "UTM northings": lambda v: 5_400_000.0 + 300 * v,
    "identifiers": lambda v: 7_000_000_000 + (100_000 * v).astype("i8"),
    "pressures": lambda v: 101_325 + 20 * v,
    "balances in cents": lambda v: np.round(1e8 + 1e4 * v),
    "a small number": lambda v: 5.0 + 1e-6 * v,
}


def r2(y, p):
    y, p = (np.asarray(part, np.float64).reshape(N, -1) for part in (y, p))
    return 1 - np.square(y - p).sum() / np.square(y - y.mean(axis=0)).sum()


def fit(x, y, layers=None, loss="mse", optimizer=None, metrics=("mae", "r2_score"), dtype="float32", **settings):
    made = [Normalization(), Dense(8, "tanh"), Dense(np.ndim(y))] if layers is None else layers
    model = Sequential(made, dtype=dtype)
    model.compile(optimizer or Adam(0.02), loss, list(metrics))
    model.fit(x, y, **{"epochs": 30, "batch_size": 16, "verbose": 0, "seed": 1} | settings)
    return model


SEARCH = {"optimizer": "lbfgs", "batch_size": None, "epochs": 30}
"""Steps that the order of rows does not move."""


@functools.cache
def usual():
    """The R2 of the columns near zero."""
    return r2(T, fit(V, T, **SEARCH).predict(V))


def standardized(y):
    """Layers and loss for targets of any unit, as the stages have them."""
    mean, variance = (float(getattr(y.astype("f8") - float(y[0]), name)()) for name in ("mean", "var"))
    mean += float(y[0])
    layers = [Normalization(), Dense(8, "tanh"), Dense(1), Normalization([mean], [variance], invert=True)]
    return {"layers": layers, "loss": losses.Standardized("mse", [mean], [variance**0.5])}


# The same quality


def test_the_rows_near_zero_can_be_learned():
    assert usual() > 0.9


@pytest.mark.parametrize("kind", KINDS)
def test_r51_features_far_from_zero_train_as_well(kind):
    x = KINDS[kind](V)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = fit(x, T, **SEARCH)
    assert all(model.network.centre.features) and not model.network.centre.targets
    assert model.predict(x).dtype == np.float32
    assert r2(T, model.predict(x)) > usual() - 0.005
    assert abs(model.evaluate(x, T, verbose=0)[2] - r2(T, model.predict(x))) < 1e-4


@pytest.mark.parametrize("kind", [kind for kind in KINDS if "int64" not in kind])
def test_r51_targets_far_from_zero_train_as_well(kind):
    y = KINDS[kind](T)
    near = y - np.median(y)
    expected = r2(near, fit(V, near, **standardized(near), **SEARCH).predict(V))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = fit(V, y, **standardized(y), **SEARCH)
    p = model.predict(V)
    assert expected > 0.9 and p.dtype == np.float64 and r2(y, p) > expected - 0.005
    loss, mae, score = model.evaluate(V, y, verbose=0)
    assert abs(score - r2(y, p)) < 1e-4 and mae == pytest.approx(np.abs(p[:, 0] - y).mean(), rel=1e-3)


@pytest.mark.parametrize("loss", ["mse", "mae", "huber", "log_cosh", "quantile", "half_sse"])
def test_losses_of_differences_centre_targets(loss):
    model, near = fit(V, 1e9 + T, loss=loss, **SEARCH), fit(V, T - np.median(T), loss=loss, **SEARCH)
    assert len(model.network.centre.targets) == 1
    assert r2(T, model.predict(V) - 1e9) > r2(T, near.predict(V) + np.median(T)) - 0.005


def test_a_classifier_of_time_stamps():
    x, y = 1.7e9 + 60 * V, V[:, 0] > 0
    layers = [Normalization(), Dense(8, "tanh"), Dense(2, "softmax")]
    kinds = {"layers": layers, "loss": "sparse_categorical_crossentropy", "metrics": ["accuracy"]}
    scores = [fit(part, y, **kinds).evaluate(part, y, verbose=0)[1] for part in (V, x)]
    assert scores[0] > 0.95 and scores[1] > scores[0] - 0.005


FRONTS = {
    "adapted": lambda x: [_adapted(x)],
    "flattened": lambda x: [Flatten(), Normalization()],
    "rescaled": lambda x: [Rescaling(1 / 60)],
    "rescaled from an offset": lambda x: [Rescaling(1 / 60, -1.7e9 / 60)],
    "batches": lambda x: [BatchNormalization()],
}


def _adapted(x):
    made = Normalization()
    made.adapt(x)
    return made


@pytest.mark.parametrize("front", FRONTS)
def test_layers_in_front_that_speak_of_the_numbers_as_they_are(front):
    x = 1.7e9 + 60 * V
    near, far = (fit(part, T, [*FRONTS[front](part), Dense(8, "tanh"), Dense(1)]) for part in (x - 1.7e9, x))
    if front == "rescaled from an offset":
        near = fit(x - 1.7e9, T, [Rescaling(1 / 60), Dense(8, "tanh"), Dense(1)])
    assert r2(T, far.predict(x)) > r2(T, near.predict(x - 1.7e9)) - 0.01
    assert "centre" in far.network.to_config()


WAYS = {
    "shards": {"shards": 3},
    "gradient": {"strategy": "gradient", "batch_size": 50},
    "lbfgs": {"optimizer": "lbfgs", "batch_size": None},
    "in order": {"shuffle": False},
    "weights": {"sample_weight": rng.uniform(0.5, 2, N)},
}


@pytest.mark.parametrize("way", WAYS)
def test_every_way_to_train(way):
    near, far = fit(V, T, **WAYS[way]), fit(1.7e9 + 60 * V, 1e9 + T, **WAYS[way])
    scores = r2(T, near.predict(V)), r2(T, far.predict(1.7e9 + 60 * V) - 1e9)
    assert scores[0] > 0.8 and scores[1] > scores[0] - 0.01


# What stays


def test_a_saved_model_predicts_and_trains_on_as_it_would_have(tmp_path):
    x, y = 1.7e9 + 60 * V, np.stack([1e9 + T, T], axis=1)
    model = fit(x, y, callbacks=[ModelCheckpoint(tmp_path / "best")])
    assert model.network.centre.targets[1] == 0.0 < model.network.centre.targets[0]
    model.save(tmp_path / "model")
    again = load_model(tmp_path / "model")
    assert again.network == model.network and again.fingerprint() == model.fingerprint()
    assert again.predict(x).tobytes() == model.predict(x).tobytes()
    assert abs(r2(y, load_model(tmp_path / "best").predict(x)) - r2(y, model.predict(x))) < 0.1
    for one in (model, again):
        one.fit(x + 600, y, epochs=2, verbose=0)
        assert one.network.centre == load_model(tmp_path / "model").network.centre
    assert again.fingerprint() == model.fingerprint()


def test_validation_rows_have_the_centre_of_the_training_rows():
    x, y = 1.7e9 + 60 * V, 1e9 + T
    model = fit(x, y, validation_data=(x + 120, y))
    assert model.history.rows[-1]["val_mae"] == pytest.approx(model.evaluate(x + 120, y, verbose=0)[1])
    assert fit(x, y, validation_split=0.2).history.rows[-1]["val_r2_score"] > 0.8


def test_weights_that_were_given_keep_their_meaning():
    model = Sequential([Dense(1, input_dim=2)])
    model.compile(SGD(1e-30), "mse")
    model.set_weights([[[1e-9], [0.0]], [0.0]])
    with pytest.warns(UserWarning, match="rounded in the network's dtype"):
        model.fit(1.7e9 + V, 1 + V[:, 0] / 10, epochs=1, verbose=0)
    assert model.network.centre == UNCENTRED


def test_another_loss_is_refused_once_targets_have_a_centre():
    model = fit(V, 1e9 + T)
    model.compile("adam", "poisson")
    with pytest.raises(ConfigError, match="needs a loss of y - target.*Poisson is not one"):
        model.fit(V, 1e9 + T, verbose=0)


def test_moments_and_samples_are_of_the_numbers_as_they_are():
    x, y = np.hstack([1.7e9 + 60 * V, V]), 1e9 + T
    source = Arrays(*rows_of(x, y, None), "float32")
    centre = source.profile().centre
    with source.engine(centre=centre) as engine:
        features, targets = measure(engine, 4, 1, "float32")
        model = fit(x, y)
        rows = sample(engine, model._objective(), model.theta)
    np.testing.assert_allclose(features.mean, x.mean(axis=0), rtol=1e-9, atol=1e-6)
    np.testing.assert_allclose(features.variance, x.var(axis=0), rtol=1e-3)
    np.testing.assert_allclose(targets.mean, y.mean(), rtol=1e-12)
    np.testing.assert_allclose(targets.variance, y.var(), rtol=1e-3)
    assert len(rows[0]) == N
    np.testing.assert_allclose(np.sort(rows[0], axis=0), np.sort(x, axis=0), rtol=1e-6, atol=1e-3)
    np.testing.assert_allclose(np.sort(rows[1][:, 0]), np.sort(y), rtol=1e-12)


# Which columns have a centre


def centre_of(x, y=T, dtype="float32", **settings):
    return Arrays(*rows_of(x, y, None), dtype, **settings).profile().centre


NEVER = {
    "near zero": V,
    "pixels": np.round(40 * V + 120).astype("u1"),
    "pixels as doubles": np.round(40 * V + 120),
    "pixels of 0..1": np.round(40 * V + 120) / 255,
    "one hot": np.eye(2)[(V[:, 0] > 0).astype(int)],
    "flags that are mostly 1": (rng.random((N, 2)) < 0.98).astype("f8"),
    "a constant": np.full((N, 2), 1.7e9),
    "prices": 250_000 + 80_000 * V,
    "years": np.round(1990 + 10 * V),
    "two groups": np.where(rng.random((N, 2)) < 0.5, 0, 1.7e9 + V),
    "numbers of any size": 10.0 ** rng.uniform(0, 12, (N, 2)),
}


@pytest.mark.parametrize("name", NEVER)
def test_ordinary_columns_have_none_and_stay_as_they_are(name):
    x = NEVER[name]
    assert centre_of(x) == UNCENTRED
    with warnings.catch_warnings():
        warnings.simplefilter("error" if name != "two groups" else "ignore")
        network = fit(x, T, epochs=1).network
    assert "centre" not in network.to_config() and network.centre == UNCENTRED


def test_a_centre_needs_a_loss_of_differences_and_outputs_that_may_be_any_number():
    y = 1e9 + T
    for last, loss in (("relu", "mse"), ("exponential", "poisson"), ("sigmoid", "mae")):
        with pytest.warns(UserWarning, match=r"y holds numbers that are rounded .*around 1e\+09, vary by"):
            model = fit(V, y, [Dense(4, "tanh"), Dense(1, last)], loss, metrics=[], epochs=1)
        assert model.network.centre == UNCENTRED


def test_neither_float64_nor_categories_are_centred():
    assert centre_of(1e9 + V, dtype="float64") == UNCENTRED
    x = 4000 + rng.integers(0, 3, (N, 1))
    model = fit(x, T, [Embedding(4096, 2), Dense(1)], epochs=1)
    assert centre_of(x).features and model.network.centre == UNCENTRED


def test_rows_that_may_be_sparse_are_not_centred_but_their_targets_are():
    x = sparse.random(300, 4096, 0.003, format="csr", random_state=0)
    x = sparse.hstack([1e9 + T[:300, None], x.tocsr()[:, 1:]]).tocsr()
    assert centre_of(x, 1e9 + T[:300]).features == ()
    assert len(centre_of(x, 1e9 + T[:300]).targets) == 1
    assert centre_of(sparse.csr_matrix(1e9 + V)).features == centre_of(1e9 + V).features


def test_the_centre_is_the_median_and_outliers_do_not_move_it():
    x = 1.7e9 + V
    x[:20] = [0.0, -1e30]
    centre = np.array(centre_of(x).features)
    assert np.abs(centre - 1.7e9).max() < 1 and all(value in x for value in centre)


def test_no_order_type_or_weight_of_rows_moves_it():
    x = np.vstack([1.7e9 + 60 * np.round(rng.uniform(-300, 300, (3 * MOST_ROWS, 1))), np.full((9000, 1), 1.7e9)])
    y, order = np.round(rng.uniform(0, 50, len(x))), rng.permutation(len(x))
    expected = centre_of(x, y)
    assert expected.features and centre_of(x[order], y[order]) == expected == centre_of(x.astype("i8"), y)
    keys, parts = row_keys(x, y[:, None]), np.array_split(order, 7)
    held = np.zeros(len(x), bool)
    drawn = [Sample.of(keys[p], x[p], y[p, None], held[p]) for p in parts]
    for one in (functools.reduce(Sample.plus, drawn), functools.reduce(Sample.plus, drawn[::-1])):
        assert one.centre == expected and len(one.rows) == MOST_ROWS and (np.diff(one.keys.astype("f8")) > 0).all()
    assert centre_of(x, y, split=0.5) == centre_of(x[: len(x) // 2], y[: len(x) // 2])


def test_packed_ordinary_columns_beside_a_centred_one_keep_their_bits():
    x = np.hstack([V, 1.7e9 + 60 * V[:, :1], np.round(V)])
    centre = centre_of(x)
    assert np.flatnonzero(centre.features).tolist() == [2]
    y, w, keys = T[:, None], np.ones(N), row_keys(x, T[:, None])
    centred = pack_arrays(less(x, centre.features, F4), y, w, F4, keys=keys)
    plain = pack_arrays(x, y, w, F4)
    for a, b in zip(centred, plain, strict=True):
        found = np.empty((2, len(a), 5), "f4")
        a.features(slice(None), found[0])
        b.features(slice(None), found[1])
        assert found[0][:, [0, 1, 3, 4]].tobytes() == found[1][:, [0, 1, 3, 4]].tobytes()
        assert a.fingerprint == b.fingerprint and np.abs(found[0][:, 2]).max() < 400


@pytest.mark.parametrize("kind", ["f8", "i8", "u8", "f4", ">i8", "i4"])
def test_what_is_subtracted_is_exact(kind):
    top = {"i4": 2**31 - 200, "f4": 2**24 - 200}.get(kind, 2**53 - 200)
    x = np.arange(top, top + 100).astype(kind)[:, None]
    found = less(x, (float(top + 50),), F4)
    assert found.dtype == F4 and found[:, 0].tolist() == list(range(-50, 50))
    if kind[-2:] in ("i8", "u8"):
        large = np.arange(2**60, 2**60 + 100, dtype=kind)[:, None]
        assert less(large, (2.0**60,), F4)[:, 0].tolist() == list(range(100))
        assert less(large, (0.5,), F4)[0, 0] == np.float32(2**60)
    assert less(x, (0.0,), F4) is x and less(x, (), F4) is x and plus(x, ()) is x
    assert less(np.array([[3]], kind), (2.5,), F4)[0, 0] == 0.5


# What is lost all the same


def _wide():
    x = sparse.random(N, 4096, 0.003, format="csr", random_state=0)
    return sparse.hstack([x[:, :7], 1e9 + 0.3 * V[:, :1], x[:, 8:]]).tocsr()


LOST = {
    "two groups": (np.where(np.arange(N)[:, None] % 2, 0, 1.7e9 + V), T, "x, position 0, holds numbers .*1.7e"),
    "identifiers of any size": (rng.integers(0, 2**40, (N, 2)), T, "x, position 0, holds whole numbers .*2 of|rows"),
    "sparse rows": (_wide(), T, "x, position 7, holds numbers .*around 1e.09, vary by"),
    "labels": (V, np.where(np.arange(N) % 2, 0, 1.7e9 + T), "y holds numbers that are rounded"),
}


@pytest.mark.parametrize("name", LOST)
def test_what_is_lost_is_warned_of_once_with_its_column_size_and_spread(name):
    x, y, words = LOST[name]
    with pytest.warns(UserWarning, match=words) as caught:
        fit(x, y, epochs=2, validation_data=(x, y))
    (text,) = [str(one.message) for one in caught if "rounded in the network" in str(one.message)]
    assert "To do: subtract an offset" in text
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit(x, y, epochs=1, dtype="float64")


# Files


def test_a_file_has_a_centre_only_where_there_is_one(tmp_path):
    plain, far = fit(V, T, epochs=1), fit(1e9 + V, T, epochs=1)
    found = [store.headers(one.to_bytes(include_optimizer=False), "m")[1] for one in (plain, far)]
    assert [one["format"] for one in found] == [1, 2]
    assert "centre" not in found[0]["network"] and list(found[1]["network"]["centre"]) == ["features"]


BAD = [
    {"features": [1.0]},
    {"features": [1.0, None]},
    {"features": [1.0, "2"]},
    {"features": [1.0, True]},
    {"features": [1.0, float("inf")]},
    {"features": 3.0},
    {"targets": [1.0, 2.0]},
    {"targets": {"0": 1.0}},
    [1.0, 2.0],
    "far",
]


@pytest.mark.parametrize("bad", BAD, ids=str)
def test_a_centre_that_does_not_fit_is_refused(bad):
    config = fit(V, T, epochs=1).network.to_config() | {"centre": bad}
    with pytest.raises((ConfigError, TypeError, AttributeError)):
        Network.from_config(config)


def test_a_damaged_centre_in_a_file_is_an_error_of_ours(monkeypatch):
    model = fit(1e9 + V, T, epochs=1)
    for bad in BAD:
        monkeypatch.setattr(Centre, "to_config", lambda self, bad=bad: bad)
        data = model.to_bytes()
        monkeypatch.undo()
        with pytest.raises(StoreError):
            Sequential.from_bytes(data)
    assert Network.from_config(json.loads(json.dumps(model.network.to_config()))) == model.network


@pytest.mark.parametrize("far", [1e9 + np.arange(200.0), 1.7e12 + 1000 * np.arange(200.0), 1e15 + np.arange(200.0)])
def test_float64_normalizes_numbers_far_from_zero_by_their_spread(far):
    near, far = (np.random.default_rng(0).permutation(column)[:, None] for column in (far - far[0], far))
    target = np.sin(near / np.ptp(near) * 3)
    shown = []
    for x in (near, far):
        model = Sequential([Normalization(), Dense(8, "tanh"), Dense(1)], dtype="float64")
        model.compile("adam", "mse")
        model.fit(x, target, batch_size=len(x), epochs=3, verbose=0)
        shown.append(model.predict(x))
    assert np.abs(shown[0] - shown[1]).max() < 1e-6

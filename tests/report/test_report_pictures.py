"""What a report shows of pictures is what the network computes of them."""

import base64
import io
import json
import re

import matplotlib.image
import numpy as np
import pytest

from firesteel.layers import (
    AveragePooling2D,
    BatchNormalization,
    Conv2D,
    Dense,
    DepthwiseConv2D,
    Flatten,
    GlobalAveragePooling2D,
    Input,
    MaxPooling2D,
    ReLU,
)
from firesteel.models import Model, Sequential
from firesteel.report import RunFolder, charts, pictures
from firesteel.report.evidence import DisplayNames, examine
from firesteel.report.page import render
from firesteel.report.reading import sub_batches
from firesteel.tables.importance import ScoredRows
from firesteel.train.step import SUB_BATCH
from tests.report import runs

RNG = np.random.default_rng(0)
X = RNG.random((150, 6, 7, 3))
Y = (X[:, :2, :2].mean(axis=(1, 2, 3)) > 0.5).astype(int) + (X[:, 3, 4, 1] > 0.8)


def flat(x):
    return x.reshape(len(x), -1)


def pixels(uri):
    return matplotlib.image.imread(io.BytesIO(base64.b64decode(uri.split(",")[1])))[..., :3]


def network(channels=3, head=None, dtype="float32"):
    head = head or [Dense(3, activation="softmax")]
    layers = [Conv2D(4, (3, 2), activation="relu"), BatchNormalization(), MaxPooling2D(2), Flatten(), *head]
    return Sequential([Input((6, 7, channels)), *layers], dtype=dtype)


def fitted(model, loss="sparse_categorical_crossentropy", x=X, y=Y, epochs=2):
    model.compile("adam", loss)
    model.fit(x, y, epochs=epochs, verbose=0)
    return model


def found(model, x=X, y=Y, names=None):
    test = runs.rows("test", flat(x), y)
    return json.loads(json.dumps(examine(model, test, test, names), allow_nan=False))


# Where it looked


@pytest.mark.parametrize("loss, link", [("categorical_crossentropy", "softmax"), ("mse", "sigmoid")])
def test_heat_is_the_slope_of_the_score_times_the_input(loss, link):
    model = fitted(network(head=[Dense(3, activation=link)], dtype="float64"), loss, y=np.eye(3)[Y])
    x, outputs = flat(X[:2]), np.array([2, 0])
    heat = pictures.saliency(model._objective(), model.theta, x, outputs)
    view, value = model.network.layout.views(model.theta), model._objective().last
    assert value == len(model.network.plan) - (link == "softmax")
    slopes, h = np.zeros_like(x), 1e-6
    for row, output in enumerate(outputs):
        for at in range(x.shape[1]):
            step = np.zeros((1, x.shape[1]))
            step[0, at] = h
            up, down = (model.network.output(view, x[row : row + 1] + s, value)[0, output] for s in (step, -step))
            slopes[row, at] = (up - down) / (2 * h)
    expected = np.abs(slopes * x).reshape(2, 6, 7, 3).sum(axis=3)
    np.testing.assert_allclose(heat, expected, rtol=1e-5, atol=1e-8)
    assert heat.max() > 1e-3


def test_each_mistake_has_its_picture_and_saliency():
    model = fitted(network())
    evidence = found(model)
    assert evidence["pictures"]["shape"] == [6, 7, 3] and len(evidence["mistakes"]) > 3
    for mistake in evidence["mistakes"]:
        row = flat(X)[[mistake["row"]]]
        heat = pictures.saliency(model._objective(), model.theta, row, np.array([int(mistake["predicted"])]))
        np.testing.assert_allclose(mistake["input"], row[0], rtol=1e-3)
        np.testing.assert_allclose(mistake["looked"], heat.ravel(), rtol=1e-2)


# What its filters look for


@pytest.mark.parametrize("channels", [1, 3])
def test_filters_are_the_weights_and_maps_what_the_pooling_makes(channels):
    x = X[..., :channels]
    model = fitted(network(channels), x=x)
    evidence = found(model, x)["pictures"]
    w = np.moveaxis(model.get_weights()[0], -1, 0)
    assert (evidence["convolution"], evidence["behind"]) == ("layer 0 (Conv2D)", "layer 2 (MaxPooling2D)")
    assert evidence["kernel"] == [3, 2, channels] and evidence["count"] == 4
    np.testing.assert_allclose(np.reshape(evidence["filters"], (4, 3, 2, channels)), w, rtol=1e-3)
    assert evidence["names"] == ["0", "1", "2"]
    rows = [int(np.abs(flat(x) - one).max(axis=1).argmin()) for one in evidence["examples"]]
    assert Y[rows].tolist() == [0, 1, 2]
    pooled = Model(model.inputs, model.layers[2].output).predict(x[rows])
    maps = np.reshape(evidence["maps"], (3, 4, *evidence["map"]))
    np.testing.assert_allclose(maps, np.moveaxis(pooled, 3, 1), rtol=1e-2, atol=1e-6)


def test_the_page_draws_the_weights(tmp_path):
    x = X[..., :1]
    model = network(1)
    model.compile("adam", "sparse_categorical_crossentropy")
    history = model.fit(x, Y, epochs=1, verbose=0)
    both = runs.rows("training", flat(x), Y), runs.rows("test", flat(x), Y)
    evidence = runs.write(tmp_path, model, history, *both)["evidence"]
    source = render(tmp_path)
    drawn = re.findall(r'src="(data:image/png;base64,[^"]*)" alt="Weights of filter', source)
    w = model.get_weights()[0][:, :, 0]
    for k, uri in enumerate(drawn):
        expected = charts.png(w[..., k], "signed", -np.abs(w).max(), np.abs(w).max())
        np.testing.assert_allclose(pixels(uri), pixels(expected), atol=0.01)
    counts = {word: source.count(f'alt="{word}') for word in ("Saliency of its pixels", "Feature map of filter")}
    assert len(drawn) == 4 and list(counts.values()) == [len(evidence["mistakes"]), 12]
    assert "alt=\"Map of the picture's blocks of pixels" in source and ">4 channels<" in source


@pytest.mark.parametrize(
    "layers, behind",
    [
        ([Conv2D(4, 3), ReLU(), Conv2D(8, 3), GlobalAveragePooling2D()], "layer 1 (ReLU)"),
        ([Conv2D(4, 3), Conv2D(8, 3), GlobalAveragePooling2D()], "layer 0 (Conv2D)"),
        ([DepthwiseConv2D(3, depth_multiplier=2), AveragePooling2D(), Flatten()], "layer 1 (AveragePooling2D)"),
        ([MaxPooling2D(), Flatten()], None),
    ],
)
def test_maps_are_of_the_last_value_whose_channels_are_those_of_the_filters(tmp_path, layers, behind):
    model = Sequential([Input((6, 7, 3)), *layers, Dense(3, activation="softmax")])
    model.compile("adam", "sparse_categorical_crossentropy")
    history = model.fit(flat(X), Y, epochs=1, verbose=0)
    metrics = runs.write(tmp_path, model, history, *[runs.rows(name, flat(X), Y) for name in ("training", "test")])
    shown = metrics["evidence"]["pictures"]
    assert shown.get("behind") == behind
    assert not behind or len(shown["maps"][0]) == shown["count"] == model.layers[0].output.shape[-1]
    assert ("Feature map" in render(tmp_path)) == bool(behind)


# What it looks at, and what is dead


def test_importance_is_of_blocks_that_cover_each_input_once(monkeypatch):
    y = X[:, :2, :2].mean(axis=(1, 2, 3)) > 0.5
    model = fitted(network(head=[Dense(1, activation="sigmoid")]), "bce", y=y, epochs=60)
    monkeypatch.setattr("firesteel.tables.importance.WORK", 1.0)
    monkeypatch.setattr("firesteel.tables.importance.FEWEST_COLUMNS", 12)
    importance = found(model, y=y)["importance"]
    assert importance["grid"] == [3, 4] and importance["tried"] == 12
    drops = [item["drop"] for item in importance["inputs"]]
    assert len(drops) == 12 and drops[0] == max(drops)
    for shape, most in (((6, 7, 3), 12), ((28, 28, 1), 195), ((5, 2, 1), 1)):
        places, (down, across) = pictures.blocks(shape, most)
        assert len(places) == down * across <= most
        np.testing.assert_array_equal(np.sort(np.concatenate([*places.values()])), np.arange(np.prod(shape)))


def test_work_is_counted_in_multiplications():
    model = network()
    model.compile("adam", "sparse_categorical_crossentropy")
    rows = ScoredRows(model._objective(), model.theta, flat(X), Y[:, None], np.ones(len(X)))
    values = 40 * sum(map(np.prod, model.network.shapes))
    assert rows.cost == values + model.network.work > values + model.network.layout.size
    sizes = [one.stop - one.start for one in sub_batches(model.network, 300)]
    assert sum(sizes) == 300 and max(sizes) == model.network.rows
    dense = Sequential([Dense(3, input_dim=4)])
    assert [*sub_batches(dense.network, 200)] == [slice(0, SUB_BATCH), slice(SUB_BATCH, 200)]


def test_a_channel_is_dead_where_it_is_0_all_over():
    model = fitted(network())
    w = model.get_weights()
    w[1][:] = [-100, 100, -0.2, -100]
    model.set_weights(w)
    first, _, last = found(model)["layers"]
    assert (first["units"], first["dead"], first["of"]) == (4, 2, "channels")
    assert (last["units"], last["dead"], "of" in last) == (3, None, False)


# The unusual


@pytest.mark.parametrize(
    "loss, head, y",
    [
        ("mse", [Dense(2)], X[:, 0, 0, :2]),
        ("bce", [Dense(1, activation="sigmoid")], Y > 0),
        ("bce", [Dense(3, activation="sigmoid")], np.eye(3)[Y]),
        ("mse", [Dense(126, activation="sigmoid")], flat(X)),
    ],
    ids=["numbers", "yes or no", "labels", "pictures"],
)
@pytest.mark.parametrize("channels", [2, 3])
def test_whatever_was_learned_of_pictures_has_a_page(tmp_path, loss, head, y, channels):
    x = X[..., :channels]
    y = flat(x) if y.ndim == 2 and y.shape[1] == 126 else y
    head = [Dense(y.shape[1], activation="sigmoid")] if y.ndim == 2 and y.shape[1] > 3 else head
    model = network(channels, head)
    model.compile("adam", loss)
    history = model.fit(x, y, epochs=1, verbose=0)
    test = runs.rows("test", flat(x), y)
    mistakes = runs.write(tmp_path, model, history, test, test)["evidence"]["mistakes"]
    made = y.shape[1:] == (x[0].size,)
    assert mistakes and all(("made" in one, "looked" in one) == (made, not made) for one in mistakes)
    source = render(tmp_path)
    assert source.count("Output of the network" if made else "Saliency of its pixels") == len(mistakes)


def test_large_pictures_are_shown_small(tmp_path):
    x = RNG.random((30, 150, 140, 3))
    y = (x[:, :70].mean(axis=(1, 2, 3)) > 0.5).astype(int)
    layers = [Conv2D(20, 7, 2, activation="relu"), GlobalAveragePooling2D(), Dense(2, activation="softmax")]
    model = Sequential([Input((150, 140, 3)), *layers])
    model.compile("adam", "sparse_categorical_crossentropy")
    history = model.fit(flat(x), y, epochs=1, verbose=0)
    test = runs.rows("test", flat(x), y)
    shown = runs.write(tmp_path, model, history, test, test)["evidence"]["pictures"]
    assert max(shown["shape"][:2]) <= 64 and max(shown["map"]) <= 32 and len(shown["filters"]) == 16
    assert len(render(tmp_path).encode()) < 1_500_000


def test_weights_beyond_all_numbers_have_a_page(tmp_path):
    model = fitted(network())
    model.set_weights([np.full_like(w, 3e38) for w in model.get_weights()])
    test = runs.rows("test", flat(X), Y)
    runs.write(tmp_path, model, model.history, test, test, scores={})
    assert "Feature map of filter 3" in render(tmp_path)


def test_a_run_of_pictures_needs_no_word_on_their_size(tmp_path):
    model = network()
    model.compile("adam", "sparse_categorical_crossentropy", ["accuracy"])
    model.fit(X, Y, epochs=1, verbose=0, validation_split=0.3, callbacks=[RunFolder(tmp_path / "run")])
    text = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert "First filters and their feature maps" in text and "Saliency of its pixels" in text


def test_a_name_of_the_pictures_size_changes_nothing():
    x, model = X[..., :1], fitted(network(1), x=X[..., :1])
    assert found(model, x, names=DisplayNames(picture=(6, 7))) == found(model, x)


def test_a_network_without_pictures_is_shown_as_before(tmp_path):
    evidence = runs.digits(tmp_path / "run")["evidence"]
    assert "pictures" not in evidence and not any("of" in layer for layer in evidence["layers"])
    source = render(tmp_path / "run")
    assert ".maps" not in source and "channel" not in source and "Map of the picture's pixels:" in source


# Images


def test_a_photo_has_the_pictures_colours_and_heat_colours_what_is_hot():
    rgb = RNG.random((4, 5, 3))
    np.testing.assert_allclose(pixels(charts.photo(10 * rgb, 0.0, 10.0)), rgb, atol=0.003)
    grey = pixels(charts.photo(rgb[..., :1], 0.0, 1.0))
    np.testing.assert_allclose(grey, np.broadcast_to(rgb[..., :1], grey.shape), atol=0.003)
    heat = np.zeros((4, 5))
    heat[2, 3] = 7
    hot = pixels(charts.photo(rgb, 0.0, 1.0, heat))
    coloured = np.ptp(hot, axis=2) > 0.01
    assert coloured[2, 3] and coloured.sum() == 1
    assert not np.ptp(pixels(charts.photo(rgb, 0.0, 1.0, 0 * heat)), axis=2).any()

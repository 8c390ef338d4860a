"""Random transformations of images: against plain loops, one by one and fused into one interpolation."""

import math
from dataclasses import replace

import numpy as np
import pytest

from firesteel.core.layers import (
    Conv2D,
    Dense,
    Flatten,
    Input,
    RandomBrightness,
    RandomElasticTransform,
    RandomFlip,
    RandomRotation,
    RandomShear,
    RandomTranslation,
    RandomZoom,
    ReLU,
    get,
)
from firesteel.core.layers.augmentation import Unchanged, Warp, Warping
from firesteel.core.layers.recolouring import uniform
from firesteel.core.layers.sampling import Sampling
from firesteel.core.network import Network, Node
from firesteel.core.seeds import stream_for
from firesteel.errors import ConfigError
from firesteel.models import Sequential

STREAM = stream_for(5, "op", 2)
DTYPES = ["float32", "float64"]
FILLS = ["reflect", "wrap", "constant", "nearest"]
KINDS = ["bilinear", "nearest"]
SHAPES = [(5, 4, 2), (28, 28, 1), (1, 7, 1), (6, 1, 3), (1, 1, 2)]
LAYERS = [
    RandomTranslation(0.4, (-0.3, 0.9)),
    RandomRotation(0.3),
    RandomZoom(0.7),
    RandomZoom((0.2, 0.8), (-0.6, 0.1)),
    RandomShear(0.4, (0.1, 0.3)),
    RandomFlip(),
    RandomFlip("horizontal"),
    RandomFlip("vertical"),
    RandomElasticTransform((1, 1), (0.5, 1), value_range=(-99, 99)),
]
EVERY = [
    one if isinstance(one, RandomFlip) else replace(one, fill_mode=fill, interpolation=kind, fill_value=2.5)
    for one in LAYERS
    for fill in (FILLS[:1] if isinstance(one, RandomFlip) else FILLS)
    for kind in (KINDS[:1] if isinstance(one, RandomFlip) else KINDS)
]
EVERY_LAYER = pytest.mark.parametrize("layer", EVERY, ids=repr)


def pictures(rows=6, shape=(5, 4, 2), dtype="float64"):
    return np.random.default_rng(rows).uniform(0, 9, (rows, *shape)).astype(dtype)


def pixel(picture, how, i, j):
    """Return a pixel's value; positions beyond the edges follow the fill mode."""
    sides = picture.shape[:2]
    if how.fill_mode == "constant" and not (0 <= i < sides[0] and 0 <= j < sides[1]):
        return np.full(picture.shape[2], how.fill_value)
    at = []
    for place, side in zip((i, j), sides, strict=True):
        there = [*range(side), *reversed(range(side))]
        at.append({
            "reflect": there[place % (2 * side)], "wrap": place % side, "constant": place,
            "nearest": min(max(place, 0), side - 1),
        }[how.fill_mode])  # fmt: skip
    return picture[at[0], at[1]]


def sampled(picture, how, place):
    """Return the value of an image at a position (x, y), by the definition."""
    x, y = place
    if how.interpolation == "nearest":
        return pixel(picture, how, math.floor(y + 0.5), math.floor(x + 0.5))
    i, j = math.floor(y), math.floor(x)
    corners = [(di, dj) for di in (0, 1) for dj in (0, 1)]
    weights = [abs(1 - di - (y - i)) * abs(1 - dj - (x - j)) for di, dj in corners]
    return sum(w * pixel(picture, how, i + di, j + dj) for w, (di, dj) in zip(weights, corners, strict=True))


def warped_slowly(x, maps, how, moved=None):
    """Return warped images, pixel by pixel.

    moved: each pixel's displacement down and to the right.
    """
    y = np.empty_like(x)
    for n, i, j in np.ndindex(x.shape[:3]):
        down, right = (0, 0) if moved is None else moved[n, :, i, j].astype(float)
        y[n, i, j] = sampled(x[n], how, (maps[n] @ [j + right, i + down, 1])[:2])
    return y


def displacements(layer, rows, shape):
    return layer.displacements(STREAM, rows, *shape[:2]) if layer.displaces else None


def of(layer):
    return layer.sampling or Sampling()


@EVERY_LAYER
@pytest.mark.parametrize("shape", [(5, 4, 2), (1, 7, 1)], ids=repr)
def test_each_image_matches_plain_loops(layer, shape):
    x = pictures(4, shape)
    maps, moved = layer.maps(STREAM, 4, *shape[:2]), displacements(layer, 4, shape)
    expected = warped_slowly(x, maps, of(layer), moved)
    np.testing.assert_allclose(layer.apply({}, x, rng=STREAM)[0], expected, rtol=1e-9, atol=1e-9)
    near = layer.apply({}, x.astype(np.float32), rng=STREAM)[0]
    assert near.dtype == np.float32 and near.flags.c_contiguous
    if of(layer).interpolation == "bilinear":
        np.testing.assert_allclose(near, expected, atol=2e-4)


@EVERY_LAYER
@pytest.mark.parametrize("shape", SHAPES, ids=repr)
@pytest.mark.parametrize("dtype", DTYPES)
def test_an_image_has_the_same_bits_in_any_batch(layer, shape, dtype):
    rows = 60 if shape == (28, 28, 1) else 6  # more than are processed at a time
    x = pictures(rows, shape, dtype)
    y, pull = layer.apply({}, x, rng=STREAM)
    d = pull(np.cos(y), {}, True)
    for some in (1, 2, rows - 1):
        part, back = layer.apply({}, x[:some], rng=STREAM)
        assert part.tobytes() == y[:some].tobytes()
        assert back(np.cos(part), {}, True).tobytes() == d[:some].tobytes()
    assert pull(y, {}, False) is None


@EVERY_LAYER
@pytest.mark.parametrize("shape", SHAPES, ids=repr)
def test_the_pullback_is_the_adjoint(layer, shape):
    rng, x = np.random.default_rng(1), pictures(5, shape)
    u, c = rng.normal(size=x.shape), rng.normal(size=x.shape)
    y, pull = layer.apply({}, x, rng=STREAM)
    moved = layer.apply({}, x + u, rng=STREAM)[0] - y
    assert (c * moved).sum() == pytest.approx((pull(c.copy(), {}, True) * u).sum(), rel=1e-9, abs=1e-9)


@EVERY_LAYER
def test_images_are_unchanged_at_inference(layer):
    x = pictures()
    y, pull = layer.apply({}, x)
    assert y is x and pull(x, {}, True) is x
    assert get(layer.to_config()) == layer


@pytest.mark.parametrize("fill", FILLS)
@pytest.mark.parametrize("kind", KINDS)
def test_positions_far_outside_follow_the_definition(fill, kind):
    layer = RandomTranslation((0.9, 1.0), (-1.0, -0.9), fill, kind, fill_value=-1.0)
    five = Warp((layer,) * 5)
    x = pictures(3)
    streams = [STREAM.inside("warp", number) for number in range(5)]
    maps = layer.maps(streams[0], 3, 5, 4)
    for stream in streams[1:]:
        maps = maps @ layer.maps(stream, 3, 5, 4)
    np.testing.assert_allclose(
        five.apply({}, x, rng=STREAM)[0], warped_slowly(x, maps, layer.sampling), rtol=1e-9, atol=1e-9
    )


# Outputs of Keras 3.15.1 with fixed factors: the first line of the first channel

PICTURE = (np.arange(5 * 4 * 2).reshape(1, 5, 4, 2) * 7 % 23).astype("float32")
KERAS = [
    (
        RandomTranslation((0.3, 0.3), (-0.4, -0.4), fill_mode="reflect", interpolation="bilinear", fill_value=2.5),
        [9.0, 11.5, 12.5, 11.0],
    ),
    (
        RandomTranslation((0.3, 0.3), (-0.4, -0.4), fill_mode="reflect", interpolation="nearest", fill_value=2.5),
        [5.0, 19.0, 19.0, 5.0],
    ),
    (
        RandomTranslation((0.3, 0.3), (-0.4, -0.4), fill_mode="wrap", interpolation="bilinear", fill_value=2.5),
        [16.0, 11.6, 10.4, 13.5],
    ),
    (
        RandomTranslation((0.3, 0.3), (-0.4, -0.4), fill_mode="wrap", interpolation="nearest", fill_value=2.5),
        [22.0, 13.0, 17.0, 8.0],
    ),
    (
        RandomTranslation((0.3, 0.3), (-0.4, -0.4), fill_mode="constant", interpolation="bilinear", fill_value=2.5),
        [2.5, 2.5, 2.5, 2.5],
    ),
    (
        RandomTranslation((0.3, 0.3), (-0.4, -0.4), fill_mode="constant", interpolation="nearest", fill_value=2.5),
        [2.5, 2.5, 2.5, 2.5],
    ),
    (
        RandomTranslation((0.3, 0.3), (-0.4, -0.4), fill_mode="nearest", interpolation="bilinear", fill_value=2.5),
        [8.6, 13.4, 19.0, 19.0],
    ),
    (
        RandomTranslation((0.3, 0.3), (-0.4, -0.4), fill_mode="nearest", interpolation="nearest", fill_value=2.5),
        [5.0, 19.0, 19.0, 19.0],
    ),
    (
        RandomRotation((0.1, 0.1), fill_mode="reflect", interpolation="bilinear", fill_value=2.5),
        [9.8416, 9.1265, 10.2138, 8.6364],
    ),
    (RandomRotation((0.1, 0.1), fill_mode="reflect", interpolation="nearest", fill_value=2.5), [14.0, 5.0, 6.0, 6.0]),
    (
        RandomRotation((0.1, 0.1), fill_mode="wrap", interpolation="bilinear", fill_value=2.5),
        [12.1538, 9.1265, 9.9371, 12.1928],
    ),
    (RandomRotation((0.1, 0.1), fill_mode="wrap", interpolation="nearest", fill_value=2.5), [14.0, 5.0, 6.0, 10.0]),
    (
        RandomRotation((0.1, 0.1), fill_mode="constant", interpolation="bilinear", fill_value=2.5),
        [6.1729, 9.1265, 9.5961, 3.1806],
    ),
    (
        RandomRotation((0.1, 0.1), fill_mode="constant", interpolation="nearest", fill_value=2.5),
        [14.0, 5.0, 6.0, 2.5],
    ),
    (
        RandomRotation((0.1, 0.1), fill_mode="nearest", interpolation="bilinear", fill_value=2.5),
        [9.8416, 9.1265, 10.2138, 8.6364],
    ),
    (RandomRotation((0.1, 0.1), fill_mode="nearest", interpolation="nearest", fill_value=2.5), [14.0, 5.0, 6.0, 6.0]),
    (
        RandomRotation((-0.3, -0.3), fill_mode="reflect", interpolation="bilinear", fill_value=2.5),
        [16.4473, 7.9356, 18.1474, 11.9145],
    ),
    (RandomZoom((0.3, 0.3), fill_mode="reflect", interpolation="bilinear", fill_value=2.5), [0.0, 11.9, 7.1, 19.0]),
    (
        RandomZoom((-0.4, -0.4), (0.2, 0.2), fill_mode="reflect", interpolation="bilinear", fill_value=2.5),
        [8.0, 4.04, 12.56, 8.6],
    ),
    (
        RandomZoom((-0.4, -0.4), (0.2, 0.2), fill_mode="reflect", interpolation="nearest", fill_value=2.5),
        [10.0, 1.0, 15.0, 6.0],
    ),
    (
        RandomZoom((-0.4, -0.4), (0.2, 0.2), fill_mode="wrap", interpolation="bilinear", fill_value=2.5),
        [8.18, 4.04, 12.56, 8.42],
    ),
    (
        RandomZoom((-0.4, -0.4), (0.2, 0.2), fill_mode="wrap", interpolation="nearest", fill_value=2.5),
        [10.0, 1.0, 15.0, 6.0],
    ),
    (
        RandomZoom((-0.4, -0.4), (0.2, 0.2), fill_mode="constant", interpolation="bilinear", fill_value=2.5),
        [6.35, 4.04, 12.56, 6.77],
    ),
    (
        RandomZoom((-0.4, -0.4), (0.2, 0.2), fill_mode="constant", interpolation="nearest", fill_value=2.5),
        [10.0, 1.0, 15.0, 6.0],
    ),
    (
        RandomZoom((-0.4, -0.4), (0.2, 0.2), fill_mode="nearest", interpolation="bilinear", fill_value=2.5),
        [8.0, 4.04, 12.56, 8.6],
    ),
    (
        RandomZoom((-0.4, -0.4), (0.2, 0.2), fill_mode="nearest", interpolation="nearest", fill_value=2.5),
        [10.0, 1.0, 15.0, 6.0],
    ),
]
BOTH_SIGNS = RandomShear((0.3, 0.3), (0.2, 0.2), fill_value=2.5)
SHEARED = {
    "reflect": [[10.8, 20.2, 13.0, 14.8], [15.2, 15.0, 13.16, 15.96]],
    "constant": [[2.5, 12.5, 13.16, 15.96], [10.8, 16.66, 7.54, 2.5]],
}
"""The last line of the first channel, for either sign."""


@pytest.mark.parametrize("layer, line", KERAS, ids=repr)
def test_fixed_factors_match_keras(layer, line):
    np.testing.assert_allclose(layer.apply({}, PICTURE, rng=STREAM)[0][0, 0, :, 0], line, atol=1e-4)


@pytest.mark.parametrize("fill", SHEARED)
def test_a_shear_with_fixed_factors_matches_keras_for_either_sign(fill):
    x = np.repeat(PICTURE, 40, axis=0)
    lines = replace(BOTH_SIGNS, fill_mode=fill).apply({}, x, rng=STREAM)[0][:, -1, :, 0]
    distance = np.abs(lines[:, None] - np.array(SHEARED[fill], np.float32)).max(axis=2)
    assert distance.min(axis=1).max() < 1e-4
    assert 8 < (distance.argmin(axis=1) == 0).sum() < 32


def test_draws_cover_the_range_of_each_factor():
    maps = RandomTranslation(0.25, (0.1, 0.3)).maps(STREAM, 100_000, 10, 100)
    down, right = -maps[:, 1, 2] / 10, -maps[:, 0, 2] / 100
    for values, low, high in ((down, -0.25, 0.25), (right, 0.1, 0.3)):
        assert low <= values.min() and values.max() <= high
        assert values.mean() == pytest.approx((low + high) / 2, abs=0.003)
        assert values.std() == pytest.approx((high - low) / 12**0.5, abs=0.003)
    assert abs(np.corrcoef(down, right)[0, 1]) < 0.02
    mirrored = RandomFlip("horizontal").maps(STREAM, 100_000, 4, 4)[:, 0, 0]
    assert set(mirrored) == {-1.0, 1.0} and abs(mirrored.mean()) < 0.02


def test_directions_match_keras():
    x = np.zeros((1, 3, 3, 1))
    x[0, 0, 2] = 1.0  # above on the right
    down, right = (1 / 3, 1 / 3), (0.0, 0.0)
    assert RandomTranslation(down, right, "constant").apply({}, x, rng=STREAM)[0][0, 1, 2, 0] == pytest.approx(1)
    assert RandomTranslation(right, down, "wrap").apply({}, x, rng=STREAM)[0][0, 0, 0, 0] == pytest.approx(1)
    assert RandomRotation((0.25, 0.25)).apply({}, x, rng=STREAM)[0][0, 0, 0, 0] == pytest.approx(1)
    ones = np.ones((1, 6, 6, 1))
    assert RandomZoom((1.0, 1.0), fill_mode="constant").apply({}, ones, rng=STREAM)[0].sum() == pytest.approx(9)
    assert RandomZoom((-0.5, -0.5), fill_mode="constant").apply({}, ones, rng=STREAM)[0].sum() == pytest.approx(36)


def smoothed(noise, deviation):
    """Return the noise of one image and axis, smoothed with zeros beyond the edges, by the definition."""
    half = int(6 * deviation) // 2
    offsets = range(-half, half + 1)
    weights = {(a, b): math.exp(-(a * a + b * b) / (2 * deviation**2)) for a in offsets for b in offsets}
    found, (height, width) = np.zeros(noise.shape), noise.shape
    for i, j in np.ndindex(noise.shape):
        for (a, b), weight in weights.items():
            if 0 <= i + a < height and 0 <= j + b < width:
                found[i, j] += weight / sum(weights.values()) * noise[i + a, j + b]
    return found


def test_displacements_are_smooth_noise():
    layer, (rows, height, width) = RandomElasticTransform((0.3, 0.9), (0.2, 1.0)), (8, 30, 26)
    chance, threshold, scale = uniform(STREAM, rows, (0.3, 0.9), (0.0, 1.0), (0.2, 1.0))
    noise = STREAM.inside("noise", 0).normal((rows, 2, height, width))
    moved = layer.displacements(STREAM, rows, height, width)
    assert 0 < (threshold < chance).sum() < rows
    for n in range(rows):
        deviation, strength = scale[n] * width / 20, scale[n] * height / 10 * (threshold[n] < chance[n])
        for axis in range(2):
            expected = strength * deviation * smoothed(noise[n, axis], deviation)
            np.testing.assert_allclose(moved[n, axis], expected, atol=1e-5)


def test_the_size_of_displacements_matches_keras():
    """Noise of 1.4 pixels is smoothed to 1.4 / (2 sqrt(pi) 1.4), then scaled by 2.8."""
    inner = RandomElasticTransform((1, 1), (1, 1)).displacements(STREAM, 300, 28, 28)[:, :, 5:-5, 5:-5]
    assert inner.std() == pytest.approx(2.8 / (2 * math.pi**0.5), rel=0.02) and abs(inner.mean()) < 0.01
    shares = [
        (RandomElasticTransform(f).displacements(STREAM, 4000, 4, 4).any(axis=(1, 2, 3))).mean()
        for f in (1, 0.2, (1, 1))
    ]
    np.testing.assert_allclose(shares, [0.5, 0.1, 1.0], atol=0.03)


def test_a_distorted_image_stays_in_the_value_range():
    layer, x = RandomElasticTransform((1, 1), value_range=(2, 7)), pictures()
    y, pull = layer.apply({}, x, rng=STREAM)
    free, whole = replace(layer, value_range=(-99, 99)).apply({}, x, rng=STREAM)
    np.testing.assert_array_equal(y, free.clip(2, 7))
    assert y.min() == 2 and y.max() == 7
    d = np.cos(y)
    np.testing.assert_array_equal(pull(d.copy(), {}, True), whole(d * (y == free), {}, True))


# Fused layers


def planned(layers, shape=(5, 4, 1)):
    nodes = [Node(layer, (number,), number) for number, layer in enumerate((*layers, Flatten(), Dense(2)))]
    return Network(tuple(nodes), (shape,))


def kinds(network):
    return [tuple(map(type, one.layers)) if isinstance(one, Warp) else type(one) for one in network.parts][:-1]


MOVE, TURN, ZOOM, SHEAR, FLIP = LAYERS[0], LAYERS[1], LAYERS[2], LAYERS[4], LAYERS[5]
BEND = LAYERS[-1]
ROWS = [
    ([MOVE], [type(MOVE)]),
    ([MOVE, TURN], [(RandomTranslation, RandomRotation), Unchanged]),
    ([FLIP, FLIP], [(RandomFlip, RandomFlip), Unchanged]),
    (
        [TURN, FLIP, MOVE, ZOOM, SHEAR],
        [(RandomRotation, RandomFlip, RandomTranslation, RandomZoom, RandomShear), *[Unchanged] * 4],
    ),
    (
        [MOVE, RandomBrightness(0.1), TURN, FLIP],
        [type(MOVE), RandomBrightness, (RandomRotation, RandomFlip), Unchanged],
    ),
    ([MOVE, replace(TURN, fill_mode="wrap"), FLIP], [type(MOVE), (RandomRotation, RandomFlip), Unchanged]),
    ([MOVE, FLIP, replace(TURN, interpolation="nearest")], [(RandomTranslation, RandomFlip), Unchanged, type(TURN)]),
    ([MOVE, replace(TURN, fill_value=1.0)], [(RandomTranslation, RandomRotation), Unchanged]),
    (
        [replace(MOVE, fill_mode="constant"), replace(TURN, fill_mode="constant", fill_value=1.0)],
        [type(MOVE), type(TURN)],
    ),
]


@pytest.mark.parametrize("layers, expected", ROWS, ids=repr)
def test_consecutive_layers_with_equal_sampling_are_fused(layers, expected):
    assert kinds(planned(layers)) == expected


def test_layers_whose_output_is_read_elsewhere_are_not_fused():
    nodes = [Node(MOVE, (0,), 0), Node(TURN, (1,), 1), Node(ReLU(), (1,), 2), Node(Flatten(), (2,), 3)]
    nodes += [Node(Flatten(), (3,), 4), Node(get({"type": "Add"}), (4, 5), 5)]
    network = Network(tuple(nodes), ((5, 4, 1),))
    assert [type(one) for one in network.parts[:2]] == [RandomTranslation, RandomRotation]


@pytest.mark.parametrize("fill", FILLS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("last", [[FLIP], [BEND]], ids=repr)
def test_fused_layers_interpolate_once_at_the_composed_positions(fill, kind, last):
    layers = [replace(one, fill_mode=fill, interpolation=kind) for one in (TURN, MOVE, ZOOM, SHEAR)]
    layers += [one if one is FLIP else replace(one, fill_mode=fill, interpolation=kind) for one in last]
    warp, x = planned(layers, (6, 5, 2)).parts[0], pictures(3, (6, 5, 2))
    streams = [STREAM.inside("warp", n) for n in range(len(layers))]
    own = [layer.maps(stream, 3, 6, 5) for layer, stream in zip(layers, streams, strict=True)]
    moved = layers[-1].displacements(streams[-1], 3, 6, 5) if layers[-1].displaces else np.zeros((3, 2, 6, 5))
    expected = np.empty_like(x)
    for n, i, j in np.ndindex(3, 6, 5):
        place = [j + float(moved[n, 1, i, j]), i + float(moved[n, 0, i, j]), 1]
        for maps in reversed(own):  # from the last layer's output back to the first one's input
            place = maps[n] @ place
        expected[n, i, j] = sampled(x[n], layers[0].sampling, place[:2])
    y, pull = warp.apply({}, x, rng=STREAM)
    np.testing.assert_allclose(y, expected, rtol=1e-9, atol=1e-9)
    rng = np.random.default_rng(0)
    u, c = rng.normal(size=x.shape), rng.normal(size=x.shape)
    moved = warp.apply({}, x + u, rng=STREAM)[0] - y
    assert (c * moved).sum() == pytest.approx((pull(c.copy(), {}, True) * u).sum(), rel=1e-9, abs=1e-9)
    assert warp.apply({}, x)[0] is x


def test_configs_do_not_mention_fused_layers():
    network = planned([TURN, MOVE])
    assert Network.from_config(network.to_config()) == network
    assert [node["layer"]["type"] for node in network.to_config()["nodes"][:2]] == [
        "RandomRotation",
        "RandomTranslation",
    ]


def fitted(**more):
    layers = [
        Input((8, 8, 1)), RandomRotation(0.1, "constant"), RandomTranslation(0.1, 0.1, "constant"), RandomFlip(),
        Conv2D(3, 3, activation="relu"), RandomZoom(0.2), RandomElasticTransform(value_range=(-9, 9)),
        Flatten(), Dense(2, "softmax"),
    ]  # fmt: skip
    model = Sequential(layers)
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(pictures(90, (8, 8, 1)), np.arange(90) % 2, epochs=2, seed=4, verbose=0, **more)
    return model


def test_training_repeats_to_the_bit_and_a_saved_model_predicts_the_same(tmp_path):
    model = fitted(batch_size=32)
    assert model.fingerprint() == fitted(batch_size=32).fingerprint()
    model.save(tmp_path / "m.npz")
    from firesteel.models import load_model

    x = pictures(7, (8, 8, 1))
    assert (load_model(tmp_path / "m.npz").predict(x) == model.predict(x)).all()


@pytest.mark.parametrize(
    "made, message",
    [
        (
            lambda: RandomTranslation(1.5, 0.1),
            "height_factor must be a number from -1 to 1, or two such numbers: height_factor is the range",
        ),
        (lambda: RandomTranslation(0.1, "0.1"), "width_factor must be a number from -1 to 1, or two such"),
        (
            lambda: RandomTranslation(0.1, 0.1, "mirror"),
            "fill_mode must be one of 'reflect', 'wrap', 'constant', 'nearest'",
        ),
        (lambda: RandomTranslation(0.1, 0.1, seed=3), r"no argument 'seed': .* fit\(seed="),
        (lambda: RandomRotation((0.1,)), "factor must be a number from -1 to 1, or two such"),
        (lambda: RandomRotation(0.1, interpolation="cubic"), "interpolation must be one of 'bilinear', 'nearest'"),
        (lambda: RandomRotation(0.1, fill_value="a"), "fill_value must be a finite number"),
        (lambda: RandomRotation(0.1, data_format="channels_first"), "channels must be the last axis"),
        (lambda: RandomZoom(-1), "height_factor must be a number above -1 and up to 1, or two such"),
        (lambda: RandomZoom(None), "height_factor must be a number above -1 and up to 1, or two such"),
        (lambda: RandomShear(2), "x_factor must be a number from -1 to 1, or two such"),
        (
            lambda: RandomElasticTransform(2),
            "factor must be a number from 0 to 1, or two such numbers: factor is the range",
        ),
        (lambda: RandomElasticTransform(scale=(-1, 1)), "scale must be a number from 0 to 1, or two such"),
        (
            lambda: RandomElasticTransform(value_range=(1, 0)),
            "value_range must be two numbers, the smaller one first",
        ),
        (lambda: RandomFlip("sideways"), "mode must be one of 'horizontal_and_vertical', 'horizontal', 'vertical'"),
        *((lambda one=one: Network.chain((one,), 4), r"begin with Input\(\(28, 28, 1\)\)") for one in LAYERS),
    ],
)
def test_wrong_arguments_are_refused_with_a_reason(made, message):
    with pytest.raises(ConfigError, match=message):
        made()


def test_every_layer_that_moves_pixels_is_tested():
    def below(kind):
        return {kind, *(inner for one in kind.__subclasses__() for inner in below(one))}

    assert {type(one) for one in LAYERS} == below(Warping) - {Warping, Warp}

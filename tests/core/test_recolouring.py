"""Random contrast and brightness, against plain loops; cropped pictures."""

import numpy as np
import pytest

from firesteel.core.layers import Cropping2D, Flatten, Input, RandomBrightness, RandomContrast, ZeroPadding2D, get
from firesteel.core.layers.recolouring import uniform
from firesteel.core.network import Network
from firesteel.core.seeds import stream_for
from firesteel.errors import ConfigError
from firesteel.layers import Dense
from firesteel.models import Sequential

STREAM = stream_for(5, "op", 2)
DTYPES = ["float32", "float64"]
LAYERS = [
    RandomBrightness(0.3),
    RandomBrightness((0.1, 0.9), (-1.0, 300.0)),
    RandomBrightness((0.5, -1.0)),
    RandomContrast(0.5),
    RandomContrast((0.9, 0.1), (20, 200)),
    RandomContrast((0.0, 0.0), (20, 200)),
]
RANDOM = pytest.mark.parametrize("layer", LAYERS, ids=repr)


def pictures(rows=6, shape=(5, 4, 3), dtype="float64"):
    return np.random.default_rng(rows).uniform(0, 255, (rows, *shape)).astype(dtype)


def recolored_slowly(layer, picture, share):
    """Return one image with random contrast or brightness, pixel by pixel.

    share: position of the drawn factor between the lowest and the highest, from 0 to 1.
    """
    low, high = layer.value_range
    y = np.empty_like(picture)
    for channel in range(picture.shape[2]):
        mean = sum(picture[i, j, channel] for i, j in np.ndindex(picture.shape[:2])) / picture[:, :, 0].size
        for i, j in np.ndindex(picture.shape[:2]):
            x = picture[i, j, channel]
            if isinstance(layer, RandomBrightness):
                least, most = min(layer.factor), max(layer.factor)
                changed = x + (least + (most - least) * share) * (high - low)
            else:
                least, most = 1 - layer.factor[0], 1 + layer.factor[1]
                changed = (x - mean) * (least + (most - least) * share) + mean
            y[i, j, channel] = min(max(changed, low), high)
    return y


@RANDOM
@pytest.mark.parametrize("dtype", DTYPES)
def test_each_image_matches_plain_loops(layer, dtype):
    x = pictures(dtype=dtype)
    shares = (STREAM.halves(len(x)) + 0.5) / 2**32
    expected = np.array([recolored_slowly(layer, *one) for one in zip(x.astype(np.float64), shares, strict=True)])
    y = layer.apply({}, x, rng=STREAM)[0]
    assert y.dtype == dtype
    np.testing.assert_allclose(y, expected, rtol=1e-12 if dtype == "float64" else 3e-5, atol=1e-4)


@RANDOM
@pytest.mark.parametrize("dtype", DTYPES)
def test_an_image_has_the_same_bits_in_any_batch(layer, dtype):
    for shape in [(5, 4, 3), (28, 28, 1), (1, 300, 1), (9, 1, 2)]:
        x = pictures(6, shape, dtype)
        y, pull = layer.apply({}, x, rng=STREAM)
        d = pull(np.cos(y), {}, True)
        for rows in (1, 2, 5):
            some, back = layer.apply({}, x[:rows], rng=STREAM)
            assert some.tobytes() == y[:rows].tobytes()
            assert back(np.cos(some), {}, True).tobytes() == d[:rows].tobytes()


@RANDOM
def test_the_pullback_is_the_directional_derivative(layer):
    rng, x = np.random.default_rng(1), pictures()
    y, pull = layer.apply({}, x, rng=STREAM)
    u, c = rng.normal(size=x.shape), rng.normal(size=y.shape)
    along = sum(sign * (c * layer.apply({}, x + sign * 1e-5 * u, rng=STREAM)[0]).sum() for sign in (1, -1)) / 2e-5
    assert along == pytest.approx((pull(c.copy(), {}, True) * u).sum(), rel=1e-6)


@RANDOM
def test_images_are_unchanged_at_inference(layer):
    x = pictures()
    y, pull = layer.apply({}, x)
    assert y is x and pull(x, {}, True) is x
    assert get(layer.to_config()) == layer


def test_draws_cover_the_range_of_each_factor():
    draws = uniform(STREAM, 100_000, (-0.25, 0.75))
    assert draws.min() >= -0.25 and draws.max() <= 0.75
    assert draws.mean() == pytest.approx(0.25, abs=0.005) and draws.std() == pytest.approx(12**-0.5, abs=0.005)


@pytest.mark.parametrize(
    "made, message",
    [
        (lambda: RandomContrast(1.5), r"factor must be a number from 0 to 1, or two such numbers: factor is"),
        (lambda: RandomContrast((0.1, 0.2, 0.3)), "factor must be a number from 0 to 1, or two such"),
        (lambda: RandomContrast("0.1"), "factor must be a number from 0 to 1, or two such"),
        (
            lambda: RandomContrast(0.1, (1, 1)),
            "value_range must be two numbers, the smaller one first: all pixel values",
        ),
        (lambda: RandomContrast(0.1, 255), "value_range must be two numbers, the smaller one first"),
        (lambda: RandomContrast(0.1, (0, float("nan"))), "value_range must be two numbers"),
        (lambda: RandomContrast(0.1, seed=3), r"no argument 'seed': .* fit\(seed="),
        (lambda: RandomContrast(0.1, data_format="channels_first"), "channels must be the last axis"),
        (lambda: RandomBrightness(-1.5), "factor must be a number from -1 to 1, or two such"),
        (lambda: RandomBrightness((0, 2)), "factor must be a number from -1 to 1, or two such"),
        (lambda: RandomBrightness(None), "factor must be a number from -1 to 1, or two such"),
        (lambda: RandomBrightness(True), "factor must be a number from -1 to 1, or two such"),
        (lambda: Cropping2D((1, 2, 3)), "cropping must be a number of lines"),
        (lambda: Cropping2D(-1), "cropping must be a number of lines"),
        (lambda: Cropping2D(1).output_shape((2, 5, 1)), "removes all pixels of an input of shape"),
        (lambda: Cropping2D().output_shape((4,)), r"begin with Input\(\(28, 28, 1\)\)"),
        (lambda: Network.chain((RandomBrightness(0.1),), 4), r"begin with Input\(\(28, 28, 1\)\)"),
        (lambda: Network.chain((RandomContrast(0.1),), 4), r"begin with Input\(\(28, 28, 1\)\)"),
    ],
)
def test_wrong_arguments_are_refused_with_a_reason(made, message):
    with pytest.raises(ConfigError, match=message):
        made()


@pytest.mark.parametrize("cropping", [1, (1, 0), ((0, 2), (1, 0)), ((0, 0), (0, 0))])
def test_cropping_is_the_adjoint_of_padding(cropping):
    x = pictures(2)
    pixels = Cropping2D(cropping).apply({}, x)[0]
    (top, bottom), (left, right) = Cropping2D(cropping).cropping
    assert (pixels == x[:, top : 5 - bottom, left : 4 - right]).all()
    assert (Cropping2D(cropping).apply({}, ZeroPadding2D(cropping).apply({}, x)[0])[0] == x).all()


def test_training_with_both_layers_repeats_to_the_bit():
    def fitted():
        x, y = pictures(40, (4, 4, 1)), np.arange(40) % 2
        layers = [Input((4, 4, 1)), RandomContrast(0.3), RandomBrightness(0.1), Flatten(), Dense(2, "softmax")]
        model = Sequential(layers)
        model.compile("adam", "sparse_categorical_crossentropy")
        model.fit(x, y, epochs=2, batch_size=16, seed=4, verbose=0)
        return model.fingerprint()

    assert fitted() == fitted()

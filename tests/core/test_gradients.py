"""Gradient = finite difference: every op, layer, activation and loss in the registries, and whole networks."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from firesteel.core import losses
from firesteel.core.layers import (
    ACTIVATIONS,
    ELU,
    LAYERS,
    Activation,
    Add,
    AlphaDropout,
    Average,
    AveragePooling1D,
    AveragePooling2D,
    BatchNormalization,
    Concatenate,
    Conv1D,
    Conv2D,
    Conv2DTranspose,
    Cropping2D,
    Dense,
    DepthwiseConv2D,
    Dot,
    Dropout,
    Embedding,
    Flatten,
    GaussianDropout,
    GaussianNoise,
    GlobalAveragePooling1D,
    GlobalAveragePooling2D,
    GlobalMaxPooling1D,
    GlobalMaxPooling2D,
    Input,
    Layer,
    LayerNormalization,
    LeakyReLU,
    Logarithm,
    Maximum,
    MaxPooling1D,
    MaxPooling2D,
    Minimum,
    Multiply,
    Normalization,
    Permute,
    PiecewiseLinear,
    PReLU,
    RandomBrightness,
    RandomContrast,
    RandomElasticTransform,
    RandomFlip,
    RandomRotation,
    RandomShear,
    RandomTranslation,
    RandomZoom,
    ReLU,
    RepeatVector,
    Rescaling,
    Reshape,
    SeparableConv2D,
    SpatialDropout2D,
    Subtract,
    Table,
    UpSampling2D,
    ZeroPadding2D,
)
from firesteel.core.layers.activation import (
    Celu,
    ElementwiseActivation,
    Exponential,
    Gelu,
    HardShrink,
    HardSigmoid,
    HardSilu,
    HardTanh,
    LogSigmoid,
    LogSoftmax,
    Mish,
    Relu,
    Selu,
    Sigmoid,
    Silu,
    Softmax,
    Softplus,
    SoftShrink,
    Softsign,
    Squareplus,
    Tanh,
)
from firesteel.core.layers.dense import Linear
from firesteel.core.layers.heads import Heads, Links
from firesteel.core.layers.preprocessing import Standardize
from firesteel.core.layers.wrapper import InUse, Settled
from firesteel.core.losses import (
    LOSSES,
    BinaryCrossentropy,
    BinaryFocalCrossentropy,
    CategoricalCrossentropy,
    CategoricalFocalCrossentropy,
    CategoricalGeneralizedCrossEntropy,
    HalfSumOfSquares,
    Huber,
    Quantile,
    SparseCategoricalCrossentropy,
    Standardized,
)
from firesteel.core.network import Network, Objective, alone
from firesteel.core.regularizers import L1L2, REGULARIZERS, OrthogonalRegularizer
from firesteel.core.seeds import stream_for
from firesteel.errors import ConfigError
from firesteel.testing import check_gradient
from tests.support.parts import MERGES, PARTS, looks_up, suiting, woven

SEEDS = [0, 1, 2]
PART_SAMPLES = {
    "AlphaDropout": [AlphaDropout(0.4), AlphaDropout(0.0)],
    "Average": [Average()],
    "BatchNormalization": [
        BatchNormalization(),
        BatchNormalization(center=False),
        BatchNormalization(0.5, 0.1, scale=False),
    ],
    "Dropout": [Dropout(0.4), Dropout(0.0)],
    "ELU": [ELU(), ELU(0.5)],
    "Embedding": [Embedding(4, 2), Embedding(9, 1), Embedding(6, 2, sparse_steps=True)],
    "Celu": [Celu(), Celu(0.3)],
    "Exponential": [Exponential()],
    "GaussianDropout": [GaussianDropout(0.4), GaussianDropout(0.0)],
    "GaussianNoise": [GaussianNoise(0.5), GaussianNoise(0.0)],
    "Gelu": [Gelu()],
    "HardShrink": [HardShrink()],
    "HardSilu": [HardSilu()],
    "HardTanh": [HardTanh()],
    "HardSigmoid": [HardSigmoid()],
    "LayerNormalization": [
        LayerNormalization(),
        LayerNormalization(0.1, center=False),
        LayerNormalization(scale=False),
    ],
    "LeakyReLU": [LeakyReLU(), LeakyReLU(0.2)],
    "Linear": [Linear(3), Linear(2, use_bias=False)],
    "LogSoftmax": [LogSoftmax()],
    "Logarithm": [Logarithm(), Logarithm(odds=True)],
    "LogSigmoid": [LogSigmoid()],
    "Mish": [Mish()],
    "PReLU": [PReLU(), PReLU(shared_axes=1)],
    "PiecewiseLinear": [PiecewiseLinear([[-1.0, 0.11, 1.05], [], [0.55, 0.65, 2.0]])],
    "ReLU": [ReLU(), ReLU(1.0), ReLU(1.2, 0.3, 0.5)],
    "Relu": [Relu()],
    "Links": [Links((1, 2), ("linear", "softmax")), Links((2, 1), ("softmax", "sigmoid"))],
    "Rescaling": [Rescaling(0.5, 1.0), Rescaling(-2.0)],
    "Selu": [Selu()],
    "Settled": [Settled(Dropout(0.5)), Settled(GaussianNoise(0.5))],
    "Sigmoid": [Sigmoid()],
    "Silu": [Silu()],
    "Softmax": [Softmax(), Softmax(1)],
    "SoftShrink": [SoftShrink()],
    "Softplus": [Softplus()],
    "Softsign": [Softsign()],
    "Squareplus": [Squareplus(), Squareplus(1.0)],
    "Standardize": [Standardize((0.5, -1.0, 2.0), (2.0, 0.5, 1.0)), Standardize((1.0,), (-3.0,), (-1.0, 1.0))],
    "Table": [
        Table([[-1.0, 0.1, 1.0]], 1, [3], 2, unseen=0.5),
        Table(levels=[9, 4, 1], sparse_steps=True),
        Table([[0.5, 0.6], []], plain=1),
    ],
    "Tanh": [Tanh()],
}
PICTURES = [
    (Conv2D(4, 3).parts()[0], 1),
    (Conv2D(3, (2, 3), 2, "same", use_bias=False).parts()[0], 2),
    (Conv2D(4, (3, 2), (1, 3), groups=2).parts()[0], 4),
    (Conv2D(4, 3, padding="same", groups=2).parts()[0], 2),
    (Conv2D(2, (2, 3), dilation_rate=(3, 2), padding="same").parts()[0], 3),
    (MaxPooling2D(), 2),
    (MaxPooling2D(3, 2, "same"), 1),
    (MaxPooling2D((2, 3), (3, 1)), 2),
    (AveragePooling2D(), 2),
    (AveragePooling2D(3, 2, "same"), 1),
    (AveragePooling2D((3, 2), 1), 2),
    (GlobalAveragePooling2D(), 3),
    (GlobalAveragePooling2D(keepdims=True), 1),
    (GlobalMaxPooling2D(), 3),
    (GlobalMaxPooling2D(keepdims=True), 1),
    (BatchNormalization(), 2),
    (DepthwiseConv2D(3).parts()[0], 2),
    (DepthwiseConv2D((2, 3), 2, "same", depth_multiplier=2, use_bias=False).parts()[0], 2),
    (DepthwiseConv2D(2, dilation_rate=(3, 1)).parts()[0], 1),
    (Conv2DTranspose(2, 3).parts()[0], 2),
    (Conv2DTranspose(2, 3, 2, "same").parts()[0], 1),
    (Conv2DTranspose(1, (2, 1), (3, 2), use_bias=False).parts()[0], 2),
    (Conv2DTranspose(2, 2, dilation_rate=2, padding="same").parts()[0], 2),
    (Conv2DTranspose(2, 3, 2, "same", output_padding=(1, 0)).parts()[0], 2),
    (ZeroPadding2D(), 2),
    (ZeroPadding2D(((0, 2), (1, 0))), 1),
    (UpSampling2D(), 2),
    (UpSampling2D((3, 1)), 1),
    (UpSampling2D(2, interpolation="bilinear"), 2),
    (UpSampling2D((1, 3), interpolation="bilinear"), 1),
    (SpatialDropout2D(0.4), 3),
    (SpatialDropout2D(0.0), 2),
    (Cropping2D(((0, 2), (1, 0))), 2),
    (Cropping2D(1), 1),
    (RandomBrightness(0.2, (-0.6, 0.9)), 2),
    (RandomBrightness((0.1, 0.3), (-2.0, 2.0)), 1),
    (RandomContrast(0.5, (-0.6, 0.9)), 2),
    (RandomContrast((0.1, 1.0), (-9.0, 9.0)), 1),
    (RandomElasticTransform((1.0, 1.0), value_range=(-0.8, 0.9)), 2),
    (RandomElasticTransform(1.0, (0.5, 1.0), "nearest", value_range=(-2, 2)), 1),
    (RandomFlip(), 2),
    (RandomFlip("vertical"), 1),
    (RandomRotation(0.2), 2),
    (RandomRotation((0.1, 0.5), "wrap", "nearest"), 1),
    (RandomShear(0.5, 0.3), 1),
    (RandomShear(y_factor=0.5, fill_mode="constant", fill_value=2.0), 2),
    (RandomTranslation(0.6, 0.3), 1),
    (RandomTranslation(0.6, 0.3, "nearest"), 2),
    (RandomZoom(0.5), 2),
    (RandomZoom((0.3, 1.0), 0.5, "wrap"), 1),
]
"""Layers for pictures of odd sides, with the number of channels."""
SEQUENCES = [
    Conv1D(3, 4).parts()[0],
    Conv1D(2, 3, 2, "same").parts()[0],
    Conv1D(2, 3, padding="causal", dilation_rate=2, groups=2).parts()[0],
    MaxPooling1D(),
    MaxPooling1D(3, 2, "same"),
    AveragePooling1D(3, 1),
    AveragePooling1D(4, padding="same"),
    GlobalAveragePooling1D(),
    GlobalMaxPooling1D(keepdims=True),
]
SHAPED = [
    *((layer, [(5, 4, channels)]) for layer, channels in PICTURES),
    *((layer, [(7, 2)]) for layer in SEQUENCES),
    (Add(), [(3,), (3,)]),
    (Add(), [(2, 3), (2, 3), (2, 3)]),
    (Add(), [(2, 1, 3), (3,), (4, 1)]),
    (Average(), [(3,), (3,), (3,)]),
    (Average(), [(1, 3), (2, 3)]),
    (Concatenate(), [(3,), (2,), (4,)]),
    (Concatenate(), [(2, 3), (2, 1)]),
    (Concatenate(1), [(2, 3), (4, 3)]),
    (Concatenate(-2), [(2, 3, 2), (2, 1, 2), (2, 2, 2)]),
    (Dot(1), [(3,), (3,)]),
    (Dot(-1, normalize=True), [(3,), (3,)]),
    (Dot((2, 1)), [(2, 3), (3, 4)]),
    (Dot((1, 2)), [(3, 2), (4, 3)]),
    (Dot(-1), [(2, 3), (3,)]),
    (Dot((1, -1), normalize=True), [(3, 2, 2), (2, 3)]),
    (Maximum(), [(3,), (3,)]),
    (Maximum(), [(2, 3), (2, 3), (1, 3)]),
    (Minimum(), [(3,), (3,)]),
    (Minimum(), [(2, 3), (3,), (2, 1)]),
    (Multiply(), [(3,), (3,)]),
    (Multiply(), [(2, 3), (2, 3), (2, 3)]),
    (Multiply(), [(2, 2, 3), (1, 1, 3)]),
    (Permute((1,)), [(3,)]),
    (Permute((2, 1)), [(2, 3)]),
    (Permute((2, 3, 1)), [(2, 3, 4)]),
    (RepeatVector(1), [(3,)]),
    (RepeatVector(4), [(3,)]),
    (Reshape((-1,)), [(2, 3)]),
    (Reshape((2, -1)), [(4,)]),
    (Reshape((3, 2, 2)), [(3, 4)]),
    (BatchNormalization(), [(2, 3)]),
    (LayerNormalization(), [(2, 3)]),
    (Linear(2), [(2, 3)]),
    (Linear(3, use_bias=False), [(2, 2, 1)]),
    (LogSoftmax(), [(2, 3)]),
    (PReLU(), [(2, 3)]),
    (PReLU(shared_axes=1), [(2, 3)]),
    (PReLU(shared_axes=[1, -1]), [(2, 2, 3)]),
    (Softmax(), [(2, 3)]),
    (Softmax(1), [(3, 2)]),
    (Softmax(-2), [(2, 3, 2)]),
    *(
        (activation, [(2, 3)])
        for activation in (AlphaDropout(0.4), Dropout(0.4), Gelu(), GaussianDropout(0.3), Relu(), Tanh())
    ),
    (Standardize((0.5, -1.0, 2.0), (2.0, 0.5, 1.0)), [(2, 3)]),
    (Subtract(), [(3,), (3,)]),
    (Subtract(), [(2, 3), (1, 3)]),
]
"""Layers for values of other shapes than (3,), or for several: the shapes that they are given."""
SAMPLES = [(part, [(3,)]) for samples in PART_SAMPLES.values() for part in samples] + SHAPED
LAYER_SAMPLES = {
    "Activation": [Activation(name) for name in ACTIVATIONS],
    "Add": [Add()],
    "AlphaDropout": [AlphaDropout(0.4)],
    "Average": [Average()],
    "AveragePooling1D": [AveragePooling1D(), AveragePooling1D(3, 1, "same")],
    "AveragePooling2D": [AveragePooling2D(), AveragePooling2D(2, 1, "same")],
    "BatchNormalization": [BatchNormalization(), BatchNormalization(0.5, 0.1, center=False, scale=False)],
    "Conv1D": [Conv1D(2, 3, activation="tanh"), Conv1D(3, 2, padding="causal", use_bias=False)],
    "Conv2D": [Conv2D(2, 2, activation="tanh"), Conv2D(3, (1, 2), padding="same", use_bias=False)],
    "GlobalAveragePooling1D": [GlobalAveragePooling1D()],
    "GlobalAveragePooling2D": [GlobalAveragePooling2D()],
    "GlobalMaxPooling1D": [GlobalMaxPooling1D()],
    "GlobalMaxPooling2D": [GlobalMaxPooling2D()],
    "MaxPooling1D": [MaxPooling1D()],
    "MaxPooling2D": [MaxPooling2D()],
    "Concatenate": [Concatenate(), Concatenate(1)],
    "Conv2DTranspose": [Conv2DTranspose(2, 2, 2, activation="tanh")],
    "Cropping2D": [Cropping2D(), Cropping2D(((1, 0), (0, 1)))],
    "Dense": [
        Dense(4, name, use_bias=bias, bias_initializer="normal") for name in ACTIVATIONS for bias in (True, False)
    ],
    "DepthwiseConv2D": [DepthwiseConv2D(2, depth_multiplier=2, activation="tanh")],
    "Dot": [Dot(-1), Dot(1, normalize=True)],
    "Dropout": [Dropout(0.5), Dropout(0.0)],
    "ELU": [ELU(), ELU(0.5)],
    "Embedding": [Embedding(4, 2), Embedding(9, 1, "normal"), Embedding(6, 2, sparse_steps=True)],
    "Flatten": [Flatten()],
    "GaussianDropout": [GaussianDropout(0.3)],
    "GaussianNoise": [GaussianNoise(0.3)],
    "Heads": [Heads((3,), ("softmax",)), Heads((1,), ("linear",))],
    "InUse": [InUse(Dropout(0.5)), InUse(GaussianNoise(0.5))],
    "Input": [Input((3,)), Input((3, 2))],
    "LayerNormalization": [LayerNormalization(), LayerNormalization(0.1, center=False)],
    "LeakyReLU": [LeakyReLU(), LeakyReLU(0.1)],
    "Logarithm": [Logarithm()],
    "Maximum": [Maximum()],
    "Minimum": [Minimum()],
    "Multiply": [Multiply()],
    "Normalization": [
        Normalization([1.0, 0.0, -1.0, 0.5], [4.0, 1.0, 0.0, 0.01]),
        Normalization(2.0, 9.0, invert=True, bounds=(-1.0, 1.0)),
    ],
    "PReLU": [PReLU("normal"), PReLU(shared_axes=[1])],
    "Permute": [Permute((1,))],
    "PiecewiseLinear": [PiecewiseLinear([[-1.0, 0.1, 1.0], [], [0.5, 0.6]])],
    "RandomBrightness": [RandomBrightness(0.2, (-9.0, 9.0))],
    "RandomContrast": [RandomContrast(0.2, (-9.0, 9.0))],
    "RandomElasticTransform": [RandomElasticTransform(value_range=(-9, 9))],
    "RandomFlip": [RandomFlip(), RandomFlip("horizontal")],
    "RandomRotation": [RandomRotation(0.2), RandomRotation(0.2, "constant", "nearest", fill_value=0.5)],
    "RandomShear": [RandomShear(0.5, 0.3), RandomShear(0.5, fill_mode="wrap")],
    "RandomTranslation": [RandomTranslation(0.5, 0.4), RandomTranslation(0.5, 0.4, "nearest")],
    "RandomZoom": [RandomZoom(0.5), RandomZoom(0.5, 0.3, "constant")],
    "ReLU": [ReLU(), ReLU(0.75, 0.1, 0.25)],
    "RepeatVector": [RepeatVector(3), RepeatVector(1)],
    "Rescaling": [Rescaling(0.5, -0.25), Rescaling(3.0)],
    "Reshape": [Reshape((2, -1)), Reshape((4,))],
    "SeparableConv2D": [SeparableConv2D(3, 2, activation="tanh"), SeparableConv2D(2, 1, depth_multiplier=2)],
    "Softmax": [Softmax(), Softmax(axis=1)],
    "SpatialDropout2D": [SpatialDropout2D(0.3)],
    "Subtract": [Subtract()],
    "Table": [
        Table([[-1.0, 0.1, 1.0], []], 1, [3, 5], 2, unseen=0.5),
        Table([[0.5, 0.6]], levels=[9], sparse_steps=True),
        Table([[-1.0, 0.3], [0.5, 0.6]], plain=2),
    ],
    "UpSampling2D": [UpSampling2D(), UpSampling2D(2, interpolation="bilinear")],
    "ZeroPadding2D": [ZeroPadding2D()],
}
LOSS_SAMPLES = LOSSES | {
    "binary of logits": BinaryCrossentropy(from_logits=True),
    "categorical of logits": CategoricalCrossentropy(from_logits=True),
    "sparse of logits": SparseCategoricalCrossentropy(from_logits=True),
    "smoothed binary": BinaryCrossentropy(label_smoothing=0.2),
    "smoothed categorical": CategoricalCrossentropy(label_smoothing=0.2),
    "smoothed sparse": SparseCategoricalCrossentropy(label_smoothing=0.2),
    "focal of logits": BinaryFocalCrossentropy(from_logits=True),
    "balanced focal": BinaryFocalCrossentropy(True, 0.3, 0.5, label_smoothing=0.2),
    "categorical focal of logits": CategoricalFocalCrossentropy(0.5, 1.0, True, 0.2),
    "low generalized": CategoricalGeneralizedCrossEntropy(0.1),
    "narrow huber": Huber(0.3),
    "high quantile": Quantile(0.9),
}
BATCH, WIDTH = 7, 3
KINKS = np.array([-3.0, 0.0, 0.25, 0.75, 3.0, 6.0])
"""Where the activations of these samples bend."""


def targets(loss, outputs, rng, batch=BATCH):
    """Targets of the kind that the loss declares."""
    if loss.targets == "real":
        return rng.normal(size=(batch, outputs))
    if loss.targets == "unit":
        return rng.uniform(0.05, 0.95, size=(batch, outputs))
    if loss.targets == "class":
        return rng.integers(0, outputs, size=(batch, 1)).astype(float)
    if loss.targets == "count":
        return rng.poisson(2.0, size=(batch, outputs)).astype(float)
    if loss.targets == "sign":
        return rng.choice([-1.0, 1.0], size=(batch, outputs))
    pytest.fail(f"{loss} declares targets of kind {loss.targets!r}: say here how to draw them")


def last_activation(loss):
    """The one that suits the loss; behind logits there is none."""
    return "linear" if getattr(loss, "from_logits", False) else loss.natural


def drawn(network, rng):
    """Weights and rows that such a network may meet."""
    theta, x = rng.normal(0.1, 0.7, network.layout.size), rng.normal(size=(BATCH, network.inputs))
    return theta, suiting(network.parts[0], x)


def away_from_kinks(network, rng):
    """Weights and rows at which no input of an activation is near a point where the slope may jump."""
    for _ in range(100):
        theta, x = drawn(network, rng)
        views = network.layout.views(theta)
        bent = [at for at, part in enumerate(network.parts) if isinstance(part, ElementwiseActivation)]
        inputs = [network.output(views, x, last=at) for at in bent]
        if all(np.abs(z[..., None] - KINKS).min() > 1e-4 for z in inputs):
            return theta, x
    raise AssertionError("no point away from the kinks was found")


def check(layers, loss, seed):
    """Check a network of these layers, under weights, at a random point."""
    rng = np.random.default_rng(seed)
    network = woven(layers, layers[0].inputs or WIDTH)
    theta, x = away_from_kinks(network, rng)
    y, w = targets(loss, network.outputs, rng), rng.uniform(0.5, 2.0, BATCH)
    assert network.layout.size, "a network without weights proves nothing"
    assert check_gradient(Objective(network, loss), x, y, w, theta=theta) <= 1e-6


def test_every_layer_of_the_registries_has_a_sample_here():
    shaped = {type(layer).__name__ for layer, _ in SHAPED}
    assert set(PART_SAMPLES) | shaped == set(PARTS), "add a sample of the new layer to PART_SAMPLES or SHAPED"
    for kind in MERGES:
        assert {2, 2 if hasattr(kind, "most") and kind.most == 2 else 3} <= {
            len(shapes) for layer, shapes in SHAPED if isinstance(layer, kind)
        }
    assert set(LAYER_SAMPLES) == set(LAYERS), "add a sample of the new layer to LAYER_SAMPLES"
    for name, samples in [*PART_SAMPLES.items(), *LAYER_SAMPLES.items()]:
        assert all(type(sample).__name__ == name for sample in samples)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("part, shapes", SAMPLES, ids=repr)
def test_every_pull_back_is_the_derivative_by_its_inputs_and_its_parameters(part, shapes, seed):
    rng = np.random.default_rng(seed)
    x = [rng.uniform(0.1, 1.5, (BATCH, *shape)) * rng.choice([-1, 1], (BATCH, *shape)) for shape in shapes]
    x = [suiting(part, x[0]), *x[1:]]
    params = part.params(*shapes)
    p = {name: rng.normal(size=param.shape) for name, param in params.items()}
    c = rng.normal(size=(BATCH, *part.output_shape(*shapes)))

    def value():
        return float((c * part.apply(p, *x, rng=stream_for(9))[0]).sum())

    y, pull = part.apply(p, *x, rng=stream_for(9))
    g = {name: np.zeros_like(array) for name, array in p.items()}
    d_x = pull(c.copy(), g, True)
    d_x = d_x if len(x) > 1 else [d_x]
    assert y.shape == c.shape and [one.shape for one in d_x] == [one.shape for one in x]
    assert y.flags.c_contiguous and all(one.flags.c_contiguous for one in d_x)
    varied = [(p[name], g[name]) for name in p if params[name].average is None]
    whole = looks_up(part) and getattr(part, "levels", True)
    for array, gradient in [*([] if whole else zip(x, d_x, strict=True)), *varied]:
        for at in np.ndindex(array.shape):
            middle = array[at]
            array[at] = middle + 1e-6
            above = value()
            array[at] = middle - 1e-6
            slope = (above - value()) / 2e-6
            array[at] = middle
            assert slope == pytest.approx(gradient[at], rel=1e-6, abs=1e-8)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("part, shapes", [case for case in SHAPED if not case[0].random], ids=repr)
def test_a_row_has_the_same_bits_alone_and_in_a_batch(part, shapes, dtype):
    rng = np.random.default_rng(0)
    x = [rng.normal(size=(BATCH, *shape)).astype(dtype) for shape in shapes]
    p = {name: rng.normal(size=param.shape).astype(dtype) for name, param in part.params(*shapes).items()}
    given = [one.copy() for one in x]

    def both(rows):
        y, pull = part.apply(p, *(one[rows] for one in x))
        d_x = pull(np.cos(y), {name: np.empty_like(array) for name, array in p.items()}, True)
        return [y, *(d_x if len(x) > 1 else [d_x])]

    whole = both(slice(None))
    assert {one.dtype.name for one in whole} == {dtype}
    for row in range(BATCH):
        for one, alone_ in zip(whole, both(slice(row, row + 1)), strict=True):
            assert one[row].tobytes() == alone_.tobytes()
    assert all(one.tobytes() == before.tobytes() for one, before in zip(x, given, strict=True))


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("layer", [layer for samples in LAYER_SAMPLES.values() for layer in samples], ids=repr)
def test_r30_the_gradient_through_every_layer_is_the_finite_difference(layer, seed):
    activation = "sigmoid" if isinstance(layer, Logarithm) else "tanh"
    before = [] if looks_up(layer) or layer.inputs else [Dense(4, activation)]
    check([*before, layer, Dense(2)], losses.get("half_sse"), seed)


@pytest.mark.parametrize("first", [Rescaling(0.5, 0.1), Dropout(0.3), Activation("tanh")], ids=repr)
def test_the_gradient_is_right_behind_a_first_layer_without_weights(first):
    check([first, Dense(3, "sigmoid"), Dense(2)], losses.get("mse"), 0)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("outputs", [2, 5])
@pytest.mark.parametrize("name", LOSS_SAMPLES)
def test_r30_the_gradient_of_every_loss_with_its_link_is_the_finite_difference(name, outputs, bias, seed):
    loss = LOSS_SAMPLES[name]
    last = Dense(outputs, last_activation(loss), use_bias=bias)
    check([Dense(4, "tanh", use_bias=bias), Dropout(0.3), last], loss, seed)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("name", [name for name, loss in LOSSES.items() if loss.link is None])
def test_a_loss_without_a_link_goes_with_any_last_activation(name, activation):
    check([Dense(4, "tanh"), Dense(3, activation)], LOSSES[name], 0)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_gradient_of_a_whole_network_is_the_finite_difference(seed):
    layers = [
        Rescaling(0.5, 0.1),
        Dense(6, "relu", kernel_initializer="he_normal"),
        Dropout(0.25),
        Dense(5, "sigmoid", use_bias=False),
        Activation("tanh"),
        Dropout(0.5),
        Dense(4, "relu"),
        Dense(3, "softmax"),
    ]
    check(layers, losses.get("sparse_categorical_crossentropy"), seed)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", LOSS_SAMPLES)
def test_the_derivative_of_every_loss_by_its_input_is_the_finite_difference_row_by_row(name, seed):
    loss, rng = LOSS_SAMPLES[name], np.random.default_rng(seed)
    z = rng.normal(0, 2, (BATCH, 4))
    y = targets(loss, 4, rng)
    d_z = loss.rows(z.copy(), y)[2]
    for k in range(4):
        step = np.zeros(4)
        step[k] = 1e-6
        slope = (loss.rows(z + step, y)[0] - loss.rows(z - step, y)[0]) / 2e-6
        np.testing.assert_allclose(d_z[:, k], slope, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("name", LOSS_SAMPLES)
def test_a_loss_returns_the_outputs_of_its_link(name):
    loss, rng = LOSS_SAMPLES[name], np.random.default_rng(3)
    z = rng.normal(0, 3, (BATCH, 4))
    link = loss.link().apply({}, z, None)[0] if loss.link else z
    np.testing.assert_allclose(loss.rows(z, targets(loss, 4, rng))[1], link, rtol=1e-12)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("inner", ["mse", "half_sse"])
def test_the_gradient_of_a_loss_in_units_of_the_targets_is_the_finite_difference(inner, seed):
    loss = Standardized(inner, [1.0, -3.0], [0.5, 20.0])
    check([Dense(4, "tanh"), Dense(2), Normalization([1.0, -3.0], [0.25, 400.0], invert=True)], loss, seed)


# Everything together: what a step goes along, with weights, dropped units and the penalty of the parameters


ACTIVATION_NAMES = list(dict.fromkeys(ACTIVATIONS))
PENALTIES = [None, *REGULARIZERS]
MEASURES = list(dict.fromkeys(LOSS_SAMPLES.values()))


def dropped(op):
    """The same units in every call."""
    return stream_for(0, "check", op)


def error(layer, activation, loss, penalty, seed):
    """The worst relative error of the gradient along three directions, under weights of which some are 0."""
    rng = np.random.default_rng(seed)
    own = None if penalty == "orthogonal_regularizer" else penalty
    penalized = {"kernel_regularizer": penalty, "bias_regularizer": own}
    if isinstance(layer, Embedding):
        layer = replace(layer, embeddings_regularizer=penalty)
    before = "sigmoid" if isinstance(layer, Logarithm) else "tanh"
    first = [] if looks_up(layer) or layer.inputs else [Dense(4, before, **penalized)]
    last = Dense(3, last_activation(loss), **penalized)
    layers = (*first, layer, Dense(4, activation, **penalized), Dropout(0.3), last)
    network = woven(layers, layers[0].inputs or WIDTH)
    objective, views = Objective(network, loss), network.layout.views
    w = rng.uniform(0.5, 2.0, BATCH) * (np.arange(BATCH) % 3 > 0)
    y = targets(loss, network.outputs, rng)
    for _ in range(200):
        theta, x = drawn(network, rng)
        theta *= rng.choice([0.3, 0.6, 1.0])
        if np.abs(theta).min() > 1e-4 and not near_a_corner(network, loss, theta, x, y):
            break
    else:
        raise AssertionError("no point away from the corners was found")
    g = np.zeros_like(theta)

    def value(at):
        sums = objective.learn(views(at), x, y, w, 1.0 / w.sum(), dropped, views(np.zeros_like(at)))
        return sums[0] / sums[1] + network.penalty(views(at))

    objective.learn(views(theta), x, y, w, 1.0 / w.sum(), dropped, views(g))
    network.penalty(views(theta), views(g))
    for where, _ in network.statistics:
        g[where] = 0
    worst = 0.0
    for u in rng.standard_normal((3, len(theta))):
        slope = (value(theta + 1e-6 * u) - value(theta - 1e-6 * u)) / 2e-6
        worst = max(worst, abs(slope - g @ u) / max(1.0, abs(slope)))
    return worst


def near_a_corner(network, loss, theta, x, y):
    """Whether an activation or the loss bends near these rows, or is so steep that differences say little."""
    views, end = network.layout.views(theta), len(network.parts) - (loss.link is not None)
    with np.errstate(over="ignore"):
        inputs = [
            (at == end, alone(network.forward(views, x, dropped, network.plan[:at]))[0][network.read_by(at)])
            for at in range(end + 1)
            if at == end or isinstance(network.parts[at], ElementwiseActivation)
        ]
    if any(np.abs(z).max() > 9 or (not last and np.abs(z[..., None] - KINKS).min() < 1e-4) for last, z in inputs):
        return True
    slopes = [loss.rows(inputs[-1][1] + step, y)[2] for step in (-1e-4, 1e-4)]
    return bool(np.abs(slopes[0] - slopes[1]).max() > 0.05)


def worst_of(combinations):
    found = {where: error(*where[:4], number) for number, where in enumerate(combinations)}
    at = max(found, key=found.__getitem__)
    print(f"{len(found):,} networks, worst relative error {found[at]:.1e}: {at}")
    assert found[at] <= 1e-6, at
    return found


def test_r30_every_pair_of_layer_and_activation_under_some_loss_and_regularizer():
    """Losses and regularizers take turns, so that each is met."""
    layers = [samples[0] for samples in LAYER_SAMPLES.values()]
    pairs = enumerate(itertools.product(layers, ACTIVATION_NAMES))
    turns = [(*pair, MEASURES[n % len(MEASURES)], PENALTIES[n % len(PENALTIES)]) for n, pair in pairs]
    assert {turn[2] for turn in turns} == set(MEASURES) and {turn[3] for turn in turns} == set(PENALTIES)
    worst_of(turns)


@pytest.mark.slow
@pytest.mark.parametrize("name", LAYER_SAMPLES)
def test_r30_every_layer_activation_loss_and_regularizer(name):
    worst_of(list(itertools.product(LAYER_SAMPLES[name][:2], ACTIVATION_NAMES, MEASURES, PENALTIES)))


@pytest.mark.parametrize(
    "mode, value, slope",  # of Keras 3.15.1, in 64 bits
    [
        ("rows", 0.2140113901023882, [-0.04539139253059381, -0.016459789651260895, 0.024943626456144043]),
        ("columns", 0.060897027154958795, [-0.052657666998591715, 0.01919358233270056, 0.0006951353708669353]),
    ],
)
def test_the_penalty_on_rows_that_are_not_at_right_angles_is_that_of_keras(mode, value, slope):
    w, g = np.array([[1.0, -2.0, 0.5], [0.0, 3.0, 1.0], [2.0, 2.0, -1.0], [0.25, -0.5, 4.0]]), np.zeros((4, 3))
    penalty = OrthogonalRegularizer(0.5, mode)
    assert penalty.add(w, g) == pytest.approx(value, rel=1e-9)
    np.testing.assert_allclose(g[0], slope, rtol=1e-7)
    assert penalty(np.eye(3)) == 0.0 and penalty([[1.0, 2.0]][: 1 if mode == "rows" else 0] or [[1.0], [2.0]]) == 0.0
    g = np.zeros((3, 2))
    assert np.isfinite(penalty.add(np.array([[0.0, 0.0], [1e-30, 1.0], [1.0, 1.0]]), g)) and np.isfinite(g).all()


def test_a_joint_penalty_needs_a_matrix_whose_rows_are_updated_together():
    together = OrthogonalRegularizer()
    with pytest.raises(ConfigError, match=r"needs a matrix, but these weights have shape \(3,\)"):
        Network.chain((Dense(3, bias_regularizer=together),), 2)
    with pytest.raises(ConfigError, match="leave sparse_steps out"):
        Embedding(4, 2, embeddings_regularizer=together, sparse_steps=True)
    assert Network.chain((Dense(3, kernel_regularizer=together),), 2).front is None
    assert Network.chain((Dense(3, kernel_regularizer="l2"),), 2).front == 0


@pytest.mark.parametrize("name", REGULARIZERS)
def test_r30_the_derivative_of_every_regularizer_is_the_finite_difference(name):
    penalty, rng = REGULARIZERS[name], np.random.default_rng(0)
    w = rng.uniform(0.1, 2.0, (4, 3)) * rng.choice([-1, 1], (4, 3))
    g = np.ones_like(w)
    assert penalty.add(w, g) == penalty.add(w, None) > 0
    for at in np.ndindex(w.shape):
        step = np.zeros_like(w)
        step[at] = 1e-6
        slope = (penalty.add(w + step, None) - penalty.add(w - step, None)) / 2e-6
        assert slope == pytest.approx(g[at] - 1, rel=1e-6)


def test_a_network_penalizes_its_kernels_and_nothing_else():
    layers = (Dense(2, kernel_regularizer=L1L2(0.5, 2.0), bias_initializer="normal"), Dense(1))
    network = Network.chain(layers, 2, "float64")
    views, g = network.layout.views(network.init(3)), network.layout.views(np.zeros(network.layout.size))
    w = views[0]["w"]
    assert network.penalty(views, g) == pytest.approx(0.5 * np.abs(w).sum() + 2.0 * (w * w).sum())
    np.testing.assert_allclose(g[0]["w"], 0.5 * np.sign(w) + 4.0 * w)
    assert not g[0]["b"].any() and not g[1]["w"].any()


# The check itself must be able to fail


class WrongLoss(HalfSumOfSquares):
    """Its derivative is 1 % too large."""

    def rows(self, z, y):
        value, outputs, d_z = super().rows(z, y)
        return value, outputs, d_z * 1.01


class WrongFactor(Layer):
    """Its pull-back forgets the factor."""

    def apply(self, p, x, rng=None):
        return x * 2.0, lambda d_y, g, wants_x: d_y


class WrongBias(Linear):
    """Its pull-back loses the derivative by the bias."""

    def apply(self, p, x, rng=None):
        y, pull = super().apply(p, x, rng)

        def wrong(d_y, g, wants_x):
            d_x = pull(d_y, g, wants_x)
            g["b"][-1] = 0.0
            return d_x

        return y, wrong


class NotANumber(Layer):
    """Its pull-back gives NaN."""

    def apply(self, p, x, rng=None):
        return x, lambda d_y, g, wants_x: d_y * np.nan


@pytest.mark.parametrize(
    "layers, loss",
    [
        ((Dense(3, "tanh"), Dense(2)), WrongLoss()),
        ((Dense(3, "tanh"), WrongFactor(), Dense(2)), HalfSumOfSquares()),
        ((Dense(3, "tanh"), WrongBias(2)), HalfSumOfSquares()),
        ((Dense(3, "tanh"), NotANumber(), Dense(2)), HalfSumOfSquares()),
    ],
    ids=["loss", "factor", "bias", "nan"],
)
def test_a_wrong_derivative_is_caught(layers, loss):
    with pytest.raises(AssertionError, match="finite differences give"):
        check(layers, loss, 0)

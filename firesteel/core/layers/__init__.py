"""Registry of all layers, with Keras's names and arguments; each module implements one family of layers."""

from firesteel.core.layer import Layer
from firesteel.core.layers.activation import ACTIVATIONS as ACTIVATIONS
from firesteel.core.layers.activation import ELU, Activation, LeakyReLU, PReLU, ReLU, Softmax
from firesteel.core.layers.augmentation import (
    RandomElasticTransform,
    RandomFlip,
    RandomRotation,
    RandomShear,
    RandomTranslation,
    RandomZoom,
)
from firesteel.core.layers.convolution import Conv1D, Conv2D
from firesteel.core.layers.dense import Dense
from firesteel.core.layers.depthwise import DepthwiseConv2D, SeparableConv2D
from firesteel.core.layers.embedding import Embedding
from firesteel.core.layers.enlarging import Conv2DTranspose, Cropping2D, UpSampling2D, ZeroPadding2D
from firesteel.core.layers.heads import Heads
from firesteel.core.layers.merge import (
    Add,
    Average,
    Concatenate,
    Dot,
    Logarithm,
    Maximum,
    Minimum,
    Multiply,
    Subtract,
)
from firesteel.core.layers.normalization import BatchNormalization, LayerNormalization
from firesteel.core.layers.pooling import (
    AveragePooling1D,
    AveragePooling2D,
    GlobalAveragePooling1D,
    GlobalAveragePooling2D,
    GlobalMaxPooling1D,
    GlobalMaxPooling2D,
    MaxPooling1D,
    MaxPooling2D,
)
from firesteel.core.layers.preprocessing import Normalization, Rescaling
from firesteel.core.layers.recolouring import RandomBrightness, RandomContrast
from firesteel.core.layers.regularization import (
    AlphaDropout,
    Dropout,
    GaussianDropout,
    GaussianNoise,
    SpatialDropout2D,
)
from firesteel.core.layers.reshaping import Flatten, Input, Permute, RepeatVector, Reshape
from firesteel.core.layers.table import PiecewiseLinear, Table
from firesteel.core.layers.wrapper import InUse
from firesteel.core.spec import Spec, resolver

__all__ = [
    "ELU",
    "Activation",
    "Add",
    "AlphaDropout",
    "Average",
    "AveragePooling1D",
    "AveragePooling2D",
    "BatchNormalization",
    "Conv1D",
    "Conv2D",
    "Conv2DTranspose",
    "Concatenate",
    "Cropping2D",
    "Dense",
    "DepthwiseConv2D",
    "Dot",
    "Dropout",
    "Embedding",
    "Flatten",
    "GaussianDropout",
    "GaussianNoise",
    "GlobalAveragePooling1D",
    "GlobalAveragePooling2D",
    "GlobalMaxPooling1D",
    "GlobalMaxPooling2D",
    "Heads",
    "InUse",
    "Input",
    "Layer",
    "LayerNormalization",
    "LeakyReLU",
    "Logarithm",
    "MaxPooling1D",
    "MaxPooling2D",
    "Maximum",
    "Minimum",
    "Multiply",
    "Normalization",
    "Permute",
    "PReLU",
    "PiecewiseLinear",
    "RandomBrightness",
    "RandomContrast",
    "RandomElasticTransform",
    "RandomFlip",
    "RandomRotation",
    "RandomShear",
    "RandomTranslation",
    "RandomZoom",
    "ReLU",
    "RepeatVector",
    "Rescaling",
    "Reshape",
    "SeparableConv2D",
    "Softmax",
    "SpatialDropout2D",
    "Subtract",
    "Table",
    "UpSampling2D",
    "ZeroPadding2D",
]

LAYERS: dict[str, Spec] = {
    type(layer).__name__: layer
    for layer in (
        Activation("linear"),
        Add(),
        AlphaDropout(0.5),
        Average(),
        AveragePooling1D(),
        AveragePooling2D(),
        BatchNormalization(),
        Conv1D(1, 1),
        Conv2D(1, 1),
        Conv2DTranspose(1, 1),
        Concatenate(),
        Cropping2D(),
        Dense(1),
        DepthwiseConv2D(1),
        Dot(-1),
        Dropout(0.5),
        Embedding(1, 1),
        Flatten(),
        GaussianDropout(0.5),
        GaussianNoise(0.5),
        GlobalAveragePooling1D(),
        GlobalAveragePooling2D(),
        GlobalMaxPooling1D(),
        GlobalMaxPooling2D(),
        Heads((1,), ("linear",)),
        InUse(Dropout(0.5)),
        Input((1,)),
        LayerNormalization(),
        ELU(),
        LeakyReLU(),
        Logarithm(),
        MaxPooling1D(),
        MaxPooling2D(),
        Maximum(),
        Minimum(),
        Multiply(),
        Normalization((0.0,), (1.0,)),
        Permute((1,)),
        PiecewiseLinear(((0.0, 1.0),)),
        PReLU(),
        RandomBrightness(0.2),
        RandomContrast(0.2),
        RandomElasticTransform(),
        RandomFlip(),
        RandomRotation(0.1),
        RandomShear(),
        RandomTranslation(0.1, 0.1),
        RandomZoom(0.1),
        ReLU(),
        RepeatVector(1),
        Rescaling(1.0),
        Reshape((-1,)),
        SeparableConv2D(1, 1),
        Softmax(),
        SpatialDropout2D(0.5),
        Subtract(),
        Table(((0.0, 1.0),)),
        UpSampling2D(),
        ZeroPadding2D(),
    )
}
"""One example of each layer type: the types that a saved model may name, and the cases of tests over all layers."""

get = resolver("a layer", Layer, LAYERS)

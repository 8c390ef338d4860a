"""Layers under the names and arguments that Keras gave them; their mathematics is in `firesteel.core.layers`."""

from firesteel.core.layers import (
    ELU,
    Activation,
    BatchNormalization,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    GaussianNoise,
    Input,
    Layer,
    LayerNormalization,
    LeakyReLU,
    Normalization,
    ReLU,
    Rescaling,
)

__all__ = [
    "ELU",
    "Activation",
    "BatchNormalization",
    "Dense",
    "Dropout",
    "Embedding",
    "Flatten",
    "GaussianNoise",
    "Input",
    "Layer",
    "LayerNormalization",
    "LeakyReLU",
    "Normalization",
    "ReLU",
    "Rescaling",
]

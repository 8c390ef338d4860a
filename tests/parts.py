"""Every kind of layer that a network runs: what the layers and activations of the registries are made of."""

import numpy as np

from firesteel.core.layers import ACTIVATIONS, LAYERS, Embedding, Table

PARTS = {
    type(part).__name__: type(part)
    for layer in [*LAYERS.values(), *filter(None, ACTIVATIONS.values())]
    for part in layer.parts()
}


def suiting(layer, x):
    """Return inputs as a layer takes them: those that choose rows of what it learns are numbers of rows."""
    counts = getattr(layer, "levels", None)
    if isinstance(layer, Embedding):
        counts = (layer.input_dim,) * x.shape[1]
    if counts:
        x = x.copy()
        x[:, -len(counts) :] = np.floor(np.abs(x[:, -len(counts) :]) * 97) % np.array(counts)
    return x


def looks_up(layer):
    """Return whether inputs of a layer are numbers of rows, so that it must be the first."""
    return isinstance(layer, Embedding | Table)

"""Every part that a network runs: the parts of all registered layers and activations."""

import math

import numpy as np

from firesteel.core.layers import (
    ACTIVATIONS,
    LAYERS,
    Add,
    Concatenate,
    Dense,
    Dot,
    Embedding,
    Maximum,
    Minimum,
    Multiply,
    Rescaling,
    Reshape,
    Subtract,
    Table,
)
from firesteel.core.network import Network, Node
from firesteel.errors import ConfigError

MERGES = Add, Concatenate, Dot, Maximum, Minimum, Multiply, Subtract
"""Layers with several inputs."""
PARTS = {
    type(part).__name__: type(part)
    for layer in [*LAYERS.values(), *filter(None, ACTIVATIONS.values())]
    for part in layer.parts()
}


def suiting(layer, x):
    """Return inputs for a layer; for embeddings, indices of rows."""
    counts = getattr(layer, "levels", None)
    if isinstance(layer, Embedding):
        counts = (layer.input_dim,) * x.shape[1]
    if counts:
        x = x.copy()
        x[:, -len(counts) :] = np.floor(np.abs(x[:, -len(counts) :]) * 97) % np.array(counts)
    return x


def looks_up(layer):
    """Return whether a layer's inputs are indices, so that it must be the first."""
    return isinstance(layer, Embedding | Table)


def shape_for(layer, shape):
    """Return a shape that a layer accepts: this one, or four pixels, or one number."""
    for found in (shape, (2, 2, 1), (4, 1), (1,)):
        try:
            made = found
            for part in layer.parts():
                made = part.output_shape(*[made] * (2 if isinstance(layer, MERGES) else 1))
        except ConfigError:
            continue
        return found
    raise AssertionError(f"{layer} takes no values of these shapes")


def woven(layers, inputs, dtype="float64"):
    """Return a chain of any layers, for rows of `inputs` numbers.

    A layer with several inputs receives the previous value twice, the second time scaled and shifted; a layer for
    pictures or sequences receives four pixels.  Values with several axes are flattened.
    """
    nodes, shape = [], (inputs,)

    def put(layer, *others):
        given = len(nodes), *others
        nodes.append(Node(layer, given, len(nodes)))
        made = shape
        for part in layer.parts():
            made = part.output_shape(*[made] * len(given))
        return made

    for layer in layers:
        if (wanted := shape_for(layer, shape)) != shape:
            shape = put(Dense(math.prod(wanted)))
            shape = put(Reshape(wanted))
        if isinstance(layer, MERGES):
            before = len(nodes)
            put(Rescaling(-0.7, 0.3))
            shape = put(layer, before)
        else:
            shape = put(layer)
        if len(shape) > 1:
            shape = put(Reshape((-1,)))
    return Network(tuple(nodes), ((inputs,),), dtype)

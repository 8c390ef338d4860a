"""Every kind of layer that a network runs: what the layers and activations of the registries are made of."""

from firesteel.core.layers import ACTIVATIONS, LAYERS

PARTS = {
    type(part).__name__: type(part)
    for layer in [*LAYERS.values(), *filter(None, ACTIVATIONS.values())]
    for part in layer.parts()
}

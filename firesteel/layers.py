"""Layers under the names and arguments that Keras gave them; their mathematics is in `firesteel.core.ops`."""

from firesteel.core.layers import Activation, Dense, Dropout, Layer, Normalization, Rescaling

__all__ = ["Activation", "Dense", "Dropout", "Layer", "Normalization", "Rescaling"]

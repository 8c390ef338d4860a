"""Optimisers under Keras's names and with its defaults."""

from firesteel.core.optimizers import SGD, Adam, Optimizer, RMSprop

__all__ = ["SGD", "Adam", "Optimizer", "RMSprop"]

"""Regularisers under Keras's names."""

from firesteel.core.regularizers import L1L2, Regularizer

__all__ = ["L1L2", "Regularizer"]

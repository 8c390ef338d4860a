"""Regularisers under Keras's names."""

from firesteel.core.regularizers import L1, L1L2, L2, Regularizer

__all__ = ["L1", "L1L2", "L2", "Regularizer"]

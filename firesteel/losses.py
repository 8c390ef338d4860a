"""Losses under Keras's names, and the half sum of squares of the textbooks."""

from firesteel.core.losses import (
    BinaryCrossentropy,
    CategoricalCrossentropy,
    HalfSumOfSquares,
    Loss,
    MeanSquaredError,
    SparseCategoricalCrossentropy,
    Standardized,
)

__all__ = [
    "BinaryCrossentropy",
    "CategoricalCrossentropy",
    "HalfSumOfSquares",
    "Loss",
    "MeanSquaredError",
    "SparseCategoricalCrossentropy",
    "Standardized",
]

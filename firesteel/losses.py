"""Losses under Keras's names, and beside them the half sum of squares, quantiles and standardized losses."""

from firesteel.core.losses import (
    BinaryCrossentropy,
    CategoricalCrossentropy,
    HalfSumOfSquares,
    Hinge,
    Huber,
    KLDivergence,
    LogCosh,
    Loss,
    MeanAbsoluteError,
    MeanSquaredError,
    Poisson,
    Quantile,
    SparseCategoricalCrossentropy,
    SquaredHinge,
    Standardized,
)

__all__ = [
    "BinaryCrossentropy",
    "CategoricalCrossentropy",
    "HalfSumOfSquares",
    "Hinge",
    "Huber",
    "KLDivergence",
    "LogCosh",
    "Loss",
    "MeanAbsoluteError",
    "MeanSquaredError",
    "Poisson",
    "Quantile",
    "SparseCategoricalCrossentropy",
    "SquaredHinge",
    "Standardized",
]

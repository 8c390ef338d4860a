"""How weights are first drawn, under Keras's names."""

from firesteel.core.initializers import (
    GlorotNormal,
    GlorotUniform,
    HeNormal,
    HeUniform,
    Initializer,
    LecunNormal,
    LecunUniform,
    RandomNormal,
    RandomUniform,
    Zeros,
)

__all__ = [
    "GlorotNormal",
    "GlorotUniform",
    "HeNormal",
    "HeUniform",
    "Initializer",
    "LecunNormal",
    "LecunUniform",
    "RandomNormal",
    "RandomUniform",
    "Zeros",
]
